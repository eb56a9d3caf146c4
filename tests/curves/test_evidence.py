"""Evidence and posterior draws against brute force."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from bayescale.curves.evidence import (
    FAMILIES,
    FLAT,
    POWER_LAW,
    PURE_POWER_LAW,
    Curve,
    Target,
    evidence,
)

RNG = np.random.default_rng(3)
NAMES = {family.name: family for family in FAMILIES}


def noisy_curve(known: float = 0.0) -> Curve:
    """Few and noisy points, so that draws of the prior say what the evidence is."""
    z = np.linspace(-1.5, 1.5, 5)
    y = 0.3 * np.array([1.2, 0.2, 0.4, -0.9, -0.9])
    return Curve(z, y, np.full(5, known**2))


@pytest.mark.parametrize("known", [0.0, 0.2])
@pytest.mark.parametrize("name", list(NAMES))
def test_evidence_is_the_mean_likelihood_of_the_prior(name, known):
    family, curve = NAMES[name], noisy_curve(known)
    target = Target(family, curve)
    u = np.random.default_rng(1).standard_normal((200_000, len(family.priors)))
    likelihood = target(u) - stats.norm.logpdf(u).sum(axis=1)
    direct = logsumexp(likelihood) - np.log(len(u))
    error = np.exp(likelihood - direct).std() / np.sqrt(len(u))
    assert error < 0.1
    found = evidence(family, curve, np.random.default_rng(2))
    assert found.log_evidence == pytest.approx(direct, abs=0.1 + 4 * error)


@pytest.mark.parametrize("family", [FLAT, PURE_POWER_LAW], ids=lambda family: family.name)
def test_evidence_and_draws_of_a_sharp_posterior_match_quadrature(family):
    z = np.linspace(-2, 2, 8)
    curve = Curve(z, -0.2 * z + 0.02 * RNG.standard_normal(8), np.zeros(8))
    target, found = Target(family, curve), evidence(family, curve, np.random.default_rng(1))
    mean, sd = found.theta.mean(axis=0), found.theta.std(axis=0)
    low, high = ((mean + side * 8 * sd - target.mean) / target.sd for side in (-1, 1))
    axes = [np.linspace(*ends, 61) for ends in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    log_density = target(grid)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert found.log_evidence == pytest.approx(logsumexp(log_density) + np.log(cell), abs=0.05)
    weight = np.exp(log_density - logsumexp(log_density))
    exact = weight @ target.natural(grid)
    assert (np.abs(mean - exact) < 0.2 * sd).all()


@pytest.mark.parametrize("name", list(NAMES))
@pytest.mark.parametrize("shape", ["power law", "break", "U"])
def test_enough_draws_are_effective_even_where_the_law_is_wrong(name, shape):
    z = np.linspace(-2.5, 2.5, 10)
    y = {
        "power law": np.log(0.6 + 0.4 * np.exp(-0.3 * z)),
        "break": -0.7 * z + 0.55 * 0.3 * np.logaddexp(0, z / 0.3),
        "U": np.logaddexp(-0.4 * z, 0.4 * z),
    }[shape] + 0.01 * np.random.default_rng(0).standard_normal(10)
    found = evidence(NAMES[name], Curve(z, y - y.mean(), np.zeros(10)), np.random.default_rng(1))
    assert found.ess >= 60
    assert found.theta.shape == (500, len(NAMES[name].priors))


def test_the_true_law_has_the_highest_evidence_and_its_exponent_is_found():
    z = np.linspace(-3, 3, 12)
    y = np.log(0.5 + 0.5 * np.exp(-0.35 * z)) + 0.003 * RNG.standard_normal(12)
    curve = Curve(z, y - y.mean(), np.zeros(12))
    found = {name: evidence(family, curve, RNG) for name, family in NAMES.items()}
    assert max(found, key=lambda name: found[name].log_evidence) == "power_law"
    alpha = np.exp(found["power_law"].draws("log_alpha"))
    assert np.quantile(alpha, 0.02) < 0.35 < np.quantile(alpha, 0.98)
    assert alpha.std() < 0.05


def test_known_variance_widens_the_posterior():
    z = np.linspace(-2, 2, 6)
    y = np.log(0.6 + 0.4 * np.exp(-0.3 * z))
    widths = [
        evidence(POWER_LAW, Curve(z, y - y.mean(), np.full(6, se**2)), np.random.default_rng(1))
        .draws("log_alpha")
        .std()
        for se in (0.0, 0.1)
    ]
    assert widths[1] > 1.3 * widths[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_shares_are_shares_and_laws_are_finite_far_out(family):
    theta = np.array([[5 * side for _ in family.priors] for side in (-1.0, 0.0, 1.0)])
    mean, sd = np.array(list(family.priors.values())).T
    z = np.linspace(-4, 4, 9)
    assert np.isfinite(family.mu(mean + theta * sd, z, 4.0)).all()
    share = family.reducible_share(mean + theta * sd, z, 4.0)
    assert ((share >= 0) & (share <= 1)).all()
