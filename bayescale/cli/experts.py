"""The command that says how many experts are best."""

from functools import partial
from pathlib import Path
from typing import Annotated

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
)
from bayescale.cli.reading import runs_of
from bayescale.cli.sampling import print_answer, sample
from bayescale.errors import RunsError
from bayescale.files import make_folder
from bayescale.modelling.spec import load_model
from bayescale.progress import step


def experts(
    runs: RunsFile,
    flops: Annotated[float | None, typer.Option(help="Most training FLOPs: 1e22.")] = None,
    memory: Annotated[float | None, typer.Option(help="Most parameters in all: 40e9.")] = None,
    bytes_per_param: Annotated[
        float | None, typer.Option("--bytes", help="Of a parameter: --memory is in bytes.")
    ] = None,
    serving: Annotated[float | None, typer.Option(help="Most FLOPs a token served.")] = None,
    tokens: Annotated[
        float | None, typer.Option(metavar="D", help="Of training; else what the FLOPs pay.")
    ] = None,
    number: Annotated[
        list[float] | None,
        typer.Option("--experts", help="Numbers to choose among; else powers of 2.", metavar="X"),
    ] = None,
    expert_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of active params that an expert adds."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of routers, to tell apart.")
    ] = None,
    reading: Reading = AS_IT_IS,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For a picture.")] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say how many experts are best, and what dense models do."""
    if bytes_per_param is not None and (memory is None or not bytes_per_param > 0):
        raise RunsError("--bytes: a positive number, beside --memory in bytes")
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    with step("reading"):
        table = runs_of(runs, reading, load_model("experts"))
    with step("loading"):
        from bayescale.decisions.experts import (
            answer_experts,
            best_experts,
            experts_model,
            require_caps,
            routers_of,
        )
    spec = experts_model(table)
    caps = {
        "flops": flops,
        "memory": None if memory is None else memory / (bytes_per_param or 1.0),
        "serving": serving,
        "tokens": tokens,
        "share": expert_share,
    }
    require_caps(table, spec, **caps)  # before the long work
    parts = {"all": table} if group is None else routers_of(table, group)
    fit_to = partial(sample, spec=spec, seed=seed, draws=draws, tune=tune)
    fits = {name: fit_to(own) for name, own in parts.items()}
    found = {name: best_experts(fit, experts=number or (), **caps) for name, fit in fits.items()}
    answer = answer_experts(fits, found)
    if plots is not None:
        from bayescale.plots.experts import plot_experts
        from bayescale.plots.style import save_figure

        save_figure(plot_experts(fits), plots / "experts.png")
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer, as_json, allow_unconverged)
