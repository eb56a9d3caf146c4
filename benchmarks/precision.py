"""Coverage of what quantisation costs, and of the best bits, on simulated tables.

Tables of two or eight models of several sizes and numbers of tokens, each in eight formats that
scatter by a quarter about the law. Slopes and levels differ from model to model. How often do 90%
intervals hold the slope of each model, the exponents of tokens and params, and the best bits in a
memory, of a model like the first and of a new one? The joint law is known.

    python benchmarks/precision.py RESULTS.csv [--tables 100] [--draws 500]
    python benchmarks/precision.py RESULTS.csv --summary

A row a table and question is appended as soon as it is known: run it again to go on.
"""

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayescale as bs

JOINT = {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28}
MODELS = (2, 8)
FORMATS = 8
SIGMA, APART, SLOPES = 0.25, 0.25, 0.1  # of formats, of levels and of slopes between models
MEMORY, TOKENS = 8e9, 4e12


@dataclass(frozen=True)
class Truth:
    """What a table was made of."""

    slopes: np.ndarray
    levels: np.ndarray
    gamma_D: float
    gamma_N: float
    new: tuple[float, float]

    def best_bits(self, level: float, slope: float) -> float:
        """Find the best bits in the memory on a fine grid."""
        bits = np.geomspace(1.0, 16.0, 4001)
        params = 8 * MEMORY / bits
        added = level - slope * (bits - 4) + self.gamma_D * np.log(TOKENS / 2e12)
        added -= self.gamma_N * np.log(params / 7e9)
        loss = JOINT["A"] * params ** -JOINT["alpha"] + np.exp(added)
        return float(bits[loss.argmin()])


def simulate(seed: int, models: int) -> tuple[pd.DataFrame, Truth]:
    """Simulate a table, and what it was made of; levels are at 4 bits, 7e9 and 2e12."""
    rng = np.random.default_rng([seed, models])
    truth = Truth(
        slopes=rng.normal(1.386, 0.1) + SLOPES * rng.standard_normal(models),
        levels=rng.normal(-2.8, 0.4) + APART * rng.standard_normal(models),
        gamma_D=rng.normal(0.5, 0.15),
        gamma_N=rng.normal(0.3, 0.15),
        new=(0.0, 0.0),
    )
    population = truth.slopes.mean(), truth.levels.mean()
    drawn = population + np.array([SLOPES, APART]) * rng.standard_normal(2)
    truth = Truth(truth.slopes, truth.levels, truth.gamma_D, truth.gamma_N, (drawn[1], drawn[0]))
    rows = []
    for model in range(models):
        params, tokens = np.exp(rng.uniform(np.log([1e9, 5e11]), np.log([7e10, 1.5e13])))
        for bits in np.sort(rng.uniform(2.2, 8.5, FORMATS)):
            added = truth.levels[model] - truth.slopes[model] * (bits - 4)
            added += truth.gamma_D * np.log(tokens / 2e12) - truth.gamma_N * np.log(params / 7e9)
            added += SIGMA * rng.standard_t(6)
            own = {"model": f"model{model}", "params": params, "tokens": tokens}
            rows.append({**own, "bits_per_weight": bits, "loss_increase": np.exp(added)})
    return pd.DataFrame(rows), truth


def one_table(seed: int, models: int, draws: int) -> pd.DataFrame:
    """Fit one table, and say of each question whether the truth was covered."""
    table, truth = simulate(seed, models)
    runs = bs.read_quantised(table)
    given = {"draws": draws, "tune": draws, "seed": seed, "progress": False}
    fit = bs.fit(runs, "precision-hierarchical", **given)
    joint = bs.constants_fit("chinchilla", **JOINT)
    asked: list[tuple[str, float, xr.DataArray]] = [
        ("b", truth.slopes[model], fit.of_group(f"model{model}").natural["b"])
        for model in range(models)
    ]
    for name in ("gamma_D", "gamma_N"):
        asked.append((name, getattr(truth, name), fit.natural[name]))
    for like, own in (("model0", (truth.levels[0], truth.slopes[0])), (None, truth.new)):
        found = bs.best_precision(joint, fit, MEMORY, tokens=TOKENS, like=like)
        asked.append((f"bits, like {like}", truth.best_bits(*own), found["best_bits"]))
    rows = []
    for name, value, said in asked:
        low, high = (float(said.quantile(q)) for q in (0.05, 0.95))
        rows.append({"question": name, "truth": value, "low": low, "high": high})
    frame = pd.DataFrame(rows).assign(table=seed, models=models, converged=not fit.problems)
    return frame.assign(held=(frame["low"] <= frame["truth"]) & (frame["truth"] <= frame["high"]))


def summarise(path: Path) -> str:
    """Return the share covered of each question, with its standard error from table to table."""
    table, lines = pd.read_csv(path), []
    for (models, name), own in table.groupby(["models", "question"]):
        means = own.groupby("table")["held"].mean()
        error, width = means.std() / np.sqrt(len(means)), (own["high"] - own["low"]).median()
        lines.append(
            f"{models} models, {name}: {means.mean():.3f} +- {error:.3f}, width {width:.3f}"
        )
    share = table.groupby(["models", "table"])["converged"].first()
    return "\n".join([f"{len(share)} tables, {share.mean():.0%} converged", *lines])


def main() -> None:
    """Read the command line, and go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--summary", action="store_true")
    asked = parser.parse_args()
    if not asked.summary:
        known = pd.read_csv(asked.results) if asked.results.exists() else None
        done = set() if known is None else set(zip(known["table"], known["models"], strict=True))
        for seed, models in ((s, m) for s in range(1, asked.tables + 1) for m in MODELS):
            if (seed, models) in done:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", bs.RunsWarning)  # of designs that are meant
                rows = one_table(seed, models, asked.draws)
            rows.to_csv(asked.results, mode="a", header=not asked.results.exists(), index=False)
            print(seed, models, flush=True)
    print(summarise(asked.results))


if __name__ == "__main__":
    main()
