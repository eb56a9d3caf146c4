"""All checks of a table of runs, and of a fit, in the order a reader wants."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bayescale.arguments import typed
from bayescale.curves.rule import Shape
from bayescale.decisions.answer import Answer, convergence
from bayescale.decisions.trust import task_checks
from bayescale.errors import FitError, UnansweredError
from bayescale.evaluation.checks.axes import axis_checks
from bayescale.evaluation.checks.columns import column_checks
from bayescale.evaluation.checks.identifiability import bracketing_check, design_checks
from bayescale.evaluation.checks.influence import (
    calibration_checks,
    influence_checks,
    left_out,
    outlying_checks,
)
from bayescale.evaluation.checks.predictive import residual_checks, seed_check
from bayescale.evaluation.checks.prior import prior_checks
from bayescale.evaluation.checks.refits import Refits, refits
from bayescale.files import plain
from bayescale.modelling.build import cells_of
from bayescale.modelling.noise import LEAST
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.posterior.fit import Fit
from bayescale.progress import step
from bayescale.runs.check import Check, Checks, Status, not_computed, tally, worst, worst_first
from bayescale.runs.table import Runs

_FEWEST_FULL = 8  # runs of weight 1 whose residuals are looked at where others weigh less
_OF_NOISE = ("LOO-PIT", "coverage", "Pareto k", "spread of residuals")


@typed
def check_runs(runs: Runs, model: str | Path | ModelSpec = "joint") -> Checks:
    """Ask whether runs can tell what a model asks, before sampling.

    Parameters
    ----------
    runs : Runs
    model : str, path or ModelSpec

    Returns
    -------
    Checks
        A list of `Check`: one for each doubt; one PASS where there is none. FAIL: the model cannot
        be fitted to these runs, or its parameters would mean something else.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    return Checks(design_checks(runs, spec))


@typed
@step("checking")
def check_fit(fit: Fit, *, seed: int = 1) -> Checks:
    """Ask everything that can speak against a fit; one to three seconds for 250 runs.

    Every run takes part. By every draw for up to 20 million draws times runs (5,000 runs of 4,000
    draws), by 1,000 draws for larger tables; patterns of residuals are looked for in at most 10,000
    configurations, chosen at random. A table of 100,000 runs takes half a minute or more.

    Parameters
    ----------
    fit : Fit
        Sampled, of all runs (not of one group of a hierarchical fit).
    seed : int
        Of the simulated residuals and predictions.

    Returns
    -------
    Checks
        Convergence; the design; columns that the model does not read; the law along each axis;
        calibration; the shape of curves along each axis; single runs and groups; priors. A true law
        passes all of them in more than 9 of 10 tables. Of an exponent that falls from 0.5 to 0.15
        in the middle of the range 30 runs show about 4 in 10, 60 runs about two thirds; an offset
        forced to 0 almost always shows (benchmarks/checks.py). A PASS is no proof.

    Raises
    ------
    FitError
        For a fit that was made from constants, or one group of a hierarchical fit.
    """
    if fit.own_group is not None:
        raise FitError(
            f"this is the fit of {fit.own_group!r} alone, whose posterior the other groups decide "
            "as well: check the fit of all groups"
        )
    if not fit.sampled:
        raise FitError("these are given constants, never fitted to runs: there is nothing to check")
    simulated = cache(lambda: refits(fit, seed=seed))
    without = cache(lambda: left_out(fit, seed=seed))
    shapes = axis_checks(fit, seed=seed)
    few, of_tasks = _few_of_full_weight(fit), fit.spec.response.scale == "share"

    def asked(name: str, ask: Callable[[], list[Check]]) -> list[Check]:
        return _asked(fit, name, ask)

    found = [
        _convergence(fit),
        *design_checks(fit.runs, fit.spec),  # causes before what follows from them
        *(asked("tasks", lambda: task_checks(fit)) if of_tasks else []),
        *([] if few else asked("columns", lambda: column_checks(fit, simulated()))),
        *(few or asked("residuals", lambda: _of_residuals(fit, simulated(), shapes))),
        *([] if few else asked("calibration", lambda: calibration_checks(without()))),
        *shapes,
        *asked("scatter beyond seeds", lambda: seed_check(fit)),
        *asked("outlying runs", lambda: outlying_checks(fit, simulated())),
        *asked("influential runs", lambda: influence_checks(without())),
        *asked("priors", lambda: prior_checks(fit)),
        *asked("bracketing of N*", lambda: bracketing_check(fit)),
    ]
    return Checks(map(_without_noise, found) if fit.noiseless else found)


def _without_noise(check: Check) -> Check:
    """Pass what asks of noise where there is none: that is said once, by a notice."""
    if check.name not in _OF_NOISE or check.status is Status.PASS:
        return check
    said = f"{check.message}; noise of {LEAST:.2%} is too small to matter"
    return replace(check, status=Status.PASS, message=said, advice="")


def _asked(fit: Fit, name: str, ask: Callable[[], list[Check]]) -> list[Check]:
    """Answer a question, or say why these draws leave it without an answer."""
    try:
        with fit.asked():
            return ask()
    except UnansweredError as error:
        return [not_computed(name, error)]


def _few_of_full_weight(fit: Fit) -> list[Check]:
    """Say that too few runs have a weight of 1 to look at residuals, where that is so."""
    weight = cells_of(fit.spec, fit.runs).table["weight"]
    full = int((weight == 1).sum())
    if full == len(weight) or full >= _FEWEST_FULL:
        return []
    return [
        Check(
            "weighted runs",
            Status.REVIEW,
            f"{full} configurations have a weight of 1, too few to see whether the law fits: "
            "residuals of others, which were weighed down, say nothing about it",
            "Give the runs that the law is meant for a weight of 1.",
            statistic=full,
            threshold=_FEWEST_FULL,
        )
    ]


def _of_residuals(fit: Fit, simulated: Refits, shapes: list[Check]) -> list[Check]:
    rising = tuple(
        shape.along for shape in shapes if shape.detail.label in (Shape.INVERSE, Shape.NON_MONOTONE)
    )
    return residual_checks(simulated, fit.spec, rising=rising)


def _convergence(fit: Fit) -> Check:
    problems = fit.diagnostics.problems
    if not problems:
        message = "the sampler reached the posterior"
        return Check("convergence", Status.PASS, message, statistic=fit.diagnostics.max_r_hat)
    return Check(
        "convergence",
        Status.FAIL,
        "; ".join(problems),
        "Tune and draw longer (--tune, --draws), simplify the model, or tighten the priors that "
        "the runs cannot tell.",
        statistic=fit.diagnostics.max_r_hat,
    )


@typed
def answer_checks(checks: Sequence[Check]) -> Answer:
    """Say what checks found, the worst first, and how many ended how.

    Parameters
    ----------
    checks : sequence of Check

    Returns
    -------
    Answer
    """
    asked = [check for check in checks if check.name == "convergence"]
    problems = [check.message for check in asked if check.status is Status.FAIL]
    numbers = {
        **convergence(problems),
        **({} if asked else {"converged": None}),  # of runs alone
        "failed": [check.name for check in checks if check.status is Status.FAIL],
        "worst": str(worst(checks)),
        "checks": check_records(checks),
    }
    sentences = (*map(str, worst_first(checks)), tally(checks))
    return Answer(None, numbers, sentences)


def check_records(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Write checks as plain numbers and text, None where a check has no number.

    Parameters
    ----------
    checks : sequence of Check

    Returns
    -------
    list of dict
    """
    names = ("name", "status", "statistic", "threshold", "message", "advice")
    entries = [{name: getattr(check, name) for name in names} for check in checks]
    return [plain({**entry, "status": str(entry["status"])}) for entry in entries]
