"""How long many fits take on all cores, where it goes, and how long a larger house would take.

Simulated tables: single-axis curves of 12 points (``power-law-params``, 500 draws of each chain),
and joint tables of 60 runs (``chinchilla``, 1,000 draws). Each measurement is a line that is added
to a file. Seconds of the processor are those of all processes; their share of the time that all
cores have is the use. On a busy machine compare processor seconds.

    uv run python benchmarks/many_fits.py measure results.jsonl --kind single --fits 1000
    uv run python benchmarks/many_fits.py parts --kind single --workers 2
    uv run python benchmarks/many_fits.py study --fits 100000 --workers 64
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from speed_child import processor

from bayescale import Job, fit, fit_many
from bayescale.workers import spread, usable_cores

KINDS = {
    "single": ("power-law-params", {"draws": 500, "tune": 500}),
    "joint": ("chinchilla", {}),
}


def table_of(kind: str, seed: int) -> pd.DataFrame:
    """Simulate one table."""
    rng = np.random.default_rng(seed)
    if kind == "single":
        params = np.geomspace(1e8, 1e11, 12)
        loss = 0.5 + 2 * (params / 1e8) ** -0.3
        return pd.DataFrame({"params": params, "loss": loss * np.exp(0.005 * rng.normal(size=12))})
    flops = rng.choice(np.geomspace(1e18, 1e21, 9), 60) * rng.uniform(0.98, 1.02, 60)
    params = np.sqrt(flops / 120) * 4 ** rng.uniform(-1, 1, 60)
    tokens = flops / (6 * params)
    loss = 1.69 + 406.4 * params**-0.34 + 410.7 * tokens**-0.28
    loss *= np.exp(0.005 * rng.normal(size=60))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def jobs_of(kind: str, number: int) -> list[Job]:
    """Make so many jobs."""
    model, settings = KINDS[kind]
    return [Job(table_of(kind, k), model, k, settings, f"{kind} {k}") for k in range(number)]


def measure(kind: str, number: int, workers: int) -> dict[str, object]:
    """Fit so many, and count seconds of the wall and of all processes."""
    fit_many(jobs_of(kind, 1), workers=1)  # compiles, if nobody has
    jobs = jobs_of(kind, number)
    wall, cpu = time.perf_counter(), processor()
    with tempfile.TemporaryDirectory() as folder:
        found = fit_many(jobs, workers=workers, out=folder)
    wall, cpu = time.perf_counter() - wall, processor() - cpu
    return {
        **{"kind": kind, "fits": number, "workers": workers, "wall": wall, "cpu": cpu},
        **{"use": cpu / wall / workers, "cpu_per_fit": cpu / number},
        **{"load": os.getloadavg()[0], "failed": len(found.failed)},
        "not_converged": len(found.problems),
    }


def parts(kind: str, workers: int, number: int = 20) -> dict[str, float]:
    """Processor seconds of the parts of a study: a worker's start, compiling, a fit, its record.

    As many processes as the study has workers take them at once, as they share caches and memory.
    What hands fits out and records them is timed while they work.
    """
    fit_many(jobs_of(kind, 1), workers=1)  # compiles, if nobody has
    each = [called.value for called in spread(_timed, [(kind, number)] * workers, workers=workers)]
    jobs = jobs_of(kind, number * workers)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()  # of this process alone
        fit_many(jobs, workers=workers, out=folder)
        client = (time.process_time() - began) / len(jobs)
    return {name: float(np.mean([own[name] for own in each])) for name in each[0]} | {
        "client": client
    }


def _timed(asked: tuple[str, int]) -> dict[str, float]:
    """Time the parts in a process that has just started."""
    import bayescale.posterior.many  # noqa: F401

    kind, number = asked
    start = time.process_time()
    jobs = jobs_of(kind, number)
    marks = [time.process_time()]
    for job in [jobs[0], *jobs]:
        fit(job.runs, job.spec, seed=job.seed, progress=False, **job.settings)
        marks.append(time.process_time())
    fit_many(jobs, workers=1)
    first, alone = marks[1] - marks[0], (marks[-1] - marks[1]) / number
    whole = (time.process_time() - marks[-1]) / number
    return {
        **{"start": start, "loading": max(0.0, first - alone)},
        **{"fit": alone, "record": whole - alone},
    }


def study(known: dict[str, float], fits: int, workers: int) -> float:
    """Seconds of a study: workers start and load at once, and then share the fits.

    One process hands fits out and records them, on a core that is a worker's as well: where that
    takes as long as all workers together, more of them are of no use.
    """
    each = known["fit"] + known["record"] + known["client"]
    shared = fits * each / workers
    return known["start"] + known["loading"] + max(shared, fits * known["client"])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("measure", "parts", "study"))
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--kind", choices=KINDS, default="single")
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--workers", type=int, default=usable_cores())
    asked = parser.parse_args()
    if asked.what == "measure":
        found: dict[str, object] = measure(asked.kind, asked.fits, asked.workers)
    else:
        known = parts(asked.kind, min(asked.workers, usable_cores()))
        found = {"kind": asked.kind, **known, "load": os.getloadavg()[0]}
        if asked.what == "study":
            seconds = study(known, asked.fits, asked.workers)
            found |= {"fits": asked.fits, "workers": asked.workers, "predicted": seconds}
    line = json.dumps(found)
    print(line)
    if asked.out is not None:
        with asked.out.open("a") as file:
            file.write(f"{line}\n")


if __name__ == "__main__":
    main()
