"""The posterior report: one self-contained HTML page, a JSON summary and the fit itself."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import distinct_budgets
from bayescale.decisions.answer import Answer
from bayescale.decisions.approaches import compare_approaches
from bayescale.decisions.headline import headline
from bayescale.errors import FitError, RunsWarning, UnansweredError
from bayescale.evaluation.backtest import Backtest
from bayescale.evaluation.checks.held_out import backtest_check, held_out_check
from bayescale.evaluation.checks.suite import check_fit
from bayescale.files import make_folder, write_together
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import exact_fit
from bayescale.progress import showing, step
from bayescale.report.figures import images
from bayescale.report.page import Section, decision_pictures, sections
from bayescale.report.record import Best, Companions, answer_fit, best_inputs, default_budgets
from bayescale.runs.check import Check, Status, worst_first
from bayescale.runs.table import Runs

_FIT, _PAGE = "fit.nc", "report.html"


@typed
def write_report(
    fit: Fit,
    out: str | Path,
    *,
    flops: Sequence[float] = (),
    held_out: Runs | None = None,
    unpooled: Fit | None = None,
    same_validation: bool | None = None,
    profiles: Fit | None = None,
    backtest: Backtest | str | None = None,
    chosen: str = "",
    command: str = "",
    progress: bool | None = None,
) -> Path:
    """Write ``report.html``, ``summary.json`` and ``fit.nc`` into the folder `out`.

    Where the law may bend the runs are fitted once more with the law taken as exact
    (`bayescale.exact_fit`), to set what it says beside the answers.

    Parameters
    ----------
    fit : Fit
    out : path
        Folder, made if it does not exist. Old files are replaced when all new ones are complete.
    flops : sequence of float
        Budgets to answer for; by default the largest of the runs and ten times that.
    held_out : Runs, optional
        Runs that were not fitted: the report shows how well the fit predicts them.
    unpooled : Fit, optional
        The same runs fitted with ``spec.unpooled()``: the report shows what pooling does.
    same_validation : bool, optional
        Whether all groups were scored on one validation set: only then is their compute compared.
    profiles : Fit, optional
        ``isoflop-profiles`` fitted to `bayescale.on_isoflops` of the runs: the report sets the
        three approaches of Hoffmann et al. (2022) side by side.
    backtest : Backtest or str, optional
        `bayescale.backtest` of the runs: the report says how far its intervals were tested. Or the
        reason why they could not be.
    chosen : str
        How the model was chosen, one sentence for the head of the page.
    command : str
        Command line that makes the page again; by default a few lines of Python.
    progress : bool, optional
        Show which step runs; by default on a terminal and in a notebook.

    Returns
    -------
    Path
        Of ``report.html``.

    Raises
    ------
    FitError
        For a law that reads a mixture alone: no size says what to answer for.
    """
    if not fit.spec.size:
        raise FitError(
            f"the model {fit.spec.name} reads a mixture alone: ask answer_mixture(fit, "
            "best_mixture(fit)), or bayescale mix"
        )
    beside = Companions(held_out, unpooled, same_validation, profiles, chosen=chosen)
    with showing(progress):
        return _written(fit, Path(out), flops, beside, backtest, command)


def _written(
    fit: Fit,
    folder: Path,
    flops: Sequence[float],
    beside: Companions,
    backtest: Backtest | str | None,
    command: str,
) -> Path:
    make_folder(folder)
    saved = None
    if not (folder / _PAGE).exists():  # else a process that is killed would leave a page of another
        fit.save(folder / _FIT)
        saved = fit
    budgets = distinct_budgets(flops) or default_budgets(fit)
    checks = check_fit(fit, seed=int(fit.tree.attrs.get("seed", 1)))
    if beside.held_out is not None:
        checks.insert(1, held_out_check(fit, beside.held_out))
    tested, reason = (None, backtest) if isinstance(backtest, str) else (backtest, "")
    if tested is not None:
        checks.insert(1, backtest_check(tested))
    failed = [check for check in checks if check.status is Status.FAIL]
    if failed:
        fit = fit.with_failures({check.name: check.message for check in failed})
    exact = exact_fit(fit)
    approaches, best = None, tuple[Best, ...]()
    with suppress(UnansweredError), fit.asked():
        best = best_inputs(fit, max(budgets))
    if beside.profiles is not None:
        with suppress(UnansweredError), fit.asked():
            approaches = compare_approaches(fit, list(budgets), profiles=beside.profiles)
    beside = replace(
        beside,
        approaches=approaches,
        checks=tuple(checks),
        backtest=tested,
        not_backtested=reason,
        exact=exact,
        best=best,
    )
    answer = answer_fit(fit, budgets, beside)
    with step("drawing"), warnings.catch_warnings():
        # Said already, of the same budgets; by fewer draws the share is a little different.
        warnings.filterwarnings("ignore", "in .* of the draws no size is best", RunsWarning)
        decision = decision_pictures(fit, budgets, beside.held_out)
        parts = sections(fit, budgets, beside)
        page = render(fit, answer, decision, parts, checks, _recipe(fit, command))
    with step("writing"):
        texts = {folder / "summary.json": answer.to_json() + "\n", folder / _PAGE: page}
        fits = {} if fit is saved else {folder / _FIT: fit.to_bytes()}
        write_together({**fits, **texts})
    return folder / _PAGE


def render(
    fit: Fit,
    answer: Answer,
    decision: Sequence[Section],
    parts: Iterator[Section],
    checks: Sequence[Check],
    recipe: str,
) -> str:
    """Fill the page's template.

    Parameters
    ----------
    fit : Fit
    answer : Answer
        Of `answer_fit`.
    decision : sequence of Section
        Pictures of what was asked.
    parts : iterator of Section
    checks : sequence of Check
    recipe : str
        What makes this page again.

    Returns
    -------
    str
        The page.
    """
    problems = fit.problems  # their box says them already
    shown = [check for check in checks if not (problems and check.name == "convergence")]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bayescale"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    title, table = f"Scaling law of {fit.runs.source}", headline(answer.numbers, fit.spec.response)
    opening = answer.numbers["opening"]
    said = [title, *([table.text()] if table else []), *answer.caveats, *opening]
    return environment.get_template("report.html").render(
        title=title,
        subtitle=f"{_runs_of(fit)}, model {fit.spec.name}: {fit.spec.summary}",
        headline=table,
        opening=opening,
        answers=answer.sentences,
        problems=answer.numbers["problems"],
        decision=[_drawn(part) for part in decision],
        checks=worst_first(shown),
        parts=[_drawn(part) for part in parts],
        summary="\n\n".join(said),
        recipe=recipe,
    )


def _runs_of(fit: Fit) -> str:
    """Count the runs; a run has a row for each task."""
    rows = len(fit.runs)
    runs = fit.runs.table["run"].nunique() if "run" in fit.runs.table else rows
    return f"{rows} runs" if runs == rows else f"{rows} rows of {words.counted(runs, 'run')}"


def _drawn(part: Section) -> dict[str, Any]:
    """Make a section's fields what the template prints."""
    found = [] if part.figure is None else images(part.figure)
    return {**vars(part), "anchor": part.anchor, "images": found}


def _recipe(fit: Fit, command: str) -> str:
    """Write what makes the page again: the command, the data and the versions."""
    again = command or (
        'import bayescale as bs\n\nfit = bs.load_fit("fit.nc")\nbs.write_report(fit, "report")'
    )
    versions = json.loads(fit.tree.attrs["versions"])
    data = [fit.runs.source, f"sha256 {fit.runs.sha256}" if fit.runs.sha256 else ""]
    return "\n".join(
        [
            again,
            "",
            f"data: {', '.join(filter(None, data))}",
            f"model: {fit.spec.name}, seed {fit.tree.attrs['seed']}",
            "with: " + ", ".join(f"{name} {number}" for name, number in versions.items()),
        ]
    )
