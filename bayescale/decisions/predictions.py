"""What a law predicts of runs of a given size, and how much a law bends."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import (
    Answer,
    Quantity,
    Tested,
    beside_exact,
    distance,
    each_group,
    of_group,
    reliability,
    response_of,
    response_writer,
    standing,
)
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws import Response
from bayescale.modelling.inputs import inputs_of, read_by
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import bend_per_decade, predict, predict_runs
from bayescale.runs.range import decades_beyond


def largest_run(fit: Fit) -> dict[str, Any]:
    """Read what the largest run was made with, or the smallest where the law gets worse in size.

    Parameters
    ----------
    fit : Fit
        Of one law, without groups or of one group.

    Returns
    -------
    dict of str to float or xarray.DataArray
        Inputs of the law and of its noise by name. Of several runs as large those of the best one;
        what `Fit.at` has fixed is as it is fixed, and knobs are left out: they are at their best.

    Raises
    ------
    FitError
        For constants, which have no runs.
    """
    _require_runs(fit)
    own, table = fit.spec.response, fit.runs.table
    ahead = 1.0 if fit.spec.law.worsens_along(fit.spec.size) else -1.0
    place = np.lexsort((own.sign * table[own.column], ahead * fit.runs.column(fit.spec.size)))[0]
    return _given(fit, {name: v[place] for name, v in inputs_of(fit.spec, table).items()})


def middle_run(fit: Fit) -> dict[str, Any]:
    """Read what a run in the middle of the runs is made with.

    Geometric means of what has a size, means of shares, and of all else the median run's own value.
    Parameters and errors as in `largest_run`.

    Returns
    -------
    dict of str to float or xarray.DataArray
    """
    _require_runs(fit)
    found, values = {}, inputs_of(fit.spec, fit.runs.table)
    for own in read_by(fit.spec):
        of_runs = values[own.name]
        if own.role == "context" or own.scale in ("linear", "share"):
            found[own.name] = np.quantile(of_runs, 0.5, method="nearest")
        else:
            shares = own.scale == "shares"
            found[own.name] = of_runs.mean(axis=0) if shares else np.exp(np.log(of_runs).mean())
    return _given(fit, found)


def resized(fit: Fit, inputs: Mapping[str, Any], sizes: Any) -> dict[str, Any]:
    """Give a run another size, as `ModelSpec.size` counts it, and leave all else as it is.

    Parameters
    ----------
    fit : Fit
    inputs : mapping
        What the run is made with, as `largest_run` says it.
    sizes : float or numpy.ndarray
        Compute of a law that trades a size against data: both grow in proportion.

    Returns
    -------
    dict of str to Any
        As `inputs`; arrays where there are several sizes.

    Raises
    ------
    FitError
        For constants of a law that trades a size against data: no run says in which proportion.
    """
    law = fit.spec.law
    if not law.trades:
        return {**inputs, fit.spec.size: sizes}
    _require_runs(fit)
    (size,), (data,) = law.role("size"), law.role("data")
    now = fit.runs.flops_per_param_token * inputs[size] * inputs[data]
    grow = [name for name in (size, data, *law.role("unique")) if name in inputs]
    return {**inputs, **{name: inputs[name] * np.sqrt(sizes / now) for name in grow}}


def _largest(fit: Fit) -> dict[str, Any]:
    return largest_run(fit) if len(fit.runs) else dict(fit.given)


def _require_runs(fit: Fit) -> None:
    if len(fit.runs) == 0:
        raise FitError("these are given constants: there are no runs to start from")


def _given(fit: Fit, values: Mapping[str, Any]) -> dict[str, Any]:
    """Make one entry a number for `predict`, or a vector of shares; knobs have their best value."""
    law = fit.spec.law
    found = {**values, **fit.given}
    left_out = [name for name in law.role("knob") if name not in fit.given]
    return {
        name: xr.DataArray(value, dims=name, coords={name: list(fit.parts[name])})
        if name in law.role("shares")
        else float(value)
        for name, value in found.items()
        if name not in left_out
    }


def inputs_in_json(fit: Fit, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Write what the law reads of a run as numbers.

    Parameters
    ----------
    fit : Fit
    inputs : mapping
        As `largest_run` says them.

    Returns
    -------
    dict of str to float or dict
        Shares by their parts; without knobs at their best.
    """
    return {
        name: dict(zip(fit.parts[name], map(float, np.asarray(inputs[name])), strict=True))
        if name in fit.spec.law.role("shares")
        else float(inputs[name])
        for name in fit.spec.inputs
        if name in inputs
    }


def inputs_in_words(inputs: Mapping[str, Any]) -> str:
    """Say what a run is made with.

    Parameters
    ----------
    inputs : mapping
        As `inputs_in_json` returns them.

    Returns
    -------
    str

    Examples
    --------
    >>> inputs_in_words({"params": 1e9, "experts": 8.0, "w": {"web": 0.7, "code": 0.3}})
    '1.00B params, experts 8, w 70% web 30% code'
    """
    return ", ".join(map(_input_in_words, inputs, inputs.values()))


def _input_in_words(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return " ".join([name, *(f"{share:.0%} {part}" for part, share in value.items())])
    if value < 1e3:
        return f"{name} {value:.3g}"
    return f"{words.size(name, value)} {name}"


@typed
def answer_predictions(
    fit: Fit,
    values: float | Sequence[float],
    *,
    exact: Fit | None = None,
    tested: Tested | None = None,
) -> Answer:
    """Say what the law predicts of runs of each size: of the largest run, made so large.

    Parameters
    ----------
    fit : Fit
    values : float or sequence of float
        Sizes as `ModelSpec.size` counts them: values of the axis of a law of one, compute of a law
        that trades a size against data.
    exact : Fit, optional
        The same law taken as exact (`bayescale.exact_fit`), to set what it says beside that.
    tested : callable, optional
        Says what a backtest tells of an answer so many decades beyond the runs, as
        `bayescale.backtested_at` does.

    Returns
    -------
    Answer
        Numbers ``predictions``, one entry a group and value: the response under its own name, and
        of a new run, noise included.
    """
    sizes = np.atleast_1d(values).tolist()
    entries = [
        standing(fit, entry, tested)
        for entry in each_group(fit, lambda own: predictions(own, sizes, exact))
    ]
    result = plain({"predictions": entries})
    sentence = partial(_prediction_sentence, response=fit.spec.response)
    sentences = map(sentence, result["predictions"])
    draws = _of_groups(fit, sizes)
    return Answer.by(fit, numbers=result, sentences=sentences, draws=draws)


def _of_groups(fit: Fit, values: Sequence[float]) -> xr.Dataset:
    if not fit.groups:
        return _draws(fit, values)
    found = [_draws(fit.of_group(name), values) for name in fit.groups]
    return xr.concat(found, dim=pd.Index(fit.groups, name="group"))


def _draws(fit: Fit, values: Sequence[float]) -> xr.Dataset:
    """Draws of what the law says of the largest run at other sizes, and of new runs there."""
    axis, own = fit.spec.size, fit.spec.response
    sizes = xr.DataArray(list(values), dims=axis, coords={axis: list(values)})
    at = resized(fit, _largest(fit), sizes)
    return xr.Dataset({own.column: predict(fit, at), of_new_run(own): predict_runs(fit, at)})


def predictions(fit: Fit, values: Sequence[float], exact: Fit | None) -> list[dict[str, Any]]:
    """Predict runs of each size as numbers, beside what the exact law says.

    Parameters as in `answer_predictions`, of a fit without groups or of one group.

    Returns
    -------
    list of dict
    """
    column, axis, common = fit.spec.response.column, fit.spec.size, fit.spec.constants
    if not len(values):
        return []
    largest, entries, found = _largest(fit), [], _quantities(fit, values)
    of_exact = [None] * len(values) if exact is None else _quantities(exact, values)
    for value, own, exactly in zip(values, found, of_exact, strict=True):
        at = resized(fit, largest, value)
        beyond = float(decades_beyond(fit.runs, **{axis: value}))
        entries.append(
            {
                "axis": axis,
                "value": float(value),
                "at": {n: v for n, v in inputs_in_json(fit, at).items() if n not in common},
                "at_best": [name for name in fit.spec.law.role("knob") if name not in at],
                "decades_beyond": beyond if np.isfinite(beyond) else None,
                "bends": fit.bends,
                "exact": beside_exact(own, exactly, (column,)),
                **own,
            }
        )
    return entries


def _quantities(fit: Fit, values: Sequence[float]) -> list[dict[str, Quantity]]:
    draws, axis = _draws(fit, values), fit.spec.size
    return [
        {str(name): dict(numbers(own.isel({axis: place}))) for name, own in draws.items()}
        for place in range(len(values))
    ]


def of_new_run(response: Response) -> str:
    """Name what is observed of a new run, beside what the law says.

    Parameters
    ----------
    response : Response

    Returns
    -------
    str
    """
    return f"{response.column}_new_run"


def _prediction_sentence(entry: dict[str, Any], response: Response) -> str:
    given = {name: value for name, value in entry["at"].items() if name != entry["axis"]}
    best = [f"the best {name}" for name in entry["at_best"]]
    further = ", ".join([*map(_input_in_words, given, given.values()), *best])
    write, new = response_writer(response), entry[of_new_run(response)]

    def says(found: dict[str, Any]) -> str:
        return f"{response.name} {response_of(found[response.column], response)}"

    return (
        f"{of_group(entry)}At {words.size(entry['axis'], entry['value'])} {entry['axis']}"
        f"{f' ({further})' if further else ''}: {says(entry)}. 90% of new runs fall between "
        f"{write(new['q05'])} and {write(new['q95'])}. {reliability(entry, says)}"
    )


def said_of_groups(entries: Sequence[Mapping[str, Any]], response: Response) -> str:
    """Say in one sentence what is predicted of the groups at one size.

    Parameters
    ----------
    entries : sequence of mapping
        Of ``predictions`` as `answer_predictions` has them, one a group.
    response : Response

    Returns
    -------
    str
    """
    farthest = max(entries, key=lambda entry: abs(entry["decades_beyond"] or 0.0))
    each = (f"{e['group']} {response_of(e[response.column], response)}" for e in entries)
    unit = "FLOPs" if farthest["axis"] == "flops" else farthest["axis"]
    return (
        f"Predicted {response.name} at {words.size(farthest['axis'], farthest['value'])} "
        f"{unit}: {', '.join(each)}. "
        f"{distance(farthest['decades_beyond'], bends=farthest['bends'])}"
    )


@typed
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
        "The law may bend: a smooth factor multiplies it, known where runs lie and less and less "
        "beyond them. Among these runs it changes by "
        f"{words.significant(middle, 2)}% ({words.significant(low, 2)} to "
        f"{words.significant(high, 2)}%) of the loss per decade."
    )
