"""Accuracy of a task, of its loss: a sigmoid from a floor near chance to 1 at no loss."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    ACCURACY,
    AXIS,
    POSITIVE,
    REAL,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)
from bayescale.laws.task_accuracy import CHANCE, guessing


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level and sharpness at the reference loss to the slope and the middle of the sigmoid."""
    lost = np.exp(sampled["level"])
    k = (1.0 + sampled["sharpness"]) * lost / reference[0]
    beyond = sampled["sharpness"] * lost  # k x + log Q: by how much it is no exponential
    log_odds = np.log(-np.expm1(-lost)) - np.log(-np.expm1(-beyond)) - beyond
    return {"k": k, "x0": -log_odds / k, "luck": sampled["luck"]}


def _softplus(z: Any) -> Any:
    return positive_part(z) + np.log1p(np.exp(-abs(z)))


@law(
    response=ACCURACY,
    inputs=(AXIS, CHANCE),
    parameters={"k": POSITIVE, "x0": REAL, "luck": POSITIVE},
    coordinates=Coordinates({"level": REAL, "sharpness": POSITIVE, "luck": POSITIVE}, _to_natural),
    falls_along=("x",),
)
def loss_to_accuracy(x: Any, chance: Any, *, k: Any, x0: Any, luck: Any) -> Any:
    r"""Accuracy :math:`f + (1 - f) s(x) / s(0)`, where :math:`s(x) = 1 / (1 + e^{k (x - x_0)})`.

    The second of the two steps of Bhagia et al. (2024, arXiv:2412.04403), from the loss
    of a task to its accuracy, with both ends known: a model without loss is always right, and one
    that knows nothing guesses. They fit both ends; of runs near chance a free ceiling says nothing
    but that none of them has reached it.

    Parameters
    ----------
    x : array_like
        Loss: bits per byte of the right answers, or any loss of which 0 is the least.
    chance : array_like
        Accuracy c of guessing, 0 to less than 1.
    k : array_like
        Slope of the log odds, per unit of loss.
    x0 : array_like
        Loss at the middle of the sigmoid; far below 0 the law is exponential in the loss.
    luck : array_like
        How far the floor f, of a model that knows nothing, is off the chance level:
        `bayescale.laws.task_accuracy.guessing`.

    Returns
    -------
    array_like
        Accuracy, a share.

    Notes
    -----
    Sampled are ``level``, the log of -log Q at the reference loss, where Q = s(x) / s(0) is the
    share of the way from the floor to 1; ``sharpness``, by how much k is larger than that of the
    exponential through the same two points: k x = -(1 + sharpness) log Q; and luck.
    """
    floor = guessing(chance, luck)
    known = np.exp(_softplus(-k * x0) - _softplus(k * (x - x0)))
    return floor + (1.0 - floor) * known
