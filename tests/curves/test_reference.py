"""The reference model against SciPy and against a line of known errors."""

import numpy as np
import pytest
from scipy import stats

from bayescale.curves.evidence import Curve
from bayescale.curves.reference import GRID, Reference, log_marginal, reference


def test_marginal_likelihood_is_a_student_t():
    rng = np.random.default_rng(0)
    z = np.sort(rng.uniform(-2, 2, 9))
    z -= (z[0] + z[-1]) / 2
    y = 0.05 * rng.standard_normal(9)
    found = log_marginal(Curve(z, y, np.zeros(9)))
    half = np.ptp(z) / 2
    for i, ell in enumerate((0.5, 1.0, 2.0)):
        for j, eta in enumerate(np.geomspace(0.3, 1000, 14)):
            smooth = np.exp(-0.5 * (np.subtract.outer(z, z) / (ell * half)) ** 2)
            line = 1 + np.outer(z, z) / half**2
            shape = np.eye(9) + 1e4 * line + eta**2 * smooth
            direct = stats.multivariate_t(np.zeros(9), 0.01**2 * shape, df=2).logpdf(y)
            assert found[i, j] == pytest.approx(direct, abs=1e-3)


def test_draws_of_a_straight_line_have_its_slope_and_noise():
    rng = np.random.default_rng(1)
    z = np.linspace(-2, 2, 20)
    y = -0.2 * z + 0.01 * rng.standard_normal(20)
    drawn = reference(Curve(z, y - y.mean(), np.zeros(20)), rng, draws=1000)
    assert drawn.f.shape == (1000, GRID)
    np.testing.assert_allclose(drawn.thirds.mean(axis=0), -0.2, atol=0.02)
    assert 0.006 < np.median(drawn.sigma) < 0.016
    assert (drawn.p_down(), drawn.p_up(), drawn.p_up_top(), drawn.p_flat()) == (1, 0, 0, 0)


def test_known_errors_make_a_trend_as_sure_as_they_say():
    z, se = np.linspace(-1, 1, 4), 0.1
    slope_se = se / np.sqrt((z**2).sum())
    for deviations in (-3, 0, 1, 3):
        y = deviations * slope_se * z
        curve = Curve(z, y, np.full(4, se**2))
        drawn = reference(curve, np.random.default_rng(1), draws=4000)
        assert drawn.p_worse() == pytest.approx(stats.norm.cdf(deviations), abs=0.08)
        assert np.median(drawn.sigma) == pytest.approx(se, rel=0.15)


def test_probabilities_of_drawn_curves_of_known_shape():
    z = np.linspace(-1, 1, GRID)
    falls, rises, bends = -z, z, -np.where(z > 0, z, 0)
    drawn = Reference(z, np.array([falls, rises, bends, 0 * z]), np.full((4, GRID), 0.01))
    assert (drawn.p_up(), drawn.p_down()) == (0.25, 0.5)
    assert (drawn.p_up_top(), drawn.p_flat(), drawn.p_steep()) == (0.25, 0.25, 0.25)
    assert drawn.p_worse() == 0.25


def test_changes_are_held_against_the_noise_where_they_are():
    z = np.linspace(-1, 1, GRID)
    early = np.array([np.minimum(z, 0)])  # rises by 1 in the first half only
    noisy_end = np.where(z > 0.9, 10.0, 0.01)[None]
    noisy_start = np.where(z < 0.1, 10.0, 0.01)[None]
    assert Reference(z, early, noisy_end).p_up() == 1
    assert Reference(z, early, noisy_start).p_up() == 0
    assert Reference(z, early, noisy_end).p_flat() == 0
    assert Reference(z, early, noisy_start).p_flat() == 1


def test_known_noise_is_interpolated():
    z = np.linspace(-1, 1, 5)
    variance = np.array([1, 1, 1, 1, 9.0]) / 1e4
    drawn = reference(Curve(z, -0.1 * z, variance), np.random.default_rng(1))
    np.testing.assert_allclose(drawn.sigma[:, 0] ** 2 - drawn.sigma[:, 10] ** 2, 0, atol=1e-12)
    np.testing.assert_allclose(drawn.sigma[:, -1] ** 2 - drawn.sigma[:, 0] ** 2, 8e-4)


def test_same_seed_same_draws():
    curve = Curve(np.linspace(-1, 1, 6), np.zeros(6), np.zeros(6))
    one, two = (reference(curve, np.random.default_rng(5)).f for _ in range(2))
    np.testing.assert_array_equal(one, two)
