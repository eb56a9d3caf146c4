"""Runs ahead of the largest one: where laws are asked that have no compute to allocate."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescale.modelling.inputs import inputs_of
from bayescale.posterior.fit import Fit

STEP = 10.0
"""How many times the largest run is asked for."""


def largest_size(fit: Fit) -> float:
    """Return the largest size of the runs, along the axis that says what lies ahead.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    float
    """
    return float(fit.runs.column(fit.spec.size).max())


def inputs_ahead(fit: Fit, sizes: Sequence[float]) -> dict[str, xr.DataArray]:
    """Make the inputs of the largest run grow until its size is that of each value asked.

    Size and data grow alike where a law trades them, so that their product grows as compute; all
    else is as in that run, but for a knob, which is left to its best value, and for what is given.

    Parameters
    ----------
    fit : Fit
    sizes : sequence of float
        Values of ``fit.spec.size``.

    Returns
    -------
    dict of str to xarray.DataArray
        As `bayescale.predict` takes them; what grows has a dim of the name of the size.
    """
    spec, seen = fit.spec, fit.runs.column(fit.spec.size)
    row = [int(np.argmax(seen))]
    axis = xr.DataArray(list(sizes), dims=spec.size, coords={spec.size: list(sizes)})
    growing = [own.name for own in spec.reads if own.role in ("size", "data", "unique")]
    grows = np.sqrt(axis / seen[row[0]])
    found = {}
    for name, values in inputs_of(spec, fit.runs.table.iloc[row]).items():
        if name in fit.given or name in spec.law.role("knob"):
            continue
        value = xr.DataArray(values[0], dims=(name,)[: values.ndim - 1])
        if spec.law.trades and name in growing:
            value = value * grows
        found[name] = axis if name == spec.size else value
    return found
