"""Any file becomes a table, or one sentence says why not."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table
from hypothesis import given
from hypothesis import strategies as st

from bayescale.errors import RunsError
from bayescale.runs.delimited import read_delimited
from bayescale.runs.numbers import parse
from bayescale.runs.table import read_runs, read_table

TEXT = "params,tokens,loss\n1e8,2e9,3.55\n2e8,4e9,3.25\n4e8,8e9,2.95\n8e8,16e9,2.75\n"
ROWS = [[1e8, 2e9, 3.55], [2e8, 4e9, 3.25], [4e8, 8e9, 2.95], [8e8, 1.6e10, 2.75]]
NAMES = ["params", "tokens", "loss"]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
TABLE = pd.DataFrame(RECORDS)
AS_LINES = "\n".join(map(json.dumps, RECORDS))
GERMAN = "params;tokens;loss\n100.000.000;2B;3,55\n2e8;4B;3,25\n4e8;8B;2,95\n8e8;16B;2,75\n"

# Name of the file, what is in it, and what the ledger says beyond the number of rows.
READ = {
    "semicolons": ("a.csv", TEXT.replace(",", ";"), ["columns separated by semicolons"]),
    "semicolons in .tsv": ("a.tsv", TEXT.replace(",", ";"), ["columns separated by semicolons"]),
    "tabs": ("a.tsv", TEXT.replace(",", "\t"), ["columns separated by tabs"]),
    "tabs in .csv": ("a.csv", TEXT.replace(",", "\t"), ["columns separated by tabs"]),
    "bars": ("a.txt", TEXT.replace(",", "|"), ["columns separated by vertical bars"]),
    "blanks": ("a.txt", TEXT.replace(",", "   "), ["columns separated by blanks"]),
    "NumPy": ("a.txt", "# " + TEXT.replace(",", " "), ["columns separated by blanks"]),
    "German": (
        "a.csv",
        GERMAN,
        [
            "columns separated by semicolons",
            "decimals written with a comma",
            "params read as written: '100.000.000' is 100000000",
            "tokens read as written: '2B' is 2000000000",
        ],
    ),
    "German in wide columns": (
        "a.csv",
        GERMAN.replace(";", " ; ").replace("\n", " \n"),
        [
            "columns separated by semicolons",
            "decimals written with a comma",
            "params read as written: '100.000.000 ' is 100000000",
            "tokens read as written: '2B ' is 2000000000",
        ],
    ),
    "comments": (
        "a.csv",
        f"# May, by hand\n#\n{TEXT}",
        ["lines of comments at the top left out: 2"],
    ),
    "Excel": (
        "a.csv",
        "sep=;\n" + TEXT.replace(",", ";"),
        ["lines of comments at the top left out: 1", "columns separated by semicolons"],
    ),
    "empty lines": ("a.csv", f"\n{TEXT}\n  \n,,\n", ["rows of blanks left out: 1"]),
    "separators at the ends": ("a.csv", TEXT.replace("\n", ",\n"), []),
    "blanks after commas": ("a.csv", TEXT.replace(",", ", ").replace("2e9", '"2e9"'), []),
    "byte order mark": ("a.csv", f"\ufeff{TEXT}", []),
    "old line ends": ("a.csv", TEXT.replace("\n", "\r"), []),
    "UTF-16": ("a.csv", TEXT.encode("utf-16"), ["text read as UTF-16"]),
    "UTF-16 without a mark": ("a.csv", TEXT.encode("utf-16-le"), ["text read as UTF-16"]),
    "gzip": ("a.tsv.gz", gzip.compress(TEXT.encode()), []),
    "gzip by another name": ("a.csv", gzip.compress(TEXT.encode()), []),
    "JSON": ("a.json", json.dumps(RECORDS), []),
    "JSON of gzip": ("a.json.gz", gzip.compress(json.dumps(RECORDS).encode()), []),
    "JSON lines": ("a.jsonl", AS_LINES, []),
    "JSON lines named JSON": ("a.json", AS_LINES, []),
    "columns of lists": ("a.json", json.dumps(TABLE.to_dict("list")), []),
    "columns of pandas": ("a.json", TABLE.to_json(orient="columns"), []),
    "rows of pandas": ("a.json", TABLE.to_json(orient="index"), []),
    "split of pandas": (
        "a.json",
        TABLE.to_json(orient="split"),
        ["columns and rows taken from 'columns' and 'data'"],
    ),
    "records under a name": (
        "a.json",
        json.dumps({"study": "mine", "runs": RECORDS}),
        ["records taken from 'runs'"],
    ),
}


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("kind", READ)
def test_files_of_every_kind_give_the_same_runs(tmp_path, kind):
    name, content, ledger = READ[kind]
    runs = read_runs(written(tmp_path, name, content))
    np.testing.assert_array_equal(runs.table[NAMES], ROWS)
    assert runs.ledger == ("4 rows read", *ledger, "flops filled by C = 6ND")
    assert list(runs.table["run"]) == ["run-1", "run-2", "run-3", "run-4"]


def test_nested_records_are_flattened_with_dots(tmp_path):
    nested = [r | {"train": {"lr": 1e-3 * i, "adam": {"b": 0.9}}} for i, r in enumerate(RECORDS)]
    path = written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, nested)))
    runs = read_runs(path, where="`train.lr` > 0")
    assert runs.table["train.lr"].tolist() == [1e-3, 2e-3, 3e-3]
    assert (runs.table["train.adam.b"] == 0.9).all()
    assert "nested records flattened to train.lr, train.adam.b" in runs.ledger


def test_latin_1_is_read_and_said(tmp_path):
    text = "famille,params,tokens,loss\nété,1e8,2e9,3\n"
    runs = read_runs(written(tmp_path, "a.csv", text.encode("latin-1")))
    assert runs.table["famille"].tolist() == ["été"]
    assert "text read as Latin-1, for it is no UTF-8" in runs.ledger


def test_other_columns_have_decimal_commas_as_well(tmp_path):
    text = "lr;budget;loss\n0,0003;1.000;3,5\n0,001;2.000;3,4\n"
    table = read_table(written(tmp_path, "a.csv", text))
    assert table["lr"].tolist() == [0.0003, 0.001]
    assert table["budget"].tolist() == ["1.000", "2.000"]  # thousands or ones: not said


def test_commas_of_thousands_make_no_decimal_commas(tmp_path):
    text = "tags;params;tokens;loss\n1,2;100,000,000;2.5B;3.55\n1;950,000;2B;3.45\n"
    runs = read_runs(written(tmp_path, "a.csv", text))
    assert runs.table[NAMES].to_numpy().tolist() == [[1e8, 2.5e9, 3.55], [950e3, 2e9, 3.45]]


@given(
    st.lists(st.decimals(1, 9, places=4), min_size=3, max_size=6),
    st.integers(0, 4),
    st.sampled_from([*";\t|", ","]),
    st.sampled_from(",."),
)
def test_a_loss_is_read_as_it_was_written_or_refused(losses, digits, separator, decimal):
    written = [f"{loss:.{digits}f}".replace(".", decimal) for loss in losses]
    text = f"params{separator}loss\n" + "".join(f"1e8{separator}{cell}\n" for cell in written)
    try:
        table, _, mark = read_delimited(text)
        read = parse(table["loss"], decimal=mark)
    except RunsError:
        assert separator == decimal == ","
        return
    wanted = np.array([float(f"{loss:.{digits}f}") for loss in losses])
    if decimal == "," and digits == 3:  # which may be thousands
        assert read.isna().all()
    else:
        np.testing.assert_array_equal(read, wanted)


def test_rows_are_counted_past_rows_of_blanks(tmp_path):
    path = written(tmp_path, "a.csv", TEXT.replace("4e8,8e9,2.95", ",,\n4e8,8e9,?"))
    with pytest.raises(RunsError, match="row 4: '\\?'"):
        read_runs(path)


def test_a_cell_may_have_several_lines(tmp_path):
    text = 'run,params,tokens,loss\n"a\nb, c",1e8,2e9,3.5\nd,2e8,4e9,3.4\n'
    assert read_runs(written(tmp_path, "a.csv", text)).table["run"].tolist() == ["a\nb, c", "d"]


TWICE = AS_LINES.replace('"loss": 3.25', '"loss": 3.25, "loss": 2.2')
FIVE = "run,params,tokens,flops,loss\na,1e8,2e9,1.2e18,3.55\nb,2e8,4e9,4.8e18,3.45\n"
MANY = FIVE + "c,4e8,8e9,1.92e19,3.35\nd,8e8,16e9,7.68e19,3.25\n"

REFUSED_FILES = {
    "decimal commas between commas": (
        "a.csv",
        MANY.replace("3.", "3,"),
        r"a\.csv: line 2 has 6 fields, and the header names 5 columns separated by commas; .*point",
    ),
    "one field too many": ("a.csv", MANY.replace("3.35", "3,35"), "line 4 has 6 fields"),
    "one field too few": ("a.csv", MANY.replace("4e9,", ""), "line 3 has 4 fields.*blank where"),
    "comments are counted": ("a.csv", "# x\n# y\n" + MANY.replace("4e9,", ""), "line 5 has 4"),
    "two stray quotes": (
        "a.csv",
        MANY.replace("\nb", '\n"b').replace("\nd,", '\nd",'),
        "begins in line 3 holds whole rows; remove the stray quote",
    ),
    "two stray quotes of one line each": (
        "a.csv",
        MANY.replace("3.45", '"3.45').replace("3.25", '3.25"'),
        "begins in line 3 holds whole rows",
    ),
    "one stray quote": ("a.csv", MANY.replace("3.45", '"3.45'), "the quotes from line 3 on do not"),
    "comments alone": ("a.csv", "#\n\n\n", "it is empty"),
    "no header": ("a.csv", "\n\n", "not a readable .csv table .it is empty"),
    "one name twice": ("a.csv", "loss, loss\n3,3\n", "more than one column named loss in line 1"),
    "spreadsheet": ("a.csv", b"PK\x03\x04\x00\x00\x00\x00", "no text; save a spreadsheet as CSV"),
    "a zero among text": ("a.csv", MANY.replace("3.45", "3\x0045"), "line 3 holds a byte of zero"),
    "truncated": ("a.csv.gz", gzip.compress(MANY.encode())[:60], "not a readable .csv.gz table"),
    "corrupt": ("a.csv.gz", b"\x1f\x8b\x08" + bytes(40), "not a readable .csv.gz table"),
    "not packed": ("a.csv.gz", MANY.encode(), "Not a gzipped file"),
    "key twice": ("a.jsonl", TWICE, "'loss' more than once, with the values 3.25, 2.2; keep one"),
    "column twice": ("a.json", '{"columns":["loss","loss"],"data":[[3,4]]}', "more than once"),
    "flattened name twice": ("a.json", '[{"a": {"b": 1}, "a.b": 2}]', "record 1 has 'a.b' twice"),
    "broken line": ("a.jsonl", AS_LINES + "\n{", "not a readable .jsonl table .line 5: "),
    "lists of values": ("a.json", "[[1, 2]]", r"record 1 is \[1, 2\], not an object"),
    "a number": ("a.json", "3", "it holds 3, no records"),
    "rows or columns": (
        "a.json",
        '{"loss": {"a": 3}, "params": {"a": 1e8}}',
        r"objects \(loss, params, ...\), which may be rows or columns; write a list of records",
    ),
    "columns of other lengths": ("a.json", '{"a": [1, 2], "b": [1]}', "'b' has 1 values, and 'a'"),
    "too deep": ("a.json", "[" * 100_000, "not a readable .json table"),
}


@pytest.mark.parametrize("kind", REFUSED_FILES)
def test_files_that_would_lose_something_are_refused(tmp_path, kind):
    name, content, message = REFUSED_FILES[kind]
    with pytest.raises(RunsError, match=message) as refusal:
        read_runs(written(tmp_path, name, content))
    assert "\n" not in str(refusal.value)


def test_the_tables_of_these_refusals_are_read_without_their_faults(tmp_path):
    assert len(read_runs(written(tmp_path, "a.csv", MANY))) == 4
    assert len(read_runs(written(tmp_path, "a.jsonl", AS_LINES))) == 4


def test_an_index_with_a_name_is_a_column():
    table = simulated_table()
    named = table.set_index(pd.Index([f"big-{i}" for i in range(30)], name="run"))
    assert read_runs(named).table["run"].iloc[-1] == "big-29"
    keyed = table.set_index(["params", "tokens"])
    np.testing.assert_array_equal(read_runs(keyed).table[table.columns], table)
    again = table.rename_axis("loss")
    np.testing.assert_array_equal(read_runs(again).table[table.columns], table)


def test_an_index_of_parquet_is_a_column(tmp_path):
    simulated_table().set_index("params").to_parquet(tmp_path / "a.parquet")
    assert read_runs(tmp_path / "a.parquet").table["params"].tolist() == list(
        simulated_table()["params"]
    )


def test_names_of_two_levels_are_refused_with_a_remedy_that_works():
    table = simulated_table()
    table.columns = pd.MultiIndex.from_product([["a"], table.columns])
    with pytest.raises(RunsError, match=r"names of 2 levels; .*'_'.join"):
        read_runs(table)
    table.columns = ["_".join(map(str, c)) for c in table.columns]
    assert len(read_runs(table, {name: f"a_{name}" for name in NAMES})) == 30
