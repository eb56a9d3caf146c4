r"""The PyMC model of one curve along one axis, made to be extrapolated.

With v = log(x / x_top), never positive inside the range, R the length of the range in log x, and
the log loss :math:`\ell` and the reducible share :math:`\phi` at the top of the range,

.. math:: \log L = \ell + \log(1 - \phi + \phi \, g(v)).

The reducible part relative to the top is :math:`g = e^{-w}` for the power law with offset and
:math:`g = 1/(s + (1 - s) e^w)` for the law that leaves a chance level, where s is the share of the
way from chance to the floor that is left at the top. Without drift :math:`w = \alpha v`. With it
the exponent is a random walk along log x over K knots, :math:`\alpha` its mean over the range:

.. math:: w = \alpha \Big( v + \tau \frac{3}{\sqrt{K + 1}} \sum_k z_k b_k(v) \Big),
    \qquad z_k \sim N(0, 1),

with :math:`b_k` a ramp from knot k upwards less the chord that makes it zero at both ends. Beyond
the range each further knot, at the same spacing, bends the curve by a fresh z.

Sampled are the quantities that the points pin down, so that the sampler has an easy time: the level
at the top, how far log loss falls over the range, and shares. The exponent follows from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescale.laws import into_support, positive_part
from bayescale.modelling.compiling import Variable

KNOTS = 7
"""Knots of the exponent's random walk, at equal distances inside the range."""

NU = 4.0
"""Degrees of freedom of the Student-t noise."""

_STEP = 3 / np.sqrt(KNOTS + 1)  # sd of the exponent over the range is about 3 times tau
PRIORS = {
    "level": (0.0, 0.1),
    "log_fall": (np.log(0.4), 1.0),
    "logit_reducible": (0.0, 1.5),
    "logit_start": (1.2, 1.8),
    "log_sigma": (np.log(0.01), 1.0),
    "log_drift": (np.log(0.05), 1.2),
}
"""Mean and sd of the Normal priors: log loss at the top less the last point's, log of the fall of
log loss over the range, logits of the reducible share at the top and of the share of the way from
chance to the floor that is left at the bottom, log sd of the noise, log tau."""

EXPONENT = {False: (np.log(0.3), 0.7), True: (np.log(0.6), 0.7)}
"""Mean and sd of a Normal prior on the log exponent, without and with a chance level: a factor on
the priors above, not one more coordinate."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Member:
    """One of the laws that a forecast of a curve is pooled from.

    Parameters
    ----------
    name : str
    chance : bool
        Whether it leaves a chance level.
    drift : bool
        Whether its exponent drifts along the axis.
    cap : float
        How many points the likelihood of all of them counts as; infinite: as many as there are.
    tilt : float
        Exponent of x in the weights under the cap.
    """

    name: str
    chance: bool
    drift: bool
    cap: float
    tilt: float

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the sampled scalars."""
        own = {"logit_start": self.chance, "log_drift": self.drift}
        return tuple(name for name in PRIORS if own.get(name, True))


def log_curve(member: Member, values: Values, v: Any, length: Any, *, fresh: int = 0) -> Any:
    """Log loss at v = log(x / x_top), less that of the last point, from sampled coordinates.

    Tensors and NumPy arrays alike: scalars with v of shape (points,), or draws of shape (draws, 1)
    with ``steps`` of shape (draws, knots). The last `fresh` of them lie at the top and beyond.

    Parameters
    ----------
    member : Member
    values : mapping of str to array-like or tensor
        Sampled coordinates by name.
    v : array-like or tensor
        log(x / x_top), shape (points,).
    length : float or tensor
        Range of log x.
    fresh : int, optional
        Steps at the top and beyond.

    Returns
    -------
    array-like or tensor
        Shape (points,), or (draws, points).
    """
    reducible, ratio = _bottom(values)
    walk = v / length
    if member.drift:
        tau = np.exp(values["log_drift"])
        walk = walk + tau * _STEP * (values["steps"] @ _ramps(v / length, fresh).T)
    if member.chance:
        left, rise = _rise(values, ratio)
        log_g = -np.log(left + (1.0 - left) * np.exp(rise * walk))
    else:
        log_g = -ratio * walk
    return values["level"] + np.log1p(reducible * np.expm1(log_g))


def _log_exponent(member: Member, values: Values, length: Any) -> Any:
    """Log of the mean exponent over the range."""
    _, ratio = _bottom(values)
    rise = _rise(values, ratio)[1] if member.chance else ratio
    return np.log(rise / length)


def _bottom(values: Values) -> tuple[Any, Any]:
    """Reducible share at the top, and log of how much larger that part is at the bottom."""
    reducible = into_support("unit", values["logit_reducible"])
    return reducible, np.log1p(np.expm1(np.exp(values["log_fall"])) / reducible)


def _rise(values: Values, ratio: Any) -> tuple[Any, Any]:
    """Share of the way from chance to the floor left at the top, and w at the bottom, negated."""
    start = into_support("unit", values["logit_start"])
    left = start * np.exp(-ratio)
    return left, ratio + np.log1p(-left) - np.log1p(-start)


def _ramps(t: Any, fresh: int) -> Any:
    """Ramps by which each step bends the walk at t = v / length: (points, steps)."""
    knots = (np.arange(KNOTS + fresh) - KNOTS) / (KNOTS + 1)
    return positive_part(t[:, None] - knots) - (1.0 + t)[:, None] * positive_part(-knots)


def fresh_steps(top: float, length: float) -> int:
    """How many knots lie between the top of the range and v = `top`.

    Parameters
    ----------
    top : float
        log(x / x_top) of the farthest place asked for.
    length : float
        Range of log x.

    Returns
    -------
    int
        0 inside the range.
    """
    return max(0, int(np.ceil(top / length * (KNOTS + 1))))


def curve_variables(member: Member) -> tuple[Variable, ...]:
    """Free variables of the PyMC model of a curve.

    Parameters
    ----------
    member : Member

    Returns
    -------
    tuple of Variable
    """
    steps = [Variable("steps", shape=(KNOTS,), dims=("step",))] if member.drift else []
    return (*(Variable(name) for name in member.coordinates), *steps)


def build_curve_model(member: Member) -> Any:
    """PyMC model of one curve: points, weights and range are ``pm.Data``, compiled once.

    Data are ``v``, ``log_loss`` (less that of the last point), ``stderr`` and ``weight``, one each
    for a point, and ``length``.

    Parameters
    ----------
    member : Member

    Returns
    -------
    pymc.Model
    """
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model() as model:
        v, log_loss, weight, stderr = (
            pm.Data(name, np.linspace(start, end, 6))
            for name, start, end in (
                ("v", -3.0, 0.0),
                ("log_loss", 0.3, 0.0),
                ("weight", 1.0, 1.0),
                ("stderr", 0.0, 0.0),
            )
        )
        length = pm.Data("length", 3.0)
        values = {name: pm.Normal(name, *PRIORS[name]) for name in member.coordinates}
        if member.drift:
            values["steps"] = pm.Normal("steps", shape=KNOTS)
        exponent = pm.Normal.dist(*EXPONENT[member.chance])
        pm.Potential("exponent", pm.logp(exponent, _log_exponent(member, values, length)))
        sigma = pt.sqrt(pt.exp(2 * values["log_sigma"]) + stderr**2)
        noise = pm.StudentT.dist(nu=NU, mu=log_curve(member, values, v, length), sigma=sigma)
        pm.Potential("likelihood", (weight * pm.logp(noise, log_loss)).sum())
    return model


def curve_start(member: Member) -> np.ndarray:
    """Flat vector of the free variables about which chains start: the middle of the priors.

    Parameters
    ----------
    member : Member

    Returns
    -------
    ndarray
        In the order of `curve_variables`.
    """
    middle = [PRIORS[name][0] for name in member.coordinates]
    return np.array([*middle, *([0.0] * KNOTS if member.drift else [])])
