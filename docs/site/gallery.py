"""The gallery: code of gallery.md is run, what it draws follows it; then pictures of notebooks."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from executed import Notebook

import bayescale

BLOCK = re.compile(r"(```python\n(.*?)```\n)", re.DOTALL)
ROOT = Path(__file__).parents[2]


def notebooks() -> list[Path]:
    """Paths of the notebooks, which are kept with their outputs.

    Returns
    -------
    list of Path
    """
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def pages(found: Sequence[Notebook]) -> dict[str, str | bytes]:
    """Draw the gallery.

    Parameters
    ----------
    found : sequence of Notebook
        For pictures that the gallery's own code does not draw.

    Returns
    -------
    dict of str to str or bytes
        The page and its pictures, by path.
    """
    source = (Path(__file__).parent / "gallery.md").read_text("utf-8")
    made: dict[str, str | bytes] = {}
    page = "".join(_drawn(source, made))
    own = set(re.findall(r"\bbs\.(plot_\w+)", source))
    page += "\n## From the notebooks\n"
    for notebook in found:
        for name, (code, picture) in notebook.drawn.items():
            if name not in own:
                own.add(name)
                drawing = str(getattr(bayescale, name).__doc__).split("\n", 1)[0]
                page += (
                    f"\n{drawing} From [{notebook.title}](notebooks/{notebook.path.stem}.md):\n\n"
                    f"```python\n{code}\n```\n\n![{name}](notebooks/{picture})\n"
                )
    return {"gallery.md": page, **made}


def _drawn(source: str, made: dict[str, str | bytes]) -> Iterator[str]:
    """Markdown with a picture, or what was printed, after each block that makes one."""
    mpl.use("Agg")
    given: dict[str, Any] = {}
    end = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about so small a table
        for found in BLOCK.finditer(source):
            yield source[end : found.end()]
            yield from _output(found[2], given, made)
            end = found.end()
    yield source[end:]


def _output(code: str, given: dict[str, Any], made: dict[str, str | bytes]) -> Iterator[str]:
    """Run a block; say what it printed, and show what it drew."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "gallery.md", "exec"), given)
    if said.getvalue():
        yield f"\n```text\n{said.getvalue().rstrip()}\n```\n"
    names = re.findall(r"\bbs\.(plot_\w+)", code)
    for number, name in zip(plt.get_fignums(), names, strict=True):
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, format="png", dpi=90)
        made[f"pictures/{name}.png"] = picture.getvalue()
        yield f"\n![{name}](pictures/{name}.png)\n"
    plt.close("all")
