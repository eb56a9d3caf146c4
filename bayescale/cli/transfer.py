"""The command that says whether a best setting transfers from small runs to large ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescale.cli.curves import file_name
from bayescale.cli.options import (
    AS_IT_IS,
    AllowUnconverged,
    Draws,
    Json,
    Reading,
    RunsFile,
    Seed,
    Tune,
    names,
)
from bayescale.cli.reading import sweep_options
from bayescale.cli.sampling import print_answer
from bayescale.errors import RunsError
from bayescale.files import make_folder
from bayescale.progress import step

if TYPE_CHECKING:
    from bayescale.posterior.fit import Fit


def transfer(
    table: RunsFile,
    axis: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", show_default=False, help="Of sizes: depth, tokens; else width."
        ),
    ] = "width",
    knob: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", show_default=False, help="What was swept; else learning_rate."
        ),
    ] = "learning_rate",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="What tells recipes apart: optimizer."),
        names,
    ] = None,
    to: Annotated[
        list[float] | None,
        typer.Option(help="Sizes that nobody has run; else twice the largest."),
    ] = None,
    region: Annotated[
        float,
        typer.Option(metavar="FACTOR", show_default=False, help="Of best values alike; else 1.41."),
    ] = 1.41,
    model: Annotated[
        str,
        typer.Option(metavar="NAME", show_default=False, help="Other bowls with trends."),
    ] = "transfer",
    reading: Reading = AS_IT_IS,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For pictures of bowls and best values.")
    ] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say whether best settings move along width, depth, tokens."""
    if region <= 1:
        raise RunsError(f"--region {region:g}: must be a factor above 1, such as 1.41")
    options = sweep_options(table, reading)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    with step("loading"):
        from bayescale.decisions.transfer import answer_transfer, fit_transfer, fit_transfers
    sampled = {"draws": draws, "tune": tune, "seed": seed}
    asked = {"axis": axis, "knob": knob, "model": model, **sampled, **options}
    fits = fit_transfers(table, by, **asked) if by else fit_transfer(table, **asked)
    answer = answer_transfer(fits, to=to or None, region=region, seed=seed)
    if plots is not None:
        named = fits if isinstance(fits, dict) else {"transfer": fits}
        for name, own in named.items():
            if not isinstance(own, str):
                _draw(own, name, to, region, plots, seed)
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer, as_json, allow_unconverged)


def _draw(
    own: "Fit", name: str, to: list[float] | None, region: float, folder: Path, seed: int
) -> None:
    """Draw the bowls of one recipe, and the path of its best value."""
    from bayescale.decisions.transfer import beyond, transfer
    from bayescale.plots.bowls import plot_bowls
    from bayescale.plots.style import save_figure
    from bayescale.plots.transfer import plot_transfer

    found = transfer(own, to=to or beyond(own), region=region, seed=seed)
    save_figure(plot_bowls(own), folder / f"{file_name(name)}-bowls.png")
    save_figure(plot_transfer(found), folder / f"{file_name(name)}-path.png")
