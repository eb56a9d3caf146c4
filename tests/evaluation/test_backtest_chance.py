"""A backtest judged against chance: runs predicted from one cut share the error of one fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, simulated_table
from scipy import stats

from bayescale import Status, constants_fit, read_runs
from bayescale.evaluation.backtest import Backtest, backtest
from bayescale.evaluation.checks.held_out import backtest_check
from bayescale.evaluation.scores import Chance, score_runs, score_with_chance
from bayescale.laws import chinchilla
from bayescale.posterior.fit import Fit

DRAWS, REPEATS = 300, 60
SIGMA, NU = 0.004, 8.0


def posterior(spread: float, draws: int = DRAWS) -> dict[str, np.ndarray]:
    """Draws of a known posterior, whose level is known to a spread: an error that runs share."""
    drawn = 1 + spread * np.random.default_rng(5).standard_normal(draws)
    shared = {name: TRUTH[name] * drawn for name in ("E", "A", "B")}
    rest = {name: np.full(draws, TRUTH[name]) for name in ("alpha", "beta")}
    return {**shared, **rest, "sigma": np.full(draws, SIGMA), "nu": np.full(draws, NU)}


def known(spread: float) -> Fit:
    return constants_fit("chinchilla", **posterior(spread))


def observed(level: float, noise: float, seed: int) -> pd.DataFrame:
    """Thirty runs of a law whose losses are a level times those of `TRUTH`."""
    table = simulated_table()
    loss = level * chinchilla(table["params"], table["tokens"], **TRUTH)
    scatter = noise * np.random.default_rng(seed).standard_t(NU, len(table))
    return table.assign(loss=loss * np.exp(scatter))


def found(*cuts: tuple[Fit, pd.DataFrame]) -> Backtest:
    """Backtest of given posteriors and later runs, one of each a cut."""
    parts, chances = [], []
    for number, (own, later) in enumerate(cuts):
        rows, chance = score_with_chance(own, read_runs(later), seed=number + 1)
        parts.append(rows.assign(cut=1e19 * 10**number, decades=0.5, law="model", block="next"))
        chances.append(chance)
    table = pd.concat(parts, ignore_index=True).assign(fitted=20, converged=True)
    return Backtest(table, "chinchilla", "flops", chances=tuple(chances))


def p_values(spread: float, noise: float = SIGMA, repeats: int = REPEATS) -> np.ndarray:
    """Chances of tables whose truth is drawn from the posterior itself."""
    own, rng = known(spread), np.random.default_rng(11)
    levels = 1 + spread * rng.standard_normal(repeats)
    tables = [observed(level, noise, seed) for seed, level in enumerate(levels)]
    return np.array([found((own, table)).p_coverage for table in tables])


@pytest.mark.parametrize("spread", [0.0, pytest.param(0.01, marks=pytest.mark.slow)])
def test_chances_of_a_true_model_are_spread_evenly(spread):
    p = p_values(spread)
    for share in (0.05, 0.2, 0.5):  # never rarer than said, but for the steps of a count
        below = int((p <= share).sum())
        assert stats.binomtest(below, REPEATS, share, alternative="greater").pvalue > 0.01
    assert (p < 0.5).mean() > 0.15  # and not always certain
    assert ((p > 0) & (p <= 1)).all()


def test_chances_of_noise_said_too_small_are_rare():
    assert np.median(p_values(0.0, noise=3 * SIGMA, repeats=15)) < 0.01


def binomial(one: Backtest) -> float:
    rows = one.of("model")["inside90"]
    return float(stats.binomtest(int(rows.sum()), len(rows), 0.9, alternative="less").pvalue)


def test_a_shared_error_makes_misses_come_together():
    """Two sds off in a level known to 3%: missed all at once, as of one draw in twenty."""
    far = observed(1.06, SIGMA, 1)
    shared = found((known(0.03), far))
    assert shared.of("model")["inside90"].mean() < 0.2
    assert 0.02 < shared.p_coverage < 0.15
    assert binomial(shared) < 1e-12
    alone = found((known(0.0), far))  # the control: no draw errs as far
    assert alone.p_coverage < 0.001
    noisy = found((known(0.0), observed(1.0, 1.7 * SIGMA, 4)))  # nothing is shared: binomial
    assert noisy.p_coverage == pytest.approx(binomial(noisy), abs=0.03)


def test_misses_from_every_cut_are_rarer_than_from_one():
    one = (known(0.03), observed(1.06, SIGMA, 1))
    assert found(one, one, one).p_coverage < 0.3 * found(one).p_coverage


def test_cuts_of_other_numbers_of_draws_are_taken_together():
    """Fits that predict very many runs keep fewer draws."""
    fewer = constants_fit("chinchilla", **posterior(0.01, draws=100))
    both = found((known(0.01), observed(1.0, SIGMA, 1)), (fewer, observed(1.0, SIGMA, 2)))
    assert [len(chance.inside) for chance in both.chances] == [300, 100]
    assert both.p_coverage > 0.05


def test_chance_is_that_of_single_draws():
    own, later = known(0.01), read_runs(observed(1.0, SIGMA, 3))
    rows, chance = score_with_chance(own, later)
    pd.testing.assert_frame_equal(rows, score_runs(own, later))
    assert chance.inside.mean() / len(rows) == pytest.approx(0.9, abs=0.005)
    assert chance.error.std() == pytest.approx(0.01, rel=0.1)  # noise averages out
    assert chance.inside.std() > 3 * np.sqrt(len(rows) * 0.9 * 0.1)
    _, alone = score_with_chance(known(0.0), later)
    assert alone.error.std() == pytest.approx(SIGMA * np.sqrt(NU / (NU - 2) / 30), rel=0.15)
    assert alone.inside.std() == pytest.approx(np.sqrt(30 * 0.9 * 0.1), rel=0.2)


def biased(errors: list[float], sd: float = 0.002) -> Backtest:
    """Cuts whose runs lie off the median by given errors, all inside intervals."""
    rng = np.random.default_rng(1)
    parts = [
        found((known(0.01), observed(1.0, SIGMA, 1)))
        .table.assign(cut=1e19 * 10**cut, error=error, inside90=True)
        .iloc[:10]
        for cut, error in enumerate(errors)
    ]
    chances = [Chance(np.full(300, 9), sd * rng.standard_normal(300)) for _ in errors]
    table = pd.concat(parts, ignore_index=True)
    return Backtest(table, "chinchilla", "flops", chances=tuple(chances))


@pytest.mark.parametrize(
    ("errors", "sd", "bias"),
    [
        ([0.01, 0.008, 0.012], 0.002, 0.01),
        ([-0.01, -0.008, -0.012], 0.002, -0.01),
        ([0.01, 0.012], 0.002, 0.0),  # of two cuts the sign tells nothing
        ([0.01, -0.008, 0.012], 0.002, 0.0),  # of both signs
        ([0.01, 0.008, 0.012], 0.02, 0.0),  # as far as one fit errs by chance
        ([0.01, 0.0005, 0.0005, 0.01], 0.002, 0.00525),  # rare in half of the cuts
        ([0.01, 0.0005, 0.0005, 0.0005], 0.002, 0.0),
    ],
)
def test_bias_is_of_one_sign_in_every_cut_and_beyond_chance(errors, sd, bias):
    assert biased(errors, sd).bias == pytest.approx(bias)


def test_a_bias_fails_and_is_said():
    check = backtest_check(biased([0.01, 0.008, 0.012]))
    assert check.status is Status.FAIL
    assert "held 30 of 30 predictions (100%)" in check.message
    assert "from every cut larger runs lay above the median, by 1.0% (p = 1 were" in check.message
    assert "lies to one side" in check.advice
    assert "below the median" in backtest_check(biased([-0.01] * 3)).message
    for fine in ([0.01, 0.012], [0.001, 0.001, 0.001]):  # two cuts; too small to matter
        check = backtest_check(biased(fine, sd=1e-4))
        assert check.status is Status.PASS
        assert "from every cut" not in check.message
        assert check.advice == ""


@pytest.mark.parametrize(
    ("inside", "status"), [(30, Status.PASS), (24, Status.REVIEW), (20, Status.FAIL)]
)
def test_a_coverage_that_is_rare_is_doubted(inside, status):
    one = biased([0.0, 0.0, 0.0])
    simulated = np.repeat([10, 9, 8, 7, 6], [500, 300, 140, 40, 20])
    held = np.arange(30) < inside
    doubtful = replace(
        one,
        table=one.table.assign(inside90=held),
        chances=tuple(Chance(simulated, chance.error) for chance in one.chances),
    )
    check = backtest_check(doubtful)
    assert check.status is status, str(check)
    assert check.statistic == doubtful.p_coverage
    assert f"held {inside} of 30 predictions" in check.message
    assert "were the model true" in check.message
    assert bool(check.advice) == (status is not Status.PASS)


@pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning")
def test_cuts_in_any_order_have_chances_of_their_own():
    """Sorted, so that errors by cut stand beside what chance does to them."""
    runs, quick = read_runs(simulated_table()), {"draws": 100, "tune": 300, "chains": 2}
    one = backtest(runs, "chinchilla", cuts=[1e21, 2e20], **quick)
    assert [len(part) for _, part in one.table.groupby("cut")] == [12, 6]
    assert [round(float(np.quantile(chance.inside, 1.0))) for chance in one.chances] == [12, 6]
