"""Picture of what experts are worth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale.decisions.experts import experts_worth
from bayescale.draws import summarise
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    legend_below,
    log_axis,
    panel,
    picture,
    sequence,
    styled,
)
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import residuals, with_few_draws

_STEPS, _ROOM = 60, 1.25
_COLOURS, _MARKS = (BLUE, ORANGE, GREEN), "osD^v"


@picture
def plot_experts(fits: Mapping[str, Fit], *, ax: Axes | None = None) -> Figure:
    """Draw what a number of experts is worth: dense parameters of equal loss over active ones.

    At the middle size of the runs. Every run is reduced to it: as far from the law, in parameters,
    as its loss lies from what the fit says of it. The grey line is memory that pays in full, as
    many dense parameters as there are experts.

    Parameters
    ----------
    fits : mapping of str to Fit
        By router, of ``experts-bend`` or another model of experts.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    few = {name: with_few_draws(fit) for name, fit in fits.items()}
    most = max(float(fit.runs.column("experts").max()) for fit in few.values())
    grid = np.geomspace(1.0, most * _ROOM, _STEPS)
    colours = _COLOURS if len(few) <= len(_COLOURS) else sequence(len(few))
    highest = 1.0
    with styled():
        figure, axis = panel(ax, (6.4, 4.6))
        axis.plot(grid, grid, color=GREY, lw=1, ls=":", label="as many times as experts")
        for place, (name, fit) in enumerate(few.items()):
            drawn = experts_worth(fit, grid.tolist())
            band(axis, grid, summarise(drawn), colours[place], label=_label(name))
            number, points = reduced(fit)
            mark = _MARKS[place % len(_MARKS)]
            axis.plot(number, points, mark, color=colours[place], ms=3.5, alpha=0.6, lw=0)
            highest = max(highest, float(np.nanmax(points)))
        log_axis(axis.xaxis, [1.0, grid[-1]], "experts")
        log_axis(axis.yaxis, [1.0, highest], "worth")
        axis.set_ylim(1 / _ROOM, highest * _ROOM)
        axis.set_xlabel("experts X")
        axis.set_ylabel("dense parameters of equal loss / active ones")
        axis.set_title("What experts are worth")
        legend_below(axis, alone=ax is None, ncols=2)
    return figure


def _label(name: str) -> str:
    return "median and 90%, runs as points" if name == "all" else f"{name}, median and 90%"


def reduced(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Reduce every run to what its experts are worth.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    experts, worth : numpy.ndarray, shape (runs,)
        Not a number where the loss lies below all that size can do.
    """
    law, table = fit.spec.law, fit.runs.table
    middle = {name: float(fit.natural[name].median(("chain", "draw"))) for name in law.parameters}
    inputs = [table[name].to_numpy(dtype=float) for name in law.inputs]
    left = residuals(fit)["residual"].to_numpy()
    observed = law(*inputs, **middle) * np.exp(left)
    of_size = observed - law(*inputs, **{**middle, "A": 0.0})
    with np.errstate(invalid="ignore"):
        dense = (of_size / middle["A"]) ** (-1.0 / middle["alpha"])
    return table["experts"].to_numpy(dtype=float), dense / table["active_params"].to_numpy()
