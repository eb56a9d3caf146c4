"""A sweep has a model with the trends and clusters that its cells can teach."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

from bayescale.errors import ModelError, RunsWarning
from bayescale.modelling.build import model_data, variables_of
from bayescale.modelling.tuning import sweep_model
from bayescale.runs.sweeps import read_sweep

PAIR = ["learning_rate", "batch_size"]


def sweep(cells, batches=(64, 128, 256)):
    rows = [
        {"params": n, "tokens": d, "learning_rate": x, "batch_size": b, "loss": 3 + 1e9 / d + x / b}
        for n, d in cells
        for x, b in itertools.product((0.001, 0.002, 0.004), batches)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return read_sweep(pd.DataFrame(rows), PAIR)


GRID = list(itertools.product((1e8, 2e8, 4e8), (4e9, 8e9)))


def test_a_grid_of_cells_has_all_trends_and_effects_of_sizes():
    spec = sweep_model(sweep(GRID), PAIR)
    assert (spec.name, spec.axes, spec.group, spec.cluster) == (
        "tuning-pair",
        ("learning_rate", "batch_size"),
        "cell",
        "size",
    )
    assert spec.covariates == ("params", "tokens")
    names = [own.name for own in variables_of(spec, model_data(spec, sweep(GRID)))]
    assert {"place_along_params", "place_cluster_scale", "second_place_offset"} <= set(names)


@pytest.mark.parametrize(
    ("cells", "covariates", "cluster"),
    [
        ([(1e8, 4e9), (1e8, 8e9), (1e8, 16e9)], ("tokens",), None),
        ([(1e8, 4e9), (2e8, 4e9), (4e8, 4e9)], ("params",), None),
        ([(1e8, 4e9), (2e8, 8e9), (4e8, 16e9)], ("params", "tokens"), None),
        (GRID[:4], ("params", "tokens"), None),
        (GRID[:5], ("params", "tokens"), "size"),
    ],
)
def test_trends_are_along_what_differs_and_sizes_count_from_three_on(cells, covariates, cluster):
    spec = sweep_model(sweep(cells), PAIR)
    assert (spec.covariates, spec.cluster) == (covariates, cluster)
    assert bool(spec.cluster_scales) == (cluster is not None)
    assert model_data(spec, sweep(cells))["group_index"].max() == len(cells) - 1


def test_a_single_cell_has_a_bowl_without_a_population():
    runs = sweep(GRID[:1])
    spec = sweep_model(runs, PAIR)
    assert (spec.group, spec.partial, spec.covariates) == (None, (), ())
    assert "group_index" not in model_data(spec, runs)


def test_no_bowl_is_of_three_knobs():
    runs = sweep(GRID)
    table = runs.table.assign(warmup=np.tile([100.0, 200.0, 300.0], len(runs) // 3))
    three = type(runs)(table, "a test")
    with pytest.raises(ModelError, match=r"3 knobs vary within cells .*bowls are of one or two"):
        sweep_model(three, [*PAIR, "warmup"])


def test_a_knob_that_is_constant_is_dropped():
    spec = sweep_model(sweep(GRID, batches=(64,)), PAIR)
    assert (spec.name, spec.axes) == ("tuning", ("learning_rate",))
