"""What speaks for or against runs and fits: checks that were asked, doubts that come unasked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bayescale.display import Bold, Grid, Part, Shown
from bayescale.errors import in_one_sentence

MOST_ROWS = 1000
"""Rows of a doubt that are written down."""


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
    """One question asked of runs or of a fit and its answer, or a doubt that came unasked.

    Two are equal where they say the same, whatever the numbers and pictures behind them.

    Parameters
    ----------
    name : str
        What was asked or is doubted, in the field's words: "law along tokens". It stays the same
        from version to version: scripts may compare it.
    status : Status
        Of a doubt REVIEW.
    message : str
        What was found, without a full stop.
    advice : str, optional
        What to do about it, sentences that begin with a plain word; empty when it passed.
    rows : tuple of int, optional
        Positions in the raw table, counted from 0.
    statistic, threshold : float, optional
        What was measured, and the value from which on the check does not pass. NaN where the
        question is not one of size.
    detail : Any, optional
        What a picture or a table of this check needs.
    along : str, optional
        Axis along which was asked, as `name` has it; empty where there is none.
    asked : bool, optional
        False for a doubt that reading or fitting raises by itself: its text is that of the warning.
    """

    name: str
    status: Status
    message: str
    advice: str = ""
    rows: tuple[int, ...] = ()
    statistic: float = field(default=float("nan"), compare=False)
    threshold: float = field(default=float("nan"), compare=False)
    detail: Any = field(default=None, compare=False)
    along: str = ""
    asked: bool = True

    def __str__(self) -> str:
        if not self.asked:
            return in_one_sentence(f"{self.name}: {self.message}", self.advice)
        advice = f". {self.advice}" if self.advice else ""
        return f"{self.status} {self.name}: {self.message.rstrip('.')}{advice}"


class Checks(Shown, list[Check]):
    """A list of checks, which shows itself with the worst first."""

    def _parts(self) -> Iterator[Part]:
        yield Bold(tally(self))
        rows = [
            (check.status, check.name, check.message, check.advice) for check in worst_first(self)
        ]
        yield Grid(("status", "check", "found", "what to do"), rows)

    def __repr__(self) -> str:
        return "\n".join((tally(self), *map(str, worst_first(self))))


def tally(checks: Iterable[Check]) -> str:
    """Count how checks ended, the worst first.

    Parameters
    ----------
    checks : iterable of Check

    Returns
    -------
    str

    Examples
    --------
    >>> tally([Check("design", Status.PASS, "the runs can tell the parameters apart")])
    '0 FAIL, 0 REVIEW, 1 PASS'
    """
    ends = [check.status for check in checks]
    return ", ".join(f"{ends.count(status)} {status}" for status in reversed(Status))


def doubt(name: str, message: str, advice: str, rows: Iterable[int] = ()) -> Check:
    """Say what looks wrong with runs that can nevertheless be used.

    Parameters
    ----------
    name, message, advice : str
    rows : iterable of int, optional
        Positions in the raw table, counted from 0.

    Returns
    -------
    Check
        REVIEW.
    """
    return Check(name, Status.REVIEW, message, advice, tuple(map(int, rows)), asked=False)


def doubt_record(check: Check) -> dict[str, Any]:
    """Write a doubt as plain numbers and text, as saved fits and ``summary.json`` have it.

    Parameters
    ----------
    check : Check

    Returns
    -------
    dict
        With which `doubt` makes it again, but for rows beyond the first `MOST_ROWS`.
    """
    found = {name: getattr(check, name) for name in ("name", "message", "advice")}
    return {**found, "rows": check.rows[:MOST_ROWS]}


def task_check(task: str) -> str:
    """Name the check of one task, which speaks against no other.

    Parameters
    ----------
    task : str

    Returns
    -------
    str
    """
    return f"task {task}"


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
