"""Predict the accuracies of tasks of a larger model, in two steps and by least squares.

Fits the runs of the ladder up to one size and predicts the next: 370M, then 760M (what was chosen
by), 760M, then 1B. Two steps: the loss of each task (`task-loss-hierarchical`) feeds the link from
the loss to the accuracy (`loss-to-accuracy-hierarchical`), draw by draw. Beside it the same two
laws by least squares, task by task. Errors in points of accuracy; coverage and width of central 90%
intervals of what is measured.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/downstream.py 760M 1B
"""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from bayescale import Accuracies, fit
from bayescale.laws import chinchilla, loss_to_accuracy

SIZES = ("190M", "370M", "760M", "1B")
HARD = ("boolq", "winogrande")  # barely above chance, with jumps: no law follows them
MMLU_ITEMS = 14042
SHORT = {"chains": 2, "draws": 500, "tune": 500, "progress": False}
LINKS = ("loss-to-accuracy-hierarchical", "exponential-error-hierarchical")


def ladder(largest: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the sizes below one, and of that size."""
    table = pd.read_csv(Path(os.environ["BAYESCALE_DATA"]) / "downstream_ladder.csv")
    table = table.rename(columns={"params_non_embedding": "params", "n_items": "trials"})
    table["trials"] = table["trials"].fillna(MMLU_ITEMS)
    table["run"] = table["run"] + "/" + table["task"]
    below = table["size"].isin(SIZES[: SIZES.index(largest)])
    return table[below], table[table["size"] == largest]


def two_steps(seen: pd.DataFrame, new: pd.DataFrame, loss_model: str, link: str) -> pd.DataFrame:
    """Median and 90% interval of what is measured of new runs, by the chain of two fits."""
    columns = ["run", "task", "params", "tokens", "bpb"]
    loss = fit(seen[columns], loss_model, **SHORT)
    link_columns = ["run", "task", "bpb", "accuracy", "chance", "trials"]
    chain = Accuracies.chain(loss, fit(seen[link_columns], link, **SHORT))
    found = []
    for task, rows in new.groupby("task"):
        drawn = chain.of([str(task)]).new(rows["params"].to_numpy(), rows["tokens"].to_numpy())
        q05, q50, q95 = drawn.squeeze("task").quantile([0.05, 0.5, 0.95], ("chain", "draw")).values
        found.append(rows.assign(q05=q05, q50=q50, q95=q95))
    return pd.concat(found)


def by_least_squares(seen: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Fit the same two laws to each task, each from several starts."""
    found = []
    for task, rows in new.groupby("task"):
        own = seen[seen["task"] == task]
        at = own["params"].to_numpy(), own["tokens"].to_numpy()
        bpb, accuracy = own["bpb"].to_numpy(), own["accuracy"].to_numpy()
        chance = own["chance"].iloc[0]
        loss = _best(
            lambda p, at=at, bpb=bpb: _loss(p, at) - bpb,
            [
                (E, -1.5, -1.5, alpha, beta)
                for E in (0.01, 0.2)
                for alpha in (0.15, 0.4)
                for beta in (0.15, 0.4)
            ],
            ([0, -10, -10, 0.01, 0.01], [bpb.min(), 5, 5, 3, 3]),
        )
        link = _best(
            lambda p, x=bpb, y=accuracy, c=chance: np.append(
                loss_to_accuracy(x, c, k=p[0], x0=p[1], luck=np.exp(p[2])) - y, p[2] / 100
            ),
            [(k, x0, 0.0) for k in (2.0, 6.0, 15.0) for x0 in (0.3, 0.9)],
            ([0.05, -5, -4], [60, 5, 4]),
        )
        predicted = _loss(loss, (rows["params"].to_numpy(), rows["tokens"].to_numpy()))
        q50 = loss_to_accuracy(predicted, chance, k=link[0], x0=link[1], luck=np.exp(link[2]))
        found.append(rows.assign(q05=np.nan, q50=q50, q95=np.nan))
    return pd.concat(found)


def _loss(p: np.ndarray, at: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    level = {"E": p[0], "A": np.exp(p[1]), "B": np.exp(p[2]), "alpha": p[3], "beta": p[4]}
    return chinchilla(at[0] / 4e8, at[1] / 1.5e10, **level)


def _best(residuals: Callable[[np.ndarray], np.ndarray], starts: list, bounds: tuple) -> np.ndarray:
    return min((least_squares(residuals, s, bounds=bounds) for s in starts), key=lambda r: r.cost).x


def scored(found: pd.DataFrame) -> dict[str, float]:
    """Errors in points, and how many measured accuracies lie in their intervals."""
    inside = found["accuracy"].between(found["q05"] - 1e-9, found["q95"] + 1e-9)
    return {
        "points": len(found),
        "MAE": 100 * (found["q50"] - found["accuracy"]).abs().mean(),
        "bias": 100 * (found["q50"] - found["accuracy"]).mean(),
        "coverage": inside.mean() if found["q05"].notna().all() else np.nan,
        "width": 100 * (found["q95"] - found["q05"]).mean(),
    }


def chain_table(largest: str) -> None:
    """Print the scores of the chain, by two links, and of least squares."""
    seen, new = ladder(largest)
    found = {
        "least squares": by_least_squares(seen, new),
        **{name: two_steps(seen, new, "task-loss-hierarchical", name) for name in LINKS},
    }
    for name, rows in found.items():
        for tasks, part in (("all", rows), ("without two", rows[~rows["task"].isin(HARD)])):
            said = ", ".join(f"{key} {value:.3g}" for key, value in scored(part).items())
            print(f"{largest}, {name}, tasks: {tasks}: {said}")
        each = {task: scored(part) for task, part in rows.groupby("task")}
        print(pd.DataFrame(each).T.round(2).to_string(), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for size in sys.argv[1:] or ("760M", "1B"):
        chain_table(size)
