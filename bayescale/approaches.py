r"""The other ways to the compute-optimal model, beside the joint law ("Approach 3").

Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models", section 3: the lower
envelope over training curves ("Approach 1"), and what a parabola for each isoFLOP curve gets wrong
("Approach 2", whose own model is the law ``isoflop_profile``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale.errors import RunsError
from bayescale.fitting import Fit
from bayescale.optima import compute_optimal, distinct_budgets, isoflop
from bayescale.runs import Runs

FEWEST_SIZES = 4
"""Sizes on the envelope that a power law through them needs."""

_GRID = 1500  # values of compute at which Hoffmann et al. look for the best run
_PRIOR_POINTS, _PRIOR_SCATTER = 2.0, 0.1


def envelope(
    runs: Runs,
    flops: float | Sequence[float],
    *,
    curve: str = "run",
    draws: int = 4000,
    seed: int = 1,
    k: float | None = None,
) -> xr.Dataset:
    r"""Approach 1: compute-optimal models from the lower envelope of training curves.

    The log loss of each run is interpolated in log C between its checkpoints. Every size of model
    that is somewhere the best gives one point, the median of the compute at which it is,
    and :math:`\log N^* = \log G + a \log C` is a linear regression through these points. Sizes that
    begin or cease to be the best only because a curve begins or ends are left out; the smallest and
    the largest always are.

    The posterior is in closed form: a flat prior on the line, and on the scatter of log N about it
    :math:`\sigma^2 \sim \text{Inv-Gamma}(1, 0.01)`, worth two points that scatter by 0.1.

    A checkpoint in mid-schedule has a higher loss than a run planned to end there; Hoffmann et al.
    therefore train each size with several schedules.

    Parameters
    ----------
    runs : Runs
        Several rows for each run: its checkpoints.
    flops : float or sequence of float
        Training budgets C at which N* and D* are asked.
    curve : str
        Column that tells training curves apart; ``"params"`` joins the final losses of runs of
        equal size where there are no checkpoints.
    draws, seed : int
        Number of draws, and the seed of their generator.
    k : float, optional
        FLOPs per parameter and token, C = k N D; by default what the runs say, else 6.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw): ``a`` and ``b`` = 1 - a, exponents of N* and D* in C, and ``sigma``, the
        scatter of log N about the line. Dims (chain, draw, flops): ``params`` N*, ``tokens`` D*,
        ``tokens_per_param``. Dim (size): the points on the envelope, ``size_params``,
        ``size_flops`` and ``size_loss`` (nats per token). Attribute ``k``.

    Raises
    ------
    RunsError
        If a column is missing, or fewer than 4 sizes are on the envelope.
    FitError
        If a budget is not positive.
    """
    points = _on_the_envelope(runs, curve)
    k = runs.flops_per_param_token if k is None else k
    x, y = np.log(points["flops"]), np.log(points["params"])
    line = _line(x - x.mean(), y, draws, seed)
    budget = _axis("flops", flops)
    params = np.exp(line["level"] + line["a"] * (np.log(budget) - x.mean()))
    tokens = budget / (k * params)
    allocation = {"params": params, "tokens": tokens, "tokens_per_param": tokens / params}
    found = xr.Dataset({"a": line["a"], "b": 1 - line["a"], "sigma": line["sigma"], **allocation})
    found = found.transpose("chain", "draw", "flops")
    return found.assign({f"size_{n}": ("size", v) for n, v in points.items()}).assign_attrs(k=k)


def parabola_bias(
    fit: Fit,
    flops: float | Sequence[float],
    *,
    runs: Runs | None = None,
    k: float | None = None,
) -> xr.Dataset:
    r"""Tell what a parabola for each budget would get wrong if the joint law were exactly true.

    Approach 2 fits a parabola of loss in log N to each budget and a power law through the minima.
    IsoFLOP curves are lopsided, so these are misplaced even without noise, the more the wider the
    grid of N: Czech et al. (2026), arXiv:2603.22339. Here that is done, for every draw of the law,
    to its own losses at the sizes that the runs have on each budget, D = C/(k N), with C the
    geometric mean of the budget's runs.

    Parameters
    ----------
    fit : Fit
        Of a law of params and tokens.
    flops : float or sequence of float
        Training budgets C to which the power law is extrapolated.
    runs : Runs, optional
        Whose budgets and sizes are taken; by default the runs of the fit.
    k : float, optional
        FLOPs per parameter and token, C = k N D; by default what the runs say, else 6.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, budget): ``log_error``, log of the parabola's N* over the law's. Dims
        (chain, draw, flops): ``params_error`` and ``tokens_error``, relative errors of the
        extrapolated N* and D*, -0.05 for 5% too few. Dims (chain, draw): ``a``, the exponent of N*
        through the parabolas' minima. NaN where a parabola has no minimum.

    Raises
    ------
    RunsError
        If fewer than two budgets have runs of three sizes.
    FitError
        If the law has no such allocation, or a budget is not positive.
    """
    runs = fit.runs if runs is None else runs
    k = runs.flops_per_param_token if k is None else k
    grids = _grids(runs)
    budget, asked = _axis("budget", list(grids)), _axis("flops", flops)
    at_budgets = compute_optimal(fit, list(grids), k=k)["params"].rename(flops="budget")
    at_asked = compute_optimal(fit, asked.values.tolist(), k=k)["params"]
    found = xr.concat([_minimum(fit, c, sizes, k) for c, sizes in grids.items()], dim=budget)
    x = np.log(budget) - np.log(budget).mean()
    a = (found * x).sum("budget", skipna=False) / (x**2).sum()
    extrapolated = found.mean("budget", skipna=False) + a * (np.log(asked) - np.log(budget).mean())
    excess = extrapolated - np.log(at_asked)
    return xr.Dataset(
        {
            "log_error": found - np.log(at_budgets),
            "params_error": np.expm1(excess),
            "tokens_error": np.expm1(-excess),
            "a": a,
        }
    ).transpose("chain", "draw", "budget", "flops")


def _on_the_envelope(runs: Runs, curve: str) -> dict[str, np.ndarray]:
    """Params, flops and loss of each size that is the best between two crossings of curves."""
    sizes, grid, log_loss = _curves(runs, curve)
    best = log_loss.argmin(axis=0)
    rows = []
    for size, params in enumerate(sizes):
        wins = np.flatnonzero((best == size) & np.isfinite(log_loss[size]))
        if len(wins) and _crosses(log_loss, wins[0], -1) and _crosses(log_loss, wins[-1], 1):
            middle = wins[len(wins) // 2]  # the median: noise gives single wins far away
            rows.append((params, np.exp(grid[middle]), np.exp(log_loss[size, middle])))
    if len(rows) < FEWEST_SIZES:
        joined = "" if curve == "params" else ", or join equal sizes with curve='params'"
        raise RunsError(
            f"{len(rows)} sizes of model are the best somewhere between a smaller and a larger "
            f"one, {FEWEST_SIZES} are needed: add checkpoints of more sizes, several rows for each "
            f"value of {curve!r}{joined}"
        )
    return dict(zip(("params", "flops", "loss"), np.array(rows).T, strict=True))


def _crosses(log_loss: np.ndarray, edge: int, step: int) -> bool:
    """Whether another size is the best beyond an edge and both were measured on both sides."""
    beyond = edge + step
    if not 0 <= beyond < log_loss.shape[1]:
        return False
    two = [log_loss[:, edge].argmin(), log_loss[:, beyond].argmin()]
    return bool(np.isfinite(log_loss[np.ix_(two, [edge, beyond])]).all())


def _curves(runs: Runs, curve: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, a grid of log C, and the least log loss of each size there: inf where no curve is."""
    if curve not in runs.table:
        raise RunsError(
            f"no column {curve!r} tells the training curves apart; the columns are "
            f"{', '.join(runs.table.columns)}"
        )
    columns = {name: runs.column(name) for name in ("params", "flops", "loss")}
    table = pd.DataFrame({"curve": runs.table[curve].to_numpy(), **columns})
    table = table.groupby(["curve", "params", "flops"], as_index=False)["loss"].min()  # and sorts
    sizes = np.unique(table["params"])
    ends = np.log(table["flops"].min()), np.log(table["flops"].max())
    grid = np.linspace(*ends, _GRID)
    least = np.full((len(sizes), _GRID), np.inf)
    for (_, params), rows in table.groupby(["curve", "params"]):
        x, y = np.log(rows["flops"]), np.log(rows["loss"])
        size = np.searchsorted(sizes, params)
        least[size] = np.minimum(least[size], np.interp(grid, x, y, left=np.inf, right=np.inf))
    return sizes, grid, least


def _line(x: np.ndarray, y: np.ndarray, draws: int, seed: int) -> dict[str, xr.DataArray]:
    r"""Draws of y = level + a x + sigma e, x centred.

    Conjugate: sigma^2 is scaled inverse chi-squared with nu = n - 2 + 2 degrees of freedom and
    scale (residual sum of squares + prior's) / nu; given it, level and a are normal about the least
    squares with variances sigma^2/n and sigma^2/sum(x^2). Gelman et al. (2013), "Bayesian Data
    Analysis", section 14.2.
    """
    rng = np.random.default_rng(seed)
    n, sxx = len(x), float((x**2).sum())
    level, a = float(y.mean()), float((x * y).sum()) / sxx
    squares = float(((y - level - a * x) ** 2).sum()) + _PRIOR_POINTS * _PRIOR_SCATTER**2
    sigma = np.sqrt(squares / rng.chisquare(n - 2 + _PRIOR_POINTS, draws))
    values = {
        "level": level + sigma / np.sqrt(n) * rng.standard_normal(draws),
        "a": a + sigma / np.sqrt(sxx) * rng.standard_normal(draws),
        "sigma": sigma,
    }
    return {
        name: xr.DataArray(value[None], dims=("chain", "draw")) for name, value in values.items()
    }


def _grids(runs: Runs) -> dict[float, np.ndarray]:
    """Sizes on each budget that has three or more, by the geometric mean of its compute."""
    table = runs.table.assign(label=runs.budgets()).dropna(subset=["label"])
    grids = {
        float(np.exp(np.log(rows["flops"]).mean())): np.unique(rows["params"])
        for _, rows in table.groupby("label")
    }
    grids = {budget: sizes for budget, sizes in grids.items() if len(sizes) >= 3}
    if len(grids) < 2:
        raise RunsError(
            f"{len(grids)} isoFLOP budgets have runs of three sizes or more, two are needed: name "
            "the budget of each run in a column 'budget', in FLOPs, or add runs"
        )
    return grids


def _minimum(fit: Fit, budget: float, sizes: np.ndarray, k: float) -> xr.DataArray:
    """Log N at the minimum of the least-squares parabola of loss in log N, NaN without one."""
    params = xr.DataArray(sizes, dims="point")
    x, centre = np.log(sizes), np.log(sizes).mean()
    solve = xr.DataArray(np.linalg.pinv(np.vander(x - centre, 3)), dims=("term", "point"))
    square, slope, _ = solve @ isoflop(fit, xr.DataArray(budget), params, k=k)
    return (centre - slope / (2 * square)).where(square > 0)


def _axis(name: str, values: Any) -> xr.DataArray:
    """Give distinct positive values the dimension and the coordinate `name`."""
    array = np.array(distinct_budgets(np.atleast_1d(values).tolist()))
    return xr.DataArray(array, dims=name, coords={name: array})
