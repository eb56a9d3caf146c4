"""The posterior report: one self-contained HTML page, a JSON summary and the fit itself."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bayescale.decisions.allocation import distinct_budgets
from bayescale.decisions.answer import Answer
from bayescale.decisions.approaches import compare_approaches
from bayescale.errors import UnansweredError
from bayescale.evaluation.backtest import Backtest
from bayescale.evaluation.checks.held_out import backtest_check, held_out_check
from bayescale.evaluation.checks.suite import check_fit
from bayescale.files import make_folder, replacing
from bayescale.posterior.fit import Fit, exact_fit
from bayescale.report.page import Section, sections
from bayescale.report.record import Best, Companions, answer_fit, best_inputs, default_budgets
from bayescale.runs.check import Check, Status, worst_first
from bayescale.runs.table import Runs


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
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Write ``report.html``, ``summary.json`` and ``fit.nc`` into the folder `out`.

    Where the law may bend the runs are fitted once more with the law taken as exact
    (`bayescale.exact_fit`), to set what it says beside the answers.

    Parameters
    ----------
    fit : Fit
    out : path
        Folder, made if it does not exist; each file is replaced only when the new one is complete.
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
    progress("checking")
    checks = check_fit(fit, seed=int(fit.tree.attrs.get("seed", 1)))
    if held_out is not None:
        checks.insert(1, held_out_check(fit, held_out))
    tested, reason = (None, backtest) if isinstance(backtest, str) else (backtest, "")
    if tested is not None:
        checks.insert(1, backtest_check(tested))
    failed = [check for check in checks if check.status is Status.FAIL]
    if failed:
        fit = fit.with_failures({check.name: check.message for check in failed})
        fit.save(folder / "fit.nc")
    progress("fitting the exact law")
    exact = exact_fit(fit)
    progress("summarising")
    approaches, best = None, tuple[Best, ...]()
    with suppress(UnansweredError), fit.asked():
        best = best_inputs(fit, max(budgets))
    if profiles is not None:
        with suppress(UnansweredError), fit.asked():
            approaches = compare_approaches(fit, list(budgets), profiles=profiles)
    beside = Companions(
        held_out,
        unpooled,
        same_validation,
        profiles,
        approaches,
        tuple(checks),
        tested,
        reason,
        exact,
        best,
    )
    answer = answer_fit(fit, budgets, beside)
    progress("drawing")
    page = render(fit, answer, sections(fit, budgets, beside), checks)
    progress("writing")
    for name, text in (
        ("summary.json", answer.to_json() + "\n"),
        ("report.html", page),
    ):
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return folder / "report.html"


def render(fit: Fit, answer: Answer, parts: Iterator[Section], checks: Sequence[Check]) -> str:
    """Fill the page's template; figures become embedded PNG.

    Parameters
    ----------
    fit : Fit
    answer : Answer
        Of `answer_fit`.
    parts : iterator of Section
    checks : sequence of Check

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
    return environment.get_template("report.html").render(
        title=f"Scaling law of {fit.runs.source}",
        subtitle=f"{len(fit.runs)} runs, model {fit.spec.name}: {fit.spec.summary}",
        answers=answer.sentences,
        problems=answer.numbers["problems"],
        doubts=[check for check in worst_first(shown) if check.status is not Status.PASS],
        passed=[check for check in shown if check.status is Status.PASS],
        parts=[_filled(part) for part in parts],
    )


def _filled(part: Section) -> dict[str, Any]:
    """Make a section's fields what the template prints; wide figures scroll on a phone."""
    wide = part.figure is not None and part.figure.get_figwidth() > 8
    image = None if part.figure is None else _png(part.figure)
    return {**vars(part), "image": image, "wide": wide}


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
