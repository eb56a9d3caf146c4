"""Do hierarchies keep their promise? Simulated groups, truth drawn from the priors of the model.

Each table has 15 runs in each of 3, 6 or 20 groups, on three isoFLOP budgets; parameters, groups
and noise are drawn from `chinchilla-hierarchical` itself. Every table is fitted with partial
pooling and without; the first ones also as a textbook would, centred and non-centred. Results are
appended to a CSV, so a run that was cut off goes on where it stopped.

    python benchmarks/hierarchies.py results.csv [--groups 3 6 20] [--tables 100] [--compared 10]
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm

from bayescale import Fit, ModelSpec, Runs, RunsWarning, build_model, fit, load_model
from bayescale.laws import into_support
from bayescale.modelling import build as model

RUNS_PER_GROUP = 15
DRAWS, TUNE = 500, 700  # of each chain; fewer than the defaults, for the many tables
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
    pymc_model = build_model(SPEC, design(groups))
    names = [*EXPONENTS, *(f"{name}_population" for name in EXPONENTS)]
    *truths, log_loss = pm.draw(
        [*(pymc_model[name] for name in names), pymc_model["log_loss"]],
        draws=tables,
        random_seed=20264 + groups,
        mode="FAST_COMPILE",
    )
    by_table = zip(*truths, strict=True)
    return [dict(zip(names, truth, strict=True)) for truth in by_table], log_loss


def score(
    groups: int, table: int, truth: dict[str, np.ndarray], log_loss: np.ndarray, chains: int
) -> dict:
    """Fit one table with and without pooling, and say where the truth falls in the posterior."""
    runs = design(groups)
    runs = Runs(runs.table.assign(loss=np.exp(log_loss)), "simulated")
    once = {"draws": DRAWS, "tune": TUNE, "chains": chains, "seed": table + 1, "progress": False}
    pooled = fit(runs, SPEC, target_accept=0.95, **once)  # one attempt: what a first try gives
    apart = fit(runs, SPEC.unpooled(), target_accept=0.95, **once)
    row = {"groups": groups, "table": table}
    for name in EXPONENTS:
        population = f"{name}_population"
        row[population] = float((pooled.posterior[population] < truth[population]).mean())
        below = (pooled.posterior[name] < truth[name]).mean(("chain", "draw")).to_numpy()
        row[f"{name}_inside"] = int(((below > 0.05) & (below < 0.95)).sum())
        for kind, fitted in (("pooled", pooled), ("apart", apart)):
            mean = np.log(fitted.posterior[name]).mean(("chain", "draw")).to_numpy()
            row[f"{name}_mse_{kind}"] = float(((mean - np.log(truth[name])) ** 2).mean())
    kept = fit(runs, SPEC, **once) if pooled.diagnostics.divergences else pooled
    row |= {"kept_divergences": kept.diagnostics.divergences}  # after the attempts that fit makes
    return {**row, **cost("pooled", pooled), **cost("apart", apart)}


def cost(kind: str, fitted: Fit) -> dict[str, float]:
    """Return what a fit cost and whether it converged."""
    diagnostics = fitted.diagnostics
    return {
        f"{kind}_divergences": diagnostics.divergences,
        f"{kind}_r_hat": diagnostics.max_r_hat,
        f"{kind}_ess": diagnostics.min_ess_bulk,
        f"{kind}_seconds": diagnostics.seconds_sample,
    }


def textbook(non_centred: bool) -> Any:
    """Return how a first course would write a parameter of groups, in place of ours."""

    def add(spec: ModelSpec, name: str, data: dict[str, Any], free: dict[str, Any]) -> None:
        prior = spec.sampled[name]
        if name not in spec.partial:
            free[name] = prior.variable(name)
            return
        middle = prior.line_variable(f"{name}_middle")
        scale = spec.scales[name].variable(f"{name}_scale")
        if non_centred and name != "level":
            line = middle + scale * pm.Normal(f"{name}_offset", dims="group")
        else:
            line = pm.Normal(f"{name}_line", middle, scale, dims="group")
        free[name] = pm.Deterministic(name, into_support(spec.supports[name], line), dims="group")

    return add


def compare(groups: int, table: int, log_loss: np.ndarray) -> dict[str, float]:
    """Sample one table centred, non-centred and as we do, once each, in this process."""
    runs = Runs(design(groups).table.assign(loss=np.exp(log_loss)), "simulated")
    row: dict[str, float] = {"groups": groups, "table": table}
    ways = {"centred": textbook(False), "non_centred": textbook(True), "ours": model._add_variables}
    for kind, add in ways.items():
        with mock.patch.object(model, "_add_variables", add):
            pymc_model = build_model(SPEC, runs)
        names = [v.name for v in (*pymc_model.free_RVs, *pymc_model.deterministics)]
        compiled = nutpie.compile_pymc_model(pymc_model, var_names=names)
        start = time.perf_counter()
        tree = nutpie.sample(
            compiled,
            chains=4,
            draws=DRAWS,
            tune=TUNE,
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


def report(path: Path, compared_path: Path) -> None:
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
        kept = (rows["kept_divergences"] == 0).mean()
        mixed = (rows["pooled_r_hat"] <= 1.01).mean()
        rate = rows["pooled_ess"] / rows["pooled_seconds"]
        print(
            f"  no divergence in {clean:.0%} at the first attempt and in {kept:.0%} of the fits "
            f"that are kept, R-hat <= 1.01 in {mixed:.0%} at the first; medians: "
            f"{rows['pooled_seconds'].median():.1f} s, minimum ESS "
            f"{rows['pooled_ess'].median():.0f}, {rate.median():.0f}/s"
        )
    if not compared_path.exists():
        return
    for groups, rows in pd.read_csv(compared_path).groupby("groups"):
        for kind in ("centred", "non_centred", "ours"):
            rate = (rows[f"{kind}_ess"] / rows[f"{kind}_seconds"]).median()
            print(
                f"  {groups} groups, {kind}: {rows[f'{kind}_seconds'].median():.1f} s, minimum ESS "
                f"{rows[f'{kind}_ess'].median():.0f}, {rate:.0f}/s, divergences in "
                f"{(rows[f'{kind}_divergences'] > 0).mean():.0%} of {len(rows)} tables "
                f"(median {rows[f'{kind}_divergences'].median():.0f} of {4 * DRAWS})"
            )


def main() -> None:
    """Score the tables that the CSV lacks and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--groups", type=int, nargs="+", default=[3, 6, 20])
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--compared", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore", RunsWarning)
    compared_path = options.results.with_suffix(".compared.csv")
    for groups in options.groups:
        truths, losses = simulate(groups, options.tables)
        for table in sorted(set(range(options.compared)) - done(compared_path, groups)):
            append(compared_path, compare(groups, table, losses[table]))
        for table in sorted(set(range(options.tables)) - done(options.results, groups)):
            row = score(groups, table, truths[table], losses[table], options.chains)
            append(options.results, row)
    report(options.results, compared_path)


if __name__ == "__main__":
    main()
