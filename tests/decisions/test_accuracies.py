"""Accuracies of tasks by one law, and by a loss that feeds a link, of hand-made posteriors."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayescale import Accuracies, Fit, FitError, Runs, constants_fit, parse_model

OF_ACCURACY = """
law = "task_accuracy"
group = "task"

[pooling]
level = "none"
alpha = "none"

[priors]
level = { dist = "Normal", mu = -0.3, sigma = 1.0 }
split = { dist = "LogitNormal", mu = 0.0, sigma = 0.8 }
alpha = { dist = "LogNormal", mu = -1.27, sigma = 0.4 }
beta = { dist = "LogNormal", mu = -1.27, sigma = 0.4 }

[noise]
dist = "Binomial"
"""
OF_FLOPS = """
law = "accuracy_power_law"
axis = "flops"

[response]
chance = 0.25
trials = 400

[priors]
level = { dist = "Normal", mu = -0.3, sigma = 1.0 }
gamma = { dist = "LogNormal", mu = -1.27, sigma = 0.4 }

[noise]
dist = "Binomial"
"""
TRUTH = {"A": 60.0, "B": 900.0, "alpha": 0.25, "beta": 0.3}
N, D = np.array([1e9, 7e9]), np.array([2e10, 1e12])


def known(text, table, **values):
    """A posterior of given draws: arrays are (draws,) or (draws, groups)."""
    spec = parse_model(text, "known")
    dims = ("chain", "draw", "group")
    groups = sorted(table[spec.group].unique()) if spec.group else []
    found = xr.Dataset(coords={"group": groups} if groups else {})
    for name, value in values.items():
        array = np.asarray(value, dtype=float)[None]
        found[name] = (dims[: array.ndim], array)
    return Fit(spec, Runs(table, "known"), xr.DataTree.from_dict({"posterior": found}))


def of_tasks(**tasks):
    """One row a task, with its chance level and number of items."""
    table = pd.DataFrame([{"run": name, "task": name, **values} for name, values in tasks.items()])
    return table.assign(params=1e9, tokens=2e10, flops=1.2e20, accuracy=0.5)


TASKS = of_tasks(easy={"chance": 0.25, "trials": 1000.0}, hard={"chance": 0.0, "trials": 40.0})


def direct_fit(draws=50, table=TASKS):
    rng = np.random.default_rng(1)
    each = {name: value * np.exp(0.1 * rng.standard_normal(draws)) for name, value in TRUTH.items()}
    two = {name: np.stack([each[name], 1.5 * each[name]], axis=-1) for name in ("A", "alpha")}
    return known(OF_ACCURACY, table, **{**each, **two})


def test_a_direct_law_says_each_task_at_its_own_chance_level():
    fit = direct_fit()
    accuracies = Accuracies.direct(fit)
    found = accuracies.at(N, D)
    assert accuracies.tasks == ("easy", "hard")
    assert (accuracies.chance, accuracies.trials) == (
        {"easy": 0.25, "hard": 0.0},
        {"easy": 1000.0, "hard": 40.0},
    )
    assert dict(found.sizes) == {"chain": 1, "draw": 50, "task": 2, "plan": 2}
    for place, (task, chance) in enumerate(accuracies.chance.items()):
        own = {name: fit.natural[name] for name in TRUTH}
        own = {
            n: (v.isel(group=place) if "group" in v.dims else v).to_numpy() for n, v in own.items()
        }
        for plan in range(2):
            lost = own["A"] * N[plan] ** -own["alpha"] + own["B"] * D[plan] ** -own["beta"]
            expected = chance + (1 - chance) * np.exp(-lost)
            np.testing.assert_allclose(found.sel(task=task).isel(plan=plan), expected, rtol=1e-12)


def test_one_task_is_as_it_is_among_all():
    fit = direct_fit()
    alone = Accuracies.direct(fit.of_group("hard"))
    assert alone.tasks == ("hard",)
    xr.testing.assert_allclose(alone.at(N, D), Accuracies.direct(fit).at(N, D).sel(task=["hard"]))
    xr.testing.assert_allclose(alone.at(N, D), Accuracies.direct(fit).of(["hard"]).at(N, D))


def test_measured_accuracies_are_whole_numbers_of_items_about_the_law():
    accuracies = Accuracies.direct(direct_fit(4000))
    law, new = accuracies.at(N, D), accuracies.new(N, D)
    counts = new * xr.DataArray([1000, 40], dims="task")
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    apart = (new - law).std(("chain", "draw"))
    expected = np.sqrt(
        (law * (1 - law)).mean(("chain", "draw")) / counts.task.copy(data=[1000, 40])
    )
    np.testing.assert_allclose(apart, expected, rtol=0.1)
    assert new.identical(accuracies.new(N, D, seed=1))
    assert not new.equals(accuracies.new(N, D, seed=2))


def test_an_axis_of_compute_is_what_plans_cost():
    fit = known(OF_FLOPS, TASKS.drop(columns=["chance", "trials"]), A=[3e4], gamma=[0.25])
    accuracies = Accuracies.direct(fit)
    expected = 0.25 + 0.75 * np.exp(-3e4 * (6 * N * D) ** -0.25)
    np.testing.assert_allclose(accuracies.at(N, D).squeeze(), expected, rtol=1e-12)
    assert accuracies.trials == {"accuracy": 400.0}


def test_what_is_no_law_of_an_accuracy_of_plans_is_refused():
    loss = constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    with pytest.raises(FitError, match="says the loss of a run, not the accuracy"):
        Accuracies.direct(loss)
    other = known(OF_FLOPS.replace('"flops"', '"bpb"'), TASKS.assign(bpb=1.0), A=[3], gamma=[0.3])
    with pytest.raises(FitError, match="reads bpb, which params and tokens of a plan do not say"):
        Accuracies.direct(other)
    mixed = pd.concat([TASKS, TASKS.assign(chance=0.5)])
    with pytest.raises(FitError, match=r"task easy have the chance levels 0\.25 to 0\.5"):
        Accuracies.direct(direct_fit(table=mixed))
    with pytest.raises(FitError, match="no task 'hrad'; did you mean"):
        Accuracies.direct(direct_fit()).of(["hrad"])


def test_constants_say_what_is_missing():
    fit = constants_fit("task-accuracy", **TRUTH)
    with pytest.raises(FitError, match=r"nothing says the chance of the task accuracy: give"):
        Accuracies.direct(fit).at(1e9, 2e10)
    given = Accuracies.direct(fit.at(chance=0.25))
    assert given.at(1e9, 2e10).shape == (1, 1, 1, 1)
    with pytest.raises(FitError, match="nothing says the trials"):
        given.new(1e9, 2e10)
