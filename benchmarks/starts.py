"""Whether many fits in one process, and many processes on one empty cache, end well and agree.

    uv run python benchmarks/starts.py [--fits 100] [--processes 20]

Fits the embedded sweep again and again with 4 chains: all draws of one seed must be the same, in
every fit and in every process, whether it compiled the model, waited for another that did, or could
not write what it compiled.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bayescale as bs

GIVEN = {"model": "chinchilla", "draws": 200, "tune": 300, "seed": 4, "progress": False}
ONE = """
import sys
sys.path.insert(0, {folder!r})
import starts
print(starts.fitted())
"""


def fitted() -> str:
    """Sum of all draws of a fit, to the last digit."""
    runs = bs.read_runs(
        bs.load_dataset("minisweep"),
        where="family == 'transformer' and not budget.str.startswith('rep')",
        units={"params": 1},
    )
    return float(bs.fit(runs, **GIVEN).posterior.to_array().sum()).hex()


def started(folder: Path) -> subprocess.Popen[str]:
    """Start a process that fits once, with its compile cache in a folder."""
    return subprocess.Popen(
        [sys.executable, "-c", ONE.format(folder=str(Path(__file__).parent))],
        env=os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={folder}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    """Run all three and say what came of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--fits", type=int, default=100)
    options.add_argument("--processes", type=int, default=20)
    given = options.parse_args()
    began = time.process_time()
    inside = [fitted() for _ in range(given.fits)]
    spent = time.process_time() - began
    print(f"{given.fits} fits in one process: {len(set(inside))} result, {spent:.0f} processor s")
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "file").touch()
        for name, folder, number in (
            ("an empty cache", Path(scratch) / "empty", given.processes),
            ("the cache that they left", Path(scratch) / "empty", 2),
            ("a cache that cannot be written", Path(scratch) / "file" / "below", 2),
        ):
            processes = [started(folder) for _ in range(number)]
            said = [process.communicate() for process in processes]
            failed = [
                errors
                for process, (_, errors) in zip(processes, said, strict=True)
                if process.returncode
            ]
            results = {out.strip() for out, _ in said}
            same = "the same as above" if results == set(inside) else f"others: {results}"
            print(f"{number} processes at once on {name}: {len(failed)} failed, {same}")
            print("".join(failed), end="")


if __name__ == "__main__":
    main()
