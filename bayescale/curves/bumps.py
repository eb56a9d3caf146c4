r"""Bumps of dense curves: runs of adjacent points that lie above a smooth curve.

Thinning to bins hides a rise of a few adjacent points, so all different x are searched, up to 128
of them. Every run of a fifteenth to a quarter of the points, three at least, is one hypothesis,

    y = b0 + b1 z + s_f GP(ell) + h template + noise

with a squared exponential kernel of ell = 1.5 or 3 in log x and noise of correlation 0, 0.5 or 0.8
between neighbours, whose size follows the scatter around each place. What a bump must beat is the
same curve without it, or with one sharp break instead. All hypotheses share the closed form of the
marginal likelihood; the largest gain is compared with the largest gains of simulated curves without
a bump.

What is seen, of simulated curves of 40 to 80 points over 2 to 3 decades (``benchmarks/bumps.py``):
of runs of points raised by 2, 4 and 6%, 0.2 to 0.5 decades wide in noise of 1%, 18, 83 and 98% are
found, of waves of that width 10, 66 and 94%, of bells twice as wide 8, 45 and 62%. Of curves
without one at most 2.0% show one, be the noise normal, t4, of correlation 0.5, larger at small x or
with an outlier. In steep curves the loss need not rise into a bump: of runs of 6%, 99% of which
do for a step, 68% are called a rise, of waves of 6%, 58% of which do, 64%.
A curve logged at every step of one run wanders: noise with correlation 0.99 between steps, in bins,
shows as a bump in a quarter of such curves, with 0.95 in 3%.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bayescale import words
from bayescale.curves.points import MOST_SIZES, Points

_MOST = 128  # groups of adjacent points
_ALARM = 0.02  # curves without a bump that may show one
_LOWEST = 0.01  # height
_CERTAIN = 0.9  # probability of a rise
_LENGTHS = (1.5, 3.0)
_CORRELATIONS = (0.0, 0.5, 0.8)
_RATIOS = np.geomspace(0.3, 1000, 9)  # sd of the process over that of the noise
_LINE = 100.0  # sd of b0 and b1 over that of the noise
_EXACT = 5e-4  # noise of log loss below which nothing is read off it
_FEWEST, _SHARES, _STEPS = 3, (15, 4), 10  # of a run: points, shares of all points, lengths tried
_EDGE = 2  # points before and after a run
_SOFT = 0.15  # width of a break in log x
_COST = 4.0  # log likelihood a break must gain: a smooth curve needs none, a sharp one ten
_CLIP = 2.0  # sd by which a point may exceed both of its neighbours


@dataclass(frozen=True)
class Bump:
    """A run of adjacent points above a smooth curve.

    Parameters
    ----------
    first, last : float
        Smallest and largest x of the run.
    height : float
        Log loss above the smooth curve where it is highest.
    height_sd : float
        Standard deviation of the height.
    p : float
        Share of curves without a bump that would show as clear a one.
    p_rises : float
        Probability that the loss rises into it.
    """

    first: float
    last: float
    height: float
    height_sd: float
    p: float
    p_rises: float

    @property
    def rises(self) -> bool:
        """Whether the curve rises into it, as a steep one need not."""
        return self.p_rises > _CERTAIN

    def __str__(self) -> str:
        """Say where it is, how high, and how sure that is."""
        first, last = words.count(self.first), words.count(self.last)
        high, sd = np.expm1(self.height), np.exp(self.height) * self.height_sd
        sure = "p < 0.001" if self.p < 1e-3 else f"p = {self.p:.3f}"
        return (
            f"a bump at x from {first} to {last}, {high:.1%} (sd {sd:.1%}) above a smooth curve "
            f"({sure} without one), P(rises) {words.chance(self.p_rises)}"
        )


def find_bump(points: Points) -> Bump | None:
    """Find the clearest bump of a curve, if chance and a sharp break do not explain it.

    Parameters
    ----------
    points : Points
        Before thinning.

    Returns
    -------
    Bump or None
        None as well of a curve of up to 20 sizes, and of bumps below 1%.
    """
    if points.sizes <= MOST_SIZES:
        return None
    curve = _Adjacent.of(points)
    n = len(curve.z)
    first, after = _runs(n)
    templates = np.concatenate([_raised(first, after, n), _broken(curve.z)], axis=1)
    smooth, found = -np.inf, []
    for background in _backgrounds(curve):
        without, fits = background.fits(templates, len(first))
        smooth = max(smooth, without.max(), fits[:, len(first) :].max() - _COST)
        bumps = fits[:, : len(first)]
        ratio, run = (int(at) for at in np.unravel_index(bumps.argmax(), bumps.shape))
        found.append((bumps[ratio, run], background, ratio, run))
    best, background, ratio, run = max(found, key=lambda one: one[0])
    p = _chance(2 * (best - smooth), n)
    if p > _ALARM:
        return None
    own = slice(first[run], after[run])
    height, sd, p_rises = background.bump(templates[:, run], own, ratio)
    if height < np.log1p(_LOWEST):
        return None
    start, end = np.exp(curve.z[own][[0, -1]])
    return Bump(float(start), float(end), height, sd, p, p_rises)


def _chance(gain: float, n: int) -> float:
    """Share of curves of n points without a bump whose largest gain is as large.

    Of simulated curves with the noise that misleads most, 2% gain more than 18 - 90/n; beyond,
    gains thin out like the square of a normal deviate.
    """
    return float(min(1.0, _ALARM * np.exp((18 - 90 / n - gain) / 2)))


@dataclass(frozen=True)
class _Adjacent:
    """Groups of adjacent points.

    Parameters
    ----------
    z, y : ndarray
        Log x and log loss, less their middles.
    scale : ndarray
        Sd of the noise of each, up to a factor.
    least : float
        Smallest value of the square of that factor.
    """

    z: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    least: float

    @classmethod
    def of(cls, points: Points) -> "_Adjacent":
        """Average points of one x; of more than 128, those of bins of equal width in log x."""
        log_x = np.log(points.x)
        _, which = np.unique(points.x, return_inverse=True)
        if which[-1] >= _MOST:
            place = (log_x - log_x[0]) / np.ptp(log_x) * _MOST
            _, which = np.unique(np.minimum(place, _MOST - 1).astype(int), return_inverse=True)
        number = np.bincount(which)
        z, y = (np.bincount(which, v) / number for v in (log_x, points.log_loss))
        known = np.sqrt(np.bincount(which, points.stderr**2)) / number
        known = np.maximum(known, _EXACT)
        scale = np.maximum(_scatter(z, y, number), known)
        least = float(np.median((known / scale) ** 2))
        return cls(z, _clipped(y, scale) - y.mean(), scale, least)


def _scatter(z: np.ndarray, y: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Sd of the noise around each place, from how far points lie off a line of their neighbours.

    A quarter of the points has a median of its own, which goes half way to the one of all.
    """
    gap = np.diff(z)
    left = gap[1:] / (gap[1:] + gap[:-1])
    off = y[1:-1] - left * y[:-2] - (1 - left) * y[2:]
    variance = 1 / number[1:-1] + left**2 / number[:-2] + (1 - left) ** 2 / number[2:]
    size = np.abs(off) / np.sqrt(variance)
    around = 2 * max(5, len(y) // 8) + 1
    local = np.median(np.lib.stride_tricks.sliding_window_view(size, around), axis=1)
    before = (len(y) - len(local)) // 2
    local = np.pad(local, (before, len(y) - len(local) - before), "edge")
    return np.sqrt(local * np.median(size)) / norm.ppf(0.75) / np.sqrt(number)


def _clipped(y: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Bring points that stand alone near the closer neighbour: one outlier is no run."""
    middle = np.median(np.lib.stride_tricks.sliding_window_view(y, 3), axis=1)
    limit = _CLIP * scale[1:-1]
    return np.concatenate([y[:1], np.clip(y[1:-1], middle - limit, middle + limit), y[-1:]])


def _runs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """First point of every run, and the one after its last."""
    least = max(_FEWEST, n // _SHARES[0])
    lengths = np.unique(np.geomspace(least, n // _SHARES[1], _STEPS).round().astype(int))
    first = [np.arange(_EDGE, n - _EDGE - length + 1) for length in lengths]
    return np.concatenate(first), np.concatenate(
        [start + length for start, length in zip(first, lengths, strict=True)]
    )


def _raised(first: np.ndarray, after: np.ndarray, n: int) -> np.ndarray:
    """Round templates of runs, between a plateau and a half wave, (n, runs)."""
    phase = (np.arange(n)[:, None] - first + 0.5) / (after - first)
    return np.sqrt(np.sin(np.pi * np.clip(phase, 0, 1)))


def _broken(z: np.ndarray) -> np.ndarray:
    """Templates of a sharp break at every point, (n, places)."""
    return _SOFT * np.logaddexp(0, (z[:, None] - z[_EDGE:-_EDGE]) / _SOFT)


@dataclass(frozen=True)
class _Background:
    """Smooth curve and noise of one length scale and one correlation.

    Parameters
    ----------
    features : ndarray
        A line and the process as a sum of independent parts, (n, parts).
    variance : ndarray
        Prior variance of the coefficients, (ratios, parts).
    curve : _Adjacent
    correlation : float
    """

    features: np.ndarray
    variance: np.ndarray
    curve: _Adjacent
    correlation: float

    def _white(self, values: np.ndarray) -> np.ndarray:
        """Values whose noise has unit variance and no correlation."""
        scaled = (values.T / self.curve.scale).T
        rho = self.correlation
        rest = (scaled[1:] - rho * scaled[:-1]) / np.sqrt(1 - rho**2)
        return np.concatenate([scaled[:1], rest])

    def fits(self, templates: np.ndarray, raised: int) -> tuple[np.ndarray, np.ndarray]:
        """Log likelihood without and with each template, the first ones upwards only.

        Returns arrays of shape (ratios,) and (ratios, templates), up to one constant. The size of
        the noise is at its best value for each.
        """
        x, y, t = (self._white(v) for v in (self.features, self.curve.y, templates))
        precision = x.T @ x + (1 / self.variance)[:, :, None] * np.eye(x.shape[1])
        root = np.linalg.cholesky(precision)
        inverse = np.linalg.inv(root)
        level, shadow = inverse @ (x.T @ y), inverse @ (x.T @ t)
        square = y @ y - (level**2).sum(axis=1)
        along = t.T @ y - np.einsum("cpt,cp->ct", shadow, level)
        along[:, :raised] = np.maximum(along[:, :raised], 0)
        gain = along**2 / ((t**2).sum(axis=0) - (shadow**2).sum(axis=1))
        log_det = 2 * np.log(np.einsum("cpp->cp", root)).sum(axis=1)
        log_det += np.log(self.variance).sum(axis=1)
        log_det += (len(y) - 1) * np.log1p(-(self.correlation**2))
        without = self._log_likelihood(square) - log_det / 2
        return without, self._log_likelihood(square[:, None] - gain) - log_det[:, None] / 2

    def _log_likelihood(self, square: np.ndarray) -> np.ndarray:
        freedom = len(self.curve.y) - 2
        noise = np.maximum(square / freedom, self.curve.least)
        return -0.5 * (freedom * np.log(noise) + square / noise)

    def bump(self, template: np.ndarray, own: slice, ratio: int) -> tuple[float, float, float]:
        """Height of one bump, its sd, and the probability of a rise into it."""
        features = np.column_stack([self.features, template])
        x, y = self._white(features), self._white(self.curve.y)
        prior = np.append(1 / self.variance[ratio], 0)
        covariance = np.linalg.inv(x.T @ x + np.diag(prior))
        mean = covariance @ (x.T @ y)
        square = y @ y - mean @ (x.T @ y)
        covariance = covariance * max(square / (len(y) - 2), self.curve.least)
        top = own.start + int((features[own] @ mean).argmax())
        rise = features[top] - features[own.start - 1]
        p_rises = norm.cdf(rise @ mean / np.sqrt(rise @ covariance @ rise))
        return float(mean[-1]), float(np.sqrt(covariance[-1, -1])), float(p_rises)


def _backgrounds(curve: _Adjacent) -> Iterator[_Background]:
    noise = float(np.median(curve.scale))
    z = curve.z - (curve.z[0] + curve.z[-1]) / 2
    line = np.column_stack([np.ones(len(z)), z / z[-1]])
    for length in _LENGTHS:
        parts = _smooth_parts(z, length)
        features = np.concatenate([line, parts], axis=1)
        sd = np.ones((len(_RATIOS), features.shape[1])) * _RATIOS[:, None]
        sd[:, :2] = _LINE
        for correlation in _CORRELATIONS:
            yield _Background(features, (sd * noise) ** 2, curve, correlation)


def _smooth_parts(z: np.ndarray, length: float) -> np.ndarray:
    """Parts whose sum with standard normal weights is the process, by a grid finer than it."""
    grid = np.linspace(z[0], z[-1], int(np.ceil(np.ptp(z) / (0.7 * length))) + 4)
    kernel = np.exp(-0.5 * ((grid[:, None] - grid) / length) ** 2)
    root = np.linalg.cholesky(kernel + 1e-8 * np.eye(len(grid)))
    return np.linalg.solve(root, np.exp(-0.5 * ((grid[:, None] - z) / length) ** 2)).T
