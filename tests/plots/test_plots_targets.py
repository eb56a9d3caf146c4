"""Pictures of tasks show what they were given, and stay readable for many of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TASK_TRUTH, check_names, known_task_fit

from bayescale import (
    Accuracies,
    FitError,
    constants_fit,
    planned_accuracy,
    plot_emergence,
    plot_predicted_tasks,
    plot_targets,
    residuals,
    summarise,
    words,
)
from bayescale.decisions.targets import usual_ratio

PLANS = pd.DataFrame({"plan": ["small", "large"], "params": [2e9, 7e9], "tokens": [4e10, 1e12]})


@pytest.fixture(scope="module")
def fit():
    return known_task_fit(100)


def lines(axis):
    return {str(line.get_label()): line for line in axis.lines}


def test_every_task_has_a_panel_with_its_chance_its_runs_and_the_plans(fit):
    accuracies = Accuracies.direct(fit)
    planned = planned_accuracy(accuracies, PLANS)
    figure = plot_targets(accuracies, planned)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["easy", "hard"]
    for task, axis in zip(accuracies.tasks, figure.axes, strict=True):
        own = lines(axis)
        assert set(own["chance"].get_ydata()) == {accuracies.chance[task]}
        law = own[f"law at D/N = {words.significant(usual_ratio(accuracies))}, 90%"]
        place, points = own["runs, at D/N of the line"].get_data()
        assert len(place) == 12
        # The runs obey the law, whose draws lie around it: moved, they lie on the line.
        middle = np.interp(np.log(place), np.log(law.get_xdata()), law.get_ydata())
        np.testing.assert_allclose(points, middle, atol=0.02)
        bars = [bar for bar in axis.containers if bar.get_label() in ("small", "large")]
        shown = [float(bar.lines[0].get_ydata()[0]) for bar in bars]
        expected = summarise(planned["accuracy"].sel(task=task)).sel(summary="median")
        np.testing.assert_allclose(shown, expected)
        assert axis.get_xlim()[1] > 4.2e22


def test_emergence_is_one_law_drawn_twice(fit):
    accuracies = Accuracies.direct(fit)
    left, right = plot_emergence(accuracies, "easy").axes
    surprise, accuracy = lines(left)["law, 90%"], lines(right)["law, 90%"]
    np.testing.assert_array_equal(surprise.get_xdata(), accuracy.get_xdata())
    least = float(accuracies.guessing().sel(task="easy").median())
    known = (accuracy.get_ydata() - least) / (1 - least)
    np.testing.assert_allclose(surprise.get_ydata(), -np.log(known), rtol=1e-2)
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    with pytest.raises(FitError, match="did you mean 'easy'"):
        plot_emergence(accuracies, "esay")


def test_runs_below_chance_are_drawn_at_the_edge(fit):
    table = fit.runs.table.assign(
        accuracy=fit.runs.table["accuracy"].where(fit.runs.table.index > 0, 0.2)
    )
    low = replace(fit, runs=replace(fit.runs, table=table))
    left, _ = plot_emergence(Accuracies.direct(low), "easy").axes
    assert len(lines(left)["runs that know no more than guessing"].get_xdata()) == 1


def test_predicted_against_observed_by_task(fit):
    table = residuals(fit)
    table.loc[0, "accuracy"] += 0.3  # far outside of what was predicted of it
    figure = plot_predicted_tasks(fit, table)
    assert [a.get_title(loc="left") for a in figure.axes] == ["easy: 11 of 12", "hard: 12 of 12"]
    assert [bar.get_label() for bar in figure.axes[0].containers] == [
        "inside its interval",
        "outside",
    ]
    alone = plot_predicted_tasks(fit, table[table["task"] == "hard"])
    assert len(alone.axes) == 1
    with pytest.raises(FitError, match="has no groups"):
        plot_predicted_tasks(fit.of_group("easy"))


def test_constants_have_no_runs_to_draw():
    fit = constants_fit("task-accuracy", **TASK_TRUTH).at(chance=0.25)
    with pytest.raises(FitError, match="no run says"):
        plot_targets(Accuracies.direct(fit))


def test_odd_names_and_many_tasks(tmp_path):
    names = [f"$t_{place}$ of a long name of a task" for place in range(6)]
    fit = known_task_fit(20, dict.fromkeys(names, 0.25))
    accuracies = Accuracies.direct(fit)
    figure = plot_targets(accuracies)
    check_names(figure, tmp_path)
    boxes = [axis.get_window_extent() for axis in figure.axes if axis.axison]
    assert len(boxes) == 6
    assert min(box.width for box in boxes) > 120
    check_names(plot_predicted_tasks(fit), tmp_path)
