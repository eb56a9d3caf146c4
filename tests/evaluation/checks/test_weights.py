"""Checks of weighted fits: what was weighed down is neither a misfit nor a cover for one."""

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH

from bayescale import Fit, Status, check_fit, fit, read_runs
from bayescale.evaluation.checks.influence import left_out
from bayescale.evaluation.checks.refits import refits
from bayescale.posterior.prediction import log_likelihood
from bayescale.report.page import sections
from bayescale.report.record import Companions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning"),
]


def half_in_mid_schedule(bend: float = 0.0) -> pd.DataFrame:
    """24 finished runs, and the same in mid-schedule with a loss of 4% more; bent along tokens."""
    flops, size = np.meshgrid(np.geomspace(6e18, 3e21, 4), np.geomspace(0.25, 4, 6))
    params = (np.sqrt(flops / 120) * size).ravel()
    tokens = flops.ravel() / (6 * params)
    x = np.log(tokens)
    loss = TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"]
    loss = loss + TRUTH["B"] * tokens ** -TRUTH["beta"]
    loss = loss * np.exp(bend * np.abs((x - x.mean()) / np.ptp(x)))
    done = pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})
    table = pd.concat(
        [
            done.assign(portion_of_schedule=1.0),
            done.assign(loss=1.04 * loss, portion_of_schedule=0.5),
        ],
        ignore_index=True,
    )
    noise = 0.005 * np.random.default_rng(0).standard_normal(len(table))
    return table.assign(loss=table["loss"] * np.exp(noise))


def weighted(table: pd.DataFrame, weight: float = 0.1) -> Fit:
    runs = read_runs(table, mid_schedule=weight)
    return fit(runs, "chinchilla", draws=500, tune=500, progress=False)


@pytest.fixture(scope="module")
def true_law() -> Fit:
    return weighted(half_in_mid_schedule())


def test_runs_that_were_weighed_down_are_no_misfit(true_law):
    checks = check_fit(true_law)
    assert [str(check) for check in checks if check.status is Status.FAIL] == []
    assert len(refits(true_law).cells) == 24
    assert int(left_out(true_law)["pit"].notnull().sum()) == 24


def test_law_that_is_wrong_for_the_finished_runs_fails():
    checks = check_fit(weighted(half_in_mid_schedule(bend=0.4)))
    failed = [check.name for check in checks if check.status is Status.FAIL]
    assert any(name.startswith("law along") for name in failed)


def test_leaving_a_run_out_takes_what_it_contributed(true_law):
    shift = left_out(true_law)["shift"].to_numpy()
    contributed = 0.1 * log_likelihood(true_law)[..., -1]  # a run of weight 0.1
    # Importance weights of this run are mild: plain ones say the same as smoothed ones.
    ratio = np.exp(-contributed)
    posterior = true_law.posterior
    best = np.log(posterior["A"] * posterior["alpha"] / (posterior["B"] * posterior["beta"]))
    best = (best + posterior["beta"] * np.log(3e21 / 6)) / (posterior["alpha"] + posterior["beta"])
    moved = float(((ratio * best).sum() / ratio.sum() - best.mean()) / best.std())
    assert shift[-1] == pytest.approx(moved, abs=0.03)


def test_too_few_runs_of_weight_1_ask_for_a_look():
    table = half_in_mid_schedule()
    table["portion_of_schedule"] = np.where(table.index < 5, 1.0, 0.5)
    fitted = weighted(table, 0.5)
    checks = check_fit(fitted)
    [check] = [check for check in checks if check.name == "weighted runs"]
    assert check.status is Status.REVIEW
    assert "5 configurations have a weight of 1" in check.message
    assert "LOO-PIT" not in [check.name for check in checks]
    titles = [part.title for part in sections(fitted, [1e22], Companions(checks=tuple(checks)))]
    assert "Does the law fit?" not in titles
    assert "Parameters" in titles
