"""Many calls of one function, by processes of this machine or of a Dask cluster.

A call that fails says why and ends nothing else. Processes may be killed and schedulers restarted:
what was lost is called again.
"""

import math
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from threading import RLock, Thread
from typing import Any

from bayescale.errors import BayescaleError, WorkersError
from bayescale.progress import step

KILLED = "its process was killed each time it ran, as it is where memory ends"
"""Why a call without a result failed that ended its process."""

_AHEAD = 2  # calls handed out for each process: the next one waits beside the one that runs
_ALONE = 2  # times that a call may end a process while it runs alone
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Of linear algebra in each process: there are as many processes as cores."""

_PATIENCE = 60.0  # seconds for which a scheduler may be away
_RETRIES = 3  # of a call whose worker died
_ONE = RLock()  # a worker of a cluster may have threads, and neither warnings nor tables are theirs
_MOST_SENT = 100_000  # rows that each process may have as its own
_IDLE = 20.0  # seconds after which processes end that are kept for the next calls
_STARTED = 0.5  # processor seconds of calls for which processes are worth asking that are there

WORTH = 30.0
"""Processor seconds of calls for which processes are worth their start, of four each."""

_inside: ContextVar[bool] = ContextVar("inside", default=False)
"""Whether this is one of many calls: the cores are taken, and it starts no processes of its own."""

_used: ContextVar[float] = ContextVar("used", default=-math.inf)
"""When the processes that are kept were last used."""


@dataclass(frozen=True)
class Called:
    """What came of one call.

    Parameters
    ----------
    place : int
        Of its item.
    value : object
        What the function returned; None where it failed.
    failure : str
        Why it failed, empty where it did not.
    """

    place: int
    value: Any
    failure: str = ""


def spread(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Iterator[Called]:
    """Call a function on each item, and yield what comes of it as it comes, in any order.

    Parameters
    ----------
    function : callable
        Of a module that the workers can import.
    items : sequence
    workers : int, optional
        Processes; by default as many as this one may use cores. With 1 the calls are made here.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster that makes the calls, ``tcp://host:8786``.

    Yields
    ------
    Called
        One for each item.

    Raises
    ------
    WorkersError
        If the number of workers is not positive or given beside a scheduler, Dask is not installed,
        the scheduler does not answer, or its workers cannot make such calls.
    """
    if scheduler is not None and workers is not None:
        raise WorkersError("workers are processes of this machine: leave out them or the scheduler")
    if workers is not None and workers < 1:
        raise WorkersError(f"workers must be at least 1, got {workers}")
    waiting = deque(enumerate(items))
    if scheduler is not None:
        return _by_cluster(function, waiting, scheduler)
    number = min(usable_cores() if workers is None else workers, len(items))
    if number <= 1:
        return (Called(place, *_call(function, item)) for place, item in waiting)
    return _by_processes(function, waiting, number, _pool)


def call_each(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    what: str,
    *,
    worth: float = WORTH,
    rows: int = 0,
) -> list[Called]:
    """Call a function on each item here, and by all cores once it shows that the rest takes long.

    How long is judged by the fastest call so far: the first may have compiled. Processes stay for
    a while, so that calls that follow at once find them started. Inside of another such call all is
    called here.

    Parameters
    ----------
    function : callable
        Of a module that the workers can import.
    items : sequence
    what : str
        Name of the step that shows how much is done.
    worth : float, optional
        Processor seconds that the rest must take.
    rows : int, optional
        Of the table that goes with each item: large ones are not copied to every process.

    Returns
    -------
    list of Called
        One for each item, in their order.
    """
    found: list[Called] = []
    with step(what if items else "") as done:
        for called in _where_long(function, items, worth, here=rows > _MOST_SENT):
            found.append(called)
            done(len(found) / len(items))
    return sorted(found, key=lambda called: called.place)


def _where_long(
    function: Callable[[Any], Any], items: Sequence[Any], worth: float, here: bool
) -> Iterator[Called]:
    here = here or _inside.get()
    waiting, fastest = deque(enumerate(items)), 0.0
    if time.monotonic() < _used.get() + _IDLE / 2:
        worth = min(worth, _STARTED)
    while waiting:
        if fastest * len(waiting) > worth and not here and usable_cores() > 1:
            number = min(usable_cores(), len(waiting))
            yield from _by_processes(function, waiting, number, _kept_pool)
            return
        place, item = waiting.popleft()
        began = time.process_time()
        called = Called(place, *_call(function, item))
        took = time.process_time() - began
        fastest = min(fastest, took) if place else took
        yield called


def usable_cores() -> int:
    """Count the cores that this process may use, as its container or queue allows.

    Returns
    -------
    int
    """
    from loky import cpu_count

    return int(cpu_count())


def _call(function: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    """Call; return the value, and why there is none."""
    with _ONE:
        token = _inside.set(True)
        try:
            return function(item), ""
        except BayescaleError as error:
            return None, str(error)
        except Exception as error:  # of any library below: one fit must not end a thousand others
            return None, f"{type(error).__name__}: {error}"
        finally:
            _inside.reset(token)


type _Pool = AbstractContextManager[Any]


def _by_processes(
    function: Callable[[Any], Any],
    waiting: deque[tuple[int, Any]],
    workers: int,
    pool_of: Callable[[int], _Pool],
) -> Iterator[Called]:
    killed: Counter[int] = Counter()
    while waiting:
        many = pool_of(workers)
        alone = deque((yield from _until_killed(function, waiting, many, _AHEAD * workers)))
        while alone:  # one of them may have ended its process, and would do so again
            for place, item in (yield from _until_killed(function, alone, _pool(1), 1)):
                killed[place] += 1
                if killed[place] < _ALONE:
                    alone.appendleft((place, item))
                else:
                    yield Called(place, None, KILLED)


def _until_killed(
    function: Callable[[Any], Any], waiting: deque[tuple[int, Any]], opened: _Pool, most: int
) -> Generator[Called, None, list[tuple[int, Any]]]:
    """Call, `most` at once, until a process is killed: return what was handed out then."""
    running: dict[Future[tuple[Any, str]], tuple[int, Any]] = {}
    with opened as pool:
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    future = pool.submit(_call, function, waiting[0][1])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    value = future.result()
                    place, _ = running.pop(future)
                    yield Called(place, *value)
        except BrokenExecutor:
            return list(running.values())
    return []


@contextmanager
def _pool(workers: int) -> Iterator[Any]:
    """Keep processes that end with this one, however it ends.

    Those of loky, unlike those of the standard library, do not run the caller's script again.
    """
    from loky import ProcessPoolExecutor

    with _killed_with_the_block(ProcessPoolExecutor(workers, **_of_workers())) as pool:
        yield pool
    pool.shutdown(wait=True)


@contextmanager
def _kept_pool(workers: int) -> Iterator[Any]:
    """Keep processes as `_pool` does, for the next calls as well until they have waited long."""
    from loky import get_reusable_executor

    pool = get_reusable_executor(workers, timeout=_IDLE, **_of_workers())
    with _killed_with_the_block(pool):
        yield pool
    _used.set(time.monotonic())


def _of_workers() -> dict[str, Any]:
    """Say how processes begin."""
    return {"initializer": _end_with, "initargs": (os.getpid(),), "env": _ONE_THREAD}


@contextmanager
def _killed_with_the_block(pool: Any) -> Iterator[Any]:
    """Kill the processes where the block fails or is stopped."""
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _by_cluster(
    function: Callable[[Any], Any], waiting: deque[tuple[int, Any]], scheduler: str
) -> Iterator[Called]:
    """Call by the workers of a cluster; what a lost scheduler forgot is handed out again."""
    distributed = _distributed()
    while waiting:
        try:
            client = distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False)
        except OSError as error:
            raise WorkersError(
                f"no Dask scheduler answers at {scheduler} ({error}); start one there with "
                "dask scheduler, and workers with dask worker"
            ) from error
        with client, suppress(OSError):  # the scheduler is lost
            yield from _until_lost(function, waiting, client)


def _until_lost(
    function: Callable[[Any], Any], waiting: deque[tuple[int, Any]], client: Any
) -> Iterator[Called]:
    """Call until nothing waits; OSError where the scheduler is lost, with what it had waiting."""
    running: dict[Any, tuple[int, Any]] = {}
    ended = _distributed().as_completed(loop=client.loop)
    try:
        while waiting or running:
            room = _AHEAD * max(1, sum(client.nthreads().values()))
            while waiting and len(running) < room:
                asked = client.submit(_call, function, waiting[0][1], pure=False, retries=_RETRIES)
                running[asked] = waiting.popleft()
                ended.add(asked)
            future = next(ended)
            value = _value_of(future)
            place, _ = running.pop(future)
            yield Called(place, *value)
    finally:
        waiting.extendleft(running.values())


def _value_of(future: Any) -> tuple[Any, str]:
    """Return what a worker returned; OSError where the scheduler forgot."""
    if future.status == "finished":
        value: tuple[Any, str] = future.result()
        return value
    if future.status != "error":
        raise OSError("it was restarted")
    error = future.exception()
    if isinstance(error, _distributed().KilledWorker):
        return None, KILLED
    raise WorkersError(
        f"the workers of the cluster cannot make the call ({type(error).__name__}: {error}); "
        "install the version of bayescale there that is installed here"
    ) from error


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise WorkersError(
            "a scheduler is of a Dask cluster, and Dask is not installed; install it with "
            "pip install 'bayescale[cluster]'"
        ) from None
    return distributed
