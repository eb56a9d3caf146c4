"""The command that says what planned runs would score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescale.cli.curves import file_name
from bayescale.cli.options import (
    AllowUnconverged,
    FitFile,
    Json,
    Levels,
    PlannedParams,
    PlannedTokens,
    Seed,
    pairs,
)
from bayescale.cli.reading import fit_of, levels_of, planned_of, require_fit
from bayescale.cli.sampling import print_answer
from bayescale.errors import FitError, RunsError
from bayescale.files import make_folder
from bayescale.runs.reading import kind_of

if TYPE_CHECKING:
    from bayescale.decisions.accuracies import Accuracies
    from bayescale.decisions.answer import Answer


def targets(
    fit: FitFile,
    params: PlannedParams = None,
    tokens: PlannedTokens = None,
    plans: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of planned runs: params, tokens.")
    ] = None,
    above: Levels = None,
    reach: Levels = None,
    probability: Annotated[
        float, typer.Option(metavar="P", help="Of reaching them, and of seeing a gain.")
    ] = 0.9,
    ratio: Annotated[
        float | None, typer.Option(help="Tokens per parameter of the run that reaches them.")
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=WEIGHT", help="Tasks of the suite: hellaswag=2,piqa=1."),
        pairs,
    ] = None,
    gain: Annotated[float | None, typer.Option(help="Say how many items show it.")] = None,
    link: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fit of accuracy over the loss that FIT is of."),
    ] = None,
    with_doubted: Annotated[
        bool, typer.Option("--with-doubted", help="Leave doubted tasks in the suite.")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For pictures of the tasks.")
    ] = None,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say what planned runs would score, and what a score takes."""
    weights = levels_of(suite, "--suite")
    if isinstance(weights, float):
        raise RunsError("--suite: write weights by task, hellaswag=2,piqa=1")
    scores, wanted = levels_of(above, "--above"), levels_of(reach, "--reach")
    own = _accuracies(fit, link, beside=plans)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    from bayescale.decisions.targets import answer_targets

    answer = answer_targets(
        own,
        planned_of(params or [], tokens or [], plans),
        above=scores,
        reach=wanted,
        suite=weights,
        probability=probability,
        ratio=ratio,
        gain=gain,
        with_doubted=with_doubted,
        seed=seed,
    )
    if plots is not None:
        _draw(own, answer, plots)
    print_answer(answer, as_json, allow_unconverged)


def _accuracies(fit: Path, link: Path | None, *, beside: Path | None) -> "Accuracies":
    """Read the fits; what is wrong with names of files is refused first."""
    require_fit(fit)
    if link is not None:
        require_fit(link)
    if beside is not None:
        kind_of(beside)
    whole = fit_of(fit)
    from bayescale.decisions.accuracies import Accuracies

    if link is not None:
        return Accuracies.chain(whole, fit_of(link))
    if whole.spec.response.scale != "share":
        raise FitError(
            f"{fit} is a fit of the {whole.spec.response.name}, not of an accuracy: give a fit of "
            "accuracy over it as well, with --link"
        )
    return Accuracies.direct(whole)


def _draw(own: "Accuracies", answer: "Answer", folder: Path) -> None:
    """Draw all tasks with the planned runs, what was predicted of runs, and each task twice."""
    from bayescale.plots.style import save_figure
    from bayescale.plots.targets import plot_emergence, plot_predicted_tasks, plot_targets

    save_figure(plot_targets(own, answer.draws), folder / "targets.png")
    if own.loss is None and own.fit.groups:
        save_figure(plot_predicted_tasks(own.fit), folder / "predicted.png")
    for task in own.tasks:
        save_figure(plot_emergence(own, task), folder / f"{file_name(task)}.png")
    typer.echo(f"figures: {folder}", err=True)
