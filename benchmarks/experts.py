"""Simulated runs with experts: how well intervals hold their worth, and larger models.

    python benchmarks/experts.py --out experts.csv --tables 50

Tables are drawn from the prior of the shipped laws: five sizes of 16M to 370M active parameters,
dense and with 2 to 512 experts. One table in two has the same tokens in all runs. Losses have
Student-t noise, an error shared by runs of one size, and a smooth error of the law: a quadratic in
the logs of size and experts. The largest size is not fitted but predicted. Rows are appended as
they are done, and a second call goes on where the first stopped.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import (
    LAWS,
    best_experts,
    experts_model,
    experts_worth,
    fit,
    predict_runs,
    read_runs,
)
from bayescale.errors import RunsWarning

SIZES = np.array([1.65e7, 2.7e7, 5.7e7, 1.3e8, 3.7e8])
NUMBERS = 2.0 ** np.arange(10)
TOKENS = (3e9, 2e10, 1.3e11)
SHARE = 0.3
AT = (8.0, 64.0, 512.0)
MIDDLE = 6e7  # active parameters at which their worth is asked


def draw(seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """One table and its truth."""
    rng = np.random.default_rng(seed)
    same = bool(seed % 2)
    start = 1 + np.exp(rng.normal())
    known = {
        "alpha": np.exp(rng.normal(-1.386, 0.4)),
        "beta": np.exp(rng.normal(-1.05, 0.5)),
        "gamma": np.exp(rng.normal(-0.693, 0.3)),
        "X_start": start,
        "X_max": start + np.exp(rng.normal(5.99, 0.7)),
    }
    reducible, split = 1 / (1 + np.exp(-rng.normal([-0.2, 0.0], 0.8)))
    level, tokens = np.exp(1.0), np.array(TOKENS[-1:] if same else TOKENS)
    middle = np.exp(np.log(tokens).mean())
    known |= {
        "E": level * (1 - reducible),
        "A": level * reducible * split * 2.5e8 ** known["alpha"],
        "B": level * reducible * (1 - split) * middle ** known["beta"],
    }
    table = pd.DataFrame(
        [(n, d, x) for n in SIZES for d in tokens for x in NUMBERS],
        columns=["active_params", "tokens", "experts"],
    )
    curved = 0.01 * rng.standard_normal(3)

    def bent(active: Any, data: Any, number: Any) -> Any:
        n, x = np.log10(active / 6e7), np.log10(number / 20)
        smooth = curved[0] * n**2 / 2 + curved[1] * n * x + curved[2] * x**2 / 2
        return LAWS["experts"](active, data, number, **known) * np.exp(smooth)

    of_size = (
        0.002 * rng.standard_normal(len(SIZES))[np.searchsorted(SIZES, table["active_params"])]
    )
    noise = 0.001 * rng.standard_t(5, size=len(table))
    law = bent(*(table[c] for c in ("active_params", "tokens", "experts")))
    table["loss"] = law * np.exp(of_size + noise)
    table["params"] = table["active_params"] * (1 + SHARE * (table["experts"] - 1))
    dense = np.geomspace(MIDDLE, 100 * MIDDLE, 2000)
    losses = bent(dense, middle, 1.0)
    truth = {f"worth{x:.0f}": float(bent(MIDDLE, middle, x)) for x in AT}
    reached = {name: float(np.interp(-own, -losses, dense)) for name, own in truth.items()}
    return table, {name: value / MIDDLE for name, value in reached.items()}


def score(seed: int) -> dict[str, float]:
    """Fit one table without its largest size, and say where the truth lies among the draws."""
    table, truth = draw(seed)
    small, large = read_runs(table).hold_out(f"active_params > {SIZES[-2] * 1.01}")
    own = fit(small, experts_model(small), seed=seed, progress=False)
    drawn = predict_runs(own, large.table)
    seen = large.table["loss"].to_numpy()
    ranks = (drawn < seen).mean(("chain", "draw")).to_numpy()
    told = experts_worth(own, AT, active_params=MIDDLE)
    found = best_experts(own, flops=6 * SIZES[-1] * TOKENS[-1], memory=1e10)
    best = float(found["experts"][int(found["loss"].mean(("chain", "draw")).to_numpy().argmin())])
    middle = np.log(drawn.median(("chain", "draw")).to_numpy())
    return {
        "seed": seed,
        "same_tokens": seed % 2,
        "converged": not own.problems,
        "covered": float(((ranks > 0.05) & (ranks < 0.95)).mean()),
        "log_rmse": float(np.sqrt(np.mean((np.log(seen) - middle) ** 2))),
        "best": best,
        **{
            f"worth{x:.0f}": float((told.sel(experts=x) < truth[f"worth{x:.0f}"]).mean())
            for x in AT
        },
    }


def main() -> None:
    """Score tables that are not in the file yet, then say coverage of 90% intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", type=int, default=50)
    given = parser.parse_args()
    done = set(pd.read_csv(given.out)["seed"]) if given.out.exists() else set()
    for seed in range(given.tables):
        if seed in done:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RunsWarning)
            row = pd.DataFrame([score(seed)])
        row.to_csv(given.out, mode="a", header=not given.out.exists(), index=False)
    found = pd.read_csv(given.out)
    print(f"{len(found)} tables, {found['converged'].mean():.0%} converged")
    for same, own in found.groupby("same_tokens"):
        print("the same tokens" if same else "three numbers of tokens")
        print(
            f"  larger models: {own['covered'].mean():.1%} of 90% intervals hold the loss, ", end=""
        )
        print(f"log RMSE {own['log_rmse'].median():.2%} in the median table")
        for name in (f"worth{x:.0f}" for x in AT):
            inside = ((own[name] > 0.05) & (own[name] < 0.95)).mean()
            print(f"  {name}: {inside:.0%} of 90% intervals hold the truth")


if __name__ == "__main__":
    main()
