"""Evidence of a family of laws for one curve, by importance sampling around its modes.

Modes are climbed to from several starts at once (Fisher scoring with Levenberg-Marquardt damping).
The proposal is a mixture of multivariate t distributions with 6 degrees of freedom, one a mode, as
wide as 1.1 times the inverse Hessian there; a second round proposes from the moments of the first,
and all draws are weighed by the mixture of every proposal (deterministic mixture, Owen and Zhou
2000). Coordinates are whitened by their priors, so that the prior is a standard Normal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln, logsumexp

LogReducible = Callable[[np.ndarray, np.ndarray, float], np.ndarray]

_LEVEL = {"level": (0.0, 0.5)}
_NOISE = {"log_sigma": (np.log(0.01), 1.2)}


@dataclass(frozen=True)
class Family:
    """A family of laws on one axis.

    Parameters
    ----------
    name : str
        In the field's words.
    probability : float
        Prior probability that a curve follows it.
    priors : mapping of str to (mean, sd)
        Normal priors on the sampled coordinates, in their order: the level first, the logit of the
        reducible share second if the family has an irreducible part, log sigma last.
    log_reducible : callable, optional
        log g(z) from the coordinates between, an array (..., coordinate), z and h; None for a
        constant.
    starts : tuple of tuple of float
        Where to start looking for modes: values of the coordinates but level and log sigma.
    """

    name: str
    probability: float
    priors: Mapping[str, tuple[float, float]]
    log_reducible: LogReducible | None
    starts: tuple[tuple[float, ...], ...]

    @property
    def has_floor(self) -> bool:
        """Whether the loss has an irreducible part."""
        return "logit_share" in self.priors

    def mu(self, theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
        """Mean of centred log loss.

        Parameters
        ----------
        theta : ndarray
            Coordinates, shape (..., coordinate).
        z : ndarray
            log x less the middle of its range, shape (n,).
        half : float
            Half of the range of log x.

        Returns
        -------
        ndarray
            Shape (..., n).
        """
        level = theta[..., :1]
        if self.log_reducible is None:
            return level + np.zeros_like(z)
        if not self.has_floor:
            return level + self.log_reducible(theta[..., 1:-1], z, half)
        logit = theta[..., 1:2]
        log_g = self.log_reducible(theta[..., 2:-1], z, half)
        return level + _softplus(logit + log_g) - _softplus(logit)

    def reducible_share(self, theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
        """Share of the loss that is above the irreducible part.

        Parameters
        ----------
        theta, z, half
            As in `mu`.

        Returns
        -------
        ndarray
            Shape (..., n); 1 for a family without an irreducible part.
        """
        if self.log_reducible is None or not self.has_floor:
            return np.ones(theta.shape[:-1] + z.shape)
        return expit(theta[..., 1:2] + self.log_reducible(theta[..., 2:-1], z, half))


def _softplus(u: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, u)


def _falling(theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
    return -np.exp(theta[..., :1]) * z


def _rising(theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
    return np.exp(theta[..., :1]) * z


def _exponential(theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
    """Decay with x itself, x in units of its geometric middle; 1 at the smallest x."""
    return -(np.exp(z) - np.exp(-half)) * np.exp(-theta[..., :1])


def _broken(theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
    """Slope -a1 before and -a2 after a smooth break (Caballero et al. 2022, arXiv:2210.14891)."""
    before, after, place, width = (theta[..., i : i + 1] for i in range(4))
    width = np.exp(width)
    beyond = z - half * np.tanh(place)
    return -before * beyond - (after - before) * width * _softplus(beyond / width)


def _plateau(theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
    """Sigmoid in log x: a plateau at chance, a fall, a floor (M4 with exponent 1)."""
    return -_softplus(np.exp(theta[..., :1]) * (z - 1.5 * half * theta[..., 1:2]))


POWER_LAW = Family(
    "power_law",
    0.60,
    _LEVEL | {"logit_share": (0.0, 1.5), "log_alpha": (np.log(0.3), 0.7)} | _NOISE,
    _falling,
    ((0.0, np.log(0.3)), (2.0, np.log(0.2)), (-1.5, np.log(0.6)), (0.0, np.log(1.0))),
)
"""Power law with an irreducible part: the law that the others are weighed against."""

PURE_POWER_LAW = Family(
    "pure_power_law",
    0.0,  # nested in the power law: reported, never a label
    _LEVEL | {"log_alpha": (np.log(0.1), 1.5)} | _NOISE,
    _falling,
    ((np.log(0.1),),),
)

EXPONENTIAL = Family(
    "exponential",
    0.08,
    _LEVEL | {"logit_share": (0.0, 1.5), "log_tau": (0.5, 1.5)} | _NOISE,
    _exponential,
    ((0.0, 0.5), (1.0, -1.0), (1.0, 2.0)),
)

BROKEN = Family(
    "broken",
    0.12,
    _LEVEL
    | {"logit_share": (0.0, 1.5), "slope_before": (0.2, 0.5), "slope_after": (0.2, 0.5)}
    | {"place": (0.0, 1.0), "log_width": (np.log(0.3), 0.5)}
    | _NOISE,
    _broken,
    (
        (0.0, 0.2, 0.2, 0.0, np.log(0.3)),
        (1.5, 0.6, 0.1, -0.5, np.log(0.3)),
        (1.5, 0.6, 0.1, 0.5, np.log(0.3)),
        (1.5, 0.05, 0.6, -0.5, np.log(0.3)),
        (1.5, 0.05, 0.6, 0.5, np.log(0.3)),
        (0.0, 0.6, -0.4, 0.0, np.log(0.3)),
        (0.0, -0.3, 0.5, 0.0, np.log(0.3)),
    ),
)

SATURATED_GUESS = Family(
    "saturated_guess",
    0.08,
    _LEVEL | {"logit_share": (1.0, 1.5), "log_k": (np.log(0.6), 0.7), "place": (0.0, 1.0)} | _NOISE,
    _plateau,
    (
        (1.0, np.log(0.6), 0.0),
        (2.0, np.log(0.6), 0.7),
        (2.0, np.log(1.2), 0.2),
        (0.0, np.log(1.0), -0.5),
    ),
)

INCREASING = Family(
    "inverse",
    0.06,
    _LEVEL | {"logit_share": (-1.0, 1.5), "log_alpha": (np.log(0.3), 0.7)} | _NOISE,
    _rising,
    ((-1.0, np.log(0.3)), (1.0, np.log(0.1)), (-2.0, np.log(0.8))),
)

FLAT = Family("flat", 0.06, _LEVEL | _NOISE, None, ((),))

FAMILIES = (
    POWER_LAW,
    PURE_POWER_LAW,
    EXPONENTIAL,
    BROKEN,
    SATURATED_GUESS,
    INCREASING,
    FLAT,
)
"""All of them, the power law first."""


_DOF, _WIDER = 6.0, 1.1
_ONCE = 1200  # draws for a family of few coordinates
_SIMPLE = 5  # coordinates up to which one round is enough
_ROUNDS, _DRAWS, _CENTRES = 8, 750, 16  # for the others; draws in each further round
_ENOUGH, _MOST_ROUNDS = 100.0, 12  # effective draws that end the rounds
_STEPS, _TINY = 60, 1e-6
_ROUNDING = 1e-5**2  # least variance of log loss: exact laws would drive sigma to zero
_NEAR, _WORSE = 1.0, 8.0  # sds between modes that are one; nats below the best that matter no more


@dataclass(frozen=True)
class Curve:
    """A curve as the families see it.

    Parameters
    ----------
    z : ndarray
        log x less the middle of its range, shape (n,).
    y : ndarray
        log loss less its mean, shape (n,).
    variance : ndarray
        Known variance of each y, zero where none is known, shape (n,).
    """

    z: np.ndarray
    y: np.ndarray
    variance: np.ndarray

    @property
    def half(self) -> float:
        """Half of the range of log x."""
        return float(np.ptp(self.z)) / 2


@dataclass(frozen=True)
class Evidence:
    """What a curve says about a family.

    Parameters
    ----------
    family : Family
    log_evidence : float
        Log of the marginal likelihood, log Z.
    ess : float
        Effective number of draws of the importance sampler.
    theta : ndarray
        Posterior draws of the coordinates, equal weights, shape (draws, coordinates).
    mode : ndarray
        Coordinates of the highest mode.
    """

    family: Family
    log_evidence: float
    ess: float
    theta: np.ndarray
    mode: np.ndarray

    def draws(self, name: str) -> np.ndarray:
        """Posterior draws of a coordinate.

        Parameters
        ----------
        name : str
            One of the family's ``priors``.

        Returns
        -------
        ndarray
            Shape (draws,).
        """
        return self.theta[:, list(self.family.priors).index(name)]


def evidence(
    family: Family, curve: Curve, rng: np.random.Generator, *, kept: int = 500
) -> Evidence:
    """Compute the evidence of a family and draw from its posterior.

    Parameters
    ----------
    family : Family
    curve : Curve
    rng : numpy.random.Generator
    kept : int, optional
        Number of posterior draws to keep.

    Returns
    -------
    Evidence
    """
    target = Target(family, curve)
    modes, heights = _distinct_modes(target)
    simple = len(family.priors) <= _SIMPLE
    draws, rounds = (_ONCE, 1) if simple else (_DRAWS, _ROUNDS)
    proposals = [_at_modes(target, modes, heights)]
    u = proposals[0].draw(rng, draws)
    value, proposed = target(u), proposals[0].log_density(u)
    while len(proposals) < rounds or (
        len(proposals) < _MOST_ROUNDS and _effective(value - proposed) < _ENOUGH
    ):
        number = len(proposals)
        proposals.append(_around(target, u, value - proposed, rng))
        more = proposals[-1].draw(rng, _DRAWS)
        sizes = np.log([draws, *[_DRAWS] * number]) - np.log(draws + number * _DRAWS)
        new = logsumexp(
            [p.log_density(more) + size for p, size in zip(proposals, sizes, strict=True)], axis=0
        )
        # the old mixture's densities, at their share of the new one
        kept_share = np.log(len(u)) - np.log(len(u) + _DRAWS)
        old = np.logaddexp(proposed + kept_share, proposals[-1].log_density(u) + sizes[-1])
        proposed = np.concatenate([old, new])
        u, value = np.concatenate([u, more]), np.concatenate([value, target(more)])
    log_weight = value - proposed
    log_z = float(logsumexp(log_weight) - np.log(len(u)))
    share = np.exp(log_weight - logsumexp(log_weight))
    chosen = rng.permutation(_systematic(share, kept, rng))
    return Evidence(
        family,
        log_z,
        _effective(log_weight),
        target.natural(u[chosen]),
        target.natural(modes[0]),
    )


class Target:
    """Log posterior density of a family for a curve, up to the evidence, in whitened coordinates.

    The log density includes all constants, so that its integral is the evidence.

    Parameters
    ----------
    family : Family
    curve : Curve
    y : ndarray, optional
        Centred log loss in place of the curve's, shape (n,), or (s, n) for one curve each of s
        places.
    """

    def __init__(self, family: Family, curve: Curve, y: np.ndarray | None = None) -> None:
        self.family, self.curve = family, curve
        self.y = curve.y if y is None else y
        self.mean, self.sd = np.array(list(family.priors.values())).T

    def natural(self, u: np.ndarray) -> np.ndarray:
        """Coordinates from whitened ones.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates, shape (..., coordinate).

        Returns
        -------
        ndarray
            The same in units of the priors.
        """
        return self.mean + self.sd * u

    def mu(self, u: np.ndarray) -> np.ndarray:
        """Mean of centred log loss.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates, shape (..., coordinate).

        Returns
        -------
        ndarray
            Shape (..., n).
        """
        return self.family.mu(self.natural(u), self.curve.z, self.curve.half)

    def variance(self, u: np.ndarray) -> np.ndarray:
        """Variance of each point: of the family's noise, the known one, and that of rounding.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates, shape (..., coordinate).

        Returns
        -------
        ndarray
            Shape (..., n).
        """
        return np.exp(2 * self.natural(u)[..., -1:]) + self.curve.variance + _ROUNDING

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Log posterior density, (...)."""
        return self._density(u, self.y - self.mu(u))

    def _density(self, u: np.ndarray, residual: np.ndarray) -> np.ndarray:
        variance = self.variance(u)
        points = -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance)).sum(-1)
        return points - 0.5 * (u**2 + np.log(2 * np.pi)).sum(-1)

    def slopes(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and expected information of the log density.

        Parameters
        ----------
        u : ndarray
            Whitened coordinates of s places, shape (s, p).

        Returns
        -------
        gradient : ndarray
            Shape (s, p), by differences for all but log sigma.
        information : ndarray
            Fisher's, with the prior's, shape (s, p, p).
        """
        size = u.shape[-1]
        steps = 1e-5 * np.eye(size)[: size - 1]
        mu = self.mu(np.concatenate([u[:, None], u[:, None] + steps], axis=1))
        jacobian = (mu[:, 1:] - mu[:, :1]) / 1e-5  # (s, p - 1, n)
        weight = 1 / self.variance(u)
        scaled = (self.y - mu[:, 0]) * weight
        own = self.sd[-1] * weight * np.exp(2 * self.natural(u)[:, -1:])  # of log sigma
        gradient = -u.copy()
        gradient[:, :-1] += (jacobian @ scaled[..., None])[..., 0]
        gradient[:, -1] += (own * (scaled**2 / weight - 1)).sum(-1)
        information = np.tile(np.eye(size), (len(u), 1, 1))
        information[:, :-1, :-1] += (jacobian * weight[:, None]) @ jacobian.transpose(0, 2, 1)
        information[:, -1, -1] += 2 * (own**2).sum(-1)
        return gradient, information


def climb(target: Target, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Climb from many starts at once to local maxima, by damped Fisher scoring.

    Parameters
    ----------
    target : Target
    u : ndarray
        Whitened coordinates of s starts, shape (s, p).

    Returns
    -------
    u : ndarray
        Where each of them ends, shape (s, p).
    value : ndarray
        Log density there, shape (s,).
    """
    value, damping = target(u), np.full(len(u), 1e-2)
    calm = np.zeros(len(u), int)
    for _ in range(_STEPS):
        gradient, information = target.slopes(u)
        diagonal = np.einsum("sii->si", information)
        diagonal *= 1 + damping[:, None]
        tried = u + np.linalg.solve(information, gradient[..., None])[..., 0]
        reached = target(tried)
        better = reached > value
        calm = np.where(np.abs(reached - value) < _TINY, calm + 1, 0)
        u = np.where(better[:, None], tried, u)
        value = np.where(better, reached, value)
        damping = np.where(better, np.maximum(damping / 5, 1e-9), np.minimum(damping * 4, 1e9))
        if (calm > 0).all():
            break
    return u, value


def _distinct_modes(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Climb from the family's starts; modes that differ, the highest first, and their heights."""
    u, value = climb(target, _starts(target))
    _, information = target.slopes(u)
    modes: list[int] = []
    for i in np.argsort(-value):
        apart = [(u[i] - u[j]) @ information[j] @ (u[i] - u[j]) for j in modes]
        if not modes or (value[i] > value[modes[0]] - _WORSE and min(apart) > _NEAR):
            modes.append(int(i))
    return u[modes], value[modes]


def _starts(target: Target) -> np.ndarray:
    """Set the level and sigma of a family's starts to what fits the curve best there."""
    starts = target.family.starts
    theta = np.zeros((len(starts), len(target.mean)))
    theta[:, 1:-1] = np.array(starts).reshape(len(starts), -1)
    residual = target.curve.y - target.family.mu(theta, target.curve.z, target.curve.half)
    theta[:, 0] = residual.mean(-1)
    theta[:, -1] = np.log(residual.std(-1) + 1e-3)
    return (theta - target.mean) / target.sd


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
        size = self.centres.shape[1]
        back = np.linalg.inv(self.roots).transpose(0, 2, 1)
        square = ((u @ back - (self.centres[:, None] @ back)) ** 2).sum(-1)  # (k, draws)
        constant = gammaln((_DOF + size) / 2) - gammaln(_DOF / 2) - size / 2 * np.log(_DOF * np.pi)
        height = constant - np.linalg.slogdet(self.roots)[1] + np.log(self.weights)
        return logsumexp(height[:, None] - (_DOF + size) / 2 * np.log1p(square / _DOF), axis=0)


def _at_modes(target: Target, modes: np.ndarray, heights: np.ndarray) -> _Mixture:
    """Propose at every mode, each weighed by its Laplace evidence and none left out."""
    roots = np.stack([_root(target, mode) for mode in modes])
    laplace = heights + np.linalg.slogdet(roots)[1]
    weights = 0.9 * np.exp(laplace - logsumexp(laplace)) + 0.1 / len(modes)
    return _Mixture(modes, roots, weights / weights.sum())


def _root(target: Target, mode: np.ndarray) -> np.ndarray:
    """Root of the inverse Hessian at a mode, from second differences along scaled axes."""
    _, information = target.slopes(mode[None])
    root = np.linalg.inv(np.linalg.cholesky(information[0])).T
    size, step = len(mode), 0.3
    axes = step * np.eye(size)
    i, j = np.triu_indices(size)
    moves = np.stack([axes[i] + axes[j], axes[i] - axes[j], axes[j] - axes[i], -axes[i] - axes[j]])
    value = target(mode + moves @ root.T)
    hessian = np.zeros((size, size))
    hessian[i, j] = hessian[j, i] = -(value[0] - value[1] - value[2] + value[3]) / (4 * step**2)
    sizes, vectors = np.linalg.eigh(hessian)
    return np.sqrt(_WIDER) * root @ (vectors / np.sqrt(np.clip(sizes, 0.1, None)))


def _around(
    target: Target, u: np.ndarray, log_weight: np.ndarray, rng: np.random.Generator
) -> _Mixture:
    """Propose around earlier draws, each time as wide as the curve's information there says.

    The weights that choose them are tempered, so that no few draws decide.
    """
    weight = np.exp(log_weight - log_weight.max())
    while _effective(np.log(weight + 1e-300)) < _CENTRES:
        weight = np.sqrt(weight)
    centres = u[_systematic(weight / weight.sum(), _CENTRES, rng)]
    _, information = target.slopes(centres)
    roots = np.linalg.inv(np.linalg.cholesky(information)).transpose(0, 2, 1)
    return _Mixture(centres, np.sqrt(_WIDER) * roots, np.full(_CENTRES, 1 / _CENTRES))


def _effective(log_weight: np.ndarray) -> float:
    """Effective number of draws of importance weights."""
    return float(np.exp(2 * logsumexp(log_weight) - logsumexp(2 * log_weight)))


def _systematic(share: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Choose indices with the given probabilities by systematic resampling."""
    chosen = np.searchsorted(np.cumsum(share), (rng.random() + np.arange(number)) / number)
    return np.minimum(chosen, len(share) - 1)
