"""Errors that rows share: of a value, or smooth along an axis; such posteriors made round."""

import numpy as np
import pandas as pd
import pytest

from bayescale.errors import ModelError, RunsWarning
from bayescale.modelling.spec import available_models, load_model, parse_model
from bayescale.posterior import fit as fitting
from bayescale.posterior import prediction
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import cell_draws, predict, predict_runs
from bayescale.runs.table import read_runs

EFFECTS = """
[effects]
machine = { dist = "LogNormal", mu = -4.0, sigma = 0.5 }
family = { dist = "LogNormal", mu = -3.0, sigma = 0.5, axes = ["flops"], length = 1.0 }

[noise]"""


def spec_of(effects=EFFECTS):
    text = load_model("power-law-hierarchical").source
    return parse_model(text.replace("\n[noise]", effects), "shared")


def table():
    rng, rows = np.random.default_rng(1), []
    for number, family in enumerate(("small", "large")):
        for flops in np.geomspace(1e18, 1e21, 12):
            loss = 2 + (1 + number) * (flops / 1e18) ** -0.15
            machine = f"m{rng.integers(4)}"
            loss *= np.exp(rng.normal(0, 0.003))
            rows.append({"family": family, "machine": machine, "flops": flops, "loss": loss})
    return pd.DataFrame(rows)


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
    own = draws["machine_effect"].to_numpy()[..., data["machine_effect_index"].to_numpy()]
    found = draws["machine_effect_scale"].to_numpy()[..., None] * own
    index, basis = data["family_effect_index"].to_numpy(), data["family_effect_basis"].to_numpy()
    own = (draws["family_effect"].to_numpy()[..., index, :] * basis).sum(axis=-1)
    return found + draws["family_effect_scale"].to_numpy()[..., None] * own


def test_cells_have_the_errors_that_the_model_gives_them(fit):
    (cells,) = cell_draws(fit)
    inputs = {name: cells.table[name].to_numpy() for name in ("flops", "family")}
    law = np.log(predict(fit, inputs).transpose("chain", "draw", ...).to_numpy())
    errors = shared(fit)
    assert np.abs(errors).max() > 0.01
    # Of features off the runs a thousandth of the sd is left among them.
    assert cells.mu.to_numpy() - law == pytest.approx(errors, abs=3e-4)


def test_one_group_has_the_errors_that_it_has_among_all(fit):
    (cells,) = cell_draws(fit)
    (own,) = cell_draws(fit.of_group("small"))
    rows = np.flatnonzero(cells.table["family"] == "small")
    assert own.mu.to_numpy() == pytest.approx(cells.mu.to_numpy()[..., rows], abs=1e-9)


def errors_at(fit: Fit, flops, family="small", **more) -> np.ndarray:
    """Errors of new runs, (samples, runs)."""
    at = {"flops": np.asarray(flops, dtype=float), "family": [family] * len(flops), **more}
    errors = prediction._shared_errors(fit, at, 3)
    return errors.transpose("chain", "draw", "run").to_numpy().reshape(-1, len(flops))


def test_errors_beyond_the_runs_grow_from_known_to_drawn_and_stay_smooth(fit):
    machines = {"machine": ["m0"] * 4}
    near = errors_at(fit, [1e21, 1.1e21, 1e24, 1.1e24], **machines)
    scale = fit.posterior["family_effect_scale"].to_numpy().ravel()
    known = fit.posterior["machine_effect"].sel(machine_effect_of="m0", drop=True)
    known = (known * fit.posterior["machine_effect_scale"]).to_numpy().ravel()
    smooth = (near - known[:, None]) / scale[:, None]
    # Three decades off nothing of the runs is left: sds of the prior.
    assert smooth[:, 2].std() == pytest.approx(1.0, abs=0.2)
    flops, family = np.array([1e21, 1.1e21, 1e24, 1.1e24]), ["small"] * 4
    law = predict(fit, {"flops": flops, "family": family})
    law = np.log(law.transpose("chain", "draw", "run").to_numpy().reshape(-1, 4))
    spread = (law + near).std(axis=0)
    assert spread[0] < 0.2 * spread[2]
    for first, second in ((0, 1), (2, 3)):
        assert np.corrcoef(smooth[:, first], smooth[:, second])[0, 1] > 0.98
    assert abs(np.corrcoef(smooth[:, 0], smooth[:, 2])[0, 1]) < 0.35


def test_a_row_has_the_same_error_in_every_table_it_is_asked_in(fit):
    flops = [1e21, 1e22, 1e23]
    machines = ["m0", "new", "new"]
    together = errors_at(fit, flops, machine=machines)
    for row in (0, 1, 2):
        alone = errors_at(fit, flops[row : row + 1], machine=machines[row : row + 1])
        assert alone[:, 0] == pytest.approx(together[:, row], abs=1e-12)
    other = errors_at(fit, flops, family="large", machine=machines)
    assert np.abs(other - together).max() > 1e-3


def test_groups_asked_all_at_once_have_their_own_errors(fit):
    errors = prediction._shared_errors(fit, {"flops": 1e22, "machine": "m0"}, 3)
    for family in ("small", "large"):
        own = errors.sel(group=family).transpose("chain", "draw").to_numpy().ravel()
        alone = errors_at(fit, [1e22], family, machine=["m0"])
        assert own == pytest.approx(alone[:, 0], abs=1e-12)
    said = predict_runs(fit, {"flops": 1e22, "machine": "m0"}, seed=3)
    assert said.dims == ("chain", "draw", "group")


def test_the_sampler_sees_a_round_posterior():
    target = fitting._target(spec_of(), read_runs(table()))
    density = target.density
    bound, _ = density.bind(target.data)
    names = [v.name for v in density.variables for _ in range(v.size)]
    scales = set(fitting._scales_of(spec_of()))
    round_ = np.array([name not in scales for name in names])
    step = 1e-4 * np.eye(density.size)
    slopes = [(density.evaluate(bound, -h)[1] - density.evaluate(bound, h)[1]) / 2e-4 for h in step]
    curvature = np.linalg.eigvalsh(np.stack(slopes)[np.ix_(round_, round_)])
    assert curvature.min() > 0.3
    assert curvature.max() < 3
    assert np.abs(density.evaluate(bound, np.zeros(density.size))[1][round_]).max() < 1
    # As sampled without the map some directions are thousands of times as narrow as others.
    plain = {**target.data, fitting.SCALE: np.eye(density.size)}
    bound, _ = density.bind(plain)
    slopes = [(density.evaluate(bound, -h)[1] - density.evaluate(bound, h)[1]) / 2e-4 for h in step]
    curvature = np.linalg.eigvalsh(np.stack(slopes)[np.ix_(round_, round_)])
    assert curvature.max() > 1000


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('axes = ["flops"]', "has axes and a length"),
        ('axes = ["tokens"], length = 1.0', "tokens"),
        ('axes = "flops", length = 1.0', "must name inputs"),
        ('axes = ["flops"], length = 0.0', "length"),
    ],
)
def test_a_smooth_error_that_means_nothing_is_refused(entry, said):
    smooth = 'axes = ["flops"], length = 1.0'
    with pytest.raises(ModelError, match=said):
        spec_of(EFFECTS.replace(smooth, entry))


def test_shipped_models_of_several_scales_have_a_smooth_error():
    smooth = {name for name in available_models() if load_model(name).smooth}
    assert "mixture-joint-hierarchical" in smooth
    assert "mixture-hierarchical" not in smooth
