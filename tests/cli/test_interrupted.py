"""What ends a command from outside: one line, an exit code, no trace."""

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "bayescale"]


def test_standard_output_on_a_full_device_is_said():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "models"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: [Errno 28] No space left on device; free what is full")
    assert len(done.stderr.splitlines()) == 1


def test_who_has_read_enough_is_told_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "models"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""


def test_a_stop_while_the_command_line_loads_is_no_trace(monkeypatch):
    from bayescale import __main__, cli

    def stopped():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", stopped)
    with pytest.raises(SystemExit) as ended:
        __main__.run()
    assert ended.value.code == cli.INTERRUPTED


def test_a_stop_while_a_command_runs_has_the_code_of_shells(run, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayescale.cli.app", stopped)
    assert run("models") == (130, "", "")
