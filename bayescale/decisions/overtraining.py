r"""The cheapest model of a given loss when it will also be served, per draw.

Training on D tokens costs :math:`k N D` FLOPs, serving T tokens :math:`2 N T` (Sardana et al. 2024,
"Beyond Chinchilla-Optimal", equation 2), so the cheapest model of loss :math:`\ell` is

.. math:: \min_{N, D} \; p_t\, k N D + p_s\, 2 N T \quad \text{subject to} \quad L(N, D) = \ell

with prices p of one FLOP. Along the curve :math:`L = \ell` the cost is least where

.. math:: \frac{\partial L / \partial \log N}{\partial L / \partial \log D}
    = 1 + \frac{2 p_s T}{k p_t D},

whose left side falls and whose right side rises with N: the root is the only one, and a cap on N or
D beyond it is met with equality. No token is repeated; losses are in nats per token.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import compute_optimal
from bayescale.decisions.answer import (
    Answer,
    Quantity,
    amount,
    count_of,
    distance,
    flops_of,
    interval_of,
    negated,
    number_of,
    priced,
    share_of,
)
from bayescale.decisions.equal_loss import equal_loss
from bayescale.decisions.prices import IN_FLOPS, SERVING_FLOPS, Prices, require_positive
from bayescale.decisions.ratios import Ratios, failed_beyond
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.runs.range import decades_beyond


@typed
def target_loss(
    fit: Fit,
    *,
    loss: float | None = None,
    flops: float | None = None,
    params: float | None = None,
    k: float | None = None,
) -> xr.DataArray:
    """Loss to be reached, per draw: given, or that of a compute-optimal model.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    loss : float, optional
        The loss itself, nats per token.
    flops : float, optional
        Budget whose compute-optimal model has the loss.
    params : float, optional
        Size whose loss at its own compute-optimal tokens is meant.
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    xarray.DataArray
        Nats per token, dims (chain, draw).

    Raises
    ------
    FitError
        Unless exactly one of the three is given and positive, or if the law has no allocation.
    """
    given = {
        n: v
        for n, v in ((LOSS.column, loss), ("flops", flops), ("params", params))
        if v is not None
    }
    if len(given) != 1:
        raise FitError(
            "name the target once: a loss, the budget or the size whose compute-optimal model has "
            f"it (got {', '.join(given) or 'none'})"
        )
    ((name, value),) = given.items()
    require_positive(name, value)
    posterior = Posterior.of_joint_law(fit, k)
    if name == LOSS.column:
        return posterior.from_rows({LOSS.column: np.array(float(value))})[LOSS.column]
    if name == "flops":
        reached = compute_optimal(fit, value, k=k, exponents=False)[LOSS.column]
        reached = reached.squeeze("flops", drop=True)
        return reached.drop_vars(["chain", "draw"], errors="ignore")
    question, size = equal_loss(posterior), np.full((posterior.number, 1), np.log(value))
    reached = question.loss(size, question.balanced_tokens(size))
    return posterior.from_rows({LOSS.column: reached})[LOSS.column]


@typed
def cheapest(
    fit: Fit,
    target: float | xr.DataArray,
    inference_tokens: float | Sequence[float],
    *,
    prices: Prices = IN_FLOPS,
    max_params: float | None = None,
    max_tokens: float | None = None,
    min_ratio: float | None = None,
    max_ratio: float | None = None,
    k: float | None = None,
) -> xr.Dataset:
    """Posterior of the cheapest model that reaches a loss and then serves T tokens.

    Parameters
    ----------
    fit : Fit
        Of a joint law; of one group where there are groups.
    target : float or xarray.DataArray
        Loss to be reached: a number, or draws of dims (chain, draw) from `target_loss`.
    inference_tokens : float or sequence of float
        T, tokens served over the model's life; 0 is allowed.
    prices : Prices
        Of training and serving; by default every FLOP counts the same.
    max_params : float, optional
        Largest model that can be deployed.
    max_tokens : float, optional
        Largest number of tokens to train on.
    min_ratio, max_ratio : float, optional
        Fewest and most tokens per parameter of a model. By default those of the runs, but a cap
        takes precedence over these; without runs there is no bound.
    k : float, optional
        FLOPs per parameter and token of training, as in `compute_optimal`.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, inference_tokens): ``params``, ``tokens``, ``tokens_per_param``;
        ``training``, ``serving`` and their sum ``cost``, in the unit of the prices;
        ``baseline_params`` and ``baseline_cost`` of the compute-optimal model of the same loss,
        without caps; ``saved`` = 1 - cost / baseline_cost, negative where a cap costs more. In
        draws where no model within the caps reaches the loss ``cost`` is infinite and the model
        NaN; ``infeasible`` (inference_tokens): probability of that. Attributes ``unit``, and
        ``min_ratio``, ``max_ratio``, ``ratios_of`` ("runs", "asked" or ""): the range that the
        models were looked for in.

    Raises
    ------
    FitError
        For a law that is not joint, a fit with groups, a negative T or a cap that is not positive.
    """
    posterior = Posterior.of_joint_law(fit, k)
    question = equal_loss(posterior, prices)
    for name, cap in (("max_params", max_params), ("max_tokens", max_tokens)):
        if cap is not None:
            require_positive(name, cap)
    served, ratios = _served(inference_tokens), Ratios.of(posterior.runs, min_ratio, max_ratio)
    loss = posterior.to_rows(_losses(fit, target))
    log_params, log_tokens = question.cheapest(loss, np.append(served, 0.0))  # 0: the baseline
    best = log_params[:, :-1], log_tokens[:, :-1]
    best = question.within(loss, best, ratios.low, ratios.high)
    best = question.clipped(loss, best, max_params, max_tokens)
    if ratios.source == "asked":  # and a cap may leave no such model
        with np.errstate(invalid="ignore"):
            best = np.where(ratios.outside(np.exp(best[1] - best[0])), np.inf, best[0]), best[1]
    found = question.costs(best, served)
    baseline = question.costs((log_params[:, -1:], log_tokens[:, -1:]), served)
    found |= {"baseline_params": baseline["params"], "baseline_cost": baseline["cost"]}
    with np.errstate(invalid="ignore"):  # where no model at all reaches the loss
        found["saved"] = 1.0 - found["cost"] / found["baseline_cost"]
    result = posterior.from_rows(found, inference_tokens=served).assign_attrs(
        unit=prices.unit, min_ratio=ratios.low, max_ratio=ratios.high, ratios_of=ratios.source
    )
    return result.assign(infeasible=result["params"].isnull().mean(("chain", "draw")))


@typed
def at_size(
    fit: Fit,
    target: float | xr.DataArray,
    params: float | Sequence[float],
    inference_tokens: float = 0.0,
    *,
    prices: Prices = IN_FLOPS,
    k: float | None = None,
) -> xr.Dataset:
    """How many tokens models of given sizes need for a loss, and what that costs.

    Parameters
    ----------
    fit, target, prices, k
        As in `cheapest`.
    params : float or sequence of float
        Sizes N.
    inference_tokens : float
        T, tokens served.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, params): ``tokens``, ``tokens_per_param``, ``training``, ``serving``,
        ``cost``; ``overhead``, by how much the cost exceeds that of the cheapest size, a share.
        In draws where the size does not reach the loss on any number of tokens ``cost`` is infinite
        and the tokens NaN; ``infeasible`` (params): probability of that. Attribute ``unit``.

    Raises
    ------
    FitError
        As in `cheapest`.
    """
    posterior = Posterior.of_joint_law(fit, k)
    question = equal_loss(posterior, prices)
    sizes = np.unique(np.asarray(params, dtype=float))
    for size in sizes:
        require_positive("params", size)
    served, loss = _served(inference_tokens), posterior.to_rows(_losses(fit, target))
    if len(served) != 1:
        raise FitError("one number of inference tokens at a time, or compare with cheapest()")
    least = question.costs(question.cheapest(loss, served), served)
    found = question.at_sizes(loss, np.log(sizes)[None], served)
    with np.errstate(invalid="ignore"):
        found["overhead"] = found["cost"] / least["cost"] - 1.0
    del found["params"]  # it is the dim
    result = posterior.from_rows(found, params=sizes).assign_attrs(unit=prices.unit)
    return result.assign(infeasible=result["tokens"].isnull().mean(("chain", "draw")))


@typed
def break_even(
    fit: Fit,
    target: float | xr.DataArray,
    smaller: float,
    larger: float,
    *,
    prices: Prices = IN_FLOPS,
    k: float | None = None,
) -> xr.DataArray:
    r"""Tokens served from which on the smaller of two models of equal loss is the cheaper one.

    .. math:: T = \frac{k\, p_t}{2 p_s} \frac{N_1 D_1 - N_2 D_2}{N_2 - N_1}, \qquad N_1 < N_2

    Parameters
    ----------
    fit, target, prices, k
        As in `cheapest`.
    smaller, larger : float
        The two sizes, :math:`N_1 < N_2`.

    Returns
    -------
    xarray.DataArray
        T, dims (chain, draw). 0 where the smaller model is the cheaper one however little it
        serves, infinite where only the larger one reaches the loss, NaN where neither does.

    Raises
    ------
    FitError
        As in `cheapest`; unless the first size is the smaller one.
    """
    if not smaller < larger:
        raise FitError(
            f"the smaller size comes first, got {words.count(smaller)} and {words.count(larger)}"
        )
    sizes = at_size(fit, target, [smaller, larger], prices=prices, k=k)
    training = sizes["training"].fillna(np.inf)
    with np.errstate(invalid="ignore"):
        more = training.sel(params=smaller, drop=True) - training.sel(params=larger, drop=True)
    tokens = more / (SERVING_FLOPS * prices.serving * (larger - smaller))
    return tokens.clip(min=0.0).rename("inference_tokens")


def _losses(fit: Fit, target: float | xr.DataArray) -> xr.DataArray:
    """Give every draw the loss to be reached, where it is one number for all of them."""
    return target if isinstance(target, xr.DataArray) else target_loss(fit, loss=target)


def _served(inference_tokens: float | Sequence[float]) -> np.ndarray:
    values = np.unique(np.atleast_1d(np.asarray(inference_tokens, dtype=float)))
    if not (np.isfinite(values) & (values >= 0)).all():
        raise FitError(f"inference tokens must not be negative, got {values.min():g}")
    return values


@typed
def answer_overtraining(
    fit: Fit,
    target: float | xr.DataArray,
    found: xr.Dataset,
    *,
    prices: Prices = IN_FLOPS,
    caps: Mapping[str, float | None] | None = None,
    sizes: Sequence[float] = (),
) -> Answer:
    """Say the cheapest model for each number of tokens served, and what other sizes would cost.

    Parameters
    ----------
    fit : Fit
    target : float or xarray.DataArray
        The loss, as `cheapest` had it.
    found : xarray.Dataset
        What `cheapest` says of that target, at these prices and caps.
    prices : Prices
    caps : mapping of str to float, optional
        ``max_params``, ``max_tokens``, as `cheapest` had them.
    sizes : sequence of float
        Other sizes to price: `at_size`, and `break_even` of neighbours.

    Returns
    -------
    Answer
        Numbers: ``overtraining``, an entry for each number of tokens served, ``break_even``, and
        ``ratios``, the tokens per parameter that models were looked for in.
    """
    names = ("min_ratio", "max_ratio", "ratios_of")
    ratios = Ratios(*(found.attrs[name] for name in names))
    target, sizes = _losses(fit, target), sorted(set(sizes))
    entries = [
        {
            "inference_tokens": float(served),
            **{str(name): numbers(one[name]) for name in one.data_vars if name != "infeasible"},
            "infeasible": float(one["infeasible"]),
            "farthest": _farthest(fit, one),
            "sizes": _sizes(fit, target, sizes, float(served), prices),
        }
        for served in found["inference_tokens"].to_numpy()
        for one in [found.sel(inference_tokens=served)]
    ]
    crossings = [
        {
            "smaller": smaller,
            "larger": larger,
            "inference_tokens": numbers(turn),
            "p_neither": float(turn.isnull().mean()),
            "p_only_larger": float(np.isinf(turn).mean()),
        }
        for smaller, larger in pairwise(sizes)
        for turn in [break_even(fit, target, smaller, larger, prices=prices)]
    ]
    result = plain(
        {
            "target_loss": numbers(target),
            "bends": fit.bends,
            "unit": prices.unit,
            "caps": {name: cap for name, cap in (caps or {}).items() if cap is not None},
            "overtraining": entries,
            "break_even": crossings,
            "ratios": ratios.record,
        }
    )
    sentences = [
        f"{_overtraining_sentence(entry, result)} "
        f"{ratios.mark(entry['tokens_per_param']['median'])}".rstrip()
        for entry in result["overtraining"]
    ]
    several = len(entries) > 1
    sentences += [
        (f"To serve {words.trimmed(entry['inference_tokens'])} tokens: " if several else "")
        + _size_sentence(size)
        for entry in result["overtraining"]
        for size in entry["sizes"]
    ]
    sentences += [_break_even_sentence(entry) for entry in result["break_even"]]
    known = [entry["farthest"] for entry in result["overtraining"]]
    if known and None not in known:
        far = distance(max(known), bends=result["bends"])
        sentences.append(f"{far} Models were looked for within {ratios.said}.")
        saved = [entry["saved"]["median"] for entry in result["overtraining"]]
        if any(share is not None and share < -0.005 for share in saved):
            sentences.append(
                "The compute-optimal model lies outside these bounds where it costs less."
            )
    models = found[["params", "tokens"]].median(("chain", "draw"))
    sentences += failed_beyond(fit, models["params"], models["tokens"])
    sentences += priced(prices)
    return Answer.by(fit, numbers=result, sentences=sentences, draws=found)


def _farthest(fit: Fit, found: xr.Dataset) -> float:
    """Decades by which the median model lies above the largest run, along N, D or their product."""
    medians = {name: found[name].median() for name in ("params", "tokens")}
    flops = fit.runs.flops_per_param_token * medians["params"] * medians["tokens"]
    return float(np.maximum(decades_beyond(fit.runs, **medians, flops=flops), 0.0))


def _sizes(
    fit: Fit, target: xr.DataArray, sizes: Sequence[float], served: float, prices: Prices
) -> list[dict[str, Any]]:
    if not sizes:
        return []
    found = at_size(fit, target, sizes, served, prices=prices)
    names = ("tokens", "tokens_per_param", "training", "serving", "cost", "overhead")
    return [
        {
            "params": float(size),
            **{name: numbers(one[name]) for name in names},
            "infeasible": float(one["infeasible"]),
        }
        for size in found["params"].to_numpy()
        for one in [found.sel(params=size)]
    ]


def _overtraining_sentence(entry: dict[str, Any], result: dict[str, Any]) -> str:
    within = " within these caps" if result["caps"] else ""
    reached = entry["baseline_params"]["median"] is not None  # of whatever ratio
    if not within and reached and result["ratios"]["of"]:
        within = " within these tokens per parameter"
    if entry["infeasible"] > 0.5:
        return (
            f"No model{within} reaches a loss of {number_of(result['target_loss'])} (probability "
            f"{words.chance(entry['infeasible'])})."
        )
    unlikely = (
        f" Probability that no model{within} reaches the loss: "
        f"{words.chance(entry['infeasible'])}. Sizes and tokens are of the draws where one does."
        if entry["infeasible"] > 0.005
        else ""
    )
    saved = entry["saved"]
    price = _price(entry["cost"], result["unit"])
    bounded = saved["median"] if saved["q05"] is not None else saved["q95"]  # what is written
    saves = bounded is not None and bounded >= 0
    less, more = share_of(saved), share_of(negated(saved))
    change = f"saves {less} of" if saves else f"costs {more} more than"
    return (
        f"To serve {words.trimmed(entry['inference_tokens'])} tokens at a loss of "
        f"{number_of(result['target_loss'])}: {count_of(entry['params'])} parameters on "
        f"{count_of(entry['tokens'])} tokens. That is {number_of(entry['tokens_per_param'])} "
        f"tokens per parameter. It takes {price} in all, which {change} what the "
        f"compute-optimal model of that loss, {count_of(entry['baseline_params'])} parameters, "
        f"costs.{unlikely}"
    )


def _size_sentence(size: dict[str, Any]) -> str:
    name = words.trimmed(size["params"])
    if size["infeasible"] > 0.5:
        sure = words.chance(size["infeasible"])
        return f"{name} parameters do not reach the loss (probability {sure})."
    return (
        f"{name} parameters need {count_of(size['tokens'])} tokens and cost "
        f"{share_of(size['overhead'])} more than the cheapest size."
    )


def _break_even_sentence(entry: dict[str, Any]) -> str:
    names = words.trimmed(entry["smaller"]), words.trimmed(entry["larger"])
    served = entry["inference_tokens"]
    if entry["p_neither"] > 0.05:
        return (
            f"Neither {names[0]} nor {names[1]} parameters reach the loss with probability "
            f"{words.chance(entry['p_neither'])}: they are not compared."
        )
    if served["median"] is None:
        return (
            f"However much is served, {names[1]} parameters are cheaper than {names[0]}, which do "
            f"not reach the loss (probability {words.chance(entry['p_only_larger'])})."
        )
    if served["q95"] == 0:
        return f"However little is served, {names[0]} parameters are cheaper than {names[1]}."
    return (
        f"From {count_of(served)} tokens served on, {names[0]} parameters are cheaper than "
        f"{names[1]}."
    )


def _price(value: Quantity, unit: str) -> str:
    if unit == "FLOPs":
        return f"{flops_of(value)} FLOPs"
    return interval_of(value, lambda number: amount(number, unit))
