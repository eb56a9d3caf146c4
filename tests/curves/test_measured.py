"""Curves of a table: each is used or refused on its own, by its own direction and chance level."""

import numpy as np
import pandas as pd
import pytest

from bayescale import RunsError, classify_curve, classify_curves, forecast_curves, load_dataset
from bayescale.curves.measured import measured_curves
from bayescale.curves.points import Metric, log_losses
from bayescale.curves.shape import chance_level
from bayescale.runs.table import read_table

X = np.geomspace(1e8, 1e11, 8)


def curves(**values):
    """One curve of eight sizes for each name, or of one a row of what it is given."""
    return pd.concat(
        [
            pd.DataFrame({"curve": name, "x": X[: len(y)], "y": pd.Series(y, dtype=object)})
            for name, y in values.items()
        ],
        ignore_index=True,
    )


def messages(table, **options):
    return {one.name: one.message for one in measured_curves(table, "curve", "x", "y", **options)}


OUT = "leave the row out with --where 'row not in [10]'"
GOOD = (0.7 * X[0] ** 0.1 * X**-0.1).round(4)


@pytest.mark.parametrize(
    ("bad", "higher", "message"),
    [
        ("diverged", False, f"row 10: y is 'diverged', no number: write one or {OUT}"),
        (np.nan, False, f"row 10: y is nan: fill it in or {OUT}"),
        (np.inf, False, f"row 10: y is inf: {OUT}; find_optima reads diverged runs"),
        (-0.1, False, f"row 10: -0.1 has no logarithm: the metric must be positive, {OUT}"),
        (65.45, True, "row 10: 65.45 is no share between 0 and 1: divide percent by 100; a quant"),
        (-0.1, True, f"row 10: -0.1 is no share between 0 and 1: {OUT}"),
    ],
)
def test_a_bad_value_refuses_its_own_curve(bad, higher, message):
    y = GOOD.tolist()
    table = curves(first=y, spoilt=[y[0], bad, *y[2:]], last=y)
    found = messages(table, higher_is_better=higher)
    assert (found["first"], found["last"]) == ("", "")
    assert found["spoilt"].startswith(message)
    labels = classify_curves(table, "curve", "x", "y", higher_is_better=higher).set_index("curve")
    assert labels.loc["spoilt", "label"] == "refused"
    assert labels.loc["spoilt", "n"] == 8
    assert labels.loc["spoilt"].drop(["label", "n", "message"]).isna().all()
    assert labels.loc["first", "label"] == labels.loc["last", "label"] != "refused"


def test_an_axis_may_be_written_as_counts_are():
    written = [f"{value / 1e6:.6f}M" for value in X]
    table = curves(one=GOOD).assign(x=[*written[:-1], f"{X[-1] / 1e9:.9f}B"])
    (one,) = measured_curves(table, "curve", "x", "y")
    np.testing.assert_allclose(one.values.x, X, rtol=1e-6)
    (one,) = measured_curves(table.assign(x=["many", *written[1:]]), "curve", "x", "y")
    assert one.message.startswith("row 1: x is 'many', no number: write one or leave the row out")


def test_the_remedy_of_a_bad_value_works():
    table = curves(first=GOOD, spoilt=[*GOOD[:2], np.nan, *GOOD[3:]])
    remedy = messages(table)["spoilt"].split("--where ")[1].strip("'")
    kept = read_table(table, where=remedy)
    assert len(kept) == len(table) - 1
    assert set(messages(kept).values()) == {""}


def test_what_concerns_the_whole_table_still_refuses_it():
    table = curves(first=GOOD)
    for wrong in (
        {"stderr": "se"},
        {"trials": "n"},
        {"higher_is_better": "up"},
        {"chance": "guess"},
    ):
        with pytest.raises(RunsError, match=f"no column '{next(iter(wrong.values()))}'"):
            measured_curves(table, "curve", "x", "y", **wrong)
    with pytest.raises(RunsError, match="no rows"):
        measured_curves(table.iloc[:0], "curve", "x", "y")
    with pytest.raises(RunsError, match="chance level of 2"):
        measured_curves(table, "curve", "x", "y", higher_is_better=True, chance=2)


def test_a_forecast_refuses_a_curve_alone():
    table = curves(spoilt=[*GOOD[:7], "nan"])
    (one,) = forecast_curves(table, "curve", "x", "y", at=[1e12])
    assert (one.draws, one.curve.label, one.curve.rows) == (None, "refused", 8)
    assert "row 8: y is nan" in one.message


def test_an_error_of_zero_counts_as_half_of_the_step_that_the_others_show():
    accuracy = np.array([0.2855, 0.5435, 0.756, 0.906, 0.9715, 1.0])  # of 2000
    x = X[:6]
    found = log_losses(x, accuracy, higher_is_better=True)
    counted = log_losses(x, accuracy, trials=2000, higher_is_better=True)
    assert np.exp(found.log_loss[-1]) == pytest.approx(0.5 / 2001)
    assert found.log_loss[-1] == pytest.approx(counted.log_loss[-1])
    assert found.stderr[-1] == pytest.approx(counted.stderr[-1])
    np.testing.assert_allclose(np.exp(found.log_loss[:-1]), 1 - accuracy[:-1])
    assert not found.stderr[:-1].any()
    assert found.notes == (
        "row 6: an error of 0 counts as 0.00025, as of 2000 trials, the fewest that can give the "
        "other values; give trials if they are known",
    )
    rate = log_losses(x, 1 - accuracy.round(4))
    np.testing.assert_allclose(rate.log_loss, found.log_loss)
    assert not log_losses(x[:5], accuracy[:5], higher_is_better=True).notes
    assert "2000 trials" in classify_curve(x, accuracy, higher_is_better=True).message


def test_standard_errors_tell_the_trials_of_an_error_of_zero():
    accuracy = np.array([0.5, 0.75, 0.9, 1.0])
    stderr = np.sqrt(accuracy * (1 - accuracy) / 400)
    found = log_losses(X[:4], accuracy, stderr=stderr, higher_is_better=True)
    assert np.exp(found.log_loss[-1]) == pytest.approx(0.5 / 401)
    np.testing.assert_allclose(found.stderr[:3], (stderr / (1 - accuracy.clip(max=0.99)))[:3])


def test_a_loss_of_zero_above_other_losses_is_refused():
    with pytest.raises(RunsError, match="row 3: 0 has no logarithm"):
        log_losses(X[:3], [3.0, 2.0, 0.0])


def test_accuracies_of_zero_are_data():
    found = log_losses(X[:3], [0.0, 0.0, 0.003], higher_is_better=True)
    np.testing.assert_allclose(np.exp(found.log_loss), [1, 1, 0.997])
    sums = log_losses(X[:3], [0.5, 0.75, sum([0.1] * 10)], higher_is_better=True)
    assert np.exp(sums.log_loss[2]) == pytest.approx(0.5 / 5)  # a quarter is the step


@pytest.mark.parametrize(
    ("chance", "higher", "loss"), [(0.0, True, 1.0), (0.25, True, 0.75), (2.0, False, 2.0)]
)
def test_zero_is_a_chance_level(chance, higher, loss):
    assert chance_level(chance, higher) == loss


@pytest.mark.parametrize(("chance", "higher"), [(1.0, True), (-0.1, True), (0.0, False)])
def test_what_is_no_chance_level_is_refused(chance, higher):
    with pytest.raises(RunsError, match="cannot be: it must be"):
        chance_level(chance, higher)


@pytest.mark.parametrize(
    ("yes", "no"), [(True, False), ("True", "False"), (" yes", "No"), (1, 0), ("1", "0")]
)
def test_a_column_says_the_direction_of_each_curve(yes, no):
    table = curves(accuracy=1 - GOOD, loss=GOOD, percent=65 - GOOD)
    up = pd.Series(np.where(table["curve"] == "loss", "no", "yes")).map({"yes": yes, "no": no})
    found = measured_curves(table.assign(up=up), "curve", "x", "y", higher_is_better="up")
    assert [one.metric for one in found[:2]] == [Metric.SHARE, Metric.LOSS]
    np.testing.assert_allclose(found[0].values.log_loss, found[1].values.log_loss)
    assert found[2].values is None
    assert "divide percent by 100" in found[2].message


def test_an_unclear_direction_refuses_its_curve_by_name():
    table = curves(a=GOOD, b=GOOD, c=GOOD).assign(up="true")
    table.loc[10, "up"] = "false"
    table.loc[16, "up"] = "perhaps"
    found = messages(table, higher_is_better="up")
    assert found["a"] == ""
    assert found["b"].startswith("row 11: up is False, not True as in row 9: a curve has one dir")
    assert found["c"] == "row 17: up is perhaps: write true or false"


def test_a_column_says_the_level_of_chance_of_each_curve():
    table = curves(a=1 - GOOD, b=1 - GOOD, c=1 - GOOD, d=1 - GOOD).assign(guess=0.25)
    table["guess"] = table["guess"].astype(object).where(table["curve"] != "b", None)
    table.loc[20, "guess"] = 0.2
    table.loc[table["curve"] == "d", "guess"] = 1
    found = measured_curves(table, "curve", "x", "y", higher_is_better=True, chance="guess")
    assert [one.chance for one in found] == [0.25, None, None, None]
    assert found[2].message.startswith("row 21: guess is 0.2, not 0.25 as in row 17")
    assert found[3].message.startswith("a chance level of 1 cannot be")
    table.loc[0, "guess"] = "a quarter"
    message = messages(table, higher_is_better=True, chance="guess")["a"]
    assert message == "row 1: guess is 'a quarter', no number"


def test_one_level_of_chance_is_of_the_shares_of_a_mixed_table():
    table = curves(accuracy=1 - GOOD, loss=GOOD).assign(up=lambda t: t["curve"] == "accuracy")
    found = measured_curves(table, "curve", "x", "y", higher_is_better="up", chance=0)
    assert [one.chance for one in found] == [0, None]


def test_trials_are_of_shares_only():
    table = curves(accuracy=[0.25, 0.5, 0.9], wrong=[0.75, 0.5, 0.1], loss=[0.4321, 0.3, 0.2])
    table = table.assign(up=lambda t: t["curve"] == "accuracy", n=100.0)
    found = measured_curves(table, "curve", "x", "y", trials="n", higher_is_better="up")
    accuracy, wrong, loss = (one.values for one in found)
    np.testing.assert_allclose(accuracy.stderr, wrong.stderr)
    assert accuracy.stderr.all()
    assert not loss.stderr.any()
    assert loss.notes == ("trials left out: the values are no shares of them",)
    large = log_losses(X[:3], [4.0, 3.0, 2.0], trials=100)
    assert not large.shares
    assert log_losses(X[:3], [0.4, 0.3, 0.2], trials=100).shares
    assert not large.stderr.any()
    assert "values above 1 are no shares" in large.notes[0]


def test_trials_and_standard_errors_may_be_missing_for_whole_curves():
    table = curves(known=1 - GOOD, unknown=1 - GOOD, partly=1 - GOOD)
    table = table.assign(n=np.where(table["curve"] == "unknown", np.nan, 100.0))
    table.loc[18, "n"] = np.nan
    table["se"] = table["n"] / 1e4
    for options in ({"trials": "n"}, {"stderr": "se"}):
        found = measured_curves(table, "curve", "x", "y", higher_is_better=True, **options)
        assert [one.values is None for one in found] == [False, False, True]
        assert found[0].values.stderr.all()
        assert not found[1].values.stderr.any()
        assert found[2].message.startswith("row 19: ")


def test_running_bests_say_what_new_measurements_do():
    best = np.repeat([0.9, 0.713, 0.542, 0.4, 0.333, 0.21], 2)
    x = np.geomspace(1e8, 1e11, 12)
    (note,) = log_losses(x, best).notes
    assert "new measurements lie higher and scatter more" in note
    (note,) = log_losses(x, 1 - best, higher_is_better=True).notes
    assert "new measurements lie lower and scatter more" in note
    assert note in classify_curve(x, 1 - best, higher_is_better=True).message
    assert not log_losses(x, best + 0.001 * np.arange(12)[::-1]).notes


def test_the_published_table_of_both_directions_is_read_whole(data_folder):
    found = measured_curves(
        load_dataset("inverse_scaling"),
        "curve",
        "x",
        "value",
        trials="n_examples",
        higher_is_better="higher_is_better",
    )
    assert len(found) == 258
    assert not any(one.message for one in found)
    left_out = [one.name for one in found if any("left out" in note for note in one.values.notes)]
    losses = [one.name for one in found if one.name.endswith(("|loss", "|cot_no_cot_match"))]
    assert sorted(left_out) == sorted(losses)


def test_two_curves_may_not_have_one_name():
    table = pd.DataFrame(
        {"a": ["p | q", "p"], "b": ["r", "q | r"], "x": [1.0, 2.0], "y": [1.0, 2.0]}
    )
    with pytest.raises(RunsError, match=r"both be named 'p \| q \| r'"):
        measured_curves(table, ["a", "b"], "x", "y")
    assert len(measured_curves(table, "a", "x", "y")) == 2


def test_chance_below_every_loss_is_refused():
    table = pd.DataFrame({"x": [1.0, 2.0, 4.0], "y": [1.9, 1.8, 1.7]})
    (one,) = measured_curves(table, None, "x", "y", chance=0.25)
    assert one.values is None
    assert "lies below every loss" in one.message
    (one,) = measured_curves(table, None, "x", "y", chance=2.0)
    assert one.values is not None
