"""What is said of the settings of planned runs."""

from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import xarray as xr
from conftest import KNOBS, known_settings, quietly, simulated_settings

from bayescale.decisions.prices import Prices
from bayescale.decisions.tune import _said_of_rules, answer_tuning, fit_tuning, roles_of, setting
from bayescale.errors import FitError, RunsError
from bayescale.files import SCHEMA
from bayescale.posterior.fit import Fit
from bayescale.report.schema import schema_of

PLAN = {"params": 1.6e9, "tokens": 2.56e11}


def near(spread: float = 0.02) -> Fit:
    """Draws close to the power laws that made the table."""
    fit = known_settings()
    rng, tree, at = np.random.default_rng(0), fit.tree.copy(), fit.posterior
    shape = {"chain": at.sizes["chain"], "draw": at.sizes["draw"]}

    def drawn(middle: float, scale: float = spread) -> xr.DataArray:
        values = middle + scale * rng.standard_normal(tuple(shape.values()))
        return xr.DataArray(values, dims=tuple(shape))

    groups = [name.split() for name in at["group"].to_numpy()]
    counts = [(float(n[:-1]) * 1e6, float(t[:-1]) * 1e9) for n, t in groups]
    x = [1e-3 * (n / 2e8) ** -0.5 * (t / 1.6e10) ** 0.2 for n, t in counts]
    z = [5e5 * (t / 1.6e10) ** 0.5 for _, t in counts]
    floors = [9 * (n * t) ** -0.025 for n, t in counts]
    known = {"x_best": x, "z_best": z, "L_min": floors}
    of_cells = {
        name: np.exp(drawn(0.0)) * xr.DataArray(v, dims="group", coords={"group": at["group"]})
        for name, v in known.items()
    }
    own = {
        **{"place_along_params": drawn(-0.5), "place_along_tokens": drawn(0.2)},
        **{"second_place_along_params": drawn(0.0), "second_place_along_tokens": drawn(0.5)},
        **{"curvature": 0.02 + 0 * at["curvature"], "asymmetry": drawn(0.7)},
        **{"second_curvature": 0.01 + 0 * at["curvature"], "coupling": drawn(1.2)},
    }
    tree["posterior"] = at.assign({**of_cells, **own})
    return replace(fit, tree=tree)


@pytest.fixture(scope="module")
def asked():
    return answer_tuning(
        near(),
        [PLAN],
        candidate={"learning_rate": 1e-4, "batch_size_tokens": 1e6},
        prices=Prices.of_hardware(2.0),
    )


def test_the_answer_follows_its_schema(asked):
    jsonschema.validate(
        {"schema": SCHEMA, **asked.record}, schema_of("tune"), cls=jsonschema.Draft202012Validator
    )


def test_exponents_are_those_of_the_draws(asked):
    said = asked.numbers["exponents"]
    assert said["learning_rate"]["params"]["median"] == pytest.approx(-0.5, abs=0.02)
    assert said["batch_size_tokens"]["tokens"]["median"] == pytest.approx(0.5, abs=0.02)
    assert any("params^-0.5" in sentence for sentence in asked.sentences)


def test_the_answer_comes_first_and_says_the_settings(asked):
    assert asked.sentences[0].startswith("1.60B params on 256B tokens: best learning_rate ")
    assert asked.sentences[1].startswith("Choose learning_rate ")


def test_what_a_candidate_costs_is_said_in_loss_tokens_and_money(asked):
    (plan,) = asked.numbers["plans"]
    cost = plan["costs"]["candidate"]
    assert cost["loss"]["median"] > plan["costs"]["choice"]["loss"]["median"]
    rise, slope = np.log1p(cost["loss"]["median"]), 0.025
    assert cost["tokens"]["median"] == pytest.approx(np.expm1(rise / slope), rel=0.2)
    flops = 6 * PLAN["params"] * PLAN["tokens"]
    dollars = cost["tokens"]["median"] * flops * Prices.of_hardware(2.0).training
    assert cost["money"]["median"] == pytest.approx(dollars, rel=0.05)
    assert any("more tokens" in sentence and "$" in sentence for sentence in asked.sentences)


def test_a_forced_setting_stays_and_the_other_is_tuned_to_it():
    answer = answer_tuning(near(), [PLAN], forced={"batch_size_tokens": 1e5})
    (plan,) = answer.numbers["plans"]
    assert plan["settings"]["batch_size_tokens"] == 1e5
    assert set(plan["best"]) == {"learning_rate"}
    free = answer_tuning(near(), [PLAN]).numbers["plans"][0]
    assert plan["best"]["learning_rate"]["median"] < free["best"]["learning_rate"]["median"]
    assert plan["costs"]["choice"]["expected_loss"] > free["costs"]["choice"]["expected_loss"]


def test_a_planned_run_that_was_swept_is_its_cell():
    answer = answer_tuning(near(), [{"params": 2e8, "tokens": 1.6e10}])
    (plan,) = answer.numbers["plans"]
    assert plan["cell"] == "200M 16.0B"
    assert plan["decades_beyond"] == 0
    assert plan["best"]["learning_rate"]["median"] == pytest.approx(1e-3, rel=0.02)


def test_best_values_beyond_what_was_tried_are_bounds():
    fit = near()
    table = fit.runs.table
    kept = table[
        table["learning_rate"] < 0.9 * table.groupby("cell")["learning_rate"].transform("median")
    ]
    narrow = replace(fit, runs=replace(fit.runs, table=kept))
    said = " ".join(answer_tuning(narrow).sentences)
    assert "In every cell the best learning_rate may lie above all that was tried" in said
    assert "a lower bound, not an interior estimate" in said
    assert "The best batch_size_tokens lies within what was tried" in said
    assert "not an interior" not in " ".join(answer_tuning(fit).sentences)  # the control


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(FitError, match="say the tokens of the planned run"):
        answer_tuning(near(), [{"params": 1e9}])
    with pytest.raises(FitError, match="forced: no setting 'lr' was swept"):
        answer_tuning(near(), [PLAN], forced={"lr": 1e-3})
    with pytest.raises(FitError, match="learning_rate must be positive"):
        answer_tuning(near(), [PLAN], candidate={"learning_rate": 0.0})
    with pytest.raises(RunsError, match="no column 'warmup'"):
        quietly(fit_tuning, simulated_settings(), "warmup")


def test_roles_are_told_by_names():
    assert roles_of(["lr", "batch_tokens"]) == {"learning_rate": "lr", "batch": "batch_tokens"}
    assert roles_of(["batch_size"]) == {}  # sequences are no tokens


@pytest.mark.parametrize(
    ("value", "said"), [(7.8e-4, "7.80e-4"), (0.05, "0.0500"), (3.177e6, "3.18M"), (64.0, "64.0")]
)
def test_settings_are_written_as_people_write_them(value, said):
    assert setting(value) == said


def four_cells():
    """Two sizes on two numbers of tokens: the fewest that tell every exponent."""
    return simulated_settings(noise=0.001, sizes=(1e8, 8e8)).query("tokens != 1.6e10")


@pytest.mark.slow
def test_a_simulated_sweep_gives_back_its_power_laws():
    table = four_cells()
    fit = quietly(fit_tuning, table, KNOBS)
    assert not fit.problems
    answer = answer_tuning(fit, [PLAN])
    said = answer.numbers["exponents"]
    for knob, column, true in (
        ("learning_rate", "params", -0.5),
        ("learning_rate", "tokens", 0.2),
        ("batch_size_tokens", "params", 0.0),
        ("batch_size_tokens", "tokens", 0.5),
    ):
        own = said[knob][column]
        assert own["q05"] - 0.02 <= true <= own["q95"] + 0.02
        assert own["q95"] - own["q05"] < 0.35
    best = answer.numbers["plans"][0]["best"]
    true = 1e-3 * (1.6e9 / 2e8) ** -0.5 * (2.56e11 / 1.6e10) ** 0.2
    assert best["learning_rate"]["q05"] < true < best["learning_rate"]["q95"]
    assert best["batch_size_tokens"]["q05"] < 5e5 * 4 < best["batch_size_tokens"]["q95"]


@pytest.mark.slow
def test_diverged_runs_are_bounds_and_not_dropped():
    """Without the wall of diverged runs the best rate is not bracketed."""
    table = four_cells()
    rank = table.groupby(["params", "tokens"])["learning_rate"].rank(method="dense")
    lost = table.assign(loss=table["loss"].where(rank < 4))  # of five rates the upper two
    kept = quietly(fit_tuning, lost, KNOBS)
    dropped = quietly(fit_tuning, lost.dropna(), KNOBS)
    width = [
        float(np.log(f.posterior["x_best"]).std(("chain", "draw")).mean()) for f in (kept, dropped)
    ]
    assert width[0] < width[1]


def test_published_laws_are_told_apart_from_one_constant():
    def own(rule, cost, constant=None):
        return {"rule": rule, "loss": {"median": cost}, "constant": constant}

    rules = [own("this fit", 1e-5), own("one constant", 0.002, {"learning_rate": 1e-3})]
    constant = "On these cells one constant (learning_rate 1.00e-3) would cost 0.20% of the loss"
    assert _said_of_rules(rules) == [f"{constant}."]
    laws = [own("DeepSeek", 0.003), own("Step Law", 0.015)]
    said = f"{constant}; published laws would cost DeepSeek 0.30%, Step Law 1.50%."
    assert _said_of_rules([*rules, *laws]) == [said]
    assert _said_of_rules(rules[:1]) == []
