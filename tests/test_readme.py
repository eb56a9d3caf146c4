"""Every command and every line of Python of the README and of `docs/` works as it stands there."""

import ast
import re
import shlex
import shutil
import sys
import warnings
from inspect import unwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from conftest import (
    known_grouped_fit,
    known_task_fit,
    simulated_experts,
    simulated_formats,
    simulated_mixtures,
    simulated_recipes,
    simulated_settings,
    simulated_shapes,
    simulated_steps,
    simulated_table,
    simulated_tasks,
    sweep_table,
)
from test_own_laws import OWN, learning_rates
from test_worked_example import synthetic_table

import bayescale
from bayescale import (
    Runs,
    RunsWarning,
    available_models,
    constants_fit,
    fit,
    load_model,
    parse_model,
    read_runs,
)
from bayescale.cli import app
from bayescale.decisions import transfer, tune
from bayescale.evaluation import backtest
from bayescale.laws import LAWS

ROOT = Path(__file__).parents[1]
MADE = ROOT / "docs" / "site"  # parts of pages that the site is made of: `test_site.py`
WRITTEN = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent != MADE]
PAGES = [ROOT / "README.md", *WRITTEN]
MOST_WORDS = 25
FEW = {"draws": 600, "tune": 500}
README = "\n".join(page.read_text("utf-8") for page in PAGES)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

ELSEWHERE = ("bayescale demo",)
"""Commands with a test of their own, in `test_cli.py`."""
SLOW = {"tune", "report", "transfer", "--tasks", "basin", "recipes", "experts", "precision", "mix"}
SLOW |= {"critical-batch", "compare"}  # of which the default set has tests of the command
CONSTRAINED = {
    **{"E": 1.8, "A": 400, "B": 1500, "alpha": 0.34, "beta": 0.36},
    **{"R_D": 15, "R_N": 5, "r_N": -0.3},
}
REPEATED = "data-constrained: " + ", ".join(f"{n}={value}" for n, value in CONSTRAINED.items())
FILLED = {
    "--hold-out EXPR": "--hold-out 'flops > 2e21'",
    "--group COLUMN": "--group family",
    "--by COLUMN": "--by curve",
    "--max-params N": "--max-params 1e11",
    "COLUMN=NUMBER": "params=1",
    "OURS=YOURS": "params=N",
    "keep|WEIGHT": "0.1",
    "RUNS_OR_FIT": "runs.csv",
    "TASKS": "tasks.nc",
    "SHAPES": "shapes.csv",
    "EXPERTS": "experts.csv",
    "MIXTURES": "mixtures.csv",
    "QUANTISED": "quantised.csv",
    "--joint FIT": "--joint fit.nc",
    "--like MODEL": "--like 'early, kind'",
    "OPTIMIZERS": "optimizers.csv",
    "STEPS": "steps.csv",
    "FITS": "fits.toml",
    "RUNS": "runs.csv",
    "CURVES": "curves.csv",
    "SWEEP": "sweep.csv",
    "SETTINGS": "settings.csv",
    "EXPR": "'loss < 6'",
    "show NAME": "show chinchilla",
    "NAME": "minisweep",
    "SE": "se",
    "DIR": "made",
    "FILE": "made.png",
    "CSV": "made.csv",
    "M": "chinchilla",
    "C": "3e20",
}
"""What stands in a command for what the README writes in capitals."""


def commands() -> list[str]:
    """Commands of the README with all their options, those of groups in a command of their own."""
    whole = re.sub(r"\n {10,}\[", " [", README)  # lines that go on
    found = []
    for shown in re.findall(r"^ {4}(?:.*uv run )?(bayescale .*)$", whole, re.MULTILINE):
        line = re.split(r" {3,}", shown)[0]
        optional = re.findall(r"\[([^][]*)\]", line)
        groups = [one for one in optional if one.startswith(("--group", "--same-validation"))]
        bare = re.sub(r" *\[[^][]*\]", "", line)
        found.append(" ".join([bare, *(one for one in optional if one not in groups)]))
        if groups:
            found.append(" ".join([bare, *groups, "--model chinchilla-hierarchical"]))
    return list(dict.fromkeys(found))


def filled(line: str) -> list[str]:
    """Arguments of a command."""
    for word, value in FILLED.items():
        line = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w.=|])", value, line)
    return shlex.split(line)[1:]


@pytest.fixture(scope="module")
def remembered():
    """Fit once what commands, their backtests and a block of Python show, by few draws."""
    kept = {}

    def once(runs, spec, **options):
        fewer = {name: min(options.get(name, most), most) for name, most in FEW.items()}
        options |= fewer
        table = runs.table if isinstance(runs, Runs) else runs  # lists of fits give tables
        key = table.to_csv(), repr(spec), repr(options)
        if key not in kept:
            kept[key] = fit(runs, spec, **options)
        return kept[key]

    return once


@pytest.fixture(scope="module")
def written(tmp_path_factory, small_fit):
    """Write the files that the README reads into a folder."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_files(small_fit)
    return folder


def write_files(own):
    tokens = np.geomspace(1e9, 1e11, 12)
    curve = pd.DataFrame({"curve": "a", "tokens": tokens, "se": 0.003})
    curve["loss"] = 0.1 + 0.5 * (tokens / 1e9) ** -0.3
    curve["loss"] += 0.003 * np.random.default_rng(0).standard_normal(12)
    curve["batch"] = 60 * (tokens / 1e9) ** 0.4
    curve.to_csv("curves.csv", index=False)
    simulated_steps().to_csv("steps.csv", index=False)
    synthetic_table().to_csv("synthetic.csv", index=False)
    for name in ("synthetic_law.py", "synthetic.toml"):
        shutil.copy(OWN / name, ".")
    Path("fits.toml").write_text('[[fits]]\ntable = "runs.csv"\nmodel = "chinchilla"\n')
    Path("PLANS.csv").write_text("params,tokens\n5e9,2e12\n2e10,5e11\n")
    own.save("fit.nc")
    constants_fit("data-constrained", **CONSTRAINED).save("repeated.nc")
    known_task_fit().save("tasks.nc")
    sweep = sweep_table({256: 4e-3, 512: 4e-3, 1024: 4e-3}, noise=1e-3)
    sweep.assign(optimizer="adam").to_csv("sweep.csv", index=False)
    simulated_table().assign(State="finished").to_csv("export.csv", index=False)  # of W&B
    settings = simulated_settings(noise=0.003, sizes=(1e8, 4e8)).query("tokens < 6e10")
    settings.to_csv("settings.csv", index=False)
    simulated_shapes().to_csv("shapes.csv", index=False)
    simulated_experts().to_csv("experts.csv", index=False)
    simulated_mixtures().to_csv("mixtures.csv", index=False)
    simulated_formats().to_csv("quantised.csv", index=False)
    optimizers = simulated_recipes(noise=0.001).replace({"base": "adamw"})
    optimizers["recorded_min_loss"] = optimizers["loss"]
    optimizers.to_csv("optimizers.csv", index=False)
    tasks = simulated_tasks()
    tasks.to_csv("tasks.csv", index=False)
    wide = tasks.pivot(index=["run", "params", "tokens"], columns="task", values="accuracy")
    wide.reset_index().to_csv("wide.csv", index=False)


@pytest.fixture
def files(tmp_path, monkeypatch, written, remembered):
    """Give the files that the README reads, and take fewer draws than it does."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for module in (backtest, transfer, tune, sys.modules["bayescale.posterior.fitting"]):
        monkeypatch.setattr(module, "fit", remembered)
    for name, most in FEW.items():
        monkeypatch.setitem(unwrap(fit).__kwdefaults__, name, most)
    known = set(LAWS)
    yield
    for name in set(LAWS) - known:  # of a user's own
        del LAWS[name]


def write_runs(shown: str) -> None:
    """Write the table that a command or a block of Python reads: of groups if it names some."""
    table = simulated_table().assign(family="Llama", finished=True)
    if "family" in shown:
        other = simulated_table(seed=1, E=1.9).assign(family="xLSTM", finished=True)
        table = pd.concat([table, other])
    if "params=N" in shown or '"params": "N"' in shown:
        table = table.rename(columns={"params": "N"})
    table.to_csv("runs.csv", index=False)


def fit_to_plan(question: str) -> str:
    if question in ("repetition", "--params"):  # of bayescale quality
        return REPEATED
    if question == "multiplier":
        return str(known_grouped_fit(a={}, b={"E": 1.9}).save("grouped.nc"))
    if question == "best":
        shutil.copy(OWN / "learning_rate_law.py", ".")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RunsWarning)  # a swept learning rate
            runs = read_runs(learning_rates(np.random.default_rng(1), 1.0))
            own = fit(runs, OWN / "learning-rate.toml", progress=False)
        return str(own.save("own.nc"))
    return "fit.nc"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=[pytest.mark.slow] if SLOW & {*line.split()} else [])
        for line in commands()
        if line not in ELSEWHERE
    ],
)
def test_commands_work(run, files, line, request):
    arguments = filled(line)
    write_runs(" ".join(arguments))
    if "FIT" in arguments:
        arguments[arguments.index("FIT")] = fit_to_plan(arguments[2])
    if "chinchilla.csv" in arguments or arguments == ["datasets", "chinchilla"]:
        request.getfixturevalue("data_folder")
    if "chinchilla.csv" in arguments:
        run("datasets", "chinchilla")  # writes it
        pd.read_csv("chinchilla.csv")[::3].to_csv("chinchilla.csv", index=False)
    code, out, err = run(*arguments)
    assert code == 0, err
    assert out or "--out" in arguments
    if arguments[0] == "plan":
        assert err == ""
        assert out.endswith("Medians with central 90% credible intervals in brackets.\n")


def test_constants_in_quotes_are_a_fit(run):
    (constants,) = re.findall(r'`"([\w-]+: [^"]+)"`', README)
    ask = ("overtraining", "--flops", "1e24", "--inference-tokens", "1e13")
    code, out, err = run("plan", constants, *ask)
    assert (code, err) == (0, "")
    assert "parameters on" in out


SHOWN = re.findall(r"^ {4}(bayescale [^\n]*)\n\n```text\n([^`]*)```", README, re.MULTILINE)


@pytest.mark.parametrize(("line", "output"), SHOWN)
def test_output_that_is_shown_is_what_a_command_prints(run, line, output):
    code, out, _ = run(*shlex.split(line)[1:])
    assert code == 0
    assert " ".join(out.split()).startswith(" ".join(output.split()))


def test_all_commands_and_questions_are_shown():
    shown = [shlex.split(line) for line in commands()]
    group = typer.main.get_command(app)
    assert {words[1] for words in shown} == set(group.commands)
    questions = set(group.commands["plan"].commands)
    assert {words[3] for words in shown if words[1] == "plan"} == questions


def test_options_named_exist():
    def options(command) -> set[str]:
        below = getattr(command, "commands", {}).values()
        own = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
        return {*own}.union(*(options(one) for one in below))

    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", README))
    assert "--mid-schedule" in named
    assert named <= {"--help", *options(typer.main.get_command(app))}


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON)
def test_python_works(files, block, capsys, monkeypatch, request):
    write_runs(block)
    if "load_dataset" in block:
        request.getfixturevalue("data_folder")
    if "bayescale-report" in block:
        Path("bayescale-report").mkdir()
        request.getfixturevalue("joint_fit").save("bayescale-report/fit.nc")
    for name in re.findall(r"^def (\w+_law)", block, re.MULTILINE):
        monkeypatch.setitem(LAWS, name, None)  # a law of the README is forgotten afterwards
        del LAWS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about the runs, and ArviZ's
        exec(compile(block, "README.md", "exec"), {"bs": bayescale})
    assert bool(capsys.readouterr().out) == ("print(" in block)


def test_names_of_the_package_exist():
    """Also those outside of blocks, and keywords that blocks give to them."""
    named = set(re.findall(r"\bbs\.(\w+)", README))
    assert len(named) > 15
    assert named <= set(bayescale.__all__)
    assert all(ast.parse(block) for block in PYTHON)


def test_model_files_are_listed():
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert named == set(available_models())


def test_the_part_of_a_model_file_is_one():
    (part,) = re.findall(r"```toml\n(\[bend\].*?)```", README, re.DOTALL)
    source = load_model("chinchilla-bend").source
    changed = re.sub(r"\[bend\].*?\n\n", lambda found: f"{part}\n", source, flags=re.DOTALL)
    assert changed != source
    bend = parse_model(changed, "readme").bend
    assert (bend.sd, bend.length) == (0.10, 2.0)


def sentences(page: str) -> list[str]:
    """Sentences of a page that stand in paragraphs and lists, without code and tables."""
    prose = re.sub(r"```.*?```|^(    |\||#|!).*?$", "", page, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", prose)  # links
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", prose))
    return [one for part in parts for one in re.split(r"(?<=[.?!*])\s+", part) if one]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sentences_are_short(page):
    said = sentences(page.read_text("utf-8"))
    assert len(said) > 2
    assert [one for one in said if len(one.split()) > MOST_WORDS] == []


def test_long_sentences_are_found():
    page = "# A title\n\nShort. " + "word " * 14 + "and\ngoes on " * 4 + "`x`.\n\n| a | table |\n"
    assert [len(one.split()) for one in sentences(page)] == [1, 27]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_named_exist(page):
    """Of the repository where they are named, of the page's own folder where they are linked."""
    text = page.read_text("utf-8")
    named = re.findall(r"`([\w/.-]+/[\w.-]+\.(?:py|ipynb|png|md))", text)
    linked = re.findall(r"\]\(([\w/.-]+\.(?:py|ipynb|png|md))", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in linked if not (page.parent / name).exists()] == []
