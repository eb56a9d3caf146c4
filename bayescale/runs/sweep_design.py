"""What a sweep can say of its knobs, and what it leaves open."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import RunsError
from bayescale.runs.check import Check, doubt
from bayescale.runs.settings import is_categorical, settings

SAME = 0.01
"""How far two values of a knob may differ that were meant as one: .003906 and .00391."""

FEWEST_VALUES = 3
"""Values of a knob in a cell with which a best one may lie between two others."""

_COUNTS = {"params": "size", "tokens": "number of tokens"}
_COLLINEAR = 0.97


def levels(values: Any, within: float = SAME) -> np.ndarray:
    """Give the distinct values of a positive column numbers from 0; those nearly alike share one.

    Parameters
    ----------
    values : array_like, shape (rows,)
    within : float, optional
        Share by which neighbours may differ.

    Returns
    -------
    numpy.ndarray, shape (rows,)
        Ascending with the values.

    Examples
    --------
    >>> levels([0.0039, 0.003906, 0.00391, 0.0078]).tolist()
    [0, 0, 0, 1]
    """
    logs = np.log(np.asarray(values, dtype=float))
    order = np.argsort(logs, kind="stable")
    found = np.empty(len(logs), dtype=int)
    found[order] = np.concatenate([[0], np.cumsum(np.diff(logs[order]) > np.log1p(within))])[
        : len(logs)
    ]
    return found


def varying(table: pd.DataFrame, knobs: Sequence[str]) -> tuple[str, ...]:
    """Name the knobs of which some cell has more than one value.

    Parameters
    ----------
    table : pandas.DataFrame
        Of a sweep, `bayescale.runs.sweeps.as_sweep`.
    knobs : sequence of str

    Returns
    -------
    tuple of str
    """
    return tuple(knob for knob in knobs if _tried(table, knob).max() > 1)


def moving(table: pd.DataFrame) -> tuple[str, ...]:
    """Name the counts, params and tokens, that differ between cells of several runs.

    One run alone, as one that crashed early, says nothing of which setting is best there.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    tuple of str
    """
    cells = _of_several(table)
    return tuple(name for name in _COUNTS if name in table and _number(cells[name]) > 1)


def _of_several(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the cells that have more than one run."""
    return table[table["cell"].duplicated(keep=False)]


def _number(counts: pd.Series) -> int:
    return int(levels(counts, 0.02).max()) + 1


def _tried(table: pd.DataFrame, knob: str) -> pd.Series:
    """Count the values of a knob in each cell."""
    number = pd.Series(levels(table[knob]), index=table.index)
    return number.groupby(table["cell"], sort=False).nunique()


def design_of_sweep(table: pd.DataFrame, knobs: Sequence[str]) -> list[Check]:
    """Refuse a table that is no sweep of its knobs, and say what it cannot tell.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns of `bayescale.runs.sweeps.as_sweep`.
    knobs : sequence of str

    Returns
    -------
    list of Check

    Raises
    ------
    RunsError
        If no knob has two values in a cell.
    """
    swept = varying(table, knobs)
    if not swept:
        raise _no_sweep(table, knobs)
    return [
        *(_dropped(table, knob) for knob in knobs if knob not in swept),
        *(one for knob in swept for one in (*_few_values(table, knob), *_at_edges(table, knob))),
        *_of_counts(table),
        *_kinds(table, swept),
    ]


def _no_sweep(table: pd.DataFrame, knobs: Sequence[str]) -> RunsError:
    knob = knobs[0]
    if levels(table[knob]).max() == 0:
        finding = f"every run has the same {knob} ({table[knob].iloc[0]:g}): it was not swept"
        return RunsError(finding, "Name the columns that were, e.g. --knobs learning_rate.")
    return RunsError(
        f"each cell has one {knob} only: nothing says which is best",
        "Add runs at other values, three or more in a cell, or name the columns that make a cell, "
        "e.g. --cells width (in Python cells=['width']).",
    )


def _dropped(table: pd.DataFrame, knob: str) -> Check:
    if levels(table[knob]).max() == 0:
        found = f"every run has the same {knob} ({table[knob].iloc[0]:g})"
        return doubt("constant knob", f"{found}: that axis is dropped", f"Sweep {knob} as well.")
    return doubt(
        "one value a cell",
        f"each cell has one {knob} only: which is best there cannot be told, and that axis is "
        "dropped",
        f"Sweep {knob} within cells as well; what is best of the others is so at each cell's own "
        f"{knob}.",
    )


def _few_values(table: pd.DataFrame, knob: str) -> list[Check]:
    tried = _tried(table, knob)
    few = tried.index[tried < FEWEST_VALUES]
    if len(few) == 0:
        return []
    which = "every cell" if len(few) == len(tried) else f"{len(few)} of {len(tried)} cells"
    return [
        doubt(
            "few values of a knob",
            f"{which} have fewer than {FEWEST_VALUES} values of {knob} ({_some(few)}): how wide "
            "the bowl is there, the others and the prior say",
            f"Add runs at other values of {knob}.",
        )
    ]


def _at_edges(table: pd.DataFrame, knob: str) -> list[Check]:
    """Name the cells whose best run has the smallest or the largest value that was tried."""
    number = pd.Series(levels(table[knob]), index=table.index)
    cells = number.groupby(table["cell"], sort=False)
    best, several = best_rows(table), cells.nunique() > 1
    own = pd.Series(number[best].to_numpy(), index=table.loc[best, "cell"])
    found = []
    for end, edge, bound, more in (
        ("smallest", cells.min(), "an upper bound", "smaller"),
        ("largest", cells.max(), "a lower bound", "larger"),
    ):
        at = own.index[(own == edge[own.index]) & several[own.index]]
        if len(at):
            every = len(at) == several.sum()
            which = "every cell" if every else f"{len(at)} of {several.sum()} cells ({_some(at)})"
            found.append(
                doubt(
                    "best at the edge",
                    f"the best {knob} is the {end} that was tried in {which}: {bound}, not an "
                    "interior estimate",
                    f"Add runs at {more} values of {knob}.",
                )
            )
    return found


def best_rows(table: pd.DataFrame) -> pd.Index:
    """Index of the best run of each cell, in the order of the cells.

    Parameters
    ----------
    table : pandas.DataFrame
        Of a sweep.

    Returns
    -------
    pandas.Index
    """
    return pd.Index(table.groupby("cell", sort=False)["loss"].idxmin())


def _of_counts(table: pd.DataFrame) -> list[Check]:
    """Say along which counts nothing is known of how the best settings move."""
    known = [name for name in _COUNTS if name in table]
    move = moving(table)
    found = [
        doubt(
            f"one {_COUNTS[name]} only",
            f"every cell of several runs has about the same {name} "
            f"({words.count(_of_several(table)[name].median())}): how the best settings move with "
            f"{name} cannot be told, and that trend is dropped",
            f"Ask at these {name} only, or add cells at others.",
        )
        for name in known
        if name not in move
    ]
    if (alike := collinear(table)) is None:
        return found
    return [
        *found,
        doubt(
            "collinear cells",
            f"log params and log tokens of the cells correlate at {alike:.3f}: along which "
            "of them the best settings move, the prior says",
            f"Ask at like {'tokens per parameter' if alike > 0 else 'compute'}, or add cells at "
            "others.",
        ),
    ]


def collinear(table: pd.DataFrame) -> float | None:
    """Correlate log params and log tokens of cells of several runs, where it hides one's trend.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    float or None
        None where they differ enough, or one of them does not move, or there are two cells.
    """
    move = moving(table)
    logs = np.log(_of_several(table).groupby("cell")[[*move]].median())
    if len(move) < 2 or len(logs) < 3:
        return None
    found = float(np.corrcoef(logs["params"], logs["tokens"])[0, 1])
    return found if abs(found) >= _COLLINEAR else None


def _kinds(table: pd.DataFrame, swept: Sequence[str]) -> list[Check]:
    """Name settings beside the knobs in which runs of equal knobs differ."""
    keys = [table["cell"], *(pd.Series(levels(table[k]), index=table.index) for k in swept)]
    cells = table.groupby(keys)
    differ = [
        name
        for name in settings(table)
        if name not in (*swept, "params", "tokens", "unique_tokens", "cell", "size", "ceiling")
        and cells[name].nunique().max() > 1
    ]
    if not differ:
        return []
    kinds = [name for name in differ if is_categorical(table[name])]
    name = kinds[0] if kinds else differ[0]
    value = table[name].dropna().iloc[0]
    query = f"{name} == {value!r}" if name in kinds else f"{name} == {value:g}"
    return [
        doubt(
            "other settings differ",
            f"runs of one cell and equal {', '.join(swept)} differ in {', '.join(differ[:6])}: "
            "what is due to these passes for noise",
            f'Choose one kind, e.g. --where "{query}".',
        )
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(map(str, names[:3]))}{more}"
