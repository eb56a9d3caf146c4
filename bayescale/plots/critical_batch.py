"""Pictures of critical batch sizes: steps to a target over the batch, and how they grow."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale import words
from bayescale.decisions.critical_batch import (
    MORE,
    axis_of,
    batch_at,
    batches_along,
    critical_batches,
    steps_along,
)
from bayescale.draws import CI_PROB, summarise
from bayescale.plots.style import BLUE, ORANGE, band, label_of, log_axis, picture, sequence, styled
from bayescale.posterior.fit import Fit
from bayescale.runs.steps import CURVE

_STEPS, _PLACES = 60, 20  # of the laws of curves, and of the trend, each a model without runs
_ROOM = 1.5  # factor left free beyond what is drawn
_TITLE: dict[str, Any] = {"x": 0.01, "ha": "left", "size": 10.5}
_WIDTH, _HEIGHT = 5.2, 4.2  # inches of a panel
_MARKS = {"noise": "B_noise", "over_base": "{more} over {base}", "more_tokens": "{more} over least"}


@picture
def plot_critical_batch(
    fit: Fit, at: float | None = None, *, more: float = MORE, base: float | None = None
) -> Figure:
    """Draw steps to the target over the batch size of each curve, and how critical ones grow.

    Left: runs, the law of each curve and a diamond at its B_noise, where both steps and tokens are
    twice their least. Right, of a model with a trend: B_noise and the batch size at some more
    tokens along the axis, of the curves and in bands of models without runs.

    Parameters
    ----------
    fit : Fit
        Of the law ``critical_batch``.
    at : float, optional
        Value of the axis to draw to, where it lies beyond the curves.
    more : float, optional
        Share of tokens more.
    base : float, optional
        Batch size from which these are counted; by default from the fewest of all.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels. One where the curves follow no axis.

    Raises
    ------
    FitError
        For a fit of another law.
    """
    found, axis = critical_batches(fit), axis_of(fit)
    with styled():
        number = 1 if axis is None else 2
        figure, panels = plt.subplots(1, number, figsize=(_WIDTH * number, _HEIGHT), squeeze=False)
        _draw_steps(panels[0, 0], fit, found)
        if axis is not None:
            _draw_growth(panels[0, 1], fit, found, axis, at, more, base)
        figure.suptitle(f"Steps to a target loss (median and {CI_PROB:.0%} interval)", **_TITLE)
    return figure


def _draw_steps(panel: Axes, fit: Fit, found: xr.Dataset) -> None:
    """Draw runs, laws and critical batch sizes of the curves."""
    batch, runs = fit.spec.inputs[0], fit.runs.table
    names = [str(name) for name in found["curve"].to_numpy()]
    ends = runs[batch].min() / _ROOM, runs[batch].max() * _ROOM
    grid = np.geomspace(*ends, _STEPS)
    for name, colour in zip(names, sequence(len(names)), strict=True):
        own = found.sel(curve=name)
        seen = runs[runs[CURVE].astype(str) == name] if fit.groups else runs
        band(panel, grid, summarise(steps_along(own, grid)), colour, label=name)
        panel.plot(seen[batch], seen["steps"], "o", ms=3.5, color=colour)
        middle = own[["B_noise", "S_min"]].median()
        panel.plot(middle["B_noise"], 2 * middle["S_min"], "D", ms=7, mfc="white", color=colour)
    panel.plot([], [], "D", ms=7, mfc="white", color="black", label="B_noise")
    log_axis(panel.xaxis, grid, batch)
    log_axis(panel.yaxis, runs["steps"], "steps")
    panel.set_xlabel(f"batch size ({batch.removeprefix('batch_')})")
    panel.set_ylabel("steps to the target loss")
    panel.legend(fontsize=8, frameon=False)


def _draw_growth(
    panel: Axes,
    fit: Fit,
    found: xr.Dataset,
    axis: str,
    at: float | None,
    more: float,
    base: float | None,
) -> None:
    """Draw critical batch sizes of the curves, and bands of models without runs."""
    places = found["axis"].to_numpy()
    low, high = places.min(), places.max()
    ends = min(low, at or low) / _ROOM**0.5, max(high, at or high) * _ROOM**0.5
    grid = np.geomspace(*ends, _PLACES)
    panel.axvspan(low, high, color="#f0ead6", lw=0, label="range of the curves")
    trend, own = (
        batch_at(noise, more, base) for noise in (batches_along(fit, grid), found["B_noise"])
    )
    second = "more_tokens" if base is None else "over_base"
    said = {"more": f"{100 * more:.3g}%", "base": "" if base is None else words.count(base)}
    for name, colour in (("noise", BLUE), (second, ORANGE)):
        band(panel, grid, summarise(trend[name]), colour, label=_MARKS[name].format(**said))
        _bars(panel, places, summarise(own[name]), colour)
    log_axis(panel.xaxis, ends, axis)
    drawn: Any = [summarise(trend[name]) for name in ("noise", second)]
    log_axis(panel.yaxis, np.concatenate([one.to_numpy().ravel() for one in drawn]), "batch size")
    panel.set_xlabel(label_of(axis).replace("_", " "))
    panel.set_ylabel(f"batch size ({fit.spec.inputs[0].removeprefix('batch_')})")
    panel.legend(fontsize=8, frameon=False)


def _bars(panel: Axes, places: np.ndarray, summary: xr.DataArray, colour: Any) -> None:
    low, middle, high = (summary.sel(summary=n).to_numpy() for n in ("q05", "median", "q95"))
    panel.errorbar(
        places, middle, yerr=[middle - low, high - middle], fmt="o", ms=4, color=colour, lw=1.2
    )
