"""The largest batch size by a sweep: the formula by brute force, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_fit
from scipy.optimize import brentq

from bayescale import Fit, FitError, answer_batch, load_model, surface_batches
from bayescale.laws import LAWS
from bayescale.runs.table import Runs

CURVATURE, SLOPE = 0.02, 0.4  # h, and exponent of the best batch size in tokens
AT = {"params": 3e8, "tokens": 6e9}


def least(params, tokens):
    """Losses whose slope in log tokens is a line in it."""
    away = np.log(tokens / 6e9)
    return 3.0 * (params / 3e8) ** -0.05 * np.exp(-0.06 * away + 0.004 * away**2)


def surface_fit(tokens=(2e9, 4e9, 1e10, 2e10)):
    """A hand-made posterior of a sweep, all of whose draws are the truth."""
    spec = load_model("tuning-pair")
    cells = [(n, d) for n in (1e8, 3e8, 9e8) for d in tokens]
    names = [f"{n:g} {d:g}" for n, d in cells]
    table = pd.DataFrame(cells, columns=["params", "tokens"]).assign(
        cell=names, size=[f"{n:g}" for n, _ in cells], learning_rate=1e-3, batch_size_tokens=2e5
    )
    table = table.assign(run=names, loss=3.0, ceiling=3.3, flops=1e20)
    ones = xr.DataArray(np.ones((2, 50)), dims=("chain", "draw"))
    values = {
        "second_place_population": 0.0,
        "second_place_along_params": 0.0,
        "second_place_along_tokens": SLOPE,
        "second_curvature_population": CURVATURE,
        "second_curvature_along_params": 0.0,
        "second_curvature_along_tokens": 0.0,
    }
    whole = {"coupling": 0.7, "turn": 0.0, "asymmetry": 0.5, "sigma": 0.001, "nu": 5.0}
    for name in ("place", "second_place", "curvature", "second_curvature"):
        values |= {f"{name}_scale": 0.1, f"{name}_cluster_scale": 0.1}
        for own in (f"{name}_along_params", f"{name}_along_tokens"):
            values.setdefault(own, 0.0)
    values |= {"place_population": 0.0, "curvature_population": 0.01}
    posterior = xr.Dataset({name: value * ones for name, value in (values | whole).items()})
    lowest = xr.DataArray([least(*own) for own in cells], dims="group", coords={"group": names})
    of_groups = {"L_min": lowest, "level": np.log(lowest)}
    varying = ("place", "second_place", "curvature", "second_curvature", "x_best", "z_best")
    of_groups |= dict.fromkeys(varying, 1.0 + 0.0 * lowest)
    for name, value in of_groups.items():
        posterior[name] = (ones * value).transpose("chain", "draw", "group")
    known = xr.Dataset({"reference_batch_size_tokens": 2e5, "reference_learning_rate": 1e-3})
    prior = posterior[["level"]]
    tree = xr.DataTree.from_dict({"posterior": posterior, "constant_data": known, "prior": prior})
    tree.attrs = {"model": spec.name, "model_spec": spec.source}
    return Fit(spec, Runs(table, "known sweep"), tree)


def test_the_largest_batch_loses_what_more_tokens_make_up_for():
    sweep = surface_fit()
    found = surface_batches(sweep, {"own": AT}, 0.01).isel(chain=0, draw=0, curve=0)
    middle = 10 ** np.log10(sweep.runs.table["tokens"]).mean()
    best = 2e5 * (AT["tokens"] / middle) ** SLOPE
    assert float(found["best"]) == pytest.approx(best)
    assert float(found["loss_slope"]) == pytest.approx(0.06)
    shape = {"x_best": 1e-3, "curvature": 0.01, "asymmetry": 0.5, "coupling": 0.7, "turn": 0.0}
    bowl = {**shape, "z_best": best, "second_curvature": CURVATURE}

    def lost(log_batch):
        """By the law itself, the rate at its best for the batch: at 1% more tokens."""
        batch = np.exp(log_batch)
        rates = np.geomspace(1e-4, 1e-2, 4001)
        low = least(AT["params"], 1.01 * AT["tokens"])
        swept = LAWS["response_surface"](rates, batch, L_min=low, **bowl).min()
        return swept - least(AT["params"], AT["tokens"])

    largest = np.exp(brentq(lost, np.log(best * 1.01), np.log(best * 100)))
    assert float(found["largest"]) == pytest.approx(largest, rel=0.01)


def test_a_joint_law_may_say_what_more_tokens_are_worth():
    joint, sweep = known_fit(), surface_fit()
    law = {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36}
    found = surface_batches(sweep, {"own": AT}, joint=joint)["loss_slope"]
    loss = LAWS["chinchilla"](AT["params"], AT["tokens"], **law)
    slope = law["beta"] * law["B"] * AT["tokens"] ** -law["beta"] / loss
    assert float(found.median()) == pytest.approx(slope, rel=0.02)
    assert found.sizes["draw"] == 50


def test_where_more_tokens_do_not_help_nothing_is_said():
    found = surface_batches(surface_fit(), {"own": {**AT, "tokens": 6e13}})
    assert (found["loss_slope"] < 0).all()
    assert np.isnan(found["largest"]).all()


def test_what_cannot_say_it_is_refused():
    with pytest.raises(FitError, match="a fit of the law response_surface"):
        surface_batches(known_fit(), {"own": AT})
    with pytest.raises(FitError, match="too few numbers of tokens"):
        surface_batches(surface_fit(tokens=(2e9, 4e9)), {"own": AT})


def test_both_stand_side_by_side(steps_fit):
    answer = answer_batch(steps_fit, 8e9, surface=surface_fit())
    swept = [entry["surface"] for entry in answer.numbers["curves"]]
    assert all(own["largest"]["median"] > own["best"]["median"] for own in swept[:3])
    first = answer.numbers["curves"][0]
    more = 0.2 * first["batches"]["noise"]["median"]
    assert swept[0]["by_steps"]["median"] == pytest.approx(
        more + 1.2 * swept[0]["best"]["median"], rel=1e-6
    )
    assert "80.0M parameters" in str(answer)
    assert str(answer).endswith("with all else at its best for each.")
