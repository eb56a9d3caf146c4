"""Accuracies of tasks become runs: one row for a run and a task, whatever the layout was."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError, warn
from bayescale.runs.accuracies import (
    as_shares,
    is_accuracy,
    is_spread,
    names_of_tasks,
    without_signs,
)
from bayescale.runs.check import Check, doubt
from bayescale.runs.doubts import COUNTS, OF_ANY, OF_TASKS, SWEPT, swept
from bayescale.runs.numbers import parse, why_none
from bayescale.runs.query import leaving_out
from bayescale.runs.reading import Loaded, load_table
from bayescale.runs.schedule import PLACES, MidSchedule, cut_short, last_of
from bayescale.runs.table import Read, Runs, no_number, read_runs, runs_from

type Levels = Mapping[str, float] | float | None
"""A number for each task, or one for all."""

ACCURACY = "accuracy"
"""Column of the response whose tables are read by task."""

_APART = 1.25  # factor between tokens of evaluations beyond which their mean is of smaller runs
_MOST_NAMED = 8
_OVERALL = ("task", ACCURACY)  # columns that a table with a column a task gets


@typed
def read_tasks(
    source: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    tasks: Sequence[str] | Mapping[str, str] | None = None,
    chance: Levels = None,
    trials: Levels = None,
    last: int = 1,
    join: str | Path | pd.DataFrame | Runs | None = None,
    where: str | None = None,
    units: Mapping[str, float] | None = None,
    mid_schedule: MidSchedule = "exclude",
    best_per: str | Sequence[str] = (),
    last_per: str | Sequence[str] = "run",
    params_are: str = "not stated",
    only: Sequence[str] = (),
) -> Runs:
    """Read a table of accuracies of tasks.

    A long table has a row for each run and task, with the columns ``run``, ``task``, ``accuracy``,
    ``chance`` (of guessing) and ``trials`` (how many items the task has), and what else is known of
    the run. Usual other names are known, as are percents, and errors in place of accuracies. A wide
    table has a row for each run and a column for each task: `tasks` names them.

    Checkpoints of one run are never independent: they answer the same items. Where a run and a task
    have several rows, the last ones count once.

    Parameters
    ----------
    source : path or pandas.DataFrame
        See `read_runs`.
    columns : mapping, optional
        Our name to the table's own; see `read_runs`.
    tasks : sequence of str, or mapping of str to str, optional
        Of a long table the tasks to keep. Of a wide one the columns of the tasks; ``"acc_*"``
        stands for all columns of such a name, and what the star stands for names the task. A
        mapping says the name of each task and how the table calls it.
    chance : mapping of str to float, or float, optional
        Share that guessing gets right, for each task or for all, where the table does not say it.
    trials : mapping of str to float, or float, optional
        Number of items, for each task or for all, where the table does not say it. It may stay
        unknown.
    last : int, optional
        How many evaluations of a run count, from the last one back: their mean, with the items of
        one of them.
    join : path, pandas.DataFrame or Runs, optional
        A second table, of one row for each run: what the first lacks, such as params and tokens, is
        taken from it by the column ``run``.
    where : str, optional
        A pandas query that keeps rows; accuracies are as the table has them.
    units, mid_schedule, params_are, only
        See `read_runs`. ``{"accuracy": 0.01}`` says that accuracies are in percent.
    best_per : str or sequence of str
        Keep the run of lowest loss for each combination of these columns, of each task.
    last_per : str or sequence of str
        Columns that tell runs apart.

    Returns
    -------
    Runs
        One row for a run and a task: ``run``, ``task``, ``accuracy`` (a share), ``chance``,
        ``trials`` (NaN where unknown), and the table's own columns. Columns that nothing is known
        for are not there. The index of a table that was wide counts its new rows.

    Raises
    ------
    RunsError
        For what cannot be used; the message names rows and remedy.

    Warns
    -----
    RunsWarning
        For tasks without a level of guessing, which are left out, and what `read_runs` warns of.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"run": ["a", "b"], "params": [1e8, 1e9], "tokens": [2e9, 2e10], "piqa": [58.5, 66.0]}
    ... )
    >>> runs = read_tasks(table, tasks=["piqa"], chance=0.5, trials=1838)
    >>> runs.table[["run", "task", "accuracy", "chance"]].to_numpy().tolist()
    [['a', 'piqa', 0.585, 0.5], ['b', 'piqa', 0.66, 0.5]]
    """
    if last < 1:
        raise RunsError(f"last must be at least 1, got {last}")
    stated, factors = dict(columns or {}), dict(units or {})
    loaded = load_table(source, only)
    loaded = loaded if join is None else _joined(loaded, join, stated)
    layout = _layout(loaded.table, stated, tasks)
    ours = {theirs: name for name, theirs in layout.names.items()}
    per = [ours.get(name, name) for name in _listed(last_per)]
    if ACCURACY in factors and layout.measured != ACCURACY:
        factors |= dict.fromkeys(layout.columns, factors.pop(ACCURACY))
    runs = runs_from(
        layout.without_signs(loaded),
        layout.names,
        where=where,
        units=factors,
        mid_schedule=mid_schedule,
        best_per=[*_listed(best_per), *(["task"] if best_per and layout.long else [])],
        params_are=params_are,
        response=layout.measured or None,
        doubts=OF_TASKS if layout.long else OF_ANY,
        measured=partial(_measured, layout, loaded.decimal, tuple(factors), per, last),
    )
    runs = _one_row_a_task(runs, layout.wide) if layout.wide else runs
    known = layout.tasks_of(loaded.table)
    runs, doubts = _with_chance(runs, chance, known, loaded.decimal, tuple(factors))
    runs = _with_trials(runs, trials, known, loaded.decimal)
    for one in doubts:
        warn(one)
    return replace(runs, notices=(*runs.notices, *doubts))


def as_runs(
    source: Runs | str | Path | pd.DataFrame,
    response: str,
    options: Mapping[str, Any],
    inputs: Sequence[str] = (),
) -> Runs:
    """Take runs as they are, or read them from a table.

    Parameters
    ----------
    source : Runs, path or pandas.DataFrame
    response : str
        Column of what the law says of the runs.
    options : mapping of str to Any
        Of `read_runs`, or of `read_tasks` for accuracies.
    inputs : sequence of str, optional
        What the law reads, as `read_runs` has it.

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        For options of runs that are read already, or a table that cannot be read.
    """
    reader = partial(read_runs, response=response, inputs=inputs)
    read = read_tasks if response == ACCURACY else reader
    inspect.signature(read).bind(source, **options)  # names of options
    if not isinstance(source, Runs):
        return read(source, **options)
    if options:
        raise RunsError(
            f"{', '.join(options)}: these runs are read already; pass this to "
            f"{'read_tasks' if response == ACCURACY else 'read_runs'}, or the table in place of "
            "the runs"
        )
    if any(notice.name == SWEPT for notice in source.notices):  # read without a law in mind
        others = (notice for notice in source.notices if notice.name != SWEPT)
        return replace(source, notices=(*others, *swept(source.table, inputs)))
    return source


@dataclass(frozen=True)
class _Layout:
    """Where a table has its accuracies.

    Parameters
    ----------
    names : mapping of str to str
        Our name to the table's own.
    measured : str
        "accuracy" or "error", empty for a table with a column for each task.
    long : bool
        Whether it has a row for each run and task.
    wide : mapping of str to str
        Column of each task.
    kept : mapping of str to str
        Of a long table the tasks to keep, and their names there; empty for all.
    """

    names: Mapping[str, str]
    measured: str = ""
    long: bool = False
    wide: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Columns of what was measured."""
        return [*self.wide.values()] or [self.measured]

    def without_signs(self, loaded: Loaded) -> Loaded:
        """Read 56.3% as 0.563."""
        table = loaded.table
        theirs = {self.names.get(n, n) for n in (*self.columns, "chance", "chance_error")}
        cells = {n: without_signs(table[n], loaded.decimal) for n in theirs if n in table}
        changed = [name for name, own in cells.items() if not own.equals(table[name])]
        said = [f"{name}: percents read as shares, by their signs" for name in changed]
        table = table.assign(**{name: cells[name] for name in changed})
        return replace(loaded, table=table, ledger=(*loaded.ledger, *said))

    def tasks_of(self, raw: pd.DataFrame) -> list[str]:
        """Names of all tasks of a table, before any filter."""
        if not self.long:
            return [*self.wide]
        return [*self.kept] or [*map(str, raw[self.names.get("task", "task")].unique())]


def _layout(
    table: pd.DataFrame, stated: Mapping[str, str], tasks: Sequence[str] | Mapping[str, str] | None
) -> _Layout:
    names = names_of_tasks(table, stated)
    names = {**names, **stated}
    here = {*names, *(set(map(str, table.columns)) - {*names.values()})}
    measured = next((name for name in (ACCURACY, "error") if name in here), "")
    if measured == ACCURACY:
        names.pop("error", None)
    if "run" in names and "run" not in stated:
        _require_name_of_runs(table, names)
    if "task" in here and measured:
        there = list(map(str, table[names.get("task", "task")].dropna().unique()))
        kept = _chosen(tasks, there, "task") if tasks else {}
        return _Layout(names, measured, long=True, kept=kept)
    if tasks:
        numeric = [str(n) for n in table.columns if parse(table[n]).notna().any()]
        wide = _chosen(tasks, [str(n) for n in table.columns], "column", numeric)
        names = {ours: n for ours, n in names.items() if ours not in (*_OVERALL, "error")}
        return _Layout({o: n for o, n in names.items() if n not in wide.values()}, wide=wide)
    if not measured:
        raise _without_accuracies(table)
    return _Layout(names, measured)


def _require_name_of_runs(table: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Refuse to take models for runs where several runs of one model may be in the table."""
    theirs, task = names["run"], names.get("task", "task")
    keys = [theirs, *([task] if task in table else [])]
    again = table.duplicated(keys)
    if "model" in theirs.lower() and again.any():
        raise RunsError(
            f"nothing names the runs, and the column {theirs!r} names "
            f"{words.rows(table.index[again])} as rows above: do they belong to one run?",
            f"If it names runs pass --column run={theirs} (in Python columns={{'run': '{theirs}'}}"
            "), else give each run a name of its own in a column run.",
        )


def _chosen(
    tasks: Sequence[str] | Mapping[str, str],
    there: Sequence[str],
    what: str,
    numeric: Sequence[str] | None = None,
) -> dict[str, str]:
    """Find tasks among columns, or values of a column: the name of each, and what it is there."""
    found: dict[str, str] = {}
    entries = tasks.items() if isinstance(tasks, Mapping) else [(own, own) for own in tasks]
    for name, entry in entries:
        if "*" in entry:
            form = re.compile("(.+)".join(map(re.escape, entry.split("*", 1))))
            fits = {
                m[1]: n for n in numeric or there if (m := form.fullmatch(n)) and not is_spread(n)
            }
        else:
            fits = {name: entry} if entry in there else {}
        if not fits:
            raise RunsError(
                f"tasks: there is no {what} {entry!r}; {words.did_you_mean(entry, list(there))}"
            )
        if again := [own for own in fits if own in found]:
            raise RunsError(f"tasks: {again[0]!r} is named twice; name each task once")
        found |= fits
    return found


def _without_accuracies(table: pd.DataFrame) -> RunsError:
    found = [str(name) for name in table.columns if is_accuracy(str(name))]
    if not found:
        return RunsError(
            f"the table has no column {ACCURACY!r}",
            f"The columns are {', '.join(map(str, table.columns))}: pass --column accuracy=YOURS "
            '(in Python columns={"accuracy": YOURS}), or, if each task has a column of its own, '
            "--tasks ONE,ANOTHER (in Python tasks=[ONE, ANOTHER]).",
        )
    listed = ",".join(found)
    inside = ", ".join(f'"{name}"' for name in found)
    return RunsError(
        f"the table has no column {ACCURACY!r}",
        f"If {_some(found)} are accuracies of tasks, pass --tasks {listed} (in "
        f"Python tasks=[{inside}]).",
    )


def _joined(
    loaded: Loaded, join: str | Path | pd.DataFrame | Runs, stated: Mapping[str, str]
) -> Loaded:
    """Take what a table lacks from a second one, by the name of the run."""
    own = stated.get("run", "run")
    other = Loaded(join.table, join.source, "") if isinstance(join, Runs) else load_table(join)
    more, key = other.table, own if own in other.table else "run"
    for name, table, column in (("first", loaded.table, own), ("second", more, key)):
        if column not in table:
            raise RunsError(
                f"join: the {name} table has no column {column!r}, by which runs are found",
                f"Its columns are {', '.join(map(str, table.columns))}: rename that of the runs.",
            )
    if (again := more[key].duplicated()).any():
        raise RunsError(
            f"join: {other.name}, {words.rows(more.index[again])}: {more[key][again].iloc[0]!r} "
            "has a row already, and each run may have one",
            "Join a table of one row for each run.",
        )
    new = [name for name in more.columns if name not in loaded.table and name != key]
    place = pd.Index(more[key]).get_indexer(loaded.table[own])
    if (place < 0).all():
        raise RunsError(
            f"join: {other.name} has none of the runs, such as {loaded.table[own].iloc[0]!r}",
            "Name the runs alike in both tables.",
        )
    taken = more[new].reset_index(drop=True).reindex(place).set_axis(loaded.table.index)
    said = f"{', '.join(new)} joined from {other.name} by {own}"
    table = pd.concat([loaded.table, taken], axis=1)
    return replace(loaded, table=table, ledger=(*loaded.ledger, said))


def _measured(
    layout: _Layout,
    decimal: str,
    stated: Sequence[str],
    per: Sequence[str],
    last: int,
    kept: pd.DataFrame,
    filled: pd.DataFrame,
    raw: pd.DataFrame,
) -> Read:
    """Read what was measured of the rows that the filter keeps, and settle checkpoints."""
    table, ledger = kept, list[str]()
    if layout.long:
        table = _of_tasks(table, layout.kept)
        table, ledger = _named_runs(table)
    values = _numbers(table, raw, layout.columns, decimal)
    values, said = as_shares(values, stated)
    if layout.measured == "error":
        values = (1.0 - values).rename(columns={"error": ACCURACY})
        said.append("accuracy is 1 minus the column error")
    table = table.drop(columns=[n for n in ("error", *_OVERALL) if layout.wide and n in table])
    table = table.drop(columns="error" if layout.measured == "error" else [])
    table = table.assign(**{str(name): values[name] for name in values})
    missing = values.isna().all(axis=1)
    if missing.all():
        raise RunsError(
            "no row has an accuracy", "Name the column with --column accuracy=YOURS, or --tasks."
        )
    said += [f"{missing.sum()} without an accuracy left out"] if missing.any() else []
    names = [*(name for name in per if name in table or name != "run")]
    names += ["task"] if layout.long else []
    settled = _settled(table[~missing], filled, names, list(map(str, values)), last)
    return Read(settled.table, (*ledger, *said, *settled.ledger), settled.doubts)


def _numbers(
    table: pd.DataFrame, raw: pd.DataFrame, columns: Sequence[str], decimal: str
) -> pd.DataFrame:
    values = pd.DataFrame({name: parse(table[name], decimal=decimal) for name in columns})
    for name in columns:
        if (unread := no_number(values, raw, name)).any():
            rows = values.index[unread]
            cell = raw.loc[rows[0], name]
            raise RunsError(
                f"column {name!r}, {words.rows(rows)}: {str(cell)[:60]!r} "
                + why_none(cell, decimal=decimal)
                + ", or blank it if nothing was measured",
                f"Or leave such rows out with {leaving_out(rows, table)}.",
            )
    return values


def _of_tasks(table: pd.DataFrame, kept: Mapping[str, str]) -> pd.DataFrame:
    """Rows of some tasks, under the names that were given to them; of all where none is given."""
    if (nameless := table["task"].isna()).any():
        raise RunsError(
            f"column 'task', {words.rows(table.index[nameless])}: nothing says of which task this "
            "is",
            "Correct it, or leave such rows out with --where 'task.notna()'.",
        )
    table = table.assign(task=table["task"].astype(str))
    if not kept:
        return table
    ours = {theirs: name for name, theirs in kept.items()}
    return table[table["task"].isin(ours)].assign(task=lambda some: some["task"].map(ours))


def _named_runs(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Name the runs of a long table that names none by their sizes."""
    if "run" in table:
        return table, []
    keys = [name for name in COUNTS if name in table]
    if not keys or any(name in table for name in PLACES if name != "tokens"):
        raise RunsError(
            "nothing says which rows are of one run", "Name that column with --column run=YOURS."
        )
    number = table.groupby(keys, dropna=False, sort=False).ngroup() + 1
    said = f"nothing names the runs: rows of equal {', '.join(keys)} are taken for one"
    return table.assign(run="run-" + number.astype(str)), [said]


def _settled(
    table: pd.DataFrame,
    filled: pd.DataFrame,
    names: Sequence[str],
    columns: Sequence[str],
    last: int,
) -> Read:
    """Let the checkpoints of one run count once, by the last of them."""
    if missing := [name for name in names if name not in table]:
        raise RunsError(
            f"the last row per {', '.join(names)} is asked for; {', '.join(missing)} is no "
            f"column of {', '.join(map(str, table.columns))}"
        )
    if names and (nameless := table[list(names)].isna().any(axis=1)).any():
        raise RunsError(
            f"column{'s' if len(names) > 1 else ''} {', '.join(names)}, "
            f"{words.rows(table.index[nameless])}: nothing says of which run this is",
            f"Leave such rows out with --where '{names[0]}.notna()'.",
        )
    runs = [name for name in names if name != "task"]
    placed = bool(runs) and {*runs} <= {*filled} and any(name in filled for name in PLACES)
    if not names or not table.duplicated(names).any():
        return Read(table, doubts=cut_short(table, filled, runs) if placed else ())
    _require_checkpoints(table, names, columns)
    rows = last_of(table, names, last)
    keys = [rows[name] for name in names]
    ended = last_of(rows, names)
    mean = rows[list(columns)].groupby(keys).transform("mean").loc[ended.index]
    what = f"of each {' and '.join(names)}"
    said = f"{len(table) - len(ended)} earlier evaluations {what} are no runs of their own: "
    said += (
        f"left out, the last {what} counts"
        if last == 1
        else f"the accuracy is the mean of the last {last} {what}, with the items of one"
    )
    doubts = [*(cut_short(ended, filled, runs) if placed else ()), *_far_apart(rows, keys)]
    return Read(ended.assign(**{name: mean[name] for name in columns}), [said], doubts)


def _require_checkpoints(
    table: pd.DataFrame, names: Sequence[str], measured: Sequence[str]
) -> None:
    """Refuse rows of one run and task that lie at one place of the run."""
    place = [name for name in PLACES if name in table]
    again = table.duplicated([*names, *place], keep=False)
    if not again.any():
        return
    number = table.groupby([*names, *place], dropna=False).ngroup()
    rows = table[number == number[again].iloc[0]]
    first = rows.iloc[0]
    rest = [name for name in table if name not in (*names, *place, *measured)]
    differ = [name for name in rest if rows[name].astype(str).nunique() > 1]
    which = ", ".join(f"{name} {first[name]!r}" for name in names)
    advice = (
        f"They differ in {', '.join(map(str, differ[:_MOST_NAMED]))}: keep one with --where, or, "
        f"if these are runs of their own, pass --last-per {','.join([*names[:1], str(differ[0])])}."
        if differ
        else f"Leave one out with {leaving_out(rows.index[1:2], table)}, or give runs names of "
        "their own."
    )
    if "task" not in names and list(measured) == [ACCURACY]:
        advice = (
            f"If they are of several tasks, name that column with --column task=YOURS. {advice}"
        )
    raise RunsError(
        f"{words.rows(rows.index)}: {which} stands there more than once, and nothing says which "
        "is later",
        advice,
    )


def _far_apart(rows: pd.DataFrame, keys: Sequence[pd.Series]) -> list[Check]:
    """Doubt a mean over evaluations that lie far apart in their run."""
    place = next(name for name in PLACES if name in rows)
    values = pd.to_numeric(rows[place], errors="coerce").groupby(list(keys))
    far = values.transform("max") > _APART * values.transform("min")
    if not far.any():
        return []
    most = float((values.max() / values.min()).max())
    return [
        doubt(
            "evaluations far apart",
            f"the evaluations of one run whose mean is taken have {place} up to {most:.3g} times "
            "those of the first",
            "Take fewer of them with --last, for the earlier ones are of a model trained less.",
            rows.index[far],
        )
    ]


def _one_row_a_task(runs: Runs, columns: Mapping[str, str]) -> Runs:
    """Give each run a row for each task that it was evaluated on."""
    table, theirs = runs.table, list(columns.values())
    again = table.index.repeat(len(columns))
    long = table.drop(columns=theirs).loc[again].reset_index(drop=True).rename_axis(columns=None)
    at = list(long.columns).index("run") + 1
    long.insert(at, "task", np.tile(list(columns), len(table)))
    long.insert(at + 1, ACCURACY, table[theirs].to_numpy(float).ravel())
    known = long[ACCURACY].notna()
    said = [f"one row for each run and task: {', '.join(theirs)}"]
    said += [f"{(~known).sum()} without an accuracy left out"] if not known.all() else []
    own = None if runs.own is None else runs.own.loc[again].reset_index(drop=True)
    return replace(runs, table=long[known], own=own, settings=None, ledger=(*runs.ledger, *said))


def _with_chance(
    runs: Runs, given: Levels, tasks: Sequence[str], decimal: str, stated: Sequence[str]
) -> tuple[Runs, list[Check]]:
    """Complete the levels of guessing, and leave out tasks that have none."""
    table, said = runs.table, list[str]()
    name = "chance_error" if "chance_error" in table and "chance" not in table else "chance"
    values = pd.Series(np.nan, index=table.index)
    if name in table:
        shares, said = as_shares(_numbers(table, table, [name], decimal), stated)
        values = shares[name] if name == "chance" else 1.0 - shares[name]
        said += ["chance is 1 minus the error of guessing"] if name != "chance" else []
    if (high := values >= 1).any():
        raise RunsError(
            f"column {name!r}, {words.rows(table.index[high])}: guessing gets all items right",
            f"Correct it, or leave such rows out with --where '{name} "
            f"{'< 1' if name == 'chance' else '> 0'}'.",
        )
    _require_one_level(table, values)
    values, more = _given("chance", given, values, table, tasks)
    table = table.drop(columns=name if name in table else [])
    if values.isna().all():
        ledger = (*runs.ledger, *said, "no level of guessing is known")
        return replace(runs, table=table, ledger=ledger), []
    table, said = table.assign(chance=values), [*said, *more]
    lacking = values.isna()
    if not lacking.any():
        return replace(runs, table=table, ledger=(*runs.ledger, *said)), []
    which = list(map(str, table.loc[lacking, "task"].unique())) if "task" in table else []
    named = _some(which) if which else words.rows(table.index[lacking])
    one = which[0] if which else "TASK"
    left_out = doubt(
        "no level of guessing",
        f"{named} {'has' if len(which) == 1 else 'have'} none: left out",
        f'Give it with --chance "{one}=0.25" (in Python chance={{"{one}": 0.25}}), 0 where '
        "guessing gets nothing right.",
        table.index[lacking],
    )
    said.append(f"{lacking.sum()} without a level of guessing left out: {named}")
    return replace(runs, table=table[~lacking], ledger=(*runs.ledger, *said)), [left_out]


def _require_one_level(table: pd.DataFrame, values: pd.Series) -> None:
    if "task" not in table:
        return
    usual = values.groupby(table["task"]).transform(
        lambda own: own.mode().iloc[0] if own.notna().any() else np.nan
    )
    odd = (values - usual).abs() > 1e-6
    if odd.any():
        row = table.index[odd][0]
        raise RunsError(
            f"column 'chance', {words.rows(table.index[odd])}: the task {table.loc[row, 'task']!r} "
            f"has the level {values[row]:g} there and {usual[row]:g} in other rows",
            "Correct it, or, if these are two tasks, give each a name of its own.",
        )


def _with_trials(runs: Runs, given: Levels, tasks: Sequence[str], decimal: str) -> Runs:
    """Complete the numbers of items, which may stay unknown."""
    table = runs.table
    values = pd.Series(np.nan, index=table.index)
    if "trials" in table:
        values = parse(table["trials"], counts=True, decimal=decimal)
        bad = ~(np.isfinite(values) & (values > 0)) & table["trials"].notna()
        if bad.any():
            raise RunsError(
                f"column 'trials', {words.rows(table.index[bad])}: "
                f"{table.loc[bad, 'trials'].iloc[0]} is no number of items",
                "Correct it, blank it if the number is not known, or leave such rows out with "
                f"{leaving_out(table.index[bad][:_MOST_NAMED], table)}.",
            )
    values, said = _given("trials", given, values, table, tasks)
    if values.isna().all():
        return replace(runs, table=table.drop(columns="trials" if "trials" in table else []))
    unknown = table.index[values.isna()]
    said += [f"the number of items is not known of {words.rows(unknown)}"] if len(unknown) else []
    return replace(runs, table=table.assign(trials=values), ledger=(*runs.ledger, *said))


def _given(
    name: str, given: Levels, values: pd.Series, table: pd.DataFrame, tasks: Sequence[str]
) -> tuple[pd.Series, list[str]]:
    """Fill what a table does not say with what was given, which may not contradict it."""
    of_tasks = given if isinstance(given, Mapping) else {}
    for task, value in of_tasks.items():
        _require_level(name, value)
        if not tasks:
            raise RunsError(f"{name}: the table has no column of tasks; give one number for all")
        if task not in tasks:
            raise RunsError(f"{name}: there is no task {task!r}; {words.did_you_mean(task, tasks)}")
        other = (table["task"] == task) & ((values - value).abs() > 1e-6)
        if other.any():
            raise RunsError(
                f"column {name!r}, {words.rows(table.index[other])}: the table says "
                f"{values[other].iloc[0]:g} of the task {task!r}, and {value:g} is given",
                f"Leave it out of {name}, or correct the table.",
            )
        values = values.mask((table["task"] == task) & values.isna(), value)
    before = values.isna()
    if name == "chance" and "task" in table:  # one level a task, also where a cell is blank
        values = values.fillna(values.groupby(table["task"]).transform("first"))
    if given is not None and not isinstance(given, Mapping):
        _require_level(name, given)
        values = values.fillna(given)
    filled = before & values.notna()
    said = [f"{name} of {', '.join(of_tasks)} as stated"] if of_tasks else []
    return values, said + ([f"{name} filled where it was blank"] if filled.any() else [])


def _require_level(name: str, value: float) -> None:
    if name == "chance" and not 0 <= value < 1:
        hint = "; write 25% as 0.25" if value >= 1 else ""
        raise RunsError(f"chance must be a share from 0 to less than 1, got {value:g}{hint}")
    if name == "trials" and not 0 < value < np.inf:
        raise RunsError(f"trials must be a positive number of items, got {value:g}")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
