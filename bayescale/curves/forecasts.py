"""Where curves go beyond their range."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.curves.mixture import CurvePosterior
from bayescale.curves.points import Metric
from bayescale.curves.rule import Shape
from bayescale.curves.shape import CurveShape
from bayescale.curves.table import Curve, Curves, fit_curves
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.errors import RunsError
from bayescale.runs.numbers import parse

At = float | int | str
"""A value of x, or a factor of the top of each curve: 1e12, "2x"."""

QUANTILES = {
    "q05": 0.05,
    "q10": 0.1,
    "q25": 0.25,
    "median": 0.5,
    "q75": 0.75,
    "q90": 0.9,
    "q95": 0.95,
}
COLUMNS = (
    "curve",
    "x",
    "decades_beyond",
    *QUANTILES,
    "slope",
    "slope_q05",
    "slope_q95",
    "p_rising",
    "exponent",
    "n",
    "decades",
    "label",
    "message",
)
"""Columns of a table of forecasts."""
_SHOWN = ("median", "q05", "q95")

FEWEST, SHORTEST = 6, 0.5
"""Different x, and decades, that a curve needs to be forecast without a doubt."""

_LEAST = 3  # different x, below which there is no curve


@dataclass(frozen=True, repr=False)
class CurveForecast(Shown):
    """Forecast of one curve of a table, or why there is none.

    Parameters
    ----------
    curve : Curve
    draws : xarray.Dataset or None
        In units of the metric, dims (chain, draw, ...): ``new``, a new point at each ``at``, with
        the noise about the curve and of its measurement; which ``law`` a draw is of. None for a
        curve that has no forecast. `posterior` draws the curve itself, at any x, without noise.
    slope : xarray.DataArray or None
        d log loss / d log x at the top of the range, of a quantity its own, dims (chain, draw).
    message : str
        Why there is no forecast, or what to doubt of it; empty when nothing.
    """

    curve: Curve
    draws: xr.Dataset | None = field(repr=False)
    slope: xr.DataArray | None = field(repr=False)
    message: str

    @property
    def name(self) -> str:
        """Name of the curve."""
        return self.curve.name

    @property
    def p_rising(self) -> float:
        """Probability that the metric's loss, or a quantity, rises over the upper third.

        Without any law.
        """
        shape = self.curve.shape
        if shape is None:
            return float("nan")
        return 1 - shape.p_up_top if shape.metric is Metric.GROWING else shape.p_up_top

    def _parts(self) -> Iterator[Part]:
        yield Bold(f"{self.name}: {words.spaced(self.curve.label)}")
        rows = [row for row in _rows(self) if np.isfinite(float(str(row["x"])))]
        if rows:
            cells = [
                [words.significant(float(str(row[name])), 4) for name in _SHOWN] for row in rows
            ]
            places = [words.count(float(str(row["x"]))) for row in rows]
            grid = [(place, *own) for place, own in zip(places, cells, strict=True)]
            yield Grid(("x", *_SHOWN), grid)
        yield from filter(None, (self.message,))

    @property
    def posterior(self) -> CurvePosterior:
        """Draws of the laws that explain the curve.

        Raises
        ------
        RunsError
            If there is none.
        """
        if self.curve.shape is None or self.curve.shape.posterior is None:
            raise RunsError(f"{self.name} has no forecast: {self.message}")
        return self.curve.shape.posterior


@typed
def forecast_curves(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    at: At | Sequence[At] | Mapping[str, Sequence[At]],
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
) -> list[CurveForecast]:
    """Forecast every curve of a table beyond its range.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a point.
    by : str, sequence of str or None
        Columns that say which curve a point belongs to; None if there is one curve.
    x, y : str
        Columns of the axis and of the metric.
    at : float, str, sequence of them, or mapping of str to sequence
        Values of x to forecast, the same for all curves, or by the name of the curve. A text such
        as ``"2x"`` is a multiple of the largest x of each curve.
    stderr, trials, higher_is_better, chance
        As in `classify_curves`.
    quantity, cluster, model, alone
        As in `fit_curves`.
    seed : int
        Same seed, same machine: same draws.
    progress : bool, optional
        Show which curve is fitted; by default on a terminal and in a notebook.

    Returns
    -------
    list of CurveForecast
        In the order in which the curves appear; `forecast_table` makes it a table. Curves that fall
        and rise, of fewer than 3 different x, or that reach all values of x asked for, have a
        message in place of a forecast; shorter ones than 6 different x or half a decade have both.

    Raises
    ------
    RunsError
        If a column is unknown, there are no rows, or a curve has nothing to be forecast at.
    ModelError
        If the model is not one of a curve.
    """
    curves = fit_curves(
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
        progress=progress,
    )
    return forecast_fitted(curves, at, seed=seed)


@typed
def forecast_fitted(
    curves: Curves,
    at: At | Sequence[At] | Mapping[str, Sequence[At]],
    *,
    seed: int = 1,
) -> list[CurveForecast]:
    """Forecast curves that are fitted already.

    Parameters
    ----------
    curves : Curves
        What `fit_curves` returns.
    at, seed
        As in `forecast_curves`.

    Returns
    -------
    list of CurveForecast

    Raises
    ------
    RunsError
        If a value of x cannot be one, or a curve has nothing to be forecast at.
    """
    asked = {one.name: _asked(at, one) for one in curves}
    return [_forecast(one, asked[one.name], seed) for one in curves]


def _forecast(one: Curve, asked: Sequence[float], seed: int) -> CurveForecast:
    """Forecast one curve, or say why not."""
    shape = one.shape
    if shape is None or shape.posterior is None:
        return CurveForecast(one, None, None, _why_not(one))
    beyond = [value for value in asked if value > one.top]
    inside = [value for value in asked if value <= one.top]
    reached = ", ".join(map(words.count, inside))
    ends = f"no forecast at {reached}: the curve ends at {words.count(one.top)}"
    doubts = [ends] if inside else []
    if not beyond:
        return CurveForecast(one, None, None, doubts[0])
    points = shape.points
    if points.sizes < FEWEST or points.decades < SHORTEST:
        doubts.append(
            f"the interval is mostly what curves are like; {FEWEST} different x over {SHORTEST} "
            "decades would say more of this one"
        )
    if shape.label == Shape.SATURATED and shape.p_flat > 0.5:
        doubts.append(
            "nothing has changed within the range: what comes is what curves are like, not this one"
        )
    if shape.label == Shape.INVERSE and shape.metric is not Metric.GROWING:
        doubts.append("the curve gets worse, and is forecast to go on: find out why")
    draws = _draws(shape, shape.posterior, np.array(beyond), one.name, seed)
    slope = shape.posterior.slope([shape.posterior.top]).isel(x=0, drop=True)
    slope = -slope if shape.metric is Metric.GROWING else slope
    return CurveForecast(one, draws, slope, "; ".join(doubts))


def _why_not(one: Curve) -> str:
    if one.shape is None:
        return one.message
    return f"no law says what comes after a turn; it {one.message}"


def _draws(
    shape: CurveShape, posterior: CurvePosterior, at: np.ndarray, name: str, seed: int
) -> xr.Dataset:
    # A stream of its own for every curve: their futures are independent.
    rng = np.random.default_rng((seed + crc32(name.encode())) % 2**32)
    new = posterior.new(at, rng)
    dims = ("chain", "draw")
    return xr.Dataset(
        {
            "new": ((*dims, "at"), shape.metric.of_loss(np.exp(new))[None]),
            "law": (dims, posterior.law[None]),
        },
        coords={"at": at},
    )


def _asked(at: At | Sequence[At] | Mapping[str, Sequence[At]], one: Curve) -> list[float]:
    """Give the values of x to forecast one curve at, refused unless positive."""
    if isinstance(at, Mapping) and one.name not in at:
        raise RunsError(f"no values of x to forecast the curve {one.name!r} at")
    own = at[one.name] if isinstance(at, Mapping) else at
    values = [
        place(value, one.top) for value in ([own] if isinstance(own, str | float | int) else own)
    ]
    if not values:
        raise RunsError("no values of x to forecast: give at least one, such as 1e12 or 2x")
    return values


def place(value: At, top: float) -> float:
    """Give the x that is meant by a value, or by a multiple of the top of a curve.

    Parameters
    ----------
    value : float or str
        ``1e12``, ``"1e12"``, ``"2T"``, or ``"2x"``.
    top : float
        Largest x of the curve.

    Returns
    -------
    float

    Raises
    ------
    RunsError
        If it is not a positive number.

    Examples
    --------
    >>> place("2x", 1e9), place("2T", 1e9)
    (2000000000.0, 2000000000000.0)
    """
    multiple = re.fullmatch(r"(.+?)\s*[xX×]", str(value).strip())
    read = parse(pd.Series([multiple[1] if multiple else value]), counts=True)
    number = float(read.iloc[0])
    if not (np.isfinite(number) and number > 0):
        raise RunsError(
            f"got {value!r} for an x to forecast: write a positive number such as 1e12 or 2T, or a "
            "multiple of the largest x such as 2x"
        )
    return number * top if multiple else number


@typed
def forecast_table(forecasts: Sequence[CurveForecast]) -> pd.DataFrame:
    """Turn forecasts into a table.

    Parameters
    ----------
    forecasts : sequence of CurveForecast
        What `forecast_curves` returns.

    Returns
    -------
    pandas.DataFrame
        A row for each curve and ``x``: ``decades_beyond`` the range, ``median`` and quantiles
        ``q05`` to ``q95`` of a new point as the curve was read (a bin mean of a dense curve), with
        the standard error of a measurement where those of the points are known; the local ``slope``
        d log loss / d log x at the top of the range with the ends of its central 90% interval; the
        probability ``p_rising`` that the loss rises over the upper third of the range, whatever its
        law; the median ``exponent``; ``n`` points over ``decades``; the ``label``; a ``message``
        where there is no forecast (numbers are NaN) or it is doubtful.
    """
    rows = [row for one in forecasts for row in _rows(one)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(one: CurveForecast) -> list[dict[str, object]]:
    curve = one.curve
    about: dict[str, object] = {"curve": one.name, "n": curve.rows, "decades": curve.decades}
    about |= {"label": curve.label, "message": one.message, "p_rising": one.p_rising}
    if one.draws is None or one.slope is None:
        return [{column: about.get(column, np.nan) for column in COLUMNS}]
    slope = np.quantile(one.slope, [0.5, 0.05, 0.95])
    about |= dict(zip(("slope", "slope_q05", "slope_q95"), slope.tolist(), strict=True))
    exponent = one.posterior.exponent
    known = np.isfinite(exponent)
    about |= {"exponent": float(np.median(exponent[known])) if known.any() else np.nan}
    new = one.draws["new"]
    quantiles = np.quantile(new, list(QUANTILES.values()), axis=(0, 1)).T
    return [
        about
        | {"x": at, "decades_beyond": np.log10(at / curve.top)}
        | dict(zip(QUANTILES, row, strict=True))
        for at, row in zip(new["at"].to_numpy().tolist(), quantiles.tolist(), strict=True)
    ]
