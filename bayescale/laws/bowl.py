"""A bowl along any one axis: a sweep of a learning rate, a batch size, a width."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    AXIS,
    LOSS,
    POSITIVE,
    REAL,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)

_NEAR, _SERIES = 0.5, 13  # |p u| up to which so long a series is exact to rounding
_STEEPEST, _MOST = 40.0, 600.0  # of exponents of e, so that no number overflows


def _guess(inputs: tuple[Any, ...], observed: Any, reference: tuple[Any, ...]) -> dict[str, float]:
    """Least loss and the best x, of the runs of one group."""
    best = int(np.argmin(observed))
    return {
        "level": float(observed[best]),
        "place": float(np.log10(inputs[0][best] / reference[0])),
    }


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Least loss exp(level), at the reference run times 10 to the place."""
    return {
        "L_min": np.exp(sampled["level"]),
        "x_best": reference[0] * np.exp(np.log(10.0) * sampled["place"]),
        "curvature": sampled["height"] / _mean_rise(sampled["asymmetry"]),
        "asymmetry": sampled["asymmetry"],
    }


def _mean_rise(asymmetry: Any) -> Any:
    r"""Mean of the rises a decade to both sides of the minimum, at a curvature of 1.

    It is :math:`(\cosh pU - 1)/p^2 = (U \sinh(pU/2)/(pU/2))^2 / 2`.
    """
    decade = np.log(10.0)
    half = np.sqrt((asymmetry * decade / 2) ** 2 + 1e-16)  # the ratio is even: exact to rounding
    return (decade * (np.expm1(half) - np.expm1(-half)) / (2 * half)) ** 2 / 2


def rise(u: Any, curvature: Any, asymmetry: Any) -> Any:
    r"""Rise of log loss above its least, :math:`(k/p^2)(e^{pu} - 1 - pu)` at u = log(x / x_best).

    Where :math:`|pu|` is at most a half by a series, which is exact at p = 0; beyond that the
    difference to the ends of the series is added in closed form. No digits are lost, and no power
    overflows.

    Parameters
    ----------
    u, curvature, asymmetry : array_like or tensor

    Returns
    -------
    array_like or tensor
    """
    v = asymmetry * u
    beyond = positive_part(v - _NEAR) - positive_part(-v - _NEAR)
    near, square = v - beyond, _NEAR**2 + positive_part(v**2 - _NEAR**2)
    series = near / _SERIES + 1.0
    for term in range(_SERIES - 1, 2, -1):
        series = near / term * series + 1.0
    inside = (1.0 - beyond * v / square) ** 2 / 2 * series
    far = v - positive_part(v - _STEEPEST)
    outside = (np.expm1(far) - np.expm1(near) - beyond) / square
    found = curvature * u**2 * (inside + outside)
    return found - positive_part(found - _MOST)


@law(
    response=LOSS,
    inputs=(AXIS,),
    parameters={
        **dict.fromkeys(("L_min", "x_best", "curvature"), POSITIVE),
        "asymmetry": REAL,
    },
    coordinates=Coordinates(
        {"level": REAL, "place": REAL, "height": POSITIVE, "asymmetry": REAL}, _to_natural, _guess
    ),
    minimum_along=("x",),
    least="L_min",
    best=("x_best",),
)
def bowl(x: Any, *, L_min: Any, x_best: Any, curvature: Any, asymmetry: Any) -> Any:
    r"""Bowl with one minimum, :math:`\log L = \log L_{min} + \frac{k}{p^2} (e^{pu} - 1 - pu)`.

    With :math:`u = \log(x / x_{best})`. Curvature k at the minimum, and a wall that is steep like
    :math:`x^p` on one side and flat like :math:`-\log x` on the other: above the minimum where p
    is positive, as for learning rates, which diverge when they are too large. p = 0 is a parabola
    in log x, as in Li et al. (2025), arXiv:2503.04715, figure 3.

    Parameters
    ----------
    x : array_like
        Any one setting: learning rate, batch size, width, ...
    L_min : array_like
        Loss at the minimum, nats per token.
    x_best : array_like
        Where the minimum lies, in units of x.
    curvature : array_like
        k, the second derivative of log L in log x at the minimum.
    asymmetry : array_like
        p, of either sign.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are ``level``, log of the least loss; ``place``, log10 of the best x over the reference
    run; ``height``, the rise of log loss a decade from the minimum, the mean of both sides, which
    sweeps tell better than the curvature; and asymmetry.
    """
    return L_min * np.exp(rise(np.log(x / x_best), curvature, asymmetry))
