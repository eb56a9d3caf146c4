"""Joint law of params, tokens and mixture whose exponents lean on the mixture as well."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    Coordinates,
    Function,
    Values,
    law,
    mixture,
    total,
)
from bayescale.laws.mixture_joint import mixture_joint

_LEANINGS = ("s_params", "s_tokens")
_KEPT = ("E", "A", "B", "k", "gamma", "C", "t_params", "t_tokens")


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Exponents of the mean mixture to those where nothing leans; amplitudes at the reference."""
    params, tokens, shares = reference
    # Beside N_0 and D_0, so that exponents lean about the middle of the runs.
    joint = mixture_joint.to_natural(sampled, (1.0, 1.0, shares))
    alpha = sampled["alpha"] * np.exp(-total(sampled["s_params"] * shares, "w"))
    beta = sampled["beta"] * np.exp(-total(sampled["s_tokens"] * shares, "w"))
    return {
        **{name: joint[name] for name in _KEPT},
        **{name: sampled[name] for name in _LEANINGS},
        **{"alpha_0": alpha, "beta_0": beta},
        **{"r_params": alpha * np.log(params), "r_tokens": beta * np.log(tokens)},
    }


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, mixture("w_")),
    parameters={
        **{name: mixture_joint.supports[name] for name in _KEPT},
        **dict.fromkeys(_LEANINGS, REAL.over("w")),
        **{"alpha_0": POSITIVE, "beta_0": POSITIVE, "r_params": REAL, "r_tokens": REAL},
    },
    coordinates=Coordinates(
        {**mixture_joint.coordinates.supports, **dict.fromkeys(_LEANINGS, REAL.over("w"))},
        _to_natural,
    ),
)
def mixture_exponents(
    params: Any,
    tokens: Any,
    w: Any,
    *,
    E: Any,
    A: Any,
    B: Any,
    k: Any,
    gamma: Any,
    C: Any,
    t_params: Any,
    t_tokens: Any,
    s_params: Any,
    s_tokens: Any,
    alpha_0: Any,
    beta_0: Any,
    r_params: Any,
    r_tokens: Any,
) -> Any:
    r"""Joint law of a mixture that moves exponents as well as amplitudes.

    `mixture_joint` with :math:`A_h (N/N_0)^{-\alpha_h}` and :math:`B_h (D/D_0)^{-\beta_h}` for its
    two terms, :math:`\alpha_h = \alpha_0 e^{s^N \cdot h}` and
    :math:`\beta_h = \beta_0 e^{s^D \cdot h}`. It asks of runs whether composition moves exponents:
    where it does not predict left-out runs better, amplitudes alone say as much.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    w : array_like
        Shares h of the corpora, which sum to 1; :math:`10^{-4}` is added to each in O.
    E, A, B, k, gamma, C, t_params, t_tokens : array_like
        As in `bayescale.laws.mixture_joint` (Shukor et al. (2025), arXiv:2507.09404), but A and B
        at N_0 and D_0.
    s_params, s_tokens : array_like
        Leanings :math:`s^N, s^D` of the logs of the exponents towards each corpus.
    alpha_0, beta_0 : array_like
        Exponents of N and D of a mixture whose leanings are 0.
    r_params, r_tokens : array_like
        :math:`\alpha_0 \log N_0` and :math:`\beta_0 \log D_0`; N_0, D_0 are those of the reference
        run.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled as there; ``alpha`` and ``beta`` are those of the mean mixture, and amplitudes lean at
    the reference run, whatever exponents do.
    """
    by_params = (alpha_0 * np.log(params) - r_params) * np.exp(total(s_params * w, "w"))
    by_tokens = (beta_0 * np.log(tokens) - r_tokens) * np.exp(total(s_tokens * w, "w"))
    own = {"E": E, "A": A, "B": B, "k": k, "gamma": gamma, "C": C, "alpha": 1.0, "beta": 1.0}
    leanings = {"t_params": t_params, "t_tokens": t_tokens}
    return mixture_joint(np.exp(by_params), np.exp(by_tokens), w, **own, **leanings)
