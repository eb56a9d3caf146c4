"""Many calls by processes: all results, in spite of failures and of processes that are killed."""

import os
import signal
import sys
from pathlib import Path

import pytest

from bayescale.errors import RunsError, WorkersError
from bayescale.workers import KILLED, Called, spread


def inverse(number):
    if number == 3:
        raise RunsError("three is none", "Leave it out.")
    return 1 / number


def killed_once(asked):
    """End the process, unless it was ended before."""
    place, folder = asked
    mark = Path(folder, str(place))
    if place in (1, 4) and (place == 4 or not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return place, os.getpid()


def test_a_call_that_fails_says_why_and_ends_no_other():
    found = list(spread(inverse, [2, 3, 0, 4], workers=1))
    assert found == [
        Called(0, 0.5),
        Called(1, None, "three is none; leave it out"),
        Called(2, None, "ZeroDivisionError: division by zero"),
        Called(3, 0.25),
    ]


def test_processes_that_are_killed_lose_nothing(tmp_path):
    found = sorted(
        spread(killed_once, [(place, tmp_path) for place in range(6)], workers=2),
        key=lambda one: one.place,
    )
    assert [one.place for one in found] == list(range(6))
    assert {one.place: one.failure for one in found if one.failure} == {4: KILLED}
    assert all(one.value[0] == one.place for one in found if one.place != 4)
    assert os.getpid() not in {one.value[1] for one in found if one.place != 4}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"workers": 2, "scheduler": "tcp://there:1"}, "leave out them or the scheduler"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(asked, said):
    with pytest.raises(WorkersError, match=said):
        spread(inverse, [1], **asked)


def test_without_dask_the_refusal_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkersError, match=r"pip install 'bayescale\[cluster\]'"):
        list(spread(inverse, [1], scheduler="tcp://localhost:1"))
