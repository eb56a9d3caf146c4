"""The command that says which settings a planned run wants."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescale.cli.options import (
    AS_THEY_ARE,
    AllowUnconverged,
    Draws,
    Json,
    Losses,
    PlannedParams,
    PlannedTokens,
    Reading,
    Seed,
    Tune,
    names,
    pairs,
)
from bayescale.cli.reading import fit_of, levels_of, planned_of, require_fit, sweep_options
from bayescale.cli.sampling import print_answer
from bayescale.decisions.prices import Prices
from bayescale.errors import FitError, RunsError, RunsWarning
from bayescale.files import make_folder, make_room
from bayescale.progress import step

if TYPE_CHECKING:
    from bayescale.posterior.fit import Fit

_ANSWERED = "(best at the edge|collinear cells): "  # doubts that the answer says itself
_DRAWS, _TUNE = 350, 300  # as of `fit_tuning`, whose module takes long to import


def tune(
    table: Annotated[
        Path, typer.Argument(metavar="RUNS", help="Table of swept runs, or a fit of one.")
    ],
    knobs: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Settings that were swept, one or two: rate,batch."),
        names,
    ] = None,
    params: PlannedParams = None,
    tokens: PlannedTokens = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(metavar="KNOB=VALUE", help="A setting that is given, as a batch size."),
        pairs,
    ] = None,
    cost_of: Annotated[
        list[str] | None,
        typer.Option("--cost-of", metavar="KNOB=VALUE", help="Settings whose cost is asked."),
        pairs,
    ] = None,
    within: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the loss, that settings may cost.")
    ] = 0.005,
    cells: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="What makes a cell, in place of params and tokens."),
        names,
    ] = None,
    losses: Losses = AS_THEY_ARE,
    per_hour: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Of an H100: answer in money.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the fit, to ask it again.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For pictures of bowls, path and costs.")
    ] = None,
    draws: Draws = _DRAWS,
    tune: Tune = _TUNE,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say which settings a run wants, and what others cost it."""
    forced, candidate = _settings(fix, "--fix"), _settings(cost_of, "--cost-of")
    prices = None if per_hour is None else Prices.of_hardware(per_hour)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    if out is not None:
        make_room(out)
    planned = planned_of(params or [], tokens or [], None)
    plans: list[dict[str, float]] = [] if planned is None else planned.to_dict("records")  # type: ignore[union-attr]
    sampled: dict[str, Any] = {"draws": draws, "tune": tune, "seed": seed}
    fit = _fit(table, knobs or [], cells or [], losses, plans, sampled)
    with step("loading"):
        from bayescale.decisions.tune import answer_tuning
    if out is not None:
        fit.save(out)
    answer = answer_tuning(
        fit,
        plans,
        forced=forced,
        candidate=candidate or None,
        within=within,
        prices=prices,
        seed=seed,
    )
    if plots is not None:
        _draw(fit, plans, forced, within, plots, seed)
    print_answer(answer, as_json, allow_unconverged)


def _settings(entries: list[str] | None, option: str) -> dict[str, float]:
    """Read values of settings by name."""
    found = levels_of(entries, option)
    if isinstance(found, float):
        raise RunsError(f"{option}: write the setting as well, learning_rate=3e-4")
    return dict(found or {})


def _fit(
    table: Path,
    knobs: list[str],
    cells: list[str],
    losses: Losses,
    plans: list[dict[str, float]],
    sampled: dict[str, Any],
) -> "Fit":
    """Read a fit, or fit a table."""
    if table.suffix == ".nc":
        require_fit(table)
        if (sampled["draws"], sampled["tune"]) != (_DRAWS, _TUNE):
            raise FitError(
                f"{table} is a fit already, and is not sampled: leave out --draws and --tune, or "
                "give the table of runs"
            )
        return fit_of(table)
    options: dict[str, Any] = sweep_options(table, Reading(**asdict(losses)))
    if not knobs:
        raise RunsError(
            "name the settings that were swept, e.g. --knobs learning_rate,batch_size_tokens"
        )
    with step("loading"):
        from bayescale.decisions.tune import fit_tuning, require_told
        from bayescale.modelling.tuning import sweep_model
        from bayescale.runs.sweeps import read_sweep
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _ANSWERED, RunsWarning)
        swept = read_sweep(table, knobs, cells=cells, **options)
    trends = sweep_model(swept, knobs).covariates
    for plan in plans:
        require_told(swept, trends, plan)  # before the long work, not after it
    return fit_tuning(swept, knobs, **sampled)


def _draw(
    fit: "Fit",
    plans: list[dict[str, float]],
    forced: dict[str, float],
    within: float,
    folder: Path,
    seed: int,
) -> None:
    """Draw the bowl of every cell, the path of the best settings, and what settings cost."""
    from bayescale.plots.bowls import plot_bowls
    from bayescale.plots.style import save_figure
    from bayescale.plots.tuning import plot_setting_costs, plot_setting_path

    for knob in fit.spec.axes if fit.groups else ():
        save_figure(plot_bowls(fit, knob), folder / f"bowls-{knob}.png")
        for column in fit.spec.covariates:
            save_figure(
                plot_setting_path(fit, knob, column, plans), folder / f"path-{knob}-{column}.png"
            )
    for number, plan in enumerate(plans):
        name = "costs.png" if len(plans) == 1 else f"costs-{number + 1}.png"
        figure = plot_setting_costs(fit, plan, forced=forced, within=within, seed=seed)
        save_figure(figure, folder / name)
    typer.echo(f"figures: {folder}", err=True)
