"""Small versions of benchmarks/calibration.py: are truths drawn from a prior ranked uniformly?"""

import json
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit

from bayescale import Fit
from bayescale.modelling.build import draw_prior, model_data
from bayescale.modelling.inputs import inputs_of, observed_of
from bayescale.modelling.pooling import group_names
from bayescale.modelling.priors import Prior
from bayescale.posterior.diagnostics import Diagnostics

calibration = pytest.importorskip("calibration")
page = pytest.importorskip("calibration_page")
scores = pytest.importorskip("calibration_scores")

LARGEST = scores.RANKS
MODEL = "accuracy-power-law"
NUMBER, WITH_PRIOR = 40, 100
"""Simulations. Of 120 a posterior narrowed by a quarter, and a wrong constant, were found in each
of 60 choices of so many, a right one was doubted in 2. The prior of one parameter, shifted by half
its sd, moves its posterior by 0.4 of its own, which is found with probability 0.9."""

FEW = {"draws": 250, "tune": 400, "target_accept": 0.9}


def uniform(number, sets, seed=0):
    return np.random.default_rng(seed).integers(0, LARGEST + 1, (sets, number))


def test_uniform_ranks_are_doubted_as_often_as_is_said():
    p_values = np.array([page.p_value(own, LARGEST) for own in uniform(150, 400)])
    assert 0.02 < (p_values < 0.05).mean() < 0.08


def test_the_band_is_that_of_arviz():
    number = LARGEST + 1  # it looks at as many places as there are values
    _, _, lower, upper = ecdf_pit(np.full(number, 0.5), 0.95, 2000)
    for ours, theirs in zip(page.band(number, LARGEST), (lower, upper), strict=True):
        np.testing.assert_allclose(ours, theirs[1:-1], atol=1.01 / number)


def test_leaving_the_band_is_a_small_p_value():
    places = np.arange(1, LARGEST + 1)
    lower, upper = page.band(50, LARGEST, level=0.025)
    for ranks in uniform(50, 200) // 3 * 2:  # none is large
        shares = (ranks[:, None] < places).mean(axis=0)
        if ((shares < lower - 1e-9) | (shares > upper + 1e-9)).any():
            assert page.p_value(ranks, LARGEST) < 0.05


def test_coverage_counts_the_part_of_a_rank_that_lies_inside():
    assert page.covered(range(LARGEST + 1), LARGEST) == pytest.approx(0.9)
    assert page.covered([0, LARGEST], LARGEST) == 0.0
    assert page.covered([LARGEST // 2], LARGEST) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("breakage", "number"),
    [
        ("narrowed by 25%", 150),
        ("shifted by half its sd", 80),
        ("shifted by a quarter of its sd", 500),
    ],
)
def test_broken_posteriors_are_found(breakage, number):
    assert page.power(page.BREAKAGES[breakage], number, LARGEST, trials=100) >= 0.9


def test_a_right_posterior_is_not():
    assert page.power(lambda draws: draws, 150, LARGEST, trials=100) <= 0.1


@pytest.mark.parametrize("case", scores.cases())
def test_every_shipped_model_has_a_table(case):
    spec, runs = scores.spec_of(case), scores.design_of(case)
    assert all(np.isfinite(inputs_of(spec, runs.table)[name]).all() for name in spec.inputs)
    assert len(np.unique(observed_of(spec, runs.table))) == 1
    assert bool(spec.group) == (len(group_names(spec, runs)) >= 2)


def test_seeds_of_a_cell_differ_by_their_own_sd_alone():
    simulated = scores.simulate(f"chinchilla{scores.REPLICATES}", 3)
    cells = simulated.cells.table["params"].map("{:.6g}".format)
    table = simulated.runs.table
    log_loss = np.log(table["loss"])
    of_cell = log_loss.groupby(table["params"].map("{:.6g}".format))
    means = of_cell.mean()[cells].to_numpy()
    np.testing.assert_allclose(means, simulated.cells.observed, rtol=1e-12)
    apart = np.sqrt((of_cell.var() * (of_cell.count() - 1)).sum() / 20)
    assert apart == pytest.approx(simulated.truth["sigma_seed"].item(), rel=0.5)


def test_a_bend_moves_what_the_truth_says():
    simulated = scores.simulate("chinchilla-bend", 3)
    straight = {name: simulated.truth[name].item() for name in ("E", "A", "B", "alpha", "beta")}
    law, table = scores.spec_of("chinchilla").law, simulated.runs.table
    said = np.log(law(table["params"].to_numpy(), table["tokens"].to_numpy(), **straight))
    assert 1e-3 < np.abs(simulated.cells.mu.to_numpy().ravel() - said).max() < 0.3


def test_sizes_have_an_order_where_for_some_draws_none_is_best():
    simulated, spec = scores.simulate("farseer", 1), scores.spec_of("farseer")
    draws = draw_prior(spec, model_data(spec, simulated.runs), draws=50)
    fit = Fit(spec, simulated.runs, xr.DataTree.from_dict({"posterior": draws}))
    [(truth, sizes)] = [own for name, *own in scores._ranked(fit, simulated) if name == "N*"]
    assert 0 < np.isinf(sizes).sum() < 50
    assert not np.isnan([truth, *sizes]).any()


def test_tables_are_kept_by_how_far_the_level_lies_from_their_mean():
    simulated = scores.simulate("chinchilla", 3)
    centre = simulated.cells.observed.mean().item()
    for sds, kept in ((0, 1.0), (1, np.exp(-0.5)), (-2, np.exp(-2.0))):
        level = xr_like(simulated.truth["level"], centre + 0.5 * sds)
        moved = replace(simulated, truth=simulated.truth.assign(level=level))
        assert scores.kept(scores.spec_of("chinchilla"), moved) == pytest.approx(kept)


def xr_like(values, number):
    return values.copy(data=np.full(values.shape, number))


@pytest.mark.parametrize(
    ("found", "short", "long"),
    [
        ({}, True, True),
        ({"max_r_hat": 1.04}, True, False),
        ({"max_r_hat": 1.06}, False, False),
        ({"min_ess_bulk": 150.0}, True, False),
        ({"min_ess_bulk": 90.0}, False, False),
        ({"divergences": 1}, False, False),
    ],
)
def test_short_fits_may_have_an_r_hat_that_chance_explains(found, short, long):
    given = {"divergences": 0, "maxdepth_reached": 0, "max_r_hat": 1.0, "min_ess_bulk": 500.0}
    own = Diagnostics(**{**given, **found}, seconds_compile=1.0, seconds_sample=1.0)
    assert (not scores.problems(own, True), not scores.problems(own, False)) == (short, long)


@pytest.mark.parametrize(("effective", "tried"), [(150.0, [0.95]), (90.0, [0.95, 0.95, 0.99])])
def test_a_long_fit_is_sampled_shortly_and_once_more_where_that_was_too_short(
    monkeypatch, effective, tried
):
    given = {"divergences": 0, "maxdepth_reached": 0, "max_r_hat": 1.04}
    seconds = {"seconds_compile": 1.0, "seconds_sample": 1.0}
    own, asked = Diagnostics(**given, **seconds, min_ess_bulk=effective), []

    def fitted_to(runs, model, seed, **settings):
        asked.append(settings)
        return SimpleNamespace(diagnostics=own)

    monkeypatch.setattr(scores, "fitted_to", fitted_to)
    case = "power-law-hierarchical"
    assert scores.shortly(scores.design_of(case), scores.spec_of(case), 1).diagnostics is own
    assert [settings["target_accept"] for settings in asked] == tried
    assert [settings["draws"] for settings in asked] == [300, 900, 900][: len(tried)]


def test_what_is_recorded_is_not_made_again(tmp_path):
    path = tmp_path / "results.jsonl"
    assert calibration.read(path) == []
    path.write_text('{"case": "growth", "simulation": 1}\n{"case": "gro')
    [record] = calibration.read(path)
    done = {(record["case"], record["simulation"])}
    assert calibration.planned(["growth", "bowl"], 2, done) == [
        ("growth", 0),
        ("bowl", 0),
        ("bowl", 1),
    ]
    assert path.read_text().endswith("}\n")


def test_what_is_published_is_not_made_again(tmp_path, monkeypatch):
    path = tmp_path / "page.parquet"
    monkeypatch.setattr(calibration, "PUBLISHED", path)
    own = {"tried": 2, "problems": ["R-hat"], "ess": 90.5, "seconds": 1.5, "ranks": {"b": 96}}
    ranked, failed = {"case": "growth", "simulation": 1, **own}, {"case": "bowl", "simulation": 0}
    failed["failure"] = "RunsError: no"
    calibration.publish([ranked, failed], path)
    assert calibration.published(path) == [failed, ranked]
    results = tmp_path / "results.jsonl"
    again = {"case": "bowl", "simulation": 1, "failure": "RunsError: none"}
    results.write_text("".join(json.dumps(one) + "\n" for one in (ranked, again)))
    assert calibration.every(results) == [failed, ranked, again]


def test_the_page_of_the_documentation_tells_of_what_is_published():
    said = calibration.PUBLISHED.with_suffix(".md").read_text("utf-8")
    fits = Counter(
        own["case"] for own in calibration.published(calibration.PUBLISHED) if "ranks" in own
    )
    assert len(fits) > 20
    for case, number in fits.items():
        assert bool(re.search(rf"\n\| {re.escape(case)} \| {number}[ ,]", said)) == (
            number >= page.FEWEST
        )


def test_the_page_names_models_outside_of_their_band_and_what_failed(tmp_path):
    right, wrong = uniform(60, 2), uniform(60, 1)[0] // 2
    records = [
        {"case": case, "simulation": number, "problems": [], "seconds": 1.0, "ranks": ranks}
        for number in range(60)
        for case, ranks in (
            ("growth", {"b": int(right[0, number]), "sigma": int(right[1, number])}),
            ("bowl", {"place": int(wrong[number])}),
        )
    ]
    records += [{"case": "bowl", "simulation": 60, "failure": "RunsError: no"}]
    records += [{**records[0], "case": "kaplan", "simulation": own} for own in range(19)]
    records[1]["problems"] = ["R-hat"]
    page.write_page(records, tmp_path / "page.md", LARGEST, ["bowl", "growth", "kaplan"])
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "These have a p below 0.05:\n\n- `bowl`: place.\n" in text
    assert "- `growth`" not in text
    assert "\n\n| Not asked 20 times yet: 1 of 3 |\n| --- |\n| `kaplan` |\n" in text
    assert "| kaplan" not in text
    assert "| growth | 60 | " in text
    [row] = [line for line in text.splitlines() if line.startswith("| bowl")]
    assert row.startswith("| bowl | 60, 1 failed | ")
    assert row.endswith(" place | 1 |")
    assert (tmp_path / "page-1.png").stat().st_size < 60_000


def narrowed(fitted):
    """Draw everything nearer to its median by a quarter."""
    tree, draws = fitted.tree.copy(), fitted.posterior
    tree["posterior"] = 0.75 * draws + 0.25 * draws.median(("chain", "draw"))
    return replace(fitted, tree=tree)


def with_other_prior(simulated, spec):
    """Fit with a prior that lies half an sd higher."""
    shifted = {"luck": Prior("LogNormal", (("mu", 0.5), ("sigma", 1.0)))}
    own = replace(spec, priors={**spec.priors, **shifted})
    return scores.fitted_to(simulated.runs, own, 1, **FEW)


def with_other_noise(simulated, spec):
    """Fit with four times the items that there were: a constant of the noise is wrong."""
    table = simulated.runs.table.assign(trials=4000.0)
    return scores.fitted_to(replace(simulated.runs, table=table), spec, 1, **FEW)


def rightly(simulated, spec):
    return scores.fitted_to(simulated.runs, spec, 1, **FEW)


@cache
def fitted(how, number):
    """Tables of the model, each with a fit."""
    tables = [scores.simulate(MODEL, scores.seed_of(MODEL, own)) for own in range(number)]
    return [(own, how(own, scores.spec_of(MODEL))) for own in tables]


def ranked(fits):
    """Rank each truth in its posterior."""
    each = [scores.ranks(own, simulated, seed) for seed, (simulated, own) in enumerate(fits)]
    ranks = {name: [own[name] for own in each] for name in each[0]}
    return page.Found(MODEL, ranks, LARGEST, (), 0, 0.0)


@pytest.mark.slow
def test_a_shipped_model_is_calibrated():
    assert ranked(fitted(rightly, NUMBER)).p > 0.01


@pytest.mark.slow
def test_a_posterior_that_is_too_narrow_is_found():
    fits = fitted(rightly, NUMBER)
    assert ranked([(simulated, narrowed(own)) for simulated, own in fits]).p < 0.05


@pytest.mark.slow
def test_a_wrong_constant_of_the_noise_is_found():
    assert ranked(fitted(with_other_noise, NUMBER)).p < 0.05


@pytest.mark.slow
def test_a_prior_of_what_runs_say_little_about_is_found_in_its_own_ranks():
    assert ranked(fitted(with_other_prior, WITH_PRIOR)).p_values["luck"] < 0.05
