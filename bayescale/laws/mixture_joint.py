"""Loss against params, tokens and the mixture of the training data."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    UNIT,
    Coordinates,
    Function,
    Values,
    law,
    mixture,
    total,
)
from bayescale.laws.power_sum_mixture import log_useful

_EXPONENTS = ("alpha", "beta", "k", "gamma")
_LEANINGS = ("t_params", "t_tokens")


def floor_of(sampled: Values, shares: Any) -> dict[str, Any]:
    """Split the loss that no size and no tokens remove into E and what the mixture decides.

    Parameters
    ----------
    sampled : mapping of str to array_like or tensor
        With ``level``, ``reducible``, ``composed``, ``worth`` and ``gamma``.
    shares : array_like or tensor
        Of the reference run.

    Returns
    -------
    dict
        E and C.
    """
    floor = np.exp(sampled["level"]) * (1 - sampled["reducible"])
    useful = log_useful(shares, sampled["worth"], sampled["gamma"])
    return {
        "E": floor * (1 - sampled["composed"]),
        "C": np.exp(sampled["worth"] - useful - np.log(floor * sampled["composed"])),
    }


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level and shares at the reference run to the amplitudes of the law."""
    params, tokens, shares = reference
    reducible, split, k = (
        np.exp(sampled["level"]) * sampled["reducible"],
        sampled["split"],
        sampled["k"],
    )
    by_params, by_tokens = (total(sampled[name] * shares, "w") for name in _LEANINGS)
    log_A = k * np.log(split) + sampled["alpha"] * np.log(params) - by_params
    log_B = k * np.log1p(-split) + sampled["beta"] * np.log(tokens) - by_tokens
    return {
        **{name: sampled[name] for name in (*_EXPONENTS, *_LEANINGS)},
        **floor_of(sampled, shares),
        "A": reducible * np.exp(log_A),
        "B": reducible * np.exp(log_B),
    }


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, mixture("w_")),
    parameters={
        **dict.fromkeys(("E", "A", "B", *_EXPONENTS), POSITIVE),
        **{"C": POSITIVE.over("w"), **dict.fromkeys(_LEANINGS, REAL.over("w"))},
    },
    coordinates=Coordinates(
        {
            **{"level": REAL, **dict.fromkeys(("reducible", "composed", "split"), UNIT)},
            **dict.fromkeys(_EXPONENTS, POSITIVE),
            **dict.fromkeys(("worth", *_LEANINGS), REAL.over("w")),
        },
        _to_natural,
    ),
)
def mixture_joint(
    params: Any,
    tokens: Any,
    w: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    k: Any,
    gamma: Any,
    C: Any,
    t_params: Any,
    t_tokens: Any,
) -> Any:
    r"""Joint law of N, D and the mixture h of the data, which moves amplitudes and no exponent.

    .. math:: L = E + O(h) + \big((A_h N^{-\alpha})^{1/k} + (B_h D^{-\beta})^{1/k}\big)^k

    The mixture h moves three amplitudes and no exponent:

    .. math:: O(h) = 1 / \sum_j C_j h_j^\gamma, \qquad A_h = A e^{t^N \cdot h},
        \qquad B_h = B e^{t^D \cdot h}

    O, what is left on endless tokens, is the inverse power sum of Shukor et al. (2025), "Scaling
    Laws for Optimal Data Mixtures", arXiv:2507.09404; the exponential amplitudes are those of Ye et
    al. (2024), "Data Mixing Laws", arXiv:2403.16952. k couples size and tokens as in
    `bayescale.laws.coupled`; with k = 1 both terms add up, as in the joint law.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    w : array_like
        Shares h of the corpora, which sum to 1; :math:`10^{-4}` is added to each.
    E : array_like
        Loss that no size, tokens or mixture removes, nats per token.
    A, B : array_like
        Loss due to finite N at N = 1, and to finite D at D = 1, of a mixture whose leanings are 0.
    alpha, beta : array_like
        Exponents of N and D.
    k : array_like
        Coupling.
    gamma : array_like
        Exponent of the shares.
    C : array_like
        What each corpus is worth to the target.
    t_params, t_tokens : array_like
        Leanings :math:`t^N, t^D` of the two amplitudes towards each corpus.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are ``level`` and ``reducible`` of the mean mixture at the reference run, as in
    `bayescale.laws.shares`; ``composed``, the share of the rest that mixtures decide; ``split``,
    the share of the bracket that belongs to N; the exponents; ``worth``, the log of C beside those
    of the other corpora; and the leanings. A constant added to all entries of one of these three
    changes nothing, and is left to the prior.
    """
    by_params = np.log(A) - alpha * np.log(params) + total(t_params * w, "w")
    by_tokens = np.log(B) - beta * np.log(tokens) + total(t_tokens * w, "w")
    finite = (np.exp(by_params / k) + np.exp(by_tokens / k)) ** k
    return E + np.exp(-log_useful(w, np.log(C), gamma)) + finite
