"""A report of accuracies shows the tasks: of hand-made posteriors."""

import json
from dataclasses import replace

import jsonschema
import pytest
from conftest import known_fit, known_grouped_fit, known_task_fit

from bayescale.decisions.headline import headline
from bayescale.decisions.multiplier import multipliers
from bayescale.decisions.predictions import answer_predictions
from bayescale.decisions.targets import accuracies_of, answer_tasks
from bayescale.report.page import decision_pictures, task_sections
from bayescale.report.schema import schema_of
from bayescale.report.write import _runs_of


@pytest.fixture(scope="module")
def fit():
    return known_task_fit(100)


def test_each_task_says_how_much_its_largest_run_knows(fit):
    answer = answer_tasks(fit)
    easy, hard = answer.numbers["tasks"]
    assert (easy["task"], easy["runs"], easy["items"], easy["chance"]) == ("easy", 12, 1000, 0.25)
    least = 0.25 + 0.75 * 0.003  # a little more than the chance level is known without training
    assert easy["known"]["median"] == pytest.approx((easy["observed"] - least) / 0.75, abs=0.02)
    assert hard["known"]["median"] < easy["known"]["median"]
    assert answer.sentences == ()
    schema = schema_of("report")
    task = {"$defs": schema["$defs"], **schema["$defs"]["Task"]}
    jsonschema.validate(json.loads(json.dumps(easy)), task)


def test_a_task_that_is_hardly_known_is_named(fit):
    posterior, tree = fit.posterior, fit.tree.copy()
    posterior["A"] = posterior["A"] * (1 + 3 * (posterior["group"] == "hard"))
    tree["posterior"] = posterior.transpose("chain", "draw", "group")
    answer = answer_tasks(replace(fit, tree=tree))
    assert answer.sentences == (
        "The largest runs know less than 10% beyond guessing of hard: how such a task goes on is "
        "the prior's word.",
    )


def test_the_page_opens_with_all_tasks_and_shows_the_least_known_twice(fit):
    (opening,) = decision_pictures(fit, [1e21])
    assert opening.title == "Accuracy of the tasks"
    assert len(opening.figure.axes) == 2
    assert opening.figure.axes[0].get_xlim()[1] >= 1e21
    table, twice = task_sections(accuracies_of(fit))
    assert table.table["task"].tolist() == ["easy", "hard"]
    assert twice.title == "Emergence: hard"


def test_the_page_counts_runs_and_not_their_rows(fit):
    table = fit.runs.table
    assert _runs_of(fit) == f"{len(table)} runs"
    named = table.assign(run=table["params"].astype(str) + table["tokens"].astype(str))
    shared = replace(fit, runs=replace(fit.runs, table=named))
    assert _runs_of(shared) == f"{len(table)} rows of {len(table) // 2} runs"


def test_many_groups_have_a_row_each_in_the_headline(fit):
    many = known_task_fit(50, {f"task {place}": 0.25 for place in range(5)})
    numbers = answer_predictions(many, [1e20, 1e21]).numbers
    found = headline({**numbers, "groups": {"column": "task"}}, many.spec.response)
    assert found.columns == (
        "task",
        "accuracy at 1e20 FLOPs",
        "accuracy at 1e21 FLOPs",
        "beyond the runs",
        "verdict",
    )
    assert len(found.rows) == 5
    median = numbers["predictions"][0]["accuracy"]["median"]
    assert found.rows[0][1].text == f"{median:.1%}"
    few = headline(answer_predictions(fit, [1e20, 1e21]).numbers, fit.spec.response)
    assert len(few.rows) == 4


def test_tasks_need_no_compute_of_one_another(fit):
    assert multipliers(fit, same_validation=True) == []
    assert len(multipliers(known_grouped_fit(a={}, b={"E": 1.9}), same_validation=True)) == 1


def test_fits_of_losses_have_no_tasks():
    assert accuracies_of(known_fit(10)) is None
    assert answer_tasks(known_fit(10)).numbers["tasks"] == []
