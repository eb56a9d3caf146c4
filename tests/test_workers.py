"""Many calls by processes: all results, in spite of failures and of processes that are killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayescale import workers
from bayescale.errors import RunsError, WorkersError
from bayescale.progress import Progress, heard_by
from bayescale.workers import KILLED, Called, call_each, spread


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


def busy(item):
    """Work for a moment, and say where; of a list, do so for each, were it long."""
    began = time.process_time()
    while time.process_time() - began < 0.002:
        pass
    if isinstance(item, list):
        return [one.value for one in call_each(busy, item, "", worth=0.0)]
    return os.getpid()


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: 2)


def test_what_is_short_or_large_is_called_here(two_cores):
    for how in ({}, {"worth": 0.0, "rows": 200_000}):
        found = call_each(busy, range(4), "work", **how)
        assert found == [Called(place, os.getpid()) for place in range(4)]
    assert call_each(busy, [], "work") == []
    assert call_each(inverse, [3, 2], "work") == [
        Called(0, None, "three is none; leave it out"),
        Called(1, 0.5),
    ]


def test_what_is_long_is_called_by_processes_that_stay_for_the_next(two_cores, monkeypatch):
    found = call_each(busy, range(12), "work", worth=0.005)
    assert [one.place for one in found] == list(range(12))
    assert found[0].value == os.getpid()
    assert os.getpid() not in {one.value for one in found[1:]}
    monkeypatch.setattr(workers, "_STARTED", 0.005)
    again = call_each(busy, range(12), "work")  # not worth a start, but these are there
    others = {one.value for one in found[1:] + again} - {os.getpid()}
    assert again[-1].value in others
    assert 1 <= len(others) <= 2


def test_a_call_starts_no_processes_of_its_own(two_cores):
    assert call_each(busy, [[0, 1, 2]], "work")[0].value == 3 * [os.getpid()]


def test_how_much_is_done_is_shown():
    told = []

    class Screen:
        def show(self, write):
            told.append(write())

        def clear(self):
            pass

    with heard_by(Progress(Screen())):
        call_each(inverse, [1, 2], "working")
    assert [line.split(",")[0] for line in told] == ["working", "working 50%", "working 100%"]


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


class Cluster:
    """A Dask scheduler and three workers, each a process of its own."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.scheduler, self.workers = folder, None, []

    def start(self):
        port = self.address.rpartition(":")[2]
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
        self.scheduler = self._run(scheduler)
        worker = ["worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        self.workers = [self._run(worker) for _ in range(3)]

    def _run(self, arguments):
        return subprocess.Popen(
            [Path(sys.executable).with_name("dask"), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},  # for `slow_square`
        )

    def stop(self):
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed: bayescale[cluster]")
    own = Cluster(tmp_path)
    own.start()
    yield own
    own.stop()


def slow_square(number):
    time.sleep(0.3)
    return number**2


@pytest.mark.slow
def test_a_cluster_may_lose_a_worker_and_its_scheduler(cluster):
    found = []
    for one in spread(slow_square, list(range(40)), scheduler=cluster.address):
        found.append(one)
        if len(found) == 5:
            cluster.workers[0].kill()
        if len(found) == 15:
            cluster.stop()
            cluster.start()
    assert sorted((one.place, one.value) for one in found) == [(k, k**2) for k in range(40)]
    assert not any(one.failure for one in found)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_said(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed: bayescale[cluster]")
    monkeypatch.setattr(workers, "_PATIENCE", 0.5)
    with pytest.raises(WorkersError, match=r"no Dask scheduler answers at tcp://127\.0"):
        list(spread(inverse, [1], scheduler="tcp://127.0.0.1:9"))
