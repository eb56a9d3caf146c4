"""Loss of active parameters, tokens and the number of experts."""

from bayescale.laws import LOSS, POSITIVE, TOKENS, Coordinates, context, law, size
from bayescale.laws.chinchilla import chinchilla


def _to_natural(sampled, reference, function):
    active, tokens, experts = reference
    worth = active * experts ** sampled["gain"]
    return {**chinchilla.to_natural(sampled, (worth, tokens)), "gain": sampled["gain"]}


@law(
    response=LOSS,
    inputs=(size("active_params"), TOKENS, context("experts")),
    parameters={**chinchilla.supports, "gain": POSITIVE},
    coordinates=Coordinates({**chinchilla.coordinates.supports, "gain": POSITIVE}, _to_natural),
)
def experts_law(active_params, tokens, experts, *, E, A, B, alpha, beta, gain):
    r"""Joint law of the parameters that a token meets, worth more with more experts.

    .. math:: L = E + A (N e^g)^{-\alpha} + B D^{-\beta}
    """
    return chinchilla(active_params * experts**gain, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta)
