"""Groups whose runs span other ranges: each has a reference run of its own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from bayescale import fit, load_fit, load_model, parse_model, predict, read_runs
from bayescale.errors import ModelError, RunsWarning
from bayescale.laws import LAWS
from bayescale.modelling.build import as_arrays, draw_prior, model_data, start
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.fit import Fit
from bayescale.runs.table import Runs

OWN = Path(__file__).parents[1] / "own_laws"
LAW = {"E": 1.5, "alpha": 0.3}
BEGINS = {"far": 1e6, "middle": 1e5, "near": 1e3}
HEIGHTS = {"far": 2.0, "middle": 0.1, "near": 0.5}
SOURCE = (
    load_model("power-law-hierarchical")
    .source.replace('group = "family"', 'group = "family"\nreference = "group"')
    .replace("[pooling]  #", "[pooling]\n#")
    .replace('level = "partial"', 'level = "none"')
)
SPEC = parse_model(SOURCE, "own")


def ranges(runs: int = 8, noise: float = 0.005) -> Runs:
    """Three groups, each over two and a half decades, whose losses differ by factors."""
    rng, tables = np.random.default_rng(1), []
    for name, begin in BEGINS.items():
        flops = begin * np.geomspace(1, 300, runs)
        loss = HEIGHTS[name] * (LAW["E"] + 2 * (flops / begin) ** -LAW["alpha"])
        loss = loss * np.exp(noise * rng.standard_normal(runs))
        tables.append(pd.DataFrame({"family": name, "flops": flops, "loss": loss}))
    return read_runs(pd.concat(tables, ignore_index=True))


def from_prior(spec: ModelSpec, runs: Runs) -> Fit:
    """A fit whose posterior is the prior."""
    data = model_data(spec, runs)
    coords = {"group": sorted(BEGINS)}
    tree = xr.DataTree.from_dict(
        {
            "posterior": draw_prior(spec, data, draws=400, seed=2).assign_coords(coords),
            "prior": draw_prior(spec, data, draws=400).assign_coords(coords),
            "constant_data": xr.Dataset(as_arrays(spec, data)).assign_coords(coords),
            "observed_data": xr.Dataset({"log_loss": ("obs", data["observed"])}),
        }
    )
    tree.attrs = {"model": spec.name, "model_spec": spec.source}
    return Fit(spec, runs, tree)


def test_each_group_has_the_geometric_mean_of_its_own_runs():
    data = model_data(SPEC, ranges())
    centres = [BEGINS[name] * np.sqrt(300) for name in sorted(BEGINS)]
    np.testing.assert_allclose(data["reference_flops"], centres)
    same = parse_model(SOURCE.replace('reference = "group"', 'reference = "runs"'), "same")
    middle = np.exp(np.log(centres).mean())
    np.testing.assert_allclose(model_data(same, ranges())["reference_flops"], middle)
    assert same.shape != SPEC.shape


def test_level_is_the_log_loss_of_a_group_at_its_own_reference():
    data = model_data(SPEC, ranges())
    drawn = draw_prior(SPEC, data, draws=50)
    at = xr.DataArray(data["reference_flops"], dims="group")
    said = SPEC.law(at, **{name: drawn[name] for name in SPEC.law.parameters})
    np.testing.assert_allclose(np.log(said), drawn["level"], rtol=1e-10)


def test_level_that_is_not_pooled_lies_about_its_own_group():
    runs = ranges()
    data = model_data(SPEC, runs)
    means = np.log(runs.table["loss"]).groupby(runs.table["family"]).mean()
    overall = np.log(runs.table["loss"]).mean()
    np.testing.assert_allclose(data["level_shift"], means.sort_index() - overall)
    drawn = draw_prior(SPEC, data)["level"].squeeze()
    for number, mean in enumerate(means.sort_index()):
        assert stats.kstest((drawn[:, number] - mean) / 0.5, "norm").pvalue > 1e-3
    begun = start(SPEC, data)
    assert all(np.isclose(begun, mean).any() for mean in means)
    pooled = parse_model(SOURCE.replace('level = "none"', 'level = "partial"'), "pooled")
    assert "level_shift" not in model_data(pooled, runs)


def test_starting_point_lies_near_runs_of_every_range():
    """One reference for all is an extrapolation of decades for each group."""
    runs, far = ranges(), {}
    for reference in ("group", "runs"):
        text = SOURCE.replace('reference = "group"', f'reference = "{reference}"')
        spec = parse_model(text, reference)
        data = model_data(spec, runs)
        drawn = draw_prior(spec, data, draws=500)
        index = xr.DataArray(data["group_index"], dims="obs")
        natural = {name: drawn[name].isel(group=index) for name in spec.law.parameters}
        said = spec.law(xr.DataArray(data["input_flops"], dims="obs"), **natural)
        far[reference] = float(np.abs(np.log(said) - data["observed"]).median())
    assert far["group"] < far["runs"] / 2


def test_saved_groups_answer_the_same_and_a_new_one_is_drawn(tmp_path):
    own = from_prior(SPEC, ranges())
    again = load_fit(own.save(tmp_path / "fit.nc"))
    assert again.spec == own.spec
    for name in BEGINS:
        at = {"flops": [10 * BEGINS[name]], "family": name}
        np.testing.assert_array_equal(predict(again, at), predict(own, at))
        alone = own.of_group(name)
        np.testing.assert_array_equal(predict(alone, at), predict(own, at))
    for fitted in (own, again):
        new = fitted.with_new_group("new")
        middle = np.exp(np.log(own.tree["constant_data"]["reference_flops"]).mean())
        at = {"flops": float(middle), "family": "new"}
        level = new.posterior["level"].sel(group="new")
        np.testing.assert_allclose(np.log(predict(new, at)), level, rtol=1e-9)
        spread = np.log(list(HEIGHTS.values())).std()
        assert float(level.std()) > max(spread, 0.5)  # it may lie about any of the groups


def test_shared_parameters_of_own_references():
    """Amplitudes of groups with their own reference differ although nothing but noise is pooled."""
    text = SOURCE
    for name in ("level", "reducible", "alpha"):
        kind = "none" if name == "level" else "partial"
        text = text.replace(f'{name} = "{kind}"', f'{name} = "complete"', 1)
    spec = parse_model(text, "shared")
    data = model_data(spec, ranges())
    drawn = draw_prior(spec, data, draws=20)
    assert drawn["A"].dims == ("chain", "draw", "group")
    assert drawn["E"].dims == ("chain", "draw")


def test_reference_that_cannot_be_is_refused():
    with pytest.raises(ModelError, match="reference is 'groups'; did you mean 'group'"):
        parse_model(SOURCE.replace('reference = "group"', 'reference = "groups"'), "mine")
    text = 'reference = "group"\n' + load_model("power-law").source
    with pytest.raises(ModelError, match="reference is \"group\", but the key 'group' is missing"):
        parse_model(text, "mine")


def test_reference_of_a_mixture_is_that_of_all_runs():
    known, text = set(LAWS), (OWN / "mixture.toml").read_text("utf-8")
    text = f'reference = "group"\ngroup = "family"\n{text}\n[pooling]\nlevel = "none"\n'
    try:
        with pytest.raises(ModelError, match="reads a mixture, whose middle is that of all runs"):
            parse_model(text, "mine", laws=(OWN,))
    finally:
        for name in set(LAWS) - known:
            del LAWS[name]


@pytest.mark.slow
def test_groups_of_far_ranges_are_fitted(tmp_path):
    with pytest.warns(RunsWarning, match="few groups"):
        fitted = fit(ranges(), SPEC, draws=500, tune=500, target_accept=0.95, progress=False)
    assert fitted.diagnostics.divergences == 0
    for name, begin in BEGINS.items():
        at = {"flops": begin * 1e4, "family": name}
        truth = HEIGHTS[name] * (LAW["E"] + 2 * 1e4 ** -LAW["alpha"])
        draws = np.log(predict(fitted, at))
        assert abs(draws.mean() - np.log(truth)) < 3 * draws.std()
    again = load_fit(fitted.save(tmp_path / "fit.nc"))
    xr.testing.assert_equal(predict(again, at), predict(fitted, at))
