"""The best mixture: known optima, caps, and what is refused."""

import numpy as np
import pytest

from bayescale.decisions.mixtures import _least_of, _within

B, BETA = np.array([1.0, 0.4, 0.1]), 0.35
OMEGA = np.array([0.5, 0.2, 0.3])
LOW, HIGH = np.full(3, 1e-4), np.ones(3)
EXACT = (OMEGA * B) ** (1 / (1 + BETA))
EXACT /= EXACT.sum()


def objective(shares):
    return ((OMEGA * B)[:, None] * shares**-BETA).sum(axis=0)


def test_each_corpus_teaching_its_own_target_has_the_exact_optimum():
    start = np.full((3, 1), 1 / 3)
    found = _least_of(objective, start, LOW, HIGH)[:, 0]
    assert found == pytest.approx(EXACT, abs=1e-3)
    wrong = (OMEGA * B) ** (1 / BETA)
    assert np.abs(found - wrong / wrong.sum()).max() > 0.05


def test_an_active_cap_leaves_the_others_in_proportion():
    cap = EXACT[0] - 0.1
    high = np.array([cap, 1.0, 1.0])
    found = _least_of(objective, np.full((3, 1), 1 / 3), LOW, high)[:, 0]
    expected = np.append(cap, EXACT[1:] / EXACT[1:].sum() * (1 - cap))
    assert found == pytest.approx(expected, abs=1e-3)


def test_nearest_mixture_within_bounds_sums_to_one():
    low, high = np.array([0.1, 0.0, 0.0]), np.array([0.5, 0.3, 1.0])
    found = _within(np.array([[0.9], [0.09], [0.01]]), low, high)[:, 0]
    assert found.sum() == pytest.approx(1.0)
    assert (found >= low - 1e-12).all()
    assert (found <= high + 1e-12).all()
