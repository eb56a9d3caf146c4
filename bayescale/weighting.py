r"""How much each run may say about what lies beyond all of them.

A law that is only approximately right cannot learn more and more from more and more runs, and those
nearest to the question say most about it. So each run's likelihood is raised to a weight that grows
with its size, and the weights together count as a limited number of runs: the coarsened posterior
of Miller and Dunson (2019, doi:10.1080/01621459.2018.1469995), tilted towards the top.
"""

import numpy as np
from scipy.optimize import brentq

GRID = tuple((cap, exponent) for cap in (8.0, 15.0, 30.0) for exponent in (0.5, 1.0))
"""Pairs of the number of runs that all weights count as, and of the exponent of size; draws of all
pairs are pooled, since neither is known."""


def capped_weights(
    size: np.ndarray, cap: float, exponent: float, *, given: np.ndarray | None = None
) -> np.ndarray:
    r"""Weights of runs that grow with their size and sum to no more than a cap.

    .. math:: w_i = v_i \min(1, \kappa (C_i / C_{max})^\lambda),
        \qquad \sum w_i = \min(\sum v_i, n_0)

    Parameters
    ----------
    size : numpy.ndarray, shape (runs,)
        Compute C of each run, or where it lies on the axis of a single-axis law; positive.
    cap : float
        :math:`n_0`, how many runs they count as together.
    exponent : float
        :math:`\lambda`; 0 makes all weights equal.
    given : numpy.ndarray, shape (runs,), optional
        Weights v that the runs have anyway, by default 1.

    Returns
    -------
    numpy.ndarray, shape (runs,)

    Examples
    --------
    >>> capped_weights(np.array([1.0, 1.0, 10.0, 100.0]), 1.5, 1.0).round(3).tolist()
    [0.042, 0.042, 0.417, 1.0]
    """
    given = np.ones(len(size)) if given is None else np.asarray(given, dtype=float)
    return given * _share(np.asarray(size, dtype=float), size, cap, exponent, given)


def weights_of_new(
    new: np.ndarray, size: np.ndarray, *, given: np.ndarray | None = None
) -> np.ndarray:
    """Weights that new runs would have beside those there are, a mean over `GRID`.

    What the others would lose were the cap held is left out: little for one run among them, much
    for several that are larger than all.

    Parameters
    ----------
    new : numpy.ndarray, shape (new,)
        Sizes of the new runs.
    size, given
        As in `capped_weights`.
    """
    given = np.ones(len(size)) if given is None else np.asarray(given, dtype=float)
    return np.mean([_share(new, size, cap, exponent, given) for cap, exponent in GRID], axis=0)


def _share(
    new: np.ndarray, size: np.ndarray, cap: float, exponent: float, given: np.ndarray
) -> np.ndarray:
    r"""Return :math:`\min(1, \kappa (C / C_{max})^\lambda)` at `new`, kappa from the runs."""
    if given.sum() <= cap:
        return np.ones(len(new))
    relative = (np.asarray(size, dtype=float) / np.max(size)) ** exponent

    def excess(log_kappa: float) -> float:
        return float((given * np.minimum(1.0, np.exp(log_kappa) * relative)).sum() - cap)

    lowest = np.log(cap / given.sum())  # no relative size is above 1
    highest = -np.log(relative[given > 0].min())  # where every weight is full
    root = brentq(excess, lowest - 1e-6, highest + 1e-6)
    return np.minimum(1.0, np.exp(root) * (new / np.max(size)) ** exponent)


def member_weights(
    size: np.ndarray, given: np.ndarray, group: np.ndarray | None = None
) -> dict[tuple[float, float], np.ndarray]:
    """Weights for every pair of `GRID`; the runs of each group have a cap of their own.

    Parameters
    ----------
    size, given : numpy.ndarray, shape (runs,)
        As in `capped_weights`.
    group : numpy.ndarray of int, shape (runs,), optional
        Index of each run's group.
    """
    group = np.zeros(len(size), dtype=int) if group is None else group
    found = {}
    for cap, exponent in GRID:
        weights = np.empty(len(size))
        for own in (group == index for index in np.unique(group)):
            weights[own] = capped_weights(size[own], cap, exponent, given=given[own])
        found[cap, exponent] = weights
    return found
