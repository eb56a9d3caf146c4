"""Evidence of a family of laws for one curve, by importance sampling around its modes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bayescale.curves.importance import Effort, importance

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

PURE_INCREASING = Family(
    "pure_inverse",
    0.0,  # nested in the rising law, which hardly ever lets all of a loss rise
    _LEVEL | {"log_alpha": (np.log(0.1), 1.5)} | _NOISE,
    _rising,
    ((np.log(0.1),),),
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


_FEW = 5  # coordinates up to which draws around the modes are enough
_SIMPLE, _FULL = Effort(first=1200, rounds=1), Effort()
_ROUNDING = 1e-5**2  # least variance of log loss: exact laws would drive sigma to zero


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
    found = importance(target, rng, _SIMPLE if len(family.priors) <= _FEW else _FULL)
    return Evidence(
        family,
        found.log_evidence,
        found.ess,
        target.natural(found.drawn(kept, rng)),
        target.natural(found.modes[0]),
    )


@dataclass(frozen=True)
class FamilyDraws:
    """Draws of a family in units of the curve, as `bayescale.curves.mixture` reads them.

    Parameters
    ----------
    family : Family
    theta : ndarray
        Coordinates, shape (draws, coordinates).
    middle, half : float
        Middle of log x, and half of its range.
    level : float
        Mean log loss of the points.
    """

    family: Family
    theta: np.ndarray
    middle: float
    half: float
    level: float

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self.theta)

    @property
    def floor(self) -> np.ndarray:
        """Irreducible loss, shape (draws,)."""
        at = np.array([self.half])
        level = np.exp(self.level + self.family.mu(self.theta, at, self.half))
        return (level * (1 - self.family.reducible_share(self.theta, at, self.half)))[:, 0]

    @property
    def plateau(self) -> np.ndarray:
        """Its own level of chance: no family that is pooled has one."""
        return np.full(len(self), np.nan)

    @property
    def exponent(self) -> np.ndarray:
        """Its own exponent: none has one far beyond."""
        return np.full(len(self), np.nan)

    def log_loss(self, x: np.ndarray) -> np.ndarray:
        """Log loss without noise.

        Parameters
        ----------
        x : ndarray
            Shape (n,).

        Returns
        -------
        ndarray
            Shape (draws, n).
        """
        return self.level + self.family.mu(self.theta, np.log(x) - self.middle, self.half)

    def scale(self, stderr: np.ndarray) -> np.ndarray:
        """Sd of the noise of points.

        Parameters
        ----------
        stderr : ndarray
            Known standard errors of log loss, shape (n,).

        Returns
        -------
        ndarray
            Shape (draws, n).
        """
        return np.hypot(np.exp(self.theta[:, -1:]), stderr)

    def noise(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw standardised noise.

        Parameters
        ----------
        rng : numpy.random.Generator
        number : int
            Of points.

        Returns
        -------
        ndarray
            Shape (draws, number).
        """
        return rng.standard_normal((len(self), number))


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
        self.family: Family = family
        self.curve: Curve = curve
        self.y: np.ndarray = curve.y if y is None else y
        self.mean: np.ndarray
        self.sd: np.ndarray
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

    def starts(self) -> np.ndarray:
        """Set the level and sigma of a family's starts to what fits the curve best there."""
        starts = self.family.starts
        theta = np.zeros((len(starts), len(self.mean)))
        theta[:, 1:-1] = np.array(starts).reshape(len(starts), -1)
        residual = self.curve.y - self.family.mu(theta, self.curve.z, self.curve.half)
        theta[:, 0] = residual.mean(-1)
        theta[:, -1] = np.log(residual.std(-1) + 1e-3)
        return (theta - self.mean) / self.sd
