import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import ODD_NAMES, check_names, known_fit, known_grouped_fit, simulated_table
from scipy.optimize import brentq, minimize_scalar

from bayescale import (
    FitError,
    Runs,
    answer_comparison,
    compare,
    compute_optimal,
    constants_fit,
    fit,
    load_model,
    log_likelihood,
    parse_model,
    plot_comparison,
    predict,
    read_runs,
    workers,
)
from bayescale.draws import STACKED
from bayescale.errors import RunsError
from bayescale.evaluation import cross_validation
from bayescale.evaluation.compare import (
    Comparison,
    _decision,
    _difference,
    _regret,
    preference,
    sentences,
)
from bayescale.evaluation.cross_validation import folds_of
from bayescale.files import SCHEMA
from bayescale.laws import ACCURACY
from bayescale.progress import Progress, heard_by

BUDGET = 1e23


def hand_made(fits, elpd_diff, se_diff=1.0, groups=()):
    """Compare known posteriors whose elpds are given."""
    decisions = {name: _decision(own, (BUDGET,), groups) for name, own in fits.items()}
    decisions[STACKED] = decisions[next(iter(fits))]
    table = pd.DataFrame({"elpd_diff": elpd_diff, "se_diff": se_diff}, index=list(fits))
    table["weight"] = 1 / len(fits)
    regret = {name: _regret(name, own, decisions) for name, own in fits.items()}
    pointwise = xr.DataArray(np.zeros((len(fits), 2)), dims=("model", "obs"))
    return Comparison(fits, table, pointwise, decisions, regret, ())


# -- folds ------------------------------------------------------------------------------------


def test_folds_share_out_every_group_and_keep_seeds_together():
    own = known_grouped_fit(a={}, b={"E": 2.0})
    table = own.runs.table
    few = table[(table["family"] == "a") | (table["run"].isin(["30", "31"]))]
    twice = pd.concat([few, few.assign(loss=few["loss"] * 1.001)], ignore_index=True)
    own = replace(own, runs=replace(own.runs, table=twice))
    cells = cross_validation.cells(own)
    assert len(cells) == 32
    assert (np.bincount(cells.members) == 2).all()  # both seeds of a cell
    fold = folds_of({"x": own}, 5, seed=1)
    assert fold.shape == (32,)
    assert set(np.bincount(fold)) == {6, 7}
    groups = cells.table["family"].to_numpy()
    assert all(len(set(fold[groups == name])) > 1 for name in ("a", "b"))
    assert (fold != folds_of({"x": own}, 5, seed=2)).any()


def refit_without(own, cell, seed=1):
    asked = cross_validation._Refit.of("own", own, np.array([cell]), "a cell", seed)
    return cross_validation._refit_without(asked)


def test_the_only_cell_of_a_group_is_predicted_from_the_population(monkeypatch):
    own = known_grouped_fit(a={}, b={"E": 2.0}, c={"E": 2.2})
    table = own.runs.table
    own = replace(own, runs=replace(own.runs, table=table[table["family"] != "c"]))
    alone = replace(own, runs=replace(own.runs, table=table.iloc[:61]))
    refitted = []

    def known(kept, spec, **settings):
        refitted.append(set(kept.table["family"]))
        again = known_grouped_fit(a={}, b={"E": 2.0})
        again.__dict__["diagnostics"] = SimpleNamespace(problems=())
        return again

    monkeypatch.setattr(cross_validation, "fit", known)
    (density,), _ = refit_without(alone, 60)
    (seen,), _ = refit_without(alone, 59)
    assert refitted == [{"a", "b"}, {"a", "b", "c"}]
    assert np.isfinite(density)
    assert density < seen - 1  # a population of two says little of a third


# -- decisions ---------------------------------------------------------------------------------


def test_regret_is_the_compute_that_reaches_the_same_loss_elsewhere():
    one, other = known_fit(1, 0.0), known_fit(1, 0.0, alpha=0.30, beta=0.40)
    found = hand_made({"one": one, "other": other}, [0.0, -1.0]).regret["other"]

    def loss(log_params, flops):
        params = np.exp(log_params)
        return predict(other, {"params": params, "tokens": flops / (6 * params)}).item()

    def least(flops):
        inside = np.log([1e6, 1e13])
        return minimize_scalar(loss, bounds=inside, args=(flops,), method="bounded").fun

    wrong = loss(np.log(compute_optimal(one, BUDGET)["params"].item()), BUDGET)
    needed = brentq(lambda flops: least(flops) - wrong, BUDGET / 100, BUDGET)
    assert found.sel(chosen="one").item() == pytest.approx(BUDGET / needed - 1, rel=1e-3)
    assert found.sel(chosen="one").item() > 0.05
    assert found.sel(chosen="other").item() == 0


@pytest.mark.parametrize(
    ("differences", "told"),
    [
        ([0.0, -1.0, -50.0], "The runs speak against c, and do not tell it from b."),
        ([0.0, -1.0, -1.0], "The runs do not tell it from b and c."),
        ([0.0, -40.0, -50.0], "The runs speak against b and c."),
    ],
)
def test_which_law_the_runs_leave_possible_is_said(differences, told):
    fits = {name: known_fit(400, 0.1) for name in "abc"}
    first = preference(hand_made(fits, differences))
    assert first.startswith("Of 3 laws a best predicts runs that are left out.")
    assert first.endswith(told)


def test_own_uncertainty_is_no_regret_of_the_law():
    wide = known_fit(400, 0.1)
    assert float(compute_optimal(wide, BUDGET)["params"].quantile(0.95)) > 2e10
    comparison = hand_made({"one": wide, "other": wide}, [0.0, -1.0])
    assert (comparison.regret["one"] == 0).all()
    assert "hardly matters" in sentences(comparison)[0]


@pytest.mark.parametrize(
    ("changes", "elpd_diff", "words"),
    [
        ({"alpha": 0.30, "beta": 0.40}, -1.0, "matters, and the runs do not tell them apart"),
        ({"alpha": 0.30, "beta": 0.40}, -50.0, "The runs speak against other (elpd -50.0 ± 1.0"),
        ({"E": 1.7}, -1.0, "hardly matters"),  # another loss, the same N*
    ],
)
def test_the_choice_matters_where_it_wastes_compute(changes, elpd_diff, words):
    fits = {"one": known_fit(), "other": known_fit(**changes)}
    (sentence,) = sentences(hand_made(fits, [0.0, elpd_diff]))
    assert sentence.startswith("At 1e23 FLOPs")
    assert words in sentence


def test_laws_without_standard_errors_are_told_apart_by_nats():
    fits = {"one": known_fit(), "near": known_fit(E=1.7), "far": known_fit(E=1.9)}
    found = hand_made(fits, [0.0, -3.0, -5.0], se_diff=np.nan)
    assert found.plausible == ("one", "near")
    assert replace(found, table=found.table.assign(se_diff=3.0)).plausible == tuple(fits)


def test_differences_of_shares_are_points():
    one = {"law": "a", "than": "b", "group": None, "p_agree": 0.2}
    said = _difference({**one, "median": 0.031, "q05": -0.01, "q95": 0.05}, ACCURACY)
    assert "the accuracy of a beside that of b is +3.1 points (-1.0 points to +5.0 p" in said
    assert "within 1 point with probability 20%" in said


def test_decisions_of_groups_stand_beside_those_without():
    grouped, pooled = known_grouped_fit(a={}, b={"alpha": 0.30}), known_fit()
    comparison = hand_made({"grouped": grouped, "pooled": pooled}, [0.0, -1.0], groups=("a", "b"))
    assert comparison.decisions["pooled"]["params"].dims == ("chain", "draw", "flops", "group")
    waste = comparison.regret["grouped"].sel(chosen="pooled").median(("chain", "draw", "flops"))
    assert float(waste.sel(group="b")) > 0.05
    assert float(abs(waste.sel(group="a"))) < 0.001
    (sentence,) = sentences(comparison)
    assert "the compute of its own for b, over 1% more with probability more than 99%" in sentence
    titles = [axis.get_title(loc="left") for axis in plot_comparison(comparison).axes]
    plt.close("all")
    assert titles[1:] == ["a, 1e23 FLOPs", "b, 1e23 FLOPs"]


def on_one_axis(elpd_diff, **losses):
    """Compare laws along tokens that predict losses of given means and sds."""
    made = constants_fit("power-law-tokens", E=1.7, A=400.0, alpha=0.3)
    table = pd.DataFrame({"tokens": [1e9, 1e12], "loss": [3.0, 2.0], "run": ["a", "b"]})
    own = replace(made, runs=Runs(table, "a curve"))
    rng = np.random.default_rng(1)
    decisions = {
        name: xr.Dataset(
            {"loss": (("chain", "draw", "tokens"), rng.normal(mean, sd, (1, 4000, 1)))},
            coords={"tokens": [1e12]},
        )
        for name, (mean, sd) in losses.items()
    }
    decisions[STACKED] = decisions[next(iter(losses))]
    elpds = pd.DataFrame({"elpd_diff": elpd_diff, "se_diff": 1.0}, index=list(losses))
    pointwise = xr.DataArray(np.zeros((len(losses), 2)), dims=("model", "obs"))
    found = Comparison(dict.fromkeys(losses, own), elpds, pointwise, decisions, {}, ())
    (sentence,) = sentences(found)
    return sentence


def test_losses_differ_though_their_intervals_overlap():
    sentence = on_one_axis([0.0, -1.0], one=(2.0, 0.06), other=(2.19, 0.06))
    assert "differ in the loss, and the runs do not tell them apart" in sentence
    assert "the loss of other beside that of one is +9.5% (+2." in sentence


@pytest.mark.parametrize(("sd", "p"), [(0.001, "more than 99%"), (0.06, "18%")])
def test_own_uncertainty_of_the_loss_is_no_difference(sd, p):
    sentence = on_one_axis([0.0, -1.0], one=(2.0, sd), other=(2.0, sd))
    assert "no two laws clearly differ" in sentence
    assert f"within 1% with probability {p}." in sentence


@pytest.mark.parametrize("order", [("good", "wild", "near"), ("good", "near", "wild")])
def test_laws_that_the_runs_leave_open_are_looked_at_first(order):
    losses = {"good": (2.0, 0.01), "wild": (3.0, 0.01), "near": (2.1, 0.01)}
    elpds = {"good": 0.0, "wild": -60.0, "near": -1.0}
    kept = {name: losses[name] for name in order}
    sentence = on_one_axis([elpds[name] for name in order], **kept)
    assert "do not tell them apart: the loss of near beside that of good" in sentence
    assert "wild" not in sentence


@pytest.mark.parametrize("order", [("good", "wild"), ("wild", "good")])
def test_the_law_that_the_runs_speak_against_is_named(order):
    losses = {"good": (2.0, 0.01), "wild": (3.0, 0.01)}
    elpds = {"good": 0.0, "wild": -60.0}
    sentence = on_one_axis([elpds[n] for n in order], **{n: losses[n] for n in order})
    assert "The runs speak against wild (elpd -60.0" in sentence
    assert "the loss of wild beside that of good is +50.0%" in sentence


# -- real fits ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kaplan_fit(runs):
    return fit(runs, "kaplan", draws=500, tune=500, seed=3, progress=False)


@pytest.fixture(scope="module")
def comparison(small_fit, kaplan_fit):
    fits = {"kaplan": kaplan_fit, "true": small_fit, "again": small_fit}
    return compare(fits, flops=[1e23, 1e24])


@pytest.mark.slow
def test_a_wrong_law_loses_and_identical_ones_tie(comparison):
    table = comparison.table
    assert table.index[-1] == "kaplan"
    assert table.loc["kaplan", "elpd_diff"] < -5 * table.loc["kaplan", "se_diff"] < 0
    assert (table.loc[["true", "again"], ["elpd_diff", "se_diff"]] == 0).all(axis=None)
    assert sum(comparison.weights.values()) == pytest.approx(1)
    assert comparison.weights["true"] == pytest.approx(comparison.weights["again"])
    assert comparison.weights["kaplan"] < 0.1
    assert set(comparison.plausible) == {"true", "again"}
    total = comparison.pointwise.sum("obs").to_series()
    assert total.to_numpy() == pytest.approx(table["elpd"].to_numpy())


def test_weights_maximise_the_density_of_the_mixture(comparison):
    density = np.exp(comparison.pointwise.sel(model=["true", "kaplan"]).to_numpy())

    def score(weight):
        return -np.log(weight * density[0] + (1 - weight) * density[1]).sum()

    best = minimize_scalar(score, bounds=(0, 1), method="bounded").x
    assert 1 - comparison.weights["kaplan"] == pytest.approx(best, abs=0.01)


def test_the_mixture_takes_draws_by_weight(comparison):
    weight = comparison.weights["kaplan"]
    draws = comparison.decisions["kaplan"]["loss"].isel(flops=0).to_numpy().ravel()
    mixed = comparison.decisions[STACKED]["loss"].isel(flops=0).to_numpy().ravel()
    assert np.isin(mixed, draws).sum() == pytest.approx(weight * mixed.size, abs=1)


@pytest.mark.slow
def test_elpd_equals_leaving_every_cell_out():
    few = read_runs(simulated_table(noise=0.02).iloc[::2])
    own = fit(few, "chinchilla", draws=3000, tune=500, seed=5, progress=False)
    elpd = cross_validation.cross_validate({"own": own}).elpds["own"]
    exact = np.array([refit_without(own, cell, seed=6)[0][0] for cell in range(len(few))])
    assert elpd.elpd_i.to_numpy() == pytest.approx(exact, abs=0.15)  # within Monte Carlo error
    assert elpd.elpd == pytest.approx(exact.sum(), abs=0.3)
    seen = np.log(np.exp(log_likelihood(own)).mean(("chain", "draw"))).to_numpy()
    assert seen.sum() - exact.sum() > 3  # the density of runs that were fitted is another
    assert elpd.elpd + elpd.p == pytest.approx(seen.sum())


def test_folds_take_over_where_importance_sampling_fails(
    small_fit, kaplan_fit, comparison, monkeypatch
):
    monkeypatch.setattr(cross_validation, "MOST_REFITS", -1)
    steps = []
    fits = {"true": small_fit, "kaplan": kaplan_fit}
    with heard_by(Progress(say=lambda seconds, name: steps.append(name))):
        folded = compare(fits, folds=3)
    folds = [name for name in steps if name.endswith("of 3")]
    assert folds[0] == "leaving cells out: fitting 6 models: true without fold 1 of 3"
    assert len(folds) == 6
    assert f"{folds[0]}: sampling" in steps
    assert set(folded.table["method"]) == {"3-fold"}
    assert folded.table.loc["true", "elpd"] == pytest.approx(
        comparison.table.loc["true", "elpd"], abs=6
    )
    assert folded.table.loc["kaplan", "elpd_diff"] < -4 * folded.table.loc["kaplan", "se_diff"]
    assert (folded.pointwise != comparison.pointwise.sel(model=["true", "kaplan"])).all()


def test_a_law_that_cannot_be_refitted_is_named_and_not_compared(
    small_fit, kaplan_fit, monkeypatch
):
    def failing(kept, spec, **settings):
        if spec.name == kaplan_fit.spec.name:
            raise RunsError("too few runs", "Add some.")
        return small_fit

    monkeypatch.setattr(cross_validation, "MOST_REFITS", -1)
    monkeypatch.setattr(cross_validation, "fit", failing)
    fits = {"kaplan": kaplan_fit, "true": small_fit, "again": small_fit}
    found = compare(fits, folds=2)
    assert set(found.fits) == set(found.table.index) == {"true", "again"}
    assert found.left_out == ("kaplan without fold 2 of 2: too few runs; add some",)
    answer = answer_comparison(found)
    assert "kaplan" in answer.sentences[-1]
    assert answer.numbers["left_out"] == list(found.left_out)
    with pytest.raises(FitError, match="fewer than two laws can be refitted: kaplan without"):
        compare({"true": small_fit, "kaplan": kaplan_fit}, folds=2)


@pytest.mark.slow
def test_refits_by_processes_are_those_of_this_one(small_fit, kaplan_fit, monkeypatch):
    monkeypatch.setattr(cross_validation, "MOST_REFITS", -1)
    fits = {"true": small_fit, "kaplan": kaplan_fit}
    here = compare(fits, folds=2)
    monkeypatch.setattr(workers, "usable_cores", lambda: 2)
    monkeypatch.setattr(cross_validation, "call_each", partial(workers.call_each, worth=0.0))
    np.testing.assert_array_equal(compare(fits, folds=2).pointwise, here.pointwise)


def test_few_bad_cells_are_left_out_exactly(small_fit, monkeypatch):
    real = cross_validation._importance_sampling

    def failing(own):
        elpd = real(own)
        elpd.pareto_k[3], elpd.elpd_i[3] = 0.9, 100.0
        return replace(elpd, elpd=float(elpd.elpd_i.sum()))

    monkeypatch.setattr(cross_validation, "_importance_sampling", failing)
    found = cross_validation.cross_validate({"true": small_fit})
    own = real(small_fit)
    bad = int((own.pareto_k > own.good_k).sum()) + int(own.pareto_k[3] <= own.good_k)
    assert (found.high_k["true"], found.method["true"]) == (bad, f"PSIS-LOO, {bad} exact")
    expected = real(small_fit).elpd_i[3].item()
    assert found.elpds["true"].elpd_i[3].item() == pytest.approx(expected, abs=0.2)


def test_what_cannot_be_compared_is_refused(small_fit, kaplan_fit):
    def of(own, **columns):
        return replace(own, runs=replace(own.runs, table=own.runs.table.assign(**columns)))

    table = small_fit.runs.table
    fewer = replace(kaplan_fit, runs=replace(kaplan_fit.runs, table=table.iloc[1:]))
    profiles = replace(kaplan_fit, spec=load_model("isoflop-profiles"))
    curve = replace(kaplan_fit, spec=load_model("power-law-tokens"))
    for other, message in (
        (fewer, "true was fitted to 30 of .*, other to 29 of"),
        (
            of(kaplan_fit, loss=table["loss"] * (1 + (table.index == 4))),
            "run 'run-5' has another loss in",
        ),
        (of(kaplan_fit, weight=0.5), "other was fitted to weighted runs"),
        (known_fit(), "of given constants"),
        (profiles, "no decision of its own .* compare_approaches"),
        (curve, "other from tokens: compare joint laws with joint laws"),
    ):
        with pytest.raises(FitError, match=message):
            compare({"true": small_fit, "other": other})
    with pytest.raises(FitError, match="two laws or more"):
        compare({"true": small_fit})
    with pytest.raises(FitError, match="at least 2 folds"):
        compare({"true": small_fit, "kaplan": kaplan_fit}, folds=1)


@pytest.mark.slow
def test_single_axis_laws_are_compared_by_the_loss_they_predict():
    tokens = np.geomspace(1e8, 1e11, 24)
    noise = np.exp(0.005 * np.random.default_rng(2).standard_normal(24))
    curve = read_runs(pd.DataFrame({"tokens": tokens, "loss": (1.8 + 60 * tokens**-0.2) * noise}))
    spec = load_model("power-law-tokens")
    other = parse_model(spec.source.replace("mu = -1.05", "mu = -1.3"), "b")
    fits = {
        model.name: fit(curve, model, draws=500, tune=500, progress=False)
        for model in (spec, other)
    }
    found = compare(fits, flops=[1e12])
    assert (found.axis, found.regret) == ("tokens", {})
    assert found.decisions[STACKED]["loss"].dims == ("chain", "draw", "tokens")
    (sentence,) = sentences(found)
    assert sentence.startswith("At 1.00T tokens, 1.0 decades beyond the runs, no two")
    assert "no two laws clearly differ in the loss" in sentence
    figure = plot_comparison(found)
    plt.close(figure)
    assert figure.axes[1].get_xlabel() == "loss (nats per token);\nmedian and central 90%"
    moved = {**found.decisions, "b": found.decisions["b"] - 1}
    (sentence,) = sentences(replace(found, decisions=moved))
    assert "the laws differ in the loss, and the runs do not tell them apart: " in sentence


def test_numbers_and_picture_say_the_same(comparison):
    answer = answer_comparison(comparison)
    summary = json.loads(answer.to_json())
    assert summary["schema"] == SCHEMA
    assert summary["sentences"] == [preference(comparison), *sentences(comparison)]
    assert [entry["model"] for entry in summary["models"]] == list(comparison.fits)
    assert [entry["told_apart"] for entry in summary["models"]] == [False, False, True]
    assert len(summary["decisions"]) == 4 * 2
    assert len(summary["regret"]) == 3 * 3 * 2
    figure = plot_comparison(comparison)
    plt.close(figure)
    shown = {text.get_text() for axis in figure.axes for text in axis.texts}
    kaplan = comparison.table.loc["kaplan"]
    assert {"best", f"{kaplan['elpd_diff']:.1f} ± {kaplan['se_diff']:.1f}"} <= shown


def test_odd_names_of_models_and_groups_are_drawn_as_they_are(tmp_path):
    groups = {name: {"E": 1.8 + 0.1 * n} for n, name in enumerate(ODD_NAMES)}
    fits = {name: known_grouped_fit(**groups).of_group(name) for name in ODD_NAMES}
    check_names(plot_comparison(hand_made(fits, [0.0, -1.0, -2.0])), tmp_path)
    fits = {"a": known_grouped_fit(**groups), "b": known_grouped_fit(**groups)}
    found = hand_made(fits, [0.0, -1.0], groups=ODD_NAMES)
    check_names(plot_comparison(found), tmp_path)


def test_infinite_numbers_are_null_in_json_and_words_in_text(run, monkeypatch, tmp_path):
    """Draws without end, of a decision and of a regret, and an elpd that is not defined."""
    found = hand_made({"a": known_fit(), "b": known_fit(alpha=0.5)}, [0.0, -1.0])
    found.table[["elpd", "se", "p_loo"]] = -np.inf
    found.table["high_k"], found.table["method"] = 0, "PSIS"
    answer = found.decisions["b"].copy(deep=True)
    answer["params"][0, :200] = np.inf
    regret = found.regret["a"].copy(deep=True)
    regret[0, :300] = np.inf
    found = replace(
        found,
        decisions={**found.decisions, "b": answer},
        regret={**found.regret, "a": regret},
        problems=("b without 5 cells: R-hat 1.10",),
    )
    monkeypatch.setattr("bayescale.cli.comparison.sample", lambda *_, **__: known_fit())
    monkeypatch.setattr("bayescale.evaluation.compare.compare", lambda *_, **__: found)
    simulated_table().to_csv("runs.csv", index=False)
    ask = ("compare", "runs.csv", "--models", "chinchilla,kaplan", "--flops", str(BUDGET))
    code, out, err = run(*ask, "--out", "out")
    assert (code, err) == (1, "")
    assert out.startswith("not converged, do not use these numbers: b without 5 cells: R-hat 1.10")
    assert " to inf)" in out
    code, out, _ = run(*ask, "--json", "--allow-unconverged")
    assert code == 0
    for text in (out, (tmp_path / "out" / "comparison.json").read_text()):
        said = json.loads(text, parse_constant=pytest.fail)  # of NaN and Infinity
        assert said["models"][0]["elpd"] is None
        assert [entry["params"]["q95"] for entry in said["decisions"]][1] is None
        assert None in [entry["median"] for entry in said["regret"]]
        assert said["converged"] is False


def test_compare_from_the_shell(run, monkeypatch, tmp_path):
    simulated_table().to_csv(tmp_path / "runs.csv", index=False)

    common = ["compare", tmp_path / "runs.csv", "--models", "chinchilla,kaplan", "--flops", "1e23"]
    (tmp_path / "plans.csv").write_text("params,tokens\n5e9,3.3e12\n3e10,5.6e11\n")
    plans = ("--plans", tmp_path / "plans.csv")
    code, out, err = run(*common, *plans, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.startswith("Of 2 laws chinchilla best predicts runs that are left out.")
    assert out.index("At 1e23 FLOPs") < out.index("elpd of 30 cells of 30 runs: log probability")
    assert "stacked" in out
    summary = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert summary["sentences"][0] in out
    assert set(summary["plans"]["choices"]) == {"chinchilla", "kaplan", "stacked"}
    assert "All laws by their weights would choose" in out
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    monkeypatch.setattr("bayescale.posterior.diagnostics.MAX_R_HAT", 0.9)
    code, out, err = run(*common, "--json")
    assert code == 1
    assert "not converged: chinchilla: R-hat 1.0" in err
    found = json.loads(out)
    assert found["models"][0]["model"] == "chinchilla"
    assert (found["converged"], len(found["problems"])) == (False, 2)
    assert found["problems"][0].startswith("chinchilla: R-hat 1.0")
    assert (summary["converged"], summary["problems"]) == (True, [])
    for models, message in (
        ("chinchilla", "two models or more"),
        ("kaplan,kaplan", "each once"),
        ("kaplan,chinchila", "did you mean 'chinchilla'"),
        ("chinchilla,isoflop-profiles", "decide the same thing"),
        ("chinchilla,power-law", "decide the same thing"),
    ):
        code, out, err = run("compare", tmp_path / "runs.csv", "--models", models)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
