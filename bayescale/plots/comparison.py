"""Pictures of laws side by side: how well they predict, and what they would have one do."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayescale import words
from bayescale.decisions.answer import response_writer
from bayescale.draws import STACKED, summarise
from bayescale.evaluation.compare import Comparison
from bayescale.laws import Response
from bayescale.plots.style import BLUE, GREY, ORANGE, named, picture, size_axis, styled

_WHITE = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8}

MOST_PANELS = 3
"""Decisions drawn: the first values asked, or the first groups."""


@picture
def plot_comparison(comparison: Comparison) -> Figure:
    """Draw the elpd difference of each law to the best beside the decision that it leads to.

    Elpd differences are drawn with one standard error to either side, decisions (N*, or the
    response where no size is chosen) as median and central 90% interval. Laws that the runs speak
    against are grey. For fits with groups the decisions are those of the first groups at the first
    value.

    Parameters
    ----------
    comparison : Comparison
        What `bayescale.compare` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    panels = _panels(comparison)
    names = [*comparison.fits, STACKED]
    colours = {
        **{name: BLUE if name in comparison.plausible else GREY for name in comparison.fits},
        STACKED: ORANGE,
    }
    with styled():
        size = 4.4 + 2.7 * len(panels), 1.5 + 0.55 * len(names)
        figure, axes = plt.subplots(1, 1 + len(panels), figsize=size, sharey=True)
        _elpd(axes[0], comparison, colours)
        for axis, (title, draws) in zip(axes[1:], panels, strict=True):
            _decision(axis, {name: draws[name] for name in names}, colours, _response(comparison))
            axis.set_title(title)
        labels = [f"{named(n, 30)}\nweight {w:.2f}" for n, w in comparison.weights.items()]
        axes[0].set_yticks(range(len(names)), [*labels, "mixture\nby weights"])
        axes[0].set_ylim(len(names) - 0.5, -0.6)
        for axis in axes:
            axis.grid(axis="y", visible=False)
            axis.tick_params("y", length=0)
            axis.axhline(len(names) - 1.5, color=GREY, lw=0.6)
    return figure


def _panels(comparison: Comparison) -> list[tuple[str, dict[str, xr.DataArray]]]:
    """Title and draws of each law, for each value asked or each group."""
    axis, mixture = comparison.axis, comparison.decisions[STACKED]
    quantity = "params" if "params" in mixture.data_vars else _response(comparison).column
    draws = {name: answer[quantity] for name, answer in comparison.decisions.items()}

    def at(value: float) -> str:
        unit = "FLOPs" if axis == "flops" else named(axis, 20)
        return f"{words.flops(value) if axis == 'flops' else words.count(value)} {unit}"

    values = mixture[axis].to_numpy()
    if "group" not in mixture.dims:
        return [
            (at(value), {name: own.sel({axis: value}) for name, own in draws.items()})
            for value in values[:MOST_PANELS]
        ]
    return [
        (
            f"{named(group, 20)}, {at(values[0])}",
            {name: own.sel({axis: values[0], "group": group}) for name, own in draws.items()},
        )
        for group in mixture["group"].to_numpy()[:MOST_PANELS]
    ]


def _response(comparison: Comparison) -> Response:
    return next(iter(comparison.fits.values())).spec.response


def _elpd(axis: Axes, comparison: Comparison, colours: dict[str, str]) -> None:
    table = comparison.table
    axis.axvline(0, color="black", lw=0.8)
    for place, (name, row) in enumerate(table.iterrows()):
        colour = colours[str(name)]
        low, high = row["elpd_diff"] - row["se_diff"], row["elpd_diff"] + row["se_diff"]
        axis.plot([low, high], [place, place], color=colour, lw=3, solid_capstyle="butt")
        axis.plot(row["elpd_diff"], place, "o", ms=6, color=colour, mec="white", mew=0.8)
        label = f"{row['elpd_diff']:.1f} ± {row['se_diff']:.1f}" if place else "best"
        _name(axis, label, row["elpd_diff"], place)
    axis.margins(x=0.2)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.set_xlabel("elpd less the best's (nats), ± 1 se;\ngrey: the runs speak against it")
    axis.set_title("Predicts unseen runs")


def _decision(
    axis: Axes, draws: dict[str, xr.DataArray], colours: dict[str, str], response: Response
) -> None:
    of_size = next(iter(draws.values())).name != response.column
    write = words.count if of_size else response_writer(response)
    for place, (name, own) in enumerate(draws.items()):
        low, middle, high = summarise(own).sel(summary=["q05", "median", "q95"]).to_numpy()
        ends = [end for end in (low, middle, high) if np.isfinite(end)]
        if not ends:  # a law without a best size
            continue
        bar, dot = [ends[0], ends[-1]], ends[len(ends) // 2]
        axis.plot(bar, [place, place], color=colours[name], lw=3, solid_capstyle="butt")
        axis.plot(dot, place, "o", ms=6, color=colours[name], mec="white", mew=0.8)
        endless = "" if np.isfinite(high) else ", no upper end"
        _name(axis, f"{write(middle)}{endless}", dot, place)
    if of_size:
        size_axis(axis, room=0.2)
        axis.set_xlabel("compute-optimal parameters N*;\nmedian and central 90%")
    else:
        axis.margins(x=0.15)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.set_xlabel(f"{named(response.label)};\nmedian and central 90%")


def _name(axis: Axes, text: str, x: float, place: int) -> None:
    axis.annotate(
        text, (x, place), (0, 6), textcoords="offset points", ha="center", size=8.5, bbox=_WHITE
    )
