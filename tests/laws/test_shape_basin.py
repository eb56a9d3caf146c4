"""The basin of a shape: where it is least, and how that moves with the size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale.laws import bowl, chinchilla, shape_basin

REFERENCE = (4e8, 3e10, 30.0)
JOINT = {"level": 1.0, "reducible": 0.4, "split": 0.5, "alpha": 0.3, "beta": 0.35}
SHAPE = {"place": 0.2, "curvature": 0.01, "eta": -0.15, "kappa": 0.1, "asymmetry": 0.3}


@given(
    place=st.floats(-1, 1), eta=st.floats(-0.5, 0.5), size=st.floats(1e7, 1e11),
    asymmetry=st.floats(-1, 1),
)  # fmt: skip
def test_the_best_value_is_a_power_law_in_params(place, eta, size, asymmetry):
    sampled = {**JOINT, **SHAPE, "place": place, "eta": eta, "asymmetry": asymmetry}
    natural = shape_basin.to_natural(sampled, REFERENCE)
    best = 30.0 * 10**place * (size / 4e8) ** eta
    loss = shape_basin(size, 1e11, best * np.array([0.7, 0.9, 1.0, 1.1, 1.4]), **natural)
    assert loss.argmin() == 2
    joint = {name: natural[name] for name in chinchilla.parameters}
    assert loss[2] == pytest.approx(chinchilla(size, 1e11, **joint))


def test_level_is_that_of_the_reference_run_at_its_best_value():
    natural = shape_basin.to_natural({**JOINT, **SHAPE}, REFERENCE)
    best = REFERENCE[2] * 10 ** SHAPE["place"]
    assert np.log(shape_basin(*REFERENCE[:2], best, **natural)) == pytest.approx(1.0)


def test_at_one_size_it_is_a_bowl_whose_curvature_follows_the_size():
    natural = shape_basin.to_natural({**JOINT, **SHAPE}, REFERENCE)
    x = np.geomspace(1, 1000, 7)
    for size in (1e8, 4e8, 1e10):
        best = 30.0 * 10**0.2 * (size / 4e8) ** -0.15
        own = {"x_best": best, "curvature": 0.01 * (size / 4e8) ** 0.1, "asymmetry": 0.3}
        least = float(shape_basin(size, 3e10, best, **natural))
        expected = bowl(x, L_min=least, **own)
        np.testing.assert_allclose(shape_basin(size, 3e10, x, **natural), expected, rtol=1e-12)


def test_a_shared_error_of_the_level_moves_all_losses_by_one_factor():
    one = shape_basin.to_natural({**JOINT, **SHAPE}, REFERENCE)
    other = shape_basin.to_natural({**JOINT, **SHAPE, "level": 1.01}, REFERENCE)
    ratio = [
        shape_basin(n, d, x, **other) / shape_basin(n, d, x, **one)
        for n, d, x in [(1e8, 1e10, 3.0), (1e10, 1e12, 300.0)]
    ]
    assert ratio == pytest.approx([np.exp(0.01)] * 2)
