import numpy as np
import pytest
import xarray as xr
from conftest import TRUTH, known_fit

from bayescale import basin, compute_optimal, constants_fit
from bayescale.draws import numbers, summarise
from bayescale.errors import FitError
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.search import find_minimum

EPOCH = {"E": 1.81686, "A": 482.01, "B": 2085.43, "alpha": 0.34781, "beta": 0.36585}  # 2404.10102


def test_known_allocation_of_the_published_replication():
    best = compute_optimal(constants_fit("chinchilla", **EPOCH), 5.76e23).squeeze()
    assert float(best["params"]) == pytest.approx(72.2e9, rel=0.01)
    assert float(best["a"]) == pytest.approx(0.36585 / (0.34781 + 0.36585), rel=1e-9)
    assert float(best["a"] + best["b"]) == pytest.approx(1)
    assert float(6 * best["params"] * best["tokens"]) == pytest.approx(5.76e23)
    assert float(best["tokens_per_param"]) == pytest.approx(float(best["tokens"] / best["params"]))


def test_optimum_of_every_draw_is_a_minimum_along_its_isoflop():
    fake = known_fit(spread=0.05)
    best = compute_optimal(fake, [1e20, 1e23])
    for factor in (0.9, 1.1):
        other = Posterior.of(fake).isoflop(best["flops"], best["params"] * factor)
        assert (other > best["loss"]).all()


def test_medians_recover_a_tight_posterior():
    exact = compute_optimal(constants_fit("chinchilla", **TRUTH), 1e22)["params"].item()
    spread = numbers(compute_optimal(known_fit(), 1e22)["params"].squeeze("flops"))
    assert spread["median"] == pytest.approx(exact, rel=0.02)
    assert spread["q05"] < exact < spread["q95"]


def test_basin_ends_lose_exactly_the_stated_compute():
    one = constants_fit("chinchilla", **TRUTH)
    ends = basin(one, 1e22, excess=[0.01, 0.1]).squeeze(["chain", "draw", "flops"])
    for excess in (0.01, 0.1):
        reached = compute_optimal(one, 1e22 / (1 + excess))["loss"].item()
        for bound in ("lower", "upper"):
            params = ends.sel(excess=excess, bound=bound)
            assert Posterior.of(one).isoflop(1e22, params).item() == pytest.approx(
                reached, rel=1e-12
            )
    best = compute_optimal(one, 1e22)["params"].item()
    low, high = ends.sel(excess=0.1).to_numpy()
    assert (
        low
        < ends.sel(excess=0.01, bound="lower")
        < best
        < ends.sel(excess=0.01, bound="upper")
        < high
    )


def test_k_moves_the_allocation():
    one = constants_fit("chinchilla", **TRUTH)
    six, twelve = (compute_optimal(one, 1e22, k=k)["params"].item() for k in (6.0, 12.0))
    assert twelve == pytest.approx(six * 0.5 ** (0.36 / 0.70))


def test_constants_have_no_distance_to_runs():
    assert np.isnan(compute_optimal(constants_fit("chinchilla", **TRUTH), 1e22)["decades_beyond"])


def test_extrapolation_is_marked_in_decades(small_fit):
    beyond = compute_optimal(small_fit, [6e17, 1e20, 3e23])["decades_beyond"].to_numpy()
    np.testing.assert_allclose(beyond, [-1, 0, 2], atol=1e-9)


@pytest.mark.parametrize("flops", [0.0, -1e20, np.nan, np.inf])
def test_bad_budget_is_refused(flops):
    with pytest.raises(FitError, match="budgets must be positive FLOPs"):
        compute_optimal(known_fit(), flops)


def test_budget_that_trains_no_model_is_refused():
    """Most probably it is a logarithm."""
    with pytest.raises(FitError, match=r"budget of 21 FLOPs trains no model; write .* 1e21"):
        compute_optimal(known_fit(), [1e21, 21])


def test_single_axis_law_has_no_allocation():
    one = constants_fit("power-law", E=1.7, A=10.0, alpha=0.1)
    with pytest.raises(
        FitError, match=r"power_law does not trade .* bayescale report RUNS --model"
    ):
        compute_optimal(one, 1e21)


def test_summary_has_the_stated_quantiles():
    draws = xr.DataArray(np.arange(101.0)[None], dims=("chain", "draw"))
    assert summarise(draws).to_series().to_dict() == {"median": 50, "q05": 5, "q95": 95}


def test_summary_counts_infinite_draws_and_leaves_out_undefined_ones():
    draws = xr.DataArray([[1.0, 2.0, 3.0, np.inf, np.inf, np.nan]], dims=("chain", "draw"))
    assert summarise(draws).to_series().to_dict() == {"median": 3, "q05": 1, "q95": np.inf}
    assert np.isnan(summarise(draws.where(draws < 0))).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"E": 1.7}, "missing: A, B, alpha, beta"),
        ({**TRUTH, "gamma": 1.0}, "unknown: gamma"),
        ({**TRUTH, "alpha": -1.0}, "alpha must be positive and finite, got -1"),
        ({**TRUTH, "A": np.nan}, "A must be positive and finite"),
        ({**TRUTH, "A": np.ones(3), "B": np.ones(2)}, "arrays of different lengths"),
    ],
)
def test_constants_must_be_the_laws_own(parameters, message):
    with pytest.raises(FitError, match=message):
        constants_fit("chinchilla", **parameters)


def test_one_array_among_constants_gives_that_many_draws():
    three = constants_fit("chinchilla", **{**TRUTH, "A": np.array([300.0, 400.0, 500.0])})
    best = compute_optimal(three, 1e22)["params"]
    assert best.shape == (1, 3, 1)
    assert best.notnull().all()


def test_repeated_budgets_are_answered_once():
    assert compute_optimal(known_fit(), [1e22, 1e22, 1e23]).sizes["flops"] == 2


def test_the_least_of_several_minima_is_found():
    deep = np.array([-2.0, 3.0])

    def function(x, deep):
        return -np.exp(-((x - deep) ** 2)) - 0.9 * np.exp(-((x + deep) ** 2))

    found = find_minimum(function, np.full(2, -5.0), np.full(2, 5.0), (deep,))
    np.testing.assert_allclose(found, deep, atol=1e-6)
    # Control: with the depths exchanged it is the other one.
    other = find_minimum(
        lambda x, deep: function(x, -deep), np.full(2, -5.0), np.full(2, 5.0), (deep,)
    )
    np.testing.assert_allclose(other, -deep, atol=1e-6)


@pytest.mark.parametrize("lowest", [-7.0, -1.0, -0.99, 0.3, 0.99, 1.0, 7.0])
def test_minima_at_the_ends_and_close_to_them_are_found(lowest):
    found = find_minimum(
        lambda x, lowest: (x - lowest) ** 2,
        np.array([-1.0]),
        np.array([1.0]),
        (np.array([lowest]),),
        points=5,
    )
    assert found[0] == pytest.approx(np.clip(lowest, -1, 1), abs=1e-6)
