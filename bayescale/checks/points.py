"""From what was measured to points of log loss: errors of accuracies, standard errors, thinning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayescale import readable
from bayescale.errors import RunsError

MOST_SIZES, MOST_POINTS = 16, 48
"""A curve with more different x, or more points, is thinned to means of bins."""

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
    notes : tuple of str
        What was done to them.
    """

    x: np.ndarray
    log_loss: np.ndarray
    stderr: np.ndarray
    measured: int
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> int:
        """Number of different x."""
        return len(np.unique(self.x))

    @property
    def decades(self) -> float:
        """Range of x in decades."""
        return float(np.log10(self.x.max() / self.x.min()))

    @property
    def known(self) -> bool:
        """Whether standard errors are known."""
        return bool(self.stderr.any())


def points_of(
    x: Values,
    y: Values,
    *,
    stderr: Values | None = None,
    trials: Values | float | None = None,
    higher_is_better: bool = False,
) -> Points:
    r"""Check one curve and bring it to log loss.

    An accuracy becomes its error, one minus it. With the number of trials n behind an error p, the
    error is (n p + 1/2)/(n + 1), which keeps 0 and 1 off the limits, and its standard error the
    binomial one; without it an error of exactly 0 is refused, for it has no logarithm. Standard
    errors go to log loss by the delta method, se / loss.

    Parameters
    ----------
    x, y : array-like
        Axis and metric, in any order, x may repeat.
    stderr : array-like, optional
        Standard error of each y.
    trials : array-like or float, optional
        Number of binary trials behind each y, instead of `stderr`.
    higher_is_better : bool, optional
        The metric is a share between 0 and 1 that grows when the model gets better.

    Returns
    -------
    Points

    Raises
    ------
    RunsError
        If a value is missing, infinite or outside its limits, or lengths differ.
    """
    x, y = _numbers(x, "x"), _numbers(y, "y")
    se = np.zeros(len(y)) if stderr is None else _numbers(stderr, "stderr")
    if not len(x) == len(y) == len(se):
        raise RunsError(f"{len(x)} x, {len(y)} y and {len(se)} standard errors: give one of each")
    if stderr is not None and trials is not None:
        raise RunsError("standard errors and trials say the same thing twice: give one of them")
    _refuse(x <= 0, x, "x is {}: the axis is logarithmic, leave the row out")
    _refuse(se < 0, se, "a standard error is {}: it cannot be negative")
    if higher_is_better or trials is not None:
        _refuse(
            (y < 0) | (y > 1), y, "{} is no share between 0 and 1: divide percent by 100, or "
            "give a metric of which lower is better"
        )  # fmt: skip
    loss = 1 - y if higher_is_better else y
    if trials is not None:
        loss, se = _binomial(loss, np.broadcast_to(np.asarray(trials, float), loss.shape))
    _refuse(
        loss <= 0,
        y,
        "an error of exactly 0 has no logarithm: say how many trials there were"
        if higher_is_better
        else "{} has no logarithm: the metric must be positive, an error rate of 0 needs its trials",
    )
    order = np.argsort(x, kind="stable")
    return _thinned(x[order], np.log(loss)[order], (se / loss)[order])


def _numbers(values: Values, name: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError):
        raise RunsError(f"{name} holds something that is no number") from None
    _refuse(~np.isfinite(numbers), numbers, name + " is {}: fill it in or leave the row out")
    return numbers


def _refuse(wrong: np.ndarray, values: np.ndarray, reason: str) -> None:
    if wrong.any():
        at = np.flatnonzero(wrong)
        raise RunsError(f"{readable.rows(at)}: {reason.format(f'{values[at[0]]:g}')}")


def _binomial(error: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _refuse(~(trials >= 1), trials, "{} trials: there must be at least one")
    error = (trials * error + 0.5) / (trials + 1)
    return error, np.sqrt(error * (1 - error) / (trials + 2))


def _thinned(x: np.ndarray, log_loss: np.ndarray, stderr: np.ndarray) -> Points:
    """Average dense curves in bins of equal width in log x; keep the others as they are."""
    sizes, notes = len(np.unique(x)), []
    if sizes <= MOST_SIZES and len(x) <= MOST_POINTS:
        if sizes < len(x):
            notes.append(f"{len(x)} points at {sizes} values of x, repeats kept as points")
        return Points(x, log_loss, stderr, len(x), tuple(notes))
    log_x = np.log(x)
    place = (log_x - log_x[0]) / np.ptp(log_x) * MOST_SIZES
    _, which = np.unique(np.minimum(place, MOST_SIZES - 1).astype(int), return_inverse=True)
    number = np.bincount(which)
    mean_x, mean = (np.bincount(which, v) / number for v in (log_x, log_loss))
    spread = np.sqrt(np.bincount(which, stderr**2)) / number
    notes.append(f"{len(x)} points thinned to means of {len(number)} bins in log x")
    return Points(np.exp(mean_x), mean, spread, len(x), tuple(notes))
