"""How long commands sample: the same two options wherever a table is fitted."""

import inspect

import pytest
import typer
from conftest import (
    known_fit,
    simulated_experts,
    simulated_formats,
    simulated_mixtures,
    simulated_recipes,
    simulated_settings,
    simulated_shapes,
    simulated_steps,
    simulated_table,
    sweep_table,
)

import bayescale as bs
from bayescale.cli import app, mix, tune
from bayescale.errors import BayescaleError

ASKED = ("--draws", "70", "--tune", "60")
ALL = ("--mid-schedule", "keep")
FITTED = {
    "fit": (simulated_table, ()),
    "report": (simulated_table, ()),
    "check": (simulated_table, ()),
    "compare": (simulated_table, ("--models", "chinchilla,kaplan")),
    "backtest": (simulated_table, ("--model", "chinchilla")),
    "tune": (simulated_settings, ("--knobs", "learning_rate,batch_size_tokens")),
    "transfer": (lambda: sweep_table({128: 4e-3, 256: 4e-3}), ()),
    "basin": (simulated_shapes, ("--knob", "aspect_ratio", "--params", "1e9", *ALL)),
    "precision": (simulated_formats, ()),
    "recipes": (simulated_recipes, ("--by", "optimizer", "--baseline", "base")),
    "experts": (simulated_experts, ("--flops", "1e22")),
    "mix": (simulated_mixtures, ("--importance", "code=2")),
    "critical-batch": (simulated_steps, ()),
}
"""Commands that sample a table, each with one, and what it needs."""


@pytest.fixture
def sampled(monkeypatch):
    """The arguments of what would sample; it stops there."""
    seen = []

    def stop(*_, **given):
        seen.append((given["draws"], given["tune"]))
        raise BayescaleError("stopped")

    for name in ("posterior.fitting.fit", "decisions.tune.fit", "decisions.transfer.fit"):
        monkeypatch.setattr(f"bayescale.{name}", stop)
    monkeypatch.setattr("bayescale.posterior.recipes.fit_recipes", stop)
    monkeypatch.setattr("bayescale.evaluation.backtest.backtest", stop)
    return seen


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
def test_a_command_samples_as_long_as_it_is_told(run, sampled, tmp_path, name):
    table, options = FITTED[name]
    table().to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run(name, "runs.csv", *options, *ASKED)
    assert (code, sampled[:1]) == (2, [(70, 60)]), err


def test_all_commands_that_sample_are_told_in_the_same_words():
    commands = typer.main.get_command(app).commands
    have = {
        name: tuple(own.help for own in one.params if {"--draws", "--tune"} & {*own.opts})
        for name, one in commands.items()
    }
    assert {name for name, said in have.items() if said} == FITTED.keys()
    words = {said for said in have.values() if said}
    assert words == {("Draws kept of each chain.", "Draws that tune each chain.")}


def test_defaults_are_those_of_the_library():
    of_library = inspect.signature(bs.fit_tuning).parameters
    of_command = inspect.signature(tune.tune).parameters
    for name in ("draws", "tune"):
        assert of_command[name].default == of_library[name].default


def test_a_fit_is_not_sampled_again(run, tmp_path):
    known_fit().save(tmp_path / "fit.nc")
    simulated_mixtures().to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run("tune", "fit.nc", "--draws", "70")
    assert (code, "fit.nc is a fit already, and is not sampled" in err) == (2, True)
    kept = ("mix", "runs.csv", "--importance", "code=2", "--keep", "fit.nc")
    code, _, err = run(*kept, "--tune", str(mix._DRAWS + 1))
    assert (code, "--keep fit.nc: the fit is there" in err) == (2, True)
