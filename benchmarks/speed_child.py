"""What `speed.py` runs in processes of their own, with the Python of either side.

Each of CHILDREN prints what it found as JSON in its last line; `cpu` and `wall` in it are of one
call, and stand in place of those of the whole process.

    python benchmarks/speed_child.py NAME [ARGUMENT]...
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def processor() -> float:
    """Processor seconds so far, of all threads and of processes that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(own.ru_utime + own.ru_stime for own in used)


def clocked(call: Callable[[], Any]) -> tuple[Any, Row]:
    """Call, and count seconds of the processor and of the wall."""
    wall, cpu = time.perf_counter(), processor()
    found = call()
    return found, {"cpu": processor() - cpu, "wall": time.perf_counter() - wall}


def read(path: str) -> Any:
    """Read a table that `tables` wrote; the embedded sweep has models of thousands of weights."""
    import bayescale as bs

    return bs.read_runs(path, units={"params": 1})


def versions() -> Row:
    """Versions; importing everything also brings the files into memory before the first clock."""
    from importlib.metadata import version

    import bayescale as bs

    home = Path(bs.fit.__code__.co_filename).parent
    _ = bs.write_report, bs.forecast_curves, bs.compare
    git = ["git", "-C", str(home), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    names = ("bayescale", "pymc", "pytensor", "nutpie", "numba", "arviz", "numpy")
    found = {"commit": commit or "unknown", "python": platform.python_version()}
    return {"versions": found | {name: version(name) for name in names}}


def tables(folder: str, *rows: str) -> Row:
    """Write the tables: runs, curves, and simulated ones of an exact law with Normal noise.

    Those have nine budgets, each met within 2%, and sizes a factor four around 20 tokens per
    parameter, in random order.
    """
    import numpy as np
    import pandas as pd

    import bayescale as bs

    if "BAYESCALE_DATA" in os.environ:
        said = "the Chinchilla table and published learning curves"
        runs = bs.load_dataset("chinchilla").query("not outlier_epoch")
        curves = bs.load_dataset("learning_curves_language").query("split == 'train'")
    else:
        said = "the embedded sweep and its checkpoints, as BAYESCALE_DATA is not set"
        sweep = bs.load_dataset("minisweep").drop(columns="params")
        sweep = sweep.query("family == 'transformer' and not budget.str.startswith('rep')")
        runs = sweep.rename(columns={"params_matmul": "params"})
        curves = bs.load_dataset("minisweep_checkpoints")
        curves = curves.rename(columns={"run": "curve", "tokens": "x"})
    runs.to_csv(f"{folder}/runs.csv", index=False)
    curves.to_csv(f"{folder}/curves.csv", index=False)
    for count in map(int, rows):
        rng = np.random.default_rng(count)
        flops = rng.choice(np.geomspace(1e18, 1e21, 9), count) * rng.uniform(0.98, 1.02, count)
        params = np.sqrt(flops / 120) * 4 ** rng.uniform(-1, 1, count)
        table = pd.DataFrame({"params": params, "tokens": flops / (6 * params)})
        loss = 1.69 + 406.4 * params**-0.34 + 410.7 * table["tokens"] ** -0.28
        table["loss"] = loss * np.exp(rng.normal(0, 0.005, count))
        table.to_csv(f"{folder}/{count}.csv", index=False)
    return {"said": said}


def fit_again(path: str, seed: str) -> Row:
    """Fit in a process that has fitted the first 100 rows already, so has compiled the model."""
    from dataclasses import replace

    import bayescale as bs

    runs = read(path)
    settings: Row = {"seed": int(seed), "progress": False}
    bs.fit(replace(runs, table=runs.table[:100]), **settings)
    fitted, cost = clocked(lambda: bs.fit(runs, **settings))
    return cost | {"problems": list(fitted.diagnostics.problems)}


def check_again(path: str, seed: str) -> Row:
    """Check the runs of a kept fit, and the fit; what is compiled or imported is so already."""
    import bayescale as bs

    fitted = bs.load_fit(path)
    check_runs, check_fit = bs.check_runs, bs.check_fit
    return clocked(lambda: (check_runs(fitted.runs), check_fit(fitted, seed=int(seed))))[1]


def budgets(path: str) -> Row:
    """Find the isoFLOP budgets of a table."""
    return clocked(read(path).budgets)[1]


def ours(path: str, seed: str) -> Row:
    """Effective draws per second of our coordinates and sampler, of the same law."""
    import bayescale as bs

    runs = read(path)
    settings: Row = {"seed": int(seed), "progress": False}
    fitted, cost = clocked(lambda: bs.fit(runs, "chinchilla", **settings))
    found = fitted.diagnostics
    return rates(fitted.posterior, found.min_ess_bulk, found.seconds_sample, cost["wall"])


def textbook(path: str, seed: str) -> Row:
    """Write the joint law as a first course would, and leave the rest to PyMC."""
    import arviz as az
    import numpy as np
    import pymc as pm

    runs = read(path)
    params, tokens, loss = (runs.column(name) for name in ("params", "tokens", "loss"))

    def call() -> Any:
        with pm.Model():
            E = pm.HalfNormal("E", 3)
            A, B = (np.exp(pm.Normal(f"log_{name}", 6, 3)) for name in "AB")
            alpha, beta = (pm.HalfNormal(name, 1) for name in ("alpha", "beta"))
            sigma = pm.HalfNormal("sigma", 0.1)
            law = E + A * params**-alpha + B * tokens**-beta
            pm.Normal("log_loss", np.log(law), sigma, observed=np.log(loss))
            return pm.sample(random_seed=int(seed), progressbar=False)

    tree, cost = clocked(call)
    least = float(az.ess(tree, method="bulk").dataset.to_array().min())
    sampling = float(tree["posterior"].attrs["sampling_time"])
    return rates(tree["posterior"], least, sampling, cost["wall"])


def rates(posterior: Any, least: float, sampling: float, whole: float) -> Row:
    """Effective draws (the least of all parameters) per second of sampling and of the call."""
    found = {"chains": posterior.sizes["chain"], "min_ess_bulk": least, "seconds_sample": sampling}
    return found | {"rate": least / sampling, "rate_of_call": least / whole}


def parts(path: str, seed: str) -> Row:
    """Processor seconds of the parts of a report, made as the command makes it."""
    spans: dict[str, float] = {}
    last, began = "Python", 0.0

    def step(name: str) -> None:
        nonlocal last, began
        now = processor()
        spans[last] = now - began
        last, began = name, now

    step("importing")
    import bayescale as bs
    from bayescale.progress import Progress, heard_by

    _ = bs.fit, bs.backtest, bs.write_report
    step("reading")
    runs = read(path)
    step("fitting")
    fitted = bs.fit(runs, seed=int(seed), progress=False)
    step("backtesting")
    try:
        tested = bs.backtest(runs, fitted.spec, seed=int(seed))
    except bs.RunsError as error:  # too few budgets: the report says so, here as by command
        tested = str(error)
    step("saving")
    listening = Progress(say=lambda seconds, name: None if ": " in name else step(name))
    with tempfile.TemporaryDirectory() as out, heard_by(listening):
        bs.write_report(fitted, out, backtest=tested)
    step("")
    return {"parts": spans}


CHILDREN: dict[str, Callable[..., Row]] = {
    child.__name__: child
    for child in (versions, tables, fit_again, check_again, budgets, ours, textbook, parts)
}

if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](*sys.argv[2:])))
