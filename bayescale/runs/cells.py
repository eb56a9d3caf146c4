"""Seeds of one configuration become one cell: they are evidence about seeds, not about the law."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayescale.runs.doubts import GROUPS, originals
from bayescale.runs.table import Runs

CONFIGURATION = (
    "params",
    "tokens",
    "unique_tokens",
    *GROUPS,
    "learning_rate",
    "batch_size",
    "mid_schedule",
)
"""Columns in which runs must agree to be replicates, besides settings and what the model reads."""

_CELL = "number of the cell"  # a column that no table has
_DIGITS = 9  # tokens computed as C/6N differ in the last digits between seeds


@dataclass(frozen=True)
class Cells:
    """Distinct configurations of a table of runs.

    Parameters
    ----------
    table : pandas.DataFrame
        First run of each cell, with the columns ``observed`` (mean over its replicates),
        ``replicates`` (their number) and ``weight`` (their common weight).
    squares : float
        Sum of squared deviations of what was observed from the cell means, each times its cell's
        weight.
    freedom : float
        Degrees of freedom of `squares`: distinct runs less cells, both counted by weight.
    members : numpy.ndarray, shape (runs,)
        Cell of every run, as its position in `table`.
    """

    table: pd.DataFrame
    squares: float
    freedom: float
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.table)


def collapse(
    runs: Runs,
    columns: tuple[str, ...],
    *,
    observed: np.ndarray | None = None,
    apart: bool = False,
    weights: np.ndarray | None = None,
) -> Cells:
    r"""Collapse replicates to their cell means.

    Replicates agree in `columns`, in every column of `CONFIGURATION` that the table has, and in
    every setting of the runs (`bayescale.runs.settings`). A row
    that agrees with another in every column is a copy, one run and not two: seeds whose rounded
    losses are equal need a column, such as ``seed`` or ``run``, that tells them apart.

    Runs of weights w count by them: the mean is weighted, the cell has the weight
    :math:`\sum w^2 / \sum w`, it counts as :math:`(\sum w)^2 / \sum w^2` replicates, and a run of
    weight 0 leaves it.

    Parameters
    ----------
    runs : Runs
    columns : tuple of str
        Columns that the model reads: inputs of the law and the group.
    observed : numpy.ndarray, shape (runs,), optional
        What a law says of the runs, on the scale on which its errors add up; by default log loss.
    apart : bool
        Whether every run is a cell of its own: shares of successes are no means to be averaged.
    weights : numpy.ndarray, shape (runs,), optional
        Exponents of the runs' likelihoods.

    Returns
    -------
    Cells
    """
    table = runs.table.assign(
        observed=np.log(runs.column("loss")) if observed is None else observed,
        weight=np.ones(len(runs)) if weights is None else np.asarray(weights, dtype=float),
    )
    keys = pd.DataFrame(
        {
            name: _rounded(table[name])
            for name in dict.fromkeys((*columns, *CONFIGURATION, *(runs.settings or ())))
            if name in table
        }
    )
    if apart:
        keys = keys.assign(**{_CELL: originals(runs.table)})
    cell = of_run = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup()
    silent = table["weight"].groupby(cell).transform("max") == 0
    table = table[(table["weight"] > 0) | silent].assign(**{_CELL: cell})
    first_of = originals(table.drop(columns="weight"))
    table = table[first_of == np.arange(len(table))]
    cell = table[_CELL]
    # By shares of the largest weight, so that a run without replicates has the share 1 to the last
    # digit: what rounding left of its freedom would pass for replicates.
    largest = table["weight"].groupby(cell).transform("max")
    share = (table["weight"] / largest).where(largest > 0, 1.0)  # a silent cell has a mean as well
    total, squared = (values.groupby(cell).transform("sum") for values in (share, share**2))
    mean = (share * table["observed"]).groupby(cell).transform("sum") / total
    weight = largest * squared / total
    squares = (table["weight"] * (table["observed"] - mean) ** 2).sum()
    known = {"observed": mean, "weight": weight, "replicates": total**2 / squared}
    first = ~table.duplicated(_CELL)
    freedom = (largest * (total - squared / total))[first].sum()
    members = pd.Index(cell[first]).get_indexer(of_run)
    collapsed = table.assign(**known)[first].drop(columns=_CELL)
    return Cells(collapsed, float(squares), float(freedom), members)


def _rounded(values: pd.Series) -> pd.Series:
    """Round to so many digits that what is computed alike is equal."""
    if not pd.api.types.is_float_dtype(values):
        return values
    some = values.where(np.isfinite(values) & (values != 0))
    power = np.floor(np.log10(some.abs())) - (_DIGITS - 1)
    whole = np.rint(some / 10.0**power)
    carried = whole.abs() >= 10.0**_DIGITS  # 9.9999999996 is 10.0000000, written as that is
    whole, power = whole.where(~carried, whole / 10), power + carried
    return (whole * 10.0**power).where(some.notna(), values)
