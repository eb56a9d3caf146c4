"""Files to tables: the formats that can be read, and what makes a file no table."""

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayescale.errors import RunsError
from bayescale.runs.delimited import read_delimited
from bayescale.runs.records import read_json

if TYPE_CHECKING:  # what is refused before a table is read does not wait for pandas
    import pandas as pd

type Table = pd.DataFrame
"""A pandas table, for modules that speak of one and do not need pandas yet."""

_DELIMITED = (".csv", ".tsv", ".txt")
_JSON = (".json", ".jsonl", ".ndjson")
_KINDS = (*(f"{end}{gz}" for gz in ("", ".gz") for end in (*_DELIMITED, *_JSON)), ".parquet")


@dataclass(frozen=True)
class Loaded:
    """A table as it was read, before any column is looked for.

    Parameters
    ----------
    table : pandas.DataFrame
        The index counts the rows of the raw table from 0; names have no surrounding blanks.
    name, sha256 : str
        Of the file; for a table in memory what its ``attrs`` say.
    ledger : tuple of str
        What was done to read it, one sentence each.
    decimal : str
        Mark of decimals in cells that are text still.
    """

    table: Table
    name: str
    sha256: str
    ledger: tuple[str, ...] = ()
    decimal: str = "."


def kind_of(path: Path) -> str:
    """Say which kind of table a file is, by its name, without reading it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        The ending: ".csv", ".tsv", ".txt", ".json", ".jsonl" or ".ndjson", also with ".gz", or
        ".parquet".

    Raises
    ------
    RunsError
        If there is no such file, or its kind is unknown.
    """
    kind = next((end for end in _KINDS if path.name.lower().endswith(end)), None)
    if kind is None and path.is_dir():
        raise RunsError(f"{path} is a folder; name a file of runs in it")
    if kind is None:
        raise RunsError(
            f"{path}: unknown kind of file {path.suffix!r}; readable are "
            f"{', '.join((*_DELIMITED, *_JSON))}, also with .gz, and .parquet"
        )
    try:
        path.stat()
    except FileNotFoundError:
        raise RunsError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, kind, error) from error
    return kind


def load_table(source: str | Path | Table) -> Loaded:
    """Read a file of a table, or take a table in memory as it is.

    Parameters
    ----------
    source : str, path or pandas.DataFrame
        Text in columns, whatever separates them; JSON or JSON lines; Parquet. An index that has a
        name becomes a column.

    Returns
    -------
    Loaded

    Raises
    ------
    RunsError
        If there is no such file, its kind is unknown, or it cannot be read as one.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        name = source.attrs.get("source", "a table in memory")
        return Loaded(_tidy(_with_index(source), name), name, source.attrs.get("sha256", ""))
    path = Path(source)
    kind = kind_of(path)
    try:
        content = path.read_bytes()
        raw, ledger, decimal = _read(path, kind, content)
    except RunsError as error:
        raise RunsError(f"{path}: {error.finding}", error.advice) from error
    except (OSError, ValueError, EOFError, zlib.error, RecursionError) as error:
        raise _unreadable(path, kind, error) from error
    digest = hashlib.sha256(content).hexdigest()
    return Loaded(_tidy(raw, str(path)), path.name, digest, tuple(ledger), decimal)


def _read(path: Path, kind: str, content: bytes) -> tuple[Table, list[str], str]:
    if kind == ".parquet":
        return _with_index(_read_parquet(path)), [], "."
    text, decoded = _decoded(content, kind)
    decimal = "."
    if kind.removesuffix(".gz") in _JSON:
        table, done = read_json(text)
    else:
        table, done, decimal = read_delimited(text)
    return table, [*decoded, *done], decimal


def _decoded(content: bytes, kind: str) -> tuple[str, list[str]]:
    """Unpack and decode; say what is no UTF-8."""
    if kind.endswith(".gz") or content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16"), ["text read as UTF-16"]
    if content.startswith(b"PK"):
        raise ValueError("it is no text; save a spreadsheet as CSV")
    if 0 in content:
        even, odd = content[::2].count(0), content[1::2].count(0)
        if min(even, odd) or max(even, odd) < len(content) / 4:  # digits have one each
            line = content[: content.index(0)].count(b"\n") + 1
            raise ValueError(f"line {line} holds a byte of zero, which no text has")
        return content.decode("utf-16-be" if even else "utf-16-le"), ["text read as UTF-16"]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return content.decode("latin-1"), ["text read as Latin-1, for it is no UTF-8"]


def _read_parquet(path: Path) -> Table:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise RunsError("reading Parquet needs pyarrow", "Install bayescale[parquet].") from error


def _unreadable(path: Path, kind: str, error: Exception) -> RunsError:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return RunsError(f"{path}: not a readable {kind} table ({why})")


def _with_index(table: Table) -> Table:
    """Keep what an index has a name for, unless a column of that name is there."""
    named = [name for name in table.index.names if name is not None and name not in table.columns]
    if table.columns.nlevels > 1 or not named:
        return table.reset_index(drop=True)
    return table.reset_index(level=named).reset_index(drop=True)


def _tidy(raw: Table, name: str) -> Table:
    if raw.columns.nlevels > 1:
        raise RunsError(
            f"{name}: the columns have names of {raw.columns.nlevels} levels",
            "Make it one, e.g. table.columns = ['_'.join(map(str, c)) for c in table.columns].",
        )
    return raw.rename(columns=lambda column: str(column).strip())


def to_text(table: Table) -> str:
    """Write a table as JSON text from which `from_text` makes it again, types and all.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    str
    """
    import pandas as pd

    def plain(value: Any) -> Any:
        if value is pd.NA or value is pd.NaT:
            return None
        return value.tolist() if hasattr(value, "tolist") else str(value)  # NumPy has the one

    entries = {
        "index": _entry(table.index.to_series()),
        "columns": [[name, _entry(table[name])] for name in table],
    }
    return json.dumps(entries, default=plain)


def from_text(text: str) -> Table:
    """Make the table again that `to_text` wrote.

    Parameters
    ----------
    text : str

    Returns
    -------
    pandas.DataFrame
    """
    import pandas as pd

    entries = json.loads(text)
    columns = {name: _values(entry) for name, entry in entries["columns"]}
    return pd.DataFrame(columns, index=_values(entries["index"]))


def _entry(values: "pd.Series") -> dict[str, Any]:
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "dtype": "category",
            "values": values.cat.codes.tolist(),
            "categories": _entry(dtype.categories.to_series()),
            "ordered": bool(dtype.ordered),
        }
    if isinstance(dtype, pd.IntervalDtype | pd.PeriodDtype):  # no type of text makes them again
        values = values.astype(str)
    return {"dtype": str(values.dtype), "values": values.tolist()}


def _values(entry: dict[str, Any]) -> Any:
    import pandas as pd

    if entry["dtype"] != "category":
        return pd.array(entry["values"], dtype=entry["dtype"])
    categories = pd.Index(_values(entry["categories"]))
    return pd.Categorical.from_codes(entry["values"], categories, ordered=entry["ordered"])
