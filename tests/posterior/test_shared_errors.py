"""Errors that rows share: of a value, or smooth along an axis; such posteriors made round."""

import warnings

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr

from bayescale.errors import ModelError, RunsWarning
from bayescale.modelling import compiling
from bayescale.modelling.spec import available_models, load_model, parse_model
from bayescale.posterior import fitting, prediction
from bayescale.posterior.fit import Fit
from bayescale.posterior.leaning import Leaning, coefficients, leaning_of, rest_of
from bayescale.posterior.prediction import cell_draws, predict, predict_runs, residuals
from bayescale.runs.table import read_runs

EFFECTS = """
[effects]
machine = { dist = "LogNormal", mu = -4.0, sigma = 0.5 }
cell = { dist = "LogNormal", mu = -5.0, sigma = 0.5, axes = ["flops"], sd = 0.10, length = 2.0 }

[noise]"""


def spec_of(effects=EFFECTS):
    text = load_model("power-law-hierarchical").source
    return parse_model(text.replace("\n[noise]", effects), "shared")


def truth_of(family: int, flops):
    """Log loss without noise."""
    law = 2 + (1 + family) * (flops / 1e18) ** -0.15
    return np.log(law) - 0.002 * np.log10(flops / 1e18) ** 3


def table():
    """Two families whose loss leaves a power law towards the largest runs."""
    rng, rows = np.random.default_rng(1), []
    for number, family in enumerate(("small", "large")):
        for flops in np.repeat(np.geomspace(1e18, 1e21, 12), 3):
            loss = np.exp(truth_of(number, flops))
            machine = f"m{rng.integers(4)}"
            loss *= np.exp(rng.normal(0, 0.001))
            cell = f"{family} {flops:.6g}"
            rows.append(
                {"family": family, "machine": machine, "cell": cell, "flops": flops, "loss": loss}
            )
    return pd.DataFrame(rows)


def test_without_a_c_compiler_no_limit_of_c_code_is_warned_of(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_own_code", lambda: str(tmp_path))  # which is not on disk
    with pytensor.config.change_flags(cxx=""), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fitting.target_of(spec_of(), read_runs(table()))
    assert not [one for one in said if "fusion" in str(one.message)]


@pytest.fixture(scope="module")
def fit() -> Fit:
    spec, runs = spec_of(), read_runs(table())
    with pytest.MonkeyPatch.context() as patch:
        # Few draws, of one attempt: what is tested is exact for each.
        patch.setattr(fitting, "WHITENED_ATTEMPTS", fitting.WHITENED_ATTEMPTS[:1])
        with pytest.warns(RunsWarning, match="few groups"):
            return fitting.fit(runs, spec, draws=100, tune=100, chains=2, seed=1)


def shared(fit: Fit) -> np.ndarray:
    """Errors of the cells as the model adds them, (chain, draw, obs)."""
    data, draws = fit.tree["constant_data"], fit.posterior
    own = [
        draws[f"{name}_effect"].to_numpy()[..., data[f"{name}_effect_index"].to_numpy()]
        for name in ("machine", "cell")
    ]
    return sum(own)


def test_cells_have_the_errors_that_the_model_gives_them(fit):
    (cells,) = cell_draws(fit)
    inputs = {name: cells.table[name].to_numpy() for name in ("flops", "family")}
    law = np.log(predict(fit, inputs).transpose("chain", "draw", ...).to_numpy())
    errors = shared(fit)
    assert np.abs(errors).max() > 0.01
    assert cells.mu.to_numpy() - law == pytest.approx(errors, abs=1e-9)


def test_one_group_has_the_errors_that_it_has_among_all(fit):
    (cells,) = cell_draws(fit)
    (own,) = cell_draws(fit.of_group("small"))
    rows = np.flatnonzero(cells.table["family"] == "small")
    assert own.mu.to_numpy() == pytest.approx(cells.mu.to_numpy()[..., rows], abs=1e-9)
    beyond = {"flops": [1e22], "machine": ["m0"], "cell": ["new"]}
    alone = prediction._shared_errors(fit.of_group("small"), beyond, 3)
    assert alone.to_numpy().ravel() == pytest.approx(errors_at(fit, [1e22])[:, 0], abs=1e-12)


def errors_at(fit: Fit, flops, family="small", machine="m0", cell="new") -> np.ndarray:
    """Errors of new runs, (samples, runs)."""
    at = {"flops": np.asarray(flops, dtype=float)}
    labels = {"family": family, "machine": machine, "cell": cell}
    at |= {name: [value] * len(flops) for name, value in labels.items()}
    errors = prediction._shared_errors(fit, at, 3)
    return errors.transpose("chain", "draw", "run").to_numpy().reshape(-1, len(flops))


def predicted(fit: Fit, flops, family: str) -> np.ndarray:
    """Log losses of new cells without the error of the machine, (samples, runs)."""
    at = {"flops": np.asarray(flops, dtype=float), "family": [family] * len(flops)}
    law = np.log(predict(fit, at)).transpose("chain", "draw", "run").to_numpy()
    machine = fit.posterior["machine_effect"].sel(machine_effect_of="m0").to_numpy()
    own = law - machine[..., None]
    return own.reshape(-1, len(flops)) + errors_at(fit, flops, family)


def test_what_the_law_leaves_goes_on_beyond_the_runs(fit):
    flops = np.array([2e21, 1e22])
    for number, family in enumerate(("small", "large")):
        truth = truth_of(number, flops)
        law = predict(fit, {"flops": flops, "family": [family] * 2}).mean(("chain", "draw"))
        alone, found = np.log(law.to_numpy()) - truth, predicted(fit, flops, family) - truth
        # The law says too much, and the more the farther; the errors take some off.
        assert alone[1] > alone[0] > 0.005
        assert np.abs(found.mean(axis=0)) == pytest.approx(0, abs=0.8 * alone[1])
        assert (np.abs(found.mean(axis=0)) < 2 * found.std(axis=0)).all()


def test_runs_not_seen_are_expected_with_what_the_law_leaves(fit):
    beyond = (
        table()
        .assign(flops=lambda own: 20 * own["flops"], cell="new")
        .query("flops > 2e21")
        .drop_duplicates("flops")
    )
    truth = np.exp(truth_of(0, beyond["flops"].to_numpy()))
    beyond = beyond.assign(family="small", loss=truth)
    found = residuals(fit, read_runs(beyond))
    said = predict(fit, {"flops": beyond["flops"].to_numpy(), "family": ["small"] * len(beyond)})
    by_law = said.median(("chain", "draw")).to_numpy()
    assert np.abs(found["residual"]).mean() < 0.8 * np.abs(np.log(truth / by_law)).mean()
    own = residuals(fit)  # of its own runs it is what the law leaves
    said = predict(fit, {name: own[name].to_numpy() for name in ("flops", "family")})
    assert own["fitted"].to_numpy() == pytest.approx(said.median(("chain", "draw")).to_numpy())


def test_errors_of_cells_that_follow_size_are_another_law_beyond_them(fit):
    spec, known = fit.spec, Leaning(fit.spec, "cell", fit.data)
    moved = np.array([0.1 if name == "alpha" else 0.0 for name in known._names])
    errors = np.zeros(fit.posterior["cell_effect"].shape)
    for group in (0, 1):
        errors[..., known.cells(group).number] = known.cells(group).tangents @ moved
    draws = fit.posterior.assign(
        cell_effect=(fit.posterior["cell_effect"].dims, errors),
        cell_effect_scale=xr.full_like(fit.posterior["cell_effect_scale"], 1e-3),
    ).drop_vars([leaning_of("cell"), rest_of("cell")])
    z, rest = coefficients(spec, "cell", fit.data, draws, seed=1)
    far = (np.array([3e22]),)
    for group in (0, 1):
        basis = known.basis(group, float(rest.mean()), far)
        found = (z.isel(group=group).to_numpy() @ basis.T).mean()
        expected = float((known._tangents(group, far) @ moved)[0])
        assert abs(expected) > 0.01
        assert found == pytest.approx(expected, abs=0.15 * abs(expected))


def test_errors_grow_with_the_distance_from_the_runs_and_stay_smooth(fit):
    spread = predicted(fit, [1.1e21, 1e22, 1e23, 1.1e23], "small")
    sds = spread.std(axis=0)
    assert sds[0] < 0.5 * sds[1]
    assert sds[1] < 0.5 * sds[2]
    assert np.corrcoef(spread[:, 2], spread[:, 3])[0, 1] > 0.95


def test_a_row_has_the_same_error_in_every_table_it_is_asked_in(fit):
    flops = [1e21, 1e22, 1e23]
    together = errors_at(fit, flops)
    for row in (0, 1, 2):
        alone = errors_at(fit, flops[row : row + 1])
        assert alone[:, 0] == pytest.approx(together[:, row], abs=1e-12)
    other = errors_at(fit, flops, family="large")
    at = {"flops": [1e21, 1e21, 1e22], "family": ["large", "small", "large"]}
    mixed = prediction._shared_errors(fit, at | {"machine": ["m0"] * 3, "cell": ["new"] * 3}, 3)
    mixed = mixed.transpose("chain", "draw", "run").to_numpy().reshape(-1, 3)
    expected = np.stack([other[:, 0], together[:, 0], other[:, 1]], axis=1)
    assert mixed == pytest.approx(expected, abs=1e-12)
    assert np.abs(other - together).max() > 1e-3
    known = fit.posterior["cell_effect"].sel(cell_effect_of="small 1e+21")
    machine = fit.posterior["machine_effect"].sel(machine_effect_of="m0")
    held = errors_at(fit, [1e21], cell="small 1e+21")[:, 0]
    assert held == pytest.approx((known + machine).to_numpy().ravel(), abs=1e-12)


def test_groups_asked_all_at_once_have_their_own_errors(fit):
    at = {"flops": 1e22, "machine": "m0", "cell": "new"}
    errors = prediction._shared_errors(fit, at, 3)
    for family in ("small", "large"):
        own = errors.sel(group=family).transpose("chain", "draw").to_numpy().ravel()
        assert own == pytest.approx(errors_at(fit, [1e22], family)[:, 0], abs=1e-12)
    assert predict_runs(fit, at, seed=3).dims == ("chain", "draw", "group")
    unnamed = predict_runs(fit, {"flops": [1e22, 1e23], "family": "small"}, seed=3)
    assert np.isfinite(unnamed).all()


def curvatures(target, scale) -> np.ndarray:
    """Eigenvalues of the Hessian at 0 of minus the log density, of all but the scales."""
    density = target.density
    at = density.evaluator({**target.data, fitting.SCALE: scale})
    names = [v.name for v in density.variables for _ in range(v.size)]
    scales = set(fitting._scales_of(spec_of()))
    own = np.array([name not in scales for name in names])
    slopes = [(at(-h)[1] - at(h)[1]) / 2e-4 for h in 1e-4 * np.eye(density.size)]
    return np.linalg.eigvalsh(np.stack(slopes)[np.ix_(own, own)])


def test_the_sampler_sees_a_round_posterior():
    target = fitting.target_of(spec_of(), read_runs(table()))
    found = curvatures(target, target.data[fitting.SCALE])
    assert found.min() > 0.3
    assert found.max() < 3
    # As sampled without the map some directions are thousands of times as narrow as others.
    assert curvatures(target, np.eye(target.density.size)).max() > 1000


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('axes = ["flops"]', "have axes, an sd"),
        ('axes = ["tokens"], sd = 0.1, length = 1.0', "tokens"),
        ('axes = "flops", sd = 0.1, length = 1.0', "must name inputs"),
        ('axes = ["flops"], sd = 0.1, length = 0.0', "length"),
    ],
)
def test_a_smooth_error_that_means_nothing_is_refused(entry, said):
    smooth = 'axes = ["flops"], sd = 0.10, length = 2.0'
    with pytest.raises(ModelError, match=said):
        spec_of(EFFECTS.replace(smooth, entry))


def test_shipped_models_of_several_scales_have_a_smooth_error():
    smooth = {name for name in available_models() if load_model(name).smooth}
    assert "mixture-joint-hierarchical" in smooth
    assert "mixture-hierarchical" not in smooth
