import numpy as np
import pytest
import xarray as xr

from bayescale import FitError, stack_draws

DRAWS = ("chain", "draw")


def law(start: float, draws: int = 50) -> xr.Dataset:
    """Draws that no other law has, of two quantities that belong together."""
    values = start + np.arange(2.0 * draws).reshape(2, draws)
    x = xr.DataArray(values, dims=DRAWS)
    return xr.Dataset({"x": x, "twice": 2 * x * xr.DataArray([1.0, 10.0], dims="flops")})


def test_each_law_gives_its_share_of_whole_draws():
    mixed = stack_draws({"a": law(0), "b": law(1000)}, {"a": 0.25, "b": 0.75})
    assert dict(mixed.sizes) == {"chain": 2, "draw": 50, "flops": 2}
    x = mixed["x"].to_numpy()
    assert (x >= 1000).sum() == 75
    assert len(np.unique(x)) == 100  # every draw once, as far as there are enough
    assert (mixed["twice"].isel(flops=1) == 20 * mixed["x"]).all()
    assert 0 < (x[0] >= 1000).mean() < 1  # chains are mixtures, too


def test_picks_are_the_same_for_every_quantity_and_another_for_another_seed():
    laws, weights = {"a": law(0), "b": law(1000)}, {"b": 0.4, "a": 0.6}
    both = stack_draws(laws, weights)
    alone = stack_draws({name: own["x"] for name, own in laws.items()}, weights)
    assert alone.identical(both["x"])
    assert not stack_draws(laws, weights, seed=2).equals(both)


def test_a_law_of_weight_one_keeps_its_draws_and_fewer_draws_are_repeated():
    mixed = stack_draws({"a": law(0), "b": law(1000)}, {"a": 1.0, "b": 0.0})
    assert sorted(mixed["x"].to_numpy().ravel()) == list(range(100))
    mixed = stack_draws({"a": law(0), "b": law(1000, draws=10)}, {"a": 0.0, "b": 1.0})
    assert np.unique(mixed["x"], return_counts=True)[1].tolist() == [5] * 20


@pytest.mark.parametrize(
    ("draws", "weights", "message"),
    [
        ({"a": law(0)}, {"b": 1.0}, "draws of a, but weights of b"),
        ({}, {}, "draws of no law"),
        ({"a": law(0), "b": law(1)}, {"a": 0.5, "b": 0.6}, "with sum 1, got a 0.5, b 0.6"),
        ({"a": law(0), "b": law(1)}, {"a": 1.5, "b": -0.5}, "at least 0"),
        ({"a": law(0), "b": law(1)}, {"a": np.nan, "b": 1.0}, "got a nan"),
        ({"a": law(0), "b": law(1)[["x"]]}, {"a": 0.5, "b": 0.5}, "variables of a and b differ"),
        ({"a": law(0)["x"], "b": law(1)["twice"]}, {"a": 0.5, "b": 0.5}, "dims of a and b differ"),
        (
            {
                "a": law(0).assign_coords(flops=[1.0, 2.0]),
                "b": law(1).assign_coords(flops=[1.0, 3.0]),
            },
            {"a": 0.5, "b": 0.5},
            "a and b answer for other values of flops",
        ),
    ],
)
def test_what_cannot_be_mixed_is_refused(draws, weights, message):
    with pytest.raises(FitError, match=message):
        stack_draws(draws, weights)
