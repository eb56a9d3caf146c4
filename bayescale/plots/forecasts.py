"""Pictures of curves and of where they go beyond their range."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale import words
from bayescale.curves.forecasts import CurveForecast
from bayescale.errors import RunsError
from bayescale.laws import LOSS
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    label_of,
    log_axis,
    named,
    panel,
    picture,
    save_figure,
    styled,
)

_COLOURS = {
    "power law": (ORANGE, "--"),
    "chance level": (GREEN, "--"),
    "drifting power law": (ORANGE, ":"),
    "drifting chance level": (GREEN, ":"),
}


@picture
def plot_forecast(
    one: CurveForecast, *, x: str = "x", y: str = LOSS.column, ax: Axes | None = None
) -> Figure:
    """Draw the points of a curve, and the laws beyond them.

    Bands are central 50% and 90% credible intervals of the pooled curve, without the noise of
    single points; whiskers, where a forecast was asked for, are those of a new noisy point. Thin
    lines are the medians of the laws that are pooled.

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
        If the curve was refused.
    """
    if one.forecast is None:
        raise RunsError(f"{one.name} has no forecast: {one.message}")
    draws, points = one.forecast.draws, one.forecast.posterior.points
    grid = draws["grid"].to_numpy()
    law = one.metric(draws["law"].to_numpy().reshape(-1, len(grid)))
    member = draws["member"].to_numpy().ravel()
    with styled():
        figure, axis = panel(ax, (7.2, 4.6))
        log_axis(axis.xaxis, grid, x)
        for mass, alpha in ((90, 0.18), (50, 0.3)):
            ends = np.percentile(law, [50 - mass / 2, 50 + mass / 2], axis=0)
            axis.fill_between(
                grid, *ends, color=BLUE, alpha=alpha, lw=0, label=f"{mass}% of the curve"
            )
        axis.plot(grid, np.median(law, axis=0), color=BLUE, lw=1.8, label="median")
        for name, (colour, style) in _COLOURS.items():
            middle = np.median(law[member == name], axis=0)
            axis.plot(grid, middle, color=colour, ls=style, lw=1.0, label=name)
        _asked(axis, one)
        shown = "measured" if len(points.x) == one.measured else f"means of {one.measured} points"
        axis.plot(
            points.x, one.metric(np.exp(points.log_loss)), "o", color="black", ms=4, label=shown
        )
        axis.axvline(one.top, color=GREY, lw=1, ls=":")
        axis.annotate(
            " end of the points", (one.top, 0.02), xycoords=("data", "axes fraction"), size=8
        )
        axis.set_ylabel(label_of(y))
        axis.set_title(f"{named(one.name, 70)}\n{_headline(one)}")
        axis.legend(loc="best", ncols=2, fontsize=8)
    return figure


def save_forecast(one: CurveForecast, path: Path, *, x: str, y: str) -> None:
    """Draw a forecast into a file, and free the picture; other parameters as in `plot_forecast`.

    Parameters
    ----------
    path : Path
    """
    save_figure(plot_forecast(one, x=x, y=y), path)


def _asked(axis: Axes, one: CurveForecast) -> None:
    """Draw the central 90% of a new noisy point wherever one was asked for."""
    assert one.forecast is not None
    loss = one.forecast.draws[LOSS.column]
    values = one.metric(loss.to_numpy().reshape(-1, loss.sizes["at"]))
    low, middle, high = np.percentile(values, [5, 50, 95], axis=0)
    at = loss["at"].to_numpy()
    whiskers = [middle - low, high - middle]
    axis.errorbar(
        at, middle, whiskers, fmt="o", ms=4, color=BLUE, capsize=3, lw=1.2, label="90% of a point"
    )


def _headline(one: CurveForecast) -> str:
    """Say the farthest forecast, how far beyond it lies, and how steep the curve is."""
    assert one.forecast is not None
    loss = one.forecast.draws[LOSS.column]
    far = int(np.argmax(loss["at"].to_numpy()))
    at = float(loss["at"][far])
    low, middle, high = np.percentile(one.metric(loss.isel(at=far).to_numpy()), [5, 50, 95])
    return (
        f"{words.significant(middle)} [{words.significant(low)}, "
        f"{words.significant(high)}] at {words.count(at)}, "
        f"{np.log10(at / one.top):.2f} decades beyond; P(rising at the top) "
        f"{one.forecast.p_rising:.2f}"
    )
