"""Bits per weight from the shell, with hand-made posteriors."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayescale as bs

JOINT = "chinchilla: E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283"
PLAN = ("--joint", JOINT, "--memory", "40GB", "--tokens", "15T")
SLOPES = {"c": -14.0, "b": 1.386, "gamma_D": 0.5, "gamma_N": 0.3, "sigma": 0.2, "nu": 8.0}


@pytest.fixture
def quantised(monkeypatch, tmp_path):
    """A table of one model; fits of it are constants, and say which model was asked for."""
    asked = []

    def sample(runs, spec, seed, **_):
        asked.append(spec.name)
        own = bs.constants_fit("precision", **{n: v * np.ones(20) for n, v in SLOPES.items()})
        return replace(own, runs=runs)

    monkeypatch.setattr("bayescale.cli.precision.sample", sample)
    bits = np.array([16.0, 8.5, 6.6, 5.5, 4.8, 3.9, 3.2])
    added = np.where(bits > 10, 0.0, 40 * np.exp(-1.386 * bits))
    table = pd.DataFrame({"model": "a", "params": 7e9, "tokens": 2e12, "bits_per_weight": bits})
    table.assign(loss_increase=added).to_csv(tmp_path / "quantised.csv", index=False)
    return asked


def test_bits_from_the_shell(run, quantised, tmp_path):
    code, out, err = run("precision", "quantised.csv", *PLAN, "--bits", "3,4,8", "--plots", "made")
    assert code == 0, err
    assert out.startswith("In 40 GB of weights, trained with 15T tokens: ")
    assert "By the law 4 bits add" in out
    assert "row 1: nothing is added" in err  # the model as it was trained
    assert (tmp_path / "made" / "precision.png").is_file()
    assert quantised == ["precision"]


def test_bits_as_json_without_a_plan(run, quantised):
    code, out, err = run("precision", "quantised.csv", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["plan"] is None
    assert found["models"][0]["b"]["median"] == pytest.approx(1.386)


def test_a_plan_as_json(run, quantised):
    given = ("--joint", JOINT, "--memory", "24GiB", "--flops", "1e24")
    code, out, err = run("precision", "quantised.csv", *given, "--json")
    assert code == 0, err
    plan = json.loads(out)["plan"]
    assert plan["memory"] == 24 * 2**30
    assert sum(own["p_best"] for own in plan["formats"]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PLAN[:2], "a plan needs a joint law, a memory, and the compute or the tokens"),
        ((*PLAN, "--flops", "1e24"), "a plan needs"),
        ((*PLAN[:2], "--memory", "much", "--tokens", "1e12"), "write 40GB or 24GiB"),
        (("--by", "method"), "the table has no column 'method'"),
        (("--bits", "0"), "bits must be positive"),
    ],
)
def test_bits_that_are_refused(run, quantised, options, said):
    code, _, err = run("precision", "quantised.csv", *options)
    assert code == 2
    assert said in err
