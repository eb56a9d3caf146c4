"""Which groups the runs of a hierarchical model belong to."""

import numpy as np
import pandas as pd

from bayescale.errors import RunsError
from bayescale.readable import rows
from bayescale.runs import Runs
from bayescale.spec import ModelSpec


def group_names(spec: ModelSpec, runs: Runs) -> tuple[str, ...]:
    """Name the groups among the runs, sorted; empty for a model without groups.

    Raises
    ------
    RunsError
        If the runs lack the column, a run has no group, or there is one group only.
    """
    if spec.group is None:
        return ()
    names = tuple(sorted(group_labels(spec, runs).unique(), key=_numbers_first))
    if len(names) < 2:
        raise RunsError(
            f"every run has the {spec.group} {names[0]!r}: nothing can be pooled; name another "
            "column with --group, or fit a model without groups"
        )
    return names


def group_labels(spec: ModelSpec, runs: Runs) -> pd.Series:
    """Name the group of every run, for a model with groups.

    Raises
    ------
    RunsError
        If the runs lack the column, or a run has no group.
    """
    group = str(spec.group)
    if group not in runs.table:
        raise RunsError(
            f"the model {spec.name} has the groups of the column {group!r}, which the runs "
            f"lack; name one of {', '.join(runs.table.columns)} with --group"
        )
    labels = runs.table[group]
    if labels.isna().any():
        raise RunsError(
            f"column {group!r}, {rows(labels.index[labels.isna()])}: no group; fill it in, or "
            f"leave such rows out with --where '{group}.notna()'"
        )
    return labels.astype(str)


def _numbers_first(label: str) -> tuple[float, str]:
    """Sort budgets such as 3e18 and 1e19 by size, names by the alphabet."""
    number = float(pd.to_numeric(label, errors="coerce"))
    return (np.inf if np.isnan(number) else number, label)
