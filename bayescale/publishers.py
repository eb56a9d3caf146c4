"""Published tables: where each comes from, and how to make ours from its publisher's file."""

from collections.abc import Callable
from dataclasses import dataclass

from bayescale.errors import DatasetError
from bayescale.tables import Table


@dataclass(frozen=True)
class Published:
    """A published table: where it comes from and how to know that it is the right file."""

    summary: str
    file: str
    rows: int
    sha256: str
    citation: str
    licence: str
    upstream_url: str
    upstream_sha256: str


def _columns(upstream: Table, entry: Published, names: dict[str, str]) -> Table:
    """Return the publisher's columns under our names, which are the values of `names`."""
    missing = [name for name in names if name not in upstream.columns]
    if missing:
        raise DatasetError(
            f"{entry.upstream_url} has no column {', '.join(missing)}: not the layout this version "
            "reads"
        )
    return upstream[list(names)].rename(columns=names)


def _tidy_chinchilla(upstream: Table, entry: Published) -> Table:
    """Compute tokens and mark outliers as in arXiv:2404.10102."""
    lower = upstream.rename(columns=lambda name: name.strip().lower())
    names = {"model size": "params", "training flop": "flops", "loss": "loss"}
    table = _columns(lower, entry, names).astype(float)
    table.insert(0, "run", [f"chinchilla-{row:03d}" for row in range(len(table))])
    table.insert(1, "family", "Chinchilla")
    table.insert(2, "dataset", "MassiveText")
    table.insert(4, "tokens", table["flops"] / (6 * table["params"]))
    table["outlier_epoch"] = table["loss"] >= table["loss"].nlargest(5).min()
    return table


def _tidy_learning_curves_language(upstream: Table, entry: Published) -> Table:
    """Name the curves and count, then drop, the publisher's copies of a row."""
    table = _columns(upstream, entry, LANGUAGE_COLUMNS)
    table["upstream_copies"] = table.groupby(list(table.columns))["loss"].transform("size")
    table = table.drop_duplicates(ignore_index=True)
    table["task"] = table["task"].str.replace(r"\('(.+)', '(.+)'\)", r"\1_\2", regex=True)
    model = table["family"].str.replace(", ", "-").str.replace(" ", "")
    table.insert(0, "curve", table["domain"] + "/" + table["task"] + "/" + model)
    # only translation models are not named by their size: the table gives all of them 300M
    size = model.str.replace("M", "e6").where(table["domain"] != "NMT", "300e6")
    table.insert(4, "params", size.astype(float).astype("int64"))
    table["x"] = table["x"].astype("int64")
    table.insert(7, "metric", table["domain"].map(LANGUAGE_METRICS))
    table["split"] = table["split"].map({1: "train", 0: "extrapolate"})
    return table


def _misfitting_rows(upstream: Table, entry: Published) -> Table:
    """Return the distinct rows in order of size, schedule, learning rate and step."""
    table = _columns(upstream, entry, MISFITTING_COLUMNS).drop_duplicates()
    order = ["params", "total_steps", "learning_rate", "step"]
    table = table.sort_values(order, kind="stable", ignore_index=True)
    size = table["model"].str.removeprefix("misfitting_")
    sweep = table["sweep"].str.removesuffix("_sweep_test")
    steps, rate = table["total_steps"].astype(str), table["learning_rate"].astype(str)
    table["run"] = size + "-s" + steps + "-lr" + rate + "-" + sweep
    table["family"], table["dataset"] = "OpenLM decoder", "FineWeb"
    # 6.0, not 6: the largest runs exceed 64-bit integers
    table["flops"] = 6.0 * table["params"] * table["tokens"]
    table["ambiguous_duplicate"] = table.duplicated(["run", "step"], keep=False)
    return table


def _tidy_misfitting(upstream: Table, entry: Published) -> Table:
    """Make the table of last checkpoints, the only ones in this file of the publisher."""
    table = _misfitting_rows(upstream, entry)
    table["flops_non_embedding"] = 6.0 * table["params_non_embedding"] * table["tokens"]
    outcome = ["learning_rate", "total_steps", "loss", "ambiguous_duplicate"]
    return table[[*MISFITTING_FIRST, "flops_non_embedding", *outcome]]


def _tidy_misfitting_checkpoints(upstream: Table, entry: Published) -> Table:
    """Place every checkpoint in the schedule of its run."""
    table = _misfitting_rows(upstream, entry)
    table["portion_of_schedule"] = table["step"] / table["total_steps"]
    table["is_final_checkpoint"] = table["step"] == table["total_steps"]
    place = ["step", "portion_of_schedule", "is_final_checkpoint"]
    outcome = ["loss", "ambiguous_duplicate"]
    return table[[*MISFITTING_FIRST, "learning_rate", "total_steps", *place, *outcome]]


LANGUAGE_COLUMNS = {
    "Domain": "domain",
    "Task": "task",
    "Model": "family",
    "Seen Examples": "x",
    "Loss": "loss",
    "Training": "split",
}
"""Columns of `learning_curves_language`: the publisher's name to ours."""

LANGUAGE_METRICS = {
    "NMT": "log-perplexity",
    "LM": "rescaled log-loss",
    "BB": "error-type BIG-bench metric",
}
"""What the losses of `learning_curves_language` are, by domain."""

MISFITTING_COLUMNS = {
    "model": "model",
    "N": "params",
    "N_no_emb": "params_non_embedding",
    "D": "tokens",
    "peak_lr": "learning_rate",
    "total_steps": "total_steps",
    "current_steps": "step",
    "loss": "loss",
    "sweep": "sweep",
}
"""Columns of both misfitting tables: the publisher's name to ours."""

MISFITTING_FIRST = [
    "run",
    "family",
    "dataset",
    "model",
    "params",
    "params_non_embedding",
    "tokens",
    "flops",
]
"""The columns that both misfitting tables begin with."""

TIDY: dict[str, Callable[[Table, Published], Table]] = {
    "chinchilla": _tidy_chinchilla,
    "learning_curves_language": _tidy_learning_curves_language,
    "misfitting": _tidy_misfitting,
    "misfitting_checkpoints": _tidy_misfitting_checkpoints,
}
"""Tables that can be made from their publisher's file: name to converter."""
