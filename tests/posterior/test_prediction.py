import copy
import pickle
from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, known_grouped_fit, simulated_table
from scipy import stats

from bayescale import Fit, Runs, constants_fit, load_fit, load_model, read_runs
from bayescale.errors import FitError
from bayescale.evaluation.checks.held_out import held_out_rows
from bayescale.evaluation.cross_validation import cross_validate
from bayescale.modelling.build import build_model, draw_prior, model_data
from bayescale.modelling.pooling import group_names
from bayescale.posterior import prediction
from bayescale.posterior.fitting import fit
from bayescale.posterior.prediction import (
    arviz_tree,
    log_likelihood,
    predict,
    predict_runs,
    residuals,
    run_inputs,
    score,
    with_few_draws,
)


def test_prediction_of_constants_is_the_law():
    one = constants_fit("chinchilla", **TRUTH)
    loss = predict(one, {"params": 7e9, "tokens": 1.4e11})
    expected = 1.8 + 400 * 7e9**-0.34 + 1500 * 1.4e11**-0.36
    assert loss.dims == ("chain", "draw")
    assert float(loss.squeeze()) == pytest.approx(expected, rel=1e-14)


def test_arrays_tables_and_data_arrays_agree():
    many = known_fit()
    params, tokens = np.array([1e9, 2e9]), np.array([2e10, 5e10])
    table = pd.DataFrame({"params": params, "tokens": tokens, "note": "extra"})
    own = {
        "params": xr.DataArray(params, dims="size"),
        "tokens": xr.DataArray(tokens, dims="length"),
    }
    by_array = predict(many, {"params": params, "tokens": tokens})
    np.testing.assert_array_equal(by_array, predict(many, table))
    grid = predict(many, own)
    assert grid.dims[2:] == ("size", "length")
    np.testing.assert_array_equal(by_array.isel(run=1), grid.isel(size=1, length=1))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"params": 1e9}, "predicts from params, tokens; tokens missing"),
        ({"params": 1e9, "tokens": -1.0}, "tokens must be a positive number, got -1"),
        ({"params": np.nan, "tokens": 1e9}, "params must be a positive number, got nan"),
    ],
)
def test_bad_inputs_are_refused(inputs, message):
    with pytest.raises(FitError, match=message):
        predict(known_fit(), inputs)


def test_constants_without_noise_do_not_predict_runs():
    with pytest.raises(FitError, match="no noise"):
        predict_runs(constants_fit("chinchilla", **TRUTH), {"params": 1e9, "tokens": 1e10})


@pytest.mark.parametrize("model", ["chinchilla", "chinchilla-normal"])
def test_noise_of_new_runs_has_the_right_distribution(model):
    noise = {"sigma": 0.05} | ({"nu": 4.0} if model == "chinchilla" else {})
    fake = constants_fit(
        model, **{name: np.full(20_000, value) for name, value in (TRUTH | noise).items()}
    )
    at = {"params": 1e9, "tokens": 2e10}
    standard = np.log(predict_runs(fake, at, seed=5) / predict(fake, at)).to_numpy().ravel() / 0.05
    target = stats.t(4) if model == "chinchilla" else stats.norm
    assert stats.kstest(standard, target.cdf).pvalue > 1e-3
    assert stats.kstest(standard, stats.cauchy.cdf).pvalue < 1e-6


def test_same_seed_same_predictions():
    at = {"params": 1e9, "tokens": 2e10}
    first, again, other = (predict_runs(known_fit(), at, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["chinchilla", "chinchilla-normal"])
def test_log_likelihood_and_predictive_equal_pymc(runs, model):
    fitted = fit(runs, model, draws=300, tune=300, progress=False)
    theirs = fitted.tree.copy()
    pymc_model = build_model(fitted.spec, runs)
    pm.stats.compute_log_likelihood(theirs, model=pymc_model, progressbar=False)
    np.testing.assert_allclose(
        log_likelihood(fitted), theirs["log_likelihood"]["log_loss"], rtol=1e-10, atol=1e-9
    )
    del theirs["posterior_predictive"]  # ours, which theirs would replace
    with pymc_model, pytest.warns(UserWarning, match="Potentials"):
        pm.sample_posterior_predictive(
            theirs, extend_inferencedata=True, random_seed=1, progressbar=False
        )
    ours = np.log(predict_runs(fitted, run_inputs(fitted, runs))).transpose("chain", "draw", "obs")
    for run in range(0, len(runs), 5):
        sample = theirs["posterior_predictive"]["log_loss"].to_numpy()[..., run].ravel()
        assert stats.ks_2samp(ours.isel(obs=run).to_numpy().ravel(), sample).pvalue > 1e-4


def with_draws(own, posterior):
    tree = own.tree.copy()
    tree["posterior"] = posterior
    return replace(own, tree=tree)


@pytest.mark.parametrize("number", [0, 1])
def test_log_likelihood_of_a_law_that_bends_is_pymcs_own(joint_fit, number):
    """Law, bend and error of sizes: PyMC knows no more of the errors than their bases at runs."""
    member = joint_fit.members[number]
    drawn = member.posterior.isel(draw=slice(None, None, 40))
    few = drawn.assign(bend_beyond=0 * drawn["bend_beyond"])
    pymc_model = build_model(member.spec, member.runs)
    names = [variable.name for variable in pymc_model.free_RVs]
    assert {"bend", "size_error"} < set(names)
    theirs = xr.DataTree.from_dict({"posterior": few[names]})
    pm.stats.compute_log_likelihood(theirs, model=pymc_model, progressbar=False)
    expected = theirs["log_likelihood"]["log_loss"]
    ours = log_likelihood(with_draws(member, few))
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)
    for left_out in ("bend", "size_error"):  # the control
        without = with_draws(member, few.assign({left_out: 0 * few[left_out]}))
        assert np.abs(log_likelihood(without) - expected.to_numpy()).max() > 0.01
    # What the bend does beyond the runs is not quite nothing at them: a thousandth of its sd.
    at_runs = run_inputs(member, member.runs)
    beyond = np.log(
        predict(with_draws(member, drawn), at_runs) / predict(with_draws(member, few), at_runs)
    )
    assert 0 < float(beyond.std()) < 1e-3 * member.spec.bend.sd


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # thirty runs, a few influential
def test_arviz_finds_what_it_needs(small_fit):
    tree = arviz_tree(small_fit)
    assert az.loo(tree).elpd > 0
    assert tree["posterior_predictive"]["log_loss"].shape == (4, 500, 30)
    xr.testing.assert_equal(tree, small_fit.tree)
    assert not arviz_tree(small_fit, seed=2)["posterior_predictive"].equals(
        tree["posterior_predictive"]
    )


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
@pytest.mark.parametrize(
    ("ask", "options"),
    [
        (az.loo, {}),
        (az.loo_pit, {}),
        (az.summary, {}),
        (az.plot_ppc_dist, {"num_samples": 5}),
        (az.plot_ppc_pit, {}),
        (az.plot_loo_pit, {}),
        (az.plot_trace_dist, {}),
        (az.plot_forest, {}),
        (az.plot_energy, {}),
        (az.plot_prior_posterior, {"var_names": ["alpha"]}),
        (az.plot_pair, {"var_names": ["alpha", "beta"]}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_arviz_takes_the_tree_of_a_fit_as_it_is(small_fit, ask, options):
    assert ask(small_fit.tree, **options) is not None


def test_what_arviz_reads_is_computed_when_it_is_read(small_fit, monkeypatch, tmp_path):
    own, asked = replace(small_fit), []
    whole = prediction.arviz_tree
    monkeypatch.setattr(prediction, "arviz_tree", lambda fit: asked.append(fit) or whole(fit))
    copy.deepcopy(own.tree)
    again = load_fit(own.save(tmp_path / "fit.nc"))
    with xr.open_datatree(tmp_path / "fit.nc") as saved:
        assert not {"log_likelihood", "posterior_predictive"} & set(saved.children)
    few = with_few_draws(own)
    assert asked == []
    shapes = [each.tree["log_likelihood"]["log_loss"].shape for each in (own, again, few)]
    assert shapes == [(4, 500, 30), (4, 500, 30), (4, 250, 30)]
    row = few.tree["log_likelihood"]["log_loss"].isel(obs=[3, 1], draw=7)
    kept = log_likelihood(few).isel(obs=[3, 1], draw=7)
    np.testing.assert_array_equal(row, kept)
    assert len(asked) == 1
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(few.tree))["log_likelihood"].log_loss, log_likelihood(few)
    )


def weighted_constant(sigma: float, log_loss: np.ndarray, weight: np.ndarray) -> Fit:
    """Posterior of one constant, the loss, given weighted runs with Normal noise of known sd.

    Flat prior on its logarithm, which has the sd of a mean by weights; draws are its quantiles.
    """
    middle = (weight * log_loss).sum() / weight.sum()
    quantiles = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    rng = np.random.default_rng(2)
    level = middle + sigma / np.sqrt(weight.sum()) * rng.permutation(quantiles)
    rest = {"A": 1e-9, "B": 1e-9, "alpha": 0.3, "beta": 0.3, "sigma": sigma}
    values = {n: v * (1 + 1e-9 * rng.standard_normal(4000)) for n, v in rest.items()}
    values["E"] = np.exp(level)
    draws = {name: (("chain", "draw"), value.reshape(2, 2000)) for name, value in values.items()}
    table = pd.DataFrame({"params": np.geomspace(1e7, 1e9, len(weight)), "tokens": 1e10})
    table = table.assign(loss=np.exp(log_loss), weight=weight, run=table.index.astype(str))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
    return Fit(load_model("chinchilla-normal"), Runs(table, "a constant"), tree)


def test_elpd_of_weighted_runs_is_that_of_their_likelihood_as_fitted():
    """Exact in closed form, the same from ArviZ; without weights another number altogether."""
    sigma, weight = 0.02, np.array([1.0, 0.5, 0.1, 1.0, 0.3, 0.7, 1.0, 0.05])
    y = 1.0 + sigma * np.random.default_rng(4).standard_normal(8)
    own = weighted_constant(sigma, y, weight)
    others, sums = weight.sum() - weight, (weight * y).sum() - weight * y
    sd = sigma * np.sqrt(1 / weight + 1 / others)
    root = np.log(2 * np.pi * sigma**2)  # of the w-th power of a Normal density
    exact = stats.norm.logpdf(y, sums / others, sd) + (root - np.log(weight) - weight * root) / 2
    found, theirs = cross_validate({"own": own}).elpds["own"], az.loo(arviz_tree(own))
    np.testing.assert_allclose(found.elpd_i, exact, atol=0.01)
    np.testing.assert_allclose(theirs.elpd_i, found.elpd_i, rtol=1e-10)
    np.testing.assert_allclose(theirs.pareto_k, found.pareto_k, rtol=1e-8)
    assert theirs.elpd == pytest.approx(found.elpd, rel=1e-10)
    tree = arviz_tree(own)
    tree["log_likelihood"] = xr.Dataset({"log_loss": log_likelihood(own)})  # the control
    assert abs(az.loo(tree).elpd - exact.sum()) > 1


def test_scores_of_known_residuals():
    table = pd.DataFrame(
        {
            "loss": [2.0, 2.0],
            "residual": [0.03, -0.04],
            "predicted_q05": [1.9, 2.1],
            "predicted_q95": [2.1, 2.2],
        }
    )
    scores = score(table)
    assert scores.pop("rmsle") == pytest.approx(0.025 * 2**0.5)
    assert scores.pop("p_value") == pytest.approx(0.19)  # 1 - 0.9**2
    assert scores == {"runs": 2, "inside": 1, "coverage": 0.5}


@pytest.mark.parametrize("axis", ["count", "batch size", "index"])
def test_runs_held_back_are_told_along_an_axis_of_any_name(axis):
    found = residuals(known_fit(), read_runs(simulated_table())).assign(**{axis: range(30)})
    rows = held_out_rows(found, axis)
    assert [row[axis] for row in rows] == list(range(30))
    assert [row["predicted"]["median"] for row in rows] == found["fitted"].tolist()


def test_residuals_are_small_and_centred(small_fit):
    table = residuals(small_fit)
    assert abs(table["residual"].median()) < 0.003
    assert table["residual"].std() == pytest.approx(0.005, rel=0.4)  # the simulated noise
    inside = table["loss"].between(table["predicted_q05"], table["predicted_q95"])
    assert inside.mean() >= 0.8


def test_column_of_groups_may_be_an_input_of_the_law(runs):
    spec = load_model("isoflop-profiles")
    table = runs.table.assign(budget=runs.table["flops"].map("{:.3g}".format).astype(float))
    own = replace(runs, table=table)
    data = model_data(spec, own)
    draws = draw_prior(spec, data, draws=20)
    tree = xr.DataTree.from_dict(
        {"posterior": draws.assign_coords(group=[*group_names(spec, own)])}
    )
    drawn = Fit(spec, own, tree)
    found = residuals(drawn)
    np.testing.assert_array_equal(found["budget"], table["budget"])
    row = table.iloc[7]
    alone = drawn.of_group(str(row["budget"]))
    expected = alone.law(row["params"], row["flops"], row["budget"], **alone.natural)
    assert found["fitted"].iloc[7] == pytest.approx(float(expected.median()))
    asked = predict(drawn, dict(row[["params", "flops", "budget"]]))
    np.testing.assert_allclose(asked, expected)


def test_unseen_group_is_predicted_alike_whatever_other_groups_there_are():
    known = known_grouped_fit(a={}, b={"E": 1.9}, c={"E": 2.0})
    table = simulated_table().assign(run="new", family="z")
    new = Runs(table, "new")
    both = Runs(pd.concat([table, table.assign(family="d")], ignore_index=True), "two")
    alone, beside = residuals(known, new), residuals(known, both).query("family == 'z'")
    np.testing.assert_array_equal(alone["fitted"], beside["fitted"])
    other = residuals(known, both).query("family == 'd'")
    assert not np.array_equal(alone["fitted"], other["fitted"])
