"""The command that says which mixture of corpora to train on."""

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
    Reading,
    RunsFile,
    Seed,
    Tune,
    each,
    names,
    number_from,
)
from bayescale.cli.reading import pairs_of, reading_options
from bayescale.cli.sampling import print_answer, sample
from bayescale.errors import BayescaleError, RunsError
from bayescale.files import make_folder
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import step
from bayescale.runs.reading import kind_of

if TYPE_CHECKING:  # what samples takes seconds to import
    from bayescale.decisions.answer import Answer
    from bayescale.posterior.fit import Fit
    from bayescale.runs.table import Runs

ONE_SCALE, JOINT = "mixture", "mixture-joint"
"""Models of runs of one size and number of tokens, and of several, with one target."""

_DRAWS = 500


def mix(
    runs: RunsFile,
    targets: Annotated[
        list[str] | None, typer.Option(help="Columns of losses: 'loss_*'.", metavar="COLUMN"), names
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Columns of shares: 'w_*'.", metavar="COLUMN"), names
    ] = None,
    params: Annotated[float | None, typer.Option(metavar="N", help="Of the planned run.")] = None,
    tokens: Annotated[float | None, typer.Option(metavar="D", help="Of the planned run.")] = None,
    importance: Annotated[
        list[str] | None,
        typer.Option(help="Weight of a target: code=2.", metavar="TARGET=NUMBER"),
        each,
    ] = None,
    unique: Annotated[
        list[str] | None,
        typer.Option(help="Unique tokens of a corpus.", metavar="CORPUS=TOKENS"),
        each,
    ] = None,
    epochs: Annotated[float, typer.Option(help="The most passes over a corpus.")] = 4.0,
    least: Annotated[
        list[str] | None, typer.Option(help="Least share.", metavar="CORPUS=SHARE"), each
    ] = None,
    most: Annotated[
        list[str] | None, typer.Option(help="Most share.", metavar="CORPUS=SHARE"), each
    ] = None,
    default: Annotated[
        list[str] | None,
        typer.Option(help="Mixture to compare with.", metavar="CORPUS=SHARE"),
        each,
    ] = None,
    composition: Annotated[
        bool, typer.Option("--composition", help="Ask instead whether mixtures move exponents.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(metavar="FIT", help="Save the fit; use it where it is there.")
    ] = None,
    losses: Losses = AS_THEY_ARE,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For a picture.")] = None,
    draws: Draws = _DRAWS,
    tune: Tune = _DRAWS,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say which mixture of corpora to train on."""
    options = reading_options(Reading(**asdict(losses)))
    kind_of(runs)  # a file that is not there is refused before pandas is imported
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    with step("reading"):
        from bayescale.decisions.mixtures import (
            MixturePlan,
            answer_mixture,
            best_mixture,
            require_plan,
        )
        from bayescale.runs.mixtures import TARGET, read_mixtures, scales_of

        table = read_mixtures(
            runs, targets=targets or "loss_*", weights=weights or "w_*", **options
        )
    own = JOINT if scales_of(table) > 1 else ONE_SCALE
    spec = load_model(own if table.table[TARGET].nunique() == 1 else f"{own}-hierarchical")
    plan = MixturePlan(
        params=params,
        tokens=tokens,
        importance=_numbers(importance, "--importance"),
        unique_tokens=_numbers(unique, "--unique"),
        epochs=epochs,
        least=_numbers(least, "--least"),
        most=_numbers(most, "--most"),
        default=_numbers(default, "--default"),
    )
    sampled: dict[str, Any] = {"draws": draws, "tune": tune, "seed": seed}
    if composition:
        _require_composition(own, plan != MixturePlan() or plots is not None)
        answer = _composition(_fit(table, spec, sampled, keep), sampled)
        print_answer(answer, as_json, allow_unconverged)
        return
    require_plan(table, spec, plan)  # before the long work
    _require_to_sample(keep, draws, tune)
    fitted = _fit(table, spec, sampled, keep)
    found = best_mixture(fitted, plan)
    if plots is not None:
        from bayescale.plots.mixtures import plot_mixture
        from bayescale.plots.style import save_figure

        save_figure(plot_mixture(found), plots / "mixture.png")
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer_mixture(fitted, found), as_json, allow_unconverged)


def _fit(table: "Runs", spec: ModelSpec, sampled: dict[str, Any], keep: Path | None) -> "Fit":
    """Fit the law, or take the fit that is kept."""
    if keep is not None and keep.exists():
        from bayescale.posterior.loading import load_fit

        return load_fit(keep)
    fitted = sample(table, spec, **sampled)
    if keep is not None:
        fitted.save(keep)
    return fitted


def _require_to_sample(keep: Path | None, draws: int, tune: int) -> None:
    """Refuse options of sampling where a fit is kept, which is used as it is."""
    if keep is not None and keep.exists() and (draws, tune) != (_DRAWS, _DRAWS):
        raise BayescaleError(
            f"--keep {keep}: the fit is there and is used as it is: leave out --draws and --tune, "
            "or keep the fit in another file"
        )


def _require_composition(model: str, planned: bool) -> None:
    """Refuse what says nothing of exponents before the long work."""
    if model == ONE_SCALE:
        raise RunsError(
            "--composition: these runs have one size and number of tokens, or do not say it, and "
            "so no exponents",
            "Leave it out, or add runs of other sizes and numbers of tokens.",
        )
    if planned:
        raise BayescaleError(
            "--composition asks of the runs alone: leave out the plan of a run and --plots"
        )


def _composition(fitted: "Fit", sampled: dict[str, Any]) -> "Answer":
    from bayescale.evaluation.composition import answer_composition, composition

    with step("fitting exponents that lean on the mixture"):
        found = composition(fitted, **sampled)
    return answer_composition(found)


def _numbers(given: list[str] | None, option: str) -> dict[str, float]:
    """Read numbers by name."""
    pairs = pairs_of(given, option)
    return {name: number_from(text, f"{option} {name}={text}") for name, text in pairs.items()}
