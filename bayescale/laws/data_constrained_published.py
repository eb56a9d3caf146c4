"""The law of Muennighoff et al. (2023) for repeated data, as published."""

from typing import Any

from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.data_constrained import data_constrained
from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    UNIQUE_TOKENS,
    UNIT,
    Allocation,
    Coordinates,
    Function,
    Values,
    law,
)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    return data_constrained.coordinates.to_natural(
        {**sampled, "beta": sampled["alpha"]}, reference, function
    )


def _compute_optimal(
    flops: Any, k: float, *, E: Any, A: Any, B: Any, alpha: Any, R_D: Any, R_N: Any
) -> Any:
    return chinchilla.optimum(flops, k, E=E, A=A, B=B, alpha=alpha, beta=alpha)  # type: ignore[misc]


def _compute(loss: Any, k: float, *, E: Any, A: Any, B: Any, alpha: Any, R_D: Any, R_N: Any) -> Any:
    return chinchilla.compute(loss, k, E=E, A=A, B=B, alpha=alpha, beta=alpha)  # type: ignore[misc]


_SAMPLED = {
    **{"level": REAL, "reducible": UNIT, "split": UNIT},
    **dict.fromkeys(("alpha", "R_D", "R_N"), POSITIVE),
}


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, UNIQUE_TOKENS),
    parameters=dict.fromkeys(("E", "A", "B", "alpha", "R_D", "R_N"), POSITIVE),
    coordinates=Coordinates(_SAMPLED, _to_natural),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def data_constrained_published(
    params: Any,
    tokens: Any,
    unique_tokens: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    R_D: Any,
    R_N: Any,
) -> Any:
    r"""Joint law with repetition :math:`L(N, D, U) = E + A N'^{-\alpha} + B D'^{-\alpha}`.

    Muennighoff et al. (2023), "Scaling Data-Constrained Language Models", section 3: one
    exponent for both terms, and repeated tokens are worth the same to models of every size. N' and
    D' are those of `bayescale.laws.data_constrained`.

    Parameters
    ----------
    params, tokens, unique_tokens : array_like
        N, D (every pass counted) and distinct tokens, counts.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Loss due to finite N at N' = 1 and to finite D at D' = 1, nats per token.
    alpha : array_like
        Exponent of N' and D'.
    R_D, R_N : array_like
        Repetitions of the tokens, and of the parameters the unique tokens can teach, after which
        one more is worth 1/e of the first.

    Returns
    -------
    array_like
        Loss, nats per token.
    """
    return data_constrained(
        params,
        tokens,
        unique_tokens,
        E=E,
        A=A,
        B=B,
        alpha=alpha,
        beta=alpha,
        R_D=R_D,
        R_N=R_N,
        r_N=0.0,
    )
