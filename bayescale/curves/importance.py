"""Adaptive importance sampling of a density with a few dozen numbers at most, in NumPy.

Modes are climbed to from several starts at once (Fisher scoring with Levenberg-Marquardt damping).
The proposal is a mixture of multivariate t distributions with 6 degrees of freedom, one a mode, as
wide as 1.1 times the inverse Hessian there; later rounds propose around earlier draws, and all
draws are weighed by the mixture of every proposal (deterministic mixture, Owen and Zhou 2000).
Coordinates are whitened by their priors, so that the prior is about a standard Normal.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import gammaln, logsumexp

_DOF, _WIDER = 6.0, 1.1
_CENTRES = 16  # draws around which a further round proposes
_STEPS, _TINY = 60, 1e-6
_NEAR, _WORSE = 1.0, 8.0  # sds between modes that are one; nats below the best that matter no more


class Density(Protocol):
    """An unnormalised density of whitened coordinates."""

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Log density of places of shape (..., coordinate), shape (...)."""

    def slopes(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give gradient and expected information.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates of s places, shape (s, p).

        Returns
        -------
        gradient : ndarray
            Shape (s, p).
        information : ndarray
            Shape (s, p, p).
        """

    def starts(self) -> np.ndarray:
        """Choose places from which to look for modes.

        Returns
        -------
        ndarray
            Shape (s, p).
        """


@dataclass(frozen=True)
class Effort:
    """How long to sample.

    Parameters
    ----------
    first : int
        Draws around the modes.
    rounds, most : int
        Rounds in all, and how many more are tried until there are `enough` effective draws.
    draws : int
        In each further round.
    enough : float
        Effective draws that end the rounds.
    """

    first: int = 750
    rounds: int = 8
    most: int = 12
    draws: int = 750
    enough: float = 100.0


@dataclass(frozen=True)
class Sample:
    """Weighted draws from a density.

    Parameters
    ----------
    u : ndarray
        Shape (draws, coordinate).
    log_weight : ndarray
        Log density less log density of the proposal, shape (draws,).
    modes : ndarray
        The highest first, shape (modes, coordinate).
    """

    u: np.ndarray
    log_weight: np.ndarray
    modes: np.ndarray

    @property
    def log_evidence(self) -> float:
        """Log of the integral of the density."""
        return float(logsumexp(self.log_weight) - np.log(len(self.u)))

    @property
    def ess(self) -> float:
        """Effective number of draws."""
        return _effective(self.log_weight)

    def drawn(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw with equal weights, in random order.

        Parameters
        ----------
        number : int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray
            Shape (number, coordinate).
        """
        share = np.exp(self.log_weight - logsumexp(self.log_weight))
        return self.u[rng.permutation(systematic(share, number, rng))]


def importance(density: Density, rng: np.random.Generator, effort: Effort = Effort()) -> Sample:
    """Sample a density.

    Parameters
    ----------
    density : Density
    rng : numpy.random.Generator
    effort : Effort, optional

    Returns
    -------
    Sample
    """
    modes, heights = _distinct_modes(density)
    proposals = [_at_modes(density, modes, heights)]
    u = proposals[0].draw(rng, effort.first)
    value, proposed = density(u), proposals[0].log_density(u)
    while len(proposals) < effort.rounds or (
        len(proposals) < effort.most and _effective(value - proposed) < effort.enough
    ):
        number = len(proposals)
        proposals.append(_around(density, u, value - proposed, rng))
        more = proposals[-1].draw(rng, effort.draws)
        # All proposals as one mixture, each part by the draws that were made from it.
        drawn = np.array([effort.first, *[effort.draws] * number]) / (len(u) + effort.draws)
        whole = _Mixture(
            np.concatenate([own.centres for own in proposals]),
            np.concatenate([own.roots for own in proposals]),
            np.concatenate([s * own.weights for s, own in zip(drawn, proposals, strict=True)]),
        )
        # the old mixture's densities, at their share of the new one
        kept_share = np.log(len(u)) - np.log(len(u) + effort.draws)
        newest = proposals[-1].log_density(u) + np.log(drawn[-1])
        proposed = np.concatenate(
            [np.logaddexp(proposed + kept_share, newest), whole.log_density(more)]
        )
        u, value = np.concatenate([u, more]), np.concatenate([value, density(more)])
    return Sample(u, value - proposed, modes)


def climb(density: Density, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Climb from many starts at once to local maxima, by damped Fisher scoring.

    Parameters
    ----------
    density : Density
    u : ndarray
        Whitened coordinates of s starts, shape (s, p).

    Returns
    -------
    u : ndarray
        Where each of them ends, shape (s, p).
    value : ndarray
        Log density there, shape (s,).
    """
    value, damping = density(u), np.full(len(u), 1e-2)
    calm = np.zeros(len(u), int)
    for _ in range(_STEPS):
        gradient, information = density.slopes(u)
        diagonal = np.einsum("sii->si", information)
        diagonal *= 1 + damping[:, None]
        tried = u + np.linalg.solve(information, gradient[..., None])[..., 0]
        reached = density(tried)
        better = reached > value
        calm = np.where(np.abs(reached - value) < _TINY, calm + 1, 0)
        u = np.where(better[:, None], tried, u)
        value = np.where(better, reached, value)
        damping = np.where(better, np.maximum(damping / 5, 1e-9), np.minimum(damping * 4, 1e9))
        if (calm > 0).all():
            break
    return u, value


def _distinct_modes(density: Density) -> tuple[np.ndarray, np.ndarray]:
    """Climb from the starts; modes that differ, the highest first, and their heights."""
    u, value = climb(density, density.starts())
    _, information = density.slopes(u)
    modes: list[int] = []
    for i in np.argsort(-value):
        apart = [(u[i] - u[j]) @ information[j] @ (u[i] - u[j]) for j in modes]
        if not modes or (value[i] > value[modes[0]] - _WORSE and min(apart) > _NEAR):
            modes.append(int(i))
    return u[modes], value[modes]


@dataclass(frozen=True)
class _Mixture:
    """Multivariate t distributions with 6 degrees of freedom, roots of their scale matrices."""

    centres: np.ndarray  # (k, p)
    roots: np.ndarray  # (k, p, p)
    weights: np.ndarray  # (k,)

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        size = self.centres.shape[1]
        part = np.repeat(np.arange(len(self.weights)), rng.multinomial(number, self.weights))
        scale = np.sqrt(rng.chisquare(_DOF, (number, 1)) / _DOF)
        step = rng.standard_normal((number, size)) / scale
        return self.centres[part] + (self.roots[part] @ step[..., None])[..., 0]

    def log_density(self, u: np.ndarray) -> np.ndarray:
        """Log density of the mixture, one matrix product for all of its parts."""
        size = self.centres.shape[1]
        back = np.linalg.inv(self.roots)
        precision = back.transpose(0, 2, 1) @ back
        pull = (precision @ self.centres[..., None])[..., 0]
        constant = (pull * self.centres).sum(-1)
        rows, columns = np.triu_indices(size)
        twice = np.where(rows == columns, 1.0, 2.0)
        square = (u[:, rows] * u[:, columns]) @ (precision[:, rows, columns] * twice).T
        square = np.maximum(square - 2 * u @ pull.T + constant, 0.0)  # (draws, k)
        height = gammaln((_DOF + size) / 2) - gammaln(_DOF / 2) - size / 2 * np.log(_DOF * np.pi)
        height = height - np.linalg.slogdet(self.roots)[1] + np.log(self.weights)
        log = height - (_DOF + size) / 2 * np.log1p(square / _DOF)
        top = log.max(axis=1)
        density: np.ndarray = top + np.log(np.exp(log - top[:, None]).sum(axis=1))
        return density


def _at_modes(density: Density, modes: np.ndarray, heights: np.ndarray) -> _Mixture:
    """Propose at every mode, each weighed by its Laplace evidence and none left out."""
    roots = np.stack([_root(density, mode) for mode in modes])
    laplace = heights + np.linalg.slogdet(roots)[1]
    weights = 0.9 * np.exp(laplace - logsumexp(laplace)) + 0.1 / len(modes)
    return _Mixture(modes, roots, weights / weights.sum())


def _root(density: Density, mode: np.ndarray) -> np.ndarray:
    """Root of the inverse Hessian at a mode, from second differences along scaled axes."""
    _, information = density.slopes(mode[None])
    root = np.linalg.inv(np.linalg.cholesky(information[0])).T
    size, step = len(mode), 0.3
    axes = step * np.eye(size)
    i, j = np.triu_indices(size)
    moves = np.stack([axes[i] + axes[j], axes[i] - axes[j], axes[j] - axes[i], -axes[i] - axes[j]])
    value = density(mode + moves @ root.T)
    hessian = np.zeros((size, size))
    hessian[i, j] = hessian[j, i] = -(value[0] - value[1] - value[2] + value[3]) / (4 * step**2)
    sizes, vectors = np.linalg.eigh(hessian)
    return np.sqrt(_WIDER) * root @ (vectors / np.sqrt(np.clip(sizes, 0.1, None)))


def _around(
    density: Density, u: np.ndarray, log_weight: np.ndarray, rng: np.random.Generator
) -> _Mixture:
    """Propose around earlier draws, each time as wide as the information there says.

    The weights that choose them are tempered, so that no few draws decide.
    """
    tempered = log_weight - log_weight.max()
    while _effective(tempered) < min(_CENTRES, 0.9 * np.isfinite(tempered).sum()):
        tempered = tempered / 2
    weight = np.exp(tempered)
    centres = u[systematic(weight / weight.sum(), _CENTRES, rng)]
    _, information = density.slopes(centres)
    roots = np.linalg.inv(np.linalg.cholesky(information)).transpose(0, 2, 1)
    return _Mixture(centres, np.sqrt(_WIDER) * roots, np.full(_CENTRES, 1 / _CENTRES))


def _effective(log_weight: np.ndarray) -> float:
    """Effective number of draws of importance weights."""
    return float(np.exp(2 * logsumexp(log_weight) - logsumexp(2 * log_weight)))


def systematic(share: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Choose indices by systematic resampling.

    Parameters
    ----------
    share : ndarray
        Probability of each, shape (n,).
    number : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int
        Shape (number,), in rising order.
    """
    chosen = np.searchsorted(np.cumsum(share), (rng.random() + np.arange(number)) / number)
    return np.minimum(chosen, len(share) - 1)
