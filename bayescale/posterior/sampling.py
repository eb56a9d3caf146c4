"""Sampling a compiled log density. The only module that calls a sampler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import nutpie
import pyarrow as pa
import xarray as xr
from nutpie.compile_pymc import CompiledPyMCModel
from scipy.optimize import minimize

from bayescale.errors import FitError, reason
from bayescale.modelling.compiling import (
    CENTRE,
    SCALE,
    Density,
    Slot,
    Variable,
    compile_density,
    copy_function,
)
from bayescale.progress import step

MEMBER_R_HAT = 1.05
"""R-hat up to which one of several pooled posteriors is taken as it is: each gives a share of the
draws, and their own differences are far larger."""

ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"adaptation": "low_rank", "target_accept": 0.9},
    {"adaptation": "low_rank", "target_accept": 0.99},
    {"adaptation": "draw_diag", "target_accept": 0.95},
)
"""How to sample, until one converges: the fastest; small steps for the curved posteriors of noisy
tables; another mass matrix for the long tails of weak designs."""

HIERARCHICAL_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"adaptation": "diag", "target_accept": 0.95},
    {"adaptation": "diag", "target_accept": 0.95, "thin": 3},
    {"adaptation": "diag", "target_accept": 0.99, "thin": 3},
)
"""Group scales make funnels: there a diagonal mass matrix beats a low-rank one. What is missing at
first is mostly effective draws: then three times as many are made, and every third is kept."""

SHARED_ERROR_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"adaptation": "low_rank", "target_accept": 0.9},
    {"adaptation": "low_rank", "target_accept": 0.95, "thin": 3},
    {"adaptation": "diag", "target_accept": 0.95, "thin": 3},
)
"""Where groups differ by their level alone, all else is as in a model without groups: one funnel
is narrow beside the correlations of the law's coordinates."""

WHITENED_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"adaptation": "diag", "target_accept": 0.9},
    {"adaptation": "diag", "target_accept": 0.95, "thin": 3},
    {"adaptation": "diag", "target_accept": 0.99, "thin": 5},
)
"""How to sample from where a posterior is nearly round; where it is less so, for longer."""

FEW_ROWS = 200
FEW_ROWS_ATTEMPTS: tuple[dict[str, Any], ...] = (
    *WHITENED_ATTEMPTS[:2],
    {"adaptation": "low_rank", "target_accept": 0.95, "thin": 5},
)
"""Of fewer rows that share errors and hardly scatter the posterior is curved however it is mapped.
Their few parameters let a low-rank mass matrix follow: 95 steps a draw of 28 rows for 527."""

GUESSED_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"adaptation": "diag", "target_accept": 0.8},
    {"adaptation": "low_rank", "target_accept": 0.95, "thin": 3},
    {"adaptation": "draw_diag", "target_accept": 0.95, "thin": 5},
)
"""How to sample groups that each start where their runs are. Many runs tell each group apart; of
few the curvature goes with the places and the asymmetry, which a low-rank mass matrix follows."""

_DRAWS = ("chain", "draw")
_NOWHERE = 1e10  # loss where the density is zero
_DIFFERENCE = 1e-4  # step of the Hessian
_NOISE_STEP = 0.4  # of log noise scale
_LEAST_CURVATURE = 0.25  # of a posterior narrower than the standard Normal priors of the errors
_KEPT_STATS = (
    "diverging",
    "maxdepth_reached",
    "depth",
    "n_steps",
    "step_size",
    "energy",
    "logp",
    "mean_tree_accept",
)

JITTER, NEAR = 1.0, 0.03
"""How far from the middle of the prior chains start, and how far from a guess by the runs."""

type Derive = Callable[[Mapping[str, xr.DataArray]], Mapping[str, xr.DataArray]]
"""From draws of the free variables to what follows from them."""


@dataclass(frozen=True)
class Shape:
    """A model to compile, equal to every other of the same structure.

    Parameters
    ----------
    key : tuple
        What tells models of one structure from others.
    variables : tuple of Variable
    slots : tuple of Slot
    build : callable
        Returns the PyMC model.
    identity : str or None
        As in `compile_density`.
    """

    key: tuple[Any, ...]
    variables: tuple[Variable, ...]
    slots: tuple[Slot, ...]
    build: Callable[[], Any] = field(compare=False)
    identity: str | None = field(compare=False)


@lru_cache(maxsize=64)  # what is compiled already is no step
@step("compiling")
def compile_model(shape: Shape) -> Density:
    """Compile, or load from disk, once per process and shape.

    Parameters
    ----------
    shape : Shape

    Returns
    -------
    Density
    """
    return compile_density(shape.variables, shape.slots, shape.build, shape.identity)


@dataclass(frozen=True)
class Target:
    """What is sampled: a compiled density and its data.

    Parameters
    ----------
    density : Density
    data : mapping of str to numpy.ndarray
        Of the model.
    start : numpy.ndarray, shape (size,)
        Point of the flat vector about which chains start.
    derive : callable
        Adds to draws of the free variables what follows from them.
    jitter : float
        How far from the point chains start at most, on the real line.
    """

    density: Density
    data: Mapping[str, np.ndarray] = field(repr=False)
    start: np.ndarray = field(repr=False)
    derive: Derive = field(repr=False)
    jitter: float = JITTER


@step("finding the mode")
def whitened(target: Target) -> Target:
    """Sample a posterior that is nearly Gaussian, given the scale of its noise, where it is round.

    The flat vector becomes a centre plus a linear map of what is sampled. The centre is the mode
    given the noise scale, the map the inverse root of the Hessian there. Of few runs the joint mode
    says little: there the noise is nearly zero. So the noise scale is the one of largest marginal
    density, by Laplace's approximation.

    Data of the model must hold `CENTRE` and `SCALE`, the place to look from and the identity.

    Parameters
    ----------
    target : Target
        With a noise scale ``sigma``.

    Returns
    -------
    Target
        With data for the linear map, started at 0.
    """
    density = target.density
    evaluate = density.evaluator(target.data)
    noise = density.place("sigma")
    others = np.arange(density.size) != noise

    def at(moving: np.ndarray, given: np.ndarray) -> tuple[float, np.ndarray]:
        vector = given.copy()
        vector[others] = moving
        value, gradient = evaluate(vector)
        return (-value, -gradient[others]) if np.isfinite(value) else (_NOWHERE, 0.0 * moving)

    def hessian(moving: np.ndarray, given: np.ndarray) -> np.ndarray:
        steps = _DIFFERENCE * np.eye(len(moving))
        slopes = [at(moving + h, given)[1] - at(moving - h, given)[1] for h in steps]
        return (np.stack(slopes) + np.stack(slopes).T) / (4 * _DIFFERENCE)

    def laplace(vector: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        best = minimize(
            at, vector[others], (vector,), "trust-exact", jac=True, hess=hessian, tol=1e-3
        )
        curvature, axes = np.linalg.eigh(hessian(best.x, vector))
        curvature = np.clip(curvature, _LEAST_CURVATURE, None)
        found = vector.copy()
        found[others] = best.x
        return -best.fun - 0.5 * np.log(curvature).sum(), found, axes / np.sqrt(curvature)

    found = laplace(np.zeros(density.size))
    for way in (-1.0, 1.0):
        while True:
            moved = found[1] + way * _NOISE_STEP * ~others
            tried = laplace(moved)
            if not tried[0] > found[0]:
                break
            found = tried
    scale = np.zeros((density.size, density.size))
    scale[noise, noise] = _NOISE_STEP
    scale[np.ix_(others, others)] = found[2]
    return replace(
        target,
        data={**target.data, CENTRE: target.data[CENTRE] + found[1], SCALE: scale},
        start=np.zeros(density.size),
    )


def sample(target: Target, settings: Mapping[str, Any]) -> xr.DataTree:
    """Sample once, a step of which the share that is done is told.

    Parameters
    ----------
    target : Target
    settings : mapping
        For ``nutpie.sample``, with ``draws``; and ``thin``, optional, of which one draw is kept.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (dims chain, draw, ...) and ``sample_stats``; attributes
        ``adaptation``, ``target_accept`` and ``thin``.

    Raises
    ------
    FitError
        If the sampler could not start.
    """
    settings = dict(settings)
    thin = settings.pop("thin", 1)
    draws = settings.pop("draws") * thin
    with step("sampling") as tell:
        try:
            sampler = nutpie.sample(
                _for_nutpie(target),
                draws=draws,
                save_warmup=False,
                blocking=False,
                progress_bar=False,
                progress_callback=lambda chains: tell(_share(chains)),
                return_raw_trace=True,  # its tree takes longer to make than many a posterior
                **settings,
            )
            trace = sampler.wait()
        except KeyboardInterrupt:
            sampler.cancel()
            raise
        except RuntimeError as error:
            raise FitError(
                f"the sampler could not run on this model and data: {reason(error)}",
                "Look for numbers far too large or too small, in the priors of the model file and "
                "in the columns of the runs that the law reads.",
            ) from error
    flat, stats = _arrays(trace, draws)
    return tree_of(target, flat, stats, {**settings, "thin": thin})


def tree_of(
    target: Target,
    flat: np.ndarray,
    stats: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
) -> xr.DataTree:
    """Give what a sampler drew the names of the model.

    Parameters
    ----------
    target : Target
    flat : numpy.ndarray, shape (chains, draws, size)
        Of what is sampled.
    stats : mapping of str to numpy.ndarray, shape (chains, draws)
    settings : mapping
        With ``adaptation``, ``target_accept`` and, optional, ``thin``.

    Returns
    -------
    xarray.DataTree
        As `sample` returns.
    """
    thin = settings.get("thin", 1)
    if SCALE in target.data:
        flat = target.data[CENTRE] + flat @ target.data[SCALE].T
    chains, draws = flat.shape[:2]
    kept = {name: values[:, ::thin] for name, values in stats.items()}
    for name in ("diverging", "maxdepth_reached"):
        # What befell a draw that is left out counts for the one that is kept.
        kept[name] = stats[name].reshape(chains, draws // thin, thin).any(axis=-1)
    coords = {"chain": np.arange(chains), "draw": np.arange(0, draws, thin)}
    table = xr.Dataset({name: (_DRAWS, values) for name, values in kept.items()}, coords)
    posterior = _posterior(target, flat[:, ::thin])
    made = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": table})
    made.attrs = {name: settings[name] for name in ("adaptation", "target_accept")} | {"thin": thin}
    return made


def _arrays(trace: Any, draws: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Flat vectors of the kept draws, shape (chains, draws, size), and statistics of them."""
    vectors, statistics = (
        [pa.record_batch(own).slice(own.num_rows - draws) for own in chains]
        for chains in trace.get_arrow_trace()
    )
    flat = np.stack([own["flat"].flatten().to_numpy().reshape(draws, -1) for own in vectors])
    stats = {
        name: np.stack([own[name].to_numpy(zero_copy_only=False) for own in statistics])
        for name in _KEPT_STATS
    }
    return flat, stats


def _share(chains: Sequence[Any]) -> float:
    """Share of the draws that are made, those that only tune the sampler included."""
    return sum(c.finished_draws for c in chains) / max(1, sum(c.total_draws for c in chains))


def _for_nutpie(target: Target) -> CompiledPyMCModel:
    """Dress a density as what nutpie's native sampler takes: two C functions and their data."""
    density = target.density
    table, arrays = density.bind(target.data)
    shapes = {"flat": (density.size,)}

    def start(seed: int) -> np.ndarray:
        jitter = np.random.default_rng(seed).uniform(-1.0, 1.0, density.size) * target.jitter
        return target.start + jitter

    return CompiledPyMCModel(
        dims=None,
        compiled_logp_func=density.function,
        compiled_expand_func=copy_function(),
        initial_point_func=start,
        shared_data={str(number): array for number, array in enumerate(arrays)},  # kept alive
        shared_var_keys={},
        user_data=table,
        n_expanded=density.size,
        shape_info=(list(shapes), [slice(0, density.size)], list(shapes.values())),
        logp_func=None,
        expand_func=None,
        _n_dim=density.size,
        _shapes=shapes,
        _coords={},
    )


def _posterior(target: Target, flat: np.ndarray) -> xr.Dataset:
    """Draws of all variables on their own scale, dims (chain, draw, ...)."""
    values = target.density.split(flat)
    free = {
        variable.name: xr.DataArray(values[variable.name], dims=("chain", "draw", *variable.dims))
        for variable in target.density.variables
    }
    posterior = xr.Dataset({**free, **target.derive(free)}).transpose("chain", "draw", ...)
    chains, draws = flat.shape[:2]
    return posterior.assign_coords(chain=np.arange(chains), draw=np.arange(draws))
