"""Which settings a planned run wants, how wrong they may be, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import (
    Answer,
    Quantity,
    Verdict,
    interval_of,
    verdict_of,
)
from bayescale.decisions.hyperparameters import (
    CONSTANT,
    OWN,
    SAME,
    Bowl,
    bowl_of,
    bracketed,
    cell_at,
    more_tokens,
    next_sweeps,
    places_of,
    regrets,
    require_swept,
    tokens_slope,
)
from bayescale.decisions.prices import Prices
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.modelling.spec import slope_of
from bayescale.modelling.tuning import sweep_model
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import fit
from bayescale.runs.range import axis_range, decades_beyond
from bayescale.runs.sweep_design import collinear
from bayescale.runs.sweeps import as_sweep, at_ceiling, read_sweep
from bayescale.runs.table import Runs

WITHIN = 0.005
"""Share of the loss that settings may cost, by default."""

SURE = 0.9
"""Probability from which on the best value of a cell counts as bracketed."""

_RATES = ("learning_rate", "lr", "peak_lr", "max_lr")
_BATCHES = ("batch_size_tokens", "batch_tokens", "tokens_per_batch", "tokens_per_step")
_PLACES = ("place", "second_place")  # coordinates of the laws of one and of two settings
_SAME = SAME / np.log(10.0)  # decades
_MOST = 10.0  # share from which on it is told no closer
_ALIKE = np.log10(1.25)  # decades by which a planned run may differ from cells that are all alike
_DRAWS = {"draws": 350, "tune": 300}  # as precise as a thousand of a law that is harder to sample


@typed
def fit_tuning(
    runs: Runs | pd.DataFrame | str | Path,
    knobs: str | Sequence[str],
    *,
    seed: int = 1,
    draws: int = _DRAWS["draws"],
    tune: int = _DRAWS["tune"],
    progress: bool | None = None,
    **reading: Any,
) -> Fit:
    """Fit the bowls of a sweep of one or two settings, and how they move with N and D.

    The model ``tuning`` or ``tuning-pair``, with the trends that the cells can teach.

    Parameters
    ----------
    runs : Runs, pandas.DataFrame or path
        Of a sweep: what is not one yet is read by `bayescale.read_sweep`.
    knobs : str or sequence of str
        The settings that were swept, at most two; the learning rate first.
    seed, draws, tune, progress
        As of `bayescale.fit`.
    **reading
        Options of `bayescale.read_sweep`.

    Returns
    -------
    Fit

    Raises
    ------
    RunsError, ModelError, FitError
        As `bayescale.read_sweep` and `bayescale.fit`.
    """
    if isinstance(runs, Runs):
        swept = runs if "cell" in runs.table else as_sweep(runs, knobs, **reading)
    else:
        swept = read_sweep(runs, knobs, **reading)
    spec = sweep_model(swept, knobs)
    return fit(swept, spec, seed=seed, draws=draws, tune=tune, progress=progress)


@typed
def answer_tuning(
    fit: Fit,
    plans: Sequence[Mapping[str, float]] = (),
    *,
    forced: Mapping[str, float] | None = None,
    candidate: Mapping[str, float] | None = None,
    within: float = WITHIN,
    prices: Prices | None = None,
    seed: int = 1,
) -> Answer:
    r"""Say the best settings of planned runs, what others cost, and what would tell more.

    Parameters
    ----------
    fit : Fit
        Of `fit_tuning`.
    plans : sequence of mapping of str to float, optional
        Planned runs, each by ``params`` and ``tokens`` (or what else the model has trends in).
    forced : mapping of str to float, optional
        Settings that are given, such as a batch size: the best values of the others are for them.
    candidate : mapping of str to float, optional
        Settings whose cost is asked; a knob that is left out is at its best for the others.
    within : float, optional
        Share of the loss up to which settings are nearly the best.
    prices : Prices, optional
        Of training, for costs in money.
    seed : int, optional

    Returns
    -------
    Answer
        Numbers: ``knobs``, ``exponents`` (by knob and column: of the power law of its best value),
        ``plans``, ``cells`` (best values of each, and the probability that they lie within what was
        tried), ``rules`` (what published laws cost on these cells) and ``next_sweeps``.

    Raises
    ------
    FitError
        For a fit of another kind, an unknown knob, or a plan that does not say where it lies, or
        lies where the sweep cannot tell: off the one size, or number of tokens, of all cells.
    """
    require_swept(fit)
    for name, given in (("forced", forced), ("candidate", candidate)):
        _require_knobs(fit, name, given or {})
    slope = tokens_slope(fit)
    exponents = _exponents(fit)
    planned, drawn = [], []
    for plan in plans:
        bowl = bowl_of(fit, seed=seed, **_place(fit, plan))
        drawn.append(bowl.best)
        planned.append(
            _planned(fit, bowl, plan, dict(forced or {}), candidate, within, slope, prices)
        )
    cells = _cells(fit)
    rules = _rules(fit, seed) if len(cells) > 1 else []
    sweeps = _sweeps(fit, plans, seed) if planned and len(cells) > 1 else []
    found = {
        "knobs": list(fit.spec.axes),
        "within": within,
        "exponents": exponents,
        "plans": planned,
        "cells": cells,
        "rules": rules,
        "next_sweeps": sweeps,
    }
    sentences = [
        *(line for plan in planned for line in _said_of_plan(plan, within)),
        *_said_of_exponents(exponents),
        *_said_of_collinear(fit),
        *_said_of_cells(cells, list(fit.spec.axes)),
        *_said_of_rules(rules),
        *_said_of_sweeps(sweeps),
    ]
    draws = xr.concat(drawn, dim="plan") if drawn else None
    return Answer.by(fit, numbers=found, sentences=sentences, draws=draws)


def is_sweep(fit: Fit) -> bool:
    """Whether a fit is of cells whose best settings follow trends.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    bool
    """
    spec = fit.spec
    return bool(fit.groups and spec.trends and spec.law.best and spec.response.better == "lower")


@typed
def answer_settings(fit: Fit) -> Answer:
    """Say what a sweep tells of the best settings of its cells; nothing of other fits.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Answer
        Numbers: ``settings``, with ``knobs``, ``exponents`` and ``cells`` as of `answer_tuning`, or
        None.
    """
    if not is_sweep(fit):
        return Answer.by(fit, numbers={"settings": None}, sentences=[])
    exponents, cells, knobs = _exponents(fit), _cells(fit), list(fit.spec.axes)
    found = {"knobs": knobs, "exponents": exponents, "cells": cells}
    sentences = [
        *_said_of_exponents(exponents),
        *_said_of_collinear(fit),
        *_said_of_cells(cells, knobs),
    ]
    return Answer.by(fit, numbers={"settings": found}, sentences=sentences)


def _require_knobs(fit: Fit, what: str, given: Mapping[str, float]) -> None:
    for knob, value in given.items():
        if knob not in fit.spec.axes:
            near = words.did_you_mean(knob, list(fit.spec.axes))
            raise FitError(f"{what}: no setting {knob!r} was swept; {near}")
        if not 0 < value < np.inf:
            raise FitError(f"{what}: {knob} must be positive, got {value:g}")


def _place(fit: Fit, plan: Mapping[str, float]) -> dict[str, float]:
    """Say where a planned run lies along the columns that the cells have trends in."""
    missing = [name for name in fit.spec.covariates if name not in plan]
    if missing:
        raise FitError(
            f"the best settings move with {' and '.join(fit.spec.covariates)}: say the "
            f"{' and '.join(missing)} of the planned run"
        )
    require_told(fit.runs, fit.spec.covariates, plan)
    known = fit.runs.table.columns
    return {name: float(value) for name, value in plan.items() if name in known}


def require_told(runs: Runs, trends: Sequence[str], plan: Mapping[str, float]) -> None:
    """Refuse a run that lies off the one size, or number of tokens, that all cells share.

    Parameters
    ----------
    runs : Runs
        Of a sweep.
    trends : sequence of str
        Columns along which the best settings move.
    plan : mapping of str to float

    Raises
    ------
    FitError
        For such a run.
    """
    for name in {"params", "tokens"} & {*plan} & {*runs.table.columns} - {*trends}:
        low, high = axis_range(runs, name)
        far = abs(float(decades_beyond(runs, **{name: plan[name]})))
        if far > _ALIKE > np.log10(high / low):
            raise FitError(
                f"all cells have about {words.count(low)} {name}, so no run says how the best "
                f"settings move to {words.count(plan[name])}; ask at {words.count(low)}, or add "
                f"cells with other {name}"
            )


def _planned(
    fit: Fit,
    bowl: Bowl,
    plan: Mapping[str, float],
    forced: dict[str, float],
    candidate: Mapping[str, float] | None,
    within: float,
    slope: xr.DataArray | None,
    prices: Prices | None,
) -> dict[str, Any]:
    """Collect what is said of one planned run."""
    tuned, choice = bowl.tuned_to(forced), bowl.choice(**forced)
    costs = {"choice": _cost(fit, bowl, choice, plan, slope, prices)}
    if candidate is not None:
        costs["candidate"] = _cost(fit, bowl, candidate, plan, slope, prices)
    basins = {
        knob: {end: numbers(own) for end, own in bowl.basin(knob, within, **forced).items()}
        for knob in bowl.knobs
        if knob not in forced
    }
    flops = _flops(fit, plan)
    far = [decades_beyond(fit.runs, **{name: value}) for name, value in _place(fit, plan).items()]
    decades = float(max(far, key=lambda own: abs(float(own)), default=0.0))
    cell = cell_at(fit, plan)
    unknown = [] if cell else _without_trend(fit, plan)
    return {
        "params": plan.get("params"),
        "tokens": plan.get("tokens"),
        "flops": flops,
        "cell": cell,
        "decades_beyond": decades,
        "without_trend": unknown,
        "verdict": asdict(_verdict(fit, decades, unknown)),
        "forced": forced,
        "best": {knob: numbers(tuned[knob]) for knob in bowl.knobs if knob not in forced},
        "settings": choice,
        "within": basins,
        "costs": costs,
    }


def _without_trend(fit: Fit, plan: Mapping[str, float]) -> list[str]:
    """Name what a plan differs in from all runs, and the runs say nothing of its effect."""
    table = fit.runs.table
    return [
        name
        for name, value in plan.items()
        if name not in fit.spec.covariates
        and (name not in table or abs(decades_beyond(fit.runs, **{name: value})) > _SAME)
    ]


def _verdict(fit: Fit, decades: float, unknown: Sequence[str]) -> Verdict:
    """Judge a plan by how far out it is; a column without a trend is never inside of the runs."""
    found = verdict_of(fit, decades, None)
    if not unknown or found.word != "supported":
        return found
    return Verdict("untested", f"No run says how settings move with {' and '.join(unknown)}.")


def _flops(fit: Fit, plan: Mapping[str, float]) -> float | None:
    if not {"params", "tokens"} <= plan.keys():
        return None
    return fit.runs.flops_per_param_token * plan["params"] * plan["tokens"]


def _cost(
    fit: Fit,
    bowl: Bowl,
    settings: Mapping[str, float],
    plan: Mapping[str, float],
    slope: xr.DataArray | None,
    prices: Prices | None,
) -> dict[str, Any]:
    """Price settings: as a share of the loss, in tokens and in money that make up for it."""
    rise = bowl.rise(**settings)
    found: dict[str, Any] = {
        "settings": dict(settings),
        "loss": numbers(xr.ufuncs.expm1(rise)),
        "expected_loss": float(xr.ufuncs.expm1(rise).mean()),
        "tokens": None,
        "money": None,
        "unit": prices.unit if prices else None,
    }
    if slope is None:
        return found
    tokens = more_tokens(rise, slope)
    found["tokens"] = numbers(tokens)
    flops = _flops(fit, plan)
    if prices is not None and flops is not None:
        found["money"] = numbers(tokens * flops * prices.training)
    return found


def _exponents(fit: Fit) -> dict[str, dict[str, Any]]:
    """Exponents of the power laws of best values, by knob and column."""
    places = [name for name in _PLACES if name in fit.spec.priors]
    return {
        knob: {
            column: numbers(fit.posterior[slope_of(place, column)])
            for column in fit.spec.trends.get(place, ())
        }
        for knob, place in zip(fit.spec.axes, places, strict=True)
    }


def _cells(fit: Fit) -> list[dict[str, Any]]:
    """Say of each cell where its best settings are, and whether they were bracketed."""
    if len(fit.runs) == 0:  # given constants
        return []
    sides, found = bracketed(fit), []
    at = places_of(fit)
    for cell in at:
        of_cell = fit.of_group(cell) if fit.groups else fit
        own, best = of_cell.runs.table, Bowl(of_cell).best
        found.append(
            {
                "cell": cell,
                "params": at[cell].get("params"),
                "tokens": at[cell].get("tokens"),
                "runs": len(own),
                "far": int(at_ceiling(own).sum()),
                "best": {str(knob): numbers(best[knob]) for knob in best},
                "tried": {k: [float(own[k].min()), float(own[k].max())] for k in fit.spec.axes},
                **{
                    f"p_{side}": {k: float(sides.sel(cell=cell, knob=k, side=side)) for k in best}
                    for side in ("inside", "below", "above")
                },
            }
        )
    return found


def roles_of(knobs: Sequence[str]) -> dict[str, str]:
    """Tell which setting is a learning rate, and which a batch in tokens, by their names.

    Parameters
    ----------
    knobs : sequence of str

    Returns
    -------
    dict of str to str
        ``learning_rate`` and ``batch``, of those that are known.
    """
    known = {"learning_rate": _RATES, "batch": _BATCHES}
    return {role: knob for role, names in known.items() for knob in knobs if knob in names}


def _rules(fit: Fit, seed: int) -> list[dict[str, Any]]:
    """Say what each law costs on these cells, the cheapest first."""
    found = regrets(fit, roles_of(fit.spec.axes), seed=seed)
    rules = [
        {
            "rule": str(name),
            "loss": numbers(xr.ufuncs.expm1(found["rise"].sel(rule=name))),
            "constant": {knob: float(found[knob].sel(rule=name)[0]) for knob in fit.spec.axes}
            if name == CONSTANT
            else None,
        }
        for name in found["rule"].to_numpy()
    ]
    return sorted(rules, key=lambda own: own["loss"]["median"])


def _sweeps(fit: Fit, plans: Sequence[Mapping[str, float]], seed: int) -> list[dict[str, Any]]:
    """Rank small sweeps by what they tell of the largest plan, the best of each kind."""
    if not {"params", "tokens"} <= set(fit.runs.table.columns):
        return []
    largest = max(plans, key=lambda own: float(np.prod(list(own.values()))))
    table = next_sweeps(fit, bowl_of(fit, seed=seed, **_place(fit, largest)), seed=seed)
    ranked = pd.concat([table.iloc[:1], table.sort_values("reduction", ascending=False)])
    kept = ranked.drop_duplicates("cell").iloc[:4]
    return [
        {
            **{
                n: row[n] for n in ("cell", "params", "tokens", "new", "runs", "flops", "reduction")
            },
            "settings": {knob: row[knob] for knob in fit.spec.axes},
        }
        for row in kept.to_dict("records")
    ]


def setting(value: float) -> str:
    """Write the value of a setting: a rate in scientific digits, a batch as a count.

    Parameters
    ----------
    value : float

    Returns
    -------
    str

    Examples
    --------
    >>> setting(0.00078), setting(3177000.0)
    ('7.80e-4', '3.18M')
    """
    if value >= 1000:
        return words.count(value)
    if value >= 0.01:
        return words.significant(value, 3)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _settings(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{knob} {setting(value)}" for knob, value in settings.items())


def _run(plan: Mapping[str, Any]) -> str:
    named = [
        f"{words.count(plan[name])} {name}"
        for name in ("params", "tokens")
        if plan.get(name) is not None
    ]
    return " on ".join(named) or "The planned run"


def _said_of_plan(plan: dict[str, Any], within: float) -> list[str]:
    """Say the best settings of a plan, how wrong they may be, and what stands against it."""
    forced = f" at {_settings(plan['forced'])}" if plan["forced"] else ""
    best = "; ".join(f"{knob} {interval_of(own, setting)}" for knob, own in plan["best"].items())
    lines = [f"{_run(plan)}{forced}: best {best}."] if best else [f"{_run(plan)}{forced}."]
    cost = plan["costs"]["choice"]
    lines.append(
        f"Choose {_settings(plan['settings'])}: expected to cost {_share(cost['expected_loss'])} "
        f"of the loss against the best there is{_at_most(cost)}."
    )
    lines += [_said_of_basin(knob, own, within) for knob, own in plan["within"].items()]
    if "candidate" in plan["costs"]:
        lines.append(_said_of_candidate(plan["costs"]["candidate"]))
    return [*lines, *_said_of_distance(plan)]


def _said_of_distance(plan: dict[str, Any]) -> list[str]:
    """Say how far from the runs a plan is, and what its intervals take for true."""
    out, unknown = plan["decades_beyond"], plan["without_trend"]
    far = f"This is {words.times_out(out)} that was swept" if out else ""
    if unknown:
        return [
            f"{far}{'. ' if far else ''}The runs say nothing of how the best settings move with "
            f"{' and '.join(unknown)}: they are taken not to, and the intervals leave that out."
        ]
    return [f"{far}: the intervals hold as far as the power laws do."] if far else []


def _said_of_basin(knob: str, ends: Mapping[str, Quantity], within: float) -> str:
    """Say which values lose little for sure, or, where none does, which do by the middle draw."""
    low, high, share = ends["low"], ends["high"], f"less than {100 * within:.2g}% of it"
    if low["q95"] is not None and high["q05"] is not None and low["q95"] < high["q05"]:
        return (
            f"{knob} from {setting(low['q95'])} to {setting(high['q05'])} loses {share}, 95% sure "
            "at either end."
        )
    said = f"No {knob} is sure to lose {share}"
    if low["median"] is None or high["median"] is None:
        return f"{said}."
    each = f"{interval_of(low, setting)} and {interval_of(high, setting)}"
    return f"{said}: the ends of such values, {each}, overlap."


def _at_most(cost: Mapping[str, Any]) -> str:
    return f", 95% sure less than {_share(cost['loss']['q95'])}"


def _said_of_candidate(cost: dict[str, Any]) -> str:
    said = f"{_settings(cost['settings'])} would cost {share_of_loss(cost['loss'])} of the loss"
    tokens, money, unit = plain(cost["tokens"]), plain(cost["money"]), cost["unit"]
    if tokens is not None and tokens["median"] is None:
        return f"{said}, for which no number of tokens makes up."
    if tokens is not None:
        more = interval_of(tokens, _share_of_tokens)
        said += f", as much as {more} more tokens make up for, as losses fall among the cells"
    if money is not None:
        said += f", {interval_of(money, lambda own: f'{unit}{words.count(own)}')}"
    return f"{said}."


def share_of_loss(value: Quantity) -> str:
    """Write a small share of a loss with its interval.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.

    Returns
    -------
    str
    """
    return interval_of(value, _share)


def _share(value: float) -> str:
    """Write a share of the loss; beyond ten times no digit means anything."""
    return f"{value:.2%}" if value < _MOST else "over 1,000%"


def _share_of_tokens(value: float) -> str:
    return f"{value:.1%}" if value < _MOST else "over 1,000%"


def _said_of_exponents(exponents: dict[str, dict[str, Quantity]]) -> list[str]:
    return [
        f"The best {knob} goes like "
        + " and ".join(
            f"{column}^{interval_of(own, lambda number: f'{number:.2f}')}"
            for column, own in columns.items()
        )
        + "."
        for knob, columns in exponents.items()
        if columns
    ]


def _said_of_collinear(fit: Fit) -> list[str]:
    """Say that params and tokens of the cells move together: exponents are the prior's."""
    both = {"params", "tokens"} <= set(fit.spec.covariates) and "cell" in fit.runs.table
    alike = collinear(fit.runs.table) if both else None
    if alike is None:
        return []
    like = "tokens per parameter" if alike > 0 else "compute"
    return [
        f"Log params and log tokens of the cells correlate at {alike:.3f}: along which of them the "
        f"best settings move, the prior says; trust plans of like {like} alone."
    ]


def _said_of_cells(cells: list[dict[str, Any]], knobs: list[str]) -> list[str]:
    """Say in how many cells the best settings were bracketed, and where they were not."""
    said = []
    for knob in knobs:
        open_ = [own for own in cells if own["p_inside"][knob] < SURE]
        if not cells:
            continue
        if not open_:
            every = f"all {len(cells)} cells" if len(cells) > 1 else "the one cell"
            said.append(f"The best {knob} lies within what was tried in {every}.")
            continue
        low = sum(own["p_below"][knob] > own["p_above"][knob] for own in open_)
        side = "below" if low == len(open_) else "above" if low == 0 else "beyond"
        which = "every cell" if len(open_) == len(cells) else f"{len(open_)} of {len(cells)} cells"
        bound = {"below": "an upper bound", "above": "a lower bound"}.get(side, "a bound")
        said.append(
            f"In {which} the best {knob} may lie {side} all that was tried: there it is {bound}, "
            f"not an interior estimate ({_some([own['cell'] for own in open_])})."
        )
    return said


def _some(cells: list[str], most: int = 3) -> str:
    left = len(cells) - most
    return ", ".join(cells[:most]) + (f" and {left} more" if left > 0 else "")


def _said_of_rules(rules: list[dict[str, Any]]) -> list[str]:
    """Say what one constant and published laws cost on these cells."""
    published, parts = [], []
    for own in rules:
        cost = f"{own['loss']['median']:.2%}"
        if own["constant"]:
            fixed = _settings(own["constant"])
            parts.append(f"one constant ({fixed}) would cost {cost} of the loss")
        elif own["rule"] != OWN:
            published.append(f"{own['rule']} {cost}")
    if published:
        parts.append(f"published laws would cost {', '.join(published)}")
    return [f"On these cells {'; '.join(parts)}."] if parts else []


def _said_of_sweeps(sweeps: list[dict[str, Any]]) -> list[str]:
    """Say which small sweep tells most for its compute, and which tells most at all."""
    if not sweeps:
        return []

    def said(own: dict[str, Any]) -> str:
        new = "a new cell, " if own["new"] else "cell "
        return (
            f"{own['runs']} runs about {_settings(own['settings'])} in {new}{own['cell']} "
            f"({words.flops(own['flops'])} FLOPs) take off {own['reduction']:.0%}"
        )

    most = max(sweeps, key=lambda own: own["reduction"])
    lines = [f"{said(most)} of what not knowing the best settings may cost."]
    if sweeps[0] is not most:
        lines.append(f"For their compute these tell most: {said(sweeps[0])}.")
    return lines
