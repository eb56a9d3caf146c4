from dataclasses import replace

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from conftest import TRUTH, known_fit, known_grouped_fit, simulated_table
from scipy import stats

from bayescale import Fit, Runs, Status, check_fit, fit, load_model, parse_model, read_runs
from bayescale.decisions.allocation import compute_optimal
from bayescale.errors import FitError
from bayescale.evaluation.checks.held_out import held_out_check
from bayescale.evaluation.checks.influence import (
    calibration_checks,
    influence_checks,
    left_out,
    outlying_checks,
)
from bayescale.evaluation.checks.predictive import (
    LEAST_LOSS,
    MATERIAL_LOSS,
    Axis,
    AxisDetail,
    Statistic,
    _statistics,
    _weighed,
    _where,
    axes_of,
    family_wise,
    residual_checks,
    seed_check,
)
from bayescale.evaluation.checks.prior import power_scaled, prior_checks
from bayescale.evaluation.checks.refits import refits, unit
from bayescale.laws import FLOPS, PARAMS, TOKENS, mixture
from bayescale.modelling.priors import DISTRIBUTIONS, Prior
from bayescale.posterior.prediction import residuals
from bayescale.runs.check import worst


def named(checks, name):
    [check] = [check for check in checks if check.name == name]
    return check


def with_losses(fitted: Fit, change) -> Fit:
    """The same posterior, of runs whose losses are multiplied by `change`."""
    runs = replace(
        fitted.runs, table=fitted.runs.table.assign(loss=lambda table: table["loss"] * change)
    )
    tree = fitted.tree.copy()
    tree["observed_data"] = xr.Dataset({"log_loss": ("obs", np.log(runs.table["loss"]))})
    return replace(fitted, runs=runs, tree=tree)


def law_checks(fitted):
    return residual_checks(refits(fitted), fitted.spec)


def straight_line(weight: np.ndarray) -> tuple[Fit, np.ndarray]:
    """A law that is a straight line in logs, with its exact posterior; and its hat matrix."""
    rng, sigma, log_x = np.random.default_rng(5), 0.02, np.linspace(18.0, 25.0, 14)
    design = np.stack([np.ones(14), -(log_x - log_x.mean())], axis=1)
    observed = design @ [1.0, 0.1] + sigma * rng.standard_normal(14)
    inverse = np.linalg.inv((design.T * weight) @ design)
    middle = inverse @ (design.T * weight) @ observed
    draws = rng.multivariate_normal(middle, sigma**2 * inverse, (4, 2000))
    level, alpha = (xr.DataArray(draws[..., i], dims=("chain", "draw")) for i in (0, 1))
    source = load_model("pure-power-law").source.replace("StudentT", "Normal")
    spec = parse_model(
        "\n".join(text for text in source.splitlines() if not text.startswith("nu")), "line"
    )
    posterior = {"x_c": np.exp(level / alpha + log_x.mean()), "alpha": alpha}
    posterior["sigma"] = 0.0 * alpha + sigma
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(posterior), "sample_stats": xr.Dataset()})
    table = {"run": [f"r{i}" for i in range(14)], spec.inputs[0]: np.exp(log_x)}
    table |= {"loss": np.exp(observed), "weight": weight}
    runs = Runs(simulated_table().head(0).assign(**table), "a line")
    return Fit(spec, runs, tree), design @ inverse @ (design.T * weight)


@pytest.fixture(scope="module")
def line() -> tuple[Fit, np.ndarray]:
    """Of runs of weight 1."""
    return straight_line(np.ones(14))


def test_refits_of_a_linear_law_leave_what_its_hat_matrix_says(line):
    fitted, hat = line
    simulated = refits(fitted).simulated / 0.02
    expected = np.eye(14) - hat
    np.testing.assert_allclose(np.cov(simulated.T), expected, atol=0.08)
    # Control: the noise itself, which a raw predictive check compares with, is not that.
    assert np.abs(np.eye(14) - expected).max() > 0.2
    assert np.trace(np.cov(simulated.T)) == pytest.approx(12, abs=0.3)


def test_refits_of_weighted_runs_leave_what_their_hat_matrix_says():
    """Ten of the runs hardly take part, so the others hold the line nearly alone."""
    weight = np.where(np.arange(14) % 4 == 1, 1.0, 0.02)
    fitted, hat = straight_line(weight)
    full = weight == 1
    simulated = refits(fitted).simulated / 0.02
    left = np.eye(14) - hat
    expected = (left @ left.T)[np.ix_(full, full)]
    np.testing.assert_allclose(np.cov(simulated.T), expected, atol=0.08)
    # Control: were all of weight 1 as far as the refits go, ten more would pull at the line.
    ignored = np.eye(14) - hat / weight
    assert np.abs((ignored @ ignored.T)[np.ix_(full, full)] - expected).max() > 0.5


def test_family_wise_p_values_are_those_of_independent_statistics():
    rng = np.random.default_rng(1)
    family = [Statistic("a", str(i), rng.standard_normal(40_001)) for i in range(10)]
    family[3].values[0] = 3.0
    family[4].values[0] = 0.0
    adjusted = family_wise(family)
    assert adjusted[3] == pytest.approx(1 - (1 - 0.0027) ** 10, rel=0.15)
    assert adjusted[4] > 0.99


def test_axes_are_inputs_and_ratios_without_repetition():
    table = simulated_table().assign(flops=lambda t: 6 * t["params"] * t["tokens"])
    both = axes_of(table, (PARAMS, TOKENS))
    assert list(both) == ["params", "tokens", "flops", "tokens_per_param"]
    assert list(axes_of(table, (FLOPS,))) == ["flops", "tokens_per_param"]
    curve = table.assign(tokens=lambda t: 20 * t["params"], flops=lambda t: 120 * t["params"] ** 2)
    assert list(axes_of(curve, (FLOPS,))) == ["flops"]


def test_parts_of_a_mixture_are_linear_axes():
    shares = np.random.default_rng(1).dirichlet([1, 1, 1], 40)
    shares[:5, 0] = 0.0
    table = pd.DataFrame({f"w_{part}": shares[:, i] for i, part in enumerate(("a", "b", "c"))})
    found = axes_of(table.assign(tokens=np.geomspace(1e9, 1e11, 40)), (TOKENS, mixture("w_")))
    assert list(found) == ["tokens", "w_a", "w_b", "w_c"]
    assert [axis.is_log for axis in found.values()] == [True, False, False, False]
    np.testing.assert_allclose(np.ptp(found["w_a"].place), 3.0)
    half = np.full(2, 0.5)
    assert Axis(np.array([0.0, 0.4]), is_log=False).mean(half) == pytest.approx(0.2)
    assert Axis(np.array([1.0, 100.0])).mean(half) == pytest.approx(10.0)


def test_true_law_passes(small_fit):
    checks = check_fit(small_fit)
    assert worst(checks) is Status.PASS, [str(check) for check in checks]
    assert all(not check.advice for check in checks)
    assert all(check.message for check in checks)


def test_same_seed_same_checks(small_fit):
    first, second, other = (check_fit(small_fit, seed=seed) for seed in (1, 1, 2))
    numbers = [[check.statistic for check in checks] for checks in (first, second, other)]
    np.testing.assert_array_equal(numbers[0], numbers[1])
    assert numbers[0] != numbers[2]


def test_uncentred_residuals_fail(small_fit):
    check = named(law_checks(with_losses(small_fit, 1.02)), "centring")
    assert check.status is Status.FAIL
    assert "% above the law on the whole" in check.message


@pytest.mark.parametrize("name", ["params", "tokens", "flops", "tokens_per_param"])
def test_bend_along_an_axis_is_named_with_its_size(small_fit, name):
    label = {"params": "parameters", "flops": "compute"}.get(name, name.replace("_per_param", ""))
    label = "tokens per parameter" if name == "tokens_per_param" else label
    table = small_fit.runs.table.assign(tokens_per_param=lambda t: t["tokens"] / t["params"])
    x = np.log(table[name])
    bend = ((x - x.mean()) / np.ptp(x)) ** 2
    checks = law_checks(with_losses(small_fit, np.exp(0.1 * (bend - bend.mean()))))
    check = named(checks, f"law along {label}")
    assert check.along == label
    assert check.status is Status.FAIL
    assert "% above the law" in check.message
    assert check.advice


def test_law_broken_along_an_axis_fails():
    rng, size = np.random.default_rng(4), np.linspace(0.25, 4, 10)
    flops, size = (grid.ravel() for grid in np.meshgrid(np.geomspace(6e18, 3e21, 6), size))
    params = np.sqrt(flops / 120) * size
    tokens = flops / (6 * params)
    x = np.log(tokens / np.exp(np.log(tokens).mean()))
    from_tokens = 0.5 * np.exp(-0.5 * x + 0.35 * 0.15 * np.logaddexp(0, x / 0.15))
    loss = TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"] + from_tokens
    loss *= np.exp(0.003 * rng.standard_normal(60))
    table = simulated_table().head(0).assign(params=params, tokens=tokens, loss=loss)
    broken = fit(read_runs(table), "chinchilla", draws=500, tune=500, progress=False)
    assert named(law_checks(broken), "law along tokens").status is Status.FAIL


@pytest.fixture(scope="module")
def many_runs() -> Fit:
    """Six hundred runs, which show what matters to nobody."""
    table = pd.concat([simulated_table(noise=0.004, seed=seed) for seed in range(20)])
    moved = np.exp(0.1 * np.random.default_rng(8).standard_normal((2, len(table))))
    clean = [
        TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"] + TRUTH["B"] * tokens ** -TRUTH["beta"]
        for params, tokens in (
            (table["params"], table["tokens"]),
            (table["params"] * moved[0], table["tokens"] * moved[1]),
        )
    ]
    table = table.assign(
        params=table["params"] * moved[0],
        tokens=table["tokens"] * moved[1],
        loss=table["loss"] * clean[1] / clean[0],
    )
    return fit(read_runs(table), "chinchilla", draws=300, tune=400, seed=2, progress=False)


@pytest.mark.parametrize(
    ("size", "status", "small"),
    [(0.0, Status.PASS, False), (0.0007, Status.REVIEW, True), (0.004, Status.FAIL, False)],
)
def test_a_pattern_that_is_sure_fails_only_where_it_matters(many_runs, size, status, small):
    place = many_runs.runs.table["tokens"].rank(pct=True).to_numpy()
    pattern = np.exp(size * np.sqrt(2) * np.cos(2 * np.pi * place))
    check = named(law_checks(with_losses(many_runs, pattern)), "law along tokens")
    assert ("too small to matter" in check.message) == small
    assert check.status is status, str(check)
    assert (check.statistic < 0.01) == (size > 0)  # both are sure


def detail(size: float, half_width: float) -> AxisDetail:
    value, mean = np.arange(4.0), np.array([0.0, -size, size / 2, 0.0])
    zero = np.zeros(4)
    return AxisDetail("tokens", value, value, value, mean, zero - 1e-9, zero + 1e-9, half_width)


@pytest.mark.parametrize(
    ("size", "half_width", "status"),
    [
        (1.1 * MATERIAL_LOSS, 0.005, Status.FAIL),  # beside the loss and beside the noise
        (1.1 * MATERIAL_LOSS, 1.0, Status.REVIEW),  # a small share of wide intervals
        (0.9 * MATERIAL_LOSS, 0.002, Status.REVIEW),  # a small share of the loss
        (1.1 * LEAST_LOSS, 1e-9, Status.REVIEW),
        (0.9 * LEAST_LOSS, 1e-9, Status.PASS),  # computed losses: no noise, rounding alone
        (0.9 * LEAST_LOSS, 1.0, Status.PASS),
    ],
)
def test_what_is_sure_is_weighed_by_its_size(size, half_width, status):
    found, said = _weighed(Status.FAIL, detail(size, half_width))
    assert found is status
    assert ("too small to matter" in said) == (status is not Status.FAIL)
    lowered, _ = _weighed(Status.REVIEW, detail(size, half_width))
    assert lowered is (Status.PASS if size < LEAST_LOSS or said else Status.REVIEW)


def test_unequal_noise_is_named(small_fit):
    table = residuals(small_fit)
    wide = np.where(table["flops"] > table["flops"].median(), 4.0, 0.5)
    checks = law_checks(with_losses(small_fit, np.exp(table["residual"] * (wide - 1))))
    assert named(checks, "spread of residuals").status is Status.REVIEW
    assert "in the lower half of" in named(checks, "spread of residuals").message


def single_runs(fitted):
    return [*outlying_checks(fitted, refits(fitted)), *influence_checks(left_out(fitted))]


def test_outlying_run_is_named(small_fit):
    change = np.ones(30)
    change[11] = 1.2
    far = with_losses(small_fit, change)
    check = named(single_runs(far), "outlying runs")
    assert check.status is Status.REVIEW
    assert "run-12 (+" in check.message
    assert "run-11" not in check.message
    assert named(single_runs(far), "Pareto k").status is Status.REVIEW


def test_leaving_a_run_out_is_what_a_refit_without_it_says(small_fit):
    without = left_out(small_fit)
    most = int(np.abs(without["shift"].to_numpy()).argmax())
    runs = replace(small_fit.runs, table=small_fit.runs.table.drop(index=most))
    again = fit(runs, "chinchilla", draws=500, tune=500, seed=4, progress=False)
    best, other = (np.log(compute_optimal(one, 3e21)["params"]) for one in (small_fit, again))
    moved = float((other.mean() - best.mean()) / best.std())
    assert without.attrs["answer"] == "N* at 3e21 FLOPs"
    assert abs(moved) > 0.2
    assert moved == pytest.approx(float(without["shift"][most]), abs=0.2)


def test_leaving_a_run_out_of_a_pool_leaves_each_member_its_share(small_fit):
    """As fitting the pool again does, whatever one run says of its members."""
    posterior = small_fit.posterior.copy()
    posterior["E"] = posterior["E"] * xr.DataArray([1.0, 1.0, 1.01, 1.01], dims="chain")
    posterior["A"] = posterior["A"] * xr.DataArray([1.0, 1.0, 0.9, 0.9], dims="chain")

    def of(chains, **coords):
        tree = small_fit.tree.copy()
        tree["posterior"] = posterior.isel(chain=chains).assign_coords(coords)
        spec = replace(small_fit.spec, members=({}, {}) if coords else ())
        fitted = replace(small_fit, tree=tree, spec=spec)
        answer = np.log(compute_optimal(fitted, 3e21)["params"])
        return left_out(fitted)["shift"].to_numpy(), float(answer.mean()), float(answer.std())

    found, middle, sd = of(slice(None), member=("chain", [0, 0, 1, 1]))
    each = [of(chains) for chains in (slice(0, 2), slice(2, 4))]
    left = np.mean([mean + own_sd * shift for shift, mean, own_sd in each], axis=0)
    np.testing.assert_allclose(found, (left - middle) / sd, atol=0.03)
    # Control: as one posterior a run takes one of the two modes with it.
    assert np.abs(of(slice(None))[0] - found).max() > 0.1


def test_run_that_decides_is_named(small_fit):
    without = left_out(small_fit)
    without["shift"][4] = -1.7
    check = named(influence_checks(without), "influential runs")
    assert check.status is Status.REVIEW
    assert "without run-5 N* at 3e21 FLOPs moves by up to 1.70" in check.message


@pytest.mark.parametrize(
    ("sigma", "status"), [(0.02, Status.PASS), (0.2, Status.FAIL), (0.04, Status.PASS)]
)
def test_group_on_another_loss_scale_fails(sigma, status):
    from bayescale.evaluation.checks.influence import _outlying_groups

    fitted = known_grouped_fit(a={}, b={}, c={"sigma": sigma})
    [check] = _outlying_groups(fitted)
    assert check.status is status
    assert "c" in check.message


@pytest.mark.parametrize(("sigma", "status"), [(0.3, Status.FAIL), (0.004, Status.PASS)])
def test_one_of_two_groups_on_another_loss_scale_fails(sigma, status):
    from bayescale.evaluation.checks.influence import _outlying_groups

    [check] = _outlying_groups(known_grouped_fit(a={"sigma": 0.003}, b={"sigma": sigma}))
    assert check.status is status
    assert "times that of a" in check.message


def test_one_group_is_refused():
    fitted = known_grouped_fit(a={}, b={})
    with pytest.raises(FitError, match=r"'a' alone.*check the fit of all groups"):
        check_fit(fitted.of_group("a"))


def test_two_levels_are_too_few_to_see_a_trend(line):
    fitted, _ = line
    axis = fitted.spec.inputs[0]
    x = fitted.runs.table[axis]
    two = fitted.runs.table.assign(**{axis: np.where(x > x.median(), x.max(), x.min())})
    checks = law_checks(replace(fitted, runs=replace(fitted.runs, table=two)))
    check = named(checks, "law")
    assert check.status is Status.REVIEW
    assert "too few to see a trend" in check.message
    assert not any(check.name.startswith("law along") for check in checks)


def test_part_of_a_curve_that_rises_is_no_remedy(line):
    fitted, _ = line
    axis = fitted.spec.inputs[0]
    bend = (np.arange(14) - 6.5) ** 2 / 42
    bent = refits(with_losses(fitted, np.exp(0.2 * (bend - bend.mean()))))
    checks = {
        rising: [
            c
            for c in residual_checks(bent, fitted.spec, rising=rising)
            if c.name.startswith("law along")
        ]
        for rising in ((), (axis,))
    }
    assert "fit the upper part" in str(checks[()])
    assert "fit the upper part" not in str(checks[(axis,)])
    assert "why the loss rises" in str(checks[(axis,)])


def test_cells_of_seeds_are_configurations():
    table = pd.concat([simulated_table(noise=0.0)] * 2, ignore_index=True)
    assert unit(table.assign(replicates=2.0)) == "configurations"
    assert unit(table.assign(replicates=1.0)) == "runs"


@pytest.mark.parametrize(("bins", "part"), [(2, "half"), (3, "third"), (10, "tenth")])
def test_parts_of_an_axis_are_words(bins, part):
    value = np.linspace(0, -1, bins)
    detail = AxisDetail(
        "tokens", value, value, value, value, np.full(bins, -0.1), np.full(bins, 0.1), 0.1
    )
    said = _where(detail, "tokens")
    assert f"the {part} of the runs with the most tokens lies 63% below the law" in said


def test_calibrated_and_uncalibrated_predictions():
    pit = (np.arange(60) + 0.5) / 60

    def statuses(pit):
        found = calibration_checks(xr.Dataset({"pit": ("obs", pit)}, attrs={"noise": "StudentT"}))
        return [check.status for check in found], [check.message for check in found]

    assert statuses(pit)[0] == [Status.PASS] * 2
    wide, said = statuses(0.5 + 0.3 * (pit - 0.5))
    assert wide == [Status.REVIEW] * 2
    assert "lie nearer to the middle" in said[0]
    assert "too many" in said[1]
    narrow, said = statuses(np.where(pit < 0.5, pit**3, 1 - (1 - pit) ** 3))
    assert narrow == [Status.REVIEW] * 2
    assert "too few" in said[1]
    assert "lie lower" in statuses(pit**2)[1][0]


def prior_of(dist):
    given = {"mu": 0.3, "sigma": 0.8, "lam": 2.0, "alpha": 2.0, "beta": 0.7}
    return Prior(dist, tuple((name, given[name]) for name in DISTRIBUTIONS[dist]))


@pytest.mark.parametrize("dist", list(DISTRIBUTIONS))
def test_draws_of_a_prior_are_pymcs(dist):
    prior = prior_of(dist)
    ours = prior.draw(np.random.default_rng(1), (2000,))
    family = getattr(pm, dist).dist(**dict(prior.args))
    theirs = pm.draw(family, draws=2000, random_seed=2, mode="FAST_COMPILE")
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3
    assert stats.ks_2samp(1.3 * ours, theirs).pvalue < 1e-3  # the control


@pytest.mark.parametrize("far", [1e-40, 1e-12, 1 - 1e-12])
def test_density_of_a_share_is_known_far_from_its_prior(far):
    assert -1e7 < Prior("LogitNormal", (("mu", 0.0), ("sigma", 0.05))).log_density(far) < -1e4


@pytest.mark.parametrize("dist", list(DISTRIBUTIONS))
def test_density_of_a_prior_equals_pymcs(dist):
    prior = prior_of(dist)
    values = np.array([0.05, 0.4, 0.93])
    arguments = dict(prior.args)
    expected = pm.logp(getattr(pm, dist).dist(**arguments), values).eval(mode="FAST_COMPILE")
    np.testing.assert_allclose(prior.log_density(values), expected, rtol=1e-6)


@pytest.mark.parametrize("dist", ["Normal", "LogNormal"])
def test_density_above_1_is_no_warning(dist):
    prior = Prior(dist, (("mu", 0.3), ("sigma", 0.8)))
    expected = pm.logp(getattr(pm, dist).dist(0.3, 0.8), 1.7).eval(mode="FAST_COMPILE")
    assert prior.log_density(1.7) == pytest.approx(float(expected))


def test_power_scaling_of_a_normal_prior_is_that_of_its_formula(line):
    """Posterior precision 1/s^2, prior precision 1/t^2 and power a: Normal, in closed form."""
    fitted, _ = line
    draws = np.random.default_rng(3).normal(0.3, 0.5, (4, 5000))
    posterior = fitted.tree["posterior"].to_dataset().isel(draw=0, drop=True)
    posterior = posterior.assign(alpha=(("chain", "draw"), np.exp(draws)))
    prior = Prior("LogNormal", (("mu", -1.0), ("sigma", 0.9)))
    spec = replace(fitted.spec, priors={**fitted.spec.priors, "alpha": prior})
    known = xr.Dataset({"observed": ("obs", [1.0, 1.2]), "weight": ("obs", [1.0, 1.0])})
    tree = xr.DataTree.from_dict({"posterior": posterior, "constant_data": known})
    moved = []
    for power in (0.8, 1.25):
        added = (power - 1) / 0.9**2
        # the density of alpha itself has the Jacobian -log alpha, a slope of -1 on the line
        slope = added * (-1.0 - 0.3) - (power - 1)
        moved.append(slope / (1 / 0.5**2 + added) / 0.5)
    found = power_scaled(replace(fitted, spec=spec, tree=tree), "alpha")
    assert found == pytest.approx(np.abs(moved).max(), rel=0.05)


def test_prior_that_decides_or_contradicts_is_named(runs, small_fit):
    assert worst(prior_checks(small_fit)) is Status.PASS
    assert power_scaled(small_fit, "alpha") < 0.1
    source = small_fit.spec.source.replace(
        'alpha = { dist = "LogNormal", mu = -1.05, sigma = 0.5 }',
        'alpha = { dist = "LogNormal", mu = -2.0, sigma = 0.03 }',
    )
    tight = fit(runs, parse_model(source, "tight"), draws=500, tune=500, progress=False)
    sensitivity, _ = prior_checks(tight)
    assert sensitivity.status is Status.REVIEW
    assert "prior-dominated: alpha" in sensitivity.message
    source = small_fit.spec.source.replace(
        'about = "runs", mu = 0.0, sigma = 0.5', "mu = 2.5, sigma = 0.3"
    )
    far = fit(runs, parse_model(source, "far"), draws=500, tune=500, progress=False)
    _, conflict = prior_checks(far)
    assert conflict.status is Status.REVIEW
    assert "the runs contradict the prior of level" in conflict.message


@pytest.mark.parametrize(
    ("seed", "status"), [(0.002, Status.REVIEW), (0.008, Status.PASS), (0.02, Status.PASS)]
)
def test_scatter_beyond_seeds(seed, status):
    [check] = seed_check(known_fit(sigma=0.01, sigma_seed=seed))
    assert check.status is status


def test_without_replicates_seeds_are_not_asked_about():
    assert seed_check(known_fit()) == []


def test_unconverged_fit_fails(small_fit):
    tree = small_fit.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][0, :7] = True
    check = named(check_fit(replace(small_fit, tree=tree)), "convergence")
    assert check.status is Status.FAIL
    assert "7 divergent" in check.message


def test_held_out_runs(small_fit):
    new = read_runs(simulated_table(seed=9))
    assert held_out_check(small_fit, new).status is Status.PASS
    wrong = replace(new, table=new.table.assign(loss=new.table["loss"] * 1.1))
    check = held_out_check(small_fit, wrong)
    assert check.status is Status.FAIL
    assert "0 of 30 runs held back" in check.message
    assert "% above its prediction" in check.message


def test_constants_cannot_be_checked():
    with pytest.raises(FitError, match="never fitted to runs"):
        check_fit(known_fit())


@pytest.mark.slow
def test_chinchilla_without_its_offset_fails(chinchilla_runs):
    source = load_model("chinchilla").source
    source = source.replace("mu = -0.2, sigma = 0.8", "mu = 9.0, sigma = 0.1")
    forced = fit(
        chinchilla_runs, parse_model(source, "no-offset"), target_accept=0.9, progress=False
    )
    failed = [check.name for check in law_checks(forced) if check.status is Status.FAIL]
    assert {"law along parameters", "law along tokens"} <= set(failed)


def test_scores_of_one_size_scatter_alike():
    """Five runs of a simulated table may all lie as far off as scores can be."""
    scores = np.array([[2.6, -2.6, 2.6, -2.6, 2.6], [0.1, -0.2, 0.3, -1.0, 2.0]])
    axes, spec = {"tokens": Axis(np.arange(1.0, 6))}, load_model("power-law-tokens")
    found = {statistic.kind: statistic.values for statistic in _statistics(scores, axes, spec)}
    assert found["tokens"][0] == 0.0
    assert 0.5 < found["tokens"][1] <= 1.0


def test_a_pass_with_a_rough_run_says_that_it_passes():
    from bayescale.evaluation.checks.influence import _pareto

    k = np.where(np.arange(17) < 1, 0.9, 0.2)
    found = _pareto(xr.Dataset({"pareto_k": ("obs", k)}, attrs={"unit": "runs"}), np.arange(17))
    assert found.status is Status.PASS
    assert found.message.startswith("leave-one-out is reliable for 16 of 17 runs, which is enough")


@pytest.mark.parametrize(
    ("rough", "why", "advice"),
    [
        (2, "the model hardly expects such runs", "Fit once without them"),
        (9, "where so many weigh heavily, they are few", "bayescale backtest leaves runs out"),
    ],
)
def test_nobody_is_told_to_fit_without_half_of_the_runs(rough, why, advice):
    from bayescale.evaluation.checks.influence import _pareto

    k = np.where(np.arange(17) < rough, 0.9, 0.2)
    found = _pareto(xr.Dataset({"pareto_k": ("obs", k)}, attrs={"unit": "runs"}), np.arange(17))
    assert found.status is Status.REVIEW
    assert why in found.message
    assert advice in found.advice
