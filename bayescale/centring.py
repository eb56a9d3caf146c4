r"""How to sample the values of groups: centred where their runs pin them down, else non-centred.

A group's value on the real line, :math:`\theta_g \sim N(m, \tau)`, is sampled as

.. math:: u_g \sim N(\lambda m, \tau^\lambda), \qquad
          \theta_g = m + \tau^{1-\lambda} (u_g - \lambda m).

With :math:`\lambda = 1` this is the centred form, quick where data decide and a funnel where they
do not; with 0 the non-centred one, the other way round. The best :math:`\lambda` is the share of
the variance that the data settle, :math:`\tau^2 / (\tau^2 + s_g^2)`, :math:`s_g` the standard error
of :math:`\theta_g` from the group's own runs (Papaspiliopoulos, Roberts and Skold 2007; Gorinova,
Moore and Hoffman 2020, arXiv:1906.03028). It changes how fast the posterior is explored, never the
posterior itself.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.stats import chi2

from bayescale.laws import from_line
from bayescale.spec import ModelSpec


def centring(spec: ModelSpec, cells: pd.DataFrame, index: np.ndarray) -> dict[str, np.ndarray]:
    """Choose lambda for every partially pooled parameter and group.

    Parameters
    ----------
    spec : ModelSpec
    cells : pandas.DataFrame
        Inputs of the law and ``log_loss``, one row a cell of replicates.
    index : numpy.ndarray of int, shape (cells,)
        The group of each cell.

    Returns
    -------
    dict of str to numpy.ndarray, shape (groups,)
    """
    groups = index.max() + 1
    inputs = [cells[name].to_numpy(dtype=float) for name in spec.inputs]
    reference = tuple(float(np.exp(np.log(values).mean())) for values in inputs)
    log_loss = cells["log_loss"].to_numpy()
    place, error = np.empty((2, len(spec.priors), groups))
    for group in range(groups):
        own = index == group
        place[:, group], error[:, group] = _estimate(
            spec, [values[own] for values in inputs], log_loss[own], reference
        )
    found = {name: (place[row], error[row]) for row, name in enumerate(spec.priors)}
    runs = np.bincount(index)
    found["sigma"] = np.zeros(groups), 1 / np.sqrt(2 * runs)  # of the log of a sample's sd
    return {
        name: _settled(*found[name]) if name in found else np.zeros(groups) for name in spec.partial
    }


def _settled(place: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Share of the variance that the data settle, for a cautious value of the sd between groups.

    Cautious: an 80% lower confidence bound of the spread that the estimates show beyond their
    errors, and no less than half an error. Where the data allow that groups do not differ at all,
    a more centred form would run into the corner where the sd between groups is near zero.
    """
    freedom, least = len(place) - 1, (0.5 * error.mean()) ** 2
    spread = np.var(place, ddof=1) * freedom / chi2.ppf(0.8, freedom) - np.mean(error**2)
    return max(spread, least) / (max(spread, least) + error**2)


def _estimate(
    spec: ModelSpec, inputs: list[np.ndarray], log_loss: np.ndarray, reference: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the coordinates of one group by penalised least squares, with standard errors.

    Both on the real line. The priors hold what the runs leave open; they do not count as data in
    the standard errors beyond keeping them finite.
    """
    middle, width = np.array([prior.on_line() for prior in spec.priors.values()]).T
    sigma = np.exp(spec.noise_priors["sigma"].on_line()[0])

    def misfit(step: np.ndarray) -> np.ndarray:
        return _misfit(spec, middle + width * step, inputs, log_loss, reference)

    def penalised(step: np.ndarray) -> np.ndarray:
        return np.concatenate([misfit(step) / sigma, step])

    best = least_squares(penalised, np.zeros(len(middle)), max_nfev=200)
    jacobian = best.jac[: len(log_loss)] * sigma
    freedom = max(len(log_loss) - len(middle), 1)
    noise = np.sqrt((misfit(best.x) ** 2).sum() / freedom) + 1e-4
    precision = jacobian.T @ jacobian / noise**2 + 0.1 * np.eye(len(middle))
    return middle + width * best.x, width * np.sqrt(np.diag(np.linalg.inv(precision)))


def _misfit(
    spec: ModelSpec,
    line: np.ndarray,
    inputs: list[np.ndarray],
    log_loss: np.ndarray,
    reference: tuple[float, ...],
) -> np.ndarray:
    sampled: dict[str, Any] = {
        name: from_line(name, value) for name, value in zip(spec.priors, line, strict=True)
    }
    natural = spec.law.to_natural(sampled, reference)
    return np.log(spec.law.loss(*inputs, **natural)) - log_loss
