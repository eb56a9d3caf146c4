"""What curves share, learned from Normal likelihoods: against quadrature and simulated truths."""

import numpy as np
import pytest
from scipy import stats

from bayescale.curves import population
from bayescale.curves.population import Hyperpriors, learn

NAMES = ("alpha", "place")
MIDDLE, SD = np.array([-1.0, 0.5]), np.array([0.3, 0.8])
BASE = np.array([[0.0, 0.0], [1.5, 1.5]])  # prior under which each curve was sampled alone


def hyperpriors(scale=(0.5, 1.0), cluster_scale=(0.5, 1.0)):
    return Hyperpriors(
        NAMES, BASE[0], BASE[1], np.array(scale, dtype=float), np.array(cluster_scale, dtype=float)
    )


def measured(theta, error, seed=0):
    return theta + error * np.random.default_rng(seed).standard_normal(theta.shape)


def alone(values, error):
    """Mean and covariance of each curve's exact posterior under the prior it was sampled under."""
    precision = 1 / np.asarray(error) ** 2 + 1 / BASE[1] ** 2
    mean = (values / np.asarray(error) ** 2 + BASE[0] / BASE[1] ** 2) / precision
    return mean, np.tile(np.diag(1 / precision), (len(values), 1, 1))


def curves(number, *, effects=0.0, seed=1):
    return MIDDLE + effects + SD * np.random.default_rng(seed).standard_normal((number, 2))


def learned(values, error, *, clusters=None, **scales):
    mean, covariance = alone(values, error)
    rng = np.random.default_rng(4)
    return learn(mean, covariance, hyperpriors(**scales), rng, clusters=clusters)


def on_a_grid(values, error, scale, place):
    """Posterior mean and sd of the middle and of the sd of one coordinate, by quadrature."""
    m = np.linspace(values.mean() - 4 * scale, values.mean() + 4 * scale, 241)[:, None]
    s = np.linspace(0.005, 5 * scale, 240)
    log = stats.norm.logpdf(m, BASE[0][place], BASE[1][place]) + stats.halfnorm.logpdf(
        s, scale=scale
    )
    log = log + sum(stats.norm.logpdf(y, m, np.hypot(s, error)) for y in values)
    share = np.exp(log - log.max())
    share /= share.sum()
    means = (share * m).sum(), (share * s).sum()
    return means, [
        np.sqrt((share * (v - mean) ** 2).sum()) for v, mean in zip((m, s), means, strict=True)
    ]


@pytest.fixture
def long(monkeypatch):
    """Enough rounds for exact answers: those of few or vague curves depend on the ones before."""
    monkeypatch.setattr(population, "ROUNDS", 4000)


@pytest.mark.parametrize("number", [6, 40])
def test_middles_and_sds_have_the_posterior_that_quadrature_gives(number, long):
    error = np.array([0.1, 0.6])
    values = measured(curves(number), error)
    found = learned(values, error)
    for place, scale in enumerate(hyperpriors().scale):
        means, sds = on_a_grid(values[:, place], error[place], scale, place)
        for drawn, mean, sd in zip((found.middle, found.sd), means, sds, strict=True):
            assert drawn[:, place].mean() == pytest.approx(mean, abs=0.25 * sd)
            assert drawn[:, place].std() == pytest.approx(sd, rel=0.25)


def test_truths_are_recovered_from_many_curves():
    error = np.array([0.1, 0.3])
    found = learned(measured(curves(80), error), error)
    assert (np.abs(found.middle.mean(0) - MIDDLE) < 3 * found.middle.std(0)).all()
    assert (np.abs(found.sd.mean(0) - SD) < 3 * found.sd.std(0)).all()
    assert found.clusters == ()


def test_the_prior_of_a_curve_is_what_a_new_one_would_be():
    error = np.array([0.1, 0.3])
    found = learned(measured(curves(10), error), error)
    mean, covariance = found.prior()
    rng = np.random.default_rng(0)
    drawn = found.middle + found.sd * rng.standard_normal(found.middle.shape)
    np.testing.assert_allclose(mean, found.middle.mean(0))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), drawn.std(0), rtol=0.1)


def clustered(effects, number=60):
    labels = [f"set {place % 6}" for place in range(number)]
    own = np.array([effects[label] for label in labels])
    return labels, curves(number, effects=own)


def test_effects_of_clusters_are_recovered():
    rng, error = np.random.default_rng(3), np.array([0.1, 0.2])
    true = {f"set {place}": np.array([0.8, 1.5]) * rng.standard_normal(2) for place in range(6)}
    labels, theta = clustered(true)
    found = learned(measured(theta, error), error, clusters=labels)
    assert found.clusters == tuple(sorted(true))
    # known is each with the middle, which takes what they share
    both = found.effect + found.middle[:, None]
    expected = np.array(list(true.values())) + MIDDLE
    assert (np.abs(both.mean(0) - expected) < 3.5 * both.std(0)).all()
    assert (np.abs(found.sd.mean(0) - SD) < 3.5 * found.sd.std(0)).all()
    assert (found.cluster_sd.mean(0) > 0.3).all()
    without = learned(measured(theta, error), error)
    assert (without.sd.mean(0) > 1.3 * found.sd.mean(0)).all()


def test_a_new_cluster_is_as_uncertain_as_clusters_differ():
    rng, error = np.random.default_rng(3), np.array([0.1, 0.2])
    true = {f"set {place}": np.array([0.8, 1.5]) * rng.standard_normal(2) for place in range(6)}
    labels, theta = clustered(true)
    found = learned(measured(theta, error), error, clusters=labels)
    known, new = (np.diag(found.prior(name)[1]) for name in ("set 2", "another"))
    assert (new > 1.3 * known).all()
    np.testing.assert_allclose(found.prior("set 2")[0], true["set 2"] + MIDDLE, atol=0.8)


def test_clusters_that_do_not_differ_have_no_effect():
    error = np.array([0.1, 0.2])
    labels, theta = clustered({f"set {place}": np.zeros(2) for place in range(6)})
    found = learned(measured(theta, error), error, clusters=labels)
    assert (np.abs(found.effect.mean(0)) < 0.5 * SD).all()
    off = learned(measured(theta, error), error, clusters=labels, cluster_scale=(0, 1))
    assert not off.effect[..., 0].any()
    assert not off.cluster_sd[:, 0].any()


def test_a_coordinate_of_which_curves_say_nothing_keeps_its_prior(long):
    error = np.array([0.1, 1000.0])
    found = learned(measured(curves(30), np.array([0.1, 0.1])), error)
    assert found.middle[:, 1].mean() == pytest.approx(BASE[0][1], abs=0.5 * BASE[1][1])
    assert found.middle[:, 1].std() == pytest.approx(BASE[1][1], rel=0.3)
    assert found.sd[:, 1].mean() == pytest.approx(np.sqrt(2 / np.pi), rel=0.3)  # of a HalfNormal
    assert found.middle[:, 0].std() < 0.1


def test_the_prior_of_the_sd_pulls_where_curves_are_few():
    error = np.array([0.1, 0.2])
    narrow, wide = (
        learned(measured(curves(6), error), error, scale=(scale, scale)) for scale in (0.1, 2.0)
    )
    assert (narrow.sd.mean(0) < 0.8 * wide.sd.mean(0)).all()
    narrow, wide = (
        learned(measured(curves(150), error), error, scale=(scale, scale)) for scale in (1.0, 4.0)
    )
    np.testing.assert_allclose(narrow.sd.mean(0), wide.sd.mean(0), rtol=0.05)


def test_curves_that_are_all_alike_are_pooled_to_one():
    error = np.array([0.2, 0.2])
    found = learned(measured(np.tile(MIDDLE, (40, 1)), error), error)
    assert (found.sd.mean(0) < 0.15).all()
    np.testing.assert_allclose(found.middle.mean(0), MIDDLE, atol=0.12)


def test_curves_narrower_than_their_prior_allows_do_no_harm():
    """Importance samples may be wider than the prior, as if the likelihood had less than none."""
    error = np.array([0.1, 0.3])
    mean, covariance = alone(measured(curves(12), error), error)
    covariance[0] = np.diag(1.1 * BASE[1] ** 2)
    found = learn(mean, covariance, hyperpriors(), np.random.default_rng(0))
    others = learn(mean[1:], covariance[1:], hyperpriors(), np.random.default_rng(0))
    np.testing.assert_allclose(found.middle.mean(0), others.middle.mean(0), atol=0.1)
