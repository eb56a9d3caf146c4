"""The loss that a law of one axis predicts along it, and how much a law bends."""

from collections.abc import Sequence
from typing import Any

import xarray as xr

from bayescale import words
from bayescale.decisions.answer import (
    Answer,
    Quantity,
    Tested,
    beside_exact,
    each_group,
    loss_of,
    of_group,
    reliability,
    standing,
)
from bayescale.draws import numbers
from bayescale.files import plain
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import bend_per_decade, predict, predict_runs
from bayescale.runs.range import decades_beyond


def answer_predictions(
    fit: Fit,
    values: Sequence[float],
    *,
    exact: Fit | None = None,
    tested: Tested | None = None,
) -> Answer:
    """Say the loss at each value of the axis (and group) of a single-axis law.

    Of a law of more axes there is nothing to say. The other parameters are as in
    `bayescale.decisions.allocation.answer_optima`.

    Parameters
    ----------
    values : sequence of float

    Returns
    -------
    Answer
        Numbers: ``predictions``, an entry for each value (and group).
    """
    entries = [
        standing(fit, entry, tested)
        for entry in each_group(fit, lambda own: _predictions(own, values, exact))
    ]
    result = plain({"predictions": entries})
    sentences = map(_prediction_sentence, result["predictions"])
    draws = _draws(fit, values) if entries else None
    return Answer.by(fit, numbers=result, sentences=sentences, draws=draws)


def _draws(fit: Fit, values: Sequence[float]) -> xr.Dataset:
    axis = fit.spec.inputs[0]
    at = xr.DataArray(list(values), dims=axis, coords={axis: list(values)})
    return predict(fit, {axis: at}).to_dataset(name="loss")


def _predictions(fit: Fit, values: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    if len(fit.spec.inputs) > 1:  # no single axis to answer along
        return []
    axis, entries = fit.spec.inputs[0], []
    for value in values:
        found = _losses(fit, {axis: value})
        exactly = None if exact is None else _losses(exact, {axis: value})
        entries.append(
            {
                "axis": axis,
                "value": float(value),
                "decades_beyond": float(decades_beyond(fit.runs, **{axis: value})),
                "bends": fit.bends,
                "exact": beside_exact(found, exactly),
                **found,
            }
        )
    return entries


def _losses(fit: Fit, at: dict[str, float]) -> dict[str, Quantity]:
    return {
        "loss": dict(numbers(predict(fit, at))),
        "loss_new_run": dict(numbers(predict_runs(fit, at))),
    }


def _prediction_sentence(entry: dict[str, Any]) -> str:
    return (
        f"{of_group(entry)}At {words.size(entry['axis'], entry['value'])} {entry['axis']}: "
        f"loss {loss_of(entry['loss'])}; 90% of "
        f"new runs fall between {entry['loss_new_run']['q05']:.3f} and "
        f"{entry['loss_new_run']['q95']:.3f}. {reliability(entry)}"
    )


def answer_bend(fit: Fit) -> Answer:
    """Say what the bend of a law is, and how much these runs bend; nothing of an exact law.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Answer
        Numbers: ``bend``, None of an exact law.
    """
    bend = _bend(fit)
    sentences = [] if bend is None else [_bend_sentence(bend)]
    return Answer.by(fit, numbers={"bend": bend}, sentences=sentences)


def _bend(fit: Fit) -> dict[str, Any] | None:
    bend = fit.spec.bend
    if bend is None or not fit.bends:
        return None
    bends = bend.along or (True,) * len(fit.spec.inputs)
    return {
        "sd": bend.sd,
        "length": bend.length,
        "axes": [name for name, along in zip(fit.spec.inputs, bends, strict=True) if along],
        "per_decade": numbers(bend_per_decade(fit)),
    }


def _bend_sentence(bend: dict[str, Any]) -> str:
    """Say what the bend is, and how much these runs bend."""
    middle, low, high = (100 * bend["per_decade"][name] for name in ("median", "q05", "q95"))
    return (
        "The law may bend: it is multiplied by a smooth factor, which the runs teach where they "
        "lie and which is less and less known beyond them. Among these runs the factor changes by "
        f"{words.significant(middle, 2)}% ({words.significant(low, 2)} to "
        f"{words.significant(high, 2)}%) of the loss per decade."
    )
