"""The command line. It reads options, calls the library and prints; it computes nothing.

Exit codes: 0 fine, 1 the fit did not converge, 2 something the user can mend.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from bayescale import datasets as tables
from bayescale.design import require_identifiable
from bayescale.errors import BayescaleError, ModelError, RunsError, RunsWarning
from bayescale.files import make_folder
from bayescale.groups import group_names
from bayescale.runs import Runs, read_runs
from bayescale.spec import ModelSpec, available_models, load_model

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    from bayescale.fitting import Fit

app = typer.Typer(
    help="Bayesian neural scaling laws: from a table of training runs to a posterior report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(
    help="List the shipped model files, or show one.", invoke_without_command=True
)
app.add_typer(models_app, name="models")

RunsFile = Annotated[Path, typer.Argument(metavar="RUNS", help="CSV, JSON lines or Parquet table.")]
FitFile = Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc written by fit or report.")]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or a TOML file.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Keep rows that meet a pandas query. May be repeated.", metavar="EXPR"),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Our column to yours, e.g. params=N. May be repeated.",
        metavar="OURS=YOURS",
    ),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        help="Size of one unit, e.g. params=1e9. May be repeated.",
        metavar="COLUMN=NUMBER",
    ),
]
ParamsAre = Annotated[str, typer.Option(help="What N counts: total, non-embedding, ...")]
Flops = Annotated[
    list[float] | None,
    typer.Option("--flops", help="Training budget to answer for. May be repeated."),
]
At = Annotated[
    list[float] | None,
    typer.Option("--at", help="Value of the axis of a single-axis model. May be repeated."),
]
BestPer = Annotated[
    str | None,
    typer.Option(
        help="Keep the best run for each of these, e.g. params,tokens.", metavar="COLUMNS"
    ),
]
MidSchedule = Annotated[
    str,
    typer.Option(
        help="What to do with unfinished runs: leave them out, keep them, or their weight.",
        metavar="exclude|keep|WEIGHT",
    ),
]
HoldOut = Annotated[
    str | None,
    typer.Option(help="Do not fit these rows, predict them: a pandas query.", metavar="EXPR"),
]
Group = Annotated[
    str | None,
    typer.Option(help="Column whose values are the groups of a hierarchical model."),
]
SameValidation = Annotated[
    bool,
    typer.Option(
        "--same-validation",
        help="All groups were scored on one validation set: compare their compute.",
    ),
]
Approaches = Annotated[
    bool,
    typer.Option(
        "--approaches", help="Also fit isoFLOP profiles and set the three approaches side by side."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same machine: same draws.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AllowUnconverged = Annotated[
    bool,
    typer.Option("--allow-unconverged", help="Exit with 0 even when the fit did not converge."),
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("bayescale-demo"),
    seed: Seed = 1,
) -> None:
    """Make a report on the embedded sweep; needs no network."""
    runs = read_runs(
        tables.load_dataset("minisweep"),
        {"params": "params_matmul"},
        where="family == 'transformer' and not budget.str.startswith('rep')",
        units={"params": 1},
        params_are="matrix-multiplication",
    )
    spec = load_model("chinchilla")
    _report(runs, spec, [], "flops > 2e12", out, seed, allow_unconverged=False)


@app.command()
def report(
    runs: RunsFile,
    model: Model = "chinchilla",
    where: Where = None,
    column: Columns = None,
    unit: Units = None,
    mid_schedule: MidSchedule = "exclude",
    best_per: BestPer = None,
    params_are: ParamsAre = "not stated",
    flops: Flops = None,
    at: At = None,
    hold_out: HoldOut = None,
    group: Group = None,
    same_validation: SameValidation = False,
    approaches: Approaches = False,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("bayescale-report"),
    seed: Seed = 1,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit a model and write report.html, summary.json and fit.nc."""
    spec = _spec(model, group)
    asked = _asked(spec, flops or [], at or [])
    table = _read(runs, where, column, unit, mid_schedule, best_per, params_are)
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
    )


@app.command("fit")
def fit_command(
    runs: RunsFile,
    model: Model = "chinchilla",
    where: Where = None,
    column: Columns = None,
    unit: Units = None,
    mid_schedule: MidSchedule = "exclude",
    best_per: BestPer = None,
    params_are: ParamsAre = "not stated",
    group: Group = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("fit.nc"),
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit a model and keep the posterior in one netCDF file."""
    from bayescale.summary import summarise_fit

    spec = _spec(model, group)
    table = _read(runs, where, column, unit, mid_schedule, best_per, params_are)
    group_names(spec, table)
    make_folder(out.parent)  # before the long work, not after it
    fitted = _fit(table, spec, seed)
    fitted.save(out)
    if as_json:
        typer.echo(json.dumps(summarise_fit(fitted, ()), indent=1))
    else:
        typer.echo(fitted.summary().to_string(float_format="{:.4g}".format))
        typer.echo(f"\nintervals: central 90%; the fit is in {out}")
    _stop_unless_converged(fitted, allow_unconverged)


@app.command()
def optima(
    fit: FitFile,
    flops: Annotated[
        list[float], typer.Option("--flops", help="Training budget. May be repeated.")
    ],
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Print the compute-optimal model and its basin for given budgets."""
    from bayescale.fitting import load_fit
    from bayescale.summary import answers, summarise_optima

    fitted = load_fit(fit)
    summary = {"optima": summarise_optima(fitted, flops), "predictions": []}
    if as_json:
        typer.echo(json.dumps({"optima": summary["optima"]}, indent=1))
    else:
        for sentence in answers(summary):
            typer.echo(sentence)
    if fitted.sampled:
        _stop_unless_converged(fitted, allow_unconverged)


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the shipped model files."""
    if context.invoked_subcommand is None:
        _listing(available_models(), as_json)


@models_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a shipped model, or a TOML file.")],
) -> None:
    """Print a model file: copy it, change it, pass its path as --model."""
    typer.echo(load_model(name).source, nl=False)


@app.command()
def datasets(
    name: Annotated[
        str | None, typer.Argument(help="Table to fetch; without it, list all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.csv.")] = None,
    as_json: Json = False,
) -> None:
    """List the tables that can be fetched by name, or write one as CSV."""
    if name is None:
        _listing(tables.available_datasets(), as_json)
        return
    target = out or Path(f"{name}.csv")
    if target.exists():
        raise RunsError(f"{target} exists already; name another file with --out")
    table = tables.load_dataset(name)
    table.to_csv(target, index=False)
    typer.echo(f"{len(table)} rows in {target}")


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Bayesian neural scaling laws: from a table of training runs to a posterior report."""
    if show_version:
        typer.echo(f"bayescale {version('bayescale')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; refusals become one line on stderr and exit code 2."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", RunsWarning)
        try:
            app()
        except BayescaleError as error:
            typer.echo(f"error: {error}", err=True)
            sys.exit(2)


def _report(
    runs: Runs,
    spec: ModelSpec,
    asked: list[float],
    hold_out: str | None,
    out: Path,
    seed: int,
    allow_unconverged: bool,
    *,
    same_validation: bool | None = None,
    approaches: bool = False,
) -> None:
    from bayescale.approaches import on_isoflops
    from bayescale.report import write_report
    from bayescale.summary import answers

    runs, held_out = (runs, None) if hold_out is None else runs.hold_out(hold_out)
    group_names(spec, runs)
    require_identifiable(runs, spec.inputs, len(spec.priors), group=spec.group)
    if approaches and (spec.group or not spec.law.is_joint):
        raise ModelError(f"--approaches needs a joint law without groups, not {spec.name}")
    on_curves = on_isoflops(runs) if approaches else None
    make_folder(out)  # before the long work, not after it
    fitted = _fit(runs, spec, seed)
    profiles = None
    if on_curves is not None:
        profiles = _fit(on_curves, load_model("isoflop-profiles"), seed)
    unpooled = _fit(runs, spec.unpooled(), seed) if spec.partial else None
    with _steps("report", 3) as step:
        path = write_report(
            fitted,
            out,
            flops=asked,
            held_out=held_out,
            unpooled=unpooled,
            same_validation=same_validation,
            profiles=profiles,
            progress=step,
        )
    for sentence in answers(json.loads((out / "summary.json").read_text("utf-8"))):
        typer.echo(sentence)
    typer.echo(f"report: {path}")
    for beside in (unpooled, profiles, fitted):
        if beside is not None:
            _stop_unless_converged(beside, allow_unconverged)


def _spec(model: str, group: str | None) -> ModelSpec:
    spec = load_model(model)
    return spec if group is None else spec.grouped_by(group)


def _asked(spec: ModelSpec, flops: list[float], at: list[float]) -> list[float]:
    """Choose the values to answer for, refused before the long work rather than after it."""
    if len(spec.inputs) > 1 and not spec.law.is_joint:
        raise ModelError(
            f"the model {spec.name} has no report of its own: fit a joint law with --approaches"
        )
    by_compute = spec.law.is_joint or spec.inputs == ("flops",)
    if flops and not by_compute:
        raise ModelError(
            f"the model {spec.name} reads {', '.join(spec.inputs)}, not compute: say which values "
            "to answer for with --at"
        )
    if at and len(spec.inputs) > 1:
        raise ModelError(f"the model {spec.name} is not one of a single axis: use --flops")
    for value in (*flops, *at):
        if not 0 < value < float("inf"):
            raise RunsError(f"{value:g} is no positive number to answer for")
    return [*flops, *at]


def _fit(runs: Runs, spec: ModelSpec, seed: int) -> "Fit":
    with _steps("fit", 2) as step:
        step("starting PyMC")
        from bayescale.fitting import fit

        step("compiling and sampling, about 20 s")
        return fit(runs, spec, seed=seed, progress=False)


def _stop_unless_converged(fitted: "Fit", allow: bool) -> None:
    for problem in fitted.diagnostics.problems:
        typer.echo(f"not converged: {fitted.spec.name}: {problem}", err=True)
    if fitted.diagnostics.problems and not allow:
        raise typer.Exit(1)


def _read(
    path: Path,
    where: list[str] | None,
    columns: list[str] | None,
    units: list[str] | None,
    mid_schedule: str,
    best_per: str | None,
    params_are: str,
) -> Runs:
    sizes = {}
    for name, text in _pairs(units, "--unit").items():
        try:
            sizes[name] = float(text)
        except ValueError:
            raise RunsError(f"--unit {name}={text}: {text!r} is not a number") from None
    return read_runs(
        path,
        _pairs(columns, "--column"),
        where=_all_of(where or []),
        units=sizes,
        mid_schedule=_word_or_weight(mid_schedule),
        best_per=tuple(best_per.split(",")) if best_per else (),
        params_are=params_are,
    )


def _word_or_weight(text: str) -> Literal["exclude", "keep"] | float:
    if text in ("exclude", "keep"):
        return "keep" if text == "keep" else "exclude"
    try:
        return float(text)
    except ValueError:
        raise RunsError(
            f"--mid-schedule {text}: write exclude, keep, or a weight between 0 and 1"
        ) from None


def _all_of(conditions: list[str]) -> str | None:
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return " and ".join(f"({condition})" for condition in conditions)


def _pairs(entries: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for entry in entries or ():
        left, equals, right = entry.partition("=")
        if not (left and equals and right):
            raise RunsError(f"{option} {entry}: write it as NAME=VALUE")
        if left in pairs:
            raise RunsError(f"{option} names {left} twice")
        pairs[left] = right
    return pairs


def _listing(entries: dict[str, str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(entries, indent=1))
        return
    width = max(map(len, entries))
    for name, summary in entries.items():
        typer.echo(f"{name:<{width}}  {summary}")


@contextmanager
def _steps(label: str, steps: int) -> Iterator[Any]:
    """Progress bar on stderr, silent where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    with typer.progressbar(length=steps, label=label, file=sys.stderr, show_eta=False) as bar:

        def step(name: str) -> None:
            bar.label = f"{label}: {name}"
            bar.update(1)

        yield step


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print what the runs make doubtful in one line; the warnings of libraries keep quiet."""
    if issubclass(category, RunsWarning):
        typer.echo(f"warning: {message}", err=True)
