"""Numbers and lists as people write them: 70.2B parameters, 1.41T tokens, 5.76e23 FLOPs."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from reprlib import Repr

import numpy as np

_SHORT = Repr(maxstring=80, maxother=80)
_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_POWERS_FROM = 1e15  # nobody builds what is larger: no suffix is read there


def count(value: float, digits: int = 3) -> str:
    """Parameters or tokens with a suffix, in powers of ten from a thousand trillions on.

    Parameters
    ----------
    value : float
    digits : int, optional
        Significant ones.

    Returns
    -------
    str

    Examples
    --------
    >>> count(70.2e9), count(1.41e12), count(350), count(999.9e6), count(8.05e16)
    ('70.2B', '1.41T', '350', '1.00B', '8.05e16')
    """
    if not np.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits - 1}e}")
    if abs(rounded) >= _POWERS_FROM:
        return f"{rounded:.{digits - 1}e}".replace("e+", "e")
    for size, suffix in _SUFFIXES:
        if abs(rounded) >= size:
            return significant(rounded / size, digits) + suffix
    return significant(rounded, digits)


def trimmed(value: float) -> str:
    """Write a count without needless zeros, as the name of a model has it.

    Parameters
    ----------
    value : float

    Returns
    -------
    str

    Examples
    --------
    >>> trimmed(1e9), trimmed(8.67e9), trimmed(150e6), trimmed(59), trimmed(1e20)
    ('1B', '8.67B', '150M', '59', '1e20')
    """
    text = count(value)
    if "e" in text:
        return flops(value)
    number, suffix = (text[:-1], text[-1]) if text[-1].isalpha() else (text, "")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + suffix


def flops(value: float) -> str:
    """FLOPs in scientific notation, without a plus sign or needless zeros.

    Parameters
    ----------
    value : float

    Returns
    -------
    str

    Examples
    --------
    >>> flops(5.76e23), flops(1e24)
    ('5.76e23', '1e24')
    """
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def number(name: str, value: float) -> str:
    """Write a number of a table by what it is called: FLOPs, counts; the rest by four digits.

    Parameters
    ----------
    name : str
        Column or quantity that the value is of.
    value : float

    Returns
    -------
    str

    Examples
    --------
    >>> number("flops", 3e20), number("params", 70e9), number("loss", 1.84791), number("p", 2.5e-9)
    ('3e20', '70.0B', '1.848', '2.5e-9')
    """
    if not np.isfinite(value):
        return str(value)
    if name == "flops" or abs(value) >= _POWERS_FROM or 0 < abs(value) < 1e-4:
        return flops(value)
    return f"{value:.4g}" if abs(value) < 1e4 else count(value)


def size(axis: str, value: float) -> str:
    """Value of an axis as that axis is counted.

    Parameters
    ----------
    axis : str
        Column that the value is of.
    value : float

    Returns
    -------
    str

    Examples
    --------
    >>> size("flops", 3e20), size("tokens", 3e9)
    ('3e20', '3.00B')
    """
    return flops(value) if axis == "flops" else count(value)


def significant(value: float, digits: int = 3) -> str:
    """Round to significant digits, never in scientific notation.

    Parameters
    ----------
    value : float
    digits : int, optional

    Returns
    -------
    str

    Examples
    --------
    >>> significant(0.034781), significant(18.42), significant(2143.4)
    ('0.0348', '18.4', '2143')
    """
    if not np.isfinite(value) or value == 0:
        return str(value)
    return f"{value:.{_decimals(abs(value), digits)}f}"


def bracketed(low: float, middle: float, high: float) -> str:
    """Write a median and its interval by as many digits as tell the ends apart.

    Parameters
    ----------
    low, middle, high : float

    Returns
    -------
    str

    Examples
    --------
    >>> bracketed(2.25, 2.31, 2.37), bracketed(0.29928, 0.302195, 0.305053)
    ('2.31 [2.25, 2.37]', '0.3022 [0.2993, 0.3051]')
    >>> bracketed(9.4e9, 9.93e9, 1.05e10), bracketed(1.2e21, 1.6e21, 2.1e21)
    ('9.9B [9.4B, 10.5B]', '1.60e21 [1.20e21, 2.10e21]')
    """
    values = (low, middle, high)
    if not np.isfinite(values).all():
        return f"{significant(middle)} [{significant(low)}, {significant(high)}]"
    most = max(map(abs, values))
    unit, suffix = _unit(most)
    decimals = max(_decimals(most / unit, 3), _decimals((high - low) / unit, 2))
    first, own, last = (f"{value / unit:.{min(decimals, 6)}f}{suffix}" for value in values)
    return f"{own} [{first}, {last}]"


def _unit(most: float) -> tuple[float, str]:
    """Choose the unit in which numbers up to one are written, and what follows them."""
    if most >= _POWERS_FROM or 0 < most < 1e-3:
        exponent = int(np.floor(np.log10(most)))
        return 10.0**exponent, f"e{exponent}"
    if most >= 1e4:
        return next((size, suffix) for size, suffix in _SUFFIXES if most >= size)
    return 1.0, ""


def _decimals(value: float, digits: int) -> int:
    """Decimals that so many significant digits of a number take."""
    return max(0, digits - 1 - int(np.floor(np.log10(value)))) if value > 0 else 0


def times_out(decades: float) -> str:
    """Say how far outside the runs something lies, as a factor.

    Parameters
    ----------
    decades : float
        Above the largest run; negative below the smallest.

    Returns
    -------
    str

    Examples
    --------
    >>> times_out(1.0), times_out(0.477), times_out(3.0), times_out(-0.3)
    ('10× the largest run', '3× the largest run', '1k× the largest run', '1/2 of the smallest run')
    >>> times_out(0.01), times_out(-0.01)
    ('about the largest run', 'about the smallest run')
    """
    factor = trimmed(float(f"{10 ** abs(decades):.1e}"))
    if factor == "1":
        return f"about the {'largest' if decades > 0 else 'smallest'} run"
    return f"{factor}× the largest run" if decades > 0 else f"1/{factor} of the smallest run"


def counted(number: int, thing: str) -> str:
    """Count things: the plural has an s.

    Parameters
    ----------
    number : int
    thing : str

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "curve"), counted(20, "curve")
    ('1 curve', '20 curves')
    """
    return f"{number} {thing}" + ("" if number == 1 else "s")


def spaced(name: str) -> str:
    """Write a name of the code as words.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> spaced("power_law")
    'power law'
    """
    return str(name).replace("_", " ")


def some(sentences: Sequence[str], things: str, most: int = 3) -> str:
    """Say the first of many, and count the others.

    Parameters
    ----------
    sentences : sequence of str
    things : str
        What each is of, in the plural.
    most : int, optional

    Returns
    -------
    str

    Examples
    --------
    >>> some(["a: 1", "b: 2", "c: 3", "d: 4"], "curves", most=2)
    'a: 1; b: 2 (and 2 curves more)'
    """
    left = len(sentences) - most
    return "; ".join(sentences[:most]) + (f" (and {left} {things} more)" if left > 0 else "")


def told_apart(one: float, other: float, digits: int = 2) -> tuple[str, str]:
    """Round two different numbers to as many significant digits as tell them apart.

    Parameters
    ----------
    one, other : float
    digits : int, optional
        Fewest.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> told_apart(1.477, 1.523), told_apart(0.5, 1.0)
    (('1.48', '1.52'), ('0.50', '1.0'))
    """
    first, second = significant(one, digits), significant(other, digits)
    if first != second or np.isclose(one, other, rtol=1e-9):
        return first, second
    return told_apart(one, other, digits + 1)


def chance(probability: float) -> str:
    """Write a probability in percent; by draws nothing is certain, and nothing is impossible.

    Parameters
    ----------
    probability : float

    Returns
    -------
    str

    Examples
    --------
    >>> chance(0.974), chance(1.0), chance(0.001)
    ('97%', 'more than 99%', 'less than 1%')
    """
    if probability > 0.995:
        return "more than 99%"
    return "less than 1%" if probability < 0.005 else f"{probability:.0%}"


def span(low: float, high: float, form: str = "count") -> str:
    """Two ends of an interval, the shared suffix written once.

    Parameters
    ----------
    low, high : float
    form : str, optional
        "count", with suffixes; else plain numbers.

    Returns
    -------
    str

    Examples
    --------
    >>> span(60.1e9, 88.4e9), span(8.2e8, 1.3e9)
    ('60.1 to 88.4B', '820M to 1.30B')
    """
    first, last = (
        (count(low), count(high)) if form == "count" else (significant(low), significant(high))
    )
    if first[-1] == last[-1] and first[-1].isalpha():
        first = first[:-1]
    return f"{first} to {last}"


def rows(indices: Iterable[int], limit: int = 8) -> str:
    """Name data rows, counted from 1 below the header.

    Parameters
    ----------
    indices : iterable of int
        Counted from 0.
    limit : int, optional
        Most that are named.

    Returns
    -------
    str

    Examples
    --------
    >>> rows([0]), rows([2, 7, 11]), rows(range(20), limit=3)
    ('row 1', 'rows 3, 8, 12', 'rows 1, 2, 3 and 17 more')
    """
    numbers = [int(index) + 1 for index in indices]
    shown = ", ".join(map(str, numbers[:limit]))
    rest = f" and {len(numbers) - limit} more" if len(numbers) > limit else ""
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{rest}"


def quoted(value: object) -> str:
    """Quote what somebody wrote, and of what is long its ends.

    Parameters
    ----------
    value : object

    Returns
    -------
    str

    Examples
    --------
    >>> quoted("2.5 nats")
    "'2.5 nats'"
    >>> len(quoted("x" * 100_000))
    80
    """
    return _SHORT.repr(value)


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """Suggest the nearest valid name and list all of them.

    Parameters
    ----------
    name : str
    valid : sequence of str

    Returns
    -------
    str

    Examples
    --------
    >>> did_you_mean("chinchila", ["chinchilla", "kaplan"])
    "did you mean 'chinchilla'? Valid: chinchilla, kaplan"
    """
    nearest = get_close_matches(name, valid, n=1, cutoff=0.6)
    guess = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{guess}Valid: {', '.join(valid)}"
