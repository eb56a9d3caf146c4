from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayescale import Runs, compute_optimal, constants_fit
from bayescale.approaches import envelope, parabola_bias
from bayescale.errors import FitError, RunsError
from bayescale.laws import chinchilla

HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
A = HOFFMANN["beta"] / (HOFFMANN["alpha"] + HOFFMANN["beta"])
SIZES = np.geomspace(2e7, 5e9, 9)
BUDGETS = np.geomspace(1e17, 1e21, 5)


def runs_of(params, flops, run, **law) -> Runs:
    law = {**HOFFMANN, **law}
    tokens = flops / (6 * params)
    loss = law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]
    columns = {"run": run, "params": params, "tokens": tokens, "flops": flops, "loss": loss}
    return Runs(pd.DataFrame(columns), "simulated")


def training_curves(sizes=SIZES, last=1e23) -> Runs:
    """Checkpoints of one run for each size, every run over the same compute."""
    flops, size = np.meshgrid(np.geomspace(1e16, last, 200), sizes)
    return runs_of(size.ravel(), flops.ravel(), np.repeat(np.arange(len(sizes)), 200))


def isoflop_grid(width, points=15, budgets=BUDGETS, **law) -> Runs:
    """Sizes from 1/width to width times the compute-optimal one, on each budget."""
    optimum = compute_optimal(constants_fit("chinchilla", **{**HOFFMANN, **law}), list(budgets))
    step = np.geomspace(1 / width, width, points)
    params = (optimum["params"].to_numpy().ravel()[:, None] * step).ravel()
    return runs_of(params, np.repeat(budgets, points), np.arange(len(params)), **law)


# ---- Approach 1


def test_envelope_finds_the_allocation_of_a_known_law():
    found = envelope(training_curves(), [1e20, 1e24], seed=3)
    truth = compute_optimal(constants_fit("chinchilla", **HOFFMANN), [1e20, 1e24])
    assert found["a"].mean() == pytest.approx(A, abs=0.01)
    np.testing.assert_allclose(found["b"], 1 - found["a"])
    ratio = found["params"].median(("chain", "draw")) / truth["params"].squeeze(drop=True)
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    compute = 6 * found["params"] * found["tokens"]
    np.testing.assert_allclose(compute, found["flops"].broadcast_like(compute))
    assert found["params"].dims == ("chain", "draw", "flops")


def test_points_lie_on_the_envelope_without_the_ends():
    found = envelope(training_curves(), 1e20)
    np.testing.assert_allclose(found["size_params"], SIZES[1:-1])
    best = compute_optimal(constants_fit("chinchilla", **HOFFMANN), found["size_flops"].values)
    excess = found["size_loss"].to_numpy() / best["loss"].to_numpy().ravel() - 1
    assert ((excess > -1e-9) & (excess < 1e-3)).all()


def test_curve_that_ends_early_gives_no_point():
    whole = training_curves()
    size = SIZES[4]
    crossing = float(envelope(whole, 1e20)["size_flops"][3])  # where SIZES[4] is the best
    cut = whole.table[(whole.table["params"] != size) | (whole.table["flops"] < crossing)]
    left = envelope(Runs(cut, "cut short"), 1e20)["size_params"].to_numpy()
    # Its larger neighbour takes over where the curve ends, not where the curves cross.
    np.testing.assert_allclose(left, SIZES[[1, 2, 3, 6, 7]])


def test_best_of_several_runs_of_a_size_counts():
    good, bad = training_curves(), training_curves().table
    bad = bad.assign(run=bad["run"] + 100, loss=bad["loss"] * 1.1)
    both = Runs(pd.concat([bad, good.table], ignore_index=True), "two schedules")
    assert envelope(both, 1e22).equals(envelope(good, 1e22))


def test_final_losses_of_equal_sizes_can_be_joined():
    table = training_curves().table
    table = table.assign(run=np.arange(len(table)))
    with pytest.raises(RunsError, match=r"0 sizes .* or join equal sizes with curve='params'"):
        envelope(Runs(table, "one row a run"), 1e20)
    joined = envelope(Runs(table, "one row a run"), 1e20, curve="params")
    assert joined.equals(envelope(training_curves(), 1e20))


def test_posterior_of_the_line_is_the_conjugate_one():
    found = envelope(training_curves(), 1e20, draws=100_000)
    x, y = np.log(found["size_flops"].to_numpy()), np.log(found["size_params"].to_numpy())
    line = stats.linregress(x, y)
    squares = ((y - line.intercept - line.slope * x) ** 2).sum() + 2 * 0.1**2
    scale = np.sqrt(squares / len(x) / ((x - x.mean()) ** 2).sum())
    expected = stats.t(len(x), line.slope, scale)  # n - 2 + 2 degrees of freedom
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(
        np.quantile(found["a"], quantiles), expected.ppf(quantiles), atol=scale / 20
    )


def test_same_seed_gives_same_draws():
    runs = training_curves()
    assert envelope(runs, 1e22, seed=5).equals(envelope(runs, 1e22, seed=5))
    assert not envelope(runs, 1e22, seed=5).equals(envelope(runs, 1e22, seed=6))


def test_too_few_sizes_on_the_envelope_are_refused():
    assert envelope(training_curves(SIZES[:6]), 1e20)["size_params"].size == 4
    with pytest.raises(RunsError, match=r"3 sizes of model .* 4 are needed: add checkpoints"):
        envelope(training_curves(SIZES[:5]), 1e20)


def test_missing_columns_and_bad_budgets_are_refused():
    runs = training_curves()
    with pytest.raises(RunsError, match="no column 'series' tells the training curves apart"):
        envelope(runs, 1e20, curve="series")
    with pytest.raises(RunsError, match="needs the column 'flops'"):
        envelope(Runs(runs.table.drop(columns="flops"), "no compute"), 1e20)
    with pytest.raises(FitError, match="must be positive"):
        envelope(runs, [1e20, -1.0])


# ---- Approach 2


def bias(width, **law) -> float:
    """Relative error of D* at 1e24 FLOPs."""
    fit = constants_fit("chinchilla", **{**HOFFMANN, **law})
    return float(parabola_bias(fit, 1e24, runs=isoflop_grid(width, **law))["tokens_error"].item())


@pytest.mark.parametrize(("width", "error"), [(2, -0.0033), (4, -0.013), (8, -0.029), (16, -0.051)])
def test_parabolas_have_the_published_bias(width, error):
    assert bias(width) == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize(("width", "error"), [(2, -0.0167), (16, -0.231)])
def test_bias_grows_with_the_difference_of_the_exponents(width, error):
    assert bias(width, alpha=0.465, beta=0.155) == pytest.approx(error, abs=1e-3)


def test_symmetric_curves_have_no_bias_and_mirrored_ones_the_opposite():
    assert bias(8, alpha=0.31, beta=0.31) == pytest.approx(0, abs=1e-9)
    steep = bias(8, alpha=0.465, beta=0.155)
    assert 1 / (1 + bias(8, alpha=0.155, beta=0.465)) - 1 == pytest.approx(steep, abs=1e-6)


def test_bias_is_that_of_a_least_squares_parabola_and_line():
    runs = isoflop_grid(5, points=6)
    found = parabola_bias(constants_fit("chinchilla", **HOFFMANN), [1e22, 1e24], runs=runs)
    minima = []
    for _, rows in runs.table.groupby("flops"):
        square, slope, _ = np.polyfit(np.log(rows["params"]), rows["loss"], 2)
        minima.append(-slope / (2 * square))
    truth = compute_optimal(constants_fit("chinchilla", **HOFFMANN), [*BUDGETS, 1e22, 1e24])
    log_best = np.log(truth["params"].to_numpy().ravel())
    np.testing.assert_allclose(found["log_error"].squeeze(), minima - log_best[:5], atol=1e-6)
    a, level = np.polyfit(np.log(BUDGETS), minima, 1)
    assert found["a"].item() == pytest.approx(a, abs=1e-7)
    expected = np.exp(level + a * np.log([1e22, 1e24]) - log_best[5:]) - 1
    np.testing.assert_allclose(found["params_error"].squeeze(), expected, atol=1e-5)
    np.testing.assert_allclose((1 + found["params_error"]) * (1 + found["tokens_error"]), 1)


def test_every_draw_has_its_own_bias():
    alpha = np.array([0.31, 0.34, 0.465])
    fit = constants_fit("chinchilla", **{**HOFFMANN, "alpha": alpha, "beta": 0.62 - alpha})
    found = parabola_bias(fit, 1e24, runs=isoflop_grid(8))
    assert found["log_error"].dims == ("chain", "draw", "budget")
    assert found["log_error"].shape == (1, 3, 5)
    one = constants_fit("chinchilla", **HOFFMANN)
    alone = parabola_bias(one, 1e24, runs=isoflop_grid(8))["tokens_error"].item()
    assert found["tokens_error"].isel(draw=1).item() == pytest.approx(alone)


def test_parabola_without_a_minimum_is_not_a_number():
    fit = constants_fit("chinchilla", **HOFFMANN)
    bent_down = replace(fit.spec.law, loss=lambda *at, **law: 9 - chinchilla.loss(*at, **law))
    odd = replace(fit, spec=replace(fit.spec, law=bent_down))
    for name, values in parabola_bias(odd, 1e24, runs=isoflop_grid(4)).items():
        assert values.isnull().all(), name
        assert parabola_bias(fit, 1e24, runs=isoflop_grid(4))[name].notnull().all()


def test_tables_without_isoflop_curves_are_refused():
    fit, one = constants_fit("chinchilla", **HOFFMANN), isoflop_grid(4, budgets=BUDGETS[:1])
    with pytest.raises(RunsError, match="1 isoFLOP budgets have runs of three sizes"):
        parabola_bias(fit, 1e24, runs=one)
    with pytest.raises(RunsError, match="0 isoFLOP budgets"):
        parabola_bias(fit, 1e24)  # constants come without runs


def test_law_without_an_allocation_is_refused():
    fit = constants_fit("power-law-tokens", E=1.7, A=400.0, alpha=0.3)
    with pytest.raises(FitError, match="does not trade params against tokens"):
        parabola_bias(fit, 1e24, runs=isoflop_grid(4))
