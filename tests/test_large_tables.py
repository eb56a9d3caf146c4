"""Tables of many rows: worked through in parts, by fewer draws, and with the same results."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, simulated_table

from bayescale import Fit, Runs, load_model, log_likelihood, plots, read_runs, residuals
from bayescale.decisions.approaches import envelope
from bayescale.errors import RunsError
from bayescale.evaluation.checks import refits as refitting
from bayescale.evaluation.checks.influence import left_out, outlying_checks
from bayescale.evaluation.checks.predictive import residual_checks
from bayescale.evaluation.checks.refits import refits
from bayescale.evaluation.cross_validation import _importance_sampling
from bayescale.evaluation.scores import score_runs
from bayescale.modelling.noise import NOISE, StudentT


def scattered(rows: int, *, noise: float = 0.01) -> pd.DataFrame:
    """Runs of all sizes, each with tokens of its own."""
    rng = np.random.default_rng(4)
    params, tokens = 10 ** rng.uniform(7, 10, rows), 10 ** rng.uniform(9, 12, rows)
    loss = TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"]
    loss = loss + TRUTH["B"] * tokens ** -TRUTH["beta"]
    loss = loss * np.exp(noise * rng.standard_normal(rows))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def posterior_of(table: pd.DataFrame, *, draws: int = 100, spread: float = 1e-3) -> Fit:
    """A fake posterior around TRUTH, two chains of draws."""
    rng, tree = np.random.default_rng(7), {"sample_stats": xr.Dataset()}
    tree["posterior"] = xr.Dataset(
        {
            parameter: (("chain", "draw"), value * np.exp(spread * rng.normal(size=(2, draws))))
            for parameter, value in {**TRUTH, "sigma": 0.01, "nu": 8.0}.items()
        }
    )
    return Fit(load_model("chinchilla"), read_runs(table), xr.DataTree.from_dict(tree))


def limits(monkeypatch, *, at_once: int, values: int, draws: int) -> None:
    monkeypatch.setattr("bayescale.posterior.prediction._AT_ONCE", at_once)
    monkeypatch.setattr("bayescale.posterior.prediction.MOST_VALUES", values)
    monkeypatch.setattr("bayescale.posterior.prediction.ENOUGH_DRAWS", draws)


ROWS = 20_000
BOUND = 40e6  # bytes; one array of 200 draws at all rows has 32e6


@pytest.fixture(scope="module")
def large() -> Fit:
    return posterior_of(scattered(ROWS), spread=1e-4)


def newer(fitted: Fit) -> Runs:
    """As many runs, half of them beyond those of the fit."""
    table = fitted.runs.table
    return replace(fitted.runs, table=table.assign(tokens=2.0 * table["tokens"]))


def by_envelope(fitted: Fit) -> None:
    with pytest.raises(RunsError, match="are the best somewhere"):
        envelope(fitted.runs, 1e22, curve="params")


ASKED: dict[str, Callable[[Fit], object]] = {
    "residuals": residuals,
    "scores of new runs": lambda fitted: score_runs(fitted, newer(fitted)),
    "refits": refits,
    "leaving out": left_out,
    "cross-validation": _importance_sampling,
    "envelope": by_envelope,
}


def peak_of(ask: Callable[[Fit], object], fitted: Fit) -> int:
    tracemalloc.start()
    try:
        ask(fitted)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ASKED)
def test_no_array_of_all_draws_at_all_rows_is_made(name, large, monkeypatch):
    limits(monkeypatch, at_once=150_000, values=2_000_000, draws=100)
    monkeypatch.setattr(refitting, "FEWEST_SIMULATIONS", 100)
    monkeypatch.setattr(refitting, "MOST_SHOWN", 500)
    assert peak_of(ASKED[name], large) < BOUND


def test_without_parts_the_memory_would_exceed_its_bound(large, monkeypatch):
    limits(monkeypatch, at_once=10**9, values=10**9, draws=200)
    assert peak_of(residuals, large) > 2 * BOUND


class Repeatable(StudentT):
    """Noise that depends on the run and on the number of the draw, not on what was drawn before."""

    def draw(self, rng, mu, scale, values, inputs):
        number = np.arange(mu[..., 0].size).reshape(mu.shape[:-1])
        phase = 1e3 * np.log(inputs["params"].to_numpy()) + 2.4 * number[..., None]
        return mu + scale * mu.copy(data=1.5 * np.sin(phase))


@pytest.fixture
def few(monkeypatch) -> Fit:
    monkeypatch.setitem(NOISE, "StudentT", Repeatable())
    table = scattered(30)
    table.loc[7, "loss"] *= 1.04
    return posterior_of(table, spread=1e-3)


def everything(fitted: Fit) -> dict[str, np.ndarray]:
    refit, elpd = refits(fitted), _importance_sampling(fitted)
    return {
        "log likelihood": log_likelihood(fitted).to_numpy(),
        "residuals": residuals(fitted).select_dtypes("number").to_numpy(),
        "beyond": residuals(fitted, newer(fitted)).select_dtypes("number").to_numpy(),
        "scores": score_runs(fitted, newer(fitted)).select_dtypes("number").to_numpy(),
        "simulated": refit.simulated,
        "normal scores": refit.scores,
        "every": refit.every.select_dtypes("number").to_numpy(),
        "farthest": refit.farthest,
        **{name: left_out(fitted)[name].to_numpy() for name in ("pareto_k", "pit", "shift")},
        "elpd": elpd.elpd_i.to_numpy(),
        "k": elpd.pareto_k.to_numpy(),
        "totals": np.array([elpd.elpd, elpd.se, elpd.p, elpd.n_data_points]),
    }


def test_parts_of_seven_rows_give_what_the_whole_table_gives(few, monkeypatch):
    whole = everything(few)
    limits(monkeypatch, at_once=7 * 200, values=10**9, draws=200)
    for name, values in everything(few).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_large_tables_are_asked_by_fewer_whole_draws(few, monkeypatch):
    from bayescale.posterior.prediction import thinned

    assert thinned(few, 30) is few
    limits(monkeypatch, at_once=10**9, values=200 * 30 - 1, draws=40)
    fewer = thinned(few, 30)
    assert dict(fewer.posterior.sizes) == {"chain": 2, "draw": 20}
    for chain in range(2):
        kept, drawn = (own.posterior["A"].isel(chain=chain).to_numpy() for own in (fewer, few))
        places = [int(np.flatnonzero(drawn == value)[0]) for value in kept]
        assert (np.array(places) // 5 == np.arange(20)).all()  # one of each five, in order
    assert thinned(fewer, 30) is fewer
    assert log_likelihood(few).sizes["draw"] == 100  # asked for all draws, it gives all


def test_fewer_draws_say_the_same_up_to_chance(large, monkeypatch):
    fitted = replace(large, runs=replace(large.runs, table=large.runs.table.head(100)))
    exact, density = residuals(fitted), _importance_sampling(fitted)
    limits(monkeypatch, at_once=10_000, values=1, draws=100)
    rough, other = residuals(fitted), _importance_sampling(fitted)
    assert other.n_samples == 100
    np.testing.assert_allclose(rough["fitted"], exact["fitted"], rtol=3e-4)
    assert not rough["fitted"].equals(exact["fitted"])
    width = np.log(exact["predicted_q95"] / exact["predicted_q05"]).mean()
    assert np.log(rough["predicted_q95"] / rough["predicted_q05"]).mean() == pytest.approx(
        width, rel=0.05
    )
    assert other.elpd == pytest.approx(density.elpd, abs=1.5)


def test_weights_that_hardly_differ_need_no_smoothing(few, monkeypatch):
    exact = left_out(few)
    limits(monkeypatch, at_once=10_000, values=1, draws=200)
    large = left_out(few)
    smoothed = large["pareto_k"].to_numpy() != 0
    assert smoothed[7]
    assert 0 < smoothed.sum() < 25
    np.testing.assert_array_equal(large["pareto_k"][smoothed], exact["pareto_k"][smoothed])
    np.testing.assert_array_equal(large["shift"][smoothed], exact["shift"][smoothed])
    np.testing.assert_allclose(large["shift"], exact["shift"], atol=0.002)
    np.testing.assert_allclose(large["pit"], exact["pit"], atol=0.001)
    assert np.abs(exact["shift"][~smoothed]).max() > 0.02  # ten times what may differ


def test_run_of_hardly_any_weight_can_be_left_out():
    table = scattered(60).assign(weight=1.0)
    table.loc[3, "weight"] = 1e-13
    found = left_out(posterior_of(table))
    assert found["shift"][3] == pytest.approx(0, abs=1e-12)
    assert found["pareto_k"][3] == 0
    assert np.isnan(found["pit"][3])
    assert np.abs(found["shift"]).min() < np.abs(found["shift"][4])


def test_outlier_is_found_among_cells_that_are_not_shown(monkeypatch):
    monkeypatch.setattr(refitting, "MOST_SHOWN", 20)
    table = scattered(60)
    fitted = posterior_of(table)
    shown = refits(fitted)
    assert (len(shown.cells), len(shown.residual), len(shown.every)) == (20, 20, 60)
    assert shown.simulated.shape[1] == shown.scores.shape[1] == 20
    hidden = next(row for row in table.index if row not in shown.cells.index)
    table.loc[hidden, "loss"] *= 1.15
    fitted = posterior_of(table)
    refit = refits(fitted)
    assert hidden not in refit.cells.index
    outlying, *_ = outlying_checks(fitted, refit)
    assert f"run-{hidden + 1} (+1" in outlying.message
    centring = residual_checks(refit, fitted.spec)[0]
    assert "by 20 of 60, chosen at random" in centring.message
    monkeypatch.undo()
    assert "chosen at random" not in residual_checks(refits(fitted), fitted.spec)[0].message


def test_predicted_runs_are_counted_though_not_all_are_drawn(monkeypatch):
    made = known_fit()
    table = residuals(made, read_runs(simulated_table()))
    axis = plots.plot_predicted(made, table).axes[0]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert "drawn" not in axis.get_title(loc="left")
    monkeypatch.setattr("bayescale.plots.fits.MOST_BARS", 10)
    fewer = plots.plot_predicted(made, table).axes[0]
    assert [text.get_text() for text in fewer.get_legend().get_texts()] == labels
    assert "(10 of 30 runs drawn)" in fewer.get_title(loc="left")
    drawn = sum(len(bars[0].get_xdata()) for bars in fewer.containers)
    assert drawn == 10


def test_runs_held_back_are_listed_up_to_a_number(monkeypatch):
    from bayescale.report.page import _held_out_section

    held = read_runs(simulated_table(seed=2))
    part = _held_out_section(posterior_of(scattered(60)), held)
    assert len(part.table) == 30
    assert "summary.json" not in part.text
    monkeypatch.setattr("bayescale.report.page.MOST_LISTED", 12)
    part = _held_out_section(posterior_of(scattered(60)), held)
    assert len(part.table) == 12
    assert "18 more than are listed here are in summary.json" in part.text


def test_cuts_of_a_table_that_cannot_be_cut_are_not_all_tried(monkeypatch):
    from bayescale.evaluation import folds as cuts

    table = scattered(400)
    table["params"] = np.where(table.index % 2, 1e8, 1e9)  # two sizes identify no exponent
    tried = []
    split = cuts._split
    monkeypatch.setattr(cuts, "_split", lambda *of: tried.append(of[-1]) or split(*of))
    with pytest.raises(RunsError, match="no cut in flops leaves enough runs"):
        cuts.choose_cuts(read_runs(table), load_model("chinchilla"))
    assert 50 < len(tried) <= 100 * len(cuts.WINDOWS)
    tried.clear()
    monkeypatch.setattr(cuts, "_MOST_TRIED", 5)
    with pytest.raises(RunsError, match="no cut in flops leaves enough runs"):
        cuts.choose_cuts(read_runs(table), load_model("chinchilla"))
    assert len(tried) <= 5 * len(cuts.WINDOWS)
