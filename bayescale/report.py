"""The posterior report: one self-contained HTML page, a JSON summary and the fit itself.

The schema of ``summary.json`` (version 1; Q stands for {"median", "q05", "q95"})::

    {"schema": 1, "model": str, "law": str,
     "runs": {"rows": int, "source": str, "sha256": str},
     "parameters": {name: Q and {"mean", "sd", "r_hat", "ess_bulk"}},
     "optima": [{"flops", "decades_beyond", "beyond": {"params", "tokens", "tokens_per_param"},
                 "params": Q, "tokens": Q, "tokens_per_param": Q, "loss": Q, "a": Q, "b": Q,
                 "basin": [{"excess", "lower": Q, "upper": Q}]}],
     "predictions": [{"axis", "value", "decades_beyond", "loss": Q, "loss_new_run": Q}],
     "diagnostics": {"converged", "problems", "divergences", "maxdepth_reached", "max_r_hat",
                     "min_ess_bulk", "seconds_compile", "seconds_sample"},
     "checks": [],
     "held_out": null | {"where", "runs", "inside", "coverage", "p_value", "rmsle",
                         "rows": [{"run", axis, "loss", "residual", "predicted": Q}]},
     "notices": [{"name", "message", "rows"}]}

``optima`` is filled for laws of params and tokens, ``predictions`` for single-axis laws,
``held_out`` where runs were held back (its scores: `bayescale.prediction.score`). ``beyond`` are
decades outside the runs along each axis, of the median. Intervals are central 90%.
"""

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from bayescale import plots, readable
from bayescale.files import make_folder, replacing
from bayescale.fitting import Fit
from bayescale.intervals import CAPTION, numbers
from bayescale.optima import basin, compute_optimal, distinct_budgets
from bayescale.prediction import decades_beyond, predict, predict_runs, residuals, score
from bayescale.runs import Runs

SCHEMA = 1


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    title: str
    text: str
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    caption: str = ""
    code: str = ""


def write_report(
    fit: Fit,
    out: str | Path,
    *,
    flops: Sequence[float] = (),
    held_out: Runs | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Write ``report.html``, ``summary.json`` and ``fit.nc`` into the folder `out`.

    Parameters
    ----------
    fit : Fit
    out : path
        Folder, made if it does not exist; each file is replaced only when the new one is complete.
    flops : sequence of float
        Budgets to answer for; by default the largest of the runs and ten times that.
    held_out : Runs, optional
        Runs that were not fitted: the report shows how well the fit predicts them.
    progress : callable
        Called with the name of each step as it starts.

    Returns
    -------
    Path
        Of ``report.html``.
    """
    folder = Path(out)
    make_folder(folder)
    fit.save(folder / "fit.nc")
    budgets = distinct_budgets(flops) or default_budgets(fit)
    progress("summarising")
    summary = summarise_fit(fit, budgets, held_out)
    progress("drawing")
    page = render(fit, summary, sections(fit, budgets, held_out))
    progress("writing")
    for name, text in (
        ("summary.json", json.dumps(summary, indent=1) + "\n"),
        ("report.html", page),
    ):
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return folder / "report.html"


def default_budgets(fit: Fit) -> tuple[float, ...]:
    """Return the largest budget (or axis value) of the runs, and ten times that."""
    largest = float(fit.runs.column(_axis(fit)).max())
    return largest, 10 * largest


def summarise_fit(
    fit: Fit, budgets: Sequence[float], held_out: Runs | None = None
) -> dict[str, Any]:
    """Everything a script wants, in the schema of this module's docstring."""
    diagnostics = fit.diagnostics
    return {
        "schema": SCHEMA,
        "model": fit.spec.name,
        "law": fit.spec.law.name,
        "runs": {"rows": len(fit.runs), "source": fit.runs.source, "sha256": fit.runs.sha256},
        "parameters": _parameters(fit),
        "optima": summarise_optima(fit, budgets) if fit.spec.law.is_joint else [],
        "predictions": [] if fit.spec.law.is_joint else _predictions(fit, budgets),
        "diagnostics": {
            "converged": diagnostics.converged,
            "problems": list(diagnostics.problems),
            **asdict(diagnostics),
        },
        "checks": [],
        "held_out": held_out and _held_out(held_out, residuals(fit, held_out), _axis(fit)),
        "notices": [asdict(notice) for notice in fit.notices],
    }


def summarise_optima(fit: Fit, budgets: Sequence[float]) -> list[dict[str, Any]]:
    """Compute-optimal model and basin for each budget, as plain numbers."""
    optima, ends = compute_optimal(fit, list(budgets)), basin(fit, list(budgets))
    entries = []
    for flops in optima["flops"].to_numpy():
        best, near = optima.sel(flops=flops), ends.sel(flops=flops)
        beyond = float(best["decades_beyond"])
        entries.append(
            {
                "flops": float(flops),
                "decades_beyond": None if np.isnan(beyond) else beyond,
                "beyond": _beyond(fit, best),
                **{
                    name: numbers(best[name])
                    for name in ("params", "tokens", "tokens_per_param", "loss", "a", "b")
                },
                "basin": [
                    {
                        "excess": float(excess),
                        **{
                            str(bound): numbers(near.sel(excess=excess, bound=bound))
                            for bound in near["bound"].to_numpy()
                        },
                    }
                    for excess in near["excess"].to_numpy()
                ],
            }
        )
    return entries


def _beyond(fit: Fit, best: xr.Dataset) -> dict[str, float | None]:
    """Give the decades by which the median optimum lies outside the runs, along each axis."""
    medians = best[["params", "tokens", "tokens_per_param"]].median()
    found = {str(name): float(decades_beyond(fit, str(name), medians[name])) for name in medians}
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def answers(summary: dict[str, Any]) -> list[str]:
    """Say the optima or the predictions of a summary in words, one paragraph each."""
    held_out = summary.get("held_out")
    return [
        *([_held_out_answer(held_out)] if held_out else []),
        *(_allocation_answer(entry) for entry in summary["optima"]),
        *(_prediction_answer(entry) for entry in summary["predictions"]),
    ]


def sections(fit: Fit, budgets: Sequence[float], held_out: Runs | None = None) -> Iterator[Section]:
    """Build the parts of the report in reading order, one at a time."""
    table = residuals(fit)
    if fit.spec.law.is_joint:
        yield from _allocation_sections(fit, compute_optimal(fit, list(budgets)))
    else:
        yield Section(
            "The law",
            "The runs, the fitted law and where new runs would fall.",
            figure=plots.plot_curve(fit, max(budgets)),
            caption=f"Bands: {CAPTION}s.",
        )
    if held_out is not None:
        yield _held_out_section(fit, held_out)
    yield Section(
        "Does the law fit?",
        "Residuals should scatter around zero without a trend. A bend along one "
        "axis means that the law is not the right one there, and that extrapolation along it is "
        "worse than its interval says.",
        figure=plots.plot_residuals(table, fit.spec.inputs),
        caption="Observed against fitted loss (posterior median of the law), one point a run.",
    )
    yield Section(
        "Predicted against observed",
        "Each run with its posterior predictive interval, noise included.",
        figure=plots.plot_predicted(table),
        caption="Bars: central 90% posterior predictive intervals of "
        "the same runs the model was fitted to.",
    )
    yield _parameter_section(fit)
    yield Section(
        "Conventions",
        "What the numbers on this page count and how they were made.",
        table=_ledger(fit),
    )
    yield Section("Model", "The model file that was fitted.", code=fit.spec.source)


def render(fit: Fit, summary: dict[str, Any], parts: Iterator[Section]) -> str:
    """Fill the page's template; figures become embedded PNG."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bayescale"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=f"Scaling law of {fit.runs.source}",
        subtitle=f"{len(fit.runs)} runs, model {fit.spec.name}: {fit.spec.summary}",
        answers=answers(summary),
        problems=summary["diagnostics"]["problems"],
        notices=fit.notices,
        parts=[_filled(part) for part in parts],
    )


def _filled(part: Section) -> dict[str, Any]:
    """Make a section's fields what the template prints; wide figures scroll on a phone."""
    wide = part.figure is not None and part.figure.get_figwidth() > 8
    image = None if part.figure is None else _png(part.figure)
    return {**vars(part), "image": image, "wide": wide}


def _axis(fit: Fit) -> str:
    return "flops" if fit.spec.law.is_joint else fit.spec.inputs[0]


def _value(axis: str, value: float) -> str:
    return readable.count(value) if axis in ("params", "tokens") else readable.flops(value)


def _allocation_answer(entry: dict[str, Any]) -> str:
    params, tokens, ratio = (entry[name] for name in ("params", "tokens", "tokens_per_param"))
    return (
        f"For {readable.flops(entry['flops'])} FLOPs: "
        f"{readable.count(params['median'])} parameters "
        f"({readable.span(params['q05'], params['q95'])}) on "
        f"{readable.count(tokens['median'])} tokens "
        f"({readable.span(tokens['q05'], tokens['q95'])}), "
        f"{readable.significant(ratio['median'])} tokens per parameter, "
        f"loss at the optimum {_loss(entry['loss'])}. {_basin_answer(entry['basin'][-1])} "
        f"{_distance(entry['decades_beyond'])}{_outside(entry['beyond'])}"
    )


def _outside(beyond: dict[str, float | None]) -> str:
    """Name the axes along which the optimum leaves the runs by more than a factor of two."""
    names = {"params": "parameters", "tokens": "tokens", "tokens_per_param": "tokens per parameter"}
    far = [
        f"{readable.significant(10 ** abs(value), 2)} times "
        f"{'more' if value > 0 else 'fewer'} {names[name]}"
        for name, value in beyond.items()
        if value is not None and abs(value) > np.log10(2)
    ]
    return f" It has {' and '.join(far)} than any fitted run." if far else ""


def _basin_answer(near: dict[str, Any]) -> str:
    """Name the sizes that are safe whichever draw is true: inner ends of the basin's two ends."""
    low, high = near["lower"]["q95"], near["upper"]["q05"]
    if low >= high:
        return f"No size is 95% sure to waste less than {near['excess']:.0%} of the compute."
    return (
        f"Any size from {readable.span(low, high)} wastes at most {near['excess']:.0%} of the "
        "compute (95% sure at either end)."
    )


def _prediction_answer(entry: dict[str, Any]) -> str:
    return (
        f"At {_value(entry['axis'], entry['value'])} {entry['axis']}: "
        f"loss {_loss(entry['loss'])}; 90% of "
        f"new runs fall between {entry['loss_new_run']['q05']:.3f} and "
        f"{entry['loss_new_run']['q95']:.3f}. {_distance(entry['decades_beyond'])}"
    )


def _held_out_answer(scores: dict[str, Any]) -> str:
    verdict = (
        "The law fails on them: treat every interval beyond the fitted runs as too narrow."
        if scores["p_value"] < 0.01
        else "That is no fewer than chance allows."
    )
    return (
        f"Fitted without {scores['where']} and tested on them: {scores['inside']} of "
        f"{scores['runs']} lie inside their 90% predictive interval, typical error "
        f"{scores['rmsle']:.1%}. {verdict}"
    )


def _loss(loss: dict[str, float]) -> str:
    return f"{loss['median']:.3f} ({loss['q05']:.3f} to {loss['q95']:.3f})"


def _distance(decades: float | None) -> str:
    if decades is None:
        return "These are given constants: there are no runs to compare with."
    if decades == 0:
        return "Inside the range of the runs."
    side = "above the largest" if decades > 0 else "below the smallest"
    return (
        f"Extrapolation: {abs(decades):.1f} decades {side} fitted run, so the interval holds "
        "only if the law does."
    )


def _parameters(fit: Fit) -> dict[str, dict[str, float]]:
    table = fit.summary()
    return {
        name: {
            **numbers(fit.posterior[name]),
            **{key: float(table.loc[name, key]) for key in ("mean", "sd", "r_hat", "ess_bulk")},
        }
        for name in table.index
    }


def _predictions(fit: Fit, values: Sequence[float]) -> list[dict[str, Any]]:
    axis = fit.spec.inputs[0]
    return [
        {
            "axis": axis,
            "value": float(value),
            "decades_beyond": float(decades_beyond(fit, axis, value)),
            "loss": numbers(predict(fit, {axis: value})),
            "loss_new_run": numbers(predict_runs(fit, {axis: value})),
        }
        for value in values
    ]


def _held_out(runs: Runs, table: pd.DataFrame, axis: str) -> dict[str, Any]:
    """Score the runs held back; `table` holds their residuals."""
    rows = [
        {
            "run": str(row.run),
            axis: float(getattr(row, axis)),
            "loss": float(row.loss),
            "residual": float(row.residual),
            "predicted": {
                "median": float(row.fitted),
                "q05": float(row.predicted_q05),
                "q95": float(row.predicted_q95),
            },
        }
        for row in table.itertuples()
    ]
    return {"where": runs.source, **score(table), "rows": rows}


def _held_out_section(fit: Fit, runs: Runs) -> Section:
    table, axis = residuals(fit, runs), _axis(fit)
    rows = [
        {
            "run": row["run"],
            axis: _value(axis, row[axis]),
            "observed loss": f"{row['loss']:.3f}",
            "predicted, 90% of new runs": _loss(row["predicted"]),
            "observed against predicted": f"{np.expm1(row['residual']):+.1%}",
        }
        for row in _held_out(runs, table, axis)["rows"]
    ]
    return Section(
        "Runs held back",
        "How well the fit predicts runs it has not seen. If far fewer than 90% of them lie inside "
        "their interval, the law is wrong out there, and every interval on this page that lies "
        "beyond the fitted runs is too narrow.",
        pd.DataFrame(rows),
        plots.plot_predicted(table),
        "Bars: central 90% posterior predictive intervals of runs the model has not seen.",
    )


def _parameter_section(fit: Fit) -> Section:
    rows = [
        {
            "parameter": name,
            "median": readable.significant(entry["median"], 4),
            "90% interval": f"{readable.significant(entry['q05'], 4)} to "
            f"{readable.significant(entry['q95'], 4)}",
            "prior": str(fit.spec.sampled.get(name, "follows from the sampled coordinates")),
            "R-hat": f"{entry['r_hat']:.3f}",
            "effective draws": f"{entry['ess_bulk']:.0f}",
        }
        for name, entry in _parameters(fit).items()
    ]
    return Section(
        "Parameters",
        fit.spec.summary,
        pd.DataFrame(rows),
        plots.plot_parameters(fit),
        f"Grey: prior; blue: posterior with its {CAPTION}; each scaled to the same height. Where "
        "they look alike, the runs say nothing about that parameter.",
    )


def _allocation_sections(fit: Fit, optima: xr.Dataset) -> Iterator[Section]:
    yield Section(
        "Compute-optimal models",
        "How the best size and number of tokens move with compute.",
        figure=plots.plot_allocation(fit, optima),
        caption=f"Bands and bars: {CAPTION}s. Shaded: compute of the runs; the law is tested "
        "only there.",
    )
    yield Section(
        "How much the choice matters",
        "IsoFLOP curves are flat at the bottom: a range of sizes "
        "is nearly as good as the best one.",
        figure=plots.plot_basin(fit, optima),
        caption=f"Loss above the optimum at the same compute; band: {CAPTION}. Green: sizes "
        "that waste at most 1% or 10% of the compute, 95% sure at either end.",
    )
    yield Section(
        "The runs and the law",
        "Runs of equal compute, with the fitted isoFLOP curves.",
        figure=plots.plot_isoflop(fit),
        caption=f"Coloured: runs on an isoFLOP curve; grey: the others; bands: {CAPTION}s of the "
        "law, without run-to-run noise.",
    )


def _ledger(fit: Fit) -> pd.DataFrame:
    runs, attrs = fit.runs, fit.tree.attrs
    entries = {
        "Runs": f"{len(runs)} used, from {runs.source}",
        "sha256 of the file": runs.sha256 or "none: a table in memory",
        "What was done to the table": "; ".join(runs.ledger) or "nothing",
        "N counts": f"{runs.params_are} parameters"
        if runs.params_are != "not stated"
        else "not stated (say it with --params-are: embeddings in or out moves the exponents)",
        "Compute": f"C = kND with k = {runs.flops_per_param_token:.3g}",
        "Units": "loss in nats per token, natural logarithm, compute in FLOPs",
        "Likelihood": f"{fit.spec.noise} on log loss",
        "Intervals": f"{CAPTION}, from the 5% to the 95% quantile",
        "Sampler": f"nutpie, {fit.posterior.sizes['chain']} chains of "
        f"{fit.posterior.sizes['draw']} draws, "
        f"{attrs['adaptation']} adaptation, target acceptance {attrs['target_accept']:g}, "
        f"seed {attrs['seed']}",
        "Versions": ", ".join(
            f"{name} {number}" for name, number in json.loads(attrs["versions"]).items()
        ),
    }
    if not fit.spec.law.is_joint:
        del entries["N counts"], entries["Compute"]
    return pd.DataFrame({"convention": entries.keys(), "here": entries.values()})


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
