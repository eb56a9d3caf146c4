"""Learning rate and batch size of runs nobody has made: real sweeps held back, simulated ones.

    python benchmarks/tuning.py all                    # every cell: exponents, cost of sampling
    python benchmarks/tuning.py backtests RESULTS.csv  # held-back cells, with all runs and with 12
    python benchmarks/tuning.py simulate RESULTS.csv [--tables 100]
    python benchmarks/tuning.py summary RESULTS.csv    # of either

Real sweeps are those of Li et al. (2025), read from the folder that BAYESCALE_DATA names. Rows are
appended as soon as they are known: run a command again to go on. The published procedure, fitted to
the same runs, takes the best run of each cell and fits log lr to log N and log D, log B to log D.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayescale as bs
from bayescale.decisions.hyperparameters import Bowl, bowl_of, bracketed, places_of
from bayescale.modelling.tuning import sweep_model
from bayescale.posterior.fit import Fit
from bayescale.runs.sweeps import read_sweep

KNOBS = ("learning_rate", "batch_size_tokens")
SETTINGS: dict[str, Any] = {"draws": 300, "tune": 300, "chains": 4, "target_accept": 0.8}
SPLITS = {"N <= 429M": "params < 4.4e8", "C <= 6e19": "flops <= 6.0e19"}
FEW = 12  # runs of a cell
SLOPES = {
    "lr_N": "place_along_params",
    "lr_D": "place_along_tokens",
    "B_N": "second_place_along_params",
    "B_D": "second_place_along_tokens",
}


def published_table() -> pd.DataFrame:
    """Read the runs of Li et al. (2025)."""
    return pd.read_csv(Path(os.environ["BAYESCALE_DATA"]) / "lr_batch_dense.csv")


def fitted(table: pd.DataFrame, seed: int = 1) -> Fit:
    """Fit the response surface."""
    runs = read_sweep(table, KNOBS)
    return bs.fit(runs, sweep_model(runs, KNOBS), seed=seed, **SETTINGS)


def interval(draws: xr.DataArray) -> tuple[float, float, float]:
    """Median and central 90% interval."""
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95))
    return float(middle), float(low), float(high)


def report_all() -> None:
    """Fit every cell, and print the exponents."""
    table = published_table()
    fitted(table.groupby(["params", "tokens"]).head(20))  # compiles
    began = time.process_time()
    fit = fitted(table)
    print(fit.diagnostics, f"{time.process_time() - began:.0f} processor seconds, reading included")
    for name, variable in SLOPES.items():
        print(name, "{:.3f} [{:.3f}, {:.3f}]".format(*interval(fit.posterior[variable])))


def procedure(table: pd.DataFrame) -> Any:
    """Fit the published laws to the best run of each cell."""
    best = table.loc[table.groupby(["params", "tokens"])["loss"].idxmin()]
    n, d, ones = np.log(best["params"]), np.log(best["tokens"]), np.ones(len(best))
    lr = np.linalg.lstsq(np.column_stack([ones, n, d]), np.log(best[KNOBS[0]]), rcond=None)[0]
    batch = np.linalg.lstsq(np.column_stack([ones, d]), np.log(best[KNOBS[1]]), rcond=None)[0]

    def settings(params: float, tokens: float) -> dict[str, float]:
        logs = np.log([params, tokens])
        chosen = np.exp([lr @ [1.0, *logs], batch @ [1.0, logs[1]]])
        return dict(zip(KNOBS, chosen.tolist(), strict=True))

    return settings


def step_law(params: float, tokens: float) -> dict[str, float]:
    """Give the settings of the published law, fitted on all these cells."""
    chosen = (1.797 * params**-0.713 * tokens**0.307, 0.581 * tokens**0.571)
    return dict(zip(KNOBS, chosen, strict=True))


def tried_at(cell: pd.DataFrame, settings: dict[str, float]) -> float:
    """Loss of the run tried nearest to some settings, above the best of its cell, as a share."""
    apart = sum((np.log(cell[k] / settings[k])) ** 2 for k in KNOBS)
    return float(cell.loc[apart.idxmin(), "loss"] / cell["loss"].min() - 1)


def best_tried(bowl: Bowl, cell: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Which of the tried settings each draw says will come out best, noise included."""
    rng, few = np.random.default_rng(seed), bs.posterior.prediction.with_few_draws(bowl.fit)
    at = {knob: xr.DataArray(cell[knob].to_numpy(), dims="run") for knob in KNOBS}
    rise = Bowl(few).rise(**at).stack(sample=("chain", "draw")).transpose("sample", "run")
    noise = {n: v.stack(sample=("chain", "draw")).to_numpy()[:, None] for n, v in few.noise.items()}
    scale = noise["sigma"] + noise["inexact"] * rise.to_numpy()
    luck = rng.standard_t(np.broadcast_to(noise["nu"], scale.shape))
    place = (rise.to_numpy() + scale * luck).argmin(axis=1)
    return cell.iloc[place][list(KNOBS)]


def backtests(path: Path) -> None:
    """Hold cells back, and choose their settings from the others."""
    table = published_table()
    truth = fitted(table)
    done = set(pd.read_csv(path)["job"]) if path.exists() else set()
    for split, where in SPLITS.items():
        for which in ("all", *range(3)):
            job = f"{split} {which}"
            if job not in done:
                rows = pd.DataFrame(_held(table, truth, split, where, which))
                rows.assign(job=job).to_csv(path, mode="a", header=not path.exists(), index=False)


def _held(
    table: pd.DataFrame, truth: Fit, split: str, where: str, which: str | int
) -> Iterator[dict[str, Any]]:
    known = table.query(where)
    if which != "all":
        groups = known.groupby(["params", "tokens"], group_keys=False)
        known = groups.sample(FEW, random_state=np.random.RandomState(int(which)))
    fit, refitted = fitted(known), procedure(known)
    held = table.drop(table.query(where).index)
    for (params, tokens), cell in held.groupby(["params", "tokens"]):
        bowl, true = (
            bowl_of(fit, params=params, tokens=tokens),
            bowl_of(truth, params=params, tokens=tokens),
        )
        chosen = {
            "ours": bowl.choice(),
            "refitted": refitted(params, tokens),
            "published": step_law(params, tokens),
        }
        best = cell.loc[cell["loss"].idxmin()]
        said = best_tried(bowl, cell, 1)
        row = {"split": split, "runs": which, "params": params, "tokens": tokens}
        row |= {"r_hat": fit.diagnostics.max_r_hat, "divergences": fit.diagnostics.divergences}
        for name, settings in chosen.items():
            row[f"{name}_tried"] = 100 * tried_at(cell, settings)
            row[f"{name}_surface"] = 100 * float(np.expm1(true.rise(**settings)).mean())
        for knob in KNOBS:
            low, high = said[knob].quantile([0.05, 0.95], interpolation="nearest")
            row[f"{knob}_covered"] = bool(low * 0.99 <= best[knob] <= high * 1.01)
        yield row


def simulated(seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Simulate a sweep of 5 sizes and 4 numbers of tokens, 12 runs a cell, and its truth."""
    rng = np.random.default_rng(seed)
    sizes, tokens = np.geomspace(1e8, 1.6e9, 5), np.geomspace(4e9, 1e11, 4)
    truth: dict[str, Any] = {
        **{"lr_N": rng.normal(-0.5, 0.25), "lr_D": rng.normal(0.1, 0.2)},
        **{"B_N": rng.normal(0.0, 0.15), "B_D": rng.normal(0.5, 0.15)},
    }
    shape = {"k": 0.015 * np.exp(0.4 * rng.normal()), "h": 0.01 * np.exp(0.4 * rng.normal())}
    p, gamma, turn = rng.normal(0.7, 0.2), 0.7 * np.exp(0.3 * rng.normal()), rng.normal(0, 0.5)
    tau, spread = np.exp(np.log(0.06) + 0.4 * rng.normal(size=2)), 0.12
    of_size = np.exp(np.log(0.05) + 0.4 * rng.normal(size=2))
    middle = np.log([4e8, 2e10])
    at_size = {size: rng.normal(0, of_size) for size in (*sizes, 10 * sizes[-1])}

    def best(size: float, data: float) -> np.ndarray:
        n, t = np.log([size, data]) - middle
        trend = [truth[f"{knob}_N"] * n + truth[f"{knob}_D"] * t for knob in ("lr", "B")]
        places = np.log([1.5e-3, 5e5]) + np.array(trend)
        return places + at_size[size] + tau * rng.normal(size=2)

    rows, inside = [], {}
    for size in sizes:
        for data in tokens:
            x, b = best(size, data)
            k, h = (v * np.exp(spread * rng.normal()) for v in shape.values())
            floor = 1.7 + 400 * size**-0.34 + 900 * data**-0.32
            aim = np.array([x, b]) + rng.normal(0, 0.7, size=2)
            steps = np.log(2) / 2 * rng.integers([-4, -3], [5, 4], size=(FEW, 2))
            logs = np.round(aim / (np.log(2) / 2)) * np.log(2) / 2 + steps
            v = logs[:, 1] - b
            softplus = np.logaddexp(0, turn - v) - np.logaddexp(0, turn)
            u = logs[:, 0] - x + gamma * softplus
            rise = k / p**2 * (np.expm1(p * u) - p * u) + h * v**2 / 2
            noise = (0.001 + 0.1 * rise) * rng.standard_t(7, size=FEW)
            loss = floor * np.exp(rise + noise)
            loss[np.argsort(u)[-2:]] *= np.where(rng.random(2) < 0.9, np.nan, 1.0)  # 15% diverge
            ends = np.exp([logs.min(axis=0), logs.max(axis=0)])
            inside[size, data] = (ends[0] < np.exp([x, b])) & (np.exp([x, b]) < ends[1])
            own = {"params": size, "tokens": data, "loss": loss}
            rows.append(
                pd.DataFrame({**own, KNOBS[0]: np.exp(logs[:, 0]), KNOBS[1]: np.exp(logs[:, 1])})
            )
    target = 10 * sizes[-1], 10 * tokens[-1]
    truth["lr_target"], truth["B_target"] = best(*target)
    return pd.concat(rows, ignore_index=True), {"truth": truth, "inside": inside, "target": target}


def simulate(path: Path, tables: int) -> None:
    """Fit simulated sweeps, and append whether intervals hold the truth."""
    done = set(pd.read_csv(path)["table"]) if path.exists() else set()
    for seed in range(tables):
        if seed in done:
            continue
        table, known = simulated(seed)
        fit = fitted(table, seed + 1)
        params, tokens = known["target"]
        bowl = bowl_of(fit, params=params, tokens=tokens)
        said = {name: fit.posterior[variable] for name, variable in SLOPES.items()}
        said |= {"lr_target": np.log(bowl.best[KNOBS[0]]), "B_target": np.log(bowl.best[KNOBS[1]])}
        rows = []
        base = {
            "table": seed,
            "r_hat": fit.diagnostics.max_r_hat,
            "div": fit.diagnostics.divergences,
        }
        for name, draws in said.items():
            middle, low, high = interval(draws)
            true = known["truth"][name]
            rows.append(
                {
                    **base,
                    "what": name,
                    "hit": low <= true <= high,
                    "value": middle - true,
                    "p": high - low,
                }
            )
        chance, at = bracketed(fit).sel(side="inside"), places_of(fit)
        for cell, where in at.items():
            key = min(
                known["inside"],
                key=lambda own: (
                    abs(np.log(own[0] / where["params"])) + abs(np.log(own[1] / where["tokens"]))
                ),
            )
            for number, knob in enumerate(KNOBS):
                p = float(chance.sel(knob=knob, cell=cell))
                rows.append(
                    {
                        **base,
                        "what": f"inside {knob}",
                        "hit": bool(known["inside"][key][number]),
                        "value": np.nan,
                        "p": p,
                    }
                )
        pd.DataFrame(rows).to_csv(path, mode="a", header=not path.exists(), index=False)


def summary(path: Path) -> None:
    """Print what a file of results says."""
    table = pd.read_csv(path)
    if "split" in table:
        own = table.drop(columns=["job", "params", "tokens", "r_hat", "divergences"])
        print(own.groupby(["split", "runs"]).mean().round(3).to_string())
        few = table["runs"] != "all"
        numbers = table.drop(columns=["job", "split", "runs"]).groupby(few).mean()
        print(
            numbers.round(3)
            .T.rename(columns={False: "all runs", True: f"{FEW} a cell"})
            .to_string()
        )
        return
    print(
        table["table"].nunique(),
        "tables; largest R-hat",
        table["r_hat"].max(),
        "divergences",
        table.groupby("table")["div"].first().sum(),
    )
    for what, own in table.groupby("what"):
        if what.startswith("inside"):
            bins = pd.cut(own["p"], [-0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0])
            print(
                what,
                own.groupby(bins, observed=True)
                .agg(n=("hit", "size"), said=("p", "mean"), were=("hit", "mean"))
                .round(3)
                .to_string(),
            )
        else:
            share = own["hit"].mean()
            error = np.sqrt(share * (1 - share) / len(own))
            rmse, width = np.sqrt((own["value"] ** 2).mean()), own["p"].mean()
            print(f"{what:10s} covered {share:.3f} +- {error:.3f}", end=", ")
            print(f"rmse {rmse:.3f}, width {width:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["all", "backtests", "simulate", "summary"])
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--tables", type=int, default=100)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.command == "all":
        report_all()
    elif asked.command == "backtests":
        backtests(asked.path)
    elif asked.command == "simulate":
        simulate(asked.path, asked.tables)
    else:
        summary(asked.path)
