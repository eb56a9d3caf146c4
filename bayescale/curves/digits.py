"""What digits and ties of measured values tell: trials behind shares, and running bests."""

import numpy as np

FEWEST_BESTS = 10
"""Fewest points of a curve that are called running bests."""

_MOST_TRIALS = 10**6
_TIES = 2  # a law with one plateau inside has one tie that rounding does not explain
_SLACK = 3  # steps


def fewest_trials(shares: np.ndarray) -> int:
    """Fewest trials whose shares, rounded like these, can be all of these.

    Parameters
    ----------
    shares : ndarray
        Between 0 and 1; those at the limits tell nothing.

    Returns
    -------
    int
        0 if all are at the limits. Where no number up to a million fits, the one whose step is
        the smallest difference of two of the values, or of one from a limit.

    Examples
    --------
    >>> fewest_trials(np.array([0.2855, 0.5435, 0.756, 0.906, 0.9715, 1.0]))
    2000
    """
    inside = np.unique(shares[(shares > 0) & (shares < 1)])
    if not len(inside):
        return 0
    half = _rounding(inside)
    fitting = np.arange(1, int(min(0.5 / half, _MOST_TRIALS)) + 1)
    for share in inside:
        part = fitting * share
        fitting = fitting[np.abs(part - part.round()) <= fitting * half]
    if len(fitting):
        return int(fitting[0])
    return int(np.ceil(1 / np.diff(inside, prepend=0, append=1).min()))


def are_shares(values: np.ndarray, trials: np.ndarray) -> bool:
    """Whether values are shares of their trials, whole numbers over them, rounded as they are.

    Parameters
    ----------
    values, trials : ndarray
        Of one shape; NaN where one is not known.

    Returns
    -------
    bool
        True as well of values too rounded to tell, and where no trials are known.

    Examples
    --------
    >>> n = np.array([300.0, 300.0])
    >>> are_shares(np.array([0.0567, 0.5]), n), are_shares(np.array([0.0581, 0.5]), n)
    (True, False)
    """
    known = np.isfinite(values) & np.isfinite(trials)
    if not known.any():
        return True
    part = (values * trials)[known]
    near = np.abs(part - part.round()) <= trials[known] * _rounding(values[known])
    return bool(near.all() and (values[known] <= 1).all())


def _rounding(values: np.ndarray) -> float:
    """Half of the last decimal of the one that has most."""
    exact = (d for d in range(1, 15) if np.abs(values - values.round(d)).max() < 1e-13)
    return 0.5 * 10.0 ** -next(exact, 15) + 1e-15


def are_running_bests(x: np.ndarray, loss: np.ndarray) -> bool:
    r"""Whether a curve is of the best values so far: it never rises, and has ties.

    A smooth curve that is rounded to steps of q has ties as well, but only where it is flat: along
    a law that falls ever less steeply in log x, or ever more, or first more and then less, a tie of
    width w between falls of the rates r and s is possible if :math:`w \min(r, s) \le q`, where the
    rates are of the falls less q each. Two ties of more than 3 q are of running bests: noise of
    the size of q rarely makes one. Values on no grid have q = 0.

    Parameters
    ----------
    x : ndarray
        Positive, shape (n,).
    loss : ndarray
        As measured, lower is better, shape (n,).

    Returns
    -------
    bool
        False of fewer than 10 points, and where an x is there twice.
    """
    order = np.argsort(x)
    z, loss = np.log(x[order]), loss[order]
    falls = -np.diff(loss)
    if len(z) < FEWEST_BESTS or (np.diff(z) <= 0).any() or (falls < 0).any() or not falls.any():
        return False
    first = np.flatnonzero(np.append(True, falls > 0))  # of each stretch of equal values
    last = np.append(first[1:] - 1, len(z) - 1)
    fall = falls[falls > 0]
    step = _step(fall)
    rate = (fall - step) / (z[first[1:]] - z[last[:-1]])
    width = (z[last] - z[first])[1:-1]
    return int((width * np.minimum(rate[:-1], rate[1:]) > _SLACK * step).sum()) >= _TIES


def _step(falls: np.ndarray) -> float:
    """Largest step, down to a hundredth of the least fall, of which all falls are multiples."""
    multiples = falls / falls.min() * np.arange(1, 101)[:, None]
    whole = np.abs(multiples - multiples.round()).max(axis=1) < 1e-3
    return float(falls.min() / (1 + whole.argmax())) if whole.any() else 0.0
