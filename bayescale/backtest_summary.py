"""What a backtest came to: the numbers for scripts, and the sentences that say them.

A backtest in JSON::

    {"model": str, "axis": str, "farthest": decades, "posteriors": [str],
     "cuts": [{"posterior", "cut", "fitted", "converged", "farthest", SCORES}],
     "distances": [{"posterior", "distance", "cuts", SCORES}],
     "problems": [str], "sentences": [str]}

SCORES: ``predictions``, ``rmsle``, ``bias``, ``crps``, ``log_score``, ``coverage50``, ``width50``,
``coverage80``, ... (`bayescale.scoring.average`). ``distance``: "all", "next block", "0 to 0.25",
... decades beyond the fitted runs.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from bayescale.backtesting import Backtest, by_distance
from bayescale.intervals import CI_PROB

LEAST = 0.85
"""Coverage of 90% intervals below which they are said to hold less than they promise, ..."""

DOUBT = 0.05
"""... if as few inside were that improbable, were all predictions independent."""


def summarise_backtest(found: Backtest) -> dict[str, Any]:
    """Write a backtest as plain numbers and sentences, None for what is not finite."""
    return {
        "model": found.model,
        "axis": found.axis,
        "farthest": found.farthest,
        "posteriors": list(found.posteriors),
        "cuts": _records(found.by_cut),
        "distances": _records(found.summary),
        "problems": list(found.problems),
        "sentences": list(describe_backtest(found)),
    }


def describe_backtest(found: Backtest) -> tuple[str, ...]:
    """Say how far the intervals were tested, what they held, and how much that tells."""
    first, *others = found.posteriors
    scores = found.summary.xs("all", level="distance")
    held, cuts = scores.loc[first], len(found.cuts)
    beside = "".join(
        f" ({name}: {scores.loc[name, 'coverage90']:.0%}, typical error "
        f"{scores.loc[name, 'rmsle']:.1%})"
        for name in others
    )
    said = [
        f"Backtested to {found.farthest:.1f} decades beyond the fitted runs ({_cuts(cuts)}, "
        f"{held['predictions']:.0f} predictions): the 90% intervals of the loss of new runs "
        f"({first} posterior) held "
        f"{held['coverage90']:.0%} of them, typical error {held['rmsle']:.1%}{beside}.",
        _worth(found, first),
    ]
    inside, number = int(found.of(first)["inside90"].sum()), int(held["predictions"])
    if held["coverage90"] < LEAST and binomtest(inside, number, CI_PROB, "less").pvalue < DOUBT:
        said.append(
            "That is less than they promise: take every interval beyond the runs for too narrow, "
            "or fit another law."
        )
    said += [f"Not converged, its scores are not to be trusted: {one}." for one in found.problems]
    return tuple(said)


def backtested_at(found: Backtest, decades: float, *, posterior: str | None = None) -> str:
    """Say what a backtest tells of an answer that lies some decades beyond the runs.

    Of the answer's posterior, "plain" or "weighted"; by default the first of the backtest.
    """
    if not decades > 0:
        return "This answer lies within the runs; the backtest is about what lies beyond."
    first = posterior or found.posteriors[0]
    if first not in found.posteriors:
        return f"The {first} posterior was not backtested."
    if decades > found.farthest:
        return (
            f"Backtested to {found.farthest:.1f} decades; this answer is {decades:.1f} decades "
            "out: no backtest of these runs says what its interval is worth."
        )
    # What was tested at this distance, or at the nearest one beyond it that any run has.
    reached = by_distance(found.of(first))
    label, part = next((n, p) for n, p in reached.items() if p["decades"].max() >= decades)
    unit = "decade" if label == "more than 1" else "decades"
    return (
        f"Backtested at {label} {unit}: the 90% intervals of the loss of new runs ({first} "
        f"posterior) held {part['inside90'].mean():.0%} of {len(part)} predictions from "
        f"{_cuts(part['cut'].nunique())}."
    )


def _worth(found: Backtest, posterior: str) -> str:
    """Say that predictions from one cut are no independent tests."""
    cuts = found.by_cut.loc[posterior]["coverage90"]
    if len(cuts) == 1:
        return (
            "All were predicted by one fit and share its error: this is about one test, whatever "
            "their number."
        )
    low, high = cuts.min(), cuts.max()
    between = f"{low:.0%} at each" if np.isclose(low, high) else f"{low:.0%} to {high:.0%}"
    return (
        "Runs predicted from one cut share the error of one fit, so count cuts rather than "
        f"predictions: by cut the {posterior} posterior held {between}."
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
