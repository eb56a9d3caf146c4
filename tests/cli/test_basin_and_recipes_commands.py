"""Basins and recipes from the shell, with hand-made posteriors."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import known_recipes, simulated_recipes, simulated_shapes

import bayescale as bs

CONSTANTS = {
    **{"E": 1.8, "A": 60.0, "B": 900.0, "alpha": 0.24, "beta": 0.3, "sigma": 0.002, "nu": 5.0},
    **{"G": 40 * 4e8**0.1, "K": 0.01, "eta": -0.1, "kappa": 0.0, "asymmetry": 0.1},
}


@pytest.fixture
def shapes(monkeypatch, tmp_path):
    """A table of shapes; fits of it are constants, and say which model was asked for."""
    asked = []

    def sample(runs, spec, seed, **_):
        asked.append(spec)
        own = bs.constants_fit("shape-basin", **{n: v * np.ones(20) for n, v in CONSTANTS.items()})
        return replace(own, runs=runs, spec=own.spec.along_axes(*spec.axes))

    monkeypatch.setattr("bayescale.cli.basin.sample", sample)
    simulated_shapes().to_csv(tmp_path / "shapes.csv", index=False)
    return asked


def test_basins_from_the_shell(run, shapes, tmp_path):
    code, out, err = run(
        "basin", "shapes.csv", "--knob", "aspect_ratio", "--params", "400M,1B", "--within", "1%",
        "--planned", "64", "--mid-schedule", "keep", "--params-are", "total", "--plots", "made",
    )  # fmt: skip
    assert code == 0, err
    assert out.startswith("At 400M parameters the best aspect ratio is 40.0; within 1% of the loss")
    assert "aspect ratio 64.0 costs" in out
    assert "N counts: total." in out
    assert err == "figures: made\n"
    assert (tmp_path / "made" / "basin.png").is_file()
    (spec,) = shapes
    assert (spec.name, spec.group, spec.axis) == ("shape-basin-hierarchical", "run", "aspect_ratio")


def test_basins_as_json_of_independent_rows(run, shapes):
    last = simulated_shapes().groupby("run").last().reset_index()
    last.rename(columns={"aspect_ratio": "heads"}).to_csv("last.csv", index=False)
    code, out, err = run("basin", "last.csv", "--knob", "heads", "--params", "4e8", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [own["excess"] for own in found["basins"][0]["within"]] == [0.005, 0.01]
    assert (shapes[0].name, shapes[0].axis) == ("shape-basin", "heads")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--knob", "aspect_ratio", "--within", "much"], "--within: 'much' is no share; write 1%"),
        (["--knob", "aspect_ratio", "--within", "1"], "write 1% as 0.01"),
        (["--knob", "loss"], "the law shape_basin reads one axis"),
        (["--knob", "aspect_ratio", "--group", "shape"], "shape"),
    ],
)
def test_basins_that_are_refused(run, shapes, options, said):
    code, _, err = run("basin", "shapes.csv", "--params", "4e8", "--mid-schedule", "keep", *options)
    assert code == 2
    assert said in err


@pytest.fixture
def optimizers(monkeypatch, tmp_path):
    table = simulated_recipes({"base": 2, "fast": 30, "slow": 2})
    table.to_csv(tmp_path / "optimizers.csv", index=False)
    monkeypatch.setattr(
        "bayescale.posterior.recipes.fit_recipes", lambda runs, by, baseline, **_: known_recipes()
    )


def test_recipes_from_the_shell(run, optimizers, tmp_path):
    code, out, err = run(
        "recipes", "optimizers.csv", "--by", "optimizer", "--baseline", "base",
        "--params", "8e8", "--tokens", "1e11", "--per-hour", "2", "--plots", "made",
    )  # fmt: skip
    assert (code, err) == (0, "figures: made\n")
    assert out.startswith("A token with fast is worth so many of base: 1.39")
    assert " of the tokens there, $" in out
    assert (tmp_path / "made" / "recipes.png").is_file()


def test_recipes_as_json(run, optimizers):
    code, out, _ = run(
        "recipes", "optimizers.csv", "--by", "optimizer", "--baseline", "base", "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert [own["recipe"] for own in found["recipes"]] == ["fast", "slow"]
    assert found["recipes"][0]["sizes"][0]["saved_cost"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--per-hour", "-2"], "positive"),
        (["--size", "N"], "the table lacks a column 'N'"),
        (["--least-of", "loss,best"], "the table lacks a column 'best'"),
    ],
)
def test_recipes_that_are_refused(run, optimizers, options, said):
    code, _, err = run(
        "recipes", "optimizers.csv", "--by", "optimizer", "--baseline", "base", *options
    )
    assert code == 2
    assert said in err


def test_recipes_need_a_table_that_is_there(run):
    code, _, err = run("recipes", "none.csv", "--by", "optimizer", "--baseline", "base")
    assert (code, "none.csv" in err) == (2, True)
    pd.DataFrame({"optimizer": ["a"], "params": [1e8]}).to_csv("odd.csv", index=False)
    assert run("recipes", "odd.csv", "--by", "optimizer", "--baseline", "a")[0] == 2
