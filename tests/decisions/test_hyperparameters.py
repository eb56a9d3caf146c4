"""Bowls of settings: known surfaces, and fits whose draws are made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import tomlkit
import xarray as xr
from conftest import KNOBS, SURFACE, known_settings, of_the_prior, quietly, simulated_settings

from bayescale.decisions.hyperparameters import (
    CONSTANT,
    OWN,
    PUBLISHED,
    Bowl,
    bowl_of,
    bracketed,
    cell_at,
    more_tokens,
    next_sweeps,
    places_of,
    regrets,
    tokens_slope,
)
from bayescale.decisions.tune import _said_of_collinear, answer_tuning
from bayescale.errors import FitError
from bayescale.laws.response_surface import best_shift
from bayescale.modelling.spec import load_model, parse_model
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import constants_fit
from bayescale.runs.sweeps import as_sweep


def one(draws: xr.DataArray) -> float:
    """Take the only draw."""
    return draws.item()


def known_bowl(tmp_path, **changes) -> Bowl:
    """The bowl of given constants: a model of one cell."""
    text = tomlkit.parse(load_model("tuning-pair").source)
    for key in ("group", "cluster", "pooling", "trends", "scales", "cluster_scales"):
        text.pop(key)
    text["priors"]["level"].pop("about")
    path = tmp_path / "one.toml"
    path.write_text(tomlkit.dumps(text))
    return Bowl(constants_fit(path, **{**SURFACE, **changes}))


@pytest.fixture(scope="module")
def drawn() -> Fit:
    return known_settings()


def test_nothing_is_lost_at_the_best_settings_and_what_the_law_says_elsewhere(tmp_path):
    bowl = known_bowl(tmp_path)
    assert one(bowl.rise(learning_rate=1e-3, batch_size_tokens=5e5)) == pytest.approx(0, abs=1e-9)
    u, v = np.log(2), np.log(4)
    at = 2e-3 * np.exp(best_shift(v, 1.2, -1.0))
    said = one(bowl.rise(learning_rate=at, batch_size_tokens=2e6))
    assert said == pytest.approx(0.02 / 0.49 * (np.expm1(0.7 * u) - 0.7 * u) + 0.005 * v**2)


def test_a_setting_that_is_not_given_is_tuned_to_the_others(tmp_path):
    bowl = known_bowl(tmp_path)
    v = np.log(1e5 / 5e5)
    assert one(bowl.rise(batch_size_tokens=1e5)) == pytest.approx(0.005 * v**2, rel=1e-6)
    tuned = bowl.tuned_to({"batch_size_tokens": 1e5})["learning_rate"]
    assert one(tuned) == pytest.approx(1e-3 * np.exp(best_shift(v, 1.2, -1.0)), rel=1e-4)
    assert one(tuned) < 0.5e-3  # far from the best rate of the best batch


def test_the_choice_is_the_best_where_that_is_known(tmp_path):
    bowl = known_bowl(tmp_path)
    assert bowl.choice() == pytest.approx(
        {"learning_rate": 1e-3, "batch_size_tokens": 5e5}, rel=0.01
    )
    forced = bowl.choice(batch_size_tokens=1e5)
    assert forced["batch_size_tokens"] == 1e5
    assert forced["learning_rate"] == pytest.approx(
        one(bowl.tuned_to({"batch_size_tokens": 1e5})["learning_rate"]), rel=0.01
    )


def test_the_choice_keeps_away_from_the_steep_wall(tmp_path):
    bowl = known_bowl(tmp_path)
    draws = np.exp(np.linspace(-1.5, 1.5, 41))[None]
    tree = bowl.fit.tree.copy()
    spread = bowl.fit.posterior.isel(chain=[0], draw=np.zeros(41, dtype=int))
    spread = spread.assign_coords(draw=np.arange(41))
    tree["posterior"] = spread.assign(x_best=(("chain", "draw"), 1e-3 * draws))
    wide = Bowl(replace(bowl.fit, tree=tree))
    assert wide.choice()["learning_rate"] < 0.8e-3


@pytest.mark.parametrize("within", [0.002, 0.01])
def test_a_basin_ends_where_the_cost_is_what_was_allowed(tmp_path, within):
    bowl = known_bowl(tmp_path)
    batch = bowl.basin("batch_size_tokens", within)
    half = np.exp(np.sqrt(2 * np.log1p(within) / 0.01))
    assert one(batch["high"]) == pytest.approx(5e5 * half, rel=0.01)
    assert one(batch["low"]) == pytest.approx(5e5 / half, rel=0.01)
    rate = bowl.basin("learning_rate", within)
    for end in ("low", "high"):
        at = {"learning_rate": one(rate[end]), "batch_size_tokens": 5e5}
        assert one(bowl.rise(**at)) == pytest.approx(np.log1p(within), rel=0.02)
    assert 1e-3 / one(rate["low"]) > one(rate["high"]) / 1e-3  # the steeper wall is above


def test_no_basin_where_the_forced_setting_costs_as_much(tmp_path):
    bowl = known_bowl(tmp_path)
    assert np.isnan(one(bowl.basin("learning_rate", 0.002, batch_size_tokens=5e3)["low"]))


def test_unknown_and_impossible_settings_are_refused(tmp_path):
    bowl = known_bowl(tmp_path)
    with pytest.raises(FitError, match="did you mean 'learning_rate'"):
        bowl.rise(learning_rat=1e-3)
    with pytest.raises(FitError, match="must be positive"):
        bowl.rise(learning_rate=-1e-3)
    with pytest.raises(FitError, match="has no settings to choose"):
        bowl_of(constants_fit("chinchilla", E=1.7, A=400, B=400, alpha=0.3, beta=0.3))


def test_a_cell_is_found_by_its_counts_and_another_run_is_planned(drawn):
    at = places_of(drawn)
    assert cell_at(drawn, {"params": 2.01e8, "tokens": 1.6e10}) == "200M 16.0B"
    assert cell_at(drawn, {"params": 2.2e8, "tokens": 1.6e10}) is None
    own = bowl_of(drawn, params=2e8, tokens=1.6e10).best["learning_rate"]
    held = drawn.posterior["x_best"].sel(group="200M 16.0B")
    np.testing.assert_allclose(own, held)
    assert at["200M 16.0B"] == pytest.approx({"params": 2e8, "tokens": 1.6e10})


def test_a_planned_run_lies_on_the_trends_of_its_draw(drawn):
    along = {"params": 1.6e9, "tokens": 2.56e11}
    new = drawn.with_new_group("x", along=along, typical=True).of_group("x")
    posterior = drawn.posterior
    middle = {"params": np.sqrt(2e8 * 4e8), "tokens": 1.6e10}
    expected = posterior["place_population"] + sum(
        posterior[f"place_along_{name}"] * np.log10(along[name] / middle[name]) for name in along
    )
    reference = float(drawn.tree["constant_data"]["reference_learning_rate"])
    np.testing.assert_allclose(np.log10(new.natural["x_best"] / reference), expected, atol=1e-9)


def test_a_planned_run_of_a_swept_size_has_its_deviation(drawn):
    along = {"params": 2e8, "tokens": 2.56e11}
    known = drawn.with_new_group("x", along=along, typical=True, cluster="200M").of_group("x")
    other = drawn.with_new_group("x", along=along, typical=True).of_group("x")
    ratio = np.log10(known.natural["x_best"] / other.natural["x_best"])
    own = drawn.posterior["place_cluster_offset"].sel(cluster="200M")
    np.testing.assert_allclose(ratio, own * drawn.posterior["place_cluster_scale"], atol=1e-9)
    scatter = [bowl_of(drawn, params=p, tokens=2.56e11).best["learning_rate"] for p in (2e8, 2.5e8)]
    spread = [
        float(np.log(best / typical).std())
        for best, typical in zip(
            scatter,
            (
                known.natural["x_best"],
                drawn.with_new_group("x", along={**along, "params": 2.5e8}, typical=True)
                .of_group("x")
                .natural["x_best"],
            ),
            strict=True,
        )
    ]
    assert spread[0] < spread[1]  # of a new size nobody knows the deviation


def test_a_new_group_says_where_it_lies(drawn):
    with pytest.raises(FitError, match=r"lies along tokens.*with_new_group\(along="):
        drawn.with_new_group("x", along={"params": 1e9})
    with pytest.raises(FitError, match="no cluster '300M'"):
        drawn.with_new_group("x", along={"params": 1e9, "tokens": 1e10}, cluster="300M")


def test_bracketed_counts_the_draws_within_what_was_tried(drawn):
    sides = bracketed(drawn)
    np.testing.assert_allclose(sides.sum("side"), 1.0)
    table = drawn.runs.table
    own = table[table["cell"] == "200M 16.0B"]["learning_rate"]
    best = drawn.posterior["x_best"].sel(group="200M 16.0B")
    said = sides.sel(knob="learning_rate", cell="200M 16.0B")
    assert float(said.sel(side="above")) == pytest.approx(float((best > own.max()).mean()))
    assert float(said.sel(side="inside")) < 0.9  # draws of the prior are wide


def with_levels(fit: Fit, slope: float) -> Fit:
    """The same fit, its floors falling like D^-slope and N^-0.1."""
    at = places_of(fit)
    floors = [
        np.log(3) - slope * np.log(o["tokens"]) - 0.1 * np.log(o["params"]) for o in at.values()
    ]
    tree = fit.tree.copy()
    least = xr.DataArray(np.exp(floors), dims="group", coords={"group": list(at)})
    tree["posterior"] = fit.posterior.assign(L_min=0.0 * fit.posterior["L_min"] + least)
    return replace(fit, tree=tree)


def test_what_a_rise_is_worth_in_tokens_follows_from_the_floors(drawn):
    slope = tokens_slope(with_levels(drawn, 0.04))
    np.testing.assert_allclose(slope, 0.04)
    rise = xr.full_like(slope, 0.02)
    np.testing.assert_allclose(more_tokens(rise, slope), np.expm1(0.5))
    assert np.isinf(more_tokens(rise, -slope)).all()


def test_one_run_alone_says_nothing_of_what_tokens_are_worth(drawn):
    fit, crashed = with_levels(drawn, 0.04), drawn.groups[0]
    own = fit.runs.table
    once = own[(own["cell"] != crashed) | ~own["cell"].duplicated()]
    levels = fit.posterior["L_min"].where(fit.posterior["group"] != crashed, 7.9)
    fit.tree["posterior"] = fit.posterior.assign(L_min=levels)
    one = replace(fit, runs=replace(fit.runs, table=once))
    np.testing.assert_allclose(tokens_slope(one), 0.04)


def test_floors_in_one_ratio_say_nothing_of_tokens(drawn):
    table = simulated_settings(sizes=(1e8, 2e8, 4e8, 8e8))
    one = table[np.isclose(table["tokens"], 1.6e10)]
    runs = quietly(as_sweep, one, KNOBS)
    alike = replace(drawn, runs=runs, tree=drawn.tree.copy())
    names = [g for g in drawn.groups if "16.0B" in g]
    alike.tree["posterior"] = drawn.posterior.sel(group=names)
    assert tokens_slope(alike) is None


def test_published_laws_are_those_of_their_papers():
    said = {rule.name: rule.settings(1e9, 1e11, 2.5) for rule in PUBLISHED}
    assert said["Step Law"]["learning_rate"] == pytest.approx(1.79 * 1e9**-0.713 * 1e11**0.307)
    assert said["DeepSeek"]["batch"] == pytest.approx(0.2920 * 6e20**0.3271)
    assert said["Kaplan"] == pytest.approx({"learning_rate": 3.48e-4, "batch": 2.55e6}, rel=0.01)
    assert said["Porian"]["batch"] == pytest.approx(0.7576 * 1e9**0.703)


def test_the_rule_that_made_the_cells_costs_least(drawn):
    """Draws that lie on known power laws: their own rule is right, one constant is not."""
    at, tree = places_of(drawn), drawn.tree.copy()
    cells = list(at)
    exact = {
        "x_best": [1.79 * o["params"] ** -0.713 * o["tokens"] ** 0.307 for o in at.values()],
        "z_best": [0.58 * o["tokens"] ** 0.571 for o in at.values()],
        "curvature": [0.02] * len(at),
        "second_curvature": [0.01] * len(at),
    }
    own = {
        name: 0.0 * drawn.posterior[name] + xr.DataArray(v, dims="group", coords={"group": cells})
        for name, v in exact.items()
    }
    tree["posterior"] = drawn.posterior.assign(own)
    known = replace(drawn, tree=tree)
    roles = {"learning_rate": "learning_rate", "batch": "batch_size_tokens"}
    cost = regrets(known, roles)["rise"].mean(("chain", "draw"))
    assert float(cost.sel(rule="Step Law")) == pytest.approx(0.0, abs=1e-9)
    assert 0.0005 < float(cost.sel(rule=CONSTANT)) < float(cost.sel(rule="Kaplan"))


@pytest.mark.slow
def test_rules_say_what_they_can_of_the_settings_that_were_swept(drawn):
    only = regrets(drawn, {"learning_rate": "learning_rate"})
    assert np.isnan(only["batch_size_tokens"].sel(rule="Step Law")).all()
    assert set(regrets(drawn, {})["rule"].to_numpy()) == {CONSTANT, OWN}


def test_sweeps_of_other_sizes_tell_more_of_a_run_beyond_them(drawn):
    target = bowl_of(drawn, params=6.4e9, tokens=1e12)
    table = next_sweeps(drawn, target)
    assert (table["reduction"] > 0).all()
    assert (table["reduction"] < 1).all()
    assert table["new"].sum() == 2
    most = table.loc[table["reduction"].idxmax()]
    assert most["params"] == pytest.approx(1.6e9) or most["tokens"] == pytest.approx(1.28e11)
    per_flop = table["reduction"] / table["flops"]
    assert (per_flop.diff().dropna() <= 0).all()


def test_a_model_with_trends_needs_groups():
    text = tomlkit.parse(load_model("tuning").source)
    for key in ("group", "cluster", "pooling", "scales", "cluster_scales"):
        text.pop(key)
    with pytest.raises(Exception, match="trends are of groups"):
        parse_model(tomlkit.dumps(text), "own")


def test_a_place_of_several_cells_is_none_of_them(drawn):
    assert cell_at(drawn, {"params": 2e8}) is None
    with pytest.raises(FitError, match="lies along tokens"):
        bowl_of(drawn, params=2e8)


def test_a_rule_that_says_no_positive_rate_is_left_out(drawn):
    """Kaplan's rate falls below 0 from 12 billion parameters on."""
    table = drawn.runs.table
    larger = table.assign(params=table["params"] * 200, cell=table["cell"], size=table["size"])
    large = replace(drawn, runs=replace(drawn.runs, table=larger))
    names = set(regrets(large, {"learning_rate": "learning_rate"})["rule"].to_numpy())
    assert "Kaplan" not in names
    assert "Step Law" in names


def test_a_new_cell_has_a_scatter_of_its_own(drawn):
    """With all that cells know of each other gone a new cell tells nothing of another run."""
    tree = drawn.tree.copy()
    posterior = drawn.posterior
    fixed = {n: 0.0 * posterior[n] for n in posterior.data_vars if "_along_" in n}
    fixed |= {
        n: 0.0 * posterior[n] + (posterior[n].mean() if n != "place_scale" else 0.5)
        for n in posterior.data_vars
        if n.endswith(("_population", "_scale", "asymmetry", "coupling", "turn"))
    }
    tree["posterior"] = posterior.assign(fixed)
    apart = replace(drawn, tree=tree)
    table = next_sweeps(apart, bowl_of(apart, params=6.4e9, tokens=1e12))
    assert (table.loc[table["new"], "reduction"] < 0.3).all()  # 100 draws, five runs


def one_rate(sizes, tokens) -> Fit:
    """Draws of the prior of a sweep of rates alone."""
    table = simulated_settings(sizes=sizes)
    return of_the_prior(table[table["tokens"].isin(tokens)], "learning_rate")


def test_a_plan_by_what_the_runs_do_not_have_says_so():
    one = one_rate((1e8, 2e8), (4e9,))
    without = replace(one, runs=replace(one.runs, table=one.runs.table.drop(columns="tokens")))
    known, unknown = (
        answer_tuning(fit, [{"params": 3e8, "tokens": 4e9}]) for fit in (one, without)
    )
    assert known.numbers["plans"][0]["without_trend"] == []
    assert unknown.numbers["plans"][0]["without_trend"] == ["tokens"]
    assert any("nothing of how the best settings move with tokens" in s for s in unknown.sentences)
    assert not any("as far as the power laws do" in s for s in unknown.sentences)


def test_the_bowl_of_a_single_cell_says_whether_it_was_bracketed():
    single = one_rate((2e8,), (4e9,))
    assert bracketed(single).sizes == {"knob": 1, "cell": 1, "side": 3}
    (cell,) = answer_tuning(single).numbers["cells"]
    assert (cell["cell"], cell["runs"]) == ("200M 4.00B", 25)
    assert cell["p_inside"]["learning_rate"] == bracketed(single).sel(side="inside").item()


def test_costs_beyond_all_measure_are_told_no_closer():
    plan, rate = {"params": 2e8, "tokens": 4e9}, {"learning_rate": 1e3}
    said = answer_tuning(one_rate((2e8,), (4e9,)), [plan], candidate=rate).sentences
    assert any("over 1,000%" in one for one in said)
    assert max(map(len, said)) < 300


def test_more_tokens_than_any_number_are_infinitely_many():
    rise, slope = xr.DataArray([[600.0]], dims=("chain", "draw")), xr.DataArray(0.01)
    assert np.isinf(more_tokens(rise, slope)).all()


def test_exponents_of_cells_in_one_ratio_come_with_what_stands_against_them(drawn):
    table = drawn.runs.table
    one = replace(drawn, runs=replace(drawn.runs, table=table.assign(tokens=20 * table["params"])))
    said = _said_of_collinear(one)
    assert len(said) == 1
    assert "correlate at 1.000" in said[0]
    assert _said_of_collinear(drawn) == []
