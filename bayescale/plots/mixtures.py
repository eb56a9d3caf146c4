"""Picture of the mixture to train on."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayescale.decisions.mixtures import BASIN, BestMixture
from bayescale.plots.style import BLUE, GREY, picture, styled

_WIDTH, _ROW, _LEAST = 11.0, 0.3, 3.2  # inches
_MOST = 60  # letters of values beside which numbers are not written into the squares


@picture
def plot_mixture(found: BestMixture) -> Figure:
    """Draw the recommended shares, what each target gains, and what targets cost each other.

    Shares have the range that is as good within .005 nats and 90% of the best of single draws,
    beside the mixture that they are compared with. Gains are of each target's loss, 90%. In the
    third panel a row is the mixture that is best for one target alone, and a column what it costs
    another one, in nats beside the recommended mixture.

    Parameters
    ----------
    found : BestMixture

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    several = len(found.targets) > 1
    rows = max(len(found.parts), len(found.targets))
    with styled():
        figure, axes = plt.subplots(
            1, 3 if several else 2, figsize=(_WIDTH, max(_LEAST, 1.6 + _ROW * rows))
        )
        _shares(axes[0], found)
        _gains(axes[1], found)
        if several:
            _costs(axes[2], found)
    return figure


def _shares(axis: Axes, found: BestMixture) -> None:
    order = np.argsort(found.recommended)
    low, high = np.quantile(found.best, [0.05, 0.95], axis=0)[:, order]
    rows, own = np.arange(len(order)), found.recommended[order]
    basin = found.basin[order]
    axis.hlines(rows, *(100 * basin.T), color=BLUE, alpha=0.2, lw=9, label=f"within {BASIN} nats")
    axis.hlines(rows, 100 * low, 100 * high, color=BLUE, lw=2, label="best of draws, 90%")
    axis.plot(100 * own, rows, "o", color=BLUE, label="recommended")
    axis.plot(100 * found.default[order], rows, "|", color="black", ms=11, label="compared with")
    axis.set_yticks(rows, [found.parts[at] for at in order])
    axis.set_xlabel("share of the tokens, %")
    axis.set_xlim(left=0)
    axis.legend(loc="lower right", fontsize=7)


def _gains(axis: Axes, found: BestMixture) -> None:
    gains = found.default_losses - found.losses
    order = np.argsort(gains.mean(axis=0))
    low, middle, high = np.quantile(gains, [0.05, 0.5, 0.95], axis=0)[:, order]
    rows = np.arange(len(order))
    axis.axvline(0, color=GREY, lw=1)
    axis.hlines(rows, low, high, color=BLUE, lw=2)
    axis.plot(middle, rows, "o", color=BLUE)
    axis.set_yticks(rows, [found.targets[at] for at in order])
    axis.set_xlabel("loss below the compared mixture, nats")


def _costs(axis: Axes, found: BestMixture) -> None:
    costs = found.alone - found.losses.mean(axis=0)
    most = np.abs(costs).max()
    axis.imshow(costs, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    axis.grid(visible=False)
    names, rows = found.targets, range(len(found.targets))
    axis.set_xticks(rows, names, rotation=60, ha="right")
    axis.set_yticks(rows, names)
    axis.set_ylabel("mixture best for this alone")
    axis.set_title("cost to each target, nats", fontsize=9)
    if costs.size <= _MOST + 4:
        for row in rows:
            for column in rows:
                dark = abs(costs[row, column]) > 0.6 * most
                axis.text(
                    column,
                    row,
                    f"{costs[row, column]:+.2f}",
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color="white" if dark else "black",
                )
