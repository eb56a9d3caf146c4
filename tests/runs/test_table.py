import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import simulated_table
from hypothesis import given
from hypothesis import strategies as st

from bayescale import Status, fit
from bayescale.errors import BayescaleError, RunsError, RunsWarning
from bayescale.report.record import default_budgets
from bayescale.runs.doubts import FLOPS_PER_PARAM_TOKEN
from bayescale.runs.range import decades_beyond
from bayescale.runs.table import Runs, read_runs
from bayescale.runs.tasks import as_runs


def set_cell(column, row, value):
    def change(table):
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table

    return change


def set_cell_of(column, row, value):
    """A column of ones, but for one value."""
    return lambda table: set_cell(column, row, value)(table.assign(**{column: 1.0}))


# What is wrong, how the table gets it, what read_runs is told, and what the message must say.
REFUSED = {
    "missing loss": (lambda t: t.drop(columns="loss"), {}, "no column 'loss'.*--column loss=YOURS"),
    "accuracies": (
        lambda t: t.drop(columns="loss").assign(accuracy=0.5),
        {},
        "no column 'loss'.*--model task-accuracy-hierarchical",
    ),
    "loss under another name": (
        lambda t: t.rename(columns={"loss": "val_loss"}).assign(test_loss=3.0),
        {},
        "is it 'val_loss', or 'test_loss'.*--column loss=val_loss",
    ),
    "NaN loss": (set_cell("loss", 4, np.nan), {}, "'loss', row 5: .*missing.*loss.notna"),
    "zero loss": (set_cell("loss", 2, 0.0), {}, "'loss', row 3: the value 0 must be positive"),
    "negative loss": (set_cell("loss", 2, -1.5), {}, "'loss', row 3: the value -1.5 must be"),
    "infinite loss": (
        set_cell("loss", 0, np.inf),
        {},
        "'loss', row 1: .*infinite.*--where 'loss <",
    ),
    "text in params": (
        set_cell("params", 6, "~70M"),
        {},
        "'params', row 7: '~70M' is not a number.*params.notna",
    ),
    "NaN tokens": (set_cell("tokens", 1, np.nan), {}, "'tokens', row 2: .*missing"),
    "negative params": (set_cell("params", 1, -3e8), {}, "'params', row 2: .*must be positive"),
    "params in millions": (
        lambda t: t.assign(params=t.params / 1e6),
        {},
        r'billions\? Pass --unit params=1e6 \(in Python units={"params": 1e6}\), or 1e9 if',
    ),
    "params in billions": (lambda t: t.assign(params=t.params / 1e9), {}, "--unit params=1e9 "),
    "tokens in billions": (
        lambda t: t.assign(tokens=t.tokens / 1e9),
        {},
        "'tokens'.*--unit tokens=1e9 .*, or 1e6 if they are millions",
    ),
    "tokens in millions": (
        lambda t: t.assign(tokens=t.tokens / 1e6),
        {},
        "number of tokens|tokens per",
    ),
    "one row in millions": (
        lambda t: t.assign(params=t.params.where(t.index != 3, 400.0)),
        {},
        "'params', row 4: 400",
    ),
    "compute in PF-days": (
        lambda t: t.assign(flops=6 * t.params * t.tokens / 8.64e19),
        {},
        "PF-days.*--unit flops=8.64e19",
    ),
    "one row of compute off by 1e6": (
        lambda t: t.assign(flops=(6 * t.params * t.tokens).where(t.index != 9, 1e12)),
        {},
        "row 10: .*other units than the rest",
    ),
    "two columns of one name": (
        lambda t: pd.concat([t, t[["loss"]]], axis=1),
        {},
        "more than one column named loss",
    ),
    "no rows": (lambda t: t.iloc[:0], {}, "a header and no rows"),
    "mapping to a column that is not there": (
        lambda t: t.rename(columns={"params": "N"}),
        {"columns": {"params": "M"}},
        "no column 'M'; .*Valid: N, tokens, loss",
    ),
    "mapping reversed": (
        lambda t: t.rename(columns={"params": "N"}),
        {"columns": {"N": "params"}},
        "looks reversed.*params=N",
    ),
    "filter with a wrong column": (
        lambda t: t,
        {"where": "familly == 'a'"},
        "filter .*familly.*columns",
    ),
    "filter with wrong syntax": (lambda t: t, {"where": "loss <<"}, "filter 'loss <<' cannot"),
    "filter with one sign of equality": (
        lambda t: t.assign(family="a"),
        {"where": "family = 'a'"},
        r"cannot be applied \(invalid syntax; conditions are written as .family == 'llama'",
    ),
    "filter that keeps nothing": (lambda t: t, {"where": "loss > 99"}, "keeps none of the 30 rows"),
    "filter that is no condition": (lambda t: t, {"where": "loss"}, "no condition on rows"),
    "two mappings to one column": (
        lambda t: t.rename(columns={"params": "N"}),
        {"columns": {"params": "N", "tokens": "N"}},
        "two column mappings",
    ),
    "separated by semicolons": (
        lambda t: pd.DataFrame({"params;tokens;loss": ["1;2;3"]}),
        {},
        "its separator is no comma",
    ),
    "unit of a misspelt column": (
        lambda t: t,
        {"units": {"param": 1e6}},
        "for param, which the table lacks; did you mean 'params'",
    ),
    "unit that is no number": (lambda t: t, {"units": {"params": 0.0}}, "unit of params must be"),
    "losses that are truth values": (lambda t: t.assign(loss=True), {}, "'True' is not a number"),
    "best per an unknown column": (
        lambda t: t,
        {"best_per": ["parms"]},
        "parms is no column of",
    ),
    "every run unfinished": (
        lambda t: t.assign(finished=False),
        {},
        "'finished' marks all 30 rows as unfinished: .* --mid-schedule keep",
    ),
    "every run that the filter keeps unfinished": (
        lambda t: t.assign(finished=t.index > 3),
        {"where": "index <= 3"},
        "marks all 4 rows",
    ),
    "unknown choice for unfinished runs": (
        lambda t: t,
        {"mid_schedule": "drop"},
        "must be 'exclude', 'keep' or a weight between 0 and 1, got 'drop'",
    ),
    "weight of unfinished runs above 1": (lambda t: t, {"mid_schedule": 2.0}, "0 and 1, got 2.0"),
    "truth value for unfinished runs": (lambda t: t, {"mid_schedule": True}, "0 and 1, got True"),
    "negative weight": (
        lambda t: t.assign(weight=np.where(t.index == 7, -0.5, 1.0)),
        {},
        "'weight', row 8: '-0.5' cannot be the exponent",
    ),
    "infinite weight": (
        lambda t: t.assign(weight=np.where(t.index == 7, np.inf, 1.0)),
        {},
        "'weight', row 8: 'inf'",
    ),
    "missing weight": (set_cell_of("weight", 7, None), {}, "'weight', row 8: .*at least 0"),
    "weight that is text": (set_cell_of("weight", 7, "high"), {}, "'weight', row 8: 'high'"),
    "no weight at all": (lambda t: t.assign(weight=0.0), {}, "every run has the weight 0"),
    "unit for a missing column": (
        lambda t: t,
        {"units": {"flops": 1e9}},
        "unit is given for flops",
    ),
}

DOUBTED = {
    "swapped columns": (
        lambda t: t.rename(columns={"params": "tokens", "tokens": "params"}),
        r"swapped columns or units\?: .*--column params=tokens --column tokens=params",
    ),
    "duplicated runs": (
        lambda t: pd.concat([t, t.iloc[[4]]]),
        "duplicated runs: rows 5, 31 .*row not in .31.",
    ),
    "rising loss": (lambda t: t.assign(loss=6 - t.loss), "rising loss: .*accuracy"),
    "perplexity": (
        lambda t: t.assign(loss=3 * t.loss),
        r"perplexity\?: the median loss is .*--loss-unit ppl",
    ),
    "checkpoints": (lambda t: t.assign(run=["a", "b", "c"] * 10), "repeated run names: .*finished"),
    "one row of params in millions": (
        lambda t: t.assign(params=t.params.where(t.index != 29, t.params / 1e6)),
        r"other units\?: row 30: params is",
    ),
    "everything in millions": (
        lambda t: t.assign(params=t.params / 5e4, tokens=t.tokens / 5e4),
        r"millions\?: the largest model has",
    ),
    "swept hyper-parameters": (
        lambda t: pd.concat([t, t.assign(loss=1.05 * t.loss)]),
        "swept runs: 60 of 60 runs.*--best-per params,tokens",
    ),
    "swept within a group": (
        lambda t: pd.concat([t.assign(family="moe", loss=f * t.loss) for f in (1.0, 1.05)]),
        "swept runs: 60 of 60 runs.*--best-per params,tokens,family",
    ),
    "marked as outlier": (
        lambda t: t.assign(outlier=t.index == 3),
        "flagged runs: .*'outlier' marks row 4; .*--where 'not outlier'",
    ),
    "unfinished": (
        lambda t: t.assign(finished=t.index != 3),
        "unfinished runs: the column 'finished' marks row 4 .*--mid-schedule keep .in Python",
    ),
    "a loss far above the others": (
        lambda t: t.assign(loss=t.loss.where(t.index != 7, 1.4 * t.loss)),
        r"losses far off: row 8: the loss is [\d.]+, .*--where 'row not in \[8\]'",
    ),
    "a loss far below the others": (
        lambda t: t.assign(loss=t.loss.where(t.index != 7, t.loss / 10)),
        "losses far off: row 8: ",
    ),
    "a loss above that of a guess": (
        lambda t: t[["tokens", "loss"]].assign(loss=t.loss.where(t.index != 7, 13.0)),
        "losses far off: row 8: the loss is 13, ",
    ),
    "a loss above the log of the vocabulary": (
        lambda t: t[["tokens", "loss"]].assign(
            loss=t.loss.where(t.index != 7, 6.0), vocab_size=256
        ),
        "losses far off: row 8: the loss is 6, ",
    ),
    "constant loss": (lambda t: t.assign(loss=3.0), "constant loss: every run"),
    "flops are not 6ND": (lambda t: t.assign(flops=8 * t.params * t.tokens), "1.33 to 1.33"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_table_is_refused_with_a_remedy(kind):
    change, options, message = REFUSED[kind]
    with pytest.raises(RunsError, match=message):
        read_runs(change(simulated_table()), **options)


@pytest.mark.parametrize("kind", DOUBTED)
def test_doubtful_table_is_named(kind):
    change, message = DOUBTED[kind]
    with pytest.warns(RunsWarning, match=message) as caught:
        runs = read_runs(change(simulated_table()))
    assert [str(warning.message) for warning in caught] == [str(notice) for notice in runs.notices]
    for notice in runs.notices:
        assert notice.status is Status.REVIEW
        assert notice.advice.endswith(".")


def test_good_table_raises_no_doubt():
    assert read_runs(simulated_table()).notices == ()


def test_swept_runs_name_what_differs_and_keep_kinds_apart():
    table = simulated_table()
    rates = [table.assign(lr=r, loss=f * table.loss) for r, f in ((1e-4, 1), (1e-3, 1.05))]
    swept = pd.concat(rates)
    kinds = [swept.assign(tokenizer=name, loss=f * swept.loss) for name, f in (("a", 1), ("b", 2))]
    said = "share params, tokens, tokenizer .*, and they differ in lr; .*,tokens,tokenizer$"
    with pytest.warns(RunsWarning, match=said):
        read_runs(pd.concat(kinds))


def test_groups_on_one_grid_are_not_swept():
    table = simulated_table()
    groups = [table.assign(family=name, loss=f * table.loss) for name, f in (("a", 1), ("b", 1.2))]
    assert read_runs(pd.concat(groups)).notices == ()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_reads_every_format_alike(tmp_path, kind):
    table = simulated_table()
    path = tmp_path / f"runs.{kind}"
    if kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        table.to_parquet(path)
    runs = read_runs(path)
    assert runs.source == path.name
    assert len(runs.sha256) == 64
    np.testing.assert_allclose(runs.table[["params", "tokens", "loss"]], table, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("runs.csv", None, "no such file"),
        ("runs.xlsx", b"", "unknown kind of file"),
        ("runs.csv", b"", "not a readable .csv table"),
        ("runs.parquet", b"not parquet", "not a readable .parquet table"),
        ("runs.jsonl", b"{broken", "not a readable .jsonl table"),
    ],
)
def test_bad_file_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunsError, match=message):
        read_runs(path)


def test_folder_is_refused_as_one(tmp_path):
    with pytest.raises(RunsError, match="is a folder; name a file of runs in it"):
        read_runs(tmp_path)


def test_counts_become_float_before_they_are_multiplied():
    table = simulated_table().astype({"params": "int64", "tokens": "int64"})
    runs = read_runs(table.assign(params=10**11, tokens=10**12 + table.index))
    assert runs.table["flops"].iloc[0] == 6e23  # beyond int64
    assert runs.ledger[-1] == "flops filled by C = 6ND"


def test_rows_whose_count_is_filled_are_named():
    table = simulated_table().assign(flops=lambda t: 6.3 * t.params * t.tokens)
    runs = read_runs(table.assign(params=table.params.where(~table.index.isin([4, 8]))))
    assert runs.ledger[-1] == "params of rows 5, 9 filled by C = 6ND"


def test_missing_tokens_are_filled_from_compute():
    table = simulated_table()
    full = table.assign(flops=6 * table.params * table.tokens)
    runs = read_runs(full.drop(columns="tokens"))
    np.testing.assert_allclose(runs.table["tokens"], table.tokens)
    assert runs.ledger[-1] == "tokens filled by C = 6ND"


def test_mapping_and_units_and_filter():
    table = simulated_table().rename(columns={"params": "N"})
    table["N"] /= 1e9
    runs = read_runs(table, {"params": "N"}, units={"params": 1e9}, where="tokens > 1e10")
    assert len(runs) < 30
    assert runs.ledger == (
        "30 rows read",
        "params is the column 'N'",
        "params multiplied by 1e+09",
        "flops filled by C = 6ND",
        f"{30 - len(runs)} dropped by the filter 'tokens > 1e10'",
    )
    np.testing.assert_allclose(
        runs.table["params"], simulated_table()["params"].loc[runs.table.index]
    )


def test_mapping_wins_over_a_column_of_our_name():
    table = simulated_table().assign(params_non_embedding=lambda t: t.params / 2)
    runs = read_runs(table, {"params": "params_non_embedding"})
    np.testing.assert_allclose(runs.table["params"], table["params_non_embedding"])


def test_k_is_six_unless_the_table_says_otherwise():
    table = simulated_table()
    assert read_runs(table).flops_per_param_token == FLOPS_PER_PARAM_TOKEN
    with pytest.warns(RunsWarning, match="not 6ND"):
        other = read_runs(table.assign(flops=7.5 * table.params * table.tokens))
    assert other.flops_per_param_token == pytest.approx(7.5)


def test_k_is_that_of_the_largest_runs():
    table = simulated_table()
    compute = table.params * table.tokens
    overhead = np.where(compute > compute.max() / 10.5, 6.5, 11.0)
    with pytest.warns(RunsWarning, match="largest decade"):
        runs = read_runs(table.assign(flops=overhead * compute))
    assert runs.flops_per_param_token == pytest.approx(6.5)


def test_missing_column_of_the_law_is_named():
    runs = read_runs(simulated_table())
    with pytest.raises(RunsError, match="needs the column 'unique_tokens'"):
        runs.column("unique_tokens")


def test_budgets_finds_the_isoflop_curves():
    budgets = read_runs(simulated_table()).budgets()
    assert budgets.nunique() == 5
    assert (budgets.value_counts() == 6).all()


def test_budgets_of_scattered_runs_are_none():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "params": np.geomspace(1e7, 1e10, 12),
            "tokens": 10 ** rng.uniform(8, 12, 12),
            "loss": np.linspace(3, 2, 12),
        }
    )
    assert read_runs(table).budgets().isna().all()


def budgets_by_definition(runs: Runs, within: float, sizes: int) -> pd.Series:
    """Every window counted again for every budget: what `Runs.budgets` says, in n squared steps."""
    label = pd.Series(np.nan, index=runs.table.index)
    width, free = 2 * np.log1p(within), np.log(runs.table["flops"]).sort_values()
    while len(free):
        stop = np.searchsorted(free, free + width, side="right")
        found = [runs.table.loc[free.index[i:j], "params"].nunique() for i, j in enumerate(stop)]
        best = int(np.argmax(found))
        if found[best] < sizes:
            break
        members = free.iloc[best : stop[best]]
        label[members.index] = float(f"{np.exp(members.median()):.1e}")
        free = free[(free < members.min() - width) | (free > members.max() + width)]
    return label


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=60),
    st.sampled_from([0.0, np.expm1(0.025), np.expm1(0.1), 0.1, 0.5]),
    st.integers(1, 6),
)
def test_budgets_are_those_of_the_definition(places, within, sizes):
    """On a grid of a twentieth in log compute: runs share places, and lie at ends of windows."""
    place, size = np.array(places, dtype=float).reshape(-1, 2).T
    table = pd.DataFrame({"flops": 1e18 * np.exp(place / 20), "params": 1e8 * (1 + size)})
    runs = Runs(table.sample(frac=1.0, random_state=len(table)), "test")
    pd.testing.assert_series_equal(
        runs.budgets(within=within, sizes=sizes), budgets_by_definition(runs, within, sizes)
    )


@pytest.mark.parametrize("seed", range(8))
def test_budgets_of_scattered_and_of_planned_runs_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    planned = np.repeat(np.geomspace(1e18, 1e21, 6), 15) * rng.lognormal(0, 0.04, 90)
    flops = np.concatenate([planned, 10 ** rng.uniform(17, 22, 110)])
    runs = Runs(pd.DataFrame({"flops": flops, "params": rng.integers(1, 40, 200) * 1e7}), "test")
    found = runs.budgets()
    assert found.nunique() > 3
    pd.testing.assert_series_equal(found, budgets_by_definition(runs, 0.1, 5))


def test_budget_column_is_taken_as_it_is(runs):
    marked = Runs(runs.table.assign(budget=1.01 * runs.table["flops"]), "test")
    assert (marked.budgets() == 1.01 * runs.table["flops"]).all()
    wrong = Runs(runs.table.assign(budget=1.0), "test")
    assert wrong.budgets().min() > 1e18


def test_the_advice_for_swapped_columns_works():
    table = simulated_table().rename(columns={"params": "tokens", "tokens": "params"})
    runs = read_runs(table, {"params": "tokens", "tokens": "params"})
    np.testing.assert_array_equal(runs.table["params"], simulated_table()["params"])
    np.testing.assert_array_equal(runs.table["tokens"], simulated_table()["tokens"])


def test_filter_sees_units_and_filled_columns():
    table = simulated_table().assign(params=lambda t: t.params / 1e9)
    runs = read_runs(table, units={"params": 1e9}, where="params < 1e9 and flops < 1e21")
    assert 0 < len(runs) < 30
    assert runs.table["params"].max() < 1e9


def test_bad_value_in_a_dropped_row_does_no_harm():
    table = set_cell("loss", 4, "diverged")(simulated_table())
    assert len(read_runs(table, where="loss > 0")) == 29


def test_best_per_keeps_the_lowest_loss():
    table = pd.concat([simulated_table(), simulated_table().assign(loss=lambda t: 1.05 * t.loss)])
    runs = read_runs(table, best_per=["params", "tokens"])
    np.testing.assert_array_equal(runs.table["loss"], simulated_table()["loss"])
    assert "30 dropped for a better run of equal params, tokens" in runs.ledger


def test_gaps_in_compute_are_filled_row_by_row():
    table = simulated_table().assign(flops=lambda t: 6 * t.params * t.tokens)
    table.loc[3, "flops"] = np.nan
    runs = read_runs(table)
    assert runs.table["flops"].loc[3] == pytest.approx(6 * table.params[3] * table.tokens[3])
    assert "flops of row 4 filled by C = 6ND" in runs.ledger


def test_header_that_names_a_column_twice_is_refused(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss,loss\n1e8,1e9,3,4\n")
    with pytest.raises(RunsError, match="more than one column named loss"):
        read_runs(path)


def test_hold_out_splits_and_says_so(runs):
    kept, held = runs.hold_out("flops > 2e21")
    assert (len(kept), len(held)) == (24, 6)
    assert kept.ledger[-1] == "6 runs held back by 'flops > 2e21': not fitted, predicted"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("flops > 0", "holds back all 30"),
        ("flops < 0", "keeps none"),
        ("nope", "cannot be applied"),
    ],
)
def test_bad_hold_out_is_refused(runs, where, message):
    with pytest.raises(RunsError, match=message):
        runs.hold_out(where)


def test_flops_of_a_parameter_are_those_of_the_nearest_sizes():
    sizes, asked = np.repeat(np.geomspace(1e8, 1e10, 9), 5), np.array([[1e8, 1e9, 1e10]])
    table = pd.DataFrame({"params": sizes, "tokens": 2e10, "loss": 3.0})
    assert (Runs(table, "no compute").flops_per_param_token_at(asked) == 6).all()
    table["flops"] = 9 * table["params"] * table["tokens"] * (sizes / 1e9) ** -0.05
    runs = Runs(table, "compute of its own")
    k = runs.flops_per_param_token_at(asked)
    assert k.shape == (1, 3)
    np.testing.assert_allclose(k, 9 * (asked / 1e9) ** -0.05, rtol=0.03)
    np.testing.assert_array_equal(
        runs.flops_per_param_token_at(np.array([1e3, np.inf])), k[0, [0, 2]]
    )


def test_a_table_of_one_row_is_read():
    table = pd.DataFrame({"run": ["a"], "params": [1e9], "tokens": [2e10], "loss": [2.5]})
    assert len(read_runs(table)) == 1


def with_silent_runs(table: pd.DataFrame, weight: float = 0.0) -> pd.DataFrame:
    """Add runs far outside the others, of a group, budgets and sizes of their own."""
    sizes = np.geomspace(1e4, 1e5, 8)
    silent = pd.DataFrame({"params": sizes, "tokens": 1e15 / (6 * sizes), "loss": 9.0})
    far = pd.DataFrame({"params": [1e13], "tokens": [1e15], "loss": [1.0]})
    silent = pd.concat([silent, far], ignore_index=True).assign(weight=weight, family="other")
    own = table.assign(weight=1.0, family="own")
    return pd.concat([own, silent], ignore_index=True)


@pytest.mark.filterwarnings("ignore::bayescale.errors.RunsWarning")
def test_runs_of_weight_0_count_nowhere():
    """Neither in answers, nor in ranges, budgets, notices and doubts about the design."""
    table = simulated_table()
    wide = with_silent_runs(table)
    few = {"draws": 100, "tune": 200, "chains": 2, "progress": False}
    own = read_runs(table.assign(weight=1.0, family="own"))
    read = read_runs(wide)
    given = replace(read_runs(with_silent_runs(table, 1.0)), notices=())
    alone, *others = (
        fit(own, "chinchilla", **few),
        fit(read, "chinchilla", **few),
        fit(given, "chinchilla", weights=wide["weight"].to_numpy(), **few),
        fit(Runs(given.table.assign(weight=wide["weight"]), "by hand"), "chinchilla", **few),
    )
    assert "9 of weight 0 left out" in read.ledger
    assert read.notices == own.notices == ()
    for fitted in others:
        np.testing.assert_array_equal(fitted.posterior["E"], alone.posterior["E"])
        assert len(fitted.runs) == 30
        assert fitted.notices == alone.notices == ()
        assert fitted.runs.budgets().dropna().nunique() == 5
        assert default_budgets(fitted) == default_budgets(alone)
        for axis in ("params", "tokens", "flops", "tokens_per_param"):
            at = [1e6, 1e12, 1e25]
            beyond = [decades_beyond(own.runs, **{axis: at}) for own in (fitted, alone)]
            np.testing.assert_array_equal(*beyond)
    counted = fit(given, "chinchilla", **few)  # the control
    assert "groups pooled" in [notice.name for notice in counted.notices]
    assert decades_beyond(counted.runs, flops=1e25) == 0


def test_queries_know_the_names_of_the_file_too():
    table = simulated_table().assign(params=lambda t: t.params / 1e9, lr=1e-3)
    table = table.rename(columns={"params": "N", "loss": "val/loss", "lr": "config.lr"})
    columns, large = {"params": "N", "loss": "val/loss"}, simulated_table()["params"] > 1e9
    for where in ("N > 1", "params > 1e9", "`val/loss` < 9 and N > 1", "`config.lr` > 0 and N > 1"):
        runs = read_runs(table, columns, units={"params": 1e9}, where=where)
        assert list(runs.table.index) == list(large.index[large]), where
        runs = read_runs(table, columns, units={"params": 1e9})
        assert len(runs.hold_out(where)[1]) == large.sum()
    assert "N" not in runs.table
    with pytest.raises(RunsError, match="write `val/loss` in backticks"):
        read_runs(table, columns, units={"params": 1e9}, where="val/loss < 9")


def test_the_best_is_found_by_the_names_of_the_file_too():
    table = pd.concat([simulated_table(), simulated_table().assign(loss=lambda t: 1.05 * t.loss)])
    table = table.rename(columns={"params": "N"})
    runs = read_runs(table, {"params": "N"}, best_per=["N", "tokens"])
    np.testing.assert_array_equal(runs.table["loss"], simulated_table()["loss"])


@pytest.mark.parametrize("source", [3, None, [1, 2], {"loss": [1.0]}])
def test_what_is_no_table_is_answered_with_what_to_pass(source):
    for take in (read_runs, fit):
        with pytest.raises(BayescaleError, match=r"must be .* path"):
            take(source)


def test_a_table_is_read_where_a_fit_takes_runs():
    table = simulated_table().rename(columns={"params": "N"})
    assert len(as_runs(table, "loss", {"columns": {"params": "N"}, "where": "N > 0"})) == 30
    runs = read_runs(simulated_table())
    assert as_runs(runs, "loss", {}) is runs
    with pytest.raises(RunsError, match="where: these runs are read already"):
        fit(runs, where="loss < 3")
    with pytest.raises(TypeError, match="drawz"):
        fit(runs, drawz=100)


def test_losses_that_repeated_data_or_many_runs_raise_are_not_far_off():
    table = simulated_table()
    repeated = table.assign(unique_tokens=table.tokens / np.where(table.index == 7, 9, 1))
    repeated["loss"] *= np.where(table.index == 7, 1.4, 1)
    assert read_runs(repeated).notices == ()
    many = table.assign(loss=table.loss * np.where(table.index % 5 == 0, 1.4, 1))
    assert not any(notice.name == "losses far off" for notice in read_runs(many).notices)


def scattered():
    """Twelve runs at random sizes and tokens, and a smallest one."""
    rng = np.random.default_rng(10)
    params, ratio = 10 ** rng.uniform(7.3, 9.8, 12), 10 ** rng.uniform(0.8, 2.3, 12)
    table = pd.DataFrame({"params": params, "tokens": params * ratio})
    table.loc[12] = [2e7, 1.2e8]
    return table.assign(loss=1.75 + 420 * table.params**-0.345 + 1200 * table.tokens**-0.34)


def test_the_smallest_run_is_far_off_only_by_a_multiple():
    table = scattered()
    assert read_runs(table).notices == ()
    with pytest.warns(RunsWarning, match="losses far off: row 13: "):
        read_runs(table.assign(loss=table.loss.where(table.index < 12, 11.0)))


def test_a_count_far_off_within_the_range_of_its_column_is_named():
    table = scattered()
    table.loc[12, "tokens"] *= 2e4
    with pytest.warns(RunsWarning) as told:
        read_runs(table)
    message = "row 13: tokens per parameter is .* above that of any"
    assert any(re.search(message, str(warning.message)) for warning in told)


def test_the_unit_that_puts_counts_right_is_among_those_proposed():
    right = simulated_table()
    for name, factor in (("params", 1e6), ("params", 1e9), ("tokens", 1e-5)):
        with pytest.raises(RunsError, match="one column has other units") as told:
            read_runs(right.assign(**{name: factor * right[name]}))
        proposed = dict(re.findall(r"--unit (\w+)=([^\s,;]+)", str(told.value)))
        assert 0.05 < float(proposed[name]) * factor < 20


@pytest.mark.parametrize("factor", [0.1, 4])
def test_among_runs_of_repeated_data_losses_several_times_off_are_named(factor):
    table = simulated_table()
    table["unique_tokens"] = table.tokens / np.where(table.index % 3 == 0, 8, 1)
    table["loss"] *= np.where(table.index == 7, factor, 1)
    with pytest.warns(RunsWarning, match="losses far off: row 8: "):
        read_runs(table)


def test_the_advice_for_losses_far_off_works():
    table = simulated_table().assign(loss=lambda t: t.loss.where(t.index != 7, 1.4 * t.loss))
    with pytest.warns(RunsWarning, match="losses far off") as told:
        read_runs(table)
    query = str(told[0].message).split("--where '")[1].split("'")[0]
    assert read_runs(table, where=query).notices == ()


@pytest.mark.parametrize("axis", ["params", "tokens", "flops"])
def test_losses_along_one_count_alone_are_read(axis):
    table = pd.DataFrame({axis: np.geomspace(1e18, 1e20, 10), "loss": np.linspace(3, 2, 10)})
    runs = read_runs(table, units={axis: 1.0})
    assert [check.name for check in runs.notices if "far off" in check.name] == []


def test_a_unit_is_proposed_only_where_the_whole_column_has_it():
    table = simulated_table()
    table.loc[[3, 7], "params"] /= 1e9
    with pytest.raises(RunsError, match=r"rows 4, 8: .*--where 'params >= 1000'") as refused:
        read_runs(table.drop(columns="flops", errors="ignore"))
    assert "--unit" not in str(refused.value)


def test_one_remedy_leaves_out_the_broken_rows_of_all_columns():
    table = pd.DataFrame({"params": [1e7 * 2**i for i in range(8)], "tokens": 4e9})
    table["tokens"] *= np.arange(1, 9)
    table["loss"] = [str(4 - 0.1 * i) for i in range(8)]
    table.loc[2, "tokens"], table.loc[[4, 5], "loss"] = np.nan, ["2.9.1", None]
    for lost in (table, table.assign(loss=table["loss"].replace("2.9.1", None))):
        with pytest.raises(
            RunsError, match=r"'loss', row.* \(row 3 lacks tokens as well\)$"
        ) as found:
            read_runs(lost)
        remedy = str(found.value).split("--where ")[1].split("'")[1]
        assert len(read_runs(lost, where=remedy)) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "chinchilla-hierarchical", "group": "famly"}, "groups of the column 'famly'"),
        ({"model": "experts"}, "needs the column 'active_params'"),
        ({"model": "mixture-joint"}, "from columns named w_..."),
        ({"best_per": "famly"}, "famly is no column of"),
        ({"last_per": "famly"}, "famly is no column of"),
        ({"thin_per": "famly"}, "famly is no column of"),
    ],
)
def test_columns_that_are_not_there_are_refused_before_broken_rows(options, said):
    table = simulated_table().assign(family=["dense", "sparse"] * 15)
    table["loss"] = table["loss"].astype(object).where(table.index != 3, "broken")
    with pytest.raises(RunsError, match=re.escape(said)):
        fit(table, **options)


@pytest.mark.parametrize(
    "model", ["isoflop-profiles", "data-constrained", "chinchilla-hierarchical"]
)
def test_broken_rows_are_refused_where_no_column_is_lacking(model):
    table = simulated_table().assign(family=["dense", "sparse"] * 15)
    table["loss"] = table["loss"].astype(object).where(table.index != 3, "broken")
    with pytest.raises(RunsError, match="row 4: 'broken' is not a number"):
        fit(table, model)
