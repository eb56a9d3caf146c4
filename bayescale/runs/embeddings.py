r"""What parameters N count: from a count without embeddings to one with them, and back.

.. math:: N = N_E + 47491 \, N_E^{1/3}

Pearce and Song (2024), "Reconciling Kaplan and Chinchilla Scaling Laws", arXiv:2406.12907: a curve
through the shapes of common decoders, so of a model of another shape or vocabulary it is a guess.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescale.arguments import typed
from bayescale.errors import RunsError

EMBEDDING = 47491.0
"""Parameters of embeddings over the cube root of all others, of Pearce and Song."""

_ARROW = ":"  # between what a table counts and what is to be counted, as in bpb:4.3
_SAYS = f"N + {EMBEDDING:.0f} N^(1/3) of N without embeddings (Pearce and Song 2024)"


@typed
def total_params(non_embedding: float | Sequence[float]) -> Any:
    r"""Add embeddings to parameters counted without them, :math:`N_E + 47491 N_E^{1/3}`.

    Parameters
    ----------
    non_embedding : float or sequence of float
        Counts, at least 0.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    RunsError
        For what is no count.

    Examples
    --------
    >>> [round(float(1 - n / total_params(n)), 3) for n in (1e6, 1e8, 1e10)]
    [0.826, 0.181, 0.01]
    """
    return _with_embeddings(_counts(non_embedding))


@typed
def non_embedding_params(total: float | Sequence[float]) -> Any:
    r"""Leave embeddings out of parameters counted with them: the exact inverse of `total_params`.

    The real root of :math:`x^3 + 47491 x - N = 0`, cubed; there is one, in closed form.

    Parameters
    ----------
    total : float or sequence of float
        Counts, at least 0.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    RunsError
        For what is no count.

    Examples
    --------
    >>> round(non_embedding_params(total_params(1e8)))
    100000000
    """
    return _without_embeddings(_counts(total))


def _counts(given: float | Sequence[float]) -> np.ndarray:
    values = np.asarray(given, dtype=float)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise RunsError(f"counts of parameters must be at least 0, got {values.min():g}")
    return values


def _with_embeddings(counts: Any) -> Any:
    return counts + EMBEDDING * np.cbrt(counts)


def _without_embeddings(counts: Any) -> Any:
    half = np.sqrt(EMBEDDING / 3.0)
    return (2.0 * half * np.sinh(np.arcsinh(counts / (2.0 * half**3)) / 3.0)) ** 3


@dataclass(frozen=True)
class Counting:
    """What parameters count, and how they come to.

    Parameters
    ----------
    counted : str
        What N counts after all.
    convert : callable or None
        From counts of the table to these; None where they are left as they are.
    ledger : tuple of str
        What is done, one sentence; empty where nothing is.
    """

    counted: str
    convert: Callable[[Any], Any] | None = None
    ledger: tuple[str, ...] = ()


_CONVERSIONS = {
    ("non-embedding", "total"): _with_embeddings,
    ("total", "non-embedding"): _without_embeddings,
}


def counting_of(params_are: str) -> Counting:
    """Read what parameters count, and what they are to count where that is another thing.

    Parameters
    ----------
    params_are : str
        In the user's words, or ``non-embedding:total`` or ``total:non-embedding``.

    Returns
    -------
    Counting

    Raises
    ------
    RunsError
        For another conversion.
    """
    if _ARROW not in params_are:
        return Counting(params_are)
    theirs, _, ours = (part.strip() for part in params_are.partition(_ARROW))
    convert = _CONVERSIONS.get((theirs, ours))
    if convert is None:
        known = " or ".join(_ARROW.join(pair) for pair in _CONVERSIONS)
        raise RunsError(
            f"parameters cannot be converted as {params_are!r} says",
            f"Write {known}, or say what N counts without a colon.",
        )
    return Counting(ours, convert, (f"params made {ours} from {theirs}: {_SAYS}",))
