"""The parts of a report in reading order."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from bayescale import plots
from bayescale.report.answers import loss_of
from bayescale.evaluation.checks.refits import MOST_SHOWN
from bayescale.runs.check import Check
from bayescale.curves.shape import CurveShape
from bayescale.errors import UnansweredError
from bayescale.posterior.fit import Fit
from bayescale.draws import CAPTION
from bayescale.posterior.prediction import residuals
from bayescale.runs.table import Runs
from bayescale.report.backtest import backtest_section
from bayescale.report.decisions import decision_sections, repetition_section, wall_section
from bayescale.report.laws import approach_sections, group_sections, law_sections
from bayescale.report.parameters import conventions_section, parameter_section
from bayescale.report.section import Section
from bayescale.report.summary import (
    Companions,
    axis_of,
    summarise_held_out,
    value_of,
)

MOST_LISTED = 200
"""Runs held back that the page lists."""


def sections(
    fit: Fit, budgets: Sequence[float], beside: Companions | None = None
) -> Iterator[Section]:
    """Build the parts of the report in reading order, one at a time."""
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
    if fit.groups:
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
        yield "Does the law fit?", lambda: (_misfit_section(beside.checks),)
    yield "Shape of curves", lambda: _shape_sections(beside.checks)
    yield "Predicted against observed", lambda: (_predicted_section(fit),)
    yield "Parameters", lambda: (parameter_section(fit),)


def _predicted_section(fit: Fit) -> Section:
    return Section(
        "Predicted against observed",
        "Each run with its posterior predictive interval, noise included.",
        figure=plots.plot_predicted(residuals(fit)),
        caption="Bars: central 90% posterior predictive intervals of "
        "the same runs the model was fitted to.",
    )


def _misfit_section(checks: Sequence[Check]) -> Section:
    return Section(
        "Does the law fit?",
        "Residuals should scatter around zero without a pattern. Where their mean leaves the band "
        "the law is not the right one, and extrapolation along that axis is worse than its "
        "interval says. A pass is no proof: of sharp breaks of an exponent within the range, 30 "
        "runs show fewer than half and 60 runs about two thirds.",
        figure=plots.plot_checks(checks),
        caption="Observed against fitted log loss, one point a run or a cell of seeds, of more "
        f"than {MOST_SHOWN} a random choice of that many. Bands: where 90% of the bin's means, and "
        "of the distribution functions, lie were the law true (pointwise, from simulated refits).",
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
        for row in summarise_held_out(runs, table.head(MOST_LISTED), axis)["rows"]
    ]
    rest = len(table) - len(rows)
    return Section(
        "Runs held back",
        "How well the fit predicts runs it has not seen. If far fewer than 90% of them lie inside "
        "their interval, the law is wrong out there, and every interval on this page that lies "
        "beyond the fitted runs is too narrow."
        + (f" {rest} more than are listed here are in summary.json." if rest else ""),
        pd.DataFrame(rows),
        plots.plot_predicted(table),
        "Bars: central 90% posterior predictive intervals of runs the model has not seen.",
    )
