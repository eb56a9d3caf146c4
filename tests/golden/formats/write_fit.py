"""Write a small fit by the version of bayescale in a folder: python write_fit.py FOLDER FILE."""

import sys

import numpy as np
import pandas as pd


def table() -> pd.DataFrame:
    """Nine runs on three budgets, with a column that no law reads."""
    flops, size = np.meshgrid([1e19, 1e20, 1e21], [0.5, 1.0, 2.0])
    params = (np.sqrt(flops / 120) * size).ravel()
    tokens = flops.ravel() / (6 * params)
    loss = 1.7 + 400 * params**-0.34 + 1200 * tokens**-0.34
    loss *= np.exp(0.004 * np.random.default_rng(0).standard_normal(9))
    counts = {"params": params.round(), "tokens": tokens.round()}
    return pd.DataFrame({**counts, "loss": loss.round(4), "optimizer": "adam"})


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])  # before the import, which is of that version
    import bayescale as bs

    made = bs.fit(bs.read_runs(table()), "chinchilla", draws=20, tune=150, chains=2, progress=False)
    made.save(sys.argv[2])
    print({name: float(made.posterior[name].median()) for name in ("E", "alpha")})
