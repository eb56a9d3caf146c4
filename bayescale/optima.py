r"""Compute-optimal models, per draw: how large, on how many tokens, and how flat the choice is.

All allocations are under C = k N D, and no token is repeated.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayescale.errors import FitError
from bayescale.fitting import Fit
from bayescale.laws import Law
from bayescale.prediction import by_range, decades_beyond

BASIN_EXCESS = (0.01, 0.10)
"""Shares of the compute that a size in the basin may waste."""

_SMALLEST, _STEPS = 1e3, 80  # golden section shrinks 1/1.618 a step: 80 steps reach rounding error
_GOLDEN = (np.sqrt(5) - 1) / 2
_HALVINGS = 44  # of log(1e4): to 1e-12 of a size


def compute_optimal(
    fit: Fit, flops: float | Sequence[float], *, k: float | None = None
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

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, flops), and group for a fit with groups: ``params`` N*, ``tokens`` D*,
        ``tokens_per_param``, ``loss`` (nats per token, without noise), ``a`` and ``b``, the
        exponents of N* and D* in C.
        Dim (flops): ``decades_beyond``, decades of compute above the largest run (negative: below
        the smallest; 0 inside; NaN without runs). Attribute ``k``. Of a fit with a weighted
        posterior, that answers for budgets above the largest run; the coordinate ``posterior``
        (flops) says which one did.

    Raises
    ------
    FitError
        If the law has no such allocation, or a budget is not positive.
    """
    if fit.groups:
        return _by_group(fit, lambda own: compute_optimal(own, flops, k=k))
    _, budget, k = _question(fit, flops, k)
    optima = by_range(fit, beyond_compute(fit, budget), lambda own: _optima(own, budget, k))
    decades = decades_beyond(fit, "flops", budget.to_numpy())
    return optima.assign(decades_beyond=("flops", decades)).assign_attrs(k=k)


def beyond_compute(fit: Fit, flops: float | xr.DataArray) -> xr.DataArray:
    """Whether budgets lie above the largest run of a fit; where there are no runs all do."""
    flops = xr.DataArray(flops)
    return flops.copy(data=~(decades_beyond(fit, "flops", flops.to_numpy()) <= 1e-9))


def _optima(fit: Fit, budget: xr.DataArray, k: float) -> xr.Dataset:
    law = fit.spec.law
    params = optimal_params(law, budget, k, fit.natural)
    tokens = budget / (k * params)
    a = _exponent(law, budget, k, fit.natural)
    optima = xr.Dataset(
        {
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            "loss": law.fresh_loss(params, tokens, **fit.natural),
            "a": a,
            "b": 1 - a,
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
    shares = np.atleast_1d(excess)
    return by_range(
        fit, beyond_compute(fit, budget), lambda own: _basin(own, budget, k, shares)
    ).transpose("chain", "draw", "flops", "excess", "bound")


def _basin(fit: Fit, budget: xr.DataArray, k: float, shares: np.ndarray) -> xr.DataArray:
    law, natural = fit.spec.law, fit.natural
    wasted = xr.DataArray(shares, dims="excess", coords={"excess": shares})
    side = xr.DataArray([-1.0, 1.0], dims="bound", coords={"bound": ["lower", "upper"]})
    best = optimal_params(law, budget, k, natural)
    smaller = budget / (1 + wasted)
    limit = _loss_on(smaller, optimal_params(law, smaller, k, natural), law, k, natural)
    inside = 0.0 * limit * side  # log distance from the optimum, bisected on both sides at once
    outside = inside + np.log(1e4)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        within = _loss_on(budget, best * np.exp(side * middle), law, k, natural) <= limit
        inside, outside = xr.where(within, middle, inside), xr.where(within, outside, middle)
    return best * np.exp(side * inside)


def isoflop(fit: Fit, flops: xr.DataArray, params: xr.DataArray, *, k: float | None = None) -> Any:
    """Loss of the law along isoFLOP curves, per draw: N varies, D = C/(k N).

    A curve above the largest run is of the weighted posterior, if the fit has one.
    """
    k = fit.runs.flops_per_param_token if k is None else k
    return by_range(
        fit,
        beyond_compute(fit, flops),
        lambda own: _loss_on(flops, params, own.spec.law, k, own.natural),
    )


def _loss_on(flops: Any, params: Any, law: Law, k: float, natural: dict[str, Any]) -> Any:
    """Loss at N on the isoFLOP curve of a budget, D = C/(k N)."""
    return law.fresh_loss(params, flops / (k * params), **natural)


def optimal_params(law: Law, flops: Any, k: float, natural: dict[str, Any]) -> Any:
    """N* of each draw: in closed form where the law has one, numerically otherwise."""
    if law.optimum is not None:
        return law.optimum(flops, k, **natural)
    return minimise_params(law, flops, k, natural)


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
    return law.compute(loss, k, **natural)


def minimise_params(law: Law, flops: Any, k: float, natural: dict[str, Any]) -> Any:
    """N* by golden-section search over log N, for all draws and budgets at once."""
    everywhere = sum(value * 0.0 for value in natural.values()) + np.log(flops / k)
    low, high = everywhere * 0.0 + np.log(_SMALLEST), everywhere - np.log(_SMALLEST)

    def loss(log_params: Any) -> Any:
        return _loss_on(flops, np.exp(log_params), law, k, natural)

    return np.exp(golden_section(loss, low, high))


def golden_section(
    function: Callable[[Any], Any], low: Any, high: Any, *, steps: int = _STEPS
) -> Any:
    """Argument of the least value of functions with one minimum each, for many at once."""
    for _ in range(steps):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        keep_left = function(left) < function(right)
        low, high = xr.where(keep_left, low, left), xr.where(keep_left, right, high)
    return (low + high) / 2


def _by_group(fit: Fit, ask: Callable[[Fit], Any]) -> Any:
    """Ask every group alone: each has its own range of runs, and counts its own FLOPs."""
    found = [ask(fit.of_group(name)).assign_coords(group=name) for name in fit.groups]
    # Each group has its own range, so which posterior answered differs between them.
    by = [one["posterior"].reset_coords(drop=True) for one in found if "posterior" in one.coords]
    bare = [one.drop_vars("posterior", errors="ignore") for one in found]
    both = xr.concat(bare, dim="group", combine_attrs="drop").transpose("chain", "draw", ...)
    if not by:
        return both
    return both.assign_coords(posterior=xr.concat(by, dim=both["group"]))


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


def _exponent(law: Law, flops: Any, k: float, natural: dict[str, Any], step: float = 0.01) -> Any:
    """Return a = d log N* / d log C, exact where N* is a power of C: every closed form here."""
    above = optimal_params(law, flops * np.exp(step), k, natural)
    below = optimal_params(law, flops * np.exp(-step), k, natural)
    return np.log(above / below) / (2 * step)


def _question(
    fit: Fit, flops: float | Sequence[float], k: float | None
) -> tuple[Law, xr.DataArray, float]:
    """Check that the law has an allocation and that the budgets are budgets."""
    law = fit.spec.law
    if not law.is_joint:
        raise FitError(
            f"the law {law.name} does not trade params against tokens: it has no "
            "compute-optimal model; fit a joint law such as chinchilla"
        )
    values = np.array(distinct_budgets(np.atleast_1d(flops).tolist()))
    budget = xr.DataArray(values, dims="flops", coords={"flops": values})
    return law, budget, fit.runs.flops_per_param_token if k is None else k
