r"""Whether the best value of a setting moves along width, depth or tokens.

Each value of the axis is a group of runs with a bowl of its own, whose best value lies about a
power law of the axis: with :math:`n_g` the decades of group g from the middle of the groups,

.. math:: \log_{10} x^*_g = a + s\, n_g + \tau z_g

The drift is what the power law says of the first and the last group, :math:`10^{s (n_G - n_1)}`.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
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
    convergence,
    interval_of,
    number_of,
    unconverged,
)
from bayescale.draws import numbers
from bayescale.errors import BayescaleError, FitError, RunsError, RunsWarning, warn
from bayescale.files import plain
from bayescale.laws.bowl import rise
from bayescale.modelling.pooling import covariates_of
from bayescale.modelling.spec import ModelSpec, load_model, slope_of
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import fit
from bayescale.runs.columns import words_of
from bayescale.runs.settings import settings
from bayescale.runs.sweeps import RAW, as_sweep, read_sweep
from bayescale.runs.table import Runs, read_table

REGION = 2.0**0.5
"""Factor up to which two best values count as one: about a step of a usual sweep."""

RULES = {
    "as 1/width, the standard parametrisation": -1.0,
    "as 1/sqrt(width)": -0.5,
    "the same at every width, as of muP": 0.0,
}
"""Known rules of the learning rate, with the exponent of the width in each."""

SURE = 0.9
"""Probability from which on a verdict is given."""

_OURS = ("cell", "size", "ceiling", "diverged", RAW)
_RATES = {"lr", "rate"}  # words in the name of a learning rate
_FAR = 0.05  # rise of log loss from which on a run says no more than that it is high
_ALIKE = 1.01  # values of a setting that differ less are one


@typed
def fit_transfer(
    runs: Runs | pd.DataFrame | str | Path,
    axis: str = "width",
    knob: str = "learning_rate",
    *,
    model: str | Path | ModelSpec = "transfer",
    draws: int = 1000,
    tune: int = 1000,
    seed: int = 1,
    **reading: Any,
) -> Fit:
    """Fit one bowl along a setting for each value of an axis, their best values along a trend.

    Runs that diverged, or lie more than 5% above the best of their group, are bounds.

    Parameters
    ----------
    runs : Runs, pandas.DataFrame or path
        Of one recipe.
    axis : str
        Column along which the best value may move: width, depth, tokens, params.
    knob : str
        The setting that was swept.
    model : str, path or ModelSpec
        Of bowls with trends along one column.
    draws, tune, seed : int
        As in `bayescale.fit`.
    **reading
        Options of `bayescale.read_sweep`.

    Returns
    -------
    Fit
        Whose groups are the values of the axis.

    Raises
    ------
    RunsError
        If the runs are no sweep of the setting, have one value of the axis only, or mix recipes.

    Warns
    -----
    RunsWarning
        As `bayescale.read_sweep` and `bayescale.fit`.
    """
    if isinstance(runs, Runs):
        sweep = as_sweep(runs, knob, cells=axis)
    else:
        sweep = read_sweep(runs, knob, cells=axis, **reading)
    _require_one_recipe(sweep.table, axis, knob)
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    spec = spec.along_axes(knob).grouped_by(axis).with_trends_along(axis)
    if sweep.table[axis].nunique() < 2:
        raise RunsError(
            f"every run has the {axis} {_size(axis, sweep.table[axis].iloc[0])}: whether the best "
            f"{knob} moves along it cannot be told",
            f"Add runs of another {axis}, or name another column with --axis.",
        )
    return fit(sweep, spec, draws=draws, tune=tune, seed=seed)


def _require_one_recipe(table: pd.DataFrame, axis: str, knob: str) -> None:
    """Refuse runs of one group and one value of the knob that differ in other settings."""
    alike = np.round(np.log(table[knob]) / np.log(_ALIKE))
    for name in settings(table):
        if name in (axis, knob, *_OURS):
            continue
        many = table[name].groupby([table[axis], alike]).nunique()
        if (many > 1).any():
            at = many[many > 1].index[0][0]
            raise RunsError(
                f"runs of one {axis} ({_size(axis, at)}) and one {knob} differ in {name}: they "
                "are of several recipes",
                f"Ask each by itself with --by {name}, or keep one with --where, or keep the best "
                f"of each with --best-per {axis},{knob}.",
            )


@typed
def fit_transfers(
    runs: pd.DataFrame | str | Path,
    by: str | Sequence[str],
    axis: str = "width",
    knob: str = "learning_rate",
    *,
    where: str | None = None,
    **options: Any,
) -> dict[str, Fit | str]:
    """Fit each recipe of a table by itself; one that cannot be used does not stop the others.

    Parameters
    ----------
    runs : pandas.DataFrame or path
    by : str or sequence of str
        Columns of the table that say which recipe a run is of.
    axis, knob : str
        As in `fit_transfer`.
    where : str, optional
        A query that keeps rows, as in `bayescale.read_runs`.
    **options
        Of `fit_transfer`.

    Returns
    -------
    dict of str to Fit or str
        By the name of the recipe; why it cannot be used in place of a fit.

    Raises
    ------
    RunsError
        If the table lacks a column, or no recipe can be used.

    Warns
    -----
    RunsWarning
        As `fit_transfer`, once for all recipes of which it is true.
    """
    found: dict[str, Fit | str] = {}
    doubts: dict[str, list[str]] = {}
    for name, own in _recipes(read_table(runs, where=where), [by] if isinstance(by, str) else by):
        query = own if where is None else f"({where}) and {own}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RunsWarning)
            try:
                found[name] = fit_transfer(runs, axis, knob, where=query, **options)
            except BayescaleError as error:
                found[name] = str(error)
        for one in caught:
            if issubclass(one.category, RunsWarning):
                doubts.setdefault(str(one.message), []).append(name)
    for message, names in doubts.items():
        warn(f"{', '.join(names)}: {message}")
    if not any(isinstance(own, Fit) for own in found.values()):
        name, why = next(iter(found.items()))
        raise RunsError(f"no recipe can be used; {name}: {why}")
    return found


def _recipes(table: pd.DataFrame, by: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Name each combination of values of some columns, with the query that keeps its rows."""
    for name in by:
        if name not in table:
            raise RunsError(
                f"the table has no column {name!r} to tell recipes by; "
                f"{words.did_you_mean(name, list(map(str, table)))}"
            )
    for values in table[list(by)].dropna().drop_duplicates().itertuples(index=False):
        plain_values = [getattr(value, "item", lambda own=value: own)() for value in values]
        queries = [f"`{n}` == {value!r}" for n, value in zip(by, plain_values, strict=True)]
        yield " ".join(map(str, plain_values)), " and ".join(queries)


@typed
def transfer(
    fit: Fit, *, to: float | Sequence[float] = (), region: float = REGION, seed: int = 1
) -> xr.Dataset:
    """How far the best value of a setting moves along an axis, and what carrying it over costs.

    Parameters
    ----------
    fit : Fit
        Of `fit_transfer`.
    to : float or sequence of float, optional
        Values of the axis that nobody has run.
    region : float
        Factor up to which best values count as one.
    seed : int
        Of the scatter of groups without runs.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw, ``group`` (values of the axis, ascending) and ``to``:

        * ``slope`` (chain, draw): exponent of the axis in the best value.
        * ``drift`` (chain, draw): best value of the last group over that of the first, by the
          trend.
        * ``spread`` (chain, draw): largest over smallest best value of all groups. ``scatter``: the
          factor by which a group usually lies off the trend.
        * ``best`` (chain, draw, group), and ``bracketed``, whether it lies among the values tried.
        * ``trend`` (chain, draw, group): best value by the trend alone.
        * ``cost`` (chain, draw): share by which the loss of the last group rises with the best
          value of the first.
        * ``best_to``, ``cost_to`` (chain, draw, to): best value where nobody has run, scatter
          about the trend included, and the share that the first group's best value costs there.
        * ``lowest``, ``highest``, ``best_tried``, ``runs`` (group).

        Attributes ``axis``, ``knob``, ``region``.

    Raises
    ------
    FitError
        For a fit without such a trend, a region that is no factor above 1, or values of the axis
        that are not positive.
    """
    axis, knob = _asked_of(fit)
    values = np.atleast_1d(np.asarray(to, dtype=float))
    if not (np.isfinite(values) & (values > 0)).all():
        raise FitError(f"values of {axis} must be positive numbers, got {values.tolist()}")
    if not 1 < region < np.inf:
        raise FitError(f"the region must be a factor above 1, such as 1.41, got {region:g}")
    groups = _groups(fit, axis, knob)
    at = groups["at"]
    best = fit.posterior["x_best"].assign_coords(group=at.to_numpy())
    trend, _ = _along(fit, at, 0.0, seed)
    last = fit.posterior["curvature"].isel(group=-1, drop=True)
    first = best.isel(group=0, drop=True)
    new, curvature = _along(fit, xr.DataArray(values, {"to": values}, "to"), 1.0, seed)
    return xr.Dataset(
        {
            "slope": fit.posterior[slope_of("place", axis)],
            "drift": trend.isel(group=-1, drop=True) / trend.isel(group=0, drop=True),
            "spread": best.max("group") / best.min("group"),
            "scatter": 10.0 ** fit.posterior["place_scale"],
            "best": best,
            "bracketed": (best > groups["lowest"]) & (best < groups["highest"]),
            "trend": trend,
            "cost": _cost(fit, first / best.isel(group=-1, drop=True), last),
            "best_to": new,
            "cost_to": _cost(fit, first / new, curvature),
            **groups.drop_vars("at"),
        },
        attrs={"axis": axis, "knob": knob, "region": region},
    ).transpose("chain", "draw", ...)


def beyond(fit: Fit) -> float:
    """Twice the largest value of the axis: what is answered for where nothing else is asked.

    Parameters
    ----------
    fit : Fit
        Of `fit_transfer`.

    Returns
    -------
    float
    """
    return 2 * float(fit.runs.column(_asked_of(fit)[0]).max())


def _asked_of(fit: Fit) -> tuple[str, str]:
    """Name axis and knob of a fit."""
    spec = fit.spec
    held = spec.law.name == "bowl" and spec.trends.get("place") and spec.trends.get("height")
    if not held or spec.covariates != (spec.group,) or not fit.groups:
        raise FitError(
            f"the model {spec.name} has no bowls whose best value moves along the column of their "
            "groups; fit one with fit_transfer (bayescale transfer)"
        )
    return str(spec.group), str(spec.axis)


def _groups(fit: Fit, axis: str, knob: str) -> xr.Dataset:
    """Say what was tried in each group: ends, best run, number of runs, in the fit's order."""
    table = fit.runs.table
    parts = [table[table[axis].astype(str) == name] for name in fit.groups]
    at = [float(own[axis].iloc[0]) for own in parts]
    found = {
        "at": at,
        "lowest": [own[knob].min() for own in parts],
        "highest": [own[knob].max() for own in parts],
        "best_tried": [own[knob].loc[own["loss"].idxmin()] for own in parts],
        "runs": [len(own) for own in parts],
    }
    return xr.Dataset({n: ("group", np.asarray(v)) for n, v in found.items()}, {"group": at})


def _along(fit: Fit, at: xr.DataArray, spread: float, seed: int) -> tuple[Any, Any]:
    """Best value and curvature at values of the axis, `spread` sds of groups about the trend."""
    axis, knob = str(fit.spec.group), str(fit.spec.axis)
    draws, rng = fit.posterior, np.random.default_rng(seed)
    decades = np.log10(at) - np.log10(covariates_of(fit.spec, fit.runs)[1][axis])

    def value(name: str, middle: Any) -> Any:
        centre = middle + draws[slope_of(name, axis)] * decades
        scatter = centre.copy(data=rng.standard_normal(centre.shape))
        return centre + spread * draws[f"{name}_scale"] * scatter

    sampled = {
        "level": 0.0,
        "place": value("place", draws["place_population"]),
        "height": np.exp(value("height", np.log(draws["height_population"]))),
        "asymmetry": draws["asymmetry"],
    }
    reference = fit.tree["constant_data"][f"reference_{knob}"].to_numpy()
    natural = fit.spec.law.to_natural(sampled, (reference,))
    return natural["x_best"], natural["curvature"]


def _cost(fit: Fit, ratio: Any, curvature: Any) -> Any:
    """Share by which the loss rises at so many times the best value."""
    return np.expm1(rise(np.log(ratio), curvature, fit.posterior["asymmetry"]))


@typed
def answer_transfer(
    fits: Fit | Mapping[str, Fit | str],
    *,
    to: float | Sequence[float] | None = None,
    region: float = REGION,
    seed: int = 1,
) -> Answer:
    """Say whether the best value of a setting transfers along an axis.

    Parameters
    ----------
    fits : Fit or mapping of str to Fit or str
        Of `fit_transfer`, or of several recipes by `fit_transfers`.
    to : float or sequence of float, optional
        Values of the axis that nobody has run; by default twice the largest.
    region : float
        Factor up to which best values count as one.
    seed : int

    Returns
    -------
    Answer
        Numbers: ``axis``, ``knob``, ``region``, ``recipes`` (a list), and ``refused``, why other
        recipes cannot be used. Draws: those of `transfer`, of a single fit.

    Raises
    ------
    FitError
        As in `transfer`.
    """
    named = {"": fits} if isinstance(fits, Fit) else fits
    known = {name: own for name, own in named.items() if isinstance(own, Fit)}
    found = {}
    for name, own in known.items():
        asked = beyond(own) if to is None else to
        found[name] = transfer(own, to=asked, region=region, seed=seed)
    first = next(iter(found.values()))
    entries = plain([_entry(name, known[name], draws) for name, draws in found.items()])
    refused = {name: own for name, own in named.items() if isinstance(own, str)}
    problems = [f"{name}: {said}".removeprefix(": ") for name, own in known.items()
                for said in own.problems]  # fmt: skip
    return Answer(
        first if isinstance(fits, Fit) else None,
        plain(
            {
                **convergence(problems, *known.values()),
                "failed": [check for own in known.values() for check in own.failures],
                **first.attrs,
                "recipes": entries,
                "refused": refused,
            }
        ),
        (
            *(said for entry in entries for said in _sentences(entry, first.attrs)),
            *(f"{name}: not answered. {why}." for name, why in refused.items()),
        ),
        unconverged(problems),
    )


def _entry(name: str, fit: Fit, draws: xr.Dataset) -> dict[str, Any]:
    """Give all numbers of one recipe."""
    drift, region = draws["drift"], draws.attrs["region"]
    equivalent = float((abs(np.log(drift)) < np.log(region)).mean())
    return {
        "recipe": name or None,
        "runs": int(draws["runs"].sum()),
        "verdict": _verdict(equivalent),
        "slope": numbers(draws["slope"]),
        "drift": numbers(drift),
        "p_equivalent": equivalent,
        "p_falls": float((drift < 1).mean()),
        "spread": numbers(draws["spread"]),
        "scatter": numbers(draws["scatter"]),
        "rules": _rules(draws),
        "cost": numbers(draws["cost"]),
        "p_bracketed": float(draws["bracketed"].all("group").mean()),
        "groups": [_group(draws.sel(group=at)) for at in draws["group"].to_numpy()],
        "to": [
            {
                "value": float(at),
                "best": numbers(draws["best_to"].sel(to=at)),
                "cost": numbers(draws["cost_to"].sel(to=at)),
            }
            for at in draws["to"].to_numpy()
        ],
        "changes_too": _changes_too(fit.runs.table, draws.attrs["axis"], draws.attrs["knob"]),
    }


def _verdict(equivalent: float) -> str:
    if equivalent >= SURE:
        return "transfers"
    return "drifts" if equivalent <= 1 - SURE else "cannot tell"


def _rules(draws: xr.Dataset) -> list[dict[str, Any]]:
    """How probably the slope is nearest to that of each known rule; of rates and widths only."""
    if draws.attrs["axis"] != "width" or not _RATES & set(words_of(draws.attrs["knob"])):
        return []
    slopes = xr.DataArray(list(RULES.values()), dims="rule")
    nearest = abs(draws["slope"] - slopes).argmin("rule")
    return [
        {"rule": rule, "slope": slope, "probability": float((nearest == place).mean())}
        for place, (rule, slope) in enumerate(RULES.items())
    ]


def _group(own: xr.Dataset) -> dict[str, Any]:
    """Give the numbers of one group; its best value is a bound where the best run is at an end."""
    best, lowest, highest = (float(own[name]) for name in ("best_tried", "lowest", "highest"))
    ends = {"at most": best < lowest * _ALIKE, "at least": best > highest / _ALIKE}
    return {
        "value": float(own["group"]),
        "runs": int(own["runs"]),
        "best": numbers(own["best"]),
        "lowest": lowest,
        "highest": highest,
        "best_tried": best,
        "p_bracketed": float(own["bracketed"].mean()),
        "bound": next((bound for bound, true in ends.items() if true), None),
    }


def _changes_too(table: pd.DataFrame, axis: str, knob: str) -> list[str]:
    """Name other settings that differ between groups: the trend is along all of them."""
    names = [name for name in settings(table) if name not in (axis, knob, *_OURS)]
    within = {name: table[name].groupby(table[axis]).nunique().max() <= 1 for name in names}
    return [
        name
        for name, fixed in within.items()
        if fixed and table[name].nunique() > 1 and not _is_multiple(table[name], table[axis])
    ]


def _is_multiple(values: pd.Series, of: pd.Series) -> bool:
    """Whether a column counts the same in another unit: steps for tokens."""
    numeric = pd.api.types.is_numeric_dtype(values) and bool((values > 0).all())
    return numeric and float(np.ptp(np.log(values / of))) < np.log(_ALIKE) * 2


def _sentences(entry: dict[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Say the answer of one recipe, then what it costs, then what speaks against it."""
    opening = f"{entry['recipe']}. " if entry["recipe"] else ""
    return [
        opening + _drift_sentence(entry, asked),
        *_rule_sentence(entry),
        _cost_sentence(entry, asked),
        *_doubts(entry, asked),
    ]


def _drift_sentence(entry: dict[str, Any], asked: Mapping[str, Any]) -> str:
    axis, knob, region = asked["axis"], asked["knob"], words.significant(asked["region"])
    first, last = (_size(axis, entry["groups"][place]["value"]) for place in (0, -1))
    low, high = entry["drift"]["q05"], entry["drift"]["q95"]
    moves = "falls" if high < 1 else "rises" if low > 1 else "changes"
    opening = {
        "transfers": f"It transfers within a factor of {region}",
        "drifts": f"It drifts by more than a factor of {region}",
        "cannot tell": f"Cannot tell whether it transfers within a factor of {region}",
    }[entry["verdict"]]
    return (
        f"{opening}: from {axis} {first} to {last} the best {knob} {moves} to "
        f"{number_of(entry['drift'])} times its value, as {axis} to the power "
        f"{number_of(entry['slope'], 2)}; "
        f"probability that it stays within {region} times: {words.chance(entry['p_equivalent'])}."
        + _open(entry, asked["region"])
    )


def _open(entry: dict[str, Any], region: float) -> str:
    """Say why nothing can be told, and what would tell it."""
    if entry["verdict"] != "cannot tell":
        return ""
    wide = entry["drift"]["q05"] < 1 / region and entry["drift"]["q95"] > region
    why = "is wider than that on both sides" if wide else "reaches from inside of that to beyond it"
    return f" The interval {why}: sweep finer about the best values, or a wider range of sizes."


def _rule_sentence(entry: dict[str, Any]) -> list[str]:
    if not entry["rules"]:
        return []
    ordered = sorted(entry["rules"], key=lambda own: -own["probability"])
    said = "; ".join(f"{own['rule']}: {words.chance(own['probability'])}" for own in ordered)
    return [f"Nearest known rule, by probability: {said}."]


def _cost_sentence(entry: dict[str, Any], asked: Mapping[str, Any]) -> str:
    axis, groups = asked["axis"], entry["groups"]
    first, last = groups[0], groups[-1]
    beyond = [
        f" At {axis} {_size(axis, at['value'])}, which nobody has run, it costs "
        f"{_cost_of(at['cost'])}; the best one there is predicted at {_best(at['best'])}."
        for at in entry["to"]
    ]
    return (
        f"The best {asked['knob']} at {axis} {_size(axis, first['value'])}, "
        f"{_best(first['best'])}, costs {_cost_of(entry['cost'])} of the loss at "
        f"{_size(axis, last['value'])}.{''.join(beyond)}"
    )


def _doubts(entry: dict[str, Any], asked: Mapping[str, Any]) -> list[str]:
    axis, knob = asked["axis"], asked["knob"]
    said = []
    for bound, end in (("at most", "lowest"), ("at least", "highest")):
        sizes = [_size(axis, own["value"]) for own in entry["groups"] if own["bound"] == bound]
        if sizes:
            value = _rate(next(own[end] for own in entry["groups"] if own["bound"] == bound))
            said.append(
                f"At {axis} {', '.join(sizes)} the best run has the {end} {knob} tried "
                f"({value}{', ...' if len(sizes) > 1 else ''}): by the runs there the best one is "
                f"{bound} about that, a bound; what else is said of it is the trend's and the "
                "bowls' of the other groups."
            )
    if entry["p_bracketed"] < SURE:
        least = min(entry["groups"], key=lambda own: own["p_bracketed"])
        said.append(
            f"Probability that the best value lies among those tried in every group: "
            f"{words.chance(entry['p_bracketed'])}; least at {axis} {_size(axis, least['value'])}, "
            f"{words.chance(least['p_bracketed'])}."
        )
    if entry["scatter"]["median"] > asked["region"]:
        said.append(
            f"The groups do not lie on one trend: each is off it by a factor of about "
            f"{number_of(entry['scatter'], 2)}."
        )
    if any(cost["q95"] > _FAR for cost in (entry["cost"], *(at["cost"] for at in entry["to"]))):
        said.append(
            "Costs above 5% are more than the bowls were fitted to: such a run may as well diverge."
        )
    if entry["changes_too"]:
        others = ", ".join(entry["changes_too"])
        said.append(
            f"The groups differ in {others} as well as in {axis}: the trend is along all of them."
        )
    return said


def _cost_of(cost: Quantity) -> str:
    return interval_of(cost, lambda share: f"{100 * share:.2g}%" if share < 1 else f"{share:.0%}")


def _best(value: Quantity) -> str:
    return interval_of(value, _rate)


def _rate(value: float) -> str:
    return words.number("", float(f"{value:.2e}"))


def _size(axis: str, value: float) -> str:
    return f"{value:g}" if value < 1e5 else words.trimmed(value)
