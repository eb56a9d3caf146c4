"""Runs ahead of the largest one: where laws are asked that have no compute to allocate.

Of a law of a loss that gets worse as the loss grows, less of it lies ahead.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescale.modelling.inputs import inputs_of
from bayescale.posterior.fit import Fit

_MORE, _LESS = 10.0, 0.8  # times the run that is farthest ahead; tenfold compute is a fifth of loss


def sizes_ahead(fit: Fit) -> tuple[float, ...]:
    """Return the size of the run that is farthest ahead, and one beyond it.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    tuple of float
        The largest and ten times that, along the axis that says what lies ahead; of a law that gets
        worse along it the smallest and four fifths of that. Empty of a law that reads a mixture
        alone.
    """
    if not fit.spec.size:
        return ()
    sizes, less = fit.runs.column(fit.spec.size), fit.spec.law.worsens_along(fit.spec.size)
    farthest = float(sizes.min() if less else sizes.max())
    return farthest, farthest * (_LESS if less else _MORE)


def inputs_ahead(fit: Fit, sizes: Sequence[float]) -> dict[str, xr.DataArray]:
    """Make the inputs of the run farthest ahead grow until its size is that of each value asked.

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
    less = spec.law.worsens_along(spec.size)
    row = [int(np.argmin(seen) if less else np.argmax(seen))]
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


def inputs_of_best(fit: Fit) -> dict[str, xr.DataArray]:
    """Take the inputs of the run of the best response, where no size says which one is ahead.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    dict of str to xarray.DataArray
        As `bayescale.predict` takes them.
    """
    own, table = fit.spec.response, fit.runs.table
    row = [int(np.argmin(own.sign * table[own.column]))]
    return {
        name: xr.DataArray(values[0], dims=(name,)[: values.ndim - 1])
        for name, values in inputs_of(fit.spec, table.iloc[row]).items()
        if name not in fit.given
    }
