"""The linear map that makes a nearly Gaussian posterior round, on one that is exactly Gaussian."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
from conftest import simulated_table
from scipy import stats

from bayescale import load_model, read_runs
from bayescale.modelling.compiling import CENTRE, SCALE, Variable, compile_density, slots_of
from bayescale.posterior import fitting
from bayescale.posterior.sampling import _NOISE_STEP, Target, sample, whitened

COEFFICIENTS, ROWS = 4, 6
X = np.random.default_rng(2).standard_normal((ROWS, COEFFICIENTS))
Y = X @ [1.0, -0.5, 0.3, 0.0] + 0.1 * np.random.default_rng(3).standard_normal(ROWS)
MU, SD = -2.0, 1.0  # of log sigma


def model() -> pm.Model:
    """Linear regression: of known noise the posterior of the coefficients is Gaussian."""
    with pm.Model() as linear:
        x, y = pm.Data("x", X), pm.Data("y", Y)
        b = pm.Normal("b", shape=COEFFICIENTS)
        sigma = pm.LogNormal("sigma", MU, SD)
        pm.Normal("observed", x @ b, sigma, observed=y)
    return linear


@pytest.fixture(scope="module")
def target() -> Target:
    size = COEFFICIENTS + 1
    data = {"x": X, "y": Y, CENTRE: np.zeros(size), SCALE: np.eye(size)}
    variables = (Variable("b", "real", (COEFFICIENTS,), ("j",)), Variable("sigma", "positive"))
    density = compile_density(variables, slots_of(data, ()), model, None)
    return Target(density, data, np.zeros(size), lambda free: {})


@pytest.fixture(scope="module")
def mapped(target) -> Target:
    return whitened(target)


def given_noise(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and covariance of the coefficients, in closed form."""
    covariance = np.linalg.inv(np.eye(COEFFICIENTS) + X.T @ X / sigma**2)
    return covariance @ X.T @ Y / sigma**2, covariance


def log_marginal(log_sigma: float) -> float:
    """Density of the log noise scale, the coefficients integrated out."""
    covariance = X @ X.T + np.exp(2 * log_sigma) * np.eye(ROWS)
    found = stats.multivariate_normal(np.zeros(ROWS), covariance).logpdf(Y)
    return found + stats.norm(MU, SD).logpdf(log_sigma)


def log_joint(log_sigma: float) -> float:
    """Density at the mode of the coefficients instead."""
    mean, _ = given_noise(np.exp(log_sigma))
    likelihood = stats.norm(X @ mean, np.exp(log_sigma)).logpdf(Y).sum()
    return likelihood + stats.norm.logpdf(mean).sum() + stats.norm(MU, SD).logpdf(log_sigma)


def evaluate(target: Target, vector: np.ndarray) -> tuple[float, np.ndarray]:
    return target.density.evaluator(target.data)(vector)


def test_the_noise_scale_is_that_of_largest_marginal_density(mapped):
    steps = _NOISE_STEP * np.arange(-20, 6)
    marginal, joint = (
        steps[np.argmax([density(step) for step in steps])] for density in (log_marginal, log_joint)
    )
    assert mapped.data[CENTRE][-1] == pytest.approx(marginal)
    assert joint < marginal - 0.3  # the control: the joint mode says too little noise


def test_the_map_is_the_posterior_given_that_noise(mapped):
    mean, covariance = given_noise(np.exp(mapped.data[CENTRE][-1]))
    scale = mapped.data[SCALE]
    np.testing.assert_allclose(mapped.data[CENTRE][:-1], mean, atol=1e-3)
    np.testing.assert_allclose(
        scale[:-1, :-1] @ scale[:-1, :-1].T, covariance, rtol=1e-5, atol=1e-8
    )
    assert (scale[-1, :-1] == 0).all()
    assert (scale[:-1, -1] == 0).all()
    assert scale[-1, -1] == _NOISE_STEP
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() > 1e-3  # correlated


def test_what_is_sampled_is_round(target, mapped):
    """Given the noise, the density is that of independent standard Normals."""
    rng = np.random.default_rng(4)
    at_mode, _ = evaluate(mapped, np.zeros(COEFFICIENTS + 1))
    for vector in rng.standard_normal((5, COEFFICIENTS)):
        value, gradient = evaluate(mapped, np.append(vector, 0.0))
        assert value - at_mode == pytest.approx(-0.5 * vector @ vector, abs=0.02)
        np.testing.assert_allclose(gradient[:-1], -vector, atol=0.02)
        before, after = (evaluate(target, np.append(sign * vector, 0.0))[0] for sign in (0, 1))
        assert abs(after - before + 0.5 * vector @ vector) > 0.1  # the control: it was not


def check_map(plain: Target, mapped: Target, vector: np.ndarray) -> None:
    value, gradient = evaluate(mapped, vector)
    there = mapped.data[CENTRE] + mapped.data[SCALE] @ vector
    expected, slope = evaluate(plain, there)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, mapped.data[SCALE].T @ slope, rtol=1e-9, atol=1e-8)
    assert value != pytest.approx(evaluate(plain, vector)[0], rel=1e-3)  # the control


def test_density_and_gradient_are_those_at_the_mapped_point(target, mapped):
    for vector in np.random.default_rng(5).standard_normal((5, COEFFICIENTS + 1)):
        check_map(target, mapped, vector)


def test_evaluate_is_pymcs_density_and_gradient(target):
    linear = model()
    density = linear.compile_logp(mode="FAST_COMPILE")
    slope = linear.compile_dlogp([linear["b"], linear["sigma"]], mode="FAST_COMPILE")
    for vector in np.random.default_rng(6).standard_normal((3, COEFFICIENTS + 1)):
        values = {"b": vector[:-1], "sigma_log__": vector[-1]}
        value, gradient = evaluate(target, vector)
        assert value == pytest.approx(float(density(values)), rel=1e-12)
        np.testing.assert_allclose(gradient, slope(values), rtol=1e-9)


def test_where_there_is_no_density_it_is_nan(target):
    value, _ = evaluate(target, np.append(np.full(COEFFICIENTS, np.nan), 0.0))
    assert np.isnan(value)


def test_draws_come_back_from_the_map(mapped):
    """Their mean and sd, the noise integrated out on a fine grid."""
    settings = {"draws": 1000, "tune": 500, "chains": 2, "seed": 1}
    drawn = sample(mapped, {**settings, "adaptation": "diag", "target_accept": 0.95})["posterior"]
    logs = np.linspace(-8, 3, 600)
    weight = np.exp([log_marginal(value) for value in logs])
    weight /= weight.sum()
    means, covariances = zip(*(given_noise(np.exp(value)) for value in logs), strict=True)
    mean = weight @ np.stack(means)
    second = weight @ np.stack([np.diag(c) + m**2 for c, m in zip(covariances, means, strict=True)])
    sd = np.sqrt(second - mean**2)
    found = drawn["b"].to_numpy().reshape(-1, COEFFICIENTS)
    assert (np.abs(found.mean(axis=0) - mean) < 0.15 * sd).all()
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.15)
    assert float(np.log(drawn["sigma"]).mean()) == pytest.approx(weight @ logs, abs=0.1)


def test_the_map_of_a_law_that_bends_is_only_a_map(runs):
    """On the default's own density: the same at the mapped point, and rounder than it was."""
    mapped = fitting.target_of(load_model("chinchilla-bend"), runs)
    size = mapped.density.size
    plain = replace(mapped, data={**mapped.data, CENTRE: np.zeros(size), SCALE: np.eye(size)})
    rng = np.random.default_rng(7)
    for vector in rng.standard_normal((3, size)):
        check_map(plain, mapped, vector)
    slopes = [evaluate(mapped, vector)[1] for vector in 0.3 * rng.standard_normal((40, size))]
    assert np.stack(slopes).std() < 1.0  # of a round one 0.3


def test_tables_of_few_runs_are_mapped_at_some_noise():
    """Eight runs: the mode has no noise at all, of its marginal density there is a largest."""
    runs = read_runs(simulated_table(noise=0.003).iloc[[0, 4, 8, 14, 17, 21, 24, 29]])
    mapped = fitting.target_of(load_model("chinchilla-bend"), runs)
    noise = mapped.density.place("sigma")
    assert -9.0 < mapped.data[CENTRE][noise] < -3.0
