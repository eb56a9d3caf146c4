"""The joint law of models with experts: what they are worth is parameters of a dense model."""

from typing import Any

import numpy as np

from bayescale.laws.chinchilla import chinchilla
from bayescale.laws.law import (
    LOSS,
    POSITIVE,
    TOKENS,
    Coordinates,
    Function,
    Values,
    context,
    law,
    size,
)

GAIN = ("gamma", "X_start", "X_max")
"""Parameters that say what experts are worth."""

GAIN_COORDINATES = dict.fromkeys(("gamma", "start", "room"), POSITIVE)
"""What is sampled of them."""


def gain_of(sampled: Values) -> dict[str, Any]:
    """Turn what is sampled into `GAIN`: 1 < X_start < X_max whatever is drawn.

    Parameters
    ----------
    sampled : mapping
        With ``gamma``, ``start`` (X_start - 1) and ``room`` (X_max - X_start).

    Returns
    -------
    dict
    """
    start = 1.0 + sampled["start"]
    return {"gamma": sampled["gamma"], "X_start": start, "X_max": start + sampled["room"]}


def worth(experts: Any, *, gamma: Any, X_start: Any, X_max: Any) -> Any:
    r"""Parameters of the dense model of equal loss, over active ones: :math:`N_{eq} / N`.

    With :math:`1/\hat E = 1/(X - 1 + (1/X_{start} - 1/X_{max})^{-1}) + 1/X_{max}` it is
    :math:`(\hat E(X) / \hat E(1))^\gamma`, here with what cancels left out, so that it is exactly 1
    of a dense model. It tends to :math:`(X_{max} / X_{start})^\gamma`.

    Parameters
    ----------
    experts : array_like
        Number of experts X; 1 of a dense model.
    gamma, X_start, X_max : array_like
        See `experts` of this module.

    Returns
    -------
    array_like
    """
    more = (experts - 1.0) * (X_max - X_start) / X_max
    return np.exp(gamma * (np.log1p(more / X_start) - np.log1p(more / X_max)))


def dense_like(active: Any, number: Any) -> Any:
    """Parameters of a dense model about as good as one with experts: that of the coordinates.

    Whatever the experts turn out to be worth, so that routers which differ in it share the law of
    dense models.

    Parameters
    ----------
    active, number : array_like
        Active parameters, and the number of experts.

    Returns
    -------
    array_like
    """
    return active * np.sqrt(number)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Joint law at the dense model near the reference run."""
    active, tokens, number = reference
    joint = chinchilla.to_natural(sampled, (dense_like(active, number), tokens))
    return {**joint, **gain_of(sampled)}


@law(
    response=LOSS,
    inputs=(size("active_params"), TOKENS, context("experts")),
    parameters={**chinchilla.supports, **dict.fromkeys(GAIN, POSITIVE)},
    coordinates=Coordinates({**chinchilla.coordinates.supports, **GAIN_COORDINATES}, _to_natural),
)
def experts(
    active_params: Any,
    tokens: Any,
    experts: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    gamma: Any,
    X_start: Any,
    X_max: Any,
) -> Any:
    r"""Experts as effective dense parameters, :math:`L = E + A N_{eq}^{-\alpha} + B D^{-\beta}`.

    :math:`N_{eq} = N (\hat E(X) / \hat E(1))^\gamma` with
    :math:`1/\hat E = 1/(X - 1 + (1/X_{start} - 1/X_{max})^{-1}) + 1/X_{max}`. The count of experts
    that saturates at both ends is that of Clark et al. (2022), arXiv:2202.01169, equation 6; its
    worth in dense parameters, and a floor of the loss, are added here.

    Parameters
    ----------
    active_params : array_like
        N, parameters that a token meets: those that compute counts.
    tokens : array_like
        D.
    experts : array_like
        X, number of experts that a token is routed among; 1 of a dense model.
    E : array_like
        Irreducible loss, nats per token.
    A, B : array_like
        Loss due to finite N of a dense model at N = 1 and to finite D at D = 1, nats per token.
    alpha, beta : array_like
        Exponents of N and D.
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
    Sampled are level, reducible and split of the joint law (see `bayescale.laws.shares`) at the
    dense model of :math:`N \sqrt{X}` parameters of the reference run, the exponents, ``start``,
    X_start - 1, and ``room``, X_max - X_start.
    """
    dense = active_params * worth(experts, gamma=gamma, X_start=X_start, X_max=X_max)
    return chinchilla(dense, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta)
