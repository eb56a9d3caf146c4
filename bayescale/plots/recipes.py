"""Pictures of what recipes are worth in tokens."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from bayescale import words
from bayescale.draws import summarise
from bayescale.plots.style import BLUE, band, log_axis, named, picture, styled
from bayescale.posterior.recipes import Recipes

_STEPS, _COLUMNS, _BEYOND = 40, 4, 2.0
_SMALL = 8.5  # size of letters beside many panels


@picture
def plot_recipes(recipes: Recipes, *, farthest: float = 0.0) -> Figure:
    """Draw the multiplier of each recipe against size, the best at the largest size first.

    Points at the sizes of the runs; the band is a size without runs, its scatter about the trend
    included.

    Parameters
    ----------
    recipes : Recipes
    farthest : float, optional
        Size to draw to, if it lies beyond twice the largest.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    sizes = recipes.own.sizes
    grid = np.geomspace(sizes[0] / 1.3, max(_BEYOND * sizes[-1], 1.1 * farthest), _STEPS)
    trend = summarise(xr.ufuncs.exp(recipes.log_trend(grid.tolist())))
    known = summarise(xr.ufuncs.exp(recipes.log_multiplier(sizes.tolist())))
    last = trend.sel(summary="median").isel(params=-1).to_numpy()
    names = [recipes.names[place] for place in np.argsort(-last)]
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    wide, high = (2.6, 2.2) if len(names) > 1 else (6.0, 3.6)
    with styled():
        figure, axes = plt.subplots(
            lines,
            columns,
            figsize=(wide * columns, high * lines + 0.5),
            squeeze=False,
            sharey=True,
        )
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for name, axis in zip(names, axes.flat, strict=False):
            _draw(axis, name, grid, trend.sel(recipe=name), known.sel(recipe=name))
        for axis in axes[:, 0]:
            axis.set_ylabel("times the tokens", size=_SMALL)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, fontsize=_SMALL)
        title = f"What a token is worth in those of {named(recipes.baseline)}"
        figure.suptitle(title, x=0.01, ha="left", weight="bold", size=10.5)
    return figure


def _draw(
    axis: Axes, name: str, grid: np.ndarray, trend: xr.DataArray, known: xr.DataArray
) -> None:
    low, middle, high = known.sel(summary=["q05", "median", "q95"]).transpose("summary", ...)
    sizes = known["params"].to_numpy()
    axis.axvspan(sizes.min(), sizes.max(), color="#f0ead6", lw=0, label="range of the runs")
    axis.axhline(1, color="black", lw=0.8)
    band(axis, grid, trend, BLUE, label="a size without runs, 90%")
    apart = np.abs(np.stack([middle - low, high - middle]))
    axis.errorbar(
        sizes, middle, apart, fmt="o", ms=4, color="black", lw=1.2, label="sizes of the runs, 90%"
    )
    axis.set_title(named(name, 20), size=9)
    log_axis(axis.xaxis, grid, "params")
    axis.set_xlabel("parameters N", size=_SMALL)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.trimmed(value)))
    axis.tick_params(labelsize=_SMALL)
