r"""Which of some candidate runs to make, per draw.

A plan is a run nobody has made: N parameters on D tokens, of which U may be unique, at some cost.
Its regret is what it loses against the plan that would be best if the law were known: in loss, and
in compute,

.. math:: C^*(\min_j L_j) - C^*(L_i),

with :math:`C^*(\ell)` the least compute that reaches a loss. Both are never negative and depend on
the draw: their mean is the expected regret, and the plan of the least expected regret is the one to
make where being wrong costs in proportion.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import BASIN_EXCESS
from bayescale.decisions.answer import Answer, amount, distance, number_of, priced
from bayescale.decisions.prices import IN_FLOPS, SERVING_FLOPS, Prices
from bayescale.decisions.ratios import Ratios, failed_beyond
from bayescale.decisions.repetition import loss_with_excess
from bayescale.draws import STACKED, numbers, stack_draws
from bayescale.errors import FitError, RunsError
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.runs.numbers import parse
from bayescale.runs.table import read_table

_NEEDED = ("params", "tokens")
_OPTIONAL = ("unique_tokens", "inference_tokens", "flops", "cost")


type Plans = str | Path | pd.DataFrame
"""Candidate plans: a file or a table, as `read_plans` takes them."""


@typed
def read_plans(source: Plans) -> pd.DataFrame:
    """Read candidate plans from a file, or check a table of them.

    Parameters
    ----------
    source : path or pandas.DataFrame
        Columns ``params`` and ``tokens``; optional: ``plan`` (its name), ``unique_tokens``,
        ``inference_tokens`` (tokens it will serve), ``flops`` (of training, where it is not kND),
        ``cost`` (in the unit of the prices, where it is not what the FLOPs cost). Other columns are
        kept.

    Returns
    -------
    pandas.DataFrame
        Counts as float64, also those written as 7B; a name for every plan.

    Raises
    ------
    RunsError
        If a column is missing, a value is not positive (0 inference tokens are allowed), more
        tokens are unique than there are, or a name stands for two plans.
    """
    table = read_table(source).copy()
    for name in _NEEDED:
        if name not in table:
            raise RunsError(
                f"the plans have no column {name!r}; they need params and tokens, and may have "
                f"plan, {', '.join(_OPTIONAL)} (got {', '.join(table.columns)})"
            )
    for name in (*_NEEDED, *(name for name in _OPTIONAL if name in table)):
        table[name] = _counts(table, name)
    if "unique_tokens" in table:
        more = table.index[table["unique_tokens"] > table["tokens"]]
        if len(more):
            raise RunsError(f"{words.rows(more)} of the plans: more unique tokens than tokens")
    if "plan" not in table:
        table.insert(0, "plan", [_name(row) for row in table.to_dict("records")])
    table["plan"] = table["plan"].astype(str)
    again = table.index[table["plan"].duplicated()]
    if len(again):
        raise RunsError(
            f"{words.rows(again)} of the plans: a plan named {table['plan'][again[0]]!r} is "
            "there already; give each its own name in a column plan"
        )
    return table


@typed
def plan_outcomes(
    fit: Fit,
    plans: Plans,
    *,
    prices: Prices = IN_FLOPS,
    min_ratio: float | None = None,
    max_ratio: float | None = None,
    k: float | None = None,
) -> xr.Dataset:
    """Loss and cost of every plan, per draw.

    Parameters
    ----------
    fit : Fit
        Of a joint law; of one group where there are groups.
    plans : path or pandas.DataFrame
        As `read_plans` takes them.
    prices : Prices
        Of training and serving.
    min_ratio, max_ratio : float, optional
        Tokens per parameter outside of which a plan is marked; by default those of the runs.
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, plan): ``loss`` (nats per token, without noise; with the mean excess that
        repeating data often has, where the model has one), ``equivalent_flops``: least compute
        that reaches this loss. Dim (plan): ``params``, ``tokens``, ``unique_tokens``, ``flops`` of
        training, ``cost`` in the unit of the prices, ``decades_beyond`` (of compute, outside the
        runs), ``farthest`` (decades above the largest run along compute or any input),
        ``outside``, whether its tokens per parameter lie outside the range. Attributes ``unit``,
        ``price`` of one FLOP of training, ``bends``, whether the law may bend, and that range,
        ``min_ratio``, ``max_ratio`` and ``ratios_of`` ("runs", "asked" or "").

    Raises
    ------
    FitError
        For a law that is not joint, a fit with groups, or plans that repeat data under a law that
        does not know repetition.
    """
    posterior, plans = Posterior.of_joint_law(fit, k), read_plans(plans)
    law = posterior.law
    columns = {name: _vector(plans, name) for name in _NEEDED}
    columns["unique_tokens"] = (
        _vector(plans, "unique_tokens") if "unique_tokens" in plans else columns["tokens"]
    )
    repeated = plans.loc[(columns["unique_tokens"] < columns["tokens"]).to_numpy(), "plan"]
    if len(repeated) and "unique_tokens" not in law.inputs:
        raise FitError(
            f"the plan {repeated.iloc[0]!r} repeats its data, which the law {law.name} takes for "
            "fresh; fit the model data-constrained, or leave out unique_tokens"
        )
    given = {name: columns[name] for name in law.inputs}
    loss = loss_with_excess(posterior, given)
    flops = posterior.k * columns["params"] * columns["tokens"]
    # A plan reaches its loss by its own compute: where the least is not found it is no more.
    worth = np.fmin(posterior.least_compute(loss), flops)
    if "flops" in plans:
        flops = _vector(plans, "flops")
    ratios = Ratios.of(posterior.runs, min_ratio, max_ratio)
    farthest = np.maximum(posterior.beyond(**given, flops=flops), 0.0)
    outcomes = xr.Dataset(
        {
            LOSS.column: loss,
            "equivalent_flops": worth,
            **columns,
            "flops": flops,
            "cost": _cost(plans, columns["params"], flops, prices),
            "decades_beyond": ("plan", posterior.beyond(flops=flops)),
            "farthest": ("plan", farthest),
            "outside": ("plan", ratios.outside(columns["tokens"] / columns["params"])),
        },
        attrs={
            "unit": prices.unit,
            "loss_unit": fit.spec.response.unit,
            "price": prices.training,
            "priced": " ".join(priced(prices)),
            "bends": posterior.bends,
            "min_ratio": ratios.low,
            "max_ratio": ratios.high,
            "ratios_of": ratios.source,
        },
    )
    return outcomes.transpose("chain", "draw", "plan")


@typed
def stack_outcomes(
    outcomes: Mapping[str, xr.Dataset], weights: Mapping[str, float], *, seed: int = 1
) -> xr.Dataset:
    """Mix the outcomes of the same plans under several laws, each by its weight.

    Parameters
    ----------
    outcomes : mapping of str to xarray.Dataset
        What `plan_outcomes` returns, by law.
    weights : mapping of str to float
        Of the laws, with sum 1, e.g. `bayescale.Comparison.weights`.
    seed : int

    Returns
    -------
    xarray.Dataset
        As of one law; see `bayescale.stack_draws`.

    Raises
    ------
    FitError
        If laws and weights differ, or the plans do.
    """
    names = [LOSS.column, "equivalent_flops"]
    drawn = stack_draws({law: own[names] for law, own in outcomes.items()}, weights, seed=seed)
    first = next(iter(outcomes.values()))
    return (
        first.drop_vars([*names, "chain", "draw"], errors="ignore")
        .merge(drawn)
        .assign_attrs(first.attrs, bends=any(own.attrs["bends"] for own in outcomes.values()))
    )


@typed
def rank_plans(
    outcomes: xr.Dataset | Fit,
    plans: Plans | None = None,
    *,
    within: float | Sequence[float] = BASIN_EXCESS,
) -> xr.Dataset:
    """Say which plan is best, how surely, and what choosing another one loses.

    Parameters
    ----------
    outcomes : xarray.Dataset or Fit
        From `plan_outcomes`, or of several laws mixed by `stack_outcomes`; or a fit, to be asked
        about `plans`.
    plans : path or pandas.DataFrame, optional
        Of a fit: as `read_plans` takes them.
    within : float or sequence of float
        Shares of compute: a plan is nearly best when the best plan's equivalent compute exceeds its
        own by no more.

    Returns
    -------
    xarray.Dataset
        The outcomes and, with dims (chain, draw, plan): ``regret`` (nats per token),
        ``regret_flops``, ``regret_cost`` (in the unit). Dim (plan): ``p_best``; ``p_within``
        (plan, within); ``p_dominated``: probability that a plan of no more cost has a lower loss;
        ``expected_regret``, ``expected_regret_flops``, ``expected_regret_cost``. Attribute
        ``choice``: the plan of least expected regret in loss.

    Raises
    ------
    FitError
        If a share is not positive, or a fit comes without plans.
    """
    if isinstance(outcomes, Fit):
        if plans is None:
            raise FitError("name the plans: rank_plans(fit, plans), a table of params and tokens")
        outcomes = plan_outcomes(outcomes, plans)
    shares = np.atleast_1d(np.asarray(within, dtype=float))
    if not (np.isfinite(shares) & (shares > 0)).all():
        raise FitError(f"within must be a positive share of compute, got {shares.min():g}")
    loss, equivalent = outcomes[LOSS.column], outcomes["equivalent_flops"]
    regret = loss - loss.min("plan")
    lost = equivalent.max("plan") - equivalent
    near = xr.DataArray(shares, dims="within", coords={"within": shares})
    draws = ("chain", "draw")
    best = xr.zeros_like(loss)
    best[{"plan": loss.argmin("plan")}] = 1.0  # of equal plans the first
    ranked = outcomes.assign(
        regret=regret,
        regret_flops=lost,
        regret_cost=lost * outcomes.attrs["price"],
        p_best=best.mean(draws),
        p_within=(equivalent.max("plan") <= (1 + near) * equivalent).mean(draws),
        p_dominated=_dominated(loss, outcomes["cost"]).mean(draws),
    )
    for name in ("regret", "regret_flops", "regret_cost"):
        ranked[f"expected_{name}"] = ranked[name].mean(draws)
    ranked.attrs["choice"] = str(ranked["expected_regret"].idxmin("plan").item())
    return ranked


def _dominated(loss: xr.DataArray, cost: xr.DataArray) -> xr.DataArray:
    """Whether a plan of no more cost has a lower loss, per draw."""
    other = {"plan": "other"}
    cheaper = cost.rename(other) <= cost
    return ((loss.rename(other) < loss) & cheaper).any("other")


def _cost(
    plans: pd.DataFrame, params: xr.DataArray, flops: xr.DataArray, prices: Prices
) -> xr.DataArray:
    """Training and serving, or what the plans themselves say."""
    if "cost" in plans:
        return _vector(plans, "cost")
    cost = prices.training * flops
    if "inference_tokens" in plans:
        cost = cost + prices.serving * SERVING_FLOPS * params * _vector(plans, "inference_tokens")
    return cost


def _vector(plans: pd.DataFrame, name: str) -> xr.DataArray:
    return xr.DataArray(plans[name].to_numpy(float), dims="plan", coords={"plan": plans["plan"]})


def _counts(table: pd.DataFrame, name: str) -> pd.Series:
    values = parse(table[name], counts=True)
    allowed = values >= 0 if name == "inference_tokens" else values > 0
    bad = table.index[~(np.isfinite(values) & allowed)]
    if len(bad):
        raise RunsError(
            f"{words.rows(bad)} of the plans: {name} must be a positive number, got "
            f"{table[name].astype(object)[bad[0]]!r}"
        )
    return values


def _name(plan: dict) -> str:
    """Name a plan by what it is."""
    name = f"{words.trimmed(plan['params'])} on {words.trimmed(plan['tokens'])}"
    if plan.get("unique_tokens", plan["tokens"]) < plan["tokens"]:
        name += f" ({plan['tokens'] / plan['unique_tokens']:.2g} epochs)"
    return name


@typed
def answer_plans(fit: Fit, ranked: xr.Dataset, *others: Fit) -> Answer:
    """Say what each plan is worth, the one to make first.

    Parameters
    ----------
    fit : Fit
    ranked : xarray.Dataset
        What `rank_plans` says of its outcomes.
    *others : Fit
        Fits whose outcomes were stacked with those.

    Returns
    -------
    Answer
        Numbers: ``plans``, an entry each, and ``choice``, the name of the one to make.
    """
    entries = [
        {
            "plan": str(name),
            **{n: float(one[n]) for n in ("params", "tokens", "unique_tokens", "flops", "cost")},
            LOSS.column: numbers(one[LOSS.column]),
            "p_best": float(one["p_best"]),
            "p_within": [
                {"excess": float(share), "probability": float(one["p_within"].sel(within=share))}
                for share in ranked["within"].to_numpy()
            ],
            "p_dominated": float(one["p_dominated"]),
            "expected_regret": float(one["expected_regret"]),
            "expected_regret_flops": float(one["expected_regret_flops"]),
            "expected_regret_cost": float(one["expected_regret_cost"]),
            "regret": numbers(one["regret"]),
            "decades_beyond": float(one["decades_beyond"]),
            "farthest": float(one["farthest"]),
            "outside": bool(one["outside"]),
        }
        for name in ranked["plan"].to_numpy()
        for one in [ranked.sel(plan=name)]
    ]
    unit = str(ranked.attrs["unit"])
    bends = bool(ranked.attrs["bends"])
    found = {"plans": entries, "choice": ranked.attrs["choice"], "unit": unit, "bends": bends}
    result = plain(found)
    order = sorted(result["plans"], key=lambda entry: entry["expected_regret"])
    ratios = Ratios(*(ranked.attrs[name] for name in ("min_ratio", "max_ratio", "ratios_of")))
    losses = fit.spec.response.unit
    marks = [ratios.mark(entry["tokens"] / entry["params"]) for entry in order]
    sentences = [
        f"{_plan_sentence(entry, unit, losses)} {mark}".rstrip()
        for entry, mark in zip(order, marks, strict=True)
    ]
    known = [e["farthest"] for e in result["plans"] if e["farthest"] is not None]
    if known:
        sentences.append(distance(max(known), bends=bends))
    sentences += failed_beyond(fit, ranked["params"], ranked["tokens"])
    if said := ranked.attrs["priced"]:
        sentences.append(str(said))
    return Answer.by(fit, *others, numbers=result, sentences=sentences, draws=ranked)


@typed
def answer_plans_by_law(
    fits: Mapping[str, Fit], weights: Mapping[str, float], plans: Plans
) -> Answer:
    """Say which plan each law would choose, and which one all of them by their weights.

    Parameters
    ----------
    fits : mapping of str to Fit
        By name of the law.
    weights : mapping of str to float
        Of the laws, with sum 1.
    plans : path or pandas.DataFrame
        As `read_plans` takes them.

    Returns
    -------
    Answer
        Numbers: ``by_law``, the answer of each, and ``choices``.
    """
    outcomes = {law: plan_outcomes(fit, plans) for law, fit in fits.items()}
    outcomes[STACKED] = stack_outcomes(outcomes, weights)
    first, *others = fits.values()
    found = {law: answer_plans(fit, rank_plans(outcomes[law])) for law, fit in fits.items()}
    found[STACKED] = answer_plans(first, rank_plans(outcomes[STACKED]), *others)
    choices = {law: answer.numbers["choice"] for law, answer in found.items()}
    apart = [f"{law} {choice}" for law, choice in choices.items() if choice != choices[STACKED]]
    sentence = f"All laws by their weights would choose {choices[STACKED]}; " + (
        f"by itself {', '.join(apart)}." if apart else "so would each of them."
    )
    return Answer.by(
        *fits.values(),
        numbers={"by_law": {law: own.record for law, own in found.items()}, "choices": choices},
        sentences=[sentence, *found[STACKED].sentences],
        draws=found[STACKED].draws,
    )


def _plan_sentence(entry: dict[str, Any], unit: str, losses: str) -> str:
    regret = (
        f"{words.significant(entry['expected_regret'], 2)} {losses}, as much as "
        f"{amount(entry['expected_regret_cost'], unit)} of training buy"
        if entry["expected_regret"] > 0
        else "none"
    )
    near = entry["p_within"][-1]
    return (
        f"{entry['plan']}: loss {number_of(entry['loss'], 4)}, best with probability "
        f"{words.chance(entry['p_best'])}, wasting at most {near['excess']:.0%} of the compute "
        f"with {words.chance(near['probability'])}. Expected regret: {regret}. It costs "
        f"{amount(entry['cost'], unit)}."
    )
