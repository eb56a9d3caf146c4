r"""How much exponents drift, learned across the curves that are fitted together.

A joint model of all curves would have a dozen coordinates a curve and a compilation for every
number of curves. In its place, exactly up to Monte Carlo error, two stages (Lunn et al. 2013,
doi:10.1002/sim.5624). First each curve is sampled on its own under the prior
:math:`\log \tau \sim N(m_0, s_0)`. Then draws of curve j are weighted by

.. math:: \int p(m, s) \prod_{i \ne j} Z_i(m, s) \,
    \frac{N(\log \tau_j \mid m, s)}{N(\log \tau_j \mid m_0, s_0)} \, dm \, ds, \qquad
    Z_i(m, s) = E \Big[ \frac{N(\log \tau_i \mid m, s)}{N(\log \tau_i \mid m_0, s_0)} \Big],

the expectation over the draws of curve i; the integral is a sum over a grid.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from bayescale.curves.model import PRIORS

_MIDDLE_SD, _SPREAD_SD = 0.5, 1.1  # together about the sd of a curve on its own
_ALONE_MEAN, _ALONE_SD = PRIORS["log_drift"]


def population_weights(log_drifts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Weights of the draws of each curve, were all log taus of one normal population.

    Parameters
    ----------
    log_drifts : sequence of numpy.ndarray, shape (draws,)
        Draws of log tau of each curve, sampled on its own.

    Returns
    -------
    list of numpy.ndarray
        One for each curve, with sum 1; equal weights for a single curve.
    """
    if len(log_drifts) < 2:
        return [np.full(len(draws), 1 / len(draws)) for draws in log_drifts]
    middle = _ALONE_MEAN + _MIDDLE_SD * np.linspace(-3, 3, 41)
    spread = _SPREAD_SD * np.linspace(0.05, 3, 30)
    m, s = (grid.ravel() for grid in np.meshgrid(middle, spread))
    prior = -0.5 * ((m - _ALONE_MEAN) / _MIDDLE_SD) ** 2 - 0.5 * (s / _SPREAD_SD) ** 2
    evidence = np.stack([_log_evidence(draws, m, s) for draws in log_drifts])
    others = prior + evidence.sum(axis=0) - evidence
    return [_weights(draws, m, s, log) for draws, log in zip(log_drifts, others, strict=True)]


def _log_ratio(draws: np.ndarray, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Log density of a population over that of the prior: (draws, grid)."""
    own = -0.5 * ((draws[:, None] - m) / s) ** 2 - np.log(s)
    alone = -0.5 * ((draws[:, None] - _ALONE_MEAN) / _ALONE_SD) ** 2 - np.log(_ALONE_SD)
    return own - alone


def _log_evidence(draws: np.ndarray, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    return logsumexp(_log_ratio(draws, m, s), axis=0) - np.log(len(draws))


def _weights(draws: np.ndarray, m: np.ndarray, s: np.ndarray, others: np.ndarray) -> np.ndarray:
    log = logsumexp(_log_ratio(draws, m, s) + others, axis=1)
    return np.exp(log - logsumexp(log))
