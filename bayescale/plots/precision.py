"""Pictures of what quantisation adds to the loss, and of the bits that are best in a memory."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale import words
from bayescale.decisions.precision import loss_added, middle_of
from bayescale.draws import summarise
from bayescale.laws import LOSS
from bayescale.plots.style import BLUE, GREY, band, named, picture, sequence, styled
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import with_few_draws

_STEPS = 60
_MARKERS = "osD^vP*X"
_BARELY = 0.01  # probability of being the best that is worth a number
_WORST = 0.5  # nats per token above the best, above which a number of bits is left out


@picture
def plot_precision(fit: Fit, found: xr.Dataset | None = None) -> Figure:
    """Draw what bits cost each model of a table, and which are best for a planned one.

    On the left what quantisation adds to the loss over bits per weight, by the law and by every
    row. On the right, of a planned model, by how much each number of bits is worse than the best of
    those compared, with the size that fits, and the probability that it is the best.

    Parameters
    ----------
    fit : Fit
        Of the model ``precision`` or ``precision-hierarchical``.
    found : xarray.Dataset, optional
        What `bayescale.best_precision` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    few = with_few_draws(fit)
    with styled():
        number = 1 if found is None else 2
        figure, axes = plt.subplots(1, number, figsize=(5.4 * number, 4.6), squeeze=False)
        _draw_added(axes[0, 0], few)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left")
        if found is not None:
            _draw_bits(axes[0, 1], found)
            handles = axes[0, 1].get_legend_handles_labels()
            figure.legend(*handles, loc="outside lower right")
    return figure


def _draw_added(axis: Axes, fit: Fit) -> None:
    parts = [(name, fit.of_group(name)) for name in fit.groups] or [("", fit)]
    colours = sequence(len(parts))
    for place, ((name, own), colour) in enumerate(zip(parts, colours, strict=True)):
        seen = own.runs.table
        low, high = (2.0, 8.0) if seen.empty else seen["bits_per_weight"].agg(["min", "max"])
        grid = np.linspace(low, high, _STEPS)
        curve = summarise(loss_added(own, grid.tolist(), *middle_of(own)))
        band(axis, grid, curve, colour, label=named(name, 44) if name else "the law")
        marker = _MARKERS[place % len(_MARKERS)]
        bits, added = (seen[n] for n in ("bits_per_weight", "loss_increase"))
        axis.plot(bits, added, marker, ms=4.5, color=colour, mec="white", mew=0.5)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("bits per weight")
    axis.set_ylabel("loss added (nats per token)")
    axis.set_title("What quantisation adds, median and 90%")


def _draw_bits(axis: Axes, found: xr.Dataset) -> None:
    excess = found[LOSS.column] - found[LOSS.column].min("bits")
    summary = summarise(excess)
    middle = summary.sel(summary="median")
    shown = found["bits"].to_numpy()[(middle <= max(_WORST, float(middle.min()))).to_numpy()]
    places = np.arange(len(shown))
    ends = [float(found["best_bits"].quantile(q)) for q in (0.05, 0.95)]
    low, high = np.interp(np.log(ends), np.log(shown), places)
    axis.axvspan(low, high, color=GREY, alpha=0.25, lw=0, label="best of all numbers of bits, 90%")
    for place, bits in zip(places, shown, strict=True):
        ends = [float(summary.sel(bits=bits, summary=name)) for name in ("q05", "q95")]
        axis.plot([place, place], ends, color=BLUE, lw=1.5)
        chance = float(found["p_best"].sel(bits=bits))
        if chance >= _BARELY:
            axis.annotate(
                f"best {words.chance(chance)}", (place, ends[1]), (0, 4),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
    axis.plot(places, middle.sel(bits=shown), "o", color=BLUE, ms=5)
    axis.plot([], [], "o-", color=BLUE, ms=5, label="median and 90%")
    sizes = found["params"].median(("chain", "draw"))
    said = [f"{bits:g}\n{words.trimmed(float(sizes.sel(bits=bits)))}" for bits in shown]
    axis.set_xticks(places, said)
    axis.set_yscale("symlog", linthresh=0.01)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylim(-0.002, 2 * float(summary.sel(bits=shown).max()))
    axis.margins(x=0.12)
    axis.set_xlabel("bits per weight; size")
    axis.set_ylabel("loss above the best (nats per token)")
    axis.set_title(f"In {words.trimmed(found.attrs['memory'] / 1e9)} GB of weights")
