"""Tasks that must not be extrapolated are named, and others are not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_task_fit

from bayescale import (
    Accuracies,
    Fit,
    Runs,
    RunsWarning,
    answer_targets,
    fit,
    load_dataset,
    load_model,
)
from bayescale.decisions.trust import (
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


def changed(own: Fit, change) -> Fit:
    return replace(own, runs=Runs(change(own.runs.table).reset_index(drop=True), "changed"))


def scattered(table: pd.DataFrame) -> pd.DataFrame:
    noise = 0.1 * np.random.default_rng(1).standard_normal(len(table))
    return table.assign(accuracy=(table["accuracy"] + noise).clip(0, 1))


def test_of_a_single_task_the_items_say_what_scatter_is_too_much():
    alone = known_task_fit(50).of_group("easy")
    assert task_doubts(alone) == {}
    found = task_doubts(changed(alone, scattered))["easy"]
    assert found.message.startswith("overdispersed")
    assert found.status == Status.REVIEW  # perhaps all tasks of these runs scatter so


def test_a_model_without_groups_has_its_doubts_in_what_is_answered():
    known = known_task_fit(50)
    draws = known.tree["posterior"].to_dataset().sel(group="easy", drop=True)
    tree = xr.DataTree.from_dict({"posterior": draws.assign(concentration=draws["A"])})
    table = known.runs.table[known.runs.table["task"] == "easy"]
    plain = Fit(load_model("task-accuracy"), Runs(scattered(table), "one task"), tree)
    doubts = task_doubts(plain)
    assert tuple(doubts) == Accuracies.direct(plain).tasks == ("accuracy",)
    plans = pd.DataFrame({"params": [7e9], "tokens": [1e12]})
    answer = answer_targets(plain, plans, doubts=doubts)
    assert answer.sentences[0] == "Do not trust what is said of accuracy."


def test_few_runs_of_a_task_are_no_pass():
    few = changed(known_task_fit(50), lambda table: table.groupby("task").tail(4))
    assert task_doubts(few) == {}
    (check,) = task_checks(few)
    assert check.status == Status.REVIEW
    assert check.message.startswith("of easy, hard there are fewer than 5 runs")
    assert said(task(0.08).tail(2)) == "near chance"


def test_losses_have_no_tasks(small_fit):
    assert task_doubts(small_fit) == {}
    assert task_checks(small_fit) == []


@pytest.mark.slow
def test_boolq_and_winogrande_are_named_before_they_are_predicted(data_folder):
    table = load_dataset("downstream_ladder").rename(
        columns={"params_non_embedding": "params", "n_items": "trials"}
    )
    table = table[table["size"] != "1B"]
    with pytest.warns(RunsWarning, match="flops are not 6ND"):
        found = fit(table, "task-accuracy-hierarchical", chains=2, progress=False)
    doubts = task_doubts(found)
    assert {"boolq", "winogrande"} <= set(doubts)
    assert doubts["boolq"].message.startswith("overdispersed")
    assert {check.status for check in task_checks(found)} == {Status.FAIL}
    assert not {"hellaswag", "arc_easy", "piqa", "commonsense_qa", "social_iqa"} & set(doubts)
