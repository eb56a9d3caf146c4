"""Pictures of what lies beyond the runs."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayescale.decisions.allocation import compute_optimal
from bayescale.decisions.predictions import largest_run, resized
from bayescale.draws import summarise
from bayescale.laws import LOSS
from bayescale.plots.style import BLUE, GREEN, band, log_axis, named, picture, response_axis, styled
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import predict, with_few_draws

_RUNS = "#f0ead6"


@picture
def plot_beyond(fit: Fit, exact: Fit, farthest: float) -> Figure:
    """Draw a law that may bend and the same law taken as exact, to the farthest value asked.

    Of a joint law N* and the loss of the compute-optimal model against compute; of another
    law what it says of the largest run, made so large. By 1,000 draws.

    Parameters
    ----------
    fit : Fit
    exact : Fit
        What `bayescale.exact_fit` makes of it.
    farthest : float
        As `ModelSpec.size` counts it: FLOPs, or value of the axis.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    fit, exact = with_few_draws(fit), with_few_draws(exact)
    name = fit.spec.size
    seen = fit.runs.column(name)
    grid = np.geomspace(np.sqrt(seen.min() * seen.max()), max(farthest, seen.max()) * 1.3, 60)
    bends, straight = _draws(fit, name, grid), _draws(exact, name, grid)
    own = fit.spec.response
    called = named(own.name).capitalize()
    titles = {"params": "Best size N*", LOSS.column: f"{called} of the compute-optimal model"}
    if not fit.law.is_joint:
        titles = {own.column: f"{called} of the law"}
    with styled():
        width = 4.6 * len(titles) + (2.2 if len(titles) == 1 else 0)
        figure, axes = plt.subplots(1, len(titles), figsize=(width, 3.9), squeeze=False)
        for axis, (quantity, title) in zip(axes.flat, titles.items(), strict=True):
            band(axis, grid, summarise(bends[quantity]), GREEN, label="law may bend")
            band(axis, grid, summarise(straight[quantity]), BLUE, label="law exact")
            axis.axvspan(
                grid[0], seen.max(), color=_RUNS, lw=0, zorder=0, label="range of the runs"
            )
            log_axis(axis.xaxis, grid, name)
            axis.set_xlim(grid[0], grid[-1])
            if quantity == "params":
                log_axis(axis.yaxis, bends[quantity].median(("chain", "draw")), quantity)
            else:
                response_axis(axis.yaxis, own, bends[quantity].median(("chain", "draw")))
            axis.set_title(title)
        figure.legend(
            *axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )
    return figure


def _draws(fit: Fit, name: str, grid: np.ndarray) -> xr.Dataset:
    if fit.law.is_joint:
        return compute_optimal(fit, list(grid), exponents=False)
    at = resized(fit, largest_run(fit), grid)
    return xr.Dataset({fit.spec.response.column: predict(fit, at)})
