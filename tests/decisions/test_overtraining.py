"""Serving costs: the published example, a grid that knows nothing, and what must always hold."""

import numpy as np
import pytest
from conftest import known_fit, known_grouped_fit
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescale import (
    Prices,
    answer_overtraining,
    at_size,
    break_even,
    cheapest,
    constants_fit,
    target_loss,
)
from bayescale.errors import FitError

SARDANA = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}


def one(dataset, name):
    return float(dataset[name].squeeze())


def random_posterior(draws: int = 200, seed: int = 0):
    rng = np.random.default_rng(seed)
    return constants_fit(
        "chinchilla",
        E=rng.uniform(1.4, 2.2, draws),
        A=np.exp(rng.uniform(5, 7, draws)),
        B=np.exp(rng.uniform(6, 8, draws)),
        alpha=rng.uniform(0.25, 0.5, draws),
        beta=rng.uniform(0.25, 0.5, draws),
    )


def test_published_example():
    """Sardana et al.: a 13B model's loss with 2T tokens served, at full precision."""
    fit = constants_fit("chinchilla", **SARDANA)
    found = cheapest(fit, target_loss(fit, params=13e9), 2e12)
    assert one(found, "params") == pytest.approx(6.97e9, rel=1e-3)
    assert one(found, "tokens") == pytest.approx(1.25e12, rel=2e-3)
    assert one(found, "baseline_cost") - one(found, "cost") == pytest.approx(1.69e22, rel=2e-3)
    assert one(found, "saved") == pytest.approx(0.174, abs=5e-4)
    assert one(found, "baseline_params") == pytest.approx(13e9, rel=1e-6)


def test_rounded_exponents_give_another_answer():
    fit = constants_fit("chinchilla", **{**SARDANA, "alpha": 0.34, "beta": 0.28})
    found = cheapest(fit, target_loss(fit, params=13e9), 2e12)
    assert one(found, "params") == pytest.approx(8.0e9, rel=5e-3)
    assert one(found, "saved") == pytest.approx(0.101, abs=5e-4)


def test_agrees_with_a_grid():
    """In 200 random posteriors the cost is that of the best point of a fine grid over N."""
    fit, served = random_posterior(), 1e13
    target = target_loss(fit, flops=1e23)
    found = cheapest(fit, target, served)
    law = {name: value.to_numpy().T for name, value in fit.natural.items()}  # (draws, 1)
    params = np.geomspace(1e7, 1e15, 15_000)
    left = target.to_numpy().T - law["E"] - law["A"] * params ** -law["alpha"]
    with np.errstate(invalid="ignore", divide="ignore"):
        tokens = (law["B"] / left) ** (1 / law["beta"])
        cost = np.where(left > 0, 6 * params * tokens + 2 * params * served, np.inf)
    best = cost.min(axis=1)
    np.testing.assert_allclose(found["cost"].to_numpy().ravel(), best, rtol=1e-3)
    assert (found["cost"].to_numpy().ravel() <= best * (1 + 1e-9)).all()


@settings(max_examples=8)
@given(served=st.floats(1e9, 1e15), more=st.floats(1.5, 100))
def test_more_serving_never_makes_the_best_model_larger(served, more):
    fit = random_posterior(20)
    found = cheapest(fit, target_loss(fit, flops=1e23), [0.0, served, served * more])
    size = found["params"].to_numpy()
    assert (np.diff(size, axis=-1) <= size[..., :-1] * 1e-6).all()
    assert (np.diff(found["cost"].to_numpy(), axis=-1) > 0).all()
    assert (found["saved"].isel(inference_tokens=0) == pytest.approx(0.0, abs=1e-9)).all()


@settings(max_examples=8)
@given(cap=st.floats(1e11, 1e14), tighter=st.floats(0.1, 0.9))
def test_a_tighter_cap_on_data_never_lowers_the_cost(cap, tighter):
    fit = random_posterior(20)
    target = target_loss(fit, flops=1e23)
    loose, tight = (cheapest(fit, target, 1e13, max_tokens=most) for most in (cap, cap * tighter))
    assert (tight["cost"] >= loose["cost"] * (1 - 1e-9)).all()
    tokens = tight["tokens"].to_numpy()
    assert (tokens[np.isfinite(tokens)] <= cap * tighter * (1 + 1e-6)).all()


def test_caps_are_met_with_equality_where_they_bind():
    fit = known_fit(50)
    target = target_loss(fit, flops=1e24)
    free = cheapest(fit, target, 1e13)
    small = cheapest(fit, target, 1e13, max_params=float(free["params"].min()) / 2)
    np.testing.assert_allclose(small["params"], float(free["params"].min()) / 2)
    short = cheapest(fit, target, 1e13, max_tokens=float(free["tokens"].min()) / 2)
    np.testing.assert_allclose(short["tokens"], float(free["tokens"].min()) / 2, rtol=1e-6)


def test_what_no_model_reaches_costs_without_bound():
    fit = known_fit(50)
    found = cheapest(fit, target_loss(fit, loss=1.0), 1e13)  # below the irreducible loss
    assert float(found["infeasible"].squeeze()) == 1
    assert np.isinf(found["cost"]).all()
    assert np.isnan(found["params"]).all()
    both = cheapest(fit, target_loss(fit, flops=1e24), 1e13, max_params=1e9, max_tokens=1e10)
    assert float(both["infeasible"].squeeze()) == 1


def test_prices_move_the_optimum_as_more_serving_does():
    fit = known_fit(20)
    target = target_loss(fit, flops=1e23)
    dear = cheapest(fit, target, 1e12, prices=Prices(training=1.0, serving=4.0))
    np.testing.assert_allclose(dear["params"], cheapest(fit, target, 4e12)["params"], rtol=1e-6)


def test_hardware_prices():
    prices = Prices.of_hardware(
        3.6, peak=1e15, training_utilisation=0.5, serving_utilisation=0.25, unit="$"
    )
    assert prices.training == pytest.approx(2e-18)  # 3.6 $ buy 1800e15 FLOPs
    assert prices.serving == pytest.approx(4e-18)
    with pytest.raises(FitError, match="utilisation of serving"):
        Prices.of_hardware(3.6, peak=1e15, training_utilisation=0.5, serving_utilisation=40)
    with pytest.raises(FitError, match="price of training"):
        Prices(training=-1.0)


def test_other_sizes_and_break_even():
    fit = known_fit(50)
    target = target_loss(fit, flops=1e23)
    small, large = 6e9, 20e9
    turn = float(break_even(fit, target, small, large).median())
    for served, cheaper in ((turn / 3, large), (turn * 3, small)):
        cost = at_size(fit, target, [small, large], served)["cost"].median(("chain", "draw"))
        assert float(cost.idxmin("params")) == cheaper
    least = cheapest(fit, target, 1e13)
    own = at_size(fit, target, float(least["params"].median()), 1e13)
    assert float(own["overhead"].median()) == pytest.approx(0, abs=1e-4)
    assert (own["overhead"] >= -1e-9).all()
    none = at_size(fit, target, 1e6)
    assert float(none["infeasible"].squeeze()) == 1


def test_a_target_by_its_budget_or_its_size_is_the_same():
    fit = known_fit(20)
    by_flops = target_loss(fit, flops=1e23)
    size = float(cheapest(fit, by_flops, 0.0)["params"].isel(chain=0, draw=3).squeeze())
    by_params = target_loss(fit, params=size)
    assert float(by_params[0, 3]) == pytest.approx(float(by_flops[0, 3]), rel=1e-9)


def test_repetition_law_is_asked_about_fresh_data():
    joint = random_posterior(20)
    values = {name: value.to_numpy().ravel() for name, value in joint.natural.items()}
    repeated = constants_fit("data-constrained", **values, R_D=15.0, R_N=5.0, r_N=-0.5)
    found, other = (
        cheapest(fit, target_loss(fit, flops=1e23), 1e13)["params"].to_numpy()
        for fit in (joint, repeated)
    )
    np.testing.assert_allclose(found, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit: target_loss(fit), "name the target once"),
        (lambda fit: target_loss(fit, loss=2.0, flops=1e23), "name the target once"),
        (lambda fit: target_loss(fit, loss=-2.0), "loss must be positive"),
        (lambda fit: cheapest(fit, target_loss(fit, loss=2.0), -1.0), "must not be negative"),
        (lambda fit: cheapest(fit, target_loss(fit, loss=2.0), 1.0, max_params=0), "max_params"),
        (lambda fit: break_even(fit, target_loss(fit, loss=2.0), 2e9, 1e9), "smaller size comes"),
        (lambda fit: cheapest(fit, target_loss(known_fit(3), loss=2.0), 1.0), "one value a draw"),
    ],
)
def test_what_is_refused(ask, message):
    with pytest.raises(FitError, match=message):
        ask(known_fit(20))


def test_groups_and_single_axes_are_refused():
    grouped = known_grouped_fit(a={}, b={"E": 1.9})
    with pytest.raises(FitError, match=r"of_group.*of a, b"):
        target_loss(grouped, flops=1e23)
    curve = constants_fit("power-law", E=1.7, A=400.0, alpha=0.3)
    with pytest.raises(FitError, match="joint law"):
        target_loss(curve, loss=2.0)


@pytest.mark.parametrize("most", [3e12, 3e11])
def test_a_saving_without_a_lower_end_is_said_by_its_upper_one(most):
    fit = random_posterior(seed=1)
    target, caps = target_loss(fit, flops=1e23), {"max_tokens": most}
    found = cheapest(fit, target, 1e12, **caps)
    best = float(found["saved"].quantile(0.95))
    said = str(answer_overtraining(fit, target, found, caps=caps))
    assert 0.05 < one(found["infeasible"].to_dataset(name="infeasible"), "infeasible") < 0.5
    assert f"which saves at most {best:.1%} of what" in said
    assert "unbounded" not in said


def test_money_is_said_with_what_it_buys():
    fit = constants_fit("chinchilla", **SARDANA)
    target = target_loss(fit, params=13e9)
    for prices, told in (
        (Prices.of_hardware(2.0, serving_utilisation=0.2), "cost $1.40k, of serving $2.81k"),
        (Prices(1e-17, 2e-17, "$"), "cost $10.0k, of serving $20.0k."),
        (Prices(), ""),
    ):
        found = cheapest(fit, target, 2e12, prices=prices)
        said = str(answer_overtraining(fit, target, found, prices=prices))
        assert told in said
        assert ("Prices:" in said) == bool(told)
        assert ("40% of a peak of 9.89e14 FLOP/s" in said) == bool(prices.basis)
