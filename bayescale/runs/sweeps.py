"""Sweeps: runs that differ in a few settings, in cells of one size and one number of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError, warn
from bayescale.runs.check import Check, doubt
from bayescale.runs.columns import candidates, unnamed, words_of
from bayescale.runs.doubts import OF_SWEEPS, SWEPT, originals
from bayescale.runs.numbers import parse, why_none
from bayescale.runs.query import leaving_out
from bayescale.runs.reading import load_table
from bayescale.runs.schedule import MidSchedule, settle
from bayescale.runs.sweep_design import design_of_sweep, levels
from bayescale.runs.table import Read, Runs, require_losses_alike, runs_from

ALIKE = {"params": 0.01, "tokens": 0.02}
"""How far counts may differ within a cell: tokens are steps times a batch, rounded."""

RAW = "raw_loss"
"""Column of losses as the table has them, where those of cells are capped."""

_ALIASES = (
    {"learning_rate", "lr", "peak_lr", "max_lr", "peak_learning_rate", "max_learning_rate"},
    {"batch_size", "bs", "global_batch_size", "train_batch_size"},
    {"batch_size_tokens", "batch_tokens", "tokens_per_batch", "tokens_per_step"},
    {"weight_decay", "wd"},
)
"""Names of the same setting."""

_RATES = {"lr", "rate"}
_LARGEST_RATE, _SMALL_RATE = 0.5, 0.05
_ROUNDING = 1e-9  # relative, of a loss at its ceiling
_NO_LOSS = ("nan", "inf", "+inf", "diverged", "none")  # in text, of a run that diverged


@typed
def read_sweep(
    source: str | Path | pd.DataFrame,
    knobs: str | Sequence[str],
    *,
    cells: str | Sequence[str] = (),
    far: float = 0.05,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    units: Mapping[str, float] | None = None,
    mid_schedule: MidSchedule = "exclude",
    best_per: str | Sequence[str] = (),
    last_per: str | Sequence[str] = (),
    params_are: str = "not stated",
    loss_unit: str | None = None,
    only: Sequence[str] = (),
) -> Runs:
    r"""Read a table of runs in which settings were swept, in cells of like runs.

    Runs of one size N (within 1%) and one number of tokens D (within 2%) are a cell. A run that
    lies more than `far` above the best of its cell, in log loss, says no more than that: its loss
    is capped there, at the ``ceiling`` of the cell. So are the losses of runs that diverged: those
    that the column ``diverged`` marks, and those without a loss, or with an infinite one.

    Parameters
    ----------
    source : path or pandas.DataFrame
        See `bayescale.read_runs`.
    knobs : str or sequence of str
        Columns of the settings that were swept, by our names or the table's own. One that is not
        found is looked for by its other usual names, as ``lr`` for ``learning_rate``.
    cells : str or sequence of str, optional
        Columns whose values make a cell, in place of params and tokens, e.g. ``["width"]``.
    far : float, optional
        Of log loss.
    columns, where, units, mid_schedule, best_per, last_per, params_are, loss_unit, only
        See `bayescale.read_runs`.

    Returns
    -------
    Runs
        With the columns ``cell`` (a name), ``size`` (the name of its N, or of the first of
        `cells`), ``ceiling`` and ``raw_loss``, the loss before it was capped.

    Raises
    ------
    RunsError
        For a table that is no sweep of these knobs, with the remedy.

    Warns
    -----
    RunsWarning
        For sweeps that can be used and leave something open.

    Examples
    --------
    >>> table = pd.DataFrame({"params": 1e8, "tokens": 2e9, "lr": [0.001, 0.002, 0.004, 0.008],
    ...     "loss": [3.2, 3.1, 3.15, float("nan")]})
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     runs = read_sweep(table, "learning_rate")
    >>> runs.table[["cell", "learning_rate", "loss"]].round(3).to_numpy().tolist()[-1]
    ['100M 2.00B', 0.008, 3.259]
    """
    knobs, cells, units = _listed(knobs), _listed(cells), units or {}
    loaded = load_table(source, only)
    columns, doubts = _with_aliases(loaded.table, knobs, columns or {})
    runs = runs_from(
        loaded,
        columns,
        where=where,
        units=units,
        mid_schedule=mid_schedule,
        best_per=best_per,
        last_per=last_per,
        params_are=params_are,
        response="loss",
        loss_unit=loss_unit,
        doubts=OF_SWEEPS,
        measured=partial(_measured, knobs, cells, far, units, loaded.decimal, mid_schedule, doubts),
    )
    return _swept(runs, knobs, cells, far)


def _with_aliases(
    table: pd.DataFrame, knobs: Sequence[str], columns: Mapping[str, str]
) -> tuple[dict[str, str], list[Check]]:
    """Find columns for knobs that the table lacks, by the other names of the same setting."""
    found, doubts = dict(columns), []
    for knob in knobs:
        if knob in table or knob in found or knob in found.values():
            continue
        names = next((own for own in _ALIASES if _plain(knob) in own), {_plain(knob)})
        meant = [str(name) for name in table if _plain(name) in names]
        if len(meant) == 1:
            found[knob] = meant[0]
            message = f"{knob} from the column {meant[0]!r} by its name"
            advice = f"Name it yourself if another is meant: --column {knob}=YOURS."
            doubts.append(doubt("column names", message, advice))
    return found, doubts


def _plain(name: object) -> str:
    return "_".join(words_of(str(name)))


def _measured(
    knobs: Sequence[str],
    cells: Sequence[str],
    far: float,
    units: Mapping[str, float],
    decimal: str,
    mid_schedule: MidSchedule,
    doubts: Sequence[Check],
    kept: pd.DataFrame,
    filled: pd.DataFrame,
    raw: pd.DataFrame,
) -> Read:
    """Read the knobs, and give runs without a loss the ceiling of their cell."""
    table, ledger, found = _known_knobs(kept, raw, knobs, units, decimal)
    table, diverged = _marked(table, raw)
    finished = settle(table, mid_schedule)[0]
    _require_losses(finished, raw, decimal)
    diverged = diverged[finished.index]  # those that are left out are taken for nothing
    capped = _capped(_in_cells(table, cells), far)
    return Read(capped, (*ledger, *_said(diverged)), (*doubts, *found, *_without_loss(diverged)))


@typed
def as_sweep(
    runs: Runs | pd.DataFrame,
    knobs: str | Sequence[str],
    *,
    cells: str | Sequence[str] = (),
    far: float = 0.05,
) -> Runs:
    """Put runs into cells, and cap losses far above the best of their cell.

    Parameters
    ----------
    runs : Runs or pandas.DataFrame
    knobs, cells, far
        See `read_sweep`.

    Returns
    -------
    Runs
        As `read_sweep` returns them; runs that are a sweep already keep their cells.

    Raises
    ------
    RunsError
        See `read_sweep`.

    Warns
    -----
    RunsWarning
        See `read_sweep`.
    """
    if not isinstance(runs, Runs):
        return read_sweep(runs, knobs, cells=cells, far=far)
    return _swept(runs, _listed(knobs), _listed(cells), far)


def _swept(runs: Runs, knobs: Sequence[str], cells: Sequence[str], far: float) -> Runs:
    """Put runs into cells; those of `read_sweep` have some, of runs that it may have left out."""
    units = dict.fromkeys(knobs, 1.0) if RAW in runs.table else {}
    table, ledger, found = _known_knobs(runs.table, runs.table, knobs, units, ".")
    copies = originals(table) != np.arange(len(table))
    found += _copied(table.index[copies])
    ledger += [f"{copies.sum()} copies of other rows left out"] if copies.any() else []
    table, dead = _without_dead_cells(_capped(_in_cells(table[~copies], cells), far))
    notices = (*found, *dead, *design_of_sweep(table, knobs))
    for notice in notices:
        warn(notice)
    known = [one for one in runs.notices if one.name != SWEPT]
    ledger = [*runs.ledger, *ledger, _counted(table, far)]
    return replace(runs, table=table, ledger=tuple(ledger), notices=(*known, *notices))


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _known_knobs(
    table: pd.DataFrame,
    raw: pd.DataFrame,
    knobs: Sequence[str],
    units: Mapping[str, float],
    decimal: str,
) -> tuple[pd.DataFrame, list[str], list[Check]]:
    """Read the knobs as positive numbers; rows that lack one are left out."""
    if not knobs:
        raise RunsError("no knob is named", "Name the swept columns, e.g. --knobs learning_rate.")
    table = table.copy()
    for knob in knobs:
        if knob not in table:
            raise unnamed(table, knob, f"the table has no column {knob!r}, which was swept")
        blank = table[knob].isna()
        if knob not in units:  # else read and multiplied already
            table[knob] = parse(table[knob], decimal=decimal)
        _require_numbers(table[knob], raw.loc[table.index, knob], blank, knob, decimal)
    lacking = table[list(knobs)].isna().any(axis=1)
    rows, table = table.index[lacking], table[~lacking]
    if len(table) == 0:
        raise RunsError(
            f"no row has a value of {' and of '.join(knobs)}",
            f"Name other columns, e.g. --column {knobs[0]}=YOURS.",
        )
    for knob in knobs:
        _require_unit(table[knob], knob, units)
    if len(rows) == 0:
        return table, [], []
    notice = doubt(
        "knob not known",
        f"{words.rows(rows)}: no value of {' or '.join(knobs)}, left out",
        "Fill them in, if these runs belong to the sweep.",
        rows,
    )
    return table, [f"{len(rows)} without {' or '.join(knobs)} left out"], [notice]


def _require_numbers(
    values: pd.Series, raw: pd.Series, blank: pd.Series, knob: str, decimal: str
) -> None:
    unread = values.isna() & ~blank & raw.notna()
    if unread.any():
        cell = raw[unread].iloc[0]
        raise RunsError(
            f"column {knob!r}, {words.rows(values.index[unread])}: {str(cell)[:60]!r} "
            + why_none(cell, decimal=decimal)
        )
    bad = values.notna() & ~((values > 0) & np.isfinite(values))
    if bad.any():
        rows = values.index[bad]
        raise RunsError(
            f"column {knob!r}, {words.rows(rows)}: {values[bad].iloc[0]:g} is no positive number, "
            "and bowls are drawn over the logarithm of a knob",
            f"Correct it, or leave such rows out with {leaving_out(rows, raw.to_frame())}.",
        )


def _require_unit(values: pd.Series, knob: str, units: Mapping[str, float]) -> None:
    """Refuse learning rates that are percents or of several units, unless a unit was stated."""
    if not _RATES & set(words_of(knob)) or knob in units:
        return
    stated = f"if that is meant, pass --unit {knob}=1 (in Python units={{'{knob}': 1}})"
    if (values > 1).all():
        raise RunsError(
            f"every {knob} is above 1, the median {values.median():g}: that is another unit",
            f"If they are percents pass --unit {knob}=0.01, if thousandths --unit {knob}=0.001; "
            f"{stated}.",
        )
    odd = values > _LARGEST_RATE
    if odd.any() and values.median() < _SMALL_RATE:
        rows = values.index[odd]
        raise RunsError(
            f"column {knob!r}, {words.rows(rows)}: {values[odd].iloc[0]:g}, where the median is "
            f"{values.median():g}: another unit, as percents?",
            f"Correct these rows, or leave them out with --where '{knob} <= {_LARGEST_RATE:g}'; "
            f"{stated}.",
        )


def _marked(table: pd.DataFrame, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Mark the rows without a finite loss as diverged; return where that is all that says so."""
    loss = table["loss"]
    cells = raw.loc[table.index, "loss"]
    said = cells.astype(str).str.strip().str.lower().isin(_NO_LOSS)
    lacking = (loss.isna() & (cells.isna() | said)) | np.isposinf(loss)
    known = _truth(table)
    return table.assign(loss=loss.mask(lacking), diverged=known | lacking), lacking & ~known


def _require_losses(table: pd.DataFrame, raw: pd.DataFrame, decimal: str) -> None:
    """Refuse losses that are none: caps would hide them. Blank ones are kept, as diverged runs."""
    loss = table["loss"]
    text = loss.isna() & ~table["diverged"]
    if (bad := text if text.any() else loss <= 0).any():
        rows = loss.index[bad]
        cell = raw.loc[rows[0], "loss"]
        why = f"{str(cell)[:60]!r} {why_none(cell, decimal=decimal)}"
        raise RunsError(
            f"column 'loss', {words.rows(rows)}: "
            + (why if text.any() else f"the value {loss[bad].iloc[0]:g} must be positive"),
            "Blank it if the run diverged, or leave such rows out with "
            f"{leaving_out(rows, table)}.",
        )
    known = loss[~table["diverged"]]
    require_losses_alike(known.clip(upper=known.median()))  # far below alone: high ones are capped


def _truth(table: pd.DataFrame) -> pd.Series:
    """Read the column ``diverged``; False where it is missing."""
    if "diverged" not in table:
        return pd.Series(False, index=table.index)
    text = table["diverged"].astype(str).str.strip().str.lower()
    return text.isin(("true", "1", "1.0", "yes"))


def _said(diverged: pd.Series) -> list[str]:
    return [f"{diverged.sum()} without a loss taken as diverged"] if diverged.any() else []


def _without_loss(diverged: pd.Series) -> list[Check]:
    if not diverged.any():
        return []
    rows = diverged.index[diverged]
    return [
        doubt(
            "runs without a loss",
            f"{words.rows(rows)}: taken as diverged, which says that their loss is high",
            "If they never ran or ended, leave them out with --where 'loss.notna()'.",
            rows,
        )
    ]


def _copied(rows: pd.Index) -> list[Check]:
    if len(rows) == 0:
        return []
    return [
        doubt(
            "duplicated runs",
            f"{words.rows(rows)} agree with an earlier row in every column: counted once",
            "If they are seeds whose rounded losses are equal, tell them apart by a column seed.",
            rows,
        )
    ]


def _in_cells(table: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """Name the cell of every run, and its size."""
    if "cell" in table and RAW in table:  # read as a sweep already
        return table
    if cells:
        return table.assign(**_of_columns(table, cells))
    lacking = [name for name in ALIKE if name not in table]
    if lacking:
        finding = f"the table has no {' and no '.join(lacking)}, which make the cells of a sweep"
        if all(candidates(table, name) for name in lacking):
            raise unnamed(table, lacking[0], finding)
        raise RunsError(
            finding,
            f"Name them with --column {lacking[0]}=YOURS, or name the columns that make a cell, "
            "e.g. --cells width,depth (in Python cells=['width', 'depth']).",
        )
    _require_counts(table)
    size = levels(table["params"], ALIKE["params"])
    place = pd.Series(0, index=table.index)
    for _, own in table.groupby(size):
        place[own.index] = levels(own["tokens"], ALIKE["tokens"])
    number = pd.Series(size, index=table.index).astype(str) + " " + place.astype(str)
    sizes = _names(table["params"].groupby(size).transform("median"))
    tokens = _names(table["tokens"].groupby(number).transform("median"))
    return table.assign(cell=sizes + " " + tokens, size=sizes)


def _require_counts(table: pd.DataFrame) -> None:
    for name in ALIKE:
        bad = ~(table[name] > 0)
        if bad.any():
            raise RunsError(
                f"column {name!r}, {words.rows(table.index[bad])}: no positive number, and it "
                "makes the cells of a sweep",
                f"Correct it, or leave such rows out with --where '{name} > 0'.",
            )


def _names(values: pd.Series) -> pd.Series:
    """Write counts, with as many digits as tell those apart that differ."""
    own = values.drop_duplicates()
    for digits in range(3, 10):
        names = own.map(partial(words.count, digits=digits))
        if names.is_unique:
            break
    return values.map(dict(zip(own, names, strict=True)))


def _of_columns(table: pd.DataFrame, cells: Sequence[str]) -> dict[str, pd.Series]:
    for name in cells:
        if name not in table:
            raise unnamed(table, name, f"the table has no column {name!r}, which makes its cells")
        if table[name].isna().any():
            rows = table.index[table[name].isna()]
            raise RunsError(
                f"column {name!r}, {words.rows(rows)}: no value, and it makes the cells of a sweep",
                f"Fill it in, or leave such rows out with --where '{name}.notna()'.",
            )
    parts = [f"{words.spaced(name)} " + table[name].map(_written) for name in cells]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + ", " + part
    return {"cell": whole, "size": parts[0]}


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _capped(table: pd.DataFrame, far: float) -> pd.DataFrame:
    """Cap losses at the ceiling of their cell; a cell whose runs all diverged has none, NaN."""
    if not (np.isfinite(far) and far > 0):
        raise RunsError(f"far must be a positive number, of log loss, got {far:g}")
    raw, diverged = table.get(RAW, table["loss"]), _truth(table)
    best = raw.mask(diverged | (raw <= 0)).groupby(table["cell"]).transform("min")
    ceiling = best * np.exp(far)
    over = diverged | ~(raw < ceiling)
    loss = raw.mask(over, ceiling.fillna(raw).fillna(np.exp(far)))
    return table.assign(loss=loss, diverged=diverged, ceiling=ceiling, **{RAW: raw})


def _without_dead_cells(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Check]]:
    """Leave out the cells of which every run diverged."""
    dead = table["ceiling"].isna()
    if dead.all():
        raise RunsError(
            "every run of the sweep diverged: no loss is known",
            "Add runs at lower learning rates, or, if the column 'diverged' means something else, "
            "rename it with --column own_diverged=diverged.",
        )
    if not dead.any():
        return table, []
    names = list(table.loc[dead, "cell"].unique())
    rows = table.index[dead]
    notice = doubt(
        "all runs of a cell diverged",
        f"{', '.join(names)}: left out",
        "Add runs there at lower learning rates.",
        rows,
    )
    return table[~dead], [notice]


def at_ceiling(table: pd.DataFrame) -> pd.Series:
    """Say which runs diverged, or lie so far above the best of their cell that they are capped.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `read_sweep`; runs without a ``ceiling`` are not capped.

    Returns
    -------
    pandas.Series of bool
    """
    if "ceiling" not in table:
        return pd.Series(False, index=table.index)
    return table["loss"] >= table["ceiling"] * (1 - _ROUNDING)


def _counted(table: pd.DataFrame, far: float) -> str:
    above = int(at_ceiling(table).sum())
    cells = words.counted(table["cell"].nunique(), "cell")
    return f"{cells}; {above} losses capped, {far:.0%} above the best of their cell or diverged"
