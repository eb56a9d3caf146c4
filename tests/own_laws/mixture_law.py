"""Loss of D and of the mixture of the data."""

import numpy as np

from bayescale.laws import LOSS, POSITIVE, REAL, TOKENS, UNIT, Coordinates, law, mixture, total

_FLOOR = 1e-3  # a part that is left out still has a little of every other


def _to_natural(sampled, reference, function):
    level = np.exp(sampled["level"])
    natural = {name: sampled[name] for name in ("beta", "gamma", "worth")}
    term = function(*reference, **natural, E=0.0, B=1.0)
    return {
        **natural,
        "E": level * (1 - sampled["reducible"]),
        "B": level * sampled["reducible"] / term,
    }


@law(
    response=LOSS,
    inputs=(TOKENS, mixture("w_")),
    parameters={
        **dict.fromkeys(("E", "B", "beta", "gamma"), POSITIVE),
        "worth": REAL.over("w"),
    },
    coordinates=Coordinates(
        {
            **{"level": REAL, "reducible": UNIT, "beta": POSITIVE, "gamma": UNIT},
            "worth": REAL.over("w"),
        },
        _to_natural,
    ),
)
def mixture_law(tokens, w, *, E, B, beta, gamma, worth):
    r"""Power law in D whose amplitude is an inverse sum of powers of the shares.

    .. math:: L = E + B D^{-\beta} / \sum_j e^{t_j} w_j^\gamma
    """
    useful = total(np.exp(worth + gamma * np.log(w + _FLOOR)), "w")
    return E + B * tokens**-beta / useful
