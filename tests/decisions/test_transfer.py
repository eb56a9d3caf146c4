"""Whether a best setting transfers: hand-made posteriors whose answers are known, and real fits."""

import numpy as np
import pandas as pd
import pytest
from conftest import STEP, WIDTHS, known_transfer, quietly, sweep_table

from bayescale import (
    Fit,
    FitError,
    RunsError,
    RunsWarning,
    answer_transfer,
    constants_fit,
    fit_transfer,
    fit_transfers,
    transfer,
)
from bayescale.decisions import transfer as module
from bayescale.laws.bowl import rise


def test_drift_and_costs_follow_from_the_trend():
    found = transfer(known_transfer(-0.5, spread=0.0), to=[4096.0, 8192.0])
    np.testing.assert_allclose(found["slope"], -0.5)
    np.testing.assert_allclose(found["drift"], 16**-0.5)
    np.testing.assert_allclose(found["spread"], 16**0.5)
    ratio = found["best"].isel(group=0) / found["best"].isel(group=-1)
    np.testing.assert_allclose(ratio, 4.0)
    curvature = known_transfer(-0.5, spread=0.0).posterior["curvature"].to_numpy()[0, 0, -1]
    np.testing.assert_allclose(found["cost"], np.expm1(rise(np.log(4.0), curvature, 0.7)))
    first = found["best"].isel(group=0)
    np.testing.assert_allclose(found["best_to"], first * (found["to"] / 128) ** -0.5, rtol=1e-4)
    further = rise(np.log(8.0), curvature, 0.7)
    np.testing.assert_allclose(found["cost_to"].sel(to=8192), np.expm1(further), rtol=1e-3)
    assert found["bracketed"].all()
    assert found["group"].to_numpy().tolist() == [*WIDTHS]


def test_what_nobody_has_run_scatters_about_the_trend():
    exact, scattered = (known_transfer(0.0, spread=0.0, scatter=tau) for tau in (1e-6, 0.1))
    widths = [np.log10(transfer(own, to=4096)["best_to"]).std() for own in (exact, scattered)]
    assert widths[0] < 0.002
    assert widths[1] == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize(
    ("slope", "spread", "verdict", "said"),
    [
        (0.0, 0.02, "transfers", "It transfers within a factor of 1.41: from width 128 to 2048"),
        (-1.0, 0.02, "drifts", "It drifts by more than a factor of 1.41: from width 128 to 2048"),
        (0.0, 0.5, "cannot tell", "The interval is wider than that on both sides"),
        (-0.13, 0.03, "cannot tell", "reaches from inside of that to beyond it"),
    ],
)
def test_verdicts(slope, spread, verdict, said):
    answer = answer_transfer(known_transfer(slope, spread=spread))
    (entry,) = answer.numbers["recipes"]
    assert entry["verdict"] == verdict
    assert said in answer.sentences[0]
    assert entry["p_equivalent"] == pytest.approx(
        float((abs(np.log(answer.draws["drift"])) < np.log(2**0.5)).mean())
    )


def test_a_wider_region_holds_more():
    own = known_transfer(-0.25)
    shares = [
        answer_transfer(own, region=region).numbers["recipes"][0]["p_equivalent"]
        for region in (1.41, 2.0, 3.0)
    ]
    assert shares[0] < 0.01
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.99


@pytest.mark.parametrize(("slope", "place"), [(-1.0, 0), (-0.5, 1), (0.0, 2)])
def test_the_nearest_rule_is_named_first(slope, place):
    answer = answer_transfer(known_transfer(slope))
    (entry,) = answer.numbers["recipes"]
    assert [own["probability"] for own in entry["rules"]] == list(np.eye(3)[place])
    assert f"by probability: {entry['rules'][place]['rule']}: more than 99%" in answer.sentences[1]


def test_rules_are_of_rates_and_widths():
    assert answer_transfer(known_transfer(axis="depth")).numbers["recipes"][0]["rules"] == []


def test_best_runs_at_an_end_are_bounds():
    best = {w: 4e-3 * (w / 512) ** -1.0 for w in WIDTHS}
    table = sweep_table(best, rates=2e-3 * STEP ** np.arange(0, 5))
    answer = answer_transfer(known_transfer(-1.0, table=table))
    bounds = [own["bound"] for own in answer.numbers["recipes"][0]["groups"]]
    assert bounds == ["at least", "at least", None, "at most", "at most"]
    said = str(answer)
    assert (
        "At width 1024, 2048 the best run has the lowest learning_rate tried (0.002, ...)" in said
    )
    assert "At width 128, 256 the best run has the highest learning_rate tried (0.008, ...)" in said
    assert "in every group: less than 1%" in said
    inside = str(answer_transfer(known_transfer(-1.0)))
    assert "the best run has" not in inside
    assert "in every group" not in inside


def test_other_settings_of_the_groups_are_named():
    table = sweep_table(dict.fromkeys(WIDTHS, 4e-3))
    table["depth"] = table["width"].map({w: 2 + n for n, w in enumerate(WIDTHS)})
    table["heads"] = table["width"] // 64  # the same in another unit
    answer = answer_transfer(known_transfer(0.0, table=table))
    assert answer.numbers["recipes"][0]["changes_too"] == ["depth"]
    assert answer.sentences[-1].startswith("The groups differ in depth as well as in width")


def test_groups_off_the_trend_and_costs_beyond_the_bowls_are_named():
    said = str(answer_transfer(known_transfer(-1.0, scatter=0.3)))
    assert "The groups do not lie on one trend" in said
    assert "Costs above 5% are more than the bowls were fitted to" in said
    said = str(answer_transfer(known_transfer(0.0)))
    assert "one trend" not in said
    assert "Costs above" not in said


def test_runs_of_several_recipes_are_refused():
    table = sweep_table(dict.fromkeys(WIDTHS, 4e-3))
    both = pd.concat([table.assign(optimizer="adam"), table.assign(optimizer="muon")])
    with pytest.raises(RunsError, match=r"width \(128\) .* differ in optimizer.*--by optimizer"):
        quietly(fit_transfer, both)


def test_one_size_says_nothing():
    with pytest.raises(RunsError, match=r"every run has the width 128.*add runs of another"):
        quietly(fit_transfer, sweep_table({128: 4e-3}))


def test_a_recipe_that_cannot_be_used_does_not_stop_the_others(monkeypatch):
    monkeypatch.setattr(module, "fit", lambda runs, spec, **_: known_transfer(-1.0))
    good, bad = sweep_table(dict.fromkeys(WIDTHS, 4e-3)), sweep_table({128: 4e-3})
    table = pd.concat([good.assign(seen="a'b"), bad.assign(seen="c"), bad.assign(seen="left")])
    found = quietly(fit_transfers, table, "seen", where="seen != 'left'")
    assert list(found) == ["a'b", "c"]
    assert isinstance(found["a'b"], Fit)
    answer = answer_transfer(found, to=4096)
    assert answer.draws is None
    assert [own["recipe"] for own in answer.numbers["recipes"]] == ["a'b"]
    assert answer.sentences[0].startswith("a'b. It drifts")
    assert answer.sentences[-1].startswith("c: not answered. every run has the width 128")
    with pytest.raises(RunsError, match=r"no recipe can be used; c: every run"):
        quietly(fit_transfers, table, "seen", where="seen == 'c'")
    with pytest.raises(RunsError, match=r"no column 'sen'.*did you mean 'seen'"):
        fit_transfers(table, "sen")


def test_doubts_of_several_recipes_are_said_once(monkeypatch):
    monkeypatch.setattr(module, "fit", lambda runs, spec, **_: known_transfer(-1.0))
    table = sweep_table({128: 4e-3, 256: 1e-3}, rates=4e-3 * STEP ** np.arange(-3, 4))
    both = pd.concat([table.assign(kind="a"), table.assign(kind="b")])
    with pytest.warns(RunsWarning, match=r"^a, b: best at the edge") as caught:
        fit_transfers(both, "kind")
    assert sum("best at the edge" in str(one.message) for one in caught) == 1


def test_refusals():
    own = known_transfer(-1.0)
    with pytest.raises(FitError, match=r"a factor above 1"):
        transfer(own, region=1.0)
    with pytest.raises(FitError, match="values of width must be positive"):
        transfer(own, to=-1.0)
    with pytest.raises(FitError, match="fit one with fit_transfer"):
        transfer(constants_fit("bowl", L_min=3.0, x_best=1e-3, curvature=0.01, asymmetry=0.5))


@pytest.fixture(scope="module")
def hyperball(data_folder):
    return data_folder / "lr_width_hyperball.csv"


@pytest.mark.slow
def test_published_sweeps_drift_as_they_were_found_to(hyperball):
    found = quietly(fit_transfers, hyperball, "series", where="series in ('adam', 'muonh')")
    assert all(own.diagnostics.converged for own in found.values())
    adam, muonh = answer_transfer(found, to=4096).numbers["recipes"]
    assert adam["slope"]["median"] == pytest.approx(-0.48, abs=0.03)
    assert adam["slope"]["q05"] == pytest.approx(-0.70, abs=0.05)
    assert adam["slope"]["q95"] == pytest.approx(-0.27, abs=0.05)
    assert 1 / muonh["drift"]["median"] == pytest.approx(2.2, abs=0.1)
    assert 1 / muonh["drift"]["q05"] == pytest.approx(2.8, abs=0.2)
    assert 1 / muonh["drift"]["q95"] == pytest.approx(1.8, abs=0.1)
    assert [own["bound"] for own in muonh["groups"]] == [*[None] * 4, "at most"]


@pytest.mark.slow
def test_along_tokens_the_best_rate_of_large_runs_is_a_bound(data_folder):
    path = data_folder / "lr_tokens_hyperball.csv"
    own = quietly(fit_transfer, path, "tokens", where="optimizer == 'muon'")
    (entry,) = answer_transfer(own).numbers["recipes"]
    assert own.diagnostics.converged
    assert [own["bound"] for own in entry["groups"]][-3:] == ["at most"] * 3
    assert entry["drift"]["q95"] < 0.3


@pytest.mark.slow
def test_a_sweep_of_which_half_diverged_is_answered(data_folder):
    path = data_folder / "lr_mup_gemstones_preflight.csv"
    own = quietly(fit_transfer, path, draws=250, tune=500)
    (entry,) = answer_transfer(own).numbers["recipes"]
    assert entry["drift"]["q95"] < 1
    assert entry["changes_too"] == ["depth"]
    assert np.isfinite(entry["cost"]["q95"])


@pytest.mark.slow
def test_simulated_rules_are_found_again():
    known = {128: 9.8e-4, 256: 4.9e-4, 512: 2.4e-4, 1024: 1.2e-4, 2048: 6.1e-5}
    wide = 2.4e-4 * STEP ** np.arange(-8, 9)
    standard = quietly(fit_transfer, sweep_table(known, rates=wide, noise=1e-3))
    (entry,) = answer_transfer(standard).numbers["recipes"]
    assert entry["slope"]["median"] == pytest.approx(-1.0, abs=0.1)
    assert entry["verdict"] == "drifts"
    constant = quietly(fit_transfer, sweep_table(dict.fromkeys(WIDTHS, 1e-3), noise=1e-3))
    (entry,) = answer_transfer(constant).numbers["recipes"]
    assert entry["p_equivalent"] > 0.5
    assert entry["rules"][2]["probability"] > 0.9


@pytest.mark.slow
def test_a_sweep_that_is_too_coarse_cannot_tell():
    coarse = sweep_table(
        {128: 1e-3, 256: 1e-3, 512: 1e-3}, rates=[1e-4, 1e-3, 1e-2], noise=5e-3, curvature=0.004
    )
    own = quietly(fit_transfer, coarse)
    (entry,) = answer_transfer(own).numbers["recipes"]
    assert entry["verdict"] == "cannot tell"
    assert entry["drift"]["q95"] / entry["drift"]["q05"] > 2  # wider than the whole region
