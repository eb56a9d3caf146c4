"""A backtest: did larger runs fall where the model said they would."""

from bayescale.backtest_summary import MATERIAL, RARE, failure
from bayescale.backtesting import MODEL, Backtest
from bayescale.checks.result import Check, Status

REVIEW_BELOW = 0.05
"""How rare so few runs inside their 90% intervals would be, were the model true."""


def backtest_check(found: Backtest) -> Check:
    """Ask whether larger runs fell where the model, fitted to the smaller ones, said they would.

    FAIL where fewer lay inside their 90% intervals than chance allows (`backtest_summary.failure`),
    or where all were missed to the same side from every cut, by more than 0.2% of the loss.
    """
    own, p, bias = found.of(MODEL), found.p_coverage, found.bias
    held = f"{int(own['inside90'].sum())} of {len(own)} predictions ({own['inside90'].mean():.0%})"
    said = f"90% intervals up to {found.farthest:.1f} decades beyond the runs held {held}"
    if abs(bias) >= MATERIAL:
        side = "above" if bias > 0 else "below"
        said += f", and from every cut larger runs lay {side} the median, by {abs(bias):.1%}"
    review = Status.REVIEW if p < REVIEW_BELOW else Status.PASS
    status = Status.FAIL if failure(found) else review
    advice = (
        "Do not decide on an answer beyond the runs by its interval: it is too narrow, or lies to "
        "one side. Leave out runs of another kind, such as the smallest, or fit another law."
    )
    chance = f"p {'< 0.001' if p < 0.001 else f'= {p:.2g}'} were the model true"
    message = f"{said} ({chance})"
    return Check("backtest", status, p, RARE, message, advice if status != Status.PASS else "")
