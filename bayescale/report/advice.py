"""The numbers of decisions for scripts, and the sentences that say them.

Every function returns a dict for JSON: quantities as {"median", "q05", "q95"}, null where one is
unbounded or does not exist, and ``sentences``. Intervals are central 90%.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.report.answers import distance
from bayescale.decisions.wall import best_under_wall, next_epoch
from bayescale.decisions.next_runs import NextRuns
from bayescale.decisions.overtraining import at_size, break_even
from bayescale.decisions.plans import plan_outcomes, rank_plans, stack_outcomes
from bayescale.decisions.prices import IN_FLOPS, Prices
from bayescale.decisions.repetition import epochs_until, identified
from bayescale.files import plain
from bayescale.posterior.fit import Fit
from bayescale.draws import numbers
from bayescale.posterior.prediction import farthest_beyond
from bayescale.report.summary import summarise_targets

_STACKED = "stacked"

_QUALITIES = (0.9, 0.7, 0.5, 0.3)
"""Worth of other data, in fresh tokens, for which repeating is compared with adding them."""


def describe_overtraining(
    fit: Fit,
    target: xr.DataArray,
    found: xr.Dataset,
    *,
    prices: Prices = IN_FLOPS,
    caps: Mapping[str, float | None] | None = None,
    sizes: Sequence[float] = (),
) -> dict[str, Any]:
    """Say the cheapest model for each number of tokens served, and what other sizes would cost.

    `found` is what `bayescale.cheapest` answers for that target, prices and caps; `sizes` as in
    `bayescale.at_size`.
    """
    sizes = sorted(set(sizes))
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
        }
    )
    sentences = [_overtraining_sentence(entry, result) for entry in result["overtraining"]]
    sentences += [_break_even_sentence(entry) for entry in result["break_even"]]
    known = [entry["farthest"] for entry in result["overtraining"]]
    if known and None not in known:
        sentences.append(distance(max(known), bends=result["bends"]))
    return {**result, "sentences": sentences}


def _farthest(fit: Fit, found: xr.Dataset) -> float:
    """Decades by which the median model lies above the largest run, along N, D or their product."""
    medians = {name: found[name].median() for name in ("params", "tokens")}
    flops = fit.runs.flops_per_param_token * medians["params"] * medians["tokens"]
    return float(farthest_beyond(fit, {**medians, "flops": flops}))


def advise_repetition(
    fit: Fit, flops: Sequence[float], unique_tokens: float, *, qualities: Sequence[float] = ()
) -> dict[str, Any]:
    """Say the best model and epochs for budgets with U unique tokens, and when to add other data.

    `qualities` are worths of a token of other data in fresh tokens; else see
    `bayescale.best_under_wall`.
    """
    found = best_under_wall(fit, flops, unique_tokens)
    worths = list(qualities) or list(_QUALITIES)
    entries = []
    for budget in found["flops"].to_numpy():
        one = found.sel(flops=budget)
        size = float(one["params"].median())
        until = epochs_until(fit, size, worths)
        entries.append(
            {
                "flops": float(budget),
                "unique_tokens": float(unique_tokens),
                "decades_beyond": float(one["decades_beyond"]),
                **{
                    name: numbers(one[name])
                    for name in (
                        "params",
                        "tokens",
                        "epochs",
                        "spent",
                        "loss",
                        "fresh_loss",
                        "price_of_a_token",
                    )
                },
                "next_epoch": _next_epoch(fit, one, float(unique_tokens)),
                "R_D_identified": not identified(fit, size).only_bound,
                "repeat_until": [
                    {"quality": worth, "epochs": numbers(until.sel(worth=worth).squeeze("params"))}
                    for worth in worths
                ],
            }
        )
    result = plain({"repetition": entries})
    return {**result, "sentences": [_wall_sentence(entry) for entry in result["repetition"]]}


def _next_epoch(fit: Fit, best: xr.Dataset, unique_tokens: float) -> dict[str, Any] | None:
    """Say what one epoch more than the best number of them would do."""
    made = float(best["epochs"].median())
    if made < 1:
        return None
    found = next_epoch(fit, float(best["params"].median()), unique_tokens, made).squeeze("epochs")
    return {"after": made, "gain": numbers(found["gain"]), "harm": float(found["harm"])}


def describe_plans(ranked: xr.Dataset) -> dict[str, Any]:
    """Turn ranked plans into numbers and sentences."""
    entries = [
        {
            "plan": str(name),
            **{n: float(one[n]) for n in ("params", "tokens", "unique_tokens", "flops", "cost")},
            "loss": numbers(one["loss"]),
            "p_best": float(one["p_best"]),
            "p_within": [
                {"excess": float(share), "probability": float(one["p_within"].sel(within=share))}
                for share in ranked["within"].to_numpy()
            ],
            "p_dominated": float(one["p_dominated"]),
            "expected_regret": float(one["expected_regret"]),
            "expected_regret_flops": float(one["expected_regret_flops"]),
            "expected_regret_cost": float(one["expected_regret_cost"]),
            "regret": numbers(one["regret"]),
            "decades_beyond": float(one["decades_beyond"]),
            "farthest": float(one["farthest"]),
        }
        for name in ranked["plan"].to_numpy()
        for one in [ranked.sel(plan=name)]
    ]
    unit = str(ranked.attrs["unit"])
    bends = bool(ranked.attrs["bends"])
    found = {"plans": entries, "choice": ranked.attrs["choice"], "unit": unit, "bends": bends}
    result = plain(found)
    order = sorted(result["plans"], key=lambda entry: entry["expected_regret"])
    sentences = [_plan_sentence(entry, unit) for entry in order]
    known = [e["farthest"] for e in result["plans"] if e["farthest"] is not None]
    if known:
        sentences.append(distance(max(known), bends=bends))
    return {**result, "sentences": sentences}


def advise_plans_by_law(
    fits: Mapping[str, Fit], weights: Mapping[str, float], plans: pd.DataFrame
) -> dict[str, Any]:
    """Say which plan each law would choose, and which one all of them by their weights."""
    outcomes = {law: plan_outcomes(fit, plans) for law, fit in fits.items()}
    outcomes[_STACKED] = stack_outcomes(outcomes, weights)
    found = {law: describe_plans(rank_plans(own)) for law, own in outcomes.items()}
    choices = {law: advice["choice"] for law, advice in found.items()}
    others = [f"{law} {choice}" for law, choice in choices.items() if choice != choices[_STACKED]]
    sentence = f"All laws by their weights would choose {choices[_STACKED]}; " + (
        f"by itself {', '.join(others)}." if others else "so would each of them."
    )
    sentences = [sentence, *found[_STACKED]["sentences"]]
    return {"by_law": found, "choices": choices, "sentences": sentences}


def describe_next_runs(suggestion: NextRuns) -> dict[str, Any]:
    """Turn suggested runs into numbers and sentences."""
    result = plain(
        {
            "quantity": suggestion.quantity,
            "sd": suggestion.sd,
            "expected_sd": suggestion.expected_sd,
            "next_runs": suggestion.picks.to_dict("records"),
            "baselines": suggestion.baselines.to_dict("records"),
        }
    )
    return {**result, "sentences": _next_sentences(result)}


def describe_multiplier(found: xr.Dataset) -> dict[str, Any]:
    """Turn what `bayescale.compute_multiplier` returns into numbers and sentences."""
    group, reference = found.attrs["group"], found.attrs["reference"]
    targets = summarise_targets(found)
    result = plain({"group": group, "reference": reference, "targets": targets})
    shown = result["targets"]
    if len(shown) > 5:  # a curve: its ends, and its end within the runs
        inside = [at for at in shown if not any(at["decades_beyond"].values())]
        shown = [*inside[:1], *inside[-1:], shown[-1]]
    return {**result, "sentences": [_multiplier_sentence(at, group, reference) for at in shown]}


def _multiplier_sentence(at: dict[str, Any], group: str, reference: str) -> str:
    outside = any(at["decades_beyond"].values())
    lost = [
        f" Probability that no compute of {name} reaches it: {share:.0%}."
        for name, share in at["unreachable"].items()
        if share > 0.005
    ]
    return (
        f"For a loss of {words.significant(at['loss'], 4)} {group} needs "
        f"{_plain(at['multiplier'])} times the compute of {reference}"
        f"{', outside the runs of one of them' if outside else ''}.{''.join(lost)}"
    )


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
    if entry["infeasible"] > 0.5:
        return (
            f"No model{within} reaches a loss of {_plain(result['target_loss'])} (probability "
            f"{entry['infeasible']:.0%})."
        )
    unlikely = (
        f" Probability that no model{within} reaches the loss: {entry['infeasible']:.0%}; sizes "
        "and tokens are of the draws where one does."
        if entry["infeasible"] > 0.005
        else ""
    )
    saved = entry["saved"]
    price = _price(entry["cost"], result["unit"])
    saves = saved["median"] is not None and saved["median"] >= 0
    change = f"saves {_share(saved)} of" if saves else f"costs {_share(_negated(saved))} more than"
    return (
        f"To serve {words.trimmed(entry['inference_tokens'])} tokens at a loss of "
        f"{_plain(result['target_loss'])}: {_count(entry['params'])} parameters on "
        f"{_count(entry['tokens'])} tokens, {_plain(entry['tokens_per_param'])} tokens per "
        f"parameter; {price} in all, which {change} "
        "what the compute-optimal model of that loss, "
        f"{_count(entry['baseline_params'])} parameters, costs.{unlikely}"
        + "".join(f" {_size_sentence(size)}" for size in entry["sizes"])
    )


def _size_sentence(size: dict[str, Any]) -> str:
    name = words.trimmed(size["params"])
    if size["infeasible"] > 0.5:
        return f"{name} parameters do not reach it (probability {size['infeasible']:.0%})."
    return (
        f"{name} parameters need {_count(size['tokens'])} tokens and cost "
        f"{_share(size['overhead'])} more than the cheapest size."
    )


def _break_even_sentence(entry: dict[str, Any]) -> str:
    names = words.trimmed(entry["smaller"]), words.trimmed(entry["larger"])
    served = entry["inference_tokens"]
    if entry["p_neither"] > 0.05:
        return (
            f"Neither {names[0]} nor {names[1]} parameters reach the loss with probability "
            f"{entry['p_neither']:.0%}: they are not compared."
        )
    if served["median"] is None:
        return (
            f"However much is served, {names[1]} parameters are cheaper than {names[0]}, which do "
            f"not reach the loss (probability {entry['p_only_larger']:.0%})."
        )
    if served["q95"] == 0:
        return f"However little is served, {names[0]} parameters are cheaper than {names[1]}."
    return (
        f"From {_count(served)} tokens served on, {names[0]} parameters are cheaper than "
        f"{names[1]}."
    )


def _wall_sentence(entry: dict[str, Any]) -> str:
    opening = (
        f"With {words.trimmed(entry['unique_tokens'])} unique tokens and "
        f"{words.flops(entry['flops'])} FLOPs"
    )
    if entry["epochs"]["median"] < 1:
        return (
            f"{opening} no token need be repeated: {_count(entry['params'])} parameters on "
            f"{_count(entry['tokens'])} tokens, loss {_plain(entry['loss'], 4)}."
        )
    spent, following = entry["spent"]["median"], entry["next_epoch"]
    other = "; ".join(
        f"data worth {at['quality']:.0%} of these a token pay after {_plain(at['epochs'])} epochs"
        for at in entry["repeat_until"]
    )
    parts = [
        f"{opening}: {_count(entry['params'])} parameters for {_plain(entry['epochs'])} epochs, "
        f"loss {_plain(entry['loss'], 4)} (with all data fresh {_plain(entry['fresh_loss'], 4)}).",
        f"Only {words.flops(spent)} of the FLOPs are worth spending: more would overfit."
        if spent < 0.99 * entry["flops"]
        else f"One more unique token is worth {_flops(entry['price_of_a_token'])} FLOPs.",
        "One more epoch of that size changes the loss by "
        f"{_plain(_negated(following['gain']), 2)} nats per token, and does harm with probability "
        f"{following['harm']:.0%}. Other {other}.",
        "" if entry["R_D_identified"] else "The runs hardly tell what repetition is worth here.",
        "Numbers of epochs hold within a factor of two.",
    ]
    return " ".join(filter(None, parts))


def _plan_sentence(entry: dict[str, Any], unit: str) -> str:
    regret = (
        f"{words.significant(entry['expected_regret'], 2)} nats per token, as much as "
        f"{_amount(entry['expected_regret_cost'], unit)} of training buy"
        if entry["expected_regret"] > 0
        else "none"
    )
    near = entry["p_within"][-1]
    return (
        f"{entry['plan']}: loss {_plain(entry['loss'], 4)}, best with probability "
        f"{entry['p_best']:.0%}, wasting at most {near['excess']:.0%} of the compute with "
        f"{near['probability']:.0%}; expected regret {regret}; costs "
        f"{_amount(entry['cost'], unit)}."
    )


def _next_sentences(result: dict[str, Any]) -> list[str]:
    runs, last = result["next_runs"], result["next_runs"][-1]
    listed = "; ".join(
        f"{words.count(run['params'])} parameters on {words.count(run['tokens'])} tokens "
        f"({words.flops(run['flops'])} FLOPs)"
        for run in runs
    )
    total = sum(run["flops"] for run in runs)
    sentences = [
        f"To make {result['quantity']} surer, run {listed}. Together, for "
        f"{words.flops(total)} FLOPs, they are expected to lower its sd from "
        f"{words.significant(result['sd'], 2)} to "
        f"{words.significant(result['expected_sd'], 2)}, {last['reduction']:.0%} less variance."
    ]
    sentences += [
        f"Spent on {baseline['spent_on']} ({baseline['runs']} runs), "
        f"{words.flops(baseline['flops'])} FLOPs remove {baseline['reduction']:.0%}."
        for baseline in result["baselines"]
    ]
    return sentences


def _count(value: dict[str, float | None]) -> str:
    return _interval(value, words.count, words.span)


def _flops(value: dict[str, float | None]) -> str:
    return _interval(value, words.flops)


def _plain(value: dict[str, float | None], digits: int = 3) -> str:
    return _interval(value, lambda number: words.significant(number, digits))


def _share(value: dict[str, float | None]) -> str:
    return _interval(value, lambda number: f"{number:.1%}")


def _negated(value: dict[str, float | None]) -> dict[str, float | None]:
    """Turn what is saved into what it costs more; unbounded where nothing is saved any more."""
    low, middle, high = (value[name] for name in ("q05", "median", "q95"))
    turn = {"q05": high, "median": middle, "q95": low}
    return {name: None if number is None else -number for name, number in turn.items()}


def _price(value: dict[str, float | None], unit: str) -> str:
    if unit == "FLOPs":
        return f"{_flops(value)} FLOPs"
    return _interval(value, lambda number: _amount(number, unit))


def _amount(value: float, unit: str) -> str:
    """Write FLOPs as FLOPs are written, and money as money."""
    if unit == "FLOPs":
        return f"{words.flops(value)} FLOPs"
    return f"{unit}{words.count(value)}"


def _interval(
    value: dict[str, float | None],
    write: Callable[[float], str],
    span: Callable[[float, float], str] | None = None,
) -> str:
    """Write median and interval; of one draw the value alone; unbounded ends in words."""
    low, middle, high = (value[name] for name in ("q05", "median", "q95"))
    if low is None or middle is None:
        return "an unbounded number of"
    if high is None:
        return f"at least {write(low)}"
    if np.isclose(low, high, rtol=1e-12):
        return write(middle)
    ends = f"{write(low)} to {write(high)}" if span is None else span(low, high)
    return f"{write(middle)} ({ends})"
