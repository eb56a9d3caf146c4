"""The picture of the decision: isoFLOP curves of what was asked, the best size, and its basin."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

from bayescale import words
from bayescale.decisions.allocation import BASIN_EXCESS, basin, compute_optimal
from bayescale.draws import summarise
from bayescale.plots.fits import isoflops_of, moved_onto
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    label_of,
    legend_below,
    log_axis,
    named,
    panel,
    picture,
    styled,
)
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import with_few_draws
from bayescale.runs.table import Runs

MOST_CURVES = 4
"""Budgets, or groups, that one picture shows."""

_WASTE = BASIN_EXCESS[-1]
_HELD: dict[str, Any] = {"marker": "o", "ms": 5, "mfc": "none", "mec": "black", "mew": 1.1, "lw": 0}
_GREEN: dict[str, Any] = {"color": GREEN, "lw": 6, "alpha": 0.55}
_BASIN, _OF_RUNS, _NAME = "basin", "of runs", "name"
_OF_GROUPS = (BLUE, "#7b3fa0", "black", "#8c564b")  # unlike best sizes and basins, and each other
_APART = 12.0  # points between the names of two curves
_FEWEST = 20  # runs from which on some can be far from the others
_SIDES = 3.0  # how far a curve goes on beyond its basin, as a factor of N


@picture
def plot_decision(
    fit: Fit, budgets: Sequence[float], held_out: Runs | None = None, *, ax: Axes | None = None
) -> Figure:
    """Draw the loss over the size of the model at the budgets asked, with what to choose.

    Each curve is an isoFLOP curve, of about 1,000 draws. On it N* with its interval, and the sizes
    that waste at most 10% of the compute. Of a fit with groups one curve a group, at the largest
    budget; of others isoFLOP curves of the runs, in grey.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    budgets : sequence of float
        FLOPs; of more than four the largest.
    held_out : Runs, optional
        Runs that were not fitted, drawn as open circles.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For a law that does not trade params against tokens.
    """
    asked = sorted(budgets)[-MOST_CURVES:]
    with styled():
        figure, axis = panel(ax, (5.6, 4.0))
        best = []
        if fit.groups:
            for name, colour in zip(fit.groups, _OF_GROUPS, strict=False):
                own = fit.of_group(name)
                _runs(axis, own, colour)
                best.append(_curve(axis, named(name), own, asked[-1], colour))
        else:
            _curves_of_runs(axis, fit)
            _runs(axis, fit, GREY)
            if held_out is not None:
                at = held_out.column(fit.spec.law.role("size")[0])
                axis.plot(at, held_out.column(fit.spec.response.column), **_HELD, zorder=8)
            for flops in asked:
                best.append(_curve(axis, f"{words.flops(flops)} FLOPs", fit, flops, BLUE))
        _write_sizes(axis, best)
        budget = f" at {words.flops(asked[-1])} FLOPs" if fit.groups else ""
        _finish(axis, fit, budget, held_out is not None and not fit.groups)
    return figure


def _runs(axis: Axes, fit: Fit, colour: Any) -> None:
    """Draw the runs; of a law that reads more inputs as far from it as each is from its own."""
    if len(fit.runs) == 0:
        return
    (size,), (data,), own = *map(fit.spec.law.role, ("size", "data")), fit.spec.response
    observed = fit.runs.column(own.column)
    if fit.spec.law.further:
        inputs = (xr.DataArray(fit.runs.column(name), dims="run") for name in (size, data))
        line = Posterior.of_joint_law(with_few_draws(fit)).loss(*inputs)
        observed = moved_onto(fit, line.median(("chain", "draw")).to_numpy())
    axis.plot(fit.runs.column(size), observed, "o", ms=3, color=colour, alpha=0.6, lw=0)


def _curves_of_runs(axis: Axes, fit: Fit) -> None:
    """Draw medians of the isoFLOP curves that hold runs, where these are not asked for."""
    if len(fit.runs) == 0:
        return
    curves, (size,) = isoflops_of(fit), fit.spec.law.role("size")
    posterior = Posterior.of_joint_law(with_few_draws(fit))
    for flops, sizes in fit.runs.table[size].groupby(curves):
        grid = np.geomspace(sizes.min() / 1.1, sizes.max() * 1.1, 40)
        curve = posterior.isoflop(flops, xr.DataArray(grid, dims="params"))
        middle = curve.median(("chain", "draw"))
        axis.plot(grid, middle, color=GREY, lw=0.8, alpha=0.7, zorder=1, gid=_OF_RUNS)


def _curve(axis: Axes, label: str, fit: Fit, flops: float, colour: Any) -> tuple[float, float]:
    """Draw a curve with its best size; return this and the loss there, NaN where none is best."""
    few = with_few_draws(fit)
    ends = summarise(basin(few, flops, excess=_WASTE).squeeze(("flops", "excess")))
    low = float(ends.sel(bound="lower", summary="q95"))
    high = float(ends.sel(bound="upper", summary="q05"))
    known = ends if bool(ends.notnull().any()) else few.runs.column(few.runs.counted)
    grid = np.geomspace(float(known.min()) / _SIDES, float(known.max()) * _SIDES, 90)
    curve = summarise(Posterior.of_joint_law(few).isoflop(flops, xr.DataArray(grid, dims="params")))
    band(axis, grid, curve, colour)
    middle = curve.sel(summary="median").to_numpy()
    if low < high:  # else no size is sure to waste so little
        inside = np.geomspace(low, high, 40)
        along = np.interp(np.log(inside), np.log(grid), middle)
        axis.plot(inside, along, **_GREEN, solid_capstyle="butt", zorder=3, gid=_BASIN)
    axis.annotate(
        f" {label}",
        (grid[-1], middle[-1]),
        (0, 0),
        textcoords="offset points",
        color=colour,
        va="center",
        annotation_clip=False,
        gid=_NAME,
    )
    best = summarise(compute_optimal(fit, flops, exponents=False).squeeze("flops")["params"])
    left, size, right = best.sel(summary=["q05", "median", "q95"]).to_numpy()
    height = float(np.interp(np.log(size), np.log(grid), middle))
    if np.isfinite(size):
        axis.plot([left, right], [height] * 2, color=ORANGE, lw=1.6, marker="|", ms=8, zorder=4)
        axis.plot(size, height, "D", color=ORANGE, ms=6, zorder=5)
    return float(size), height


def _write_sizes(axis: Axes, best: Sequence[tuple[float, float]]) -> None:
    """Write best sizes at their marks: that of the lowest curve below it, others above theirs."""
    lowest = min((height for size, height in best if np.isfinite(size)), default=np.nan)
    for size, height in best:
        if not np.isfinite(size):
            continue
        side = -1 if height == lowest else 1
        axis.annotate(
            words.count(size),
            (size, height),
            (0, side * (13 if side < 0 else 9)),
            textcoords="offset points",
            ha="center",
            va="top" if side < 0 else "bottom",
            color=ORANGE,
            weight="bold",
            path_effects=[withStroke(linewidth=1.5, foreground="white")],  # it may lie on runs
            zorder=7,  # below runs held back, whose edge the white one would hide
        )


def _move_names_apart(axis: Axes) -> None:
    """Move names of curves that end near each other up, from the lowest on."""
    written = (own for own in axis.texts if own.get_gid() == _NAME)
    names = [own for own in written if isinstance(own, Annotation)]
    scale = 72.0 / axis.figure.dpi
    heights = [float(axis.transData.transform(own.xy)[1]) * scale for own in names]
    free = -np.inf
    for place in np.argsort(heights):
        moved = max(free, heights[place])
        names[place].set_position((0, moved - heights[place]))
        free = moved + _APART


def _leave_out_far_runs(axis: Axes, fit: Fit) -> None:
    """End the panel below runs so far above the others that these would be flat; count them."""
    if len(fit.runs) < _FEWEST:
        return
    observed = fit.runs.column(fit.spec.response.column)
    quarter, middle, most = np.quantile(observed, (0.25, 0.5, 0.97))
    far = observed > most + 2 * (middle - quarter)
    if far.any():
        axis.set_ylim(top=observed[~far].max() * 1.02)
        said = f"{far.sum()} run{'s' if far.sum() > 1 else ''} above"
        axis.annotate(said, (0.99, 0.97), xycoords="axes fraction", ha="right", va="top", size=8.5)


def _finish(axis: Axes, fit: Fit, at: str, held_out: bool) -> None:
    (size,), own = fit.spec.law.role("size"), fit.spec.response
    axis.plot([], [], "D-", color=ORANGE, ms=6, label="best size N*, 90%")
    if any(line.get_gid() == _BASIN for line in axis.lines):
        wasted = f"wastes at most {_WASTE:.0%} of the compute"
        axis.plot([], [], **_GREEN, label=wasted)
    if len(fit.runs):
        curves = any(line.get_gid() == _OF_RUNS for line in axis.lines)
        said = "runs, and their isoFLOP curves" if curves else "runs"
        said += ", in the colour of their group" if fit.groups else ""
        axis.plot([], [], "o", ms=3, color=GREY, label=said)
    if held_out:
        axis.plot([], [], **_HELD, label="runs held back, not fitted")
    seen = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in axis.lines])
    log_axis(axis.xaxis, seen, "params")
    axis.set_xlabel(label_of(size))
    axis.set_ylabel(named(own.label))
    axis.margins(y=0.12)
    _leave_out_far_runs(axis, fit)
    _move_names_apart(axis)
    axis.set_title(f"Which size is best{at}")
    legend_below(axis, alone=len(axis.figure.axes) == 1, ncols=2)
