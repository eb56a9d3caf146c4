"""The command that says where single-axis curves go beyond their range."""

from pathlib import Path
from typing import Annotated

import typer

from bayescale import words
from bayescale.cli.curves import file_name
from bayescale.cli.options import (
    AllowUnconverged,
    Axis,
    By,
    CurvesFile,
    DirectionColumn,
    HigherIsBetter,
    Json,
    Metric,
    Seed,
    StandardErrors,
    Trials,
    Where,
    direction,
)
from bayescale.cli.reading import table_of
from bayescale.cli.sampling import stop_unless_converged
from bayescale.errors import RunsError
from bayescale.files import make_folder, make_room, replacing, to_json
from bayescale.laws import LOSS
from bayescale.progress import step
from bayescale.runs.reading import Table


def forecast(
    table: CurvesFile,
    x: Axis,
    at: Annotated[list[float], typer.Option(help="Values of x to forecast, e.g. 1e12,1e13.")],
    y: Metric = LOSS.column,
    by: By = None,
    stderr: StandardErrors = None,
    trials: Trials = None,
    higher_is_better: HigherIsBetter = False,
    higher_is_better_column: DirectionColumn = None,
    where: Where = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file of forecasts.")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For one picture a curve.")
    ] = None,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say where single-axis curves go beyond their range."""
    higher = direction(higher_is_better, higher_is_better_column)
    if out is not None and out.exists():
        raise RunsError(f"{out} exists already; name another file with --out")
    if out is not None:
        make_room(out)  # before the long work, not after it
    if plots is not None:
        make_folder(plots)
    with step("reading"):
        points = table_of(table, where)
    with step("loading"):
        from bayescale.curves.forecasts import forecast_curves, forecast_table
    from bayescale.decisions.answer import convergence, unconverged

    with step("forecasting"):
        forecasts = forecast_curves(
            points,
            by,
            x,
            y,
            at=at,
            stderr=stderr,
            trials=trials,
            higher_is_better=higher,
            seed=seed,
        )
    refused = [f"{one.name}: {one.message}" for one in forecasts if one.forecast is None]
    if len(refused) == len(forecasts):
        raise RunsError(f"no curve can be forecast: {words.some(refused, 'curves')}")
    for reason in refused:
        typer.echo(f"no forecast: {reason}", err=True)
    problems = [f"{one.name}: {one.message}" for one in forecasts if not one.converged]
    rows = forecast_table(forecasts)
    if out is not None:
        with replacing(out) as partial:
            rows.to_csv(partial, index=False)
    if plots is not None:
        from bayescale.plots.forecasts import save_forecast

        for number, one in enumerate(forecasts, 1):
            if one.forecast is not None:
                path = plots / f"{number:04d}-{file_name(one.name)}.png"
                with step("drawing"):
                    save_forecast(one, path, x=x, y=y)
    if as_json:
        typer.echo(to_json(convergence(problems) | {"forecasts": rows.to_dict("records")}))
    else:
        for caveat in unconverged(problems):
            typer.echo(caveat)
        _show(rows, x)
    stop_unless_converged(problems, allow_unconverged)


def _show(rows: Table, x: str) -> None:
    """Print what a curve is, then a line for each value of x."""
    import pandas as pd

    for name, own in rows.groupby("curve", sort=False):
        first = own.iloc[0]
        span = "" if pd.isna(first["decades"]) else f", {first['decades']:.2f} decades"
        typer.echo(f"{name}: {first['label']} ({first['n']} points{span})")
        if pd.isna(first["median"]):
            typer.echo(f"    no forecast: {first['message']}")
            continue
        if first["message"]:
            typer.echo(f"    note: {first['message']}")
        typer.echo(
            f"    slope at the top {first['slope']:.4f} "
            f"[{first['slope_q05']:.4f}, {first['slope_q95']:.4f}], "
            f"P(rising) {first['p_rising']:.2f}"
        )
        for row in own.itertuples():
            low, middle, high = (words.significant(v) for v in (row.q05, row.median, row.q95))
            typer.echo(
                f"    {x} {words.count(row.x)}, {row.decades_beyond:.2f} decades beyond: "
                f"{middle} [{low}, {high}]"
            )
    typer.echo(
        "Brackets are central 90% intervals: of slopes d log loss / d log x, and of a new point as "
        "the curve was read, a bin mean where it is dense, without a standard error of its own."
    )
