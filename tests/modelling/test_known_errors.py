"""What a table says of how exactly its losses were measured adds to the noise."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import simulated_table
from scipy import stats

from bayescale import constants_fit, fit, load_model, predict_runs, read_runs
from bayescale.errors import RunsError, RunsWarning
from bayescale.modelling.build import build_model, model_data
from bayescale.modelling.noise import LEAST, noise_scale
from bayescale.posterior.prediction import cell_draws

NORMAL = load_model("chinchilla-normal")


def measured(sd):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return read_runs(simulated_table().assign(log_loss_sd=sd))


def test_errors_add_in_quadrature_and_replicates_average_them():
    values = {"sigma": 0.003, "sigma_seed": 0.002}
    expected = np.sqrt(0.003**2 + (0.002**2 + 0.004**2) / 4 + LEAST**2)
    np.testing.assert_allclose(noise_scale(values, 4.0, known=0.004), expected)
    assert noise_scale(values, 4.0) == noise_scale(values, 4.0, known=0.0)


def test_the_model_observes_with_both_errors():
    sd = np.linspace(0, 0.02, 30)
    model = build_model(NORMAL, measured(sd))
    observed = model["log_loss"]
    scale = observed.owner.inputs[-1]
    inputs = {model["sigma"]: np.float64(0.004)}
    found = scale.eval(inputs, mode="FAST_COMPILE") * np.ones(30)
    np.testing.assert_allclose(found, np.sqrt(0.004**2 + LEAST**2 + sd**2))


def test_density_and_predictions_of_a_fit_know_them_too():
    sd = np.linspace(0, 0.02, 30)
    known = {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36, "sigma": 0.004}
    law = constants_fit("chinchilla-normal", **known)
    (cells,) = cell_draws(law, measured(sd))
    scale = np.sqrt(0.004**2 + LEAST**2 + sd**2)
    mu = cells.mu.squeeze().to_numpy()
    expected = stats.norm.logpdf(cells.observed.to_numpy(), mu, scale)
    np.testing.assert_allclose(cells.log_density().squeeze(), expected)
    at = {"params": 1e9, "tokens": 2e10}
    exact, rough = (
        [
            float(np.log(predict_runs(law, {**at, **more}, seed=seed)).squeeze())
            for seed in range(1, 200)
        ]
        for more in ({}, {"log_loss_sd": 0.02})
    )
    np.testing.assert_allclose(
        np.std(rough) / np.std(exact), np.sqrt(1 + (0.02 / 0.004) ** 2), rtol=0.01
    )
    assert np.mean(exact) == pytest.approx(np.mean(rough), abs=0.005)


def test_errors_that_are_none_are_refused_by_their_row():
    with pytest.raises(RunsError, match=r"column 'log_loss_sd', row 3"):
        model_data(NORMAL, measured(np.where(np.arange(30) == 2, np.nan, 0.01)))
    with pytest.raises(RunsError, match=r"column 'log_loss_sd', row 3"):
        model_data(NORMAL, measured(np.where(np.arange(30) == 2, -0.01, 0.01)))


def test_a_table_without_them_has_no_such_data():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        assert "observed_sd" not in model_data(NORMAL, read_runs(simulated_table()))


@pytest.mark.slow
def test_runs_measured_badly_hardly_count():
    rng = np.random.default_rng(3)
    bad = np.arange(30) % 3 == 0
    table = simulated_table(noise=0.002)
    table["loss"] *= np.exp(np.where(bad, 0.05 * rng.standard_normal(30), 0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        good = read_runs(table[~bad])
        said = read_runs(table.assign(log_loss_sd=np.where(bad, 0.05, 0.0)))
        silent = read_runs(table)
        without, known, unknown = (
            fit(runs, NORMAL, draws=500, tune=500, seed=1) for runs in (good, said, silent)
        )
    sigma = {
        name: float(own.noise["sigma"].median())
        for name, own in (("without", without), ("known", known), ("unknown", unknown))
    }
    assert sigma["known"] == pytest.approx(sigma["without"], rel=0.25)
    assert sigma["unknown"] > 5 * sigma["known"]  # the control: without the column it is noise
    for name in ("alpha", "beta", "E"):
        one, other = without.natural[name], known.natural[name]
        assert abs(float(one.median() - other.median())) < float(one.std())
        assert float(other.std()) < 1.1 * float(one.std())
    assert isinstance(known.noise["sigma"], xr.DataArray)


def test_replicates_of_unlike_errors_count_by_the_mean_square():
    table = simulated_table().drop(columns="log_loss_sd", errors="ignore")
    twice = [table.assign(seed=seed, log_loss_sd=sd) for seed, sd in ((1, 0.001), (2, 0.05))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        runs = read_runs(pd.concat(twice, ignore_index=True))
    data = model_data(load_model("chinchilla"), runs)
    assert set(data["replicates"]) == {2.0}
    np.testing.assert_allclose(data["observed_sd"], np.sqrt((0.001**2 + 0.05**2) / 2))
