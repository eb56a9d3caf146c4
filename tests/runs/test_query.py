"""Filters choose rows, and nothing else."""

import pandas as pd
import pytest

from bayescale.errors import RunsError
from bayescale.runs.query import select

TABLE = pd.DataFrame({"loss": [1.0, 2.0], "run": ["a@b", "c"], "train.lr": [1, 2], "a b": [1, 2]})

CHOSEN = {
    "run == 'a@b'": [0],
    "`train.lr` > 1 and loss == 2": [1],
    "loss > 1 & `a b` == 2": [1],
    "loss.notna() and not run == 'c'": [0],
    "run.str.contains('a')": [0],
    "run in ['c'] or loss < 0": [1],
    "index not in [0]": [1],
    "row not in [1]": [1],
    "row == 1 or `a b` == 9": [0],
    "loss < inf": [0, 1],
    "loss * 10**9 > 1.5e9": [1],
    "loss ** 2 > 2": [1],
    "run != '`' and `a b` == 2 and run != '`'": [1],
}
REFUSED = {
    "@pd.io.common.os.system('echo ran > {file}') == 0": "names from outside of the table",
    "loss > @x": "names from outside of the table",
    "loss.to_csv('{file}')": "asks for .to_csv, which filters may not",
    "loss.values.tofile('{file}')": "asks for .",
    "run != '`' and loss.to_csv('{file}') == 1 or run != '`'": "asks for .to_csv",
    "run != '\\'`' and loss.to_csv('{file}') == 1 or run != '`'": "asks for .to_csv",
    "`no such` > 1": "cannot be applied .*columns are loss",
    "loss.__class__ == 1": "asks for .__class__",
    "train.lr > 1": "asks for .lr, .* in backticks, as `train.lr`",
    "lambda: 1": "cannot be applied",
    "(" * 500 + "loss" + ")" * 500: "cannot be applied .too many nested parentheses",
    "loss / 0 // 0 ** loss": "no condition on rows|cannot be applied",
    "": "cannot be applied",
    "9**9**9**9 > loss": "powers of powers",
    "loss > 10**99999999": "powers of powers",
    "run == 'a' * 10000000000": "multiplies texts",
    "run == '%1000000000d' % 1": "multiplies texts",
}


@pytest.mark.parametrize("where", CHOSEN)
def test_queries_choose_rows(where):
    assert list(select(TABLE, where).index) == CHOSEN[where]


def test_rows_keep_their_numbers_in_what_is_left_and_a_column_of_that_name_its_meaning():
    assert list(select(TABLE[1:], "row == 2").index) == [1]
    own = TABLE.assign(row=["b", "a"])
    assert list(select(own, "row == 'a'").index) == [1]
    assert "row" not in select(TABLE, "row == 2")


@pytest.mark.parametrize("where", REFUSED, ids=lambda where: where[:30])
def test_what_is_no_condition_is_refused_in_one_sentence(tmp_path, where):
    file = tmp_path / "written"
    with pytest.raises(RunsError, match=REFUSED[where]) as refusal:
        select(TABLE, where.replace("{file}", str(file)))
    assert not file.exists()
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)
