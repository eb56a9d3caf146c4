"""A small version of benchmarks/mutated_tables.py: is a broken table ever read without a word?"""

import pandas as pd
import pytest

from bayescale import Runs
from bayescale.errors import RunsError

mutated = pytest.importorskip("mutated_tables")


def credulous(path):
    """Read what looks like a number, and say nothing of the rest."""
    columns = ["params", "tokens", "unique_tokens", "flops", "loss"]
    table = pd.read_csv(path).reindex(columns=columns)
    table = table.apply(pd.to_numeric, errors="coerce").astype(float)
    return Runs(table.fillna({"flops": 6 * table["params"] * table["tokens"]}), path.name)


def unhelpful(path):
    raise RunsError("something is wrong with the table")


def outcome(kind, read, folder, seed=1):
    return mutated.judged(seed, (kind,), folder, read).outcome


def test_no_mutated_table_is_read_without_a_word():
    verdicts = mutated.run(2 * len(mutated.KINDS), seed=1)
    bad = [v for v in verdicts if v.outcome in mutated.FAILURES]
    assert not [f"{v.outcome} {' + '.join(v.kinds)}: {v.text}" for v in bad]


@pytest.mark.parametrize(
    "kind", ["loss_thousands_off", "count_far_off", "rows_exchanged", "totals_row"]
)
def test_a_reader_that_says_nothing_is_silent(kind, tmp_path):
    assert outcome(kind, credulous, tmp_path) == "SILENT"


def test_a_reader_that_reads_well_is_right(tmp_path):
    assert outcome("shuffled_columns", credulous, tmp_path) == "right"


def test_a_reader_that_breaks_is_caught(tmp_path):
    assert outcome("truncated_gzip", credulous, tmp_path) == "TRACEBACK"


def test_a_refusal_that_names_nothing_is_vague(tmp_path):
    assert outcome("text_in_loss", unhelpful, tmp_path) == "vague"


def test_a_refusal_of_what_is_harmless_is_picky(tmp_path):
    assert outcome("blank_lines", unhelpful, tmp_path) == "picky"


def test_an_option_that_makes_it_worse_misleads(tmp_path):
    def misleading(path, where=None):
        if where is None:
            raise RunsError("row 1 is odd", "Pass --where 'loss > 0'.")
        return credulous(path)

    assert outcome("loss_thousands_off", misleading, tmp_path) == "MISLED"
