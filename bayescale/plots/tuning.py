"""Pictures of settings: how the best value moves from cell to cell, and what others cost."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bayescale import words
from bayescale.decisions.hyperparameters import Bowl, bowl_of, bracketed, places_of, require_swept
from bayescale.decisions.tune import SURE, setting
from bayescale.draws import summarise
from bayescale.errors import FitError
from bayescale.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    band,
    legend_below,
    log_axis,
    named,
    panel,
    picture,
    styled,
)
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import with_few_draws

_STEPS, _GRID, _ROOM = 24, 45, 1.25
_LEVELS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # of the loss, of contours


@picture
def plot_setting_path(
    fit: Fit,
    knob: str,
    along: str,
    plans: Sequence[Mapping[str, float]] = (),
    *,
    ax: Axes | None = None,
) -> Figure:
    """Draw the best value of a setting in every cell along a column, with the power law.

    The cells are drawn where the power law says that they would lie if all other columns were those
    of the middle of the cells: so only what one column does is seen. Hollow cells are those whose
    best value may lie outside of what was tried.

    Parameters
    ----------
    fit : Fit
        Of `bayescale.fit_tuning`.
    knob : str
    along : str
        A column that the model has trends in, such as ``params``.
    plans : sequence of mapping of str to float, optional
        Planned runs, by the columns of the trends.
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For a fit of another kind, an unknown setting, or a column without a trend.
    """
    require_swept(fit)
    for what, name, known in (
        ("setting", knob, fit.spec.axes),
        ("column with a trend", along, fit.spec.covariates),
    ):
        if name not in known:
            raise FitError(f"no {what} {name!r} in this fit; {words.did_you_mean(name, known)}")
    few, at, middle = with_few_draws(fit), places_of(fit), fit.middle
    law = _power_law(few, knob)

    def moved(own: Mapping[str, float], best: xr.DataArray) -> xr.DataArray:
        return best * law({**middle, along: own[along]}) / law(own)

    values = np.array([own[along] for own in at.values()])
    ends = [min(values), max([*values, *(plan[along] for plan in plans)])]
    grid = np.geomspace(ends[0] / _ROOM, ends[1] * _ROOM, _STEPS)
    with styled():
        figure, axis = panel(ax, (6.4, 4.4))
        said = [law({**middle, along: value}) for value in grid]
        band(axis, grid, summarise(xr.concat(said, dim="at")), BLUE, label="power law, 90%")
        inside = bracketed(fit).sel(knob=knob, side="inside").to_numpy() >= SURE
        cells = [moved(own, Bowl(few.of_group(cell)).best[knob]) for cell, own in at.items()]
        summary = summarise(xr.concat(cells, dim="cell"))
        for chosen, face, label in (
            (inside, "black", "cells, 90%"),
            (~inside, "white", "cells whose best may lie outside of what was tried"),
        ):
            if chosen.any():
                _points(axis, values[chosen], summary.isel(cell=chosen), "black", face, "o", label)
        if plans:
            wanted = [{n: plan[n] for n in fit.spec.covariates} for plan in plans]
            new = [moved(own, bowl_of(few, seed=1, **own).best[knob]) for own in wanted]
            _points(
                axis,
                np.array([own[along] for own in wanted]),
                summarise(xr.concat(new, dim="cell")),
                ORANGE,
                ORANGE,
                "D",
                "planned",
            )
        others = [name for name in fit.spec.covariates if name != along]
        moved_to = ", ".join(f"{words.count(middle[name])} {name}" for name in others)
        log_axis(axis.xaxis, list(grid), along)
        _log_settings(axis, knob)
        axis.set_title(f"Best {named(knob, 28)}" + (f", all moved to {moved_to}" if others else ""))
        legend_below(axis, alone=ax is None, ncols=2)
    return figure


def _power_law(fit: Fit, knob: str) -> Callable[[Mapping[str, float]], xr.DataArray]:
    """Best value that the trends say at any place, without the scatter of cells."""
    middle = fit.middle

    def typical(at: Mapping[str, float]) -> xr.DataArray:
        new = fit.with_new_group("typical", along=at, typical=True).of_group("typical")
        return xr.ufuncs.log(Bowl(new).best[knob])

    centre = typical(middle)
    slopes = {name: typical({**middle, name: 10 * own}) - centre for name, own in middle.items()}

    def law(at: Mapping[str, float]) -> xr.DataArray:
        moved = sum(slope * np.log10(at[n] / middle[n]) for n, slope in slopes.items())
        return xr.ufuncs.exp(centre + moved)

    return law


def _points(
    axis: Axes,
    at: np.ndarray,
    best: xr.DataArray,
    colour: str,
    face: str,
    mark: str,
    label: str,
) -> None:
    low, middle, high = (best.sel(summary=name).to_numpy() for name in ("q05", "median", "q95"))
    errors = np.array([middle - low, high - middle])
    axis.errorbar(
        at, middle, errors, fmt=mark, ms=5, lw=1.1, color=colour, mfc=face, label=label, zorder=4
    )


def _log_settings(axis: Axes, knob: str) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: setting(value)))
    axis.set_ylabel(f"best {named(knob)}")


@picture
def plot_setting_costs(
    fit: Fit,
    plan: Mapping[str, float],
    *,
    forced: Mapping[str, float] | None = None,
    within: float = 0.005,
    seed: int = 1,
    ax: Axes | None = None,
) -> Figure:
    """Draw what settings are expected to cost a planned run: a curve of one, a map of two.

    Of two settings contours of the expected loss above the best, the draws of the best settings,
    and the line of the best first setting for each second one. Of one the cost with its interval.

    Parameters
    ----------
    fit : Fit
        Of `bayescale.fit_tuning`.
    plan : mapping of str to float
        The planned run, by the columns of the trends.
    forced : mapping of str to float, optional
        A setting that is given.
    within : float, optional
        Share of the loss that is marked.
    seed : int, optional
    ax : matplotlib.axes.Axes, optional
        Panel of a figure of yours to draw in.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        For a fit of another kind, or a plan that does not say where it lies.
    """
    known = {name: float(plan[name]) for name in plan if name in fit.runs.table.columns}
    whole = bowl_of(fit, seed=seed, **known)
    bowl, given = Bowl(with_few_draws(whole.fit, 400)), dict(forced or {})
    where = " on ".join(f"{words.count(plan[n])} {n}" for n in ("params", "tokens") if n in plan)
    with styled():
        figure, axis = panel(ax, (6.4, 4.8))
        free = [knob for knob in bowl.knobs if knob not in given]
        if len(free) == 2:
            _map(figure, axis, bowl, within)
        else:
            _curve(axis, bowl, free[0] if free else bowl.knobs[0], given, within)
        axis.set_title(f"Expected cost of settings{': ' + where if where else ''}")
        legend_below(axis, alone=ax is None, ncols=2)
    return figure


def _grid(
    bowl: Bowl, knob: str, points: int, given: Mapping[str, float] | None = None
) -> np.ndarray:
    """Values about the best, as wide as what is known of it and as costs a few percent."""
    best = bowl.tuned_to(given or {})[knob]
    low, high = np.quantile(best, (0.02, 0.98))
    return np.geomspace(low / 8, high * 8, points)


def _map(figure: Figure, axis: Axes, bowl: Bowl, within: float) -> None:
    first, second = bowl.knobs
    x, z = (_grid(bowl, knob, _GRID) for knob in (first, second))
    at = {first: xr.DataArray(x, dims="x"), second: xr.DataArray(z, dims="z")}
    cost = xr.ufuncs.expm1(bowl.rise(**at)).mean(("chain", "draw")).transpose("x", "z").to_numpy()
    levels = [level for level in _LEVELS if cost.min() < level < cost.max()]
    axis.contourf(z, x, cost, levels=[0.0, within], colors=[BLUE], alpha=0.15)
    lines = axis.contour(z, x, cost, levels=levels, colors=GREY, linewidths=0.9)
    axis.clabel(lines, fmt=lambda level: f"{100 * level:g}%", fontsize=8)
    draws = {knob: bowl.best[knob].to_numpy().ravel() for knob in bowl.knobs}
    axis.plot(draws[second], draws[first], ".", ms=3, color=ORANGE, alpha=0.35, label="best, draws")
    choice = bowl.choice()
    axis.plot(choice[second], choice[first], "D", ms=8, color=ORANGE, mec="black", label="choice")
    ridge = bowl.tuned_to({second: xr.DataArray(z, dims="z")})[first].median(("chain", "draw"))
    axis.plot(z, ridge, "--", lw=1.2, color="black", label=f"best {named(first, 20)} for each")
    axis.fill_between([], [], color=BLUE, alpha=0.15, label=f"within {100 * within:g}% of the loss")
    axis.set(xscale="log", yscale="log", xlim=(z[0], z[-1]), ylim=(x[0], x[-1]))
    for own, knob in ((axis.xaxis, second), (axis.yaxis, first)):
        own.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        own.set_minor_formatter(NullFormatter())
        own.set_major_formatter(FuncFormatter(lambda value, _: setting(value)))
        own.set_label_text(named(knob))


def _curve(axis: Axes, bowl: Bowl, knob: str, given: Mapping[str, float], within: float) -> None:
    grid = _grid(bowl, knob, _GRID, {n: v for n, v in given.items() if n != knob})
    others = {name: value for name, value in given.items() if name != knob}
    cost = xr.ufuncs.expm1(bowl.rise(**{**others, knob: xr.DataArray(grid, dims="x")}))
    band(axis, grid, 100 * summarise(cost), BLUE, label="median, 90%")
    axis.plot(
        grid, 100 * cost.mean(("chain", "draw")), "--", color="black", lw=1.1, label="expected"
    )
    axis.axhline(100 * within, color=GREY, lw=0.9)
    choice = bowl.choice(**others)[knob]
    axis.axvline(choice, color=ORANGE, lw=1.4, label=f"choice {setting(choice)}")
    axis.set_xscale("log")
    axis.set_ylim(0, 100 * max(4 * within, 0.02))
    axis.set_ylabel("loss above the best, %")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: setting(value)))
    fixed = ", ".join(f"{name} {setting(value)}" for name, value in others.items())
    axis.set_xlabel(named(knob) + (f" at {fixed}" if fixed else ""))
