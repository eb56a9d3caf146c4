"""Loss of N, D and a learning rate."""

import numpy as np

from bayescale.laws import LOSS, PARAMS, POSITIVE, REAL, TOKENS, Coordinates, knob, law
from bayescale.laws.chinchilla import chinchilla


def _to_natural(sampled, reference, function):
    natural = chinchilla.to_natural(sampled, reference[:2])
    peak = reference[2] * np.exp(sampled["log_peak"])
    return {**natural, "peak": peak, "width": sampled["width"]}


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS, knob("learning_rate")),
    parameters={**chinchilla.supports, "peak": POSITIVE, "width": POSITIVE},
    coordinates=Coordinates(
        {**chinchilla.coordinates.supports, "log_peak": REAL, "width": POSITIVE}, _to_natural
    ),
    minimum_along=("learning_rate",),
)
def learning_rate_law(params, tokens, learning_rate, *, E, A, B, alpha, beta, peak, width):
    r"""Joint law times a bowl in the log of the learning rate.

    .. math:: L = (E + A N^{-\alpha} + B D^{-\beta}) (1 + (\log(\eta / \eta^*) / w)^2)
    """
    best = chinchilla(params, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta)
    return best * (1 + (np.log(learning_rate / peak) / width) ** 2)
