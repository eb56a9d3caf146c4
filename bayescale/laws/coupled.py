"""The joint law with one more exponent, by which the terms of N and D are coupled."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    UNIT,
    Allocation,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level and reducible share at the reference run; N has the share `split` of the bracket."""
    level = np.exp(sampled["level"])
    reducible, k = level * sampled["reducible"], sampled["k"]
    bracket = np.log(reducible) / k
    inner = [sampled[name] / k * np.log(x) for name, x in zip(_EXPONENTS, reference, strict=True)]
    return {
        **sampled,
        "E": level - reducible,
        "A": sampled["split"] * np.exp(bracket + inner[0]),
        "B": (1.0 - sampled["split"]) * np.exp(bracket + inner[1]),
    }


def _log_scale(*, A: Any, B: Any, alpha: Any, beta: Any, k: Any) -> Any:
    r"""Log of G = (αA/βB)^{k/(α+β)}, with which N* = G (C/c)^{β/(α+β)}."""
    return k * (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)


def _compute_optimal(flops: Any, per: float, *, E: Any, **bracket: Any) -> Any:
    r"""C = cND leaves the optimum where αA N^{-α/k} = βB D^{-β/k}, whatever the outer power."""
    exponent = bracket["beta"] / (bracket["alpha"] + bracket["beta"])
    return np.exp(_log_scale(**bracket)) * (flops / per) ** exponent


def _compute(loss: Any, per: float, *, E: Any, **bracket: Any) -> Any:
    r"""Invert L*(C) = E + K (C/c)^{-γ}, γ = αβ/(α+β), K = G^{-α} (A (1 + α/β))^k."""
    alpha, beta = bracket["alpha"], bracket["beta"]
    log_K = bracket["k"] * (np.log(bracket["A"]) + np.log1p(alpha / beta))
    log_K = log_K - alpha * _log_scale(**bracket)
    with np.errstate(divide="ignore", over="ignore"):
        return per * np.exp((log_K - np.log(positive_part(loss - E))) * (1 / alpha + 1 / beta))


_EXPONENTS = ("alpha", "beta")
_SAMPLED = {
    **{"level": REAL, "reducible": UNIT, "split": UNIT},
    **dict.fromkeys((*_EXPONENTS, "k"), POSITIVE),
}


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS),
    parameters=dict.fromkeys(("E", "A", "B", *_EXPONENTS, "k"), POSITIVE),
    coordinates=Coordinates(_SAMPLED, _to_natural),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def coupled(
    params: Any, tokens: Any, *, E: Any, A: Any, B: Any, alpha: Any, beta: Any, k: Any
) -> Any:
    r"""Coupled joint law :math:`L(N, D) = E + (A N^{-\alpha/k} + B D^{-\beta/k})^k`.

    Videau et al. (2026), "Skaling: Chinchilla's Exponents Meet Kaplan's Coupling",
    arXiv:2608.07222; OpenEuroLLM (2026) fits it as well. With k = 1 it is the joint law
    of Hoffmann et al. (2022), where more tokens do the same for models of every size; with k < 1
    they do more for larger ones. With E = 0 and beta = k it is that of Kaplan et al. (2020).

    The papers print the exponents inside the bracket. Here alpha and beta are k times those: how
    the reducible loss falls in N where tokens abound, and in D where parameters do. So they mean
    what they mean in the joint law, and :math:`N^* \propto C^{\beta/(\alpha+\beta)}`,
    :math:`L^* - E \propto C^{-\alpha\beta/(\alpha+\beta)}` as there.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Terms of the bracket at N = 1 and at D = 1, nats per token to the power 1/k.
    alpha, beta : array_like
        Exponents of N and D, each where it alone limits the loss.
    k : array_like
        Coupling; not the FLOPs per parameter and token.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are the log loss at the reference run, the share of it that is reducible, the share
    split :math:`\psi` of the bracket there that belongs to N, alpha, beta and k:

    .. math::

        L = L_0 (1 - \phi) + L_0 \phi
        \big(\psi (N/N_0)^{-\alpha/k} + (1 - \psi) (D/D_0)^{-\beta/k}\big)^k

    At the reference run the slopes of the log of the reducible loss are :math:`-\alpha\psi` and
    :math:`-\beta(1-\psi)` for every k, which bends the law alone: so runs tell k from the others.
    """
    return E + (A * params ** (-alpha / k) + B * tokens ** (-beta / k)) ** k
