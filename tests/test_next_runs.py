"""Next runs: a Gaussian case whose answer is known, and what must hold."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_fit

from bayescale import (
    candidate_runs,
    constants_fit,
    expected_reduction,
    log_optimum,
    suggest_runs,
)
from bayescale.errors import FitError


def test_known_gaussian_answer():
    """Only the level is unknown: m runs shrink its variance v to v s^2 / (s^2 + m v)."""
    rng, sd, noise = np.random.default_rng(3), 0.02, 0.03
    level = np.exp(sd * rng.standard_normal(20_000))
    values = {"E": 1.8 * level, "A": 400.0 * level, "B": 1500.0 * level}
    fit = constants_fit("chinchilla", **values, alpha=0.34, beta=0.36, sigma=noise, nu=1e9)
    quantity = xr.DataArray(np.log(level)[None], dims=("chain", "draw"))
    for runs in (1, 3):
        new = pd.DataFrame({"params": [1e9] * runs, "tokens": [2e10] * runs})
        variance = float(np.var(np.log(level), ddof=1))
        expected = 1 - noise**2 / (noise**2 + runs * variance)
        assert expected_reduction(fit, quantity, new) == pytest.approx(expected, rel=1e-6)


def test_realised_reduction_matches_on_draws_that_are_weighted(small_fit):
    """Averaged over what a new run may show, reweighted draws lose as much variance."""
    quantity = log_optimum(small_fit, 1e23)
    new = pd.DataFrame({"params": [3e10], "tokens": [2e10]})
    predicted = expected_reduction(small_fit, quantity, new)
    draws = {name: value.to_numpy().ravel() for name, value in small_fit.natural.items()}
    mean = np.log(
        draws["E"] + draws["A"] * 3e10 ** -draws["alpha"] + draws["B"] * 2e10 ** -draws["beta"]
    )
    sigma = small_fit.noise["sigma"].to_numpy().ravel()
    rng, q, left = np.random.default_rng(0), quantity.to_numpy().ravel(), []
    for truth in rng.integers(len(mean), size=300):
        shown = mean[truth] + sigma[truth] * rng.standard_normal()
        weight = np.exp(-0.5 * ((shown - mean) / sigma) ** 2) / sigma
        weight /= weight.sum()
        left.append((weight * (q - (weight * q).sum()) ** 2).sum())
    assert 1 - np.mean(left) / q.var() == pytest.approx(predicted, abs=0.08)


def test_suggestions_stay_within_the_budget_and_beat_what_is_usual(small_fit):
    quantity = log_optimum(small_fit, 1e23)
    found = suggest_runs(small_fit, quantity, max_flops=1e22, runs=4)
    assert 1 <= len(found.picks) <= 4
    assert found.picks["flops"].sum() <= 1e22 * (1 + 1e-9)
    assert (found.picks["reduction"].diff().dropna() > 0).all()
    assert found.picks["reduction"].iloc[-1] > found.baselines["reduction"].max()
    assert set(found.baselines["spent_on"]) == {"one more isoFLOP", "the largest run again"}
    assert 0 < found.expected_sd < found.sd
    assert found.candidates["reduction"].between(0, 1).all()
    together = expected_reduction(small_fit, quantity, found.picks[["params", "tokens"]])
    assert together == pytest.approx(found.picks["reduction"].iloc[-1], rel=1e-9)


def test_candidates_can_be_given(small_fit):
    given = pd.DataFrame({"params": [1e9, 2e9], "tokens": [2e10, 4e10]})
    found = suggest_runs(small_fit, log_optimum(small_fit, 1e23), max_flops=2e20, candidates=given)
    assert found.picks["params"].tolist() == [1e9]  # the other one costs more than there is


def test_candidates_lie_near_the_runs(small_fit):
    table = candidate_runs(small_fit, 1e22)
    ratio = table["tokens"] / table["params"]
    seen = small_fit.runs.column("tokens") / small_fit.runs.column("params")
    assert ratio.min() == pytest.approx(max(1.0, seen.min() / 3))
    assert ratio.max() == pytest.approx(min(1000.0, seen.max() * 3))
    assert table["flops"].max() == pytest.approx(1e22)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit, q: suggest_runs(fit, q, max_flops=1e10), "do not pay the smallest"),
        (lambda fit, q: suggest_runs(fit, 0 * q, max_flops=1e22), "same in every draw"),
        (lambda fit, q: suggest_runs(fit, q, max_flops=1e22, runs=0), "at least one run must"),
        (
            lambda fit, q: suggest_runs(
                fit, q, max_flops=1e18, candidates=pd.DataFrame({"params": [1e9], "tokens": [1e9]})
            ),
            "the cheapest costs",
        ),
        (lambda fit, q: expected_reduction(fit, q, pd.DataFrame({"params": [1e9]})), "tokens"),
    ],
)
def test_what_is_refused(small_fit, ask, message):
    with pytest.raises(FitError, match=message):
        ask(small_fit, log_optimum(small_fit, 1e23))


def test_constants_without_noise_are_refused():
    fit = constants_fit(
        "chinchilla", E=1.7, A=400.0, B=400.0, alpha=0.34, beta=np.linspace(0.3, 0.4, 9)
    )
    with pytest.raises(FitError, match="no noise"):
        suggest_runs(fit, log_optimum(fit, 1e23), max_flops=1e22)
    assert known_fit(5).noise


def test_a_run_that_overfits_tells_less():
    rng = np.random.default_rng(4)
    near = {name: value * (1 + 0.02 * rng.standard_normal(20_000)) for name, value in TRUTH.items()}
    noise = {"excess_epochs": 1.5, "excess_size": 0.8, "excess_interaction": 0.1}
    fit = constants_fit(
        "data-constrained",
        **near,
        R_D=15.0,
        R_N=5.0 * np.exp(0.5 * rng.standard_normal(20_000)),
        r_N=-0.3,
        sigma=0.01,
        excess=0.05 * np.exp(0.5 * rng.standard_normal(20_000)),
        **noise,
    )
    quantity = log_optimum(fit, 1e22)
    run = pd.DataFrame({"params": [1e9], "tokens": [2e10]})
    fresh = expected_reduction(fit, quantity, run)
    often = expected_reduction(fit, quantity, run.assign(unique_tokens=1e8))
    assert often < fresh


def test_one_more_isoflop_of_one_run_is_the_best_size(small_fit):
    found = suggest_runs(small_fit, log_optimum(small_fit, 1e23), max_flops=1e22, runs=1)
    iso = found.baselines.set_index("spent_on").loc["one more isoFLOP"]
    assert iso["runs"] == 1
    best = float(np.exp(log_optimum(small_fit, 1e22).median()))
    new = pd.DataFrame({"params": [best], "tokens": [1e22 / (6 * best)]})
    expected = expected_reduction(small_fit, log_optimum(small_fit, 1e23), new)
    assert iso["reduction"] == pytest.approx(expected, rel=1e-6)
