"""Pictures of the shape of a single-axis curve."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale.curves.rule import Shape
from bayescale.curves.shape import CurveShape
from bayescale.draws import summarise
from bayescale.laws import LOSS
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    label_of,
    log_axis,
    named,
    panel,
    picture,
    save_figure,
    styled,
)

_NAMES = {
    "power_law": "power law with offset",
    "exponential": "exponential",
    "broken": "law with a break",
    "saturated_guess": "plateau at chance",
    "inverse": "increasing law",
    "flat": "constant",
}


@picture
def plot_shape(
    shape: CurveShape,
    title: str = "",
    *,
    x: str = "x",
    y: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a curve, what it looks like without a law, and the law of its label.

    Bands are central 90% credible intervals of the curve, without noise. Regimes of the law are
    shaded: near chance, where the law is within 10% of it on its way to the irreducible loss, and
    irreducible, where under 10% of the loss is reducible.

    Parameters
    ----------
    shape : CurveShape
        What `bayescale.classify_curve` returns.
    title : str, optional
        Name of the curve.
    x, y : str, optional
        Names of the axis and of the metric, with units.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if y is None:
        y = "metric" if shape.higher_is_better else LOSS.label
    with styled():
        figure, axis = panel(ax, (7.2, 4.8))
        log_axis(axis.xaxis, shape.points.x, x)
        grid = shape.draws["x"].to_numpy()
        band(axis, grid, summarise(shape.draws["reference"]), GREY, "no law (Gaussian process)")
        if shape.label != Shape.NON_MONOTONE:  # no law describes it
            band(axis, grid, summarise(shape.draws["law"]), BLUE, _NAMES[shape.law])
        _points(axis, shape)
        _regimes(axis, shape)
        if shape.chance is not None:
            axis.axhline(shape.chance, color=ORANGE, lw=1, ls=":", label="chance")
        axis.set_ylabel(f"{label_of(y)}, higher is {_better(shape)}")
        _headline(axis, shape, title)
        axis.legend(loc="best", title="median and central 90%", title_fontsize=8.5)
    return figure


def save_shape(shape: CurveShape, path: Path, title: str = "", *, x: str, y: str) -> None:
    """Draw a curve into a file, and free the picture; other parameters as in `plot_shape`.

    Parameters
    ----------
    path : Path
    """
    save_figure(plot_shape(shape, title, x=x, y=y), path)


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


def _regimes(axis: Axes, shape: CurveShape) -> None:
    """Shade the regimes that most draws have, up to the median of their ends."""
    if shape.label in (Shape.INVERSE, Shape.NON_MONOTONE) or shape.law == "flat":
        return
    x = shape.draws["x"].to_numpy()
    for name, colour, text in (
        ("near_chance_until", ORANGE, "near chance: within 10% of it"),
        ("irreducible_from", GREEN, "irreducible: under 10% reducible"),
    ):
        end = shape.draws[name]
        if float(end.isnull().mean()) < 0.5:
            other = x[0] if name == "near_chance_until" else x[-1]
            axis.axvspan(float(end.median()), other, color=colour, alpha=0.12, lw=0, label=text)


def _headline(axis: Axes, shape: CurveShape, title: str) -> None:
    """Name and label as the title, the reason under it in lines that fit."""
    reason = textwrap.wrap(shape.message, 92)
    label = str(shape.label).replace("_", " ")
    axis.set_title(f"{named(title)}: {label}" if title else label, pad=8 + 13 * len(reason))
    axis.annotate(
        "\n".join(reason),
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        size=9,
    )
