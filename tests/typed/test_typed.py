"""A user's program runs, and mypy checks it with the package (`files` in pyproject.toml)."""

import runpy
from pathlib import Path

import bayescale

HERE = Path(__file__).parent
SCRIPT = HERE / "user_script.py"


def test_a_users_program_runs(capsys):
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out
    assert "For 1e21 FLOPs: 2.28B parameters" in said
    assert " 1.93 chinchilla " in said


def test_mypy_is_told_of_it_and_the_package_says_that_it_has_types():
    configured = (HERE.parents[1] / "pyproject.toml").read_text("utf-8")
    assert f'"{SCRIPT.relative_to(HERE.parents[1]).as_posix()}"' in configured
    assert (Path(bayescale.__file__).parent / "py.typed").exists()
