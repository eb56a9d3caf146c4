"""Tasks that must not be extrapolated are named, and others are not."""

import numpy as np
import pandas as pd
import pytest

from bayescale import fit, load_dataset
from bayescale.evaluation.checks.tasks import (
    OVERDISPERSED,
    _doubt,
    _scatter,
    task_checks,
    task_doubts,
)
from bayescale.runs.check import Status

SIZES = np.geomspace(1e18, 1e21, 12)


def task(top=0.7, *, noise=1.0, items=2000, chance=0.25, seed=1):
    """Twelve runs of a task that rises to know so much at its top, with binomial noise."""
    fitted = chance + (1 - chance) * top * np.linspace(0.2, 1.0, 12)
    sd = noise * np.sqrt(fitted * (1 - fitted) / items)
    observed = fitted + sd * np.random.default_rng(seed).standard_normal(12)
    return pd.DataFrame(
        {
            "observed": observed,
            "fitted": fitted,
            "known": (fitted - chance) / (1 - chance),
            "items": float(items),
            "size": SIZES,
        }
    )


def said(own, most=OVERDISPERSED):
    found = _doubt("it", own, _scatter(own), most)
    return "" if found is None else found.message.split(":")[0]


@pytest.mark.parametrize("seed", range(20))
def test_a_task_that_follows_its_law_is_not_named(seed):
    assert said(task(seed=seed)) == ""


def test_a_task_near_chance_gives_no_exponent():
    assert said(task(0.08)) == "near chance"
    assert said(task(0.15, items=20_000)) == ""


def test_a_task_that_scatters_more_than_its_items_is_named_unless_all_do():
    wild = task(noise=4.0)
    assert said(wild) == "overdispersed"
    assert said(wild, most=60.0) == ""
    assert np.isnan(_scatter(wild.assign(items=np.inf)))


def test_a_low_task_that_does_not_rise_is_named_and_a_high_one_is_not():
    low = task(0.25, items=300)
    shuffled = low.assign(observed=np.random.default_rng(3).permutation(low["observed"]))
    assert said(shuffled, most=np.inf) == "does not rise steadily"
    flat = task(0.9, items=300)
    assert said(flat.assign(observed=flat["observed"].iloc[::-1].to_numpy()), most=np.inf) == ""


def test_losses_have_no_tasks(small_fit):
    assert task_doubts(small_fit) == {}
    assert task_checks(small_fit) == []


@pytest.mark.slow
def test_boolq_and_winogrande_are_named_before_they_are_predicted(data_folder):
    table = load_dataset("downstream_ladder").rename(
        columns={"params_non_embedding": "params", "n_items": "trials"}
    )
    table = table[table["size"] != "1B"]
    found = fit(table, "task-accuracy-hierarchical", chains=2, progress=False)
    doubts = task_doubts(found)
    assert {"boolq", "winogrande"} <= set(doubts)
    assert doubts["boolq"].message.startswith("overdispersed")
    assert {check.status for check in task_checks(found)} == {Status.FAIL}
    assert not {"hellaswag", "arc_easy", "piqa", "commonsense_qa", "social_iqa"} & set(doubts)
