"""The one kind of interval users see: central 90%, from the 5% to the 95% quantile."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

CI_PROB = 0.9
"""Mass of every interval a user sees."""

CAPTION = "central 90% credible interval"
"""What captions call it."""

_LEVELS = {"median": 0.5, "q05": 0.05, "q95": 0.95}


def summarise(draws: Any) -> Any:
    """Reduce (chain, draw) to the median and the ends of the central 90% interval.

    Parameters
    ----------
    draws : xarray.DataArray or xarray.Dataset
        With dims (chain, draw, ...). Infinite draws count; NaN are left out.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The same with dim ``summary`` = "median", "q05", "q95" in place of (chain, draw).
    """
    # Between infinite draws nothing can be interpolated.
    method = "nearest" if _any(np.isinf, draws) else "linear"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # of them NaN is all there is to say
        quantiles = draws.quantile(
            list(_LEVELS.values()),
            dim=("chain", "draw"),
            method=method,
            skipna=_any(np.isnan, draws),  # to look for NaN is slow
        )
    return quantiles.rename(quantile="summary").assign_coords(summary=list(_LEVELS))


def numbers(draws: xr.DataArray) -> dict[str, float]:
    """Median, q05 and q95 of a scalar quantity, as plain numbers for JSON.

    >>> numbers(xr.DataArray([[0.0, 1.0, 2.0]], dims=("chain", "draw")))
    {'median': 1.0, 'q05': 0.1, 'q95': 1.9}
    """
    return {
        str(name): float(value)
        for name, value in zip(_LEVELS, summarise(draws).to_numpy(), strict=True)
    }


def _any(odd: Callable[[Any], Any], draws: Any) -> bool:
    arrays = draws.data_vars.values() if isinstance(draws, xr.Dataset) else [draws]
    return any(bool(odd(array).any()) for array in arrays)
