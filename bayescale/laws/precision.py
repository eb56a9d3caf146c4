"""What quantisation after training adds to the loss, over the bits of a weight."""

from typing import Any

import numpy as np

from bayescale.laws.law import (
    PARAMS,
    REAL,
    TOKENS,
    Coordinates,
    Function,
    Values,
    context,
    law,
    quantity,
)

_SLOPES = dict.fromkeys(("b", "gamma_D", "gamma_N"), REAL)


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Let exp(level) be what quantisation adds at the reference run."""
    slopes = {name: sampled[name] for name in _SLOPES}
    return {"c": sampled["level"] - np.log(function(*reference, c=0.0, **slopes)), **slopes}


@law(
    response=quantity("loss_increase", "nats per token", better="lower"),
    inputs=(PARAMS, TOKENS, context("bits_per_weight")),
    parameters={"c": REAL, **_SLOPES},
    coordinates=Coordinates({"level": REAL, **_SLOPES}, _to_natural),
    rises_along=("tokens",),
    may_hold=True,  # one model is the usual table
)
def precision(
    params: Any,
    tokens: Any,
    bits_per_weight: Any,
    *,
    c: Any,
    b: Any,
    gamma_D: Any,
    gamma_N: Any,
) -> Any:
    r"""Loss added by quantisation :math:`\Delta = e^{c - b P} D^{\gamma_D} N^{-\gamma_N}`.

    Kumar et al. (2024), "Scaling Laws for Precision", arXiv:2411.04330, of quantisation after
    training; there :math:`b = 1/\gamma_{post}`. Models trained longer have more to lose. For one
    model it is :math:`\Delta = e^{c' - b P}`: a bit less multiplies what is lost by :math:`e^b`.
    Where the loss is quadratic in the error of a weight, and a bit less doubles that error,
    :math:`b = 2 \ln 2`.

    Parameters
    ----------
    params, tokens : array_like
        N and D of the model, counts.
    bits_per_weight : array_like
        P, the mean over all weights: bits of the file over parameters.
    c : array_like
        Log of what is added at no bits, N = 1 and D = 1.
    b : array_like
        Per bit.
    gamma_D, gamma_N : array_like
        Exponents of tokens and of params.

    Returns
    -------
    array_like
        What is added to the loss of the model as it was trained, nats per token.

    Notes
    -----
    Sampled are ``level``, log of what is added at the reference run, and the slopes.
    """
    log_size, log_data = np.log(params), np.log(tokens)
    return np.exp(c - b * bits_per_weight + gamma_D * log_data - gamma_N * log_size)
