"""Minima of functions of one variable, for many draws at once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale.errors import FitError
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

    Raises
    ------
    FitError
        If shares of a mixture differ between runs.
    """
    scale = law.input(name).scale
    onto, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    low, high = (float(onto(end)) for end in ends)

    shares = {n: v for n, v in inputs.items() if n in law.role("shares")}
    for mixture, given in shares.items():
        if np.ndim(given) > 1:
            raise FitError(
                f"the best {name} is looked for at one mixture: fix it with fit.at({mixture}=...), "
                f"or name the {name} of every run"
            )
    others = {n: v for n, v in inputs.items() if n not in shares}

    def search(*values: Any) -> Any:
        values = tuple(np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in values)))
        full = values[0].shape

        def value(x: Any, *known: Any) -> Any:
            at = {name: back(x), **shares, **dict(zip(others, known, strict=False))}
            own = dict(zip(natural, known[len(others) :], strict=True))
            return law.response.sign * law(*(at[n] for n in law.inputs), **own)

        return back(find_minimum(value, np.full(full, low), np.full(full, high), values))

    return xr.apply_ufunc(search, *others.values(), *natural.values(), keep_attrs=False)


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
    """Return a law of mixtures with a parameter of its own for every entry of a vector.

    Its function takes DataArrays, and plain arrays that broadcast, of which only shares have an
    axis for parts, the last one.

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
    mixtures = law.role("shares")
    if not mixtures:
        return law
    vectors = {name: own.along for name, own in law.supports.items() if own.along}

    def by_name(known: dict[str, Any]) -> Any:
        own = {name: known[name] for name in law.supports if name in known}
        for name, along in vectors.items():
            entries = [xr.DataArray(known[f"{name}[{part}]"]) for part in parts[along]]
            own[name] = xr.concat(entries, dim=along)
        return law(*(known[name] for name in law.inputs), **own)

    def function(*inputs: Any, **natural: Any) -> Any:
        known = {**dict(zip(law.inputs, inputs, strict=True)), **natural}
        others = [value for name, value in known.items() if name not in mixtures]
        if any(isinstance(value, xr.DataArray) for value in others):
            return by_name({n: _named(n, v) if n in mixtures else v for n, v in known.items()})
        # Plain arrays get dims by their place, so that parts are told from all other axes.
        plain = {name: np.asarray(value) for name, value in known.items()}
        cores = {n: v.shape[:-1] if n in mixtures else v.shape for n, v in plain.items()}
        shape = np.broadcast_shapes(*cores.values())
        dims = tuple(f"axis {number}" for number in range(len(shape)))
        full = {
            name: xr.DataArray(
                np.broadcast_to(value, (*shape, *value.shape[len(cores[name]) :])),
                dims=(*dims, name) if name in mixtures else dims,
            )
            for name, value in plain.items()
        }
        return by_name(full).transpose(*dims).to_numpy()

    supports = {
        f"{name}[{part}]" if own.along else name: replace(own, along="")
        for name, own in law.supports.items()
        for part in (parts[own.along] if own.along else ("",))
    }
    function.__doc__ = law.function.__doc__
    return replace(law, supports=supports, function=function)


def _named(mixture: str, shares: Any) -> Any:
    """Give shares that are the same for all draws and runs their dim."""
    return shares if isinstance(shares, xr.DataArray) else xr.DataArray(shares, dims=mixture)
