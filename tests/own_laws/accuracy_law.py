"""Accuracy of compute, from chance to 1."""

import numpy as np

from bayescale.laws import ACCURACY, AXIS, POSITIVE, REAL, Coordinates, context, law


def _to_natural(sampled, reference, function):
    half = np.log(reference[0]) - sampled["level"] / sampled["slope"]
    return {"half": np.exp(half), "slope": sampled["slope"]}


@law(
    response=ACCURACY,
    inputs=(AXIS, context("chance", scale="linear")),
    parameters={"half": POSITIVE, "slope": POSITIVE},
    coordinates=Coordinates({"level": REAL, "slope": POSITIVE}, _to_natural),
    rises_along=("x",),
)
def accuracy_law(x, chance, *, half, slope):
    r"""Logistic curve in log x from chance to 1.

    .. math:: a = c + (1 - c) / (1 + (x / x_{half})^{-s})
    """
    rise = 0.5 * (1 + np.tanh(0.5 * slope * np.log(x / half)))
    return chance + (1 - chance) * rise
