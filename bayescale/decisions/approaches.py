r"""The other ways to the compute-optimal model, beside the joint law ("Approach 3").

Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models", section 3: the lower
envelope over training curves ("Approach 1"), the minima of isoFLOP profiles ("Approach 2", by the
model ``isoflop-profiles``) and what a parabola for each of them gets wrong, and all side by side.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import (
    compute_optimal,
    distinct_budgets,
    profile_optima,
    require_profiles,
)
from bayescale.decisions.answer import Answer
from bayescale.draws import numbers
from bayescale.errors import FitError, RunsError
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import parts_of
from bayescale.runs.isoflops import on_isoflops
from bayescale.runs.table import Runs

FEWEST_SIZES = 4
"""Sizes on the envelope that a power law through them needs."""

ENVELOPE, PROFILES, JOINT = "envelope (1)", "profiles (2)", "joint law (3)"
"""Names of the approaches of Hoffmann et al. (2022), by their numbers there."""

_GRID = 1500  # values of compute at which Hoffmann et al. look for the best run
_PRIOR_POINTS, _PRIOR_SCATTER = 2.0, 0.1


@typed
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


@typed
def minima(fit: Fit) -> xr.DataArray:
    """N* of every budget that has runs, each budget's own scatter about the power law included.

    Parameters
    ----------
    fit : Fit
        Of the model ``isoflop-profiles``, or another of its law.

    Returns
    -------
    xarray.DataArray
        Params, dims (chain, draw, group); beside the names of the groups a coordinate ``flops``,
        the budget.

    Raises
    ------
    FitError
        For a fit of another law, or of one budget.
    """
    require_profiles(fit)
    posterior = fit.posterior
    budget = posterior["group"].astype(float)
    params = posterior["G"] * budget ** posterior["a"]
    return params.assign_coords(flops=("group", budget.to_numpy())).transpose(
        "chain", "draw", "group"
    )


@typed
def compare_approaches(
    fit: Fit,
    flops: float | Sequence[float],
    *,
    profiles: Fit | None = None,
    envelope_runs: Runs | None = None,
    draws: int = 4000,
    seed: int = 1,
    k: float | None = None,
) -> xr.Dataset:
    r"""Compute-optimal models by the three approaches of Hoffmann et al. (2022), side by side.

    The draws of two approaches are paired at random, as if the approaches had runs of their own.
    They rest on the same runs, so that the noise they share makes them look more uncertain of each
    other than they are: a disagreement that shows nevertheless is one of the models. The first two
    take their law as exact, the joint law as far as its model does.

    Parameters
    ----------
    fit : Fit
        Of a joint law of params and tokens without groups ("Approach 3").
    flops : float or sequence of float
        Training budgets C.
    profiles : Fit, optional
        Of ``isoflop-profiles`` to `on_isoflops` of the runs ("Approach 2").
    envelope_runs : Runs, optional
        Checkpoints for `envelope` ("Approach 1"); by default the runs of the fit. Where every run
        has one row, the final losses of runs of equal size are joined.
    draws, seed : int
        Number of draws of every approach, and the seed of their choice.
    k : float, optional
        FLOPs per parameter and token, C = k N D, for all approaches; by default what the runs of
        the fit say, else 6.

    Returns
    -------
    xarray.Dataset
        Dim ``approach``, "envelope (1)", "profiles (2)" and "joint law (3)" as far as they can be
        had. Dims (chain, draw, approach, flops), one chain: ``params`` N*, ``tokens`` D*,
        ``tokens_per_param``, and ``a``, the exponent of N* in C. Dim ``pair`` of approaches, with
        coordinates ``first`` and ``second``: ``disagreement`` (chain, draw, pair, flops), log of
        the first N* over the second; ``first_larger`` (pair, flops), the probability that it is
        positive. Attributes ``k``, and ``left_out``: the approaches that cannot be had and why, one
        a line.

    Raises
    ------
    FitError
        If the joint fit has groups or no allocation, `profiles` is of another law, or a budget is
        not positive.
    """
    if fit.groups:
        raise FitError(
            f"the joint fit has the groups {', '.join(fit.groups)}: compare the approaches in one "
            "of them, with fit.of_group(name)"
        )
    k = fit.runs.flops_per_param_token if k is None else k
    found, missing = {}, {}
    try:
        found[ENVELOPE] = _any_envelope(
            fit.runs if envelope_runs is None else envelope_runs, flops, k
        )
    except RunsError as error:
        missing[ENVELOPE] = str(error)
    if profiles is not None:
        found[PROFILES] = profile_optima(profiles, flops, k=k)
    else:
        missing[PROFILES] = _why_no_profiles(fit.runs)
    found[JOINT] = compute_optimal(fit, flops, k=k)
    rng = np.random.default_rng(seed)
    chosen = [_resampled(optima, draws, rng) for optima in found.values()]
    both = xr.concat(chosen, dim=pd.Index(list(found), name="approach"))
    left_out = "\n".join(f"{name}: {reason}" for name, reason in missing.items())
    return (
        xr.merge([both, _disagreement(both["params"])])
        .transpose("chain", "draw", "approach", "pair", "flops")
        .assign_attrs(k=k, left_out=left_out)
    )


@typed
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
    at_budgets = compute_optimal(fit, list(grids), k=k, exponents=False)["params"].rename(
        flops="budget"
    )
    at_asked = compute_optimal(fit, asked.values.tolist(), k=k, exponents=False)["params"]
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


def _any_envelope(runs: Runs, flops: float | Sequence[float], k: float) -> xr.Dataset:
    """Approach 1 over checkpoints, or over the final losses where that is all there is."""
    distinct = runs.table.drop_duplicates(["run", LOSS.column])  # a copied row is no checkpoint
    checkpoints = bool(distinct["run"].duplicated().any())
    return envelope(runs, flops, curve="run" if checkpoints else "params", k=k)


def _why_no_profiles(runs: Runs) -> str:
    """Say what is missing: the fit, or the budgets."""
    try:
        on_isoflops(runs)
    except RunsError as error:
        return str(error)
    return (
        "no fit of the profiles is given; pass profiles=fit(on_isoflops(runs), 'isoflop-profiles')"
    )


def _resampled(optima: xr.Dataset, draws: int, rng: np.random.Generator) -> xr.Dataset:
    """Choose draws at random, each once where there are enough."""
    alike = optima[["params", "tokens", "tokens_per_param"]]
    alike = alike.assign(a=optima["a"].broadcast_like(alike["params"]))
    flat = alike.stack(all=("chain", "draw"), create_index=False).transpose("all", "flops")
    flat = flat.drop_vars(("chain", "draw"), errors="ignore")
    taken = rng.choice(flat.sizes["all"], draws, replace=flat.sizes["all"] < draws)
    return flat.isel(all=taken).rename(all="draw").expand_dims("chain")


def _disagreement(params: xr.DataArray) -> xr.Dataset:
    """Log ratio of N* of every pair of approaches."""
    names = params["approach"].to_numpy()
    pairs = np.array(list(combinations(range(len(names)), 2)), dtype=int).reshape(-1, 2)
    logs = xr.ufuncs.log(params).drop_vars("approach")
    first, second = (logs.isel(approach=("pair", side)) for side in pairs.T)
    ratio = (first - second).assign_coords(
        first=("pair", names[pairs[:, 0]]), second=("pair", names[pairs[:, 1]])
    )
    return xr.Dataset({"disagreement": ratio, "first_larger": (ratio > 0).mean(("chain", "draw"))})


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
    return dict(zip(("params", "flops", LOSS.column), np.array(rows).T, strict=True))


def _crosses(log_loss: np.ndarray, edge: int, step: int) -> bool:
    """Whether another size is the best beyond an edge and both were measured on both sides."""
    beyond = edge + step
    if not 0 <= beyond < log_loss.shape[1]:
        return False
    two = [log_loss[:, edge].argmin(), log_loss[:, beyond].argmin()]
    return bool(np.isfinite(log_loss[np.ix_(two, [edge, beyond])]).all())


def _curves(runs: Runs, curve: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, a grid of log C, and the least log loss of each size there: inf where no curve is.

    Only the sizes that are the best somewhere, at most one for each value of the grid.
    """
    if curve not in runs.table:
        raise RunsError(
            f"no column {curve!r} tells the training curves apart; the columns are "
            f"{', '.join(runs.table.columns)}"
        )
    columns = {name: runs.column(name) for name in ("params", "flops", LOSS.column)}
    table = pd.DataFrame({"curve": runs.table[curve].to_numpy(), **columns})
    by = ["curve", "params", "flops"]  # which sorts as well
    table = table.groupby(by, as_index=False)[LOSS.column].min()
    table = table.assign(x=np.log(table["flops"]), y=np.log(table[LOSS.column]))
    ends = table["x"].min(), table["x"].max()
    grid = np.linspace(*ends, _GRID)
    # One point is a curve nowhere on the grid but at its ends.
    table = table[table.duplicated(["curve", "params"], keep=False) | table["x"].isin(ends)]
    best, lowest = np.full(_GRID, np.nan), np.full(_GRID, np.inf)
    for params, least in _least(table, grid):
        lower = least < lowest
        best[lower], lowest[lower] = params, least[lower]
    kept = dict(_least(table[table["params"].isin(best)], grid))
    return np.array(list(kept)), grid, np.stack(list(kept.values()))


def _least(table: pd.DataFrame, grid: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Least log loss of each size on a grid of log C, the sizes ascending."""
    for params, of_size in table.groupby("params"):
        curves = [
            np.interp(grid, rows["x"], rows["y"], left=np.inf, right=np.inf)
            for _, rows in of_size.groupby("curve")
        ]
        yield params, np.min(curves, axis=0)


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
    posterior = Posterior.of_joint_law(fit, k)
    square, slope, _ = sum(
        solve.isel(point=part) @ posterior.isoflop(budget, params.isel(point=part))
        for part in parts_of(fit, len(sizes))
    )
    return (centre - slope / (2 * square)).where(square > 0)


def _axis(name: str, values: Any) -> xr.DataArray:
    """Give distinct positive values the dimension and the coordinate `name`."""
    array = np.array(distinct_budgets(np.atleast_1d(values).tolist()))
    return xr.DataArray(array, dims=name, coords={name: array})


@typed
def answer_approaches(fit: Fit, found: xr.Dataset) -> Answer:
    """Say what `compare_approaches` found: the exponents, and what a parabola would get wrong.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    found : xarray.Dataset

    Returns
    -------
    Answer
        Numbers: ``approaches``.
    """
    result = plain({"approaches": _approach_numbers(fit, found)})
    said = (_exponents_sentence, _parabola_sentence)
    sentences = [say(result["approaches"]) for say in said]
    return Answer.by(fit, numbers=result, sentences=sentences, draws=found)


def _approach_numbers(fit: Fit, found: xr.Dataset) -> dict[str, Any]:
    names = [str(name) for name in found["approach"].to_numpy()]
    bias = parabola_bias(fit, found["flops"].to_numpy().tolist())["tokens_error"]
    return {
        "a": {name: numbers(found["a"].isel(flops=0).sel(approach=name)) for name in names},
        "optima": [
            {
                "flops": float(flops),
                "approach": name,
                **{
                    quantity: numbers(found[quantity].sel(flops=flops, approach=name))
                    for quantity in ("params", "tokens", "tokens_per_param")
                },
            }
            for flops in found["flops"].to_numpy()
            for name in names
        ],
        "disagreement": [
            {
                "flops": float(flops),
                "first": str(pair["first"].item()),
                "second": str(pair["second"].item()),
                "log_ratio": numbers(pair["disagreement"].sel(flops=flops)),
                "p_first_larger": float(pair["first_larger"].sel(flops=flops)),
            }
            for flops in found["flops"].to_numpy()
            for pair in (found.isel(pair=i) for i in range(found.sizes["pair"]))
        ],
        "parabola_tokens_error": [
            {"flops": float(flops), **numbers(bias.sel(flops=flops))}
            for flops in bias["flops"].to_numpy()
        ],
        "left_out": [line for line in str(found.attrs["left_out"]).splitlines() if line],
    }


def _exponents_sentence(entry: dict[str, Any]) -> str:
    """Say the exponents side by side, and whether any two approaches disagree."""
    exponents = ", ".join(
        f"{words.significant(a['median'])} "
        f"({words.span(a['q05'], a['q95'], 'plain')}) by the {name}"
        for name, a in entry["a"].items()
    )
    apart = [
        f"{pair['first']} and {pair['second']} at {words.flops(pair['flops'])} FLOPs"
        for pair in entry["disagreement"]
        if None not in pair["log_ratio"].values()
        and not pair["log_ratio"]["q05"] <= 0 <= pair["log_ratio"]["q95"]
    ]
    verdict = f"They disagree: {'; '.join(apart)}" if apart else "Their N* agree within intervals"
    return f"The exponent of N* in compute is {exponents}. {verdict}."


def _parabola_sentence(entry: dict[str, Any]) -> str:
    """Say what a parabola for each budget would get wrong on the grid of these runs."""
    error = max(entry["parabola_tokens_error"], key=lambda at: at["flops"])
    return (
        "As published, Approach 2 fits parabolas: on the sizes of these runs they would miss D* at "
        f"{words.flops(error['flops'])} FLOPs by {error['median']:+.1%} ({error['q05']:+.1%} to "
        f"{error['q95']:+.1%}), were the joint law true."
    )
