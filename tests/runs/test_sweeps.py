"""A swept table is read into cells with ceilings; hostile ones get one sentence each."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescale.errors import RunsError, RunsWarning
from bayescale.runs.sweep_design import levels
from bayescale.runs.sweeps import as_sweep, read_sweep
from bayescale.runs.table import read_runs

RATES = 0.001 * 2.0 ** np.arange(5)


def sweep(sizes=(1e8, 2e8, 4e8), ratios=(20, 60), rates=RATES, batches=(2.0**18, 2.0**19, 2.0**20)):
    """A bowl in every cell, its best rate at the middle one, its best batch too."""
    rows = [
        {"params": n, "tokens": n * r, "learning_rate": x, "batch_size_tokens": b}
        for n in sizes
        for r in ratios
        for x in rates
        for b in batches
    ]
    table = pd.DataFrame(rows)
    u = np.log(table["learning_rate"] / np.median(rates))
    v = np.log(table["batch_size_tokens"] / np.median(batches))
    floor = 1.8 + 40 * table["params"] ** -0.25 + 150 * table["tokens"] ** -0.28
    return table.assign(loss=floor * np.exp(0.01 * u**2 + 0.005 * v**2))


def quiet(table, knobs=("learning_rate", "batch_size_tokens"), **reading):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return read_sweep(table, list(knobs), **reading)


def notices(table, knobs=("learning_rate", "batch_size_tokens"), **reading):
    return {one.name: one for one in quiet(table, knobs, **reading).notices}


def published(name):
    folder = os.environ.get("BAYESCALE_DATA")
    if folder is None or not (Path(folder) / f"{name}.csv").is_file():
        pytest.skip(f"BAYESCALE_DATA names no folder with {name}.csv")
    return pd.read_csv(Path(folder) / f"{name}.csv")


def test_a_clean_sweep_has_named_cells_and_nothing_to_doubt():
    runs = quiet(sweep())
    assert runs.table["cell"].unique().tolist()[:2] == ["100M 2.00B", "100M 6.00B"]
    assert runs.table["size"].unique().tolist() == ["100M", "200M", "400M"]
    assert list(runs.notices) == []
    best = runs.table.groupby("cell")["loss"].transform("min")
    np.testing.assert_allclose(runs.table["ceiling"], best * np.exp(0.05))
    assert runs.table["loss"].max() < runs.table["ceiling"].max()


def test_counts_that_differ_by_rounding_are_of_one_cell():
    table = sweep()
    rng = np.random.default_rng(1)
    table["tokens"] *= rng.uniform(0.995, 1.005, len(table))
    table["params"] *= rng.uniform(0.998, 1.002, len(table))
    assert quiet(table).table["cell"].nunique() == 6
    apart = table["learning_rate"].gt(0.002) * 0.04  # tokens of one cell in two heaps
    assert quiet(table.assign(tokens=table["tokens"] * (1 + apart))).table["cell"].nunique() == 12


def test_sizes_that_three_digits_do_not_tell_apart_have_names_of_their_own():
    runs = quiet(sweep(sizes=(1.000e9, 1.004e9 * 1.01)))
    assert runs.table["size"].nunique() == 2
    close = sweep(sizes=(1e9, 1.0201e9), ratios=(20, 20.5))
    assert quiet(close).table["cell"].nunique() == 4


def test_other_marks_than_of_divergence_are_named():
    table = sweep()
    table["diverged"] = table["outlier"] = table.index == 3
    found = notices(table)["flagged runs"]
    assert found.message == "the column 'outlier' marks row 4"


def test_runs_far_above_the_best_or_diverged_have_the_loss_of_the_ceiling():
    table = sweep().astype({"loss": object})
    table.loc[0, "loss"], table.loc[1, "loss"], table.loc[2, "loss"] = np.nan, "inf", 9.9
    table = table.assign(diverged=np.arange(len(table)) == 3)
    runs = quiet(table)
    assert len(runs) == len(table)
    own = runs.table.loc[:3]
    np.testing.assert_array_equal(own["loss"], own["ceiling"])
    assert own["diverged"].tolist() == [True, True, False, True]
    assert own["raw_loss"].isna().tolist() == [True, True, False, False]
    assert (runs.table.loc[4:, "loss"] < runs.table.loc[4:, "ceiling"]).all()
    found = notices(table)["runs without a loss"]
    assert found.rows == (0, 1)
    assert "loss.notna()" in found.advice
    assert len(quiet(table, where="loss.notna()")) == len(table) - 1  # inf is no blank


@pytest.mark.parametrize(
    ("loss", "said"), [(-2.6, "-2.6 must be positive"), (0.02, "0.02 is far from the median")]
)
def test_of_a_cell_with_a_broken_loss_the_broken_row_alone_is_refused(loss, said):
    table = sweep()
    table.loc[3, "loss"] = loss
    with pytest.raises(RunsError, match=f"column 'loss', row 4: .*{said}"):
        quiet(table)
    assert len(quiet(table, where="row not in [4]")) == len(table) - 1


def test_losses_far_above_the_others_are_capped_and_not_refused():
    table = sweep()
    table.loc[3, "loss"] = 1e5
    assert len(quiet(table)) == len(table)


def test_an_unfinished_run_is_left_out_and_not_called_diverged_as_well():
    table = sweep().assign(state="finished")
    table.loc[[0, 1], "loss"] = np.nan
    table.loc[1, "state"] = "crashed"
    found = notices(table)
    assert found["runs without a loss"].rows == (0,)
    assert found["unfinished runs"].rows == (1,)
    assert notices(table, mid_schedule="keep")["runs without a loss"].rows == (0, 1)


def test_the_best_run_is_none_that_diverged():
    table = sweep()
    table["diverged"] = table["loss"] == table["loss"].min()
    runs = quiet(table)
    assert (runs.table["loss"] >= runs.table["ceiling"]).sum() == 1
    assert runs.table.loc[table["loss"].idxmin(), "loss"] > table["loss"].min()


def test_a_sweep_read_again_is_the_same():
    table = sweep()
    table.loc[5, "loss"] = 9.0
    runs = quiet(table)
    again = as_sweep(runs, ["learning_rate", "batch_size_tokens"])
    pd.testing.assert_frame_equal(again.table, runs.table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        read = as_sweep(read_runs(table), ["learning_rate", "batch_size_tokens"])
    pd.testing.assert_frame_equal(read.table, runs.table[read.table.columns], check_like=True)
    assert "swept runs" not in [one.name for one in read.notices]


def test_knobs_are_found_by_their_other_names_and_by_stated_ones():
    table = sweep().rename(columns={"learning_rate": "LR"})
    found = notices(table)["column names"]
    assert found.message == "learning_rate from the column 'LR' by its name"
    stated = quiet(table.rename(columns={"LR": "eta"}), columns={"learning_rate": "eta"})
    assert stated.table["learning_rate"].max() == RATES[-1]
    with pytest.raises(RunsError, match=r"no column 'learning_rate'.*--column learning_rate=YOURS"):
        quiet(table.rename(columns={"LR": "eta"}))


def test_the_named_batch_size_is_meant_where_there_are_two():
    table = sweep()
    table["batch_size"] = table["batch_size_tokens"] / 2048
    runs = quiet(table, ("learning_rate", "batch_size"))
    assert runs.table["batch_size"].max() == 512
    assert [one.name for one in runs.notices] == []


def test_rows_without_a_knob_are_left_out_and_named():
    table = sweep()
    table.loc[[7, 8], "learning_rate"] = np.nan
    assert notices(table)["knob not known"].rows == (7, 8)
    assert len(quiet(table)) == len(table) - 2


@pytest.mark.parametrize(
    ("change", "said", "mended"),
    [
        ({"learning_rate": 0.0}, "no positive number", {"where": "row not in [5]"}),
        ({"learning_rate": -0.001}, "no positive number", {"where": "row not in [5]"}),
        ({"loss": 0.0}, "must be positive", {"where": "row not in [5]"}),
        ({"learning_rate": 0.8}, "another unit", {"where": "learning_rate <= 0.5"}),
        ({"learning_rate": 0.8}, "--unit learning_rate=1", {"units": {"learning_rate": 1.0}}),
        ({"params": -1.0}, "params", {"where": "params > 0"}),
    ],
)
def test_values_that_no_knob_has_are_refused_with_a_remedy_that_works(change, said, mended):
    table = sweep()
    for name, value in change.items():
        table.loc[4, name] = value
    with pytest.raises(RunsError, match=said) as refused:
        quiet(table)
    assert "row 5" in str(refused.value)
    assert len(quiet(table, **mended)) >= len(table) - 1


@pytest.mark.parametrize("broken", [0.0, "oops"])
def test_the_remedy_for_a_broken_loss_keeps_runs_with_a_blank_one(broken):
    table = sweep().astype({"loss": object})
    table.loc[3, "loss"], table.loc[4, "loss"] = broken, np.nan
    with pytest.raises(RunsError, match=r"row 4: .*--where 'row not in \[4\]'"):
        quiet(table)
    kept = quiet(table, where="row not in [4]").table
    assert len(kept) == len(table) - 1
    assert kept.loc[4, "diverged"]


def test_rates_in_percent_are_refused_unless_their_unit_is_stated():
    table = sweep()
    table["learning_rate"] *= 1e4
    with pytest.raises(RunsError, match=r"every learning_rate is above 1.*--unit"):
        quiet(table)
    runs = quiet(table, units={"learning_rate": 1e-4})
    np.testing.assert_allclose(runs.table["learning_rate"].min(), 0.001)
    assert quiet(table, units={"learning_rate": 1.0}).table["learning_rate"].min() == 10.0


def test_text_in_a_knob_is_refused_by_its_row():
    table = sweep().astype({"learning_rate": object})
    table.loc[4, "learning_rate"] = "fast"
    with pytest.raises(RunsError, match=r"column 'learning_rate', row 5.*'fast'"):
        quiet(table)


def test_a_size_of_another_name_is_proposed():
    table = sweep().rename(columns={"params": "size"})
    with pytest.raises(
        RunsError, match=r"no params.*is it 'size'\? Then pass --column params=size"
    ):
        quiet(table)
    assert len(quiet(table, columns={"params": "size"}).table) == len(table)


def test_a_table_without_counts_names_the_columns_that_make_a_cell():
    table = sweep().drop(columns="tokens")
    with pytest.raises(RunsError, match=r"no tokens.*--cells width,depth"):
        quiet(table)
    runs = quiet(table.assign(width=[256, 512] * 45, depth=4), cells=("width", "depth"))
    assert runs.table["cell"].unique().tolist() == ["width 256, depth 4", "width 512, depth 4"]
    assert runs.table["size"].unique().tolist() == ["width 256", "width 512"]


def test_one_rate_a_cell_is_no_sweep():
    table = sweep(rates=(0.001,), batches=(2.0**18,))
    with pytest.raises(RunsError, match="every run has the same learning_rate"):
        quiet(table, ("learning_rate",))
    table["learning_rate"] *= np.arange(1, 7)
    with pytest.raises(RunsError, match="each cell has one learning_rate only"):
        quiet(table, ("learning_rate",))


def test_one_size_or_one_number_of_tokens_drops_the_trend():
    one = sweep(sizes=(1e8,), ratios=(20, 40, 60))
    assert "trend is dropped" in notices(one)["one size only"].message
    same = sweep(ratios=(20,))
    same["tokens"] = 2e9
    assert "move with tokens cannot" in str(notices(same)["one number of tokens only"])
    assert "collinear cells" in notices(sweep(ratios=(20,)))


def test_a_cell_of_one_crashed_run_says_nothing_of_how_settings_move():
    table = sweep(ratios=(20,))
    crashed = table.index[-1]
    early = table.assign(tokens=table["tokens"].where(table.index != crashed, 1e9))
    early.loc[crashed, "loss"] = 7.9
    assert "collinear cells" in notices(early)
    same = early.assign(tokens=early["tokens"].where(early.index == crashed, 4e9))
    assert "one number of tokens only" in notices(same)


def test_cells_of_which_every_run_diverged_are_left_out_and_named():
    table = sweep()
    first = table["params"].eq(1e8) & table["tokens"].eq(2e9)
    table.loc[first, "loss"] = np.nan
    found = notices(table)["all runs of a cell diverged"]
    assert found.message == "100M 2.00B: left out"
    assert quiet(table).table["cell"].nunique() == 5
    with pytest.raises(RunsError, match="every run of the sweep diverged"):
        quiet(table.assign(diverged=True))
    with pytest.raises(RunsError, match="every run of the sweep diverged"):
        quiet(table.assign(loss=np.nan))


@pytest.mark.parametrize(
    ("power", "end", "bound"), [(0.1, "smallest", "an upper"), (-0.1, "largest", "a lower")]
)
def test_the_best_at_the_edge_is_a_bound(power, end, bound):
    table = sweep()
    table["loss"] = table["loss"] * (table["learning_rate"] / 0.004) ** power
    found = notices(table)["best at the edge"]
    assert f"the {end} that was tried in every cell: {bound} bound, not an" in found.message
    inside = table.assign(loss=sweep()["loss"])
    assert "best at the edge" not in notices(inside)


def test_a_constant_knob_is_dropped_and_one_that_goes_with_the_cell_too():
    one = sweep(batches=(2.0**18,))
    assert "that axis is dropped" in notices(one)["constant knob"].message
    one["batch_size_tokens"] *= one["params"] / 1e8
    assert "that axis is dropped" in notices(one)["one value a cell"].message


def test_copies_count_once_and_seeds_stay():
    table = sweep()
    twice = pd.concat([table, table.iloc[[3]]], ignore_index=True)
    assert notices(twice)["duplicated runs"].rows == (90,)
    assert len(quiet(twice)) == 90
    twice.loc[90, "loss"] *= 1.001
    assert len(quiet(twice)) == 91
    assert "duplicated runs" not in notices(twice)


def test_seeds_that_diverged_are_no_copies():
    table = sweep()
    twice = pd.concat([table, table.iloc[[3]]], ignore_index=True)
    twice.loc[[3, 90], "loss"] = [8.0, 9.0]
    assert len(quiet(twice)) == 91


def test_kinds_that_differ_within_a_cell_are_named():
    table = pd.concat([sweep().assign(optimizer=o) for o in ("adamw", "muon")], ignore_index=True)
    table.loc[90:, "loss"] *= 0.99
    found = notices(table)["other settings differ"]
    assert "optimizer == 'adamw'" in found.advice
    assert "other settings differ" not in notices(table, where="optimizer == 'adamw'")


def test_a_published_grid_has_its_cells_and_its_rates_written_in_two_ways():
    runs = quiet(published("lr_batch_dense"))
    assert runs.table["cell"].nunique() == 17
    assert (runs.table["loss"] < runs.table["ceiling"]).sum() == 1475
    assert "1.07B 20.0B" in set(runs.table["cell"])
    rates = runs.table["learning_rate"]
    assert rates.nunique() == 26
    assert levels(rates).max() + 1 == 14
    assert list(runs.notices) == []


def test_a_published_sweep_that_half_diverged_is_read_by_width_and_depth():
    runs = quiet(published("lr_mup_gemstones_preflight"), ("lr",), cells=("width", "depth"))
    assert runs.table["cell"].nunique() == 4
    assert runs.table["raw_loss"].max() > 50
    assert runs.table["loss"].max() < 4


def test_a_published_sweep_of_three_rates_a_cell_says_which_ends_win():
    found = notices(published("misfitting"), ("learning_rate",))
    assert "3 of 81 cells have fewer than 3 values" in found["few values of a knob"].message
    assert "in 42 of 80 cells" in found["best at the edge"].message


def test_a_published_one_at_a_time_sweep_keeps_its_diverged_runs():
    named = {"learning_rate": "value", "params": "params_nonembedding"}
    where = "optimizer == 'adamw' and changed == 'learning_rate'"
    runs = quiet(
        published("optimizers_marin_sweeps"), ("learning_rate",), columns=named, where=where
    )
    assert runs.table["diverged"].sum() == 7
    assert (runs.table["loss"] == runs.table["ceiling"]).sum() == 7
    assert "537M" not in set(runs.table["size"])  # every run of its cells diverged


def said_of(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return {one.name: one for one in read_runs(table).notices}["swept runs"]


def test_a_table_read_as_any_other_says_that_it_is_a_sweep_and_where_to_take_it():
    table = sweep(rates=0.0005 * 4.0 ** np.arange(4))
    table["warmup"] = table["batch_size_tokens"] / 1000  # follows from the batch
    advice = said_of(
        table[["params", "tokens", "warmup", *table.columns[3:-1], "learning_rate"]].assign(
            loss=table["loss"]
        )
    ).advice
    knobs = "learning_rate,batch_size_tokens"
    assert f"bayescale tune FILE --knobs {knobs}" in advice
    assert f"--sweep {knobs}" in advice
    assert "--best-per params,tokens" in advice


def test_kinds_that_differ_are_no_knobs():
    kinds = pd.concat(
        [sweep().assign(recipe=r, loss=sweep()["loss"] * f) for r, f in (("a", 1.0), ("b", 1.05))],
        ignore_index=True,
    )
    own = kinds[kinds["learning_rate"].eq(0.004) & kinds["batch_size_tokens"].eq(2.0**19)]
    noisy = own.drop(columns=["learning_rate", "batch_size_tokens", "recipe"])
    assert said_of(noisy).advice == (
        "If hyper-parameters were swept, keep the best of each: --best-per params,tokens."
    )
