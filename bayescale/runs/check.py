"""What a check says."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check ended."""

    PASS = "PASS"
    """Nothing speaks against the result."""
    REVIEW = "REVIEW"
    """Look before you believe: the result may hold, a person has to say."""
    FAIL = "FAIL"
    """The result is wrong in the way that the check names."""


@dataclass(frozen=True)
class Check:
    """One question asked of runs or of a fit, and its answer.

    Parameters
    ----------
    name : str
        What was asked, in the field's words: "trend along tokens".
    status : Status
    statistic, threshold : float
        What was measured, and the value from which on the check does not pass. NaN where the
        question is not one of size.
    message : str
        What was found, one sentence.
    advice : str
        What to do about it; empty when it passed.
    detail : Any, optional
        What a picture or a table of this check needs.
    along : str
        Axis along which was asked, as `name` has it; empty where there is none.
    """

    name: str
    status: Status
    statistic: float
    threshold: float
    message: str
    advice: str = ""
    detail: Any = None
    along: str = ""

    def __str__(self) -> str:
        advice = f". {self.advice}" if self.advice else ""
        return f"{self.status} {self.name}: {self.message.rstrip('.')}{advice}"


def not_computed(name: str, why: object) -> Check:
    """Say of a check that these draws leave it without an answer.

    Parameters
    ----------
    name : str
    why : object
        An error, or its text.

    Returns
    -------
    Check
        REVIEW.
    """
    return Check(
        name,
        Status.REVIEW,
        float("nan"),
        float("nan"),
        f"cannot be computed from these draws ({why})",
        "Sample until the fit converges, then check again.",
    )


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Sort by status, keeping the order within each.

    Parameters
    ----------
    checks : iterable of Check

    Returns
    -------
    list of Check
    """
    return sorted(checks, key=lambda check: -list(Status).index(check.status))


def worst(checks: Iterable[Check]) -> Status:
    """Return the worst status among checks; PASS where there is none.

    Parameters
    ----------
    checks : iterable of Check

    Returns
    -------
    Status
    """
    return max((check.status for check in checks), key=list(Status).index, default=Status.PASS)
