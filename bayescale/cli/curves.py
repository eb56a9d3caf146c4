"""The command that labels single-axis curves."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from bayescale import words
from bayescale.cli.options import (
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
from bayescale.errors import RunsError
from bayescale.files import make_folder, make_room, replacing, to_json
from bayescale.laws import LOSS
from bayescale.progress import step
from bayescale.runs.reading import Table


def curves(
    table: CurvesFile,
    x: Axis,
    y: Metric = LOSS.column,
    by: By = None,
    stderr: StandardErrors = None,
    trials: Trials = None,
    higher_is_better: HigherIsBetter = False,
    higher_is_better_column: DirectionColumn = None,
    chance: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Of guessing, e.g. 0.25, or the column that says it."),
    ] = None,
    where: Where = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file of labels.")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For one picture a curve.")
    ] = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Label many single-axis curves: power law, broken, saturated, ..."""
    higher = direction(higher_is_better, higher_is_better_column)
    if out is not None and out.exists():
        raise RunsError(f"{out} exists already; name another file with --out")
    with step("reading"):
        points = table_of(table, where)
        import pandas as pd

        from bayescale.curves.table import COLUMNS, REFUSED, curve_shapes, row_of

    shapes = curve_shapes(
        points,
        by,
        x,
        y,
        stderr=stderr,
        trials=trials,
        higher_is_better=higher,
        chance=_level(chance),
        seed=seed,
    )
    if out is not None:
        make_room(out)  # before the long work, not after it
    if plots is not None:
        make_folder(plots)
    rows = []
    with step("classifying"), nullcontext() if out is None else replacing(out) as partial:
        for number, (one, shape) in enumerate(shapes, 1):
            rows.append(row_of(one, shape))
            if plots is not None and shape is not None:
                from bayescale.plots.curves import save_shape

                path = plots / f"{number:04d}-{file_name(one.name)}.png"
                save_shape(shape, path, one.name, x=x, y=y)
        labels = pd.DataFrame(rows, columns=list(COLUMNS))
        refused = [
            f"{row.curve}: {row.message}" for row in labels.itertuples() if row.label == REFUSED
        ]
        if len(refused) == len(labels):
            raise RunsError(f"no curve can be used: {words.some(refused, 'curves')}")
        if partial is not None:
            labels.to_csv(partial, index=False)
    for reason in refused:
        typer.echo(f"refused: {reason}", err=True)
    _show(labels, as_json, whole=out is None)


def _level(chance: str | None) -> float | str | None:
    """Level of chance, or the column that says it."""
    try:
        return None if chance is None else float(chance)
    except ValueError:
        return chance


def _show(labels: Table, as_json: bool, *, whole: bool) -> None:
    """Print the counts of the labels, after the table unless that went to a file."""
    import pandas as pd

    counts = labels["label"].value_counts()
    if as_json:
        typer.echo(to_json({"counts": counts.to_dict(), "curves": labels.to_dict("records")}))
        return
    if whole:
        shown = labels[["curve", "n", "decades", "label", "message"]]
        for row in shown.itertuples():
            span = "" if pd.isna(row.decades) else f", {row.decades:.2f} decades"
            typer.echo(f"{row.curve}: {row.label} ({row.n} points{span})")
            typer.echo(f"    {row.message}")
        typer.echo("")
    for label, number in counts.items():
        typer.echo(f"{number:5d} {label}")


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
