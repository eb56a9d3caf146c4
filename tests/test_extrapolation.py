"""The weighted posterior, and which posterior answers what."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_fit, known_grouped_fit, simulated_table

from bayescale import (
    arviz_tree,
    cheapest,
    compute_optimal,
    fit,
    load_fit,
    load_model,
    log_optimum,
    parse_model,
    plan_outcomes,
    predict,
    predict_runs,
    read_plans,
    read_runs,
    suggest_runs,
    target_loss,
)
from bayescale.answers import answers
from bayescale.checks.influence import _answer
from bayescale.decisions.multiplier import compute_multiplier, constancy, crossing
from bayescale.errors import FitError, ModelError, RunsWarning
from bayescale.fitting import Fit
from bayescale.optima import basin, isoflop
from bayescale.prediction import decades_beyond, log_likelihood
from bayescale.summary import summarise_fit, summarise_optima
from bayescale.weighting import GRID

INSIDE, BEYOND = 1e20, 1e24


def with_weighted(own: Fit, factor: float = 1.1) -> Fit:
    """Give a fit a weighted posterior that cannot be mistaken for the plain one."""
    tree = own.tree.copy()
    shuffled = own.posterior.isel(draw=slice(None, None, -1)).drop_vars("draw", errors="ignore")
    by_group = 1.0
    if own.groups:  # groups that differ otherwise than by the plain posterior
        names = list(own.groups)
        by_group = xr.DataArray(1.0 + 0.02 * np.arange(len(names)), coords={"group": names})
    tree["weighted"] = shuffled.assign(E=factor * by_group * shuffled["E"])
    return replace(own, tree=tree)


@pytest.fixture
def both(runs) -> Fit:
    return with_weighted(replace(known_fit(40, 0.02), runs=runs))


def same(one, other) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def test_predictions_come_from_one_posterior_on_either_side_of_the_largest_run(both):
    largest = both.runs.table.loc[both.runs.table["flops"].idxmax()]
    at = {"params": np.array([1e8, 1e11]), "tokens": np.array([2e9, 2e12])}
    found = predict(both, at)
    assert found["posterior"].to_numpy().tolist() == ["plain", "weighted"]
    assert same(found.isel(run=0), predict(both.plain, at).isel(run=0))
    assert same(found.isel(run=1), predict(both.weighted, at).isel(run=1))
    assert not same(found.isel(run=1), predict(both.plain, at).isel(run=1))
    edge = {name: float(largest[name]) for name in ("params", "tokens")}
    assert predict(both, edge)["posterior"].item() == "plain"


def test_more_parameters_or_tokens_than_any_run_are_beyond_at_any_compute(both):
    table = both.runs.table
    large = {"params": 2 * table["params"].max(), "tokens": table["tokens"].min() / 100}
    long = {"params": table["params"].min() / 100, "tokens": 2 * table["tokens"].max()}
    small = {"params": table["params"].min() / 100, "tokens": table["tokens"].min() / 100}
    answered = [predict(both, at)["posterior"].item() for at in (large, long, small)]
    assert answered == ["weighted", "weighted", "plain"]


def test_runs_of_the_fit_are_never_beyond_it_however_compute_is_counted(both):
    table = both.runs.table.assign(flops=both.runs.table["flops"] * 0.9995)
    own = replace(both, runs=replace(both.runs, table=table))
    at = {name: table[name].to_numpy() for name in ("params", "tokens")}
    assert (predict(own, at)["posterior"] == "plain").all()


def test_noise_is_that_of_the_posterior_that_answers(both):
    at = {"params": 1e11, "tokens": 2e12}
    assert same(predict_runs(both, at), predict_runs(both.weighted, at))


def test_a_fit_without_a_weighted_posterior_answers_as_ever(runs):
    plain = replace(known_fit(40, 0.02), runs=runs)
    assert plain.weighted is None
    found = predict(plain, {"params": 1e11, "tokens": 2e12})
    assert "posterior" not in found.coords
    assert plain.for_range(beyond=True).answered_by == "plain"


def test_optima_basins_and_isoflops_follow_the_budget(both):
    best = compute_optimal(both, [INSIDE, BEYOND])
    assert best["posterior"].to_numpy().tolist() == ["plain", "weighted"]
    grid = xr.DataArray([1e9, 1e10], dims="params")
    for flops, own in ((INSIDE, both.plain), (BEYOND, both.weighted)):
        alone = compute_optimal(own, flops)
        for name in ("params", "tokens", "loss", "a"):
            assert same(best[name].sel(flops=flops), alone[name].squeeze("flops"))
        ends = basin(both, [INSIDE, BEYOND]).sel(flops=flops)
        assert same(ends, basin(own, flops).squeeze("flops"))
        curve = isoflop(both, xr.DataArray(flops), grid)
        assert same(curve, isoflop(own, xr.DataArray(flops), grid))
    assert (best["decades_beyond"] > 0).to_numpy().tolist() == [False, True]
    assert best.attrs["k"] == both.runs.flops_per_param_token


@pytest.mark.parametrize(
    "target", [{"flops": INSIDE}, {"flops": BEYOND}, {"params": 1e8}, {"params": 1e12}]
)
def test_overtraining_decides_by_the_posterior_of_its_target(both, target):
    beyond = max(target.values()) in (BEYOND, 1e12)
    own = both.for_range(beyond=beyond)
    asked = target_loss(both, **target)
    assert asked["posterior"].item() == own.answered_by
    assert same(asked, target_loss(own, **target))
    found, alone = (cheapest(f, t, 1e13) for f, t in ((both, asked), (own, asked)))
    assert same(found["params"], alone["params"])


def test_a_loss_below_what_the_runs_reach_is_beyond_them(both):
    reached = float(
        compute_optimal(both.plain, float(both.runs.column("flops").max()))["loss"].median()
    )
    answered = [
        target_loss(both, loss=reached * factor)["posterior"].item() for factor in (1.01, 0.99)
    ]
    assert answered == ["plain", "weighted"]


def test_plans_are_compared_by_one_posterior(both):
    near = pd.DataFrame({"params": [1e8, 2e8], "tokens": [2e9, 1e9]})
    far = pd.concat([near, pd.DataFrame({"params": [1e11], "tokens": [2e12]})])
    inside = plan_outcomes(both, read_plans(near))
    mixed = plan_outcomes(both, read_plans(far.reset_index(drop=True)))
    assert (inside["posterior"].item(), mixed["posterior"].item()) == ("plain", "weighted")
    assert not same(inside["loss"], mixed["loss"].isel(plan=[0, 1]))
    weighted = plan_outcomes(both.weighted, read_plans(far.reset_index(drop=True)))
    assert same(mixed["equivalent_flops"], weighted["equivalent_flops"])


def test_next_runs_are_judged_by_the_posterior_of_the_quantity(both):
    quantity = log_optimum(both, BEYOND)
    assert quantity["posterior"].item() == "weighted"
    found = suggest_runs(both, quantity, max_flops=1e21, runs=2)
    alone = suggest_runs(both.weighted, log_optimum(both.weighted, BEYOND), max_flops=1e21, runs=2)
    pd.testing.assert_frame_equal(found.picks, alone.picks)


def test_multipliers_beyond_the_runs_of_a_group_are_weighted():
    grouped = with_weighted(known_grouped_fit(one={}, two={"A": 500.0}))
    found = compute_multiplier(grouped, "one", "two", same_validation=True)
    outside = (found["decades_beyond"] > 0).any("group").to_numpy()
    assert 0 < outside.sum() < len(outside)
    assert (found["posterior"].to_numpy() == np.where(outside, "weighted", "plain")).all()
    alone = compute_multiplier(
        grouped.weighted, "one", "two", losses=found["loss"].to_numpy(), same_validation=True
    )
    assert same(found["flops"].isel(loss=outside), alone["flops"].isel(loss=outside))
    steady = constancy(found)  # of targets within the runs alone
    alone = constancy(compute_multiplier(grouped.plain, "one", "two", same_validation=True))
    assert same(steady["log_ratio"], alone["log_ratio"])


def test_a_crossing_is_followed_by_one_posterior():
    grouped = with_weighted(known_grouped_fit(one={}, two={"A": 300.0, "beta": 0.30}))
    largest = float(grouped.runs.column("flops").max())
    budgets = [largest / 2, largest, 10 * largest, 1e6 * largest]
    inside = crossing(grouped, "one", "two", budgets[:2], same_validation=True)
    assert inside["posterior"].item() == "plain"
    path = crossing(grouped, "one", "two", budgets, same_validation=True)
    assert path["posterior"].item() == "weighted"
    assert (path["probability"].diff("flops") >= 0).all()


def test_answers_of_the_weighted_posterior_alone_say_so(both):
    alone = both.weighted
    quantity = log_optimum(alone, INSIDE)
    assert quantity["posterior"].item() == "weighted"
    assert summarise_optima(alone, [BEYOND])[0]["posterior"] == "weighted"
    ours = suggest_runs(both, quantity, max_flops=1e21, runs=1)
    theirs = suggest_runs(alone, quantity, max_flops=1e21, runs=1)
    pd.testing.assert_frame_equal(ours.picks, theirs.picks)
    assert ours.posterior == "weighted"


def test_draws_that_do_not_say_their_posterior_are_refused(both):
    target = target_loss(both, flops=BEYOND)
    with pytest.raises(FitError, match="do not say which one they are of"):
        cheapest(both, target.drop_vars("posterior"), 1e13)
    with pytest.raises(FitError, match="take both from the same fit"):
        cheapest(both.plain, target, 1e13)
    with pytest.raises(FitError, match="ask the fit that this weighted posterior is of"):
        _ = both.weighted.diagnostics


def test_serving_much_may_lead_beyond_the_runs(both):
    reached = float(both.runs.column("flops").max())
    idle = target_loss(both, flops=reached / 100)
    served = target_loss(both, flops=reached / 100, inference_tokens=[0.0, 1e16])
    assert (idle["posterior"].item(), served["posterior"].item()) == ("plain", "weighted")


def test_a_group_without_runs_is_beyond_all_of_them():
    grouped = with_weighted(known_grouped_fit(one={}, two={})).with_new_group("new")
    at = {"params": 1e8, "tokens": 2e9}
    assert predict(grouped, {**at, "family": "new"})["posterior"].item() == "weighted"
    assert predict(grouped.of_group("new"), at)["posterior"].item() == "weighted"
    best = compute_optimal(grouped, INSIDE)["posterior"].squeeze("flops")
    assert best.sel(group="new").item() == "weighted"
    assert best.sel(group="one").item() == "plain"
    assert target_loss(grouped.of_group("new"), flops=INSIDE)["posterior"].item() == "weighted"
    found = compute_multiplier(grouped, "new", "one", losses=[2.5], same_validation=True)
    assert found["posterior"].item() == "weighted"


def test_leaving_runs_out_is_judged_by_the_draws_it_weighs(both):
    assert same(_answer(both)[1], _answer(both.plain)[1])


def test_each_group_has_its_own_range():
    grouped = with_weighted(known_grouped_fit(one={}, two={}))
    table = grouped.runs.table.copy()
    first = table["family"] == "one"
    table.loc[first, ["params", "flops"]] *= 0.01
    own = replace(grouped, runs=replace(grouped.runs, table=table))
    largest = table.loc[table["flops"].idxmax()]
    at = {"params": float(largest["params"]), "tokens": float(largest["tokens"])}
    found = predict(own, at)
    assert found["posterior"].sel(group="one").item() == "weighted"
    assert found["posterior"].sel(group="two").item() == "plain"
    for name in ("one", "two"):
        told = predict(own, {**at, "family": name})
        assert same(told, found.sel(group=name))
        assert told["posterior"].item() == found["posterior"].sel(group=name).item()
        assert same(predict(own.of_group(name), at), told)
    new = own.with_new_group("new")
    assert new.weighted is not None
    assert predict(new, {**at, "family": "new"})["posterior"].item() == "weighted"


def test_log_likelihood_is_of_the_plain_posterior(both):
    assert same(log_likelihood(both), log_likelihood(both.plain))


def test_summary_says_which_posterior_answered_and_what_the_other_would_say(both):
    inside, beyond = summarise_optima(both, [INSIDE, BEYOND])
    assert (inside["posterior"], inside["plain"]) == ("plain", None)
    assert beyond["posterior"] == "weighted"
    alone = summarise_optima(both.plain, [BEYOND])[0]
    assert beyond["plain"]["params"] == alone["params"]
    assert alone["posterior"] == "plain"
    sentences = answers({"optima": [inside, beyond, alone], "predictions": []})
    assert "Inside the range" in sentences[0]
    assert "so the law is taken as nearly right (weighted posterior)." in sentences[1]
    assert sentences[1].index("than any fitted run") < sentences[1].index("Taken as exact it would")
    assert "the interval holds only if the law does" in sentences[2]


def test_weighted_posterior_is_wider_and_pools_the_whole_grid(weighted_fit, small_fit, tmp_path):
    members = weighted_fit.tree["weighted_members"]
    pairs = zip(members["cap"].to_numpy(), members["exponent"].to_numpy(), strict=True)
    assert tuple(pairs) == GRID
    assert members["weight_sum"].to_numpy() == pytest.approx(members["cap"].to_numpy())
    assert weighted_fit.diagnostics.problems == ()
    assert weighted_fit.weighted.posterior.sizes == weighted_fit.posterior.sizes
    assert same(weighted_fit.posterior["alpha"], small_fit.posterior["alpha"])
    wide, narrow = (
        compute_optimal(own, BEYOND)["params"].squeeze() for own in (weighted_fit, small_fit)
    )
    assert np.log(wide).std() > 1.5 * np.log(narrow).std()
    again = load_fit(weighted_fit.save(tmp_path / "fit.nc"))
    assert same(
        predict(again, {"params": 1e11, "tokens": 1e13}),
        predict(weighted_fit, {"params": 1e11, "tokens": 1e13}),
    )


def test_as_many_runs_as_the_cap_have_the_plain_posterior():
    """No run loses weight, so both posteriors are one: a known answer."""
    few = read_runs(simulated_table(noise=0.02).iloc[::4])
    assert len(few) <= min(cap for cap, _ in GRID)
    with pytest.warns(RunsWarning, match="few runs"):
        own = fit(few, draws=1000, extrapolate="weighted", progress=False)
    plain, weighted = own.posterior["level"], own.weighted.posterior["level"]
    assert float(weighted.mean()) == pytest.approx(
        float(plain.mean()), abs=0.3 * float(plain.std())
    )
    assert float(weighted.std()) == pytest.approx(float(plain.std()), rel=0.3)


def test_the_same_seed_gives_the_same_weighted_draws(runs, weighted_fit):
    again = fit(runs, draws=500, tune=500, extrapolate="weighted", seed=3, progress=False)
    assert same(again.weighted.posterior["E"], weighted_fit.weighted.posterior["E"])


def test_the_model_file_says_which_posterior_answers_beyond():
    assert load_model("chinchilla").extrapolate == "weighted"
    assert load_model("data-constrained").extrapolate == "plain"
    misspelt = load_model("chinchilla").source.replace('= "weighted"', '= "weigthed"')
    with pytest.raises(ModelError, match="extrapolate is 'weigthed'; did you mean"):
        parse_model(misspelt, "own")


def test_an_unknown_posterior_is_refused(runs):
    with pytest.raises(ModelError, match="extrapolate is 'Weighted'; did you mean"):
        fit(runs, extrapolate="Weighted", progress=False)


@pytest.mark.parametrize("model", ["data-constrained", "isoflop-profiles"])
def test_laws_without_a_weighted_posterior_are_refused(runs, model):
    table = runs.table.assign(unique_tokens=runs.table["tokens"])
    with pytest.raises(ModelError, match=r'no weighted posterior: .* extrapolate = "plain"'):
        fit(replace(runs, table=table), model, extrapolate="weighted", progress=False)


def test_every_answer_beyond_is_named_in_the_summary_of_a_report(weighted_fit):
    largest = float(weighted_fit.runs.column("flops").max())
    summary = summarise_fit(weighted_fit, [largest, 10 * largest])
    assert [entry["posterior"] for entry in summary["optima"]] == ["plain", "weighted"]
    assert decades_beyond(weighted_fit, "flops", 10 * largest) == pytest.approx(1.0)


def test_plans_beyond_the_runs_say_what_the_exact_law_would(both, tmp_path, run):
    path = both.save(tmp_path / "fit.nc")
    plans = tmp_path / "plans.csv"
    plans.write_text("params,tokens\n1e8,2e9\n1e11,2e12\n")
    _, out, err = run("plan", path, "plans", plans)
    assert err == ""
    assert "Plans are compared by one posterior" in out
    weighted, exact = out.split("Taken as exact the law would say:")
    assert "holds only if the law does" in exact
    assert "nearly right (weighted posterior)" in weighted
    _, out, _ = run("plan", path, "plans", plans, "--json")
    found = json.loads(out)
    assert (found["posterior"], found["exact"]["posterior"]) == ("weighted", "plain")
    assert found["plans"][1]["loss"] != found["exact"]["plans"][1]["loss"]


def test_a_weighted_posterior_is_no_ground_for_loo(both):
    with pytest.raises(FitError, match=r"ask its fit\.plain"):
        arviz_tree(both.weighted)


def test_a_best_size_outside_its_own_basin_is_said_to_be(both):
    entry = summarise_optima(both, [INSIDE])[0]
    moved = {**entry["params"], "median": 100 * entry["params"]["q95"]}
    first, second = (
        answers({"optima": [e], "predictions": []})[0] for e in (entry, {**entry, "params": moved})
    )
    assert "the median of the best sizes is not among them" not in first
    assert "the median of the best sizes is not among them" in second
