"""Runs of Weights & Biases: an exported table, or run objects as its API hands them out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale.errors import RunsError
from bayescale.runs.table import Runs, read_runs

_RUN = ("name", "state", "config", "summary")


def from_wandb(source: str | Path | pd.DataFrame | Iterable[Any], **reading: Any) -> Runs:
    """Read runs of Weights & Biases; wandb itself is not needed.

    Runs whose ``State`` is crashed, failed, killed or running are left out as unfinished.

    Parameters
    ----------
    source : path, pandas.DataFrame or iterable of runs
        A table exported from the web page, or runs: ``wandb.Api().runs("team/project")``, each with
        ``name``, ``state``, ``config`` and ``summary``. Entries inside others have dots in their
        names; a name in both config and summary begins with ``config.`` or ``summary.``.
    **reading
        Options of `bayescale.read_runs`, e.g. ``columns={"loss": "val/loss"}``.

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        For something else, no runs, or a table that cannot be read.
    """
    if not isinstance(source, str | Path | pd.DataFrame):
        source = _table_of(source)
    return read_runs(source, **reading)


def _table_of(source: Any) -> pd.DataFrame:
    try:
        found = list(source)
    except TypeError:
        found = [source]
    for number, run in enumerate(found):
        if missing := [name for name in _RUN if not hasattr(run, name)]:
            raise RunsError(
                f"item {number + 1}, a {type(run).__name__}, is no run of W&B: it has no "
                f"{', '.join(missing)}",
                "Pass wandb.Api().runs(...), or the path of an exported table.",
            )
    if not found:
        raise RunsError("there are no runs", "Look at the filters of wandb.Api().runs(...).")
    parts = [(dict(_flat(run.config)), dict(_flat(run.summary))) for run in found]
    both = {n for config, _ in parts for n in config} & {n for _, said in parts for n in said}
    rows = [
        {
            "Name": run.name,
            "State": run.state,
            **{f"config.{n}" if n in both else n: value for n, value in config.items()},
            **{f"summary.{n}" if n in both else n: value for n, value in summary.items()},
        }
        for run, (config, summary) in zip(found, parts, strict=True)
    ]
    table = pd.DataFrame(rows)
    table.attrs["source"] = f"{len(found)} runs of W&B"
    return table


def _flat(held: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Go through entries of entries: numbers, texts and truth values, without W&B's own."""
    for name in list(held.keys()):  # summaries of W&B have keys, and are no mapping
        value = held[name]
        if str(name) == "_wandb":
            continue
        if hasattr(value, "keys"):
            yield from _flat(value, f"{before}{name}.")
        elif value is None or isinstance(value, int | float | str):
            yield f"{before}{name}", value
