import tomllib
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
import tomlkit
import xarray as xr
from conftest import from_line, known_grouped_fit, simulated_table, to_line
from scipy import stats

from bayescale.errors import FitError, RunsError, RunsWarning
from bayescale.laws import LAWS
from bayescale.modelling.build import (
    as_arrays,
    build_model,
    cells_of,
    derived,
    draw_prior,
    inputs_in,
    model_data,
    placed,
    start,
    variables_of,
)
from bayescale.modelling.noise import noise_scale
from bayescale.modelling.pooling import group_names
from bayescale.modelling.spec import ModelSpec, available_models, load_model, parse_model
from bayescale.posterior.fitting import constants_fit, fit
from bayescale.posterior.loading import load_fit
from bayescale.posterior.prediction import log_likelihood, predict, residuals
from bayescale.runs.table import Runs, read_runs

POINT = {
    "eta": 0.1,
    "kappa": 0.05,
    "level": 1.0,
    "reducible": 0.3,
    "split": 0.5,
    "remaining": 0.4,
    "place": -0.3,
    "width": 0.8,
    "alpha": 0.35,
    "beta": 0.37,
    "alpha_N": 0.08,
    "alpha_D": 0.09,
    "R_D": 14.0,
    "R_N": 6.0,
    "r_N": 0.2,
    "size": 0.1,
    "a": 0.52,
    "curvature": 0.06,
    "height": 0.08,
    "asymmetry": 0.7,
    "b": 0.4,
    "skew": 0.45,
    "steepness": 0.8,
    "slope": 0.3,
    "sigma": 0.02,
    "sigma_seed": 0.006,
    "nu": 5.0,
    "excess": 0.03,
    "excess_epochs": 0.5,
    "excess_size": 0.9,
    "excess_interaction": 0.3,
    "share": 0.2,
    "k": 0.8,
    "amplitude_slope": 0.2,
    "exponent_slope": -0.1,
    "floor_bend": 0.05,
    "amplitude_bend": -0.02,
    "exponent_bend": 0.1,
    "gamma": 0.3,
    "luck": 1.2,
    "sharpness": 2.0,
    "eps": 0.7,
    "decay": 3.0,
    "concentration": 900.0,
    "spread": 0.01,
    "scatter": 0.05,
    "second_place": 0.2,
    "second_curvature": 0.03,
    "coupling": 0.8,
    "turn": 0.3,
    "inexact": 0.1,
    "start": 1.2,
    "room": 350.0,
    "gamma_D": 0.4,
    "gamma_N": 0.3,
    "g": 2.5,
    "composed": 0.3,
    **dict.fromkeys(("gamma_A", "gamma_B"), 0.5),
    **dict.fromkeys(("worth", "worth_A", "worth_B", "t", "t_params", "t_tokens"), 0.2),
    **dict.fromkeys(("s_params", "s_tokens"), 0.1),
}
ERRORS = {"bend": "basis", "size_error": "size_basis"}
"""Coefficients of smooth errors, and the dim of each."""

slow = pytest.mark.slow
PLAIN = "FAST_COMPILE"
TABLES = ("one seed", "three seeds")


def by_law(name: str) -> list[pytest.param]:
    """All models have three seeds; one of a law, with its groups, has one seed: the default."""
    kinds = TABLES if f"{name}-hierarchical" not in available_models() else TABLES[1:]
    return [pytest.param(name, kind, marks=slow if kind == "three seeds" else []) for kind in kinds]


@cache
def grouped_runs(kind: str) -> Runs:
    """Runs with every column that a shipped model reads.

    With one seed the groups are alike; with three (of every other run) they differ by 5%.
    """
    tables = [simulated_table(seed=seed) for seed in range(1 if kind == "one seed" else 3)]
    tables[1:] = [table.iloc[::2] for table in tables[1:]]
    table = pd.concat([table.assign(seed=seed) for seed, table in enumerate(tables)])
    which = table.index.to_numpy() % 3
    apart = 0.0 if kind == "one seed" else 0.05
    families = np.array(["moe", "transformer", "ssm"])[which]
    known = np.exp(-table["loss"] / 2)
    return read_runs(
        table.assign(
            family=families,
            task=families,
            bpb=0.4 + 20 * table["params"] ** -0.2 + 30 * table["tokens"] ** -0.2,
            accuracy=np.round(500 * (0.25 + 0.75 * known)) / 500,
            chance=0.25,
            trials=500.0,
            unique_tokens=table["tokens"] / (1 + 2 * which),
            budget=(6 * table["params"] * table["tokens"]).map("{:.3g}".format).astype(float),
            loss=table["loss"] * (1 + apart * which),
            learning_rate=1e-4 * (table["tokens"] / table["params"]) ** 0.5,
            batch_size=table["tokens"] ** 0.4 * (1 + apart * which),
            batch_size_tokens=4096 * table["tokens"] ** 0.4 * (1 + apart * which),
            batch_tokens=4096 * table["tokens"] ** 0.4,
            steps=2000 * (1 + 4e7 / table["tokens"] ** 0.75) * (1 + apart * which),
            width=256 * 2**which,
            curve=families,
            cell=families,
            size=np.where(which == 2, "small", "large"),
            ceiling=(table["loss"] * (1 + apart * which)).where(table.index % 7 == 0),
            active_params=table["params"] / (1 + 0.3 * (4.0**which - 1)),
            experts=4.0**which,
            router_type=families,
            bits_per_weight=3.0 + table.index.to_numpy() % 4,
            weight_bits=3.0 + table.index.to_numpy() % 4,
            loss_increase=0.2 * np.exp(-1.3 * (table.index.to_numpy() % 4)) * (1 + apart * which),
            model=families,
            target=families,
            trained=families,
            w_web=0.3 + 0.2 * which,
            w_code=0.7 - 0.2 * which,
            aspect_ratio=40 * (table["params"] / 1e9) ** 0.3 * (1 + which),
        )
    )


def point(model: pm.Model) -> dict[str, np.ndarray]:
    """Give every free variable a value, and every group one of its own."""
    given = {}
    for rv in model.free_RVs:
        name, _, part = rv.name.rpartition("_")
        of = "cluster" if "_cluster_" in rv.name else "group"
        sizes = [len(model.coords[dim]) for dim in model.named_vars_to_dims.get(rv.name) or ()]
        apart = np.linspace(-1.5, 1.0, len(model.coords.get(of) or ()))
        apart = apart.reshape(-1, *[1] * (len(sizes) - 1))  # parts of a mixture come last
        if part == "anchor":
            given[rv.name] = to_line(name, POINT[name]) * np.ones(sizes)
        elif part == "offset":
            given[rv.name] = apart * np.ones(sizes)
        elif part == "effect":
            given[rv.name] = np.linspace(-1.0, 2.0, *sizes)
        elif part == "scale" or "_along_" in rv.name:
            given[rv.name] = 0.1
        elif rv.name in ERRORS:
            given[rv.name] = np.linspace(-1.0, 2.0, len(model.coords[ERRORS[rv.name]]))
        else:
            grouped = of in (model.named_vars_to_dims.get(rv.name) or ())
            given[rv.name] = POINT[rv.name] * (1 + 0.05 * apart if grouped else 1) * np.ones(sizes)
    return {name: np.asarray(value, dtype=float) for name, value in given.items()}


def on_line(model: pm.Model) -> dict[Any, np.ndarray]:
    """`point` as the density takes it, by PyMC's own transforms."""
    values, free = {}, point(model)
    for rv in model.free_RVs:
        transform, number = model.rvs_to_transforms[rv], free[rv.name]  # not float32
        moved = None if transform is None else transform.forward(number)
        values[model.rvs_to_values[rv]] = number if moved is None else moved.eval(mode=PLAIN)
    return values


def evaluate(model: pm.Model, variable: str = "log_loss") -> dict[str, np.ndarray]:
    """Log density of every cell at `point`, from PyMC's own graph, and all values there."""
    values = on_line(model)
    [density] = model.logp(vars=[model[variable]], sum=False)
    graphs = model.replace_rvs_by_values([density, *model.deterministics])
    names = ["log_density", *(variable.name for variable in model.deterministics)]
    compiled = pytensor.function(list(values), graphs, mode=PLAIN, on_unused_input="ignore")
    return {**point(model), **dict(zip(names, compiled(*values.values()), strict=True))}


@cache
def evaluated(name: str, kind: str) -> tuple[pm.Model, dict[str, np.ndarray]]:
    """A shipped model of `grouped_runs` and what its graph says at `point`."""
    spec = load_model(name)
    model = build_model(spec, grouped_runs(kind))
    return model, evaluate(model, spec.response.variable)


# Of mixtures: test_laws_of_mixtures.py, whose parameters are vectors.
OF_NUMBERS = [name for name in available_models() if not load_model(name).law.role("shares")]


@pytest.mark.parametrize(("name", "kind"), [one for name in OF_NUMBERS for one in by_law(name)])
def test_likelihood_equals_the_law_in_numpy(name, kind):
    spec, runs = load_model(name), grouped_runs(kind)
    model, found = evaluated(name, kind)
    cells = cells_of(spec, runs).table
    # Shares of successes are counted run by run, and bounds are of single runs.
    apart = spec.response.scale == "share" or spec.noise == "Swept" or spec.group == "run"
    number = len(runs) if apart else 30
    assert len(cells) == number
    index = np.zeros(number, dtype=int)
    if spec.group:
        names = group_names(spec, runs)
        index = np.array([names.index(label) for label in cells[spec.group].astype(str)])

    def at_cells(value):
        return value[index] if np.ndim(value) else value

    inputs = {column: cells[column].to_numpy() for column in spec.inputs}
    of_group = index if spec.reference == "group" else np.zeros_like(index)
    logs = (np.log(values) for values in inputs.values())
    sizes = np.bincount(of_group)
    # All have one chance level, which is its own geometric mean.
    reference = tuple(np.exp(np.bincount(of_group, own) / sizes)[of_group] for own in logs)
    sampled = {coordinate: at_cells(found[coordinate]) for coordinate in spec.priors}
    noise = {name: at_cells(found[name]) for name in spec.noise_priors if name in found}
    of_seeds = "sigma_seed" in spec.noise_priors
    assert ("sigma_seed" in noise) == (of_seeds and kind == "three seeds" and not apart)
    said = spec.law(*inputs.values(), **spec.law.to_natural(sampled, reference))
    centre = spec.response.onto(said)
    for error in ERRORS:
        if error in found:
            centre = centre + model[f"{error}_basis"].get_value() @ found[error]
    assert ("bend" in found) == (spec.bend is not None)
    least = at_cells(found[spec.law.least]) if spec.law.least else 1.0
    rise = centre - np.log(least)
    scale = noise_scale(noise, cells["replicates"].to_numpy(), rise)
    y = cells["observed"].to_numpy()
    ceiling = cells["ceiling"].fillna(np.inf).to_numpy()
    inputs |= {"trials": np.full(number, 500.0), "ceiling": ceiling}
    ours = spec.noise_model.log_density(y, centre, scale, noise, inputs)
    # PyMC's ExGaussian is computed with the square root of 2 in single precision.
    rough = spec.noise in ("RepetitionExcess", "Undertuned")
    np.testing.assert_allclose(
        found["log_density"], ours, rtol=5e-8 if rough else 1e-10, atol=5e-8 if rough else 1e-10
    )
    if spec.noise in ("Normal", "StudentT"):
        seeds = noise.get("sigma_seed", 0.0)
        scale = np.sqrt(noise["sigma"] ** 2 + seeds**2 / cells["replicates"].to_numpy() + 1e-8)
        normal = spec.noise == "Normal"
        family = stats.norm(centre, scale) if normal else stats.t(noise["nu"], centre, scale)
        np.testing.assert_allclose(found["log_density"], family.logpdf(y), rtol=1e-10, atol=1e-10)


# Groups that are alike, with one seed, are sampled in another form than those that differ.
BOTH = ("chinchilla-hierarchical", "data-constrained-hierarchical", "task-loss-hierarchical")
FOLLOWS = [
    *((name, "one seed") for name in BOTH),
    *((n, "three seeds") for n in available_models() if n in OF_NUMBERS or "hierarchical" in n),
]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[] if kind == "one seed" or name == "chinchilla" else slow)
        for name, kind in FOLLOWS
    ],
)
def test_what_follows_from_free_variables_is_that_of_the_model(name, kind):
    spec, (model, found) = load_model(name), evaluated(name, kind)
    data = model_data(spec, grouped_runs(kind))
    assert data.keys() == {variable.name for variable in model.data_vars}
    variables = variables_of(spec, data)
    assert {v.name for v in variables} == {rv.name for rv in model.free_RVs}
    free = as_arrays(spec, point(model))
    for variable in variables:
        free[variable.name] = free[variable.name].rename(
            dict(zip(free[variable.name].dims, variable.dims, strict=True))
        )
    values = derived(spec, free, as_arrays(spec, data))
    assert set(values) == {variable.name for variable in model.deterministics}
    for name, value in values.items():
        np.testing.assert_allclose(value, found[name], rtol=1e-10)
    assert len(start(spec, data)) == sum(variable.size for variable in variables)


def log_density(model: pm.Model, raised: float = 0.0) -> float:
    """Log density of the model at `point`, with every level raised."""
    values = on_line(model)
    for rv in model.free_RVs:  # levels are on the line as they are
        if rv.name in ("level", "level_anchor"):
            values[model.rvs_to_values[rv]] = values[model.rvs_to_values[rv]] + raised
        if rv.name == "level_offset" and "level_centring" in model.named_vars:
            share = model["level_centring"].get_value()
            values[model.rvs_to_values[rv]] = values[model.rvs_to_values[rv]] + raised * share
    graphs = model.logp(sum=False)  # Python adds no more than 32 terms at once
    compiled = pytensor.function(list(values), graphs, mode=PLAIN)
    return float(sum(density.sum() for density in compiled(*values.values())))


MODEL_OF = {load_model(name).law.name: name for name in available_models()}


def over_families(model: str, *partial: str) -> ModelSpec:
    """Pool these parameters of a model partially over the column ``family``, and no others."""
    entries = tomllib.loads(load_model(model).source)
    for key in ("group", "bend", "size_error", "members"):
        entries.pop(key, None)
    entries |= {"pooling": dict.fromkeys(partial, "partial")}
    entries |= {"scales": {name: {"dist": "HalfNormal", "sigma": 0.2} for name in partial}}
    return parse_model(tomlkit.dumps({"group": "family", **entries}), "own")


@pytest.mark.parametrize(
    ("law", "partial"),
    [
        pytest.param(law, (name,), id=f"{law}-{name}", marks=marks)
        for law, marks in (("power_law", []), ("mixture_joint", slow))  # which has vectors
        for name in LAWS[law].coordinates.names
    ]
    + [
        pytest.param(
            law,
            LAWS[law].coordinates.names,
            id=f"{law}-all",
            marks=[] if law in ("power_law", "chinchilla") else slow,
        )
        for law in LAWS
    ],
)
def test_any_coordinate_of_any_law_can_differ_between_groups(law, partial):
    spec, runs = over_families(MODEL_OF[law], *partial), grouped_runs("three seeds")
    model = build_model(spec, runs)
    assert spec.partial == partial
    assert {f"{name}_{part}" for name in partial for part in ("population", "scale")} <= set(
        model.named_vars
    )
    assert np.isfinite(log_density(model))
    for name in partial:
        assert model[name].ndim == 1 + bool(spec.along(name))


def in_other_units(runs: Runs, factor: float) -> Runs:
    """Multiply what models say of the runs: losses, and the batch sizes of a growing quantity."""
    names = ("loss", "ceiling", "bpb", "batch_size", "steps", "loss_increase")
    said = {name: factor * runs.table[name] for name in names}
    return replace(runs, table=runs.table.assign(**said))


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        *((name, 100.0) for name in available_models() if load_model(name).response.scale == "log"),
        ("chinchilla", 0.01),
        ("chinchilla", 1 / np.log(2)),  # bits for nats
    ],
)
def test_data_of_a_model_are_the_same_in_any_unit_of_loss(name, factor):
    """But for the log losses and the middle of the level's prior, which move together."""
    spec, runs = load_model(name), grouped_runs("three seeds")
    own, raised = model_data(spec, runs), model_data(spec, in_other_units(runs, factor))
    moved = {"observed", "level_prior_mu", "level_anchor_prior_mu"}
    for data in own.keys() & raised.keys():
        by = np.log(factor) if data in moved else 0.0
        if data == "input_ceiling":
            by = own[data] * (factor - 1)
        np.testing.assert_allclose(raised[data], own[data] + by, rtol=1e-3, atol=1e-4, err_msg=data)
    assert own.keys() == raised.keys()
    assert moved & own.keys() > {"observed"}
    assert np.ptp(start(spec, raised) - start(spec, own)) > 0  # chains start about these levels


@pytest.mark.parametrize(
    "name",
    ["chinchilla", *(pytest.param(n, marks=slow) for n in ("chinchilla-hierarchical", "joint"))],
)
def test_posterior_of_the_relative_level_is_the_same_in_any_unit_of_loss(name):
    source, runs = load_model(name).source, grouped_runs("three seeds")
    absolute = source.replace('about = "runs", mu = 0.0', "mu = 1.163")

    def change(text: str) -> float:
        """Of the density, where losses are 100 times as high and so are the levels."""
        spec = parse_model(text, "mine").each_member[0]
        other = build_model(spec, in_other_units(runs, 100.0))
        return log_density(other, np.log(100.0)) - log_density(build_model(spec, runs))

    assert change(source) == pytest.approx(0.0, abs=1e-3)
    assert change(absolute) < -10  # the control


def test_runs_without_weight_have_no_centre():
    spec, runs = load_model("chinchilla"), read_runs(simulated_table())
    with pytest.raises(RunsError, match=r"weight 0, .* take about out"):
        build_model(spec, runs, weights=np.zeros(len(runs)))
    remedy = spec.source.replace('about = "runs", ', "")
    build_model(parse_model(remedy, "own"), runs, weights=np.zeros(len(runs)))


def test_a_part_of_the_runs_has_a_centre_of_its_own():
    spec, runs = load_model("chinchilla"), read_runs(simulated_table())
    large = runs.table["loss"] < runs.table["loss"].median()
    weights = large.to_numpy(dtype=float)
    own = model_data(spec, replace(runs, table=runs.table[large]))["level_prior_mu"]
    assert own == pytest.approx(np.log(runs.table["loss"][large]).mean())
    assert model_data(spec, runs, weights)["level_prior_mu"] == pytest.approx(own)
    assert model_data(spec, runs)["level_prior_mu"] > own + 0.05


@pytest.mark.parametrize("kind", TABLES)
def test_groups_lie_at_normal_distances_from_their_population(kind):
    """Both forms of sampling: theta_g = m + tau z_g, whatever is sampled in place of m and z."""
    spec, runs = load_model("chinchilla-hierarchical"), grouped_runs(kind)
    model = build_model(spec, runs)
    found, data = evaluate(model), {v.name: v.get_value() for v in model.data_vars}
    centred = [name for name in spec.partial if f"{name}_centring" in data]
    assert ("level" in centred) == (kind == "three seeds")
    for name in spec.partial:
        line, tau = to_line(name, found[name]), found[f"{name}_scale"]
        middle = to_line(name, found[f"{name}_population"])
        u, anchor = found[f"{name}_offset"], found[f"{name}_anchor"]
        if name in centred:
            share = data[f"{name}_centring"]
            z = (u - share * anchor) / tau**share
            assert middle == pytest.approx(anchor)
        else:
            z, weight = u, data[f"{name}_weight"]
            assert (weight * line).sum() == pytest.approx(anchor)
        np.testing.assert_allclose(line, middle + tau * z, rtol=1e-10, atol=1e-12)
        assert np.ptp(line) > 0.01
        np.testing.assert_allclose(from_line(name, line), found[name], rtol=1e-12)


@slow
@pytest.mark.parametrize("kind", TABLES)
def test_prior_of_a_population_is_the_one_stated(kind):
    """The density of anchor and offsets is that of m and z, up to the change of variables."""
    spec, runs = load_model("chinchilla-hierarchical"), grouped_runs(kind)
    model = build_model(spec, runs)
    found, data = evaluate(model), {v.name: v.get_value() for v in model.data_vars}
    for name in spec.partial:
        tau = found[f"{name}_scale"]
        middle = to_line(name, found[f"{name}_population"])
        z = (to_line(name, found[name]) - middle) / tau
        expected = stats.norm(*placed(spec, data).sampled[name].on_line()).logpdf(middle)
        expected += stats.norm.logpdf(z).sum()
        jacobian = (data.get(f"{name}_centring", np.zeros(1)) * np.log(tau)).sum()  # z to offset
        density = sum(
            evaluate(model, f"{name}_{part}")["log_density"].sum() for part in ("anchor", "offset")
        )
        assert density == pytest.approx(expected - jacobian, rel=1e-9)


def test_run_without_a_group_is_refused():
    runs, spec = grouped_runs("one seed"), load_model("chinchilla-hierarchical")
    families = runs.table["family"].where(runs.table.index != 4)
    with pytest.raises(RunsError, match=r"'family', row 5: no group; .*family.notna\(\)"):
        build_model(spec, Runs(runs.table.assign(family=families), "test"))


def test_one_group_is_refused():
    runs, spec = grouped_runs("one seed"), load_model("chinchilla-hierarchical")
    with pytest.raises(RunsError, match=r"every run has the family 'ssm': .* --group"):
        build_model(spec, Runs(runs.table.assign(family="ssm"), "test"))


def test_missing_group_column_is_refused():
    runs, spec = grouped_runs("one seed"), load_model("chinchilla-hierarchical")
    with pytest.raises(RunsError, match="groups of the column 'family', which the runs lack"):
        build_model(spec, Runs(runs.table.drop(columns="family"), "test"))


def test_groups_that_are_numbers_are_sorted_by_size():
    runs = Runs(pd.DataFrame({"family": [1e19, 3e18, 6e17]}), "test")
    spec = load_model("chinchilla-hierarchical")
    assert group_names(spec, runs) == ("6e+17", "3e+18", "1e+19")


def test_natural_parameters_are_deterministics():
    model = build_model(load_model("chinchilla"), read_runs(simulated_table()))
    assert {v.name for v in model.deterministics} == {"E", "A", "B"}
    assert {v.name for v in model.free_RVs} == {
        "level",
        "reducible",
        "split",
        "alpha",
        "beta",
        "sigma",
        "nu",
    }


def total(model):
    point = model.initial_point()
    return float(model.compile_logp(mode="FAST_COMPILE")(point))


def test_weight_zero_is_a_dropped_run():
    spec, runs = load_model("chinchilla"), read_runs(simulated_table())
    weights = np.ones(30)
    weights[[3, 17]] = 0
    kept = Runs(runs.table[weights > 0], "test")
    weighted, dropped = build_model(spec, runs, weights), build_model(spec, kept)
    for name in ("reference_params", "reference_tokens"):  # the same coordinates on both sides
        dropped[name].set_value(weighted[name].get_value())
    assert total(weighted) == pytest.approx(total(dropped), rel=1e-12)
    assert total(build_model(spec, runs)) != pytest.approx(total(dropped), rel=1e-6)


def test_weights_of_one_change_nothing():
    spec, runs = load_model("chinchilla"), read_runs(simulated_table())
    assert total(build_model(spec, runs, np.ones(30))) == total(build_model(spec, runs))


def test_priors_are_data():
    model = build_model(load_model("chinchilla"), read_runs(simulated_table()))
    before = total(model)
    with model:
        pm.set_data({"alpha_prior_mu": 3.0})
    assert total(model) < before


ODD_NAMES = ("sigma", "alpha", "E", "obs", "reference_x", "decayed_weight", "observed_log_loss")
"""Of a column of the table that is, or looks like, the name of something in the model."""


@slow
def test_axis_may_have_the_name_of_a_part_of_the_model():
    def density(column):
        runs = read_runs(simulated_table().assign(**{column: lambda table: table["tokens"]}))
        source = load_model("power-law").source.replace('axis = "flops"', f'axis = "{column}"')
        spec = parse_model(source, "own").exact
        assert spec.inputs == (column,)
        data = model_data(spec, runs)
        np.testing.assert_array_equal(inputs_in(spec, data)[column], runs.table["tokens"])
        model = build_model(spec, runs)
        assert {v.name for v in model.data_vars} == set(data)
        found = evaluate(model)
        constants = {name: found[name] for name in ("E", "A", "alpha", "sigma", "nu")}
        fixed = constants_fit("power-law", **constants)
        own = replace(fixed, spec=spec, runs=runs)
        np.testing.assert_allclose(
            log_likelihood(own).squeeze(), found["log_density"], rtol=1e-9, atol=1e-9
        )
        at = predict(own, {column: runs.table["tokens"]}).squeeze()
        table = residuals(own)
        np.testing.assert_allclose(table["fitted"], at, rtol=1e-12)
        np.testing.assert_array_equal(table[column], runs.table["tokens"])
        return found["log_density"]

    usual = density("epochs")
    for axis in ODD_NAMES:
        np.testing.assert_array_equal(density(axis), usual, err_msg=axis)


@slow
def test_sampled_fit_of_a_bending_law_along_an_axis_named_as_a_parameter(tmp_path):
    table = simulated_table().drop(columns="params").rename(columns={"tokens": "alpha"})
    source = load_model("power-law").source.replace('axis = "flops"', 'axis = "alpha"')
    short = {"draws": 50, "tune": 100, "chains": 2, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        found = fit(read_runs(table), parse_model(source, "own"), **short)
    assert found.bends
    for own in (found, load_fit(found.save(tmp_path / "fit.nc"))):
        np.testing.assert_array_equal(residuals(own)["alpha"], table["alpha"])
        assert log_likelihood(own).sizes["obs"] == len(table)
        assert float(predict(own, {"alpha": 1e10}).median()) == pytest.approx(2.6, rel=0.3)


LABELS = {
    "of columns": ("loss", "replicates", "weight"),
    "of dims": ("chain", "draw", "group", "obs"),
    "of variables": ("E", "alpha", "log_loss", "sigma"),
}


@slow
@pytest.mark.parametrize(
    ("column", "kind"), [("group", "of columns"), ("obs", "of dims"), ("draw", "of variables")]
)
def test_groups_and_their_column_may_have_names_of_parts_of_the_model(column, kind):
    labels = LABELS[kind]
    known = known_grouped_fit(**{name: {"E": 1.5 + 0.1 * i} for i, name in enumerate(labels)})
    table = known.runs.table.assign(**{column: known.runs.table["family"]})
    spec, runs = known.spec.grouped_by(column), Runs(table, "test")
    own, at = replace(known, spec=spec, runs=runs), {"params": 1e9, "tokens": 2e10}
    assert own.groups == labels
    plain = evaluate(build_model(known.spec, known.runs))
    np.testing.assert_array_equal(
        evaluate(build_model(spec, runs))["log_density"], plain["log_density"]
    )
    np.testing.assert_array_equal(log_likelihood(own), log_likelihood(known))
    every = predict(own, at)
    for label in labels:
        alone = predict(own, {**at, column: label})
        np.testing.assert_array_equal(alone, every.sel(group=label))
        np.testing.assert_array_equal(alone, predict(own.of_group(label), at))
    added = ["fitted", "residual", "predicted_q05", "predicted_q95"]
    found = residuals(own)
    np.testing.assert_array_equal(found[added], residuals(known)[added])
    np.testing.assert_array_equal(found[column], table["family"])


@pytest.mark.parametrize("model", ["chinchilla-hierarchical", "joint"])
def test_prior_draws_of_a_parameter_are_the_same_whatever_else_there_is(model):
    spec, runs = load_model(model), grouped_runs("three seeds")
    one_seed = read_runs(runs.table[runs.table["seed"] == 0])
    others = [
        (spec, one_seed),  # no sd between seeds
        (replace(spec, pooling={}, scales={}, group=None), runs),
        (replace(spec, noise_priors=dict(reversed(spec.noise_priors.items()))), runs),
        (replace(spec, bend=None, size_error=None), runs),
    ]
    others += [(member, runs) for member in spec.each_member]  # one has a fixed coordinate
    draws = draw_prior(spec, model_data(spec, runs), seed=5)
    alone = {"level", "nu", "sigma_seed"} - set(spec.partial)
    assert not np.array_equal(draws["nu"], draw_prior(spec, model_data(spec, runs), seed=6)["nu"])
    centre = placed(spec, model_data(spec, runs)).priors["level"]
    for other, table in others:
        # A prior about the runs has another middle where it reads other runs.
        other = replace(other, priors={**other.priors, "level": centre})
        found = draw_prior(other, model_data(other, table), seed=5)
        for name in alone & set(found):
            np.testing.assert_array_equal(found[name], draws[name], err_msg=name)


def test_fit_saved_with_inputs_under_their_plain_names_is_read(tmp_path):
    known = known_grouped_fit(a={}, b={})
    data = known.tree["constant_data"].to_dataset()
    known.tree["constant_data"] = data.rename(input_params="params", input_tokens="tokens")
    again = load_fit(known.save(tmp_path / "fit.nc"))
    xr.testing.assert_equal(again.tree["constant_data"].to_dataset(), data)
    known.tree["constant_data"] = data.drop_vars("input_params")
    with pytest.raises(FitError, match=r"fit\.nc: this fit is not whole"):
        load_fit(known.save(tmp_path / "fit.nc"))
