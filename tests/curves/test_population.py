"""What curves share, learned from simulated Normal coordinates of known middles and sds."""

import numpy as np
import pytest
from scipy.optimize import minimize

from bayescale.curves.population import Hyperpriors, learn

NAMES = ("alpha", "place")
MIDDLE, SD = np.array([-1.0, 0.5]), np.array([0.3, 0.8])
BASE = np.array([[0.0, 0.0], [1.5, 1.5]])  # prior under which each curve was drawn alone


def hyperpriors(scale=(0.5, 1.0), cluster_scale=(0.5, 1.0)):
    return Hyperpriors(
        NAMES, BASE[0], BASE[1], np.array(scale, dtype=float), np.array(cluster_scale, dtype=float)
    )


def drawn_alone(theta, error, *, seed=0, draws=1000):
    """Draws of each curve's exact posterior, of a measurement with this error under the prior."""
    rng = np.random.default_rng(seed)
    measured = theta + error * rng.standard_normal(theta.shape)
    precision = 1 / np.asarray(error) ** 2 + 1 / BASE[1] ** 2
    mean = measured / np.asarray(error) ** 2 / precision
    shape = (len(theta), draws, len(NAMES))
    draws_of = mean[:, None] + rng.standard_normal(shape) / np.sqrt(precision)
    return draws_of, np.zeros((len(theta), draws)), np.tile(BASE, (len(theta), 1, 1))


def curves(number, *, effects=None, seed=1):
    theta = MIDDLE + SD * np.random.default_rng(seed).standard_normal((number, 2))
    return theta if effects is None else theta + effects


def exact_mode(measured, error, scale, place):
    """Mode of the middle and log sd of one coordinate, curves integrated out in closed form."""

    def loss(both):
        middle, sd = both[0], np.exp(both[1])
        variance = sd**2 + error**2
        likelihood = ((measured - middle) ** 2 / variance + np.log(variance)).sum() / 2
        prior = ((middle - BASE[0][place]) / BASE[1][place]) ** 2 / 2 + (sd / scale) ** 2 / 2
        return likelihood + prior - both[1]

    middle, log_sd = minimize(loss, [0.0, 0.0]).x
    return middle, np.exp(log_sd)


def test_middle_and_sd_of_many_curves_are_recovered():
    theta, error = curves(60, seed=2), np.array([0.1, 0.3])
    found = learn(*drawn_alone(theta, error), hyperpriors())
    np.testing.assert_allclose(found.middle, MIDDLE, atol=0.25)
    np.testing.assert_allclose(found.sd, SD, rtol=0.2)
    measured = theta + error * np.random.default_rng(0).standard_normal(theta.shape)
    for place, scale in enumerate(hyperpriors().scale):
        middle, sd = exact_mode(measured[:, place], error[place], scale, place)
        assert found.middle[place] == pytest.approx(middle, abs=0.01)
        # the sd that a new curve has is wider by what 60 curves leave open of it
        assert sd < found.sd[place] == pytest.approx(np.sqrt(1 + 2 / 60) * sd, rel=0.01)
    standard_error = np.hypot(SD, error) / np.sqrt(60)
    np.testing.assert_allclose(found.middle_sd, standard_error, rtol=0.25)
    assert found.effect == {}
    mean, sd = found.prior()
    np.testing.assert_allclose(mean, found.middle)
    np.testing.assert_allclose(sd, np.hypot(found.sd, found.middle_sd))


def test_draws_wider_than_the_posterior_with_weights_say_the_same():
    theta, error = curves(60, seed=2), np.array([0.1, 0.3])
    draws, _, base = drawn_alone(theta, error, draws=2000)
    middle, sd = draws.mean(axis=1, keepdims=True), draws.std(axis=1, keepdims=True)
    wide = middle + 1.5 * (draws - middle)
    off = (wide - middle) / sd
    log_weight = (-0.5 * off**2 + 0.5 * (off / 1.5) ** 2).sum(axis=-1)
    exact = learn(draws, np.zeros(wide.shape[:2]), base, hyperpriors())
    weighted = learn(wide, log_weight, base, hyperpriors())
    unweighted = learn(wide, 0 * log_weight, base, hyperpriors())
    np.testing.assert_allclose(weighted.middle, exact.middle, atol=0.02)
    np.testing.assert_allclose(weighted.sd, exact.sd, rtol=0.02)
    assert (np.abs(unweighted.sd / exact.sd - 1) > 0.02).any()


def test_effects_of_clusters_are_recovered():
    rng = np.random.default_rng(3)
    labels = [f"set {i % 6}" for i in range(60)]
    true = {f"set {i}": np.array([0.8, 1.5]) * rng.standard_normal(2) for i in range(6)}
    theta = curves(60, effects=np.array([true[label] for label in labels]))
    drawn = drawn_alone(theta, np.array([0.1, 0.2]))
    found = learn(*drawn, hyperpriors(), clusters=labels)
    # effects are known up to what all share, which the middle takes
    effects = np.array([found.effect[name] for name in true]) + found.middle
    expected = np.array(list(true.values())) + MIDDLE
    assert np.abs(effects - expected).max() < 3 * (SD / np.sqrt(10)).max()
    np.testing.assert_allclose(found.sd, SD, rtol=0.35)
    spread = np.array(list(true.values())).std(axis=0)
    np.testing.assert_allclose(found.cluster_sd, spread, rtol=0.6)
    without = learn(*drawn, hyperpriors())
    assert (without.sd > 1.3 * found.sd).all()


def test_clusters_that_do_not_differ_have_no_effect():
    labels = [f"set {i % 6}" for i in range(60)]
    theta = curves(60)
    found = learn(*drawn_alone(theta, np.array([0.1, 0.2])), hyperpriors(), clusters=labels)
    effects = np.array(list(found.effect.values()))
    assert (np.abs(effects) < 0.5 * SD).all()
    off = learn(
        *drawn_alone(theta, np.array([0.1, 0.2])),
        hyperpriors(cluster_scale=(0, 1)),
        clusters=labels,
    )
    assert all(effect[0] == 0 for effect in off.effect.values())
    assert off.cluster_sd[0] == 0


def test_a_coordinate_of_which_curves_say_nothing_keeps_its_prior():
    theta = curves(30)
    found = learn(*drawn_alone(theta, np.array([0.1, 100.0])), hyperpriors())
    np.testing.assert_allclose(found.middle[0], MIDDLE[0], atol=0.25)
    assert found.middle[1] == pytest.approx(BASE[0][1], abs=0.2)
    assert found.prior()[1][1] == pytest.approx(BASE[1][1], rel=0.25)


def test_the_prior_of_the_sd_pulls_where_curves_are_few():
    theta = curves(6)
    error = np.array([0.1, 0.2])
    narrow = learn(*drawn_alone(theta, error), hyperpriors(scale=(0.1, 0.1)))
    wide = learn(*drawn_alone(theta, error), hyperpriors(scale=(2.0, 2.0)))
    assert (narrow.sd < wide.sd).all()
    many = drawn_alone(curves(100), error, draws=300)
    narrow, wide = (learn(*many, hyperpriors(scale=(scale, scale))) for scale in (1.0, 4.0))
    np.testing.assert_allclose(narrow.sd, wide.sd, rtol=0.05)


def test_curves_that_are_all_alike_are_pooled_to_one():
    theta = np.tile(MIDDLE, (40, 1))
    found = learn(*drawn_alone(theta, np.array([0.2, 0.2])), hyperpriors())
    assert (found.sd < 0.15).all()
    np.testing.assert_allclose(found.middle, MIDDLE, atol=0.12)
