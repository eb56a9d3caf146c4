r"""The shape of a curve without a law: a Gaussian process in log x, in closed form.

    y = b0 + b1 z/h + s_f GP(ell h) + sigma eps

with a squared exponential kernel, ell in {0.5, 1, 2}, eta = s_f / sigma on 14 values in [0.3, 1000]
and b0, b1 ~ N(0, (100 sigma)^2). Without known standard errors sigma^2 ~ InvGamma(a0, a0 s0^2) is
integrated out and every (ell, eta) cell has a Student t marginal likelihood. Known variances break
that: sigma is then a third grid, and eta and the priors of b are in units of the median noise. What
counts as a change above noise is asked of pairs of places, by the noise at those two.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaln, logsumexp

from bayescale.curves.evidence import Curve

GRID = 31
"""Points of the grid on which curves are drawn, evenly over the range of log x."""

_ELLS = np.array([0.5, 1.0, 2.0])
_ETAS = np.geomspace(0.3, 1000, 14)
_SIGMAS = np.geomspace(5e-4, 0.5, 16)
_LINE = 100.0**2
_WEAK, _PRECISE = (1.0, 0.01), (0.5, 0.005)  # a0, s0


@dataclass(frozen=True)
class Reference:
    """Draws of the curve and of its noise.

    Parameters
    ----------
    z : ndarray
        Grid of log x less the middle of its range, shape (GRID,).
    f : ndarray
        Draws of centred log loss, shape (draws, GRID).
    sigma : ndarray
        Sd of the noise of one point at each place, known and unknown parts together, the known one
        interpolated between the points, shape (draws, GRID).
    """

    z: np.ndarray
    f: np.ndarray
    sigma: np.ndarray

    @property
    def thirds(self) -> np.ndarray:
        """Mean slope over the lower, middle and upper third of the log range, (draws, 3)."""
        ends = np.linspace(0, GRID - 1, 4).astype(int)
        return np.diff(self.f[:, ends], axis=1) / np.diff(self.z[ends])

    @cached_property
    def _moves(self) -> tuple[float, float, float]:
        """Probabilities of a rise, of a fall, and of neither, over all pairs of places."""
        first, last = np.triu_indices(GRID, 1)
        variance = self.sigma**2
        noise = np.sqrt((variance[:, first] + variance[:, last]) / 2)
        change = self.f[:, last] - self.f[:, first]
        least = np.maximum(0.01, 3 * noise)
        flat = np.abs(change) < np.maximum(0.02, 4 * noise)
        return (
            _share((change > least).any(axis=1)),
            _share((-change > least).any(axis=1)),
            _share(flat.all(axis=1)),
        )

    def p_up(self) -> float:
        """Probability of a rise above noise: by more than 1% and 3 sigma, anywhere."""
        return self._moves[0]

    def p_down(self) -> float:
        """Probability of a fall above noise: by more than 1% and 3 sigma, anywhere."""
        return self._moves[1]

    def p_up_top(self) -> float:
        """Probability that the curve rises over the upper third of its range."""
        return _share(self.thirds[:, 2] > 0)

    def p_flat(self) -> float:
        """Probability that no two places differ by more than 2% and 4 sigma."""
        return self._moves[2]

    def p_steep(self) -> float:
        """Probability that the curve steepens, which no power law with an offset does."""
        first, second, third = self.thirds.T
        return _share((second < first - 0.03) | (third < second - 0.03))

    def p_worse(self) -> float:
        """Probability that the curve ends above where it began."""
        return _share(self.f[:, -1] > self.f[:, 0])


def reference(
    curve: Curve, rng: np.random.Generator, *, draws: int = 300, precise: bool = False
) -> Reference:
    """Draw curves from the posterior of the reference model.

    Parameters
    ----------
    curve : Curve
    rng : numpy.random.Generator
    draws : int, optional
    precise : bool, optional
        Expect a noise of half a percent rather than of one: for curves with sigma < 0.002.

    Returns
    -------
    Reference
    """
    a0, s0 = _PRECISE if precise else _WEAK
    cells = _Cells.of(curve)
    known = bool(curve.variance.any())
    square, log_det = cells.fit(curve.y)
    if known:
        log_weight = -0.5 * (square + log_det) + _log_inverse_gamma(cells.sigma, a0, s0)
    else:
        log_weight = _log_student(square, log_det, len(curve.y), a0, s0)
    share = np.exp(log_weight - logsumexp(log_weight))
    chosen = np.sort(rng.choice(len(share), draws, p=share))
    z = np.linspace(curve.z.min(), curve.z.max(), GRID)
    if known:
        scale, sigma = np.ones(draws), cells.sigma[chosen]
    else:
        rate = a0 * s0**2 + square[chosen] / 2
        scale = sigma = np.sqrt(rate / rng.gamma(a0 + len(curve.y) / 2, size=draws))
    sigma = np.hypot(sigma[:, None], np.sqrt(_known_variance(curve, z)))
    f = cells.draw(curve.y, z, chosen, scale, rng)
    order = rng.permutation(draws)
    return Reference(z, f[order], sigma[order])


def log_marginal(curve: Curve, *, precise: bool = False) -> np.ndarray:
    """Log marginal likelihood of every cell of the grid, sigma integrated out.

    Parameters
    ----------
    curve : Curve
        Without known variances.
    precise : bool, optional
        As in `reference`.

    Returns
    -------
    ndarray
        Shape (3, 14): length scales by ratios of process to noise.
    """
    a0, s0 = _PRECISE if precise else _WEAK
    square, log_det = _Cells.of(curve).fit(curve.y)
    return _log_student(square, log_det, len(curve.y), a0, s0).reshape(len(_ELLS), len(_ETAS))


@dataclass(frozen=True)
class _Cells:
    """Grid over the reference model's hyperparameters and the covariances it implies."""

    z: np.ndarray
    half: float
    ell: np.ndarray  # (cells,)
    amplitude: np.ndarray  # (cells,), sd of the process
    line: np.ndarray  # (cells,), sd of b0 and b1
    sigma: np.ndarray  # (cells,), unknown part of the noise's sd
    covariance: np.ndarray  # (cells, n, n)

    @classmethod
    def of(cls, curve: Curve) -> "_Cells":
        known = float(np.sqrt(np.median(curve.variance)))  # one imprecise point must not count
        sigmas = _SIGMAS if curve.variance.any() else np.ones(1)
        ell, eta, sigma = (
            axis.ravel() for axis in np.meshgrid(_ELLS, _ETAS, sigmas, indexing="ij")
        )
        noise = np.hypot(sigma, known)
        cells = cls(
            curve.z, curve.half, ell, eta * noise, np.sqrt(_LINE) * noise, sigma, np.empty(0)
        )
        covariance = cells._kernel(curve.z, curve.z, np.arange(len(ell)))
        own = np.eye(len(curve.z)) * curve.variance + sigma[:, None, None] ** 2 * np.eye(
            len(curve.z)
        )
        return cls(**{**vars(cells), "covariance": covariance + own})

    def _kernel(self, first: np.ndarray, second: np.ndarray, cells: np.ndarray) -> np.ndarray:
        apart = (first[:, None] - second) / self.half
        line = 1 + np.outer(first, second) / self.half**2
        smooth = np.exp(-0.5 * (apart / self.ell[cells, None, None]) ** 2)
        return (
            self.line[cells, None, None] ** 2 * line
            + self.amplitude[cells, None, None] ** 2 * smooth
        )

    def fit(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return y' V^-1 y and log det V of every cell."""
        roots = np.linalg.cholesky(self.covariance)
        white = np.linalg.solve(roots, np.broadcast_to(y[:, None], (*roots.shape[:2], 1)))
        log_det = 2 * np.log(np.einsum("cii->ci", roots)).sum(-1)
        return (white[..., 0] ** 2).sum(-1), log_det

    def draw(
        self,
        y: np.ndarray,
        z: np.ndarray,
        chosen: np.ndarray,
        scale: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw f on the grid z, one for each chosen cell (sorted), (draws, len(z))."""
        cells, which = np.unique(chosen, return_inverse=True)
        cross = self._kernel(z, self.z, cells)
        both = np.concatenate(
            [cross.transpose(0, 2, 1), np.broadcast_to(y[:, None], (len(cells), len(y), 1))], axis=2
        )
        solved = np.linalg.solve(self.covariance[cells], both)
        mean = (cross @ solved[..., -1:])[..., 0]
        covariance = self._kernel(z, z, cells) - cross @ solved[..., :-1]
        jitter = 1e-6 * (self.line[cells] ** 2 / _LINE)  # a thousandth of the noise
        roots = np.linalg.cholesky(covariance + jitter[:, None, None] * np.eye(len(z)))
        step = rng.standard_normal((len(chosen), len(z), 1))
        return mean[which] + scale[:, None] * (roots[which] @ step)[..., 0]


def _log_student(
    square: np.ndarray, log_det: np.ndarray, n: int, a0: float, s0: float
) -> np.ndarray:
    rate = a0 * s0**2
    constant = gammaln(a0 + n / 2) - gammaln(a0) + a0 * np.log(rate) - n / 2 * np.log(2 * np.pi)
    return constant - 0.5 * log_det - (a0 + n / 2) * np.log(rate + square / 2)


def _log_inverse_gamma(sigma: np.ndarray, a0: float, s0: float) -> np.ndarray:
    """Log density of log sigma, up to a constant, where sigma^2 ~ InvGamma(a0, a0 s0^2)."""
    return -2 * a0 * np.log(sigma) - a0 * s0**2 / sigma**2


def _known_variance(curve: Curve, z: np.ndarray) -> np.ndarray:
    """Known variance of a point at each place, linear in between; of repeats the mean."""
    places, which = np.unique(curve.z, return_inverse=True)
    mean = np.bincount(which, curve.variance) / np.bincount(which)
    return np.interp(z, places, mean)


def _share(true: np.ndarray) -> float:
    return float(true.mean())
