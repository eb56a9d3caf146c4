"""Rows of one run are autocorrelated: how many they are worth, and which stay."""

import numpy as np
import pandas as pd
import pytest
from checkpoints import estimate
from conftest import TRUTH

from bayescale import read_runs
from bayescale.errors import RunsError
from bayescale.runs.checkpoints import MOST_OF_A_RUN, effective_rows, thin

RUNS, ROWS = 36, 200


def autoregressive(phi: float, *, runs: int = RUNS, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    """Errors of sd 1 with the autocorrelation phi^k at a lag of k rows."""
    rng = np.random.default_rng(seed)
    errors = rng.standard_normal((runs, rows))
    for row in range(1, rows):
        errors[:, row] = phi * errors[:, row - 1] + np.sqrt(1 - phi**2) * errors[:, row]
    return errors


def logs(
    errors: np.ndarray, *, first: float = 0.1, sd: float = 0.01, ends: tuple = (1e10, 1e12)
) -> pd.DataFrame:
    """Checkpoints of runs on a grid of sizes and tokens, the same number of each run."""
    runs, rows = errors.shape
    side = int(np.ceil(np.sqrt(runs)))
    params = np.repeat(np.geomspace(1e7, 1e10, side), side)[:runs, None] + np.zeros(rows)
    tokens = np.tile(np.geomspace(*ends, side), side)[:runs, None]
    tokens = tokens * np.linspace(first, 1, rows)
    loss = TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"]
    loss = (loss + TRUTH["B"] * tokens ** -TRUTH["beta"]) * np.exp(sd * errors)
    columns = {"params": params.ravel(), "tokens": tokens.ravel(), "loss": loss.ravel()}
    return pd.DataFrame({"run": np.repeat([f"r{i}" for i in range(runs)], rows), **columns})


def worth(correlation: np.ndarray) -> float:
    """What n rows of a known autocorrelation are worth, n / (sum of all correlations / n)."""
    lag = np.abs(np.subtract.outer(*[np.arange(len(correlation))] * 2))
    return len(correlation) ** 2 / correlation[lag].sum()


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.99])
def test_worth_of_a_known_autocorrelation_is_found(phi):
    errors = autoregressive(phi, runs=400)
    found = effective_rows(errors.ravel(), np.repeat(np.arange(400), ROWS))
    assert found == pytest.approx(worth(phi ** np.arange(ROWS)), rel=0.15)


def test_error_that_a_whole_run_shares_counts_as_correlation():
    """Half of the variance is of the run: 200 rows are worth 2, less what noise of rows takes."""
    errors = autoregressive(0.0, runs=400)
    shared = errors + np.random.default_rng(1).standard_normal((400, 1))
    found = effective_rows(shared.ravel(), np.repeat(np.arange(400), ROWS))
    assert found == pytest.approx(worth(np.where(np.arange(ROWS) == 0, 1, 0.5)), rel=0.15)


def test_runs_of_unequal_length_and_errors_of_zero():
    run = np.repeat([0, 1, 2], [1, 5, 9])
    assert effective_rows(np.zeros(15), run) == 5
    assert 1 <= effective_rows(np.random.default_rng(0).standard_normal(15), run) <= 5


def test_smooth_misfit_of_the_surface_does_not_pass_for_independent_rows():
    """Errors of mean 0 in every run, alike in all: their mean is 0, and they are no news."""
    wave = np.sin(np.linspace(0, 2 * np.pi, ROWS, endpoint=False))
    errors = np.tile(wave, (50, 1)) + 0.1 * autoregressive(0.0, runs=50)
    assert effective_rows(errors.ravel(), np.repeat(np.arange(50), ROWS)) < 5


def test_strongly_autocorrelated_logs_leave_the_last_rows():
    table = logs(autoregressive(0.999, seed=3))
    kept = read_runs(table, mid_schedule="keep")
    last = read_runs(table, mid_schedule="keep", last_per="run")
    pd.testing.assert_frame_equal(kept.table, last.table)
    assert any("of each run the last stays (7164 left out)" in line for line in kept.ledger)
    assert not any(one.name == "repeated run names" for one in kept.notices)


def test_what_stays_of_a_run_counts_as_one():
    table = logs(autoregressive(0.9))
    kept = read_runs(table, mid_schedule="keep").table
    each = kept.groupby("run")
    assert each.size().max() in range(3, MOST_OF_A_RUN + 1)
    np.testing.assert_allclose(each["weight"].sum(), 1)
    assert (each["tokens"].max() == table.groupby("run")["tokens"].max()).all()
    gaps = kept.index.to_series().groupby(kept["run"]).diff().dropna()
    assert gaps.min() >= ROWS / MOST_OF_A_RUN
    rows = read_runs(table, mid_schedule=0.5).table.groupby("run")["weight"].sum()
    np.testing.assert_allclose(rows, 1)  # nothing marks rows: none is weighed down


def test_no_row_stays_from_before_the_first_run_ended():
    table = logs(autoregressive(0.9))
    ends, kept = table.groupby("run")["tokens"].max(), read_runs(table, mid_schedule="keep")
    assert kept.table["tokens"].min() == ends.min() > 5 * table["tokens"].min()
    assert any("evenly in log tokens from 10B on, which" in line for line in kept.ledger)


def test_where_all_runs_end_alike_rows_before_their_ends_stay():
    """Ends within a factor of two say nothing of tokens: no more would be left to tell it."""
    alike = read_runs(logs(autoregressive(0.9), ends=(1e11, 1.9e11)), mid_schedule="keep").table
    assert alike.groupby("run").size().min() > 2
    assert alike["tokens"].min() < 1e11 / 4
    apart = read_runs(logs(autoregressive(0.9), ends=(1e11, 2.1e11)), mid_schedule="keep").table
    assert apart["tokens"].min() == 1e11


def test_marked_rows_keep_their_weight_beside_that_of_thinning():
    table = logs(autoregressive(0.9))
    table["finished"] = ~table.duplicated("run", keep="last")
    kept = read_runs(table, mid_schedule=0.1).table
    many = kept.groupby("run")["loss"].transform("size")
    np.testing.assert_allclose(kept["weight"] * many, np.where(kept["finished"], 1, 0.1))


def test_independent_rows_are_left_alone():
    table = logs(autoregressive(0.0))
    kept = read_runs(table, mid_schedule="keep")
    assert len(kept) == len(table)
    assert "weight" not in kept.table
    assert any(f"{RUNS * ROWS} rows of {RUNS} runs kept" in line for line in kept.ledger)


def test_order_of_the_table_does_not_matter():
    table = logs(autoregressive(0.9))
    kept = read_runs(table, mid_schedule="keep").table
    mixed = read_runs(table.sample(frac=1, random_state=1), mid_schedule="keep").table
    pd.testing.assert_frame_equal(
        kept.sort_values(["run", "tokens"], ignore_index=True),
        mixed.sort_values(["run", "tokens"], ignore_index=True),
    )


@pytest.mark.filterwarnings("ignore:repeated run names")
def test_thinning_is_asked_for_or_refused():
    table = logs(autoregressive(0.9)).rename(columns={"run": "name"})
    plain = read_runs(table.assign(finished=True), mid_schedule="keep")
    assert len(plain) == len(table)  # nothing says which run a row is of
    by_name = read_runs(table, thin_per="name")
    assert len(by_name) < len(table) / 20
    named = read_runs(table, {"run": "name"}, mid_schedule="keep")
    assert len(named) == len(by_name)
    assert len(read_runs(table, {"run": "name"}, mid_schedule="keep", thin_per=())) == len(table)
    with pytest.raises(RunsError, match="seed is no column"):
        read_runs(table, thin_per=["name", "seed"])


@pytest.mark.filterwarnings("ignore:repeated run names")
def test_few_runs_cannot_be_measured():
    table = logs(autoregressive(0.9, runs=5))
    assert len(read_runs(table, mid_schedule="keep")) == len(table)
    with pytest.raises(RunsError, match="5 runs are too few") as refused:
        read_runs(table, thin_per="run")
    assert "--last-per run" in str(refused.value)
    assert len(read_runs(table, last_per="run")) == 5


def test_losses_alone_are_thinned():
    table = logs(autoregressive(0.9)).rename(columns={"loss": "steps_needed"})
    with pytest.raises(RunsError, match="thinned by their losses"):
        read_runs(table, thin_per="run", response="steps_needed")


def widths(table: pd.DataFrame) -> np.ndarray:
    """Standard errors of E and alpha by weighted least squares of log loss."""
    return estimate(table)[1][[0, 3]]


@pytest.mark.filterwarnings("ignore:repeated run names")
@pytest.mark.parametrize("phi", [0.99, 0.9])
def test_autocorrelated_logs_give_no_narrower_an_interval_than_their_last_rows(phi):
    """In the median of a few tables; without thinning the intervals are 10 times as narrow."""
    ratio = []
    for seed in range(3):
        table = logs(autoregressive(phi, seed=seed))
        last = widths(read_runs(table, mid_schedule="keep", last_per="run").table)
        kept = widths(read_runs(table, mid_schedule="keep").table)
        every = widths(read_runs(table, mid_schedule="keep", thin_per=()).table)
        ratio.append([kept / last, every / last])
    thinned, whole = np.median(ratio, axis=0)
    assert (whole < 0.15).all()
    assert (thinned > 0.95).all()


def test_table_without_a_place_of_its_rows_is_refused():
    table = logs(autoregressive(0.9)).drop(columns="tokens")
    with pytest.raises(RunsError, match="neither tokens nor steps"):
        thin(table, ["run"])
