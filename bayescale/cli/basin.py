"""The command that says which values of a setting are good for a size."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescale.cli.options import (
    AS_IT_IS,
    AllowUnconverged,
    Draws,
    Json,
    Reading,
    RunsFile,
    Seed,
    Tune,
    each,
)
from bayescale.cli.reading import runs_of
from bayescale.cli.sampling import print_answer, sample
from bayescale.errors import BayescaleError, RunsWarning
from bayescale.files import make_folder
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import step

if TYPE_CHECKING:
    from bayescale.runs.table import Runs

ALONE, SHARED = "shape-basin", "shape-basin-hierarchical"
"""Models of independent rows, and of rows that share an error of their run."""


def basin(
    runs: RunsFile,
    knob: Annotated[str, typer.Option(metavar="COLUMN", help="The setting: aspect_ratio.")],
    params: Annotated[list[float], typer.Option("--params", help="Sizes to answer for: 400M,1B.")],
    within: Annotated[
        list[str] | None,
        typer.Option(help="Shares of the loss: 0.5%,1%.", metavar="SHARE"),
        each,
    ] = None,
    planned: Annotated[
        list[float] | None, typer.Option("--planned", help="Values of the setting to judge.")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(metavar="D", help="Of the planned run; else the most of a run.")
    ] = None,
    group: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Rows of one share an error: run, or of the shape."),
    ] = "run",
    reading: Reading = AS_IT_IS,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For a picture.")] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say which shapes or values of a setting suit a size."""
    shares = [_share(text) for text in within or ()]
    spec = load_model(SHARED).along_axes(knob)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    with step("reading"), warnings.catch_warnings():
        for usual in ("swept runs", "repeated run names"):  # it is what the bowl is learned from
            warnings.filterwarnings("ignore", usual, RunsWarning)
        table = runs_of(runs, reading, spec)
    spec = _model_of(table, knob, group)
    from bayescale.modelling.pooling import group_names

    group_names(spec, table)  # before the long work
    fitted = sample(table, spec, seed, draws=draws, tune=tune)
    from bayescale.decisions.basin import WITHIN, answer_setting_basin, setting_basin

    found = setting_basin(
        fitted, params, within=shares or WITHIN, planned=planned or (), tokens=tokens
    )
    answer = answer_setting_basin(fitted, found)
    if plots is not None:
        from bayescale.plots.basin import plot_setting_basin
        from bayescale.plots.style import save_figure

        save_figure(plot_setting_basin(fitted, found), plots / "basin.png")
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer, as_json, allow_unconverged)


def _model_of(runs: "Runs", knob: str, group: str) -> ModelSpec:
    """Let rows of one run share an error, where any two rows are of one run."""
    if group in runs.table and runs.table[group].is_unique:
        return load_model(ALONE).along_axes(knob)
    return load_model(SHARED).along_axes(knob).grouped_by(group)


def _share(text: str) -> float:
    """Read a share of the loss, 0.01 or 1%."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise BayescaleError(f"--within: {text!r} is no share; write 1% or 0.01") from None
