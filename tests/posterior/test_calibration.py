"""A small version of benchmarks/calibration.py: do 90% intervals cover the truth?"""

import numpy as np
import pymc as pm
import pytest
from conftest import simulated_table
from scipy import stats

from bayescale import Runs, build_model, fit, load_model, read_runs

TABLES = 20
NAMES = ("E", "alpha", "beta")


@pytest.fixture(scope="module")
def ranks():
    """Share of posterior draws below the truth, shape (tables, names), and below 1.3 truths."""
    design = read_runs(simulated_table())
    model = build_model(load_model("chinchilla"), design)
    *truths, log_loss = pm.draw(
        [*(model[name] for name in NAMES), model["log_loss"]],
        draws=TABLES,
        random_seed=5,
        mode="FAST_COMPILE",
    )
    found = np.empty((2, TABLES, len(NAMES)))
    for table in range(TABLES):
        runs = Runs(design.table.assign(loss=np.exp(log_loss[table])), "simulated")
        posterior = fit(
            runs, "chinchilla", draws=250, tune=500, seed=table, progress=False
        ).posterior
        for column, (name, truth) in enumerate(zip(NAMES, truths, strict=True)):
            found[0, table, column] = (posterior[name] < truth[table]).mean()
            found[1, table, column] = (posterior[name] < 1.3 * truth[table]).mean()
    return found


def covered(ranks):
    return ((ranks > 0.05) & (ranks < 0.95)).sum()


@pytest.mark.slow
def test_intervals_cover_the_truth(ranks):
    trials = TABLES * len(NAMES)
    assert stats.binomtest(int(covered(ranks[0])), trials, 0.9).pvalue > 0.01


@pytest.mark.slow
def test_intervals_do_not_cover_what_is_not_true(ranks):
    trials = TABLES * len(NAMES)
    assert stats.binomtest(int(covered(ranks[1])), trials, 0.9).pvalue < 0.01
