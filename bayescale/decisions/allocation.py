r"""Compute-optimal models, per draw: how large, on how many tokens, and how flat the choice is.

All allocations are under C = k N D, and no token is repeated.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import (
    TWICE,
    Answer,
    Tested,
    beside_exact,
    count_of,
    distance,
    each_group,
    loss_of,
    number_of,
    of_group,
    reliability,
    standing,
)
from bayescale.decisions.prices import require_positive
from bayescale.decisions.ratios import Ratios, failed_beyond
from bayescale.draws import numbers
from bayescale.errors import FitError, warn
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.runs.range import decades_beyond

BASIN_EXCESS = (0.01, 0.10)
"""Shares of the compute that a size in the basin may waste."""

NOTABLE = 0.01
"""Share of draws without a best size from which on it is said."""

_OUTWARDS, _OUTWARD = 16, np.log(1e4) / 16  # steps in log N, a quarter of a decade each


@typed
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
        Of a law of params and tokens, or of isoFLOP profiles: then as `profile_optima`.
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

    Examples
    --------
    >>> from bayescale import constants_fit
    >>> fit = constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> optima = compute_optimal(fit, 5.76e23)
    >>> float(optima["params"].squeeze().round(-9)), float(optima["loss"].squeeze().round(2))
    (42000000000.0, 1.93)
    """
    if fit.spec.law.has_profiles:
        return profile_optima(fit, flops, k=k)
    if fit.groups:
        return _by_group(fit, lambda own: compute_optimal(own, flops, k=k, exponents=exponents))
    posterior, budget = Posterior.of_joint_law(fit, k), _budgets(flops)
    optima = _optima(posterior, budget)
    if exponents:
        a = _exponent(posterior, budget, optima["params"])
        optima = optima.assign(a=a, b=1 - a).transpose("chain", "draw", "flops", ...)
    _name_undefined(optima["params"])
    decades = posterior.beyond(flops=budget.to_numpy())
    undefined = optima["params"].isnull().mean(("chain", "draw"))
    found = optima.assign(decades_beyond=("flops", decades), without_optimum=undefined)
    return found.assign_attrs(k=posterior.k)


def _name_undefined(params: xr.DataArray) -> None:
    """Warn of draws in which no size is best: intervals are of the others."""
    share = params.isnull().mean(("chain", "draw"))
    if share.size and share.max() >= NOTABLE:
        at = words.flops(float(share["flops"][share.argmax("flops")]))
        warn(
            f"in {float(share.max()):.1%} of the draws no size is best for {at} FLOPs, because the "
            "loss keeps falling towards larger or smaller models; intervals are of the other draws"
        )


def _optima(posterior: Posterior, budget: xr.DataArray) -> xr.Dataset:
    params = posterior.optimum(budget)
    tokens = budget / (posterior.k * params)
    optima = xr.Dataset(
        {
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            LOSS.column: posterior.loss(params, tokens),
        }
    )
    return optima.transpose("chain", "draw", "flops", ...)


@typed
def profile_optima(
    fit: Fit, flops: float | Sequence[float], *, k: float | None = None
) -> xr.Dataset:
    r"""Approach 2: compute-optimal models on the power law through the minima of isoFLOP profiles.

    :math:`N^* = G C^a` in the middle of the population of budgets. The minimum that one more sweep
    would show scatters about this line; that scatter is not part of ``params``, it is ``scatter``.

    Parameters
    ----------
    fit : Fit
        Of the model ``isoflop-profiles``, or another of its law.
    flops : float or sequence of float
        Training budgets C.
    k : float, optional
        FLOPs per parameter and token, C = k N D; by default what the runs say, else 6.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, flops): ``params`` N*, ``tokens`` D* = C/(k N*), ``tokens_per_param``.
        Dims (chain, draw): ``a`` and ``b`` = 1 - a, exponents of N* and D* in C, and ``scatter``,
        the sd between budgets of log N*, 0 where the model has none. Dim (flops):
        ``decades_beyond``, decades of compute above the largest run (negative: below the smallest;
        0 inside). Attribute ``k``.

    Raises
    ------
    FitError
        For a fit of another law or one whose minima are on no line, or if a budget or k is not
        positive.
    """
    require_profiles(fit)
    k = fit.runs.flops_per_param_token if k is None else k
    require_positive("k", k)
    posterior, budget = fit.posterior, _budgets(flops)
    a = posterior["a"]
    params = xr.ufuncs.exp(_log_constant(fit)) * budget**a
    tokens = budget / (k * params)
    scatter = posterior["size_scale"] if "size_scale" in posterior else xr.zeros_like(a)
    return xr.Dataset(
        {
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            "a": a,
            "b": 1 - a,
            "scatter": scatter,
            "decades_beyond": ("flops", decades_beyond(fit.runs, flops=budget)),
        },
        attrs={"k": k},
    ).transpose("chain", "draw", "flops")


def require_profiles(fit: Fit) -> None:
    """Refuse fits of other laws, and those whose budgets have no line in common.

    Parameters
    ----------
    fit : Fit

    Raises
    ------
    FitError
    """
    if not fit.spec.law.has_profiles:
        raise FitError(
            f"the law {fit.law.name} has no isoFLOP profiles; fit the model 'isoflop-profiles'"
        )
    if not fit.groups:
        raise FitError(
            "the profiles of one budget are on no power law in compute; fit 'isoflop-profiles' to "
            "all budgets"
        )
    if fit.spec.pooling.get("size") == "none":
        raise FitError(
            "the minima of this fit are on no common power law, size is not pooled; set "
            'size = "partial" in the model file'
        )


def _log_constant(fit: Fit) -> xr.DataArray:
    """Log G of the power law: of any budget, less the distance of its minimum from the line."""
    posterior = fit.posterior
    log_constant = xr.ufuncs.log(posterior["G"])
    if "group" not in log_constant.dims:
        return log_constant
    distance = posterior["size"] - posterior["size_population"]
    return (log_constant - distance).isel(group=0, drop=True)


@typed
def basin(
    fit: Fit,
    flops: float | Sequence[float],
    *,
    excess: float | Sequence[float] = BASIN_EXCESS,
    k: float | None = None,
) -> xr.DataArray:
    """Sizes that are nearly as good as the compute-optimal one.

    The smallest and the largest N whose loss at the full budget is no worse than the optimum of
    C / (1 + excess): choosing them wastes at most that share of the compute. The other parameters
    and errors are as in `compute_optimal`.

    Parameters
    ----------
    excess : float or sequence of float, optional
        Shares of the compute that may be wasted.

    Returns
    -------
    xarray.DataArray
        N, dims (chain, draw, flops, excess, bound) with bound "lower", "upper", and group for a
        fit with groups.
    """
    for share in np.atleast_1d(excess):
        require_positive("excess", share)
    if fit.groups:
        return _by_group(fit, lambda own: basin(own, flops, excess=excess, k=k))
    posterior = Posterior.of_joint_law(fit, k)
    found = _basin(posterior, _budgets(flops), np.atleast_1d(excess))
    return found.transpose("chain", "draw", "flops", "excess", "bound")


def _basin(posterior: Posterior, budget: xr.DataArray, shares: np.ndarray) -> xr.DataArray:
    law, k, natural = posterior.law, posterior.k, posterior.natural
    wasted = xr.DataArray(shares, dims="excess", coords={"excess": shares})
    side = xr.DataArray([-1.0, 1.0], dims="bound", coords={"bound": ["lower", "upper"]})
    best = posterior.optimum(budget)
    smaller = budget / (1 + wasted)
    limit = posterior.isoflop(smaller, posterior.optimum(smaller))

    def excess(distance: Any, side: Any, best: Any, limit: Any, flops: Any, *values: Any) -> Any:
        own = dict(zip(natural, values, strict=True))
        params = best * np.exp(side * distance)
        return law.fresh(params, flops / (k * params), **own) - limit

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


def _by_group(fit: Fit, ask: Callable[[Fit], Any]) -> Any:
    """Ask every group alone: each has its own range of runs, and counts its own FLOPs."""
    found = [ask(fit.of_group(name)).assign_coords(group=name) for name in fit.groups]
    both = xr.concat(found, dim="group", combine_attrs="drop")
    return both.transpose("chain", "draw", ...)


def distinct_budgets(flops: Sequence[float]) -> tuple[float, ...]:
    """Return the budgets without repetitions, in their order.

    Parameters
    ----------
    flops : sequence of float

    Returns
    -------
    tuple of float

    Raises
    ------
    FitError
        If one is not a positive number, or trains no model.
    """
    values = [float(value) for value in flops]
    if not all(np.isfinite(value) and value > 0 for value in values):
        raise FitError(f"budgets must be positive FLOPs, got {', '.join(f'{v:g}' for v in values)}")
    if small := [value for value in values if value < 1e3]:
        raise FitError(
            f"a budget of {small[0]:g} FLOPs trains no model; write FLOPs in full, such as 1e21, "
            "not their logarithm or another unit"
        )
    return tuple(dict.fromkeys(values))


def _budgets(flops: float | Sequence[float]) -> xr.DataArray:
    """Give distinct budgets the dimension and the coordinate ``flops``."""
    values = np.array(distinct_budgets(np.atleast_1d(flops).tolist()))
    return xr.DataArray(values, dims="flops", coords={"flops": values})


def _exponent(posterior: Posterior, flops: Any, params: Any, step: float = 0.02) -> Any:
    """Return a = d log N* / d log C, exact where N* is a power of C."""
    if posterior.law.optimum is not None and not posterior.bends:
        return np.log(posterior.optimum(flops * np.exp(step)) / params) / step

    # The slope of the loss along its isoFLOP curve is zero at N* of every C, so a is
    # - (d2 L / dlog N dlog C) / (d2 L / dlog N2).
    def loss(sizes: int, budgets: int) -> Any:
        moved = flops * np.exp(step * budgets)
        return posterior.isoflop(moved, params * np.exp(step * sizes))

    across = (loss(1, 1) - loss(-1, 1) - loss(1, -1) + loss(-1, -1)) / 4
    return -across / (loss(1, 0) - 2 * loss(0, 0) + loss(-1, 0))


@typed
def answer_optima(
    fit: Fit,
    budgets: float | Sequence[float],
    *,
    exact: Fit | None = None,
    tested: Tested | None = None,
) -> Answer:
    """Say the compute-optimal model and its basin for each budget (and group).

    Parameters
    ----------
    fit : Fit
    budgets : float or sequence of float
    exact : Fit, optional
        The same law taken as exact (`bayescale.exact_fit`), to set what it says beside that.
    tested : callable, optional
        Says what a backtest tells of an answer so many decades beyond the runs, as
        `bayescale.backtested_at` does.

    Returns
    -------
    Answer
        Numbers: ``optima``, an entry for each budget (and group).
    """
    draws = compute_optimal(fit, budgets)

    def ask(own: Fit) -> list[dict[str, Any]]:
        optima = draws.sel(group=own.own_group) if fit.groups else draws
        return _with_basins(own, _entries(own, optima, exact))

    if fit.spec.law.has_profiles:  # all budgets are on one line, and have their losses each
        entries = [{"group": None, "basin": [], **entry} for entry in _entries(fit, draws, None)]
    else:
        entries = each_group(fit, ask)
    result = plain({"optima": [standing(fit, entry, tested) for entry in entries]})
    sentences = map(_optimum_sentence, result["optima"])
    return Answer.by(fit, numbers=result, sentences=sentences, draws=draws)


def best_models(fit: Fit, budgets: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    """Compute-optimal model for each budget as numbers, beside that of the exact law.

    Parameters
    ----------
    fit : Fit
        Of one group where there are groups.
    budgets : sequence of float
    exact : Fit or None
        The same law taken as exact.

    Returns
    -------
    list of dict
        An entry for each budget.
    """
    return _entries(fit, compute_optimal(fit, list(budgets)), exact)


def _entries(fit: Fit, optima: xr.Dataset, exact: Fit | None) -> list[dict[str, Any]]:
    """Each budget of a fit without groups as numbers."""
    budgets = optima["flops"].to_numpy().tolist()
    of_exact = None if exact is None else compute_optimal(exact, budgets)
    entries = []
    for flops in optima["flops"].to_numpy():
        best = optima.sel(flops=flops)
        beyond = float(best["decades_beyond"])
        found = _quantities(best)
        exactly = None if of_exact is None else _quantities(of_exact.sel(flops=flops))
        entries.append(
            {
                "flops": float(flops),
                "decades_beyond": None if np.isnan(beyond) else beyond,
                "beyond": _beyond(fit, best),
                "marks": _marks(fit, best),
                "data": " of fresh data" if "unique_tokens" in fit.spec.inputs else "",
                "bends": fit.bends,
                "without_optimum": float(best.get("without_optimum", 0.0)),
                "exact": beside_exact(found, exactly),
                **found,
            }
        )
    return entries


def _with_basins(fit: Fit, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ends = basin(fit, [entry["flops"] for entry in entries])
    for entry in entries:
        entry["basin"] = [
            {
                "excess": float(excess),
                **{
                    str(bound): numbers(ends.sel(flops=entry["flops"], excess=excess, bound=bound))
                    for bound in ends["bound"].to_numpy()
                },
                "surest": _surest(ends.sel(flops=entry["flops"], excess=excess)),
            }
            for excess in ends["excess"].to_numpy()
        ]
    return entries


def _surest(ends: xr.DataArray) -> dict[str, float] | None:
    """Find the size that lies in the basins of most draws, None where no draw has one."""
    lower, upper = (
        np.sort(side[np.isfinite(side)])
        for side in (ends.sel(bound=bound).to_numpy().ravel() for bound in ("lower", "upper"))
    )
    if not len(lower):
        return None
    # Basins begin at lower ends: some of these lies in as many as any size does.
    inside = np.arange(1, len(lower) + 1) - np.searchsorted(upper, lower)
    first = lower[inside.argmax()]
    last = upper[np.searchsorted(upper, first)]
    return {"params": float(np.sqrt(first * last)), "probability": inside.max() / len(lower)}


def _quantities(best: xr.Dataset) -> dict[str, Any]:
    """Each quantity of an optimum, None for a loss that isoFLOP profiles do not say."""
    names = ("params", "tokens", "tokens_per_param", LOSS.column, "a", "b")
    return {name: dict(numbers(best[name])) if name in best else None for name in names}


def _beyond(fit: Fit, best: xr.Dataset) -> dict[str, float | None]:
    """Give the decades by which the median optimum lies outside the runs, along each axis."""
    medians = best[["params", "tokens", "tokens_per_param"]].median()
    found = {
        str(name): float(decades_beyond(fit.runs, **{str(name): medians[name]})) for name in medians
    }
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def _marks(fit: Fit, best: xr.Dataset) -> list[str]:
    """Say whether the median optimum has other tokens per parameter than the runs, or FAILed."""
    medians = best[["params", "tokens", "tokens_per_param"]].median()
    ratio = Ratios.of(fit.runs, None, None).mark(float(medians["tokens_per_param"]))
    failed = failed_beyond(fit, medians["params"], medians["tokens"])
    return [said for said in (ratio, *failed) if said]


def _optimum_sentence(entry: dict[str, Any]) -> str:
    params, tokens, ratio = (entry[name] for name in ("params", "tokens", "tokens_per_param"))
    opening = f"{of_group(entry)}For {words.flops(entry['flops'])} FLOPs{entry['data']}: "
    if params["median"] is None:
        return (
            f"{opening}no size is best in any draw. The loss keeps falling towards larger or "
            f"smaller models. {distance(entry['decades_beyond'], bends=entry['bends'])}"
        )
    said = (
        f"{opening}{count_of(params, 'parameters')} on {count_of(tokens, 'tokens')}. "
        f"That is {words.significant(ratio['median'])} tokens per parameter"
    )
    if entry["basin"]:
        said += (
            f", loss {loss_of(entry[LOSS.column])}. "
            f"{_basin_sentence(entry['basin'][-1], params['median'])}"
        )
    else:
        said += f", on a power law of exponent {number_of(entry['a'])} in compute."
    return f"{said} {reliability(entry, _model_of, _outside(entry))}"


def _model_of(found: dict[str, Any]) -> str:
    return f"{count_of(found['params'], 'parameters')}, loss {loss_of(found[LOSS.column])}"


def _outside(entry: dict[str, Any]) -> str:
    """Name the axes along which the optimum leaves the runs by more than a factor of two.

    Of tokens per parameter by any factor: the law is told by runs about that ratio.
    """
    names = {"params": "parameters", "tokens": "tokens"}
    far = [
        f"{words.significant(10 ** abs(value), 2)} times "
        f"{'more' if value > 0 else 'fewer'} {names[name]}"
        for name, value in entry["beyond"].items()
        if name != "tokens_per_param" and value is not None and abs(value) > TWICE
    ]
    said = f" The answer has {' and '.join(far)} than any fitted run." if far else ""
    said += "".join(f" {mark}" for mark in entry["marks"])
    if entry["without_optimum"] >= NOTABLE:
        share = entry["without_optimum"]
        said += f" In {share:.0%} of the draws no size is best: not counted here."
    return said


def _basin_sentence(near: dict[str, Any], best: float) -> str:
    """Name the sizes that are safe whichever draw is true: inner ends of the basin's two ends."""
    low, high = near["lower"]["q95"], near["upper"]["q05"]
    if low >= high:
        surest = near["surest"]
        return (
            f"No size wastes less than {near['excess']:.0%} of the compute with 95% probability; "
            f"the surest, {words.count(surest['params'])}, does with "
            f"{words.chance(surest['probability'])}."
        )
    said = (
        f"Any size from {words.span(low, high)} wastes at most {near['excess']:.0%} of the "
        "compute (95% sure at either end)"
    )
    if low <= best <= high:
        return f"{said}."
    return f"{said}. The median best size is not among them, so uncertain is it."
