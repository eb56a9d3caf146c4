"""What is said of the settings of planned runs, on draws of the prior in place of a posterior."""

from functools import cache

import pytest
import xarray as xr
from conftest import KNOBS, quietly, simulated_settings

from bayescale import FitError, answer_tuning
from bayescale.decisions.tune import _said_of_basin
from bayescale.modelling.build import draw_prior, model_data
from bayescale.modelling.tuning import sweep_model
from bayescale.posterior.fit import Fit
from bayescale.runs.sweeps import as_sweep


@cache
def drawn(sizes=(1e8, 2e8, 4e8)) -> Fit:
    runs = quietly(as_sweep, simulated_settings(sizes=sizes), KNOBS)
    spec = sweep_model(runs, KNOBS)
    data = model_data(spec, runs)
    labels = {
        "group": sorted(runs.table["cell"].unique()),
        "cluster": sorted(runs.table["size"].unique()),
    }
    posterior = draw_prior(spec, data, draws=100, seed=3)
    posterior = posterior.assign_coords({n: labels[n] for n in labels if n in posterior.dims})
    constant = {"group_index": ("obs", data["group_index"])}
    constant |= {f"reference_{name}": data[f"reference_{name}"] for name in spec.inputs}
    nodes = {
        "posterior": posterior,
        "prior": posterior,
        "constant_data": xr.Dataset(constant),
        "observed_data": xr.Dataset({"log_loss": ("obs", data["observed"])}),
    }
    return Fit(spec, runs, xr.DataTree.from_dict(nodes))


def test_of_one_size_no_other_is_told():
    with pytest.raises(FitError, match=r"about 100M params, so no run says .* move to 7.00B; ask"):
        answer_tuning(drawn((1e8,)), [{"params": 7e9, "tokens": 1.6e10}])


def test_of_one_size_it_is_told_itself_at_other_tokens():
    answer = answer_tuning(drawn((1e8,)), [{"params": 1.1e8, "tokens": 1e12}])
    assert answer.numbers["plans"][0]["decades_beyond"] > 1
    assert list(answer.numbers["exponents"][KNOBS[0]]) == ["tokens"]


def ends(low, high):
    names = ("q05", "median", "q95")
    return {"low": dict(zip(names, low, strict=True)), "high": dict(zip(names, high, strict=True))}


def test_a_basin_is_what_every_draw_but_few_agrees_on():
    known = ends((1e-3, 1.2e-3, 1.5e-3), (3e-3, 4e-3, 5e-3))
    said = _said_of_basin("rate", known, 0.005)
    assert (
        said == "rate from 1.50e-3 to 3.00e-3 loses less than 0.5% of it, 95% sure at either end."
    )


def test_where_draws_disagree_no_value_is_sure():
    said = _said_of_basin("rate", ends((1e-3, 2e-3, 4e-3), (3e-3, 6e-3, 8e-3)), 0.005)
    assert said.startswith("No rate is sure to lose less than 0.5% of it: the ends of such")
    none = _said_of_basin("rate", ends((None,) * 3, (None,) * 3), 0.005)
    assert none == "No rate is sure to lose less than 0.5% of it."
