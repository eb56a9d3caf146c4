"""Parameters with embeddings and without."""

import numpy as np
import pandas as pd
import pytest

import bayescale as bs
from bayescale.errors import RunsError
from bayescale.runs.embeddings import counting_of

TABLE = pd.DataFrame({"params": [1e6, 1e8], "tokens": [1e9, 2e9], "loss": [4.0, 3.0]})


def test_share_of_embeddings_as_published():
    counts = np.array([1e6, 1e8, 1e10])
    share = 1 - counts / bs.total_params(counts)
    np.testing.assert_allclose(share, [0.826, 0.181, 0.010], atol=5e-4)


def test_the_inverse_is_exact_from_one_parameter_to_a_quadrillion():
    counts = np.geomspace(1, 1e15, 200)
    np.testing.assert_allclose(bs.non_embedding_params(bs.total_params(counts)), counts, rtol=1e-10)
    np.testing.assert_allclose(bs.total_params(bs.non_embedding_params(counts)), counts, rtol=1e-10)
    assert bs.non_embedding_params(0.0) == 0.0


def test_a_table_is_converted_before_compute_is_filled_and_the_ledger_says_it():
    runs = bs.read_runs(TABLE, params_are="non-embedding:total")
    np.testing.assert_allclose(runs.table["params"], bs.total_params(TABLE["params"]))
    np.testing.assert_allclose(runs.table["flops"], 6 * runs.table["params"] * TABLE["tokens"])
    assert runs.params_are == "total"
    assert any(said.startswith("params made total from non-embedding") for said in runs.ledger)
    back = bs.read_runs(runs.table.drop(columns="flops"), params_are="total:non-embedding")
    np.testing.assert_allclose(back.table["params"], TABLE["params"], rtol=1e-10)


def test_units_and_names_come_first():
    small = TABLE.assign(params=TABLE["params"] / 1e6).rename(columns={"params": "N"})
    own = {"columns": {"params": "N"}, "units": {"params": 1e6}}
    runs = bs.read_runs(small, **own, params_are="non-embedding:total")
    np.testing.assert_allclose(runs.table["params"], bs.total_params(TABLE["params"]))


@pytest.mark.parametrize("words", ["not stated", "non-embedding", "total"])
def test_nothing_is_converted_that_was_not_asked(words):
    runs = bs.read_runs(TABLE, params_are=words)
    assert runs.table["params"].tolist() == TABLE["params"].tolist()
    assert runs.params_are == words
    assert not any("made" in said for said in runs.ledger)


@pytest.mark.parametrize("words", ["non-embedding:all", "a:b", "total:total"])
def test_other_conversions_are_refused(words):
    with pytest.raises(RunsError, match="non-embedding:total or total:non-embedding"):
        counting_of(words)
