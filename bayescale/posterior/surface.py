"""Draws of a law that bends: its loss, its compute-optimal model, and the compute for a loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import block_diag, solve_triangular
from scipy.ndimage import map_coordinates, spline_filter1d

from bayescale.laws import REAL, Allocation, Law
from bayescale.modelling.bend import Bending, Features

_SEARCH, _CANDIDATES = 2.0, 31  # decades about the law's own optimum, and sizes tried there
_MOST_STEPS = 5.0  # from the middle of three sizes to the vertex: where they are all alike
_FINER = (0.2, 0.02)  # of the step between them, for parabolas after the first
_FARTHER, _SPACING = 4.0, 0.1  # decades above the lattice where compute is looked for, its step
_AROUND = 4.0  # decades about the runs along an input along which nothing bends
_AT_ONCE, _HALVINGS = 10, 40  # computes that are held at once, halvings between two of them
_NODES = 12  # of the splines, a length of the bend: good to about 2e-7 of the loss
_MARGIN = 8  # nodes at either end, where the end of a spline still shows


@dataclass(frozen=True)
class Drawn:
    """Draws of how a law bends.

    Parameters
    ----------
    bending : Bending
    features : Features
        Of points among the runs, and beyond.
    coefficients : numpy.ndarray, shape (draws, features)
    """

    bending: Bending
    features: Features
    coefficients: np.ndarray

    @property
    def of_kernels(self) -> np.ndarray:
        """Weights of the kernels about the points: (draws, points)."""
        weights = solve_triangular(self.features.factor.T, self.coefficients.T, lower=False)
        return self.features.bend.sd * weights.T

    @property
    def of_tangents(self) -> np.ndarray:
        """Weights of the tangents of the law: (draws, coordinates)."""
        shift = self.bending.shift
        return -(shift @ self.coefficients[:, : shift.shape[1]].T).T


def bent(members: Sequence[Drawn], law: Law) -> Law:
    """Multiply a law by the factor by which it bends in each of some draws.

    It has one more parameter: ``bend``, the number of the draw, counted through all members. Where
    the law has a closed form of the compute-optimal model, the bent one finds it on a grid about
    that of the law, and the compute that reaches a loss on a grid of computes.

    Parameters
    ----------
    members : sequence of Drawn
        Of each member of a pool.
    law : Law
        Whose parameters the draws are of.

    Returns
    -------
    Law
    """
    # Members of one length have the same points. Other parts lie side by side, and are zero in the
    # draws of other members.
    distinct: list[Features] = []
    for own in members:
        if not any(own.features.same(other) for other in distinct):
            distinct.append(own.features)
    kernels = [
        np.concatenate(
            [
                own.of_kernels
                if own.features.same(features)
                else np.zeros((len(own.coefficients), len(features.points)))
                for own in members
            ]
        )
        for features in distinct
    ]
    weights = np.hstack([*kernels, block_diag(*(own.of_tangents for own in members))])
    surface = _Surface(law, tuple(distinct), tuple(own.bending for own in members), weights)
    return replace(
        law,
        supports={**law.supports, "bend": REAL},
        function=surface.loss,
        allocation=Allocation(surface.optimum, surface.compute)
        if law.optimum is not None
        else Allocation(),
    )


@dataclass(frozen=True)
class _Surface:
    """Draws of a bent law: weights of shape (draws, parts)."""

    law: Law
    features: tuple[Features, ...]
    bendings: tuple[Bending, ...]
    weights: np.ndarray

    def loss(self, *inputs: Any, bend: Any, **natural: Any) -> Any:
        """Loss of the bent law; `bend` is the number of the draw."""
        factor = xr.apply_ufunc(self._factor, bend, *inputs)
        return self.law(*inputs, **natural) * factor

    def _factor(self, bend: Any, *inputs: Any) -> Any:
        """Return what the law is multiplied by: plain arrays that broadcast."""
        draws = np.asarray(bend).astype(int)
        places = np.broadcast_shapes(*(np.shape(value) for value in inputs))
        if _apart(draws.shape, places):  # the same places for all draws
            parts = [np.broadcast_to(part, places).ravel() for part in self._parts(inputs)]
            products = self.weights[draws.ravel()] @ np.stack(parts)
            return np.exp(_outer(products, draws.shape, places))
        draws, *each = np.broadcast_arrays(draws, *inputs)
        found = np.full(draws.shape, np.nan)
        if self._along_all:
            found = self._between_nodes(draws, each)
        outside = np.isnan(found)
        if outside.any():
            there = tuple(values[outside] for values in each)
            found[outside] = self._anywhere(draws[outside], there)
        return np.exp(found)

    def _anywhere(self, draws: np.ndarray, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Log of the factor by all its parts, at places of their own: flat arrays."""
        weights = iter(np.split(self.weights[draws], self._ends, axis=1))
        found = np.zeros(len(draws))
        for features in self.features:
            found += (next(weights) * features.correlations(inputs)).sum(axis=1)
        for own in self.bendings:
            found += own.along(inputs, next(weights))
        return found

    @property
    def _along_all(self) -> bool:
        """Whether points tell where along every input something is known."""
        return all(all(features.bend.along) for features in self.features)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Last of the weights of each features and each law's tangents, plus one."""
        sizes = [len(features.points) for features in self.features]
        return np.cumsum([*sizes, *(len(own.line) for own in self.bendings)])[:-1]

    def _parts(self, inputs: tuple[Any, ...]) -> list[Any]:
        """Return what the weights of a draw are multiplied by."""
        parts = [kernel for features in self.features for kernel in features.kernels(inputs)]
        return parts + [tangent for own in self.bendings for tangent in own.tangents(inputs)]

    def _between_nodes(self, draws: np.ndarray, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Log of the factor, by cubic splines: full arrays; NaN outside of the nodes."""
        axes, coefficients = self._splines
        places = [
            np.interp(np.log10(value), axis[_MARGIN:-_MARGIN], inner, np.nan, np.nan)
            for value, axis in zip(inputs, axes, strict=True)
            for inner in [np.arange(_MARGIN, len(axis) - _MARGIN)]
        ]
        outside = np.isnan(sum(places))
        places[0] = places[0] + draws * len(axes[0])
        places = [np.where(outside, 0.0, place) for place in places]
        found = map_coordinates(coefficients, places, order=3, prefilter=False)
        return np.where(outside, np.nan, found)

    @cached_property
    def _splines(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Nodes along each input, in decades, and coefficients of the splines of all draws.

        Those of a draw lie below those of the one before it: (draws * nodes of the first input,
        nodes of the second). Searches ask thousands of times about places of their own for every
        draw, which the features answer ten times as slowly.
        """
        points = np.concatenate([features.points for features in self.features])
        step = min(features.bend.length for features in self.features) / _NODES
        axes = [
            np.arange(low - _MARGIN * step, high + (_MARGIN + 1) * step, step)
            for low, high in zip(points.min(axis=0), points.max(axis=0), strict=True)
        ]
        inputs = tuple(10.0**axis for axis in np.meshgrid(*axes, indexing="ij"))
        parts = np.stack(self._parts(inputs))
        for axis in range(len(axes)):  # of each part: a spline of a sum is the sum of the splines
            parts = spline_filter1d(parts, axis=axis + 1)
        each = self.weights @ parts.reshape(len(parts), -1)
        return axes, each.reshape(-1, *(len(axis) for axis in axes[1:]))

    def optimum(self, flops: Any, per: float, /, *, bend: Any, **natural: Any) -> Any:
        """N* of each draw, about the law's own; NaN where the surface has no minimum there.

        Plain arrays that broadcast.
        """
        params, inside = self._best(flops, per, bend=bend, **natural)
        return np.where(inside, params, np.nan)

    def _best(self, flops: Any, per: float, *, bend: Any, **natural: Any) -> tuple[Any, Any]:
        """Best size about the law's own, and whether it is not the last that was tried.

        Sizes of a grid are compared, then parabolas through the best three find the least, each
        with smaller steps than the one before.
        """
        flops, bend = np.asarray(flops, dtype=float), np.asarray(bend)
        centre = np.log(self.law.optimum(flops, per, **natural))  # type: ignore[misc]
        if _apart(bend.shape, flops.shape):  # one grid for all draws
            shape = (1,) * (centre.ndim - bend.ndim) + bend.shape
            draws = tuple(axis for axis, size in enumerate(shape) if size > 1)
            centre = np.nanmedian(centre, axis=draws, keepdims=True)

        def loss(log_params: Any) -> Any:
            params = np.exp(log_params)
            own = {name: np.asarray(value)[..., None] for name, value in natural.items()}
            tokens = flops[..., None] / (per * params)
            return self.loss(params, tokens, bend=bend[..., None], **own)

        step = np.log(10) * 2 * _SEARCH / (_CANDIDATES - 1)
        grid = centre[..., None] + step * (np.arange(_CANDIDATES) - _CANDIDATES // 2)
        rough, inside = _least(grid, loss(grid), step)
        for finer in _FINER:
            near = rough[..., None] + finer * step * np.array([-1.0, 0.0, 1.0])
            moved = finer * step * vertex(*np.moveaxis(np.asarray(loss(near)), -1, 0))
            rough = rough + np.where(inside, moved, 0.0)
        return np.exp(rough), inside

    def compute(self, loss: Any, per: float, /, *, bend: Any, **natural: Any) -> Any:
        """Least compute of each draw whose compute-optimal model reaches a loss.

        Plain arrays that broadcast. The least loss is reckoned on a grid of computes, to 4 decades
        above all that the bend knows of, and a cubic followed to where it first reaches the loss:
        infinite where none does, NaN where the first of the grid does already.
        """
        log_flops = np.log(per) + self._log_products
        known = {name: np.asarray(value)[..., None] for name, value in natural.items()}
        number, least = np.asarray(bend)[..., None], []
        for part in np.array_split(log_flops, -(-len(log_flops) // _AT_ONCE)):
            flops = np.exp(part).reshape((1,) * (number.ndim - 1) + (-1,))
            params, _ = self._best(flops, per, bend=number, **known)
            least.append(self.loss(params, flops / (per * params), bend=number, **known))
        return np.exp(first(log_flops, np.log(np.concatenate(least, axis=-1)), np.log(loss)))

    @property
    def _log_products(self) -> np.ndarray:
        """Log of N D on a grid over all that the bend knows of, and beyond."""
        sums = np.concatenate([features.points.sum(axis=1) for features in self.features])
        low, high = sums.min(), sums.max() + _FARTHER
        along = self.features[0].bend.along
        for middle, bends in zip(self.bendings[0].reference, along, strict=bool(along)):
            if not bends:  # no point tells where the runs lie
                low, high = low + np.log10(middle) - _AROUND, high + np.log10(middle) + _AROUND
        return np.arange(low, high, _SPACING) * np.log(10)


def _apart(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether no axis of two shapes that broadcast is longer than 1 in both."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return all(a == 1 or b == 1 for a, b in pairs)


def _outer(products: np.ndarray, one: tuple[int, ...], other: tuple[int, ...]) -> np.ndarray:
    """Shape products of all of one with all of the other as if the two had been broadcast."""
    axes = max(len(one), len(other))
    one, other = ((1,) * (axes - len(shape)) + shape for shape in (one, other))
    order = [axis for pair in zip(range(axes), range(axes, 2 * axes), strict=True) for axis in pair]
    shape = tuple(a * b for a, b in zip(one, other, strict=True))
    return products.reshape(one + other).transpose(order).reshape(shape)


def _least(x: np.ndarray, y: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Where y is least along the last axis, and whether that is not at an end.

    By a parabola through the best three.
    """
    best = y.argmin(axis=-1)
    inside = (best > 0) & (best < y.shape[-1] - 1)
    places = np.clip(best, 1, y.shape[-1] - 2)[..., None] + np.array([-1, 0, 1])
    below, at, above = np.moveaxis(np.take_along_axis(y, places, axis=-1), -1, 0)
    at_best = np.take_along_axis(np.broadcast_to(x, y.shape), best[..., None], axis=-1)[..., 0]
    return at_best + np.where(inside, step * vertex(below, at, above), 0.0), inside


def first(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Where curves along the last axis of y first fall to what is asked of each.

    By a cubic between two points of the grid x, whose steps are equal, with the slopes of the
    parabolas through their neighbours. Infinite where a curve never does, NaN where its first
    known point does already.

    Parameters
    ----------
    x : ndarray
        Shape (points,).
    y : ndarray
        Shape (..., points); NaN where it is not known.
    asked : ndarray
        Of a shape that broadcasts with that of `y` less its last axis.

    Returns
    -------
    ndarray
        In units of `x`.
    """
    shape = np.broadcast_shapes(y.shape[:-1], np.shape(asked))
    y, asked = np.broadcast_to(y, (*shape, len(x))), np.broadcast_to(asked, shape)
    reached = y <= asked[..., None]  # not where y is unknown
    place = np.clip(reached.argmax(axis=-1), 1, None)[..., None]
    slope = np.gradient(y, axis=-1)

    def at(values: np.ndarray, step: int) -> np.ndarray:
        return np.take_along_axis(values, place + step, axis=-1)[..., 0]

    start, end, rise, fall = at(y, -1), at(y, 0), at(slope, -1), at(slope, 0)
    low, high = np.zeros(shape), np.ones(shape)
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        value = start + t * (rise + t * (3 * (end - start) - 2 * rise - fall))
        value = value + t**3 * (2 * (start - end) + rise + fall)
        below = value <= asked
        low, high = np.where(below, low, t), np.where(below, t, high)
    found = x[0] + (place[..., 0] - 1 + high) * (x[1] - x[0])
    found = np.where((start > asked) & np.isfinite(value), found, np.nan)
    return np.where(reached.any(axis=-1), found, np.inf)


def vertex(below: np.ndarray, at: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Where a parabola through three equidistant points is least, in steps from the middle one.

    Parameters
    ----------
    below, at, above : ndarray
        Values at the three points.

    Returns
    -------
    ndarray
        At most 5 steps to either side.
    """
    curvature = np.maximum(below - 2 * at + above, np.finfo(float).tiny)
    with np.errstate(over="ignore"):  # of a straight line
        return np.clip(0.5 * (below - above) / curvature, -_MOST_STEPS, _MOST_STEPS)
