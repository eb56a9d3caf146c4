"""Small versions of benchmarks/hostile.py: no input ends in a trace, a hang, or a wrong number."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter

import numpy as np
import pytest

from bayescale.errors import BayescaleError, RunsWarning

hostile = pytest.importorskip("hostile")


def failures(verdicts):
    return [f"{v.outcome} {v.kind} {v.seed}: {v.text}" for v in verdicts if v.outcome in FAILURES]


FAILURES = hostile.FAILURES


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_no_input_of_a_kind_fails(kind):
    number = 5 if kind in hostile.APART else 15
    assert not failures(hostile.run(number, 1, [kind]))


@pytest.mark.slow
def test_of_hundreds_of_inputs_none_fails(tmp_path):
    """In a process of its own: libraries that other tests import may be afraid of forks."""
    out = tmp_path / "hostile.jsonl"
    asked = ["--inputs", "650", "--seed", "10000", "--out", str(out)]
    command = [sys.executable, hostile.__file__, *asked]
    subprocess.run(command, check=True, capture_output=True, text=True)
    verdicts = [hostile.Verdict(**json.loads(line)) for line in out.read_text().splitlines()]
    assert len(verdicts) == 650
    assert not failures(verdicts)
    counts = Counter((v.kind, v.outcome) for v in verdicts)
    for kind in ("bytes_of_a_table", "bytes_of_a_model", "arrays_of_a_fit", "names_of_files"):
        read = counts[kind, "whole"] + counts[kind, "warned"]
        assert min(read, counts[kind, "refused"]) >= 5, f"{kind} tries one outcome alone"
    print(hostile.table_of(verdicts))


def outcome(use, folder, monkeypatch, apart=False):
    monkeypatch.setitem(hostile.KINDS, "own", lambda rng, folder: use(folder))
    return (hostile.apart if apart else hostile.judged)("own", 1, folder).outcome


def raising(error):
    def use(folder):
        raise error

    return use


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (BayescaleError("row 3 is odd; mend it"), "refused"),
        (BayescaleError("x" * 10_000), "TRACEBACK"),
        (BayescaleError("Traceback (most recent call last)"), "TRACEBACK"),
        (KeyError("loss"), "TRACEBACK"),
        (SystemExit(1), "TRACEBACK"),
        (AssertionError("SILENT: 3 is in no row"), "SILENT"),
        (AssertionError("LOST: 3 bytes"), "LOST"),
    ],
)
def test_errors_are_told_apart(tmp_path, monkeypatch, error, found):
    assert outcome(raising(error), tmp_path, monkeypatch) == found


def test_hangs_code_crashes_and_warnings_are_seen(tmp_path, monkeypatch):
    def runs_code(folder):
        return os.system("true") or "whole"

    def warns_of_a_library(folder):
        warnings.warn("old", FutureWarning, stacklevel=1)
        return "whole"

    def warns(folder):
        warnings.warn("odd", RunsWarning, stacklevel=1)
        return "whole"

    def crashes(folder):
        os.kill(os.getpid(), signal.SIGKILL)

    def never_ends(folder):
        while True:
            pass

    monkeypatch.setattr(hostile, "SECONDS", 0.2)
    assert outcome(runs_code, tmp_path, monkeypatch) == "CODE"
    assert outcome(warns_of_a_library, tmp_path, monkeypatch) == "TRACEBACK"
    assert outcome(warns, tmp_path, monkeypatch) == "warned"
    assert outcome(crashes, tmp_path, monkeypatch, apart=True) == "CRASH"
    assert outcome(never_ends, tmp_path, monkeypatch) == "HANG"


def test_a_number_that_no_row_has_is_silent():
    rows = hostile.table(np.random.default_rng(1))
    table = hostile.pd.DataFrame(rows).astype(dict.fromkeys(hostile.COLUMNS, float))
    runs = hostile.read_runs(table.assign(loss=table["loss"] + 0.01))
    with pytest.raises(AssertionError, match="SILENT"):
        hostile.require_in(runs, rows)


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        ("3.55", {3.55}),
        ("35M", {35e6}),
        ("3,55", {3.55}),
        ("1.234.567", {1234567.0}),
        ("1,234,567.5", {1234567.5}),
        (" 1e9\ufeff", {1e9}),
        ("١٢", {12.0}),
        ("1_0", set()),
        (True, set()),
        (10**400, set()),
    ],
)
def test_the_oracle_reads_as_people_do(cell, numbers):
    found = hostile.honest(cell)
    assert numbers <= found
    assert bool(numbers) == bool(found)


def test_a_writer_that_does_not_replace_loses_files(tmp_path, monkeypatch):
    def careless(path, content):
        with path.open("wb") as file:
            for place in range(0, len(content), 1000):
                file.write(content[place : place + 1000])
                time.sleep(1e-4)

    monkeypatch.setattr(hostile, "write", careless)
    found = {hostile.judged("writers_that_are_killed", seed, tmp_path).outcome for seed in range(3)}
    assert "LOST" in found
