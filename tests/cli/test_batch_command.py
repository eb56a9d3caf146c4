"""Many fits, from the shell."""

import json

import pandas as pd
import pytest
from conftest import simulated_curve

from bayescale import read_jobs

SHORT = "draws = 50\ntune = 100\nchains = 2\n"
LIST = f"""{SHORT}model = "power-law-params"

[[fits]]
table = "curves.csv"
by = "family"
seed = 2

[[fits]]
name = "all but one"
table = "curves.csv"
where = "params > 1e8 and family == 'a'"
columns = {{loss = "lost"}}
"""


@pytest.fixture
def listed(tmp_path):
    parts = [simulated_curve(k).assign(family=name) for k, name in enumerate("ab")]
    table = pd.concat(parts).assign(lost=lambda own: own["loss"] + 1)
    table.to_csv(tmp_path / "curves.csv", index=False)
    path = tmp_path / "fits.toml"
    path.write_text(LIST)
    return path


def test_a_list_names_fits(listed):
    first, second, third = read_jobs(listed)
    assert [one.name for one in (first, second, third)] == ["curves a", "curves b", "all but one"]
    assert (len(second.runs), len(third.runs)) == (12, 11)
    assert (first.seed, third.seed, first.settings["draws"]) == (2, 1, 50)
    assert first.spec is second.spec


def test_rows_of_a_table_are_a_list_as_well(listed):
    rows = pd.DataFrame(
        {
            "table": "curves.csv",
            "model": "power-law-params",
            "by": ["family", None],
            "where": [None, "params > 1e8 and family == 'a'"],
            "name": [None, "all but one"],
            "seed": [2, None],
            "draws": 50,
            "tune": 100,
            "chains": 2,
            "columns": [None, "loss=lost"],
        }
    )
    rows.to_csv(listed.with_suffix(".csv"), index=False)
    found = read_jobs(listed.with_suffix(".csv"))
    assert [one.digest for one in found] == [one.digest for one in read_jobs(listed)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no fits; write a part [[fits]]"),
        ("fits = 3", "fits are parts of their own"),
        ("[[fits]", "cannot be read as TOML"),
        ("[[fits]]\nmodel = 'kaplan'", "fit 1: no table; name a file"),
        ("[[fits]]\ntabel = 'curves.csv'", "unknown entry 'tabel'; did you mean 'table'"),
        ("[[fits]]\ntable = 'curve.csv'", "fit 1: "),
        ("[[fits]]\ntable = 'curves.csv'\nby = 'famly'", "no column 'famly'; did you mean"),
        ("[[fits]]\ntable = 'curves.csv'\nmodel = 'kaplam'", "did you mean 'kaplan'"),
    ],
)
def test_what_can_be_mended_is_said_before_any_fit(run, listed, text, said):
    listed.write_text(text)
    code, out, err = run("batch", listed)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]


def test_fits_are_recorded_and_shown(run, listed, tmp_path):
    listed.write_text(LIST.split("[[fits]]\nname")[0])
    asked = ("batch", listed, "--workers", 1, "--out", tmp_path / "made", "--allow-unconverged")
    code, out, err = run(*asked)
    assert (code, out.splitlines()[0][:8]) == (0, "2 fits: ")
    assert f"records: {tmp_path / 'made' / 'fits.jsonl'}" in err
    assert list(pd.read_csv(tmp_path / "made" / "fits.csv")["name"]) == ["curves a", "curves b"]
    code, out, _ = run(*asked, "--json")
    assert code == 0
    assert len((tmp_path / "made" / "fits.jsonl").read_text().splitlines()) == 2  # none again
    assert [one["name"] for one in json.loads(out)["fits"]] == ["curves a", "curves b"]
    assert run(*asked[:-1])[0] == 1  # too few draws to converge


def test_a_row_may_name_its_backend(run, listed):
    row = {"table": "curves.csv", "model": "power-law-params", "draws": 50, "tune": 100}
    rows = [{**row, "where": "family == 'a'"}, {**row, "by": "family", "backend": "jacks"}]
    listed = listed.with_suffix(".csv")
    pd.DataFrame(rows).to_csv(listed, index=False)
    assert "backend" not in read_jobs(listed)[0].settings
    assert [own.settings["backend"] for own in read_jobs(listed)[1:]] == ["jacks", "jacks"]
    code, _, err = run("batch", listed, "--workers", 1, "--allow-unconverged")
    assert code == 2
    assert "failed: curves b: no backend 'jacks'; Valid: nutpie, jax" in err.splitlines()[-1]


def test_a_failed_fit_is_said_and_ends_in_2(run, listed):
    table = simulated_curve(0).assign(family="a", loss=-1.0)
    table.to_csv(listed.parent / "curves.csv", index=False)
    listed.write_text(LIST.split("[[fits]]\nname")[0])
    code, out, err = run("batch", listed, "--workers", 1, "--json")
    assert code == 2
    assert json.loads(out)["fits"][0]["status"] == "failed"
    assert err.splitlines()[-1].startswith("failed: curves a: ")


@pytest.mark.parametrize("kept", [True, False])
def test_who_stops_it_is_told_what_is_kept(run, listed, tmp_path, monkeypatch, kept):
    def stopped(*_, out, **__):
        if out is not None:
            (out / "fits.jsonl").write_text('{"name": "curves a"}\n')
        raise KeyboardInterrupt

    monkeypatch.setattr("bayescale.posterior.many.fit_many", stopped)
    code, out, err = run("batch", listed, *(["--out", tmp_path / "made"] if kept else []))
    assert (code, out) == (130, "")
    place = tmp_path / "made" / "fits.jsonl"
    assert err.endswith(
        f"stopped: {place} has 1 of 3; the same command goes on there\n"
        if kept
        else "stopped: without --out FOLDER nothing is kept\n"
    )
