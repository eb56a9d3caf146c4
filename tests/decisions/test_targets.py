"""Accuracies of planned runs, of hand-made posteriors whose answers are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TASK_TRUTH, known_fit, known_task_fit
from scipy.stats import binom

from bayescale import (
    Accuracies,
    Check,
    FitError,
    Status,
    answer_predictions,
    answer_targets,
    compute_for,
    compute_optimal,
    constants_fit,
    items_to_see,
    load_model,
    planned_accuracy,
    suite_compute_for,
    suite_weights,
    usual_ratio,
)

PLANS = pd.DataFrame({"plan": ["small", "large"], "params": [1e9, 7e9], "tokens": [2e10, 1e12]})
LINK = {"k": 6.0, "x0": 2.2, "luck": 1.0}
OF_GUESSING = "[response]\nchance = 0.25"
DOUBT = Check("overdispersion", Status.REVIEW, "runs scatter 5 times as far", "Leave it out.")


def test_a_plan_has_the_accuracy_of_the_law_on_each_task_and_their_mean():
    accuracies = Accuracies.direct(known_task_fit(50))
    found = planned_accuracy(accuracies, PLANS, suite={"easy": 3.0, "hard": 1.0})
    law = accuracies.at(PLANS["params"].to_numpy(), PLANS["tokens"].to_numpy())
    np.testing.assert_allclose(found["accuracy"], law)
    easy, hard = (law.sel(task=name) for name in accuracies.tasks)
    np.testing.assert_allclose(found["suite"], 0.75 * easy + 0.25 * hard)
    assert found["weight"].to_numpy().tolist() == [0.75, 0.25]
    assert found["flops"].to_numpy().tolist() == [6 * 2e19, 6 * 7e21]


def test_a_suite_of_one_task_is_the_task():
    found = planned_accuracy(known_task_fit(50), PLANS, suite={"hard": 5.0})
    np.testing.assert_array_equal(found["suite"], found["accuracy"].sel(task="hard"))
    np.testing.assert_array_equal(found["suite_measured"], found["measured"].sel(task="hard"))


def test_what_is_measured_of_a_suite_scatters_as_the_items_of_its_tasks_say():
    found = planned_accuracy(known_task_fit(4000, spread=0.0), PLANS)
    p = found["accuracy"].isel(chain=0, draw=0)
    variance = (p * (1 - p) / 1000).sum("task") / 4
    sd = found["suite_measured"].std(("chain", "draw"))
    np.testing.assert_allclose(sd, variance**0.5, rtol=0.05)


def test_a_larger_plan_beats_a_smaller_one_and_equal_ones_tie():
    again = pd.concat([PLANS, PLANS.iloc[[1]].assign(plan="again")])
    beats = answer_targets(known_task_fit(50), again).numbers["beats"]
    found = {(e["first"], e["second"], e["task"]): e["probability"] for e in beats}
    for task in (None, "easy", "hard"):
        assert found["small", "large", task] == 0.0
        assert found["large", "again", task] == 0.5
    assert len(found) == 9


def test_a_difference_of_plans_does_not_pay_for_what_they_share():
    fit = known_task_fit(2000)
    near = pd.DataFrame({"plan": ["a", "b"], "params": [7e9, 7.2e9], "tokens": 1e12})
    found = planned_accuracy(fit, near)["accuracy"]
    of_two = found.var(("chain", "draw")).sum("plan")
    difference = found.diff("plan").var(("chain", "draw")).squeeze("plan")
    assert (difference < 1e-3 * of_two).all()
    beats = answer_targets(fit, near).numbers["beats"][0]
    assert beats["probability"] == 0.0  # more parameters never harm under this law
    assert 0.3 < beats["measured"] < 0.7  # but one run of each may well score otherwise


def test_the_probability_of_a_score_is_that_of_the_draws():
    fit = known_task_fit(1000)
    level = float(planned_accuracy(fit, PLANS)["accuracy"].sel(task="hard", plan="large").median())
    answer = answer_targets(fit, PLANS, above={"hard": level, "suite": 0.01})
    large = answer.numbers["plans"][1]
    assert large["tasks"][1]["above"]["probability"] == 0.5
    assert large["tasks"][0]["above"] is None
    assert large["suite"]["above"]["probability"] == 1.0
    assert "above 1.0% with more than 99%" in str(answer)


@pytest.mark.parametrize("level", [0.3, 0.7, 0.95])
def test_compute_inverts_the_law(level):
    fit = known_task_fit(50)
    for name, chance in (("easy", 0.25), ("hard", 0.0)):
        own = fit.of_group(name).at(chance=chance)
        exact = own.law.compute(level, 6.0, **own.natural)
        found = compute_for(fit, {name: level}).squeeze("task")
        np.testing.assert_allclose(found, exact, rtol=1e-9)
        params = own.law.optimum(exact, 6.0, **own.natural)
        reached = own.law.fresh(params, exact / (6 * params), **own.natural)
        np.testing.assert_allclose(reached, level, rtol=1e-9)


def test_compute_at_a_ratio_reaches_the_accuracy_and_takes_no_less_than_the_optimum():
    accuracies = Accuracies.direct(known_task_fit(50))
    best = compute_for(accuracies, 0.7)
    for ratio in (2.0, 200.0):
        flops = compute_for(accuracies, 0.7, ratio=ratio)
        assert (flops >= best).all()
        np.testing.assert_allclose(accuracies.along(flops, ratio), 0.7, rtol=1e-9)


def test_compute_for_a_suite_lies_between_those_for_its_tasks():
    accuracies = Accuracies.direct(known_task_fit(50))
    weights = suite_weights(accuracies.tasks)
    found = suite_compute_for(accuracies, 0.6, weights)
    each = compute_for(accuracies, 0.6, ratio=usual_ratio(accuracies))
    assert ((found > each.min("task")) & (found < each.max("task"))).all()
    alone = suite_compute_for(accuracies, 0.6, suite_weights(accuracies.tasks, {"hard": 1.0}))
    np.testing.assert_allclose(alone, each.sel(task="hard"))


def test_the_probability_of_reaching_a_score_is_what_was_asked():
    accuracies = Accuracies.direct(known_task_fit(999))
    (entry,) = answer_targets(accuracies, reach={"hard": 0.7}).numbers["reach"]
    at_it = accuracies.of(["hard"]).along(xr.DataArray(entry["flops"]))
    assert float((at_it > 0.7 - 1e-12).mean()) == pytest.approx(0.9, abs=2e-3)
    (other,) = answer_targets(accuracies, reach={"hard": 0.7}, probability=0.5).numbers["reach"]
    assert other["flops"] == pytest.approx(other["needed"]["median"])
    assert other["flops"] < entry["flops"]


def test_what_guessing_reaches_and_what_nothing_does_are_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = answer_targets(known_task_fit(50), reach={"easy": 0.2, "hard": 0.2})
    easy, hard = found.numbers["reach"]
    assert easy["flops"] == 0
    assert hard["flops"] > 0
    assert "easy: guessing reaches 20.0%." in found.sentences
    Path("slow.toml").write_text(f"{load_model('accuracy-power-law').source}\n{OF_GUESSING}")
    slow = constants_fit("slow.toml", A=[3.0, 1e3], gamma=[0.001, 0.2], luck=[1.0, 1.0])
    nothing = answer_targets(slow, reach={"accuracy": 0.9}, ratio=20.0)
    (entry,) = nothing.numbers["reach"]
    assert (entry["flops"], entry["reachable"]) == (None, 0.5)
    assert "accuracy: no compute up to 1e35 FLOPs reaches 90.0%" in nothing.sentences[0]


def test_doubted_tasks_are_named_before_any_number_and_left_out_of_the_suite():
    answer = answer_targets(known_task_fit(50), PLANS, doubts={"hard": DOUBT})
    said = answer.sentences
    assert said[0] == "Do not trust what is said of hard."
    assert said[1:3] == ("hard: runs scatter 5 times as far.", "Leave it out.")
    assert "leaves out hard" in said[3]
    assert any(line.startswith("hard (doubted): small ") for line in said)
    assert any(line.startswith("easy: small ") for line in said)
    assert answer.numbers["suite"] == {"weights": {"easy": 1.0}, "left_out": ["hard"]}
    easy, hard = answer.numbers["plans"][0]["tasks"]
    assert answer.numbers["plans"][0]["suite"]["accuracy"] == easy["accuracy"]
    assert hard["accuracy"]["median"] > 0
    asked = answer_targets(known_task_fit(50), PLANS, doubts={"hard": DOUBT}, with_doubted=True)
    assert asked.numbers["suite"] == {"weights": {"easy": 0.5, "hard": 0.5}, "left_out": []}
    assert asked.sentences[0] == said[0]
    all_out = answer_targets(known_task_fit(50), PLANS, doubts={"hard": DOUBT, "easy": DOUBT})
    assert all_out.numbers["plans"][0]["suite"] is None
    assert all_out.numbers["suite"]["weights"] == {}


def test_where_all_tasks_are_doubted_nothing_is_said_of_the_suite():
    doubts = {"hard": DOUBT, "easy": DOUBT}
    answer = answer_targets(known_task_fit(50), PLANS, doubts=doubts, reach={"suite": 0.7})
    assert "No task is left in it: nothing is said of it." in str(answer)
    assert not any("beats" in line for line in answer.sentences)
    assert {entry["task"] for entry in answer.numbers["beats"]} == {"easy", "hard"}


def test_the_tasks_that_a_plan_is_better_on_are_those_of_the_suite():
    fit = known_task_fit(50, {"easy": 0.25, "hard": 0.0, "other": 0.5})
    said = str(answer_targets(fit, PLANS, doubts={"hard": DOUBT}))
    assert "By the mean of 2 tasks large beats small" in said
    assert "It is better on 2 of 2 tasks with 90% or more." in said


def test_one_task_has_no_suite_to_be_left_out_of():
    alone = known_task_fit(50).of_group("easy")
    answer = answer_targets(alone, PLANS, doubts={"easy": DOUBT})
    assert "suite" not in str(answer)
    assert any(line.startswith("large beats small with") for line in answer.sentences)


def test_an_interval_near_1_holds_its_median():
    best = pd.DataFrame({"params": [1e17], "tokens": [1e17]})
    said = str(answer_targets(known_task_fit(50).of_group("easy"), best))
    assert "100.0%" not in said


def test_checks_that_failed_come_first():
    fit = known_task_fit(50).with_failures({"task hard": "its runs scatter"})
    answer = answer_targets(fit, PLANS)
    assert answer.caveats[0].startswith("FAIL task hard")
    assert answer.numbers["plans"][0]["verdict"]["word"] == "doubtful"
    without = answer_targets(fit, PLANS, reach=0.7, doubts={"hard": DOUBT})
    assert without.numbers["plans"][0]["verdict"]["word"] == "supported"
    words = {entry["task"]: entry["verdict"]["word"] for entry in without.numbers["reach"]}
    assert words == {"easy": "speculative", "hard": "doubtful", None: "speculative"}
    entries = answer_predictions(fit, [1e20]).numbers["predictions"]
    assert [entry["verdict"]["word"] for entry in entries] == ["supported", "doubtful"]


def test_items_that_show_a_gain():
    """The power of the test by binomial draws, at the two ends of what models share."""
    rng = np.random.default_rng(1)
    fewest, most = items_to_see(0.05, 0.6)
    n = round(most)
    apart = (rng.binomial(n, 0.65, 20000) - rng.binomial(n, 0.6, 20000)) / n
    sd = np.sqrt((0.6 * 0.4 + 0.65 * 0.35) / n)
    assert (apart > 1.645 * sd).mean() == pytest.approx(0.9, abs=0.01)
    n = round(fewest)
    held = binom.sf(np.floor(1.645 * np.sqrt(0.05 * 0.95 * n)), n, 0.05)
    assert held == pytest.approx(0.9, abs=0.06)
    assert items_to_see(0.025, 0.6)[1] == pytest.approx(4 * most, rel=0.02)


def test_items_of_a_task_are_beside_what_a_gain_takes():
    answer = answer_targets(known_task_fit(50), PLANS, gain=0.05)
    easy, hard = answer.numbers["items"]
    assert (easy["items"], hard["items"]) == (1000, 1000)
    assert easy["fewest"] < easy["most"]
    p = hard["accuracy"]
    assert hard["sd"] == pytest.approx(np.sqrt((p * (1 - p) + (p + 0.05) * (0.95 - p)) / 1000))
    assert "It has 1,000: " in str(answer)
    assert f"a gain of 5 points over {answer.numbers['plans'][0]['plan']} with" in str(answer)
    assert "a gain of 1 point over" in str(answer_targets(known_task_fit(50), PLANS, gain=0.01))
    best = pd.DataFrame({"params": [1e20], "tokens": [1e20]})
    assert "no model can be 5 points better" in str(
        answer_targets(known_task_fit(50), best, gain=0.05)
    )


def test_a_count_that_all_runs_share_is_said_to_be_the_priors():
    fit = known_task_fit(50)
    assert "prior's word" not in str(answer_targets(fit, PLANS))
    runs = replace(fit.runs, table=fit.runs.table.assign(tokens=2e9))
    said = str(answer_targets(replace(fit, runs=runs), PLANS))
    assert "All runs have about 2.00B tokens: what other tokens do is the prior's word." in said


def test_numbers_of_items_may_be_unknown():
    fit = known_task_fit(50)
    runs = replace(fit.runs, table=fit.runs.table.assign(trials=np.nan))
    answer = answer_targets(replace(fit, runs=runs), PLANS, gain=0.05)
    easy, _ = answer.numbers["items"]
    assert (easy["items"], easy["sd"]) == (None, None)
    assert easy["most"] > easy["fewest"]
    assert answer.numbers["plans"][0]["tasks"][0]["measured"] is not None
    assert "It has" not in str(answer)


def test_constants_say_accuracies_without_noise():
    fit = constants_fit("task-accuracy", **TASK_TRUTH).at(chance=0.25)
    answer = answer_targets(fit, PLANS, reach=0.7, ratio=20.0)
    (task,) = answer.numbers["plans"][0]["tasks"]
    assert task["measured"] is None
    assert [entry["task"] for entry in answer.numbers["reach"]] == ["accuracy"]
    assert answer.numbers["plans"][0]["verdict"]["word"] == "assumed"
    with pytest.raises(FitError, match=r"name them, e\.g\. ratio=20"):
        answer_targets(fit, reach={"suite": 0.7})


def test_a_chain_answers_as_a_direct_law_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loss, source = known_fit(100), load_model("loss-to-accuracy").source
    Path("loss.toml").write_text(f"{source.replace('bpb', 'loss')}\n{OF_GUESSING}")
    own = Accuracies.chain(loss, constants_fit("loss.toml", **LINK))
    flops = compute_for(own, 0.6).squeeze("task")
    best = compute_optimal(loss, 1e22, exponents=False).squeeze("flops")
    np.testing.assert_allclose(
        own.optimum(xr.DataArray(1e22)).squeeze("task").median(), best["params"].median(), rtol=1e-6
    )
    reached = own.along(flops).squeeze("task")
    np.testing.assert_allclose(reached, 0.6, rtol=1e-9)
    answer = answer_targets(own, PLANS, reach=0.6)
    assert answer.numbers["reach"][0]["ratio"] is None
    assert answer.numbers["reach"][0]["flops"] == pytest.approx(
        float(flops.quantile(0.9)), rel=0.02
    )
    assert answer.numbers["beats"][0]["probability"] == 0.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "ask something"),
        ({"gain": 0.1, "reach": 0.5}, "of which models"),
        ({"plans": PLANS, "above": {"hrad": 0.5}}, "did you mean 'hard'"),
        ({"plans": PLANS, "above": 1.2}, "must be a share above 0 and below 1, got 1.2"),
        ({"reach": 70.0}, "got 70; write 70% as 0.7"),
        ({"reach": 0.7, "ratio": 0.0}, "ratio must be positive, got 0"),
        ({"reach": {"suite": 0.7}, "ratio": -1.0}, "ratio must be positive, got -1"),
        ({"plans": PLANS, "gain": 2.0}, "the gain must be a share above 0 and below 1, got 2"),
        ({"plans": PLANS, "suite": {"easy": -1.0}}, "weight of easy must be positive, got -1"),
        ({"reach": 0.5, "probability": 1.0}, "the probability must be a share"),
        ({"plans": PLANS, "gain": 2.0}, "the gain must be a share.* write 2% as 0.02"),
        ({"plans": PLANS, "above": 70.0}, "write 70% as 0.7"),
    ],
)
def test_refusals_say_what_to_do(options, said):
    with pytest.raises(FitError, match=said):
        answer_targets(known_task_fit(50), **options)


def test_of_many_plans_each_is_compared_with_the_best_alone():
    sizes = np.geomspace(1e9, 8e9, 6)
    plans = pd.DataFrame({"params": sizes, "tokens": 1e12, "plan": list("abcdef")})
    answer = answer_targets(known_task_fit(50), plans)
    said = [line for line in answer.sentences if " beats " in line]
    assert len(said) == 5
    assert all(" f beats " in f" {line}" for line in said)
    assert len({(e["first"], e["second"]) for e in answer.numbers["beats"]}) == 15
