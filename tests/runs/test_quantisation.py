"""Tables of what quantisation adds to losses."""

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_formats

import bayescale as bs
from bayescale.errors import RunsError, RunsWarning
from bayescale.runs.design import require_identifiable

TABLE = pd.DataFrame(
    {
        "model": ["a", "a", "a", "a", "b"],
        "params": 7e9,
        "tokens": 2e12,
        "format": ["f16", "q8", "q4", "q4x", "q4"],
        "calibrated": [False, False, False, True, False],
        "bits_per_weight": [16.0, 8.5, 4.5, 4.5, 4.5],
        "loss_increase": [0.0, 2e-4, 0.05, 0.03, 0.02],
    }
)


def test_the_row_of_the_model_as_it_was_trained_is_the_zero_and_no_data():
    with pytest.warns(RunsWarning, match="row 1: nothing is added; they are the zero"):
        runs = bs.read_quantised(TABLE)
    assert runs.table["bits_per_weight"].tolist() == [8.5, 4.5, 4.5, 4.5]
    assert "1 dropped that add nothing to the loss" in runs.ledger


def test_what_adds_less_than_nothing_is_left_out_and_said_to_bias():
    table = TABLE.assign(loss_increase=[0.1, -1e-4, 0.05, 0.03, np.nan])
    with pytest.warns(RunsWarning) as said:
        runs = bs.read_quantised(table)
    texts = " ".join(str(own.message) for own in said)
    assert "row 2: less than nothing is added" in texts
    assert "were lucky upwards" in texts
    assert "row 5: there is no loss_increase" in texts
    assert len(runs) == 3


def test_models_and_methods_together_name_the_groups():
    runs = bs.read_quantised(TABLE.iloc[1:], by=["model", "calibrated"])
    names = ["a, no calibrated", "a, no calibrated", "a, calibrated", "b, no calibrated"]
    assert runs.table["model"].tolist() == names


def test_formats_of_equal_bits_are_no_seeds():
    runs = bs.read_quantised(TABLE.iloc[1:])
    assert {"format", "calibrated"} <= set(runs.settings)


@pytest.mark.parametrize(
    ("params", "tokens", "doubted"),
    [
        ([7e9, 7e9], [2e12, 2e12], "one number of params"),
        ([7e9, 14e9], [2e12, 4e12], "collinear design"),
    ],
)
def test_bits_can_be_learned_of_one_model_and_of_proportional_ones(params, tokens, doubted):
    table = simulated_formats().iloc[::3]
    late = (table["model"] == "late").astype(int)
    table = table.assign(params=np.take(params, late), tokens=np.take(tokens, late))
    spec = bs.load_model("precision")
    doubts = require_identifiable(
        bs.read_quantised(table), spec.designed, len(spec.priors), held=spec.may_hold
    )
    assert doubted in {own.name for own in doubts}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (TABLE.drop(columns="loss_increase"), "log(perplexity / perplexity of the model"),
        (TABLE.iloc[:1], "no row has a loss_increase above 0"),
        (TABLE.iloc[1:].drop(columns="bits_per_weight"), "bits_per_weight"),
    ],
)
def test_tables_that_are_refused(table, said):
    with pytest.raises(RunsError) as refused:
        bs.read_quantised(table)
    assert said in str(refused.value)


def test_a_group_column_that_is_not_there_is_refused():
    with pytest.raises(RunsError, match=r"no column 'modle' to tell .*did you mean 'model'"):
        bs.read_quantised(TABLE.iloc[1:], by="modle")


def test_a_table_without_names_of_models_is_told_to_name_them_by_size():
    table = TABLE.iloc[1:].drop(columns="model")
    with pytest.raises(RunsError, match="--by params"):
        bs.read_quantised(table)
    assert {*bs.read_quantised(table, by="params").table["model"]} == {"7.00B"}


def test_sizes_that_look_alike_are_written_whole():
    sizes = np.where(np.arange(len(TABLE) - 1) % 2, 8e9, 8.0001e9)
    found = bs.read_quantised(TABLE.iloc[1:].assign(params=sizes), by="params").table["model"]
    assert {*found} == {"8000000000.0", "8000100000.0"}
