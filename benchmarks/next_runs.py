"""Do suggested runs do what was promised? Simulated tables, runs bought, fits repeated.

Each table has 30 runs on five isoFLOP budgets; the law is drawn from plausible ranges. Up to five
runs are suggested for a budget as large as five of the largest runs, their losses simulated from
the true law, and the table fitted again; so are as many FLOPs of runs drawn at random from the
same candidates. Results are appended to a CSV, so a run that was cut off goes on.

    python benchmarks/next_runs.py results.csv [--tables 100]
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import (
    Fit,
    RunsWarning,
    candidate_runs,
    expected_reduction,
    fit,
    log_optimum,
    read_runs,
    suggest_runs,
)

DECISION = 1e24
"""FLOPs of the run that is planned."""

OTHERS = ("random", "five random")
"""As many random runs as the FLOPs pay, and five random ones of a fifth of them each."""

LARGEST = 3e21
NOISE = 0.005
SETTINGS = {"draws": 500, "tune": 500, "progress": False}


def law(rng: np.random.Generator) -> dict[str, float]:
    """Draw a true law around the published ones."""
    return {
        "E": rng.uniform(1.6, 2.0),
        "A": np.exp(rng.normal(6.0, 0.3)),
        "B": np.exp(rng.normal(7.3, 0.3)),
        "alpha": rng.uniform(0.30, 0.38),
        "beta": rng.uniform(0.32, 0.40),
    }


def observe(table: pd.DataFrame, truth: dict[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """Add the losses that runs would show."""
    loss = truth["E"] + truth["A"] * table["params"] ** -truth["alpha"]
    loss = loss + truth["B"] * table["tokens"] ** -truth["beta"]
    noise = NOISE * rng.standard_t(8, len(table))
    return table[["params", "tokens"]].assign(loss=loss * np.exp(noise))


def design() -> pd.DataFrame:
    """Six sizes on each of five budgets."""
    flops, size = np.meshgrid(np.geomspace(6e18, LARGEST, 5), np.geomspace(0.25, 4, 6))
    params = (np.sqrt(flops / 120) * size).ravel()
    return pd.DataFrame({"params": params, "tokens": flops.ravel() / (6 * params)})


def at_random(candidates: pd.DataFrame, flops: float, rng: np.random.Generator) -> pd.DataFrame:
    """Buy runs in random order while the budget lasts."""
    order, bought, left = rng.permutation(len(candidates)), [], flops
    for row in order:
        if candidates["flops"].iloc[row] <= left:
            bought.append(row)
            left -= candidates["flops"].iloc[row]
        if left < 0.05 * flops:
            break
    return candidates.iloc[bought]


def sd(fitted: Fit) -> float:
    """Posterior sd of log N*."""
    return float(log_optimum(fitted, DECISION).std())


def score(table: int) -> dict[str, float]:
    """Fit, suggest, buy and fit again."""
    rng = np.random.default_rng([20266, table])
    truth = law(rng)
    first = observe(design(), truth, rng)
    before = fit(read_runs(first), "chinchilla", seed=table + 1, **SETTINGS)
    quantity = log_optimum(before, DECISION)
    budget = 5 * LARGEST
    suggested = suggest_runs(before, quantity, max_flops=budget, runs=5)
    spent = float(suggested.picks["flops"].sum())
    candidates = candidate_runs(before, budget)
    equal = candidate_runs(before, spent / 5).nlargest(20, "flops")  # all of a fifth of the budget
    batches = {
        "suggested": suggested.picks,
        "random": at_random(candidates, spent, rng),
        "five random": equal.iloc[rng.permutation(20)[:5]],
    }
    row = {"table": table, "flops": spent, "runs": len(suggested.picks), "sd": sd(before)}
    for name, new in batches.items():
        longer = pd.concat([first, observe(new, truth, rng)], ignore_index=True)
        after = fit(read_runs(longer), "chinchilla", seed=table + 1, **SETTINGS)
        row[f"{name}_sd"], row[f"{name}_flops"] = sd(after), float(new["flops"].sum())
        row[f"{name}_predicted"] = expected_reduction(before, quantity, new)
        row[f"{name}_runs"] = len(new)
    return row


def report(rows: pd.DataFrame) -> None:
    """Print how much surer the runs made the decision, and how well that was foreseen."""
    for name in ("suggested", *OTHERS):
        left = rows[f"{name}_sd"] / rows["sd"]
        realised = 1 - left**2
        print(
            f"{name}: {rows[f'{name}_runs'].median():.0f} runs (median), "
            f"{(rows[f'{name}_flops'] / rows['flops']).median():.2f} of the FLOPs; sd of log N* "
            f"falls to {left.median():.2f} of what it was; variance removed: foreseen "
            f"{rows[f'{name}_predicted'].mean():.3f}, realised {realised.mean():.3f} (means)"
        )
    shrinkage = 1 - rows["suggested_sd"] / rows["sd"]
    for name in OTHERS:
        other = 1 - rows[f"{name}_sd"] / rows["sd"]
        print(
            f"{len(rows)} tables: suggested runs shrink the sd "
            f"{shrinkage.median() / other.median():.2f}"
            f" times as much as {name} runs (ratio of medians; median of ratios "
            f"{(shrinkage / other).median():.2f})"
        )


def main() -> None:
    """Score the tables that the CSV lacks and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=100)
    options = parser.parse_args()
    warnings.simplefilter("ignore", RunsWarning)
    path = options.results
    done = set(pd.read_csv(path)["table"]) if path.exists() else set()
    for table in sorted(set(range(options.tables)) - done):
        pd.DataFrame([score(table)]).to_csv(path, mode="a", header=not path.exists(), index=False)
    report(pd.read_csv(path))


if __name__ == "__main__":
    main()
