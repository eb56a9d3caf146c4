"""The range of the runs along an axis, and how far outside of it something lies."""

from typing import Any

import numpy as np

from bayescale.runs.table import Runs

_SAME = np.log10(1.01)  # 1e12 asked of runs of 9.9997e11 FLOPs is no extrapolation

TOKENS_PER_PARAM = "tokens_per_param"
"""Axis that is no column of the runs: D/N."""


def axis_range(runs: Runs, axis: str) -> tuple[float, float]:
    """Least and largest value of the runs along an axis; NaN where there are no runs.

    Parameters
    ----------
    runs : Runs
    axis : str
        A column of the runs, or ``tokens_per_param``; ``params`` are those that compute counts.

    Returns
    -------
    tuple of float

    Raises
    ------
    RunsError
        If the runs do not have the column.
    """
    if len(runs) == 0:
        return np.nan, np.nan
    if axis == TOKENS_PER_PARAM:
        seen = runs.column("tokens") / runs.column(runs.counted)
    else:
        seen = runs.column(runs.counted if axis == "params" else axis)
    return float(seen.min()), float(seen.max())


def decades_beyond(runs: Runs, **along: Any) -> np.ndarray:
    """Decades by which values lie above the largest run; negative: below the smallest one.

    0 inside the range of the runs and within 1% of its ends, NaN where there are no runs. Of
    several axes that one counts along which there are most decades above.

    Parameters
    ----------
    runs : Runs
    **along : float or array
        Values by axis, of shapes that broadcast; an axis as in `axis_range`.

    Returns
    -------
    numpy.ndarray
        Decades, of the shape of the values.

    Raises
    ------
    RunsError
        As `axis_range`.
    """
    found = []
    for axis, values in along.items():
        low, high = np.log10(axis_range(runs, axis))
        asked = np.log10(np.asarray(values, dtype=float))
        out = np.maximum(asked - high, 0) + np.minimum(asked - low, 0)
        found.append(np.where(np.abs(out) < _SAME, 0.0, out))
    return np.max(np.broadcast_arrays(*found), axis=0)
