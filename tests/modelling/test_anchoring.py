import arviz as az
import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, simulated_table, to_line
from scipy.stats import chi2

from bayescale import fit, load_model, read_runs
from bayescale.errors import RunsWarning
from bayescale.modelling import build as model
from bayescale.modelling.build import cells_of, placed
from bayescale.modelling.inputs import inputs_of
from bayescale.modelling.pooling import _entries, _estimate, _least_variance, anchoring
from bayescale.runs.table import Runs

SPEC = load_model("chinchilla-hierarchical")


def groups_of(*levels: float, sizes: tuple[int, ...] = (30, 30, 30)) -> Runs:
    """Three groups whose losses differ by factors, with so many runs each."""
    tables = []
    for seed, (name, level, size) in enumerate(zip("abc", levels, sizes, strict=True)):
        table = simulated_table(seed=seed).iloc[:: 30 // size]
        tables.append(table.assign(family=name, loss=level * table["loss"]))
    return read_runs(pd.concat(tables, ignore_index=True))


def chosen(runs: Runs) -> dict[str, np.ndarray]:
    cells = cells_of(SPEC, runs).table
    spec = placed(SPEC, {"observed": cells["observed"], "weight": cells["weight"]})
    groups = pd.factorize(cells["family"], sort=True)[0]
    return anchoring(spec, inputs_of(spec, cells), cells["observed"].to_numpy(), groups)


def test_equal_groups_are_anchored_at_their_weighted_mean():
    forms = chosen(groups_of(1.0, 1.0, 1.0))
    assert set(forms) == {f"{name}_weight" for name in SPEC.partial}
    for weight in forms.values():
        assert weight.shape == (3,)
        assert weight.sum() == pytest.approx(1.0)
        assert (weight > 0).all()


def test_differing_groups_are_centred_where_they_differ():
    forms = chosen(groups_of(1.0, 1.1, 1.2))
    centring = forms["level_centring"]
    assert ((centring > 0.9) & (centring < 1)).all()  # thirty runs settle a group's level
    assert "level_weight" not in forms
    assert {"alpha_weight", "beta_weight", "sigma_weight"} <= set(forms)  # not in these
    assert len(forms) == len(SPEC.partial)


def test_noise_is_anchored_by_the_number_of_runs():
    forms = chosen(groups_of(1, 1.1, 1.2, sizes=(30, 30, 6)))
    np.testing.assert_allclose(forms["sigma_weight"], np.array([30, 30, 6]) / 66)


def test_groups_of_few_runs_lean_on_the_others():
    apart, alike = (
        chosen(groups_of(*levels, sizes=(30, 30, 6))) for levels in ((1, 1.1, 1.2), (1, 1, 1))
    )
    assert apart["level_centring"][2] < apart["level_centring"][:2].min()
    assert alike["level_weight"][2] < alike["level_weight"][:2].min()


@pytest.mark.filterwarnings("ignore:losses far off")
def test_estimates_of_noisy_groups_are_as_far_off_as_their_errors_say():
    """Noise of 15% where the prior expects 1%: the priors hold what so few runs do not tell."""
    far = []
    for seed in range(30):
        cells = cells_of(SPEC, read_runs(simulated_table(0.15, seed).iloc[::2].assign(family="a")))
        table = cells.table
        spec = placed(SPEC, {"observed": table["observed"], "weight": table["weight"]})
        inputs = [table[name].to_numpy() for name in spec.inputs]
        reference = tuple(np.exp(np.log(values).mean()) for values in inputs)
        observed, names = table["observed"].to_numpy(), _entries(spec, reference)
        place, error = _estimate(spec, names, inputs, observed, reference)
        found = dict(zip(spec.priors, (place - truth_at(reference)) / error, strict=True))
        far.append([found["reducible"], found["alpha"], found["beta"]])
    assert np.sqrt(np.mean(np.square(far))) < 1.1
    assert np.abs(far).max() < 4


def truth_at(reference: tuple[float, ...]) -> np.ndarray:
    """Coordinates of `TRUTH` on the real line, at a reference run."""
    from_params = TRUTH["A"] * reference[0] ** -TRUTH["alpha"]
    from_tokens = TRUTH["B"] * reference[1] ** -TRUTH["beta"]
    reducible = from_params + from_tokens
    level = TRUTH["E"] + reducible
    values = {"level": np.log(level), "reducible": reducible / level}
    values |= {"split": from_params / reducible, "alpha": TRUTH["alpha"], "beta": TRUTH["beta"]}
    return np.array([to_line(name, value) for name, value in values.items()])


def test_variance_that_groups_show_at_least():
    """Without errors the Q-profile bound is S / chi2; with errors that explain S it is 0."""
    place = np.array([0.0, 1.0, 3.0, 4.0])
    exact = ((place - 2) ** 2).sum() / chi2.ppf(0.9, 3)
    assert _least_variance(place, np.full(4, 1e-6)) == pytest.approx(exact, rel=1e-6)
    assert 0 < _least_variance(place, np.ones(4)) < exact
    assert _least_variance(place, np.full(4, 2.0)) == 0
    assert _least_variance(np.ones(4), np.full(4, 0.1)) == 0


@pytest.mark.slow
def test_posterior_is_the_same_in_either_form(monkeypatch):
    spec, runs = (
        load_model("chinchilla-shared-exponents"),
        groups_of(1, 1.05, 1.02, sizes=(15,) * 3),
    )
    forms = {
        "weight": {f"{name}_weight": np.array([0.5, 0.3, 0.2]) for name in spec.partial},
        "centring": {f"{name}_centring": np.array([0.9, 0.5, 0.1]) for name in spec.partial},
    }
    summaries, names = {}, ["level", "alpha", "E", "split", "level_population", "level_scale"]
    for kind, form in forms.items():
        monkeypatch.setattr(model, "anchoring", lambda *_, form=form: form)
        with pytest.warns(RunsWarning, match="few groups"):
            fitted = fit(runs, spec, draws=800, tune=700, target_accept=0.99, progress=False)
        assert f"level_{kind}" in fitted.tree["constant_data"]
        summaries[kind] = az.summary(fitted.tree, var_names=names, round_to="none")
    one, other = summaries["weight"], summaries["centring"]
    error = np.hypot(one["mcse_mean"], other["mcse_mean"])
    assert (error < 0.15 * one["sd"]).all()  # else nothing would be shown
    assert (abs(one["mean"] - other["mean"]) < 4.5 * error).all()
    np.testing.assert_allclose(one["sd"], other["sd"], rtol=0.25)
