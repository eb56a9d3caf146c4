"""Whether the fit predicts runs that it has not seen."""

import numpy as np

from bayescale.checks.predictive import FAIL_BELOW, REVIEW_BELOW
from bayescale.checks.result import Check, Status, not_computed
from bayescale.errors import UnansweredError
from bayescale.fitting import Fit
from bayescale.prediction import residuals, score
from bayescale.runs import Runs


def held_out_check(fit: Fit, runs: Runs) -> Check:
    """Count the runs inside their 90% predictive interval; too few speak against extrapolation."""
    try:
        with fit.asked():
            table = residuals(fit, runs)
    except UnansweredError as error:
        return not_computed("held-out runs", error)
    scores = score(table)
    p = float(scores["p_value"])
    status = Status.FAIL if p < FAIL_BELOW else Status.REVIEW if p < REVIEW_BELOW else Status.PASS
    middle = float(np.expm1(table["residual"].median()))
    side = "above" if middle > 0 else "below"
    return Check(
        "held-out runs",
        status,
        p,
        REVIEW_BELOW,
        f"{scores['inside']:.0f} of {scores['runs']:.0f} runs held back lie inside their 90% "
        f"predictive interval, the median one {abs(middle):.1%} {side} its prediction",
        ""
        if status is Status.PASS
        else "Every interval beyond the fitted runs is too narrow: fit up to them, or another law.",
    )
