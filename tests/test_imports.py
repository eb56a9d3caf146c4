"""Imports go one way, and the public names exist."""

import ast
import subprocess
import sys
from pathlib import Path

import bayescale

PACKAGE = Path(bayescale.__file__).parent
ORDER = [
    "errors",
    "readable",
    "intervals",
    "files",
    "tables",
    "laws",
    "compiling",
    "doubts",
    "schedule",
    "runs",
    "replicates",
    "publishers",
    "datasets",
    "priors",
    "noise",
    "spec",
    "design",
    "groups",
    "anchoring",
    "weighting",
    "model",
    "curve_model",
    "sampling",
    "fitting",
    "prediction",
    "optima",
    "stacking",
    "scoring",
    "cuts",
    "backtesting",
    "backtest_summary",
    "decisions",
    "checks",
    "forecasts",
    "approaches",
    "cross_validation",
    "comparison",
    "comparison_summary",
    "summary",
    "answers",
    "advice",
    "plots",
    "sections",
    "report",
    "cli",
    "__main__",
]
"""Every module may import only from those before it."""
WITHOUT_PYMC = ORDER[ORDER.index("optima") : -1]


def modules():
    return [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


def part(name: str) -> str:
    """`bayescale.laws.law` -> `laws`."""
    return name.split(".")[1]


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
        own = part(".".join(("bayescale", *path.relative_to(PACKAGE).with_suffix("").parts)))
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


def test_public_names_exist_and_have_docstrings():
    assert sorted(name for names in bayescale._HOME.values() for name in names) == sorted(
        bayescale.__all__
    )
    for name in bayescale.__all__:
        assert name == "LAWS" or getattr(bayescale, name).__doc__


def test_listing_models_does_not_import_pymc():
    code = (
        "import sys, bayescale; bayescale.available_models(); bayescale.read_runs;"
        "sys.exit('pymc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
