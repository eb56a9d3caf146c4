import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale.laws import accuracy_power_law, task_accuracy
from bayescale.laws.task_accuracy import guessing

exponents = st.floats(0.1, 1.0)
levels = st.floats(-2.0, 1.5)
chances = st.sampled_from([0.0, 0.1, 0.25, 0.5])
lucks = st.floats(0.1, 5.0)
sizes = st.floats(1e7, 1e11)
NATURAL = {"A": 40.0, "B": 90.0, "alpha": 0.25, "beta": 0.2, "luck": 1.0}


def known(accuracy, chance, luck):
    """Share that is known beyond guessing."""
    least = guessing(chance, luck)
    return (accuracy - least) / (1.0 - least)


@given(levels, st.floats(0.05, 0.95), exponents, exponents, lucks, chances, sizes, sizes)
def test_reference_run_has_the_sampled_level_and_split(
    level, split, alpha, beta, luck, chance, params, tokens
):
    sampled = {"level": level, "split": split, "alpha": alpha, "beta": beta, "luck": luck}
    natural = task_accuracy.to_natural(sampled, (params, tokens, chance))
    said = known(task_accuracy(params, tokens, chance, **natural), chance, luck)
    assert np.log(-np.log(said)) == pytest.approx(level, abs=1e-6)
    without = known(task_accuracy(params, tokens, chance, **{**natural, "B": 0.0}), chance, luck)
    assert np.log(without) / np.log(said) == pytest.approx(split, rel=1e-6)


@given(levels, exponents, lucks, chances, sizes)
def test_one_axis_is_the_joint_law_without_its_other_term(level, gamma, luck, chance, x):
    sampled = {"level": level, "gamma": gamma, "luck": luck}
    natural = accuracy_power_law.to_natural(sampled, (1e9, chance))
    joint = {"A": natural["A"], "alpha": gamma, "B": 0.0, "beta": 1.0, "luck": luck}
    said = accuracy_power_law(x, chance, **natural)
    assert said == pytest.approx(float(task_accuracy(x, 1.0, chance, **joint)))


@given(st.integers(2, 40), sizes, sizes)
def test_an_answer_of_more_tokens_scales_both_amplitudes_and_no_exponent(length, params, tokens):
    exact = {**NATURAL, "luck": 1e-12}  # nothing is right by luck
    one = task_accuracy(params, tokens, 0.0, **exact)
    long = {**exact, "A": length * exact["A"], "B": length * exact["B"]}
    assert task_accuracy(params, tokens, 0.0, **long) == pytest.approx(one**length, abs=1e-12)


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5])
def test_models_that_know_nothing_guess_and_large_ones_know_all(chance):
    assert task_accuracy(1.0, 1.0, chance, **NATURAL) == pytest.approx(guessing(chance, 1.0))
    assert abs(guessing(chance, 1.0) - chance) < 0.004
    assert task_accuracy(1e80, 1e80, chance, **NATURAL) == pytest.approx(1.0)


def test_guessing_may_miss_the_chance_level_by_points():
    low, high = (guessing(0.25, np.exp(z)) for z in (-1.64, 1.64))
    assert 0.20 < low < 0.235
    assert 0.275 < high < 0.31
    assert guessing(0.0, np.exp(1.64)) < 0.02


@given(st.floats(1e19, 1e26), st.floats(2.0, 8.0), chances)
def test_compute_inverts_the_accuracy_of_the_optimum(flops, k, chance):
    given_ = {**NATURAL, "chance": chance}
    params = task_accuracy.optimum(flops, k, **given_)
    best = task_accuracy(params, flops / (k * params), chance, **NATURAL)
    assert task_accuracy.compute(best, k, **given_) == pytest.approx(flops, rel=1e-6)
    for other in (0.9 * params, 1.1 * params):
        assert task_accuracy(other, flops / (k * other), chance, **NATURAL) <= best


@pytest.mark.parametrize("chance", [0.0, 0.25])
def test_no_compute_makes_a_model_perfect_and_guessing_needs_none(chance):
    given_ = {**NATURAL, "chance": chance}
    assert task_accuracy.compute(1.0, 6.0, **given_) == np.inf
    assert task_accuracy.compute(guessing(chance, 1.0) / 2, 6.0, **given_) == 0.0
