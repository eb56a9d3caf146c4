"""Which columns say how a run was made."""

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.runs.settings import is_categorical, settings

SETTING = {
    "text": ["gpt2", "llama3"] * 15,
    "bools": [True, False, True] * 10,
    "few whole numbers": [2, 4, 8] * 10,
    "few numbers": [1e-4, 3e-4, 1e-3] * 10,
    "text with gaps": ["muon", None, "adam"] * 10,
}


@pytest.mark.parametrize("kind", SETTING)
def test_few_values_that_runs_share_are_a_setting(kind):
    table = simulated_table().assign(option=SETTING[kind])
    assert settings(table) == ("option",)
    for name in ("seed", "data_seed", "runId", "val/loss", "loss_c4", "is_final_checkpoint"):
        assert settings(table.rename(columns={"option": name})) == ()
    for name in ("weight_decay", "optimizerName", "config.lr"):
        assert settings(table.rename(columns={"option": name})) == (name,)


@pytest.mark.parametrize(
    "values",
    [
        range(30),
        [f"note {row}" for row in range(30)],
        np.random.default_rng(1).uniform(size=30),
        ["2026-01-02", "2026-01-03 08:00"] * 15,
        pd.to_datetime(["2026-01-02", "2026-01-03"] * 15),
        [[1, 2], [1, 3]] * 15,
        [None] * 22 + list(range(8)),
    ],
)
def test_values_of_single_runs_and_dates_are_none(values):
    assert settings(simulated_table().assign(option=list(values))) == ()


def test_numbers_written_as_text_are_numbers():
    assert not is_categorical(pd.Series(["1e-3", "3e-4", None]))
    assert is_categorical(pd.Series(["1e-3", "auto"]))
    assert is_categorical(pd.Series([True, False]))
