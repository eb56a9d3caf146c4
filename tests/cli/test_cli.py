import json
import math
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from conftest import known_grouped_fit, known_task_fit, simulated_table

from bayescale import cli, load_fit, load_model
from bayescale.cli import reading
from bayescale.cli.options import Reading
from bayescale.errors import RunsError, RunsWarning, UnnamedColumnError
from bayescale.files import to_json

JOINT = load_model("joint")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    simulated_table().rename(columns={"params": "N"}).to_csv(path, index=False)
    return path


def test_models_lists_and_shows(run):
    code, out, _ = run("models")
    assert code == 0
    assert re.search(r"(?m)^chinchilla-normal +Joint law", out)
    assert json.loads(run("models", "--json")[1])["kaplan"]
    code, out, _ = run("models", "show", "chinchilla")
    assert (code, out.splitlines()[1]) == (0, 'law = "chinchilla"')


def test_a_copy_of_a_model_loads_and_is_not_replaced_unless_told(run, tmp_path):
    path = tmp_path / "own" / "mine.toml"
    code, out, _ = run("models", "copy", "kaplan", path)
    assert (code, out) == (
        0,
        f"{path} is kaplan: change its priors, then: bayescale fit RUNS --model {path}\n",
    )
    assert load_model(path).priors == load_model("kaplan").priors
    path.write_text("mine")
    code, out, err = run("models", "copy", "kaplan", path)
    assert (code, out) == (2, "")
    assert err == (f"error: {path} exists already; name another file, or replace it with --force\n")
    assert path.read_text() == "mine"
    assert run("models", "copy", "kaplan", path, "--force")[0] == 0
    assert load_model(path).law.name == "kaplan"
    code, _, err = run("models", "copy", "kaplan", tmp_path / "mine.txt")
    assert (code, "name it" in err, err.count("\n")) == (2, True, 1)
    assert run("models", "copy", "kapln", path)[0] == 2


def test_datasets_lists_and_writes(run, tmp_path):
    code, out, _ = run("datasets")
    assert code == 0
    assert "minisweep" in out
    target = tmp_path / "sweep.csv"
    code, out, _ = run("datasets", "minisweep", "--out", target)
    assert (code, target.read_text().splitlines()[0][:10]) == (0, "run,family")
    code, _, err = run("datasets", "minisweep", "--out", target)
    assert code == 2
    assert "exists already" in err
    assert run("datasets", "minisweep", "--out", "no/such/sweep.csv")[0] == 0
    assert (tmp_path / "no" / "such" / "sweep.csv").read_bytes() == target.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("datasets", "minisweep", "--out", "{place}"),
        ("fit", "runs.csv", "--out", "{place}"),
        ("report", "runs.csv", "--out", "{place}"),
        ("demo", "--out", "{place}"),
        ("backtest", "runs.csv", "--out", "{place}"),
        ("backtest", "runs.csv", "--plot", "{place}"),
        ("compare", "runs.csv", "--models", "chinchilla,kaplan", "--out", "{place}"),
        ("curves", "runs.csv", "--x", "tokens", "--out", "{place}"),
        ("curves", "runs.csv", "--x", "tokens", "--plots", "{place}"),
        ("forecast", "runs.csv", "--x", "tokens", "--at", "1e13", "--out", "{place}"),
        ("forecast", "runs.csv", "--x", "tokens", "--at", "1e13", "--plots", "{place}"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_one_line_before_the_work(
    run, tmp_path, arguments, monkeypatch
):
    def work(*_, **__):
        raise AssertionError("the long work was begun")

    for name in (
        "posterior.fitting.fit",
        "curves.table.fit_curves",
    ):
        monkeypatch.setattr(f"bayescale.{name}", work)
    table = simulated_table()
    table[table["params"] == table["params"].min()].to_csv("curve.csv", index=False)
    table.to_csv("runs.csv", index=False)
    code, out, err = run(*(part.format(place="runs.csv/x.png") for part in arguments))
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if not line.startswith("warning: "))
    assert re.fullmatch(
        r"error: runs.csv(/x.png)? cannot be made a folder of files \(.*\); name another", line
    )


def test_every_command_writes_strict_json():
    for path in Path(cli.__file__).parent.glob("*.py"):
        assert "json.dump" not in path.read_text("utf-8")
    found = json.loads(to_json({"a": [math.inf, 1.5], "b": {"c": (math.nan, "x")}}))
    assert found == {"a": [None, 1.5], "b": {"c": [None, "x"]}}


@pytest.mark.parametrize("command", ["fit", "backtest", "curves"])
def test_a_folder_is_no_file_to_write(run, command, monkeypatch):
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: 1 / 0)
    simulated_table().to_csv("runs.csv", index=False)
    axis = ("--x", "tokens") if command == "curves" else ()
    code, out, err = run(command, "runs.csv", *axis, "--out", ".")
    assert (code, out) == (2, "")
    assert ". is a folder; name a file in it" in err or ". exists already" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "none.csv"], "error: none.csv: no such file"),
        (["report", "{table}", "--loss-unit", "bites"], "losses cannot be in 'bites'"),
        (["report", "{table}", "--column", "params"], "--column params: write it as NAME=VALUE"),
        (
            ["report", "{table}", "--column", "params=N", "--unit", "params=many"],
            "'many' is not a number",
        ),
        (
            ["report", "{table}", "--column", "params=N", "--model", "chinchla"],
            "did you mean 'chinchilla'",
        ),
        (
            ["report", "{table}", "--column", "params=N", "--where", "lss > 1"],
            "filter 'lss > 1' cannot",
        ),
        (
            ["fit", "{table}", "--column", "params=N", "--out", "{table}/fit.nc"],
            "cannot be made a folder of files",
        ),
        (["optima", "none.nc", "--flops", "1e24"], "error: none.nc: no such file"),
        (["models", "show", "kapln"], "did you mean 'kaplan'"),
        (["report", "{table}", "--model", "power-law-tokens", "--flops", "1e23"], "--at"),
        (["report", "{table}", "--at", "1e23"], "use --flops"),
        (["report", "{table}", "--flops", "-1"], "-1 is no positive number"),
        (
            ["report", "{table}", "--column", "params=N", "--column", "params=M"],
            "names params twice",
        ),
        (["datasets", "chinchila"], "did you mean 'chinchilla'"),
        (
            ["report", "{table}", "--mid-schedule", "drop"],
            "--mid-schedule drop: write exclude, keep, or a weight between 0 and 1",
        ),
        (
            ["fit", "{table}", "--column", "params=N", "--mid-schedule", "1.5"],
            "a weight between 0 and 1, got 1.5",
        ),
        (["report", "{table}", "--group", "family"], "take a hierarchical model"),
        (
            ["report", "{table}", "--column", "params=N", "--model", "chinchilla-hierarchical"],
            "has the groups of the column 'family', which the runs lack",
        ),
        (
            [
                "report",
                "{table}",
                "--column",
                "params=N",
                "--approaches",
                "--where",
                "params < 1e9",
            ],
            "isoFLOP budgets",
        ),
    ],
)
def test_user_errors_are_one_line_and_exit_2(run, table, arguments, message):
    code, out, err = run(*(argument.format(table=table) for argument in arguments))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(table.parent.iterdir()) == [table]  # nothing was begun


@pytest.mark.slow
def test_fit_report_and_optima_from_the_shell(run, table, tmp_path):
    common = [table, "--column", "params=N", "--seed", "2"]
    code, out, err = run("report", *common, "--flops", "1e22", "--out", tmp_path / "out")
    assert code == 0
    # Of a few draws of a law that may bend no size is best.
    assert all("of the draws no size is best" in line for line in err.splitlines())
    assert out.startswith("budget                1e22 FLOPs\nparameters N*")
    assert "For 1e22 FLOPs: " not in out  # said with --verbose
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    code, out, _ = run("optima", tmp_path / "out" / "fit.nc", "--flops", "1e22", "--json")
    assert summary["optima"][0]["tested"].startswith("Backtested at 0.5 to 1 decades")
    assert set(summary["optima"][0]["failed"]) <= {one["name"] for one in summary["checks"]}
    assert summary["optima"][0]["exact"]["params"] != summary["optima"][0]["params"]
    alone = json.loads(out)["optima"]
    of_report = {"exact": None, "tested": None, "verdict": alone[0]["verdict"]}
    assert alone == [summary["optima"][0] | of_report]
    code, out, _ = run("optima", tmp_path / "out" / "fit.nc", "--flops", "1e22", "--flops", "3e22")
    assert out.count("FLOPs:") == 2
    code, out, _ = run("fit", *common, "--out", tmp_path / "again.nc", "--json")
    assert json.loads(out)["parameters"]["alpha"] == summary["parameters"]["alpha"]  # same seed
    assert load_fit(tmp_path / "again.nc").tree.attrs["seed"] == 2


def test_repeated_filters_are_combined(run, table):
    code, _, err = run(
        "report",
        table,
        "--column",
        "params=N",
        "--where",
        "loss < 3",
        "--where",
        "loss > 3",
        "--out",
        "out",
    )
    assert code == 2
    assert "filter '(loss < 3) and (loss > 3)' keeps none of the 30 rows" in err


@pytest.fixture
def two_losses(tmp_path):
    """A table whose loss nobody can name but its owner."""
    table = simulated_table().rename(columns={"params": "N_params", "loss": "val/loss"})
    table.assign(**{"train/loss": table["val/loss"]}).to_csv(tmp_path / "two.csv", index=False)
    return tmp_path / "two.csv"


def test_columns_are_proposed_as_options_that_work(run, two_losses):
    code, _, err = run("check", two_losses)
    assert (code, err.count("\n")) == (2, 1)
    option, value = re.search(r"pass (--column) (\S+)", err).groups()
    assert (option, value) == ("--column", "loss=val/loss")
    runs = reading.runs_of(two_losses, Reading(column=[value, "params=N_params"]), JOINT)
    assert len(runs) == 30


@pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
def test_a_proposal_is_accepted_with_one_key_on_a_terminal(two_losses, monkeypatch):
    asked, answers = [], [True, False]
    monkeypatch.setattr(reading, "_at_a_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text) or answers.pop(0))
    assert len(reading.runs_of(two_losses, Reading(), JOINT)) == 30
    with pytest.raises(UnnamedColumnError):
        reading.runs_of(two_losses, Reading(), JOINT)
    assert asked == ["loss is the column 'val/loss'?"] * 2


@pytest.mark.parametrize(("unit", "label"), [("bpb", "bits per byte"), ("nats", "nats per token")])
def test_the_unit_of_losses_is_an_option(two_losses, unit, label):
    options = Reading(column=["loss=val/loss", "params=N_params"], loss_unit=unit)
    assert reading.runs_of(two_losses, options, JOINT).unit == label


@pytest.mark.parametrize(("options", "count"), [({}, 0), ({"last_per": ["run"]}, 30)])
def test_commands_keep_the_last_rows_of_histories(tmp_path, options, count):
    history = pd.concat([simulated_table().assign(part=part) for part in (0.5, 0.75, 1.0)])
    history = history.assign(run=history.index, tokens=history.tokens * history.part)
    history.to_csv(tmp_path / "history.csv", index=False)

    def read():
        return reading.runs_of(tmp_path / "history.csv", Reading(**options), JOINT)

    if count:
        assert len(read()) == count
    else:
        with pytest.raises(RunsError, match="--last-per run"):
            read()


def test_a_column_that_the_model_needs_is_asked_for_before_the_work(run, tmp_path):
    table = simulated_table().rename(columns={"params": "params_matmul"})
    table.to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run("fit", tmp_path / "runs.csv", "--out", tmp_path / "fit.nc")
    assert (code, err.count("\n")) == (2, 1)
    assert "--column params=params_matmul" in err


def test_doubts_are_printed_and_not_errors(run, tmp_path):
    path = tmp_path / "twice.csv"
    simulated_table().iloc[[*range(30), 4]].to_csv(path, index=False)
    code, out, err = run("fit", path, "--out", tmp_path / "fit.nc")
    assert code == 0
    assert err.startswith("warning: duplicated runs: rows 5, 31 agree")
    assert "alpha" in out


def test_a_doubt_is_printed_once(run, monkeypatch):
    def app(**_):
        for message in ("first", "first", "second"):
            warnings.warn(message, RunsWarning, stacklevel=1)
        raise SystemExit(0)

    monkeypatch.setattr(cli, "app", app)
    for _ in range(2):
        assert run("models") == (0, "", "warning: first\nwarning: second\n")


def test_doubts_are_printed_below_the_answer_and_with_a_refusal(run, monkeypatch):
    def app(**_):
        warnings.warn("doubtful", RunsWarning, stacklevel=1)
        cli.typer.echo("the answer")
        raise refusal

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # as a terminal shows them
    refusal = SystemExit(0)
    assert run("models")[1] == "the answer\nwarning: doubtful\n"
    refusal = RunsError("refused")
    assert run("models")[:2] == (2, "the answer\nerror: refused\nwarning: doubtful\n")


@pytest.mark.slow
def test_unfinished_runs_are_left_out_kept_or_weighed(run, tmp_path):
    path, out = tmp_path / "early.csv", tmp_path / "fit.nc"
    simulated_table().assign(finished=lambda t: t.index != 4).to_csv(path, index=False)
    code, _, err = run("fit", path, "--out", out)
    assert (code, len(load_fit(out).runs)) == (0, 29)
    assert err.startswith("warning: unfinished runs: the column 'finished' marks row 5 ")
    for choice, weights in (("keep", None), ("0.25", {0.25, 1.0})):
        code, _, err = run("fit", path, "--out", out, "--mid-schedule", choice)
        assert (code, len(load_fit(out).runs)) == (0, 30)
        assert "unfinished runs" not in err
        assert (set(load_fit(out).runs.table.get("weight", ())) or None) == weights


@pytest.mark.slow
def test_unconverged_fit_exits_1_unless_allowed(run, table, tmp_path, monkeypatch):
    from bayescale.posterior import diagnostics

    monkeypatch.setattr(diagnostics, "MAX_R_HAT", 0.9)
    few = ["--draws", "100", "--tune", "200"]
    arguments = ["fit", table, "--column", "params=N", "--out", tmp_path / "fit.nc", *few]
    code, out, err = run(*arguments)
    assert code == 1
    assert "not converged" not in err
    assert out.startswith("not converged, do not use these numbers: joint: R-hat 1.0")
    assert run(*arguments, "--allow-unconverged")[0] == 0
    code, out, err = run("optima", tmp_path / "fit.nc", "--flops", "1e23")
    assert (code, "not converged" in err, out.startswith("not converged")) == (1, False, True)


def test_module_runs_and_says_its_version():
    done = subprocess.run(
        [sys.executable, "-m", "bayescale", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"bayescale {version('bayescale')}\n"


def test_check_of_a_table_and_of_a_fit(run, table, small_fit, tmp_path):
    code, out, err = run("check", table, "--column", "params=N", "--model", "chinchilla")
    assert (code, err) == (0, "")
    assert out.startswith("PASS convergence: the sampler reached the posterior")
    assert "PASS law along tokens: " in out
    path = small_fit.save(tmp_path / "fit.nc")
    code, out, _ = run("check", path, "--json")
    said = json.loads(out)
    assert (code, said["worst"]) == (0, "PASS")
    assert {"name", "status", "statistic", "threshold", "message", "advice"} == set(
        said["checks"][0]
    )
    for given in (["--where", "params > 1"], ["--model", "nosuch"], ["--column", "params=N"]):
        code, out, err = run("check", path, *given)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {given[0]} says how to read or fit a table")


def test_check_that_fails_exits_3_worst_first(run, small_fit, tmp_path):
    bent = small_fit.runs.table.assign(loss=lambda t: t["loss"] * (t["tokens"] / 1e10) ** 0.01)
    wrong = replace(small_fit, runs=replace(small_fit.runs, table=bent))
    code, out, _ = run("check", wrong.save(tmp_path / "wrong.nc"))
    assert code == 3
    assert out.startswith("FAIL ")
    *lines, tally = out.splitlines()
    statuses = [line.split()[0] for line in lines]
    assert tally.startswith(f"{statuses.count('FAIL')} FAIL, {statuses.count('REVIEW')} REVIEW, ")
    assert statuses == sorted(statuses, key=["FAIL", "REVIEW", "PASS"].index)


def test_check_of_a_design_that_cannot_answer_fails_before_sampling(run, tmp_path):
    path = tmp_path / "line.csv"
    simulated_table().assign(tokens=lambda t: 20 * t["params"]).to_csv(path, index=False)
    code, out, _ = run("check", path)
    assert code == 3
    assert out.startswith("FAIL design: tokens are proportional to params")
    assert run("check", "none.csv")[0] == 2
    assert run("check", "none.nc")[0] == 2


def test_check_of_an_unconverged_fit_exits_1(run, small_fit, tmp_path):
    tree = small_fit.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][0, :7] = True
    path = replace(small_fit, tree=tree).save(tmp_path / "fit.nc")
    code, out, _ = run("check", path)
    assert (code, out.startswith("FAIL convergence: 7 divergent transitions")) == (1, True)
    found = json.loads(run("check", path, "--json")[1])
    assert found["converged"] is False
    assert found["problems"] == ["7 divergent transitions: part of the posterior was missed"]


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        (("fit",), "alpha"),
        (("report", "--no-backtest"), "To mend convergence: Tune and draw longer"),
    ],
)
def test_what_did_not_converge_is_said_before_the_numbers(
    run, small_fit, command, numbers, monkeypatch
):
    tree = small_fit.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][0, :7] = True
    broken = replace(small_fit, tree=tree)
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: broken)
    simulated_table().to_csv("runs.csv", index=False)
    code, out, err = run(command[0], "runs.csv", *command[1:], "--model", "chinchilla")
    problem = "chinchilla: 7 divergent transitions: part of the posterior was missed"
    first, second = out.split("\n")[:2]
    assert code == 1
    assert first == f"not converged, do not use these numbers: {problem}"
    assert numbers in out.split("\n", 1)[1]
    assert problem not in second
    assert (out.count("divergent transitions"), "divergent" in err) == (1, False)
    assert "FAILs" not in out
    if command == ("fit",):
        code, out, err = run("fit", "runs.csv", "--model", "chinchilla", "--json")
        assert (code, json.loads(out)["problems"]) == (1, [problem])
        assert err.endswith(f"not converged: {problem}\n")


def test_a_fit_answers_first_and_names_the_next_commands(run, small_fit, monkeypatch):
    simulated_table().to_csv("runs.csv", index=False)
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: small_fit)
    code, out, _ = run("fit", "runs.csv", "--model", "chinchilla", "--out", "a fit.nc")
    assert code == 0
    assert re.match(r"For \S+e22 FLOPs: \S+ parameters \(.*Extrapolation: 1.0 decades", out)
    *_, kept, check, optima = out.splitlines()
    assert kept == "intervals: central 90%; the fit is in a fit.nc"
    assert check == "next: bayescale check 'a fit.nc'"
    assert re.fullmatch(r"next: bayescale optima 'a fit.nc' --flops \S+e22", optima)
    assert run(*shlex.split(optima)[2:])[0] == 0


def test_a_fit_of_groups_names_the_command_that_says_which_is_better(run, monkeypatch):
    own = known_grouped_fit(a={}, b={"E": 1.9})
    own.runs.table.to_csv("runs.csv", index=False)
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: own)
    code, out, _ = run("fit", "runs.csv", "--model", "chinchilla-hierarchical")
    assert code == 0
    condition, command = out.splitlines()[-1].split(", ")
    assert condition == "next: where groups share a validation set"
    code, out, _ = run(*shlex.split(command)[1:])
    assert code == 0
    assert re.match(r"At \S+ FLOPs a is better, with probability more than 99%", out)


def test_optima_take_constants_of_a_paper(run):
    constants = "chinchilla: E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283"
    code, out, err = run("optima", constants, "--flops", "1e24")
    assert (code, err) == (0, "")
    assert out.startswith("For 1e24 FLOPs: 53.7B parameters on 3.10T tokens.")
    assert out.endswith("\nMedians with central 90% credible intervals in brackets.\n")


def test_a_fit_of_tasks_answers_in_a_line_and_names_the_next_command(run, monkeypatch):
    tasks = known_task_fit()
    tasks.runs.table.to_csv("tasks.csv", index=False)
    monkeypatch.setattr("bayescale.posterior.fitting.fit", lambda *_, **__: tasks)
    code, out, _ = run("fit", "tasks.csv", "--model", "task-accuracy-hierarchical")
    first, *_, targets = out.splitlines()
    assert code == 0
    assert re.match(
        r"Predicted accuracy at 1.2e21 FLOPs: easy \S+% \(.*, hard \S+% \(.*\. Extra", first
    )
    assert targets == "next: bayescale targets fit.nc --params 3.16e9 --tokens 6.32e10"
    assert run(*shlex.split(targets)[2:])[0] == 0


@pytest.mark.slow
def test_demo_needs_nothing(run, tmp_path):
    code, out, _ = run("demo")
    assert code == 0
    assert "parameters" in out
    assert (tmp_path / "bayescale-demo" / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("command", "place"), [("fit", "fit.nc"), ("report", "bayescale-report/fit.nc")]
)
def test_what_is_replaced_by_another_fit_is_said_in_a_line(
    run, small_fit, command, place, monkeypatch, tmp_path
):
    """Not where the same is done again, which is the everyday case."""
    monkeypatch.setattr("bayescale.report.write.sections", lambda *_: [])  # seconds of pictures
    simulated_table().to_csv("runs.csv", index=False)
    options = ("--model", "chinchilla", *(["--no-backtest"] if command == "report" else []))
    runs = replace(small_fit.runs, source="other.csv")
    fewer = replace(runs, table=runs.table.iloc[:-1])
    said = []
    for own in (runs, runs, fewer):
        fitted = replace(small_fit, runs=own)
        monkeypatch.setattr(
            "bayescale.posterior.fitting.fit", lambda *_, fitted=fitted, **__: fitted
        )
        code, _, err = run(command, "runs.csv", *options)
        assert code == 0, err
        said.append([line for line in err.splitlines() if line.startswith("replaced ")])
    assert said[:2] == [[], []]
    assert said[2] == [
        f"replaced {place.removesuffix('/fit.nc')}: it held chinchilla, fitted to 30 runs of "
        "other.csv; to keep both name another --out"
    ]
    (tmp_path / place).write_text("not a fit")
    err = run(command, "runs.csv", *options)[2]
    assert "it held no fit that can be read" in err
