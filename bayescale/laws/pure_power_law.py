"""The power law without an irreducible loss, along any one axis."""

from typing import Any

import numpy as np

from bayescale.laws.law import AXIS, LOSS, POSITIVE, REAL, Coordinates, Function, Values, law


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Loss exp(level) at the reference run x0: x_c = x0 exp(level / alpha)."""
    return {
        "x_c": reference[0] * np.exp(sampled["level"] / sampled["alpha"]),
        "alpha": sampled["alpha"],
    }


@law(
    response=LOSS,
    inputs=(AXIS,),
    parameters=dict.fromkeys(("x_c", "alpha"), POSITIVE),
    coordinates=Coordinates({"level": REAL, "alpha": POSITIVE}, _to_natural),
)
def pure_power_law(x: Any, *, x_c: Any, alpha: Any) -> Any:
    r"""Pure power law :math:`L(x) = (x_c / x)^{\alpha}`: no irreducible loss.

    Kaplan et al. (2020), "Scaling Laws for Neural Language Models", equations 1.1 to 1.3.

    Parameters
    ----------
    x : array_like
        Any one axis: non-embedding params, tokens, flops, ...
    x_c : array_like
        Where the loss would be 1 nat per token, in units of `x`.
    alpha : array_like
        Exponent.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return (x_c / x) ** alpha
