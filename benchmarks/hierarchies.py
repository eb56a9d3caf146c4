"""Do hierarchies keep their promise? Simulated groups, truth drawn from the priors of the model.

    python benchmarks/hierarchies.py results.jsonl --law chinchilla|power-law|repetition
        [--groups 5] [--tables 100] [--compared 0]

Parameters, groups and noise of every table are drawn from the model itself, and its losses from
them; it is fitted with partial pooling and without. `--compared` tables are also sampled as a
textbook would, centred and non-centred. One line of JSON a table is appended to the results, so a
run that was cut off goes on where it stopped.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr

from bayescale import Fit, ModelSpec, Runs, RunsWarning, build_model, fit, load_model
from bayescale.laws import into_support, onto_line
from bayescale.modelling import build as model

SETTINGS = {"draws": 500, "tune": 700, "progress": False}
"""Fewer draws than the defaults, for the many tables."""
LOSS = 3.2  # about which the levels of a table are drawn


def isoflops(rng: np.random.Generator) -> pd.DataFrame:
    """Return fifteen runs: five sizes on each of three isoFLOP budgets, the same in every group."""
    flops, size = np.meshgrid([1e19, 1e20, 1e21], np.geomspace(0.25, 4.0, 5))
    params = (np.sqrt(flops / 120) * size).ravel()
    return pd.DataFrame({"params": params, "tokens": flops.ravel() / (6 * params)})


def ladder(rng: np.random.Generator) -> pd.DataFrame:
    """Return ten to fifteen compute-optimal runs over three decades of compute."""
    flops = 10 ** np.linspace(18.5, 21.5, rng.integers(10, 16))
    flops *= np.exp(0.1 * rng.standard_normal(len(flops)))
    return pd.DataFrame({"params": np.sqrt(flops / 120), "tokens": np.sqrt(flops / 120) * 20})


def epochs(rng: np.random.Generator) -> pd.DataFrame:
    """Return thirty runs: five sizes, two without repeated tokens and four of 3 to 50 epochs."""
    params, (ratio, repeated) = (
        np.geomspace(1e8, 4e9, 5),
        np.array([[8, 50, 20, 20, 20, 20], [1, 1, 3, 8, 20, 50]]),
    )
    size = np.repeat(params, 6) * np.exp(0.1 * rng.standard_normal(30))
    tokens = size * np.tile(ratio, 5)
    return pd.DataFrame(
        {"params": size, "tokens": tokens, "unique_tokens": tokens / np.tile(repeated, 5)}
    )


@dataclass(frozen=True)
class Study:
    """A hierarchical model, how many groups it is asked of, and the runs of each of them.

    A table whose largest loss is more than `spread` times its least is drawn anew: of Student-t
    noise with nu below 1, or of exponents and excess in the tails of their priors.
    """

    spec: ModelSpec
    groups: int
    runs: Callable[[np.random.Generator], pd.DataFrame]
    spread: float = 50.0

    def design(self, table: int) -> Runs:
        """Return the runs of a table, all with the same loss."""
        rng = np.random.default_rng([20264, self.groups, table])
        frames = [self.runs(rng).assign(family=f"group-{g:02d}") for g in range(self.groups)]
        frame = pd.concat(frames, ignore_index=True).assign(loss=LOSS)
        frame["flops"] = 6 * frame["params"] * frame["tokens"]
        frame.insert(0, "run", [f"run-{row + 1}" for row in frame.index])
        return Runs(frame, "simulated")

    def simulate(self, table: int) -> tuple[dict[str, np.ndarray], Runs, int]:
        """Draw the truth and the runs of a table; also how many tables were drawn before."""
        design = self.design(table)
        pymc_model = build_model(self.spec, design)
        varying = [f"{n}_{part}" for n in self.spec.partial for part in ("population", "scale")]
        names = [*(name for name in self.spec.sampled if name in pymc_model.named_vars), *varying]
        *truths, log_loss = pm.draw(
            [*(pymc_model[name] for name in names), pymc_model["log_loss"]],
            draws=50,
            random_seed=1000 * self.groups + table,
            mode="FAST_COMPILE",
        )
        loss = np.exp(log_loss)
        first = int(np.flatnonzero(np.ptp(log_loss, axis=1) <= np.log(self.spread))[0])
        runs = Runs(design.table.assign(loss=loss[first]), "simulated")
        return {n: t[first] for n, t in zip(names, truths, strict=True)}, runs, first


STUDIES = {
    "chinchilla": Study(load_model("chinchilla-hierarchical"), 6, isoflops),
    "power-law": Study(load_model("power-law-hierarchical"), 5, ladder),
    "repetition": Study(load_model("data-constrained-hierarchical"), 4, epochs),
}


def score(study: Study, table: int) -> dict[str, Any]:
    """Fit one table with and without pooling, and say where the truth falls in the posterior.

    ``below``: the share of draws below the truth. ``error`` and ``apart``: how far the posterior
    means of each group lie from the truth, on the line where groups are Normal, with and without
    pooling.
    """
    truth, runs, redrawn = study.simulate(table)
    settings = {**SETTINGS, "seed": table + 1}
    kept = fit(runs, study.spec, **settings)
    apart = fit(runs, study.spec.unpooled(), **settings)

    def error(fitted: Fit, name: str) -> list[float]:
        lines = onto_line(fitted.spec.supports[name], fitted.posterior[name]).mean(
            ("chain", "draw")
        )
        return (lines.to_numpy() - onto_line(fitted.spec.supports[name], truth[name])).tolist()

    below = {
        name: np.atleast_1d((kept.posterior[name] < _vector(value)).mean(("chain", "draw")))
        for name, value in truth.items()
    }
    return {
        "groups": study.groups,
        "table": table,
        "redrawn": redrawn,
        "below": {name: value.tolist() for name, value in below.items()},
        "error": {name: error(kept, name) for name in study.spec.partial},
        "apart": {name: error(apart, name) for name in study.spec.partial},
        **cost(kept),
        **{f"apart_{name}": value for name, value in cost(apart).items()},
    }


def _vector(value: np.ndarray) -> xr.DataArray:
    return xr.DataArray(value, dims=("group",) * np.ndim(value))


def cost(fitted: Fit) -> dict[str, float]:
    """Return what a fit cost and whether it converged."""
    found = fitted.diagnostics
    return {
        "divergences": found.divergences,
        "r_hat": found.max_r_hat,
        "ess": found.min_ess_bulk,
        "seconds": found.seconds_sample,
        **{name: fitted.tree.attrs[name] for name in ("target_accept", "thin")},
    }


def textbook(non_centred: bool) -> Any:
    """Return how a first course would write a parameter of groups, in place of ours."""

    def add(spec: ModelSpec, name: str, data: dict[str, Any], free: dict[str, Any]) -> None:
        prior = spec.sampled[name]
        if name not in spec.partial:
            free[name] = prior.variable(name)
            return
        middle = prior.line_variable(f"{name}_middle")
        scale = spec.scales[name].variable(f"{name}_scale")
        if non_centred and name != "level":
            line = middle + scale * pm.Normal(f"{name}_offset", dims="group")
        else:
            line = pm.Normal(f"{name}_line", middle, scale, dims="group")
        free[name] = pm.Deterministic(name, into_support(spec.supports[name], line), dims="group")

    return add


def compare(study: Study, table: int) -> dict[str, dict[str, float]]:
    """Sample one table centred, non-centred and as we do, once each, in this process."""
    _, runs, _ = study.simulate(table)
    ways = {"centred": textbook(False), "non_centred": textbook(True), "ours": model._add_variables}
    found = {}
    for kind, add in ways.items():
        with mock.patch.object(model, "_add_variables", add):
            pymc_model = build_model(study.spec, runs)
        names = [v.name for v in (*pymc_model.free_RVs, *pymc_model.deterministics)]
        compiled = nutpie.compile_pymc_model(pymc_model, var_names=names)
        start = time.perf_counter()
        tree = nutpie.sample(
            compiled,
            chains=4,
            draws=SETTINGS["draws"],
            tune=SETTINGS["tune"],
            seed=table + 1,
            progress_bar=False,
            save_warmup=False,
            adaptation="diag",
            target_accept=0.95,
        )
        found[kind] = {
            "seconds": time.perf_counter() - start,
            "divergences": int(tree["sample_stats"]["diverging"].sum()),
            "ess": float(az.ess(tree["posterior"]).dataset.to_array().min()),
        }
    return found


def covered(rows: list[dict[str, Any]], names: list[str]) -> str:
    """Say how often 90% intervals cover the truth of these parameters, and of each of them."""
    inside = {
        name: [0.05 < share < 0.95 for row in rows for share in row["below"][name]]
        for name in names
    }
    every = np.concatenate(list(inside.values()))
    each = ", ".join(f"{name} {np.mean(values):.0%}" for name, values in inside.items())
    return f"{every.mean():.1%} of {every.size} ({each})"


def report(rows: list[dict[str, Any]], spec: ModelSpec) -> None:
    """Print coverage, error, convergence and cost."""
    print(
        f"{spec.name}: {len(rows)} tables of {rows[0]['groups']} groups; "
        f"{sum(row['redrawn'] for row in rows)} were drawn anew"
    )
    kinds = {
        "populations": [f"{name}_population" for name in spec.partial],
        "sds between groups": [f"{name}_scale" for name in spec.partial],
        "groups": list(spec.partial),
        "shared": [n for n in spec.sampled if n not in spec.partial and n in rows[0]["below"]],
    }
    for kind, names in kinds.items():
        print(f"  90% intervals of {kind} cover {covered(rows, names)}")
    for name in spec.partial:
        own, apart = (np.concatenate([row[k][name] for row in rows]) for k in ("error", "apart"))
        root = [np.sqrt(np.mean(values**2)) for values in (own, apart)]
        print(f"  {name}: RMSE of groups {root[0]:.3g}, {root[1]:.3g} without pooling")
    known = pd.DataFrame(rows)
    for prefix, kind in (("", "pooled"), ("apart_", "without pooling")):
        facts = ["divergences", "r_hat", "ess", "seconds", "target_accept", "thin"]
        found = known[[prefix + name for name in facts]].set_axis(facts, axis=1)
        first = (found["thin"] == 1) & (found["target_accept"] < 0.99)
        print(
            f"  {kind}: no divergence in {(found['divergences'] == 0).mean():.0%}, R-hat <= 1.01 "
            f"in {(found['r_hat'] <= 1.01).mean():.0%}, kept at the first attempt in "
            f"{first.mean():.0%}; medians: {found['seconds'].median():.1f} s, "
            f"minimum ESS {found['ess'].median():.0f}"
        )
    compared = [row["compared"] for row in rows if "compared" in row]
    for kind in compared[0] if compared else ():
        found = pd.DataFrame([row[kind] for row in compared])
        print(
            f"  {kind}: {found['seconds'].median():.1f} s, "
            f"minimum ESS {found['ess'].median():.0f}, "
            f"{(found['ess'] / found['seconds']).median():.0f}/s, divergences in "
            f"{(found['divergences'] > 0).mean():.0%} of {len(found)} tables"
        )


def main() -> None:
    """Score the tables that the results lack and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--law", choices=list(STUDIES), default="chinchilla")
    parser.add_argument("--groups", type=int, help="by default 6, 5 or 4, as the law has it")
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--compared", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore", RunsWarning)
    study = STUDIES[options.law]
    study = replace(study, groups=options.groups or study.groups)
    key = {"law": options.law, "groups": study.groups}
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    rows = [row for row in map(json.loads, lines) if key.items() <= row.items()]
    for table in sorted(set(range(options.tables)) - {row["table"] for row in rows}):
        row = {**key, **score(study, table)}
        row |= {"compared": compare(study, table)} if table < options.compared else {}
        rows.append(row)
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    report(rows, study.spec)


if __name__ == "__main__":
    main()
