"""Predict the accuracies of tasks of larger models than those fitted, and by least squares.

Each table is cut by size: the smaller runs are fitted, the accuracies measured of the larger ones
are predicted, with one setting for all tables. `direct` is the model task-accuracy-hierarchical.
`chain` goes by two steps: the loss of each task (task-loss-hierarchical) feeds the link from the
loss to the accuracy (loss-to-accuracy-hierarchical), draw by draw. Beside them the same laws by
least squares, task by task. Errors in points of accuracy; coverage and width of central 90%
intervals of what is measured. `ladder-backtest` is the cut by which choices were made.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/downstream.py [TABLE ...]
"""

import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from bayescale import Accuracies, fit, load_dataset, read_tasks
from bayescale.decisions.trust import task_doubts
from bayescale.evaluation.scores import score_runs
from bayescale.laws import chinchilla, loss_to_accuracy, task_accuracy
from bayescale.runs.table import Runs

SHORT = {"draws": 500, "tune": 500, "progress": False}
DIRECT = "task-accuracy-hierarchical"
LINKS = ("loss-to-accuracy-hierarchical", "exponential-error-hierarchical")

type Cut = tuple[Runs, Runs]
"""Runs to fit, and runs to predict."""


def ladder(largest: str) -> Cut:
    """Cut the ladder: the sizes below one, and that size."""
    table = load_dataset("downstream_ladder")
    # Of MMLU, an average, upstream gives no number of right answers, but that of its items.
    read = read_tasks(table, columns={"params": "params_non_embedding"})
    sizes = ("190M", "370M", "760M", "1B")
    small = ", ".join(repr(size) for size in sizes[sizes.index(largest) :])
    seen, _ = read.hold_out(f"size in [{small}]")
    _, new = read.hold_out(f"size == {largest!r}")
    return seen, new


def shapes() -> Cut:
    """Cut the shapes, the last evaluation of each run, at 500M parameters."""
    return read_tasks(load_dataset("downstream_shapes")).hold_out("params >= 5e8")


def overtrained() -> Cut:
    """Cut the overtrained runs below their largest size, for the 33 tasks that can be guessed."""
    read = read_tasks(
        load_dataset("overtrained_downstream"),
        join=load_dataset("overtrained"),
        where="random_baseline_error < 1",
    )
    return read.hold_out("params >= 1.2e9")


def open_models() -> Cut:
    """Cut models of many laboratories at 1e22 FLOPs."""
    read = read_tasks(load_dataset("downstream_open_models"), where="flops.notna()")
    return read.hold_out("flops >= 1e22")


def direct(seen: Runs, new: Runs) -> tuple[pd.DataFrame, list[str]]:
    """Predict by the direct law; also say which tasks were named before."""
    found = fit(seen, DIRECT, **SHORT)
    print("  direct:", "; ".join(found.diagnostics.problems) or "converged", flush=True)
    scores = score_runs(found, new)
    return scores.rename(columns={"group": "task"}), list(task_doubts(found))


def direct_by_least_squares(seen: Runs, new: Runs) -> pd.DataFrame:
    """Fit the direct law to each task, each from several starts."""

    def said(p: np.ndarray, table: pd.DataFrame) -> np.ndarray:
        amplitudes = {"A": np.exp(p[0]), "B": np.exp(p[1]), "alpha": p[2], "beta": p[3]}
        at = table["params"].to_numpy() / 4e8, table["tokens"].to_numpy() / 1.5e10
        return np.asarray(task_accuracy(*at, table["chance"].to_numpy(), **amplitudes, luck=1.0))

    starts = [(-1.0, -1.0, alpha, beta) for alpha in (0.15, 0.4, 0.9) for beta in (0.15, 0.4)]
    bounds = ([-12, -12, 0.01, 0.01], [5, 5, 3, 3])
    found = []
    for own, rows in _by_task(seen, new):
        accuracy = own["accuracy"].to_numpy()
        best = _best(lambda p, own=own, y=accuracy: said(p, own) - y, starts, bounds)
        found.append(rows.assign(q50=said(best, rows)))
    return pd.concat(found).assign(q05=np.nan, q95=np.nan)


def _by_task(seen: Runs, new: Runs) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Pair the rows to fit and to predict of each task."""
    for task, rows in new.table.groupby("task"):
        yield seen.table[seen.table["task"] == task], rows


def chain(seen: Runs, new: Runs, link: str) -> pd.DataFrame:
    """Predict by the chain of two fits."""
    losses = seen.table[["run", "task", "params", "tokens", "bpb"]]
    losses = losses.assign(run=losses["run"] + "/" + losses["task"])
    fits = fit(losses, "task-loss-hierarchical", **SHORT), fit(seen, link, **SHORT)
    chain = Accuracies.chain(*fits)
    found = []
    for task, rows in new.table.groupby("task"):
        drawn = chain.of([str(task)]).new(rows["params"].to_numpy(), rows["tokens"].to_numpy())
        q05, q50, q95 = drawn.squeeze("task").quantile([0.05, 0.5, 0.95], ("chain", "draw")).values
        found.append(rows.assign(q05=q05, q50=q50, q95=q95))
    return pd.concat(found)


def chain_by_least_squares(seen: Runs, new: Runs) -> pd.DataFrame:
    """Fit the two laws of the chain to each task, each from several starts."""
    found = []
    for own, rows in _by_task(seen, new):
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


def scored(found: pd.DataFrame) -> str:
    """Errors in points, and how many measured accuracies lie in their intervals."""
    error = 100 * (found["q50"] - found["accuracy"])
    said = f"{len(found)} points, MAE {error.abs().mean():.2f}, RMSE {(error**2).mean() ** 0.5:.2f}"
    if found["q05"].isna().any():
        return f"{said}, bias {error.mean():+.2f}"
    inside = found["accuracy"].between(found["q05"] - 1e-9, found["q95"] + 1e-9).mean()
    width = 100 * (found["q95"] - found["q05"]).mean()
    return f"{said}, bias {error.mean():+.2f}, coverage {inside:.3f}, width {width:.1f}"


TABLES: dict[str, Callable[[], Cut]] = {
    "ladder-backtest": lambda: ladder("760M"),
    "ladder": lambda: ladder("1B"),
    "shapes": shapes,
    "overtrained": overtrained,
    "open_models": open_models,
}


def report(name: str) -> None:
    """Print the scores of one table."""
    seen, new = TABLES[name]()
    print(f"{name}: {len(seen)} accuracies fitted, {new.table['task'].nunique()} tasks", flush=True)
    found, doubted = direct(seen, new)
    rows = {"direct": found, "least squares": direct_by_least_squares(seen, new)}
    if name.startswith("ladder"):
        rows |= {f"chain, {link}": chain(seen, new, link) for link in LINKS}
        rows["chain, least squares"] = chain_by_least_squares(seen, new)
    print(f"  named before: {', '.join(doubted) or 'none'}")
    for how, own in rows.items():
        print(f"  {how}: {scored(own)}")
        print(
            f"  {how}, without those named: {scored(own[~own['task'].isin(doubted)])}", flush=True
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for table in sys.argv[1:] or TABLES:
        report(table)
