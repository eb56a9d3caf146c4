"""Does reading give the numbers of a table, or else say so? Thousands of tables, many broken.

Each table has 12 to 60 runs of a known law. It is written in a form that people use (separators,
human numbers, units in names, exports, histories) or with a fault (a text in a loss, thousands off,
rows exchanged), often with two of them at once, and read without sampling. An oracle compares what
went in with what a model would see.

    python benchmarks/mutated_tables.py [--tables 3000] [--seed 0] [--only KIND ...] [--show SILENT]
        [--json results.jsonl]

Outcomes, of which the last five are failures:

right     every number equals the truth to 1e-9
said      numbers differ or rows are gone, and a notice or the ledger names the rows or the column
refused   an error of one sentence names row, line or column
option    a harmless form is refused with the option with which it reads right
picky     a harmless form is refused, and no option that is proposed makes it read right
vague     an error that does not name what is wrong
MISLED    an option that a refusal proposes ends in SILENT or in a traceback
SILENT    numbers differ without a word that names them
TRACEBACK an error of another kind, or a warning of a library
"""

import argparse
import csv
import datetime
import decimal
import gzip
import inspect
import io
import itertools
import json
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayescale import read_runs
from bayescale.errors import BayescaleError, RunsWarning

FAILURES = ("picky", "vague", "MISLED", "SILENT", "TRACEBACK")
OUTCOMES = ("right", "said", "refused", "option", *FAILURES)
COUNTS = ("params", "tokens")
WITHIN = 1e-9


@dataclass
class Form:
    """A table on its way into a file: its cells, how they are written, and what is wrong.

    The index of `cells` are names of runs that never reach the file.
    """

    rng: np.random.Generator
    truth: pd.DataFrame
    cells: pd.DataFrame
    name: str = "runs.csv"
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    render: Callable[["Form"], str] | None = None
    lines: list[Callable[[list[str]], list[str]]] = field(default_factory=list)
    bytes: list[Callable[[bytes], bytes]] = field(default_factory=list)
    memory: Callable[[pd.DataFrame], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)  # runs at fault
    words: set[str] = field(default_factory=set)  # what names a fault that is none of single rows
    skipped: int = 0  # lines that are no rows
    unit: str = ""  # what the name of the losses' unit must hold
    kinds: tuple[str, ...] = ()

    def state_flops(self, *, exactly: bool = False) -> None:
        """Give the table a column of FLOPs."""
        if exactly:
            self.truth["flops"] = 6 * self.truth["params"] * self.truth["tokens"]
        self.cells["flops"] = self.truth["flops"].reindex(self.cells.index)

    def pick(self, number: int = 1) -> list[str]:
        """Choose runs of the truth at random."""
        return list(self.rng.choice(self.truth.index, number, replace=False))

    def count(self) -> str:
        """Choose a column of counts at random."""
        return str(self.rng.choice([name for name in COUNTS if name in self.cells]))

    def put(self, run: str, column: str, value: object) -> None:
        """Put one cell that is at fault."""
        self.cells[column] = self.cells[column].astype(object)
        self.cells.loc[run, column] = value
        self.rows.add(run)

    def apply(
        self,
        column: str,
        change: Callable[[float], object],
        runs: Iterable[str] | None = None,
    ) -> None:
        """Change the cells of a column that are numbers, all or those of some runs."""
        chosen = set(self.cells.index if runs is None else runs)
        self.cells[column] = pd.Series(
            [
                change(x) if run in chosen and isinstance(x, float) and np.isfinite(x) else x
                for run, x in self.cells[column].items()
            ],
            index=self.cells.index,
            dtype=object,
        )

    def scale(self, column: str, factor: float, runs: Iterable[str] | None = None) -> None:
        """Multiply a column, or cells of it."""
        self.apply(column, lambda x: x * factor, runs)

    def insert(self, place: int, cells: dict[str, object], name: str) -> None:
        """Insert a row that is no run of the truth."""
        row = pd.DataFrame([cells], index=[name], columns=self.cells.columns).astype(object)
        before, after = self.cells.iloc[:place], self.cells.iloc[place:]
        self.cells = pd.concat([before.astype(object), row, after.astype(object)])
        self.rows.add(name)


@dataclass(frozen=True)
class Kind:
    """One way of writing or of breaking a table."""

    name: str
    change: Callable[[Form], None]
    slots: frozenset[str]
    harmless: bool
    medium: str
    stage: int


KINDS: dict[str, Kind] = {}


def kind(
    *slots: str, harmless: bool = False, medium: str = "any", stage: int = 1
) -> Callable[[Callable[[Form], None]], Callable[[Form], None]]:
    """Enter a function among the kinds; two that share a slot are never combined."""

    def enter(change: Callable[[Form], None]) -> Callable[[Form], None]:
        name = change.__name__.strip("_")
        KINDS[name] = Kind(name, change, frozenset(slots), harmless, medium, stage)
        return change

    return enter


def simulated(rng: np.random.Generator) -> Form:
    """Make runs of a known law: sizes and tokens of three digits, losses of four decimals."""
    number = int(rng.integers(12, 61))
    params = 10 ** rng.uniform(7.3, 9.8, number)
    tokens = params * 10 ** rng.uniform(0.8, 2.3, number)
    params, tokens = (np.array([float(f"{x:.2e}") for x in column]) for column in (params, tokens))
    loss = 1.75 + 420 * params**-0.345 + 1200 * tokens**-0.34
    loss = (loss * np.exp(0.004 * rng.standard_normal(number))).round(4)
    stated = rng.random() < 0.5
    own = np.exp(0.02 * rng.standard_normal(number) * stated)  # attention and embeddings count
    truth = pd.DataFrame({"params": params, "tokens": tokens, "flops": 6 * params * tokens * own})
    truth["loss"] = loss
    if rng.random() < 0.3:
        truth["unique_tokens"] = (tokens / rng.choice([1, 4], number)).round()
    truth.index = [f"id{row}" for row in range(number)]
    cells = truth.drop(columns=[] if stated else ["flops"])
    cells.insert(0, "run", [f"exp{int(x):02d}" for x in rng.permutation(number)])
    if rng.random() < 0.3:
        cells["family"] = "base"
    if rng.random() < 0.3:
        cells["lr"] = 0.0003
    return Form(rng, truth, cells)


# ---------------------------------------------------------------- harmless forms


@kind("layout", harmless=True, medium="csv")
def _semicolons(form: Form) -> None:
    form.separator = ";"


@kind("layout", harmless=True, medium="csv")
def _tabs(form: Form) -> None:
    form.separator, form.name = "\t", str(form.rng.choice(["runs.tsv", "runs.csv", "runs.txt"]))


@kind("layout", harmless=True, medium="csv")
def _pipes(form: Form) -> None:
    form.separator, form.name = "|", str(form.rng.choice(["runs.csv", "runs.txt"]))


@kind("layout", "numbers", harmless=True, medium="csv")
def _german(form: Form) -> None:
    form.separator, form.decimal = str(form.rng.choice([";", "\t"])), ","


@kind("layout", "numbers", harmless=True, medium="csv", stage=3)
def _german_thousands(form: Form) -> None:
    form.separator, form.decimal = ";", ","
    for name in COUNTS:
        form.apply(name, lambda x: f"{x:,.0f}".replace(",", "."))


@kind("encoding", harmless=True, medium="csv")
def _byte_order_mark(form: Form) -> None:
    form.encoding = "utf-8-sig"


@kind("encoding", harmless=True, medium="csv")
def _utf16(form: Form) -> None:
    form.encoding = "utf-16"


@kind("encoding", harmless=True, medium="csv")
def _latin1(form: Form) -> None:
    form.encoding = "latin-1"
    form.cells["note"] = "für später"


@kind("encoding", harmless=True, medium="csv")
def _windows_lines(form: Form) -> None:
    form.bytes.append(lambda content: content.replace(b"\n", b"\r\n"))


@kind("numbers", harmless=True, stage=3)
def _human_numbers(form: Form) -> None:
    for name in COUNTS:
        form.apply(name, _human)


def _human(value: float) -> object:
    units = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
    unit, sign = next(((u, s) for u, s in units if abs(value) >= u), (1, ""))
    return f"{value / unit:.12g}{sign}"


@kind("numbers", harmless=True, stage=3)
def _thousands_quoted(form: Form) -> None:
    mark = str(form.rng.choice([",", " ", "_"]))
    for name in COUNTS:
        form.apply(name, lambda x: f"{x:,.0f}".replace(",", mark))


@kind("numbers", harmless=True, stage=3)
def _scientific(form: Form) -> None:
    for name in COUNTS:
        form.apply(name, lambda x: f"{x:.6E}")


@kind("quotes", harmless=True, medium="csv")
def _all_quoted(form: Form) -> None:
    form.render = lambda form: _csv_text(form, csv.QUOTE_ALL)


@kind("layout", harmless=True, medium="json")
def _json_array(form: Form) -> None:
    form.name, form.render = "runs.json", lambda form: json.dumps(_records(form.cells))


@kind("layout", harmless=True, medium="json")
def _json_lines(form: Form) -> None:
    form.name = str(form.rng.choice(["runs.jsonl", "runs.ndjson"]))
    form.render = lambda form: "\n".join(map(json.dumps, _records(form.cells)))


@kind("layout", "names", harmless=True, medium="json")
def _json_nested(form: Form) -> None:
    def record(flat: dict[str, object]) -> dict[str, object]:
        model = {name: flat.pop(name) for name in COUNTS if name in flat}
        return {**flat, "config": {**model, "train": {"lr": 3e-4}}}

    form.name = str(form.rng.choice(["runs.jsonl", "runs.json"]))
    lines = form.name == "runs.jsonl"

    def render(form: Form) -> str:
        found = [record(flat) for flat in _records(form.cells)]
        return "\n".join(map(json.dumps, found)) if lines else json.dumps(found, indent=1)

    form.render = render


@kind("layout", harmless=True, medium="json")
def _json_split(form: Form) -> None:
    orient = str(form.rng.choice(["split", "columns"]))
    form.name = "runs.json"
    form.render = lambda form: form.cells.reset_index(drop=True).to_json(
        orient=orient, double_precision=15
    )


@kind("rows", "loss", "counts", "flops", "unique", harmless=True, medium="parquet")
def _parquet(form: Form) -> None:
    form.name = "runs.parquet"


@kind("bytes", harmless=True, medium="file", stage=5)
def _gzipped(form: Form) -> None:
    form.name += ".gz"
    form.bytes.append(gzip.compress)


@kind("columns", harmless=True, medium="csv", stage=5)
def _index_column(form: Form) -> None:
    form.cells.insert(0, "", [str(row) for row in range(len(form.cells))])


@kind("lines", harmless=True, medium="csv")
def _blank_lines(form: Form) -> None:
    def change(lines: list[str]) -> list[str]:
        place = int(form.rng.integers(1, len(lines)))
        return [*lines[:place], "", *lines[place:], "", ""]

    form.lines.append(change)
    form.skipped = 1


@kind("lines", harmless=True, medium="csv")
def _comments_on_top(form: Form) -> None:
    form.lines.append(lambda lines: ["# sweep of May, all runs", "# losses on C4", *lines])
    form.skipped = 2


@kind("lines", "quotes", harmless=True, medium="csv")
def _blanks_around_cells(form: Form) -> None:
    form.lines.append(
        lambda lines: [
            form.separator.join(f" {c} " for c in x.split(form.separator)) for x in lines
        ]
    )


@kind("columns", harmless=True)
def _shuffled_columns(form: Form) -> None:
    form.cells = form.cells[list(form.rng.permutation(form.cells.columns))]


@kind("columns", "quotes", harmless=True)
def _many_columns(form: Form) -> None:
    number = len(form.cells)
    form.cells["notes"] = form.rng.choice(["ok", "restarted, twice", 'said "fine"', ""], number)
    form.cells["flash"] = form.rng.random(number) < 0.5
    form.cells["mfu"] = "41%"
    form.cells["date"] = "2024-05-03"
    form.cells["steps"] = [1000 * row for row in range(number)]


@kind("names", harmless=True, stage=4)
def _other_names(form: Form) -> None:
    names = {
        "params": ["N", "n_params", "num_params", "N_params", "Parameters", "n_params_non_emb"],
        "tokens": ["D", "train_tokens", "num_tokens", "n_tokens", "Training Tokens"],
        "flops": ["C", "compute", "total_flops", "compute_budget"],
        "loss": ["L", "val_loss", "final_loss", "val/loss", "eval/loss", "Final Test Loss"],
    }
    rename(form, {ours: str(form.rng.choice(theirs)) for ours, theirs in names.items()})
    form.words |= {"n_params_non_emb"} & set(form.cells)  # whose name leaves open which are meant


@kind("names", harmless=True, stage=4)
def _capital_names(form: Form) -> None:
    change = str(form.rng.choice(["capitalize", "upper"]))
    rename(form, {name: getattr(name, change)() for name in form.truth})


@kind("names", harmless=True, stage=4)
def _two_losses(form: Form) -> None:
    """Put the loss of training beside that which counts: neither is meant by its name alone."""
    rename(form, {"loss": "val_loss"})
    place = list(form.cells.columns).index("val_loss")
    form.cells.insert(place, "train_loss", form.truth["loss"].reindex(form.cells.index) - 0.05)
    form.words.add("val_loss")


def rename(form: Form, names: dict[str, str]) -> None:
    """Give columns other names; what is at fault is then known by both."""
    form.words |= {names[word] for word in form.words & set(names)}
    form.cells = form.cells.rename(columns=names)


@kind("names", "numbers", harmless=True, stage=4)
def _units_in_names(form: Form) -> None:
    params = str(form.rng.choice(["params_M", "N (M)", "params (millions)"]))
    tokens = str(form.rng.choice(["tokens_B", "D (B)", "tokens (billions)"]))
    form.scale("params", 1e-6)
    form.scale("tokens", 1e-9)
    rename(form, {"params": params, "tokens": tokens})


@kind("names", "numbers", "tokens", harmless=True, stage=4)
def _pf_days_by_name(form: Form) -> None:
    form.state_flops(exactly=True)
    form.cells = form.cells.drop(columns=["tokens", "unique_tokens"], errors="ignore")
    form.truth = form.truth.drop(columns=["unique_tokens"], errors="ignore")
    form.scale("flops", 1 / 8.64e19)
    rename(form, {"flops": str(form.rng.choice(["pf_days", "compute_pfdays", "PF-days"]))})


@kind("names", "loss", "unit", harmless=True, stage=4)
def _bits_by_name(form: Form) -> None:
    form.scale("loss", 1 / np.log(2))
    rename(form, {"loss": str(form.rng.choice(["loss_bits", "bits_per_token"]))})


@kind("names", "loss", "unit", harmless=True, stage=4)
def _perplexity_by_name(form: Form) -> None:
    form.apply("loss", lambda x: float(np.exp(min(x, 700.0))))
    rename(form, {"loss": str(form.rng.choice(["val_ppl", "perplexity", "ppl"]))})


@kind("names", "loss", "unit", harmless=True, stage=4)
def _bits_per_byte_by_name(form: Form) -> None:
    form.scale("loss", 1 / np.log(2) / 4.3)
    form.truth["loss"] *= 1 / np.log(2) / 4.3
    form.unit = "byte"
    rename(form, {"loss": str(form.rng.choice(["bpb", "val_bpb"]))})


@kind("names", "rows", "loss", harmless=True, stage=4)
def _wandb_export(form: Form) -> None:
    """Crashed runs have no metrics; the export has its own names."""
    crashed = form.pick(2)
    form.cells["State"] = ["crashed" if run in crashed else "finished" for run in form.cells.index]
    form.cells.loc[crashed, "loss"] = np.nan
    form.cells["Runtime"] = 3600
    form.truth = form.truth.drop(index=crashed)
    rename(form, {"run": "Name", "params": "n_params", "tokens": "n_tokens", "loss": "val/loss"})


@kind("rows", harmless=True, stage=0)
def _history(form: Form) -> None:
    """Twenty steps a run, read with the option for it."""
    _history(form, 20)
    form.options["last_per"] = "run"


def _history(form: Form, steps: int) -> None:
    parts = []
    for step in range(1, steps):
        early = form.cells.copy()
        early["tokens"] = early["tokens"].astype(float) * step / steps
        early["loss"] = early["loss"].astype(float) + 1.2 * (1 - step / steps)
        if "flops" in early:
            early["flops"] = early["flops"].astype(float) * step / steps
        if "unique_tokens" in early:
            early["unique_tokens"] = early["unique_tokens"].astype(float) * step / steps
        early.index = [f"{run}-{step}" for run in early.index]
        parts.append(early)
    whole = pd.concat([*parts, form.cells])
    form.cells = whole.sort_values(["run", "tokens"])


@kind("layout", harmless=True, medium="memory")
def _index_named_run(form: Form) -> None:
    form.memory = lambda table: table.set_index(table.columns[0] if "run" not in table else "run")


@kind("rows", "loss", "counts", "numbers", "names", harmless=True, medium="memory", stage=4)
def _other_dtypes(form: Form) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        whole = table["params"].astype("Int64")
        exact = pd.Series([decimal.Decimal(repr(float(x))) for x in table["loss"]], dtype=object)
        return table.assign(params=whole, loss=exact, tokens=table["tokens"].astype("string"))

    form.memory = change


# ---------------------------------------------------------------- faults of cells


@kind("loss")
def _text_in_loss(form: Form) -> None:
    text = ["OOM", "see notes", "3.2*", "~3.2", "<3.5", "2.1±0.1", "3.2 (best)", "-", "?", "3.2.1"]
    form.put(form.pick()[0], "loss", str(form.rng.choice(text)))


@kind("counts")
def _text_in_count(form: Form) -> None:
    text = ["big", "gpt-125M", "~1e9", "1e9?", "1e999", "0x10", "3 x 1e9", "unknown", "1,2e", "--"]
    form.put(form.pick()[0], form.count(), str(form.rng.choice(text)))


@kind("counts")
def _truth_value_in_count(form: Form) -> None:
    form.put(form.pick()[0], form.count(), True)


@kind("loss")
def _truth_value_in_loss(form: Form) -> None:
    form.put(form.pick()[0], "loss", True)


@kind("flops")
def _fault_in_flops(form: Form) -> None:
    form.state_flops()
    values = ["True", "n/a yet", "lots", -1.0, 0.0, np.inf, "1e19?", 1e-320]
    form.put(form.pick()[0], "flops", values[form.rng.integers(len(values))])


@kind("loss")
def _excel_error(form: Form) -> None:
    errors = ["#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "########"]
    form.put(form.pick()[0], "loss", str(form.rng.choice(errors)))


@kind("counts")
def _excel_error_in_count(form: Form) -> None:
    errors = ["#N/A", "#DIV/0!", "#REF!", "########"]
    form.put(form.pick()[0], form.count(), str(form.rng.choice(errors)))


@kind("loss")
def _percent_in_loss(form: Form) -> None:
    form.put(form.pick()[0], "loss", "32%")


@kind("loss")
def _date_in_loss(form: Form) -> None:
    """Write what a spreadsheet makes of 3.5."""
    form.put(
        form.pick()[0], "loss", str(form.rng.choice(["03. May", "2024-05-03", "3-May", "5:30"]))
    )


@kind("loss")
def _empty_loss(form: Form) -> None:
    form.put(form.pick()[0], "loss", str(form.rng.choice(["", "nan", "NaN", "null", "None"])))


@kind("counts")
def _empty_count(form: Form) -> None:
    form.put(form.pick()[0], form.count(), None)


@kind("loss")
def _impossible_loss(form: Form) -> None:
    form.put(form.pick()[0], "loss", form.rng.choice([-2.5, 0.0, np.inf, -np.inf, 1e-320, 1e300]))


@kind("counts")
def _impossible_count(form: Form) -> None:
    form.put(form.pick()[0], form.count(), form.rng.choice([-1e9, 0.0, np.inf, 1e-320, 1e300, 1.0]))


@kind("loss")
def _loss_thousands_off(form: Form) -> None:
    run = form.pick()[0]
    form.put(run, "loss", form.truth.loc[run, "loss"] * form.rng.choice([1e3, 1e-3]))


@kind("loss")
def _loss_of_a_diverged_run(form: Form) -> None:
    form.put(form.pick()[0], "loss", form.rng.choice([10.82, 11.5, 8.9]))


@kind("loss")
def _loss_tens_off(form: Form) -> None:
    """Let the decimal point of one loss slip."""
    run = form.pick()[0]
    form.put(run, "loss", form.truth.loc[run, "loss"] * form.rng.choice([10, 0.1]))


@kind("counts")
def _count_far_off(form: Form) -> None:
    run, name = form.pick()[0], form.count()
    factors = [1e6, 1e-6, 1e9, 1e-9, 1e4, 1e-4]
    form.put(run, name, form.truth.loc[run, name] * form.rng.choice(factors))


@kind("flops")
def _flops_of_a_row_thousands_off(form: Form) -> None:
    run = form.pick()[0]
    form.state_flops()
    form.put(run, "flops", form.truth.loc[run, "flops"] * form.rng.choice([1e3, 1e-3]))


@kind("counts")
def _rows_exchanged(form: Form) -> None:
    """Size and tokens of some runs exchanged."""
    for run in form.pick(int(form.rng.integers(1, 4))):
        params, tokens = form.cells.loc[run, ["params", "tokens"]]
        form.put(run, "params", tokens)
        form.put(run, "tokens", params)


@kind("counts")
def _mixed_units(form: Form) -> None:
    name = form.count()
    runs = form.pick(max(2, len(form.truth) // 5))
    form.scale(name, form.rng.choice([1e-6, 1e-9]), runs)
    form.rows |= set(runs)


@kind("unique")
def _fault_in_unique_tokens(form: Form) -> None:
    run, tokens = form.pick()[0], form.truth["tokens"]
    form.truth["unique_tokens"] = tokens
    form.cells["unique_tokens"] = tokens.reindex(form.cells.index)
    values = ["none", "1B?", 0.0, -5.0, np.inf, True, "-", 1e-320]
    form.put(run, "unique_tokens", values[form.rng.integers(len(values))])


@kind("loss", "counts", "numbers", "names", "rows", "unique", "flops", medium="memory", stage=4)
def _types_that_are_no_numbers(form: Form) -> None:
    name = str(form.rng.choice(["loss", "params", "tokens"]))
    values = {
        "timedelta": lambda x: pd.to_timedelta(x, unit="s"),
        "datetime": lambda x: pd.to_datetime(x, unit="s"),
        "complex": lambda x: x + 1j,
        "object with a date": lambda x: x.astype(object).where(x.index != 3, datetime.date.today()),
        "list": lambda x: x.map(lambda y: [y]),
        "period": lambda x: pd.Series(pd.period_range("2020", periods=len(x), freq="D")),
        "truth": lambda x: x > 0,
    }
    change = values[str(form.rng.choice(list(values)))]
    form.words.add(name)
    form.rows.add(form.cells.index[3])
    form.memory = lambda table: table.assign(
        **{name: change(table[name].astype(float).where(lambda x: x < 1e9, 1e9))}
    )


# ---------------------------------------------------------------- faults of rows and columns


@kind("rows", stage=0)
def _totals_row(form: Form) -> None:
    label = str(form.rng.choice(["Total", "mean", "Sum", "average", ""]))
    how = "mean" if label in ("mean", "average") else "sum"
    numbers = form.truth.agg(how).to_dict()
    form.insert(len(form.cells), {**numbers, "run": label}, "total")
    form.words |= {"total", label} - {""}


@kind("rows", stage=0)
def _units_row(form: Form) -> None:
    units = {"params": "M", "tokens": "B", "loss": "nats", "flops": "FLOPs", "unique_tokens": "B"}
    form.insert(0, {**units, "run": "(unit)"}, "units")


@kind("rows", stage=0)
def _repeated_header(form: Form) -> None:
    place = int(form.rng.integers(1, len(form.cells)))
    form.insert(place, {name: name for name in form.cells}, "header")


@kind("rows", medium="csv", stage=0)
def _footnote(form: Form) -> None:
    form.insert(len(form.cells), {"run": "* measured on two nodes"}, "footnote")
    form.lines.append(lambda lines: [*lines[:-1], lines[-1].rstrip(form.separator)])


@kind("rows", stage=0)
def _duplicated_rows(form: Form) -> None:
    for number, run in enumerate(form.pick(int(form.rng.integers(1, 4)))):
        place = int(form.rng.integers(0, len(form.cells) + 1))
        form.insert(place, form.cells.loc[run].to_dict(), f"again{number}")
        form.rows.add(run)


@kind("rows", stage=0)
def _checkpoints(form: Form) -> None:
    """Add checkpoints of three runs."""
    runs = form.pick(3)
    rest, whole = form.cells.drop(index=runs), form.cells
    form.cells = whole.loc[runs]
    _history(form, 4)
    form.rows |= set(form.cells.index)
    form.cells = pd.concat([form.cells, rest])
    form.words.add("run")


@kind("rows", stage=0)
def _unmarked_history(form: Form) -> None:
    _history(form, 10)
    form.words |= {"run", "--last-per"}


@kind("rows", "loss", stage=0)
def _crashed_with_a_loss(form: Form) -> None:
    crashed = form.pick(2)
    word = str(form.rng.choice(["crashed", "failed", "killed", "running"]))
    form.cells["State"] = [word if run in crashed else "finished" for run in form.cells.index]
    form.scale("loss", 1.1, crashed)
    form.truth = form.truth.drop(index=crashed)
    form.rows |= set(crashed)
    form.words.add("State")  # which leaves them out


@kind("rows", "loss", stage=0)
def _unfinished(form: Form) -> None:
    early = form.pick(2)
    form.cells["finished"] = [run not in early for run in form.cells.index]
    form.scale("loss", 1.05, early)
    form.truth = form.truth.drop(index=early)
    form.rows |= set(early)


@kind("rows", "columns", medium="csv", stage=0)
def _two_tables(form: Form) -> None:
    """Write the second half as a table of its own, columns in another order."""
    half = len(form.cells) // 2
    last = form.cells.iloc[half:][form.cells.columns[::-1]]
    last.columns = form.cells.columns
    last = pd.concat([last.iloc[:0], last])
    header = dict(zip(form.cells.columns, form.cells.columns[::-1], strict=True))
    head = pd.DataFrame([header], index=["header"])
    form.cells = pd.concat([form.cells.iloc[:half], head, last])
    form.rows |= {"header", *last.index}


@kind("counts", "names")
def _columns_exchanged(form: Form) -> None:
    form.cells[["params", "tokens"]] = form.cells[["tokens", "params"]].to_numpy()
    form.words |= {"params", "tokens"}


@kind("counts", "flops", "names")
def _params_and_flops_exchanged(form: Form) -> None:
    form.state_flops()
    form.cells[["params", "flops"]] = form.cells[["flops", "params"]].to_numpy()
    form.words |= {"params", "flops"}


@kind("loss", "counts", "names")
def _loss_and_tokens_exchanged(form: Form) -> None:
    form.cells[["loss", "tokens"]] = form.cells[["tokens", "loss"]].to_numpy()
    form.words |= {"loss", "tokens"}


@kind("counts", "unique")
def _column_in_other_units(form: Form) -> None:
    name = form.count()
    form.scale(name, form.rng.choice([1e-6, 1e-9, 1e6, 1e9]))
    form.words.add(name)


@kind("flops")
def _flops_in_other_units(form: Form) -> None:
    form.state_flops()
    form.scale("flops", form.rng.choice([1e-3, 1e3, 1e-12, 1e-15, 1e-18, 1 / 8.64e19]))
    form.words.add("flops")


@kind("flops", "tokens", "counts", "numbers")
def _pf_days_unmarked(form: Form) -> None:
    form.state_flops(exactly=True)
    form.cells = form.cells.drop(columns=["tokens", "unique_tokens"], errors="ignore")
    form.truth = form.truth.drop(columns=["unique_tokens"], errors="ignore")
    form.scale("flops", 1 / 8.64e19)
    form.words.add("flops")


@kind("loss", "unit")
def _losses_in_thousandths(form: Form) -> None:
    form.scale("loss", 1e-3)
    form.words.add("loss")


@kind("loss", "unit")
def _perplexity_unmarked(form: Form) -> None:
    form.apply("loss", lambda x: float(np.exp(min(x, 700.0))))
    form.words.add("loss")


@kind("loss", "unit")
def _accuracy_as_loss(form: Form) -> None:
    form.apply("loss", lambda x: round(1.2 - x / 5, 4))
    form.words.add("loss")


@kind("loss", "unit")
def _percents_as_loss(form: Form) -> None:
    form.apply("loss", lambda x: f"{100 * (1.2 - x / 5):.1f}%")
    form.words.add("loss")
    form.rows.add(form.cells.index[0])


@kind("loss", "unit")
def _constant_loss(form: Form) -> None:
    form.cells["loss"] = 3.0
    form.words.add("loss")


# ---------------------------------------------------------------- faults of lines and bytes


@kind("lines", "numbers", "layout", medium="csv", stage=3)
def _thousands_unquoted(form: Form) -> None:
    runs = form.pick(int(form.rng.choice([1, len(form.truth)])))
    name = form.count()
    form.rows |= set(runs)
    plain = {
        repr(int(form.cells.loc[run, name])) for run in runs if _whole(form.cells.loc[run, name])
    }
    form.lines.append(
        lambda lines: [
            ",".join(f"{int(c):,}" if c in plain else c for c in line.split(",")) for line in lines
        ]
    )


@kind("lines", "numbers", "layout", "unit", medium="csv", stage=3)
def _decimal_comma_unquoted(form: Form) -> None:
    runs = form.pick(int(form.rng.choice([1, len(form.truth)])))
    form.rows |= set(runs)
    place = [list(form.cells.index).index(run) + 1 for run in runs]

    def change(lines: list[str]) -> list[str]:
        header = [str(name).lower() for name in form.cells]
        loss = next(k for k, name in enumerate(header) if "loss" in name or name == "l")
        for row in place:
            cells = lines[row].split(",")
            cells[loss] = cells[loss].replace(".", ",")
            lines[row] = ",".join(cells)
        return lines

    form.lines.append(change)


def _whole(value: object) -> bool:
    return isinstance(value, float) and np.isfinite(value) and value == int(value)


def on_line(form: Form, change: Callable[[str], str], rows: int = 1) -> None:
    """Change the lines of some runs after they were written."""
    runs = form.pick(rows)
    form.rows |= set(runs)

    def changed(lines: list[str]) -> list[str]:
        first = len(lines) - len(form.cells)
        for run in runs:
            place = first + list(form.cells.index).index(run)
            lines[place] = change(lines[place])
        return lines

    form.lines.insert(0, changed)


@kind("lines", "quotes", medium="csv")
def _stray_quotes(form: Form) -> None:
    on_line(form, lambda line: '"' + line, rows=int(form.rng.integers(1, 3)))


@kind("lines", "quotes", medium="csv")
def _stray_quote_inside(form: Form) -> None:
    on_line(form, lambda line: line.replace("e", 'e"', 1), rows=2)


@kind("lines", medium="csv")
def _short_row(form: Form) -> None:
    """Leave out a cell in the middle, so that those after it move."""

    def change(line: str) -> str:
        cells = line.split(form.separator)
        del cells[1]
        return form.separator.join(cells)

    on_line(form, change)


@kind("lines", medium="csv")
def _long_row(form: Form) -> None:
    on_line(form, lambda line: line.replace(form.separator, 2 * form.separator, 1))


@kind("lines", medium="csv")
def _cut_off(form: Form) -> None:
    """End the last line in the middle."""
    form.rows.add(form.cells.index[-1])
    form.words.add("line")
    form.lines.append(lambda lines: [*lines[:-1], lines[-1].rsplit(form.separator, 2)[0]])


@kind("columns", medium="csv", stage=5)
def _duplicate_header(form: Form) -> None:
    name = str(form.rng.choice(["loss", "params", "tokens"]))
    if name not in form.cells:
        name = next(str(n) for n in form.cells if n not in ("run", ""))
    form.cells.insert(len(form.cells.columns), name, 1.0, allow_duplicates=True)
    form.words.add(name)


@kind("layout", "numbers", medium="json")
def _duplicate_json_key(form: Form) -> None:
    run = form.pick()[0]
    form.rows.add(run)
    form.words.add("loss")
    form.name = "runs.jsonl"

    def render(form: Form) -> str:
        lines = list(map(json.dumps, _records(form.cells)))
        place = list(form.cells.index).index(run)
        lines[place] = lines[place][:-1] + ', "loss": 2.2}'
        return "\n".join(lines)

    form.render = render


@kind("layout", medium="json")
def _json_record_without_a_key(form: Form) -> None:
    run = form.pick()[0]
    form.rows.add(run)
    form.name = "runs.jsonl"

    def render(form: Form) -> str:
        records = _records(form.cells)
        records[list(form.cells.index).index(run)].pop(str(form.cells.columns[-1]))
        return "\n".join(map(json.dumps, records))

    form.words.add(str(form.cells.columns[-1]))
    form.render = render


@kind("bytes", medium="file", stage=5)
def _truncated_gzip(form: Form) -> None:
    form.name += ".gz"
    form.words.add(form.name)
    form.bytes.append(lambda content: gzip.compress(content)[: -(len(content) // 9)])


@kind("bytes", medium="file", stage=5)
def _corrupt_gzip(form: Form) -> None:
    def change(content: bytes) -> bytes:
        packed = bytearray(gzip.compress(content))
        packed[len(packed) // 2] ^= 8
        return bytes(packed)

    form.name += ".gz"
    form.words.add(form.name)
    form.bytes.append(change)


@kind("bytes", "encoding", medium="csv")
def _garbage_bytes(form: Form) -> None:
    """Put bytes that are no text into a loss."""
    run = form.pick()[0]
    form.put(run, "loss", "3QQ2")
    form.words.add(form.name)
    garbage = [b"\xff\xfe", b"\x00", b"\xc3\x28", b"\xe2\x88\x92", b"\xa0"][form.rng.integers(5)]
    form.bytes.append(lambda content: content.replace(b"QQ", garbage))


@kind("bytes", "lines", "layout", "encoding", medium="csv", stage=5)
def _not_a_table(form: Form) -> None:
    contents = [b"", b"\n\n", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"]
    contents += [b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"]
    contents += [bytes(range(256)) * 4, b"run,params,tokens,loss\n", b"PK\x03\x04" + bytes(99)]
    content = contents[form.rng.integers(len(contents))]
    form.words |= {form.name, "no rows", "no column"}
    form.bytes.append(lambda _: content)


# ---------------------------------------------------------------- writing


def _csv_text(form: Form, quoting: Any = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=form.separator, quoting=quoting, lineterminator="\n")
    writer.writerow(form.cells.columns)
    writer.writerows([_text(x, form.decimal) for x in row] for row in form.cells.to_numpy(object))
    return out.getvalue()


def _text(value: object, point: str) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if _whole(value) and abs(value) < 1e16:  # type: ignore[operator, arg-type]
        return str(int(value))  # type: ignore[call-overload]
    return str(value).replace(".", point) if isinstance(value, float) else str(value)


def _records(cells: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _json_cell(x) for name, x in zip(cells.columns, row, strict=True)}
        for row in cells.to_numpy(object)
    ]


def _json_cell(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def write(form: Form, folder: Path) -> Any:
    """Write the form into a file, or make the table in memory; return what to read."""
    if form.memory is not None:
        return form.memory(form.cells.reset_index(drop=True).infer_objects())
    path = folder / form.name
    if form.name.endswith(".parquet"):
        form.cells.reset_index(drop=True).infer_objects().to_parquet(path)
        return path
    lines = (form.render or _csv_text)(form).split("\n")
    trailing = lines[-1:] if lines[-1] == "" else []
    lines = lines[: len(lines) - len(trailing)]
    for change in form.lines:
        lines = change(lines)
    content = "\n".join([*lines, *trailing]).encode(form.encoding)
    for change_bytes in form.bytes:
        content = change_bytes(content)
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------- the oracle


@dataclass(frozen=True)
class Verdict:
    """How one table was read."""

    outcome: str
    kinds: tuple[str, ...]
    text: str
    unasked: tuple[str, ...] = ()  # doubts of a table that reads right


type Reader = Callable[..., Any]


def judge(form: Form, source: Any, read: Reader = read_runs) -> Verdict:
    """Read, and compare with the truth; follow the options that a refusal proposes."""
    outcome, text, unasked = _read_once(form, source, read, form.options)
    harmless = all(KINDS[name].harmless for name in form.kinds)
    if outcome == "refused":
        ends = [_follow(form, source, read, {**form.options, **o}, 3) for o in _proposed(text)]
        if harmless:
            outcome = "option" if "right" in ends else "picky"
        elif ends and not {"right", "said", "refused", "vague"} & set(ends):
            outcome = "MISLED"
        elif not _clear(form, text):
            outcome = "vague"
    return Verdict(outcome, form.kinds, text, unasked)


def _follow(form: Form, source: Any, read: Reader, options: dict[str, Any], left: int) -> str:
    outcome, text, _ = _read_once(form, source, read, options)
    if outcome != "refused" or not left:
        return outcome
    for more in _proposed(text):
        merged = {**options, **more}
        for name in ("columns", "units"):
            merged[name] = {**options.get(name, {}), **more.get(name, {})}
        if merged != options and _follow(form, source, read, merged, left - 1) == "right":
            return "right"
    return outcome


def _read_once(
    form: Form, source: Any, read: Reader, options: dict[str, Any]
) -> tuple[str, str, tuple[str, ...]]:
    known = inspect.signature(read).parameters
    if not set(options) <= set(known):
        return "refused", f"no option {', '.join(set(options) - set(known))}", ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RunsWarning)
        try:
            runs = read(source, **options)
            for name in ("loss", *COUNTS):  # what a fit asks for
                runs.column(name)
        except BayescaleError as error:
            text = str(error)
            return ("refused" if "\n" not in text and len(text) < 900 else "vague"), text, ()
        except Exception as error:
            return "TRACEBACK", f"{type(error).__name__}: {error}".splitlines()[0][:200], ()
    return _compare(form, runs, options)


def _compare(form: Form, runs: Any, options: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    names = dict(enumerate(form.cells.index))
    table = runs.table.rename(index=lambda row: names.get(row, f"line {row + 2}"))
    kept = table.index.intersection(form.truth.index)
    wrong = set(table.index) - set(form.truth.index) | set(table.index[table.index.duplicated()])
    if not options.get("where"):
        wrong |= set(form.truth.index) - set(table.index)
    table = table[~table.index.duplicated()]
    for column, true in form.truth.items():
        read = pd.to_numeric(table.get(column, true * np.nan), errors="coerce").astype(float)
        wrong |= set(kept[~(np.abs(read[kept] / true[kept] - 1) <= WITHIN)])
    if form.unit not in getattr(runs, "unit", ""):
        wrong = set(form.cells.index)
    doubts = [str(notice) for notice in runs.notices]
    if not wrong:
        return "right", "; ".join(doubts), tuple(notice.name for notice in runs.notices)
    told = [*doubts, *runs.ledger]
    outcome = "said" if _said(form, told, wrong) else "SILENT"
    columns = [name for name in form.truth if name not in table]
    return outcome, f"{len(wrong)} off {columns or ''}: {'; '.join(told)}", ()


def _said(form: Form, told: list[str], wrong: set[str]) -> bool:
    """Say whether notices and ledger name every run that is off, or the column of all of them."""
    if any(_mentions(form, text) for text in told if not _BARE.search(text)):
        return True
    wanted, found, more = _places(form, wrong), set(), 0
    for text in told:
        rows, others = _numbers(text, "rows?")
        if len(rows) + others <= max(2 * len(wanted), len(form.cells) // 2):
            found, more = found | rows, max(more, others)
    return len(wanted - found) <= more and bool(found & wanted)


_BARE = re.compile("6ND$|rows read$| is the column | multiplied by |by (its|their) names?")
"""Lines of the ledger that name columns whatever is wrong."""


def _clear(form: Form, text: str) -> bool:
    """Say whether an error names one of the faults."""
    lines, _ = _numbers(text, "lines?")
    by_line = {line - 1 - skip for line in lines for skip in range(form.skipped + 1)}
    return bool(_places(form, form.rows) & (_numbers(text, "rows?")[0] | by_line)) or _mentions(
        form, text
    )


def _mentions(form: Form, text: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in form.words)


def _places(form: Form, runs: set[str]) -> set[int]:
    place = {run: row + 1 for row, run in enumerate(form.cells.index)}
    return {place.get(run, len(place) + 1) for run in runs}


def _numbers(text: str, word: str) -> tuple[set[int], int]:
    found: set[int] = set()
    more = 0
    for match in re.finditer(
        rf"(?i)\b{word} (\d+(?:(?:, | and |–|-)\d+)*)(?: and (\d+) more)?", text
    ):
        found |= set(map(int, re.findall(r"\d+", match[1])))
        more += int(match[2] or 0)
    return found, more


def _proposed(text: str) -> list[dict[str, Any]]:
    """Read the options that a text proposes, one set for each choice that it leaves."""
    found: dict[tuple[str, str], list[str]] = {}
    pattern = (
        r"--(column|unit|loss-unit|last-per|where)[ =]('[^']*'|\"[^\"]*\"|(?:[^\s'\"]|'[^']*')+)"
    )
    for name, value in re.findall(pattern, text):
        value = value.strip(",;.)").replace("'", "").replace('"', "")
        if "YOURS" in value or "BYTES" in value:
            continue
        ours, _, theirs = value.partition("=") if name in ("column", "unit") else ("", "", value)
        found.setdefault((name, ours), []).append(theirs)
    choices = itertools.islice(itertools.product(*found.values()), 6) if found else []
    return [_options(dict(zip(found, choice, strict=True))) for choice in choices]


def _options(values: dict[tuple[str, str], str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for (name, ours), value in values.items():
        if name == "column":
            options.setdefault("columns", {})[ours] = value
        elif name == "unit":
            options.setdefault("units", {})[ours] = float(value)
        elif name == "last-per":
            options["last_per"] = value.split(",")
        else:
            options[name.replace("-", "_")] = value
    return options


# ---------------------------------------------------------------- many tables


def together(first: Kind, second: Kind) -> bool:
    """Say whether two kinds can be had at once."""
    media = {first.medium, second.medium} - {"any"}
    if media == {"file", "csv"} or media == {"file", "json"}:
        media = {"file"}
    return first != second and not first.slots & second.slots and len(media) < 2


def mutated(seed: int, names: tuple[str, ...]) -> Form:
    """Make the form of a seed with these kinds of changes."""
    rng = np.random.default_rng([seed, *names[0].encode()])
    form = simulated(rng)
    form.kinds = names
    for chosen in sorted((KINDS[name] for name in names), key=lambda own: own.stage):
        chosen.change(form)
    return form


def plan(tables: int, seed: int, only: list[str]) -> list[tuple[int, tuple[str, ...]]]:
    """Choose seeds and kinds: every kind alone in turn, and every second time with another."""
    rng = np.random.default_rng(seed)
    firsts = itertools.cycle(only or KINDS)
    chosen: list[tuple[int, tuple[str, ...]]] = []
    for number, first in zip(range(tables), firsts, strict=False):
        others = [own.name for own in KINDS.values() if together(KINDS[first], own)]
        pair = [str(rng.choice(others))] if others and rng.random() < 0.5 else []
        chosen.append((seed * 1_000_003 + number, (first, *pair)))
    return chosen


@kind("layout", harmless=True)
def _plain(form: Form) -> None:
    """Nothing: the table as it is."""


def run(
    tables: int, seed: int = 0, only: list[str] | None = None, read: Reader = read_runs
) -> list[Verdict]:
    """Judge as many mutated tables; what fails by one of two changes alone is said of that one."""
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for own, names in plan(tables, seed, only or []):
            verdict = judged(own, names, folder, read)
            if verdict.outcome in ("option", *FAILURES) and len(names) > 1:
                alone = [judged(own, (name,), folder, read) for name in names]
                verdict = next((v for v in alone if v.outcome in ("option", *FAILURES)), verdict)
            verdicts.append(verdict)
    return verdicts


def judged(
    seed: int, names: tuple[str, ...], folder: str | Path, read: Reader = read_runs
) -> Verdict:
    """Judge one mutated table."""
    form = mutated(seed, names)
    return judge(form, write(form, Path(folder)), read)


def main() -> None:
    """Print outcomes by kind, and what failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], choices=list(KINDS), metavar="KIND")
    parser.add_argument("--show", nargs="*", default=[], choices=OUTCOMES, metavar="OUTCOME")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    verdicts = run(options.tables, options.seed, options.only)
    counts = Counter((name, v.outcome) for v in verdicts for name in v.kinds[:1])
    print(f"{'kind':32}" + "".join(f"{name:>10}" for name in OUTCOMES))
    for name in KINDS:
        numbers = [counts[name, outcome] for outcome in OUTCOMES]
        if sum(numbers):
            sign = "" if KINDS[name].harmless else "*"
            print(f"{name + sign:32}" + "".join(f"{n or '':>10}" for n in numbers))
    total = Counter(v.outcome for v in verdicts)
    print(f"{'all':32}" + "".join(f"{total[name]:>10}" for name in OUTCOMES))
    unasked = Counter(
        name for v in verdicts for name in v.unasked if all(KINDS[k].harmless for k in v.kinds)
    )
    print("doubts of harmless tables that read right:", dict(unasked))
    for verdict in verdicts:
        if verdict.outcome in options.show:
            print(f"\n{verdict.outcome} {' + '.join(verdict.kinds)}: {verdict.text[:600]}")
    if options.json:
        with options.json.open("w") as file:
            for verdict in verdicts:
                file.write(json.dumps(vars(verdict)) + "\n")


if __name__ == "__main__":
    main()
