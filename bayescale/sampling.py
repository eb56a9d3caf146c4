"""Sampling a compiled log density. The only module that calls a sampler."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import arviz as az
import numpy as np
import nutpie
import xarray as xr
from nutpie.compile_pymc import CompiledPyMCModel

from bayescale.compiling import Density, Slot, Variable, compile_density, copy_function
from bayescale.errors import FitError

MEMBER_R_HAT = 1.05
"""R-hat up to which one of several pooled posteriors is taken as it is: each gives a share of the
draws, and their own differences are far larger."""

MEMBER_CHAINS = 2
"""Chains of each of several pooled posteriors."""

ATTEMPTS = (
    {"adaptation": "low_rank", "target_accept": 0.9},
    {"adaptation": "low_rank", "target_accept": 0.99},
    {"adaptation": "draw_diag", "target_accept": 0.95},
)
"""How to sample, until one converges: the fastest; small steps for the curved posteriors of noisy
tables; another mass matrix for the long tails of weak designs."""

HIERARCHICAL_ATTEMPTS = (
    {"adaptation": "diag", "target_accept": 0.95},
    {"adaptation": "diag", "target_accept": 0.95, "thin": 3},
    {"adaptation": "diag", "target_accept": 0.99, "thin": 3},
)
"""Group scales make funnels: there a diagonal mass matrix beats a low-rank one. What is missing at
first is mostly effective draws: then three times as many are made, and every third is kept."""

_JITTER = 1.0  # chains start up to this far from the given point, on the real line
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

type Derive = Callable[[Mapping[str, xr.DataArray]], Mapping[str, xr.DataArray]]
"""From draws of the free variables to what follows from them."""


type Row = dict[str, float]


@dataclass(frozen=True)
class Shape:
    """A model to compile, equal to every other of the same structure."""

    key: tuple[Any, ...]
    variables: tuple[Variable, ...]
    slots: tuple[Slot, ...]
    build: Callable[[], Any] = field(compare=False)
    identity: str | None = field(compare=False)


@lru_cache(maxsize=64)
def compile_model(shape: Shape) -> Density:
    """Compile, or load from disk, once per process and shape."""
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
    """

    density: Density
    data: Mapping[str, np.ndarray] = field(repr=False)
    start: np.ndarray = field(repr=False)
    derive: Derive = field(repr=False)


def sample(target: Target, settings: Mapping[str, Any]) -> xr.DataTree:
    """Sample once: groups ``posterior`` and ``sample_stats``.

    Raises
    ------
    FitError
        If the sampler could not start.
    """
    settings = dict(settings)
    thin = settings.pop("thin", 1)
    draws = settings.pop("draws") * thin
    try:
        sampler = nutpie.sample(
            _for_nutpie(target), draws=draws, save_warmup=False, blocking=False, **settings
        )
        tree = sampler.wait()
    except KeyboardInterrupt:
        sampler.cancel()
        raise
    except RuntimeError as error:
        raise FitError(f"the sampler could not run on this model and data: {error}") from error
    stats = tree["sample_stats"].to_dataset()[list(_KEPT_STATS)]
    flat = tree["posterior"]["flat"].to_numpy()
    if thin > 1:
        flat, every = flat[:, ::thin], stats
        stats = stats.isel(draw=slice(None, None, thin))
        for name in ("diverging", "maxdepth_reached"):
            # What befell a draw that is left out counts for the one that is kept.
            flags = every[name].coarsen(draw=thin).max()
            stats[name] = stats[name].copy(data=flags.to_numpy())
    made = xr.DataTree.from_dict({"posterior": _posterior(target, flat), "sample_stats": stats})
    made.attrs = {name: settings[name] for name in ("adaptation", "target_accept")} | {"thin": thin}
    return made


def _for_nutpie(target: Target) -> CompiledPyMCModel:
    """Dress a density as what nutpie's native sampler takes: two C functions and their data."""
    density = target.density
    table, arrays = density.bind(target.data)
    shapes = {"flat": (density.size,)}

    def start(seed: int) -> np.ndarray:
        jitter = np.random.default_rng(seed).uniform(-_JITTER, _JITTER, density.size)
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


def sample_members(
    target: Target,
    weights: Mapping[tuple[float, float], np.ndarray],
    attempts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> tuple[xr.Dataset, xr.Dataset]:
    """Sample one compiled model under several weightings of its runs, and pool the draws.

    The members are sampled side by side, each with a seed of its own.

    Parameters
    ----------
    target : Target
        Its data ``weight`` are replaced.
    weights : mapping of (cap, exponent) to numpy.ndarray
        Weights of the cells, by what made them.
    attempts, settings
        How to sample, as in `sample`; the first attempt that converges counts.

    Returns
    -------
    pooled : xarray.Dataset
        As many chains and draws as the settings say, the same share of every member in each chain.
    members : xarray.Dataset
        Dim ``member``: ``cap``, ``exponent``, ``divergences``, ``max_r_hat``, ``min_ess_bulk``,
        ``weight_sum``.
    """
    chains, total = int(settings["chains"]), int(settings["draws"])
    each = -(-chains * total // len(weights))
    seeds = np.random.SeedSequence(settings["seed"]).generate_state(len(weights))
    short = {"chains": MEMBER_CHAINS, "cores": 1, "progress_bar": False}
    # At least 400 in a chain: fewer say little about convergence, or of the tails.
    short |= {"draws": max(-(-each // MEMBER_CHAINS), 400), "tune": min(settings["tune"], 400)}

    def member(of: tuple[tuple[float, float], np.ndarray, int]) -> tuple[xr.Dataset, Row]:
        (cap, exponent), weight, seed = of
        own = replace(target, data={**target.data, "weight": weight})
        for attempt in attempts:
            tree = sample(own, {**settings, **short, "seed": seed, **attempt})
            row = _diagnosed(tree) | {"cap": cap, "exponent": exponent}
            if not row["divergences"] and row["max_r_hat"] <= MEMBER_R_HAT:
                break
        drawn = tree["posterior"].to_dataset().drop_vars(["chain", "draw"])
        drawn = drawn.stack(every=("draw", "chain"), create_index=False)
        places = np.linspace(0, drawn.sizes["every"] - 1, each).round().astype(int)
        return drawn.isel(every=places), row | {"weight_sum": float(weight.sum())}

    of = zip(weights, weights.values(), map(int, seeds), strict=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        draws, rows = zip(*pool.map(member, of), strict=True)
    # Dealt in turn, so that what is left over at the end falls on all members alike.
    dealt = xr.concat(draws, dim="member").stack(one=("every", "member"), create_index=False)
    dealt = dealt.isel(one=slice(chains * total)).transpose("one", ...)
    pooled = {
        name: (("chain", "draw", *a.dims[1:]), a.to_numpy().reshape(chains, total, *a.shape[1:]))
        for name, a in dealt.items()
    }
    members = {name: ("member", [row[name] for row in rows]) for name in rows[0]}
    return xr.Dataset(pooled), xr.Dataset(members)


def _diagnosed(tree: xr.DataTree) -> Row:
    stats, draws = tree["sample_stats"], tree["posterior"]
    return {
        "divergences": int(stats["diverging"].sum()),
        "max_r_hat": float(az.rhat(draws).dataset.to_array().max()),
        "min_ess_bulk": float(az.ess(draws, method="bulk").dataset.to_array().min()),
    }
