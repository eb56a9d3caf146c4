"""Arguments of public functions: another type than a function says it takes is refused at once."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from bayescale.errors import BayescaleError

_MAKE = {
    "BestMixture": "bayescale.best_mixture(fit) makes one",
    "Fit": "bayescale.fit(runs) makes one, bayescale.load_fit(path) reads one",
    "Job": "bayescale.Job(runs, model, seed) is one",
    "Runs": "bayescale.read_runs(table) makes them of a file or a DataFrame",
    "Backtest": "bayescale.backtest(runs) makes one",
    "Comparison": "bayescale.compare(fits) makes one",
    "Check": "bayescale.check_fit(fit) makes them",
    "NextRuns": "bayescale.suggest_runs(...) makes them",
    "ModelSpec": "bayescale.load_model(name) reads one",
    "CurveShape": "bayescale.classify_curve(x, y) makes one",
    "Sweep": "bayescale.find_optimum(x, y) makes one",
    "Curves": "bayescale.fit_curves(table, by, x, y) makes them",
    "Recipes": "bayescale.fit_recipes(runs, by, baseline) makes them",
    "Accuracies": "bayescale.Accuracies.direct(fit) or .chain(loss_fit, link_fit) makes them",
    "Axes": "axes[0] of plt.subplots(1, 2) is one",
    "CurveForecast": "bayescale.forecast_curves(...) makes them",
}
"""Where a person gets one."""


def typed[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments that are not of the types in the signature, in one sentence.

    A number may be of Python or NumPy, an array stands for a sequence, and text for neither.

    Parameters
    ----------
    function : callable
        With annotations.

    Returns
    -------
    callable
        With the same signature.

    Raises
    ------
    BayescaleError
        When it is called with an argument of another type.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python says better what is missing
            return function(*args, **kwargs)
        for name, hint in _hints(function).items():
            if name not in given:
                continue
            parameter = signature.parameters[name]
            values = given[name] if parameter.kind is parameter.VAR_POSITIONAL else (given[name],)
            for value in values:
                if not _is(value, hint, empty=parameter.default == ()):
                    raise BayescaleError(_refusal(name, value, hint))
        return function(*args, **kwargs)

    return call


def numbers_of(name: str, values: Any) -> np.ndarray:
    """Take numbers that a person gives, one or several.

    Parameters
    ----------
    name : str
        What they are, for the error.
    values : Any

    Returns
    -------
    numpy.ndarray
        Of floats.

    Raises
    ------
    BayescaleError
        If they are no numbers, or there are none.
    """
    if not _is(values, float | Sequence[float]):
        raise BayescaleError(_refusal(name, values, float | Sequence[float]))
    return np.asarray(values).astype(float)


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of the parameters, looked up when they are first needed."""
    hints = get_type_hints(function)
    taken = inspect.signature(function).parameters.values()
    skipped = {"return", *(own.name for own in taken if own.kind is own.VAR_KEYWORD)}
    return {name: hint for name, hint in hints.items() if name not in skipped}


def _is(value: Any, hint: Any, *, empty: bool = False) -> bool:
    """Whether a value is of a type; a sequence of nothing only where it may be `empty`."""
    hint = getattr(hint, "__value__", hint)  # of a named alias
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is(value, one, empty=empty) for one in inner)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        found = _numbers(value)
        return found is not None and found.ndim == 0
    if hint is np.ndarray or (origin is Sequence and inner[0] in (float, int)):
        found = _numbers(value)
        return found is not None and found.ndim == 1 and (empty or found.size > 0)
    if origin is Sequence:
        listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)
        return listed and all(_is(one, inner[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_is(one, inner[1]) for one in value.values())
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    known = origin or hint
    return hint is Any or not isinstance(known, type) or isinstance(value, known)


def _numbers(value: Any) -> np.ndarray | None:
    """Take what holds numbers alone as an array; None where it does not."""
    if isinstance(value, Mapping | bool):
        return None
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        return None
    large = found.dtype.kind == "O"  # such as 10**23
    if large and not all(isinstance(one, Real) for one in found.ravel()):
        return None
    return found.astype(float) if large or found.dtype.kind in "iuf" else None


def _refusal(name: str, value: Any, hint: Any) -> str:
    """Say what was given, what is wanted, and how to get it."""
    wanted = list(dict.fromkeys(_names(hint)))
    said = f"{name} must be {' or '.join(wanted)}, not {_described(value)}"
    if _is_number(value) and any("number" in one for one in wanted):
        return f"{said}; write it without quotes"
    hints = (_MAKE[one.split()[-1]] for one in wanted if one.split()[-1] in _MAKE)
    return "; ".join([said, *hints])


def _names(hint: Any) -> Iterator[str]:
    """Say what a type is for people; of unions one after the other."""
    hint = getattr(hint, "__value__", hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for one in inner:
            yield from _names(one)
    elif hint in (float, int):
        yield "a whole number" if hint is int else "a number"
    elif hint is np.ndarray or (origin is Sequence and inner[0] in (float, int)):
        yield "a list of numbers"
    elif origin is Sequence:
        yield f"a list of {' or '.join(one.split()[-1] for one in _names(inner[0]))}"
    elif origin is Mapping:
        yield f"a dict of {' or '.join(one.split()[-1] for one in _names(inner[1]))}"
    elif hint is str:
        yield "a text"
    elif hint is bool:
        yield "True or False"
    elif isinstance(hint, type) and issubclass(hint, Path):
        yield "a path"
    elif hint is type(None):
        yield "None"
    else:
        yield f"a {(origin or hint).__name__}"


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 60 else "a long text"
    if isinstance(value, Path):
        return f"the path {str(value)!r}"
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | dict) and not value:
        return f"an empty {type(value).__name__}"
    if isinstance(value, list | tuple):
        odd = next((one for one in value if _numbers(one) is None), value[0])
        return f"a {type(value).__name__} with {_described(odd)}"
    return f"a {type(value).__name__}"


def _is_number(text: Any) -> bool:
    """Whether a text reads as a number."""
    try:
        return isinstance(text, str) and np.isfinite(float(text))
    except ValueError:
        return False
