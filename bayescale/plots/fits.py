"""Pictures of runs, posteriors and allocations."""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter
from scipy.stats import gaussian_kde

from bayescale import words
from bayescale.decisions.allocation import BASIN_EXCESS, basin, compute_optimal
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.plots.style import (
    BLUE,
    GREY,
    LABELS,
    LOGARITHMIC,
    ORANGE,
    UNITS,
    band,
    label_of,
    log_axis,
    sequence,
    styled,
)
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import predict, predict_runs, with_few_draws

MOST_BARS = 2000
"""Runs that are drawn with an interval each: more hide one another."""


def plot_parameters(fit: Fit) -> Figure:
    """Posterior against prior of every parameter that is not one of the groups' own.

    Both are scaled to the same height: compare widths and places. Where the two look alike, the
    data said nothing.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For constants, which have no runs.
    """
    _require_runs(fit)
    posterior = fit.posterior
    names = [name for name in fit.parameters if "group" not in posterior[name].dims]
    with styled():
        columns = min(4, len(names))
        lines = -(-len(names) // columns)
        figure, axes = plt.subplots(
            lines, columns, figsize=(2.6 * columns, 2.1 * lines), squeeze=False
        )
        for axis, name in zip(axes.flat, names, strict=False):
            _density(axis, name, fit.prior[name], fit.posterior[name])
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def plot_isoflop(fit: Fit) -> Figure:
    """Draw runs, fitted isoFLOP curves with bands, and the path of the compute-optimal N.

    Of a law of repeated data the curves are those of fresh data, and so are the runs.

    Parameters
    ----------
    fit : Fit
        Of a joint law.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For a law that does not trade params against tokens, several groups at once, or constants.
    """
    posterior = Posterior.of_joint_law(fit)
    _require_runs(fit)
    table = fit.runs.table.assign(curve=fit.runs.budgets())
    if "unique_tokens" in fit.spec.inputs:
        table = table[table["tokens"] <= 1.01 * table["unique_tokens"]]
    budgets = np.sort(table["curve"].dropna().unique())
    if len(budgets) == 0:
        fit.runs.column("flops")  # refuses runs without
        budgets = np.geomspace(table["flops"].min(), table["flops"].max(), 5)
    with styled():
        figure, axis = plt.subplots(figsize=(7.2, 4.6))
        colours = dict(zip(budgets, sequence(len(budgets)), strict=True))
        others = table[table["curve"].isna()]
        axis.plot(others["params"], others["loss"], "o", ms=2.5, color="#c4c4c4", zorder=1)
        for budget in budgets:
            on_curve = table[table["curve"] == budget]
            _isoflop_curve(axis, posterior, budget, on_curve, colours[budget])
        path = compute_optimal(fit, list(budgets), exponents=False)
        path = summarise(path[["params", "loss"]])
        middle = path.sel(summary="median")
        axis.plot(
            middle["params"],
            middle["loss"],
            "k--",
            lw=1.2,
            marker="D",
            ms=4,
            label="compute-optimal N (posterior median)",
        )
        log_axis(axis.xaxis, table["params"], "params")
        axis.set_ylabel(LABELS["loss"])
        axis.margins(x=0.09)
        axis.set_title("Loss along isoFLOP curves (numbers: training compute in FLOPs; bands: 90%)")
        figure.legend(loc="outside lower center")
    return figure


def plot_allocation(fit: Fit, optima: xr.Dataset) -> Figure:
    """Draw N* and D* against compute; the runs' range is shaded, the asked budgets are marked.

    The line is of about 1,000 draws.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    optima : xarray.Dataset
        What `bayescale.compute_optimal` returns.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For constants, which have no runs.
    """
    _require_runs(fit)
    seen = fit.runs.column("flops")
    low, high = (
        min(seen.min(), float(optima["flops"].min())),
        max(seen.max(), float(optima["flops"].max())),
    )
    grid = np.geomspace(low, high, 40).tolist()
    few = with_few_draws(fit)
    line = compute_optimal(few, grid, k=optima.attrs["k"], exponents=False)
    line = summarise(line[["params", "tokens"]])
    points = summarise(optima[["params", "tokens"]])
    with styled():
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.9))
        for axis, name, symbol in zip(axes, ("params", "tokens"), ("N*", "D*"), strict=True):
            axis.axvspan(seen.min(), seen.max(), color="#f0ead6", label="compute of the runs", lw=0)
            band(axis, line["flops"], line[name], BLUE, label="median and 90%")
            asked = points[name]
            middle = asked.sel(summary="median")
            errors = np.abs(asked.sel(summary=["q05", "q95"]) - middle)
            axis.errorbar(
                points["flops"],
                middle,
                errors.transpose("summary", ...),
                fmt="o",
                ms=5,
                color=ORANGE,
                capsize=3,
                label="asked",
                zorder=4,
            )
            for flops, value in zip(points["flops"].to_numpy(), middle.to_numpy(), strict=True):
                axis.annotate(
                    words.count(value),
                    (flops, value),
                    (-6, 6),
                    ha="right",
                    textcoords="offset points",
                    color=ORANGE,
                    weight="bold",
                )
            axis.set_yscale("log")
            log_axis(axis.xaxis, np.array([low, high]), "flops")
            log_axis(axis.yaxis, line[name], name)
            axis.set_title(f"Compute-optimal {LABELS[name].rsplit(' ', 1)[0]} {symbol}")
        shown = axes[1].get_legend_handles_labels()
        figure.legend(*shown, loc="outside lower center", ncols=4)
    return figure


def plot_basin(fit: Fit, optima: xr.Dataset) -> Figure:
    """Draw what another size than N* costs, one panel for each budget of `optima`.

    The loss above each draw's own optimum along N at fixed compute, and the basins of N that waste
    at most 1% and 10% of the compute, 95% sure at either end.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    optima : xarray.Dataset
        What `bayescale.compute_optimal` returns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    k = optima.attrs["k"]
    posterior = Posterior.of_joint_law(fit, k)
    with styled():
        number = optima.sizes["flops"]
        figure, axes = plt.subplots(1, number, figsize=(4.6 * number + 0.4, 3.6), squeeze=False)
        for axis, flops in zip(axes.flat, optima["flops"].to_numpy(), strict=True):
            best = optima.sel(flops=flops)
            ends = summarise(basin(fit, flops, k=k).squeeze("flops"))
            for wasted, alpha in zip(BASIN_EXCESS[::-1], (0.5, 1.0), strict=True):
                low = float(ends.sel(excess=wasted, bound="lower", summary="q95"))
                high = float(ends.sel(excess=wasted, bound="upper", summary="q05"))
                if low >= high:
                    axis.plot([], [], " ", label=f"no size surely wastes below {wasted:.0%}")
                    continue
                axis.axvspan(
                    low,
                    high,
                    color="#d5ebe3",
                    alpha=alpha,
                    lw=0,
                    label=f"wastes at most {wasted:.0%}: {words.span(low, high)}",
                )
            grid = np.geomspace(float(ends.min()) / 1.8, float(ends.max()) * 1.8, 80)
            curve = posterior.isoflop(flops, xr.DataArray(grid, dims="params"))
            band(axis, grid, summarise(curve - best["loss"]), BLUE)
            low, high = summarise(best["params"]).sel(summary=["q05", "q95"]).to_numpy()
            axis.plot(
                [low, high],
                [0, 0],
                color=ORANGE,
                lw=4,
                solid_capstyle="butt",
                zorder=4,
                label=f"N*, 90%: {words.span(low, high)}",
            )
            log_axis(axis.xaxis, grid, "params")
            axis.set_ylim(bottom=-0.0015)
            axis.legend(loc="upper center")
            axis.set_title(f"Cost of another size at {words.flops(flops)} FLOPs")
        axes.flat[0].set_ylabel("loss above the optimum (nats per token)")
    return figure


def plot_curve(fit: Fit, flops: float | None = None) -> Figure:
    """Loss along the axis of a single-axis law: runs, law and new runs, both with bands.

    Parameters
    ----------
    fit : Fit
        Of a single-axis law.
    flops : float, optional
        Value of the axis to draw to, if it lies beyond ten times the largest of the runs.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For constants, which have no runs.
    """
    _require_runs(fit)
    name = fit.spec.inputs[0]
    seen = fit.runs.column(name)
    grid = np.geomspace(seen.min() / 1.2, max(seen.max() * 10, flops or 0), 120)
    with styled():
        figure, axis = plt.subplots(figsize=(7.2, 4.4))
        axis.axvspan(seen.min(), seen.max(), color="#f0ead6", lw=0, label="range of the runs")
        new = summarise(predict_runs(fit, {name: grid}))
        axis.fill_between(
            grid,
            new.sel(summary="q05"),
            new.sel(summary="q95"),
            color=GREY,
            alpha=0.2,
            lw=0,
            label="new runs, 90%",
        )
        law = summarise(predict(fit, {name: grid}))
        band(axis, grid, law, BLUE, label="law, median and 90%")
        axis.plot(seen, fit.runs.column("loss"), "o", ms=3.5, color="black", label="runs")
        log_axis(axis.xaxis, grid, name)
        axis.set_ylabel(LABELS["loss"])
        axis.legend()
        axis.set_title(f"Loss against {label_of(name)}")
    return figure


def plot_predicted(table: pd.DataFrame) -> Figure:
    """Predicted against observed loss of every run of `bayescale.posterior.prediction.residuals`.

    Of more than 2,000 runs that many are drawn, at random; numbers count all of them.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    matplotlib.figure.Figure
    """
    inside = table["loss"].between(table["predicted_q05"], table["predicted_q95"])
    drawn = table.assign(inside=inside).sample(min(len(table), MOST_BARS), random_state=0)
    title = "Predicted against observed"
    title += "" if len(drawn) == len(table) else f" ({len(drawn)} of {len(table)} runs drawn)"
    with styled():
        figure, axis = plt.subplots(figsize=(5.0, 4.4))
        ends = [table["loss"].min(), table["loss"].max()]
        axis.plot(ends, ends, color="black", lw=0.8)
        for held, colour, label in (
            (True, BLUE, "inside its interval"),
            (False, ORANGE, "outside"),
        ):
            rows = drawn[drawn["inside"] == held]
            errors = np.abs(rows[["predicted_q05", "predicted_q95"]].T - rows["fitted"])
            axis.errorbar(
                rows["loss"],
                rows["fitted"],
                errors.to_numpy(),
                fmt="o",
                ms=3,
                lw=0.8,
                color=colour,
                alpha=0.7,
                label=f"{label} ({(inside == held).sum()})",
            )
        axis.set_xlabel(f"observed {LABELS['loss']}")
        axis.set_ylabel(f"predicted {LABELS['loss']}")
        axis.legend(title=f"90% predictive intervals hold {inside.mean():.0%}", loc="upper left")
        axis.set_title(title)
    return figure


def _require_runs(fit: Fit) -> None:
    if len(fit.runs) == 0:
        raise FitError("these are given constants: there are no runs to draw; ask for answers only")


def _density(axis: Axes, name: str, prior: xr.DataArray, posterior: xr.DataArray) -> None:
    """Draw both densities at the same height, each over its own central 99%."""
    forward: Callable[[Any], Any] = np.log10 if name in LOGARITHMIC else np.asarray
    for draws, colour, alpha, label in (
        (prior, GREY, 0.35, "prior"),
        (posterior, BLUE, 0.75, "posterior"),
    ):
        values = forward(draws.to_numpy().ravel())
        first, last = np.quantile(values, (0.005, 0.995))
        if first == last:  # chains that never moved have no density
            axis.axvline(draws.to_numpy().flat[0], color=colour, label=label)
            continue
        grid = np.linspace(first, last, 200)
        height = gaussian_kde(values)(grid)
        shown = 10**grid if name in LOGARITHMIC else grid
        axis.fill_between(
            shown, height / height.max(), color=colour, alpha=alpha, lw=0, label=label
        )
    low, middle, high = (
        float(v) for v in summarise(posterior).sel(summary=["q05", "median", "q95"])
    )
    axis.plot([low, high], [-0.06, -0.06], color=BLUE, lw=3, solid_capstyle="butt")
    if name in LOGARITHMIC:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.flops(value)))
        axis.xaxis.set_minor_formatter(LogFormatter())  # says something within a decade only
    axis.set_title(f"{name} = {words.significant(middle)}")
    text = f"{words.significant(low)} to {words.significant(high)}"
    axis.set_xlabel(text + (f" {UNITS[name]}" if name in UNITS else ""))
    axis.set_yticks([])
    axis.grid(False)
    axis.spines["left"].set_visible(False)


def _isoflop_curve(
    axis: Axes, posterior: Posterior, budget: float, runs: pd.DataFrame, colour: Any
) -> None:
    sizes = runs["params"] if len(runs) else posterior.runs.table["params"]
    grid = np.geomspace(sizes.min() / 1.15, sizes.max() * 1.15, 60)
    curve = posterior.isoflop(budget, xr.DataArray(grid, dims="params"))
    band(axis, grid, summarise(curve), colour)
    axis.plot(runs["params"], runs["loss"], "o", ms=3.5, color=colour, zorder=3)
    end = float(summarise(curve).sel(summary="median")[-1])
    axis.annotate(
        f" {words.flops(budget)}",
        (grid[-1], end),
        color=colour,
        va="center",
        size=8.5,
        annotation_clip=False,
    )
