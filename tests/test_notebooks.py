"""Notebooks are short, run from top to bottom without noise, and are kept as they ran."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HEADINGS = (
    "The table",
    "The fit",
    "The answer",
    "The picture",
    "What could discredit it",
    "What these data cannot say",
    "Go on",
)
"""What each notebook has, in this order; others may stand between."""

NOTEBOOK = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [own for own in nbformat.read(path, as_version=4).cells if own.cell_type == kind]


def outputs(notebook):
    return [
        (cell.source.splitlines()[0], output)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


def noise(notebook):
    """First lines of the cells that warned or failed."""
    loud = [line for line, own in outputs(notebook) if own.get("name") == "stderr"]
    return loud + [line for line, own in outputs(notebook) if own.output_type == "error"]


def headings(path):
    text = "\n".join(own.source for own in cells(path, "markdown"))
    return re.findall(r"(?m)^## (.+)$", text)


def missing(found, wanted=HEADINGS):
    """Headings that do not come in their order."""
    rest = iter(found)
    return [name for name in wanted if name not in rest]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client, not ours
@NOTEBOOK
def test_notebook_runs_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
    assert not noise(notebook)


@NOTEBOOK
def test_notebook_is_kept_executed_and_small(path):
    code = cells(path, "code")
    assert [own.execution_count for own in code] == list(range(1, len(code) + 1))
    assert path.stat().st_size < 400_000
    assert not noise(nbformat.read(path, as_version=4))


@NOTEBOOK
def test_notebook_asks_answers_and_doubts(path):
    first = cells(path, "markdown")[0].source
    assert first.startswith("# ")
    assert "?" in first, "the question comes first"
    assert not missing(headings(path))


@NOTEBOOK
def test_notebook_names_no_place_of_this_machine(path):
    notebook = nbformat.read(path, as_version=4)
    for _, output in outputs(notebook):
        output.get("data", {}).pop("image/png", None)  # any letters may stand there
    assert not re.findall(r"/(?:home|root|tmp|work|Users|usr)/\S*", nbformat.writes(notebook))


@NOTEBOOK
def test_links_of_a_notebook_lead_somewhere(path):
    text = "\n".join(own.source for own in cells(path, "markdown"))
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (path.parent / link).exists(), link


def test_a_missing_heading_or_a_warning_is_found():
    assert missing(["The table", "The answer", "The fit"], HEADINGS[:3]) == ["The answer"]
    warned = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: ...")
    cell = nbformat.v4.new_code_cell("bs.fit(table)", outputs=[warned])
    assert noise(nbformat.v4.new_notebook(cells=[cell])) == ["bs.fit(table)"]
