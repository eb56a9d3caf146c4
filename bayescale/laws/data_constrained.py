"""The law of Muennighoff et al. (2023) for repeated data, with one constant that varies with N."""

from typing import Any

import numpy as np

from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    UNIQUE_TOKENS,
    Allocation,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)

_SIZE = 1e9  # params at which R_D is stated
_MOST = 20.0  # log of N / U_N above which more parameters add nothing, and would overflow


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Chinchilla's level and shares, at a run whose effective N and D are the reference's."""
    return {**sampled, **chinchilla.to_natural(sampled, reference[:2])}


def _compute_optimal(flops: Any, k: float, *, R_D: Any, R_N: Any, r_N: Any, **fresh: Any) -> Any:
    """Chinchilla's: there N = N_opt(D), just where every parameter still counts in full."""
    return chinchilla.optimum(flops, k, **fresh)  # type: ignore[misc]


def _compute(loss: Any, k: float, *, R_D: Any, R_N: Any, r_N: Any, **fresh: Any) -> Any:
    """Chinchilla's, for the same reason."""
    return chinchilla.compute(loss, k, **fresh)  # type: ignore[misc]


def repetitions(params: Any, *, R_D: Any, r_N: Any = 0.0) -> Any:
    """Repetitions after which one more is worth 1/e of the first, R_D(N) = R_D (N / 1e9)^r_N.

    Parameters
    ----------
    params : array_like
        N, a count.
    R_D : array_like
        For 1e9 params.
    r_N : array_like, optional

    Returns
    -------
    array_like
    """
    return R_D * np.exp(r_N * (np.log(params) - np.log(_SIZE)))


_REPETITION = {"R_D": POSITIVE, "R_N": POSITIVE, "r_N": REAL}


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, UNIQUE_TOKENS),
    parameters={**chinchilla.supports, **_REPETITION},
    coordinates=Coordinates({**chinchilla.coordinates.supports, **_REPETITION}, _to_natural),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def data_constrained(
    params: Any,
    tokens: Any,
    unique_tokens: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    R_D: Any,
    R_N: Any,
    r_N: Any,
) -> Any:
    r"""Joint law for repeated data :math:`L(N, D, U) = E + A N'^{-\alpha} + B D'^{-\beta}`.

    Muennighoff et al. (2023), "Scaling Data-Constrained Language Models", section 3. Tokens
    seen again, and parameters beyond what the unique tokens can teach, count for less and less:

    .. math::

        D' &= U + U R_D(N) (1 - e^{-(D/U - 1) / R_D(N)}),
        \qquad R_D(N) = R_D (N / 10^9)^{r_N} \\
        N' &= U_N + U_N R_N (1 - e^{-(N/U_N - 1) / R_N}),
        \qquad U_N = \min(N, N_\mathrm{opt}(U))

    with :math:`N_\mathrm{opt}(U)` the compute-optimal N for U tokens,
    :math:`\alpha A N^{-\alpha} = \beta B U^{-\beta}`. The paper has :math:`r_N = 0` and one
    exponent for both terms. N' and D' and their slopes are continuous in every parameter.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts; D counts every pass over the data.
    unique_tokens : array_like
        Distinct tokens; no more than D of them are used.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Loss due to finite N at N' = 1 and to finite D at D' = 1, nats per token.
    alpha, beta : array_like
        Exponents of N' and D'.
    R_D : array_like
        Repetitions after which one more token is worth 1/e of a fresh one, for 1e9 params.
    R_N : array_like
        Likewise for parameters: N/U_N - 1 after which one more is worth 1/e of a useful one.
    r_N : array_like
        Exponent of N in R_D; negative where larger models tire of repetition sooner.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    log_params, log_tokens = np.log(params), np.log(tokens)
    log_repeats = positive_part(log_tokens - np.log(unique_tokens))  # 0 where nothing is repeated
    log_unique = log_tokens - log_repeats
    log_useful = (np.log(alpha * A) - np.log(beta * B) + beta * log_unique) / alpha
    log_surplus = positive_part(log_params - log_useful)
    surplus = np.expm1(_MOST - positive_part(_MOST - log_surplus))
    lasting = repetitions(params, R_D=R_D, r_N=r_N)
    log_effective_params = log_params - log_surplus + _log_worth(surplus, R_N)
    log_effective_tokens = log_unique + _log_worth(np.expm1(log_repeats), lasting)
    return E + A * np.exp(-alpha * log_effective_params) + B * np.exp(-beta * log_effective_tokens)


def _log_worth(more: Any, lasting: Any) -> Any:
    """Log of what 1 + `more` units are worth in first ones, each later one worth less."""
    return np.log1p(-lasting * np.expm1(-more / lasting))
