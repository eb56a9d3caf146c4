"""A bowl over two settings that depend on each other: a learning rate and a batch size."""

from typing import Any

import numpy as np

from bayescale.laws.bowl import rise
from bayescale.laws.law import (
    AXIS,
    LOSS,
    POSITIVE,
    REAL,
    SECOND_AXIS,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)

_SHAPE = {
    **{"curvature": POSITIVE, "asymmetry": REAL, "second_curvature": POSITIVE},
    **{"coupling": POSITIVE, "turn": REAL},
}


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Best settings as multiples of the reference run's, places in decades."""
    decade = np.log(10.0)
    return {
        "L_min": np.exp(sampled["level"]),
        "x_best": reference[0] * np.exp(decade * sampled["place"]),
        "z_best": reference[1] * np.exp(decade * sampled["second_place"]),
        **{name: sampled[name] for name in _SHAPE},
    }


def _guess(inputs: tuple[Any, ...], observed: Any, reference: tuple[Any, ...]) -> dict[str, float]:
    """Take the settings of the best run of a group; far from it a chain finds other minima."""
    best = int(np.argmin(observed))
    place, second = (float(np.log10(x[best] / at)) for x, at in zip(inputs, reference, strict=True))
    return {"level": float(observed[best]), "place": place, "second_place": second}


def _softplus(x: Any) -> Any:
    return positive_part(x) + np.log1p(np.exp(-abs(x)))


def best_shift(v: Any, coupling: Any, turn: Any) -> Any:
    r"""How far the best x moves where z is off its best: :math:`g(v)`, of log x.

    .. math:: g(v) = -\gamma [\mathrm{softplus}(v_0 - v) - \mathrm{softplus}(v_0)]

    Proportional to :math:`\gamma v` far below the best z, and level far above it.

    Parameters
    ----------
    v : array_like or tensor
        Log of z over its best value.
    coupling, turn : array_like or tensor
        :math:`\gamma` and :math:`v_0`.

    Returns
    -------
    array_like or tensor
    """
    return -coupling * (_softplus(turn - v) - _softplus(turn))


@law(
    response=LOSS,
    inputs=(AXIS, SECOND_AXIS),
    parameters={**dict.fromkeys(("L_min", "x_best", "z_best"), POSITIVE), **_SHAPE},
    coordinates=Coordinates(
        {"level": REAL, "place": REAL, "second_place": REAL, **_SHAPE}, _to_natural, _guess
    ),
    minimum_along=("x", "z"),
    least="L_min",
    best=("x_best", "z_best"),
)
def response_surface(
    x: Any,
    z: Any,
    *,
    L_min: Any,
    x_best: Any,
    z_best: Any,
    curvature: Any,
    asymmetry: Any,
    second_curvature: Any,
    coupling: Any,
    turn: Any,
) -> Any:
    r"""Bowl over two settings, :math:`L = L_{min} \exp(k (e^{pu} - 1 - pu)/p^2 + h v^2/2)`.

    With :math:`v = \log(z / z_{best})` and :math:`u = \log(x / x_{best}) - g(v)`. For x a learning
    rate and z a batch size: the best rate rises with the batch, like a power of it in small batches
    and hardly in large ones (McCandlish et al. (2018), arXiv:1812.06162, for SGD;
    Li et al. (2024), arXiv:2405.14578, for Adam), which is g, see `best_shift`. The two are best
    together at x_best and z_best.

    Parameters
    ----------
    x, z : array_like
        The settings.
    L_min : array_like
        Loss at the minimum, nats per token.
    x_best, z_best : array_like
        Where the minimum lies, in units of x and z.
    curvature : array_like
        k, the second derivative of log L in log x at the minimum.
    asymmetry : array_like
        p, of either sign; above 0 values of x that are too large cost more than small ones.
    second_curvature : array_like
        h, the second derivative of log L in log z along the best x of each z.
    coupling : array_like
        gamma, slope of the log of the best x in log z, far below the best z.
    turn : array_like
        v_0, log of z over its best value at which that slope has halved.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are ``level``, log of the least loss; ``place`` and ``second_place``, decades from the
    reference run to the best x and z; and the others as they are.
    """
    v = np.log(z) - np.log(z_best)
    u = np.log(x) - np.log(x_best) - best_shift(v, coupling, turn)
    bowl = rise(u, curvature, asymmetry) + second_curvature * v**2 / 2
    return np.exp(np.log(L_min) + bowl)  # of logarithms: a quarter faster in the sampler
