"""Files to tables: the formats that can be read, and what makes a file no table."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayescale.errors import RunsError

if TYPE_CHECKING:  # what is refused before a table is read does not wait for pandas
    import pandas as pd

type Table = pd.DataFrame
"""A pandas table, for modules that speak of one and do not need pandas yet."""

_KINDS = (".csv", ".csv.gz", ".tsv", ".jsonl", ".ndjson", ".parquet")


def kind_of(path: Path) -> str:
    """Say which kind of table a file is, by its name, without reading it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        The ending: ".csv", ".csv.gz", ".tsv", ".jsonl", ".ndjson" or ".parquet".

    Raises
    ------
    RunsError
        If there is no such file, or its kind is unknown.
    """
    kind = next((end for end in _KINDS if path.name.lower().endswith(end)), None)
    if kind is None:
        raise RunsError(
            f"{path}: unknown kind of file {path.suffix!r}; readable are {', '.join(_KINDS)}"
        )
    try:
        path.stat()
    except FileNotFoundError:
        raise RunsError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, kind, error) from error
    return kind


def load_table(source: str | Path | Table) -> tuple[Table, str, str]:
    """Read a CSV, TSV, JSON lines or Parquet file, or take a table in memory as it is.

    Parameters
    ----------
    source : str, path or pandas.DataFrame

    Returns
    -------
    table : pandas.DataFrame
        Rows counted from 0, column names without surrounding blanks.
    name, sha256 : str
        Of the file; for a table in memory what its ``attrs`` say.

    Raises
    ------
    RunsError
        If there is no such file, its kind is unknown, or it cannot be read as one.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        name, digest = (
            source.attrs.get("source", "a table in memory"),
            source.attrs.get("sha256", ""),
        )
        return _tidy_header(source.reset_index(drop=True)), name, digest
    path = Path(source)
    kind = kind_of(path)
    try:
        content = path.read_bytes()
        _require_distinct_header(path, kind)
        raw = _read(path, kind)
    except (OSError, ValueError) as error:
        raise _unreadable(path, kind, error) from error
    return _tidy_header(raw.reset_index(drop=True)), path.name, hashlib.sha256(content).hexdigest()


def _read(path: Path, kind: str) -> Table:
    import pandas as pd

    if kind == ".parquet":
        try:
            return pd.read_parquet(path)
        except ImportError as error:
            raise RunsError(
                f"{path}: reading Parquet needs pyarrow; install bayescale[parquet]"
            ) from error
    if kind in (".jsonl", ".ndjson"):
        return pd.read_json(path, lines=True)
    return pd.read_csv(path, index_col=False, sep=_separator(kind))


def _unreadable(path: Path, kind: str, error: Exception) -> RunsError:
    return RunsError(f"{path}: not a readable {kind} table ({str(error).splitlines()[0]})")


def _require_distinct_header(path: Path, kind: str) -> None:
    """Refuse a header that names a column twice: pandas would rename the second silently."""
    if kind not in (".csv", ".csv.gz", ".tsv"):
        return
    import pandas as pd

    header = pd.read_csv(path, header=None, nrows=1, dtype=str, sep=_separator(kind))
    names = header.iloc[0].dropna()
    if names.duplicated().any():
        raise RunsError(f"{path}: more than one column named {names[names.duplicated()].iloc[0]}")


def _separator(kind: str) -> str:
    return "\t" if kind == ".tsv" else ","


def _tidy_header(raw: Table) -> Table:
    return raw.rename(columns=lambda name: str(name).strip())


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
