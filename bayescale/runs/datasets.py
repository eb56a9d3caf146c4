"""Tables to work on: the embedded sweep, and published tables by address and sha256."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from bayescale.arguments import typed
from bayescale.errors import DatasetError, reason
from bayescale.runs.reading import Table
from bayescale.words import did_you_mean


@dataclass(frozen=True)
class Published:
    """A published table: where it comes from and how to know that it is the right file.

    Parameters
    ----------
    summary : str
        One line.
    file : str
        Name of our file of it, in the folder of ``BAYESCALE_DATA``.
    rows : int
    sha256 : str
        Of that file.
    citation, licence : str
    upstream_url, upstream_sha256 : str
        Of the publisher's own file.
    """

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


FOLDER_VARIABLE = "BAYESCALE_DATA"
"""Environment variable: a folder that holds the published tables, for work without network."""

EMBEDDED = {
    "minisweep": "our own sweep: small transformers and LSTMs on isoFLOP grids, repeated data",
    "minisweep_checkpoints": "losses of the larger runs of that sweep during training",
}
"""Tables inside the package: name to summary."""

EMBEDDED_LICENCE = {"licence": "Apache-2.0", "citation": "bayescale, a sweep of our own"}
"""Of these tables; their card is `bayescale/data/README.md`."""


@lru_cache
def registry() -> dict[str, Published]:
    """Return the published tables by name."""
    text = (files("bayescale") / "data" / "registry.json").read_text("utf-8")
    return {name: Published(**entry) for name, entry in json.loads(text).items()}


def available_datasets() -> dict[str, str]:
    """Names of all tables with a one-line summary, which says of which a file must be at hand."""
    found = dict(EMBEDDED)
    for name, entry in registry().items():
        at_hand = "" if name in TIDY else f"; needs {entry.file} in {FOLDER_VARIABLE}"
        found[name] = entry.summary + at_hand
    return found


@typed
def load_dataset(name: str) -> Table:
    """Load a table by name, ready for `bayescale.read_runs` where it holds training runs.

    ``minisweep`` is inside the package. Published tables come from the folder that the environment
    variable ``BAYESCALE_DATA`` names. Without it ``chinchilla``, ``learning_curves_language``,
    ``misfitting`` and ``misfitting_checkpoints`` are downloaded once from their publishers,
    checked by sha256 and kept in pooch's cache. Of these the folder may hold the publisher's own
    file, fetched where there is a network.

    Tables of accuracies (``downstream_...``) are for `bayescale.read_tasks`. Of
    ``overtrained_downstream`` the runs, with params and tokens, are the table ``overtrained``: pass
    it as ``join``.

    Parameters
    ----------
    name : str
        One of `available_datasets`.

    Returns
    -------
    pandas.DataFrame
        Its ``attrs`` say where it came from: ``source``, ``sha256``, ``licence``, ``citation``.

    Raises
    ------
    DatasetError
        For an unknown name, a file with another digest than the registry's, or no network.
    """
    if name in EMBEDDED:
        content = (files("bayescale") / "data" / f"{name}.csv").read_bytes()
        return _named(content, f"the embedded table {name}", EMBEDDED_LICENCE)
    if name not in registry():
        raise DatasetError(
            f"unknown table {name!r}; {did_you_mean(name, list(available_datasets()))}"
        )
    entry = registry()[name]
    rights = {"licence": entry.licence, "citation": entry.citation}
    folder = os.environ.get(FOLDER_VARIABLE)
    path = None if folder is None else _file_of(name, entry, Path(folder))
    if path is not None and path.name == entry.file:
        return _named(_checked(path, entry.sha256), entry.file, rights)
    if name not in TIDY:
        raise DatasetError(
            f"{name}: this version cannot make the table from its publisher's files "
            f"({entry.upstream_url}); read those yourself, or, where you have our table of them, "
            f"put {entry.file} into a folder and name it in {FOLDER_VARIABLE}"
        )
    content = _checked(path, entry.upstream_sha256) if path else Path(_download(entry)).read_bytes()
    upstream = _named(content, entry.upstream_url, rights)
    table = TIDY[name](upstream, entry)
    if len(table) != entry.rows:
        raise DatasetError(
            f"{entry.upstream_url} makes {len(table)} rows instead of {entry.rows}: not the table "
            "this version reads"
        )
    table.attrs = upstream.attrs
    return table


def _named(content: bytes, source: str, rights: dict[str, str]) -> Table:
    """Parse a CSV and let the table say where it came from, and who may use it how."""
    import pandas as pd

    table = pd.read_csv(io.BytesIO(content))
    table.attrs = {"source": source, "sha256": hashlib.sha256(content).hexdigest(), **rights}
    return table


def _file_of(name: str, entry: Published, folder: Path) -> Path:
    """Find our file of a table in a folder, or the publisher's, of which we can make it."""
    ours, theirs = folder / entry.file, folder / _publishers_name(entry)
    if not ours.is_file() and name in TIDY and theirs.is_file():
        return theirs
    if not ours.is_file():
        other = f", nor is {theirs.name}; put that there, from {entry.upstream_url}"
        raise DatasetError(
            f"{ours.name} is not in the folder that {FOLDER_VARIABLE} names"
            + (other if name in TIDY else "")
        )
    return ours


def _publishers_name(entry: Published) -> str:
    """Name the publisher's own file."""
    return entry.upstream_url.rpartition("/")[2]


def _checked(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DatasetError(
            f"{path.name} in {FOLDER_VARIABLE} is not the registered file: sha256 "
            f"{digest[:12]}..., expected {sha256[:12]}...; fetch it again"
        )
    return content


def _download(entry: Published) -> str:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would name address and cache on two long lines
    try:
        return pooch.retrieve(
            entry.upstream_url,
            known_hash=f"sha256:{entry.upstream_sha256}",
            path=pooch.os_cache("bayescale"),
            progressbar=False,
        )
    except (OSError, ValueError) as error:
        offline = isinstance(error, OSError)
        why = "no network?" if offline else reason(error)
        raise DatasetError(
            f"{entry.upstream_url} could not be fetched ({why}); without network, put "
            f"{_publishers_name(entry)}, fetched elsewhere, into a folder and name it in "
            f"{FOLDER_VARIABLE}"
        ) from error
