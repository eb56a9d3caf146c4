"""What is said of the curves of a table: one record for scripts, and lines for people."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bayescale import words
from bayescale.arguments import typed
from bayescale.curves.forecasts import QUANTILES, CurveForecast, forecast_table
from bayescale.curves.mixture import ENDS
from bayescale.curves.points import Metric
from bayescale.curves.rule import Shape, exponent_of
from bayescale.curves.shape import CurveShape
from bayescale.curves.table import Curve, Curves, curve_table
from bayescale.curves.together import Together
from bayescale.decisions.answer import Answer, Quantity
from bayescale.files import plain

MOST_IN_FULL = 24
"""Curves of which each has lines of its own; of more, each has one."""

_FAMILIES = ("power_law", "exponential", "broken", "saturated_guess", "inverse", "flat")


@typed
def answer_curves(
    curves: Curves, forecasts: Sequence[CurveForecast] = (), *, x: str = "x"
) -> Answer:
    """Say what each curve of a table is, and where it goes.

    Parameters
    ----------
    curves : Curves
        What `fit_curves` returns.
    forecasts : sequence of CurveForecast, optional
        What `forecast_fitted` returns of them.
    x : str, optional
        Column of the axis.

    Returns
    -------
    Answer
        Without draws. ``curves`` has an entry for each; ``counts`` says how many have each label;
        ``together`` what the table says of its own forecasts. Slopes are means over the upper third
        of the range; regimes and numbers of labels are those of `curve_table`.
    """
    rows = curve_table(curves).to_dict("records")
    beyond = _beyond(forecasts)
    entries = [
        plain(_entry(one, row, beyond.get(one.name))) for one, row in zip(curves, rows, strict=True)
    ]
    labels = [str(entry["label"]) for entry in entries]
    counts = dict(Counter(labels).most_common())  # ties in the order of the table
    numbers = {
        "x": x,
        "counts": counts,
        "together": _shared(curves.together),
        "curves": entries,
    }
    lines = _in_full if len(entries) <= MOST_IN_FULL else _in_short
    own = [line for one, row in zip(curves, entries, strict=True) for line in lines(one, row, x)]
    totals, closing = _totals(curves, counts), _closing(curves, bool(forecasts))
    return Answer(None, numbers, (*totals, "", *own, "", *closing))


def _beyond(forecasts: Sequence[CurveForecast]) -> dict[str, dict[str, Any]]:
    """Forecasts of each curve, and what to doubt of them, by its name."""
    rows = forecast_table(forecasts).to_dict("records") if forecasts else []
    known = ("x", "decades_beyond", *QUANTILES)
    own: dict[str, list[dict[str, float]]] = {one.name: [] for one in forecasts}
    for row in rows:
        if np.isfinite(row["x"]):
            own[row["curve"]].append({name: row[name] for name in known})
    return {one.name: {"forecasts": own[one.name], "doubts": one.message} for one in forecasts}


def _entry(one: Curve, row: Mapping[str, Any], beyond: dict[str, Any] | None) -> dict[str, Any]:
    shape = one.shape
    return {
        **{name: row[name] for name in ("curve", "n", "decades")},
        "top": one.top,
        "metric": str(one.metric),
        "chance": None if shape is None else shape.chance,
        "label": row["label"],
        "probabilities": {name: row[f"p_{name}"] for name in _FAMILIES} if shape else None,
        **{name: row[name] for name in ("p_up_top", "p_steep")},
        **{name: _quantity(row, name) for name in ("slope", "exponent", "floor", "best")},
        **{name: row[name] for name in ("p_bracketed", "near_chance_until", "irreducible_from")},
        **{name: row[name] for name in ("durbin_watson_p", "message")},
        **(beyond or {}),
    }


def _quantity(row: Mapping[str, Any], name: str) -> Quantity | None:
    """Median and ends of one column of a table of labels."""
    if not np.isfinite(row[name]):
        return None
    return {"median": row[name], "q05": row[f"{name}_q05"], "q95": row[f"{name}_q95"]}


def _shared(together: Together | None) -> dict[str, Any] | None:
    if together is None:
        return None
    return {
        "whole": together.whole,
        "fall": together.fall,
        "tested": together.tested,
        "pooled": together.population is not None,
    }


def _in_full(one: Curve, entry: Mapping[str, Any], x: str) -> Iterator[str]:
    """Lines of one curve, the first its headline."""
    yield f"{one.name}: {words.spaced(one.label)}, {_span(one)}"
    if one.shape is not None:
        found = ", ".join(filter(None, (_exponent(entry), _floor(entry))))
        slope = f"slope at the top {_brackets(entry['slope'])}, "
        worse = "rising" if one.metric == Metric.GROWING else "getting worse"
        yield from (
            f"    {line}"
            for line in (
                found,
                slope + f"P({worse}) {words.chance(entry['p_up_top'])}",
                best_of(one, x),
                _regimes(one.shape, x),
            )
            if line
        )
    for own in entry.get("forecasts", ()):
        yield f"    {forecast_of(own, x)}"
    if one.message not in entry.get("doubts", ""):
        yield f"    {_reason(one)}"
    if entry.get("doubts"):
        yield f"    {f'note: {entry["doubts"]}' if entry['forecasts'] else _no_forecast(entry)}"


def _reason(one: Curve) -> str:
    """Why a curve has its label, without the exponent, which has a line of its own."""
    stated = one.label in (Shape.POWER_LAW, Shape.EXPONENTIAL_INDISTINGUISHABLE)
    if not stated or one.shape is None or one.shape.posterior is None:
        return one.message
    return one.message.removeprefix(f"{exponent_of(one.shape.posterior)}; ")


def _in_short(one: Curve, entry: Mapping[str, Any], x: str) -> Iterator[str]:
    """One line of one curve: its label, its exponent, and the farthest forecast or why not."""
    said = [words.spaced(one.label)]
    if one.shape is None:
        said.append(one.message)
    elif own := best_of(one, x) or _exponent(entry):
        said.append(own)
    if entry.get("forecasts"):
        farthest = max(entry["forecasts"], key=lambda forecast: forecast["x"])
        said.append(forecast_of(farthest, x))
    elif entry.get("doubts") and one.shape is not None:
        said.append(_no_forecast(entry).split(";")[0])
    yield f"{one.name}: {', '.join(said)}"


def _no_forecast(entry: Mapping[str, Any]) -> str:
    doubts = str(entry["doubts"])
    return doubts if doubts.startswith("no forecast") else f"no forecast: {doubts}"


def _span(one: Curve) -> str:
    over = f" over {one.decades:.2f} decades" if np.isfinite(one.decades) else ""
    return words.counted(one.rows, "point") + over


def _exponent(entry: Mapping[str, Any]) -> str:
    if entry["exponent"] is None:
        return ""
    grows = "grows with " if entry["metric"] == Metric.GROWING else ""
    return f"{grows}exponent {_brackets(entry['exponent'])}"


def _floor(entry: Mapping[str, Any]) -> str:
    """Irreducible loss, of a share the highest it comes to; nothing where there is none."""
    if entry["floor"] is None or entry["floor"]["q95"] == 0 or entry["label"] == Shape.INVERSE:
        return ""
    name = "levels off at" if entry["metric"] == Metric.SHARE else "irreducible loss"
    return f"{name} {_brackets(entry['floor'])}"


def best_of(one: Curve, x: str) -> str:
    """Write the best x of a curve that falls and ends rising.

    Parameters
    ----------
    one : Curve
    x : str
        Column of the axis.

    Returns
    -------
    str
        Empty where it has none inside its range.
    """
    if one.sweep is None or not one.sweep.bracketed:
        return ""
    inside = words.chance(one.sweep.p_bracketed)
    return f"best {x} {_brackets(one.sweep.best)}, P(inside the range) {inside}"


def _brackets(value: Mapping[str, float]) -> str:
    return words.bracketed(value["q05"], value["median"], value["q95"])


def regimes_of(shape: CurveShape) -> dict[str, tuple[float, float]]:
    """Where a curve is near chance, and where it is irreducible, up to the medians of their ends.

    Parameters
    ----------
    shape : CurveShape

    Returns
    -------
    dict of str to tuple of float
        Ends in units of x of each regime that most draws have and that holds two points or more,
        by its name: "near chance", or "on its plateau" where no level of chance is given, and
        "irreducible".
    """
    if shape.label == Shape.INVERSE or (regimes := shape.regimes) is None:
        return {}
    x = np.unique(shape.points.x).tolist()
    until, since = (
        float(regimes[name].median()) if float(regimes[name].isnull().mean()) < 0.5 else np.nan
        for name in ("near_chance_until", "irreducible_from")
    )
    found = {}
    if until >= x[1]:
        found["on its plateau" if shape.chance is None else "near chance"] = (x[0], until)
    if since <= x[-2] and not since < until:  # else all of its fall is little of the loss
        found["irreducible"] = (since, x[-1])
    return found


def _regimes(shape: CurveShape, x: str) -> str:
    return ", ".join(
        f"less than {ENDS:.0%} of the loss is reducible from {words.size(x, low)}"
        if name == "irreducible"
        else f"{name} until {words.size(x, high)}"
        for name, (low, high) in regimes_of(shape).items()
    )


def forecast_of(own: Mapping[str, float], x: str) -> str:
    """Write a forecast at one x.

    Parameters
    ----------
    own : mapping of str to float
        With x, decades_beyond, q05, median and q95.
    x : str
        Column of the axis.

    Returns
    -------
    str

    Examples
    --------
    >>> own = {"x": 2e12, "decades_beyond": 0.4512, "q05": 2.25, "median": 2.31, "q95": 2.37}
    >>> forecast_of(own, "tokens")
    'tokens 2.00T, 0.45 decades beyond: 2.31 [2.25, 2.37]'
    """
    at, beyond = words.size(x, own["x"]), own["decades_beyond"]
    return f"{x} {at}, {beyond:.2f} decades beyond: {_brackets(own)}"


def _totals(curves: Curves, counts: Mapping[str, int]) -> Iterator[str]:
    """Say what the curves are, and whether they were read the wrong way round."""
    said = ", ".join(f"{number} {words.spaced(label)}" for label, number in counts.items())
    yield f"{words.counted(len(curves), 'curve')}: {said}."
    metrics = {one.metric for one in curves}
    if Metric.LOSS in metrics and 2 * counts.get(Shape.INVERSE, 0) > len(curves):
        yield (
            "Most curves get worse. Accuracies are read with --higher-is-better, quantities that "
            "may rise with --quantity."
        )


def _closing(curves: Curves, forecast: bool) -> Iterator[str]:
    """Say how the lines of all curves are to be read."""
    if curves.together is not None:
        yield from curves.together.sentences
    of_points = ", of forecasts those of a new measurement" if forecast else ""
    metrics = {one.metric for one in curves}
    slopes = "d log y / d log x" if metrics == {Metric.GROWING} else "d log loss / d log x"
    share = "; the loss of a share is one minus it" if Metric.SHARE in metrics else ""
    yield (
        f"Brackets are central 90% intervals{of_points}; slopes are {slopes} over the upper third "
        f"of the range{share}."
    )
    if len(curves) > MOST_IN_FULL:
        yield "One line a curve; tables (--out), pictures (--plots) and JSON have more of each."
