import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, known_grouped_fit, simulated_table

from bayescale import (
    arviz_tree,
    check_runs,
    compute_optimal,
    fit,
    load_fit,
    load_model,
    parse_model,
    predict,
    read_runs,
)
from bayescale.errors import BayescaleError, FitError, ModelError, RunsWarning
from bayescale.posterior import fitting, sampling
from bayescale.posterior.diagnostics import MOST_DEEP, Diagnostics
from bayescale.posterior.fit import FORMAT, Fit
from bayescale.posterior.sampling import compile_model
from bayescale.posterior.saved import to_bytes
from bayescale.runs.datasets import registry
from bayescale.runs.table import Runs

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "chinchilla.json").read_text())

slow = pytest.mark.slow


@slow
def test_posterior_of_the_chinchilla_table(chinchilla_fit):
    """Medians that the published refits of this table allow, and a sampler without complaints."""
    medians = chinchilla_fit.posterior.median(("chain", "draw"))
    assert 1.78 < medians["E"] < 1.84
    assert 0.33 < medians["alpha"] < 0.36
    assert 0.34 < medians["beta"] < 0.385
    best = compute_optimal(chinchilla_fit, 5.76e23)
    assert 60e9 < best["params"].median() < 85e9
    low, high = best["a"].quantile([0.05, 0.95])
    assert low < 0.513 < high
    diagnostics = chinchilla_fit.diagnostics
    assert diagnostics.converged
    assert diagnostics.divergences == 0
    assert diagnostics.min_ess_bulk >= 2000


@pytest.mark.parametrize("name", GOLDEN["posterior"])
def test_posterior_equals_the_golden_one(chinchilla_fit, name):
    """Golden: PyMC's own NUTS on the same model; equal within four combined standard errors."""
    golden = GOLDEN["posterior"][name]
    summary = az.summary(chinchilla_fit.tree, round_to="none").loc[name]
    error = np.hypot(summary["mcse_mean"], golden["mcse_mean"])
    assert abs(summary["mean"] - golden["mean"]) < 4 * error
    assert summary["sd"] == pytest.approx(golden["sd"], rel=0.1)


def test_the_summary_begins_with_medians(small_fit):
    table, draws = small_fit.summary(), small_fit.posterior["A"]
    assert table.columns[:2].tolist() == ["median", "mean"]
    assert table.loc["A", "median"] == pytest.approx(float(draws.median()))
    assert table.loc["A", "mean"] == pytest.approx(float(draws.mean()))


def test_recovers_the_truth(small_fit):
    for name, truth in TRUTH.items():
        low, high = small_fit.posterior[name].quantile([0.005, 0.995])
        assert low < truth < high
    assert small_fit.diagnostics.converged


@slow
def test_same_seed_same_draws_and_another_seed_others(runs):
    draws = [
        fit(runs, "chinchilla", draws=50, tune=100, seed=seed, progress=False)
        .posterior["alpha"]
        .to_numpy()
        for seed in (4, 4, 5)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@slow
def test_one_compilation_serves_other_lengths_priors_and_weights(runs, small_fit):
    before = compile_model.cache_info().misses
    spec = load_model("chinchilla")
    tight = parse_model(
        spec.source.replace(
            'alpha = { dist = "LogNormal", mu = -1.05, sigma = 0.5 }',
            'alpha = { dist = "LogNormal", mu = -2.5, sigma = 0.01 }',
        ),
        "tight",
    )
    assert tight.priors["alpha"] != spec.priors["alpha"]
    short = {"draws": 200, "tune": 300, "progress": False}
    moved = fit(runs, tight, **short)
    fewer = fit(replace(runs, table=runs.table.iloc[:20]), spec, **short)
    weighted = fit(runs, spec, weights=np.full(30, 0.1), **short)
    assert compile_model.cache_info().misses == before
    assert float(moved.posterior["alpha"].median()) < 0.1  # the prior arrived
    assert fewer.posterior["E"].std() > small_fit.posterior["E"].std()  # so did the data
    assert weighted.posterior["E"].std() > 1.5 * small_fit.posterior["E"].std()  # and the weights


def test_fit_that_does_not_converge_is_sampled_again(runs, monkeypatch):
    real, settings = sampling.sample, []

    def diverging_at_first(target, options):
        settings.append((options["adaptation"], options["target_accept"]))
        tree = real(target, options)
        if len(settings) < 3:
            tree["sample_stats"]["diverging"][0, 0] = True
        return tree

    monkeypatch.setattr("bayescale.posterior.fitting.sample", diverging_at_first)
    fitted = fit(runs, "chinchilla", progress=False)
    assert settings == [("low_rank", 0.9), ("low_rank", 0.99), ("draw_diag", 0.95)]
    assert fitted.diagnostics.converged
    assert (fitted.tree.attrs["adaptation"], fitted.tree.attrs["target_accept"]) == settings[-1]
    settings.clear()
    again = fit(runs, "chinchilla", target_accept=0.8, progress=False)
    assert not again.diagnostics.converged
    assert settings == [("low_rank", 0.8)]  # what was asked for, once


def test_noisy_table_converges():
    noisy = read_runs(simulated_table(noise=0.08, seed=4))
    assert fit(noisy, "chinchilla", progress=False).diagnostics.converged


def test_prior_group_is_the_prior(small_fit):
    alpha = np.log(small_fit.prior["alpha"])
    assert float(alpha.mean()) == pytest.approx(-1.05, abs=0.05)
    assert float(alpha.std()) == pytest.approx(0.5, abs=0.05)
    assert set(small_fit.prior.data_vars) == set(small_fit.posterior.data_vars)


def test_saved_fit_predicts_the_same_numbers(small_fit, tmp_path):
    path = small_fit.save(tmp_path / "fit.nc")
    again = load_fit(path)
    at = {"params": 1e10, "tokens": 3e11}
    np.testing.assert_array_equal(predict(again, at), predict(small_fit, at))
    assert again.spec == small_fit.spec
    assert again.diagnostics == small_fit.diagnostics
    assert again.notices == small_fit.notices
    assert (again.runs.source, again.runs.params_are) == (small_fit.runs.source, "total")
    assert again.runs.ledger == small_fit.runs.ledger
    np.testing.assert_array_equal(again.runs.table["params"], small_fit.runs.table["params"])
    assert set(json.loads(again.tree.attrs["versions"])) >= {"bayescale", "pymc", "nutpie"}
    assert list(tmp_path.iterdir()) == [path]  # no partial file left


def test_settings_of_runs_survive_the_file_and_fits_of_before_knew_none(tmp_path):
    fit = known_fit(draws=10)
    runs = replace(fit.runs, table=simulated_table().assign(run="a"), settings=("tokenizer",))
    path = replace(fit, runs=runs).save(tmp_path / "fit.nc")
    assert load_fit(path).runs.settings == ("tokenizer",)
    tree = xr.open_datatree(path, engine="h5netcdf").load()
    node = tree["runs"].to_dataset()
    facts = json.loads(node["facts"].item())
    del facts["settings"]
    tree["runs"] = node.assign(facts=json.dumps(facts))
    (tmp_path / "old.nc").write_bytes(to_bytes(tree))
    assert load_fit(tmp_path / "old.nc").runs.settings == ()


def test_what_the_fit_is_of_survives_the_file_and_is_no_metadata(tmp_path):
    whole = known_grouped_fit(a={}, b={"E": 1.9}).with_failures({"noise": "too wide"})
    own = whole.of_group("b")
    attrs = dict(own.tree.attrs)
    again = load_fit(own.save(tmp_path / "fit.nc"))
    assert (again.own_group, again.failures, again.given) == ("b", {"noise": "too wide"}, {})
    assert own.tree.attrs == attrs
    assert set(again.tree.attrs) == set(attrs)
    again.tree.attrs |= {"group": "a", "given": '{"tokens": 1.0}', "failures": "{}"}
    assert (again.own_group, list(again.failures), again.given) == ("b", ["noise"], {})
    assert load_fit(whole.save(tmp_path / "fit.nc")).own_group is None


def test_any_column_survives_the_file(tmp_path):
    table = simulated_table().assign(family=["a", None] * 15, row=range(30), **{"eval/loss": 1.5})
    fake = replace(known_fit(), runs=read_runs(table))
    again = load_fit(fake.save(tmp_path / "fit.nc"))
    assert again.runs.table["family"].fillna("").tolist() == ["a", ""] * 15
    assert again.runs.table["eval/loss"].dtype == float
    assert again.runs.table["row"].tolist() == list(range(30))


COLUMNS = {
    "index": ["01", "1", "NA", ""],
    "label": pd.Categorical(["02", "01", None, "02"], categories=["02", "01", "10"], ordered=True),
    "code": pd.Categorical([2, 1, 2, 1]),
    "text": ["1e3", None, "", "nan"],
    "mixed": [1, "01", None, True],
    "many": [2**60 + 1, 1, 2, 3],
    "missing": pd.array([1, None, 3, 4], dtype="Int64"),
    "flag": [True, False, True, True],
    "day": pd.to_datetime(["2026-01-01", None, "2026-03-01", "2026-04-01"]),
    "number": [0.1 + 0.2, np.nan, np.inf, 1e-300],
    "range": pd.cut([1.0, 2.0, 3.0, 4.0], 2),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_column_is_the_same_when_read_again(tmp_path, name):
    table = pd.DataFrame({name: COLUMNS[name]}, index=[7, 0, 3, 4])
    fake = replace(known_fit(), runs=Runs(table, "test"))
    again = load_fit(fake.save(tmp_path / "fit.nc")).runs.table
    if name == "range":  # as text: an interval has no other form in a file
        table["range"] = table["range"].cat.rename_categories(str)
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("kind", [list, pd.Categorical])
def test_groups_named_by_numbers_survive_the_file(tmp_path, kind):
    fake = known_grouped_fit(**{"01": {}, "02": {"E": 1.9}, "1": {"E": 2.0}})
    labels = kind(fake.runs.table["family"])
    fake = replace(fake, runs=replace(fake.runs, table=fake.runs.table.assign(family=labels)))
    again = load_fit(fake.save(tmp_path / "fit.nc"))
    assert again.groups == fake.groups == ("01", "02", "1")
    assert again.posterior["group"].dtype == fake.posterior["group"].dtype
    assert [len(again.of_group(name).runs) for name in again.groups] == [30, 30, 30]
    pd.testing.assert_frame_equal(again.runs.table, fake.runs.table)


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "fit.nc"
    path.write_text("precious")

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        known_fit().save(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not a netCDF file"),
        (b"not netcdf", r"not a netCDF file.* that fit\.save or bayescale fit wrote"),
    ],
)
def test_bad_fit_file_is_refused(tmp_path, content, message):
    path = tmp_path / "fit.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FitError, match=message):
        load_fit(path)


def test_a_table_in_place_of_a_fit_is_to_be_fitted_first(tmp_path):
    path = tmp_path / "my runs.csv"
    path.write_text("params,tokens,loss\n1e8,2e9,3.1\n")
    with pytest.raises(FitError, match=r"a table, not a fit; fit it first, bayescale fit '.*csv' "):
        load_fit(path)


def test_foreign_netcdf_is_refused(tmp_path):
    path = tmp_path / "other.nc"
    xr.Dataset({"x": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(FitError, match="not one written by bayescale"):
        load_fit(path)


def edited(source: Fit, path: Path, edit) -> Path:
    """Save a fit, and change what its file holds."""
    source.save(path)
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        tree = opened.load()
    edit(tree)
    path.write_bytes(to_bytes(tree))
    return path


def test_truncated_fit_is_refused(small_fit, tmp_path):
    path = small_fit.save(tmp_path / "fit.nc")
    content = path.read_bytes()
    for length in (100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(FitError, match=r"not a netCDF file|not as it was written") as said:
            load_fit(path)
        assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tree: tree.attrs.update(format=FORMAT + 1), f"in format {FORMAT + 1}.* update"),
        (lambda tree: tree.attrs.pop("model"), "'model' is missing"),
        (lambda tree: tree.attrs.pop("seconds_sample"), "'seconds_sample' is missing"),
        (lambda tree: tree.attrs.update(model_spec="law"), "not whole"),
        (lambda tree: tree.attrs.update(model_spec='law = "new"'), "not whole"),
        (lambda tree: tree["runs"].update(xr.Dataset({"table": "{}"})), "'columns' is missing"),
        (lambda tree: tree["runs"].update(xr.Dataset({"facts": "["})), "not whole"),
        (lambda tree: tree.__delitem__("prior"), "'prior' is missing"),
        (lambda tree: tree.__delitem__("posterior"), "posterior"),
        (
            lambda tree: tree.__setitem__("posterior", tree["posterior"].to_dataset()[["E"]]),
            "'A, B, alpha, beta' is missing",
        ),
    ],
)
def test_fit_that_is_not_whole_or_of_a_later_version_is_refused(small_fit, tmp_path, edit, message):
    path = edited(small_fit, tmp_path / "fit.nc", edit)
    with pytest.raises(FitError, match=rf"fit\.nc: .*{message}.* fit the runs again") as said:
        load_fit(path)
    assert "\n" not in str(said.value)


def test_fit_of_the_format_before_is_read(small_fit, tmp_path):
    def as_before(tree):
        table = small_fit.runs.table.assign(family="01")
        facts = json.loads(tree["runs"]["facts"].item()) | {"text": ["run", "family"]}
        tree["runs"] = xr.Dataset({"csv": table.to_csv(index_label="index")})
        tree.attrs["runs"] = json.dumps(facts)
        for name in ("format", "given", "failures"):
            del tree.attrs[name]

    again = load_fit(edited(small_fit, tmp_path / "fit.nc", as_before))
    assert again.diagnostics == small_fit.diagnostics
    assert again.runs.ledger == small_fit.runs.ledger
    assert (again.given, again.own_group, again.failures) == ({}, None, {})
    assert set(again.runs.table["family"]) == {"01"}
    assert load_fit(again.save(tmp_path / "new.nc")).runs.ledger == again.runs.ledger


def test_doubts_survive_the_file_and_are_read_from_the_format_before(tmp_path):
    table = simulated_table()
    with pytest.warns(RunsWarning):
        runs = read_runs(pd.concat([table, table.iloc[[4]]]))
    fake = replace(known_fit(), runs=runs)
    again = load_fit(fake.save(tmp_path / "fit.nc"))
    assert again.runs.notices == runs.notices
    assert runs.notices[0].rows == (4, 30)

    def as_before(tree):  # format 3 held what to do at the end of the message
        facts = json.loads(tree["runs"]["facts"].item())
        [notice] = facts["notices"]
        notice["message"] = str(runs.notices[0]).removeprefix("duplicated runs: ")
        del notice["advice"]
        tree["runs"] = tree["runs"].to_dataset().assign(facts=json.dumps(facts))
        tree.attrs["format"] = 3

    [older] = load_fit(edited(fake, tmp_path / "older.nc", as_before)).runs.notices
    assert (str(older), older.rows) == (str(runs.notices[0]), (4, 30))
    assert older.advice == ""
    [check] = [own for own in check_runs(replace(runs, notices=(older,))) if own.rows]
    assert str(check) == f"REVIEW {older}"


def sampled_fit(chains: np.ndarray, diverging: bool) -> Fit:
    """A fit whose every parameter has the given draws, as if sampled."""
    fake = known_fit()
    names = list(fake.posterior.data_vars)
    posterior = xr.Dataset(dict.fromkeys(names, (("chain", "draw"), chains)))
    flags = np.zeros(chains.shape, dtype=bool)
    flags[0, 0] = diverging
    stats = xr.Dataset(
        {
            name: (("chain", "draw"), flags if name == "diverging" else 0 * flags)
            for name in ("diverging", "maxdepth_reached")
        }
    )
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})
    tree.attrs = {"seconds_compile": 1.0, "seconds_sample": 1.0}
    return replace(fake, tree=tree)


def test_diagnostics_pass_good_chains_and_name_each_fault():
    good = np.random.default_rng(0).standard_normal((4, 500))
    assert sampled_fit(good, diverging=False).diagnostics.converged
    assert "1 divergent" in sampled_fit(good, diverging=True).diagnostics.problems[0]
    sound = sampled_fit(good, diverging=False).diagnostics
    assert replace(sound, maxdepth_reached=MOST_DEEP).converged
    (deep,) = replace(sound, maxdepth_reached=MOST_DEEP + 1).problems
    assert deep == "11 draws hit the maximum tree depth"
    apart = good + np.arange(4)[:, None]
    assert any("R-hat" in p for p in sampled_fit(apart, diverging=False).diagnostics.problems)
    sticky = np.cumsum(good, axis=1)
    assert any(
        "effective draws" in p for p in sampled_fit(sticky, diverging=False).diagnostics.problems
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_draws_that_are_not_finite_are_named(small_fit, value):
    tree = small_fit.tree.copy(deep=True)
    tree["posterior"]["beta"][0, 3] = value
    damaged = replace(small_fit, tree=tree).diagnostics
    assert not damaged.converged
    assert damaged.problems[0] == "NaN or infinite draws: beta"
    assert small_fit.diagnostics.converged


@pytest.mark.parametrize(
    ("chains", "said"),
    [(slice(None), "chains 0, 1, 2, 3"), (slice(2, 3), "chain 2"), (slice(1, 3), "chains 1, 2")],
)
def test_chains_that_never_moved_are_named(small_fit, chains, said):
    tree = small_fit.tree.copy(deep=True)
    tree["posterior"]["beta"][chains] = small_fit.posterior["beta"].median()
    damaged = replace(small_fit, tree=tree).diagnostics
    assert not damaged.converged
    assert damaged.problems[0] == f"{said} never moved in: beta"


def test_what_a_member_of_a_pool_is_given_need_not_move(joint_fit):
    first = joint_fit.members[0]
    assert first.spec.fixed == {"k": 1.0}
    assert float(first.posterior["k"].std()) == 0
    assert joint_fit.diagnostics.unsampled == ()
    assert np.isfinite(joint_fit.diagnostics.max_r_hat)
    tree = joint_fit.tree.copy(deep=True)
    tree["posterior"]["k"][-4:] = 0.9  # the second member samples it
    found = replace(joint_fit, tree=tree).diagnostics.problems
    assert found[0] == "chains 4, 5, 6, 7 never moved in: k"


def test_undefined_r_hat_is_not_convergence():
    assert not Diagnostics(0, 0, float("nan"), 1000.0, 1.0, 1.0).converged


@pytest.mark.parametrize("weights", [np.ones(29), np.full(30, np.nan), np.full(30, -1.0)])
def test_bad_weights_are_refused(runs, weights):
    with pytest.raises(FitError, match="weights must be 30 finite numbers"):
        fit(runs, weights=weights)


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(BayescaleError, match="is a folder; name a file in it"):
        known_fit().save(tmp_path)


def test_constants_have_no_diagnostics():
    with pytest.raises(FitError, match="never sampled"):
        _ = known_fit().diagnostics


@pytest.mark.parametrize("kind", ["path", "table"])
def test_a_table_is_read_and_fitted(runs, small_fit, tmp_path, kind):
    table = simulated_table().rename(columns={"params": "N"})
    path = tmp_path / "runs.csv"
    table.to_csv(path, index=False)
    settings = {"draws": 500, "tune": 500, "seed": 3, "progress": False}
    source = path if kind == "path" else table
    own = fit(source, "chinchilla", columns={"params": "N"}, **settings)
    assert len(own.runs) == len(small_fit.runs)
    np.testing.assert_allclose(own.posterior["E"], small_fit.posterior["E"], rtol=1e-6)


def test_weak_design_warns_before_sampling(monkeypatch):
    table = simulated_table()
    one_budget = read_runs(table.iloc[::5])  # six sizes on the first budget
    assert isinstance(one_budget, Runs)

    def stop(*arguments, **options):
        raise RuntimeError("no sampling here")

    monkeypatch.setattr("bayescale.posterior.fitting.compile_model", stop)
    with pytest.warns(RunsWarning) as caught, pytest.raises(RuntimeError, match="no sampling"):
        fit(one_budget, "chinchilla")
    names = [str(warning.message).split(":")[0] for warning in caught]
    assert names == ["few runs", "one budget only"]


def test_unknown_model_is_refused_before_sampling(runs):
    with pytest.raises(ModelError, match="did you mean"):
        fit(runs, "chinchila")


@slow
@pytest.mark.filterwarnings("ignore:losses far off")
def test_posterior_of_the_data_constrained_table(data_folder):
    """The sampler without complaints, and worth of repetition where others have found it."""
    path = data_folder / registry()["data_constrained"].file
    with pytest.warns(RunsWarning, match="suspect_duplicate"):
        repeated = read_runs(path, where="variant == 'standard' and tokens >= 1e9")
    fitted = fit(repeated, "data-constrained", progress=False)
    assert fitted.diagnostics.converged
    assert fitted.diagnostics.min_ess_bulk >= 800
    assert fitted.tree["observed_data"].sizes["obs"] == 215  # cells: seeds count once
    assert 9 < float(fitted.posterior["R_D"].median()) < 22  # Muennighoff et al. (2023): 15.4
    predictive = arviz_tree(fitted)["posterior_predictive"]["log_loss"]
    low, high = predictive.quantile([0.05, 0.95], ("chain", "draw"))
    observed = fitted.tree["observed_data"]["log_loss"]
    assert 0.88 < float(((observed > low) & (observed < high)).mean()) < 0.97


def attempts_made(runs, monkeypatch, attempts, found):
    """Settings of the attempts of a fit, of each of which R-hat, effective draws and divergences
    are given."""
    asked, given = [], iter(found)

    def sample(target, settings):
        asked.append(settings)
        return xr.DataTree()

    def fit_of_draws(*args):
        r_hat, effective, divergences = next(given)
        own = Diagnostics(divergences, 0, r_hat, effective, 1.0, 1.0)
        return SimpleNamespace(diagnostics=own, _computed=())

    monkeypatch.setattr(fitting, "target_of", lambda *args: None)
    monkeypatch.setattr(fitting, "beside_draws", lambda *args: {})
    monkeypatch.setattr(fitting, "sample", sample)
    monkeypatch.setattr(fitting, "fit_of_draws", fit_of_draws)
    monkeypatch.setattr(fitting, "ATTEMPTS", attempts)
    fit(runs, "chinchilla", progress=False)
    return asked


@pytest.mark.parametrize(
    ("found", "thinned"),
    [
        # R-hat, effective draws and divergences of each attempt; how each is thinned
        ([(1.005, 700, 1), (1.005, 500, 0)], [1, 1]),  # smaller steps alone
        ([(1.005, 500, 1), (1.005, 900, 0)], [1, 3]),  # with which 400 may be missed
        ([(1.02, 700, 0), (1.005, 900, 0)], [1, 3]),
        ([(1.02, 200, 0), (1.005, 700, 1), (1.005, 700, 0)], [1, 3, 3]),
        ([(1.02, 200, 0), (1.02, 500, 0), (1.005, 700, 0)], [1, 3, 5]),
    ],
)
def test_more_draws_are_made_only_where_they_were_lacking(runs, monkeypatch, found, thinned):
    asked = attempts_made(runs, monkeypatch, fitting.WHITENED_ATTEMPTS, found)
    assert [settings["thin"] for settings in asked] == thinned


def test_no_attempt_repeats_the_one_before(runs, monkeypatch):
    found = [(1.005, 700, 1), (1.005, 700, 0)]
    asked = attempts_made(runs, monkeypatch, fitting.HIERARCHICAL_ATTEMPTS, found)
    assert [(own["target_accept"], own["thin"]) for own in asked] == [(0.95, 1), (0.99, 1)]
