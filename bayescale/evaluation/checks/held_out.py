"""Whether runs that were not fitted lie where they were predicted: held back, or in a backtest."""

from typing import Any

import pandas as pd

from bayescale.arguments import typed
from bayescale.decisions.answer import Answer
from bayescale.errors import UnansweredError
from bayescale.evaluation.backtest import MATERIAL, MODEL, RARE, Backtest, failure
from bayescale.evaluation.checks.predictive import FAIL_BELOW, REVIEW_BELOW
from bayescale.evaluation.scores import as_share, percent
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import residuals, score
from bayescale.runs.check import Check, Status, not_computed
from bayescale.runs.table import Runs


def held_out_check(fit: Fit, runs: Runs) -> Check:
    """Count the runs inside their 90% predictive interval; too few speak against extrapolation.

    Parameters
    ----------
    fit : Fit
    runs : Runs
        Those held back.

    Returns
    -------
    Check
        REVIEW and FAIL by the binomial p-value of as few runs inside, below 5% and 1%.
    """
    try:
        with fit.asked():
            table = residuals(fit, runs)
    except UnansweredError as error:
        return not_computed("held-out runs", error)
    own = fit.spec.response
    scores = score(table, own.column)
    p = float(scores["p_value"])
    status = Status.FAIL if p < FAIL_BELOW else Status.REVIEW if p < REVIEW_BELOW else Status.PASS
    middle = as_share(own, float(table["residual"].median()))
    side = "above" if middle > 0 else "below"
    return Check(
        "held-out runs",
        status,
        f"{scores['inside']:.0f} of {scores['runs']:.0f} runs held back lie inside their 90% "
        f"predictive interval, the median one {100 * abs(middle):.1f}{percent(own)} {side} its "
        "prediction",
        ""
        if status is Status.PASS
        else "Every interval beyond the fitted runs is too narrow: fit up to them, or another law.",
        statistic=p,
        threshold=REVIEW_BELOW,
    )


def backtest_check(found: Backtest) -> Check:
    """Ask whether larger runs fell where the model, fitted to the smaller ones, said they would.

    FAIL where fewer lay inside their 90% intervals than chance allows (`failure`),
    or where all were missed to the same side from every cut, by more than 0.2% (of shares, points).

    Parameters
    ----------
    found : Backtest
        What `bayescale.backtest` returns.

    Returns
    -------
    Check
    """
    own, p, bias = found.of(MODEL), found.p_coverage, found.bias
    held = f"{int(own['inside90'].sum())} of {len(own)} predictions ({own['inside90'].mean():.0%})"
    said = f"90% intervals up to {found.farthest:.1f} decades beyond the runs held {held}"
    if abs(bias) >= MATERIAL:
        side = "above" if bias > 0 else "below"
        said += f", and from every cut larger runs lay {side} the median, by "
        said += f"{100 * abs(bias):.1f}{percent(found.response)}"
    review = Status.REVIEW if p < REVIEW_BELOW else Status.PASS
    status = Status.FAIL if failure(found) else review
    advice = (
        "Do not decide on an answer beyond the runs by its interval: it is too narrow, or lies to "
        "one side. Leave out runs of another kind, such as the smallest, or fit another law."
    )
    chance = f"p {'< 0.001' if p < 0.001 else f'= {p:.2g}'} were the model true"
    message = f"{said} ({chance})"
    return Check(
        "backtest",
        status,
        message,
        advice if status != Status.PASS else "",
        statistic=p,
        threshold=RARE,
    )


@typed
def answer_held_out(fit: Fit, runs: Runs) -> Answer:
    """Say how runs that were not fitted lie in their predictive intervals.

    Parameters
    ----------
    fit : Fit
    runs : Runs

    Returns
    -------
    Answer
        Numbers: ``held_out``, the scores of `score` and the runs themselves.
    """
    table, own = residuals(fit, runs), fit.spec.response
    rows = held_out_rows(table, fit.spec.size, own.column)
    found = {"where": runs.source, **score(table, own.column), "rows": rows}
    sentence = _held_out_sentence(found, percent(own))
    return Answer.by(fit, numbers={"held_out": found}, sentences=[sentence])


def held_out_rows(
    table: pd.DataFrame, axis: str, response: str = LOSS.column
) -> list[dict[str, Any]]:
    """Each row of a table of residuals as numbers, with the columns of its axis and response.

    Parameters
    ----------
    table : pandas.DataFrame
        What `residuals` returns.
    axis : str
        Column along which the runs are told apart; empty where none does.
    response : str
        Column of what the law says.

    Returns
    -------
    list of dict
    """
    return [
        {
            "run": str(row["run"]),
            **({axis: float(row[axis])} if axis else {}),
            response: float(row[response]),
            "residual": float(row["residual"]),
            "predicted": {
                "median": float(row["fitted"]),
                "q05": float(row["predicted_q05"]),
                "q95": float(row["predicted_q95"]),
            },
        }
        for row in table.to_dict("records")
    ]


def _held_out_sentence(scores: dict[str, Any], unit: str) -> str:
    verdict = (
        "The law fails on them: treat every interval beyond the fitted runs as too narrow."
        if scores["p_value"] < 0.01
        else "That is no fewer than chance allows."
    )
    return (
        f"Held back: {scores['where']}. {scores['inside']} of "
        f"{scores['runs']} lie inside their 90% predictive intervals, typical error "
        f"{100 * scores['rmsle']:.1f}{unit}. {verdict}"
    )
