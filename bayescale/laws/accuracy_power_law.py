"""Accuracy of a task along any one axis: a power law of minus the log of what is known."""

from typing import Any

import numpy as np

from bayescale.laws.law import ACCURACY, AXIS, POSITIVE, REAL, Coordinates, Function, Values, law
from bayescale.laws.task_accuracy import CHANCE, guessing


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level: log of -log Q at the reference run."""
    amplitude = np.exp(sampled["level"] + sampled["gamma"] * np.log(reference[0]))
    return {"A": amplitude, "gamma": sampled["gamma"], "luck": sampled["luck"]}


@law(
    response=ACCURACY,
    inputs=(AXIS, CHANCE),
    parameters=dict.fromkeys(("A", "gamma", "luck"), POSITIVE),
    coordinates=Coordinates({"level": REAL, "gamma": POSITIVE, "luck": POSITIVE}, _to_natural),
)
def accuracy_power_law(x: Any, chance: Any, *, A: Any, gamma: Any, luck: Any) -> Any:
    r"""Accuracy :math:`c' + (1 - c') Q`, where :math:`-\log Q = A x^{-\gamma}`.

    The law `task_accuracy` along one axis, such as compute of runs of one ratio of tokens to
    parameters, or parameters where all runs have as many tokens. Ruan et al. (2024),
    arXiv:2405.10938, fit accuracies along compute by a logistic curve, which is another one.

    Parameters
    ----------
    x : array_like
        Any one axis: flops, params, tokens, ...
    chance : array_like
        Accuracy c of guessing, 0 to less than 1.
    A : array_like
        Nats of -log Q at x = 1.
    gamma : array_like
        Exponent.
    luck : array_like
        What a model that knows nothing gets right, c' (`bayescale.laws.task_accuracy`).

    Returns
    -------
    array_like
        Accuracy, a share.
    """
    least = guessing(chance, luck)
    return least + (1.0 - least) * np.exp(-A * x**-gamma)
