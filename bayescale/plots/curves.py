"""Pictures of single-axis curves: points, what they look like without a law, and where they go."""

import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale import words
from bayescale.curves.answer import best_of, forecast_of, regimes_of
from bayescale.curves.forecasts import CurveForecast
from bayescale.curves.mixture import CurvePosterior
from bayescale.curves.points import Metric
from bayescale.curves.shape import CurveShape
from bayescale.curves.table import Curve
from bayescale.draws import summarise
from bayescale.errors import RunsError
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    label_of,
    legend_below,
    log_axis,
    named,
    panel,
    picture,
    styled,
)

_GRID = 81
_DECADE = 10.0  # largest over smallest value from which on a metric is on a log axis
_ROOM = 0.05  # share of the range left free above and below
_LETTERS = 18.5  # of the reason, to an inch of the panel
_TITLE = 0.62  # letters of the title in the room of one of the reason


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
        _draw(axis, shape, x, y)
        legend_below(axis, alone=ax is None, ncols=4)
        _headline(axis, [title, words.spaced(shape.label)], "", shape.message)
    return figure


@picture
def plot_forecast(
    one: CurveForecast | Curve, *, x: str = "x", y: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a curve as `plot_shape` does, and beyond its points as far as was asked.

    Whiskers, where a forecast was asked for, are central 90% intervals of a new noisy point. A
    curve that has no forecast is drawn as far as it goes, with the reason; of one that falls and
    ends rising the best x is marked.

    Parameters
    ----------
    one : CurveForecast or Curve
        A curve for which no forecast was asked may be given as it is.
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
    curve = one.curve if isinstance(one, CurveForecast) else one
    draws = one.draws if isinstance(one, CurveForecast) else None
    if curve.shape is None:
        raise RunsError(f"{curve.name} cannot be drawn: {curve.message}")
    new, best = None if draws is None else draws["new"], best_of(curve, named(x))
    said = best or ("" if one is curve else "no forecast")
    reasons = [one.message] if curve.message in one.message else [one.message, curve.message]
    with styled():
        figure, axis = panel(ax, (7.2, 4.8))
        _draw(axis, curve.shape, x, y, new, curve.top)
        if best and curve.sweep is not None:
            ends = curve.sweep.best["q05"], curve.sweep.best["q95"]
            axis.axvspan(*ends, color=GREEN, alpha=0.25, lw=0, label="best x, 90%")
        legend_below(axis, alone=ax is None, ncols=4)
        said = said if new is None else _farthest(new, curve.top, x)
        reason = "; ".join(filter(None, reasons))
        _headline(axis, [curve.name, words.spaced(curve.label)], said, reason)
    return figure


def _draw(
    axis: Axes,
    shape: CurveShape,
    x: str,
    y: str | None,
    new: xr.DataArray | None = None,
    top: float = np.nan,
) -> None:
    """Draw points, bands and regimes, as far as new points are asked for."""
    first, last = shape.points.x[[0, -1]].tolist()
    far = last if new is None else float(new["at"].max())
    log_axis(axis.xaxis, [first, far], x)
    grey = summarise(shape.draws["reference"])
    band(axis, shape.draws["x"].to_numpy(), grey, GREY, "no law, 90%")
    seen = [_points(axis, shape), grey.to_numpy().ravel()]
    if shape.posterior is not None:
        seen.append(_law(axis, shape, shape.posterior, far))
    if new is not None:
        seen.append(_beyond(axis, new, top))
    for name, ends in regimes_of(shape).items():
        colour = GREEN if name == "irreducible" else ORANGE
        axis.axvspan(*ends, color=colour, alpha=0.12, lw=0, label=name)
    if shape.bump is not None:
        axis.axvspan(shape.bump.first, shape.bump.last, color=GREY, alpha=0.25, lw=0, label="bump")
    if shape.chance is not None:
        axis.axhline(shape.chance, color=ORANGE, lw=1, ls=":", label="chance")
        seen.append(np.array([shape.chance]))
    _metric_axis(axis, shape, y, np.concatenate(seen))


def _law(axis: Axes, shape: CurveShape, posterior: CurvePosterior, far: float) -> np.ndarray:
    """Draw the laws up to some x, pale where the points hardly count; return what must be seen."""
    grid = np.geomspace(shape.points.x[0], far, _GRID)
    drawn = shape.metric.of_loss(np.exp(posterior.log_loss(grid)))
    counted = grid >= posterior.counted_from * (1 - 1e-9)
    start = max(int(counted.argmax()) - 1, 0)
    far_from_top, rest = slice(start + 1), slice(start, None)
    seen = []
    for mass, alpha in ((90, 0.18), (50, 0.3)):
        low, high = np.percentile(drawn, [50 - mass / 2, 50 + mass / 2], axis=0)
        for part, strength, label in ((far_from_top, 0.25, None), (rest, 1.0, f"law, {mass}%")):
            at, ends = grid[part], (low[part], high[part])
            axis.fill_between(at, *ends, color=BLUE, alpha=strength * alpha, lw=0, label=label)
        seen.append(np.concatenate(ends))
    middle = np.median(drawn, axis=0)
    axis.plot(grid[rest], middle[rest], color=BLUE, lw=1.8, label="law, median")
    if start:
        label = "points hardly count"
        axis.plot(grid[far_from_top], middle[far_from_top], color=BLUE, lw=1.2, ls=":", label=label)
    return np.concatenate(seen)


def _metric_axis(axis: Axes, shape: CurveShape, y: str | None, seen: np.ndarray) -> None:
    """Label what was measured, and leave room for what must be seen; by log where over a decade."""
    low, high = float(seen.min()), float(seen.max())
    y = y or ("loss" if shape.metric is Metric.LOSS else "metric")
    label = y if y == "loss" else label_of(y)  # nobody said that it is in nats per token
    if shape.metric is not Metric.SHARE and low > 0 and high > _DECADE * low:
        log_axis(axis.yaxis, seen, label)
        axis.set_ylabel(label)
        room = (high / low) ** _ROOM
        axis.set_ylim(low / room, high * room)
        return
    axis.set_ylabel(f"{label}, higher is better" if shape.metric is Metric.SHARE else label)
    if high > low:
        room = _ROOM * (high - low)
        axis.set_ylim(low - room, high + room)


def _points(axis: Axes, shape: CurveShape) -> np.ndarray:
    """Draw the points that were judged, with two standard errors where those are known."""
    points = shape.points
    ends = np.exp(points.log_loss + np.array([[-2], [0], [2]]) * points.stderr)
    low, middle, high = np.sort(shape.metric.of_loss(ends), axis=0)
    if points.known:
        whiskers = [middle - low, high - middle]
        axis.errorbar(points.x, middle, whiskers, fmt="none", ecolor="black", elinewidth=0.8)
    label = "measured ± 2 errors" if points.known else "measured"
    seen = [low, high]
    if points.raw is not None:
        label, dense = "means of bins", shape.metric.of_loss(np.exp(points.raw.log_loss))
        axis.plot(points.raw.x, dense, ".", color=GREY, ms=2.5, label=f"{len(dense)} measured")
        seen.append(np.quantile(dense, [0.01, 0.99]))
    axis.plot(points.x, middle, "o", color="black", ms=4, label=label, zorder=3)
    return np.concatenate(seen)


def _beyond(axis: Axes, new: xr.DataArray, top: float) -> np.ndarray:
    """Draw the central 90% of a new noisy point wherever one was asked for."""
    low, middle, high = np.quantile(new, [0.05, 0.5, 0.95], axis=(0, 1))
    whiskers = [middle - low, high - middle]
    at, label = new["at"].to_numpy(), "new point, 90%"
    axis.errorbar(at, middle, whiskers, fmt="D", ms=4, color=BLUE, capsize=3, lw=1.2, label=label)
    axis.axvline(top, color=GREY, lw=1, ls=":")
    axis.annotate(
        "end of the points ", (top, 0.02), xycoords=("data", "axes fraction"), size=8, ha="right"
    )
    return np.concatenate([low, high])


def _farthest(new: xr.DataArray, top: float, x: str) -> str:
    """Say the farthest forecast, and how far beyond the points it lies."""
    at = float(new["at"].max())
    low, middle, high = np.quantile(new.sel(at=at), [0.05, 0.5, 0.95])
    own = {"x": at, "decades_beyond": np.log10(at / top), "q05": low, "median": middle, "q95": high}
    return forecast_of(own, named(x))


def _headline(axis: Axes, titles: list[str], forecast: str, reason: str) -> None:
    """Name, label and forecast as the title, the reason under it, in lines that the panel holds."""
    figure, (name, label) = axis.get_figure(root=True), titles
    assert figure is not None
    room = int(_LETTERS * axis.get_position().width * figure.get_figwidth())
    title = f"{named(name, 60)}: {label}" if name else label
    lines = textwrap.wrap(reason, room)
    above = (line for one in (title, forecast) for line in textwrap.wrap(one, int(_TITLE * room)))
    axis.set_title("\n".join(above), pad=8 + 12 * len(lines))
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
