"""Pictures of sweeps: the bowl of every group along a setting, with its runs."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bayescale import words
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.plots.fits import moved_onto
from bayescale.plots.style import BLUE, GREY, ORANGE, band, named, picture, styled
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import predict, with_few_draws
from bayescale.runs.sweeps import at_ceiling

_STEPS = 90
_ABREAST = 5  # panels beside one another
_PANEL = 2.15, 1.8  # inches
_SMALL = 7.5  # of letters in a panel
_LEAST, _MOST = 0.002, 0.055  # ends of the rise that panels show at least and at most
_ROOM = 1.15
_WIDE = 15.0  # largest over smallest value from which on there is a tick a decade
_RUNS, _LOST, _BEST = "runs", "5% above the best or more, or diverged", "best value, 90%"


@picture
def plot_bowls(fit: Fit, along: str | None = None, *, groups: Sequence[str] = ()) -> Figure:
    """Draw how much the loss rises about the best value of a setting, a panel a group.

    Lines and bands are of the law, other settings at their best values; each run is as far from
    the line as from what the law says of it. Runs that diverged, or lie far above the best of
    their group, are crosses at the upper edge.

    Parameters
    ----------
    fit : Fit
        With groups, of a law that is least at some value of one or two settings.
    along : str, optional
        The setting; by default the first.
    groups : sequence of str, optional
        By default all.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For a fit without groups or without such a law, or an unknown setting or group.
    """
    knob = _knob(fit, along)
    shown, few = list(groups or _in_order(fit)), with_few_draws(fit)
    for name in shown:
        fit.require_group(name)
    columns = min(_ABREAST, len(shown))
    lines = -(-len(shown) // columns)
    with styled():
        figure, axes = plt.subplots(
            lines,
            columns,
            figsize=(max(_PANEL[0] * columns, 6.4), _PANEL[1] * lines + 0.7),
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        top = max(
            _draw(axis, few.of_group(name), name, knob)
            for name, axis in zip(shown, axes.flat, strict=False)
        )
        top = float(np.clip(_ROOM * top, _LEAST, _MOST))
        _frame(axes, top, len(shown), knob)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=8.5)
    return figure


def _in_order(fit: Fit) -> list[str]:
    """Order groups by their size, then by their tokens, where they have them."""
    table, column = fit.runs.table, str(fit.spec.group)
    by = [name for name in ("params", "tokens") if name in table]
    if not by:
        return list(fit.groups)
    middle = table[by].groupby(table[column].astype(str)).median()
    return [name for name in middle.sort_values(by).index if name in fit.groups]


def _knob(fit: Fit, along: str | None) -> str:
    """Name the setting along which bowls are drawn."""
    knobs = fit.spec.law.minimum_along if fit.spec.axes else ()
    if not fit.groups or not knobs:
        raise FitError(
            f"the model {fit.spec.name} has no bowl of each group along a setting: fit one such as "
            "transfer or bowl-hierarchical"
        )
    if along is not None and along not in knobs:
        raise FitError(
            f"no setting {along!r} in this fit; {words.did_you_mean(along, list(knobs))}"
        )
    return along or knobs[0]


def _draw(axis: Axes, own: Fit, name: str, knob: str) -> float:
    """Draw one group, and return how high its runs rise."""
    table = own.runs.table
    seen = table[knob].to_numpy(dtype=float)
    best = dict(zip(own.spec.axes, own.spec.law.best, strict=True))
    ends = np.quantile(own.posterior[best[knob]], (0.05, 0.5, 0.95))
    grid = np.geomspace(min(seen.min(), ends[1]) / _ROOM, max(seen.max(), ends[1]) * _ROOM, _STEPS)
    others = {
        other: float(own.posterior[best[other]].median())
        for other in own.spec.axes
        if other != knob
    }
    law = summarise(predict(own, {knob: grid, **others}))
    least = float(own.posterior[str(own.spec.law.least)].median())
    middle = np.log(law.sel(summary="median").to_numpy() / least)
    axis.set_xscale("log")
    band(axis, grid, law / least - 1, BLUE, label="law, median and 90%")
    lost = at_ceiling(table).to_numpy()
    onto = least * np.exp(np.interp(np.log(seen), np.log(grid), middle))
    points = moved_onto(own, onto) / least - 1
    axis.plot(seen[~lost], points[~lost], "o", ms=3, color="black", label=_RUNS)
    axis.plot(
        seen[lost],
        np.full(int(lost.sum()), 0.98),
        "x",
        ms=5,
        color=GREY,
        mew=1.3,
        transform=axis.get_xaxis_transform(),
        label=_LOST,
    )
    axis.axvspan(ends[0], ends[2], color=ORANGE, alpha=0.22, lw=0, label=_BEST)
    axis.axvline(ends[1], color=ORANGE, lw=1.2)
    axis.set_title(f"{named(_titled(own, name), 20)}: {_short(ends[1])}", size=8.5)
    return float(points[~lost].max(initial=0.0))


def _titled(own: Fit, name: str) -> str:
    """Name a group; one that is a value of a column by both."""
    column = str(own.spec.group)
    if column not in own.spec.covariates:
        return name
    value = float(own.runs.table[column].iloc[0])
    return f"{column} {value:g}" if value < 1e5 else f"{column} {words.trimmed(value)}"


def _frame(axes: np.ndarray, top: float, shown: int, knob: str) -> None:
    """Scale panels alike, and label the outer ones."""
    columns = axes.shape[1]
    low, high = axes.flat[0].get_xlim()
    ticks = (1.0,) if high > _WIDE * low else (1.0, 2.0, 5.0)
    for place, axis in enumerate(axes.flat[:shown]):
        axis.set_ylim(-0.06 * top, top)
        axis.xaxis.set_major_locator(LogLocator(subs=ticks, numticks=6))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        axis.tick_params(labelsize=_SMALL, labelbottom=place + columns >= shown)
        if place + columns >= shown:
            axis.set_xlabel(named(knob, 24), size=_SMALL)
        if place % columns == 0:
            axis.set_ylabel("loss above the least", size=_SMALL)


def _short(value: float) -> str:
    """Write a value of a setting in few letters: 0.0107, 3e-4, 512, 1.05M."""
    if value >= 1e4:
        return words.trimmed(value)
    if value >= 1e-3:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
