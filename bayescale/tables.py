"""Files to tables: the formats that can be read, and what makes a file no table."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bayescale.errors import RunsError

_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, index_col=False),
    ".csv.gz": lambda path: pd.read_csv(path, index_col=False),
    ".tsv": lambda path: pd.read_csv(path, index_col=False, sep="\t"),
    ".jsonl": lambda path: pd.read_json(path, lines=True),
    ".ndjson": lambda path: pd.read_json(path, lines=True),
    ".parquet": lambda path: pd.read_parquet(path),
}


def load_table(source: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """Read a CSV, TSV, JSON lines or Parquet file, or take a table in memory as it is.

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
    if isinstance(source, pd.DataFrame):
        name, digest = (
            source.attrs.get("source", "a table in memory"),
            source.attrs.get("sha256", ""),
        )
        return _tidy_header(source.reset_index(drop=True)), name, digest
    path = Path(source)
    kind = next((end for end in _READERS if path.name.lower().endswith(end)), None)
    if kind is None:
        raise RunsError(
            f"{path}: unknown kind of file {path.suffix!r}; readable are {', '.join(_READERS)}"
        )
    try:
        content = path.read_bytes()
        _require_distinct_header(path, kind)
        raw = _READERS[kind](path)
    except FileNotFoundError:
        raise RunsError(f"{path}: no such file") from None
    except ImportError as error:
        raise RunsError(
            f"{path}: reading Parquet needs pyarrow; install bayescale[parquet]"
        ) from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunsError(f"{path}: not a readable {kind} table ({reason})") from error
    return _tidy_header(raw.reset_index(drop=True)), path.name, hashlib.sha256(content).hexdigest()


def _require_distinct_header(path: Path, kind: str) -> None:
    """Refuse a header that names a column twice: pandas would rename the second silently."""
    if kind not in (".csv", ".csv.gz", ".tsv"):
        return
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, sep="\t" if kind == ".tsv" else ",")
    names = header.iloc[0].dropna()
    if names.duplicated().any():
        raise RunsError(f"{path}: more than one column named {names[names.duplicated()].iloc[0]}")


def _tidy_header(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.rename(columns=lambda name: str(name).strip())
