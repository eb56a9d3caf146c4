"""Commands that fit a model, and those that read a fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescale.cli.options import (
    AS_IT_IS,
    AllowUnconverged,
    Approaches,
    At,
    Backtested,
    Draws,
    FitFile,
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
)
from bayescale.cli.reading import fit_of, given_of, runs_of, spec_of, values_asked
from bayescale.cli.sampling import sample, stop_unless_converged
from bayescale.errors import ModelError, RunsError
from bayescale.files import make_folder, make_room
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import step
from bayescale.runs import datasets as tables

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    from bayescale.evaluation.backtest import Backtest
    from bayescale.posterior.fit import Fit
    from bayescale.runs.table import Runs


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("bayescale-demo"),
    seed: Seed = 1,
) -> None:
    """Make a report on the embedded sweep; needs no network."""
    from bayescale.runs.table import read_runs

    runs = read_runs(
        tables.load_dataset("minisweep"),
        {"params": "params_matmul"},
        where="family == 'transformer' and not budget.str.startswith('rep')",
        units={"params": 1},
        params_are="matrix-multiplication",
    )
    spec = load_model("joint")
    _report(runs, spec, [], "flops > 2e12", out, seed, allow_unconverged=False)


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
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("bayescale-report"),
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit a model and write report.html, summary.json and fit.nc."""
    spec = spec_of(model, group)
    asked, given = values_asked(spec, flops or [], at or []), given_of(spec, at or [])
    if approaches and (spec.group or not spec.law.is_joint):
        raise ModelError(f"--approaches needs a joint law without groups, not {spec.name}")
    with step("reading"):
        table = runs_of(runs, reading, spec.response.column)
    _report(
        table,
        spec,
        asked,
        hold_out,
        out,
        seed,
        allow_unconverged,
        same_validation=same_validation or None,
        approaches=approaches,
        backtest=backtest,
        given=given,
        draws=draws,
        tune=tune,
    )


def fit(
    runs: RunsFile,
    model: Model = "joint",
    reading: Reading = AS_IT_IS,
    group: Group = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("fit.nc"),
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit a model and keep the posterior in one netCDF file."""
    spec = spec_of(model, group)
    with step("reading"):
        table = runs_of(runs, reading, spec.response.column)
    from bayescale.modelling.pooling import group_names

    group_names(spec, table)
    make_room(out)  # before the long work, not after it
    fitted = sample(table, spec, seed, draws=draws, tune=tune)
    fitted.save(out)
    from bayescale.decisions.answer import problems_of, unconverged

    problems = problems_of(fitted)
    if as_json:
        from bayescale.report.record import answer_fit

        typer.echo(answer_fit(fitted, ()).to_json())
    else:
        for caveat in unconverged(problems):
            typer.echo(caveat)
        typer.echo(fitted.summary().to_string(float_format="{:.4g}".format))
        typer.echo(f"\nintervals: central 90%; the fit is in {out}")
    stop_unless_converged(problems, allow_unconverged)


def optima(
    fit: FitFile,
    flops: Annotated[
        list[float], typer.Option("--flops", help="Training budgets, e.g. 1e23,1e24.")
    ],
    at: Given = None,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Print the compute-optimal model and its basin for given budgets."""
    fitted = fit_of(fit)
    fitted = fitted.at(**given_of(fitted.spec, at or []))
    from bayescale.decisions.allocation import answer_optima

    answer = answer_optima(fitted, flops)
    typer.echo(answer.to_json() if as_json else answer)
    stop_unless_converged(answer.numbers["problems"], allow_unconverged)


def _report(
    runs: "Runs",
    spec: ModelSpec,
    asked: list[float],
    hold_out: str | None,
    out: Path,
    seed: int,
    allow_unconverged: bool,
    *,
    same_validation: bool | None = None,
    approaches: bool = False,
    backtest: bool | None = None,
    given: Mapping[str, Any] | None = None,
    draws: int = 1000,
    tune: int = 1000,
) -> None:
    lengths = {"draws": draws, "tune": tune}
    from bayescale.modelling.pooling import group_names
    from bayescale.runs.design import require_identifiable

    runs, held_out = (runs, None) if hold_out is None else runs.hold_out(hold_out)
    group_names(spec, runs)
    require_identifiable(runs, spec.designed, len(spec.priors), group=spec.group)
    on_curves = None
    if approaches:
        from bayescale.decisions.approaches import on_isoflops

        on_curves = on_isoflops(runs)
    if backtest:
        from bayescale.evaluation.folds import plan_cuts

        plan_cuts(runs, spec)  # refused before the long work
    make_folder(out)  # before the long work, not after it
    fitted = sample(runs, spec, seed, **lengths).at(**given or {})
    profiles = None
    if on_curves is not None:
        profiles = sample(on_curves, load_model("isoflop-profiles"), seed, **lengths)
    unpooled = None
    if spec.partial:
        unpooled = sample(runs, spec.unpooled(), seed, **lengths).at(**given or {})
    tested = None
    if backtest or (backtest is None and fitted.bends):
        tested = _backtested(fitted, asked=backtest is not None)
    from bayescale.report.write import write_report

    with step("report"):
        path = write_report(
            fitted,
            out,
            flops=asked,
            held_out=held_out,
            unpooled=unpooled,
            same_validation=same_validation,
            profiles=profiles,
            backtest=tested,
        )
    answer = json.loads((out / "summary.json").read_text("utf-8"))
    for sentence in (*answer["caveats"], *answer["sentences"]):
        typer.echo(sentence)
    typer.echo(f"report: {path}")
    stop_unless_converged(answer["problems"], allow_unconverged)


def _backtested(fitted: "Fit", *, asked: bool) -> "Backtest | str":
    """Backtest the runs of a fit; where they cannot be, say why, or refuse if it was asked for."""
    from bayescale.evaluation.backtest import backtest

    seed = int(fitted.tree.attrs["seed"])
    try:
        with step("backtest"):
            return backtest(fitted.runs, fitted.spec, seed=seed)
    except RunsError as error:
        if asked:
            raise
        return str(error)
