"""How often the best value of a setting lies where a sweep says it does.

    python benchmarks/sweeps.py simulated results.csv --sweeps 250
    BAYESCALE_DATA=FOLDER python benchmarks/sweeps.py published results.csv

Simulated: sweeps of 7 to 12 runs over 1 to 2.5 decades, noise of 0.1 to 1%, rising by 0.02 to 1
nats of 3 to the higher edge where the minimum lies in the middle. Then the minimum lies inside (60%
of the sweeps), within 15% of the range of an edge, or outside by 15 to 60%. Kinds: the bowl itself,
asymmetry -0.5 to 1.5; a parabola in log x; x^a + x^-b; and a bowl whose upper runs blow up from
somewhere above the minimum on. A sweep is a line of the results: whether the interval holds the
minimum, the probability of being bracketed, and whether it was.

Published: every sweep of learning rates of three tables that tries 5 values or more. Does its
interval reach to within half a step of the run of the least loss? Of sweeps of 7 values or more
that run is left out (does the interval still reach to between its neighbours?), and with it all
runs above, or all below (is the best value said to lie there?). What is best is not known there,
only what was best of the runs.

Lines are appended; it goes on where it stopped.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import RunsError, find_optimum
from bayescale.laws.bowl import rise

KINDS = ("bowl", "parabola", "powers", "diverging")
_LOSS = 3.0
_EDGES = (-0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)


def shape_of(kind: str, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Draw a curve of u = log(x / x_best), least at 0."""
    if kind == "parabola":
        return lambda u: u**2 / 2
    if kind == "powers":
        up, down = rng.uniform(0.2, 1.2), rng.uniform(0.1, 0.8)
        return lambda u: down * np.expm1(up * u) + up * np.expm1(-down * u)
    asymmetry = rng.uniform(-0.5, 1.5) if kind == "bowl" else rng.uniform(0.0, 1.0)
    return lambda u: np.asarray(rise(u, 1.0, asymmetry))


def place_of(rng: np.random.Generator) -> tuple[str, float]:
    """Draw where the minimum lies, and at which share of the range."""
    where = str(rng.choice(["inside", "edge", "outside"], p=[0.6, 0.25, 0.15]))
    side = rng.choice([-1, 1])
    off = {"inside": rng.uniform(0, 0.35), "edge": rng.uniform(0.35, 0.65)}
    return where, 0.5 + side * off.get(where, rng.uniform(0.65, 1.1))


def simulated(kind: str, seed: int) -> dict[str, object]:
    """Draw one sweep, and ask it."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    number, decades = int(rng.integers(7, 13)), rng.uniform(1.0, 2.5)
    where, share = place_of(rng)
    shape, range_ = shape_of(kind, rng), decades * np.log(10)
    height = np.exp(rng.uniform(np.log(0.02), np.log(1.0))) / _LOSS
    edge = max(float(shape(np.array(side * range_ / 2))) for side in (-1, 1))
    u = np.linspace(0, range_, number) - share * range_
    log_loss = np.log(_LOSS) + height / edge * shape(u)
    if kind == "diverging":
        late = np.arange(number) >= np.ceil(number * rng.uniform(0.7, 0.95))
        log_loss = log_loss + np.where(late & (u > 0.3), rng.uniform(0.05, 1.2, number), 0.0)
    noise = np.exp(rng.uniform(np.log(0.001), np.log(0.01)))
    loss = np.exp(np.minimum(log_loss, 9.0) + noise * rng.standard_normal(number))
    sweep = find_optimum(np.exp(u), loss)
    low, middle, high = np.quantile(np.log(sweep.draws["best"]), [0.05, 0.5, 0.95])
    return {
        **{"kind": kind, "seed": seed, "where": where, "noise": noise, "height": height},
        **{"below": low > 0, "above": high < 0, "width": (high - low) / np.log(10)},
        **{"error": abs(middle) / np.log(10), "p_bracketed": sweep.p_bracketed},
        "bracketed": 0 <= share <= 1,
        "cost_held": float(sweep.draws["cost"].quantile(0.95))
        >= height / edge * float(shape(np.log([sweep.best_tried]))[0]),
    }


def report_simulated(table: pd.DataFrame) -> None:
    """Print coverage by kind and place, and how often brackets held."""
    table["covered"] = ~(table["below"] | table["above"])
    for by in (["kind"], ["kind", "where"]):
        shown = table.groupby(by)[["covered", "below", "above", "width", "error", "cost_held"]]
        print(shown.mean().join(table.groupby(by).size().rename("sweeps")).round(3).to_string())
    bins = pd.cut(table["p_bracketed"], list(_EDGES))
    known = table.groupby(bins, observed=True)[["p_bracketed", "bracketed"]].mean()
    print(known.join(table.groupby(bins, observed=True).size().rename("sweeps")).round(3))


def sweeps() -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield published sweeps of 5 learning rates or more."""
    folder = Path(os.environ["BAYESCALE_DATA"])
    for table, by, where in (
        ("lr_width_hyperball", ["series", "width", "depth"], "not diverged"),
        ("lr_tokens_hyperball", ["optimizer", "tokens"], "loss > 0"),
        ("lr_batch_dense", ["params", "tokens", "batch_size"], "loss > 0"),
    ):
        for name, own in pd.read_csv(folder / f"{table}.csv").query(where).groupby(by):
            own = own.groupby("learning_rate", as_index=False)["loss"].mean()
            if len(own) >= 5:
                yield f"{table} {name}", own.sort_values("learning_rate")


def published(name: str, own: pd.DataFrame) -> dict[str, object]:
    """Ask a sweep without its best run, and without all runs on one side of it."""
    rate, loss = own["learning_rate"].to_numpy(), own["loss"].to_numpy()
    best = int(loss.argmin())
    whole = find_optimum(rate, loss)
    row = dict.fromkeys(("left_out_held", "left_out_moved", "p_above", "p_below"), np.nan)
    row = {"sweep": name, "runs": len(own), "p_bracketed": whole.p_bracketed, **row}
    low, high = np.quantile(whole.draws["best"], [0.05, 0.95])
    at_edge = best in (0, len(own) - 1)
    row |= {"width": np.log10(high / low), "best_at_edge": at_edge, "near_best_run": np.nan}
    if not at_edge:
        half_below, half_above = (np.sqrt(rate[best] * rate[best + side]) for side in (-1, 1))
        row |= {"near_best_run": low <= half_above and high >= half_below}
    if at_edge or len(own) < 7:
        return row
    rest = np.arange(len(own)) != best
    fewer = find_optimum(rate[rest], loss[rest])
    low, high = np.quantile(fewer.draws["best"], [0.05, 0.95])
    row |= {"left_out_held": low <= rate[best + 1] and high >= rate[best - 1]}
    row |= {"left_out_moved": np.log10(np.median(fewer.draws["best"] / whole.draws["best"]))}
    for side, kept in (("above", slice(None, best)), ("below", slice(best + 1, None))):
        try:
            part = find_optimum(rate[kept], loss[kept])
        except RunsError:
            continue
        row |= {f"p_{side}": part.p_above if side == "above" else part.p_below}
    return row


def report_published(table: pd.DataFrame) -> None:
    """Print how published sweeps fared."""
    table["table"] = table["sweep"].str.split().str[0]
    shown = ["p_bracketed", "best_at_edge", "near_best_run", "width", "left_out_held"]
    numbers = table[["table"]].join(table[[*shown, "p_above", "p_below"]].astype(float))
    means = numbers.groupby("table").mean()
    print(means.join(table.groupby("table").size().rename("sweeps")).round(2).to_string())
    moved = table["left_out_moved"].abs()
    print(
        f"without its best run the best value moves by {moved.median():.3f} decades in the "
        f"median, by {moved.quantile(0.9):.3f} in one of ten"
    )
    for side in ("above", "below"):
        p = table[f"p_{side}"].dropna()
        print(
            f"without all runs on the side of the best, it is said to lie {side}: {len(p)} sweeps, "
            f"mean P {p.mean():.2f}, P > 0.5 in {(p > 0.5).mean():.2f}, < 0.1 in "
            f"{(p < 0.1).mean():.2f}"
        )


def simulations(number: int) -> Iterator[tuple[tuple[object, ...], Callable[[], dict]]]:
    """Yield what names each simulated sweep, and what asks it."""
    for seed in range(number):
        for kind in KINDS:
            yield (kind, seed), partial(simulated, kind, seed)


def publications() -> Iterator[tuple[tuple[object, ...], Callable[[], dict]]]:
    """Yield what names each published sweep, and what asks it."""
    for name, own in sweeps():
        yield (name,), partial(published, name, own)


def main() -> None:
    """Fill the CSV and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("simulated", "published"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--sweeps", type=int, default=250, help="of each kind")
    options = parser.parse_args()
    simulating = options.what == "simulated"
    keys = ["kind", "seed"] if simulating else ["sweep"]
    done: set[tuple[object, ...]] = set()
    if options.path.exists():
        done = set(pd.read_csv(options.path)[keys].itertuples(index=False, name=None))
    for key, ask in simulations(options.sweeps) if simulating else publications():
        if key not in done:
            row = pd.DataFrame([ask()])
            row.to_csv(options.path, mode="a", header=not options.path.exists(), index=False)
    (report_simulated if simulating else report_published)(pd.read_csv(options.path))


if __name__ == "__main__":
    main()
