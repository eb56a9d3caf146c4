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

_SIZES = {"params": "alpha", "tokens": "beta"}
_LEANINGS = tuple(f"s_{name}" for name in _SIZES)
_KEPT = ("E", "A", "B", "k", "gamma", "C")


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Take `mixture_joint`'s, from leanings of the amplitudes at the reference run to those at 1.

    Where exponents lean, amplitudes at N = 1 lean by alpha s log N_0 more; to first order in the
    distance from the mean mixture.
    """
    shares = reference[2]
    own, natural = dict(sampled), {}
    for (name, exponent), size in zip(_SIZES.items(), reference, strict=False):
        towards = sampled[f"s_{name}"]
        more = sampled[exponent] * np.log(size) * towards
        own[f"t_{name}"] = sampled[f"t_{name}"] + more
        natural[f"t_{name}_0"] = own[f"t_{name}"]
        natural[f"{exponent}_0"] = sampled[exponent] * np.exp(-total(towards * shares, "w"))
        natural[f"s_{name}"] = towards
    joint = mixture_joint.to_natural(own, reference)
    return {**{name: joint[name] for name in _KEPT}, **natural}


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, mixture("w_")),
    parameters={
        **{name: mixture_joint.supports[name] for name in _KEPT},
        **dict.fromkeys(("alpha_0", "beta_0"), POSITIVE),
        **dict.fromkeys(("t_params_0", "t_tokens_0", *_LEANINGS), REAL.over("w")),
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
    alpha_0: Any,
    beta_0: Any,
    t_params_0: Any,
    t_tokens_0: Any,
    s_params: Any,
    s_tokens: Any,
) -> Any:
    r"""Joint law of a mixture that moves exponents as well as amplitudes.

    `mixture_joint` with :math:`\alpha_h = \alpha_0 e^{s^N \cdot h}` and
    :math:`\beta_h = \beta_0 e^{s^D \cdot h}`. It asks of runs whether composition moves exponents:
    where it does not predict left-out runs better, amplitudes alone say as much.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    w : array_like
        Shares h of the corpora, which sum to 1; :math:`10^{-4}` is added to each in O.
    E, A, B, k, gamma, C : array_like
        As in `bayescale.laws.mixture_joint` (Shukor et al. (2025), arXiv:2507.09404).
    alpha_0, beta_0 : array_like
        Exponents of N and D of a mixture whose leanings are 0.
    t_params_0, t_tokens_0 : array_like
        Leanings of the amplitudes, at N = 1 and at D = 1.
    s_params, s_tokens : array_like
        Leanings :math:`s^N, s^D` of the logs of the exponents towards each corpus.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled as there; ``alpha`` and ``beta`` are those of the mean mixture, ``t_params`` and
    ``t_tokens`` the leanings of the amplitudes at the reference run.
    """
    alpha = alpha_0 * np.exp(total(s_params * w, "w"))
    beta = beta_0 * np.exp(total(s_tokens * w, "w"))
    own = {"E": E, "A": A, "B": B, "k": k, "gamma": gamma, "C": C, "alpha": alpha, "beta": beta}
    return mixture_joint(params, tokens, w, **own, t_params=t_params_0, t_tokens=t_tokens_0)
