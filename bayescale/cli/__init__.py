"""The command line. It reads options, calls the library and prints; it computes nothing.

One file for each family of commands. Exit codes: 0 fine, 1 the fit did not converge, 2 something
the user can mend, 3 a check failed, 130 it was stopped.
"""

import os
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, TextIO

import typer

from bayescale.cli import (
    backtests,
    basin,
    batch,
    checks,
    comparison,
    critical_batch,
    curves,
    experts,
    mix,
    plan,
    precision,
    quality,
    recipes,
    reports,
    schemas,
    shipped,
    targets,
    transfer,
    tune,
)
from bayescale.cli.options import Plain, expanded
from bayescale.errors import BayescaleError, RunsWarning

app: typer.Typer = typer.Typer(
    help="Bayesian neural scaling laws: from a table of training runs to a posterior report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

COMMANDS: dict[str, dict[Callable[..., None], str]] = {
    "From runs to a report": {
        reports.demo: "bayescale demo",
        reports.report: "bayescale report runs.csv --column params=N --flops 1e23,1e24",
        reports.fit: "bayescale fit runs.csv --model chinchilla --out fit.nc",
        batch.batch: "bayescale batch fits.toml --out made",
    },
    "What to believe": {
        checks.check: "bayescale check fit.nc",
        backtests.backtest: "bayescale backtest runs.csv --cut 1e20,1e21",
        comparison.compare: "bayescale compare runs.csv --models chinchilla,kaplan",
    },
    "What to do": {
        reports.optima: "bayescale optima fit.nc --flops 1e23,1e24",
        tune.tune: "bayescale tune sweep.csv --knobs learning_rate --params 7e9 --tokens 1e12",
        precision.precision: "bayescale precision t.csv --joint fit.nc --memory 40GB --tokens 2T",
        quality.quality: "bayescale quality fit.nc --corpus web=1e12:1 --params 7B --tokens 3T",
        basin.basin: "bayescale basin runs.csv --knob aspect_ratio --params 400M --within 1%",
        recipes.recipes: "bayescale recipes runs.csv --by optimizer --baseline adamw --params 7e9",
        targets.targets: "bayescale targets fit.nc --params 7e9 --tokens 1e12,2e12 --reach 0.7",
        transfer.transfer: "bayescale transfer sweep.csv --axis width --by optimizer --to 4096",
        mix.mix: "bayescale mix runs.csv --targets 'loss_*' --params 7e9 --tokens 2e12",
        experts.experts: "bayescale experts runs.csv --memory 40e9 --flops 1e22",
        critical_batch.critical_batch: "bayescale critical-batch steps.csv --params 7e9",
    },
    "Single-axis curves": {
        curves.curves: "bayescale curves curves.csv --x tokens --by model --at 2x",
        curves.forecast: "bayescale forecast curves.csv --x tokens --by model --at 1e12",
    },
    "What is shipped": {
        shipped.datasets: "bayescale datasets chinchilla",
        schemas.schema: "bayescale schema report",
    },
}
"""Commands by what they are for, each with an example."""

INTERRUPTED = 130
"""Exit code of what was stopped from the keyboard, as shells have it."""

LONG: set[Callable[..., None]] = {
    *(reports.demo, reports.report, reports.fit, batch.batch, checks.check),
    *(backtests.backtest, comparison.compare, curves.curves, curves.forecast),
    *(tune.tune, basin.basin, critical_batch.critical_batch, recipes.recipes, transfer.transfer),
    *(experts.experts, precision.precision, mix.mix),
}

for _panel, _commands in COMMANDS.items():
    for _command, _example in _commands.items():
        app.command(cls=Plain, rich_help_panel=_panel, epilog=f"Example: {_example}")(
            expanded(_command, long=_command in LONG)
        )

QUESTIONS = {
    "overtraining": "bayescale plan FIT overtraining --flops 1e24 --inference-tokens 1e13",
    "repetition": "bayescale plan FIT repetition --unique-tokens 1e10 --flops 1e22",
    "plans": "bayescale plan FIT plans PLANS.csv --per-hour 2",
    "next-runs": "bayescale plan FIT next-runs --flops 1e24 --max-flops 1e22",
    "multiplier": "bayescale plan FIT multiplier --group a --reference b",
    "best": "bayescale plan FIT best --over learning_rate --at params=1e9,tokens=2e10",
}
"""An example of each question."""

for _question in plan.plan_app.registered_commands:
    _name = _question.name or getattr(_question.callback, "__name__", "")
    _question.cls = Plain
    _question.epilog = f"Example: {QUESTIONS[_name]}" if _name in QUESTIONS else None
app.add_typer(plan.plan_app, name="plan", rich_help_panel="What to do")
app.add_typer(shipped.models_app, name="models", rich_help_panel="What is shipped")


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Bayesian neural scaling laws: from a table of training runs to a posterior report."""
    if show_version:
        typer.echo(f"bayescale {version('bayescale')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; refusals become one line on stderr and exit code 2.

    What is doubtful is said after the answer, in one line each, once.
    """
    doubts: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.showwarning = _kept_in(doubts)
        warnings.simplefilter("always", RunsWarning)
        try:
            code = _run()
            try:
                sys.stdout.flush()
            except OSError as error:  # a full disk
                code = _without_stdout(error)
        finally:
            for doubt in doubts:
                typer.echo(f"warning: {doubt}", err=True)
    sys.exit(code)


def _run() -> int:
    """Run a command and say what it refuses; return the exit code."""
    try:
        return app(standalone_mode=False) or 0
    except BayescaleError as error:
        typer.echo(f"error: {error}", err=True)
        return 2
    except typer.TyperException as error:
        _say_misused(error)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        return _without_stdout(error)


def _without_stdout(error: OSError) -> int:
    """Say that the system refused; write no more to standard output, which may be what is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if isinstance(error, BrokenPipeError):  # whoever reads it has seen enough
        return 0
    typer.echo(f"error: {error}; free what is full or protected, or write elsewhere", err=True)
    return 2


def _say_misused(error: typer.TyperException) -> None:
    """Say in one line what the command line cannot be read as; nothing where help was shown."""
    said = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if said and context:
        said += f"; see {context.command_path} --help"
    if said:
        typer.echo(f"error: {said}", err=True)


def _kept_in(doubts: dict[str, None]) -> Callable[..., None]:
    """Keep what is doubtful, each once and in order; the warnings of libraries keep quiet."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, RunsWarning):
            doubts[str(message)] = None

    return show
