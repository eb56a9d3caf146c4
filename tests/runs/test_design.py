import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.errors import RunsError
from bayescale.runs.design import require_identifiable
from bayescale.runs.mixtures import read_mixtures
from bayescale.runs.table import Runs, read_runs

JOINT = ("params", "tokens")
PARAMS = np.geomspace(1e7, 1e10, 12)


def runs_of(params, tokens):
    loss = 2 + 300 * params**-0.3 + 900 * tokens**-0.3
    return read_runs(pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}))


@pytest.mark.parametrize(
    ("params", "tokens", "message"),
    [
        (PARAMS[:4], PARAMS[:4] ** 1.3, "4 runs cannot support a law of 5 parameters"),
        (np.full(12, 1e9), PARAMS * 20, r"about the same params \(1.00B\)"),
        (PARAMS, np.full(12, 2e10), r"about the same tokens \(20.0B\)"),
        (PARAMS, 20 * PARAMS, "proportional to params in every run .about 20 tokens"),
    ],
)
def test_design_that_cannot_answer_is_refused(params, tokens, message):
    with pytest.raises(RunsError, match=message):
        require_identifiable(runs_of(params, tokens), JOINT, 5)


def mixtures_of(params, tokens):
    shares = np.linspace(0.2, 0.8, len(params))
    table = pd.DataFrame({"params": params, "tokens": tokens, "w_a": shares, "w_b": 1 - shares})
    return read_mixtures(table.assign(loss_code=3 - shares))


def test_mixtures_at_one_ratio_are_asked_at_one_size():
    params = np.repeat([124_439_808, 1_557_611_200], 6)
    with pytest.raises(RunsError, match=r"size alone \(--where 'params == 1557611200'\)"):
        require_identifiable(mixtures_of(params, 20 * params), JOINT, 5)
    with pytest.raises(RunsError, match="against compute alone"):
        require_identifiable(runs_of(PARAMS, 20 * PARAMS), JOINT, 5)


@pytest.mark.parametrize(
    ("params", "tokens", "name"),
    [
        (PARAMS, 20 * PARAMS**1.02 * np.tile([0.8, 1.2], 6), "collinear design"),
        (np.tile([1e8, 1e9], 6), PARAMS * 30, "two levels only"),
        (1e9 * np.linspace(1, 2, 12), PARAMS * 30, "narrow range"),
        (PARAMS, 1e20 / (6 * PARAMS), "one budget only"),
        (PARAMS[:6], np.roll(PARAMS[:6], 2) * 30, "few runs"),
    ],
)
def test_weak_design_is_named(params, tokens, name):
    notices = require_identifiable(runs_of(params, tokens), JOINT, 5)
    assert name in [notice.name for notice in notices]


def test_good_design_raises_no_doubt():
    assert require_identifiable(read_runs(simulated_table()), JOINT, 5) == ()


def test_single_axis_needs_its_axis_only():
    assert require_identifiable(runs_of(PARAMS, 20 * PARAMS), ("flops",), 3) == ()


def named(notices):
    return [notice.name for notice in notices]


def test_scattered_runs_are_no_curve_of_one_axis():
    notices = require_identifiable(read_runs(simulated_table()), ("flops",), 3)
    assert named(notices) == ["not one curve"]


def test_groups_of_one_count_are_curves_of_one_axis():
    runs = read_runs(simulated_table().assign(size=lambda t: t.params.astype(str)))
    notices = require_identifiable(runs, ("tokens",), 3, group="size")
    assert "not one curve" not in named(notices)
    notices = require_identifiable(runs, ("tokens",), 3)
    assert "not one curve" in named(notices)


def test_repeated_data_and_groups_are_named_where_the_law_ignores_them():
    table = simulated_table().assign(
        unique_tokens=lambda t: t.tokens / 10, family=["a", "b"] * 15, dataset="one"
    )
    notices = require_identifiable(read_runs(table), JOINT, 5)
    assert named(notices) == ["repeated data", "groups pooled"]
    assert "family (a, b)" in notices[1].message
    assert notices[1].advice.endswith("--model chinchilla-hierarchical --group family.")


def test_mixed_runs_of_tasks_have_a_remedy_of_tasks():
    runs = read_runs(simulated_table().assign(family=["a", "b"] * 15, task=["x", "y", "z"] * 10))
    alone, _ = require_identifiable(runs, JOINT, 5, held=True)
    assert "--model task-accuracy-families --group family" in alone.advice
    (grouped,) = require_identifiable(runs, JOINT, 5, group="task", held=True)
    assert grouped.advice == "Choose one with --where."


def test_links_are_of_runs_of_all_sizes_and_a_narrow_range_of_losses():
    table = simulated_table().assign(bpb=lambda t: 0.7 + 0.1 * t["loss"].rank() / len(t))
    runs = read_runs(table)
    assert require_identifiable(runs, ("bpb",), 3, held=True) == ()
    assert "narrow range" in named(require_identifiable(runs, ("bpb",), 3))


def test_several_tasks_under_one_law_are_named():
    runs = read_runs(simulated_table().assign(task=["a", "b"] * 15))
    (pooled,) = require_identifiable(runs, JOINT, 5, held=True)
    assert pooled.message.startswith("the runs are of 2 tasks (a, b) and are fitted as one law")
    assert "tasks pooled" not in named(
        require_identifiable(runs, JOINT, 5, group="task", held=True)
    )
    assert "tasks pooled" not in named(require_identifiable(runs, JOINT, 5))  # losses of tasks
    alone = read_runs(simulated_table().assign(task="a"))
    assert require_identifiable(alone, JOINT, 5, held=True) == ()


def test_runs_of_many_tasks_are_as_few_as_they_are():
    few = read_runs(simulated_table().iloc[::4]).table
    table = pd.concat([few.assign(task=name) for name in "abcde"], ignore_index=True)
    (found,) = require_identifiable(Runs(table, "tasks"), JOINT, 5, group="task")
    assert found.message.startswith("8 runs of a task for 5 parameters")
    recipes = Runs(table.rename(columns={"task": "recipe"}), "recipes")
    assert require_identifiable(recipes, JOINT, 5, group="recipe") == ()


def repeated(epochs):
    table = simulated_table()
    return read_runs(table.assign(unique_tokens=table["tokens"] / epochs))


def test_law_of_repetition_needs_repetition():
    inputs = ("params", "tokens", "unique_tokens")
    with pytest.raises(RunsError, match="no run sees its data more than 1 times"):
        require_identifiable(repeated(np.ones(30)), inputs, 8)
    few = require_identifiable(repeated(np.geomspace(1, 4, 30)), inputs, 8)
    assert [notice.name for notice in few] == ["few epochs"]
    assert require_identifiable(repeated(np.geomspace(1, 64, 30)), inputs, 8) == ()


def test_one_amount_of_text_identifies_repetition():
    table = simulated_table()
    runs = read_runs(table.assign(unique_tokens=table["tokens"].min()))
    assert require_identifiable(runs, ("params", "tokens", "unique_tokens"), 8) == ()


def test_few_groups_are_named_and_the_group_column_is_not_pooled():
    runs = read_runs(simulated_table().assign(family=["a", "b"] * 15))
    pooled = require_identifiable(runs, ("params", "tokens"), 5)
    assert [notice.name for notice in pooled] == ["groups pooled"]
    grouped = require_identifiable(runs, ("params", "tokens"), 5, group="family")
    assert [notice.name for notice in grouped] == ["few groups"]
    many = read_runs(simulated_table().assign(family=list("abcde") * 6))
    assert require_identifiable(many, ("params", "tokens"), 5, group="family") == ()


@pytest.mark.parametrize("group", ["task", "target"])
def test_of_another_task_or_target_nothing_is_asked(group):
    runs = read_runs(simulated_table().assign(**{group: ["a", "b"] * 15}))
    found = require_identifiable(runs, ("params", "tokens"), 5, group=group)
    assert "few groups" not in [notice.name for notice in found]


@pytest.mark.parametrize(
    ("group", "several"), [("cell", "cells"), ("curve", "curves"), ("family", "groups")]
)
def test_few_groups_are_called_as_the_user_knows_them(group, several):
    runs = read_runs(simulated_table().assign(**{group: ["a", "b"] * 15}))
    (said,) = require_identifiable(runs, ("params", "tokens"), 5, group=group)
    assert said.message.startswith(f"2 {several} say little")
    assert said.advice == f"State that prior, or add {several}."


@pytest.mark.parametrize("name", ["architecture", "arch"])
def test_architectures_are_groups_where_they_name_no_size(name):
    def names(values):
        runs = read_runs(simulated_table().assign(**{name: values}))
        return [notice.name for notice in require_identifiable(runs, ("params", "tokens"), 5)]

    assert names(["rnn", "transformer"] * 15) == ["groups pooled"]
    assert names(simulated_table()["params"].map("d{:.0f}".format)) == []
    assert names(["transformer"] * 30) == []


def test_architectures_that_only_tell_models_with_experts_are_no_groups_of_a_law_of_experts():
    experts = np.tile([1, 8, 64], 10)
    table = simulated_table().assign(
        experts=experts,
        active_params=lambda dense: dense["params"],
        params=lambda dense: dense["params"] * experts,
        arch=np.where(experts > 1, "moe", "dense"),
    )

    def names(table, *inputs):
        found = require_identifiable(read_runs(table), inputs, 5)
        return [notice.name for notice in found]

    law = ("active_params", "tokens", "experts")
    assert "groups pooled" not in names(table, *law)
    assert "groups pooled" in names(table, "active_params", "tokens")
    assert "groups pooled" in names(table.assign(arch=["rnn", "transformer"] * 15), *law)


def test_a_bowl_needs_no_range_and_cells_are_a_curve_each():
    table = pd.DataFrame(
        {
            "params": np.repeat([1e8, 4e8], 6),
            "tokens": np.repeat([2e9, 8e9], 6),
            "learning_rate": np.tile([0.001, 0.0015, 0.002], 4),
            "loss": np.linspace(3, 2, 12),
            "cell": np.repeat(["a", "b"], 6),
        }
    )
    runs = Runs(table, "a sweep")

    def names(**options):
        found = require_identifiable(runs, ("learning_rate",), 4, **options)
        return [one.name for one in found]

    assert names(group="cell", bowl=True) == ["few groups"]
    assert "not one curve" in names()  # two sizes that nothing tells apart
    assert "narrow range" in names(group="cell")
