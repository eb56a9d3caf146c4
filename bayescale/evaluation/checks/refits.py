r"""What residuals would look like were the law true: simulated, without refitting.

A fit leaves residuals smaller than its noise, and correlated, because the law bends towards the
runs: raw posterior predictive checks have no power. The remedy is to refit simulated runs. Near
the posterior that takes one matrix product. Let :math:`V = \mathrm{Cov}_s(\mu_s)` be the posterior
covariance of what the law says of the runs (of a loss the logarithm), priors and pooling included.
For Normal noise and a law linear in its parameters :math:`V = \sigma^2 H`, with H the hat matrix,
and a refit of noise :math:`\epsilon` leaves :math:`(I - H)\epsilon`. For any noise

.. math:: r = \epsilon - V \, w \, \partial \log p(\epsilon \mid \mu) / \partial \mu

is one Newton step of the refit; w are the weights of the runs. Every simulation draws its noise
about :math:`\mu` of another posterior draw, and scales V by its scale of the noise; shares of
successes have none, and leave V as it is. Cells of another
weight than 1 take part in the refit but are not shown: they were weighed down because the law or
the noise is not theirs.

V is never formed: its thin factor is the draws of what the law says, no more of them than there
are simulations, and the cells are worked through in parts.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtri
from scipy.stats import rankdata

from bayescale.errors import FitError
from bayescale.modelling.build import cells_of
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import CellDraws, cell_draws, thinned

SIMULATIONS, FEWEST_SIMULATIONS = 4000, 500
MOST_SHOWN = 10_000
"""Cells of a large table that are looked at for patterns: they show any that matters."""

_ENTRIES = 2_000_000  # simulations times cells: larger tables get fewer simulations
_CLIP = 2.6  # normal scores beyond it count as it: an outlier is no trend
_STEP = 1e-3  # of the numerical derivative, in units of the noise
_LEAST = 1e-9  # spread: a task that every run solves leaves none


@dataclass(frozen=True)
class Refits:
    """Residuals of a fit beside those of simulated refits.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row a cell of replicates of weight 1; of more than 10,000 of them that many, at random.
    residual : numpy.ndarray, shape (cells,)
        Observed less fitted (posterior mean), of a loss on its logarithm.
    simulated : numpy.ndarray, shape (simulations, cells)
        What refits of simulated runs would leave.
    scores : numpy.ndarray, shape (1 + simulations, cells)
        Normal scores: the rank of each residual among the simulated ones of its cell, the observed
        first. Heavy tails, one-sided noise and unequal replicates are gone from them.
    every : pandas.DataFrame
        Every cell of weight 1: ``run``, the first of it; ``residual``; ``distance``, that of the
        residual from its cell's simulated median, in simulated sds (half the width from the 16% to
        the 84% quantile).
    farthest : numpy.ndarray, shape (simulations,)
        The largest distance on either side of any of these cells, in each simulation.
    """

    cells: pd.DataFrame
    residual: np.ndarray
    simulated: np.ndarray
    scores: np.ndarray
    every: pd.DataFrame
    farthest: np.ndarray

    @property
    def choice(self) -> str:
        """Say how many of the cells are shown where that is not all; else nothing."""
        shown, number = len(self.cells), len(self.every)
        return "" if shown == number else f", by {shown} of {number}, chosen at random"


def unit(cells: pd.DataFrame) -> str:
    """Name what a row of cells is: a run, or a configuration whose replicates were collapsed.

    Parameters
    ----------
    cells : pandas.DataFrame
        With the column ``replicates``.

    Returns
    -------
    str
        In the plural.
    """
    return "configurations" if (cells["replicates"] > 1).any() else "runs"


def refits(fit: Fit, *, seed: int = 1) -> Refits:
    """Simulate the residuals that refits of runs from the fitted law and noise would leave.

    4,000 simulations of up to 500 cells, fewer of more, and 500 of 4,000 or more. Every cell takes
    part in the refits and is compared with its simulated residuals; 10,000 are shown. By every draw
    for up to 20 million draws times rows, else by 1,000 draws.

    Parameters
    ----------
    fit : Fit
    seed : int, optional

    Returns
    -------
    Refits

    Raises
    ------
    FitError
        For a fit that was made from constants: it has no runs to compare with.
    """
    if len(fit.runs) == 0 or not fit.sampled:
        raise FitError("these are given constants, never fitted to runs: there is nothing to check")
    fit = thinned(fit, len(fit.runs))
    rng, weight = np.random.default_rng(seed), cells_of(fit.spec, fit.runs).table["weight"]
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    simulations = int(np.clip(_ENTRIES // len(weight), FEWEST_SIMULATIONS, SIMULATIONS))
    chosen = rng.choice(draws, simulations, replace=simulations > draws)
    parts = _repeatable(fit, chosen, rng, len(weight))
    push = _push(parts()) / (min(draws, simulations) - 1)
    shown, farthest, found = _shown(weight, seed), np.zeros(simulations), []
    for part in parts():
        full = part.cells["weight"].to_numpy() == 1
        residual = part.residual[full]
        simulated = (part.noise - part.relative * (push @ part.spread))[:, full]
        distance, others = _distances(residual, simulated)
        farthest = np.maximum(farthest, others)
        every = part.cells.loc[full, ["run"]].assign(residual=residual, distance=distance)
        own, shown = shown[: len(full)][full], shown[len(full) :]
        found.append((part.cells[full][own], residual[own], simulated[:, own], every))
    cells, residuals, simulations_of, every_part = zip(*found, strict=True)
    residual, simulated = np.concatenate(residuals), np.concatenate(simulations_of, axis=1)
    scores = _scores(residual, simulated)
    return Refits(pd.concat(cells), residual, simulated, scores, pd.concat(every_part), farthest)


@dataclass(frozen=True)
class _Part:
    """Simulations of some of the cells, before they are refitted."""

    cells: pd.DataFrame
    residual: np.ndarray  # (cells,)
    noise: np.ndarray  # (simulations, cells)
    relative: np.ndarray  # the same: scale of the noise over its root mean square
    pull: np.ndarray  # the same: how the noise pulls at what is fitted
    spread: np.ndarray  # (draws, cells): what is fitted about its mean, a thin factor of V


def _repeatable(
    fit: Fit, chosen: np.ndarray, rng: np.random.Generator, number: int
) -> Callable[[], Iterable[_Part]]:
    """Give the parts as often as they are asked for; kept where one part is all there is."""
    first = next(_parts(fit, chosen, deepcopy(rng)))
    if len(first.cells) < number:
        return lambda: _parts(fit, chosen, deepcopy(rng))
    if len(first.spread) > number:  # V has no more than so many dimensions
        first = replace(first, spread=np.linalg.qr(first.spread, mode="r"))
    return lambda: [first]


def _parts(fit: Fit, chosen: np.ndarray, rng: np.random.Generator) -> Iterator[_Part]:
    sizes = fit.posterior.sizes
    draws = sizes["chain"] * sizes["draw"]
    # As many draws as simulations say V well enough.
    rows = chosen if draws > len(chosen) else np.arange(draws)
    for cells in cell_draws(fit):
        mu = cells.mu.transpose("chain", "draw", "obs").to_numpy().reshape(draws, -1)
        middle = cells.mu.mean("draw").transpose("chain", "obs").to_numpy()
        noise, scale, score = _noise(cells, chosen, rng)
        relative = scale / np.sqrt((scale**2).mean(axis=0))
        yield _Part(
            cells.table,
            cells.table["observed"].to_numpy() - mu.mean(axis=0),
            noise,
            relative,
            relative * cells.table["weight"].to_numpy() * score,
            # Around each chain's own mean: were there several modes, their distance is no
            # uncertainty.
            mu[rows] - middle[rows // sizes["draw"]],
        )


def _push(parts: Iterable[_Part]) -> np.ndarray:
    """Sum over the cells of what pulls at them times the spread of what is fitted."""
    return reduce(np.add, (part.pull @ part.spread.T for part in parts))


def _shown(weight: pd.Series, seed: int) -> np.ndarray:
    """Which cells are looked at: those of weight 1, or a random choice of them."""
    shown = weight.to_numpy() == 1
    if shown.sum() > MOST_SHOWN:
        left_out = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(shown))[MOST_SHOWN:]
        shown[left_out] = False
    return shown


def _distances(residual: np.ndarray, simulated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of residuals, and the largest on either side in each simulation."""
    low, middle, high = np.quantile(simulated, (0.16, 0.5, 0.84), axis=0)
    half = np.maximum((high - low) / 2, _LEAST)
    others = np.abs((simulated - middle) / half).max(axis=1, initial=0.0)
    return (residual - middle) / half, others


def _noise(
    cells: CellDraws, chosen: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw noise; also its scale, and the derivative of its log density in what the law says."""

    def draws(values: xr.DataArray) -> xr.DataArray:
        flat = values.stack(simulation=("chain", "draw"), create_index=False)
        return flat.isel(simulation=chosen).transpose("simulation", ...)

    values = {name: draws(value) for name, value in cells.noise.items()}
    kind, inputs, mu, dims = cells.kind, cells.inputs, draws(cells.mu), ("simulation", "obs")
    scale = xr.DataArray(cells.scale)
    scale = draws(scale) if scale.dims else scale
    drawn = kind.draw(rng, mu, scale, values, inputs).transpose(*dims)
    noise = drawn - mu
    own = noise.std("simulation").clip(min=_LEAST)  # of successes: what their trials leave
    spread = (scale + 0.0 * mu).fillna(own).transpose(*dims)
    left, right = (
        kind.log_density(drawn, mu + side * _STEP * spread, scale, values, inputs)
        for side in (-1, 1)
    )
    score = ((right - left) / (2 * _STEP * spread)).transpose(*dims)
    return noise.to_numpy(), spread.to_numpy(), score.to_numpy()


def _scores(residual: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    everything = np.vstack([residual, simulated])
    ranks = rankdata(everything, axis=0) - 0.5
    return np.clip(ndtri(ranks / len(everything)), -_CLIP, _CLIP)
