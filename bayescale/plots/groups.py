"""Pictures of groups: what differs between them, and what pooling does to it."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bayescale import words
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.plots.style import BLUE, GREEN, GREY, ORANGE, named, picture, styled, unit_of
from bayescale.posterior.fit import Fit

_MIDDLE = "middle of the population"
_COLOURS = (ORANGE, GREEN)  # of that, and of a new group


@picture
def plot_forest(fit: Fit, names: Sequence[str] | None = None) -> Figure:
    """Draw each parameter that differs between groups: median and central 90% of every group.

    Where the model has a population, two more rows: its middle (how well that is known), and a new
    group drawn from it (what to expect where there are no runs yet), by the name of its column.

    Parameters
    ----------
    fit : Fit
        With groups.
    names : sequence of str, optional
        Parameters that differ between groups, each a panel; by default the law's own, the
        exponents first.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        For a fit without groups, or a parameter that does not differ between them.
    """
    shown = _varying(fit) if names is None else _require_varying(fit, names)
    extended = _with_population(fit)
    added = extended.groups[len(fit.groups) :]
    rows, colours = [*_ordered(fit, shown[0]), *added], dict(zip(added, _COLOURS, strict=False))
    summary = summarise(extended.posterior[shown].sel(group=rows))
    with styled():
        figure, axes = _panels(len(shown), rows, f"What differs by {named(fit.spec.group)}")
        for axis, name in zip(axes, shown, strict=True):
            _frame(axis, name, summary[name].sel(group=list(fit.groups)))
            axis.set_xlabel(unit_of(name, fit.spec.response))
            for place, row in enumerate(rows):
                colour = colours.get(row, BLUE)
                _bar(axis, summary[name].sel(group=row), place, colour)
            for label, row in zip(axis.get_yticklabels(), rows, strict=False):  # the first has any
                label.set_color(colours.get(row, "black"))
    return figure


@picture
def plot_shrinkage(fit: Fit, unpooled: Fit) -> Figure:
    """Draw how partial pooling moves every group's estimate, for each exponent that differs, and E.

    Where neither does, all that differs is drawn.

    Parameters
    ----------
    fit : Fit
        With partially pooled groups.
    unpooled : Fit
        Of the same runs without pooling: ``fit(runs, spec.unpooled())``.

    Returns
    -------
    matplotlib.figure.Figure
        Of several panels.

    Raises
    ------
    FitError
        If the fits have no groups or other ones.
    """
    if set(fit.groups) != set(unpooled.groups):
        raise FitError(
            f"the fits have other groups: {', '.join(fit.groups) or 'none'} against "
            f"{', '.join(unpooled.groups) or 'none'}; fit the same runs with spec.unpooled()"
        )
    differ = [name for name in _varying(fit) if name in fit.posterior]
    exponents = [n for n in differ if n in fit.spec.priors or n == "E"] or differ
    rows = _ordered(fit, exponents[0])
    apart, pooled = (summarise(f.posterior[exponents].sel(group=rows)) for f in (unpooled, fit))
    middle = summarise(_typical(fit).of_group(_MIDDLE).posterior)
    with styled():
        title = f"Each {named(fit.spec.group)} alone, and drawn to the others"
        figure, axes = _panels(len(exponents), rows, title, height=0.45)
        for axis, name in zip(axes, exponents, strict=True):
            _frame(axis, name, xr.concat([apart[name], pooled[name]], "fit"))
            axis.set_xlabel(unit_of(name, fit.spec.response))
            if fit.spec.partial:
                _population(axis, middle[name])
            for place, row in enumerate(rows):
                _move(axis, apart[name].sel(group=row), pooled[name].sel(group=row), place)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _varying(fit: Fit) -> list[str]:
    """List the parameters of the law that differ between groups, exponents first."""
    if not fit.groups:
        raise FitError(f"the model {fit.spec.name} has no groups: fit a hierarchical one")
    differ = [name for name, value in fit.natural.items() if "group" in value.dims]
    return sorted(differ, key=lambda name: name not in fit.spec.priors)


def _require_varying(fit: Fit, names: Sequence[str]) -> list[str]:
    _varying(fit)
    valid = [str(n) for n, value in fit.posterior.items() if "group" in value.dims]
    for name in names:
        if name not in valid:
            raise FitError(
                f"{name!r} does not differ between the groups; {words.did_you_mean(name, valid)}"
            )
    if not names:
        raise FitError(f"no parameter named; those that differ are {', '.join(valid)}")
    return list(names)


def _with_population(fit: Fit) -> Fit:
    """Add the middle of the population and a new group, where there is a population."""
    if not fit.spec.partial:
        return fit
    return _typical(fit).with_new_group(
        f"a new {words.spaced(str(fit.spec.group))}", along=fit.middle
    )


def _typical(fit: Fit) -> Fit:
    return fit.with_new_group(_MIDDLE, typical=True, along=fit.middle)


def _ordered(fit: Fit, name: str) -> list[str]:
    """Sort groups by the median of a parameter, smallest first."""
    medians = fit.posterior[name].median(("chain", "draw"))
    return [str(group) for group in medians["group"].to_numpy()[np.argsort(medians.to_numpy())]]


def _panels(
    number: int, rows: Sequence[str], title: str, height: float = 0.3
) -> tuple[Figure, list[Axes]]:
    """Make a panel for each parameter and a row for each group, the first on top."""
    columns = min(3, number)
    lines = -(-number // columns)
    size = max(1.6 + 2.8 * columns, 7.2), 0.5 + lines * (0.8 + height * len(rows))
    figure, axes = plt.subplots(lines, columns, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[number:]:
        axis.set_axis_off()
    axes[0, 0].set_yticks(range(len(rows)), [named(row, 30) for row in rows])
    axes[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle(f"{title} (median and 90% interval)", x=0.01, ha="left", size=10.5)
    return figure, list(axes.flat[:number])


def _frame(axis: Axes, name: str, groups: xr.DataArray) -> None:
    """Set the axis by what is known of the groups: a population of few is far less certain."""
    axis.set_title(name)
    axis.tick_params("y", length=0)
    axis.grid(axis="y", visible=False)
    low, high = float(groups.min()), float(groups.max())
    if low > 0 and high > 4 * low:
        room = (high / low) ** 0.5
        axis.set_xscale("log")
        axis.set_xlim(low / room, high * room)
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0,) if room > 5 else (1.0, 3.0)))
        axis.xaxis.set_minor_locator(NullLocator())
    else:
        room = 0.5 * (high - low)
        axis.set_xlim(low - room, high + room)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    if high > 1e4:
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.flops(value)))


def _bar(axis: Axes, summary: xr.DataArray, place: float, colour: str, width: float = 3) -> None:
    """Draw median and central 90% as a dot on a bar; an arrow and a number where it leaves."""
    low, high = summary.sel(summary=["q05", "q95"]).to_numpy()
    axis.plot([low, high], [place, place], color=colour, lw=width, solid_capstyle="butt")
    axis.plot(summary.sel(summary="median"), place, "o", ms=6, color=colour, mec="white", mew=0.8)
    left, right = axis.get_xlim()
    form = words.flops if max(abs(low), abs(high)) > 1e4 else words.significant
    for end, edge, outside, mark, side in (
        (low, left, low < left, "<", "left"),
        (high, right, high > right, ">", "right"),
    ):
        if outside:
            axis.plot(edge, place, mark, ms=7, color=colour, clip_on=False)
            axis.annotate(
                form(end),
                (edge, place),
                (8 if side == "left" else -8, 3),
                textcoords="offset points",
                ha=side,
                size=8,
                color=colour,
            )


def _population(axis: Axes, summary: xr.DataArray) -> None:
    low, middle, high = summary.sel(summary=["q05", "median", "q95"]).to_numpy()
    axis.axvspan(low, high, color=ORANGE, alpha=0.12, lw=0)
    axis.axvline(middle, color=ORANGE, lw=1.2, label=_MIDDLE)


def _move(axis: Axes, apart: xr.DataArray, pooled: xr.DataArray, place: int) -> None:
    """Draw one group's estimate alone, below that with the others, and the way between the two."""
    ends = []
    for summary, colour, shift, label in (
        (apart, GREY, -0.15, "alone (no pooling)"),
        (pooled, BLUE, 0.15, "with the others (partial pooling)"),
    ):
        _bar(axis, summary, place + shift, colour)
        ends.append((float(summary.sel(summary="median")), place + shift))
        if place == 0:
            axis.plot([], [], "o-", color=colour, lw=3, label=label)
    axis.plot(*zip(*ends, strict=True), color="black", lw=0.8)
