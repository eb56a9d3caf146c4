"""The command that says the critical batch size."""

from pathlib import Path
from typing import Annotated

import typer

from bayescale.cli.options import AllowUnconverged, Columns, Draws, Json, Seed, Tune, Where
from bayescale.cli.reading import all_of, fit_of, pairs_of, require_fit
from bayescale.cli.sampling import print_answer, sample
from bayescale.errors import RunsError
from bayescale.files import make_folder
from bayescale.progress import step
from bayescale.runs.reading import kind_of


def critical_batch(
    table: Annotated[
        Path,
        typer.Argument(metavar="STEPS", help="Table: batch size, steps to the target, curve."),
    ],
    overhead: Annotated[
        str, typer.Option(metavar="SHARE", help="Tokens more than the fewest: 20%.")
    ] = "20%",
    base: Annotated[
        float | None, typer.Option(help="Batch size that tokens are counted from as well.")
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="What it follows: params, tokens, loss, nothing, ..."),
    ] = None,
    params: Annotated[
        list[float] | None, typer.Option("--params", help="Models without runs: 7B.")
    ] = None,
    at: Annotated[
        list[float] | None, typer.Option("--at", help="The same by values of --axis.")
    ] = None,
    size: Annotated[
        list[float] | None, typer.Option("--size", help="Planned batch sizes: what they cost.")
    ] = None,
    sequence_length: Annotated[
        float | None, typer.Option(help="Tokens of a sequence, for batches in sequences.")
    ] = None,
    surface: Annotated[
        Path | None,
        typer.Option(metavar="FIT", help="Fit of a sweep of rates and batches: ask it too."),
    ] = None,
    joint: Annotated[
        Path | None, typer.Option(metavar="FIT", help="Fit that says what more tokens are worth.")
    ] = None,
    where: Where = None,
    column: Columns = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For a picture of the curves.")
    ] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say how large a batch may be before it costs tokens."""
    more, asked = _share(overhead), _asked(axis, params or [], at or [])
    kind_of(table)
    for path in (surface, joint):
        if path is not None:
            require_fit(path)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    names = pairs_of(column, "--column")
    with step("reading"):
        from bayescale.runs.steps import read_steps

        runs = read_steps(table, names, sequence_length=sequence_length, where=all_of(where or []))
    with step("loading"):
        from bayescale.decisions.critical_batch import answer_batch, batch_model
    fit = sample(runs, batch_model(runs, axis), seed, draws=draws, tune=tune)
    answer = answer_batch(
        fit,
        asked or None,
        more=more,
        base=base,
        batches=size,
        surface=None if surface is None else fit_of(surface),
        joint=None if joint is None else fit_of(joint),
        seed=seed,
    )
    if plots is not None:
        from bayescale.plots.critical_batch import plot_critical_batch
        from bayescale.plots.style import save_figure

        figure = plot_critical_batch(fit, max(asked, default=None), more=more, base=base)
        save_figure(figure, plots / "critical_batch.png")
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer, as_json, allow_unconverged)


def _share(text: str) -> float:
    """Read a share, in percent or not."""
    plain = text.strip().removesuffix("%")
    try:
        share = float(plain) / (100 if plain != text.strip() else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < float("inf"):
        raise RunsError(f"--overhead: {text!r} is no positive share; write 20% or 0.2")
    return share


def _asked(axis: str | None, params: list[float], at: list[float]) -> list[float]:
    """Take values of the axis, of models without runs."""
    if params and (at or axis not in (None, "params")):
        raise RunsError(
            f"--params are values of the axis params{'' if at else f', and --axis is {axis}'}: "
            "give models without runs by --at alone"
        )
    return [*params, *at]
