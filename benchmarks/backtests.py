"""Scores of laws that may bend beyond the runs, and what bending costs where the law is exact.

BAYESCALE_DATA=FOLDER python benchmarks/backtests.py published [--predictions FOLDER] [--draws 1000]
python benchmarks/backtests.py simulated results.csv [--tables 200] [--truth bent|exact] [--runs 30]

`published` fits the smaller runs of published sweeps and the embedded one, predicts the larger ones
and scores each of three models, with one setting for all. `--predictions` writes the quantiles of
the default at the Chinchilla runs. `simulated` draws tables from the default's own prior, law and
bend, or from exact laws: then what the default costs is its price. It goes on where it stopped.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import Runs, RunsWarning, compute_optimal, fit, load_dataset, load_model, read_runs
from bayescale.evaluation.scores import LEVELS, average, score_runs
from bayescale.laws import Law
from bayescale.modelling.bend import Features, features_beyond, features_of_runs
from bayescale.modelling.build import draw_prior, model_data
from bayescale.runs.datasets import FOLDER_VARIABLE

MODELS = {"default": "joint", "coupled": "coupled-bend", "exact": "chinchilla"}
WEIGHTS = np.array([0.075, 0.1, 0.2, 0.25, 0.2, 0.1, 0.075])  # of the seven quantiles, for CRPS
SIGMA = 0.005
DISTANCES = {"in range": 0.0, "half a decade beyond": 0.5, "a decade beyond": 1.0}


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
    for name, own in tables():
        if name != "Chinchilla":
            yield name, *halves(own)


def tables() -> Iterator[tuple[str, Runs]]:
    """Yield published tables, whole."""
    yield "Chinchilla", read_runs(load_dataset("chinchilla"), where="not outlier_epoch")
    yield "misfitting", read_runs(load_dataset("misfitting"), best_per=("params", "tokens"))
    for corpus in ("C4", "RedPajama", "RefinedWeb"):
        yield (
            f"overtrained, {corpus}",
            read_runs(load_dataset("overtrained"), where=f"dataset == '{corpus}'"),
        )
    for name, context in (("Transformer (Llama)", 8192), ("xLSTM (mLSTM)", 16384)):
        where = f"family == '{name}' and not outlier_upstream and context_length == {context}"
        yield f"{name}, context {context}", read_runs(load_dataset("architectures"), where=where)
    for family in ("transformer", "lstm"):
        yield (
            f"minisweep {family}",
            read_runs(
                load_dataset("minisweep"),
                {"params": "params_matmul"},
                where=f"family == '{family}' and not budget.str.startswith('rep')",
                units={"params": 1},
            ),
        )
    farseer = pd.read_csv(Path(os.environ[FOLDER_VARIABLE]) / "farseer.csv")
    yield "Farseer", read_runs(farseer, {"params": "params_non_embedding"})


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
    found = []
    for name, past, later in splits():
        for label, model in MODELS.items():
            start = time.process_time()
            fitted = fit(past, model, draws=draws, seed=seed, progress=False)
            seconds = time.process_time() - start
            rows, state = score_runs(fitted, later, seed=seed), fitted.diagnostics
            found.append(
                {"table": name, "model": label, "fitted": len(past), **scores_of(rows)}
                | {"seconds": seconds, "divergences": state.divergences, "R-hat": state.max_r_hat}
            )
            split = {"C <= 3e20": "main", "C <= 8.4e19 for > 3e20": "hard"}.get(
                name.partition(", ")[2]
            )
            if predictions is not None and split is not None:
                predictions.mkdir(parents=True, exist_ok=True)
                rows[["run", *LEVELS]].to_csv(predictions / f"{split}-{label}.csv", index=False)
    scores = pd.DataFrame(found)
    print(_formatted(scores).to_string(index=False))
    by = scores.groupby("model", sort=False)
    print("\nmeans over rows; CRPS and width geometric")
    for label, own in by:
        crps, width = (np.exp(np.log(own[name]).mean()) for name in ("crps", "width90"))
        covers = " ".join(f"{own[f'coverage{mass}'].mean():.3f}" for mass in (50, 80, 90))
        print(f"{label:8} CRPS {crps:.5f}  width90 {width:.4f}  coverage 50/80/90 {covers}")


@dataclass(frozen=True)
class Truth:
    """A law, and by how much it bends where; what the default model believes before any run."""

    law: Law
    natural: dict[str, float]
    features: Features
    coefficients: np.ndarray
    nu: float

    def log_loss(self, params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Log loss without noise."""
        places = np.log10(np.stack([params, tokens], axis=-1))
        bend = self.features.at(places) @ self.coefficients
        return np.log(self.law(params, tokens, **self.natural)) + bend

    def best_params(self, flops: float) -> float:
        """Compute-optimal N, on a fine grid."""
        params = np.geomspace(1e-3, 1e3, 6001) * np.sqrt(flops / 120)
        return float(params[self.log_loss(params, flops / (6 * params)).argmin()])

    def runs(self, design: pd.DataFrame, rng: np.random.Generator) -> Runs:
        """Make runs with the model's own noise, of scale `SIGMA`."""
        noise = SIGMA * rng.standard_t(self.nu, len(design))
        log_loss = self.log_loss(design["params"].to_numpy(), design["tokens"].to_numpy())
        return read_runs(design.assign(loss=np.exp(log_loss + noise)))


def draw_truth(design: pd.DataFrame, kind: str, number: int) -> Truth:
    """Draw a member of the default, its law and its bend from their priors; no bend where exact."""
    rng, spec = np.random.default_rng([11, number]), load_model("joint")
    own = spec.each_member[0 if kind == "exact" else rng.integers(len(spec.each_member))]
    prior = draw_prior(own, model_data(own, read_runs(design.assign(loss=3.0))), seed=number)
    at = {name: float(prior[name][0, 0]) for name in prior if prior[name].ndim == 2}
    natural = {name: own.fixed.get(name, at.get(name)) for name in own.law.parameters}
    inputs = tuple(design[name].to_numpy() for name in ("params", "tokens"))
    among = features_of_runs(own.bend, np.log10(np.stack(inputs, axis=1)))
    everywhere = features_beyond(among, inputs)
    size = 0.0 if kind == "exact" else 1.0
    coefficients = size * rng.standard_normal(len(everywhere.points))
    return Truth(own.law, natural, everywhere, coefficients, max(at["nu"], 2.5))


def simulated(path: Path, tables: int, truth: str, runs: int) -> None:
    """Fit tables of known truth, and append what was found; a line a table, model and distance."""
    done = set(pd.read_csv(path)["table"]) if path.exists() else set()
    for number in range(tables):
        if number not in done:
            rows = pd.DataFrame(one_table(number, truth, runs)).assign(table=number)
            rows.to_csv(path, mode="a", header=not path.exists(), index=False)
    found = pd.read_csv(path)
    mean = found.groupby(["distance", "model"]).mean(numeric_only=True)
    mean = mean.loc[list(DISTANCES)].drop(columns="table")
    print(f"{found['table'].nunique()} tables of {runs} runs, truth {truth}; means over tables")
    print(mean.round(4).to_string())
    ratio = mean.xs("default", level="model") / mean.xs("exact", level="model")
    print("\nthe default's mean over the exact law's")
    print(ratio.loc[list(DISTANCES), ["rmsle", "crps", "width90", "width_log_params"]].round(2))


def one_table(number: int, kind: str, runs: int) -> Iterator[dict[str, object]]:
    """Draw a truth and a design, fit, and score new runs within and beyond the range."""
    rng = np.random.default_rng([7, number])
    budgets = 5 if runs <= 30 else 8
    design = at(np.resize(np.geomspace(1e18, 1e21, budgets), runs), rng)
    truth = draw_truth(design, kind, number)
    past = truth.runs(design, rng)
    later = {
        distance: truth.runs(
            at(10 ** (rng.uniform(18, 21, 60) if not decades else np.full(60, 21 + decades)), rng),
            rng,
        )
        for distance, decades in DISTANCES.items()
    }
    for label in ("default", "exact"):
        fitted = fit(past, MODELS[label], draws=500, tune=500, seed=number, progress=False)
        for distance, decades in DISTANCES.items():
            best = 10 ** (20.0 if not decades else 21 + decades)
            log_params = np.log10(compute_optimal(fitted, best, k=6)["params"]).squeeze()
            low, high = log_params.quantile([0.05, 0.95]).to_numpy()
            yield {
                "distance": distance,
                "model": label,
                **scores_of(score_runs(fitted, later[distance], seed=number)),
                "width_log_params": high - low,
                "covers_params": float(low <= np.log10(truth.best_params(best)) <= high),
                "without_optimum": float(log_params.isnull().mean()),
                "problems": len(fitted.diagnostics.problems),
            }


def at(flops: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Spread sizes a factor four to either side of twenty tokens per parameter."""
    params = np.sqrt(flops / 120) * 4 ** rng.uniform(-1, 1, len(flops))
    return pd.DataFrame({"params": params, "tokens": flops / (6 * params)})


def _formatted(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[["table", "model", "fitted", "predictions"]].copy()
    for name in ("rmsle", "crps", "crps7", "width90"):
        shown[name] = table[name].map("{:.4f}".format)
    for mass in (50, 80, 90, 95):
        shown[f"cov{mass}"] = table[f"coverage{mass}"].map("{:.2f}".format)
    shown["log score"] = table["log_score"].map("{:.2f}".format)
    shown["R-hat"] = table["R-hat"].map("{:.3f}".format)
    return shown.assign(cpu=table["seconds"].round(1), divergences=table["divergences"])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    real = commands.add_parser("published")
    real.add_argument("--predictions", type=Path)
    real.add_argument("--draws", type=int, default=1000)
    real.add_argument("--seed", type=int, default=1)
    known = commands.add_parser("simulated")
    known.add_argument("path", type=Path)
    known.add_argument("--tables", type=int, default=200)
    known.add_argument("--truth", choices=("bent", "exact"), default="bent")
    known.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        if options.command == "published":
            published(options.predictions, options.draws, options.seed)
        else:
            simulated(options.path, options.tables, options.truth, options.runs)


if __name__ == "__main__":
    main()
