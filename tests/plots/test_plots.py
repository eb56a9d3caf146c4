import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import ODD_NAMES, check_names, known_fit, known_grouped_fit, simulated_table

from bayescale import (
    check_fit,
    check_runs,
    classify_curve,
    compute_multiplier,
    compute_optimal,
    constants_fit,
    fit,
    log_optimum,
    plan_outcomes,
    plots,
    predict,
    rank_plans,
    read_plans,
    read_runs,
    suggest_runs,
    target_loss,
)
from bayescale.draws import STACKED
from bayescale.errors import FitError, RunsError, RunsWarning
from bayescale.evaluation.compare import Comparison
from bayescale.report.record import default_budgets


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def single_axis_fit():
    with pytest.warns(RunsWarning, match="not one curve"):
        return fit(read_runs(simulated_table()), "power-law", draws=300, tune=300, progress=False)


def labels(figure):
    return [text for axis in figure.axes for text in (axis.get_xlabel(), axis.get_ylabel())]


def test_parameters_shows_prior_and_posterior_of_each(small_fit):
    figure = plots.plot_parameters(small_fit)
    titles = [axis.get_title(loc="left").split(" =")[0] for axis in figure.axes if axis.axison]
    assert titles == ["E", "A", "B", "alpha", "beta", "sigma", "nu"]
    low, high = small_fit.posterior["alpha"].quantile([0.05, 0.95]).to_numpy()
    assert figure.axes[3].get_xlabel() == f"{low:.3f} to {high:.3f}"


def test_parameters_of_a_pool_have_the_priors_of_all_members(joint_fit):
    assert "member" in joint_fit.prior["E"].dims
    titles = [axis.get_title(loc="left") for axis in plots.plot_parameters(joint_fit).axes]
    assert titles[0].startswith("E = ")


def test_isoflop_draws_every_budget(small_fit):
    figure = plots.plot_isoflop(small_fit)
    named = [text.get_text().strip() for text in figure.axes[0].texts]
    assert len(named) == 5
    assert "loss (nats per token)" in labels(figure)


def test_isoflop_without_budgets_still_draws(small_fit):
    from dataclasses import replace

    table = small_fit.runs.table.iloc[::4]
    scattered = replace(small_fit, runs=replace(small_fit.runs, table=table))
    assert len(plots.plot_isoflop(scattered).axes[0].texts) == 5


def test_allocation_marks_the_asked_budget_and_the_runs(small_fit):
    optima = compute_optimal(small_fit, [1e23])
    figure = plots.plot_allocation(small_fit, optima)
    shown = {text.get_text() for axis in figure.axes for text in axis.texts}
    median = float(optima["params"].median())
    assert any(
        text.endswith("B") and float(text[:-1]) == pytest.approx(median / 1e9, rel=0.01)
        for text in shown
    )
    assert {"training compute C (FLOPs)", "parameters N", "training tokens D"} <= set(
        labels(figure)
    )


def test_no_budget_is_written_onto_the_axis(small_fit):
    least = small_fit.runs.column("flops").min()
    figure = plots.plot_allocation(small_fit, compute_optimal(small_fit, [least, 1e23]))
    assert [text.get_ha() for text in figure.axes[0].texts] == ["left", "right"]


def test_basin_has_a_panel_for_each_budget(small_fit):
    figure = plots.plot_basin(small_fit, compute_optimal(small_fit, [1e21, 1e23]))
    assert len(figure.axes) == 2
    assert "wastes at most 10%" in figure.axes[0].get_legend().get_texts()[0].get_text()


def test_checks_and_predicted_show_every_run(small_fit):
    with pytest.raises(FitError, match="give those of check_fit"):
        plots.plot_checks(check_runs(small_fit.runs))
    figure = plots.plot_checks(check_fit(small_fit))
    titles = [axis.get_title("left") for axis in figure.axes[:5]]
    assert titles == [
        "Parameters: PASS",
        "Tokens: PASS",
        "Compute: PASS",
        "Tokens per parameter: PASS",
        "LOO-PIT: PASS",
    ]
    assert len(figure.axes[0].lines[1].get_xdata()) == 30
    title = plots.plot_predicted(small_fit).axes[0].get_legend().get_title().get_text()
    assert title.startswith("90% predictive intervals hold")


def test_only_residuals_are_drawn_as_predicted(small_fit):
    with pytest.raises(FitError, match=r"lacks fitted, predicted_q05.*residuals\(fit, runs\)"):
        plots.plot_predicted(small_fit, small_fit.runs.table)


@pytest.mark.slow
def test_curve_reaches_the_asked_value(single_axis_fit):
    figure = plots.plot_curve(single_axis_fit, 1e25)
    assert figure.axes[0].get_xlim()[1] >= 1e25


def test_style_does_not_leak(small_fit):
    before = dict(plt.rcParams)
    plots.plot_parameters(small_fit)
    assert dict(plt.rcParams) == before


def test_nothing_overlaps_the_canvas(small_fit, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # constrained layout warns when it fails
        for figure in (plots.plot_parameters(small_fit), plots.plot_isoflop(small_fit)):
            figure.savefig(tmp_path / "figure.png")


@pytest.fixture(scope="module")
def odd_groups():
    return known_grouped_fit(**{name: {"E": 1.8 + 0.1 * n} for n, name in enumerate(ODD_NAMES)})


def test_odd_names_of_groups_are_drawn_as_they_are(odd_groups, tmp_path):
    figure = plots.plot_forest(odd_groups)
    check_names(figure, tmp_path)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {ODD_NAMES[0], ODD_NAMES[1]} < set(rows)
    for group, reference in (ODD_NAMES[:2], ODD_NAMES[1:]):
        found = compute_multiplier(odd_groups, group, reference, same_validation=True)
        check_names(plots.plot_multiplier(found), tmp_path)


def test_odd_names_of_plans_are_drawn_as_they_are(tmp_path):
    table = pd.DataFrame({"params": [1e9, 2e9, 4e9], "tokens": [4e10, 2e10, 1e10]})
    table["plan"] = ODD_NAMES
    figure = plots.plot_plans(rank_plans(plan_outcomes(known_fit(), read_plans(table))))
    check_names(figure, tmp_path)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_curves_and_columns_are_drawn_as_they_are(name, tmp_path):
    x = np.geomspace(1e8, 1e10, 12)
    shape = classify_curve(x, 2 + 100 * x**-0.3)
    check_names(plots.plot_shape(shape, name, x=name, y=name), tmp_path)


def test_a_formula_is_seen_by_the_check_of_names(tmp_path):
    figure, axis = plt.subplots()
    axis.set_title("a $b$ c")
    with pytest.raises(AssertionError, match="b"):
        check_names(figure, tmp_path)


def test_ticks_are_never_written_as_formulas(small_fit):
    figure = plots.plot_parameters(small_fit)
    figure.canvas.draw()
    for axis in figure.axes:
        assert not any("$" in text.get_text() for text in axis.get_xticklabels(which="both"))


@pytest.mark.parametrize("axis", ["params", "tokens"])
def test_runs_of_one_count_alone_need_no_other(axis):
    """What needs the others refuses the law, and asks for no column."""
    constants = {"E": 1.7, "A": 400.0, "alpha": 0.3, "sigma": 0.01, "nu": 8.0}
    made = constants_fit(f"power-law-{axis}", **constants)
    runs = read_runs(simulated_table()[[axis, "loss"]])
    own = replace(made, runs=runs)
    assert own.notices == ()
    assert default_budgets(own)[0] == runs.table[axis].max()
    plots.plot_curve(own)
    plots.plot_predicted(own)
    compared = Comparison(
        {"a": own},
        pd.DataFrame({"elpd_diff": [0.0], "se_diff": [0.0], "weight": [1.0]}, index=["a"]),
        xr.DataArray([[0.0]], dims=("model", "obs")),
        {name: stacked_losses(own, axis) for name in ("a", STACKED)},
        {},
        (),
    )
    plots.plot_comparison(compared)
    for refused in (plots.plot_isoflop, lambda own: target_loss(own, params=1e9)):
        with pytest.raises(FitError, match="does not trade params against tokens"):
            refused(own)
    with pytest.raises(FitError, match="does not know repeated data"):
        plots.plot_repetition_value(own)


def test_runs_without_compute_are_refused_by_that_column(small_fit):
    """Tables made by hand may lack what `read_runs` fills."""
    table = small_fit.runs.table.drop(columns="flops")
    own = replace(small_fit, runs=replace(small_fit.runs, table=table))
    optimum = log_optimum(small_fit, 1e22)
    for ask in (
        check_fit,
        default_budgets,
        plots.plot_isoflop,
        lambda own: compute_optimal(own, 1e22),
        lambda own: suggest_runs(own, optimum, max_flops=1e22),
    ):
        with pytest.raises(RunsError, match="needs the column 'flops'"):
            ask(own)


def stacked_losses(own, axis):
    values = xr.DataArray([1e9, 1e10], dims=axis, coords={axis: [1e9, 1e10]})
    return xr.Dataset({"loss": predict(own, {axis: values})})


@pytest.mark.parametrize(
    "draw", [plots.plot_isoflop, plots.plot_curve, plots.plot_parameters, default_budgets]
)
def test_constants_have_no_runs_to_draw(draw):
    with pytest.raises(FitError, match="these are given constants: there"):
        draw(known_fit())
