"""Rows of equal inputs count as their cell: exactly, whatever their number and order."""

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale import Fit, fit, load_model, read_runs, residuals
from bayescale.modelling.build import model_data
from bayescale.posterior import prediction

SEEDS = 40
SHORT = {"draws": 40, "tune": 100, "seed": 1}
ALIKE = ("ignore:swept runs", "ignore:duplicated runs")
pytestmark = [pytest.mark.filterwarnings(each) for each in ALIKE]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Thirty configurations of forty seeds each."""
    whole = simulated_table().loc[np.repeat(np.arange(30), SEEDS)].reset_index(drop=True)
    noise = np.random.default_rng(3).standard_normal(len(whole))
    return whole.assign(loss=whole["loss"] * np.exp(0.01 * noise), seed=np.tile(range(SEEDS), 30))


@pytest.fixture(scope="module")
def cells(table) -> Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(read_runs(table), "chinchilla", **SHORT)


def test_data_of_the_model_are_means_numbers_and_squares_of_cells(table):
    data = model_data(load_model("chinchilla"), read_runs(table))
    logs = np.log(table["loss"].to_numpy()).reshape(30, SEEDS)
    np.testing.assert_allclose(data["observed"], logs.mean(axis=1), rtol=1e-14)
    assert (data["replicates"] == SEEDS).all()
    assert data["seed_freedom"] == 30 * (SEEDS - 1)
    squares = ((logs - logs.mean(axis=1, keepdims=True)) ** 2).sum()
    assert data["seed_squares"] == pytest.approx(squares, rel=1e-12)


def test_posterior_of_many_rows_is_that_of_their_cells(table, cells):
    """Copies add nothing, so five times the rows give the same draws, to the last digit."""
    many = read_runs(pd.concat([table] * 5, ignore_index=True))
    assert len(many) == 150 * SEEDS
    data, again = model_data(cells.spec, many), fit(many, "chinchilla", **SHORT)
    for name, values in model_data(cells.spec, cells.runs).items():
        np.testing.assert_array_equal(values, data[name], name)
    for name in ("E", "A", "B", "alpha", "beta", "sigma", "sigma_seed"):
        np.testing.assert_array_equal(again.posterior[name], cells.posterior[name], name)
    apart = read_runs(many.table.assign(seed=np.arange(len(many))))
    assert model_data(cells.spec, apart)["seed_freedom"] > 5 * data["seed_freedom"]


def test_runs_of_equal_inputs_are_predicted_once(cells, monkeypatch):
    asked = []
    predict = prediction.predict
    monkeypatch.setattr(
        prediction,
        "predict",
        lambda fit, own: asked.append(own["params"].size) or predict(fit, own),
    )
    found = residuals(cells)
    assert max(asked) == 30
    assert found.groupby(["params", "tokens"])["predicted_q95"].nunique().max() == 1
    np.testing.assert_allclose(
        found["residual"], np.log(found["loss"]) - np.log(found["fitted"]), rtol=1e-12
    )
    law = predict(cells, found[["params", "tokens"]]).median(("chain", "draw"))
    np.testing.assert_allclose(found["fitted"], law, rtol=1e-12)
