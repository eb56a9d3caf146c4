"""A joint law is fitted to the floors of a sweep where --sweep names what was swept."""

import numpy as np
import pandas as pd
import pytest

from bayescale import load_fit

RATES = 0.001 * 2.0 ** np.arange(6)


@pytest.fixture
def swept(tmp_path):
    rng = np.random.default_rng(1)
    rows = [(n, d, x) for n in (1e8, 2e8, 4e8) for d in (2e9, 8e9, 32e9) for x in RATES]
    table = pd.DataFrame(rows, columns=["params", "tokens", "lr"])
    u = np.log(table["lr"] / 0.005)
    floor = 1.8 + 400 * table["params"] ** -0.34 + 1500 * table["tokens"] ** -0.36
    noise = 0.001 * rng.standard_normal(len(table))
    table["loss"] = floor * np.exp(0.02 * u**2 + noise)
    table.loc[3, "loss"] = np.nan
    table.to_csv(tmp_path / "sweep.csv", index=False)
    return table


def test_what_has_no_floors_is_refused_before_the_long_work(run, swept):
    code, _, err = run("fit", "sweep.csv", "--sweep", "lr", "--model", "tuning")
    assert (code, "not to tuning" in err, "bayescale tune FILE --knobs lr" in err) == (
        2,
        True,
        True,
    )
    code, _, err = run("fit", "sweep.csv", "--sweep", "warmup")
    assert (code, "no column 'warmup'" in err) == (2, True)
    code, _, err = run("fit", "sweep.csv", "--sweep", "tokens")
    assert (code, "each cell has one tokens only" in err) == (2, True)


@pytest.mark.slow
def test_floors_take_the_place_of_the_runs(run, swept):
    swept.to_csv("sweep.csv", index=False)
    line = ("fit", "sweep.csv", "--sweep", "learning_rate", "--model", "chinchilla-normal")
    code, out, err = run(*line, "--allow-unconverged")
    assert (code, "few runs" in err) == (0, True)
    runs = load_fit("fit.nc").runs
    assert len(runs) == 9
    assert "9 floors of cells in place of 54 runs" in runs.ledger[-1]
    truth = 1.8 + 400 * runs.table["params"] ** -0.34 + 1500 * runs.table["tokens"] ** -0.36
    off = np.log(runs.table["loss"] / truth)
    assert np.abs(off).max() < 0.003
    assert runs.table["log_loss_sd"].between(1e-4, 2e-3).all()
    assert "alpha" in out
