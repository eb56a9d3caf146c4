"""The command line. It reads options, calls the library and prints; it computes nothing.

One file for each family of commands. Exit codes: 0 fine, 1 the fit did not converge, 2 something
the user can mend, 3 a check failed.
"""

import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, TextIO

import typer

from bayescale.cli import (
    backtests,
    checks,
    comparison,
    curves,
    forecasts,
    plan,
    reports,
    shipped,
)
from bayescale.cli.options import expanded
from bayescale.errors import BayescaleError, RunsWarning

app = typer.Typer(
    help="Bayesian neural scaling laws: from a table of training runs to a posterior report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(expanded(reports.demo, long=True))
app.command()(expanded(reports.report, long=True))
app.command()(expanded(reports.fit, long=True))
app.command()(expanded(reports.optima))
app.command()(expanded(curves.curves, long=True))
app.command()(expanded(forecasts.forecast, long=True))
app.command()(expanded(checks.check, long=True))
app.command()(expanded(comparison.compare, long=True))
app.command()(expanded(backtests.backtest, long=True))
app.command()(expanded(shipped.datasets))
app.add_typer(plan.plan_app, name="plan")
app.add_typer(shipped.models_app, name="models")


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Bayesian neural scaling laws: from a table of training runs to a posterior report."""
    if show_version:
        typer.echo(f"bayescale {version('bayescale')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; refusals become one line on stderr and exit code 2."""
    with warnings.catch_warnings():
        warnings.showwarning = _once_each()
        warnings.simplefilter("always", RunsWarning)
        try:
            app()
        except BayescaleError as error:
            typer.echo(f"error: {error}", err=True)
            sys.exit(2)


def _once_each() -> Callable[..., None]:
    """Print what is doubtful in one line each, once; the warnings of libraries keep quiet."""
    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, RunsWarning) and str(message) not in said:
            said.add(str(message))
            typer.echo(f"warning: {message}", err=True)

    return show
