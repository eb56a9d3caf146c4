"""Batches whose processes, scheduler or self are killed lose nothing and do nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_many import SHORT, curve
from test_workers import cluster  # noqa: F401

from bayescale import Job, fit_many
from bayescale.posterior.many import RECORDS

pytestmark = pytest.mark.slow
FITS = 12
BATCH = """
import sys, pandas as pd
from bayescale import Job, fit_many
sys.path.insert(0, sys.argv[2])
from test_many import SHORT, curve
jobs = [Job(curve(k), "power-law-params", k, SHORT, f"curve {k}") for k in range(int(sys.argv[3]))]
fit_many(jobs, workers=2, out=sys.argv[1], progress=False)
"""


def jobs():
    return [Job(curve(k), "power-law-params", k, SHORT, f"curve {k}") for k in range(FITS)]


@pytest.fixture(scope="module")
def here():
    """Draws of each fit, made in this process."""
    return [one.draws for one in fit_many(jobs(), workers=1)]


def recorded(folder):
    path = Path(folder) / RECORDS
    return path.read_text().splitlines() if path.exists() else []


def wait_until(true, seconds=500):
    ended = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ended, "it took too long"
        time.sleep(0.05)


def require_whole(folder, draws):
    """All fits are recorded, each once, with the draws of this process."""
    records = [json.loads(line) for line in recorded(folder)]
    assert sorted(one["name"] for one in records) == sorted(f"curve {k}" for k in range(FITS))
    assert {one["name"]: one["draws"] for one in records} == {
        f"curve {k}": own for k, own in enumerate(draws)
    }


def test_a_batch_that_is_killed_at_three_moments_goes_on(tmp_path, here):
    rng = np.random.default_rng(0)
    arguments = [sys.executable, "-c", BATCH, tmp_path, Path(__file__).parent, str(FITS)]
    for moment in np.sort(rng.choice(np.arange(1, FITS - 1), 3, replace=False)):
        batch = subprocess.Popen(arguments)
        wait_until(lambda least=moment: len(recorded(tmp_path)) >= least)
        time.sleep(rng.uniform(0, 0.3))
        batch.kill()
        batch.wait()
    left = FITS - len(recorded(tmp_path))
    assert 0 < left < FITS
    found = fit_many(jobs(), workers=2, out=tmp_path)
    assert [one.draws for one in found] == here
    require_whole(tmp_path, here)


def test_workers_that_are_killed_are_replaced(tmp_path, here):
    batch = subprocess.Popen(
        [sys.executable, "-c", BATCH, tmp_path, Path(__file__).parent, str(FITS)]
    )
    wait_until(lambda: len(recorded(tmp_path)) >= 3)
    os.kill(children_of(batch.pid)[-1], signal.SIGKILL)
    assert batch.wait(500) == 0
    require_whole(tmp_path, here)


def children_of(pid):
    """Processes of a batch that fit, the latest last."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(") ", 1)[1].split()[1])
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "popen_loky" in command:
            found.append(int(path.parent.name))
    return sorted(found)


def test_a_cluster_that_loses_a_worker_and_its_scheduler_draws_the_same(
    cluster,  # noqa: F811
    tmp_path,
    here,
):
    out = tmp_path / "made"
    text = BATCH.replace("workers=2", f"scheduler={cluster.address!r}")
    arguments = [sys.executable, "-c", text, out, Path(__file__).parent, str(FITS)]
    batch = subprocess.Popen(arguments)
    wait_until(lambda: len(recorded(out)) >= 2)
    cluster.workers[0].kill()
    wait_until(lambda: len(recorded(out)) >= 5)
    cluster.stop()
    cluster.start()
    assert batch.wait(500) == 0
    require_whole(out, here)
