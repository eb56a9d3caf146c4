"""The parts of a report in reading order."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from bayescale import plots, words
from bayescale.curves.shape import CurveShape
from bayescale.decisions.accuracies import Accuracies
from bayescale.decisions.allocation import best_models, compute_optimal
from bayescale.decisions.answer import (
    Quantity,
    count_of,
    flops_of,
    interval_of,
    number_of,
    response_of,
    response_writer,
    share_of,
)
from bayescale.decisions.approaches import answer_approaches
from bayescale.decisions.multiplier import multipliers
from bayescale.decisions.next_runs import answer_next_runs, log_optimum, suggest_runs
from bayescale.decisions.overtraining import answer_overtraining, at_size, cheapest, target_loss
from bayescale.decisions.predictions import (
    answer_bend,
    inputs_in_json,
    inputs_in_words,
    of_new_run,
    predictions,
)
from bayescale.decisions.repetition import answer_repetition
from bayescale.decisions.targets import accuracies_of, answer_tasks
from bayescale.decisions.tune import answer_settings, is_sweep, setting
from bayescale.decisions.wall import answer_wall, best_under_wall
from bayescale.draws import CAPTION
from bayescale.errors import UnansweredError
from bayescale.evaluation.backtest import SCORED, Backtest, answer_backtest
from bayescale.evaluation.checks.axes import rises
from bayescale.evaluation.checks.held_out import held_out_rows
from bayescale.evaluation.checks.refits import MOST_SHOWN
from bayescale.evaluation.scores import as_share, percent
from bayescale.laws import Response
from bayescale.plots.decisions import around
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import residuals, with_few_draws
from bayescale.report.record import Best, Companions, parameters
from bayescale.runs.check import Check
from bayescale.runs.table import Runs

MOST_GROUPS_SHOWN = 4
"""Groups whose own pictures a report shows; tables and summary.json have all."""

MOST_LISTED = 200
"""Runs held back that the page lists."""

_LARGE = 1e9  # numbers from which on are written as 3e20

DEMANDS = (1.0, 10.0, 100.0)
"""Tokens served for which a report prices models, in about as many as the best model trains on."""


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Parameters
    ----------
    title, text : str
    table : pandas.DataFrame, optional
    figure : matplotlib.figure.Figure, optional
    caption : str, optional
        Of the figure.
    code : str, optional
        Shown as it is.
    """

    title: str
    text: str
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    caption: str = ""
    code: str = ""

    @property
    def anchor(self) -> str:
        """Name of its place on the page."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def decision_pictures(
    fit: Fit, budgets: Sequence[float], held_out: Runs | None = None
) -> list[Section]:
    """Show what was asked in one picture: isoFLOP curves, or the law along its axis.

    Parameters
    ----------
    fit : Fit
    budgets : sequence of float
        Values to answer for: compute, or those of the one axis.
    held_out : Runs, optional
        Runs that were not fitted.

    Returns
    -------
    list of Section
        One; of a law of a single axis one for each group, of draws that did not converge none.
    """
    try:
        with fit.asked():
            if fit.law.is_joint:
                return [_decision_section(fit, budgets, held_out)]
            if fit.spec.law.has_profiles:
                return [_profiles_section(fit)]
            if fit.groups and (tasks := accuracies_of(fit)) is not None:
                return [_tasks_section(tasks, max(budgets))]
            if is_sweep(fit):
                return list(_setting_paths(fit, fit.spec.axes[0]))
            groups = fit.groups[:MOST_GROUPS_SHOWN] or (None,)
            return [
                _curve_section(fit if name is None else fit.of_group(name), max(budgets), name)
                for name in groups
            ]
    except UnansweredError:
        return []


def _decision_section(fit: Fit, budgets: Sequence[float], held_out: Runs | None) -> Section:
    return Section(
        "Which size is best",
        "",
        figure=plots.plot_decision(fit, budgets, held_out),
        caption="Loss over the size of the model, at fixed compute. "
        f"Bands: {CAPTION}s, without run-to-run noise.",
    )


def _tasks_section(tasks: Accuracies, farthest: float) -> Section:
    return Section(
        "Accuracy of the tasks",
        "",
        figure=plots.plot_targets(tasks, farthest=farthest),
        caption="Accuracy over compute at the median tokens per parameter of the runs. Each run is "
        f"as far from the line as from what the law says of it. Bands: {CAPTION}s, of about 1,000 "
        "draws, without the noise of a run.",
    )


def _profiles_section(fit: Fit) -> Section:
    return Section(
        "IsoFLOP profiles",
        "",
        figure=plots.plot_minima(fit),
        caption="The best size of each budget, where its curve of loss against size has its "
        f"minimum, and the power law through them. Bars and bands: {CAPTION}s.",
    )


def sections(
    fit: Fit, budgets: Sequence[float], beside: Companions | None = None
) -> Iterator[Section]:
    """Build the parts of the report in reading order, one at a time.

    Parameters
    ----------
    fit : Fit
    budgets : sequence of float
        Values to answer for: compute, or those of the one axis.
    beside : Companions, optional
        What was made beside the fit.

    Yields
    ------
    Section
    """
    for title, make in _parts(fit, budgets, beside or Companions()):
        try:
            with fit.asked():
                yield from make()
        except UnansweredError as error:
            yield Section(title, f"These draws did not converge, and cannot say it ({error}).")
    yield conventions_section(fit)
    yield Section("Model", "The model file that was fitted.", code=fit.spec.source)


def _parts(
    fit: Fit, budgets: Sequence[float], beside: Companions
) -> Iterator[tuple[str, Callable[[], Iterable[Section]]]]:
    """Give the parts that draws decide, each with the title of a page without it."""
    yield "The law", lambda: law_sections(fit, budgets, beside.exact)
    if beside.best:
        yield "The best inputs", lambda: best_sections(fit, beside.best)
    if (tasks := accuracies_of(fit)) is not None:
        yield "Tasks", lambda: task_sections(tasks)
    if is_sweep(fit):
        yield "Settings", lambda: setting_sections(fit)
    if fit.groups and not fit.spec.covariates:  # those have paths in place of a population
        yield "Groups", lambda: group_sections(fit, beside)
    elif "R_D" in fit.spec.law.parameters:
        yield "Repetition", lambda: (repetition_section(fit), wall_section(fit, budgets))
    if beside.profiles is not None and beside.approaches is not None:
        profiles, approaches = beside.profiles, beside.approaches
        yield "Approaches", lambda: approach_sections(fit, profiles, approaches)
    yield "Decisions", lambda: decision_sections(fit, max(budgets), beside.exact)
    if (backtest := beside.backtest) is not None:
        yield "Backtest", lambda: (backtest_section(backtest),)
    if (held_out := beside.held_out) is not None:
        yield "Runs held back", lambda: (_held_out_section(fit, held_out),)
    if any(check.name == "LOO-PIT" for check in beside.checks):  # else there is nothing to draw
        yield "Does the law fit?", lambda: (_misfit_section(beside.checks, fit.spec.response),)
    yield "Shape of curves", lambda: _shape_sections(fit, beside.checks)
    yield "Predicted against observed", lambda: (_predicted_section(fit),)
    yield "Parameters", lambda: (parameter_section(fit),)


def task_sections(tasks: Accuracies) -> Iterator[Section]:
    """List what the runs know of each task, and show a task that seems to emerge as what it is.

    Parameters
    ----------
    tasks : Accuracies

    Yields
    ------
    Section
    """
    said = answer_tasks(tasks.fit)
    entries = said.numbers["tasks"]
    rows = [
        {
            "task": entry["task"],
            "runs": entry["runs"],
            "items": "" if entry["items"] is None else f"{entry['items']:,.0f}",
            "chance": "" if entry["chance"] is None else f"{entry['chance']:.1%}",
            "largest run": f"{words.flops(entry['flops'])} FLOPs",
            "its accuracy": f"{entry['observed']:.1%}",
            "known beyond guessing, by the law": share_of(entry["known"]),
        }
        for entry in entries
    ]
    yield Section(
        "Tasks",
        "Q is the share of the items that a run knows beyond guessing. The less of it the largest "
        "run has, the less the runs say of how the task goes on. " + " ".join(said.sentences),
        pd.DataFrame(rows),
    )
    least = min(entries, key=lambda entry: entry["known"]["median"])["task"]
    yield Section(
        f"Emergence: {least}",
        "Of the task that is known least. The law is of -log Q, which falls as smoothly as a "
        "loss. The accuracy stays at chance as long as Q is small, and then seems to jump.",
        figure=plots.plot_emergence(tasks, least),
        caption=f"The same law and the same runs twice. Bands: {CAPTION}s.",
    )


def setting_sections(fit: Fit) -> Iterator[Section]:
    """Show the bowl of each cell of a sweep, and how the best settings move between them.

    Parameters
    ----------
    fit : Fit

    Yields
    ------
    Section
    """
    said = answer_settings(fit)
    rows = [
        {
            str(fit.spec.group): cell["cell"],
            "runs": cell["runs"],
            "far off or diverged": cell["far"],
            **{f"best {k}": interval_of(own, setting) for k, own in cell["best"].items()},
            **{f"{k} bracketed": f"{words.chance(own)}" for k, own in cell["p_inside"].items()},
        }
        for cell in said.numbers["settings"]["cells"]
    ]
    yield Section(
        "Best settings",
        " ".join(said.sentences) + " For a planned run ask bayescale tune fit.nc --params 7e9 "
        "--tokens 1.4e12.",
        pd.DataFrame(rows),
    )
    for knob in fit.spec.axes:
        yield Section(
            f"Bowls along {knob}",
            "",
            figure=plots.plot_bowls(fit, knob),
            caption="Loss above the least of each cell, other settings at their best. Each run is "
            f"as far from the line as from what the law says of it. Bands: {CAPTION}s.",
        )
        if knob != fit.spec.axes[0]:  # whose path opens the page
            yield from _setting_paths(fit, knob)


def _setting_paths(fit: Fit, knob: str) -> Iterator[Section]:
    """Show how the best value of a setting moves along each column."""
    for column in fit.spec.covariates:
        yield Section(
            f"Best {knob} along {column}",
            "",
            figure=plots.plot_setting_path(fit, knob, column),
            caption=f"Bars and band: {CAPTION}s.",
        )


def _predicted_section(fit: Fit) -> Section:
    return Section(
        "Predicted against observed",
        "Each run with its posterior predictive interval, noise included.",
        figure=_predicted(fit),
        caption="Bars: central 90% posterior predictive intervals of "
        "the same runs the model was fitted to. Titles of tasks count the runs inside."
        if fit.groups and fit.spec.response.scale == "share"
        else "Bars: central 90% posterior predictive intervals of "
        "the same runs the model was fitted to.",
    )


def _predicted(fit: Fit, table: pd.DataFrame | None = None) -> Figure:
    """Draw runs against what is predicted of them; those of accuracies a panel a task."""
    if fit.groups and fit.spec.response.scale == "share":
        return plots.plot_predicted_tasks(fit, table)
    return plots.plot_predicted(fit, table)


def _misfit_section(checks: Sequence[Check], response: Response) -> Section:
    log = "log " if response.scale == "log" else ""
    return Section(
        "Does the law fit?",
        "Residuals should scatter around zero without a pattern. Where their mean leaves the band "
        "the law is not the right one, and extrapolation along that axis is worse than its "
        "interval says. A pass is no proof: of sharp breaks of an exponent within the range, 30 "
        "runs show fewer than half and 60 runs about two thirds.",
        figure=plots.plot_checks(checks),
        caption=f"Observed against fitted {log}{response.name}, one point a run or a cell of "
        "seeds, of more "
        f"than {MOST_SHOWN} a random choice of that many. Bands: where 90% of the bin's means, and "
        "of the distribution functions, lie were the law true (pointwise, from simulated refits).",
    )


def _shape_sections(fit: Fit, checks: Sequence[Check]) -> Iterator[Section]:
    own = fit.spec.response
    for check in checks:
        if isinstance(check.detail, CurveShape):
            yield Section(
                check.name.capitalize(),
                f"{check.message.rstrip('.').capitalize()}. Of several curves the one is shown "
                "that looks least like a power law.",
                figure=plots.plot_shape(
                    check.detail,
                    x=check.along,
                    y=f"1/({own.name})" if rises(fit, check.along) else own.label,
                ),
                caption=f"Bands: {CAPTION}s of the curve, without noise; darker: central 50%.",
            )


def _held_out_section(fit: Fit, runs: Runs) -> Section:
    table, axis, own = residuals(fit, runs), fit.spec.size, fit.spec.response
    write, listed = response_writer(own), table.head(MOST_LISTED)
    column = str(fit.spec.group)
    groups = [{column: str(name)} for name in listed[column]] if fit.groups else [{}] * len(listed)
    rows = [
        {
            "run": row["run"],
            **group,
            **({axis: words.size(axis, row[axis])} if axis else {}),
            f"observed {own.name}": write(row[own.column]),
            "predicted, 90% of new runs": interval_of(row["predicted"], write),
            "observed against predicted": _against(own, row["residual"]),
        }
        for row, group in zip(held_out_rows(listed, axis, own.column), groups, strict=True)
    ]
    rest = len(table) - len(rows)
    return Section(
        "Runs held back",
        "How well the fit predicts runs it has not seen. If far fewer than 90% of them lie inside "
        "their interval, the law is wrong out there, and every interval on this page that lies "
        "beyond the fitted runs is too narrow."
        + (f" {rest} more than are listed here are in summary.json." if rest else ""),
        pd.DataFrame(rows),
        _predicted(fit, table),
        "Bars: central 90% posterior predictive intervals of runs the model has not seen.",
    )


def _against(response: Response, residual: float) -> str:
    return f"{100 * as_share(response, residual):+.1f}{percent(response)}"


def law_sections(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> Iterator[Section]:
    """Show the law and its runs, for each group alone where there are few.

    Parameters
    ----------
    fit : Fit
    budgets : sequence of float
        Values to answer for: compute, or those of the one axis.
    exact : Fit or None
        The law taken as exact, where that of `fit` may bend.

    Yields
    ------
    Section
    """
    if fit.spec.law.has_profiles:
        return
    for name in fit.groups[:MOST_GROUPS_SHOWN] or (None,):
        own = fit if name is None else fit.of_group(name)
        parts = _allocation_sections(own, budgets) if fit.law.is_joint else iter(())
        for part in (*parts, *_beyond_sections(own, budgets, exact)):
            yield part if name is None else replace(part, title=f"{part.title}: {name}")


def _beyond_sections(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> Iterator[Section]:
    """Set the law that may bend beside the exact one, where they answer beyond the runs."""
    if exact is None:
        return
    if fit.law.is_joint:
        entries = best_models(fit, budgets, exact)
    else:
        entries = predictions(fit, budgets, exact)
    entries = [entry for entry in entries if entry["decades_beyond"]]
    if not entries:
        return
    yield Section(
        "Beyond the runs",
        " ".join(answer_bend(fit).sentences)
        + " Taken as exact, the law is surer than that, and often wrong beyond the runs.",
        pd.DataFrame([row for entry in entries for row in _beyond_rows(entry, fit.spec.response)]),
        plots.plot_beyond(fit, exact, max(budgets)),
        f"Lines: medians; bands: {CAPTION}s of the law, without run-to-run noise.",
    )


def _beyond_rows(entry: dict[str, Any], response: Response) -> Iterator[dict[str, str]]:
    """One row a quantity: by the law that may bend, and by the exact one."""
    axis, value = ("flops", entry["flops"]) if "flops" in entry else (entry["axis"], entry["value"])
    place = f"at {words.size(axis, value)} {'FLOPs' if axis == 'flops' else axis}"
    writers: dict[str, tuple[str, Callable[[Quantity], str]]] = {
        "params": ("N*", count_of),
        "tokens": ("D*", count_of),
        response.column: (response.name, lambda value: response_of(value, response)),
        of_new_run(response): (
            f"{response.name} of a new run",
            lambda value: response_of(value, response),
        ),
    }
    for name, (label, write) in writers.items():
        if name in entry:
            yield {
                "quantity": f"{label} {place}",
                "law may bend (used)": write(entry[name]),
                "law exact": write(entry["exact"][name]),
                "decades beyond": words.significant(entry["decades_beyond"], 2),
            }


def _curve_section(fit: Fit, value: float, group: str | None) -> Section:
    caption = f"The runs, the law, and where new runs would fall. Bands: {CAPTION}s."
    if further := [name for name in fit.law.further if fit.law.trades]:
        values = ", ".join(f"{name}=..." for name in further)
        caption += (
            f" To ask which size is best for a budget give {', '.join(further)} as well: with "
            f"fit.at({values}), or --at on the command line."
        )
    title = "The law" if group is None else f"The law: {group}"
    return Section(title, "", figure=plots.plot_curve(fit, value), caption=caption)


def best_sections(fit: Fit, best: Sequence[Best]) -> Iterator[Section]:
    """Show the best value of every knob, and the best mixture.

    Parameters
    ----------
    fit : Fit
    best : sequence of Best
        What `bayescale.report.record.best_inputs` finds.

    Yields
    ------
    Section
    """
    for one in [one for one in best if one.group in (None, *fit.groups[:MOST_GROUPS_SHOWN])]:
        own, over = fit if one.group is None else fit.of_group(one.group), one.found.attrs["over"]
        mixed = over in fit.spec.law.role("shares")
        yield Section(
            f"The best {over}" + ("" if one.group is None else f": {one.group}"),
            " ".join(one.answer.sentences),
            figure=plots.plot_optimum(own, one.found),
            caption=f"Orange: the best shares, medians and {CAPTION}s; grey: shares of the runs."
            if mixed
            else f"Orange: the best value and its {CAPTION}; blue: the law, without run-to-run "
            "noise; black: the runs, each as far from the line as from what the law says of it.",
        )


def _allocation_sections(fit: Fit, budgets: Sequence[float]) -> Iterator[Section]:
    optima = compute_optimal(fit, list(budgets))
    yield Section(
        "Compute-optimal models",
        "How the best size and number of tokens move with compute.",
        figure=plots.plot_allocation(fit, optima),
        caption=f"Bands (of about 1,000 draws) and bars: {CAPTION}s. Shaded: compute of the runs.",
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
        "The runs, with isoFLOP curves of the law.",
        figure=plots.plot_isoflop(fit),
        caption=f"Coloured: runs of equal compute; grey: other runs; bands: {CAPTION}s of the law, "
        "without run-to-run noise.",
    )


def group_sections(fit: Fit, beside: Companions) -> Iterator[Section]:
    """Show what differs between groups, what pooling does, and the compute each needs.

    Parameters
    ----------
    fit : Fit
        With groups.
    beside : Companions

    Yields
    ------
    Section
    """
    one = words.spaced(str(fit.spec.group))
    if any("group" in value.dims for value in fit.natural.values()):
        new = (
            f"A new {one} is what the others lead one to expect where there are no runs yet; with "
            "few of them that is mostly the prior. "
        )
        yield Section(
            f"What differs by {one}",
            f"Parameters of each {one}. {new if fit.spec.partial else ''}"
            "A model with groups takes its law as exact, also beyond the runs.",
            figure=plots.plot_forest(fit),
            caption=f"Medians and {CAPTION}s; arrows and numbers: ends outside the panel.",
        )
    if beside.unpooled is not None:
        yield Section(
            "What pooling does",
            f"Each {one} with few or noisy runs is drawn to the others; one with many stays where "
            "its runs put it.",
            figure=plots.plot_shrinkage(fit, beside.unpooled),
            caption=f"Medians and {CAPTION}s, each {one} alone and with the others.",
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


def approach_sections(fit: Fit, profiles: Fit, approaches: xr.Dataset) -> Iterator[Section]:
    """Set the three approaches to compute-optimal models side by side.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    profiles : Fit
        Of ``isoflop-profiles``, to the same runs.
    approaches : xarray.Dataset
        What `bayescale.compare_approaches` returns.

    Yields
    ------
    Section
    """
    said = answer_approaches(fit, approaches)
    left_out, parabola = said.numbers["approaches"]["left_out"], said.sentences[1]
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
        f"Where they disagree, the law is the first suspect. {parabola}"
        + (f" Left out: {' '.join(left_out)}" if left_out else ""),
        figure=plots.plot_approaches(approaches),
        caption=f"Medians and {CAPTION}s of N* and of its exponent in compute.",
    )


def repetition_section(fit: Fit) -> Section:
    """Say what repeated data are worth, at several sizes.

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data.

    Returns
    -------
    Section
    """
    rows = [
        {
            "model": words.trimmed(entry["params"]),
            "what the runs say": entry["sentence"],
            "epochs until a token is worth 50%": _least_or_all(entry["epochs_until"][1]["epochs"]),
        }
        for entry in answer_repetition(fit).numbers["repetition"]
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
    """Show the best model when only so many unique tokens are to be had.

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data.
    budgets : sequence of float

    Returns
    -------
    Section
    """
    unique = float(fit.runs.column("unique_tokens").max())
    said = answer_wall(fit, budgets, unique).sentences
    return Section(
        "When the data end",
        f"The best model for a budget with {words.trimmed(unique)} unique tokens, the most that "
        "one of the runs has.",
        pd.DataFrame({"the best model, and what more would do": said}),
        plots.plot_wall(best_under_wall(fit, around(budgets, points=8), unique)),
        f"Bands: {CAPTION}s.",
    )


def decision_sections(fit: Fit, flops: float, exact: Fit | None) -> Iterator[Section]:
    """Show what serving changes and what to run next, for a joint law without groups.

    Parameters
    ----------
    fit : Fit
    flops : float
        Compute of the model that a smaller one is to equal in loss.
    exact : Fit or None
        The law taken as exact, where that of `fit` may bend.

    Yields
    ------
    Section
    """
    if not fit.law.is_joint or fit.groups:
        return
    few = with_few_draws(fit)  # a search for every draw and demand
    target = target_loss(few, flops=flops)
    trained = compute_optimal(few, flops, exponents=False)["tokens"].median()
    demands = (10.0 ** np.round(np.log10(trained.item())) * np.array(DEMANDS)).tolist()
    found = cheapest(few, target, [*demands, *around(demands)])
    asked = found.sel(inference_tokens=demands)
    said = answer_overtraining(few, target, asked)
    rows = said.numbers["overtraining"]
    exactly = None
    if exact is not None:
        exact = with_few_draws(exact)
        of_exact = target_loss(exact, flops=flops)
        beside = answer_overtraining(exact, of_exact, cheapest(exact, of_exact, demands))
        exactly = beside.numbers["overtraining"]
    yield Section(
        "If the model will be served",
        "The loss is that of the compute-optimal model of "
        f"{words.flops(flops)} FLOPs. A smaller model trained for longer reaches it too, and "
        "costs less to serve: every token served takes 2 FLOPs per parameter, every token trained "
        f"on {fit.runs.flops_per_param_token:.3g}. By about 1,000 draws. "
        + " ".join(said.sentences[len(rows) :]),
        _served_models(rows, exactly),
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
    said = answer_next_runs(fit, suggestion)
    yield Section(
        "What to run next",
        " ".join(said.sentences[1:]) + " The budget is what all runs so far cost together.",
        _suggested(said.numbers),
        figure=plots.plot_next_runs(suggestion, fit.runs),
        caption="Colour: share of the posterior variance that one run is expected to remove, from "
        "the draws; rings: the runs to make together, in order.",
    )


def _served_models(
    entries: Sequence[dict[str, Any]], exact: Sequence[dict[str, Any]] | None
) -> pd.DataFrame:
    """Tabulate the cheapest model for each number of tokens served."""
    rows = [
        {
            "tokens served": words.trimmed(entry["inference_tokens"]),
            "cheapest model": count_of(entry["params"]),
            "tokens": count_of(entry["tokens"]),
            "tokens per parameter": number_of(entry["tokens_per_param"]),
            "FLOPs in all": flops_of(entry["cost"]),
            "saved against compute-optimal": share_of(entry["saved"]),
        }
        for entry in entries
    ]
    if exact is not None:
        for row, entry in zip(rows, exact, strict=True):
            row["cheapest, were the law exact"] = count_of(entry["params"])
    return pd.DataFrame(rows)


def _suggested(found: dict[str, Any]) -> pd.DataFrame:
    """Tabulate runs to make, in order, and what is removed of the variance up to each."""
    return pd.DataFrame(
        {
            "run": place,
            "parameters": words.count(run["params"]),
            "tokens": words.count(run["tokens"]),
            "FLOPs": words.flops(run["flops"]),
            f"variance of {found['quantity']} removed so far": f"{run['reduction']:.0%}",
        }
        for place, run in enumerate(found["next_runs"], 1)
    )


def _least_or_all(epochs: Quantity) -> str:
    low, middle, high = (epochs[name] for name in ("q05", "median", "q95"))
    if low is None:
        return "not identified"
    if middle is None or high is None:
        return f"at least {words.significant(low, 2)}"
    return f"{words.significant(middle, 2)} ({words.span(low, high, 'plain')})"


def backtest_section(found: Backtest) -> Section:
    """Show what the intervals of earlier fits held of the runs that came later.

    Parameters
    ----------
    found : Backtest

    Returns
    -------
    Section
    """
    unit = percent(found.response)
    rows = [
        {
            "decades beyond": distance,
            "law": SCORED[law],
            "predictions": f"{row['predictions']:.0f} from {row['cuts']:.0f} "
            f"cut{'s' if row['cuts'] > 1 else ''}",
            "inside 90%": f"{row['coverage90']:.0%}",
            "80%": f"{row['coverage80']:.0%}",
            "50%": f"{row['coverage50']:.0%}",
            "width of 90%": f"{100 * row['width90']:.1f}{unit}",
            "typical error": f"{100 * row['rmsle']:.1f}{unit}",
            "CRPS": words.significant(row["crps"], 2),
        }
        for (law, distance), row in found.summary.iterrows()
    ]
    return Section(
        "How far the intervals were tested",
        " ".join(answer_backtest(found).sentences),
        pd.DataFrame(rows),
        plots.plot_backtest(found),
        "Each fit saw only the runs up to its cut and predicted the later ones, noise included. "
        "CRPS as the residuals are (smaller is better); next block: up to the next "
        "cut, so that every run counts once.",
    )


def parameter_section(fit: Fit) -> Section:
    """List every parameter beside its prior.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Section
    """
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
        for name, entry in parameters(fit).items()
    ]
    return Section(
        "Parameters",
        f"{fit.spec.summary} Rounded here: decide with the draws in fit.nc"
        + (
            ", since exponents of two digits move a best size by a tenth and more."
            if fit.spec.law.trades
            else "."
        ),
        pd.DataFrame(rows),
        plots.plot_parameters(fit),
        f"Grey: prior; blue: posterior with its {CAPTION}; each scaled to the same height. Where "
        "they look alike, the runs say nothing about that parameter.",
    )


def _digits(value: float | None) -> str:
    if value is None:
        return ""
    return words.flops(value) if abs(value) >= _LARGE else words.significant(value, 4)


def _prior(fit: Fit, label: str) -> str:
    """Say where a parameter's prior comes from."""
    name = label.partition("[")[0]
    if name in fit.spec.between:
        return str(fit.spec.between[name])
    if name in fit.spec.partial:
        return "the population"
    name = name.removesuffix("_population")
    return str(fit.spec.sampled.get(name, "follows from the sampled coordinates"))


def conventions_section(fit: Fit) -> Section:
    """Say what the numbers on the page count and how they were made.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Section
    """
    return Section(
        "Conventions",
        "What the numbers on this page count and how they were made.",
        table=_ledger(fit),
    )


def _cells(fit: Fit) -> dict[str, str]:
    """Say that seeds were put together, where there are some."""
    cells = fit.tree["observed_data"].sizes["obs"] if "observed_data" in fit.tree else 0
    if not 0 < cells < len(fit.runs):
        return {}
    return {
        "Seeds": f"{len(fit.runs)} rows are {cells} cells, of equal settings each: their means, "
        "their numbers and the squares within them are all that the likelihood reads (exact)"
    }


def _ledger(fit: Fit) -> pd.DataFrame:
    runs, attrs, own = fit.runs, fit.tree.attrs, fit.spec.response
    entries = {
        "Runs": f"{len(runs)} used, from {runs.source}",
        "sha256 of the file": runs.sha256 or "none: a table in memory",
        "What was done to the table": "; ".join(runs.ledger) or "nothing",
        **_cells(fit),
        "N counts": f"{runs.params_are} parameters"
        if runs.params_are != "not stated"
        else "not stated (say it with --params-are: embeddings in or out moves the exponents)",
        "Compute": f"C = kND with k = {runs.flops_per_param_token:.3g}",
        "Units": ", ".join(
            [f"{own.name} in {own.unit}"] * bool(own.unit)
            + ["natural logarithm", "compute in FLOPs"]
        ),
        "Likelihood": f"{fit.spec.noise} on {'log ' if own.scale == 'log' else ''}{own.name}",
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
    if fit.given:
        entries["Answers"] = "at " + inputs_in_words(inputs_in_json(fit, fit.given))
    if not fit.spec.law.trades:
        del entries["N counts"], entries["Compute"]
    return pd.DataFrame({"convention": entries.keys(), "here": entries.values()})
