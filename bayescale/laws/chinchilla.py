"""The joint law of Hoffmann et al. (2022)."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    TOKENS,
    Allocation,
    law,
    positive_part,
    shares,
)


def _compute_optimal(flops: Any, k: float, *, E: Any, A: Any, B: Any, alpha: Any, beta: Any) -> Any:
    r"""Hoffmann et al. (2022), equation 4: N* = G (C/k)^a, G = (αA/βB)^{1/(α+β)}, a = β/(α+β)."""
    total = alpha + beta
    return (alpha * A / (beta * B)) ** (1 / total) * (flops / k) ** (beta / total)


def _compute(loss: Any, k: float, *, E: Any, A: Any, B: Any, alpha: Any, beta: Any) -> Any:
    r"""Invert L*(C) = E + K (C/k)^{-γ}, γ = αβ/(α+β), K = A G^{-α} (1 + α/β); infinite up to E."""
    log_G = (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)
    log_K = np.log(A) - alpha * log_G + np.log1p(alpha / beta)
    with np.errstate(divide="ignore", over="ignore"):
        return k * np.exp((log_K - np.log(positive_part(loss - E))) * (1 / alpha + 1 / beta))


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS),
    parameters=dict.fromkeys(("E", "A", "B", "alpha", "beta"), POSITIVE),
    coordinates=shares("A", "B", exponents=("alpha", "beta")),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def chinchilla(params: Any, tokens: Any, *, E: Any, A: Any, B: Any, alpha: Any, beta: Any) -> Any:
    r"""Joint law :math:`L(N, D) = E + A N^{-\alpha} + B D^{-\beta}`.

    Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models", equation 2.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Loss due to finite N at N = 1 and to finite D at D = 1, nats per token.
    alpha, beta : array_like
        Exponents of N and D.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return E + A * params**-alpha + B * tokens**-beta
