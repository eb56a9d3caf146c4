"""Which groups the runs of a hierarchical model belong to, and how their values are sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, least_squares
from scipy.stats import chi2

from bayescale.errors import RunsError
from bayescale.laws import into_support, onto_line
from bayescale.modelling.inputs import alone, lacking, reference_of
from bayescale.modelling.spec import ModelSpec
from bayescale.runs.table import Runs, positive
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
            f"column with --group, or fit a model without groups{alone(spec)}"
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
    return _labels(spec, runs, str(spec.group), "group", "with --group")


def _labels(spec: ModelSpec, runs: Runs, column: str, kind: str, how: str) -> pd.Series:
    """Name the group or the cluster of every run; `how` another column is named."""
    if column not in runs.table:
        raise lacking(spec, runs.table, column, kind, how)
    labels = runs.table[column]
    if labels.isna().any():
        raise RunsError(
            f"column {column!r}, {rows(labels.index[labels.isna()])}: no {kind}; fill it in, or "
            f"leave such rows out with --where '{column}.notna()'"
        )
    return labels.astype(str)


def clusters_of(spec: ModelSpec, runs: Runs) -> tuple[tuple[str, ...], np.ndarray]:
    """Name the clusters that groups lie in, and say which each group lies in.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs

    Returns
    -------
    names : tuple of str
        Sorted; empty for a model whose clusters have no effect.
    index : numpy.ndarray of int, shape (groups,)

    Raises
    ------
    RunsError
        If the runs lack the column, a run has no cluster, or a group lies in two.
    """
    if not spec.cluster_scales:
        return (), np.zeros(len(group_names(spec, runs)), dtype=np.int64)
    own = _labels(spec, runs, str(spec.cluster), "cluster", "in the model file")
    held = own.groupby(group_labels(spec, runs)).unique()
    for group, clusters in held.items():
        if len(clusters) > 1:
            raise RunsError(
                f"the {spec.group} {group!r} lies in more than one {spec.cluster}: "
                f"{', '.join(sorted(clusters))}; a group lies in one cluster: mend these rows, or "
                f"make a column of {spec.group} and {spec.cluster} together and name it with "
                "--group"
            )
    names = tuple(sorted(own.unique(), key=_numbers_first))
    index = [names.index(held[group][0]) for group in group_names(spec, runs)]
    return names, np.array(index, dtype=np.int64)


def covariates_of(spec: ModelSpec, runs: Runs) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Where the groups lie along the columns that a model has trends in.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs

    Returns
    -------
    distances : dict of str to numpy.ndarray, shape (groups,)
        By column: decades from the middle of the groups, each at the geometric mean of its runs.
    middles : dict of str to float
        By column, in its unit.

    Raises
    ------
    RunsError
        If the runs lack a column, or it has values that are not positive.
    """
    distances, middles = {}, {}
    for column in spec.covariates:
        decades = pd.Series(np.log10(positive(runs.table, column)), runs.table.index)
        of_groups = decades.groupby(group_labels(spec, runs)).mean()[list(group_names(spec, runs))]
        middles[column] = float(10 ** of_groups.mean())
        distances[column] = (of_groups - of_groups.mean()).to_numpy()
    return distances, middles


def guess_of(
    spec: ModelSpec, inputs: Mapping[str, np.ndarray], observed: np.ndarray, index: np.ndarray
) -> dict[str, np.ndarray]:
    """Guess some coordinates of every group from its runs, where the law says how.

    Parameters
    ----------
    spec : ModelSpec
    inputs : mapping of str to numpy.ndarray, shape (cells,) or (cells, parts)
        Of the law.
    observed : numpy.ndarray, shape (cells,)
    index : numpy.ndarray of int, shape (cells,)
        The group of each cell.

    Returns
    -------
    dict of str to numpy.ndarray, shape (groups,)
    """
    guess = spec.law.coordinates.guess
    if guess is None:
        return {}
    references = references_of(spec, inputs, index)
    found = []
    for group in range(index.max() + 1):
        own = index == group
        at = tuple(of[group] if spec.reference == "group" else of for of in references.values())
        found.append(guess(tuple(inputs[n][own] for n in spec.inputs), observed[own], at))
    return {name: np.array([own[name] for own in found]) for name in found[0]}


def _numbers_first(label: str) -> tuple[float, str]:
    """Sort budgets such as 3e18 and 1e19 by size, names by the alphabet."""
    number = float(pd.to_numeric(label, errors="coerce"))
    return (np.inf if np.isnan(number) else number, label)


def references_of(
    spec: ModelSpec, inputs: Mapping[str, np.ndarray], index: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Find the reference run: of all runs, or of each group.

    Parameters
    ----------
    spec : ModelSpec
    inputs : mapping of str to numpy.ndarray, shape (cells,) or (cells, parts)
        Of the law.
    index : numpy.ndarray of int, shape (cells,), optional
        The group of each cell, of a model with groups.

    Returns
    -------
    dict of str to numpy.ndarray, shape (), (parts,) or (groups,)
        By input.
    """
    if spec.reference == "runs" or index is None:
        return {own.name: reference_of(own, inputs[own.name]) for own in spec.reads}
    return {
        own.name: np.array(
            [reference_of(own, inputs[own.name][index == g]) for g in range(index.max() + 1)]
        )
        for own in spec.reads
    }


def shifts_of(
    spec: ModelSpec, observed: np.ndarray, weight: np.ndarray, index: np.ndarray
) -> dict[str, np.ndarray]:
    """How far each group lies from the middle of all runs, where levels lie about their group.

    Parameters
    ----------
    spec : ModelSpec
        As its file states it.
    observed, weight : numpy.ndarray, shape (cells,)
    index : numpy.ndarray of int, shape (cells,)
        The group of each cell.

    Returns
    -------
    dict of str to numpy.ndarray, shape (groups,)
        ``<name>_shift`` of the level, if it is not pooled and each group has its own reference run,
        or its prior is about the group.
    """
    names = [
        name
        for name, prior in spec.priors.items()
        if prior.about_runs
        and spec.pooling.get(name) == "none"
        and (spec.reference == "group" or prior.about_group)
    ]
    if not names or not weight.any():
        return {}
    least = weight + 1e-12 * weight.max()  # a group of weight 0 has a middle as well
    middle = np.bincount(index, least * observed) / np.bincount(index, least)
    return dict.fromkeys(
        (f"{name}_shift" for name in names), middle - np.average(observed, weights=weight)
    )


def anchoring(
    spec: ModelSpec,
    inputs: Mapping[str, np.ndarray],
    observed: np.ndarray,
    index: np.ndarray,
    known: Mapping[str, np.ndarray] | None = None,
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
    known : mapping of str to numpy.ndarray, shape (groups,), optional
        Of `shifts_of`; ``cluster_index``, the cluster of each group; and ``covariate_<column>``.

    Returns
    -------
    dict of str to numpy.ndarray, shape (groups,)
        ``<name>_centring``, lambda, where the groups differ; else ``<name>_weight``, w.
    """
    groups, known = index.max() + 1, known or {}
    guessed = guess_of(spec, inputs, observed, index)
    law = [inputs[name] for name in spec.inputs]
    references = tuple(references_of(spec, inputs, index).values())
    reference = tuple(own[0] for own in references) if spec.reference == "group" else references
    names = _entries(spec, reference)
    place, error = np.empty((2, len(names), groups))
    for group in range(groups):
        own = index == group
        if spec.reference == "group":
            reference = tuple(of_groups[group] for of_groups in references)
        place[:, group], error[:, group] = _estimate(
            _of_group(spec, known, group),
            names,
            [values[own] for values in law],
            observed[own],
            reference,
            {name: float(values[group]) for name, values in guessed.items()},
        )
    noise = 1 / np.sqrt(2.0 * np.bincount(index))  # error of the log of an sd
    chosen = {}
    for name in spec.partial:
        rows = [row for row, other in enumerate(names) if other == name]
        least, own_error = 0.0, noise
        cluster = known["cluster_index"] if name in spec.cluster_scales else np.zeros_like(noise)
        if rows:  # of several entries, which have one sd between groups, the middle
            trend = [known[f"covariate_{column}"] for column in spec.trends.get(name, ())]
            found = [_least_variance(place[row], error[row], cluster, trend) for row in rows]
            least = float(np.mean(found))
            own_error = np.sqrt((error[rows] ** 2).mean(axis=0))
        precision = own_error**-2
        if least > 0:
            chosen[f"{name}_centring"] = least / (least + own_error**2)
        else:
            chosen[f"{name}_weight"] = precision / precision.sum()
    return chosen


def _of_group(spec: ModelSpec, known: Mapping[str, np.ndarray], group: int) -> ModelSpec:
    """Move priors about the runs to one group, where its levels lie about it."""
    moved = {
        name: replace(prior, about_runs=True).about(float(known[f"{name}_shift"][group]))
        for name, prior in spec.priors.items()
        if f"{name}_shift" in known
    }
    return replace(spec, priors={**spec.priors, **moved})


def _least_variance(
    place: np.ndarray,
    error: np.ndarray,
    cluster: np.ndarray | None = None,
    trend: Sequence[np.ndarray] = (),
) -> float:
    """Lower end of the 80% Q-profile interval of the variance between groups of one cluster.

    About the trends along some columns.
    """
    among = pd.factorize(np.zeros_like(place) if cluster is None else cluster)[0]
    design = np.column_stack([np.eye(among.max() + 1)[among], *trend])
    freedom = len(place) - np.linalg.matrix_rank(design)
    if not freedom:
        return 0.0

    def excess(variance: float) -> float:
        root = 1 / np.sqrt(error**2 + variance)
        middle = np.linalg.lstsq(design * root[:, None], place * root, rcond=None)[0]
        left = ((root * (place - design @ middle)) ** 2).sum()
        return float(left - chi2.ppf(0.9, freedom))

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
    guessed: Mapping[str, float] | None = None,
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
    for row, name in enumerate(names):
        if guessed and name in guessed:
            step[row] = (onto_line(spec.supports[name], guessed[name]) - middle[row]) / width[row]
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
    own = {n: v[:, None] if spec.along(n) else v for n, v in natural.items()}
    law = [values.T for values in inputs]  # parts of a mixture first: `laws.total`
    return spec.response.onto(spec.law(*law, **own)) - observed
