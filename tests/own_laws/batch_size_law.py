"""Best batch size of tokens: a power law that rises."""

import numpy as np

from bayescale.laws import POSITIVE, REAL, TOKENS, Coordinates, law, quantity


def _to_natural(sampled, reference, function):
    level = np.exp(sampled["level"])
    return {"b": level * reference[0] ** -sampled["power"], "power": sampled["power"]}


@law(
    response=quantity("batch_size", "sequences"),
    inputs=(TOKENS,),
    parameters={"b": POSITIVE, "power": POSITIVE},
    coordinates=Coordinates({"level": REAL, "power": POSITIVE}, _to_natural),
    rises_along=("tokens",),
)
def batch_size_law(tokens, *, b, power):
    r"""Rising power law :math:`B(D) = b D^p`."""
    return b * tokens**power
