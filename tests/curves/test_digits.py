"""What digits and ties tell: trials behind shares, and running bests beside rounded curves."""

import numpy as np
import pandas as pd
import pytest

from bayescale.curves.digits import are_running_bests, are_shares, fewest_trials


@pytest.mark.parametrize("trials", [40, 369, 2583])
@pytest.mark.parametrize("decimals", [5, 16])
def test_the_trials_behind_shares_are_found(trials, decimals):
    right = np.random.default_rng(trials).integers(1, trials, 8)
    right[0] = trials - 1  # a fraction in lowest terms
    shares = np.append(right / trials, 1.0).round(decimals)
    assert fewest_trials(shares) == trials


@pytest.mark.parametrize(
    ("shares", "trials"),
    [
        ([0.5, 1.0], 2),
        ([0.999, 0.521, 0.848, 0.604], 670),  # of 1000, but rounded like those of 670
        ([0.9, 0.0], 7),  # 6 of 7 is 0.86, one of less than 7 further off
        ([0.0, 1.0], 0),
        ([0.25, 0.125 + 1 / np.pi**7, 1.0], None),  # no share of a million or less
    ],
)
def test_few_values_tell_of_few_trials(shares, trials):
    found = fewest_trials(np.array(shares))
    if trials is None:
        assert found == np.ceil(1 / (0.125 - 1 / np.pi**7))
    else:
        assert found == trials


def test_losses_are_no_shares():
    n = np.full(3, 300.0)
    assert are_shares(np.array([12, 100, 299]) / 300, n)
    assert are_shares(np.array([12, 100, 299]) / 300, np.full(3, np.nan))
    assert not are_shares(np.array([0.4321, 0.41, 0.35]), n)
    assert not are_shares(np.array([1.5, 1.25, 1.1]), n)


def law(n, *, alpha=0.3, floor=0.3, jitter=0.3, seed=0):
    z = np.linspace(0, 6, n)
    z = z + jitter * (z[1] - z[0]) * np.random.default_rng(seed).uniform(-1, 1, n)
    return np.exp(z), floor + (1 - floor) * np.exp(-alpha * z)


@pytest.mark.parametrize("decimals", [None, 4])
def test_running_minima_of_noisy_curves_are_seen(decimals):
    seen = 0
    for seed in range(40):
        x, loss = law(20, seed=seed)
        loss = loss * np.exp(0.03 * np.random.default_rng(seed).standard_normal(20))
        assert not are_running_bests(x, loss)
        best = np.minimum.accumulate(loss)
        order = np.random.default_rng(1).permutation(20)  # rows of a table come in any order
        seen += are_running_bests(x[order], (best if decimals is None else best.round(4))[order])
    assert seen >= 30


@pytest.mark.parametrize("scale", [1.0, 1 / np.log(2)])  # rounded, then brought to bits
@pytest.mark.parametrize("decimals", [1, 2, 3])
@pytest.mark.parametrize("n", [10, 20, 60, 200])
def test_ties_of_rounding_are_no_running_minima(n, decimals, scale):
    ties = 0
    for seed in range(10):
        for alpha, floor in ((0.1, 0.1), (0.5, 0.3), (2.0, 0.05)):
            x, loss = law(n, alpha=alpha, floor=floor, seed=seed)
            loss = loss.round(decimals) * scale
            ties += (np.diff(loss) == 0).any()
            assert not are_running_bests(x, loss)
    assert ties > 0


def test_what_is_no_curve_of_bests_is_not_called_one():
    x, loss = law(12, jitter=0)
    assert not are_running_bests(x, loss)  # an exact law has no ties
    stairs = np.repeat([0.9, 0.713, 0.542, 0.4, 0.333, 0.21], 2)
    assert are_running_bests(x, stairs)
    assert not are_running_bests(x[:8], stairs[:8])  # too few
    assert not are_running_bests(x, stairs[::-1])
    assert not are_running_bests(np.repeat(x[:6], 2), stairs)  # every x twice
    assert not are_running_bests(x, np.repeat(0.5, 12))
    one_plateau = np.where(np.arange(12) == 6, loss[5], loss)
    assert not are_running_bests(x, one_plateau)


def test_published_running_minima_are_seen(data_folder):
    table = pd.read_csv(data_folder / "learning_curves_language.csv").query("split == 'train'")
    seen = {
        str(name): are_running_bests(own["x"].to_numpy(float), own["loss"].to_numpy())
        for name, own in table.groupby("curve")
    }
    best = [flag for name, flag in seen.items() if name.startswith("BB/")]
    assert (len(best), sum(best)) == (10, 8)
    assert not any(flag for name, flag in seen.items() if not name.startswith("BB/"))
