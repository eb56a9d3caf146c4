"""Pictures of the basin of a setting."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayescale import words
from bayescale.decisions.basin import setting_basin
from bayescale.draws import summarise
from bayescale.plots.style import BLUE, GREY, band, label_of, log_axis, picture, sequence, styled
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import residuals, with_few_draws

_STEPS, _MOST = 80, 4  # places along a line; sizes that are drawn
_ROOM = 1.5  # factor beyond the runs


@picture
def plot_setting_basin(fit: Fit, found: xr.Dataset) -> Figure:
    """Draw what values of a setting cost, and how the best one moves with size.

    On the left the bowl at each size that was asked (at most four) with every run reduced to it: as
    far from the bowl of its own size as its loss lies from what the law says of it, so that what
    sizes and tokens do is taken out. On the right the best value against N, those within the
    widest share of the loss, and the runs.

    Parameters
    ----------
    fit : Fit
    found : xarray.Dataset
        What `bayescale.setting_basin` returns of the fit.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    few = with_few_draws(fit)
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.3))
        _draw_bowls(left, few, found)
        _draw_path(right, few, found)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


def _draw_bowls(axis: Axes, few: Fit, found: xr.Dataset) -> None:
    setting, table = found.attrs["setting"], few.runs.table
    seen, sizes = (table[name].to_numpy(dtype=float) for name in (setting, "params"))
    asked = found["params"].to_numpy()[:_MOST]
    grid = np.geomspace(seen.min() / _ROOM, seen.max() * _ROOM, _STEPS)
    cost = summarise(setting_basin(few, asked.tolist(), planned=grid.tolist())["cost"])
    ends = LogNorm(min(sizes.min(), asked.min()), max(sizes.max(), asked.max()))
    colours = ListedColormap(sequence(256)[::-1])  # large ones dark
    for size in asked:
        band(axis, grid, cost.sel(params=size), colours(ends(size)), label=words.trimmed(size))
    points = reduced(few, setting)
    shown = {"marker": "o", "s": 14, "c": sizes, "cmap": colours, "norm": ends, "lw": 0}
    axis.scatter(seen, points, alpha=0.6, **shown, label="runs, in the colour of their N")
    most = max(points.max(), float(cost.sel(summary="median").max()))
    axis.set_ylim(min(points.min(), 0) - 0.05 * most, 1.15 * most)
    log_axis(axis.xaxis, grid, setting)
    axis.set_xlabel(label_of(words.spaced(setting)))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axis.set_ylabel("loss above the least")
    axis.set_title("What a value costs, by size N")


def reduced(fit: Fit, setting: str) -> np.ndarray:
    """Reduce every run to the bowl of its size: what its value costs there, and its residual.

    The residual of a run is that from a typical one: an error that its rows share is left in it.

    Parameters
    ----------
    fit : Fit
    setting : str

    Returns
    -------
    numpy.ndarray, shape (runs,)
        Shares of the loss.
    """
    table = fit.runs.table
    left = residuals(fit)["residual"].to_numpy()
    if fit.groups:
        apart = (fit.posterior["level"] - fit.posterior["level_population"]).median(
            ("chain", "draw")
        )
        left = left + apart.sel(group=table[str(fit.spec.group)].astype(str).to_numpy()).to_numpy()
    sizes, place = np.unique(table["params"].to_numpy(dtype=float), return_inverse=True)
    values, at = np.unique(table[setting].to_numpy(dtype=float), return_inverse=True)
    cost = setting_basin(fit, sizes.tolist(), planned=values.tolist())["cost"]
    middle = cost.median(("chain", "draw")).to_numpy()
    return np.expm1(np.log1p(middle[place, at]) + left)


def _draw_path(axis: Axes, few: Fit, found: xr.Dataset) -> None:
    setting, table = found.attrs["setting"], few.runs.table
    ends = table["params"].min(), max(table["params"].max(), float(found["params"].max()))
    grid = np.geomspace(ends[0] / _ROOM, ends[1] * _ROOM, _STEPS)
    widest = float(found["within"].max())
    path = setting_basin(few, grid.tolist(), within=[widest])
    middle = path[["lower", "upper"]].sel(within=widest).median(("chain", "draw"))
    axis.fill_between(
        grid, middle["lower"], middle["upper"], color=GREY, alpha=0.2, lw=0,
        label=f"within {100 * widest:g}% of the loss, median",
    )  # fmt: skip
    band(axis, grid, summarise(path["best"]), BLUE, label="best value, median and 90%")
    axis.plot(table["params"], table[setting], "o", ms=4, color="black", label="runs")
    log_axis(axis.xaxis, grid, "params")
    log_axis(axis.yaxis, [*table[setting], float(middle.to_array().min())], setting)
    axis.set_xlabel(f"parameters N ({few.runs.params_are})")
    axis.set_ylabel(label_of(words.spaced(setting)))
    axis.set_title("How the best value moves with size")
