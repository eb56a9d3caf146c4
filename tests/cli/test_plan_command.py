"""Decisions from the shell."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import xarray as xr
from conftest import known_grouped_fit

SARDANA = "chinchilla: E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283"
REPEATED = "data-constrained: E=1.8, A=400, B=1500, alpha=0.34, beta=0.36, R_D=15, R_N=5, r_N=-0.3"


@pytest.fixture(scope="module")
def fit_file(small_fit, tmp_path_factory):
    return str(small_fit.save(tmp_path_factory.mktemp("fits") / "fit.nc"))


def test_published_constants(run):
    code, out, _ = run(
        "plan", SARDANA, "overtraining", "--params", "13e9", "--inference-tokens", "2e12"
    )
    assert code == 0
    assert "6.97B parameters on 1.25T tokens" in out
    assert "saves 17.4%" in out
    assert "13.0B parameters, costs" in out


def test_json_has_the_numbers_of_the_sentences(run, fit_file, tmp_path):
    picture = tmp_path / "serving.png"
    code, out, _ = run(
        "plan", fit_file, "overtraining", "--flops", "1e23", "--inference-tokens", "1e12",
        "--inference-tokens", "1e13", "--size", "5e9", "--size", "2e10", "--per-hour", "2",
        "--plot", str(picture), "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert found["unit"] == "$"
    assert [entry["inference_tokens"] for entry in found["overtraining"]] == [1e12, 1e13]
    first = found["overtraining"][0]
    assert first["params"]["q05"] < first["params"]["median"] < first["params"]["q95"]
    assert [size["params"] for size in first["sizes"]] == [5e9, 2e10]
    assert found["break_even"][0]["larger"] == 2e10
    *served, smaller, larger = found["sentences"][:4]
    assert all(line.startswith("To serve 1") and "5B" not in line for line in served)
    assert smaller.startswith("To serve 1T tokens: 5B parameters need ")
    assert larger.startswith("To serve 1T tokens: 20B parameters need ")
    assert len(found["sentences"]) == 9
    assert found["sentences"][-2].startswith("Extrapolation: ")
    assert found["sentences"][-1].startswith("Prices: 1e21 FLOPs of training cost $1.40k")
    assert picture.stat().st_size > 10_000


@pytest.mark.slow
def test_signs_of_what_is_saved_survive_the_sentence(run, fit_file):
    ask = ("plan", fit_file, "overtraining", "--flops", "1e23", "--inference-tokens", "1e13")
    free = json.loads(run(*ask, "--json")[1])["overtraining"][0]["tokens"]["median"]
    signs = set()
    for share in (0.6, 0.45, 0.3, 0.25, 0.2):
        capped = (*ask, "--max-tokens", str(share * free))
        saved = json.loads(run(*capped, "--json")[1])["overtraining"][0]["saved"]
        said = run(*capped)[1]
        low, high = saved["q05"], saved["q95"]
        if saved["median"] >= 0:
            assert f"({low:.1%} to {high:.1%}) of what" in said
        else:
            assert f"({-high:.1%} to {-low:.1%}) more than what" in said
        signs.add(saved["median"] >= 0)
    assert signs == {True, False}


def test_what_no_size_reaches_is_said(run, fit_file):
    ask = ("plan", fit_file, "overtraining", "--inference-tokens", "1e12", "--size", "1e9")
    _, out, _ = run(*ask, "--size", "2e9", "--size", "2e9", "--loss", "1.0")
    assert "No model reaches a loss of 1.00" in out
    assert "Neither 1B nor 2B parameters reach the loss with probability more than 99%" in out


def test_plans(run, fit_file, tmp_path):
    table = tmp_path / "plans.csv"
    pd.DataFrame({"params": [5e9, 2e10], "tokens": [2e12, 5e11]}).to_csv(table, index=False)
    code, out, _ = run("plan", fit_file, "plans", str(table), "--json")
    found = json.loads(out)
    assert code == 0
    assert sum(entry["p_best"] for entry in found["plans"]) == pytest.approx(1)
    assert found["choice"] in {"5B on 2T", "20B on 500B"}
    code, out, _ = run("plan", fit_file, "plans", str(table), "--plot", str(tmp_path / "plans.svg"))
    assert code == 0
    assert "Expected regret" in out


def test_next_runs(run, fit_file, tmp_path):
    ask = ("plan", fit_file, "next-runs", "--flops", "1e23", "--max-flops", "1e22")
    code, out, _ = run(*ask, "--plot", str(tmp_path / "next.png"))
    assert code == 0
    assert "To make log N* at 1e23 FLOPs surer, run" in out
    assert "one more isoFLOP" in out
    code, out, _ = run(*ask, "--runs", "2", "--json")
    found = json.loads(out)
    assert len(found["next_runs"]) == 2
    assert 0 < found["expected_sd"] < found["sd"]


def test_repetition(run, tmp_path):
    ask = ("plan", REPEATED, "repetition", "--unique-tokens", "1e10", "--flops", "1e22")
    code, out, _ = run(*ask, "--plot", str(tmp_path / "wall.png"))
    assert code == 0
    assert "With 10B unique tokens and 1e22 FLOPs" in out
    code, out, _ = run(*ask, "--quality", "0.5", "--json")
    (entry,) = json.loads(out)["repetition"]
    assert entry["epochs"]["median"] > 1
    assert 0 <= entry["next_epoch"]["harm"] <= 1
    assert [at["quality"] for at in entry["repeat_until"]] == [0.5]


@pytest.fixture(scope="module")
def grouped_file(tmp_path_factory):
    own = known_grouped_fit(a={}, b={"E": 1.9})
    return str(own.save(tmp_path_factory.mktemp("fits") / "grouped.nc"))


def test_which_group_is_better_at_a_budget(run, grouped_file):
    ask = ("plan", grouped_file, "multiplier", "--group", "a", "--reference", "b")
    code, out, _ = run(*ask, "--same-validation", "--flops", "1e22,1e24")
    assert code == 0
    assert out.startswith("At 1e22 FLOPs a is better, with probability ")
    assert "\nAt 1e24 FLOPs a is better" in out
    found = json.loads(run(*ask, "--same-validation", "--flops", "1e22", "--json")[1])
    assert found["budgets"][0]["p_better"] == 1
    code, _, err = run(*ask, "--flops", "1e22")  # whose losses cannot be compared
    assert code == 2
    assert "validation" in err


def test_options_may_stand_before_and_after_the_question(run, grouped_file):
    ask = ("--reference", "b", "--same-validation")
    after = run("plan", grouped_file, "multiplier", "--group", "a", *ask)
    assert after[0] == 0
    assert "a needs" in after[1]
    for before in ((grouped_file, "--group", "a"), ("--group", "a", grouped_file)):
        assert run("plan", *before, "multiplier", *ask) == after
    serve = ("overtraining", "--flops", "1e21", "--inference-tokens", "1e12", "--json")
    of_a, of_b = (run("plan", grouped_file, *serve, "--group", name)[1] for name in "ab")
    assert of_a != of_b
    assert of_b == run("plan", grouped_file, "--group", "b", *serve)[1]


def test_without_a_question_all_are_named(run):
    code, out, err = run("plan", "fit.nc", "overtrain")
    assert (code, out) == (2, "")
    assert "name a question: overtraining, repetition, plans, next-runs, multiplier" in err
    code, out, _ = run("plan", "fit.nc", "--help")
    assert (code, "FIT QUESTION" in out) == (0, True)


ASKED = {
    "optima": ("optima", "{fit}", "--flops", "1e23"),
    "overtraining": (
        *("plan", "{fit}", "overtraining", "--flops", "1e23", "--inference-tokens", "1e12"),
    ),
    "plans": ("plan", "{fit}", "plans", "{plans}"),
    "next-runs": ("plan", "{fit}", "next-runs", "--flops", "1e23", "--max-flops", "1e22"),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_an_unconverged_fit_says_so_before_its_numbers(run, small_fit, tmp_path, ask):
    plans, mixed = tmp_path / "plans.csv", small_fit.save(tmp_path / "mixed.nc")
    plans.write_text("params,tokens\n5e9,2e12\n2e10,5e11\n")
    tree = small_fit.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][0, :7] = True
    broken = replace(small_fit, tree=tree).save(tmp_path / "broken.nc")

    def call(fit, *options):
        return run(*(part.format(fit=fit, plans=plans) for part in ask), *options)

    problem = "chinchilla: 7 divergent transitions: part of the posterior was missed"
    code, out, err = call(broken)
    assert code == 1
    assert out.startswith(f"not converged, do not use these numbers: {problem}\n")
    assert err == ""
    code, out, _ = call(broken, "--allow-unconverged")
    assert (code, out.startswith("not converged")) == (0, True)
    code, out, _ = call(broken, "--json")
    found = json.loads(out)
    assert (code, found["converged"], found["problems"]) == (1, False, [problem])
    code, out, err = call(mixed)  # the control
    assert (code, err, "not converged" in out) == (0, "", False)
    found = json.loads(call(mixed, "--json")[1])
    assert (found["converged"], found["problems"]) == (True, [])


def test_a_group_does_not_hide_that_the_whole_fit_did_not_converge(run, small_fit, tmp_path):
    whole = known_grouped_fit(a={}, b={"E": 1.9})
    stats = small_fit.tree["sample_stats"].to_dataset().isel(chain=[0], draw=slice(400))
    tree = whole.tree.copy()
    tree["sample_stats"] = stats.drop_vars(("chain", "draw"))
    apart = tree["posterior"].to_dataset()
    apart["alpha"] = apart["alpha"] + xr.where(
        (apart["group"] == "b") & (apart["draw"] < 200), 0.01, 0.0
    )
    tree["posterior"] = apart
    tree.attrs = small_fit.tree.attrs | tree.attrs
    for node in ("prior", "observed_data"):
        tree[node] = small_fit.tree[node].to_dataset()
    path = replace(whole, tree=tree).save(tmp_path / "grouped.nc")
    serve = ("overtraining", "--flops", "1e21", "--inference-tokens", "1e12", "--json")
    found = json.loads(run("plan", path, *serve, "--group", "a")[1])
    assert found["converged"] is False
    assert any("R-hat" in problem for problem in found["problems"]), found["problems"]


def test_constants_are_neither_converged_nor_not(run):
    _, out, _ = run(
        "plan", SARDANA, "overtraining", "--params", "13e9", "--inference-tokens", "2e12", "--json"
    )
    assert (json.loads(out)["converged"], json.loads(out)["problems"]) == (None, [])


def test_a_picture_goes_into_a_folder_that_is_made(run, tmp_path):
    ask = ("plan", SARDANA, "overtraining", "--params", "13e9", "--inference-tokens", "2e12")
    code, _, _ = run(*ask, "--plot", "no/such/serving.svg")
    assert (code, (tmp_path / "no" / "such" / "serving.svg").stat().st_size > 1000) == (0, True)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (("plan", "none.nc", "plans", "x.csv"), "none.nc: no such file"),
        (("plan", "chinchilla: E=a", "plans", "x.csv"), "'a' is not a number"),
        (("plan", SARDANA, "plans", "none.csv"), "no such file"),
        (("plan", SARDANA, "overtraining", "--inference-tokens", "1e12"), "name the target once"),
        (("plan", SARDANA, "next-runs", "--flops", "1e23", "--max-flops", "1e22"), "no noise"),
        (
            (
                *("plan", SARDANA, "overtraining", "--params", "1e9", "--inference-tokens", "1"),
                *("--serving-utilisation", "0.1"),
            ),
            "--serving-utilisation prices accelerators",
        ),
        (("plan", SARDANA, "multiplier", "--reference", "b"), "--group NAME"),
        (
            (
                *("plan", SARDANA, "overtraining", "--params", "1e9", "--inference-tokens", "1"),
                *("--plot", "serving.xlsx"),
            ),
            "serving.xlsx: end it with .png, .pdf or .svg",
        ),
        (
            (
                *("plan", SARDANA, "overtraining", "--params", "1e9", "--inference-tokens", "1"),
                *("--plot", "/"),
            ),
            "/ is a folder; name a file in it",
        ),
        (
            ("plan", SARDANA, "repetition", "--unique-tokens", "1e9", "--flops", "1e22"),
            "does not know repeated data",
        ),
    ],
)
def test_what_is_refused_is_one_line(run, ask, message):
    code, out, err = run(*ask)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_range_of_tokens_per_parameter_may_be_given(run, fit_file):
    ask = ("plan", fit_file, "next-runs", "--flops", "1e23", "--max-flops", "1e22", "--json")
    for options, most in (((), 321), (("--max-ratio", "30"), 30)):
        picks = json.loads(run(*ask, *options)[1])["next_runs"]
        assert max(pick["tokens"] / pick["params"] for pick in picks) < 1.01 * most
    ask = ("plan", fit_file, "overtraining", "--flops", "1e23", "--inference-tokens", "1e16")
    [found] = json.loads(run(*ask, "--max-ratio", "50", "--json")[1])["overtraining"]
    assert found["tokens_per_param"]["median"] == pytest.approx(50)
