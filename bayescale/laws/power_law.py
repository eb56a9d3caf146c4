"""A power law with an irreducible loss along any one axis."""

from typing import Any

from bayescale.laws.law import AXIS, LOSS, POSITIVE, law, shares


@law(
    response=LOSS,
    inputs=(AXIS,),
    parameters=dict.fromkeys(("E", "A", "alpha"), POSITIVE),
    coordinates=shares("A", exponents=("alpha",)),
)
def power_law(x: Any, *, E: Any, A: Any, alpha: Any) -> Any:
    r"""Power law with offset :math:`L(x) = E + A x^{-\alpha}`.

    Henighan et al. (2020), "Scaling Laws for Autoregressive Generative Modeling", equation 1.1.

    Parameters
    ----------
    x : array_like
        Any one axis: params, tokens, flops, ...
    E : array_like
        Irreducible loss, nats per token.
    A : array_like
        Reducible loss at x = 1, nats per token.
    alpha : array_like
        Exponent.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return E + A * x**-alpha
