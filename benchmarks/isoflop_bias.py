"""Error of D* at 1e24 FLOPs by a parabola for each isoFLOP budget, and by our profiles.

IsoFLOP curves of a known law without noise: five budgets from 1e17 to 1e21 FLOPs, 15 sizes from
1/w to w times the best one on each (Czech et al. 2026, arXiv:2603.22339). The parabolas are least
squares on the exact losses. The profiles need some noise to be sampled: log losses have an sd of
1e-3, and what is printed are the averages over seeds of the median and of the 90% interval's ends.

    uv run python benchmarks/isoflop_bias.py [--seeds 3] [--noise 1e-3]
"""

import argparse
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from bayescale import (
    Fit,
    Runs,
    compute_optimal,
    constants_fit,
    fit,
    on_isoflops,
    parabola_bias,
    profile_optima,
)

LAW = {"E": 1.69, "A": 406.4, "B": 410.7}
EXPONENTS = {"0.34, 0.28": (0.34, 0.28), "0.465, 0.155 (ratio 3)": (0.465, 0.155)}
BUDGETS, POINTS, WIDTHS, ASKED = np.geomspace(1e17, 1e21, 5), 15, (2, 4, 8, 16), 1e24


def isoflops(law: Fit, width: float) -> Runs:
    """Exact losses of 15 sizes on each budget."""
    best = compute_optimal(law, list(BUDGETS))["params"].to_numpy().ravel()
    params = (best[:, None] * np.geomspace(1 / width, width, POINTS)).ravel()
    flops = np.repeat(BUDGETS, POINTS)
    tokens = flops / (6 * params)
    constants = {name: value.item() for name, value in law.natural.items()}
    table = pd.DataFrame(
        {
            "run": [f"run-{row + 1}" for row in range(len(params))],
            "params": params,
            "tokens": tokens,
            "flops": flops,
            "loss": law.spec.law.fresh(params, tokens, **constants),
        }
    )
    return on_isoflops(Runs(table.assign(budget=flops), "simulated"))


def profile_errors(law: Fit, runs: Runs, noise: float, seed: int) -> tuple[np.ndarray, bool]:
    """Relative error of D* by the profiles, quantiles 0.05, 0.5 and 0.95; whether it converged."""
    step = noise * np.random.default_rng(seed).standard_normal(len(runs))
    noisy = replace(runs, table=runs.table.assign(loss=runs.table["loss"] * np.exp(step)))
    fitted = fit(noisy, "isoflop-profiles", seed=seed, progress=False)
    truth = compute_optimal(law, ASKED)["tokens"].item()
    errors = profile_optima(fitted, ASKED, k=6.0)["tokens"] / truth - 1
    return errors.quantile([0.05, 0.5, 0.95]).to_numpy(), fitted.diagnostics.converged


def main() -> None:
    """Print the table, a row a grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=1e-3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"error of D* at {ASKED:g} FLOPs; noise {options.noise:g}, {options.seeds} seeds")
    print("alpha, beta             grid  parabolas  profiles: median [90%]     converged")
    for name, (alpha, beta) in EXPONENTS.items():
        law = constants_fit("chinchilla", **LAW, alpha=alpha, beta=beta)
        for width in WIDTHS:
            runs = isoflops(law, width)
            parabola = parabola_bias(law, ASKED, runs=runs)["tokens_error"].item()
            fits = [profile_errors(law, runs, options.noise, s + 1) for s in range(options.seeds)]
            low, middle, high = np.mean([errors for errors, _ in fits], axis=0)
            converged = sum(good for _, good in fits)
            print(
                f"{name:22} {width:4}x {parabola:10.2%} {middle:10.2%} [{low:.2%}, {high:.2%}]"
                f"  {converged}/{options.seeds}",
                flush=True,
            )


if __name__ == "__main__":
    main()
