"""Pictures of basins and of recipes."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import ODD_NAMES, check_names, known_recipes, simulated_shapes

import bayescale as bs
from bayescale.plots.basin import reduced

CONSTANTS = {
    **{"E": 1.8, "A": 60.0, "B": 900.0, "alpha": 0.24, "beta": 0.3, "sigma": 0.002, "nu": 5.0},
    **{"G": 40 * 4e8**0.15, "K": 0.01, "eta": -0.15, "kappa": 0.0, "asymmetry": 0.0},
}


@pytest.fixture(scope="module")
def basin_fit():
    table = simulated_shapes().drop(columns="run")
    fit = bs.constants_fit("shape-basin", **{n: v * np.ones(20) for n, v in CONSTANTS.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)  # of a swept shape
        return replace(fit, runs=bs.read_runs(table, params_are="total"))


def test_runs_are_reduced_to_the_bowl_of_their_size(basin_fit):
    table = basin_fit.runs.table
    law = 1.8 + 60 * table["params"] ** -0.24 + 900 * table["tokens"] ** -0.3
    np.testing.assert_allclose(reduced(basin_fit, "aspect_ratio"), table["loss"] / law - 1)


def test_the_basin_shows_the_bowl_of_each_size_and_the_path_of_the_best_value(basin_fit):
    figure = bs.plot_setting_basin(basin_fit, bs.setting_basin(basin_fit, [4e8, 1e9]))
    left, right = figure.axes
    labels = left.get_legend_handles_labels()[1]
    assert labels[:2] == ["400M", "1B"]
    (line,) = (own for own in right.lines if own.get_label().startswith("best value"))
    x, y = line.get_data()
    assert np.interp(np.log(4e8), np.log(x), np.log(y)) == pytest.approx(np.log(40), abs=0.01)
    assert right.get_xlabel() == "parameters N (total)"


def test_recipes_are_drawn_best_first_with_a_panel_each():
    figure = bs.plot_recipes(known_recipes(), farthest=8e8)
    fast, slow = figure.axes
    assert (fast.get_title(), slow.get_title()) == ("", "")  # titles stand at the left
    assert [axis.get_title(loc="left") for axis in (fast, slow)] == ["fast", "slow"]
    assert fast.get_xlim()[1] > 8e8
    low, high = fast.get_ylim()
    assert low < 0.9 < 1.4 < high


def test_odd_names_of_recipes(tmp_path):
    recipes = known_recipes()
    own = replace(recipes.own, recipes=ODD_NAMES)
    tree = recipes.tree.copy()
    tree["posterior"] = recipes.posterior.assign_coords(recipe=list(ODD_NAMES[1:]))
    figure = bs.plot_recipes(replace(recipes, own=own, tree=tree))
    check_names(figure, tmp_path)
