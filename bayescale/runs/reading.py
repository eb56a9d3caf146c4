"""Files to tables: the formats that can be read, and what makes a file no table."""

import glob
import gzip
import hashlib
import json
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayescale import words
from bayescale.errors import RunsError, reason
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
        ".parquet", which a folder and a pattern of names mean as well.

    Raises
    ------
    RunsError
        If there is no such file, or its kind is unknown.
    """
    if path.is_dir() or (glob.has_magic(str(path)) and not path.exists()):
        _require_parquet(path)
        return ".parquet"
    kind = next((end for end in _KINDS if path.name.lower().endswith(end)), None)
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


def _require_parquet(path: Path) -> None:
    if parquet_files(path):
        return
    join = (
        "join files of other kinds first, in Python pandas.concat, with a column that names the "
        "run of each"
    )
    if path.is_dir():
        raise RunsError(
            f"{path} is a folder; name a file of runs in it, or one of Parquet files; {join}"
        )
    raise RunsError(f"{path}: no Parquet file has such a name; name one file; {join}")


def parquet_files(path: Path) -> list[Path]:
    """List the Parquet files that a path means, in the order of their names.

    Parameters
    ----------
    path : Path
        A file; a folder, with all that lies below it; or a pattern, as ``logs/*.parquet``.

    Returns
    -------
    list of Path
        Empty where it means none.
    """
    if path.is_dir():
        found = sorted(path.rglob("*"))
    elif path.exists() or not glob.has_magic(str(path)):
        found = [path]
    else:
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))
    return [one for one in found if one.name.lower().endswith(".parquet") and not one.is_dir()]


def digest(files: Sequence[Path]) -> str:
    """Digest the bytes of files: of one its sha256, of several that of theirs in order.

    Parameters
    ----------
    files : sequence of Path

    Returns
    -------
    str
    """
    each = []
    for path in files:
        with path.open("rb") as file:
            each.append(hashlib.file_digest(file, "sha256").hexdigest())
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def load_table(
    source: str | Path | Table,
    only: Collection[str] = (),
    *,
    where: str | None = None,
    mapped: Collection[str] = (),
) -> Loaded:
    """Read a file of a table, or take a table in memory as it is.

    Parameters
    ----------
    source : str, path or pandas.DataFrame
        Text in columns, whatever separates them; JSON or JSON lines; Parquet, also a folder of such
        files or a pattern of their names. An index that has a name becomes a column.
    only : collection of str, optional
        Columns to take, by the table's own names; by default all.
    where, mapped
        See `bayescale.runs.parquet.read_parquet`: rows that a filter leaves out need not be held.

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
        whole = Loaded(_tidy(with_index(source), name), name, source.attrs.get("sha256", ""))
        return _with_only(whole, only)
    path = Path(source)
    kind = kind_of(path)
    try:
        if kind == ".parquet":
            return _from_parquet(path, only, where, mapped)
        content = path.read_bytes()
        raw, ledger, decimal = _from_text(kind, content)
    except RunsError as error:
        raise RunsError(f"{path}: {error.finding}", error.advice) from error
    except (OSError, ValueError, EOFError, zlib.error, RecursionError) as error:
        raise _unreadable(path, kind, error) from error
    sha256 = hashlib.sha256(content).hexdigest()
    whole = Loaded(_tidy(raw, str(path)), path.name, sha256, tuple(ledger), decimal)
    return _with_only(whole, only)


def _from_parquet(
    path: Path, only: Collection[str], where: str | None, mapped: Collection[str]
) -> Loaded:
    from bayescale.runs.parquet import read_parquet  # which needs NumPy

    raw, ledger = read_parquet(path, only, where, mapped)
    return Loaded(_tidy(raw, str(path)), path.name, digest(parquet_files(path)), tuple(ledger))


def _with_only(loaded: Loaded, only: Collection[str]) -> Loaded:
    names, ledger = taken(list(map(str, loaded.table.columns)), only)
    return replace(loaded, table=loaded.table[names], ledger=(*loaded.ledger, *ledger))


def taken(held: Sequence[str], only: Collection[str]) -> tuple[list[str], list[str]]:
    """Choose the columns that are asked for, and say so; all of them where none is.

    Parameters
    ----------
    held : sequence of str
        All columns of a table.
    only : collection of str

    Returns
    -------
    names : list of str
        In the order of the table.
    ledger : list of str

    Raises
    ------
    RunsError
        If the table lacks one.
    """
    if not only:
        return list(held), []
    for name in only:
        if name not in held:
            raise RunsError(
                f"the column {name!r} is asked for and not there; {words.did_you_mean(name, held)}"
            )
    names = [name for name in held if name in only]
    return names, [f"of {len(held)} columns only {', '.join(names)} taken"]


def _from_text(kind: str, content: bytes) -> tuple[Table, list[str], str]:
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


def _unreadable(path: Path, kind: str, error: Exception) -> RunsError:
    return RunsError(f"{path}: not a readable {kind} table ({reason(error)})")


def with_index(table: Table) -> Table:
    """Keep what an index has a name for, unless a column of that name is there.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        The index counts rows from 0.
    """
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
