"""Pictures of corpora of other quality, over the number of tokens."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayescale import words
from bayescale.draws import summarise
from bayescale.plots.style import BLUE, band, log_axis, named, picture, sequence, styled


@picture
def plot_corpora(found: xr.Dataset) -> Figure:
    """Draw how often each corpus is passed over, and what the next token is worth.

    Parameters
    ----------
    found : xarray.Dataset
        What `bayescale.best_corpora` returns, of several numbers of tokens.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    tokens, corpora = found["tokens"].to_numpy(), found["corpus"].to_numpy()
    epochs, worth = summarise(found["epochs"]), summarise(found["worth"])
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.3))
        for name, colour in zip(corpora, sequence(len(corpora)), strict=True):
            band(left, tokens, epochs.sel(corpus=name), colour, named(name))
        left.axhline(1, color="black", lw=0.8, label="all of it once")
        left.set_ylabel("epochs of each corpus")
        left.set_title(f"Passes of {words.trimmed(found.attrs['params'])} parameters")
        band(right, tokens, worth, BLUE, "next token, median and 90%")
        right.set_ylim(0, 1.05)
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        right.set_ylabel("worth, of a fresh token of the best")
        right.set_title("What the next token is worth")
        for axis in (left, right):
            _along_tokens(axis, tokens)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right")
    return figure


@picture
def plot_filters(filtered: xr.Dataset) -> Figure:
    """Draw how probably each filter is the best, over the number of tokens.

    Parameters
    ----------
    filtered : xarray.Dataset
        What `bayescale.best_filter` returns, of several numbers of tokens.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    tokens, kept = filtered["tokens"].to_numpy(), filtered["kept"].to_numpy()
    excess = summarise(filtered["loss"] - filtered["loss"].min("kept"))
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.3))
        for share, colour in zip(kept, sequence(len(kept)), strict=True):
            left.plot(tokens, filtered["p_best"].sel(kept=share), color=colour, lw=1.5)
            band(right, tokens, excess.sel(kept=share), colour, f"keep {share:.0%}")
        left.set_ylim(-0.02, 1.02)
        left.yaxis.set_major_formatter(PercentFormatter(1.0))
        left.set_ylabel("probability of being the best filter")
        left.set_title(f"Filters for {words.trimmed(filtered.attrs['params'])} parameters")
        right.set_ylabel("loss above the best (nats per token)")
        right.set_title("What another filter costs, median and 90%")
        for axis in (left, right):
            _along_tokens(axis, tokens)
        shown = right.get_legend_handles_labels()
        figure.legend(*shown, loc="outside lower center", ncols=min(len(kept), 6))
    return figure


def _along_tokens(axis: Axes, tokens: np.ndarray) -> None:
    log_axis(axis.xaxis, tokens, "tokens")
    axis.margins(x=0)
