"""Options that several commands share, spelled once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from bayescale.errors import BayescaleError


def _picture(path: Path | None) -> Path | None:
    """Refuse what no picture is written as, before the long work."""
    if path is not None and path.suffix.lower() not in ("", ".png", ".pdf", ".svg"):
        raise BayescaleError(f"--plot {path}: end it with .png, .pdf or .svg")
    return path


RunsFile = Annotated[Path, typer.Argument(metavar="RUNS", help="CSV, JSON lines or Parquet table.")]
FitFile = Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc written by fit or report.")]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or a TOML file.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Keep rows that meet a pandas query. May be repeated.", metavar="EXPR"),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Our column to yours, e.g. params=N. May be repeated.",
        metavar="OURS=YOURS",
    ),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        help="Size of one unit, e.g. params=1e9. May be repeated.",
        metavar="COLUMN=NUMBER",
    ),
]
ParamsAre = Annotated[str, typer.Option(help="What N counts: total, non-embedding, ...")]
Flops = Annotated[
    list[float] | None,
    typer.Option("--flops", help="Training budget to answer for. May be repeated."),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Size of the runs to answer for, or the value of an input: experts=8. May be "
        "repeated.",
        metavar="VALUE|INPUT=VALUE",
    ),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Value of an input that no other option names: experts=8. May be repeated.",
        metavar="INPUT=VALUE",
    ),
]
Draws = Annotated[int, typer.Option(min=1, help="Draws kept of each of the 4 chains.")]
Tune = Annotated[int, typer.Option(min=1, help="Draws of each chain that only tune the sampler.")]
BestPer = Annotated[
    str | None,
    typer.Option(
        help="Keep the best run for each of these, e.g. params,tokens.", metavar="COLUMNS"
    ),
]
MidSchedule = Annotated[
    str,
    typer.Option(
        help="What to do with unfinished runs: leave them out, keep them, or their weight.",
        metavar="exclude|keep|WEIGHT",
    ),
]
HoldOut = Annotated[
    str | None,
    typer.Option(help="Do not fit these rows, predict them: a pandas query.", metavar="EXPR"),
]
Group = Annotated[
    str | None,
    typer.Option(help="Column whose values are the groups of a hierarchical model."),
]
SameValidation = Annotated[
    bool,
    typer.Option(
        "--same-validation",
        help="All groups were scored on one validation set: compare their compute.",
    ),
]
Approaches = Annotated[
    bool,
    typer.Option(
        "--approaches", help="Also fit isoFLOP profiles and set the three approaches side by side."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same machine: same draws.")]
Plot = Annotated[
    Path | None,
    typer.Option(help="Also draw it: a PNG, PDF or SVG file.", callback=_picture),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AllowUnconverged = Annotated[
    bool,
    typer.Option("--allow-unconverged", help="Exit with 0 even when the fit did not converge."),
]
Backtested = Annotated[
    bool | None,
    typer.Option(
        "--backtest/--no-backtest",
        help="Also fit the smaller runs and predict the larger ones; by default where the law "
        "may bend.",
    ),
]
CurvesFile = Annotated[
    Path, typer.Argument(metavar="CURVES", help="CSV, JSON lines or Parquet table.")
]
Axis = Annotated[str, typer.Option(help="Column of the axis: tokens, params, flops, ...")]
Metric = Annotated[str, typer.Option(help="Column of the metric.")]
By = Annotated[
    list[str] | None, typer.Option(help="Column that names the curve of a row. May be repeated.")
]
StandardErrors = Annotated[str | None, typer.Option(help="Column of standard errors of y.")]
Trials = Annotated[str | None, typer.Option(help="Column of the number of binary trials behind y.")]
HigherIsBetter = Annotated[
    bool,
    typer.Option("--higher-is-better/--lower-is-better", help="Accuracy-like or loss-like metric."),
]


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
    mid_schedule : str
        "exclude", "keep", or a weight.
    best_per : str, optional
        Columns, by comma.
    params_are : str
        What N counts.
    """

    where: Where = None
    column: Columns = None
    unit: Units = None
    mid_schedule: MidSchedule = "exclude"
    best_per: BestPer = None
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


AS_IT_IS, NO_PRICE = Reading(), Money()
"""Defaults of these groups."""


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Spell out the options of a command that come in groups.

    A parameter whose type is a dataclass of this module stands for the fields of it: the command
    line has an option for each, and the command gets them in one object.

    Parameters
    ----------
    command : callable

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
    if not groups:
        return command
    spelled: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        inner = inspect.signature(groups[name], eval_str=True) if name in groups else None
        spelled += inner.parameters.values() if inner else [parameter]

    @wraps(command)
    def call(**given: Any) -> None:
        objects = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **objects)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in spelled]
    call.__signature__ = own.replace(parameters=keyword)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in spelled}
    return call
