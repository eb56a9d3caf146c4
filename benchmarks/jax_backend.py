"""What sampling costs by default and through JAX, on whatever device JAX finds.

    uv run python benchmarks/jax_backend.py results.jsonl --case rows --sizes 100 1000 10000 100000
    uv run python benchmarks/jax_backend.py results.jsonl --case tables --sizes 1 10 50 200

Simulated tables: one of so many runs that share no inputs, or so many tables of 60 runs at once. By
default many tables are `fit_many`'s, in so many processes; through JAX they are one call of
`fit_tables`. Each point is a line that is added to a file, with the device, and those that are
there are left out. ``first`` has what is compiled; of the second time, of tables of other values,
nothing is. On a busy machine compare seconds of the processor, on a device those of the wall.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from speed_child import clocked

from bayescale import Job, RunsWarning, fit, fit_many, fit_tables
from bayescale.posterior.fitting import BACKENDS
from bayescale.posterior.jax_sampling import device
from bayescale.workers import usable_cores

MODEL = "chinchilla"
ROWS = 60  # of each of many tables
SIZES = {"rows": [100, 1_000, 10_000, 100_000], "tables": [1, 10, 50, 200]}
SPENT = ("cpu", "wall", "least_ess", "ess")
KNOWN_BY = ["case", "backend", "device", "size", "draws", "workers"]


def table_of(rows: int, seed: int) -> pd.DataFrame:
    """Simulate runs that share no inputs."""
    rng = np.random.default_rng(seed)
    params, tokens = 10 ** rng.uniform(7, 10, rows), 10 ** rng.uniform(9, 11.5, rows)
    loss = 1.69 + 406.4 * params**-0.34 + 410.7 * tokens**-0.28
    loss *= np.exp(0.005 * rng.normal(size=rows))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def effective(
    case: str, backend: str, size: int, draws: int, workers: int, seed: int
) -> list[float]:
    """Sample, and return the effective draws of the worst parameter of each fit."""
    settings: dict[str, Any] = {"draws": draws, "tune": draws}
    if case == "rows":
        own = fit(table_of(size, seed), MODEL, backend=backend, **settings)
        return [own.diagnostics.min_ess_bulk]
    tables = [table_of(ROWS, seed + number) for number in range(size)]
    if backend == "jax":
        found = fit_tables(tables, MODEL, **settings)
        return [own.diagnostics.min_ess_bulk for own in found]
    jobs = [Job(own, MODEL, number, settings, str(number)) for number, own in enumerate(tables)]
    return [own.diagnostics["min_ess_bulk"] for own in fit_many(jobs, workers=workers)]


def measure(*point: Any) -> dict[str, Any]:
    """Sample twice, tables of other values the second time: seconds, and effective draws."""
    found = {}
    for name, seed in (("first", 0), ("second", 100_000)):
        least, spent = clocked(lambda seed=seed: effective(*point, seed))
        found[name] = {**spent, "least_ess": float(np.min(least)), "ess": float(np.sum(least))}
    return found


def known(path: Path) -> pd.DataFrame:
    """Read the points that the file has."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return pd.json_normalize([json.loads(line) for line in lines]).reindex(
        columns=[*KNOWN_BY, *(f"{n}.{kind}" for n in ("first", "second") for kind in SPENT)]
    )


def compile_anew(folder: str) -> None:
    """Let JAX keep what it compiles in a folder of this run: the first time shall have it all."""
    import jax

    jax.config.update("jax_compilation_cache_dir", folder)


def main() -> None:
    """Measure what is missing, then print all points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--case", choices=SIZES, default="rows")
    parser.add_argument("--sizes", type=int, nargs="+", help="rows of the table, or tables")
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--draws", type=int, default=500, help="of each chain, and to tune")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="of the default")
    given = parser.parse_args()
    warnings.simplefilter("ignore", RunsWarning)
    backends = given.backend or BACKENDS
    done = set(known(given.out)[KNOWN_BY].itertuples(index=False, name=None))
    with tempfile.TemporaryDirectory() as folder:
        if "jax" in backends:
            compile_anew(folder)
        for size in given.sizes or SIZES[given.case]:
            for backend in backends:
                on = device() if backend == "jax" else "cpu"
                workers = given.workers if (given.case, backend) == ("tables", "nutpie") else 1
                about = (given.case, backend, on, size, given.draws, workers)
                if about in done:
                    continue
                found = measure(given.case, backend, size, given.draws, workers)
                with given.out.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(dict(zip(KNOWN_BY, about, strict=True)) | found) + "\n")
    print(known(given.out).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
