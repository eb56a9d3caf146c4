import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bayescale.noise import RepetitionExcess

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
