"""The many curves of a table: labels, exponents, regimes, and the posterior of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.curves.measured import Measured, cluster_names, measured_curves
from bayescale.curves.points import Measurements, Metric
from bayescale.curves.posterior import require_curve_model
from bayescale.curves.rule import Shape
from bayescale.curves.shape import FEWEST, FLOORLESS, MODEL, CurveShape, Judged, judge_points
from bayescale.curves.sweep import Sweep, find_optimum
from bayescale.curves.together import TOP, WHOLE, WORTH, Together, Weighting, fit_together
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.draws import numbers
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import showing
from bayescale.workers import call_each

_TURNED = 0.5  # probability of a rise at the top from which on a curve has turned
_MIRRORED = {"median": "median", "q05": "q95", "q95": "q05"}

REFUSED = "refused"
"""Label of a curve with a value that cannot be used."""

QUANTITY = "growth"
"""Model of a positive quantity of which neither more nor less is better."""

COLUMNS = (
    "curve",
    "n",
    "decades",
    "label",
    "p_power_law",
    "p_exponential",
    "p_broken",
    "p_saturated_guess",
    "p_inverse",
    "p_flat",
    "p_up_top",
    "p_steep",
    "slope",
    "slope_q05",
    "slope_q95",
    "exponent",
    "exponent_q05",
    "exponent_q95",
    "floor",
    "floor_q05",
    "floor_q95",
    "best",
    "best_q05",
    "best_q95",
    "p_bracketed",
    "near_chance_until",
    "irreducible_from",
    "durbin_watson_p",
    "message",
)
"""Columns of a table of labels."""


@dataclass(frozen=True)
class Curve:
    """One curve of a table.

    Parameters
    ----------
    name : str
    rows : int
        Rows of the table that belong to it.
    top, decades : float
        Its largest x, and its range in decades; NaN where it is refused.
    label : str
        A `Shape`, or "refused".
    message : str
        Why.
    shape : CurveShape or None
        None where it is refused, or has fewer than 3 different x.
    sweep : Sweep or None
        Where the best x lies, of a curve that falls and ends rising.
    """

    name: str
    rows: int
    top: float
    decades: float
    label: str
    message: str
    shape: CurveShape | None = field(repr=False)
    sweep: Sweep | None = field(default=None, repr=False)

    @property
    def metric(self) -> Metric:
        """What was measured."""
        return Metric.LOSS if self.shape is None else self.shape.metric


@dataclass(frozen=True, repr=False)
class Curves(Shown, Sequence[Curve]):
    """The curves of a table, in the order in which they appear.

    Parameters
    ----------
    each : tuple of Curve
    together : Together or None
        What those that fall have in common, and what the table says of its own forecasts; None
        where none falls.
    """

    each: tuple[Curve, ...]
    together: Together | None = field(repr=False)

    def __len__(self) -> int:
        """Return the number of curves."""
        return len(self.each)

    @overload
    def __getitem__(self, place: int) -> Curve: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Curve, ...]: ...

    def __getitem__(self, place: int | slice) -> Curve | tuple[Curve, ...]:
        """Return a curve by its place, or curves by a slice."""
        return self.each[place]

    def _parts(self) -> Iterator[Part]:
        yield Bold(words.counted(len(self), "curve"))
        rows = [(one.name, words.spaced(one.label), one.message) for one in self]
        yield Grid(("curve", "label", "why"), rows)
        yield from self.together.sentences if self.together is not None else ()


@typed
def fit_curves(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    stderr: str | None = None,
    trials: str | None = None,
    higher_is_better: bool | str = False,
    chance: float | str | None = None,
    quantity: bool = False,
    cluster: str | Sequence[str] | None = None,
    model: str | Path | None = None,
    alone: bool = False,
    seed: int = 1,
    progress: bool | None = None,
) -> Curves:
    r"""Fit every curve of a table: one posterior for its label, exponent, slope and forecast.

    Every curve that falls is fitted by one law, by default a power law after a plateau,
    :math:`L = E + (U - E)(1 + (x/h)^{1/f})^{-\alpha f}`, with a likelihood that listens most to the
    points nearest to what lies beyond, :math:`w_i = \min(1, \kappa (x_i / x_{max})^2)` with a sum
    of at most 6. From 5 curves on priors are learned across them, but for those that are flat,
    which are fitted alone; from 8 on the table's own backtests say whether every point may count in
    full, and how far forecasts should fall. Where the label is of another law, draws are of each
    law that falls as often as it is probable.

    Where the curves are many, all cores fit them; the draws are the same. One that fails is refused
    with the reason.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a point.
    by : str, sequence of str or None
        Columns that say which curve a point belongs to; None if there is one curve.
    x, y : str
        Columns of the axis and of the metric.
    stderr, trials, higher_is_better, chance
        As in `classify_curves`.
    quantity : bool, optional
        The metric is a positive quantity of which neither more nor less is better, such as a best
        batch size or N*: a power law of either sign, to which every point counts in full. What
        grows is read as one over it.
    cluster : str or sequence of str, optional
        Columns whose values group curves that are alike, such as the data set.
    model : str or path, optional
        Another model of a single axis, with its law taken as exact. No other law has a say then.
    alone : bool, optional
        Fit each curve by itself: nothing is learned across curves.
    seed : int, optional
        Same seed, same machine: same draws, whatever other curves are in the table if `alone`.
    progress : bool, optional
        Show which curve is fitted; by default on a terminal and in a notebook.

    Returns
    -------
    Curves

    Raises
    ------
    RunsError
        If a column is unknown, there are no rows, a row belongs to no curve, or the one chance
        level of all curves cannot be.
        Or if no curve that falls can be sampled.
    ModelError
        If the model is not one of a curve.

    Warns
    -----
    RunsWarning
        If a curve looks like several, because `by` leaves a column out.
    """
    measured = measured_curves(
        table,
        by,
        x,
        y,
        stderr=stderr,
        trials=trials,
        higher_is_better=higher_is_better,
        chance=chance,
        quantity=quantity,
    )
    spec = require_curve_model(load_model(model or (QUANTITY if quantity else MODEL)))
    clusters = None if cluster is None else cluster_names(table, by, cluster)
    with showing(progress):
        judged, failed = _judged(measured, seed)
        # What grows is asked for its exponent: all points say it, not the top alone.
        weighting = WHOLE if quantity else TOP if alone else None
        own_law = model is not None or quantity
        floorless = 0.0 if own_law else FLOORLESS
        together = _together(judged, spec, clusters, weighting, alone, floorless, seed)
    failed |= together.failed if together is not None else {}
    usable = [
        replace(one, values=None, message=failed[one.name]) if one.name in failed else one
        for one in measured
    ]
    each = tuple(_curve(one, judged.get(one.name), together, own_law, seed) for one in usable)
    return Curves(each, together)


def _judged(measured: Sequence[Measured], seed: int) -> tuple[dict[str, Judged], dict[str, str]]:
    """Label the curves that can be used, by the evidence alone; and say of which that failed."""
    usable = [
        one for one in measured if one.values is not None and one.values.points.sizes >= FEWEST
    ]
    told = f"labelling {words.counted(len(usable), 'curve')}"
    calls = call_each(_judge, [(one, seed) for one in usable], told, worth=WORTH)
    found = {one.name: called for one, called in zip(usable, calls, strict=True)}
    failed = {name: called.failure for name, called in found.items() if called.failure}
    return {name: own.value for name, own in found.items() if not own.failure}, failed


def _judge(asked: tuple[Measured, int]) -> Judged:
    """Label one curve, wherever."""
    one, seed = asked
    assert one.values is not None
    return judge_points(one.values.points, metric=one.metric, chance=one.chance, seed=seed)


def _together(
    judged: Mapping[str, Judged],
    spec: ModelSpec,
    clusters: Mapping[str, str] | None,
    weighting: Weighting | None,
    alone: bool,
    floorless: float,
    seed: int,
) -> Together | None:
    """Fit the curves that fall."""
    points = {name: one.facts.points for name, one in judged.items() if one.falls}
    if not points:
        return None
    return fit_together(
        points,
        spec,
        clusters=clusters,
        apart=[name for name in points if judged[name].stays],
        pool=not alone,
        weighting=weighting,
        calibrate=not alone,
        floorless=floorless,
        seed=seed,
    )


def _curve(
    one: Measured, judged: Judged | None, together: Together | None, own_law: bool, seed: int
) -> Curve:
    """Put together what is known of one curve."""
    if one.values is None:
        nan = float("nan")
        return Curve(one.name, one.rows, nan, nan, REFUSED, one.message, None)
    points = one.values.points
    top = float(one.values.x.max())
    if judged is None:
        reason = f"{points.sizes} different x make no curve: at least {FEWEST} are needed"
        message = "; ".join((reason, *points.notes))
        label = str(Shape.INSUFFICIENT_RANGE)
        return Curve(one.name, one.rows, top, points.decades, label, message, None)
    law = together.draws.get(one.name) if together is not None else None
    # How far curves fall is learned of those that do.
    fall = together.log_fall if together is not None and not judged.stays else (0.0, 0.0)
    whole = together.whole if together is not None else 0.0
    shape = judged.shape(law, log_fall=fall, whole=whole, alone=own_law, seed=seed)
    sweep = _turn(one.values, shape, seed)
    message = "; ".join([shape.message, *([sweep.message] if sweep else [])])
    label = str(shape.label)
    return Curve(one.name, one.rows, top, points.decades, label, message, shape, sweep)


def _turn(values: Measurements, shape: CurveShape, seed: int) -> Sweep | None:
    """Find the best x of a curve that falls and ends rising, as a sweep along a setting does."""
    turned = shape.label == Shape.NON_MONOTONE and shape.p_up_top > _TURNED
    if not turned or shape.metric is Metric.GROWING:
        return None
    share = shape.metric is Metric.SHARE
    loss = np.exp(values.log_loss)
    return find_optimum(
        values.x,
        shape.metric.of_loss(loss),
        stderr=values.stderr * loss if values.stderr.any() else None,
        higher_is_better=share,
        seed=seed,
    )


@typed
def classify_curves(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    stderr: str | None = None,
    trials: str | None = None,
    higher_is_better: bool | str = False,
    chance: float | str | None = None,
    quantity: bool = False,
    cluster: str | Sequence[str] | None = None,
    model: str | Path | None = None,
    alone: bool = False,
    seed: int = 1,
) -> pd.DataFrame:
    """Label every curve of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a point.
    by : str, sequence of str or None
        Columns that say which curve a point belongs to; None if there is one curve.
    x, y : str
        Columns of the axis and of the metric.
    stderr, trials : str, optional
        Columns of standard errors and of numbers of trials; they may be missing for whole curves,
        and losses above 1 have no trials.
    higher_is_better : bool or str, optional
        Whether the metric is a share that grows when the model gets better; or the column that says
        it of each curve: true or false, yes or no, 1 or 0.
    chance : float or str, optional
        Level of guessing, in the metric's units; or the column that gives it for each curve, empty
        where there is none. One number beside a column of directions is of the shares.
    quantity, cluster, model, alone, seed
        As in `fit_curves`.

    Returns
    -------
    pandas.DataFrame
        A row a curve: see `curve_table`.

    Raises
    ------
    RunsError
        If a column is unknown, there are no rows, a row belongs to no curve, or the one chance
        level of all curves cannot be.
    ModelError
        If the model is not one of a curve.

    Warns
    -----
    RunsWarning
        If a curve looks like several, because `by` leaves a column out.
    """
    return curve_table(
        fit_curves(
            table,
            by,
            x,
            y,
            stderr=stderr,
            trials=trials,
            higher_is_better=higher_is_better,
            chance=chance,
            quantity=quantity,
            cluster=cluster,
            model=model,
            alone=alone,
            seed=seed,
        )
    )


@typed
def curve_table(curves: Curves) -> pd.DataFrame:
    """Turn fitted curves into a table of labels.

    Parameters
    ----------
    curves : Curves
        What `fit_curves` returns.

    Returns
    -------
    pandas.DataFrame
        A row a curve, in the order in which they appear: ``curve``, ``n`` (points), ``decades`` of
        x, ``label``, posterior probabilities of the families ``p_power_law``, ``p_exponential``,
        ``p_broken``, ``p_saturated_guess``, ``p_inverse`` and ``p_flat``, probabilities that the
        curve rises over its upper third ``p_up_top`` and that it steepens ``p_steep``; of its
        posterior, median and ends of the central 90% interval of ``slope`` d log loss / d log x
        over that third, ``exponent`` of the reducible loss and ``floor``, the irreducible loss (of
        a share, the highest it comes to), of one that falls and ends rising the ``best`` x and the
        probability ``p_bracketed`` that it lies inside, and the medians ``near_chance_until`` and
        ``irreducible_from``, the ends of those regimes in units of x, NaN where most draws have
        none; ``durbin_watson_p``, and the ``message`` with the reason. Numbers are NaN for curves
        of fewer than 3 different x, and for those with a value that cannot be used: their label is
        ``refused``, and the message names the row and a remedy.
    """
    return pd.DataFrame([_row(one) for one in curves], columns=list(COLUMNS))


def _row(one: Curve) -> dict[str, object]:
    row: dict[str, object] = {"curve": one.name, "n": one.rows, "decades": one.decades}
    row |= {"label": one.label, "message": one.message}
    if one.shape is not None:
        row |= _facts(one.shape)
    if one.sweep is not None:
        row |= _quantiles("best", one.sweep.best) | {"p_bracketed": one.sweep.p_bracketed}
    return {column: row.get(column, np.nan) for column in COLUMNS}


def _facts(shape: CurveShape) -> dict[str, object]:
    """Numbers of a curve that has a shape."""
    row: dict[str, object] = {f"p_{family}": p for family, p in shape.probabilities.items()}
    grows = shape.metric is Metric.GROWING  # read as one over it
    row |= {"p_up_top": 1 - shape.p_up_top if grows else shape.p_up_top}
    row |= {"p_steep": shape.p_steep, "durbin_watson_p": shape.durbin_watson_p}
    slope = {q: -shape.slope[p] for q, p in _MIRRORED.items()} if grows else shape.slope
    row |= _quantiles("slope", slope)
    if shape.posterior is None:
        return row
    exponent = shape.posterior.exponent
    found = {"exponent": exponent[np.isfinite(exponent)]}
    if shape.metric is not Metric.GROWING:  # which has none
        found["floor"] = shape.metric.of_loss(shape.posterior.floor)
    for name, values in found.items():
        if len(values):
            own = numbers(xr.DataArray(values[None], dims=("chain", "draw")))
            row |= _quantiles(name, own)
    if shape.regimes is not None:
        for regime, end in shape.regimes.items():
            some = float(end.isnull().mean()) < 0.5
            row[str(regime)] = float(end.median()) if some else np.nan
    return row


def _quantiles(name: str, found: Mapping[str, float]) -> dict[str, object]:
    return {name: found["median"], **{f"{name}_{q}": found[q] for q in ("q05", "q95")}}
