import hashlib
import http.server
import re
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest

from bayescale import read_runs
from bayescale.errors import DatasetError
from bayescale.runs import datasets
from bayescale.runs.datasets import FOLDER_VARIABLE, available_datasets, load_dataset, registry


def test_embedded_sweep_is_runs():
    table = load_dataset("minisweep")
    assert len(table) >= 100
    assert table["run"].is_unique
    for family, budgets in (("transformer", 4), ("lstm", 2)):
        where = f"family == '{family}' and unique_tokens >= tokens"
        runs = read_runs(table, {"params": "params_matmul"}, where=where, units={"params": 1})
        assert runs.notices == ()
        assert runs.budgets().nunique() >= budgets
        assert runs.sha256
    np.testing.assert_allclose(table["flops"], 6 * table["params_matmul"] * table["tokens"])
    assert (table["unique_tokens"] <= table["tokens"]).all()


def test_checkpoints_belong_to_runs_of_the_sweep():
    table, points = load_dataset("minisweep"), load_dataset("minisweep_checkpoints")
    assert set(points["run"]) <= set(table["run"])
    assert (~points["mid_schedule"]).sum() == points["run"].nunique()


@pytest.mark.parametrize("name", sorted(registry()))
def test_published_table_is_the_registered_one(data_folder, name):
    assert len(load_dataset(name)) == registry()[name].rows


def test_a_published_table_says_its_licence_and_what_to_cite(data_folder):
    attrs = load_dataset("data_constrained").attrs
    assert attrs["licence"] == "Apache-2.0"
    assert "Muennighoff" in attrs["citation"]
    assert all(entry.licence and entry.citation for entry in registry().values())


def test_every_embedded_file_has_a_licence_in_the_card():
    folder = Path(datasets.__file__).parents[1] / "data"
    licences = (folder / "README.md").read_text("utf-8").split("# Licences of what")[1]
    named = set(re.findall(r"`(\w+\.\w+)`", licences))
    assert {path.name for path in folder.iterdir()} - {"README.md"} == named
    assert {f"{name}.csv" for name in datasets.EMBEDDED} < named
    assert load_dataset("minisweep").attrs["licence"] == "Apache-2.0"


def test_unknown_name_lists_the_known():
    with pytest.raises(DatasetError, match=r"did you mean 'chinchilla'\?"):
        load_dataset("chinchila")
    assert "minisweep" in available_datasets()
    assert "needs overtrained.csv" in available_datasets()["overtrained"]
    assert "needs" not in available_datasets()["chinchilla"]


def test_file_with_another_digest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DatasetError, match=r"chinchilla_epoch\.csv is not in the folder"):
        load_dataset("chinchilla")
    (tmp_path / "chinchilla_epoch.csv").write_text("run,loss\n")
    with pytest.raises(DatasetError, match="not the registered file: sha256"):
        load_dataset("chinchilla")


def test_table_without_a_download_says_what_to_do(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(DatasetError, match=f"put overtrained.csv into a folder.*{FOLDER_VARIABLE}"):
        load_dataset("overtrained")


@pytest.mark.parametrize("name", [name for name in registry() if "downstream" in name])
def test_tables_of_tasks_say_how_to_get_them(monkeypatch, name):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(DatasetError, match=rf"https://github.com/.*put {name}\.csv into a folder"):
        load_dataset(name)


def test_overtrained_models_have_a_row_for_each_of_their_tasks(data_folder):
    runs, tasks = load_dataset("overtrained"), load_dataset("overtrained_downstream")
    assert set(tasks["run"]) == set(runs["run"])
    assert (tasks.groupby("run")["task"].nunique() == 46).all()


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """A local server that publishes a table in the publisher's layout, registered as chinchilla."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    rng = np.random.default_rng(0)
    upstream = pd.DataFrame(
        {
            "Model Size": 10 ** rng.uniform(8, 10, 20),
            "Training FLOP": 10 ** rng.uniform(18, 22, 20),
            "loss": np.r_[rng.uniform(2, 3, 15), [4.0, 4.1, 4.2, 4.3, 5.0]],
        }
    )
    (tmp_path / "site").mkdir()
    path = tmp_path / "site" / "table.csv"
    upstream.to_csv(path, index=False)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "site")
    monkeypatch.setattr(handler.func, "log_message", lambda *arguments: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    entry = replace(
        registry()["chinchilla"],
        rows=20,
        upstream_url=f"http://127.0.0.1:{server.server_port}/table.csv",
        upstream_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )

    def register(**changes):
        monkeypatch.setattr(datasets, "registry", lambda: {"chinchilla": replace(entry, **changes)})

    yield upstream, register
    server.shutdown()
    server.server_close()
    thread.join()


def test_download_is_checked_and_tidied(publisher):
    upstream, register = publisher
    register()
    table = load_dataset("chinchilla")
    np.testing.assert_allclose(table["params"], upstream["Model Size"])
    np.testing.assert_allclose(6 * table["params"] * table["tokens"], upstream["Training FLOP"])
    assert table["outlier_epoch"].tolist() == [False] * 15 + [True] * 5
    assert len(read_runs(table, where="not outlier_epoch")) == 15


def test_the_publishers_own_file_may_be_in_the_folder(publisher, tmp_path, monkeypatch):
    upstream, register = publisher
    register()
    downloaded = load_dataset("chinchilla")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(DatasetError, match=r"nor is table\.csv; put that there, from http://127"):
        load_dataset("chinchilla")
    (tmp_path / "mine").mkdir()
    upstream.to_csv(tmp_path / "mine" / "table.csv", index=False)
    pd.testing.assert_frame_equal(load_dataset("chinchilla"), downloaded)
    register(upstream_sha256="0" * 64)
    with pytest.raises(DatasetError, match="not the registered file: sha256"):
        load_dataset("chinchilla")


def test_download_with_another_digest_is_refused(publisher):
    publisher[1](upstream_sha256="0" * 64)
    with pytest.raises(DatasetError, match="could not be fetched"):
        load_dataset("chinchilla")


def test_changed_layout_is_refused(publisher):
    publisher[1](rows=21)
    with pytest.raises(DatasetError, match="makes 20 rows instead of 21"):
        load_dataset("chinchilla")
    entry = registry()["chinchilla"]
    with pytest.raises(DatasetError, match="has no column model size, loss"):
        datasets.TIDY["chinchilla"](pd.DataFrame({"Training FLOP": [1e20]}), entry)


def test_dead_address_says_how_to_go_on(publisher):
    publisher[1](upstream_url="http://127.0.0.1:9/none.csv")
    with pytest.raises(DatasetError, match=rf"network, put none\.csv, fetched.*{FOLDER_VARIABLE}"):
        load_dataset("chinchilla")


def test_language_curves_are_named_and_copies_dropped():
    curve = ("NMT", "log_perplexity", "6 Enc, 6 Dec")
    upstream = pd.DataFrame(
        [
            (*curve, 5e5, 0.9, 1),
            (*curve, 1e6, 0.7, 0),
            ("LM", "val_loss", "1.68e+07", 2e9, 0.95, 1),
            ("LM", "val_loss", "1.68e+07", 2e9, 0.95, 1),
            ("BB", "('date', '1-shot')", "262M", 3e9, 0.8, 1),
        ],
        columns=["Domain", "Task", "Model", "Seen Examples", "Loss", "Training"],
    )
    name = "learning_curves_language"
    table = datasets.TIDY[name](upstream, registry()[name])
    translation = "NMT/log_perplexity/6Enc-6Dec"
    others = ["LM/val_loss/1.68e+07", "BB/date_1-shot/262M"]
    assert table["curve"].tolist() == [translation, translation, *others]
    assert table["params"].tolist() == [300_000_000, 300_000_000, 16_800_000, 262_000_000]
    assert table["split"].tolist() == ["train", "extrapolate", "train", "train"]
    assert table["upstream_copies"].tolist() == [1, 1, 2, 1]
    assert table["metric"].notna().all()


@pytest.fixture
def misfitting():
    """Rows in the publisher's order: a run, its exact copy, a smaller run with two losses."""
    large = ("misfitting_1b", 1_182_757_632, 1_002_009_344, 0.0004, 20000)
    small = ("misfitting_17m", 62_052_928, 16_865_856, 0.004, 200)
    sizes = pd.DataFrame(
        [
            (*large, 20000, 2.7),
            (*large, 20000, 2.7),
            (*small, 200, 5.6),
            (*small, 200, 5.5),
            (*small, 128, 5.9),
        ],
        columns=["model", "N", "N_no_emb", "peak_lr", "total_steps", "current_steps", "loss"],
    )
    return sizes.assign(D=sizes["current_steps"] * 2**20, sweep="2024_11_10-23_08_29_sweep_test")


def test_misfitting_runs_are_sorted_and_marked(misfitting):
    upstream = misfitting[misfitting["current_steps"] == misfitting["total_steps"]]
    table = datasets.TIDY["misfitting"](upstream, registry()["misfitting"])
    assert table["loss"].tolist() == [5.6, 5.5, 2.7]
    assert table["run"].iloc[0] == "17m-s200-lr0.004-2024_11_10-23_08_29"
    assert table["ambiguous_duplicate"].tolist() == [True, True, False]
    np.testing.assert_allclose(table["flops"] / table["params"], 6 * table["tokens"])
    assert table["flops_non_embedding"].between(0, table["flops"]).all()


def test_misfitting_checkpoints_have_their_place(misfitting):
    name = "misfitting_checkpoints"
    table = datasets.TIDY[name](misfitting, registry()[name])
    assert table["portion_of_schedule"].tolist() == [0.64, 1, 1, 1]
    assert table["is_final_checkpoint"].tolist() == [False, True, True, True]
    assert table["ambiguous_duplicate"].tolist() == [False, True, True, False]
