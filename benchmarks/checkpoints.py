"""What intervals from checkpoint logs are worth, beside those from last checkpoints.

    uv run python benchmarks/checkpoints.py results.jsonl [--tables 40]

Simulates logs of runs on a grid of sizes and tokens, or of tokens per parameter, whose errors are
autoregressive, with the autocorrelation phi^k at a lag of k rows, and an error that each run
shares. In one design all runs end at the same tokens, and their ends say nothing of tokens. Reads
them in three ways: the last row of each run, thinned by what its rows are worth, and every row as a
run. Estimates the law by weighted least squares, whose standard errors take rows for independent.
Tables are appended to the file as they end, and those that are there are left out.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from bayescale import read_runs

TRUTH = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
AT = np.log([1.69, 406.4 * 1e9**-0.336, 410.7 * 1e11**-0.283, 0.336, 0.283])
NAMES = ("E", "A", "B", "alpha", "beta")
WITHIN = 1.645  # standard errors of a central 90%
DESIGNS = {
    "long memory": {"phi": 0.99, "shared": 0.0},
    "short memory": {"phi": 0.9, "shared": 0.0},
    "errors of runs": {"phi": 0.9, "shared": 0.01},
    "tokens per parameter": {"phi": 0.9, "shared": 0.0, "ends": "ratios"},
    "one end": {"phi": 0.9, "shared": 0.0, "ends": "equal"},
    "no memory": {"phi": 0.0, "shared": 0.0},
}
READ = {
    "last": {"last_per": "run"},
    "thinned": {"thin_per": None},
    "every": {"thin_per": ()},
}


RUNS, ROWS = 36, 200


def ends_of(ends: str) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and last tokens of the runs of a design."""
    if ends == "ratios":
        params = np.repeat(np.geomspace(1e7, 1e10, RUNS // 4), 4)
        return params, params * np.tile([5.0, 20.0, 80.0, 320.0], RUNS // 4)
    side = int(np.sqrt(RUNS))
    params = np.repeat(np.geomspace(1e7, 1e10, side), side)
    if ends == "equal":
        return params, np.full(RUNS, 3e11)
    return params, np.tile(np.geomspace(1e10, 1e12, side), side)


def simulate(phi: float, shared: float, seed: int, ends: str = "grid") -> pd.DataFrame:
    """Return checkpoints of runs, from a tenth of their tokens on."""
    rng, runs, rows = np.random.default_rng(seed), RUNS, ROWS
    error = rng.standard_normal((runs, rows))
    for row in range(1, rows):
        error[:, row] = phi * error[:, row - 1] + np.sqrt(1 - phi**2) * error[:, row]
    error = 0.01 * error + shared * rng.standard_normal((runs, 1))
    params, last = ends_of(ends)
    params = params[:, None] + np.zeros(rows)
    tokens = last[:, None] * np.linspace(0.1, 1, rows)
    loss = TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"]
    loss = (loss + TRUTH["B"] * tokens ** -TRUTH["beta"]) * np.exp(error)
    columns = {"params": params.ravel(), "tokens": tokens.ravel(), "loss": loss.ravel()}
    return pd.DataFrame({"run": np.repeat(np.arange(runs), rows).astype(str), **columns})


def estimate(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the parameters, and their standard errors."""
    root = np.sqrt(table.get("weight", pd.Series(1.0, table.index)).to_numpy())
    size, data = np.log(table["params"] / 1e9), np.log(table["tokens"] / 1e11)

    def left(at: np.ndarray) -> np.ndarray:
        floor, a, b, alpha, beta = np.exp(at)
        law = floor + a * np.exp(-alpha * size) + b * np.exp(-beta * data)
        return root * (np.log(law) - np.log(table["loss"])).to_numpy()

    found = least_squares(left, AT)
    spread = 2 * found.cost / ((root**2).sum() - len(AT))
    return found.x, np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * spread)


def rows_of(design: str, seed: int) -> list[dict[str, object]]:
    """Read one table in every way."""
    table, found = simulate(**DESIGNS[design], seed=seed), []
    for how, options in READ.items():
        runs = read_runs(table, mid_schedule="keep", **options)
        middle, error = estimate(runs.table)
        about = {"design": design, "seed": seed, "read": how, "rows": len(runs)}
        off = dict(zip(NAMES, (middle - AT).tolist(), strict=True))
        found.append({**about, "off": off, "error": dict(zip(NAMES, error.tolist(), strict=True))})
    return found


def show(lines: list[dict]) -> None:
    """Print coverage, the median standard error, and how far estimates really scatter."""
    found = []
    for (design, how), own in pd.DataFrame(lines).groupby(["design", "read"], sort=False):
        row: dict[str, object] = {"design": design, "read": how, "rows": own["rows"].median()}
        for name in ("E", "alpha", "beta"):
            off, error = (np.array([each[name] for each in own[key]]) for key in ("off", "error"))
            row[f"{name} cover"] = (np.abs(off) < WITHIN * error).mean()
            row[f"{name} error"], row[f"{name} sd"] = np.median(error), off.std()
        found.append(row)
    print(pd.DataFrame(found).round(3).to_string(index=False))


def main() -> None:
    """Simulate what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--tables", type=int, default=40)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    held = options.file.read_text("utf-8").splitlines() if options.file.exists() else []
    lines = [json.loads(line) for line in held]
    done = {(line["design"], line["seed"]) for line in lines}
    for seed in range(options.tables):
        for design in DESIGNS:
            if (design, seed) in done:
                continue
            new = rows_of(design, seed)
            with options.file.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in new)
            lines += new
    show(lines)


if __name__ == "__main__":
    main()
