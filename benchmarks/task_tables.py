"""Coverage of the accuracies of simulated tasks.

Tables of 20 tasks and 12 runs whose truth is drawn from the priors of the shipped hierarchical
model, with 500 to 14,000 items a task. How often do 90% intervals hold a task's parameters, and the
accuracy of a run ten times as large in compute, with and without its noise?

    python benchmarks/task_tables.py RESULTS.csv [--tables 100] [--draws 500]
    python benchmarks/task_tables.py RESULTS.csv --summary

A row a table and task is appended as soon as it is known: run it again to go on.
"""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayescale as bs
from bayescale.modelling.build import draw_prior, model_data
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.runs.tasks import as_runs

MODEL = "task-accuracy-hierarchical"
TASKS = 20
SIZES, RATIOS = (1e8, 3e8, 7e8, 1.5e9), (20.0, 80.0, 240.0)
PARAMETERS = ("level", "split", "alpha", "beta", "luck")
NEW = {"params": 4e9, "tokens": 1e12}  # ten times the compute of the largest run
type Columns = Mapping[str, Any]
"""Values by column."""

COLUMNS = ("params", "tokens", "chance", "trials")
CHANCES = (0.0, 0.2, 0.25, 0.5)


def designs(rng: np.random.Generator) -> pd.DataFrame:
    """Lay out the runs of every task, without accuracies: several sizes at several ratios."""
    runs = [(n, n * ratio) for n in SIZES for ratio in RATIOS]
    rows = []
    for task in range(TASKS):
        chance, items = rng.choice(CHANCES), int(np.exp(rng.uniform(np.log(500), np.log(14e3))))
        for number, (params, tokens) in enumerate(runs):
            own = {"run": f"run{number:02d}", "task": f"task{task:02d}", "params": params}
            rows.append({**own, "tokens": tokens, "chance": chance, "trials": items})
    return pd.DataFrame(rows)


def simulate(seed: int) -> tuple[pd.DataFrame, xr.Dataset, xr.DataArray]:
    """Simulate a table: it, its truth, and what would be measured of the new run of each task."""
    rng, spec = np.random.default_rng(seed), load_model(MODEL)
    table = designs(rng)
    dummy = as_runs(table.assign(accuracy=0.5), "accuracy", {})
    data = model_data(spec, dummy)
    truth = draw_prior(spec, data, draws=1, seed=seed).isel(chain=0, draw=0)
    index = xr.DataArray(data["group_index"], dims="obs")
    columns = {n: xr.DataArray(table[n].to_numpy(float), dims="obs") for n in COLUMNS}
    table["accuracy"] = noisy(spec, truth.isel(group=index), columns, rng).to_numpy()
    groups = table.groupby("task")[["chance", "trials"]].first()
    new = {n: xr.DataArray(groups[n].to_numpy(float), dims="group") for n in groups} | NEW
    return table, truth, noisy(spec, truth, new, rng)


def law_of(spec: ModelSpec, truth: xr.Dataset, columns: Columns) -> xr.DataArray:
    """Return the accuracy by the true law."""
    natural = {name: truth[name] for name in spec.law.parameters}
    return spec.law(*(columns[name] for name in spec.inputs), **natural)


def noisy(
    spec: ModelSpec, truth: xr.Dataset, columns: Columns, rng: np.random.Generator
) -> xr.DataArray:
    """Measure accuracies: the noise of the run, and the items that are right."""
    mu = law_of(spec, truth, columns)
    values = {name: truth[name] for name in spec.noise_priors if name in truth}
    return spec.noise_model.draw(rng, mu, np.nan, values, columns)


def covered(draws: xr.DataArray, truth: xr.DataArray) -> np.ndarray:
    """Say whether the central 90% of draws holds the truth, by task."""
    low, high = (draws.quantile(q, ("chain", "draw")).drop_vars("quantile") for q in (0.05, 0.95))
    return ((low <= truth) & (truth <= high)).to_numpy()


def one_table(seed: int, draws: int) -> pd.DataFrame:
    """Fit one table, and say of each task what was covered."""
    table, truth, measured = simulate(seed)
    found = bs.fit(table, MODEL, chains=2, draws=draws, tune=draws, seed=seed, progress=False)
    truth = truth.assign_coords(group=list(found.groups))
    own = {name: covered(found.posterior[name], truth[name]) for name in PARAMETERS}
    chance = table.groupby("task")[["chance", "trials"]].first()
    asked = {**NEW, **{n: xr.DataArray(chance[n].to_numpy(float), dims="group") for n in chance}}
    law = law_of(found.spec, truth, asked)
    given = {name: value for name, value in asked.items() if name != "trials"}
    own["law"] = covered(bs.predict(found, given), law)
    own["new_run"] = covered(bs.predict_runs(found, asked, seed=seed), measured)
    names = {"table": seed, "task": list(found.groups), "converged": found.diagnostics.converged}
    return pd.DataFrame({**names, **own, "accuracy": law.to_numpy()})


def summarise(path: Path) -> str:
    """Return the share covered, with its standard error from table to table."""
    table = pd.read_csv(path)
    names = [*PARAMETERS, "law", "new_run"]
    means = table.groupby("table")[names].mean()
    error = means.std() / np.sqrt(len(means))
    lines = [f"{name:8s} {means[name].mean():.3f} +- {error[name]:.3f}" for name in names]
    share = table.groupby("table")["converged"].first().mean()
    return "\n".join([f"{len(means)} tables of {TASKS} tasks, {share:.0%} converged", *lines])


def main() -> None:
    """Read the command line, and go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--summary", action="store_true")
    asked = parser.parse_args()
    if not asked.summary:
        known = set(pd.read_csv(asked.results)["table"]) if asked.results.exists() else set()
        for seed in sorted(set(range(1, asked.tables + 1)) - known):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", bs.RunsWarning)  # of designs that are meant
                rows = one_table(seed, asked.draws)
            rows.to_csv(asked.results, mode="a", header=not asked.results.exists(), index=False)
            print(seed, flush=True)
    print(summarise(asked.results))


if __name__ == "__main__":
    main()
