"""The parts of a report, in reading order; they show what other modules computed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from bayescale import plots, readable
from bayescale.advice import advise_overtraining, advise_repetition, describe_next_runs
from bayescale.approaches import parabola_bias
from bayescale.checks.result import Check
from bayescale.checks.shape import CurveShape
from bayescale.decisions.data_wall import best_under_wall
from bayescale.decisions.draws import around
from bayescale.decisions.next_runs import log_optimum, suggest_runs
from bayescale.decisions.overtraining import at_size, cheapest, target_loss
from bayescale.fitting import Fit
from bayescale.intervals import CAPTION, numbers
from bayescale.optima import compute_optimal
from bayescale.prediction import residuals
from bayescale.runs import Runs
from bayescale.summary import (
    Companions,
    axis_of,
    loss_of,
    multipliers,
    summarise_held_out,
    summarise_parameters,
    summarise_repetition,
    value_of,
)

DEMANDS = (1e12, 1e13, 1e14)
"""Tokens served for which a report prices models."""

MOST_GROUPS_SHOWN = 4
"""Groups whose own pictures a report shows; tables and summary.json have all."""


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    title: str
    text: str
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    caption: str = ""
    code: str = ""


def sections(
    fit: Fit, budgets: Sequence[float], beside: Companions | None = None
) -> Iterator[Section]:
    """Build the parts of the report in reading order, one at a time."""
    beside = beside or Companions()
    yield from _law_sections(fit, budgets)
    if fit.groups:
        yield from _group_sections(fit, beside)
    elif "R_D" in fit.spec.law.parameters:
        yield _repetition_section(fit)
        yield _wall_section(fit, budgets)
    if beside.profiles is not None and beside.approaches is not None:
        yield from _approach_sections(fit, beside.profiles, beside.approaches)
    yield from _decision_sections(fit, max(budgets))
    if beside.held_out is not None:
        yield _held_out_section(fit, beside.held_out)
    if any(check.name == "LOO-PIT" for check in beside.checks):  # else there is nothing to draw
        yield _misfit_section(beside.checks)
    yield from _shape_sections(beside.checks)
    yield Section(
        "Predicted against observed",
        "Each run with its posterior predictive interval, noise included.",
        figure=plots.plot_predicted(residuals(fit)),
        caption="Bars: central 90% posterior predictive intervals of "
        "the same runs the model was fitted to.",
    )
    yield _parameter_section(fit)
    yield Section(
        "Conventions",
        "What the numbers on this page count and how they were made.",
        table=_ledger(fit),
    )
    yield Section("Model", "The model file that was fitted.", code=fit.spec.source)


def _misfit_section(checks: Sequence[Check]) -> Section:
    return Section(
        "Does the law fit?",
        "Residuals should scatter around zero without a pattern. Where their mean leaves the band "
        "the law is not the right one, and extrapolation along that axis is worse than its "
        "interval says. A pass is no proof: of sharp breaks of an exponent within the range, 30 "
        "runs show fewer than half and 60 runs about two thirds.",
        figure=plots.plot_checks(checks),
        caption="Observed against fitted log loss, one point a run or a cell of seeds. Bands: "
        "where 90% of the bin's means, and of the distribution functions, lie were the law true "
        "(pointwise, from simulated refits).",
    )


def _shape_sections(checks: Sequence[Check]) -> Iterator[Section]:
    for check in checks:
        if isinstance(check.detail, CurveShape):
            axis = check.name.removeprefix("shape along ")
            yield Section(
                check.name.capitalize(),
                f"{check.message.rstrip('.').capitalize()}. Of several curves the one is shown "
                "that looks least like a power law.",
                figure=plots.plot_shape(check.detail, x=axis),
                caption=f"Bands: {CAPTION}s of the curve, without noise.",
            )


def _law_sections(fit: Fit, budgets: Sequence[float]) -> Iterator[Section]:
    """Show the law and its runs, for each group alone where there are few."""
    for name in fit.groups[:MOST_GROUPS_SHOWN] or (None,):
        own = fit if name is None else fit.of_group(name)
        if fit.spec.law.is_joint:
            parts = _allocation_sections(own, compute_optimal(own, list(budgets)))
        else:
            parts = iter([_curve_section(own, max(budgets))])
        for part in parts:
            yield part if name is None else replace(part, title=f"{part.title}: {name}")


def _curve_section(fit: Fit, value: float) -> Section:
    return Section(
        "The law",
        "The runs, the fitted law and where new runs would fall.",
        figure=plots.plot_curve(fit, value),
        caption=f"Bands: {CAPTION}s.",
    )


def _group_sections(fit: Fit, beside: Companions) -> Iterator[Section]:
    if any("group" in value.dims for value in fit.natural.values()):
        yield Section(
            "What differs between groups",
            f"Parameters of each {fit.spec.group}. A new group is what the population of groups "
            "leads one to expect where there are no runs yet; with few groups that is mostly the "
            "prior.",
            figure=plots.plot_forest(fit),
            caption=f"Medians and {CAPTION}s; arrows and numbers: ends outside the panel.",
        )
    if beside.unpooled is not None:
        yield Section(
            "What pooling does",
            "Estimates of groups with few or noisy runs are drawn to the others; those with many "
            "stay where their runs put them.",
            figure=plots.plot_shrinkage(fit, beside.unpooled),
            caption=f"Medians and {CAPTION}s, each group alone and with the others.",
        )
    yield from _multiplier_sections(fit, beside.same_validation)


def _multiplier_sections(fit: Fit, same_validation: bool | None) -> Iterator[Section]:
    found = multipliers(fit, same_validation)
    for reason in dict.fromkeys(reason for reason in found if isinstance(reason, str)):
        yield Section("Compute multiplier", f"Not shown: {reason}.")
    for multiplier in [one for one in found if not isinstance(one, str)][:MOST_GROUPS_SHOWN]:
        group, reference = multiplier.attrs["group"], multiplier.attrs["reference"]
        yield Section(
            f"Compute multiplier: {group} against {reference}",
            "How many times the compute one group needs for the loss of the other, both "
            "compute-optimal. A flat line would be a constant factor.",
            figure=plots.plot_multiplier(multiplier),
            caption=f"Line: median; band: {CAPTION}. Grey: losses outside the runs of one group, "
            "where the curve is the law's word alone.",
        )


def _approach_sections(fit: Fit, profiles: Fit, approaches: xr.Dataset) -> Iterator[Section]:
    left_out = str(approaches.attrs["left_out"])
    path = approaches if approaches.sizes["flops"] > 1 else None  # one budget makes no line
    yield Section(
        "IsoFLOP profiles",
        "A curve for every budget, each with a minimum of its own, tied by a power law in compute "
        "with scatter (Approach 2 of Hoffmann et al. 2022, without the bias of a parabola).",
        figure=plots.plot_minima(profiles, path),
        caption=f"Bars and bands: {CAPTION}s.",
    )
    yield Section(
        "Three approaches",
        "The lower envelope of the runs, the isoFLOP profiles and the joint law, side by side. "
        f"Where they disagree, the law is the first suspect. {_parabola(fit, approaches)}"
        + (f" Left out: {left_out}" if left_out else ""),
        figure=plots.plot_approaches(approaches),
        caption=f"Medians and {CAPTION}s of N* and of its exponent in compute.",
    )


def _parabola(fit: Fit, approaches: xr.Dataset) -> str:
    """Say what a parabola for each budget would get wrong on the grid of these runs."""
    flops = float(approaches["flops"].max())
    error = numbers(parabola_bias(fit, flops)["tokens_error"].squeeze("flops"))
    return (
        "As published, Approach 2 fits parabolas: on the sizes of these runs they would miss D* at "
        f"{readable.flops(flops)} FLOPs by {error['median']:+.1%} ({error['q05']:+.1%} to "
        f"{error['q95']:+.1%}), were the joint law true."
    )


def _repetition_section(fit: Fit) -> Section:
    rows = [
        {
            "model": readable.trimmed(entry["params"]),
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


def _wall_section(fit: Fit, budgets: Sequence[float]) -> Section:
    unique = float(fit.runs.column("unique_tokens").max())
    advice = advise_repetition(fit, budgets, unique)
    return Section(
        "When the data end",
        f"The best model for a budget with {readable.trimmed(unique)} unique tokens, the most that "
        "one of the runs has.",
        pd.DataFrame({"the best model": advice["sentences"]}),
        plots.plot_wall(best_under_wall(fit, around(budgets, points=8), unique)),
        f"Bands: {CAPTION}s.",
    )


def _decision_sections(fit: Fit, flops: float) -> Iterator[Section]:
    """Show what serving changes and what to run next, for a joint law without groups."""
    if not fit.spec.law.is_joint or fit.groups:
        return
    target = target_loss(fit, flops=flops)
    advice = advise_overtraining(fit, target, DEMANDS)
    yield Section(
        "If the model will be served",
        "The loss is that of the compute-optimal model of "
        f"{readable.flops(flops)} FLOPs. A smaller model trained for longer reaches it too, and "
        "costs less to serve: every token served takes 2 FLOPs per parameter, every token trained "
        f"on {fit.runs.flops_per_param_token:.3g}.",
        pd.DataFrame({"the cheapest model": advice["sentences"]}),
        plots.plot_overtraining(cheapest(fit, target, around(DEMANDS))),
        f"Bands: {CAPTION}s. Dashed: tokens per parameter of published models. A FLOP of serving "
        "is priced as one of training.",
    )
    served, best = DEMANDS[1], cheapest(fit, target, DEMANDS[1])
    sizes = around([float(best["params"].median())])
    yield Section(
        "What another size would cost",
        "Too small a model needs more and more tokens until none are enough; too large a one is "
        "dear to serve. In between the choice is cheap.",
        figure=plots.plot_cost(at_size(fit, target, sizes, served), best),
        caption=f"Band: {CAPTION} of the cost of training and serving together.",
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
        return f"at least {readable.significant(low, 2)}"
    return f"{readable.significant(middle, 2)} ({readable.span(low, high, 'plain')})"


def _held_out_section(fit: Fit, runs: Runs) -> Section:
    table, axis = residuals(fit, runs), axis_of(fit)
    rows = [
        {
            "run": row["run"],
            axis: value_of(axis, row[axis]),
            "observed loss": f"{row['loss']:.3f}",
            "predicted, 90% of new runs": loss_of(row["predicted"]),
            "observed against predicted": f"{np.expm1(row['residual']):+.1%}",
        }
        for row in summarise_held_out(runs, table, axis)["rows"]
    ]
    return Section(
        "Runs held back",
        "How well the fit predicts runs it has not seen. If far fewer than 90% of them lie inside "
        "their interval, the law is wrong out there, and every interval on this page that lies "
        "beyond the fitted runs is too narrow.",
        pd.DataFrame(rows),
        plots.plot_predicted(table),
        "Bars: central 90% posterior predictive intervals of runs the model has not seen.",
    )


def _parameter_section(fit: Fit) -> Section:
    rows = [
        {
            "parameter": name,
            "median": _digits(entry["median"]),
            "90% interval": f"{_digits(entry['q05'])} to {_digits(entry['q95'])}"
            if entry["q95"] is not None
            else f"at least {_digits(entry['q05'])} (not identified)",
            "prior": _prior(fit, name),
            "R-hat": f"{entry['r_hat']:.3f}",
            "effective draws": f"{entry['ess_bulk']:.0f}",
        }
        for name, entry in summarise_parameters(fit).items()
    ]
    return Section(
        "Parameters",
        f"{fit.spec.summary} Rounded here: decide with the draws in fit.nc, since exponents "
        "of two digits move a best size by a tenth and more.",
        pd.DataFrame(rows),
        plots.plot_parameters(fit),
        f"Grey: prior; blue: posterior with its {CAPTION}; each scaled to the same height. Where "
        "they look alike, the runs say nothing about that parameter.",
    )


def _digits(value: float | None) -> str:
    return "" if value is None else readable.significant(value, 4)


def _prior(fit: Fit, label: str) -> str:
    """Say where a parameter's prior comes from."""
    name = label.partition("[")[0]
    if name.endswith("_scale"):
        return str(fit.spec.scales[name.removesuffix("_scale")])
    if name in fit.spec.partial:
        return "the population"
    name = name.removesuffix("_population")
    return str(fit.spec.sampled.get(name, "follows from the sampled coordinates"))


def _allocation_sections(fit: Fit, optima: xr.Dataset) -> Iterator[Section]:
    yield Section(
        "Compute-optimal models",
        "How the best size and number of tokens move with compute.",
        figure=plots.plot_allocation(fit, optima),
        caption=f"Bands and bars: {CAPTION}s. Shaded: compute of the runs; the law is tested "
        "only there.",
    )
    yield Section(
        "How much the choice matters",
        "IsoFLOP curves are flat at the bottom: a range of sizes "
        "is nearly as good as the best one.",
        figure=plots.plot_basin(fit, optima),
        caption=f"Loss above the optimum at the same compute; band: {CAPTION}. Green: sizes "
        "that waste at most 1% or 10% of the compute, 95% sure at either end.",
    )
    yield Section(
        "The runs and the law",
        "Runs of equal compute, with the fitted isoFLOP curves.",
        figure=plots.plot_isoflop(fit),
        caption=f"Coloured: runs on an isoFLOP curve; grey: the others; bands: {CAPTION}s of the "
        "law, without run-to-run noise.",
    )


def _ledger(fit: Fit) -> pd.DataFrame:
    runs, attrs = fit.runs, fit.tree.attrs
    entries = {
        "Runs": f"{len(runs)} used, from {runs.source}",
        "sha256 of the file": runs.sha256 or "none: a table in memory",
        "What was done to the table": "; ".join(runs.ledger) or "nothing",
        "N counts": f"{runs.params_are} parameters"
        if runs.params_are != "not stated"
        else "not stated (say it with --params-are: embeddings in or out moves the exponents)",
        "Compute": f"C = kND with k = {runs.flops_per_param_token:.3g}",
        "Units": "loss in nats per token, natural logarithm, compute in FLOPs",
        "Likelihood": f"{fit.spec.noise} on log loss",
        "Intervals": f"{CAPTION}, from the 5% to the 95% quantile",
        "Sampler": f"nutpie, {fit.posterior.sizes['chain']} chains of "
        f"{fit.posterior.sizes['draw']} draws, "
        f"{attrs['adaptation']} adaptation, target acceptance {attrs['target_accept']:g}, "
        f"{'' if attrs.get('thin', 1) == 1 else 'one draw in ' + str(attrs['thin']) + ' kept, '}"
        f"seed {attrs['seed']}",
        "Versions": ", ".join(
            f"{name} {number}" for name, number in json.loads(attrs["versions"]).items()
        ),
    }
    if not fit.spec.law.is_joint:
        del entries["N counts"], entries["Compute"]
    return pd.DataFrame({"convention": entries.keys(), "here": entries.values()})
