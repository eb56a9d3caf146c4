"""Options that several commands share, spelled once."""

import inspect
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand

from bayescale.errors import BayescaleError
from bayescale.laws import LOSS
from bayescale.progress import showing


def each(entries: list[str]) -> list[str]:
    """Take entries by comma as well as by repetition.

    Parameters
    ----------
    entries : list of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> each(["1e12,1e13", "1e14"])
    ['1e12', '1e13', '1e14']
    """
    return [part for entry in entries for part in entry.split(",")]


def names(entries: list[str]) -> list[str]:
    """Take names by comma, or by repetition, where they may have commas themselves.

    Parameters
    ----------
    entries : list of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> names(["family,budget"]), names(["loss, mean", "budget"])
    (['family', 'budget'], ['loss, mean', 'budget'])
    """
    return each(entries) if len(entries) == 1 else entries


def pairs(entries: list[str]) -> list[str]:
    """Take entries NAME=VALUE by comma as well as by repetition; the values may have commas.

    Parameters
    ----------
    entries : list of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> pairs(["params=N,loss=loss, mean", "tokens=D"])
    ['params=N', 'loss=loss, mean', 'tokens=D']
    """
    return [part for entry in entries for part in re.split(r",(?=[^,=]+=)", entry)]


def _picture(path: Path | None) -> Path | None:
    """Refuse what no picture is written as, before the long work."""
    if path is not None and path.suffix.lower() not in ("", ".png", ".pdf", ".svg"):
        raise BayescaleError(f"--plot {path}: end it with .png, .pdf or .svg")
    return path


RunsFile = Annotated[
    Path,
    typer.Argument(metavar="RUNS", help="CSV or other text, JSON, or Parquet table."),
]
FitFile = Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc written by fit or report.")]
Model = Annotated[str, typer.Option(metavar="NAME", help="A shipped model, or a TOML file.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Keep rows that meet a query. May be repeated.", metavar="EXPR"),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Our column to yours: params=N,loss=val_loss.",
        metavar="OURS=YOURS",
    ),
    pairs,
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        help="Size of one unit: params=1e9,tokens=1e9.",
        metavar="COLUMN=NUMBER",
    ),
    pairs,
]
LossUnit = Annotated[
    str | None,
    typer.Option(
        help="Of losses: nats, bits, bpb, bpb:BYTES or ppl.",
        metavar="UNIT",
    ),
]
ParamsAre = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        show_default=False,
        help="What N counts; non-embedding:total converts it.",
    ),
]
Flops = Annotated[
    list[float] | None,
    typer.Option("--flops", help="Budgets to answer for: 1e23,1e24."),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Sizes to answer for, or of an input: experts=8.",
        metavar="[INPUT=]VALUE",
    ),
    each,
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Value of a further input: experts=8.",
        metavar="INPUT=VALUE",
    ),
    each,
]
Levels = Annotated[
    list[str] | None,
    typer.Option(help="Accuracies: 0.7, or hellaswag=0.7,suite=0.6.", metavar="[TASK=]SHARE"),
    pairs,
]
PlannedParams = Annotated[
    list[float] | None, typer.Option("--params", help="Parameters of planned runs: 7B,13B.")
]
PlannedTokens = Annotated[
    list[float] | None, typer.Option("--tokens", help="Their tokens; one number for all.")
]
Draws = Annotated[int, typer.Option(min=1, metavar="N", help="Draws kept of each chain.")]
Tune = Annotated[int, typer.Option(min=1, metavar="N", help="Draws that tune each chain.")]
BestPer = Annotated[
    list[str] | None,
    typer.Option(help="Keep the best run for each: params,tokens.", metavar="COLUMN"),
    names,
]
Sweep = Annotated[
    list[str] | None,
    typer.Option(
        help="Swept settings: fit the floors of cells: lr.",
        metavar="KNOB",
    ),
    names,
]
LastPer = Annotated[
    list[str] | None,
    typer.Option(help="Keep the last row of runs that these name: run.", metavar="COLUMN"),
    names,
]
ThinPer = Annotated[
    list[str] | None,
    typer.Option(
        help="Thin the checkpoints of each run that these name: run; or none.",
        metavar="COLUMN",
        show_default=False,
        hidden=True,  # the ledger names it where it thins, and help has to fit on a screen
    ),
    names,
]
Only = Annotated[
    list[str] | None,
    # Of large tables: refusals name it, and help has to fit on a screen.
    typer.Option(help="Columns to read: run,params,tokens,loss.", metavar="COLUMN", hidden=True),
    names,
]
MidSchedule = Annotated[
    str,
    typer.Option(
        help="Unfinished runs: exclude, keep, or a weight.",
        metavar="HOW",
        show_default=False,
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        help="Tasks to keep, or their columns: piqa,boolq=bq_acc.",
        metavar="TASK[=COLUMN]",
    ),
    each,
]
Chance = Annotated[
    list[str] | None,
    typer.Option(
        help="What guessing gets right: 0.25, or piqa=0.5.",
        metavar="[TASK=]LEVEL",
    ),
    pairs,
]
Trials = Annotated[
    list[str] | None,
    typer.Option(
        help="How many items a task has: piqa=1838.",
        metavar="[TASK=]NUMBER",
    ),
    pairs,
]
Last = Annotated[
    int,
    typer.Option(
        min=1, metavar="K", show_default=False, help="Take the mean of the last K evaluations."
    ),
]
Join = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Table of the runs, by name, of what accuracies lack."),
]
HoldOut = Annotated[
    str | None,
    typer.Option(help="Predict these rows in place of fitting them.", metavar="EXPR"),
]
Group = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Groups of a hierarchical model."),
]
SameValidation = Annotated[
    bool,
    typer.Option(
        "--same-validation",
        help="All groups were scored on one validation set.",
    ),
]
Approaches = Annotated[
    bool,
    typer.Option("--approaches", help="Also set the three approaches side by side."),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Same seed: same draws.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also draw it: PNG, PDF or SVG.", callback=_picture),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say on stderr which step runs.")]
AllowUnconverged = Annotated[
    bool,
    typer.Option("--allow-unconverged", help="Exit with 0 if the fit did not converge."),
]
Backtested = Annotated[
    bool | None,
    typer.Option(
        "--backtest/--no-backtest",
        help="Also predict the larger runs from the smaller ones.",
    ),
]
By = Annotated[
    list[str] | None,
    typer.Option(help="What names the curve of a row: model,task.", metavar="COLUMN"),
    names,
]


CurvesFile = Annotated[
    Path,
    typer.Argument(metavar="CURVES", help="CSV or other text of columns, JSON, or Parquet table."),
]
Places = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Where to forecast, by comma: 1e12, 2T, or 2x, a multiple of each curve's largest x.",
        metavar="X",
    ),
    each,
]
SomePlaces = Annotated[list[str], *get_args(Places)[1:]]


@dataclass(frozen=True)
class Curves:
    """What a table of curves holds, and how they are fitted.

    Parameters
    ----------
    x, y : str
        Columns of the axis and of the metric.
    by : list of str, optional
        Columns that name the curve of a row.
    stderr, trials : str, optional
        Columns.
    higher_is_better : bool
        Of all curves.
    higher_is_better_column : str, optional
        Of each.
    chance : str, optional
        Level of guessing, or the column that says it.
    quantity : bool
        Of which neither more nor less is better.
    cluster : list of str, optional
        Columns that group curves.
    model : str, optional
        Name or file.
    alone : bool
        Whether nothing is learned across curves.
    where : list of str, optional
        Conditions that all must hold.
    """

    x: Annotated[str, typer.Option(metavar="COLUMN", help="Axis: tokens, params, flops, ...")]
    y: Annotated[str, typer.Option(metavar="COLUMN", help="Metric.")] = LOSS.column
    by: By = None
    stderr: Annotated[str | None, typer.Option(metavar="COLUMN", help="Standard errors of y.")] = (
        None
    )
    trials: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Binary trials behind y.")
    ] = None
    higher_is_better: Annotated[
        bool,
        typer.Option(
            "--higher-is-better/--lower-is-better", help="Accuracy-like or loss-like metric."
        ),
    ] = False
    higher_is_better_column: Annotated[
        str | None,
        typer.Option(
            "--higher-is-better-column",
            metavar="COLUMN",
            help="Says it of each curve: true or false.",
        ),
    ] = None
    chance: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Of guessing, e.g. 0.25, or the column that says it."),
    ] = None
    quantity: Annotated[
        bool, typer.Option("--quantity", help="y is no loss and may rise: a batch size, N*, ...")
    ] = False
    cluster: Annotated[
        list[str] | None,
        typer.Option(help="What names curves that are alike: task.", metavar="COLUMN"),
        names,
    ] = None
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another model of one axis, or a TOML file.")
    ] = None
    alone: Annotated[
        bool, typer.Option("--alone", help="Fit each by itself, learn nothing across curves.")
    ] = False
    where: Where = None

    @property
    def direction(self) -> bool | str:
        """Whether higher is better, or the column that says it of each curve.

        Raises
        ------
        BayescaleError
            If both are given.
        """
        if self.higher_is_better_column is not None and self.higher_is_better:
            raise BayescaleError(
                "--higher-is-better is of all curves, --higher-is-better-column of each: give one"
            )
        return self.higher_is_better_column or self.higher_is_better

    @property
    def level(self) -> float | str | None:
        """Level of chance, or the column that says it."""
        try:
            return None if self.chance is None else float(self.chance)
        except ValueError:
            return self.chance


@dataclass(frozen=True)
class Reading:
    """How to read a table of runs.

    Parameters
    ----------
    where : list of str, optional
        Conditions that all must hold.
    column : list of str, optional
        Entries OURS=YOURS.
    unit : list of str, optional
        Entries COLUMN=NUMBER.
    loss_unit : str, optional
        What losses are in.
    mid_schedule : str
        "exclude", "keep", or a weight.
    best_per, last_per, thin_per, only : list of str, optional
        Columns.
    params_are : str
        What N counts.
    sweep : list of str, optional
        Columns of settings that were swept.
    tasks, chance, trials : list of str, optional
        Of accuracies: entries TASK or TASK=VALUE.
    last : int
        Evaluations of a run that count.
    join : Path, optional
        Table of the runs of accuracies.
    """

    where: Where = None
    column: Columns = None
    unit: Units = None
    loss_unit: LossUnit = None
    mid_schedule: MidSchedule = "exclude"
    best_per: BestPer = None
    last_per: LastPer = None
    thin_per: ThinPer = None
    only: Only = None
    params_are: ParamsAre = "not stated"
    sweep: Sweep = None
    tasks: Tasks = None
    chance: Chance = None
    trials: Trials = None
    last: Last = 1
    join: Join = None

    @property
    def of_tasks(self) -> dict[str, Any]:
        """Options that only tables of accuracies have, of those given."""
        own = {name: getattr(self, name) for name in ("tasks", "chance", "trials", "join")}
        given = {name: value for name, value in own.items() if value}
        return given | ({"last": self.last} if self.last != 1 else {})


@dataclass(frozen=True)
class Losses:
    """How to read a table of losses: the options of `Reading` that are of no tasks.

    Parameters
    ----------
    where, column, unit, last_per : list of str, optional
    loss_unit : str, optional
    mid_schedule, params_are : str
        As of `Reading`.
    """

    where: Where = None
    column: Columns = None
    unit: Units = None
    loss_unit: LossUnit = None
    mid_schedule: MidSchedule = "exclude"
    last_per: LastPer = None
    params_are: ParamsAre = "not stated"


@dataclass(frozen=True)
class Money:
    """What hardware costs; without a price per hour answers are in FLOPs.

    Parameters
    ----------
    per_hour : float, optional
        Price of an accelerator.
    peak : float, optional
        FLOP/s of it.
    training_utilisation, serving_utilisation : float, optional
        Shares of the peak.
    serving_per_hour, serving_peak : float, optional
        Of an accelerator that serves, if it is another one.
    """

    per_hour: Annotated[
        float | None,
        typer.Option("--per-hour", help="Price of one accelerator for an hour: answer in money."),
    ] = None
    peak: Annotated[
        float | None, typer.Option("--peak", help="Its peak, FLOP/s; by default an H100's, 989e12.")
    ] = None
    training_utilisation: Annotated[
        float | None,
        typer.Option(
            "--training-utilisation", help="Share of the peak used in training; else 0.4."
        ),
    ] = None
    serving_utilisation: Annotated[
        float | None,
        typer.Option("--serving-utilisation", help="Share of the peak used in serving; else 0.1."),
    ] = None
    serving_per_hour: Annotated[
        float | None,
        typer.Option(
            "--serving-per-hour", help="Price of an accelerator that serves, if another one."
        ),
    ] = None
    serving_peak: Annotated[
        float | None, typer.Option("--serving-peak", help="Its peak, FLOP/s.")
    ] = None


class Plain(TyperCommand):
    """A command whose help is text without boxes, which leave no room for it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, as wide as the terminal."""
        self.rich_markup_mode = None
        formatter.width = max(80, min(shutil.get_terminal_size().columns, 100)) - 2
        formatter.write_dl = partial(formatter.write_dl, col_max=22)
        super().format_help(ctx, formatter)


@dataclass(frozen=True)
class Span:
    """Tokens per parameter that an answer may have.

    Parameters
    ----------
    min_ratio, max_ratio : float, optional
        By default those of the runs.
    """

    min_ratio: Annotated[
        float | None,
        typer.Option("--min-ratio", help="Fewest tokens per parameter; by default of the runs."),
    ] = None
    max_ratio: Annotated[
        float | None,
        typer.Option("--max-ratio", help="Most tokens per parameter; by default of the runs."),
    ] = None


AS_IT_IS, AS_THEY_ARE, NO_PRICE, OF_THE_RUNS = Reading(), Losses(), Money(), Span()
"""Defaults of these groups."""


def expanded(command: Callable[..., None], *, long: bool = False) -> Callable[..., None]:
    """Spell out the options of a command that come in groups, and read numbers such as 7B.

    A parameter whose type is a dataclass of this module stands for the fields of it: the command
    line has an option for each, and the command gets them in one object. Lists of numbers, and
    those marked with `each`, `names` or `pairs`, may be written by comma or by repetition. Numbers
    are written as in tables, 7B.

    Parameters
    ----------
    command : callable
    long : bool
        Whether it works long: then it shows what it does, and has ``--verbose``, which it gets if
        it has a parameter of that name.

    Returns
    -------
    callable
        For typer.
    """
    own = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in own.parameters.items()
        if is_dataclass(parameter.annotation)
    }
    spelled: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        inner = inspect.signature(groups[name], eval_str=True) if name in groups else None
        spelled += inner.parameters.values() if inner else [parameter]
    readers = {p.name: read for p in spelled if (read := _reader_of(p))}
    asks = "verbose" in own.parameters
    if long and not asks:
        verbose = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False)
        spelled.append(verbose.replace(annotation=Verbose))

    @wraps(command)
    def call(**given: Any) -> None:
        given |= {
            name: read(given[name])
            for name, read in readers.items()
            if given[name] not in (None, [])
        }
        verbose = given["verbose"] if asks else given.pop("verbose", False)
        with showing(verbose=verbose) if long else nullcontext():
            objects = {
                name: group(**{field.name: given.pop(field.name) for field in fields(group)})
                for name, group in groups.items()
            }
            command(**given, **objects)

    keyword = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=_as_text(p.annotation))
        for p in spelled
    ]
    call.__signature__ = own.replace(parameters=keyword)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in keyword}
    return call


_AS_TEXT = {
    float: str,
    float | None: str | None,
    list[float]: list[str],
    list[float] | None: list[str] | None,
}
"""How typer takes what `expanded` reads as numbers."""


def _of_numbers(annotation: Any) -> Any:
    """Find the type of an option of numbers; None of other options."""
    taken = next(iter(get_args(annotation)), None)
    return taken if taken in _AS_TEXT else None


def _reader_of(parameter: inspect.Parameter) -> Callable[[Any], Any] | None:
    """Find what reads an option; None for what is taken as it is."""
    if taken := _of_numbers(parameter.annotation):
        read = number_from if taken in (float, float | None) else _numbers
        return partial(read, option="--" + parameter.name.replace("_", "-"))
    return next((o for o in get_args(parameter.annotation) if o in (each, names, pairs)), None)


def _numbers(entries: list[str], option: str) -> list[float]:
    return [number_from(text, option) for text in each(entries)]


def number_from(text: str, option: str) -> float:
    """Read a number as tables may have it, such as 7B.

    Parameters
    ----------
    text : str
    option : str
        Its name, for errors.

    Returns
    -------
    float

    Raises
    ------
    BayescaleError
        If it is none.
    """
    try:
        return float(text)
    except ValueError:
        import pandas as pd  # late: most calls need it not so soon

        from bayescale.runs.numbers import parse

        value = float(parse(pd.Series([text]), counts=True).iloc[0])
        if value == value:  # no NaN
            return value
        raise BayescaleError(
            f"{option}: {text!r} is not a number; write one as 1e22 or 7B"
        ) from None


def _as_text(annotation: Any) -> Any:
    """Let typer take numbers as text, for `expanded` to read."""
    if (taken := _of_numbers(annotation)) is None:
        return annotation
    option = copy(get_args(annotation)[1])
    option.metavar = option.metavar or "NUMBER"
    return Annotated[_AS_TEXT[taken], option]
