"""Which step of long work is running, for how long, and how much of it is done.

What takes long says so, ``with step("compiling"):``, and need not know who listens: nothing is
shown unless `showing` was asked to. Steps inside of others are named after them.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from threading import RLock
from typing import Any, Protocol

_TELLING = 10.0  # seconds after which the share that is done says how long the rest takes


class Screen(Protocol):
    """Where one line that changes is shown."""

    def show(self, write: Callable[[], str]) -> None:
        """Begin to show a line, or show it anew.

        Parameters
        ----------
        write : callable
            Returns the line as it is now.
        """

    def clear(self) -> None:
        """Leave nothing of it."""


@dataclass(eq=False)
class Step:
    """A step that runs.

    Parameters
    ----------
    name : str
    began : float
        Seconds of the clock.
    done : float, optional
        The share of it that is done, where that is known.
    """

    name: str
    began: float
    done: float | None = None


class Progress:
    """Steps that are running, the outermost first.

    Parameters
    ----------
    screen : Screen, optional
        Shows the running step until it ends.
    say : callable, optional
        Called for each step as it begins, with the seconds until then and its name.
    clock : callable, optional
        Seconds.
    """

    def __init__(
        self,
        screen: Screen | None = None,
        say: Callable[[float, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen, self._say, self._clock = screen, say, clock
        self._running: list[Step] = []
        self._began = clock()
        self._lock = RLock()  # a sampler tells its share from threads of its own

    def begin(self, name: str) -> Step:
        """Begin a step inside of those that run.

        Parameters
        ----------
        name : str

        Returns
        -------
        Step
        """
        with self._lock:
            new = Step(name, self._clock())
            self._running.append(new)
            if self._say is not None:
                self._say(new.began - self._began, _names(self._running))
            self._shown()
        return new

    def tell(self, own: Step, done: float) -> None:
        """Say how much of a step is done.

        Parameters
        ----------
        own : Step
            One that `begin` returned.
        done : float
            A share.
        """
        with self._lock:
            own.done = done
            if own in self._running:  # it may come late
                self._shown()

    def end(self) -> None:
        """End the innermost step."""
        with self._lock:
            self._running.pop()
            if self._screen is not None and not self._running:
                self._screen.clear()

    def line(self) -> str:
        """Name what runs, with the share that is done and the seconds of it and of everything.

        Returns
        -------
        str
            Empty where nothing runs.
        """
        running = list(self._running)
        if not running:
            return ""
        now, last = self._clock(), running[-1]
        share = "" if last.done is None else f" {last.done:.0%}"
        of_it, of_all = now - last.began, now - self._began
        left = ""
        if last.done and of_it >= _TELLING:  # the start of processes says nothing of the rest
            left = f", about {_time(of_it * (1 - last.done) / last.done)} left"
        return f"{_names(running)}{share}, {of_it:.0f} s{left} ({of_all:.0f} s in all)"

    def _shown(self) -> None:
        if self._screen is not None:
            self._screen.show(self.line)


def _time(seconds: float) -> str:
    """Say how long, to no more than anybody knows.

    >>> _time(59.0), _time(200.0), _time(9000.0)
    ('59 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _names(steps: list[Step]) -> str:
    return ": ".join(own.name for own in steps)


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)
_QUIET = Progress()  # not wanted, which holds for all that is called inside


@contextmanager
def step(name: str) -> Iterator[Callable[[float], None]]:
    """Run a step of long work; as a decorator, a function that is one.

    Parameters
    ----------
    name : str
        What is done, as in "sampling"; empty for none.

    Yields
    ------
    callable
        Called with the share of it that is done, from any thread.
    """
    progress = _current.get()
    if progress is None or not name:
        yield lambda done: None
        return
    own = progress.begin(name)
    try:
        yield partial(progress.tell, own)
    finally:
        progress.end()


@contextmanager
def heard_by(progress: Progress) -> Iterator[None]:
    """Tell the steps of what is called inside.

    Parameters
    ----------
    progress : Progress

    Yields
    ------
    None
    """
    token = _current.set(progress)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def showing(progress: bool | None = None, *, verbose: bool = False) -> Iterator[None]:
    """Show the steps of what is called inside, on stderr or in the notebook.

    Inside of another `showing` that one goes on, unless nothing is to be shown.

    Parameters
    ----------
    progress : bool, optional
        Whether to; by default on a terminal and in a notebook. Elsewhere True writes one line for
        each step.
    verbose : bool
        Write these lines everywhere.

    Yields
    ------
    None
    """
    outer = _current.get()
    if progress is False:
        new = _QUIET
    elif outer is not None:
        new = outer
    else:
        screen = _screen()
        lines = verbose or (progress is True and screen is None)
        new = Progress(screen, _say if lines else None)
    with heard_by(new):
        yield


def _say(seconds: float, name: str) -> None:
    print(f"{seconds:7.1f} s  {name}", file=sys.stderr, flush=True)


def _screen() -> Screen | None:
    if _in_notebook():
        return Cell()
    return Terminal() if sys.stderr.isatty() else None


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # not imported: it takes long
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class Terminal:
    """One line at the end of a terminal, redrawn as time goes by.

    Parameters
    ----------
    console : rich.console.Console, optional
        By default of stderr.
    """

    def __init__(self, console: Any = None) -> None:
        self._console = console
        self._live: Any = None

    def show(self, write: Callable[[], str]) -> None:
        """Begin to show a line, which is asked for again several times a second.

        Parameters
        ----------
        write : callable
            Returns the line as it is now.
        """
        if self._live is not None:
            return
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text

        spinner = Spinner("dots")

        def line() -> Spinner:
            spinner.update(text=Text(write(), no_wrap=True, overflow="ellipsis"))
            return spinner

        # What is printed meanwhile goes above the line; stdout may be a file, and stays as it is.
        self._live = Live(
            console=self._console or Console(stderr=True),
            get_renderable=line,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def clear(self) -> None:
        """Leave nothing of it."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Cell:
    """One line below a cell of a notebook, which changes with the steps."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, write: Callable[[], str]) -> None:
        """Show a line.

        Parameters
        ----------
        write : callable
            Returns the line as it is now.
        """
        self._draw(write())

    def clear(self) -> None:
        """Leave nothing of it."""
        self._draw("")

    def _draw(self, text: str) -> None:
        from IPython.display import display

        data = {"text/plain": text}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
