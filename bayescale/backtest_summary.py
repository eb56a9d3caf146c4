"""What a backtest came to: the numbers for scripts, and the sentences that say them.

A backtest in JSON::

    {"model": str, "axis": str, "farthest": decades, "laws": ["model", "exact"],
     "cuts": [{"law", "cut", "fitted", "converged", "farthest", SCORES}],
     "distances": [{"law", "distance", "cuts", SCORES}],
     "problems": [str], "sentences": [str]}

SCORES: ``predictions``, ``rmsle``, ``bias``, ``crps``, ``log_score``, ``coverage50``, ``width50``,
``coverage80``, ... (`bayescale.scoring.average`). ``distance``: "all", "next block", "0 to 0.25",
... decades beyond the fitted runs.
"""

from typing import Any

import numpy as np
import pandas as pd

from bayescale.backtesting import EXACT, MODEL, Backtest, by_distance

SCORED = {MODEL: "this model", EXACT: "the exact law"}
"""What was scored, in words."""

RARE = 0.01
"""How rare so few runs inside their 90% intervals must be, were the model true, for a failure."""

MATERIAL = 0.002
"""Share of the loss by which larger runs must lie to one side from every cut for a failure."""


def failure(found: Backtest) -> str | None:
    """Say how a backtest failed: too few runs inside, or all to one side; None where it did not.

    Chance counts that runs predicted from one cut share the error of one fit.
    """
    if found.p_coverage < RARE:
        return "The backtest FAILED: that is fewer than chance allows."
    if abs(found.bias) >= MATERIAL:
        side = "above" if found.bias > 0 else "below"
        return f"The backtest FAILED: from every cut the larger runs lay {side} the median."
    return None


def summarise_backtest(found: Backtest) -> dict[str, Any]:
    """Write a backtest as plain numbers and sentences, None for what is not finite."""
    return {
        "model": found.model,
        "axis": found.axis,
        "farthest": found.farthest,
        "laws": list(found.laws),
        "cuts": _records(found.by_cut),
        "distances": _records(found.summary),
        "problems": list(found.problems),
        "sentences": list(describe_backtest(found)),
    }


def describe_backtest(found: Backtest) -> tuple[str, ...]:
    """Say how far the intervals were tested, what they held, and how much that tells."""
    scores = found.summary.xs("all", level="distance")
    held, cuts = scores.loc[MODEL], len(found.cuts)
    beside = "".join(
        f" ({SCORED[name]}: {scores.loc[name, 'coverage90']:.0%}, typical error "
        f"{scores.loc[name, 'rmsle']:.1%})"
        for name in found.laws
        if name != MODEL
    )
    said = [
        f"Backtested to {found.farthest:.1f} decades beyond the fitted runs ({_cuts(cuts)}, "
        f"{held['predictions']:.0f} predictions): the 90% intervals of the loss of new runs held "
        f"{held['coverage90']:.0%} of them, typical error {held['rmsle']:.1%}{beside}.",
        _worth(found),
    ]
    if (verdict := failure(found)) is not None:
        said.append(
            f"{verdict} Take every interval beyond the runs for too narrow, or fit another law."
        )
    said += [f"Not converged, its scores are not to be trusted: {one}." for one in found.problems]
    return tuple(said)


def backtested_at(found: Backtest, decades: float) -> str:
    """Say what a backtest tells of an answer that lies some decades beyond the runs."""
    if not decades > 0:
        return "This answer lies within the runs; the backtest is about what lies beyond."
    if decades > found.farthest:
        return (
            f"Backtested to {found.farthest:.1f} decades; this answer is {decades:.1f} decades "
            "out: no backtest of these runs says what its interval is worth."
        )
    # What was tested at this distance, or at the nearest one beyond it that any run has.
    reached = by_distance(found.of(MODEL))
    label, part = next((n, p) for n, p in reached.items() if p["decades"].max() >= decades)
    unit = "decade" if label == "more than 1" else "decades"
    verdict = failure(found)
    return (
        f"Backtested at {label} {unit}: the 90% intervals of the loss of new runs "
        f"held {part['inside90'].mean():.0%} of {len(part)} predictions from "
        f"{_cuts(part['cut'].nunique())}."
    ) + (f" {verdict} Do not decide by this interval." if verdict else "")


def _worth(found: Backtest) -> str:
    """Say that predictions from one cut are no independent tests."""
    cuts = found.by_cut.loc[MODEL]["coverage90"]
    if len(cuts) == 1:
        return (
            "All were predicted by one fit and share its error: this is about one test, whatever "
            "their number."
        )
    low, high = cuts.min(), cuts.max()
    between = f"{low:.0%} at each" if np.isclose(low, high) else f"{low:.0%} to {high:.0%}"
    return (
        "Runs predicted from one cut share the error of one fit, so count cuts rather than "
        f"predictions: by cut {between} were inside."
    )


def _cuts(number: int) -> str:
    return f"{number} cut{'s' if number > 1 else ''}"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _plain(value) for name, value in row.items()}
        for row in table.reset_index().to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """Write numbers of NumPy as those of Python, and None for what JSON has no number for."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
