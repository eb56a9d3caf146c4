"""Ask the runs whether the mixture of the data moves exponents, or amplitudes alone.

The same runs are fitted by a law whose exponents lean on the shares, and both are judged by cells
left out by importance sampling (`bayescale.evaluation.loo`). Rows of one trained model err
together, so the error of the difference is that of sums over trained models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, number_of
from bayescale.display import Part, Shown
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.evaluation.cross_validation import cells
from bayescale.evaluation.loo import leave_each_out
from bayescale.modelling.spec import load_model
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import fit
from bayescale.runs.mixtures import TRAINED

AMPLITUDES, EXPONENTS = "mixture_joint", "mixture_exponents"
"""Laws of which shares move amplitudes alone, and exponents as well."""

_MODELS = {True: "mixture-exponents-hierarchical", False: "mixture-exponents"}
_SURE = 2.0  # errors from which on a difference of predictions is told
_ROUGH = 0.7  # Pareto k above which a cell left out is not known


@dataclass(frozen=True, repr=False)
class Composition(Shown):
    """What runs say of exponents that lean on the shares.

    Parameters
    ----------
    amplitudes, exponents : Fit
        Of both laws.
    difference, error : float
        elpd of exponents that lean less that of amplitudes alone, and its standard error.
    rough : float
        Share of the cells that importance sampling does not leave out well.
    factors : xarray.Dataset
        ``alpha`` and ``beta``: draws of the exponent on the tried mixture where it is largest in
        the mean, over that where it is least; dims (chain, draw) and group.
    """

    amplitudes: Fit
    exponents: Fit
    difference: float
    error: float
    rough: float
    factors: xr.Dataset

    def _parts(self) -> Iterator[Part]:
        yield _verdict(self)
        yield "Ask next: answer_composition(this)"

    @property
    def moves(self) -> bool:
        """Whether exponents that lean predict runs that were left out better."""
        return self.difference > _SURE * self.error


@typed
def composition(own: Fit, *, draws: int = 500, tune: int = 500, seed: int = 1) -> Composition:
    """Fit the same runs by a law whose exponents lean on the shares, and compare.

    Parameters
    ----------
    own : Fit
        Of the law `mixture_joint`.
    draws, tune, seed : int, optional
        As of `bayescale.fit`.

    Returns
    -------
    Composition

    Raises
    ------
    FitError
        If the fit is of another law.
    """
    if own.spec.law.name != AMPLITUDES:
        raise FitError(
            f"the law {own.spec.law.name} says nothing of exponents of size and tokens; fit "
            "mixture-joint-hierarchical to runs of several sizes"
        )
    spec = load_model(_MODELS[own.spec.group is not None])
    leaning = fit(own.runs, spec, draws=draws, tune=tune, seed=seed)
    return compared(own, leaning)


def compared(own: Fit, leaning: Fit) -> Composition:
    """Compare two fits of the same runs that are there.

    Parameters
    ----------
    own, leaning : Fit
        Of amplitudes alone, and of exponents that lean.

    Returns
    -------
    Composition
    """
    (one, k_one), (other, k_other) = _left_out(own), _left_out(leaning)
    gains, rows = other - one, cells(own).table  # seeds of one configuration are one cell
    trained = rows[TRAINED].to_numpy() if TRAINED in rows else np.arange(len(gains))
    sums = np.bincount(np.unique(trained, return_inverse=True)[1], gains)
    rough = float((np.maximum(k_one, k_other) > _ROUGH).mean())
    return Composition(
        own,
        leaning,
        float(gains.sum()),
        float(np.sqrt(len(sums)) * sums.std(ddof=1)),
        rough,
        _factors(leaning),
    )


def _left_out(own: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Log density of each cell left out, and the Pareto k of its weights."""
    found = [
        (
            logsumexp(
                (left.log_likelihood + left.log_weights)
                .transpose("chain", "draw", "obs")
                .to_numpy(),
                axis=(0, 1),
            ),
            left.pareto_k.to_numpy(),
        )
        for left in leave_each_out(own)
    ]
    values, k = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(k)


def _factors(leaning: Fit) -> xr.Dataset:
    """Exponent on the tried mixture where its mean is largest, over that where it is least.

    Not the largest over the least of each draw: that is above 1 whatever the runs say.
    """
    parts = leaning.parts["w"]
    tried = leaning.runs.table[[f"w_{part}" for part in parts]].drop_duplicates().to_numpy(float)
    mixtures = xr.DataArray(tried, dims=("mixture", "w"), coords={"w": list(parts)})
    names = {"alpha": "s_params", "beta": "s_tokens"}
    found = {}
    for exponent, name in names.items():
        logs = (leaning.posterior[name] * mixtures).sum("w")
        mean = logs.mean(("chain", "draw"))
        most, least = (
            logs.isel(mixture=at) for at in (mean.argmax("mixture"), mean.argmin("mixture"))
        )
        found[exponent] = xr.ufuncs.exp(most - least)
    return xr.Dataset(found)


@typed
def answer_composition(found: Composition) -> Answer:
    """Say whether the mixture moves exponents, and how far at most.

    Parameters
    ----------
    found : Composition

    Returns
    -------
    Answer
        Numbers ``composition``: ``moves_exponents``, ``elpd_difference``, ``error``,
        ``rough_cells`` and, by target, ``factors`` of alpha and beta.
    """
    targets = found.exponents.groups or ("all",)
    factors = {target: _of(found, target) for target in targets}
    entry = {
        "moves_exponents": found.moves,
        "elpd_difference": found.difference,
        "error": found.error,
        "rough_cells": found.rough,
        "factors": factors,
    }
    return Answer.by(
        found.amplitudes,
        found.exponents,
        numbers={"composition": entry},
        sentences=_sentences(found, factors),
    )


def _of(found: Composition, target: str) -> dict[str, Any]:
    grouped = "group" in found.factors.dims
    own = found.factors.sel(group=target) if grouped else found.factors
    return {name: numbers(own[name]) for name in ("alpha", "beta")}


def _verdict(found: Composition) -> str:
    said = f"by {found.difference:.1f} +- {found.error:.1f} of log density"
    return (
        f"Composition moves exponents: letting them lean predicts runs left out better, {said}."
        if found.moves
        else "Composition moves amplitudes, not exponents, as far as these runs tell: letting "
        f"exponents lean changes the prediction of runs left out {said}."
    )


def _sentences(found: Composition, factors: dict[str, Any]) -> list[str]:
    at, name = max(
        ((target, name) for target in factors for name in ("alpha", "beta")),
        key=lambda pair: factors[pair[0]][pair[1]]["median"],
    )
    sentences = [
        _verdict(found),
        f"Where they may lean, {name} of {at} differs most: by a factor of "
        f"{number_of(factors[at][name])} between the tried mixtures.",
    ]
    if found.rough > 0.02:
        sentences.append(
            f"{found.rough:.0%} of the rows decide the fit so much that leaving them out is known "
            "roughly only: take the difference as a hint."
        )
    return sentences
