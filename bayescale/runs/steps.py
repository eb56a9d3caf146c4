"""Steps to a target loss: tables of them over the batch size, and from losses of checkpoints."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError, warn
from bayescale.runs.check import Check, doubt
from bayescale.runs.columns import candidates, taken_by_name, units_of
from bayescale.runs.numbers import parse
from bayescale.runs.query import select
from bayescale.runs.reading import load_table
from bayescale.runs.table import Runs, positive, read_runs

CURVE = "curve"
"""Column that says which runs are of one model and one target loss."""

TOKENS, SEQUENCES = "batch_tokens", "batch_sequences"
"""Columns of the batch size; the first is there wherever the length of a sequence is known."""

LEAST = {TOKENS: "least_tokens", SEQUENCES: "least_sequences"}
"""Column of the fewest tokens, or sequences, that a run of the curve took, by the batch size's."""

_ALSO = {
    TOKENS: ("batch_size_tokens", "tokens_per_batch", "tokens_per_step"),
    SEQUENCES: ("batch_size_sequences", "batch_size_seqs", "batch_seqs", "batch_size", "batch"),
    "steps": ("steps_to_target", "train_steps", "training_steps", "num_steps", "n_steps"),
    "tokens": ("tokens_to_target", "train_tokens", "training_tokens"),
    "target_loss": ("target", "loss_target"),
}
_LENGTHS = (
    *("sequence_length", "seq_length", "seq_len", "max_seq_length", "max_seq_len"),
    *("context_length", "context"),
)
_NAMING = {"params": words.trimmed, "target_loss": "to {:g}".format}  # of curves without a name
_COUNTS = (TOKENS, SEQUENCES, "steps", "tokens", "params")
_WITHIN = 0.05  # by which tokens may miss steps times batch: steps are rounded to evaluations
_ONE_LOSS = 0.01  # by which losses at one target may differ
_SAME = 0.02  # by which the length of a sequence may differ between rows, by rounding


@typed
def read_steps(
    source: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    sequence_length: float | None = None,
    where: str | None = None,
) -> Runs:
    """Read a table of the steps that runs of several batch sizes took to a target loss.

    A row is a run, or the best of several at its batch size. Runs of one ``curve`` have one model
    and one target loss; without such a column they are those of equal ``params`` and
    ``target_loss``. In place of ``steps`` there may be ``tokens``. A run without steps never
    reached its target: it is left out, which is said.

    Parameters
    ----------
    source : path or pandas.DataFrame
    columns : mapping of str to str, optional
        Our name to the table's own: batch_tokens or batch_sequences, steps or tokens, curve,
        params, target_loss.
    sequence_length : float, optional
        Tokens of a sequence, where the batch size is given in sequences. By default what tokens
        and steps of the same run say, else a column such as ``seq_len``.
    where : str, optional
        A pandas query that keeps rows.

    Returns
    -------
    Runs
        With the columns ``steps``, ``curve``, ``batch_tokens`` (``batch_sequences`` where nothing
        says how many tokens those have), and the fewest tokens of the curve, ``least_tokens`` or
        ``least_sequences``. Tokens and compute of the runs are left out: steps say them.

    Raises
    ------
    RunsError
        If a column is missing, tokens are not steps times batch, or no run reached its target.

    Warns
    -----
    RunsWarning
        If runs are left out.
    """
    loaded = load_table(source)
    named, units, doubts = _renamed(loaded.table, columns or {})
    table = select(_in_numbers(named, units), where)
    table = _with_batches(table, sequence_length)
    table, never = _with_steps(table)
    table = _with_curves(table)
    _require_targets(table)
    batch = batch_column(table)
    examples = table["steps"] * table[batch]
    table[LEAST[batch]] = examples.groupby(table[CURVE]).transform("min")
    # Both are steps times something: checks along them would look for the response in itself.
    table = table.drop(columns=["tokens", "flops"], errors="ignore")
    doubts = (*doubts, *never)
    for one in doubts:
        warn(one)
    runs = read_runs(table, response="steps")
    return replace(runs, source=loaded.name, sha256=loaded.sha256, notices=(*runs.notices, *doubts))


def batch_column(table: pd.DataFrame) -> str:
    """Name the column of the batch size that a law reads: in tokens where that is known.

    Parameters
    ----------
    table : pandas.DataFrame
        What `read_steps` reads.

    Returns
    -------
    str
    """
    return TOKENS if TOKENS in table else SEQUENCES


def sequence_length_of(table: pd.DataFrame) -> float | None:
    """Tokens of a sequence, where a table has its batch sizes in both.

    Parameters
    ----------
    table : pandas.DataFrame
        What `read_steps` reads.

    Returns
    -------
    float or None
    """
    if not {TOKENS, SEQUENCES} <= set(table.columns):
        return None
    length = table[TOKENS] / table[SEQUENCES]
    return float(length.median()) if np.ptp(length) <= _SAME * length.median() else None


def _renamed(
    table: pd.DataFrame, columns: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, float], tuple[Check, ...]]:
    """Give columns our names: those that are named, then those whose names say it; their units."""
    for ours, theirs in columns.items():
        if theirs not in table:
            raise RunsError(
                f"no column {theirs!r} for {ours}; {words.did_you_mean(theirs, [*table.columns])}"
            )
    found = {theirs: ours for ours, theirs in columns.items()}
    plain = {name: _plain(name) for name in table.columns}
    for ours, others in _ALSO.items():
        for known in (ours, *others):
            own = [name for name, said in plain.items() if said == known and name not in found]
            if own and ours not in found.values():
                found[own[0]] = ours
    # Curves are told apart by sizes, so these are looked for here and not by `read_runs` later.
    sizes = candidates(table.drop(columns=[*found]), "params")
    sure = [name for name, said in sizes.items() if said.sure]
    doubts: tuple[Check, ...] = ()
    if "params" not in found.values() and len(sizes) == len(sure) == 1:
        found[sure[0]] = "params"
        doubts = taken_by_name({"params": sure[0]})
    stale = [name for name in table.columns if name in found.values() and name not in found]
    units = units_of({ours: theirs for theirs, ours in found.items()})
    return table.drop(columns=stale).rename(columns=found), units, doubts


def _in_numbers(table: pd.DataFrame, units: Mapping[str, float]) -> pd.DataFrame:
    """Read counts; where the name of a column states a unit, its cells are numbers of that."""
    read = {
        name: parse(table[name], counts=name not in units) * units.get(name, 1.0)
        for name in _COUNTS
        if name in table
    }
    return table.assign(**read)


def _with_batches(table: pd.DataFrame, length: float | None) -> pd.DataFrame:
    """Add batch sizes in tokens where the length of a sequence is known."""
    if TOKENS not in table and SEQUENCES not in table:
        raise RunsError(
            f"the table has no batch size: name its column, --column {TOKENS}=YOURS (of tokens) or "
            f"{SEQUENCES}=YOURS (of sequences); it has {', '.join(map(str, table.columns))}"
        )
    if length is not None and not 0 < length < np.inf:
        raise RunsError(f"sequence_length must be a positive number, got {length:g}")
    own = TOKENS if TOKENS in table else SEQUENCES
    if (bad := ~(table[own] > 0)).any():
        raise RunsError(
            f"column {own!r}, {words.rows(table.index[bad])}: a batch size is a positive number",
            "Fill it in, or leave such rows out with --where.",
        )
    if TOKENS in table:
        sequences = {SEQUENCES: table[TOKENS] / length} if length and SEQUENCES not in table else {}
        return table.assign(**sequences)
    if length is None and {"steps", "tokens"} <= set(table.columns):
        said = (table["tokens"] / table["steps"] / table[SEQUENCES]).dropna()
        length = float(said.median()) if len(said) and _one(said) else None
    if length is None:
        each = _stated_lengths(table)
        return table if each is None else table.assign(**{TOKENS: table[SEQUENCES] * each})
    if abs(length - 1) < _SAME:  # the batch sizes were tokens
        return table.rename(columns={SEQUENCES: TOKENS})
    return table.assign(**{TOKENS: table[SEQUENCES] * length})


def _stated_lengths(table: pd.DataFrame) -> pd.Series | None:
    """Read the column whose name says that it holds tokens of a sequence; None without one."""
    own = [name for name in table.columns if _plain(name) in _LENGTHS]
    if not own:
        return None
    lengths = parse(table[own[0]])
    bad = ~((lengths > 0) & np.isfinite(lengths))
    if bad.any():
        cell = table.loc[bad, own[0]].iloc[0]
        raise RunsError(
            f"column {own[0]!r}, {words.rows(table.index[bad])}: {str(cell)[:60]!r} is no number "
            "of tokens of a sequence",
            "Correct it, or say one for all runs with --sequence-length.",
        )
    return lengths


def _plain(name: object) -> str:
    return re.sub(r"\W+", "_", str(name).lower()).strip("_")


def _one(values: pd.Series) -> bool:
    """Whether rows agree about a number: most of them, since steps may be rounded."""
    low, middle, high = values.quantile([0.1, 0.5, 0.9])
    return bool(high - low <= _WITHIN * middle)


def _with_steps(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """Fill steps by tokens, check one by the other, and leave out what never reached its target."""
    batch = batch_column(table)
    if "tokens" in table and batch == TOKENS:
        said = table["tokens"] / table[TOKENS]
        table = table.assign(steps=table["steps"].fillna(said) if "steps" in table else said)
        off = np.abs(table["steps"] / said - 1) > _WITHIN
        if off.any():
            row = table.index[off][0]
            raise RunsError(
                f"tokens are not steps times {TOKENS}, {words.rows(table.index[off])}: the first "
                f"has {table['steps'][row]:g} steps, which are "
                f"{table['steps'][row] * table[TOKENS][row]:.4g} tokens, and says "
                f"{table['tokens'][row]:.4g}",
                "Correct it, or leave the column tokens out.",
            )
    if "steps" not in table:
        raise RunsError(
            "the table has no steps to the target: name their column, --column steps=YOURS, or "
            "tokens=YOURS beside a batch size in tokens (or with --sequence-length)"
        )
    reached = np.isfinite(table["steps"]) & (table["steps"] > 0)
    if not reached.any():
        raise RunsError("no run has steps: none reached its target; take a higher target loss")
    return table[reached].copy(), (*_never(table.index[~reached]),)


def _never(rows: pd.Index) -> Iterator[Check]:
    """Doubt a table of which runs are left out."""
    if len(rows):
        yield doubt(
            "targets never reached",
            f"{words.rows(rows)}: {words.counted(len(rows), 'run')} without steps never reached "
            "the target and are left out",
            "A batch size at which runs fail is not told: read curves without their smallest or "
            "largest batches with care, or take a higher target loss.",
            rows=tuple(map(int, rows)),
        )


def _with_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Name the curve of each run, by what the table says of its model and target."""
    if CURVE in table:
        return table
    known = [name for name in _NAMING if name in table]
    if not known:
        return table.assign(**{CURVE: "all"})
    if len(known) > 1 and table.groupby("params")["target_loss"].nunique().max() == 1:
        known = ["params"]  # which target says nothing more
    parts = [parse(table[name], counts=True).map(_NAMING[name]) for name in known]
    label = parts[0].str.cat(parts[1:], sep=" ") if len(parts) > 1 else parts[0]
    return table.assign(**{CURVE: label})


def _require_targets(table: pd.DataFrame) -> None:
    """Refuse runs that ended at losses of their own, and at no target."""
    if "target_loss" in table or "loss" not in table:
        return
    reached = parse(table["loss"]).groupby(table[CURVE])
    apart = reached.max() / reached.min() - 1
    if (apart > _ONE_LOSS).any():
        raise RunsError(
            f"runs of the curve {apart.idxmax()!r} end at losses {apart.max():.1%} apart: these "
            "steps are of no one target",
            "Find the steps to a target from losses of checkpoints with bayescale.steps_to_target, "
            "or name the target's column, --column target_loss=YOURS.",
        )


@typed
def steps_to_target(
    checkpoints: pd.DataFrame,
    target: float | Mapping[str, float],
    *,
    batch: str = TOKENS,
    curve: str | None = None,
    run: str | None = None,
    steps: str = "steps",
    loss: str = "loss",
) -> pd.DataFrame:
    """Find the steps at which runs of several batch sizes first reach a loss.

    Between the last checkpoint above the target and the first at or below it the loss is a line in
    the logarithm of the steps. Of several runs of a batch size the fastest counts: all else, such
    as a learning rate, is to be at its best. Losses must not be of unfinished schedules: of runs at
    a constant rate, or of averages of their weights.

    Parameters
    ----------
    checkpoints : pandas.DataFrame
        A row for each run and checkpoint.
    target : float or mapping of str to float
        Loss to reach, one for all curves or by curve.
    batch, steps, loss : str, optional
        Columns.
    curve : str, optional
        Column that says which model a run is of; left out, all are of one.
    run : str, optional
        Column that tells runs of one batch size apart.

    Returns
    -------
    pandas.DataFrame
        For `read_steps`: ``curve``, the batch size, ``steps``, ``target_loss``, and ``reached``:
        "yes", "never", or "before" where the first checkpoint is below the target already. Of the
        last two steps are NaN. Other columns that are the same in all rows of a curve are kept.

    Raises
    ------
    RunsError
        If a column is missing or holds no positive numbers, or a curve has no target.

    Examples
    --------
    >>> one = pd.DataFrame({"batch_tokens": 1e6, "steps": [10, 100], "loss": [4.0, 3.0]})
    >>> steps_to_target(one, 3.5)["steps"].round(1).tolist()
    [31.6]
    """
    named = {CURVE: "all"} if curve is None else {CURVE: checkpoints[_has(checkpoints, curve)]}
    table = checkpoints.assign(**named)
    columns = (_has(table, name) for name in (batch, steps, loss, *([run] if run else [])))
    first = {name: positive(table, name) for name in list(columns)[:3]}
    table = table.assign(**first)
    found = []
    for (name, size), own in table.groupby([CURVE, batch], sort=False):
        wanted = target if isinstance(target, float | int) else target.get(str(name))
        if wanted is None:
            raise RunsError(f"no target for the curve {name!r}; give one for each, or one for all")
        each = [one for _, one in own.groupby(run)] if run else [own]
        taken, reached = min(
            (_first_below(one[steps], one[loss], float(wanted)) for one in each),
            key=lambda one: (np.isnan(one[0]), one[0]),
        )
        found.append(
            {CURVE: name, batch: size, "steps": taken, "target_loss": wanted, "reached": reached}
        )
    return _with_constants(pd.DataFrame(found), table, (batch, steps, loss, run))


def _has(table: pd.DataFrame, name: str) -> str:
    if name not in table:
        raise RunsError(f"no column {name!r}; {words.did_you_mean(name, [*table.columns])}")
    return name


def _first_below(steps: pd.Series, loss: pd.Series, target: float) -> tuple[float, str]:
    """Find the steps at which a run first reaches a loss, and whether it does."""
    order = np.argsort(steps.to_numpy())
    logs, losses = np.log(steps.to_numpy())[order], loss.to_numpy()[order]
    below = np.flatnonzero(losses <= target)
    if not below.size:
        return np.nan, "never"
    place = int(below[0])
    if place == 0:
        return np.nan, "before"
    above, under = losses[place - 1], losses[place]
    part = (above - target) / (above - under)
    return float(np.exp(logs[place - 1] + part * (logs[place] - logs[place - 1]))), "yes"


def _with_constants(
    found: pd.DataFrame, table: pd.DataFrame, taken: tuple[str | None, ...]
) -> pd.DataFrame:
    """Add what all rows of each curve have in common, such as the parameters of its model."""
    by = table.groupby(CURVE)
    for name in table.columns:
        if name not in (*found.columns, *taken) and (by[name].nunique(dropna=False) == 1).all():
            found[name] = found[CURVE].map(by[name].first())
    return found
