"""JSON to tables: records, one or nested, and the orientations of pandas."""

import json
from typing import TYPE_CHECKING, Any

from bayescale.errors import RunsError

if TYPE_CHECKING:
    import pandas as pd


def read_json(text: str) -> tuple["pd.DataFrame", list[str]]:
    """Read a list of records, a record a line, or a table as pandas writes it.

    Parameters
    ----------
    text : str
        Nested records are flattened: ``{"train": {"lr": 1}}`` is the column ``train.lr``.

    Returns
    -------
    table : pandas.DataFrame
    ledger : list of str
        What was done beyond reading records, one sentence each.

    Raises
    ------
    RunsError
        For a key that stands twice in a record, or an object that is no table.
    ValueError
        For text that is no JSON.
    """
    import pandas as pd

    ledger: list[str] = []
    records = _records(_loaded(text), ledger)
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise RunsError(
                f"record {number} is {_shown(record)}, not an object of columns and values",
                'Write each run as {"params": 1e9, "tokens": 2e10, "loss": 2.5}.',
            )
    flat = [_flat(record, number) for number, record in enumerate(records, 1)]
    nested = dict.fromkeys(n for r, f in zip(records, flat, strict=True) for n in f if n not in r)
    ledger += [f"nested records flattened to {', '.join(nested)}"] if nested else []
    return pd.DataFrame(flat), ledger


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(json.loads(line, object_pairs_hook=_distinct))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error.msg}") from error
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        values = ", ".join(_shown(value) for name, value in pairs if name == twice)
        raise RunsError(
            f"the record {_shown(record)} has the key {twice!r} more than once, with the values "
            f"{values}",
            "Keep one of them.",
        )
    return record


def _records(found: Any, ledger: list[str]) -> list[Any]:
    if isinstance(found, list):
        return found
    if not isinstance(found, dict):
        raise RunsError(f"it holds {_shown(found)}, no records", "Write a list of records.")
    if {"columns", "data"} <= set(found) <= {"columns", "data", "index"}:
        ledger.append("columns and rows taken from 'columns' and 'data'")
        return [_distinct([*zip(found["columns"], row, strict=True)]) for row in found["data"]]
    lists = {name: value for name, value in found.items() if isinstance(value, list) and value}
    of_records = [name for name in lists if all(isinstance(cell, dict) for cell in lists[name])]
    if len(of_records) == 1:
        ledger.append(f"records taken from {of_records[0]!r}")
        return lists[of_records[0]]
    if found and len(lists) == len(found):
        return _by_column({name: dict(enumerate(cells)) for name, cells in lists.items()})
    if found and all(isinstance(value, dict) and value for value in found.values()):
        return _of_objects(found)
    return [found]


def _of_objects(found: dict[str, dict[str, Any]]) -> list[Any]:
    """Tell columns of numbered rows from numbered rows of columns."""
    if all(name.isdecimal() for values in found.values() for name in values):
        return _by_column(found)
    if all(name.isdecimal() for name in found):
        return list(found.values())
    raise RunsError(
        f"it is an object of objects ({', '.join(list(found)[:3])}, ...), which may be rows or "
        "columns",
        "Write a list of records.",
    )


def _by_column(columns: dict[str, dict[Any, Any]]) -> list[dict[str, Any]]:
    rows = list(next(iter(columns.values())))
    for name, values in columns.items():
        if list(values) != rows:
            raise RunsError(
                f"column {name!r} has {len(values)} values, and {next(iter(columns))!r} has "
                f"{len(rows)}, or they name other rows",
                "Write a list of records.",
            )
    return [{name: values[row] for name, values in columns.items()} for row in rows]


def _flat(record: dict[str, Any], number: int, above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        full = f"{above}{name}"
        inner = _flat(value, number, f"{full}.") if isinstance(value, dict) else {full: value}
        twice = sorted(flat.keys() & inner.keys())
        if twice:
            raise RunsError(f"record {number} has {twice[0]!r} twice", "Rename one of them.")
        flat |= inner
    return flat


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
