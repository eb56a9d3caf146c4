"""Can these runs answer? Asked of the table and the design before sampling, and once of the fit.

What `bayescale.runs.doubts` and `bayescale.runs.design` doubt or refuse becomes a check; what needs
more than one column to be seen is added here.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.decisions.allocation import compute_optimal
from bayescale.errors import RunsError
from bayescale.laws import Response
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check, Status
from bayescale.runs.design import require_identifiable
from bayescale.runs.doubts import FLOPS_PER_PARAM_TOKEN, GROUPS
from bayescale.runs.table import Runs

_WRONG_COLUMN = ("swapped columns or units?", "rising loss", "perplexity?")
_NEAR = 3.0  # factor of compute within which runs say which sizes were tried at a budget
_MANY, _MOST = 12, 20  # token counts of one size: finished runs may have the first, hardly both
_EVEN = 0.5  # share of equal steps between them: checkpoints are saved every so many steps
_SOME = 0.2  # share of the rows at such sizes
_RICH = 20.0  # tokens per parameter beyond which a larger model would use the tokens better


def design_checks(runs: Runs, spec: ModelSpec) -> list[Check]:
    """Everything that can be said without sampling; FAIL for a refusal and for wrong columns.

    One check for each doubt that there is, in the order of reading, fitting; one PASS where there
    is none.

    Parameters
    ----------
    runs : Runs
    spec : ModelSpec

    Returns
    -------
    list of Check
    """
    try:
        notices = require_identifiable(
            runs,
            spec.designed,
            len(spec.priors),
            group=spec.group,
            held=spec.may_hold,
            bowl=bool(spec.law.least),
        )
        refused = []
    except RunsError as error:
        notices, refused = (), [_refusal(error)]
    doubts = [_asked(doubt) for doubt in (*runs.notices, *notices)]
    found = [*refused, *(check for ask in _ASKED for check in ask(runs, spec)), *doubts]
    if found:
        return found
    message = "the runs can tell the parameters of the law apart"
    return [Check("design", Status.PASS, message)]


def bracketing_check(fit: Fit) -> list[Check]:
    """Whether the optimum at the largest budget lies between sizes that were tried there.

    Tried there are the sizes of runs within a factor 3 of that budget.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    list of Check
        REVIEW where N* lies below, or above, all of them with a probability of one half or more.
        Empty unless of a joint law of fresh data without groups.
    """
    fresh = fit.law.is_joint and not fit.law.role("unique")
    if not fresh or fit.groups or fit.own_group is not None:
        return []
    flops = fit.runs.column("flops")
    largest = float(flops.max())
    [size] = fit.law.role("size")
    near = fit.runs.table.loc[flops > largest / _NEAR, size]
    best = compute_optimal(fit, largest, exponents=False)["params"]
    low, high = float((best < near.min()).mean()), float((best > near.max()).mean())
    outside, side = max((low, "below"), (high, "above"))
    tried = f"sizes tried near {words.flops(largest)} FLOPs ({_span(near)})"
    if outside < 0.5:
        message = f"N* lies between the {tried}"
        return [Check("bracketing of N*", Status.PASS, message, statistic=outside, threshold=0.5)]
    return [
        Check(
            "bracketing of N*",
            Status.REVIEW,
            f"N* at the largest budget, {words.count(float(best.median()))}, lies {side} the "
            f"{tried}",
            f"Add a run near {words.flops(largest)} FLOPs with about "
            f"{words.count(float(best.median()))} parameters.",
            statistic=outside,
            threshold=0.5,
        )
    ]


def _span(values: pd.Series) -> str:
    low, high = float(values.min()), float(values.max())
    return words.count(low) if words.count(low) == words.count(high) else words.span(low, high)


def _asked(doubt: Check) -> Check:
    """Turn a doubt into a check that asks for a look; no law fits what is another column."""
    status = Status.FAIL if doubt.name in _WRONG_COLUMN else Status.REVIEW
    return replace(doubt, status=status, asked=True)


def _refusal(error: RunsError) -> Check:
    return Check("design", Status.FAIL, error.finding, error.advice)


def _mid_schedule(runs: Runs, spec: ModelSpec) -> list[Check]:
    """Name runs kept in mid-schedule, and tables that look like checkpoints of few runs."""
    table = runs.table
    if "mid_schedule" in table:
        weight = table.get("weight", pd.Series(1.0, index=table.index))
        kept = table["mid_schedule"].astype(bool) & (weight >= 1)
        if not kept.any():
            return []
        seen = f"{kept.sum()} of {len(table)} rows are marked as in"
        advice = "Leave them out (--mid-schedule exclude) or weigh them down (--mid-schedule 0.1)."
        share, seen = float(kept.mean()), f"{seen} mid-schedule"
        return [_checkpoints(Status.FAIL, share, 0.0, seen, advice, spec.response)]
    return _look_like_checkpoints(table, spec.response)


def _look_like_checkpoints(table: pd.DataFrame, response: Response) -> list[Check]:
    """Evenly spaced token counts: so many are proof enough, fewer may be a design."""
    for many, status in ((_MOST, Status.FAIL), (_MANY, Status.REVIEW)):
        share = evenly_spaced(table, many)
        if share > _SOME:
            seen = (
                f"{share:.0%} of the rows look like checkpoints: they lie at sizes with {many} or "
                "more evenly spaced token counts"
            )
            advice = (
                "Keep the last checkpoint of each run; if the table does not say which, ask its "
                "source. If all are finished runs, there is nothing to do."
            )
            return [_checkpoints(status, share, _SOME, seen, advice, response)]
    return []


def _checkpoints(
    status: Status, share: float, most: float, seen: str, advice: str, response: Response
) -> Check:
    side = "above" if response.better == "lower" else "off"
    return Check(
        "mid-schedule checkpoints",
        status,
        f"{seen}: a learning rate that has not decayed leaves the {response.name} {side} that of a "
        "finished run of as many tokens",
        advice,
        statistic=share,
        threshold=most,
    )


def evenly_spaced(table: pd.DataFrame, many: int = _MANY) -> float:
    """Share of rows at sizes whose token counts are that many and mostly equal steps apart.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of runs.
    many : int, optional
        Fewest token counts of such a size.

    Returns
    -------
    float
        0 for a table without params or tokens.
    """
    if not {"params", "tokens"} <= set(table.columns):
        return 0.0
    rows = 0
    counts = table.groupby("params")["tokens"].transform("nunique")
    for _, own in table[counts >= many].groupby("params"):
        steps = np.diff(np.unique(own["tokens"].to_numpy(float)))
        if np.isclose(steps, np.median(steps), rtol=0.02).mean() > _EVEN:
            rows += len(own)
    return rows / len(table)


def _conventions(runs: Runs, spec: ModelSpec) -> list[Check]:
    """Name groups of runs that count FLOPs, or parameters, another way than the others."""
    table = runs.table
    if not {"params", "tokens", "flops"} <= set(table.columns):
        return []
    ratio = table["flops"] / (FLOPS_PER_PARAM_TOKEN * table["params"] * table["tokens"])
    for name in dict.fromkeys((*GROUPS, "source", *([spec.group] if spec.group else []))):
        if name not in table:
            continue
        medians = ratio.groupby(table[name]).median()
        spread = float(medians.max() / medians.min()) if len(medians) else 1.0
        if spread > 1.1:
            low, high = medians.idxmin(), medians.idxmax()
            return [
                Check(
                    "mixed conventions of N",
                    Status.REVIEW,
                    f"C / 6ND is {medians[low]:.2f} for the {name} {low} and {medians[high]:.2f} "
                    f"for {high}: one counts parameters or compute another way",
                    "Recount N alike in all groups (embeddings in or out moves the exponents), "
                    "or fit them apart.",
                    statistic=spread,
                    threshold=1.1,
                )
            ]
    return []


def _unbracketed(runs: Runs, spec: ModelSpec) -> list[Check]:
    """Name isoFLOP budgets, of each group, whose best response is at an edge of the sizes tried.

    At the best value of every knob, and apart for every other further input.
    """
    if not spec.law.trades or not spec.response.better:
        return []
    keys = [runs.budgets().rename("budget")]
    if spec.group in runs.table:
        keys.append(runs.table[str(spec.group)].astype(str))
    known = [name for name in spec.law.role("context") if name in runs.table]
    keys += [f"{name} " + runs.table[name].astype(str) for name in known]
    [size], response = spec.law.role("size"), spec.response
    curves = list(runs.table.groupby(keys))
    edges = [(key, lack) for key, own in curves if (lack := _missing_sizes(own, size, response))]
    number = len(curves)
    if not edges or len(edges) < 0.5 * number:
        return []
    where = ", ".join(
        f"{' of '.join([words.flops(float(budget)), *group])} ({lack})"
        for (budget, *group), lack in edges
    )
    return [
        Check(
            "bracketing of budgets",
            Status.REVIEW,
            f"at {len(edges)} of {number} budgets the best {response.name} is at the edge of the "
            f"sizes tried: {where}",
            "Add sizes beyond that edge: N* is an extrapolation there.",
            statistic=len(edges) / number,
            threshold=0.5,
        )
    ]


def _missing_sizes(own: pd.DataFrame, size: str, response: Response) -> str:
    """Say which sizes lack at a budget; nothing where the best lies between two others."""
    losses = (response.sign * own[response.column]).groupby(own[size]).min()
    best = losses.idxmin()
    if len(losses) == 1:
        return f"the one size, {words.count(float(best))}, cannot bracket anything"
    if best == losses.index[0]:
        return "smaller sizes are missing"
    return "larger sizes are missing" if best == losses.index[-1] else ""


def _model_limited(runs: Runs, spec: ModelSpec) -> list[Check]:
    """Doubt a data curve of models so small that their size decides its end."""
    if spec.inputs != ("tokens",) or "params" not in runs.table or not spec.response.better:
        return []
    last = runs.table.loc[runs.table["tokens"].idxmax()]
    ratio = float(last["tokens"] / last["params"])
    if ratio <= _RICH:
        return []
    return [
        Check(
            "model-limited",
            Status.REVIEW,
            f"the run of most tokens has {words.significant(ratio, 2)} tokens per parameter: "
            f"the floor of this curve holds the {spec.response.name} of its small model, and a "
            "larger one would have another exponent",
            "Repeat the largest amount of data with a larger model, or fit a joint law.",
            statistic=ratio,
            threshold=_RICH,
        )
    ]


_ASKED: tuple[Callable[[Runs, ModelSpec], list[Check]], ...] = (
    _mid_schedule,
    _conventions,
    _unbracketed,
    _model_limited,
)
