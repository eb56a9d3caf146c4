r"""The best value of one setting, from a sweep along it: a learning rate, a batch size, a width.

The bowl of ``models/bowl.toml`` is sampled as any curve is, with three differences. The minimum is
expected about the middle of what was tried, with an sd of 0.6 of its range, for people sweep where
they expect it. A bowl is no more than nearly true, so a run h above the least in log loss counts
with a further error of h/10. And runs far above the least, which may have diverged, say no more
than that they lie above: more than 5%, or above the five best of few. Without that one run that
blew up would bend the bowl. Simulated sweeps are in ``benchmarks/sweeps.py``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from numbers import Real

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.curves.importance import Effort, importance
from bayescale.curves.points import Points, Values, log_losses
from bayescale.curves.posterior import Draws, Target, require_curve_model
from bayescale.curves.shape import FEWEST
from bayescale.display import Part, Shown
from bayescale.draws import numbers
from bayescale.errors import BayescaleError, RunsError
from bayescale.laws.bowl import rise
from bayescale.modelling.priors import Prior
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import step

DRAWS = 2000
"""Draws that a result keeps."""

BRACKETED = 0.5
"""Probability from which on a sweep has an optimum within what was tried, not only a direction."""

WITHIN = 0.005
"""Share of the least loss by which a basin lies above it, so that it holds in any unit."""

COLUMNS = (
    *("sweep", "n", "diverged", "tried_low", "tried_high"),
    *("best", "best_q05", "best_q95", "value", "value_q05", "value_q95"),
    *("basin_low", "basin_high", "p_bracketed", "p_below", "p_above"),
    *("best_tried", "cost", "cost_q95", "try_next", "message"),
)
"""Columns of a table of optima."""

_EFFORT = Effort(first=750, rounds=5, most=16, draws=500, enough=300.0)
_ABOUT = 0.6  # sd of the best x about the middle of the range, in ranges
_INEXACT = 0.1  # error of the bowl, of what a run lies above the least
_FAR, _KEPT = 0.05, 5  # log loss above the least from which runs only bound; runs that do not
_SOFT, _ODD = 0.01, 0.005  # width of the bound; probability that a run lies above for no reason
_SURE = 0.95  # probability of being bracketed from which on no direction is named
_LEAST_STEP = 2.0  # factor to try beyond an edge
_WIDEST = 64.0  # of half a basin, in log x


@dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """What a sweep says of the best value of a setting.

    Parameters
    ----------
    message : str
        In one sentence.
    points : Points
        What was tried, runs that diverged with it.
    diverged : ndarray of bool
        Which of the points have no finite loss.
    far : ndarray of bool
        Which of them lie so far above the least, or diverged, that they only bound the bowl.
    best, value : mapping of str to float
        The best x, and the metric there without noise: median, q05, q95. NaN unless the best x
        probably lies within what was tried: then the sweep says a direction at most.
    basin : tuple of float
        Medians of the least and the largest x within `within` of the least loss; NaN as `best`.
    best_tried : float
        The x with the least expected loss of those that were tried.
    cost : mapping of str to float
        What it loses against the best x, as a share of the loss (of the error, where higher is
        better): median, q05, q95. NaN as `best`.
    p_below, p_above : float
        Probability that the best x lies below, above everything that was tried.
    try_next : float
        An x beyond the edge where the best one may lie, by the step of the sweep but at least a
        factor of 2; NaN where the best x is surely bracketed.
    draws : xarray.Dataset
        Dims (chain, draw): ``best``, ``value``, ``basin_low``, ``basin_high`` and ``cost``, of all
        draws, bracketed or not.
    """

    message: str
    points: Points = field(repr=False)
    diverged: np.ndarray = field(repr=False)
    far: np.ndarray = field(repr=False)
    best: dict[str, float]
    value: dict[str, float]
    basin: tuple[float, float]
    best_tried: float
    cost: dict[str, float]
    p_below: float
    p_above: float
    try_next: float
    draws: xr.Dataset = field(repr=False)

    def _parts(self) -> Iterator[Part]:
        yield f"{self.message}."

    @property
    def p_bracketed(self) -> float:
        """Probability that the best x lies within what was tried."""
        return max(0.0, 1.0 - self.p_below - self.p_above)

    @property
    def bracketed(self) -> bool:
        """Whether it probably does."""
        return self.p_bracketed >= BRACKETED


@typed
def find_optimum(
    x: Values,
    y: Values,
    *,
    stderr: Values | None = None,
    higher_is_better: bool = False,
    within: float = WITHIN,
    axis: str = "x",
    seed: int = 1,
) -> Sweep:
    r"""Find the best value of a setting from a sweep along it.

    .. math:: \log L = \log L_{min} + \frac{k}{p^2} (e^{pu} - 1 - pu), \qquad u = \log(x / x_{best})

    Parameters
    ----------
    x, y : array-like
        Values of the setting, positive, and the metric of each run. A loss of NaN or infinity is
        that of a run that diverged; leave out runs that are only missing.
    stderr : array-like, optional
        Standard error of each y.
    higher_is_better : bool, optional
        The metric is a share between 0 and 1 like accuracy; its error, 1 - y, has the bowl.
    within : float, optional
        How far above the least loss the basin reaches, as a share of it.
    axis : str, optional
        Name of x.
    seed : int, optional

    Returns
    -------
    Sweep

    Raises
    ------
    RunsError
        If a value cannot be used, or there are fewer than 3 different x with a finite loss.

    Examples
    --------
    >>> rates = np.geomspace(1e-4, 1e-2, 9)
    >>> loss = 3 * np.exp(0.02 * np.log(rates / 1e-3) ** 2)
    >>> sweep = find_optimum(rates, loss, axis="learning rate")
    >>> round(sweep.best["median"], 4), sweep.p_bracketed > 0.99
    (0.001, True)
    """
    return _sweep(
        x, y, stderr, None, higher_is_better=higher_is_better, within=within, axis=axis, seed=seed
    )


@typed
def find_optima(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    stderr: str | None = None,
    higher_is_better: bool = False,
    within: float = WITHIN,
    seed: int = 1,
) -> pd.DataFrame:
    """Find the best value of a setting from each sweep of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a run.
    by : str, sequence of str or None
        Columns that say which sweep a run belongs to; None if there is one.
    x, y : str
        Columns of the setting and of the metric.
    stderr : str, optional
        Column of standard errors.
    higher_is_better, within, seed
        As in `find_optimum`.

    Returns
    -------
    pandas.DataFrame
        A row a sweep, in the order in which they appear: ``sweep``, ``n`` (runs), ``diverged``
        (those without a finite loss), ends of what was tried ``tried_low`` and ``tried_high``, the
        ``best`` x and the ``value`` of the metric there with the ends of their central 90%
        intervals, ``basin_low`` and ``basin_high``, ``p_bracketed``, ``p_below`` and ``p_above``,
        ``best_tried`` with its relative ``cost`` and ``cost_q95``, ``try_next``, and the
        ``message``. Numbers are NaN where the sweep does not say them; a sweep that cannot be
        used has the reason as its message.

    Raises
    ------
    RunsError
        If a column is unknown, or the table has no rows.
    """
    sweeps = list(_sweeps(table, by, [name for name in (x, y, stderr) if name]))
    rows = []
    for number, (name, own, places) in enumerate(sweeps, 1):
        known = {"sweep": name, "n": len(own)}
        with step(f"sweep {number} of {len(sweeps)}"):
            try:
                found = _sweep(
                    own[x].to_numpy(),
                    own[y].to_numpy(),
                    None if stderr is None else own[stderr].to_numpy(),
                    places,
                    higher_is_better=higher_is_better,
                    within=within,
                    axis=x,
                    seed=seed,
                )
            except RunsError as refusal:
                rows.append({**known, "message": str(refusal)})
            else:
                rows.append({**known, **_row(found)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _sweep(
    x: Values,
    y: Values,
    stderr: Values | None,
    rows: np.ndarray | None,
    *,
    higher_is_better: bool,
    within: float,
    axis: str,
    seed: int,
) -> Sweep:
    if not 0 < within < np.inf:
        raise BayescaleError(f"within is {within:g}: it is a share of the loss, such as {WITHIN}")
    points, diverged = _points(x, y, stderr, rows, higher_is_better)
    if (usable := len(np.unique(points.x[~diverged]))) < FEWEST:
        raise RunsError(
            f"{usable} different {axis} with a finite loss make no sweep: "
            f"at least {FEWEST} are needed"
        )
    rng = np.random.default_rng(seed)
    target = _BowlTarget(points, diverged)
    drawn = Draws(
        target.spec,
        target.reference,
        target.line(importance(target, rng, _EFFORT).drawn(DRAWS, rng)),
    )
    log_least, best = np.log(drawn.natural["L_min"]), drawn.natural["x_best"]
    tried = np.unique(points.x[~diverged])
    log_loss = drawn.log_loss(tried)
    chosen = int(np.minimum(log_loss, log_least[:, None] + 1).mean(0).argmin())
    least = np.exp(log_least)
    low, high = (best * np.exp(reach) for reach in _reach(drawn, np.log1p(within)))
    draws = {
        **{"best": best, "value": 1 - least if higher_is_better else least},
        **{"basin_low": low, "basin_high": high},
        "cost": np.expm1(log_loss[:, chosen] - log_least),
    }
    return _said(
        xr.Dataset({name: (("chain", "draw"), own[None]) for name, own in draws.items()}),
        points,
        diverged,
        target.far,
        float(tried[chosen]),
        axis=axis,
        within=within,
    )


def _points(
    x: Values, y: Values, stderr: Values | None, rows: np.ndarray | None, higher_is_better: bool
) -> tuple[Points, np.ndarray]:
    """Points in the order of x, and which of them diverged: those have the largest finite loss."""
    given = np.array(y, dtype=object).ravel()
    lost = np.array([isinstance(one, Real) and not np.isfinite(float(one)) for one in given])
    if len(given) == 0 or lost.all():
        raise RunsError("no run has a finite loss: nothing says where the best value lies")
    given[lost] = 0.5  # any loss that can be, to look at the rest of these rows
    error = None if stderr is None else np.array(stderr, dtype=object).ravel()
    if error is not None and len(error) == len(given):
        error[lost] = 0.0
    measured = log_losses(x, given, stderr=error, higher_is_better=higher_is_better, rows=rows)
    log_loss = np.where(lost, measured.log_loss[~lost].max(), measured.log_loss)
    order = np.argsort(measured.x, kind="stable")
    axis, se = measured.x[order], measured.stderr[order]
    decades = float(np.log10(axis[-1] / axis[0]))
    return Points(axis, log_loss[order], se, len(axis), decades), lost[order]


@cache
def _bowl() -> ModelSpec:
    return require_curve_model(load_model("bowl"))


class _BowlTarget(Target):
    """Posterior of a bowl, to which runs far above the least are lower bounds.

    Parameters
    ----------
    points : Points
    diverged : ndarray of bool
    """

    def __init__(self, points: Points, diverged: np.ndarray) -> None:
        known = np.sort(points.log_loss[~diverged])
        above = points.log_loss - known[0]
        self.cut = max(known[0] + _FAR, known[min(_KEPT, len(known)) - 1])
        self.far = diverged | (points.log_loss > self.cut)
        stderr = np.hypot(points.stderr, _INEXACT * np.maximum(above, 0.0))
        log_x = np.log10(points.x)
        middle = (log_x[0] + log_x[-1]) / 2 - log_x.mean()
        place = Prior("Normal", (("mu", middle), ("sigma", _ABOUT * points.decades)))
        spec = replace(_bowl(), priors={**_bowl().priors, "place": place})
        super().__init__(spec, replace(points, stderr=stderr), np.where(self.far, 0.0, 1.0))

    def _log_likelihood(self, line: np.ndarray, mu: np.ndarray) -> np.ndarray:
        return super()._log_likelihood(line, mu) + self._bounds(mu)

    def _bounds(self, mu: np.ndarray) -> np.ndarray:
        """Log probability that the runs far above lie above the cut."""
        steps = 1.7 * (mu[..., self.far] - self.cut) / _SOFT  # about a Normal's
        above = 0.5 * (1 + np.tanh(steps / 2))
        bounds: np.ndarray = np.log(_ODD + (1 - _ODD) * above).sum(-1)
        return bounds

    def _likelihood_slopes(self, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient, and expected information without that of the bounds."""
        gradient, information = super()._likelihood_slopes(line)
        if self.far.any():
            law, tiny = len(self.spec.priors), 1e-5
            steps = tiny * np.eye(line.shape[-1])[:law]
            places = np.concatenate([line[:, None], line[:, None] + steps], axis=1)
            bounds = self._bounds(self._law(places))
            gradient[:, :law] += (bounds[:, 1:] - bounds[:, :1]) / tiny
        return gradient, information


def _reach(drawn: Draws, above: float) -> tuple[np.ndarray, np.ndarray]:
    """How far in log x each bowl stays below so much log loss, to both sides of its minimum."""
    shape = drawn.natural["curvature"], drawn.natural["asymmetry"]

    def side(sign: float) -> np.ndarray:
        low, high = np.zeros(len(shape[0])), np.full(len(shape[0]), _WIDEST)
        for _ in range(50):
            middle = (low + high) / 2
            inside = rise(sign * middle, *shape) < above
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return sign * low

    return side(-1.0), side(1.0)


def _said(
    draws: xr.Dataset,
    points: Points,
    diverged: np.ndarray,
    far: np.ndarray,
    best_tried: float,
    *,
    axis: str,
    within: float,
) -> Sweep:
    """Summarise draws, as far as the sweep brackets its optimum."""
    low, high = float(points.x[0]), float(points.x[-1])
    p_below = float((draws["best"] < low).mean())
    p_above = float((draws["best"] > high).mean())
    bracketed = 1 - p_below - p_above >= BRACKETED
    found = {name: numbers(draws[name]) for name in ("best", "value", "cost")}
    ends = [float(draws[name].median()) for name in ("basin_low", "basin_high")]
    if not bracketed:
        found = {name: dict.fromkeys(own, np.nan) for name, own in found.items()}
        ends = [np.nan, np.nan]
    beyond = _beyond(points, p_below, p_above)
    sweep = Sweep(
        "",
        points,
        diverged,
        far,
        best=found["best"],
        value=found["value"],
        basin=(ends[0], ends[1]),
        best_tried=best_tried,
        cost=found["cost"],
        p_below=p_below,
        p_above=p_above,
        try_next=beyond if 1 - p_below - p_above < _SURE else np.nan,
        draws=draws,
    )
    return replace(sweep, message="; ".join(_sentences(sweep, axis, within)))


def _beyond(points: Points, p_below: float, p_above: float) -> float:
    """Return an x a step beyond the edge where the best one lies rather."""
    tried = np.unique(points.x)
    factor = max(float(np.median(tried[1:] / tried[:-1])), _LEAST_STEP)
    return float(tried[-1] * factor if p_above >= p_below else tried[0] / factor)


def _sentences(sweep: Sweep, axis: str, within: float) -> Iterator[str]:
    write = _write
    above = sweep.p_above >= sweep.p_below
    probability = sweep.p_above if above else sweep.p_below
    edge, place = ("largest", -1) if above else ("smallest", 0)
    direction = (
        f"the best {axis} lies beyond the {edge} tried, {write(sweep.points.x[place])}, with "
        f"probability {words.chance(probability)}: try {write(sweep.try_next)}"
    )
    if sweep.bracketed:
        best, cost, (low, high) = sweep.best, sweep.cost, sweep.basin
        yield (
            f"the best {axis} is {write(best['median'])}, 90% interval {write(best['q05'])} to "
            f"{write(best['q95'])}; within {_share(within)} of the least loss from {write(low)} to "
            f"{write(high)}; {write(sweep.best_tried)}, the best tried, costs "
            f"{_share(cost['median'])} of the loss, at most {_share(cost['q95'])}"
        )
    if not np.isnan(sweep.try_next):
        yield direction
    if len(lost := np.unique(sweep.points.x[sweep.diverged])):
        yield f"no finite loss at {', '.join(map(write, lost))}: taken as diverged"
    if number := int((sweep.far & ~sweep.diverged).sum()):
        yield f"{number} run{'s' if number > 1 else ''} far above the least only bound the bowl"


def _write(value: float) -> str:
    return words.number("", float(value)) if value < 1e4 else words.trimmed(float(value))


def _share(value: float) -> str:
    return "0%" if value < 5e-6 else f"{100 * value:.1g}%"


def _row(found: Sweep) -> dict[str, object]:
    """Columns of a sweep but its name and the number of its runs."""
    row: dict[str, object] = {"diverged": int(found.diverged.sum()), "message": found.message}
    row |= {"tried_low": found.points.x[0], "tried_high": found.points.x[-1]}
    for name, own in (("best", found.best), ("value", found.value)):
        row |= {name: own["median"], f"{name}_q05": own["q05"], f"{name}_q95": own["q95"]}
    row |= {"basin_low": found.basin[0], "basin_high": found.basin[1]}
    row |= {name: getattr(found, name) for name in ("p_bracketed", "p_below", "p_above")}
    row |= {"best_tried": found.best_tried, "try_next": found.try_next}
    return row | {"cost": found.cost["median"], "cost_q95": found.cost["q95"]}


def _sweeps(
    table: pd.DataFrame, by: str | Sequence[str] | None, read: list[str]
) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Name, runs and rows of each sweep, in the order in which they appear."""
    columns = [by] if isinstance(by, str) else list(by or ())
    for column in (*columns, *read):
        if column not in table.columns:
            raise RunsError(
                f"the table has no column {column!r}; "
                f"{words.did_you_mean(column, list(map(str, table.columns)))}"
            )
    if len(table) == 0:
        raise RunsError("the table has no rows")
    if not columns:
        yield "all rows", table, np.arange(len(table))
        return
    names = table[columns].astype(str).agg(" | ".join, axis=1)
    for name, places in names.groupby(names, sort=False).indices.items():
        yield str(name), table.iloc[places], places
