"""Do the groups of published sweeps share their exponents? Compared by PSIS-LOO.

Fits `chinchilla-hierarchical` (every group its own exponents, partially pooled) and
`chinchilla-shared-exponents` to each sweep and compares them by expected log predictive density
(PSIS-LOO). Positive differences favour exponents that vary.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/exponents.py
"""

import warnings

import arviz as az
import numpy as np
import pandas as pd

from bayescale import Fit, Runs, arviz_tree, fit, load_dataset, load_model, parse_model, read_runs

VARYING, SHARED = "chinchilla-hierarchical", "chinchilla-shared-exponents"
ORIGINAL = 'group = "family"'
SMALL = 1e9  # tokens: with fewer, warm-up and short schedules dominate the loss


def sweeps() -> dict[str, tuple[str, Runs]]:
    """Column of the groups and runs, by the name of the sweep."""
    architectures = read_runs(
        load_dataset("architectures"),
        where="context_length == 16384 and finished and not outlier_upstream",
    )
    overtrained = load_dataset("overtrained")
    minisweep = read_runs(
        load_dataset("minisweep"),
        {"params": "params_matmul"},
        units={"params": 1},
        where="not budget.str.startswith('rep')",
    )
    return {
        "architectures, context 16384": ("family", architectures),
        "overtrained, all": ("dataset", read_runs(overtrained)),
        f"overtrained, tokens >= {SMALL:g}": (
            "dataset",
            read_runs(overtrained, where=f"tokens >= {SMALL}"),
        ),
        "minisweep": ("family", minisweep),
    }


def fitted(runs: Runs, model: str, group: str) -> Fit:
    """Fit a shipped model with another column of groups."""
    source = load_model(model).source
    assert ORIGINAL in source, f"the group of {model} has changed: change ORIGINAL too"
    spec = parse_model(source.replace(ORIGINAL, f'group = "{group}"'), model)
    return fit(runs, spec, progress=False)


def compare(group: str, runs: Runs) -> dict[str, object]:
    """Elpd of varying exponents less that of shared ones, and how far the exponents differ."""
    fits = {model: fitted(runs, model, group) for model in (VARYING, SHARED)}
    trees = {model: arviz_tree(one) for model, one in fits.items()}
    elpds = {
        model: az.loo(tree, var_name="log_loss", pointwise=True) for model, tree in trees.items()
    }
    apart = (elpds[VARYING].elpd_i - elpds[SHARED].elpd_i).to_numpy().ravel()
    posterior = fits[VARYING].posterior
    spread = {n: posterior[f"{n}_scale"].median().item() for n in ("alpha", "beta")}
    bad = {model: int((elpd.pareto_k > 0.7).sum()) for model, elpd in elpds.items()}
    return {
        "runs": len(runs),
        "groups": len(fits[VARYING].groups),
        "elpd difference": round(float(apart.sum()), 1),
        "se": round(float(np.sqrt(len(apart)) * apart.std()), 1),
        "Pareto k > 0.7": f"{bad[VARYING]}, {bad[SHARED]}",
        "sd of log alpha": round(spread["alpha"], 3),
        "sd of log beta": round(spread["beta"], 3),
        "problems": "; ".join(p for one in fits.values() for p in one.diagnostics.problems)
        or "none",
        "seconds": round(sum(one.diagnostics.seconds_sample for one in fits.values())),
    }


def main() -> None:
    """Print the table, a sweep at a time."""
    warnings.simplefilter("ignore")
    rows = {}
    for name, (group, runs) in sweeps().items():
        rows[name] = compare(group, runs)
        print(pd.DataFrame({name: rows[name]}).to_string(), flush=True)
    print(pd.DataFrame(rows).T.to_string())


if __name__ == "__main__":
    main()
