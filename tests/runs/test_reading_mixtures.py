"""Tables of mixtures: what is a sweep there, and what is not."""

import warnings

import pandas as pd
import pytest

from bayescale.errors import RunsError, RunsWarning
from bayescale.runs.mixtures import read_mixtures


def of_scales(rates=(1e-3,)):
    """Mixtures of two corpora at two sizes, named, with a loss on both corpora."""
    rows = []
    for share in (0.2, 0.5, 0.8):
        for params in (1e8, 1e9):
            for rate in rates:
                worse = 3 * (1e8 / params) ** 0.1 * (rate / 1e-3) ** 0.1
                row = {"run": f"run-{len(rows)}", "params": params, "tokens": 2e10}
                losses = {"loss_web": worse / (share + 1), "loss_code": worse / (2 - share)}
                rows.append({**row, "w_web": share, "w_code": 1 - share, "lr": rate, **losses})
    return pd.DataFrame(rows)


def notices(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return {one.name: one for one in read_mixtures(table).notices}


@pytest.mark.parametrize("lost", [[], ["loss_code"], ["run"]])
def test_mixtures_are_no_sweep(lost):
    assert "swept runs" not in notices(of_scales().drop(columns=lost))


@pytest.mark.parametrize("lost", [[], ["loss_code"], ["run"]])
def test_rates_swept_on_one_mixture_are_a_sweep(lost):
    table = of_scales(rates=(1e-3, 2e-3)).drop(columns=lost)
    found = notices(table)["swept runs"]
    assert "differ in lr" in found.message
    assert "tune" not in found.advice
    assert "swept runs" not in notices(table.query(found.advice.split("'")[1]))


def test_the_remedy_for_other_names_works():
    table = of_scales().drop(columns="run")
    table.columns = [c.replace("w_", "pct_").replace("loss_", "val_") for c in table]
    with pytest.raises(RunsError, match=r"pass --targets 'val_\*' \(in Python targets='val_\*'\)"):
        read_mixtures(table)
    with pytest.raises(RunsError, match=r"pass --weights 'pct_\*'"):
        read_mixtures(table, targets="val_*")
    assert read_mixtures(table, targets="val_*", weights="pct_*").table["target"].nunique() == 2


def test_what_names_have_in_common_may_be_their_ending():
    table = of_scales().rename(columns={"w_web": "web_frac", "w_code": "code_frac"})
    table = table.rename(columns={"loss_web": "eval/web_loss", "loss_code": "eval/code_loss"})
    table.loc[0, "web_frac"] = 7.0
    with pytest.raises(RunsError, match=r"pass --targets '\*_loss' \(in Python targets="):
        read_mixtures(table)
    with pytest.raises(RunsError, match=r"pass --weights '\*_frac'"):
        read_mixtures(table, targets="*_loss")
    runs = read_mixtures(table[1:], targets="*_loss", weights="*_frac")
    assert set(runs.table["target"]) == {"eval/web", "eval/code"}
    assert {"w_web", "w_code"} <= set(runs.table)


def test_columns_that_no_pattern_holds_are_to_be_named():
    table = of_scales().rename(columns={"loss_web": "web", "loss_code": "code"})
    with pytest.raises(RunsError, match="name them all, between commas: --targets ONE,ANOTHER"):
        read_mixtures(table)


def named_as_people_do():
    """Shares in percent, counts with units, and names that are none of ours."""
    table = of_scales().rename(columns={"params": "n_params", "loss_web": "val_web"})
    table = table.rename(columns={"loss_code": "val_code"}).astype(object)
    table["n_params"] = table["n_params"].map(lambda n: f"{n / 1e6:.0f}M")
    return table.assign(w_web=table["w_web"] * 100, w_code=table["w_code"] * 100)


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("w_web", 35.0, "row 2: the shares sum to 115, not to 100; correct them, or leave"),
        ("w_web", None, "column 'w_web', row 2: no number"),
        ("val_code", "n/a", "column 'val_code', row 2: 'n/a' is no positive number"),
        ("val_code", -1.0, "column 'val_code', row 2: '-1.0' is no positive number"),
        ("val_code", 900.0, "column 'val_code', row 2: 900 is far from the median loss"),
        ("n_params", "many", "column 'params', row 2: no positive number"),
    ],
)
def test_a_bad_row_is_named_as_in_the_file_and_its_remedy_works(column, cell, said):
    table = named_as_people_do()
    table.loc[1, column] = cell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        with pytest.raises(RunsError, match=said) as refused:
            read_mixtures(table, targets="val_*")
        remedy = str(refused.value).split("--where ")[1].strip("'.")
        assert remedy == "row not in [2]"
        runs = read_mixtures(table, targets="val_*", where=remedy)
    assert len(runs) == 10
    assert "run-1" not in set(runs.table["trained"])
    assert "1 left out by the filter 'row not in [2]'" in runs.ledger


def test_rows_that_break_several_rules_are_refused_at_once_with_one_remedy():
    table = pd.concat([named_as_people_do()] * 2, ignore_index=True)
    table["run"] = table.index
    table.loc[1, "w_web"], table.loc[3, "w_code"], table.loc[4, "val_web"] = None, 95.0, 0.0
    table.loc[6, "val_code"], table.loc[8, "tokens"], table.loc[9, "w_web"] = 900.0, None, -3.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        with pytest.raises(RunsError, match=r"'w_web', row 2: .*rows 4, 10: the shares") as refused:
            read_mixtures(table, targets="val_*")
        for said in ("'val_web', row 5: '0.0'", "'val_code', row 7: 900", "'tokens', row 9: no"):
            assert said in str(refused.value)
        assert str(refused.value).count("--where") == 1
        remedy = str(refused.value).split("--where ")[1].strip("'.")
        assert len(read_mixtures(table, targets="val_*", where=remedy)) == 2 * (
            len(table) - 6
        )  # of two targets


def test_a_count_that_compute_gives_may_be_blank():
    table = of_scales().assign(flops=lambda own: 6 * own["params"] * own["tokens"])
    table.loc[1, "tokens"] = None
    assert read_mixtures(table).table["tokens"].eq(2e10).all()


def test_a_filter_asks_by_our_names_and_by_the_table_s_own():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        for where in ("params > 5e8", "n_params == '1000M'", "val_code < 2 and params > 5e8"):
            runs = read_mixtures(named_as_people_do(), targets="val_*", where=where)
            assert set(runs.table["params"]) == {1e9}


def test_tokens_of_corpora_are_to_be_divided():
    table = of_scales().assign(w_web=3e9, w_code=2e9)
    with pytest.raises(RunsError, match="divide tokens of corpora by their sum"):
        read_mixtures(table)


@pytest.mark.parametrize("whole", [1, 100])
def test_a_corpus_that_is_left_out_is_to_be_added(whole):
    lacking = of_scales().assign(w_web=0.3 * whole, w_code=0.2 * whole)
    with pytest.raises(RunsError, match="add the column of a corpus that is left out") as refused:
        read_mixtures(lacking)
    assert "--where" not in str(refused.value)  # which would leave all rows out
    with pytest.raises(RunsError) as refused:
        read_mixtures(lacking.assign(w_web=3e9))
    assert "left out" not in str(refused.value)


def test_a_blank_loss_and_an_unfinished_run_are_no_bad_rows():
    table = of_scales().assign(state="finished")
    table.loc[1, ["loss_web", "loss_code", "state"]] = [900.0, 900.0, "crashed"]
    table.loc[2, "loss_web"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        assert len(read_mixtures(table)) == 9


def test_runs_on_mixtures_have_the_names_of_the_table():
    runs = read_mixtures(of_scales().rename(columns={"run": "name"}))
    assert set(runs.table["trained"]) == {f"run-{row}" for row in range(6)}
