"""Joint law of params and tokens, to which the mixture of the training data adds a term."""

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
)
from bayescale.laws.mixture_joint import floor_of
from bayescale.laws.power_sum_mixture import log_useful

_EXPONENTS = ("alpha", "beta", "gamma")


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level and shares at the reference run to the amplitudes of the law."""
    params, tokens, shares = reference
    reducible, split = np.exp(sampled["level"]) * sampled["reducible"], sampled["split"]
    return {
        **{name: sampled[name] for name in _EXPONENTS},
        **floor_of(sampled, shares),
        "A": reducible * split * np.exp(sampled["alpha"] * np.log(params)),
        "B": reducible * (1 - split) * np.exp(sampled["beta"] * np.log(tokens)),
    }


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, mixture("w_")),
    parameters={
        **dict.fromkeys(("E", "A", "B", *_EXPONENTS), POSITIVE),
        "C": POSITIVE.over("w"),
    },
    coordinates=Coordinates(
        {
            **{"level": REAL, **dict.fromkeys(("reducible", "composed", "split"), UNIT)},
            **dict.fromkeys(_EXPONENTS, POSITIVE),
            "worth": REAL.over("w"),
        },
        _to_natural,
    ),
)
def mixture_additive(
    params: Any,
    tokens: Any,
    w: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    gamma: Any,
    C: Any,
) -> Any:
    r"""Additive law, :math:`E + 1/\sum_j C_j h_j^\gamma + A N^{-\alpha} + B D^{-\beta}`.

    Shukor et al. (2025), "Scaling Laws for Optimal Data Mixtures", arXiv:2507.09404, the additive
    law, with one exponent for all shares. A baseline: the best mixture is the same for every size
    and number of tokens.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    w : array_like
        Shares h of the corpora, which sum to 1; :math:`10^{-4}` is added to each.
    E : array_like
        Loss that no size, tokens or mixture removes, nats per token.
    A, B : array_like
        Loss due to finite N at N = 1, and to finite D at D = 1, nats per token.
    alpha, beta, gamma : array_like
        Exponents of N, of D and of the shares.
    C : array_like
        What each corpus is worth to the target.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled as in `bayescale.laws.mixture_joint`.
    """
    by_size = A * np.exp(-alpha * np.log(params)) + B * np.exp(-beta * np.log(tokens))
    return E + np.exp(-log_useful(w, np.log(C), gamma)) + by_size
