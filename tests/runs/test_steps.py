"""Tables of steps to a target loss, and steps from the losses of checkpoints."""

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_steps

from bayescale import RunsError, RunsWarning, read_steps, steps_to_target
from bayescale.runs.steps import batch_column, sequence_length_of

STEPS = [16_000, 9_000, 5_400, 3_600, 2_800]
PLAIN = pd.DataFrame(
    {"params": [1e8] * 5, "batch_tokens": 2.0 ** np.arange(17, 22), "steps": STEPS}
)


def read(**changed):
    return read_steps(PLAIN.assign(**changed)).table


def test_a_curve_is_one_model_and_least_tokens_are_its_fewest():
    table = read_steps(simulated_steps()).table
    assert table["curve"].nunique() == 5
    tokens = table["steps"] * table["batch_tokens"]
    for name, own in tokens.groupby(table["curve"]):
        assert set(table.loc[table["curve"] == name, "least_tokens"]) == {own.min()}


def test_targets_tell_curves_of_one_size_apart():
    both = pd.concat([PLAIN.assign(target_loss=3.0), PLAIN.assign(target_loss=2.9)])
    assert set(read_steps(both).table["curve"]) == {"100M to 3", "100M to 2.9"}
    assert set(read(target_loss=3.0)["curve"]) == {"100M"}
    assert set(read_steps(PLAIN.drop(columns="params")).table["curve"]) == {"all"}


def test_batches_in_sequences_become_tokens_where_their_length_is_known():
    own = PLAIN.rename(columns={"batch_tokens": "Batch Size"})
    own["Batch Size"] /= 512
    assert batch_column(read_steps(own).table) == "batch_sequences"
    known = read_steps(own, sequence_length=512).table
    assert known["batch_tokens"].tolist() == PLAIN["batch_tokens"].tolist()
    assert sequence_length_of(known) == 512
    said = own.assign(tokens=PLAIN["steps"] * PLAIN["batch_tokens"])  # no one gave the length
    assert read_steps(said).table["batch_tokens"].tolist() == PLAIN["batch_tokens"].tolist()


@pytest.mark.parametrize("name", ["seq_len", "Seq Length", "context_length", "context"])
def test_a_column_of_the_length_of_sequences_is_read(name):
    own = PLAIN.rename(columns={"batch_tokens": "batch (seqs)"}).assign(**{name: 512})
    own["batch (seqs)"] /= 512
    known = read_steps(own).table
    assert known["batch_tokens"].tolist() == PLAIN["batch_tokens"].tolist()
    assert sequence_length_of(read_steps(own, sequence_length=256).table) == 256
    with pytest.raises(RunsError, match=f"'{name}', rows? .*'short' is no .*--sequence-length"):
        read_steps(own.assign(**{name: "short"}))


def test_a_batch_size_in_tokens_is_seen_by_the_tokens():
    own = PLAIN.rename(columns={"batch_tokens": "batch_size"})
    assert batch_column(read_steps(own).table) == "batch_sequences"
    own["tokens"] = own["steps"] * own["batch_size"]
    assert batch_column(read_steps(own).table) == "batch_tokens"


def test_tokens_stand_for_steps():
    own = PLAIN.assign(tokens=PLAIN["steps"] * PLAIN["batch_tokens"]).drop(columns="steps")
    assert read_steps(own).table["steps"].tolist() == PLAIN["steps"].tolist()


def test_a_target_that_was_never_reached_is_left_out_and_said():
    with pytest.warns(RunsWarning, match="1 run without steps never reached"):
        runs = read_steps(PLAIN.assign(steps=[*STEPS[:4], np.nan]))
    assert len(runs) == 4
    assert [one.name for one in runs.notices][-1] == "targets never reached"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": np.nan}, "none reached its target"),
        ({"batch_tokens": [0.0, 1, 2, 3, 4]}, "row 1: a batch size is a positive number"),
        ({"tokens": 7.0}, "tokens are not steps times batch_tokens"),
        ({"loss": [3.0, 2.9, 2.8, 2.7, 2.6]}, "steps are of no one target"),
    ],
)
def test_what_cannot_be_read_is_refused(changed, said):
    with pytest.raises(RunsError, match=said):
        read(**changed)


def test_missing_columns_are_named():
    with pytest.raises(RunsError, match="no batch size"):
        read_steps(PLAIN.drop(columns="batch_tokens"))
    with pytest.raises(RunsError, match="no steps to the target"):
        read_steps(PLAIN.drop(columns="steps"))
    with pytest.raises(RunsError, match="no column 'B' for batch_tokens"):
        read_steps(PLAIN, {"batch_tokens": "B"})
    with pytest.raises(RunsError, match="sequence_length must be a positive number"):
        read_steps(PLAIN, sequence_length=-1.0)


def test_rows_are_chosen_before_the_fewest_tokens_are_found():
    chosen = read_steps(PLAIN, where="batch_tokens > 2e5").table
    assert set(chosen["least_tokens"]) == {9_000 * 2.0**18}


def checkpoints(batch, scale, run="a"):
    steps = np.geomspace(10, 1e5, 41)
    loss = 2.0 + 3.0 * (steps / scale) ** -0.5
    return pd.DataFrame(
        {"model": "m", "params": 1e8, "batch_tokens": batch, "run": run, "steps": steps}
        | {"loss": loss}
    )


def test_steps_to_target_are_those_of_the_loss_curve():
    table = pd.concat([checkpoints(1e5, 100.0), checkpoints(2e5, 60.0)])
    found = steps_to_target(table, 2.5, curve="model")
    np.testing.assert_allclose(found["steps"], [3600.0, 2160.0], rtol=0.02)
    assert (found["curve"] == "m").all()
    assert (found["params"] == 1e8).all()


def test_targets_never_reached_and_reached_before_have_no_steps():
    table = pd.concat([checkpoints(1e5, 100.0), checkpoints(2e5, 1e9), checkpoints(4e5, 0.1)])
    found = steps_to_target(table, 2.5)
    assert found["reached"].tolist() == ["yes", "never", "before"]
    assert found["steps"].isna().tolist() == [False, True, True]


def test_the_fastest_run_of_a_batch_size_counts():
    table = pd.concat([checkpoints(1e5, 100.0, "slow"), checkpoints(1e5, 50.0, "fast")])
    (steps,) = steps_to_target(table, 2.5, run="run")["steps"]
    assert steps == pytest.approx(1800.0, rel=0.02)


def test_each_curve_needs_a_target():
    with pytest.raises(RunsError, match="no target for the curve 'm'"):
        steps_to_target(checkpoints(1e5, 100.0), {"other": 2.5}, curve="model")
    with pytest.raises(RunsError, match="no column 'batch'"):
        steps_to_target(checkpoints(1e5, 100.0), 2.5, batch="batch")


def test_sizes_of_another_name_and_unit_tell_curves_apart():
    steps = simulated_steps()
    other = steps.drop(columns="curve", errors="ignore")
    other = other.rename(columns={"params": "Model Size (M)"})
    other["Model Size (M)"] /= 1e6
    with pytest.warns(RunsWarning, match=r"params from the column 'Model Size \(M\)'"):
        table = read_steps(other).table
    np.testing.assert_allclose(table["params"], steps["params"])
    assert table["curve"].nunique() == steps["params"].nunique() > 1
    named = read_steps(other, {"params": "Model Size (M)"}).table
    np.testing.assert_allclose(named["params"], steps["params"])


def test_a_unit_in_brackets_hides_no_batch_size():
    assert batch_column(read_steps(PLAIN.rename(columns={"batch_tokens": "Batch (seqs)"})).table)
