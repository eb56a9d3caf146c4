"""The floor of a cell is the loss at its best settings, with what is known of it."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_fit

from bayescale import Fit, fit, floors, load_model, predict, read_sweep, sweep_model
from bayescale.errors import FitError, RunsError, RunsWarning

CELLS = [(1e8, 2e9), (1e8, 8e9), (4e8, 8e9)]
RATES = 0.001 * 2.0 ** np.arange(5)


def swept(cells, rates, best=0.004, noise=0.0, seed=0):
    """Bowls over the floors of a law of params and tokens."""
    rng, rows = np.random.default_rng(seed), []
    for n, d in cells:
        floor = 1.8 + 400 * n**-0.34 + 1500 * d**-0.36
        for rate in rates if np.ndim(rates) else rng.choice(RATES, size=rates):
            u = np.log(rate / best)
            loss = floor * np.exp(0.03 * (np.exp(0.7 * u) - 1 - 0.7 * u))
            loss *= np.exp(noise * rng.standard_normal())
            rows.append({"params": n, "tokens": d, "learning_rate": rate, "loss": loss})
    return pd.DataFrame(rows)


def read(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return read_sweep(table, "learning_rate")


def known_sweep(best=(0.004, 0.004, 0.004), sd=0.001, spread=0.1, draws=400):
    """A fake posterior of three bowls, whose floors are 3.0, 2.8 and 2.6."""
    runs, rng = read(swept(CELLS, RATES)), np.random.default_rng(5)
    spec = load_model("tuning")
    names = list(runs.table["cell"].unique())

    def draw(values, sds):
        normal = rng.standard_normal((1, draws, len(names)))
        normal -= normal.mean(axis=1, keepdims=True)
        return ("chain", "draw", "group"), values * np.exp(sds * normal / normal.std(axis=1))

    posterior = xr.Dataset(
        {
            "L_min": draw(np.array([3.0, 2.8, 2.6]), sd),
            "x_best": draw(np.asarray(best), spread),
            "curvature": draw(np.full(3, 0.03), 0.1),
            "asymmetry": (("chain", "draw"), np.full((1, draws), 0.7)),
        },
        coords={"group": names},
    )
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"model": spec.name, "model_spec": spec.source}
    return Fit(spec, runs, tree)


def test_floors_are_the_levels_of_the_cells_and_their_sds():
    table = floors(known_sweep()).table
    assert table["run"].tolist() == ["100M 2.00B", "100M 8.00B", "400M 8.00B"]
    np.testing.assert_allclose(table["params"], [1e8, 1e8, 4e8])
    np.testing.assert_allclose(table["tokens"], [2e9, 8e9, 8e9])
    np.testing.assert_allclose(table["flops"], 6 * table["params"] * table["tokens"])
    np.testing.assert_allclose(table["loss"], [3.0, 2.8, 2.6], rtol=2e-4)
    np.testing.assert_allclose(table["log_loss_sd"], 0.001, rtol=0.01)
    assert table["bracketed"].tolist() == [1.0, 1.0, 1.0]
    assert "learning_rate" not in table
    assert "ceiling" not in table


def test_cells_whose_best_lies_beyond_the_tried_values_are_left_out_and_named():
    with pytest.warns(RunsWarning, match=r"1 cell left out.*100M 8.00B \(less than 1%\)"):
        found = floors(known_sweep(best=(0.004, 0.05, 0.004)))
    assert found.table["run"].tolist() == ["100M 2.00B", "400M 8.00B"]
    assert [one.name for one in found.notices] == ["floors not bracketed"]
    with pytest.warns(RunsWarning), pytest.raises(RunsError, match="every cell lie beyond"):
        floors(known_sweep(best=(0.05, 0.05, 0.0001)))


def test_fits_of_anything_else_have_no_floors():
    with pytest.raises(FitError, match="chinchilla has no floors of cells"):
        floors(known_fit())


@pytest.mark.slow
def test_best_runs_of_many_are_lucky_and_floors_are_not():
    """Forty runs of noise 1% a cell: the best lies about 2 sds low; of six, one is unlucky."""
    cells = [(n, d) for n in (1e8, 2e8, 4e8) for d in (2e9, 8e9, 32e9)]
    truth = np.log([1.8 + 400 * n**-0.34 + 1500 * d**-0.36 for n, d in cells])
    table = swept(cells, np.repeat(RATES, 8), noise=0.01, seed=2)
    runs = read(table.assign(seed=np.arange(len(table))))
    found = floors(fit(runs, sweep_model(runs, "learning_rate"), draws=500, tune=500, seed=1)).table
    off = np.log(found["loss"]) - truth
    best = np.log(table.groupby(["params", "tokens"])["loss"].min().to_numpy()) - truth
    assert np.mean(best) < -0.012
    assert abs(np.mean(off)) < 0.003
    score = off / found["log_loss_sd"]
    assert 0.4 < np.sqrt((score**2).mean()) < 1.8


@pytest.mark.slow
def test_the_law_of_the_floors_is_that_of_the_runs():
    cells = [(n, d) for n in (5e7, 1e8, 2e8, 4e8, 8e8) for d in (2e9, 8e9, 32e9, 128e9)]
    runs = read(swept(cells, 8, noise=0.004, seed=3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        sweep = fit(runs, sweep_model(runs, "learning_rate"), draws=500, tune=500, seed=1)
        law = fit(floors(sweep), "chinchilla", draws=500, tune=500, seed=1)
    for name, value in (("alpha", 0.34), ("beta", 0.36)):
        low, high = law.natural[name].quantile([0.01, 0.99], ("chain", "draw"))
        assert low < value < high
    at = {"params": 8e8, "tokens": 128e9}
    truth = 1.8 + 400 * at["params"] ** -0.34 + 1500 * at["tokens"] ** -0.36
    assert abs(float(np.log(predict(law, at) / truth).median())) < 0.004
