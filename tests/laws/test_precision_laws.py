"""Laws of bits per weight: after training, and in training."""

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.laws import LAWS, chinchilla

QUANTISED, TRAINED = LAWS["precision"], LAWS["kumar_precision"]
SLOPES = {"b": 1.386, "gamma_D": 0.5, "gamma_N": 0.3}
JOINT = {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28}


def test_a_bit_less_multiplies_what_is_added_by_the_exponential_of_b():
    at = [QUANTISED(7e9, 2e12, bits, c=-20.0, **SLOPES) for bits in (3.0, 4.0)]
    assert at[0] / at[1] == pytest.approx(np.exp(1.386))
    assert np.exp(2 * np.log(2)) == pytest.approx(np.exp(1.386), rel=1e-3)  # theory: 2 ln 2


def test_models_trained_longer_lose_more_and_larger_ones_less():
    def added(params, tokens):
        return QUANTISED(params, tokens, 4.0, c=-20.0, **SLOPES)

    assert added(7e9, 8e12) / added(7e9, 2e12) == pytest.approx(4**0.5)
    assert added(28e9, 2e12) / added(7e9, 2e12) == pytest.approx(4**-0.3)


def test_level_is_what_the_reference_run_loses():
    natural = QUANTISED.to_natural({"level": -2.0, **SLOPES}, (7e9, 2e12, 4.3))
    assert np.log(QUANTISED(7e9, 2e12, 4.3, **natural)) == pytest.approx(-2.0)


def test_weights_of_few_bits_count_for_fewer_parameters():
    share = 1 - np.exp(-4.0 / 2.5)
    few = TRAINED(1e9, 2e10, 4.0, **JOINT, g=2.5)
    assert few == pytest.approx(chinchilla(share * 1e9, 2e10, **JOINT))
    assert TRAINED(1e9, 2e10, 200.0, **JOINT, g=2.5) == pytest.approx(
        chinchilla(1e9, 2e10, **JOINT)
    )


@pytest.mark.parametrize("bits", [2.0, 4.0, 16.0])
def test_closed_forms_hold_at_any_bits(bits):
    own = {**JOINT, "g": 2.5, "weight_bits": bits}
    best = TRAINED.optimum(1e22, 6.0, **own)
    sizes = best * np.linspace(0.5, 2.0, 301)
    losses = TRAINED(sizes, 1e22 / (6 * sizes), bits, **JOINT, g=2.5)
    assert sizes[losses.argmin()] == pytest.approx(best, rel=0.01)
    assert TRAINED.compute(losses.min(), 6.0, **own) == pytest.approx(1e22, rel=1e-3)
    assert best > chinchilla.optimum(1e22, 6.0, **JOINT)  # fewer count, so more are best


@pytest.mark.slow
def test_runs_trained_with_few_bits_say_what_their_weights_count_for():
    rng = np.random.default_rng(4)
    params, bits = (own.ravel() for own in np.meshgrid(np.geomspace(3e7, 2e9, 6), [2, 3, 4, 6, 16]))
    tokens = params * rng.choice([10.0, 40.0, 160.0], len(params))
    loss = TRAINED(params, tokens, bits, **JOINT, g=2.5) * np.exp(
        0.003 * rng.standard_normal(len(params))
    )
    table = {"params": params, "tokens": tokens, "weight_bits": bits, "loss": loss}
    with pytest.warns(bs.RunsWarning, match="differ in weight_bits"):  # it is what is asked
        runs = bs.read_runs(pd.DataFrame(table))
    fit = bs.fit(runs, "kumar-precision", draws=500, tune=700, progress=False)
    assert fit.diagnostics.converged
    low, high = fit.posterior["g"].quantile([0.05, 0.95])
    assert low < 2.5 < high
    sizes = [
        float(bs.compute_optimal(fit.at(weight_bits=own), 1e21)["params"].median())
        for own in (3.0, 16.0)
    ]
    truth = [TRAINED.optimum(1e21, 6.0, **JOINT, g=2.5, weight_bits=own) for own in (3.0, 16.0)]
    assert sizes == pytest.approx(truth, rel=0.15)
    assert sizes[0] > sizes[1]
