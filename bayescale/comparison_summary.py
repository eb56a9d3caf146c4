"""What a comparison of laws says: the numbers for scripts, and the sentences.

What `summarise_comparison` gives for scripts (Q stands for {"median", "q05", "q95"})::

    {"schema": 1, "runs": {"rows", "cells", "source", "sha256"},
     "models": [{"model", "law", "elpd", "se", "elpd_diff", "se_diff", "p_loo", "weight",
                 "high_k", "method", "told_apart"}],
     "decisions": [{"model", "group", axis: value, "params": Q, "tokens": Q,
                    "tokens_per_param": Q, "loss": Q}],
     "regret": [{"chosen", "true", "group", "flops", "p_matters"} and Q],
     "sentences": [str], "converged": bool, "problems": [str]}

``models`` come best first; ``elpd_diff`` is the paired difference to the best; ``told_apart`` says
whether the runs speak against the law, which they can inside their range only. In ``decisions``
the model "stacked" is the mixture by weights; laws of a single axis have the loss only, and no
``regret``. ``p_matters`` is the probability that the choice wastes more than 1% of the compute.
Intervals are central 90%.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bayescale import readable
from bayescale.comparison import STACKED, Comparison
from bayescale.intervals import numbers
from bayescale.prediction import decades_beyond

SCHEMA = 1

COSTLY = 0.01
"""Share of the compute that a choice must waste to matter."""

APART = 0.01
"""Log ratio from which on two predicted losses differ: laws do if one is above the other by more
with a probability above one half."""


def summarise_comparison(comparison: Comparison) -> dict[str, Any]:
    """Everything a script wants, in the schema of this module's docstring."""
    first = next(iter(comparison.fits.values()))
    runs = first.runs
    problems = [
        *(
            f"{name}: {problem}"
            for name, fit in comparison.fits.items()
            if fit.sampled
            for problem in fit.diagnostics.problems
        ),
        *comparison.problems,
    ]
    return {
        "schema": SCHEMA,
        "runs": {
            "rows": len(runs),
            "cells": comparison.pointwise.sizes["obs"],
            "source": runs.source,
            "sha256": runs.sha256,
        },
        "models": [
            {
                "model": name,
                "law": fit.law.name,
                **comparison.table.loc[name].to_dict(),
                "high_k": int(comparison.table.loc[name, "high_k"]),
                "told_apart": name not in comparison.plausible,
            }
            for name, fit in comparison.fits.items()
        ],
        "decisions": list(_decisions(comparison)),
        "regret": list(_regrets(comparison)),
        "sentences": sentences(comparison),
        "converged": not problems,
        "problems": problems,
    }


def _decisions(comparison: Comparison) -> Iterable[dict[str, Any]]:
    axis = comparison.axis
    for name, answer in comparison.decisions.items():
        for group, own in _by_group(answer):
            for value in own[axis].to_numpy():
                at = own.sel({axis: value})
                quantities = {str(q): numbers(at[q]) for q in at.data_vars}
                place = {"model": name, "group": group, axis: float(value)}
                yield {**place, **quantities}


def sentences(comparison: Comparison) -> list[str]:
    """Say for each value asked whether the choice of law matters to the decision."""
    if comparison.regret:
        budgets = comparison.decisions[STACKED]["flops"].to_numpy()
        return [_on_budget(comparison, float(flops)) for flops in budgets]
    values = comparison.decisions[STACKED][comparison.axis].to_numpy()
    return [_on_value(comparison, float(value)) for value in values]


def _on_budget(comparison: Comparison, flops: float) -> str:
    start = _at(comparison, flops)
    undecided = _worst(comparison, comparison.plausible, flops)
    if undecided and undecided["p_matters"] > 0.5:
        return (
            f"{start} the choice of law matters, and the runs do not tell them apart: "
            f"{_cost(undecided)}."
        )
    worst = _worst(comparison, tuple(comparison.fits), flops)
    if worst["p_matters"] > 0.5:
        told = _told(comparison, worst["chosen"], flops)
        return f"{start} the laws choose differently: {_cost(worst)}. {told}"
    return f"{start} the choice of law hardly matters: at worst {_cost(worst)}."


def _at(comparison: Comparison, value: float) -> str:
    """Name the value asked, and how far it lies beyond the runs."""
    axis = comparison.axis
    unit = "FLOPs" if axis == "flops" else axis
    shown = readable.flops(value) if axis == "flops" else readable.count(value)
    beyond = _beyond(comparison, value)
    far = f", {beyond:.1f} decades beyond the runs," if beyond else ""
    return f"At {shown} {unit}{far}"


def _beyond(comparison: Comparison, value: float) -> float:
    first = next(iter(comparison.fits.values()))
    decades = abs(float(decades_beyond(first, comparison.axis, value)))
    return decades if decades >= 0.05 else 0.0


def _told(comparison: Comparison, law: str, value: float) -> str:
    """Say that the runs speak against a law, and where they cannot."""
    entry = comparison.table.loc[law]
    beyond = "; of laws beyond their range they cannot tell" if _beyond(comparison, value) else ""
    return (
        f"The runs speak against {law} (elpd {entry['elpd_diff']:.1f} ± {entry['se_diff']:.1f} to "
        f"{comparison.table.index[0]}){beyond}."
    )


def _worst(comparison: Comparison, chosen: Sequence[str], flops: float) -> dict[str, Any]:
    """Pick the costliest choice where a law is true that the runs leave possible."""
    found = [
        entry
        for entry in _regrets(comparison)
        if entry["flops"] == flops
        and entry["chosen"] in chosen
        and entry["true"] in comparison.plausible
    ]
    return max(found, key=lambda entry: (entry["p_matters"], entry["median"]), default={})


def _regrets(comparison: Comparison) -> Iterable[dict[str, Any]]:
    """Regret of every choice under every other law, budget by budget."""
    for true, regret in comparison.regret.items():
        for group, own in _by_group(regret):
            for chosen in own["chosen"].to_numpy():
                for flops in own["flops"].to_numpy():
                    draws = own.sel(chosen=chosen, flops=flops)
                    if chosen != true:
                        yield {
                            "chosen": str(chosen),
                            "true": true,
                            "group": group,
                            "flops": float(flops),
                            "p_matters": float((draws > COSTLY).mean()),
                            **numbers(draws),
                        }


def _by_group(draws: Any) -> Iterable[tuple[str | None, Any]]:
    if "group" not in draws.dims:
        return [(None, draws)]
    return [(str(group), draws.sel(group=group)) for group in draws["group"].to_numpy()]


def _cost(entry: Mapping[str, Any]) -> str:
    middle, low, high = (readable.significant(1 + entry[name]) for name in ("median", "q05", "q95"))
    of_group = "" if entry["group"] is None else f" for {entry['group']}"
    return (
        f"the N* of {entry['chosen']}, where {entry['true']} is true, takes {middle} times "
        f"({low} to {high}) the compute of its own{of_group}, "
        f"over {COSTLY:.0%} more with probability {entry['p_matters']:.2f}"
    )


def _on_value(comparison: Comparison, value: float) -> str:
    start = _at(comparison, value)
    found = list(_differences(comparison, value))
    undecided = _clearest([one for one in found if one["plausible"]])
    if undecided and undecided["p_differ"] > 0.5:
        return (
            f"{start} the laws predict different losses, and the runs do not tell them apart: "
            f"{_difference(undecided)}."
        )
    clearest = _clearest(found)
    if clearest["p_differ"] > 0.5:
        told = _told(comparison, clearest["law"], value)
        return f"{start} the laws predict different losses: {_difference(clearest)}. {told}"
    return f"{start} no two laws clearly differ in the loss: at most {_difference(clearest)}."


def _differences(comparison: Comparison, value: float) -> Iterable[dict[str, Any]]:
    """Log ratios of the losses of every two laws of which the runs leave one possible."""
    likely = comparison.plausible
    for than, law in combinations(comparison.fits, 2):  # the best laws first
        if than not in likely:
            than, law = law, than
        if than in likely:
            losses = (comparison.decisions[name]["loss"] for name in (law, than))
            of_law, of_than = (loss.sel({comparison.axis: value}) for loss in losses)
            for group, ratio in _by_group(np.log(of_law / of_than)):
                yield {
                    "law": law,
                    "than": than,
                    "group": group,
                    "plausible": law in likely,
                    # above on one side: two vague laws may be far apart and not differ
                    "p_differ": max(float((side * ratio > APART).mean()) for side in (1, -1)),
                    "p_agree": float((np.abs(ratio) <= APART).mean()),
                    **numbers(np.expm1(ratio)),
                }


def _clearest(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max(found, key=lambda one: (one["p_differ"], abs(one["median"])), default={})


def _difference(one: Mapping[str, Any]) -> str:
    of_group = "" if one["group"] is None else f" for {one['group']}"
    return (
        f"the loss of {one['law']} beside that of {one['than']}{of_group} is {one['median']:+z.1%} "
        f"({one['q05']:+z.1%} to {one['q95']:+z.1%}), within {APART:.0%} with probability "
        f"{one['p_agree']:.2f}"
    )
