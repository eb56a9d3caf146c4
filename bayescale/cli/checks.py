"""The command that checks runs and fits."""

from pathlib import Path
from typing import Annotated

import typer

from bayescale.cli.options import (
    AS_IT_IS,
    Draws,
    Group,
    Json,
    Model,
    Reading,
    Seed,
    Tune,
)
from bayescale.cli.reading import fit_of, runs_of, spec_of
from bayescale.cli.sampling import sample
from bayescale.errors import FitError
from bayescale.progress import step
from bayescale.runs.check import Status, worst

FAILED = 3


def check(
    context: typer.Context,
    runs_or_fit: Annotated[
        Path, typer.Argument(metavar="RUNS_OR_FIT", help="A table of runs, or a fit.nc.")
    ],
    model: Model = "joint",
    reading: Reading = AS_IT_IS,
    group: Group = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Check runs and the law fitted to them, or a fit.

    Exits with 3 when a check fails, 1 when the fit did not converge, 2 on an error, else with 0.
    """
    if runs_or_fit.suffix == ".nc":
        _refuse_reading(context)
        with step("reading"):
            fitted = fit_of(runs_or_fit)
            from bayescale.evaluation.checks.suite import check_fit

        found = check_fit(fitted, seed=seed)
    else:
        spec = spec_of(model, group)
        with step("reading"):
            table = runs_of(runs_or_fit, reading, spec)
        from bayescale.evaluation.checks.suite import check_fit, check_runs
        from bayescale.modelling.pooling import group_names

        group_names(spec, table)
        found = check_runs(table, spec)
        if not any(one.name == "design" and one.status is Status.FAIL for one in found):
            fitted = sample(table, spec, seed, draws=draws, tune=tune)
            found = check_fit(fitted, seed=seed)
    from bayescale.evaluation.checks.suite import answer_checks

    answer = answer_checks(found)
    typer.echo(answer.to_json() if as_json else answer)
    if answer.numbers["problems"]:
        raise typer.Exit(1)
    raise typer.Exit(FAILED if worst(found) is Status.FAIL else 0)


_OF_A_FIT = ("context", "runs_or_fit", "seed", "as_json", "verbose")


def _refuse_reading(context: typer.Context) -> None:
    """Refuse options that say how to read or fit a table: a fit is as it was made."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        given = source is not None and source.name == "COMMANDLINE"
        if given and option.name not in _OF_A_FIT:
            raise FitError(
                f"{option.opts[0]} says how to read or fit a table, and this is a fit already: "
                "leave it out, or give the table of runs"
            )
