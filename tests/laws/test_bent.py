"""Laws in which N and D interact: sampled on published and simulated runs, asked for decisions."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import simulated_table

from bayescale import (
    at_size,
    basin,
    best_under_wall,
    cheapest,
    compute_optimal,
    constants_fit,
    fit,
    log_optimum,
    plan_outcomes,
    read_plans,
    read_runs,
    suggest_runs,
    target_loss,
)
from bayescale.errors import FitError, RunsWarning
from bayescale.laws import coupled, farseer
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import residuals

FARSEER = {  # within the rounding of the constants that Li et al. (2025) print
    **{"a1": -0.1243, "b1": 0.4235, "c1": 0.12319},
    **{"a2": 88.0147, "b2": -6.28657, "c2": -0.099516},
    **{"a3": -0.020988, "b3": -0.0905, "c3": 0.1695},
}
COUPLED = {"E": 1.2, "A": 1.1e4, "B": 6e4, "alpha": 0.25, "beta": 0.27, "k": 0.6}


def constants(draws: int = 50):
    """Both laws, with a little spread in the level of the loss."""
    spread = 1 + 1e-3 * np.random.default_rng(0).standard_normal(draws)
    noise = {"sigma": np.full(draws, 0.005), "nu": np.full(draws, 10.0)}
    return {
        "coupled": constants_fit("coupled", **{**COUPLED, "E": COUPLED["E"] * spread}, **noise),
        "farseer": constants_fit("farseer", **{**FARSEER, "b3": FARSEER["b3"] * spread}, **noise),
    }


def without_a_best_size(draws: int = 20):
    """Farseer's law; in one draw tokens are worth nothing."""
    fine = {name: np.full(draws, value) for name, value in FARSEER.items()}
    fine["b1"] = np.append(fine["b1"][1:], -20.0)
    fine["b3"] = fine["b3"] * np.linspace(0.99, 1.01, draws)
    return constants_fit("farseer", **fine, sigma=np.full(draws, 0.005), nu=np.full(draws, 10.0))


def simulated(natural, noise=0.002, seed=0):
    table = simulated_table()
    loss = coupled(table["params"].to_numpy(), table["tokens"].to_numpy(), **natural)
    scatter = noise * np.random.default_rng(seed).standard_normal(len(table))
    return read_runs(table.assign(loss=loss * np.exp(scatter)))


each = pytest.mark.parametrize("model", ["coupled", "farseer"])


@each
def test_optima_and_basins_are_least_and_limited_along_their_budget(model):
    fake, flops = constants()[model], [1e20, 5e21]
    best, ends = compute_optimal(fake, flops), basin(fake, flops, excess=0.1).squeeze("excess")
    for factor in (0.8, 1.25):
        other = Posterior.of(fake).isoflop(best["flops"], best["params"] * factor)
        assert (other > best["loss"]).all()
    assert (ends.sel(bound="lower") < best["params"]).all()
    assert (ends.sel(bound="upper") > best["params"]).all()
    reached = compute_optimal(fake, [c / 1.1 for c in flops])["loss"].to_numpy()
    for bound in ("lower", "upper"):
        loss = Posterior.of(fake).isoflop(best["flops"], ends.sel(bound=bound))
        np.testing.assert_allclose(loss.transpose("chain", "draw", "flops"), reached, rtol=1e-9)


@each
@pytest.mark.parametrize("flops", [1e20, 5e21])
def test_the_cheapest_model_that_serves_nothing_is_the_compute_optimal_one(model, flops):
    fake = constants()[model]
    best, target = compute_optimal(fake, flops).squeeze("flops"), target_loss(fake, flops=flops)
    found = cheapest(fake, target, [0.0, 1e13])
    alone = found.sel(inference_tokens=0.0)
    np.testing.assert_allclose(alone["params"], best["params"], rtol=1e-4)
    np.testing.assert_allclose(alone["cost"], flops, rtol=1e-6)
    assert (found["infeasible"] == 0).all()
    served = found.sel(inference_tokens=1e13)
    assert (served["params"] < alone["params"]).all()
    for factor in (0.9, 1.1):
        size = float(served["params"].median()) * factor
        other = at_size(fake, target, size, 1e13)
        assert (other["cost"].squeeze("params") > served["cost"]).all()
    capped = cheapest(fake, target, 1e13, max_tokens=float(best["tokens"].median()) / 2)
    np.testing.assert_allclose(capped["tokens"], best["tokens"].median() / 2, rtol=1e-6)
    assert (capped["params"] > best["params"].median()).all()


@each
def test_plans_and_next_runs_know_the_laws(model):
    fake = constants()[model]
    plans = read_plans(pd.DataFrame({"params": [1e9, 4e9], "tokens": [4e11, 1e11]}))
    outcomes = plan_outcomes(fake, plans, k=6.0)
    worth = outcomes["equivalent_flops"]
    assert (worth <= outcomes["flops"]).all()
    reached = [
        compute_optimal(fake, float(c))["loss"].squeeze() for c in worth.isel(chain=0, draw=0)
    ]
    for plan, loss in enumerate(reached):
        expected = outcomes["loss"].isel(chain=0, draw=0, plan=plan)
        assert float(loss[0]) == pytest.approx(float(expected), rel=1e-9)
    with pytest.raises(FitError, match="data-constrained"):
        best_under_wall(fake, 1e22, 1e10)


def test_draws_without_a_best_size_are_named_and_left_out():
    fake = without_a_best_size()
    with pytest.warns(RunsWarning, match=r"in 5\.0% of the draws no size is best for 1e20 FLOPs"):
        best = compute_optimal(fake, [1e20, 1e21])
    assert best["params"].isnull().sum("draw").to_numpy().tolist() == [[1, 1]]
    assert best["loss"].isel(draw=slice(None, -1)).notnull().all()
    fine = constants_fit("farseer", **FARSEER)  # silent: warnings are errors here
    assert np.isfinite(compute_optimal(fine, [1e20, 1e21])["params"]).all()


def test_next_runs_leave_out_draws_without_a_best_size():
    fake = without_a_best_size()
    candidates = pd.DataFrame({"params": [1e8, 1e9], "tokens": [1e10, 1e10]})
    with pytest.warns(RunsWarning, match="no size is best"):
        quantity = log_optimum(fake, 1e21)
    with pytest.warns(RunsWarning, match="no size is best"):
        found = suggest_runs(fake, quantity, max_flops=1e21, candidates=candidates, k=6.0)
    known = float(quantity.isel(draw=slice(None, -1)).std(ddof=1))
    assert found.sd == pytest.approx(known)
    with pytest.raises(FitError, match="not finite"):
        suggest_runs(fake, quantity * np.inf, max_flops=1e21, candidates=candidates, k=6.0)


@pytest.mark.slow
def test_runs_tell_k():
    sharp = {"draws": 500, "tune": 500, "progress": False}
    bent = fit(simulated(COUPLED), "coupled", seed=1, **sharp)
    straight = fit(simulated({**COUPLED, "A": 400.0, "B": 1500.0, "k": 1.0}), "coupled", **sharp)
    for fitted, k in ((bent, 0.6), (straight, 1.0)):
        assert fitted.diagnostics.converged
        low, high = fitted.posterior["k"].quantile([0.05, 0.95])
        assert low < k < high
        assert high / low < 1.5
    assert float(bent.posterior["k"].quantile(0.95)) < 0.9


@pytest.fixture(scope="module")
def farseer_runs(data_folder):
    columns = {"params": "params_non_embedding"}
    with pytest.warns(RunsWarning, match="duplicated runs"):
        return read_runs(data_folder / "farseer.csv", columns)


@pytest.fixture(scope="module")
def coupled_fit(farseer_runs):
    return fit(farseer_runs, "coupled", draws=500, tune=500, progress=False)


@pytest.mark.slow
def test_coupled_law_on_the_published_runs_of_farseer(farseer_runs, coupled_fit):
    assert coupled_fit.diagnostics.converged
    low, high = coupled_fit.posterior["k"].quantile([0.05, 0.95])
    assert 0.45 < low < high < 0.52
    joint = fit(farseer_runs, "chinchilla", draws=500, tune=500, progress=False)
    assert residuals(coupled_fit)["residual"].std() < 0.35 * residuals(joint)["residual"].std()


@pytest.mark.slow
def test_four_hundred_runs_pin_down_the_nine_constants_of_farseer(farseer_runs, coupled_fit):
    fitted = fit(farseer_runs, "farseer", draws=500, tune=500, progress=False)
    found = fitted.diagnostics
    assert (found.divergences, found.max_r_hat <= 1.01, found.min_ess_bulk > 400) == (0, True, True)
    assert residuals(fitted)["residual"].std() < 0.8 * residuals(coupled_fit)["residual"].std()
    prior = fitted.tree["prior"].to_dataset()
    for name in fitted.spec.priors:
        assert fitted.posterior[name].std() < 0.25 * prior[name].std(), name
    best = compute_optimal(fitted, 1e21)
    assert 2.3e9 < float(best["params"].median()) < 2.6e9
    back = farseer.compute(best["loss"], 6.0, **fitted.natural)
    xr.testing.assert_allclose(back, xr.full_like(back, 1e21), rtol=1e-6)
