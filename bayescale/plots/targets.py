"""Pictures of accuracies of tasks: the law, planned runs, what was predicted of others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from bayescale import words
from bayescale.decisions.accuracies import Accuracies, rows_of
from bayescale.decisions.targets import usual_ratio
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.plots.fits import MOST_BARS
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    log_axis,
    named,
    picture,
    styled,
)
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import residuals, with_few_draws

_STEPS = 60
_ABREAST = 4  # panels beside one another
_PANEL = 2.45, 1.95  # inches
_SMALL = 7.5  # of letters in such a panel
_COLOURS = ORANGE, GREEN, "#CC79A7", "#56B4E9"  # of plans, Okabe and Ito (2008)
_LEAST = 3e-3  # share known beyond guessing below which a run is drawn at the edge
_ROOM = 1.6  # factor of compute left free beyond what is drawn


@picture
def plot_targets(
    accuracies: Accuracies, planned: xr.Dataset | None = None, *, farthest: float = 0.0
) -> Figure:
    """Draw the accuracy of each task over compute: the law, its runs, chance and planned runs.

    The line is of the median tokens per parameter of the runs. Each run is as far from it as from
    what the law says of the run; planned runs are where they are.

    Parameters
    ----------
    accuracies : Accuracies
    planned : xarray.Dataset, optional
        What `bayescale.planned_accuracy` returns of the same tasks.
    farthest : float, optional
        Compute to draw to, if it lies beyond ten times that of the largest run.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For constants, or runs without params and tokens.
    """
    few, ratio = _few(accuracies), usual_ratio(accuracies)
    seen = accuracies.runs.column("flops")
    ends = seen.min(), seen.max()
    if planned is not None:
        farthest = max(farthest, _ROOM * float(planned["flops"].max()))
    grid = np.geomspace(ends[0] / _ROOM, max(10 * ends[1], farthest), _STEPS)
    law = summarise(few.along(xr.DataArray(grid, dims="flops"), ratio))
    with _panels(accuracies.tasks) as (figure, axes):
        for task, axis in axes:
            axis.axvspan(*ends, color="#f0ead6", lw=0, label="range of the runs")
            own = law.sel(task=task)
            band(axis, grid, own, BLUE, label=f"law at D/N = {words.significant(ratio)}, 90%")
            _draw_chance(axis, accuracies, task)
            _draw_runs(axis, few, task, np.log(grid), own.sel(summary="median").to_numpy())
            if planned is not None:
                _draw_plans(axis, planned.sel(task=task))
            log_axis(axis.xaxis, grid, "flops")
            axis.xaxis.set_major_locator(LogLocator(numticks=5))
            axis.set_xlabel("compute (FLOPs)", size=_SMALL)
            axis.set_ylabel("accuracy", size=_SMALL)
            _shares(axis.yaxis)
    return figure


@picture
def plot_emergence(accuracies: Accuracies, task: str) -> Figure:
    """Draw one task twice: minus the log of what is known beyond guessing, and the accuracy.

    What looks like a jump of the accuracy is a smooth fall of -log Q.

    Parameters
    ----------
    accuracies : Accuracies
    task : str

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For a task that is not known, constants, or runs without params and tokens.
    """
    few, ratio = _few(accuracies.of([task])), usual_ratio(accuracies)
    seen = accuracies.runs.column("flops")
    grid = np.geomspace(seen.min() / _ROOM, 10 * seen.max(), _STEPS)
    draws = few.along(xr.DataArray(grid, dims="flops"), ratio).squeeze("task", drop=True)
    least = few.guessing().squeeze("task", drop=True)
    middle = float(least.median())
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8))
        place, moved = _moved(few, task, np.log(grid), draws.median(("chain", "draw")).to_numpy())
        for axis in (left, right):
            axis.axvspan(seen.min(), seen.max(), color="#f0ead6", lw=0, label="range of the runs")
        band(left, grid, summarise(_surprise(draws, least)), BLUE, label="law, 90%")
        known = (moved - middle) / (1 - middle) > _LEAST
        left.plot(place[known], _surprise(moved[known], middle), "o", ms=3.5, color="black")
        left.plot(
            place[~known],
            np.full((~known).sum(), -np.log(_LEAST)),
            "^",
            ms=5,
            color=GREY,
            label="runs that know no more than guessing" if (~known).any() else None,
        )
        band(right, grid, summarise(draws), BLUE, label="law, 90%")
        right.plot(place, moved, "o", ms=3.5, color="black", label="runs")
        _draw_chance(right, accuracies, task)
        for axis in (left, right):
            log_axis(axis.xaxis, grid, "flops")
            axis.legend(loc="best")
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_formatter(NullFormatter())
        left.set_ylabel("-log of the share known, Q")
        left.set_title(f"{named(task, 30)}, by -log Q")
        right.set_ylabel("accuracy")
        _shares(right.yaxis)
        right.set_title("The same, by accuracy")
    return figure


@picture
def plot_predicted_tasks(fit: Fit, table: pd.DataFrame | None = None) -> Figure:
    """Draw what is predicted of runs against what was observed, a panel a task.

    Titles count the runs inside their 90% predictive interval.

    Parameters
    ----------
    fit : Fit
        Whose groups are the tasks.
    table : pandas.DataFrame, optional
        What `bayescale.residuals` returns of other runs; by default of those of the fit.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For a fit without groups, or constants.
    """
    if not fit.groups:
        raise FitError(f"the model {fit.spec.name} has no groups: draw it with plot_predicted(fit)")
    table = residuals(fit) if table is None else table
    column, response = str(fit.spec.group), fit.spec.response.column
    labels = table[column].astype(str)
    tasks = [task for task in fit.groups if (labels == task).any()]
    inside = table[response].between(table["predicted_q05"], table["predicted_q95"])
    most = max(MOST_BARS // len(tasks), 1)
    with _panels(tasks) as (figure, axes):
        for task, axis in axes:
            rows = table[labels == task].assign(inside=inside)
            _draw_predicted(axis, rows.sample(min(len(rows), most), random_state=0), response)
            held = f"{rows['inside'].sum()} of {len(rows)}"
            axis.set_title(f"{named(task, 16)}: {held}", size=8)
            axis.set_xlabel("observed accuracy", size=_SMALL)
            axis.set_ylabel("predicted", size=_SMALL)
    return figure


def _few(accuracies: Accuracies) -> Accuracies:
    """Take about 1,000 draws: enough for the quantiles of a picture."""
    fit = with_few_draws(accuracies.fit)
    if accuracies.loss is None:
        return Accuracies.direct(fit).of(accuracies.tasks)
    return Accuracies.chain(with_few_draws(accuracies.loss), fit).of(accuracies.tasks)


@contextmanager
def _panels(tasks: Sequence[str]) -> Iterator[tuple[Figure, list[tuple[str, Axes]]]]:
    """Make a panel for each task, and at the end one legend above all of them."""
    columns = min(_ABREAST, len(tasks))
    lines = -(-len(tasks) // columns)
    width, height = _PANEL if len(tasks) > 1 else (5.8, 3.6)
    with styled():
        figure, axes = plt.subplots(
            lines, columns, figsize=(width * columns, height * lines + 0.8), squeeze=False
        )
        for axis in axes.flat[len(tasks) :]:
            axis.set_axis_off()
        shown = list(zip(tasks, axes.flat, strict=False))
        for task, axis in shown:
            axis.set_title(named(task, 20), size=9)
            axis.tick_params(labelsize=_SMALL)
        yield figure, shown
        handles: dict[str, Any] = {}
        for _, axis in shown:
            found = axis.get_legend_handles_labels()
            handles |= dict(zip(found[1], found[0], strict=True))
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=3, fontsize=8.5
        )


def _shares(axis: Any) -> None:
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _surprise(accuracy: Any, least: Any) -> Any:
    """Minus the log of the share that is known beyond guessing."""
    return -np.log(np.clip((accuracy - least) / (1 - least), 1e-12, 1.0))


def _draw_chance(axis: Axes, accuracies: Accuracies, task: str) -> None:
    if task in accuracies.chance:
        level = accuracies.chance[task]
        axis.axhline(level, color="black", lw=0.9, ls=":", label="chance")


def _moved(
    few: Accuracies, task: str, grid: np.ndarray, line: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute of the runs of a task, and their accuracies moved onto a line over its log."""
    runs, column = few.fit.runs, few.fit.spec.response.column
    if not {"params", "tokens"} <= set(runs.table.columns):
        return np.array([]), np.array([])
    table = rows_of(few.fit, task)
    params, tokens = (table[name].to_numpy(dtype=float) for name in (runs.counted, "tokens"))
    fitted = few.of([task]).at(params, tokens).median(("chain", "draw")).squeeze("task")
    place = few.k * params * tokens
    observed = table[column].to_numpy(dtype=float)
    moved = np.interp(np.log(place), grid, line) + observed - fitted.to_numpy()
    return place, np.clip(moved, 0.0, 1.0)


def _draw_runs(axis: Axes, few: Accuracies, task: str, grid: np.ndarray, line: np.ndarray) -> None:
    place, moved = _moved(few, task, grid, line)
    if len(place):
        axis.plot(place, moved, "o", ms=2.2, color="black", label="runs, at D/N of the line")


def _draw_plans(axis: Axes, planned: xr.Dataset) -> None:
    """Draw the planned runs: median and 90% of the law, each of the first few in its colour."""
    law = summarise(planned["accuracy"])
    for place, name in enumerate(planned["plan"].to_numpy()):
        few = planned.sizes["plan"] <= len(_COLOURS)
        low, middle, high = law.sel(plan=name, summary=["q05", "median", "q95"]).to_numpy()
        axis.errorbar(
            float(planned["flops"].sel(plan=name)),
            middle,
            [[middle - low], [high - middle]],
            fmt="D",
            ms=3.5,
            lw=1.4,
            color=_COLOURS[place] if few else ORANGE,
            label=named(name) if few else "planned runs",
            zorder=4,
        )


def _draw_predicted(axis: Axes, rows: pd.DataFrame, response: str) -> None:
    low = float(min(rows[response].min(), rows["predicted_q05"].min()))
    high = float(max(rows[response].max(), rows["predicted_q95"].max()))
    axis.plot([low, high], [low, high], color="black", lw=0.8)
    for held, colour, label in ((True, BLUE, "inside its interval"), (False, ORANGE, "outside")):
        own = rows[rows["inside"] == held]
        if own.empty:
            continue
        errors = np.abs(own[["predicted_q05", "predicted_q95"]].T - own["fitted"]).to_numpy()
        axis.errorbar(
            own[response],
            own["fitted"],
            errors,
            fmt="o",
            ms=2.2,
            lw=0.8,
            color=colour,
            alpha=0.7,
            label=label,
        )
    _shares(axis.xaxis)
    _shares(axis.yaxis)
