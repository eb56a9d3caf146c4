"""Runs on mixtures of corpora: a row a run and target, from a column for each target's loss."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError, RunsWarning, warn
from bayescale.runs.columns import run_column
from bayescale.runs.numbers import parse
from bayescale.runs.query import leaving_out, select
from bayescale.runs.reading import load_table
from bayescale.runs.schedule import settle
from bayescale.runs.table import (
    SHARES_WITHIN,
    Runs,
    losses_far_off,
    named_counts,
    read_runs,
)

TARGET, TRAINED, CELL = "target", "trained", "cell"
"""Columns of what a loss is on, of the run that it belongs to, and of target, size and tokens."""

_PREFIX = "w_"
_PERCENT = 100.0
_WHOLES = (1.0, _PERCENT)
_ALIKE = ("params", "tokens", "flops")  # each follows from the two others


@typed
def read_mixtures(
    source: str | Path | pd.DataFrame,
    *,
    targets: str | Sequence[str] = "loss_*",
    weights: str | Sequence[str] = "w_*",
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    **reading: Any,
) -> Runs:
    """Read runs on mixtures of corpora, with a loss on each of several targets.

    Parameters
    ----------
    source : path or pandas.DataFrame
        One row a run, or a run and checkpoint.
    targets : str or sequence of str, optional
        Columns of losses: names, or patterns such as ``loss_*``.
    weights : str or sequence of str, optional
        Columns of shares of the corpora, likewise. Shares of a row sum to 1, or to 100.
    columns : mapping, optional
        Our name to the table's own.
    where : str, optional
        A pandas query that keeps rows of the table as it is, before any share or loss is looked
        at. ``params`` and ``tokens`` are as they are read.
    **reading
        Further options of `bayescale.read_runs`.

    Returns
    -------
    Runs
        One row a run and target: ``target``, ``loss``, the shares ``w_...``, ``trained`` (the run,
        whose losses may err together) and, where the table has params and tokens, ``cell``, rows of
        one target, size and number of tokens.

    Raises
    ------
    RunsError
        If no column fits, the shares of a row do not sum to 1, or a loss is no positive number.

    Warns
    -----
    RunsWarning
        For losses that are missing, and shares in percent.

    Examples
    --------
    >>> table = pd.DataFrame({"w_web": [0.5, 0.9], "w_code": [0.5, 0.1],
    ...     "loss_web": [3.1, 3.0], "loss_code": [1.6, 2.0]})
    >>> runs = read_mixtures(table)
    >>> runs.table[["target", "trained", "loss"]].to_numpy().tolist()[0]
    ['code', '0', 1.6]
    """
    loaded = load_table(source)
    table = loaded.table
    losses = _named(table, targets, "losses of targets", "--targets")
    shares = _named(table, weights, "shares of corpora", "--weights")
    if len(shares) < 2:
        raise RunsError(
            f"one column of shares, {shares[0]}, is no mixture; name all with --weights 'w_*'"
        )
    parts = dict(zip(shares, (_PREFIX + label for label in _labels(shares)), strict=True))
    known = dict(zip(losses, _labels(losses), strict=True))
    counts = named_counts(loaded, columns or {}, reading.get("units") or {})
    measured = {name: parse(table[name], decimal=loaded.decimal) for name in losses}
    if where is not None:
        table = table.loc[select(table.assign(**counts, **measured), where).index]
    left_out = len(loaded.table) - len(table)
    finished, _, _ = settle(table, reading.get("mid_schedule", "exclude"))
    of_shares = table[shares].apply(pd.to_numeric, errors="coerce")
    whole = _whole(of_shares)
    _require_rows(
        table,
        [
            *_odd_shares(of_shares, whole),
            *_odd_losses(table, measured, finished.index),
            *_odd_counts(counts, finished.index),
        ],
    )
    if whole != 1:
        warn(f"shares in percent: {', '.join(shares)} sum to 100; divided by 100")
    of_one = of_shares.div(of_shares.sum(axis=1), axis=0)
    table = table.assign(**of_one.to_dict("series"), **measured)
    table = table.rename(columns=parts)
    long = _long(table, known, columns or {})
    with warnings.catch_warnings():
        # Losses of two targets may be equal to the last digit.
        warnings.filterwarnings("ignore", "duplicated runs", RunsWarning)
        runs = read_runs(long, columns=columns, inputs=tuple(parts.values()), **reading)
    said = [f"{left_out} left out by the filter {where!r}"] if left_out else []
    return replace(runs, table=_with_cells(runs.table), ledger=(*said, *runs.ledger))


def as_mixtures(table: pd.DataFrame, *, one_scale: bool = False) -> Runs:
    """Lay out a table whose columns have our names, without its sizes where that is asked.

    Parameters
    ----------
    table : pandas.DataFrame
        With ``loss_...`` and ``w_...``.
    one_scale : bool, optional
        Leave out params and tokens.

    Returns
    -------
    Runs
    """
    scale = ["params", "tokens", "flops"]
    kept = table.drop(columns=[c for c in scale if c in table]) if one_scale else table
    return read_mixtures(kept)


def scales_of(runs: Runs) -> int:
    """Count the sizes and numbers of tokens of runs on mixtures.

    Parameters
    ----------
    runs : Runs

    Returns
    -------
    int
        1 where the table does not state them.
    """
    if CELL not in runs.table:
        return 1
    return len(runs.table[["params", "tokens"]].drop_duplicates())


def _named(table: pd.DataFrame, given: str | Sequence[str], what: str, option: str) -> list[str]:
    """Find the columns that names or patterns mean."""
    wanted = [given] if isinstance(given, str) else list(given)
    found = [c for c in map(str, table.columns) if any(fnmatchcase(c, one) for one in wanted)]
    for one in wanted:
        if not any(fnmatchcase(column, one) for column in found):
            raise RunsError(
                f"no column {one!r} of {what}; the table has {', '.join(map(str, table.columns))}",
                _how_named(table, option),
            )
    return found


def _how_named(table: pd.DataFrame, option: str) -> str:
    """Propose patterns of columns that lie together: shares sum to 1 or 100, losses do not."""
    numeric = table.select_dtypes("number")
    names = [str(c) for c in numeric if "_" in str(c)]
    ends = [f"{name.partition('_')[0]}_*" for name in names]
    ends += [f"*_{name.rpartition('_')[2]}" for name in names]
    groups = {
        end: numeric[[name for name in names if fnmatchcase(name, end)]]
        for end in dict.fromkeys(ends)
        if ends.count(end) > 1
    }
    shares = {  # by the middle row: one may be broken
        end: any(abs(own.sum(axis=1).median() / whole - 1) < SHARES_WITHIN for whole in _WHOLES)
        for end, own in groups.items()
    }
    meant = [name for name, sums in shares.items() if sums == (option == "--weights")]
    if not meant:
        return f"Name them all, between commas: {option} ONE,ANOTHER."
    pattern = repr(meant[0])
    own = f"{option} {pattern} (in Python {option.removeprefix('--')}={pattern})"
    return f"For columns {' or '.join(meant)} pass {own}."


def _labels(columns: Sequence[str]) -> list[str]:
    """Names without the beginning or ending at an underscore that all have in common."""
    first, last = columns[0].partition("_")[0] + "_", "_" + columns[0].rpartition("_")[2]
    if all(c.startswith(first) and c != first for c in columns):
        return [c.removeprefix(first) for c in columns]
    if all(c.endswith(last) and c != last for c in columns):
        return [c.removesuffix(last) for c in columns]
    return list(columns)


type _Odd = tuple[str, pd.Index, Sequence[str]]
"""What is said of rows that cannot be used, where they are, and what may be done about them."""

_CORRECT = "correct them"


def _whole(shares: pd.DataFrame) -> float:
    """Say what shares of a row sum to: 1, or 100 where they are percents."""
    middle = shares.dropna().sum(axis=1).median()
    return _PERCENT if abs(middle / _PERCENT - 1) < SHARES_WITHIN else 1.0


def _odd_shares(shares: pd.DataFrame, whole: float) -> Iterator[_Odd]:
    lacking = shares.index[shares.isna().any(axis=1)]
    if len(lacking):
        column = shares.columns[shares.loc[lacking[0]].isna()][0]
        yield (
            f"column {column!r}, {words.rows(lacking)}: no number, and shares of a mixture are all "
            "known",
            lacking,
            ["fill in shares that are missing, with 0 where a corpus was left out"],
        )
    known = shares.dropna()
    sums = known.sum(axis=1)
    bad = (known < 0).any(axis=1) | ((sums / whole - 1).abs() > SHARES_WITHIN)
    if bad.any():
        most = len(shares) <= 2 * bad.sum()
        mend = ["divide tokens of corpora by their sum"] if most else []
        if most and sums[bad].max() < _PERCENT:
            mend.append("add the column of a corpus that is left out")
        yield (
            f"columns {', '.join(shares)}, {words.rows(known.index[bad])}: the shares sum to "
            f"{sums[bad].iloc[0]:.4g}, not to {whole:g}",
            known.index[bad],
            [_CORRECT, *mend],
        )


def _odd_losses(
    table: pd.DataFrame, measured: Mapping[str, pd.Series], finished: pd.Index
) -> Iterator[_Odd]:
    """Find cells that are no losses, a blank one aside, and losses of finished runs far off."""
    for name, read in measured.items():
        values, cells = read[table.index], table[name]
        usable = (values > 0) & np.isfinite(values)
        bad = table.index[cells.notna() & ~usable]
        if len(bad):
            yield (
                f"column {name!r}, {words.rows(bad)}: {str(cells[bad[0]])[:60]!r} is no positive "
                "number",
                bad,
                [_CORRECT, "blank losses that were not measured"],
            )
        own = values[usable & table.index.isin(finished)]
        far, said = losses_far_off(own)
        if len(far):
            yield f"column {name!r}, {said}", far, [_CORRECT]


def _odd_counts(counts: Mapping[str, pd.Series], finished: pd.Index) -> Iterator[_Odd]:
    """Find counts that are no positive numbers, of finished runs; compute may give a blank one."""
    own = {name: counts[name] for name in _ALIKE if name in counts}
    values = pd.DataFrame(own, index=finished)
    known = (values > 0) & np.isfinite(values)
    for name in values.columns.intersection(["params", "tokens"]):
        follows = values[name].isna() & (known.sum(axis=1) > 1)
        bad = finished[~known[name] & ~follows]
        if len(bad):
            yield (
                f"column {name!r}, {words.rows(bad)}: no positive number",
                bad,
                [_CORRECT],
            )


def _require_rows(table: pd.DataFrame, odd: Sequence[_Odd]) -> None:
    """Refuse the rows that break any rule at once, with one remedy for all of them."""
    if not odd:
        return
    rows = sorted({row for _, found, _ in odd for row in found})
    mends = list(dict.fromkeys(mend for _, _, some in odd for mend in some))
    if len(rows) < len(table):  # without any row there is nothing to fit
        mends.append(f"leave the rows out with {leaving_out(rows, table)}")
    advice = ", or ".join([", ".join(mends[:-1]), mends[-1]] if len(mends) > 1 else mends) + "."
    raise RunsError("; ".join(said for said, _, _ in odd), advice[0].upper() + advice[1:])


def _long(
    table: pd.DataFrame, losses: Mapping[str, str], columns: Mapping[str, str]
) -> pd.DataFrame:
    """Make a row a run and target; rows without a loss are left out, and said."""
    run = columns.get("run") or ("run" if "run" in table else run_column(table)) or "run"
    trained = table[run].astype(str) if run in table else table.index.astype(str)
    kept = table.drop(columns=[c for c in ("loss", "cell", run) if c in table and c not in losses])
    long = kept.assign(**{TRAINED: trained}).melt(
        [c for c in (*kept.columns, TRAINED) if c not in losses],
        list(losses),
        var_name=TARGET,
        value_name="loss",
    )
    long[TARGET] = long[TARGET].map(losses)
    missing = long["loss"].isna()
    if missing.any():
        counts = long.loc[missing, TARGET].value_counts()
        said = ", ".join(f"{number} of {target}" for target, number in counts.items())
        warn(f"losses missing: {said}; these rows are left out")
    return long[~missing].sort_values([TARGET], kind="stable").reset_index(drop=True)


def _with_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Name rows of one target, size and number of tokens, where the table states these."""
    if not {"params", "tokens"} <= set(table.columns):
        return table
    sizes, data = (table[name].map("{:.6g}".format) for name in ("params", "tokens"))
    return table.assign(**{CELL: table[TARGET] + " " + sizes + " " + data})
