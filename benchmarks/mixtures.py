"""Predictions of mixtures and of larger models by the laws of mixtures, on published tables.

    python benchmarks/mixtures.py WHAT TABLE --out FILE [--draws 400] [--chains 2] [--keep FIT]
    python benchmarks/mixtures.py simulate --out FILE [--tables 50] [--bent]

WHAT is one of `regmix`, `slimpajama`, `pile5`. A line of JSON is added to the file: R2, mean
relative error and coverage of 90% intervals of rows that were held out, by target and in the mean.
`ranks` sets what a kept fit of the 512 runs of 1M says of 256 mixtures at 60M beside LightGBM,
which has to be installed with scikit-learn. Of `pile5`, runs count at the end of their schedule,
as in the package; its other checkpoints come in with `--mid-schedule keep`. `simulate` fits tables
of runs of a known law, 30 mixtures of 6 corpora at 4 sizes with 2 targets: coverage of the losses
of new mixtures at a fourfold size, and the regret of the mixture that is recommended there. With
`--bent` losses leave the law smoothly along size and tokens, as far as the models let them. A table
that the file has is not fitted again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

import bayescale as bs
from bayescale.posterior import fitting
from bayescale.posterior.prediction import predict, residuals, run_inputs
from bayescale.runs.mixtures import as_mixtures

HELD_OUT = {
    "regmix": (
        "scale == '1M' and upstream_set == 'train'",
        "scale == '1M' and upstream_set == 'test'",
    ),
    "slimpajama": ("params < 7e8", "params == 937e6"),
    "pile5": ("scale in ('70M', '160M')", "scale == '305M'"),
}


def table_of(name: str, path: str) -> pd.DataFrame:
    """Read a published table; N of some is counted without embeddings."""
    table = pd.read_csv(path)
    if "params" not in table or name == "pile5":
        table["params"] = table["params_non_embedding"]
    if name == "pile5":
        table["finished"] = table["step"] >= table["trained_to"]
    return table


def scores(fit: bs.Fit, runs: bs.Runs) -> pd.DataFrame:
    """Score predictions by target."""
    rows = residuals(fit, runs)
    found = {}
    for target, own in rows.groupby("target"):
        left = ((own["loss"] - own["fitted"]) ** 2).sum()
        found[target] = {
            "R2": 1 - left / ((own["loss"] - own["loss"].mean()) ** 2).sum(),
            "error": np.abs(own["fitted"] / own["loss"] - 1).mean(),
            "coverage": own["loss"].between(own["predicted_q05"], own["predicted_q95"]).mean(),
        }
    return pd.DataFrame(found).T


def ranks(fit: bs.Fit, table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Rank mixtures at 60M by the fit at 1M, and by LightGBM: Spearman by target."""
    import lightgbm
    from scipy.stats import spearmanr

    large = table.query("scale == '60M'")
    train = table.query(HELD_OUT["regmix"][0])
    weights = [name for name in table if name.startswith("w_")]
    runs = as_mixtures(large)
    said = predict(fit, run_inputs(fit, runs)).median(("chain", "draw")).to_numpy()
    found = {}
    for target, own in runs.table.assign(said=said).groupby("target"):
        model = lightgbm.LGBMRegressor(verbose=-1, random_state=1)
        model.fit(train[weights], train[f"loss_{target}"])
        by_trees = model.predict(large[weights])
        found[str(target)] = {
            "law": float(spearmanr(own["said"], own["loss"]).statistic),
            "lightgbm": float(spearmanr(by_trees, large[f"loss_{target}"]).statistic),
        }
    return found


PARTS = ("web", "code", "books", "papers", "forums", "wiki")
TARGETS = ("code", "web")
SIZES = (6e7, 1.2e8, 2.5e8, 5e8)


def known_targets(rng: np.random.Generator) -> dict[str, dict[str, np.ndarray | float]]:
    """Draw the law of each target, in its own parameters."""
    law, mean = bs.load_model("mixture-joint").law, np.full(len(PARTS), 1 / len(PARTS))
    found = {}
    for target in TARGETS:
        own = np.array([part == target for part in PARTS])
        sampled = {
            "level": np.log(rng.uniform(2.2, 3.2)),
            "reducible": rng.uniform(0.3, 0.5),
            "composed": rng.uniform(0.1, 0.4),
            "split": rng.uniform(0.4, 0.6),
            **{name: 0.33 * np.exp(rng.normal(0, 0.15)) for name in ("alpha", "beta")},
            **{"k": 1.0, "gamma": 0.6 * np.exp(rng.normal(0, 0.2))},
            "worth": rng.normal(0, 0.7, len(PARTS)) + 1.5 * own,
            **{name: rng.normal(0, 0.2, len(PARTS)) for name in ("t_params", "t_tokens")},
        }
        found[target] = law.to_natural(sampled, (2e8, 4e9, mean))
    return found


def tokens_of(params: np.ndarray) -> np.ndarray:
    """Train for 10, 20 and 40 tokens per parameter in turn."""
    return params * np.resize((20, 10, 40), len(params))


def known_bend(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a smooth factor for each target: sd .10 of log loss, length 2 decades, as in the models.

    By random Fourier features of the squared exponential kernel (Rahimi and Recht 2007).
    """
    waves, shape = 200, (len(TARGETS), 200)
    return {
        "slopes": rng.normal(0, 1 / 2.0, (*shape, 2)),
        "phases": rng.uniform(0, 2 * np.pi, shape),
        "heights": np.full(shape, 0.10 * np.sqrt(2 / waves)),
    }


def known_losses(
    laws: dict, params: np.ndarray, shares: np.ndarray, bend: dict | None = None
) -> np.ndarray:
    """Losses without noise, shape (runs, targets)."""
    law = bs.load_model("mixture-joint").law
    found = []
    for own in laws.values():
        natural = {n: np.expand_dims(v, -1) if np.ndim(v) else v for n, v in own.items()}
        found.append(law(params, tokens_of(params), shares.T, **natural))
    losses = np.stack(found, axis=-1)
    if bend:
        at = np.log10(np.stack([params / 2e8, tokens_of(params) / 4e9], axis=-1))
        turns = np.einsum("na,twa->ntw", at, bend["slopes"]) + bend["phases"]
        losses = losses * np.exp((bend["heights"] * np.cos(turns)).sum(axis=-1))
    return losses


def simulated(
    laws: dict, params: np.ndarray, shares: np.ndarray, rng: Any, bend: dict | None
) -> pd.DataFrame:
    """Make a table of runs: errors of .3% each, and of .2% that the losses of a run share."""
    noise = rng.normal(0, 0.002, (len(params), 1)) + rng.normal(0, 0.003, (len(params), 2))
    losses = known_losses(laws, params, shares, bend) * np.exp(noise)
    columns = {f"loss_{t}": losses[:, i] for i, t in enumerate(TARGETS)}
    columns |= {f"w_{part}": shares[:, i] for i, part in enumerate(PARTS)}
    runs = [f"r{number}" for number in range(len(params))]
    return pd.DataFrame({"run": runs, "params": params, "tokens": tokens_of(params), **columns})


def simulate(seed: int, draws: int, bent: bool) -> dict[str, float]:
    """Fit one simulated table, predict a fourfold size, and choose a mixture there."""
    rng = np.random.default_rng(seed)
    laws, tried = known_targets(rng), rng.dirichlet(np.full(len(PARTS), 1.5), 30)
    bend = known_bend(np.random.default_rng([seed, 1])) if bent else None
    table = simulated(laws, np.repeat(SIZES, 30), np.tile(tried, (len(SIZES), 1)), rng, bend)
    began = time.process_time()
    fit = bs.fit(
        as_mixtures(table), "mixture-joint-hierarchical", draws=draws, tune=draws, chains=2, seed=1
    )
    seconds = time.process_time() - began
    new = rng.dirichlet(np.full(len(PARTS), 1.5), 20)
    held = simulated(laws, np.full(20, 4 * SIZES[-1]), new, rng, bend).assign(
        run=[f"h{number}" for number in range(20)]
    )
    by_target = scores(fit, as_mixtures(held))
    size = 4 * SIZES[-1]
    found = bs.best_mixture(fit, bs.MixturePlan(params=size, tokens=20 * size))
    order = [found.parts.index(part) for part in PARTS]

    def objective(shares: np.ndarray) -> float:
        return float(known_losses(laws, np.array([size]), shares[None], bend).mean())

    low, high = found.low[order], found.high[order]
    chosen = found.recommended[order]
    best = minimize(
        objective,
        chosen,
        method="SLSQP",
        bounds=list(zip(low, high, strict=True)),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
        options={"ftol": 1e-10, "maxiter": 300},
    )
    return {
        "seed": seed,
        "bent": bent,
        "regret": objective(chosen) - min(best.fun, objective(chosen)),
        "default_regret": objective(tried.mean(axis=0)) - best.fun,
        "coverage": float(by_target["coverage"].mean()),
        "error": float(by_target["error"].mean()),
        "r_hat": fit.diagnostics.max_r_hat,
        "seconds": round(seconds, 1),
    }


def simulate_all(path: str, tables: int, draws: int, bent: bool) -> None:
    """Fit tables that the file lacks, and say the means."""
    file = Path(path)
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for seed in range(tables):
        if (seed, bent) not in {(own["seed"], own["bent"]) for own in done}:
            done.append(simulate(seed, draws, bent))
            with file.open("a") as handle:
                handle.write(json.dumps(done[-1]) + "\n")
    print(pd.DataFrame(done).groupby("bent").mean().drop(columns="seed").round(4).to_string())


def main() -> None:
    """Fit one table, or rank by a fit that is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*HELD_OUT, "ranks", "simulate"))
    parser.add_argument("table", nargs="?", default="")
    parser.add_argument("--out", required=True)
    parser.add_argument("--keep", default="", help="where the fit is saved, or lies")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="of the targets")
    parser.add_argument("--mid-schedule", choices=("exclude", "keep"), default="exclude")
    parser.add_argument("--accept", type=float, default=0.85)
    parser.add_argument("--tables", type=int, default=50)
    parser.add_argument("--bent", action="store_true")
    given = parser.parse_args()
    # One attempt, whatever its R-hat: it is said.
    fitting.WHITENED_ATTEMPTS = ({"adaptation": "diag", "target_accept": given.accept},)
    if given.what == "simulate":
        simulate_all(given.out, given.tables, given.draws, given.bent)
        return
    if given.what == "ranks":
        found = ranks(bs.load_fit(given.keep), table_of("regmix", given.table))
        mean = pd.DataFrame(found).T.mean().to_dict()
        with open(given.out, "a") as file:
            file.write(json.dumps({"what": "ranks", "mean": mean, "targets": found}) + "\n")
        return
    table, (seen, held) = table_of(given.what, given.table), HELD_OUT[given.what]
    losses = [name for name in table if name.startswith("loss_")]
    table = table.drop(columns=[n for i, n in enumerate(losses) if i % given.every])
    one_scale = given.what == "regmix"

    def read(where: str) -> bs.Runs:
        rows = table.query(where)
        if "finished" in rows and given.mid_schedule == "exclude":
            rows = rows[rows["finished"]]
        return as_mixtures(rows.drop(columns="finished", errors="ignore"), one_scale=one_scale)

    runs = read(seen)
    began = time.process_time(), time.perf_counter()
    model = "mixture-hierarchical" if one_scale else "mixture-joint-hierarchical"
    fit = bs.fit(runs, model, draws=given.draws, tune=given.draws, chains=given.chains, seed=1)
    if given.keep:
        fit.save(given.keep)
    by_target = scores(fit, read(held))
    line = {
        "what": given.what,
        "mid_schedule": given.mid_schedule,
        "processor_seconds": round(time.process_time() - began[0]),
        "seconds": round(time.perf_counter() - began[1]),
        "r_hat": fit.diagnostics.max_r_hat,
        "ess": fit.diagnostics.min_ess_bulk,
        "divergences": fit.diagnostics.divergences,
        "mean": by_target.mean().round(4).to_dict(),
        "targets": by_target.round(4).T.to_dict(),
    }
    with open(given.out, "a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
