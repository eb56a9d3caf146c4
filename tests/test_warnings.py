"""Warnings point to the line of the caller's program, however deep in the package they arise."""

import inspect
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_mixtures, simulated_recipes, simulated_table

import bayescale as bs
from bayescale.progress import step

TABLE = simulated_table()
HIGH = TABLE.assign(loss=TABLE["loss"].where(TABLE.index != 7, 9.0))
SWEEP = pd.DataFrame(
    {
        "params": 1e8,
        "tokens": 2e9,
        "learning_rate": [0.001, 0.002, 0.004, 0.008],
        "loss": [3.2, 3.1, 3.15, np.nan],
    }
)
TASKS = pd.DataFrame(
    {
        "run": list("abcdef"),
        "params": np.geomspace(1e8, 1e9, 6),
        "tokens": np.geomspace(2e9, 2e10, 6),
        "piqa": np.linspace(0.6, 0.7, 6),
        "arc": np.linspace(0.3, 0.4, 6),
    }
)
STEPS = pd.DataFrame(
    {
        "params": 1e8,
        "batch_tokens": 2.0 ** np.arange(17, 23),
        "steps": [16_000, 9_000, 5_400, 3_600, 2_800, np.nan],
    }
)
RUNS = [
    SimpleNamespace(
        name=f"run-{row.Index}",
        state="finished",
        config={"N": row.params, "D": row.tokens},
        summary={"val_loss": row.loss},
    )
    for row in TABLE.itertuples()
]
MIXTURES = simulated_mixtures()
PERCENT = MIXTURES.assign(**{name: 100 * MIXTURES[name] for name in MIXTURES if name[:2] == "w_"})
RECIPES = simulated_recipes()
RECIPES = RECIPES.assign(loss=RECIPES["loss"].where(RECIPES.index != 0))
FARSEER = {
    **{"a1": -0.1243, "c1": 0.12319, "a2": 88.0147, "b2": -6.28657, "c2": -0.099516},
    **{"a3": -0.020988, "b3": -0.0905, "c3": 0.1695, "sigma": 0.005, "nu": 10.0},
}
SOME_WITHOUT_A_BEST_SIZE = bs.constants_fit(
    "farseer",
    b1=np.append(np.full(19, 0.4235), -20.0),
    **{name: np.full(20, value) for name, value in FARSEER.items()},
)

ASKED = {
    "read_runs": lambda: bs.read_runs(HIGH),
    "from_wandb": lambda: bs.from_wandb(RUNS),
    "read_sweep": lambda: bs.read_sweep(SWEEP, "learning_rate"),
    "read_tasks": lambda: bs.read_tasks(TASKS, tasks=["piqa", "arc"], chance={"piqa": 0.5}),
    "read_steps": lambda: bs.read_steps(STEPS),
    "read_mixtures": lambda: bs.read_mixtures(PERCENT),
    "read_recipes": lambda: bs.read_recipes(RECIPES, by="optimizer"),
    "compute_optimal": lambda: bs.compute_optimal(SOME_WITHOUT_A_BEST_SIZE, [1e20]),
    "a step": lambda: step("a step")(bs.compute_optimal)(SOME_WITHOUT_A_BEST_SIZE, [1e20]),
}


@pytest.mark.parametrize("name", ASKED)
def test_public_functions_warn_at_the_line_that_called_them(name):
    ask = ASKED[name]
    with pytest.warns(bs.RunsWarning) as said:
        ask()
    assert {(own.filename, own.lineno) for own in said} == {
        (__file__, inspect.getsourcelines(ask)[1])
    }
