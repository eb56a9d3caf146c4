"""Pictures of single-axis curves: points, what they look like without a law, and where they go."""

import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale import words
from bayescale.curves.answer import forecast_of, regimes_of
from bayescale.curves.forecasts import CurveForecast
from bayescale.curves.points import Metric
from bayescale.curves.shape import CurveShape
from bayescale.draws import summarise
from bayescale.errors import RunsError
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
    styled,
)

_GRID = 81
_DECADE = 10.0  # largest over smallest value from which on a metric is on a log axis
_LINE = 104  # letters of a line of the reason


@picture
def plot_shape(
    shape: CurveShape,
    title: str = "",
    *,
    x: str = "x",
    y: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a curve, what it looks like without a law, and the laws that explain it.

    Blue bands are central 50% and 90% credible intervals of the curve, without noise; the grey one
    is that of the curve without a law. Regimes are shaded: near chance, where the curve is within a
    tenth of the way from there to the irreducible loss, and irreducible, where under 10% of the
    loss is reducible.

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
    with styled():
        figure, axis = panel(ax, (7.2, 4.8))
        _curve(axis, shape, x, y, shape.points.x[-1])
        _headline(axis, [title, words.spaced(shape.label)], "", shape.message)
    return figure


@picture
def plot_forecast(
    one: CurveForecast, *, x: str = "x", y: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a curve as `plot_shape` does, and beyond its points as far as was asked.

    Whiskers, where a forecast was asked for, are central 90% intervals of a new noisy point. A
    curve that has no forecast is drawn as far as it goes, with the reason.

    Parameters
    ----------
    one : CurveForecast
    x, y : str, optional
        Names of the axis and of the metric, with units.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RunsError
        If the curve was refused, or is too short to have a shape.
    """
    shape = one.curve.shape
    if shape is None:
        raise RunsError(f"{one.name} has no forecast: {one.message}")
    new = None if one.draws is None else one.draws["new"]
    far = shape.points.x[-1] if new is None else float(new["at"].max())
    with styled():
        figure, axis = panel(ax, (7.2, 4.8))
        _curve(axis, shape, x, y, far)
        if new is not None:
            _beyond(axis, new, one.curve.top)
        said = "no forecast" if new is None else _farthest(new, one.curve.top, x)
        both = (one.message, one.curve.message)
        reason = one.message if both[1] in both[0] else "; ".join(filter(None, both))
        _headline(axis, [one.name, words.spaced(shape.label)], said, reason)
    return figure


def _curve(axis: Axes, shape: CurveShape, x: str, y: str | None, far: float) -> None:
    """Draw points, bands and regimes up to some x."""
    first, last = shape.points.x[[0, -1]]
    log_axis(axis.xaxis, [first, max(far, last)], x)
    grey = summarise(shape.draws["reference"])
    band(axis, shape.draws["x"].to_numpy(), grey, GREY, "without a law, 90%")
    shown = [_points(axis, shape), grey.to_numpy().ravel()]
    if shape.posterior is not None:
        grid = np.geomspace(first, max(far, last), _GRID)
        drawn = shape.metric.of_loss(np.exp(shape.posterior.log_loss(grid)))
        for mass, alpha in ((90, 0.18), (50, 0.3)):
            ends = np.percentile(drawn, [50 - mass / 2, 50 + mass / 2], axis=0)
            axis.fill_between(grid, *ends, color=BLUE, alpha=alpha, lw=0, label=f"law, {mass}%")
            shown.append(ends.ravel())
        axis.plot(grid, np.median(drawn, axis=0), color=BLUE, lw=1.8, label="law, median")
    for name, ends in regimes_of(shape).items():
        colour = GREEN if name == "irreducible" else ORANGE
        axis.axvspan(*ends, color=colour, alpha=0.12, lw=0, label=name)
    if shape.chance is not None:
        axis.axhline(shape.chance, color=ORANGE, lw=1, ls=":", label="chance")
    _metric_axis(axis, shape, y, np.concatenate(shown))
    axis.legend(loc="best", fontsize=8.5, ncols=2)


def _metric_axis(axis: Axes, shape: CurveShape, y: str | None, values: np.ndarray) -> None:
    """Label what was measured; by log where it is no share and goes over a decade."""
    label = y or (LOSS.label if shape.metric is Metric.LOSS else "metric")
    if shape.metric is Metric.SHARE:
        label = f"{label_of(label)}, higher is better"
    elif values.min() > 0 and values.max() > _DECADE * values.min():
        log_axis(axis.yaxis, values, label)
        return
    axis.set_ylabel(label_of(label))


def _points(axis: Axes, shape: CurveShape) -> np.ndarray:
    """Draw the points that were judged, with two standard errors where those are known."""
    points = shape.points
    ends = np.exp(points.log_loss + np.array([[-2], [0], [2]]) * points.stderr)
    low, middle, high = np.sort(shape.metric.of_loss(ends), axis=0)
    if points.known:
        whiskers = [middle - low, high - middle]
        axis.errorbar(points.x, middle, whiskers, fmt="none", ecolor="black", elinewidth=0.8)
    label = "measured, two standard errors" if points.known else "measured"
    if points.measured > len(points.x):
        label = f"means of bins of {points.measured} points"
    axis.plot(points.x, middle, "o", color="black", ms=4, label=label, zorder=3)
    return np.concatenate([low, high])


def _beyond(axis: Axes, new: xr.DataArray, top: float) -> None:
    """Draw the central 90% of a new noisy point wherever one was asked for."""
    low, middle, high = np.quantile(new, [0.05, 0.5, 0.95], axis=(0, 1))
    whiskers = [middle - low, high - middle]
    at, label = new["at"].to_numpy(), "a new point, 90%"
    axis.errorbar(at, middle, whiskers, fmt="D", ms=4, color=BLUE, capsize=3, lw=1.2, label=label)
    axis.axvline(top, color=GREY, lw=1, ls=":")
    axis.annotate(
        "end of the points ", (top, 0.02), xycoords=("data", "axes fraction"), size=8, ha="right"
    )


def _farthest(new: xr.DataArray, top: float, x: str) -> str:
    """Say the farthest forecast, and how far beyond the points it lies."""
    at = float(new["at"].max())
    low, middle, high = np.quantile(new.sel(at=at), [0.05, 0.5, 0.95])
    own = {"x": at, "decades_beyond": np.log10(at / top), "q05": low, "median": middle, "q95": high}
    return forecast_of(own, named(x))


def _headline(axis: Axes, titles: list[str], forecast: str, reason: str) -> None:
    """Name, label and forecast as the title, the reason under it in lines that fit."""
    name, label = titles
    title = f"{named(name, 60)}: {label}" if name else label
    lines = textwrap.wrap(reason, _LINE)
    axis.set_title("\n".join(filter(None, (title, forecast))), pad=8 + 12 * len(lines))
    axis.annotate(
        "\n".join(lines),
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        size=8.5,
        color="#444444",
    )
