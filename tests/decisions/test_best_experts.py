"""How many experts within some caps: known answers, and experts that do not pay."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import EXPERTS, SHARE, simulated_experts

import bayescale as bs
from bayescale import FitError, RunsError
from bayescale.laws import LAWS, chinchilla
from bayescale.laws.experts import worth

pytestmark = pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
GAIN = {name: EXPERTS[name] for name in ("gamma", "X_start", "X_max")}
JOINT = {name: EXPERTS[name] for name in ("E", "A", "B", "alpha", "beta")}
STEP = 10 ** (2 / 120)  # of the sizes that are tried


def known(same_tokens=False, draws=8, **constants):
    """A posterior at constants, of simulated runs."""
    model = "experts-size" if same_tokens else "experts"
    values = {**EXPERTS, **constants}
    values = {n: v * np.ones(draws) for n, v in values.items() if n in LAWS[_law(model)].parameters}
    own = bs.constants_fit(model, **values)
    return replace(own, runs=bs.read_runs(simulated_experts(same_tokens)))


def _law(model):
    return model.replace("-", "_")


def test_share_that_experts_add_is_read_from_the_runs():
    median, least, largest = bs.expert_share(bs.read_runs(simulated_experts()))
    assert (median, least, largest) == pytest.approx((SHARE, SHARE, SHARE))
    lacking = bs.read_runs(simulated_experts().drop(columns="params"))
    assert bs.expert_share(lacking) is None


def test_best_size_of_each_number_of_experts_is_the_closed_form():
    """Experts make A smaller: A r^-alpha is that of a joint law with its own optimum."""
    found = bs.best_experts(known(), flops=1e22)
    for number in (1.0, 8.0, 64.0):
        A = EXPERTS["A"] * worth(number, **GAIN) ** -EXPERTS["alpha"]
        expected = float(chinchilla.optimum(1e22, 6.0, **{**JOINT, "A": A}))
        assert float(found["active_params"].sel(experts=number)) == pytest.approx(
            expected, rel=STEP - 1
        )
    np.testing.assert_allclose(found["active_params"] * found["tokens"] * 6, 1e22)


def test_without_a_cap_on_memory_most_experts_are_best_and_beat_dense_models():
    fit = known()
    answer = bs.answer_experts({"all": fit}, {"all": bs.best_experts(fit, flops=1e21)})
    (router,) = answer.numbers["routers"]
    assert router["best"] == 64
    plan = router["plans"][-1]
    assert plan["p_best"] == plan["p_beats_equal_compute"] == 1.0
    assert plan["compute_gain"]["median"] == pytest.approx(worth(64.0, **GAIN), rel=2e-3)
    assert str(answer).startswith("best within the caps: 64 experts")


def test_model_that_is_replaced_is_the_one_that_the_law_says():
    found = bs.best_experts(known(), flops=1e21)
    expected = found["active_params"] * worth(found["experts"], **GAIN)
    np.testing.assert_allclose(found["replaces"].isel(chain=0, draw=0), expected, rtol=2e-3)


def test_worth_is_solved_from_the_law_and_does_not_depend_on_the_size_where_it_does_not_bend():
    fit, number = known(), [1.0, 8.0, 64.0]
    for active in (None, 1e9):
        found = bs.experts_worth(fit, number, active_params=active).isel(chain=0, draw=0)
        np.testing.assert_allclose(found, worth(np.array(number), **GAIN), rtol=2e-3)


def test_other_laws_say_nothing_of_experts(small_fit):
    for ask in (lambda: bs.experts_worth(small_fit, 8.0), lambda: bs.best_experts(small_fit)):
        with pytest.raises(FitError, match="says nothing of experts; fit experts_model"):
            ask()


def test_cap_on_memory_bounds_all_parameters_and_the_best_number_is_the_brute_force_one():
    fit, memory = known(same_tokens=True), 4e9
    found = bs.best_experts(fit, memory=memory)
    number = found["experts"].to_numpy()
    active = memory / np.where(number > 1, 1 + SHARE * (number - 1), 1.0)
    np.testing.assert_allclose(found["active_params"], active)
    np.testing.assert_allclose(found["params"], memory)
    best = int(np.argmax(active * worth(number, **GAIN)))
    assert 0 <= best < len(number)
    assert (found["loss"].isel(chain=0).argmin("experts") == best).all()


def test_cap_on_serving_counts_active_parameters():
    found = bs.best_experts(known(same_tokens=True), serving=4e8)
    np.testing.assert_allclose(found["active_params"], 2e8)
    assert found["params"].to_numpy()[-1] == pytest.approx(2e8 * (1 + SHARE * 63))


def test_training_compute_bounds_models_of_the_same_tokens():
    found = bs.best_experts(known(same_tokens=True), flops=6e19)
    np.testing.assert_allclose(found["active_params"], 1e9)
    assert set(found["tokens"].to_numpy()) == {1e10}


def test_experts_that_are_worth_little_lose_to_a_dense_model_of_equal_memory():
    fit = known(same_tokens=True, gamma=0.02)
    answer = bs.answer_experts({"all": fit}, {"all": bs.best_experts(fit, memory=4e9)})
    (router,) = answer.numbers["routers"]
    assert router["best"] == 1
    assert all(plan["p_beats_equal_memory"] == 0.0 for plan in router["plans"][1:])
    assert str(answer).startswith("best within the caps: a dense model of 4.00B parameters")


def test_equal_memory_with_the_same_training_is_lost_by_dense_models():
    """A dense model of all the parameters has too few tokens; the best smaller one counts."""
    fit = known()
    found = bs.best_experts(fit, flops=1e20, experts=[8])
    own = found.sel(experts=8.0).isel(chain=0, draw=0)
    best = float(chinchilla.optimum(1e20, 6.0, **JOINT))
    assert best < float(own["params"])
    expected = chinchilla(best, 1e20 / (6 * best), **JOINT) - float(own["loss"])
    assert float(own["over_memory"]) == pytest.approx(expected, abs=2e-4)
    assert float(own["over_compute"]) == pytest.approx(expected, abs=2e-4)


def test_memory_is_not_answered_where_runs_state_no_total_parameters():
    fit = known()
    lacking = replace(fit, runs=bs.read_runs(simulated_experts().drop(columns="params")))
    with pytest.raises(FitError, match="no run states them beside the active ones"):
        bs.best_experts(lacking, flops=1e21, memory=1e10)
    answer = bs.answer_experts({"all": lacking}, {"all": bs.best_experts(lacking, flops=1e21)})
    assert answer.numbers["routers"][0]["plans"][-1]["p_beats_equal_memory"] is None
    assert "of equal memory nothing is said" in str(answer)
    given = bs.best_experts(lacking, flops=1e21, memory=1e10, share=SHARE)
    assert float(given["params"].max()) <= 1e10 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing bounds the model"),
        ({"memory": 1e10}, "nothing bounds the model"),
        ({"flops": -1.0}, "flops must be positive"),
        ({"flops": 1e21, "experts": [0.5]}, "1 expert or more"),
    ],
)
def test_questions_that_are_refused(asked, said):
    with pytest.raises(FitError, match=said):
        bs.best_experts(known(), **asked)


def test_other_tokens_are_refused_where_all_runs_have_the_same():
    with pytest.raises(FitError, match=r"all runs have 10\.0B tokens: nothing is known of 50\.0B"):
        bs.best_experts(known(same_tokens=True), memory=1e9, tokens=5e10)


def test_model_follows_the_tokens_of_the_runs():
    assert bs.experts_model(bs.read_runs(simulated_experts())).name == "experts-bend"
    assert bs.experts_model(bs.read_runs(simulated_experts(True))).name == "experts-size-bend"


@pytest.mark.parametrize(
    ("drop", "where", "said"),
    [
        ("experts", None, "no column experts"),
        ("active_params", None, "no column active_params"),
        (None, "experts == 1", "all runs have 1 experts"),
    ],
)
def test_runs_that_say_nothing_of_experts_are_refused(drop, where, said):
    table = simulated_experts().drop(columns=drop or [])
    if drop == "experts":
        table = table.drop(columns="params").rename(columns={"active_params": "params"})
    with pytest.raises(RunsError, match=said):
        bs.experts_model(bs.read_runs(table, where=where))


def test_each_router_has_the_dense_runs():
    parts = bs.routers_of(bs.read_runs(simulated_experts()), "router")
    assert list(parts) == ["hash", "learned"]
    for name, own in parts.items():
        assert set(own.table["router"]) == {"none", name}
        assert (own.table["experts"] == 1).sum() == 12  # four sizes at three numbers of tokens


@pytest.fixture(scope="module")
def routing(data_folder):
    chosen = "k == 1 and routing_frequency == .5 and flop_increase == 1"
    return bs.read_runs(data_folder / "moe_routing.csv", where=chosen)


@pytest.mark.slow
def test_published_routers(routing):
    """Gain by router, worth and exponents, as least squares found them: docs/how/experts.md."""
    own = bs.fit(routing, "experts-size-routers", progress=False).posterior

    def held(draws, value):
        low, high = draws.quantile([0.05, 0.95], ("chain", "draw")).to_numpy()
        return low <= value <= high

    assert held(own["alpha"], 0.194)
    assert held(own["E"], 1.59)
    for name, gamma in (("S-Base", 0.55), ("Hash", 0.52), ("RL-R", 0.48)):
        assert held(own["gamma"].sel(group=name), gamma)
    best = own.sel(group="S-Base")
    for number, value in ((8.0, 2.0), (64.0, 5.4), (512.0, 11.1)):
        assert held(worth(number, **{name: best[name] for name in GAIN}), value)


@pytest.mark.slow
def test_larger_published_models_are_predicted(routing):
    errors, inside = [], []
    for own in bs.routers_of(routing, "router_type").values():
        small, large = own.hold_out("scale == '370M'")
        fit = bs.fit(small, bs.experts_model(small), progress=False)
        drawn = np.log(bs.predict_runs(fit, large.table))
        low, middle, high = drawn.quantile([0.05, 0.5, 0.95], ("chain", "draw")).to_numpy()
        seen = np.log(large.table["loss"].to_numpy())
        errors += list(seen - middle)
        inside += list((low <= seen) & (seen <= high))
    assert np.sqrt(np.mean(np.square(errors))) < 0.012
    assert np.mean(inside) > 0.85


def test_plans_stay_near_the_tokens_per_parameter_of_the_runs_and_say_where_they_do_not():
    fit = known(B=50 * EXPERTS["B"])  # wants many more tokens than any run has
    found = bs.best_experts(fit, flops=1e22)
    seen = fit.runs.column("tokens") / fit.runs.column("active_params")
    ratio = (found["tokens"] / found["active_params"]).to_numpy()
    np.testing.assert_allclose(ratio, seen.max() * 10**0.5)
    answer = bs.answer_experts({"all": fit}, {"all": found})
    assert "tokens per parameter lie outside" in str(answer)
    capped = bs.best_experts(fit, flops=1e22, memory=1e8)  # leaves no size that is near them
    assert float(capped["active_params"].sel(experts=1.0)) == pytest.approx(1e8)


def test_tokens_and_compute_beyond_the_runs_are_far_as_well_as_sizes_and_experts():
    fit = known()
    largest = float(fit.runs.column("active_params").max())
    tokens = 100 * float(fit.runs.column("tokens").max())
    found = bs.best_experts(fit, flops=6 * largest * tokens, serving=2 * largest)
    answer = bs.answer_experts({"all": fit}, {"all": found})
    (router,) = answer.numbers["routers"]
    assert router["plans"][0]["active_params"] == pytest.approx(largest)
    assert router["plans"][0]["decades_beyond"] >= 2
    assert "Extrapolation: " in str(answer)
