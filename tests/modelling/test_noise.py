import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from conftest import TRUTH, simulated_table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bayescale import Status, check_fit, compute_optimal, constants_fit, fit, read_runs
from bayescale.errors import RunsWarning
from bayescale.modelling.noise import NOISE as KINDS
from bayescale.modelling.noise import RepetitionExcess, Undertuned, noise_scale

NOISE = RepetitionExcess()
VALUES = {
    "sigma": 0.02,
    "excess": 0.01,
    "excess_epochs": 0.5,
    "excess_size": 0.9,
    "excess_interaction": 0.3,
}
RUNS = {
    "params": np.array([7e6, 8e8, 8e8, 8e8, 3e9, 9e9]),
    "tokens": np.array([2e9, 1e11, 1e9, 1e9, 3e10, 1e11]),
    "unique_tokens": np.array([2e9, 2e11, 9e8, 1e8, 1e9, 1e8]),
}


def runs(**columns):
    columns = np.broadcast_arrays(*np.atleast_1d(*columns.values()))
    return {
        name: xr.DataArray(column, dims="obs") for name, column in zip(RUNS, columns, strict=True)
    }


@pytest.mark.parametrize("residual", [-0.6, -0.02, 0.0, 0.05, 3.0])
def test_density_equals_pymcs_and_scipys(residual):
    y, mu, scale = residual + np.linspace(0.9, 1.6, 6), np.linspace(0.9, 1.6, 6), 0.021
    tensors = {name: pt.as_tensor_variable(column) for name, column in RUNS.items()}
    given = {name: pt.as_tensor_variable(np.float64(value)) for name, value in VALUES.items()}
    dist, arguments = NOISE.pymc(
        pt.as_tensor_variable(mu), pt.as_tensor_variable(np.float64(scale)), given, tensors
    )
    expected = pm.logp(dist.dist(**arguments), y).eval(mode="FAST_COMPILE")
    density = NOISE.log_density(y, mu, scale, VALUES, RUNS)
    # PyMC's normal_lcdf takes the square root of 2 in single precision.
    np.testing.assert_allclose(density, expected, rtol=1e-10, atol=5e-8)
    centre, _, nu = (argument.eval(mode="FAST_COMPILE") for argument in arguments.values())
    exact = stats.exponnorm.logpdf(y, nu / scale, loc=centre, scale=scale)
    np.testing.assert_allclose(density, exact, rtol=1e-10, atol=1e-10)


def test_draws_follow_the_density():
    inputs = runs(**{name: column[[0, 3, 4]] for name, column in RUNS.items()})
    mu = xr.DataArray(np.full((4, 5000, 3), 1.2), dims=("chain", "draw", "obs"))
    drawn = NOISE.draw(np.random.default_rng(1), mu, 0.02, VALUES, inputs)
    assert drawn.dims == mu.dims
    mean = (mu + NOISE.mean_excess(VALUES, inputs)).mean(("chain", "draw"))
    np.testing.assert_allclose(drawn.mean(("chain", "draw")), mean, rtol=0.01)
    for run in range(3):
        at = {name: column[run] for name, column in inputs.items()}
        grid = np.linspace(0.8, 3.0, 200_001)
        density = np.exp(NOISE.log_density(grid, 1.2, 0.02, VALUES, {k: float(at[k]) for k in at}))
        below = np.cumsum(density) * (grid[1] - grid[0])
        assert below[-1] == pytest.approx(1.0, abs=1e-3)
        uniform = np.interp(drawn.isel(obs=run).to_numpy().ravel(), grid, below)
        assert stats.kstest(uniform, "uniform").pvalue > 0.001


def test_draws_broadcast_over_posterior_and_runs():
    draws = {
        name: xr.DataArray(np.full((2, 3), value), dims=("chain", "draw"))
        for name, value in VALUES.items()
    }
    mu = xr.DataArray(np.ones((2, 3, 6)), dims=("chain", "draw", "obs"))
    drawn = NOISE.draw(np.random.default_rng(1), mu, draws["sigma"], draws, runs(**RUNS))
    assert drawn.sizes == {"chain": 2, "draw": 3, "obs": 6}
    assert len(np.unique(drawn)) == 36
    density = NOISE.log_density(drawn, mu, draws["sigma"], draws, runs(**RUNS))
    assert set(density.dims) == {"chain", "draw", "obs"}


def test_mean_excess_at_twenty_repetitions_of_as_many_tokens_as_params():
    at = {"params": 1e9, "tokens": 21e9, "unique_tokens": 1e9}
    assert NOISE.mean_excess(VALUES, at) == pytest.approx(VALUES["excess"])
    no_repetition = {**at, "unique_tokens": 30e9}
    assert NOISE.mean_excess(VALUES, no_repetition) == 0


@settings(max_examples=30)
@given(
    epochs=st.floats(1.01, 1e3),
    params=st.floats(1e7, 1e11),
    growth=st.floats(0.1, 1.5),
    interaction=st.floats(-0.8, 0.8),
)
def test_mean_excess_grows_with_repetition_and_with_params(epochs, params, growth, interaction):
    values = {**VALUES, "excess_epochs": growth, "excess_interaction": interaction}

    def excess(params, epochs):
        at = {"params": params, "tokens": epochs * 1e9, "unique_tokens": 1e9}
        return NOISE.mean_excess(values, at)

    assert excess(params, 1.5 * epochs) > excess(params, epochs) > 0
    assert excess(params, 1 + 1e-300) == 0
    if interaction * np.log((epochs - 1) / 20) >= 0:
        assert excess(1.5 * params, epochs) > excess(params, epochs)


UNDERTUNED = {"excess": 0.03, "share": 0.3}


@pytest.mark.parametrize("excess", [0.03, 0.3, 1e-4])  # the last is too little to matter
@pytest.mark.parametrize("residual", [-0.1, 0.0, 0.02, 0.1, 0.6])
def test_undertuned_density_equals_pymcs_and_scipys(residual, excess):
    mu, scale, values = np.linspace(0.9, 1.6, 6), 0.021, {**UNDERTUNED, "excess": excess}
    given = {name: pt.as_tensor_variable(np.float64(value)) for name, value in values.items()}
    dist, arguments = Undertuned().pymc(
        pt.as_tensor_variable(mu), pt.as_tensor_variable(np.float64(scale)), given, {}
    )
    theirs = pm.logp(dist.dist(**arguments), mu + residual).eval(mode="FAST_COMPILE")
    density = Undertuned().log_density(mu + residual, mu, scale, values, {})
    np.testing.assert_allclose(density, theirs, rtol=5e-8, atol=5e-8)
    bad = (
        stats.exponnorm.logpdf(residual, excess / scale, scale=scale)
        if excess > 0.05 * scale
        else stats.norm.logpdf(residual, scale=scale)
    )
    good = np.log(0.7) + stats.norm.logpdf(residual, scale=scale)
    np.testing.assert_allclose(density, np.logaddexp(good, np.log(0.3) + bad), rtol=1e-9)


def test_undertuned_draws_follow_the_density():
    values = {
        name: xr.DataArray(np.full((4, 5000), value), dims=("chain", "draw"))
        for name, value in UNDERTUNED.items()
    }
    mu = xr.DataArray(np.full((4, 5000, 2), 1.2), dims=("chain", "draw", "obs"))
    drawn = Undertuned().draw(np.random.default_rng(1), mu, 0.004, values, {})
    assert drawn.dims == mu.dims
    grid = np.linspace(1.1, 2.0, 200_001)
    density = np.exp(Undertuned().log_density(grid, 1.2, 0.004, UNDERTUNED, {}))
    below = np.cumsum(density) * (grid[1] - grid[0])
    assert below[-1] == pytest.approx(1.0, abs=1e-3)
    uniform = np.interp(drawn.to_numpy().ravel(), grid, below)
    assert stats.kstest(uniform, "uniform").pvalue > 0.001
    without = np.interp(drawn.to_numpy().ravel() - 0.001, grid, below)
    assert stats.kstest(without, "uniform").pvalue < 1e-6  # a shift of a quarter sigma is seen
    assert float((drawn - mu).mean()) == pytest.approx(0.3 * 0.03, rel=0.05)
    independent = drawn.stack(all=("chain", "draw")).to_numpy()
    assert abs(np.corrcoef(independent)[0, 1]) < 0.03


@pytest.mark.slow
def test_undertuned_runs_do_not_lift_the_law():
    """Three runs in ten are 5% worse: the law stays their lower edge; Normal noise averages."""
    table = simulated_table(noise=0.004)
    worse = np.isin(np.arange(30), np.random.default_rng(100).choice(30, 9, replace=False))
    runs = read_runs(table.assign(loss=table["loss"] * np.where(worse, 1.05, 1.0)))
    params, tokens = (np.exp(np.log(runs.column(name)).mean()) for name in ("params", "tokens"))
    terms = TRUTH["A"] * params ** -TRUTH["alpha"], TRUTH["B"] * tokens ** -TRUTH["beta"]
    level = np.log(TRUTH["E"] + sum(terms))
    found = {
        name: fit(runs, name, progress=False)
        for name in ("chinchilla-undertuned", "chinchilla-normal")
    }
    assert found["chinchilla-undertuned"].diagnostics.converged
    posterior = found["chinchilla-undertuned"].posterior
    for name, truth in {"level": level, "E": TRUTH["E"], "share": 0.3}.items():
        low, high = posterior[name].quantile([0.05, 0.95])
        assert low < truth < high
    assert posterior["level"].std() < 0.003
    low, middle = found["chinchilla-normal"].posterior["level"].quantile([0.05, 0.5])
    assert low > level + 0.005
    assert middle == pytest.approx(level + 0.3 * np.log(1.05), abs=0.01)


def test_seeds_shrink_their_own_part_of_the_noise_alone():
    values = {"sigma": 0.03, "sigma_seed": 0.04}
    many = np.array([1.0, 4.0, np.inf])
    expected = [0.05, np.sqrt(0.0013), 0.03]
    np.testing.assert_allclose(noise_scale(values, many), expected, rtol=1e-5)
    np.testing.assert_allclose(noise_scale({"sigma": 0.03}, many), 0.03, rtol=1e-5)  # none told
    assert noise_scale({"sigma": 0.0}) == 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("model", ["joint", "isoflop-profiles"])
def test_losses_without_noise_are_fitted_in_few_steps_and_doubted_once(model):
    with pytest.warns(RunsWarning, match="computed, not measured: the law says") as said:
        found = fit(read_runs(simulated_table(0.0)), model, seed=2, progress=False)
    assert len(said) == 1
    assert [notice.name for notice in found.notices] == ["computed, not measured"]
    assert found.diagnostics.converged
    assert found.tree["sample_stats"]["n_steps"].mean() < 100  # of 1,023, the most
    best = compute_optimal(found, 1e22)["params"].median().item()
    truth = compute_optimal(constants_fit("chinchilla", **TRUTH), 1e22)["params"].item()
    assert best == pytest.approx(truth, rel=0.05)
    assert {check.status for check in check_fit(found)} == {Status.PASS}


def test_measured_losses_are_not_called_computed(small_fit):
    assert not small_fit.noiseless
    assert small_fit.notices == ()


@pytest.mark.parametrize(("decimals", "low", "high"), [(2, 3e-4, 3e-3), (4, 3e-5, 3e-4)])
def test_equal_rounded_losses_of_seeds_say_no_more_than_their_last_digit(decimals, low, high):
    table = simulated_table(0.01)
    table["loss"] = table["loss"].round(decimals)
    seeds = pd.concat([table.assign(seed=seed) for seed in range(3)], ignore_index=True)
    found = fit(read_runs(seeds), "chinchilla", draws=500, tune=500, progress=False)
    assert found.diagnostics.converged
    assert low < found.posterior["sigma_seed"].median() < high


def test_every_kind_is_called_by_its_class():
    assert {name: type(kind).__name__ for name, kind in KINDS.items()} == {n: n for n in KINDS}
    assert all(("sigma" in kind.parameters) == (kind.scale == "log") for kind in KINDS.values())
