"""What planned runs would score, from the shell."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, known_fit, known_task_fit

from bayescale import constants_fit, load_model


@pytest.fixture(scope="module")
def fit_file(tmp_path_factory):
    return known_task_fit().save(tmp_path_factory.mktemp("fits") / "tasks.nc")


def test_planned_runs_from_the_shell(run, fit_file):
    code, out, err = run(
        "targets", fit_file, "--params", "7e9", "--tokens", "1e12,2e12", "--above", "hard=0.5",
        "--suite", "easy=3,hard=1", "--reach", "0.7", "--gain", "0.02",
    )  # fmt: skip
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("7B on 1T, 4.2e22 FLOPs. Weighted mean of 2 tasks: ")
    assert any(line.startswith("By the weighted mean of 2 tasks 7B on 2T beats") for line in lines)
    assert any(line.startswith("easy: ") and "FLOPs reach 70.0%" in line for line in lines)
    assert any(line.startswith("hard: ") and "above 50.0% with" in line for line in lines)
    assert lines[-1] == "Medians with central 90% credible intervals in brackets."


def test_json_and_pictures(run, fit_file, tmp_path):
    pd.DataFrame({"plan": ["a"], "params": [3e9], "tokens": [6e10]}).to_csv("plans.csv")
    code, out, err = run(
        "targets", fit_file, "--plans", "plans.csv", "--above", "0.5", "--reach", "suite=0.7",
        "--gain", "0.02", "--plots", tmp_path / "made", "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert (code, err) == (0, f"figures: {tmp_path / 'made'}\n")
    (plan,) = found["plans"]
    middle = [one["accuracy"]["median"] for one in plan["tasks"]]
    assert plan["suite"]["accuracy"]["median"] == pytest.approx(np.mean(middle), abs=1e-3)
    assert [one["above"]["accuracy"] for one in plan["tasks"]] == [0.5, 0.5]
    (entry,) = found["reach"]
    assert (entry["task"], entry["accuracy"]) == (None, 0.7)
    assert entry["ratio"] == pytest.approx(entry["tokens"] / entry["params"])
    assert {path.name for path in (tmp_path / "made").iterdir()} == {
        *("targets.png", "predicted.png", "easy.png", "hard.png")
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "ask something"),
        (["--params", "7e9"], "give --params and --tokens"),
        (["--params", "7e9,1e9", "--tokens", "1,2,3"], "2 --params and 3 --tokens"),
        (["--params", "7e9", "--tokens", "1e12", "--plans", "fit.csv"], "leave out --params"),
        (["--reach", "x"], "--reach: 'x' is not a number"),
        (["--reach", "esay=0.5"], "did you mean 'easy'"),
        (["--reach", "0.5", "--suite", "2"], "write weights by task"),
    ],
)
def test_refusals(run, fit_file, options, said):
    pd.DataFrame({"params": [3e9], "tokens": [6e10]}).to_csv("fit.csv", index=False)
    code, _, err = run("targets", fit_file, *options)
    assert code == 2
    assert said in err


def test_a_fit_of_the_loss_needs_a_link(run):
    known_fit(20).save("loss.nc")
    code, _, err = run("targets", "loss.nc", "--params", "7e9", "--tokens", "1e12")
    assert (code, "with --link" in err) == (2, True)


def test_a_loss_and_a_link_answer_together(run):
    source = load_model("loss-to-accuracy").source.replace("bpb", "loss")
    Path("link.toml").write_text(f"{source}\n[response]\nchance = 0.25")
    constants_fit("link.toml", k=6.0, x0=2.2, luck=1.0).save("link.nc")
    known_fit(50).save("loss.nc")
    ask = ("--params", "7e9", "--tokens", "1e12", "--reach", "0.6", "--json")
    code, out, err = run("targets", "loss.nc", "--link", "link.nc", *ask)
    assert (code, err) == (0, "")
    found = json.loads(out)
    loss = TRUTH["E"] + TRUTH["A"] * 7e9 ** -TRUTH["alpha"] + TRUTH["B"] * 1e12 ** -TRUTH["beta"]
    known = (1 + np.exp(-6.0 * 2.2)) / (1 + np.exp(6.0 * (loss - 2.2)))
    least = 1 / (1 + 1 / (1 / 3 + 0.003))  # what guessing gets right at a chance of 1/4
    (task,) = found["plans"][0]["tasks"]
    assert task["accuracy"]["median"] == pytest.approx(least + (1 - least) * known, abs=0.005)
    assert found["reach"][0]["flops"] < found["plans"][0]["flops"]
