"""Imports go one way, and the public names exist."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bayescale
from bayescale.modelling.compiling import _ROOMS

PACKAGE = Path(bayescale.__file__).parent
ORDER = [
    "errors",
    "progress",
    "arguments",
    "files",
    "workers",
    "draws",
    "words",
    "display",
    "runs",
    "laws",
    "modelling",
    "posterior",
    "decisions",
    "curves",
    "evaluation",
    "plots",
    "report",
    "cli",
    "__main__",
]
"""Every room may import only from those before it."""
WITHOUT_PYMC = ORDER[ORDER.index("decisions") : -1]


def modules():
    return [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


def part(name: str) -> str:
    """`bayescale.laws.law` -> `laws`."""
    return name.split(".")[1]


def module_name(path: Path) -> str:
    return ".".join(("bayescale", *path.relative_to(PACKAGE).with_suffix("").parts))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= set(full) if node.module == "bayescale" else {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_imports_go_one_way():
    wrong = []
    for path in modules():
        own = part(module_name(path))
        for name in imported(path):
            ours = name.startswith("bayescale.") and part(name) != own
            if ours and ORDER.index(part(name)) > ORDER.index(own):
                wrong.append(f"{own} imports {part(name)}")
    assert wrong == []


def test_every_module_has_a_place_in_the_order():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()} <= set(
        ORDER
    )


def test_laws_import_nothing_of_ours():
    for path in (PACKAGE / "laws").glob("*.py"):
        assert all(
            name.startswith("bayescale.laws") for name in imported(path) if "bayescale" in name
        )


def test_what_follows_the_fit_never_imports_pymc():
    found = [
        path
        for path in modules()
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in WITHOUT_PYMC
    ]
    assert len(found) >= len(WITHOUT_PYMC)
    for path in found:
        assert not {"pymc", "nutpie", "pytensor"} & imported(path)


def test_public_names_complete_and_help_begins_with_what_to_call_first():
    assert set(bayescale.__all__) <= set(dir(bayescale))
    named = set(re.findall(r"(?<!`)`(\w+)`", bayescale.__doc__))
    assert {"read_runs", "fit", "check_fit", "answer_optima", "write_report"} <= named
    assert named <= set(bayescale.__all__)


def test_public_names_exist_are_exported_and_have_docstrings():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    names = [alias for statement in stub.body for alias in statement.names]
    assert sorted(alias.name for alias in names) == sorted(bayescale.__all__)
    for alias in names:
        assert alias.asname == alias.name  # else type checkers take it for private
        assert alias.name == "LAWS" or getattr(bayescale, alias.name).__doc__


HEAVY = {
    *("pandas", "scipy.special", "scipy.stats", "xarray"),
    *("arviz", "pymc", "nutpie", "matplotlib"),
}
"""What takes from a tenth of a second to seconds to import."""

CONSTANTS = "chinchilla: E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283"


def imports_of(code: str, *arguments: str, folder: Path) -> tuple[int, str, set[str]]:
    """Run code in a process of its own; return its exit code, what it said, what it imported."""
    told = folder / "modules.json"
    ending = f"import json, sys\ntry:\n    {code}\nfinally:\n    "
    ending += f"open({str(told)!r}, 'w').write(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", ending, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, set(json.loads(told.read_text()))


def test_public_names_are_loaded_when_first_used(tmp_path):
    code, _, modules = imports_of("import bayescale", folder=tmp_path)
    others = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    _, _, before = imports_of("pass", folder=tmp_path)  # what the environment starts with
    others -= {name.partition(".")[0] for name in before}
    assert (code, others) == (0, {"bayescale", "lazy_loader"})  # 15 ms of processor time
    assert {name for name in modules if name.startswith("bayescale")} == {"bayescale"}
    _, _, modules = imports_of("import bayescale; bayescale.read_runs", folder=tmp_path)
    assert modules & HEAVY == {"pandas"}
    _, _, modules = imports_of("import bayescale; bayescale.available_models()", folder=tmp_path)
    assert modules & HEAVY == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "forecast"),
        (["models"], 0, "chinchilla-normal"),
        (["models", "show", "chinchilla"], 0, 'law = "chinchilla"'),
        (["datasets"], 0, "minisweep"),
        (["plan", "--help"], 0, "overtraining"),
        (["fit", "runs.csv", "--seed", "-1"], 2, "Invalid value"),
        (["fit", "runs.csv", "--unit", "params=many"], 2, "'many' is not a number"),
        (["fit", "runs.csv", "--column", "params"], 2, "write it as NAME=VALUE"),
        (["fit", "runs.csv", "--mid-schedule", "drop"], 2, "write exclude, keep"),
        (["fit", "runs.csv", "--group", "family"], 2, "take a hierarchical model"),
        (["fit", "runs.csv", "--model", "chinchla"], 2, "did you mean 'chinchilla'"),
        (["report", "runs.csv", "--flops", "-1"], 2, "no positive number"),
        (
            ["report", "runs.csv", "--model", "power-law-tokens", "--approaches"],
            2,
            "needs a joint law",
        ),
        (["compare", "runs.csv", "--models", "chinchilla,kapln"], 2, "did you mean 'kaplan'"),
        (["compare", "runs.csv", "--plans", "none.csv"], 2, "none.csv: no such file"),
        (["datasets", "chinchila"], 2, "did you mean 'chinchilla'"),
        *(
            ([command, "none.csv", *more], 2, "none.csv: no such file")
            for command, *more in (
                ["report"],
                ["fit"],
                ["check"],
                ["compare"],
                ["backtest"],
                ["curves", "--x", "tokens"],
                ["forecast", "--x", "tokens", "--at", "1e12"],
            )
        ),
        (["check", "none.nc"], 2, "none.nc: no such file"),
        (["optima", "none.nc", "--flops", "1e24"], 2, "none.nc: no such file"),
        (["plan", "none.nc", "plans", "plans.csv"], 2, "none.nc: no such file"),
        (["plan", CONSTANTS, "plans", "none.csv"], 2, "none.csv: no such file"),
        (["plan", "chinchla: E=1", "plans", "none.csv"], 2, "did you mean 'chinchilla'"),
        (["plan", CONSTANTS, "plans", "none.csv", "--peak", "1"], 2, "give --per-hour"),
        (["plan", CONSTANTS, "multiplier", "--reference", "b"], 2, "--group NAME"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_needs_no_table_and_no_fit_imports_nothing_heavy(arguments, code, said, tmp_path):
    found = imports_of("from bayescale.cli import main; main()", *arguments, folder=tmp_path)
    assert found[0] == code
    assert said in found[1]
    assert found[2] & HEAVY == set()


@pytest.mark.slow
def test_a_command_that_needs_a_table_or_a_fit_imports_what_reads_it(tmp_path):
    run = "from bayescale.cli import main; main()"
    code, _, modules = imports_of(run, "datasets", "minisweep", folder=tmp_path)
    assert (code, modules & HEAVY) == (0, {"pandas"})
    (tmp_path / "fit.nc").write_text("no netCDF")
    code, _, modules = imports_of(run, "optima", "fit.nc", "--flops", "1e24", folder=tmp_path)
    assert (code, modules & {"nutpie", "xarray"}) == (2, {"nutpie", "xarray"})


def test_models_are_made_where_the_source_names_the_compiled_code():
    makers = {part(module_name(path)) for path in modules() if "pymc" in imported(path)}
    assert makers == {"modelling"}
    rooms = [path for room in _ROOMS for path in (PACKAGE / room).rglob("*.py")]
    others = {part(name) for path in rooms for name in imported(path) if "bayescale." in name}
    assert others - set(_ROOMS) == {"arguments", "display", "errors", "files", "words"}
