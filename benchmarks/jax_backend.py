"""What sampling costs by default and through JAX, on whatever device JAX finds.

Simulated tables: one of 60 runs, one of many rows without replicates, and many of 60 runs at once.
Each measurement is a line of JSON that is added to a file, with the device. ``first`` has what is
compiled; of the second time, on a table of other values, nothing is. On a busy machine compare
seconds of the processor, on a device those of the wall.

    uv run python benchmarks/jax_backend.py results.jsonl --case one --backend jax
    uv run python benchmarks/jax_backend.py results.jsonl --case rows --rows 100000 --draws 500
    uv run python benchmarks/jax_backend.py results.jsonl --case tables --tables 64
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import Fit, RunsWarning, fit, fit_tables
from bayescale.posterior.fit import BACKENDS
from bayescale.posterior.jax_sampling import device

MODEL = "chinchilla"


def table_of(rows: int, seed: int) -> pd.DataFrame:
    """Simulate runs that share no inputs."""
    rng = np.random.default_rng(seed)
    params, tokens = 10 ** rng.uniform(7, 10, rows), 10 ** rng.uniform(9, 11.5, rows)
    loss = 1.69 + 406.4 * params**-0.34 + 410.7 * tokens**-0.28
    loss *= np.exp(0.005 * rng.normal(size=rows))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def timed(make: Callable[[], Sequence[Fit]]) -> dict[str, float]:
    """Count seconds, and effective draws of the worst parameter of the worst fit."""
    wall, cpu = time.perf_counter(), time.process_time()
    fits = make()
    least = [own.diagnostics.min_ess_bulk for own in fits]
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "least_ess": float(np.min(least)),
        "ess": float(np.sum(least)),
        "not_converged": sum(not own.diagnostics.converged for own in fits),
    }


def measure(case: str, backend: str, rows: int, tables: int, draws: int) -> dict[str, object]:
    """Sample twice, tables of other values the second time."""
    settings = {"draws": draws, "tune": draws}

    def sampled(seed: int) -> Sequence[Fit]:
        made = [table_of(rows, seed + number) for number in range(tables)]
        if case == "tables" and backend == "jax":
            return fit_tables(made, MODEL, **settings)
        return [fit(own, MODEL, backend=backend, **settings) for own in made]

    first, second = (timed(lambda seed=seed: sampled(seed)) for seed in (0, 1000))
    return {"first": first, "second": second}


def main() -> None:
    """Measure one case by the backends that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--case", choices=("one", "rows", "tables"), default="one")
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--rows", type=int, help="60, and 100,000 of the case rows")
    parser.add_argument("--tables", type=int, default=64)
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    warnings.simplefilter("ignore", RunsWarning)
    rows = given.rows or (100_000 if given.case == "rows" else 60)
    tables = given.tables if given.case == "tables" else 1
    for backend in given.backend or BACKENDS:
        found = {
            "case": given.case,
            "backend": backend,
            "device": device() if backend == "jax" else "cpu",
            "rows": rows,
            "tables": tables,
            "draws": given.draws,
            **measure(given.case, backend, rows, tables, given.draws),
        }
        line = json.dumps(found)
        print(line, flush=True)
        with given.out.open("a") as out:
            out.write(line + "\n")


if __name__ == "__main__":
    main()
