"""Where curves go: known laws, refusals, noise of new points, and one posterior for all of it."""

import numpy as np
import pandas as pd
import pytest

from bayescale.curves import together
from bayescale.curves.forecasts import COLUMNS, forecast_curves, forecast_fitted, forecast_table
from bayescale.curves.importance import Effort
from bayescale.curves.table import curve_table, fit_curves
from bayescale.errors import BayescaleError, RunsError

X = np.geomspace(1e8, 1e10, 14)
SHORT = Effort(500, rounds=4, most=4, draws=500, enough=1.0)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Sample every curve for a short time: what is tested here needs no precise tails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "EFFORT", SHORT)
        patch.setattr(together, "ROUGH", SHORT)
        yield


def noisy(loss, noise=0.003, seed=0):
    return loss * np.exp(noise * np.random.default_rng(seed).standard_normal(np.shape(loss)))


def offset(x, floor=1.5, alpha=0.3):
    """Power law with offset, 3 at 1e8."""
    return floor + (3 - floor) * (np.asarray(x) / 1e8) ** -alpha


def frame(loss, name="one", x=X):
    return pd.DataFrame({"model": name, "tokens": x[: len(loss)], "loss": loss})


@pytest.fixture(scope="module")
def table():
    valley = noisy(offset(X) * np.exp(0.8 * np.maximum(np.log10(X / 1e9), 0)), seed=4)
    curves = {
        "small": noisy(offset(X), seed=1),
        "rising": noisy(offset(X), seed=2)[::-1],
        "valley": valley,
        "short": noisy(offset(X), seed=5)[:5],
        "two": noisy(offset(X), seed=6)[:2],
    }
    return pd.concat([frame(loss, name) for name, loss in curves.items()], ignore_index=True)


@pytest.fixture(scope="module")
def forecasts(table):
    found = forecast_curves(table, "model", "tokens", "loss", at=[2e10, 1e11])
    return {one.name: one for one in found}


def quantiles(one, at, levels=(0.05, 0.5, 0.95)):
    return one.draws["new"].sel(at=at).quantile(levels).to_numpy()


def forecast(loss, at, x=X, **options):
    return forecast_curves(frame(loss, x=x), None, "tokens", "loss", at=at, **options)[0]


def test_forecasts_hold_the_truth_and_widen(forecasts):
    widths = []
    for at in (2e10, 1e11):
        low, _, high = quantiles(forecasts["small"], at)
        assert low < offset(at) < high < 1.25 * low
        widths.append(high - low)
    assert widths[1] > 1.3 * widths[0]
    assert (forecasts["small"].slope < 0).all()
    assert forecasts["small"].p_rising < 0.05


def test_a_law_without_offset_goes_on_as_it_fell():
    at = 3e10
    low, middle, high = quantiles(forecast(noisy(3 * (X / 1e8) ** -0.4, 0.002), at), at)
    assert low < 3 * 300**-0.4 < high
    assert middle == pytest.approx(3 * 300**-0.4, rel=0.05)


def test_a_loss_that_rises_is_forecast_to_rise(forecasts):
    one = forecasts["rising"]
    assert one.curve.label == "inverse"
    assert "gets worse" in one.message
    top = one.curve.shape.posterior.log_loss(np.array([one.curve.top]))[:, 0]
    rises = np.log(one.draws["new"].sel(at=1e11).to_numpy().ravel()) > top
    assert rises.mean() > 0.9
    assert one.p_rising > 0.9
    assert (one.slope > 0).mean() > 0.9


def test_a_curve_that_falls_and_rises_has_no_forecast_and_says_why(forecasts):
    one = forecasts["valley"]
    assert (one.curve.label, one.draws) == ("non_monotone", None)
    assert "no law says what comes after a turn" in one.message
    with pytest.raises(RunsError, match="valley has no forecast"):
        _ = one.posterior


def test_short_curves_are_doubted_and_points_are_no_curve(forecasts):
    assert forecasts["short"].draws is not None
    assert "6 different x over 0.5 decades would say more" in forecasts["short"].message
    assert forecasts["two"].draws is None
    assert "2 different x make no curve" in forecasts["two"].message


def test_the_table_has_a_row_for_every_x_and_one_for_every_refusal(forecasts):
    rows = forecast_table(list(forecasts.values())).set_index("curve")
    assert list(rows.columns) == list(COLUMNS[1:])
    assert rows.index.value_counts().to_dict() == {
        "small": 2,
        "rising": 2,
        "valley": 1,
        "short": 2,
        "two": 1,
    }
    assert rows.loc["valley", ["median", "q05", "slope"]].isna().all()
    small = rows.loc["small"]
    assert small["decades_beyond"].tolist() == pytest.approx(np.log10([2, 10]).tolist())
    levels = small[["q05", "q10", "q25", "median", "q75", "q90", "q95"]].to_numpy()
    assert (np.diff(levels, axis=1) > 0).all()
    assert (small["message"] == "").all()


def test_values_of_x_may_be_multiples_and_by_curve(table):
    own = table[table["model"].isin(["small", "short"])]
    twice = forecast_curves(own, "model", "tokens", "loss", at="2x")
    tops = own.groupby("model", sort=False)["tokens"].max().to_numpy()
    at = [float(one.draws["at"].item()) for one in twice]
    np.testing.assert_allclose(at, 2 * tops)
    both = forecast_curves(
        own, "model", "tokens", "loss", at={"small": ["3x", 5e10], "short": [1e10]}
    )
    assert both[0].draws["at"].to_numpy().tolist() == pytest.approx([3e10, 5e10])
    with pytest.raises(RunsError, match="'short'"):
        forecast_curves(own, "model", "tokens", "loss", at={"small": [2e10]})


def test_values_inside_the_curve_are_left_out_and_named(table):
    own = table[table["model"] == "small"]
    fitted = fit_curves(own, "model", "tokens", "loss")
    both, inside = (forecast_fitted(fitted, at)[0] for at in ([1e9, 2e10], [1e9]))
    assert both.draws["at"].to_numpy().tolist() == [2e10]
    for one in (both, inside):
        assert one.message.startswith("no forecast at 1")
        assert "the curve ends at 1" in one.message
    assert inside.draws is None


@pytest.mark.parametrize("at", [[], [-1.0], [np.nan], ["x"], ["-2x"]])
def test_values_of_x_that_cannot_be_forecast_are_refused(table, at):
    fitted = fit_curves(table[table["model"] == "two"], "model", "tokens", "loss")
    with pytest.raises(BayescaleError, match="x to forecast"):
        forecast_fitted(fitted, at)


def test_label_slope_and_forecast_are_of_the_same_draws(table):
    own = table[table["model"] == "small"]
    fitted = fit_curves(own, "model", "tokens", "loss")
    one = forecast_fitted(fitted, "2x")[0]
    row = curve_table(fitted).iloc[0]
    assert one.curve.shape is fitted[0].shape
    assert row["exponent"] == pytest.approx(float(np.median(one.posterior.exponent)))
    assert row["floor"] == pytest.approx(float(np.median(one.posterior.floor)))
    # far beyond no forecast falls below the floors that the table says
    far = np.exp(forecast_fitted(fitted, 1e30)[0].posterior.log_loss([1e30]))
    assert float(np.median(far)) == pytest.approx(row["floor"], rel=0.02)


def test_the_same_seed_gives_the_same_draws_and_alone_no_other_curve_matters():
    tables = [
        pd.concat([frame(noisy(offset(X), seed=s), f"{s}") for s in which])
        for which in ([0, 1], [1])
    ]
    draws = [
        forecast_curves(own, "model", "tokens", "loss", at="2x", alone=True)[-1].draws
        for own in (*tables, tables[0])
    ]
    assert draws[0].equals(draws[1])
    assert draws[0].equals(draws[2])
    other = forecast_curves(tables[1], "model", "tokens", "loss", at="2x", alone=True, seed=2)
    assert not draws[0].equals(other[0].draws)


def test_other_curves_matter_unless_alone():
    tables = [
        pd.concat([frame(noisy(offset(X), seed=s), f"{s}") for s in range(n)]) for n in (1, 5)
    ]
    one, five = (
        forecast_curves(own, "model", "tokens", "loss", at=1e11)[0].draws["new"] for own in tables
    )
    assert not one.equals(five)


@pytest.mark.parametrize("trials", [100, 10_000])
def test_new_points_scatter_as_their_items_say(trials):
    """Binomial sd of a share p of n items, sqrt(p (1 - p) / n), and half a point between models."""
    x = np.geomspace(1e8, 1e10, 10)
    error = 0.2 + 0.4 * (x / 1e8) ** -0.4
    accuracy = 1 - np.random.default_rng(0).binomial(trials, error) / trials
    table = pd.DataFrame({"x": x, "y": accuracy, "n": trials})
    options = {"trials": "n", "higher_is_better": True}
    one = forecast_curves(table, None, "x", "y", at="2x", **options)[0]
    law = one.posterior.log_loss(np.array([2e10]))[:, 0]
    off = np.log(1 - one.draws["new"]).to_numpy().ravel() - law
    p = 0.2 + 0.4 * 200**-0.4
    known = np.hypot(np.sqrt(p * (1 - p) / trials), 0.005) / p
    scatter = np.subtract(*np.quantile(off, [0.75, 0.25])) / 1.349
    assert 0.9 * known < scatter < 1.4 * known  # the noise about the curve comes on top


def test_an_exponential_is_not_forecast_to_flatten_at_once():
    x = np.linspace(1.0, 12.0, 12)
    loss = noisy(0.02 + np.exp(-x / 2.0), 0.01)
    one = forecast_curves(
        pd.DataFrame({"x": x, "y": loss}), None, "x", "y", at=[13.0, 14.0], alone=True
    )[0]
    assert one.curve.label == "exponential"
    last = np.log(loss[-1] / loss[-3]) / np.log(x[-1] / x[-3])
    middle = np.log(one.draws["new"].median(("chain", "draw")).to_numpy())
    start = one.posterior.log_loss(np.array([x[-1]])).mean()
    truth = np.log(0.02 + np.exp(-np.array([13.0, 14.0]) / 2.0))
    assert (middle - start < 0.5 * last * np.log(np.array([13.0, 14.0]) / x[-1])).all()
    low, high = np.log(one.draws["new"].quantile([0.05, 0.95], ("chain", "draw")).to_numpy())
    assert ((low < truth) & (truth < high)).all()
    assert (one.draws["law"] == "exponential").mean() > 0.5


def test_a_model_that_is_asked_for_has_all_of_the_say():
    x = np.linspace(1.0, 12.0, 12)
    table = pd.DataFrame({"x": x, "y": noisy(0.02 + np.exp(-x / 2.0), 0.01)})
    one = forecast_curves(table, None, "x", "y", at=13.0, model="plateau-power-law")[0]
    assert set(one.draws["law"].to_numpy().ravel()) == {"plateau_power_law"}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_quantity_of_either_sign_is_the_power_law_that_it_is(sign):
    tokens = np.geomspace(1e9, 1e12, 9)
    batch = noisy(3 * tokens ** (0.4 * sign), 0.01)
    table = pd.DataFrame({"tokens": tokens, "batch": batch})
    fitted = fit_curves(table, None, "tokens", "batch", quantity=True)
    one = forecast_fitted(fitted, 1e13)[0]
    assert one.curve.label != "inverse"
    assert one.message == ""
    low, middle, high = quantiles(one, 1e13)
    assert low < 3 * 1e13 ** (0.4 * sign) < high
    assert middle == pytest.approx(3 * 1e13 ** (0.4 * sign), rel=0.03)
    low, high = np.quantile(one.posterior.exponent, [0.05, 0.95])
    assert low < 0.4 < high < low + 0.1


def test_accuracies_are_forecast_as_shares_from_a_chance_of_nought():
    x = np.geomspace(1e20, 1e23, 9)
    accuracy = 0.9 / (1 + (x / 3e21) ** -0.8)
    table = pd.DataFrame({"flops": x, "accuracy": noisy(accuracy, 0.003)})
    options = {"higher_is_better": True, "at": 2e23, "chance": 0.0}
    one = forecast_curves(table, None, "flops", "accuracy", **options)[0]
    low, _, high = quantiles(one, 2e23, (0.01, 0.5, 0.99))
    assert low < 0.9 / (1 + (2e23 / 3e21) ** -0.8) < high
    assert 0 <= low < high <= 1
    with pytest.raises(RunsError, match=r"chance level of -0\.1"):
        forecast_curves(table, None, "flops", "accuracy", **options | {"chance": -0.1})


def test_known_mean_of_the_fall_scales_what_lies_beyond(table):
    own = fit_curves(table[table["model"] == "small"], "model", "tokens", "loss")[0]
    posterior = own.shape.posterior
    half = type(posterior)(posterior.points, posterior.parts, np.full(1000, np.log(0.5)))
    at = np.array([3e8, own.top, 1e11])
    plain, scaled = posterior.log_loss(at), half.log_loss(at)
    np.testing.assert_array_equal(plain[:, :2], scaled[:, :2])
    np.testing.assert_allclose(scaled[:, 2] - scaled[:, 1], 0.5 * (plain[:, 2] - plain[:, 1]))


def test_curves_and_forecasts_show_themselves():
    x = np.geomspace(1e8, 1e10, 8)
    table = pd.DataFrame({"x": x, "y": 2 + (x / 1e8) ** -0.4, "run": "<one>"})
    curves = fit_curves(table, "run", "x", "y")
    first, head, line, *_ = repr(curves).splitlines()
    assert (first, head.split()) == ("1 curve", ["curve", "label", "why"])
    assert line.split()[0] == "<one>"
    assert "&lt;one&gt;" in curves._repr_html_()
    (ahead,) = forecast_fitted(curves, ["2x", "4x"])
    assert [row.split()[0] for row in repr(ahead).splitlines()[1:4]] == ["x", "20.0B", "40.0B"]
    (reached,) = forecast_fitted(curves, "0.5x")
    assert "no forecast at 5.00B" in repr(reached)


def test_a_flat_curve_among_falling_ones_is_not_forecast_to_fall_as_they_do():
    each = {f"falls {n}": offset(X, 1.2 + 0.1 * n) for n in range(6)}
    falling = [frame(noisy(own, 0.01, seed=n), name) for n, (name, own) in enumerate(each.items())]
    flat = frame(noisy(np.full(len(X), 2.5), 0.01, seed=9), "flat")
    table = pd.concat([*falling, flat], ignore_index=True)
    *_, own = forecast_curves(table, "model", "tokens", "loss", at=[1e11])
    assert own.curve.label == "saturated"
    _, middle, high = quantiles(own, 1e11)
    assert middle > 0.94 * 2.5  # what the others share says 11% less, 3% at least
    assert high > 2.5


def test_a_loss_of_which_all_rises_is_not_forecast_to_steepen():
    truth = {str(n): (1 + n) * (X / 1e8) ** (0.05 + 0.03 * n) for n in range(4)}
    curves = [frame(noisy(loss, 0.008, seed=int(n)), n) for n, loss in truth.items()]
    found = forecast_curves(pd.concat(curves), "model", "tokens", "loss", at=[1e11])
    assert {one.curve.label for one in found} == {"inverse"}
    beyond = [loss[-1] ** 1.5 / loss[0] ** 0.5 for loss in truth.values()]
    off = [quantiles(one, 1e11)[1] / y - 1 for one, y in zip(found, beyond, strict=True)]
    assert abs(np.mean(off)) < 0.01
    assert set(np.unique(found[0].draws["law"])) == {"inverse", "pure_inverse"}
