"""What lies beyond one curve: draws of several laws, pooled with equal weights."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from bayescale.arguments import typed
from bayescale.curves.model import (
    KNOTS,
    NU,
    Member,
    build_curve_model,
    curve_start,
    curve_variables,
    fresh_steps,
    log_curve,
)
from bayescale.curves.points import Points
from bayescale.curves.weighting import capped_weights
from bayescale.draws import stack_draws
from bayescale.errors import RunsError
from bayescale.laws import LOSS
from bayescale.modelling.compiling import slots_of
from bayescale.posterior.sampling import MEMBER_R_HAT, Shape, Target, compile_model, sample

CAP, TILT = 8.0, 0.5
"""Points that the likelihood of a law without drift counts as, and exponent of x in its weights."""

MEMBERS = (
    Member("power law", chance=False, drift=False, cap=CAP, tilt=TILT),
    Member("chance level", chance=True, drift=False, cap=CAP, tilt=TILT),
    Member("drifting power law", chance=False, drift=True, cap=np.inf, tilt=0.0),
    Member("drifting chance level", chance=True, drift=True, cap=np.inf, tilt=0.0),
)
"""What a forecast is pooled from: two laws, either as they are, listening most to the points
nearest to the question since neither is quite right, or with an exponent that drifts."""

DRIFTING = tuple(member for member in MEMBERS if member.drift)

FEWEST, SHORTEST = 6, 0.5
"""Different x, and decades, that a curve needs to be extrapolated."""

ATTEMPTS = (
    {"draws": 600, "tune": 500, "chains": 2},
    {"draws": 300, "tune": 1500, "chains": 4},
)
"""How to sample a member, until the chains agree: it takes a while to cross from much drift and
little noise to the reverse."""

_GRID = 61
_NEAR = 1e-5  # share of the range over which slopes are taken


@dataclass(frozen=True)
class Posterior:
    """Draws of every member given the points of one curve.

    Parameters
    ----------
    points : Points
    draws : mapping of str to xarray.Dataset
        Sampled coordinates by member, dims (chain, draw).
    divergences : int
    max_r_hat : float
    seconds : float
        Of sampling, without compiling.
    """

    points: Points
    draws: Mapping[str, xr.Dataset] = field(repr=False)
    divergences: int
    max_r_hat: float
    seconds: float

    @property
    def top(self) -> float:
        """Largest x of the points, of means of bins if the curve is dense."""
        return float(self.points.x[-1])

    @property
    def length(self) -> float:
        """Range of log x."""
        return float(np.log(self.points.x[-1] / self.points.x[0]))


def sample_members(
    points: Points, *, members: Sequence[Member] = MEMBERS, seed: int = 1
) -> Posterior:
    """Sample every member given the points of a curve.

    Parameters
    ----------
    points : Points
    members : sequence of Member, optional
    seed : int, optional

    Returns
    -------
    Posterior

    Raises
    ------
    RunsError
        If there are too few points, their range is too short, or they rise.
    """
    require_falling(points)
    v = np.log(points.x / points.x[-1])
    data = {
        "v": v,
        "log_loss": points.log_loss - points.log_loss[-1],
        "stderr": points.stderr,
        "length": np.asarray(-v[0]),
    }
    trees = {}
    for member in members:
        weight = capped_weights(points.x, member.cap, member.tilt)
        trees[member.name] = _sample_until_mixed(member, {**data, "weight": weight}, seed)
    return Posterior(
        points,
        {name: tree["posterior"].to_dataset() for name, tree in trees.items()},
        sum(int(tree["sample_stats"]["diverging"].sum()) for tree in trees.values()),
        float(np.max([tree.attrs["max_r_hat"] for tree in trees.values()])),  # NaN where one is
        sum(float(tree.attrs["seconds"]) for tree in trees.values()),
    )


def _sample_until_mixed(member: Member, data: Mapping[str, np.ndarray], seed: int) -> xr.DataTree:
    # The ridges of a drifting exponent are short and many: a diagonal mass matrix beats low rank.
    settings = {"adaptation": "diag" if member.drift else "low_rank", "target_accept": 0.9}
    settings |= {"cores": 1, "seed": seed}
    target = Target(_compiled(member), data, curve_start(member), lambda free: {})
    start = time.perf_counter()
    for attempt in ATTEMPTS:
        tree = sample(target, {**settings, **attempt})
        r_hat = float(az.rhat(tree["posterior"]).dataset.to_array().max(skipna=False))
        if r_hat <= MEMBER_R_HAT:
            break
    tree.attrs |= {"max_r_hat": r_hat, "seconds": time.perf_counter() - start}
    return tree


@lru_cache(maxsize=16)
def _compiled(member: Member) -> Any:
    points = dict.fromkeys(("v", "log_loss", "weight", "stderr"), np.zeros(1))
    slots, variables = slots_of({**points, "length": np.zeros(())}, ()), curve_variables(member)
    form = ("curve", member.chance, member.drift)
    return compile_model(
        Shape(form, variables, slots, lambda: build_curve_model(member), repr(form))
    )


def require_falling(points: Points) -> None:
    """Refuse points that cannot be extrapolated as a falling curve.

    Parameters
    ----------
    points : Points

    Raises
    ------
    RunsError
        If there are fewer than 6 different x, they span less than half a decade, or the log loss of
        the upper third of the range is not below that of the lower.
    """
    if points.sizes < FEWEST:
        raise RunsError(f"{points.sizes} different x: a forecast needs at least {FEWEST}")
    if points.decades < SHORTEST:
        raise RunsError(
            f"a range of {points.decades:.2f} decades: a forecast needs at least {SHORTEST}"
        )
    third = np.log(points.x[-1] / points.x[0]) / 3
    low = points.log_loss[points.x < points.x[0] * np.exp(third)]
    high = points.log_loss[points.x > points.x[-1] / np.exp(third)]
    if high.mean() >= low.mean():
        raise RunsError("the curve does not fall, and every law that a forecast pools falls")


def require_beyond(top: float, at: Sequence[float]) -> None:
    """Refuse values of x that do not lie beyond the largest of a curve.

    Parameters
    ----------
    top : float
        The largest x of the curve.
    at : sequence of float

    Raises
    ------
    RunsError
        If one of them lies inside or is not finite.
    """
    inside = [value for value in at if not (np.isfinite(value) and value > top)]
    if inside:
        raise RunsError(f"x = {inside[0]:g} is not beyond the curve, which ends at {top:g}")


@dataclass(frozen=True)
class Forecast:
    """Where a curve goes beyond its range.

    Parameters
    ----------
    posterior : Posterior
    draws : xarray.Dataset
        Pooled over the members, dims (chain, draw, ...): ``loss`` of a new point at ``at``, with
        the noise about the curve, but no standard error of its own; the ``law`` on a ``grid`` of x,
        without noise; which ``member`` a draw is from.
    slope : xarray.DataArray
        d log loss / d log x at the top of the range, dims (chain, draw), by the drifting members
        alone: the others can only fall.
    """

    posterior: Posterior
    draws: xr.Dataset = field(repr=False)
    slope: xr.DataArray = field(repr=False)

    @property
    def p_rising(self) -> float:
        """Probability that the curve rises at the top of its range."""
        return float((self.slope > 0).mean())


def reweighted(
    posterior: Posterior, weights: Mapping[str, np.ndarray], *, seed: int = 1
) -> Posterior:
    """Resample the draws of some members by their weights, systematically.

    Parameters
    ----------
    posterior : Posterior
    weights : mapping of str to ndarray
        By member, one for each draw, shape (chain * draw,), with sum 1.
    seed : int, optional

    Returns
    -------
    Posterior
        As many draws as before; members without weights keep theirs.
    """
    resampled = {
        name: _resampled(posterior.draws[name], weight, seed) for name, weight in weights.items()
    }
    return replace(posterior, draws={**posterior.draws, **resampled})


def _resampled(draws: xr.Dataset, weights: np.ndarray, seed: int) -> xr.Dataset:
    number = draws.sizes["chain"] * draws.sizes["draw"]
    places = (np.arange(number) + np.random.default_rng(seed).random()) / number
    picked = np.minimum(np.searchsorted(np.cumsum(weights), places), number - 1)
    flat = {name: array.to_numpy().reshape(number, -1)[picked] for name, array in draws.items()}
    return draws.assign(
        {name: array.copy(data=flat[name].reshape(array.shape)) for name, array in draws.items()}
    )


def predict_beyond(posterior: Posterior, at: Sequence[float], *, seed: int = 1) -> Forecast:
    """Draw new points beyond the range of a curve, from all members with equal weights.

    Parameters
    ----------
    posterior : Posterior
    at : sequence of float
        Values of x above the largest of the curve.
    seed : int
        Of the noise, and of how the exponent drifts beyond the range.

    Returns
    -------
    Forecast

    Raises
    ------
    RunsError
        If a value of x lies inside the range of the curve.
    """
    require_beyond(posterior.top, at)
    x = np.asarray(at, dtype=float)
    grid = np.geomspace(posterior.points.x[0], x.max(), _GRID)
    drawn = {}
    for number, member in enumerate(MEMBERS):
        rng = np.random.default_rng([seed, number])
        drawn[member.name] = _predict(member, posterior, x, grid, rng)
    pooled = _pooled({name: own.drop_vars("slope") for name, own in drawn.items()}, seed)
    slope = _pooled({member.name: drawn[member.name][["slope"]] for member in DRIFTING}, seed)
    return Forecast(posterior, pooled, slope["slope"])


def _pooled(draws: Mapping[str, xr.Dataset], seed: int) -> xr.Dataset:
    return stack_draws(draws, dict.fromkeys(draws, 1 / len(draws)), seed=seed)


@typed
def local_slope(forecast: Forecast, x: Sequence[float], *, seed: int = 1) -> xr.DataArray:
    """Draw d log loss / d log x by the drifting members, inside the range of a curve or beyond.

    Just below each x: at a knot, where the exponent changes, it is the slope before the change.

    Parameters
    ----------
    forecast : Forecast
    x : sequence of float
    seed : int
        Of the mixing, and of how the exponent drifts beyond the range.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, x).
    """
    posterior, places = forecast.posterior, np.asarray(x, dtype=float)
    v, step = np.log(places / posterior.top), _NEAR * posterior.length
    drawn = {}
    for number, member in enumerate(DRIFTING):
        rng = np.random.default_rng([seed, number])
        curve = member_curve(member, posterior, np.r_[v, v - step], rng)
        slope = (curve[:, : len(v)] - curve[:, len(v) :]) / step
        values = _as_draws(slope, posterior.draws[member.name], "x", places)
        drawn[member.name] = values.to_dataset(name="slope")
    return _pooled(drawn, seed)["slope"]


def _predict(
    member: Member, posterior: Posterior, x: np.ndarray, grid: np.ndarray, rng: np.random.Generator
) -> xr.Dataset:
    """Draw one member: new points, the law, and its slope at the top of the range."""
    draws, step = posterior.draws[member.name], _NEAR * posterior.length
    v = np.log(np.r_[x, grid, posterior.top, posterior.top] / posterior.top)
    v[-1] -= step
    log_loss = member_curve(member, posterior, v, rng) + posterior.points.log_loss[-1]
    sigma = np.exp(draws["log_sigma"].to_numpy().reshape(-1, 1))
    noisy = log_loss[:, : len(x)] + sigma * rng.standard_t(NU, (len(sigma), len(x)))
    slope = (log_loss[:, -2] - log_loss[:, -1]) / step
    shape = draws.sizes["chain"], draws.sizes["draw"]
    return xr.Dataset(
        {
            LOSS.column: _as_draws(np.exp(noisy), draws, "at", x),
            "law": _as_draws(np.exp(log_loss[:, len(x) : -2]), draws, "grid", grid),
            "slope": (("chain", "draw"), slope.reshape(shape)),
            "member": (("chain", "draw"), np.full(shape, member.name)),
        }
    )


def member_curve(
    member: Member, posterior: Posterior, v: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw log loss by one member, less that of the last point, with fresh steps beyond the range.

    Parameters
    ----------
    member : Member
    posterior : Posterior
    v : ndarray
        log(x / x_top), shape (n,).
    rng : numpy.random.Generator
        Of how the exponent drifts beyond the range.

    Returns
    -------
    ndarray
        Shape (chain * draw, n).
    """
    draws = posterior.draws[member.name]
    values = {name: draws[name].to_numpy().reshape(-1, 1) for name in member.coordinates}
    fresh = fresh_steps(float(v.max()), posterior.length) if member.drift else 0
    if member.drift:
        steps = draws["steps"].to_numpy().reshape(-1, KNOTS)
        values["steps"] = np.c_[steps, rng.standard_normal((len(steps), fresh))]
    return log_curve(member, values, v, posterior.length, fresh=fresh)


def _as_draws(values: np.ndarray, draws: xr.Dataset, dim: str, x: np.ndarray) -> xr.DataArray:
    shape = draws.sizes["chain"], draws.sizes["draw"], len(x)
    return xr.DataArray(
        values.reshape(shape), dims=("chain", "draw", dim), coords={dim: np.asarray(x)}
    )
