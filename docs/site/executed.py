"""Executed notebooks as pages: their text, code and outputs, none of it run again."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

HTML = '<div class="output" id="output-{0}"></div>'
COLOURS = re.compile(r"\x1b\[[\d;]*m")


@dataclass
class Notebook:
    """A page made of a notebook.

    Parameters
    ----------
    path : Path
    markdown : str
        With an empty ``div`` in place of each output that is HTML.
    html : list of str
        What belongs there.
    pictures : dict of str to bytes
        By the names that the page gives them.
    drawn : dict of str to tuple of str
        Code and picture of each function that draws, the first of each.
    """

    path: Path
    markdown: str = ""
    html: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    drawn: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.markdown.split("\n", 1)[0].lstrip("# ")

    def filled(self, html: str) -> str:
        """Put outputs into the page made of the Markdown.

        Parameters
        ----------
        html : str

        Returns
        -------
        str
        """
        for number, own in enumerate(self.html):
            place = HTML.format(number)
            html = html.replace(place, place.replace("></div>", f">{own}</div>"))
        return html


def read(path: Path) -> Notebook:
    """Make a page of a notebook.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Notebook
    """
    page = Notebook(path)
    page.markdown = "\n\n".join(_cells(nbformat.read(path, as_version=4).cells, page)) + "\n"
    return page


def _cells(cells: list[Any], page: Notebook) -> Iterator[str]:
    for cell in cells:
        if cell.cell_type == "markdown":
            text = cell.source.replace("](../docs/", "](../")
            yield re.sub(r"\]\(([\w-]+)\.ipynb\)", r"](\1.md)", text)
            continue
        code = "\n".join(line for line in cell.source.split("\n") if not line.startswith("%"))
        yield f"```python\n{code.rstrip()}\n```"
        for output in cell.outputs:
            yield from _output(output, code, page)


def _output(output: Any, code: str, page: Notebook) -> Iterator[str]:
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{page.path.stem}-{len(page.pictures)}.png"
        page.pictures[name] = base64.b64decode(data["image/png"])
        for function in re.findall(r"\bbs\.(plot_\w+)", code):
            page.drawn.setdefault(function, (code.strip(), name))
        yield f"![What the code above draws]({name})"
    elif "text/html" in data:
        page.html.append(data["text/html"])
        yield HTML.format(len(page.html) - 1)
    else:
        text = COLOURS.sub("", output.get("text") or data.get("text/plain", ""))
        yield f"```text\n{text.rstrip()}\n```"
