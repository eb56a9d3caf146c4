"""Joint law of params, tokens and mixture whose amplitudes are powers of sums of shares."""

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
from bayescale.laws.mixture_joint import floor_of
from bayescale.laws.power_sum_mixture import log_useful

_EXPONENTS = ("alpha", "beta", "gamma", "gamma_A", "gamma_B")


def _log_factor(worth: Any, gamma: Any, shares: Any) -> Any:
    """Log of (sum of c_j h_j) to the power gamma."""
    return gamma * np.log(total(np.exp(worth) * shares, "w"))


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level and shares at the reference run to the amplitudes of the law."""
    params, tokens, shares = reference
    reducible, split = np.exp(sampled["level"]) * sampled["reducible"], sampled["split"]
    natural = {name: sampled[name] for name in _EXPONENTS} | floor_of(sampled, shares)
    for name, share, exponent, size in (
        ("A", split, "alpha", params),
        ("B", 1 - split, "beta", tokens),
    ):
        worth, gamma = sampled[f"worth_{name}"], sampled[f"gamma_{name}"]
        log_term = -sampled[exponent] * np.log(size) + _log_factor(worth, gamma, shares)
        natural[f"C_{name}"] = np.exp(worth + (np.log(reducible * share) - log_term) / gamma)
    return natural


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, mixture("w_")),
    parameters={
        **dict.fromkeys(("E", *_EXPONENTS), POSITIVE),
        **dict.fromkeys(("C", "C_A", "C_B"), POSITIVE.over("w")),
    },
    coordinates=Coordinates(
        {
            **{"level": REAL, **dict.fromkeys(("reducible", "composed", "split"), UNIT)},
            **dict.fromkeys(_EXPONENTS, POSITIVE),
            **dict.fromkeys(("worth", "worth_A", "worth_B"), REAL.over("w")),
        },
        _to_natural,
    ),
)
def mixture_shukor(
    params: Any,
    tokens: Any,
    w: Any,
    *,
    E: Any,
    alpha: Any,
    beta: Any,
    gamma: Any,
    gamma_A: Any,
    gamma_B: Any,
    C: Any,
    C_A: Any,
    C_B: Any,
) -> Any:
    r"""Joint law of mixtures of Shukor et al., whose amplitudes are powers of sums of shares.

    .. math:: L = E + \frac{1}{\sum_j C_j h_j^\gamma} + A_h N^{-\alpha} + B_h D^{-\beta},
        \qquad A_h = \big(\sum_j C^A_j h_j\big)^{\gamma_A}

    and B likewise: Shukor et al. (2025), "Scaling Laws for Optimal Data Mixtures",
    arXiv:2507.09404, the joint law, with one exponent for all shares in the first sum. A baseline
    for `mixture_joint`.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    w : array_like
        Shares h of the corpora, which sum to 1; :math:`10^{-4}` is added to each in the first sum.
    E : array_like
        Loss that no size, tokens or mixture removes, nats per token.
    alpha, beta, gamma : array_like
        Exponents of N, of D and of the shares.
    gamma_A, gamma_B : array_like
        Exponents of the sums in the amplitudes.
    C, C_A, C_B : array_like
        Of each corpus.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled as in `bayescale.laws.mixture_joint`; ``worth_A`` and ``worth_B`` are the logs of C_A
    and C_B beside those of the other corpora.
    """
    by_params = np.exp(_log_factor(np.log(C_A), gamma_A, w) - alpha * np.log(params))
    by_tokens = np.exp(_log_factor(np.log(C_B), gamma_B, w) - beta * np.log(tokens))
    return E + np.exp(-log_useful(w, np.log(C), gamma)) + by_params + by_tokens
