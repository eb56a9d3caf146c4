"""Runs of nearly one size share an error: it is theirs, and no part of the law."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayescale import compute_optimal, predict, predict_runs, read_runs
from bayescale.posterior import prediction
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import cell_draws

# Sizes and tokens of new runs: two of one size among the runs, two of one far off, one farther.
PARAMS = np.array([1e9, 1e9, 3e12, 3e12, 1e14])
TOKENS = np.array([2e10, 8e10, 1e13, 1e12, 1e13])
AT = {"params": PARAMS, "tokens": TOKENS}


def with_posterior(own: Fit, **changes: xr.DataArray) -> Fit:
    tree = own.tree.copy()
    tree["posterior"] = own.posterior.assign(changes)
    return replace(own, tree=tree)


@pytest.fixture(scope="module")
def member(joint_fit) -> Fit:
    """The coupled law of the default model, its errors ten times as large as they are found."""
    own = joint_fit.members[1]
    return with_posterior(own, size_error=10 * own.posterior["size_error"])


def new_errors(own: Fit, seed: int = 1) -> np.ndarray:
    """What new runs are apart from the law, without noise: (draws, runs)."""
    silent = with_posterior(own, sigma=1e-9 * own.posterior["sigma"])
    apart = np.log(predict_runs(silent, AT, seed=seed) / predict(silent, AT))
    return apart.to_numpy().reshape(-1, len(PARAMS))


def middles(own: Fit) -> np.ndarray:
    [cells] = cell_draws(own)
    return cells.mu.to_numpy()


@pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")
def test_the_error_of_sizes_is_in_the_likelihood_and_not_in_the_law(member):
    law = with_posterior(member, size_error=0 * member.posterior["size_error"])
    best, of_law = (compute_optimal(own, [1e20, 1e22])["params"] for own in (member, law))
    np.testing.assert_array_equal(best, of_law)
    np.testing.assert_array_equal(predict(member, AT), predict(law, AT))
    assert np.abs(middles(law) - middles(member)).mean() > 1e-3


def test_the_part_outside_the_law_is_what_was_sampled(member):
    """At the runs, errors less what the law draws of them are the basis of the likelihood."""
    data = member.tree["constant_data"]
    apart = member.posterior["size_error"].to_numpy() @ data["size_error_basis"].to_numpy().T
    law = with_posterior(member, size_error=0 * member.posterior["size_error"])
    np.testing.assert_allclose(middles(member) - middles(law), apart, atol=1e-8)
    assert np.abs(apart).max() > 1e-3


@pytest.fixture
def without_least_noise(monkeypatch):
    """New runs have no noise where sigma is 0."""
    monkeypatch.setattr("bayescale.modelling.noise.LEAST", 0.0)


@pytest.mark.usefixtures("without_least_noise")
def test_runs_of_one_size_share_an_error_and_others_do_not(member):
    errors = new_errors(member)
    sd = member.spec.size_error.sd
    np.testing.assert_allclose(errors[:, 0], errors[:, 1], atol=1e-6)
    np.testing.assert_allclose(errors[:, 2], errors[:, 3], atol=1e-6)
    for far in (0, 2, 4):  # also of a size that some run has: what is known of it is no part
        assert errors[:, far].std() == pytest.approx(sd, rel=0.1)
        assert abs(errors[:, far].mean()) < 0.15 * sd
    assert abs(np.corrcoef(errors[:, 2], errors[:, 4])[0, 1]) < 0.15
    assert np.abs(errors[:, 2] - new_errors(member, seed=2)[:, 2]).mean() > 0.5 * sd


@pytest.mark.usefixtures("without_least_noise")
def test_an_error_does_not_depend_on_which_others_are_asked_for(member):
    silent = with_posterior(member, sigma=1e-9 * member.posterior["sigma"])
    alone = predict_runs(silent, {"params": PARAMS[4], "tokens": TOKENS[4]})
    more = predict_runs(silent, AT).isel(run=4)
    np.testing.assert_allclose(alone, more, rtol=1e-6)


def test_new_runs_of_one_size_share_an_error_in_tables_of_many_parts(member, monkeypatch):
    params = np.repeat([2e12, 5e12], [5, 4])[[0, 5, 1, 6, 2, 7, 3, 8, 4]]
    table = pd.DataFrame(
        {"params": params, "tokens": np.geomspace(1e12, 1e13, 9), "loss": np.linspace(2.1, 2, 9)}
    )
    new = read_runs(table)
    [whole] = cell_draws(member, new)
    monkeypatch.setattr(prediction, "_AT_ONCE", 2 * member.posterior.draw.size * 4)
    parts = [cells.mu for cells in cell_draws(member, new)]
    assert len(parts) == 5
    np.testing.assert_allclose(xr.concat(parts, dim="obs"), whole.mu, rtol=1e-12)
    law = np.log(predict(member, table[["params", "tokens"]])).rename(run="obs")
    apart = (whole.mu - law).to_numpy().reshape(-1, 9)
    np.testing.assert_allclose(apart[:, ::2], apart[:, :1] + np.zeros((1, 5)), atol=1e-10)
    assert abs(np.corrcoef(apart[:, 0], apart[:, 1])[0, 1]) < 0.15


@pytest.mark.usefixtures("without_least_noise")
def test_a_model_without_has_none(joint_fit, small_fit):
    assert not small_fit.knows_sizes
    assert joint_fit.knows_sizes
    silent = with_posterior(small_fit, sigma=1e-9 * small_fit.posterior["sigma"])
    apart = np.log(predict_runs(silent, AT) / predict(silent, AT))
    np.testing.assert_allclose(apart, 0.0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")
def test_sizes_that_differ_between_draws_have_an_error_each(member):
    silent = with_posterior(member, sigma=1e-9 * member.posterior["sigma"])
    best = compute_optimal(member, 1e20)["params"].squeeze("flops", drop=True)
    at = {"params": best, "tokens": 1e10}
    apart = np.log(predict_runs(silent, at) / predict(silent, at))
    assert float(apart.std()) == pytest.approx(member.spec.size_error.sd, rel=0.1)
