"""The command that tests extrapolation on the past."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescale import words
from bayescale.cli.options import (
    AS_IT_IS,
    AllowUnconverged,
    Draws,
    Group,
    Json,
    Model,
    Plot,
    Reading,
    RunsFile,
    Seed,
    Tune,
)
from bayescale.cli.reading import runs_of, spec_of
from bayescale.cli.sampling import stop_unless_converged
from bayescale.files import PICTURES, make_room, write
from bayescale.progress import step

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    import pandas as pd

    from bayescale.evaluation.backtest import Backtest


def backtest(
    runs: RunsFile,
    model: Model = "joint",
    reading: Reading = AS_IT_IS,
    group: Group = None,
    cut: Annotated[
        list[float] | None,
        typer.Option(help="Fit runs up to these sizes."),
    ] = None,
    plot: Plot = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV file of predictions and scores.")
    ] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Fit the smaller runs, and score predictions of the larger."""
    spec = spec_of(model, group)
    with step("reading"):
        table = runs_of(runs, reading, spec)
    for path, kinds in ((plot, PICTURES), (out, ())):
        if path is not None:
            make_room(path, kinds)  # before the long work, not after it
    with step("loading"):
        from bayescale.evaluation.backtest import answer_backtest
        from bayescale.evaluation.backtest import backtest as test_past

    with step("backtest"):
        found = test_past(table, spec, cuts=cut, draws=draws, tune=tune, seed=seed)
    if out is not None:
        write(out, found.table.to_csv(index=False))
    if plot is not None:
        with step("drawing"):
            from bayescale.plots import plot_backtest
            from bayescale.plots.style import save_figure

            save_figure(plot_backtest(found), plot)
    answer = answer_backtest(found)
    typer.echo(answer.to_json() if as_json else f"{answer}\n{_scores(found)}")
    stop_unless_converged(found.problems, allow_unconverged, found.left_out, said=not as_json)


def _scores(found: "Backtest") -> str:
    import pandas as pd

    from bayescale.evaluation.scores import percent

    unit = percent(found.response)
    distances = [
        _row(law, "decades beyond the runs", distance, scores, unit)
        | {"cuts": f"{scores['cuts']:.0f}"}
        for (law, distance), scores in found.summary.iterrows()
    ]
    cuts = [
        _row(law, f"fitted up to {found.axis}", words.size(found.axis, cut), scores, unit)
        | {"runs fitted": f"{scores['fitted']}", "farthest": f"{scores['farthest']:.2f} decades"}
        for (law, cut), scores in found.by_cut.iterrows()
    ]
    return "\n".join(
        [
            "",
            "Share of predicted runs inside their central intervals; width is that of the 90% one.",
            pd.DataFrame(distances).to_string(index=False),
            "",
            pd.DataFrame(cuts).to_string(index=False),
        ]
    )


def _row(law: str, title: str, label: str, scores: "pd.Series", unit: str) -> dict[str, str]:
    from bayescale.evaluation.backtest import SCORED

    return {
        "law": SCORED[law],
        title: label,
        "predictions": f"{scores['predictions']:.0f}",
        **{f"{mass}%": f"{scores[f'coverage{mass}']:.0%}" for mass in (50, 80, 90)},
        "width": f"{100 * scores['width90']:.1f}{unit}",
        "error": f"{100 * scores['rmsle']:.2f}{unit}",
        "CRPS": f"{scores['crps']:.4f}",
        "log score": f"{scores['log_score']:.2f}",
    }
