from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_grouped_fit
from scipy import stats

from bayescale import (
    Fit,
    Runs,
    answer_optima,
    basin,
    compute_optimal,
    constants_fit,
    fit,
    load_model,
    summarise,
)
from bayescale.decisions.approaches import (
    compare_approaches,
    envelope,
    minima,
    on_isoflops,
    parabola_bias,
    profile_optima,
)
from bayescale.decisions.next_runs import log_optimum
from bayescale.errors import FitError, RunsError
from bayescale.laws import chinchilla
from bayescale.modelling.pooling import group_names

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


def test_sizes_measured_once_are_on_no_curve():
    table = training_curves().table
    inside = table[table["flops"].between(2 * table["flops"].min(), table["flops"].max() / 2)]
    once = inside.assign(params=inside["params"] * np.linspace(1.01, 1.02, len(inside)), loss=0.1)
    once["tokens"] = once["flops"] / (6 * once["params"])
    once["run"] = np.arange(len(once)) + 100
    both = Runs(pd.concat([table, once], ignore_index=True), "test")
    assert envelope(both, 1e20).equals(envelope(training_curves(), 1e20))


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
    bent_down = replace(fit.spec.law, function=lambda *at, **law: 9 - chinchilla(*at, **law))
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


# ---- Approach 2: profiles


def budget_column(width=4.0, points=6, **law) -> Runs:
    runs = isoflop_grid(width, points=points, **law)
    return on_isoflops(replace(runs, table=runs.table.assign(budget=runs.table["flops"])))


def known_profiles(a=0.45, G=0.1, scatter=0.05, draws=300) -> Fit:
    """A fake posterior of profiles: the minima of budget g lie exp(scatter * g) off the line."""
    runs, rng = budget_column(), np.random.default_rng(3)
    spec = load_model("isoflop-profiles")
    names = list(group_names(spec, runs))
    reference = np.exp(np.log(runs.table[["params", "budget"]]).mean())
    line = np.log(G) + a * np.log(reference["budget"]) - np.log(reference["params"])
    offset = scatter * (np.arange(len(names)) - 1.0)

    def vary(value):
        return np.asarray(value) + 1e-4 * rng.standard_normal((1, draws, *np.shape(value)))

    common, own = ("chain", "draw"), ("chain", "draw", "group")
    slope = vary(a)
    size = vary(line + offset)
    log_constant = (
        np.log(reference["params"]) + size - slope[..., None] * np.log(reference["budget"])
    )
    posterior = xr.Dataset(
        {
            "a": (common, slope),
            "size": (own, size),
            "size_population": (common, size[..., 0] - offset[0]),
            "size_scale": (common, vary(scatter)),
            "G": (own, np.exp(log_constant)),
        },
        coords={"group": names},
    )
    return Fit(spec, runs, xr.DataTree.from_dict({"posterior": posterior}))


def test_runs_on_isoflops_have_their_budget_in_flops():
    runs = isoflop_grid(4, points=6)
    stray = runs.table.iloc[:2].assign(run=["x", "y"], flops=[3e17, 4e19])
    mixed = replace(runs, table=pd.concat([runs.table, stray], ignore_index=True))
    kept = on_isoflops(mixed)
    assert len(kept) == len(runs) == 30
    np.testing.assert_allclose(kept.table["budget"], kept.table["flops"], rtol=1e-6)
    assert kept.ledger[-1].startswith("2 dropped that are on none of the isoFLOP budgets 1e17, ")


def test_budgets_of_few_sizes_are_left_out_and_too_few_budgets_refused():
    runs = isoflop_grid(4, points=6)
    table = runs.table.assign(budget=runs.table["flops"].map("{:g}".format))
    three_left = table.groupby("budget").head(3)
    two = pd.concat([table[table["flops"] < 5e18], three_left[three_left["flops"] > 5e18]])
    with pytest.raises(RunsError, match=r"2 isoFLOP budgets have runs of 4 sizes .* 3 are needed"):
        on_isoflops(replace(runs, table=two))
    assert len(on_isoflops(replace(runs, table=table)).table["budget"].unique()) == 5
    with pytest.raises(RunsError, match="needs the column 'flops'"):
        on_isoflops(replace(runs, table=table.drop(columns=["flops", "budget"])))
    four = isoflop_grid(4, points=4)  # as many as a profile needs, and no column 'budget'
    assert len(on_isoflops(four)) == len(four) == 20


def test_optima_of_profiles_lie_on_the_line_without_the_scatter():
    found = profile_optima(known_profiles(), [1e18, 1e24])
    middle = found.median(("chain", "draw"))
    np.testing.assert_allclose(middle["params"], 0.1 * found["flops"] ** 0.45, rtol=0.01)
    np.testing.assert_allclose(
        6 * found["params"] * found["tokens"], found["flops"].broadcast_like(found["params"])
    )
    np.testing.assert_allclose(found["tokens_per_param"], found["tokens"] / found["params"])
    assert middle["scatter"] == pytest.approx(0.05, abs=1e-3)
    assert found["a"].dims == ("chain", "draw")
    np.testing.assert_allclose(found["b"], 1 - found["a"])
    np.testing.assert_allclose(found["decades_beyond"], [0, 3])
    assert found.attrs["k"] == 6.0
    half = profile_optima(known_profiles(), 1e24, k=3.0)
    assert half["tokens"].median() == pytest.approx(2 * middle["tokens"].sel(flops=1e24))
    with pytest.raises(FitError, match="k must be positive, got -3"):
        profile_optima(known_profiles(), 1e24, k=-3.0)


def test_minima_have_the_scatter_of_their_budget():
    found = minima(known_profiles())
    assert found.dims == ("chain", "draw", "group")
    np.testing.assert_allclose(found["flops"], BUDGETS)
    off = np.log(found.median(("chain", "draw")) / (0.1 * found["flops"] ** 0.45))
    np.testing.assert_allclose(off, 0.05 * np.arange(-1, 4), atol=0.01)
    flat = minima(known_profiles(scatter=0.0))
    np.testing.assert_allclose(flat.median(("chain", "draw")), 0.1 * flat["flops"] ** 0.45, 0.01)


def test_other_laws_and_minima_on_no_line_have_no_profile_optima():
    with pytest.raises(FitError, match="chinchilla has no isoFLOP profiles; fit the model 'iso"):
        profile_optima(constants_fit("chinchilla", **HOFFMANN), 1e24)
    fit = known_profiles()
    pooling = {**fit.spec.pooling, "size": "none"}
    with pytest.raises(FitError, match="on no common power law, size is not pooled"):
        profile_optima(replace(fit, spec=replace(fit.spec, pooling=pooling)), 1e24)
    with pytest.raises(FitError, match="must be positive"):
        profile_optima(fit, [1e24, 0.0])
    with pytest.raises(FitError, match="fit the model 'isoflop-profiles'"):
        minima(constants_fit("chinchilla", **HOFFMANN))


def test_compute_optimal_models_of_profiles_lie_on_their_line():
    fit, budgets = known_profiles(), [1e18, 1e24]
    assert compute_optimal(fit, budgets).equals(profile_optima(fit, budgets))
    assert compute_optimal(fit, 1e24, k=3.0).attrs["k"] == 3.0
    for refused in (lambda: basin(fit, 1e24), lambda: log_optimum(fit, 1e24)):
        with pytest.raises(FitError, match="say the best size for a budget and no more than that"):
            refused()


def test_optima_of_profiles_are_said_without_a_loss():
    answer = answer_optima(known_profiles(), [1e18, 1e24])
    inside, beyond = answer.numbers["optima"]
    params, tokens = (beyond[name]["median"] for name in ("params", "tokens"))
    assert params == pytest.approx(0.1 * 1e24**0.45, rel=0.01)
    assert 6 * params * tokens == pytest.approx(1e24, rel=0.01)
    assert (beyond["loss"], beyond["basin"], beyond["group"]) == (None, [], None)
    assert beyond["a"]["median"] == pytest.approx(0.45, abs=1e-3)
    assert "per parameter, on a power law of exponent 0.45" in answer.sentences[1]
    assert " in compute. Extrapolation: 3" in answer.sentences[1]
    assert inside["decades_beyond"] == 0
    assert not any("loss" in sentence for sentence in answer.sentences)


@pytest.mark.slow
def test_profiles_find_the_minima_of_a_lopsided_law():
    runs = budget_column(width=8, points=9, alpha=0.465, beta=0.155)
    noise = np.random.default_rng(4).normal(0, 2e-3, len(runs))
    noisy = replace(runs, table=runs.table.assign(loss=runs.table["loss"] * np.exp(noise)))
    fitted = fit(noisy, "isoflop-profiles", progress=False)
    assert fitted.diagnostics.converged
    law = {**HOFFMANN, "alpha": 0.465, "beta": 0.155}
    truth = constants_fit("chinchilla", **law)
    best = compute_optimal(truth, [*BUDGETS, 1e24])["params"].squeeze(drop=True)
    inside = summarise(minima(fitted))
    low, high = (inside.sel(summary=q).to_numpy() for q in ("q05", "q95"))
    assert ((low < best[:5]) & (best[:5] < high)).sum() >= 4
    line = summarise(profile_optima(fitted, 1e24)["params"]).squeeze()
    assert line.sel(summary="q05") < best[5] < line.sel(summary="q95")
    parabolas = 1 + parabola_bias(truth, 1e24, runs=runs)["params_error"].item()
    assert parabolas > 1.1  # negative control: parabolas are off by more than the interval is wide
    assert line.sel(summary="q95") < parabolas * best[5]


# ---- side by side


def joint(draws=500, spread=1e-4, runs=None) -> Fit:
    rng = np.random.default_rng(5)
    drawn = {n: v * (1 + spread * rng.standard_normal(draws)) for n, v in HOFFMANN.items()}
    fake = constants_fit("chinchilla", **drawn)
    return fake if runs is None else replace(fake, runs=runs)


def test_approaches_stand_side_by_side():
    found = compare_approaches(
        joint(runs=budget_column()),
        [1e20, 1e24],
        profiles=known_profiles(),
        envelope_runs=training_curves(),
        draws=800,
    )
    assert list(found["approach"].values) == ["envelope (1)", "profiles (2)", "joint law (3)"]
    assert found["params"].dims == ("chain", "draw", "approach", "flops")
    assert found["params"].sizes["draw"] == 800
    assert found.attrs["left_out"] == ""
    middle = found.median(("chain", "draw"))
    truth = compute_optimal(constants_fit("chinchilla", **HOFFMANN), [1e20, 1e24])
    expected = truth["params"].squeeze(drop=True)
    np.testing.assert_allclose(middle["params"].sel(approach="joint law (3)"), expected, rtol=0.01)
    line = 0.1 * np.array([1e20, 1e24]) ** 0.45
    np.testing.assert_allclose(middle["params"].sel(approach="profiles (2)"), line, rtol=0.01)
    np.testing.assert_allclose(middle["a"].isel(flops=0), [A, 0.45, A], atol=0.01)
    compute = 6 * found["params"] * found["tokens"]
    np.testing.assert_allclose(compute, found["flops"].broadcast_like(compute))


def test_disagreement_is_the_log_ratio_of_each_pair():
    found = compare_approaches(
        joint(runs=training_curves()), [1e20, 1e24], profiles=known_profiles(G=0.1), draws=600
    )
    pairs = list(zip(found["first"].values, found["second"].values, strict=True))
    assert pairs[2] == ("profiles (2)", "joint law (3)")
    params = found["params"]
    for pair, (first, second) in enumerate(pairs):
        ratio = params.sel(approach=first, drop=True) / params.sel(approach=second, drop=True)
        np.testing.assert_allclose(found["disagreement"].isel(pair=pair), np.log(ratio))
    larger = found["first_larger"].isel(pair=2)
    assert larger.dims == ("flops",)
    truth = compute_optimal(constants_fit("chinchilla", **HOFFMANN), [1e20, 1e24])["params"]
    line = 0.1 * found["flops"] ** 0.45
    np.testing.assert_array_equal(larger, (line > truth.squeeze(drop=True)).astype(float))
    same = compare_approaches(joint(runs=training_curves()), 1e20)  # envelope of the law's curves
    assert 0.05 < same["first_larger"].item() < 0.95


def test_approaches_that_cannot_be_had_are_named_with_the_reason():
    runs = isoflop_grid(4, budgets=BUDGETS[:2])
    found = compare_approaches(joint(runs=runs), 1e20)
    assert list(found["approach"].values) == ["joint law (3)"]
    assert found.sizes["pair"] == 0
    first, second = found.attrs["left_out"].splitlines()
    assert first.startswith("envelope (1): ")
    assert "4 are needed" in first
    assert second.startswith("profiles (2): 2 isoFLOP budgets")
    offered = compare_approaches(joint(runs=budget_column()), 1e20).attrs["left_out"]
    assert "pass profiles=fit(on_isoflops(runs), 'isoflop-profiles')" in offered


def test_final_losses_stand_in_for_checkpoints():
    table = training_curves().table
    final = Runs(table.assign(run=np.arange(len(table))), "one row a run")
    joined = compare_approaches(joint(runs=final), 1e20, seed=2)
    assert joined.equals(compare_approaches(joint(runs=training_curves()), 1e20, seed=2))


def test_resampling_follows_the_seed_and_pairs_at_random():
    fake = joint(draws=300, spread=0.01, runs=training_curves())
    one, same, other = (compare_approaches(fake, 1e20, draws=300, seed=s) for s in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)
    law = one["params"].sel(approach="joint law (3)").to_numpy().ravel()
    own = compute_optimal(fake, 1e20)["params"].to_numpy().ravel()
    np.testing.assert_allclose(np.sort(law), np.sort(own))  # each draw once
    assert not np.allclose(law, own)


def test_groups_are_compared_one_at_a_time():
    grouped = known_grouped_fit(web={}, code={})
    with pytest.raises(FitError, match=r"has the groups web, code: .* fit.of_group\(name\)"):
        compare_approaches(grouped, 1e20)
    assert compare_approaches(grouped.of_group("web"), 1e20)["params"].notnull().all()
    with pytest.raises(FitError, match="chinchilla has no isoFLOP profiles"):
        compare_approaches(joint(runs=training_curves()), 1e20, profiles=joint())
