"""Curves of a table under one law: what they share, whose points count, how far they fall."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import bayescale as bs
from bayescale import workers
from bayescale.curves import table as of_tables
from bayescale.curves import together
from bayescale.curves.importance import Effort
from bayescale.curves.points import points_of
from bayescale.curves.posterior import Draws, coordinates_of, require_curve_model, sample_curve
from bayescale.curves.together import (
    DRAWS,
    TOP,
    WHOLE,
    fit_together,
    hyperpriors,
    pooling_of,
    without_top,
)
from bayescale.errors import RunsError
from bayescale.laws import plateau_power_law

SPEC = require_curve_model(bs.load_model("plateau-power-law"))
SHORT = Effort(300, rounds=3, most=3, draws=300, enough=1.0)


@pytest.fixture
def quick(monkeypatch):
    """Sample every curve for a short time: enough to tell large effects."""
    monkeypatch.setattr(together, "EFFORT", SHORT)
    monkeypatch.setattr(together, "ROUGH", SHORT)


def table(number, *, noise=0.004, wave=0.0, slower=1.0, points=14, seed=0):
    """Power laws with offset; a smooth misfit, or a slower fall over the last third of a decade."""
    rng, curves = np.random.default_rng(seed), {}
    for place in range(number):
        x = np.geomspace(1e6, 1e8, points)
        floor, alpha = rng.uniform(0.3, 0.5), np.exp(rng.normal(np.log(0.4), 0.2))
        log_loss = np.log(floor + (1 - floor) * (x / x[0]) ** -alpha)
        log_loss += wave * np.sin(2 * np.pi * np.log10(x / x[0]) / 1.3 + rng.uniform(0, 6))
        last = np.flatnonzero(x <= x[-1] / 10 ** (1 / 3))[-1]
        beyond = np.arange(points) > last
        log_loss[beyond] = log_loss[last] + slower * (log_loss[beyond] - log_loss[last])
        log_loss += noise * rng.standard_normal(points)
        curves[f"curve {place}"] = points_of(x, log_loss, np.zeros(points))
    return curves


def test_every_point_counts_where_the_law_is_exact(quick):
    assert fit_together(table(8), SPEC, pool=False).whole > 0.5


def test_the_top_counts_where_the_law_is_wrong_in_detail(quick):
    found = fit_together(table(8, wave=0.03, noise=0.002), SPEC, pool=False)
    assert found.whole < 0.05
    assert found.tested == 8


def test_shares_of_the_draws_are_of_each_weighting(quick, monkeypatch):
    monkeypatch.setattr(together._Trial, "shares", property(lambda _: np.array([0.3, 0.7])))
    curves = table(8)
    both = fit_together(curves, SPEC, pool=False).draws["curve 3"].line
    parts = [
        fit_together(curves, SPEC, pool=False, weighting=own, calibrate=False).draws["curve 3"].line
        for own in (TOP, WHOLE)
    ]
    np.testing.assert_array_equal(both[:300], parts[0][:300])
    np.testing.assert_array_equal(both[300:], parts[1][:700])
    assert len(both) == DRAWS


def test_a_curve_apart_teaches_the_others_nothing(quick):
    curves = table(6)
    x = next(iter(curves.values())).x
    flat = points_of(x, 0.004 * np.random.default_rng(9).standard_normal(len(x)), np.zeros(len(x)))
    for calibrate, weighting in ((True, None), (False, TOP)):
        asked = {"calibrate": calibrate, "weighting": weighting}
        without = fit_together(curves, SPEC, **asked)
        beside = fit_together({**curves, "flat": flat}, SPEC, apart=["flat"], **asked)
        np.testing.assert_array_equal(beside.population.middle, without.population.middle)
        assert beside.tested == without.tested
        assert set(beside.draws) == {*curves, "flat"}


def test_some_draws_of_two_weightings_are_of_each_at_its_share():
    own = np.repeat([0.0, 1.0], [300, 700])[:, None]
    draws = Draws(SPEC, 1.0, np.repeat(own, len(coordinates_of(SPEC)), axis=1))
    for number in (10, 400, 999):
        assert draws.some(number).line.mean() == pytest.approx(0.7, abs=0.051)
    assert len(draws.some(999)) == 999
    assert len(draws.some(0)) == 0
    np.testing.assert_array_equal(draws.some(1000).line, draws.line)


def test_scores_of_shares_know_how_models_scatter():
    line = np.zeros((2, len(coordinates_of(SPEC))))
    line[:, coordinates_of(SPEC).index("level")] = np.log(0.02)
    line[:, coordinates_of(SPEC).index("sigma")] = np.log(0.01)
    line[:, coordinates_of(SPEC).index("nu")] = np.log(1e6)  # Normal
    draws = Draws(SPEC, 1e8, line)
    x = np.array([1e8])
    upper = replace(points_of(x, draws.log_loss(x)[0] + 0.2, np.zeros(1)), shares=True)
    scatter = 0.005 / np.exp(upper.log_loss[0])  # half a point
    expected = norm.logpdf(0.2, scale=np.hypot(0.01, np.sqrt(np.log1p(scatter**2))))
    assert together._score(draws, upper) == pytest.approx(expected, abs=0.01)
    plain = norm.logpdf(0.2, scale=0.01)
    assert together._score(draws, replace(upper, shares=False)) == pytest.approx(plain, rel=0.01)


@pytest.mark.parametrize(("slower", "low", "high"), [(1.0, -0.1, 0.1), (0.5, -0.75, -0.4)])
def test_how_far_curves_fall_is_recovered(quick, slower, low, high):
    curves = table(12, noise=0.002, slower=slower)
    found = fit_together(curves, SPEC, pool=False, weighting=WHOLE)
    mean, sd = found.log_fall
    assert low < mean < high
    assert 0 < sd < 0.15
    assert "times as far as forecast" in found.sentences[0]
    # best values so far never rise, so how far they fall says nothing
    bests = {name: replace(own, bests=True) for name, own in curves.items()}
    assert fit_together(bests, SPEC, pool=False, weighting=WHOLE).log_fall == (0.0, 0.0)


def test_few_curves_say_nothing_of_forecasts(quick):
    found = fit_together(table(7, slower=0.5), SPEC)
    assert (found.tested, found.log_fall, found.whole, found.sentences) == (0, (0.0, 0.0), 0.0, ())
    assert found.population is not None
    assert fit_together(table(4), SPEC).population is None


def test_pooling_narrows_a_curve_of_which_little_is_known(quick):
    curves = table(10, noise=0.003)
    name, whole = next(iter(curves.items()))
    curves[name] = whole.where(whole.x < 2e7)
    widths = [
        np.ptp(
            np.quantile(
                fit_together(curves, SPEC, pool=pool, weighting=WHOLE, calibrate=False)
                .draws[name]
                .log_loss(np.array([1e8])),
                [0.05, 0.95],
            )
        )
        for pool in (True, False)
    ]
    assert widths[0] < 0.8 * widths[1]


def test_clusters_have_effects_where_they_differ(quick):
    """Half of the curves fall with the exponent .2, half with .8."""
    x, rng = np.geomspace(1e6, 1e8, 12), np.random.default_rng(0)
    curves, clusters = {}, {}
    for place in range(10):
        cluster = "steep" if place % 2 else "shallow"
        alpha = 0.8 if place % 2 else 0.2
        loss = 0.2 + 0.8 * (x / x[0]) ** -alpha
        noise = 0.002 * rng.standard_normal(12)
        curves[str(place)] = points_of(x, np.log(loss) + noise, np.zeros(12))
        clusters[str(place)] = cluster
    population = fit_together(
        curves, SPEC, clusters=clusters, weighting=WHOLE, calibrate=False
    ).population
    assert population is not None
    alpha = population.names.index("alpha")
    effect = dict(zip(population.clusters, population.effect[..., alpha].mean(axis=0), strict=True))
    assert effect["steep"] - effect["shallow"] > 0.5


def test_what_is_pooled_and_how_is_the_hierarchical_model_s():
    pooling = pooling_of(SPEC)
    own = table(1)["curve 0"]
    target, _ = sample_curve(SPEC, own, np.ones(14), np.random.default_rng(0), effort=SHORT)
    priors = hyperpriors(SPEC, pooling, target)
    assert priors.names == ("reducible", "alpha", "place", "width", "sigma")
    np.testing.assert_allclose(priors.scale, [0.7, 0.5, 0.6, 0.5, 0.7])
    np.testing.assert_allclose(priors.cluster_scale, [0.7, 0.5, 0.6, 0.5, 0.0])
    np.testing.assert_allclose(priors.mean, [0.0, -0.69, -0.4, 0.0, -4.6])
    np.testing.assert_allclose(priors.sd, [1.5, 0.7, 1.2, 0.7, 1.0])
    assert pooling_of(bs.parse_model(SPEC.source, "own")) is None


def test_the_top_of_a_curve_is_its_last_third_of_a_decade():
    own = points_of(10.0 ** np.arange(0, 2.01, 0.2), -0.1 * np.arange(11), np.zeros(11))
    lower, upper = without_top(own)
    np.testing.assert_allclose(np.log10(upper.x), [1.8, 2.0])
    assert (len(lower.x), lower.decades) == (9, pytest.approx(1.6))
    assert without_top(own.where(own.x < 12)) is None  # 4 points would be left


def test_weights_of_points():
    own = table(1, points=20)["curve 0"]
    assert TOP.of(own).sum() == pytest.approx(6)
    assert TOP.of(own)[-1] == pytest.approx(1)
    assert (WHOLE.of(own) == 1).all()


def test_same_seed_same_draws_whatever_the_order(quick):
    curves = table(5)
    first, again = (fit_together(own, SPEC, pool=False).draws for own in (curves, curves))
    turned = fit_together(dict(reversed(curves.items())), SPEC, pool=False).draws
    other = fit_together(curves, SPEC, pool=False, seed=2).draws
    for name in curves:
        np.testing.assert_array_equal(first[name].line, again[name].line)
        np.testing.assert_array_equal(first[name].line, turned[name].line)
        assert not np.array_equal(first[name].line, other[name].line)


def test_large_tables_are_taught_by_some_of_their_curves(quick, monkeypatch):
    monkeypatch.setattr(together, "MOST_POOLED", 6)
    monkeypatch.setattr(together, "MOST_TESTED", 8)
    found = fit_together(table(10), SPEC)
    assert found.tested == 8
    assert len(found.draws) == 10


def without_curve_3(monkeypatch, module, name):
    """Let a function of a curve's points fail for one of `table(9)`."""
    lost, real = table(9)["curve 3"].log_loss[0], getattr(module, name)

    def failing(*given, **how):
        if any(np.isclose(getattr(own, "log_loss", [0.0])[0], lost, rtol=1e-9) for own in given):
            raise np.linalg.LinAlgError("not positive definite")
        return real(*given, **how)

    monkeypatch.setattr(module, name, failing)


def test_a_curve_that_cannot_be_sampled_is_named_and_the_others_are_as_without_it(
    quick, monkeypatch
):
    curves = table(9)
    others = {name: own for name, own in curves.items() if name != "curve 3"}
    expected = fit_together(others, SPEC, weighting=WHOLE)
    without_curve_3(monkeypatch, together, "sample_curve")
    found = fit_together(curves, SPEC, weighting=WHOLE)
    assert found.failed == {"curve 3": "LinAlgError: not positive definite"}
    assert (found.tested, set(found.draws)) == (8, set(others))
    for name in others:
        np.testing.assert_array_equal(found.draws[name].line, expected.draws[name].line)
    with pytest.raises(RunsError, match="no curve can be fitted: LinAlgError"):
        fit_together({"curve 3": curves["curve 3"]}, SPEC)


def as_table(curves):
    return pd.concat(
        pd.DataFrame({"curve": name, "x": own.x, "loss": np.exp(own.log_loss)})
        for name, own in curves.items()
    )


@pytest.mark.parametrize(
    ("module", "name"), [(of_tables, "judge_points"), (together, "sample_curve")]
)
def test_a_curve_that_fails_is_refused_with_the_reason(quick, monkeypatch, module, name):
    without_curve_3(monkeypatch, module, name)
    some = {name: own for name, own in table(9).items() if name in ("curve 1", "curve 3")}
    kept, lost = bs.fit_curves(as_table(some), "curve", "x", "loss")
    assert kept.shape is not None
    assert (lost.name, lost.label, lost.shape) == ("curve 3", of_tables.REFUSED, None)
    assert lost.message == "LinAlgError: not positive definite"


@pytest.mark.slow
def test_processes_fit_what_this_one_fits(quick, monkeypatch):
    frame = as_table(table(9))
    here = bs.curve_table(bs.fit_curves(frame, "curve", "x", "loss"))
    monkeypatch.setattr(workers, "usable_cores", lambda: 2)
    for module in (of_tables, together):
        monkeypatch.setattr(module, "WORTH", 0.0)
    by_processes = bs.curve_table(bs.fit_curves(frame, "curve", "x", "loss"))
    pd.testing.assert_frame_equal(by_processes, here, check_exact=True)


def population_table(number=12, seed=3):
    """Curves of a population of the law: middles and sds between curves as the model expects."""
    rng, curves = np.random.default_rng(seed), {}
    for place in range(number):
        x = np.geomspace(1e18, 1e20, 14) * rng.choice([1.0, 10.0])
        fall = {"alpha": np.exp(rng.normal(-0.7, 0.25)), "width": np.exp(rng.normal(0, 0.25))}
        bend = np.exp(np.log(x).mean() + np.log(10) * rng.normal(-0.6, 0.3))
        law = partial(plateau_power_law, U=2.0, x_bend=bend, **fall)
        floor = rng.uniform(0.3, 0.9)
        loss = law(x, E=floor) * np.exp(0.005 * rng.standard_normal(14))
        curves[f"curve {place:02d}"] = points_of(x, np.log(loss), np.zeros(14))
    return curves


def by_pymc(curves, at):
    """Log loss of each curve under the hierarchical model, sampled by PyMC."""
    rows = [
        pd.DataFrame({"family": name, "flops": own.x, "loss": np.exp(own.log_loss)})
        for name, own in curves.items()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about few runs
        settings = {"chains": 2, "draws": 600, "tune": 600, "target_accept": 0.95}
        fitted = bs.fit(
            pd.concat(rows), "plateau-power-law-hierarchical", progress=False, **settings
        )
    assert fitted.diagnostics.max_r_hat < 1.03
    found = {}
    for name in curves:
        own = {
            part: fitted.posterior[part].sel(group=name).to_numpy().ravel()
            for part in SPEC.law.parameters
        }
        found[name] = np.log(plateau_power_law(at[name], **own))
    return found


def compared(curves):
    """Offsets of medians in posterior sds, and ratios of 90% widths, quick over PyMC's."""
    at = {name: own.x[-1] * 10 ** (1 / 3) for name, own in curves.items()}
    quick = fit_together(curves, SPEC, weighting=WHOLE, calibrate=False).draws
    slow = by_pymc(curves, at)
    offset, ratio = [], []
    for name in curves:
        own = quick[name].log_loss(np.array([at[name]]))[:, 0]
        offset.append(abs(np.median(own) - np.median(slow[name])) / slow[name].std())
        widths = [np.subtract(*np.quantile(both, [0.95, 0.05])) for both in (own, slow[name])]
        ratio.append(widths[0] / widths[1])
    return np.array(offset), np.array(ratio)


@pytest.mark.slow
def test_quick_hierarchy_forecasts_as_pymc_does():
    offset, ratio = compared(population_table(8))
    assert offset.mean() < 0.3
    assert 0.75 < np.median(ratio) < 1.25
