from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, known_grouped_fit

from bayescale import compute_multiplier, compute_optimal, constancy, crossing, summarise
from bayescale.errors import FitError
from bayescale.laws import LAWS, Allocation

SLOW = {"A": TRUTH["A"] * 3**0.34, "B": TRUTH["B"] * 3**0.36}  # three times N and D for a loss


def multiplier(fit, **options):
    return compute_multiplier(fit, "slow", "plain", same_validation=True, **options)


def with_column(fit, **columns):
    return replace(fit, runs=replace(fit.runs, table=fit.runs.table.assign(**columns)))


@pytest.fixture(scope="module")
def constant():
    """Of which `slow` needs nine times the compute at every loss."""
    return known_grouped_fit(plain={}, slow=SLOW, spread=1e-6)


@pytest.fixture(scope="module")
def growing():
    """Of which `slow` has a higher irreducible loss and nothing else."""
    return known_grouped_fit(plain={}, slow={"E": 1.9})


def test_known_factor_is_found_at_every_loss(constant):
    found = multiplier(constant)
    np.testing.assert_allclose(found["multiplier"], 9, rtol=1e-4)
    assert (found["unreachable"] == 0).all()
    assert (found["undefined"] == 0).all()
    back = compute_multiplier(constant, "plain", "slow", same_validation=True)
    np.testing.assert_allclose(back["multiplier"], 1 / 9, rtol=1e-4)


def test_compute_is_what_the_optimum_of_that_compute_loses(growing):
    found = multiplier(growing, losses=[2.4, 2.2])
    flops = found["flops"].sel(loss=2.2, group="slow").median()
    best = compute_optimal(growing.of_group("slow"), float(flops))
    assert float(best["loss"].median()) == pytest.approx(2.2, rel=1e-3)


def test_targets_lie_within_the_runs_of_both_and_then_one_decade_beyond(growing):
    found = multiplier(growing)
    assert (np.diff(found["loss"]) < 0).all()
    beyond = found["decades_beyond"].transpose("loss", "group").to_numpy()
    assert (beyond[:25] == 0).all()
    assert (beyond[25:, 0] > 0).all()
    assert beyond[-1].max() == pytest.approx(1, abs=0.01)


def test_factor_of_groups_of_other_irreducible_loss_grows_until_it_is_infinite(growing):
    found = multiplier(growing, losses=[2.5, 2.1, 1.95, 1.85, 1.7])
    middle = summarise(found["multiplier"]).sel(summary="median").to_numpy()
    assert (np.diff(middle[:3]) > 0).all()
    assert middle[3] == np.inf
    assert found["unreachable"].sel(group="slow").to_numpy().tolist() == [0, 0, 0, 1, 1]
    assert found["unreachable"].sel(group="plain").to_numpy().tolist() == [0, 0, 0, 0, 1]
    assert found["undefined"].to_numpy().tolist() == [0, 0, 0, 0, 1]
    assert found["decades_beyond"].sel(loss=1.85, group="slow") == np.inf
    back = compute_multiplier(growing, "plain", "slow", losses=[1.85], same_validation=True)
    assert (back["multiplier"] == 0).all()


def test_unreachable_is_a_probability():
    unsure = known_grouped_fit(plain={}, slow={}, spread=0.02)
    share = multiplier(unsure, losses=[1.8])["unreachable"].sel(group="slow", loss=1.8)
    assert float(share) == pytest.approx(float((unsure.posterior["E"][..., 1] >= 1.8).mean()))
    assert 0.3 < float(share) < 0.7


def test_factor_that_stays_and_factor_that_grows_are_told_apart(constant, growing):
    stays = constancy(multiplier(constant))
    np.testing.assert_allclose(stays["log_ratio"], 0, atol=1e-4)
    grows = constancy(multiplier(growing))
    assert grows["grows"] == 1
    assert (grows["log_ratio"] > 0.1).all()
    assert grows["easiest"] > grows["hardest"] > 2
    back = constancy(compute_multiplier(growing, "plain", "slow", same_validation=True))
    assert back["grows"] == 0
    np.testing.assert_allclose(back["log_ratio"], -grows["log_ratio"], rtol=0.02)


def test_constancy_of_targets_beyond_the_runs_is_refused(growing):
    with pytest.raises(FitError, match="0 of the target losses within reach"):
        constancy(multiplier(growing, losses=[1.95, 1.92]))


def test_every_group_counts_its_own_flops(constant):
    costly = constant.runs.table["family"] == "slow"
    flops = constant.runs.table["flops"] * np.where(costly, 2.0, 1.0)
    found = multiplier(with_column(constant, flops=flops), losses=[2.4])
    np.testing.assert_allclose(found["multiplier"], 18, rtol=1e-4)


def test_flops_of_a_parameter_may_change_with_size(constant):
    """C = 6 N D (N / 1e9)^0.1 is Chinchilla's law in M = N^1.1, which has a closed form."""
    costly = constant.runs.table["family"] == "slow"
    sizes = constant.runs.table["params"] / 1e9
    flops = constant.runs.table["flops"] * np.where(costly, sizes**0.1, 1.0)
    changed = with_column(constant, flops=flops)
    loss, k = 2.35, 6 / 1e9**0.1
    natural = changed.of_group("slow").natural
    exact = LAWS["chinchilla"].compute(loss, k, **{**natural, "alpha": natural["alpha"] / 1.1})
    found = multiplier(changed, losses=[loss])["flops"].sel(group="slow", loss=loss)
    np.testing.assert_allclose(found, exact, rtol=0.02)
    whole = changed.of_group("slow").runs.flops_per_param_token
    biased = LAWS["chinchilla"].compute(loss, whole, **natural)
    assert abs(np.log(biased / exact)).min() > 0.03


def test_group_without_runs_needs_losses(growing):
    new = growing.with_new_group("new", seed=3)
    with pytest.raises(FitError, match="the group 'new' has no runs to say what it reaches"):
        compute_multiplier(new, "new", "plain", same_validation=True)
    found = compute_multiplier(new, "new", "plain", losses=[2.4], same_validation=True)
    assert found["multiplier"].std() > 0.01
    assert np.isnan(found["decades_beyond"].sel(group="new")).all()


CROSSING = {"alpha": 0.44, "A": TRUTH["A"] * 4.5e8**0.1 * 1.1}  # worse at first, then better


def test_curves_that_cross_by_construction_cross_where_they_must():
    fit = known_grouped_fit(plain={}, slow=CROSSING, spread=1e-5)
    plain, slow = (fit.of_group(name) for name in ("plain", "slow"))
    grid = np.geomspace(6e18, 1e23, 400)
    loss = [compute_optimal(f, list(grid))["loss"].isel(draw=0).squeeze() for f in (plain, slow)]
    where = grid[int(np.argmax((loss[1] < loss[0]).to_numpy()))]
    assert 1e19 < where < 1e22
    found = crossing(fit, "slow", "plain", [1e23, where * 0.9, where * 1.1], same_validation=True)
    assert found["probability"].to_numpy().tolist() == [0, 1, 1]
    assert (found["difference"].isel(flops=0) > 0).all()
    assert (found["difference"].isel(flops=2) < 0).all()
    assert found["decades_beyond"].sel(flops=1e23, group="slow") == pytest.approx(
        np.log10(1e23 / 3e21)
    )
    assert float(found["start"]) == pytest.approx(6e18)


def test_crossing_below_the_runs_of_one_group_is_none():
    """Only above the smallest run of both do the runs say which of them is better."""
    fit = known_grouped_fit(plain={}, slow=CROSSING, spread=1e-5)
    table = fit.runs.table
    late = with_column(fit, flops=table["flops"] * np.where(table["family"] == "slow", 100.0, 1.0))
    late = with_column(late, tokens=late.runs.table["flops"] / (6 * table["params"]))
    found = crossing(late, "slow", "plain", [1e23], same_validation=True)
    assert float(found["start"]) == pytest.approx(6e20)
    assert found["probability"].to_numpy().tolist() == [0]
    # The control: from the smallest run of the other group on they cross.
    assert crossing(fit, "slow", "plain", [1e23], same_validation=True)["probability"] == 1
    back = crossing(late, "plain", "slow", [1e23], same_validation=True)
    assert float(back["start"]) == float(found["start"])


def test_curves_that_do_not_cross_do_not(constant, growing):
    for fit in (constant, growing):
        found = crossing(fit, "slow", "plain", [1e20, 1e26], same_validation=True)
        assert (found["probability"] == 0).all()
        assert (found["difference"] > 0).all()


def test_equal_groups_do_not_cross():
    fit = known_grouped_fit(plain={}, slow={})
    assert crossing(fit, "slow", "plain", 1e24, same_validation=True)["probability"] == 0


def test_crossing_counts_to_the_end_once_it_has_happened():
    fit = known_grouped_fit(plain={}, slow=CROSSING, spread=0.01)
    found = crossing(fit, "slow", "plain", np.geomspace(1e19, 1e26, 20), same_validation=True)
    assert (found["probability"].diff("flops") >= 0).all()
    assert found["crossed"].dims == ("chain", "draw", "flops")


def test_compute_below_the_runs_is_refused(constant):
    with pytest.raises(FitError, match="1e18 FLOPs is no more than the least compute"):
        crossing(constant, "slow", "plain", [1e18, 1e22], same_validation=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("slow", "slow"), "not compared with itself: 'slow' is given twice"),
        (("slwo", "plain"), "no group 'slwo' in this fit; did you mean 'slow'"),
    ],
)
def test_groups_must_be_two_of_the_fits(constant, given, message):
    with pytest.raises(FitError, match=message):
        compute_multiplier(constant, *given, same_validation=True)


def test_fit_without_groups_is_refused():
    with pytest.raises(FitError, match="it has no groups"):
        compute_multiplier(known_fit(), "a", "b", same_validation=True)


@pytest.mark.parametrize("losses", [[2.0, -1.0], [np.nan]])
def test_bad_targets_are_refused(constant, losses):
    with pytest.raises(FitError, match="target losses must be positive"):
        multiplier(constant, losses=losses)


def test_groups_that_reach_no_common_loss_need_losses():
    apart = known_grouped_fit(plain={}, slow={"E": 5.0})
    with pytest.raises(FitError, match="reach no common loss"):
        multiplier(apart)
    assert multiplier(apart, losses=[6.0])["multiplier"].notnull().all()


@pytest.mark.parametrize("stated", [None, False])
def test_validation_set_must_be_known_to_be_the_same(constant, stated):
    for ask in (
        lambda **options: compute_multiplier(constant, "slow", "plain", **options),
        lambda **options: crossing(constant, "slow", "plain", 1e23, **options),
    ):
        with pytest.raises(FitError, match="say so with same_validation=True"):
            ask(same_validation=stated)


def test_column_of_the_runs_names_the_validation_set(constant):
    one = with_column(constant, validation="C4")
    found = compute_multiplier(one, "slow", "plain", losses=[2.4])
    np.testing.assert_allclose(found["multiplier"], 9, rtol=1e-4)
    with pytest.raises(FitError, match="say so with same_validation=True"):
        compute_multiplier(one, "slow", "plain", same_validation=False)


@pytest.mark.parametrize("stated", [None, True])
def test_two_validation_sets_are_refused_whatever_is_said(constant, stated):
    two = with_column(
        constant, validation=np.where(constant.runs.table["family"] == "slow", "C4", "Pile")
    )
    with pytest.raises(FitError, match="has Pile, C4: losses on several validation sets"):
        compute_multiplier(two, "slow", "plain", same_validation=stated)


def test_other_groups_may_have_other_validation_sets():
    three = known_grouped_fit(plain={}, slow=SLOW, other={})
    family = three.runs.table["family"]
    own = with_column(three, validation=np.where(family == "other", "Pile", "C4"))
    assert compute_multiplier(own, "slow", "plain", losses=[2.4])["multiplier"].notnull().all()


def test_law_that_does_not_say_what_compute_reaches_a_loss_is_searched(constant):
    law = replace(constant.spec.law, allocation=Allocation())
    silent = replace(constant, spec=replace(constant.spec, law=law))
    found, closed = (multiplier(own, losses=[2.4])["multiplier"] for own in (silent, constant))
    np.testing.assert_allclose(found, closed, rtol=1e-4)
    assert crossing(silent, "slow", "plain", 1e23, same_validation=True)["probability"] == 0


def test_saved_multiplier_is_read_again(growing, tmp_path):
    found = multiplier(growing)
    found.to_netcdf(tmp_path / "multiplier.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "multiplier.nc", engine="h5netcdf") as again:
        xr.testing.assert_equal(again, found)
        assert again.attrs == {"group": "slow", "reference": "plain"}
