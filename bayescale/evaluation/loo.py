"""Leaving cells of replicates out one by one, by importance weights of the draws.

PSIS-LOO: Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4. No array of all draws at
all cells is made.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import arviz_stats  # noqa: F401 - the accessor azstats
import numpy as np
import xarray as xr

from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import CellDraws, cell_draws, is_large, thinned

EVEN = 0.99
"""Share of the draws that the weights of a cell of a large table are worth, by their effective
number (Kish), if the cell tells too little to need smoothed ones."""

_ROUNDING = 1e-12  # of that share


@dataclass(frozen=True)
class LeftOut:
    """Draws of some cells, and their weights without each of these cells.

    Parameters
    ----------
    cells : CellDraws
    log_likelihood : xarray.DataArray
        Of each cell, raised to its weight as in the fit; dims (chain, draw, obs).
    log_weights : xarray.DataArray
        Log importance weights, Pareto-smoothed, of sum 1; dims (chain, draw, obs). Of a pool those
        of each member are of one sum, as if each were fitted again.
    pareto_k : xarray.DataArray
        Dim obs; 0 where nothing was smoothed. Of a pool that of the worst member.
    """

    cells: CellDraws
    log_likelihood: xr.DataArray
    log_weights: xr.DataArray
    pareto_k: xr.DataArray


def leave_each_out(fit: Fit) -> Iterator[LeftOut]:
    """Leave every cell out in turn, with the weight that it had in the fit.

    One part of the cells after another, in their order. By every draw for up to 20 million draws
    times rows. Of larger tables by 1,000 draws, and weights are smoothed only of cells that tell
    something: where plain weights are worth `EVEN` of the draws there is no tail to smooth. Members
    of a pool are weighted one by one: they are posteriors of their own.

    Parameters
    ----------
    fit : Fit

    Yields
    ------
    LeftOut
    """
    even = EVEN if is_large(fit, len(fit.runs)) else 1.0 - _ROUNDING
    fit = thinned(fit, len(fit.runs))
    members = [
        (chains, _relative_efficiency(own.posterior.drop_vars(list(own.spec.fixed))))
        for own, chains in zip(fit.members, _chains_of_members(fit), strict=True)
    ]
    for cells in cell_draws(fit):
        contributed = cells.log_likelihood().drop_vars(("chain", "draw", "member"), errors="ignore")
        weights, k = zip(
            *(_weights(contributed.isel(chain=c), efficiency, even) for c, efficiency in members),
            strict=True,
        )
        joined = xr.concat(weights, dim="chain") - np.log(len(members))
        yield LeftOut(cells, contributed, joined, xr.concat(k, dim="member").max("member"))


def _chains_of_members(fit: Fit) -> list[np.ndarray]:
    """Chains of each member of a pool, which stand one member after another; else all of them."""
    if len(fit.members) == 1:
        return [np.arange(fit.posterior.sizes["chain"])]
    member = fit.posterior["member"].to_numpy()
    return [np.flatnonzero(member == number) for number in range(len(fit.members))]


def _weights(
    contributed: xr.DataArray, efficiency: float, even: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Plain importance weights where these are worth a share `even` of the draws, else smoothed."""
    every, draws = ("chain", "draw"), contributed.sizes["chain"] * contributed.sizes["draw"]
    plain = contributed.min(every) - contributed
    total = xr.ufuncs.exp(plain).sum(every)
    worth = total**2 / (draws * xr.ufuncs.exp(2 * plain).sum(every))
    weights, k = (plain - xr.ufuncs.log(total)).transpose(*every, "obs"), 0.0 * worth
    rough = np.flatnonzero(worth < even)
    if rough.size:
        smoothed, own = contributed.isel(obs=rough).azstats.psislw(r_eff=efficiency, dim=every)
        weights[{"obs": rough}], k[{"obs": rough}] = smoothed, own
    return weights, k


def _relative_efficiency(posterior: xr.Dataset) -> float:
    """Effective draws over draws, a mean over the parameters; as `arviz.loo` has it."""
    if posterior.sizes["chain"] == 1:
        return 1.0
    effective = posterior.azstats.ess(method="mean")
    every = np.concatenate([value.to_numpy().ravel() for value in effective.data_vars.values()])
    return float(every.mean()) / (posterior.sizes["chain"] * posterior.sizes["draw"])
