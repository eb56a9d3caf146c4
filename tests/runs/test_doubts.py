"""Rows and columns that look wrong are named, and only they."""

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.errors import RunsWarning
from bayescale.runs.table import read_runs
from bayescale.runs.tasks import as_runs


def doubts(table, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return {notice.name: notice for notice in read_runs(table, **options).notices}


def test_losses_of_thousandths_are_doubted_unless_their_unit_is_stated():
    table = simulated_table().assign(loss=lambda t: t.loss / 1000)
    found = doubts(table)["thousandths?"]
    assert "--unit loss=1000" in found.advice
    assert "thousandths?" not in doubts(table, units={"loss": 1000})
    assert "thousandths?" not in doubts(table, units={"loss": 1})
    assert "thousandths?" not in doubts(simulated_table())


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@pytest.mark.parametrize("name", ["params", "tokens"])
def test_the_one_count_far_from_the_others_is_named(name, factor):
    table = simulated_table()
    table = table.assign(**{name: table[name].where(table.index != 7, 1e10 * factor**0.8)})
    assert doubts(table)["other units?"].rows == (7,)


def test_rows_of_exchanged_counts_are_named():
    sizes, data = 1e8 * 2.0 ** np.arange(8), 2e9 * 1.7 ** np.arange(8)
    table = pd.DataFrame({"params": sizes, "tokens": data, "loss": 3.5 - 0.1 * np.arange(8)})
    assert "exchanged counts?" not in doubts(table)
    wrong = [2, 5]
    table.loc[wrong, ["params", "tokens"]] = table.loc[wrong, ["tokens", "params"]].to_numpy()
    found = doubts(table)["exchanged counts?"]
    assert found.rows == (2, 5)
    assert found.advice.endswith("--where 'row not in [3, 6]'.")  # as the message counts them
    assert "exchanged counts?" not in doubts(table, where="row not in [3, 6]")
    table["row"] = list("abcdefgh")  # which is no number of rows
    found = doubts(table)["exchanged counts?"]
    assert found.advice.endswith("--where 'index not in [2, 5]' (index counts from 0).")
    assert "exchanged counts?" not in doubts(table, where="index not in [2, 5]")


def test_overtrained_runs_are_not_exchanged_ones():
    table = simulated_table()
    over = table.assign(tokens=np.where(table.index > 25, 2000.0, 20.0) * table.params)
    assert "exchanged counts?" not in doubts(over)
    wide = table.assign(tokens=table.params * np.geomspace(1.4, 3e4, 30))
    wide.loc[0, "tokens"] = 0.05 * wide.loc[0, "params"]
    assert "exchanged counts?" not in doubts(wide)
    assert "exchanged counts?" not in doubts(table)


def of_few_bits(rates=(1e-3,)):
    """Models trained with weights of few bits, which alone tell losses of one size apart."""
    grid = pd.MultiIndex.from_product([[1e8, 1e9], [20, 60], [2, 4, 8], rates])
    params, ratio, bits, rate = grid.to_frame().to_numpy(dtype=float).T
    loss = 2 + 40 / (params * (1 - np.exp(-bits / 2.7))) ** 0.15 + 0.1 * np.log(rate / 1e-3)
    counts = {"params": params, "tokens": ratio * params, "weight_bits": bits}
    return pd.DataFrame({**counts, "learning_rate": rate, "loss": loss})


def test_columns_that_the_law_reads_were_not_swept():
    table = of_few_bits()
    assert "differ in weight_bits" in doubts(table)["swept runs"].message
    assert "swept runs" not in doubts(table, inputs=["weight_bits"])
    assert "swept runs" in doubts(table, inputs=["weight", "learning_rate"])


def test_knobs_beside_what_the_law_reads_were_swept_and_the_advice_works():
    table = of_few_bits(rates=(1e-3, 4e-3))
    found = doubts(table, inputs=["weight_bits"])["swept runs"]
    assert "differ in learning_rate" in found.message
    assert "tune" not in found.advice  # whose cells would hold runs of several bits
    where = found.advice.split("'")[1]
    assert "swept runs" not in doubts(table, inputs=["weight_bits"], where=where)


def test_advice_on_a_sweep_is_quoted_for_a_shell():
    table = of_few_bits(rates=(1e-3, 4e-3)).rename(columns={"learning_rate": "lr (peak)"})
    assert "--knobs 'lr (peak)'" in doubts(table, where="weight_bits == 2")["swept runs"].advice


def test_compute_that_a_law_reads_is_no_further_cell():
    table = simulated_table()
    table = pd.concat([table.assign(lr=r, loss=f * table.loss) for r, f in ((1e-4, 1), (1e-3, 2))])
    table = table.assign(flops=6 * table.params * table.tokens * (1 + 1e-3 * np.arange(len(table))))
    found = doubts(table, inputs=["flops"])["swept runs"]
    assert "--knobs lr" in found.advice


def test_runs_read_without_a_law_are_doubted_anew_with_one():
    for rates, swept in (((1e-3,), False), ((1e-3, 4e-3), True)):
        with pytest.warns(RunsWarning, match="swept runs"):
            runs = read_runs(of_few_bits(rates))
        own = as_runs(runs, "loss", {}, ["weight_bits"])
        assert ("swept runs" in [one.name for one in own.notices]) is swept
        assert len(own.notices) == len(runs.notices) - (not swept)


@pytest.mark.parametrize(("scatter", "doubted"), [(0.004, False), (0.01, True)])
def test_a_thousand_seeds_of_a_cell_are_doubted_for_their_scatter_and_not_their_extremes(
    scatter, doubted
):
    table, rng = simulated_table().iloc[:4], np.random.default_rng(0)
    table = pd.concat([table.assign(seed=seed) for seed in range(1000)], ignore_index=True)
    table["loss"] *= np.exp(scatter * rng.standard_normal(len(table)))
    assert np.ptp(np.log(table["loss"][table.params == table.params.iloc[0]])) > 0.02
    assert ("swept runs" in doubts(table)) is doubted
