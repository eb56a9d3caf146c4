"""The command that says which corpora to repeat, which to add, and how strictly to filter."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescale.cli.options import AllowUnconverged, Json, each, number_from
from bayescale.cli.plan import FitOrConstants, Group, fit_or_constants
from bayescale.cli.reading import pairs_of
from bayescale.cli.sampling import print_answer
from bayescale.errors import BayescaleError
from bayescale.files import make_folder

if TYPE_CHECKING:
    from bayescale.decisions.quality import Corpus
    from bayescale.posterior.fit import Fit


def quality(
    fit: FitOrConstants,
    params: Annotated[list[float], typer.Option("--params", help="Size of the model: 7B.")],
    tokens: Annotated[
        list[float] | None, typer.Option("--tokens", help="Tokens of the training: 1T,3T.")
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="Distinct tokens and quality: web=1e12:1.", metavar="NAME=U:E"),
        each,
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Share kept, its quality: 0.3=0.9.", metavar="SHARE=E"),
        each,
    ] = None,
    unique_tokens: Annotated[
        list[float] | None,
        typer.Option("--unique-tokens", help="Of the corpus before --filter.", metavar="U"),
    ] = None,
    qualities: Annotated[
        list[float] | None,
        typer.Option("--quality", help="Of new data: when do they pay? 0.8,0.5."),
    ] = None,
    group: Group = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For pictures.")] = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say which corpora to repeat or add, and how to filter."""
    if len(params) > 1 or len(unique_tokens or []) > 1:
        raise BayescaleError("--params and --unique-tokens are one number each: ask again")
    if not (corpus or filters or qualities):
        raise BayescaleError(
            "name corpora (--corpus web=1e12:1), filters (--filter 0.3=0.9,1=0.6), or qualities "
            "(--quality 0.8,0.5)"
        )
    if (corpus or filters) and not tokens:
        raise BayescaleError("say how many tokens are trained on: --tokens 3e12")
    if bool(filters) != bool(unique_tokens):
        raise BayescaleError("--filter 0.3=0.9 and --unique-tokens 5e12 belong together")
    if plots is not None:
        make_folder(plots)
    whole = fit_or_constants(fit)
    fitted = whole if group is None else whole.of_group(group)
    from bayescale.decisions.quality import answer_quality, best_corpora, best_filter

    size, asked = params[0], tokens or []
    given = [_corpus(name, said) for name, said in pairs_of(corpus, "--corpus").items()]
    kept = {
        number_from(share, "--filter"): number_from(said, "--filter")
        for share, said in pairs_of(filters, "--filter").items()
    }
    found = best_corpora(fitted, given, size, asked) if given else None
    before = (unique_tokens or [0.0])[0]
    filtered = best_filter(fitted, [*kept], [*kept.values()], before, size, asked) if kept else None
    answer = answer_quality(fitted, found, filtered, params=size, qualities=qualities or ())
    if plots is not None:
        _draw(fitted, given, kept, before, size, asked, plots)
    print_answer(answer, as_json, allow_unconverged)


def _draw(
    fit: "Fit",
    corpora: "list[Corpus]",
    kept: dict[float, float],
    before: float,
    params: float,
    tokens: list[float],
    folder: Path,
) -> None:
    """Draw both questions over numbers of tokens around those that were asked."""
    from bayescale.decisions.quality import best_corpora, best_filter
    from bayescale.plots.decisions import around
    from bayescale.plots.quality import plot_corpora, plot_filters
    from bayescale.plots.style import save_figure
    from bayescale.posterior.prediction import with_few_draws

    few, wide = with_few_draws(fit), around(tokens)
    if corpora:
        save_figure(plot_corpora(best_corpora(few, corpora, params, wide)), folder / "corpora.png")
    if kept:
        curve = best_filter(few, [*kept], [*kept.values()], before, params, wide)
        save_figure(plot_filters(curve), folder / "filters.png")
    typer.echo(f"figures: {folder}", err=True)


def _corpus(name: str, said: str) -> "Corpus":
    """Read distinct tokens and quality of a corpus, 1e12:0.5."""
    from bayescale.decisions.quality import Corpus

    unique, colon, quality = said.partition(":")
    if not colon:
        raise BayescaleError(
            f"--corpus {name}={said}: say its distinct tokens and its quality: {name}={said}:1"
        )
    return Corpus(name, number_from(unique, "--corpus"), number_from(quality, "--corpus"))
