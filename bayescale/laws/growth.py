"""How a positive quantity grows, or shrinks, along any one axis: a batch size with tokens."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    AXIS,
    POSITIVE,
    REAL,
    Coordinates,
    Function,
    Values,
    law,
    quantity,
)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Quantity exp(level) at the reference run x0: A = exp(level) / x0^b."""
    amplitude = np.exp(sampled["level"] - sampled["b"] * np.log(reference[0]))
    return {"A": amplitude, "b": sampled["b"]}


@law(
    response=quantity("quantity"),
    inputs=(AXIS,),
    parameters={"A": POSITIVE, "b": REAL},
    coordinates=Coordinates({"level": REAL, "b": REAL}, _to_natural),
)
def growth(x: Any, *, A: Any, b: Any) -> Any:
    r"""Power law of either sign :math:`y(x) = A x^b`.

    For what is neither good nor bad: the best batch size or learning rate, steps, N*. McCandlish et
    al. (2018), arXiv:1812.06162, and Bi et al. (2024), arXiv:2401.02954, section 3.1, fit it.

    Parameters
    ----------
    x : array_like
        Any one axis: tokens, flops, params, ...
    A : array_like
        The quantity at x = 1.
    b : array_like
        Exponent: above 0 it rises, below it falls.

    Returns
    -------
    array_like
        The quantity.
    """
    return A * x**b
