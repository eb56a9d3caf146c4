"""Runs of Weights & Biases: exported tables and objects."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale import RunsError, RunsWarning, from_wandb

pytestmark = pytest.mark.filterwarnings("ignore:column names")


class Summary:
    """What a summary of W&B can do, and no more."""

    def __init__(self, entries):
        self.entries = entries

    def keys(self):
        return self.entries.keys()

    def __getitem__(self, name):
        return self.entries[name]


def objects(crashed=()):
    for row, of in simulated_table().iterrows():
        metrics = {} if row in crashed else {"val": Summary({"loss": of.loss}), "lr": 0.0}
        yield SimpleNamespace(
            name=f"run {row}",
            state="crashed" if row in crashed else "finished",
            config={"model": {"n_params": of.params}, "train_tokens": of.tokens, "lr": 1e-3},
            summary=Summary({**metrics, "_wandb": {"runtime": 3}, "plot": [1, 2], "_step": 9}),
        )


@pytest.mark.parametrize("hand", [list, iter])
def test_objects_are_read(hand):
    with pytest.warns(RunsWarning, match="'State' marks rows 3, 8 "):
        runs = from_wandb(hand(objects(crashed=(2, 7))))
    assert (len(runs), runs.source) == (28, "30 runs of W&B")
    np.testing.assert_array_equal(runs.table["loss"], simulated_table()["loss"].drop([2, 7]))
    assert list(runs.table["run"][:2]) == ["run 0", "run 1"]
    assert {"config.lr", "summary.lr"} <= set(runs.table)
    assert not any("_wandb" in name or name == "plot" for name in runs.table)


def test_an_exported_table_is_read_with_options(tmp_path):
    table = simulated_table()
    exported = pd.DataFrame(
        {
            "Name": [f"sweep-{row}" for row in table.index],
            "State": ["finished"] * 29 + ["failed"],
            "config.lr": 3e-4,
            "N_params": table.params.astype("int64"),
            "train_tokens": table.tokens.astype("int64"),
            "train/loss": table.loss,
            "val/loss": table.loss.where(table.index != 29),
        }
    )
    exported.to_csv(tmp_path / "wandb.csv", index=False)
    with pytest.raises(RunsError, match="--column loss=val/loss"):
        from_wandb(tmp_path / "wandb.csv")
    with pytest.warns(RunsWarning, match="'State' marks row 30 "):
        runs = from_wandb(tmp_path / "wandb.csv", columns={"loss": "val/loss"})
    assert len(runs) == 29
    assert runs.table["run"].iloc[0] == "sweep-0"


@pytest.mark.parametrize("source", [3, [3], ["run"], SimpleNamespace(name="a", state="b")])
def test_what_is_no_run_is_answered_with_what_to_pass(source):
    with pytest.raises(RunsError, match=r"item 1, a .* is no run of W&B.*wandb\.Api"):
        from_wandb(source)


def test_no_runs_are_refused():
    with pytest.raises(RunsError, match="there are no runs"):
        from_wandb([])
