"""Conditions that keep rows of a table, in the words of a pandas query."""

import ast
import json
import re
import shlex
from collections.abc import Iterable

import pandas as pd

from bayescale import words
from bayescale.errors import RunsError, reason

_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_MOST_POWER = 100
_METHODS = {
    "str",
    "abs",
    "round",
    "between",
    "isin",
    "isna",
    "isnull",
    "notna",
    "notnull",
    "duplicated",
    "rank",
    "min",
    "max",
    "mean",
    "median",
    "sum",
    "std",
    "quantile",
    "idxmin",
    "idxmax",
    "nunique",
    "contains",
    "startswith",
    "endswith",
    "fullmatch",
    "match",
    "lower",
    "upper",
    "strip",
    "len",
}
"""What a query may call: nothing that reads, writes or runs what is not in the table."""


_ROW = "row"
"""How a query names the row of the raw table, where no column is called so."""


def leaving_out(rows: Iterable[int], table: pd.DataFrame) -> str:
    """Spell the option that leaves rows out, counted as `bayescale.words.rows` names them.

    Parameters
    ----------
    rows : iterable of int
        Labels of the table's index: positions in the raw table, counted from 0.
    table : pandas.DataFrame

    Returns
    -------
    str

    Examples
    --------
    >>> leaving_out([31], pd.DataFrame({"loss": [3.0]}))
    "--where 'row not in [32]'"
    >>> leaving_out([31], pd.DataFrame({"row": ["first"]}))
    "--where 'index not in [31]' (index counts from 0)"
    """
    places = list(map(int, rows))
    if _ROW in table:  # a query means that column
        return f"--where 'index not in {places}' (index counts from 0)"
    return f"--where '{_ROW} not in {[place + 1 for place in places]}'"


def condition(name: str, value: object) -> str:
    """Write a query for one value of a column, quoted for a shell.

    Parameters
    ----------
    name : str
    value : object

    Returns
    -------
    str

    Examples
    --------
    >>> print(condition("tokenizer", "gpt2"), condition("config.lr", 0.001))
    'tokenizer == "gpt2"' '`config.lr` == 0.001'
    """
    column = name if name.isidentifier() else f"`{name}`"
    said = json.dumps(value) if isinstance(value, str) else str(value)
    return shlex.quote(f"{column} == {said}")


def select(table: pd.DataFrame, where: str | None, own: pd.DataFrame | None = None) -> pd.DataFrame:
    """Keep the rows that match a query; all of them where there is none.

    Parameters
    ----------
    table : pandas.DataFrame
    where : str or None
        A pandas query on the columns, without names from outside of the table. ``row`` is the
        number of the row, counted from 1, unless a column is called so; ``index`` counts from 0.
    own : pandas.DataFrame, optional
        Columns that the query may ask for as well.

    Returns
    -------
    pandas.DataFrame
        A copy.

    Raises
    ------
    RunsError
        If the query cannot be applied, may do more than choose rows, or keeps none.
    """
    if where is None:
        return table.copy()
    named = table if own is None else table.join(own[[n for n in own if n not in table]])
    try:
        _require_harmless(where, [*map(str, named), "index"])
        if _ROW in where and _ROW not in named:  # a copy, which may be large
            named = named.assign(**{_ROW: named.index + 1})
        chosen = named.eval(where, local_dict={}, global_dict={})
    except RunsError:
        raise
    except Exception as error:  # a query is a program: it may fail in any way
        why = reason(error)
        if isinstance(error, SyntaxError):
            why = f"{error.msg}; conditions are written as \"family == 'llama'\""
        odd = [name for name in map(str, named) if not name.isidentifier() and name in where]
        raise RunsError(
            f"filter {words.quoted(where)} cannot be applied ({why}); the "
            f"columns are {', '.join(map(str, named))}",
            f"Write {', '.join(f'`{name}`' for name in odd)} in backticks." if odd else "",
        ) from error
    if not (isinstance(chosen, pd.Series) and pd.api.types.is_bool_dtype(chosen)):
        raise RunsError(
            f"filter {words.quoted(where)} cannot be applied: it is no condition on rows (compare "
            "with ==)"
        )
    if not chosen.any():
        raise RunsError(f"filter {words.quoted(where)} keeps none of the {len(table)} rows")
    return table[chosen].copy()


def _require_harmless(where: str, names: list[str]) -> None:
    if "@" in _TEXT.sub("", where):
        raise RunsError(
            f"filter {words.quoted(where)} asks for names from outside of the table",
            "Write their values in place of @.",
        )
    plain = where  # backticks that are left are of text: what stands between two is looked at
    for name in names:
        plain = plain.replace(f"`{name}`", "column")
    tree = ast.parse(plain.strip(), mode="eval")
    for node in ast.walk(tree):
        _require_short(node, where)
        if isinstance(node, ast.Attribute) and node.attr not in _METHODS:
            raise RunsError(
                f"filter {words.quoted(where)} asks for .{node.attr}, which filters may not",
                "Put the name of a column that has a dot in backticks, as `train.lr`.",
            )


def _require_short(node: ast.AST, where: str) -> None:
    """Refuse arithmetic of constants that is longer than any number: 9**9**9, 'a' * 10**10."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Pow | ast.Mult | ast.Mod):
        return
    within = [*ast.walk(node.left), *ast.walk(node.right)]
    long = any(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in within)
    if isinstance(node.op, ast.Pow) and not any(isinstance(one, ast.Name) for one in within):
        again = any(isinstance(one, ast.BinOp) for one in within)
        powers = [one.value for one in ast.walk(node.right) if isinstance(one, ast.Constant)]
        long |= again or any(power > _MOST_POWER for power in powers if isinstance(power, int))
    if long:
        raise RunsError(
            f"filter {words.quoted(where)} multiplies texts, or takes powers of powers",
            f"Write numbers as 1e9, and powers with an exponent of at most {_MOST_POWER}.",
        )
