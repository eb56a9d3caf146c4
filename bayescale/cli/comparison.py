"""The command that compares laws."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescale import words
from bayescale.cli.options import (
    AS_IT_IS,
    AllowUnconverged,
    At,
    Draws,
    Flops,
    Group,
    Json,
    Reading,
    RunsFile,
    Seed,
    Tune,
    names,
)
from bayescale.cli.reading import given_of, runs_of, spec_of, values_asked
from bayescale.cli.sampling import sample, stop_unless_converged
from bayescale.errors import ModelError
from bayescale.files import make_folder, write
from bayescale.laws import Response
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.progress import step
from bayescale.runs.reading import Table, kind_of

if TYPE_CHECKING:  # importing PyMC takes seconds: only the commands that sample pay for it
    from bayescale.decisions.answer import Answer
    from bayescale.evaluation.compare import Comparison

DEFAULT_MODELS = ("chinchilla", "chinchilla-normal", "kaplan")


def compare(
    runs: RunsFile,
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="Two or more; else " + ",".join(DEFAULT_MODELS),
            metavar="A,B,...",
        ),
        names,
    ] = None,
    reading: Reading = AS_IT_IS,
    flops: Flops = None,
    at: At = None,
    group: Group = None,
    folds: Annotated[
        int, typer.Option(min=2, metavar="N", help="Folds, where they are needed.")
    ] = 10,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For comparison.json and .png.")
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Plans: which one would each law choose?"),
    ] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    seed: Seed = 1,
    as_json: Json = False,
    allow_unconverged: AllowUnconverged = False,
) -> None:
    """Compare models by their predictions and by their decisions."""
    specs = _specs(models or DEFAULT_MODELS, group)
    asked = [value for spec in specs for value in values_asked(spec, flops or [], at or [])]
    given = [given_of(spec, at or []) for spec in specs]
    _require_one_question(specs)
    if plans is not None:
        _require_plannable(specs)
        kind_of(plans)
    with step("reading"):
        table = runs_of(runs, reading, specs[0])
    candidates = None if plans is None else _plans(plans, specs)
    from bayescale.modelling.inputs import completed
    from bayescale.modelling.pooling import group_names
    from bayescale.posterior.fit import design_of

    for spec in specs:  # what the runs cannot say is said before the first model is sampled
        group_names(spec, table)
        design_of(spec, completed(spec, table))
    if out is not None:
        make_folder(out)  # before the long work, not after it
    fits = {
        spec.name: sample(table, spec, seed, draws=draws, tune=tune).at(**own)
        for spec, own in zip(specs, given, strict=True)
    }
    with step("comparing"):
        from bayescale.evaluation.compare import answer_comparison
        from bayescale.evaluation.compare import compare as compare_fits

        comparison = compare_fits(fits, flops=asked, folds=folds, seed=seed)
        answer = answer_comparison(comparison)
    if candidates is not None:
        from bayescale.decisions.plans import answer_plans_by_law

        chosen = answer_plans_by_law(comparison.fits, comparison.weights, candidates)
        answer = replace(
            answer,
            numbers={**answer.numbers, "plans": chosen.record},
            sentences=(*answer.sentences, *chosen.sentences),
        )
    if out is not None:
        _write(comparison, answer, out)
    typer.echo(answer.to_json() if as_json else _text(answer, specs[0].response))
    if out is not None:
        typer.echo(f"comparison: {out / 'comparison.json'}, {out / 'comparison.png'}", err=as_json)
    problems = answer.numbers["problems"]
    stop_unless_converged(problems, allow_unconverged, comparison.left_out, said=not as_json)


def _specs(models: Sequence[str], group: str | None) -> list[ModelSpec]:
    specs = [load_model(name) for name in models]
    if len({spec.name for spec in specs}) < max(2, len(specs)):
        raise ModelError(f"--models {','.join(models)}: name two models or more, each once")
    if group is not None and not any(spec.group for spec in specs):
        spec_of(models[0], group)  # says which models have groups
    return [spec.grouped_by(group) if group and spec.group else spec for spec in specs]


def _require_plannable(specs: list[ModelSpec]) -> None:
    for spec in specs:
        if not spec.law.is_joint or spec.group:
            raise ModelError(f"--plans needs joint laws without groups, not {spec.name}")


def _plans(path: Path, specs: list[ModelSpec]) -> Table:
    """Read plans, and refuse before sampling what a model could not judge."""
    from bayescale.decisions.plans import read_plans

    table = read_plans(path)
    repeated = "unique_tokens" in table and (table["unique_tokens"] < table["tokens"]).any()
    for spec in specs:
        if repeated and "unique_tokens" not in spec.law.inputs:
            raise ModelError(
                f"--plans has plans that repeat their data, which {spec.name} takes for fresh; "
                "leave out that model, or unique_tokens"
            )
    return table


def _require_one_question(specs: list[ModelSpec]) -> None:
    """Refuse before sampling what decides different things."""
    if len({(spec.response.column, spec.law.is_joint, spec.size) for spec in specs}) > 1:
        decides = "; ".join(
            f"{spec.name} {spec.response.name} of {' and '.join(spec.inputs)}" for spec in specs
        )
        raise ModelError(
            f"--models: compare laws that decide the same thing ({decides}): joint laws, "
            "or laws along one axis"
        )


@step("drawing")
def _write(comparison: "Comparison", answer: "Answer", out: Path) -> None:
    from bayescale.plots import plot_comparison
    from bayescale.plots.style import save_figure

    write(out / "comparison.json", answer.to_json())
    save_figure(plot_comparison(comparison), out / "comparison.png")


def _text(answer: "Answer", response: Response) -> str:
    import pandas as pd

    summary = answer.numbers
    cells, rows = summary["runs"]["cells"], summary["runs"]["rows"]
    elpd = pd.DataFrame(
        {
            "elpd": f"{entry['elpd']:.1f}",
            "difference": _difference(entry),
            "weight": f"{entry['weight']:.2f}",
            "high k": str(entry["high_k"]),
            "left out by": entry["method"],
        }
        for entry in summary["models"]
    )
    parts = [
        *answer.caveats,
        *answer.sentences,
        "",
        f"elpd of {cells} cells of {rows} runs: log probability of what is left out, in nats, "
        "higher is better; difference to the best ± standard error",
        _table(elpd, [entry["model"] for entry in summary["models"]]),
    ]
    axis = _axis(summary)
    for value in dict.fromkeys(entry[axis] for entry in summary["decisions"]):
        entries = [entry for entry in summary["decisions"] if entry[axis] == value]
        what = "compute-optimal" if isinstance(entries[0].get("params"), dict) else "predicted"
        shown = words.flops(value) if axis == "flops" else words.count(value)
        unit = "FLOPs" if axis == "flops" else axis
        parts.append(f"\n{what} at {shown} {unit}, median and central 90%")
        names = [" ".join(filter(None, (e["model"], e["group"]))) for e in entries]
        parts.append(_table(pd.DataFrame(_decision(e, response) for e in entries), names))
    return "\n".join(parts)


def _axis(summary: dict[str, Any]) -> str:
    """Name the axis of the decisions: the one entry that is a plain number."""
    return next(k for k, value in summary["decisions"][0].items() if isinstance(value, float))


def _difference(entry: dict[str, Any]) -> str:
    return f"{entry['elpd_diff']:.1f} ± {entry['se_diff']:.1f}" if entry["elpd_diff"] else ""


def _decision(entry: dict[str, Any], response: Response) -> dict[str, str]:
    from bayescale.decisions.answer import count_of, interval_of, number_of, response_writer

    titles: dict[str, tuple[str, Any]] = {
        "params": ("N*", count_of),
        "tokens": ("D*", count_of),
        "tokens_per_param": ("D*/N*", number_of),
        response.column: (
            response.name,
            lambda value: interval_of(value, response_writer(response)),
        ),
    }
    return {
        title: write(entry[name])
        for name, (title, write) in titles.items()
        if isinstance(entry.get(name), dict)  # else the axis
    }


def _table(columns: Table, names: list[str]) -> str:
    return columns.set_axis(names, axis=0).to_string()
