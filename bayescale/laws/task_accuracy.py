"""Accuracy of a task, of parameters and tokens: a joint law of minus the log of what is known."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    ACCURACY,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    UNIT,
    Allocation,
    Coordinates,
    Function,
    Values,
    context,
    law,
    positive_part,
)

CHANCE = context("chance", scale="share")
"""Share of the items that guessing gets right."""


_LUCK = 0.003  # odds of what cannot be guessed and is right all the same
_OF_GUESSING = (
    0.1  # power of luck on the odds of guessing: luck of e is 2 points at a chance of .25
)


def guessing(chance: Any, luck: Any) -> Any:
    r"""Accuracy of a model that knows nothing, near the chance level.

    Its odds are :math:`\frac{c}{1-c} \ell^{0.1} + 0.003 \ell`: models that know nothing miss the
    chance level of a task by some points, for they prefer some answers, and get some right of what
    cannot be guessed.

    Parameters
    ----------
    chance : array_like or tensor
        Chance level c, 0 to less than 1.
    luck : array_like or tensor
        Positive; 1 is the chance level itself, but for what cannot be guessed.

    Returns
    -------
    array_like or tensor
        A share.
    """
    odds = chance / (1.0 - chance) * luck**_OF_GUESSING + _LUCK * luck
    return odds / (1.0 + odds)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level: log of A N^-alpha + B D^-beta at the reference run; N has the share `split` of it."""
    total, own = np.exp(sampled["level"]), sampled["split"]
    params, tokens, _ = reference
    return {
        "A": total * own * np.exp(sampled["alpha"] * np.log(params)),
        "B": total * (1.0 - own) * np.exp(sampled["beta"] * np.log(tokens)),
        "alpha": sampled["alpha"],
        "beta": sampled["beta"],
        "luck": sampled["luck"],
    }


def _compute_optimal(
    flops: Any, k: float, *, chance: Any, A: Any, B: Any, alpha: Any, beta: Any, luck: Any
) -> Any:
    r"""N* = G (C/k)^{β/(α+β)}, G = (αA/βB)^{1/(α+β)}: as of a loss, whatever the chance level."""
    total = alpha + beta
    return (alpha * A / (beta * B)) ** (1 / total) * (flops / k) ** (beta / total)


def _compute(
    accuracy: Any, k: float, *, chance: Any, A: Any, B: Any, alpha: Any, beta: Any, luck: Any
) -> Any:
    r"""Invert -log Q*(C) = K (C/k)^{-γ}, γ = αβ/(α+β); 0 up to guessing, infinite from 1 on."""
    log_G = (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)
    log_K = np.log(A) - alpha * log_G + np.log1p(alpha / beta)
    least = guessing(chance, luck)
    with np.errstate(divide="ignore", over="ignore"):
        left = -np.log(np.minimum(positive_part(accuracy - least) / (1.0 - least), 1.0))
        return k * np.exp((log_K - np.log(left)) * (1 / alpha + 1 / beta))


@law(
    response=ACCURACY,
    inputs=(PARAMS, TOKENS, CHANCE),
    parameters=dict.fromkeys(("A", "B", "alpha", "beta", "luck"), POSITIVE),
    coordinates=Coordinates(
        {"level": REAL, "split": UNIT, **dict.fromkeys(("alpha", "beta", "luck"), POSITIVE)},
        _to_natural,
    ),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def task_accuracy(
    params: Any, tokens: Any, chance: Any, *, A: Any, B: Any, alpha: Any, beta: Any, luck: Any
) -> Any:
    r"""Accuracy :math:`c' + (1 - c') Q`, where :math:`-\log Q = A N^{-\alpha} + B D^{-\beta}`.

    c' is near the chance level c (`guessing`). Q is the share of the items that a model knows
    beyond guessing. Minus its log is a joint law of loss without an irreducible part, equation 2
    of Hoffmann et al. (2022) with E = 0: accuracy tends to 1. Where an answer needs L tokens right
    in a row, Q is a product of L shares, so A and B are L times as large and the exponents stay: a
    task that "emerges" has a long answer, and no other law; see Schaeffer et al. (2023),
    arXiv:2304.15004.

    Parameters
    ----------
    params, tokens : array_like
        N and D, counts.
    chance : array_like
        Accuracy c of guessing, 0 to less than 1.
    A, B : array_like
        Nats of -log Q due to finite N at N = 1 and to finite D at D = 1.
    alpha, beta : array_like
        Exponents of N and D.
    luck : array_like
        What a model that knows nothing gets right (`guessing`): c where luck is 1, but for what
        cannot be guessed.

    Returns
    -------
    array_like
        Accuracy, a share.

    Notes
    -----
    Sampled are ``level``, the log of -log Q at the reference run; ``split``, the share of -log Q
    there that is due to finite N; alpha, beta and luck.
    """
    least = guessing(chance, luck)
    return least + (1.0 - least) * np.exp(-(A * params**-alpha + B * tokens**-beta))
