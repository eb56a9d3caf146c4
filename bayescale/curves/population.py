r"""What the curves of a table have in common, learned across them.

Coordinates of curve i lie about the middle of the population, m, and the effect of the curve's
cluster, a, on the real line: :math:`\theta_i \sim N(m + a_{g(i)}, s)`, :math:`a_g \sim N(0, t)`. It
is the model of ``<model>-hierarchical.toml``, which `bayescale.fit` samples by PyMC, with one
difference that makes it quick: m, a, s and t are not sampled but at the mode of their posterior, s
and t on the log scale, by expectation and maximisation (empirical Bayes; Gelman et al., Bayesian
Data Analysis, chapter 13.6). What is uncertain of m widens the prior that a curve gets.

The expectations are over draws of each curve under a Normal prior of its own, weighted by the
ratio of the population's density to that prior.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

ROUNDS = 60
"""Rounds of expectation and maximisation."""

_LEAST = 0.05  # sd between curves, so that a few draws never decide


@dataclass(frozen=True)
class Hyperpriors:
    """Priors of a population.

    Parameters
    ----------
    names : tuple of str
        Pooled coordinates.
    mean, sd : ndarray
        Of the Normal priors of the middles on the real line, shape (names,).
    scale : ndarray
        Of the HalfNormal priors of the sds between curves, shape (names,).
    cluster_scale : ndarray
        Of those between clusters; 0 for a coordinate on which clusters have no effect.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    scale: np.ndarray
    cluster_scale: np.ndarray


@dataclass(frozen=True)
class Population:
    """A population of curves.

    Parameters
    ----------
    names : tuple of str
        Pooled coordinates.
    middle, sd : ndarray
        Of the curves on the real line, the sd as a new one would be seen, shape (names,).
    middle_sd : ndarray
        What is uncertain of the middles, shape (names,).
    effect, effect_sd : mapping of str to ndarray
        Of each cluster, and what is uncertain of it, shape (names,); empty without clusters.
    cluster_sd : ndarray
        Between clusters, shape (names,).
    """

    names: tuple[str, ...]
    middle: np.ndarray
    sd: np.ndarray
    middle_sd: np.ndarray = field(repr=False)
    effect: Mapping[str, np.ndarray] = field(repr=False)
    effect_sd: Mapping[str, np.ndarray] = field(repr=False)
    cluster_sd: np.ndarray = field(repr=False)

    def prior(self, cluster: str | None = None) -> np.ndarray:
        """Mean and sd of the coordinates of a curve.

        Parameters
        ----------
        cluster : str, optional

        Returns
        -------
        ndarray
            Shape (2, names).
        """
        variance = self.sd**2 + self.middle_sd**2
        if cluster is None:
            return np.array([self.middle, np.sqrt(variance)])
        spread = np.sqrt(variance + self.effect_sd[cluster] ** 2)
        return np.array([self.middle + self.effect[cluster], spread])


def learn(
    draws: np.ndarray,
    log_weight: np.ndarray,
    base: np.ndarray,
    priors: Hyperpriors,
    *,
    clusters: Sequence[str] | None = None,
    rounds: int = ROUNDS,
) -> Population:
    """Learn a population of curves from draws of each on its own.

    Parameters
    ----------
    draws : ndarray
        Pooled coordinates of each curve on the real line, shape (curves, draws, names).
    log_weight : ndarray
        Log weights of the draws, shape (curves, draws).
    base : ndarray
        Mean and sd of the Normal priors under which they were drawn, shape (curves, 2, names).
    priors : Hyperpriors
    clusters : sequence of str, optional
        Which cluster each curve belongs to.
    rounds : int, optional

    Returns
    -------
    Population
    """
    labels, index = np.unique(clusters or ["all"] * len(draws), return_inverse=True)
    tau = np.where(priors.cluster_scale > 0, priors.cluster_scale / 2, 0.0)
    tau = tau if clusters is not None else np.zeros(len(priors.names))
    middle, sd = priors.mean.copy(), priors.scale.copy()
    effect, spread = np.zeros((2, len(labels), len(priors.names)))
    log_base = _log_normal(draws, base[:, :1], base[:, 1:]) - log_weight
    for _ in range(rounds):
        centre = (middle + effect[index])[:, None]
        mean, variance = _moments(draws, _log_normal(draws, centre, sd) - log_base)
        for _ in range(3):  # middle and effects share what the curves say
            middle = _middle(mean - effect[index], sd, priors)
            effect, spread = _effects(mean - middle, index, sd, tau)
        square = variance + (mean - middle - effect[index]) ** 2 + spread[index]
        sd = np.maximum(_sd(square, priors.scale), _LEAST)
        tau = np.where(tau > 0, _sd(effect**2 + spread, priors.cluster_scale), 0.0)
    # A curve that says nothing of a coordinate says nothing of its middle and sd either.
    told = np.clip(1 - variance / sd**2, 0.0, 1.0).sum(axis=0)
    middle_sd = 1 / np.sqrt(told / sd**2 + 1 / priors.sd**2)
    # Of few curves the sd is uncertain: the variance of Student's t, less where the prior decides.
    sd = sd * np.sqrt(1 + 2 * told / (told + 2) ** 2)
    names = list(map(str, labels)) if clusters is not None else []
    effects, spreads = (dict(zip(names, own, strict=False)) for own in (effect, np.sqrt(spread)))
    return Population(priors.names, middle, sd, middle_sd, effects, spreads, tau)


def _log_normal(draws: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Log density of every draw up to a constant, (curves, draws)."""
    off = (draws - mean) / sd
    return (-0.5 * off**2 - np.log(sd)).sum(-1)


def _moments(draws: np.ndarray, log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and variance of every curve's coordinates, (curves, names)."""
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = np.einsum("cd,cdj->cj", weight, draws)
    return mean, np.einsum("cd,cdj->cj", weight, draws**2) - mean**2


def _middle(value: np.ndarray, sd: np.ndarray, priors: Hyperpriors) -> np.ndarray:
    """Mode of the middles, given coordinates of the curves less the effects of their clusters."""
    known = len(value) / sd**2
    stated = 1 / priors.sd**2
    middle: np.ndarray = (value.sum(0) / sd**2 + priors.mean * stated) / (known + stated)
    return middle


def _effects(
    value: np.ndarray, index: np.ndarray, sd: np.ndarray, tau: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the effects of clusters, (clusters, names); 0 where tau is."""
    number = np.bincount(index)[:, None]
    total = np.stack([value[index == cluster].sum(0) for cluster in range(len(number))])
    variance = tau**2 * sd**2 / (sd**2 + number * tau**2)
    return total / sd**2 * variance, variance


def _sd(square: np.ndarray, scale: np.ndarray) -> np.ndarray:
    r"""Mode of log s given squared distances, under s ~ HalfNormal(scale).

    Where :math:`s^4 / scale^2 + (n - 1) s^2 = \sum d^2`.
    """
    less = len(square) - 1
    root = np.sqrt(less**2 + 4 * square.sum(0) / np.maximum(scale, 1e-9) ** 2)
    sd: np.ndarray = scale * np.sqrt((root - less) / 2)
    return sd
