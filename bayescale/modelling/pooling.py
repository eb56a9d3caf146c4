"""Which groups the runs of a hierarchical model belong to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, least_squares
from scipy.stats import chi2

from bayescale.errors import RunsError
from bayescale.laws import into_support
from bayescale.modelling.inputs import reference_of
from bayescale.modelling.spec import ModelSpec
from bayescale.runs.table import Runs
from bayescale.words import rows


def group_names(spec: ModelSpec, runs: Runs) -> tuple[str, ...]:
    """Name the groups among the runs, sorted; empty for a model without groups.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs

    Returns
    -------
    tuple of str

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

    Parameters
    ----------
    spec : ModelSpec
        With groups.
    runs : Runs

    Returns
    -------
    pandas.Series
        Of str, one for each run.

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


def anchoring(
    spec: ModelSpec, inputs: Mapping[str, np.ndarray], observed: np.ndarray, index: np.ndarray
) -> dict[str, np.ndarray]:
    """Choose the form of every partially pooled parameter.

    Parameters
    ----------
    spec : ModelSpec
    inputs : mapping of str to numpy.ndarray, shape (cells,) or (cells, parts)
        Of the law.
    observed : numpy.ndarray, shape (cells,)
        The response of each cell of replicates, as `bayescale.laws.Response.onto` maps it.
    index : numpy.ndarray of int, shape (cells,)
        The group of each cell.

    Returns
    -------
    dict of str to numpy.ndarray, shape (groups,)
        ``<name>_centring``, lambda, where the groups differ; else ``<name>_weight``, w.
    """
    groups = index.max() + 1
    law = [inputs[name] for name in spec.inputs]
    reference = tuple(reference_of(own, inputs[own.name]) for own in spec.reads)
    names = _entries(spec, reference)
    place, error = np.empty((2, len(names), groups))
    for group in range(groups):
        own = index == group
        place[:, group], error[:, group] = _estimate(
            spec, names, [values[own] for values in law], observed[own], reference
        )
    noise = 1 / np.sqrt(2.0 * np.bincount(index))  # error of the log of an sd
    chosen = {}
    for name in spec.partial:
        rows = [row for row, other in enumerate(names) if other == name]
        least, own_error = 0.0, noise
        if rows:  # of several entries, which have one sd between groups, the middle
            least = float(np.mean([_least_variance(place[row], error[row]) for row in rows]))
            own_error = np.sqrt((error[rows] ** 2).mean(axis=0))
        precision = own_error**-2
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


def _entries(spec: ModelSpec, reference: tuple[np.ndarray, ...]) -> list[str]:
    """Name the coordinate of every number that is sampled: several have more than one entry."""
    parts = dict(zip(spec.inputs, reference, strict=True))
    names: list[str] = []
    for name in spec.priors:
        along = spec.along(name)
        names += [name] * (len(parts[along]) if along else 1)
    return names


def _estimate(
    spec: ModelSpec,
    names: list[str],
    inputs: list[np.ndarray],
    observed: np.ndarray,
    reference: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate one group's coordinates on the real line, with standard errors.

    Penalised least squares: the priors hold what the runs leave open, and count for little in the
    errors, to keep them finite.
    """
    middle, width = np.array([spec.priors[name].on_line() for name in names]).T
    sigma = np.exp(spec.noise_priors["sigma"].on_line()[0]) if "sigma" in spec.noise_priors else 0.1

    def misfit(step: np.ndarray) -> np.ndarray:
        return _misfit(spec, names, middle + width * step, inputs, observed, reference)

    freedom, step = max(len(observed) - len(middle), 1), np.zeros(len(middle))
    # Again with the noise that the first estimate leaves: by the prior's noise alone, noisy runs
    # would outweigh the priors and look sure of whatever fits them.
    for _ in range(2):
        noise = sigma

        def penalised(step: np.ndarray, noise: float = noise) -> np.ndarray:
            return np.concatenate([misfit(step) / noise, step])

        best = least_squares(penalised, step, max_nfev=200)
        step = best.x
        sigma = np.sqrt((misfit(step) ** 2).sum() / freedom) + 1e-4
    jacobian = best.jac[: len(observed)] * noise
    precision = jacobian.T @ jacobian / sigma**2 + 0.1 * np.eye(len(middle))
    return middle + width * step, width * np.sqrt(np.diag(np.linalg.inv(precision)))


def _misfit(
    spec: ModelSpec,
    names: list[str],
    line: np.ndarray,
    inputs: list[np.ndarray],
    observed: np.ndarray,
    reference: tuple[np.ndarray, ...],
) -> np.ndarray:
    sampled: dict[str, Any] = {}
    for name in spec.priors:
        entries = line[[other == name for other in names]]
        value = entries if spec.along(name) else entries[0]
        sampled[name] = into_support(spec.supports[name], value)
    natural = spec.law.to_natural(sampled, reference)
    return spec.response.onto(spec.law(*inputs, **natural)) - observed
