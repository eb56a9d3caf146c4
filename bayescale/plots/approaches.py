"""Pictures of compute-optimal models by more than one approach."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bayescale import words
from bayescale.decisions.approaches import ENVELOPE, JOINT, PROFILES, minima, profile_optima
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    log_axis,
    picture,
    size_axis,
    styled,
)
from bayescale.posterior.fit import Fit

_COLOURS = {ENVELOPE: GREEN, PROFILES: BLUE, JOINT: ORANGE}
_STEPS = 60


@picture
def plot_minima(fit: Fit, comparison: xr.Dataset | None = None) -> Figure:
    """Draw N* of each isoFLOP budget and the power law through them, against training compute.

    Parameters
    ----------
    fit : Fit
        Of the model ``isoflop-profiles``.
    comparison : xarray.Dataset, optional
        What `bayescale.compare_approaches` returns at two budgets or more: the joint law's path is
        drawn too, from the least to the largest of them.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For a fit of another law, or a comparison at a single budget.
    """
    found = minima(fit)
    joint = None if comparison is None else _joint_path(comparison)
    budgets = found["flops"].to_numpy()
    seen = budgets if joint is None else np.concatenate([budgets, joint["flops"]])
    room = (seen.max() / seen.min()) ** 0.04
    grid = np.geomspace(seen.min() / room, seen.max() * room, _STEPS)
    line = summarise(profile_optima(fit, grid.tolist()))
    middle = line["params"].sel(summary="median", drop=True)
    with styled():
        figure, (above, below) = plt.subplots(
            2, figsize=(7.2, 6.0), sharex=True, height_ratios=(2, 1)
        )
        for axis, over in ((above, xr.ones_like(middle)), (below, middle)):
            _path(axis, line["params"], over, BLUE, f"power law, a = {_exponent(line['a'])}")
            if joint is not None:
                _path(axis, joint, over, ORANGE, JOINT)
            _bars(axis, budgets, summarise(found).to_numpy() / _at(over, budgets))
        log_axis(above.yaxis, line["params"], "params")
        above.set_ylabel("compute-optimal parameters N*")
        above.set_title("Minima of isoFLOP profiles (median and 90% interval)")
        above.legend(loc="upper left")
        below.set_ylabel("N* over the power law's")
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        log_axis(below.xaxis, grid, "flops")
        above.set_xlabel("")
    return figure


@picture
def plot_approaches(comparison: xr.Dataset) -> Figure:
    """Draw N* of each budget asked, and its exponent a, by each approach.

    Parameters
    ----------
    comparison : xarray.Dataset
        What `bayescale.compare_approaches` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.
    """
    names = [str(name) for name in comparison["approach"].to_numpy()]
    budgets = comparison["flops"].to_numpy()
    summary = summarise(comparison[["params", "a"]])
    panels = len(budgets) + 1
    with styled():
        size = max(2.0 + 2.5 * panels, 7.2), 1.4 + 0.4 * len(names)
        figure, axes = plt.subplots(1, panels, figsize=size, sharey=True)
        for axis, budget in zip(axes, budgets, strict=False):
            _panel(axis, names, summary["params"].sel(flops=budget))
            size_axis(axis, room=0.25)
            axis.set_xlabel("parameters N*")
            axis.set_title(f"{words.flops(budget)} FLOPs")
        _panel(axes[-1], names, summary["a"].isel(flops=-1))
        axes[-1].margins(x=0.15)
        axes[-1].axvline(0.5, color=GREY, lw=0.8, ls=":")
        axes[-1].set_xlabel("exponent a of N* in compute")
        axes[-1].set_title("exponent")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        title = "Compute-optimal parameters by approach (median and 90% interval)"
        figure.suptitle(title, x=0.01, ha="left", size=10.5)
    return figure


def _joint_path(comparison: xr.Dataset) -> xr.DataArray:
    if comparison.sizes["flops"] < 2:
        raise FitError(
            "a comparison at one budget makes no path; ask compare_approaches for two or more"
        )
    return summarise(comparison["params"].sel(approach=JOINT)).sortby("flops")


def _exponent(a: xr.DataArray) -> str:
    low, middle, high = a.sel(summary=["q05", "median", "q95"]).to_numpy()
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _at(path: xr.DataArray, flops: Any) -> np.ndarray:
    """Read a path between its budgets, straight on logarithmic axes."""
    return np.exp(np.interp(np.log(flops), np.log(path["flops"]), np.log(path)))


def _path(axis: Axes, path: xr.DataArray, over: xr.DataArray, colour: str, label: str) -> None:
    """Draw a path with its band, relative to another."""
    flops = path["flops"].to_numpy()
    relative = path / xr.DataArray(_at(over, flops), dims="flops", coords={"flops": flops})
    band(axis, flops, relative, colour, label)


def _bars(axis: Axes, budgets: np.ndarray, minima: np.ndarray) -> None:
    """Draw medians as dots on upright bars of the central 90%."""
    middle, low, high = minima
    axis.vlines(budgets, low, high, color="black", lw=1.5)
    axis.plot(budgets, middle, "o", ms=4, color="black", label="N* of each isoFLOP budget")


def _panel(axis: Axes, names: list[str], summary: xr.DataArray) -> None:
    """Draw one quantity, a row for each approach."""
    axis.grid(axis="y", visible=False)
    axis.tick_params("y", length=0)
    for place, name in enumerate(names):
        one = summary.sel(approach=name)
        low, high = one.sel(summary=["q05", "q95"]).to_numpy()
        axis.plot([low, high], [place, place], color=_COLOURS[name], lw=3, solid_capstyle="butt")
        middle = one.sel(summary="median").item()
        axis.plot(middle, place, "o", ms=6, color=_COLOURS[name], mec="white", mew=0.8)
        form = words.count(middle, 3) if middle > 1e3 else f"{middle:.2f}"
        axis.annotate(
            form, (middle, place), (0, 6), textcoords="offset points", ha="center", size=8.5
        )
