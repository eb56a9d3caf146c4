"""What recipes are worth in tokens: known answers of a hand-made posterior, and simulations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import (
    RECIPE_GAINS,
    RECIPE_SIZES,
    RECIPE_SLOPES,
    known_recipes,
    simulated_recipes,
)

import bayescale as bs
from bayescale.errors import BayescaleError

SIZES, SLOPES, GAINS = RECIPE_SIZES, RECIPE_SLOPES, RECIPE_GAINS


def middle(draws, **at):
    return draws.sel(**at).median(("chain", "draw")).item()


def test_multipliers_follow_their_trend_to_sizes_without_runs():
    found = bs.recipe_multipliers(known_recipes(), [4e8 * 1.005, 8e8])
    assert found["params"].to_numpy().tolist() == [1e8, 4e8, 8e8]  # within 1% is the same size
    assert found["seen"].to_numpy().tolist() == [True, True, False]
    for params in (1e8, 4e8, 8e8):
        expected = 1.3 * (params / 2e8) ** -0.1
        assert middle(found["multiplier"], recipe="fast", params=params) == pytest.approx(
            expected, rel=1e-3
        )
    assert (found["best"].sel(recipe="fast") == 1).all()
    assert (found["best"].sel(recipe="slow") == 0).all()


def test_a_size_without_runs_scatters_and_a_size_of_the_runs_does_not():
    found = bs.recipe_multipliers(known_recipes(scatter=0.05, draws=2000), [1e9])["multiplier"]
    sd = np.log(found).std(("chain", "draw")).sel(recipe="fast")
    assert float(sd.sel(params=1e9)) == pytest.approx(0.05, rel=0.1)
    assert float(sd.sel(params=4e8)) < 1e-3


def test_the_answer_says_worth_trend_and_savings():
    recipes = known_recipes()
    found = bs.recipe_multipliers(recipes, [8e8])
    answer = bs.answer_recipes(recipes, found, tokens=1e11)
    first, second, *rest = answer.sentences
    assert first.startswith("A token with fast is worth so many of base: 1.39 (1.39 to 1.39) at 10")
    assert "at 800M, 2× the largest run. It falls with size (probability more than 99%)" in first
    share = 1 - 1 / (1.3 * 4**-0.1)
    (entry, other) = answer.numbers["recipes"]
    last = entry["sizes"][-1]
    assert last["saved"]["median"] == pytest.approx(share, rel=0.01)
    assert last["saved_tokens"]["median"] == pytest.approx(share * 1e11, rel=0.01)
    assert last["saved_cost"]["median"] == pytest.approx(6 * 8e8 * share * 1e11, rel=0.01)
    assert "It rises with size" in second
    assert "saves" not in second  # a recipe that is worth less saves nothing
    assert other["sizes"][0]["p_better"] == 0
    assert any("The runs are of 2 sizes" in said for said in rest)
    assert not any("luck" in said for said in rest)  # all were tried as often: one row each


def test_prices_turn_savings_into_money():
    recipes = known_recipes()
    found, prices = bs.recipe_multipliers(recipes), bs.Prices.of_hardware(2.0)
    by_money = bs.answer_recipes(recipes, found, tokens=1e11, prices=prices).numbers["recipes"][0]
    by_flops = bs.answer_recipes(recipes, found, tokens=1e11).numbers["recipes"][0]
    one, other = (own["sizes"][-1]["saved_cost"]["median"] for own in (by_money, by_flops))
    assert one == pytest.approx(other * prices.training)


@pytest.mark.parametrize(("runs", "mean"), [(1, 0.0), (2, 0.5642), (3, 0.8463), (10, 1.5388)])
def test_the_best_of_some_runs_is_better_by_the_known_order_statistics(runs, mean):
    assert bs.expected_best(float(runs))[0] == pytest.approx(mean, abs=1e-4)
    drawn = np.random.default_rng(0).standard_normal((20_000, runs)).max(axis=1)
    assert bs.expected_best(float(runs)) == pytest.approx((drawn.mean(), drawn.std()), abs=0.03)


def test_luck_is_the_gain_of_the_best_of_more_runs_in_tokens():
    recipes = known_recipes({"base": 2, "fast": 30, "slow": 2})
    found = bs.recipe_multipliers(recipes)
    (few, sd), (many, _) = bs.expected_best(2.0), bs.expected_best(30.0)
    scatter = 0.002 * np.sqrt(2)  # sd of Student-t noise of 4 degrees of freedom
    expected = np.exp((many - few) / sd * scatter / (0.2 * 0.3))
    assert middle(found["luck"], recipe="fast", params=1e8) == pytest.approx(expected)
    assert middle(found["luck"], recipe="slow", params=1e8) == pytest.approx(1.0)
    said = str(bs.answer_recipes(recipes, found))
    assert f"fast 30 against 2 at 100M (×{expected:.3f}), 30 against 2 at 400M" in said
    assert "slow 2 against" not in said


def test_numbers_tried_that_are_nearly_the_same_are_not_worth_a_word():
    recipes = known_recipes({"base": 10, "fast": 12, "slow": 9})
    assert "luck" not in str(bs.answer_recipes(recipes, bs.recipe_multipliers(recipes)))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda own: bs.recipe_multipliers(own, [-1.0]), "a size must be positive"),
        (lambda own: bs.expected_best(0.5), "the best is of at least one run"),
        (lambda own: bs.fit_recipes(own.runs, "optimiser", "base"), "lack a column 'optimiser'"),
        (
            lambda own: bs.fit_recipes(own.runs, "optimizer", "bas"),
            "no run has the optimizer 'bas'",
        ),
        (
            lambda own: bs.answer_recipes(own, bs.recipe_multipliers(own), tokens=0.0),
            "the tokens must be positive",
        ),
    ],
)
def test_refused_questions(ask, said):
    with pytest.raises(BayescaleError) as refused:
        ask(known_recipes())
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("optimizer != 'base' or params > 2e8", "no run of base at 1e+08 params"),
        ("optimizer == 'base'", "there is nothing to compare with"),
    ],
)
def test_designs_that_tell_nothing_are_refused(where, said):
    runs = bs.read_recipes(simulated_recipes().query(where), "optimizer")
    with pytest.raises(BayescaleError, match=said.replace("+", r"\+")):
        bs.fit_recipes(runs, "optimizer", "base")


@pytest.mark.slow
def test_simulated_multipliers_are_found_and_recipes_that_are_alike_are_not_told_apart():
    runs = bs.read_recipes(simulated_recipes(noise=0.001), "optimizer")
    found = bs.fit_recipes(runs, "optimizer", "base", progress=False)
    assert found.problems == ()
    ends = bs.summarise(bs.recipe_multipliers(found)["multiplier"])
    for recipe, gain in GAINS.items():
        for params in SIZES:
            truth = np.exp(gain + SLOPES[recipe] * np.log(params / 2e8))
            own = ends.sel(recipe=recipe, params=params)
            assert own.sel(summary="q05") < truth < own.sel(summary="q95")
            assert float(own.sel(summary="q95") / own.sel(summary="q05")) < 1.25
    same = simulated_recipes(noise=0.001).query("optimizer == 'base'")
    copy = (
        simulated_recipes(noise=0.001, seed=1).query("optimizer == 'base'").assign(optimizer="copy")
    )
    alike = bs.fit_recipes(
        bs.read_recipes(pd.concat([same, copy]), "optimizer"), "optimizer", "base", progress=False
    )
    ends = bs.summarise(bs.recipe_multipliers(alike)["multiplier"])
    assert (ends.sel(summary="q05") < 1.02).all()
    assert (ends.sel(summary="q95") > 0.98).all()


@pytest.mark.slow
def test_optimizers_of_marin(data_folder):
    runs = bs.read_recipes(
        data_folder / "optimizers_marin_best.csv",
        "optimizer",
        size="params_nonembedding",
        least_of=["loss", "recorded_min_loss"],
    )
    found = bs.fit_recipes(runs, "optimizer", "adamw", progress=False)
    assert found.problems == ()
    draws = bs.recipe_multipliers(found, [1.208e9])["multiplier"].sel(recipe="muon")
    ends = bs.summarise(draws).transpose("params", "summary").to_numpy()
    assert ends[0] == pytest.approx([1.32, 1.27, 1.36], abs=0.015)
    assert ends[2] == pytest.approx([1.24, 1.20, 1.29], abs=0.015)
    assert ends[3] == pytest.approx([1.21, 1.13, 1.30], abs=0.015)


def test_a_size_at_which_a_recipe_has_no_runs_is_not_one_of_its_own():
    recipes = known_recipes()
    own = recipes.own
    kept = ~((own.recipe == own.recipes.index("fast")) & (own.size == 1))
    fewer = replace(
        own,
        **{n: getattr(own, n)[kept] for n in ("recipe", "size", "log_tokens", "observed")},
    )
    runs = replace(recipes.runs, table=recipes.runs.table[kept])
    without = replace(recipes, own=fewer, runs=runs)
    answer = bs.answer_recipes(without, bs.recipe_multipliers(without))
    fast, slow = answer.numbers["recipes"]
    assert [size["seen"] for size in fast["sizes"]] == [True, False]
    assert [size["seen"] for size in slow["sizes"]] == [True, True]
    assert "at 400M, where it has no runs" in answer.sentences[0]
