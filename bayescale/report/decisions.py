"""What the fit says one should do."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bayescale import plots, words
from bayescale.report.advice import advise_repetition, describe_next_runs, describe_overtraining
from bayescale.decisions.wall import best_under_wall
from bayescale.decisions.next_runs import log_optimum, suggest_runs
from bayescale.decisions.overtraining import at_size, cheapest, target_loss
from bayescale.posterior.fit import Fit
from bayescale.draws import CAPTION
from bayescale.decisions.allocation import compute_optimal
from bayescale.posterior.prediction import with_few_draws
from bayescale.plots.decisions import around
from bayescale.report.section import Section
from bayescale.report.summary import summarise_repetition

DEMANDS = (1.0, 10.0, 100.0)
"""Tokens served for which a report prices models, in about as many as the best model trains on."""


def repetition_section(fit: Fit) -> Section:
    """Say what repeated data are worth, at several sizes."""
    rows = [
        {
            "model": words.trimmed(entry["params"]),
            "what the runs say": entry["sentence"],
            "epochs until a token is worth 50%": _least_or_all(entry["epochs_until"][1]["epochs"]),
        }
        for entry in summarise_repetition(fit)
    ]
    return Section(
        "What repeated data are worth",
        "The worth of the next token of data seen before, in fresh tokens. Runs that repeat their "
        "data often may also end above the law, by overfitting: the curves leave that out, the "
        "predictive intervals of this page do not.",
        pd.DataFrame(rows),
        plots.plot_repetition_value(fit),
        f"Bands: {CAPTION}s; dotted: beyond the epochs of the runs of about that size; dashed: "
        "a lower bound, where the runs tell no more.",
    )


def wall_section(fit: Fit, budgets: Sequence[float]) -> Section:
    """Show the best model when only so many unique tokens are to be had."""
    unique = float(fit.runs.column("unique_tokens").max())
    advice = advise_repetition(fit, budgets, unique)
    return Section(
        "When the data end",
        f"The best model for a budget with {words.trimmed(unique)} unique tokens, the most that "
        "one of the runs has.",
        pd.DataFrame({"the best model": advice["sentences"]}),
        plots.plot_wall(best_under_wall(fit, around(budgets, points=8), unique)),
        f"Bands: {CAPTION}s.",
    )


def decision_sections(fit: Fit, flops: float, exact: Fit | None) -> Iterator[Section]:
    """Show what serving changes and what to run next, for a joint law without groups."""
    if not fit.law.is_joint or fit.groups:
        return
    few = with_few_draws(fit)  # a search for every draw and demand
    target = target_loss(few, flops=flops)
    trained = compute_optimal(few, flops, exponents=False)["tokens"].median()
    demands = (10.0 ** np.round(np.log10(trained.item())) * np.array(DEMANDS)).tolist()
    found = cheapest(few, target, [*demands, *around(demands)])
    asked = found.sel(inference_tokens=demands)
    said = {"the cheapest model": describe_overtraining(few, target, asked)["sentences"]}
    if exact is not None:
        exact = with_few_draws(exact)
        of_exact = target_loss(exact, flops=flops)
        beside = cheapest(exact, of_exact, demands)
        said["were the law exact"] = describe_overtraining(exact, of_exact, beside)["sentences"]
    yield Section(
        "If the model will be served",
        "The loss is that of the compute-optimal model of "
        f"{words.flops(flops)} FLOPs. A smaller model trained for longer reaches it too, and "
        "costs less to serve: every token served takes 2 FLOPs per parameter, every token trained "
        f"on {fit.runs.flops_per_param_token:.3g}. By about 1,000 draws.",
        pd.DataFrame(said),
        plots.plot_overtraining(found),
        f"Bands: {CAPTION}s, of about 1,000 draws. Dashed: tokens per parameter of published "
        "models. A FLOP of serving is priced as one of training.",
    )
    served, best = demands[1], found.sel(inference_tokens=[demands[1]])
    sizes = at_size(few, target, around([float(best["params"].median())]), served)
    if (sizes["infeasible"] < 0.5).any():
        yield Section(
            "What another size would cost",
            "Too small a model needs more and more tokens until none are enough; too large a one "
            "is dear to serve. In between the choice is cheap.",
            figure=plots.plot_cost(sizes, best),
            caption=f"Band: {CAPTION} of the cost of training and serving together, of about "
            "1,000 draws.",
        )
    spent = float(fit.runs.column("flops").sum())
    suggestion = suggest_runs(fit, log_optimum(fit, flops), max_flops=spent)
    yield Section(
        "What to run next",
        " ".join(describe_next_runs(suggestion)["sentences"])
        + " The budget is what all runs so far cost together.",
        figure=plots.plot_next_runs(suggestion, fit.runs),
        caption="Colour: share of the posterior variance that one run is expected to remove, from "
        "the draws; rings: the runs to make together, in order.",
    )


def _least_or_all(epochs: dict[str, float | None]) -> str:
    low, middle, high = (epochs[name] for name in ("q05", "median", "q95"))
    if low is None:
        return "not identified"
    if middle is None or high is None:
        return f"at least {words.significant(low, 2)}"
    return f"{words.significant(middle, 2)} ({words.span(low, high, 'plain')})"
