"""Tables as strangers bring them: read as they are, or with the one option that is named."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.errors import RunsError
from bayescale.runs.table import read_runs

TRUTH = simulated_table().round({"params": -4, "tokens": -7, "loss": 4})


def units_in_headers(folder):
    table = pd.DataFrame(
        {
            "Model size (M)": TRUTH["params"] / 1e6,
            "Training tokens (B)": TRUTH["tokens"] / 1e9,
            "Compute (PF-days)": 6 * TRUTH["params"] * TRUTH["tokens"] / 8.64e19,
            "Validation loss": TRUTH["loss"],
        }
    )
    table.to_csv(folder / "units.csv", index=False)
    return folder / "units.csv"


def german_excel(folder):
    def dotted(counts):
        return counts.map(lambda count: f"{count:,.0f}".replace(",", "."))

    table = TRUTH.assign(params=dotted(TRUTH["params"]), tokens=dotted(TRUTH["tokens"]))
    names = {"params": "Parameter", "tokens": "Tokens", "loss": "Verlust"}
    options = {"sep": ";", "decimal": ",", "encoding": "utf-8-sig", "index": False}
    table.rename(columns=names).to_csv(folder / "german.csv", **options)
    return folder / "german.csv"


def wandb_export(folder):
    names = {"params": "model.n_params", "tokens": "tokens_seen", "loss": "val_loss"}
    dead = pd.DataFrame({"params": 1e8, "tokens": 1e9, "loss": [np.nan, 6.0]})
    table = pd.concat([TRUTH, dead], ignore_index=True).rename(columns=names)
    state = [*["finished"] * len(TRUTH), "failed", "crashed"]
    table.insert(0, "Name", [f"sweep-{number}" for number in range(len(table))])
    table.assign(State=state, Runtime=3600).to_csv(folder / "wandb.csv", index=False)
    return folder / "wandb.csv"


def formatted_frame(folder):
    def short(counts, unit, letter):
        return [f"{count / unit:.6g}{letter}" for count in counts]

    params, tokens = short(TRUTH["params"], 1e6, "M"), short(TRUTH["tokens"], 1e9, "B")
    return pd.DataFrame({"N": params, "D": tokens, "loss": TRUTH["loss"].astype(object)})


def nested_records(folder):
    records = [
        {
            "config": {"model": {"n_params": row.params}, "lr": 3e-4},
            "summary": {"tokens": row.tokens, "val": {"loss": row.loss}},
        }
        for row in TRUTH.itertuples()
    ]
    (folder / "nested.json").write_text(json.dumps({"runs": records}))
    return folder / "nested.json"


def history(folder):
    parts = [
        TRUTH.assign(tokens=TRUTH["tokens"] * part, loss=TRUTH["loss"] * (2 - part))
        for part in (0.25, 0.5, 0.75, 1)
    ]
    table = pd.concat([part.assign(run_name=part.index) for part in parts])
    names = {"params": "num_params", "tokens": "num_tokens", "loss": "val_loss"}
    table.rename(columns=names).to_csv(folder / "history.tsv", sep="\t", index=False)
    return folder / "history.tsv"


def parameters_without_embeddings(folder):
    names = {"params": "n_params_non_emb", "tokens": "D_tokens", "loss": "eval/loss"}
    TRUTH.rename(columns=names).to_csv(folder / "names.csv", index=False)
    return folder / "names.csv"


def billions(folder):
    TRUTH.assign(tokens=TRUTH["tokens"] / 1e9).to_csv(folder / "billions.csv", index=False)
    return folder / "billions.csv"


def training_and_validation(folder):
    table = TRUTH.assign(train=TRUTH["loss"] - 0.02)
    names = {"loss": "val/loss", "train": "train/loss"}
    table.rename(columns=names).to_csv(folder / "two.csv", index=False)
    return folder / "two.csv"


AS_THEY_ARE = [units_in_headers, wandb_export, formatted_frame, nested_records]
WITH_ONE = {
    german_excel: ("--column loss=YOURS", {"columns": {"loss": "Verlust"}}),
    history: ("--last-per run", {"last_per": "run"}),
    parameters_without_embeddings: (
        "--column params=n_params_non_emb",
        {"columns": {"params": "n_params_non_emb"}},
    ),
    billions: ("--unit tokens=1e9", {"units": {"tokens": 1e9}}),
    training_and_validation: ("--column loss=val/loss", {"columns": {"loss": "val/loss"}}),
}


def check_counts_and_losses(runs):
    for name in TRUTH:
        np.testing.assert_allclose(runs.column(name), TRUTH[name], rtol=1e-5, err_msg=name)


@pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning")
@pytest.mark.parametrize("make", AS_THEY_ARE)
def test_read_as_it_is(make, tmp_path):
    check_counts_and_losses(read_runs(make(tmp_path)))


@pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning")
@pytest.mark.parametrize("make", WITH_ONE)
def test_the_one_option_is_named_and_works(make, tmp_path):
    said, option = WITH_ONE[make]
    table = make(tmp_path)
    with pytest.raises(RunsError) as refused:
        read_runs(table).column("params")
    assert said in str(refused.value)
    check_counts_and_losses(read_runs(table, **option))


def test_another_loss_is_seen(tmp_path):
    option = {"columns": {"loss": "train/loss"}}
    with pytest.raises(AssertionError, match="loss"):
        check_counts_and_losses(read_runs(training_and_validation(tmp_path), **option))
