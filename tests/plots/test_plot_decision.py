from dataclasses import replace

import numpy as np
import pytest
from conftest import TRUTH, known_fit, known_grouped_fit, simulated_table

from bayescale import plot_decision, read_runs
from bayescale.errors import FitError


def drawn(figure):
    """Labels of a legend, and what is written on the panel."""
    (axis,) = figure.axes
    legends = [*figure.legends, *([axis.get_legend()] if axis.get_legend() else [])]
    labels = [text.get_text() for legend in legends for text in legend.get_texts()]
    return axis, labels, [text.get_text().strip() for text in axis.texts]


def test_every_budget_has_its_curve_and_best_size(small_fit):
    axis, labels, written = drawn(plot_decision(small_fit, [1e22, 1e21]))
    assert written[:2] == ["1e21 FLOPs", "1e22 FLOPs"]
    sizes = [line.get_xdata() for line in axis.lines if line.get_marker() == "D"]
    assert [len(size) for size in sizes] == [1, 1, 0]  # the last is the legend's
    assert sizes[1][0] == pytest.approx(small_fit_best(small_fit, 1e22), rel=1e-9)
    assert "wastes at most 10% of the compute" in labels
    assert "runs held back, not fitted" not in labels


def small_fit_best(fit, flops):
    from bayescale import compute_optimal

    return float(compute_optimal(fit, flops)["params"].median())


def test_runs_held_back_are_drawn_as_they_are(small_fit):
    held = read_runs(simulated_table(seed=5))
    axis, labels, _ = drawn(plot_decision(small_fit, [1e22], held))
    open_circles = [line for line in axis.lines if line.get_markerfacecolor() == "none"]
    np.testing.assert_array_equal(open_circles[0].get_ydata(), held.column("loss"))
    [best] = [text for text in axis.texts if "FLOPs" not in text.get_text()]
    others = [line for line in axis.lines if line is not open_circles[0]]
    assert all(line.get_zorder() < best.get_zorder() for line in others)  # read over runs and lines
    assert best.get_zorder() < open_circles[0].get_zorder()  # whose edge its white one would hide
    assert "runs held back, not fitted" in labels


def test_the_legend_names_isoflop_curves_only_where_some_are_drawn():
    table = simulated_table()  # six sizes on each budget, of which two make no curve
    for some, said in ((table[:15], "runs, and their isoFLOP curves"), (table[:10], "runs")):
        labels = drawn(plot_decision(replace(known_fit(), runs=read_runs(some)), [1e22]))[1]
        assert said in labels


def test_no_basin_is_drawn_where_no_draw_agrees_on_one():
    _, labels, _ = drawn(plot_decision(known_fit(spread=0.2), [1e23]))
    assert "wastes at most 10% of the compute" not in labels


def test_groups_share_one_budget():
    axis, _, written = drawn(plot_decision(known_grouped_fit(a={}, b={"E": 1.9}), [1e21, 1e22]))
    assert [text for text in written if text in ("a", "b")] == ["a", "b"]
    assert axis.get_title("left") == "Which size is best at 1e22 FLOPs"


def test_what_is_written_of_two_curves_stays_apart():
    alike = known_grouped_fit(a={}, b={"E": TRUTH["E"] * 1.0001})
    figure = plot_decision(alike, [1e22])
    figure.canvas.draw()
    (axis,) = figure.axes
    first, second, low, high = (text.get_window_extent() for text in axis.texts)
    assert not first.overlaps(second)
    assert not low.overlaps(high)
    marks = [line.get_ydata() for line in axis.lines if line.get_marker() == "D"][:2]
    above = [text.get_va() == "bottom" for text in axis.texts[2:]]
    assert above == [mark > min(marks) for mark in marks]  # that of the lowest curve is below it


def test_a_law_without_allocation_is_refused(tmp_path):
    from bayescale import constants_fit

    with pytest.raises(FitError):
        plot_decision(constants_fit("power-law", E=1.0, A=10.0, alpha=0.3), [1e21])
