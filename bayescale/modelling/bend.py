r"""A law that may bend: the law times a smooth factor of known scale.

No table obeys a scaling law exactly. So the log of the law is allowed a smooth discrepancy, a
Gaussian process along the log10 of the inputs with a fixed sd s and a fixed length:

.. math:: \log L(x) = \log f(x; \theta) + \delta(x),
    \qquad \delta(x) = s \, (\phi(x) - J(x) A) z, \qquad z_j \sim N(0, 1)

The features :math:`\phi = L_Z^{-1} K(Z, x)` are those of points Z among the runs, K the squared
exponential kernel. What of the discrepancy the law itself can draw is projected off it:
:math:`A = (J^T J / r^2 + \Lambda)^{-1} J^T \Phi / r^2` with J the derivatives of the log law with
respect to its coordinates on the real line at the best-fitting law, r its residual scale and
:math:`\Lambda` the precision of the priors. So :math:`\theta` means the best-fitting law, and the
sampler has an easy time (orthogonal Gaussian process, Plumlee and Joseph 2018,
doi:10.5705/ss.202015.0404).

Off the runs the process is less and less known. Features of further points, on a lattice around and
beyond the runs, have coefficients drawn from their prior: every draw is one smooth surface.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import mul
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares
from scipy.spatial.distance import cdist

from bayescale.laws import Law, into_support
from bayescale.modelling.spec import Bend

FEATURES = 24
"""At most so many features of points among the runs are learnt."""

_LEAST = 1e-6  # share of variance below which a point among the runs adds nothing
_LEAST_BEYOND = 1e-3  # likewise of points of the lattice
_BELOW, _ABOVE, _STEP = 1.5, 4.0, 0.5  # decades of the lattice around the runs, and its step
_JITTER = 1e-9  # keeps factors of kernel matrices positive
_NU = 5.0  # degrees of freedom of the noise about the best-fitting law
_DIFFERENCE = 1e-5  # step of derivatives on the real line


def _kernel(bend: Bend, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation of the discrepancy at places in decades, (n, axes) and (m, axes)."""
    return np.exp(-0.5 * cdist(x, y, "sqeuclidean") / bend.length**2)


@dataclass(frozen=True)
class Features:
    """Features of the discrepancy at a set of points.

    Parameters
    ----------
    bend : Bend
    points : numpy.ndarray, shape (features, axes)
        In decades; the first ones lie among the runs.
    """

    bend: Bend
    points: np.ndarray

    @cached_property
    def factor(self) -> np.ndarray:
        """Lower Cholesky factor of the kernel between the points."""
        own = _kernel(self.bend, self.points, self.points)
        return cholesky(own + _JITTER * np.eye(len(own)), lower=True)

    def same(self, other: "Features") -> bool:
        """Whether they are the features of the same points.

        Parameters
        ----------
        other : Features

        Returns
        -------
        bool
        """
        return self.bend == other.bend and np.array_equal(self.points, other.points)

    def kernels(self, inputs: tuple[Any, ...]) -> list[np.ndarray]:
        """Kernel of each point with places given by their inputs, arrays that broadcast.

        Parameters
        ----------
        inputs : tuple of array_like
            Of the law, in its order; they broadcast.

        Returns
        -------
        list of ndarray
            One for each point, of the common shape of the inputs along which it bends.
        """
        scale = -0.5 / self.bend.length**2
        # A product over axes: points of a lattice share most of its factors.
        along = [
            {place: np.exp(scale * (bends * np.log10(value) - place) ** 2) for place in set(places)}
            for value, places, bends in zip(
                inputs, self.points.T.tolist(), _along(self.bend, len(inputs)), strict=True
            )
        ]
        return [
            reduce(mul, (own[place] for own, place in zip(along, point, strict=True)))
            for point in self.points.tolist()
        ]

    def correlations(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Kernels of all points at places given by full arrays of inputs.

        Parameters
        ----------
        inputs : tuple of ndarray, shape (places,)

        Returns
        -------
        ndarray
            Shape (places, points).
        """
        return _kernel(self.bend, _decades(self.bend, inputs), self.points)

    def at(self, decades: np.ndarray) -> np.ndarray:
        """Features at places, times the sd of the bend.

        Parameters
        ----------
        decades : ndarray
            log10 of the inputs, shape (..., axes).

        Returns
        -------
        ndarray
            Shape (..., features).
        """
        flat = decades.reshape(-1, decades.shape[-1])
        kernel = _kernel(self.bend, self.points, flat)
        found = solve_triangular(self.factor, kernel, lower=True).T
        return self.bend.sd * found.reshape(*decades.shape[:-1], len(self.points))


def features_of_runs(bend: Bend, decades: np.ndarray) -> Features:
    """Choose points among the runs: at most `FEATURES`, the least known first.

    Parameters
    ----------
    bend : Bend
    decades : ndarray
        log10 of the inputs of the runs, shape (runs, axes).

    Returns
    -------
    Features
    """
    return Features(bend, _pivots(bend, decades, np.empty((0, decades.shape[1])), FEATURES, _LEAST))


def features_beyond(features: Features, inputs: tuple[np.ndarray, ...]) -> Features:
    """Add points of a lattice around and beyond the runs, until they say nearly all of it.

    Parameters
    ----------
    features : Features
        Of points among the runs.
    inputs : tuple of ndarray, shape (runs,)

    Returns
    -------
    Features
        Those given first.
    """
    bend = features.bend
    decades = _decades(bend, inputs)
    ends = zip(decades.min(axis=0), decades.max(axis=0), _along(bend, len(inputs)), strict=True)
    axes = [
        np.arange(low - _BELOW, high + _ABOVE, _STEP) if bends else np.zeros(1)
        for low, high, bends in ends
    ]
    lattice = np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)
    return Features(bend, _pivots(bend, lattice, features.points, len(lattice), _LEAST_BEYOND))


def _pivots(
    bend: Bend, candidates: np.ndarray, points: np.ndarray, most: int, least: float
) -> np.ndarray:
    """Pivoted Cholesky: points, and then the candidates that are least known given those chosen."""
    everywhere = np.concatenate([points, candidates])
    known = np.zeros((len(everywhere), 0))
    left, order = np.ones(len(everywhere)), list(range(len(points)))
    chosen: list[int] = []
    while len(chosen) < len(points) + most:
        given = len(chosen) < len(points)
        pivot = order[len(chosen)] if given else int(np.argmax(left))
        if not given and left[pivot] < least:
            break
        column = _kernel(bend, everywhere, everywhere[[pivot]])[:, 0] - known @ known[pivot]
        column /= np.sqrt(max(left[pivot], _JITTER))
        known = np.column_stack([known, column])
        left = np.maximum(left - column**2, 0.0)
        chosen.append(pivot)
    return everywhere[chosen]


@dataclass(frozen=True)
class Bending:
    """A law and how it may bend, given runs.

    Parameters
    ----------
    law : Law
    features : Features
        Of points among the runs.
    reference : tuple of float
        Geometric mean of each input over the runs.
    supports : mapping of str to str
        Where each coordinate of the law may lie: real, positive or unit.
    line : numpy.ndarray, shape (coordinates,)
        The best-fitting law, on the real line.
    shift : numpy.ndarray, shape (coordinates, features)
        s A, what of each feature the law can draw.
    fixed : mapping of str to float
        Coordinates of the law that are given.
    pull : numpy.ndarray, shape (coordinates, cells)
        How the best-fitting law follows log losses of the cells: what it draws of any error of
        them.
    """

    law: Law
    features: Features
    reference: tuple[float, ...]
    supports: Mapping[str, str]
    line: np.ndarray
    shift: np.ndarray
    fixed: Mapping[str, float]
    pull: np.ndarray

    def log_law(self, inputs: tuple[Any, ...], line: np.ndarray) -> Any:
        """Log of the law for coordinates on the real line.

        Parameters
        ----------
        inputs : tuple of array_like
        line : ndarray
            Shape (coordinates,), or (coordinates, places) for a law of its own at each place.

        Returns
        -------
        array_like
        """
        named = zip(self.supports.items(), line, strict=True)
        sampled = {name: into_support(support, value) for (name, support), value in named}
        natural = self.law.to_natural({**sampled, **self.fixed}, self.reference)
        return np.log(self.law(*inputs, **natural))

    def tangents(self, inputs: tuple[Any, ...]) -> list[Any]:
        """Differentiate the log law by each of its coordinates, at the best-fitting law.

        Parameters
        ----------
        inputs : tuple of array_like
            They broadcast.

        Returns
        -------
        list of array_like
            One for each coordinate.
        """
        steps = _DIFFERENCE * np.eye(len(self.line))
        pairs = (
            (self.log_law(inputs, self.line + h), self.log_law(inputs, self.line - h))
            for h in steps
        )
        return [(above - below) / (2 * _DIFFERENCE) for above, below in pairs]

    def along(self, inputs: tuple[np.ndarray, ...], ways: np.ndarray) -> np.ndarray:
        """Differentiate the log law at each place along a way of its own: sums of tangents.

        Parameters
        ----------
        inputs : tuple of ndarray, shape (places,)
        ways : ndarray
            Shape (places, coordinates).

        Returns
        -------
        ndarray
            Shape (places,).
        """
        step = _DIFFERENCE / np.maximum(np.abs(ways).max(axis=1), np.finfo(float).tiny)
        moved = step * ways.T
        above, below = (self.log_law(inputs, self.line[:, None] + h) for h in (moved, -moved))
        return (above - below) / (2 * step)

    def basis(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return what coefficients are multiplied by at runs, s (phi - J A).

        Parameters
        ----------
        inputs : tuple of ndarray, shape (runs,)

        Returns
        -------
        ndarray
            Shape (runs, features).
        """
        return (
            self.features.at(_decades(self.features.bend, inputs))
            - np.stack(self.tangents(inputs), 1) @ self.shift
        )

    def projected(self, inputs: tuple[np.ndarray, ...], errors: np.ndarray) -> np.ndarray:
        """Take off errors of the cells what the law can draw of them.

        Parameters
        ----------
        inputs : tuple of ndarray, shape (cells,)
        errors : ndarray
            Shape (cells, features).

        Returns
        -------
        ndarray
            Of the same shape.
        """
        return errors - np.stack(self.tangents(inputs), 1) @ (self.pull @ errors)


def bending_of(
    law: Law,
    bend: Bend,
    inputs: tuple[np.ndarray, ...],
    log_loss: np.ndarray,
    weight: np.ndarray,
    priors: Mapping[str, tuple[str, float, float]],
    fixed: Mapping[str, float],
) -> Bending:
    """Choose points among the runs, and project off their features what the law can draw.

    Parameters
    ----------
    law : Law
    bend : Bend
    inputs : tuple of numpy.ndarray, shape (cells,)
    log_loss, weight : numpy.ndarray, shape (cells,)
    priors : mapping of str to (support, mean, sd)
        Of each coordinate, mean and sd on the real line.
    fixed : mapping of str to float
        Coordinates that are given.

    Returns
    -------
    Bending
    """
    reference = tuple(float(np.exp(np.log(values).mean())) for values in inputs)
    middle, width = (np.array([prior[i] for prior in priors.values()]) for i in (1, 2))
    supports = {name: prior[0] for name, prior in priors.items()}
    decades = _decades(bend, inputs)
    features = features_of_runs(bend, decades)
    empty, none = np.zeros((len(middle), len(features.points))), np.zeros((len(middle), 0))
    alone = Bending(law, features, reference, supports, middle, empty, fixed, none)
    line, scale = _best_law(
        lambda line: alone.log_law(inputs, line), log_loss, weight, middle, width
    )
    best = replace(alone, line=line)
    root = np.sqrt(weight)[:, None] / scale
    jacobian = np.stack(best.tangents(inputs), axis=1) * root
    precision = jacobian.T @ jacobian + np.diag(width**-2)
    pull = np.linalg.solve(precision, (jacobian * root).T)
    return replace(best, shift=pull @ features.at(decades), pull=pull)


def _decades(bend: Bend, inputs: tuple[Any, ...]) -> np.ndarray:
    """Places in decades, (..., axes); 0 along inputs along which nothing bends."""
    found = np.log10(np.stack(np.broadcast_arrays(*inputs), axis=-1))
    return np.where(_along(bend, len(inputs)), found, 0.0)


def _along(bend: Bend, axes: int) -> tuple[bool, ...]:
    return bend.along or (True,) * axes


def _best_law(
    log_law: Any, log_loss: np.ndarray, weight: np.ndarray, middle: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, float]:
    """Posterior mode of the law alone under Student-t noise, and the scale of that noise."""
    cells = len(log_loss)

    def cost(squared: np.ndarray) -> np.ndarray:
        # Of the cells minus twice the log density of Student's t, of the priors the square itself.
        found = np.stack([squared, np.ones_like(squared), np.zeros_like(squared)])
        inside = 1 + squared[:cells] / _NU
        found[0, :cells] = (_NU + 1) * weight * np.log(inside)
        found[1, :cells] = (_NU + 1) / _NU * weight / inside
        found[2, :cells] = -(_NU + 1) / _NU**2 * weight / inside**2
        return found

    step, scale = np.zeros(len(middle)), 0.02
    for _ in range(8):

        def misfit(step: np.ndarray, scale: float = scale) -> np.ndarray:
            return np.concatenate([(log_law(middle + width * step) - log_loss) / scale, step])

        step = least_squares(misfit, step, loss=cost, max_nfev=200).x
        squared = (log_law(middle + width * step) - log_loss) ** 2
        share = weight * (_NU + 1) / (_NU + squared / scale**2)
        scale = max(float(np.sqrt((share * squared).sum() / weight.sum())), 3e-4)
    return middle + width * step, scale
