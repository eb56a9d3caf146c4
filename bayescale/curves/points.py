"""From what was measured to points of log loss: errors of accuracies, standard errors, thinning."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from bayescale import words
from bayescale.curves.digits import are_running_bests, fewest_trials
from bayescale.errors import RunsError

MOST_SIZES, MOST_POINTS, BINS = 20, 48, 16
"""A curve with more different x, or more points, is thinned to means of this many bins."""

_DUST = 1e-12  # of sums of floats that should be 1
_NO_LOG = "{} has no logarithm: the metric must be positive, {out}"
_NO_ERROR = (
    "an error of {} has no logarithm, and no other value says how precise it is: give trials"
)

SCATTER = 0.005
"""Sd between models of a share of items, beside what the number of items says."""

Values = Sequence[float] | np.ndarray


class Metric(StrEnum):
    """What was measured, which is brought to a loss that falls."""

    LOSS = "loss"
    """The loss itself: positive, lower is better."""
    SHARE = "share"
    """A share of successes, higher is better: the loss is one minus it."""
    GROWING = "growing"
    """A positive quantity that grows and of which neither is better: the loss is one over it."""

    def of_loss(self, loss: np.ndarray) -> np.ndarray:
        """Return losses in units of what was measured; a share stays between 0 and 1.

        Parameters
        ----------
        loss : ndarray

        Returns
        -------
        ndarray

        Examples
        --------
        >>> Metric.SHARE.of_loss(np.array([0.25])), Metric.GROWING.of_loss(np.array([0.25]))
        (array([0.75]), array([4.]))
        """
        if self is Metric.SHARE:
            return 1 - np.minimum(loss, 1.0)
        return 1 / loss if self is Metric.GROWING else loss


@dataclass(frozen=True)
class Points:
    """Points of one curve, sorted by x.

    Parameters
    ----------
    x : ndarray
        Axis, positive.
    log_loss : ndarray
        Log of the loss; of the error, one minus the metric, where higher is better.
    stderr : ndarray
        Known standard error of each log loss, zero where none is known.
    measured : int
        Points before thinning.
    decades : float
        Range of x before thinning, in decades.
    notes : tuple of str
        What was done to them.
    bests : bool
        Whether they are the best values so far: the curve never rises, and has ties.
    shares : bool
        Whether the losses are shares of items, so that models scatter by `SCATTER`.
    raw : Points or None
        The points before thinning; None where they were not thinned.
    """

    x: np.ndarray
    log_loss: np.ndarray
    stderr: np.ndarray
    measured: int
    decades: float
    notes: tuple[str, ...] = ()
    bests: bool = False
    shares: bool = False
    raw: "Points | None" = None

    @property
    def sizes(self) -> int:
        """Number of different x."""
        return len(np.unique(self.x))

    def where(self, kept: np.ndarray) -> "Points":
        """Return some of the points, as a curve of their own.

        Parameters
        ----------
        kept : ndarray of bool
            Shape (points,).

        Returns
        -------
        Points
        """
        x = self.x[kept]
        decades = float(np.log10(x[-1] / x[0]))
        return Points(
            x,
            self.log_loss[kept],
            self.stderr[kept],
            len(x),
            decades,
            bests=self.bests,
            shares=self.shares,
        )

    def scatter(self, log_loss: np.ndarray) -> np.ndarray:
        """Variance of log losses by which models of a share scatter beyond their items.

        Half a point of accuracy, which matters near a ceiling only: that of a log-normal error of
        this mean and sd.

        Parameters
        ----------
        log_loss : ndarray

        Returns
        -------
        ndarray
            Of its shape; 0 where losses are not shares.
        """
        if not self.shares:
            return np.zeros_like(log_loss)
        return np.log1p((SCATTER / np.exp(log_loss)) ** 2)

    @property
    def known(self) -> bool:
        """Whether standard errors are known."""
        return bool(self.stderr.any())


@dataclass(frozen=True)
class Measurements:
    """What was measured of one curve, in the order given.

    Parameters
    ----------
    x, log_loss, stderr : ndarray
        As in `Points`.
    notes : tuple of str
        What was done to them, and what to doubt.
    bests, shares : bool
        As in `Points`.
    """

    x: np.ndarray
    log_loss: np.ndarray
    stderr: np.ndarray
    notes: tuple[str, ...] = ()
    bests: bool = False
    shares: bool = False

    @cached_property
    def points(self) -> Points:
        """Their points, with the notes."""
        found = points_of(self.x, self.log_loss, self.stderr)
        return replace(
            found, notes=(*found.notes, *self.notes), bests=self.bests, shares=self.shares
        )


def log_losses(
    x: Values,
    y: Values,
    *,
    stderr: Values | None = None,
    trials: Values | float | None = None,
    higher_is_better: bool = False,
    rows: Sequence[int] | np.ndarray | None = None,
    leave: Callable[[Iterable[int]], str] | None = None,
) -> Measurements:
    r"""Check measurements and bring them to log loss.

    An accuracy becomes its error, one minus it. With the number of trials n behind an error p, the
    error is (n p + 1/2)/(n + 1), which keeps 0 and 1 off the limits, and its standard error the
    binomial one. Without it an error of exactly 0 is treated so with the fewest trials that can
    give the other values, and a note says it. Standard errors go to log loss by the delta method,
    se / loss; they are 0 where none is known.

    Parameters
    ----------
    x, y : array-like
        Axis and metric.
    stderr : array-like, optional
        Standard error of each y.
    trials : array-like or float, optional
        Number of binary trials behind each y. Where standard errors are given as well, trials
        count only for values of exactly 0 or 1. Losses above 1 are no shares, and have none.
    higher_is_better : bool, optional
        The metric is a share between 0 and 1 that grows when the model gets better.
    rows : array-like of int, optional
        How errors name the rows, counted from 0; by default by their place.
    leave : callable, optional
        Spells the option that leaves rows out, for the remedy; without it none is named.

    Returns
    -------
    Measurements

    Raises
    ------
    RunsError
        If a value is missing, infinite or outside its limits, or lengths differ. Trials may be
        missing (NaN) where they do not count; standard errors and trials may be missing for all.
    """
    refuse = _Refusal(rows, leave)
    x, y = refuse.numbers(x, "x"), refuse.numbers(y, "y")
    se = refuse.all_or_none(stderr, "the standard error", len(y))
    if not len(x) == len(y) == len(se):
        raise RunsError(f"{len(x)} x, {len(y)} y and {len(se)} standard errors: give one of each")
    refuse(x <= 0, x, "x is {}: the axis is logarithmic, {out}")
    refuse(se < 0, se, "a standard error of {}: it cannot be negative")
    if higher_is_better:
        y = np.where(np.abs(y - 1) < _DUST, 1.0, y)
        _require_shares(y, refuse)
    loss = 1 - y if higher_is_better else y
    loss, se, notes = _off_limits(loss, se, refuse.trials(trials, len(y)), refuse)
    bests = are_running_bests(x, -y if higher_is_better else y)
    if bests:
        side = "lower" if higher_is_better else "higher"
        notes += (
            "never gets worse and has ties: if these are the best values so far, new measurements "
            f"lie {side} and scatter more",
        )
    shares = higher_is_better or (trials is not None and bool((loss <= 1).all()))
    return Measurements(x, np.log(loss), se / loss, notes, bests, shares)


def _require_shares(y: np.ndarray, refuse: "_Refusal") -> None:
    """Refuse what is no accuracy, with the remedy of what it probably is."""
    percent = "divide percent by 100; " if (y <= 100).all() else ""
    quantity = (
        "a quantity that is neither a share nor a loss, such as a batch size or a learning rate, "
        "is read without higher-is-better"
    )
    refuse(y > 1, y, f"{{}} is no share between 0 and 1: {percent}{quantity}")
    refuse(y < 0, y, "{} is no share between 0 and 1: {out}")


def _off_limits(
    loss: np.ndarray, se: np.ndarray, number: np.ndarray, refuse: "_Refusal"
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Positive losses and standard errors, by trials where they count, and what was done."""
    notes: tuple[str, ...] = ()
    refuse(loss < 0, loss, _NO_LOG)
    shares = bool((loss <= 1).all())
    if not shares and np.isfinite(number).any():
        notes = ("trials left out: values above 1 are no shares of them",)
    counted = shares & ((loss == 0) | (loss == 1) | np.isnan(se))
    counted &= np.isfinite(number[counted]).any()
    refuse(counted & ~(number >= 1), number, "{} trials: there must be at least one")
    bare = (loss == 0) & ~counted
    if bare.any():
        if not shares:
            refuse(bare, loss, _NO_LOG)
        one, source = _trials_behind(loss, se)
        if not one:
            refuse(bare, loss, _NO_ERROR)
        number, counted = np.where(bare, one, number), counted | bare
        notes += (
            f"{refuse.names(bare)}: an error of 0 counts as {0.5 / (one + 1):.2g}, as of {one} "
            f"trials, {source}; give trials if they are known",
        )
    counts = np.where(counted, number, 1.0)
    moved = np.where(counted, (counts * loss + 0.5) / (counts + 1), loss)
    binomial = np.sqrt(moved * np.maximum(1 - moved, 0) / (counts + 2))
    return moved, np.where(counted, binomial, np.nan_to_num(se)), notes


def _trials_behind(loss: np.ndarray, se: np.ndarray) -> tuple[int, str]:
    """Trials that the other errors speak of, 0 if there are none, and how they do."""
    known = (loss > 0) & (loss < 1) & (se > 0)
    if known.any():
        trials = np.median((loss * (1 - loss))[known] / se[known] ** 2)
        return max(1, round(float(trials))), "as the other standard errors say"
    return fewest_trials(loss), "the fewest that can give the other values"


class _Refusal:
    """Refuse values, naming their rows."""

    def __init__(
        self,
        rows: Sequence[int] | np.ndarray | None,
        leave: Callable[[Iterable[int]], str] | None = None,
    ) -> None:
        self.rows, self.leave = rows, leave

    def __call__(self, wrong: np.ndarray, values: np.ndarray, reason: str) -> None:
        if wrong.any():
            rows = self.at(np.flatnonzero(wrong))
            said = reason.format(f"{values[wrong][0]:g}", out=self.out(rows))
            raise RunsError(f"{words.rows(rows)}: {said}")

    def at(self, places: np.ndarray) -> np.ndarray:
        return places if self.rows is None else np.asarray(self.rows)[places]

    def out(self, rows: Sequence[int] | np.ndarray) -> str:
        which = "row" if len(rows) == 1 else "rows"
        return f"leave the {which} out" + (f" with {self.leave(rows)}" if self.leave else "")

    def names(self, chosen: np.ndarray) -> str:
        return words.rows(self.at(np.flatnonzero(chosen)))

    def all_or_none(self, values: Values | None, name: str, length: int) -> np.ndarray:
        """Give numbers, NaN where none is known; some alone are refused."""
        if values is None:
            return np.full(length, np.nan)
        numbers = self.numbers(values, name, may_miss=True)
        return numbers if np.isnan(numbers).all() else self.numbers(numbers, name)

    def trials(self, trials: Values | float | None, length: int) -> np.ndarray:
        """Give the number of trials behind each value, NaN where it is not known."""
        if trials is None:
            return np.full(length, np.nan)
        number = self.numbers(trials, "the number of trials", may_miss=True)
        if len(number) not in (1, length):
            raise RunsError(
                f"{len(number)} numbers of trials for {length} y: give one, or one each"
            )
        return np.broadcast_to(number, length)

    def numbers(self, values: Values | float, name: str, *, may_miss: bool = False) -> np.ndarray:
        try:
            numbers = np.asarray(values, dtype=float).ravel()
        except (TypeError, ValueError):
            raise self._of_text(values, name) from None
        wrong = np.isinf(numbers) if may_miss else ~np.isfinite(numbers)
        self(wrong & np.isnan(numbers), numbers, name + " is {}: fill it in or {out}")
        self(wrong, numbers, name + " is {}: {out}; find_optima reads diverged runs")
        return numbers

    def _of_text(self, values: Values | float, name: str) -> RunsError:
        cells = np.asarray(values, dtype=object).ravel()
        at = np.array([place for place, cell in enumerate(cells) if not _is_number(cell)])
        rows = self.at(at)
        return RunsError(
            f"{words.rows(rows)}: {name} is {cells[at[0]]!r}, no number: "
            f"write one or {self.out(rows)}"
        )


def _is_number(cell: object) -> bool:
    """Whether NumPy makes a float of it; None is a missing one."""
    try:
        np.asarray([cell], dtype=float)
    except (TypeError, ValueError):
        return False
    return True


def points_of(x: np.ndarray, log_loss: np.ndarray, stderr: np.ndarray) -> Points:
    """Sort the points of a curve; average dense ones in bins of equal width in log x.

    A curve with more than 20 different x, or more than 48 points, is thinned to means of 16 bins.

    Parameters
    ----------
    x : ndarray
        Positive, shape (n,).
    log_loss : ndarray
        Shape (n,).
    stderr : ndarray
        Standard errors of `log_loss`, 0 where none is known, shape (n,).

    Returns
    -------
    Points
    """
    order = np.argsort(x, kind="stable")
    x, log_loss, stderr = x[order], log_loss[order], stderr[order]
    sizes, decades = len(np.unique(x)), float(np.log10(x[-1] / x[0]))
    if sizes <= MOST_SIZES and len(x) <= MOST_POINTS:
        repeats = (f"{len(x)} points at {sizes} values of x, repeats kept as points",)
        return Points(x, log_loss, stderr, len(x), decades, repeats if sizes < len(x) else ())
    if sizes < 2:
        return Points(x, log_loss, stderr, len(x), decades)
    log_x = np.log(x)
    place = (log_x - log_x[0]) / np.ptp(log_x) * BINS
    _, which = np.unique(np.minimum(place, BINS - 1).astype(int), return_inverse=True)
    number = np.bincount(which)
    mean_x, mean = (np.bincount(which, v) / number for v in (log_x, log_loss))
    spread = np.sqrt(np.bincount(which, stderr**2)) / number
    note = f"{len(x)} points thinned to means of {len(number)} bins in log x"
    raw = Points(x, log_loss, stderr, len(x), decades)
    return Points(np.exp(mean_x), mean, spread, len(x), decades, (note,), raw=raw)
