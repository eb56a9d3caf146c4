from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_grouped_fit, simulated_table, to_line
from scipy import stats

from bayescale import fit, load_fit, load_model, read_runs
from bayescale.errors import FitError, RunsError, RunsWarning
from bayescale.modelling.noise import LEAST
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import (
    arviz_tree,
    log_likelihood,
    predict,
    predict_runs,
    residuals,
    run_inputs,
)
from bayescale.runs.design import require_identifiable
from bayescale.runs.table import Runs

GROUPS = {
    "moe": {"E": 1.70, "alpha": 0.30, "sigma": 0.01},
    "ssm": {"E": 1.80, "alpha": 0.34, "sigma": 0.02},
    "transformer": {"E": 1.95, "alpha": 0.38, "sigma": 0.03},
}
AT = {"params": 7e9, "tokens": 1.4e11}


@pytest.fixture(scope="module")
def known() -> Fit:
    return known_grouped_fit(**GROUPS)


@pytest.fixture(scope="module")
def exact() -> Fit:
    """Every draw the same, in both groups and population."""
    return known_grouped_fit(draws=20_000, spread=0.0, **GROUPS)


def law(params, tokens, **changes):
    p = {**TRUTH, **{k: v for k, v in changes.items() if k in TRUTH}}
    return p["E"] + p["A"] * params ** -p["alpha"] + p["B"] * tokens ** -p["beta"]


def test_groups_have_names(known):
    assert known.groups == ("moe", "ssm", "transformer")
    assert known.of_group("ssm").groups == ()


@pytest.mark.parametrize("name", GROUPS)
def test_fit_of_one_group(known, name):
    one = known.of_group(name)
    assert set(one.runs.table["family"]) == {name}
    assert len(one.runs) == 30
    assert "group" not in one.posterior.dims
    np.testing.assert_array_equal(one.posterior["E"], known.posterior["E"].sel(group=name))
    assert float(one.posterior["E"].mean()) == pytest.approx(GROUPS[name]["E"], rel=1e-3)
    assert one.tree["constant_data"].sizes == {"obs": 30}
    sizes = one.tree["constant_data"]["input_params"]
    np.testing.assert_array_equal(sizes, one.runs.table["params"])
    np.testing.assert_allclose(one.tree["observed_data"]["log_loss"], np.log(one.runs.table.loss))
    assert one.tree["constant_data"]["level_centring"].ndim == 0
    np.testing.assert_array_equal(predict(one, AT), predict(known, {**AT, "family": name}))
    rows = np.flatnonzero(known.runs.table["family"] == name)
    np.testing.assert_allclose(log_likelihood(one), log_likelihood(known).isel(obs=rows))
    assert known.posterior.sizes["group"] == 3  # the fit itself is as it was


def test_unknown_group_names_the_nearest(known):
    for refused in (
        lambda: known.of_group("transfomer"),
        lambda: predict(known, {**AT, "family": "transfomer"}),
        lambda: predict(known, {**AT, "family": ["moe", "transfomer"]}),
    ):
        with pytest.raises(FitError, match=r"no group 'transfomer' .* did you mean 'transformer'"):
            refused()
    with pytest.raises(FitError, match="it has no groups: fit a hierarchical model"):
        known.of_group("ssm").of_group("ssm")


def test_prediction_with_and_without_the_group(known):
    everywhere = predict(known, AT)
    assert set(everywhere.dims) == {"chain", "draw", "group"}
    for name in GROUPS:
        of_one = predict(known, {**AT, "family": name})
        assert of_one.dims == ("chain", "draw")
        np.testing.assert_array_equal(of_one, everywhere.sel(group=name))
        assert float(of_one.mean()) == pytest.approx(law(*AT.values(), **GROUPS[name]), rel=2e-3)
    several = predict(known, {**AT, "family": ["ssm", "moe", "ssm"]})
    assert several.dims[-1] == "run"
    np.testing.assert_array_equal(several.isel(run=0), several.isel(run=2))
    np.testing.assert_array_equal(several.isel(run=1), everywhere.sel(group="moe"))


def test_noise_of_a_new_run_is_that_of_its_group(exact):
    for name, of in GROUPS.items():
        inputs = {**AT, "family": name}
        error = np.log(predict_runs(exact, inputs) / predict(exact, inputs)).to_numpy().ravel()
        assert stats.kstest(error / of["sigma"], stats.t(8).cdf).pvalue > 1e-3
        assert stats.kstest(error / (1.2 * of["sigma"]), stats.t(8).cdf).pvalue < 1e-6


def test_every_row_is_judged_by_its_own_group(exact):
    runs = exact.runs
    shuffled = Runs(runs.table.sample(frac=1, random_state=3), "test")
    table = residuals(exact, shuffled)
    density = log_likelihood(exact, shuffled).isel(chain=0, draw=0)
    for i, (_, row) in enumerate(table.iloc[:40].iterrows()):
        of = GROUPS[row["family"]]
        fitted = law(row["params"], row["tokens"], **of)
        assert row["fitted"] == pytest.approx(fitted, rel=1e-9)
        assert row["residual"] == pytest.approx(np.log(row["loss"] / fitted), abs=1e-9)
        half = stats.t(8).ppf(0.95) * of["sigma"]
        assert np.log(row["predicted_q95"] / fitted) == pytest.approx(half, rel=0.05)
        scale = np.hypot(of["sigma"], LEAST)
        expected = stats.t(8, np.log(fitted), scale).logpdf(np.log(row["loss"]))
        assert float(density[i]) == pytest.approx(expected, rel=1e-9)
    assert set(table.iloc[:40]["family"]) == set(GROUPS)


@pytest.mark.parametrize("name", ["level", "reducible", "alpha", "beta", "sigma"])
def test_new_group_comes_from_the_population(exact, name):
    new = exact.with_new_group(seed=4).posterior.sel(group="new")
    line = to_line(name, new[name]).to_numpy().ravel()
    middle = float(to_line(name, exact.posterior[f"{name}_population"])[0, 0])
    scale = float(exact.posterior[f"{name}_scale"][0, 0])
    assert stats.kstest((line - middle) / scale, "norm").pvalue > 1e-3
    assert stats.kstest((line - middle) / (1.2 * scale), "norm").pvalue < 1e-6
    typical = exact.with_new_group(typical=True).posterior.sel(group="new")
    np.testing.assert_allclose(typical[name], exact.posterior[f"{name}_population"], rtol=1e-12)


def test_new_group_obeys_the_law_and_leaves_the_others(known):
    both = known.with_new_group("llama")
    assert both.groups == (*known.groups, "llama")
    xr.testing.assert_identical(
        both.posterior.sel(group=list(GROUPS))[list(known.posterior)], known.posterior
    )
    reference = {
        name: float(known.tree["constant_data"][f"reference_{name}"]) for name in known.spec.inputs
    }
    level = np.log(predict(both, {**reference, "family": "llama"}))
    np.testing.assert_allclose(level, both.posterior["level"].sel(group="llama"), rtol=1e-10)
    independent = both.posterior.sel(group="llama")
    pair = np.corrcoef(np.log(independent["alpha"]).squeeze(), np.log(independent.beta).squeeze())
    assert abs(pair[0, 1]) < 0.2
    again, other = (known.with_new_group("llama", seed=seed).posterior for seed in (1, 2))
    xr.testing.assert_identical(again, both.posterior)
    assert not other.equals(again)
    assert len(both.of_group("llama").runs) == 0
    assert predict(both.of_group("llama"), AT).dims == ("chain", "draw")
    for name in ("ssm", "llama"):
        with pytest.raises(FitError, match=f"a group named '{name}' already"):
            both.with_new_group(name)
    with pytest.raises(FitError, match="has no groups to draw a new one from"):
        known.of_group("ssm").with_new_group()


def test_shared_parameters_are_shared_with_a_new_group():
    shared = known_grouped_fit("chinchilla-shared-exponents", **GROUPS)
    new = shared.with_new_group().of_group("new").posterior
    np.testing.assert_array_equal(new["alpha"], shared.posterior["alpha"])
    assert new["level"].std() > 3 * shared.posterior["level"].std(("chain", "draw")).max()


def test_rows_of_an_unseen_group_are_predicted_from_the_population(known):
    table = simulated_table().assign(family=["ssm", "llama"] * 15)
    with_unseen = residuals(known, read_runs(table))
    width = np.log(with_unseen["predicted_q95"] / with_unseen["predicted_q05"])
    seen = with_unseen["family"] == "ssm"
    assert width[~seen].min() > 2 * width[seen].max()
    middle = predict(known.with_new_group("llama"), {**table.iloc[1], "family": "llama"})
    assert with_unseen["fitted"].iloc[1] == pytest.approx(float(middle.median()), rel=1e-12)
    assert known.groups == tuple(GROUPS)


def test_runs_without_the_group_column_are_refused(known):
    with pytest.raises(RunsError, match="family"):
        residuals(known, read_runs(simulated_table()))


def grouped_table(groups=GROUPS, runs: int = 12) -> pd.DataFrame:
    """Twelve runs each, on four budgets and three sizes."""
    tables = []
    for seed, (name, of) in enumerate(groups.items()):
        changes = {name: value for name, value in of.items() if name in TRUTH}
        tables.append(simulated_table(seed=10 + seed, **changes).assign(family=name))
    rows = np.arange(30).reshape(6, 5)[::2, :4].ravel()[:runs]
    return pd.concat([table.iloc[rows] for table in tables], ignore_index=True)


@pytest.fixture(scope="session")
def grouped_runs() -> Runs:
    return read_runs(grouped_table())


@pytest.fixture(scope="session")
def grouped_fit(grouped_runs) -> Fit:
    """A real hierarchical posterior, sampled once and briefly."""
    options = {"draws": 300, "tune": 500, "target_accept": 0.95, "seed": 2, "progress": False}
    with pytest.warns(RunsWarning, match="few groups: 3 groups"):
        return fit(grouped_runs, "chinchilla-hierarchical", **options)


@pytest.mark.slow
def test_hierarchical_fit_recovers_its_groups(grouped_fit):
    assert grouped_fit.groups == tuple(GROUPS)
    assert grouped_fit.diagnostics.max_r_hat < 1.03
    assert grouped_fit.diagnostics.divergences == 0
    at = {"params": 1e9, "tokens": 1e11}
    for name, of in GROUPS.items():
        low, high = predict(grouped_fit, {**at, "family": name}).quantile([0.005, 0.995])
        assert low < law(*at.values(), **of) < high
        assert high / low < 1.1
    level = grouped_fit.posterior["level"].mean(("chain", "draw"))
    assert (abs(level.diff("group")) > 0.02).all()


@pytest.mark.slow
def test_prior_of_a_group_is_population_and_scale(grouped_fit):
    prior = grouped_fit.prior
    assert set(prior.data_vars) == set(grouped_fit.posterior.data_vars)
    assert prior["alpha"].dims == ("chain", "draw", "group")
    alpha = np.log(prior["alpha"]).squeeze()
    np.testing.assert_allclose(alpha.mean("draw"), -1.05, atol=0.06)
    np.testing.assert_allclose(alpha.std("draw"), np.hypot(0.5, 0.2), rtol=0.08)
    assert float(np.log(prior["alpha_population"]).std()) == pytest.approx(0.5, rel=0.08)
    shared = float(xr.corr(alpha.isel(group=0), alpha.isel(group=1)))
    assert shared == pytest.approx(0.25 / 0.29, abs=0.05)


def test_summary_has_the_population_and_every_group(grouped_fit):
    rows = set(grouped_fit.summary().index)
    assert {"E[moe]", "E[transformer]", "sigma[ssm]", "nu"} <= rows
    assert {"alpha_population", "alpha_scale", "level_scale", "sigma_population"} <= rows
    assert not any("offset" in row or "anchor" in row for row in rows)
    alone = set(grouped_fit.of_group("ssm").summary().index)
    assert alone == {"E", "A", "B", "alpha", "beta", "sigma", "nu"}


@pytest.mark.slow
def test_saved_groups_come_back(grouped_fit, tmp_path):
    again = load_fit(grouped_fit.save(tmp_path / "fit.nc"))
    assert (again.groups, again.spec) == (grouped_fit.groups, grouped_fit.spec)
    xr.testing.assert_equal(again.posterior, grouped_fit.posterior)
    xr.testing.assert_equal(log_likelihood(again), log_likelihood(grouped_fit))
    one = load_fit(grouped_fit.of_group("ssm").save(tmp_path / "ssm.nc"))
    np.testing.assert_array_equal(predict(one, AT), predict(again, {**AT, "family": "ssm"}))
    assert (one.groups, len(one.runs)) == ((), 12)
    assert one.population == ()
    more = load_fit(again.with_new_group().save(tmp_path / "new.nc"))
    assert more.groups == (*again.groups, "new")
    np.testing.assert_array_equal(
        predict(more, {**AT, "family": "new"}),
        predict(again.with_new_group(), {**AT, "family": "new"}),
    )


@pytest.mark.parametrize("names", [("01", "02", "10"), ("NA", "None", "nan"), ("1.50", "2", "a")])
def test_group_names_survive_the_file(tmp_path, names):
    groups = dict(zip(names, GROUPS.values(), strict=True))
    fake = known_grouped_fit(**groups)
    again = load_fit(fake.save(tmp_path / "fit.nc"))
    assert again.groups == fake.groups
    assert again.runs.table["family"].tolist() == fake.runs.table["family"].tolist()
    for name in names:
        assert len(again.of_group(name).runs) == 30


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # twelve runs a group
def test_arviz_finds_what_it_needs_of_groups(grouped_fit):
    tree = arviz_tree(grouped_fit)
    loo = az.loo(tree)
    assert loo.elpd > 36  # 36 runs with a noise of about 0.5%
    assert tree["posterior_predictive"]["log_loss"].dims == ("chain", "draw", "obs")
    inside = residuals(grouped_fit)
    assert inside["loss"].between(inside["predicted_q05"], inside["predicted_q95"]).mean() > 0.8
    assert az.loo(arviz_tree(grouped_fit.of_group("ssm"))).elpd > 12


def test_every_cell_of_replicates_keeps_its_group(exact):
    table = exact.runs.table
    seeds = [table.assign(loss=table["loss"] * f) for f in (0.99, 1.01)]
    twice = replace(exact, runs=Runs(pd.concat(seeds), "test"))
    assert log_likelihood(twice).sizes["obs"] == 90
    mean = log_likelihood(twice).isel(chain=0, draw=0)
    middle = Runs(table.assign(loss=table["loss"] * np.sqrt(0.99 * 1.01)), "test")
    np.testing.assert_allclose(mean, log_likelihood(exact, middle).isel(chain=0, draw=0))
    assert run_inputs(twice, twice.runs)["family"].sizes["obs"] == 180


def test_runs_that_cannot_be_grouped_are_refused_before_sampling(grouped_runs, monkeypatch):
    def stop(*arguments, **options):
        raise AssertionError("compiled")

    monkeypatch.setattr("bayescale.posterior.fitting.compile_model", stop)
    table = grouped_runs.table
    for family, message in (
        (table["family"].where(table.index != 2), "'family', row 3: no group"),
        ("ssm", "family 'ssm': nothing can be pooled.* without groups, --model chinchilla$"),
    ):
        with pytest.raises(RunsError, match=message):
            fit(Runs(table.assign(family=family), "test"), "chinchilla-hierarchical")
    with pytest.raises(RunsError, match=r"'family', which the runs lack.*--model chinchilla$"):
        fit(Runs(table.drop(columns="family"), "test"), "chinchilla-hierarchical")
    with pytest.raises(RunsError, match="'recipe', which the runs lack"):
        fit(grouped_runs, load_model("chinchilla-hierarchical").grouped_by("recipe"))


def test_few_groups_are_named(grouped_runs, known):
    inputs = ("params", "tokens")
    notices = require_identifiable(grouped_runs, inputs, 5, group="family")
    assert [notice.name for notice in notices] == ["few groups"]
    many = grouped_runs.table.assign(family=[*"abcde", *"abcde" * 6, "a"])
    assert require_identifiable(Runs(many, "test"), inputs, 5, group="family") == ()
    pooled = require_identifiable(grouped_runs, inputs, 5)
    assert [notice.name for notice in pooled] == ["groups pooled"]
    assert [notice.name for notice in known.notices] == ["few groups"]
    assert known.of_group("ssm").notices == ()  # there the population is not asked for


@pytest.mark.slow
def test_groups_of_a_second_fit_keep_their_own_names():
    """One compiled model serves both; the names of its first groups must not stay."""
    table = simulated_table()
    names = []
    for family in (["a", "b"], ["c", "d"]):
        runs = read_runs(table.assign(family=np.resize(family, 30)))
        with pytest.warns(RunsWarning, match="few groups"):
            fitted = fit(
                runs,
                "chinchilla-shared-exponents",
                draws=20,
                tune=50,
                progress=False,
                target_accept=0.8,
            )
        names.append(fitted.groups)
        assert len(fitted.of_group(family[1]).runs) == 15
    assert names == [("a", "b"), ("c", "d")]


def test_one_group_says_nothing_of_another(known):
    own = known.of_group(known.groups[0])
    at = {"params": 1e9, "tokens": 1e10}
    same = predict(own, {**at, "family": known.groups[0]})
    np.testing.assert_array_equal(same, predict(own, at))
    with pytest.raises(FitError, match="says nothing of"):
        predict(own, {**at, "family": known.groups[1]})


def test_new_groups_of_two_names_differ(known):
    both = known.with_new_group("x").with_new_group("y")
    assert not np.allclose(
        both.posterior["level"].sel(group="x"), both.posterior["level"].sel(group="y")
    )
