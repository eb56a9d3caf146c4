import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from test_approaches import budget_column, joint, known_profiles, training_curves

from bayescale import compare_approaches, plots, profile_optima
from bayescale.errors import FitError
from bayescale.plots.style import BLUE, ORANGE


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def comparison():
    return compare_approaches(
        joint(runs=budget_column()),
        [1e20, 1e24],
        profiles=known_profiles(),
        envelope_runs=training_curves(),
    )


def lines(axis, colour, marker="None"):
    return [
        line
        for line in axis.lines
        if to_hex(line.get_color()) == to_hex(colour) and line.get_marker() == marker
    ]


def test_minima_stand_beside_their_line():
    fit = known_profiles(scatter=0.1)
    above, below = plots.plot_minima(fit).axes
    (line,), (points,) = lines(above, BLUE), lines(above, "black", "o")
    middle = 0.1 * line.get_xdata() ** 0.45
    np.testing.assert_allclose(line.get_ydata(), middle, rtol=0.01)
    expected = 0.1 * points.get_xdata() ** 0.45 * np.exp(0.1 * np.arange(-1, 4))
    np.testing.assert_allclose(points.get_ydata(), expected, rtol=0.01)
    (ratio,) = lines(below, "black", "o")
    np.testing.assert_allclose(ratio.get_ydata(), np.exp(0.1 * np.arange(-1, 4)), rtol=0.01)
    assert not lines(above, ORANGE)
    assert "a = 0.45 [0.45, 0.45]" in above.get_legend().get_texts()[0].get_text()


def test_path_of_the_joint_law_is_drawn_where_given(comparison):
    fit = known_profiles()
    above, below = plots.plot_minima(fit, comparison).axes
    (path,), (ratio,) = lines(above, ORANGE), lines(below, ORANGE)
    truth = comparison["params"].sel(approach="joint law (3)").median(("chain", "draw"))
    np.testing.assert_allclose(path.get_ydata(), truth)
    line = profile_optima(fit, [1e20, 1e24])["params"].median(("chain", "draw"))
    np.testing.assert_allclose(ratio.get_ydata(), truth / line, rtol=1e-3)
    assert abs(ratio.get_ydata()[1] - 1) > 0.1  # or the panel could show anything


def test_path_at_one_budget_is_refused(comparison):
    with pytest.raises(FitError, match="one budget makes no path; ask compare_approaches for two"):
        plots.plot_minima(known_profiles(), comparison.isel(flops=[0]))
    with pytest.raises(FitError, match="chinchilla has no isoFLOP profiles"):
        plots.plot_minima(joint())


def test_approaches_have_a_row_each_and_a_panel_a_budget(comparison):
    axes = plots.plot_approaches(comparison).axes
    titles = [axis.get_title(loc="left") for axis in axes]
    assert titles == ["1e20 FLOPs", "1e24 FLOPs", "exponent"]
    rows = [label.get_text() for label in axes[0].get_yticklabels()]
    assert rows == ["envelope (1)", "profiles (2)", "joint law (3)"]
    middle = comparison.median(("chain", "draw"))
    for axis, values in zip(
        axes, [*middle["params"].T.to_numpy(), middle["a"].isel(flops=-1).to_numpy()], strict=True
    ):
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots], values)
    bars = [line for line in axes[1].lines if len(line.get_xdata()) == 2]
    ends = comparison["params"].sel(flops=1e24, approach="envelope (1)").quantile([0.05, 0.95])
    np.testing.assert_allclose(bars[0].get_xdata(), ends)


def test_one_approach_and_wide_disagreement_still_draw(comparison, tmp_path):
    plots.plot_approaches(comparison.isel(approach=[2])).savefig(tmp_path / "figure.png")
    apart = comparison.assign(params=comparison["params"] * [[1.0, 1.0], [30, 30], [1e3, 1e3]])
    figure = plots.plot_approaches(apart)
    figure.savefig(tmp_path / "figure.png")
    low, high = figure.axes[0].get_xlim()
    assert high / low > 1e3
