"""Columns that the model does not read and that split the runs nevertheless."""

import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from conftest import known_grouped_fit, simulated_table

from bayescale import Fit, Status, check_fit, fit, load_model, read_runs
from bayescale.evaluation.checks.columns import _basis, _columns, _free, column_checks
from bayescale.evaluation.checks.refits import refits
from bayescale.runs.settings import settings

KINDS = np.random.default_rng(2).permutation(["gpt2", "llama3"] * 15)
RATES = np.random.default_rng(3).permutation(np.repeat([1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3], 6))


def asked(fitted: Fit, by: np.ndarray | float = 0.0, **columns):
    """Ask of the same posterior, of runs with more columns and losses that differ by them."""
    table = fitted.runs.table.assign(**columns)
    table["loss"] *= np.exp(by - np.mean(by))
    runs = replace(fitted.runs, table=table, settings=settings(table))
    tree = fitted.tree.copy()
    tree["observed_data"] = xr.Dataset({"log_loss": ("obs", np.log(table["loss"]))})
    changed = replace(fitted, runs=runs, tree=tree)
    return column_checks(changed, refits(changed))


def test_irrelevant_columns_pass_as_one(small_fit):
    [check] = asked(small_fit, tokenizer=KINDS, learning_rate=RATES, seed=KINDS)
    assert (check.name, check.status) == ("columns", Status.PASS)
    assert "between values of tokenizer, learning_rate (p = " in check.message
    assert asked(small_fit) == []


def test_column_that_splits_the_runs_is_named_with_its_size_and_remedy(small_fit):
    [check] = asked(small_fit, 0.12 * (KINDS == "llama3"), tokenizer=KINDS, learning_rate=RATES)
    assert (check.name, check.status) == ("column tokenizer", Status.FAIL)
    size = re.search(r"llama3 lies (.+)% above that of gpt2", check.message)
    assert float(size[1]) == pytest.approx(100 * (np.exp(0.12) - 1), abs=0.5)
    assert re.search(r"scatter about the law by 0\.\d+%, not 6%", check.message)
    assert "--model chinchilla-hierarchical --group tokenizer" in check.advice
    [_, where] = shlex.split(check.advice.split("one alone: ")[1].removesuffix("."))
    assert len(small_fit.runs.table.assign(tokenizer=KINDS).query(where)) == 15


def test_split_of_half_the_noise_is_no_failure(small_fit):
    for size, status in ((0.015, (Status.REVIEW, Status.FAIL)), (0.001, (Status.PASS,))):
        [check] = asked(small_fit, size * (KINDS == "llama3"), tokenizer=KINDS)
        assert check.status in status


def test_columns_that_go_together_are_one_finding(small_fit):
    corpus = np.where(KINDS == "gpt2", "pile", "c4")
    by = 0.12 * (KINDS == "llama3")
    [check] = asked(small_fit, by, tokenizer=KINDS, corpus=corpus, learning_rate=RATES)
    assert re.search(r"\(or of (corpus|tokenizer): these runs do not tell them apart\)", str(check))
    both = by + 0.05 * np.log(RATES / 1e-4)
    found = asked(small_fit, both, tokenizer=KINDS, learning_rate=RATES)
    assert [check.name for check in found] == ["column tokenizer", "column learning_rate"]


def test_trend_along_numbers_is_named(small_fit):
    [check] = asked(small_fit, -0.02 * np.log(RATES / 1e-4), learning_rate=RATES)
    assert check.name == "column learning_rate"
    assert "loss at the largest learning_rate (0.00160) lies" in check.message
    assert "below that at the smallest (0.000100)" in check.message


def test_outliers_are_no_split(small_fit):
    by = np.where(np.isin(np.arange(30), np.flatnonzero(KINDS == "gpt2")[:2]), 0.5, 0.0)
    [check] = asked(small_fit, by, tokenizer=KINDS)
    assert check.status is Status.PASS


def test_columns_that_follow_an_input_are_not_asked(small_fit):
    params = small_fit.runs.table["params"]
    depth = params.rank().to_numpy() // 4
    assert asked(small_fit, depth=depth, kind=np.where(params > params.median(), "big", "s")) == []
    assert asked(small_fit, odd=["a"] * 28 + ["b"] * 2) == []  # too few of one kind to compare


def test_groups_of_the_fit_are_no_hidden_ones():
    made = known_grouped_fit(a={}, b={"E": 2.5})
    table = made.runs.table
    table = table.assign(recipe="of " + table["family"], tokenizer=[*KINDS, *KINDS[::-1]])
    made = replace(made, runs=replace(made.runs, table=table, settings=settings(table)))
    assert {"family", "recipe", "tokenizer"} <= set(made.runs.settings)
    assert list(_free(_basis(made, table), dict(_columns(made, table)))) == ["tokenizer"]


@pytest.mark.parametrize("split", [0.0, 0.12])
def test_fit_to_runs_of_two_kinds(split):
    """The fit itself is wrong here: its noise is that of both kinds."""
    table = simulated_table(seed=4).assign(tokenizer=KINDS)
    table["loss"] *= np.exp(split * (KINDS == "llama3"))
    fitted = fit(read_runs(table), "chinchilla", draws=300, tune=400, seed=3, progress=False)
    [check] = [one for one in check_fit(fitted) if one.name.startswith("column")]
    assert check.status is (Status.FAIL if split else Status.PASS)
    if split:
        assert re.search(r"llama3 lies 1[123]% above that of gpt2", check.message)


def test_remedy_of_a_pool_is_a_model_with_groups(joint_fit):
    [check] = asked(joint_fit, 0.12 * (KINDS == "llama3"), tokenizer=KINDS)
    named = re.search(r"--model (\S+) --group tokenizer", check.advice)[1]
    assert load_model(named).grouped_by("tokenizer").group == "tokenizer"
