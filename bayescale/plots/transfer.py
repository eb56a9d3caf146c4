"""Picture of whether the best value of a setting moves along width, depth or tokens."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bayescale import words
from bayescale.draws import summarise
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    legend_below,
    log_axis,
    named,
    panel,
    picture,
    styled,
)

_STEPS, _ROOM = 40, 1.15


@picture
def plot_transfer(found: xr.Dataset, *, ax: Axes | None = None) -> Figure:
    """Draw the best value of a setting along an axis, and the region that counts as the same.

    A triangle is a group whose best run has the smallest or largest value tried: a bound.

    Parameters
    ----------
    found : xarray.Dataset
        What `bayescale.transfer` returns.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    along, knob, region = (found.attrs[name] for name in ("axis", "knob", "region"))
    groups, to = found["group"].to_numpy(), found["to"].to_numpy()
    with styled():
        figure, axis = panel(ax, (6.4, 4.6))
        grid = np.geomspace(groups[0], max([groups[-1], *to]), _STEPS)
        first = float(found["best"].isel(group=0).median())
        same = (
            f"within {words.significant(region)} times that of {named(along, 16)} {_at(groups[0])}"
        )
        axis.axhspan(first / region, first * region, color=GREEN, alpha=0.14, lw=0, label=same)
        ratio = xr.DataArray(grid / groups[0], dims="at")
        trend = summarise(found["trend"].isel(group=0) * ratio ** found["slope"])
        band(axis, grid, trend, BLUE, label="trend, median and 90%")
        axis.vlines(
            groups, found["lowest"], found["highest"], color=GREY, lw=5, alpha=0.25, label="tried"
        )
        _groups(axis, found)
        if len(to):
            _points(axis, to, summarise(found["best_to"]), ORANGE, "D", "predicted, nobody has run")
        _scale(axis, [groups[0] / _ROOM, grid[-1] * _ROOM], along, knob)
        axis.set_title(_title(found))
        legend_below(axis, alone=ax is None, ncols=2)
    return figure


def _groups(axis: Axes, found: xr.Dataset) -> None:
    """Draw the best value of each group; a bound where the best run is at an end."""
    best, tried = summarise(found["best"]), found["best_tried"].to_numpy()
    low, high = tried <= found["lowest"].to_numpy(), tried >= found["highest"].to_numpy()
    for chosen, mark, label in (
        (~low & ~high, "o", "best of each group, 90%"),
        (low, "v", "the lowest tried was best: an upper bound"),
        (high & ~low, "^", "the highest tried was best: a lower bound"),
    ):
        if chosen.any():
            own = best.isel(group=np.flatnonzero(chosen))
            _points(axis, own["group"].to_numpy(), own, "black", mark, label)


def _points(
    axis: Axes, at: np.ndarray, best: xr.DataArray, colour: str, mark: str, label: str
) -> None:
    low, middle, high = (best.sel(summary=name).to_numpy() for name in ("q05", "median", "q95"))
    errors = [middle - low, high - middle]
    axis.errorbar(at, middle, errors, fmt=mark, ms=5, lw=1.3, color=colour, label=label, zorder=4)


def _scale(axis: Axes, ends: list[float], along: str, knob: str) -> None:
    log_axis(axis.xaxis, ends, along)
    axis.set_xlim(*ends)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _at(value)))
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_ylabel(f"best {named(knob)}")


def _title(found: xr.Dataset) -> str:
    low, middle, high = (
        float(summarise(found["slope"]).sel(summary=name)) for name in ("q05", "median", "q95")
    )
    knob, along = named(found.attrs["knob"], 24), named(found.attrs["axis"], 24)
    return f"Best {knob}\nas {along} to the power {middle:.2f} ({low:.2f} to {high:.2f})"


def _at(value: float) -> str:
    return f"{value:g}" if value < 1e5 else words.trimmed(value)
