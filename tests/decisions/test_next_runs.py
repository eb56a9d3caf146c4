"""Next runs: a Gaussian case whose answer is known, and what must hold."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_fit
from scipy import stats

from bayescale import (
    Fit,
    answer_next_runs,
    candidate_runs,
    constants_fit,
    expected_reduction,
    log_optimum,
    suggest_runs,
)
from bayescale.decisions.next_runs import _isoflop
from bayescale.decisions.ratios import Ratios
from bayescale.errors import FitError
from bayescale.modelling.noise import Undertuned

RUN = pd.DataFrame({"params": [1e9], "tokens": [2e10]})


@pytest.mark.parametrize("nu", [1e9, 3.0])
def test_known_gaussian_answer(nu):
    """Only the level is unknown: m runs shrink its variance v to v s^2 / (s^2 + m v).

    One run of Student-t noise tells as much as Normal noise of the inverse of its Fisher
    information, which is (nu + 1) / (nu + 3) over its squared scale.
    """
    rng, sd, noise = np.random.default_rng(3), 0.02, 0.03
    level = np.exp(sd * rng.standard_normal(20_000))
    values = {"E": 1.8 * level, "A": 400.0 * level, "B": 1500.0 * level}
    fit = constants_fit("chinchilla", **values, alpha=0.34, beta=0.36, sigma=noise, nu=nu)
    quantity = xr.DataArray(np.log(level)[None], dims=("chain", "draw"))
    variance, told = float(np.var(np.log(level), ddof=1)), 1 / _fisher_information(nu, noise)
    for runs in (1, 3):
        new = pd.DataFrame({"params": [1e9] * runs, "tokens": [2e10] * runs})
        expected = 1 - told / (told + runs * variance)
        assert expected_reduction(fit, quantity, new) == pytest.approx(expected, rel=1e-4)


def _fisher_information(nu: float, scale: float) -> float:
    """Mean square of the slope of the log density, by quadrature over quantiles."""
    uniform = (np.arange(200_000) + 0.5) / 200_000
    t = stats.t.ppf(uniform, nu) if nu < 1e6 else stats.norm.ppf(uniform)
    slope = (nu + 1) * t / (nu + t**2)
    return float((slope**2).mean()) / scale**2


def test_undertuned_noise_varies_by_its_share_of_excess():
    """A mixture's variance, as draws of the noise have it; the rest is the known answer."""
    rng, noise = np.random.default_rng(3), {"sigma": 0.01, "excess": 0.05, "share": 0.3}
    level = np.exp(0.02 * rng.standard_normal(2000))
    values = {"E": 1.8 * level, "A": 400.0 * level, "B": 1500.0 * level}
    fit = constants_fit("chinchilla-undertuned", **values, alpha=0.34, beta=0.36, **noise)
    quantity = xr.DataArray(np.log(level)[None], dims=("chain", "draw"))
    centre = xr.DataArray(np.zeros(1_000_000))
    drawn = float(Undertuned().draw(rng, centre, noise["sigma"], noise, {}).var())
    variance = float(np.var(np.log(level), ddof=1))
    found = expected_reduction(fit, quantity, RUN)
    assert found == pytest.approx(variance / (variance + drawn), rel=0.01)


def gaussian(draws: int = 4000) -> tuple[Fit, np.ndarray, np.ndarray]:
    """A posterior that is Gaussian in the logs of the level and of E, its draws and covariance."""
    rng, covariance = np.random.default_rng(9), np.array([[4e-4, -1e-4], [-1e-4, 9e-4]])
    logs = rng.multivariate_normal([0.0, 0.0], covariance, draws)
    level = np.exp(logs[:, 0])
    values = {"E": 1.8 * level * np.exp(logs[:, 1]), "A": 4e-9 * level, "B": 1500.0 * level}
    fit = constants_fit("chinchilla", **values, alpha=0.34, beta=1.0, sigma=0.01, nu=1e9)
    return fit, logs, covariance


def test_conjugate_algebra_of_a_linear_gaussian_posterior():
    """Long runs show level times E and short ones the level alone: both are linear."""
    fit, logs, covariance = gaussian()
    new = pd.DataFrame({"params": [1e9, 1e9, 1e9], "tokens": [1e15, 1.0, 1.0]})
    design, direction = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), np.array([0.3, 1.0])
    quantity = xr.DataArray((logs @ direction)[None], dims=("chain", "draw"))
    prior = direction @ covariance @ direction
    for runs in (1, 2, 3):
        seen = design[:runs]
        precision = np.linalg.inv(covariance) + seen.T @ seen / 0.01**2
        left = direction @ np.linalg.solve(precision, direction)
        found = expected_reduction(fit, quantity, new[:runs])
        # Sample covariances of 4,000 draws are right to 1 / sqrt(2,000); what is left, too.
        assert 1 - found == pytest.approx(left / prior, rel=3 / np.sqrt(2000))
    given = new.assign(flops=1e6)
    picked = suggest_runs(fit, quantity, max_flops=3e6, runs=3, candidates=given)
    # One after the other, in the order they were picked, they tell what they tell together.
    assert len(picked.picks) == 3
    assert picked.picks["reduction"].iloc[-1] == pytest.approx(
        expected_reduction(fit, quantity, new), rel=1e-9
    )
    assert picked.picks["tokens"].iloc[0] == 1e15


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
    title, _, *rows, sd, _ = repr(found).splitlines()
    assert title == f"Runs to make {found.quantity} surer"
    assert len(rows) == len(found.picks)
    assert sd.startswith("Its sd is 0.")
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


def test_fewer_runs_than_were_allowed_are_said_with_what_more_would_do():
    fit = known_fit(spread=0.02)
    told = np.log(fit.law(1e10, 2e11, **fit.natural))
    given = pd.DataFrame({"params": [1e7, 2e7, 1e10], "tokens": [2e8, 2e8, 2e11]})
    found = suggest_runs(fit, told, max_flops=1.2e22, runs=2, candidates=given)
    assert found.picks["params"].tolist() == [1e10]
    more = found.baselines.iloc[-1]
    assert (more["runs"], more["flops"]) == (2, 3.6e16)
    assert more["reduction"] == pytest.approx(expected_reduction(fit, told, given[:2]))
    said = answer_next_runs(fit, found).sentences
    assert any("more, smaller runs (2 runs), 3.6e16 FLOPs remove 58%: fewer" in s for s in said)


def test_candidates_lie_within_the_runs(small_fit):
    table = candidate_runs(small_fit, 1e22)
    ratio = table["tokens"] / table["params"]
    seen = small_fit.runs.column("tokens") / small_fit.runs.column("params")
    assert ratio.min() == pytest.approx(seen.min())
    assert ratio.max() == pytest.approx(seen.max())
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


def pooled(apart: float, *, draws: int = 400) -> Fit:
    """A pool of two members around TRUTH that differ in the factor exp(+-apart) of E, A and B."""
    rng = np.random.default_rng(6)
    level = np.exp(0.02 * rng.standard_normal(draws) + [[apart], [-apart]]).ravel()
    values = {name: TRUTH[name] * level for name in ("E", "A", "B")}
    fit = constants_fit("chinchilla", **values, alpha=0.34, beta=0.36, sigma=0.02, nu=1e9)
    tree = fit.tree.copy()
    posterior = {
        name: (("chain", "draw"), value.to_numpy().reshape(2, draws))
        for name, value in fit.posterior.items()
    }
    tree["posterior"] = xr.Dataset(posterior, coords={"member": ("chain", [0, 1])})
    return replace(fit, tree=tree)


@pytest.mark.parametrize("apart", [0.0, 0.3])
def test_spread_between_members_of_a_pool_is_credited_to_no_run(apart):
    """A run tells the level in each member, and nothing of a shift between them."""
    fit = pooled(apart)
    level = xr.ufuncs.log(fit.natural["E"])
    within = float(level.var("draw", ddof=1).mean())
    gone = within**2 / (within + 0.02**2 + 1e-8)  # and the least noise of any run
    quantity = level - level.mean("draw")
    assert expected_reduction(fit, quantity, RUN) == pytest.approx(gone / within, rel=1e-6)
    for shift in (0.5, -0.5):
        moved = quantity + xr.DataArray([shift, -shift], dims="chain")
        expected = gone / (within + shift**2)
        assert expected_reduction(fit, moved, RUN) == pytest.approx(expected, rel=1e-6)


def test_run_that_tells_members_apart_is_not_credited_with_their_shift():
    """The quantity is the members' shift alone: what a run shows moves neither of them."""
    fit = pooled(0.3)
    shift = xr.DataArray([1.0, -1.0], dims="chain") + 0.0 * fit.natural["E"]
    assert expected_reduction(fit, shift, RUN) == pytest.approx(0, abs=1e-12)
    # Control: were it one posterior, the run would tell nearly all of it.
    one = replace(fit, tree=fit.tree.copy())
    one.tree["posterior"] = fit.posterior.drop_vars("member")
    assert expected_reduction(one, shift, RUN) > 0.9


def test_picks_from_a_pool_leave_what_lies_between_its_members():
    fit = pooled(0.3)
    shift = xr.DataArray([0.5, -0.5], dims="chain")
    quantity = xr.ufuncs.log(fit.natural["E"]) + shift
    found = suggest_runs(fit, quantity, max_flops=1e22, runs=5)
    least = float(quantity.mean("draw").std("chain"))
    assert found.sd > found.expected_sd > least
    assert found.expected_sd == pytest.approx(least, rel=1e-3)


def test_one_more_isoflop_keeps_to_the_ratios_that_suggestions_keep_to(small_fit):
    asked = Ratios(10.0, 40.0, "asked")
    wide, narrow = (
        _isoflop(small_fit, 1e22, 5, 6.0, ratios) for ratios in (Ratios(0.0, np.inf, ""), asked)
    )
    assert asked.outside(wide["tokens"] / wide["params"]).any()
    assert not asked.outside(narrow["tokens"] / narrow["params"]).any()
    assert narrow["flops"].tolist() == pytest.approx([1e22] * 5)
