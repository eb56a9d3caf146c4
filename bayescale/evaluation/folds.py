"""Where the past ends in a backtest: cuts that leave a past to fit and a future to predict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import ModelError, RunsError
from bayescale.modelling.build import cells_of
from bayescale.modelling.pooling import group_labels, group_names
from bayescale.modelling.spec import ModelSpec
from bayescale.runs.check import Check
from bayescale.runs.design import require_identifiable
from bayescale.runs.table import Runs

WINDOWS = (0.45, 0.55, 0.65, 0.75, 0.85)
"""Shares of the log range of the runs; each window between two of them gets one cut by default."""

FEWEST_LATER = 2
"""Runs to predict that a cut chosen by default leaves at least."""

LEAST_GAP = 0.05
"""Smallest gap in log size that is cut, as a share of the widest: budgets stay together."""

_MOST_TRIED = 100  # gaps of a window: in large tables thousands are alike
_TOO_WEAK = frozenset({"two levels only", "few runs", "one budget only"})
"""Designs, by the name of the doubt, that no cut is chosen to leave."""

_A_HAIR = 1.0 + 1e-9  # C = kND of a run need not be its FLOPs to the last digit


@dataclass(frozen=True)
class Split:
    """Runs up to a cut, and the later ones that a fit of them is asked for.

    Parameters
    ----------
    spec : ModelSpec
    cut : float
        Largest size of the past.
    past : Runs
    later : Runs
    """

    spec: ModelSpec
    cut: float
    past: Runs
    later: Runs

    @property
    def name(self) -> str:
        """Name the cut for people."""
        return f"{self.spec.size} <= {words.size(self.spec.size, self.cut)}"

    def require_identified(self) -> None:
        """Raise RunsError unless the runs up to the cut identify the law and its groups."""
        require_identifiable(
            self.past, self.spec.designed, len(self.spec.priors), held=self.spec.may_hold
        )
        group_names(self.spec, self.past)

    def weaknesses(self, runs: Runs) -> list[Check]:
        """Doubts about the design of the past that do not hold for all runs.

        Parameters
        ----------
        runs : Runs
            All of them.

        Returns
        -------
        list of Check
        """
        known = {notice.name for notice in _design(self.spec, runs)}
        return [notice for notice in _design(self.spec, self.past) if notice.name not in known]

    def decades(self, rows: pd.DataFrame) -> np.ndarray:
        """Decades of scored rows beyond the largest run of the past, of their own group.

        Parameters
        ----------
        rows : pandas.DataFrame
            What `score_runs` returns for the later runs.

        Returns
        -------
        ndarray
            One for each row; negative within the past.
        """
        sizes = np.log10(rows[self.spec.size].to_numpy(dtype=float))
        past = pd.Series(np.log10(self.past.column(self.spec.size)), index=self.past.table.index)
        if self.spec.group is None:
            return sizes - past.max()
        largest = past.groupby(group_labels(self.spec, self.past)).max()
        return sizes - rows["group"].map(largest).to_numpy(dtype=float)


def plan_cuts(
    runs: Runs, spec: ModelSpec, cuts: Sequence[float] | None = None
) -> tuple[Split, ...]:
    """Split the runs at each cut, and refuse before sampling what cannot be fitted or predicted.

    The other parameters are as in `bayescale.backtest`.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    tuple of Split
        By growing cut.

    Raises
    ------
    RunsError
        As `bayescale.backtest` says.
    ModelError
        For a law whose size lies at a minimum, or that gets worse along it: its larger values are
        not the future.
    """
    if not spec.size:
        raise ModelError(
            f"the model {spec.name} reads a mixture alone, and no run of it lies ahead of another: "
            "hold mixtures back instead (--hold-out, answer_held_out)"
        )
    if spec.size in spec.law.minimum_along:
        raise ModelError(
            f"the model {spec.name} has a minimum along {spec.size}: a backtest cuts along compute "
            "or another axis whose larger values lie ahead; fit a joint law such as chinchilla"
        )
    if spec.law.worsens_along(spec.size):
        raise ModelError(
            f"the model {spec.name} gets worse along {spec.size}, so that larger values of it lie "
            f"behind: backtest the model that predicts {spec.size}, or a law of params and tokens"
        )
    group_names(spec, runs)
    if cuts is None:
        return choose_cuts(runs, spec)
    if len(cuts) == 0:
        raise RunsError("a backtest needs at least one cut; leave cuts out to have them chosen")
    for cut in cuts:
        if not 0 < cut < np.inf:
            raise RunsError(f"the cut {cut:g} is no positive number")
    sizes = _sizes(runs, spec)
    splits = tuple(_split(runs, spec, sizes, float(cut)) for cut in sorted(cuts))
    for split in splits:
        _require_usable(split)
    for one, other in pairwise(splits):
        if len(one.past) == len(other.past):
            raise RunsError(f"the cuts {one.name} and {other.name} leave the same runs: give one")
    return splits


def choose_cuts(runs: Runs, spec: ModelSpec) -> tuple[Split, ...]:
    """Choose cuts that look far ahead from pasts that identify the law.

    In each window of the upper half of the log range (`WINDOWS`) the widest gap between sizes is
    cut whose past has twice as many runs as parameters and three values or more of every input, and
    that leaves two runs to predict; where no window has one, the highest such gap below them. Of
    each window the hundred widest gaps are tried, and below them the hundred highest.

    Parameters
    ----------
    runs : Runs
    spec : ModelSpec

    Returns
    -------
    tuple of Split
        By growing cut, one a window at most.

    Raises
    ------
    RunsError
        If there is none.
    """
    of_run = _sizes(runs, spec)
    sizes = np.unique(of_run)
    logs = np.log10(sizes)
    share = (logs - logs[0]) / max(np.ptp(logs), 1e-9)
    gaps = np.diff(logs)
    wide = gaps >= LEAST_GAP * gaps.max(initial=0.0)
    sizes, share, gaps = sizes[:-1][wide], share[:-1][wide], gaps[wide]
    found = []
    for low, high in pairwise(WINDOWS):
        places = np.flatnonzero((share >= low) & (share < high))
        found.append(_first_usable(runs, spec, of_run, sizes[places[np.argsort(-gaps[places])]]))
    chosen = tuple(split for split in found if split is not None)
    if chosen:
        return chosen
    below = _first_usable(runs, spec, of_run, sizes[share < WINDOWS[0]][::-1])
    if below is None:
        raise RunsError(
            f"no cut in {spec.size} leaves enough runs below it to identify {spec.name} and "
            f"{FEWEST_LATER} above it to predict: add runs over a wider range, or cut elsewhere "
            "(bayescale backtest --cut)"
        )
    return (below,)


def _first_usable(runs: Runs, spec: ModelSpec, sizes: np.ndarray, cuts: np.ndarray) -> Split | None:
    for cut in cuts[:_MOST_TRIED]:
        split = _split(runs, spec, sizes, float(cut))
        try:
            _require_usable(split)
        except RunsError:
            continue
        weak = {notice.name for notice in _design(spec, split.past)} & _TOO_WEAK
        if not weak and len(split.later) >= FEWEST_LATER:
            return split
    return None


def _split(runs: Runs, spec: ModelSpec, sizes: np.ndarray, cut: float) -> Split:
    """Split runs of these sizes at a cut."""
    past = up_to(sizes, cut)
    asked = ~past
    if "mid_schedule" in runs.table:
        asked &= ~runs.table["mid_schedule"].to_numpy(dtype=bool)
    if spec.group is not None:
        labels = group_labels(spec, runs)
        asked &= labels.isin(labels[past]).to_numpy()
    kept = replace(runs, table=runs.table[past])
    return Split(spec, cut, kept, replace(runs, table=runs.table[asked]))


def up_to[Sizes: (np.ndarray, pd.Series)](sizes: Sizes, cut: float) -> Sizes:
    """Whether sizes lie at or below a cut, from which they may differ in the last digits.

    Parameters
    ----------
    sizes : ndarray or pandas.Series
    cut : float

    Returns
    -------
    ndarray or pandas.Series
        Of bool.
    """
    return sizes <= cut * _A_HAIR


def _sizes(runs: Runs, spec: ModelSpec) -> np.ndarray:
    """Size of each run; seeds of one configuration have that of the first, to stay together."""
    cells = cells_of(spec, runs)
    return Runs(cells.table, runs.source).column(spec.size)[cells.members]


def _require_usable(split: Split) -> None:
    """Refuse a cut without a past that identifies the law, or without anything to predict."""
    number, name, cut = len(split.past), split.spec.size, split.name
    if number == 0:
        raise RunsError(f"the cut {cut} leaves no run to fit: give a larger {name}")
    if len(split.later) == 0:
        raise RunsError(f"the cut {cut} leaves no run to predict: give a smaller {name}")
    try:
        split.require_identified()
    except RunsError as error:
        raise RunsError(
            f"the cut {cut} leaves {number} runs, too little to fit {split.spec.name} "
            f"({error}): give a larger {name}"
        ) from error


def _design(spec: ModelSpec, runs: Runs) -> tuple[Check, ...]:
    return require_identifiable(
        runs,
        spec.designed,
        len(spec.priors),
        group=spec.group,
        held=spec.may_hold,
        bowl=bool(spec.law.least),
    )
