"""Accuracies and levels of guessing as shares, whether a table has percents, errors or shares."""

from collections.abc import Collection, Mapping

import pandas as pd

from bayescale import words
from bayescale.errors import RunsError
from bayescale.runs.columns import meaning, words_of
from bayescale.runs.numbers import parse

_NAMES = {
    "run": {"run", "run_name", "run_id"},
    "task": {"task", "task_name", "benchmark"},
    "error": {"error", "err", "error_rate"},
    "chance": {"chance", "chance_level", "random_baseline", "random_accuracy", "guessing"}
    | {"random_baseline_accuracy"},
    "chance_error": {"chance_error", "random_error", "random_baseline_error"},
    "trials": {"trials", "n_trials", "num_trials", "items", "n_items", "num_items", "n", "n_eval"}
    | {"n_examples", "num_examples", "n_questions", "num_questions", "questions"},
}
"""Names of columns, in small letters and with underscores, by what they mean."""

_ACCURACY = {"accuracy", "acc", "score"}
_BESIDE = {"norm", "normalized", "normalised", "test", "val", "eval", "mean"}
_SPREAD = {"stderr", "se", "std", "sem", "var", "lower", "upper"}


def names_of_tasks(table: pd.DataFrame, stated: Mapping[str, str]) -> dict[str, str]:
    """Find the columns of accuracies of tasks by their names.

    Parameters
    ----------
    table : pandas.DataFrame
    stated : mapping of str to str
        Our names to the table's own, of columns that need not be looked for.

    Returns
    -------
    dict of str to str
        Our name to the table's own, of columns that have another name than ours.

    Raises
    ------
    RunsError
        If several columns may be meant.
    """
    spelled = {str(name): "_".join(words_of(str(name))) for name in table.columns}
    free = {name: said for name, said in spelled.items() if name not in stated.values()}
    found = {
        ours: [name for name, said in free.items() if said in known]
        for ours, known in _NAMES.items()
    }
    others = [said for name in spelled if name != "n" and (said := meaning(name))]
    if "params" not in (said.ours for said in others if said.sure):  # then n may be these
        found["trials"] = [name for name in found["trials"] if name != "n"]
    found["accuracy"] = [name for name in free if is_accuracy(name, _BESIDE)]
    if not found["run"]:
        found["run"] = [name for name in free if free[name] in ("model", "model_name")]
    taken = {}
    for ours, names in found.items():
        if ours in stated or ours in names or not names:
            continue
        if len(names) > 1 and ours != "run":  # of which the reader of runs chooses one
            raise RunsError(
                f"the column {ours} may be {' or '.join(map(repr, names))}",
                f"Say which with --column {ours}={names[0]} (in Python "
                f'columns={{"{ours}": "{names[0]}"}}).',
            )
        taken[ours] = names[0]
    return taken


def is_accuracy(name: str, beside: Collection[str] | None = None) -> bool:
    """Whether the name of a column says that it holds accuracies.

    Parameters
    ----------
    name : str
    beside : collection of str, optional
        All that the name may say beside; by default anything, as the name of a task, but no
        standard errors.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_accuracy("piqa/acc_norm"), is_accuracy("acc_stderr"), is_accuracy("loss")
    (True, False, False)
    """
    said = {*words_of(name)}
    fits = not is_spread(name) if beside is None else said - _ACCURACY <= {*beside}
    return bool(said & _ACCURACY) and fits


def is_spread(name: str) -> bool:
    """Whether the name of a column says that it holds standard errors or bounds.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
    """
    return bool(_SPREAD & {*words_of(name)})


def without_signs(cells: pd.Series, decimal: str) -> pd.Series:
    """Read cells that end with a sign of percent as shares; others stay as they are.

    Parameters
    ----------
    cells : pandas.Series
    decimal : str
        Mark of decimals.

    Returns
    -------
    pandas.Series
    """
    signed = cells.map(lambda cell: isinstance(cell, str) and cell.rstrip().endswith("%"))
    if not signed.any():
        return cells
    read = parse(cells[signed].str.rstrip(" %"), decimal=decimal) / 100
    return cells.astype(object).where(~signed, read.reindex(cells.index))


def as_shares(values: pd.DataFrame, stated: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
    """Make shares of accuracies that may be in percent, which columns must agree on.

    Parameters
    ----------
    values : pandas.DataFrame
        Columns of one kind, NaN where nothing was measured.
    stated : collection of str
        Columns whose unit was stated: they hold shares.

    Returns
    -------
    shares : pandas.DataFrame
    ledger : list of str

    Raises
    ------
    RunsError
        For values that are neither shares nor percents, and for columns that have both.
    """
    for name in values:
        _require_range(values[name], 1.0 if name in stated else 100.0)
    free = [name for name in values if name not in stated and (values[name] > 0).any()]
    percent = [name for name in free if (values[name] > 1).any()]
    for name in percent:
        _require_one_unit(values[name])
    shares = [name for name in free if name not in percent]
    if percent and shares:
        units = ",".join(f"{name}=0.01" for name in percent)
        raise RunsError(
            f"columns {', '.join(map(repr, percent))} hold percents, and "
            f"{', '.join(map(repr, shares))} shares from 0 to 1",
            f"If that is right, pass --unit {units}; if all are percents, give the unit of the "
            "others as well.",
        )
    said = [f"{', '.join(percent)} divided by 100: percents up to {values[percent].max().max():g}"]
    return values.assign(**{name: values[name] / 100 for name in percent}), said if percent else []


def _require_range(values: pd.Series, most: float) -> None:
    for bad, keep in (((values < 0), ">= 0"), (values > most, f"<= {most:g}")):
        if bad.any():
            raise RunsError(
                f"column {values.name!r}, {words.rows(values.index[bad])}: {values[bad].iloc[0]:g} "
                "is no share from 0 to 1" + (" and no percent" if most > 1 else ""),
                f"Correct it, or leave such rows out with --where '{_quoted(values)} {keep}'.",
            )


def _require_one_unit(values: pd.Series) -> None:
    """Refuse percents beside shares; which of them are the odd ones is told by their number."""
    high, low = values > 1, (values > 0) & (values <= 1)
    if not low.any():
        return
    name, unit = _quoted(values), f"{values.name}=0.01"
    odd, column = (high if high.sum() <= low.sum() else low), f"column {values.name!r}"
    rows = f"{column}, {words.rows(values.index[odd])}: {values[odd].iloc[0]:g}"
    if odd is high:
        raise RunsError(
            f"{rows} in a column of shares from 0 to 1",
            f"Divide percents by 100, or leave such rows out with --where '{name} <= 1'.",
        )
    raise RunsError(
        f"{rows} in a column of percents up to {values.max():g}",
        f'If all are percents pass --unit {unit} (in Python units={{"{values.name}": 0.01}}); if '
        "these are shares multiply them by 100, or leave such rows out with --where "
        f"'{name} > 1 or {name} == 0'.",
    )


def _quoted(values: pd.Series) -> str:
    name = str(values.name)
    return name if name.isidentifier() else f"`{name}`"
