"""Many tables at once, by JAX: one call of the sampler for all that have the same shape."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from bayescale.arguments import typed
from bayescale.errors import BayescaleError, FitError
from bayescale.modelling.inputs import completed, runs_for
from bayescale.modelling.pooling import group_names
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.posterior.fit import Fit, design_of
from bayescale.posterior.fitting import (
    attempts_of,
    beside_draws,
    fit_of_draws,
    pooled,
    require_at_least,
    target_of,
)
from bayescale.posterior.jax_sampling import sample_together
from bayescale.progress import showing, step
from bayescale.runs.table import Runs


@typed
def fit_tables(
    tables: Sequence[Any],
    model: str | Path | ModelSpec = "chinchilla",
    *,
    group: str | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float | None = None,
    seed: int = 1,
    progress: bool | None = None,
    **reading: Any,
) -> list[Fit]:
    """Sample the posteriors of many tables at once, on whatever device JAX finds.

    Tables with as many cells each, as simulated ones have, are sampled by one call; others by one
    call for each number of cells, which is compiled on its own. Each table is sampled once: one
    that did not converge says so in ``diagnostics.problems``, and `bayescale.fit` tries harder.

    Parameters
    ----------
    tables : sequence of Runs, pandas.DataFrame or path
    model : str, path or ModelSpec, optional
    group : str, optional
        As in `bayescale.fit`.
    draws, tune, chains : int, optional
        Of each table.
    target_accept : float, optional
        Target acceptance statistic of NUTS.
    seed : int, optional
        Of the first table; each later one has the next.
    progress : bool, optional
        Show which step runs; by default on a terminal and in a notebook.
    **reading
        How to read the tables, as in `bayescale.fit`.

    Returns
    -------
    list of Fit
        In the order of the tables. What is doubtful in their designs is among ``notices``.

    Raises
    ------
    FitError
        If a table cannot be read or cannot identify the law, which the message names by its place
        from 1, a number of draws or the seed is too small, or JAX is not installed.
    """
    require_at_least(1, draws=draws, tune=tune, chains=chains)
    require_at_least(0, seed=seed)
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    spec = spec if group is None else spec.grouped_by(group)
    runs = [_read(table, spec, reading, place) for place, table in enumerate(tables, 1)]
    members = spec.each_member
    rows = max(map(len, runs), default=0)
    settings = {**attempts_of(spec, rows)[0], "chains": chains}
    settings |= {"draws": -(-draws // len(members)), "tune": -(-tune // len(members))}
    settings |= {} if target_accept is None else {"target_accept": target_accept}
    with showing(progress):
        found = [
            _fits(own, runs, settings, range(seed + number, seed + number + len(runs)))
            for number, own in enumerate(members)
        ]
    return [pooled(spec, each) if spec.members else each[0] for each in zip(*found, strict=True)]


def _read(table: Any, spec: ModelSpec, reading: dict[str, Any], place: int) -> Runs:
    try:
        runs = completed(spec, runs_for(spec, table, reading))
        group_names(spec, runs)  # refuses runs without groups
        design_of(spec, runs)
    except BayescaleError as error:
        raise FitError(f"table {place}: {error.finding}", error.advice) from error
    return runs


def _fits(
    spec: ModelSpec, runs: Sequence[Runs], settings: dict[str, Any], seeds: Sequence[int]
) -> list[Fit]:
    """Sample the posterior of one law for each table."""
    began = time.perf_counter()
    targets = [target_of(spec, own, "jax") for own in runs]
    compiled_at = time.perf_counter()
    by_shape: dict[Any, list[int]] = {}
    for place, target in enumerate(targets):
        by_shape.setdefault(target.density, []).append(place)
    trees: dict[int, xr.DataTree] = {}
    for number, places in enumerate(by_shape.values(), 1):
        with step(f"shape {number} of {len(by_shape)}"):
            drawn = sample_together(
                [targets[place] for place in places], settings, [seeds[place] for place in places]
            )
        trees |= dict(zip(places, drawn, strict=True))
    ended = time.perf_counter()
    fits = []
    for place, own in enumerate(runs):
        trees[place].attrs |= {
            "backend": "jax",
            "tune": settings["tune"],
            "seconds_compile": (compiled_at - began) / len(runs),
            "seconds_sample": (ended - compiled_at) / len(runs),
        }
        beside = beside_draws(spec, targets[place], seeds[place])
        fits.append(fit_of_draws(spec, own, trees[place], beside, seeds[place]))
    return fits
