"""Pictures of what lies beyond the runs."""

from collections.abc import Callable
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescale.fitting import Fit
from bayescale.intervals import summarise
from bayescale.optima import compute_optimal
from bayescale.plots.style import BLUE, GREEN, LABELS, band, log_axis, styled
from bayescale.prediction import predict, with_few_draws

_RUNS = "#f0ead6"

Draws = Callable[[Fit], xr.DataArray]


def plot_beyond(fit: Fit, exact: Fit, farthest: float) -> Figure:
    """Draw a law that may bend and the same law taken as exact, to the farthest value asked.

    Of a joint law N* and the loss of the compute-optimal model against compute; of a single-axis
    law the loss. By 1,000 draws.

    Parameters
    ----------
    fit : Fit
    exact : Fit
        What `bayescale.exact_fit` makes of it.
    farthest : float
        FLOPs, or value of the axis.
    """
    fit, exact = with_few_draws(fit), with_few_draws(exact)
    name = fit.spec.size
    seen = fit.runs.column(name)
    grid = np.geomspace(np.sqrt(seen.min() * seen.max()), max(farthest, seen.max()) * 1.3, 60)
    if fit.law.is_joint:
        quantities: dict[str, Draws] = {
            quantity: partial(_optimum, grid=grid, quantity=quantity)
            for quantity in ("params", "loss")
        }
        titles = {"params": "Best size N*", "loss": "Loss of the compute-optimal model"}
    else:
        quantities = {"loss": lambda own: predict(own, {name: grid})}
        titles = {"loss": "Loss of the law"}
    with styled():
        width = 4.6 * len(quantities) + (2.2 if len(quantities) == 1 else 0)
        figure, axes = plt.subplots(1, len(quantities), figsize=(width, 3.9), squeeze=False)
        for axis, (quantity, draws) in zip(axes.flat, quantities.items(), strict=True):
            band(axis, grid, summarise(draws(fit)), GREEN, label="law may bend")
            band(axis, grid, summarise(draws(exact)), BLUE, label="law exact")
            axis.axvspan(
                grid[0], seen.max(), color=_RUNS, lw=0, zorder=0, label="range of the runs"
            )
            log_axis(axis.xaxis, grid, name)
            axis.set_xlim(grid[0], grid[-1])
            if quantity == "params":
                log_axis(axis.yaxis, draws(fit).median(("chain", "draw")), quantity)
            else:
                axis.set_ylabel(LABELS["loss"])
            axis.set_title(titles[quantity])
        figure.legend(
            *axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )
    return figure


def _optimum(fit: Fit, *, grid: np.ndarray, quantity: str) -> xr.DataArray:
    return compute_optimal(fit, list(grid))[quantity]
