"""The curves of a table, each with what was measured of it or why it cannot be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.curves.digits import are_shares
from bayescale.curves.points import Measurements, Metric, log_losses
from bayescale.curves.shape import FEWEST, chance_level
from bayescale.errors import RunsError, warn
from bayescale.runs.numbers import parse
from bayescale.runs.query import leaving_out
from bayescale.runs.settings import is_plain

_MIXED = 0.5  # spread at one x over that of the curve, and share of its points, that look mixed
_YES, _NO = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0")


@dataclass(frozen=True)
class Measured:
    """One curve of a table, or why it cannot be used.

    Parameters
    ----------
    name : str
    rows : int
        Rows of the table that belong to it.
    values : Measurements or None
        None for a curve that is refused.
    message : str
        Why it is refused; empty where it is not.
    metric : Metric
        What was measured.
    chance : float or None
        Level of guessing, in the metric's units.
    """

    name: str
    rows: int
    values: Measurements | None
    message: str = ""
    metric: Metric = Metric.LOSS
    chance: float | None = None


def measured_curves(
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
) -> list[Measured]:
    """Bring every curve of a table to log losses, or say why it cannot be used.

    Parameters and warnings are as in `fit_curves`.

    Returns
    -------
    list of Measured
        In the order in which the curves appear.

    Raises
    ------
    RunsError
        If a column is unknown, there are no rows, a row belongs to no curve, the one chance level
        of all curves cannot be, or a quantity is to be a share as well.
    """
    if quantity and (higher_is_better is not False or chance is not None or trials is not None):
        raise RunsError(
            "a quantity has no better side, no chance level and no trials: leave those out, or "
            "leave quantity out for accuracies and losses"
        )
    names = _curve_names(table, by)
    columns = _Columns(x, y, stderr, trials, higher_is_better, chance)
    _require(table, [column for column in vars(columns).values() if isinstance(column, str)])
    if len(table) == 0:
        raise RunsError("the table has no rows")
    if not isinstance(chance, str):
        chance_level(chance, isinstance(higher_is_better, str) or higher_is_better)
    rows = _rows(table)
    places = names.groupby(names, sort=False).indices
    measured = [
        columns.of(name, table.iloc[places[name]], rows[places[name]]) for name in names.unique()
    ]
    measured = [_as_falling(one) for one in measured] if quantity else measured
    _warn_of_mixtures(table, measured, places, x, y)
    return measured


@dataclass(frozen=True)
class _Columns:
    """Columns of measurements, and what holds for all curves in place of some."""

    x: str
    y: str
    stderr: str | None
    trials: str | None
    higher_is_better: bool | str
    chance: float | str | None

    def of(self, name: str, own: pd.DataFrame, rows: np.ndarray) -> Measured:
        """Read one curve; what cannot be used refuses it alone."""
        try:
            higher = self.direction(own, rows)
            chance = self.level(own, rows, higher)
            level = chance_level(chance, higher)
            trials = None if self.trials is None else own[self.trials]
            loss = trials is not None and not higher and self.is_loss(own)
            values = log_losses(
                _counts(own[self.x]),
                own[self.y],
                stderr=None if self.stderr is None else own[self.stderr],
                trials=None if loss else trials,
                higher_is_better=higher,
                rows=rows,
                leave=partial(leaving_out, table=own),
            )
            if loss:
                note = "trials left out: the values are no shares of them"
                values = replace(values, notes=(*values.notes, note))
            if level is not None and not higher and np.log(level) < values.log_loss.min():
                raise RunsError(
                    f"a chance level of {level:g} lies below every loss: guessing is no better "
                    "than the models; for accuracies say that higher is better"
                )
        except RunsError as error:
            return Measured(name, len(own), None, str(error))
        metric = Metric.SHARE if higher else Metric.LOSS
        return Measured(name, len(own), values, "", metric, chance)

    def is_loss(self, own: pd.DataFrame) -> bool:
        """Whether trials are not of this curve: a table of both directions may have losses."""
        if not isinstance(self.higher_is_better, str):
            return False
        columns = own[[self.y, self.trials]].apply(pd.to_numeric, errors="coerce")
        return not are_shares(*columns.to_numpy(dtype=float).T)

    def direction(self, own: pd.DataFrame, rows: np.ndarray) -> bool:
        """Whether higher is better along one curve."""
        if not isinstance(self.higher_is_better, str):
            return self.higher_is_better
        cells = own[self.higher_is_better].astype(str).str.strip().str.lower().to_numpy()
        unclear = ~np.isin(cells, (*_YES, *_NO))
        if unclear.any():
            raise RunsError(
                f"{words.rows(rows[unclear])}: {self.higher_is_better} is {cells[unclear][0]}: "
                "write true or false"
            )
        higher = np.isin(cells, _YES)
        _require_one(higher, rows, self.higher_is_better, "direction")
        return bool(higher[0])

    def level(self, own: pd.DataFrame, rows: np.ndarray, higher: bool) -> float | None:
        """Level of guessing of one curve, None where it has none."""
        if not isinstance(self.chance, str):
            # one number for a table of both directions is of its shares
            return None if isinstance(self.higher_is_better, str) and not higher else self.chance
        levels = pd.to_numeric(own[self.chance], errors="coerce").to_numpy(dtype=float)
        text = np.isnan(levels) & own[self.chance].notna().to_numpy()
        if text.any():
            cell = own[self.chance][text].iloc[0]
            raise RunsError(f"{words.rows(rows[text])}: {self.chance} is {cell!r}, no number")
        if np.isnan(levels).all():
            return None
        _require_one(levels, rows, self.chance, "level of chance")
        return float(levels[0])


def _counts(cells: pd.Series) -> pd.Series:
    """Read an axis as counts are written, 35M; what is no number stays, to be refused as it is."""
    read = parse(cells, counts=True)
    return read if read.notna().all() else read.where(read.notna(), cells.astype(object))


def _as_falling(one: Measured) -> Measured:
    """Read a quantity that grows as one over it, which falls."""
    if one.values is None:
        return one
    log_x, log_y = np.log(one.values.x), one.values.log_loss
    if (log_x - log_x.mean()) @ (log_y - log_y.mean()) <= 0:
        return one
    return replace(one, values=replace(one.values, log_loss=-log_y), metric=Metric.GROWING)


def cluster_names(
    table: pd.DataFrame, by: str | Sequence[str] | None, cluster: str | Sequence[str]
) -> dict[str, str]:
    """Name the cluster of every curve.

    Parameters
    ----------
    table : pandas.DataFrame
    by : str, sequence of str or None
        As in `measured_curves`.
    cluster : str or sequence of str
        Columns; several are joined by a bar.

    Returns
    -------
    dict of str to str
        By name of the curve.

    Raises
    ------
    RunsError
        If a column is unknown, a row belongs to none, or a curve to two.
    """
    names, labels = _curve_names(table, by), _curve_names(table, cluster)
    found = labels.groupby(names, sort=False).unique()
    for name, own in found.items():
        if len(own) > 1:
            raise RunsError(
                f"the curve {name!r} is in the clusters {own[0]!r} and {own[1]!r}: a curve is in "
                "one; name columns for --cluster that do not change along a curve"
            )
    return {str(name): str(own[0]) for name, own in found.items()}


def _require_one(values: np.ndarray, rows: np.ndarray, column: str, what: str) -> None:
    """Refuse what changes along a curve."""
    other = values != values[0]
    if other.any():
        raise RunsError(
            f"{words.rows(rows[other])}: {column} is {values[other][0]}, not {values[0]} as in "
            f"{words.rows(rows[:1])}: a curve has one {what}, so name what tells the curves apart"
        )


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
    names = table[columns].astype(str).agg(" | ".join, axis=1)
    first = names[~table[columns].duplicated().to_numpy()]
    if first.duplicated().any():
        twice = first[first.duplicated()].iloc[0]
        raise RunsError(
            f"two curves would both be named {twice!r}: values of {' and '.join(columns)} differ "
            "only in type or in a bar; rename one"
        )
    return names


def _warn_of_mixtures(
    table: pd.DataFrame,
    measured: Sequence[Measured],
    places: Mapping[str, np.ndarray],
    x: str,
    y: str,
) -> None:
    """Doubt curves whose values at one x lie as far apart as those at all of them."""
    used = [(one.name, one.values) for one in measured if one.values is not None]
    if not used:
        return
    names = pd.Series(np.repeat([name for name, _ in used], [len(own.x) for _, own in used]))
    axis = pd.Series(np.concatenate([own.x for _, own in used]))
    loss = pd.Series(np.concatenate([own.log_loss for _, own in used]))
    cells = loss.groupby([names, axis])
    repeated = cells.transform("size") > 1
    within = (loss - cells.transform("mean"))[repeated].groupby(names[repeated]).std()
    overall = loss.groupby(names).std()
    share = repeated.groupby(names).mean()
    doubtful = (within / overall).gt(_MIXED) & share.gt(_MIXED)
    if names.nunique() == 1 and not repeated.any():
        # No x twice: of one curve neighbours lie near each other, of several mixed ones far apart.
        steps = loss[axis.sort_values().index].diff().std()
        doubtful |= steps > overall
    mixed = [name for name in names.unique() if doubtful.get(name, False)]
    if not mixed:
        return
    inside = table.iloc[places[mixed[0]]]
    apart = [
        str(column)
        for column in table.columns
        if column not in (x, y)
        and is_plain(inside[column])
        and 1 < inside[column].nunique() <= len(inside) / FEWEST
    ]
    if not apart and not repeated.any():  # noise about a flat line is no mixture
        return
    hint = f"; should --by also name {' or '.join(apart)}?" if apart else ""
    warn(
        f"mixed curves? {len(mixed)} of {names.nunique()}, first {mixed[0]!r}, have values at one "
        f"{x} as far apart as over the whole range: perhaps more than one curve{hint}"
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
