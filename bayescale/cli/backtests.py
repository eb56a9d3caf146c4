"""The command that tests extrapolation on the past."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import typer

from bayescale import readable
from bayescale.cli.options import (
    AllowUnconverged,
    BestPer,
    Columns,
    Group,
    Json,
    MidSchedule,
    Model,
    ParamsAre,
    RunsFile,
    Seed,
    Units,
    Where,
)
from bayescale.cli.reading import runs_of, spec_of
from bayescale.cli.sampling import steps
from bayescale.files import make_folder, replacing


def backtest(
    runs: RunsFile,
    model: Model = "chinchilla",
    where: Where = None,
    column: Columns = None,
    unit: Units = None,
    mid_schedule: MidSchedule = "exclude",
    best_per: BestPer = None,
    params_are: ParamsAre = "not stated",
    group: Group = None,
    cut: Annotated[
        list[float] | None,
        typer.Option(help="Fit runs up to this compute (or axis value). May be repeated."),
    ] = None,
    extrapolate: Annotated[
        Literal["plain", "weighted"] | None,
        typer.Option(
            help="Score the weighted posterior beside the plain one, or the plain one alone; by "
            "default both, where the law has both."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw it: a PNG, PDF or SVG file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV file for every prediction and its scores.")
    ] = None,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit the smaller runs, predict the larger ones, and see how far the intervals hold."""
    spec = spec_of(model, group)
    table = runs_of(runs, where, column, unit, mid_schedule, best_per, params_are)
    for path in (plot, out):
        if path is not None:
            make_folder(path.parent)  # before the long work, not after it
    with steps("backtest", 1 + len(cut or range(4))) as step:
        step("starting PyMC")
        from bayescale.backtest_summary import summarise_backtest
        from bayescale.backtesting import backtest as test_past

        found = test_past(table, spec, cuts=cut, extrapolate=extrapolate, seed=seed, progress=step)
    if out is not None:
        with replacing(out) as partial:
            found.table.to_csv(partial, index=False)
    if plot is not None:
        _draw(found, plot)
    summary = summarise_backtest(found)
    typer.echo(json.dumps(summary, indent=1, allow_nan=False) if as_json else _text(summary))
    for problem in found.problems:
        typer.echo(f"not converged: {problem}", err=True)
    if found.problems and not allow_unconverged:
        raise typer.Exit(1)


def _draw(found: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    from bayescale.plots import plot_backtest

    figure = plot_backtest(found)
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix.lstrip(".") or "png")
    plt.close(figure)


def _text(summary: dict[str, Any]) -> str:
    distances = [_row("decades beyond the runs", e["distance"], e) for e in summary["distances"]]
    cuts = [
        _row(f"fitted up to {summary['axis']}", _value(summary["axis"], e["cut"]), e)
        | {"runs fitted": str(e["fitted"]), "farthest": f"{e['farthest']:.2f} decades"}
        for e in summary["cuts"]
    ]
    return "\n".join(
        [
            *summary["sentences"],
            "",
            "Share of predicted runs inside their central intervals; width is that of the 90% one.",
            pd.DataFrame(distances).to_string(index=False),
            "",
            pd.DataFrame(cuts).to_string(index=False),
        ]
    )


def _row(title: str, label: str, entry: dict[str, Any]) -> dict[str, str]:
    return {
        "posterior": entry["posterior"],
        title: label,
        "predictions": str(entry["predictions"]),
        **({"cuts": str(entry["cuts"])} if "cuts" in entry else {}),
        **{f"{mass}%": f"{entry[f'coverage{mass}']:.0%}" for mass in (50, 80, 90)},
        "width": f"{entry['width90']:.1%}",
        "error": f"{entry['rmsle']:.2%}",
        "CRPS": f"{entry['crps']:.4f}",
        "log score": f"{entry['log_score']:.2f}",
    }


def _value(axis: str, value: float) -> str:
    return readable.flops(value) if axis == "flops" else readable.count(value)
