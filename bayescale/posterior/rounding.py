r"""Sampling a posterior with many parameters where it is nearly round.

Laws of mixtures have tens of parameters for each target, which the runs tie to each other over
many orders of magnitude: a sampler would take hundreds of small steps for one draw. So the vector
x of all but the scales (sds of noise, of groups and of shared errors, degrees of freedom) becomes a
centre plus a linear map of what is sampled: the mode given the scales and the inverse root of the
Hessian there. The scales are those of largest marginal density, by expectation and maximisation
(Dempster, Laird and Rubin 1977) with Laplace's approximation of x in place of its posterior. The
map decides how fast the sampler is, and not what it samples; of the scales it is the inverse root
of the Hessian of what was maximised.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from bayescale.modelling.compiling import CENTRE, SCALE
from bayescale.posterior.sampling import Target
from bayescale.progress import step

_NOWHERE = 1e10  # minus log density where it is zero
_DIFFERENCE = 1e-4  # step of the Hessian
_LEAST_CURVATURE = 0.25  # of a posterior narrower than its standard Normal priors
_FIRST_STEPS = 1000
_OFF_A_SADDLE = 0.01  # sds
_FIRST, _LATER, _ROUNDS = 25, 3, 10  # Newton steps at first and later; rounds of the scales
_CLOSE, _STILL = 0.5, 0.3  # gain of a Newton step, and move of a log scale, that are the last
_DRAWS = 10  # pairs of draws for the scales
_FARTHEST = 1.5  # the most that a log scale moves at once
_LEAST_OF_SCALES = 1.0  # curvature of a log scale that nothing tells
_JITTER = 0.5  # about the mode, in sds


@dataclass(frozen=True)
class _Density:
    """Minus the log density of x at given scales."""

    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]]
    scales: np.ndarray

    def all(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus log density and its gradient, of the whole vector."""
        value, gradient = self.evaluate(vector)
        return (-value, -gradient) if np.isfinite(value) else (_NOWHERE, 0.0 * vector)

    def of(self, x: np.ndarray, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus log density and its gradient in x."""
        return self.of_some(x, vector, ~self.scales)

    def of_some(
        self, values: np.ndarray, vector: np.ndarray, some: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Minus log density and its gradient in some entries, which have these values."""
        vector = vector.copy()
        vector[some] = values
        value, gradient = self.all(vector)
        return value, gradient[some]

    def around(self, vector: np.ndarray, away: np.ndarray) -> np.ndarray:
        """Places of x plus and minus those `away` from it, one a column."""
        return vector[~self.scales][:, None] + np.concatenate([away, -away], axis=1)

    def of_scales(
        self, scales: np.ndarray, vector: np.ndarray, places: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Mean over places of x of minus the log density, and its gradient in the scales."""
        at = vector.copy()
        at[self.scales] = scales
        found: list[Any] = []
        for place in places.T:
            at[~self.scales] = place
            found.append(self.all(at))
        slopes = np.mean([slope[self.scales] for _, slope in found], axis=0)
        return float(np.mean([value for value, _ in found])), slopes

    def root_of_scales(self, vector: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Inverse root of the Hessian of `of_scales`."""
        middle = vector[self.scales]
        steps = 10 * _DIFFERENCE * np.eye(len(middle))
        above, below = (
            np.stack([self.of_scales(middle + sign * h, vector, places)[1] for h in steps])
            for sign in (1, -1)
        )
        hessian = (above - below) / (20 * _DIFFERENCE)
        values, axes = np.linalg.eigh((hessian + hessian.T) / 2)
        return np.asarray(axes / np.sqrt(np.maximum(values, _LEAST_OF_SCALES)))

    def curvature(self, x: np.ndarray, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues, none below `_LEAST_CURVATURE`, and eigenvectors of the Hessian."""
        steps = _DIFFERENCE * np.eye(len(x))
        slopes = [self.of(x + h, vector)[1] - self.of(x - h, vector)[1] for h in steps]
        hessian = (np.stack(slopes) + np.stack(slopes).T) / (4 * _DIFFERENCE)
        values, axes = np.linalg.eigh(hessian)
        return np.maximum(np.abs(values), _LEAST_CURVATURE), axes

    def root(self, vector: np.ndarray) -> np.ndarray:
        """Inverse root of the Hessian in x."""
        curvature, axes = self.curvature(vector[~self.scales], vector)
        return np.asarray(axes / np.sqrt(curvature))


@step("finding the mode")
def rounded(target: Target, scales: Iterable[str], errors: Iterable[str]) -> Target:
    """Sample a posterior of many parameters where it is nearly round.

    Parameters
    ----------
    target : Target
        Its data hold `CENTRE` and `SCALE`, the place to look from and the identity.
    scales : iterable of str
        Variables that are scales of the others, or of the noise.
    errors : iterable of str
        Errors that rows share, and their scales: at first all is noise, or they would explain
        whatever the law does not yet, and it would stay where it is.

    Returns
    -------
    Target
        With data for the linear map, started at 0.
    """
    density, named = target.density, set(scales)
    is_scale = np.concatenate([np.full(v.size, v.name in named) for v in density.variables])
    own = _Density(density.evaluator(target.data), is_scale)
    is_held = np.concatenate([np.full(v.size, v.name in set(errors)) for v in density.variables])
    vector, rng = _law_alone(own, is_held), np.random.default_rng(0)
    for number in range(_ROUNDS):
        vector = _newton(own, vector, _LATER if number else _FIRST)
        root = own.root(vector)
        places = own.around(vector, root @ rng.standard_normal((len(root), _DRAWS)))
        moved = _best_scales(own, vector, places)
        farthest = np.abs(moved - vector).max()
        vector = moved
        if farthest < _STILL:
            break
    vector = _polished(own, vector, root)
    scale = np.zeros((density.size, density.size))
    scale[np.ix_(is_scale, is_scale)] = own.root_of_scales(vector, places)
    scale[np.ix_(~is_scale, ~is_scale)] = own.root(vector)
    return replace(
        target,
        data={**target.data, CENTRE: target.data[CENTRE] + vector, SCALE: scale},
        start=np.zeros(density.size),
        jitter=_JITTER,
    )


def _law_alone(own: _Density, held: np.ndarray) -> np.ndarray:
    """Find the mode of all but what is held at 0."""
    vector = np.zeros(len(held))
    options = {"maxiter": _FIRST_STEPS, "maxfun": 2 * _FIRST_STEPS, "maxcor": 30}
    start, given = vector[~held], (vector, ~held)
    found = minimize(own.of_some, start, given, "L-BFGS-B", jac=True, options=options)
    vector[~held] = found.x
    return vector


def _polished(own: _Density, vector: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Move x on to the mode where it is nearly round: Newton steps may end at a saddle."""
    middle = vector[~own.scales]

    def cost(y: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = own.of(middle + root @ y, vector)
        return value, root.T @ gradient

    y = np.random.default_rng(1).normal(0, _OFF_A_SADDLE, len(middle))
    found = minimize(cost, y, method="L-BFGS-B", jac=True, options={"maxiter": _FIRST_STEPS})
    moved = vector.copy()
    moved[~own.scales] = middle + root @ found.x
    return moved


def _newton(own: _Density, vector: np.ndarray, most: int) -> np.ndarray:
    """Move x towards the mode at these scales by damped Newton steps."""
    vector = vector.copy()
    x = vector[~own.scales]
    value, slope = own.of(x, vector)
    for _ in range(most):
        curvature, axes = own.curvature(x, vector)
        found = _damped(own, vector, x, value, axes, axes.T @ slope, curvature)
        if found is None:
            break
        gained = value - found[1]
        x, value, slope = found
        if gained < _CLOSE:
            break
    vector[~own.scales] = x
    return vector


def _damped(
    own: _Density,
    vector: np.ndarray,
    x: np.ndarray,
    value: float,
    axes: np.ndarray,
    slope: np.ndarray,
    curvature: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Take the longest step that gains anything; None where none does."""
    for damping in (0.0, *(4.0 ** np.arange(12))):
        moved = x - axes @ (slope / (curvature + damping))
        found = own.of(moved, vector)
        if found[0] < value:
            return moved, *found
    return None


def _best_scales(own: _Density, vector: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Maximise the mean log density over the scales."""
    old = vector[own.scales]
    bounds = [(value - _FARTHEST, value + _FARTHEST) for value in old]
    options = {"maxiter": 15}
    given = vector, places
    found = minimize(
        own.of_scales, old, given, method="L-BFGS-B", jac=True, bounds=bounds, options=options
    )
    moved = vector.copy()
    moved[own.scales] = found.x
    return moved
