"""Compiling a PyMC model once and sampling it. The only module that calls a sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import arviz as az
import numpy as np
import nutpie
import pymc as pm
import xarray as xr

from bayescale.errors import FitError

MEMBER_R_HAT = 1.05
"""R-hat up to which one of several pooled posteriors is taken as it is: each gives a share of the
draws, and their own differences are far larger."""

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

_PRIOR_DRAWS = 2000
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


@dataclass(frozen=True)
class Shape:
    """A model to compile, equal to every other of the same structure."""

    key: tuple[Any, ...]
    model: pm.Model = field(compare=False)


@lru_cache(maxsize=64)
def compile_model(shape: Shape) -> Any:
    """Compile once per process and shape; only scalars are stored, so any number of runs fits."""
    stored = [*shape.model.free_RVs, *shape.model.deterministics]
    return nutpie.compile_pymc_model(shape.model, var_names=[variable.name for variable in stored])


def with_data(compiled: Any, data: Mapping[str, np.ndarray]) -> Any:
    """Give a compiled model its data; not every law reads every input's reference."""
    read = {variable.name for variable in compiled.shared_var_keys}
    return compiled.with_data(**{name: value for name, value in data.items() if name in read})


def sample(compiled: Any, settings: Mapping[str, Any]) -> xr.DataTree:
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
        tree = nutpie.sample(compiled, draws=draws, save_warmup=False, **settings)
    except RuntimeError as error:
        raise FitError(f"the sampler could not run on this model and data: {error}") from error
    tree["sample_stats"] = tree["sample_stats"].to_dataset()[list(_KEPT_STATS)]
    if thin > 1:
        every, kept = tree["sample_stats"].to_dataset(), slice(None, None, thin)
        for name in ("posterior", "sample_stats"):
            tree[name] = tree[name].to_dataset().isel(draw=kept)
        for name in ("diverging", "maxdepth_reached"):
            # What befell a draw that is left out counts for the one that is kept.
            flags = every[name].coarsen(draw=thin).max()
            tree["sample_stats"][name] = tree["sample_stats"][name].copy(data=flags.to_numpy())
    tree.attrs = {name: settings[name] for name in ("adaptation", "target_accept")} | {"thin": thin}
    return tree


def sample_members(
    compiled: Any,
    data: Mapping[str, np.ndarray],
    weights: Mapping[tuple[float, float], np.ndarray],
    attempts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> tuple[xr.Dataset, xr.Dataset]:
    """Sample one compiled model under several weightings of its runs, and pool the draws.

    Parameters
    ----------
    compiled
        From `compile_model`.
    data : mapping of str to numpy.ndarray
        Of the model; its ``weight`` is replaced.
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
    total = int(settings["draws"])
    each = -(-total // len(weights))
    draws, rows = [], []
    for (cap, exponent), weight in weights.items():
        own = with_data(compiled, {**data, "weight": weight})
        for attempt in attempts:
            # At least 500 in a chain: fewer say little about convergence, or of the tails.
            short = {"draws": max(each, 500), "tune": min(settings["tune"], 500)}
            tree = sample(own, {**settings, **short, **attempt})
            row = _diagnosed(tree) | {"cap": cap, "exponent": exponent}
            if not row["divergences"] and row["max_r_hat"] <= MEMBER_R_HAT:
                break
        posterior = tree["posterior"].to_dataset()
        places = np.linspace(0, posterior.sizes["draw"] - 1, each).round().astype(int)
        draws.append(posterior.isel(draw=places).drop_vars(["chain", "draw"], errors="ignore"))
        rows.append(row | {"weight_sum": float(weight.sum())})
    # Dealt in turn, so that what is left over at the end falls on all members alike.
    dealt = xr.concat(draws, dim="member").stack(every=("draw", "member"), create_index=False)
    pooled = dealt.isel(every=slice(total)).rename(every="draw").transpose("chain", "draw", ...)
    members = {name: ("member", [row[name] for row in rows]) for name in rows[0]}
    return pooled, xr.Dataset(members)


def draw_prior(model: pm.Model, seed: int) -> xr.Dataset:
    """Draw every free variable and deterministic from the prior, dims (chain, draw, ...)."""
    variables = [*model.free_RVs, *model.deterministics]
    values = pm.draw(variables, draws=_PRIOR_DRAWS, random_seed=seed, mode="FAST_COMPILE")
    dims = model.named_vars_to_dims
    return xr.Dataset(
        {
            variable.name: (("chain", "draw", *dims.get(variable.name, ())), value[None])
            for variable, value in zip(variables, values, strict=True)
        },
        coords=group_coords(model),
    )


def group_coords(model: pm.Model) -> dict[str, list[str]]:
    """Names of a model's groups as a coordinate, if it has groups."""
    return {"group": list(model.coords["group"])} if "group" in model.coords else {}


def _diagnosed(tree: xr.DataTree) -> dict[str, float]:
    stats, draws = tree["sample_stats"], tree["posterior"]
    return {
        "divergences": int(stats["diverging"].sum()),
        "max_r_hat": float(az.rhat(draws).dataset.to_array().max()),
        "min_ess_bulk": float(az.ess(draws, method="bulk").dataset.to_array().min()),
    }
