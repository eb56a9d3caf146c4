"""Draws that are no posterior: what is said of them, and that all else goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import simulated_table

from bayescale import Fit, Status, check_fit, read_runs, write_report
from bayescale.errors import UnansweredError
from bayescale.report.page import sections


def frozen(own: Fit, chains=slice(None)) -> Fit:
    """The chains stay where they started."""
    return changed(own, lambda values: values.__setitem__(chains, values[chains, :1]))


def at_one_point(own: Fit) -> Fit:
    """Every chain stays at one point."""
    return changed(own, lambda values: values.__setitem__(..., values[:1, :1]))


def with_nan(own: Fit) -> Fit:
    """A few draws are NaN."""
    return changed(own, lambda values: values.__setitem__((0, slice(3, 6)), np.nan))


def one_parameter(own: Fit) -> Fit:
    """One parameter never moves."""
    return changed(own, lambda values: values.__setitem__(..., values[0, 0]), ("alpha",))


def changed(own: Fit, change, names=()) -> Fit:
    tree = own.tree.copy(deep=True)
    posterior = tree["posterior"].to_dataset().copy(deep=True)
    for name in names or posterior.data_vars:
        change(posterior[name].to_numpy())
    tree["posterior"] = posterior
    return replace(own, tree=tree)


DAMAGES = {
    "frozen": frozen,
    "one chain frozen": lambda own: frozen(own, slice(1)),
    "at one point": at_one_point,
    "NaN": with_nan,
    "one parameter": one_parameter,
}
NOT_COMPUTED = {
    "frozen": {"calibration", "influential runs", "prior sensitivity"},
    "one chain frozen": set(),
    "at one point": {"influential runs", "prior sensitivity"},
    "NaN": {
        "columns",
        "residuals",
        "calibration",
        "scatter beyond seeds",
        "outlying runs",
        "influential runs",
        "priors",
        "bracketing of N*",
    },
    "one parameter": {"prior sensitivity"},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_checks_go_on_where_one_cannot_be_computed(small_fit, damage):
    first, *others = check_fit(DAMAGES[damage](small_fit))
    assert (first.name, first.status) == ("convergence", Status.FAIL)
    assert ("NaN" if damage == "NaN" else "never moved in") in first.message
    assert "alpha" in first.message
    failed = {check.name for check in others if "cannot be computed" in check.message}
    assert failed == NOT_COMPUTED[damage]
    for check in others:
        assert check.name not in failed or check.status is Status.REVIEW
    assert "design" in {check.name for check in others}


@pytest.mark.parametrize("damage", DAMAGES)
def test_checks_of_a_pool_go_on(joint_fit, damage):
    first, *others = check_fit(DAMAGES[damage](joint_fit))
    assert (first.name, first.status) == ("convergence", Status.FAIL)
    assert all(
        check.status is not Status.PASS
        for check in others
        if not np.isfinite(check.statistic) and np.isfinite(check.threshold)
    )


def test_a_check_of_a_fit_that_converged_may_not_fail_silently(small_fit, monkeypatch):
    def broken(fit):
        raise ValueError("a fault of ours")

    monkeypatch.setattr("bayescale.evaluation.checks.suite.prior_checks", broken)
    with pytest.raises(ValueError, match="a fault of ours"):
        check_fit(small_fit)
    messages = [check.message for check in check_fit(frozen(small_fit))]
    assert "cannot be computed from these draws (a fault of ours)" in messages


@pytest.mark.parametrize("damage", [pytest.param("at one point", marks=pytest.mark.slow), "NaN"])
def test_report_is_written_whatever_the_draws(small_fit, tmp_path, damage):
    held = read_runs(simulated_table(seed=9))
    page = write_report(DAMAGES[damage](small_fit), tmp_path, held_out=held).read_text("utf-8")
    summary = json.loads((tmp_path / "summary.json").read_text())
    problem = "NaN or infinite draws" if damage == "NaN" else "never moved in"
    assert problem in page[page.index('id="problems"') : page.index('id="answer"')]
    assert "These draws did not converge, and cannot say it" in page
    assert "<summary>Conventions</summary>" in page
    assert summary["diagnostics"]["converged"] is False
    assert summary["diagnostics"]["max_r_hat"] is None
    assert bool(summary["optima"]) == (damage != "NaN")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["frozen", "NaN"])
def test_report_of_a_pool_is_written_whatever_the_draws(joint_fit, tmp_path, damage):
    page = write_report(DAMAGES[damage](joint_fit), tmp_path).read_text("utf-8")
    assert 'id="problems"' in page
    assert "<summary>Conventions</summary>" in page


def test_a_plot_that_cannot_be_drawn_does_not_stop_the_page(small_fit, monkeypatch):
    def broken(fit, table=None):
        raise ValueError("no picture")

    monkeypatch.setattr("bayescale.plots.plot_predicted", broken)
    parts = {part.title: part for part in sections(frozen(small_fit, slice(1)), [1e22])}
    assert "no picture" in parts["Predicted against observed"].text
    assert parts["Parameters"].figure is not None
    with pytest.raises(ValueError, match="no picture"):
        list(sections(small_fit, [1e22]))


def test_asking_raises_what_can_be_acted_on(small_fit):
    with pytest.raises(UnansweredError, match="NaN"), with_nan(small_fit).asked():
        pass
    with pytest.raises(ZeroDivisionError), small_fit.asked():
        _ = 1 / 0
    with pytest.raises(UnansweredError, match="division"), frozen(small_fit).asked():
        _ = 1 / 0
