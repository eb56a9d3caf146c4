"""Coverage of forecasts of simulated tables of curves, and their cost where a law is exact.

A table has 20 curves of 10, 15 or 20 points over 1.3 to 2.5 decades. Three kinds of tables:

    power     power laws with offset and Normal noise, each with its own parameters
    law       the law after a plateau, curves about a population whose middles and sds are drawn
              from the priors of the hierarchical model, Student-t noise
    clusters  the same, in five clusters that have effects of their own

Each table is fitted with its defaults ("default"), every curve by itself ("alone"), and every point
counted in full ("whole"); power laws also by the law that they are ("rigid"). Rows are appended to
a CSV, so a run that was cut off goes on where it stopped. Prints, by distance from the last point:
coverage of central 90 and 50% intervals of a new point, the error of medians of log loss, and where
power laws are exact the median ratio of widths to those of the rigid law.

    uv run python benchmarks/curve_tables.py results.csv [--tables 10] [--kind power]... [--quick]
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import load_model, parse_model
from bayescale.curves.points import Points, points_of
from bayescale.curves.posterior import Draws, require_curve_model
from bayescale.curves.together import TOP, WHOLE, fit_together
from bayescale.modelling.spec import ModelSpec

KINDS = ("power", "law", "clusters")
DECADES = np.array([0.3, 0.5, 1.0])
"""From the last point."""

CURVES, CLUSTERS = 20, 5
NU = 4.5  # of the noise about the law, the middle of its prior
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
LAW = require_curve_model(load_model("plateau-power-law"))
POOLED = load_model("plateau-power-law-hierarchical")
RIGID = require_curve_model(
    parse_model(
        load_model("power-law")
        .source.replace("mu = -1.75, sigma = 0.5", "mu = -1.2, sigma = 0.7")
        .replace('LogitNormal", mu = -0.2, sigma = 0.8', 'LogitNormal", mu = 0.0, sigma = 1.5'),
        "rigid",
    )
)


Draw = Callable[[str, np.ndarray, np.ndarray], np.ndarray]
"""Log losses of a curve by its name, where they are asked, and the x of its points."""


@dataclass(frozen=True)
class Table:
    """A simulated table: its curves, the log loss of a new point at DECADES, clusters or none."""

    points: Mapping[str, Points]
    later: Mapping[str, np.ndarray]
    clusters: Mapping[str, str] | None


def simulate(kind: str, rng: np.random.Generator) -> Table:
    """Simulate a table of a kind."""
    names = [f"curve {place}" for place in range(CURVES)]
    labels = {name: f"cluster {place % CLUSTERS}" for place, name in enumerate(names)}
    draw = power_law(rng) if kind == "power" else population(rng, labels, kind == "clusters")
    both = {name: curve(name, draw, rng) for name in names}
    points = {name: own[0] for name, own in both.items()}
    later = {name: own[1] for name, own in both.items()}
    return Table(points, later, labels if kind == "clusters" else None)


def curve(name: str, draw: Draw, rng: np.random.Generator) -> tuple[Points, np.ndarray]:
    """Points of a curve, and new log losses at DECADES."""
    n, decades = int(rng.choice([10, 15, 20])), rng.uniform(1.3, 2.5)
    x = rng.choice([1e3, 1e6]) * 10 ** np.linspace(0, decades, n)
    at = np.concatenate([x, x[-1] * 10**DECADES])
    log_loss = draw(name, at, x)
    return points_of(x, log_loss[:n], np.zeros(n)), log_loss[n:]


def power_law(rng: np.random.Generator) -> Draw:
    """Curves that are exact: a share of .15 to .8 of the last loss is reducible."""

    def draw(name: str, at: np.ndarray, x: np.ndarray) -> np.ndarray:
        share, alpha = rng.uniform(0.15, 0.8), np.exp(rng.normal(np.log(0.3), 0.4))
        log_loss = np.log1p(share * ((at / x[-1]) ** -alpha - 1))
        return np.asarray(
            log_loss + rng.choice([0.002, 0.005, 0.01]) * rng.standard_normal(len(at))
        )

    return draw


def population(rng: np.random.Generator, labels: Mapping[str, str], clustered: bool) -> Draw:
    """Curves about a population, whose middles, sds and clusters are drawn from the priors."""
    names = [name for name in (*LAW.priors, "sigma") if name in POOLED.partial]
    middle = {name: rng.normal(*LAW.sampled[name].on_line()) for name in names}
    scale = {name: dict(POOLED.scales[name].args)["sigma"] for name in names}
    sd = {name: abs(scale[name] * rng.standard_normal()) for name in names}
    spread = {
        name: abs(scale[name] * rng.standard_normal()) * (clustered and name != "sigma")
        for name in names
    }
    effect = {
        label: {name: spread[name] * rng.standard_normal() for name in names}
        for label in sorted(set(labels.values()))
    }

    def draw(name: str, at: np.ndarray, x: np.ndarray) -> np.ndarray:
        line = {
            part: middle[part] + effect[labels[name]][part] + sd[part] * rng.standard_normal()
            for part in names
        }
        line |= {"level": rng.normal(0, 0.3), "nu": np.log(NU)}
        ordered = np.array([[line[part] for part in (*LAW.priors, "sigma", "nu")]])
        drawn = Draws(LAW, float(np.exp(np.log(x).mean())), ordered)
        noise = drawn.scale(np.zeros(1)) * drawn.noise(rng, len(at))
        return np.asarray((drawn.log_loss(at) + noise)[0])

    return draw


def readings(kind: str) -> dict[str, tuple[ModelSpec, dict[str, Any]]]:
    """By name, the law of a table and how it is fitted."""
    alone, whole = {"pool": False, "calibrate": False}, {"weighting": WHOLE, "calibrate": False}
    found: dict[str, tuple[ModelSpec, dict[str, Any]]] = {
        "default": (LAW, {}),
        "alone": (LAW, alone | {"weighting": TOP}),
        "whole": (LAW, whole),
    }
    return found | ({"rigid": (RIGID, alone | whole)} if kind == "power" else {})


def rows_of(kind: str, number: int) -> pd.DataFrame:
    """Simulate and forecast one table."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    table, rows = simulate(kind, rng), []
    for reading, (spec, options) in readings(kind).items():
        fitted = fit_together(table.points, spec, clusters=table.clusters, seed=number, **options)
        for name, truth in table.later.items():
            own = forecast(fitted.draws[name], table.points[name], fitted.log_fall, rng)
            found = pd.DataFrame(np.quantile(own, LEVELS, axis=0).T, columns=LEVELS.astype(str))
            found = found.assign(truth=truth, decades=DECADES, curve=name, reading=reading)
            rows.append(found.assign(whole=fitted.whole, fall=fitted.log_fall[0]))
    return pd.concat(rows).assign(kind=kind, table=number)


def forecast(
    draws: Draws, points: Points, log_fall: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Log losses of a new point at DECADES, (draws, decades)."""
    both = draws.log_loss(points.x[-1] * 10 ** np.append(0.0, DECADES))
    factor = np.exp(log_fall[0] + log_fall[1] * rng.standard_normal((len(draws), 1)))
    noise = draws.scale(np.zeros(1)) * draws.noise(rng, len(DECADES))
    return np.asarray(both[:, :1] + factor * (both[:, 1:] - both[:, :1]) + noise)


def show(results: pd.DataFrame) -> None:
    """Print coverage, errors and widths by kind, reading and distance."""
    for mass, (low, high) in {"90%": ("0.05", "0.95"), "50%": ("0.25", "0.75")}.items():
        inside = (results[low] <= results["truth"]) & (results["truth"] <= results[high])
        results = results.assign(**{f"covers {mass}": inside})
    results["width"] = results["0.95"] - results["0.05"]
    results["squared"] = (results["0.5"] - results["truth"]) ** 2
    keys = ["kind", "table", "curve", "decades"]
    rigid = results[results["reading"] == "rigid"].set_index(keys)["width"]
    results["ratio"] = (
        results["width"].to_numpy()
        / rigid.reindex(pd.MultiIndex.from_frame(results[keys])).to_numpy()
    )
    cells = results.groupby(["kind", "reading", "decades"], sort=False)
    shown = cells[["covers 90%", "covers 50%"]].mean()
    shown["rmse"] = cells["squared"].mean() ** 0.5
    shown["width"], shown["ratio to rigid"] = cells["width"].median(), cells["ratio"].median()
    shown["tables"] = cells["table"].nunique()
    print(shown.round(3).to_string())


def main() -> None:
    """Simulate and forecast the tables that the CSV lacks, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=10)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--quick", action="store_true", help="one table of each kind")
    options = parser.parse_args()
    path: Path = options.results
    done = set()
    if path.exists():
        done = set(pd.read_csv(path)[["kind", "table"]].itertuples(index=False, name=None))
    for number in range(1 if options.quick else options.tables):
        for kind in options.kind or KINDS:
            if (kind, number) not in done:
                found = rows_of(kind, number)
                found.to_csv(path, mode="a", header=not path.exists(), index=False)
    show(pd.read_csv(path))


if __name__ == "__main__":
    main()
