"""The same posteriors by JAX."""

import sys
from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, quietly, simulated_table, simulated_tasks

import bayescale as bs
from bayescale.errors import BayescaleError, FitError
from bayescale.laws import LAWS
from bayescale.modelling.inputs import completed, names_read
from bayescale.modelling.jaxed import require_jax
from bayescale.modelling.priors import Prior
from bayescale.posterior.fitting import target_of
from bayescale.runs.tasks import as_runs

slow = pytest.mark.slow
SHORT = {"draws": 500, "tune": 500}


def families() -> pd.DataFrame:
    """Simulate three families of runs, of which each has its own level."""
    each = [
        simulated_table(seed=seed, E=level).assign(family=f"family {seed}")
        for seed, level in enumerate((1.6, 1.7, 1.9))
    ]
    return pd.concat(each, ignore_index=True)


def curve() -> pd.DataFrame:
    """Simulate a curve along compute."""
    flops = np.geomspace(1e18, 1e22, 20)
    loss = 1.8 + 4e4 * flops**-0.25
    noise = np.random.default_rng(3).normal(0, 0.005, 20)
    return pd.DataFrame({"flops": flops, "loss": loss * np.exp(noise)})


def one_task() -> pd.DataFrame:
    """Simulate runs with the accuracy of one task."""
    table = simulated_tasks()
    return table[table["task"] == "piqa"].assign(flops=lambda own: 6 * own.params * own.tokens)


def repeated() -> pd.DataFrame:
    """Simulate runs on data that they see up to 64 times."""
    params, epochs, unique = (
        grid.ravel() for grid in np.meshgrid([1e8, 4e8, 1.6e9], [1, 2, 8, 64], [1e9, 4e9, 1.6e10])
    )
    table = pd.DataFrame({"params": params, "tokens": epochs * unique, "unique_tokens": unique})
    worth = {"R_D": 8.0, "R_N": 5.3, "r_N": 0.0}
    loss = LAWS["data_constrained"](params, epochs * unique, unique, **TRUTH, **worth)
    noise = np.random.default_rng(1).normal(0, 0.003, len(table))
    return table.assign(loss=loss * np.exp(noise))


TABLES = {
    "power-law": curve,  # which may bend
    "chinchilla": simulated_table,
    "chinchilla-hierarchical": families,
    "chinchilla-bend": simulated_table,
    "data-constrained": repeated,
    "accuracy-power-law": one_task,
}


@pytest.fixture
def _jax():
    for name in ("jax", "numpyro"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'bayescale[jax]'")


def apart(one: bs.Fit, other: bs.Fit) -> float:
    """Return the largest difference of means of free variables, in combined standard errors."""
    free = list(target_of(one.spec, one.runs).density.variables)
    first, second = (
        az.summary(own.tree, var_names=[v.name for v in free], round_to="none")
        for own in (one, other)
    )
    error = np.hypot(first["mcse_mean"], second["mcse_mean"])
    return float(((first["mean"] - second["mean"]) / error).abs().max())


def test_a_backend_that_is_unknown_or_not_installed_is_refused(monkeypatch):
    with pytest.raises(FitError, match=r"no backend 'jacks'.*jax"):
        bs.fit(simulated_table(), "chinchilla", backend="jacks")
    with pytest.raises(BayescaleError, match="backend must be"):
        bs.fit(simulated_table(), "chinchilla", backend=1)
    monkeypatch.setitem(sys.modules, "numpyro", None)
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(FitError, match=r"not installed \(jax\); pip install 'bayescale\[jax\]'"):
        require_jax()


@slow
@pytest.mark.usefixtures("_jax")
@pytest.mark.parametrize("model", TABLES)
def test_the_density_is_the_default_one(model):
    spec = bs.load_model(model)
    runs = completed(
        spec, quietly(as_runs, TABLES[model](), spec.response.column, {}, names_read(spec))
    )
    one, other = (target_of(spec, runs, name) for name in ("jax", "nutpie"))
    by_jax, default = (own.density.evaluator(other.data) for own in (one, other))
    rough = spec.noise == "RepetitionExcess"  # PyMC's ExGaussian has a constant of single precision
    for seed in range(3):
        flat = other.start + np.random.default_rng(seed).normal(0, 0.3, other.density.size)
        (value, slope), (expected, slopes) = by_jax(flat), default(flat)
        assert value == pytest.approx(expected, rel=1e-7 if rough else 1e-9)
        least = (1e-6 if rough else 1e-8) * np.abs(slopes).max()
        np.testing.assert_allclose(slope, slopes, rtol=1e-5 if rough else 1e-7, atol=least)
    assert by_jax(flat + 0.01)[0] != pytest.approx(expected, rel=1e-7)


@slow
@pytest.mark.usefixtures("_jax")
@pytest.mark.parametrize("model", TABLES)
def test_the_posterior_is_the_default_one(model):
    table = TABLES[model]()
    by_jax = quietly(bs.fit, table, model, backend="jax", **SHORT)
    default = quietly(bs.fit, table, model, **SHORT)
    assert by_jax.diagnostics.converged, by_jax.problems
    assert by_jax.posterior.sizes == default.posterior.sizes
    assert apart(by_jax, default) < 4


@slow
@pytest.mark.usefixtures("_jax")
def test_many_tables_at_once_are_each_alone_and_another_prior_is_another_posterior(tmp_path):
    tables = [simulated_table(seed=seed) for seed in (0, 1)] + [simulated_table().iloc[:24]]
    found = quietly(bs.fit_tables, tables, "chinchilla", **SHORT, seed=3)
    alone = quietly(bs.fit, tables[1], "chinchilla", backend="jax", **SHORT, seed=4)
    assert [len(own.runs) for own in found] == [30, 30, 24]
    assert apart(found[1], alone) < 4
    assert apart(found[1], found[0]) > 4
    # Draws of another prior are told from these.
    spec, other = alone.spec, {"dist": "LogNormal", "mu": -0.36, "sigma": 0.05}
    tight = replace(spec, priors={**spec.priors, "alpha": Prior.parse(other, "alpha")})
    assert apart(quietly(bs.fit, tables[1], tight, **SHORT), found[1]) > 4
    loaded = bs.load_fit(found[0].save(tmp_path / "fit.nc"))
    assert loaded.tree.attrs["backend"] == "jax"
    assert loaded.posterior.equals(found[0].posterior)
    assert bs.answer_optima(loaded, [1e22]).numbers


def test_a_table_that_cannot_be_fitted_is_named():
    with pytest.raises(FitError, match="table 2: "):
        quietly(bs.fit_tables, [simulated_table(), simulated_table().iloc[:2]], "chinchilla")
    alike = families().assign(family="llama")
    with pytest.raises(FitError, match="table 2: every run has the family 'llama'"):
        quietly(bs.fit_tables, [families(), alike], "chinchilla-hierarchical")


@slow
@pytest.mark.usefixtures("_jax")
def test_a_table_that_did_not_converge_says_so():
    (found,) = quietly(bs.fit_tables, [simulated_table()], "chinchilla", draws=20, tune=20)
    assert found.problems


def test_the_shell_refuses_an_unknown_backend(run, tmp_path):
    simulated_table().to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run("fit", "runs.csv", "--model", "chinchilla", "--backend", "jacks")
    assert code != 0
    assert "no backend 'jacks'" in err
    assert not (tmp_path / "fit.nc").exists()


@slow
@pytest.mark.usefixtures("_jax")
def test_the_shell_fits_by_jax_and_everything_after_it_works(run, tmp_path):
    simulated_table().to_csv(tmp_path / "runs.csv", index=False)
    of = ("--model", "chinchilla", "--backend", "jax", "--draws", "500", "--tune", "500")
    code, out, err = run("fit", "runs.csv", *of, "--out", "by-jax.nc")
    assert code == 0, err
    assert "alpha" in out
    assert bs.load_fit(tmp_path / "by-jax.nc").tree.attrs["backend"] == "jax"
    code, out, err = run("optima", "by-jax.nc", "--flops", "1e22")
    assert code == 0, err
    assert "For 1e22 FLOPs" in out
