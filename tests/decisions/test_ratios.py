"""Tokens per parameter of answers: those of the runs unless asked, and said where not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, known_fit

from bayescale import (
    Fit,
    Runs,
    answer_next_runs,
    answer_optima,
    answer_overtraining,
    answer_plans,
    candidate_runs,
    cheapest,
    constants_fit,
    rank_plans,
    suggest_runs,
    target_loss,
    words,
)
from bayescale.decisions.equal_loss import equal_loss
from bayescale.errors import FitError
from bayescale.posterior.posterior import Posterior


def with_runs(low: float = 5.0, high: float = 100.0) -> Fit:
    """Known draws, and two runs of 1e20 FLOPs that span a range of ratios."""
    params = np.sqrt(1e20 / (6 * np.array([low, high])))
    table = pd.DataFrame({"run": ["a", "b"], "params": params, "tokens": params * [low, high]})
    table["flops"], table["loss"] = 6 * table["params"] * table["tokens"], 2.5
    return replace(known_fit(60, 1e-2), runs=Runs(table, "two runs"))


def ratios(table) -> np.ndarray:
    return np.asarray(table["tokens"] / table["params"])


def test_next_runs_stay_within_the_runs_unless_asked():
    fit = with_runs()
    found = suggest_runs(fit, 1e23, max_flops=1e22)
    for table in (found.candidates, found.picks):
        assert ((ratios(table) > 5 / 1.001) & (ratios(table) < 100 * 1.001)).all()
    assert "All have 5.00 to 100 tokens per parameter, as the runs have; --min-ratio" in str(
        answer_next_runs(fit, found)
    )
    asked = suggest_runs(fit, 1e23, max_flops=1e22, min_ratio=1, max_ratio=900)
    assert ratios(asked.candidates).min() == pytest.approx(1)
    assert ratios(asked.picks).max() == pytest.approx(900)  # control: further out tells more
    answer = answer_next_runs(fit, asked)
    assert answer.numbers["ratios"] == {"min": 1.0, "max": 900.0, "of": "asked"}
    assert "as asked" in str(answer)


@pytest.mark.parametrize("runs", [1, 2])
def test_what_next_runs_remove_is_said_in_the_number_of_runs_and_as_a_factor(runs):
    fit = with_runs()
    found = suggest_runs(fit, 1e23, max_flops=1e22, runs=runs)
    said = str(answer_next_runs(fit, found))
    assert len(found.picks) == runs
    opening = "It" if runs == 1 else "FLOPs and"
    now, then = (
        f"{words.significant(sd, 3)} (a factor of {words.significant(np.exp(sd), 3)})"
        for sd in (found.sd, found.expected_sd)
    )
    assert f"{opening} should lower its sd from {now} to {then}, " in said


def test_given_candidates_outside_the_runs_are_named():
    fit, table = with_runs(), pd.DataFrame({"params": [1e9, 1e9], "tokens": [2e10, 4e11]})
    found = suggest_runs(fit, 1e23, max_flops=1e22, candidates=table)
    said = str(answer_next_runs(fit, found))
    assert (
        "Outside 5.00 to 100 tokens per parameter, as the runs have: 1.00B parameters on " in said
    )


def test_runs_of_one_ratio_have_candidates_of_that_ratio():
    table = candidate_runs(with_runs(20, 20), 1e22)
    np.testing.assert_allclose(ratios(table), 20)
    assert len(table) == 20
    assert ratios(candidate_runs(known_fit(3), 1e22)).max() == pytest.approx(500)  # no runs


@pytest.mark.parametrize("served", [1e11, 1e13, 1e16])
def test_cheapest_model_stays_within_the_runs(served):
    """The end of the range is the cheapest model of the loss that is allowed: compare a grid."""
    fit = with_runs()
    target = target_loss(fit, flops=1e22)
    found = cheapest(fit, target, served)
    ratio = found["tokens_per_param"].to_numpy()
    assert (ratio < 100 * 1.001).all()
    free = cheapest(fit, target, served, max_ratio=1e9)
    assert (free["tokens_per_param"] > 100).all() == (served > 1e12)
    question = equal_loss(Posterior.of(fit))
    loss = Posterior.of(fit).to_rows(target)
    sizes = np.geomspace(1e8, 1e12, 1000)
    grid = question.at_sizes(loss, np.log(sizes)[None], np.array([served]))
    allowed = (grid["tokens_per_param"] <= 100) & (grid["tokens_per_param"] >= 5)
    least = np.where(allowed, grid["cost"], np.inf).min(axis=1)
    np.testing.assert_allclose(found["cost"].to_numpy().ravel(), least, rtol=1e-2)
    reached = Posterior.of(fit).loss(found["params"], found["tokens"])
    np.testing.assert_allclose(reached.squeeze(), target.squeeze(), rtol=1e-6)


def test_lower_end_holds_too():
    fit = with_runs(60, 100)
    found = cheapest(fit, 2.3, 0.0)
    np.testing.assert_allclose(found["tokens_per_param"], 60, rtol=1e-6)
    assert (found["saved"] < 0).all()  # the compute-optimal model has fewer
    said = "The compute-optimal model lies outside these bounds where it costs less."
    assert said in str(answer_overtraining(fit, 2.3, found))
    assert said not in str(answer_overtraining(fit, 2.3, cheapest(fit, 2.3, 0.0, min_ratio=1)))


def test_bent_law_stays_within_the_runs(joint_fit):
    high = ratios(joint_fit.runs.table).max()
    free, own = (cheapest(joint_fit, 2.1, 1e14, max_ratio=most) for most in (1e7, None))
    assert float(free["tokens_per_param"].median()) > 2 * high
    assert float(own["tokens_per_param"].max()) < high * 1.001
    assert float(own["infeasible"].squeeze()) < 0.05


def test_cap_beats_the_range_of_the_runs_and_is_said():
    fit = with_runs()
    capped = cheapest(fit, 2.2, 1e12, max_params=1.5e9)
    assert float(capped["infeasible"].squeeze()) == 0
    said = str(answer_overtraining(fit, 2.2, capped))
    assert "tokens per parameter lie outside 5.00 to 100 tokens per parameter, as the runs" in said
    within = answer_overtraining(fit, 2.2, cheapest(fit, 2.2, 1e13))
    assert "lie outside" not in str(within)
    assert "looked for within 5.00 to 100 tokens per parameter, as the runs have" in str(within)
    strict = cheapest(fit, 2.2, 1e12, max_params=1.5e9, max_ratio=100)
    assert float(strict["infeasible"].squeeze()) > 0.9


def test_constants_have_no_range():
    fit = constants_fit("chinchilla", **TRUTH)
    free = cheapest(fit, 2.2, 1e16)
    assert float(free["tokens_per_param"].squeeze()) > 1e3
    assert "looked for" not in str(answer_overtraining(fit, 2.2, free))


def test_plans_outside_the_runs_are_answered_and_marked():
    fit, table = with_runs(), pd.DataFrame({"params": [1e9, 2e10], "tokens": [5e11, 4e11]})
    answer = answer_plans(fit, rank_plans(fit, table))
    assert [entry["outside"] for entry in answer.numbers["plans"]] == [True, False]
    marked = [line for line in answer.sentences if "Its 500 tokens per parameter lie" in line]
    assert len(marked) == 1
    assert marked[0].startswith("1B on 500B: loss ")


@pytest.mark.parametrize(("high", "outside"), [(2.0, True), (100.0, False)])
def test_optimum_outside_the_runs_is_said_and_not_moved(high, outside):
    fit = with_runs(1.0, high)
    answer = answer_optima(fit, 1e22)
    [entry] = answer.numbers["optima"]
    assert ("tokens per parameter lie outside 1.00 to 2.00" in str(answer)) == outside
    assert bool(entry["marks"]) == outside
    assert entry["tokens_per_param"]["median"] > 4


@pytest.mark.parametrize(
    ("failed", "said"),
    [("law along tokens", True), ("law along compute", True), ("law along epochs", False)],
)
def test_answers_beyond_the_runs_along_an_axis_that_failed_say_so(failed, said):
    fit = with_runs().with_failures({failed: "residuals bend"})
    answers = (
        answer_optima(fit, 1e22),
        answer_next_runs(fit, suggest_runs(fit, 1e23, max_flops=1e22)),
        answer_overtraining(fit, 2.2, cheapest(fit, 2.2, 1e12)),
        answer_plans(fit, rank_plans(fit, pd.DataFrame({"params": [1e10], "tokens": [1e12]}))),
    )
    for answer in answers:
        found = [line for line in answer.sentences if f"where FAILed: {failed}." in line]
        assert bool(found) == said
    inside = rank_plans(fit, pd.DataFrame({"params": [9e8], "tokens": [1.852e10]}))
    assert "where FAILed" not in " ".join(answer_plans(fit, inside).sentences)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"min_ratio": 0}, "min_ratio must be positive"),
        ({"min_ratio": 200.0}, "from 200 to 100 there are no tokens per parameter"),
        ({"max_ratio": "20"}, "max_ratio must be a number"),
    ],
)
def test_ranges_that_are_refused(asked, message):
    with pytest.raises(Exception, match=message) as refused:
        cheapest(with_runs(), 2.2, 1e12, **asked)
    assert isinstance(refused.value, FitError) or "text" in str(refused.value)
