r"""What repeated tokens are worth, per draw of laws that know repeated data.

After :math:`D/U - 1` repetitions of U unique tokens the next one is worth

.. math:: v(e) = e^{-(e - 1) / R_D(N)}, \qquad R_D(N) = R_D (N / 10^9)^{r_N}

fresh ones, e = D/U the epochs (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models",
section 3; there :math:`r_N = 0`). This is the worth of a token to the law. The loss of a run that
repeats its data often can lie above its law by an excess that this leaves out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, each_group, of_group
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws.data_constrained import repetitions
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior

WORTH = (0.9, 0.5, 0.1)
"""Shares of a fresh token's worth that `epochs_until` answers for."""

REFERENCE_SIZE = 1e9
"""Parameters at which R_D is stated."""

_NEAR = 3.0  # factor in N within which runs speak about a size


@typed
def effective_repetitions(fit: Fit, params: float | Sequence[float]) -> xr.DataArray:
    """Repetitions after which one more token is worth 1/e of a fresh one, R_D(N).

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data, e.g. data-constrained.
    params : float or sequence of float
        Sizes N of models.

    Returns
    -------
    xarray.DataArray
        Repetitions (epochs less one), dims (chain, draw, params). `identified` says whether the
        runs can tell it.

    Raises
    ------
    FitError
        If the law does not know repeated data, or a size is not positive.
    """
    require_repetition(fit)
    sizes = _axis("params", params, least=0.0)
    natural = fit.natural
    r_N = natural.get("r_N", xr.zeros_like(natural["R_D"]))
    found = repetitions(sizes, R_D=natural["R_D"], r_N=r_N)
    return found.rename("effective_repetitions").transpose("chain", "draw", "params", ...)


@typed
def repetition_value(
    fit: Fit, params: float | Sequence[float], epochs: float | Sequence[float]
) -> xr.DataArray:
    """Worth of the next token after e epochs, in fresh tokens, v(e) = exp(-(e - 1) / R_D(N)).

    Parameters
    ----------
    fit, params
        As in `effective_repetitions`.
    epochs : float or sequence of float
        Passes over the data, D/U, at least 1.

    Returns
    -------
    xarray.DataArray
        Between 0 and 1, dims (chain, draw, params, epochs).

    Raises
    ------
    FitError
        As in `effective_repetitions`; for less than one epoch.
    """
    passes = _axis("epochs", epochs, least=1.0, allowed=True)
    value = np.exp(-(passes - 1.0) / effective_repetitions(fit, params))
    return value.rename("repetition_value").transpose("chain", "draw", "params", "epochs", ...)


@typed
def epochs_until(
    fit: Fit, params: float | Sequence[float], worth: float | Sequence[float] = WORTH
) -> xr.DataArray:
    """Epochs after which the next token is worth x of a fresh one, e = 1 + R_D(N) ln(1/x).

    Parameters
    ----------
    fit, params
        As in `effective_repetitions`.
    worth : float or sequence of float
        x, between 0 and 1. Where new tokens of lower quality are to be had, worth x of a fresh one
        each, repetition is better until then.

    Returns
    -------
    xarray.DataArray
        Epochs, dims (chain, draw, params, worth).

    Raises
    ------
    FitError
        As in `effective_repetitions`; for a worth outside (0, 1).
    """
    shares = _axis("worth", worth, least=0.0)
    if not (shares < 1).all():
        raise FitError(f"worth must be a share of a fresh token below 1, got {shares.max():g}")
    until = 1.0 - effective_repetitions(fit, params) * np.log(shares)
    return until.rename("epochs").transpose("chain", "draw", "params", "worth", ...)


def loss_with_excess(posterior: Posterior, inputs: Mapping[str, Any]) -> xr.DataArray:
    """Loss of the law and the mean excess that repeating data often brings, per draw.

    The loss alone, where the noise of the model has no such excess.

    Parameters
    ----------
    posterior : Posterior
        Of a law of params and tokens.
    inputs : mapping of str to array_like
        Every input of the law.

    Returns
    -------
    xarray.DataArray
        Nats per token.
    """
    own = {name: xr.DataArray(inputs[name]) for name in posterior.law.inputs}
    loss = posterior.law(*own.values(), **posterior.natural)
    if posterior.mean_excess is None:
        return loss
    return loss * np.exp(posterior.mean_excess(posterior.noise, own))


@dataclass(frozen=True)
class Identification:
    """Whether the runs can tell R_D at one size of model.

    Parameters
    ----------
    params : float
        The size N.
    identified : bool
        Whether the runs repeat their data more often than the upper end of R_D's interval. If not,
        `at_least` is all that may be said.
    median, at_least, at_most : float
        Of R_D(N), repetitions: median and central 90% interval.
    most_repetitions : float
        Largest D/U - 1 among the runs that speak about this size; NaN without runs.
    runs_near : int or None
        Number of runs within a factor 3 of this size, which are the ones that speak; with none of
        them all runs do, by how R_D changes with size. None where R_D is the same at every size.
    """

    params: float
    identified: bool
    median: float
    at_least: float
    at_most: float
    most_repetitions: float
    runs_near: int | None

    @property
    def only_bound(self) -> bool:
        """Whether no value may be stated; constants that were given have no runs to doubt them."""
        return not self.identified and not np.isnan(self.most_repetitions)

    @property
    def sentence(self) -> str:
        """The value, or what may be said in its place."""
        subject = f"R_D at {words.trimmed(self.params)} parameters"
        low, high = (words.significant(value) for value in (self.at_least, self.at_most))
        value = f"{subject}: {words.significant(self.median)} ({low} to {high})"
        if np.isnan(self.most_repetitions):
            return f"{value}, as given: there are no runs that could tell it"
        if not self.only_bound:
            return value + (", extrapolated: no run is near that size" * (self.runs_near == 0))
        near = " near that size" if self.runs_near else ""
        if self.most_repetitions == 0:
            return f"{subject} is not identified: the runs{near} do not repeat their data"
        return (
            f"{subject} is not identified: at least {low}; the runs{near} repeat their data at "
            f"most {words.trimmed(self.most_repetitions)} times, which is less than the {high} "
            "that it may be"
        )


@typed
def identified(fit: Fit, params: float) -> Identification:
    """Say whether some runs repeat their data more often than R_D, so that they can tell it.

    The upper end of the central 90% interval of R_D(N) must not exceed the largest D/U - 1 of the
    runs: of those within a factor 3 of N where R_D depends on N and there are such runs, else of
    all. Otherwise the curve beyond them is the prior's, and only a lower bound may be stated.

    Parameters
    ----------
    fit : Fit
        As in `effective_repetitions`; of one group where there are groups.
    params : float
        Size N of the model.

    Returns
    -------
    Identification

    Raises
    ------
    FitError
        As in `effective_repetitions`; for a fit with groups.
    """
    if fit.groups:
        raise FitError(
            f"R_D is asked of one group; take it with fit.of_group(...), of {', '.join(fit.groups)}"
        )
    found = numbers(effective_repetitions(fit, float(params)).squeeze("params"))
    most, runs_near = _most_repetitions(fit, float(params))
    return Identification(
        params=float(params),
        identified=found["q95"] <= most,
        median=found["median"],
        at_least=found["q05"],
        at_most=found["q95"],
        most_repetitions=most,
        runs_near=runs_near,
    )


def differs_by_size(fit: Fit) -> bool:
    """Say whether R_D is another at another size of model.

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data.

    Returns
    -------
    bool
    """
    r_N = fit.natural.get("r_N")
    return r_N is not None and bool(r_N.any())


def near_epochs(fit: Fit, params: float) -> np.ndarray:
    """Epochs D/U, at least 1, of the runs that speak about a size, ascending.

    Those within a factor 3 of it, or all where R_D is the same at every size.

    Parameters
    ----------
    fit : Fit
    params : float
        Size N of a model.

    Returns
    -------
    ndarray
        Empty without runs.
    """
    if len(fit.runs) == 0:
        return np.empty(0)
    near = np.abs(np.log(fit.runs.column("params") / params)) <= np.log(_NEAR)
    return np.sort(_epochs(fit)[near] if differs_by_size(fit) else _epochs(fit))


def _epochs(fit: Fit) -> np.ndarray:
    return np.maximum(fit.runs.column("tokens") / fit.runs.column("unique_tokens"), 1.0)


def _most_repetitions(fit: Fit, params: float) -> tuple[float, int | None]:
    """Return the largest D/U - 1 of the runs that speak about a size, and how many are near it."""
    varies = differs_by_size(fit)
    if len(fit.runs) == 0:
        return float("nan"), 0 if varies else None
    near = near_epochs(fit, params)
    speaking = near if len(near) else _epochs(fit)
    return float(speaking.max()) - 1.0, len(near) if varies else None


def require_repetition(fit: Fit) -> None:
    """Refuse a law that does not know repeated data.

    Parameters
    ----------
    fit : Fit

    Raises
    ------
    FitError
        For such a law.
    """
    if "R_D" not in fit.law.parameters:
        raise FitError(
            f"the law {fit.law.name} does not know repeated data; fit the model "
            "data-constrained to runs with a column unique_tokens"
        )


def _axis(name: str, values: float | Sequence[float], least: float, allowed: bool = False) -> Any:
    """Make a dimension of values that are above `least`, or at it where that is allowed."""
    array = np.array(list(dict.fromkeys(np.atleast_1d(values).astype(float).tolist())))
    bad = array[~(np.isfinite(array) & ((array >= least) if allowed else (array > least)))]
    if len(bad):
        bound = f"at least {least:g}" if allowed else f"above {least:g}"
        raise FitError(f"{name} must be {bound}, got {bad[0]:g}")
    return xr.DataArray(array, dims=name, coords={name: array})


@typed
def answer_repetition(fit: Fit) -> Answer:
    """Say what repeated data are worth at several sizes (of each group), the stated one first.

    Of a law that does not know repeated data there is nothing to say.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Answer
        Numbers: ``repetition``, an entry for each size (and group).
    """
    knows = "R_D" in fit.law.parameters
    result = plain({"repetition": each_group(fit, _worths) if knows else []})
    return Answer.by(fit, numbers=result, sentences=map(_worth_sentence, result["repetition"]))


def _worths(fit: Fit) -> list[dict[str, Any]]:
    """Say what repetition is worth: at one size, 1B where it is near the runs, then at the ends."""
    if not len(fit.runs):  # constants
        return [_worth(fit, REFERENCE_SIZE)]
    sizes = fit.runs.column("params")
    low, middle, high = (float(f(sizes)) for f in (np.min, stats.gmean, np.max))
    stated = REFERENCE_SIZE if low / 3 < REFERENCE_SIZE < 3 * high else middle
    return [_worth(fit, params) for params in dict.fromkeys((stated, low, high))]


def _worth(fit: Fit, params: float) -> dict[str, Any]:
    told = identified(fit, params)
    until = epochs_until(fit, params).squeeze("params")
    only = ("q05",) if told.only_bound else ("median", "q05", "q95")
    return {
        "params": params,
        "identified": told.identified,
        "most_repetitions": told.most_repetitions,
        "R_D": {
            name: None if name not in only else value
            for name, value in (
                ("median", told.median),
                ("q05", told.at_least),
                ("q95", told.at_most),
            )
        },
        "epochs_until": [
            {
                "worth": float(worth),
                "epochs": {
                    name: value if name in only else None
                    for name, value in numbers(until.sel(worth=worth)).items()
                },
            }
            for worth in until["worth"].to_numpy()
        ],
        "sentence": told.sentence,
    }


def _worth_sentence(entry: dict[str, Any]) -> str:
    half = next(at["epochs"] for at in entry["epochs_until"] if at["worth"] == 0.5)
    lasts = (
        f"at least {words.significant(half['q05'], 2)} epochs"
        if half["median"] is None
        else f"{words.significant(half['median'], 2)} epochs "
        f"({words.span(half['q05'], half['q95'], 'plain')})"
    )
    return f"{of_group(entry)}{entry['sentence']}. A token is worth half a fresh one after {lasts}."
