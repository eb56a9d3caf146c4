"""The command that says what recipes are worth in tokens."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bayescale.cli.options import (
    AS_THEY_ARE,
    AllowUnconverged,
    Draws,
    Json,
    Losses,
    PlannedParams,
    Reading,
    RunsFile,
    Seed,
    Tune,
    names,
)
from bayescale.cli.reading import reading_options
from bayescale.cli.sampling import print_answer
from bayescale.decisions.prices import IN_FLOPS, Prices
from bayescale.files import make_folder
from bayescale.progress import step
from bayescale.runs.reading import kind_of


def recipes(
    runs: RunsFile,
    by: Annotated[str, typer.Option(metavar="COLUMN", help="Of the recipes: optimizer.")],
    baseline: Annotated[str, typer.Option(metavar="NAME", help="The recipe to compare with.")],
    size: Annotated[
        str, typer.Option(metavar="COLUMN", show_default=False, help="Of the sizes N.")
    ] = "",
    least_of: Annotated[
        list[str] | None,
        typer.Option(help="Losses of which the least counts.", metavar="COLUMN"),
        names,
    ] = None,
    params: PlannedParams = None,
    tokens: Annotated[
        float | None, typer.Option(metavar="D", help="Of a planned run of the baseline.")
    ] = None,
    per_hour: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Of an H100: answer in money.")
    ] = None,
    losses: Losses = AS_THEY_ARE,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For a picture.")] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say what optimisers, or other recipes, are worth in tokens."""
    prices = IN_FLOPS if per_hour is None else Prices.of_hardware(per_hour)
    options = reading_options(Reading(**asdict(losses)))
    options.pop("best_per")  # of each recipe, size and number of tokens
    kind_of(runs)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    with step("reading"):
        from bayescale.runs.recipes import read_recipes

        table = read_recipes(runs, by, size=size, least_of=least_of or (), **options)
    with step("fitting recipes"):
        from bayescale.posterior.recipes import fit_recipes

        fitted = fit_recipes(table, by, baseline, draws=draws, tune=tune, seed=seed)
    from bayescale.decisions.recipes import answer_recipes, recipe_multipliers

    found = recipe_multipliers(fitted, params or ())
    answer = answer_recipes(fitted, found, tokens=tokens, prices=prices)
    if plots is not None:
        from bayescale.plots.recipes import plot_recipes
        from bayescale.plots.style import save_figure

        save_figure(plot_recipes(fitted, farthest=max(params or (0.0,))), plots / "recipes.png")
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer, as_json, allow_unconverged)
