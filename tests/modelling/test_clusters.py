"""Groups that lie in clusters: an effect of the cluster on what is partially pooled."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
import xarray as xr
from scipy import stats
from test_own_reference import SOURCE as GROUPED

from bayescale import fit, load_fit, load_model, parse_model, predict, read_runs
from bayescale.errors import ModelError, RunsError
from bayescale.laws import onto_line
from bayescale.modelling import build
from bayescale.modelling.build import (
    as_arrays,
    build_model,
    derived,
    draw_prior,
    model_data,
    variables_of,
)
from bayescale.modelling.noise import LEAST
from bayescale.modelling.pooling import _least_variance, clusters_of
from bayescale.modelling.spec import ModelSpec
from bayescale.runs.table import Runs

SCALES = """
[cluster_scales]
alpha = { dist = "HalfNormal", sigma = 0.5 }

[noise]"""
NORMAL = """ # on log loss
dist = "Normal"
sigma = { dist = "LogNormal", mu = -4.6, sigma = 1.0 }
"""
SOURCE = (
    GROUPED.replace('group = "family"', 'group = "model"\ncluster = "task"', 1)
    .replace('reducible = "partial"', 'reducible = "complete"')
    .replace('sigma = "partial"', 'sigma = "complete"')
    .split("[noise]")[0]
    + SCALES.lstrip()
    + NORMAL
)
HEAD = SOURCE.split("[cluster_scales]")[0]
SPEC = parse_model(SOURCE, "own")
SIGMA = 'sigma = { dist = "HalfNormal", sigma = 0.5 }'
ANY_SIGN = 'alpha = { dist = "Normal", mu = 0.0, sigma = 0.5 }'
PLACES = (0.5, -0.6, 0.2, -0.1)  # of four clusters, in units of their sd


def nested(
    between: float, within: float = 0.1, clusters: int = 4, groups: int = 4, runs: int = 10
) -> tuple[Runs, dict[str, float]]:
    """Groups of clusters, and the exponent of each group; every group has its own range."""
    rng, tables, truth = np.random.default_rng(3), [], {}
    for cluster in range(clusters):
        for group in range(groups):
            name = f"{'abcd'[cluster]}{group}"
            alpha = 0.25 * np.exp(between * PLACES[cluster] + within * rng.standard_normal())
            flops = 10 ** rng.uniform(3, 6) * np.geomspace(1, 1000, runs)
            centre = np.exp(np.log(flops).mean())
            loss = np.exp(rng.normal()) * (0.5 + 0.5 * (flops / centre) ** -alpha)
            loss = loss * np.exp(0.005 * rng.standard_normal(runs))
            table = {"task": "abcd"[cluster], "model": name, "flops": flops, "loss": loss}
            tables.append(pd.DataFrame(table))
            truth[name] = alpha
    return read_runs(pd.concat(tables, ignore_index=True)), truth


def point(spec: ModelSpec, data: dict) -> dict[str, np.ndarray]:
    """A value for every free variable."""
    rng = np.random.default_rng(5)
    found = {}
    for variable in variables_of(spec, data):
        line = 0.3 * rng.standard_normal(variable.shape)
        middle = {"alpha_anchor": -1.5, "sigma": -4.0, "alpha_scale": -1.0}.get(variable.name, 0.0)
        line = line + middle
        unit = 1 / (1 + np.exp(-line))
        found[variable.name] = {"real": line, "positive": np.exp(line), "unit": unit}[
            variable.support
        ]
    return {name: np.asarray(value) for name, value in found.items()}


def density_of(model: pm.Model, free: dict[str, np.ndarray]) -> float:
    values = {}
    for rv in model.free_RVs:
        transform, number = model.rvs_to_transforms[rv], free[rv.name]
        value = number if transform is None else transform.forward(number).eval()
        values[model.rvs_to_values[rv]] = value
    graphs = model.logp(sum=False)
    found = pytensor.function(list(values), graphs, mode="FAST_COMPILE")(*values.values())
    return float(sum(part.sum() for part in found))


def by_hand(runs: Runs, free: dict[str, np.ndarray], form: dict[str, np.ndarray]) -> float:
    """The log density of `SPEC`, on the line that its variables are sampled on."""
    table = runs.table
    names = sorted(table["model"].unique())
    cluster = np.array(["abcd".index(name[0]) for name in names])
    log_loss = np.log(table["loss"].to_numpy())
    norm = stats.norm.logpdf
    scale, between = free["alpha_scale"], free["alpha_cluster_scale"]
    total = stats.halfnorm.logpdf(scale, scale=0.2) + np.log(scale)
    total += stats.halfnorm.logpdf(between, scale=0.5) + np.log(between)
    total += norm(free["alpha_cluster_offset"]).sum()
    effect = between * free["alpha_cluster_offset"][cluster]
    anchor, offset = free["alpha_anchor"], free["alpha_offset"]
    if "alpha_centring" in form:
        part, mean = form["alpha_centring"], effect.mean()
        total += norm(anchor, -1.75 + mean, 0.5)
        about = anchor - mean + effect
        total += norm(offset, part * about, scale**part).sum()
        line = about + (offset - part * about) * scale ** (1 - part)
    else:
        distance = effect + scale * offset
        weighted = (form["alpha_weight"] * distance).sum()
        total += norm(offset).sum() + norm(anchor, -1.75 + weighted, 0.5)
        line = anchor - weighted + distance
    share = free["reducible"]
    total += norm(np.log(share / (1 - share)), -0.2, 0.8)
    total += norm(np.log(free["sigma"]), -4.6, 1.0)
    for number, name in enumerate(names):
        rows = (table["model"] == name).to_numpy()
        flops, own = table["flops"].to_numpy()[rows], log_loss[rows]
        level = free["level"][number]
        total += norm(level, own.mean(), 0.5)
        fallen = (flops / np.exp(np.log(flops).mean())) ** -np.exp(line[number])
        said = level + np.log(1 - share + share * fallen)
        total += norm(own, said, np.hypot(free["sigma"], LEAST)).sum()
    return float(total)


FORMS = {
    "centring": {"alpha_centring": np.linspace(0.1, 0.9, 16)},
    "weight": {"alpha_weight": np.arange(1, 17) / 136},
}


@pytest.mark.parametrize("kind", FORMS)
def test_density_is_the_one_written_by_hand(kind, monkeypatch):
    runs, _ = nested(0.4)
    form = FORMS[kind]
    monkeypatch.setattr(build, "anchoring", lambda *_: form)
    data = model_data(SPEC, runs)
    free, model = point(SPEC, data), build_model(SPEC, runs)
    assert {rv.name for rv in model.free_RVs} == set(free)
    assert data.keys() == {variable.name for variable in model.data_vars}
    found = density_of(model, free)
    assert found == pytest.approx(by_hand(runs, free, form), rel=1e-9)
    other = {**free, "alpha_cluster_offset": free["alpha_cluster_offset"] + 0.1}
    assert abs(density_of(model, other) - found) > 0.01  # else the effect would not count


@pytest.mark.parametrize("kind", FORMS)
def test_what_follows_in_numpy_is_that_of_the_model(kind, monkeypatch):
    runs, _ = nested(0.4)
    monkeypatch.setattr(build, "anchoring", lambda *_: FORMS[kind])
    data = model_data(SPEC, runs)
    free, model, variables = point(SPEC, data), build_model(SPEC, runs), variables_of(SPEC, data)
    arrays = {v.name: xr.DataArray(free[v.name], dims=v.dims) for v in variables}
    ours = derived(SPEC, arrays, as_arrays(SPEC, data))
    values = {model.rvs_to_values[rv]: rv for rv in model.free_RVs}
    graphs = model.replace_rvs_by_values(model.deterministics)
    given = [
        free[rv.name]
        if (change := model.rvs_to_transforms[rv]) is None
        else change.forward(free[rv.name]).eval()
        for rv in values.values()
    ]
    mode = "FAST_COMPILE"
    found = pytensor.function(list(values), graphs, mode=mode, on_unused_input="ignore")(*given)
    for variable, value in zip(model.deterministics, found, strict=True):
        np.testing.assert_allclose(ours[variable.name], value, rtol=1e-10)


@pytest.mark.parametrize("kind", FORMS)
def test_groups_of_one_cluster_are_alike_before_any_run(kind, monkeypatch):
    """In either form the variances of population, cluster and group add up."""
    monkeypatch.setattr(build, "anchoring", lambda *_: FORMS[kind])
    data = model_data(SPEC, nested(0.4)[0])
    drawn = draw_prior(SPEC, data, draws=20_000)
    line = onto_line("positive", drawn["alpha"]).squeeze("chain")
    variance = 0.5**2 + 0.5**2 + 0.2**2
    np.testing.assert_allclose(line.var("draw"), variance, rtol=0.05)
    found = np.corrcoef(line.transpose("group", "draw"))
    assert found[0, 3] == pytest.approx((0.5**2 + 0.5**2) / variance, abs=0.02)
    assert found[0, 4] == pytest.approx(0.5**2 / variance, abs=0.03)


def test_clusters_are_named_and_each_group_has_one():
    names, index = clusters_of(SPEC, nested(0.4)[0])
    assert names == tuple("abcd")
    np.testing.assert_array_equal(index, np.repeat(range(4), 4))


def test_variance_between_groups_is_that_within_clusters():
    place, cluster = np.array([0.0, 0.2, 5.0, 5.2]), np.array([0, 0, 1, 1])
    sure = np.full(4, 1e-6)
    exact = 4 * 0.1**2 / stats.chi2.ppf(0.9, 2)
    assert _least_variance(place, sure, cluster) == pytest.approx(exact, rel=1e-6)
    assert _least_variance(place, sure) > 100 * exact
    assert _least_variance(place, sure, np.arange(4)) == 0  # one group a cluster says nothing


def test_table_without_clear_clusters_is_refused():
    table = nested(0.4)[0].table.drop(columns="run")
    both = table.assign(task=np.where(table.index == 3, "b", table["task"]))
    with pytest.raises(RunsError, match="the model 'a0' lies in more than one task: a, b"):
        model_data(SPEC, read_runs(both))
    with pytest.raises(RunsError, match=r"clusters of the column 'task', which the runs lack"):
        model_data(SPEC, read_runs(table.drop(columns="task")))
    with pytest.raises(RunsError, match=r"column 'task', row.*: no cluster; fill it in"):
        model_data(SPEC, read_runs(table.assign(task=table["task"].where(table.index != 3))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SOURCE.replace('cluster = "task"\n', ""),
            r"\[cluster_scales\]: the key 'cluster' is missing",
        ),
        (SOURCE.replace('"task"', '"model"'), "a column of the runs other than the group's"),
        (SOURCE.replace('"task"', "3"), "a column of the runs other than the group's"),
        (f"{HEAD}[noise]{NORMAL}", "no prior for an sd between clusters"),
        (SOURCE.replace(SCALES.split("\n")[2], SIGMA), "unknown key 'sigma'"),
        (SOURCE.replace(SCALES.split("\n")[2], ANY_SIGN), "Normal can be negative, an sd cannot"),
    ],
)
def test_clusters_that_cannot_be_are_refused(text, message):
    with pytest.raises(ModelError, match=message):
        parse_model(text, "mine")


def test_clusters_are_of_groups():
    text = 'cluster = "task"\n' + load_model("power-law").source
    with pytest.raises(ModelError, match="clusters are of groups, and the key 'group' is missing"):
        parse_model(text, "mine")


def test_shape_sees_effects_of_clusters_and_not_their_numbers():
    wider = parse_model(
        SOURCE.replace('"HalfNormal", sigma = 0.5', '"HalfNormal", sigma = 0.9'), "x"
    )
    assert wider.shape == SPEC.shape
    without = parse_model(f"{HEAD}[noise]{NORMAL}".replace('cluster = "task"\n', ""), "without")
    assert without.shape != SPEC.shape
    alone = SPEC.unpooled()
    assert (dict(alone.cluster_scales), alone.cluster) == ({}, "task")
    assert "cluster_index" not in model_data(alone, nested(0.4)[0])


@pytest.mark.slow
def test_clusters_and_groups_are_recovered(tmp_path):
    spreads = {}
    for between in (0.0, 0.8):
        runs, truth = nested(between)
        fitted = fit(runs, SPEC, draws=500, tune=800, target_accept=0.99, progress=False)
        assert fitted.diagnostics.divergences == 0
        assert fitted.diagnostics.max_r_hat < 1.03
        for name, alpha in truth.items():
            line = np.log(fitted.posterior["alpha"].sel(group=name))
            assert abs(line.mean() - np.log(alpha)) < 3 * line.std()
        spreads[between] = fitted.posterior["alpha_cluster_scale"]
        assert "alpha_cluster_scale" in fitted.summary().index
    assert spreads[0.0].median() < 0.12
    assert spreads[0.8].quantile(0.05) > 0.12
    assert abs(spreads[0.8].mean() - 0.8 * np.std(PLACES, ddof=1)) < 3 * spreads[0.8].std()
    new = np.log(fitted.with_new_group("new").posterior["alpha"].sel(group="new"))
    assert new.std() > 0.2  # of a cluster that no one knows
    again = load_fit(fitted.save(tmp_path / "fit.nc"))
    at = {"flops": 1e8, "model": "a0"}
    xr.testing.assert_equal(predict(again, at), predict(fitted, at))
    assert again.posterior["alpha_cluster_offset"].coords["cluster"].to_numpy().tolist() == list(
        "abcd"
    )
