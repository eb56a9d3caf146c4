"""What answers beyond the runs: how far out they lie, and what the exact law says beside them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import known_fit, simulated_table

from bayescale import (
    answer_optima,
    answer_plans,
    compute_optimal,
    exact_fit,
    fit,
    load_fit,
    load_model,
    parse_model,
    plan_outcomes,
    predict,
    rank_plans,
    read_plans,
    read_runs,
)
from bayescale.decisions.allocation import _optimum_sentence
from bayescale.errors import FitError, ModelError
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import with_few_draws
from bayescale.report.page import _beyond_sections, law_sections
from bayescale.report.record import _failed_sentence

INSIDE, BEYOND = 1e20, 3e22

# Of some draws of a law that may bend no size is best out there.
pytestmark = pytest.mark.filterwarnings("ignore:in .* of the draws no size is best")


@pytest.fixture(scope="module")
def exact(joint_fit) -> Fit:
    return exact_fit(joint_fit)


@pytest.fixture
def known(runs) -> Fit:
    return replace(known_fit(40, 0.02), runs=runs)


def test_the_exact_model_keeps_the_law_and_its_priors():
    joint, bent, plain = (load_model(name) for name in ("joint", "chinchilla-bend", "chinchilla"))
    assert plain.exact is plain
    assert (plain.is_exact, bent.is_exact, joint.is_exact) == (True, False, False)
    for spec in (joint, bent):
        assert spec.exact.is_exact
        assert spec.exact.exact == spec.exact
        for name in plain.priors:
            assert spec.exact.priors[name] == spec.priors[name]
    assert joint.exact.fixed == {"k": 1.0}  # the joint law
    assert bent.exact.fixed == {}


def test_the_exact_fit_is_that_of_the_exact_law(joint_fit, exact, small_fit, known):
    assert exact.lengths == joint_fit.lengths == (400, 4)
    for key in ("seed", "tune"):
        assert exact.tree.attrs[key] == joint_fit.tree.attrs[key]
    assert not exact.bends
    assert (exact.posterior["k"] == 1).all()
    assert exact.diagnostics.converged
    assert np.isfinite(exact.summary().to_numpy()).all()
    for name in ("E", "alpha", "beta"):  # the same law with the same priors
        one, other = exact.posterior[name], small_fit.posterior[name]
        assert float(one.mean()) == pytest.approx(float(other.mean()), abs=0.3 * float(other.std()))
    assert exact_fit(exact) is None
    assert exact_fit(known) is None  # given constants


def test_a_pool_is_summarised_by_how_well_each_member_was_sampled(joint_fit):
    table = joint_fit.summary()
    one, other = (own.summary() for own in joint_fit.members)
    assert "k" in table.index
    assert "k" not in one.index  # given for the joint law
    assert table.loc["E", "ess_bulk"] == one.loc["E", "ess_bulk"] + other.loc["E", "ess_bulk"]
    assert table.loc["E", "r_hat"] == max(one.loc["E", "r_hat"], other.loc["E", "r_hat"])
    assert table.loc["k", "ess_bulk"] == other.loc["k", "ess_bulk"]


def test_both_laws_come_back_from_their_files(joint_fit, exact, tmp_path):
    at = {"params": 1e11, "tokens": 1e13}
    for own in (joint_fit, exact):
        again = load_fit(own.save(tmp_path / "fit.nc"))
        assert again.spec == own.spec
        np.testing.assert_array_equal(predict(again, at), predict(own, at))
        assert again.diagnostics == own.diagnostics


def test_a_fit_of_an_earlier_version_is_refused(known, tmp_path):
    tree = known.tree.copy()
    line = 'law = "chinchilla"\nextrapolate = "weighted"\n'
    tree.attrs["model_spec"] = known.spec.source.replace('law = "chinchilla"\n', line)
    path = replace(known, tree=tree).save(tmp_path / "old.nc")
    with pytest.raises(FitError, match=r"old\.nc: an earlier version .* fit the runs again"):
        load_fit(path)


def test_a_model_file_of_an_earlier_version_is_refused():
    text = 'extrapolate = "weighted"\n' + load_model("chinchilla").source
    with pytest.raises(ModelError, match="unknown key 'extrapolate'"):
        parse_model(text, "own")


def test_a_bent_law_is_less_sure_beyond_the_runs_than_the_exact_one(joint_fit, exact):
    for flops, least in ((INSIDE, 1.0), (BEYOND, 1.5)):
        wide, narrow = (
            compute_optimal(own, flops)["loss"].squeeze("flops") for own in (joint_fit, exact)
        )
        assert np.log(wide).std() > least * np.log(narrow).std()


def test_summary_says_what_the_exact_law_says_beyond_the_runs(joint_fit, exact):
    bent, straight = (
        answer_optima(joint_fit, [INSIDE, BEYOND], exact=exact),
        answer_optima(exact, [BEYOND]),
    )
    inside, beyond = bent.numbers["optima"]
    alone = straight.numbers["optima"][0]
    assert inside["bends"]
    assert not inside["exact"]["disagrees"]
    assert (beyond["bends"], alone["bends"]) == (True, False)
    assert beyond["exact"]["params"] == alone["params"]
    assert answer_optima(joint_fit, [BEYOND]).numbers["optima"][0]["exact"] is None
    sentences = (*bent.sentences, *straight.sentences)
    assert "Inside the range of the runs." in sentences[0]
    assert "the interval allows for a law that bends on the way." in sentences[1]
    assert "Taken as exact the law says " in sentences[1]
    assert "the interval holds only if the law does." in sentences[2]
    assert "Taken as exact" not in sentences[0] + sentences[2]


def test_the_report_sets_the_exact_law_beside_the_bent_one(joint_fit, exact):
    few, other = (with_few_draws(own) for own in (joint_fit, exact))
    titles = [part.title for part in law_sections(few, [BEYOND], other)]
    assert titles[-1] == "Beyond the runs"
    assert not list(_beyond_sections(few, [BEYOND], None))
    assert not list(_beyond_sections(few, [INSIDE], other))


def test_failing_checks_of_a_law_that_may_bend_say_so(joint_fit, exact):
    names = ["law along tokens"]
    bends = "The law may bend, which allows for smooth errors of it"
    backtested = _failed_sentence(names, joint_fit, tested=True)
    assert backtested.endswith(f"{bends} as far out as it was backtested.")
    assert _failed_sentence(names, joint_fit, tested=False).endswith(
        f"{bends}; no backtest says how far out."
    )
    torn = joint_fit.tree.copy()
    torn["posterior"] = joint_fit.posterior + joint_fit.posterior["chain"]
    apart = replace(joint_fit, tree=torn)
    for own, failed in ((exact, names), (apart, names), (joint_fit, ["column optimizer"])):
        said = _failed_sentence(failed, own, tested=True)
        assert said.startswith(f"1 check FAILs: {failed[0]}.")
        assert "take the model for true" in said
        assert "bend" not in said


def test_plans_say_how_far_they_lie_and_whether_the_law_may_bend(joint_fit, known):
    plans = read_plans(pd.DataFrame({"params": [1e8, 1e11], "tokens": [2e9, 2e12]}))
    for own, said in (
        (joint_fit, "the assumed smoothness decides, not the runs"),
        (known, "holds only if the law does"),
    ):
        found = answer_plans(own, rank_plans(plan_outcomes(own, plans)))
        assert found.numbers["bends"] == own.bends
        assert said in found.sentences[-1]


def test_plans_of_a_bent_law_from_the_shell(joint_fit, tmp_path, run):
    path = joint_fit.save(tmp_path / "fit.nc")
    (tmp_path / "plans.csv").write_text("params,tokens\n1e8,2e9\n1e11,2e12\n")
    _, out, _ = run("plan", "--allow-unconverged", path, "plans", tmp_path / "plans.csv", "--json")
    assert json.loads(out)["bends"] is True


def test_a_best_size_outside_its_own_basin_is_said_to_be(known):
    answer = answer_optima(known, [INSIDE])
    [entry], [first] = answer.numbers["optima"], answer.sentences
    moved = {**entry["params"], "median": 100 * entry["params"]["q95"]}
    second = _optimum_sentence({**entry, "params": moved})
    assert "The median best size is not among them" not in first
    assert "The median best size is not among them" in second


def test_a_law_of_one_axis_bends_and_has_no_error_of_sizes(tmp_path):
    tokens = np.geomspace(1e8, 1e11, 24)
    noise = np.exp(0.003 * np.random.default_rng(2).standard_normal(24))
    runs = read_runs(pd.DataFrame({"tokens": tokens, "loss": (1.8 + 60 * tokens**-0.2) * noise}))
    own = fit(runs, "power-law-tokens", draws=200, tune=300, progress=False)
    assert (own.bends, own.knows_sizes) == (True, False)
    law = replace(own, spec=replace(own.spec, bend=None))
    at = {"tokens": [1e10, 1e13]}
    bent, straight = (np.log(predict(each, at)).std(("chain", "draw")) for each in (own, law))
    assert bent[0] < 0.004
    assert bent[1] > 1.5 * straight[1]
    again = load_fit(own.save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(predict(again, at), predict(own, at))


@pytest.mark.slow
def test_the_default_model_may_bend():
    fitted = fit(read_runs(simulated_table()), draws=50, tune=100, progress=False)
    assert fitted.spec.name == "joint"
    assert fitted.bends
