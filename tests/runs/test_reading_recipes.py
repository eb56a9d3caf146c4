"""Tables of recipes: the least of several losses, diverged runs, how many were tried."""

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.errors import RunsError, RunsWarning


def table(**more):
    own = {
        "optimizer": ["adamw", "adamw", "adamw", "muon", "muon"],
        "params": [1e8, 1e8, 4e8, 1e8, 4e8],
        "tokens": [2e9, 2e9, 8e9, 2e9, 8e9],
        "loss": [3.5, 3.4, 3.1, 3.3, 3.05],
    }
    return pd.DataFrame({**own, **more})


def test_the_best_of_each_cell_is_kept_and_its_rows_are_counted():
    runs = bs.read_recipes(table(), "optimizer")
    assert runs.table["loss"].tolist() == [3.4, 3.1, 3.3, 3.05]
    assert runs.table["n_runs"].tolist() == [2, 1, 1, 1]


def test_what_the_table_says_of_how_many_were_tried_counts():
    runs = bs.read_recipes(table(n_runs=[20, 20, 8, 33, 10]), "optimizer")
    assert runs.table["n_runs"].tolist() == [20, 8, 33, 10]


def test_the_least_of_two_losses_counts_only_where_both_are_named():
    two = table(recorded=[3.6, 3.6, 3.0, np.nan, 3.06])
    assert bs.read_recipes(two, "optimizer").table["loss"].tolist() == [3.4, 3.1, 3.3, 3.05]
    least = bs.read_recipes(two, "optimizer", least_of=["loss", "recorded"])
    assert least.table["loss"].tolist() == [3.4, 3.0, 3.3, 3.05]


def test_a_recorded_loss_saves_a_run_without_one():
    two = table(recorded=[3.6, 3.6, 3.0, 3.2, 3.06])
    two.loc[3, "loss"] = np.nan
    least = bs.read_recipes(two, "optimizer", least_of=["loss", "recorded"])
    assert least.table["loss"].tolist() == [3.4, 3.0, 3.2, 3.05]


@pytest.mark.parametrize("odd", ["loss", "diverged"])
def test_runs_that_diverged_are_left_out_and_named(odd):
    bad = table(diverged=[False] * 5)
    bad.loc[1, odd] = np.inf if odd == "loss" else True
    with pytest.warns(RunsWarning, match="diverged or have no finite loss: row 2"):
        runs = bs.read_recipes(bad, "optimizer")
    assert runs.table["loss"].tolist() == [3.5, 3.1, 3.3, 3.05]
    assert any(notice.name == "no loss" for notice in runs.notices)


def test_sizes_may_be_another_column():
    named = table().rename(columns={"params": "params_nonembedding"})
    runs = bs.read_recipes(named.assign(params=1.0), "optimizer", size="params_nonembedding")
    assert runs.table["params"].tolist() == [1e8, 4e8, 1e8, 4e8]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "optimiser"}, "lacks a column 'optimiser'; did you mean 'optimizer'"),
        ({"by": "optimizer", "size": "N"}, "lacks a column 'N'"),
        ({"by": "optimizer", "least_of": ["loss", "recorded"]}, "lacks a column 'recorded'"),
    ],
)
def test_columns_that_are_not_there(options, said):
    with pytest.raises(RunsError) as refused:
        bs.read_recipes(table(), **options)
    assert said in str(refused.value)


def test_a_table_without_any_loss_is_refused():
    with pytest.raises(RunsError, match="every run diverged"):
        bs.read_recipes(table(loss=np.nan), "optimizer")
