"""The bowl of a sweep: its shape, its digits, and the general tools on it."""

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayescale as bs
from bayescale.laws import bowl
from bayescale.laws.bowl import rise

TRUTH = {"L_min": 3.0, "x_best": 2e-3, "curvature": 0.03, "asymmetry": 0.8}
lopsided = st.floats(-2.0, 2.0)


def exact_rise(u: float, asymmetry: float) -> float:
    """Sum the series of the rise in fractions; terms fall where |p u| < 20."""
    u, v = Fraction(u), Fraction(asymmetry) * Fraction(u)
    term, found = u * u / 2, Fraction(0)
    for number in range(3, 90):
        found, term = found + term, term * v / number
    return float(found)


@pytest.mark.parametrize("p", [0.0, 1e-30, -1e-16, 1e-8, 1e-4, -0.01, 0.2, 0.5, -1.0, 2.0])
def test_rise_has_all_its_digits_at_any_asymmetry(p):
    for u in (1e-9, -1e-3, 0.1, -1.0, 1.0, -2.1, 3.0, -5.0):
        assert rise(u, 1.0, p) == pytest.approx(exact_rise(u, p), rel=1e-11)
        if abs(p * u) > 0.1:  # in closed form digits are lost at small p u: that is why
            assert (np.expm1(p * u) - p * u) / p**2 == pytest.approx(rise(u, 1.0, p), rel=1e-10)


@given(height=st.floats(0.001, 1.0), asymmetry=lopsided, place=st.floats(-2, 2))
def test_bowl_is_least_at_its_place_and_rises_by_its_height_a_decade_away(height, asymmetry, place):
    sampled = {"level": 1.0, "place": place, "height": height, "asymmetry": asymmetry}
    natural = bowl.to_natural(sampled, (1e-3,))
    assert natural["x_best"] == pytest.approx(1e-3 * 10**place)
    below, least, above = np.log(bowl(natural["x_best"] * np.array([0.1, 1.0, 10.0]), **natural))
    assert least == pytest.approx(1.0)
    assert (below + above) / 2 - least == pytest.approx(height)
    assert (above > below) == (asymmetry > 0) or abs(asymmetry) < 1e-9
    steps = natural["x_best"] * np.geomspace(1, 100, 9) ** np.array([[1], [-1]])
    assert (np.diff(bowl(steps, **natural)) > 0).all()


@given(asymmetry=lopsided, off=st.floats(1.1, 50.0))
def test_bowl_of_the_opposite_asymmetry_is_the_mirror_image(asymmetry, off):
    one = bowl(2e-3 * off, **{**TRUTH, "asymmetry": asymmetry})
    other = bowl(2e-3 / off, **{**TRUTH, "asymmetry": -asymmetry})
    assert one == pytest.approx(other)


@pytest.mark.slow
def test_bowl_and_its_slopes_stay_finite_far_from_the_minimum():
    names = ("place", "height", "asymmetry")
    symbols = [pt.dscalar(name) for name in names]
    sampled = {"level": 1.0, **dict(zip(names, symbols, strict=True))}
    at = np.array([1e-9, 1.0, 1e9])
    log_loss = pt.log(bowl(at, **bowl.to_natural(sampled, (1.0,))))
    slopes = pytensor.grad(log_loss.sum(), symbols)
    found = pytensor.function(symbols, [log_loss, *slopes], mode="FAST_COMPILE")
    for place in (-12.0, 0.0, 12.0):
        for asymmetry in (0.0, 1e-20, 1.0, -3.0, 8.0):
            values, *slope = found(place, 0.1, asymmetry)
            assert np.isfinite([*values, *slope]).all(), (place, asymmetry)


def test_a_law_of_any_axis_names_it_in_all_that_it_says_of_it():
    along = bowl.along("batch_size")
    assert (along.inputs, along.minimum_along) == (("batch_size",), ("batch_size",))
    assert along.choices == ("batch_size",)
    assert bs.load_model("power-law").law.choices == ()


@pytest.mark.slow
def test_bowl_is_fitted_checked_reported_and_its_best_value_found(tmp_path):
    rates = np.geomspace(2e-4, 2e-2, 11)
    loss = bowl(rates, **TRUTH) * np.exp(0.002 * np.random.default_rng(0).standard_normal(11))
    table = pd.DataFrame({"learning_rate": rates, "loss": loss})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about few runs
        fitted = bs.fit(bs.read_runs(table), "bowl", draws=500, tune=500, progress=False)
        assert not fitted.diagnostics.problems
        found = bs.optimum(fitted, "learning_rate")
        low, high = np.quantile(found["best"], [0.01, 0.99])
        assert low < TRUTH["x_best"] < high < 2 * low
        np.testing.assert_allclose(found["best"], fitted.posterior["x_best"], rtol=1e-3)
        assert "the best learning_rate is 0.00" in str(bs.answer_optimum(fitted, found))
        assert not [check for check in bs.check_fit(fitted) if check.status is bs.Status.FAIL]
        bs.write_report(fitted, tmp_path / "page")
    assert "The best learning_rate" in (tmp_path / "page" / "report.html").read_text("utf-8")
    quick = bs.find_optimum(rates, loss)
    for end, one in zip((low, high), np.quantile(quick.draws["best"], [0.01, 0.99]), strict=True):
        assert one == pytest.approx(end, rel=0.4)
