"""Pictures of what is best: the value of a knob, or the shares of a mixture."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayescale import words
from bayescale.decisions.predictions import inputs_in_words
from bayescale.draws import summarise
from bayescale.plots.fits import moved_onto
from bayescale.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    band,
    legend_below,
    log_axis,
    named,
    panel,
    picture,
    response_axis,
    styled,
)
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import predict, with_few_draws

_STEPS = 80


@picture
def plot_optimum(fit: Fit, found: xr.Dataset, *, ax: Axes | None = None) -> Figure:
    """Draw where the best value of a knob lies, or the shares of the best mixture.

    Of a knob the law along it, the runs (each as far from the line as from what the law says of
    it), and the best value. Of a mixture its best shares beside those of the runs.

    Parameters
    ----------
    fit : Fit
    found : xarray.Dataset
        What `bayescale.optimum` returns of the fit.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with styled():
        if found.attrs["over"] in fit.spec.law.role("shares"):
            return _mixture(fit, found, ax)
        return _knob(fit, found, ax)


def _title(found: xr.Dataset, best: str) -> str:
    at = found.attrs["at"]
    return best + (f"\nat {named(inputs_in_words(at), 90)}" if at else "")


def _knob(fit: Fit, found: xr.Dataset, ax: Axes | None) -> Figure:
    over, own = found.attrs["over"], fit.spec.response
    logged = fit.spec.law.input(over).scale == "log"
    grid = (np.geomspace if logged else np.linspace)(*fit.ends_of(over), _STEPS)
    seen = fit.runs.table[over].to_numpy(dtype=float)
    law = summarise(predict(with_few_draws(fit), {**found.attrs["at"], over: grid}))
    points = moved_onto(fit, np.interp(seen, grid, law.sel(summary="median")))
    low, middle, high = summarise(found["best"]).sel(summary=["q05", "median", "q95"]).to_numpy()
    figure, axis = panel(ax, (7.2, 4.4))
    axis.axvspan(seen.min(), seen.max(), color="#f0ead6", lw=0, label="range of the runs")
    ends = f"{words.significant(low)} to {words.significant(high)}"
    axis.axvspan(low, high, color=ORANGE, alpha=0.25, lw=0, label=f"best, 90%: {ends}")
    axis.axvline(middle, color=ORANGE, lw=1.2)
    band(axis, grid, law, BLUE, label="law, median and 90%")
    axis.plot(seen, points, "o", ms=3.5, color="black", label="runs at these other inputs")
    if logged:
        log_axis(axis.xaxis, grid, over)
    axis.set_xlabel(named(over))
    response_axis(axis.yaxis, own, np.concatenate([points, law.to_numpy().ravel()]))
    axis.legend()
    axis.set_title(_title(found, f"The best {named(over)} is {words.significant(middle)}"))
    return figure


def _mixture(fit: Fit, found: xr.Dataset, ax: Axes | None) -> Figure:
    over = found.attrs["over"]
    parts, shares = fit.parts[over], summarise(found["best"])
    figure, axis = panel(ax, (7.2, 1.6 + 0.45 * len(parts)))
    for place, part in enumerate(parts):
        low, middle, high = shares.sel({over: part, "summary": ["q05", "median", "q95"]}).to_numpy()
        seen = fit.runs.table[f"{over}_{part}"]
        labels = ("_", "_") if place else ("runs", "best, median and 90%")
        axis.plot(seen, np.full(len(seen), place + 0.2), "|", ms=7, color=GREY, label=labels[0])
        best: dict[str, Any] = {
            "color": ORANGE,
            "lw": 5,
            "solid_capstyle": "butt",
            "label": labels[1],
        }
        axis.plot([low, high], [place - 0.1] * 2, **best)
        axis.plot(middle, place - 0.1, "o", ms=6, color=ORANGE, mec="white", mew=0.8)
        axis.annotate(
            f"{middle:.0%}",
            (middle, place - 0.1),
            (0, 6),
            textcoords="offset points",
            ha="center",
            weight="bold",
            color=ORANGE,
        )
    axis.set_yticks(range(len(parts)), [named(part, 30) for part in parts])
    axis.set_ylim(len(parts) - 0.5, -0.6)
    axis.tick_params("y", length=0)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(-0.02, 1.02)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel(f"share of {named(over)}")
    legend_below(axis, alone=ax is None, ncols=2)
    axis.set_title(_title(found, f"The best mixture {named(over)}"))
    return figure
