r"""Corpora of other quality, per draw of laws that know repeated data.

A fresh token of quality e is worth e fresh ones of the best data, and repeated it loses worth as
they do. So R_q repetitions of the U_q tokens of each corpus come to

.. math:: D_{eff} = \sum_q e_q U_q [1 + R (1 - e^{-R_q / R})], \qquad R = R_D(N)

effective tokens (after Muennighoff et al. 2023, "Scaling Data-Constrained Language Models"). The
next token of a corpus is worth :math:`e_q e^{-R_q / R}`: new data of quality e pay from
:math:`-R \ln e` repetitions of the best on. Tokens are spent best where all corpora that are
repeated have the same worth, and those of less worth are not touched. That makes the most of the
tokens; what else the law says of repetition, of params and of an excess, is in the loss beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, count_of, loss_of, number_of
from bayescale.decisions.prices import require_positive
from bayescale.decisions.repetition import (
    effective_repetitions,
    epochs_until,
    identified,
    loss_with_excess,
    require_repetition,
)
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.runs.range import decades_beyond

_SURELY = 0.005  # probability that is not worth a word
_ALL = 1.0 - 1e-12  # of what repetition can bring, so that its passes are a number


@dataclass(frozen=True)
class Corpus:
    """Data of one quality.

    Parameters
    ----------
    name : str
    tokens : float
        Distinct ones.
    quality : float
        Worth of a fresh token of it, in fresh tokens of the best data, above 0 and at most 1.

    Raises
    ------
    FitError
        For another quality, or no tokens.
    """

    name: str
    tokens: float
    quality: float

    def __post_init__(self) -> None:
        require_positive(f"the tokens of {self.name}", self.tokens)
        if not 0 < self.quality <= 1:
            raise FitError(
                f"the quality of {self.name} must be above 0 and at most 1, got "
                f"{self.quality:g}; the best data have 1"
            )


@typed
def best_corpora(
    fit: Fit, corpora: Sequence[Corpus], params: float, tokens: float | Sequence[float]
) -> xr.Dataset:
    """Find how often to pass over each corpus, of tokens that are trained on.

    Exact: the next token is always one of the corpus whose next token is worth most.

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data, e.g. data-constrained; of one group where there are
        groups.
    corpora : sequence of Corpus
    params : float
        Size N of the model.
    tokens : float or sequence of float
        D, every pass counted.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw, ``tokens`` and ``corpus``:

        * ``of_corpus`` (chain, draw, tokens, corpus): tokens from it; ``epochs``: passes over it.
        * ``worth`` (chain, draw, tokens): of the next token, in fresh ones of the best data.
        * ``effective`` (chain, draw, tokens): what all are worth, in fresh ones.
        * ``loss`` (chain, draw, tokens): nats per token, without noise, with the mean excess.
        * ``gain`` (chain, draw, tokens): by how much the best corpus alone, repeated, has a higher
          loss.
        * ``used`` (tokens, corpus): probability that it pays to take any of it.

        Attribute ``params``.

    Raises
    ------
    FitError
        If the law does not know repeated data, for a fit with groups, or a number that cannot be.
    """
    posterior, lasting = _asked(fit, params)
    budgets = _budgets(tokens)
    if not corpora or len({own.name for own in corpora}) < len(corpora):
        raise FitError("give at least one corpus, each with a name of its own")
    unique, quality = (_of(corpora, name) for name in ("tokens", "quality"))
    worth = _worth_of_next(unique, quality, lasting, budgets)
    of_corpus = _spent(unique, quality, lasting, budgets, worth)
    epochs = of_corpus / unique
    seen = np.minimum(epochs, 1.0) * unique
    fresh = (quality * seen).sum("corpus")
    best = max(corpora, key=lambda own: (own.quality, own.tokens))
    found = xr.Dataset(
        {
            "of_corpus": of_corpus,
            "epochs": epochs,
            "worth": worth,
            "effective": effective_tokens(quality * unique, epochs, lasting).sum("corpus"),
        }
    )
    mixed = _loss(posterior, params, fresh, _passes_of(found["effective"] / fresh, lasting))
    own = np.minimum(budgets, best.tokens) * best.quality
    found = found.assign(
        {
            LOSS.column: mixed,
            "gain": _loss(posterior, params, own, budgets / best.tokens) - mixed,
            "used": (of_corpus > 0).mean(("chain", "draw")),
        }
    )
    found = found.transpose("chain", "draw", "tokens", "corpus")
    return found.assign_attrs(params=params, best=best.name)


@typed
def best_filter(
    fit: Fit,
    kept: Sequence[float],
    quality: Sequence[float],
    unique_tokens: float,
    params: float,
    tokens: float | Sequence[float],
) -> xr.Dataset:
    """Find how strictly to filter a corpus: what is kept is better, and ends sooner.

    Parameters
    ----------
    fit, params, tokens
        As in `best_corpora`.
    kept : sequence of float
        Shares of the tokens that filters keep, above 0 and at most 1.
    quality : sequence of float
        Mean quality of what each keeps, above 0 and at most 1.
    unique_tokens : float
        Distinct tokens of the corpus before it is filtered.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw, ``tokens`` and ``kept``: ``epochs`` (tokens, kept), ``effective`` and
        ``loss``; ``p_best`` (tokens, kept), the probability that a share is the best of those
        given; ``best_kept`` (chain, draw, tokens). Attribute ``params``.

    Raises
    ------
    FitError
        As in `best_corpora`; if there are not as many shares as qualities.
    """
    posterior, lasting = _asked(fit, params)
    budgets = _budgets(tokens)
    if len(kept) != len(quality) or not kept or len(set(kept)) < len(kept):
        raise FitError("give a quality for every share that is kept, and every share once")
    if not all(0 < share <= 1 for share in kept):
        raise FitError("shares that are kept must be above 0 and at most 1; write 30% as 0.3")
    parts = [
        Corpus(f"what {share:g} keeps", share * unique_tokens, own)
        for share, own in sorted(zip(kept, quality, strict=True))
    ]
    shares = np.array([own.tokens / unique_tokens for own in parts])
    unique, worth = (
        xr.DataArray([getattr(own, name) for own in parts], dims="kept", coords={"kept": shares})
        for name in ("tokens", "quality")
    )
    epochs = budgets / unique
    effective = effective_tokens(worth * unique, epochs, lasting)
    loss = _loss(posterior, params, worth * np.minimum(budgets, unique), epochs)
    best = loss.argmin("kept")
    p_best = xr.concat([(best == at).mean(("chain", "draw")) for at in range(len(parts))], "kept")
    found = xr.Dataset(
        {
            "epochs": epochs,
            "effective": effective,
            LOSS.column: loss,
            "p_best": p_best.assign_coords(kept=shares),
            "best_kept": loss["kept"][best].drop_vars("kept"),
        }
    )
    return found.transpose("chain", "draw", "tokens", "kept").assign_attrs(params=params)


def effective_tokens(fresh: Any, epochs: Any, lasting: Any) -> Any:
    """Return what so many passes are worth, in fresh tokens of the best data.

    Parameters
    ----------
    fresh : array_like
        Worth of the first pass, e U.
    epochs : array_like
        Passes; a first one that is not finished counts as far as it goes.
    lasting : array_like
        R, repetitions after which one more is worth 1/e of the first.

    Returns
    -------
    array_like
    """
    more = np.maximum(epochs - 1.0, 0.0)
    return fresh * (np.minimum(epochs, 1.0) - lasting * np.expm1(-more / lasting))


def _asked(fit: Fit, params: float) -> tuple[Posterior, xr.DataArray]:
    """Give the posterior, and R_D at the size that is asked."""
    require_repetition(fit)
    return Posterior.of_joint_law(fit), effective_repetitions(fit, params).squeeze(
        "params", drop=True
    )


def _budgets(tokens: float | Sequence[float]) -> xr.DataArray:
    values = np.unique(np.atleast_1d(np.asarray(tokens, dtype=float)))
    for value in values:
        require_positive("tokens", float(value))
    return xr.DataArray(values, dims="tokens", coords={"tokens": values})


def _of(corpora: Sequence[Corpus], name: str) -> xr.DataArray:
    """Values of all corpora, the best first."""
    ordered = sorted(corpora, key=lambda own: -own.quality)
    values = np.array([getattr(own, name) for own in ordered])
    return xr.DataArray(values, dims="corpus", coords={"corpus": [own.name for own in ordered]})


def _worth_of_next(
    unique: xr.DataArray, quality: xr.DataArray, lasting: xr.DataArray, budgets: xr.DataArray
) -> xr.DataArray:
    r"""Worth of the token after the last one: the same for all corpora that are repeated.

    The j best corpora are repeated until each is worth w when
    :math:`\sum_i U_i (1 + R \ln(e_i / w))` tokens are spent; another corpus of quality e is begun
    where w would fall below e, and gone through at that worth.
    """
    found = xr.zeros_like(budgets * lasting)
    for number in range(1, unique.sizes["corpus"] + 1):
        own, theirs = (values.isel(corpus=slice(number)) for values in (unique, quality))
        log_all = (own * (1.0 + lasting * np.log(theirs))).sum("corpus") - budgets
        repeated = xr.ufuncs.exp((log_all / (lasting * own.sum("corpus"))).clip(max=0.0))
        worst = theirs.isel(corpus=-1, drop=True)
        found = xr.ufuncs.maximum(found, xr.ufuncs.minimum(repeated, worst))
    return found


def _spent(
    unique: xr.DataArray,
    quality: xr.DataArray,
    lasting: xr.DataArray,
    budgets: xr.DataArray,
    worth: xr.DataArray,
) -> xr.DataArray:
    """Tokens of each corpus: repeated ones until their worth, and one that is begun the rest."""
    better = quality > worth * (1.0 + 1e-12)
    repeated = (unique * (1.0 + lasting * np.log(quality / worth))).where(better, 0.0)
    begun = (np.abs(quality - worth) <= 1e-12 * worth) & ~better
    left = (budgets - repeated.sum("corpus")).clip(min=0.0)
    before = (unique * begun).cumsum("corpus") - unique * begun
    return repeated + np.minimum((left - before).clip(min=0.0), unique) * begun


def _passes_of(times: xr.DataArray, lasting: xr.DataArray) -> xr.DataArray:
    """Invert `effective_tokens`: passes over one corpus that are worth so many times the first."""
    share = ((times - 1.0) / lasting).clip(min=0.0, max=_ALL)
    return 1.0 - lasting * np.log1p(-share)


def _loss(posterior: Posterior, params: float, fresh: Any, epochs: Any) -> xr.DataArray:
    """Loss of so many passes over one corpus of the best quality."""
    tokens = fresh * np.maximum(epochs, 1.0)
    return loss_with_excess(posterior, {"params": params, "tokens": tokens, "unique_tokens": fresh})


@typed
def answer_quality(
    fit: Fit,
    found: xr.Dataset | None = None,
    filtered: xr.Dataset | None = None,
    *,
    params: float | None = None,
    qualities: Sequence[float] = (),
) -> Answer:
    """Say which corpora to repeat, which to add and when, and how strictly to filter.

    Parameters
    ----------
    fit : Fit
    found : xarray.Dataset, optional
        What `best_corpora` returns of the fit.
    filtered : xarray.Dataset, optional
        What `best_filter` returns of the fit.
    params : float, optional
        Size N for which `qualities` are asked; by default that of the others.
    qualities : sequence of float, optional
        Of other data, below 1, of which it is said from which repetition of the best on they pay.

    Returns
    -------
    Answer
        Numbers ``params``, ``R_D`` (at that size), ``R_D_identified``, ``switch`` (``quality``,
        ``repetitions``, after the first pass), ``corpora``, an entry for each number of tokens,
        and ``filters`` likewise.

    Raises
    ------
    FitError
        If nothing is asked.
    """
    asked = next((own for own in (found, filtered) if own is not None), None)
    size = asked.attrs["params"] if params is None and asked is not None else params
    if size is None:
        raise FitError("give what best_corpora or best_filter found, or params and qualities")
    told = identified(fit, size)
    result = plain(
        {
            "params": size,
            "R_D": numbers(effective_repetitions(fit, size).squeeze("params")),
            "R_D_identified": not told.only_bound,
            "switch": [_switch(fit, size, own) for own in qualities],
            "corpora": _entries(fit, found, _mixed) if found is not None else [],
            "filters": _entries(fit, filtered, _filtered) if filtered is not None else [],
        }
    )
    sentences = [*_sentences(result, "" if found is None else found.attrs["best"])]
    return Answer.by(fit, numbers=result, sentences=sentences, draws=asked)


def _switch(fit: Fit, params: float, quality: float) -> dict[str, Any]:
    """Say from which repetition on data of a quality pay, by the rule of `epochs_until`."""
    until = epochs_until(fit, params, quality).squeeze(("params", "worth")) - 1.0
    return {"quality": quality, "repetitions": numbers(until)}


def _entries(fit: Fit, found: xr.Dataset, say: Any) -> list[dict[str, Any]]:
    size = found.attrs["params"]
    return [
        {
            "tokens": float(tokens),
            "decades_beyond": float(decades_beyond(fit.runs, params=size, tokens=tokens)),
            **say(found.sel(tokens=tokens)),
        }
        for tokens in found["tokens"].to_numpy()
    ]


def _mixed(at: xr.Dataset) -> dict[str, Any]:
    return {
        **{name: numbers(at[name]) for name in ("worth", "effective", LOSS.column, "gain")},
        "corpora": [
            {
                "name": str(name),
                "p_used": float(at["used"].sel(corpus=name)),
                "tokens": numbers(at["of_corpus"].sel(corpus=name)),
                "epochs": numbers(at["epochs"].sel(corpus=name)),
            }
            for name in at["corpus"].to_numpy()
        ],
    }


def _filtered(at: xr.Dataset) -> dict[str, Any]:
    return {
        "best_kept": numbers(at["best_kept"]),
        "filters": [
            {
                "kept": float(share),
                "epochs": float(at["epochs"].sel(kept=share)),
                "p_best": float(at["p_best"].sel(kept=share)),
                LOSS.column: numbers(at[LOSS.column].sel(kept=share)),
            }
            for share in at["kept"].to_numpy()
        ],
    }


def _sentences(answer: dict[str, Any], best: str) -> Iterator[str]:
    size = words.trimmed(answer["params"])
    for entry in answer["corpora"]:
        yield _mixed_sentence(entry, size, best)
    for entry in answer["filters"]:
        yield _filter_sentence(entry, size)
    if answer["switch"]:
        said = ", ".join(
            f"{own['quality']:.0%} after {number_of(own['repetitions'])}"
            for own in answer["switch"]
        )
        yield f"At {size} parameters new data pay, by quality, {said} repetitions of the best."
    if not answer["R_D_identified"]:
        yield "The runs hardly tell what repetition is worth there: R_D is the prior's."
    out = [own["decades_beyond"] for own in (*answer["corpora"], *answer["filters"])]
    if any(out):
        most = words.significant(max(abs(own) for own in out if own), 2)
        yield f"Up to {most} decades beyond the runs: the intervals hold only if the law does."
    if answer["corpora"] or answer["filters"]:
        yield (
            "Qualities are taken as given and the same at every size: what a token of each corpus "
            "is worth has to be measured."
        )


def _mixed_sentence(entry: dict[str, Any], size: str, best: str) -> str:
    gain = (
        ""
        if len(entry["corpora"]) == 1
        else f", {number_of(entry['gain'], 2)} below that of {best} alone"
    )
    return (
        f"{size} parameters on {words.trimmed(entry['tokens'])} tokens: "
        f"{', '.join(map(_passes, entry['corpora']))}. They are worth "
        f"{count_of(entry['effective'])} fresh ones of the best, loss {loss_of(entry[LOSS.column])}"
        f"{gain}; the next token is worth {number_of(entry['worth'], 2)}."
    )


def _passes(own: dict[str, Any]) -> str:
    """Say how often a corpus is passed over, and how surely at all."""
    if own["p_used"] < _SURELY:
        return f"no {own['name']}"
    maybe = f" (worth taking with probability {words.chance(own['p_used'])})"
    unsure = own["p_used"] < 1 - _SURELY
    return f"{own['name']} {number_of(own['epochs'])} epochs{maybe if unsure else ''}"


def _filter_sentence(entry: dict[str, Any], size: str) -> str:
    top = max(entry["filters"], key=lambda own: own["p_best"])
    others = [
        f"{words.chance(own['p_best'])} {own['kept']:.0%}"
        for own in sorted(entry["filters"], key=lambda own: -own["p_best"])
        if own is not top and own["p_best"] >= _SURELY
    ]
    also = f"; others: {', '.join(others)}" if others else ""
    return (
        f"{size} parameters on {words.trimmed(entry['tokens'])} tokens: keep {top['kept']:.0%}, "
        f"for {words.significant(top['epochs'], 2)} epochs, loss {loss_of(top[LOSS.column])}; the "
        f"best of the filters with probability {words.chance(top['p_best'])}{also}."
    )
