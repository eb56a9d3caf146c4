"""The documentation site: what its pages are made of, and whether it builds without a warning."""

import base64
import inspect
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import hooks
import listings
import nbformat
import pytest
import typer
from executed import read
from formulas import DISPLAY, INLINE, Formulas, mathml
from markdown import Markdown
from markdown.extensions.toc import slugify

import bayescale
from bayescale import available_models
from bayescale.cli import app
from bayescale.laws import LAWS

ROOT = Path(__file__).parents[1]


def rendered(text: str) -> str:
    names = {"fit", "compute_optimal"}
    return Markdown(extensions=["fenced_code", Formulas(names)]).convert(text)


def test_formulas_become_mathml_outside_of_code():
    page = rendered("So :math:`x^2` is.\n\n.. math:: a = b,\n    c\n\n```\n:math:`x`\n```\n")
    assert page.count("<math") == 2
    assert '<div class="formula">' in page
    assert ":math:`x`" in page  # in the block of code


def test_a_formula_may_begin_below_its_directive_and_have_rows():
    page = rendered("It is\n\n.. math::\n\n    a &= \\big(b\\big)^k \\\\\n    c &= d\n\nhere.\n")
    assert page.count("<math") == 2
    assert "math::" not in page
    assert "&amp;" not in page
    assert "big" not in page


def test_every_formula_of_a_law_is_understood():
    texts = [inspect.getdoc(law.function) or "" for law in LAWS.values()]
    found = [one for text in texts for one in (*INLINE.findall(text), *DISPLAY.findall(text))]
    assert len(found) > 50
    assert sum(map(len, map(DISPLAY.findall, texts))) == sum(t.count(".. math::") for t in texts)
    assert [one for one in found if "\\" in mathml(one)] == []
    assert "\\" in mathml(r"\unknownthing{x}")  # which would have been seen


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        (r"\log L", '<mi>log</mi><mo>&#x2061;</mo><mspace width="0.17em"/><mi>L</mi>'),
        (r"\log(x)", "<mi>log</mi><mo"),
        (r"L_{min}", "<mi>min</mi>"),
        (r"e^{pu}", "<mi>p</mi><mi>u</mi>"),
        (r"c'", '<mi>c</mi><mo lspace="0"'),
    ],
)
def test_what_fonts_would_have_to_do_is_done(formula, shown):
    assert shown in mathml(formula)


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("`bs.fit`", True),
        ("`bs.fit()`", True),
        ("`compute_optimal`", True),
        ("`fit`", False),  # a command, a variable
        ("`bs.nothing`", False),
        ("[`bs.fit`](x.md)", False),
        ("## `bs.fit`", False),
    ],
)
def test_names_are_linked_to_the_reference(text, linked):
    assert ("<autoref" in rendered(text)) is linked


def test_every_public_name_has_one_place_in_the_reference():
    listed = [name for names in listings.public().values() for name in names]
    assert sorted(listed) == sorted(bayescale.__all__)
    pages = "".join(listings.pages_of_python({}).values())
    assert sorted(re.findall(r"^::: bayescale\.(\w+)$", pages, re.MULTILINE)) == sorted(listed)


def test_what_a_page_uses_is_found():
    page = "`bs.fit(runs)`, `bs.load_fit`\n\n```python\nfit: bs.Fit = bs.read_fit()\n```\nbs.law"
    assert listings.used(page) == {"fit", "Fit", "read_fit"}


def test_every_public_name_has_an_example():
    """In its docstring, or on a page that the reference links it to."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    used = set().union(*(listings.used(page.read_text("utf-8")) for page in pages))
    names = set(bayescale.__all__) - used
    assert [one for one in names if ">>>" not in (getattr(bayescale, one).__doc__ or "")] == []


def test_all_models_laws_and_commands_are_shown():
    models = re.findall(r"^## (.+)$", listings.page_of_models(), re.MULTILINE)
    assert sorted(models) == sorted(available_models())
    laws = re.findall(r"^::: bayescale\.laws\.\w+\.(\w+)$", listings.page_of_laws(), re.MULTILINE)
    assert set(laws) == {law.name for law in LAWS.values() if _ours(law)}
    commands = set(re.findall(r"^## bayescale (\S+)", listings.page_of_commands(), re.MULTILINE))
    assert commands == set(typer.main.get_command(app).commands)


def _ours(law):
    return law.function.__module__.startswith("bayescale.")


def test_a_notebook_becomes_a_page(tmp_path):
    pixel = base64.b64encode(b"\x89PNG, and so on").decode()
    outputs = [
        nbformat.v4.new_output("stream", text="\x1b[1mred\x1b[0m\n"),
        nbformat.v4.new_output("display_data", {"image/png": pixel}),
        nbformat.v4.new_output("display_data", {"text/html": "<b>x</b>\n\n<i>y</i>"}),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\n[a](../docs/reading.md), [b](02-more.ipynb)"),
        nbformat.v4.new_code_cell("%magic\nbs.plot_curve(fit)", outputs=outputs),
    ]
    path = tmp_path / "09-own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    page = read(path)
    assert page.title == "Title"
    assert "[a](../reading.md), [b](02-more.md)" in page.markdown
    assert "%magic" not in page.markdown
    assert "```text\nred\n```" in page.markdown
    assert page.drawn == {"plot_curve": ("bs.plot_curve(fit)", "09-own-0.png")}
    assert page.pictures["09-own-0.png"].startswith(b"\x89PNG")
    assert "<b>x</b>\n\n<i>y</i></div>" in page.filled(Markdown().convert(page.markdown))


@pytest.mark.parametrize(("size", "wide"), [((900, 400), True), ((600, 400), False)])
def test_panels_beside_each_other_are_named(size, wide):
    picture = SimpleNamespace(
        content_bytes=b"\x89PNG\r\n\x1a\n    IHDR" + struct.pack(">II", *size)
    )
    page = SimpleNamespace(file=SimpleNamespace(src_uri="how/a.md", url="how/a.html"))
    files = SimpleNamespace(get_file_from_path={"b.png": picture}.get)
    html = hooks.on_page_content('<img alt="B" src="../b.png">', page, None, files)
    assert ('class="wide" alt' in html) is wide
    gone = '<img alt="C" src="../c.png">'
    assert hooks.on_page_content(gone, page, None, files) == gone


def test_a_type_alone_has_no_dash():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md", url="a.html"))
    item = '(<code>int</code>)\n  –\n <div class="doc-md-description">\n{}</div>'
    assert hooks.on_page_content(item.format(" "), page, None, None) == "(<code>int</code>)"
    assert "–" in hooks.on_page_content(item.format("<p>Said.</p>"), page, None, None)


def anchors(page: Path) -> set[str]:
    """Anchors that the headings of a page have."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {slugify(heading, "-") for heading in headings}


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_links_of_a_notebook_hold(path):
    links = re.findall(r"\]\((\.\./docs/[\w/-]+\.md)(?:#([\w-]+))?\)", path.read_text("utf-8"))
    pages = [(path.parent / page).resolve() for page, _ in links]
    assert [page for page in pages if not page.exists()] == []
    named = [(page, anchor) for page, (_, anchor) in zip(pages, links, strict=True) if anchor]
    assert [(page, anchor) for page, anchor in named if anchor not in anchors(page)] == []


def test_anchors_are_those_of_headings(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n\n## Does a setting transfer?\n\ntext\n")
    assert anchors(page) == {"a-title", "does-a-setting-transfer"}


class _Page(HTMLParser):
    """Anchors of a page, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        loads = tag in ("script", "img", "source", "iframe") or given.get("rel") == "stylesheet"
        target = given.get("src") or given.get("href")
        if target:
            (self.loaded if loads else self.links).append(target)


def broken(folder: Path) -> Iterator[str]:
    """What pages refer to and is not there, and what they would load from a network."""
    pages = {path: _Page(path) for path in folder.rglob("*.html") if path.name != "404.html"}
    for path, page in pages.items():
        for target in [*page.links, *page.loaded]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    yield f"{path.name} loads {target}"
                continue
            other = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = {"", *pages[other].anchors} if other in pages else {""}
            if not other.exists() or unquote(parts.fragment) not in anchors:
                yield f"{path.name}: {target}"


def test_broken_links_are_found(tmp_path):
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there"></a><a href="b.html#gone"></a><a href="c.html"></a>'
        '<a href="https://example.org"></a><script src="https://example.org/x.js"></script>'
    )
    assert list(broken(tmp_path)) == [
        "a.html: b.html#gone",
        "a.html: c.html",
        "a.html loads https://example.org/x.js",
    ]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_links_hold(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    config = ["--config-file", ROOT / "docs" / "site" / "mkdocs.yml", "--site-dir", tmp_path]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # Material's own, about its end of life
    made = subprocess.run(
        [*command, *config], capture_output=True, text=True, check=False, env=quiet
    )
    assert made.returncode == 0, made.stderr
    assert "WARNING" not in made.stderr
    assert list(broken(tmp_path)) == []
    anchors = set().union(*(_Page(one).anchors for one in (tmp_path / "reference").glob("*.html")))
    assert {f"bayescale.{name}" for name in bayescale.__all__} <= anchors
    assert {f"bayescale-{name}" for name in typer.main.get_command(app).commands} & anchors
    pictures = list((tmp_path / "pictures").glob("*.png"))
    assert len(pictures) > 10
    assert min(picture.stat().st_size for picture in pictures) > 5_000


def test_pictures_of_pages_are_shown_and_made_by_code_that_is_kept():
    pages = [ROOT / "README.md", ROOT / "bayescale" / "data" / "README.md"]
    pages += (ROOT / "docs").glob("*.md")
    shown = "\n".join(page.read_text("utf-8") for page in pages)
    code = "\n".join(re.findall(r"```python\n(.*?)```", shown, re.DOTALL))
    code += (ROOT / "sweep" / "describe.py").read_text("utf-8")
    ours = (ROOT / "benchmarks" / "calibration_page.py").read_text("utf-8")
    assert 'f"{path.stem}-{first // each + 1}.png"' in ours
    pictures = [path.name for path in (ROOT / "docs").glob("*.png")]
    assert [name for name in pictures if f"{name})" not in shown] == []
    assert {name for name in pictures if f'"{name}"' not in code} == {
        name for name in pictures if re.fullmatch(r"calibration-\d+\.png", name)
    }
