"""Experts as dense parameters: what the law says at its ends, and what it takes for granted."""

import numpy as np
import pytest
from conftest import EXPERTS

from bayescale.laws import LAWS, chinchilla, power_law
from bayescale.laws.experts import worth

experts, experts_size = LAWS["experts"], LAWS["experts_size"]
GAIN = {name: EXPERTS[name] for name in ("gamma", "X_start", "X_max")}
JOINT = {name: EXPERTS[name] for name in ("E", "A", "B", "alpha", "beta")}


def published(number, gamma, X_start, X_max):
    """The formula as it is written."""

    def saturated(x):
        return 1 / (1 / (x - 1 + 1 / (1 / X_start - 1 / X_max)) + 1 / X_max)

    return (saturated(number) / saturated(1.0)) ** gamma


def test_worth_is_the_published_formula():
    number = np.array([1.0, 2.0, 8.0, 64.0, 512.0, 1e4])
    np.testing.assert_allclose(worth(number, **GAIN), published(number, **GAIN), rtol=1e-12)


def test_a_dense_model_is_worth_exactly_itself():
    for gain in (GAIN, {"gamma": 0.9, "X_start": 7.3, "X_max": 11.0}):
        assert worth(1.0, **gain) == 1.0
    assert experts(1e9, 2e10, 1.0, **EXPERTS) == chinchilla(1e9, 2e10, **JOINT)


def test_worth_saturates_at_the_ratio_of_both_ends():
    ratio = (GAIN["X_max"] / GAIN["X_start"]) ** GAIN["gamma"]
    assert worth(1e12, **GAIN) == pytest.approx(ratio, rel=1e-8)
    rising = worth(2.0 ** np.arange(12), **GAIN)
    assert (np.diff(rising) > 0).all()
    assert (rising < ratio).all()


def test_experts_of_no_exponent_are_worth_nothing():
    number = 2.0 ** np.arange(10)
    np.testing.assert_array_equal(worth(number, **{**GAIN, "gamma": 0.0}), np.ones(10))


@pytest.mark.parametrize("law", [experts, experts_size])
def test_a_model_with_experts_has_the_loss_of_the_dense_one_that_it_is_worth(law):
    constants = {name: EXPERTS[name] for name in law.parameters}
    tokens = () if law is experts_size else (3e10,)
    dense = 2e8 * worth(32.0, **GAIN)
    own = law(2e8, *tokens, 32.0, **constants)
    assert own == pytest.approx(law(dense, *tokens, 1.0, **constants), rel=1e-14)
    assert own < law(2e8, *tokens, 16.0, **constants)


@pytest.mark.parametrize(("law", "base"), [(experts, chinchilla), (experts_size, power_law)])
def test_coordinates_share_the_law_of_dense_models_whatever_experts_are_worth(law, base):
    reference = (1e8, 2e10, 16.0) if law is experts else (1e8, 16.0)
    sampled = {"level": 1.0, "reducible": 0.4, "split": 0.5, "alpha": 0.2, "beta": 0.3}
    sampled = {n: v for n, v in sampled.items() if n in law.coordinates.names}
    few = law.to_natural({**sampled, "gamma": 0.3, "start": 2.0, "room": 90.0}, reference)
    many = law.to_natural({**sampled, "gamma": 0.7, "start": 0.5, "room": 900.0}, reference)
    assert (few["X_start"], few["X_max"], many["X_max"]) == (3.0, 93.0, 901.5)
    for name in base.parameters:
        assert few[name] == many[name]
    dense = {name: few[name] for name in base.parameters}
    assert np.log(base(4e8, *reference[1:-1], **dense)) == pytest.approx(1.0)  # sqrt(16) x 1e8
