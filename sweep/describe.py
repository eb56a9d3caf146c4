"""What the finished sweep shows: counts, seeds, minima, the joint law's misfit, and two pictures.

    uv run python sweep/describe.py

Needs the package and no PyTorch. Reads the shipped table and writes the pictures to docs/.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bayescale as bs

DOCS = Path(__file__).parents[1] / "docs"
MATMUL = {"params": "params_matmul"}
CELL = ["family", "width", "tokens", "unique_tokens"]
FITTED = "flops < 2e12"
FAMILIES = {"transformer": "Transformer", "lstm": "LSTM"}


def main() -> None:
    """Print the numbers of the data card and draw its pictures."""
    table = bs.load_dataset("minisweep")
    fresh = table.query("unique_tokens >= tokens")
    print(f"{len(table)} runs, {len(table) - len(fresh)} of them on repeated data")
    print_repetition(table)
    grid = fresh[~fresh["budget"].str.startswith("rep")]
    print_seeds(grid)
    print_minima(grid)
    for family in FAMILIES:
        fit, held = print_misfit(grid, family)
        if family == "transformer":
            own = bs.fit(fit.runs, "chinchilla-bend")  # which `bayescale demo` finds best
            figure = bs.plot_decision(own, [1e12, 1e13], held)
            figure.set_size_inches(7.4, 5.0)
            figure.savefig(DOCS / "decision.png", dpi=110)
    draw_isoflops(grid).savefig(DOCS / "minisweep.png", dpi=110)


def print_seeds(grid: pd.DataFrame) -> None:
    """Print how many cells have several seeds, and the pooled sd between them."""
    cells = grid.groupby(CELL)["loss"]
    freedom = cells.size() - 1
    sd = np.sqrt((cells.var() * freedom).sum() / freedom.sum())
    print(f"{(freedom > 0).mean():.0%} of {len(freedom)} grid cells have 2 or 3 seeds")
    print(f"pooled sd between seeds: {sd:.4f} nats per character")


def print_repetition(table: pd.DataFrame) -> None:
    """Print the loss by number of epochs for every width and amount of text."""
    repeated = table[table["budget"].str.startswith("rep")]
    text = repeated["unique_tokens"].map(lambda count: f"{count:.1g}").astype(float)
    for (width, unique), runs in repeated.groupby([repeated["width"], text]):
        pairs = zip(runs["epochs"], runs["loss"], strict=True)
        listed = ", ".join(f"{epochs:.0f}: {loss:.3f}" for epochs, loss in sorted(pairs))
        print(f"width {width}, {unique:.0e} characters, loss by epochs: {listed}")


def print_minima(grid: pd.DataFrame) -> None:
    """Print the loss by width of every budget, mean over seeds, and where its minimum lies."""
    for (family, budget), runs in grid.groupby(["family", "budget"]):
        losses = runs.groupby("width")["loss"].mean()
        best = losses.index.get_loc(losses.idxmin())
        place = "interior" if 0 < best < len(losses) - 1 else "at the edge"
        listed = ", ".join(f"{width}: {loss:.3f}" for width, loss in losses.items())
        print(f"{family} {budget}: {listed}; minimum at {losses.idxmin()}, {place}")


def print_misfit(grid: pd.DataFrame, family: str) -> tuple[bs.Fit, bs.Runs]:
    """Fit the joint law below 2e12 FLOPs and print its error there and beyond."""
    runs = bs.read_runs(grid, MATMUL, where=f"family == '{family}'", units={"params": 1})
    fitted, held = runs.hold_out(f"not ({FITTED})")
    fit = bs.fit(fitted)
    inside = bs.residuals(fit)
    print(
        f"{family}: joint law on {len(fitted)} runs below 2e12 FLOPs, "
        f"residual sd {inside['residual'].std():.4f} of log loss"
    )
    print(fit.summary()[["mean", "sd"]].to_string())
    beyond = bs.residuals(fit, held)
    for flops, rows in beyond.groupby(beyond["flops"].map(lambda value: f"{value:.0e}")):
        covered = rows["loss"].between(rows["predicted_q05"], rows["predicted_q95"])
        print(
            f"  {flops} FLOPs: {len(rows)} runs, observed against predicted "
            f"{rows['residual'].min():+.1%} to {rows['residual'].max():+.1%}, "
            f"{covered.mean():.0%} inside their 90% predictive interval"
        )
    for row in beyond[beyond["flops"] > 5e12].itertuples():
        print(
            f"  {row.run}: observed {row.loss:.4f}, predicted {row.fitted:.4f} "
            f"({row.predicted_q05:.4f} to {row.predicted_q95:.4f})"
        )
    return fit, held


def draw_isoflops(grid: pd.DataFrame) -> Figure:
    """Draw loss against N at equal compute, one panel a family."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.2), sharey=True, layout="constrained")
    for axis, (family, title) in zip(axes, FAMILIES.items(), strict=True):
        _draw_family(axis, grid[grid["family"] == family])
        axis.set(title=title, xscale="log", xlabel="parameters N (matrix weights)")
    axes[0].set_ylabel("validation loss (nats per character)")
    figure.suptitle("Same compute, different sizes: too small and too large are both worse")
    return figure


def _draw_family(axis: Axes, runs: pd.DataFrame) -> None:
    budgets = sorted(runs["budget"].unique(), key=float)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(budgets)))
    for budget, colour in zip(budgets, colours, strict=True):
        curve = runs[runs["budget"] == budget]
        means = curve.groupby("params_matmul")["loss"].mean()
        axis.plot(curve["params_matmul"], curve["loss"], "o", ms=3, color=colour, alpha=0.6)
        axis.plot(means, color=colour, lw=1.3, label=f"{budget} FLOPs")
        if len(means) > 2:
            axis.plot(means.idxmin(), means.min(), "*", ms=13, color=colour, mec="black", mew=0.5)
    axis.grid(color="#e6e6e6")
    axis.legend(title="star: best size", fontsize=8)


if __name__ == "__main__":
    main()
