"""Fitting a model to runs."""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import FitError, RunsWarning, warn
from bayescale.modelling.build import (
    as_arrays,
    build_model,
    derived,
    draw_prior,
    guesses,
    model_data,
    positive_data,
    start,
    variables_of,
)
from bayescale.modelling.compiling import CENTRE, SCALE, slots_of
from bayescale.modelling.effects import effect_labels, offset_of, scale_of
from bayescale.modelling.inputs import completed, parts_of_mixtures, runs_for
from bayescale.modelling.noise import SEED
from bayescale.modelling.pooling import clusters_of, group_names
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.posterior.diagnostics import MAX_R_HAT, MIN_ESS
from bayescale.posterior.fit import Fit, design_of, points_beyond
from bayescale.posterior.jax_sampling import jax_model, sample_together
from bayescale.posterior.leaning import coefficients, leaning_of, line_of, lines, rest_of
from bayescale.posterior.rounding import rounded
from bayescale.posterior.sampling import (
    ATTEMPTS,
    FEW_ROWS,
    FEW_ROWS_ATTEMPTS,
    GUESSED_ATTEMPTS,
    HIERARCHICAL_ATTEMPTS,
    JITTER,
    NEAR,
    SHARED_ERROR_ATTEMPTS,
    WHITENED_ATTEMPTS,
    Shape,
    Target,
    compile_model,
    sample,
    whitened,
)
from bayescale.progress import showing, step
from bayescale.runs.table import Runs

_LIBRARIES = ("bayescale", "pymc", "nutpie", "arviz", "numpy", "xarray")
_AMPLE = 1.5  # times as many effective draws as are needed: enough with smaller steps as well
BACKENDS = ("nutpie", "jax")
"""What computes the log density and samples it."""


@typed
def fit(
    runs: Runs | pd.DataFrame | str | Path,
    model: str | Path | ModelSpec = "joint",
    *,
    group: str | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float | None = None,
    weights: np.ndarray | None = None,
    seed: int = 1,
    backend: str = "nutpie",
    progress: bool | None = None,
    **reading: Any,
) -> Fit:
    """Sample the posterior of a model given runs.

    A law that is only approximately right is overconfident beyond its runs: its intervals shrink
    with every run, while its error stays. So the law of the default model may bend
    (`bayescale.modelling.bend`), the less certainly the farther from the runs; ``chinchilla`` takes
    the same law as exact.

    Parameters
    ----------
    runs : Runs, pandas.DataFrame or path
        A table that is not read yet is read by `bayescale.read_runs`, one of accuracies by
        `bayescale.read_tasks`.
    model : str, path or ModelSpec
        Name of a shipped model, a TOML file, or a specification.
    group : str, optional
        Column whose values are the groups of a hierarchical model, in place of the model file's.
    draws, tune, chains : int
        Kept draws and discarded warm-up draws of each chain.
    target_accept : float, optional
        Target acceptance statistic of NUTS. By default 0.9 (0.95 with groups); a fit that does not
        converge is sampled again with smaller steps and then with another mass matrix (with groups:
        three times as long where it had too few effective draws, then with smaller steps as well).
    weights : numpy.ndarray, shape (runs,), optional
        Exponent of each run's likelihood; by default the runs' column ``weight``, or 1. Runs of
        weight 0 are left out.
    seed : int
        Same seed, same machine: same draws.
    backend : str, optional
        What computes the log density and samples it: ``nutpie``, machine code on the processor, or
        ``jax``, on whatever device JAX finds (``pip install 'bayescale[jax]'``). Draws differ, the
        posterior does not.
    progress : bool, optional
        Show which step runs and how much of it is done; by default on a terminal and in a notebook.
    **reading
        How to read the table: options of `bayescale.read_runs` or `bayescale.read_tasks`, e.g.
        ``columns={"params": "N"}``.

    Returns
    -------
    Fit
        Look at ``diagnostics.problems`` before believing it.

    Raises
    ------
    RunsError
        If the runs cannot be read, or cannot identify the law, or their groups.
    ModelError
        If a group is given for a model without groups.
    FitError
        If the sampler could not start, a number of draws or the seed is too small, the weights
        are not one non-negative number a run, or the backend is unknown or not installed.

    Warns
    -----
    RunsWarning
        If the design is weak: a collinear one, a single budget, a narrow range, few runs. If the
        losses look computed rather than measured.
    """
    require_at_least(1, draws=draws, tune=tune, chains=chains)
    require_at_least(0, seed=seed)
    if backend not in BACKENDS:
        raise FitError(f"no backend {backend!r}; {words.did_you_mean(backend, BACKENDS)}")
    spec = model if isinstance(model, ModelSpec) else load_model(model)
    spec = spec if group is None else spec.grouped_by(group)
    runs = runs_for(spec, runs, reading)
    if weights is not None:
        _require_weights(weights, len(runs))
        runs = replace(runs, table=runs.table.assign(weight=np.asarray(weights, dtype=float)))
    runs = completed(spec, runs)
    group_names(spec, runs)  # refuses runs without groups
    for notice in design_of(spec, runs):
        warn(notice)
    settings: dict[str, Any] = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    attempts = attempts_of(spec, len(runs))
    settings = {**attempts[0], **settings}
    if target_accept is not None:
        attempts = ({"target_accept": target_accept},)
    members = spec.each_member
    settings |= {"draws": -(-draws // len(members)), "tune": -(-tune // len(members))}
    enough = MIN_ESS / len(members)
    found = []
    for number, own in enumerate(members):
        which = f"member {number + 1} of {len(members)}" if spec.members else ""
        with showing(progress), step(which):
            settings["seed"] = seed + number
            found.append(_sampled(own, runs, attempts, settings, enough, backend))
    result = found[0] if not spec.members else pooled(spec, found)
    for notice in result._computed:
        warn(notice)
    return result


def attempts_of(spec: ModelSpec, rows: int) -> Sequence[dict[str, Any]]:
    """How to sample a model, until one way converges.

    Parameters
    ----------
    spec : ModelSpec
    rows : int
        Of the table.

    Returns
    -------
    sequence of dict
        Settings for `bayescale.posterior.sampling.sample`.
    """
    if spec.trends and guesses(spec):
        return GUESSED_ATTEMPTS
    if spec.effects and rows < FEW_ROWS:
        return FEW_ROWS_ATTEMPTS
    if spec.bend or spec.effects:
        return WHITENED_ATTEMPTS
    if spec.partial == ("level",):
        return SHARED_ERROR_ATTEMPTS
    return HIERARCHICAL_ATTEMPTS if spec.partial else ATTEMPTS


def _sampled(
    spec: ModelSpec,
    runs: Runs,
    attempts: Sequence[Mapping[str, Any]],
    settings: dict[str, Any],
    enough: float,
    backend: str,
) -> Fit:
    """Sample one posterior, until it converges or there is no other way to try.

    `enough` is how many effective draws it needs: of a member of a pool, its share of them.
    """
    began = time.perf_counter()
    target = target_of(spec, runs, backend)
    compiled_at = time.perf_counter()
    beside = beside_draws(spec, target, settings["seed"])
    sampled_from = time.perf_counter()
    tried: dict[str, Any] = {}
    suffices = max(attempt.get("thin", 1) for attempt in attempts)
    for number, attempt in enumerate(attempts):
        own = {**settings, **attempt, "thin": min(attempt.get("thin", 1), suffices)}
        if own == tried:
            continue  # it would draw the same
        tried = own
        with step(f"attempt {number + 1} of {len(attempts)}" if number else ""):
            if backend == "jax":
                [tree] = sample_together([target], own, [own["seed"]])
            else:
                tree = sample(target, own)
        tree.attrs |= {
            "backend": backend,
            "tune": settings["tune"],
            "seconds_compile": compiled_at - began,
            "seconds_sample": time.perf_counter() - sampled_from,
        }
        result = fit_of_draws(spec, runs, tree, beside, settings["seed"])
        found = replace(result.diagnostics, needed=enough)
        if not found.problems:
            break
        if found.max_r_hat <= MAX_R_HAT and found.min_ess_bulk >= _AMPLE * enough:
            suffices = own["thin"]  # smaller steps are wanted, and no more draws
    return result


def fit_of_draws(
    spec: ModelSpec,
    runs: Runs,
    tree: xr.DataTree,
    beside: Mapping[str, xr.Dataset],
    seed: int,
) -> Fit:
    """Make the fit of what a sampler drew.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs
        With all that the model reads.
    tree : xarray.DataTree
        Of a sampler, with what `Diagnostics` asks for.
    beside : mapping of str to xarray.Dataset
        Of `beside_draws`.
    seed : int

    Returns
    -------
    Fit
    """
    labels = _labels(spec, runs, group_names(spec, runs))
    drawn = _complete(spec, tree["posterior"].to_dataset())
    for name, dataset in {"posterior": drawn, **beside}.items():
        tree[name] = dataset.assign_coords(labels)
    tree.attrs |= {**_identity(spec), "seed": seed}
    return with_leaning(_with_bend_beyond(Fit(spec, runs, tree), seed), seed)


def _labels(spec: ModelSpec, runs: Runs, groups: Sequence[str]) -> dict[str, list[str]]:
    """Name the entries of the dims that draws may have: groups, parts, shared errors."""
    parts = {name: list(own) for name, own in parts_of_mixtures(spec, runs.table).items()}
    clusters = {"cluster": list(clusters_of(spec, runs)[0])} if spec.cluster_scales else {}
    shared = effect_labels(spec, runs.table)
    return {"group": list(groups), **clusters, **parts, **shared} if spec.group else parts | shared


def pooled(spec: ModelSpec, members: Sequence[Fit]) -> Fit:
    """Pool the draws of the members: chains side by side, coordinate ``member``.

    Parameters
    ----------
    spec : ModelSpec
    members : sequence of Fit

    Returns
    -------
    Fit
    """
    first = members[0].tree
    tree = first.copy()
    number = np.repeat(np.arange(len(members)), first["posterior"].sizes["chain"])
    for node in ("posterior", "sample_stats"):
        draws = [own.tree[node].to_dataset() for own in members]
        joined = xr.concat(draws, dim="chain", join="outer", fill_value=0.0)
        joined = joined.assign_coords(chain=np.arange(len(number)), member=("chain", number))
        tree[node] = joined
    tree["prior"] = xr.concat([own.prior for own in members], dim="member")
    data = [own.tree["constant_data"].to_dataset() for own in members]
    tree["constant_data"] = xr.concat(data, dim="member", data_vars="different", compat="equals")
    tree.attrs |= {
        **_identity(spec),
        **{
            name: sum(own.tree.attrs[name] for own in members)
            for name in ("seconds_compile", "seconds_sample")
        },
    }
    return Fit(spec, members[0].runs, tree)


def _complete(spec: ModelSpec, draws: xr.Dataset) -> xr.Dataset:
    """Give draws the coordinates that are fixed, the same in each."""
    like = draws[next(iter(spec.priors))]
    return draws.assign({name: xr.full_like(like, value) for name, value in spec.fixed.items()})


def _with_bend_beyond(own: Fit, seed: int) -> Fit:
    """Draw the bend off the runs: coefficients of features that no run has anything to say of."""
    if own.spec.bend is None:
        return own
    bending, everywhere = own.bending
    posterior = own.posterior
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], points_beyond(bending, everywhere))
    drawn = np.random.default_rng([seed, 7]).standard_normal(shape)
    own.tree["posterior"] = posterior.assign(bend_beyond=(("chain", "draw", "beyond"), drawn))
    return own


def with_leaning(own: Fit, seed: int) -> Fit:
    """Draw the smooth part of errors of cells, which goes on beyond the runs.

    Parameters
    ----------
    own : Fit
        Changed in place.
    seed : int

    Returns
    -------
    Fit
        The same, with coefficients of smooth functions in its posterior and their priors in
        ``constant_data``.
    """
    for column in own.spec.smooth:
        drawn = [leaning_of(column), rest_of(column)]  # by an earlier version
        posterior = own.posterior.drop_vars(drawn, errors="ignore")
        kept = own.tree["constant_data"].to_dataset()
        dims = ("group" if "group" in posterior.dims else "law", "coordinate")
        kept = kept.assign({line_of(column): (dims, lines(own.spec, posterior))})
        own.tree["constant_data"] = kept
        z, rest = coefficients(own.spec, column, own.data, posterior, seed)
        own.tree["posterior"] = posterior.assign({leaning_of(column): z, rest_of(column): rest})
    return own


def target_of(spec: ModelSpec, runs: Runs, backend: str = "nutpie") -> Target:
    """Compile the model of a specification, for these runs.

    Parameters
    ----------
    spec : ModelSpec
        Of one law, no pool of several.
    runs : Runs
        With all that the model reads.
    backend : str, optional
        One of `BACKENDS`.

    Returns
    -------
    Target
    """
    data = model_data(spec, runs)
    arrays, variables = as_arrays(spec, data), variables_of(spec, data)
    middle = start(spec, data)
    rounds = bool(spec.effects)
    if spec.bend or rounds:
        data |= {CENTRE: middle, SCALE: np.eye(len(middle))}
    slots = slots_of(data, positive_data(spec))
    # A law from elsewhere may change without this package's code changing: its name says nothing.
    ours = spec.law.function.__module__.startswith("bayescale.")
    shape = Shape(
        (*spec.shape, variables, slots),
        variables,
        slots,
        lambda: build_model(spec, runs),
        repr((spec.law.name, *spec.shape[1:])) if ours else None,
    )
    shapes = tuple(np.shape(data[slot.name]) for slot in slots)
    target = Target(
        jax_model(shape, shapes) if backend == "jax" else compile_model(shape),
        data,
        middle,
        lambda free: derived(spec, free, arrays),
        NEAR if guesses(spec) else JITTER,
    )
    if rounds:
        errors = [f(column) for column in spec.effects for f in (offset_of, scale_of)]
        return rounded(target, _scales_of(spec), errors)
    return whitened(target) if spec.bend else target


def _scales_of(spec: ModelSpec) -> list[str]:
    """Name the variables that are sds, or belong to the noise."""
    noise = [f"{name}{part}" for name in spec.noise_priors for part in ("", "_anchor", "_offset")]
    return [*noise, *spec.between, *map(scale_of, spec.effects)]


def beside_draws(spec: ModelSpec, target: Target, seed: int) -> dict[str, xr.Dataset]:
    """Collect what a fit keeps beside its posterior.

    Parameters
    ----------
    spec : ModelSpec
    target : Target
    seed : int
        Of draws from the prior.

    Returns
    -------
    dict of str to xarray.Dataset
        By group of the fit's tree.
    """
    data = {name: value for name, value in target.data.items() if name not in (CENTRE, SCALE)}
    return {
        "prior": _complete(spec, draw_prior(spec, data, seed=seed)),
        "observed_data": xr.Dataset({spec.response.variable: ("obs", data["observed"])}),
        "constant_data": xr.Dataset(as_arrays(spec, data)),
    }


@typed
def exact_fit(own: Fit) -> Fit | None:
    """Fit the same runs with the law taken as exact, to set what it would say beside the answers.

    As many draws, tuned for as long, from the same seed.

    Parameters
    ----------
    own : Fit

    Returns
    -------
    Fit or None
        None where the law is taken as exact anyway, and for given constants.
    """
    if own.spec.is_exact or not own.sampled:
        return None
    draws, chains = own.lengths
    tune, seed = (int(own.tree.attrs[name]) for name in ("tune", "seed"))
    with step("fitting the exact law"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)  # the fit itself said it
        return fit(
            own.runs,
            own.spec.exact,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
        )


@typed
def constants_fit(model: str | Path, **parameters: Any) -> Fit:
    """Turn given constants into a fit of one draw, for what-if questions about published laws.

    Parameters
    ----------
    model : str or path
        Name of a shipped model, or a TOML file, for its law and axis.
    **parameters : float or numpy.ndarray
        The law's natural parameters, and the noise's (``sigma``, ``nu``) if predictions shall have
        noise. Arrays of equal length are taken as that many draws.

    Returns
    -------
    Fit

    Raises
    ------
    FitError
        For a missing or unknown parameter, one that is not positive, or arrays of other lengths.

    Examples
    --------
    >>> fit = constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> fit.posterior.sizes["draw"]
    1
    """
    spec = load_model(model)
    expected = spec.law.parameters
    missing = [name for name in expected if name not in parameters]
    unknown = [name for name in parameters if name not in (*expected, *spec.noise_priors)]
    if missing or unknown:
        raise FitError(
            f"the law {spec.law.name} has the parameters {', '.join(expected)}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    try:
        draws = dict(zip(parameters, np.broadcast_arrays(*parameters.values()), strict=True))
    except ValueError:
        raise FitError("the parameters are arrays of different lengths: one entry a draw") from None
    supports = {name: own.support for name, own in spec.law.supports.items()}
    for name, value in draws.items():
        support = {**supports, **spec.noise_model.parameters, SEED: "positive"}[name]
        inside = np.isfinite(value) & ((support == "real") | (value > 0))
        if not (inside & ((support != "unit") | (value < 1))).all():
            kind = {"real": "", "positive": "positive and ", "unit": "between 0 and 1 and "}[
                support
            ]
            raise FitError(f"{name} must be {kind}finite, got {np.min(value):g}")
    table = pd.DataFrame(columns=["run", *spec.inputs, spec.response.column])
    tree = az.from_dict(
        {"posterior": {name: np.atleast_1d(value)[None] * 1.0 for name, value in draws.items()}}
    )
    tree.attrs = _identity(spec)
    return Fit(spec, Runs(table, "given constants"), tree)


def _identity(spec: ModelSpec) -> dict[str, Any]:
    """Say what a saved fit must know to be read again, and which versions made it."""
    versions = {name: version(name) for name in _LIBRARIES}
    return {
        "model": spec.name,
        "model_spec": spec.source,
        "law_exact": int(spec.is_exact),  # the text may be of a law that bends
        "versions": json.dumps(versions),
    }


def require_at_least(least: int, **numbers: int) -> None:
    """Refuse settings that are too small.

    Parameters
    ----------
    least : int
    **numbers : int
        By name.

    Raises
    ------
    FitError
        For the first that is.
    """
    for name, number in numbers.items():
        if number < least:
            raise FitError(f"{name} must be at least {least}, got {number}")


def _require_weights(weights: np.ndarray, runs: int) -> None:
    values = np.asarray(weights, dtype=float)
    if values.shape != (runs,) or not (np.isfinite(values) & (values >= 0)).all():
        raise FitError(f"weights must be {runs} finite numbers of at least 0, one for each run")
