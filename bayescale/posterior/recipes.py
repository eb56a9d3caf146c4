"""Sampling the model of recipes crossed with sizes, and the multipliers that it tells."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayescale.arguments import typed
from bayescale.modelling.recipes import (
    Crossed,
    betas,
    build_recipes,
    crossed,
    log_multipliers,
    slopes,
    slots,
    start,
    variables,
)
from bayescale.posterior.diagnostics import Diagnostics, diagnostics_of
from bayescale.posterior.sampling import ATTEMPTS, Shape, Target, compile_model, sample
from bayescale.progress import showing, step
from bayescale.runs.table import Runs

_NEAR = 0.3  # how far chains start from the middle of the prior: sizes start at their own level
_SAME_SIZE = np.log(1.01)


@dataclass(frozen=True)
class Recipes:
    """Posterior of what recipes are worth in tokens, against a baseline.

    Parameters
    ----------
    by : str
        Column of the recipes.
    runs : Runs
    own : Crossed
        The same, laid out by recipe and size.
    tree : xarray.DataTree
        Groups ``posterior`` and ``sample_stats``.
    seed : int
    """

    by: str
    runs: Runs = field(repr=False)
    own: Crossed = field(repr=False)
    tree: xr.DataTree = field(repr=False)
    seed: int = 1

    @property
    def baseline(self) -> str:
        """The recipe whose multiplier is 1."""
        return self.own.recipes[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The other recipes."""
        return self.own.recipes[1:]

    @property
    def posterior(self) -> xr.Dataset:
        """Draws, dims (chain, draw, recipe, size)."""
        return self.tree["posterior"].to_dataset()

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Convergence of the sampler."""
        return diagnostics_of(self.tree, self.posterior)

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons not to trust the draws."""
        return self.diagnostics.problems

    @property
    def slope(self) -> xr.DataArray:
        """Slope of the log of each multiplier in log N, dims (chain, draw, recipe)."""
        return slopes(_by_name(self.posterior))

    def log_multiplier(self, params: Sequence[float]) -> xr.DataArray:
        """Log of what a token with each recipe is worth in the baseline's, at some sizes.

        At a size of the runs (within 1%) what they say of it; at another one as `log_trend`.

        Parameters
        ----------
        params : sequence of float

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, recipe, params).
        """
        return self._at(params, [self.size_of(float(size)) for size in params])

    def log_trend(self, params: Sequence[float]) -> xr.DataArray:
        """Log of the multipliers at sizes without runs: the trend, and what scatters about it.

        A draw scatters by as much at each size, so that it is a line.

        Parameters
        ----------
        params : sequence of float

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, recipe, params).
        """
        return self._at(params, [None] * len(params))

    def _at(self, params: Sequence[float], places: Sequence[int | None]) -> xr.DataArray:
        draws, sizes = self.posterior.drop_vars("size"), np.log(self.own.sizes)
        shape = draws["gain"]
        drawn = shape.copy(data=np.random.default_rng(self.seed).standard_normal(shape.shape))
        z = [drawn if place is None else draws["z"].isel(size=place) for place in places]
        logs = [
            np.log(size) if place is None else sizes[place]
            for size, place in zip(params, places, strict=True)
        ]
        along = xr.DataArray(np.array(logs) - sizes.mean(), dims="params")
        free = {**_by_name(draws), "z": xr.concat(z, dim="params")}
        found = log_multipliers(free, along).assign_coords(params=list(map(float, params)))
        return found.transpose("chain", "draw", "recipe", "params")

    def size_of(self, params: float) -> int | None:
        """Find the place of a size among those of the runs, None where it is another one.

        Parameters
        ----------
        params : float

        Returns
        -------
        int or None
        """
        apart = np.abs(np.log(self.own.sizes / params))
        return int(apart.argmin()) if apart.min() <= _SAME_SIZE else None

    @property
    def log_loss_per_log_token(self) -> xr.DataArray:
        """Fall of log loss with log tokens in the middle of each size, dims (chain, draw, size)."""
        return self.posterior["reducible"] * betas(_by_name(self.posterior))


def _by_name(draws: xr.Dataset) -> dict[str, xr.DataArray]:
    return {str(name): own for name, own in draws.data_vars.items()}


@typed
def fit_recipes(
    runs: Runs,
    by: str,
    baseline: str,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 1,
    progress: bool | None = None,
) -> Recipes:
    """Sample what each recipe is worth in tokens against a baseline, at each size.

    See `bayescale.modelling.recipes` for the model.

    Parameters
    ----------
    runs : Runs
        With params, tokens and loss: the best run of each recipe, size and number of tokens.
    by : str
        Column of the recipes: optimizer, schedule, data filter, ...
    baseline : str
        One of them.
    draws, tune, chains : int, optional
    seed : int, optional
    progress : bool, optional
        As of `bayescale.fit`.

    Returns
    -------
    Recipes

    Raises
    ------
    RunsError
        If the runs cannot be laid out so.
    """
    own = crossed(runs, by, baseline)
    settings: Mapping[str, Any] = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    began = time.perf_counter()
    with showing(progress):
        shape = Shape(
            (variables(own), slots(own)),
            variables(own),
            slots(own),
            lambda: build_recipes(own),
            "recipes",
        )
        target = Target(compile_model(shape), own.data, start(own), lambda free: {}, _NEAR)
        compiled = time.perf_counter()
        for number, attempt in enumerate(ATTEMPTS):
            with step(f"attempt {number + 1} of {len(ATTEMPTS)}" if number else ""):
                tree = sample(target, {**settings, **attempt})
            labels = {"recipe": list(own.recipes[1:]), "size": own.sizes}
            tree["posterior"] = tree["posterior"].to_dataset().assign_coords(labels)
            tree.attrs |= {
                "seconds_compile": compiled - began,
                "seconds_sample": time.perf_counter() - compiled,
            }
            found = Recipes(by, runs, own, tree, seed)
            if not found.problems:
                break
    return found
