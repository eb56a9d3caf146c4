"""The joint law of models trained with weights of few bits, which count for fewer parameters."""

from typing import Any

import numpy as np

from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    TOKENS,
    Allocation,
    context,
    law,
    shares,
)


def effective(weight_bits: Any, g: Any) -> Any:
    """Share of the parameters that weights of so many bits count for, 1 - exp(-P / g).

    Parameters
    ----------
    weight_bits, g : array_like

    Returns
    -------
    array_like
        From 0 to 1.
    """
    return -np.expm1(-weight_bits / g)


def _compute_optimal(
    flops: Any, k: float, *, weight_bits: Any, A: Any, alpha: Any, g: Any, **others: Any
) -> Any:
    """Chinchilla's, with an A of the bits: fewer parameters count, so more are best."""
    own = {**others, "A": A * effective(weight_bits, g) ** -alpha, "alpha": alpha}
    return chinchilla.optimum(flops, k, **own)  # type: ignore[misc]


def _compute(
    loss: Any, k: float, *, weight_bits: Any, A: Any, alpha: Any, g: Any, **others: Any
) -> Any:
    """Chinchilla's, likewise."""
    own = {**others, "A": A * effective(weight_bits, g) ** -alpha, "alpha": alpha}
    return chinchilla.compute(loss, k, **own)  # type: ignore[misc]


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, context("weight_bits")),
    parameters=dict.fromkeys(("E", "A", "B", "alpha", "beta", "g"), POSITIVE),
    coordinates=shares("A", "B", exponents=("alpha", "beta", "g")),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def kumar_precision(
    params: Any,
    tokens: Any,
    weight_bits: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    g: Any,
) -> Any:
    r"""Joint law of few bits :math:`L = E + A [N (1 - e^{-P/g})]^{-\alpha} + B D^{-\beta}`.

    Kumar et al. (2024), "Scaling Laws for Precision", arXiv:2411.04330, of models whose weights
    have P bits while they are trained. There activations and the KV cache have factors of their
    own; with them at one precision in all runs, A takes them up. With P without end it is
    `chinchilla`. C = k N D counts operations, whatever their precision.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    weight_bits : array_like
        P, bits of a weight in training.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Loss due to finite N at N = 1, with weights of many bits, and to finite D at D = 1.
    alpha, beta : array_like
        Exponents of N and D.
    g : array_like
        Bits at which weights count for 1 - 1/e of the parameters.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    counting = params * effective(weight_bits, g)
    return chinchilla.function(counting, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta)
