import inspect

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from bayescale.laws import (
    LAWS,
    chinchilla,
    isoflop_profile,
    kaplan,
    law,
    power_law,
    pure_power_law,
)
from bayescale.optima import minimise_params, optimal_params

share = st.floats(0.02, 0.98)
exponent = st.floats(0.05, 1.0)
COORDINATES = {
    "level": st.floats(-1, 3),
    "reducible": share,
    "split": share,
    "size": st.floats(-2, 2),
    "curvature": st.floats(0.01, 0.3),
    "skew": st.floats(0.1, 0.9),
    "steepness": st.floats(0.2, 2.0),
}
sizes = st.floats(1e7, 1e11)
compute = st.floats(1e17, 1e24)


def coordinates_of(law):
    names = law.coordinates.names
    return st.fixed_dictionaries({name: COORDINATES.get(name, exponent) for name in names})


def inputs_of(law):
    if "budget" not in law.inputs:
        return st.tuples(*(sizes for _ in law.inputs))
    on_a_curve = st.tuples(sizes, compute, st.floats(0.9, 1.1))
    return on_a_curve.map(lambda run: (run[0], run[1] * run[2], run[1]))


def cases(law):
    return st.tuples(coordinates_of(law), inputs_of(law), inputs_of(law))


each_law = pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
each_falling_law = pytest.mark.parametrize(
    "law",
    [law for law in LAWS.values() if law is not isoflop_profile],  # which has a minimum in params
    ids=lambda law: law.name,
)
each_joint_law = pytest.mark.parametrize(
    "law",
    [law for law in LAWS.values() if law.inputs == ("params", "tokens")],
    ids=lambda law: law.name,
)


@each_law
@given(data=st.data())
def test_natural_parameters_are_those_of_the_signature(law, data):
    sampled, reference, _ = data.draw(cases(law))
    assert tuple(law.to_natural(sampled, reference)) == law.parameters


@each_falling_law
@given(data=st.data())
def test_reference_run_has_the_sampled_level(law, data):
    sampled, reference, _ = data.draw(cases(law))
    natural = law.to_natural(sampled, reference)
    assert np.log(law.loss(*reference, **natural)) == pytest.approx(sampled["level"], abs=1e-8)


@each_falling_law
@given(data=st.data())
def test_loss_is_positive_and_falls_along_every_input(law, data):
    sampled, reference, at = data.draw(cases(law))
    natural = law.to_natural(sampled, reference)
    loss = law.loss(*at, **natural)
    assert loss > 0
    for axis in range(len(at)):
        larger = tuple(value * (3 if i == axis else 1) for i, value in enumerate(at))
        assert law.loss(*larger, **natural) <= loss  # equal where the other term is all there is
        larger = tuple(value * (3 if i == axis else 1) for i, value in enumerate(reference))
        assert law.loss(*larger, **natural) < law.loss(*reference, **natural)


@each_law
@settings(max_examples=10)
@given(data=st.data())
def test_tensor_equals_numpy(law, data):
    sampled, reference, at = data.draw(cases(law))
    symbolic = {name: pt.dscalar(name) for name in sampled}
    natural = law.to_natural(symbolic, tuple(map(pt.as_tensor_variable, reference)))
    graph = np.log(law.loss(*map(pt.as_tensor_variable, at), **natural))
    evaluate = pytensor.function(list(symbolic.values()), graph, mode="FAST_COMPILE")
    value = evaluate(*sampled.values())
    expected = np.log(law.loss(*at, **law.to_natural(sampled, reference)))
    assert float(value) == pytest.approx(float(expected), rel=1e-10, abs=1e-10)


@each_joint_law
@settings(max_examples=15)
@given(data=st.data(), flops=st.floats(1e17, 1e25))
def test_closed_form_optimum_equals_the_numeric_one(law, data, flops):
    sampled = data.draw(coordinates_of(law))
    natural = {
        name: xr.DataArray(value) for name, value in law.to_natural(sampled, (1e9, 2e10)).items()
    }
    closed = float(optimal_params(law, flops, 6.0, natural))
    if not 1e4 < closed < flops / 6e4:
        reject()  # outside what the numeric search looks at
    numeric = float(minimise_params(law, flops, 6.0, natural))
    best = law.loss(closed, flops / (6 * closed), **natural)
    assert float(best) <= float(law.loss(numeric, flops / (6 * numeric), **natural)) * (1 + 1e-12)
    assert numeric == pytest.approx(closed, rel=1e-2)


@each_law
def test_law_says_its_formula_and_source(law):
    text = inspect.getdoc(law.loss)
    assert ":math:" in text
    assert "(20" in text  # the year of a paper
    assert law.coordinates.names[0] == "level"


def test_chinchilla_known_values():
    published = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
    assert chinchilla.loss(70e9, 1.4e12, **published) == pytest.approx(1.9366, abs=2e-4)
    refit = {"E": 1.8169, "A": 482.01, "B": 2085.4, "alpha": 0.3478, "beta": 0.3659}
    assert chinchilla.optimum(5.76e23, 6.0, **refit) == pytest.approx(72.2e9, rel=0.02)
    assert chinchilla.optimum(5.76e23, 6.0, **published) == pytest.approx(32.2e9, rel=0.01)


def test_kaplan_known_values():
    published = {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095}
    assert kaplan.loss(1.5e9, 1e30, **published) == pytest.approx((8.8e13 / 1.5e9) ** 0.076)
    growth = kaplan.optimum(1e22, 6.0, **published) / kaplan.optimum(1e21, 6.0, **published)
    assert np.log10(growth) == pytest.approx(0.095 / (0.095 + 0.076))


profiles = given(
    sampled=coordinates_of(isoflop_profile), reference=inputs_of(isoflop_profile), budget=compute
)


@profiles
def test_profile_is_least_at_its_optimum_and_rises_on_both_sides(sampled, reference, budget):
    natural = isoflop_profile.to_natural(sampled, reference)
    best = isoflop_profile.optimum(budget, 6.0, **natural)
    steps = np.geomspace(1, 30, 9)
    for sizes_ in (best * steps, best / steps):
        loss = isoflop_profile.loss(sizes_, budget, budget, **natural)
        assert np.log(loss[0]) == pytest.approx(sampled["level"], abs=1e-8)
        assert (np.diff(loss) > 0).all()


@profiles
def test_profile_has_the_sampled_size_exponent_and_curvature(sampled, reference, budget):
    natural = isoflop_profile.to_natural(sampled, reference)
    best = isoflop_profile.optimum(reference[2], 6.0, **natural)
    assert np.log(best / reference[0]) == pytest.approx(sampled["size"], abs=1e-8)
    growth = isoflop_profile.optimum(10 * budget, 6.0, **natural)
    growth /= isoflop_profile.optimum(budget, 6.0, **natural)
    assert np.log10(growth) == pytest.approx(sampled["a"], abs=1e-8)
    around = best * np.exp(0.01 * np.array([-1, 0, 1]))
    log_loss = np.log(isoflop_profile.loss(around, reference[2], reference[2], **natural))
    assert np.diff(log_loss, 2)[0] / 1e-4 == pytest.approx(sampled["curvature"], rel=1e-3)


@profiles
def test_profile_of_the_opposite_skew_is_its_mirror_image(sampled, reference, budget):
    def curve(skew, steps):
        natural = isoflop_profile.to_natural({**sampled, "skew": skew}, reference)
        best = isoflop_profile.optimum(budget, 6.0, **natural)
        return isoflop_profile.loss(best * steps, budget, budget, **natural)

    skew, steps = sampled["skew"], np.geomspace(0.1, 10, 5)
    np.testing.assert_allclose(curve(skew, steps), curve(1 - skew, 1 / steps), rtol=1e-9)
    if abs(skew - 0.5) > 0.05:
        assert not np.allclose(curve(skew, steps), curve(skew, 1 / steps), rtol=1e-9)


def joint_as_profile(budget, *, E, A, B, alpha, beta):
    """Parameters of the profile that a joint law has on one budget, C = 6 N D."""
    joint = {"E": E, "A": A, "B": B, "alpha": alpha, "beta": beta}
    best, a = chinchilla.optimum(budget, 6.0, **joint), beta / (alpha + beta)
    least = chinchilla.loss(best, budget / (6 * best), **joint)
    curvature = alpha * A * best**-alpha * (alpha + beta) / least
    shape = {"curvature": curvature, "left": alpha, "right": beta}
    return {"L_min": least, "G": best * budget**-a, "a": a, **shape}


walls = st.floats(0.15, 0.7)


@given(joint=st.tuples(walls, walls), budget=compute, missed=st.floats(0.8, 1.25))
def test_profile_is_exact_where_the_joint_law_holds(joint, budget, missed):
    published = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": joint[0], "beta": joint[1]}
    natural = joint_as_profile(budget, **published)
    params = isoflop_profile.optimum(budget, 6.0, **natural) * np.geomspace(0.05, 20, 9)
    flops = budget * missed  # a run that overshot its budget saw more tokens, not another size
    expected = chinchilla.loss(params, flops / (6 * params), **published)
    profile = isoflop_profile.loss(params, flops, budget, **natural)
    np.testing.assert_allclose(profile, expected, rtol=1e-9)
    if abs(missed - 1) > 0.05:  # and one taken for a run of another budget would be elsewhere
        assert not np.allclose(
            isoflop_profile.loss(params, flops, flops, **natural), expected, rtol=1e-9
        )


def test_limits():
    assert power_law.loss(1e300, E=1.5, A=10.0, alpha=0.5) == pytest.approx(1.5)
    assert pure_power_law.loss(2e13, x_c=2e13, alpha=0.3) == pytest.approx(1.0)
    assert chinchilla.loss(
        1e300, 1e300, E=1.7, A=400.0, B=400.0, alpha=0.3, beta=0.3
    ) == pytest.approx(1.7)


def test_name_of_another_modules_law_is_refused():
    def chinchilla(x, *, A):
        return A / x

    with pytest.raises(ValueError, match="a law named chinchilla exists already"):
        law(coordinates=pure_power_law.coordinates)(chinchilla)
