"""The table of training runs: reading, naming, completing and doubting it.

This is the only module that knows raw files and raw column names. Everything after it sees the
columns ``run, params, tokens, flops, loss`` (counts as float64, loss in nats per token) and
whatever group columns the table has.
"""

import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.errors import RunsError, warn
from bayescale.runs.check import Check
from bayescale.runs.checkpoints import FEWEST_RUNS, thin
from bayescale.runs.columns import (
    PF_DAY,
    Named,
    accuracy_as_loss,
    name_columns,
    require_agreement,
    unit_option,
    unnamed,
)
from bayescale.runs.doubts import (
    COUNTS,
    FLOPS_PER_PARAM_TOKEN,
    OF_ANY,
    OF_LOSSES,
    Doubt,
    originals,
    small,
    swept,
    tiny,
)
from bayescale.runs.embeddings import counting_of
from bayescale.runs.experts import (
    counted_params,
    experts_unsaid,
    known_elsewhere,
    routed,
    said_of_dense,
    with_dense,
)
from bayescale.runs.losses import LossUnit, doubts_of, loss_unit_of, require_no_perplexity
from bayescale.runs.numbers import parse, why_none
from bayescale.runs.query import leaving_out, select
from bayescale.runs.reading import Loaded, load_table
from bayescale.runs.schedule import (
    MidSchedule,
    cut_short,
    is_history,
    last_of,
    require_no_history,
    require_there,
    settle,
    unfinished_points,
)
from bayescale.runs.settings import settings

SHARES_WITHIN = 0.02
"""How far the shares of a mixture may be from a sum of 1: published ones are rounded."""

_GIVEN = {"chance": "what guessing gets right", "trials": "how many items a task has"}
_EXAMPLES = {"chance": 0.5, "trials": 1838}
_FILLED = ("params", "tokens", "flops")
_TAKEN = -1  # in place of a number of sizes, for runs that a budget has
_SHOWN = 7  # columns of the first rows that runs show
_LOSS_FAR = 50.0  # factor to the median of a loss that nothing explains
_LOSS_GAP = 10.0  # factor to the next loss
_TOTALS = ("total", "totals", "sum", "mean", "average", "avg", "median", "std", "count")
_NEAR = 1.5  # factor between sizes that count FLOPs alike


@dataclass(frozen=True)
class Read:
    """Rows of which is known what was measured, on the way from a raw table to runs.

    Parameters
    ----------
    table : pandas.DataFrame
    ledger : sequence of str
    doubts : sequence of Check
    """

    table: pd.DataFrame = field(repr=False)
    ledger: Sequence[str] = ()
    doubts: Sequence[Check] = ()


type Measured = Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame], Read]
"""Reads what was measured: of rows that a filter keeps, of all rows, and of their raw cells."""


@dataclass(frozen=True, repr=False)
class Runs(Shown):
    """Training runs ready for a model.

    A run of weight 0 counts nowhere, neither in a likelihood nor in the range of the runs or their
    design, so there is none among them.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per run: ``run``, ``loss`` (nats per token), and the counts that are known among
        ``params``, ``tokens``, ``unique_tokens``, ``flops`` (float64), and the table's own columns.
        The index holds the row of the raw table, counted from 0.
    source : str
        Where the runs came from, for the report.
    sha256 : str
        Digest of the raw file, empty for a table made in memory.
    params_are : str
        What N counts, in the user's words ("total", "non-embedding", ...).
    ledger : tuple of str
        What was done to the raw table, one sentence each.
    notices : tuple of Check
        What looks doubtful.
    counted : str
        Column of the parameters N that C = k N D counts: another one than ``params`` for laws of
        active parameters.
    settings : tuple of str or None
        Columns in which runs of one configuration agree; by default those that look like settings
        in this table (`bayescale.runs.settings`). Runs taken from others keep theirs.
    unit : str
        Of the losses, where the table or who reads it says one; else it is that of the law.
    own : pandas.DataFrame, optional
        Columns that were renamed, by the table's own names and in its own units, for queries.
    """

    table: pd.DataFrame = field(repr=False)
    source: str
    sha256: str = ""
    params_are: str = "not stated"
    ledger: tuple[str, ...] = ()
    notices: tuple[Check, ...] = field(default=(), repr=False)
    counted: str = "params"
    settings: tuple[str, ...] | None = field(default=None, repr=False)
    unit: str = ""
    own: pd.DataFrame | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if "weight" in self.table:
            object.__setattr__(self, "table", self.table[self.table["weight"] != 0])
        if self.settings is None:
            object.__setattr__(self, "settings", settings(self.table))

    def __len__(self) -> int:
        return len(self.table)

    def _parts(self) -> Iterator[Part]:
        yield Bold(f"{len(self)} runs of {self.source}, params are: {self.params_are}")
        yield from (Bold(f"{notice.status} {notice}") for notice in self.notices)
        if len(self) == 0:
            return
        known = ("params", "tokens", "unique_tokens", "flops", "loss")
        table = self.table[[*(n for n in known if n in self.table), *self.table.columns]]
        table = table.loc[:, ~table.columns.duplicated()].drop(columns="run", errors="ignore")
        table = table.dropna(axis="columns", how="all")  # as exports have for what was not used
        numeric = table.select_dtypes("number").columns
        ends = [(n, _cell(n, table[n].min()), _cell(n, table[n].max())) for n in numeric]
        yield Grid(("column", "smallest", "largest"), ends)
        for name in table.columns.difference(numeric, sort=False):
            values = table[name].astype(str).unique()
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            yield f"{name}: {', '.join(values[:5])}{more}"
        yield f"Ledger: {'; '.join(self.ledger) or 'nothing was done'}."
        first = self.table[["run", *table.columns[:_SHOWN]]].head()
        rows = [[_cell(str(n), value) for n, value in row.items()] for _, row in first.iterrows()]
        yield Grid(list(map(str, first.columns)), rows)
        yield "Ask next: check_runs(runs), fit(runs)"

    @property
    def flops_per_param_token(self) -> float:
        """FLOPs per parameter and token, k in C = k N D: 6, or what the table's own C says.

        Then the geometric mean of C/(N D) over the largest decade of compute: embeddings and
        attention weigh less in larger models, and larger models are what one extrapolates to.
        """
        size = self.counted
        if len(self) == 0 or not {size, "tokens", "flops"} <= set(self.table.columns):
            return FLOPS_PER_PARAM_TOKEN
        # Of a law of all parameters: with experts they are not what compute counts.
        own = self.table if size != "params" else self.table[~routed(self.table)]
        if len(own) == 0:
            return FLOPS_PER_PARAM_TOKEN
        ratio = own["flops"] / (own[size] * own["tokens"])
        largest = own["flops"] >= own["flops"].max() / 10
        k = float(np.exp(np.log(ratio[largest]).mean()))
        return FLOPS_PER_PARAM_TOKEN if np.isclose(k, FLOPS_PER_PARAM_TOKEN, rtol=1e-3) else k

    def flops_per_param_token_at(self, params: np.ndarray) -> np.ndarray:
        """K in C = k N D at each size N, for tables whose own C says that it changes with size.

        The geometric mean of C/(N D) over the runs near N, weighted by a Gaussian in log N of which
        one sd is a factor 1.5; beyond the sizes of the runs as at the nearest of them. The shape is
        that of `params`.

        Parameters
        ----------
        params : ndarray
            Sizes N.

        Returns
        -------
        ndarray
        """
        k = self.flops_per_param_token
        if k == FLOPS_PER_PARAM_TOKEN:
            return np.full(np.shape(params), k)
        sizes, own = np.log(self.column(self.counted)), np.log(self.column("flops"))
        own = own - sizes - np.log(self.column("tokens"))
        grid = np.linspace(sizes.min(), sizes.max(), 100)
        near = (np.exp(-0.5 * ((centre - sizes) / np.log(_NEAR)) ** 2) for centre in grid)
        smooth = [(weights * own).sum() / weights.sum() for weights in near]
        return np.exp(np.interp(np.log(params), grid, smooth))

    def column(self, name: str) -> np.ndarray:
        """One column as float64.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray, shape (runs,)

        Raises
        ------
        RunsError
            If the table does not have it, or has missing, non-positive or infinite values there.
        """
        return positive(self.table, name)

    def hold_out(self, where: str) -> tuple["Runs", "Runs"]:
        """Split into the runs to fit and those held back to test the fit, which match a query.

        Parameters
        ----------
        where : str
            A pandas query on our names, or the table's own.

        Returns
        -------
        kept : Runs
        held : Runs

        Raises
        ------
        RunsError
            If the query cannot be applied, matches nothing, or matches every run.
        """
        held = select(self.table, where, self.own)
        kept = self.table.drop(index=held.index)
        if len(kept) == 0:
            raise RunsError(f"{where!r} holds back all {len(held)} runs: none is left to fit")
        entry = f"{len(held)} runs held back by {where!r}: not fitted, predicted"
        return (
            replace(self, table=kept, ledger=(*self.ledger, entry)),
            replace(self, table=held, source=f"the runs with {where}"),
        )

    def budgets(self, *, within: float = 0.1, sizes: int = 5) -> pd.Series:
        """FLOP budget of each run that lies on an isoFLOP curve, NaN for the others.

        The column ``budget`` where it holds FLOPs; otherwise the windows of compute, a factor
        ``(1 + within)**2`` wide and no two nearer than that, that hold the most sizes of model, as
        long as they hold at least `sizes` of them.

        Parameters
        ----------
        within : float, optional
        sizes : int, optional

        Returns
        -------
        pandas.Series
            FLOPs, one for each run.
        """
        label = pd.Series(np.nan, index=self.table.index)
        if not {self.counted, "flops"} <= set(self.table.columns):
            return label
        stated = pd.to_numeric(self.table.get("budget", label), errors="coerce")
        if (stated / self.table["flops"]).between(0.5, 2).all():
            return stated.astype(float)
        width = 2 * np.log1p(within)
        free = np.log(self.table["flops"]).sort_values()
        place, size = free.to_numpy(), pd.factorize(self.table[self.counted].loc[free.index])[0]
        found = _distinct_in_windows(place, size, width)  # of the window from each run on
        while len(found) and found[best := int(np.argmax(found))] >= sizes:
            members = best + np.flatnonzero(
                found[best : np.searchsorted(place, place[best] + width, side="right")] != _TAKEN
            )
            label[free.index[members]] = float(f"{np.exp(np.median(place[members])):.1e}")
            first, last = place[members[0]] - width, place[members[-1]] + width
            begin, end = np.searchsorted(place, first), np.searchsorted(place, last, side="right")
            found[begin:end] = _TAKEN
            # Of the windows left only those that reach into what is taken have lost sizes.
            reach = np.searchsorted(place + width, first)
            near = reach + np.flatnonzero(found[reach:begin] != _TAKEN)
            found[near] = _distinct_in_windows(place[near], size[near], width)
        return label


def _cell(name: str, value: Any) -> str:
    """Write one value of a table; the middle of a long text goes."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return words.number(name, float(value))
    return textwrap.shorten(str(value), 40, placeholder="…")


@typed
def read_runs(
    source: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    where: str | None = None,
    units: Mapping[str, float] | None = None,
    mid_schedule: MidSchedule = "exclude",
    best_per: str | Sequence[str] = (),
    last_per: str | Sequence[str] = (),
    thin_per: str | Sequence[str] | None = None,
    params_are: str = "not stated",
    response: str = "loss",
    loss_unit: str | None = None,
    inputs: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Runs:
    """Read a table of training runs and refuse or flag what would give a silent wrong number.

    The steps are: rename, apply units, fill what C = 6ND gives, filter, settle what is unfinished,
    check, keep the best. A column ``weight`` holds the exponent of each run's likelihood; rows of
    weight 0 are left out.

    Parameters
    ----------
    source : path or pandas.DataFrame
        Text in columns (CSV, TSV, ...), JSON, JSON lines or Parquet (also a folder of Parquet files
        or a pattern of their names), or a table in memory. Counts may be written as 35M, 14.3B or
        35,000,000.
    columns : mapping, optional
        Our name to the table's own, e.g. ``{"params": "N", "loss": "val_loss"}``. A column that is
        not named is found by its name where that can mean nothing else and no second one can.
    where : str, optional
        A pandas query that keeps rows, e.g. ``"not outlier and loss < 6"``. Names are ours, or the
        table's own for what the table itself says; names that are no words stand in backticks.
    units : mapping, optional
        What one unit of a column is, e.g. ``{"params": 1e9}`` for billions; by default what the
        name of the column says: ``params_M``, ``tokens (B)``, ``pf_days``.
    mid_schedule : "exclude", "keep" or float in (0, 1)
        What to do with runs that stopped before their schedule ended, whose loss lies above the
        law: leave them out, keep them, or keep them with this weight. They are those where
        ``mid_schedule`` is true, ``finished`` or ``is_final_checkpoint`` is false, or
        ``portion_of_schedule`` is below 1, or ``State`` is not ``finished``, as W&B has it.
    best_per : str or sequence of str
        Keep the run of lowest loss for each combination of these columns, for tables in which
        hyper-parameters were swept.
    last_per : str or sequence of str
        Keep the last row (most tokens, else steps) of each run that these columns name, for tables
        of what runs said while they trained.
    thin_per : str or sequence of str, optional
        Keep the last row of each run that these columns name, and as many before it as its rows are
        worth independent ones, which count as one run together. By default those of ``run`` where
        unfinished runs are kept, or weighed down, and at least 6 runs have several rows; () for
        none.
    params_are : str
        What N counts ("total", "non-embedding", ...): this convention moves exponents. With
        ``"non-embedding:total"`` or ``"total:non-embedding"`` counts are converted, as
        `bayescale.total_params` and `bayescale.non_embedding_params` do, and the ledger says so.
    response : str
        Column of what laws say of the runs; another one than ``loss`` for laws of something else.
    loss_unit : str, optional
        What losses are given in: "nats" or "bits" per token, "bpb" or "bpc" (bits per byte or
        character), "bpb:4.3" (with so many bytes per token) or "ppl" (perplexity). They become
        nats per token; bits per byte without a length of tokens stay what they are. By default what
        the name of the column says, else nats.
    inputs : sequence of str, optional
        Columns beside params and tokens that the law reads, or of shares what their names begin
        with, ``w_``. Runs whose losses differ by what the law reads were not swept.
    only : sequence of str
        Columns to read, by the table's own names; by default all. Large tables are read faster.

    Returns
    -------
    Runs
        ``params``, ``tokens`` and ``flops`` filled by C = 6ND where one of the three is missing.

    Raises
    ------
    RunsError
        For a file, column, query or value that cannot be used; the message names rows and remedy.

    Warns
    -----
    RunsWarning
        For tables that can be used but look wrong: swapped columns, duplicates, rising loss, ...

    Examples
    --------
    >>> table = pd.DataFrame({"N": [1, 2], "D": [20, 40], "val_loss": [3.1, 2.9]})
    >>> names = {"params": "N", "tokens": "D", "loss": "val_loss"}
    >>> runs = read_runs(table, names, units={"params": 1e9, "tokens": 1e9})
    >>> runs.table["flops"].tolist()
    [1.2e+20, 4.8e+20]
    """
    return runs_from(
        load_table(source, only, where=where, mapped=_mapped(columns or {}, units or {})),
        columns or {},
        where=where,
        units=units or {},
        mid_schedule=mid_schedule,
        best_per=best_per,
        last_per=last_per,
        # A model whose groups are runs lets the checkpoints of each share an error.
        thin_per=() if thin_per is None and (response != "loss" or "run" in inputs) else thin_per,
        params_are=params_are,
        response=response,
        loss_unit=loss_unit,
        doubts=(*OF_LOSSES, partial(swept, inputs=inputs)) if response == "loss" else OF_ANY,
    )


def runs_from(
    loaded: Loaded,
    columns: Mapping[str, str],
    *,
    where: str | None,
    units: Mapping[str, float],
    mid_schedule: MidSchedule,
    best_per: str | Sequence[str],
    params_are: str,
    response: str | None,
    doubts: Sequence[Doubt],
    last_per: str | Sequence[str] = (),
    thin_per: str | Sequence[str] | None = (),
    loss_unit: str | None = None,
    measured: Measured | None = None,
) -> Runs:
    """Make runs of a table that was loaded: all that `read_runs` does, whatever was measured.

    Parameters
    ----------
    loaded : Loaded
    columns, where, units, mid_schedule, best_per, last_per, thin_per, params_are, loss_unit
        See `read_runs`.
    response : str or None
        Column that the table must have; None where `measured` looks for what was measured.
    doubts : sequence of callable
        What to doubt.
    measured : callable, optional
        Reads what was measured of the rows that the filter keeps, where there is more to do than
        to take the last row of each run.

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        See `read_runs`.

    Warns
    -----
    RunsWarning
        See `read_runs`.
    """
    stated, named = units, name_columns(loaded.table, columns, response, units)
    units = {**named.units, **stated}
    plain = _apply_units(named.table, {}, response, loaded.decimal)
    scaled = _apply_units(named.table, units, response, loaded.decimal)
    require_agreement(scaled, named, stated)
    unit = _unit_of_losses(named, loss_unit, response)
    nats = scaled.assign(loss=unit.to_nats(scaled["loss"])) if unit else scaled
    counting = counting_of(params_are)
    if counting.convert and "params" in nats:  # before compute is filled by 6ND
        nats = nats.assign(params=counting.convert(nats["params"]))
    filled = _fill(nats.copy(), named.table)
    own = plain[list(named.theirs)].rename(columns=dict(named.theirs))
    kept = select(filled, where, own)
    ours = {theirs: name for name, theirs in named.theirs.items()}
    best_per, last_per = (_names(some, ours) for some in (best_per, last_per))
    _require_best(filled, best_per)
    require_there(filled, _names(thin_per or (), ours), "the last row")
    read = measured(kept, filled, named.table) if measured else Read(kept)
    last = last_of(read.table, last_per) if last_per else read.table
    settled, settling, unfinished = settle(last, mid_schedule)
    try:
        _require_values(settled, named.table, response, units, loaded.decimal)
    except RunsError as error:
        error.table = filled
        raise
    if response == "loss":
        require_no_perplexity(settled["loss"], unit)
    thin_per = _thinned_by(settled, thin_per, mid_schedule, ours)
    if thin_per and response != "loss":
        raise RunsError(f"rows are thinned by their losses, and the model says {response} of runs")
    thinned, thinning = thin(settled, thin_per) if thin_per else (settled, [])
    table = _with_names(_best(thinned, best_per))
    if mid_schedule == "exclude" and not thin_per:
        require_no_history(table)
    was_filled = _filled_rows(named.table, table)
    _require_compute(table, was_filled)
    _require_units(table, stated=stated)
    ledger = (
        f"{len(loaded.table)} rows read",
        *loaded.ledger,
        *_ledger_of_names(named, stated, unit),
        *_spelled(named.table, scaled, units),
        *(counting.ledger if "params" in nats else ()),
        *_not_known(settled),
        *_said_of_filled(was_filled),
        *said_of_dense(named.table, table),
        *_dropped(where, filled, kept, f"by the filter {where!r}"),
        *read.ledger,
        *_dropped(last_per, kept, last, f"before the last of each {', '.join(last_per)}"),
        *settling,
        *thinning,
        *_dropped(best_per, thinned, table, f"for a better run of equal {', '.join(best_per)}"),
    )
    doubts = doubts if "params" in units else (*doubts, small)
    doubts = doubts if response != "loss" or unit or "loss" in units else (*doubts, tiny)
    found = (notice for doubt in (*doubts, experts_unsaid) for notice in doubt(table))
    notices = (
        *named.doubts,
        *(accuracy_as_loss(named) if response == "loss" else ()),
        *(doubts_of(plain.loc[table.index, "loss"], unit) if unit else ()),
        *read.doubts,
        *unfinished,
        *(cut_short(settled, filled, last_per) if last_per else ()),
        # Who asks for the last of each run knows the runs; of thinned ones the ledger says it.
        *(one for one in found if one.name != "repeated run names" or not (last_per or thin_per)),
    )
    for notice in notices:
        warn(notice)
    return Runs(
        table,
        loaded.name,
        loaded.sha256,
        counting.counted,
        ledger,
        notices,
        unit=unit.label if unit else "",
        own=own,
    )


def _thinned_by(
    table: pd.DataFrame,
    asked: str | Sequence[str] | None,
    mid_schedule: MidSchedule,
    ours: Mapping[str, str],
) -> list[str]:
    """List the columns by which rows are thinned: those asked for, else the runs of a history."""
    if asked is not None:
        return _names(asked, ours)
    if mid_schedule == "exclude" or not is_history(table):
        return []
    return ["run"] if table["run"].nunique() >= FEWEST_RUNS else []


def _mapped(columns: Mapping[str, str], units: Mapping[str, float]) -> set[str]:
    """Name what a filter may mean otherwise than as the cells of that column are written.

    Losses may have a unit, and params be counted in another way.
    """
    return {"loss", "params", *columns, *columns.values(), *units}


def _with_names(table: pd.DataFrame) -> pd.DataFrame:
    """Name runs by their rows where nothing does; a copied row has the name of its original."""
    if "run" not in table:
        rows = table.index[originals(table)]
        table.insert(0, "run", [f"run-{row + 1}" for row in rows])
    return table


def _said_of_filled(filled: Mapping[str, pd.Series]) -> Iterator[str]:
    for column, rows in filled.items():
        which = "" if rows.all() else f" of {words.rows(rows.index[rows])}"
        yield f"{column}{which} filled by C = 6ND"


def _unit_of_losses(named: Named, stated: str | None, response: str | None) -> LossUnit | None:
    if response == "loss":
        return loss_unit_of(stated, named.theirs.get("loss"), named.loss_unit)
    if stated is not None:
        raise RunsError(f"a unit of losses is given, and the model says {response} of runs")
    return None


def _ledger_of_names(
    named: Named, stated: Mapping[str, float], unit: LossUnit | None
) -> Iterator[str]:
    """Say which columns were renamed, and what their units are."""
    for ours, theirs in named.theirs.items():
        yield f"{ours} is the column {theirs!r}"
    for ours, factor in {**named.units, **stated}.items():
        by_name = "" if ours in stated else f", as the name {named.theirs[ours]!r} says"
        yield f"{ours} multiplied by {factor:g}{by_name}"
    if unit:
        yield unit.ledger


def _dropped(asked: object, before: pd.DataFrame, after: pd.DataFrame, why: str) -> list[str]:
    return [f"{len(before) - len(after)} dropped {why}"] if asked else []


def _names(given: str | Sequence[str], ours: Mapping[str, str]) -> list[str]:
    """List columns by our names."""
    return [ours.get(name, name) for name in ([given] if isinstance(given, str) else given)]


def positive(table: pd.DataFrame, name: str) -> np.ndarray:
    """Read a column of a table of runs as positive float64, shape (rows,).

    Parameters
    ----------
    table : pandas.DataFrame
    name : str

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    RunsError
        If the table does not have it, or has missing, non-positive or infinite values there.
    """
    values = parse(cells_of(table, name))
    _require_positive(values, name)
    return values.to_numpy()


def finite(table: pd.DataFrame, name: str, *, least: float = -np.inf) -> np.ndarray:
    """Read a column of a table of runs as finite float64 of any sign, shape (rows,).

    Parameters
    ----------
    table : pandas.DataFrame
    name : str
    least : float
        Smallest value that is allowed.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    RunsError
        If the table does not have it, or has missing, infinite or smaller values there.
    """
    values = parse(cells_of(table, name))
    bad = ~np.isfinite(values) | (values < least)
    if bad.any():
        raise RunsError(
            f"column {name!r}, {words.rows(values.index[bad])}: "
            f"{table.loc[bad, name].iloc[0]} is not a finite number"
            + (f" of at least {least:g}" if np.isfinite(least) else ""),
            f"Correct it, or leave such rows out with --where, e.g. '{name}.notna()'.",
        )
    return values.to_numpy()


def share_columns(table: pd.DataFrame, name: str) -> tuple[str, ...]:
    """Name the columns that hold the shares of a mixture: those that begin with ``<name>_``.

    Parameters
    ----------
    table : pandas.DataFrame
    name : str

    Returns
    -------
    tuple of str

    Raises
    ------
    RunsError
        If there are fewer than two.
    """
    found = tuple(str(c) for c in table.columns if str(c).startswith(f"{name}_"))
    if len(found) < 2:
        raise RunsError(
            f"the model reads shares of a mixture from columns named {name}_..., one for each "
            f"part of it; the table has {', '.join(found) or 'none'}; its columns are "
            f"{', '.join(map(str, table.columns))}",
            f"Rename them with --column {name}_web=YOURS.",
        )
    return found


def shares(table: pd.DataFrame, name: str) -> np.ndarray:
    """Read the shares of a mixture, shape (rows, parts), each row divided by its sum.

    Parameters
    ----------
    table : pandas.DataFrame
    name : str
        See `share_columns`.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    RunsError
        If a share is missing or negative, or those of a row do not sum to 1 within 2%.
    """
    columns = share_columns(table, name)
    found = np.column_stack([finite(table, column, least=0.0) for column in columns])
    sums = found.sum(axis=1)
    bad = np.abs(sums - 1) > SHARES_WITHIN
    if bad.any():
        raise RunsError(
            f"columns {', '.join(columns)}, {words.rows(table.index[bad])}: the shares sum to "
            f"{sums[bad][0]:.4g}, not to 1",
            "If they are percents or tokens, divide each row by its sum.",
        )
    return found / sums[:, None]


def cells_of(table: pd.DataFrame, name: str) -> pd.Series:
    """Take a column of a table of runs that a model needs.

    Parameters
    ----------
    table : pandas.DataFrame
    name : str

    Returns
    -------
    pandas.Series

    Raises
    ------
    RunsError
        If the table does not have it.
    """
    if name not in table and name in _GIVEN:
        raise RunsError(
            f"the model needs the column {name!r}, {_GIVEN[name]}",
            f"Name it with --column {name}=YOURS, or give a number for all tasks or for each, e.g. "
            f"--{name} piqa={_EXAMPLES[name]} (in Python {name}={{'piqa': {_EXAMPLES[name]}}}).",
        )
    if name not in table:
        lacking = unnamed(table, name, f"the model needs the column {name!r}")
        if (
            "task" in table and not lacking.columns
        ):  # of accuracies, whose runs have their own table
            lacking.advice += " If another table has it for each run, pass --join FILE."
        raise lacking
    return table[name]


def _distinct_in_windows(place: np.ndarray, kind: np.ndarray, width: float) -> np.ndarray:
    """Count the kinds in the window of that width from each place on; places are ascending.

    What lies at j is the first of its kind in the windows that begin behind the one before it of
    that kind, reach j, and do not begin behind j: one stretch of windows, counted at its two ends.
    """
    number = len(place)
    here = np.arange(number)
    order = np.lexsort((here, kind))
    again = kind[order[1:]] == kind[order[:-1]]
    begin = np.zeros(number, dtype=int)
    begin[order[1:][again]] = order[:-1][again] + 1
    begin = np.maximum(begin, np.searchsorted(place + width, place))
    ends = np.bincount(begin, minlength=number + 1) - np.bincount(here + 1, minlength=number + 1)
    return np.cumsum(ends)[:number]


def read_table(source: str | Path | pd.DataFrame, *, where: str | None = None) -> pd.DataFrame:
    """Read a table that is not one of runs, as of curves, and keep rows that match a query.

    The index holds the row of the raw table, counted from 0.

    Parameters
    ----------
    source : path or pandas.DataFrame
    where : str, optional

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    RunsError
        For a file or query that cannot be used, or a table without rows.

    Warns
    -----
    RunsWarning
        If the table marks points as of unfinished runs.
    """
    raw = load_table(source).table
    if len(raw) == 0:
        raise RunsError("the table has a header and no rows")
    kept = select(raw, where)
    for notice in unfinished_points(kept):
        warn(notice)
    return kept


def _apply_units(
    table: pd.DataFrame, units: Mapping[str, float], response: str | None, decimal: str
) -> pd.DataFrame:
    """Make counts and the response float64, NaN where a cell is no number; apply the units."""
    for name, unit in units.items():
        if name not in table:
            raise RunsError(
                f"a unit is given for {name}, which the table lacks; "
                f"{words.did_you_mean(name, [c for c in COUNTS if c in table])}"
            )
        if not (np.isfinite(unit) and unit > 0):
            raise RunsError(f"the unit of {name} must be a positive number, got {unit:g}")
    table = table.copy()
    for name in dict.fromkeys((*COUNTS, response or "", *units)):
        if name in table:
            counts = _spells(name, units)
            table[name] = parse(table[name], counts=counts, decimal=decimal) * units.get(name, 1.0)
    return table


def named_counts(
    loaded: Loaded, columns: Mapping[str, str], units: Mapping[str, float]
) -> dict[str, pd.Series]:
    """Read params, tokens and other counts of a table, for a filter that asks by our names.

    Parameters
    ----------
    loaded : Loaded
    columns, units
        See `read_runs`.

    Returns
    -------
    dict of str to pandas.Series
        By our names.
    """
    named = name_columns(loaded.table, columns, None, units)
    read = _apply_units(named.table, {**named.units, **units}, None, loaded.decimal)
    return {name: read[name] for name in COUNTS if name in read}


def _spells(name: str, units: Mapping[str, float]) -> bool:
    """Whether cells may have suffixes or marks of thousands: a unit beside them would be two."""
    return name in COUNTS and units.get(name, 1.0) == 1.0


def _spelled(named: pd.DataFrame, scaled: pd.DataFrame, units: Mapping[str, float]) -> list[str]:
    """Say which columns of counts have cells that are no plain number, and how they were read."""
    said = []
    for name in filter(named.columns.__contains__, COUNTS):
        read = scaled[name]
        odd = read.index[read.notna() & (parse(named[name]) != read)]
        if _spells(name, units) and len(odd):
            cell = named.loc[odd[0], name]
            said.append(f"{name} read as written: {cell!r} is {read.loc[odd[0]]:.15g}")
    return said


def _not_known(table: pd.DataFrame) -> list[str]:
    """Say of counts that nothing fills which rows lack them."""
    return [
        f"{name} is not known of {words.rows(table.index[table[name].isna()])}"
        for name in ("active_params", "unique_tokens")
        if name in table and table[name].isna().any()
    ]


def _fill(table: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """Complete each of params, tokens and flops from the other two by C = 6ND, where it is blank.

    Where the table says how many parameters are active, these are what compute counts.
    """
    table = with_dense(table)
    sizes = {"active_params": "params"}
    known = {sizes.get(name, name) for name in table.columns} & set(_FILLED)
    if len(known) < 2:
        return table
    nothing = pd.Series(np.nan, index=table.index)
    params, tokens, flops = (table.get(name, nothing) for name in _FILLED)
    unread = {name: no_number(table, named, name) for name in _FILLED}
    k = FLOPS_PER_PARAM_TOKEN
    counted = counted_params(table)
    if "active_params" not in table:
        table["params"] = params.fillna((flops / (k * tokens)).mask(routed(table)))
    table["tokens"] = tokens.fillna(flops / (k * counted))
    filled = flops.fillna(k * counted * tokens)
    if "flops" in table or not (filled.isna() & known_elsewhere(table, "active_params")).any():
        table["flops"] = filled
    for name, rows in unread.items():
        if rows.any():
            table[name] = table[name].mask(rows)
    return table


def no_number(table: pd.DataFrame, named: pd.DataFrame, name: str) -> pd.Series:
    """Find the rows in which the raw table has something that was not read as a number.

    Parameters
    ----------
    table : pandas.DataFrame
    named : pandas.DataFrame
        The raw cells, under our names.
    name : str

    Returns
    -------
    pandas.Series
        Of truth values.
    """
    if name not in named or name not in table:
        return pd.Series(False, index=table.index)
    return table[name].isna() & named.loc[table.index, name].notna()


def _filled_rows(named: pd.DataFrame, table: pd.DataFrame) -> dict[str, pd.Series]:
    """Find the rows for which C = 6ND gave a count, where there are any."""
    nothing = pd.Series(np.nan, index=table.index)
    blank = {
        name: named.loc[table.index].get(name, nothing).isna()
        for name in _FILLED
        if name in table and not (name == "params" and "active_params" in table)
    }
    return {name: rows for name, rows in blank.items() if rows.any()}


def _require_best(table: pd.DataFrame, best_per: Sequence[str]) -> None:
    """Refuse columns that are not there before any row is looked at."""
    if best_per and "loss" not in table:
        raise RunsError(
            "the best run is that of the lowest loss, and these runs have none; keep the rows you "
            "mean with --where"
        )
    require_there(table, best_per, "the best run")


def _best(table: pd.DataFrame, best_per: Sequence[str]) -> pd.DataFrame:
    if not best_per:
        return table
    best = table.groupby(list(best_per), dropna=False)["loss"].idxmin()
    return table.loc[np.sort(best)].copy()


def _require_values(
    table: pd.DataFrame,
    named: pd.DataFrame,
    response: str | None,
    units: Mapping[str, float],
    decimal: str,
) -> None:
    """Refuse responses and counts that are no positive numbers, by the row of the raw table."""
    _require_runs(table)
    columns = [name for name in dict.fromkeys((response or "", *COUNTS)) if name in table]
    unread = {name: table.index[no_number(table, named, name)] for name in columns}
    heads = [name for name, rows in unread.items() if list(rows) == [0]]
    if len(heads) > 1:
        raise RunsError(
            f"row 1 is no run: it has {', '.join(words.quoted(named.loc[0, n]) for n in heads)} in "
            f"{', '.join(heads)}, as a row of units below the header does",
            f"Leave it out with {leaving_out([0], table)}, and say the units with --unit.",
        )
    for name, rows in unread.items():
        if len(rows):
            cell = named.loc[rows[0], name]
            also, keep = _lacking_as_well(table, named, columns, name)
            some = f", or leave such rows out with --where '{name}.notna(){keep}'{also}"
            raise RunsError(
                f"column {name!r}, {words.rows(rows)}: {str(cell)[:60]!r} "
                + why_none(cell, counts=name in COUNTS, decimal=decimal, unit=units.get(name, 1.0))
                + (some if table[name].notna().any() else "")
            )
    for name in columns:
        if name in ("loss", *_FILLED):
            beside = _lacking_as_well(table, named, columns, name)
            _require_positive(_asked(table, name), name, *beside)
        elif name in COUNTS:
            _require_positive(table[name].dropna(), name)
        else:
            finite(table, name, least=0.0)
    if response == "loss":
        require_losses_alike(table["loss"])


def _asked(table: pd.DataFrame, name: str) -> pd.Series:
    """Cells of a column that must be numbers: what experts add to active parameters need not."""
    return table[name][~known_elsewhere(table, name)] if name == "params" else table[name]


def _lacking_as_well(
    table: pd.DataFrame, named: pd.DataFrame, columns: Sequence[str], name: str
) -> tuple[str, str]:
    """Say which rows lack another column, and the rest of a condition without them as well."""
    said, keep = list[str](), ""
    for other in columns:
        if other in ("loss", *_FILLED) and other != name and other in named:
            lost = _asked(table, other).isna()
            if lost.any() and not lost.all():
                rows = lost.index[lost]
                said.append(f"{words.rows(rows)} lack{'s' * (len(rows) == 1)} {other} as well")
                keep += f" and {other}.notna()"
    return f" ({', '.join(said)})" if said else "", keep


def _require_runs(table: pd.DataFrame) -> None:
    """Refuse rows that sum up those above them."""
    name = "run" if "run" in table else table.columns[0]
    labels = table[name].astype(str).str.strip(" :").str.lower()
    rows = [labels, *([table["task"]] if "task" in table else [])]
    total = labels.isin(_TOTALS) & ~pd.concat(rows, axis=1).duplicated(keep=False)
    if total.any():
        rows = table.index[total]
        raise RunsError(
            f"{words.rows(rows)}: {table.loc[rows[0], name]!r} sums up other rows and is no run",
            f"Leave it out with {leaving_out(rows, table)}, or rename it.",
        )


def require_losses_alike(losses: pd.Series) -> None:
    """Refuse losses far from all others, and name their rows and a remedy.

    Parameters
    ----------
    losses : pandas.Series
        All of them positive.

    Raises
    ------
    RunsError
        If `losses_far_off` finds any.
    """
    rows, said = losses_far_off(losses)
    if len(rows):
        raise RunsError(
            said, f"Correct it, or leave such rows out with {leaving_out(rows, losses.to_frame())}."
        )


def losses_far_off(losses: pd.Series) -> tuple[pd.Index, str]:
    """Find losses far from all others: those of small errors spread, but without a gap.

    Parameters
    ----------
    losses : pandas.Series
        All of them positive.

    Returns
    -------
    rows : pandas.Index
        Empty where there are none.
    said : str
    """
    size = losses.sort_values()
    place = np.log(size.to_numpy())
    gap = np.diff(place) > np.log(_LOSS_GAP)
    off = place - np.median(place) if len(place) else place
    high = np.flatnonzero(gap & (off[1:] > np.log(_LOSS_FAR))) + 1
    low = np.flatnonzero(gap & (off[:-1] < -np.log(_LOSS_FAR))) + 1
    odd = size.index[: max(low, default=0)].union(size.index[min(high, default=len(size)) :])
    if len(size) < 3 or len(odd) == 0:
        return size.index[:0], ""
    return odd, (
        f"column {str(losses.name)!r}, {words.rows(odd)}: {losses[odd[0]]:g} is far from the "
        f"median loss {losses.median():g}, and none lies between"
    )


def _require_positive(values: pd.Series, name: str, also: str = "", beside: str = "") -> None:
    """Refuse what is no positive number, and say what else a filter has to leave out."""
    for bad, what, keep in (
        (values.isna(), "is missing", f"{name}.notna()"),
        (np.isinf(values), "is infinite", f"{name} < inf"),
        (values <= 0, "must be positive", f"{name} > 0"),
        (values < np.finfo(float).tiny, "is too small to compute with", f"{name} > 1e-300"),
    ):
        if bad.any():
            reason = " (an unfinished or diverged run?)" if name == "loss" else ""
            raise RunsError(
                f"column {name!r}, {words.rows(values.index[bad])}: the value "
                f"{values[bad].iloc[0]:g} {what}{reason}",
                f"Correct it, or leave such rows out with --where '{keep}{beside}'{also}.",
            )


def _require_compute(table: pd.DataFrame, filled: Collection[str]) -> None:
    """Refuse compute that cannot be FLOPs, before a column that was filled from it is blamed."""
    if "flops" not in table or "flops" in filled or not {"params", "tokens"} <= set(table.columns):
        return
    size, flops = counted_params(table), table["flops"]
    ratio = float((PF_DAY * flops / (FLOPS_PER_PARAM_TOKEN * size * table["tokens"])).median())
    least = {"params": 1e3, "tokens": 1e4}
    small = [name for name in filled if table[name].median() < least[name]]
    if abs(ratio - 1) < 0.3 or small:
        looks = "look like PF-days" if not small or _plausible(table, small[0]) else "are no FLOPs"
        raise RunsError(
            f"flops {looks}: the median is {flops.median():.3g}",
            'If they are PF-days pass --unit flops=8.64e19 (in Python units={"flops": 8.64e19}), '
            "else their unit in FLOPs.",
        )


def _plausible(table: pd.DataFrame, filled: str) -> bool:
    """Say whether a count that was filled from compute is plausible if that is in PF-days."""
    factor = {"tokens": PF_DAY, "params": 1 / PF_DAY}[filled]
    return bool(1e-2 < (factor * table["tokens"] / table["params"]).median() < 1e5)


def _require_units(table: pd.DataFrame, stated: Mapping[str, float]) -> None:
    """Refuse counts that cannot be counts, and columns that contradict each other by thousands."""
    if {"params", "tokens", "flops"} <= set(table.columns):
        _require_flop_units(table)
    for name, least in (("params", 1e3), ("tokens", 1e4), ("unique_tokens", 1e4)):
        if name not in table or name in stated:
            continue
        small = table[name] < least
        if small.any():
            unit = f"Pass {_likelier_unit(table, name)}."
            some = f"Correct these rows, or leave them out with --where '{name} >= {least:g}'."
            raise RunsError(
                f"column {name!r}, {words.rows(table.index[small])}: "
                f"{table.loc[small, name].iloc[0]:g} is no plausible number of {name}; are they "
                "given in millions or billions?",
                unit if table[name].max() < 1000 * least else some,
            )
    if {"params", "tokens"} <= set(table.columns):
        ratio = float((table["tokens"] / table["params"]).median())
        if not 1e-3 < ratio < 1e6:
            factor = 1000.0 ** np.round(np.log(20 / ratio) / np.log(1000))
            raise RunsError(
                f"the median run has {ratio:.2g} tokens per parameter (published designs have 1 to "
                f"1000), of {words.count(table['params'].median())} params and "
                f"{words.count(table['tokens'].median())} tokens: one column has other units",
                f"Pass {unit_option('tokens', factor)}, or {unit_option('params', 1 / factor)}.",
            )


_RATIOS = {
    "params": ("tokens", "params", 20.0),
    "tokens": ("tokens", "params", 20.0),
    "unique_tokens": ("tokens", "unique_tokens", 4.0),
}
"""Of each count what it is compared with, above and below a stroke, and the usual quotient."""


def _likelier_unit(table: pd.DataFrame, name: str) -> str:
    """Spell millions or billions, what makes designs like the published ones first."""
    units = [(1e6, "millions"), (1e9, "billions")]
    above, below, usual = _RATIOS[name]
    other = below if name == above else above
    if other in table and table[other].median() >= 1e6:
        ratio = float((table[above] / table[below]).median())
        power = 1 if name == above else -1
        units.sort(key=lambda unit: abs(np.log(ratio * unit[0] ** power / usual)))
    (first, _), (second, spelled) = units
    return f"{unit_option(name, first)}, or {second:.0e} if they are {spelled}".replace("e+0", "e")


def _require_flop_units(table: pd.DataFrame) -> None:
    ratio = table["flops"] / (FLOPS_PER_PARAM_TOKEN * counted_params(table) * table["tokens"])
    typical = float(ratio.median())
    if typical <= 0.01 or typical >= 100:
        raise RunsError(
            f"flops / (6 × params × tokens) is {typical:.2g} for the median run, it should be near "
            "1: one of the three has other units (params or tokens in millions or billions, "
            "compute in PF-days of 8.64e19 FLOPs); pass --unit, e.g. --unit flops=8.64e19"
        )
    odd = (ratio / typical < 0.01) | (ratio / typical > 100)
    if odd.any():
        raise RunsError(
            f"{words.rows(table.index[odd])}: flops / (6 × params × tokens) is "
            f"{ratio[odd].iloc[0]:.2g} there and {typical:.2g} for the median run; these rows have "
            "other units than the rest: correct them or leave them out with --where"
        )
