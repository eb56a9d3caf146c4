"""A law of somebody's own that reads a learning rate beside params and tokens."""

import importlib.util
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, simulated_table

import bayescale as bs
from bayescale import plots
from bayescale.errors import FitError, RunsWarning
from bayescale.evaluation.scores import score_runs
from bayescale.laws import LAWS
from bayescale.modelling.spec import Bend
from bayescale.posterior.posterior import Posterior

LAW = '''
import numpy as np
from bayescale.laws import PARAMS, POSITIVE, TOKENS, Allocation, Coordinates, context, law
from bayescale.laws.chinchilla import chinchilla


def _to_natural(sampled, reference, loss):
    return {**sampled, **chinchilla.to_natural(sampled, reference[:2])}


BOWL = {"bowl": POSITIVE, "peak": POSITIVE}


@law(
    inputs=(PARAMS, TOKENS, context("learning_rate")),
    parameters={**chinchilla.supports, **BOWL},
    coordinates=Coordinates({**chinchilla.coordinates.supports, **BOWL}, _to_natural),
    allocation=Allocation(COMPUTE),
)
def tuned(params, tokens, learning_rate, *, E, A, B, alpha, beta, bowl, peak):
    """Chinchilla's law times a bowl in the logarithm of the learning rate."""
    off = np.log(learning_rate) - np.log(peak)
    return chinchilla(params, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta) * np.exp(
        bowl * off**2
    )
'''
COMPUTE = """optimum=lambda flops, k, *, learning_rate, bowl, peak, **own: chinchilla.optimum(
    flops, k, **own), compute=lambda loss, k, *, learning_rate, bowl, peak, **own:
    chinchilla.compute(loss / np.exp(bowl * np.log(learning_rate / peak) ** 2), k, **own)"""
BOWL, PEAK = 0.02, 1e-3
RATE = 3e-3
WORSE = np.exp(BOWL * np.log(RATE / PEAK) ** 2)
"""What the loss is multiplied by at RATE."""


def registered(monkeypatch, folder, text):
    path = folder / "tuned_law.py"
    path.write_text(text)
    found = importlib.util.spec_from_file_location("tuned_law", path)
    monkeypatch.delitem(LAWS, "tuned", raising=False)
    found.loader.exec_module(importlib.util.module_from_spec(found))
    source = bs.load_model("chinchilla").source.replace('law = "chinchilla"', 'law = "tuned"')
    priors = 'bowl = { dist = "LogNormal", mu = -4.0, sigma = 0.7 }\n'
    priors += 'peak = { dist = "LogNormal", mu = -7.0, sigma = 1.0 }\n'
    return bs.parse_model(source.replace("\n[noise]", priors + "\n[noise]"), "tuned")


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield registered(patch, tmp_path_factory.mktemp("law"), LAW.replace("COMPUTE", COMPUTE))
        LAWS.pop("tuned")


@pytest.fixture(scope="module")
def tuned_runs():
    table = pd.concat([simulated_table(seed=seed) for seed in range(3)], ignore_index=True)
    rate = np.resize([1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 6e-3, 1e-2], len(table))
    worse = np.exp(BOWL * np.log(rate / PEAK) ** 2)
    with pytest.warns(RunsWarning, match="swept runs"):
        return bs.read_runs(table.assign(learning_rate=rate, loss=table["loss"] * worse))


@pytest.fixture(scope="module")
def tuned_fit(spec, tuned_runs):
    return bs.fit(tuned_runs, spec, draws=400, tune=400, progress=False)


@pytest.fixture(scope="module")
def known(spec, tuned_runs):
    """Draws around the truth, of the law with closed forms, and the runs."""
    rng = np.random.default_rng(7)
    values = {**TRUTH, "bowl": BOWL, "peak": PEAK, "sigma": 0.01, "nu": 8.0}
    draws = {
        n: (("chain", "draw"), v * (1 + 1e-3 * rng.standard_normal((1, 300))))
        for n, v in values.items()
    }
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
    return bs.Fit(spec, tuned_runs, tree)


DECISIONS = {
    "compute_optimal": lambda own: bs.compute_optimal(own, 1e21),
    "basin": lambda own: bs.basin(own, 1e21),
    "isoflop": lambda own: Posterior.of_joint_law(own).isoflop(1e21, xr.DataArray(1e9)),
    "target_loss": lambda own: bs.target_loss(own, flops=1e21),
    "cheapest": lambda own: bs.cheapest(own, bs.target_loss(own, flops=1e21), 1e12),
    "plans": lambda own: bs.plan_outcomes(own, PLANS),
    "candidates": lambda own: bs.candidate_runs(own, 1e21),
    "log_optimum": lambda own: bs.log_optimum(own, 1e21),
    "next runs": lambda own: bs.suggest_runs(own, own.posterior["E"], max_flops=1e21),
    "plot_isoflop": plots.plot_isoflop,
    "multiplier": lambda own: bs.compute_multiplier(own, "a", "b"),
}
PLANS = pd.DataFrame({"plan": ["a", "b"], "params": [1e9, 4e9], "tokens": [1e11, 3e10]})


@pytest.mark.parametrize("question", DECISIONS)
def test_decision_asks_for_what_is_not_given(tuned_fit, question):
    with pytest.raises(FitError, match=r"reads learning_rate .* fit\.at\(learning_rate=\.\.\.\)"):
        DECISIONS[question](tuned_fit)


@pytest.mark.parametrize("question", [q for q in DECISIONS if q != "multiplier"])
def test_decision_at_a_learning_rate(known, question):
    assert DECISIONS[question](known.at(learning_rate=RATE)) is not None


def chinchilla_of(known):
    tree = known.tree.copy()
    tree["posterior"] = known.posterior.drop_vars(["bowl", "peak"])
    return replace(known, spec=bs.load_model("chinchilla"), tree=tree)


def test_allocation_at_a_learning_rate_is_that_of_the_law_within_the_bowl(known):
    own, plain = known.at(learning_rate=RATE), chinchilla_of(known)
    worse = np.exp(known.posterior["bowl"] * np.log(RATE / known.posterior["peak"]) ** 2)
    assert float(worse.mean()) == pytest.approx(WORSE, rel=1e-3)
    found, expected = (bs.compute_optimal(one, [1e20, 1e22]) for one in (own, plain))
    for name in ("params", "tokens", "a"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    np.testing.assert_allclose(
        found["loss"], (expected["loss"] * worse).transpose(*found["loss"].dims), rtol=1e-12
    )
    np.testing.assert_allclose(bs.basin(own, 1e21), bs.basin(plain, 1e21), rtol=1e-6)
    target = bs.target_loss(plain, flops=1e21)
    served = bs.cheapest(own, target * worse, 1e12)
    np.testing.assert_allclose(
        served["params"], bs.cheapest(plain, target, 1e12)["params"], rtol=1e-5
    )
    outcomes, expected = (bs.plan_outcomes(one, PLANS) for one in (own, plain))
    np.testing.assert_allclose(
        outcomes["equivalent_flops"], expected["equivalent_flops"], rtol=1e-9
    )
    assert not np.allclose(outcomes["loss"], expected["loss"], rtol=1e-3)


def test_law_without_closed_forms_is_searched(tmp_path, known):
    with pytest.MonkeyPatch.context() as patch:
        own = replace(known, spec=registered(patch, tmp_path, LAW.replace("COMPUTE", "")))
        found = bs.compute_optimal(own.at(learning_rate=RATE), 1e21)
        np.testing.assert_allclose(
            found["params"], bs.compute_optimal(chinchilla_of(known), 1e21)["params"], rtol=1e-4
        )
        outcomes = bs.plan_outcomes(own.at(learning_rate=RATE), PLANS)
        expected = bs.plan_outcomes(known.at(learning_rate=RATE), PLANS)
        np.testing.assert_allclose(
            outcomes["equivalent_flops"], expected["equivalent_flops"], rtol=1e-6
        )


def test_prediction_needs_every_input_that_is_not_given(known):
    at = {"params": 1e9, "tokens": 2e10}
    for ask in (bs.predict, bs.predict_runs):
        with pytest.raises(FitError, match="learning_rate missing"):
            ask(known, at)
        stated = ask(known, {**at, "learning_rate": RATE})
        np.testing.assert_array_equal(ask(known.at(learning_rate=RATE), at), stated)
        other = ask(known.at(learning_rate=PEAK), {**at, "learning_rate": RATE})
        np.testing.assert_array_equal(other, stated)  # what is named counts
        assert not np.array_equal(ask(known.at(learning_rate=PEAK), at), stated)


def test_runs_keep_their_own_learning_rate(known):
    own, table = known.at(learning_rate=RATE), known.runs.table
    found = bs.residuals(own)
    np.testing.assert_array_equal(found, bs.residuals(known))
    assert found["residual"].std() < 0.008
    np.testing.assert_array_equal(bs.log_likelihood(own), bs.log_likelihood(known))
    scored = score_runs(own, known.runs)
    np.testing.assert_array_equal(scored["learning_rate"], table["learning_rate"])
    np.testing.assert_allclose(scored["q50"], found["fitted"], rtol=5e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params": 1e9}, "cannot be fixed at params: it reads learning_rate"),
        ({"learning_rate": -1.0}, "learning_rate must be one positive number, got -1.0"),
        ({"learning_rate": [1e-3, 2e-3]}, "learning_rate must be one positive number"),
    ],
)
def test_bad_value_is_refused(known, given, message):
    with pytest.raises(FitError, match=message):
        known.at(**given)


def test_law_of_nothing_else_and_a_bending_law_are_refused(known, spec):
    with pytest.raises(FitError, match=r"chinchilla cannot be fixed at .* reads nothing beside"):
        chinchilla_of(known).at(learning_rate=1e-3)
    tree = known.tree.copy()
    tree["posterior"] = known.posterior.assign(bend_beyond=0 * known.posterior["E"])
    bending = replace(known, spec=replace(spec, bend=Bend(0.1, 2.0)), tree=tree)
    with pytest.raises(FitError, match=r"may bend along learning_rate too; .* spec\.exact"):
        bending.at(learning_rate=1e-3)


def test_value_is_kept_in_the_file_of_the_fit(tuned_fit, tmp_path):
    own = bs.load_fit(tuned_fit.at(learning_rate=RATE).save(tmp_path / "fit.nc"))
    assert own.given == {"learning_rate": RATE}
    assert tuned_fit.given == {}
    assert own.law.is_joint


@pytest.mark.slow
def test_checks_backtest_comparison_and_report(tuned_fit, tuned_runs, tmp_path):
    own = tuned_fit.at(learning_rate=RATE)
    assert tuned_fit.posterior["peak"].median() == pytest.approx(PEAK, rel=0.05)
    checks = [{check.name for check in bs.check_fit(one)} for one in (tuned_fit, own)]
    assert checks[1] - checks[0] == {"bracketing of N*"}  # which asks for an allocation
    page = bs.write_report(own, tmp_path, flops=[1e22]).read_text("utf-8")
    assert "at learning_rate 0.003" in page
    assert "For 1e22 FLOPs" in page
    general = bs.write_report(tuned_fit, tmp_path, flops=[1e22]).read_text("utf-8")
    assert "At 1e22 flops (" in general
    assert "For 1e22 FLOPs" not in general  # that asks for a learning rate
    assert "fit.at(learning_rate=...)" in general
    tested = bs.backtest(tuned_runs, tuned_fit.spec, cuts=[3e20], draws=200, tune=300)
    assert tested.axis == "flops"
    compared = bs.compare({"fast": own, "slow": tuned_fit.at(learning_rate=PEAK)}, flops=[1e22])
    worse = (
        compared.decisions["fast"]["loss"].median() / compared.decisions["slow"]["loss"].median()
    )
    assert float(worse) == pytest.approx(WORSE, rel=0.01)
