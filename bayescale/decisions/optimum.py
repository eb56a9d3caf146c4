r"""The best value of an input that is chosen: a knob, or the shares of a mixture, per draw."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import minimize

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, number_of, response_of, share_of
from bayescale.decisions.predictions import inputs_in_json, inputs_in_words
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.laws import Law, Response
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import given_inputs, require_known, with_few_draws
from bayescale.posterior.search import best_value

_NEAR_END = 0.02  # share of the range: an optimum this near to an end lies there
_LEAST_SHARE = 1e-6  # of a part, below which it is left out
_NOTABLE = 0.05  # share of draws from which on an optimum at an end is said


@typed
def optimum(fit: Fit, over: str, **given: Any) -> xr.Dataset:
    r"""Find the best value of one input, all others given, for each draw.

    .. math:: x^* = \arg\min_x f(x; \theta)

    or the largest value, of a response of which higher is better. A knob, or an axis along which
    the law has a minimum, is looked for half a decade beyond the runs on both sides; a mixture on
    the whole simplex, by about 1,000 draws.

    Parameters
    ----------
    fit : Fit
        Of one law, without groups or of one group.
    over : str
        A knob of the law, its mixture, or its axis if it has a minimum along it.
    **given : float, or mapping of str to float
        All other inputs by name, one value each, as `bayescale.predict` takes them.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw): ``best``, the value of `over` (of a mixture also its parts), the
        response there under its own name, and ``at_end``, whether the best value lies at an end of
        what was looked at: then the runs do not tell where it is. Of a mixture ``at_end`` has its
        parts: whether they are left out. Attributes: ``over``, and ``at``, what is given.

    Raises
    ------
    FitError
        If the law has no such knob, mixture or axis, or another input is missing or unknown.

    Examples
    --------
    >>> optimum(fit, "learning_rate", params=1e9, tokens=2e10)  # doctest: +SKIP
    """
    chosen = fit.spec.law.choices
    if over not in chosen:
        raise FitError(
            f"the law {fit.spec.law.name} has no knob, mixture or axis {over!r} to choose; "
            + (f"it has {', '.join(chosen)}" if chosen else "it has none")
            + "; for the best size of a budget ask compute_optimal"
        )
    if fit.groups:
        raise FitError(f"choose for one group at a time: fit.of_group(...), of {fit.groups}")
    require_known(fit, given)
    if over in given:
        raise FitError(f"{over} is what is chosen: leave {over}={given[over]!r} out")
    inputs = given_inputs(fit, given, without=over)
    free = [name for name in fit.spec.law.role("knob") if name not in (over, *inputs)]
    if free:
        raise FitError(f"choose one input at a time: give {', '.join(free)}")
    if over in fit.spec.law.role("shares"):
        found = _best_mixture(with_few_draws(fit), over, inputs)
    else:
        found = _best_knob(fit, over, inputs)
    return found.assign_attrs(over=over, at=inputs_in_json(fit, inputs))


def _best_knob(fit: Fit, over: str, inputs: dict[str, Any]) -> xr.Dataset:
    law, ends = fit.whole_law, fit.ends_of(over)
    best = best_value(law, over, ends, inputs, fit.natural)
    at = {**inputs, over: best}
    value = law(*(at[name] for name in law.inputs), **fit.natural)
    logged = law.input(over).scale == "log"
    low, high, place = (np.log(x) if logged else x for x in (*ends, best))
    near = _NEAR_END * (high - low)
    at_end = (place < low + near) | (place > high - near)
    return xr.Dataset({"best": best, fit.spec.response.column: value, "at_end": at_end})


def _best_mixture(fit: Fit, over: str, inputs: dict[str, Any]) -> xr.Dataset:
    law, parts = fit.whole_law, fit.parts[over]
    posterior = fit.posterior
    draws = {
        name: posterior[name].transpose("chain", "draw", ...).to_numpy()
        for name in fit.spec.law.parameters
    }
    number = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    starts = [np.full(len(parts), 1 / len(parts)), *_corners(len(parts))]
    shares = np.empty((number, len(parts)))
    plain = {name: np.asarray(value, dtype=float) for name, value in inputs.items()}
    for draw, place in enumerate(np.ndindex(posterior["chain"].size, posterior["draw"].size)):
        own = {name: value[place] for name, value in draws.items()}
        shares[draw] = _least_on_simplex(_function(fit.spec.law, over, plain, own), starts)
    sizes = fit.posterior.sizes["chain"], fit.posterior.sizes["draw"]
    dims = ("chain", "draw", over)
    best = xr.DataArray(shares.reshape(*sizes, -1), dims=dims, coords={over: list(parts)})
    at = {**inputs, over: best}
    value = law(*(at[name] for name in law.inputs), **fit.natural)
    left_out = (best < _LEAST_SHARE).rename("at_end")
    found = {"best": best, fit.spec.response.column: value.drop_vars(over, errors="ignore")}
    return xr.Dataset({**found, "at_end": left_out})


def _function(law: Law, over: str, inputs: dict[str, Any], natural: dict[str, Any]) -> Any:
    """Return what is to be least, of the shares of one draw: numbers and vectors, no axes more."""

    def value(shares: np.ndarray) -> float:
        at = {**inputs, over: shares}
        return law.response.sign * float(law(*(at[name] for name in law.inputs), **natural))

    return value


def _corners(parts: int) -> list[np.ndarray]:
    """Return mixtures that are mostly of one part."""
    return [np.full(parts, 0.1 / parts) + 0.9 * corner for corner in np.eye(parts)]


def _least_on_simplex(
    value: Callable[[np.ndarray], float], starts: Sequence[np.ndarray]
) -> np.ndarray:
    """Find the shares at which a function is least: from the best of some mixtures on."""
    start = min(starts, key=value)
    scale = abs(value(start)) or 1.0
    found = minimize(
        lambda shares: value(np.clip(shares, 0.0, 1.0)) / scale,
        start,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(start),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1.0},
        options={"ftol": 1e-10, "maxiter": 200},
    )
    shares = np.clip(found.x, 0.0, 1.0)
    shares = shares / shares.sum()
    return shares if value(shares) <= value(start) else np.asarray(start)


@typed
def answer_optimum(fit: Fit, found: xr.Dataset) -> Answer:
    """Say which value of an input is best, and whether the runs tell it.

    Parameters
    ----------
    fit : Fit
    found : xarray.Dataset
        What `optimum` returns of the fit.

    Returns
    -------
    Answer
        Numbers ``optimum``: ``over``, ``at`` (what was given), ``best`` (of a mixture by part),
        the response there under its own name, ``at_end`` (the probability that the best value lies
        at an end of what was looked at, or that a part is left out), and ``seen``, the least and
        the largest value of the runs.
    """
    over, own = found.attrs["over"], fit.spec.response
    entry = {"over": over, "at": found.attrs["at"], own.column: numbers(found[own.column])}
    if over in fit.spec.law.role("shares"):
        entry |= _mixture(fit, found)
        sentences = _mixture_sentences(entry, own)
    else:
        at_end, seen = float(found["at_end"].mean()), fit.runs.table[over]
        ends = [float(seen.min()), float(seen.max())]
        entry |= {"best": numbers(found["best"]), "at_end": at_end, "seen": ends}
        logged = next(r.scale == "log" for r in fit.spec.law.reads if r.name == over)
        sentences = _knob_sentences(entry, own, logged=logged)
    return Answer.by(fit, draws=found, numbers={"optimum": entry}, sentences=sentences)


def _mixture(fit: Fit, found: xr.Dataset) -> dict[str, Any]:
    over = found.attrs["over"]
    columns = {part: fit.runs.table[f"{over}_{part}"] for part in fit.parts[over]}
    return {
        "best": {part: numbers(found["best"].sel({over: part})) for part in columns},
        "at_end": {part: float(found["at_end"].sel({over: part}).mean()) for part in columns},
        "seen": {part: [float(own.min()), float(own.max())] for part, own in columns.items()},
    }


def _opening(entry: dict[str, Any]) -> str:
    return f"At {inputs_in_words(entry['at'])}: " if entry["at"] else ""


def _knob_sentences(entry: dict[str, Any], response: Response, *, logged: bool) -> list[str]:
    over, best, (low, high) = entry["over"], entry["best"], entry["seen"]
    said = response_of(entry[response.column], response)
    sentences = [
        f"{_opening(entry)}the best {over} is {number_of(best)}, {response.name} there {said}."
    ]
    write = words.significant
    middle = (low * high) ** 0.5 if logged else (low + high) / 2
    beyond = f"Outside the runs, which have {over} from {write(low)} to {write(high)}"
    if entry["at_end"] >= _NOTABLE:
        sentences.append(
            f"In {entry['at_end']:.0%} of the draws the best {over} lies at an end of what was "
            f"looked at: the runs do not tell where it is. Add runs at {over} beyond "
            f"{write(high) if best['median'] > middle else write(low)}."
        )
    elif not low <= best["median"] <= high:
        sentences.append(f"{beyond}: that holds only if the law does.")
    return sentences


def _mixture_sentences(entry: dict[str, Any], response: Response) -> list[str]:
    shares = ", ".join(f"{part} {share_of(share)}" for part, share in entry["best"].items())
    said = response_of(entry[response.column], response)
    sentences = [
        f"{_opening(entry)}the best mixture {entry['over']} is {shares}; {response.name} there "
        f"{said}."
    ]
    for part, share in entry["best"].items():
        low, high = entry["seen"][part]
        if entry["at_end"][part] >= _NOTABLE:
            sentences.append(f"In {entry['at_end'][part]:.0%} of the draws {part} is left out.")
        if not low <= share["median"] <= high:
            sentences.append(
                f"The runs have {low:.0%} to {high:.0%} {part}: so much of it holds only if the "
                "law does."
            )
    return sentences
