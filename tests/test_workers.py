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
