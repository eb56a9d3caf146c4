"""The commands that label single-axis curves and say where they go: one fit, one answer."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescale import words
from bayescale.cli.options import Curves, CurvesFile, Json, Places, Seed, SomePlaces
from bayescale.cli.reading import table_of
from bayescale.errors import RunsError
from bayescale.files import make_folder, make_room, write
from bayescale.progress import step

if TYPE_CHECKING:  # importing SciPy takes long: refusals do not wait for it
    from bayescale.curves import forecasts, table

Out = Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file of what is found.")]
Plots = Annotated[Path | None, typer.Option(metavar="FOLDER", help="For one picture a curve.")]


def curves(
    table: CurvesFile,
    asked: Curves,
    at: Places = None,
    out: Out = None,
    plots: Plots = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Label many single-axis curves: power law, broken, ..."""
    _answer(table, asked, at or (), out, plots, seed, as_json)


def forecast(
    table: CurvesFile,
    asked: Curves,
    at: SomePlaces,
    out: Out = None,
    plots: Plots = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Say where single-axis curves go beyond their range."""
    _answer(table, asked, at, out, plots, seed, as_json)


def _answer(
    path: Path,
    asked: Curves,
    at: Sequence[str],
    out: Path | None,
    plots: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Fit the curves of a table, forecast them where asked, and write what was found."""
    higher = asked.direction
    _require_room(out, plots)
    with step("reading"):
        points = table_of(path, asked.where)
    with step("loading"):
        from bayescale.curves.answer import answer_curves
        from bayescale.curves.forecasts import forecast_fitted, place
        from bayescale.curves.table import REFUSED, fit_curves
    for value in at:
        place(value, 1.0)  # refused before the long work
    fitted = fit_curves(
        points,
        asked.by,
        asked.x,
        asked.y,
        stderr=asked.stderr,
        trials=asked.trials,
        higher_is_better=higher,
        chance=asked.level,
        quantity=asked.quantity,
        cluster=asked.cluster,
        model=asked.model,
        alone=asked.alone,
        seed=seed,
    )
    refused = [f"{one.name}: {one.message}" for one in fitted if one.label == REFUSED]
    if len(refused) == len(fitted):
        raise RunsError(f"no curve can be used: {words.some(refused, 'curves')}")
    for reason in refused if as_json else ():  # else the answer says them
        typer.echo(f"refused: {reason}", err=True)
    found = forecast_fitted(fitted, list(at), seed=seed) if at else []
    if out is not None:
        _write(fitted, found, out)
    if plots is not None:
        _draw(fitted, found, plots, asked)
    answer = answer_curves(fitted, found, x=asked.x)
    typer.echo(answer.to_json() if as_json else answer)


def _require_room(out: Path | None, plots: Path | None) -> None:
    """Refuse places that cannot be written to before the long work, not after it."""
    if out is not None and out.exists():
        raise RunsError(f"{out} exists already; name another file with --out")
    if out is not None:
        make_room(out)
    if plots is not None:
        make_folder(plots)


def _write(fitted: "table.Curves", found: "Sequence[forecasts.CurveForecast]", out: Path) -> None:
    """Write a row for each curve; where they are forecast, for each curve and x."""
    from bayescale.curves.forecasts import forecast_table
    from bayescale.curves.table import curve_table

    rows = curve_table(fitted)
    if found:
        beyond = forecast_table(found)
        beyond = beyond.rename(columns={"message": "doubts"})
        # Labels and slopes are those of the table without forecasts, and of the text and JSON.
        more = ["curve", *(name for name in beyond.columns if name not in rows.columns)]
        rows = beyond[more].merge(rows, on="curve", how="left")
    write(out, rows.to_csv(index=False))


def _draw(
    fitted: "table.Curves",
    found: "Sequence[forecasts.CurveForecast]",
    folder: Path,
    asked: Curves,
) -> None:
    """Draw one picture of each curve that has a shape."""
    from bayescale.plots.curves import plot_forecast
    from bayescale.plots.style import save_figure

    with step(f"drawing {words.counted(len(fitted), 'curve')}") as done:
        for number, one in enumerate(fitted, 1):
            if one.shape is None:
                continue
            figure = plot_forecast(found[number - 1] if found else one, x=asked.x, y=asked.y)
            save_figure(figure, folder / f"{number:04d}-{file_name(one.name)}.png")
            done(number / len(fitted))


def file_name(name: str) -> str:
    """Turn the name of a curve into one that every file system takes.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        At most 80 of the letters, digits, dots, signs and underscores.
    """
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("_.")[:80] or "curve"
