"""Bumps that thinning hides, and curves that have none."""

import numpy as np
import pytest

from bayescale import classify_curve
from bayescale.curves.bumps import find_bump
from bayescale.curves.points import points_of

X = np.geomspace(1e6, 3e8, 60)
FLAT, FALL = 0 * X, np.log(2 + 900 * X**-0.45)
STEEP = -0.5 * np.log(X)


def found(log_loss, *, x=X, sigma=0.01, seed=0, stderr=0.0):
    noise = sigma * np.random.default_rng(seed).standard_normal(len(x))
    return find_bump(points_of(x, log_loss + noise, np.full(len(x), stderr)).raw)


def raised(first, last, height=0.06, x=X):
    return np.log1p(height) * ((x >= x[first]) & (x <= x[last]))


@pytest.mark.parametrize("first", [4, 8, 30, 50])
@pytest.mark.parametrize("smooth", [FLAT, FALL, STEEP], ids=["flat", "fall", "steep"])
def test_a_bump_is_found_where_it_is(smooth, first):
    bump = found(smooth + raised(first, first + 5))
    assert X[first - 2] <= bump.first <= X[first + 2]
    assert X[first + 3] <= bump.last <= X[first + 7]
    assert np.expm1(bump.height) == pytest.approx(0.06, abs=3 * bump.height_sd)
    assert bump.p < 0.005


@pytest.mark.parametrize(("exponent", "rises"), [(0.0, True), (0.1, True), (0.5, False)])
def test_a_curve_rises_into_a_bump_unless_it_falls_faster(exponent, rises):
    # 0.16 nats between points: with 0.5 the fall over half the bump is four times its height
    x = np.geomspace(1e6, 1e10, 60)
    assert found(-exponent * np.log(x) + raised(8, 13), x=x).rises == rises


@pytest.mark.parametrize(
    "log_loss",
    [
        FLAT,
        FALL,
        STEEP,
        np.where(X < 1e7, 0, -0.6 * np.log(X / 1e7)),  # a sharp break
        FALL + 0.3 * (np.arange(60) == 12),  # one outlier
        FALL - 0.3 * (np.arange(60) == 12),
        FALL + raised(0, 4),  # a start without a way up
        FALL - raised(10, 12),  # a dip has no higher neighbours
    ],
    ids=["flat", "fall", "steep", "break", "outlier", "low outlier", "start", "dip"],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_curves_without_a_bump_show_none(log_loss, seed):
    assert found(log_loss, seed=seed) is None


def test_noise_alone_rarely_shows_a_bump():
    assert sum(found(FLAT, seed=seed) is not None for seed in range(100)) <= 4


@pytest.mark.parametrize("decimals", [1, 2, 3, 15])
def test_exact_and_rounded_curves_show_no_bump(decimals):
    assert found(np.log(np.exp(FALL).round(decimals)), sigma=0) is None


def test_known_errors_count_as_noise():
    log_loss = FALL + raised(8, 13)
    assert found(log_loss, stderr=0.01) is not None
    assert found(log_loss, stderr=0.06) is None


def test_repeats_are_no_run():
    x, log_loss = np.repeat(X[::2], 4), np.repeat(FALL[::2], 4)
    assert found(log_loss + 0.03 * (x == X[20]), x=x) is None
    assert found(log_loss + raised(40, 59, x=x), x=x) is not None


def test_few_sizes_and_small_bumps_are_left_to_the_rest():
    few = np.geomspace(1e6, 1e9, 20)
    assert found(np.repeat(raised(8, 13, x=few), 3), x=np.repeat(few, 3)) is None
    assert found(FALL + raised(8, 13, height=0.005), sigma=0.0005) is None
    assert found(FALL + raised(8, 13, height=0.02), sigma=0.0005) is not None


def test_thousands_of_points_are_searched_in_bins():
    x = np.arange(1.0, 5001.0)
    inside = (x > 100) & (x < 160)
    bump = found(-0.1 * np.log(x) + 0.03 * inside, x=x)
    assert (bump.first, bump.last) == pytest.approx((100, 160), rel=0.1)
    assert found(-0.1 * np.log(x), x=x) is None


def test_a_rise_that_bins_hide_is_labelled_and_another_is_said():
    noise = 0.01 * np.random.default_rng(3).standard_normal(60)
    rising = classify_curve(X, np.exp(FALL + raised(8, 12) + noise))
    assert rising.label == "non_monotone"
    assert rising.message.startswith("falls and rises: a bump at x from ")
    assert rising.bump.rises
    x = np.geomspace(1e6, 1e10, 60)
    said = classify_curve(x, np.exp(-0.4 * np.log(x) + raised(8, 12, x=x) + noise))
    assert said.label not in ("non_monotone", "inverse")
    assert "a bump at x from " in said.message
