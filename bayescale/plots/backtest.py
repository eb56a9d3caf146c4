"""The picture of a backtest: what happened against what was predicted."""

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bayescale.evaluation.backtest import DISTANCES, EXACT, MODEL, Backtest
from bayescale.laws import Response
from bayescale.plots.style import BLUE, GREY, ORANGE, label_of, named, picture, styled

_TITLES = {MODEL: "This model", EXACT: "The exact law"}


@picture
def plot_backtest(found: Backtest) -> Figure:
    """Draw every prediction against its distance beyond the fitted runs.

    A panel for those of the model, and one for those of its law taken as exact.

    Bars are central 90% predictive intervals about their median, dots what was
    observed: blue inside the interval, orange outside. Along the top the share inside, by distance.
    A run is drawn once for every cut that it was predicted from.

    Parameters
    ----------
    found : Backtest
        What `bayescale.backtest` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    names = found.laws
    with styled():
        figure, axes = plt.subplots(
            1, len(names), figsize=(0.8 + 4.4 * len(names), 4.0), sharey=True, squeeze=False
        )
        for axis, name in zip(axes[0], names, strict=True):
            _runs(axis, found.of(name), found.response)
            _shares(axis, found.of(name))
            share = found.of(name)["inside90"].mean()
            axis.set_title(f"{_TITLES[name]}: {share:.0%} inside its 90% interval")
            what = label_of(found.axis).removesuffix(" (FLOPs)")
            axis.set_xlabel(f"decades of {what} beyond the fitted runs")
        axes[0, 0].set_ylabel(f"{named(found.response.name)} against its predicted median")
        axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0))
        axes[0, 0].yaxis.set_major_locator(MaxNLocator(6))
        axes[0, -1].legend(loc="lower left", markerscale=1.5)
        low, high = _range(found)
        axes[0, 0].set_ylim(low - 0.15 * (high - low), high + 0.2 * (high - low))
    return figure


def _against(rows: pd.DataFrame, name: str, response: Response) -> pd.Series:
    """Set a column against the predicted median: by its share of it, of shares by points."""
    if response.scale == "share":
        return rows[name] - rows["q50"]
    return rows[name] / rows["q50"] - 1


def _runs(axis: Axes, rows: pd.DataFrame, response: Response) -> None:
    most = np.finfo(np.float32).max  # an interval without end is drawn out of the panel
    low, high, seen = (
        _against(rows, name, response).clip(upper=most) for name in ("q05", "q95", response.column)
    )
    axis.vlines(rows["decades"], low, high, color=GREY, lw=2.5, alpha=0.25)
    axis.axhline(0, color="black", lw=0.8)
    inside = rows["inside90"]
    for where, colour, label in ((inside, BLUE, "inside"), (~inside, ORANGE, "outside")):
        axis.plot(
            rows["decades"][where],
            seen[where],
            "o",
            ms=3.5,
            color=colour,
            mec="white",
            mew=0.4,
            label=label,
        )


def _range(found: Backtest) -> tuple[float, float]:
    """Room for all runs; intervals that are far wider than that run out of the panel."""
    low, high, seen = (
        _against(found.table, name, found.response)
        for name in ("q05", "q95", found.response.column)
    )
    most = 3 * float(seen.abs().max())
    return max(float(low.min()), -most), min(float(high.max()), most)


def _shares(axis: Axes, rows: pd.DataFrame) -> None:
    """Write the share inside above each stretch of distances."""
    top, farthest = axis.get_xaxis_transform(), rows["decades"].max()
    style: dict[str, Any] = {"transform": top, "ha": "center", "va": "top"}
    for low, high in pairwise(DISTANCES):
        part = rows[(rows["decades"] > low) & (rows["decades"] <= high)]
        if len(part):
            middle = (low + min(high, farthest)) / 2
            axis.text(
                middle, 0.98, f"{part['inside90'].mean():.0%}", weight="bold", size=8, **style
            )
            axis.text(middle, 0.92, f"of {len(part)}", color="#555555", size=7, **style)
    for edge in DISTANCES[1:-1]:
        if edge < farthest:
            axis.axvline(edge, color=GREY, lw=0.7, ls=":")
    axis.set_xlim(0, 1.04 * farthest)
