"""Predictions of mixtures and of larger models by the laws of mixtures, on published tables.

    python benchmarks/mixtures.py WHAT TABLE --out FILE [--draws 400] [--chains 2] [--keep FIT]

WHAT is one of `regmix`, `slimpajama`, `pile5`. A line of JSON is added to the file: R2, mean
relative error and coverage of 90% intervals of rows that were held out, by target and in the mean.
`ranks` sets what a kept fit of the 512 runs of 1M says of 256 mixtures at 60M beside LightGBM,
which has to be installed.
"""

import argparse
import json
import time

import numpy as np
import pandas as pd

import bayescale as bs
from bayescale.posterior import fit as fitting
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


def main() -> None:
    """Fit one table, or rank by a fit that is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*HELD_OUT, "ranks"))
    parser.add_argument("table")
    parser.add_argument("--out", required=True)
    parser.add_argument("--keep", default="", help="where the fit is saved, or lies")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="of the targets")
    parser.add_argument("--accept", type=float, default=0.85)
    given = parser.parse_args()
    if given.what == "ranks":
        found = ranks(bs.load_fit(given.keep), table_of("regmix", given.table))
        mean = pd.DataFrame(found).T.mean().to_dict()
        with open(given.out, "a") as file:
            file.write(json.dumps({"what": "ranks", "mean": mean, "targets": found}) + "\n")
        return
    table, (seen, held) = table_of(given.what, given.table), HELD_OUT[given.what]
    losses = [name for name in table if name.startswith("loss_")]
    table = table.drop(columns=[n for i, n in enumerate(losses) if i % given.every])
    # One attempt, whatever its R-hat: it is said.
    fitting.WHITENED_ATTEMPTS = ({"adaptation": "diag", "target_accept": given.accept},)
    one_scale = given.what == "regmix"
    runs = as_mixtures(table.query(seen), one_scale=one_scale)
    began = time.process_time(), time.perf_counter()
    model = "mixture-hierarchical" if one_scale else "mixture-joint-hierarchical"
    fit = bs.fit(runs, model, draws=given.draws, tune=given.draws, chains=given.chains, seed=1)
    if given.keep:
        fit.save(given.keep)
    by_target = scores(fit, as_mixtures(table.query(held), one_scale=one_scale))
    line = {
        "what": given.what,
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
