"""Answers: what speaks against one travels with it, and what cannot be said is not said."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_fit, known_grouped_fit

from bayescale import (
    Answer,
    Fit,
    Runs,
    answer_bend,
    answer_multiplier,
    answer_next_runs,
    answer_optima,
    answer_overtraining,
    answer_plans,
    answer_plans_by_law,
    answer_predictions,
    answer_repetition,
    cheapest,
    compute_multiplier,
    compute_optimal,
    constants_fit,
    crossing,
    log_optimum,
    plan_outcomes,
    rank_plans,
    read_plans,
    suggest_runs,
    target_loss,
)
from bayescale.decisions.allocation import _optimum_sentence
from bayescale.decisions.answer import Tested as Backtested
from bayescale.decisions.answer import count_of, interval_of, number_of, verdict_of
from bayescale.files import SCHEMA
from bayescale.posterior.prediction import with_few_draws

BUDGET = 1e22
FALLING = {  # the farseer law where tokens are worth nothing
    **{"a1": 0.0, "b1": -20.0, "c1": -0.5},
    **{"a2": 88.01, "b2": -6.287, "c2": -0.1},
    **{"a3": -0.021, "b3": -0.091, "c3": 0.169},
}
PLANS = pd.DataFrame({"params": [5e9, 2e10], "tokens": [2e12, 5e11]})


def discredited(own: Fit) -> Fit:
    """A sampler that missed part of the posterior, and a check that FAILed."""
    tree = own.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][0, :7] = True
    broken = replace(own, tree=tree)
    return broken.with_failures({"convergence": "7 divergent", "law along tokens": "it bends"})


def overtraining(own: Fit) -> Answer:
    target = target_loss(own, flops=BUDGET)
    return answer_overtraining(own, target, cheapest(own, target, 1e12))


def plans(own: Fit) -> Answer:
    return answer_plans(own, rank_plans(plan_outcomes(own, read_plans(PLANS))))


def next_runs(own: Fit) -> Answer:
    return answer_next_runs(own, suggest_runs(own, log_optimum(own, BUDGET), max_flops=1e21))


def by_law(own: Fit) -> Answer:
    return answer_plans_by_law({"a": own, "b": own}, {"a": 0.5, "b": 0.5}, read_plans(PLANS))


ASKED = {
    "optima": lambda own: answer_optima(own, [BUDGET]),
    "overtraining": overtraining,
    "plans": plans,
    "plans by law": by_law,
    "next runs": next_runs,
    "bend": answer_bend,
    "repetition": answer_repetition,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_what_discredits_an_answer_travels_with_it(small_fit, ask):
    sound, answer = (ask(with_few_draws(own)) for own in (small_fit, discredited(small_fit)))
    assert (sound.caveats, sound.numbers["converged"], sound.numbers["failed"]) == ((), True, [])
    first, second = answer.caveats[:2]
    assert first.startswith("not converged, do not use these numbers: chinchilla: 7 divergent")
    assert second.startswith("FAIL law along tokens: it bends.")
    assert len(answer.caveats) == 2  # that it did not converge is said once
    assert answer.numbers["converged"] is False
    assert answer.numbers["failed"] == ["convergence", "law along tokens"]
    further = [one for one in answer.sentences if one not in sound.sentences]
    assert [one for one in answer.sentences if one in sound.sentences] == list(sound.sentences)
    assert set(further) <= {"Beyond the runs along tokens, where FAILed: law along tokens."}
    assert str(answer) == "\n".join((*answer.caveats, *answer.sentences))
    written = json.loads(answer.to_json())
    assert (written["schema"], written["caveats"]) == (SCHEMA, list(answer.caveats))
    assert written["sentences"] == list(answer.sentences)


def test_a_part_of_a_fit_says_whether_the_whole_converged(small_fit):
    few = with_few_draws(small_fit)
    assert few.part_of is small_fit
    assert few.problems == small_fit.problems == ()
    assert with_few_draws(discredited(small_fit)).problems[0].startswith("7 divergent")
    whole = known_grouped_fit(a={}, b={"E": 1.9})
    assert whole.of_group("a").part_of is whole
    assert with_few_draws(whole.of_group("a")).part_of is whole


def test_constants_are_neither_converged_nor_not():
    answer = answer_optima(known_fit(), [BUDGET])
    assert (answer.numbers["converged"], answer.numbers["problems"], answer.caveats) == (
        None,
        [],
        (),
    )


def test_numbers_are_of_the_draws_beside_them():
    whole = known_grouped_fit(a={}, b={"E": 1.9})
    answer = answer_optima(whole, [1e21, BUDGET])
    entry = answer.numbers["optima"][-1]
    assert (entry["group"], entry["flops"]) == ("b", BUDGET)
    draws = answer.draws.sel(group="b", flops=BUDGET)
    assert entry["params"]["median"] == pytest.approx(float(draws["params"].median()))
    assert entry["decades_beyond"] == pytest.approx(float(draws["decades_beyond"]))
    law = {"E": 1.7, "A": 400.0, "alpha": 0.3, "sigma": 0.01, "nu": 5.0}
    alone = answer_predictions(constants_fit("power-law-tokens", **law), [1e10, 1e12])
    losses = alone.draws["loss"].squeeze().to_numpy().tolist()
    assert losses == [entry["loss"]["median"] for entry in alone.numbers["predictions"]]
    assert losses == pytest.approx([1.7 + 400.0 * at**-0.3 for at in (1e10, 1e12)])


def test_one_target_of_a_multiplier_is_one_sentence():
    whole = known_grouped_fit(a={}, b={"A": 300.0})
    found = compute_multiplier(whole, "a", "b", losses=[2.2], same_validation=True)
    answer = answer_multiplier(whole, found)
    assert answer.draws is found
    [sentence] = answer.sentences
    assert sentence.startswith("For a loss of 2.200 a needs ")
    assert f"{answer.numbers['targets'][0]['multiplier']['median']:.2f}" in sentence


def test_which_group_is_better_at_a_budget_is_said_first():
    whole = known_grouped_fit(a={}, b={"A": 300.0})
    found = compute_multiplier(whole, "a", "b", losses=[2.2], same_validation=True)
    budgets = crossing(whole, "a", "b", [1e22, 1e24], same_validation=True)
    answer = answer_multiplier(whole, found, budgets)
    first, second, last = answer.sentences
    assert first.startswith(
        "At 1e22 FLOPs b is better, with probability more than 99%: the loss of a less"
    )
    assert second.startswith("At 1e24 FLOPs b is better")
    assert second.endswith(" decades beyond the runs.")
    assert last.startswith("For a loss of 2.200 a needs ")
    entry = answer.numbers["budgets"][0]
    assert (entry["flops"], entry["p_better"]) == (1e22, 0.0)
    gap = (compute_optimal(whole, 1e22)["loss"] * xr.DataArray([1, -1], dims="group")).sum("group")
    assert entry["difference"]["median"] == pytest.approx(float(gap.median()), rel=1e-3)
    turned = compute_multiplier(whole, "b", "a", losses=[2.2], same_validation=True)
    budgets = crossing(whole, "b", "a", 1e22, same_validation=True)
    assert (
        answer_multiplier(whole, turned, budgets)
        .sentences[0]
        .startswith(
            "At 1e22 FLOPs b is better, with probability more than 99%: the loss of b less that of "
            "a is -"
        )
    )


@pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")
def test_a_budget_without_a_best_size_is_said_to_have_none():
    answer = answer_optima(constants_fit("farseer", **FALLING), [1e21])
    [entry], [sentence] = answer.numbers["optima"], answer.sentences
    assert entry["params"]["median"] is None
    assert sentence.startswith("For 1e21 FLOPs: no size is best in any draw")
    assert json.loads(answer.to_json())["optima"][0]["without_optimum"] == 1
    best = answer_optima(known_fit(), [1e21])
    assert "no size is best" not in _optimum_sentence(best.numbers["optima"][0])


def test_ends_that_are_unbounded_are_words():
    value = {"q05": 1e9, "median": 2e9, "q95": 4e9}
    assert count_of(value, "tokens") == "2.00B tokens (1.00 to 4.00B)"
    assert count_of({**value, "q95": None}) == "at least 1.00B"
    assert count_of(dict.fromkeys(value), "tokens") == "an unbounded number of tokens"
    assert number_of(dict.fromkeys(value, 0.0)) == "0.0"
    near = {"q05": 0.0, "median": 1e-9, "q95": 2e-9}  # different, however small
    assert interval_of(near, str) == "1e-09 (0.0 to 2e-09)"


def test_json_of_an_answer_is_strict():
    answer = Answer(None, {"loss": np.inf, "params": {"q95": float("nan")}}, ("a",))
    assert json.loads(answer.to_json()) == {
        **{"schema": SCHEMA, "loss": None, "params": {"q95": None}},
        **{"sentences": ["a"], "caveats": []},
    }


@pytest.mark.parametrize(
    ("decades", "ratio", "word"),
    [
        *((0.0, None, "supported"), (0.0, 0.2, "supported"), (0.0, 0.9, "untested")),
        *((0.0, -0.9, "untested"), (0.8, 0.0, "tested"), (0.8, 0.9, "untested")),
        *((2.0, 0.9, "speculative"), (None, None, "assumed")),
    ],
)
def test_an_answer_of_other_tokens_per_parameter_is_not_supported(decades, ratio, word):
    tested = Backtested(1.0, str)
    assert verdict_of(known_fit(), decades, tested, ratio).word == word


def test_verdict_of_a_best_size_knows_its_tokens_per_parameter():
    own, budget = known_fit(), 1e21
    best = compute_optimal(own, budget)[["params", "tokens"]].median()
    size, tokens = float(best["params"]), float(best["tokens"])
    for factor, word in ((1.0, "supported"), (4.0, "untested")):
        params = np.geomspace(size / 5, size * 5, 8) * factor
        table = pd.DataFrame({"params": params, "loss": 2.5, "run": ""})
        table["tokens"] = params * tokens / size / factor**2
        table["flops"] = 6 * table["params"] * table["tokens"]
        [entry] = answer_optima(replace(own, runs=Runs(table, "")), budget).numbers["optima"]
        assert (entry["decades_beyond"], entry["verdict"]["word"]) == (0.0, word)
