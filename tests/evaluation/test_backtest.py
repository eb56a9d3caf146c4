"""Backtests: what they may see, what they refuse, and what they say of a true and a wrong law."""

import json
import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import known_fit, simulated_table

from bayescale import answer_backtest, load_model, plot_backtest, read_runs, workers
from bayescale import backtested_at as at_distance
from bayescale.errors import FitError, ModelError, RunsError, RunsWarning
from bayescale.evaluation import backtest as backtest_module
from bayescale.evaluation.backtest import Backtest, backtest
from bayescale.evaluation.folds import WINDOWS, choose_cuts, plan_cuts
from bayescale.evaluation.scores import score_runs
from bayescale.report.page import backtest_section

CHINCHILLA = load_model("chinchilla")
BUDGETS = np.geomspace(6e18, 3e21, 5)
QUICK = {"draws": 250, "tune": 400, "chains": 2}


def runs_of(table, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return read_runs(table.assign(**changes))


def by_hand(fit, runs, cuts, **columns):
    """Backtest of given draws: what a sampler would give, without sampling."""
    parts = []
    for cut in cuts:
        split = plan_cuts(runs, CHINCHILLA, [cut])[0]
        rows = score_runs(fit, split.later)
        parts.append(rows.assign(cut=cut, fitted=len(split.past), decades=split.decades(rows)))
    table = pd.concat(parts, ignore_index=True).assign(converged=True, block="next", **columns)
    return Backtest(table, "chinchilla", "flops")


@pytest.fixture(scope="module")
def table():
    return simulated_table(noise=0.005, seed=2)


@pytest.fixture(scope="module")
def runs(table):
    return runs_of(table)


@pytest.fixture(scope="module")
def found(runs):
    """Right draws beside draws with a tenth of the noise: what is too narrow must show."""
    right = by_hand(known_fit(sigma=0.005), runs, BUDGETS[2:4] * 1.01)
    narrow = by_hand(known_fit(sigma=0.0005), runs, BUDGETS[2:4] * 1.01)
    both = [right.table.assign(law="model"), narrow.table.assign(law="exact")]
    return Backtest(pd.concat(both, ignore_index=True), "chinchilla", "flops")


def test_a_past_is_every_run_up_to_the_cut_and_nothing_else(runs):
    for cut in (BUDGETS[2], 1.5 * BUDGETS[2]):
        (split,) = plan_cuts(runs, CHINCHILLA, [cut])
        assert set(split.past.table["run"]) | set(split.later.table["run"]) == set(
            runs.table["run"]
        )
        assert split.past.column("flops").max() <= cut * 1.000001
        assert split.later.column("flops").min() > cut
        assert len(split.past) == 18


def test_cuts_lie_in_the_upper_half_and_between_budgets(runs):
    jitter = np.exp(1e-4 * np.random.default_rng(1).standard_normal(30))
    for one in (runs, runs_of(runs.table, tokens=runs.table["tokens"] * jitter, flops=np.nan)):
        splits = choose_cuts(one, CHINCHILLA)
        assert [len(split.past) for split in splits] == [18, 24]
        span = np.log(one.column("flops"))
        low = (np.log(splits[0].cut) - span.min()) / np.ptp(span)
        assert low > WINDOWS[0]


def test_weak_pasts_are_passed_over():
    """Of two budgets one is left to fit: no cut in the upper half, and none below it."""
    two = simulated_table().iloc[[*range(6), *range(24, 30)]]
    with pytest.raises(RunsError, match="no cut in flops leaves enough runs"):
        choose_cuts(runs_of(two), CHINCHILLA)


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ([1e17], r"flops <= 1e17 leaves no run to fit: give a larger flops"),
        ([3e22], r"flops <= 3e22 leaves no run to predict: give a smaller flops"),
        ([1e20, -1], "the cut -1 is no positive number"),
        ([1e20, np.nan], "the cut nan is no positive number"),
        ([1.4e20, 1.5e20], "leave the same runs: give one"),
    ],
)
def test_refused_cuts(runs, cuts, message):
    with pytest.raises(RunsError, match=message):
        backtest(runs, cuts=cuts)


def test_a_past_that_is_too_small_is_refused_by_number_and_reason(runs):
    few = runs_of(runs.table.sort_values("flops").iloc[3:])
    with pytest.raises(RunsError, match=r"7e18 leaves 3 runs, too little .* give a larger flops"):
        backtest(few, cuts=[7e18])


def test_laws_without_an_axis_are_refused(runs):
    with pytest.raises(ModelError, match=r"has a minimum along params: .* a joint law"):
        plan_cuts(runs, load_model("isoflop-profiles"))


def test_unfinished_runs_and_those_of_no_weight_are_never_predicted(runs):
    last = runs.table["run"] == "run-30"
    for column, value in (("weight", np.where(last, 0.0, 1.0)), ("mid_schedule", last)):
        marked = replace(runs, table=runs.table.assign(**{column: value}))
        (split,) = plan_cuts(marked, CHINCHILLA, [1e21])
        largest = runs.table[runs.column("flops") > 1e21]
        assert len(largest) == 6
        assert len(split.later) == 5
        assert set(largest.index) - set(split.later.table.index) == {29}


def test_groups_have_distances_of_their_own(runs):
    family = np.where(np.arange(30) < 15, "small", "large")
    grouped = runs_of(runs.table, family=family)
    keep = ~((grouped.table["family"] == "small") & (grouped.table["flops"] > 1e20)) | (
        grouped.table["flops"] > 1e21
    )
    late = grouped.table.query("flops > 1e21").assign(family="late").iloc[-2:]
    grouped = runs_of(pd.concat([grouped.table[keep], late], ignore_index=True))
    (split,) = plan_cuts(grouped, load_model("chinchilla-hierarchical"), [1e21])
    assert "late" not in set(split.later.table["family"])  # nothing to predict it from
    rows = split.later.table.rename(columns={"family": "group"})
    decades = pd.Series(split.decades(rows)).groupby(rows["group"].to_numpy()).max()
    step = np.log10(BUDGETS[1] / BUDGETS[0])
    assert decades["large"] == pytest.approx(step, abs=0.01)
    assert decades["small"] == pytest.approx(3 * step, abs=0.01)


@pytest.mark.slow
def test_nothing_of_the_future_reaches_a_fit(table):
    """Other later losses: the predictions of the same runs stay the same to the last digit."""
    later = runs_of(table).column("flops") > 1e21
    other = runs_of(table, loss=np.where(later, 1.1 * table["loss"], table["loss"]))
    one, two = (
        backtest(each, "chinchilla", cuts=[1e21], **QUICK).table for each in (runs_of(table), other)
    )
    quantiles = ["q05", "q50", "q95"]
    np.testing.assert_array_equal(one[quantiles], two[quantiles])
    assert (two["error"] > 0.05).all()  # the control: it is the other table that was scored


@pytest.mark.slow
def test_a_true_law_is_covered_and_one_that_bends_is_not(table, runs):
    """A law that bends beyond the cut: the exact one misses, the one that may bend less often."""
    beyond = np.log10(np.maximum(runs.column("flops") / BUDGETS[2], 1.0))
    bent = runs_of(table, loss=table["loss"] * np.exp(0.009 * beyond))
    true, wrong = (
        backtest(each, "joint", cuts=[BUDGETS[2]], **QUICK).summary.xs("all", level="distance")
        for each in (runs, bent)
    )
    assert true.loc["exact", "coverage90"] >= 0.75
    assert true.loc["exact", "rmsle"] < 0.01
    assert true.loc["model", "coverage90"] >= 0.75
    assert wrong.loc["exact", "coverage90"] < 0.5
    assert wrong.loc["model", "coverage90"] > wrong.loc["exact", "coverage90"]
    assert wrong.loc["model", "width90"] > wrong.loc["exact", "width90"]


def test_every_run_is_in_the_next_block_of_one_cut(runs):
    found = backtest(runs, "chinchilla", cuts=BUDGETS[2:4] * 1.01, **QUICK)
    following = found.table[found.table["block"] == "next"]
    assert found.laws == ("model",)  # an exact law has none to be set beside
    assert found.table["fitted"].value_counts().to_dict() == {18: 12, 24: 6}
    assert following["fitted"].value_counts().to_dict() == {18: 6, 24: 6}
    assert following["run"].is_unique
    assert following["decades"].max() < 0.7
    assert found.table["converged"].all() == (not found.problems)


def test_fits_that_did_not_converge_are_named(runs):
    found = backtest(runs, cuts=[1e21], draws=20, tune=50, chains=2)
    assert found.problems[0].startswith("flops <= 1e21: ")
    assert found.problems[-1].startswith("flops <= 1e21 (the exact law): ")
    assert not found.table["converged"].any()
    assert "Not converged" in " ".join(answer_backtest(found).sentences)


def test_the_summary_counts_cuts_and_distances(found):
    summary = found.summary
    assert summary.loc[("model", "all"), ["cuts", "predictions"]].tolist() == [2, 18]
    assert summary.loc[("model", "all"), "coverage90"] > 0.8
    assert summary.loc[("exact", "all"), "coverage90"] < 0.3
    reached = summary.loc["exact"].index.tolist()
    assert reached == ["all", "next block", "0.5 to 1", "more than 1"]
    assert found.by_cut.loc["exact"]["fitted"].tolist() == [18, 24]
    assert found.farthest == pytest.approx(np.log10(BUDGETS[4] / BUDGETS[2]), abs=1e-6)


def test_sentences_say_how_far_and_by_how_many_cuts(found):
    first, _, second, *_ = answer_backtest(found).sentences
    assert first.startswith("Backtested to 1.3 decades beyond the fitted runs: 90% intervals")
    assert "of the loss of new runs held 89% of 18 predictions (2 cuts)" in first
    assert "The exact law held" in first
    assert "count cuts rather than predictions" in second
    alone = found.of("exact").assign(law="model")
    narrow = Backtest(alone, "chinchilla", "flops")
    assert "FAILED: that is fewer than chance allows" in answer_backtest(narrow).sentences[3]
    few = Backtest(narrow.table.iloc[:2].assign(inside90=[True, False]), "chinchilla", "flops")
    assert "FAILED" not in " ".join(answer_backtest(few).sentences)  # chance is enough
    (one,) = (
        Backtest(part, "m", "flops") for _, part in narrow.table.groupby("cut") if len(part) < 9
    )
    assert "about one test" in answer_backtest(one).sentences[2]


def test_an_answer_is_set_against_how_far_the_backtest_went(found):
    assert "this answer is 2.9 decades out. No backtest" in at_distance(found, 2.9)
    assert "Backtested at 0.5 to 1 decades" in at_distance(found, 0.3)
    assert "at more than 1 decade:" in at_distance(found, found.farthest)
    assert "within the runs" in at_distance(found, 0.0)


def test_json_without_nan(found):
    table = found.table.assign(log_score=-np.inf)
    summary = json.loads(answer_backtest(Backtest(table, "m", "flops")).to_json())
    assert summary["laws"] == ["model", "exact"]
    assert summary["distances"][0]["log_score"] is None
    assert {"law", "cut", "fitted", "coverage90"} <= set(summary["cuts"][0])


def test_the_picture_shows_every_prediction(found):
    figure = plot_backtest(found)
    assert [axis.get_title(loc="left")[:8] for axis in figure.axes] == ["This mod", "The exac"]
    for axis, name in zip(figure.axes, ("model", "exact"), strict=True):
        inside, outside = (len(line.get_xdata()) for line in axis.lines[1:3])
        assert (inside, inside + outside) == (found.of(name)["inside90"].sum(), 18)
    plt.close(figure)


def test_the_section_of_the_report(found):
    section = backtest_section(found)
    assert "Backtested to 1.3 decades" in section.text
    assert len(section.table) == len(found.summary)
    plt.close(section.figure)


def test_an_interval_without_end_is_said_and_drawn(found):
    endless = Backtest(found.table.assign(q95=np.inf), "chinchilla", "flops")
    assert answer_backtest(endless).numbers["cuts"][0]["width90"] is None
    figure = plot_backtest(endless)
    figure.canvas.draw()
    assert np.isfinite(figure.axes[0].get_ylim()).all()
    plt.close(figure)


@pytest.fixture
def fitted_by_hand(monkeypatch):
    """Give known draws for a fit, but for those of the exact law of 18 runs."""

    def known(past, spec, **settings):
        if len(past) == 18 and spec.is_exact:
            raise FitError("the sampler could not run", "Try again.")
        own = known_fit(sigma=0.005)
        own.__dict__["diagnostics"] = SimpleNamespace(problems=())
        return own

    monkeypatch.setattr(backtest_module, "fit", known)


def test_a_fit_that_fails_is_named_and_the_others_are_scored(runs, fitted_by_hand):
    found = backtest(runs, "chinchilla-bend", cuts=BUDGETS[2:4])
    assert found.by_cut.loc["model"]["fitted"].tolist() == [18, 24]
    assert found.by_cut.loc["exact"]["fitted"].tolist() == [24]
    (lost,) = found.left_out
    assert lost == "flops <= 1.34e20 (the exact law): the sampler could not run; try again"
    answer = answer_backtest(found)
    assert answer.sentences[-1] == f"Could not be fitted, and was left out: {lost}."
    assert answer.numbers["left_out"] == [lost]
    with pytest.raises(FitError, match=r"no past could be fitted: flops <= 1\.34e20: the"):
        backtest(runs, "chinchilla", cuts=BUDGETS[2:3])


def test_the_command_line_ends_in_2_where_a_fit_failed(run, table, fitted_by_hand):
    table.to_csv("runs.csv", index=False)
    code, out, err = run("backtest", "runs.csv", "--model", "chinchilla-bend", "--cut", "1.4e20")
    assert code == 2
    assert "Backtested to" in out
    assert err.splitlines()[-1].startswith("failed: flops <= 1.4e20 (the exact law): the sampler")


@pytest.mark.slow
def test_processes_score_what_this_one_scores(runs, monkeypatch):
    here = backtest(runs, "chinchilla", cuts=BUDGETS[1:4], **QUICK)
    monkeypatch.setattr(workers, "usable_cores", lambda: 2)
    monkeypatch.setattr(backtest_module, "call_each", partial(workers.call_each, worth=0.0))
    by_processes = backtest(runs, "chinchilla", cuts=BUDGETS[1:4], **QUICK)
    pd.testing.assert_frame_equal(by_processes.table, here.table, check_exact=True)
    assert by_processes.p_coverage == here.p_coverage


def test_from_the_command_line(run, table, tmp_path):
    table.to_csv(tmp_path / "runs.csv", index=False)
    code, out, _ = run(
        "backtest", "runs.csv", "--cut", "1e21",
        "--plot", "past.png", "--out", "past.csv", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["cuts"][0]["fitted"] == 24
    assert (tmp_path / "past.png").stat().st_size > 10_000
    assert pd.read_csv(tmp_path / "past.csv")["law"].tolist() == ["model"] * 6 + ["exact"] * 6


def test_the_command_line_says_first_what_did_not_converge(run, table, found, monkeypatch):
    problem = "model up to 1e21: 3 divergent transitions"
    broken = Backtest(found.table, "chinchilla", "flops", (problem,))
    monkeypatch.setattr("bayescale.evaluation.backtest.backtest", lambda *_, **__: broken)
    table.to_csv("runs.csv", index=False)
    code, out, err = run("backtest", "runs.csv")
    assert code == 1
    assert out.startswith(f"not converged, do not use these numbers: {problem}\nBacktested to")
    assert "not converged" not in err
    code, out, _ = run("backtest", "runs.csv", "--json", "--allow-unconverged")
    said = json.loads(out)
    assert (code, said["converged"], said["problems"]) == (0, False, [problem])


def test_the_command_line_refuses_what_cannot_be_cut(run, table, tmp_path):
    table.to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run("backtest", "runs.csv", "--cut", "1e30")
    assert (code, "leaves no run to predict" in err) == (2, True)


def test_the_larger_chinchilla_runs_are_foretold_by_a_law_that_may_bend(chinchilla_runs):
    """63 runs above 3e20 FLOPs from the 177 up to there; published bootstraps cover 52 to 57%."""
    found = backtest(chinchilla_runs, cuts=[3e20])
    bends, exact = (found.summary.loc[(name, "all")] for name in ("model", "exact"))
    assert bends["predictions"] == 63
    assert bends["rmsle"] < 0.0100
    assert bends["crps"] < 0.0050
    assert 0.85 < bends["coverage90"] < 0.985
    assert exact["coverage90"] < 0.7


def test_the_largest_run_is_set_beside_what_was_predicted_of_it(found, runs):
    said = next(one for one in answer_backtest(found).sentences if one.startswith("The largest"))
    largest = runs.table["flops"].idxmax()
    own = found.of("model").query("run == @runs.table.run[@largest]").sort_values("cut")
    assert runs.table.loc[largest, "flops"] == found.table["flops"].max()
    assert f"{runs.table.loc[largest, 'run']} (3e21 FLOPs), has loss " in said
    assert f"has loss {own['loss'].iloc[0]:.3f}. Predicted was " in said
    for _, row in own.iterrows():
        assert f"{row.q50:.3f} ({row.q05:.3f} to {row.q95:.3f}) from runs up to " in said
    grouped = replace(found, table=found.table.assign(group="a"))
    assert not any(one.startswith("The largest") for one in answer_backtest(grouped).sentences)
