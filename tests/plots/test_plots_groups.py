from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import known_fit, known_grouped_fit, known_transfer
from matplotlib.colors import to_hex

from bayescale import compute_multiplier, constants_fit, plots
from bayescale.errors import FitError
from bayescale.plots.style import BLUE, GREEN, ORANGE
from bayescale.runs.table import Runs

THREE = {
    "web": {"alpha": 0.30, "E": 1.7},
    "code": {"alpha": 0.36, "E": 1.9},
    "books": {"alpha": 0.33, "E": 2.0},
}
REPETITION = {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.353, "R_D": 15.4, "R_N": 5.3}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def three():
    return known_grouped_fit(spread=0.02, **THREE)


def dots(axis, colour):
    """Median and row of every dot of a colour, by row."""
    points = [
        (float(line.get_ydata()[0]), float(line.get_xdata()[0]))
        for line in axis.lines
        if line.get_marker() == "o" and len(line.get_xdata()) == 1
        if to_hex(line.get_color()).upper() == colour.upper()
    ]
    return [x for _, x in sorted(points)]


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def legend(figure_or_axis):
    return [text.get_text() for text in figure_or_axis.get_legend().get_texts()]


def test_forest_has_a_panel_a_parameter_and_a_row_a_group_in_order(three):
    axes = [axis for axis in plots.plot_forest(three).axes if axis.axison]
    assert [axis.get_title(loc="left") for axis in axes] == ["alpha", "beta", "E", "A", "B"]
    rows = [label.get_text() for label in axes[0].get_yticklabels()]
    assert rows == ["web", "books", "code", "middle of the population", "a new family"]
    colours = [
        [to_hex(label.get_color()).upper() for label in axis.get_yticklabels()[-2:]]
        for axis in axes
        if axis.get_subplotspec().is_first_col()
    ]
    assert colours == [[ORANGE.upper(), GREEN.upper()]] * 2
    np.testing.assert_allclose(dots(axes[0], BLUE), [0.30, 0.33, 0.36], rtol=0.01)
    np.testing.assert_allclose(dots(axes[2], BLUE), [1.7, 2.0, 1.9], rtol=0.01)


def test_the_population_of_groups_along_a_column_is_drawn_in_the_middle_of_them():
    fit = known_transfer(-1.0)
    fit.tree["prior"] = fit.posterior  # of levels, which are not pooled
    axis = plots.plot_forest(fit, ["x_best"]).axes[0]
    rows = [label.get_text() for label in axis.get_yticklabels()]
    assert rows[-2:] == ["middle of the population", "a new width"]
    assert dots(axis, BLUE)[0] < 4e-3 < dots(axis, BLUE)[-1]


def test_forest_ends_with_the_middle_of_the_population_and_a_new_group(three):
    axis = plots.plot_forest(three, ["alpha"]).axes[0]
    (middle,), (new,) = dots(axis, ORANGE), dots(axis, GREEN)
    population = float(three.posterior["alpha_population"].median())
    assert middle == pytest.approx(population)
    assert new == pytest.approx(population, rel=0.05)
    bars = [line for line in axis.lines if len(line.get_xdata()) == 2]
    widths = {to_hex(line.get_color()).upper(): np.ptp(line.get_xdata()) for line in bars}
    assert widths[GREEN.upper()] > 2 * widths[ORANGE.upper()]


def test_forest_writes_the_ends_of_bars_that_leave_the_panel():
    apart = known_grouped_fit(one={"E": 1.80}, other={"E": 1.82})
    apart.tree["posterior"]["level_scale"] = apart.posterior["level_scale"] * 0 + 0.5
    figure = plots.plot_forest(apart, ["E"])
    low, high = figure.axes[0].get_xlim()
    ends = sorted(float(text) for text in texts(figure))
    assert len(ends) == 2
    assert ends[0] < low < 1.80 < 1.82 < high < ends[1]


def test_forest_without_a_population_has_the_groups_only(three):
    apart = replace(three, spec=three.spec.unpooled())
    rows = [label.get_text() for label in plots.plot_forest(apart).axes[0].get_yticklabels()]
    assert rows == ["web", "books", "code"]


def test_forest_of_shared_exponents_leaves_them_out(three):
    shared = known_grouped_fit("chinchilla-shared-exponents", **THREE)
    titles = [axis.get_title(loc="left") for axis in plots.plot_forest(shared).axes]
    assert titles == ["E", "A", "B"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nu"], "'nu' does not differ between the groups"),
        (["alhpa"], "did you mean 'alpha'"),
        ([], "no parameter named"),
    ],
)
def test_forest_of_what_does_not_differ_is_refused(three, names, message):
    with pytest.raises(FitError, match=message):
        plots.plot_forest(three, names)


def test_fit_without_groups_is_refused():
    with pytest.raises(FitError, match="has no groups: fit a hierarchical one"):
        plots.plot_forest(known_fit())


def test_shrinkage_joins_both_estimates_of_every_group(three):
    alone = known_grouped_fit(
        spread=0.05, **{name: {**of, "alpha": of["alpha"] * 1.1} for name, of in THREE.items()}
    )
    figure = plots.plot_shrinkage(three, replace(alone, spec=alone.spec.unpooled()))
    axes = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title(loc="left") for axis in axes] == ["alpha", "beta", "E"]
    np.testing.assert_allclose(dots(axes[0], BLUE), [0.30, 0.33, 0.36], rtol=0.01)
    joined = [
        line.get_xdata()
        for line in axes[0].lines
        if line.get_color() == "black" and len(line.get_xdata()) == 2
    ]
    assert len(joined) == 3
    for first, last in joined:
        assert first / last == pytest.approx(1.1, rel=0.02)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [
        "middle of the population",
        "alone (no pooling)",
        "with the others (partial pooling)",
    ]


def test_shrinkage_of_other_groups_is_refused(three):
    with pytest.raises(FitError, match="the fits have other groups: web, code, books against a, b"):
        plots.plot_shrinkage(three, known_grouped_fit(a={}, b={}))


@pytest.mark.parametrize("number", [2, 20])
def test_few_and_many_groups_fit_the_canvas(number, tmp_path):
    many = known_grouped_fit(
        draws=50, spread=0.02, **{f"corpus {i}": {"E": 1.6 + 0.02 * i} for i in range(number)}
    )
    figures = plots.plot_forest(many), plots.plot_shrinkage(many, many)
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")  # constrained layout warns when it fails
        height = figure.get_figheight() / number
        assert 0.3 < height < 2.5
        names = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
        assert not any(a.overlaps(b) for a, b in pairwise(names))


def multiplier(losses=None, slow=None):
    fit = known_grouped_fit(plain={}, slow={"E": 1.9} if slow is None else slow)
    return compute_multiplier(fit, "slow", "plain", losses=losses, same_validation=True)


def test_multiplier_names_the_factor_at_both_ends_of_the_runs():
    found = multiplier()
    figure = plots.plot_multiplier(found)
    axis = figure.axes[0]
    first, last = axis.get_xlim()
    assert first > last  # harder targets to the right
    assert axis.get_yscale() == "log"
    within = (found["decades_beyond"] == 0).all("group").to_numpy()
    middle = found["multiplier"].median(("chain", "draw")).to_numpy()[within]
    named = sorted(float(text.removesuffix("×")) for text in texts(figure))
    np.testing.assert_allclose(named, [middle[0], middle[-1]], rtol=0.01)
    assert "outside the runs of one of them" in legend(axis)
    assert axis.get_title(loc="left") == "Compute that slow needs for the loss of plain"


def test_multiplier_says_where_no_compute_is_enough():
    said = " ".join(texts(plots.plot_multiplier(multiplier([2.4, 2.2, 2.0, 1.85]))))
    assert "no compute\nof slow gets here" in said
    assert "of plain gets here" not in said
    assert "no compute" not in " ".join(texts(plots.plot_multiplier(multiplier())))


def test_multiplier_beyond_everything_still_draws(tmp_path):
    for losses in ([1.85, 1.5], [1.7], [2.4]):
        plots.plot_multiplier(multiplier(losses)).savefig(tmp_path / "figure.png")


def repeated(R_D, epochs, r_N=0.0):
    rng, values = np.random.default_rng(2), {**REPETITION, "beta": 0.35, "R_D": R_D}
    drawn = {n: v * np.exp(0.05 * rng.standard_normal(200)) for n, v in values.items()}
    fake = constants_fit("data-constrained", **drawn, r_N=r_N + np.zeros(200))
    sizes = np.repeat([1e8, 8e8, 6e9], len(epochs))
    table = pd.DataFrame({"params": sizes, "unique_tokens": 2e10, "run": "r", "loss": 3.0})
    return replace(
        fake, runs=Runs(table.assign(tokens=2e10 * np.tile(np.array(epochs, float), 3)), "made up")
    )


def test_repetition_says_when_a_token_is_worth_half():
    axis = plots.plot_repetition_value(repeated(15.0, [1, 4, 60], r_N=-0.3)).axes[0]
    named = legend(axis)
    assert [text.split(":")[0] for text in named] == ["100M", "800M", "6B"]
    for text, size in zip(named, (0.1, 0.8, 6), strict=True):
        epochs = float(text.split(": ")[1].split(" ")[0])
        assert epochs == pytest.approx(1 + 15 * size**-0.3 * np.log(2), rel=0.05)
    ticks = [line for line in axis.lines if line.get_marker() == "|"]
    assert [line.get_xdata().tolist() for line in ticks] == [[1, 4, 60]] * 3


def test_repetition_that_the_runs_cannot_tell_shows_a_bound_only():
    axis = plots.plot_repetition_value(repeated(80.0, [1, 4, 10])).axes[0]
    assert all("at least" in text and "not identified" in text for text in legend(axis))
    assert not axis.collections  # no band
    told = plots.plot_repetition_value(repeated(5.0, [1, 4, 60])).axes[0]
    assert not any("identified" in text for text in legend(told))
    assert told.collections


def test_repetition_of_runs_that_repeat_nothing_shows_nothing():
    axis = plots.plot_repetition_value(repeated(15.0, [1], r_N=-0.3), [1e9]).axes[0]
    assert legend(axis) == ["1B: no run of that size repeats its data"]


def test_repetition_that_is_the_same_at_every_size_is_one_curve():
    """Of three equal ones the last would hide the others."""
    published = constants_fit("data-constrained-published", **REPETITION)
    for sizes in (None, [1e9, 7e9]):
        axis = plots.plot_repetition_value(published, sizes).axes[0]
        assert legend(axis) == ["every size: 12 epochs"]
    axis = plots.plot_repetition_value(repeated(5.0, [1, 4, 60])).axes[0]
    assert len(legend(axis)) == 1
    assert "of that size" not in legend(axis)[0]
    (ticks,) = (line for line in axis.lines if line.get_marker() == "|")
    assert ticks.get_xdata().tolist() == [1, 1, 1, 4, 4, 4, 60, 60, 60]
    assert axis.get_xlabel().endswith("(ticks: those of the runs)")


def test_repetition_of_given_constants_draws_the_sizes_asked():
    sizes = constants_fit("data-constrained", **REPETITION, beta=0.35, r_N=-0.3)
    assert len(legend(plots.plot_repetition_value(sizes).axes[0])) == 3
    assert legend(plots.plot_repetition_value(sizes, [1e9]).axes[0])[0].startswith("1B: 12")
    with pytest.raises(FitError, match="does not know repeated data"):
        plots.plot_repetition_value(known_fit())
