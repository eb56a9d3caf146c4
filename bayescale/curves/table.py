"""Shapes of the many curves of a table."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bayescale.arguments import typed
from bayescale.curves.measured import Measured, measured_curves
from bayescale.curves.rule import Shape
from bayescale.curves.shape import FEWEST, CurveShape, classify_points
from bayescale.progress import step

REFUSED = "refused"
"""Label of a curve with a value that cannot be used."""

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
    higher_is_better: bool | str = False,
    chance: float | str | None = None,
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
    seed : int, optional

    Returns
    -------
    pandas.DataFrame
        A row a curve, in the order in which they appear: ``curve``, ``n`` (points), ``decades`` of
        x, ``label``, posterior probabilities of the families ``p_power_law``, ``p_exponential``,
        ``p_broken``, ``p_saturated_guess``, ``p_inverse`` and ``p_flat``, probabilities that the
        curve rises over its upper third ``p_up_top`` and that it steepens ``p_steep``, its
        ``slope`` d log loss / d log x over that third with the ends of the central 90% interval,
        ``durbin_watson_p``, and the ``message`` with the reason. Numbers are NaN for curves of
        fewer than 3 different x, and for those with a value that cannot be used: their label is
        ``refused``, and the message names the row and a remedy.

    Raises
    ------
    RunsError
        If a column is unknown, there are no rows, a row belongs to no curve, or the one chance
        level of all curves cannot be.

    Warns
    -----
    RunsWarning
        If a curve looks like several, because `by` leaves a column out.
    """
    return pd.DataFrame(
        [
            row_of(one, shape)
            for one, shape in curve_shapes(
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
    higher_is_better: bool | str = False,
    chance: float | str | None = None,
    seed: int = 1,
) -> Iterator[tuple[Measured, CurveShape | None]]:
    """Classify the curves of a table one after another.

    Parameters and errors are as in `classify_curves`. The whole table is read before the first
    curve is classified.

    Returns
    -------
    iterator of (Measured, CurveShape or None)
        Each curve and its shape; no shape where it is refused, or has fewer than 3 different x.
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
    )

    def classified() -> Iterator[tuple[Measured, CurveShape | None]]:
        for number, one in enumerate(measured, 1):
            shape = None
            if one.values is not None and one.values.points.sizes >= FEWEST:
                with step(f"curve {number} of {len(measured)}"):
                    shape = classify_points(
                        one.values.points,
                        higher_is_better=one.higher_is_better,
                        chance=one.chance,
                        seed=seed,
                    )
            yield one, shape

    return classified()


def row_of(one: Measured, shape: CurveShape | None) -> dict[str, object]:
    """One row of the table of labels.

    Parameters
    ----------
    one : Measured
    shape : CurveShape or None
        None for a refused curve, and for too few points.

    Returns
    -------
    dict
        Keys are ``COLUMNS``; NaN where there is no shape.
    """
    row: dict[str, object] = {"curve": one.name, "n": one.rows}
    if one.values is None:
        row |= {"label": REFUSED, "message": one.message}
    elif shape is None:
        points = one.values.points
        reason = f"{points.sizes} different x make no curve: at least {FEWEST} are needed"
        message = "; ".join((reason, *points.notes))
        row |= {"decades": points.decades, "message": message}
        row |= {"label": str(Shape.INSUFFICIENT_RANGE)}
    else:
        row |= {"decades": shape.points.decades}
        row |= {f"p_{family}": p for family, p in shape.probabilities.items()}
        row |= {"p_up_top": shape.p_up_top, "p_steep": shape.p_steep}
        row |= {"slope": shape.slope["median"]}
        row |= {f"slope_{end}": shape.slope[end] for end in ("q05", "q95")}
        row |= {"durbin_watson_p": shape.durbin_watson_p}
        row |= {"label": str(shape.label), "message": shape.message}
    return {column: row.get(column, np.nan) for column in COLUMNS}
