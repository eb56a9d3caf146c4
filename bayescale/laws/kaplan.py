"""The joint law of Kaplan et al. (2020)."""

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
    """At the reference run the bracket is exp(level / alpha_D); N has the share `split`."""
    params, tokens = reference
    alpha_N, alpha_D = sampled["alpha_N"], sampled["alpha_D"]
    bracket = np.exp(sampled["level"] / alpha_D)
    return {
        "N_c": params * (bracket * sampled["split"]) ** (alpha_D / alpha_N),
        "D_c": tokens * bracket * (1.0 - sampled["split"]),
        "alpha_N": alpha_N,
        "alpha_D": alpha_D,
    }


def _compute_optimal(
    flops: Any, k: float, *, N_c: Any, D_c: Any, alpha_N: Any, alpha_D: Any
) -> Any:
    r"""Minimise the bracket under C = kND: N^{r+1} = r N_c^r C / (k D_c), r = alpha_N / alpha_D."""
    r = alpha_N / alpha_D
    return (r * N_c**r * flops / (k * D_c)) ** (1 / (r + 1))


def _compute(loss: Any, k: float, *, N_c: Any, D_c: Any, alpha_N: Any, alpha_D: Any) -> Any:
    r"""C = kN*D*: at the optimum L^{1/α_D} = (1+r)(N_c/N)^r = (1+1/r) D_c/D; infinite up to 0."""
    r = alpha_N / alpha_D
    with np.errstate(divide="ignore", over="ignore"):
        log_bracket = np.log(positive_part(loss)) / alpha_D
        log_params = np.log(N_c) + (np.log1p(r) - log_bracket) / r
        log_tokens = np.log(D_c) + np.log1p(1 / r) - log_bracket
        return k * np.exp(log_params + log_tokens)


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS),
    parameters=dict.fromkeys(("N_c", "D_c", "alpha_N", "alpha_D"), POSITIVE),
    coordinates=Coordinates(
        {"level": REAL, "split": UNIT, "alpha_N": POSITIVE, "alpha_D": POSITIVE}, _to_natural
    ),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def kaplan(params: Any, tokens: Any, *, N_c: Any, D_c: Any, alpha_N: Any, alpha_D: Any) -> Any:
    r"""Joint law :math:`L(N, D) = [(N_c/N)^{\alpha_N/\alpha_D} + D_c/D]^{\alpha_D}`.

    Kaplan et al. (2020), "Scaling Laws for Neural Language Models", equation 1.5. There is no
    irreducible loss, and N is non-embedding in the paper.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    N_c, D_c : array_like
        Where the loss from N alone, and from D alone, would be 1 nat per token.
    alpha_N, alpha_D : array_like
        Exponents of N and D.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return ((N_c / params) ** (alpha_N / alpha_D) + D_c / tokens) ** alpha_D
