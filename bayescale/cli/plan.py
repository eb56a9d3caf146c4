"""Commands that ask a fit what to do."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bayescale.cli.options import (
    NO_PRICE,
    OF_THE_RUNS,
    AllowUnconverged,
    Given,
    Json,
    Money,
    Plot,
    Span,
    each,
    expanded,
)
from bayescale.cli.reading import given_of, inputs_of, pairs_of, require_fit
from bayescale.cli.sampling import print_answer
from bayescale.decisions.prices import IN_FLOPS, Prices
from bayescale.errors import FitError
from bayescale.files import PICTURES, make_room
from bayescale.modelling.spec import load_model
from bayescale.runs.reading import kind_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayescale.posterior.fit import Fit


class _Questions(TyperGroup):
    """Let FIT and options stand before the question as well as after it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        question = next((text for text in args if text in self.commands), None)
        if question is not None:
            at = args.index(question)
            args = [question, *args[:at], *args[at + 1 :]]
        elif args and "--help" not in args:
            ctx.fail(f"name a question: {', '.join(self.commands)}")
        return super().parse_args(ctx, args if question or not args else ["--help"])


plan_app: typer.Typer = typer.Typer(
    cls=_Questions,
    short_help="Decide: how long to train, which plan, which run next, ...",
    help="Decide: how long to train, which plan, which run next, which learning rate. FIT is a "
    "fit.nc, or constants: "
    '"chinchilla: E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283".',
    no_args_is_help=True,
    subcommand_metavar="FIT QUESTION [ARGS]...",
)

FitOrConstants = Annotated[
    str, typer.Argument(metavar="FIT", help="A fit.nc, or constants of a law.")
]
Group = Annotated[str | None, typer.Option(help="Group to decide for, of a fit with groups.")]


@plan_app.command()
@expanded
def overtraining(
    fit: FitOrConstants,
    inference_tokens: Annotated[
        list[float], typer.Option("--inference-tokens", help="Tokens served. May be repeated.")
    ],
    loss: Annotated[float | None, typer.Option(help="Target loss, nats per token.")] = None,
    flops: Annotated[
        float | None, typer.Option(help="Target: the loss of this budget, compute-optimal.")
    ] = None,
    params: Annotated[
        float | None, typer.Option(help="Target: the loss of this size, compute-optimal.")
    ] = None,
    size: Annotated[
        list[float] | None, typer.Option("--size", help="Also price this size. May be repeated.")
    ] = None,
    max_params: Annotated[float | None, typer.Option(help="Largest size to deploy.")] = None,
    max_tokens: Annotated[float | None, typer.Option(help="Most tokens to train on.")] = None,
    span: Span = OF_THE_RUNS,
    money: Money = NO_PRICE,
    group: Group = None,
    at: Given = None,
    plot: Plot = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Find the cheapest model of a loss that will serve so many tokens."""
    prices = prices_of(money)
    fitted = _asked(fit, group, plot, at)
    from bayescale.decisions.overtraining import answer_overtraining, cheapest, target_loss

    served = inference_tokens
    caps = {"max_params": max_params, "max_tokens": max_tokens}
    target = target_loss(fitted, loss=loss, flops=flops, params=params)
    if plot is not None:
        from bayescale.plots.decisions import around, plot_overtraining

        curve = cheapest(fitted, target, around(served), prices=prices, **caps, **asdict(span))
        _save(plot_overtraining(curve), plot)
    found = cheapest(fitted, target, served, prices=prices, **caps, **asdict(span))
    answer = answer_overtraining(fitted, target, found, prices=prices, caps=caps, sizes=size or [])
    print_answer(answer, as_json, allow_unconverged)


@plan_app.command()
@expanded
def repetition(
    fit: FitOrConstants,
    unique_tokens: Annotated[float, typer.Option("--unique-tokens", help="U, distinct tokens.")],
    flops: Annotated[
        list[float], typer.Option("--flops", help="Training budget. May be repeated.")
    ],
    quality: Annotated[
        list[float] | None,
        typer.Option(
            "--quality", help="Worth of a token of other data, in fresh ones. May be repeated."
        ),
    ] = None,
    group: Group = None,
    at: Given = None,
    plot: Plot = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Find the best size and number of epochs when the data end."""
    fitted = _asked(fit, group, plot, at)
    from bayescale.decisions.wall import answer_wall, best_under_wall

    answer = answer_wall(fitted, flops, unique_tokens, qualities=quality or ())
    if plot is not None:
        from bayescale.plots.decisions import around, plot_wall

        _save(plot_wall(best_under_wall(fitted, around(flops), unique_tokens)), plot)
    print_answer(answer, as_json, allow_unconverged)


@plan_app.command()
@expanded
def plans(
    fit: FitOrConstants,
    table: Annotated[
        Path,
        typer.Argument(
            metavar="PLANS",
            help="CSV: params, tokens; optional plan, unique_tokens, inference_tokens, cost.",
        ),
    ],
    span: Span = OF_THE_RUNS,
    money: Money = NO_PRICE,
    group: Group = None,
    at: Given = None,
    plot: Plot = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Compare candidate plans by loss, probability of being best and expected regret."""
    prices = prices_of(money)
    fitted = _asked(fit, group, plot, at, beside=table)
    from bayescale.decisions.plans import answer_plans, plan_outcomes, rank_plans

    ranked = rank_plans(plan_outcomes(fitted, table, prices=prices, **asdict(span)))
    if plot is not None:
        from bayescale.plots.decisions import plot_plans

        _save(plot_plans(ranked), plot)
    print_answer(answer_plans(fitted, ranked), as_json, allow_unconverged)


@plan_app.command("next-runs")
@expanded
def next_runs(
    fit: FitOrConstants,
    flops: Annotated[
        float, typer.Option("--flops", help="Budget whose best size is to become surer.")
    ],
    max_flops: Annotated[
        float, typer.Option("--max-flops", help="Budget of all new runs together.")
    ],
    runs: Annotated[int, typer.Option(min=1, help="Most new runs.")] = 5,
    candidates: Annotated[
        Path | None, typer.Option(help="Table of runs that can be made: params, tokens.")
    ] = None,
    span: Span = OF_THE_RUNS,
    group: Group = None,
    at: Given = None,
    plot: Plot = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Suggest the runs that would make the best size at a budget surest."""
    fitted = _asked(fit, group, plot, at, beside=candidates)
    from bayescale.decisions.next_runs import answer_next_runs, log_optimum, suggest_runs
    from bayescale.decisions.plans import read_plans

    table = None if candidates is None else read_plans(candidates)
    quantity = log_optimum(fitted, flops)
    found = suggest_runs(
        fitted, quantity, max_flops=max_flops, runs=runs, candidates=table, **asdict(span)
    )
    if plot is not None:
        from bayescale.plots.decisions import plot_next_runs

        _save(plot_next_runs(found, fitted.runs), plot)
    print_answer(answer_next_runs(fitted, found), as_json, allow_unconverged)


@plan_app.command()
@expanded
def multiplier(
    fit: FitOrConstants,
    than: Annotated[str, typer.Option("--reference", help="Group that --group is compared with.")],
    loss: Annotated[
        list[float] | None, typer.Option("--loss", help="Target loss. May be repeated.")
    ] = None,
    flops: Annotated[
        list[float] | None,
        typer.Option("--flops", help="Budgets at which to say which is better: 1e23."),
    ] = None,
    same_validation: Annotated[
        bool, typer.Option("--same-validation", help="Both were scored on one validation set.")
    ] = False,
    group: Group = None,
    at: Given = None,
    plot: Plot = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say how many times the compute of another group one needs, and which is better."""
    if group is None:
        raise FitError(
            "name the group: bayescale plan FIT multiplier --group NAME --reference NAME"
        )
    whole = _asked(fit, None, plot, at)
    from bayescale.decisions.multiplier import answer_multiplier, compute_multiplier, crossing

    same = same_validation or None
    found = compute_multiplier(whole, group, than, losses=loss, same_validation=same)
    better = crossing(whole, group, than, flops, same_validation=same) if flops else None
    if plot is not None:
        from bayescale.plots.multiplier import plot_multiplier

        _save(plot_multiplier(found), plot)
    print_answer(answer_multiplier(whole, found, better), as_json, allow_unconverged)


@plan_app.command()
@expanded
def best(
    fit: Annotated[str, typer.Argument(metavar="FIT", help="A fit.nc written by fit or report.")],
    over: Annotated[str, typer.Option("--over", help="Knob or mixture to choose.")],
    group: Group = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            help="Value of every other input: params=1e9,tokens=2e10.",
            metavar="INPUT=VALUE",
        ),
        each,
    ] = None,
    plot: Plot = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Find the best value of a knob, such as a learning rate, or the best mixture."""
    fitted = _asked(fit, group, plot)
    from bayescale.decisions.optimum import answer_optimum, optimum

    found = optimum(fitted, over, **inputs_of(fitted.spec, at or []))
    if plot is not None:
        from bayescale.plots import plot_optimum

        _save(plot_optimum(fitted, found), plot)
    print_answer(answer_optimum(fitted, found), as_json, allow_unconverged)


def _asked(
    source: str,
    group: str | None,
    plot: Path | None,
    at: list[str] | None = None,
    *,
    beside: Path | None = None,
) -> "Fit":
    """Give the fit that is asked, at the inputs that are given, of one group if it is named."""
    whole = fit_or_constants(source, beside)
    whole = whole.at(**given_of(whole.spec, at or []))
    if plot is not None:
        make_room(plot, PICTURES)  # before the long work, not after it
    return whole if group is None else whole.of_group(group)


def fit_or_constants(source: str, beside: Path | None = None) -> "Fit":
    """Read a fit, or take constants written as NAME: PARAMETER=VALUE, ...

    What is wrong with the names, and with that of a table `beside`, is refused before PyMC is
    imported, which takes seconds.

    Parameters
    ----------
    source : str
        Path of a fit, or constants.
    beside : Path, optional

    Returns
    -------
    Fit

    Raises
    ------
    FitError
        For constants that are no numbers.
    """
    model, colon, text = source.partition(":")
    values = _constants(text) if colon and "=" in text else None
    if values is None:
        require_fit(Path(source))
    else:
        load_model(model.strip())
    if beside is not None:
        kind_of(beside)
    from bayescale.posterior.fitting import constants_fit
    from bayescale.posterior.loading import load_fit

    return load_fit(source) if values is None else constants_fit(model.strip(), **values)


def _constants(text: str) -> dict[str, float]:
    values = {}
    for name, value in pairs_of([part.strip() for part in text.split(",")], "constants").items():
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise FitError(f"constants: {name}={value}: {value!r} is not a number") from None
    return values


def prices_of(money: Money) -> Prices:
    """Price FLOPs as the options say; without a price per hour FLOPs count themselves.

    Parameters
    ----------
    money : Money

    Returns
    -------
    Prices

    Raises
    ------
    FitError
        For options of accelerators that have no price.
    """
    given = {name: value for name, value in asdict(money).items() if value is not None}
    if given and money.per_hour is None:
        option = next(iter(given)).replace("_", "-")
        raise FitError(f"--{option} prices accelerators: give --per-hour as well")
    return Prices.of_hardware(**given, unit="$") if given else IN_FLOPS


def _save(figure: "Figure", path: Path) -> None:
    from bayescale.plots.style import save_figure

    save_figure(figure, path)
    typer.echo(f"figure: {path}", err=True)
