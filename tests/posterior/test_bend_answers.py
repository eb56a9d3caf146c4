"""Decisions by a law that may bend, and the control: where it bends by nothing it is the law."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayescale import (
    at_size,
    basin,
    best_under_wall,
    break_even,
    cheapest,
    compare_approaches,
    compute_multiplier,
    compute_optimal,
    log_optimum,
    parabola_bias,
    plan_outcomes,
    predict,
    predict_runs,
    rank_plans,
    read_plans,
    read_runs,
    suggest_runs,
    target_loss,
)
from bayescale.errors import FitError
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import bend_per_decade, run_inputs, with_few_draws

BUDGETS = [1e20, 3e21, 3e22]  # a decade beyond the runs, which end at 3e21
PLANS = pd.DataFrame({"params": [1e9, 4e9, 1e10], "tokens": [4e10, 1e10, 2e11]})

ANY_RATIO = {"min_ratio": 1e-9, "max_ratio": 1e12}


def bending(own: Fit, factor: float) -> Fit:
    """The same draws, with all coefficients of the bend times a factor."""
    tree, posterior = own.tree.copy(), own.posterior
    names = ("bend", "bend_beyond", "size_error")
    coefficients = {name: factor * posterior[name] for name in names}
    tree["posterior"] = posterior.assign(coefficients)
    return replace(own, tree=tree)


@pytest.fixture(scope="module")
def bent(joint_fit) -> Fit:
    few = joint_fit.tree.copy()
    few["posterior"] = joint_fit.posterior.isel(draw=slice(None, None, 8))
    return replace(joint_fit, tree=few)


@pytest.fixture(scope="module")
def straight(bent) -> Fit:
    """It bends by nothing."""
    return bending(bent, 0.0)


@pytest.fixture(scope="module")
def law(straight) -> Fit:
    """The law of every draw alone."""
    tree = straight.tree.copy()
    tree["posterior"] = straight.posterior.drop_vars("bend_beyond")
    return replace(straight, tree=tree)


def optima(own):
    return compute_optimal(own, BUDGETS)


def basins(own):
    return basin(own, BUDGETS).to_dataset(name="params")


def isoflops(own):
    sizes = xr.DataArray([1e8, 1e9, 1e10], dims="params")
    return Posterior.of(own).isoflop(1e21, sizes).to_dataset(name="loss")


def predictions(own):
    at = {"params": np.array([1e8, 1e10]), "tokens": np.array([1e10, 1e12])}
    return xr.Dataset({"law": predict(own, at), "new": predict_runs(own, at)})


def computes(own):
    losses = xr.DataArray([2.9, 2.5, 2.3], dims="loss")
    return Posterior.of(own).least_compute(losses).to_dataset(name="flops")


def targets(own):
    asked = {"flops": 1e22, "params": 3e9, "loss": 2.4}
    return xr.Dataset({name: target_loss(own, **{name: at}) for name, at in asked.items()})


def serving(own):
    return cheapest(own, target_loss(own, flops=3e21), [0.0, 1e11, 1e13])


def capped(own):
    target = target_loss(own, flops=3e21)
    return cheapest(own, target, 1e12, max_params=5e9, max_tokens=2e12)


def sizes(own):
    return at_size(own, target_loss(own, flops=3e21), [3e9, 8e9], 1e12)


def turns(own):
    turn = break_even(own, target_loss(own, flops=3e21), 3e9, 8e9)
    return turn.to_dataset(name="inference_tokens")


def plans(own):
    return rank_plans(plan_outcomes(own, read_plans(PLANS)))


def next_runs(own):
    found = suggest_runs(own, log_optimum(own, 1e22), max_flops=1e22, runs=2)
    return found.picks.to_xarray()


def three_approaches(own):
    # Draws are paired at random: compared are those of the joint law.
    return compare_approaches(own, [1e21])[["params"]].sel(approach="joint law (3)", drop=True)


def parabolas(own):
    return parabola_bias(own, [1e21])


QUESTIONS = [
    optima,
    basins,
    isoflops,
    predictions,
    computes,
    targets,
    serving,
    capped,
    sizes,
    turns,
    plans,
    next_runs,
    three_approaches,
    parabolas,
]


@pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")
@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__name__)
def test_every_decision_knows_the_bend(ask, bent, straight, law):
    answer, control, alone = (ask(own) for own in (bent, straight, law))
    for name in alone.data_vars:
        np.testing.assert_allclose(
            control[name], alone[name], rtol=2e-3, atol=1e-4, err_msg=str(name)
        )
        if {"chain", "draw"} <= set(answer[name].dims):
            finite = np.isfinite(answer[name]).mean()
            assert finite > 0.95 * np.isfinite(alone[name]).mean(), name
    changed = bending(bent, 2.0)
    assert not ask(changed).equals(answer)


@pytest.mark.parametrize("member", [0, 1])
def test_without_a_bend_the_loss_is_the_law_of_either_member(member, straight, law):
    of_member = straight.posterior["member"].to_numpy() == member
    assert of_member.sum() == 4
    at = {"params": np.geomspace(1e7, 1e12, 6), "tokens": np.geomspace(1e9, 1e14, 6)}
    ours, theirs = (predict(own, at).isel(chain=of_member) for own in (straight, law))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    k = straight.posterior["k"].isel(chain=of_member)
    assert bool((k == 1).all()) == (member == 0)


def test_least_compute_is_that_of_the_optimum_which_has_the_loss(bent):
    for flops in BUDGETS[:2]:
        loss = compute_optimal(bent, flops)["loss"].squeeze("flops", drop=True)
        found = Posterior.of(bent).least_compute(loss)
        # Never more; less where the least loss had been there before.
        assert (found <= flops * 1.003).mean() > 0.97
        assert float(np.isclose(found, flops, rtol=1e-3).mean()) > 0.95


def test_no_compute_reaches_a_loss_below_all(bent):
    found = Posterior.of(bent).least_compute(xr.DataArray(0.1))
    assert np.isinf(found).all()


def test_the_cheapest_model_is_the_best_of_a_fine_grid(bent):
    target = target_loss(bent, flops=3e21)
    found = cheapest(bent, target, 1e12, **ANY_RATIO).squeeze("inference_tokens")
    grid = np.geomspace(*(found["params"].quantile([0.0, 1.0]) * [0.9, 1.1]), 120)
    costs = at_size(bent, target, grid, 1e12)["cost"]
    known = np.isfinite(found["cost"])
    best = costs.min("params")
    assert (found["cost"] <= best * (1 + 1e-6)).where(known, True).mean() > 0.985
    assert (best <= found["cost"] * 1.01).where(known, True).all()  # the control: no lower bound


@pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")
def test_serving_more_neither_loses_a_model_nor_makes_it_dearer_than_the_optimal_one(bent):
    """Far beyond the runs, where a slightly smaller size may need all the tokens or never do."""
    wide = bending(bent, 1.5)
    target = target_loss(wide, flops=1e23)
    found = cheapest(wide, target, [0.0, 1e12, 1e14], **ANY_RATIO)
    assert (found["infeasible"] == found["infeasible"][0]).all()
    saved = found["saved"].where(np.isfinite(target))
    assert float(saved.min()) > -1e-9
    assert float(saved.sel(inference_tokens=1e14).max()) > 0.2


def test_fewer_draws_keep_their_bend(bent, monkeypatch):
    monkeypatch.setattr("bayescale.posterior.prediction.ENOUGH_DRAWS", 40)
    few = with_few_draws(bent)
    assert few.posterior.sizes["draw"] == 5
    at = {"params": 1e10, "tokens": 1e12}
    places = ((np.arange(5) + 0.5) * bent.posterior.sizes["draw"] / 5).astype(int)
    np.testing.assert_allclose(predict(few, at), predict(bent, at).isel(draw=places), rtol=1e-12)


def test_questions_that_the_law_cannot_answer_are_refused_as_ever(bent):
    with pytest.raises(FitError, match="does not know repeated data"):
        best_under_wall(bent, 1e22, 1e10)
    with pytest.raises(FitError, match="it has no groups"):
        compute_multiplier(bent, "one", "two", same_validation=True)


def test_the_bend_per_decade_is_the_root_mean_square_over_runs(bent):
    table = bent.runs.table
    more = table.iloc[:7].assign(seed=1, loss=1.001 * table["loss"])
    runs = read_runs(pd.concat([table.assign(seed=0), more]))
    at, exact = (
        run_inputs(bent, runs),
        {name: bent.natural[name] for name in bent.spec.law.parameters},
    )

    def log_factor(times: float) -> xr.DataArray:
        inputs = [times * at[name] for name in ("params", "tokens")]
        return np.log(bent.law(*inputs, **bent.natural) / bent.spec.law(*inputs, **exact))

    slope = (log_factor(10**0.025) - log_factor(10**-0.025)) / 0.1
    expected = np.sqrt((slope**2).mean("obs"))
    found = bend_per_decade(replace(bent, runs=runs))
    np.testing.assert_allclose(found, expected.transpose("chain", "draw"), rtol=1e-9)
    assert abs(found / bend_per_decade(bent) - 1).max() > 1e-3  # the seeds count
