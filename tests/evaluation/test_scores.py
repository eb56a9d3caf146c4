"""Proper scores against closed forms and other people's densities."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, known_grouped_fit, simulated_table
from scipy import stats

from bayescale import read_runs
from bayescale.evaluation.scores import (
    CENTRAL,
    LEVELS,
    as_share,
    average,
    crps,
    lies_below,
    log_score,
    percent,
    score_runs,
)
from bayescale.laws import ACCURACY
from bayescale.modelling.noise import LEAST, Binomial
from bayescale.posterior.prediction import CellDraws


def normal_crps(z):
    """Gneiting and Raftery (2007), equation 21, for the standard Normal."""
    return z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)


@pytest.mark.parametrize("z", [0.0, 0.7, -2.5])
def test_crps_of_a_normal_ensemble_is_the_closed_form(z):
    draws = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert crps(draws, np.array(z)) == pytest.approx(normal_crps(z), abs=2e-4)


def test_crps_is_unbiased_in_small_ensembles_and_the_plain_estimator_is_not():
    rng = np.random.default_rng(1)
    draws = rng.standard_normal((200_000, 4))
    fair = crps(draws, np.full(200_000, 0.7)).mean()
    pairs = np.abs(draws[:, :, None] - draws[:, None, :]).mean(axis=(1, 2))
    plain = (np.abs(draws - 0.7).mean(axis=1) - pairs / 2).mean()
    assert fair == pytest.approx(normal_crps(0.7), abs=3e-3)
    assert plain - normal_crps(0.7) > 0.1


def test_crps_prefers_the_truth():
    rng = np.random.default_rng(2)
    observed, draws = rng.standard_normal(4000), rng.standard_normal((4000, 200))
    true, narrow, wide = (crps(scale * draws, observed).mean() for scale in (1, 0.4, 2.5))
    assert true < min(narrow, wide)


@pytest.fixture(scope="module")
def runs():
    return read_runs(simulated_table(noise=0.01, seed=5))


@pytest.fixture(scope="module")
def scored(runs):
    return score_runs(known_fit(spread=1e-2), runs)


def test_log_score_is_the_log_of_the_mixture_of_the_draws_densities(runs, scored):
    own = known_fit(spread=1e-2)
    p = {name: own.posterior[name].to_numpy().ravel() for name in (*TRUTH, "sigma", "nu")}
    row = runs.table.iloc[3]
    law = p["E"] + p["A"] * row["params"] ** -p["alpha"] + p["B"] * row["tokens"] ** -p["beta"]
    scale = np.hypot(p["sigma"], LEAST)
    density = stats.t.pdf(np.log(row["loss"]), p["nu"], np.log(law), scale)
    assert scored["log_score"][3] == pytest.approx(np.log(density.mean()))


def test_log_score_of_equal_densities_is_theirs():
    density = xr.DataArray(np.full((2, 5, 3), -1.5), dims=("chain", "draw", "obs"))
    assert log_score(density) == pytest.approx(np.full(3, -1.5))


def test_quantiles_and_pit_are_those_of_the_predictive_distribution(scored):
    assert (np.diff(scored[list(LEVELS)].to_numpy(), axis=1) > 0).all()
    for mass, (low, high) in CENTRAL.items():
        inside = (scored["loss"] >= scored[low]) & (scored["loss"] <= scored[high])
        assert (scored[f"inside{mass}"] == inside).all()
        far = abs(scored["pit"] - 0.5) - mass / 200
        assert ((far <= 0) == inside)[abs(far) > 0.01].all()


def test_averages(scored):
    found = average(scored)
    assert found["predictions"] == 30
    error = np.log(scored["loss"] / scored["q50"])
    assert found["rmsle"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["coverage80"] == scored["inside80"].mean()
    assert found["width90"] == pytest.approx(np.log(scored["q95"] / scored["q05"]).mean())
    assert found["rmsle"] == pytest.approx(0.0115, rel=0.35)  # sd of t noise with 8 degrees


def test_seeds_of_one_configuration_are_one_prediction():
    table = simulated_table()
    seeds = table.iloc[[0, 0, 0]].assign(loss=table["loss"][0] * np.exp([-0.004, 0, 0.004]))
    both = read_runs(seeds.assign(seed=range(3)))
    own = known_fit(sigma_seed=0.03)
    row, single = score_runs(own, both), score_runs(own, read_runs(table))
    assert (len(row), row["replicates"][0]) == (1, 3)
    assert row["loss"][0] == pytest.approx(table["loss"][0])
    # Of the sd .03 between seeds a third of the variance is left in the mean of three.
    width, alone = (np.log(part["q95"] / part["q05"])[0] for part in (row, single))
    assert width / alone == pytest.approx(np.sqrt((0.01**2 + 0.01**2 * 3) / 0.001), rel=0.2)


def test_groups_are_predicted_by_their_own_draws():
    own = known_grouped_fit(one={}, other={"E": 2.2})
    scored = score_runs(own, own.runs)
    assert scored["group"].value_counts().to_dict() == {"one": 30, "other": 30}
    assert scored["error"].abs().max() < 0.05


def successes(trials, cells=2000):
    """Shares of successes among a few trials, and draws of the true model."""
    rng = np.random.default_rng(3)
    inputs = {"trials": xr.DataArray(np.full(cells, trials), dims="obs")}
    mu = xr.DataArray(np.full((1, 400, cells), 0.6), dims=("chain", "draw", "obs"))
    observed = Binomial().draw(rng, mu[:, :1], np.nan, {}, inputs).to_numpy().ravel()
    table = pd.DataFrame({"observed": np.round(observed, 3)})  # as tables have them
    own = CellDraws(table, mu, xr.DataArray(np.nan), {}, inputs, Binomial())
    return own, own.draw(rng)


def test_pit_of_few_trials_is_uniform():
    own, drawn = successes(6)
    pit = lies_below(own, drawn, np.random.default_rng(4)).mean(("chain", "draw"))
    assert stats.cramervonmises(pit, "uniform").pvalue > 0.05
    steps = (drawn <= own.observed).mean(("chain", "draw"))  # the control
    assert stats.cramervonmises(steps, "uniform").pvalue < 1e-6


def test_errors_of_shares_are_points():
    scored = pd.DataFrame({"error": [0.02, -0.01], "crps": 0.01, "log_score": -3.0})
    scored = scored.assign(**dict.fromkeys(("inside50", "inside80", "inside90"), True))
    scored = scored.assign(q05=0.4, q10=0.42, q25=0.45, q75=0.55, q90=0.58, q95=0.6)
    assert average(scored, ACCURACY)["width90"] == pytest.approx(0.2)
    assert average(scored)["width90"] == pytest.approx(np.log(1.5))
    assert (as_share(ACCURACY, 0.02), percent(ACCURACY)) == (0.02, " points")
