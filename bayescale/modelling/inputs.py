"""Inputs of a law, and of its noise, from a table of runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import RunsError
from bayescale.laws import Input
from bayescale.modelling.spec import ModelSpec, is_shipped
from bayescale.runs.columns import unit_option
from bayescale.runs.isoflops import on_isoflops
from bayescale.runs.table import Runs, cells_of, finite, positive, share_columns, shares
from bayescale.runs.tasks import ACCURACY, as_runs

BUDGET = "budget"
"""Compute of the isoFLOP curve that a run belongs to, FLOPs."""

TRIALS = Input("trials", "context")
"""Number of trials behind a share of successes; infinite where unknown and not counted."""


CEILING = Input("ceiling", "context")
"""Loss at which a run is one that diverged, or lies too far off; infinite for none."""

_OF_NOISE = {"Swept": (CEILING,)}
"""What a kind of noise reads beside the law, where the response does not say it."""


def read_by(spec: ModelSpec) -> tuple[Input, ...]:
    """Name what the law of a model reads, then what its noise reads beside.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    tuple of Input
    """
    more = (TRIALS,) if spec.response.scale == "share" else _OF_NOISE.get(spec.noise, ())
    return (*spec.reads, *more)


def unstated(spec: ModelSpec, own: Input) -> bool:
    """Whether an input of the noise may be left out, or empty: it is endless then.

    Parameters
    ----------
    spec : ModelSpec
    own : Input

    Returns
    -------
    bool
    """
    return own is CEILING or (own is TRIALS and not spec.noise_model.counts)


def completed(spec: ModelSpec, runs: Runs) -> Runs:
    """Give runs the isoFLOP budget that a law reads, where the table does not state it.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs

    Returns
    -------
    Runs
        The same, or those on isoFLOP curves with a column ``budget``.

    Raises
    ------
    RunsError
        If too few of the runs are on isoFLOP curves, or ``budget`` holds no FLOPs.
    """
    if BUDGET not in spec.inputs:
        return runs
    if BUDGET not in runs.table:
        return on_isoflops(runs)
    stated, flops = positive(runs.table, BUDGET), runs.column("flops")
    missed = np.abs(np.log2(flops / stated)) > 1
    if missed.any():
        raise RunsError(
            f"column {BUDGET!r}, {words.rows(runs.table.index[missed])}: {stated[missed][0]:g} is "
            f"not the compute of such a run, {words.flops(flops[missed][0])} FLOPs",
            f"Give it in FLOPs, e.g. --unit {BUDGET}=1e18, or rename it with --column "
            f"own_{BUDGET}={BUDGET}: then budgets are found from flops.",
        )
    return runs


def inputs_of(spec: ModelSpec, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Read the inputs of a model from a table of runs.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame
        One row a run, or a cell of replicates.

    Returns
    -------
    dict of str to numpy.ndarray
        By the name of the input, shape (rows,), or (rows, parts) for shares of a mixture.

    Raises
    ------
    RunsError
        If a column is missing, or has values that the input cannot have.
    """
    return {own.name: _values(own, spec, table) for own in read_by(spec)}


def _values(own: Input, spec: ModelSpec, table: pd.DataFrame) -> np.ndarray:
    if own.scale == "shares":
        return shares(table, own.name)
    if own.name not in table and own.name in spec.constants:
        return np.full(len(table), spec.constants[own.name])
    if unstated(spec, own):
        return _known(table, own.name)
    name = own.fill if own.name not in table and own.fill in table else own.name
    found = positive(table, name) if own.scale == "log" else finite(table, name)
    if (bad := ~own.allows(found)).any():
        raise RunsError(
            f"column {name!r}, {words.rows(table.index[bad])}: {found[bad][0]:g} is no "
            f"{own.allowed}",
            f"If these are percents, pass {unit_option(name, 0.01)}."
            if own.scale == "share" and (found > 1).mean() > 0.5
            else "Correct it; write 25% as 0.25.",
        )
    return found


def _known(table: pd.DataFrame, name: str) -> np.ndarray:
    """Read a column whose values may be left out, and are infinite then."""
    found = np.full(len(table), np.inf)
    if name in table:
        known = (table[name].notna() & (table[name] < np.inf)).to_numpy()
        found[known] = positive(table[known], name)
    return found


def observed_of(spec: ModelSpec, table: pd.DataFrame) -> np.ndarray:
    """Read the response of a model from a table of runs, on the scale on which errors add up.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame

    Returns
    -------
    numpy.ndarray, shape (rows,)

    Raises
    ------
    RunsError
        If the column is missing, or has values that the response cannot have.
    """
    own = spec.response
    if own.scale == "log":
        return np.asarray(own.onto(positive(table, own.column)))
    found = finite(table, own.column, least=0.0)
    if (above := found > 1).any():
        raise RunsError(
            f"column {own.column!r}, {words.rows(table.index[above])}: {found[above][0]:g} is no "
            f"share; divide percents by 100, e.g. --unit {own.column}=0.01"
        )
    return found


def known_sd(spec: ModelSpec, table: pd.DataFrame) -> np.ndarray | None:
    """Read how exactly the response was measured, on the scale on which errors add up.

    The column ``log_loss_sd`` (of another response ``log_<column>_sd``) holds the standard error of
    the logarithm of each row's response. It adds to the noise of the model in quadrature.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame

    Returns
    -------
    numpy.ndarray or None
        Shape (rows,). None where the table does not say it, or errors are not relative.

    Raises
    ------
    RunsError
        For values that are missing, negative or infinite.
    """
    name = sd_column(spec)
    return finite(table, name, least=0.0) if name in table else None


def sd_column(spec: ModelSpec) -> str:
    """Name the column of `known_sd`.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    str
        Empty for a response whose errors are not relative.
    """
    return f"log_{spec.response.column}_sd" if spec.response.scale == "log" else ""


def rounding_of(spec: ModelSpec, table: pd.DataFrame) -> float:
    """Sd of what rounding has left out of the response, on the scale on which errors add up.

    Parameters
    ----------
    spec : ModelSpec
        Of a response whose errors are relative.
    table : pandas.DataFrame

    Returns
    -------
    float
        0 where the values have more than six decimals.
    """
    values = positive(table, spec.response.column)
    for decimals in range(7):
        if np.allclose(values, values.round(decimals), rtol=1e-12, atol=0):
            return float(10.0**-decimals / np.sqrt(12 * (values**2).mean()))
    return 0.0


def columns_of(spec: ModelSpec, table: pd.DataFrame) -> tuple[str, ...]:
    """Name the columns of a table that a model reads: inputs, the group, those of shared errors.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame

    Returns
    -------
    tuple of str
    """
    return tuple(name for name in dict.fromkeys(_names(spec, table)) if name in table)


def runs_for(
    spec: ModelSpec, source: Runs | str | Path | pd.DataFrame, options: Mapping[str, Any]
) -> Runs:
    """Take the runs that a model is to be fitted to, or read them from a table.

    Parameters
    ----------
    spec : ModelSpec
    source : Runs, path or pandas.DataFrame
    options : mapping of str to Any
        See `bayescale.runs.tasks.as_runs`.

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        For a table that cannot be read, of a column that it lacks before rows that are broken.
    """
    try:
        return as_runs(source, spec.response.column, options, names_read(spec))
    except RunsError as error:
        if error.table is not None and spec.response.column != ACCURACY:  # else filled in later
            _require_columns(spec, error.table)
        raise


def _require_columns(spec: ModelSpec, table: pd.DataFrame) -> None:
    for own in read_by(spec):
        given = own.name in spec.constants or own.name == BUDGET or unstated(spec, own)
        if own.scale == "shares":
            share_columns(table, own.name)
        elif not given and own.fill not in table:
            cells_of(table, own.name)
    if spec.group not in (None, BUDGET, *table.columns):
        raise lacking(spec, table, str(spec.group))


def lacking(
    spec: ModelSpec,
    table: pd.DataFrame,
    column: str,
    kind: str = "group",
    how: str = "with --group",
) -> RunsError:
    """Say that a table lacks the column of the groups, or of their clusters.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame
    column : str
    kind : str, optional
    how : str, optional
        How another column is named.

    Returns
    -------
    RunsError
        To raise.
    """
    return RunsError(
        f"the model {spec.name} has the {kind}s of the column {column!r}, which the runs "
        f"lack; name one of {', '.join(table.columns)} {how}, or fit a model without "
        f"groups{alone(spec)}"
    )


def alone(spec: ModelSpec) -> str:
    """Name the shipped model of the same law without groups, where there is one.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    str
        Empty where there is none.
    """
    name = spec.name.removesuffix("-hierarchical")
    return f", --model {name}" if name != spec.name and is_shipped(name) else ""


def names_read(spec: ModelSpec) -> tuple[str, ...]:
    """Name what a law and its noise read, and the groups, for `bayescale.read_runs`.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    tuple of str
        Columns, or of shares what the names of their columns begin with.
    """
    read = (f"{own.name}_" if own.scale == "shares" else own.name for own in read_by(spec))
    return (*read, *((spec.group,) if spec.group else ()))


def _names(spec: ModelSpec, table: pd.DataFrame) -> Iterable[str]:
    for own in read_by(spec):
        yield from share_columns(table, own.name) if own.scale == "shares" else (own.name,)
    yield from (spec.group,) if spec.group else ()
    yield from spec.effects


def parts_of_mixtures(spec: ModelSpec, table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Name the parts of each mixture that the law reads, by the ends of their columns.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame

    Returns
    -------
    dict of str to tuple of str
        By the name of the input.
    """
    return {
        name: tuple(column.removeprefix(f"{name}_") for column in share_columns(table, name))
        for name in spec.law.role("shares")
    }


def reference_of(own: Input, values: np.ndarray) -> np.ndarray:
    """Return the value at the reference run: the geometric mean, or the mean.

    Parameters
    ----------
    own : Input
    values : numpy.ndarray, shape (cells,) or (cells, parts)

    Returns
    -------
    numpy.ndarray, shape () or (parts,)
    """
    if own.scale == "log":
        return np.asarray(np.exp(np.log(values).mean()))
    return np.asarray(values.mean(axis=0))
