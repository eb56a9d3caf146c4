"""Coverage of the multipliers of simulated recipes.

Tables of a baseline and five recipes at three sizes with four numbers of tokens each, as in
Marin's comparison of optimisers. Losses are by the joint law, with more bend than it has, so that
no law of the sizes holds; multipliers change with size and scatter about their trend. How often do
90% intervals hold the multiplier at each size, and at one that nobody has run?

    python benchmarks/recipes.py RESULTS.csv [--tables 100] [--draws 1000]
    python benchmarks/recipes.py RESULTS.csv --summary

A row a table, recipe and size is appended as soon as it is known: run it again to go on.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import bayescale as bs

SIZES, RATIOS = np.array([1.3e8, 3e8, 5.2e8]), np.array([20.0, 40.0, 80.0, 160.0])
NEW = 1.2e9
RECIPES = 5
SIGMA = 0.002  # of log loss
BEND = 0.01  # sd of the log loss of a size about the joint law


def simulate(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulate a table, and the true multipliers, shape (recipes, sizes and the new one)."""
    rng = np.random.default_rng(seed)
    gain, slope = rng.normal(0.1, 0.15, RECIPES), rng.normal(-0.03, 0.06, RECIPES)
    scatter = 0.03 * np.exp(0.3 * rng.standard_normal())
    sizes = np.append(SIZES, NEW)
    decades = np.log(sizes) - np.log(SIZES).mean()
    z = rng.standard_normal((RECIPES, len(sizes)))
    multiplier = np.exp(gain[:, None] + slope[:, None] * decades + scatter * z)
    worth = np.vstack([np.ones(len(sizes)), multiplier])
    apart = BEND * rng.standard_normal(len(SIZES))
    rows = []
    for place, params in enumerate(SIZES):
        for ratio in RATIOS:
            for recipe in range(RECIPES + 1):
                tokens = params * ratio
                law = 1.8 + 60 * params**-0.24 + 900 * (worth[recipe, place] * tokens) ** -0.3
                noise = SIGMA * rng.standard_t(4)
                name = "base" if recipe == 0 else f"recipe{recipe}"
                loss = law * np.exp(apart[place] + noise)
                rows.append({"recipe": name, "params": params, "tokens": tokens, "loss": loss})
    return pd.DataFrame(rows), multiplier


def one_table(seed: int, draws: int) -> pd.DataFrame:
    """Fit one table, and say of each recipe and size whether the truth was covered."""
    table, truth = simulate(seed)
    runs = bs.read_recipes(table, "recipe")
    found = bs.fit_recipes(
        runs, "recipe", "base", draws=draws, tune=draws, chains=2, seed=seed, progress=False
    )
    draws_of = bs.recipe_multipliers(found, [NEW])["multiplier"]
    ends = draws_of.quantile([0.05, 0.95], ("chain", "draw")).transpose("quantile", ...).to_numpy()
    rows = []
    for recipe, size in np.ndindex(truth.shape):
        low, high = ends[:, recipe, size]
        own = {"recipe": recipe, "params": np.append(SIZES, NEW)[size], "m": truth[recipe, size]}
        rows.append({**own, "low": low, "high": high, "held": low <= own["m"] <= high})
    return pd.DataFrame(rows).assign(table=seed, converged=not found.problems)


def summarise(path: Path) -> str:
    """Return the share covered at each size, with its standard error from table to table."""
    table = pd.read_csv(path)
    lines = []
    for params, own in table.groupby("params"):
        means = own.groupby("table")["held"].mean()
        width = np.log(own["high"] / own["low"]).median()
        error = means.std() / np.sqrt(len(means))
        lines.append(f"{params:.2e} {means.mean():.3f} +- {error:.3f}, width of log m {width:.3f}")
    share = table.groupby("table")["converged"].first()
    return "\n".join([f"{len(share)} tables, {share.mean():.0%} converged", *lines])


def main() -> None:
    """Read the command line, and go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--draws", type=int, default=1000)
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
