r"""Which value of a setting is best for a size, and how far off it may be, per draw.

By the law :math:`L = (E + A N^{-\alpha} + B D^{-\beta}) e^{b(x, N)}` of `bayescale.laws`
(``shape_basin``), whose bowl b has its minimum at :math:`x^* = G N^\eta`. A loss within a share s
of the least one is where :math:`b \le \log(1 + s)`, an interval about :math:`x^*`. What a value
costs in tokens follows from the same law: the tokens D' that make up for it solve

.. math::

    (E + A N^{-\alpha} + B D'^{-\beta}) e^{b} = E + A N^{-\alpha} + B D^{-\beta}

and there are none where the value costs more than all that D has left to give.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, Quantity, distance, interval_of, number_of
from bayescale.decisions.prices import require_positive
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws.bowl import rise
from bayescale.posterior.fit import Fit
from bayescale.runs.range import axis_range, decades_beyond

WITHIN = (0.005, 0.01)
"""Shares of the loss that a value may cost."""

LAW = "shape_basin"
"""Law of the loss along a setting whose best value follows the size."""

_WIDEST, _HALVINGS = 60.0, 50  # log of the factor within which an edge is looked for; bisections
_SURE = 0.9  # probability from which on a direction is told


@typed
def setting_basin(
    fit: Fit,
    params: float | Sequence[float],
    *,
    within: Sequence[float] = WITHIN,
    planned: float | Sequence[float] = (),
    tokens: float | None = None,
) -> xr.Dataset:
    """Best value of the setting at each size, the values nearly as good, and what others cost.

    Parameters
    ----------
    fit : Fit
        Of the model ``shape-basin`` or ``shape-basin-hierarchical``.
    params : float or sequence of float
        Sizes N, counted as the runs count them.
    within : sequence of float, optional
        Shares of the loss, above 0 and below 1.
    planned : float or sequence of float, optional
        Values of the setting to judge.
    tokens : float, optional
        Of the planned run; by default the most that a run has. Only costs in tokens depend on it.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw, ``params``, ``within`` and ``planned``:

        * ``best`` (chain, draw, params): value of the least loss.
        * ``lower``, ``upper`` (chain, draw, params, within): ends of the values that cost no more.
        * ``cost`` (chain, draw, params, planned): share of the loss that a value costs.
        * ``tokens_cost`` (chain, draw, params, planned): share of the tokens that would make up for
          it, beside those planned; infinite where none would.
        * ``exponent``, ``curvature_exponent`` (chain, draw): of the best value, and of the
          curvature of the bowl, in N.

        Attributes ``setting`` and ``tokens``.

    Raises
    ------
    FitError
        For a fit of another law, or a size, share or value that is not possible.
    """
    natural, sizes = _natural(fit), _axis("params", params)
    shares, values = _axis("within", within), _axis("planned", planned)
    for name, asked in (("a size", sizes), ("a planned value", values)):
        for value in asked.to_numpy():
            require_positive(name, float(value))
    for share in shares.to_numpy():
        if not 0 < share < 1:
            raise FitError(
                f"a share of the loss must be above 0 and below 1, got {share:g}; write 1% as 0.01"
            )
    tokens = axis_range(fit.runs, "tokens")[1] if tokens is None else tokens
    require_positive("the tokens", tokens)
    log_best = np.log(natural["G"]) + natural["eta"] * np.log(sizes)
    curvature = natural["K"] * np.exp(natural["kappa"] * np.log(sizes))
    skew = natural["asymmetry"]
    lower, upper = (
        xr.apply_ufunc(_edge, curvature, skew, np.log1p(shares), side) for side in (-1.0, 1.0)
    )
    rises = rise(np.log(values) - log_best, curvature, skew)
    return xr.Dataset(
        {
            "best": np.exp(log_best),
            "lower": np.exp(log_best + lower),
            "upper": np.exp(log_best + upper),
            "cost": np.expm1(rises),
            "tokens_cost": _tokens_cost(natural, sizes, tokens, rises),
            "exponent": natural["eta"],
            "curvature_exponent": natural["kappa"],
        },
        attrs={"setting": str(fit.spec.axis), "tokens": tokens},
    ).transpose("chain", "draw", "params", "within", "planned")


def _natural(fit: Fit) -> dict[str, Any]:
    """Parameters of the law; those that runs share an error of are those of any run.

    What is asked are ratios of losses, and the error of a run is a factor of all of its losses.
    """
    if fit.spec.law.name != LAW:
        raise FitError(
            f"the model {fit.spec.name} says no basin of a setting; fit "
            'load_model("shape-basin").along_axes(COLUMN), or shape-basin-hierarchical'
        )
    return (fit.of_group(fit.groups[0]) if fit.groups else fit).natural


def _axis(name: str, asked: float | Sequence[float]) -> xr.DataArray:
    values = np.atleast_1d(np.asarray(asked, dtype=float))
    return xr.DataArray(values, dims=name, coords={name: values})


def _edge(curvature: np.ndarray, skew: np.ndarray, height: np.ndarray, side: float) -> np.ndarray:
    """Find by bisection where the bowl has risen so high on one side: log x over its best value."""
    inner = np.zeros(np.broadcast_shapes(curvature.shape, skew.shape, height.shape))
    outer = inner + _WIDEST
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        higher = rise(side * middle, curvature, skew) > height
        inner, outer = np.where(higher, inner, middle), np.where(higher, middle, outer)
    return side * (inner + outer) / 2


def _tokens_cost(natural: dict[str, Any], params: Any, tokens: float, rises: Any) -> xr.DataArray:
    """Share of the tokens that make up for a rise of log loss, beside those planned."""
    others = natural["E"] + natural["A"] * params ** -natural["alpha"]
    of_data = natural["B"] * tokens ** -natural["beta"]
    left = (others + of_data) * np.exp(-rises) - others
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (left / of_data) ** (-1 / natural["beta"])
    return (factor - 1).where(left > 0, np.inf)


@typed
def answer_setting_basin(fit: Fit, found: xr.Dataset) -> Answer:
    """Say which values of a setting are good at a size, and what others cost.

    Parameters
    ----------
    fit : Fit
    found : xarray.Dataset
        What `setting_basin` returns of the fit.

    Returns
    -------
    Answer
        Numbers ``setting``, ``params_are``, ``exponent`` (of the best value in N), ``p_rises``
        (that it rises with N), ``curvature_exponent``, ``tokens`` (at which tokens are counted),
        ``seen`` (least and largest value of the runs) and ``basins``: for each size ``params``,
        ``decades_beyond``, ``best``, ``p_seen`` (that the best value lies among those of the runs),
        ``within`` (``excess``, ``lower``, ``upper``, ``width``, a factor) and ``planned``
        (``value``, ``cost`` and ``tokens_cost``, shares, and ``p_within``).
    """
    setting = found.attrs["setting"]
    exponent = found["exponent"]
    result = plain(
        {
            "setting": setting,
            "params_are": fit.runs.params_are,
            "exponent": numbers(exponent),
            "p_rises": float((exponent > 0).mean()),
            "curvature_exponent": numbers(found["curvature_exponent"]),
            "tokens": found.attrs["tokens"],
            "seen": list(axis_range(fit.runs, setting)),
            "basins": [_basin(fit, found.sel(params=size)) for size in found["params"].to_numpy()],
        }
    )
    sentences = [said for basin in result["basins"] for said in _basin_sentences(result, basin)]
    sentences += [_trend_sentence(result), _counting_sentence(result)]
    return Answer.by(fit, numbers=result, sentences=sentences, draws=found)


def _basin(fit: Fit, at: xr.Dataset) -> dict[str, Any]:
    """Numbers of one size."""
    low, high = axis_range(fit.runs, at.attrs["setting"])
    size, best = float(at["params"]), at["best"]
    return {
        "params": size,
        "decades_beyond": float(decades_beyond(fit.runs, params=size)),
        "best": numbers(best),
        "p_seen": float(((best >= low) & (best <= high)).mean()) if len(fit.runs) else None,
        "within": [
            {
                "excess": float(share),
                **{end: numbers(at[end].sel(within=share)) for end in ("lower", "upper")},
                "width": numbers((at["upper"] / at["lower"]).sel(within=share)),
            }
            for share in at["within"].to_numpy()
        ],
        "planned": [_planned(at.sel(planned=value)) for value in at["planned"].to_numpy()],
    }


def _planned(at: xr.Dataset) -> dict[str, Any]:
    cost = at["cost"]
    return {
        "value": float(at["planned"]),
        "cost": numbers(cost),
        "tokens_cost": numbers(at["tokens_cost"]),
        "p_within": [
            {"excess": float(share), "probability": float((cost <= share).mean())}
            for share in at["within"].to_numpy()
        ],
    }


def _basin_sentences(answer: dict[str, Any], basin: dict[str, Any]) -> list[str]:
    setting, size = words.spaced(answer["setting"]), words.trimmed(basin["params"])
    ranges = "; ".join(
        f"within {100 * own['excess']:g}% of the loss from {number_of(own['lower'], 2)} to "
        f"{number_of(own['upper'], 2)}"
        for own in basin["within"]
    )
    said = [f"At {size} parameters the best {setting} is {number_of(basin['best'])}; {ranges}."]
    if basin["p_seen"] is not None and basin["p_seen"] < _SURE:
        low, high = (words.significant(own) for own in answer["seen"])
        said.append(
            f"It lies among the values of the runs, {low} to {high}, with a probability of "
            f"{words.chance(basin['p_seen'])}: the runs bound it, they do not bracket it."
        )
    if basin["decades_beyond"]:
        said.append(distance(basin["decades_beyond"], bends=False))
    return [*said, *(_planned_sentence(answer, own) for own in basin["planned"])]


def _planned_sentence(answer: dict[str, Any], own: dict[str, Any]) -> str:
    setting = words.spaced(answer["setting"])
    chances = ", ".join(
        f"{words.chance(c['probability'])} within {100 * c['excess']:g}%" for c in own["p_within"]
    )
    of = words.count(answer["tokens"])
    worth = (
        f"for which no number of tokens makes up, at {of}"
        if own["tokens_cost"]["median"] is None
        else f"as much as {_percent(own['tokens_cost'])} of {of} tokens"
    )
    return (
        f"{setting} {words.significant(own['value'])} costs {_percent(own['cost'])} of the loss "
        f"({chances}), {worth}."
    )


def _percent(value: Quantity) -> str:
    """Write a share in percent."""
    return interval_of(value, lambda share: f"{words.significant(100 * share, 2)}%")


def _trend_sentence(answer: dict[str, Any]) -> str:
    rises = answer["p_rises"]
    way = (
        f"It rises with the size (probability {words.chance(rises)})"
        if rises >= _SURE
        else f"It falls with the size (probability {words.chance(1 - rises)})"
        if rises <= 1 - _SURE
        else "Whether it rises with the size the runs do not tell (probability "
        f"{words.chance(rises)})"
    )
    return f"{way}: the best value goes like N to the {number_of(answer['exponent'], 2)}."


def _counting_sentence(answer: dict[str, Any]) -> str:
    """Say what N counts: the trend may turn by that alone."""
    counted = answer["params_are"]
    said = (
        "The table does not say whether N counts embeddings (say it: --params-are)"
        if counted == "not stated"
        else f"N counts: {counted}"
    )
    return (
        f"{said}. Embeddings are a large part of small, wide models: counted or not, the best "
        "value and the sign of its trend can change, so ask with N as the runs count it."
    )
