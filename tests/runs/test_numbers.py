"""Cells to numbers: read as people write them, refused where they can be read in two ways."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table

from bayescale.errors import RunsError
from bayescale.runs.numbers import parse
from bayescale.runs.table import read_runs

COUNTED = {
    "35M": 35e6,
    "14.3B": 14.3e9,
    "1.5T": 1.5e12,
    "300K": 300e3,
    "7 b": 7e9,
    "1.65e+03M": 1.65e9,
    "35,000,000": 35e6,
    "1,234.5": 1234.5,
    "950,000": 950e3,
    "35 000 000": 35e6,
    "35\u202f000\u202f000": 35e6,
    "35_000_000": 35e6,
    "35'000'000": 35e6,
    "1.234.567": 1234567.0,
    "1.234.567,5": 1234567.5,
    "14.285,5": 14285.5,
    "1.2e9": 1.2e9,
    " 5 ": 5.0,
}
NONE = [
    "~35M",
    "35,000M",
    "1,5E+09",
    "3,55",
    "1,2345",
    "1.234,567.8",
    "12%",
    "#N/A",
    "1e5M",
    "0x10",
    "1_0",
    "M",
    "nan",
    True,
    np.True_,
    pd.Timestamp("2026-01-01"),
    pd.Timedelta(1),
    1j,
    [1],
]


def one(cell, **options):
    return parse(pd.Series([cell], dtype=object), **options).item()


@pytest.mark.parametrize("cell", COUNTED)
def test_counts_are_read_as_people_write_them(cell):
    assert one(cell, counts=True) == COUNTED[cell]


@pytest.mark.parametrize("cell", NONE, ids=str)
def test_other_cells_are_no_numbers(cell):
    assert np.isnan(one(cell, counts=True))
    assert np.isnan(one(cell))


@pytest.mark.parametrize("cell", ["35M", "1,234", "1,234,567", "35 000", "1.234.567"])
def test_only_counts_have_suffixes_and_thousands(cell):
    assert np.isnan(one(cell))


def test_numbers_in_memory_are_taken_as_they_are():
    cells = pd.Series([Decimal("1.5"), np.float32(2), 3, None, pd.NA], dtype=object)
    np.testing.assert_array_equal(parse(cells), [1.5, 2, 3, np.nan, np.nan])
    np.testing.assert_array_equal(parse(pd.Series([1, None], dtype="Int64")), [1, np.nan])
    for kind in ("bool", "complex", "datetime64[ns]", "timedelta64[ns]", "boolean"):
        assert parse(pd.Series([1]).astype(kind)).isna().all()


def test_points_between_thousands_are_those_of_the_column():
    assert parse(pd.Series(["1.234.567", "950.000"]), counts=True).tolist() == [1234567, 950000]
    assert parse(pd.Series(["1.5e9", "950.000"]), counts=True).tolist() == [1.5e9, 950]


def test_decimal_commas():
    assert one("3,55", decimal=",") == 3.55
    assert one("14,3B", decimal=",", counts=True) == 14.3e9
    assert one("1,5E+09", decimal=",") == 1.5e9
    assert np.isnan(one("950.000", decimal=",", counts=True))
    assert np.isnan(one("3.55", decimal=","))


def with_cell(column, row, value):
    table = simulated_table().assign(flops=lambda t: 6 * t.params * t.tokens, unique_tokens=1e9)
    table = table.astype({column: object})
    table.loc[row, column] = value
    return table


SAID = {
    "a count that C = 6ND would replace": ("params", "~500M", "'~500M' is not a number; .* 35M"),
    "a truth value in compute": ("flops", True, "'True' is not a number but a truth value"),
    "a truth value among losses": ("loss", True, "'True' is not a number but a truth value"),
    "text of a truth value": ("flops", "True", "'True' is not a number"),
    "a duration": ("tokens", pd.Timedelta(1, "s"), "but a Timedelta"),
    "a complex number": ("loss", 3 + 1j, "but a complex"),
    "an error of Excel": ("flops", "#N/A", "but an error of a spreadsheet"),
    "an exponent with a comma": ("flops", "1,5E+09", "can be read in one way; .*point"),
    "thousands or decimals of a loss": ("loss", "1,234", "can be read in one way; .*point"),
    "a percentage": ("loss", "12%", "percentage; divide it by 100"),
    "a suffix of a loss": ("loss", "3K", "not a number in plain digits; write it as 1.5e9"),
    "text in unique tokens": ("unique_tokens", "all", "'all' is not a number"),
    "no unique tokens": ("unique_tokens", 0, "the value 0 must be positive.*unique_tokens > 0"),
    "negative unique tokens": ("unique_tokens", "-5", "the value -5 must be positive"),
    "infinite unique tokens": ("unique_tokens", "inf", "is infinite.*unique_tokens < inf"),
    "a loss nearer to 0 than numbers are": ("loss", 1e-320, "too small.*loss > 1e-300"),
    "a loss a thousand times too large": ("loss", 3250, "3250 is far from the median loss 2"),
    "a loss a thousand times too small": ("loss", 0.00325, "0.00325 is far from the median"),
}


@pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning")
@pytest.mark.parametrize("kind", SAID)
def test_no_cell_becomes_another_number_in_silence(kind):
    """The row is named, and the remedy works where it is a filter."""
    column, value, message = SAID[kind]
    table = with_cell(column, 3, value)
    with pytest.raises(RunsError, match=f"column '{column}', row 4: .*{message}") as refusal:
        read_runs(table)
    where = str(refusal.value).partition("--where '")[2].removesuffix("'")
    assert list(read_runs(table, where=where).table.index) == [i for i in range(30) if i != 3]


def test_no_filter_is_advised_that_leaves_no_run():
    with pytest.raises(RunsError, match=r"complex128; write the number$"):
        read_runs(simulated_table().assign(loss=1j))


def test_counts_as_people_write_them_are_said_in_the_ledger():
    table = simulated_table().astype({"params": object, "tokens": object})
    table.loc[2, "params"], table.loc[5, "tokens"] = "100M", "20,000,000,000"
    runs = read_runs(table, where="index in [2, 5]")
    assert "params read as written: '100M' is 100000000" in runs.ledger
    assert "tokens read as written: '20,000,000,000' is 20000000000" in runs.ledger
    assert runs.table.loc[2, "params"] == 1e8
    assert runs.table.loc[5, "tokens"] == 2e10
    plain = read_runs(simulated_table().astype(str))  # the control
    assert not any("read as written" in said for said in plain.ledger)


@pytest.mark.parametrize("cell", ["4.0B", "14,285"])
def test_a_suffix_beside_a_unit_is_refused(cell):
    table = simulated_table().assign(tokens=lambda t: t.tokens / 1e9).astype({"tokens": object})
    table.loc[1, "tokens"] = cell
    with pytest.raises(RunsError, match=rf"row 2: '{cell}' has a unit or thousands of its own"):
        read_runs(table, units={"tokens": 1e9})
    assert len(read_runs(table, units={"tokens": 1e9}, where="tokens.notna()")) == 29


def test_unknown_unique_tokens_are_said():
    table = simulated_table().assign(unique_tokens=1e9)
    table.loc[[1, 4], "unique_tokens"] = np.nan
    assert "unique_tokens is not known of rows 2, 5" in read_runs(table).ledger


def test_a_row_of_units_is_named_and_can_be_left_out():
    table = simulated_table()
    table = table.assign(params=table.params / 1e6, tokens=table.tokens / 1e9)
    units = pd.DataFrame([{"params": "millions", "tokens": "billions", "loss": "nats"}])
    both = pd.concat([units, table], ignore_index=True)
    message = (
        "row 1 is no run: it has 'nats', 'millions', 'billions' in loss, params, tokens.*not in .1."
    )
    with pytest.raises(RunsError, match=message):
        read_runs(both)
    runs = read_runs(both, where="row > 1", units={"params": 1e6, "tokens": 1e9})
    np.testing.assert_allclose(runs.table["params"], simulated_table()["params"])


@pytest.mark.parametrize("label", ["Total", "mean", "SUM:"])
def test_a_row_that_sums_up_others_is_named(label):
    table = simulated_table()
    table.insert(0, "name", [f"r{i}" for i in range(29)] + [label])
    with pytest.raises(RunsError, match=f"row 30: '{label}' sums up .*row not in .30."):
        read_runs(table)
    assert len(read_runs(table, where="row not in [30]")) == 29
    pooled = table.assign(name=["mean", "max"] * 15)  # a label of many runs is none of a total
    assert len(read_runs(pooled)) == 30


def test_small_errors_that_spread_are_no_slips():
    table = simulated_table()
    spread = table.assign(loss=np.geomspace(5.0, 0.003, 30))
    assert len(read_runs(spread.assign(flops=6 * table.params * table.tokens))) == 30
