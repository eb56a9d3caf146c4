"""Pictures of decisions: serving, plans, next runs, the end of the data."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayescale import words
from bayescale.decisions.next_runs import NextRuns
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.laws import LOSS
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    log_axis,
    named,
    panel,
    picture,
    styled,
)
from bayescale.runs.table import Runs

_KNOWN = {"GPT-3": 2.0, "Chinchilla": 20.0, "Llama 3 70B": 215.0}
"""Tokens per parameter of published models (Brown et al. 2020, Hoffmann et al. 2022, Dubey et al.
2024)."""


def around(values: Sequence[float], *, points: int = 25) -> list[float]:
    """Log-spaced values from a tenth of the least of those asked to ten times the largest.

    Parameters
    ----------
    values : sequence of float
    points : int, optional

    Returns
    -------
    list of float
        Ascending.
    """
    asked = [value for value in values if value > 0] or [1e12]
    return np.geomspace(min(asked) / 10, max(asked) * 10, points).tolist()


@picture
def plot_overtraining(found: xr.Dataset) -> Figure:
    """Draw how far past compute-optimal to train, and what that saves, over tokens served.

    Parameters
    ----------
    found : xarray.Dataset
        What `bayescale.cheapest` returns for many positive numbers of tokens served.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    served = found["inference_tokens"]
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
        for axis in (left, right):
            log_axis(axis.xaxis, served, "tokens")
            axis.set_xlabel("tokens served over the model's life T")
        band(left, served, summarise(found["tokens_per_param"]), BLUE)
        log_axis(left.yaxis, [1.0, 1e3], "tokens_per_param")
        left.set_ylabel("tokens per parameter of the cheapest model")
        for name, ratio in _KNOWN.items():
            left.axhline(ratio, color=GREY, lw=0.8, ls="--")
            left.annotate(
                name, (0.01, ratio), xycoords=("axes fraction", "data"), size=8, va="bottom"
            )
        left.set_title("The more it serves, the longer it is trained")
        band(right, served, summarise(found["saved"]), GREEN)
        right.axhline(0, color="black", lw=0.8)
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        right.set_ylabel("saved against the compute-optimal model")
        right.set_title("What that saves of training and serving")
    return figure


@picture
def plot_cost(sizes: xr.Dataset, found: xr.Dataset, *, ax: Axes | None = None) -> Figure:
    """Draw the cost of reaching a loss over the size of the model, training and serving together.

    Parameters
    ----------
    sizes : xarray.Dataset
        What `bayescale.at_size` returns for many sizes.
    found : xarray.Dataset
        What `bayescale.cheapest` returns for the same target and number of tokens served.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        If none of the sizes reaches the target in half of the draws.
    """
    unit = sizes.attrs["unit"]
    best = summarise(found["params"].squeeze("inference_tokens"))
    cost = summarise(sizes["cost"])
    reached = np.isfinite(cost.sel(summary="median").to_numpy())
    if not reached.any():
        raise FitError("none of these sizes reaches the target in half of the draws: none to draw")
    sizes, cost = sizes.isel(params=reached), cost.isel(params=reached)
    least = float(cost.sel(summary="q05").min())
    cost = cost.clip(max=1e3 * least)  # infinite where not every draw reaches the loss
    with styled():
        figure, axis = panel(ax, (7.2, 4.4))
        band(axis, sizes["params"], cost, BLUE, label="training and serving")
        training = sizes["training"].median(("chain", "draw"))
        axis.plot(sizes["params"], training, color=GREY, label="training alone, median")
        axis.axvspan(
            *(float(best.sel(summary=end)) for end in ("q05", "q95")),
            color=GREEN,
            alpha=0.2,
            lw=0,
            label="cheapest size, 90%",
        )
        ends = float(training.min()) / 1.3, 20 * least  # ever smaller sizes cost ever more
        log_axis(axis.yaxis, ends, "flops")
        axis.set_ylim(*ends)
        log_axis(axis.xaxis, sizes["params"], "params")
        axis.set_ylabel(f"cost ({unit})")
        served = float(found["inference_tokens"].squeeze())
        axis.set_title(f"Cost of the target loss with {words.trimmed(served)} tokens served")
        axis.legend()
    return figure


@picture
def plot_plans(ranked: xr.Dataset) -> Figure:
    """Draw what each plan loses against the best one, and how surely each is the best.

    Parameters
    ----------
    ranked : xarray.Dataset
        What `bayescale.rank_plans` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    order = ranked["expected_regret"].argsort().to_numpy()[::-1]
    plans = ranked.isel(plan=order)
    place = np.arange(plans.sizes["plan"])
    regret = summarise(plans["regret"])
    with styled():
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(9.6, 1.6 + 0.5 * len(place)), sharey=True, width_ratios=(2, 1)
        )
        left.barh(place, plans["expected_regret"], color=BLUE, height=0.55, label="expected")
        left.hlines(
            place,
            regret.sel(summary="q05"),
            regret.sel(summary="q95"),
            color="black",
            lw=1.2,
            label="90%",
        )
        left.set_yticks(place, [named(plan) for plan in plans["plan"].to_numpy()])
        left.set_xlabel(f"regret ({ranked.attrs['loss_unit']} above the best plan)")
        left.set_title("What a plan loses if another one is best")
        left.legend()
        right.barh(place, plans["p_best"], color=GREEN, height=0.55)
        right.set_xlim(0, 1)
        right.xaxis.set_major_formatter(PercentFormatter(1.0))
        right.set_xlabel("probability of being the best")
        right.set_title("How surely")
    return figure


@picture
def plot_next_runs(suggestion: NextRuns, runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draw what each affordable run alone would tell, the runs there are, and those to make next.

    Parameters
    ----------
    suggestion : NextRuns
        What `bayescale.suggest_runs` returns.
    runs : Runs
        Those of the fit.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    candidates, picks = suggestion.candidates, suggestion.picks
    with styled():
        figure, axis = panel(ax, (7.6, 5.0))
        shades = axis.scatter(
            candidates["params"],
            candidates["tokens"],
            c=candidates["reduction"],
            cmap="viridis",
            s=26,
            marker="s",
            lw=0,
            vmin=0.0,
        )
        seen = [runs.column(name) for name in (runs.counted, "tokens")]
        axis.plot(*seen, ".", color=GREY, ms=6, label="runs")
        axis.plot(
            picks["params"],
            picks["tokens"],
            "o",
            mfc="none",
            mec=ORANGE,
            mew=2,
            ms=13,
            label="next",
        )
        _number(axis, picks["params"].to_numpy(), picks["tokens"].to_numpy())
        names = zip(("params", "tokens"), seen, strict=True)
        both = [np.concatenate([candidates[name], own]) for name, own in names]
        log_axis(axis.xaxis, both[0], "params")
        log_axis(axis.yaxis, both[1], "tokens")
        bar = figure.colorbar(shades, ax=axis, format=PercentFormatter(1.0))
        bar.set_label(f"variance of {named(suggestion.quantity)}\nthat one run alone removes")
        axis.set_title("Where a run would tell most")
        axis.legend(loc="upper right")
    return figure


@picture
def plot_wall(found: xr.Dataset) -> Figure:
    """Draw the loss that a budget reaches with the unique tokens there are, and the epochs made.

    Parameters
    ----------
    found : xarray.Dataset
        What `bayescale.best_under_wall` returns for many budgets.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    flops = found["flops"]
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
        band(left, flops, summarise(found[LOSS.column]), BLUE, label="with the data there are")
        band(left, flops, summarise(found["fresh_loss"]), GREY, label="if all data were fresh")
        left.set_ylabel(f"best {LOSS.label}")
        left.set_title("What the end of the data costs")
        left.legend()
        band(right, flops, summarise(found["epochs"]), BLUE)
        log_axis(right.yaxis, found["epochs"].clip(min=0.1), "epochs")
        right.set_ylabel("epochs of the best model")
        right.set_title("How often to repeat them")
        for axis in (left, right):
            log_axis(axis.xaxis, flops, "flops")
    return figure


def _number(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    for place, (across, up) in enumerate(zip(x, y, strict=True), start=1):
        axis.annotate(
            str(place), (across, up), ha="center", va="center", color=ORANGE, weight="bold"
        )
