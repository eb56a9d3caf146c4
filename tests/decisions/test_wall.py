"""The end of the data: against a grid, and against the law without repetition."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TRUTH, known_fit
from scipy.optimize import minimize

from bayescale import answer_wall, best_under_wall, compute_optimal, constants_fit, next_epoch
from bayescale.errors import FitError

EXCESS = {
    "sigma": 0.01,
    "excess": 0.02,
    "excess_epochs": 0.8,
    "excess_size": 0.7,
    "excess_interaction": 0.1,
}

PUBLISHED = {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.353, "R_D": 15.4, "R_N": 5.3}


def wall_fit(**noise: float):
    rng = np.random.default_rng(2)
    near = {name: value * (1 + 0.01 * rng.standard_normal(30)) for name, value in TRUTH.items()}
    return constants_fit("data-constrained", **near, R_D=15.0, R_N=5.0, r_N=-0.3, **noise)


def objective(fit, draw: int, unique: float):
    """Log loss with its excess at one draw, of log N and log D."""
    natural = {name: float(value[0, draw]) for name, value in fit.natural.items()}
    noise = {name: float(value[0, draw]) for name, value in fit.noise.items()}

    def value(point):
        params, tokens = np.exp(point)
        inputs = {"params": params, "tokens": tokens, "unique_tokens": min(unique, tokens)}
        found = np.log(fit.spec.law(*inputs.values(), **natural))
        return found + (fit.spec.noise_model.mean_excess(noise, inputs) if noise else 0.0)

    return value


@pytest.mark.parametrize("noise", [{}, EXCESS], ids=["no excess", "excess"])
@pytest.mark.parametrize("flops", [1e20, 1e22])
def test_agrees_with_a_grid(noise, flops):
    fit, unique = wall_fit(**noise), 1e9
    found = best_under_wall(fit, flops, unique)
    for draw in (0, 7, 19):
        value = objective(fit, draw, unique)
        spent = np.log(flops / 6) - (np.linspace(0, 9, 90) if noise else np.zeros(1))
        size = np.linspace(np.log(1e7), np.log(1e11), 160)
        grid = [(value((n, s - n)), n, s) for s in spent for n in size]
        least, n, s = min(grid)
        if noise:
            least = min(
                least,
                minimize(value, (n, s - n), method="Nelder-Mead").fun if s < spent[0] else least,
            )
        one = float(found["loss"][0, draw, 0])
        assert one <= np.exp(least) * (1 + 1e-5)
        assert one == pytest.approx(np.exp(least), rel=1e-3)


def test_without_a_wall_it_is_the_compute_optimal_model():
    fit = wall_fit()
    found = best_under_wall(fit, 1e21, 1e14)
    free = compute_optimal(fit, 1e21)
    np.testing.assert_allclose(found["params"], free["params"], rtol=1e-3)
    np.testing.assert_allclose(found["loss"], found["fresh_loss"], rtol=1e-7)
    assert (found["epochs"] < 1).all()
    np.testing.assert_allclose(found["price_of_a_token"], 0, atol=1e-3)


def test_more_compute_leaves_more_unspent_once_it_overfits():
    fit = wall_fit(**EXCESS)
    found = best_under_wall(fit, [1e21, 1e25], 1e9)
    assert (found["spent"].sel(flops=1e25) < 1e25).all()
    less = best_under_wall(fit, 1e24, 1e9)["loss"].squeeze("flops")
    np.testing.assert_allclose(found["loss"].sel(flops=1e25), less, rtol=1e-5)
    assert np.isinf(found["price_of_a_token"].sel(flops=1e25)).all()


@pytest.mark.parametrize("unique", [1e8, 1e10])
def test_more_budget_never_hurts_and_other_budgets_do_not_matter(unique):
    fit, budgets = wall_fit(**EXCESS), [1e16, 1e18, 1e20, 1e22, 1e24, 1e26]
    found = best_under_wall(fit, budgets, unique)["loss"]
    assert (found.diff("flops") < 1e-3).all()
    alone = best_under_wall(fit, 1e22, unique)["loss"].squeeze("flops")
    np.testing.assert_allclose(found.sel(flops=1e22), alone, rtol=1e-9)


@pytest.mark.parametrize("flops", [1e16, 1e18])
def test_ample_data_change_nothing(flops):
    fit = wall_fit(**EXCESS)
    found = best_under_wall(fit, flops, 15e12)
    np.testing.assert_allclose(found["params"], compute_optimal(fit, flops)["params"], rtol=1e-9)
    assert (found["price_of_a_token"] == 0).all()


def test_price_of_a_token_is_what_more_data_save():
    """With 1% more unique tokens, that much less compute reaches a loss; half more does not."""
    fit, flops, unique = wall_fit(), 1e22, 1e10
    found = best_under_wall(fit, flops, unique)
    for draw in (0, 5):
        saved = 0.01 * unique * float(found["price_of_a_token"][0, draw, 0])
        for share in (0.5, 1.5):
            other = best_under_wall(fit, flops - share * saved, 1.01 * unique)["loss"]
            better = float(other[0, draw, 0]) < float(found["loss"][0, draw, 0])
            assert better == (share < 1)


def test_one_more_epoch():
    found = next_epoch(wall_fit(**EXCESS), 1e9, 1e9, [1, 4, 16, 64])
    gain = found["gain"].median(("chain", "draw")).to_numpy()
    assert (np.diff(gain) < 0).all()
    assert found["harm"].to_numpy()[0] == 0
    assert found["harm"].to_numpy()[-1] == 1


def test_what_is_refused():
    with pytest.raises(FitError, match="does not know repeated data"):
        best_under_wall(known_fit(5), 1e21, 1e9)
    with pytest.raises(FitError, match="unique_tokens must be positive"):
        best_under_wall(wall_fit(), 1e21, 0.0)
    with pytest.raises(FitError, match="at least 1"):
        next_epoch(wall_fit(), 1e9, 1e9, 0.5)


def test_the_answer_is_short_and_comes_before_what_more_would_do():
    fit, budgets = wall_fit(), [1e18, 1e21, 1e22]
    said = answer_wall(fit, budgets, 1e10).sentences
    for line, flops in zip(said, budgets, strict=False):
        assert line.startswith(f"With 10B unique tokens and {flops:.0e} FLOPs".replace("e+", "e"))
        assert len(line) < 180  # four lines of a phone
    text = "\n".join(said)
    assert text.count("hold within a factor of two") == 1
    assert text.count("hardly tell") == 0
    for flops in ("1e21", "1e22"):
        more, other = (line for line in said if line.startswith(f"At {flops} FLOPs"))
        assert "One more epoch changes the loss by -0.0" in more
        assert [part in other for part in ("worth 90%", "; 70%: ", "; 50%: ", "; 30%: ")] == [
            True
        ] * 4
    assert not any(line.startswith("At 1e18") for line in said)  # there nothing is repeated


@pytest.mark.parametrize("noise", [{}, EXCESS], ids=["no excess", "excess"])
def test_more_data_and_more_compute_are_set_beside_each_other(noise):
    fit, budgets = wall_fit(**noise), [1e21, 1e22]
    answer = answer_wall(fit, budgets, 1e10)
    for flops, entry in zip(budgets, answer.numbers["repetition"], strict=True):
        own = best_under_wall(fit, flops, 1e10)["loss"].squeeze("flops", drop=True)
        for name, asked in (
            ("twice_unique_tokens", (flops, 2e10)),
            ("twice_flops", (2 * flops, 1e10)),
        ):
            more = best_under_wall(fit, *asked)["loss"].squeeze("flops", drop=True)
            gain = float((own - more).median())
            assert entry[name]["median"] == pytest.approx(gain, rel=1e-6, abs=1e-8)
    first, second = (line for line in answer.sentences if "Twice the unique tokens lower" in line)
    assert " nats per token, twice the compute by 0.03" in first
    overfits = bool(noise)  # then the larger budget is not spent
    assert ("twice the compute does not." if overfits else "twice the compute by 0.0043") in second


def test_what_the_runs_hardly_tell_is_said_once_of_all_budgets(monkeypatch):
    monkeypatch.setattr(
        "bayescale.decisions.wall.identified", lambda *_: SimpleNamespace(only_bound=True)
    )
    said = answer_wall(wall_fit(), [1e18, 1e21, 1e22], 1e10).sentences
    (own,) = (line for line in said if "hardly tell" in line)
    assert own.endswith("at the best size for 1e21, 1e22 FLOPs.")


def test_other_data_are_said_once_where_sizes_do_not_matter():
    published = constants_fit("data-constrained-published", **PUBLISHED)
    said = answer_wall(published, [1e21, 1e22], 1e9).sentences
    (own,) = (line for line in said if "other data pay" in line)
    assert own.startswith("At 1e21, 1e22 FLOPs other data pay after ")
