"""Pictures of runs, posteriors and allocations."""

from collections.abc import Callable, Mapping
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
from bayescale.decisions.predictions import inputs_in_json, inputs_in_words, middle_run, resized
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.laws import LOSS
from bayescale.plots.style import (
    BLUE,
    GREY,
    LABELS,
    ORANGE,
    band,
    label_of,
    legend_below,
    log_axis,
    named,
    panel,
    picture,
    response_axis,
    sequence,
    styled,
    unit_of,
)
from bayescale.posterior.describe import labelled
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import predict, predict_runs, residuals, with_few_draws

_WIDE = 100.0  # a parameter whose prior is wider than this factor is drawn on a log axis
_LARGE = 1e6  # numbers from which on are written as 3e20

MOST_BARS = 2000
"""Runs that are drawn with an interval each: more hide one another."""


@picture
def plot_parameters(fit: Fit) -> Figure:
    """Draw posterior against prior of every parameter that is not one of the groups' own.

    Both are scaled to the same height: compare widths and places. Where the two look alike, the
    data said nothing.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For constants, which have no runs.
    """
    _require_runs(fit)
    names = [name for name in fit.parameters if "group" not in fit.posterior[name].dims]
    prior, shown = dict(labelled(fit.prior[names])), dict(labelled(fit.posterior[names]))
    with styled():
        columns = min(4, len(shown))
        lines = -(-len(shown) // columns)
        figure, axes = plt.subplots(
            lines, columns, figsize=(2.6 * columns, 2.1 * lines), squeeze=False
        )
        for axis, (name, draws) in zip(axes.flat, shown.items(), strict=False):
            _density(axis, name, prior[name], draws, unit_of(name, fit.spec.response))
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def isoflops_of(fit: Fit) -> pd.Series:
    """Say on which isoFLOP curve of a picture each run lies: of few runs, curves of three count.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    pandas.Series
        FLOPs, NaN off the curves.
    """
    found = fit.runs.budgets()
    return found if found.notna().any() else fit.runs.budgets(sizes=3)


@picture
def plot_isoflop(fit: Fit, *, ax: Axes | None = None) -> Figure:
    """Draw runs, fitted isoFLOP curves with bands, and the path of the compute-optimal N.

    Of a law of repeated data the curves are those of fresh data, and so are the runs. Of a law that
    reads more, each run is as far from its curve as from what the law says of it.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

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
    (size,), (data,), own = *map(fit.spec.law.role, ("size", "data")), fit.spec.response
    table = fit.runs.table.assign(curve=isoflops_of(fit))
    if fit.spec.law.further:
        law = posterior.loss(*(xr.DataArray(table[n], dims="run") for n in (size, data)))
        line = law.median(("chain", "draw")).to_numpy()
        table = table.assign(**{own.column: moved_onto(fit, line)})
    if "unique_tokens" in fit.spec.inputs:
        table = table[table["tokens"] <= 1.01 * table["unique_tokens"]]
    budgets = np.sort(table["curve"].dropna().unique())
    if len(budgets) == 0:
        fit.runs.column("flops")  # refuses runs without
        budgets = np.geomspace(table["flops"].min(), table["flops"].max(), 5)
    with styled():
        figure, axis = panel(ax, (7.2, 4.6))
        colours = dict(zip(budgets, sequence(len(budgets)), strict=True))
        others = table[table["curve"].isna()]
        some = len(others) < len(table)  # else these are all that there is to see
        dots, colour = (2.5, "#c4c4c4") if some else (4.0, GREY)
        axis.plot(others[size], others[own.column], "o", ms=dots, color=colour, zorder=1)
        for budget in budgets:
            on_curve = table[table["curve"] == budget]
            points = on_curve[size].to_numpy(), on_curve[own.column].to_numpy()
            _isoflop_curve(axis, posterior, budget, points, table[size], colours[budget])
        path = compute_optimal(fit, list(budgets), exponents=False)
        path = summarise(path[["params", LOSS.column]])
        middle = path.sel(summary="median")
        axis.plot(
            middle["params"],
            middle[LOSS.column],
            "k--",
            lw=1.2,
            marker="D",
            ms=4,
            label="compute-optimal N (posterior median)",
        )
        log_axis(axis.xaxis, table[size], "params")
        axis.set_xlabel(label_of(size))
        axis.set_ylabel(named(own.label))
        axis.margins(x=0.09)
        title = f"{named(own.name).capitalize()} along isoFLOP curves"
        axis.set_title(f"{title} (numbers: training compute in FLOPs; bands: 90%)")
        legend_below(axis, alone=ax is None)
    return figure


@picture
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
        Of several panels.

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
            errors = abs(asked.sel(summary=["q05", "q95"]) - middle)
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
                # To the left of the first stand the axis's own numbers.
                first = flops < low * (high / low) ** 0.15
                axis.annotate(
                    words.count(value),
                    (flops, value),
                    (8, -1) if first else (-6, 6),
                    ha="left" if first else "right",
                    va="center" if first else "baseline",
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


@picture
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
        Of several panels.
    """
    k = optima.attrs["k"]
    posterior, own = Posterior.of_joint_law(fit, k), fit.spec.response
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
            band(axis, grid, summarise(curve - best[LOSS.column]), BLUE)
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
        axes.flat[0].set_ylabel(f"{named(own.name)} above the optimum ({named(own.unit)})")
    return figure


@picture
def plot_curve(fit: Fit, farthest: float | None = None, *, ax: Axes | None = None) -> Figure:
    """Draw what the law says along the size of the runs: runs, law and new runs, with bands.

    Of a law of more inputs than its axis the others lie in the middle of the runs, knobs at their
    best; a size and data that are traded grow in proportion. Grey are the runs as they are, black
    what the law makes of them at these inputs: as far from the line as each is from its own.

    Parameters
    ----------
    fit : Fit
        Of one law, without groups or of one group.
    farthest : float, optional
        Size to draw to, if it lies beyond ten times the largest of the runs.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For constants, which have no runs, and a law that reads a mixture alone.
    """
    _require_runs(fit)
    fit, own, name = with_few_draws(fit), fit.spec.response, fit.spec.size
    if not name:
        raise FitError(
            f"the model {fit.spec.name} reads a mixture alone: see plot_mixture, plot_optimum"
        )
    seen, observed = fit.runs.column(name), fit.runs.table[own.column].to_numpy(dtype=float)
    grid = np.geomspace(seen.min() / 1.2, max(seen.max() * 10, farthest or 0), 120)
    middle = middle_run(fit)
    at = resized(fit, middle, grid)
    law, new = summarise(predict(fit, at)), summarise(predict_runs(fit, at))
    others = _others(fit, middle)
    with styled():
        figure, axis = panel(ax, (5.8, 3.9))
        axis.axvspan(seen.min(), seen.max(), color="#f0ead6", lw=0, label="range of the runs")
        axis.fill_between(
            grid,
            new.sel(summary="q05"),
            new.sel(summary="q95"),
            color=GREY,
            alpha=0.2,
            lw=0,
            label="new runs, 90%",
        )
        band(axis, grid, law, BLUE, label="law, median and 90%")
        black, label = observed, "runs"
        if others:
            axis.plot(seen, observed, "o", ms=2.5, color="#c4c4c4", zorder=1, label="runs")
            line = np.interp(np.log(seen), np.log(grid), law.sel(summary="median"))
            black, label = moved_onto(fit, line), "runs at the inputs of the line"
        axis.plot(seen, black, "o", ms=3.5, color="black", label=label)
        _chance(axis, fit)
        log_axis(axis.xaxis, grid, name)
        response_axis(axis.yaxis, own, np.concatenate([observed, law.to_numpy().ravel()]))
        axis.legend()
        title = f"{named(own.name).capitalize()} against {label_of(name)}"
        axis.set_title(title + (f"\nat {named(others, 90)}" if others else ""))
    return figure


def _others(fit: Fit, at: Mapping[str, Any]) -> str:
    """Say what the inputs beside the size are; empty where there are none."""
    law, given = fit.spec.law, inputs_in_json(fit, at)
    free = [n for n in law.role("knob") if n not in given]
    along = (*law.role("size"), *law.role("data"), *law.role("unique")) if law.trades else ()
    known = {*along, fit.spec.size, *fit.spec.constants}
    said = [
        *([f"D/N = {given[along[1]] / given[along[0]]:.3g}"] if along else []),
        *(
            [inputs_in_words(rest)]
            if (rest := {n: v for n, v in given.items() if n not in known})
            else []
        ),
        *(f"the best {name}" for name in free),
    ]
    return ", ".join(said)


def moved_onto(fit: Fit, line: np.ndarray) -> np.ndarray:
    """Put each run as far from a line as it lies from what the law says of it.

    Parameters
    ----------
    fit : Fit
    line : numpy.ndarray
        What the line says at the place of each run.

    Returns
    -------
    numpy.ndarray
    """
    own = fit.spec.response
    moved = np.asarray(own.back(own.onto(line) + residuals(fit)["residual"].to_numpy()))
    return np.clip(moved, 0, 1) if own.scale == "share" else moved


def _chance(axis: Axes, fit: Fit) -> None:
    """Draw the share that guessing gets right, where all runs have one."""
    chance = fit.spec.constants.get("chance")
    if chance is not None:
        axis.axhline(chance, color=ORANGE, lw=1, ls=":", label="chance")


@picture
def plot_predicted(
    fit: Fit, table: pd.DataFrame | None = None, *, ax: Axes | None = None
) -> Figure:
    """Draw what is predicted of every run against what was observed.

    Of more than 2,000 runs that many are drawn, at random; numbers count all of them.

    Parameters
    ----------
    fit : Fit
    table : pandas.DataFrame, optional
        What `bayescale.residuals` returns of other runs; by default of those of the fit.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For constants, which have no runs; for a table that is none of `bayescale.residuals`.
    """
    own = fit.spec.response
    if table is None:
        _require_runs(fit)
        table = residuals(fit)
    lacks = [n for n in (own.column, "fitted", "predicted_q05", "predicted_q95") if n not in table]
    if lacks:
        raise FitError(
            f"the table lacks {', '.join(lacks)}; give bayescale.residuals(fit, runs) of other runs"
        )
    observed = table[own.column]
    inside = observed.between(table["predicted_q05"], table["predicted_q95"])
    drawn = table.assign(inside=inside).sample(min(len(table), MOST_BARS), random_state=0)
    title = "Predicted against observed"
    title += "" if len(drawn) == len(table) else f" ({len(drawn)} of {len(table)} runs drawn)"
    with styled():
        figure, axis = panel(ax, (5.0, 4.4))
        ends = [observed.min(), observed.max()]
        axis.plot(ends, ends, color="black", lw=0.8)
        for held, colour, label in (
            (True, BLUE, "inside its interval"),
            (False, ORANGE, "outside"),
        ):
            rows = drawn[drawn["inside"] == held]
            errors = np.abs(rows[["predicted_q05", "predicted_q95"]].T - rows["fitted"])
            axis.errorbar(
                rows[own.column],
                rows["fitted"],
                errors.to_numpy(),
                fmt="o",
                ms=3,
                lw=0.8,
                color=colour,
                alpha=0.7,
                label=f"{label} ({(inside == held).sum()})",
            )
        response_axis(axis.xaxis, own, ends, f"observed {named(own.label)}")
        response_axis(axis.yaxis, own, ends, f"predicted {named(own.label)}")
        axis.legend(title=f"90% predictive intervals hold {inside.mean():.0%}", loc="upper left")
        axis.set_title(title)
    return figure


def _require_runs(fit: Fit) -> None:
    if len(fit.runs) == 0:
        raise FitError("these are given constants: there are no runs to draw; ask for answers only")


def _density(
    axis: Axes, name: str, prior: xr.DataArray, posterior: xr.DataArray, unit: str
) -> None:
    """Draw both densities at the same height, each over its own central 99%."""
    ends = prior.quantile([0.05, 0.95]).to_numpy()
    logarithmic = 0 < _WIDE * ends[0] < ends[1]
    forward: Callable[[Any], Any] = np.log10 if logarithmic else np.asarray
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
        shown = 10**grid if logarithmic else grid
        axis.fill_between(
            shown, height / height.max(), color=colour, alpha=alpha, lw=0, label=label
        )
    low, middle, high = (
        float(v) for v in summarise(posterior).sel(summary=["q05", "median", "q95"])
    )
    axis.plot([low, high], [-0.06, -0.06], color=BLUE, lw=3, solid_capstyle="butt")
    if logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.flops(value)))
        axis.xaxis.set_minor_formatter(LogFormatter())  # says something within a decade only
    large = max(abs(low), abs(high)) >= _LARGE
    write = words.flops if large else words.significant
    axis.set_title(f"{named(name, 20)} = {write(middle)}")
    axis.set_xlabel(f"{write(low)} to {write(high)} {named(unit)}".rstrip())
    axis.set_yticks([])
    axis.grid(False)
    axis.spines["left"].set_visible(False)


def _isoflop_curve(
    axis: Axes,
    posterior: Posterior,
    budget: float,
    points: tuple[np.ndarray, np.ndarray],
    of_all: pd.Series,
    colour: Any,
) -> None:
    sizes = points[0] if len(points[0]) else of_all
    grid = np.geomspace(sizes.min() / 1.15, sizes.max() * 1.15, 60)
    curve = posterior.isoflop(budget, xr.DataArray(grid, dims="params"))
    band(axis, grid, summarise(curve), colour)
    axis.plot(*points, "o", ms=3.5, color=colour, zorder=3)
    end = float(summarise(curve).sel(summary="median")[-1])
    axis.annotate(
        f" {words.flops(budget)}",
        (grid[-1], end),
        color=colour,
        va="center",
        size=8.5,
        annotation_clip=False,
    )
