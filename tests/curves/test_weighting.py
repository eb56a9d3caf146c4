"""Weights of the points of a curve, which grow with x and sum to a cap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale.curves.weighting import capped_weights

sizes = st.lists(st.floats(1e-3, 1e24), min_size=1, max_size=60)


@given(sizes, st.floats(0.5, 40), st.floats(0, 2))
def test_weights_sum_to_the_cap_and_never_exceed_one(size, cap, exponent):
    weights = capped_weights(np.array(size), cap, exponent)
    assert weights.sum() == pytest.approx(min(len(size), cap), rel=1e-6)
    assert ((weights >= 0) & (weights <= 1 + 1e-12)).all()


@given(sizes, st.floats(0.5, 40), st.floats(0.1, 2))
def test_a_larger_run_never_weighs_less(size, cap, exponent):
    ordered = capped_weights(np.sort(size), cap, exponent)
    assert (np.diff(ordered) >= -1e-12).all()


def test_a_small_table_keeps_its_weights():
    assert capped_weights(np.array([1.0, 10.0, 100.0]), 8.0, 1.0).tolist() == [1.0, 1.0, 1.0]


def test_ratios_of_weights_below_one_are_those_of_size_to_the_exponent():
    weights = capped_weights(np.array([1.0] * 20 + [4.0] * 20), 8.0, 0.5)
    assert weights[-1] / weights[0] == pytest.approx(2.0)


def test_an_exponent_of_zero_weighs_all_runs_alike():
    assert capped_weights(np.geomspace(1, 1e6, 20), 8.0, 0.0) == pytest.approx(0.4)


def test_the_unit_of_size_does_not_matter():
    size = np.geomspace(1, 1e6, 20)
    assert capped_weights(size * 1e18, 8.0, 0.5) == pytest.approx(capped_weights(size, 8.0, 0.5))
