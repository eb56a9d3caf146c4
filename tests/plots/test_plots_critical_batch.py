"""Pictures of critical batch sizes show runs, laws and how they grow."""

import numpy as np
import pytest
from conftest import known_fit, simulated_steps

from bayescale import FitError, batch_model, critical_batches, fit, plot_critical_batch, read_steps


def test_runs_lie_on_their_curves_and_marks_at_twice_the_fewest_steps(steps_fit):
    left, right = plot_critical_batch(steps_fit, 8e9, base=131072.0).axes
    laws = {str(line.get_label()): line for line in left.lines if len(line.get_xdata()) == 60}
    assert [*laws][:2] == ["80M", "157M"]
    points = [line for line in left.lines if line.get_marker() == "o"]
    for law, seen in zip(laws.values(), points, strict=True):
        expected = np.interp(np.log(seen.get_xdata()), np.log(law.get_xdata()), law.get_ydata())
        np.testing.assert_allclose(seen.get_ydata(), expected, rtol=0.2)
    marks = [line.get_xdata() for line in left.lines if line.get_marker() == "D"]
    middle = critical_batches(steps_fit)["B_noise"].median(("chain", "draw"))
    np.testing.assert_allclose(np.concatenate(marks)[:5], middle)
    assert right.get_xlim()[1] > 8e9
    labels = right.get_legend_handles_labels()[1]
    assert labels == ["range of the curves", "B_noise", "20% over 131k"]


def test_one_curve_has_one_panel():
    runs = read_steps(simulated_steps().iloc[::5])
    one = fit(runs, batch_model(runs), draws=200, tune=500, progress=False)
    assert len(plot_critical_batch(one).axes) == 1


def test_another_law_is_refused():
    with pytest.raises(FitError, match="of the law critical_batch"):
        plot_critical_batch(known_fit())
