"""Effective draws per second: our coordinates and sampler against a textbook model.

Textbook: HalfNormal exponents, uncentred log A and log B, Normal noise, ``pm.sample()`` with its
defaults. Compilation is left out on both sides; both run in this process, one after the other.

    BAYESCALE_DATA=FOLDER python benchmarks/sampling.py
"""

import time

import arviz as az
import numpy as np
import pymc as pm

from bayescale import Runs, fit, load_dataset, read_runs
from bayescale.fitting import Fit


def textbook(runs: Runs) -> pm.Model:
    """Build the joint law as a first course would write it."""
    params, tokens, loss = (runs.column(name) for name in ("params", "tokens", "loss"))
    with pm.Model() as model:
        E = pm.HalfNormal("E", 3)
        log_A = pm.Normal("log_A", 6, 3)
        log_B = pm.Normal("log_B", 6, 3)
        alpha = pm.HalfNormal("alpha", 1)
        beta = pm.HalfNormal("beta", 1)
        sigma = pm.HalfNormal("sigma", 0.1)
        law = E + np.exp(log_A) * params**-alpha + np.exp(log_B) * tokens**-beta
        pm.Normal("log_loss", np.log(law), sigma, observed=np.log(loss))
    return model


def textbook_rate(runs: Runs, seed: int) -> tuple[float, float]:
    """Return the minimum bulk ESS, and the seconds its sampler says it took."""
    with textbook(runs):
        tree = pm.sample(random_seed=seed, progressbar=False)
    ess = float(az.ess(tree, method="bulk").dataset.to_array().min())
    return ess, float(tree["posterior"].attrs["sampling_time"])


def our_rate(runs: Runs, seed: int) -> tuple[float, float, Fit]:
    """Return the minimum bulk ESS over the sampled coordinates, and the seconds of sampling."""
    fitted = fit(runs, extrapolate="plain", seed=seed, progress=False)
    coordinates = [*fitted.spec.priors, *fitted.noise]
    ess = float(az.ess(fitted.posterior[coordinates], method="bulk").to_array().min())
    return ess, fitted.diagnostics.seconds_sample, fitted


def main() -> None:
    """Print both rates and their ratio for three seeds."""
    runs = read_runs(load_dataset("chinchilla"), where="not outlier_epoch")
    start = time.perf_counter()
    our_rate(runs, 0)
    print(f"first fit, with compilation: {time.perf_counter() - start:.1f} s")
    ratios = []
    for seed in (1, 2, 3):
        theirs, their_seconds = textbook_rate(runs, seed)
        ours, our_seconds, _ = our_rate(runs, seed)
        ratios.append((ours / our_seconds) / (theirs / their_seconds))
        print(
            f"seed {seed}: textbook {theirs:.0f} in {their_seconds:.1f} s = "
            f"{theirs / their_seconds:.1f}/s; bayescale {ours:.0f} in {our_seconds:.2f} s = "
            f"{ours / our_seconds:.0f}/s; ratio {ratios[-1]:.0f}"
        )
    print(f"ratio of effective draws per second, median: {np.median(ratios):.0f}")


if __name__ == "__main__":
    main()
