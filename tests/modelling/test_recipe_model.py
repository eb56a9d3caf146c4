"""The model of recipes crossed with sizes is the one that its page says."""

import numpy as np
import pytest
from scipy import stats

from bayescale.modelling.recipes import (
    BETA_SCALE,
    NU,
    PRIORS,
    Crossed,
    build_recipes,
    start,
    variables,
)

RECIPES = ("base", "a", "b")


def laid_out():
    rng = np.random.default_rng(0)
    size, recipe = (own.ravel() for own in np.meshgrid([0, 0, 1, 1], [0, 1, 2]))
    log_tokens = np.tile([-0.5, 0.5, -0.6, 0.4], 3)
    observed = np.log(3.0) - 0.2 * size + 0.05 * rng.standard_normal(12)
    return Crossed(RECIPES, np.array([1e8, 4e8]), recipe, size, log_tokens, observed)


def test_density_is_priors_and_student_t_about_the_law():
    own, rng = laid_out(), np.random.default_rng(1)
    free = {v.name: 0.3 * rng.standard_normal(v.shape) for v in variables(own)}
    model = build_recipes(own)
    point = {rv.name: free[rv.name] for rv in model.free_RVs}
    lines = {model.rvs_to_values[rv].name: point[rv.name] for rv in model.free_RVs}
    found = float(model.compile_logp(mode="FAST_COMPILE")(lines))  # unconstrained as they are

    line = {name: prior.on_line() for name, prior in PRIORS.items()}
    expected = sum(stats.norm.logpdf(free[name], *line[name]).sum() for name in PRIORS)
    for name in ("level_offset", "beta_offset", "slope_offset", "z"):
        expected += stats.norm.logpdf(free[name]).sum()
    scale = {n: np.exp(free[n]) for n in ("gain_scale", "trend_scale", "scatter", "sigma")}
    expected += stats.norm.logpdf(free["gain"], 0.0, scale["gain_scale"]).sum()

    n = np.log(own.sizes) - np.log(own.sizes).mean()
    e = free["trend"] + scale["trend_scale"] * free["slope_offset"]
    log_m = free["gain"][:, None] + e[:, None] * n + scale["scatter"] * free["z"]
    log_m = np.vstack([np.zeros(2), log_m])[own.recipe, own.size]
    beta = np.exp(free["log_beta"] + BETA_SCALE * free["beta_offset"])[own.size]
    share = 1 / (1 + np.exp(-free["reducible"]))[own.size]
    middle = np.array([own.observed[own.size == one].mean() for one in (0, 1)])
    level = (middle + 0.3 * free["level_offset"])[own.size]
    left = share * ((np.exp(log_m + own.log_tokens)) ** -beta - 1)
    mu = level + np.log(1 + left)
    expected += stats.t.logpdf(own.observed, NU, mu, scale["sigma"]).sum()
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_chains_start_at_the_middle_of_the_priors():
    own = laid_out()
    assert len(start(own)) == sum(v.size for v in variables(own))
    assert start(own)[0] == 0
