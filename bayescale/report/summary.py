"""The numbers of a fit for scripts.

The schema of ``summary.json`` (version 1; Q stands for {"median", "q05", "q95"})::

    {"schema": 1, "model": str, "law": str,
     "runs": {"rows": int, "source": str, "sha256": str},
     "groups": null | {"column", "runs": {group: int}, "pooling": {parameter: kind},
                       "new_group": {parameter: Q}},
     "parameters": {name: Q and {"mean", "sd", "r_hat", "ess_bulk"}},
     "optima": [{"group", "flops", "data", "decades_beyond",
                 "beyond": {"params", "tokens", "tokens_per_param"},
                 "bends": bool, "without_optimum": probability, "failed": [name],
                 "params": Q, "tokens": Q, "tokens_per_param": Q, "loss": Q, "a": Q, "b": Q,
                 "basin": [{"excess", "lower": Q, "upper": Q}],
                 "exact": null | {"params", "tokens", "tokens_per_param", "loss", "a", "b": Q,
                                  "disagrees": bool},
                 "tested": null | sentence}],
     "predictions": [{"group", "axis", "value", "decades_beyond", "bends", "failed": [name],
                      "loss": Q, "loss_new_run": Q,
                      "exact": null | {"loss": Q, "loss_new_run": Q, "disagrees": bool},
                      "tested": null | sentence}],
     "bend": null | {"sd", "length", "axes", "per_decade": Q},
     "multipliers": [{"group", "reference",
                      "targets": [{"loss", "multiplier": Q,
                                   "unreachable": {group: probability},
                                   "decades_beyond": {group: float}}],
                      "constancy": {"easiest", "hardest", "log_ratio": Q, "p_grows"},
                      "crossing": [{"flops", "probability"}]} | {"refused": reason}],
     "repetition": [{"group", "params", "identified", "most_repetitions", "R_D": Q,
                     "epochs_until": [{"worth", "epochs": Q}], "sentence"}],
     "approaches": null | {"a": {approach: Q},
                           "optima": [{"flops", "approach", "params": Q, "tokens": Q,
                                       "tokens_per_param": Q}],
                           "disagreement": [{"flops", "first", "second", "log_ratio": Q of N*,
                                             "p_first_larger"}],
                           "parabola_tokens_error": [{"flops" and Q}], "left_out": [reason]},
     "diagnostics": {"converged", "problems", "divergences", "maxdepth_reached", "max_r_hat",
                     "min_ess_bulk", "seconds_compile", "seconds_sample", "needed", "unsampled"},
     "checks": [{"name", "status": "PASS" | "REVIEW" | "FAIL", "statistic", "threshold",
                 "message", "advice"}],
     "held_out": null | {"where", "runs", "inside", "coverage", "p_value", "rmsle",
                         "rows": [{"run", axis, "loss", "residual", "predicted": Q}]},
     "not_backtested": null | reason,
     "backtest": null | {"model", "axis", "farthest", ...: see `bayescale.evaluation.backtest`},
     "notices": [{"name", "message", "rows"}]}

``optima`` is filled for laws of params and tokens, ``predictions`` for single-axis laws,
``multipliers`` for joint laws with groups (null where no compute reaches the loss), ``repetition``
for laws of repeated data (null where the runs give only a lower bound); parameters that differ
between groups are named alpha[group]. ``approaches`` where they were asked for (a and N* by each,
log ratio of their N*). ``checks`` in reading order, where they were asked for, as a report does;
statistic and threshold are null where the question is not one of size. ``held_out`` where runs were
held back (its scores: `bayescale.posterior.prediction.score`). ``beyond`` are decades outside the
runs along each axis, of the median. ``bends`` says whether the law may bend
(`bayescale.modelling.bend`); where it may, ``exact`` is what the law taken as exact says, and
``disagrees`` whether any of its 90% intervals does not overlap; ``without_optimum`` the share of
draws in which no size is best; ``bend`` its scale, and how much it changes among the runs
(`bayescale.posterior.prediction.bend_per_decade`); ``failed`` the checks that speak against an
answer; empty or null what draws that did not converge cannot say; ``tested`` what the backtest
tells of one so far out. Intervals are central 90%.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayescale import words
from bayescale.decisions.approaches import parabola_bias
from bayescale.evaluation.backtest import backtested_at, summarise_backtest
from bayescale.evaluation.backtest import Backtest
from bayescale.runs.check import Check, Status
from bayescale.decisions.multiplier import compute_multiplier, constancy, crossing
from bayescale.decisions.repetition import epochs_until, identified
from bayescale.errors import FitError, UnansweredError
from bayescale.files import plain
from bayescale.posterior.fit import Fit
from bayescale.draws import numbers
from bayescale.decisions.allocation import basin, compute_optimal
from bayescale.posterior.prediction import (
    bend_per_decade,
    decades_beyond,
    predict,
    predict_runs,
    residuals,
    score,
)
from bayescale.runs.table import Runs

SCHEMA = 1

_UNTOLD: dict[str, Any] = {
    "groups": None,
    "parameters": {},
    "optima": [],
    "predictions": [],
    "bend": None,
    "multipliers": [],
    "repetition": [],
    "approaches": None,
    "held_out": None,
}
REFERENCE_SIZE = 1e9
"""Parameters at which R_D is stated."""


def default_budgets(fit: Fit) -> tuple[float, ...]:
    """Return the largest budget (or axis value) of the runs, and ten times that."""
    if len(fit.runs) == 0:
        raise FitError("these are given constants: there is no largest run; name a budget")
    largest = float(fit.runs.column(axis_of(fit)).max())
    return largest, 10 * largest


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


def summarise_checks(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Write checks as plain numbers and text, None where a check has no number."""
    names = ("name", "status", "statistic", "threshold", "message", "advice")
    entries = [{name: getattr(check, name) for name in names} for check in checks]
    return [plain({**entry, "status": str(entry["status"])}) for entry in entries]


def summarise_fit(
    fit: Fit, budgets: Sequence[float], beside: Companions | None = None
) -> dict[str, Any]:
    """Everything a script wants, in the schema of this module's docstring."""
    return plain(_summary(fit, budgets, beside or Companions()))


def _summary(fit: Fit, budgets: Sequence[float], beside: Companions) -> dict[str, Any]:
    diagnostics = fit.diagnostics
    try:
        with fit.asked():
            told = _told(fit, budgets, beside)
    except UnansweredError:
        told = _UNTOLD
    return {
        "schema": SCHEMA,
        "model": fit.spec.name,
        "law": fit.spec.law.name,
        "runs": {"rows": len(fit.runs), "source": fit.runs.source, "sha256": fit.runs.sha256},
        **told,
        "diagnostics": {
            "converged": diagnostics.converged,
            "problems": list(diagnostics.problems),
            **asdict(diagnostics),
        },
        "checks": summarise_checks(beside.checks),
        "not_backtested": beside.not_backtested or None,
        "backtest": beside.backtest and summarise_backtest(beside.backtest),
        "notices": [asdict(notice) for notice in fit.notices],
    }


def _told(fit: Fit, budgets: Sequence[float], beside: Companions) -> dict[str, Any]:
    """Everything that the draws tell."""
    joint, held_out = fit.law.is_joint, beside.held_out
    optima = summarise_optima(fit, budgets, beside.exact) if joint else []
    predictions = summarise_predictions(fit, budgets, beside.exact) if not joint else []
    failed = [check.name for check in beside.checks if check.status is Status.FAIL]
    for entry in (*optima, *predictions):
        entry |= {"tested": _tested(entry, beside.backtest), "failed": failed}
    return {
        "groups": _groups(fit),
        "parameters": summarise_parameters(fit),
        "optima": optima,
        "predictions": predictions,
        "bend": _bend(fit),
        "multipliers": _multipliers(fit, beside.same_validation),
        "repetition": _by_group(fit, summarise_repetition),
        "approaches": beside.approaches and _approaches(fit, beside.approaches),
        "held_out": held_out
        and summarise_held_out(held_out, residuals(fit, held_out), axis_of(fit)),
    }


def _bend(fit: Fit) -> dict[str, Any] | None:
    bend = fit.spec.bend
    if bend is None or not fit.bends:
        return None
    bends = bend.along or (True,) * len(fit.spec.inputs)
    return {
        "sd": bend.sd,
        "length": bend.length,
        "axes": [name for name, along in zip(fit.spec.inputs, bends, strict=True) if along],
        "per_decade": numbers(bend_per_decade(fit)),
    }


def _beside(entry: dict[str, Any], exact: dict[str, Any] | None) -> dict[str, Any] | None:
    """Add to what the exact law says whether the two disagree: 90% intervals without overlap."""
    if exact is None:
        return None
    apart = (
        max(entry[name]["q05"], exact[name]["q05"]) > min(entry[name]["q95"], exact[name]["q95"])
        for name in ("params", "loss")
        if name in exact
    )
    return {**exact, "disagrees": any(apart)}


def _tested(entry: dict[str, Any], found: Backtest | None) -> str | None:
    """Say what a backtest tells of an answer beyond the runs."""
    decades = entry["decades_beyond"]
    if found is None or decades is None or decades <= 0:
        return None
    return backtested_at(found, decades)


def summarise_optima(
    fit: Fit, budgets: Sequence[float], exact: Fit | None = None
) -> list[dict[str, Any]]:
    """Compute-optimal model and basin for each budget (and group), as plain numbers.

    Beside them what `exact`, the same law taken as exact, says.
    """
    return _by_group(fit, lambda own: _optima(own, budgets, exact))


def summarise_predictions(
    fit: Fit, values: Sequence[float], exact: Fit | None = None
) -> list[dict[str, Any]]:
    """Loss at each value of the axis (and group) of a single-axis law, as plain numbers.

    Beside them what `exact`, the same law taken as exact, says.
    """
    return _by_group(fit, lambda own: _predictions(own, values, exact))


def multipliers(fit: Fit, same_validation: bool | None) -> list[xr.Dataset | str]:
    """Compute multiplier of every group but the best one, against it.

    The best one reaches the least loss with the most compute that all groups have; so the others
    need more than it there. Empty where there is nothing to compare; in place of a multiplier the
    reason why two groups cannot be compared.
    """
    if not fit.groups or fit.law.compute is None:
        return []
    largest = min(float(fit.of_group(name).runs.column("flops").max()) for name in fit.groups)
    losses = (
        compute_optimal(fit, largest, exponents=False)["loss"]
        .squeeze("flops")
        .median(("chain", "draw"))
    )
    best = fit.groups[int(losses.to_numpy().argmin())]
    found: list[xr.Dataset | str] = []
    for name in fit.groups:
        if name != best:
            try:
                against = compute_multiplier(fit, name, best, same_validation=same_validation)
                constancy(against)  # needs targets within the runs of both
                found.append(against)
            except FitError as error:
                found.append(str(error))
    return found


def _by_group(fit: Fit, ask: Callable[[Fit], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Ask a fit, or each of its groups; every entry names its group."""
    if not fit.groups:
        return [{"group": None, **entry} for entry in ask(fit)]
    return [{"group": name, **entry} for name in fit.groups for entry in ask(fit.of_group(name))]


def _groups(fit: Fit) -> dict[str, Any] | None:
    if not fit.groups:
        return None
    counts = fit.runs.table[str(fit.spec.group)].astype(str).value_counts()
    new = next(name for name in ("new", "new group", "a new group") if name not in fit.groups)
    return {
        "column": fit.spec.group,
        "runs": {name: int(counts.get(name, 0)) for name in fit.groups},
        "pooling": dict(fit.spec.pooling),
        "new_group": {
            name: numbers(value)
            for name, value in fit.with_new_group(new).of_group(new).natural.items()
        },
    }


def _multipliers(fit: Fit, same_validation: bool | None) -> list[dict[str, Any]]:
    return [
        {"refused": found} if isinstance(found, str) else _multiplier(fit, found, same_validation)
        for found in multipliers(fit, same_validation)
    ]


def _multiplier(fit: Fit, found: xr.Dataset, same_validation: bool | None) -> dict[str, Any]:
    group, reference = found.attrs["group"], found.attrs["reference"]
    steady = constancy(found)
    largest = float(fit.runs.column("flops").max())
    budgets = [10 * largest, 100 * largest]
    crossed = crossing(fit, group, reference, budgets, same_validation=same_validation)
    return {
        "group": group,
        "reference": reference,
        "targets": summarise_targets(found),
        "constancy": {
            "easiest": float(steady["easiest"]),
            "hardest": float(steady["hardest"]),
            "log_ratio": numbers(steady["log_ratio"]),
            "p_grows": float(steady["grows"]),
        },
        "crossing": [
            {"flops": float(flops), "probability": float(crossed["probability"].sel(flops=flops))}
            for flops in crossed["flops"].to_numpy()
        ],
    }


def summarise_targets(found: xr.Dataset) -> list[dict[str, Any]]:
    """Compute multiplier at each target loss, as plain numbers."""
    names = found.attrs["group"], found.attrs["reference"]
    return [
        {
            "loss": float(loss),
            "multiplier": numbers(at["multiplier"]),
            "unreachable": {name: float(at["unreachable"].sel(group=name)) for name in names},
            "decades_beyond": {name: float(at["decades_beyond"].sel(group=name)) for name in names},
        }
        for loss in found["loss"].to_numpy()
        for at in [found.sel(loss=loss)]
    ]


def summarise_repetition(fit: Fit) -> list[dict[str, Any]]:
    """Say what repetition is worth: at one size, 1B where it is near the runs, then at the ends."""
    if "R_D" not in fit.law.parameters:
        return []
    sizes = fit.runs.column("params")
    low, middle, high = (float(f(sizes)) for f in (np.min, stats.gmean, np.max))
    stated = REFERENCE_SIZE if low / 3 < REFERENCE_SIZE < 3 * high else middle
    return [_worth(fit, params) for params in dict.fromkeys((stated, low, high))]


def _worth(fit: Fit, params: float) -> dict[str, Any]:
    told = identified(fit, params)
    until = epochs_until(fit, params).squeeze("params")
    only = ("q05",) if told.only_bound else ("median", "q05", "q95")
    return {
        "params": params,
        "identified": told.identified,
        "most_repetitions": told.most_repetitions,
        "R_D": {
            name: None if name not in only else value
            for name, value in (
                ("median", told.median),
                ("q05", told.at_least),
                ("q95", told.at_most),
            )
        },
        "epochs_until": [
            {
                "worth": float(worth),
                "epochs": {
                    name: value if name in only else None
                    for name, value in numbers(until.sel(worth=worth)).items()
                },
            }
            for worth in until["worth"].to_numpy()
        ],
        "sentence": told.sentence,
    }


def _approaches(fit: Fit, found: xr.Dataset) -> dict[str, Any]:
    names = [str(name) for name in found["approach"].to_numpy()]
    bias = parabola_bias(fit, found["flops"].to_numpy().tolist())["tokens_error"]
    return {
        "a": {name: numbers(found["a"].isel(flops=0).sel(approach=name)) for name in names},
        "optima": [
            {
                "flops": float(flops),
                "approach": name,
                **{
                    quantity: numbers(found[quantity].sel(flops=flops, approach=name))
                    for quantity in ("params", "tokens", "tokens_per_param")
                },
            }
            for flops in found["flops"].to_numpy()
            for name in names
        ],
        "disagreement": [
            {
                "flops": float(flops),
                "first": str(pair["first"].item()),
                "second": str(pair["second"].item()),
                "log_ratio": numbers(pair["disagreement"].sel(flops=flops)),
                "p_first_larger": float(pair["first_larger"].sel(flops=flops)),
            }
            for flops in found["flops"].to_numpy()
            for pair in (found.isel(pair=i) for i in range(found.sizes["pair"]))
        ],
        "parabola_tokens_error": [
            {"flops": float(flops), **numbers(bias.sel(flops=flops))}
            for flops in bias["flops"].to_numpy()
        ],
        "left_out": [line for line in str(found.attrs["left_out"]).splitlines() if line],
    }


def beside_exact(fit: Fit, values: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    """Answer for budgets, or of a single-axis law for values, and say what the exact law would."""
    return _best(fit, values, exact) if fit.law.is_joint else _predictions(fit, values, exact)


def _best(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    optima = compute_optimal(fit, list(budgets))
    of_exact = None if exact is None else compute_optimal(exact, list(budgets))
    entries = []
    for flops in optima["flops"].to_numpy():
        best = optima.sel(flops=flops)
        beyond = float(best["decades_beyond"])
        found = _quantities(best)
        exactly = None if of_exact is None else _quantities(of_exact.sel(flops=flops))
        entries.append(
            {
                "flops": float(flops),
                "decades_beyond": None if np.isnan(beyond) else beyond,
                "beyond": _beyond(fit, best),
                "data": " of fresh data" if "unique_tokens" in fit.spec.inputs else "",
                "bends": fit.bends,
                "without_optimum": float(best["without_optimum"]),
                "exact": _beside(found, exactly),
                **found,
            }
        )
    return entries


def _optima(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    entries, ends = _best(fit, budgets, exact), basin(fit, list(budgets))
    for entry in entries:
        entry["basin"] = [
            {
                "excess": float(excess),
                **{
                    str(bound): numbers(ends.sel(flops=entry["flops"], excess=excess, bound=bound))
                    for bound in ends["bound"].to_numpy()
                },
            }
            for excess in ends["excess"].to_numpy()
        ]
    return entries


def _quantities(best: xr.Dataset) -> dict[str, dict[str, float]]:
    names = ("params", "tokens", "tokens_per_param", "loss", "a", "b")
    return {name: numbers(best[name]) for name in names}


def _beyond(fit: Fit, best: xr.Dataset) -> dict[str, float | None]:
    """Give the decades by which the median optimum lies outside the runs, along each axis."""
    medians = best[["params", "tokens", "tokens_per_param"]].median()
    found = {str(name): float(decades_beyond(fit, str(name), medians[name])) for name in medians}
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def axis_of(fit: Fit) -> str:
    """Name the axis along which a report answers."""
    return fit.spec.size


def value_of(axis: str, value: float) -> str:
    """Write a value of that axis."""
    return words.count(value) if axis in ("params", "tokens") else words.flops(value)


def summarise_parameters(fit: Fit) -> dict[str, dict[str, Any]]:
    """Summarise every parameter; of one that differs between groups each value, as alpha[name]."""
    table, posterior = fit.summary(), fit.posterior
    found: dict[str, dict[str, Any]] = {}
    for label in table.index:
        name, _, group = label.removesuffix("]").partition("[")
        draws = posterior[name].sel(group=group) if group else posterior[name]
        statistics = ("mean", "sd", "r_hat", "ess_bulk")
        found[label] = {
            **numbers(draws),
            **{key: float(table.loc[label, key]) for key in statistics},
        }
    if "R_D" in found and not fit.groups and identified(fit, REFERENCE_SIZE).only_bound:
        found["R_D"] |= dict.fromkeys(("median", "mean", "q95"))  # only a lower bound is known
    return found


def _predictions(fit: Fit, values: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    if len(fit.spec.inputs) > 1:  # no single axis to answer along
        return []
    axis, entries = fit.spec.inputs[0], []
    for value in values:
        found = _losses(fit, {axis: value})
        exactly = None if exact is None else _losses(exact, {axis: value})
        entries.append(
            {
                "axis": axis,
                "value": float(value),
                "decades_beyond": float(decades_beyond(fit, axis, value)),
                "bends": fit.bends,
                "exact": _beside(found, exactly),
                **found,
            }
        )
    return entries


def _losses(fit: Fit, at: dict[str, float]) -> dict[str, dict[str, float]]:
    return {"loss": numbers(predict(fit, at)), "loss_new_run": numbers(predict_runs(fit, at))}


def summarise_held_out(runs: Runs, table: pd.DataFrame, axis: str) -> dict[str, Any]:
    """Score the runs held back; `table` holds their residuals."""
    rows = [
        {
            "run": str(row["run"]),
            axis: float(row[axis]),
            "loss": float(row["loss"]),
            "residual": float(row["residual"]),
            "predicted": {
                "median": float(row["fitted"]),
                "q05": float(row["predicted_q05"]),
                "q95": float(row["predicted_q95"]),
            },
        }
        for row in table.to_dict("records")
    ]
    return {"where": runs.source, **score(table), "rows": rows}
