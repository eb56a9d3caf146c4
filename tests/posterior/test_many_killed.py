"""Batches whose processes, scheduler or self are killed lose nothing and do nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_curve
from test_workers import cluster  # noqa: F401

from bayescale import fit_many, read_jobs
from bayescale.posterior.many import RECORDS

pytestmark = pytest.mark.slow
FITS = 12
BATCH = """
import sys
from bayescale import fit_many, read_jobs
jobs = read_jobs(sys.argv[2])
fit_many(jobs, workers=2, out=sys.argv[1], progress=False)
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """List the fits in a file, for this process and those that are killed."""
    folder = tmp_path_factory.mktemp("list")
    parts = [simulated_curve(k).assign(curve=k) for k in range(FITS)]
    pd.concat(parts).to_csv(folder / "curves.csv", index=False)
    fit = '[[fits]]\ntable = "curves.csv"\nby = "curve"\nname = "curve"\n'
    settings = 'model = "power-law-params"\ndraws = 50\ntune = 100\nchains = 2\n'
    (folder / "fits.toml").write_text(settings + fit)
    return folder / "fits.toml"


@pytest.fixture(scope="module")
def here(listed):
    """Draws of each fit, made in this process."""
    return [one.draws for one in fit_many(read_jobs(listed), workers=1)]


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


def test_a_batch_that_is_killed_at_three_moments_goes_on(tmp_path, listed, here):
    rng = np.random.default_rng(0)
    arguments = [sys.executable, "-c", BATCH, tmp_path, listed]
    for moment in np.sort(rng.choice(np.arange(1, FITS // 2), 3, replace=False)):
        batch = subprocess.Popen(arguments)
        wait_until(lambda least=moment: len(recorded(tmp_path)) >= least)
        time.sleep(rng.uniform(0, 0.3))
        batch.kill()
        batch.wait()
    left = FITS - len(recorded(tmp_path))
    assert 0 < left < FITS
    found = fit_many(read_jobs(listed), workers=2, out=tmp_path)
    assert [one.draws for one in found] == here
    require_whole(tmp_path, here)


def test_workers_that_are_killed_are_replaced(tmp_path, listed, here):
    batch = subprocess.Popen([sys.executable, "-c", BATCH, tmp_path, listed])
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
    listed,
    here,
):
    out = tmp_path / "made"
    text = BATCH.replace("workers=2", f"scheduler={cluster.address!r}")
    arguments = [sys.executable, "-c", text, out, listed]
    batch = subprocess.Popen(arguments)
    wait_until(lambda: len(recorded(out)) >= 2)
    cluster.workers[0].kill()
    wait_until(lambda: len(recorded(out)) >= 5)
    cluster.stop()
    cluster.start()
    assert batch.wait(500) == 0
    require_whole(out, here)
