"""Error of a task, of a loss: exponential below an error that is never exceeded."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    ACCURACY,
    AXIS,
    POSITIVE,
    REAL,
    UNIT,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)

_MOST = 1.0 - 1e-9  # accuracy: beyond it the law is no probability


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Level: log of -log of the share of eps that is gone at the reference loss."""
    log_gone = np.log(sampled["eps"]) - np.exp(sampled["level"])
    k = np.exp(log_gone + sampled["decay"])
    return {"eps": sampled["eps"], "k": k, "gamma": sampled["decay"] / reference[0]}


@law(
    response=ACCURACY,
    inputs=(AXIS,),
    parameters={"eps": UNIT, "k": POSITIVE, "gamma": POSITIVE},
    coordinates=Coordinates({"level": REAL, "eps": UNIT, "decay": POSITIVE}, _to_natural),
    falls_along=("x",),
)
def exponential_error(x: Any, *, eps: Any, k: Any, gamma: Any) -> Any:
    r"""Accuracy :math:`1 - \epsilon + k e^{-\gamma x}`: error exponential in the loss.

    Gadre et al. (2024), arXiv:2403.08540, of the average error of many tasks. Nothing
    holds it to 1 at low losses: where the formula exceeds 1 the accuracy is 1.

    Parameters
    ----------
    x : array_like
        Validation loss.
    eps : array_like
        Error of a model that knows nothing.
    k : array_like
        Error that is gone at a loss of 0, by the formula.
    gamma : array_like
        Decay, per unit of loss.

    Returns
    -------
    array_like
        Accuracy, a share.

    Notes
    -----
    Sampled are ``level``, the log of -log of the share of eps that is gone at the reference loss;
    eps; and ``decay``, gamma times the reference loss.
    """
    accuracy = 1.0 - eps + k * np.exp(-gamma * x)
    return accuracy - positive_part(accuracy - _MOST)
