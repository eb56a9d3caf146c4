"""Pictures of how much more compute one group needs than another."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bayescale import words
from bayescale.draws import summarise
from bayescale.laws import LOSS
from bayescale.plots.style import BLUE, GREY, ORANGE, band, named, panel, picture, styled

_MOST = 100.0  # times and one hundredth are the ends of the axis


@picture
def plot_multiplier(multiplier: xr.Dataset, *, ax: Axes | None = None) -> Figure:
    """Draw the compute multiplier over target loss, harder targets to the right.

    Grey where reaching the loss takes one of the groups more compute than its largest run, or less
    than its smallest: there the curve is the law's word, mainly that of the two irreducible losses.

    Parameters
    ----------
    multiplier : xarray.Dataset
        What `bayescale.compute_multiplier` returns.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    group, reference = multiplier.attrs["group"], multiplier.attrs["reference"]
    names = named(group, 22), named(reference, 22)
    curve = summarise(multiplier["multiplier"])
    with styled():
        figure, axis = panel(ax, (7.2, 4.6))
        within = _shade(axis, multiplier)
        axis.axhline(1, color="black", lw=0.8)
        band(axis, multiplier[LOSS.column], curve.clip(1e-9, 1e9), BLUE, label="median and 90%")
        for loss in {within.max(), within.min()} if len(within) else ():
            _name(axis, loss, float(curve.sel(loss=loss, summary="median")))
        _scale(axis, curve)
        for name in (group, reference):
            _unreachable(axis, multiplier["unreachable"].sel(group=name))
        _compute_axis(axis, summarise(multiplier["flops"].sel(group=reference)), reference)
        axis.set_xlabel(f"target {LOSS.label}, harder to the right")
        axis.set_ylabel("times the compute")
        axis.set_title(f"Compute that {names[0]} needs for the loss of {names[1]}")
        axis.legend(loc="best")
    return figure


def _shade(axis: Axes, multiplier: xr.Dataset) -> np.ndarray:
    """Grey what lies outside the runs of either group; return the targets inside."""
    losses = multiplier[LOSS.column].to_numpy()
    within = losses[(multiplier["decades_beyond"] == 0).all("group").to_numpy()]
    room = 0.04 * np.ptp(losses) + 1e-3
    first, last = losses.max() + room, losses.min() - room
    axis.set_xlim(first, last)
    ends = [(first, within.max()), (within.min(), last)] if len(within) else [(first, last)]
    for left, right in ends:
        axis.axvspan(left, right, color=GREY, alpha=0.18, lw=0)
    axis.fill_between([], [], color=GREY, alpha=0.18, lw=0, label="outside the runs of one of them")
    return within


def _name(axis: Axes, loss: float, value: float) -> None:
    axis.plot(loss, value, "o", ms=5, color=BLUE)
    axis.annotate(
        f"{words.significant(value)}×",
        (loss, value),
        (0, -8),
        textcoords="offset points",
        ha="center",
        va="top",
        color=BLUE,
        weight="bold",
    )


def _scale(axis: Axes, curve: xr.DataArray) -> None:
    """Make the axis logarithmic and hold the line at 1 in view."""
    axis.set_yscale("log")
    low, high = 0.8 * float(curve.min()), 1.4 * float(curve.max())
    axis.set_ylim(min(0.8, max(1 / _MOST, low)), max(1.25, min(_MOST, high)))
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _unreachable(axis: Axes, probability: xr.DataArray) -> None:
    """Say from which target on a group probably reaches no more."""
    likely = probability.where(probability >= 0.5, drop=True)
    if likely.size == 0:
        return
    loss = float(likely[LOSS.column].max())
    axis.axvline(loss, color=ORANGE, lw=1.2, ls=":")
    axis.annotate(
        f"more likely than not, no compute\nof {named(probability['group'].item(), 25)} gets here",
        (loss, 0.03),
        (4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        rotation=90,
        color=ORANGE,
        size=8.5,
        va="bottom",
    )


def _compute_axis(axis: Axes, flops: xr.DataArray, reference: str) -> None:
    """Write the compute that the reference needs above the targets."""
    middle = flops.sel(summary="median")
    targets = middle[LOSS.column]
    losses = np.linspace(float(targets.max()), float(targets.min()), 6)
    needed = np.interp(losses, targets[::-1], np.log(middle[::-1]))
    top = axis.secondary_xaxis("top")
    top.set_xticks(losses[np.isfinite(needed)])
    top.set_xticklabels(
        [f"{np.exp(value):.0e}".replace("e+", "e") for value in needed if np.isfinite(value)]
    )
    top.set_xlabel(f"compute of {named(reference)} (FLOPs, median)", size=9)
