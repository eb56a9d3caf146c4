"""Normal noise on shares: what items, runs and what a run knows leave."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from bayescale.laws import task_accuracy
from bayescale.modelling.noise import NOISE

KIND = NOISE["ShareNormal"]
QUIET = {"spread": 1e-9, "scatter": 1e-9}
ONLY_SCATTER = 1e-6  # a spread that alone says nothing


def sd(mu, chance=0.25, trials=1000.0, **values):
    """Sd that the log density has."""
    inputs = {"trials": trials, "chance": chance}
    return 1 / np.sqrt(2 * np.pi) / np.exp(KIND.log_density(mu, mu, np.nan, QUIET | values, inputs))


def test_items_alone_leave_the_binomial_sd():
    assert sd(0.6) == pytest.approx(np.sqrt(0.6 * 0.4 / 1000), rel=2e-3)


def test_spread_is_what_unknown_items_leave():
    assert sd(0.6, trials=np.inf, spread=0.05) == pytest.approx(0.05 * np.sqrt(0.24), rel=1e-3)
    assert sd(0.6, spread=0.05) > sd(0.6, trials=np.inf, spread=0.05)


def test_scatter_moves_the_accuracy_as_a_step_of_the_level_does():
    natural = {"A": 40.0, "B": 90.0, "alpha": 0.25, "beta": 0.2, "luck": 1e-9}
    # No luck at a chance of 0, so that the chance level is what a model that knows nothing gets.
    mu = task_accuracy(1e9, 2e10, 0.0, **natural)
    up = {**natural, "A": 40.0 * np.exp(1e-4), "B": 90.0 * np.exp(1e-4)}
    step = abs(task_accuracy(1e9, 2e10, 0.0, **up) - mu) / 1e-4
    assert sd(
        mu, chance=0.0, trials=np.inf, spread=ONLY_SCATTER, scatter=0.3 / ONLY_SCATTER
    ) == pytest.approx(0.3 * step, rel=1e-3)


def test_scatter_cannot_be_seen_at_chance_nor_below():
    for mu in (0.25, 0.2):
        scattered = sd(mu, spread=ONLY_SCATTER, scatter=0.5 / ONLY_SCATTER)
        assert scattered == pytest.approx(sd(mu), rel=1e-6)
    assert sd(0.4, spread=ONLY_SCATTER, scatter=0.5 / ONLY_SCATTER) > 3 * sd(0.4)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_density_is_pymcs_and_shares_of_0_and_1_are_possible(share):
    mu, inputs = np.array([1e-9, 0.3, 1.0]), {"trials": np.array([50.0, np.inf, 2000.0])}
    values = {"spread": 0.02, "scatter": 5.0}
    family, arguments = KIND.pymc(mu, np.nan, values, inputs)
    found = pm.logp(family.dist(**arguments), np.full(3, share)).eval()
    np.testing.assert_allclose(
        KIND.log_density(np.full(3, share), mu, np.nan, values, inputs), found
    )
    assert np.isfinite(found).all()


def test_draws_have_the_density_and_stay_shares():
    rng, mu = (
        np.random.default_rng(1),
        xr.DataArray(np.full((2, 20_000), 0.6), dims=("chain", "draw")),
    )
    values, inputs = {"spread": 0.1, "scatter": 2.0}, {"trials": xr.DataArray(200.0)}
    drawn = KIND.draw(rng, mu, np.nan, values, inputs)
    assert float(drawn.std()) == pytest.approx(
        sd(0.6, chance=0.0, trials=200.0, **values), rel=0.02
    )
    near = KIND.draw(rng, mu * 0 + 0.999, np.nan, values, inputs)
    assert float(near.max()) == 1.0
