"""Simulated steps to a target: how often intervals of critical batch sizes hold the truth.

    python benchmarks/critical_batch.py --out critical_batch.csv --tables 100

Tables are drawn from the prior of the shipped model: five models of 80M to 1.2B parameters, nine
batch sizes by factors of two, B_noise of each scattered about a power law of params, and Student-t
noise. One table in two has only its smaller batches, of which few lie above B_noise. Rows are
appended as they are done, and a second call goes on where the first stopped.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import batch_at, batch_exponents, batch_model, critical_batches, fit, read_steps
from bayescale.errors import RunsWarning

PARAMS = np.geomspace(8e7, 1.2e9, 5)
BATCHES = 2.0 ** np.arange(15, 24)
TARGET = 8e9
MORE, BASE = 0.2, 2.0**17


def draw(seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """One table and its truth."""
    rng = np.random.default_rng(seed)
    exponent, scatter = rng.normal(0.4, 0.4), np.exp(rng.normal(-3.14, 0.7))
    batches = BATCHES if seed % 2 else BATCHES[:6]
    middle = np.exp(np.log(batches).mean())
    place = rng.normal(0.0, 0.65)

    def noise_of(params: np.ndarray) -> np.ndarray:
        away = np.log10(params) - np.log10(PARAMS).mean()
        scattered = scatter * rng.standard_normal(len(params))
        return middle * 10 ** (place + exponent * away + scattered)

    critical, beyond = noise_of(PARAMS), noise_of(np.array([TARGET]))
    sigma = np.exp(rng.normal(-3.0, 0.7))
    least = 2000.0 * (PARAMS / 3e8) ** 0.4
    steps = least[:, None] * (1 + critical[:, None] / batches)
    steps = steps * np.exp(sigma * rng.standard_t(5, size=steps.shape))
    table = pd.DataFrame(
        {
            "params": np.repeat(PARAMS, len(batches)),
            "batch_tokens": np.tile(batches, len(PARAMS)),
            "steps": steps.ravel(),
        }
    )
    truth = {"exponent": exponent, "beyond": float(beyond[0])}
    return table, truth | {f"curve{i}": float(own) for i, own in enumerate(critical)}


def score(seed: int) -> dict[str, float]:
    """Fit one table, and say of each quantity where the truth lies among the draws."""
    table, truth = draw(seed)
    runs = read_steps(table)
    own = fit(runs, batch_model(runs, "params"), seed=seed, progress=False)
    found = critical_batches(own, TARGET)
    over = batch_at(found["B_noise"], MORE, BASE)["over_base"]
    asked = {"exponent": (batch_exponents(own)["noise"], truth["exponent"])}
    for number in range(len(PARAMS)):
        noise = truth[f"curve{number}"]
        asked[f"noise{number}"] = (found["B_noise"].isel(curve=number), noise)
        asked[f"over{number}"] = (over.isel(curve=number), MORE * noise + (1 + MORE) * BASE)
    asked["beyond"] = (found["B_noise"].isel(curve=-1), truth["beyond"])
    return {
        "seed": seed,
        "batches": table["batch_tokens"].nunique(),
        "converged": not own.problems,
        **{name: float((draws < value).mean()) for name, (draws, value) in asked.items()},
    }


def main() -> None:
    """Score tables that are not in the file yet, then say coverage of 90% intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", type=int, default=100)
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
    for name, columns in {
        "exponent": ["exponent"],
        "B_noise of curves": [f"noise{i}" for i in range(len(PARAMS))],
        "20% over a base": [f"over{i}" for i in range(len(PARAMS))],
        "B_noise of a model beyond": ["beyond"],
    }.items():
        for batches, own in found.groupby("batches"):
            ranks = own[columns].to_numpy()
            inside = ((ranks > 0.05) & (ranks < 0.95)).mean()
            print(f"{name}, {batches} batches: {inside:.1%} of 90% intervals hold the truth")


if __name__ == "__main__":
    main()
