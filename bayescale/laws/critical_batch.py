"""Steps to a target loss over the batch size: the critical batch size."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    AXIS,
    POSITIVE,
    REAL,
    Coordinates,
    Function,
    Values,
    law,
    quantity,
)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Take exp(level) steps at the reference batch, and B_noise as that times 10 to the place."""
    times = np.exp(np.log(10.0) * sampled["place"])
    return {"S_min": np.exp(sampled["level"]) / (1.0 + times), "B_noise": reference[0] * times}


def _guess(inputs: tuple[Any, ...], observed: Any, reference: tuple[Any, ...]) -> dict[str, float]:
    """Least steps and least examples of the runs of one group, each of them a little too many."""
    batch, steps = inputs[0], np.exp(observed)
    noise = float((steps * batch).min() / steps.min())
    level = np.median(observed - np.log1p(noise / batch)) + np.log1p(noise / reference[0])
    return {"level": float(level), "place": float(np.log10(noise / reference[0]))}


@law(
    response=quantity("steps", better="lower"),
    inputs=(AXIS,),
    parameters=dict.fromkeys(("S_min", "B_noise"), POSITIVE),
    coordinates=Coordinates({"level": REAL, "place": REAL}, _to_natural, _guess),
)
def critical_batch(x: Any, *, S_min: Any, B_noise: Any) -> Any:
    r"""Critical batch size, of steps to a target loss :math:`S(B) = S_{min} (1 + B_{noise} / B)`.

    McCandlish et al. (2018), arXiv:1812.06162; Kaplan et al. (2020), arXiv:2001.08361, equation
    5.1: with E = S B tokens or sequences it is :math:`(S / S_{min} - 1)(E / E_{min} - 1) = 1`, and
    :math:`B_{noise} = E_{min} / S_{min}` is the batch size at which both are twice their least.
    Far below it twice the batch takes half the steps, far above it as many.

    Parameters
    ----------
    x : array_like
        Batch size B, in tokens or sequences.
    S_min : array_like
        Steps that no batch goes below.
    B_noise : array_like
        Critical batch size, in units of `x`.

    Returns
    -------
    array_like
        Steps.

    Notes
    -----
    Sampled are ``level``, log of the steps at the reference run, whose batch is the geometric mean
    of all; and ``place``, decades from that batch to B_noise.
    """
    return S_min * (1.0 + B_noise / x)
