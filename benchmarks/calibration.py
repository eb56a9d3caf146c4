"""Do 90% intervals cover the truth 90% of the time? Simulated tables, truth drawn from the priors.

Each table has 30 runs on five isoFLOP budgets; its parameters and its noise are drawn from the
model itself, and it is fitted through one compiled model. Results are appended to a CSV, so a run
that was cut off goes on where it stopped.

    python benchmarks/calibration.py results.csv [--tables 500] [--model chinchilla]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm

from bayescale import Runs, build_model, compute_optimal, fit, load_model
from bayescale.laws import LAWS

FLOPS = 5.76e23
BUDGETS = np.geomspace(6e18, 3e21, 5)
SIZES = np.geomspace(0.25, 4.0, 6)
"""Sizes around a rough optimum of sqrt(C / 120): 20 tokens per parameter."""


def design() -> pd.DataFrame:
    """Return 30 runs without losses: six sizes on each of five budgets."""
    flops, size = (grid.ravel() for grid in np.meshgrid(BUDGETS, SIZES))
    params = np.sqrt(flops / 120) * size
    table = pd.DataFrame({"params": params, "tokens": flops / (6 * params), "flops": flops})
    table.insert(0, "run", [f"run-{row + 1}" for row in table.index])
    return table.assign(loss=1.0)


def simulate(model: str, tables: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw truths (one row a table) and log losses, shape (tables, runs), from the model."""
    spec = load_model(model)
    pymc_model = build_model(spec, Runs(design(), "simulated"))
    variables = [*pymc_model.free_RVs, *pymc_model.deterministics]
    *truths, log_loss = pm.draw(
        [*variables, pymc_model["log_loss"]], draws=tables, random_seed=seed, mode="FAST_COMPILE"
    )
    names = [variable.name for variable in variables]
    return pd.DataFrame(dict(zip(names, truths, strict=True))), log_loss


def score(model: str, truth: pd.Series, log_loss: np.ndarray, seed: int) -> dict[str, float]:
    """Fit one table and say where the truth falls in each posterior (0 to 1)."""
    runs = Runs(design().assign(loss=np.exp(log_loss)), "simulated")
    fitted = fit(runs, model, seed=seed, progress=False)
    law = LAWS["chinchilla"]
    best = law.optimum(FLOPS, 6.0, **{name: truth[name] for name in law.parameters})
    row = {name: float((fitted.posterior[name] < truth[name]).mean()) for name in truth.index}
    row["N*"] = float((compute_optimal(fitted, FLOPS)["params"] < best).mean())
    diagnostics = fitted.diagnostics
    return {**row, "divergences": diagnostics.divergences, "max_r_hat": diagnostics.max_r_hat}


def main() -> None:
    """Score the tables that the CSV lacks and print coverage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument(
        "--model", default="chinchilla", choices=["chinchilla", "chinchilla-normal"]
    )
    parser.add_argument("--seed", type=int, default=20261)
    options = parser.parse_args()
    truths, losses = simulate(options.model, options.tables, options.seed)
    done = pd.read_csv(options.results)["table"].tolist() if options.results.exists() else []
    for table in sorted(set(range(options.tables)) - set(done)):
        row = score(options.model, truths.loc[table], losses[table], seed=table + 1)
        frame = pd.DataFrame([{"table": table, **row}])
        frame.to_csv(options.results, mode="a", header=not options.results.exists(), index=False)
    ranks = pd.read_csv(options.results)
    for name in ("E", "alpha", "beta", "N*"):
        inside = ranks[name].between(0.05, 0.95)
        print(f"{name:>6}: 90% interval covers the truth in {inside.mean():.1%} of {len(ranks)}")
    print(
        f"tables with divergences: {(ranks['divergences'] > 0).mean():.1%}; "
        f"R-hat above 1.01: {(ranks['max_r_hat'] > 1.01).mean():.1%}"
    )


if __name__ == "__main__":
    main()
