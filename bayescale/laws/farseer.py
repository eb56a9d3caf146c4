"""The law of Li et al. (2025): a power law in D, whose floor, amplitude and exponent bend in N."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bayescale.laws.law import (
    LOSS,
    PARAMS,
    POSITIVE,
    REAL,
    TOKENS,
    UNIT,
    Allocation,
    Coordinates,
    Function,
    Values,
    law,
    positive_part,
)

_SAMPLED = {
    **{"level": REAL, "reducible": UNIT, "alpha": POSITIVE, "beta": POSITIVE},
    **dict.fromkeys(("amplitude_slope", "exponent_slope"), REAL),
    **dict.fromkeys(("floor_bend", "amplitude_bend", "exponent_bend"), REAL),
}
_NO_BEND = 1e-8
"""Stands for c = 0, where a N^c + b is a straight line in log N and neither a nor b is finite."""

_RATIOS = (1e-2, 1e9)
"""Tokens per parameter between which the best size for a budget is looked for."""

_SIZES = (1e3, 1e15)
"""Params between which the best size for a loss is looked for."""

_GRID, _HALVINGS = 30, 35


def _to_natural(sampled: Values, reference: tuple[Any, ...], function: Function) -> dict[str, Any]:
    """Value, slope and bend in log N of three logs at the reference run, to their a, b and c."""
    log_params, log_tokens = np.log(reference[0]), np.log(reference[1])
    reducible, beta = sampled["reducible"], sampled["beta"]
    by_exponent = sampled["exponent_slope"]
    log_floor = sampled["level"] + np.log1p(-reducible)
    # The law states the amplitude at one token, runs know it at the tokens that they saw.
    log_B = sampled["level"] + np.log(reducible) + beta * log_tokens
    slope_B = sampled["amplitude_slope"] + beta * by_exponent * log_tokens
    bend_B = sampled["exponent_bend"] + by_exponent + sampled["amplitude_bend"]
    natural: dict[str, Any] = {}
    for number, value, slope, bend in (
        (1, np.log(beta), by_exponent, sampled["exponent_bend"]),
        (2, log_B, slope_B, bend_B),
        (3, log_floor, -sampled["alpha"], sampled["floor_bend"]),
    ):
        c = bend + _NO_BEND
        natural[f"a{number}"] = slope / c * np.exp(-c * log_params)
        natural[f"b{number}"] = value - slope / c
        natural[f"c{number}"] = c
    return natural


def _bent(number: int, log_params: Any, natural: Values) -> tuple[Any, Any]:
    """Return a N^c + b and its slope in log N."""
    a, b, c = (natural[f"{name}{number}"] for name in "abc")
    power = a * np.exp(c * log_params)
    return power + b, c * power


def _slope_ratio(log_params: Any, log_tokens: Any, natural: Values) -> Any:
    """Slope of the loss in log N over that in log D."""
    (log_A, slope_A), (log_B, slope_B), (log_floor, slope) = (
        _bent(number, log_params, natural) for number in (1, 2, 3)
    )
    exponent = np.exp(log_A)
    over_reducible = np.exp(log_floor - log_B + exponent * log_tokens)
    by_params = slope * over_reducible + slope_B - slope_A * exponent * log_tokens
    return -by_params / exponent


def _balanced(
    tokens_of: Callable[[Any], Any], low: Any, high: Any, natural: Values
) -> tuple[Any, Any]:
    """Log of the least size from which on tokens are worth more than params, and where it exists.

    `tokens_of` gives log D of log N; sizes lie between `low` and `high`. The least, because the law
    has another such size, of hardly any tokens, beyond which the loss falls without end.
    """

    def large(log_params: Any) -> Any:
        return _slope_ratio(log_params, tokens_of(log_params), natural) <= 1

    with np.errstate(over="ignore", invalid="ignore"):
        step, beyond = (high - low) / _GRID, large(low)
        below, found = low, beyond
        for _ in range(_GRID):
            found = found | large(below + step)
            below = below + step * ~found
        above = below + step
        for _ in range(_HALVINGS):
            middle = (below + above) / 2
            is_large = large(middle)
            below = below + (middle - below) * ~is_large
            above = above - (above - middle) * is_large
    return below, found & ~beyond


def _only(where: Any, value: Any) -> Any:
    """Return the value where that holds, NaN elsewhere."""
    with np.errstate(invalid="ignore"):
        return value * ((1.0 * where) / where)


def _compute_optimal(flops: Any, k: float, **natural: Any) -> Any:
    """N* for C = kND, by search: no closed form. NaN where the loss has no minimum there."""
    total = np.log(flops / k)
    low, high = ((total - np.log(ratio)) / 2 for ratio in reversed(_RATIOS))
    log_params, found = _balanced(lambda log_params: total - log_params, low, high, natural)
    return _only(found, np.exp(log_params))


def _compute(loss: Any, k: float, **natural: Any) -> Any:
    """Return kND of the model that is best for a loss, whose tokens have a closed form."""

    def tokens_of(log_params: Any) -> Any:
        (log_A, _), (log_B, _), (log_floor, _) = (
            _bent(number, log_params, natural) for number in (1, 2, 3)
        )
        reducible = positive_part(loss - np.exp(log_floor))
        return (log_B - np.log(reducible)) / np.exp(log_A)

    low, high = np.log(_SIZES)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_params, found = _balanced(tokens_of, low, high, natural)
        unreached = np.exp(_bent(3, high, natural)[0]) >= loss  # there the tokens are infinite
        return _only(found | unreached, k * np.exp(log_params + tokens_of(log_params)))


@law(
    response=LOSS,
    inputs=(PARAMS, TOKENS),
    parameters=dict.fromkeys((f"{name}{number}" for number in "123" for name in "abc"), REAL),
    coordinates=Coordinates(_SAMPLED, _to_natural),
    allocation=Allocation(optimum=_compute_optimal, compute=_compute),
)
def farseer(
    params: Any,
    tokens: Any,
    *,
    a1: Any,
    b1: Any,
    c1: Any,
    a2: Any,
    b2: Any,
    c2: Any,
    a3: Any,
    b3: Any,
    c3: Any,
) -> Any:
    r"""Farseer law :math:`L(N, D) = e^{a_3 N^{c_3} + b_3} + e^{a_2 N^{c_2} + b_2} D^{-A(N)}`.

    Li et al. (2025), "Predictable Scale: Part II, Farseer", arXiv:2506.10972, with the exponent
    :math:`A(N) = e^{a_1 N^{c_1} + b_1}`: for every size a power law in D with a floor, whose three
    constants change with N, each along a curve of its own.

    Nine constants need about 400 runs at many sizes and many tokens each, as the paper has them.
    With fewer the priors shape the answer; `coupled` bends as well, and has six.

    Beyond the runs it is a curve fitted to them and no more: with N the exponent A may fall to
    nothing, so that far too few tokens cost nothing. So the compute-optimal size is the smallest
    that is best among its neighbours; there is no closed form.

    Parameters
    ----------
    params, tokens : array_like
        N, without embeddings in the paper, and D, counts.
    a1, b1, c1 : array_like
        Of the log of the exponent of D.
    a2, b2, c2 : array_like
        Of the log of what finite D costs at D = 1; losses in nats per token, in the paper in bits
        per character.
    a3, b3, c3 : array_like
        Of the log of the floor, the loss on endless tokens.

    Returns
    -------
    array_like
        Loss, nats per token.

    Notes
    -----
    The constants trade off against each other over many orders of magnitude. Sampled is what runs
    pin down, at the reference run :math:`N_0, D_0`, with :math:`n = \log(N/N_0)` and
    :math:`g(n; s, c) = s (e^{cn} - 1)/c`, a curve through 0 with slope s there, straight for c = 0:

    .. math::

        \log \text{floor} &= \log L_0 (1-\phi) + g(n; -\alpha, c_3) \\
        \log A &= \log \beta + g(n; s_A, c_1) \\
        \log B &= \log L_0 \phi + \beta \log D_0 + g(n; s_B + \beta s_A \log D_0, c_2)

    * ``level`` and ``reducible``: log of the loss :math:`L_0`, and its share :math:`\phi` that more
      tokens would remove,
    * ``beta``: exponent of D; ``alpha``: of N, in the floor,
    * ``amplitude_slope``, :math:`s_B`: slope in log N of the log of what finite tokens cost at
      :math:`D_0`; ``exponent_slope``, :math:`s_A`: of the log of the exponent,
    * ``floor_bend`` :math:`= c_3` and ``exponent_bend`` :math:`= c_1`,
    * ``amplitude_bend`` :math:`= c_2 - c_1 - s_A`. Without it, and with :math:`s_B = 0`, the
      amplitude at :math:`D_0` is not curved, in whatever unit tokens are counted; :math:`c_2`
      itself would follow :math:`c_1` along a ridge that turns with :math:`s_A`.
    """
    exponent = np.exp(a1 * params**c1 + b1)
    reducible = np.exp(a2 * params**c2 + b2 - exponent * np.log(tokens))
    return np.exp(a3 * params**c3 + b3) + reducible
