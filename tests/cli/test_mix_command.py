"""Mixtures from the shell: what is asked, and what is refused before the long work."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import simulated_mixtures

import bayescale as bs
from bayescale.evaluation.composition import Composition

PARTS = ("web", "code", "books")


def of_scales(number=8, leaning=0.0):
    """Mixtures at three sizes and two numbers of tokens; code in the data steepens both powers."""
    rng, rows = np.random.default_rng(1), []
    for shares in rng.dirichlet([1.0, 1.0, 1.0], number):
        for params in (5e7, 2e8, 8e8):
            for tokens in (2e9, 3e10):
                lean = np.exp(leaning * (shares[1] - 1 / 3))
                finite = 0.5 * (params / 2e8) ** (-0.35 * lean)
                finite += 0.4 * (tokens / 8e9) ** (-0.4 * lean)
                loss = 1.8 + finite + 0.1 / (shares[0] + 0.2) + 0.004 * rng.standard_normal()
                row = {"params": params, "tokens": tokens, "loss_text": loss}
                rows.append(row | {f"w_{p}": h for p, h in zip(PARTS, shares, strict=True)})
    return pd.DataFrame(rows)


@pytest.fixture
def compared(monkeypatch):
    """What is compared has constants in place of draws; models that were fitted are named."""
    asked = []

    def sample(runs, spec, seed, **_):
        asked.append(spec.name)
        return bs.constants_fit("chinchilla", E=1.7, A=400, B=410, alpha=0.34, beta=0.28)

    def composition(own, **_):
        one = xr.DataArray(np.full((1, 4), 1.1), dims=("chain", "draw"))
        factors = xr.Dataset({"alpha": one, "beta": one})
        return Composition(own, own, 1.0, 3.0, 0.0, factors)

    monkeypatch.setattr("bayescale.cli.mix.sample", sample)
    monkeypatch.setattr("bayescale.evaluation.composition.composition", composition)
    return asked


def test_composition_is_asked_without_a_planned_run(run, compared, tmp_path):
    of_scales().to_csv(tmp_path / "scales.csv", index=False)
    code, out, err = run("mix", "scales.csv", "--composition")
    assert code == 0, err
    assert out.startswith("Composition moves amplitudes, not exponents")
    assert compared == ["mixture-joint"]
    found = json.loads(run("mix", "scales.csv", "--composition", "--json")[1])
    assert found["composition"]["elpd_difference"] == 1.0


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (simulated_mixtures, [], "one size and number of tokens"),
        (of_scales, ["--params", "1e9"], "leave out the plan"),
        (of_scales, ["--plots", "made"], "leave out the plan"),
    ],
)
def test_composition_is_refused_before_the_long_work(run, compared, tmp_path, table, options, said):
    table().to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run("mix", "runs.csv", "--composition", *options)
    assert code == 2
    assert said in err
    assert compared == []


@pytest.mark.parametrize(
    ("targets", "model"), [("loss_*", "mixture-hierarchical"), ("loss_code", "mixture")]
)
def test_losses_of_one_target_are_not_pooled(run, compared, tmp_path, targets, model):
    simulated_mixtures().to_csv(tmp_path / "runs.csv", index=False)
    run("mix", "runs.csv", "--targets", targets, "--importance", "code=2")
    assert compared == [model]


@pytest.mark.slow
def test_composition_of_simulated_runs_from_the_shell(run, tmp_path):
    """Of exponents that move; that others are not found is asked in `test_composition.py`."""
    of_scales(number=6, leaning=1.5).to_csv(tmp_path / "scales.csv", index=False)
    few = ("--draws", "60", "--tune", "60", "--allow-unconverged")
    code, out, err = run("mix", "scales.csv", "--composition", *few, "--json")
    assert code == 0, err
    found = json.loads(out)["composition"]
    assert found["moves_exponents"] is True
    assert found["factors"]["all"]["alpha"]["median"] > 1.3
