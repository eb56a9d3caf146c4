"""Parquet: files, folders and patterns, read in batches of rows."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import simulated_table

from bayescale import load_model, read_runs
from bayescale.cli.options import Reading
from bayescale.cli.reading import reading_options, runs_of, sweep_options
from bayescale.errors import RunsError, RunsWarning
from bayescale.runs import parquet
from bayescale.runs.parquet import simple_conditions
from bayescale.runs.reading import load_table

TYPES = {
    "step": pa.int64(),
    "lr": pa.float64(),
    "family": pa.string(),
    "finished": pa.bool_(),
    "when": pa.timestamp("s"),
}


def folder(tmp_path, parts: int = 3):
    """Thirty runs in several files, each with a column of its own."""
    table = simulated_table()
    for part in range(parts):
        rows = table.iloc[part::parts].assign(**{f"only_{part}": 1.5})
        (tmp_path / "logs" / f"family=f{part}").mkdir(parents=True)
        rows.to_parquet(tmp_path / "logs" / f"family=f{part}" / "rows.parquet", index=False)
    whole = [table.iloc[part::parts].assign(family=f"f{part}") for part in range(parts)]
    return tmp_path / "logs", pd.concat(whole, ignore_index=True)


def test_folder_is_one_table_with_the_columns_of_all_files(tmp_path):
    path, whole = folder(tmp_path)
    loaded = load_table(path)
    pd.testing.assert_frame_equal(
        loaded.table[whole.columns].astype({"family": str}), whole, check_dtype=False
    )
    assert loaded.table["only_1"].notna().sum() == 10
    assert loaded.name == "logs"
    assert loaded.ledger == ("3 Parquet files read as one table",)


def test_pattern_names_some_files_in_order(tmp_path):
    path, whole = folder(tmp_path)
    for name in ("b", "a"):
        whole[whole["family"] == f"f{int(name == 'a')}"].to_parquet(path / f"{name}.parquet")
    found = load_table(path / "[ab].parquet").table
    assert found["family"].tolist() == ["f1"] * 10 + ["f0"] * 10
    assert found.index.tolist() == list(range(20))
    assert len(load_table(path / "**" / "rows.parquet").table) == 30


def test_digest_is_that_of_the_file_or_of_all(tmp_path):
    path, _ = folder(tmp_path)
    one = path / "family=f0" / "rows.parquet"
    plain = hashlib.sha256(one.read_bytes()).hexdigest()
    assert load_table(one).sha256 == plain
    before = load_table(path).sha256
    assert before != plain
    simulated_table(seed=2).to_parquet(one)
    assert load_table(path).sha256 != before


@pytest.mark.parametrize("name", ["empty", "empty/*.parquet"])
def test_folder_without_parquet_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    simulated_table().to_csv(tmp_path / "empty" / "runs.csv")
    with pytest.raises(RunsError, match=r"(of runs in it|no Parquet file).*pandas\.concat"):
        read_runs(tmp_path / name)


def test_files_that_disagree_in_a_type_are_refused(tmp_path):
    simulated_table().to_parquet(tmp_path / "a.parquet")
    simulated_table().assign(loss="3.1 nats").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(RunsError, match=r"b.parquet disagrees .*loss has incompatible types"):
        read_runs(tmp_path)


def test_a_file_that_cannot_be_read_leaves_the_others(tmp_path):
    table = simulated_table()
    for name, loss in (("a", 1.0), ("c", 1.01)):
        table.assign(loss=table["loss"] * loss).to_parquet(tmp_path / f"{name}.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(RunsWarning, match=r"cannot be read: .*b\.parquet \(") as warned:
        runs = read_runs(tmp_path)
    assert Path(warned[0].filename) == Path(__file__)
    assert len(runs) == 2 * len(table)
    assert any("files left out, for they cannot be read" in line for line in runs.ledger)
    for name in ("a", "c"):
        (tmp_path / f"{name}.parquet").unlink()
    with pytest.raises(RunsError, match=r"not a readable \.parquet table"):
        read_runs(tmp_path)


def test_lists_and_bytes_are_left_out_and_said(tmp_path):
    table = simulated_table().assign(tags=[["a", "b"]] * 30, blob=b"x")
    table.to_parquet(tmp_path / "a.parquet")
    runs = read_runs(tmp_path / "a.parquet")
    assert {"tags", "blob"}.isdisjoint(runs.table)
    assert "left out, for lists and bytes say nothing here: tags, blob" in runs.ledger


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_only_some_columns_are_read(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    table = simulated_table().assign(noise=1.0, other=2.0)
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    runs = read_runs(path, only=["loss", "params", "tokens"])
    assert list(runs.table) == ["run", "params", "tokens", "loss", "flops"]
    assert "of 5 columns only params, tokens, loss taken" in runs.ledger
    with pytest.raises(RunsError, match="'losses' is asked for and not there; did you mean 'loss'"):
        read_runs(path, only=["losses"])


def test_table_that_is_too_large_is_refused_with_a_remedy_that_works(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    simulated_table().assign(grad_norm=1.0, mfu=0.4, step=3).to_parquet(path)
    monkeypatch.setattr(parquet, "MOST_CELLS", 150)
    with pytest.raises(RunsError, match="30 rows of 6 columns are too many") as refused:
        read_runs(path)
    names = str(refused.value).partition("--only ")[2].rstrip(".").split(",")
    assert names == ["params", "tokens", "loss", "step"]
    assert len(read_runs(path, only=names)) == 30


def test_large_tables_hold_the_rows_that_a_filter_keeps(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    table = simulated_table().assign(step=np.arange(30), family=["a", "b", "c"] * 10)
    pq.write_table(pa.Table.from_pandas(table), path, row_group_size=7)
    where = "family in ['a', 'b'] and 3 <= step and loss < 100"
    plain = read_runs(path, where=where)
    monkeypatch.setattr(parquet, "MANY", 10)
    held = read_runs(path, where=where)
    pd.testing.assert_frame_equal(held.table, plain.table)
    assert held.ledger[0] == "18 rows read"
    assert held.ledger[1].startswith("12 of 30 rows not held")
    assert "0 dropped by the filter" in " ".join(held.ledger)
    assert plain.ledger[0] == "30 rows read"


def test_rows_that_are_not_known_are_held_for_they_may_be_filled(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    table = simulated_table().assign(flops=lambda t: 6 * t.params * t.tokens)
    low = table["tokens"].median()
    table.loc[table.index % 4 == 0, "tokens"] = np.nan
    table.to_parquet(path)
    plain = read_runs(path, where=f"tokens > {low}")
    monkeypatch.setattr(parquet, "MANY", 10)
    pd.testing.assert_frame_equal(read_runs(path, where=f"tokens > {low}").table, plain.table)


@pytest.mark.parametrize(
    "options",
    [
        {"units": {"tokens": 1e9}, "where": "tokens > 5e9"},
        {"columns": {"tokens": "step", "data": "tokens"}, "where": "tokens > 5e9"},
        {"loss_unit": "bits", "where": "loss < 1.8"},
    ],
)
def test_filter_on_what_is_read_otherwise_is_left_to_pandas(tmp_path, monkeypatch, options):
    path = tmp_path / "a.parquet"
    table = simulated_table()
    if "units" in options:
        table["tokens"] /= 1e9
    if "columns" in options:
        table["step"], options = table["tokens"], {**options, "columns": {"tokens": "step"}}
        table["tokens"] = 1.0
        table = table.rename(columns={"tokens": "data"})
    table.to_parquet(path)
    plain = read_runs(path, **options).table
    monkeypatch.setattr(parquet, "MANY", 10)
    assert 0 < len(plain) < 30
    pd.testing.assert_frame_equal(read_runs(path, **options).table, plain)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("step > 3", ["step > 3"]),
        ("3 < step and lr <= 1e-3", ["step > 3", "lr <= 0.001"]),
        ("(step > 3) & (family == 'a')", ["step > 3", "family == 'a'"]),
        ("finished == True and step in [1, 2]", ["finished == True", "step in [1, 2]"]),
        ("family == 'a' and (step > 3 or lr > 1)", ["family == 'a'"]),
        ("step > 3 or family == 'a'", []),
        ("step > 3 and lr < lr.median()", []),  # the median is that of all rows
        ("family.str.startswith('a') and step > 3", []),
        ("family > 'a'", []),
        ("step == '3'", []),
        ("family == 3 and finished == 1", []),
        ("when == 3", []),
        ("other > 3", []),
        ("not finished", []),
        ("1 < step < 5", []),
        ("family not in ['a']", []),
        ("family != 'a'", []),
        ("`my step` > 3 and step > 1", []),
        ("step >", []),
    ],
)
def test_conditions_that_may_be_asked_of_single_rows(where, found):
    assert list(map(str, simple_conditions(where, TYPES))) == found


def test_names_of_an_index_become_columns_and_others_go(tmp_path):
    table = simulated_table()
    table.set_index("params").to_parquet(tmp_path / "a.parquet")
    table.set_index(pd.Index(np.arange(30) * 2)).to_parquet(tmp_path / "b.parquet")
    named = load_table(tmp_path / "a.parquet").table
    assert named["params"].tolist() == table["params"].tolist()
    plain = load_table(tmp_path / "b.parquet").table
    assert list(plain) == list(table)
    assert plain.index.tolist() == list(range(30))


def test_command_line_has_these_options(tmp_path):
    path, _ = folder(tmp_path)
    spec = load_model("kaplan")
    runs = runs_of(path, Reading(only=["params", "tokens", "loss"]), spec)
    assert len(runs) == 30
    assert "only_1" not in runs.table
    assert reading_options(Reading(thin_per=["none"]))["thin_per"] == ()
    assert reading_options(Reading(thin_per=["run", "seed"]))["thin_per"] == ("run", "seed")
    assert "thin_per" not in reading_options(Reading())
    with pytest.raises(RunsError, match="--thin-per: of a sweep"):
        sweep_options(path, Reading(thin_per=["run"]))
