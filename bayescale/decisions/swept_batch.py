r"""The largest batch size at some more tokens, by a sweep of learning rates and batch sizes.

No run to a target loss is needed. At D tokens the log loss is :math:`h v^2 / 2` above its least at
:math:`v = \log(B / B^*)`, with the learning rate at its best for each B, and x more tokens make up
for

.. math:: \log(1 + x) \, s_D, \qquad s_D = -d \log L / d \log D

of it. So the largest batch at x more tokens is :math:`B^* \exp \sqrt{2 s_D \log(1 + x) / h}`. It
counts tokens from those at :math:`B^*`, below which that law says smaller batches to be worse. The
law of steps (`bayescale.decisions.critical_batch`) says them to be no worse, with all else at its
best for each of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayescale.arguments import typed
from bayescale.errors import FitError
from bayescale.modelling.pooling import group_labels
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior

MORE = 0.2
"""Share of tokens, or steps, that a batch size may cost more than the least."""

_THERE = "there"  # a group on the trends of a sweep
_ROUND = 1e-3  # of a logarithm: models of one size


@typed
def surface_batches(
    surface: Fit,
    places: Mapping[str, Mapping[str, float]],
    more: float = MORE,
    *,
    joint: Fit | None = None,
) -> xr.Dataset:
    r"""Largest batch at x more tokens by a sweep of learning rates and batch sizes.

    .. math:: B^* \exp \sqrt{2 s_D \log(1 + x) / h}

    Parameters
    ----------
    surface : Fit
        Of the law ``response_surface``, whose second setting is the batch size.
    places : mapping of str to mapping of str to float
        Models by name: params, tokens, and whatever else the trends of the fit follow.
    more : float, optional
        Share x of tokens more than at the best batch size.
    joint : Fit, optional
        Of the losses of tuned runs of params and tokens, which says :math:`s_D`. By default the
        least losses of the cells say it, by a parabola in log tokens beside a level for each size.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, curve): ``best`` (B*), ``loss_slope`` (s_D) and ``largest``, NaN where
        more tokens do not lower the loss.

    Raises
    ------
    FitError
        For a fit of another law or of another second setting, or cells of too few numbers of
        tokens.
    """
    _require_surface(surface)
    if joint is None:
        loss_slope = _loss_slopes(surface, places)
    else:
        loss_slope = _joint_slopes(joint, places, surface.posterior)
    found = []
    for name, at in places.items():
        slope = loss_slope[name]
        whole = surface.with_new_group(_THERE, along=at, typical=True).posterior
        there = whole[["z_best", "second_curvature"]].sel(group=_THERE, drop=True)
        best, curvature = there["z_best"], there["second_curvature"]
        rise = 2 * slope * np.log1p(more) / curvature
        largest = best * np.exp(np.sqrt(rise.where(rise > 0)))
        parts = {"best": best, "loss_slope": slope, "largest": largest}
        found.append(xr.Dataset(parts).expand_dims(curve=[name]))
    return xr.concat(found, dim="curve").transpose("chain", "draw", "curve")


def _require_surface(surface: Fit) -> None:
    if surface.spec.law.name != "response_surface":
        raise FitError(
            f"a sweep of two settings is a fit of the law response_surface (model tuning-pair), "
            f"not of {surface.spec.law.name}"
        )
    if "batch" not in surface.spec.axes[1]:
        raise FitError(
            f"the second setting of the sweep is {surface.spec.axes[1]}, not a batch size: name "
            'its column second, e.g. axis = ["learning_rate", "batch_tokens"]'
        )


def _loss_slopes(surface: Fit, places: Mapping[str, Any]) -> dict[str, xr.DataArray]:
    """Slopes -d log L / d log D, of the least losses of the cells of a sweep."""
    labels = group_labels(surface.spec, surface.runs)
    of_cell = {
        name: np.log(surface.runs.table[name].groupby(labels).mean()[list(surface.groups)])
        for name in ("params", "tokens")
    }
    tokens = of_cell["tokens"].to_numpy()
    params = np.round(of_cell["params"].to_numpy() / _ROUND)
    sizes = params[:, None] == np.unique(params)
    middle = tokens.mean()
    design = np.column_stack([sizes, tokens - middle, (tokens - middle) ** 2])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise FitError(
            "the cells have too few numbers of tokens to say what more tokens are worth: give a "
            "fit of a joint law of their best runs, joint=... (--joint FIT)"
        )
    least = np.log(surface.posterior["L_min"].sel(group=list(surface.groups)))
    solved = xr.DataArray(np.linalg.pinv(design)[-2:], dims=("term", "group")).assign_coords(
        group=list(surface.groups)
    )
    line, bend = (solved.isel(term=term) @ least for term in (0, 1))
    return {
        name: -(line + 2 * bend * (np.log(at["tokens"]) - middle)).transpose("chain", "draw")
        for name, at in places.items()
    }


def _joint_slopes(joint: Fit, places: Mapping[str, Any], to: xr.Dataset) -> dict[str, Any]:
    """Slopes -d log L / d log D by a joint law, as many draws as another fit has."""
    law, step = Posterior.of_joint_law(joint), 1e-3
    ends = {
        name: [law.loss(at["params"], at["tokens"] * np.exp(side * step)) for side in (-1, 1)]
        for name, at in places.items()
    }
    return {name: _like(-np.log(high / low) / (2 * step), to) for name, (low, high) in ends.items()}


def _like(draws: xr.DataArray, to: xr.Dataset) -> xr.DataArray:
    """Repeat or thin draws of another fit, which are independent, to as many as one has."""
    shape = to.sizes["chain"], to.sizes["draw"]
    rows = draws.transpose("chain", "draw").to_numpy().ravel()
    chosen = np.linspace(0, rows.size - 1, shape[0] * shape[1]).round().astype(int)
    coords = {name: to.coords[name] for name in ("chain", "draw") if name in to.coords}
    return xr.DataArray(rows[chosen].reshape(shape), dims=("chain", "draw"), coords=coords)
