"""How well laws predict runs that they have not seen: elpd by leaving cells out.

The elpd is the sum over cells of replicates of the log density that a fit without the cell gives
to what was observed of it (nats; Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4).

A cell of weight w gives the log of the mean over the draws of that fit of its density raised to w:
what it would add to the evidence of a weighted fit. That is no prediction of a run, so `compare`
refuses weighted runs.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from bayescale import words
from bayescale.errors import FitError, RunsWarning
from bayescale.evaluation.loo import leave_each_out
from bayescale.evaluation.scores import log_score
from bayescale.modelling.build import cells_of
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import fit
from bayescale.posterior.prediction import cell_draws, thinned, with_groups_of
from bayescale.progress import step
from bayescale.runs.cells import Cells
from bayescale.runs.table import Runs
from bayescale.workers import call_each

MOST_REFITS = 5
"""Cells of a law that are left out one by one where importance sampling fails; of more, K-fold."""


@dataclass(frozen=True)
class CrossValidation:
    """Elpd of each law on the same cells.

    Parameters
    ----------
    elpds : mapping of str to arviz_stats.ELPDData
        By law: ``elpd``, ``se``, ``p`` (effective number of parameters), ``elpd_i`` (dim obs, one a
        cell) and ``pareto_k`` of the importance sampling.
    high_k : mapping of str to int
        Cells whose Pareto k exceeds ArviZ's limit, min(1 - 1/log10(draws), 0.7).
    method : mapping of str to str
        How the cells were left out.
    problems : tuple of str
        Refits that did not converge, one sentence each.
    left_out : tuple of str
        Refits that failed, one sentence a law; such a law has no elpd.
    """

    elpds: Mapping[str, Any]
    high_k: Mapping[str, int]
    method: Mapping[str, str]
    problems: tuple[str, ...]
    left_out: tuple[str, ...]


def cross_validate(
    fits: Mapping[str, Fit],
    *,
    folds: int = 10,
    seed: int = 1,
) -> CrossValidation:
    """Leave each cell out of every fit: by importance sampling, and by refits where that fails.

    Where the Pareto k of at most `MOST_REFITS` cells of every law are too high, these cells are
    left out by refits. Where more are, all laws are refitted without one fold of the cells after
    another, on the same folds: then the elpd is that of fits with a share (1 - 1/folds) of the
    cells. Seeds of one configuration are left out together. A cell that is the only one of its
    group is predicted from the population of groups. Of large tables 1,000 draws are asked (see
    `bayescale.evaluation.loo.leave_each_out`).

    Parameters
    ----------
    fits : mapping of str to Fit
        Of the same cells.
    folds : int
        Number of folds, at least 2; of groups each fold has its share.
    seed : int
        Of the folds and the refits.

    Returns
    -------
    CrossValidation

    Raises
    ------
    FitError
        If there are fewer than two folds.
    """
    if folds < 2:
        raise FitError(f"cross-validation needs at least 2 folds, got {folds}")
    elpds = {name: _importance_sampling(own) for name, own in fits.items()}
    high = {n: np.flatnonzero(e.pareto_k.to_numpy() > e.good_k) for n, e in elpds.items()}
    if all(len(cells) <= MOST_REFITS for cells in high.values()):
        asked = [
            _Refit.of(name, fits[name], np.array([cell]), f"cell {cell + 1}", seed)
            for name, cells in high.items()
            for cell in cells
        ]
        method = {
            n: "PSIS-LOO" + (f", {len(cells)} exact" if len(cells) else "")
            for n, cells in high.items()
        }
    else:
        fold = folds_of(fits, folds, seed)
        number = int(fold.max()) + 1
        asked = [
            _Refit.of(name, own, np.flatnonzero(fold == i), f"fold {i + 1} of {number}", seed)
            for name, own in fits.items()
            for i in range(number)
        ]
        method = dict.fromkeys(fits, f"{number}-fold")
    told = f"fitting {words.counted(len(asked), 'model')}"
    rows = len(next(iter(fits.values())).runs)
    calls = call_each(_refit_without, asked, told, rows=rows)
    found = list(zip(asked, calls, strict=True))
    left_out = {one.law: f"{one.name}: {called.failure}" for one, called in found if called.failure}
    refits = [(one, *called.value) for one, called in found if one.law not in left_out]
    problems = [f"{one.name}: {problem}" for one, _, said in refits for problem in said]
    kept = {
        name: _with_density(elpd, [(one.out, own) for one, own, _ in refits if one.law == name])
        for name, elpd in elpds.items()
        if name not in left_out
    }
    numbers = {name: len(high[name]) for name in kept}
    methods = {name: method[name] for name in kept}
    return CrossValidation(kept, numbers, methods, tuple(problems), tuple(left_out.values()))


def folds_of(fits: Mapping[str, Fit], folds: int, seed: int) -> np.ndarray:
    """Draw the fold of each cell; the cells of one group are dealt to different folds in turn.

    Parameters
    ----------
    fits : mapping of str to Fit
        Of the same cells.
    folds : int
    seed : int

    Returns
    -------
    ndarray
        One number from 0 up for each cell.
    """
    grouped = next((own for own in fits.values() if own.groups), next(iter(fits.values())))
    table = cells(grouped).table
    order = np.random.default_rng(seed).permutation(len(table))
    if grouped.groups:
        labels = table[str(grouped.spec.group)].astype(str).to_numpy()
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(table), dtype=int)
    fold[order] = np.arange(len(table)) % min(folds, len(table))
    return fold


def cells(own: Fit) -> Cells:
    """Cells of replicates that a fit has seen.

    Parameters
    ----------
    own : Fit

    Returns
    -------
    Cells
    """
    return cells_of(own.spec, own.runs)


def _importance_sampling(own: Fit) -> Any:
    """As `arviz.loo` has it, without an array of all draws at all cells."""
    seen, unseen, k = [], [], []
    for out in leave_each_out(own):
        draws = out.log_weights.sizes["chain"] * out.log_weights.sizes["draw"]
        seen.append(log_score(out.log_likelihood))
        unseen.append(log_score(out.log_weights + out.log_likelihood) + np.log(draws))
        k.append(out.pareto_k.to_numpy())
    density, pareto_k = np.concatenate(unseen), np.concatenate(k)
    good = min(1 - 1 / np.log10(draws / len(own.members)), 0.7)
    return az.ELPDDataLOO(
        elpd=float(density.sum()),
        se=float(np.sqrt(len(density) * density.var(ddof=1))),
        p=float(np.concatenate(seen).sum() - density.sum()),
        n_samples=draws,
        n_data_points=len(density),
        scale="log",
        warning=bool((pareto_k > good).any()),
        good_k=good,
        elpd_i=xr.DataArray(density, dims="obs"),
        pareto_k=xr.DataArray(pareto_k, dims="obs"),
    )


def _with_density(elpd: Any, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Put log densities of cells that refits left out in the place of those by importance sampling.

    Each part has the places of its cells.
    """
    density = elpd.elpd_i.to_numpy().copy()
    for places, own in parts:
        density[places] = own
    total, fitted = float(density.sum()), elpd.elpd + elpd.p  # the latter of the seen cells
    return replace(
        elpd,
        elpd=total,
        se=float(np.sqrt(len(density) * density.var())),
        p=fitted - total,
        elpd_i=elpd.elpd_i.copy(data=density),
    )


@dataclass(frozen=True)
class _Refit:
    """A fit of a law without some cells: which, in words too, and how to sample."""

    law: str
    spec: ModelSpec
    runs: Runs
    out: np.ndarray
    what: str
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, law: str, own: Fit, out: np.ndarray, what: str, seed: int) -> "_Refit":
        """Leave cells out of a fit."""
        draws, chains = own.lengths
        settings = {"draws": draws, "chains": chains, "seed": seed}
        return cls(law, own.spec, own.runs, out, what, settings)

    @property
    def name(self) -> str:
        """Name the fit for people."""
        return f"{self.law} without {self.what}"


def _refit_without(asked: _Refit) -> tuple[np.ndarray, tuple[str, ...]]:
    """Log density of the cells left out, and what was wrong with the fit of the others."""
    left_out = np.isin(cells_of(asked.spec, asked.runs).members, asked.out)
    kept, held = (_subset(asked.runs, where) for where in (~left_out, left_out))
    with step(asked.name), warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)  # the fit of all runs said it
        again = fit(kept, asked.spec, **asked.settings)
    predicting = thinned(with_groups_of(again, held), len(held))
    density = [log_score(part.log_likelihood()) for part in cell_draws(predicting, held)]
    return np.concatenate(density), again.diagnostics.problems


def _subset(runs: Runs, where: np.ndarray) -> Runs:
    return replace(runs, table=runs.table[where])
