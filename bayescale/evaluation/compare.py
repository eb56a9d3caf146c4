"""Laws side by side: which predicts the runs best, and which decision each leads to."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import compute_optimal, distinct_budgets
from bayescale.decisions.answer import Answer, convergence, unconverged
from bayescale.display import Part, Shown
from bayescale.draws import STACKED, numbers, stack_draws
from bayescale.errors import FitError
from bayescale.evaluation.ahead import inputs_ahead, sizes_ahead
from bayescale.evaluation.cross_validation import cells, cross_validate
from bayescale.evaluation.scores import percent
from bayescale.laws import LOSS, Response
from bayescale.modelling.inputs import inputs_of, observed_of
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import predict
from bayescale.progress import showing, step
from bayescale.runs.range import decades_beyond

SIMILAR_ELPD = 4.0
"""Differences of elpd below this say nothing (Sivula et al. 2025, doi:10.48550/arXiv.2008.10296)"""

_QUANTITIES = ["params", "tokens", "tokens_per_param", LOSS.column]


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Laws fitted to the same runs.

    Parameters
    ----------
    fits : mapping of str to Fit
        As compared, best first.
    table : pandas.DataFrame
        One row a law, best first: ``elpd`` (nats, summed over cells) and its standard error ``se``;
        ``elpd_diff`` to the best law and the standard error ``se_diff`` of that paired difference;
        ``p_loo``, the effective number of parameters; ``weight``, the stacking weight; ``high_k``,
        cells where importance sampling failed; ``method``, how cells were left out.
    pointwise : xarray.DataArray
        Elpd of every cell, dims (model, obs).
    decisions : mapping of str to xarray.Dataset
        Draws of each law's answer at every value asked, and of the mixture `STACKED`. Of joint laws
        the compute-optimal ``params``, ``tokens``, ``tokens_per_param`` and ``loss``, dims (chain,
        draw, flops); of others the response, by its column, dims (chain, draw, axis): on the one
        axis of the law, or where the largest run is made larger
        (`bayescale.evaluation.ahead.inputs_ahead`). With dim group where one of the laws has
        groups.
    regret : mapping of str to xarray.DataArray
        By the law taken as true: draws of the compute wasted by each law's choice, see
        `compare`; dims (chain, draw, flops, chosen). Empty for laws that are not joint, and where
        one does not say what compute reaches a loss.
    problems : tuple of str
        What did not converge among the refits.
    left_out : tuple of str
        Laws that could not be refitted, one sentence each; they are not compared.
    """

    fits: Mapping[str, Fit] = field(repr=False)
    table: pd.DataFrame
    pointwise: xr.DataArray = field(repr=False)
    decisions: Mapping[str, xr.Dataset] = field(repr=False)
    regret: Mapping[str, xr.DataArray] = field(repr=False)
    problems: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def _parts(self) -> Iterable[Part]:
        return answer_comparison(self)._parts()

    @property
    def weights(self) -> dict[str, float]:
        """Stacking weight of each law, for `bayescale.stack_draws`."""
        return {str(name): float(weight) for name, weight in self.table["weight"].items()}

    @property
    def axis(self) -> str:
        """Axis of the values that the laws answer for; "flops" for joint laws."""
        return next(iter(self.fits.values())).spec.size

    @property
    def response(self) -> Response:
        """What the laws predict."""
        return next(iter(self.fits.values())).spec.response

    @property
    def plausible(self) -> tuple[str, ...]:
        """Laws that the runs do not tell from the best: within 4 nats, or 2 standard errors.

        Within 4 nats alone where a standard error is not defined.
        """
        room = np.fmax(SIMILAR_ELPD, 2 * self.table["se_diff"])  # NaN where not defined
        return tuple(map(str, self.table.index[-self.table["elpd_diff"] <= room]))


@typed
def compare(
    fits: Mapping[str, Fit],
    *,
    flops: Sequence[float] = (),
    folds: int = 10,
    seed: int = 1,
    progress: bool | None = None,
) -> Comparison:
    r"""Compare laws by the runs they predict unseen, and by the decisions they lead to.

    The elpd is that of what was observed of each cell of replicates, left out by importance
    sampling (PSIS-LOO), by exact refits where that fails for at most five cells of a law, by K-fold
    cross-validation of all laws where it fails for more. Stacking weights maximise the log density
    that the mixture of the laws gives to the cells left out (Yao et al. 2018,
    doi:10.1214/17-BA1091): they say which mixture predicts best, not which law is probable. Both
    judge laws where the runs are: the law that interpolates best may extrapolate worst.

    The regret of law A where law B is true: at a budget C take the posterior median of A's N*.
    Under a draw of B its loss is what B's optimum reaches with some lesser compute
    :math:`C_A \le C`; the median of B's own N*, not perfect either, is worth :math:`C_B`. The
    regret is :math:`C_B / C_A - 1`, the share of compute lost by the choice of law and not by what
    the runs leave open. The choice matters where that exceeds 1% with a probability above one half.
    Laws whose N* have disjoint intervals may waste less: isoFLOP curves are flat.

    Where refits take long, all cores make them; the draws are the same. A law of which one fails is
    left out and named.

    Parameters
    ----------
    fits : mapping of str to Fit
        Two or more, by name, of the same runs and the same response: joint laws, or laws whose size
        is the same column.
    flops : sequence of float
        Budgets to answer for, or sizes of runs; by default the largest of the runs and ten times
        that, or as `bayescale.evaluation.ahead.sizes_ahead` says.
    folds : int
        Number of folds where K-fold cross-validation is needed.
    seed : int
        Of refits, folds and the mixture.
    progress : bool, optional
        Show which refit runs; by default on a terminal and in a notebook.

    Returns
    -------
    Comparison

    Raises
    ------
    FitError
        If the fits are not comparable (other runs, other cells, weighted runs, other responses,
        other axes, other groups, constants), a law has no decision to compare, or fewer than two
        can be refitted.
    """
    _require_comparable(fits)
    first = next(iter(fits.values()))
    values = distinct_budgets(flops) or sizes_ahead(first)
    with showing(progress), step("leaving cells out"):
        validated = cross_validate(fits, folds=folds, seed=seed)
    if len(validated.elpds) < 2:
        raise FitError(f"fewer than two laws can be refitted: {'; '.join(validated.left_out)}")
    table, pointwise = _table(validated.elpds)
    table["high_k"], table["method"] = pd.Series(validated.high_k), pd.Series(validated.method)
    ordered = {str(name): fits[str(name)] for name in table.index}
    groups = next((own.groups for own in ordered.values() if own.groups), ())
    decisions = {name: _decision(own, values, groups) for name, own in ordered.items()}
    weights = {name: float(table.loc[name, "weight"]) for name in ordered}
    decisions[STACKED] = stack_draws(decisions, weights, seed=seed)
    regret = {}
    if first.law.is_joint and all(own.law.compute for own in ordered.values()):
        regret = {name: _regret(name, own, decisions) for name, own in ordered.items()}
    refits = validated.problems, validated.left_out
    return Comparison(ordered, table, pointwise, decisions, regret, *refits)


def _require_comparable(fits: Mapping[str, Fit]) -> None:
    """Raise FitError, naming what differs, unless elpds of these fits can be compared."""
    if len(fits) < 2 or STACKED in fits:
        raise FitError(
            f"a comparison needs two laws or more, none of them named {STACKED!r}; got "
            f"{', '.join(fits) or 'none'}"
        )
    for name, fit in fits.items():
        _require_decision(name, fit)
    (first, one), *others = fits.items()
    for name, other in others:
        _require_same_question(first, one, name, other)
        _require_same_cells(first, one, name, other)
    columns = {str(fit.spec.group): name for name, fit in fits.items() if fit.groups}
    if len(columns) > 1:
        raise FitError(
            "the groups differ: "
            + ", ".join(f"{name} has those of {column!r}" for column, name in columns.items())
            + "; compare models with one column of groups, or without groups"
        )


def _require_decision(name: str, fit: Fit) -> None:
    if not fit.sampled or fit.own_group is not None:
        raise FitError(
            f"{name} is the fit of one group or of given constants, and cannot be refitted; "
            "compare fits of all runs"
        )
    if not fit.spec.size:
        raise FitError(
            f"the model {fit.spec.name} reads a mixture alone, and has no size to decide along; "
            "compare laws of mixtures by mixtures that were held back, with answer_held_out"
        )
    if fit.spec.size in fit.law.minimum_along:
        raise FitError(
            f"the model {fit.spec.name} has a minimum along {fit.spec.size}, and no decision of "
            "its own to compare; compare joint laws such as chinchilla, and see isoFLOP profiles "
            "beside them with compare_approaches or report --approaches"
        )
    if (cells(fit).table["weight"] != 1).any():
        raise FitError(
            f"{name} was fitted to weighted runs, whose densities cannot be compared; leave such "
            "runs out (--mid-schedule exclude, no column 'weight')"
        )


def _require_same_question(first: str, one: Fit, name: str, other: Fit) -> None:
    if one.spec.response != other.spec.response:
        raise FitError(
            f"{first} predicts the {one.spec.response.label}, {name} the "
            f"{other.spec.response.label}: compare laws of one response"
        )
    if (one.law.is_joint, one.spec.size) != (other.law.is_joint, other.spec.size):
        raise FitError(
            f"{first} decides from {', '.join(one.spec.inputs)}, {name} from "
            f"{', '.join(other.spec.inputs)}: compare joint laws with joint laws, and others along "
            "the same axis"
        )


def _require_same_cells(first: str, one: Fit, name: str, other: Fit) -> None:
    if len(one.runs) != len(other.runs):
        raise FitError(
            f"the runs differ: {first} was fitted to {len(one.runs)} of {one.runs.source}, {name} "
            f"to {len(other.runs)} of {other.runs.source}; fit all laws to the same runs"
        )
    mine, others = cells(one).table, cells(other).table
    if len(mine) != len(others):
        raise FitError(
            f"the cells of replicates differ: {len(mine)} for {first}, {len(others)} for {name}, "
            f"because they read other columns ({', '.join(one.spec.columns)}; "
            f"{', '.join(other.spec.columns)})"
        )
    read, read_there = (
        {
            one.spec.response.column: observed_of(one.spec, own),
            f"mean {one.spec.response.name}": own["observed"].to_numpy(),
            "number of replicates": own["replicates"].to_numpy(),
            **inputs_of(one.spec, own),
        }
        for own in (mine, others)
    )
    for column, values in read.items():
        apart = ~np.isclose(values, read_there[column], rtol=1e-9, atol=0)
        if apart.any():
            run = mine["run"].iloc[np.argwhere(apart)[0][0]]
            raise FitError(
                f"the runs differ: run {run!r} has another {column} in the fit of {name} than in "
                f"that of {first}; fit all laws to the same runs"
            )


def _table(elpds: Mapping[str, Any]) -> tuple[pd.DataFrame, xr.DataArray]:
    """Let ArviZ compare the elpds and stack the laws."""
    density = np.stack([elpd.elpd_i.to_numpy() for elpd in elpds.values()])
    pointwise = xr.DataArray(density, dims=("model", "obs"), coords={"model": list(elpds)})
    # Relative to the best law of each cell: stacking works on densities, which might underflow.
    relative = pointwise - pointwise.max("model")
    shifted = {name: _shift(elpd, relative.sel(model=name)) for name, elpd in elpds.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of many models: no law is selected here
        compared = az.compare(shifted, method="stacking", round_to="none")
    table = compared[["elpd_diff", "dse", "weight"]].rename(columns={"dse": "se_diff"})
    table["weight"] = table["weight"].clip(0, 1) / table["weight"].clip(0, 1).sum()
    for place, (column, of) in enumerate((("elpd", "elpd"), ("se", "se"), ("p_loo", "p"))):
        table.insert(place, column, [float(getattr(elpds[name], of)) for name in table.index])
    columns = ["elpd", "se", "elpd_diff", "se_diff", "p_loo", "weight"]
    return table[columns].rename_axis("model").astype(float), pointwise.sel(model=list(table.index))


def _shift(elpd: Any, density: xr.DataArray) -> Any:
    return replace(elpd, elpd=float(density.sum()), elpd_i=elpd.elpd_i.copy(data=density))


def _decision(fit: Fit, values: Sequence[float], groups: Sequence[str]) -> xr.Dataset:
    if fit.law.is_joint:
        answer = compute_optimal(fit, values)[_QUANTITIES]
    else:
        answer = predict(fit, inputs_ahead(fit, values)).to_dataset(name=fit.spec.response.column)
    answer.attrs.clear()
    if groups and not fit.groups:  # one answer for all of them
        answer = answer.expand_dims(group=list(groups), axis=-1)
    return answer.transpose("chain", "draw", fit.spec.size, ...)


def _regret(true: str, fit: Fit, decisions: Mapping[str, xr.Dataset]) -> xr.DataArray:
    """Compute wasted by each law's median N* under the draws of one law, beyond its own."""
    medians = [answer["params"].median(("chain", "draw")) for answer in decisions.values()]
    chosen = xr.concat(medians, dim="chosen").assign_coords(chosen=list(decisions))
    if "group" in chosen.dims:
        alone = {g: fit.of_group(str(g)) if fit.groups else fit for g in chosen["group"].to_numpy()}
        parts = [_waste(own, true, chosen.sel(group=g)) for g, own in alone.items()]
        return xr.concat(parts, dim="group").transpose("chain", "draw", "flops", "chosen", "group")
    return _waste(fit, true, chosen).transpose("chain", "draw", "flops", "chosen")


def _waste(fit: Fit, true: str, chosen: xr.DataArray) -> xr.DataArray:
    posterior = Posterior.of_joint_law(fit)
    worth = posterior.least_compute(posterior.isoflop(chosen["flops"], chosen))
    worth = np.fmin(worth, chosen["flops"])  # which reaches the loss in any case
    return worth.sel(chosen=true, drop=True) / worth - 1


COSTLY = 0.01
"""Share of the compute that a choice must waste to matter."""

APART = 0.01
"""Log ratio of two predicted losses, or points between two predicted shares, from which on they
differ: laws do if one is above the other by more with a probability above one half."""


@typed
def answer_comparison(comparison: Comparison) -> Answer:
    """Say for each value asked whether the choice of law matters, and how the laws compare.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    Answer
    """
    first = next(iter(comparison.fits.values()))
    runs = first.runs
    problems = [
        *(
            f"{name}: {problem}"
            for name, fit in comparison.fits.items()
            if fit.sampled
            for problem in fit.diagnostics.problems
        ),
        *comparison.problems,
    ]
    numbers = {
        "runs": {
            "rows": len(runs),
            "cells": comparison.pointwise.sizes["obs"],
            "source": runs.source,
            "sha256": runs.sha256,
        },
        "models": [
            {
                "model": name,
                "law": fit.law.name,
                **comparison.table.loc[name].to_dict(),
                "high_k": int(comparison.table.loc[name, "high_k"]),
                "told_apart": name not in comparison.plausible,
            }
            for name, fit in comparison.fits.items()
        ],
        "decisions": list(_decisions(comparison)),
        "regret": list(_regrets(comparison)),
        "left_out": list(comparison.left_out),
        **convergence(problems),
    }
    lost = [f"Could not be refitted, and is not compared: {one}." for one in comparison.left_out]
    said = (preference(comparison), *sentences(comparison), *lost)
    return Answer(None, numbers, said, unconverged(problems))


def _decisions(comparison: Comparison) -> Iterable[dict[str, Any]]:
    axis = comparison.axis
    for name, answer in comparison.decisions.items():
        for group, own in _by_group(answer):
            for value in own[axis].to_numpy():
                at = own.sel({axis: value})
                quantities = {str(q): numbers(at[q]) for q in at.data_vars}
                place = {"model": name, "group": group, axis: float(value)}
                yield {**place, **quantities}


def preference(comparison: Comparison) -> str:
    """Say which law predicts runs best, by how much, and which laws the runs leave possible.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    str
    """
    best, *others = comparison.table.itertuples()
    behind = [f"{row.Index} {-row.elpd_diff:.1f} ± {row.se_diff:.1f}" for row in others]
    against = [row.Index for row in others if row.Index not in comparison.plausible]
    possible = [row.Index for row in others if row.Index in comparison.plausible]
    told = [f"speak against {' and '.join(against)}"] if against else []
    told += [f"do not tell it from {' and '.join(possible)}"] if possible else []
    return (
        f"Of {len(others) + 1} laws {best.Index} best predicts runs that are left out. Behind it, "
        f"in nats: {', '.join(behind)}. The runs {', and '.join(told)}."
    )


def sentences(comparison: Comparison) -> list[str]:
    """Say for each value asked whether the choice of law matters to the decision.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    list of str
        One for each value.
    """
    if comparison.regret:
        budgets = comparison.decisions[STACKED]["flops"].to_numpy()
        return [_on_budget(comparison, float(flops)) for flops in budgets]
    values = comparison.decisions[STACKED][comparison.axis].to_numpy()
    return [_on_value(comparison, float(value)) for value in values]


def _on_budget(comparison: Comparison, flops: float) -> str:
    start = _at(comparison, flops)
    undecided = _worst(comparison, comparison.plausible, flops)
    if undecided and undecided["p_matters"] > 0.5:
        return (
            f"{start} the choice of law matters, and the runs do not tell them apart: "
            f"{_cost(undecided)}."
        )
    worst = _worst(comparison, tuple(comparison.fits), flops)
    if worst["p_matters"] > 0.5:
        told = _told(comparison, worst["chosen"], flops)
        return f"{start} the laws choose differently: {_cost(worst)}. {told}"
    return f"{start} the choice of law hardly matters: at worst {_cost(worst)}."


def _at(comparison: Comparison, value: float) -> str:
    """Name the value asked, and how far it lies beyond the runs."""
    axis = comparison.axis
    unit = "FLOPs" if axis == "flops" else axis
    shown = words.flops(value) if axis == "flops" else words.count(value)
    beyond = _beyond(comparison, value)
    far = f", {beyond:.1f} decades beyond the runs," if beyond else ""
    return f"At {shown} {unit}{far}"


def _beyond(comparison: Comparison, value: float) -> float:
    first = next(iter(comparison.fits.values()))
    decades = abs(float(decades_beyond(first.runs, **{comparison.axis: value})))
    return decades if decades >= 0.05 else 0.0


def _told(comparison: Comparison, law: str, value: float) -> str:
    """Say that the runs speak against a law, and where they cannot."""
    entry = comparison.table.loc[law]
    beyond = "; of laws beyond their range they cannot tell" if _beyond(comparison, value) else ""
    return (
        f"The runs speak against {law} (elpd {entry['elpd_diff']:.1f} ± {entry['se_diff']:.1f} to "
        f"{comparison.table.index[0]}){beyond}."
    )


def _worst(comparison: Comparison, chosen: Sequence[str], flops: float) -> dict[str, Any]:
    """Pick the costliest choice where a law is true that the runs leave possible."""
    found = [
        entry
        for entry in _regrets(comparison)
        if entry["flops"] == flops
        and entry["chosen"] in chosen
        and entry["true"] in comparison.plausible
    ]
    return max(found, key=lambda entry: (entry["p_matters"], entry["median"]), default={})


def _regrets(comparison: Comparison) -> Iterable[dict[str, Any]]:
    """Regret of every choice under every other law, budget by budget."""
    for true, regret in comparison.regret.items():
        for group, own in _by_group(regret):
            for chosen in own["chosen"].to_numpy():
                for flops in own["flops"].to_numpy():
                    draws = own.sel(chosen=chosen, flops=flops)
                    if chosen != true:
                        yield {
                            "chosen": str(chosen),
                            "true": true,
                            "group": group,
                            "flops": float(flops),
                            "p_matters": float((draws > COSTLY).mean()),
                            **numbers(draws),
                        }


def _by_group(draws: Any) -> Iterable[tuple[str | None, Any]]:
    if "group" not in draws.dims:
        return [(None, draws)]
    return [(str(group), draws.sel(group=group)) for group in draws["group"].to_numpy()]


def _cost(entry: Mapping[str, Any]) -> str:
    middle, low, high = (words.significant(1 + entry[name]) for name in ("median", "q05", "q95"))
    of_group = "" if entry["group"] is None else f" for {entry['group']}"
    return (
        f"the N* of {entry['chosen']}, where {entry['true']} is true, takes {middle} times "
        f"({low} to {high}) the compute of its own{of_group}, "
        f"over {COSTLY:.0%} more with probability {words.chance(entry['p_matters'])}"
    )


def _on_value(comparison: Comparison, value: float) -> str:
    start, name = _at(comparison, value), comparison.response.name
    said = partial(_difference, response=comparison.response)
    found = list(_differences(comparison, value))
    undecided = _clearest([one for one in found if one["plausible"]])
    if undecided and undecided["p_differ"] > 0.5:
        return (
            f"{start} the laws differ in the {name}, and the runs do not tell them apart: "
            f"{said(undecided)}."
        )
    clearest = _clearest(found)
    if clearest["p_differ"] > 0.5:
        told = _told(comparison, clearest["law"], value)
        return f"{start} the laws differ in the {name}: {said(clearest)}. {told}"
    return f"{start} no two laws clearly differ in the {name}: at most {said(clearest)}."


def _differences(comparison: Comparison, value: float) -> Iterable[dict[str, Any]]:
    """Differences of what every two laws predict of which the runs leave one possible."""
    likely, own = comparison.plausible, comparison.response
    for than, law in combinations(comparison.fits, 2):  # the best laws first
        if than not in likely:
            than, law = law, than
        if than in likely:
            predicted = (comparison.decisions[name][own.column] for name in (law, than))
            of_law, of_than = (own.onto(one.sel({comparison.axis: value})) for one in predicted)
            for group, ratio in _by_group(of_law - of_than):
                yield {
                    "law": law,
                    "than": than,
                    "group": group,
                    "plausible": law in likely,
                    # above on one side: two vague laws may be far apart and not differ
                    "p_differ": max(float((side * ratio > APART).mean()) for side in (1, -1)),
                    "p_agree": float((np.abs(ratio) <= APART).mean()),
                    **numbers(own.back(ratio) - own.back(0.0)),
                }


def _clearest(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max(found, key=lambda one: (one["p_differ"], abs(one["median"])), default={})


def _difference(one: Mapping[str, Any], response: Response) -> str:
    of_group = "" if one["group"] is None else f" for {one['group']}"
    unit = percent(response)
    middle, low, high = (f"{100 * one[name]:+z.1f}{unit}" for name in ("median", "q05", "q95"))
    return (
        f"the {response.name} of {one['law']} beside that of {one['than']}{of_group} is {middle} "
        f"({low} to {high}), within {100 * APART:.0f}{unit.rstrip('s')} with probability "
        f"{words.chance(one['p_agree'])}"
    )
