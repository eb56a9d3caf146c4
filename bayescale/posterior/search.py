"""Minima of functions of one variable, for many draws at once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale.laws import Allocation, Law


def find_minimum(
    function: Callable[..., Any],
    low: np.ndarray,
    high: np.ndarray,
    args: Sequence[np.ndarray],
    *,
    points: int = 33,
    tolerances: dict[str, float] | None = None,
) -> np.ndarray:
    """Argument of the least value of functions from `low` to `high`, for many at once.

    The best of a grid is refined, so that of several minima the least is found.

    Parameters
    ----------
    function : callable
        ``function(x, *args)``, of arrays that broadcast.
    low, high : numpy.ndarray
        Ends of the search, of one shape.
    args : sequence of numpy.ndarray
        Of that shape as well.
    points : int
        Of the grid.
    tolerances : dict, optional
        Of `scipy.optimize.elementwise.find_minimum`.

    Returns
    -------
    numpy.ndarray
        Of the shape of `low`.
    """
    grid = np.linspace(low, high, points, axis=-1)
    place = function(grid, *(value[..., None] for value in args)).argmin(axis=-1)
    middle = np.take_along_axis(grid, place[..., None], axis=-1)[..., 0]
    step = (high - low) / (points - 1)

    def inside(x: Any, low: Any, high: Any) -> Any:  # mirrored, so that an end has a bracket too
        return high - np.abs(high - low - np.abs(x - low))

    def mirrored(x: Any, low: Any, high: Any, *args: Any) -> Any:
        return function(inside(x, low, high), *args)

    found = elementwise.find_minimum(
        mirrored,
        (middle - step, middle, middle + step),
        args=(low, high, *args),
        tolerances=tolerances,
    )
    return np.where(found.success, inside(found.x, low, high), middle)


def best_value(
    law: Law, name: str, ends: tuple[float, float], inputs: dict[str, Any], natural: dict[str, Any]
) -> Any:
    """Find the value of one input at which a law is best, for each draw.

    Parameters
    ----------
    law : Law
    name : str
        The input, on a log scale or a linear one.
    ends : tuple of float
        Smallest and largest value that is tried.
    inputs : dict of str to DataArray or array
        All other inputs; they broadcast with the parameters.
    natural : dict of str to DataArray or array
        Parameters of the law.

    Returns
    -------
    DataArray or array
        Values of the input.
    """
    scale = next(own.scale for own in law.reads if own.name == name)
    onto, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    low, high = (float(onto(end)) for end in ends)

    def search(*values: Any) -> Any:
        values = tuple(np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in values)))
        full = values[0].shape

        def value(x: Any, *known: Any) -> Any:
            at = {name: back(x), **dict(zip(inputs, known, strict=False))}
            own = dict(zip(natural, known[len(inputs) :], strict=True))
            return law.response.sign * law(*(at[n] for n in law.inputs), **own)

        return back(find_minimum(value, np.full(full, low), np.full(full, high), values))

    return xr.apply_ufunc(search, *inputs.values(), *natural.values(), keep_attrs=False)


def at_best(law: Law, name: str, ends: tuple[float, float]) -> Law:
    """Return the law of the other inputs, with one at its best value for each draw.

    Parameters
    ----------
    law : Law
    name : str
    ends : tuple of float
        Smallest and largest value that is tried.

    Returns
    -------
    Law
        Without closed forms of its optimum.
    """
    free = tuple(own for own in law.reads if own.name != name)

    def function(*inputs: Any, **natural: Any) -> Any:
        known = {own.name: value for own, value in zip(free, inputs, strict=True)}
        best = best_value(law, name, ends, known, natural)
        at = {**known, name: best}
        return law(*(at[n] for n in law.inputs), **natural)

    function.__doc__ = law.function.__doc__
    return replace(law, reads=free, function=function, allocation=Allocation())


def in_numbers(law: Law, parts: dict[str, tuple[str, ...]]) -> Law:
    """Return the law with a parameter of its own for every entry of one that is a vector.

    Parameters
    ----------
    law : Law
    parts : dict of str to tuple of str
        Names of the parts of each mixture.

    Returns
    -------
    Law
        Its parameters are named ``t[web]``, ``t[code]``, ...
    """
    vectors = {name: own.along for name, own in law.supports.items() if own.along}
    if not vectors:
        return law

    def function(*inputs: Any, **natural: Any) -> Any:
        own = {name: value for name, value in natural.items() if name in law.supports}
        for name, along in vectors.items():
            own[name] = _stacked([natural[f"{name}[{part}]"] for part in parts[along]], along)
        return law(*inputs, **own)

    supports = {
        f"{name}[{part}]" if own.along else name: replace(own, along="")
        for name, own in law.supports.items()
        for part in (parts[own.along] if own.along else ("",))
    }
    function.__doc__ = law.function.__doc__
    return replace(law, supports=supports, function=function)


def _stacked(entries: Sequence[Any], along: str) -> Any:
    """Put numbers side by side: along a dim of DataArrays, the last axis of arrays."""
    if any(isinstance(entry, xr.DataArray) for entry in entries):
        return xr.concat([xr.DataArray(entry) for entry in entries], dim=along)
    return np.stack(np.broadcast_arrays(*entries), axis=-1)
