"""Pictures behind the checks of a fit."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from bayescale.draws import CI_PROB
from bayescale.errors import FitError
from bayescale.evaluation.checks.predictive import AxisDetail
from bayescale.plots.style import (
    BLUE,
    GREEN,
    GREY,
    LABELS,
    ORANGE,
    log_axis,
    named,
    picture,
    styled,
)
from bayescale.runs.check import Check, Status

_COLUMNS = 3
_COLOURS = {Status.PASS: GREEN, Status.REVIEW: "#b07d00", Status.FAIL: ORANGE}
_SHOWN = 0.99  # share of the residuals that the panels must hold: one outlier would flatten them


@picture
def plot_checks(checks: Sequence[Check]) -> Figure:
    """Draw what `bayescale.check_fit` found: residuals along each axis, and LOO-PIT.

    Residuals with their binned means, and where the means of 90% of simulated refits
    lie were the law true; the LOO-PIT is drawn as its distribution function less the uniform one.

    Parameters
    ----------
    checks : sequence of Check
        What `bayescale.check_fit` returns.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        If the checks hold nothing to draw, as those of `bayescale.check_runs` do.
    """
    along = [check for check in checks if isinstance(check.detail, AxisDetail)]
    pits = [check for check in checks if check.name == "LOO-PIT"]
    number = len(along) + len(pits)
    if not number:
        raise FitError("these checks hold no residuals to draw: give those of check_fit")
    columns = min(_COLUMNS, number)
    lines = -(-number // columns)
    with styled():
        figure, axes = plt.subplots(
            lines, columns, figsize=(3.5 * columns, 2.9 * lines), squeeze=False
        )
        for axis, check in zip(axes.flat, along, strict=False):
            _residuals(axis, check)
        for axis, check in zip(axes.flat[len(along) :], pits, strict=False):
            _pit(axis, check)
        for axis in axes.flat[number:]:
            axis.set_axis_off()
        handles, labels = axes.flat[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _title(axis: Axes, check: Check, text: str) -> None:
    axis.set_title(f"{text}: {check.status}", color=_COLOURS[check.status])


def _residuals(axis: Axes, check: Check) -> None:
    detail = check.detail
    axis.axhline(0, color="black", lw=0.8)
    axis.plot(
        detail.values, 100 * detail.residual, "o", ms=2.5, color=GREY, alpha=0.5, label="runs"
    )
    axis.fill_between(
        detail.bin_values,
        100 * detail.bin_low,
        100 * detail.bin_high,
        color=BLUE,
        alpha=0.2,
        lw=0,
        label="means of refits were the law true, 90%",
    )
    outside = (detail.bin_mean < detail.bin_low) | (detail.bin_mean > detail.bin_high)
    axis.plot(detail.bin_values, 100 * detail.bin_mean, color=BLUE, lw=1.3, label="mean of the bin")
    axis.plot(detail.bin_values[outside], 100 * detail.bin_mean[outside], "o", ms=5, color=ORANGE)
    reach = 100 * max(np.quantile(np.abs(detail.residual), _SHOWN), np.abs(detail.bin_mean).max())
    axis.set_ylim(-1.15 * reach, 1.15 * reach)
    if detail.is_log:
        log_axis(axis.xaxis, detail.values, detail.axis)
    axis.set_xlabel(LABELS.get(detail.axis, named(check.along)))
    own = detail.response
    log, unit = ("log ", "%") if own.scale == "log" else ("", "points")
    axis.set_ylabel(f"residual of {log}{named(own.name)} ({unit})")
    _title(axis, check, named(check.along, 25).capitalize())


def _pit(axis: Axes, check: Check) -> None:
    pit = np.sort(check.detail)
    grid = np.linspace(0, 1, 101)
    half = norm.ppf((1 + CI_PROB) / 2) * np.sqrt(grid * (1 - grid) / len(pit))
    axis.fill_between(grid, -half, half, color=BLUE, alpha=0.2, lw=0)
    below = np.searchsorted(pit, grid, side="right") / len(pit)
    axis.step(grid, below - grid, color=BLUE, lw=1.3, where="post")
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xlabel("LOO-PIT u")
    axis.set_ylabel("share of runs below u, less u")
    _title(axis, check, "LOO-PIT")
