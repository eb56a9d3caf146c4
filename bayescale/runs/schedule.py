"""Unfinished runs: they ended before their schedule, so their loss lies above the law."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import RunsError
from bayescale.runs.check import Check, doubt

type MidSchedule = Literal["exclude", "keep"] | float
"""What to do with unfinished runs: leave them out, keep them, or their weight in (0, 1)."""

_WHEN = {"mid_schedule": True, "finished": False, "is_final_checkpoint": False}
_PORTION = "portion_of_schedule"
_ROUNDING = 1e-9
_MOST_NAMED = 8  # runs in one remedy
_ONE_SIZE = 0.1  # of log N: sizes filled by C = 6ND differ a little from row to row
_STATES = ("state", "status", "run_state")
_STOPPED = {"crashed", "failed", "killed", "running", "preempted", "preempting", "pending"}
_ENDED = {"finished", "completed", "done", "success"}
STEPS = ("_step", "step", "steps", "global_step", "trainer/global_step", "current_steps")
"""Columns that count what a run has done of its schedule, where tokens do not."""

PLACES = ("tokens", *STEPS, _PORTION, "portion_of_run")
"""Columns that say where in its run a row lies."""


def settle(table: pd.DataFrame, choice: MidSchedule) -> tuple[pd.DataFrame, list[str], list[Check]]:
    """Leave out, keep or weigh down the runs that the table marks as unfinished.

    A run is unfinished where the column ``mid_schedule`` is true, ``finished`` or
    ``is_final_checkpoint`` is false, ``portion_of_schedule`` is below 1, or its ``State`` is not
    ``finished`` but crashed, failed, killed or running. A checkpoint that is
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
        For another choice, when every run is unfinished, or for weights that are none.
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
            f"{named} {words.rows(rows)} as unfinished: left out, for runs that end before "
            "their schedule lie above the law",
            'Keep them with --mid-schedule keep (in Python mid_schedule="keep").',
            rows,
        )
        return (
            table[~unfinished].copy(),
            [*ledger, f"{len(rows)} unfinished left out"],
            [left_out],
        )
    table = table.assign(mid_schedule=unfinished)
    what = f"{unfinished.sum()} unfinished kept"
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
            f"{named} all {len(unfinished)} rows as unfinished: none is left to fit; "
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
    """Rows of unfinished runs by the column that says so, without columns that mark none."""
    nothing = pd.Series(np.nan, index=table.index)
    portion = pd.to_numeric(table.get(_PORTION, nothing), errors="coerce")
    found = {_PORTION: portion < 1 - _ROUNDING}
    for name, value in _WHEN.items():
        if name in table:
            said = _truth(table[name]) == (1.0 if value else 0.0)
            found[name] = said & portion.isna() if name == "is_final_checkpoint" else said
    for name in [name for name in table if str(name).lower() in _STATES]:
        said = table[name].astype(str).str.strip().str.lower().where(table[name].notna())
        if said.dropna().isin(_STOPPED | _ENDED).all():
            found[str(name)] = said.isin(_STOPPED)
    return {name: rows for name, rows in found.items() if rows.any()}


def require_there(table: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse columns by which rows are to be chosen, where the table does not have them.

    Parameters
    ----------
    table : pandas.DataFrame
    names : sequence of str
    what : str
        What is chosen.

    Raises
    ------
    RunsError
    """
    if missing := [name for name in names if name not in table]:
        raise RunsError(
            f"{what} per {', '.join(names)} is asked for; {', '.join(missing)} is no column of "
            f"{', '.join(table.columns)}"
        )


def last_of(table: pd.DataFrame, names: Sequence[str], count: int = 1) -> pd.DataFrame:
    """Keep the last row of each run: that of the most tokens, or else steps.

    Parameters
    ----------
    table : pandas.DataFrame
    names : sequence of str
        Columns that say of which run a row is.
    count : int, optional
        How many rows to keep of each.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    RunsError
        If the table lacks such a column, a name in it, or what says of a row where in its run it
        lies, or if rows of one run are of several sizes.
    """
    require_there(table, names, "the last row")
    nameless = table[list(names)].isna().any(axis=1)
    if nameless.any():
        raise RunsError(
            f"column{'s' if len(names) > 1 else ''} {', '.join(names)}, "
            f"{words.rows(table.index[nameless])}: nothing says of which run this is",
            f"Leave such rows out with --where '{names[0]}.notna()'.",
        )
    for size in {"params", "active_params"}.intersection(table.columns).difference(names):
        usual = table.groupby(list(names))[size].transform("median")
        odd = table[np.log(table[size] / usual).abs() > _ONE_SIZE]
        if len(odd):
            own = (
                f", or, if these are runs of their own, pass --last-per {','.join([*names, size])}"
            )
            slips = odd.groupby(list(names)).size().max() == 1
            raise RunsError(
                f"column {size!r}, {words.rows(odd.index)}: the size differs from that of other "
                "rows of the same run",
                f"Correct it{'' if slips else own}.",
            )
    place = [name for name in PLACES if name in table]
    if not place:
        raise RunsError(
            "neither tokens nor steps say which row of a run is its last",
            "Name the tokens with --column tokens=YOURS.",
        )
    known = [name for name in place if table[name].notna().all()]
    if not known:
        unread = table[table[place[0]].isna()]
        runs = list(dict.fromkeys(unread[names[0]].tolist()))
        raise RunsError(
            f"column {place[0]!r}, {words.rows(unread.index)}: there is no number, and nothing "
            "else says where in its run such a row lies",
            "Correct it"
            + (
                f", or leave out the whole run with --where '{names[0]} not in {runs}'."
                if len(runs) <= _MOST_NAMED
                else "."
            ),
        )
    order = table.sort_values(known, kind="stable")
    return order.groupby(list(names), sort=False).tail(count).sort_index()


def cut_short(last: pd.DataFrame, whole: pd.DataFrame, names: Sequence[str]) -> list[Check]:
    """Doubt runs whose last row does not count, so that one of mid-schedule took its place.

    Parameters
    ----------
    last : pandas.DataFrame
        One row a run.
    whole : pandas.DataFrame
        All rows, those that are left out among them.
    names : sequence of str
        Columns that say of which run a row is.

    Returns
    -------
    list of Check
        One, or none.
    """
    place = next(name for name in PLACES if name in whole)
    keys = [whole[name] for name in names]
    latest = pd.to_numeric(whole[place], errors="coerce").groupby(keys).transform("max")
    rows = last.index[pd.to_numeric(last[place], errors="coerce") < latest[last.index]]
    if rows.empty:
        return []
    return [
        doubt(
            "not the last row",
            f"{words.rows(rows)}: later rows of these runs are left out",
            "Leave such rows out as well, if the end of training is what is wanted.",
            rows,
        )
    ]


def is_history(table: pd.DataFrame) -> bool:
    """Whether runs have several rows each, of equal size and other tokens or steps.

    Parameters
    ----------
    table : pandas.DataFrame
        Of runs, whose names are in the column ``run``.

    Returns
    -------
    bool
    """
    place = [name for name in ("tokens", *STEPS) if name in table]
    if "run" not in table or not place:
        return False
    table = table[table["run"].duplicated(keep=False) & table["run"].notna()]
    each = table.groupby("run")
    if len(table) == 0 or each.size().median() < 3:
        return False
    sizes = [name for name in ("params", "active_params") if name in table]
    one_size = all((each[name].nunique() <= 1).all() for name in sizes)
    return one_size and bool(_growing(table, place))


def _growing(table: pd.DataFrame, place: Sequence[str]) -> list[str]:
    """Name the columns in which all rows of a run differ."""
    each = table.groupby("run")
    return [name for name in place if (each[name].nunique() == each.size()).all()]


def require_no_history(table: pd.DataFrame) -> None:
    """Refuse tables of what runs said while they trained, of which only the last is finished.

    Parameters
    ----------
    table : pandas.DataFrame
        Without rows that are marked as unfinished.

    Raises
    ------
    RunsError
        If it is a history (`is_history`).
    """
    if not is_history(table):
        return
    table = table[table["run"].duplicated(keep=False) & table["run"].notna()]
    rows = table.groupby("run").size()
    grows = _growing(table, [name for name in ("tokens", *STEPS) if name in table])
    raise RunsError(
        f"{len(rows)} runs have {rows.median():.0f} rows each, of different {grows[0]}: a history, "
        "in which all but the last loss of a run were taken before its learning rate had decayed",
        'Keep the last row of each with --last-per run (in Python last_per="run"), or some of each '
        "with --mid-schedule keep.",
    )


def unfinished_points(table: pd.DataFrame) -> list[Check]:
    """Doubt points of curves that the table marks as of unfinished runs.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of Check
        One, or none.
    """
    marked = _marked(table)
    if not marked:
        return []
    rows = table.index[pd.concat(marked, axis=1).any(axis=1)]
    first = next(iter(marked))
    keep = {
        _PORTION: f"{_PORTION} >= 1",
        "mid_schedule": "mid_schedule == False",
        "finished": "finished == True",
        "is_final_checkpoint": "is_final_checkpoint == True",
    }
    finished = keep.get(first, f'`{first}` == "finished"')
    return [
        doubt(
            "unfinished runs",
            f"the column {first!r} marks {words.rows(rows)} as unfinished: losses of runs "
            "that end before their schedule lie above those of finished runs",
            f"If these curves are of finished runs, leave such rows out with --where '{finished}'.",
            rows,
        )
    ]


def _truth(values: pd.Series) -> pd.Series:
    """Truth values as 1, 0 and NaN for unknown; all NaN for a column that holds something else."""
    text = values.astype(str).str.strip().str.lower()
    number = text.map({"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0})
    return number if (number.notna() | values.isna()).all() else number * np.nan
