r"""What residuals would look like were the law true: simulated, without refitting.

A fit leaves residuals smaller than its noise, and correlated, because the law bends towards the
runs: raw posterior predictive checks have no power. The remedy is to refit simulated runs. Near
the posterior that takes one matrix product. Let :math:`V = \mathrm{Cov}_s(\mu_s)` be the posterior
covariance of the fitted log losses, priors and pooling included. For Normal noise and a law linear
in its parameters :math:`V = \sigma^2 H`, with H the hat matrix, and a refit of noise
:math:`\epsilon` leaves :math:`(I - H)\epsilon`. For any noise

.. math:: r = \epsilon - V \, w \, \partial \log p(\epsilon \mid \mu) / \partial \mu

at :math:`\mu = 0` is one Newton step of the refit; w are the weights of the runs. Every simulation
draws its noise, and scales V, by the noise parameters of another posterior draw. Cells of another
weight than 1 take part in the refit but are not shown: they were weighed down because the law or
the noise is not theirs.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm, rankdata

from bayescale.errors import FitError
from bayescale.fitting import Fit
from bayescale.prediction import CellDraws, cell_draws

SIMULATIONS = 4000
_ENTRIES = 2_000_000  # simulations times cells: larger tables get fewer simulations
_CLIP = 2.6  # normal scores beyond it count as it: an outlier is no trend
_STEP = 1e-3  # of the numerical derivative, in units of the noise


@dataclass(frozen=True)
class Refits:
    """Residuals of a fit beside those of simulated refits.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row a cell of replicates of weight 1.
    residual : numpy.ndarray, shape (cells,)
        Observed less fitted log loss (posterior mean).
    simulated : numpy.ndarray, shape (simulations, cells)
        What refits of simulated runs would leave.
    scores : numpy.ndarray, shape (1 + simulations, cells)
        Normal scores: the rank of each residual among the simulated ones of its cell, the observed
        first. Heavy tails, one-sided noise and unequal replicates are gone from them.
    """

    cells: pd.DataFrame
    residual: np.ndarray
    simulated: np.ndarray
    scores: np.ndarray

    @property
    def distances(self) -> np.ndarray:
        """Distance of each residual from its cell's simulated median, in simulated sds; as scores.

        The sd is half the width from the 16% to the 84% quantile.
        """
        low, middle, high = np.quantile(self.simulated, (0.16, 0.5, 0.84), axis=0)
        return (np.vstack([self.residual, self.simulated]) - middle) / ((high - low) / 2)


def unit(cells: pd.DataFrame) -> str:
    """Name what a row of cells is: a run, or a configuration whose replicates were collapsed."""
    return "configurations" if (cells["replicates"] > 1).any() else "runs"


def refits(fit: Fit, *, seed: int = 1) -> Refits:
    """Simulate the residuals that refits of runs from the fitted law and noise would leave.

    Raises
    ------
    FitError
        For a fit that was made from constants: it has no runs to compare with.
    """
    if len(fit.runs) == 0 or not fit.sampled:
        raise FitError("these are given constants, never fitted to runs: there is nothing to check")
    cells = cell_draws(fit)
    rng = np.random.default_rng(seed)
    number = len(cells.table)
    simulations = int(np.clip(_ENTRIES // number, 500, SIMULATIONS))
    mu = _flat(cells.mu)
    # Around each chain's own mean: were there several modes, their distance is no uncertainty.
    spread = _flat(cells.mu - cells.mu.mean("draw"))
    chosen = rng.choice(len(mu), simulations, replace=simulations > len(mu))
    noise, scale, score = _noise(fit, cells, chosen, rng)
    relative = scale / np.sqrt((scale**2).mean(axis=0))
    if len(spread) > simulations:  # as many draws as simulations say V well enough
        spread = spread[chosen]
    weight = cells.table["weight"].to_numpy()
    pushed = np.linalg.multi_dot([relative * weight * score, spread.T, spread])
    residual = cells.table["log_loss"].to_numpy() - mu.mean(axis=0)
    simulated = noise - relative * pushed / (len(spread) - 1)
    full = weight == 1
    residual, simulated = residual[full], simulated[:, full]
    return Refits(cells.table[full], residual, simulated, _scores(residual, simulated))


def _flat(values: xr.DataArray) -> np.ndarray:
    return values.transpose("chain", "draw", "obs").to_numpy().reshape(-1, values.sizes["obs"])


def _noise(
    fit: Fit, cells: CellDraws, chosen: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw noise around 0; also its scale, and the derivative of its log density in mu at 0."""

    def draws(values: xr.DataArray) -> xr.DataArray:
        flat = values.stack(simulation=("chain", "draw"), create_index=False)
        return flat.isel(simulation=chosen).transpose("simulation", ...)

    values = {name: draws(value) for name, value in cells.noise.items()}
    centre = 0.0 * draws(cells.mu)
    scale = (draws(cells.scale) + centre).transpose("simulation", "obs")
    kind, inputs = fit.spec.noise_model, cells.inputs
    noise = kind.draw(rng, centre, scale, values, inputs).transpose("simulation", "obs")

    left, right = (
        kind.log_density(noise, side * _STEP * scale, scale, values, inputs) for side in (-1, 1)
    )
    score = ((right - left) / (2 * _STEP * scale)).transpose("simulation", "obs")
    return noise.to_numpy(), scale.to_numpy(), score.to_numpy()


def _scores(residual: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    everything = np.vstack([residual, simulated])
    ranks = rankdata(everything, axis=0) - 0.5
    return np.clip(norm.ppf(ranks / len(everything)), -_CLIP, _CLIP)
