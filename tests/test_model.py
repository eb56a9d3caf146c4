import numpy as np
import pymc as pm
import pytest
from conftest import simulated_table
from scipy import stats

from bayescale.model import build_model
from bayescale.runs import Runs, read_runs
from bayescale.spec import available_models, load_model

POINT = {
    "level": 1.0,
    "reducible": 0.3,
    "split": 0.5,
    "alpha": 0.35,
    "beta": 0.37,
    "alpha_N": 0.08,
    "alpha_D": 0.09,
    "sigma": 0.02,
    "nu": 5.0,
}


def log_density(model: pm.Model, variable: str = "log_loss") -> np.ndarray:
    """Log-likelihood of every run at POINT, from PyMC's own graph."""
    values = [model.rvs_to_values[rv] for rv in model.free_RVs]
    [graph] = model.logp(vars=[model[variable]], sum=False)
    transformed = model.replace_rvs_by_values([graph])[0]
    point = {}
    for rv, value in zip(model.free_RVs, values, strict=True):
        transform = model.rvs_to_transforms[rv]
        number = np.float64(POINT[rv.name])  # a Python float would become float32
        point[value] = number if transform is None else transform.forward(number).eval()
    return transformed.eval(point, mode="FAST_COMPILE")


@pytest.mark.parametrize("name", available_models())
def test_likelihood_equals_the_law_in_numpy(name):
    spec, runs = load_model(name), read_runs(simulated_table())
    inputs = [runs.column(column) for column in spec.inputs]
    sampled = {coordinate: POINT[coordinate] for coordinate in spec.priors}
    reference = tuple(np.exp(np.log(values).mean()) for values in inputs)
    centre = np.log(spec.law.loss(*inputs, **spec.law.to_natural(sampled, reference)))
    log_loss = np.log(runs.column("loss"))
    family = (
        stats.norm(centre, POINT["sigma"])
        if spec.noise == "Normal"
        else stats.t(POINT["nu"], centre, POINT["sigma"])
    )
    np.testing.assert_allclose(
        log_density(build_model(spec, runs)), family.logpdf(log_loss), atol=1e-8, rtol=1e-10
    )


def test_natural_parameters_are_deterministics():
    model = build_model(load_model("chinchilla"), read_runs(simulated_table()))
    assert {v.name for v in model.deterministics} == {"E", "A", "B"}
    assert {v.name for v in model.free_RVs} == {
        "level",
        "reducible",
        "split",
        "alpha",
        "beta",
        "sigma",
        "nu",
    }


def total(model):
    point = model.initial_point()
    return float(model.compile_logp(mode="FAST_COMPILE")(point))


def test_weight_zero_is_a_dropped_run():
    spec, runs = load_model("chinchilla"), read_runs(simulated_table())
    weights = np.ones(30)
    weights[[3, 17]] = 0
    kept = Runs(runs.table[weights > 0], "test")
    weighted, dropped = build_model(spec, runs, weights), build_model(spec, kept)
    for name in ("reference_params", "reference_tokens"):  # the same coordinates on both sides
        dropped[name].set_value(weighted[name].get_value())
    assert total(weighted) == pytest.approx(total(dropped), rel=1e-12)
    assert total(build_model(spec, runs)) != pytest.approx(total(dropped), rel=1e-6)


def test_weights_of_one_change_nothing():
    spec, runs = load_model("chinchilla"), read_runs(simulated_table())
    assert total(build_model(spec, runs, np.ones(30))) == total(build_model(spec, runs))


def test_priors_are_data():
    model = build_model(load_model("chinchilla"), read_runs(simulated_table()))
    before = total(model)
    with model:
        pm.set_data({"alpha_prior_mu": 3.0})
    assert total(model) < before
