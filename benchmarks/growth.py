"""How time and memory grow: with rows, groups, curves, draws and workers, as exponents.

    uv run python benchmarks/growth.py results.jsonl [--only rows logs groups curves draws workers]
        [--most 1e6] [--repeats 1]

Each point is a process of its own: processor seconds of each of its steps, without imports, and the
peak of its memory. Points are appended to the file as they end, and those that are there are left
out, so that a run that was stopped goes on. Tables of ``rows`` are seeds of up to 900
configurations; of ``logs`` checkpoints of up to 400 runs, with autocorrelated errors. ``workers``
share 40 fits of one table: their processor seconds, with their start, should hardly grow.

The exponents printed are those of the larger sizes: of the line through the logarithms of seconds
against those of sizes from a tenth of the largest on. 1 is linear.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from speed_child import clocked

SIZES = {
    "rows": [100, 1_000, 10_000, 100_000, 1_000_000],
    "logs": [1_000, 10_000, 100_000, 1_000_000],
    "groups": [2, 5, 10, 20, 50],
    "curves": [1, 10, 100, 1_000, 5_000],
    "draws": [250, 500, 1_000, 2_000, 4_000],
    "workers": [1, 2, 3, 4],
}
TRUTH = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
CONFIGURATIONS = 900
RUNS = 400

type Steps = list[tuple[str, Callable[[], Any]]]


def law(params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Loss of the true law."""
    reducible = TRUTH["A"] * params ** -TRUTH["alpha"] + TRUTH["B"] * tokens ** -TRUTH["beta"]
    return TRUTH["E"] + reducible


def grid(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and tokens of so many configurations, nearly a square."""
    side = int(np.ceil(np.sqrt(number)))
    params, tokens = np.geomspace(1e7, 1e10, side), np.geomspace(1e10, 1e12, side)
    return np.repeat(params, side)[:number], np.tile(tokens, side)[:number]


def seeds(rows: int) -> pd.DataFrame:
    """Return runs of configurations that each have several seeds where rows are many."""
    rng = np.random.default_rng(0)
    number = min(max(rows // 4, 20), CONFIGURATIONS)
    params, tokens = grid(number)
    cell = np.arange(rows) % number
    error = 0.004 * rng.standard_normal(number)[cell] + 0.003 * rng.standard_normal(rows)
    loss = law(params, tokens)[cell] * np.exp(error)
    columns = {"params": params[cell], "tokens": tokens[cell], "loss": loss}
    return pd.DataFrame({**columns, "seed": np.arange(rows) // number})


def logs(rows: int) -> pd.DataFrame:
    """Return checkpoints of runs; errors have the autocorrelation 1/e a third of a run later."""
    rng = np.random.default_rng(0)
    runs = int(np.clip(rows // 30, 16, RUNS))
    each = rows // runs
    params, tokens = (side[:, None] for side in grid(runs))
    tokens = tokens * np.arange(1, each + 1) / each
    error, last = np.empty((runs, each)), rng.standard_normal(runs)
    keep = np.exp(-3 / each)
    for place in range(each):
        last = keep * last + np.sqrt(1 - keep**2) * rng.standard_normal(runs)
        error[:, place] = 0.01 * last
    loss = law(params, tokens) * np.exp(error)
    return pd.DataFrame(
        {
            "run": np.repeat([f"run {run}" for run in range(runs)], each),
            "params": np.repeat(params, each),
            "tokens": tokens.ravel(),
            "loss": loss.ravel(),
        }
    )


def families(number: int) -> pd.DataFrame:
    """Return groups of twelve runs, whose laws differ by a factor."""
    rng = np.random.default_rng(0)
    params, tokens = grid(12)
    tables = [
        pd.DataFrame(
            {
                "family": f"family {group}",
                "params": params,
                "tokens": tokens,
                "loss": law(params, tokens)
                * np.exp(0.03 * rng.standard_normal() + 0.004 * rng.standard_normal(12)),
            }
        )
        for group in range(number)
    ]
    return pd.concat(tables, ignore_index=True)


def curves(number: int) -> pd.DataFrame:
    """Return learning curves of fifteen points."""
    rng = np.random.default_rng(0)
    x = np.geomspace(1e6, 1e8, 15)
    tables = [
        pd.DataFrame(
            {
                "curve": f"curve {place}",
                "x": x,
                "loss": (0.4 + 0.6 * (x / x[0]) ** -np.exp(rng.normal(-1.05, 0.3)))
                * np.exp(0.005 * rng.standard_normal(15)),
            }
        )
        for place in range(number)
    ]
    return pd.concat(tables, ignore_index=True)


def of_rows(table: pd.DataFrame, folder: Path, **options: Any) -> Steps:
    """Return the steps of a report of a Parquet file of runs."""
    import bayescale as bs
    from bayescale.modelling.build import model_data

    path, held = folder / "runs.parquet", dict[str, Any]()
    table.to_parquet(path, index=False)
    del table
    spec = bs.load_model("chinchilla")
    return [
        ("read", lambda: held.update(runs=bs.read_runs(path, **options))),
        ("aggregate", lambda: model_data(spec, held["runs"])),
        ("fit", lambda: held.update(fit=bs.fit(held["runs"], spec))),
        ("check", lambda: bs.check_fit(held["fit"])),
        ("residuals", lambda: bs.residuals(held["fit"])),
        ("save", lambda: held["fit"].save(folder / "fit.nc")),
        ("report", lambda: bs.write_report(held["fit"], folder / "report")),
    ]


def steps_of(kind: str, size: int, folder: Path) -> Steps:
    """Return the steps of one point, each by its name."""
    import bayescale as bs

    if kind == "rows":
        return of_rows(seeds(size), folder)
    if kind == "logs":
        return of_rows(logs(size), folder, mid_schedule="keep")
    if kind == "curves":
        table = curves(size)
        return [("forecast", lambda: bs.forecast_curves(table, "curve", "x", "loss", at="2x"))]
    held = dict[str, Any]()
    if kind == "groups":
        runs, spec = bs.read_runs(families(size)), bs.load_model("chinchilla-hierarchical")
        fitted = [("fit", lambda: held.update(fit=bs.fit(runs, spec)))]
        return [*fitted, ("check", lambda: bs.check_fit(held["fit"]))]
    runs, spec = bs.read_runs(seeds(200)), bs.load_model("chinchilla")
    if kind == "workers":
        jobs = [bs.Job(runs, spec, seed) for seed in range(40)]
        return [("fits", lambda: bs.fit_many(jobs, workers=size))]
    return [
        ("fit", lambda: held.update(fit=bs.fit(runs, spec, draws=size))),
        ("check", lambda: bs.check_fit(held["fit"])),
        ("optima", lambda: bs.compute_optimal(held["fit"], [1e22, 1e23])),
        ("report", lambda: bs.write_report(held["fit"], folder / "report")),
    ]


def measure(kind: str, size: int) -> None:
    """Print what each step of one point costs, as JSON."""
    warnings.simplefilter("ignore")
    import bayescale as bs

    _ = bs.fit, bs.fit_many, bs.check_fit, bs.write_report, bs.forecast_curves, bs.compute_optimal
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name, step in steps_of(kind, size, Path(folder)):
            _, spent = clocked(step)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            found.append({"step": name, **spent, "peak_mb": peak})
    print(json.dumps(found))


def known(path: Path) -> pd.DataFrame:
    """Read the points that the file has."""
    columns = ["kind", "size", "repeat", "step", "cpu", "wall", "peak_mb"]
    if not path.exists():
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(map(json.loads, path.read_text("utf-8").splitlines()), columns=columns)


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for each kind and step, the exponents of seconds and memory over the larger sizes."""
    found = []
    for (kind, step), own in table.groupby(["kind", "step"], sort=False):
        middle = own.groupby("size")[["cpu", "peak_mb"]].median()
        upper = middle[middle.index >= middle.index.max() / 10]
        if len(upper) < 2:
            continue
        x = np.log(upper.index.to_numpy(dtype=float))
        slope = {name: np.polyfit(x, np.log(upper[name]), 1)[0] for name in upper}
        last = middle.iloc[-1]
        found.append(
            {
                "kind": kind,
                "step": step,
                "largest": middle.index[-1],
                "seconds": last["cpu"],
                "exponent": slope["cpu"],
                "MB": last["peak_mb"],
                "of memory": slope["peak_mb"],
            }
        )
    return pd.DataFrame(found)


def main() -> None:
    """Measure what is missing, then print all points and their exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--most", type=float, default=np.inf)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "SIZE"), help="one point, as a child")
    options = parser.parse_args()
    if options.one:
        os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # no other process makes what is counted in this one
        return measure(options.one[0], int(options.one[1]))
    done = set(known(options.file)[["kind", "size", "repeat"]].itertuples(index=False, name=None))
    for repeat in range(options.repeats):
        for kind in options.only:
            for size in SIZES[kind]:
                if size > options.most or (kind, size, repeat) in done:
                    continue
                command = [sys.executable, __file__, str(options.file), "--one", kind, str(size)]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                about = {"kind": kind, "size": size, "repeat": repeat}
                with options.file.open("a", encoding="utf-8") as file:
                    for row in json.loads(said.splitlines()[-1]):
                        file.write(json.dumps(about | row) + "\n")
    table = known(options.file)
    wide = table.pivot_table("cpu", ["kind", "size"], "step", "median", sort=False)
    print(wide.round(2).to_string(na_rep=""))
    print(exponents(table).round(2).to_string(index=False))
    return None


if __name__ == "__main__":
    main()
