"""Values of parameters where the trends of a model say, for groups without runs."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayescale.laws import into_support, onto_line
from bayescale.modelling.pooling import covariates_of
from bayescale.modelling.spec import slope_of
from bayescale.posterior.fit import Fit


def on_trend(
    fit: Fit, name: str, at: Mapping[str, float], rng: np.random.Generator | None = None
) -> xr.DataArray:
    """Value of a partially pooled parameter where its trends say, for a group without runs.

    Parameters
    ----------
    fit : Fit
        Of all groups.
    name : str
    at : mapping of str to float
        Value along each column of the parameter's trends.
    rng : numpy.random.Generator, optional
        Of the scatter between groups; without it the group lies on the trend.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw).
    """
    posterior, support = fit.posterior, fit.spec.supports[name]
    middles = covariates_of(fit.spec, fit.runs)[1]
    line = onto_line(support, posterior[f"{name}_population"])
    for column in fit.spec.trends.get(name, {}):
        away = np.log10(at[column] / middles[column])
        line = line + posterior[slope_of(name, column)] * away
    if rng is not None:
        variance = posterior[f"{name}_scale"] ** 2
        if name in fit.spec.cluster_scales:
            variance = variance + posterior[f"{name}_cluster_scale"] ** 2
        line = line + line.copy(data=rng.standard_normal(line.shape)) * variance**0.5
    return into_support(support, line)


def reference_value(fit: Fit, name: str) -> float:
    """Value of an input at the reference run, from which places count.

    Parameters
    ----------
    fit : Fit
        Of a model whose groups share it.
    name : str
        Of the input.

    Returns
    -------
    float
    """
    return float(fit.tree["constant_data"].to_dataset()[f"reference_{name}"])
