import ctypes
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pymc as pm
import pytensor
import pytest
import xarray as xr
from conftest import simulated_table
from pytensor.compile.mode import get_mode
from scipy import stats
from test_build import BOTH, OF_NUMBERS, grouped_runs, on_line, point

from bayescale import fit, read_runs
from bayescale.errors import RunsWarning
from bayescale.laws import onto_line
from bayescale.modelling import compiling
from bayescale.modelling.build import build_model, draw_prior, model_data
from bayescale.modelling.compiling import CENTRE, SCALE, Variable, compile_density, slots_of
from bayescale.modelling.spec import load_model
from bayescale.posterior.sampling import compile_model

slow = pytest.mark.slow
# Python adds no more than 32 terms at once; the distributor takes most of the time for bowls.
SLOW_TO_REWRITE = ("fusion", "local_add_canonizer", "local_greedy_distributor")
PLAIN = get_mode("FAST_COMPILE").excluding(*SLOW_TO_REWRITE)


def call(density, flat, data):
    """Log density and gradient by the C function; its status."""
    table, arrays = density.bind(data)
    pointer = ctypes.POINTER(ctypes.c_double)
    gradient, value = np.zeros(density.size), np.zeros(1)
    flat = np.ascontiguousarray(flat, dtype=float)
    status = density.function.ctypes(
        density.size,
        *(array.ctypes.data_as(pointer) for array in (flat, gradient, value)),
        table.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)),
    )
    assert len(arrays) == 1 + sum(slot.ndim > 0 for slot in density.slots)
    return status, value[0], gradient


def target(spec, runs):
    from bayescale.posterior.fitting import target_of

    return target_of(spec, runs)


def compiled_models():
    """Those looked at beside chinchilla, in the studies: each takes seconds to compile.

    Of each noise the one with most pooled coordinates, and of what else a model can have, an
    example. Laws that are made of the same functions differ by their formulas alone, which have
    tests of their own.
    """
    specs = {name: load_model(name) for name in OF_NUMBERS}
    by_pools = sorted(specs, key=lambda name: len(specs[name].partial))
    richest = {specs[name].noise: name for name in by_pools}.values()
    others = ("chinchilla-bend", "power-law", "mixture-hierarchical", "mixture-joint")
    of_functions = ("bowl-hierarchical", "experts", "farseer", "isoflop-profiles", "shape-basin")
    return sorted({*richest, *BOTH, *others, *of_functions})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chinchilla", "three seeds"),
        *(pytest.param(name, "three seeds", marks=slow) for name in compiled_models()),
        pytest.param("chinchilla-hierarchical", "one seed", marks=slow),
    ],
)
def test_density_and_gradient_are_those_of_the_model(name, kind):
    spec, runs = load_model(name), grouped_runs(kind)
    model, compiled = build_model(spec, runs), target(spec, runs)
    free = point(model)
    flat = np.concatenate(
        [onto_line(v.support, np.ravel(free[v.name])) for v in compiled.density.variables]
    )
    back = compiled.density.split(flat)
    for variable in compiled.density.variables:
        np.testing.assert_allclose(back[variable.name], free[variable.name], rtol=1e-12)
    values = {variable.name: value for variable, value in on_line(model).items()}
    order = [model[v.name] for v in compiled.density.variables]
    slopes = model.compile_dlogp(order, mode=PLAIN)(values)
    terms = model.compile_logp(sum=False, mode=PLAIN)(values)
    size = compiled.density.size
    unmapped = {**compiled.data, CENTRE: np.zeros(size), SCALE: np.eye(size)}  # none takes others
    status, density, gradient = call(compiled.density, flat, unmapped)
    assert status == 0
    rough = spec.noise in ("RepetitionExcess", "Undertuned")  # ExGaussian: single precision
    expected = sum(float(np.sum(term)) for term in terms)
    assert density == pytest.approx(expected, rel=1e-6 if rough else 1e-10)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5 if rough else 1e-8, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chinchilla-hierarchical", "one seed"),
        *((name, "three seeds") for name in ("chinchilla-hierarchical", "data-constrained")),
        ("chinchilla-undertuned", "three seeds"),
    ],
)
def test_prior_draws_are_those_of_the_model(name, kind):
    spec, runs = load_model(name), grouped_runs(kind)
    ours = draw_prior(spec, model_data(spec, runs), seed=5)
    model = build_model(spec, runs)
    variables = [*model.free_RVs, *model.deterministics]
    theirs = pm.draw(variables, draws=1500, random_seed=3, mode="FAST_COMPILE")
    assert set(ours.data_vars) == {variable.name for variable in variables}
    for variable, drawn in zip(variables, theirs, strict=True):
        own = ours[variable.name].to_numpy()[0]
        pairs = [(own, drawn)] if own.ndim == 1 else zip(own.T, drawn.T, strict=True)
        for one, other in pairs:
            assert stats.ks_2samp(one, other).pvalue > 1e-5, variable.name


def normal_model():
    with pm.Model() as model:
        data = {"y": pm.Data("y", np.zeros(3)), "scale": pm.Data("scale", 1.0)}
        mu = pm.Normal("mu", 0.0, 1.0)
        pm.Normal("observed", mu, data["scale"], observed=data["y"])
    return model


GIVEN = {"y": np.array([1.0, 2.0, 4.0]), "scale": 0.5}


def test_data_are_arguments_of_any_length():
    density = compile_density((Variable("mu"),), slots_of(GIVEN, ()), normal_model, None)
    for data in (GIVEN, {"y": np.array([3.0]), "scale": 2.0}):
        status, value, gradient = call(density, [0.7], data)
        expected = stats.norm.logpdf(0.7) + stats.norm(0.7, data["scale"]).logpdf(data["y"]).sum()
        assert (status, value) == (0, pytest.approx(expected, rel=1e-12))
        slope = -0.7 + ((data["y"] - 0.7) / data["scale"] ** 2).sum()
        assert gradient[0] == pytest.approx(slope, rel=1e-12)


def test_a_density_that_is_not_finite_is_a_divergence():
    density = compile_density((Variable("mu"),), slots_of(GIVEN, ()), normal_model, None)
    status, _, _ = call(density, [np.inf], GIVEN)
    assert status in (3, 4)


def test_data_of_another_rank_are_refused():
    density = compile_density((Variable("mu"),), slots_of(GIVEN, ()), normal_model, None)
    with pytest.raises(ValueError, match="y must have 1 dimensions, got 2"):
        density.bind({"y": np.zeros((2, 2)), "scale": 1.0})


def test_a_model_of_other_variables_or_data_is_refused():
    with pytest.raises(ValueError, match="variables of the model"):
        compile_density((Variable("nu"),), slots_of(GIVEN, ()), normal_model, None)
    with pytest.raises(ValueError, match="data of the model"):
        compile_density((Variable("mu"),), slots_of({"y": GIVEN["y"]}, ()), normal_model, None)


def test_code_is_loaded_from_disk_without_the_model(monkeypatch):
    of = (Variable("mu"),), slots_of(GIVEN, ())
    first = compile_density(*of, normal_model, "test of the cache")

    def fail():
        raise AssertionError("the model was built")

    again = compile_density(*of, fail, "test of the cache")
    assert call(again, [0.7], GIVEN)[1] == call(first, [0.7], GIVEN)[1]
    with pytest.raises(AssertionError, match="the model was built"):  # another model
        compile_density(*of, fail, "test of the cache, another")
    monkeypatch.setattr(compiling, "_own_code", lambda: "changed")
    with pytest.raises(AssertionError, match="the model was built"):
        compile_density(*of, fail, "test of the cache")


def test_code_of_a_model_that_cannot_be_named_is_found_by_its_graph():
    def other():
        with normal_model() as model:
            pm.Potential("more", -(model["mu"] ** 2))
        return model

    of = (Variable("mu"),), slots_of(GIVEN, ())
    compile_density(*of, normal_model, None)
    again, changed = (compile_density(*of, build, None) for build in (normal_model, other))
    assert again.function.cache_hits == 1
    difference = call(changed, [0.7], GIVEN)[1] - call(again, [0.7], GIVEN)[1]
    assert difference == pytest.approx(-(0.7**2))


@pytest.mark.skipif(
    not hasattr(pytensor.config, "generated_src_dir"), reason="PyTensor before 3.3 leaves its files"
)
def test_nothing_is_left_among_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    never_before = float(np.random.default_rng().random())

    def model():
        with normal_model() as own:
            pm.Potential("more", -never_before * own["mu"] ** 2)
        return own

    compile_density((Variable("mu"),), slots_of(GIVEN, ()), model, None)
    assert list(tmp_path.iterdir()) == []


def test_draws_do_not_depend_on_what_was_fitted_before():
    runs = read_runs(simulated_table())
    given = {"draws": 50, "tune": 100, "seed": 4, "progress": False}
    compile_model.cache_clear()
    alone = fit(runs, "chinchilla", **given).posterior["alpha"]
    compile_model.cache_clear()
    fit(read_runs(simulated_table(seed=8).iloc[:20]), "chinchilla", **given)
    fit(read_runs(simulated_table()), "kaplan", **given)
    np.testing.assert_array_equal(fit(runs, "chinchilla", **given).posterior["alpha"], alone)


@slow
@pytest.mark.parametrize("model", ["joint", "chinchilla-hierarchical"])
def test_draws_of_pools_and_groups_do_not_depend_on_what_was_fitted_before(model):
    runs = grouped_runs("three seeds")
    given = {"draws": 50, "tune": 100, "progress": False}

    def drawn(seed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RunsWarning)
            return fit(runs, model, seed=seed, **given).posterior

    compile_model.cache_clear()
    alone = drawn(4)
    compile_model.cache_clear()
    fit(read_runs(simulated_table(seed=8).iloc[:20]), "joint", seed=4, **given)
    fit(read_runs(simulated_table()), "kaplan", seed=4, **given)
    xr.testing.assert_identical(drawn(4), alone)
    assert not drawn(5)["alpha"].equals(alone["alpha"])


FIT = """
import bayescale as bs
import pandas as pd
runs = bs.read_runs({path!r})
fitted = bs.fit(runs, "power-law", draws=50, tune=100, seed=4, progress=False)
print(float(fitted.posterior["alpha"].sum()))
"""


def started(path, folder):
    flags = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", FIT.format(path=str(path))],
        env=flags,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@slow
def test_processes_share_an_empty_cache_and_one_that_cannot_be_written_costs_time_only(tmp_path):
    path = tmp_path / "runs.csv"
    simulated_table().to_csv(path, index=False)
    (tmp_path / "file").write_text("a file, not a folder")
    folders = [tmp_path / "empty"] * 2 + [tmp_path / "file" / "below"]
    processes = [started(path, folder) for folder in folders]
    for process in processes:
        process.wait()
    processes.append(started(path, tmp_path / "empty"))  # which now finds the code on disk
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert len({out for out, _ in said}) == 1
    assert list((tmp_path / "empty" / "numba").glob("*log_density*.nbc"))
