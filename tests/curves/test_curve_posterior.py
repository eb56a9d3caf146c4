"""The posterior of one curve against PyMC's of the same model, and against differences."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.curves.importance import Effort, climb
from bayescale.curves.points import points_of
from bayescale.curves.posterior import Draws, Target, require_curve_model, sample_curve
from bayescale.curves.weighting import capped_weights
from bayescale.errors import ModelError

X = np.geomspace(1e18, 1e21, 9)
PLATEAU = bs.load_model("plateau-power-law").source
NORMAL = re.sub(r"nu = .*\n", "", PLATEAU.replace('"StudentT"', '"Normal"'))
GAMMA = re.sub(r"nu = \{.*\}", 'nu = { dist = "Gamma", alpha = 2.0, beta = 0.1 }', PLATEAU)
OFFSET = bs.load_model("power-law").source
THOROUGH = Effort(2000, rounds=12, most=30, draws=2000, enough=3000.0)


def spec_of(source):
    return require_curve_model(bs.parse_model(source, "own"))


def curve(seed=0, noise=0.02):
    loss = 1.5 + 1.5 * (X / X[0]) ** -0.4
    return points_of(
        X,
        np.log(loss) + noise * np.random.default_rng(seed).standard_normal(len(X)),
        np.zeros(len(X)),
    )


def pymc_of(spec, points, weight):
    """What `bayescale.fit` samples of the same points and weights."""
    table = pd.DataFrame({"flops": points.x, "loss": np.exp(points.log_loss)})
    return bs.build_model(spec, bs.read_runs(table), weight)


slow = pytest.mark.slow
SOURCES = {"t": PLATEAU, "normal": NORMAL, "gamma": GAMMA, "offset": OFFSET}


@pytest.mark.parametrize(
    "kind", ["t", "normal", pytest.param("gamma", marks=slow), pytest.param("offset", marks=slow)]
)
def test_density_is_the_one_that_pymc_samples(kind):
    spec, points = spec_of(SOURCES[kind]), curve()
    weight = capped_weights(points.x, 6.0, 2.0)
    target = Target(spec, points, weight)
    model = pymc_of(spec, points, weight)
    names = [variable.name for variable in model.value_vars]
    logp = model.compile_logp(mode="FAST_COMPILE")
    for u in np.random.default_rng(1).standard_normal((5, len(names))):
        line = target.line(u)
        expected = logp(dict(zip(names, line, strict=True))) + np.log(np.diag(target.root)).sum()
        assert float(target(u)) == pytest.approx(float(expected), rel=1e-9, abs=1e-7)
    other = Target(spec, points, np.ones(len(X)))  # a negative control: other weights
    assert abs(float(other(u)) - float(expected)) > 0.1


@pytest.mark.parametrize("kind", list(SOURCES))
def test_gradient_is_that_of_differences(kind):
    target = Target(spec_of(SOURCES[kind]), curve(), np.linspace(0.2, 1.0, len(X)))
    u = 0.7 * np.random.default_rng(2).standard_normal((6, len(target.mean)))
    gradient, information = target.slopes(u)
    step = 1e-5 * np.eye(u.shape[1])
    expected = (target(u[:, None] + step) - target(u[:, None] - step)) / 2e-5
    np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())
    assert (np.linalg.eigvalsh(information) >= 1 - 1e-6).all()  # no less than the prior's


@pytest.mark.parametrize("source", [PLATEAU, NORMAL], ids=["t", "normal"])
def test_information_is_the_mean_square_of_the_slope_of_the_likelihood(source):
    """Fisher's: over data simulated from the law at one place."""
    spec, points = spec_of(source), curve()
    weight = np.ones(len(X))
    target = Target(spec, points, weight)
    u = 0.5 * np.random.default_rng(3).standard_normal((1, len(target.mean)))
    line = Draws(spec, target.reference, target.line(u))
    rng, scores = np.random.default_rng(4), []
    mean, scale = line.log_loss(points.x)[0], line.scale(np.zeros(1))[0]
    law = len(spec.priors)
    for _ in range(400):
        noisy = mean + scale * line.noise(rng, len(X))[0]
        own = Target(spec, points_of(X, noisy, np.zeros(len(X))), weight, _base(target))
        scores.append((own.slopes(u)[0] + u)[0])
    found = np.cov(np.array(scores).T)[:law, :law]
    expected = (target.slopes(u)[1][0] - np.eye(len(u[0])))[:law, :law]
    scaled = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found / scaled, expected / scaled, atol=0.3)


def _base(target):
    return target.mean, target.root @ target.root.T


def test_a_weight_of_two_counts_a_point_twice():
    points, spec = curve(), spec_of(PLATEAU)
    weight = np.ones(len(X))
    weight[3] = 2.0
    again = np.append(np.arange(len(X)), 3)
    twice = points_of(points.x[again], points.log_loss[again], np.zeros(len(again)))
    base = _base(Target(spec, points, weight))
    one, two = Target(spec, points, weight, base), Target(spec, twice, np.ones(len(again)), base)
    two.reference = one.reference
    u = np.random.default_rng(0).standard_normal((4, len(base[0])))
    np.testing.assert_allclose(one(u), two(u))


def test_known_errors_are_part_of_the_scale():
    points = points_of(X, np.zeros(len(X)), np.linspace(0.0, 0.4, len(X)))
    target = Target(spec_of(PLATEAU), points, np.ones(len(X)))
    draws = Draws(target.spec, target.reference, target.mean[None])
    np.testing.assert_allclose(
        draws.scale(points.stderr) ** 2 - draws.scale(np.zeros(1)) ** 2, points.stderr[None] ** 2
    )


def test_quick_posterior_is_that_of_a_grid():
    """A law of two coordinates, with noise of known scale: quadrature says what is right."""
    source = bs.load_model("pure-power-law").source
    source = re.sub(r"nu = .*\n", "", source.replace('"StudentT"', '"Normal"'))
    spec, points = spec_of(source), curve(noise=0.05)
    weight = capped_weights(points.x, 6.0, 2.0)
    target, sample = sample_curve(spec, points, weight, np.random.default_rng(1))
    assert len(target.mean) == 3
    drawn = sample.drawn(4000, np.random.default_rng(2))
    mean, sd = drawn.mean(axis=0), drawn.std(axis=0)
    axes = [np.linspace(m - 6 * s, m + 6 * s, 61) for m, s in zip(mean, sd, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    density = target(grid)
    cell = np.log(np.prod([axis[1] - axis[0] for axis in axes]))
    share = np.exp(density - density.max())
    evidence = np.log(share.sum()) + density.max() + cell
    share /= share.sum()
    exact = share @ grid
    assert sample.log_evidence == pytest.approx(evidence, abs=0.05)
    np.testing.assert_allclose((mean - exact) / sd, 0, atol=0.12)
    np.testing.assert_allclose(sd, np.sqrt(share @ (grid - exact) ** 2), rtol=0.1)


def test_places_that_overflow_have_no_density():
    target = Target(spec_of(OFFSET), curve(), np.ones(len(X)))
    u = np.zeros((1, len(target.mean)))
    u[0, list(target.spec.priors).index("alpha")] = 12.0
    assert target(u) == -np.inf
    np.testing.assert_array_equal(np.sign(target.slopes(u)[0][0, :3]), -np.sign(u[0, :3]))
    assert target(climb(target, u)[0]) > -np.inf


def test_models_that_describe_no_curve_are_refused():
    for name, words in (("chinchilla", "a single axis"), ("power-law-hierarchical", "has groups")):
        with pytest.raises(ModelError, match=words):
            require_curve_model(bs.load_model(name))
    bent = bs.load_model("power-law-tokens")
    assert bent.bend is not None
    assert require_curve_model(bent).bend is None


def pairs(points, spec, draws):
    """Draws of log alpha, the floor and log loss a factor of 2 beyond, and PyMC's of the same."""
    weight = capped_weights(points.x, 6.0, 2.0)
    table = pd.DataFrame({"flops": points.x, "loss": np.exp(points.log_loss)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubts about few runs
        # with shorter steps: at default settings NUTS hardly reaches the tail of small exponents
        # and many chains: four of these differ by a tenth in the width of log alpha
        settings = {"draws": 6000, "chains": 12, "target_accept": 0.99, "progress": False}
        fitted = bs.fit(table, spec, weights=weight, **settings)
    assert not fitted.diagnostics.problems
    own = {name: fitted.posterior[name].to_numpy().ravel() for name in spec.law.parameters}
    at = np.array([2 * points.x[-1]])
    slow = np.stack([np.log(own["alpha"]), own["E"], np.log(spec.law(at, **own))])
    quick = np.stack([np.log(draws.exponent), draws.floor, draws.log_loss(at)[:, 0]])
    return quick, slow


@slow
@pytest.mark.parametrize("noise", [0.003, 0.02])
@pytest.mark.parametrize("source", [PLATEAU, OFFSET], ids=["plateau", "offset"])
def test_posterior_is_that_of_the_fit_by_pymc(source, noise):
    spec, points = spec_of(source), curve(noise=noise)
    rng = np.random.default_rng(1)
    weight = capped_weights(points.x, 6.0, 2.0)
    target, sample = sample_curve(spec, points, weight, rng, effort=THOROUGH)
    draws = Draws(spec, target.reference, target.line(sample.drawn(4000, rng)))
    quick, slow = pairs(points, spec, draws)
    sd = slow.std(axis=1)
    np.testing.assert_allclose((quick.mean(axis=1) - slow.mean(axis=1)) / sd, 0, atol=0.12)
    inner = [np.subtract(*np.quantile(own, [0.95, 0.05], axis=1)) for own in (quick, slow)]
    # Of a floor that scattered points leave open it is a ninth narrower than that of PyMC.
    assert (np.abs(inner[0] / inner[1] - 1) < (0.1, 0.12, 0.1)).all()


@slow
def test_one_curve_has_one_answer(data_folder):
    """Of some published curves, labels, forecasts and PyMC say the same: mean and spread.

    Default settings on both sides, so offsets are those of short samples with heavy tails.
    """
    table = bs.load_dataset("learning_curves_language")
    train = table[
        (table["split"] == "train") & table["curve"].isin(pd.unique(table["curve"])[::20])
    ]
    options = {"model": "plateau-power-law", "alone": True}
    labels = bs.fit_curves(train, "curve", "x", "loss", **options)
    forecasts = bs.forecast_curves(train, "curve", "x", "loss", at="2x", **options)
    spec, offsets, widths = spec_of(PLATEAU), [], []
    for one, ahead in zip(labels, forecasts, strict=True):
        own = one.shape.posterior
        line = ahead.posterior.log_loss([2 * one.top])[:, 0]
        np.testing.assert_array_equal(own.exponent, ahead.posterior.exponent)
        np.testing.assert_array_equal(own.floor, ahead.posterior.floor)
        np.testing.assert_allclose(own.log_loss([2 * one.top])[:, 0], line)
        weight = capped_weights(one.shape.points.x, 6.0, 2.0)
        rng = np.random.default_rng(1)
        target, sample = sample_curve(spec, one.shape.points, weight, rng, effort=THOROUGH)
        draws = Draws(spec, target.reference, target.line(sample.drawn(4000, rng)))
        quick, slow = pairs(one.shape.points, spec, draws)
        default = np.stack([np.log(own.exponent), own.floor, own.log_loss([2 * one.top])[:, 0]])
        sd = slow.std(axis=1)
        for drawn, most in ((quick, 0.2), (default, 0.45)):
            offsets.append((np.abs(drawn.mean(axis=1) - slow.mean(axis=1)) / sd / most).max())
        inner = [np.subtract(*np.quantile(own, [0.95, 0.05], axis=1)) for own in (quick, slow)]
        widths.append(inner[0] / inner[1])
    assert max(offsets) < 1
    np.testing.assert_allclose(np.median(widths, axis=0), 1, atol=0.1)
