r"""How much each point may say about where a curve goes beyond all of them.

A curve that is only approximately a power law cannot learn more and more from more and more points,
and those nearest to the question say most about it. So each point's likelihood is raised to a
weight that grows with x, and the weights together count as a limited number of points: the
coarsened posterior of Miller and Dunson (2019, doi:10.1080/01621459.2018.1469995), tilted towards
the top.
"""

import numpy as np
from scipy.optimize import brentq


def capped_weights(size: np.ndarray, cap: float, exponent: float) -> np.ndarray:
    r"""Weights of points that grow with x and sum to no more than a cap.

    .. math:: w_i = \min(1, \kappa (x_i / x_{max})^\lambda), \qquad \sum w_i = \min(n, n_0)

    Parameters
    ----------
    size : numpy.ndarray, shape (points,)
        The x of each point, positive.
    cap : float
        :math:`n_0`, how many points they count as together.
    exponent : float
        :math:`\lambda`; 0 makes all weights equal.

    Returns
    -------
    numpy.ndarray, shape (points,)

    Examples
    --------
    >>> capped_weights(np.array([1.0, 1.0, 10.0, 100.0]), 1.5, 1.0).round(3).tolist()
    [0.042, 0.042, 0.417, 1.0]
    """
    if len(size) <= cap:
        return np.ones(len(size))
    relative = (np.asarray(size, dtype=float) / np.max(size)) ** exponent

    def excess(log_kappa: float) -> float:
        return float(np.minimum(1.0, np.exp(log_kappa) * relative).sum() - cap)

    lowest = np.log(cap / len(size))  # no relative size is above 1
    highest = -np.log(relative.min())  # where every weight is full
    root = brentq(excess, lowest - 1e-6, highest + 1e-6)
    return np.minimum(1.0, np.exp(root) * relative)
