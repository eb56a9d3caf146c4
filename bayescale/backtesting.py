"""Backtests: fit what was known up to a cut, predict what came after, and see who was right.

The intervals of a law beyond its runs are a promise that its own residuals cannot test. A backtest
keeps the promise of earlier days against what happened since (Tashman 2000,
doi:10.1016/S0169-2070(00)00065-0: rolling origins).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bayescale.cuts import Split, plan_cuts, up_to
from bayescale.errors import FitError, RunsWarning
from bayescale.fitting import Fit, fit
from bayescale.runs import Runs
from bayescale.scoring import average, score_runs
from bayescale.spec import ModelSpec, load_model

DISTANCES = (0.0, 0.25, 0.5, 1.0, np.inf)
"""Decades beyond the fitted runs that part the predictions in a summary."""

type Progress = Callable[[str], None]


@dataclass(frozen=True)
class Backtest:
    """Predictions of runs from fits that had not seen them.

    Runs predicted from one cut share the error of one fit, and the cuts share most of their runs:
    count cuts, not predictions, when judging how much a coverage tells.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a cut, posterior and predicted run (seeds of one configuration are one): ``cut``
        (largest size that was fitted), ``fitted`` (runs fitted), ``converged`` (of that fit),
        ``decades`` (log10 of the run's size over the largest fitted one, of its own group where
        there are groups), ``block`` ("next": up to the next cut, so each run is once in a next
        block; "later"), and the scores of `bayescale.scoring.score_runs`.
    model : str
        Name of the model.
    axis : str
        Column along which the cuts were made: ``flops`` for joint laws.
    problems : tuple of str
        Fits that did not converge, one sentence each; their rows have ``converged`` false.
    """

    table: pd.DataFrame = field(repr=False)
    model: str
    axis: str
    problems: tuple[str, ...] = ()

    @property
    def cuts(self) -> tuple[float, ...]:
        """Largest size fitted at each cut, ascending."""
        return tuple(float(cut) for cut in np.unique(self.table["cut"]))

    @property
    def posteriors(self) -> tuple[str, ...]:
        """Posteriors that were scored; the first is the one that answers beyond the runs."""
        scored = set(self.table["posterior"])
        return tuple(name for name in ("weighted", "plain") if name in scored)

    @property
    def farthest(self) -> float:
        """How many decades beyond the fitted runs the farthest prediction lay."""
        return float(self.table["decades"].max())

    def of(self, posterior: str) -> pd.DataFrame:
        """Rows of one posterior."""
        return self.table[self.table["posterior"] == posterior]

    @property
    def summary(self) -> pd.DataFrame:
        """Average scores by posterior and distance, and how many ``cuts`` reach it.

        Index ``posterior`` and ``distance``: "all", "next block", then the distances beyond the
        fitted runs that any prediction has, in decades. Columns of `bayescale.scoring.average`.
        """
        rows = {}
        for name in self.posteriors:
            own = self.of(name)
            parts = {"all": own, "next block": own[own["block"] == "next"], **by_distance(own)}
            for label, part in parts.items():
                rows[name, label] = {"cuts": part["cut"].nunique(), **average(part)}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index = pd.MultiIndex.from_tuples(list(rows), names=["posterior", "distance"])
        return table.astype({"cuts": int, "predictions": int})

    @property
    def by_cut(self) -> pd.DataFrame:
        """Scores by posterior and cut: ``fitted``, ``farthest`` (decades), ``converged``, and more.

        The spread between cuts says how much a coverage is worth.
        """
        parts = {
            (n, float(cut)): p for n in self.posteriors for cut, p in self.of(n).groupby("cut")
        }
        rows = {
            key: {
                "fitted": int(part["fitted"].iloc[0]),
                "converged": bool(part["converged"].iloc[0]),
                "farthest": float(part["decades"].max()),
                **average(part),
            }
            for key, part in parts.items()
        }
        table = pd.DataFrame(list(rows.values()))
        table.index = pd.MultiIndex.from_tuples(list(rows), names=["posterior", "cut"])
        return table


def by_distance(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part rows by `DISTANCES` beyond the fitted runs; distances that no row has are left out."""
    found = {}
    for low, high in pairwise(DISTANCES):
        part = table[(table["decades"] > low) & (table["decades"] <= high)]
        if len(part):
            found[f"more than {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"] = part
    return found


def backtest(
    runs: Runs,
    model: str | Path | ModelSpec = "chinchilla",
    *,
    cuts: Sequence[float] | None = None,
    group: str | None = None,
    extrapolate: Literal["plain", "weighted"] | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 1,
    progress: Progress = lambda step: None,
) -> Backtest:
    """Fit the runs up to each cut, predict the later ones with noise, score both posteriors.

    The cuts are made at growing compute for joint laws, along their axis for single-axis laws. All
    groups are cut at the same compute; a group without runs up to a cut is not predicted from it.
    Unfinished runs (column ``mid_schedule``) and those of weight 0 are never predicted.

    Parameters
    ----------
    runs : Runs
    model : str, path or ModelSpec
        As in `bayescale.fit`.
    cuts : sequence of float, optional
        Sizes up to which runs are fitted, those equal to it included; by default chosen by
        `bayescale.cuts.choose_cuts`.
    group : str, optional
        As in `bayescale.fit`.
    extrapolate : {"plain", "weighted"}, optional
        "weighted" scores the weighted posterior beside the plain one, "plain" that one alone; by
        default what the model file says.
    draws, tune, chains, seed
        As in `bayescale.fit`, for each cut.
    progress : callable
        Called with the name of each cut as its fit starts.

    Returns
    -------
    Backtest

    Raises
    ------
    RunsError
        For a cut outside the range of the runs, one whose past cannot identify the law, two cuts
        that leave the same runs, or where no cut can be chosen.
    ModelError
        For a law without an axis to cut along, or without a weighted posterior that was asked for.
    FitError
        If a sampler could not start.

    Warns
    -----
    RunsWarning
        Where the design up to a cut is weaker than that of all runs.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    spec = spec if group is None else spec.grouped_by(group)
    by = spec.answers_beyond(extrapolate)
    splits = plan_cuts(runs, spec, cuts)
    parts, problems = [], []
    for number, split in enumerate(splits):
        for notice in split.weaknesses(runs):
            warnings.warn(f"{split.name}: {notice}", RunsWarning, stacklevel=2)
        progress(f"{split.name}, {len(split.past)} runs")
        own = _refit(split, by, draws, tune, chains, seed)
        rows = score_runs(own, split.later, seed=seed)
        found = own.diagnostics.problems
        problems += [f"{split.name}: {problem}" for problem in found]
        until = splits[number + 1].cut if number + 1 < len(splits) else np.inf
        next_block = up_to(rows[spec.size], until)
        rows = rows.assign(
            cut=split.cut,
            fitted=len(split.past),
            converged=not found,
            decades=split.decades(rows),
            block=np.where(next_block, "next", "later"),
        )
        parts.append(rows.sort_values(["posterior", spec.size], ascending=[False, True]))
    table = pd.concat(parts, ignore_index=True)
    first = ["cut", "fitted", "converged", "posterior", "run", "decades", "block"]
    table = table[first + [name for name in table if name not in first]]
    return Backtest(table, spec.name, spec.size, tuple(problems))


def _refit(
    split: Split, by: Literal["plain", "weighted"], draws: int, tune: int, chains: int, seed: int
) -> Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)  # what is new about the past was said
        try:
            return fit(
                split.past,
                split.spec,
                extrapolate=by,
                draws=draws,
                tune=tune,
                chains=chains,
                seed=seed,
                progress=False,
            )
        except FitError as error:
            raise FitError(f"{split.name}: {error}") from error
