import html
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import known_fit, simulated_table

from bayescale import (
    answer_checks,
    answer_optima,
    basin,
    check_fit,
    fit,
    load_fit,
    read_runs,
    write_report,
)
from bayescale.decisions.answer import Answer
from bayescale.errors import BayescaleError, RunsWarning
from bayescale.files import SCHEMA
from bayescale.posterior.fit import Fit
from bayescale.report import record, write
from bayescale.report.page import sections
from bayescale.report.record import Companions, answer_fit, default_budgets
from bayescale.runs.check import Check, Status, doubt
from bayescale.words import count

COMMAND = "bayescale report 'my runs.csv' --flops 5.76e23"


@pytest.fixture(scope="module")
def written(small_fit, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return write_report(small_fit, out / "new", flops=[5.76e23], command=COMMAND)


def text_of(page: str) -> str:
    """Words of a page, of what is folded as well."""
    page = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_page_opens_with_the_answers_in_a_table_and_is_self_contained(written, small_fit):
    page = written.read_text("utf-8")
    opening = page[page.index('id="answer"') : page.index("<img")]
    assert "5.76e23 FLOPs" in opening
    assert '<td data-title="parameters N*"><div><span>' in opening
    assert "190× the largest run" in opening
    assert ">speculative</span><small>So far out" in opening
    assert 'id="problems"' not in page
    images = re.findall(r'<img src="(data:image/\w+)[^>]* alt="([^"]*)"', page)
    assert len(images) == page.count("<img") > 20
    assert all(len(words) > 20 for _, words in images)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    said = text_of(page)
    assert "Any size from" in said
    assert "wastes at most 10% of the compute (95% sure at either end)" in said
    assert "Extrapolation: 2.3 decades above the largest fitted run" in said
    assert "C = kND with k = 6" in said
    assert "total parameters" in said
    assert "central 90% credible interval" in said


def test_links_of_a_page_lead_somewhere_and_names_are_its_own(written):
    page = written.read_text("utf-8")
    names = re.findall(r' id="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(names)


def test_page_shows_little_before_it_is_unfolded_and_stays_small(written):
    page = written.read_text("utf-8")
    assert len(page) < 2e6
    folded = re.sub(r"<details.*?<summary>(.*?)</summary>.*?</details>", r"\1", page, flags=re.S)
    assert len(text_of(folded).split()) < 500
    assert len(text_of(page).split()) > 900


def test_sentences_of_a_page_are_short(written):
    page = written.read_text("utf-8")
    prose = re.findall(r"<p(?: [^>]*)?>(.*?)</p>|<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    said = [html.unescape(re.sub(r"<[^>]+>", "", one)) for pair in prose for one in pair]
    sentences = [one for text in said for one in re.split(r"(?<=[.!?:;])\s", text)]
    assert len(sentences) > 40
    assert [one for one in sentences if len(one.split()) > 25] == []


def test_names_of_checks_wrap_beside_their_badges_not_below_them(written):
    page = written.read_text("utf-8")
    assert '<span class="name">law along tokens per parameter</span></summary>' in page
    (width,) = re.findall(r"\.status \+ \.name {[^}]*max-width: calc\(100% - ([\d.]+)rem\)", page)
    (badge,) = re.findall(r"\.status {[^}]*min-width: ([\d.]+)rem", page)
    assert float(width) > float(badge) + 2 * 0.4 + 1.0  # its padding, and the mark that unfolds


def test_page_says_how_to_make_it_again(written):
    page = written.read_text("utf-8")
    said = html.unescape(page[page.index('id="reproduce"') :])
    assert COMMAND in said
    assert "seed 3" in said
    assert "pymc" in said
    assert "budget" in said  # the table, to copy


def test_checks_of_a_report_have_the_seed_of_its_fit(written, small_fit):
    summary = json.loads((written.parent / "summary.json").read_text())
    found = [check["statistic"] for check in summary["checks"]]
    same, other = (
        [
            check["statistic"]
            for check in answer_checks(check_fit(small_fit, seed=seed)).numbers["checks"]
        ]
        for seed in (3, 1)
    )
    assert found == same
    assert found != other


def test_summary_follows_its_schema(written, small_fit):
    summary = json.loads((written.parent / "summary.json").read_text())
    assert summary["schema"] == SCHEMA
    assert {tuple(check) for check in summary["checks"]} == {
        ("name", "status", "statistic", "threshold", "message", "advice")
    }
    assert {check["status"] for check in summary["checks"]} == {"PASS"}
    assert summary["checks"][0]["name"] == "convergence"
    assert summary["checks"][0]["threshold"] is None  # no NaN in JSON
    assert (summary["model"], summary["law"]) == ("chinchilla", "chinchilla")
    assert summary["runs"] == {"rows": 30, "source": "a table in memory", "sha256": ""}
    assert set(summary["parameters"]) == {"E", "A", "B", "alpha", "beta", "sigma", "nu"}
    for entry in summary["parameters"].values():
        assert set(entry) == {"median", "q05", "q95", "mean", "sd", "r_hat", "ess_bulk"}
        assert entry["q05"] < entry["median"] < entry["q95"]
    [optimum] = summary["optima"]
    assert optimum["flops"] == 5.76e23
    for name in ("params", "tokens", "tokens_per_param", "loss"):
        assert optimum[name]["q05"] < optimum[name]["median"] < optimum[name]["q95"]
    assert summary["diagnostics"]["converged"] is True
    assert summary["diagnostics"]["divergences"] == 0
    assert summary["diagnostics"]["seconds_sample"] > 0


def test_fit_beside_the_page_loads(written, small_fit):
    assert load_fit(written.parent / "fit.nc").spec == small_fit.spec


@pytest.mark.slow
def test_unconverged_fit_opens_with_a_warning(small_fit, tmp_path):
    tree = small_fit.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][0, :7] = True
    page = write_report(replace(small_fit, tree=tree), tmp_path).read_text("utf-8")
    assert page.index("7 divergent transitions") < page.index('id="answer"')
    assert json.loads((tmp_path / "summary.json").read_text())["diagnostics"]["converged"] is False


def test_default_budgets_are_the_largest_run_and_ten_times_it(small_fit):
    assert default_budgets(small_fit) == pytest.approx((3e21, 3e22))


@pytest.mark.slow
def test_single_axis_report_predicts(tmp_path):
    best = read_runs(simulated_table()).table.groupby(simulated_table().index % 5)["loss"].idxmin()
    table = simulated_table().loc[best]
    with pytest.warns(RunsWarning, match="few runs"):
        fitted = fit(read_runs(table), "power-law", draws=500, tune=500, progress=False)
    page = write_report(fitted, tmp_path).read_text("utf-8")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["optima"] == []
    assert [entry["decades_beyond"] for entry in summary["predictions"]] == pytest.approx([0, 1])
    assert '<td data-title="compute"><div><span>3e22 FLOPs' in page
    assert "At 3e22 flops: loss" in page


@pytest.mark.slow
def test_every_figure_has_a_caption(small_fit):
    beside = Companions(checks=tuple(check_fit(small_fit)))
    for section in sections(small_fit, [1e23], beside):
        assert section.figure is None or section.caption


@pytest.mark.slow
def test_checks_come_first_the_worst_on_top_and_what_passed_is_folded(small_fit, tmp_path):
    runs = replace(
        small_fit.runs,
        table=small_fit.runs.table.assign(
            loss=lambda t: t["loss"] * (t["tokens"] / t["tokens"].median()) ** 0.01
        ),
        notices=(doubt("duplicated runs", "rows 1, 2 agree", "Leave it out."),),
    )
    page = write_report(replace(small_fit, runs=runs), tmp_path).read_text("utf-8")
    answer, fail, review, passed, picture = (
        page.index(text)
        for text in (
            'id="answer"',
            '<span class="status FAIL">FAIL</span>',
            '<span class="status REVIEW">REVIEW</span>',
            '<span class="status PASS">PASS</span>',
            'id="detail"',
        )
    )
    assert answer < fail < review < passed < picture
    assert page[: page.index(">FAIL</span>")].rstrip('"').count("<details open>") == 1
    assert "law along tokens" in page[fail:review]
    assert page.count("rows 1, 2 agree") == 1  # said once


@pytest.mark.slow
def test_held_out_runs_are_a_check(small_fit, tmp_path):
    held = read_runs(simulated_table(seed=9))
    wrong = replace(held, table=held.table.assign(loss=held.table["loss"] * 1.1))
    write_report(small_fit, tmp_path, held_out=wrong)
    checks = json.loads((tmp_path / "summary.json").read_text())["checks"]
    assert {check["name"]: check["status"] for check in checks}["held-out runs"] == "FAIL"


def test_summary_of_notices(small_fit):
    assert answer_fit(small_fit, [1e22]).numbers["notices"] == []
    notice = doubt("duplicated runs", "rows 1, 2 agree", "Leave it out.", [0, 1])
    twice = replace(small_fit, runs=replace(small_fit.runs, notices=(notice,)))
    assert answer_fit(twice, [1e22]).numbers["notices"] == [
        {
            "name": "duplicated runs",
            "message": "rows 1, 2 agree",
            "advice": "Leave it out.",
            "rows": [0, 1],
        }
    ]


def test_folder_that_is_a_file_is_refused(small_fit, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BayescaleError, match="out cannot be made a folder"):
        write_report(small_fit, tmp_path / "out")


@pytest.mark.slow
def test_runs_held_back_are_scored_and_shown(runs, tmp_path):
    kept, held = runs.hold_out("flops > 2e21")
    fitted = fit(kept, "chinchilla", progress=False)
    page = write_report(fitted, tmp_path, held_out=held).read_text("utf-8")
    scores = json.loads((tmp_path / "summary.json").read_text())["held_out"]
    assert scores["runs"] == len(held) == len(scores["rows"]) == 6
    assert scores["coverage"] >= 0.6  # the law is true here
    assert scores["rmsle"] < 0.02
    assert "Held back: the runs with flops &gt; 2e21." in page
    assert "The law fails" not in page
    wrong = replace(held, table=held.table.assign(loss=held.table["loss"] * 1.1))
    failed = answer_fit(fitted, [1e22], Companions(wrong))
    assert failed.numbers["held_out"]["inside"] == 0
    assert "The law fails on them" in failed.sentences[0]


def test_basin_that_no_draw_agrees_on_is_said(runs):
    wide = known_fit(spread=0.2)
    answer = answer_optima(wide, [1e23])
    surest = answer.numbers["optima"][0]["basin"][-1]["surest"]
    low, high = basin(wide, 1e23, excess=0.1).squeeze().transpose("bound", ...)
    for factor in (0.5, 0.8, 1.0, 1.25, 2.0):
        size = factor * surest["params"]
        share = float(((low <= size) & (size <= high)).mean())
        assert share == surest["probability"] if factor == 1 else share < surest["probability"]
    said = f"the surest, {count(surest['params'])}, does with {surest['probability']:.0%}."
    assert "No size wastes less than 10% of the compute with 95% probability" in answer.sentences[0]
    assert said in answer.sentences[0]


def test_failed_checks_are_said_first(small_fit):
    checks = tuple(
        Check(name, status, "found", statistic=0.0, threshold=0.0)
        for name, status in (("law along tokens", Status.FAIL), ("convergence", Status.PASS))
    )
    first, *others = answer_fit(small_fit, [1e22], Companions(checks=checks)).sentences
    assert first.startswith("1 check FAILs: law along tokens.")
    assert "take the model for true" in first
    passed = answer_fit(small_fit, [1e22], Companions(checks=checks[1:]))
    assert list(passed.sentences) == others


def test_a_bend_is_said_to_be_backtested_only_where_it_was(small_fit, monkeypatch):
    monkeypatch.setattr(Fit, "bends", property(lambda _: True))
    monkeypatch.setattr(record, "answer_backtest", lambda _: Answer(None, {}, ("Backtested.",)))
    checks = (Check("law along tokens", Status.FAIL, "found"),)
    (alone, *_), (tested, *_) = (
        answer_fit(small_fit, (), Companions(checks=checks, backtest=past)).sentences
        for past in (None, SimpleNamespace(farthest=1.0))
    )
    assert alone.endswith("allows for smooth errors of it; no backtest says how far out.")
    assert tested.endswith("allows for smooth errors of it as far out as it was backtested.")


def test_a_report_that_fails_leaves_the_old_one_whole(small_fit, tmp_path, monkeypatch):
    names = ("fit.nc", "report.html", "summary.json")
    for name in names:
        (tmp_path / name).write_text("old")

    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "decision_pictures", stopped)
    monkeypatch.setattr(write, "exact_fit", lambda fit: None)
    monkeypatch.setattr(write, "check_fit", lambda fit, seed: [])
    with pytest.raises(KeyboardInterrupt):
        write_report(small_fit, tmp_path, flops=[1e21])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        names, "old"
    )
    with pytest.raises(KeyboardInterrupt):
        write_report(small_fit, tmp_path / "new", flops=[1e21])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["fit.nc"]
