"""Floors of a sweep: the loss of each cell at its best settings, for a law of params and tokens."""

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import problems_of
from bayescale.decisions.hyperparameters import bracketed
from bayescale.errors import FitError, RunsError, warn
from bayescale.modelling.inputs import sd_column
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check, doubt
from bayescale.runs.doubts import COUNTS
from bayescale.runs.table import Runs

LEAST_BRACKETED = 0.5
"""Least probability that the best settings of a cell lie among the tried ones."""


@typed
def floors(fit: Fit) -> Runs:
    """Give each cell of a sweep the loss at its best settings, and how exactly that is known.

    In place of the best run of each cell, which is lucky where many were tried, and lies above the
    floor where values are few. What is known of the cells counts as independent.

    Parameters
    ----------
    fit : Fit
        Of `bayescale.sweep_model` and the runs of `bayescale.read_sweep`.

    Returns
    -------
    Runs
        One row a cell: the counts of its runs (geometric means), ``loss``, the posterior median,
        ``log_loss_sd``, the posterior sd of its logarithm, which models of losses add to their
        noise, and ``bracketed``, the probability that the best settings lie among the tried ones.
        A cell of which that is less than a half is left out: its floor is extrapolated.

    Raises
    ------
    FitError
        If the fit is none of a sweep of several cells.
    RunsError
        If no cell is bracketed.

    Warns
    -----
    RunsWarning
        For cells that are left out, and for a fit that did not converge.
    """
    if not (fit.spec.law.least and fit.groups):
        raise FitError(
            f"the model {fit.spec.name} has no floors of cells: fit one of a sweep of several "
            "cells, bayescale.sweep_model(runs, knobs)"
        )
    group, level = str(fit.spec.group), xr.ufuncs.log(fit.natural[fit.spec.law.least])
    inside = bracketed(fit).sel(side="inside", drop=True)
    known = xr.Dataset(
        {
            "loss": xr.ufuncs.exp(level.median(("chain", "draw"))),
            sd_column(fit.spec): level.std(("chain", "draw")),
            "bracketed": inside.min("knob").rename(cell="group"),
        }
    ).to_dataframe()
    table = _of_cells(fit.runs, group).join(known, on=group).reset_index(drop=True)
    kept = table["bracketed"] >= LEAST_BRACKETED
    notices = (*_left_out(table[~kept], group), *_of_fit(fit))
    for notice in notices:
        warn(notice)
    if not kept.any():
        raise RunsError(
            "the best settings of every cell lie beyond the tried ones: no floor is known",
            "Add runs beyond the edges that the doubts name, or keep the best run of each cell.",
        )
    runs = fit.runs
    ledger = f"{kept.sum()} floors of cells in place of {len(runs)} runs, as {fit.spec.name} says"
    return Runs(
        table[kept],
        f"the floors of {runs.source}",
        runs.sha256,
        runs.params_are,
        (*runs.ledger, ledger),
        notices,
        runs.counted,
        unit=runs.unit,
    )


def _of_cells(runs: Runs, group: str) -> pd.DataFrame:
    """Say once what runs of a cell have in common, in the order of the cells; counts as means."""
    table = runs.table
    counts = [name for name in COUNTS if name in table and table[name].gt(0).all()]
    kinds = [name for name in (runs.settings or ()) if name not in (*counts, group, "ceiling")]
    cells = table.groupby(table[group].astype(str), sort=False)
    alike = [name for name in kinds if (cells[name].nunique(dropna=False) == 1).all()]
    means = np.exp(np.log(table[counts]).groupby(table[group].astype(str), sort=False).mean())
    found = means.join(cells[alike].first()).assign(swept_runs=cells.size())
    found = found.rename_axis(group).reset_index()
    found.insert(0, "run", found[group])
    return found


def _left_out(cells: pd.DataFrame, group: str) -> list[Check]:
    if cells.empty:
        return []
    names = ", ".join(
        f"{own[group]} ({words.chance(own['bracketed'])})" for _, own in cells.iterrows()
    )
    return [
        doubt(
            "floors not bracketed",
            f"{words.counted(len(cells), 'cell')} left out, whose best settings lie beyond the "
            f"tried ones more likely than not (probability that they lie within): {names}",
            "Add runs beyond the edge there.",
        )
    ]


def _of_fit(fit: Fit) -> list[Check]:
    problems = problems_of(fit)
    if not problems:
        return []
    advice = "Sample more, or look at the cells with few runs."
    return [doubt("sweep not converged", "; ".join(problems), advice)]
