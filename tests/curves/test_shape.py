"""Labels of curves of known shape, and of curves that must not get them."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from bayescale import (
    BayescaleError,
    RunsError,
    RunsWarning,
    Status,
    classify_curve,
    classify_curves,
    load_dataset,
    shape_check,
)
from bayescale.curves.points import log_losses, points_of
from bayescale.curves.shape import judge_points
from bayescale.curves.table import COLUMNS, fit_curves

MEANS = {
    "power_law": lambda z: np.log(0.6 + 0.4 * np.exp(-0.3 * z)),
    "broken": lambda z: -0.7 * z + 0.6 * 0.3 * np.logaddexp(0, z / 0.3),
    "exponential": lambda z: np.log(0.3 + 0.7 * np.exp(-np.exp(z) / 4)),
    "saturated_guess": lambda z: np.log(0.2 + 0.8 / (1 + np.exp(1.2 * (z - 0.5)))),
    "inverse": lambda z: np.log(0.8 + 0.2 * np.exp(0.4 * z)),
    "non_monotone": lambda z: np.logaddexp(-0.4 * z, 0.4 * z),
    "saturated": lambda z: np.log(0.95 + 0.005 * np.exp(-1.2 * (z - 2))),
    "flat": lambda z: 0 * z,
}


def curve(kind, n=12, *, sigma=0.005, half=2.5, seed=0):
    z = np.linspace(-half, half, n)
    noise = sigma * np.random.default_rng(seed).standard_normal(n)
    return 1e9 * np.exp(z), 2 * np.exp(MEANS[kind](z) + noise)


def test_how_far_curves_fall_is_nothing_to_one_that_rises():
    judged = judge_points(log_losses(*curve("inverse")).points)
    one, other = (judged.shape(None, log_fall=own).posterior for own in ((0.0, 0.0), (-0.7, 0.1)))
    beyond = np.array([1e12])
    np.testing.assert_array_equal(one.log_loss(beyond), other.log_loss(beyond))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", list(MEANS))
def test_clear_curves_get_their_labels(kind, seed):
    shape = classify_curve(*curve(kind, seed=seed))
    assert shape.label == ("saturated" if kind == "flat" else kind)
    assert shape.probabilities.keys() == {
        "power_law",
        "exponential",
        "broken",
        "saturated_guess",
        "inverse",
        "flat",
    }
    assert sum(shape.probabilities.values()) == pytest.approx(1)
    assert (shape.slope["median"] > 0) == (kind in ("inverse", "non_monotone")) or kind == "flat"


def test_smooth_residuals_tell_a_wrong_law():
    assert classify_curve(*curve("power_law", seed=3)).durbin_watson_p > 0.05
    assert classify_curve(*curve("saturated_guess")).durbin_watson_p <= 0.01


@pytest.mark.parametrize("n", [6, pytest.param(12, marks=pytest.mark.slow), 20])
@pytest.mark.parametrize("kind", ["power_law", "flat"])
def test_exact_curves_are_judged_but_not_by_their_residuals(kind, n):
    exact = classify_curve(*curve(kind, n, sigma=0))
    assert exact.label == {"power_law": "power_law", "flat": "saturated"}[kind]
    assert np.isnan(exact.durbin_watson_p)
    assert classify_curve(*curve(kind, n, sigma=0.005)).durbin_watson_p > 0


def test_the_label_does_not_depend_on_units_order_or_the_moment():
    x, loss = curve("power_law")
    one = classify_curve(x, loss)
    order = np.random.default_rng(1).permutation(len(x))
    other = classify_curve(x[order] / 1e9, loss[order] * 7)
    assert other.label == one.label
    for name, p in one.probabilities.items():
        assert other.probabilities[name] == pytest.approx(p, abs=1e-3)
    again = classify_curve(x, loss)
    assert again.message == one.message
    np.testing.assert_array_equal(again.posterior.log_loss(x), one.posterior.log_loss(x))


@pytest.mark.parametrize(("n", "half"), [(4, 2.5), (10, 0.3)])
def test_too_few_sizes_or_too_short_a_range_is_said(n, half):
    shape = classify_curve(*curve("power_law", n, half=half))
    assert shape.label == "insufficient_range"
    assert ("4 sizes" if n == 4 else "0.26 decades") in shape.message


def test_a_flat_curve_at_chance_is_a_random_guess():
    x, loss = curve("flat")
    assert classify_curve(x, loss, chance=2.0).message.startswith("random guess")
    assert classify_curve(x, loss, chance=2.2).message.startswith("flat")


def test_an_accuracy_is_judged_by_its_error():
    x, loss = curve("inverse")
    error = loss / 8
    falling = classify_curve(x, 1 - error, higher_is_better=True)
    same = classify_curve(x, error)
    assert falling.label == same.label == "inverse"
    assert falling.probabilities == pytest.approx(same.probabilities, abs=1e-6)
    np.testing.assert_allclose(falling.draws["reference"], 1 - same.draws["reference"])
    one, other = falling.posterior, same.posterior
    np.testing.assert_allclose(one.log_loss(x), other.log_loss(x))
    assert classify_curve(x, error, higher_is_better=True).label != "inverse"


@pytest.mark.parametrize("sizes", [3, 4, 8])
def test_known_errors_let_few_sizes_show_a_trend(sizes):
    x = np.geomspace(1e8, 1e10, sizes)
    trend = np.linspace(0.06, -0.06, sizes)
    stderr = np.full(sizes, 0.016)
    worse = classify_curve(x, 0.5 + trend, stderr=stderr, higher_is_better=True)
    better = classify_curve(x, 0.5 - trend, stderr=stderr, higher_is_better=True)
    quiet = classify_curve(x, 0.5 + trend, stderr=6 * stderr, higher_is_better=True)
    assert worse.label == "inverse"
    assert worse.p_worse > 0.99
    assert better.label not in ("inverse", "non_monotone", "saturated")
    assert quiet.label in ("saturated", "insufficient_range")


def test_one_imprecise_point_does_not_hide_a_clear_shape():
    x = np.geomspace(1e8, 1e11, 10)
    loss = 1 + 0.4 * np.linspace(-1, 1, 10) ** 2
    for imprecise in (0, 4, 9):
        stderr = np.where(np.arange(10) == imprecise, 1.0, 0.005)
        assert classify_curve(x, loss, stderr=stderr).label == "non_monotone"
    assert classify_curve(x, loss, stderr=[1.0] * 10).label != "non_monotone"


@pytest.mark.parametrize("trials", [50, 100])
@pytest.mark.parametrize("appended", [[], [1.0]])
def test_an_accuracy_of_one_does_not_hide_a_fall(appended, trials):
    accuracy = [0.6, 0.7, 0.8, 0.9, 0.95, 0.9, 0.8, 0.7, 0.6, *appended]
    x = np.geomspace(1e8, 1e11, len(accuracy))
    shape = classify_curve(x, accuracy, trials=trials, higher_is_better=True)
    # of 50 trials the rise is hardly more than 3 sd
    assert shape.label in (["non_monotone"] if trials == 100 else ["non_monotone", "broken"])


def test_noise_that_could_hide_a_factor_of_two_is_not_called_flat():
    x = np.geomspace(1e8, 1e10, 4)
    shape = classify_curve(x, [0.03, 0.04, 0.03, 0.05], stderr=[0.02] * 4)
    assert shape.label == "insufficient_range"
    assert "could hide" in shape.message


def test_trials_keep_an_accuracy_of_one_off_the_limit():
    x = np.geomspace(1, 1e4, 3)
    counted = log_losses(x, [0.5, 0.9, 1.0], trials=100, higher_is_better=True)
    np.testing.assert_allclose(np.exp(counted.log_loss), [0.5, 10.5 / 101, 0.5 / 101])
    assert counted.stderr[0] == pytest.approx(1 / np.sqrt(102))
    mixed = log_losses(
        x, [0.5, 0.9, 1.0], stderr=[0.05, 0.03, 0], trials=[np.nan, 100, 100], higher_is_better=True
    )
    np.testing.assert_allclose(np.exp(mixed.log_loss), [0.5, 0.1, 0.5 / 101])
    np.testing.assert_allclose(mixed.stderr[:2], [0.1, 0.3])


@pytest.mark.parametrize(
    ("x", "y", "arguments", "message"),
    [
        ([1, 0, 2], [1, 1, 1], {}, "row 2: x is 0"),
        ([1, 2, 3], [1, np.nan, 1], {}, "row 2: y is nan"),
        ([1, 2, 3], [1, 1, -1], {}, "row 3: -1 has no logarithm"),
        ([1, 2, 3], [1, 1], {}, "3 x, 2 y"),
        ([1, 2, 3], [1, 1, "a"], {}, "y must be a list of numbers"),
        ([1, 2, 3], [1, 1, 1], {"stderr": [0, -1, 0]}, "row 2: a standard error of -1"),
        ([1, 2, 3], [50, 60, 70], {"higher_is_better": True}, "divide percent by 100"),
        ([1, 2, 3], [1, 1, 1], {"higher_is_better": True}, "rows 1, 2, 3: an error of 0"),
        ([1, 2, 3], [0.5, -0.6, 1], {"higher_is_better": True}, "row 2: -0.6 is no share"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"trials": [5, 0, 5]}, "row 2: 0 trials"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"trials": [5, 5]}, "2 numbers of trials for 3 y"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"trials": ["5", "many", "5"]}, "trials must be"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"trials": [5, np.nan, 5]}, "row 2: nan trials"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"trials": np.inf}, "row 1: the number of trials is inf"),
        ([1, 2, 2], [0.5, 0.6, 0.7], {}, "2 different x"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"chance": 1, "higher_is_better": True}, "chance level of 1"),
        ([1, 2, 3], [0.5, 0.6, 0.7], {"chance": -2}, "chance level of -2"),
    ],
)
def test_what_cannot_be_used_is_refused(x, y, arguments, message):
    with pytest.raises(BayescaleError, match=message):
        classify_curve(x, y, **arguments)


def test_text_in_a_table_is_refused_by_its_row():
    table = pd.DataFrame({"x": [1, 2, 4], "y": [1.0, "0.9", "diverged"], "n": [5, None, "many"]})
    (message,) = classify_curves(table, None, "x", "y")["message"]
    assert message.startswith("row 3: y is 'diverged', no number: ")
    assert message.endswith("leave the row out with --where 'row not in [3]'")
    kept = table.assign(y=[1.0, "0.9", 0.8])
    (message,) = classify_curves(kept, None, "x", "y", trials="n")["message"]
    assert message.startswith("row 3: the number of trials is 'many'")
    assert classify_curves(kept, None, "x", "y")["label"].to_list() != ["refused"]


def test_columns_of_lists_do_no_harm():
    table = pd.DataFrame({"x": [1.0, 1.0, 2.0, 2.0, 4.0, 4.0], "y": [3.0, 1.0, 3.1, 0.9, 2.9, 1.1]})
    table = table.assign(curve=[[step] for step in range(6)], kind=["a", "b"] * 3)
    with pytest.warns(RunsWarning, match="should --by also name kind"):
        classify_curves(table, None, "x", "y")


def test_dense_curves_are_thinned_and_repeats_kept():
    x = np.geomspace(1, 1e4, 400)
    points = points_of(x, -0.1 * np.log(x), np.full(400, 0.1))
    assert len(points.x) == 16
    np.testing.assert_allclose(points.log_loss, -0.1 * np.log(points.x), atol=1e-12)
    np.testing.assert_allclose(points.stderr, 0.1 / np.sqrt(25))
    assert "400 points thinned to means of 16 bins" in points.notes[0]
    assert points.decades == pytest.approx(4)  # as measured: the means span less
    repeats = points_of(np.repeat([1.0, 2.0, 4.0], 2), np.arange(6.0), np.zeros(6))
    assert (len(repeats.x), repeats.sizes) == (6, 3)
    assert "repeats kept" in repeats.notes[0]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("power_law", Status.PASS), ("saturated", Status.REVIEW), ("inverse", Status.FAIL)],
)
def test_the_check_passes_power_laws_only(kind, status):
    check = shape_check(*curve(kind), axis="tokens")
    assert check.status == status
    assert (check.advice == "") == (status == Status.PASS)
    assert check.name == "shape along tokens"
    assert check.detail.label == kind
    assert np.isnan([check.statistic, check.threshold]).all()  # a rule decides, no one number


def test_regimes_end_where_the_law_says():
    x, loss = curve("saturated_guess", 16, sigma=0.002)
    shape = classify_curve(x, loss)
    z = np.log(x / 1e9)
    # g = 0.9 of a sigmoid of rate 1.2 around 0.5
    assert np.log(shape.regimes["near_chance_until"].median() / 1e9) == pytest.approx(
        0.5 - np.log(9) / 1.2, abs=0.25
    )
    share = 0.5 * np.exp(-0.9 * z)
    flattens = classify_curve(x, 2 * (1 + share))
    # 1 - 1/(1 + share) = 0.1
    assert np.log(flattens.regimes["irreducible_from"].median() / 1e9) == pytest.approx(
        np.log(0.5 * 9) / 0.9, abs=0.25
    )


@pytest.fixture
def table():
    rows = []
    for name, kind in (("a", "power_law"), ("b", "inverse")):
        x, loss = curve(kind)
        rows.append(pd.DataFrame({"curve": name, "tokens": x, "loss": loss}))
    return pd.concat([*rows, pd.DataFrame({"curve": ["c"], "tokens": [1.0], "loss": [1.0]})])


def test_every_curve_of_a_table_gets_a_row(table):
    labels = classify_curves(table, "curve", "tokens", "loss")
    assert list(labels.columns) == list(COLUMNS)
    assert labels["label"].to_list() == ["power_law", "inverse", "insufficient_range"]
    assert labels["n"].to_list() == [12, 12, 1]
    assert labels["p_power_law"].isna().to_list() == [False, False, True]
    with pytest.raises(RunsError, match="did you mean 'tokens'"):
        classify_curves(table, "curve", "token", "loss")
    spoilt = table.reset_index(drop=True)
    spoilt.loc[12, "loss"] = np.nan
    named = spoilt.set_axis([f"run {i}" for i in range(len(spoilt))])
    for one in (spoilt, named):
        labels = classify_curves(one, "curve", "tokens", "loss")
        assert labels["label"].to_list() == ["power_law", "refused", "insufficient_range"]
        assert labels["message"][1].startswith("row 13: y is nan")
    with pytest.raises(RunsError, match="row 13: no curve"):
        classify_curves(
            named.assign(curve=named["curve"].where(named["loss"].notna())),
            "curve",
            "tokens",
            "loss",
        )
    assert list(classify_curves(named.iloc[:12], "curve", "tokens", "loss")["n"]) == [12]


def test_a_chance_level_is_checked_before_any_curve(table):
    with pytest.raises(RunsError, match="chance level of -1"):
        fit_curves(table, "curve", "tokens", "loss", chance=-1.0)


def test_curves_are_judged_without_pymc():
    code = "import sys, bayescale.curves.forecasts; sys.exit('pymc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_second_descents_are_seen_and_falling_training_loss_is_not_called_rising(data_folder):
    table = load_dataset("double_descent")
    labels = classify_curves(table, ["curve", "metric"], "x", "value").set_index("curve")["label"]
    peaked = labels.drop(
        [
            "nlp-model-dd | train_loss",
            # falls without a peak, and rise with the number of samples
            "dd-translation-samples-aug26-small | test_error",
            "dd-translation-samples-aug26-small | train_error",
            "dd-translation-samples-aug26-small | train_loss",
        ]
    )
    assert (peaked == "non_monotone").all()
    assert labels["nlp-model-dd | train_loss"] not in ("inverse", "non_monotone")
    assert labels["dd-translation-samples-aug26-small | test_error"] not in (
        "inverse",
        "non_monotone",
    )


@pytest.mark.slow
def test_labels_respect_known_errors_of_inverse_scaling(data_folder):
    table = load_dataset("inverse_scaling").query(
        "source == 'inverse-scaling-eval-pipeline' and metric == 'loss'"
    )
    labels = classify_curves(table, "curve", "x", "value", stderr="stderr").set_index("curve")
    ends = (
        table.sort_values("x")
        .groupby("curve")
        .agg(
            change=("value", lambda v: v.iloc[-1] - v.iloc[0]),
            se=("stderr", lambda s: np.hypot(s.iloc[-1], s.iloc[0])),
        )
    )
    z = (ends["change"] / ends["se"]).loc[labels.index]
    inverse = labels["label"] == "inverse"
    assert inverse.any()
    assert not inverse[z < 1].any()
    assert labels["label"][z > 3].isin(["inverse", "non_monotone"]).all()


def test_several_curves_in_one_are_doubted():
    x = np.tile(np.geomspace(1e7, 1e10, 10), 2)
    metric = np.repeat(["loss", "error"], 10)
    y = np.where(metric == "loss", 3.0, 0.4) * (x / 1e7) ** -0.1
    table = pd.DataFrame({"curve": "a", "metric": metric, "x": x, "y": y})
    with pytest.warns(RunsWarning, match=r"first 'a', have values at one x .* also name metric"):
        classify_curves(table, "curve", "x", "y")
    coarse = table.assign(y=np.round(table["y"], 0) + 0.4)  # few values, yet no name of a curve
    with pytest.warns(RunsWarning, match=r"also name metric\?$"):
        classify_curves(coarse, "curve", "x", "y")
    seeds = table.assign(metric=np.repeat(["1", "2"], 10))
    seeds["y"] = 3.0 * (x / 1e7) ** -0.1 * np.where(seeds["metric"] == "1", 1.0, 1.004)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify_curves(seeds, "curve", "x", "y")
