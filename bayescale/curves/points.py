"""From what was measured to points of log loss: errors of accuracies, standard errors, thinning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayescale import words
from bayescale.errors import RunsError

MOST_SIZES, MOST_POINTS, BINS = 20, 48, 16
"""A curve with more different x, or more points, is thinned to means of this many bins."""

Values = Sequence[float] | np.ndarray


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
    """

    x: np.ndarray
    log_loss: np.ndarray
    stderr: np.ndarray
    measured: int
    decades: float
    notes: tuple[str, ...] = ()

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
        return Points(x, self.log_loss[kept], self.stderr[kept], len(x), decades)

    @property
    def known(self) -> bool:
        """Whether standard errors are known."""
        return bool(self.stderr.any())


def log_losses(
    x: Values,
    y: Values,
    *,
    stderr: Values | None = None,
    trials: Values | float | None = None,
    higher_is_better: bool = False,
    rows: Sequence[int] | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Check measurements and bring them to log loss: x, log loss and its standard error.

    An accuracy becomes its error, one minus it. With the number of trials n behind an error p, the
    error is (n p + 1/2)/(n + 1), which keeps 0 and 1 off the limits, and its standard error the
    binomial one; without it an error of exactly 0 is refused, for it has no logarithm. Standard
    errors go to log loss by the delta method, se / loss; they are 0 where none is known.

    Parameters
    ----------
    x, y : array-like
        Axis and metric.
    stderr : array-like, optional
        Standard error of each y.
    trials : array-like or float, optional
        Number of binary trials behind each y. Where standard errors are given as well, trials
        count only for values of exactly 0 or 1.
    higher_is_better : bool, optional
        The metric is a share between 0 and 1 that grows when the model gets better.
    rows : array-like of int, optional
        How errors name the rows, counted from 0; by default by their place.

    Returns
    -------
    tuple of ndarray

    Raises
    ------
    RunsError
        If a value is missing, infinite or outside its limits, or lengths differ. Trials may be
        missing (NaN) where they do not count.
    """
    refuse = _Refusal(rows)
    x, y = refuse.numbers(x, "x"), refuse.numbers(y, "y")
    se = np.zeros(len(y)) if stderr is None else refuse.numbers(stderr, "the standard error")
    if not len(x) == len(y) == len(se):
        raise RunsError(f"{len(x)} x, {len(y)} y and {len(se)} standard errors: give one of each")
    loss = 1 - y if higher_is_better else y
    refuse(x <= 0, x, "x is {}: the axis is logarithmic, leave the row out")
    refuse(se < 0, se, "a standard error of {}: it cannot be negative")
    limits = "{} is no share between 0 and 1: divide percent by 100"
    refuse(((y < 0) | (y > 1)) & (higher_is_better or trials is not None), y, limits)
    if trials is not None:
        counted = (loss == 0) | (loss == 1) | (stderr is None)
        loss, se = _binomial(loss, se, counted, trials, refuse)
    reason = "{} has no logarithm: the metric must be positive, and an error rate of 0 needs trials"
    if higher_is_better:
        reason = "a value of {} leaves an error of 0, which has no logarithm: give trials"
    refuse(loss <= 0, y, reason)
    return x, np.log(loss), se / loss


def _binomial(
    loss: np.ndarray,
    se: np.ndarray,
    counted: np.ndarray,
    trials: Values | float,
    refuse: "_Refusal",
) -> tuple[np.ndarray, np.ndarray]:
    """Errors off their limits and their binomial standard errors, where trials are counted."""
    number = refuse.numbers(trials, "the number of trials", may_miss=True)
    if len(number) not in (1, len(loss)):
        raise RunsError(f"{len(number)} numbers of trials for {len(loss)} y: give one, or one each")
    number = np.broadcast_to(number, loss.shape)
    refuse(counted & ~(number >= 1), number, "{} trials: there must be at least one")
    counts = np.where(counted, number, 1.0)
    moved = np.where(counted, (counts * loss + 0.5) / (counts + 1), loss)
    binomial = np.sqrt(moved * np.maximum(1 - moved, 0) / (counts + 2))
    return moved, np.where(counted, binomial, se)


class _Refusal:
    """Refuse values, naming their rows."""

    def __init__(self, rows: Sequence[int] | np.ndarray | None) -> None:
        self.rows = rows

    def __call__(self, wrong: np.ndarray, values: np.ndarray, reason: str) -> None:
        if wrong.any():
            at = np.flatnonzero(wrong)
            names = at if self.rows is None else np.asarray(self.rows)[at]
            raise RunsError(f"{words.rows(names)}: {reason.format(f'{values[at[0]]:g}')}")

    def numbers(self, values: Values | float, name: str, *, may_miss: bool = False) -> np.ndarray:
        try:
            numbers = np.asarray(values, dtype=float).ravel()
        except (TypeError, ValueError):
            raise self._of_text(values, name) from None
        wrong = np.isinf(numbers) if may_miss else ~np.isfinite(numbers)
        self(wrong, numbers, name + " is {}: fill it in or leave the row out")
        return numbers

    def _of_text(self, values: Values | float, name: str) -> RunsError:
        cells = np.asarray(values, dtype=object).ravel()
        at = [place for place, cell in enumerate(cells) if not _is_number(cell)]
        rows = at if self.rows is None else np.asarray(self.rows)[at]
        return RunsError(
            f"{words.rows(rows)}: {name} is {cells[at[0]]!r}, no number: "
            "write one or leave the row out"
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
    return Points(np.exp(mean_x), mean, spread, len(x), decades, (note,))
