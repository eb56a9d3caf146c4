"""Pictures of what repeated tokens are worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from bayescale import words
from bayescale.decisions.repetition import (
    Identification,
    differs_by_size,
    effective_repetitions,
    epochs_until,
    identified,
    near_epochs,
    repetition_value,
    require_repetition,
)
from bayescale.draws import summarise
from bayescale.plots.style import band, log_axis, panel, picture, sequence, styled
from bayescale.posterior.fit import Fit

_SIZES = (1e8, 1e9, 1e10)  # of constants, which have no runs


@picture
def plot_repetition_value(
    fit: Fit, params: Sequence[float] | None = None, *, ax: Axes | None = None
) -> Figure:
    """Draw what the next token is worth after so many epochs, for a few sizes of model.

    One curve where that is the same at every size.

    Ticks below are the epochs of the runs of about that size; past the last of them the curve is
    dotted. Where the runs cannot tell R_D the dashed curve is a lower bound, the 5% quantile. The
    legend says after how many epochs a token is worth half a fresh one.

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data.
    params : sequence of float, optional
        Sizes N; by default the smallest and the largest of the runs and the one in the middle.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        If the law does not know repeated data, or the fit has groups.
    """
    require_repetition(fit)
    sizes, differs = sorted(_spanning(fit) if params is None else params), differs_by_size(fit)
    sizes = sizes if differs else sizes[:1]
    longest = 10 * float(summarise(effective_repetitions(fit, sizes)).sel(summary="median").max())
    epochs = np.geomspace(1, max(longest, 10), 200)
    curves = summarise(repetition_value(fit, sizes, list(epochs)))
    until = summarise(epochs_until(fit, sizes, 0.5).squeeze("worth"))
    with styled():
        figure, axis = panel(ax, (7.2, 4.6))
        for row, (size, colour) in enumerate(zip(sizes, sequence(len(sizes)), strict=True)):
            told, seen = identified(fit, size), near_epochs(fit, size)
            label = _label(told, until.sel(params=size), differs)
            _curve(axis, curves.sel(params=size), told, seen, colour, label)
            axis.plot(seen, np.full(len(seen), -0.04 * (row + 1)), "|", ms=7, color=colour)
        axis.axhline(0.5, color="black", lw=0.8)
        axis.axhline(0, color="#555555", lw=0.8)
        log_axis(axis.xaxis, epochs, "epochs over the same data")
        if len(fit.runs):
            whose = "the runs near each size" if differs else "the runs"
            axis.set_xlabel(f"epochs over the same data (ticks: those of {whose})")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.trimmed(value)))
        axis.set_xlim(1, epochs[-1])
        axis.set_yticks(np.linspace(0, 1, 6))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_ylabel("worth of the next token, of a fresh one")
        axis.set_title("What repeated data are worth (median and 90%)")
        axis.legend(loc="upper right", title="a token is worth half a fresh one after")
    return figure


def _curve(
    axis: Axes,
    curve: xr.DataArray,
    told: Identification,
    seen: np.ndarray,
    colour: Any,
    label: str,
) -> None:
    """Draw the worth over epochs, dotted beyond the runs; only its lower bound if that is all."""
    epochs, middle = curve["epochs"].to_numpy(), curve.sel(summary="median")
    if told.only_bound:
        bound = curve.sel(summary="q05") if told.most_repetitions else np.full(len(epochs), np.nan)
        axis.plot(epochs, bound, "--", color=colour, lw=1.5, label=label)
        return
    last = seen.max() if len(seen) else np.inf if np.isnan(told.most_repetitions) else 0.0
    band(axis, epochs, curve.where(curve["epochs"] <= last), colour, label)
    axis.fill_between(
        epochs,
        curve.sel(summary="q05"),
        curve.sel(summary="q95"),
        where=epochs > last,
        color=colour,
        alpha=0.12,
        lw=0,
    )
    axis.plot(epochs, middle.where(middle["epochs"] > last), ":", color=colour, lw=1.5)


def _label(told: Identification, half: xr.DataArray, differs: bool) -> str:
    """Say the epochs until half the worth; only the least of them where the runs cannot tell."""
    low, middle, high = (
        words.significant(float(half.sel(summary=name)), 2) for name in ("q05", "median", "q95")
    )
    size = words.trimmed(told.params) if differs else "every size"
    if not told.only_bound:
        return f"{size}: {middle} epochs" + f" ({low} to {high})" * (low != high)
    if told.most_repetitions == 0:
        return f"{size}: no run{' of that size' * differs} repeats its data"
    return f"{size}: at least {low} epochs; more is not identified"


def _spanning(fit: Fit) -> list[float]:
    """Choose the smallest and the largest size of the runs, and the one nearest their middle."""
    if len(fit.runs) == 0:
        return list(_SIZES)
    logs = np.log(np.unique(fit.runs.column("params")))
    middle = logs[np.argmin(np.abs(logs - (logs[0] + logs[-1]) / 2))]
    return [float(size) for size in np.exp(np.unique([logs[0], middle, logs[-1]]))]
