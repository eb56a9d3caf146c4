"""Forecasts of curves: the model, the drift learned across curves, tables and refusals."""

import json
from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from conftest import ODD_NAMES, check_names
from scipy import stats
from typer.testing import CliRunner

from bayescale import cli
from bayescale.curves import forecast as curve
from bayescale.curves.drifts import population_weights
from bayescale.curves.forecast import MEMBERS, local_slope, predict_beyond, sample_members
from bayescale.curves.forecasts import COLUMNS, forecast_curves, forecast_table
from bayescale.curves.model import EXPONENT, KNOTS, NU, PRIORS, build_curve_model, log_curve
from bayescale.curves.points import points_of
from bayescale.errors import BayescaleError, RunsError
from bayescale.plots import plot_forecast
from bayescale.posterior.sampling import sample

LENGTH = 2 * np.log(10)
BY_NAME = {member.name: member for member in MEMBERS}
each_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)


def some_values(member, seed=0, draws=None):
    """Coordinates from their priors: scalars, or columns of draws."""
    rng = np.random.default_rng(seed)
    shape = () if draws is None else (draws, 1)
    values = {name: np.asarray(rng.normal(*PRIORS[name], shape)) for name in member.coordinates}
    if member.drift:
        values["steps"] = rng.standard_normal(KNOTS if draws is None else (draws, KNOTS))
    return values


def falling(x, *, floor=1.5, alpha=0.3, noise=0.003, seed=0):
    """Power law with offset, 3 at the smallest x."""
    loss = floor + (3 - floor) * (x / x[0]) ** -alpha
    return loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(x)))


@pytest.fixture(scope="module")
def table():
    x = np.geomspace(1e8, 1e10, 14)
    curves = {
        "small": falling(x, seed=1),
        "large": falling(x, alpha=0.4, seed=2),
        "rising": falling(x, seed=3)[::-1],
        "short": falling(x, seed=4)[:5],
    }
    return pd.concat(
        [
            pd.DataFrame({"model": name, "tokens": x[: len(loss)], "loss": loss})
            for name, loss in curves.items()
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def forecasts(table):
    return forecast_curves(table, "model", "tokens", "loss", at=[2e10, 1e11])


@each_member
def test_end_points_are_the_sampled_levels(member):
    values = some_values(member, draws=20)
    ends = log_curve(member, values, np.array([-LENGTH, 0.0]), LENGTH)
    np.testing.assert_allclose(ends[:, 1], values["level"][:, 0], atol=1e-10)
    fall = np.exp(values["log_fall"][:, 0])
    np.testing.assert_allclose(ends[:, 0] - ends[:, 1], fall, rtol=1e-8)


def test_power_law_member_is_the_power_law():
    member = BY_NAME["power law"]
    values = {"level": 0.0, "log_fall": np.log(0.4), "logit_reducible": 0.0}
    v = np.linspace(-LENGTH, LENGTH, 9)
    loss = np.exp(log_curve(member, values, v, LENGTH))
    alpha = np.log((np.exp(0.4) - 0.5) / 0.5) / LENGTH
    np.testing.assert_allclose(loss, 0.5 + 0.5 * np.exp(-alpha * v), rtol=1e-12)


def test_chance_level_member_is_the_chance_level_law():
    member = BY_NAME["chance level"]
    values = {"level": 0.0, "log_fall": np.log(0.4), "logit_reducible": 0.0, "logit_start": 1.0}
    v = np.linspace(-LENGTH, LENGTH, 9)
    loss = np.exp(log_curve(member, values, v, LENGTH))
    chance = 0.5 + (np.exp(0.4) - 0.5) / (1 / (1 + np.exp(-1.0)))
    odds = np.log((loss - 0.5) / (chance - loss))
    np.testing.assert_allclose(np.diff(odds), np.diff(odds)[0], rtol=1e-9)
    assert odds[0] == pytest.approx(1.0)


def test_the_exponent_changes_at_knots_only_and_by_the_drift():
    member = BY_NAME["drifting power law"]
    values = {"level": 0.0, "log_fall": np.log(0.4), "logit_reducible": np.array(40.0)}
    values |= {"log_drift": np.log(0.1), "steps": np.zeros(KNOTS + 2)}
    values["steps"][KNOTS + 1] = 1.0  # an eighth of the range beyond the top
    v = np.array([0.0, LENGTH / 8, LENGTH / 4])
    log_loss = log_curve(member, values, v, LENGTH, fresh=2)
    before, after = -np.diff(log_loss) / (LENGTH / 8)
    alpha = 0.4 / LENGTH
    assert before == pytest.approx(alpha, rel=1e-6)
    assert after == pytest.approx(alpha * (1 + 0.1 * 3 / np.sqrt(KNOTS + 1)), rel=1e-6)


@each_member
def test_compiled_density_is_the_one_of_the_formulas(member):
    model = build_curve_model(member)
    v, log_loss = np.linspace(-3.0, 0.0, 6), np.linspace(0.3, 0.0, 6)  # as the model is built
    values = some_values(member)
    expected = sum(
        stats.norm.logpdf(values[name], *PRIORS[name]).sum() for name in member.coordinates
    )
    if member.drift:
        expected += stats.norm.logpdf(values["steps"]).sum()
    mu = log_curve(member, values, v, 3.0)
    expected += stats.t.logpdf(log_loss, NU, mu, np.exp(values["log_sigma"])).sum()
    steep = dict(values, **({"log_drift": np.array(-40.0)} if member.drift else {}))
    steep["logit_reducible"] = values["logit_reducible"]
    near = log_curve(member, steep, np.array([-3.0, -3.0 + 1e-6]), 3.0)
    exponent = exponent_of(member, values, near)
    expected += stats.norm.logpdf(np.log(exponent), *EXPONENT[member.chance])
    assert model.compile_logp(mode="FAST_COMPILE")(values) == pytest.approx(expected, abs=1e-3)


def exponent_of(member, values, near):
    """Exponent from the slope of the curve at the bottom, where nothing drifts."""
    share = 1 / (1 + np.exp(-values["logit_reducible"]))
    reducible = np.exp(near - values["level"]) - 1 + share
    slope = -np.diff(np.log(reducible))[0] / 1e-6
    if not member.chance:
        return slope
    left = 1 / (1 + np.exp(-values["logit_start"]))
    return slope / (1 - left)


def test_a_population_pulls_a_vague_curve_and_leaves_a_single_one():
    rng = np.random.default_rng(0)
    mean, sd = PRIORS["log_drift"]
    vague = rng.normal(mean, sd, 1000)
    assert np.ptp(population_weights([vague])[0]) == 0
    low = [rng.normal(mean - 1.0, 0.1, 1000) for _ in range(8)]
    pulled = float(population_weights([vague, *low])[0] @ vague)
    assert pulled < mean - 0.4
    high = [rng.normal(mean + 1.0, 0.1, 1000) for _ in range(8)]
    assert float(population_weights([vague, *high])[0] @ vague) > mean + 0.4


def test_two_stages_are_the_joint_posterior():
    """Normal likelihoods and known population: the exact answer is a conjugate update."""
    mean, sd = PRIORS["log_drift"]
    rng = np.random.default_rng(1)
    measured, error = mean + np.array([-0.5, 0.0, 0.7]), 0.4
    precision = 1 / sd**2 + 1 / error**2
    draws = [
        rng.normal((mean / sd**2 + m / error**2) / precision, precision**-0.5, 5000)
        for m in measured
    ]
    weights = population_weights(draws)
    from bayescale.curves import drifts

    m = mean + drifts._MIDDLE_SD * np.linspace(-4, 4, 201)[:, None]
    s = drifts._SPREAD_SD * np.linspace(0.01, 4, 200)
    joint = stats.norm.logpdf(m, mean, drifts._MIDDLE_SD) + stats.halfnorm.logpdf(
        s, scale=drifts._SPREAD_SD
    )
    joint = joint + sum(stats.norm.logpdf(y, m, np.sqrt(s**2 + error**2)) for y in measured)
    posterior = np.exp(joint - joint.max())
    for y, own, weight in zip(measured, draws, weights, strict=True):
        shrunk = (y * s**2 + m * error**2) / (s**2 + error**2)
        exact = (posterior * shrunk).sum() / posterior.sum()
        assert float(weight @ own) == pytest.approx(exact, abs=0.04)


def test_members_are_sampled_again_until_their_chains_agree(monkeypatch):
    """Chains whose R-hat is 1.2 do not agree: the first attempt of this sampler has such ones."""
    lengths, x = [], np.geomspace(1e8, 1e10, 14)

    def sampler(target, settings):
        lengths.append(settings["draws"])
        tree = sample(target, settings)
        if len(lengths) == 1:
            level = tree["posterior"]["level"]
            tree["posterior"]["level"] = level + level.chain * level.std()
            assert 1.1 < float(az.rhat(tree["posterior"].dataset)["level"]) < 1.6
        return tree

    monkeypatch.setattr(curve, "sample", sampler)
    points = points_of(x, np.log(falling(x)), np.zeros(14))
    found = sample_members(points, members=[BY_NAME["power law"]])
    assert lengths == [attempt["draws"] for attempt in curve.ATTEMPTS]
    assert found.max_r_hat < 1.05


def test_forecast_of_chains_that_disagree_has_not_converged(forecasts):
    one = forecasts[0]

    def with_r_hat(r_hat):
        posterior = replace(one.forecast.posterior, divergences=0, max_r_hat=r_hat)
        return replace(one, forecast=replace(one.forecast, posterior=posterior))

    assert with_r_hat(1.04).converged
    assert not with_r_hat(1.06).converged


@pytest.mark.slow
def test_forecasts_hold_the_truth_and_widen(forecasts):
    small = forecasts[0].forecast
    truth = 1.5 + 1.5 * (np.array([2e10, 1e11]) / 1e8) ** -0.3
    low, high = small.draws["loss"].quantile([0.05, 0.95], ("chain", "draw")).to_numpy()
    assert ((low < truth) & (truth < high)).all()
    assert high[1] - low[1] > 1.3 * (high[0] - low[0])
    assert small.posterior.divergences == 0
    assert small.posterior.max_r_hat < 1.1


def test_all_members_have_equal_parts_of_the_draws(forecasts):
    member, number = np.unique(forecasts[0].forecast.draws["member"], return_counts=True)
    assert set(member) == set(BY_NAME)
    assert np.ptp(number) <= 1


def test_slopes_are_those_of_the_curve(forecasts):
    forecast = forecasts[0].forecast
    at = np.array([3e8, 1e10])
    reducible = 1.5 * (at / 1e8) ** -0.3
    true = -0.3 * reducible / (1.5 + reducible)
    slope = local_slope(forecast, at)
    low, high = slope.quantile([0.01, 0.99], ("chain", "draw")).to_numpy()
    assert ((low < true) & (true < high)).all()
    assert high[0] - low[0] < 0.15
    assert forecast.p_rising < 0.05


def test_a_curve_that_turns_up_rises_with_some_probability():
    x = np.geomspace(1e8, 1e10, 16)
    loss = falling(x, noise=0.001) * np.exp(0.3 * np.maximum(np.log10(x / 3e9), 0))
    forecast = predict_beyond(sample_members(points_of(x, np.log(loss), np.zeros(16))), [2e10])
    assert forecast.p_rising > 0.5


def test_refused_curves_say_why_and_have_no_numbers(forecasts):
    rows = forecast_table(forecasts).set_index("curve")
    assert list(rows.columns) == list(COLUMNS[1:])
    assert "does not fall" in rows.loc["rising", "message"]
    assert "5 different x" in rows.loc["short", "message"]
    assert (
        rows.loc[["rising", "short"], ["median", "q05", "slope", "p_rising"]].isna().all(axis=None)
    )
    assert rows.loc["small", "message"].eq("").all()


def test_rows_know_how_far_they_lie_beyond(forecasts):
    rows = forecast_table(forecasts).query("curve == 'small'")
    assert rows["decades_beyond"].tolist() == pytest.approx(np.log10([2, 10]).tolist())
    assert (rows["q05"] < rows["q25"]).all()
    assert (rows["q75"] < rows["q95"]).all()


def test_same_seed_same_draws_and_inside_values_are_left_out(table):
    own = table[table["model"] == "small"]
    first, again = (
        forecast_curves(own, "model", "tokens", "loss", at=[1e9, 2e10])[0] for _ in range(2)
    )
    assert first.forecast.draws.equals(again.forecast.draws)
    assert first.forecast.draws["at"].to_numpy().tolist() == [2e10]
    assert "no forecast at 1e+09" in first.message
    refused = forecast_curves(own, "model", "tokens", "loss", at=[1e9])[0]
    assert refused.forecast is None
    assert "not beyond the curve" in refused.message


def test_accuracies_are_forecast_as_shares(table):
    own = table[table["model"] == "small"].assign(accuracy=lambda t: 1 - t["loss"] / 4)
    one = forecast_curves(own, None, "tokens", "accuracy", at=[2e10], higher_is_better=True)[0]
    row = forecast_table([one]).iloc[0]
    truth = 1 - (1.5 + 1.5 * 200**-0.3) / 4
    assert row["q05"] < truth < row["q95"]


@pytest.mark.parametrize(
    ("at", "message"),
    [([], "not an empty list"), *([[x], "x to forecast must be positive"] for x in (-1.0, np.nan))],
)
def test_values_of_x_that_cannot_be_forecast_are_refused(table, at, message):
    with pytest.raises(BayescaleError, match=message):
        forecast_curves(table, "model", "tokens", "loss", at=at)


def test_a_curve_without_values_of_x_is_named(table):
    with pytest.raises(RunsError, match="'large'"):
        forecast_curves(table, "model", "tokens", "loss", at={"small": [2e10]})


def test_picture_says_the_numbers(forecasts):
    figure = plot_forecast(forecasts[0], x="tokens")
    (axis,) = figure.axes
    assert "decades beyond" in axis.get_title(loc="left")
    labels = {text.get_text() for text in axis.get_legend().get_texts()}
    assert set(BY_NAME) <= labels
    with pytest.raises(RunsError, match="does not fall"):
        plot_forecast(forecasts[2])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_drawn_as_they_are(forecasts, name, tmp_path):
    figure = plot_forecast(replace(forecasts[0], name=name), x=name, y=name)
    check_names(figure, tmp_path)


def test_command_prints_and_writes(table, tmp_path):
    path = tmp_path / "curves.csv"
    table.to_csv(path, index=False)
    command = ["forecast", str(path), "--x", "tokens", "--by", "model", "--at", "2e10"]
    command += ["--where", "model != 'large'"]
    shown = CliRunner().invoke(cli.app, [*command, "--plots", str(tmp_path / "plots")])
    assert shown.exit_code == 0, shown.output
    assert "0.30 decades beyond" in shown.output
    assert "no forecast: the curve does not fall" in shown.output
    assert [p.name for p in (tmp_path / "plots").iterdir()] == ["0001-small.png"]
    found = json.loads(CliRunner().invoke(cli.app, [*command, "--json"]).stdout)["forecasts"]
    assert [one["curve"] for one in found] == ["small", "rising", "short"]
    assert found[1]["median"] is None
    assert shown.stderr.splitlines()[0].startswith("no forecast: rising: the curve does not fall")
    assert len(shown.stderr.splitlines()) == 2  # of the short one as well


def test_command_without_any_forecast_is_an_error_that_says_why(run, table, tmp_path):
    table.to_csv("curves.csv", index=False)
    ask = ("forecast", "curves.csv", "--x", "tokens", "--by", "model", "--at", "2e10", "--json")
    code, out, err = run(
        *ask, "--where", "model in ('rising', 'short')", "--out", "f.csv", "--plots", "plots"
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: no curve can be forecast: rising: the curve does not fall")
    assert "; short: " in err
    assert not (tmp_path / "f.csv").exists()


def test_command_says_first_what_did_not_converge(run, table, monkeypatch):
    monkeypatch.setattr("bayescale.curves.forecasts.MEMBER_R_HAT", 0.9)
    table.to_csv("curves.csv", index=False)
    ask = ("forecast", "curves.csv", "--x", "tokens", "--by", "model", "--at", "2e10")
    code, out, err = run(*ask, "--where", "model == 'small'")
    assert code == 1
    assert out.startswith("not converged, do not use these numbers: small: R-hat ")
    assert err.startswith("not converged: small: R-hat ")
    code, out, _ = run(*ask, "--where", "model == 'small'", "--json", "--allow-unconverged")
    found = json.loads(out)
    assert (code, found["converged"], len(found["problems"])) == (0, False, 1)


def test_a_curve_that_the_shape_check_doubts_has_a_warning_and_a_forecast():
    x = np.geomspace(1e8, 1e10, 16)
    loss = falling(x, noise=0.002) * np.exp(0.5 * np.maximum(np.log10(x / 2e9), 0))
    table = pd.DataFrame({"tokens": x, "loss": loss})
    one = forecast_curves(table, None, "tokens", "loss", at=[2e10])[0]
    assert one.label == "non_monotone"
    assert "falls and rises" in one.message
    assert one.forecast is not None
