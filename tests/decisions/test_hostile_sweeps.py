"""Sweeps that say little can be fitted, and say what they do not know."""

import warnings

import numpy as np
import pandas as pd
import pytest

from bayescale import fit, floors, read_sweep, sweep_model
from bayescale.decisions.hyperparameters import bracketed
from bayescale.errors import RunsError, RunsWarning
from bayescale.laws.bowl import rise

pytestmark = pytest.mark.slow

RATES = 0.001 * 2.0 ** np.arange(6)


def sweep(best, sizes=(1e8, 2e8, 4e8), ratios=(20, 80)):
    rng = np.random.default_rng(4)
    rows = [(n, r * n, x) for n in sizes for r in ratios for x in RATES]
    table = pd.DataFrame(rows, columns=["params", "tokens", "learning_rate"])
    floor = 1.8 + 400 * table["params"] ** -0.34 + 1500 * table["tokens"] ** -0.36
    bowl = rise(np.log(table["learning_rate"] / best), 0.03, 0.7)
    noise = 0.001 * rng.standard_normal(len(table))
    return table.assign(loss=floor * np.exp(bowl + noise))


def fitted(table, knobs, **reading):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        runs = read_sweep(table, knobs, **reading)
        return fit(runs, sweep_model(runs, knobs), draws=250, tune=300, progress=False)


@pytest.mark.parametrize(("best", "side"), [(0.0001, "below")])
def test_a_sweep_that_ends_before_its_best_is_fitted_and_not_bracketed(best, side):
    found = fitted(sweep(best), "learning_rate")
    assert (bracketed(found).sel(side=side) > 0.9).all()
    with pytest.warns(RunsWarning), pytest.raises(RunsError, match="best settings of every cell"):
        floors(found)


def test_a_constant_batch_leaves_the_model_of_one_knob():
    found = fitted(sweep(0.006).assign(batch_size=256), ["learning_rate", "batch_size"])
    assert found.spec.axes == ("learning_rate",)
    middle = found.posterior["x_best"].median(("chain", "draw"))
    np.testing.assert_allclose(np.log(middle / 0.006), 0, atol=0.15)


def test_a_single_cell_has_its_bowl():
    found = fitted(sweep(0.006, sizes=(1e8,), ratios=(20,)), "learning_rate")
    assert not found.groups
    assert float(np.log(found.natural["x_best"].median() / 0.006)) == pytest.approx(0, abs=0.2)
