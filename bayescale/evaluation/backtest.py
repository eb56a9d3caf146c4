"""Backtests: fit what was known up to a cut, predict what came after, and see who was right.

The intervals of a law beyond its runs are a promise that its own residuals cannot test. A backtest
keeps the promise of earlier days against what happened since (Tashman 2000,
doi:10.1016/S0169-2070(00)00065-0: rolling origins).
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, convergence, response_writer, unconverged
from bayescale.display import Part, Shown
from bayescale.draws import CI_PROB
from bayescale.errors import FitError, RunsWarning, warn
from bayescale.evaluation.folds import Split, plan_cuts, up_to
from bayescale.evaluation.scores import Chance, average, percent, score_with_chance
from bayescale.files import plain
from bayescale.laws import LOSS, Response
from bayescale.modelling.inputs import runs_for
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.posterior.fitting import fit
from bayescale.progress import showing, step
from bayescale.runs.table import Runs
from bayescale.workers import call_each

MODEL, EXACT = "model", "exact"
"""What is scored: the model as it is, and its law taken as exact."""

DISTANCES = (0.0, 0.25, 0.5, 1.0, np.inf)
"""Decades beyond the fitted runs that part the predictions in a summary."""

_FEWEST_CUTS, _RARE = 3, 0.1  # for a bias of one sign to tell
_SIMULATIONS = 4000  # of what chance does to the coverage


@dataclass(frozen=True, repr=False)
class Backtest(Shown):
    """Predictions of runs from fits that had not seen them.

    Runs predicted from one cut share the error of one fit, and the cuts share most of their runs:
    count cuts, not predictions, when judging how much a coverage tells.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a cut, law and predicted run (seeds of one configuration are one): ``cut``
        (largest size that was fitted), ``fitted`` (runs fitted), ``converged`` (of that fit),
        ``law`` ("model": as the model has it; "exact": taken as exact, of a model whose law may
        bend), ``decades`` (log10 of the run's size over the largest fitted one, of its own group
        where there are groups), ``block`` ("next": up to the next cut, so each run is once in a
        next block; "later"), and the scores of `bayescale.evaluation.scores.score_runs`.
    model : str
        Name of the model.
    axis : str
        Column along which the cuts were made: ``flops`` for laws that trade params for tokens.
    problems : tuple of str
        Fits that did not converge, one sentence each; their rows have ``converged`` false.
    left_out : tuple of str
        Fits that failed, one sentence each; they have no rows.
    chances : tuple of Chance
        Of each cut: what the scores of the model would be, were it true.
    response : Response
        What was predicted.
    """

    table: pd.DataFrame = field(repr=False)
    model: str
    axis: str
    problems: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    chances: tuple[Chance, ...] = field(default=(), repr=False)
    response: Response = field(default=LOSS, repr=False)

    def _parts(self) -> Iterable[Part]:
        return answer_backtest(self)._parts()

    @property
    def p_coverage(self) -> float:
        """How often as few runs lie in their 90% intervals, were the model true.

        Runs predicted from one cut share the error of its fit, so that a few misses come together;
        how far, the draws of its posterior say. Cuts are taken as independent; so are predictions
        where a table alone was given.
        """
        inside = int(self.of(MODEL)["inside90"].sum())
        if not self.chances:
            number = len(self.of(MODEL))
            return float(binomtest(inside, number, CI_PROB, alternative="less").pvalue)
        rng = np.random.default_rng(0)
        # Drawn anew: fits that predict many runs keep fewer draws.
        drawn = [rng.choice(chance.inside, _SIMULATIONS) for chance in self.chances]
        simulated = np.sum(drawn, axis=0)
        return float((1 + (simulated <= inside).sum()) / (1 + len(simulated)))

    @property
    def bias(self) -> float:
        """Mean error if it has one sign in every cut and chance is no reason, or 0.

        Of at least three cuts, in half of which an error as large is rarer than one in ten.
        """
        errors = self.by_cut.loc[MODEL]["bias"].to_numpy()
        if not self.chances or len(errors) < _FEWEST_CUTS or np.ptp(np.sign(errors)):
            return 0.0
        rarer = [
            (np.abs(chance.error) >= abs(error)).mean() < _RARE
            for chance, error in zip(self.chances, errors, strict=True)
        ]
        return float(self.of(MODEL)["error"].mean()) if np.mean(rarer) >= 0.5 else 0.0

    @property
    def cuts(self) -> tuple[float, ...]:
        """Largest size fitted at each cut, ascending."""
        return tuple(float(cut) for cut in np.unique(self.table["cut"]))

    @property
    def laws(self) -> tuple[str, ...]:
        """What was scored: "model", and "exact" where the law of the model may bend."""
        scored = set(self.table["law"])
        return tuple(name for name in (MODEL, EXACT) if name in scored)

    @property
    def farthest(self) -> float:
        """How many decades beyond the fitted runs the farthest prediction lay."""
        return float(self.table["decades"].max())

    def of(self, law: str) -> pd.DataFrame:
        """Rows of the model, or of its law taken as exact.

        Parameters
        ----------
        law : str
            "model" or "exact".

        Returns
        -------
        pandas.DataFrame
        """
        return self.table[self.table["law"] == law]

    @property
    def summary(self) -> pd.DataFrame:
        """Average scores by law and distance, and how many ``cuts`` reach it.

        Index ``law`` and ``distance``: "all", "next block", then the distances beyond the fitted
        runs that any prediction has, in decades. Columns of `bayescale.evaluation.scores.average`.
        """
        rows = {}
        for name in self.laws:
            own = self.of(name)
            parts = {"all": own, "next block": own[own["block"] == "next"], **by_distance(own)}
            for label, part in parts.items():
                rows[name, label] = {"cuts": part["cut"].nunique(), **average(part, self.response)}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index = pd.MultiIndex.from_tuples(list(rows), names=["law", "distance"])
        return table.astype({"cuts": int, "predictions": int})

    @property
    def by_cut(self) -> pd.DataFrame:
        """Scores by law and cut: ``fitted``, ``farthest`` (decades), ``converged``, and more.

        The spread between cuts says how much a coverage is worth.
        """
        parts = {(n, float(cut)): p for n in self.laws for cut, p in self.of(n).groupby("cut")}
        rows = {
            key: {
                "fitted": int(part["fitted"].iloc[0]),
                "converged": bool(part["converged"].iloc[0]),
                "farthest": float(part["decades"].max()),
                **average(part, self.response),
            }
            for key, part in parts.items()
        }
        table = pd.DataFrame(list(rows.values()))
        table.index = pd.MultiIndex.from_tuples(list(rows), names=["law", "cut"])
        return table


def by_distance(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part rows by `DISTANCES` beyond the fitted runs; distances that no row has are left out.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `Backtest.table`.

    Returns
    -------
    dict of str to pandas.DataFrame
        By the distance in words.
    """
    found = {}
    for low, high in pairwise(DISTANCES):
        part = table[(table["decades"] > low) & (table["decades"] <= high)]
        if len(part):
            found[f"more than {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"] = part
    return found


@typed
def backtest(
    runs: Runs | pd.DataFrame | str | Path,
    model: str | Path | ModelSpec = "joint",
    *,
    cuts: Sequence[float] | None = None,
    group: str | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 1,
    progress: bool | None = None,
    **reading: Any,
) -> Backtest:
    """Fit the runs up to each cut, predict the later ones with noise, and score the predictions.

    Where the law of the model may bend, its law taken as exact is fitted and scored beside it.
    The cuts are made at growing compute for laws that trade params against tokens, along the axis
    or the first input on a log scale for all others. All groups are cut at the same size; a group
    without runs up to a cut is not predicted from it.
    Unfinished runs (column ``mid_schedule``) are never predicted.
    Where the fits take long, all cores make them; the draws are the same. A fit that fails is left
    out and named.

    Parameters
    ----------
    runs : Runs, pandas.DataFrame or path
    model : str, path or ModelSpec
        As in `bayescale.fit`.
    cuts : sequence of float, optional
        Sizes up to which runs are fitted, those equal to it included; by default chosen by
        `bayescale.evaluation.folds.choose_cuts`.
    group : str, optional
        As in `bayescale.fit`.
    draws, tune, chains, seed
        As in `bayescale.fit`, for each cut.
    progress : bool, optional
        Show which step runs; by default on a terminal and in a notebook.
    **reading
        As in `bayescale.fit`.

    Returns
    -------
    Backtest

    Raises
    ------
    RunsError
        For a cut outside the range of the runs, one whose past cannot identify the law, two cuts
        that leave the same runs, or where no cut can be chosen.
    ModelError
        For a law whose size lies at a minimum: no end of it is the future.
    FitError
        If no fit of the model could be made.

    Warns
    -----
    RunsWarning
        Where the design up to a cut is weaker than that of all runs.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    spec = spec if group is None else spec.grouped_by(group)
    runs = runs_for(spec, runs, reading)
    spec = spec.in_unit(runs.unit)
    laws = {MODEL: spec} | ({} if spec.is_exact else {EXACT: spec.exact})
    splits = plan_cuts(runs, spec, cuts)
    for split in splits:
        for notice in split.weaknesses(runs):
            warn(f"{split.name}: {notice}")
    settings = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    asked = [
        _Past(replace(split, spec=own), law, f"cut {number} of {len(splits)}", settings)
        for number, split in enumerate(splits, 1)
        for law, own in laws.items()
    ]
    with showing(progress):
        told = f"fitting {words.counted(len(asked), 'past')}"
        found = call_each(_scored, asked, told, rows=len(runs))
    left_out = tuple(f"{asked[one.place].of}: {one.failure}" for one in found if one.failure)
    scored = [(asked[one.place], one.value) for one in found if not one.failure]
    chances = tuple(own.chance for past, own in scored if past.law == MODEL)
    if not chances:
        raise FitError(f"no past could be fitted: {'; '.join(left_out)}")
    problems = tuple(f"{past.of}: {problem}" for past, own in scored for problem in own.problems)
    ends = {one.cut: other.cut for one, other in pairwise(splits)}
    parts = [_in_blocks(own.rows, spec, ends.get(past.split.cut, np.inf)) for past, own in scored]
    table = pd.concat(parts, ignore_index=True)
    first = ["cut", "fitted", "converged", "law", "run", "decades", "block"]
    table = table[first + [name for name in table if name not in first]]
    return Backtest(table, spec.name, spec.size, problems, left_out, chances, spec.response)


def _in_blocks(rows: pd.DataFrame, spec: ModelSpec, end: float) -> pd.DataFrame:
    """Say which runs lie up to the next cut."""
    return rows.assign(block=np.where(up_to(rows[spec.size], end), "next", "later"))


@dataclass(frozen=True)
class _Past:
    """One fit of a past: by the model or its exact law, which cut it is, and how to sample."""

    split: Split
    law: str
    which: str
    settings: Mapping[str, Any]

    @property
    def of(self) -> str:
        """Name the fit for people."""
        return self.split.name + ("" if self.law == MODEL else " (the exact law)")


@dataclass(frozen=True)
class _Scored:
    """Scores of the later runs, what chance would make of them, and problems of the fit."""

    rows: pd.DataFrame
    chance: Chance
    problems: tuple[str, ...]


def _scored(past: _Past) -> _Scored:
    """Fit a past, and score what came later."""
    split = past.split
    exact = "fitting the exact law" if past.law == EXACT else ""
    with warnings.catch_warnings(), step(f"{past.which}, {len(split.past)} runs"), step(exact):
        warnings.simplefilter("ignore", RunsWarning)  # what is new about the past was said
        own = fit(split.past, split.spec, **past.settings)
    rows, chance = score_with_chance(own, split.later, seed=past.settings["seed"])
    rows = rows.sort_values(split.spec.size)
    found = own.diagnostics.problems
    rows = rows.assign(
        cut=split.cut,
        fitted=len(split.past),
        converged=not found,
        law=past.law,
        decades=split.decades(rows),
    )
    return _Scored(rows, chance, found)


SCORED = {MODEL: "this model", EXACT: "the exact law"}
"""What was scored, in words."""

RARE = 0.01
"""How rare so few runs inside their 90% intervals must be, were the model true, for a failure."""

MATERIAL = 0.002
"""Share of the response by which larger runs must lie to one side from every cut for a failure; of
accuracies 0.2 points."""


def failure(found: Backtest) -> str | None:
    """Say how a backtest failed: too few runs inside, or all to one side; None where it did not.

    Chance counts that runs predicted from one cut share the error of one fit.

    Parameters
    ----------
    found : Backtest

    Returns
    -------
    str or None
        A sentence.
    """
    if found.p_coverage < RARE:
        return "The backtest FAILED: that is fewer than chance allows."
    if abs(found.bias) >= MATERIAL:
        side = "above" if found.bias > 0 else "below"
        return f"The backtest FAILED: from every cut the larger runs lay {side} the median."
    return None


@typed
def answer_backtest(found: Backtest) -> Answer:
    """Say how far the intervals were tested, what they held, and how much that tells.

    Parameters
    ----------
    found : Backtest

    Returns
    -------
    Answer
        Numbers: ``model``, ``axis``, ``farthest`` (decades), ``laws``; ``cuts`` and ``distances``,
        records of `Backtest.by_cut` and `Backtest.summary`; ``left_out``, fits that failed.
    """
    numbers = {
        "model": found.model,
        "axis": found.axis,
        "farthest": found.farthest,
        "laws": list(found.laws),
        "cuts": _records(found.by_cut),
        "distances": _records(found.summary),
        "left_out": list(found.left_out),
        **convergence(found.problems),
    }
    return Answer(None, plain(numbers), _sentences(found), unconverged(found.problems))


def _sentences(found: Backtest) -> tuple[str, ...]:
    scores = found.summary.xs("all", level="distance")
    held, cuts, unit = scores.loc[MODEL], len(found.cuts), percent(found.response)
    beside = "".join(
        f" {SCORED[name].capitalize()} held {scores.loc[name, 'coverage90']:.0%}, typical error "
        f"{100 * scores.loc[name, 'rmsle']:.1f}{unit}."
        for name in found.laws
        if name != MODEL
    )
    said = [
        f"Backtested to {found.farthest:.1f} decades beyond the fitted runs: 90% intervals of the "
        f"{found.response.name} of new runs held {held['coverage90']:.0%} of "
        f"{held['predictions']:.0f} predictions ({_cuts(cuts)}), typical error "
        f"{100 * held['rmsle']:.1f}{unit}.{beside}",
        *_largest(found),
        _worth(found),
    ]
    if (verdict := failure(found)) is not None:
        said.append(
            f"{verdict} Take every interval beyond the runs for too narrow, or fit another law."
        )
    said += [f"Not converged, its scores are not to be trusted: {one}." for one in found.problems]
    said += [f"Could not be fitted, and was left out: {one}." for one in found.left_out]
    return tuple(said)


def _largest(found: Backtest) -> list[str]:
    """Say of the largest run what fits without it had predicted; nothing of runs in groups."""
    own, column = found.of(MODEL), found.response.column
    if "group" in own:
        return []
    largest = own.loc[own[found.axis].idxmax(), "run"]
    cuts = own[own["run"] == largest].sort_values("cut", ascending=False)
    write = response_writer(found.response)
    told = "; ".join(
        f"{write(row['q50'])} ({write(row['q05'])} to {write(row['q95'])}) from runs up to "
        f"{words.size(found.axis, row['cut'])}"
        for _, row in cuts.iloc[[0, -1] if len(cuts) > 1 else [0]].iterrows()
    )
    unit = "FLOPs" if found.axis == "flops" else found.axis
    size = f"{words.size(found.axis, cuts[found.axis].iloc[0])} {unit}"
    return [
        f"The largest run, {largest} ({size}), has {found.response.name} "
        f"{write(cuts[column].iloc[0])}. Predicted was {told}."
    ]


@typed
def backtested_at(found: Backtest, decades: float) -> str:
    """Say what a backtest tells of an answer that lies some decades beyond the runs.

    Parameters
    ----------
    found : Backtest
    decades : float
        How far the answer lies beyond the largest run; 0 or less for one within the runs.

    Returns
    -------
    str
        One sentence, or two where the backtest failed.
    """
    if not decades > 0:
        return "This answer lies within the runs; the backtest is about what lies beyond."
    if decades > found.farthest:
        farthest, out = words.told_apart(found.farthest, decades)
        return (
            f"Backtested to {farthest} decades, and this answer is {out} decades out. No backtest "
            "of these runs says what its interval is worth."
        )
    # What was tested at this distance, or at the nearest one beyond it that any run has.
    reached = by_distance(found.of(MODEL))
    label, part = next((n, p) for n, p in reached.items() if p["decades"].max() >= decades)
    unit = "decade" if label == "more than 1" else "decades"
    verdict = failure(found)
    return (
        f"Backtested at {label} {unit}: the 90% intervals of the {found.response.name} of new runs "
        f"held {part['inside90'].mean():.0%} of {len(part)} predictions from "
        f"{_cuts(part['cut'].nunique())}."
    ) + (f" {verdict} Do not decide by this interval." if verdict else "")


def _worth(found: Backtest) -> str:
    """Say that predictions from one cut are no independent tests."""
    cuts = found.by_cut.loc[MODEL]["coverage90"]
    if len(cuts) == 1:
        return "All were predicted by one fit and share its error, so this is about one test."
    low, high = cuts.min(), cuts.max()
    between = f"{low:.0%} at each" if np.isclose(low, high) else f"{low:.0%} to {high:.0%}"
    return (
        "Runs predicted from one cut share the error of one fit, so count cuts rather than "
        f"predictions: by cut {between} were inside."
    )


def _cuts(number: int) -> str:
    return f"{number} cut{'s' if number > 1 else ''}"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.reset_index().to_dict("records")
