"""A positive quantity that rises or falls along an axis, by the engine of curves and by PyMC."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayescale as bs
from bayescale.curves.points import points_of
from bayescale.curves.posterior import Draws, require_curve_model, sample_curve
from bayescale.evaluation.checks.axes import rises
from bayescale.laws import growth

TOKENS = np.geomspace(6e9, 3e11, 9)


def drawn(quantity: np.ndarray) -> Draws:
    spec = require_curve_model(bs.load_model("growth"))
    points = points_of(TOKENS, np.log(quantity), np.zeros(len(TOKENS)))
    rng = np.random.default_rng(1)
    target, sample = sample_curve(spec, points, np.ones(len(TOKENS)), rng)
    return Draws(spec, target.reference, target.line(sample.drawn(1000, rng)))


@given(level=st.floats(-3, 9), b=st.floats(-2, 2), up=st.floats(1e-3, 1e3))
def test_growth_is_a_power_of_either_sign(level, b, up):
    natural = growth.to_natural({"level": level, "b": b}, (1e10,))
    assert growth(1e10, **natural) == pytest.approx(np.exp(level))
    assert growth(up * 1e10, **natural) / growth(1e10, **natural) == pytest.approx(up**b)


@pytest.mark.parametrize("b", [0.43, 0.0, -0.7])
def test_exponent_and_what_lies_beyond_an_exact_power_are_found(b):
    draws = drawn(5e-3 * TOKENS**b)
    low, middle, high = np.quantile(draws.natural["b"], [0.05, 0.5, 0.95])
    assert low < b < high
    assert middle == pytest.approx(b, abs=0.01)
    beyond = np.exp(np.median(draws.log_loss(np.array([3e12]))))
    assert beyond == pytest.approx(5e-3 * 3e12**b, rel=0.05)


def test_noise_widens_the_exponent():
    noise = np.exp(0.2 * np.random.default_rng(0).standard_normal(len(TOKENS)))
    exact, noisy = (
        np.diff(np.quantile(drawn(TOKENS**0.4 * of).natural["b"], [0.05, 0.95]))[0]
        for of in (1.0, noise)
    )
    assert noisy > 3 * exact


@pytest.mark.slow
@pytest.mark.parametrize("b", [0.43, -0.5])
def test_growth_is_fitted_and_checked_whichever_way_it_goes(b):
    noise = np.exp(0.03 * np.random.default_rng(0).standard_normal(len(TOKENS)))
    table = pd.DataFrame({"tokens": TOKENS, "batch_size": 1e3 * (TOKENS / 1e11) ** b * noise})
    spec = bs.load_model("growth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about few runs
        runs = bs.read_runs(table, response=spec.response.column)
        fitted = bs.fit(runs, spec, draws=500, tune=500, progress=False)
        assert not fitted.diagnostics.problems
        assert rises(fitted, "tokens") == (b > 0)
        assert not [check for check in bs.check_fit(fitted) if check.status is bs.Status.FAIL]
        low, high = np.quantile(bs.predict(fitted, {"tokens": [3e12]}), [0.01, 0.99])
    assert low < 1e3 * 30**b < high
    engine = np.quantile(drawn(table["batch_size"].to_numpy()).natural["b"], [0.05, 0.95])
    own = np.quantile(fitted.posterior["b"], [0.05, 0.95])
    np.testing.assert_allclose(engine, own, atol=0.01)
