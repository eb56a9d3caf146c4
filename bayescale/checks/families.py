r"""Families of laws that a single-axis curve may follow, as functions of log x.

With z = log x less the middle of its range, h half of that range, and y = log loss less its mean,
every family with an irreducible part is

    mu(z) = c + log(1 - phi + phi g(z)),

where c is the level, phi the reducible share at the reference where g = 1, and g how the reducible
part changes along the axis. In softplus s(u) = log(1 + e^u) and l = logit phi this is
c + s(l + log g) - s(l), and the reducible share at z is the sigmoid of l + log g(z). Priors are
independent Normals on the coordinates; the noise of y is Normal with sd sigma.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

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
        """Mean of centred log loss: coordinates (..., coordinate) to (..., len(z))."""
        level = theta[..., :1]
        if self.log_reducible is None:
            return level + np.zeros_like(z)
        if not self.has_floor:
            return level + self.log_reducible(theta[..., 1:-1], z, half)
        logit = theta[..., 1:2]
        log_g = self.log_reducible(theta[..., 2:-1], z, half)
        return level + _softplus(logit + log_g) - _softplus(logit)

    def reducible_share(self, theta: np.ndarray, z: np.ndarray, half: float) -> np.ndarray:
        """Share of the loss that is above the irreducible part, (..., len(z))."""
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
