"""Forecasts of the many curves of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd

from bayescale.arguments import typed
from bayescale.curves.drifts import population_weights
from bayescale.curves.forecast import (
    DRIFTING,
    Forecast,
    Posterior,
    predict_beyond,
    require_beyond,
    require_falling,
    reweighted,
    sample_members,
)
from bayescale.curves.measured import Measured, measured_curves
from bayescale.curves.points import Points
from bayescale.curves.rule import Shape
from bayescale.curves.shape import FEWEST, classify_points
from bayescale.curves.table import REFUSED
from bayescale.errors import RunsError
from bayescale.laws import LOSS
from bayescale.posterior.sampling import MEMBER_R_HAT
from bayescale.progress import showing, step

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
COLUMNS = (
    "curve",
    "x",
    "decades_beyond",
    *QUANTILES,
    "slope",
    "slope_q05",
    "slope_q95",
    "p_rising",
    "n",
    "decades",
    "label",
    "divergences",
    "max_r_hat",
    "seconds",
    "message",
)
"""Columns of a table of forecasts."""

_DOUBTFUL = {
    Shape.INVERSE: "the shape check says that the curve gets worse, and every law here falls",
    Shape.NON_MONOTONE: "the shape check says that the curve falls and rises: no law here does",
}


@dataclass(frozen=True)
class CurveForecast:
    """Forecast of one curve of a table, or why there is none.

    Parameters
    ----------
    name : str
    measured : int
        Points of the curve.
    decades, top : float
        Its range of x in decades, and the largest.
    label : str
        What the shape check says of it.
    forecast : Forecast or None
        None for a curve that is refused.
    higher_is_better : bool
        Whether the metric is one minus the loss that was forecast.
    message : str
        Why the curve is refused, or what makes its forecast doubtful; empty when nothing does.
    """

    name: str
    measured: int
    decades: float
    top: float
    label: str
    forecast: Forecast | None
    higher_is_better: bool
    message: str

    @property
    def converged(self) -> bool:
        """False for a forecast whose sampler did not reach the posterior."""
        return self.forecast is None or not _unmixed(self.forecast.posterior)

    def metric(self, loss: np.ndarray) -> np.ndarray:
        """Turn losses into the metric of the table; a share stays between 0 and 1.

        Parameters
        ----------
        loss : ndarray

        Returns
        -------
        ndarray
        """
        return 1 - np.minimum(loss, 1.0) if self.higher_is_better else loss


@typed
def forecast_curves(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    at: Sequence[float] | Mapping[str, Sequence[float]],
    stderr: str | None = None,
    trials: str | None = None,
    higher_is_better: bool | str = False,
    seed: int = 1,
    progress: bool | None = None,
) -> list[CurveForecast]:
    r"""Forecast every curve of a table beyond its range.

    A forecast pools draws of two laws, the power law with offset and the law that leaves a chance
    level, in two readings, all with equal weights. Either the law holds, with a likelihood that
    listens most to the points nearest to the question,
    :math:`w_i = \min(1, \kappa (x_i / x_{max})^{1/2})` with a sum of at most 8, since a law that is
    only approximately right cannot learn more and more from more and more points. Or its exponent
    drifts along log x, inside the range and beyond it; how much, is learned across the curves.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a point.
    by : str, sequence of str or None
        Columns that say which curve a point belongs to; None if there is one curve.
    x, y : str
        Columns of the axis and of the metric.
    at : sequence of float, or mapping of str to sequence of float
        Values of x to forecast, the same for all curves, or by the name of the curve.
    stderr, trials, higher_is_better
        As in `classify_curves`.
    seed : int
        Same seed, same machine: same draws.
    progress : bool, optional
        Show which curve is sampled; by default on a terminal and in a notebook.

    Returns
    -------
    list of CurveForecast
        In the order in which the curves appear; `forecast_table` makes it a table. Curves of fewer
        than 6 different x, shorter than half a decade, that rise, or that reach all values of x
        asked for, have a message in place of a forecast.

    Raises
    ------
    RunsError
        If a column is unknown, there are no rows, or a curve has nothing to be forecast at.
    """
    measured = measured_curves(
        table, by, x, y, stderr=stderr, trials=trials, higher_is_better=higher_is_better
    )
    asked = {one.name: _asked(at, one.name) for one in measured}
    posteriors: dict[str, Posterior] = {}
    labels, reasons = {}, {}
    for number, one in enumerate(measured, 1):
        if one.values is None:
            labels[one.name], reasons[one.name] = REFUSED, one.message
            continue
        points = one.values.points
        labels[one.name], doubt = _shape(points, one.higher_is_better, seed)
        try:
            require_falling(points)
            asked[one.name], inside = _beyond(asked[one.name], float(one.values.x.max()))
        except RunsError as error:
            reasons[one.name] = str(error)
            continue
        reasons[one.name] = "; ".join(filter(None, (doubt, inside, *one.values.notes)))
        with showing(progress), step(f"curve {number} of {len(measured)}"):
            posteriors[one.name] = sample_members(points, seed=seed)
    forecasts = _forecasts(posteriors, asked, seed)
    return [
        CurveForecast(
            one.name,
            one.rows,
            *_range(one),
            labels[one.name],
            forecasts.get(one.name),
            one.higher_is_better,
            "; ".join(filter(None, (reasons[one.name], _unmixed(posteriors.get(one.name))))),
        )
        for one in measured
    ]


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
        ``q05`` to ``q95`` of a new point as the curve was read (a bin mean of a dense curve,
        without the standard error of a single point); the local ``slope`` d log loss / d log x at
        the top of the range with the ends of its central 90% interval, and the probability
        ``p_rising`` that it is positive; ``n`` points over ``decades``; the ``label`` of the shape
        check; ``divergences``, ``max_r_hat`` and ``seconds`` of sampling; a ``message`` where the
        curve is refused (numbers are NaN) or its forecast is doubtful.
    """
    rows = [row for one in forecasts for row in _rows(one)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(one: CurveForecast) -> list[dict[str, object]]:
    about = {"curve": one.name, "n": one.measured, "decades": one.decades}
    about |= {"label": one.label, "message": one.message}
    if one.forecast is None:
        return [{column: about.get(column, np.nan) for column in COLUMNS}]
    posterior, draws = one.forecast.posterior, one.forecast.draws
    slope = np.quantile(one.forecast.slope, [0.5, 0.05, 0.95])
    about |= dict(zip(("slope", "slope_q05", "slope_q95"), slope.tolist(), strict=True))
    about |= {"p_rising": one.forecast.p_rising, "divergences": posterior.divergences}
    about |= {"max_r_hat": posterior.max_r_hat, "seconds": posterior.seconds}
    metric = one.metric(draws[LOSS.column].to_numpy().reshape(-1, draws.sizes["at"]))
    quantiles = np.quantile(metric, list(QUANTILES.values()), axis=0).T
    return [
        about
        | {"x": at, "decades_beyond": np.log10(at / one.top)}
        | dict(zip(QUANTILES, row, strict=True))
        for at, row in zip(draws["at"].to_numpy().tolist(), quantiles.tolist(), strict=True)
    ]


def _forecasts(
    posteriors: Mapping[str, Posterior], asked: Mapping[str, Sequence[float]], seed: int
) -> dict[str, Forecast]:
    """Learn the drift across curves, then look beyond each of them."""
    weights: dict[str, list[np.ndarray]] = {}
    for member in DRIFTING:
        draws = [posterior.draws[member.name]["log_drift"] for posterior in posteriors.values()]
        weights[member.name] = population_weights([own.to_numpy().ravel() for own in draws])
    found = {}
    for number, (name, posterior) in enumerate(posteriors.items()):
        # A stream of its own for every curve: their futures are independent.
        own_seed = (seed + crc32(name.encode())) % 2**32
        own_weights = {member: every[number] for member, every in weights.items()}
        learned = reweighted(posterior, own_weights, seed=own_seed)
        found[name] = predict_beyond(learned, asked[name], seed=own_seed)
    return found


def _range(one: Measured) -> tuple[float, float]:
    """Decades of x of a curve, and the largest x; NaN where it is refused."""
    if one.values is None:
        return np.nan, np.nan
    return one.values.points.decades, float(one.values.x.max())


def _asked(at: Sequence[float] | Mapping[str, Sequence[float]], name: str) -> list[float]:
    """Give the values of x to forecast one curve at, refused unless positive."""
    if isinstance(at, Mapping) and name not in at:
        raise RunsError(f"no values of x to forecast the curve {name!r} at")
    values = [float(value) for value in (at[name] if isinstance(at, Mapping) else at)]
    if not values or not all(np.isfinite(v) and v > 0 for v in values):
        raise RunsError(f"x to forecast must be positive numbers, at least one; got {values}")
    return values


def _beyond(at: Sequence[float], top: float) -> tuple[list[float], str]:
    """Keep the values of x that lie beyond a curve, and say which do not."""
    beyond = [value for value in at if value > top]
    inside = [value for value in at if value <= top]
    if not beyond:
        require_beyond(top, inside)
    reached = ", ".join(f"{value:g}" for value in inside)
    return beyond, f"no forecast at {reached}: the curve ends at {top:g}" if inside else ""


def _shape(points: Points, higher_is_better: bool, seed: int) -> tuple[str, str]:
    """Label of the shape check, and what it has against a forecast."""
    if points.sizes < FEWEST:
        return str(Shape.INSUFFICIENT_RANGE), ""
    shape = classify_points(points, higher_is_better=higher_is_better, seed=seed)
    return str(shape.label), _DOUBTFUL.get(shape.label, "")


def _unmixed(posterior: Posterior | None) -> str:
    """Say what the sampler has against a forecast."""
    if posterior is None:
        return ""
    found = []
    if posterior.divergences:
        found.append(f"{posterior.divergences} divergent transitions")
    if not posterior.max_r_hat <= MEMBER_R_HAT:
        found.append(f"R-hat {posterior.max_r_hat:.3f} exceeds {MEMBER_R_HAT}: the chains disagree")
    return "; ".join(found)
