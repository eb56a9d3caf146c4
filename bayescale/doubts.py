"""What may be wrong with a table of runs that can nevertheless be used."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayescale import readable

FLOPS_PER_PARAM_TOKEN = 6.0
"""k in C = k N D: 2 forward, 4 backward (Kaplan et al. 2020, section 2.1)."""

COUNTS = ("params", "tokens", "unique_tokens", "flops")
"""Columns that are counts: positive, and float64 because 6 N D overflows 64-bit integers."""

GROUPS = (
    "family",
    "dataset",
    "architecture",
    "optimizer",
    "optimiser",
    "recipe",
    "corpus",
    "context_length",
)
"""Columns that say of which kind a run is: runs of two kinds are not compared."""


@dataclass(frozen=True)
class Notice:
    """Something about the runs that a reader of the result must know.

    Rows are positions in the raw table, counted from 0.
    """

    name: str
    message: str
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


def _swapped(table: pd.DataFrame) -> list[Notice]:
    if not {"params", "tokens"} <= set(table.columns):
        return []
    ratio = float((table["tokens"] / table["params"]).median())
    if ratio >= 0.5:
        return []
    return [
        Notice(
            "swapped columns or units?",
            f"the median run has {ratio:.2g} tokens per parameter "
            "(published designs have 1 to 1000); if one of them has another "
            "unit, pass --unit; if they are exchanged, "
            "--column params=tokens --column tokens=params",
        )
    ]


def _flops_disagree(table: pd.DataFrame) -> list[Notice]:
    if not {"params", "tokens", "flops"} <= set(table.columns):
        return []
    ratio = table["flops"] / (FLOPS_PER_PARAM_TOKEN * table["params"] * table["tokens"])
    if ratio.between(0.9, 1.1).all():
        return []
    return [
        Notice(
            "flops are not 6ND",
            f"flops / (6 × params × tokens) runs from {ratio.min():.2f} to "
            f"{ratio.max():.2f}: k in C = kND is then the geometric mean over the largest decade "
            "of compute; if that is not meant, check what params and flops count",
        )
    ]


def _duplicates(table: pd.DataFrame) -> list[Notice]:
    keys = [name for name in table.columns if name in (*COUNTS, "loss")]
    if len(keys) < 3:  # the axis is a column of the table's own
        keys = [name for name in table.columns if name != "run"]
    twice = table.duplicated(keys, keep=False)
    if not twice.any():
        return []
    rows = tuple(int(row) for row in table.index[twice])
    again = [int(row) for row in table.index[table.duplicated(keys)]]
    remedy = f" with --where 'index not in {again}'" if len(again) <= 8 else ""
    return [
        Notice(
            "duplicated runs",
            f"{readable.rows(rows)} agree in {', '.join(keys)} to the last digit; a copied row "
            f"counts twice: leave it out{remedy}",
            rows,
        )
    ]


def _checkpoints(table: pd.DataFrame) -> list[Notice]:
    again = table["run"].duplicated(keep=False)
    if not again.any() or "tokens" not in table:
        return []
    if table[again].groupby("run")["tokens"].nunique().max() == 1:
        return []
    rows = tuple(int(row) for row in table.index[again])
    return [
        Notice(
            "repeated run names",
            f"{readable.rows(rows)} share a run name: checkpoints of one "
            "run are not finished runs (their learning rate has not decayed); keep the last of "
            "each",
            rows,
        )
    ]


def _rising(table: pd.DataFrame) -> list[Notice]:
    axis = next((name for name in ("flops", "tokens", "params") if name in table), None)
    if axis is None or len(table) < 6 or table["loss"].nunique() == 1:
        return []
    if table[axis].max() < 1.1 * table[axis].min():  # one budget: its order is rounding
        return []
    rank = table[[axis, "loss"]].rank().corr().iloc[0, 1]
    if rank < 0.3:
        return []
    return [
        Notice(
            "rising loss",
            f"loss grows with {axis} (rank correlation {rank:.2f}), and the laws here describe a "
            "falling one; if the column is an accuracy or a score, name that of the losses instead",
        )
    ]


def _perplexity(table: pd.DataFrame) -> list[Notice]:
    if table["loss"].median() <= 7:
        return []
    return [
        Notice(
            "perplexity?",
            f"the median loss is {table['loss'].median():.3g}; losses of language models lie below "
            "7 nats per token; if it is a perplexity, take its logarithm",
        )
    ]


def _constant(table: pd.DataFrame) -> list[Notice]:
    if len(table) < 3 or table["loss"].nunique() > 1:
        return []
    return [
        Notice(
            "constant loss",
            f"every run has the loss {table['loss'].iloc[0]:g}; name the column of final losses",
        )
    ]


def _apart(table: pd.DataFrame) -> list[Notice]:
    """Name rows that lie 300 times below the next larger value: millions among plain counts."""
    notices = []
    for name in ("params", "tokens"):
        if name not in table:
            continue
        values = table[name].sort_values()
        jump = values.shift(-1) / values
        if not jump.max() >= 300:  # one row has no next larger value
            continue
        rows = tuple(int(row) for row in np.sort(values.loc[: jump.idxmax()].index))
        notices.append(
            Notice(
                "other units?",
                f"{readable.rows(rows)}: {name} is {jump.max():.0f} times below that of any other "
                "run; if these rows have other units, correct them or leave them out with --where",
                rows,
            )
        )
    return notices


def small(table: pd.DataFrame) -> list[Notice]:
    """Doubt a table whose largest model is tiny, unless its unit was stated."""
    if "params" not in table or table["params"].max() >= 1e6:
        return []
    return [
        Notice(
            "millions?",
            f"the largest model has {readable.count(table['params'].max())} parameters; if params "
            "are in millions pass --unit params=1e6 (and the same for tokens), if they are plain "
            "counts pass --unit params=1",
        )
    ]


def _swept(table: pd.DataFrame) -> list[Notice]:
    """Doubt runs of equal counts, and of one group, whose losses differ by more than seeds do."""
    columns = ("params", "tokens", "unique_tokens", "mid_schedule", *GROUPS)
    keys = [name for name in columns if name in table]
    if not {"params", "tokens"} <= set(keys):
        return []
    cells = np.log(table["loss"]).groupby([table[name] for name in keys], dropna=False)
    spread = cells.transform("max") - cells.transform("min")
    wide = spread > 0.02
    if wide.sum() < 0.1 * len(table):
        return []
    return [
        Notice(
            "swept runs",
            f"{wide.sum()} of {len(table)} runs share {', '.join(keys)} with another whose loss "
            "differs by more than 2%; if hyper-parameters were swept, keep the best of each: "
            f"--best-per {','.join(keys)}",
        )
    ]


def _flagged(table: pd.DataFrame) -> list[Notice]:
    """Name rows that the table itself marks as outlying, diverged or copied."""
    notices = []
    for name in table.columns:
        if not any(word in name for word in ("outlier", "duplicate", "diverged")):
            continue
        if not pd.api.types.is_bool_dtype(table[name]):
            continue
        marked = table.index[table[name]]
        if len(marked):
            rows = tuple(int(row) for row in marked)
            notices.append(
                Notice(
                    "flagged runs",
                    f"the column {name!r} marks {readable.rows(rows)}; leave them out with "
                    f"--where 'not {name}'",
                    rows,
                )
            )
    return notices


DOUBTS: tuple[Callable[[pd.DataFrame], list[Notice]], ...] = (
    _swapped,
    _apart,
    _flops_disagree,
    _duplicates,
    _checkpoints,
    _swept,
    _flagged,
    _constant,
    _rising,
    _perplexity,
)
