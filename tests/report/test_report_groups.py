"""Reports of fits with groups and of repeated data, on posteriors whose numbers are known."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from conftest import TRUTH, known_grouped_fit, known_transfer, simulated_table

from bayescale import answer_optima, answer_repetition, constants_fit, read_runs
from bayescale.decisions.answer import problems_of
from bayescale.decisions.multiplier import multipliers
from bayescale.posterior.describe import group_numbers
from bayescale.posterior.fit import Fit
from bayescale.report.page import group_sections, sections
from bayescale.report.record import Companions, answer_fit, parameters
from bayescale.report.write import write_report

GROUPS = {"dense": {}, "sparse": {"A": 300.0, "B": 1100.0}}  # sparse needs less compute


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def as_sampled(fit: Fit) -> Fit:
    """Give a known posterior four chains, a prior as wide as itself and a sampler's record."""
    posterior = fit.posterior
    parts = [posterior.isel(chain=0, draw=slice(i, None, 4)) for i in range(4)]
    chains = xr.concat([p.assign_coords(draw=range(len(p["draw"]))) for p in parts], dim="chain")
    chains = chains.assign_coords(chain=range(4)).transpose("chain", "draw", ...)
    rng = np.random.default_rng(5)  # R-hat of what is constant is not defined
    chains = chains.map(lambda value: value * (1 + 1e-5 * rng.standard_normal(value.shape)))
    quiet = xr.zeros_like(chains["nu"], dtype=int)
    tree = fit.tree.copy()
    tree["posterior"], tree["prior"] = chains, chains
    tree["sample_stats"] = xr.Dataset({"diverging": quiet, "maxdepth_reached": quiet})
    tree.attrs = {
        "model": fit.spec.name,
        "model_spec": fit.spec.source,
        "versions": "{}",
        "adaptation": "diag",
        "target_accept": 0.95,
        "seed": 1,
        "seconds_compile": 1.0,
        "seconds_sample": 1.0,
    }
    return replace(fit, tree=tree)


@pytest.fixture(scope="module")
def grouped() -> Fit:
    return as_sampled(known_grouped_fit(**GROUPS))


def test_a_new_group_along_a_column_lies_in_the_middle_of_the_others():
    fit = known_transfer(-1.0)
    fit.tree["prior"] = fit.posterior  # of levels, which are not pooled
    new = group_numbers(fit)["new_group"]
    assert new["x_best"]["median"] == pytest.approx(4e-3, rel=0.02)


def test_every_group_has_its_own_optimum(grouped):
    entries = answer_optima(grouped, [1e22]).numbers["optima"]
    assert [entry["group"] for entry in entries] == ["dense", "sparse"]
    truth = TRUTH["alpha"] + TRUTH["beta"]
    ratio = (TRUTH["alpha"] * TRUTH["A"] / (TRUTH["beta"] * TRUTH["B"])) ** (1 / truth)
    expected = ratio * (1e22 / 6) ** (TRUTH["beta"] / truth)
    assert entries[0]["params"]["median"] == pytest.approx(expected, rel=0.02)
    assert entries[1]["params"]["median"] != pytest.approx(expected, rel=0.005)


def test_parameters_are_listed_by_group_and_population(grouped):
    found = parameters(grouped)
    assert {"alpha[dense]", "alpha[sparse]", "alpha_population", "alpha_scale"} <= set(found)
    assert found["A[sparse]"]["median"] == pytest.approx(300, rel=0.01)
    assert found["A[dense]"]["median"] == pytest.approx(400, rel=0.01)


def test_multiplier_is_against_the_better_group_and_needs_one_validation_set(grouped):
    [found] = multipliers(grouped, True)
    assert (found.attrs["group"], found.attrs["reference"]) == ("dense", "sparse")
    assert (found["multiplier"].median(("chain", "draw")) > 1).all()
    refused = answer_fit(grouped, [1e22])
    assert "same validation set" in refused.numbers["multipliers"][0]["refused"]
    assert any("is not compared" in sentence for sentence in refused.sentences)
    said = answer_fit(grouped, [1e22], Companions(same_validation=True)).sentences
    assert any(sentence.startswith("dense needs") for sentence in said)


def test_a_new_group_is_called_as_its_column(grouped):
    table = grouped.runs.table.rename(columns={"family": "data_set"})
    other = replace(
        grouped,
        spec=grouped.spec.grouped_by("data_set"),
        runs=replace(grouped.runs, table=table),
    )
    for fit, name in ((grouped, "family"), (other, "data set")):
        section = next(group_sections(fit, Companions()))
        assert section.title == f"What differs by {name}"
        assert f"A new {name} is what the others lead" in section.text
        assert section.figure.axes[0].get_yticklabels()[-1].get_text() == f"a new {name}"


def test_groups_alone_that_did_not_converge_take_nothing_from_the_answer(grouped):
    tree = grouped.tree.copy()
    tree["sample_stats"] = tree["sample_stats"].to_dataset().map(lambda flags: flags * 0 + 1)
    alone = replace(grouped, tree=tree)
    assert "divergent" in alone.problems[0]
    answer = answer_fit(grouped, [1e22], Companions(unpooled=alone))
    assert answer.numbers["problems"] == problems_of(grouped)
    assert f"the groups alone: {alone.problems[0]}" in answer.numbers["opening"][-1]


@pytest.mark.slow
def test_report_of_groups(grouped, tmp_path):
    page = write_report(
        grouped, tmp_path, flops=[1e22], unpooled=grouped, same_validation=True
    ).read_text("utf-8")
    for title in (
        "Compute-optimal models: dense",
        "Compute-optimal models: sparse",
        "What differs by family",
        "What pooling does",
        "Compute multiplier: dense against sparse",
    ):
        assert title in page
    summary = json.loads(
        (tmp_path / "summary.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    assert summary["groups"]["runs"] == {"dense": 30, "sparse": 30}
    assert summary["groups"]["column"] == "family"
    assert len(summary["multipliers"][0]["targets"]) == 37
    assert summary["repetition"] == []


@pytest.mark.slow
def test_pictures_of_few_groups_only():
    many = as_sampled(known_grouped_fit(**{f"group-{i}": {"A": 400.0 + i} for i in range(7)}))
    titles = [part.title for part in sections(many, [1e22])]
    assert sum(title.startswith("Compute-optimal models") for title in titles) == 4
    assert len(answer_optima(many, [1e22]).sentences) == 7


def repetition_fit(R_D: float, epochs: float) -> Fit:
    """A known posterior of the law of repeated data, and runs of up to so many epochs."""
    rng = np.random.default_rng(3)
    values = {**TRUTH, "R_D": R_D, "R_N": 5.0, "r_N": 0.0, "sigma": 0.02, "excess": 0.01}
    values |= {"excess_epochs": 0.5, "excess_size": 0.9, "excess_interaction": 0.2}
    spread = {name: value * (1 + 0.05 * rng.standard_normal(400)) for name, value in values.items()}
    table = simulated_table()
    passes = np.resize(np.geomspace(1, epochs, 6), 30)
    runs = read_runs(table.assign(unique_tokens=table["tokens"] / passes))
    return replace(constants_fit("data-constrained", **spread), runs=runs)


def test_repetition_is_said_where_the_runs_tell_it():
    entry = answer_repetition(repetition_fit(R_D=12.0, epochs=60.0)).numbers["repetition"][0]
    assert entry["identified"]
    assert entry["R_D"]["median"] == pytest.approx(12, rel=0.02)
    half = next(at["epochs"] for at in entry["epochs_until"] if at["worth"] == 0.5)
    assert half["median"] == pytest.approx(1 + 12 * np.log(2), rel=0.02)


def test_repetition_is_only_bounded_where_the_runs_do_not_tell_it():
    fit = repetition_fit(R_D=40.0, epochs=10.0)
    answer = answer_repetition(fit)
    entry = answer.numbers["repetition"][0]
    assert not entry["identified"]
    assert entry["R_D"]["median"] is entry["R_D"]["q95"] is None
    assert entry["R_D"]["q05"] == pytest.approx(40 * (1 - 1.645 * 0.05), rel=0.02)
    sentence = answer.sentences[0]
    assert "not identified: at least" in sentence
    assert "after at least" in sentence
