"""What may be wrong with a table of runs that can nevertheless be used."""

import shlex
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.runs.check import Check, doubt
from bayescale.runs.columns import unit_option, words_of
from bayescale.runs.experts import counted_params
from bayescale.runs.losses import UNLIKELY
from bayescale.runs.query import condition, leaving_out
from bayescale.runs.settings import is_categorical, settings

FLOPS_PER_PARAM_TOKEN = 6.0
"""k in C = k N D: 2 forward, 4 backward (Kaplan et al. 2020, section 2.1)."""

COUNTS = ("params", "active_params", "tokens", "unique_tokens", "flops")
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

SWEPT = "swept runs"
"""Name of the doubt that settings were swept, which the law does not read."""

_MANY_SEEDS = 20  # of one cell; the middle 90% of more than these say what seeds do
_EXCHANGED = 20.0  # factor between tokens per parameter of exchanged rows and of all others
_FAR = 0.15  # of log loss: seeds differ by .01, good and bad learning rates by .1
_EXTRAPOLATED = 0.7  # the same where no smaller run is better, and no larger one worse
_REPEATED = 0.7  # the same where data were repeated, which such a surface describes badly
_ENOUGH = 50_000  # runs that say where a smooth surface of all of them lies
_MOST_SLIPS = 1000  # more losses far off are no slip of a few, however many rows there are
_ROOM = 3.0  # factor that exchanged rows may lie beyond the others once they are put right


def _swapped(table: pd.DataFrame) -> list[Check]:
    if not {"params", "tokens"} <= set(table.columns):
        return []
    ratio = float((table["tokens"] / counted_params(table)).median())
    if not ratio < 0.5:
        return []
    return [
        doubt(
            "swapped columns or units?",
            f"the median run has {ratio:.2g} tokens per parameter "
            "(published designs have 1 to 1000)",
            "If one of them has another unit, pass --unit; if they are exchanged, "
            "--column params=tokens --column tokens=params.",
        )
    ]


def _flops_disagree(table: pd.DataFrame) -> list[Check]:
    if not {"params", "tokens", "flops"} <= set(table.columns):
        return []
    ratio = table["flops"] / (FLOPS_PER_PARAM_TOKEN * counted_params(table) * table["tokens"])
    ratio = ratio.dropna()
    if ratio.between(0.9, 1.1).all():
        return []
    return [
        doubt(
            "flops are not 6ND",
            f"flops / (6 × params × tokens) runs from {ratio.min():.2f} to "
            f"{ratio.max():.2f}: k in C = kND is then the geometric mean over the largest decade "
            "of compute",
            "If that is not meant, check what params and flops count.",
        )
    ]


def originals(table: pd.DataFrame) -> np.ndarray:
    """Position of the first row that agrees with each row in every column, shape (rows,).

    A row that has another's is a copy of it. Equal losses alone prove no copy: those of seeds are
    equal as well where they are rounded.

    Parameters
    ----------
    table : pandas.DataFrame
        With the column ``loss``.

    Returns
    -------
    ndarray
    """
    place = pd.Series(np.arange(len(table)))
    some = table[["loss"]] if "loss" in table else _comparable(table)
    twice = some.duplicated(keep=False).to_numpy()
    if not twice.any():
        return place.to_numpy()
    like = _comparable(table[twice])
    kind = like.groupby(list(like.columns), dropna=False).ngroup().to_numpy()
    place[twice] = place[twice].groupby(kind).transform("min")
    return place.to_numpy()


def _comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Write what cannot be compared, as lists, as text."""
    return table.astype({name: str for name in table if table[name].dtype == object})


def _duplicates(table: pd.DataFrame) -> list[Check]:
    """Name copies, and rows of equal counts and loss that no number of a seed tells apart."""
    table = _comparable(table)
    keys = [name for name in table.columns if name in (*COUNTS, "loss")]
    if len(keys) < 3 or "loss" not in keys:  # the axis is a column of the table's own
        keys = [name for name in table.columns if name != "run"]
    told_apart = [name for name in ("seed", "replicate") if name in table and name not in keys]
    place, rows = originals(table), table.index
    copies = place != np.arange(len(table))
    kept = table[~copies]
    equal, again = (kept.duplicated([*keys, *told_apart], keep=k) for k in (False, "first"))
    return [
        *_twins(
            table,
            rows[np.isin(place, place[copies])],
            rows[copies],
            "every column: copies count as one run",
            "Leave them out{query}, or, if they are seeds whose rounded losses are equal, tell "
            "them apart by a column seed.",
        ),
        *_twins(
            table,
            kept.index[equal],
            kept.index[again],
            f"{', '.join(keys)} to the last digit and differ elsewhere: each counts as a run of "
            "its own",
            "If they are copies, leave them out{query}.",
        ),
    ]


def _twins(
    table: pd.DataFrame, rows: pd.Index, again: pd.Index, agreement: str, advice: str
) -> list[Check]:
    if again.empty:
        return []
    query = f" with {leaving_out(again, table)}" if len(again) <= 8 else ""
    message = f"{words.rows(rows)} agree in {agreement}"
    return [doubt("duplicated runs", message, advice.format(query=query), rows)]


def _checkpoints(table: pd.DataFrame) -> list[Check]:
    again = table["run"].duplicated(keep=False)
    if not again.any() or "tokens" not in table:
        return []
    if table[again].groupby("run")["tokens"].nunique().max() == 1:
        return []
    rows = table.index[again]
    return [
        doubt(
            "repeated run names",
            f"{words.rows(rows)} share a run name: checkpoints of one "
            "run are not finished runs (their learning rate has not decayed)",
            "Keep the last of each with --last-per run.",
            rows,
        )
    ]


def _rising(table: pd.DataFrame) -> list[Check]:
    axis = next((name for name in ("flops", "tokens", "params") if name in table), None)
    if axis is None or len(table) < 6 or table["loss"].nunique() == 1:
        return []
    if table[axis].max() < 1.1 * table[axis].min():  # one budget: its order is rounding
        return []
    rank = table[[axis, "loss"]].rank().corr().iloc[0, 1]
    if rank < 0.3:
        return []
    return [
        doubt(
            "rising loss",
            f"loss grows with {axis} (rank correlation {rank:.2f}), and the laws here describe a "
            "falling one",
            "If the column is an accuracy or a score, name that of the losses instead.",
        )
    ]


def _perplexity(table: pd.DataFrame) -> list[Check]:
    if table["loss"].median() <= 7:
        return []
    return [
        doubt(
            "perplexity?",
            f"the median loss is {table['loss'].median():.3g}; losses of language models lie below "
            "7 nats per token",
            'If it is a perplexity, pass --loss-unit ppl (in Python loss_unit="ppl").',
        )
    ]


def _far_off(table: pd.DataFrame) -> list[Check]:
    """Name losses far from those of runs of like size, and above what a guess costs."""
    if "loss" not in table or len(table) == 0:
        return []
    loss = table["loss"]
    guess = np.log(pd.to_numeric(table.get("vocab_size", np.nan * loss), errors="coerce"))
    guess = guess.where(guess > 0, UNLIKELY)
    off = _off(table)
    rows = table.index[(loss > guess) | (off != 0)]
    if len(rows) == 0 or len(rows) > min(max(1, len(table) // 10), _MOST_SLIPS):
        return []
    values = ", ".join(f"{value:.4g}" for value in loss[rows].iloc[:8])
    query = f" with {leaving_out(rows, table)}" if len(rows) <= 20 else ""
    return [
        doubt(
            "losses far off",
            f"{words.rows(rows)}: the loss is {values}, far from that of runs of like size",
            f"Correct them, or, if these runs diverged or count otherwise, leave them out{query}.",
            rows,
        )
    ]


def _off(table: pd.DataFrame) -> np.ndarray:
    """Say which losses lie far above (1) or below (-1) a smooth surface of all, or do not (0).

    The surface is of least absolute deviations, quadratic in log N and log D where runs are many,
    with another axis for how often data were repeated, which raises losses a good deal. It is that
    of some runs, chosen at random, where they are very many.
    """
    if not {"params", "tokens"} <= set(table.columns) or len(table) < 8:
        return np.zeros(len(table))
    repeats = (table["tokens"] / table.get("unique_tokens", table["tokens"])).fillna(1).clip(1)
    axes = [table["params"], table["tokens"], *([repeats] if (repeats > 1).any() else [])]
    logs = [np.log(axis.to_numpy()) for axis in axes]
    logs = [(log - log.mean()) / max(log.std(), 1e-9) for log in logs]
    parts = [np.ones(len(table)), *logs]
    if len(table) >= 18:
        parts += [x * y for x, y in combinations_with_replacement(logs, 2)]
    surface, log = np.column_stack(parts), np.log(table["loss"].to_numpy())
    some: Any = slice(None)
    if len(log) > _ENOUGH:
        some = np.random.default_rng(0).choice(len(log), _ENOUGH, replace=False)
    axis, height = surface[some], log[some]
    weights = np.ones(len(height))
    for _ in range(50):
        found, *_ = np.linalg.lstsq(axis * weights[:, None], height * weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(height - axis @ found), 1e-4))
    error = log - surface @ found
    limit = max(_REPEATED if len(axes) > 2 else _FAR, 10 * float(np.median(np.abs(error))))
    off = np.where(np.abs(error) > limit, np.sign(error), 0.0)
    for place in np.flatnonzero((off != 0) & (np.abs(error) <= _EXTRAPOLATED))[:_MOST_SLIPS]:
        n, d, own = off[place] * np.array([*logs[:2], log])
        if not ((n <= n[place]) & (d <= d[place]) & (own < own[place])).any():
            off[place] = 0.0  # at the edge of the runs nothing but the surface speaks against it
    return off


def _constant(table: pd.DataFrame) -> list[Check]:
    if len(table) < 3 or table["loss"].nunique() > 1:
        return []
    return [
        doubt(
            "constant loss",
            f"every run has the loss {table['loss'].iloc[0]:g}",
            "Name the column of final losses.",
        )
    ]


def _apart(table: pd.DataFrame) -> list[Check]:
    """Name the fewer rows on one side of a gap of 300 times, as of millions among plain counts."""
    notices: list[Check] = []
    columns = {name: table[name] for name in ("params", "tokens") if name in table}
    if len(columns) == 2:
        columns["tokens per parameter"] = columns["tokens"] / columns["params"]
    for name, column in columns.items():
        values = column.sort_values()
        jump = values.shift(-1) / values
        if not jump.max() >= 300:  # one row has no next larger value
            continue
        below = values.index.get_loc(jump.idxmax()) + 1
        few, side = (below, "below") if 2 * below <= len(values) else (below - len(values), "above")
        rows, times = np.sort(values.index[:few] if few > 0 else values.index[few:]), jump.max()
        if any(set(rows) <= set(known.rows) for known in notices):
            continue
        notices.append(
            doubt(
                "other units?",
                f"{words.rows(rows)}: {name} is {times:.0f} times {side} that of any other run",
                "If these rows have other units, correct them or leave them out with --where.",
                rows,
            )
        )
    return notices


def _exchanged(table: pd.DataFrame) -> list[Check]:
    """Name rows whose tokens per parameter fit those of the others upside down only."""
    if len(table) < 4 or not {"params", "tokens"} <= set(table.columns):
        return []
    ratio = (table["tokens"] / table["params"]).sort_values()
    below = int(np.argmax(np.diff(np.log(ratio)))) + 1
    few, rest = ratio.iloc[:below], ratio.iloc[below:]
    if len(few) > len(rest):
        few, rest = rest, few
    apart = max(rest.min() / few.max(), few.min() / rest.max())
    within = (1 / few).between(rest.min() / _ROOM, rest.max() * _ROOM)
    if len(few) == len(rest) or not within.all():
        return []
    if apart < max(_EXCHANGED, rest.max() / rest.min()):  # a design so wide has such gaps
        return []
    rows = np.sort(few.index)
    return [
        doubt(
            "exchanged counts?",
            f"{words.rows(rows)}: {few.iloc[0]:.2g} tokens per parameter, where the other runs "
            f"have {rest.min():.2g} to {rest.max():.2g}, as these have with params and tokens "
            "exchanged",
            "If they are exchanged, correct these rows, or leave them out with "
            f"{leaving_out(rows, table)}.",
            rows,
        )
    ]


def tiny(table: pd.DataFrame) -> list[Check]:
    """Doubt losses a thousand times below those of language models, unless their unit was stated.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of Check
        One, or none.
    """
    if "loss" not in table or table["loss"].median() >= 0.02:
        return []
    return [
        doubt(
            "thousandths?",
            f"the median loss is {table['loss'].median():.3g}; losses of language models lie above "
            "0.5 nats per token",
            f"If these are thousandths pass {unit_option('loss', 1000)}, if they are small errors "
            f"pass {unit_option('loss', 1)}.",
        )
    ]


def small(table: pd.DataFrame) -> list[Check]:
    """Doubt a table whose largest model is tiny, unless its unit was stated.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of Check
        One, or none.
    """
    if "params" not in table or table["params"].max() >= 1e6:
        return []
    return [
        doubt(
            "millions?",
            f"the largest model has {words.count(table['params'].max())} parameters",
            f"If params are in millions pass {unit_option('params', 1e6)} and the same for tokens, "
            f"if they are plain counts pass {unit_option('params', 1)}.",
        )
    ]


def swept(table: pd.DataFrame, inputs: Sequence[str] = ()) -> list[Check]:
    """Doubt runs of equal counts, and of one kind, whose losses differ by more than seeds do.

    Parameters
    ----------
    table : pandas.DataFrame
    inputs : sequence of str, optional
        Columns that the law reads beside, or of shares what their names begin with, ``w_``.

    Returns
    -------
    list of Check
        One, or none.
    """
    columns = ("params", "tokens", "unique_tokens", "mid_schedule", *GROUPS)
    keys = [name for name in columns if name in table]
    begin = tuple(name for name in inputs if name.endswith("_"))
    further = [c for c in table if c in inputs or c.startswith(begin)]
    further = [c for c in further if c not in (*keys, *COUNTS)]
    keys += further
    if not {"params", "tokens"} <= set(keys):
        return []
    chosen = [name for name in settings(table) if name not in keys]
    keys += [name for name in chosen if is_categorical(table[name]) and _differs(table, keys, name)]
    cells = np.log(table["loss"]).groupby([table[name] for name in keys], dropna=False)
    spread = cells.transform("max") - cells.transform("min")
    # The extremes of a thousand seeds lie far apart, whatever one seed does.
    middle = cells.transform("quantile", q=0.95) - cells.transform("quantile", q=0.05)
    wide = spread.where(cells.transform("size") <= _MANY_SEEDS, middle) > 0.02
    if wide.sum() < 0.1 * len(table):
        return []
    varied = [name for name in chosen if name not in keys and _differs(table[wide], keys, name)]
    said = f"they differ in {', '.join(varied)}" if varied else "no column says what else differs"
    knobs = _knobs(table[wide], keys, varied)
    return [
        doubt(
            SWEPT,
            f"{wide.sum()} of {len(table)} runs share {', '.join(keys)} with another whose loss "
            f"differs by more than 2%, and {said}",
            _of_one_setting(table, varied) if further else _of_a_sweep(keys, knobs),
        )
    ]


def _of_a_sweep(keys: list[str], knobs: list[str]) -> str:
    """Advise on a sweep that a law of params and tokens is to read."""
    best, names = (shlex.quote(",".join(some)) for some in (keys, knobs))
    best = f"keep the best of each: --best-per {best}"
    if not knobs:
        return f"If hyper-parameters were swept, {best}."
    return (
        f"This is a sweep: ask which {' and '.join(knobs)} a run wants with bayescale "
        f"tune FILE --knobs {names}; for a law of params and tokens fit the floor of each cell "
        f"with --sweep {names}, or {best}."
    )


def _of_one_setting(table: pd.DataFrame, varied: list[str]) -> str:
    """Advise on a sweep beside what a law reads, where cells of params and tokens are no sweep."""
    if not varied:
        return "Say what else differs in a column, and keep the runs of one value with --where."
    name, value = varied[0], table[varied[0]].mode().iloc[0]
    return f"Keep the runs of one setting, e.g. --where {condition(name, value)}."


def _knobs(table: pd.DataFrame, keys: list[str], swept: list[str]) -> list[str]:
    """Choose of swept columns the two numeric ones to draw bowls of, learning rates first.

    One that follows from those chosen, as steps do from a batch size, is none.
    """

    def order(name: str) -> int:
        said = words_of(name)
        return 0 if {"lr", "rate"} & set(said) else 1 if "batch" in said else 2

    chosen: list[str] = []
    for name in sorted(swept, key=order):
        values = pd.to_numeric(table[name], errors="coerce")
        if values.gt(0).all() and _differs(table, [*keys, *chosen], name):
            chosen.append(name)
    return chosen[:2]


def _differs(table: pd.DataFrame, keys: list[str], name: str) -> bool:
    """Whether rows that agree in the keys differ in a column."""
    return bool(table.groupby(keys, dropna=False)[name].nunique(dropna=False).max() > 1)


def _flagged(table: pd.DataFrame) -> list[Check]:
    """Name rows that the table itself marks as outlying, diverged or copied."""
    notices = []
    for name in table.columns:
        if not any(word in name for word in ("outlier", "duplicate", "diverged")):
            continue
        if not pd.api.types.is_bool_dtype(table[name]):
            continue
        marked = table.index[table[name]]
        if len(marked):
            notices.append(
                doubt(
                    "flagged runs",
                    f"the column {name!r} marks {words.rows(marked)}",
                    f"Leave them out with --where 'not {name}'.",
                    marked,
                )
            )
    return notices


def _flagged_otherwise(table: pd.DataFrame) -> list[Check]:
    """Name rows that are marked, but as diverged, which say where a sweep ends."""
    return _flagged(table.drop(columns="diverged", errors="ignore"))


type Doubt = Callable[[pd.DataFrame], list[Check]]

OF_TASKS: tuple[Doubt, ...] = (_swapped, _apart, _exchanged, _flops_disagree, _flagged)
"""What can be doubted of runs that have a row for each task."""

OF_ANY: tuple[Doubt, ...] = (*OF_TASKS, _duplicates, _checkpoints)
"""What can be doubted of runs whatever was measured of them."""

OF_SWEEPS: tuple[Doubt, ...] = (*OF_TASKS[:-1], _flagged_otherwise, _checkpoints)
"""What can be doubted of runs in which settings were swept: copies and diverged runs are settled
by `bayescale.runs.sweeps`, and losses far off are what a sweep is made of."""

OF_LOSSES: tuple[Doubt, ...] = (*OF_ANY, _constant, _rising, _perplexity, _far_off)
"""What can be doubted of runs and their losses, beside that settings were swept."""
