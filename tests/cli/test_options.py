"""Options that several commands share."""

import inspect
import os
import re
import shlex
import subprocess
import sys
from typing import Annotated

import pytest
import typer
from conftest import simulated_table

from bayescale.cli import app
from bayescale.cli.options import AS_IT_IS, At, By, Flops, Reading, expanded
from bayescale.errors import BayescaleError

COMMANDS = typer.main.get_command(app).commands
LONG = {
    *("demo", "report", "fit", "batch", "check", "compare", "backtest", "curves", "forecast"),
    *("tune", "basin", "critical-batch", "recipes", "transfer", "experts", "precision", "mix"),
}


def test_commands_that_work_long_have_verbose():
    have = {
        name for name, one in COMMANDS.items() if any("--verbose" in own.opts for own in one.params)
    }
    assert have == LONG


def test_verbose_says_the_steps_and_stdout_stays_as_it_is(run, small_fit, monkeypatch):
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: small_fit)
    simulated_table().to_csv("runs.csv", index=False)
    code, out, err = run("fit", "runs.csv", "--model", "chinchilla", "--json")
    assert (code, err) == (0, "")
    code, same, err = run("fit", "runs.csv", "--model", "chinchilla", "--json", "--verbose")
    assert (code, same) == (0, out)
    steps = [re.fullmatch(r" +\d+\.\d s  (.*)", line)[1] for line in err.splitlines()]
    assert steps == ["reading", "loading", "fitting chinchilla", "summarising"]


def test_report_says_all_its_steps(run, small_fit, monkeypatch):
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: small_fit)
    monkeypatch.setattr("bayescale.report.write.sections", lambda *_: [])  # seconds of pictures
    simulated_table().to_csv("runs.csv", index=False)
    code, out, err = run(
        *("report", "runs.csv", "--model", "chinchilla", "--verbose", "--no-backtest"),
        *("--flops", "1e22"),
    )
    assert code == 0
    assert "\n\nMedians, each with its central 90% credible interval below it.\n" in out
    for step in ("report: checking", "report: summarising", "report: drawing", "report: writing"):
        assert f" s  {step}\n" in err


def called(command, *arguments):
    """Call a command with these arguments; return what it was given."""
    seen = {}
    own = typer.Typer()

    def kept(**given):
        seen.update(given)

    kept.__signature__, kept.__doc__ = inspect.signature(command, eval_str=True), ""
    own.command()(expanded(kept))
    own(list(arguments), standalone_mode=False)
    return seen


def lists(
    flops: Flops = None, at: At = None, by: By = None, reading: Reading = AS_IT_IS
) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--flops", "1e22,1e23"], "flops", [1e22, 1e23]),
        (["--flops", "1e22", "--flops", "1e23"], "flops", [1e22, 1e23]),
        (["--flops", "1e22,1e23", "--flops", "1e24"], "flops", [1e22, 1e23, 1e24]),
        (["--at", "1e12,experts=8", "--at", "1e13"], "at", ["1e12", "experts=8", "1e13"]),
        (["--by", "model,task"], "by", ["model", "task"]),
        (["--by", "loss, mean", "--by", "task"], "by", ["loss, mean", "task"]),
        ([], "flops", None),
    ],
)
def test_lists_by_comma_and_by_repetition(arguments, name, value):
    assert called(lists, *arguments)[name] == value


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--column", "params=N,loss=val_loss"], "column", ["params=N", "loss=val_loss"]),
        (["--column", "loss=loss, mean"], "column", ["loss=loss, mean"]),
        (["--unit", "params=1e9,tokens=1e9"], "unit", ["params=1e9", "tokens=1e9"]),
        (["--where", "a in (1,b==2)"], "where", ["a in (1,b==2)"]),
        (["--best-per", "params,tokens"], "best_per", ["params", "tokens"]),
        (["--best-per", "params", "--best-per", "tokens"], "best_per", ["params", "tokens"]),
    ],
)
def test_lists_of_reading(arguments, name, value):
    assert getattr(called(lists, *arguments)["reading"], name) == value


def test_numbers_may_be_written_as_in_tables():
    assert called(lists, "--flops", "1e22,7B")["flops"] == [1e22, 7e9]


def single(
    size: Annotated[float, typer.Option("--size")] = 4.0,
    cap: Annotated[float | None, typer.Option("--cap")] = None,
) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "size", "cap"),
    [([], 4.0, None), (["--size", "50B", "--cap", "0"], 5e10, 0.0), (["--cap", "1e9"], 4.0, 1e9)],
)
def test_single_numbers_too(arguments, size, cap):
    assert called(single, *arguments) == {"size": size, "cap": cap}


@pytest.mark.parametrize("text", ["50x", ""])
def test_what_is_no_single_number_names_the_option(text):
    with pytest.raises(BayescaleError, match=f"--cap: '{text}' is not a number"):
        called(single, "--cap", text)


def test_what_is_no_number_names_the_option():
    with pytest.raises(BayescaleError, match=r"--flops: '1x' is not a number; write one as 1e22"):
        called(lists, "--flops", "1e22,1x")


def test_models_by_comma_or_repetition(run):
    simulated_table().to_csv("runs.csv", index=False)
    for given in (["--models", "kaplan,nosuch"], ["--models", "kaplan", "--models", "nosuch"]):
        code, _, err = run("compare", "runs.csv", *given)
        assert (code, "nosuch" in err) == (2, True)
    code, _, err = run("compare", "runs.csv", "--models", "kaplan")
    assert (code, "name two models or more" in err) == (2, True)


def helped() -> dict[str, typer.core.TyperCommand]:
    """All commands, those of groups by their whole name."""
    found = {}
    for name, one in COMMANDS.items():
        below = getattr(one, "commands", {})
        found |= {f"{name} {question}": own for question, own in below.items()}
        found |= {} if below else {name: one}
    return found


@pytest.mark.parametrize("name", helped())
def test_help_fits_on_a_screen_and_has_an_example_that_can_be_read(run, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*name.split(), "--help")
    assert code == 0
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 80
    if name.startswith("models"):
        return
    first, *arguments = shlex.split(re.search(r"Example: (.*(?:\n .*)*)", out)[1])
    assert first == "bayescale"
    own = helped()[name]
    if "FIT" in arguments:
        arguments = [arguments[2], arguments[1], *arguments[3:]]  # the question first
    own.make_context(name, arguments[1:])  # all options are known, all arguments there


def test_without_arguments_commands_are_shown_in_groups_a_line_each(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, err = run()
    for panel in ("From runs to a report", "What to believe", "What to do", "What is shipped"):
        assert f"─ {panel} ─" in out + err
    shown = [line.strip("│ ").split()[0] for line in (out + err).splitlines() if "│ " in line]
    assert set(COMMANDS) <= set(shown)
    assert set(shown) - set(COMMANDS) <= {
        *("--version", "--help", "--install-completion", "--show-completion"),
        *("shell.", "to", "installation."),  # of the help of options
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["repot"], "did you mean 'report'"),
        (["fit", "runs.csv", "--sed", "1"], "--seed"),
        (["fit"], "missing argument 'runs'"),
        (["fit", "runs.csv", "--seed", "-1"], "see bayescale fit --help"),
        (["fit", "runs.csv", "more.csv"], "more.csv"),
        (["forecast", "curves.csv", "--x", "tokens"], "--at"),
        (["plan", "fit.nc", "overtrain"], "name a question"),
        (["plan", "fit.nc", "best"], "--over"),
        (["models", "shw"], "did you mean 'show'"),
        (["optima", "fit.nc", "--flops", "1e23,many"], "'many' is not a number"),
        (
            ["plan", "fit.nc", "repetition", "--unique-tokens", "ten", "--flops", "1"],
            "--unique-tokens: 'ten' is not a number",
        ),
        (["--nosuch"], "--nosuch"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_2(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err.lower()
    assert err.count("\n") == 1


def test_the_shell_completes_commands(monkeypatch):
    done = subprocess.run(
        [sys.executable, "-c", "from bayescale.cli import app; app(prog_name='bayescale')"],
        env={**os.environ, "_BAYESCALE_COMPLETE": "complete_bash", "COMP_WORDS": "bayescale fo"}
        | {"COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["forecast"]
