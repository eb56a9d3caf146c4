"""Shapes of the many curves of a table."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.curves.points import Points, log_losses, points_of
from bayescale.curves.rule import Shape
from bayescale.curves.shape import FEWEST, CurveShape, chance_level, classify_points
from bayescale.errors import RunsError, RunsWarning
from bayescale.progress import step
from bayescale.runs.settings import is_plain

_MIXED = 0.5  # spread at one x over that of the curve, and share of its points, that look mixed

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
    "durbin_watson_p",
    "message",
)
"""Columns of a table of labels."""


@typed
def classify_curves(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    stderr: str | None = None,
    trials: str | None = None,
    higher_is_better: bool = False,
    chance: float | None = None,
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
        Columns of standard errors and of numbers of trials.
    higher_is_better, chance, seed
        As in `classify_curve`.

    Returns
    -------
    pandas.DataFrame
        A row a curve, in the order in which they appear: ``curve``, ``n`` (points), ``decades`` of
        x, ``label``, posterior probabilities of the families ``p_power_law``, ``p_exponential``,
        ``p_broken``, ``p_saturated_guess``, ``p_inverse`` and ``p_flat``, probabilities that the
        curve rises over its upper third ``p_up_top`` and that it steepens ``p_steep``, its
        ``slope`` d log loss / d log x over that third with the ends of the central 90% interval,
        ``durbin_watson_p``, and the ``message`` with the reason. Numbers are NaN for curves of
        fewer than 3 different x.

    Raises
    ------
    RunsError
        If a column is unknown or a value cannot be used.

    Warns
    -----
    RunsWarning
        If a curve looks like several, because `by` leaves a column out.
    """
    return pd.DataFrame(
        [
            row_of(name, points, shape)
            for name, points, shape in curve_shapes(
                table,
                by,
                x,
                y,
                stderr=stderr,
                trials=trials,
                higher_is_better=higher_is_better,
                chance=chance,
                seed=seed,
            )
        ],
        columns=list(COLUMNS),
    )


def curve_shapes(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    stderr: str | None = None,
    trials: str | None = None,
    higher_is_better: bool = False,
    chance: float | None = None,
    seed: int = 1,
) -> Iterator[tuple[str, Points, CurveShape | None]]:
    """Classify the curves of a table one after another.

    Parameters and errors are as in `classify_curves`. The whole table is validated before
    the first curve is classified.

    Returns
    -------
    iterator of (str, Points, CurveShape or None)
        Name, points and shape of each curve; no shape for fewer than 3 different x.
    """
    chance_level(chance, higher_is_better)
    measured = measured_curves(
        table, by, x, y, stderr=stderr, trials=trials, higher_is_better=higher_is_better
    )

    def classified() -> Iterator[tuple[str, Points, CurveShape | None]]:
        for number, (name, values) in enumerate(measured.items(), 1):
            points, shape = points_of(*values), None
            if points.sizes >= FEWEST:
                with step(f"curve {number} of {len(measured)}"):
                    shape = classify_points(
                        points, higher_is_better=higher_is_better, chance=chance, seed=seed
                    )
            yield name, points, shape

    return classified()


def measured_curves(
    table: pd.DataFrame,
    by: str | Sequence[str] | None,
    x: str,
    y: str,
    *,
    stderr: str | None = None,
    trials: str | None = None,
    higher_is_better: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Log losses of every curve of a table.

    Parameters, errors and warnings are as in `classify_curves`.

    Returns
    -------
    dict of str to (ndarray, ndarray, ndarray)
        By name of the curve: x, log loss and its standard error, in the order of the table.
    """
    names = _curve_names(table, by)
    _require(table, [name for name in (x, y, stderr, trials) if name])
    if len(table) == 0:
        raise RunsError("the table has no rows")
    measured = log_losses(
        table[x],
        table[y],
        stderr=None if stderr is None else table[stderr],
        trials=None if trials is None else table[trials],
        higher_is_better=higher_is_better,
        rows=_rows(table),
    )
    _warn_of_mixtures(table, names, x, pd.Series(measured[1], index=table.index, name=y))
    places = names.groupby(names, sort=False).indices
    axis, log_loss, error = measured
    return {n: (axis[places[n]], log_loss[places[n]], error[places[n]]) for n in names.unique()}


def row_of(name: str, points: Points, shape: CurveShape | None) -> dict[str, object]:
    """One row of the table of labels.

    Parameters
    ----------
    name : str
    points : Points
    shape : CurveShape or None
        None for too few points.

    Returns
    -------
    dict
        Keys are ``COLUMNS``; NaN where there is no shape.
    """
    if shape is None:
        reason = f"{points.sizes} different x make no curve: at least {FEWEST} are needed"
        row: dict[str, object] = {"label": str(Shape.INSUFFICIENT_RANGE), "message": reason}
    else:
        row = {f"p_{family}": p for family, p in shape.probabilities.items()}
        row |= {"p_up_top": shape.p_up_top, "p_steep": shape.p_steep}
        row |= {"slope": shape.slope["median"]}
        row |= {f"slope_{end}": shape.slope[end] for end in ("q05", "q95")}
        row |= {"durbin_watson_p": shape.durbin_watson_p}
        row |= {"label": str(shape.label), "message": shape.message}
    row |= {"curve": name, "n": points.measured, "decades": points.decades}
    return {column: row.get(column, np.nan) for column in COLUMNS}


def _curve_names(table: pd.DataFrame, by: str | Sequence[str] | None) -> pd.Series:
    """Name of the curve of each row; several columns are joined by a bar."""
    columns = [by] if isinstance(by, str) else list(by or ())
    _require(table, columns)
    if not columns:
        return pd.Series("all rows", index=table.index)
    for column in columns:
        missing = _rows(table)[table[column].isna()]
        if len(missing):
            raise RunsError(f"{words.rows(missing)}: no {column}, so no curve to belong to")
    return table[columns].astype(str).agg(" | ".join, axis=1)


def _warn_of_mixtures(table: pd.DataFrame, names: pd.Series, x: str, loss: pd.Series) -> None:
    """Doubt curves whose values at one x lie as far apart as those at all of them."""
    cells = loss.groupby([names, table[x]])
    repeated = cells.transform("size") > 1
    within = (loss - cells.transform("mean"))[repeated].groupby(names[repeated]).std()
    overall = loss.groupby(names).std()
    share = repeated.groupby(names).mean()
    doubtful = (within / overall).gt(_MIXED) & share.gt(_MIXED)
    if names.nunique() == 1 and not repeated.any():
        # No x twice: of one curve neighbours lie near each other, of several mixed ones far apart.
        steps = loss[table[x].sort_values().index].diff().std()
        doubtful |= steps > overall
    mixed = [name for name in names.unique() if doubtful.get(name, False)]
    if not mixed:
        return
    inside = table[names == mixed[0]]
    apart = [
        str(column)
        for column in table.columns
        if column not in (x, loss.name)
        and is_plain(inside[column])
        and 1 < inside[column].nunique() <= len(inside) / FEWEST
    ]
    if not apart and not repeated.any():  # noise about a flat line is no mixture
        return
    hint = f"; should --by also name {' or '.join(apart)}?" if apart else ""
    warnings.warn(
        f"mixed curves? {len(mixed)} of {names.nunique()}, first {mixed[0]!r}, have values at one "
        f"{x} as far apart as over the whole range: perhaps more than one curve{hint}",
        RunsWarning,
        stacklevel=3,
    )


def _rows(table: pd.DataFrame) -> np.ndarray:
    """Rows as errors name them: by the index, which a selection keeps, or by their place."""
    whole = pd.api.types.is_integer_dtype(table.index)
    return table.index.to_numpy() if whole else np.arange(len(table))


def _require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in table.columns:
            raise RunsError(
                f"the table has no column {column!r}; "
                f"{words.did_you_mean(column, list(map(str, table.columns)))}"
            )
