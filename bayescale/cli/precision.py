"""The command that says what bits a weight should have."""

import re
import warnings
from pathlib import Path
from typing import Annotated

import typer

from bayescale.cli.options import AllowUnconverged, Columns, Draws, Json, Seed, Tune, Where, names
from bayescale.cli.plan import fit_or_constants
from bayescale.cli.reading import all_of, pairs_of
from bayescale.cli.sampling import print_answer, sample
from bayescale.errors import BayescaleError, RunsWarning
from bayescale.files import make_folder
from bayescale.modelling.spec import load_model
from bayescale.progress import step
from bayescale.runs.reading import kind_of

ONE, SEVERAL = "precision", "precision-hierarchical"
"""Models of one model that was quantised, and of several."""

_UNITS = {
    **{"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
    **{"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40},
}


def precision(
    table: Annotated[
        Path,
        typer.Argument(metavar="QUANTISED", help="Table: bits_per_weight, loss_increase, ..."),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="What tells models and methods apart; by default model.", metavar="COLUMN"
        ),
        names,
    ] = None,
    joint: Annotated[
        str | None,
        typer.Option(metavar="FIT", help="Plan by this joint law: a fit.nc, or constants."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="BYTES", help="That the weights may take: 40GB, 24GiB.")
    ] = None,
    flops: Annotated[
        list[float] | None, typer.Option("--flops", help="Compute of the training.", metavar="C")
    ] = None,
    tokens: Annotated[
        list[float] | None, typer.Option("--tokens", help="Or its tokens: 15T.", metavar="D")
    ] = None,
    bits: Annotated[
        list[float] | None, typer.Option("--bits", help="Bits per weight to compare: 3,4,8.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The planned one is like it; else new.")
    ] = None,
    where: Where = None,
    column: Columns = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For a picture.")] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Say what fewer bits cost, and how many fit best."""
    room = _memory(joint, memory, [*(flops or []), *(tokens or [])])
    budget = {"flops": flops[0] if flops else None, "tokens": tokens[0] if tokens else None}
    kind_of(table)
    law = None if joint is None else fit_or_constants(joint)
    if plots is not None:
        make_folder(plots)  # before the long work, not after it
    with step("reading"):
        from bayescale.runs.quantisation import MODEL, read_quantised

        given = pairs_of(column, "--column")
        runs = read_quantised(table, given, by=by or MODEL, where=all_of(where or []))
    several = runs.table[MODEL].nunique() > 1
    with warnings.catch_warnings():
        for known in ("two levels only", "one number of", "collinear design"):  # the answer says it
            warnings.filterwarnings("ignore", known, RunsWarning)
        spec = load_model(SEVERAL if several else ONE)
        fitted = sample(runs, spec, seed, draws=draws, tune=tune)
    from bayescale.decisions.precision import FORMATS, answer_precision, best_precision

    asked = bits or FORMATS
    found = (
        None
        if law is None or room is None
        else best_precision(law, fitted, room, **budget, bits=asked, like=like)
    )
    answer = answer_precision(fitted, law, found, bits=asked)
    if plots is not None:
        from bayescale.plots.precision import plot_precision
        from bayescale.plots.style import save_figure

        save_figure(plot_precision(fitted, found), plots / "precision.png")
        typer.echo(f"figures: {plots}", err=True)
    print_answer(answer, as_json, allow_unconverged)


def _memory(joint: str | None, memory: str | None, budgets: list[float]) -> float | None:
    """Read the memory of a plan, which needs a joint law and one training budget as well."""
    given = [joint is not None, memory is not None, bool(budgets)]
    if any(given) and not (all(given) and len(budgets) == 1):
        raise BayescaleError(
            "a plan needs a joint law, a memory, and the compute or the tokens of its training: "
            "--joint FIT --memory 40GB --flops 1e24"
        )
    return None if memory is None else _bytes(memory)


def _bytes(text: str) -> float:
    """Read a number of bytes, 40GB or 24GiB."""
    said = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([a-z]*)\s*", text.lower())
    if said is None or said[2] not in _UNITS or said[1].count(".") > 1:
        raise BayescaleError(f"--memory: {text!r} is no number of bytes; write 40GB or 24GiB")
    return float(said[1]) * _UNITS[said[2]]
