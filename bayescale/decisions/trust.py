"""Which tasks must not be extrapolated, asked before any of their accuracies is used."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bayescale.arguments import typed
from bayescale.decisions.accuracies import tasks_of
from bayescale.modelling.inputs import TRIALS, inputs_of
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import residuals
from bayescale.runs.check import Check, Status, task_check

NEAR_CHANCE = 0.1
"""Share that the law knows at the largest run up to which the runs tell no exponent."""

LOW = 0.3
"""Share that is known up to which a task must rise steadily to be extrapolated."""

RISING = 0.8
"""Rank correlation of accuracies with the law's from which on a task rises steadily."""

OVERDISPERSED = 3.0
"""Variance about the law, in units of that of the items, from which on a task is not the law's."""

_FEWEST = 5  # runs of a task by which its shape can be judged


@typed
def task_doubts(fit: Fit) -> dict[str, Check]:
    """Name the tasks of a fit of accuracies that must not be extrapolated, and why.

    A task near chance at its largest run gives no exponent. One that is overdispersed, whose runs
    scatter about the law by three times the variance of their items and, where there are several
    tasks, by three times that of the median one, depends on something else. One that is low and
    does not rise with the law's own accuracies has not begun to follow it: BoolQ and Winogrande are
    the known cases, 12 to 23 points off for every law.

    Parameters
    ----------
    fit : Fit
        Of accuracies. Its groups are the tasks; without groups it is of one task.

    Returns
    -------
    dict of str to Check
        FAIL, by task, or REVIEW of a single task that is overdispersed; tasks that may be
        extrapolated are left out, and all those of another response. Of fewer than five runs it is
        only asked whether they are near chance.
    """
    if fit.spec.response.scale != "share" or len(fit.runs) == 0:
        return {}
    return _doubts(dict(_tasks(fit)))


def task_checks(fit: Fit) -> list[Check]:
    """Ask which tasks may be extrapolated.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    list of Check
        One for each task that may not; else one PASS, or REVIEW where tasks have too few runs
        to tell. Empty for a response that is no accuracy.
    """
    if fit.spec.response.scale != "share":
        return []
    tables = dict(_tasks(fit))
    if found := list(_doubts(tables).values()):
        return found
    if few := [name for name, own in tables.items() if len(own) < _FEWEST]:
        return [_untold(few)]
    return [Check("tasks", Status.PASS, "every task rises with the law, well above chance")]


def _doubts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Check]:
    """Doubt tasks by their runs."""
    scatter = {name: _scatter(own) for name, own in tables.items()}
    # Of one task nothing else says what is usual: then it is what the items explain.
    usual = max(1.0, float(np.nanquantile([*scatter.values(), 1.0], 0.5, method="lower")))
    found = {
        name: _doubt(name, own, scatter[name], OVERDISPERSED * usual, alone=len(tables) == 1)
        for name, own in tables.items()
    }
    return {name: check for name, check in found.items() if check is not None}


def _tasks(fit: Fit) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give each task its runs: accuracy observed and fitted, items, size, share that is known."""
    table, inputs = residuals(fit), inputs_of(fit.spec, fit.runs.table)
    fitted = table["fitted"].to_numpy()
    chance = np.asarray(inputs.get("chance", np.zeros(len(table))))
    ahead = -1.0 if fit.spec.law.worsens_along(fit.spec.size) else 1.0
    own = pd.DataFrame(
        {
            "observed": table[fit.spec.response.column].to_numpy(dtype=float),
            "fitted": fitted,
            "known": (fitted - chance) / (1.0 - chance),
            "items": inputs[TRIALS.name],
            "size": ahead * fit.runs.column(fit.spec.size),
        }
    )
    names = (
        table[fit.spec.group].astype(str).to_numpy()
        if fit.groups and fit.spec.group is not None
        else np.repeat(tasks_of(fit), len(own))
    )
    for name, rows in own.groupby(names):
        yield str(name), rows


def _scatter(own: pd.DataFrame) -> float:
    """Variance about the law in units of that of the items; NaN where those are not known."""
    variance = (own["fitted"] * (1.0 - own["fitted"])).clip(lower=0.5 / own["items"]) / own["items"]
    squared = (own["observed"] - own["fitted"]) ** 2 / variance
    return float(squared[np.isfinite(own["items"])].mean())


def _doubt(
    name: str, own: pd.DataFrame, scatter: float, most: float, *, alone: bool = False
) -> Check | None:
    """Say the first that speaks against extrapolating a task.

    A task that is alone does not tell whether all tasks of these runs scatter so: a REVIEW only.
    """
    known = max(float(own["known"].to_numpy()[own["size"].argmax()]), 0.0)
    rising = _rank_correlation(own)
    at_top = f"its largest run knows {known:.0%} beyond guessing"
    if known < NEAR_CHANCE:
        said = f"near chance: {at_top}, which gives no exponent"
        return _fail(name, said, known, NEAR_CHANCE)
    if len(own) < _FEWEST:
        return None
    wild = f"overdispersed: its runs scatter {scatter:.0f} times as much as its items explain"
    if scatter > most and not alone:
        return _fail(name, wild, scatter, most)
    if known < LOW and rising < RISING:
        said = f"does not rise steadily: rank correlation {rising:.2f} with the law, and {at_top}"
        return _fail(name, said, rising, RISING)
    if scatter > most:
        return replace(_fail(name, wild, scatter, most), status=Status.REVIEW)
    return None


def _rank_correlation(own: pd.DataFrame) -> float:
    """Rank correlation of accuracies with the law's; 0 where either is the same for all runs."""
    if own["observed"].nunique() < 2 or own["fitted"].nunique() < 2:
        return 0.0
    return float(spearmanr(own["observed"], own["fitted"]).statistic)


def _untold(tasks: list[str]) -> Check:
    return Check(
        "tasks",
        Status.REVIEW,
        f"of {', '.join(tasks)} there are fewer than {_FEWEST} runs each: too few to tell whether "
        "they follow the law",
        "Evaluate more runs on them before you rely on what is predicted of them.",
    )


def _fail(task: str, said: str, statistic: float, threshold: float) -> Check:
    return Check(
        task_check(task),
        Status.FAIL,
        said,
        "Do not extrapolate it: evaluate larger runs, or score the log probability of the right "
        "answer in place of its accuracy.",
        statistic=statistic,
        threshold=threshold,
    )
