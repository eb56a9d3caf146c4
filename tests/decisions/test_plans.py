"""Plans: probabilities, regrets, and tables that cannot be used."""

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, known_fit, known_grouped_fit
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescale import (
    Prices,
    answer_plans,
    compute_optimal,
    constants_fit,
    plan_outcomes,
    rank_plans,
    read_plans,
    stack_outcomes,
)
from bayescale.errors import FitError, RunsError

PLANS = pd.DataFrame(
    {"plan": ["best", "large", "small"], "params": [0.0, 300e9, 5e9], "tokens": [0.0, 0.0, 0.0]}
)


def plans_at(flops: float, fit) -> pd.DataFrame:
    """Compute-optimal at the median, and two others, all of one budget."""
    best = float(compute_optimal(fit, flops)["params"].median())
    params = np.array([best, best * 6, best / 6])
    return read_plans(PLANS.assign(params=params, tokens=flops / (6 * params)))


def test_known_answer():
    fit = known_fit(200)
    ranked = rank_plans(plan_outcomes(fit, plans_at(1e23, fit)))
    assert ranked.attrs["choice"] == "best"
    assert ranked["p_best"].to_numpy() == pytest.approx([1, 0, 0])
    assert float(ranked["expected_regret"].sel(plan="best")) == 0
    law, large = TRUTH, ranked.sel(plan="large")
    loss = law["E"] + law["A"] * float(large["params"]) ** -law["alpha"]
    loss += law["B"] * float(large["tokens"]) ** -law["beta"]
    assert float(large["loss"].median()) == pytest.approx(loss, rel=2e-3)
    # What the loss of the plan would cost a compute-optimal model.
    equivalent = float(large["equivalent_flops"].median())
    reached = compute_optimal(fit, equivalent)["loss"].median()
    assert float(reached) == pytest.approx(float(large["loss"].median()), rel=1e-3)


@settings(max_examples=20)
@given(
    params=st.lists(st.floats(1e8, 1e12), min_size=1, max_size=5, unique=True),
    flops=st.floats(1e21, 1e25),
    spread=st.floats(0.0, 0.2),
)
def test_regret_is_never_negative_and_one_plan_is_best(params, flops, spread):
    fit = known_fit(40, spread)
    table = pd.DataFrame({"plan": [f"{i}" for i in range(len(params))], "params": params})
    ranked = rank_plans(
        plan_outcomes(fit, read_plans(table.assign(tokens=flops / table["params"])))
    )
    assert (ranked["regret"] >= 0).all()
    assert (ranked["regret_flops"] >= 0).all()
    assert float(ranked["p_best"].sum()) == pytest.approx(1)
    assert (ranked["regret"].min("plan") == 0).all()
    assert (ranked["p_within"] >= ranked["p_best"] - 1e-12).all()
    expected = ranked["expected_regret"]
    assert ranked.attrs["choice"] == str(expected.idxmin("plan").item())


def test_equal_plans_share_nothing_and_lose_nothing():
    fit = known_fit(20)
    table = pd.DataFrame({"plan": ["a", "b"], "params": [7e9, 7e9], "tokens": [1e12, 1e12]})
    ranked = rank_plans(plan_outcomes(fit, read_plans(table)))
    assert (ranked["expected_regret"] == 0).all()
    assert float(ranked["p_best"].sum()) == 1


def test_regret_is_counted_in_the_unit_of_the_prices():
    fit = known_fit(20)
    plans = plans_at(1e23, fit)
    in_flops = rank_plans(plan_outcomes(fit, plans))
    ranked = rank_plans(plan_outcomes(fit, plans, prices=Prices(2e-18, 3e-18, "$")))
    assert "1e21 FLOPs of training cost $2.00k, of serving $3.00k." in str(
        answer_plans(fit, ranked)
    )
    lost = in_flops["regret_flops"]
    assert float(lost.sel(plan="large").min()) > 1e21
    np.testing.assert_allclose(ranked["regret_flops"], lost)
    np.testing.assert_allclose(ranked["regret_cost"], 2e-18 * lost, rtol=1e-12)
    expected = 2e-18 * in_flops["expected_regret_flops"]
    np.testing.assert_allclose(ranked["expected_regret_cost"], expected, rtol=1e-12)
    np.testing.assert_allclose(in_flops["regret_cost"], lost)


def test_dominated_plans_and_costs():
    fit = known_fit(20)
    table = pd.DataFrame(
        {"params": [7e9, 7e9, 7e9], "tokens": [1e12, 2e12, 1e12], "plan": ["a", "long", "dear"]}
    ).assign(inference_tokens=[0, 0, 1e12])
    ranked = rank_plans(plan_outcomes(fit, read_plans(table), prices=Prices(2.0, 3.0, "$")))
    cost = ranked["cost"].to_numpy()
    assert cost == pytest.approx([8.4e22, 16.8e22, 8.4e22 + 3 * 2 * 7e9 * 1e12])
    # a and long are not dominated; dear costs more than a but is no better: not beaten in loss.
    assert ranked["p_dominated"].to_numpy() == pytest.approx([0, 0, 0])
    worse = table.assign(tokens=[1e12, 2e12, 0.5e12])
    ranked = rank_plans(plan_outcomes(fit, read_plans(worse)))
    assert float(ranked["p_dominated"].sel(plan="dear")) == 0  # 3.5e21 + 1.4e22 < 4.2e22
    given = rank_plans(plan_outcomes(fit, read_plans(worse.assign(cost=[1.0, 1.0, 2.0]))))
    assert given["p_dominated"].to_numpy() == pytest.approx([1, 0, 1])


def test_repeated_data_need_a_law_that_knows_them():
    table = read_plans(
        pd.DataFrame({"params": [1e9, 1e9], "tokens": [4e11, 4e11], "unique_tokens": [4e11, 1e10]})
    )
    assert list(table["plan"]) == ["1B on 400B", "1B on 400B (40 epochs)"]
    with pytest.raises(FitError, match=r"40 epochs.*data-constrained"):
        plan_outcomes(known_fit(5), table)
    fit = constants_fit("data-constrained", **TRUTH, R_D=15.0, R_N=5.0, r_N=-0.5)
    loss = plan_outcomes(fit, table)["loss"].squeeze()
    assert float(loss[1]) > float(loss[0])


def test_counts_may_be_written_as_answers_write_them():
    table = read_plans(pd.DataFrame({"params": ["7B", "3e9"], "tokens": ["4T", "500,000,000,000"]}))
    assert table["params"].tolist() == [7e9, 3e9]
    assert table["plan"].tolist() == ["7B on 4T", "3B on 500B"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"params": [1e9]}, "no column 'tokens'"),
        ({"params": [1e9], "tokens": [np.nan]}, "row 1 of the plans: tokens"),
        ({"params": [1e9, -1], "tokens": [1e9, 1e9]}, "must be a positive number, got -1"),
        ({"params": [1e9], "tokens": ["many"]}, "'many'"),
        ({"params": [1e9], "tokens": [1e9], "unique_tokens": [2e9]}, "more unique tokens"),
        ({"params": [1e9] * 2, "tokens": [1e9] * 2}, "is there already"),
        ({"params": [], "tokens": []}, "no rows"),
    ],
)
def test_tables_that_are_refused(table, message):
    with pytest.raises(RunsError, match=message):
        read_plans(pd.DataFrame(table))


def test_groups_are_asked_one_at_a_time():
    fit = known_grouped_fit(a={}, b={"E": 1.9})
    with pytest.raises(FitError, match="of_group"):
        plan_outcomes(fit, plans_at(1e23, fit.of_group("a")))
    with pytest.raises(FitError, match="positive share"):
        rank_plans(plan_outcomes(known_fit(5), plans_at(1e23, known_fit(5))), within=0.0)


def test_laws_are_mixed_by_their_weights():
    one, other = known_fit(400), known_fit(400, E=1.9)
    plans = plans_at(1e23, one)
    outcomes = {"one": plan_outcomes(one, plans), "other": plan_outcomes(other, plans)}
    mixed = rank_plans(stack_outcomes(outcomes, {"one": 0.25, "other": 0.75}))
    expected = [float(own["loss"].sel(plan="best").mean()) for own in outcomes.values()]
    found = float(mixed["loss"].sel(plan="best").mean())
    assert found == pytest.approx(0.25 * expected[0] + 0.75 * expected[1], rel=1e-3)
    assert mixed["params"].dims == ("plan",)
    assert mixed.attrs["unit"] == "FLOPs"
