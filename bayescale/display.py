"""How results show themselves: the same parts as HTML in notebooks and as text elsewhere.

HTML without colours, so that it reads on light and on dark ground alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

MOST_ROWS = 20
"""Rows of a grid that are shown."""


@dataclass(frozen=True)
class Bold:
    """A line that is read first: a title, or what speaks against all that follows.

    Parameters
    ----------
    text : str
    """

    text: str


@dataclass(frozen=True)
class Grid:
    """A small table of texts.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence of str
        Those beyond `MOST_ROWS` are counted, not shown.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def rest(self) -> str:
        """Says how many rows are not shown; empty where all are."""
        more = len(self.rows) - MOST_ROWS
        return f"and {more} more" if more > 0 else ""


type Part = str | Bold | Grid


class Shown:
    """What shows itself by parts that a class names."""

    def _parts(self) -> Iterable[Part]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n".join(map(_as_text, self._parts()))

    def _repr_html_(self) -> str:
        # The classes keep MathJax from reading names with $ as formulas.
        parts = "".join(map(_as_html, self._parts()))
        return f'<div class="tex2jax_ignore mathjax_ignore">{parts}</div>'


def _as_text(part: Part) -> str:
    if not isinstance(part, Grid):
        return part.text if isinstance(part, Bold) else part
    lines = [part.head, *part.rows[:MOST_ROWS]]
    lines = [[" ".join(cell.split()) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(f"  {text}" for text in (*texts, *filter(None, [part.rest])))


def _as_html(part: Part) -> str:
    if isinstance(part, Bold):
        return f"<p><strong>{escape(part.text)}</strong></p>"
    if isinstance(part, str):
        under = ' style="margin: 0 0 0 1.5em"' if part.startswith(" ") else ""  # of a heading
        return f"<p{under}>{escape(part.strip())}</p>" if part else ""
    head, *rows = (
        "".join(f'<{tag} style="text-align: left">{escape(cell)}</{tag}>' for cell in line)
        for tag, line in (("th", part.head), *(("td", row) for row in part.rows[:MOST_ROWS]))
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    rest = f"<p>{part.rest}</p>" if part.rest else ""
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table style="margin-bottom: 1em">{table}</table>{rest}'
