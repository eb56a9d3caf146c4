"""The joint law times a bowl along one setting whose best value follows a power law in N."""

from typing import Any

import numpy as np

from bayescale.laws.bowl import rise
from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.law import (
    AXIS,
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    Coordinates,
    Function,
    Values,
    law,
    shares,
)

_JOINT = shares("A", "B", exponents=("alpha", "beta"))
_SHAPE = dict.fromkeys(("eta", "kappa", "asymmetry"), REAL)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Joint law at the best x of the reference size; place and curvature are those of that size."""
    params, tokens, x = reference
    size = np.log(params)
    return {
        **_JOINT.to_natural(sampled, (params, tokens), chinchilla.function),
        "G": x * np.exp(np.log(10.0) * sampled["place"] - sampled["eta"] * size),
        "K": sampled["curvature"] * np.exp(-sampled["kappa"] * size),
        **{name: sampled[name] for name in _SHAPE},
    }


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, AXIS),
    parameters={
        **dict.fromkeys(("E", "A", "B", "alpha", "beta", "G", "K"), POSITIVE),
        **_SHAPE,
    },
    coordinates=Coordinates(
        {**_JOINT.supports, "place": REAL, "curvature": POSITIVE, **_SHAPE}, _to_natural
    ),
    minimum_along=("x",),
)
def shape_basin(
    params: Any,
    tokens: Any,
    x: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    G: Any,
    K: Any,
    eta: Any,
    kappa: Any,
    asymmetry: Any,
) -> Any:
    r"""Joint law times a bowl, :math:`L = (E + A N^{-\alpha} + B D^{-\beta}) e^{b(x, N)}`.

    With :math:`b = \frac{k}{p^2} (e^{pu} - 1 - pu)`, :math:`u = \log(x / x^*(N))`: any one setting
    of a model that a table without a sweep of each size has in several values, such as the width
    over the depth, which matters little over a wide range (Kaplan et al. (2020), figure 5). Its
    best value :math:`x^* = G N^\eta` and the curvature :math:`k = K N^\kappa` follow the size, so
    that what N counts decides the exponents.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    x : array_like
        The setting.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Loss due to finite N at N = 1 and to finite D at D = 1, nats per token, at the best x.
    alpha, beta : array_like
        Exponents of N and D.
    G : array_like
        Best x at N = 1.
    K : array_like
        Second derivative of log L in log x at the best x, at N = 1.
    eta, kappa : array_like
        Exponents of the best x and of that curvature in N.
    asymmetry : array_like
        p, of either sign; above 0 values of x that are too large cost more than small ones.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are level, reducible and split of the joint law at the best x of the reference run (see
    `bayescale.laws.shares`), the exponents, ``place``, decades from the reference run to its best
    x, and ``curvature`` there.
    """
    least = chinchilla.function(params, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta)
    size = np.log(params)
    u = np.log(x) - np.log(G) - eta * size
    return np.exp(np.log(least) + rise(u, K * np.exp(kappa * size), asymmetry))
