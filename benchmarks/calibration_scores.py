"""Tables drawn from a model, and ranks of what they were drawn from: parts of calibration.py."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr
from calibration_designs import table_of

from bayescale import Fit, ModelSpec, Runs, available_models, fit, load_model
from bayescale.modelling.build import cells_of, draw_prior, model_data
from bayescale.modelling.effects import effect_labels
from bayescale.modelling.inputs import parts_of_mixtures
from bayescale.modelling.noise import SEED
from bayescale.modelling.pooling import clusters_of, group_names, shifts_of
from bayescale.posterior.diagnostics import Diagnostics
from bayescale.posterior.fitting import attempts_of
from bayescale.posterior.prediction import CellDraws, cell_draws, with_few_draws

RANKS = 96
"""Draws among which a truth has its rank: evenly from all chains, so far apart that they are
independent."""

REPLICATES = " x3"
"""After the name of a model: every third configuration was run with three seeds."""

WITH_REPLICATES = ("chinchilla", "chinchilla-hierarchical", "power-law", "data-constrained")

FLOPS = 5.76e23
"""Budget of which the compute-optimal size is ranked, for exact joint laws without groups."""

SHORT = ({"draws": 300, "tune": 400}, {"draws": 900, "tune": 400}, {"draws": 900, "tune": 800})
"""How fits that take users long are sampled, by two chains: 96 ranks need no more. For longer where
the chains do not agree, as users' fits are."""

LONG = ("chinchilla-undertuned", "experts-bend", "mixture-additive", "mixture-exponents")
LONG += ("mixture-joint", "mixture-shukor")
"""Models without groups whose fits are long; all of those with groups are."""

_R_HAT, _ESS = 1.05, 100
"""Of short fits: chance alone takes R-hat of 600 draws above what users are held to."""

_CANDIDATES = 500  # tables that are drawn until one is kept
_TRUTH = ("chain", "draw")
_NOT_RANKED = ("_offset", "_anchor", "_effect")  # how a parameter is sampled; errors of rows


def cases() -> list[str]:
    """Name what can be asked: every shipped model, and some with seeds."""
    return [*available_models(), *(f"{name}{REPLICATES}" for name in WITH_REPLICATES)]


@dataclass(frozen=True)
class Simulated:
    """A table that a model made, and the truth behind it.

    Parameters
    ----------
    runs : Runs
    truth : xarray.Dataset
        Dims (chain, draw) of one entry, and those of groups and parts.
    cells : CellDraws
        What the truth says of the cells, and what was observed of them.
    tried : int
        Tables that were drawn until this one was kept.
    """

    runs: Runs
    truth: xr.Dataset
    cells: CellDraws
    tried: int


def spec_of(case: str) -> ModelSpec:
    """Load the model of a case."""
    return load_model(case.removesuffix(REPLICATES))


@cache
def design_of(case: str) -> Runs:
    """Make the runs of a case, all with the same response."""
    return Runs(table_of(spec_of(case), seeds=3 if case.endswith(REPLICATES) else 1), "simulated")


@cache
def _data_of(case: str, member: int) -> Mapping[str, np.ndarray]:
    return model_data(spec_of(case).each_member[member], design_of(case))


def simulate(case: str, seed: int) -> Simulated:
    """Draw a truth from the prior of a model, and a table from the truth.

    Parameters
    ----------
    case : str
        One of `cases`.
    seed : int

    Returns
    -------
    Simulated
    """
    rng = np.random.default_rng(seed)
    runs, members = design_of(case), spec_of(case).each_member
    member = int(rng.integers(len(members)))
    spec, data = members[member], _data_of(case, member)
    truths = draw_prior(spec, data, draws=_CANDIDATES, seed=seed)
    for tried in range(_CANDIDATES):
        truth = truths.isel(draw=[tried]).assign_coords(_labels(spec, runs))
        simulated = _observed(spec, runs, truth, rng, tried + 1)
        if rng.random() < kept(spec, simulated):
            return simulated
    raise RuntimeError(f"none of {_CANDIDATES} tables lies where the prior says")


def _labels(spec: ModelSpec, runs: Runs) -> dict[str, Sequence[str]]:
    """Name the entries of the dims of a truth."""
    found: dict[str, Sequence[str]] = {**parts_of_mixtures(spec, runs.table)}
    found |= effect_labels(spec, runs.table)
    found |= {"group": group_names(spec, runs)} if spec.group else {}
    found |= {"cluster": clusters_of(spec, runs)[0]} if spec.cluster_scales else {}
    return {name: list(own) for name, own in found.items()}


def _observed(
    spec: ModelSpec, runs: Runs, truth: xr.Dataset, rng: np.random.Generator, tried: int
) -> Simulated:
    """Draw a table of the design from a truth."""
    fixed = {name: xr.DataArray(np.full((1, 1), v), dims=_TRUTH) for name, v in spec.fixed.items()}
    truth = truth.assign(fixed)
    exact = replace(spec, bend=None, size_error=None, smooth={})
    of_truth = Fit(exact, runs, xr.DataTree.from_dict({"posterior": truth}))
    [cells] = cell_draws(of_truth)
    drawn = cells.draw(rng)
    if spec.bend:
        straight = _with_responses(spec, runs, drawn, truth, rng)
        apart = _smooth_errors(model_data(spec, straight), truth)
        cells, drawn = replace(cells, mu=cells.mu + apart), drawn + apart
    seen = cells.table.assign(observed=drawn.to_numpy().ravel())
    made = _with_responses(spec, runs, drawn, truth, rng)
    return Simulated(made, truth, replace(cells, table=seen), tried)


def _smooth_errors(data: Mapping[str, np.ndarray], truth: xr.Dataset) -> xr.DataArray:
    """How far each cell lies from the law: by its bend, and by the error of its size."""
    names = [name for name in ("bend", "size_error") if name in truth]
    found = sum(data[f"{name}_basis"] @ truth[name].to_numpy().ravel() for name in names)
    return xr.DataArray(np.reshape(found, (1, 1, -1)), dims=("chain", "draw", "obs"))


def _with_responses(
    spec: ModelSpec, runs: Runs, cells: xr.DataArray, truth: xr.Dataset, rng: np.random.Generator
) -> Runs:
    """Give every run what its cell has and, where there are seeds, its own deviation from it."""
    members = cells_of(spec, runs).members
    own = cells.to_numpy().ravel()[members]
    if SEED in truth:
        deviation = pd.Series(truth[SEED].item() * rng.standard_normal(len(members)))
        own = own + (deviation - deviation.groupby(members).transform("mean")).to_numpy()
    response = spec.response.back(own)
    return replace(runs, table=runs.table.assign(**{spec.response.column: response}))


def kept(spec: ModelSpec, simulated: Simulated) -> float:
    """Probability of keeping a table, that makes priors about the losses of the runs exact.

    Parameters
    ----------
    spec : ModelSpec
    simulated : Simulated

    Returns
    -------
    float
    """
    observed, log_odds = simulated.cells.observed.to_numpy(), 0.0
    if not np.isfinite(observed).all():
        return 1.0  # tails of the noise that no number holds: the fit refuses it, and that counts
    for name, prior in spec.priors.items():
        if prior.about_runs:
            mu, sd = dict(prior.args).values()
            pooled = spec.pooling.get(name) == "partial"
            level = simulated.truth[f"{name}_population" if pooled else name].to_numpy().ravel()
            centre = _centres(spec, simulated, name)
            groups = 1 if np.ndim(centre) else level.size  # of which one centre says the mean alone
            distance = level - centre if np.ndim(centre) else np.array([level.mean() - centre])
            log_odds -= groups * float((((distance - mu) / sd) ** 2).sum()) / 2
    return float(np.exp(log_odds))


def _centres(spec: ModelSpec, simulated: Simulated, name: str) -> Any:
    """Mean about which a prior lies: of all cells, or of those of each group."""
    observed = simulated.cells.observed.to_numpy()
    if not spec.group:
        return observed.mean()
    names = group_names(spec, simulated.runs)
    labels = simulated.cells.table[spec.group].astype(str)
    index = np.array([names.index(label) for label in labels])
    shifts = shifts_of(spec, observed, np.ones_like(observed), index)
    return observed.mean() + shifts.get(f"{name}_shift", 0.0)


def fitted_to(runs: Runs, model: ModelSpec, seed: int, **settings: float) -> Fit:
    """Fit as users do.

    Parameters
    ----------
    runs : Runs
    model : ModelSpec
    seed : int
    **settings : float
        Others than the default of `bayescale.fit`.

    Returns
    -------
    Fit
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few runs and few groups are what is asked about
        return fit(runs, model, seed=seed, progress=False, **settings)


def shortly(runs: Runs, model: ModelSpec, seed: int) -> Fit:
    """Fit by two short chains, and by longer ones where these do not agree.

    A target acceptance that is given is the only one tried: by the rule of users' fits so few draws
    never suffice, and all that could be tried would be.

    Parameters
    ----------
    runs : Runs
    model : ModelSpec
    seed : int

    Returns
    -------
    Fit
    """
    for own, tried in zip(SHORT, attempts_of(model, len(runs)), strict=True):
        accepted = tried["target_accept"]
        fitted = fitted_to(runs, model, seed, chains=2, target_accept=accepted, **own)
        if not problems(fitted.diagnostics, True):
            break
    return fitted


def seed_of(case: str, number: int) -> int:
    """Seed of a simulation, its own for each case."""
    return int(np.random.SeedSequence([crc32(case.encode()), number]).generate_state(1)[0])


def score(item: tuple[str, int]) -> dict[str, Any]:
    """Simulate one table, fit it, and rank the truth.

    Parameters
    ----------
    item : tuple of str and int
        The case, and the number of the simulation.

    Returns
    -------
    dict
        A record, as the file has it.
    """
    case, number = item
    began, seed = time.process_time(), seed_of(case, number)
    record: dict[str, Any] = {"case": case, "simulation": number}
    simulated, model = simulate(case, seed), spec_of(case)
    short = bool(model.group) or model.name in LONG
    try:
        fitted = (shortly if short else fitted_to)(simulated.runs, model, seed=number)
    except Exception as error:  # of any library below: that a table has no fit is a result
        return {**record, "failure": f"{type(error).__name__}: {error}"[:300]}
    return {
        **record,
        "tried": simulated.tried,
        "problems": problems(fitted.diagnostics, short),
        "ess": round(float(fitted.diagnostics.min_ess_bulk), 1),
        "seconds": round(time.process_time() - began, 2),
        "ranks": ranks(fitted, simulated, seed),
    }


def problems(own: Diagnostics, short: bool) -> list[str]:
    """Say why the draws of a fit are not to be trusted.

    Parameters
    ----------
    own : Diagnostics
    short : bool
        Whether it was sampled by `SHORT`.

    Returns
    -------
    list of str
    """
    if short:
        agree = own.max_r_hat <= _R_HAT
        own = replace(own, needed=_ESS, max_r_hat=1.0 if agree else own.max_r_hat)
    return list(own.problems)


def ranks(fitted: Fit, simulated: Simulated, seed: int) -> dict[str, int]:
    """Rank the truth among thinned draws: 0 where all of them lie above it, `RANKS` below.

    Parameters
    ----------
    fitted : Fit
    simulated : Simulated
    seed : int
        Of ranks among draws that equal the truth.

    Returns
    -------
    dict of str to int
        By parameter, ``alpha[family 1]`` for one group; ``log likelihood`` of the cells, ``last
        run``, what the law says of it; and ``N*`` of joint laws.
    """
    rng, found = np.random.default_rng([seed, 1]), {}
    for name, truth, draws in _ranked(with_few_draws(fitted, RANKS), simulated):
        below, equal = int((draws < truth).sum()), int((draws == truth).sum())
        found[name] = below + int(rng.integers(equal + 1))
    return found


def _ranked(fitted: Fit, simulated: Simulated) -> Iterator[tuple[str, float, np.ndarray]]:
    """Name all that is ranked, with its true value and the draws."""
    truth, cells, posterior = simulated.truth, simulated.cells, fitted.posterior
    for name, values in truth.data_vars.items():
        along = [dim for dim in values.dims if dim not in _TRUTH]
        if str(name).endswith(_NOT_RANKED) or not {"group", *fitted.parts}.issuperset(along):
            continue
        for labels in product(*(values[dim].to_numpy() for dim in along)):
            at = dict(zip(along, labels, strict=True))
            entry = f"{name}[{', '.join(map(str, labels))}]" if at else str(name)
            yield entry, values.sel(at).item(), posterior[name].sel(at).to_numpy().ravel()
    drawn = list(cell_draws(fitted))
    density = xr.concat([one.log_density() for one in drawn], "obs").sum("obs")
    yield "log likelihood", cells.log_density().sum().item(), density.to_numpy().ravel()
    last = drawn[-1].mu.isel(obs=-1)
    yield "last run", cells.mu.isel(obs=-1).item(), last.to_numpy().ravel()
    spec = fitted.spec
    plain = spec.inputs == ("params", "tokens") and not spec.group and spec.is_exact
    if plain and spec.law.optimum is not None:
        best = partial(spec.law.optimum, FLOPS, 6.0)
        size = best(**{name: truth[name] for name in spec.law.parameters})
        found = best(**fitted.natural)
        # Of some draws no size is best: a rank needs an order, and there they are the largest.
        yield "N*", size.fillna(np.inf).item(), found.fillna(np.inf).to_numpy().ravel()
