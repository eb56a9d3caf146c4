"""Runs of recipes: the least of several columns of losses, how many were tried, the best kept."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError, RunsWarning, warn
from bayescale.runs.check import Check, doubt
from bayescale.runs.reading import load_table
from bayescale.runs.table import Runs, read_runs

TRIED = "n_runs"
"""Column of how many runs the best of a recipe, a size and a number of tokens was taken from."""

_LOSS = "loss"
_DIVERGED = "diverged"  # column of runs that blew up


@typed
def read_recipes(
    source: str | Path | pd.DataFrame,
    by: str,
    *,
    size: str = "",
    least_of: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    **reading: Any,
) -> Runs:
    """Read runs of several recipes, and keep the best of each recipe, size and number of tokens.

    Rows without a loss, or marked as ``diverged``, are left out with a warning.

    Parameters
    ----------
    source : path or pandas.DataFrame
    by : str
        Column of the recipes, as the table has it.
    size : str, optional
        Column of the sizes N; by default it is found as `bayescale.read_runs` finds it.
    least_of : sequence of str, optional
        Columns of losses of which the least counts, as of one at the end and a recorded minimum.
    columns : mapping, optional
        Our name to the table's own.
    **reading
        Further options of `bayescale.read_runs`.

    Returns
    -------
    Runs
        One row a recipe, size and number of tokens, with ``n_runs``: what the table says of how
        many were tried, or how many rows it has of them.

    Raises
    ------
    RunsError
        If a column is not there, or nothing is left; else as `bayescale.read_runs`.
    """
    loaded = load_table(source)
    table, named = loaded.table.copy(), dict(columns or {})
    _require_columns(table, [by, *([size] if size else []), *least_of])
    if size:
        named["params"] = size
    if least_of:
        numbers = table[list(least_of)].apply(pd.to_numeric, errors="coerce")
        table[_LOSS] = numbers.min(axis=1)
        named.pop(_LOSS, None)
    table, notices = _with_losses(table, named.get(_LOSS, _LOSS))
    table.attrs |= {"source": loaded.name, "sha256": loaded.sha256}
    cell = (by, "params", "tokens")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)  # of rows of which the best are kept
        every = read_runs(table, named, **reading).table
    runs = read_runs(table, named, best_per=cell, **reading)
    for notice in notices:
        warn(notice)
    best = runs.table
    if TRIED not in best:
        rows = every.groupby(list(cell)).size()
        best = best.assign(
            **{TRIED: rows[list(best[list(cell)].itertuples(index=False))].to_numpy()}
        )
    return replace(runs, table=best, notices=(*runs.notices, *notices))


def _require_columns(table: pd.DataFrame, wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in table:
            raise RunsError(
                f"the table lacks a column {name!r}; "
                f"{words.did_you_mean(name, list(map(str, table.columns)))}"
            )


def _with_losses(table: pd.DataFrame, loss: str) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """Leave out rows that have no finite loss, or that diverged."""
    if loss not in table:
        return table, ()  # its name is told by what it means
    values = pd.to_numeric(table[loss], errors="coerce").to_numpy(dtype=float)
    odd = ~np.isfinite(values)
    if _DIVERGED in table:
        odd |= table[_DIVERGED].astype(str).str.lower().isin(("true", "1", "yes")).to_numpy()
    if not odd.any():
        return table, ()
    if odd.all():
        raise RunsError("every run diverged, or has no loss: nothing is left to compare")
    rows = tuple(int(row) for row in table.index[odd])
    said = doubt(
        "no loss",
        f"left out, for they diverged or have no finite loss: {words.rows(rows)}",
        "The recipes are compared by the best of their other runs.",
        rows=rows,
    )
    return table[~odd], (said,)
