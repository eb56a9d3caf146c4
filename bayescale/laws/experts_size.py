"""The law of models with experts that were all trained on the same tokens."""

from typing import Any

from bayescale.laws.experts import GAIN, GAIN_COORDINATES, dense_like, gain_of, worth
from bayescale.laws.law import (
    LOSS,
    POSITIVE,
    Coordinates,
    Function,
    Values,
    context,
    law,
    size,
)
from bayescale.laws.power_law import power_law


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Power law at the dense model near the reference run."""
    active, number = reference
    return {**power_law.to_natural(sampled, (dense_like(active, number),)), **gain_of(sampled)}


@law(
    response=LOSS,
    inputs=(size("active_params"), context("experts")),
    parameters={**power_law.supports, **dict.fromkeys(GAIN, POSITIVE)},
    coordinates=Coordinates({**power_law.coordinates.supports, **GAIN_COORDINATES}, _to_natural),
)
def experts_size(
    active_params: Any,
    experts: Any,
    *,
    E: Any,
    A: Any,
    alpha: Any,
    gamma: Any,
    X_start: Any,
    X_max: Any,
) -> Any:
    r"""Experts as dense parameters at one number of tokens, :math:`L = E + A N_{eq}^{-\alpha}`.

    `experts` for runs whose tokens are all the same, as those of Clark et al. (2022),
    arXiv:2202.01169: they do not tell what more of them would do, so E holds what these tokens
    leave, and the law speaks of no other number of tokens.

    Parameters
    ----------
    active_params : array_like
        N, parameters that a token meets: those that compute counts.
    experts : array_like
        X, number of experts that a token is routed among; 1 of a dense model.
    E : array_like
        Loss that no size goes below at these tokens, nats per token.
    A : array_like
        Loss due to finite N of a dense model at N = 1, nats per token.
    alpha : array_like
        Exponent of N.
    gamma : array_like
        Exponent of the experts; 0 where they are worth nothing.
    X_start, X_max : array_like
        Experts below which, and above which, more of them add little.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are level and reducible (see `bayescale.laws.shares`) at the dense model of
    :math:`N \sqrt{X}` parameters of the reference run, alpha, and what `experts` samples.
    """
    dense = active_params * worth(experts, gamma=gamma, X_start=X_start, X_max=X_max)
    return power_law(dense, E=E, A=A, alpha=alpha)
