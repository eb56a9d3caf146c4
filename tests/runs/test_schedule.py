import re

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.errors import RunsError, RunsWarning
from bayescale.modelling.build import cells_of
from bayescale.modelling.spec import load_model
from bayescale.runs.table import read_runs, read_table

UNFINISHED = [3, 17]


def marked(name: str = "finished") -> pd.DataFrame:
    """Thirty runs, two of them marked as unfinished in one way or another; 4% worse."""
    table = simulated_table()
    mid = table.index.isin(UNFINISHED)
    column = {
        "mid_schedule": mid,
        "finished": ~mid,
        "is_final_checkpoint": ~mid,
        "portion_of_schedule": np.where(mid, 0.4, 1.0),
    }[name]
    return table.assign(**{name: column}, loss=table["loss"] * np.where(mid, 1.04, 1.0))


@pytest.mark.parametrize(
    "name", ["mid_schedule", "finished", "is_final_checkpoint", "portion_of_schedule"]
)
def test_unfinished_runs_are_left_out_and_named(name):
    with pytest.warns(RunsWarning, match="unfinished runs") as caught:
        runs = read_runs(marked(name))
    assert len(caught) == 1
    assert set(range(30)) - set(runs.table.index) == set(UNFINISHED)
    [notice] = runs.notices
    assert (notice.name, notice.rows) == ("unfinished runs", (3, 17))
    assert notice.message.startswith(f"the column {name!r} marks rows 4, 18 as unfinished: left")
    assert len(str(notice)) < 230
    assert "--mid-schedule keep" in notice.advice
    assert "2 unfinished left out" in runs.ledger


def test_the_remedy_in_the_notice_works():
    runs = read_runs(marked(), mid_schedule="keep")
    assert (len(runs), runs.notices) == (30, ())
    assert runs.ledger[-1] == "2 unfinished kept"
    assert "weight" not in runs.table
    assert list(runs.table.index[runs.table["mid_schedule"]]) == UNFINISHED


def test_weight_of_unfinished_runs_multiplies_their_own():
    runs = read_runs(marked(), mid_schedule=0.1)
    expected = np.where(runs.table.index.isin(UNFINISHED), 0.1, 1.0)
    np.testing.assert_array_equal(runs.table["weight"], expected)
    assert runs.ledger[-1] == "2 unfinished kept, their likelihood raised to 0.1"
    cells = cells_of(load_model("chinchilla"), runs).table
    np.testing.assert_allclose(cells["weight"], expected, rtol=1e-12)
    own = read_runs(marked().assign(weight=0.5), mid_schedule=0.1)
    np.testing.assert_allclose(own.table["weight"], 0.5 * expected)
    assert "the likelihood of each run raised to its weight" in own.ledger


@pytest.mark.parametrize("choice", ["exclude", "keep", 0.1])
def test_nothing_happens_where_every_run_is_finished(choice):
    runs = read_runs(simulated_table().assign(finished=True), mid_schedule=choice)
    assert (len(runs), runs.notices) == (30, ())
    assert not {"weight", "mid_schedule"} & set(runs.table)
    assert not any("unfinished" in entry for entry in runs.ledger)


def test_checkpoint_beyond_its_schedule_is_finished():
    """Trainers save once more after the last step: it is not final, and it is not early."""
    table = marked("is_final_checkpoint").assign(portion_of_schedule=1.0)
    table.loc[3, "portion_of_schedule"] = 1.02
    assert len(read_runs(table)) == 30
    table.loc[17, "portion_of_schedule"] = np.nan  # then what the other column says counts
    with pytest.warns(RunsWarning, match="'is_final_checkpoint' marks row 18"):
        assert len(read_runs(table)) == 29


def test_several_columns_add_up():
    table = marked("finished").assign(portion_of_schedule=lambda t: np.where(t.index == 5, 0.5, 1))
    with pytest.warns(RunsWarning, match="columns 'portion_of_schedule', 'finished' mark rows 4"):
        assert len(read_runs(table)) == 27


@pytest.mark.parametrize(
    "finished",
    [
        lambda mid: np.where(mid, 0, 1),
        lambda mid: np.where(mid, "False", "True"),
        lambda mid: pd.array(~mid, dtype="boolean"),
        lambda mid: pd.Series(~mid).astype(object).where(np.arange(30) != 5, None),
    ],
    ids=["numbers", "text", "nullable", "unknown in one row"],
)
def test_truth_is_read_however_it_is_written(finished):
    table = simulated_table()
    table["finished"] = finished(table.index.isin(UNFINISHED))
    with pytest.warns(RunsWarning, match="marks rows 4, 18"):
        assert len(read_runs(table)) == 28


def test_column_that_holds_no_truth_says_nothing():
    assert len(read_runs(simulated_table().assign(finished="2024-05-01"))) == 30
    assert len(read_runs(simulated_table().assign(finished=None))) == 30


def test_filter_comes_first_and_the_best_run_later():
    assert read_runs(marked(), where="finished").notices == ()
    worse = simulated_table().assign(finished=True, loss=lambda t: 1.1 * t["loss"])
    with pytest.warns(RunsWarning, match="marks rows 4, 18"):
        runs = read_runs(pd.concat([marked(), worse]), best_per=["params", "tokens"])
    assert set(runs.table.index) == {*range(30), 33, 47} - set(UNFINISHED)  # worse, but finished


def test_missing_loss_of_an_unfinished_run_does_no_harm():
    table = marked()
    table.loc[3, "loss"] = np.nan
    with pytest.warns(RunsWarning, match="unfinished runs"):
        assert len(read_runs(table)) == 28
    with pytest.raises(RunsError, match=r"'loss', row 4: .*missing"):
        read_runs(table, mid_schedule="keep")


def test_unfinished_run_is_no_seed_of_a_finished_one():
    finished = simulated_table().assign(finished=True)
    early = finished.iloc[:5].assign(finished=False, loss=lambda t: 1.05 * t["loss"])
    runs = read_runs(pd.concat([finished, early]), mid_schedule="keep")
    cells = cells_of(load_model("chinchilla"), runs)
    assert (len(cells), cells.freedom) == (35, 0)
    with pytest.warns(RunsWarning, match="swept runs: 10 of 35"):
        as_seeds = read_runs(pd.concat([finished, early.assign(finished=True)]))
    assert len(cells_of(load_model("chinchilla"), as_seeds)) == 30


@pytest.mark.parametrize("name", ["State", "status"])
def test_runs_that_crashed_are_left_out_whatever_their_loss(name):
    states = ["finished"] * 26 + ["crashed", "failed", "killed", "running"]
    table = simulated_table().assign(**{name: states})
    table.loc[[26, 27], "loss"] = [np.nan, 9.0]
    with pytest.warns(RunsWarning, match=f"column '{name}' marks rows 27, 28, 29, 30 "):
        runs = read_runs(table)
    assert list(runs.table.index) == list(range(26))


def test_a_state_of_something_else_says_nothing():
    states = ["crashed"] + ["Texas"] * 29
    assert len(read_runs(simulated_table().assign(State=states))) == 30


def history(rows=5):
    """Thirty runs, each with what it said on its way; rows out of order."""
    done = pd.concat([simulated_table().assign(part=p) for p in np.linspace(0.2, 1, rows)])
    done["run"] = "run " + done.index.astype(str)
    done["loss"] *= 1 + 0.1 * (1 - done["part"])
    done["_step"] = (1000 * done["part"]).astype(int)
    return done.assign(tokens=done["tokens"] * done["part"]).iloc[::-1]


@pytest.mark.parametrize("counted", ["tokens", "_step"])
def test_a_history_is_refused_and_its_last_rows_are_read(counted):
    table = history()
    if counted == "_step":
        table["tokens"] = simulated_table()["tokens"].loc[table.index]
    with pytest.raises(RunsError, match=f"different {counted}: .*--last-per run .*last_per="):
        read_runs(table)
    runs = read_runs(table, last_per="run")
    assert (runs.table["part"] == 1).all()
    assert len(runs) == 30
    assert "120 dropped before the last of each run" in runs.ledger
    with pytest.warns(RunsWarning):
        assert len(read_runs(table, mid_schedule="keep", thin_per=())) == 150


def test_runs_of_one_name_are_no_history_where_they_differ_in_size_or_are_two():
    pair = history(2)
    with pytest.warns(RunsWarning, match="repeated run names: .*--last-per run"):
        assert len(read_runs(pair)) == 60
    table = simulated_table().assign(run=["a", "b", "c"] * 10)
    with pytest.warns(RunsWarning, match="repeated run names"):
        assert len(read_runs(table)) == 30


@pytest.mark.parametrize(
    ("change", "last_per", "message"),
    [
        (lambda t: t, "name", "name is no column of"),
        (lambda t: t.assign(run=t.run.where(t.run != "run 3")), "run", "--where 'run.notna"),
    ],
)
def test_last_rows_that_nobody_can_tell_are_refused(change, last_per, message):
    with pytest.raises(RunsError, match=message):
        read_runs(change(history()), last_per=last_per)


def test_a_row_of_unread_tokens_is_not_taken_for_an_early_one():
    table = history().reset_index(drop=True).astype({"tokens": object})
    end = int(table.groupby("run")["part"].idxmax().iloc[2])
    table.loc[end, "tokens"] = "a lot"
    with pytest.raises(RunsError, match=rf"'tokens', row {end + 1}: 'a lot'"):
        read_runs(table, last_per="run")  # its step says that it is the last
    alone = table.drop(columns="_step")
    with pytest.raises(RunsError, match=rf"row {end + 1}: .*--where '(run not in .*)'") as refused:
        read_runs(alone, last_per="run")
    where = re.search(r"--where '(.*)'", str(refused.value))[1]
    assert len(read_runs(alone, where=where, last_per="run")) == 29


def test_rows_of_several_sizes_are_no_one_run():
    table = history().reset_index(drop=True)
    table.loc[7, "params"] *= 3
    with pytest.raises(RunsError, match=r"'params', row 8: .*correct it$"):
        read_runs(table, last_per="run")
    two = table.assign(run="baseline")
    with pytest.raises(RunsError, match=r"'params', rows .* and .*--last-per run,params"):
        read_runs(two, last_per="run")
    right = history().reset_index(drop=True).assign(run="baseline")
    assert read_runs(right, last_per=["run", "params"]).notices == ()


def test_a_filter_that_takes_the_last_row_of_a_run_is_doubted():
    table = history().reset_index(drop=True)
    end = table.groupby("run")["tokens"].idxmax().iloc[2]
    table.loc[end, "loss"] = np.inf
    with pytest.warns(
        RunsWarning, match="not the last row: row .*later rows of these runs are left out"
    ) as told:
        runs = read_runs(table, where="loss < inf", last_per="run")
    [notice] = [own for own in runs.notices if own.name == "not the last row"]
    assert len(told) == 1
    assert runs.table.loc[notice.rows[0], "run"] == table.loc[end, "run"]
    rest = read_runs(table, where=f"run != '{table.run[end]}'", last_per="run")
    assert rest.notices == ()


def test_points_of_curves_in_mid_schedule_are_doubted():
    points = simulated_table().assign(is_final_checkpoint=[False] * 3 + [True] * 27)
    with pytest.warns(RunsWarning, match="rows 1, 2, 3 .*'is_final_checkpoint == True'"):
        assert len(read_table(points)) == 30
    assert len(read_table(points, where="is_final_checkpoint == True")) == 27
    states = simulated_table().assign(State=["crashed"] * 2 + ["finished"] * 28)
    with pytest.warns(RunsWarning, match="State` == "):
        read_table(states)
    assert len(read_table(states, where='`State` == "finished"')) == 28


@pytest.mark.parametrize("state", ["crashed", "killed", "running"])
def test_of_no_unfinished_run_is_said_that_it_is_in_mid_schedule(state):
    table = simulated_table().assign(state="finished")
    table.loc[UNFINISHED, "state"] = state
    with pytest.warns(RunsWarning, match="unfinished") as caught:
        runs = read_runs(table)
    assert "mid-schedule:" not in str(caught[0].message)
    assert runs.ledger[-1] == "2 unfinished left out"
