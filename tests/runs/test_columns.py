"""Names of columns: what is taken, what is proposed, and units that names state."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale import RunsError, RunsWarning, read_runs
from bayescale.errors import UnnamedColumnError
from bayescale.runs.columns import Meaning, meaning

SURE = {
    "params": "N|Parameters|N_params|num_params|#params|model_size|config.model.n_params|Params",
    "tokens": "D|train_tokens|Tokens seen|numTokens|total_tokens|D_tokens|toks",
    "flops": "C|compute|compute_budget|total_flops|Training compute (FLOPs)|training FLOP",
    "loss": "L|val/loss|eval/loss|final_loss|Final Test Loss|Cross-Entropy Loss|valLoss",
}
UNITS = {
    "params_M": ("params", 1e6),
    "unique_tokens": ("unique_tokens", None),
    "n_unique_tokens (B)": ("unique_tokens", 1e9),
    "N (B)": ("params", 1e9),
    "Model Size (millions)": ("params", 1e6),
    "tokens_B": ("tokens", 1e9),
    "n_tokens_e9": ("tokens", 1e9),
    "pf_days": ("flops", 8.64e19),
    "compute_pfdays": ("flops", 8.64e19),
    "C (PF-days)": ("flops", 8.64e19),
    "petaflop/s-days": ("flops", 8.64e19),
    "flops_1e18": ("flops", 1e18),
    "compute_zflops": ("flops", 1e21),
    "loss_bits": ("loss", "bits"),
    "bits_per_token": ("loss", "bits"),
    "val/nats/token": ("loss", "nats"),
    "bpb": ("loss", "bpb"),
    "val_bits_per_byte": ("loss", "bpb"),
    "val_ppl": ("loss", "ppl"),
    "test perplexity": ("loss", "ppl"),
    "log_ppl": ("loss", "nats"),
    "bpc": ("loss", "bpc"),
}
NOT_SURE = ("n_params_non_emb", "params_matmul", "train/loss", "best_val_loss", "loss_c4", "size_M")
NOTHING = (
    *("tokens_per_param", "batch_size_tokens", "flops_per_token", "unique_ids", "d_model"),
    *("embedding_params", "active_experts", "perplexity_se", "loss_std", "bits", "n_bits", "1e18"),
    *("step", "lr", "tflops", "k", "B", "batch_size", "ppl_ratio", "val_tokens", ""),
)


@pytest.mark.parametrize(("ours", "names"), SURE.items())
def test_a_name_that_can_mean_nothing_else_is_known(ours, names):
    for name in names.split("|"):
        found = meaning(name)
        assert found is not None, name
        assert (found.ours, found.sure) == (ours, True), name


@pytest.mark.parametrize(("name", "said"), UNITS.items())
def test_a_name_states_its_unit(name, said):
    assert meaning(name) == Meaning(*said)


def test_other_names_are_proposed_at_most():
    assert not any(meaning(name).sure for name in NOT_SURE)
    assert [name for name in NOTHING if meaning(name) is not None] == []


def test_units_are_taken_from_names_and_said():
    table = simulated_table()
    named = pd.DataFrame(
        {"params_M": table.params / 1e6, "tokens_B": table.tokens / 1e9, "loss": table.loss}
    )
    with pytest.warns(RunsWarning, match="params from the column 'params_M', tokens from the col"):
        runs = read_runs(named)
    np.testing.assert_allclose(runs.table[["params", "tokens"]], table[["params", "tokens"]])
    assert "params multiplied by 1e+06, as the name 'params_M' says" in runs.ledger
    stated = read_runs(named, {"params": "params_M", "tokens": "tokens_B"})  # no doubt left
    pd.testing.assert_frame_equal(stated.table, runs.table)


@pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
def test_a_header_and_values_that_disagree_are_refused():
    table = simulated_table().rename(columns={"params": "params_M", "tokens": "tokens_B"})
    with pytest.raises(RunsError, match=r"'params_M' says by its name.*--unit params=1 .*Python"):
        read_runs(table)
    runs = read_runs(table, units={"params": 1, "tokens": 1})
    np.testing.assert_array_equal(runs.table["params"], table["params_M"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            "task flops acc",
            "'acc' is an accuracy, ask bayescale curves FILE --x flops --y acc --higher-is-better",
        ),
        ("params tokens mmlu_accuracy", "'mmlu_accuracy' is an accuracy, .*--x params"),
        ("tokens best_batch", "For one curve ask bayescale curves FILE --x tokens --y best_batch"),
        ("name params tokens", "without losses are for bayescale plan FIT plans FILE"),
        ("a b c", r'--column loss=YOURS \(in Python columns={"loss": "YOURS"}\)'),
    ],
)
def test_a_table_without_losses_is_told_what_reads_it(columns, said):
    table = pd.DataFrame({name: [1.0, 2.0] for name in columns.split()})
    if "task" in table:
        table["task"], said = "easy", f"{said} --by task, or fit"
    with pytest.raises(UnnamedColumnError, match=said) as refused:
        read_runs(table)
    assert ("accuracy" in str(refused.value)) == ("acc" in columns)


@pytest.mark.filterwarnings("ignore::bayescale.RunsWarning")
@pytest.mark.parametrize(
    ("axis", "others"), [("flops", ["params"]), ("tokens", ["run", "params"]), ("params", ["run"])]
)
def test_losses_in_a_column_for_each_budget_are_made_long_as_the_refusal_says(axis, others):
    table = simulated_table().assign(flops=lambda t: 6 * t.params * t.tokens)
    table = table.assign(run="a").drop_duplicates([*others, axis]).head(12)
    table[axis] = table[axis].map("{:.3e}".format)
    wide = table.pivot(index=others, columns=axis, values="loss").reset_index()
    with pytest.raises(UnnamedColumnError, match="names of columns are numbers") as told:
        read_runs(wide)
    (code,) = re.findall(r"in Python (table\.melt\(.*\))", str(told.value))
    long = eval(code, {"table": wide})
    assert sorted(long["loss"]) == sorted(table["loss"])
    assert set(long[axis]) == set(table[axis])


@pytest.mark.parametrize(("name", "doubted"), [("acc_hard", True), ("acc_loss", False)])
def test_an_accuracy_that_is_named_as_the_loss_is_doubted(name, doubted):
    table = simulated_table().rename(columns={"loss": name})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RunsWarning)
        runs = read_runs(table, {"loss": name})
    said = [str(one.message) for one in told if "accuracy" in str(one.message)]
    assert [f"--y {name} --higher-is-better" in one for one in said] == [True] * doubted
    assert any(one.name == "an accuracy as the loss?" for one in runs.notices) is doubted


def test_a_curve_of_accuracies_is_of_a_task_and_not_of_a_run():
    table = pd.DataFrame({"run": ["a", "b"], "params": [1e8, 1e9], "task": "t", "accuracy": 0.5})
    with pytest.raises(UnnamedColumnError, match="--higher-is-better --by task"):
        read_runs(table)


@pytest.mark.parametrize("name", ["pf_days", "flops", "flops_with_tokens"])
def test_pf_days_are_named_or_read_by_their_name(name):
    table = simulated_table()
    days = 6 * table.params * table.tokens / 8.64e19
    if name == "pf_days":
        with pytest.warns(RunsWarning, match="flops from the column 'pf_days'"):
            runs = read_runs(table.drop(columns="tokens").assign(pf_days=days))
    else:
        given = table.assign(flops=days)
        given = given.drop(columns="tokens") if name == "flops" else given
        with pytest.raises(RunsError, match=r"flops look like PF-days: .*--unit flops=8.64e19"):
            read_runs(given)
        runs = read_runs(given, units={"flops": 8.64e19})
    np.testing.assert_allclose(runs.table["tokens"], table.tokens)


def test_compute_in_another_unit_does_not_blame_the_tokens():
    table = simulated_table().assign(flops=lambda t: 6 * t.params * t.tokens / 1e26)
    with pytest.raises(RunsError, match="flops are no FLOPs: the median is"):
        read_runs(table.drop(columns="tokens"))


def test_two_columns_that_may_be_meant_are_never_chosen_between():
    table = simulated_table()
    table = table.rename(columns={"params": "N", "tokens": "train_tokens", "loss": "val/loss"})
    with pytest.raises(UnnamedColumnError, match="--column loss=val/loss ") as told:
        read_runs(table.assign(**{"train/loss": 1.0}))
    assert told.value.columns == {"loss": "val/loss"}
    with pytest.raises(UnnamedColumnError, match="'val/loss', or 'test/loss'") as told:
        read_runs(table.assign(**{"test/loss": 1.0}))
    assert told.value.columns == {}  # nobody can say which


def test_all_options_come_in_one_line_ready_to_paste():
    table = simulated_table()
    table.columns = ["params_matmul", "tokens_target", "Train Loss"]
    with pytest.raises(UnnamedColumnError) as told:
        read_runs(table)
    assert "--column 'loss=Train Loss' --column params=params_matmul --column" in str(told.value)
    assert read_runs(table, told.value.columns).table["tokens"].equals(table["tokens_target"])


def test_a_column_of_the_law_is_proposed_too():
    table = simulated_table().rename(columns={"params": "n_params_non_emb"})
    runs = read_runs(table)
    with pytest.raises(UnnamedColumnError, match="--column params=n_params_non_emb"):
        runs.column("params")


def test_a_column_taken_by_its_name_is_said():
    table = simulated_table().rename(columns={"params": "N", "tokens": "D", "loss": "L"})
    with pytest.warns(RunsWarning, match="column names: params from the column 'N', tokens"):
        runs = read_runs(table)
    assert "loss is the column 'L'" in runs.ledger
    said = runs.notices[0]
    assert said.name == "column names"
    assert (str(said).count("'D'"), "tokens=" in str(said)) == (1, False)
    assert '--column params=YOURS (in Python columns={"params": "YOURS"})' in said.advice
    layers = simulated_table().assign(L=12).drop(columns="loss")
    with pytest.raises(UnnamedColumnError, match="is it 'L'"):
        read_runs(layers)


def test_letters_of_either_case_differ_from_our_names_in_nothing():
    table = simulated_table().rename(columns={"params": "Params", "loss": "Loss"})
    table["UNIQUE_TOKENS"] = table["tokens"] / 4
    runs = read_runs(table)
    assert runs.notices == ()
    np.testing.assert_array_equal(runs.table["unique_tokens"], table["UNIQUE_TOKENS"])


def test_compute_that_disagrees_with_the_counts_is_left_alone():
    table = simulated_table()
    true = 6 * table.params * table.tokens
    with pytest.warns(RunsWarning, match="not read: flops are filled .*'compute' disagree"):
        runs = read_runs(table.assign(compute=np.linspace(1, 300, len(table))))
    np.testing.assert_allclose(runs.table["flops"], true)
    with pytest.warns(RunsWarning, match="flops from the column 'total_compute'"):
        runs = read_runs(table.assign(total_compute=1.05 * true))
    np.testing.assert_allclose(runs.table["flops"], 1.05 * true)


def test_a_count_is_not_filled_in_silence_where_a_column_may_hold_it():
    table = simulated_table().assign(flops=lambda t: 6 * t.params * t.tokens)
    table = table.rename(columns={"params": "params_matmul"})
    with pytest.warns(RunsWarning, match="--column params=params_matmul"):
        read_runs(table)


@pytest.mark.parametrize("name", ["C", "compute", "L"])
def test_columns_of_text_are_not_taken_for_counts_or_losses(name):
    table = simulated_table().assign(**{name: "c4"})
    runs = read_runs(table)
    assert set(runs.table[name]) == {"c4"}
    assert "params" in runs.table


def test_a_column_of_which_one_cell_is_text_is_read_or_refused():
    table = simulated_table()
    own = (6 * table["params"] * table["tokens"]).astype(str)
    with pytest.warns(RunsWarning, match="flops from the column 'C'"):
        read_runs(table.assign(C=own))
    with pytest.raises(RunsError, match="column 'flops', row 2: 'none' is not a number"):
        read_runs(table.assign(C=own.where(own.index != 1, "none")))


@pytest.mark.parametrize("column", ["name", "Name", "Run name", "run_id"])
def test_runs_have_the_names_of_the_table_where_these_tell_them_apart(column):
    table = simulated_table()
    names = [f"llama-{row}" for row in table.index]
    runs = read_runs(table.assign(**{column: names}), where=f"`{column}` != 'llama-3'")
    assert runs.table["run"].tolist() == names[:3] + names[4:]
    assert f"run is the column {column!r}" in runs.ledger


def test_names_that_repeat_or_lack_are_none_of_runs():
    table = simulated_table()
    for name in (table.index // 2, table.index.astype(str).where(table.index > 0, None)):
        runs = read_runs(table.assign(name=name))
        assert runs.table["run"].tolist()[:2] == ["run-1", "run-2"]
        assert "name" in runs.table


UNIQUE = simulated_table().assign(unique=lambda t: t["tokens"] / 4e9)


def test_unique_tokens_are_read_in_the_unit_of_their_name():
    with pytest.warns(RunsWarning, match="unique_tokens from the column 'unique tokens"):
        named = read_runs(UNIQUE.rename(columns={"unique": "unique tokens (B)"}))
    told = read_runs(
        UNIQUE.rename(columns={"unique": "unique (B)"}), {"unique_tokens": "unique (B)"}
    )
    for runs in (named, told):
        np.testing.assert_allclose(runs.table["unique_tokens"], UNIQUE["tokens"] / 4)
        assert any("unique_tokens multiplied by 1e+09" in line for line in runs.ledger)


def test_unique_tokens_in_an_unstated_unit_are_refused():
    with pytest.raises(RunsError, match="no plausible number of unique_tokens") as refused:
        read_runs(UNIQUE, {"unique_tokens": "unique"})
    assert "--unit unique_tokens=1e9" in str(refused.value)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("unique_tokens", "unique (B)"), ("active_params", "n_active")]
)
def test_a_column_that_may_be_meant_is_proposed(ours, theirs):
    runs = read_runs(UNIQUE.rename(columns={"unique": theirs}))
    with pytest.raises(UnnamedColumnError) as refused:
        runs.column(ours)
    assert refused.value.columns == {ours: theirs}
