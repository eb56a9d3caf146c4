r"""Accuracies that planned runs would reach, and what an accuracy takes, per draw.

A law says the accuracy of a run on the items of a task. Which items a task happens to have moves
all runs alike, so it is in the law, and a difference between two plans,

.. math:: a_t(N_1, D_1) - a_t(N_2, D_2),

pays for it not even once. What is measured of a run scatters about the law, as the noise of the
fit says, and each run has that of its own: trained again, a model differs from itself by about as
much as two independent draws of the items' answers would. A suite is a weighted mean of its tasks.

In every draw the accuracy rises with compute. So the compute that suffices with probability p is
the p quantile of the least compute that each draw needs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import norm

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.accuracies import Accuracies, require_task, rows_of
from bayescale.decisions.answer import (
    Answer,
    Quantity,
    Verdict,
    distance,
    verdict_of,
    without_other_tasks,
)
from bayescale.decisions.plans import Plans, read_plans
from bayescale.decisions.ratios import Ratios
from bayescale.decisions.trust import NEAR_CHANCE, task_doubts
from bayescale.draws import CI_PROB, numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check
from bayescale.runs.design import ALIKE
from bayescale.runs.range import TOKENS_PER_PARAM, decades_beyond

SUITE = "suite"
"""What the weighted mean of tasks is called where values are given by task."""

SURE = 0.9
"""Probability with which an accuracy is to be reached, and a gain to be seen."""

MOST_PLANS = 4
"""Plans of which sentences compare every two; of more, each with the best one."""

_DRAWS = ("chain", "draw")
_LEAST_FLOPS, _MOST_FLOPS = 1e6, 1e35  # between which compute is looked for
_PARTS, _ROUNDS, _SECANTS = 16, 3, 3  # into which that is parted, and again; then straight lines
_READ = {"params", "tokens", "flops", "chance"}  # of a law of tasks
_ALIKE = 1e-12  # weights that differ by rounding only

type Wanted = float | Mapping[str, float] | None
"""Accuracies by task, and of the suite by its name; one number stands for all of them."""


@typed
def suite_weights(
    tasks: Sequence[str],
    suite: Mapping[str, float] | None = None,
    without: Sequence[str] = (),
) -> xr.DataArray:
    """Share of each task in a suite.

    Parameters
    ----------
    tasks : sequence of str
        All that are known.
    suite : mapping of str to float, optional
        Weights of its tasks; by default all weigh the same.
    without : sequence of str, optional
        Tasks that are left out.

    Returns
    -------
    xarray.DataArray
        Dim ``task``, sum 1: of the tasks that count and no others. Empty where none is left.

    Raises
    ------
    FitError
        For a task that is not known, or a weight that is not positive.

    Examples
    --------
    >>> suite_weights(["a", "b", "c"], {"a": 2.0, "b": 1.0, "c": 1.0}, ["c"]).round(3).values
    array([0.667, 0.333])
    """
    weights = dict.fromkeys(tasks, 1.0) if suite is None else dict(suite)
    for name, weight in weights.items():
        require_task(name, tasks)
        if not 0 < weight < np.inf:
            raise FitError(
                f"the weight of {name} must be positive, got {weight:g}; leave a task out of the "
                "suite by not naming it"
            )
    counted = [name for name in tasks if name in weights and name not in without]
    found = xr.DataArray(
        [float(weights[name]) for name in counted], dims="task", coords={"task": counted}
    )
    return found / found.sum()


@typed
def planned_accuracy(
    accuracies: Accuracies | Fit,
    plans: Plans,
    *,
    suite: Mapping[str, float] | None = None,
    without: Sequence[str] = (),
    seed: int = 1,
) -> xr.Dataset:
    """Accuracy of every plan on every task and on their suite, per draw.

    Parameters
    ----------
    accuracies : Accuracies or Fit
        Of a direct law or of a chain; a fit is taken for a direct one.
    plans : path or pandas.DataFrame
        As `read_plans` takes them.
    suite : mapping of str to float, optional
        Weights of the tasks; by default all weigh the same.
    without : sequence of str, optional
        Tasks that the suite leaves out.
    seed : int, optional
        Of the noise.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, task, plan): ``accuracy``, by the law, and ``measured``, of a run of
        each, noise included (not of constants without noise). Dims (chain, draw, plan): the same
        of the suite, ``suite`` and ``suite_measured``, where any task is left in it. Dim (plan):
        ``params``, ``tokens``, ``flops``, ``decades_beyond`` (of compute, outside the runs),
        ``farthest`` (decades outside along compute, params or tokens), ``outside``, whether its
        tokens per parameter are of no run. Dim (task): ``weight``, 0 of what the suite leaves out.

    Raises
    ------
    FitError
        For a fit that says no accuracy of params and tokens, or a suite of other tasks.
    """
    accuracies, table = _accuracies(accuracies), read_plans(plans)
    tasks = list(accuracies.tasks)
    weights = suite_weights(tasks, suite, without)
    of_plan = {
        name: xr.DataArray(
            table[name].to_numpy(float), dims="plan", coords={"plan": table["plan"].to_numpy(str)}
        )
        for name in ("params", "tokens")
    }
    values = [own.to_numpy() for own in of_plan.values()]
    drawn = {"accuracy": accuracies.at(*values)}
    if accuracies.measures:
        drawn["measured"] = accuracies.new(*values, seed=seed)
    drawn = {name: own.assign_coords(plan=of_plan["params"]["plan"]) for name, own in drawn.items()}
    if len(weights):
        names = {"accuracy": SUITE, "measured": f"{SUITE}_measured"}
        drawn |= {names[n]: _suite_of(own, weights) for n, own in list(drawn.items())}
    flops = (
        table["flops"].to_numpy(float) if "flops" in table else accuracies.k * np.prod(values, 0)
    )
    places = {**dict(zip(of_plan, values, strict=True)), "flops": flops}
    runs = accuracies.runs
    far = np.stack([decades_beyond(runs, **{n: v}) for n, v in places.items() if _has(runs, n)])
    outside = Ratios.of(runs, None, None).outside(values[1] / values[0])
    found = xr.Dataset(
        {
            **drawn,
            **of_plan,
            "flops": ("plan", flops),
            "decades_beyond": ("plan", far[-1]),
            "farthest": ("plan", far[np.abs(far).argmax(0), np.arange(far.shape[1])]),
            "outside": ("plan", outside),
            "weight": weights.reindex(task=tasks, fill_value=0.0),
        }
    )
    return found.transpose("chain", "draw", "task", "plan")


@typed
def compute_for(
    accuracies: Accuracies | Fit,
    accuracy: float | Mapping[str, float],
    *,
    ratio: float | None = None,
) -> xr.DataArray:
    """Least compute of a run that reaches an accuracy of each task.

    Parameters
    ----------
    accuracies : Accuracies or Fit
    accuracy : float or mapping of str to float
        One for all tasks, or by task.
    ratio : float, optional
        Tokens per parameter of the run; by default it is compute-optimal for the task.

    Returns
    -------
    xarray.DataArray
        FLOPs, dims (chain, draw, task), of the tasks asked: 0 where guessing reaches it, infinite
        where 1e35 do not. The p quantile of them suffices with probability p.

    Raises
    ------
    FitError
        For an accuracy that is no share above 0 and below 1, a task that is not known, or a law
        that has no compute-optimal run where no ratio is given.
    """
    accuracies = _accuracies(accuracies)
    wanted = _by_task(accuracies.tasks, accuracy)
    own = accuracies.of(list(wanted))
    asked = xr.DataArray(list(wanted.values()), dims="task", coords={"task": list(wanted)})
    return _least(lambda flops: own.along(flops, ratio), asked)


@typed
def suite_compute_for(
    accuracies: Accuracies | Fit,
    accuracy: float,
    weights: xr.DataArray,
    *,
    ratio: float | None = None,
) -> xr.DataArray:
    """Least compute of a run whose mean over a suite reaches an accuracy.

    Parameters
    ----------
    accuracies : Accuracies or Fit
    accuracy : float
    weights : xarray.DataArray
        What `suite_weights` returns.
    ratio : float, optional
        Tokens per parameter: no one run is compute-optimal for every task. By default the median
        of the runs.

    Returns
    -------
    xarray.DataArray
        As of `compute_for`, dims (chain, draw).

    Raises
    ------
    FitError
        As `compute_for`, and without a ratio where no runs say one.
    """
    own = _accuracies(accuracies).of([str(name) for name in weights["task"].to_numpy()])
    _require_share("the suite", accuracy)
    ratio = usual_ratio(own) if ratio is None else ratio
    asked = xr.DataArray(accuracy)
    return _least(lambda flops: _suite_of(own.along(flops, ratio), weights), asked)


@typed
def usual_ratio(accuracies: Accuracies) -> float:
    """Median tokens per parameter of the runs.

    Parameters
    ----------
    accuracies : Accuracies

    Returns
    -------
    float

    Raises
    ------
    FitError
        For constants, or runs without params and tokens.
    """
    runs = accuracies.runs
    if len(runs) == 0 or not all(_has(runs, name) for name in ("params", "tokens")):
        raise FitError(
            "no run says how many tokens a parameter gets; name them, e.g. ratio=20 (--ratio 20)"
        )
    return float(np.median(runs.column("tokens") / runs.column(runs.counted)))


def _least(reached: Callable[[xr.DataArray], xr.DataArray], asked: xr.DataArray) -> xr.DataArray:
    """Narrow the log of compute down to where each draw reaches what is asked."""
    parts = xr.DataArray(np.linspace(0.0, 1.0, _PARTS + 1), dims="step")
    low, high = xr.DataArray(np.log(_LEAST_FLOPS)), xr.DataArray(np.log(_MOST_FLOPS))
    ends = reached(xr.ufuncs.exp(xr.concat([low, high], dim="step"))) - asked
    at_once, never = ends.isel(step=0) >= 0, ends.isel(step=1) < 0
    for _ in range(_ROUNDS):
        at = low + parts * (high - low)
        left = reached(xr.ufuncs.exp(at)) - asked
        place = (left < 0).sum("step").clip(1, _PARTS)  # the accuracy rises along compute
        at = at.broadcast_like(left)
        low, high = at.isel(step=place - 1), at.isel(step=place)
        missed, over = left.isel(step=place - 1), left.isel(step=place)
    for _ in range(_SECANTS):  # so near by that the law is straight
        part = (-missed / (over - missed)).fillna(0.5).clip(0.0, 1.0)
        middle = low + part * (high - low)
        left = reached(xr.ufuncs.exp(middle)) - asked
        low, missed = xr.where(left < 0, middle, low), xr.where(left < 0, left, missed)
        high, over = xr.where(left < 0, high, middle), xr.where(left < 0, over, left)
    nearest = xr.where(-missed < over, low, high)
    found = xr.where(never, np.inf, xr.where(at_once, 0.0, np.exp(nearest)))
    return found.transpose(*_DRAWS, ...)


@typed
def items_to_see(gain: float, accuracy: float, *, probability: float = SURE) -> tuple[float, float]:
    r"""Items of a task that show which of two models is better, fewest and most.

    The gain is seen where the central 90% interval of the measured difference leaves out 0. On the
    same n items the difference has a variance between :math:`x (1 - x) / n`, where the better model
    gets right all that the other does, and :math:`(p_1 (1 - p_1) + p_2 (1 - p_2)) / n`, where the
    two have nothing to do with each other: what two models that agree more than that need lies in
    between.

    Parameters
    ----------
    gain : float
        Accuracy of the better one less that of the other.
    accuracy : float
        Of the worse one.
    probability : float, optional
        With which it is seen.

    Returns
    -------
    fewest, most : float

    Raises
    ------
    FitError
        If one of the accuracies is no share, or the gain or the probability no share above 0.

    Examples
    --------
    >>> fewest, most = items_to_see(0.02, 0.5)
    >>> round(fewest), round(most)
    (420, 10696)
    """
    _require_share("the gain", gain)
    _require_share("the probability", probability)
    if not 0 <= accuracy <= 1 - gain:
        raise FitError(
            f"no model is better by {gain:g} than one of an accuracy of {accuracy:g}; accuracies "
            "are shares from 0 to 1"
        )
    errors = float(norm.ppf(0.5 + CI_PROB / 2) + norm.ppf(probability))
    variances = gain * (1 - gain), item_variance(accuracy) + item_variance(accuracy + gain)
    fewest, most = (max((errors / gain) ** 2 * variance, 1.0) for variance in variances)
    return min(fewest, most), most


def item_variance(accuracy: float) -> float:
    """Variance of whether one item is right.

    Parameters
    ----------
    accuracy : float

    Returns
    -------
    float
    """
    return accuracy * (1.0 - accuracy)


@typed
def answer_targets(
    accuracies: Accuracies | Fit,
    plans: Plans | None = None,
    *,
    above: Wanted = None,
    suite: Mapping[str, float] | None = None,
    reach: Wanted = None,
    probability: float = SURE,
    ratio: float | None = None,
    gain: float | None = None,
    doubts: Mapping[str, Check] | None = None,
    with_doubted: bool = False,
    seed: int = 1,
) -> Answer:
    """Say what planned runs would score, which of them scores more, and what a score takes.

    Tasks that are doubted are named before any number, and the suite leaves them out.

    Parameters
    ----------
    accuracies : Accuracies or Fit
        Of a direct law or of a chain; a fit is taken for a direct one.
    plans : path or pandas.DataFrame, optional
        As `read_plans` takes them.
    above : float or mapping of str to float, optional
        Accuracies of which is asked how probably a plan is above them: by task, that of the suite
        by the name ``suite``, or one for all.
    suite : mapping of str to float, optional
        Weights of the tasks; by default all weigh the same.
    reach : float or mapping of str to float, optional
        Accuracies of which is asked what compute reaches them.
    probability : float, optional
        With which it is to reach them, and with which a gain is to be seen.
    ratio : float, optional
        Tokens per parameter of the run that reaches them. By default it is compute-optimal for the
        task, and of a suite it has the median of the runs.
    gain : float, optional
        Between two models, of which is asked how many items show it.
    doubts : mapping of str to Check, optional
        What speaks against predicting a task, by task; by default what `bayescale.task_doubts`
        finds.
    with_doubted : bool, optional
        Leave such tasks in the suite.
    seed : int, optional
        Of the noise.

    Returns
    -------
    Answer
        Numbers: ``doubted``, ``suite`` (weights, and what is left out), ``plans``, ``beats``,
        ``reach`` and ``items``, as `bayescale schema targets` has them. Draws: those of
        `planned_accuracy`.

    Raises
    ------
    FitError
        As `planned_accuracy` and `compute_for`, and where nothing is asked.
    """
    own = _accuracies(accuracies)
    if plans is None and reach is None:
        raise FitError(
            "ask something: of plans, a table of params and tokens (--params 7B --tokens 2T), or "
            "what reaches an accuracy, reach=0.7 (--reach 0.7)"
        )
    if gain is not None and plans is None:
        raise FitError("of which models? Name the plans that the gain is over")
    if gain is not None:
        _require_share("the gain", gain)
    _require_share("the probability", probability)
    doubts = task_doubts(own.fit) if doubts is None else doubts
    doubted = {n: c for n, c in doubts.items() if n in own.tasks}
    without = () if with_doubted else tuple(doubted)
    weights = suite_weights(own.tasks, suite, without)
    planned = None
    if plans is not None:
        planned = planned_accuracy(own, plans, suite=suite, without=without, seed=seed)
    levels = _wanted(own.tasks, above)
    found = plain(
        {
            "doubted": [
                {"task": n, "name": c.name, "message": c.message, "advice": c.advice}
                for n, c in doubted.items()
            ],
            "suite": {
                "weights": {str(n): float(weights.sel(task=n)) for n in weights["task"].values},
                "left_out": [n for n in without if suite is None or n in suite],
            },
            "plans": [] if planned is None else [*_plans(own, planned, levels)],
            "beats": [] if planned is None else [*_beats(planned)],
            "reach": [*_reach(own, _wanted(own.tasks, reach), weights, probability, ratio)],
            "items": [] if planned is None else [*_items(own, planned, gain, probability)],
            "probability": probability,
        }
    )
    sentences = [*_doubted_sentences(own, found, with_doubted), *_sentences(own, found)]
    return Answer.by(*own.fits, numbers=found, sentences=sentences, draws=planned)


def accuracies_of(fit: Fit) -> Accuracies | None:
    """Take the accuracies of tasks that a fit says of params and tokens.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Accuracies or None
        None of a fit of something else, of one that reads more, and without runs that have both.
    """
    reads = {own.name for own in fit.spec.reads} - set(fit.given)
    known = all(_has(fit.runs, name) for name in ("params", "tokens", "flops"))
    if fit.spec.response.scale != "share" or not known or not reads <= _READ or not len(fit.runs):
        return None
    with suppress(FitError):  # such as for runs of one task at several chance levels
        return Accuracies.direct(fit)
    return None


@typed
def answer_tasks(fit: Fit) -> Answer:
    """Say of each task how much its largest run knows beyond guessing; nothing of other fits.

    Below a tenth the runs hardly tell how the task goes on: its exponents are those of the prior.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Answer
        Numbers: ``tasks``, an entry each.
    """
    own = accuracies_of(fit)
    entries = [] if own is None else [_task(own, name) for name in own.tasks]
    result = plain({"tasks": entries})
    little = [e["task"] for e in result["tasks"] if e["known"]["median"] < NEAR_CHANCE]
    sentences = [
        f"The largest runs know less than {NEAR_CHANCE:.0%} beyond guessing of "
        f"{', '.join(little)}: how such a task goes on is the prior's word."
    ]
    return Answer.by(fit, numbers=result, sentences=sentences if little else [])


def _task(own: Accuracies, name: str) -> dict[str, Any]:
    """Describe the runs of a task, and what the law says of the largest."""
    table = rows_of(own.fit, name)
    largest = table.loc[table["flops"].idxmax()]
    alone = own.of([name])
    law = alone.at(*(float(largest[n]) for n in (own.runs.counted, "tokens"))).squeeze("plan")
    least = alone.guessing()
    return {
        "task": name,
        "runs": len(table),
        "items": _items_of(own, name),
        "chance": own.chance.get(name),
        "flops": float(largest["flops"]),
        "observed": float(largest[own.fit.spec.response.column]),
        "known": numbers(((law - least) / (1 - least)).squeeze("task")),
    }


def _accuracies(given: Accuracies | Fit) -> Accuracies:
    return Accuracies.direct(given) if isinstance(given, Fit) else given


def _has(runs: Any, name: str) -> bool:
    return name in runs.table or (name == "params" and runs.counted in runs.table)


def _suite_of(draws: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    return (draws.sel(task=weights["task"]) * weights).sum("task")


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        hint = f"; write {value:g}% as {value / 100:g}" if 1 < value < 100 else ""
        raise FitError(f"{name} must be a share above 0 and below 1, got {value:g}{hint}")


def _by_task(tasks: Sequence[str], given: float | Mapping[str, float]) -> dict[str, float]:
    """Give each task its accuracy, in the order of the tasks."""
    named = given if isinstance(given, Mapping) else dict.fromkeys(tasks, float(given))
    for name, value in named.items():
        require_task(name, tasks)
        _require_share(f"the accuracy of {name}", value)
    return {name: float(named[name]) for name in tasks if name in named}


def _wanted(tasks: Sequence[str], given: Wanted) -> dict[str, float]:
    """Give each task its accuracy, and the suite its own under its name."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        suite = (SUITE,) if len(tasks) > 1 else ()  # of one task there is no more to say
        given = dict.fromkeys((*tasks, *suite), float(given))
    found = _by_task(tasks, {name: value for name, value in given.items() if name != SUITE})
    if SUITE in given and SUITE not in found:
        _require_share("the accuracy of the suite", given[SUITE])
        found[SUITE] = float(given[SUITE])
    return found


def _plans(
    own: Accuracies, planned: xr.Dataset, levels: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Say of each plan what it would score on the suite and on every task."""
    counted = [str(name) for name in planned["task"][planned["weight"] > 0].to_numpy()]
    of_suite = own.of(counted or own.tasks)
    for name in planned["plan"].to_numpy():
        one = planned.sel(plan=name)
        far = float(one["farthest"])
        whole = _score(one.get(SUITE), one.get(f"{SUITE}_measured"), levels.get(SUITE))
        yield {
            "plan": str(name),
            **{n: float(one[n]) for n in ("params", "tokens", "flops", "decades_beyond")},
            "farthest": far,
            "outside": bool(one["outside"]),
            "verdict": asdict(_verdict(of_suite, far, float(one["tokens"] / one["params"]))),
            "suite": whole,
            "tasks": [
                {"task": task, **(_score(*_of_task(one, task), levels.get(task)) or {})}
                for task in own.tasks
            ],
        }


def _of_task(one: xr.Dataset, task: str) -> tuple[xr.DataArray, xr.DataArray | None]:
    own = one.sel(task=task)
    return own["accuracy"], own.get("measured")


def _score(
    law: xr.DataArray | None, measured: xr.DataArray | None, level: float | None
) -> dict[str, Any] | None:
    """Summarise what a plan would score, and how probably it is above a level."""
    if law is None:
        return None
    above = None
    if level is not None:
        above = {
            "accuracy": level,
            "probability": float((law > level).mean()),
            "measured": None if measured is None else float((measured > level).mean()),
        }
    of_run = None if measured is None else numbers(measured)
    return {"accuracy": numbers(law), "measured": of_run, "above": above}


def _verdict(own: Accuracies, decades: float, ratio: float | None) -> Verdict:
    """Judge by the fit that is worse, and by how far out the answer of these tasks lies."""
    fits = [without_other_tasks(fit, own.tasks) for fit in own.fits]
    fit = min(fits, key=lambda fit: (not fit.problems, not fit.failures))
    apart = None
    if ratio is not None and len(own.runs) and _has(own.runs, "tokens"):
        apart = float(decades_beyond(own.runs, **{TOKENS_PER_PARAM: ratio}))
    return verdict_of(fit, decades if np.isfinite(decades) else None, None, apart)


def _beats(planned: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Compare every two plans, on the suite and on every task."""
    scores: dict[str | None, Any] = {None: (planned.get(SUITE), planned.get(f"{SUITE}_measured"))}
    scores |= {str(task): _of_task(planned, task) for task in planned["task"].to_numpy()}
    for first, second in combinations(map(str, planned["plan"].to_numpy()), 2):
        for task, (law, measured) in scores.items():
            if law is None:
                continue
            less = _less(law, first, second)
            of_runs = None if measured is None else _less(measured, first, second)
            yield {
                "first": first,
                "second": second,
                "task": task,
                "probability": _above_zero(less),
                "measured": None if of_runs is None else _above_zero(of_runs),
                "difference": numbers(less),
            }


def _less(score: xr.DataArray, first: str, second: str) -> xr.DataArray:
    return score.sel(plan=first, drop=True) - score.sel(plan=second, drop=True)


def _above_zero(difference: xr.DataArray) -> float:
    """Probability that a difference is above 0; a tie counts half."""
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _reach(
    own: Accuracies,
    wanted: Mapping[str, float],
    weights: xr.DataArray,
    probability: float,
    ratio: float | None,
) -> Iterator[dict[str, Any]]:
    """Say what compute reaches an accuracy with a probability, of each task and of the suite."""
    of_tasks = {name: level for name, level in wanted.items() if name in own.tasks}
    if of_tasks:
        flops = compute_for(own, of_tasks, ratio=ratio)
        for task, level in of_tasks.items():
            yield _reached(own.of([task]), task, level, flops.sel(task=task), probability, ratio)
    if SUITE in wanted and SUITE not in of_tasks and len(weights):
        level, usual = wanted[SUITE], usual_ratio(own) if ratio is None else ratio
        flops = suite_compute_for(own, level, weights, ratio=usual)
        of_suite = own.of([str(name) for name in weights["task"].to_numpy()])
        yield _reached(of_suite, None, level, flops, probability, usual)


def _reached(
    own: Accuracies,
    task: str | None,
    level: float,
    flops: xr.DataArray,
    probability: float,
    ratio: float | None,
) -> dict[str, Any]:
    """Describe one answer: FLOPs, and the run that they make."""
    enough = float(np.quantile(flops.to_numpy(), probability, method="higher"))
    known = np.isfinite(enough) and enough > 0
    size = _size_at(own, enough, ratio) if known else None
    tokens = None if size is None else enough / (own.k * size)
    places = {n: v for n, v in (("flops", enough), ("params", size)) if _has(own.runs, n)}
    beyond = float(decades_beyond(own.runs, **places)) if known and places else np.nan
    apart = None if size is None or tokens is None else tokens / size
    return {
        "task": task,
        "accuracy": level,
        "probability": probability,
        "flops": enough,
        "params": size,
        "tokens": tokens,
        "ratio": ratio,
        "needed": numbers(flops),
        "reachable": float(np.isfinite(flops).mean()),
        "decades_beyond": beyond,
        "verdict": asdict(_verdict(own, beyond, apart)) if known else None,
    }


def _size_at(own: Accuracies, flops: float, ratio: float | None) -> float:
    if ratio is not None:
        return float((flops / (own.k * ratio)) ** 0.5)
    return float(own.optimum(xr.DataArray(flops)).median())


def _items(
    own: Accuracies, planned: xr.Dataset, gain: float | None, probability: float
) -> Iterator[dict[str, Any]]:
    """Say what the items of each task can show of a model that is better than the first plan."""
    first = planned["accuracy"].isel(plan=0).median(_DRAWS)
    for task in own.tasks if gain is not None else ():
        accuracy, items = float(first.sel(task=task)), _items_of(own, task)
        better, needed = accuracy + (gain or 0.0), None
        if better <= 1 and gain is not None:
            needed = items_to_see(gain, accuracy, probability=probability)
        variance = item_variance(accuracy) + item_variance(min(better, 1.0))
        yield {
            "task": task,
            "gain": gain,
            "accuracy": accuracy,
            "items": items,
            "sd": None if items is None else (variance / items) ** 0.5,
            "fewest": None if needed is None else needed[0],
            "most": None if needed is None else needed[1],
        }


def _items_of(own: Accuracies, task: str) -> float | None:
    """Give the number of items of a task; None where it is not known."""
    items = own.trials.get(task, np.inf)
    return items if np.isfinite(items) else None


def _doubted_sentences(
    own: Accuracies, found: Mapping[str, Any], with_doubted: bool
) -> Iterator[str]:
    """Name the tasks that are doubted, and what the suite does with them."""
    if not found["doubted"]:
        return
    told = {name for fit in own.fits for name in fit.failures}  # a caveat says why
    out = found["suite"]["left_out"]
    yield f"Do not trust what is said of {', '.join(one['task'] for one in found['doubted'])}."
    new = [entry for entry in found["doubted"] if entry["name"] not in told]
    yield from (f"{entry['task']}: {entry['message'].rstrip('.')}." for entry in new)
    yield from dict.fromkeys(entry["advice"] for entry in new if entry["advice"])
    if out and len(own.tasks) > 1:
        none = "" if found["suite"]["weights"] else "No task is left in it: nothing is said of it. "
        yield (
            f"The suite leaves out {', '.join(out)}. {none}with_doubted=True (--with-doubted) "
            "counts them too."
        )
    elif with_doubted:
        yield "They count in the suite, as asked."


def _sentences(own: Accuracies, found: Mapping[str, Any]) -> Iterator[str]:
    """Say the answers: of the plans as a whole, which is better, by task, what reaches a score."""
    plans, weights = found["plans"], found["suite"]["weights"]
    of_suite = _suite_words(weights)
    yield from _held_sentences(own)
    for plan in plans:
        yield f"{plan['plan']}, {words.flops(plan['flops'])} FLOPs. " + " ".join(
            filter(None, (_whole(plan, of_suite), _place(own, plan)))
        )
    for first, second in _told_pairs(found):
        pair = [e for e in found["beats"] if (e["first"], e["second"]) == (first, second)]
        if len(own.tasks) == 1:
            yield _beats_sentence(pair[-1], "", ())
        elif weights:
            yield _beats_sentence(pair[0], of_suite, [e for e in pair if e["task"] in weights])
    for scores in zip(*(plan["tasks"] for plan in plans), strict=True):
        said = [_score_words(one, alone=len(plans) == 1) for one in scores]
        named = [
            f"{plan['plan']} " * (len(plans) > 1) + s for plan, s in zip(plans, said, strict=True)
        ]
        yield f"{_named(scores[0]['task'], found)}: {'. '.join(named)}."
    for entry in found["reach"]:
        yield f"{_named(entry['task'], found)}: {_reach_sentence(entry)}"
    if any(entry["flops"] for entry in found["reach"]):
        yield "Beyond the runs all this holds only if the law does."
    yield from _items_sentences(found)


def _told_pairs(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Choose the plans that sentences compare: every two of a few, of many each with the best."""
    names = [plan["plan"] for plan in found["plans"]]
    wins = dict.fromkeys(names, 0.0)
    for entry in found["beats"]:
        if entry["task"] is None or not found["suite"]["weights"]:
            wins[entry["first"]] += entry["probability"]
            wins[entry["second"]] += 1 - entry["probability"]
    best = max(names, key=wins.__getitem__, default="")
    for pair in combinations(names, 2):
        if len(names) <= MOST_PLANS or best in pair:
            yield pair


def _held_sentences(own: Accuracies) -> Iterator[str]:
    """Say of which count the runs have one value only: nothing they show is due to it."""
    for name in (own.runs.counted, "tokens"):
        values = own.runs.column(name) if len(own.runs) and _has(own.runs, name) else np.ones(1)
        if len(values) > 1 and np.ptp(np.log(values)) < np.log(ALIKE):
            yield (
                f"All runs have about {words.count(float(np.median(values)))} {name}: what other "
                f"{name} do is the prior's word."
            )


def _named(task: str | None, found: Mapping[str, Any]) -> str:
    """Name a task, and say of one that is doubted that it is."""
    if task is None:
        return "the suite"
    return f"{task} (doubted)" if task in {one["task"] for one in found["doubted"]} else task


def _whole(plan: Mapping[str, Any], of_suite: str) -> str:
    """Say what a plan would score on the suite; nothing where one task is all there is."""
    if plan["suite"] is None or len(plan["tasks"]) == 1:
        return ""
    return f"{of_suite}: {_score_words(plan['suite'])}."


def _place(own: Accuracies, plan: Mapping[str, Any]) -> str:
    """Say how far out a plan lies."""
    far = plan["farthest"]
    said = distance(None if far is None else float(far), bends=own.fits[0].bends)
    mark = Ratios.of(own.runs, None, None).mark(plan["tokens"] / plan["params"])
    return f"{said} {mark}".rstrip()


def _suite_words(weights: Mapping[str, float]) -> str:
    if not weights:
        return ""
    alike = np.ptp(list(weights.values())) < _ALIKE
    if len(weights) == 1:
        return f"Mean of {next(iter(weights))} alone"
    return f"{'Mean' if alike else 'Weighted mean'} of {words.counted(len(weights), 'task')}"


def _share(value: float) -> str:
    """Write a share with a digit more where it would look like 0 or all."""
    return f"{value:.1%}" if 0.001 <= value <= 0.999 else f"{value:.2%}"


def _span(value: Quantity) -> str:
    low, high = value["q05"], value["q95"]
    assert low is not None
    assert high is not None
    return f"{_share(low)[:-1]} to {_share(high)}"


def _score_words(entry: Mapping[str, Any], *, alone: bool = True) -> str:
    """Write an accuracy, where a run would measure, and how probably it is above a level."""
    law, measured, above = entry["accuracy"], entry["measured"], entry["above"]
    said = f"{_share(law['median'])} ({_span(law)})"
    if above is not None:
        said += f", above {_share(above['accuracy'])} with {words.chance(above['probability'])}"
    return said + (f"; 90% of runs would measure {_span(measured)}" if alone and measured else "")


def _beats_sentence(
    whole: Mapping[str, Any], of_suite: str, tasks: Sequence[Mapping[str, Any]]
) -> str:
    """Say which of two plans is better: on the suite, and on how many of its tasks."""
    ahead = whole["probability"] >= 0.5
    better, worse = (whole["first"], whole["second"])[:: 1 if ahead else -1]
    points = sorted(100 * (value if ahead else -value) for value in whole["difference"].values())

    def chance(probability: float) -> float:
        return probability if ahead else 1 - probability

    said = (
        f"{better} beats {worse} with probability {words.chance(chance(whole['probability']))}, by "
        f"{points[1]:.1f} points ({points[0]:.1f} to {points[2]:.1f})"
    )
    if whole["measured"] is not None:
        said += f"; one run of each would score so with {words.chance(chance(whole['measured']))}"
    if not tasks:
        return f"{said}."
    surely = sum(chance(entry["probability"]) >= SURE for entry in tasks)
    return (
        f"By the {of_suite[0].lower()}{of_suite[1:]} {said}. It is better on {surely} of "
        f"{words.counted(len(tasks), 'task')} with {SURE:.0%} or more."
    )


def _reach_sentence(entry: Mapping[str, Any]) -> str:
    """Say what reaches an accuracy, or that nothing does."""
    level, sure = _share(entry["accuracy"]), f"{entry['probability']:.0%}"
    ratio, needed = entry["ratio"], entry["needed"]
    if entry["flops"] is None:
        return (
            f"no compute up to {words.flops(_MOST_FLOPS)} FLOPs reaches {level} with "
            f"probability {sure}; some does with {words.chance(entry['reachable'])}."
        )
    if entry["flops"] == 0:
        return f"guessing reaches {level}."
    how = "compute-optimal" if ratio is None else f"{words.significant(ratio)} tokens a parameter"
    ends = ["no bound" if needed[n] is None else words.flops(needed[n]) for n in needed]
    return (
        f"{words.flops(entry['flops'])} FLOPs reach {level} with probability {sure}, "
        f"{words.count(entry['params'])} parameters on {words.count(entry['tokens'])} tokens "
        f"({how}). The median is {ends[0]} ({ends[1]} to {ends[2]}). {_beyond(entry)}"
    )


def _beyond(entry: Mapping[str, Any]) -> str:
    decades = entry["decades_beyond"]
    if decades is None:
        return "There are no runs to compare with."
    return f"That is {words.times_out(decades)}." if decades else "That is within the runs."


def _points(value: float, form: str) -> str:
    number = f"{100 * value:{form}}"
    return f"{number} point" if number == "1" else f"{number} points"


def _items_sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """Say how many items show a gain, and what those that there are leave open."""
    entries = found["items"]
    if not entries:
        return
    gain = _points(entries[0]["gain"], ".3g")
    yield (
        f"To see a gain of {gain} over {found['plans'][0]['plan']} with probability "
        f"{found['probability']:.0%} takes most items where the models' answers have nothing in "
        "common, and fewest where the better one gets right all that the other does."
    )
    for entry in entries:
        above, task = _share(entry["accuracy"]), _named(entry["task"], found)
        if entry["fewest"] is None:
            yield f"{task}: no model can be {gain} better than {above}."
            continue
        fewest, most = (float(np.ceil(entry[name])) for name in ("fewest", "most"))
        has = (
            f" It has {entry['items']:,.0f}: a difference has an sd of at most "
            f"{_points(entry['sd'], '.2g')}."
            if entry["items"] is not None
            else ""
        )
        yield f"{task}: {words.span(fewest, most)} items over {above}.{has}"
