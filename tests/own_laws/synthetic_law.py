"""Loss of D tokens of which a share is synthetic."""

import numpy as np

from bayescale.laws import LOSS, POSITIVE, REAL, TOKENS, UNIT, Coordinates, context, law


def _to_natural(sampled, reference, function):
    level, natural = np.exp(sampled["level"]), {n: sampled[n] for n in ("beta", "worth")}
    term = function(*reference, **natural, E=0.0, B=1.0)
    E, B = level * (1 - sampled["reducible"]), level * sampled["reducible"] / term
    return {**natural, "E": E, "B": B}


@law(
    response=LOSS,
    inputs=(TOKENS, context("synthetic_share", scale="share")),
    parameters=dict.fromkeys(("E", "B", "beta", "worth"), POSITIVE),
    coordinates=Coordinates(
        {"level": REAL, "reducible": UNIT, "beta": POSITIVE, "worth": POSITIVE}, _to_natural
    ),
)
def synthetic_law(tokens, synthetic_share, *, E, B, beta, worth):
    """Power law of tokens, of which a synthetic one is worth `worth` others."""
    return E + B * (tokens * (1 - synthetic_share + worth * synthetic_share)) ** -beta
