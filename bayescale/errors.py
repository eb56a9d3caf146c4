"""Everything bayescale refuses or warns about; catch `BayescaleError` to catch them all."""

import contextlib
import functools
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # refusals that need no table import no pandas
    import pandas as pd

_WITHIN = (
    os.path.dirname(__file__) + os.sep,
    *(str(module.__file__).removesuffix("py") for module in (contextlib, functools)),
)
"""How files of this package begin, and those through which it calls itself.

Of a file's whole name Python does not find that it begins so.
"""


def in_one_sentence(finding: str, advice: str) -> str:
    """Join what was found and what to do about it, which is a sentence of its own elsewhere.

    Parameters
    ----------
    finding, advice : str
        The advice begins with a plain word; empty where there is none.

    Returns
    -------
    str

    Examples
    --------
    >>> in_one_sentence("every run has the loss 3", "Name the column of final losses.")
    'every run has the loss 3; name the column of final losses'
    >>> in_one_sentence("are tokens in billions?", "Pass --unit tokens=1e9.")
    'are tokens in billions? Pass --unit tokens=1e9'
    """
    if finding.endswith("?"):
        return f"{finding} {advice.rstrip('.')}".rstrip()
    return f"{finding}; {advice[:1].lower()}{advice[1:].rstrip('.')}" if advice else finding


def reason(error: Exception) -> str:
    r"""Say why a library failed: its first line, for traces and hints of its own follow.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    str
        The kind of an error that says nothing.

    Examples
    --------
    >>> reason(OSError("no room\n  at store.c:12")), reason(KeyError())
    ('no room', 'KeyError')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)


class BayescaleError(Exception):
    """A refusal a user can act on: what is wrong, where, and what to do.

    Parameters
    ----------
    finding : str
        What is wrong and where; with the remedy, unless there is an `advice`.
    advice : str, optional
        What to do, a sentence.
    """

    def __init__(self, finding: str, advice: str = "") -> None:
        super().__init__(finding, advice)
        self.finding = finding
        self.advice = advice

    def __str__(self) -> str:
        return in_one_sentence(self.finding, self.advice)


class RunsError(BayescaleError):
    """The table of training runs cannot be used as it stands.

    ``table`` is what was read of it where its rows were refused: a model that lacks a column says
    that first, which is cheaper to mend.
    """

    table: "pd.DataFrame | None" = None


class UnnamedColumnError(RunsError):
    """The table lacks a column that is needed, under our name and under the names that we know.

    Parameters
    ----------
    finding, advice : str
    columns : mapping of str to str, optional
        Our names to columns that are probably meant; empty where several may be.
    """

    def __init__(
        self, finding: str, advice: str, columns: Mapping[str, str] | None = None
    ) -> None:  # the last may be left out: errors are made again of the first two
        super().__init__(finding, advice)
        self.columns: dict[str, str] = dict(columns or {})


class ModelError(BayescaleError):
    """The model specification is wrong, or does not fit the runs."""


class UnknownLawError(ModelError):
    """A law that no file defines."""


class FitError(BayescaleError):
    """Sampling failed, did not converge, or a saved fit cannot be read."""


class UnansweredError(FitError):
    """Draws that did not converge leave a question without an answer."""


class DatasetError(BayescaleError):
    """A published table is unknown, unreachable, or not the file it should be."""


class WorkersError(BayescaleError):
    """Processes, or a cluster, that were asked for cannot do the work."""


class RunsWarning(UserWarning):
    """The runs can be used, but something in them deserves a look before the result is believed."""


def warn(finding: object) -> None:
    """Warn that runs deserve a look, at the line of the caller's program that led here.

    Parameters
    ----------
    finding : Check or str
    """
    warnings.warn(str(finding), RunsWarning, skip_file_prefixes=_WITHIN)
