"""The posterior of one curve: draws of the laws that explain it.

Label, slope, regimes and forecast are all read off these draws, so they cannot contradict each
other. They are of the law of the model, unless the label is of another: then they are of each law
that falls, as often as it is probable (Bayesian model averaging).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import xarray as xr

from bayescale.curves.points import Points
from bayescale.curves.together import TOP

_NEAR = 1e-3  # share of the range over which slopes are taken
_COUNTS = 0.05  # weight of a point below which it hardly counts
_GRID = 61

ENDS = 0.1
"""A regime is where the way between two levels is within this share of its end."""


class LawDraws(Protocol):
    """Draws of one law given a curve."""

    def __len__(self) -> int:
        """Their number."""

    def log_loss(self, x: np.ndarray) -> np.ndarray:
        """Log of what the law says, without noise.

        Parameters
        ----------
        x : ndarray
            Shape (n,).

        Returns
        -------
        ndarray
            Shape (draws, n).
        """

    def scale(self, stderr: np.ndarray) -> np.ndarray:
        """Scale of the noise of points.

        Parameters
        ----------
        stderr : ndarray
            Known standard errors of log loss, shape (n,), or (draws, n).

        Returns
        -------
        ndarray
            Shape (draws, n).
        """

    def noise(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw standardised noise.

        Parameters
        ----------
        rng : numpy.random.Generator
        number : int
            Of points.

        Returns
        -------
        ndarray
            Shape (draws, number).
        """

    @property
    def floor(self) -> np.ndarray:
        """Irreducible loss, (draws,)."""

    @property
    def plateau(self) -> np.ndarray:
        """Loss of a model that has learned nothing, NaN where the law has none, (draws,)."""

    @property
    def exponent(self) -> np.ndarray:
        """Exponent of the reducible loss far beyond, NaN where the law has none, (draws,)."""


@dataclass(frozen=True)
class CurvePosterior:
    """Draws of the laws that explain a curve.

    Parameters
    ----------
    points : Points
    parts : mapping of str to LawDraws
        By name of the law.
    log_fall : ndarray
        Log of how far each draw falls beyond the points over how far its law says, (draws,).
    whole : float, optional
        Share of the draws in which every point counts in full; in others those nearest to the top.
    """

    points: Points
    parts: Mapping[str, LawDraws] = field(repr=False)
    log_fall: np.ndarray = field(repr=False)
    whole: float = 0.0

    @property
    def top(self) -> float:
        """Largest x of the points, of means of bins if the curve is dense."""
        return float(self.points.x[-1])

    @property
    def counted_from(self) -> float:
        """Smallest x of a point that counts, by a twentieth or more, in most draws."""
        if self.whole >= 0.5:
            return float(self.points.x[0])
        return float(self.points.x[TOP.of(self.points) >= _COUNTS].min())

    @property
    def law(self) -> np.ndarray:
        """Name of the law of each draw, (draws,)."""
        return np.concatenate([np.full(len(own), name) for name, own in self.parts.items()])

    @cached_property
    def exponent(self) -> np.ndarray:
        """Exponent of the reducible loss, NaN for draws of laws without one, (draws,)."""
        return np.concatenate([own.exponent for own in self.parts.values()])

    @cached_property
    def floor(self) -> np.ndarray:
        """Irreducible loss, (draws,)."""
        return np.concatenate([own.floor for own in self.parts.values()])

    def log_loss(self, x: np.ndarray) -> np.ndarray:
        """Draw the curve, without noise.

        Parameters
        ----------
        x : ndarray
            Shape (n,).

        Returns
        -------
        ndarray
            Log loss, shape (draws, n).
        """
        places = np.append(np.asarray(x, dtype=float), self.top)
        values = np.concatenate([own.log_loss(places) for own in self.parts.values()])
        top = values[:, -1:]
        fallen = np.exp(self.log_fall)[:, None] * (values[:, :-1] - top)
        return np.where(places[:-1] > self.top, top + fallen, values[:, :-1])

    def new(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw new points, with the noise about the curve and of their measurement.

        Parameters
        ----------
        x : ndarray
            Shape (n,).
        rng : numpy.random.Generator

        Returns
        -------
        ndarray
            Log loss, shape (draws, n).
        """
        mean = self.log_loss(x)
        found, start = np.empty_like(mean), 0
        for own in self.parts.values():
            part = slice(start, start + len(own))
            start += len(own)
            scale = own.scale(self._error(mean[part]))
            found[part] = mean[part] + scale * own.noise(rng, len(np.asarray(x)))
        return found

    def _error(self, log_loss: np.ndarray) -> np.ndarray:
        """Give new points the standard errors of those measured: binomial where they are shares."""
        known, scatter = self.points.stderr > 0, self.points.scatter(log_loss)
        if not known.any():
            return np.sqrt(scatter)
        error = self.points.stderr[known]
        if not self.points.shares:
            return np.full_like(log_loss, np.median(error))
        odds = np.exp(self.points.log_loss[known])
        one = np.median(error**2 * odds / np.maximum(1 - odds, 1e-3))  # of one item: 1/n
        loss = np.minimum(np.exp(log_loss), 1 - 1e-3)
        return np.sqrt(one * (1 - loss) / loss + scatter)

    def slope(self, x: Sequence[float] | np.ndarray) -> xr.DataArray:
        """Draw d log loss / d log x just below each x.

        Parameters
        ----------
        x : sequence of float

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, x).
        """
        places = np.asarray(x, dtype=float)
        step = _NEAR * np.log(self.top / self.points.x[0])
        both = self.log_loss(np.concatenate([places, places * np.exp(-step)]))
        slope = (both[:, : len(places)] - both[:, len(places) :]) / step
        return xr.DataArray(slope[None], dims=("chain", "draw", "x"), coords={"x": places})

    def regimes(self, chance: float | None) -> xr.Dataset:
        """Say how far the curve is near chance, and from where on it is irreducible.

        Parameters
        ----------
        chance : float or None
            Loss of guessing; by default the law's own plateau.

        Returns
        -------
        xarray.Dataset
            Dims (chain, draw): ``near_chance_until``, where a tenth of the way from chance to the
            irreducible loss is done, and ``irreducible_from``, where less than a tenth of the loss
            is reducible; NaN where the points reach neither.
        """
        x = np.geomspace(self.points.x[0], self.top, _GRID)
        loss, floor = np.exp(self.log_loss(x)), self.floor[:, None]
        plateau = np.concatenate([own.plateau for own in self.parts.values()])[:, None]
        plateau = plateau if chance is None else np.full_like(plateau, chance)
        near = plateau - loss < ENDS * np.maximum(plateau - floor, 0)
        irreducible = loss - floor < ENDS * loss
        dims = ("chain", "draw")
        return xr.Dataset(
            {
                "near_chance_until": (dims, _last(x, near)[None]),
                "irreducible_from": (dims, _last(x[::-1], irreducible[:, ::-1])[None]),
            }
        )


def _last(x: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Last x of each draw up to which it is inside from the first x on; NaN where it never is."""
    length = np.logical_and.accumulate(inside, axis=1).sum(axis=1)
    return np.where(length > 0, x[np.maximum(length - 1, 0)], np.nan)
