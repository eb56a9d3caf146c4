"""Numbers as people write them, 35M, 14.3B, 35,000,000, and cells that are none."""

import re
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf", re.IGNORECASE)
_SUFFIXED = re.compile(  # Python formats 1650 as 1.65e+03 where three digits are asked for
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e\+0\d)?) ?([kmbt])", re.IGNORECASE
)
_GROUPED = re.compile(r"([+-]?\d{1,3}(?:([,. _'’])\d{3})(?:\2\d{3})*)(?:([.,])(\d+))?")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " "})


def parse(values: pd.Series, *, counts: bool = False, decimal: str = ".") -> pd.Series:
    """Read a column as float64, NaN where a cell is blank or no number.

    Truth values, dates, durations and complex numbers are none.

    Parameters
    ----------
    values : pandas.Series
    counts : bool, optional
        Whether text may have a suffix (K, M, B, T) or marks between thousands.
    decimal : str, optional
        Mark of decimals in text.

    Returns
    -------
    pandas.Series

    Examples
    --------
    >>> parse(pd.Series(["35M", "14,285,714", "1.5e9"]), counts=True).tolist()
    [35000000.0, 14285714.0, 1500000000.0]
    >>> parse(pd.Series(["3,55", "35M", True])).isna().all().item()
    True
    """
    types = pd.api.types
    other = types.is_bool_dtype(values) or types.is_complex_dtype(values)
    if types.is_numeric_dtype(values) and not other:
        return pd.to_numeric(values).astype(np.float64)
    cells = [c.translate(_SPACES).strip() if isinstance(c, str) else c for c in values]
    # 950.000 is a thousand times more in a column that has 1.234.567 as well.
    dots = counts and any(isinstance(c, str) and _grouped(c)[:2] == (".", True) for c in cells)
    found = [_number(cell, counts, decimal, dots) for cell in cells]
    return pd.Series(found, index=values.index, name=values.name, dtype=np.float64)


def _number(cell: Any, counts: bool, decimal: str, dots: bool) -> float:
    if isinstance(cell, bool):  # which is a Real
        return np.nan
    if isinstance(cell, Real | Decimal):
        try:
            return float(cell)
        except OverflowError:  # a whole number of hundreds of digits
            return np.nan
    if not isinstance(cell, str):
        return np.nan
    mark, certain, value = _grouped(cell, decimal)
    if counts and mark and (certain or (dots if mark == "." else mark != decimal)):
        return value
    if decimal == ",":
        if "." in cell:  # of thousands or of decimals
            return np.nan
        cell = cell.replace(",", ".")
    if _PLAIN.fullmatch(cell):
        return float(cell)
    if counts and (match := _SUFFIXED.fullmatch(cell)):
        return float(Decimal(match[1]) * Decimal(_SUFFIXES[match[2].lower()]))
    return np.nan


def _grouped(text: str, decimal: str = ".") -> tuple[str, bool, float]:
    """Find the mark between thousands, whether it can be nothing else, and the number."""
    match = _GROUPED.fullmatch(text)
    if match is None or match[3] == match[2]:
        return "", False, np.nan
    sign_and_thousands, mark, point, rest = match.groups()
    certain = text.count(mark) > 1 or (point is not None and mark in ",.")
    if point and mark not in ",." and point != decimal:
        return "", False, np.nan
    return mark, certain, float(f"{sign_and_thousands.replace(mark, '')}.{rest or 0}")


def why_none(cell: Any, *, counts: bool = False, decimal: str = ".", unit: float = 1.0) -> str:
    """Say what to write in place of a cell that `parse` does not take.

    Parameters
    ----------
    cell : Any
    counts, decimal
        As for `parse`.
    unit : float, optional
        What the column is multiplied by; beside one, cells have no suffix and no thousands.

    Returns
    -------
    str
        The end of a sentence that begins with the cell.
    """
    if isinstance(cell, bool | np.bool_):
        return "is not a number but a truth value; write the number"
    if not isinstance(cell, str):
        return f"is not a number but a {type(cell).__name__}; write the number"
    text = cell.translate(_SPACES).strip()
    if text.startswith("#"):
        return "is not a number but an error of a spreadsheet; write the number"
    if text.endswith("%"):
        return "is not a number but a percentage; divide it by 100, and leave out the sign"
    if counts and unit != 1 and np.isfinite(_number(text, counts, decimal, dots=False)):
        return f"has a unit or thousands of its own beside the unit {unit:g}; leave out one of them"
    if not counts and (_SUFFIXED.fullmatch(text) or _grouped(text, decimal)[1]):
        return "is not a number in plain digits; write it as 1.5e9"
    if re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)?[kmbt]?", text, re.IGNORECASE):
        return (
            "is not a number that can be read in one way; write decimals with a "
            f"{'point' if decimal == '.' else 'comma'} and thousands without a mark"
        )
    return f"is not a number; write plain digits{', 1.5e9 or 35M' if counts else ' or 1.5e9'}"
