"""Tables of what quantisation adds to the loss of trained models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError
from bayescale.runs.check import doubt
from bayescale.runs.columns import unnamed
from bayescale.runs.doubts import OF_ANY
from bayescale.runs.reading import load_table
from bayescale.runs.settings import is_categorical
from bayescale.runs.table import Read, Runs, runs_from

INCREASE = "loss_increase"
"""Column of what quantisation adds to the loss, nats per token."""

BITS = "bits_per_weight"
"""Column of the mean bits of a weight."""

MODEL = "model"
"""Column that says which rows are of one model, quantised by one method."""

_HOW = "log(perplexity / perplexity of the model as it was trained)"
_ZERO = "rows left out: zeros"


@typed
def read_quantised(
    source: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    by: str | Sequence[str] = MODEL,
    where: str | None = None,
) -> Runs:
    """Read a table of models quantised after training, a row for each format.

    Rows that add nothing are the zero from which the others are measured: they are left out, as
    are rows that add less than nothing, which are too small to be told from it.

    Parameters
    ----------
    source : path or pandas.DataFrame
        With ``bits_per_weight``, ``loss_increase`` (nats per token over the model as it was
        trained), ``params`` and ``tokens``.
    columns : mapping of str to str, optional
        Our name to the table's own.
    by : str or sequence of str
        Columns whose values together tell apart what has a level and a slope of its own: models,
        and methods where there are several.
    where : str, optional
        A pandas query that keeps rows.

    Returns
    -------
    Runs
        With the column ``model``, the names of `by` together.

    Raises
    ------
    RunsError
        If a column is missing, or no row adds to the loss.

    Warns
    -----
    RunsWarning
        For rows that are left out.
    """
    loaded = load_table(source)
    runs = runs_from(
        loaded,
        columns or {},
        where=where,
        units={},
        mid_schedule="exclude",
        best_per=(),
        params_are="not stated",
        response=None,
        doubts=OF_ANY,
        measured=_measured,
    )
    for name in ("params", "tokens", BITS):
        runs.column(name)
    table = runs.table.assign(**{MODEL: _names(runs.table, [by] if isinstance(by, str) else by)})
    kinds = [str(name) for name in table if is_categorical(table[name]) and name != "run"]
    return replace(runs, table=table, settings=tuple(kinds))  # formats of equal bits are no seeds


def _measured(kept: pd.DataFrame, filled: pd.DataFrame, raw: pd.DataFrame) -> Read:
    """Keep the rows that add to the loss."""
    if INCREASE not in kept:
        raise unnamed(raw, INCREASE, f"the table has no column {INCREASE!r}, {_HOW}")
    added = pd.to_numeric(kept[INCREASE], errors="coerce")
    table = kept.assign(**{INCREASE: added})[added > 0]
    if table.empty:
        raise RunsError(f"no row has a {INCREASE} above 0", f"It is {_HOW}, in nats per token.")
    doubts = []
    for rows, what, advice in (
        (
            added == 0,
            "nothing is added",
            "They are the zero that others are measured from, no data.",
        ),
        (
            added < 0,
            "less than nothing is added, which is measuring error",
            "Leave out formats of as many bits too: those that are kept were lucky upwards.",
        ),
        (added.isna(), f"there is no {INCREASE}", f"It is {_HOW}."),
    ):
        if rows.any():
            which = words.rows(kept.index[rows])
            doubts.append(doubt(_ZERO, f"{which}: {what}", advice, kept.index[rows]))
    return Read(table, [f"{len(kept) - len(table)} dropped that add nothing to the loss"], doubts)


def _names(table: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Name what has a level of its own; a column of true and false by its own name."""
    if absent := [name for name in by if name not in table]:
        known = [str(name) for name in table]
        raise RunsError(
            f"the table has no column {absent[0]!r} to tell models apart by; "
            f"{words.did_you_mean(absent[0], known)}",
            "Name what does with --by (in Python by=): --by params where each size is one model.",
        )
    parts = [_said(name, table[name]) for name in by]
    return parts[0].str.cat(parts[1:], sep=", ") if len(parts) > 1 else parts[0]


def _said(name: str, values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        short = values.map(lambda value: words.number(name, value))
        return short if short.nunique() == values.nunique() else values.astype(str)
    if not pd.api.types.is_bool_dtype(values):
        return values.astype(str)
    said = words.spaced(name)
    return values.map({True: said, False: f"no {said}"}).astype(str)
