"""Commands that fit a model, and those that read a fit."""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescale import words
from bayescale.cli.options import (
    AS_IT_IS,
    AllowUnconverged,
    Approaches,
    At,
    Backtested,
    Draws,
    Flops,
    Given,
    Group,
    HoldOut,
    Json,
    Model,
    Reading,
    RunsFile,
    SameValidation,
    Seed,
    Tune,
    Verbose,
)
from bayescale.cli.plan import FitOrConstants, fit_or_constants
from bayescale.cli.reading import given_of, runs_of, spec_of, values_asked
from bayescale.cli.sampling import print_answer, sample, stop_unless_converged
from bayescale.errors import FitError, ModelError, RunsError
from bayescale.files import make_folder, make_room
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import step
from bayescale.runs import datasets as tables

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    from bayescale.evaluation.backtest import Backtest
    from bayescale.posterior.fit import Fit
    from bayescale.runs.table import Runs

DEMO_LAWS = ("chinchilla", "coupled", "chinchilla-bend", "coupled-bend")
"""Laws that the demo compares, exact and bending."""

_NOT_SHOWN = ["mean", "mcse_mean", "mcse_sd"]
"""Columns of a summary that medians make superfluous: a table of one screen."""

_INTERVALS = "Medians, each with its central 90% credible interval below it."


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the report.")] = Path(
        "bayescale-demo"
    ),
    seed: Seed = 1,
    verbose: Verbose = False,
) -> None:
    """Make a report on the embedded sweep; needs no network."""
    make_folder(out)  # before the long work, not after it
    from bayescale.runs.table import read_runs

    runs = read_runs(
        tables.load_dataset("minisweep"),
        {"params": "params_matmul"},
        where="family == 'transformer' and not budget.str.startswith('rep')",
        units={"params": 1},
        params_are="matrix-multiplication",
    )
    fitted, held_out = runs.hold_out("flops > 2e12")
    chosen, why = _best_law(fitted, DEMO_LAWS, seed)
    _write(chosen, out, held_out=held_out, chosen=why, verbose=verbose)


def _best_law(runs: "Runs", names: Sequence[str], seed: int) -> "tuple[Fit, str]":
    """Fit several laws, take the one that predicts runs best, and say by how much."""
    from bayescale.evaluation.compare import compare, preference

    fits = {name: sample(runs, load_model(name), seed) for name in names}
    with step("comparing"):
        comparison = compare(fits, seed=seed)
    return fits[comparison.table.index[0]], preference(comparison)


def report(
    runs: RunsFile,
    model: Model = "joint",
    reading: Reading = AS_IT_IS,
    flops: Flops = None,
    at: At = None,
    hold_out: HoldOut = None,
    group: Group = None,
    same_validation: SameValidation = False,
    approaches: Approaches = False,
    backtest: Backtested = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the report.")] = Path(
        "bayescale-report"
    ),
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    allow_unconverged: AllowUnconverged = False,
    verbose: Verbose = False,
) -> None:
    """Fit a model and write report.html, summary.json and fit.nc."""
    spec = spec_of(model, group)
    asked, given = values_asked(spec, flops or [], at or []), given_of(spec, at or [])
    if approaches and (spec.group or not spec.law.is_joint):
        raise ModelError(f"--approaches needs a joint law without groups, not {spec.name}")
    with step("reading"):
        table = runs_of(runs, reading, spec)
    from bayescale.modelling.inputs import completed

    table = completed(spec, table)
    table, held_out = (table, None) if hold_out is None else table.hold_out(hold_out)
    _require_reportable(table, spec, backtest)
    on_curves = None
    if approaches:
        from bayescale.runs.isoflops import on_isoflops

        on_curves = on_isoflops(table)
    make_folder(out)  # before the long work, not after it
    pools = spec.partial and not spec.law.has_profiles  # minima on no line say nothing of budgets
    fit_to = partial(sample, seed=seed, draws=draws, tune=tune)
    _write(
        fit_to(table, spec).at(**given),
        out,
        flops=asked,
        held_out=held_out,
        profiles=fit_to(on_curves, load_model("isoflop-profiles")) if on_curves else None,
        unpooled=fit_to(table, spec.unpooled()).at(**given) if pools else None,
        same_validation=same_validation or None,
        backtest=backtest,
        allow_unconverged=allow_unconverged,
        verbose=verbose,
    )


def fit(
    runs: RunsFile,
    model: Model = "joint",
    reading: Reading = AS_IT_IS,
    group: Group = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")] = Path("fit.nc"),
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    backend: Annotated[str, typer.Option(help="nutpie, or jax: on a device, if JAX finds one.")] = (
        "nutpie"
    ),
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit a model and keep the posterior in one netCDF file."""
    spec = spec_of(model, group)
    with step("reading"):
        table = runs_of(runs, reading, spec)
    from bayescale.modelling.inputs import completed
    from bayescale.modelling.pooling import group_names

    table = completed(spec, table)
    group_names(spec, table)
    make_room(out)  # before the long work, not after it
    fitted = sample(table, spec, seed, draws=draws, tune=tune, backend=backend)
    replaced = _replaced(out, fitted)
    fitted.save(out)
    _say_replaced(out, replaced)
    from bayescale.report.record import answer_first, answer_fit

    answer = answer_fit(fitted, ()) if as_json else answer_first(fitted)
    if as_json:
        typer.echo(answer.to_json())
    else:
        if said := str(answer):
            typer.echo(f"{said}\n")
        shown = fitted.summary().drop(columns=_NOT_SHOWN, errors="ignore")
        typer.echo(shown.to_string(float_format="{:.4g}".format))
        typer.echo(f"\nintervals: central 90%; the fit is in {out}")
        for command in _next(answer.numbers, out):
            typer.echo(f"next: {command}")
    stop_unless_converged(answer.numbers["problems"], allow_unconverged, said=not as_json)


def _next(numbers: dict[str, Any], out: Path) -> Iterator[str]:
    """Name the commands that can answer about a saved fit, by what it could be asked first."""
    file = shlex.quote(str(out))
    yield f"bayescale check {file}"
    if optima := numbers.get("optima"):
        budget = words.flops(optima[0]["flops"])
        yield f"bayescale optima {file} --flops {budget}"
        groups = list(dict.fromkeys(entry["group"] for entry in optima))
        if len(groups) > 1:
            one, other = map(shlex.quote, groups[:2])
            yield (
                f"where groups share a validation set, bayescale plan {file} multiplier "
                f"--group {one} --reference {other} --same-validation --flops {budget}"
            )
    elif numbers.get("tasks"):
        at = numbers["predictions"][0]["at"]
        if {"params", "tokens"} <= at.keys():
            planned = (f"--{name} {words.flops(at[name])}" for name in ("params", "tokens"))
            yield f"bayescale targets {file} {' '.join(planned)}"


def optima(
    fit: FitOrConstants,
    flops: Annotated[
        list[float], typer.Option("--flops", help="Training budgets, e.g. 1e23,1e24.")
    ],
    at: Given = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Print the compute-optimal model of budgets, and its basin."""
    fitted = fit_or_constants(fit)
    fitted = fitted.at(**given_of(fitted.spec, at or []))
    from bayescale.decisions.allocation import answer_optima

    print_answer(answer_optima(fitted, flops), as_json, allow_unconverged)


def _require_reportable(runs: "Runs", spec: ModelSpec, backtest: bool | None) -> None:
    """Refuse before the long work what would fail after it."""
    from bayescale.modelling.pooling import group_names
    from bayescale.runs.design import require_identifiable

    group_names(spec, runs)
    require_identifiable(
        runs,
        spec.designed,
        len(spec.priors),
        group=spec.group,
        held=spec.may_hold,
        bowl=bool(spec.law.least),
    )
    if backtest:
        from bayescale.evaluation.folds import plan_cuts

        plan_cuts(runs, spec)


def _write(
    fitted: "Fit",
    out: Path,
    *,
    backtest: bool | None = None,
    allow_unconverged: bool = False,
    verbose: bool = False,
    **beside: Any,
) -> None:
    """Write the report of a fit and print what it says first."""
    tested = None
    if backtest or (backtest is None and fitted.bends):
        tested = _backtested(fitted, asked=backtest is not None)
    from bayescale.decisions.headline import headline
    from bayescale.report.write import write_report

    command, replaced = shlex.join(["bayescale", *sys.argv[1:]]), _replaced(out / "fit.nc", fitted)
    with step("report"):
        path = write_report(fitted, out, backtest=tested, command=command, **beside)
    answer = json.loads((out / "summary.json").read_text("utf-8"))
    table = headline(answer, fitted.spec.response)
    width = shutil.get_terminal_size().columns
    said = answer["sentences" if verbose else "opening"]
    answers = [table.text(width), _INTERVALS] if table else []
    for line in (*answer["caveats"], *answers, *said):
        typer.echo(f"{line}\n")
    typer.echo(f"report: {path}")
    _say_replaced(out, replaced)
    stop_unless_converged(answer["problems"], allow_unconverged, said=True)


def _replaced(path: Path, fitted: "Fit") -> str:
    """Say what a file holds that will be replaced; nothing if it is of the same runs and model."""
    if not path.is_file():
        return ""
    from bayescale.posterior.loading import load_fit

    try:
        old = load_fit(path)
    except FitError:
        return "no fit that can be read"
    if old.runs.table.equals(fitted.runs.table) and old.spec.source == fitted.spec.source:
        return ""
    return f"{old.spec.name}, fitted to {words.counted(len(old.runs), 'run')} of {old.runs.source}"


def _say_replaced(place: Path, held: str) -> None:
    if held:
        typer.echo(f"replaced {place}: it held {held}; to keep both name another --out", err=True)


def _backtested(fitted: "Fit", *, asked: bool) -> "Backtest | str":
    """Backtest the runs of a fit; where they cannot be, say why, or refuse if it was asked for."""
    from bayescale.evaluation.backtest import backtest

    seed = int(fitted.tree.attrs["seed"])
    try:
        with step("backtest"):
            return backtest(fitted.runs, fitted.spec, seed=seed)
    except (FitError, RunsError) as error:
        if asked:
            raise
        return str(error)
