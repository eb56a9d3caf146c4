"""Rows and columns that look wrong are named, and only they."""

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.errors import RunsWarning
from bayescale.runs.table import read_runs


def doubts(table, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return {notice.name: notice for notice in read_runs(table, **options).notices}


def test_losses_of_thousandths_are_doubted_unless_their_unit_is_stated():
    table = simulated_table().assign(loss=lambda t: t.loss / 1000)
    found = doubts(table)["thousandths?"]
    assert "--unit loss=1000" in found.advice
    assert "thousandths?" not in doubts(table, units={"loss": 1000})
    assert "thousandths?" not in doubts(table, units={"loss": 1})
    assert "thousandths?" not in doubts(simulated_table())


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@pytest.mark.parametrize("name", ["params", "tokens"])
def test_the_one_count_far_from_the_others_is_named(name, factor):
    table = simulated_table()
    table = table.assign(**{name: table[name].where(table.index != 7, 1e10 * factor**0.8)})
    assert doubts(table)["other units?"].rows == (7,)


def test_rows_of_exchanged_counts_are_named():
    sizes, data = 1e8 * 2.0 ** np.arange(8), 2e9 * 1.7 ** np.arange(8)
    table = pd.DataFrame({"params": sizes, "tokens": data, "loss": 3.5 - 0.1 * np.arange(8)})
    assert "exchanged counts?" not in doubts(table)
    wrong = [2, 5]
    table.loc[wrong, ["params", "tokens"]] = table.loc[wrong, ["tokens", "params"]].to_numpy()
    found = doubts(table)["exchanged counts?"]
    assert found.rows == (2, 5)
    assert "exchanged counts?" not in doubts(table, where="index not in [2, 5]")


def test_overtrained_runs_are_not_exchanged_ones():
    table = simulated_table()
    over = table.assign(tokens=np.where(table.index > 25, 2000.0, 20.0) * table.params)
    assert "exchanged counts?" not in doubts(over)
    wide = table.assign(tokens=table.params * np.geomspace(1.4, 3e4, 30))
    wide.loc[0, "tokens"] = 0.05 * wide.loc[0, "params"]
    assert "exchanged counts?" not in doubts(wide)
    assert "exchanged counts?" not in doubts(table)
