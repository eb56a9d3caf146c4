"""Which groups the runs of a hierarchical model belong to."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, least_squares
from scipy.stats import chi2

from bayescale.errors import RunsError
from bayescale.laws import from_line
from bayescale.modelling.spec import ModelSpec
from bayescale.runs.table import Runs
from bayescale.words import rows


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


def anchoring(spec: ModelSpec, cells: pd.DataFrame, index: np.ndarray) -> dict[str, np.ndarray]:
    """Choose the form of every partially pooled parameter.

    Parameters
    ----------
    spec : ModelSpec
    cells : pandas.DataFrame
        Inputs of the law and ``log_loss``, one row a cell of replicates.
    index : numpy.ndarray of int, shape (cells,)
        The group of each cell.

    Returns
    -------
    dict of str to numpy.ndarray, shape (groups,)
        ``<name>_centring``, lambda, where the groups differ; else ``<name>_weight``, w.
    """
    groups = index.max() + 1
    inputs = [cells[name].to_numpy(dtype=float) for name in spec.inputs]
    reference = tuple(float(np.exp(np.log(values).mean())) for values in inputs)
    log_loss = cells["log_loss"].to_numpy()
    place, error = np.empty((2, len(spec.priors), groups))
    for group in range(groups):
        own = index == group
        place[:, group], error[:, group] = _estimate(
            spec, [values[own] for values in inputs], log_loss[own], reference
        )
    found = dict(zip(spec.priors, zip(place, error, strict=True), strict=True))
    noise = np.zeros(groups), 1 / np.sqrt(2.0 * np.bincount(index))  # error of the log of an sd
    chosen = {}
    for name in spec.partial:
        own_place, own_error = found.get(name, noise)
        least, precision = _least_variance(own_place, own_error), own_error**-2
        if least > 0:
            chosen[f"{name}_centring"] = least / (least + own_error**2)
        else:
            chosen[f"{name}_weight"] = precision / precision.sum()
    return chosen


def _least_variance(place: np.ndarray, error: np.ndarray) -> float:
    """Lower end of the 80% Q-profile interval of the variance between groups."""

    def excess(variance: float) -> float:
        weight = 1 / (error**2 + variance)
        centred = place - (weight * place).sum() / weight.sum()
        return float((weight * centred**2).sum() - chi2.ppf(0.9, len(place) - 1))

    return brentq(excess, 0.0, 1e6) if excess(0.0) > 0 else 0.0


def _estimate(
    spec: ModelSpec, inputs: list[np.ndarray], log_loss: np.ndarray, reference: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate one group's coordinates on the real line, with standard errors.

    Penalised least squares: the priors hold what the runs leave open, and count for little in the
    errors, to keep them finite.
    """
    middle, width = np.array([prior.on_line() for prior in spec.priors.values()]).T
    sigma = np.exp(spec.noise_priors["sigma"].on_line()[0])

    def misfit(step: np.ndarray) -> np.ndarray:
        return _misfit(spec, middle + width * step, inputs, log_loss, reference)

    def penalised(step: np.ndarray) -> np.ndarray:
        return np.concatenate([misfit(step) / sigma, step])

    best = least_squares(penalised, np.zeros(len(middle)), max_nfev=200)
    jacobian = best.jac[: len(log_loss)] * sigma
    freedom = max(len(log_loss) - len(middle), 1)
    noise = np.sqrt((misfit(best.x) ** 2).sum() / freedom) + 1e-4
    precision = jacobian.T @ jacobian / noise**2 + 0.1 * np.eye(len(middle))
    return middle + width * best.x, width * np.sqrt(np.diag(np.linalg.inv(precision)))


def _misfit(
    spec: ModelSpec,
    line: np.ndarray,
    inputs: list[np.ndarray],
    log_loss: np.ndarray,
    reference: tuple[float, ...],
) -> np.ndarray:
    sampled: dict[str, Any] = {
        name: from_line(name, value) for name, value in zip(spec.priors, line, strict=True)
    }
    natural = spec.law.to_natural(sampled, reference)
    return np.log(spec.law.loss(*inputs, **natural)) - log_loss
