"""Importance sampling against densities whose integral, means and sds are known."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from bayescale.curves.importance import Effort, _around, climb, importance, systematic


class Mixture:
    """Normal distributions far apart, of known weights, means and covariances."""

    def __init__(self, weights, means, covariances, size=2.5):
        self.parts = [
            stats.multivariate_normal(mean, covariance)
            for mean, covariance in zip(means, covariances, strict=True)
        ]
        self.weights, self.means, self.size = np.array(weights), np.array(means), size

    def _each(self, u):
        parts = [part.logpdf(u).reshape(u.shape[:-1]) for part in self.parts]
        return np.stack(parts) + np.log(self.weights).reshape(-1, *[1] * (u.ndim - 1))

    def __call__(self, u):
        return logsumexp(self._each(u), axis=0) + np.log(self.size)

    def slopes(self, u):
        each = self._each(u)
        share = np.exp(each - logsumexp(each, axis=0))
        precision = np.stack([np.linalg.inv(part.cov_object.covariance) for part in self.parts])
        off = self.means[:, None] - u
        gradient = np.einsum("ks,kpq,ksq->sp", share, precision, off)
        return gradient, np.einsum("ks,kpq->spq", share, precision)

    def starts(self):
        return np.concatenate([self.means + 0.3, self.means - 0.5, np.zeros((1, 3))])


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(0)
    roots = [0.4 * rng.standard_normal((3, 3)) + np.diag([0.5, 1.0, 1.5]) for _ in range(2)]
    return Mixture([0.7, 0.3], [[-3.0, 0, 1], [3.0, 1, -2]], [root @ root.T for root in roots])


def test_evidence_means_and_sds_of_a_mixture_are_found(mixture):
    found = importance(mixture, np.random.default_rng(1))
    assert len(found.modes) == 2
    assert found.log_evidence == pytest.approx(np.log(2.5), abs=0.02)
    share = np.exp(found.log_weight - logsumexp(found.log_weight))
    assert share @ (found.u[:, 0] < 0) == pytest.approx(0.7, abs=0.02)
    mean = mixture.weights @ mixture.means
    covariances = np.stack([part.cov_object.covariance for part in mixture.parts])
    second = np.einsum("kpp->kp", covariances) + mixture.means**2
    sd = np.sqrt(mixture.weights @ second - mean**2)
    np.testing.assert_allclose(share @ found.u, mean, atol=0.1)
    np.testing.assert_allclose(np.sqrt(share @ found.u**2 - (share @ found.u) ** 2), sd, rtol=0.05)


def test_a_mode_that_no_start_leads_to_is_missed(mixture):
    """Negative control: the evidence is of what the starts lead to."""

    class Blind(Mixture):
        def starts(self):
            return self.means[:1]

    blind = Blind(mixture.weights, 4 * mixture.means, [np.eye(3)] * 2)
    found = importance(blind, np.random.default_rng(1))
    assert found.log_evidence == pytest.approx(np.log(2.5 * 0.7), abs=0.02)


def test_draws_of_equal_weight_have_the_moments_of_the_weighted_ones(mixture):
    found = importance(mixture, np.random.default_rng(1))
    share = np.exp(found.log_weight - logsumexp(found.log_weight))
    drawn = found.drawn(4000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(axis=0), share @ found.u, atol=0.05)
    halves = drawn[:2000, 0].mean(), drawn[2000:, 0].mean()  # in random order
    assert abs(np.subtract(*halves)) < 0.5


def test_rounds_go_on_until_enough_draws_are_effective(mixture):
    few = importance(mixture, np.random.default_rng(1), Effort(100, rounds=1, most=1))
    many = importance(mixture, np.random.default_rng(1), Effort(100, 1, 20, 100, enough=400))
    assert len(few.u) == 100
    assert len(few.u) < len(many.u) < 2000
    assert few.ess < 400 < many.ess


def test_climbing_ends_where_the_slope_is_flat(mixture):
    u, value = climb(mixture, mixture.starts())
    np.testing.assert_allclose(mixture.slopes(u)[0], 0, atol=1e-2)
    assert (value >= mixture(mixture.starts())).all()


def test_a_few_draws_that_tower_over_the_rest_are_proposed_around(mixture):
    log_weight = np.full(200, -5000.0)
    log_weight[:3] = 0.0  # weights of the others are 0 in double precision
    u = np.random.default_rng(0).standard_normal((200, 3))
    proposal = _around(mixture, u, log_weight, np.random.default_rng(1))
    assert len(np.unique(proposal.centres, axis=0)) > 3
    log_weight[3:] = -np.inf  # without a density there is nothing to propose around
    proposal = _around(mixture, u, log_weight, np.random.default_rng(1))
    assert {tuple(own) for own in proposal.centres} <= {tuple(own) for own in u[:3]}


def test_systematic_resampling_takes_each_as_often_as_its_share():
    share = np.array([0.1, 0.0, 0.55, 0.35])
    number = np.bincount(systematic(share, 100, np.random.default_rng(0)), minlength=4)
    assert np.abs(number - 100 * share).max() <= 1
    assert number[1] == 0


def test_same_seed_same_draws(mixture):
    one, two = (importance(mixture, np.random.default_rng(5)).u for _ in range(2))
    np.testing.assert_array_equal(one, two)
