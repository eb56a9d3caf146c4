"""Active and total parameters of runs with experts: read, and never inferred from each other."""

import numpy as np
import pandas as pd
import pytest

from bayescale import RunsError, RunsWarning, read_runs
from bayescale.runs.columns import Meaning, meaning

TOTAL = [1e8, 2e8, 4e8, 8e8, 1.6e10]
ACTIVE = [1e8, 2e8, 4e8, 1e8, 1e8]
BASE = {
    "experts": [1, 1, 1, 8, 512],
    "tokens": [2e9, 4e9, 8e9, 2e9, 4e9],
    "loss": [3.0, 2.8, 2.6, 2.7, 2.4],
}
FLOPS = [6 * n * d for n, d in zip(ACTIVE, BASE["tokens"], strict=True)]

pytestmark = pytest.mark.filterwarnings("ignore:column names:bayescale.errors.RunsWarning")


@pytest.mark.parametrize(
    ("name", "ours", "unit"),
    [
        ("params_active", "active_params", None),
        ("active_params", "active_params", None),
        ("n_active_params", "active_params", None),
        ("activated parameters (B)", "active_params", 1e9),
        ("num_experts", "experts", None),
        ("n_experts", "experts", None),
        ("params_total", "params", None),
    ],
)
def test_names_of_models_with_experts(name, ours, unit):
    assert meaning(name) == Meaning(ours, unit)


@pytest.mark.parametrize("name", ["active_experts", "experts_per_token", "shared_experts"])
def test_names_that_mean_other_counts(name):
    assert meaning(name) is None


def notices(runs):
    return [one.name for one in runs.notices if one.name.startswith("experts without")]


def test_a_table_of_both_counts_compute_of_the_active_ones():
    table = pd.DataFrame({**BASE, "total_params": TOTAL, "params_active": ACTIVE})
    runs = read_runs(table.rename(columns={"experts": "num_experts"}))
    assert runs.table["params"].tolist() == TOTAL
    assert runs.table["active_params"].tolist() == ACTIVE
    np.testing.assert_allclose(runs.table["flops"], FLOPS)
    assert notices(runs) == []


def test_a_mixed_table_with_compute_of_active_parameters_is_read():
    with pytest.warns(RunsWarning, match="rows 4, 5: experts, and the active parameters are not"):
        runs = read_runs(pd.DataFrame({**BASE, "params": TOTAL, "flops": FLOPS}))
    assert runs.table["flops"].tolist() == FLOPS
    assert "active_params" not in runs.table
    assert runs.flops_per_param_token == 6.0
    assert notices(runs) == ["experts without active_params"]


def test_compute_is_not_made_of_total_parameters():
    with pytest.warns(RunsWarning, match="nothing is known of what experts are worth, compute"):
        runs = read_runs(pd.DataFrame({**BASE, "params": TOTAL}))
    assert "flops" not in runs.table


def test_without_experts_the_same_table_is_refused():
    table = pd.DataFrame({**BASE, "params": [1.6e10] * 5, "flops": FLOPS}).drop(columns="experts")
    with pytest.raises(RunsError, match="it should be near 1"):
        read_runs(table.assign(params=[1.6e10 * 10] * 5))


def test_total_parameters_are_not_made_of_active_ones():
    with pytest.warns(RunsWarning, match="the total parameters are not said.* known of memory"):
        runs = read_runs(pd.DataFrame({**BASE, "active_params": ACTIVE}))
    assert "params" not in runs.table
    np.testing.assert_allclose(runs.table["flops"], FLOPS)


@pytest.mark.parametrize("name", ["active_params", "params"])
def test_dense_runs_have_all_parameters_active(name):
    table = pd.DataFrame({**BASE, "params": TOTAL, "active_params": ACTIVE})
    table.loc[:2, name] = np.nan
    runs = read_runs(table)
    assert runs.table["params"].tolist() == TOTAL
    assert runs.table["active_params"].tolist() == ACTIVE
    assert f"{name} of rows 1, 2, 3 are all that a dense model has" in runs.ledger
    assert notices(runs) == []


def test_runs_with_experts_may_lack_their_total_and_no_dense_run_may():
    table = pd.DataFrame({**BASE, "params": TOTAL, "active_params": ACTIVE})
    with pytest.warns(RunsWarning, match="experts without params: row 5"):
        runs = read_runs(table.assign(params=[*TOTAL[:4], np.nan]))
    assert runs.table["params"].isna().tolist() == [False] * 4 + [True]
    assert not any("filled" in said and "params" in said for said in runs.ledger)
