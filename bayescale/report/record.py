"""What a report answers: every answer of a fit as one record.

Its types are those of `bayescale.report.schema.Report`, which `bayescale schema report` prints as
JSON Schema. What fields mean stands in `bayescale.report.fields`.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import xarray as xr

from bayescale.decisions.allocation import answer_optima, compute_optimal
from bayescale.decisions.answer import (
    Answer,
    Tested,
    convergence,
    of_group,
    problems_of,
    unconverged,
)
from bayescale.decisions.approaches import answer_approaches
from bayescale.decisions.multiplier import answer_multipliers
from bayescale.decisions.optimum import answer_optimum, optimum
from bayescale.decisions.predictions import (
    answer_bend,
    answer_predictions,
    largest_run,
    resized,
    said_of_groups,
)
from bayescale.decisions.repetition import REFERENCE_SIZE, answer_repetition, identified
from bayescale.decisions.targets import accuracies_of, answer_tasks
from bayescale.decisions.tune import answer_settings, is_sweep
from bayescale.errors import FitError, UnansweredError
from bayescale.evaluation.ahead import sizes_ahead
from bayescale.evaluation.backtest import Backtest, answer_backtest, backtested_at
from bayescale.evaluation.checks.held_out import answer_held_out
from bayescale.evaluation.checks.suite import check_records
from bayescale.files import plain
from bayescale.posterior.describe import diagnostic_numbers, group_numbers, parameter_numbers
from bayescale.posterior.fit import Fit
from bayescale.progress import step
from bayescale.runs.check import Check, Status, doubt_record
from bayescale.runs.table import Runs

_UNTOLD: dict[str, Any] = {
    "groups": None,
    "parameters": {},
    "optima": [],
    "predictions": [],
    "tasks": [],
    "settings": None,
    "best": [],
    "bend": None,
    "multipliers": [],
    "repetition": [],
    "approaches": None,
    "held_out": None,
}


_BEFORE_BACKTEST = ("tasks", "settings", "optima", "predictions", "best", "bend")


def default_budgets(fit: Fit) -> tuple[float, ...]:
    """Return the largest budget (or axis value) of the runs, and ten times that, or what is ahead.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    tuple of float

    Raises
    ------
    FitError
        For constants, which have no runs.
    """
    if len(fit.runs) == 0:
        raise FitError("these are given constants: there is no largest run; name a budget")
    if not fit.spec.law.has_profiles:
        return sizes_ahead(fit)
    largest = float(fit.runs.column("flops").max())
    return largest, 10 * largest


@dataclass(frozen=True)
class Best:
    """The best value of a knob, or the best mixture.

    Parameters
    ----------
    group : str or None
    found : xarray.Dataset
        What `bayescale.optimum` returns.
    answer : Answer
        What `bayescale.answer_optimum` says of it.
    """

    group: str | None
    found: xr.Dataset
    answer: Answer


@dataclass(frozen=True)
class Companions:
    """What a report shows beside the fit.

    Parameters
    ----------
    held_out : Runs, optional
        Runs that were not fitted.
    unpooled : Fit, optional
        The same runs without pooling, for a fit with partially pooled groups.
    same_validation : bool, optional
        Whether the losses of all groups are of one validation set: only then is their compute
        compared.
    profiles : Fit, optional
        ``isoflop-profiles`` fitted to the isoFLOP curves of the runs.
    approaches : xarray.Dataset, optional
        What `bayescale.compare_approaches` says of the budgets.
    checks : tuple of Check
        What `bayescale.check_fit` says of the fit.
    backtest : Backtest, optional
        What `bayescale.backtest` says of the runs and the model.
    not_backtested : str
        Why it says nothing, where it was to.
    exact : Fit, optional
        What `bayescale.exact_fit` makes of the fit.
    best : tuple of Best
        What `best_inputs` finds.
    chosen : str
        How the law was chosen, one sentence; empty where it was not.
    """

    held_out: Runs | None = None
    unpooled: Fit | None = None
    same_validation: bool | None = None
    profiles: Fit | None = None
    approaches: xr.Dataset | None = None
    checks: tuple[Check, ...] = ()
    backtest: Backtest | None = None
    not_backtested: str = ""
    exact: Fit | None = None
    best: tuple[Best, ...] = ()
    chosen: str = ""


@step("looking for the best inputs")
def best_inputs(fit: Fit, size: float) -> tuple[Best, ...]:
    """Find the best value of every knob, and the best mixture, of a run of some size.

    The compute-optimal one of a law that has one, else the largest run made so large.
    Those at which the fit is fixed are left out. Other knobs are as in the middle of the runs.

    Parameters
    ----------
    fit : Fit
    size : float
        As `ModelSpec.size` counts it.

    Returns
    -------
    tuple of Best
        For each group, where there are some.
    """
    law, found = fit.spec.law, []
    # Of a sweep `answer_settings` says the best of all settings together.
    chosen = [] if is_sweep(fit) else [n for n in law.choices if n not in fit.given]
    for name in fit.groups or (None,):
        own = fit if name is None else fit.of_group(name)
        for over in chosen:
            at = {**_knobs(own), **_run(own, size)}
            best = optimum(own, over, **{n: v for n, v in at.items() if n != over})
            found.append(Best(name, best, answer_optimum(own, best)))
    return tuple(found)


def _run(fit: Fit, size: float) -> dict[str, Any]:
    run = resized(fit, largest_run(fit), size)
    if not fit.law.is_joint:
        return run
    best = compute_optimal(fit, size, exponents=False).squeeze("flops").median()
    names = {"params": fit.law.role("size")[0], "tokens": fit.law.role("data")[0]}
    return run | {own: float(best[name]) for name, own in names.items()}


def _knobs(fit: Fit) -> dict[str, float]:
    return {n: float(fit.runs.table[n].median()) for n in fit.spec.law.role("knob")}


@step("summarising")
def answer_fit(fit: Fit, budgets: Sequence[float], beside: Companions | None = None) -> Answer:
    """Answer all that a fit says of budgets (or values of its axis), with what stands beside it.

    Numbers as `bayescale.report.schema.Report` has them, sentences in the order of a page's head.

    Parameters
    ----------
    fit : Fit
    budgets : sequence of float
    beside : Companions, optional

    Returns
    -------
    Answer
    """
    beside = beside or Companions()
    numbers = _UNTOLD
    said: dict[str, tuple[str, ...]] = {}
    with suppress(UnansweredError), fit.asked():
        numbers, said = _told(fit, budgets, beside)
    backtest = None if beside.backtest is None else answer_backtest(beside.backtest)
    failed = [check.name for check in beside.checks if check.status is Status.FAIL]
    remedies = [check.advice for check in beside.checks if check.name in failed[:1]]
    reviewed = [check.name for check in beside.checks if check.status is Status.REVIEW]
    problems = problems_of(fit, beside.profiles)  # no answer reads the fit without pooling
    alone = "; ".join(() if beside.unpooled is None else beside.unpooled.problems)
    caveats = unconverged(problems)
    others = [name for name in failed if not (caveats and name == "convergence")]  # said by it
    opening = (
        *([_failed_sentence(others, fit, tested=backtest is not None)] if others else []),
        *(f"To mend {failed[0]}: {advice}" for advice in remedies if advice),
        *([beside.chosen] if beside.chosen else []),
        *said.get("held_out", ()),
        *([f"To review: {'; '.join(dict.fromkeys(reviewed))}."] if reviewed else []),
        *(
            [f'In the picture under "What pooling does" do not trust the groups alone: {alone}.']
            if alone
            else []
        ),
    )
    record = {
        "model": fit.spec.name,
        "law": fit.spec.law.name,
        "response": {n: getattr(fit.spec.response, n) for n in ("name", "column", "unit")},
        **convergence(problems, fit),
        "failed": failed,
        "opening": opening,
        "runs": {"rows": len(fit.runs), "source": fit.runs.source, "sha256": fit.runs.sha256},
        **numbers,
        "diagnostics": diagnostic_numbers(fit),
        "checks": check_records(beside.checks),
        "not_backtested": beside.not_backtested or None,
        "backtest": None if backtest is None else backtest.record,
        "notices": [doubt_record(notice) for notice in fit.notices],
    }
    sentences = (
        *opening,
        *(line for name in _BEFORE_BACKTEST for line in said.get(name, ())),
        *(() if backtest is None else backtest.sentences[:1]),
        *([f"Not backtested: {beside.not_backtested}."] if beside.not_backtested else []),
        *said.get("multipliers", ()),
        *said.get("repetition", ())[:1],
        *said.get("approaches", ())[:1],
    )
    return Answer(None, plain(record), sentences, caveats)


def answer_first(fit: Fit) -> Answer:
    """Answer in few lines what a fit is asked first, mostly of a run ten times the largest.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Answer
        Numbers: ``optima``, ``predictions`` with ``tasks``, or ``settings``. Without a sentence
        where nothing can be said: of mixtures alone, of a context that `Fit.at` has not fixed, of
        draws that did not converge.
    """
    answer = Answer.by(fit, numbers={}, sentences=())
    sizes = default_budgets(fit)[-1:]
    with suppress(UnansweredError), fit.asked():
        if is_sweep(fit):
            answer = answer_settings(fit)
        elif sizes and (fit.law.is_joint or fit.spec.law.has_profiles):
            answer = answer_optima(fit, sizes)
        elif (
            sizes and not fit.spec.law.trades and fit.spec.size not in fit.spec.law.minimum_along
        ) or accuracies_of(fit) is not None:
            answer = _predicted(fit, sizes)
    return answer


def _predicted(fit: Fit, sizes: Sequence[float]) -> Answer:
    found, of_tasks = answer_predictions(fit, sizes), answer_tasks(fit)
    said = found.sentences
    if fit.groups:
        said = (said_of_groups(found.numbers["predictions"], fit.spec.response),)
    numbers = {**found.numbers, **of_tasks.numbers}
    return Answer.by(fit, numbers=numbers, sentences=(*of_tasks.sentences, *said))


def _told(
    fit: Fit, budgets: Sequence[float], beside: Companions
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Numbers and sentences of everything that the draws tell."""
    asked: dict[str, Any] = {"exact": beside.exact, "tested": None}
    if beside.backtest is not None:
        says = partial(backtested_at, beside.backtest)
        asked["tested"] = Tested(beside.backtest.farthest, says)
    answers = {
        "bend": answer_bend(fit),
        "multipliers": answer_multipliers(fit, beside.same_validation),
        "repetition": answer_repetition(fit),
        "tasks": answer_tasks(fit),
        "settings": answer_settings(fit),
    }
    if budgets and (fit.law.is_joint or fit.spec.law.has_profiles):
        answers["optima"] = answer_optima(fit, budgets, **asked)
    elif budgets and not is_sweep(fit):
        answers["predictions"] = answer_predictions(fit, budgets, **asked)
    if beside.held_out is not None:
        answers["held_out"] = answer_held_out(fit, beside.held_out)
    if beside.approaches is not None:
        answers["approaches"] = answer_approaches(fit, beside.approaches)
    numbers = {name: own.numbers[name] for name, own in answers.items()}
    numbers["best"] = [{"group": b.group, **b.answer.numbers["optimum"]} for b in beside.best]
    described = {"groups": group_numbers(fit), "parameters": parameters(fit)}
    sentences = {name: own.sentences for name, own in answers.items()}
    sentences["best"] = tuple(
        of_group({"group": b.group}) + line for b in beside.best for line in b.answer.sentences
    )
    return _UNTOLD | described | numbers, sentences


def parameters(fit: Fit) -> dict[str, dict[str, Any]]:
    """Describe every parameter, and of R_D only the lower bound where the runs tell no more.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    dict of str to dict
    """
    found = parameter_numbers(fit)
    if "R_D" in found and not fit.groups and identified(fit, REFERENCE_SIZE).only_bound:
        found["R_D"] |= dict.fromkeys(("median", "mean", "q95"))
    return found


def _failed_sentence(names: Sequence[str], fit: Fit, *, tested: bool) -> str:
    """Say first what speaks against the numbers that follow."""
    count = "1 check FAILs" if len(names) == 1 else f"{len(names)} checks FAIL"
    failing = f"{count}: {'; '.join(names)}."
    # What a bend allows for is of draws that are the model's, and kinds of runs are no bend.
    if fit.problems or not fit.bends or any(name.startswith("column ") for name in names):
        return (
            f"{failing} The numbers take the model for true, so do not decide on them before "
            "reading why."
        )
    out = " as far out as it was backtested" if tested else "; no backtest says how far out"
    return (
        f"{failing} Read why before you decide. The law may bend, which allows for smooth errors "
        f"of it{out}."
    )
