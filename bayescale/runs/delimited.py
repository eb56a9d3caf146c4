"""Text of columns between separators, as CSV: which separator, which mark of decimals."""

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bayescale.errors import RunsError

if TYPE_CHECKING:
    import pandas as pd

_BLANKS = r"\s+"
_NAMES = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    _BLANKS: "blanks",
}
_MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "<NA>",
    "nan",
    "NaN",
    "NAN",
    "-nan",
    "-NaN",
    "null",
    "NULL",
    "None",
    "-",
    "--",
    "\N{EN DASH}",
    "\N{EM DASH}",
)
_SAMPLE = 200  # lines that tell the separator

_NUMBER = re.compile(r"[\d.,]+(e[+-]?\d+)?", re.I)
_COMMA_IS_DECIMAL = re.compile(
    r"[+-]?(\d{1,3}(\.\d{3})+,\d+|\d+,(\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+|\d+,\d+e[+-]?\d+)", re.I
)
_POINT_IS_DECIMAL = re.compile(r"[+-]?(\d{1,3}(,\d{3}){2,}|\d{1,3}(,\d{3})+\.\d+)", re.I)


def read_delimited(text: str) -> tuple["pd.DataFrame", list[str], str]:
    """Read a table from text in which one separator stands between columns.

    Parameters
    ----------
    text : str

    Returns
    -------
    table : pandas.DataFrame
        The index counts the rows below the header from 0; rows of blanks are left out.
    ledger : list of str
        What was done beyond reading commas, one sentence each.
    decimal : str
        The mark of decimals.

    Raises
    ------
    RunsError
        For a line that has not one field for each column, a quote that is not closed, or a header
        that names a column twice.
    ValueError
        If there is no table at all.
    """
    import pandas as pd

    body, skipped = _below_comments(io.StringIO(text, newline=None).read())
    separator = _sniffed(body)
    marks = _require_fields(body, separator, skipped)
    decimal = "," if marks["comma"] and not marks["point"] else "."
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        raw = pd.read_csv(
            io.StringIO(body),
            sep=separator,
            index_col=False,
            usecols=range(marks["columns"]),
            decimal=decimal,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=_MISSING,
            low_memory=False,  # one type a column, whatever its length
        )
    table = raw.dropna(how="all")
    blank = len(raw) - len(table)
    ledger = [f"lines of comments at the top left out: {skipped}"] if skipped else []
    ledger += [f"columns separated by {_NAMES[separator]}"] if separator != "," else []
    ledger += ["decimals written with a comma"] if decimal == "," else []
    ledger += [f"rows of blanks left out: {blank}"] if blank else []
    return table, ledger, decimal


def _below_comments(text: str) -> tuple[str, int]:
    """Cut off ``sep=;`` of Excel and lines with ``#``, unless the last of these is the header."""
    lines = text.split("\n")
    skipped = int(re.fullmatch(r'"?sep=.?"?', lines[0].strip()) is not None)
    while skipped < len(lines) and lines[skipped].lstrip().startswith("#"):
        skipped += 1
    if skipped == 0 or skipped == len(lines):
        return text, 0
    header = lines[skipped - 1].lstrip("# ")
    first = next((line for line in lines[skipped:] if line.strip()), "")
    separator = _sniffed(f"{header}\n{first}")
    names, cells = (
        line.split(None if separator == _BLANKS else separator) for line in (header, first)
    )
    if len(names) == len(cells) > 1 and any(_NUMBER.fullmatch(cell.strip()) for cell in cells):
        return "\n".join([header, *lines[skipped:]]), skipped - 1
    return "\n".join(lines[skipped:]), skipped


def _sniffed(body: str) -> str:
    """Choose the separator that cuts most lines into as many fields as the header."""
    lines = [line for line in body.split("\n", _SAMPLE)[:_SAMPLE] if line.strip()]
    best, chosen = (0.0, 1), ""
    for separator in (",", ";", "\t", "|"):
        read = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        try:
            sizes = [len(fields) for fields in read]
        except csv.Error:  # a stray quote before more text than a cell may have
            continue
        score = (sizes.count(sizes[0]) / len(sizes), sizes[0]) if sizes else best
        if score[1] > 1 and score > best:
            best, chosen = score, separator
    parts = {len(line.split()) for line in lines}
    return chosen or (_BLANKS if len(parts) == 1 and max(parts) > 1 else ",")


def _records(text: str, separator: str, above: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Give the number of its first line and the fields of each record that is not empty."""
    if separator == _BLANKS:
        numbered = enumerate(text.split("\n"), above + 1)
        yield from ((number, line.split()) for number, line in numbered if line.strip())
        return
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    first = above + 1
    try:
        for fields in reader:
            if len(fields) > 1 or "".join(fields).strip():
                yield first, fields
            first = above + reader.line_num + 1
    except csv.Error as error:
        raise RunsError(
            f"the quotes from line {first} on do not match ({error})",
            "Remove the stray quote, or double it inside a quoted cell.",
        ) from error


def _require_fields(body: str, separator: str, above: int) -> Counter[str]:
    """Refuse lines that do not fit the header; count columns and cells that show the decimals."""
    records = _records(body, separator, above)
    first, fields = next(records, (0, []))
    if not fields:
        raise ValueError("it is empty")
    names = _header(fields, first)
    found = Counter(columns=len(names))
    for line, cells in records:
        _require_one_row(cells, names, separator, line)
        if separator != ",":
            found["comma"] += any(_COMMA_IS_DECIMAL.fullmatch(cell.strip()) for cell in cells)
            found["point"] += any(_POINT_IS_DECIMAL.fullmatch(cell.strip()) for cell in cells)
    return found


def _header(fields: list[str], line: int) -> list[str]:
    names = [name.strip() for name in fields]
    while names and not names[-1]:  # separators at the end of each line
        names.pop()
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        raise RunsError(
            f"more than one column named {twice[0]} in line {line}", "Rename or delete one."
        )
    return names


def _require_one_row(fields: list[str], names: list[str], separator: str, line: int) -> None:
    wanted, number = len(names), len(fields)
    if number < wanted or any(cell.strip() for cell in fields[wanted:]):
        many = "write decimals with a point, and put a cell that holds the separator in quotes"
        few = "write every column in each line, blank where its value is not known"
        raise RunsError(
            f"line {line} has {number} field{'s' * (number != 1)}, and the header names {wanted} "
            f"columns separated by {_NAMES[separator]}",
            f"{(few if number < wanted else many).capitalize()}.",
        )
    for cell in fields:
        if any(part.count(separator) >= max(wanted - 1, 1) for part in cell.split("\n")[:-1]):
            raise RunsError(
                f"a quoted cell that begins in line {line} holds whole rows",
                "Remove the stray quote there.",
            )
