"""A pool of posteriors: draws of each member side by side, judged member by member."""

import arviz as az
import numpy as np
import pytest

from bayescale import arviz_tree, compute_optimal, fit, load_fit, predict, predict_runs
from bayescale.evaluation.cross_validation import _importance_sampling
from bayescale.evaluation.loo import _relative_efficiency
from bayescale.posterior import fitting

AT = {"params": [1e9, 1e11], "tokens": [2e10, 2e12]}

pytestmark = pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")


def test_a_pool_has_half_its_draws_of_each_member(joint_fit):
    posterior = joint_fit.posterior
    assert posterior["member"].to_numpy().tolist() == [0] * 4 + [1] * 4
    assert (posterior.sizes["draw"], joint_fit.lengths) == (200, (400, 4))
    k = posterior["k"].to_numpy()
    assert (k[:4] == 1).all()
    assert (k[4:].std(axis=1) > 0.01).all()
    assert len(joint_fit.members) == 2
    for number, own in enumerate(joint_fit.members):
        assert own.spec == joint_fit.spec.each_member[number]
        assert own.members == (own,)
        for name in ("E", "alpha", "k", "bend", "sigma"):
            chains = posterior[name].isel(chain=posterior["member"] == number)
            np.testing.assert_array_equal(own.posterior[name], chains)


def test_each_member_is_the_fit_of_its_own_model(joint_fit, runs, monkeypatch):
    """Its share of the draws and of the warm-up, and a seed of its own."""
    monkeypatch.setattr(fitting, "MIN_ESS", fitting.MIN_ESS / 2)
    spec = joint_fit.spec.each_member[1]
    alone = fit(runs, spec, draws=200, tune=300, seed=4, progress=False)
    pooled = joint_fit.members[1].posterior
    np.testing.assert_array_equal(alone.posterior["alpha"], pooled["alpha"])
    both = predict(joint_fit, AT).isel(chain=slice(4, 8))
    np.testing.assert_allclose(predict(alone, AT), both, rtol=1e-10)


def test_a_pool_is_as_well_sampled_as_its_members(joint_fit):
    one, other = (own.diagnostics for own in joint_fit.members)
    found = joint_fit.diagnostics
    assert found.max_r_hat == max(one.max_r_hat, other.max_r_hat)
    assert found.min_ess_bulk == 2 * min(one.min_ess_bulk, other.min_ess_bulk)
    assert found.divergences == one.divergences + other.divergences
    # The control: chains of two members disagree, and that is no fault of theirs.
    across = float(az.rhat(joint_fit.posterior[["k"]])["k"])
    assert across > 1.05 > found.max_r_hat
    assert joint_fit.summary().loc["k", "r_hat"] == other_r_hat(joint_fit) < across


def other_r_hat(pool):
    return float(az.rhat(pool.members[1].posterior[["k"]])["k"])


def test_one_member_that_failed_fails_the_pool(joint_fit):
    tree = joint_fit.tree.copy(deep=True)
    tree["posterior"]["alpha"][4] += 0.5  # one chain of the second member
    tree["sample_stats"]["diverging"][5, :3] = True
    found = fitting.Fit(joint_fit.spec, joint_fit.runs, tree)
    assert found.members[0].diagnostics == joint_fit.members[0].diagnostics
    assert found.diagnostics.max_r_hat > 1.5
    assert found.diagnostics.divergences == joint_fit.diagnostics.divergences + 3
    assert found.summary().loc["alpha", "r_hat"] > 1.5


def test_a_saved_pool_gives_the_same_answers(joint_fit, tmp_path):
    again = load_fit(joint_fit.save(tmp_path / "pool.nc"))
    assert [own.spec for own in again.members] == [own.spec for own in joint_fit.members]
    for one, other in zip((again, *again.members), (joint_fit, *joint_fit.members), strict=True):
        np.testing.assert_array_equal(predict(one, AT), predict(other, AT))
        np.testing.assert_array_equal(predict_runs(one, AT), predict_runs(other, AT))
        best, expected = (compute_optimal(own, [1e20, 1e22]) for own in (one, other))
        assert best.equals(expected)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_runs_are_left_out_of_each_member_on_its_own(joint_fit):
    """The mean over the members of the density that each has of a run without it."""
    found = _importance_sampling(joint_fit)
    loos = [
        az.loo(
            arviz_tree(own),
            pointwise=True,
            reff=_relative_efficiency(own.posterior.drop_vars(list(own.spec.fixed))),
        )
        for own in joint_fit.members
    ]
    each = np.stack([loo.elpd_i.to_numpy() for loo in loos])
    expected = np.logaddexp.reduce(each, axis=0) - np.log(2)
    np.testing.assert_allclose(found.elpd_i, expected, atol=1e-6)
    k = np.max([loo.pareto_k.to_numpy() for loo in loos], axis=0)
    np.testing.assert_allclose(found.pareto_k, k, atol=1e-6)
    assert found.good_k == pytest.approx(loos[0].good_k)
    # The control: as one posterior, the better member of a run takes weight from the other.
    together = az.loo(arviz_tree(joint_fit), pointwise=True, reff=1.0)
    assert np.abs(together.elpd_i - expected).max() > 1e-3
