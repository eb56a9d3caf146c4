"""Formulas and names in Markdown: MathML, which needs no script, and links to the reference."""

import re
from collections.abc import Collection
from typing import Any
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

INLINE = re.compile(r":math:`([^`]+)`")
DISPLAY = re.compile(r"^\.\. math::(?: |\n\n {4})(.+(?:\n {4}.+)*)", re.MULTILINE)
TYPESETTING = {
    # log L, not logL; but log(x)
    r"<mi>(log|exp|ln)</mi>(?!<mo stretchy=\"false\">&#x00028;|</)": (
        r'<mi>\1</mi><mo>&#x2061;</mo><mspace width="0.17em"/>'
    ),
    # a word below a symbol is no product of letters
    r"(<msub><mi>[^<]*</mi>)<mrow>((?:<mi>[a-z]</mi>){2,})</mrow>": (
        lambda found: f"{found[1]}<mi>{re.sub('</?mi>', '', found[2])}</mi>"
    ),
    # a prime is raised by itself
    r"<msup>(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msup>": (
        r'<mrow>\1<mo lspace="0" rspace="0">&#x02032;</mo></mrow>'
    ),
}
"""What the converter leaves to fonts that few machines have."""
NAME = re.compile(r"(bs\.)?([A-Za-z]\w*)(?:\(\))?")


def mathml(formula: str, display: str = "inline") -> str:
    """Write a formula as browsers read it without a script.

    Parameters
    ----------
    formula : str
        LaTeX, of one line or more. Rows, which end in two backslashes, stand below each other.
    display : str, optional
        "inline" or "block".

    Returns
    -------
    str
    """
    # brackets that grow on one side only are worse than small ones
    plain = re.sub(r"\\big(?=[()])|&", "", " ".join(formula.split()))
    html = "".join(convert(row, display=display) for row in plain.split(r"\\"))
    for pattern, instead in TYPESETTING.items():
        html = re.sub(pattern, instead, html)
    return html


class _Formulas(Preprocessor):
    """Turn formulas of docstrings into MathML."""

    def run(self, lines: list[str]) -> list[str]:
        """Replace them, in whatever stands outside of blocks of code."""
        text = DISPLAY.sub(lambda found: self._kept(found[1], "block"), "\n".join(lines))
        return INLINE.sub(lambda found: self._kept(found[1], "inline"), text).split("\n")

    def _kept(self, formula: str, display: str) -> str:
        box = "div" if display == "block" else "span"
        html = f'<{box} class="formula">{mathml(formula, display)}</{box}>'
        return str(self.md.htmlStash.store(html))


class _Links(Treeprocessor):
    """Link names of the package, such as ``bs.fit``, to what the reference says of them."""

    def __init__(self, md: Markdown, names: Collection[str]) -> None:
        super().__init__(md)
        self.names = names

    def run(self, root: Element) -> None:
        """Wrap the code of each name in a reference that the build resolves."""
        for parent in root.iter():
            if parent.tag in ("a", "pre", "autoref", "h1", "h2", "h3", "h4", "h5"):
                continue
            for place, child in enumerate(parent):
                name = self._named(child)
                if name:
                    link = Element("autoref", identifier=f"bayescale.{name}", optional="")
                    link.tail, child.tail = child.tail, None
                    link.append(child)
                    parent[place] = link

    def _named(self, element: Element) -> str:
        """Name that an element is of: words such as `fit` alone are also commands and variables."""
        found = NAME.fullmatch(element.text or "") if element.tag == "code" else None
        if found is None or found[2] not in self.names:
            return ""
        alone = found[1] is None and "_" not in found[2]
        return "" if alone else found[2]


class Formulas(Extension):
    """Both of them.

    Parameters
    ----------
    names : collection of str
        Names that the reference explains.
    """

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names

    def extendMarkdown(self, md: Any) -> None:
        """Run after blocks of code were taken out, and after emphasis was found."""
        md.preprocessors.register(_Formulas(md), "formulas", 18)
        md.treeprocessors.register(_Links(md, self.names), "names", 15)
