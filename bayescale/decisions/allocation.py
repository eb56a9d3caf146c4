r"""Compute-optimal models, per draw: how large, on how many tokens, and how flat the choice is.

All allocations are under C = k N D, and no token is repeated.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale import words
from bayescale.errors import FitError, RunsWarning
from bayescale.laws import Law
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import decades_beyond

BASIN_EXCESS = (0.01, 0.10)
"""Shares of the compute that a size in the basin may waste."""

NOTABLE = 0.01
"""Share of draws without a best size from which on it is said."""

_SMALLEST = 1e3  # params and tokens that a search starts from
_OUTWARDS, _OUTWARD = 16, np.log(1e4) / 16  # steps in log N, a quarter of a decade each


def compute_optimal(
    fit: Fit,
    flops: float | Sequence[float],
    *,
    k: float | None = None,
    exponents: bool = True,
) -> xr.Dataset:
    r"""Posterior of the compute-optimal model for each budget.

    Parameters
    ----------
    fit : Fit
        Of a law of params and tokens.
    flops : float or sequence of float
        Training budgets C.
    k : float, optional
        FLOPs per parameter and token, C = k N D; by default what the runs say, else 6.
    exponents : bool
        Whether ``a`` and ``b`` are wanted: they take longer than all else.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, flops), and group for a fit with groups: ``params`` N*, ``tokens`` D*,
        ``tokens_per_param``, ``loss`` (nats per token, without noise), ``a`` and ``b``, the
        exponents of N* and D* in C. NaN in draws of a law that has no best size there.
        Dim (flops): ``decades_beyond``, decades of compute above the largest run (negative: below
        the smallest; 0 inside; NaN without runs), and ``without_optimum``, the share of draws of a
        law that bends in which no size is best. Attribute ``k``.

    Raises
    ------
    FitError
        If the law has no such allocation, or a budget is not positive.
    """
    if fit.groups:
        return _by_group(fit, lambda own: compute_optimal(own, flops, k=k, exponents=exponents))
    _, budget, k = _question(fit, flops, k)
    optima = _optima(fit, budget, k)
    if exponents:
        a = _exponent(fit, budget, optima["params"], k)
        optima = optima.assign(a=a, b=1 - a).transpose("chain", "draw", "flops", ...)
    _name_undefined(optima["params"])
    decades = decades_beyond(fit, "flops", budget.to_numpy())
    undefined = optima["params"].isnull().mean(("chain", "draw"))
    found = optima.assign(decades_beyond=("flops", decades), without_optimum=undefined)
    return found.assign_attrs(k=k)


def _name_undefined(params: xr.DataArray) -> None:
    """Warn of draws in which no size is best: intervals are of the others."""
    share = params.isnull().mean(("chain", "draw"))
    if share.size and share.max() >= NOTABLE:
        at = words.flops(float(share["flops"][share.argmax("flops")]))
        warnings.warn(
            f"in {float(share.max()):.1%} of the draws no size is best for {at} FLOPs, because the "
            "loss keeps falling towards larger or smaller models; intervals are of the other draws",
            RunsWarning,
            stacklevel=3,
        )


def _optima(fit: Fit, budget: xr.DataArray, k: float) -> xr.Dataset:
    law = fit.law
    params = optimal_params(law, budget, k, fit.natural)
    tokens = budget / (k * params)
    optima = xr.Dataset(
        {
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            "loss": law.fresh_loss(params, tokens, **fit.natural),
        }
    )
    return optima.transpose("chain", "draw", "flops", ...)


def basin(
    fit: Fit,
    flops: float | Sequence[float],
    *,
    excess: float | Sequence[float] = BASIN_EXCESS,
    k: float | None = None,
) -> xr.DataArray:
    """Sizes that are nearly as good as the compute-optimal one.

    The smallest and the largest N whose loss at the full budget is no worse than the optimum of
    C / (1 + excess): choosing them wastes at most that share of the compute. Parameters and errors
    as in `compute_optimal`.

    Returns
    -------
    xarray.DataArray
        N, dims (chain, draw, flops, excess, bound) with bound "lower", "upper", and group for a
        fit with groups.
    """
    if fit.groups:
        return _by_group(fit, lambda own: basin(own, flops, excess=excess, k=k))
    _, budget, k = _question(fit, flops, k)
    found = _basin(fit, budget, k, np.atleast_1d(excess))
    return found.transpose("chain", "draw", "flops", "excess", "bound")


def _basin(fit: Fit, budget: xr.DataArray, k: float, shares: np.ndarray) -> xr.DataArray:
    law, natural = fit.law, fit.natural
    wasted = xr.DataArray(shares, dims="excess", coords={"excess": shares})
    side = xr.DataArray([-1.0, 1.0], dims="bound", coords={"bound": ["lower", "upper"]})
    best = optimal_params(law, budget, k, natural)
    smaller = budget / (1 + wasted)
    limit = _loss_on(smaller, optimal_params(law, smaller, k, natural), law, k, natural)

    def excess(distance: Any, side: Any, best: Any, limit: Any, flops: Any, *values: Any) -> Any:
        own = dict(zip(natural, values, strict=True))
        return _loss_on(flops, best * np.exp(side * distance), law, k, own) - limit

    known = xr.broadcast(side, best, limit, budget, *natural.values())
    args = tuple(value.to_numpy() for value in known)
    # Outwards to the first size that wastes more, as a law that bends may fall again far out.
    inside = np.zeros(known[0].shape)
    going = np.isfinite(args[1])
    for _ in range(_OUTWARDS):
        ahead = tuple(value[going] for value in (inside, *args))
        going[going] = excess(ahead[0] + _OUTWARD, *ahead[1:]) <= 0
        inside[going] += _OUTWARD
    found = elementwise.find_root(excess, (inside, inside + _OUTWARD), args=args)
    distance = np.where(going, inside, found.x)
    return best * np.exp(side * known[0].copy(data=distance))


def isoflop(fit: Fit, flops: xr.DataArray, params: xr.DataArray, *, k: float | None = None) -> Any:
    """Loss of the law along isoFLOP curves, per draw: N varies, D = C/(k N)."""
    fit.require_joint()
    k = fit.runs.flops_per_param_token if k is None else k
    return _loss_on(flops, params, fit.law, k, fit.natural)


def _loss_on(flops: Any, params: Any, law: Law, k: float, natural: dict[str, Any]) -> Any:
    """Loss at N on the isoFLOP curve of a budget, D = C/(k N)."""
    return law.fresh_loss(params, flops / (k * params), **natural)


def optimal_params(law: Law, flops: Any, k: float, natural: dict[str, Any]) -> Any:
    """N* of each draw: in closed form where the law has one, numerically otherwise."""
    if law.optimum is not None:
        return _on_arrays(law.optimum, flops, k, natural)
    return minimise_params(law, flops, k, natural)


def _on_arrays(function: Callable[..., Any], asked: Any, k: float, natural: dict[str, Any]) -> Any:
    """Call ``function(asked, k, **natural)`` with plain arrays: a search takes many steps."""

    def call(*values: Any) -> Any:
        *parameters, asked = values
        return function(asked, k, **dict(zip(natural, parameters, strict=True)))

    return xr.apply_ufunc(call, *natural.values(), asked, keep_attrs=False)


def least_compute(law: Law, loss: Any, k: float, natural: dict[str, Any]) -> Any:
    """Compute of the compute-optimal model that reaches a loss, of each draw; may be infinite.

    Raises
    ------
    FitError
        If the law does not say it in closed form.
    """
    if law.compute is None:
        raise FitError(
            f"the law {law.name} does not say what compute reaches a loss; give it "
            "@law(..., compute=...), or fit a joint law such as chinchilla"
        )
    return _on_arrays(law.compute, loss, k, natural)


def minimise_params(law: Law, flops: Any, k: float, natural: dict[str, Any]) -> Any:
    """N* by search over log N, for all draws and budgets at once."""
    known = xr.broadcast(xr.ufuncs.log(xr.DataArray(flops) / k), *natural.values())
    log_product, *_ = args = tuple(value.to_numpy() for value in known)
    low = np.full(log_product.shape, np.log(_SMALLEST))

    def loss(log_params: Any, log_product: Any, *values: Any) -> Any:
        own = dict(zip(natural, values, strict=True))
        return law.fresh_loss(np.exp(log_params), np.exp(log_product - log_params), **own)

    found = find_minimum(loss, low, log_product - low, args)
    return np.exp(known[0].copy(data=found))


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


def _by_group(fit: Fit, ask: Callable[[Fit], Any]) -> Any:
    """Ask every group alone: each has its own range of runs, and counts its own FLOPs."""
    found = [ask(fit.of_group(name)).assign_coords(group=name) for name in fit.groups]
    both = xr.concat(found, dim="group", combine_attrs="drop")
    return both.transpose("chain", "draw", ...)


def distinct_budgets(flops: Sequence[float]) -> tuple[float, ...]:
    """Return the budgets without repetitions, in their order.

    Raises
    ------
    FitError
        If one is not a positive number.
    """
    values = [float(value) for value in flops]
    if not all(np.isfinite(value) and value > 0 for value in values):
        raise FitError(f"budgets must be positive FLOPs, got {', '.join(f'{v:g}' for v in values)}")
    return tuple(dict.fromkeys(values))


def _exponent(fit: Fit, flops: Any, params: Any, k: float, step: float = 0.02) -> Any:
    """Return a = d log N* / d log C, exact where N* is a power of C."""
    law, natural = fit.law, fit.natural
    if law.optimum is not None and not fit.bends:
        above = optimal_params(law, flops * np.exp(step), k, natural)
        return np.log(above / params) / step

    # The slope of the loss along its isoFLOP curve is zero at N* of every C, so a is
    # - (d2 L / dlog N dlog C) / (d2 L / dlog N2).
    def loss(sizes: int, budgets: int) -> Any:
        moved = flops * np.exp(step * budgets)
        return _loss_on(moved, params * np.exp(step * sizes), law, k, natural)

    across = (loss(1, 1) - loss(-1, 1) - loss(1, -1) + loss(-1, -1)) / 4
    return -across / (loss(1, 0) - 2 * loss(0, 0) + loss(-1, 0))


def _question(
    fit: Fit, flops: float | Sequence[float], k: float | None
) -> tuple[Law, xr.DataArray, float]:
    """Check that the law has an allocation and that the budgets are budgets."""
    fit.require_joint()
    values = np.array(distinct_budgets(np.atleast_1d(flops).tolist()))
    budget = xr.DataArray(values, dims="flops", coords={"flops": values})
    return fit.law, budget, fit.runs.flops_per_param_token if k is None else k
