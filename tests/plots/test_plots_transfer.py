"""Pictures of sweeps show their runs, what diverged, and where the best value lies."""

import numpy as np
import pytest
from conftest import (
    STEP,
    WIDTHS,
    check_names,
    known_grouped_fit,
    known_transfer,
    sweep_table,
)

from bayescale import FitError, plot_bowls, plot_transfer, summarise, transfer


@pytest.fixture(scope="module")
def narrow():
    """Runs of one grid: far ones are bounds, and large and small widths are best at an end."""
    best = {w: 4e-3 * (w / 512) ** -1.0 for w in WIDTHS}
    rates = 2e-3 * STEP ** np.arange(0, 5)
    table = sweep_table(best, rates=rates, curvature=0.05)
    table.loc[table.index[2], "loss"] = np.nan
    return known_transfer(-1.0, table=table)


def titles(figure):
    return [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]


def marks(axis):
    return {str(line.get_label()): line.get_xdata() for line in axis.lines}


def test_every_group_has_a_panel_with_its_runs_and_what_diverged(narrow):
    figure = plot_bowls(narrow)
    assert [title.split(":")[0] for title in titles(figure)] == [f"width {w}" for w in WIDTHS]
    lost = narrow.runs.table["loss"] >= narrow.runs.table["ceiling"] * (1 - 1e-9)
    for width, axis in zip(WIDTHS, figure.axes, strict=True):
        own = marks(axis)
        of = narrow.runs.table["width"] == width
        assert len(own["runs"]) == (of & ~lost).sum()
        assert len(own["5% above the best or more, or diverged"]) == (of & lost).sum()
    assert lost.sum() > 1


def test_the_bowl_is_least_at_the_best_value_and_runs_of_the_law_lie_on_it():
    figure = plot_bowls(known_transfer(0.0, spread=0.0), groups=["512"])
    (axis,) = (own for own in figure.axes if own.lines)
    law = next(own for own in axis.lines if own.get_label() == "law, median and 90%")
    assert law.get_xdata()[law.get_ydata().argmin()] == pytest.approx(4e-3, rel=0.05)
    assert law.get_ydata().min() == pytest.approx(0.0, abs=1e-4)
    runs = next(own for own in axis.lines if own.get_label() == "runs")
    on_law = np.interp(np.log(runs.get_xdata()), np.log(law.get_xdata()), law.get_ydata())
    np.testing.assert_allclose(runs.get_ydata(), on_law, atol=2e-3)


@pytest.mark.slow
def test_seventeen_groups_have_small_panels():
    widths = {64 * n: 4e-3 for n in range(1, 18)}
    figure = plot_bowls(known_transfer(0.0, table=sweep_table(widths)))
    assert len(titles(figure)) == 17
    assert figure.get_size_inches()[0] < 12


def test_bounds_and_what_nobody_has_run_have_marks_of_their_own(narrow):
    found = transfer(narrow, to=[4096.0])
    (axis,) = plot_transfer(found).axes
    shown = {bar.get_label(): bar.lines[0].get_xdata().tolist() for bar in axis.containers}
    assert shown["the highest tried was best: a lower bound"] == [128, 256]
    assert shown["the lowest tried was best: an upper bound"] == [1024, 2048]
    assert shown["best of each group, 90%"] == [512]
    assert shown["predicted, nobody has run"] == [4096]
    trend = next(own for own in axis.lines if own.get_label() == "trend, median and 90%")
    ends = summarise(found["trend"]).sel(summary="median")
    assert trend.get_ydata()[0] == pytest.approx(float(ends[0]), rel=1e-6)
    assert np.interp(2048, *trend.get_data()) == pytest.approx(float(ends[-1]), rel=0.01)


def test_odd_names_fit(tmp_path):
    odd = "the $rate$ of learning & so on and on and on, peak"
    found = transfer(known_transfer(0.0), to=4096)
    found.attrs |= {"knob": odd}
    check_names(plot_transfer(found), tmp_path)


def test_laws_without_bowls_are_refused():
    with pytest.raises(FitError, match="has no bowl of each group along a setting"):
        plot_bowls(known_grouped_fit(draws=20, a={}, b={"E": 1.9}))
    with pytest.raises(FitError, match="no setting 'rate'"):
        plot_bowls(known_transfer(), "rate")
    with pytest.raises(FitError, match="no group '64'"):
        plot_bowls(known_transfer(), groups=["64"])
