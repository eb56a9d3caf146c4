"""Loss against the mixture of the training data, exponential in the shares."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    LOSS,
    POSITIVE,
    REAL,
    UNIT,
    Coordinates,
    Function,
    Values,
    law,
    mixture,
    total,
)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level, and the share of it that mixtures decide, to floor and amplitude."""
    (shares,), level = reference, np.exp(sampled["level"])
    decided = level * sampled["reducible"]
    return {
        "E": level - decided,
        "K": decided * np.exp(-total(sampled["t"] * shares, "w")),
        "t": sampled["t"],
    }


@law(
    response=LOSS,
    inputs=(mixture("w_"),),
    parameters={"E": POSITIVE, "K": POSITIVE, "t": REAL.over("w")},
    coordinates=Coordinates({"level": REAL, "reducible": UNIT, "t": REAL.over("w")}, _to_natural),
)
def mixture_exponential(w: Any, *, E: Any, K: Any, t: Any) -> Any:
    r"""Exponential law of mixtures :math:`L(h) = E + K e^{\sum_j t_j h_j}`.

    Ye et al. (2024), "Data Mixing Laws", arXiv:2403.16952, equation 1: for runs of one size and one
    number of tokens. A baseline: it says that the first percent of a corpus is worth as much as any
    other, and mixtures that leave a corpus out are predicted worse than by `power_sum_mixture`.

    Parameters
    ----------
    w : array_like
        Shares h of the corpora, which sum to 1.
    E : array_like
        Loss that no mixture removes, nats per token.
    K : array_like
        What mixtures decide, where all t are 0, nats per token.
    t : array_like
        Of each corpus; negative where it teaches the target.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    Sampled are ``level``, log of the loss of the mean mixture, ``reducible``, the share of it that
    mixtures decide, and t. A constant added to all t changes nothing, and is left to the prior.
    """
    return E + K * np.exp(total(t * w, "w"))
