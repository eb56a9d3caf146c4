"""Compute-optimal sizes of the default model beside the minima of single isoFLOP budgets.

BAYESCALE_DATA=FOLDER python benchmarks/minima.py results.csv

A parabola through the log losses of one budget has a minimum; its bootstrap sd is added to the
posterior's. Two answers of the model are compared with it: N* at the budget, and, like for like,
the minimum of the same parabola through the posterior's own losses at the same runs. The two differ
where profiles are lopsided, and where FLOPs per parameter and token change along a budget.

Of every table with budgets the whole is fitted ("inside"), and the part up to each budget but the
last ("held back", for later budgets). A line a budget and fit is appended; it goes on where it
stopped.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import (
    Fit,
    Runs,
    RunsWarning,
    compute_optimal,
    fit,
    load_dataset,
    predict,
    read_runs,
)

_NEAR = 0.8  # decades about the best run of a budget
_FEWEST = 5
_MODELS = ("joint", "chinchilla")


def tables() -> Iterator[tuple[str, Runs]]:
    """Yield published tables with isoFLOP budgets."""
    yield "Chinchilla", read_runs(load_dataset("chinchilla"), where="not outlier_epoch")
    for family in ("Transformer (Llama)", "xLSTM (mLSTM)"):
        for context in (2048, 8192, 16384):
            table = load_dataset("architectures").query(
                "family == @family and not outlier_upstream and context_length == @context"
            )
            if len(table):
                yield f"{family}, {context}", read_runs(table)
    for family in ("transformer", "lstm"):
        where = f"family == '{family}' and not budget.str.startswith('rep')"
        names = {"params": "params_matmul"}
        yield (
            f"minisweep {family}",
            read_runs(load_dataset("minisweep"), names, where=where, units={"params": 1}),
        )


def parabola(log_params: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
    """Where parabolas through log losses, shape (runs,) or (runs, draws), are least."""
    curve = np.polyfit(log_params, log_loss, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(curve[0] > 0, -curve[1] / (2 * curve[0]), np.nan)


def observed(log_params: np.ndarray, log_loss: np.ndarray) -> tuple[float, float] | None:
    """Minimum of one budget and its bootstrap sd, log10; None where it says little."""
    best = float(parabola(log_params, log_loss))
    if not log_params.min() < best < log_params.max():
        return None
    smooth = np.polyval(np.polyfit(log_params, log_loss, 2), log_params)
    left = (log_loss - smooth) * np.sqrt(len(log_loss) / (len(log_loss) - 3))
    drawn = np.random.default_rng(0).choice(left, (len(left), 400))
    sd = float(np.nanstd(parabola(log_params, smooth[:, None] + drawn)))
    return (best, sd) if sd < 0.15 else None


def budgets(runs: Runs) -> Iterator[tuple[float, pd.DataFrame, float, float]]:
    """FLOPs of each budget, its runs near the best one, their minimum and its sd."""
    for _, own in runs.table.groupby(runs.budgets()):
        log_params = np.log10(own["params"].to_numpy())
        near = np.abs(log_params - log_params[own["loss"].to_numpy().argmin()]) < _NEAR
        own = own[near]
        if len(own) >= _FEWEST:
            found = observed(np.log10(own["params"].to_numpy()), np.log(own["loss"].to_numpy()))
            if found:
                yield float(own["flops"].median()), own, *found


def compared(own: Fit, flops: float, near: pd.DataFrame, best: float, sd: float) -> dict:
    """Both answers of a fit beside the minimum of a budget."""
    k = float((near["flops"] / (near["params"] * near["tokens"])).median())
    optimal = np.log10(compute_optimal(own, flops, k=k)["params"]).to_numpy().ravel()
    loss = np.log(predict(own, near[["params", "tokens"]])).stack(draws=("chain", "draw"))
    like = parabola(np.log10(near["params"].to_numpy()), loss.transpose("run", "draws").to_numpy())
    row = {"flops": flops, "minimum": best, "sd": sd, "without": float(np.isnan(optimal).mean())}
    for name, draws in (("optimum", optimal), ("like for like", like)):
        known = draws[np.isfinite(draws)]
        noisy = known + sd * np.random.default_rng(0).standard_normal(len(known))
        low, middle, high = np.quantile(noisy, (0.05, 0.5, 0.95))
        row |= {
            f"{name}: error": middle - best,
            f"{name}: width": float(np.diff(np.quantile(known, (0.05, 0.95)))[0]),
            f"{name}: inside": low <= best <= high,
        }
    return row


def rows_of(name: str, runs: Runs, draws: int) -> Iterator[dict]:
    """Fit a table whole and up to each of its budgets but the last."""
    found = list(budgets(runs))
    cuts = [np.inf, *(own["flops"].max() for _, own, _, _ in found[1:-1])] if found else []
    for model in _MODELS:
        for cut in cuts:
            past = replace(runs, table=runs.table[runs.table["flops"] <= cut])
            fitted = fit(past, model, draws=draws, tune=500, progress=False)
            top = past.table["flops"].max()
            for flops, near, best, sd in found:
                if cut == np.inf or near["flops"].min() > cut:
                    beyond = np.log10(flops / top)
                    where = "inside" if cut == np.inf else "held back"
                    yield (
                        {"table": name, "model": model, "where": where, "beyond": beyond}
                        | {"problems": len(fitted.diagnostics.problems)}
                        | compared(fitted, flops, near, best, sd)
                    )


def main() -> None:
    """Fill the CSV and print coverage, error and width."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    done = set(pd.read_csv(options.path)["table"]) if options.path.exists() else set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        for name, runs in tables():
            if name not in done:
                rows = pd.DataFrame(list(rows_of(name, runs, options.draws)))
                header = not options.path.exists()
                rows.to_csv(options.path, mode="a", header=header, index=False)
    report(pd.read_csv(options.path))


def report(table: pd.DataFrame) -> None:
    """Print scores by model, place and answer."""
    for (where, model), own in table.groupby(["where", "model"], sort=False):
        for name in ("optimum", "like for like"):
            error, width, inside = (own[f"{name}: {of}"] for of in ("error", "width", "inside"))
            rmse = np.sqrt((error**2).mean())
            print(
                f"{where:9} {model:10} {name:13} {len(own):3} minima: inside 90% "
                f"{inside.mean():.2f}, RMSE {rmse:.3f} decades, width {width.mean():.3f}"
            )
    shown = table[table["model"] == _MODELS[0]].drop(columns="model")
    print(shown.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
