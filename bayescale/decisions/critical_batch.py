r"""The critical batch size, per draw: what a larger batch costs in tokens, and saves in steps.

Runs of one model to one target loss take

.. math:: S(B) = S_{min} (1 + B_{noise} / B)

steps of B tokens, all else at its best for each B. Twice the batch takes half the steps far below
:math:`B_{noise}`, and as many far above it. A batch size is *critical* by one of several
definitions, of which each is a function of a draw:

* x more tokens than the fewest, which are :math:`S_{min} B_{noise}`, at :math:`B = x B_{noise}`;
* x more steps than the fewest, at :math:`B = B_{noise} / x`;
* x more tokens than a run of batch :math:`b_0`, :math:`S(B) B = (1 + x) S(b_0) b_0`, at
  :math:`B = x B_{noise} + (1 + x) b_0`: linear scaling from :math:`b_0` but for x.

The first two have one exponent along N or D; that of the third is lower, for what :math:`b_0` adds
does not grow.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, Quantity, count_of, interval_of, number_of
from bayescale.decisions.swept_batch import MORE, surface_batches
from bayescale.draws import numbers
from bayescale.errors import FitError, RunsError
from bayescale.laws import LAWS, Law
from bayescale.modelling.pooling import group_labels
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.posterior.fit import Fit
from bayescale.runs.range import decades_beyond
from bayescale.runs.steps import CURVE, LEAST, batch_column, sequence_length_of
from bayescale.runs.table import Runs, positive

critical_batch: Law = LAWS["critical_batch"]
_LOSS = "target_loss"
_PRIORS = {
    "params": (0.4, 0.4),
    **dict.fromkeys(LEAST.values(), (0.4, 0.4)),
    _LOSS: (-4.8, 4.0),  # B = B' / L^{1/.21}: Kaplan et al. (2020), equation 1.4
}
_AXES = {**dict.fromkeys(LEAST.values(), "tokens"), _LOSS: "loss"}  # in words
_PICTURED = "pictured"  # a group whose draws lie alike off the trend wherever it is
_ANY = (0.0, 1.0)  # of the exponent along another column
_TOGETHER = 0.97  # correlation of logarithms from which on two columns cannot be told apart
_BRACKETED = 0.9  # probability below which an answer says that the batches do not reach far enough


@typed
def batch_model(runs: Runs, along: str | None = None) -> ModelSpec:
    """Choose the model of some steps to target losses: a curve for each model, or one curve.

    Parameters
    ----------
    runs : Runs
        What `bayescale.read_steps` reads.
    along : str, optional
        What the critical batch size follows: "params", "tokens" (the fewest of the curve), "loss"
        (the target), or any column; "nothing" for no trend. By default params where they differ,
        else tokens.

    Returns
    -------
    ModelSpec
        ``critical-batch``, or of one curve ``critical-batch-single``.

    Raises
    ------
    RunsError
        If the curves do not differ by the column, or one of them differs in it.
    """
    batch = batch_column(runs.table)
    if runs.table[CURVE].nunique() == 1:
        if along not in (None, "nothing"):
            raise RunsError(
                f"there is one curve: nothing is told of how a batch size follows {along}; leave "
                "along (--axis) out, or add runs of other models"
            )
        return load_model("critical-batch-single").along_axes(batch)
    spec = load_model("critical-batch").along_axes(batch)
    if along == "nothing":
        return spec.with_trends({})
    column = _column(runs, along)
    mu, sigma = _PRIORS.get(column, _ANY)
    prior = {"dist": "Normal", "mu": mu, "sigma": sigma}
    return spec.with_trends({"place": {column: prior}})


def _column(runs: Runs, along: str | None) -> str:
    """Find the column that a trend follows, of which each curve has one value."""
    least = LEAST[batch_column(runs.table)]
    if along is None:
        several = "params" in runs.table and runs.table["params"].nunique() > 1
        along = "params" if several else least
    column = {"tokens": least, "loss": _LOSS}.get(along, along)
    if column not in runs.table:
        raise RunsError(
            f"the runs have no column {column!r}: name it, --column {column}=YOURS, or take "
            "another axis: params, tokens, loss, nothing, or any column"
        )
    values = positive(runs.table, column)
    each = runs.table.assign(value=values).groupby(CURVE)["value"]
    if (several := each.nunique() > 1).any():
        raise RunsError(
            f"the curve {several.idxmax()!r} has runs of several {column}: a trend is of what all "
            "runs of a curve have in common; correct it, or name another axis"
        )
    if each.first().nunique() == 1:
        raise RunsError(
            f"all curves have {words.count(values[0])} {column}: nothing is told of how a batch "
            "size follows them; take another axis, or nothing"
        )
    return column


@typed
def critical_batches(
    fit: Fit, at: float | list[float] | None = None, *, seed: int = 1
) -> xr.Dataset:
    """Critical batch size of each curve, and of models without one.

    Parameters
    ----------
    fit : Fit
        Of the law ``critical_batch``.
    at : float or list of float, optional
        Values of the axis that the model has a trend along, of models that are no curve of the
        table. They scatter about the trend as curves do.
    seed : int, optional
        Of that scatter.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, curve): ``B_noise``, ``S_min`` (fewest steps) and ``examples`` (fewest
        tokens, or sequences), NaN of models without runs. Dim (curve): ``axis``, the value along
        the trend, in whose order they are, and ``known``, whether it has runs.

    Raises
    ------
    FitError
        For a fit of another law, or values of a model without a trend.
    """
    _require(fit)
    asked = [] if at is None else np.unique(np.asarray(at, dtype=float)).tolist()
    axis = _axis(fit) if asked else axis_of(fit)
    draws = fit.posterior[["B_noise", "S_min"]]
    if not fit.groups:
        found = draws.expand_dims(curve=["all"]).assign_coords(axis=("curve", [np.nan]))
    else:
        found = draws.rename(group="curve").assign_coords(axis=("curve", _places(fit)))
    known = found.assign(known=("curve", np.ones(found.sizes["curve"], dtype=bool)))
    alike = len({words.trimmed(value) for value in asked}) < len(asked)
    new = [_new(fit, str(axis), value, seed, exactly=alike) for value in asked]
    whole = xr.concat([known, *new], dim="curve", join="exact") if new else known
    whole = whole.sortby("axis") if axis else whole
    return whole.assign(examples=whole["B_noise"] * whole["S_min"]).transpose(
        "chain", "draw", "curve"
    )


def axis_of(fit: Fit) -> str | None:
    """Name the column along which a fit has its critical batch sizes follow a trend.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    str or None
    """
    return next(iter(fit.spec.trends.get("place", {})), None)


def _axis(fit: Fit) -> str:
    """Name the axis of the trend that there must be."""
    axis = axis_of(fit)
    if axis is None:
        raise FitError(
            f"the model {fit.spec.name} has no trend: nothing is told of another model than those "
            "of its runs; fit one along params, tokens or loss"
        )
    return axis


def _require(fit: Fit) -> None:
    if fit.spec.law.name != critical_batch.name:
        raise FitError(
            f"this takes a fit of the law {critical_batch.name}, not of {fit.spec.law.name}: fit "
            "the runs of bayescale.read_steps by bayescale.batch_model"
        )


def _places(fit: Fit) -> list[float]:
    """Where the curves lie along the axis of the trend; NaN without one."""
    axis = axis_of(fit)
    if axis is None:
        return [np.nan] * len(fit.groups)
    values = fit.runs.table[axis].groupby(group_labels(fit.spec, fit.runs)).first()
    return [float(values[name]) for name in fit.groups]


def _new(fit: Fit, axis: str, value: float, seed: int, *, exactly: bool) -> xr.Dataset:
    """Draw the critical batch size of a model without runs; of its steps nothing is told."""
    if not 0 < value < np.inf:
        raise FitError(f"{axis} must be a positive number, got {value:g}")
    name = f"{f'{value:.9g}' if exactly else words.trimmed(value)} {_AXES.get(axis, axis)}"
    noise = _noise_at(fit, name, axis, value, seed=seed)
    found = xr.Dataset({"B_noise": noise, "S_min": noise * np.nan})
    return (
        found.expand_dims(curve=[name])
        .assign_coords(axis=("curve", [value]))
        .assign(known=("curve", [False]))
    )


def _noise_at(
    fit: Fit, name: str, axis: str, value: float, *, typical: bool = False, seed: int = 1
) -> xr.DataArray:
    """B_noise of a model without runs: on the trend where typical, else off it as curves are."""
    new = fit.with_new_group(name, along={axis: value}, typical=typical, seed=seed)
    return new.posterior["B_noise"].sel(group=name, drop=True)


@typed
def batches_along(fit: Fit, values: np.ndarray, *, seed: int = 1) -> xr.DataArray:
    """B_noise of models without runs, for a picture of the trend.

    Parameters
    ----------
    fit : Fit
        Of a model with a trend.
    values : numpy.ndarray
        Along its axis.
    seed : int, optional
        Of the scatter about the trend, which each draw has alike at all values.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, place).

    Raises
    ------
    FitError
        As `critical_batches`.
    """
    axis = _axis(fit)
    drawn = [_noise_at(fit, _PICTURED, axis, float(value), seed=seed) for value in values]
    return xr.concat(drawn, dim="place").transpose("chain", "draw", "place")


@typed
def steps_along(own: xr.Dataset, batches: np.ndarray) -> xr.DataArray:
    """Say the steps to the target over the batch size, by the law.

    Parameters
    ----------
    own : xarray.Dataset
        Of one curve, as `critical_batches` returns it.
    batches : numpy.ndarray

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, batch).
    """
    at = xr.DataArray(batches, dims="batch")
    steps = critical_batch(at, S_min=own["S_min"], B_noise=own["B_noise"])
    return steps.transpose("chain", "draw", "batch")


@typed
def batch_at(noise: xr.DataArray, more: float = MORE, base: float | None = None) -> xr.Dataset:
    """Batch sizes by each definition, of the same draws of B_noise.

    Parameters
    ----------
    noise : xarray.DataArray
        Draws of B_noise.
    more : float, optional
        Share x of tokens or steps more.
    base : float, optional
        Batch size that tokens are counted from.

    Returns
    -------
    xarray.Dataset
        ``noise`` itself; ``more_tokens``, below which a batch takes less than x more tokens than
        the fewest; ``more_steps``, above which it takes less than x more steps; with a base
        ``over_base``.

    Raises
    ------
    FitError
        If `more` or `base` is not positive.

    Examples
    --------
    >>> found = batch_at(xr.DataArray(1000.0), 0.2, 100.0)
    >>> {name: round(float(own), 3) for name, own in found.items()}
    {'noise': 1000.0, 'more_tokens': 200.0, 'more_steps': 5000.0, 'over_base': 320.0}
    """
    for name, value in (("more (--overhead)", more), ("base (--base)", base)):
        if value is not None and not 0 < value < np.inf:
            raise FitError(f"{name} must be a positive number, got {value:g}")
    found = {"noise": noise, "more_tokens": more * noise, "more_steps": noise / more}
    if base is not None:
        found["over_base"] = more * noise + (1 + more) * base
    return xr.Dataset(found)


@typed
def batch_exponents(fit: Fit, more: float = MORE, base: float | None = None) -> xr.Dataset | None:
    """Exponent of the critical batch size along the axis of the model, by each definition.

    Parameters
    ----------
    fit : Fit
    more : float, optional
    base : float, optional
        As of `batch_at`.

    Returns
    -------
    xarray.Dataset or None
        Dims (chain, draw), by the names of `batch_at`: the least-squares slope of the logarithm,
        of the trend at the places of the curves. Along a target loss it is of 1/loss. None for a
        model without a trend.
    """
    axis = axis_of(fit)
    if axis is None:
        return None
    places = np.array(_places(fit))
    noise = xr.concat(
        [_noise_at(fit, _PICTURED, axis, place, typical=True) for place in places], dim="curve"
    ).transpose("chain", "draw", "curve")
    batches = batch_at(noise, more, base)
    return _slope(batches, xr.DataArray(np.log(places), dims="curve"), axis == _LOSS)


@typed
def answer_batch(
    fit: Fit,
    at: float | list[float] | None = None,
    *,
    more: float = MORE,
    base: float | None = None,
    batches: list[float] | None = None,
    surface: Fit | None = None,
    joint: Fit | None = None,
    seed: int = 1,
) -> Answer:
    """Say the critical batch size of each curve, how it grows, and what a planned batch costs.

    Parameters
    ----------
    fit : Fit
        Of the law ``critical_batch``.
    at : float or list of float, optional
        Values of the axis of the trend, of models that are no curve of the table.
    more : float, optional
        Share of tokens, or of steps, that a batch may cost more than the least.
    base : float, optional
        Batch size from which tokens are counted as well.
    batches : list of float, optional
        Batch sizes of which is asked what they cost.
    surface : Fit, optional
        Of a sweep of learning rates and batch sizes (model ``tuning-pair``), which says a largest
        batch size too.
    joint : Fit, optional
        Of a joint law, for what more tokens are worth: see `surface_batches`.
    seed : int, optional
        Of the scatter of models without runs.

    Returns
    -------
    Answer
        Numbers: ``unit`` of batch sizes, ``sequence_length``, ``axis``, ``more``, ``base``;
        ``curves``, each with ``batches`` by definition, as of `batch_at`, ``planned``, and what the
        surface says; ``exponents`` by definition, ``exponent`` of the trend and ``of_curves`` of
        these curves alone; ``together``, columns that cannot be told from the axis.

    Raises
    ------
    FitError
        As `critical_batches`, `batch_at` and `surface_batches`.
    """
    found = critical_batches(fit, at, seed=seed)
    found = found.merge(batch_at(found["B_noise"], more, base).rename(noise="B_noise"))
    for value in batches or []:
        if not 0 < value < np.inf:
            raise FitError(f"a planned batch (--batch) must be a positive number, got {value:g}")
    swept = None if surface is None else _swept(fit, found, surface, joint, more)
    told = {
        "unit": _unit(fit),
        "sequence_length": sequence_length_of(fit.runs.table),
        "axis": axis_of(fit),
        "more": more,
        "base": base,
        "curves": [
            {
                **_entry(fit, found.sel(curve=name), batches or [], base),
                "surface": _surface_entry(swept, found.sel(curve=name), more),
            }
            for name in _of(found)
        ],
        "exponents": _exponents(fit, found, more, base),
        "together": _together(fit),
    }
    return Answer.by(fit, draws=found, numbers=told, sentences=_sentences(told))


def _of(found: xr.Dataset) -> list[str]:
    return [str(name) for name in found["curve"].to_numpy()]


def _unit(fit: Fit) -> str:
    return fit.spec.inputs[0].removeprefix("batch_")


def _entry(fit: Fit, own: xr.Dataset, planned: list[float], base: float | None) -> dict[str, Any]:
    """Say the numbers of one curve."""
    name, known, axis = str(own["curve"].item()), bool(own["known"]), axis_of(fit)
    value = float(own["axis"])
    runs = fit.runs.table
    seen = runs[runs[CURVE].astype(str) == name] if fit.groups else runs
    batch = seen[fit.spec.inputs[0]]
    low, high = (float(batch.min()), float(batch.max())) if known else (np.nan, np.nan)
    noise = own["B_noise"]
    return {
        "curve": name,
        "known": known,
        "axis": value if axis else None,
        "decades_beyond": float(decades_beyond(fit.runs, **{axis: value})) if axis else None,
        "seen": [low, high] if known else None,
        "bracketed": float(((noise > low) & (noise < high)).mean()) if known else None,
        "fewest_steps": numbers(own["S_min"]) if known else None,
        "fewest_examples": numbers(own["examples"]) if known else None,
        "batches": {
            "noise": numbers(noise),
            **{n: numbers(own[n]) for n in ("more_tokens", "more_steps", "over_base") if n in own},
        },
        "planned": [_planned(own, size, base, known) for size in planned],
    }


def _planned(own: xr.Dataset, size: float, base: float | None, known: bool) -> dict[str, Any]:
    """Say what a batch size costs in tokens, and what it saves in steps."""
    noise = own["B_noise"]
    tokens, steps = size / noise, noise / size
    saved = None if base is None else (1 + noise / base) / (1 + steps)
    over = None if base is None else (1 + tokens) / (1 + base / noise) - 1
    return {
        "batch": size,
        "more_tokens": numbers(tokens),
        "more_steps": numbers(steps),
        "steps": numbers(own["S_min"] * (1 + steps)) if known else None,
        "examples": numbers(own["examples"] * (1 + tokens)) if known else None,
        "fewer_steps_than_base": None if saved is None else numbers(saved),
        "more_tokens_than_base": None if over is None else numbers(over),
    }


def _surface_entry(swept: xr.Dataset | None, own: xr.Dataset, more: float) -> dict[str, Any] | None:
    """Say the numbers of a sweep at one model; None where it says nothing of it.

    With what steps to the target say where tokens are counted from the best batch of the sweep.
    """
    name = own["curve"].item()
    if swept is None or name not in swept["curve"]:
        return None
    found = swept.sel(curve=name)
    from_best = batch_at(own["B_noise"], more, float(found["best"].median()))["over_base"]
    return {
        **{count: float(found[count]) for count in ("params", "tokens")},
        **{asked: numbers(found[asked]) for asked in ("best", "largest", "loss_slope")},
        "by_steps": numbers(from_best),
    }


def _exponents(
    fit: Fit, found: xr.Dataset, more: float, base: float | None
) -> dict[str, dict[str, dict[str, float]]] | None:
    trend = batch_exponents(fit, more, base)
    if trend is None:
        return None
    curves = found.isel(curve=np.flatnonzero(found["known"].to_numpy()))
    places = xr.DataArray(np.log(curves["axis"].to_numpy()), dims="curve")
    of_curves = _slope(batch_at(curves["B_noise"], more, base), places, axis_of(fit) == _LOSS)
    return {
        str(name): {"exponent": numbers(trend[name]), "of_curves": numbers(of_curves[name])}
        for name in trend.data_vars
    }


def _slope(batches: xr.Dataset, place: xr.DataArray, inverse: bool) -> xr.Dataset:
    """Least-squares slope of log batch sizes over places, or over minus these."""
    away = place - place.mean()
    logs: Any = np.log(batches)
    slope = (logs * away).sum("curve") / (away**2).sum()
    return -slope if inverse else slope


def _together(fit: Fit) -> list[str]:
    """Name other columns that grow with the axis from curve to curve."""
    axis = axis_of(fit)
    others = [n for n in ("params", *LEAST.values(), _LOSS) if n in fit.runs.table and n != axis]
    if axis is None:
        return []
    each = np.log(fit.runs.table.groupby(CURVE)[[axis, *others]].median().astype(float))
    varying = [name for name in others if np.ptp(each[name]) > 0]
    alike = np.corrcoef(each[[axis, *varying]].to_numpy().T)[0]
    return [n for n, r in zip(varying, alike[1:], strict=True) if abs(r) > _TOGETHER]


def _swept(fit: Fit, found: xr.Dataset, surface: Fit, joint: Fit | None, more: float) -> xr.Dataset:
    """Ask the surface at each model of which params and tokens are known; NaN of others."""
    places = {}
    for name in _of(found):
        own = found.sel(curve=name)
        params, tokens = (_count(fit, own, found, column) for column in ("params", "tokens"))
        if params is not None and tokens is not None:
            places[name] = {"params": params, "tokens": tokens}
    if not places:
        raise FitError(
            "the sweep answers for params and tokens of a model, and the curves have no params: "
            "name their column, --column params=YOURS"
        )
    second = surface.spec.axes[-1] if surface.spec.axes else ""
    if ("tokens" in second) != (_unit(fit) == "tokens"):
        raise FitError(
            f"the batch sizes of the steps are in {_unit(fit)}, those of the sweep are the column "
            f"{second!r}: give both in tokens, e.g. with sequence_length (--sequence-length)"
        )
    swept = surface_batches(surface, places, more, joint=joint)
    counts = {
        name: ("curve", [places[own][name] for own in places]) for name in ("params", "tokens")
    }
    return swept.assign(counts)


def _count(fit: Fit, own: xr.Dataset, found: xr.Dataset, column: str) -> float | None:
    """Params or tokens of a model: of one without runs where they follow the axis closely."""
    curves = found.isel(curve=np.flatnonzero(found["known"].to_numpy()))
    if column == "tokens":
        known = curves["examples"].median(("chain", "draw")).to_numpy()
    elif column in fit.runs.table:
        each = fit.runs.table.groupby(CURVE)[column].median()
        known = np.array([each[n] for n in _of(curves)] if fit.groups else each.to_numpy()[:1])
    else:
        return None
    if bool(own["known"]):
        return float(known[_of(curves).index(str(own["curve"].item()))])
    axis = np.log(curves["axis"].to_numpy())
    if len(known) < 3 or abs(np.corrcoef(axis, np.log(known))[0, 1]) < _TOGETHER:
        return None
    return float(np.exp(np.polyval(np.polyfit(axis, np.log(known), 1), np.log(float(own["axis"])))))


def _sentences(told: Mapping[str, Any]) -> Iterator[str]:
    """Say the answers: of each curve, how they grow, of planned batches, and what is not told.

    Models without runs are what was asked for, and come first.
    """
    curves = sorted(told["curves"], key=lambda entry: bool(entry["known"]))
    for entry in curves:
        yield from _curve_sentences(entry, told)
    yield from _exponent_sentences(told)
    for entry in curves:
        yield from _planned_sentences(entry, told)
    swept = [entry for entry in told["curves"] if entry["surface"]]
    for entry in swept:
        yield _surface_sentence(entry, told)
    if swept:
        yield (
            "The two are not the same: by the sweep a batch below the best is worse, with all but "
            "its two settings as they were; by steps to a target none is too small, with all else "
            "at its best for each."
        )


def _curve_sentences(entry: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    """Say what is critical for one curve, and how far that is from its runs."""
    batches, share = entry["batches"], f"{100 * told['more']:.3g}%"
    name = "" if entry["curve"] == "all" else f"{entry['curve']}: "
    said = f"{name}critical batch size {_size(batches['noise'], told)}"
    if entry["known"]:
        said += (
            f", with at least {number_of(entry['fewest_steps'])} steps and "
            f"{count_of(entry['fewest_examples'], told['unit'])}"
        )
    said += (
        f". A batch of {_size(batches['more_tokens'], told)} costs {share} more {told['unit']} "
        "than the fewest"
    )
    if "over_base" in batches:
        said += (
            f", one of {_size(batches['over_base'], told)} {share} more than "
            f"{words.count(told['base'])} does"
        )
    yield f"{said}."
    if entry["known"] and entry["bracketed"] < _BRACKETED:
        low, high = entry["seen"]
        where = "larger" if batches["noise"]["median"] > (low * high) ** 0.5 else "smaller"
        yield (
            f"{name}its batches, {words.span(low, high)}, hold the critical one with probability "
            f"{words.chance(entry['bracketed'])}: beyond them the prior and the other curves "
            f"speak. Add runs at {where} batches."
        )
    if not entry["known"]:
        far = entry["decades_beyond"]
        where = "within the curves" if not far else words.times_out(far).replace("run", "curve")
        yield f"{name}no runs, {where}: this holds only if the power law does."


def _size(value: Quantity, told: Mapping[str, Any]) -> str:
    """Write a batch size with its interval, and in sequences where their length is known."""
    said = count_of(value, told["unit"])
    length, middle = told["sequence_length"], value["median"]
    if length is None or told["unit"] != "tokens" or middle is None:
        return said
    return f"{said.removesuffix(')')}; {middle / length:,.0f} sequences)"


def _exponent_sentences(told: Mapping[str, Any]) -> Iterator[str]:
    """Say how the critical batch size grows, and with what else it might."""
    exponents, axis = told["exponents"], told["axis"]
    if exponents is None:
        return
    over = "1/loss" if axis == _LOSS else _AXES.get(axis, axis)
    said = (
        f"Along {over} the critical batch size grows with an exponent of "
        f"{number_of(exponents['noise']['exponent'])}"
    )
    if "over_base" in exponents:
        said += (
            "; counted from a batch of "
            f"{words.count(told['base'])} with {number_of(exponents['over_base']['exponent'])}, "
            "lower for what the base adds to all alike"
        )
    yield f"{said}."
    if told["together"]:
        names = " and ".join(_AXES.get(name, name) for name in told["together"])
        yield (
            f"From curve to curve {names} move together with {_AXES.get(axis, axis)}: which of "
            "them the batch size follows cannot be told from these runs."
        )


def _planned_sentences(entry: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    """Say what planned batches cost and save."""
    name = "" if entry["curve"] == "all" else f"{entry['curve']} "
    for one in entry["planned"]:
        size = f"{words.trimmed(one['batch'])} {told['unit']}"
        tokens, steps = (_percent(one[n]) for n in ("more_tokens", "more_steps"))
        said = f"At a batch of {size} {name}takes {tokens} more {told['unit']} than the fewest"
        said += f", and {steps} more steps"
        if one["fewer_steps_than_base"] is not None:
            said += f"; beside a batch of {words.trimmed(told['base'])} {_beside(one, told)}"
        yield f"{said}."


def _beside(one: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """Say what a planned batch takes beside the base: a larger one more tokens, in fewer steps."""
    more, fewer = one["more_tokens_than_base"], one["fewer_steps_than_base"]
    if one["batch"] >= told["base"]:
        return f"{_percent(more)} more {told['unit']} in {number_of(fewer)} times fewer steps"
    less = {"median": -more["median"], "q05": -more["q95"], "q95": -more["q05"]}
    times = {"median": 1 / fewer["median"], "q05": 1 / fewer["q95"], "q95": 1 / fewer["q05"]}
    return f"{_percent(less)} fewer {told['unit']} in {number_of(times)} times more steps"


def _percent(value: Quantity) -> str:
    return interval_of(value, lambda number: f"{words.significant(100 * number)}%")


def _surface_sentence(entry: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """Say what the sweep says of a model beside what steps to a target say."""
    own = entry["surface"]
    return (
        f"{entry['curve']}, by the sweep at {words.count(own['params'])} parameters and "
        f"{words.count(own['tokens'])} tokens: the best batch is {_size(own['best'], told)}, and "
        f"{_size(own['largest'], told)} costs {100 * told['more']:.3g}% more tokens than that; by "
        f"steps to the target {_size(own['by_steps'], told)} does."
    )
