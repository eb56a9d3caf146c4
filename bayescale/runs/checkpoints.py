r"""Rows of one run: how many independent ones they are worth, and which of them stay.

What a run says on its way is autocorrelated: its rows share a seed, an order of the data, and the
noise of its weights. Of n rows whose errors have the autocorrelation :math:`\rho_k` at a lag of k
rows, the mean is known as well as that of

.. math:: n_{\mathrm{eff}} = \frac{n}{1 + 2 \sum_{k=1}^{n-1} (1 - k/n) \rho_k}

independent ones (Bayley and Hammersley 1946, doi:10.2307/2983560). The errors are those of log loss
to a smooth surface of all runs, so that what sets a whole run apart counts as correlation of its
rows. The sum ends where two neighbouring lags together are no longer positive (Geyer 1992,
doi:10.1214/ss/1177011137): what the surface misses is smooth, and must not cancel.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import RunsError
from bayescale.runs.schedule import PLACES, last_of

MOST_OF_A_RUN = 10
"""Rows that stay of a run at most: together they count as one run, however many they are."""

FEWEST_RUNS = 6
"""Runs that it takes to tell what sets a whole run apart from what its size and tokens say."""

ALIKE = 2.0
"""Factor within which ends of runs say nothing of how loss falls with tokens."""

_ENOUGH_RUNS = 1000  # of which the autocorrelation is measured
_ENOUGH_ROWS = 50_000  # that say where the surface lies
_RUNS_A_TERM = 2  # of the surface, at least


def thin(table: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Keep of each run its last row and a few before it, which count as one run together.

    Nothing is done where the rows of a run are worth more than half as many independent ones. Else
    as many stay as they are worth independent ones, `MOST_OF_A_RUN` at most, at even distances
    of the logarithm of tokens (or steps) where these are far enough apart in rows. Each of m that
    stay of a run has the weight 1/m.

    None stays from before the tokens (or steps) at which the first run ended: from so far down,
    rows of one run would say more of the law than ends of all runs. That holds unless all runs
    ended within a factor of `ALIKE`. Then only what lies before their ends tells how loss falls.

    Parameters
    ----------
    table : pandas.DataFrame
        With the column ``loss``, of positive numbers.
    names : sequence of str
        Columns that say of which run a row is.

    Returns
    -------
    table : pandas.DataFrame
        With the column ``weight`` where several rows of a run are left.
    ledger : list of str
        One sentence.

    Raises
    ------
    RunsError
        For fewer than `FEWEST_RUNS` runs, or where it is not known which row of a run is its last.
    """
    last = last_of(table, names)
    if len(last) < FEWEST_RUNS:
        raise RunsError(
            f"{len(last)} runs are too few to tell how alike the rows of one run are",
            f"Keep the last row of each with --last-per {','.join(names)}, or all of them with "
            "--thin-per none.",
        )
    place = next(name for name in PLACES if name in table and table[name].notna().all())
    order = table.sort_values(place, kind="stable")
    rows = order.groupby(list(names), sort=False)
    number, length = rows.ngroup().to_numpy(), float(rows.size().median())
    worth = effective_rows(_errors(order, place, number), number)
    stay = int(np.clip(worth, 1, MOST_OF_A_RUN))
    measured = (
        f"the {length:.0f} of a run are worth {worth:.1f} independent ones, by the autocorrelation "
        "of their errors"
    )
    if worth > length / 2:
        return table, [f"{len(table)} rows of {len(last)} runs kept, each as a run: {measured}"]
    said = f"{len(table)} rows of {len(last)} runs thinned: {measured}; of each run "
    if stay == 1:
        return last, [f"{said}the last stays ({len(table) - len(last)} left out)"]
    places, ends = order[place].to_numpy(dtype=float), last[place].astype(float)
    low = ends.min() if ends.max() > ALIKE * ends.min() else 0.0
    kept = np.concatenate(
        [at[_spaced(places[at], stay, length / stay, low)] for at in _members(number)]
    )
    found = order.iloc[kept].sort_index()
    of_run = found.groupby(list(names))[place].transform("size")
    found["weight"] = found.get("weight", 1.0) / of_run
    left = len(table) - len(found)
    reach = f" from {words.trimmed(low)} on" if low else ""
    return found, [
        f"{said}the last stays and up to {stay - 1} before it, evenly in log {place}{reach}, which "
        f"count as one run together ({left} left out; an approximation)"
    ]


def effective_rows(errors: np.ndarray, run: np.ndarray) -> float:
    """Say how many independent rows the rows of a typical run are worth.

    Parameters
    ----------
    errors : numpy.ndarray, shape (rows,)
        In the order of the rows of each run, of mean 0 over all of them.
    run : numpy.ndarray of int, shape (rows,)
        Which run each row is of.

    Returns
    -------
    float
        Between 1 and the median number of rows of a run.
    """
    members = _members(run)
    length = int(np.median([len(at) for at in members]))
    if len(members) > _ENOUGH_RUNS:
        chosen = np.random.default_rng(0).choice(len(members), _ENOUGH_RUNS, replace=False)
        members = [members[one] for one in chosen]
    products, pairs = np.zeros(length), np.zeros(length)
    for at in members:
        own = _products(errors[at])[:length]
        products[: len(own)] += own
        pairs[: len(own)] += len(at) - np.arange(len(own))
    if products[0] == 0:
        return float(length)
    correlation = np.divide(products, pairs, where=pairs > 0, out=np.zeros(length))
    correlation /= correlation[0]
    terms = (1 - np.arange(length) / length) * correlation
    twos = terms[: length - length % 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(twos <= 0)
    total = terms[: 2 * ends[0] if len(ends) else length].sum()
    return float(np.clip(length / max(2 * total - 1, 1.0), 1.0, length))


def _products(errors: np.ndarray) -> np.ndarray:
    """Sum the products of what lies k rows apart, for each k."""
    spectrum = np.fft.rfft(errors, 2 * len(errors))
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * len(errors))[: len(errors)]


def _members(run: np.ndarray) -> list[np.ndarray]:
    """Positions of the rows of each run, in their order."""
    order = np.argsort(run, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(run[order])) + 1)


def _errors(table: pd.DataFrame, place: str, run: np.ndarray) -> np.ndarray:
    """Errors of log loss to a smooth surface in log N and log D, of as many terms as runs tell.

    What the surface takes of the errors of whole runs is given back on average.
    """
    axes = [name for name in ("params", "active_params") if name in table] + [place]
    axes = [name for name in axes if table[name].gt(0).all() and table[name].nunique() > 1]
    logs = [np.log(table[name].to_numpy(dtype=float)) for name in axes]
    logs = [(log - log.mean()) / log.std() for log in logs]
    terms, runs = [np.ones(len(table))], run.max() + 1
    for more in (1, 2, 3):
        higher = list(combinations_with_replacement(range(len(logs)), more))
        if _RUNS_A_TERM * (len(terms) + len(higher)) > runs:
            break
        terms += [np.prod([logs[axis] for axis in one], axis=0) for one in higher]
    surface, height = np.column_stack(terms), np.log(table["loss"].to_numpy(dtype=float))
    some = np.arange(len(height))
    if len(some) > _ENOUGH_ROWS:
        some = np.random.default_rng(0).choice(some, _ENOUGH_ROWS, replace=False)
    found, _, rank, _ = np.linalg.lstsq(surface[some], height[some])
    errors = height - surface @ found
    mean = (np.bincount(run, errors) / np.bincount(run))[run]
    return errors + (np.sqrt(runs / (runs - rank)) - 1) * mean


def _spaced(place: np.ndarray, count: int, apart: float, low: float) -> list[int]:
    """Choose rows of one run, the last first: evenly in the logarithm, and so far apart in rows."""
    low = max(low, place[0], place[-1] * 1e-6, np.finfo(float).tiny)
    wanted = np.geomspace(low, place[-1], count + 1)[1:-1]
    chosen = [len(place) - 1]
    for at in np.searchsorted(place, wanted)[::-1].tolist():
        if at <= chosen[-1] - apart:
            chosen.append(at)
    return chosen
