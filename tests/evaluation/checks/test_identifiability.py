import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, known_fit, simulated_table

from bayescale import RunsError, RunsWarning, Status, check_runs, fit, read_runs
from bayescale.evaluation.checks.identifiability import bracketing_check, evenly_spaced
from bayescale.runs.check import worst

pytestmark = pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning")


def names(checks, status=None):
    return [check.name for check in checks if status in (None, check.status)]


def test_good_design_passes():
    [check] = check_runs(read_runs(simulated_table()))
    assert (check.name, check.status) == ("design", Status.PASS)


def test_refused_design_fails_and_says_what_to_run():
    table = simulated_table().assign(tokens=lambda t: 20 * t["params"])
    checks = check_runs(read_runs(table))
    [design] = [check for check in checks if check.status is Status.FAIL]
    assert "proportional to params" in design.message
    assert "Add runs at other tokens per parameter" in design.advice


def test_refusal_of_a_column_is_parted_from_its_remedy():
    """Wherever semicolons are: here in the name of a column."""
    runs = read_runs(simulated_table())
    other = replace(runs, table=runs.table.rename(columns={"params": "size; all"}))
    [design] = [check for check in check_runs(other) if check.status is Status.FAIL]
    assert design.message == "the model needs the column 'params'"
    assert design.advice.startswith("The columns are run, size; all, tokens")
    with pytest.raises(RunsError) as said:
        fit(other)
    assert str(said.value) == (
        "the model needs the column 'params'; the columns are run, size; all, tokens, loss, flops: "
        'pass --column params=YOURS (in Python columns={"params": "YOURS"})'
    )
    again = pickle.loads(pickle.dumps(said.value))
    assert (str(again), again.advice) == (str(said.value), design.advice)


def test_doubt_reads_as_a_warning_and_once_asked_as_a_check():
    table = simulated_table().rename(columns={"params": "tokens", "tokens": "params"})
    with pytest.warns(RunsWarning) as caught:
        runs = read_runs(table)
    [swapped] = runs.notices
    found = "swapped columns or units?: the median run has 0.058 tokens per parameter (published "
    found += "designs have 1 to 1000)"
    options = "--column params=tokens --column tokens=params"
    assert str(swapped) == str(caught[0].message)
    assert str(swapped) == (
        f"{found}; if one of them has another unit, pass --unit; if they are exchanged, {options}"
    )
    [check] = [check for check in check_runs(runs) if check.name == swapped.name]
    assert str(check) == (
        f"FAIL {found}. If one of them has another unit, pass --unit; if they are exchanged, "
        f"{options}."
    )


@pytest.mark.parametrize(
    ("name", "loss", "status"),
    [
        ("rising loss", lambda t: 6 - t["loss"], Status.FAIL),
        ("perplexity?", lambda t: np.exp(t["loss"]), Status.FAIL),
        ("constant loss", 3.0, Status.REVIEW),
    ],
)
def test_wrong_columns_fail(name, loss, status):
    checks = check_runs(read_runs(simulated_table().assign(loss=loss)))
    assert name in names(checks, status)


def test_doubts_become_checks_with_advice():
    table = simulated_table()
    twice = pd.concat([table, table.iloc[[4]]])
    [check] = check_runs(read_runs(twice))
    assert (check.name, check.status) == ("duplicated runs", Status.REVIEW)
    assert check.advice.startswith("Leave them out with --where 'row not in [31]', or, if they are")
    one = table[:6].assign(tokens=lambda t: 6e18 / (6 * t["params"]))
    assert "one budget only" in names(check_runs(read_runs(one)))


def checkpoints(runs: int = 4, saved: int = 30) -> pd.DataFrame:
    """Checkpoints of runs of few sizes, every so many steps; the loss of unfinished ones is off."""
    params = np.repeat(np.geomspace(1e8, 1e9, runs), saved)
    portion = np.tile(np.arange(1, saved + 1) / saved, runs)
    tokens = 60 * params * portion
    loss = 1.8 + 400 * params**-0.34 + 1500 * tokens**-0.36 + 0.3 * (1 - portion) * (portion > 0.2)
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss, "portion": portion})


def test_checkpoints_taken_for_finished_runs_are_found():
    table = checkpoints()
    checks = check_runs(read_runs(table[["params", "tokens", "loss"]]))
    assert "mid-schedule checkpoints" in names(checks, Status.FAIL)
    marked = table.rename(columns={"portion": "portion_of_schedule"})
    checks = check_runs(read_runs(marked, mid_schedule="keep"))
    assert "116 of 120 rows" in checks[0].message
    assert checks[0].status is Status.FAIL
    # Controls: left out or weighed down they are no reason to fail.
    for choice in ("exclude", 0.1):
        found = check_runs(read_runs(marked, mid_schedule=choice), "chinchilla")
        assert "mid-schedule checkpoints" not in names(found)


def test_finished_runs_are_not_taken_for_checkpoints():
    assert evenly_spaced(checkpoints()) == 1
    assert evenly_spaced(simulated_table()) == 0
    params, tokens = np.meshgrid(np.geomspace(1e8, 1e9, 4), np.geomspace(1e9, 1e11, 20))
    grid = pd.DataFrame({"params": params.ravel(), "tokens": tokens.ravel()})
    assert evenly_spaced(grid) == 0
    for saved, status in ((12, Status.REVIEW), (19, Status.REVIEW), (20, Status.FAIL)):
        tokens, params = np.meshgrid(1e10 * np.arange(1, saved + 1), np.geomspace(1e8, 1e9, 4))
        grid = pd.DataFrame({"params": params.ravel(), "tokens": tokens.ravel()})
        grid["loss"] = 1.8 + 400 * grid["params"] ** -0.34 + 1500 * grid["tokens"] ** -0.36
        [check] = [c for c in check_runs(read_runs(grid)) if c.name.startswith("mid-schedule")]
        assert check.status is status
        assert "look like checkpoints" in check.message
        assert check.statistic > check.threshold
    few = checkpoints(saved=8)
    assert evenly_spaced(few) == 0


@pytest.mark.parametrize("columns", [None, ["params", "tokens", "loss"]])
def test_published_checkpoints_are_found(data_folder, columns):
    table = pd.read_csv(data_folder / "misfitting_checkpoints.csv")
    table = table if columns is None else table[columns]
    checks = check_runs(read_runs(table, mid_schedule="keep"))
    assert "mid-schedule checkpoints" in names(checks, Status.FAIL)


@pytest.mark.parametrize("name", ["misfitting", "overtrained", "data_constrained", "architectures"])
def test_published_finished_runs_are_not(data_folder, name):
    checks = check_runs(read_runs(data_folder / f"{name}.csv"))
    assert "mid-schedule checkpoints" not in names(checks)


def test_groups_that_count_otherwise_are_named():
    table = simulated_table().assign(family=["a", "b"] * 15)
    flops = 6 * table["params"] * table["tokens"]
    alike = check_runs(read_runs(table.assign(flops=1.3 * flops)))
    assert "mixed conventions of N" not in names(alike)
    other = np.where(table["family"] == "b", 1.3, 1.0) * flops
    checks = check_runs(read_runs(table.assign(flops=other)))
    [check] = [check for check in checks if check.name == "mixed conventions of N"]
    assert "1.00 for the family a and 1.30 for b" in check.message
    assert "flops are not 6ND" in names(checks)


@pytest.mark.parametrize(("factor", "side"), [(6, "smaller"), (1 / 12, "larger"), (1, None)])
def test_budgets_whose_best_size_is_at_the_edge_are_named(factor, side):
    table = simulated_table()[["params", "tokens"]] * [factor, 1 / factor]
    from_params = TRUTH["A"] * table["params"] ** -TRUTH["alpha"]
    from_tokens = TRUTH["B"] * table["tokens"] ** -TRUTH["beta"]
    checks = check_runs(read_runs(table.assign(loss=TRUTH["E"] + from_params + from_tokens)))
    found = [check for check in checks if check.name == "bracketing of budgets"]
    assert len(found) == (side is not None)
    assert all(f"6e18 ({side} sizes are missing)" in check.message for check in found)


def test_budgets_are_looked_at_within_each_group():
    table = simulated_table()
    bracketed = pd.concat([table.assign(family="a"), table.assign(family="b")], ignore_index=True)
    model = "chinchilla-hierarchical"
    assert "bracketing of budgets" not in names(check_runs(read_runs(bracketed), model))
    # Taken together every budget is bracketed: each group has sizes on one side only.
    size = table.index // 5  # 0 to 5 at each budget
    apart = table.assign(family=np.where(size > 2, "a", "b"))
    [check] = [
        check
        for check in check_runs(read_runs(apart), model)
        if check.name == "bracketing of budgets"
    ]
    assert "6e18 of a (smaller sizes are missing)" in check.message
    assert "6e18 of b (larger sizes are missing)" in check.message
    assert check.statistic == 1


def test_a_single_size_at_a_budget_brackets_nothing():
    table = simulated_table()
    one = table[table.index // 5 == 2].assign(family="b")
    both = pd.concat([one, table[table.index // 5 < 2].assign(family="a")], ignore_index=True)
    checks = check_runs(read_runs(both), "chinchilla-hierarchical")
    assert "bracketing of budgets" not in names(checks)  # three sizes make no isoFLOP curve
    both = both.assign(budget=lambda t: (6 * t["params"] * t["tokens"]).round(-17))
    checks = check_runs(read_runs(both), "chinchilla-hierarchical")
    [check] = [check for check in checks if check.name == "bracketing of budgets"]
    assert "of b (the one size, " in check.message
    assert "cannot bracket anything" in check.message


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 3.0},
        {"loss": lambda t: 6 - t["loss"]},
        {"flops": lambda t: 8 * t["params"] * t["tokens"]},
        {"tokens": lambda t: np.where(t["tokens"] > 1e10, 2e10, 1e9)},
        {"family": ["a", "b", "c"] * 10},
    ],
)
def test_every_doubt_has_advice(change):
    model = "chinchilla-hierarchical" if "family" in change else "chinchilla"
    checks = check_runs(read_runs(simulated_table().assign(**change)), model)
    assert worst(checks) is not Status.PASS
    for check in checks:
        assert check.advice.endswith(".")
        assert check.message
        assert "Add a third" not in check.advice


def test_optimum_of_a_fit_outside_the_sizes_tried():
    runs = read_runs(simulated_table())

    def asked(**changes):
        return bracketing_check(replace(known_fit(**changes), runs=runs))

    assert [check.status for check in asked()] == [Status.PASS]
    [check] = asked(A=40000.0)
    assert check.status is Status.REVIEW
    assert "lies above the sizes tried near 3e21 FLOPs" in check.message
    assert "Add a run near" in check.advice


@pytest.mark.parametrize(("ratio", "found"), [(200, True), (10, False)])
def test_data_curve_of_a_small_model_is_model_limited(ratio, found):
    tokens = np.geomspace(1e9, 1e11, 12)
    params = np.full(12, tokens.max() / ratio)
    table = pd.DataFrame({"params": params, "tokens": tokens, "loss": 2 + 900 * tokens**-0.3})
    checks = check_runs(read_runs(table), "power-law-tokens")
    assert ("model-limited" in names(checks)) is found
    assert worst(checks) is (Status.REVIEW if found else Status.PASS)


def test_one_size_near_the_largest_budget_is_named_once():
    table = simulated_table()
    table.loc[table["params"].idxmin(), "tokens"] = 1e16
    [check] = bracketing_check(replace(known_fit(), runs=read_runs(table)))
    assert check.status is Status.REVIEW
    assert " to " not in check.message
