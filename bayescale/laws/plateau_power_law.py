"""A power law after a plateau, along any one axis: the bend has a place and a width."""

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
    positive_part,
)

_MOST = 600.0  # of an exponent of e, so that no number overflows


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level, share and bend at the reference run to floor, plateau and where the bend lies."""
    level = np.exp(sampled["level"])
    reducible = level * sampled["reducible"]
    alpha, width = sampled["alpha"], sampled["width"]
    done = _done(-np.log(10.0) * sampled["place"], alpha, width)
    return {
        "E": level - reducible,
        "U": level - reducible + reducible * np.exp(done),
        "x_bend": reference[0] * np.exp(np.log(10.0) * sampled["place"]),
        "alpha": alpha,
        "width": width,
    }


def _done(beyond: Any, alpha: Any, width: Any) -> Any:
    """Fall of log(L - E) from the plateau, `beyond` the bend by so much in log x.

    The law is what is left, exp(-fall). Without the bound a U far above would overflow.
    """
    steps = beyond / width
    fall = alpha * width * (positive_part(steps) + np.log1p(np.exp(-abs(steps))))
    return fall - positive_part(fall - _MOST)


@law(
    response=LOSS,
    inputs=(AXIS,),
    parameters=dict.fromkeys(("E", "U", "x_bend", "alpha", "width"), POSITIVE),
    coordinates=Coordinates(
        {"level": REAL, "reducible": UNIT, "alpha": POSITIVE, "place": REAL, "width": POSITIVE},
        _to_natural,
    ),
    breaks_along=("x",),
)
def plateau_power_law(x: Any, *, E: Any, U: Any, x_bend: Any, alpha: Any, width: Any) -> Any:
    r"""Power law after a plateau, :math:`L(x) = E + (U - E) (1 + (x/h)^{1/f})^{-\alpha f}`.

    U of a model that has learned nothing, a bend at :math:`h = x_{bend}` that takes some f decades
    to each side, and :math:`E + (U - E) (x/h)^{-\alpha}` far beyond. It is the smoothly broken
    power law of Caballero et al. (2022), arXiv:2210.14891, that does not fall at first. With
    :math:`\alpha f = 1` it is the law that leaves a chance level, with f = 1 the power law of
    x + h, and with h far below the runs the power law with offset.

    Sampled are the log loss ``level`` at the reference run, the share ``reducible`` of it that is
    above E, alpha, the ``place`` of the bend, log10 of h over the reference run, and its ``width``.

    Parameters
    ----------
    x : array_like
        Any one axis: params, tokens, flops, ...
    E : array_like
        Irreducible loss, nats per token.
    U : array_like
        Loss on the plateau, nats per token.
    x_bend : array_like
        Where the plateau bends into the power law, in units of x.
    alpha : array_like
        Exponent.
    width : array_like
        Width f of the bend.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return E + (U - E) * np.exp(-_done(np.log(x / x_bend), alpha, width))
