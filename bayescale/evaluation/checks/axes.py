"""Shape of the response along each axis, among runs that are equal in all else."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from bayescale.curves.rule import Shape
from bayescale.curves.shape import shape_check
from bayescale.laws import LOSS
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check, Status, worst_first
from bayescale.runs.table import share_columns

_EQUAL = 1.02  # factor within which two runs count as equal
_FEWEST, _LEAST_RANGE = 6, np.log(10) / 2  # runs of a curve, and their range in log x
_MOST = 8  # curves looked at along an axis, the widest of them
_CHANCE = 0.1  # share of curves that may look wrong by chance
_BREAKS = (Shape.BROKEN, Shape.SATURATED_GUESS)  # what a law with a break says itself


def axis_checks(fit: Fit, *, seed: int = 1) -> list[Check]:
    """Ask whether the response along each axis is that of a power law.

    Axes are sizes, data, compute and the one axis of a law, unless it has a minimum there. Along an
    axis a curve are runs of one group that are equal, within 2%, in every other input: at least 6
    that span half a decade. Runs of a weight below 1 are left out: they count as doubtful. Where
    the law rises, or the runs do of what is neither good nor bad, the reciprocal is looked at,
    which falls. Where the law has a break of its own, a curve may have one. Laws of repeated data
    are not asked: repeating the same tokens is no power law; nor are laws of shares, which end
    at 1.

    Parameters
    ----------
    fit : Fit
    seed : int, optional

    Returns
    -------
    list of Check
        One for each axis that has such curves. Of several curves FAIL where more than a tenth of
        them, and more than one, fail; REVIEW where one does. ``detail`` is the
        `bayescale.CurveShape` of the worst of them.
    """
    spec, checks = fit.spec, []
    for axis in _axes(spec):
        curves = sorted(_curves(fit, axis), key=lambda curve: -_range(curve, axis))[:_MOST]
        power = -1.0 if rises(fit, axis) else 1.0
        found = [
            _known_to(
                spec,
                shape_check(
                    curve[axis].to_numpy(),
                    curve[spec.response.column].to_numpy(dtype=float) ** power,
                    axis=axis,
                    seed=seed,
                ),
            )
            for curve in curves
        ]
        if found:
            check = _of_several(found, axis, alone=len(spec.inputs) == 1)
            looked_at = spec.response.name if power > 0 else f"1/({spec.response.name})"
            of = "" if spec.response == LOSS else f"{looked_at}, read as a loss: "
            checks.append(replace(check, message=of + check.message))
    return checks


def rises(fit: Fit, axis: str) -> bool:
    """Whether the response rises along an axis: by the law, or where that leaves it open, the runs.

    Parameters
    ----------
    fit : Fit
    axis : str
        An input of the law.

    Returns
    -------
    bool
    """
    law, own = fit.spec.law, fit.spec.response
    if axis in law.rises_along or own.better or axis not in law.role("axis"):
        return axis in law.rises_along
    seen = np.log(fit.runs.table[[axis, own.column]].to_numpy(dtype=float))
    return bool(np.cov(seen.T)[0, 1] > 0)


def _known_to(spec: ModelSpec, check: Check) -> Check:
    """Pass a break that the law has itself."""
    if check.along not in spec.law.breaks_along or check.detail.label not in _BREAKS:
        return check
    message = f"{check.message}, as {spec.law.name} has one"
    return replace(check, status=Status.PASS, message=message, advice="")


def _axes(spec: ModelSpec) -> list[str]:
    """Name the inputs along which the law may be a power law."""
    if spec.response.scale != "log" or spec.law.role("unique"):
        return []
    names = [name for role in ("size", "data", "compute", "axis") for name in spec.law.role(role)]
    return [name for name in spec.inputs if name in names and name not in spec.law.minimum_along]


def _of_several(found: list[Check], axis: str, *, alone: bool) -> Check:
    """Make one check of an axis: a single odd curve among many may be chance.

    Of a joint law a curve may well be saturated: what is left is due to the other input.
    """
    worst = worst_first(found)[0]
    if len(found) == 1 and alone:
        return worst
    labels = pd.Series([str(check.detail.label) for check in found]).value_counts()
    failed = sum(check.status is Status.FAIL for check in found)
    many = failed > max(1, _CHANCE * len(found))
    status = Status.FAIL if many else Status.REVIEW if failed else Status.PASS
    counts = ", ".join(f"{number} {label}" for label, number in labels.items())
    return Check(
        worst.name,
        status,
        f"of {len(found)} curves of runs that differ in {axis} alone: {counts}",
        worst.advice if failed else "",
        statistic=failed / len(found),
        threshold=_CHANCE,
        detail=worst.detail,
        along=axis,
    )


def _curves(fit: Fit, axis: str) -> Iterator[pd.DataFrame]:
    """Take the runs apart by all that is not the axis."""
    table = fit.runs.table
    if "weight" in table:  # others were weighed down because the law is not theirs
        table = table[table["weight"] >= 1]
    keys: list[pd.Series] = []
    for own in fit.spec.reads:
        if own.scale == "shares":
            keys += [table[column].round(2) for column in share_columns(table, own.name)]
        elif own.name != axis and own.name in table:
            keys.append(_levels(table[own.name]) if own.scale == "log" else table[own.name])
    if fit.groups:
        keys.append(table[str(fit.spec.group)].astype(str))
    parts = [table] if not keys else [part for _, part in table.groupby(keys)]
    for part in parts:
        if part[axis].nunique() >= _FEWEST and _range(part, axis) >= _LEAST_RANGE:
            yield part


def _range(part: pd.DataFrame, axis: str) -> float:
    return float(np.log(part[axis].max() / part[axis].min()))


def _levels(values: pd.Series) -> pd.Series:
    """Give each value the smallest of its level: values up to 2% above the smallest of them."""
    smallest: dict[float, float] = {}
    first = 0.0  # values are positive
    for value in np.sort(values.unique()):
        first = value if value > _EQUAL * first else first
        smallest[value] = first
    return values.map(smallest)
