"""The law of steps to a target loss over the batch size."""

import numpy as np
import pytest

from bayescale.laws import LAWS

LAW = LAWS["critical_batch"]
BATCH = np.geomspace(1e4, 1e8, 9)


def test_steps_and_tokens_lie_on_the_hyperbola():
    steps = LAW(BATCH, S_min=1000.0, B_noise=1e6)
    tokens = steps * BATCH
    np.testing.assert_allclose((steps / 1000 - 1) * (tokens / 1e9 - 1), 1.0, rtol=1e-9)
    assert LAW(1e6, S_min=1000.0, B_noise=1e6) == 2000.0


def test_coordinates_are_steps_at_the_reference_and_decades_to_b_noise():
    natural = LAW.to_natural({"level": np.log(3000.0), "place": 1.5}, (2e4,))
    assert natural["B_noise"] == pytest.approx(2e4 * 10**1.5)
    assert LAW(2e4, **natural) == pytest.approx(3000.0)


@pytest.mark.parametrize("noise", [1e5, 1e6, 1e7])
def test_guesses_lie_near(noise):
    steps = LAW(BATCH, S_min=1000.0, B_noise=noise)
    guessed = LAW.coordinates.guess((BATCH,), np.log(steps), (1e6,))
    assert guessed["place"] == pytest.approx(np.log10(noise / 1e6), abs=0.15)
    assert guessed["level"] == pytest.approx(np.log(LAW(1e6, S_min=1e3, B_noise=noise)), abs=0.15)
