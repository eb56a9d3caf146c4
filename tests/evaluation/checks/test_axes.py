"""Shapes along the axes of a table: curves that are power laws, curves that are not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, known_fit, known_grouped_fit

from bayescale import Fit, Runs, constants_fit, load_model
from bayescale.evaluation.checks.axes import _levels, axis_checks
from bayescale.laws import ACCURACY, plateau_power_law, quantity
from bayescale.runs.check import Status


def grid_fit(bent: int = 0, by: float = 0.5) -> Fit:
    """Eight sizes on eight numbers of tokens each; the loss of `bent` sizes rises at the end."""
    params, tokens = (
        axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e10, 8), np.geomspace(1e9, 1e12, 8))
    )
    if bent:  # numbers of tokens of its own for each size: no curves along params
        tokens = tokens * (params / params.min()) ** 0.1
    loss = TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"]
    loss += TRUTH["B"] * tokens ** -TRUTH["beta"]
    loss *= np.exp(0.003 * np.random.default_rng(5).standard_normal(loss.shape))
    bends = np.isin(params, np.unique(params)[:bent]) & (tokens > 1e11)
    loss = loss * np.where(bends, 1 + by * np.log10(tokens / 1e11), 1.0)
    table = pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})
    table = table.assign(run=table.index.astype(str), flops=6 * params * tokens)
    fit = known_fit(10)
    return Fit(fit.spec, Runs(table, "a grid"), fit.tree)


def test_power_laws_pass_along_both_axes():
    checks = {check.name: check for check in axis_checks(grid_fit())}
    assert set(checks) == {"shape along params", "shape along tokens"}
    assert all(check.status is Status.PASS for check in checks.values())
    assert "of 8 curves" in checks["shape along tokens"].message


@pytest.mark.parametrize(("bent", "status"), [(1, Status.REVIEW), (4, Status.FAIL)])
def test_curves_that_rise_are_found(bent, status):
    check = next(c for c in axis_checks(grid_fit(bent)) if c.name == "shape along tokens")
    assert check.status is status
    assert check.statistic == bent / 8
    assert check.detail.label == "non_monotone"
    assert f"{bent} non_monotone" in check.message


def test_one_axis_alone_is_one_curve():
    made = constants_fit("power-law", E=1.7, A=400.0, alpha=0.3)
    axis = made.spec.inputs[0]
    table = grid_fit().runs.table.query("params == params.max() and tokens < 2e11")
    table = table.assign(**{axis: table["tokens"]})
    (check,) = axis_checks(Fit(made.spec, Runs(table, "a curve"), made.tree))
    assert (check.name, check.along) == (f"shape along {axis}", axis)
    assert check.detail.label == "power_law"
    assert check.status is Status.PASS


@pytest.mark.parametrize(
    ("model", "status"), [("plateau-power-law", Status.PASS), ("power-law", Status.FAIL)]
)
def test_a_break_speaks_against_laws_that_have_none(model, status):
    flops = np.geomspace(1e3, 1e8, 25)
    law = {"E": 0.3, "U": 2.3, "x_bend": 3e4, "alpha": 0.4, "width": 0.7}
    loss = plateau_power_law(flops, **law) * np.exp(
        0.008 * np.random.default_rng(0).standard_normal(25)
    )
    spec = load_model(model)
    runs = Runs(pd.DataFrame({"flops": flops, "loss": loss}), "a plateau")
    made = Fit(spec, runs, known_fit(10).tree)
    (check,) = axis_checks(made)
    assert check.detail.label in ("broken", "saturated_guess")
    assert check.status is status
    assert bool(check.advice) == (status is Status.FAIL)


def test_isoflops_alone_have_no_curves_and_groups_are_kept_apart(small_fit):
    assert axis_checks(small_fit) == []  # no two runs are equal in params or in tokens
    assert axis_checks(known_grouped_fit(a={}, b={"E": 2.5})) == []


def test_repeated_data_are_no_power_law():
    fit = constants_fit("data-constrained", **TRUTH, R_D=15.0, R_N=5.0, r_N=-0.5)
    table = grid_fit().runs.table.assign(unique_tokens=1e10)
    assert axis_checks(Fit(fit.spec, Runs(table, "repeated"), fit.tree)) == []


def single_axis_fit(loss: np.ndarray, tokens: np.ndarray, **columns: object) -> Fit:
    made = constants_fit("power-law-tokens", E=1.7, A=400.0, alpha=0.3)
    table = pd.DataFrame({"tokens": tokens, "loss": loss, **columns})
    return Fit(made.spec, Runs(table.assign(run=table.index.astype(str)), "a curve"), made.tree)


def test_densely_measured_axes_are_curves_as_well():
    tokens = np.geomspace(1e9, 1e11, 300)  # 1.5% apart
    noise = np.exp(0.003 * np.random.default_rng(3).standard_normal(300))
    (check,) = axis_checks(single_axis_fit((2 + 0.2 * np.log10(tokens / 1e9)) * noise, tokens))
    assert check.detail.label == "inverse"
    assert check.status is Status.FAIL


def test_runs_of_less_weight_are_left_out():
    tokens = np.geomspace(1e9, 1e11, 20)
    loss = 1.7 + 400 * tokens**-0.3
    loss *= np.exp(0.003 * np.random.default_rng(3).standard_normal(20))
    middle = np.where(np.arange(20) % 3 == 0, 0.1, 1.0)
    wrong = np.where(middle < 1, loss * (1 + 0.3 * np.log10(tokens / 1e9)), loss)
    (check,) = axis_checks(single_axis_fit(wrong, tokens, weight=middle))
    assert check.status is Status.PASS
    (check,) = axis_checks(single_axis_fit(wrong, tokens, weight=1.0))
    assert check.status is not Status.PASS
    assert axis_checks(single_axis_fit(wrong, tokens, weight=0.1)) == []


def test_levels_do_not_chain():
    values = pd.Series([1.0, 1.03, 1.01, 1.015, 1.04, 5.0], index=list("abcdef"))
    assert _levels(values).to_list() == [1.0, 1.03, 1.0, 1.0, 1.03, 5.0]
    assert _levels(pd.Series(np.geomspace(1, 100, 300))).nunique() == 150  # pairs 1.5% apart


def rising_fit(power: float) -> Fit:
    tokens = np.geomspace(1e9, 1e12, 18)
    batch = 0.02 * tokens**power * np.exp(0.05 * np.random.default_rng(3).standard_normal(18))
    own = single_axis_fit(batch, tokens, batch_size=batch)
    law = replace(own.spec.law, rises_along=("tokens",))
    return replace(own, spec=replace(own.spec, law=law, response=quantity("batch_size")))


def test_what_rises_is_looked_at_as_its_reciprocal():
    (check,) = axis_checks(rising_fit(0.43))
    assert check.status is Status.PASS, str(check)
    assert check.message.startswith("1/(batch size), read as a loss: power_law")
    (check,) = axis_checks(rising_fit(-0.43))
    assert (check.status, check.detail.label) == (Status.FAIL, "inverse")


def test_shares_and_minima_are_no_power_laws():
    own = rising_fit(0.43)
    bowl = replace(own.spec, law=replace(own.spec.law, minimum_along=("tokens",)))
    assert axis_checks(replace(own, spec=bowl)) == []
    assert axis_checks(replace(own, spec=replace(own.spec, response=ACCURACY))) == []
