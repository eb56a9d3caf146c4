"""Pictures of decisions show what they were given."""

import numpy as np
import pandas as pd
import pytest
from conftest import known_fit
from matplotlib import pyplot as plt

from bayescale import (
    at_size,
    best_under_wall,
    cheapest,
    constants_fit,
    log_optimum,
    plan_outcomes,
    plot_cost,
    plot_next_runs,
    plot_overtraining,
    plot_plans,
    plot_wall,
    rank_plans,
    read_plans,
    suggest_runs,
    target_loss,
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_serving_marks_published_models_and_draws_the_median():
    fit = known_fit(50)
    found = cheapest(fit, target_loss(fit, flops=1e24), [1e12, 1e13, 1e14])
    left, right = plot_overtraining(found).axes
    assert {text.get_text() for text in left.texts} == {"GPT-3", "Chinchilla", "Llama 3 70B"}
    middle = found["tokens_per_param"].median(("chain", "draw"))
    np.testing.assert_allclose(left.lines[0].get_ydata(), middle)
    assert "saved" in right.get_ylabel()


def test_cost_has_its_unit_and_leaves_out_what_does_not_reach_the_loss():
    fit = known_fit(50)
    target = target_loss(fit, flops=1e24)
    sizes = at_size(fit, target, np.geomspace(1e8, 4e11, 12).tolist(), 1e13)
    axis = plot_cost(sizes, cheapest(fit, target, 1e13)).axes[0]
    assert axis.get_ylabel() == "cost (FLOPs)"
    assert np.isfinite(axis.lines[0].get_ydata()).all()
    assert len(axis.lines[0].get_ydata()) < 12


def test_plans_come_best_first_from_the_top():
    fit = known_fit(50)
    table = pd.DataFrame({"params": [1e9, 3e10, 3e11]})
    plans = read_plans(table.assign(tokens=1e23 / (6 * table["params"])))
    ranked = rank_plans(plan_outcomes(fit, plans))
    left, _ = plot_plans(ranked).axes
    assert left.get_yticklabels()[-1].get_text() == ranked.attrs["choice"]


def test_next_runs_are_ringed(small_fit):
    suggestion = suggest_runs(small_fit, log_optimum(small_fit, 1e23), max_flops=1e22)
    axis = plot_next_runs(suggestion, small_fit.runs).axes[0]
    ring = next(line for line in axis.lines if line.get_label() == "next")
    np.testing.assert_allclose(ring.get_xdata(), suggestion.picks["params"])


def test_the_wall_lies_above_fresh_data():
    fit = constants_fit(
        "data-constrained",
        E=1.8,
        A=400.0,
        B=1500.0,
        alpha=0.34,
        beta=0.36,
        R_D=15.0,
        R_N=5.0,
        r_N=-0.3,
    )
    left, right = plot_wall(best_under_wall(fit, [1e20, 1e21, 1e22], 1e9)).axes
    with_wall, fresh = (line.get_ydata() for line in left.lines)
    assert (with_wall >= fresh).all()
    assert right.get_ylabel().startswith("epochs")
