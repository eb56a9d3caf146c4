"""One law, one group, one set of draws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, known_grouped_fit, simulated_table

from bayescale import constants_fit, read_runs
from bayescale.errors import FitError, RunsError
from bayescale.laws import Allocation, quantity
from bayescale.posterior.posterior import Posterior
from bayescale.runs.range import axis_range, decades_beyond
from bayescale.runs.table import Runs

TABLE = pd.DataFrame({"params": [1e8, 1e9], "tokens": [2e10, 1e10], "flops": [1.2e19, 6e19]})


def runs_of(**columns) -> Runs:
    return Runs(TABLE.assign(**columns), "by hand")


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return Posterior.of(replace(known_fit(30, 0.02), runs=read_runs(simulated_table())))


@pytest.mark.parametrize(
    ("axis", "low", "high"),
    [
        ("params", 1e8, 1e9),
        ("tokens", 1e10, 2e10),
        ("flops", 1.2e19, 6e19),
        ("tokens_per_param", 10, 200),
    ],
)
def test_range_along_an_axis_and_decades_beyond_it(axis, low, high):
    assert axis_range(runs_of(), axis) == pytest.approx((low, high))
    asked = [low / 100, low, np.sqrt(low * high), high, 10 * high]
    beyond = decades_beyond(runs_of(), **{axis: asked})
    np.testing.assert_allclose(beyond, [-2, 0, 0, 0, 1], atol=1e-12)


def test_of_several_axes_the_one_counts_that_is_farthest_above():
    assert decades_beyond(runs_of(), params=1e10, tokens=2e13) == pytest.approx(3)
    assert decades_beyond(runs_of(), params=1e5, tokens=2e13) == pytest.approx(3)
    assert decades_beyond(runs_of(), params=1e5, tokens=2e10) == 0
    assert decades_beyond(runs_of(), params=1e5, tokens=1e9) == pytest.approx(-1)
    np.testing.assert_allclose(decades_beyond(runs_of(), params=[1e9, 1e11], tokens=2e11), [1, 2])


def test_a_run_of_weight_0_extends_no_range():
    more = {"params": 1e12, "tokens": 1e13, "flops": 6e25}
    longer = pd.concat([TABLE, pd.DataFrame([more])], ignore_index=True)
    silent, counted = (Runs(longer.assign(weight=[1.0, 1.0, w]), "by hand") for w in (0.0, 0.1))
    for axis in ("params", "tokens", "flops"):
        assert axis_range(silent, axis) == axis_range(runs_of(), axis)
        assert axis_range(counted, axis)[1] == more[axis]
        assert decades_beyond(silent, **{axis: more[axis]}) > 1
        assert decades_beyond(counted, **{axis: more[axis]}) == 0


def test_without_runs_or_a_column_there_is_no_range(posterior):
    alone = Posterior.of(known_fit(3))
    assert np.isnan(alone.range("params")).all()
    assert np.isnan(alone.beyond(params=[1e9, 1e10], tokens=1e12)).all()
    with pytest.raises(RunsError, match="unique_steps"):
        posterior.range("unique_steps")


def test_k_is_what_the_runs_say_unless_given(posterior):
    assert posterior.k == 6.0
    own = replace(known_fit(3), runs=runs_of(flops=8 * TABLE["params"] * TABLE["tokens"]))
    assert Posterior.of(own).k == pytest.approx(8.0)
    assert Posterior.of(own, 5.0).k == 5.0


def test_it_is_of_one_group_and_decides_by_a_joint_law():
    groups = known_grouped_fit(a={}, b={"A": 500.0})
    with pytest.raises(FitError, match=r"one group at a time.*a, b"):
        Posterior.of(groups)
    one = Posterior.of(groups.of_group("b"))
    assert float(one.natural["A"].mean()) == pytest.approx(500, rel=0.01)
    assert len(one.runs) == 30
    single = constants_fit("power-law", E=1.8, A=400.0, alpha=0.34)
    assert Posterior.of(single).law.name == "power_law"
    with pytest.raises(FitError, match="does not trade params against tokens"):
        Posterior.of_joint_law(single)


def test_loss_optimum_and_least_compute_belong_together(posterior):
    flops = xr.DataArray([1e19, 1e22], dims="flops")
    best = posterior.optimum(flops)
    loss = posterior.isoflop(flops, best)
    np.testing.assert_array_equal(loss, posterior.loss(best, flops / (6 * best)))
    for factor in (0.9, 1.1):
        assert (posterior.isoflop(flops, factor * best) > loss).all()
    reached = posterior.least_compute(loss)
    xr.testing.assert_allclose(reached, (flops + 0 * best).transpose(*reached.dims))
    searched = replace(posterior, law=replace(posterior.law, allocation=Allocation()))
    xr.testing.assert_allclose(searched.optimum(flops), best, rtol=1e-3)
    xr.testing.assert_allclose(searched.least_compute(loss), reached, rtol=1e-6)
    assert np.isinf(searched.least_compute(0.9 * posterior.natural["E"])).all()


def test_rows_are_the_draws_in_their_order(posterior):
    values = {name: draws.to_numpy()[0, :6] for name, draws in posterior.natural.items()}
    two = replace(  # two chains, and dims in another order
        posterior,
        natural={
            n: xr.DataArray(v.reshape(2, 3).T, dims=("draw", "chain")) for n, v in values.items()
        },
        noise={},
    )
    assert two.sizes == {"chain": 2, "draw": 3}
    assert two.rows.natural["A"].shape == (two.number, 1) == (6, 1)
    np.testing.assert_array_equal(two.rows.natural["A"][:, 0], values["A"])
    budgets = np.array([1e19, 1e22])
    found = two.from_rows(
        {"params": two.rows.optimum(budgets), "one": np.ones((6, 1))}, flops=budgets
    )
    assert dict(found.sizes) == {"chain": 2, "draw": 3, "flops": 2}
    asked = xr.DataArray(budgets, dims="flops", coords={"flops": budgets})
    xr.testing.assert_allclose(found["params"], two.optimum(asked).transpose(*found["params"].dims))
    again = two.from_rows({"A": two.to_rows(two.natural["A"])})["A"]
    xr.testing.assert_equal(again, two.natural["A"].transpose("chain", "draw"))
    with pytest.raises(FitError, match="one value a draw of the same fit"):
        two.to_rows(posterior.natural["A"])


def test_noise_may_bring_an_excess(posterior):
    assert posterior.mean_excess is None
    own = {**TRUTH, "R_D": 15.0, "R_N": 5.0, "r_N": -0.3}
    assert Posterior.of(constants_fit("data-constrained", **own)).mean_excess is None
    noise = {"sigma": 0.01, "excess": 0.02, "excess_epochs": 0.8}
    noise |= {"excess_size": 0.7, "excess_interaction": 0.1}
    assert Posterior.of(constants_fit("data-constrained", **own, **noise)).mean_excess is not None


def test_compute_is_allocated_by_what_is_better_lower():
    known = known_fit()
    better = replace(known.spec.law, response=quantity("score", better="higher"))
    score = replace(known, spec=replace(known.spec, law=better, response=better.response))
    assert not score.law.is_joint
    with pytest.raises(FitError, match="says the score of a run; compute is allocated by a loss"):
        Posterior.of_joint_law(score)
