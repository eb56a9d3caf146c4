"""Do hierarchies keep their promise? Simulated groups, truth drawn from the priors of the model.

Each table has 15 runs in each of 3, 6 or 20 groups, on three isoFLOP budgets; parameters, groups
and noise are drawn from `chinchilla-hierarchical` itself. Every table is fitted with partial
pooling and without; the first ones also in the naive centred form. Results are appended to a CSV,
so a run that was cut off goes on where it stopped.

    python benchmarks/hierarchies.py results.csv [--groups 3 6 20] [--tables 100] [--naive 10]
"""

import argparse
import time
import warnings
from pathlib import Path

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm

from bayescale import Fit, Runs, RunsWarning, build_model, fit, load_model

RUNS_PER_GROUP = 15
EXPONENTS = ("alpha", "beta")
SPEC = load_model("chinchilla-hierarchical")


def design(groups: int) -> Runs:
    """Return runs without losses: five sizes on each of three budgets, the same in every group."""
    flops, size = np.meshgrid([1e19, 1e20, 1e21], np.geomspace(0.25, 4.0, 5))
    params = (np.sqrt(flops / 120) * size).ravel()
    table = pd.DataFrame({"params": params, "tokens": flops.ravel() / (6 * params)})
    frames = [table.assign(family=f"group-{group:02d}") for group in range(groups)]
    table = pd.concat(frames, ignore_index=True).assign(loss=1.0)
    table["flops"] = 6 * table["params"] * table["tokens"]
    table.insert(0, "run", [f"run-{row + 1}" for row in table.index])
    return Runs(table, "simulated")


def simulate(groups: int, tables: int) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Draw truths and log losses, shape (tables, runs), from the model."""
    model = build_model(SPEC, design(groups))
    names = [*EXPONENTS, *(f"{name}_population" for name in EXPONENTS)]
    *truths, log_loss = pm.draw(
        [*(model[name] for name in names), model["log_loss"]],
        draws=tables,
        random_seed=20264 + groups,
        mode="FAST_COMPILE",
    )
    by_table = zip(*truths, strict=True)
    return [dict(zip(names, truth, strict=True)) for truth in by_table], log_loss


def score(groups: int, table: int, truth: dict[str, np.ndarray], log_loss: np.ndarray) -> dict:
    """Fit one table with and without pooling, and say where the truth falls in the posterior."""
    runs = design(groups)
    runs = Runs(runs.table.assign(loss=np.exp(log_loss)), "simulated")
    pooled = fit(runs, SPEC, seed=table + 1, progress=False)
    apart = fit(runs, SPEC.unpooled(), seed=table + 1, progress=False)
    row = {"groups": groups, "table": table}
    for name in EXPONENTS:
        population = f"{name}_population"
        row[population] = float((pooled.posterior[population] < truth[population]).mean())
        below = (pooled.posterior[name] < truth[name]).mean(("chain", "draw")).to_numpy()
        row[f"{name}_inside"] = int(((below > 0.05) & (below < 0.95)).sum())
        for kind, fitted in (("pooled", pooled), ("apart", apart)):
            mean = np.log(fitted.posterior[name]).mean(("chain", "draw")).to_numpy()
            row[f"{name}_mse_{kind}"] = float(((mean - np.log(truth[name])) ** 2).mean())
    return {**row, **cost("pooled", pooled), **cost("apart", apart)}


def cost(kind: str, fitted: Fit) -> dict[str, float]:
    """Return what a fit cost and whether it converged."""
    diagnostics = fitted.diagnostics
    return {
        f"{kind}_divergences": diagnostics.divergences,
        f"{kind}_r_hat": diagnostics.max_r_hat,
        f"{kind}_ess": diagnostics.min_ess_bulk,
        f"{kind}_seconds": diagnostics.seconds_sample,
        f"{kind}_target_accept": float(fitted.tree.attrs["target_accept"]),
    }


def naive(groups: int, table: int, log_loss: np.ndarray) -> dict[str, float]:
    """Sample one table centred, non-centred and as we do, once each, in this process."""
    runs = Runs(design(groups).table.assign(loss=np.exp(log_loss)), "simulated")
    model = build_model(SPEC, runs)
    data = {variable.name: variable.get_value() for variable in model.data_vars}
    names = [variable.name for variable in (*model.free_RVs, *model.deterministics)]
    compiled = nutpie.compile_pymc_model(model, var_names=names)
    row: dict[str, float] = {"groups": groups, "table": table}
    for kind, value in (("centred", 1.0), ("ours", None), ("level_centred", 0.0)):
        own = {
            name: array if value is None else np.full_like(array, value)
            for name, array in data.items()
            if name.endswith("_centring")
        }
        if kind == "level_centred":
            own["level_centring"] = np.ones(groups)
        start = time.perf_counter()
        tree = nutpie.sample(
            compiled.with_data(**{**data, **own}),
            chains=4,
            seed=table + 1,
            progress_bar=False,
            save_warmup=False,
            adaptation="diag",
            target_accept=0.95,
        )
        row[f"{kind}_seconds"] = time.perf_counter() - start
        row[f"{kind}_divergences"] = int(tree["sample_stats"]["diverging"].sum())
        row[f"{kind}_ess"] = float(az.ess(tree["posterior"]).dataset.to_array().min())
    return row


def append(path: Path, row: dict) -> None:
    """Add one row to a CSV."""
    pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)


def done(path: Path, groups: int) -> set[int]:
    """Return the tables that the CSV holds for a number of groups."""
    if not path.exists():
        return set()
    rows = pd.read_csv(path)
    return set(rows.loc[rows["groups"] == groups, "table"])


def report(path: Path, naive_path: Path) -> None:
    """Print coverage, error, convergence and cost by number of groups."""
    for groups, rows in pd.read_csv(path).groupby("groups"):
        print(f"{groups} groups of {RUNS_PER_GROUP} runs, {len(rows)} tables")
        for name in EXPONENTS:
            population = rows[f"{name}_population"].between(0.05, 0.95).mean()
            inside = rows[f"{name}_inside"].sum() / (groups * len(rows))
            ratio = rows[f"{name}_mse_pooled"].mean() / rows[f"{name}_mse_apart"].mean()
            print(
                f"  {name}: 90% intervals cover the population's value in {population:.1%}, the "
                f"groups' in {inside:.1%}; squared error {ratio:.2f} of that without pooling"
            )
        clean = (rows["pooled_divergences"] == 0).mean()
        first = (rows["pooled_target_accept"] < 0.96).mean()
        mixed = (rows["pooled_r_hat"] <= 1.01).mean()
        rate = rows["pooled_ess"] / rows["pooled_seconds"]
        print(
            f"  no divergence in {clean:.0%} ({first:.0%} at the first attempt), R-hat <= 1.01 in "
            f"{mixed:.0%}; {rows['pooled_seconds'].median():.1f} s, minimum ESS "
            f"{rows['pooled_ess'].median():.0f}, {rate.median():.0f}/s (medians)"
        )
    if not naive_path.exists():
        return
    for groups, rows in pd.read_csv(naive_path).groupby("groups"):
        for kind in ("centred", "level_centred", "ours"):
            rate = (rows[f"{kind}_ess"] / rows[f"{kind}_seconds"]).median()
            print(
                f"  {groups} groups, {kind}: {rows[f'{kind}_seconds'].median():.1f} s, minimum ESS "
                f"{rows[f'{kind}_ess'].median():.0f}, {rate:.0f}/s, divergences in "
                f"{(rows[f'{kind}_divergences'] > 0).mean():.0%} of {len(rows)} tables "
                f"(median {rows[f'{kind}_divergences'].median():.0f} of 4000)"
            )


def main() -> None:
    """Score the tables that the CSV lacks and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--groups", type=int, nargs="+", default=[3, 6, 20])
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--naive", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore", RunsWarning)
    naive_path = options.results.with_suffix(".naive.csv")
    for groups in options.groups:
        truths, losses = simulate(groups, options.tables)
        for table in sorted(set(range(options.naive)) - done(naive_path, groups)):
            append(naive_path, naive(groups, table, losses[table]))
        for table in sorted(set(range(options.tables)) - done(options.results, groups)):
            row = score(groups, table, truths[table], losses[table])
            append(options.results, row)
    report(options.results, naive_path)


if __name__ == "__main__":
    main()
