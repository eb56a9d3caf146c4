"""Pictures of curves: what is shown of the law, the regimes and the forecasts."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bayescale import Curves, answer_curves, fit_curves, forecast_fitted, plots, words
from bayescale.curves.answer import MOST_IN_FULL, regimes_of
from bayescale.errors import RunsError

X = np.geomspace(1e19, 1e23, 14)
CHANCE, HALFWAY = 0.25, 3e21


def accuracies(x):
    return CHANCE + 0.6 / (1 + (HALFWAY / np.asarray(x)) ** 1.2)


@pytest.fixture(scope="module")
def fitted():
    """Fit an accuracy that leaves chance, a steep fall, a bowl, and a curve of two points."""
    rng = np.random.default_rng(2)
    curves = {
        "emergent": rng.binomial(400, accuracies(X)) / 400,
        "bowl": 0.5 - 0.05 * np.log10(X / 1e21) ** 2 + 0.001 * rng.standard_normal(14),
        "short": [0.4, 0.5],
    }
    table = pd.DataFrame(
        [
            {"curve": name, "flops": x, "acc": y}
            for name, own in curves.items()
            for x, y in zip(X, own, strict=False)
        ]
    ).assign(n=400)
    return fit_curves(
        table, "curve", "flops", "acc", trials="n", higher_is_better=True, chance=CHANCE
    )


@pytest.fixture(scope="module")
def falling():
    table = pd.DataFrame({"tokens": X, "loss": 0.1 + 3 * (X / 1e19) ** -0.5})
    return fit_curves(table, None, "tokens", "loss")[0]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_forecast_has_whiskers_where_it_was_asked_for(fitted):
    one = forecast_fitted(fitted, ["2x", 1e24])[0]
    axis = plots.plot_forecast(one, x="flops", y="acc").axes[0]
    assert {"no law, 90%", "law, median", "near chance", "chance", "new point, 90%"} <= set(
        legend(axis.figure)
    )
    (diamonds,) = (line for line in axis.lines if line.get_marker() == "D")
    low, high = np.quantile(one.draws["new"], [0.05, 0.95], axis=(0, 1))
    assert diamonds.get_xdata() == pytest.approx([2e23, 1e24])
    assert (low < diamonds.get_ydata()).all()
    assert (diamonds.get_ydata() < high).all()
    title = axis.get_title(loc="left")
    assert title.startswith("emergent: ")
    assert "flops 1e24, 1.00 decades beyond: 0." in title
    assert axis.get_ylim()[0] < low.min()


def test_panels_of_one_figure_hold_the_title_and_the_reason(fitted):
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for ax in axes.flat:
        plots.plot_forecast(fitted[0], x="flops", y="acc", ax=ax)
    figure.canvas.draw()  # warns where lines leave a panel no room
    assert all(ax.get_position().width > 0.3 for ax in axes.flat)


def test_a_curve_without_a_forecast_is_drawn_with_the_reason(fitted):
    emergent, bowl, short = forecast_fitted(fitted, 1e24)
    axis = plots.plot_forecast(bowl).axes[0]
    assert "bowl: non monotone\nbest x 1." in axis.get_title(loc="left")
    assert any("no law says" in text.get_text() for text in axis.texts)
    assert "law, median" not in legend(axis.figure)
    assert "law, median" in legend(plots.plot_forecast(emergent))
    assert "best x, 90%" in legend(axis.figure)
    assert "best x, 90%" not in legend(plots.plot_forecast(emergent))
    bare = plots.plot_forecast(fitted[1]).axes[0].get_title(loc="left")
    assert bare == axis.get_title(loc="left")
    bare = plots.plot_forecast(fitted[0]).axes[0].get_title(loc="left")
    assert "\n" not in bare  # of which no forecast was asked
    with pytest.raises(RunsError, match="short cannot be drawn: 2 different x"):
        plots.plot_forecast(short)


def test_regimes_lie_where_the_curve_says(fitted, falling):
    regimes = regimes_of(fitted[0].shape)
    first, until = regimes["near chance"]
    assert first == pytest.approx(1e19)
    assert 2e20 < until < HALFWAY
    assert "on its plateau" not in regimes_of(falling.shape)  # it falls from the first point on


def test_where_little_of_the_loss_is_reducible_is_said_so():
    x = np.geomspace(1e8, 1e12, 14)
    noise = np.random.default_rng(1)
    loss = (2.0 + 1e6 * x**-0.7) * np.exp(noise.normal(0, 0.002, len(x)))
    curves = fit_curves(pd.DataFrame({"x": x, "y": loss}), None, "x", "y")
    (since, _) = regimes_of(curves[0].shape)["irreducible"]
    said = str(answer_curves(curves, x="tokens"))
    assert f"less than 10% of the loss is reducible from {words.count(since)}" in said


def test_the_law_is_pale_where_points_hardly_count(falling):
    own = falling.shape.posterior
    assert X[0] < own.counted_from < X[-6]
    figure = plots.plot_shape(falling.shape)
    assert "points hardly count" in legend(figure)
    (dotted,) = (line for line in figure.axes[0].lines if line.get_linestyle() == ":")
    assert max(dotted.get_xdata()) <= own.counted_from
    object.__setattr__(own, "whole", 1.0)
    try:
        assert own.counted_from == X[0]
        assert "points hardly count" not in legend(plots.plot_shape(falling.shape))
    finally:
        object.__setattr__(own, "whole", 0.0)


def test_the_reason_of_a_curve_does_not_repeat_its_exponent(falling):
    said = answer_curves(Curves((falling,), None), x="tokens").sentences
    assert "; next is " in falling.message
    assert sum("exponent" in line for line in said) == 1
    assert any(line.startswith("    next is ") for line in said)


def test_many_curves_have_a_line_each(falling):
    few = answer_curves(Curves((falling,) * MOST_IN_FULL, None))
    many = answer_curves(Curves((falling,) * (MOST_IN_FULL + 1), None), x="tokens")
    own = [line for line in many.sentences if line.startswith(falling.name)]
    assert len(own) == MOST_IN_FULL + 1
    assert len(many.sentences) < len(own) + 6
    assert len(few.sentences) > 4 * MOST_IN_FULL
    assert "power law, exponent 0." in own[0]
    assert f"{MOST_IN_FULL + 1} curves: {MOST_IN_FULL + 1} power law." in many.sentences


def test_a_short_line_says_why_there_is_no_forecast(falling):
    many = Curves((falling,) * (MOST_IN_FULL + 1), None)
    answer = answer_curves(many, forecast_fitted(many, "0.5x"), x="tokens")
    assert "no forecast at" in answer.sentences[2]
    few = Curves((falling,), None)
    said = str(answer_curves(few, forecast_fitted(few, "0.5x")))
    assert said.count("no forecast") == 1


def test_labels_are_counted_in_the_order_of_the_table(fitted):
    counts = answer_curves(fitted).numbers["counts"]
    assert list(counts) == [one.label for one in fitted]  # all once: no order of a set


def test_a_curve_whose_unit_nobody_said_is_given_none(falling):
    for y in (None, "loss"):
        assert plots.plot_shape(falling.shape, y=y).axes[0].get_ylabel() == "loss"
