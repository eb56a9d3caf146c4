r"""The best value of an input that is chosen: a knob, or the shares of a mixture, per draw."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import minimize

from bayescale.errors import FitError
from bayescale.laws import Law
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import given_inputs, with_few_draws
from bayescale.posterior.search import best_value

_NEAR_END = 0.02  # share of the range: an optimum this near to an end lies there
_LEAST_SHARE = 1e-6  # of a part, below which it is left out


def optimum(fit: Fit, over: str, **given: Any) -> xr.Dataset:
    r"""Find the best value of one input, all others given, for each draw.

    .. math:: x^* = \arg\min_x f(x; \theta)

    or the largest value, of a response of which higher is better. A knob is looked for half a
    decade beyond the runs on both sides; a mixture on the whole simplex, by about 1,000 draws.

    Parameters
    ----------
    fit : Fit
        Of one law, without groups or of one group.
    over : str
        A knob of the law, or its mixture.
    **given : float, or mapping of str to float
        All other inputs by name, one value each, as `bayescale.predict` takes them.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw): ``best``, the value of `over` (of a mixture also its parts), the
        response there under its own name, and ``at_end``, whether the best value lies at an end of
        what was looked at: then the runs do not tell where it is. Of a mixture ``at_end`` has its
        parts: whether they are left out.

    Raises
    ------
    FitError
        If the law has no such knob or mixture, or another input is missing.

    Examples
    --------
    >>> optimum(fit, "learning_rate", params=1e9, tokens=2e10)  # doctest: +SKIP
    """
    chosen = (*fit.spec.law.role("knob"), *fit.spec.law.role("shares"))
    if over not in chosen:
        raise FitError(
            f"the law {fit.spec.law.name} has no knob or mixture {over!r} to choose; "
            + (f"it has {', '.join(chosen)}" if chosen else "it has none")
            + "; for the best size of a budget ask compute_optimal"
        )
    if fit.groups:
        raise FitError(f"choose for one group at a time: fit.of_group(...), of {fit.groups}")
    inputs = given_inputs(fit, given, without=over)
    if over in fit.spec.law.role("shares"):
        return _best_mixture(with_few_draws(fit), over, inputs)
    return _best_knob(fit, over, inputs)


def _best_knob(fit: Fit, over: str, inputs: dict[str, Any]) -> xr.Dataset:
    law, ends = fit.whole_law, fit.ends_of(over)
    best = best_value(law, over, ends, inputs, fit.natural)
    at = {**inputs, over: best}
    value = law(*(at[name] for name in law.inputs), **fit.natural)
    logged = next(own.scale == "log" for own in law.reads if own.name == over)
    low, high, place = (np.log(x) if logged else x for x in (*ends, best))
    near = _NEAR_END * (high - low)
    at_end = (place < low + near) | (place > high - near)
    return xr.Dataset({"best": best, fit.spec.response.column: value, "at_end": at_end})


def _best_mixture(fit: Fit, over: str, inputs: dict[str, Any]) -> xr.Dataset:
    law, parts = fit.whole_law, fit.parts[over]
    stacked = {name: value.stack(sample=("chain", "draw")) for name, value in fit.natural.items()}
    number = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    starts = [np.full(len(parts), 1 / len(parts)), *_corners(len(parts))]
    shares = np.empty((number, len(parts)))
    plain = {name: np.asarray(value, dtype=float) for name, value in inputs.items()}
    for draw in range(number):
        own = {name: float(value[draw]) for name, value in stacked.items()}
        shares[draw] = _least_on_simplex(_function(law, over, plain, own), starts)
    sizes = fit.posterior.sizes["chain"], fit.posterior.sizes["draw"]
    dims = ("chain", "draw", over)
    best = xr.DataArray(shares.reshape(*sizes, -1), dims=dims, coords={over: list(parts)})
    at = {**inputs, over: best}
    value = law(*(at[name] for name in law.inputs), **fit.natural)
    left_out = (best < _LEAST_SHARE).rename("at_end")
    found = {"best": best, fit.spec.response.column: value.drop_vars(over, errors="ignore")}
    return xr.Dataset({**found, "at_end": left_out})


def _function(law: Law, over: str, inputs: dict[str, Any], natural: dict[str, float]) -> Any:
    """Return what is to be least, of the shares of one draw."""

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
