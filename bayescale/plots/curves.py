"""Pictures of the shape of a single-axis curve."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale.checks.shape import CurveShape
from bayescale.intervals import summarise
from bayescale.plots.style import BLUE, GREEN, GREY, LABELS, ORANGE, band, log_axis, styled

_NAMES = {
    "power_law": "power law with offset",
    "exponential": "exponential",
    "broken": "law with a break",
    "saturated_guess": "plateau at chance",
    "inverse": "increasing law",
    "flat": "constant",
}


def plot_shape(shape: CurveShape, title: str = "", *, x: str = "x", y: str | None = None) -> Figure:
    """Draw a curve, what it looks like without a law, and the law of its label.

    Bands are central 90% credible intervals of the curve, without noise. Regimes of the law are
    shaded: near chance, and irreducible, where the reducible share is within 10% of its end.

    Parameters
    ----------
    shape : CurveShape
        What `bayescale.classify_curve` returns.
    title : str, optional
        Name of the curve.
    x, y : str, optional
        Names of the axis and of the metric, with units.
    """
    if y is None:
        y = "metric" if shape.higher_is_better else LABELS["loss"]
    with styled():
        figure, axis = plt.subplots(figsize=(7.2, 4.8))
        log_axis(axis.xaxis, shape.points.x, x)
        grid = shape.draws["x"].to_numpy()
        band(axis, grid, summarise(shape.draws["reference"]), GREY, "no law (Gaussian process)")
        band(axis, grid, summarise(shape.draws["law"]), BLUE, _NAMES[shape.law])
        _points(axis, shape)
        _regimes(axis, shape.draws)
        if shape.chance is not None:
            axis.axhline(shape.chance, color=ORANGE, lw=1, ls=":", label="chance")
        axis.set_ylabel(f"{LABELS.get(y, y)}, higher is {_better(shape)}")
        axis.set_title(_heading(shape, title))
        axis.legend(loc="best", title="median and central 90%", title_fontsize=8.5)
    return figure


def save_shape(shape: CurveShape, path: Path, title: str = "", *, x: str, y: str) -> None:
    """Draw a curve into a file, and free the picture."""
    figure = plot_shape(shape, title, x=x, y=y)
    figure.savefig(path)
    plt.close(figure)


def _better(shape: CurveShape) -> str:
    return "better" if shape.higher_is_better else "worse"


def _points(axis: Axes, shape: CurveShape) -> None:
    """Draw the points that were judged, with two standard errors where those are known."""
    points = shape.points
    ends = np.exp(points.log_loss + np.array([[-2], [0], [2]]) * points.stderr)
    low, middle, high = np.sort(shape.metric(ends), axis=0)
    if points.known:
        whiskers = [middle - low, high - middle]
        axis.errorbar(points.x, middle, whiskers, fmt="none", ecolor="black", elinewidth=0.8)
    label = "measured, two standard errors" if points.known else "measured"
    if points.measured > len(points.x):
        label = f"means of bins of {points.measured} points"
    axis.plot(points.x, middle, "o", color="black", ms=4, label=label, zorder=3)


def _regimes(axis: Axes, draws: xr.Dataset) -> None:
    """Shade the regimes that most draws have, up to the median of their ends."""
    x = draws["x"].to_numpy()
    for name, colour, text in (
        ("near_chance_until", ORANGE, "near chance"),
        ("irreducible_from", GREEN, "irreducible"),
    ):
        ends = draws[name]
        if float(ends.isnull().mean()) >= 0.5:
            continue
        end = float(ends.median())
        left, right = (x[0], end) if name == "near_chance_until" else (end, x[-1])
        axis.axvspan(left, right, color=colour, alpha=0.1, lw=0)
        axis.annotate(
            text,
            (np.sqrt(left * right), 0.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            color=colour,
            size=9,
            weight="bold",
        )


def _heading(shape: CurveShape, title: str) -> str:
    """Name, label, and the reason, broken into lines that fit."""
    import textwrap

    first = f"{title}: {shape.label}" if title else str(shape.label)
    return "\n".join([first, *textwrap.wrap(shape.message, 90)])
