"""Sampling by JAX, of one posterior or of many of one shape at once.

NumPyro's NUTS, for all chains of all tables by one call. All make as many steps as the longest of
them needs: on a processor that costs more than `bayescale.posterior.sampling`, and on a device with
thousands of lanes, or with many rows, less.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayescale.modelling.jaxed import JaxDensity, jax_density, require_jax
from bayescale.posterior.sampling import Shape, Target, tree_of
from bayescale.progress import step

_DEPTH = 10  # of the largest tree


@lru_cache(maxsize=64)  # what is made already is no step
@step("compiling")
def jax_model(shape: Shape, shapes: tuple[tuple[int, ...], ...]) -> JaxDensity:
    """Make the JAX function of a model, once per process and shape of its data.

    Parameters
    ----------
    shape : Shape
    shapes : tuple of tuple of int
        Of the data of each slot.

    Returns
    -------
    JaxDensity

    Raises
    ------
    FitError
        If JAX is not installed.
    """
    require_jax()
    _keep_compiled()
    return jax_density(shape.variables, shape.slots, shapes, shape.build)


def _keep_compiled() -> None:
    """Keep what JAX compiles on disk, beside what PyTensor keeps, unless the user says where."""
    import jax
    import pytensor

    if jax.config.jax_compilation_cache_dir is None:
        folder = Path(pytensor.config.base_compiledir) / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))


def device() -> str:
    """Name the device on which JAX computes.

    Returns
    -------
    str
        Platform and kind, e.g. ``cpu``.
    """
    import jax

    own = jax.devices()[0]
    return own.platform if own.device_kind == own.platform else f"{own.platform} {own.device_kind}"


def sample_together(
    targets: Sequence[Target], settings: Mapping[str, Any], seeds: Sequence[int]
) -> list[xr.DataTree]:
    """Sample the posteriors of models of one shape, all at once.

    Parameters
    ----------
    targets : sequence of Target
        With the same `JaxDensity`.
    settings : mapping
        As for `bayescale.posterior.sampling.sample`. A ``low_rank`` adaptation becomes that of a
        full mass matrix, any other that of its diagonal.
    seeds : sequence of int
        Of each.

    Returns
    -------
    list of xarray.DataTree
        As `bayescale.posterior.sampling.sample` returns. Chains that start where the density is
        zero or undefined never move.
    """
    thin, chains = settings.get("thin", 1), settings["chains"]
    draws = settings["draws"] * thin
    density = targets[0].density
    assert isinstance(density, JaxDensity)
    dense = settings["adaptation"] == "low_rank"
    arrays = [np.stack(own) for own in zip(*(density.arrays(t.data) for t in targets), strict=True)]
    starts = np.stack(
        [_starts(own, seed, chains) for own, seed in zip(targets, seeds, strict=True)]
    )
    with step("sampling"):
        import jax

        keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed), chains))(
            np.asarray(seeds)
        )
        run = _sampler(density, settings["tune"], draws, dense)
        flat, stats = jax.device_get(run(keys, starts, settings["target_accept"], *arrays))
    return [
        tree_of(target, flat[number], {n: own[number] for n, own in stats.items()}, settings)
        for number, target in enumerate(targets)
    ]


def _starts(target: Target, seed: int, chains: int) -> np.ndarray:
    """Where chains start, shape (chains, size)."""
    away = np.random.default_rng(seed).uniform(-1.0, 1.0, (chains, target.density.size))
    return target.start + away * target.jitter


@lru_cache(maxsize=64)
def _sampler(density: JaxDensity, tune: int, draws: int, dense: bool) -> Any:
    """Make the function that samples all chains, dims (tables, chains), of all tables.

    It returns flat vectors of the kept draws, dims (tables, chains, draws, size), and statistics.
    """
    import jax
    from numpyro.infer.hmc import hmc

    def chain(key: Any, start: Any, target_accept: Any, *arrays: Any) -> Any:
        begin, move = hmc(lambda flat: -density.function(flat, *arrays), algo="NUTS")
        state = begin(
            start,
            tune,
            rng_key=key,
            dense_mass=dense,
            target_accept_prob=target_accept,
            max_tree_depth=_DEPTH,
        )

        def advance(state: Any, _: Any) -> Any:
            state = move(state)
            return state, (state.z, _statistics(state))

        # One loop for tuning and draws: of two the compiler would take twice as long.
        _, kept = jax.lax.scan(advance, state, None, length=tune + draws)
        return jax.tree.map(lambda values: values[tune:], kept)

    data = 1 + sum(slot.ndim > 0 for slot in density.slots)
    chains = jax.vmap(chain, (0, 0, None, *(data * (None,))))
    return jax.jit(jax.vmap(chains, (0, 0, None, *(data * (0,)))))


def _statistics(state: Any) -> dict[str, Any]:
    """Name what the sampler says of a draw as nutpie does."""
    import jax.numpy as jnp

    return {
        "diverging": state.diverging,
        "maxdepth_reached": state.num_steps >= 2**_DEPTH - 1,
        "depth": jnp.ceil(jnp.log2(state.num_steps + 1.0)).astype(int),
        "n_steps": state.num_steps,
        "step_size": state.adapt_state.step_size,
        "energy": state.energy,
        "logp": -state.potential_energy,
        "mean_tree_accept": state.accept_prob,
    }
