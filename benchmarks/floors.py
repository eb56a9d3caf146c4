"""What a joint law of swept runs is worth, fitted to the floors of cells or to their best runs.

    python benchmarks/floors.py results.csv --tables 20

Simulated: five sizes and four numbers of tokens for each, a few runs of random learning rates a
cell, whose best rate falls with size. A run has a noise of 0.2 to 0.6% of its loss, and diverges
beyond 8 times the best rate. The law is fitted to the floors of `bayescale.floors`, to the best run
of each cell, and to the true floors. A line of the results is one of these: whether the 90%
interval holds alpha, beta and the loss at ten times the largest compute, how far the median of the
loss lies off, how wide its interval is, and how far the cells lie from their true floors.

Lines are appended; it goes on where it stopped.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import Runs, RunsWarning, fit, floors, predict, read_runs, read_sweep, sweep_model
from bayescale.laws.bowl import rise

SIZES = np.array([5e7, 1e8, 2e8, 4e8, 8e8])
RATIOS = np.array([10.0, 30.0, 90.0, 270.0])
GRID = 2.0 ** np.arange(-14, -5, 0.5)
WAYS = ("floors", "best", "truth")
_SHORT = {"draws": 500, "tune": 500, "progress": False}


def law_of(rng: np.random.Generator) -> dict[str, float]:
    """Draw a law of params and tokens."""
    alpha, beta = rng.uniform(0.28, 0.4, size=2)
    return {
        **{"E": rng.uniform(1.4, 2.0), "alpha": alpha, "beta": beta},
        **{"A": 0.5 * 2e8**alpha, "B": 0.5 * 1e10**beta},
    }


def loss_of(law: dict[str, float], params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Say what the law says."""
    reducible = law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]
    return law["E"] + reducible


def sweep_of(law: dict[str, float], runs: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw so many runs a cell."""
    noise, curvature = rng.uniform(0.002, 0.006), rng.uniform(0.01, 0.04)
    rows = []
    for params in SIZES:
        for tokens in params * RATIOS:
            best = 2e-3 * (params / 2e8) ** -0.4 * (tokens / 1e10) ** 0.1
            best *= np.exp(0.06 * rng.standard_normal())
            near = GRID[np.abs(np.log(GRID / best)) < np.log(20)]
            rates = rng.choice(near, size=min(runs, len(near)), replace=False)
            u = np.log(rates / best)
            log_loss = np.log(loss_of(law, params, tokens)) + rise(u, curvature, 0.7)
            log_loss += noise * rng.standard_normal(len(u))
            diverged = u > np.log(8)
            rows += [
                {"params": params, "tokens": tokens, "learning_rate": r, "loss": own}
                for r, own in zip(rates, np.where(diverged, np.nan, np.exp(log_loss)), strict=True)
            ]
    return pd.DataFrame(rows)


def cells_of(way: str, table: pd.DataFrame, law: dict[str, float]) -> Runs:
    """Make the rows that a joint law is fitted to."""
    if way == "floors":
        swept = read_sweep(table, "learning_rate")
        return floors(fit(swept, sweep_model(swept, "learning_rate"), **_SHORT))
    best = table.dropna().groupby(["params", "tokens"], as_index=False)["loss"].min()
    if way == "truth":
        best["loss"] = loss_of(law, best["params"], best["tokens"])
        best["loss"] *= np.exp(1e-3 * np.random.default_rng(1).standard_normal(len(best)))
    return read_runs(best)


def ask(way: str, runs: int, seed: int) -> dict[str, object]:
    """Draw a table, and fit the law to it in one way."""
    rng = np.random.default_rng([runs, seed])
    law = law_of(rng)
    cells = cells_of(way, sweep_of(law, runs, rng), law)
    found = fit(cells, "chinchilla", **_SHORT)
    row: dict[str, object] = {"way": way, "runs": runs, "seed": seed, "cells": len(cells)}
    off = np.log(cells.table["loss"] / loss_of(law, cells.table["params"], cells.table["tokens"]))
    row |= {"bias": off.mean(), "rms": np.sqrt((off**2).mean()), "problems": len(found.problems)}
    for name in ("alpha", "beta"):
        low, high = found.natural[name].quantile([0.05, 0.95], ("chain", "draw")).values
        row[name] = low <= law[name] <= high
    at = {"params": 2.5e9, "tokens": 2.5e9 * 90}
    asked = np.log(predict(found, at) / loss_of(law, *map(np.float64, at.values())))
    low, middle, high = asked.quantile([0.05, 0.5, 0.95], ("chain", "draw")).values
    return row | {"held": low <= 0 <= high, "off": middle, "width": high - low}


def report(table: pd.DataFrame) -> None:
    """Print means over the tables."""
    table["off"] = table["off"].abs()
    means = table.groupby(["runs", "way"])[
        ["bias", "rms", "alpha", "beta", "held", "off", "width", "cells", "problems"]
    ].mean()
    print(means.join(table.groupby(["runs", "way"]).size().rename("tables")).round(4).to_string())


def main() -> None:
    """Append lines to the results, and print their means."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("results", type=Path)
    asked.add_argument("--tables", type=int, default=20)
    asked.add_argument("--runs", type=int, nargs="*", default=[5, 12])
    given = asked.parse_args()
    done = pd.read_csv(given.results) if given.results.exists() else pd.DataFrame(columns=["seed"])
    known = set(zip(done.get("way", ()), done.get("runs", ()), done["seed"], strict=False))
    warnings.simplefilter("ignore", RunsWarning)
    for seed in range(given.tables):
        for runs in given.runs:
            for way in WAYS:
                if (way, runs, seed) in known:
                    continue
                row = pd.DataFrame([ask(way, runs, seed)])
                row.to_csv(given.results, mode="a", header=not given.results.exists(), index=False)
    report(pd.read_csv(given.results))


if __name__ == "__main__":
    main()
