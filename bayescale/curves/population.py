r"""What the curves of a table have in common, learned across them.

Coordinates of curve i lie about the middle of the population, m, and the effect of the curve's
cluster, a, on the real line: :math:`\theta_i \sim N(m + a_{g(i)}, s)`, :math:`a_g \sim N(0, t)`. It
is the model of ``plateau-power-law-hierarchical.toml``, which `bayescale.fit` samples by PyMC, with
one difference that makes it quick: here the likelihood of each curve is taken as Normal in its
coordinates, with the mean and covariance that draws of the curve alone have once their prior is
taken off, as in meta-analysis. A Gibbs sampler then draws m, s, a and t. What they say of a curve,
as a Normal prior, is then joined with the curve's own likelihood, which is not taken as anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

ROUNDS, WARMUP = 1000, 200
"""Rounds of the sampler that are kept, and those before."""

_GRID = np.geomspace(0.02, 6.0, 80)  # of an sd, in units of its prior's scale
_LEAST = 1e-3  # precision that a curve always adds, of its prior's: none may be negative


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
    """Draws of a population of curves.

    Parameters
    ----------
    names : tuple of str
        Pooled coordinates.
    middle, sd : ndarray
        Of the curves on the real line, shape (rounds, names).
    clusters : tuple of str
        Empty where none are named.
    effect : ndarray
        Of each cluster, shape (rounds, clusters, names).
    cluster_sd : ndarray
        Between clusters, shape (rounds, names); 0 for a coordinate without effects.
    """

    names: tuple[str, ...]
    middle: np.ndarray = field(repr=False)
    sd: np.ndarray = field(repr=False)
    clusters: tuple[str, ...]
    effect: np.ndarray = field(repr=False)
    cluster_sd: np.ndarray = field(repr=False)

    def prior(self, cluster: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the coordinates of a curve.

        Parameters
        ----------
        cluster : str, optional
            Of a cluster that is not among these, the curve is of a new one.

        Returns
        -------
        mean : ndarray
            Shape (names,).
        covariance : ndarray
            Shape (names, names).
        """
        centre, variance = self.middle, self.sd**2
        if cluster in self.clusters:
            centre = centre + self.effect[:, self.clusters.index(str(cluster))]
        elif self.clusters:
            variance = variance + self.cluster_sd**2
        return centre.mean(0), np.diag(variance.mean(0)) + np.cov(centre.T)


def learn(
    mean: np.ndarray,
    covariance: np.ndarray,
    priors: Hyperpriors,
    rng: np.random.Generator,
    *,
    clusters: Sequence[str] | None = None,
) -> Population:
    """Learn a population of curves from draws of each on its own.

    Parameters
    ----------
    mean : ndarray
        Of the pooled coordinates of each curve on the real line, sampled under the priors of the
        middles, shape (curves, names).
    covariance : ndarray
        Of the same, shape (curves, names, names).
    priors : Hyperpriors
    rng : numpy.random.Generator
    clusters : sequence of str, optional
        Which cluster each curve belongs to.

    Returns
    -------
    Population
    """
    gibbs = _Gibbs(*_likelihoods(mean, covariance, priors), priors, clusters, rng)
    kept = [gibbs.round() for _ in range(WARMUP + ROUNDS)][WARMUP:]
    middle, sd, effect, cluster_sd = (np.stack(part) for part in zip(*kept, strict=True))
    return Population(priors.names, middle, sd, gibbs.clusters, effect, cluster_sd)


def _likelihoods(
    mean: np.ndarray, covariance: np.ndarray, priors: Hyperpriors
) -> tuple[np.ndarray, np.ndarray]:
    """Precision of each curve's likelihood, (curves, names, names), and precision times mean."""
    own = np.linalg.inv(covariance)
    stated = np.diag(1 / priors.sd**2)
    root = np.diag(priors.sd)
    sizes, vectors = np.linalg.eigh(root @ (own - stated) @ root)  # in units of the priors
    kept = (vectors * np.maximum(sizes, _LEAST)[:, None]) @ vectors.transpose(0, 2, 1)
    precision = np.diag(1 / priors.sd) @ kept @ np.diag(1 / priors.sd)
    # Where the likelihood would lie on its own, so that with the prior its mean is the curve's.
    pull = ((precision + stated) @ mean[..., None])[..., 0] - priors.mean / priors.sd**2
    return precision, pull


class _Gibbs:
    """State of the sampler, and one round of it."""

    def __init__(
        self,
        precision: np.ndarray,
        pull: np.ndarray,
        priors: Hyperpriors,
        clusters: Sequence[str] | None,
        rng: np.random.Generator,
    ) -> None:
        self.precision, self.pull, self.priors, self.rng = precision, pull, priors, rng
        labels, self.index = np.unique(clusters or ["all"] * len(pull), return_inverse=True)
        self.clusters = tuple(map(str, labels)) if clusters is not None else ()
        apart = priors.cluster_scale if clusters is not None else np.zeros(len(priors.names))
        self.affected = apart > 0
        self.apart = np.where(self.affected, apart, 1.0)
        self.middle, self.sd = priors.mean.copy(), priors.scale.copy()
        self.effect = np.zeros((len(labels), len(priors.names)))
        self.cluster_sd = np.where(self.affected, self.apart / 2, 0.0)

    def round(self) -> tuple[np.ndarray, ...]:
        """Draw everything once."""
        own = np.linalg.inv(self.precision + np.diag(1 / self.sd**2))
        self.middle = self._middle_alone(own)
        value = self._curves(own)
        if self.affected.any():
            self.middle = self._middle(value)
            self.effect = self._effects(value - self.middle)
            self.cluster_sd = np.where(self.affected, self._sds(self.effect, self.apart), 0.0)
        self.sd = self._sds(value - self.middle - self.effect[self.index], self.priors.scale)
        return self.middle, self.sd, self.effect, self.cluster_sd

    def _middle_alone(self, own: np.ndarray) -> np.ndarray:
        """Draw the middles with the curves summed out: they would hold each other fast."""
        inverse = np.diag(1 / self.sd**2)
        told = inverse - inverse @ own @ inverse
        pull = (inverse @ own @ self.pull[..., None])[..., 0]
        pull = pull - (told @ self.effect[self.index][..., None])[..., 0]
        covariance = np.linalg.inv(told.sum(0) + np.diag(1 / self.priors.sd**2))
        mean = covariance @ (pull.sum(0) + self.priors.mean / self.priors.sd**2)
        root = np.linalg.cholesky((covariance + covariance.T) / 2)
        drawn: np.ndarray = mean + root @ self.rng.standard_normal(len(mean))
        return drawn

    def _curves(self, own: np.ndarray) -> np.ndarray:
        """Draw the coordinates of every curve, (curves, names)."""
        centre = self.middle + self.effect[self.index]
        mean = own @ (self.pull + centre / self.sd**2)[..., None]
        step = self.rng.standard_normal((*centre.shape, 1))
        drawn: np.ndarray = (mean + np.linalg.cholesky(own) @ step)[..., 0]
        return drawn

    def _middle(self, value: np.ndarray) -> np.ndarray:
        """Draw the middles, with the effects of clusters summed out."""
        number = np.bincount(self.index)[:, None]
        total = np.stack([value[self.index == g].sum(0) for g in range(len(number))])
        spread = self.cluster_sd**2 + self.sd**2 / number  # of the mean of a cluster
        precision = (1 / spread).sum(0) + 1 / self.priors.sd**2
        mean = ((total / number / spread).sum(0) + self.priors.mean / self.priors.sd**2) / precision
        drawn: np.ndarray = mean + self.rng.standard_normal(len(mean)) / np.sqrt(precision)
        return drawn

    def _effects(self, value: np.ndarray) -> np.ndarray:
        """Draw the effects of clusters, (clusters, names); 0 where they have none."""
        number = np.bincount(self.index)[:, None]
        total = np.stack([value[self.index == g].sum(0) for g in range(len(number))])
        variance = self.cluster_sd**2 * self.sd**2 / (self.sd**2 + number * self.cluster_sd**2)
        step = self.rng.standard_normal(total.shape)
        drawn: np.ndarray = total / self.sd**2 * variance + np.sqrt(variance) * step
        return drawn

    def _sds(self, off: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Draw sds from a grid, given distances and the scales of their HalfNormal priors."""
        square = (off**2).sum(0) / scale**2
        log = (1 - len(off)) * np.log(_GRID) - 0.5 * _GRID**2
        log = log - square[:, None] / (2 * _GRID**2)
        picked: np.ndarray = _GRID[(log + self.rng.gumbel(size=log.shape)).argmax(axis=1)] * scale
        return picked
