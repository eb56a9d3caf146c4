"""Parquet: a file, a folder of them or a pattern, read a batch of rows at a time."""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayescale import words
from bayescale.errors import RunsError, reason, warn
from bayescale.runs.columns import meaning
from bayescale.runs.reading import parquet_files, taken, with_index
from bayescale.runs.schedule import PLACES

if TYPE_CHECKING:  # pyarrow is an extra
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

MOST_CELLS = 60_000_000
"""Rows times columns that are read unless it is said which columns count: half a gigabyte."""

MANY = 100_000
"""Rows of a table of which those that a filter leaves out are not even held."""

_PROPOSED = 20  # names in one remedy
_NUMBER = "number of the row"  # a column that no table has
_SIGNS = {ast.Eq: "==", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in"}
_MIRRORED = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def read_parquet(
    path: Path, only: Collection[str] = (), where: str | None = None, mapped: Collection[str] = ()
) -> tuple["pd.DataFrame", list[str]]:
    """Read the columns of Parquet that can be compared, and of many rows those that a filter keeps.

    Rows are read a batch at a time. Where there are more than `MANY` those are dropped at once that
    fail a condition of `where` which compares a column of the table itself with a number or a text.
    The other rows keep their numbers.

    Parameters
    ----------
    path : Path
        See `bayescale.runs.reading.parquet_files`. Names of folders such as ``family=llama`` become
        columns.
    only : collection of str, optional
        Columns to read; by default all.
    where : str, optional
        A query, of which the rest is left to who asks.
    mapped : collection of str, optional
        Names that mean something else in the query than the column of the file does.

    Returns
    -------
    table : pandas.DataFrame
        The index counts all rows of all files from 0.
    ledger : list of str

    Raises
    ------
    RunsError
        If pyarrow is missing, a column is not there, or the table is too large to be read whole.

    Warns
    -----
    RunsWarning
        For files that cannot be read; the others are the table.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise RunsError("reading Parquet needs pyarrow", "Install bayescale[parquet].") from error
    schemas, unread = _schemas(parquet_files(path))
    files = list(schemas)
    data = _dataset(path, schemas)
    names, ledger = taken(data.schema.names, only)
    if unread:
        ledger.insert(0, f"files left out, for they cannot be read: {unread}")
        warn(ledger[0])
    if len(files) > 1:
        ledger.insert(0, f"{len(files)} Parquet files read as one table")
    if not only and (odd := [n for n in names if _is_nested(data.schema.field(n).type)]):
        names = [name for name in names if name not in odd]
        ledger.append(f"left out, for lists and bytes say nothing here: {', '.join(odd)}")
    rows = data.count_rows()
    _require_room(rows, names)
    types = {name: data.schema.field(name).type for name in names if name not in mapped}
    kept = simple_conditions(where, types) if where and rows > MANY else []
    held, numbers = [], [np.empty(0, dtype=np.int64)]
    for batch, number in _batches(data, names, kept):
        held.append(batch)
        numbers.append(number)
    schema = pa.schema([data.schema.field(name) for name in names], data.schema.metadata)
    index = np.concatenate(numbers)
    if len(index) < rows:
        why = " and ".join(map(str, kept))
        ledger.append(f"{rows - len(index)} of {rows} rows not held, for of them {why} is not true")
    table = pa.Table.from_batches(held, schema)
    del held  # what becomes a column of pandas is freed
    found = table.to_pandas(split_blocks=True, self_destruct=True)
    return with_index(found).set_axis(index), ledger


@dataclass(frozen=True)
class Condition:
    """A column that is compared with a value.

    Parameters
    ----------
    name : str
    sign : str
        One of ==, <, <=, >, >= and in.
    value : number, text, truth value, or list of them
    """

    name: str
    sign: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value!r}"

    def expression(self) -> "ds.Expression":
        """Say it to pyarrow; what is not known passes, for it may be filled."""
        import pyarrow.dataset as ds

        field, value = ds.field(self.name), self.value
        holds = {
            "==": lambda: field == value,
            "<": lambda: field < value,
            "<=": lambda: field <= value,
            ">": lambda: field > value,
            ">=": lambda: field >= value,
            "in": lambda: field.isin(value),
        }
        return holds[self.sign]() | field.is_null(nan_is_null=True)


def simple_conditions(where: str, types: Mapping[str, "pa.DataType"]) -> list[Condition]:
    """Find what a query asks of single columns, and of every row that it keeps.

    Parameters
    ----------
    where : str
    types : mapping of str to pyarrow.DataType
        Of the columns that may be asked.

    Returns
    -------
    list of Condition
        Empty for a query that asks of other rows as well, as ``loss < loss.median()`` does.

    Examples
    --------
    >>> import pyarrow as pa
    >>> types = {"step": pa.int64(), "family": pa.string()}
    >>> [str(c) for c in simple_conditions("100 <= step and family == 'a' and loss < 4", types)]
    ['step >= 100', "family == 'a'"]
    """
    try:
        tree = ast.parse(where.strip(), mode="eval")
    except SyntaxError:  # what is wrong, `select` says
        return []
    if any(isinstance(node, ast.Call | ast.Attribute) for node in ast.walk(tree)):
        return []
    found = (_condition(part) for part in _parts(tree.body))
    return [one for one in found if one and one.name in types and _compares(types[one.name], one)]


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """Walk through what is joined by ``and``, or by & between parentheses."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for value in node.values:
            yield from _parts(value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield node


def _condition(node: ast.expr) -> Condition | None:
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1):
        return None
    left, right, sign = node.left, node.comparators[0], _SIGNS.get(type(node.ops[0]))
    if isinstance(left, ast.Constant) and sign in _MIRRORED:
        left, right, sign = right, left, _MIRRORED[sign]
    if not isinstance(left, ast.Name) or sign is None:
        return None
    try:
        value = ast.literal_eval(right)
    except ValueError:
        return None
    return Condition(left.id, sign, value) if isinstance(value, list) == (sign == "in") else None


def _compares(kind: "pa.DataType", one: Condition) -> bool:
    """Whether a column of that type can be compared with the value as pandas compares it."""
    from pyarrow import types

    values = one.value if isinstance(one.value, list) else [one.value]
    if types.is_boolean(kind):
        return one.sign == "==" and isinstance(one.value, bool)
    if types.is_integer(kind) or types.is_floating(kind):
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    text = types.is_string(kind) or types.is_large_string(kind)
    return text and one.sign in ("==", "in") and all(isinstance(v, str) for v in values)


def _schemas(files: Sequence[Path]) -> tuple["dict[Path, pa.Schema]", str]:
    """Read what columns the files have, and say which cannot be read beside those that can."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas: dict[Path, pa.Schema] = {}
    unread: dict[Path, Exception] = {}
    for file in files:
        try:
            schemas[file] = pq.read_schema(file)
        except (pa.ArrowInvalid, OSError) as error:
            unread[file] = error
    if unread and not schemas:
        raise next(iter(unread.values()))
    said = [f"{file} ({reason(error)})" for file, error in unread.items()]
    return schemas, words.some(said, "files") if said else ""


def _dataset(path: Path, schemas: "Mapping[Path, pa.Schema]") -> "ds.Dataset":
    """Open files as one table that has the columns of all of them."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    paths = [str(file) for file in schemas]
    by_folder = {"partitioning": "hive", "partition_base_dir": str(path)} if path.is_dir() else {}
    folders = {path: ds.dataset(paths, **by_folder).schema} if by_folder else {}
    whole = pa.schema([])
    for file, schema in {**schemas, **folders}.items():
        try:
            whole = pa.unify_schemas([whole, schema], promote_options="permissive")
        except pa.ArrowTypeError as error:
            raise RunsError(
                f"{file} disagrees with the files before it: {error}",
                "Write the column alike in all of them.",
            ) from error
    return ds.dataset(paths, whole, **by_folder)


def _is_nested(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _require_room(rows: int, names: Sequence[str]) -> None:
    if rows * len(names) <= MOST_CELLS:
        return
    meant = [n for n in names if meaning(n.strip()) or n.strip() in ("run", "seed", *PLACES)]
    raise RunsError(
        f"{rows} rows of {len(names)} columns are too many to be read whole; the columns are "
        f"{words.some(names, 'columns', _PROPOSED)}",
        f"Name those that count, e.g. --only {','.join(meant or names[:3])}.",
    )


def _batches(
    data: "ds.Dataset", names: Sequence[str], kept: Sequence[Condition]
) -> Iterator[tuple["pa.RecordBatch", np.ndarray]]:
    """Read rows batch by batch, and the number of each row."""
    first = 0
    for batch in data.to_batches(columns=list(names)):
        numbers = np.arange(first, first + batch.num_rows)
        first += batch.num_rows
        for one in kept:
            both = batch.append_column(_NUMBER, numbers).filter(one.expression())
            batch, numbers = both.drop_columns(_NUMBER), both.column(_NUMBER).to_numpy()
        yield batch, numbers
