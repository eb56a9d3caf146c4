"""Pictures of one panel go into a panel of the caller's; wrong arguments get one sentence."""

import inspect
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import (
    EXPERTS,
    TRUTH,
    known_fit,
    known_grouped_fit,
    known_settings,
    known_transfer,
    simulated_experts,
    simulated_table,
)

import bayescale as bs
from bayescale import plots
from bayescale.errors import BayescaleError
from bayescale.plots.style import picture, styled

OWN = Path(__file__).parents[1] / "own_laws"
PLAN = {"params": 1.6e9, "tokens": 2.56e11}
REPETITION = {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.353}


def cost(small_fit):
    fit = known_fit(50)
    target = bs.target_loss(fit, flops=1e24)
    sizes = bs.at_size(fit, target, np.geomspace(1e8, 4e11, 12).tolist(), 1e13)
    return sizes, bs.cheapest(fit, target, 1e13)


def next_runs(small_fit):
    ask = bs.log_optimum(small_fit, 1e23)
    return bs.suggest_runs(small_fit, ask, max_flops=1e22), small_fit.runs


def multiplier(small_fit):
    fit = known_grouped_fit(draws=50, plain={}, slow={"E": 1.9})
    return (bs.compute_multiplier(fit, "slow", "plain", same_validation=True),)


def repetition(small_fit):
    return (bs.constants_fit("data-constrained-published", **REPETITION, R_D=15.4, R_N=5.3),)


def shape(small_fit):
    x = np.geomspace(1e8, 1e10, 12)
    return (bs.classify_curve(x, 2 + 100 * x**-0.3),)


def forecast(small_fit):
    x = np.geomspace(1e8, 1e10, 12)
    table = pd.DataFrame({"tokens": x, "loss": 2 + 100 * x**-0.3})
    return (bs.forecast_curves(table, None, "tokens", "loss", at=[1e11])[0],)


def best_rate(small_fit):
    model = OWN / "learning-rate.toml"
    fit = bs.constants_fit(model, **TRUTH, peak=1e-3, width=8.0, sigma=0.01)
    table = simulated_table().assign(learning_rate=np.tile([3e-4, 1e-3, 3e-3], 10))
    fit = replace(fit, runs=bs.read_runs(table))
    return fit, bs.optimum(fit, "learning_rate", params=1e9, tokens=2e10)


def known_experts():
    values = {name: value * np.ones(20) for name, value in EXPERTS.items()}
    own = bs.constants_fit("experts", **values, sigma=np.full(20, 0.002), nu=np.full(20, 5.0))
    return {"all": replace(own, runs=bs.read_runs(simulated_experts()))}


SINGLE = {
    "plot_cost": cost,
    "plot_curve": lambda fit: (fit,),
    "plot_decision": lambda fit: (fit, [1e22]),
    "plot_experts": lambda fit: (known_experts(),),
    "plot_forecast": forecast,
    "plot_isoflop": lambda fit: (fit,),
    "plot_multiplier": multiplier,
    "plot_next_runs": next_runs,
    "plot_optimum": best_rate,
    "plot_predicted": lambda fit: (fit,),
    "plot_repetition_value": repetition,
    "plot_setting_costs": lambda fit: (known_settings(), PLAN),
    "plot_setting_path": lambda fit: (known_settings(), "learning_rate", "params", [PLAN]),
    "plot_shape": shape,
    "plot_transfer": lambda fit: (bs.transfer(known_transfer(), to=4096),),
}


@pytest.mark.parametrize("name", plots.__all__)
def test_every_picture_takes_a_panel_or_says_that_it_has_several(name):
    draw = getattr(plots, name)
    assert inspect.unwrap(draw) is not draw  # refuses wrong types
    several = "Of several panels." in draw.__doc__
    assert ("ax" in inspect.signature(draw).parameters) is (name in SINGLE) is not several


@pytest.mark.parametrize("name", SINGLE)
def test_a_panel_of_the_callers_is_drawn_in(name, small_fit, tmp_path):
    draw, given = getattr(plots, name), SINGLE[name](small_fit)
    assert len(draw(*given).axes) == 1 + (name == "plot_next_runs")  # a bar of colours
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5), layout="constrained")
    assert draw(*given, ax=left) is figure
    assert left.has_data()
    assert not right.has_data()
    assert figure.legends == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("name", plots.__all__)
def test_wrong_types_are_refused_in_one_sentence(name, small_fit):
    draw = getattr(plots, name)
    parameters = list(inspect.signature(draw).parameters.values())
    needed = [own for own in parameters if own.default is own.empty]
    with pytest.raises(BayescaleError, match=r"must be a .*; bayescale|; give what bayescale"):
        draw(*(object() for _ in needed))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda fit: plots.plot_curve(fit.runs),
            "fit must be a Fit, not a Runs; bayescale.fit(runs) makes one",
        ),
        (
            lambda fit: plots.plot_allocation(fit, [1e24]),
            "plot_allocation cannot draw a list as its optima; give what bayescale.compute_optimal "
            "returns",
        ),
        (
            lambda fit: plots.plot_wall(bs.compute_optimal(fit, 1e24)),
            "give what bayescale.best_under_wall returns",
        ),
        (
            lambda fit: plots.plot_curve(fit, ax=plt.subplots(1, 2)[1]),
            "not a ndarray; axes[0] of plt.subplots(1, 2) is one",
        ),
        (lambda fit: plots.plot_checks(fit), "bayescale.check_fit(fit) makes them"),
    ],
)
def test_a_refusal_says_what_to_give(small_fit, ask, said):
    with pytest.raises(BayescaleError) as refused:
        ask(small_fit)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_error_of_a_picture_without_a_dataset_is_no_refusal():
    @picture
    def plot_nothing(fit: bs.Fit):
        raise KeyError("missing")

    with pytest.raises(KeyError):
        plot_nothing(known_fit())
    with pytest.raises(BayescaleError, match="fit must be a Fit"):
        plot_nothing(xr.Dataset())


def test_what_a_backend_turns_on_at_the_first_picture_stays_on():
    """Notebooks show figures while Matplotlib is interactive, which their backend turns on late."""
    with mpl.rc_context({"interactive": False, "grid.linewidth": 7}):
        with styled():
            assert mpl.rcParams["grid.linewidth"] != 7
            mpl.interactive(True)  # as the backend of notebooks does when its first figure is made
        assert mpl.is_interactive()
        assert mpl.rcParams["grid.linewidth"] == 7
