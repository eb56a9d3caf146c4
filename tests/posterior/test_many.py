"""Many fits: ordered, recorded, resumed, the same wherever they are made."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import simulated_curve

from bayescale import Job, fit, fit_many, load_model, read_runs
from bayescale.errors import FitError
from bayescale.posterior import many

SHORT = {"draws": 50, "tune": 100, "chains": 2}


def jobs(number=3):
    return [
        Job(simulated_curve(k), "power-law-params", k, SHORT, f"curve {k}") for k in range(number)
    ]


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Three fits, the one in the middle of a table that cannot be fitted."""
    folder = tmp_path_factory.mktemp("batch")
    first, second, third = jobs()
    broken = replace(second, runs=second.runs.assign(loss=-1.0))
    asked = [first, broken, third]
    return asked, fit_many(asked, workers=1, out=folder, keep=True), folder


def lines(folder):
    return (folder / many.RECORDS).read_text().splitlines()


def test_a_failed_fit_in_the_middle_says_why_and_the_others_are_in_order(batch):
    _, found, folder = batch
    assert [one.name for one in found] == ["curve 0", "curve 1", "curve 2"]
    assert [one.status == many.FAILED for one in found] == [False, True, False]
    assert "loss" in found[1].reason
    assert found.failed == (found[1],)
    assert len(lines(folder)) == 3
    assert found.table.loc[0, "alpha"] == found[0].parameters["alpha"]["median"]
    assert np.isnan(found.table.loc[1, "alpha"])
    assert "3 fits" in repr(found)
    assert found[1].reason in repr(found)


def test_draws_are_those_of_the_fit_alone(batch):
    asked, found, _ = batch
    alone = fit(asked[2].runs, "power-law-params", seed=2, progress=False, **SHORT)
    assert found[2].draws == many._draws_digest(alone)
    np.testing.assert_array_equal(found[2].load().posterior["alpha"], alone.posterior["alpha"])
    other = fit(asked[2].runs, "power-law-params", seed=3, progress=False, **SHORT)
    assert found[2].draws != many._draws_digest(other)


def test_what_is_recorded_is_not_done_again(batch, monkeypatch):
    asked, found, folder = batch
    monkeypatch.setattr(many, "fit", None)  # failing, were it called
    assert fit_many(asked[::-1], workers=1, out=folder, keep=True).each == found.each[::-1]
    assert len(lines(folder)) == 3


def test_a_torn_last_line_is_dropped_and_its_fit_made_again(batch, tmp_path):
    asked, found, folder = batch
    text = (folder / many.RECORDS).read_bytes()
    (tmp_path / many.RECORDS).write_bytes(text[:-40])
    again = fit_many(asked, workers=1, out=tmp_path)
    assert [one.draws for one in again] == [one.draws for one in found]
    assert [json.loads(line)["name"] for line in lines(tmp_path)] == [
        f"curve {k}" for k in range(3)
    ]


def test_a_line_that_is_no_record_is_named(batch, tmp_path):
    asked, _, folder = batch
    kept = lines(folder)
    (tmp_path / many.RECORDS).write_text("\n".join([kept[0], "{}", *kept[1:], ""]))
    with pytest.raises(FitError, match="line 2 is no record of a fit"):
        fit_many(asked, workers=1, out=tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, seed=9),
        lambda job: replace(job, runs=job.runs.assign(loss=job.runs["loss"] + 1e-12)),
        lambda job: replace(job, model="power-law-tokens"),
        lambda job: replace(job, model=load_model("power-law-params").exact),
        lambda job: replace(job, settings={**SHORT, "draws": 51}),
    ],
)
def test_another_seed_table_model_or_setting_is_another_job(change):
    (job,) = jobs(1)
    assert change(job).digest != job.digest
    assert replace(job, name="other", model=load_model(job.model)).digest == job.digest


def test_equal_jobs_are_made_once(tmp_path):
    (job,) = jobs(1)
    found = fit_many([job, replace(job, name="again")], workers=1, out=tmp_path)
    assert len(found) == 2
    assert len(lines(tmp_path)) == 1


def test_what_is_asked_of_each_fit_is_recorded(tmp_path):
    (job,) = jobs(1)
    found = fit_many(
        [job], workers=1, out=tmp_path, ask=lambda own: float(own.posterior["E"].min())
    )
    assert found[0].answer > 0
    assert json.loads(lines(tmp_path)[0])["answer"] == found[0].answer


def test_runs_and_files_are_jobs_as_well(tmp_path):
    simulated_curve(0).to_csv(tmp_path / "runs.csv", index=False)
    kinds = tmp_path / "runs.csv", read_runs(simulated_curve(0)), simulated_curve(0)
    found = fit_many([Job(runs, "power-law-params", 1, SHORT) for runs in kinds], workers=1)
    assert len({one.digest for one in found}) == 3
    assert len({one.draws for one in found}) == 1
    with pytest.raises(FitError, match=r"none\.csv: cannot be read"):
        fit_many([Job(tmp_path / "none.csv")])


def test_fits_are_kept_in_a_folder(batch):
    asked, found, _ = batch
    with pytest.raises(FitError, match="name it with out"):
        fit_many(asked, keep=True)
    with pytest.raises(FitError, match="curve 1: this fit was not kept"):
        found[1].load()


@pytest.mark.slow
def test_processes_draw_what_this_one_draws(batch):
    asked, found, _ = batch
    by_processes = fit_many(asked, workers=2)
    assert [one.draws for one in by_processes] == [one.draws for one in found]
    assert by_processes[1].reason == found[1].reason
