"""The table that opens a report: every answer in one row, how far out it is, what it is worth."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bayescale import words
from bayescale.decisions.answer import TWICE, Quantity, parts_of, response_writer
from bayescale.decisions.predictions import of_new_run
from bayescale.decisions.tune import SURE, setting
from bayescale.laws import LOSS, Response

_COUNTED = {"params": "parameters"}
_FEW = 4  # groups of which each answer has a row of its own
_ABREAST = 3  # answers beside one another on a terminal of 80 columns


class Cell(NamedTuple):
    """What stands in one place of the table; as a detail its interval, or the reason for it."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class Headline:
    """Answers as a table for people.

    Parameters
    ----------
    columns : tuple of str
    rows : tuple of tuple of Cell
        One for each answer, a cell for each column; the last is the verdict.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def text(self, width: int = 80) -> str:
        """Write the table for a terminal, answers beside one another.

        Parameters
        ----------
        width : int, optional
            Columns of the terminal.

        Returns
        -------
        str
        """
        return "\n\n".join(self._abreast(part, width) for part in batched(self.rows, _ABREAST))

    def _abreast(self, rows: Sequence[Sequence[Cell]], width: int) -> str:
        first, *others = range(len(self.columns))
        table = Table(box=None, pad_edge=False, header_style="")
        table.add_column(self.columns[first])
        for row in rows:
            table.add_column(row[first].text)
        for place in others:
            cells = [row[place] for row in rows]
            table.add_row(self.columns[place], *("\n".join(filter(None, c)) for c in cells))
        console = Console(file=io.StringIO(), width=max(width, 60), markup=False, highlight=False)
        with console.capture() as captured:
            console.print(table)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())


def headline(numbers: Mapping[str, Any], response: Response) -> Headline | None:
    """Set the answers of a report, or of a question, in a table.

    Parameters
    ----------
    numbers : mapping
        With ``optima``, ``predictions`` or ``settings``, as
        `bayescale.decisions.allocation.answer_optima`,
        `bayescale.decisions.predictions.answer_predictions` and
        `bayescale.decisions.tune.answer_settings` have them.
    response : Response
        What the law says.

    Returns
    -------
    Headline or None
        None where there is no such answer.
    """
    if numbers.get("settings"):
        return _of_settings(numbers["settings"]["cells"])
    entries = numbers.get("optima") or numbers.get("predictions") or []
    groups = dict.fromkeys(entry["group"] for entry in entries)
    if len(groups) > _FEW and not numbers.get("optima"):
        apart = ([e for e in entries if e["group"] == name] for name in groups)
        column = (numbers.get("groups") or {}).get("column", "group")
        rows = [dict(_of_group(own, response, column)) for own in apart]
    else:
        rows = [dict(_cells(entry, response)) for entry in entries]
    if not rows:
        return None
    return Headline(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))


def _of_settings(cells: Sequence[Mapping[str, Any]]) -> Headline:
    """Set the best settings of the cells of a sweep in a table, the largest cells first."""
    knobs = list(cells[0]["best"])
    rows = []
    for cell in sorted(cells, key=lambda own: (own["params"] or 0, own["tokens"] or 0))[::-1]:
        best = [Cell(*parts_of(cell["best"][knob], setting)) for knob in knobs]
        least = min(cell["p_inside"].values())
        word = "bracketed" if least >= SURE else "a bound"
        rows.append(
            (Cell(cell["cell"]), *best, Cell(word, f"with a probability of {words.chance(least)}"))
        )
    return Headline(
        ("cell", *(f"best {knob}" for knob in knobs), "within what was tried"), tuple(rows)
    )


def _cells(entry: Mapping[str, Any], response: Response) -> Iterator[tuple[str, Cell]]:
    """Columns of one answer by their titles."""
    group = "" if entry["group"] is None else f"{entry['group']}, "
    if "flops" in entry:
        yield "budget", Cell(f"{group}{words.flops(entry['flops'])} FLOPs")
        yield "parameters N*", _count(entry["params"])
        yield "tokens D*", _count(entry["tokens"])
        yield "tokens per parameter", _number(entry["tokens_per_param"])
        if entry[LOSS.column] is not None:  # isoFLOP profiles say no loss of other budgets
            yield _title(LOSS.name, response.unit), _of(entry[LOSS.column], response)
    else:
        axis, own = entry["axis"], response.column
        unit = " FLOPs" if axis == "flops" else ""
        title = "compute" if axis == "flops" else axis
        yield title, Cell(f"{group}{words.size(axis, entry['value'])}{unit}")
        yield _title(response.name, response.unit), _of(entry[own], response)
        yield "a new run, noise included", _of(entry[of_new_run(response)], response)
    yield "beyond the runs", _how_far(entry)
    yield "verdict", Cell(entry["verdict"]["word"], entry["verdict"]["reason"])


def _of_group(
    entries: Sequence[Mapping[str, Any]], response: Response, column: str
) -> Iterator[tuple[str, Cell]]:
    """Columns of all predictions of one group, of which there are many: one for each size."""
    yield column, Cell(entries[0]["group"])
    for entry in entries:
        law, ends = parts_of(entry[response.column], response_writer(response))
        _, of_run = parts_of(entry[of_new_run(response)], response_writer(response))
        unit = "FLOPs" if entry["axis"] == "flops" else entry["axis"]
        title = f"{response.name} at {words.size(entry['axis'], entry['value'])} {unit}"
        yield title, Cell(law, f"{ends}, a new run {of_run}")
    yield "beyond the runs", _how_far(entries[-1])
    yield "verdict", Cell(entries[-1]["verdict"]["word"], entries[-1]["verdict"]["reason"])


def _title(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


def _count(value: Quantity) -> Cell:
    return Cell(*parts_of(value, words.count, words.span))


def _number(value: Quantity) -> Cell:
    return Cell(*parts_of(value, words.significant))


def _of(value: Quantity, response: Response) -> Cell:
    return Cell(*parts_of(value, response_writer(response)))


def _how_far(entry: Mapping[str, Any]) -> Cell:
    decades = entry["decades_beyond"]
    if decades is None:
        return Cell("no runs")
    far = [
        f"{words.significant(10**value, 2)}× the {_COUNTED.get(name, name)}"
        for name, value in entry.get("beyond", {}).items()
        if name != "tokens_per_param" and value is not None and value > TWICE
    ]
    return Cell(words.times_out(decades) if decades else "within them", ", ".join(far))
