"""A task whose answers are twice as long has twice the amplitudes, and the same exponents."""

import numpy as np
import pandas as pd
import pytest

from bayescale import fit
from bayescale.laws import task_accuracy

TRUTH = {"A": 40.0, "B": 60.0, "alpha": 0.25, "beta": 0.2, "luck": 1e-9}
ITEMS = 200_000


def table(length):
    """Runs whose answers have so many tokens, of a task that cannot be guessed."""
    runs = [(n, n * ratio) for n in (1e8, 3e8, 1e9, 3e9) for ratio in (5.0, 40.0, 300.0)]
    params, tokens = np.array(runs).T
    right = task_accuracy(params, tokens, 0.0, **TRUTH) ** length
    counts = np.random.default_rng(length).binomial(ITEMS, right)
    columns = {"params": params, "tokens": tokens, "accuracy": counts / ITEMS}
    return pd.DataFrame(columns).assign(
        run=[f"run{i}" for i in range(len(runs))], task="one", chance=0.0, trials=ITEMS
    )


@pytest.mark.slow
def test_doubling_the_length_doubles_both_amplitudes_of_the_posterior():
    one, two = (fit(table(n), "task-accuracy", seed=2, progress=False) for n in (1, 2))
    for own in (one, two):
        assert own.diagnostics.converged

    def at_reference(own):
        level, split = np.exp(own.posterior["level"]), own.posterior["split"]
        return level * split, level * (1 - split)

    for once, twice in zip(at_reference(one), at_reference(two), strict=True):
        assert float(twice.median() / once.median()) == pytest.approx(2.0, rel=0.1)
    for name in ("alpha", "beta"):
        once, twice = (own.posterior[name] for own in (one, two))
        error = float(np.hypot(once.std(), twice.std()))
        assert float(twice.median() - once.median()) == pytest.approx(0.0, abs=2 * error)
        assert error < 0.1 * TRUTH[name]
