r"""How to sample the values of groups so that neither many runs nor few slow the sampler down.

On the real line a group's value is :math:`\theta_g = m + \tau z_g`, with :math:`z_g \sim N(0, 1)`.
Two forms, chosen for each parameter by whether the runs show that groups differ at all, that is
whether the 80% interval of the variance between groups excludes zero (the Q-profile interval of
Viechtbauer 2007, doi:10.1002/sim.2514, from each group's own estimate and its standard error
:math:`s_g`):

* They differ, :math:`\tau > \tau_0`: sampled are m and

  .. math:: u_g \sim N(\lambda_g m, \tau^{\lambda_g}), \qquad
            \theta_g = m + \tau^{1 - \lambda_g} (u_g - \lambda_g m),

  from non-centred (:math:`\lambda = 0`) to centred (1) by the share of the variance that the
  group's own runs settle, :math:`\lambda_g = \tau_0^2 / (\tau_0^2 + s_g^2)` (Papaspiliopoulos,
  Roberts and Skold 2007; Gorinova, Moore and Hoffman 2020, arXiv:1906.03028).
* They may not: a centred form would run into the funnel at :math:`\tau = 0`. Sampled are z and, in
  place of m, the anchor :math:`c = m + \tau \sum_g w_g z_g`, the mean of the groups weighted by
  precision: it is what the runs pin down, and m follows as vague as it has to be.

Noise parameters, whose estimates from few runs are poor, always take the second form. The posterior
is the same; only the way through it is shorter.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, least_squares
from scipy.stats import chi2

from bayescale.laws import from_line
from bayescale.spec import ModelSpec


def anchoring(spec: ModelSpec, cells: pd.DataFrame, index: np.ndarray) -> dict[str, np.ndarray]:
    """Choose the form of every partially pooled parameter.

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
        ``<name>_centring``, lambda, where the groups differ; else ``<name>_weight``, w.
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
    found = dict(zip(spec.priors, zip(place, error, strict=True), strict=True))
    noise = np.zeros(groups), 1 / np.sqrt(2.0 * np.bincount(index))  # error of the log of an sd
    chosen = {}
    for name in spec.partial:
        own_place, own_error = found.get(name, noise)
        least, precision = _least_variance(own_place, own_error), own_error**-2
        if least > 0:
            chosen[f"{name}_centring"] = least / (least + own_error**2)
        else:
            chosen[f"{name}_weight"] = precision / precision.sum()
    return chosen


def _least_variance(place: np.ndarray, error: np.ndarray) -> float:
    """Lower end of the 80% Q-profile interval of the variance between groups."""

    def excess(variance: float) -> float:
        weight = 1 / (error**2 + variance)
        centred = place - (weight * place).sum() / weight.sum()
        return float((weight * centred**2).sum() - chi2.ppf(0.9, len(place) - 1))

    return brentq(excess, 0.0, 1e6) if excess(0.0) > 0 else 0.0


def _estimate(
    spec: ModelSpec, inputs: list[np.ndarray], log_loss: np.ndarray, reference: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate one group's coordinates on the real line, with standard errors.

    Penalised least squares: the priors hold what the runs leave open, and count for little in the
    errors, to keep them finite.
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
