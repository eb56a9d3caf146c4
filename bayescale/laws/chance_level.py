"""A power law that starts at a level of chance, along any one axis."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    AXIS,
    LOSS,
    POSITIVE,
    REAL,
    UNIT,
    Coordinates,
    Function,
    Values,
    law,
)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level and shares at the reference run to floor, chance level and half-way point."""
    level = np.exp(sampled["level"])
    reducible = level * sampled["reducible"]
    left = sampled["remaining"]
    halfway = np.log(reference[0]) + (np.log(left) - np.log1p(-left)) / sampled["alpha"]
    return {
        "E": level - reducible,
        "U": level - reducible + reducible / left,
        "x_half": np.exp(halfway),
        "alpha": sampled["alpha"],
    }


@law(
    response=LOSS,
    inputs=(AXIS,),
    parameters=dict.fromkeys(("E", "U", "x_half", "alpha"), POSITIVE),
    coordinates=Coordinates(
        {"level": REAL, "reducible": UNIT, "remaining": UNIT, "alpha": POSITIVE}, _to_natural
    ),
    breaks_along=("x",),
)
def chance_level(x: Any, *, E: Any, U: Any, x_half: Any, alpha: Any) -> Any:
    r"""Power law that leaves a chance level, :math:`(L - E)/(U - L) = (x / x_{half})^{-\alpha}`.

    In closed form

    .. math:: L(x) = E + \frac{U - E}{1 + (x / x_{half})^\alpha}:

    U of a model that has learned nothing, half-way down to E at :math:`x_{half}`, and
    :math:`E + (U - E) (x / x_{half})^{-\alpha}` far beyond. Alabdulmohsin et al. (2022),
    arXiv:2209.06640, estimator M4 with a = 1.

    Sampled are the log loss ``level`` at the reference run, the share ``reducible`` of it that is
    above E, the share ``remaining`` of the way from U to E that is still to go there, and alpha.
    The smaller ``remaining``, the nearer is the law to the power law with offset.

    Parameters
    ----------
    x : array_like
        Any one axis: params, tokens, flops, ...
    E : array_like
        Irreducible loss, nats per token.
    U : array_like
        Loss at chance, nats per token.
    x_half : array_like
        Where half of the way from U to E is done, in units of x.
    alpha : array_like
        Exponent.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return E + (U - E) / (1.0 + (x / x_half) ** alpha)
