"""Runs in mid-schedule: their learning rate had not decayed, so their loss lies above the law."""

from typing import Literal

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import RunsError
from bayescale.runs.check import Check, doubt

type MidSchedule = Literal["exclude", "keep"] | float
"""What to do with runs in mid-schedule: leave them out, keep them, or their weight in (0, 1)."""

_WHEN = {"mid_schedule": True, "finished": False, "is_final_checkpoint": False}
_PORTION = "portion_of_schedule"
_ROUNDING = 1e-9


def settle(table: pd.DataFrame, choice: MidSchedule) -> tuple[pd.DataFrame, list[str], list[Check]]:
    """Leave out, keep or weigh down the runs that the table marks as unfinished.

    A run is in mid-schedule where the column ``mid_schedule`` is true, ``finished`` or
    ``is_final_checkpoint`` is false, or ``portion_of_schedule`` is below 1. A checkpoint that is
    not the last but lies at the end of the schedule or beyond it is a finished run.

    Parameters
    ----------
    table : pandas.DataFrame
    choice : "exclude", "keep" or float
        What to do with them; a number in (0, 1) is the weight of their likelihood.

    Returns
    -------
    table : pandas.DataFrame
        With the column ``mid_schedule`` where such runs are kept, and their factor in ``weight``.
    ledger : list of str
    doubts : list of Check

    Raises
    ------
    RunsError
        For another choice, when every run is in mid-schedule, or for weights that are none.
    """
    _require_choice(choice)
    table, ledger = _weights(table)
    marked = _marked(table)
    if not marked:
        return table, ledger, []
    unfinished = pd.concat(marked, axis=1).any(axis=1)
    named = f"the column{'s' if len(marked) > 1 else ''} {', '.join(map(repr, marked))}"
    named += " mark" if len(marked) > 1 else " marks"
    if choice == "exclude":
        rows = table.index[unfinished]
        _require_some_finished(unfinished, named)
        left_out = doubt(
            "unfinished runs",
            f"{named} {words.rows(rows)} as in mid-schedule: left out, because a learning "
            "rate that has not decayed leaves the loss above the law",
            'Keep such rows with --mid-schedule keep (in Python mid_schedule="keep"), or weigh '
            "them down with --mid-schedule 0.1.",
            rows,
        )
        return (
            table[~unfinished].copy(),
            [*ledger, f"{len(rows)} in mid-schedule left out"],
            [left_out],
        )
    table = table.assign(mid_schedule=unfinished)
    what = f"{unfinished.sum()} in mid-schedule kept"
    if choice != "keep":
        factor = pd.Series(np.where(unfinished, choice, 1.0), index=table.index)
        table["weight"] = table.get("weight", 1.0) * factor
        what += f", their likelihood raised to {choice:g}"
    return table, [*ledger, what], []


def _require_choice(choice: object) -> None:
    number = isinstance(choice, int | float) and not isinstance(choice, bool)
    if choice in ("exclude", "keep") or (number and 0 < choice < 1):  # type: ignore[operator]
        return
    raise RunsError(
        f"mid_schedule must be 'exclude', 'keep' or a weight between 0 and 1, got {choice!r}"
    )


def _require_some_finished(unfinished: pd.Series, named: str) -> None:
    if unfinished.all():
        raise RunsError(
            f"{named} all {len(unfinished)} rows as in mid-schedule: none is left to fit; "
            'keep them with --mid-schedule keep (in Python mid_schedule="keep")'
        )


def _weights(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Check the table's own weights, and leave out rows of weight 0: these count nowhere."""
    if "weight" not in table:
        return table, []
    weights = pd.to_numeric(table["weight"], errors="coerce").astype(float)
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise RunsError(
            f"column 'weight', {words.rows(table.index[bad])}: "
            f"{str(table.loc[table.index[bad][0], 'weight'])!r} cannot be the exponent of a run's "
            "likelihood; give a finite number of at least 0, or rename the column"
        )
    if not weights.any():
        raise RunsError(
            "column 'weight': every run has the weight 0, so none would be fitted; correct it, or "
            "rename the column"
        )
    ledger, silent = ["the likelihood of each run raised to its weight"], int((weights == 0).sum())
    ledger += [f"{silent} of weight 0 left out"] if silent else []
    return table.assign(weight=weights)[weights > 0], ledger


def _marked(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Rows in mid-schedule by the column that says so, without columns that mark none."""
    nothing = pd.Series(np.nan, index=table.index)
    portion = pd.to_numeric(table.get(_PORTION, nothing), errors="coerce")
    found = {_PORTION: portion < 1 - _ROUNDING}
    for name, value in _WHEN.items():
        if name in table:
            said = _truth(table[name]) == (1.0 if value else 0.0)
            found[name] = said & portion.isna() if name == "is_final_checkpoint" else said
    return {name: rows for name, rows in found.items() if rows.any()}


def _truth(values: pd.Series) -> pd.Series:
    """Truth values as 1, 0 and NaN for unknown; all NaN for a column that holds something else."""
    text = values.astype(str).str.strip().str.lower()
    number = text.map({"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0})
    return number if (number.notna() | values.isna()).all() else number * np.nan
