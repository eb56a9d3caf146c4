"""Tables of accuracies become runs, whatever their layout; what would mislead is refused."""

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_tasks

from bayescale import RunsError, RunsWarning, load_dataset, read_runs, read_tasks
from bayescale.cli import reports
from bayescale.errors import BayescaleError
from bayescale.runs.tasks import as_runs

CHANCE = {"hellaswag": 0.25, "piqa": 0.5, "sciq": 0.25}
ITEMS = {"hellaswag": 10042, "piqa": 1838, "sciq": 1000}
FIRST = ["run", "task", "params", "tokens", "accuracy", "chance", "trials"]


def known() -> pd.DataFrame:
    """What every layout of the simulated table must become."""
    return simulated_tasks().rename(columns={"n_items": "trials"})[FIRST]


def wide(scale: float = 1.0, form: str = "{}") -> pd.DataFrame:
    long = simulated_tasks()
    table = long.pivot(index=["run", "params", "tokens"], columns="task", values="accuracy")
    table = (table * scale).rename(columns=form.format).reset_index()
    return table.set_index("run").loc[long["run"].unique()].reset_index()


def checkpoints(number: int = 6) -> pd.DataFrame:
    """Evaluations on the way, each a little worse than the one after it; the last first."""
    parts = []
    for back in range(number):
        own = simulated_tasks().assign(step=1000 - 10 * back)
        own["accuracy"] -= 0.01 * back
        own["tokens"] *= 1 - 0.01 * back
        parts.append(own)
    return pd.concat(parts, ignore_index=True)


def require_known(runs) -> None:
    found = runs.table[FIRST].sort_values(["run", "task"], ignore_index=True)
    expected = known().sort_values(["run", "task"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t.rename(columns={"n_items": "trials", "task": "benchmark"}),
        lambda t: t.rename(columns={"n_items": "Num Items", "accuracy": "acc", "run": "model"}),
        lambda t: t.rename(columns={"n_items": "n", "accuracy": "acc_norm"}),
        lambda t: t.rename(columns={"accuracy": "score"}).assign(score_stderr=0.01),
        lambda t: t.assign(accuracy=100 * t["accuracy"], chance=100 * t["chance"]),
        lambda t: t.assign(accuracy=[f"{100 * a:.12f}%" for a in t["accuracy"]]),
        lambda t: t.assign(error=1 - t["accuracy"], random_baseline_error=1 - t["chance"]).drop(
            columns=["accuracy", "chance"]
        ),
        lambda t: t.assign(error=100 - 100 * t["accuracy"]).drop(columns="accuracy"),
        lambda t: t.assign(error=0.1),  # beside an accuracy it is something else
        lambda t: t.assign(params=[f"{n / 1e6:g}M" for n in t["params"]]),
        lambda t: t.assign(chance=t["chance"].where(t.index >= 3)),  # one level a task
    ],
)
def test_long_tables_in_many_words(change):
    require_known(read_tasks(change(simulated_tasks())))


def test_what_was_turned_is_in_the_ledger():
    table = simulated_tasks()
    table = table.assign(error=100 - 100 * table["accuracy"], chance=100 * table["chance"])
    ledger = "\n".join(read_tasks(table.drop(columns="accuracy")).ledger)
    for said in ("error divided by 100: percents up to", "accuracy is 1 minus the column error"):
        assert said in ledger
    assert "chance divided by 100: percents up to 50" in ledger
    assert "trials is the column 'n_items'" in ledger
    assert not any("100" in entry for entry in read_tasks(simulated_tasks()).ledger)


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (wide(), {"tasks": ["hellaswag", "piqa", "sciq"]}),
        (wide(100), {"tasks": list(ITEMS)}),
        (wide(100), {"tasks": list(ITEMS), "units": {"accuracy": 0.01}}),
        (wide(form="acc/{}"), {"tasks": ["acc/*"]}),
        (wide(form="{}_acc_norm").assign(piqa_stderr=0.1), {"tasks": ["*_acc_norm"]}),
        (wide(form="{}_acc"), {"tasks": {task: f"{task}_acc" for task in ITEMS}}),
        (wide().assign(piqa=[f"{100 * a:.12f}%" for a in wide()["piqa"]]), {"tasks": list(ITEMS)}),
        (wide().assign(accuracy=0.5), {"tasks": list(ITEMS)}),
    ],
)
def test_wide_tables(table, options):
    runs = read_tasks(table, chance=CHANCE, trials=ITEMS, **options)
    require_known(runs)
    assert runs.table.index.is_unique
    assert any("one row for each run and task" in entry for entry in runs.ledger)


def test_units_of_single_columns_settle_a_mixed_table():
    table = wide().assign(piqa=100 * wide()["piqa"])
    with pytest.raises(RunsError, match=r"'piqa' hold percents, and 'hellaswag', 'sciq' shares"):
        read_tasks(table, tasks=list(ITEMS), chance=CHANCE, trials=ITEMS)
    units = {"piqa": 0.01}
    require_known(read_tasks(table, tasks=list(ITEMS), chance=CHANCE, trials=ITEMS, units=units))


def test_some_tasks_of_a_long_table():
    runs = read_tasks(simulated_tasks(), tasks={"HellaSwag": "hellaswag", "piqa": "piqa"})
    assert runs.table["task"].unique().tolist() == ["HellaSwag", "piqa"]
    with pytest.raises(RunsError, match=r"there is no task 'pica'; did you mean 'piqa'\?"):
        read_tasks(simulated_tasks(), tasks=["pica"])
    with pytest.raises(RunsError, match=r"there is no column 'winogrande'"):
        read_tasks(wide(), tasks=["winogrande"])


def with_value(row: int, **values) -> pd.DataFrame:
    table = simulated_tasks()
    for name, value in values.items():
        table[name] = table[name].astype(object)
        table.loc[row, name] = value
    return table


@pytest.mark.parametrize(
    ("table", "said", "where"),
    [
        (with_value(4, accuracy=-0.1), "'accuracy', row 5: -0.1 is no share", "accuracy >= 0"),
        (with_value(4, accuracy=140.0), "'accuracy', row 5: 140 is no share", "accuracy <= 100"),
        (with_value(4, accuracy=51.0), "row 5: 51 in a column of shares", "accuracy <= 1"),
        (with_value(4, chance=1.0), "'chance', row 5: guessing gets all", "chance < 1"),
        (with_value(4, chance=0.3), "row 5: the task 'piqa' has the level 0.3", "chance != 0.3"),
        (with_value(4, n_items=0), "'trials', row 5: 0 is no number of items", "row not in [5]"),
        (with_value(4, n_items=-3), "'trials', row 5: -3 is no number", "row not in [5]"),
        (with_value(4, task=None), "'task', row 5: nothing says", "task.notna()"),
        (
            with_value(4, accuracy="good"),
            "'accuracy', row 5: 'good' is not a number",
            "row not in [5]",
        ),
    ],
)
def test_values_that_cannot_be_are_refused_with_a_remedy_that_works(table, said, where):
    with pytest.raises(RunsError) as refused:
        read_tasks(table)
    assert said in str(refused.value)
    runs = read_tasks(table, where=where)
    assert len(runs) == len(simulated_tasks()) - 1
    assert runs.table["accuracy"].between(0, 1).all()
    if "--where" in str(refused.value):
        assert f"--where '{where}'" in str(refused.value)


@pytest.mark.parametrize("word", ["", "-", "--", "\N{EM DASH}", "n/a", "NaN"])
def test_words_for_not_measured_are_blank(word, tmp_path):
    path = tmp_path / "tasks.csv"
    with_value(4, accuracy=word).to_csv(path, index=False)
    assert len(read_tasks(path)) == len(simulated_tasks()) - 1


def test_percents_beside_shares_are_refused_whichever_are_more():
    table = simulated_tasks()
    percent = table.assign(accuracy=(100 * table["accuracy"]).where(table.index != 7, 0.5))
    with pytest.raises(RunsError, match=r"row 8: 0.5 in a column of percents up to") as refused:
        read_tasks(percent)
    assert "--unit accuracy=0.01" in str(refused.value)
    runs = read_tasks(percent, units={"accuracy": 0.01})
    assert runs.table.loc[7, "accuracy"] == pytest.approx(0.005)
    left = read_tasks(percent, where="accuracy > 1 or accuracy == 0")
    assert len(left) == len(table) - 1
    with pytest.raises(RunsError, match=r"no share from 0 to 1; correct"):
        read_tasks(table.assign(accuracy=100 * table["accuracy"]), units={"accuracy": 1})


def test_accuracies_of_exactly_0_and_1_are_data():
    table = simulated_tasks()
    table.loc[0, "accuracy"], table.loc[1, "accuracy"] = 0.0, 1.0
    assert read_tasks(table).table["accuracy"].tolist() == table["accuracy"].tolist()


def test_twice_the_same_run_and_task_is_refused():
    table = simulated_tasks()
    twice = pd.concat([table, table.iloc[[4]].assign(accuracy=0.6)], ignore_index=True)
    with pytest.raises(RunsError, match=r"rows 5, 37: run '1e.08-2e.09', task 'piqa' stands"):
        read_tasks(twice)
    require_known(read_tasks(twice, where="index != 36"))
    shots = pd.concat([table.assign(n_shots=0), table.assign(n_shots=5)], ignore_index=True)
    with pytest.raises(RunsError, match=r"differ in n_shots: keep one with --where") as refused:
        read_tasks(shots)
    assert "--last-per run,n_shots" in str(refused.value)
    assert len(read_tasks(shots, last_per=["run", "n_shots"])) == 2 * len(table)
    require_known(read_tasks(shots, where="n_shots == 0"))
    with pytest.raises(RunsError, match=r"'1e.08-1e.09' stands there more than once"):
        read_tasks(pd.concat([wide(), wide()[:1]], ignore_index=True), tasks=["piqa"])


@pytest.mark.parametrize("last", [1, 3])
def test_checkpoints_count_once(last):
    table = checkpoints().sample(frac=1, random_state=0, ignore_index=True)
    runs = read_tasks(table, last=last)
    assert len(runs) == len(simulated_tasks())
    assert (runs.table["step"] == 1000).all()
    found = runs.table.set_index(["run", "task"])
    expected = known().set_index(["run", "task"]).loc[found.index]
    fall = 0.01 * np.mean(range(last))
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"] - fall)
    np.testing.assert_allclose(found["tokens"], expected["tokens"])
    np.testing.assert_allclose(found["trials"], expected["trials"])  # of one evaluation
    assert any("earlier evaluations of each run and task" in entry for entry in runs.ledger)
    assert runs.notices == ()


def test_checkpoints_of_a_wide_table_count_once():
    steps = [wide().assign(step=step, tokens=wide()["tokens"] * step / 100) for step in (98, 99)]
    low = [own.assign(**{task: own[task] - 0.02 for task in ITEMS}) for own in steps]
    table = pd.concat([wide().assign(step=100), *low], ignore_index=True)
    options = {"tasks": list(ITEMS), "chance": CHANCE, "trials": ITEMS}
    require_known(read_tasks(table, **options))
    mean = read_tasks(table, last=2, **options).table
    np.testing.assert_allclose(mean["accuracy"], known()["accuracy"] - 0.01)


def test_a_mean_over_much_of_training_is_doubted():
    table = checkpoints(3)
    table.loc[table["step"] < 1000, "tokens"] /= 2
    with pytest.warns(RunsWarning, match=r"evaluations far apart.*up to 2.* times"):
        read_tasks(table, last=3)
    assert read_tasks(table).notices == ()


def test_a_filter_that_takes_the_end_of_a_run_is_doubted():
    with pytest.warns(RunsWarning, match=r"not the last row: rows .*later rows of these runs"):
        runs = read_tasks(checkpoints(2), where="step < 1000 or run != '1e+08-1e+09'")
    assert len(runs) == 36


def test_rows_at_one_place_are_found_where_a_step_is_not_known():
    table = pd.concat([simulated_tasks()[:9]] * 2, ignore_index=True).assign(step=np.nan)
    with pytest.raises(RunsError, match=r"rows 1, 10: run .*--where 'row not in .10.'"):
        read_tasks(table)


def test_a_task_that_was_not_evaluated_at_the_end_is_doubted():
    table = checkpoints(2)
    late = (table["task"] == "piqa") & (table["step"] == 1000) & (table["params"] == 1e8)
    with pytest.warns(RunsWarning, match=r"not the last row: rows 38, 41, 44: later rows"):
        runs = read_tasks(table.assign(accuracy=table["accuracy"].mask(late)))
    assert len(runs) == len(simulated_tasks())


def test_unfinished_runs_are_left_out_as_those_of_losses():
    table = checkpoints(2)
    table["portion_of_schedule"] = np.where(table["step"] == 1000, 1.0, 0.9)
    require_known(read_tasks(table))  # earlier checkpoints are not what makes a run unfinished
    table.loc[table["run"] == "1e+08-1e+09", "portion_of_schedule"] *= 0.5
    with pytest.warns(RunsWarning, match=r"unfinished runs"):
        assert len(read_tasks(table)) == 33


def test_rows_without_an_accuracy_are_left_out():
    table = simulated_tasks()
    table.loc[[2, 5], "accuracy"] = np.nan
    runs = read_tasks(table)
    assert len(runs) == 34
    assert "2 without an accuracy left out" in runs.ledger
    sheet = wide()
    sheet.loc[[2, 5], "piqa"] = np.nan
    runs = read_tasks(sheet, tasks=list(ITEMS), chance=CHANCE)
    assert len(runs) == 34
    assert "2 without an accuracy left out" in runs.ledger
    with pytest.raises(RunsError, match=r"no row has an accuracy"):
        read_tasks(table.assign(accuracy=np.nan))


def test_tasks_without_a_level_of_guessing():
    table = simulated_tasks()
    table["chance"] = table["chance"].mask(table["task"] == "piqa")
    with pytest.warns(RunsWarning, match=r"no level of guessing: piqa have|has none.*piqa=0.25"):
        runs = read_tasks(table)
    assert set(runs.table["task"]) == {"hellaswag", "sciq"}
    assert any("without a level of guessing left out: piqa" in entry for entry in runs.ledger)
    require_known(read_tasks(table, chance={"piqa": 0.5}))
    require_known(read_tasks(table, chance=0.5))
    none = read_tasks(table.drop(columns="chance"))
    assert "chance" not in none.table
    assert "no level of guessing is known" in none.ledger


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chance": {"piqa": 0.3}}, "the table says 0.5 of the task 'piqa', and 0.3 is given"),
        ({"chance": {"pica": 0.5}}, "there is no task 'pica'"),
        ({"chance": 25.0}, "write 25% as 0.25"),
        ({"chance": {"piqa": 1.0}}, "less than 1, got 1"),
        ({"trials": {"piqa": 0}}, "positive number of items, got 0"),
        ({"trials": {"piqa": 99}}, "says 1838 of the task 'piqa', and 99 is given"),
        ({"last": 0}, "last must be at least 1"),
        ({"last_per": "seed"}, "seed is no column"),
        ({"where": "task == 'piqa'", "chance": {"sciq": 0.25}}, None),  # filtered out, not unknown
    ],
)
def test_levels_that_are_given(options, said):
    if said is None:
        assert len(read_tasks(simulated_tasks(), **options)) == 12
        return
    with pytest.raises(BayescaleError, match=said):
        read_tasks(simulated_tasks(), **options)


def test_items_may_be_unknown():
    table = simulated_tasks()
    table["n_items"] = table["n_items"].mask(table["task"] == "piqa")
    runs = read_tasks(table)
    assert runs.table["trials"].isna().sum() == 12
    assert any("number of items is not known of rows 2, 5" in entry for entry in runs.ledger)
    require_known(read_tasks(table, trials={"piqa": 1838}))
    require_known(read_tasks(table, trials=1838))
    assert "trials" not in read_tasks(table.drop(columns="n_items")).table


def test_a_number_for_all_fills_what_no_row_of_the_task_says():
    table = simulated_tasks()
    table["chance"] = table["chance"].mask((table["task"] == "sciq") | (table.index < 3))
    require_known(read_tasks(table, chance=0.25))  # not the blank cell of piqa, which has 0.5


def test_n_may_be_the_parameters():
    table = simulated_tasks().drop(columns="n_items").rename(columns={"params": "n"})
    table["n"] /= 1e6
    with pytest.warns(RunsWarning, match=r"'n' may be meant"):
        runs = read_tasks(table.assign(flops=1e20))
    assert "trials" not in runs.table


def test_rows_that_are_of_no_run_are_refused():
    table = simulated_tasks()
    nameless = table.assign(run=table["run"].where(table.index != 4))
    with pytest.raises(RunsError, match=r"row 5: nothing says of which run.*'run.notna\(\)'"):
        read_tasks(nameless)
    assert len(read_tasks(nameless, where="run.notna()")) == 35
    means = pd.concat([table, table[:3].assign(run="mean")], ignore_index=True)
    with pytest.raises(RunsError, match=r"rows 37, 38, 39: 'mean' sums up other rows"):
        read_tasks(means)
    with pytest.raises(RunsError, match=r"rows 1, 2, 3: .* name that column with --column task="):
        read_tasks(table.rename(columns={"task": "suite"}))
    require_known(read_tasks(table.rename(columns={"task": "suite"}), {"task": "suite"}))


def test_names_and_units_of_the_table_itself():
    sizes = checkpoints().rename(columns={"run": "model"})
    assert len(read_tasks(sizes, {"run": "model"}, last_per="model")) == 36
    table = simulated_tasks()
    errors = table.assign(error=100 - 100 * table["accuracy"]).drop(columns="accuracy")
    require_known(read_tasks(errors, units={"accuracy": 0.01}))


def test_columns_that_may_be_several_are_asked_for():
    table = simulated_tasks().rename(columns={"accuracy": "acc"})
    table["acc_norm"] = table["acc"] + 0.01
    with pytest.raises(RunsError, match=r"may be 'acc' or 'acc_norm'.*--column accuracy=acc "):
        read_tasks(table)
    require_known(read_tasks(table, {"accuracy": "acc"}))


def test_a_table_without_accuracies_names_what_may_be_meant():
    with pytest.raises(RunsError, match=r"pass --tasks hellaswag_acc,piqa_acc,sciq_acc"):
        read_tasks(wide(form="{}_acc"))
    with pytest.raises(
        RunsError, match=r"columns are run, .*--column accuracy=YOURS .in Python.*--tasks ONE"
    ):
        read_tasks(wide())


def test_runs_without_a_name():
    nameless = simulated_tasks().drop(columns="run")
    runs = read_tasks(nameless)
    assert runs.table["run"].nunique() == 12
    assert any("nothing names the runs: rows of equal params, tokens" in e for e in runs.ledger)
    with pytest.raises(RunsError, match=r"nothing says which rows are of one run.*--column run="):
        read_tasks(checkpoints().drop(columns="run"))  # they would pass for independent runs
    sizes = checkpoints().rename(columns={"run": "model"})
    with pytest.raises(RunsError, match=r"do they belong to one run.*--column run=model"):
        read_tasks(sizes)
    assert len(read_tasks(sizes, {"run": "model"})) == 36


def test_sizes_may_stand_in_a_second_table():
    table = simulated_tasks()
    sizes = table.drop_duplicates("run")[["run", "params", "tokens"]].iloc[::-1]
    scores = table.drop(columns=["params", "tokens"])
    require_known(read_tasks(scores, join=sizes))
    require_known(read_tasks(scores, join=read_runs(sizes.assign(loss=3.0 - sizes.index / 100))))
    assert any("params, tokens joined from" in e for e in read_tasks(scores, join=sizes).ledger)
    with pytest.raises(RunsError, match=r"has a row already, and each run may have one"):
        read_tasks(scores, join=pd.concat([sizes, sizes[:1]]))
    with pytest.raises(RunsError, match=r"has none of the runs, such as"):
        read_tasks(scores, join=sizes.assign(run="other-" + sizes["run"]))
    with pytest.raises(RunsError, match=r"the second table has no column 'run'"):
        read_tasks(scores, join=sizes.drop(columns="run"))
    with pytest.raises(RunsError, match=r"'params', rows .*missing.*--where 'params.notna"):
        read_tasks(scores, join=sizes[1:])
    assert len(read_tasks(scores, join=sizes[1:], where="params.notna()")) == 33


def test_doubts_are_of_runs_and_not_of_their_tasks():
    assert read_tasks(simulated_tasks().assign(loss=3.0)).notices == ()
    table = simulated_tasks().assign(outlier=lambda t: t["params"] == 1e8)
    with pytest.warns(RunsWarning, match=r"the column 'outlier' marks"):
        read_tasks(table)


def test_models_of_accuracies_read_by_task(tmp_path):
    path = tmp_path / "tasks.csv"
    simulated_tasks().to_csv(path, index=False)
    require_known(as_runs(path, "accuracy", {}))
    with pytest.raises(TypeError, match=r"tasks"):
        as_runs(path, "loss", {"tasks": ["piqa"]})
    with pytest.raises(RunsError, match=r"chance: these runs are read already.*read_tasks"):
        as_runs(as_runs(path, "accuracy", {}), "accuracy", {"chance": 0.5})


@pytest.fixture
def fitted(monkeypatch):
    """What the command line would fit."""
    seen = []

    def sample(runs, *rest, **options):
        seen.append(runs)
        raise RunsError("that is enough")

    monkeypatch.setattr(reports, "sample", sample)
    return seen


MODEL = ("--model", "task-accuracy-hierarchical")


def test_commands_read_tasks(run, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulated_tasks().to_csv("tasks.csv", index=False)
    wide(100).to_csv("wide.csv", index=False)
    scores = simulated_tasks()
    scores.drop_duplicates("run")[["run", "params", "tokens"]].to_csv("sizes.csv", index=False)
    scores.drop(columns=["params", "tokens"]).to_csv("scores.csv", index=False)
    levels = ["--chance", "hellaswag=0.25,piqa=0.5", "--chance", "sciq=0.25"]
    items = ["--trials", "hellaswag=10042,piqa=1838,sciq=1000"]
    for arguments in (
        ["fit", "tasks.csv"],
        ["report", "tasks.csv"],
        ["fit", "scores.csv", "--join", "sizes.csv"],
        ["fit", "wide.csv", "--tasks", "hellaswag,piqa,sciq=sciq", *levels, *items],
        ["report", "wide.csv", "--tasks", "piqa,hellaswag", "--tasks", "sciq", *levels, *items],
    ):
        code, _, err = run(*arguments, *MODEL)
        assert (code, "that is enough" in err) == (2, True), err
        require_known(fitted.pop())
    checkpoints().to_csv("checkpoints.csv", index=False)
    run("fit", "checkpoints.csv", "--last", "3", *MODEL)
    low = fitted.pop().table["accuracy"]
    np.testing.assert_allclose(low, simulated_tasks()["accuracy"] - 0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--tasks", "piqa", "--model", "chinchilla"),
            "--tasks: the model chinchilla says the loss",
        ),
        (("--loss-unit", "bits", *MODEL), "--loss-unit: the model task-accuracy-hierarchical"),
        (("--chance", "half", *MODEL), "--chance: 'half' is not a number"),
        (("--chance", "piqa=half", *MODEL), "--chance piqa: 'half' is not a number"),
        (
            ("--chance", "0.25,piqa=0.5", *MODEL),
            "--chance 0.25: one number alone is for all; beside others write NAME=NUMBER",
        ),
        (("--where", "task == 'none'", *MODEL), "error:"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, tmp_path, arguments, said):
    simulated_tasks().to_csv(tmp_path / "tasks.csv", index=False)
    code, _, err = run("fit", str(tmp_path / "tasks.csv"), *arguments)
    assert code == 2
    assert said in err


def test_a_model_that_needs_the_level_of_guessing_says_how_to_give_it(run, tmp_path):
    simulated_tasks().drop(columns="chance").to_csv(tmp_path / "tasks.csv", index=False)
    code, _, err = run("fit", str(tmp_path / "tasks.csv"), *MODEL)
    assert code == 2
    assert "needs the column 'chance', what guessing gets right" in err
    assert "--chance piqa=0.5" in err


def test_runs_in_another_table_are_asked_for(run, tmp_path):
    simulated_tasks().drop(columns="params").to_csv(tmp_path / "tasks.csv", index=False)
    code, _, err = run("fit", str(tmp_path / "tasks.csv"), *MODEL)
    assert code == 2
    assert "needs the column 'params'" in err
    assert "--join FILE" in err


@pytest.mark.parametrize(
    ("name", "options", "rows", "tasks"),
    [
        ("downstream_ladder", {"columns": {"params": "params_non_embedding"}}, 240, 10),
        ("downstream_ladder_checkpoints", {"columns": {"params": "params_non_embedding"}}, 240, 10),
        ("downstream_shapes", {}, 171, 9),
        ("downstream_open_models", {"where": "flops.notna()"}, 962, 18),
        ("overtrained_downstream", {"join": "overtrained"}, 4600, 46),
    ],
)
@pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
def test_published_tables(data_folder, name, options, rows, tasks):
    if "join" in options:
        options = {"join": load_dataset(options["join"])}
    runs = read_tasks(load_dataset(name), **options)
    assert len(runs) == rows
    assert runs.table["task"].nunique() == tasks
    assert not runs.table.duplicated(["run", "task"]).any()
    for column in ("params", "tokens", "accuracy", "chance"):
        assert runs.table[column].notna().all()


@pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
def test_the_last_checkpoint_is_the_end_of_the_run(data_folder):
    """Two published tables of one study agree where they meet."""
    names = {"params": "params_non_embedding"}
    end = read_tasks(load_dataset("downstream_ladder"), names).table
    last = read_tasks(load_dataset("downstream_ladder_checkpoints"), names).table
    both = end.merge(last, on=["run", "task"], suffixes=("", "_last"))
    assert len(both) == 240
    np.testing.assert_allclose(both["accuracy"], both["accuracy_last"], atol=1e-6)
