"""The best value of a setting from a sweep, on known answers."""

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.curves.sweep import COLUMNS
from bayescale.laws import bowl

RATES = np.geomspace(1e-4, 1e-2, 9)
NOISE = np.exp(0.002 * np.random.default_rng(0).standard_normal(9))
TRUTH = {"L_min": 3.0, "x_best": 1.2e-3, "curvature": 0.03, "asymmetry": 0.7}


def parabola(best: float, curvature: float = 0.04) -> np.ndarray:
    return 3 * np.exp(curvature / 2 * np.log(RATES / best) ** 2)


@pytest.mark.parametrize("best", [3e-4, 1e-3, 2.3e-3])
def test_the_minimum_of_an_exact_parabola_is_found(best):
    sweep = bs.find_optimum(RATES, parabola(best))
    assert sweep.best["median"] == pytest.approx(best, rel=0.1)
    assert sweep.best["q05"] < best < sweep.best["q95"] < 2 * sweep.best["q05"]
    assert sweep.value["median"] == pytest.approx(3.0, rel=2e-3)
    assert sweep.p_bracketed > 0.97
    reach = np.exp(np.sqrt(2 * np.log1p(0.005) / 0.04))
    np.testing.assert_allclose(sweep.basin, [best / reach, best * reach], rtol=0.2)
    nearest = RATES[np.abs(np.log(RATES / best)).argmin()]
    assert sweep.best_tried == nearest
    assert sweep.cost["median"] == pytest.approx(0.02 * np.log(nearest / best) ** 2, abs=2e-3)
    assert np.isnan(sweep.try_next)


def test_a_wider_basin_reaches_farther():
    narrow, wide = (
        np.log(np.divide(*bs.find_optimum(RATES, parabola(1e-3), within=within).basin[::-1]))
        for within in (0.005, 0.02)
    )
    assert wide == pytest.approx(2 * narrow, rel=0.1)  # a parabola's, of four times the loss


def test_lopsided_bowl_is_not_misplaced_as_a_parabola_misplaces_it():
    loss = bowl(RATES, **{**TRUTH, "asymmetry": 1.3}) * NOISE
    sweep = bs.find_optimum(RATES, loss)
    assert sweep.best["q05"] < TRUTH["x_best"] < sweep.best["q95"]
    curve = np.polyfit(np.log(RATES), np.log(loss), 2)
    assert np.exp(-curve[1] / (2 * curve[0])) < sweep.best["q05"]


@pytest.mark.parametrize(("best", "direction"), [(3e-2, 1), (3e-5, -1)])
def test_a_sweep_that_only_falls_names_a_direction_and_no_interval(best, direction):
    sweep = bs.find_optimum(RATES, parabola(best) * NOISE, axis="learning rate")
    assert sweep.p_bracketed < 0.2
    beyond = sweep.p_above if direction > 0 else sweep.p_below
    assert beyond > 0.8
    known = [*sweep.best.values(), *sweep.value.values(), *sweep.cost.values(), *sweep.basin]
    assert np.isnan(known).all()
    edge = ("largest tried, 0.01", 2e-2) if direction > 0 else ("smallest tried, 0.0001", 5e-5)
    assert f"the best learning rate lies beyond the {edge[0]}, with" in sweep.message
    assert sweep.try_next == pytest.approx(edge[1])
    assert "interval" not in sweep.message
    low, high = np.quantile(sweep.draws["best"], [0.05, 0.95])  # but wide ones there are
    assert high > 2 * low


def test_runs_that_diverged_do_not_bend_the_bowl():
    loss = bowl(RATES, **TRUTH) * NOISE
    clean, broken = bs.find_optimum(RATES[:-1], loss[:-1]), {}
    for value in (np.nan, np.inf, 11.0, 3.9):
        loss[-1] = value
        broken[value] = bs.find_optimum(RATES, loss)
        for end in ("median", "q05", "q95"):
            assert broken[value].best[end] == pytest.approx(clean.best[end], rel=0.25)
    assert "no finite loss at 0.01: taken as diverged" in broken[np.inf].message
    assert broken[11.0].message.endswith("far above the least only bound the bowl")
    assert (broken[np.inf].diverged.sum(), broken[11.0].diverged.sum()) == (1, 0)
    bent = np.polyfit(np.log(RATES), np.log([*loss[:-1], 11.0]), 2)
    assert np.exp(-bent[1] / (2 * bent[0])) < clean.best["q05"]  # what they do to a parabola


def test_an_accuracy_has_the_bowl_of_its_error():
    error = 0.3 * np.exp(0.02 * np.log(RATES / 1e-3) ** 2)
    sweep = bs.find_optimum(RATES, 1 - error, higher_is_better=True)
    assert sweep.best["median"] == pytest.approx(1e-3, rel=0.1)
    assert sweep.value["median"] == pytest.approx(0.7, abs=2e-3)
    assert bs.find_optimum(RATES, error).best == pytest.approx(sweep.best, rel=1e-6)


def test_unit_of_x_and_of_the_loss_and_order_change_nothing():
    loss = bowl(RATES, **TRUTH) * NOISE
    own = bs.find_optimum(RATES, loss)
    other = bs.find_optimum(1e6 * RATES[::-1], 1.44 * loss[::-1])
    assert other.best["median"] == pytest.approx(1e6 * own.best["median"], rel=1e-3)
    assert other.value["q95"] == pytest.approx(1.44 * own.value["q95"], rel=1e-3)
    again = bs.find_optimum(RATES, loss)
    assert again.best == own.best


def test_known_errors_widen_the_interval():
    loss = parabola(1e-3)
    exact = bs.find_optimum(RATES, loss)
    rough = bs.find_optimum(RATES, loss, stderr=np.full(9, 0.1))
    assert np.ptp(np.log(list(rough.best.values()))) > 2 * np.ptp(np.log(list(exact.best.values())))


def test_values_that_cannot_be_are_refused_by_row():
    with pytest.raises(bs.RunsError, match=r"row 2: x is 0"):
        bs.find_optimum([1e-3, 0.0, 1e-2, 2e-2], [3.0, 2.9, 3.1, 3.2])
    with pytest.raises(bs.RunsError, match=r"row 3: -1 has no logarithm"):
        bs.find_optimum([1e-3, 2e-3, 1e-2, 2e-2], [3.0, 2.9, -1.0, np.nan])
    with pytest.raises(bs.RunsError, match="2 different rate with a finite loss make no sweep"):
        bs.find_optimum([1e-3, 2e-3, 3e-3], [3.0, 2.9, np.nan], axis="rate")
    with pytest.raises(bs.RunsError, match="no run has a finite loss"):
        bs.find_optimum([1e-3, 2e-3], [np.nan, np.inf])
    with pytest.raises(bs.BayescaleError, match="within is 0: it is a share of the loss"):
        bs.find_optimum(RATES, parabola(1e-3), within=0.0)


def test_a_table_has_a_row_a_sweep_and_a_message_for_a_bad_one():
    table = pd.concat(
        [
            pd.DataFrame({"lr": RATES, "loss": loss, "width": width, "opt": "adam"})
            for width, loss in (
                (256, parabola(2e-3) * NOISE),
                (512, parabola(1e-3) * NOISE),
                (1024, parabola(3e-2) * NOISE),
            )
        ]
    )
    table = pd.concat([table, table[table["width"] == 512].assign(opt="sgd", loss=0.0)])
    found = bs.find_optima(table, ["width", "opt"], "lr", "loss")
    assert list(found.columns) == list(COLUMNS)
    assert found["sweep"].to_list() == ["256 | adam", "512 | adam", "1024 | adam", "512 | sgd"]
    assert found["best"][0] == pytest.approx(2 * found["best"][1], rel=0.2)
    assert found.loc[1, "best"] == bs.find_optimum(RATES, parabola(1e-3) * NOISE).best["median"]
    assert np.isnan(found.loc[2, "best_q05"])
    assert found.loc[2, "p_above"] > 0.8
    assert found.loc[3, "message"].startswith("rows 28, 29")
    assert found.loc[3, ["best", "p_bracketed", "try_next"]].isna().all()
    assert found["n"].to_list() == [9] * 4
    with pytest.raises(bs.RunsError, match="no column 'lrr'; did you mean 'lr'"):
        bs.find_optima(table, "width", "lrr", "loss")
    with pytest.raises(bs.RunsError, match="no rows"):
        bs.find_optima(table[:0], None, "lr", "loss")
