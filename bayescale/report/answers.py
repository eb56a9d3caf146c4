"""The numbers of a fit in words, one paragraph each, for the head of a report and for terminals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayescale import words
from bayescale.decisions.allocation import NOTABLE
from bayescale.report.summary import value_of

FAR = 1.5
"""Decades beyond the runs from which on kernels that fit them alike say different things."""


def answers(summary: dict[str, Any]) -> list[str]:
    """Say the optima or the predictions of a summary in words, one paragraph each."""
    held_out = summary.get("held_out")
    bends = any(entry["bends"] for entry in (*summary["optima"], *summary["predictions"]))
    failed = _failed_answer(summary.get("checks", ()), bends=bends)
    backtest = summary.get("backtest")
    return [
        *([failed] if failed else []),
        *([_held_out_answer(held_out)] if held_out else []),
        *(_allocation_answer(entry) for entry in summary["optima"]),
        *(_prediction_answer(entry) for entry in summary["predictions"]),
        *([_bend_answer(summary["bend"])] if summary.get("bend") else []),
        *(backtest["sentences"][:1] if backtest else []),
        *([f"Not backtested: {reason}."] if (reason := summary.get("not_backtested")) else []),
        *dict.fromkeys(_multiplier_answer(entry) for entry in summary.get("multipliers", ())),
        *(_repetition_answer(entry) for entry in summary.get("repetition", ())[:1]),
        *([_approaches_answer(summary["approaches"])] if summary.get("approaches") else []),
    ]


def _failed_answer(checks: Sequence[dict[str, Any]], *, bends: bool) -> str:
    """Say first what speaks against the numbers that follow."""
    names = [check["name"] for check in checks if check["status"] == "FAIL"]
    if not names:
        return ""
    count = "1 check FAILs" if len(names) == 1 else f"{len(names)} checks FAIL"
    failing = f"{count}: {'; '.join(names)}."
    if not bends:
        return (
            f"{failing} The numbers below take the model for true, so do not decide on them before "
            "reading why."
        )
    return (
        f"{failing} Read why before you decide: the law of this model may bend, which allows for "
        "smooth errors of it, beyond the runs as far as it was backtested."
    )


def _bend_answer(bend: dict[str, Any]) -> str:
    """Say what the bend is, and how much these runs bend."""
    middle, low, high = (100 * bend["per_decade"][name] for name in ("median", "q05", "q95"))
    return (
        "The law may bend: it is multiplied by a smooth factor, which the runs teach where they "
        "lie and which is less and less known beyond them. Among these runs the factor changes by "
        f"{words.significant(middle, 2)}% ({words.significant(low, 2)} to "
        f"{words.significant(high, 2)}%) of the loss per decade."
    )


def _multiplier_answer(entry: dict[str, Any]) -> str:
    if "refused" in entry:
        return f"Compute of the groups is not compared: {entry['refused']}."
    steady, crossed = entry["constancy"], entry["crossing"][-1]
    ends = [
        next(at["multiplier"] for at in entry["targets"] if at["loss"] == steady[end])
        for end in ("easiest", "hardest")
    ]
    low, high = steady["log_ratio"]["q05"], steady["log_ratio"]["q95"]  # None: unbounded
    verdict = (
        "the factor grows"
        if low is not None and low > 0
        else "the factor shrinks"
        if high is not None and high < 0
        else "a constant factor is compatible with that"
    )
    return (
        f"{entry['group']} needs {_times(ends[0])} the compute of {entry['reference']} for a loss "
        f"of {steady['easiest']:.3f} and {_times(ends[1])} for {steady['hardest']:.3f}, the "
        f"easiest and the hardest that the runs of both reach: {verdict}. Probability that the two "
        f"cross below {words.flops(crossed['flops'])} FLOPs: {crossed['probability']:.0%}."
    )


def _times(multiplier: dict[str, float | None]) -> str:
    middle, low, high = (multiplier[name] for name in ("median", "q05", "q95"))
    if middle is None or low is None or high is None:
        return "an unbounded multiple of"
    return (
        f"{words.significant(middle)} times ({words.significant(low)} to "
        f"{words.significant(high)})"
    )


def _repetition_answer(entry: dict[str, Any]) -> str:
    half = next(at["epochs"] for at in entry["epochs_until"] if at["worth"] == 0.5)
    lasts = (
        f"at least {words.significant(half['q05'], 2)} epochs"
        if half["median"] is None
        else f"{words.significant(half['median'], 2)} epochs "
        f"({words.span(half['q05'], half['q95'], 'plain')})"
    )
    return (
        f"{_of_group(entry)}{entry['sentence']}. A token is worth half a fresh one after {lasts}."
    )


def _approaches_answer(entry: dict[str, Any]) -> str:
    """Say the exponents side by side, and whether any two approaches disagree."""
    exponents = ", ".join(
        f"{words.significant(a['median'])} "
        f"({words.span(a['q05'], a['q95'], 'plain')}) by the {name}"
        for name, a in entry["a"].items()
    )
    apart = [
        f"{pair['first']} and {pair['second']} at {words.flops(pair['flops'])} FLOPs"
        for pair in entry["disagreement"]
        if None not in pair["log_ratio"].values()
        and not pair["log_ratio"]["q05"] <= 0 <= pair["log_ratio"]["q95"]
    ]
    verdict = f"They disagree: {'; '.join(apart)}" if apart else "Their N* agree within intervals"
    return f"The exponent of N* in compute is {exponents}. {verdict}."


def _of_group(entry: dict[str, Any]) -> str:
    return "" if entry.get("group") is None else f"{entry['group']}. "


def _allocation_answer(entry: dict[str, Any]) -> str:
    params, tokens, ratio = (entry[name] for name in ("params", "tokens", "tokens_per_param"))
    return (
        f"{_of_group(entry)}For {words.flops(entry['flops'])} FLOPs{entry['data']}: "
        f"{count_of(params, 'parameters')} on {count_of(tokens, 'tokens')}, "
        f"{words.significant(ratio['median'])} tokens per parameter, "
        f"loss at the optimum {loss_of(entry['loss'])}. "
        f"{_basin_answer(entry['basin'][-1], params['median'])} "
        f"{_distance(entry, _outside(entry['beyond']))}"
    )


def _outside(beyond: dict[str, float | None]) -> str:
    """Name the axes along which the optimum leaves the runs by more than a factor of two."""
    names = {"params": "parameters", "tokens": "tokens", "tokens_per_param": "tokens per parameter"}
    far = [
        f"{words.significant(10 ** abs(value), 2)} times "
        f"{'more' if value > 0 else 'fewer'} {names[name]}"
        for name, value in beyond.items()
        if value is not None and abs(value) > np.log10(2)
    ]
    return f" The answer has {' and '.join(far)} than any fitted run." if far else ""


def _basin_answer(near: dict[str, Any], best: float) -> str:
    """Name the sizes that are safe whichever draw is true: inner ends of the basin's two ends."""
    low, high = near["lower"]["q95"], near["upper"]["q05"]
    if low >= high:
        return f"No size is 95% sure to waste less than {near['excess']:.0%} of the compute."
    said = (
        f"Any size from {words.span(low, high)} wastes at most {near['excess']:.0%} of the "
        "compute (95% sure at either end)"
    )
    if low <= best <= high:
        return f"{said}."
    return f"{said}; the median of the best sizes is not among them, so uncertain are they."


def _prediction_answer(entry: dict[str, Any]) -> str:
    return (
        f"{_of_group(entry)}At {value_of(entry['axis'], entry['value'])} {entry['axis']}: "
        f"loss {loss_of(entry['loss'])}; 90% of "
        f"new runs fall between {entry['loss_new_run']['q05']:.3f} and "
        f"{entry['loss_new_run']['q95']:.3f}. {_distance(entry)}"
    )


def _held_out_answer(scores: dict[str, Any]) -> str:
    verdict = (
        "The law fails on them: treat every interval beyond the fitted runs as too narrow."
        if scores["p_value"] < 0.01
        else "That is no fewer than chance allows."
    )
    return (
        f"Fitted without {scores['where']} and tested on them: {scores['inside']} of "
        f"{scores['runs']} lie inside their 90% predictive interval, typical error "
        f"{scores['rmsle']:.1%}. {verdict}"
    )


def count_of(value: dict[str, float], unit: str = "") -> str:
    """Write a count, of something if it is named, with its interval."""
    middle = " ".join(filter(None, (words.count(value["median"]), unit)))
    return f"{middle} ({words.span(value['q05'], value['q95'])})"


def loss_of(loss: dict[str, float]) -> str:
    """Write a loss with its interval."""
    return f"{loss['median']:.3f} ({loss['q05']:.3f} to {loss['q95']:.3f})"


def distance(decades: float | None, *, bends: bool) -> str:
    """Say how far out an answer lies, and what its interval takes for true.

    Parameters
    ----------
    decades : float or None
        Above the largest run, negative below the smallest, 0 inside; None without runs.
    bends : bool
        Whether the law that answered may bend.
    """
    if decades is None:
        return "These are given constants: there are no runs to compare with."
    if decades == 0:
        return "Inside the range of the runs."
    side = "above the largest" if decades > 0 else "below the smallest"
    out = f"Extrapolation: {words.significant(abs(decades), 2)} decades {side} fitted run"
    if bends and abs(decades) > FAR:
        return (
            f"{out}. So far out the assumed smoothness of the bend decides, not the runs: take the "
            "interval for a range of readings that the runs allow, not for a measurement."
        )
    if bends:
        return f"{out}; the interval allows for a law that bends on the way."
    return f"{out}, so the interval holds only if the law does."


def _distance(entry: dict[str, Any], outside: str = "") -> str:
    """Say it of an entry of a summary, what the law taken as exact would say, and what was tested.

    `outside` names the axes along which the answer leaves the runs.
    """
    said = distance(entry["decades_beyond"], bends=entry["bends"]) + outside
    if entry.get("without_optimum", 0.0) >= NOTABLE:
        said += (
            f" In {entry['without_optimum']:.0%} of the draws no size is best: not counted here."
        )
    exact = entry["exact"]
    if exact is not None and exact["disagrees"]:
        said += (
            f" The law taken as exact disagrees: {_exact_answer(exact)}. The runs do not obey it "
            "exactly; weigh both before you decide."
        )
    elif exact is not None and entry["decades_beyond"]:
        said += f" Taken as exact the law says {_exact_answer(exact)}."
    return f"{said} {entry['tested']}" if entry.get("tested") else said


def _exact_answer(exact: dict[str, Any]) -> str:
    size = f"{count_of(exact['params'], 'parameters')}, " if "params" in exact else ""
    return f"{size}loss {loss_of(exact['loss'])}"
