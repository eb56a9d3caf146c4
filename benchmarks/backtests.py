"""Scores of the plain and the weighted posterior beyond the runs, and what the latter costs.

BAYESCALE_DATA=FOLDER python benchmarks/backtests.py published [--predictions FOLDER] [--draws 1000]
python benchmarks/backtests.py simulated results.csv [--tables 60]

`published` fits the smaller runs of published sweeps and the embedded one, predicts the larger ones
and scores both posteriors, with one setting for all. `--predictions` writes the quantiles of the
weighted posterior at the Chinchilla runs. `simulated` draws exact laws from the priors: then the
plain posterior is right, and what the weighted one costs is its price. It goes on where it stopped.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import Fit, Runs, RunsWarning, compute_optimal, fit, load_dataset, read_runs
from bayescale.model import draw_prior, model_data
from bayescale.scoring import LEVELS, average, score_runs
from bayescale.spec import load_model

WEIGHTS = np.array([0.075, 0.1, 0.2, 0.25, 0.2, 0.1, 0.075])  # of the seven quantiles, for CRPS
SIGMA = 0.005
DISTANCES = {"in range": None, "half a decade beyond": 0.5, "a decade beyond": 1.0}


def scores_of(rows: pd.DataFrame) -> dict[str, float]:
    """Average scores; CRPS from seven quantiles as well, coverage at 95% as well."""
    logs, seen = np.log(rows[list(LEVELS)]), np.log(rows["loss"])
    level, above = np.array(list(LEVELS.values())), seen.to_numpy()[:, None] - logs.to_numpy()
    pinball = np.where(above >= 0, level * above, (level - 1) * above)
    return {
        **average(rows),
        "crps7": float((2 * pinball * WEIGHTS).sum(axis=1).mean()),
        "coverage95": float(rows["pit"].between(0.025, 0.975).mean()),
    }


def splits() -> Iterator[tuple[str, Runs, Runs]]:
    """Name, runs to fit and runs to predict."""
    runs = read_runs(load_dataset("chinchilla"), where="not outlier_epoch")
    yield "Chinchilla, C <= 3e20", *apart(runs, 3e20)
    yield "Chinchilla, C <= 8.4e19 for > 3e20", *apart(runs, 8.4e19, predicted=3e20)
    yield "Chinchilla, C < 1e21", *apart(runs, np.nextafter(1e21, 0))
    misfitting = read_runs(load_dataset("misfitting"), best_per=("params", "tokens"))
    yield "misfitting", *halves(misfitting)
    for corpus in ("C4", "RedPajama", "RefinedWeb"):
        own = read_runs(load_dataset("overtrained"), where=f"dataset == '{corpus}'")
        yield f"overtrained, {corpus}", *halves(own)
    for name in ("Transformer (Llama)", "xLSTM (mLSTM)"):
        where = f"family == '{name}' and not outlier_upstream"
        yield (
            f"architectures, {name}",
            *halves(read_runs(load_dataset("architectures"), where=where)),
        )
    sweep = read_runs(
        load_dataset("minisweep"),
        {"params": "params_matmul"},
        where="family == 'transformer' and not budget.str.startswith('rep')",
        units={"params": 1},
    )
    yield "minisweep, C <= 2e12 for 1e13", *apart(sweep, 2e12, predicted=8e12)


def halves(runs: Runs) -> tuple[Runs, Runs]:
    """Part runs in the middle of their log compute."""
    flops = runs.column("flops")
    return apart(runs, float(np.sqrt(flops.min() * flops.max())))


def apart(runs: Runs, cut: float, *, predicted: float | None = None) -> tuple[Runs, Runs]:
    """Part runs up to a cut from those beyond it, or beyond a second one."""
    flops = runs.column("flops")
    later = flops > (cut if predicted is None else predicted)
    return tuple(replace(runs, table=runs.table[where]) for where in (flops <= cut, later))


def published(predictions: Path | None, draws: int, seed: int) -> None:
    """Fit, predict and print every split."""
    table = []
    for name, past, later in splits():
        start = time.perf_counter()
        fitted = fit(past, extrapolate="weighted", draws=draws, seed=seed, progress=False)
        seconds = time.perf_counter() - start
        rows = score_runs(fitted, later, seed=seed)
        for posterior in ("plain", "weighted"):
            own = rows[rows["posterior"] == posterior]
            table.append(
                {"table": name, "posterior": posterior, "fitted": len(past)}
                | scores_of(own)
                | {"seconds": seconds, "problems": len(fitted.diagnostics.problems)}
            )
        split = {"C <= 3e20": "main", "C <= 8.4e19 for > 3e20": "hard"}.get(name.partition(", ")[2])
        if predictions is not None and split is not None:
            predictions.mkdir(parents=True, exist_ok=True)
            for posterior, own in rows.groupby("posterior"):
                own[["run", *LEVELS]].to_csv(predictions / f"{split}-{posterior}.csv", index=False)
    print(_formatted(pd.DataFrame(table)).to_string(index=False))
    scores = pd.DataFrame(table).pivot(index="table", columns="posterior", values="crps7")
    others = [name for name in scores.index if not name.startswith("Chinchilla")]
    better = (scores["weighted"] <= scores["plain"])[others]
    weighted = pd.DataFrame(table).query("posterior == 'weighted'").set_index("table").loc[others]
    print(
        f"\nCRPS no worse than the plain posterior's on {better.sum()} of {len(others)} tables "
        f"other than Chinchilla; mean 90% coverage there {weighted['coverage90'].mean():.3f}"
    )


def simulated(path: Path, tables: int) -> None:
    """Fit tables of exact laws, and append what was found; a line a table and distance."""
    done = set(pd.read_csv(path)["table"]) if path.exists() else set()
    for number in range(tables):
        if number not in done:
            rows = pd.DataFrame(one_table(number)).assign(table=number)
            rows.to_csv(path, mode="a", header=not path.exists(), index=False)
    found = pd.read_csv(path)
    mean = found.groupby(["distance", "posterior"]).mean(numeric_only=True)
    mean = mean.loc[list(DISTANCES)].drop(columns="table")
    print(f"{found['table'].nunique()} exact laws, means over tables")
    print(mean.round(5).to_string())
    ratio = mean.xs("weighted", level="posterior") / mean.xs("plain", level="posterior")
    print("\nprice of the weighted posterior: its mean over the plain one's")
    print(ratio.loc[list(DISTANCES), ["rmsle", "crps", "width90", "width_log_params"]].round(2))


def one_table(number: int) -> Iterator[dict[str, object]]:
    """Draw a law and a design, fit, and score new runs within and beyond the range."""
    rng = np.random.default_rng([7, number])
    flops = np.repeat(np.geomspace(1e18, 1e21, rng.integers(6, 10)), rng.integers(10, 12))
    design = at(flops, rng)
    spec = load_model("chinchilla")
    prior = draw_prior(spec, model_data(spec, read_runs(design.assign(loss=3.0))), seed=number)
    law = {n: float(prior[n][0, 0]) for n in (*spec.law.parameters, "nu")}
    fitted = fit(with_losses(design, law, rng), extrapolate="weighted", seed=number, progress=False)
    for distance, decades in DISTANCES.items():
        later = rng.uniform(18, 21, 100) if decades is None else np.full(100, 21 + decades)
        rows = score_runs(fitted, with_losses(at(10**later, rng), law, rng), seed=number)
        best = 10 ** (21 + (decades or 0.0))
        true = best_params(law, best)
        for posterior, own in rows.groupby("posterior"):
            yield {
                "distance": distance,
                "posterior": posterior,
                **scores_of(own),
                **params_of(fitted.weighted if posterior == "weighted" else fitted, best, true),
                "problems": len(fitted.diagnostics.problems),
            }


def at(flops: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Spread sizes a factor four to either side of twenty tokens per parameter."""
    params = np.sqrt(flops / 120) * 4 ** rng.uniform(-1, 1, len(flops))
    return pd.DataFrame({"params": params, "tokens": flops / (6 * params)})


def with_losses(design: pd.DataFrame, law: dict[str, float], rng: np.random.Generator) -> Runs:
    """Make runs of an exact law with the model's own noise, of scale `SIGMA`."""
    loss = law["E"] + law["A"] * design["params"] ** -law["alpha"]
    loss = loss + law["B"] * design["tokens"] ** -law["beta"]
    noise = SIGMA * rng.standard_t(law["nu"], len(design))
    return read_runs(design.assign(loss=loss * np.exp(noise)))


def best_params(law: dict[str, float], flops: float) -> float:
    """Compute-optimal N of the law, in closed form."""
    ratio = law["alpha"] * law["A"] / (law["beta"] * law["B"]) * (flops / 6) ** law["beta"]
    return ratio ** (1 / (law["alpha"] + law["beta"]))


def params_of(own: Fit, flops: float, true: float) -> dict[str, float]:
    """Width of the 90% interval of log10 N*, and whether it holds the true one."""
    log_params = np.log10(compute_optimal(own.plain, flops)["params"]).squeeze()
    low, high = log_params.quantile([0.05, 0.95]).to_numpy()
    inside = low <= np.log10(true) <= high
    return {"width_log_params": high - low, "covers_params": float(inside)}


def _formatted(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[["table", "posterior", "fitted", "predictions"]].copy()
    for name in ("rmsle", "crps", "crps7", "width90"):
        shown[name] = table[name].map("{:.4f}".format)
    for mass in (50, 80, 90, 95):
        shown[f"cov{mass}"] = table[f"coverage{mass}"].map("{:.2f}".format)
    shown["log score"] = table["log_score"].map("{:.2f}".format)
    return shown.assign(seconds=table["seconds"].round(1), problems=table["problems"])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    real = commands.add_parser("published")
    real.add_argument("--predictions", type=Path)
    real.add_argument("--draws", type=int, default=1000)
    real.add_argument("--seed", type=int, default=1)
    exact = commands.add_parser("simulated")
    exact.add_argument("path", type=Path)
    exact.add_argument("--tables", type=int, default=60)
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        if options.command == "published":
            published(options.predictions, options.draws, options.seed)
        else:
            simulated(options.path, options.tables)


if __name__ == "__main__":
    main()
