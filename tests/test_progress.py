"""What is said of long work while it runs."""

import io
import sys
import threading
import types

import pytest
from rich.console import Console

from bayescale import progress
from bayescale.posterior.fitting import fit
from bayescale.progress import Cell, Progress, Terminal, heard_by, showing, step


class Clock:
    """Stands still until it is set."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Seen:
    """A screen that keeps what it shows."""

    def __init__(self):
        self.write, self.lines = None, []

    def show(self, write):
        self.write = write
        self.lines.append(write())

    def clear(self):
        self.lines.append(None)


def test_a_line_names_the_steps_their_seconds_and_the_share_that_is_done():
    clock, screen = Clock(), Seen()
    with heard_by(Progress(screen, clock=clock)):
        clock.now += 2
        with step("backtest"), step("cut 1 of 4"):
            clock.now += 5
            with step("sampling") as tell:
                clock.now += 3
                assert screen.write() == "backtest: cut 1 of 4: sampling, 3 s (10 s in all)"
                tell(0.452)
                assert screen.lines[-1] == "backtest: cut 1 of 4: sampling 45%, 3 s (10 s in all)"
                clock.now += 17
                tell(0.8)
                assert screen.lines[-1].endswith("sampling 80%, 20 s, about 5 s left (27 s in all)")
                clock.now -= 17
            assert screen.write() == "backtest: cut 1 of 4, 8 s (10 s in all)"
            assert None not in screen.lines
        assert screen.lines[-1] is None
        tell(1.0)  # from a thread that comes late
        assert screen.lines[-1] is None
        assert screen.write() == ""


def test_a_step_ends_when_it_fails():
    screen = Seen()
    with heard_by(Progress(screen)):
        with pytest.raises(ZeroDivisionError), step("compiling"):
            1 / 0  # noqa: B018
        assert screen.lines[-1] is None


def test_nothing_is_shown_off_a_terminal_unless_it_is_asked_for(capsys):
    with showing(), step("sampling"):
        pass
    assert capsys.readouterr() == ("", "")
    with showing(verbose=True), step("sampling"), showing(), step(""), step("again"):
        pass
    said = capsys.readouterr()
    assert [line.split("s  ")[1] for line in said.err.splitlines()] == [
        "sampling",
        "sampling: again",
    ]
    assert said.out == ""
    with showing(True), step("sampling"), showing(False), step("not this"):
        pass
    assert capsys.readouterr().err.endswith(" s  sampling\n")
    with step("outside"):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_one_line_that_goes_away(monkeypatch):
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=60, legacy_windows=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with heard_by(Progress(Terminal(console), clock=clock)), step("fitting"):
        clock.now += 4
        with step("sampling") as tell:
            sampler = threading.Thread(target=tell, args=(0.5,))
            sampler.start()
            sampler.join()
            deadline = threading.Event()
            for _ in range(50):  # the line is redrawn by itself
                if "sampling 50%" in stream.getvalue():
                    break
                deadline.wait(0.1)
            print("for a file")
    assert "fitting: sampling 50%, 0 s (4 s in all)" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[2K")  # erased
    assert sys.stdout.getvalue() == "for a file\n"


def test_a_notebook_shows_one_line_below_the_cell(monkeypatch):
    shown = []

    class Handle:
        def update(self, data, *, raw):
            shown.append(data["text/plain"])

    def display(data, *, raw, display_id):
        shown.append(data["text/plain"])
        return Handle()

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    assert isinstance(progress._screen(), Cell)
    with showing(), step("sampling") as tell:
        tell(0.5)
    assert shown == ["sampling, 0 s (0 s in all)", "sampling 50%, 0 s (0 s in all)", ""]
    with showing(False), step("sampling"):
        pass
    assert len(shown) == 3


def test_a_fit_says_its_steps_and_tells_its_draws(runs):
    said, screen = [], Seen()
    listening = Progress(screen, say=lambda seconds, name: said.append(name))
    with heard_by(listening):
        fit(runs, "chinchilla", draws=200, tune=300, seed=3)
    assert said[-1].endswith("sampling")
    assert set(said) <= {"compiling", "sampling", *(f"attempt {i} of 3" for i in (2, 3))} | {
        f"attempt {i} of 3: sampling" for i in (2, 3)
    }
    assert any("sampling 100%" in line for line in screen.lines if line)
    quiet = Seen()
    with heard_by(Progress(quiet)):
        fit(runs, "chinchilla", draws=50, tune=50, seed=3, progress=False)
    assert quiet.lines == []


def test_compiling_is_a_step_of_its_own_before_sampling(runs, monkeypatch):
    from bayescale.posterior import sampling

    said = []
    monkeypatch.setattr(sampling, "compile_density", lambda *_: said.append("compiled"))
    shape = sampling.Shape(("a shape of this test",), (), (), lambda: None, None)
    with heard_by(Progress(say=lambda seconds, name: said.append(name))):
        sampling.compile_model(shape)
        sampling.compile_model(shape)  # which is compiled already
    assert said == ["compiling", "compiled"]
