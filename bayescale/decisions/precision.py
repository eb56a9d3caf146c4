r"""How many bits a weight should have, per draw: what fewer cost, and the larger model they buy.

A model of N parameters with P bits each takes N P / 8 bytes. Quantised after training its loss is

.. math:: L(N, D) + \Delta(N, D, P), \qquad \Delta = e^{c - b P} D^{\gamma_D} N^{-\gamma_N}

by a joint law and the law of `bayescale.laws` (``precision``). In a memory of M bytes fewer bits
make room for a larger model, N = 8 M / P. More tokens lower the first term and raise the second,
so that for each N and P there is a number of tokens from which on more of them do harm.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import kruskal

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import (
    Answer,
    count_of,
    distance,
    interval_of,
    loss_of,
    negated,
    number_of,
)
from bayescale.decisions.prices import require_positive
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.laws import LOSS
from bayescale.posterior.fit import Fit
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import residuals, with_few_draws
from bayescale.posterior.search import find_minimum
from bayescale.runs.range import axis_range, decades_beyond

FORMATS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 16.0)
"""Bits per weight that answers compare."""

LAW = "precision"
"""Law of what quantisation adds to the loss."""

NEW = "a new model"
"""Group that a model is of which none of the table is like."""

INCREASES = (0.01, 0.05)
"""Nats per token for which the bits are said."""

_BITS, _MOST, _LEAST = "bits_per_weight", 16.0, 1.0
_SMALLER = 1000.0  # factor below the largest model in which the best one of a budget is looked for
_TOKENS = (1e6, 1e16)  # between which the number of tokens that is enough is looked for
_POINTS = 17
_A_KIND, _APART = 3, 0.05  # rows of a kind that are enough; error of the first kind
_HARDLY = 0.7  # sd over that of the prior from which on the table has said little
_RARE = 0.005  # probability that is not worth a word
_NEARLY = 1e-3  # of log tokens, from the end of the search


@typed
def loss_added(
    fit: Fit, bits: float | Sequence[float], params: float, tokens: float
) -> xr.DataArray:
    """Loss that quantisation to some bits adds to a model, by the law and without noise.

    Parameters
    ----------
    fit : Fit
        Of the model ``precision``, or one group of ``precision-hierarchical``.
    bits : float or sequence of float
        Per weight.
    params, tokens : float
        N and D of the model.

    Returns
    -------
    xarray.DataArray
        Nats per token, dims (chain, draw, bits).

    Raises
    ------
    FitError
        For a fit of another law or with groups, or what is not positive.
    """
    _require(fit)
    if fit.groups:
        raise FitError(
            "quantisation is asked of one model at a time; take it with fit.of_group(...), of "
            + ", ".join(fit.groups)
        )
    for name, value in (("params", params), ("tokens", tokens)):
        require_positive(name, value)
    found = fit.law(xr.DataArray(params), xr.DataArray(tokens), _bits(bits), **fit.natural)
    return found.rename("loss_added").transpose("chain", "draw", "bits")


@typed
def best_precision(
    joint: Fit,
    fit: Fit,
    memory: float,
    *,
    flops: float | None = None,
    tokens: float | None = None,
    bits: Sequence[float] = FORMATS,
    like: str | None = None,
) -> xr.Dataset:
    """Best size and bits together, of a model whose weights have to fit in a memory.

    Trained on given tokens the largest model that fits is best; of a given compute a smaller one
    may be. About 1,000 draws of each fit are asked, paired as they come; those of the fit that has
    fewer are taken again.

    Parameters
    ----------
    joint : Fit
        Of a law of params and tokens, of one group where there are groups.
    fit : Fit
        Of the model ``precision`` or ``precision-hierarchical``.
    memory : float
        Bytes for the weights.
    flops, tokens : float, optional
        Of the training; one of the two.
    bits : sequence of float, optional
        Bits per weight to compare.
    like : str, optional
        Group of `fit` that the model will be like; by default none, and it is a new one.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw and ``bits``:

        * ``best_bits``, ``best_params``, ``best_loss`` (chain, draw): of all bits from the fewest
          of the table up to 16.
        * ``params``, ``tokens``, ``loss``, ``added`` (chain, draw, bits): the best model of these
          bits, its loss after quantisation, and what that added.
        * ``p_best`` (bits): probability that these bits are the best of those compared.
        * ``enough_tokens`` (chain, draw, bits): tokens from which on more do that size harm;
          infinite where none up to 1e16 do.

        Attributes ``memory``, ``flops``, ``tokens``, ``like``.

    Raises
    ------
    FitError
        For a fit of another law, or what is not positive; if not one of compute and tokens is
        given.
    """
    if (flops is None) == (tokens is None):
        raise FitError("give the compute of the training or its tokens, one of the two")
    budget = flops if tokens is None else tokens
    assert budget is not None
    for name, value in (("the memory", memory), ("the training budget", budget)):
        require_positive(name, value)
    law, planned = Posterior.of_joint_law(with_few_draws(joint)), _planned(fit, like)
    own = max(law, Posterior.of(with_few_draws(planned)), key=lambda one: one.number)
    rows = _Rows(law, planned, own.number, memory, budget, of_compute=tokens is None)
    asked = _bits(bits).to_numpy()
    size = rows.best_size(rows.wide(np.log(asked)))
    loss, added = rows.losses(size, rows.wide(np.log(asked)))
    best = rows.best_bits(_fewest(fit))
    best_size = rows.best_size(best)
    places = loss.argmin(axis=1)
    found = own.from_rows(
        {
            "params": np.exp(size),
            "tokens": np.exp(rows.log_tokens(size)),
            LOSS.column: loss,
            "added": added,
            "enough_tokens": rows.enough(size, rows.wide(np.log(asked))),
        },
        bits=asked,
    )
    alone = own.from_rows(
        {
            "best_bits": np.exp(best),
            "best_params": np.exp(best_size),
            "best_loss": rows.losses(best_size, best)[0],
        }
    )
    p_best = [float((places == at).mean()) for at in range(len(asked))]
    given = {"memory": memory, "flops": flops, "tokens": tokens, "like": like or NEW}
    return xr.merge([found, alone]).assign(p_best=("bits", p_best)).assign_attrs(given)


class _Rows:
    """Losses of a joint law after quantisation, a row for each draw, in logs of size and bits."""

    def __init__(
        self,
        joint: Posterior,
        fit: Fit,
        number: int,
        memory: float,
        budget: float,
        *,
        of_compute: bool,
    ) -> None:
        self.fresh, self.k, self.law = joint.law.fresh, joint.k, fit.law
        self.log_bytes, self.of_compute = np.log(memory), of_compute
        self.log_given = np.log(budget)
        self.natural, self.added = (
            {
                name: np.resize(draws.transpose("chain", "draw").to_numpy(), (number, 1))
                for name, draws in natural.items()
            }
            for natural in (joint.natural, fit.natural)
        )

    @property
    def values(self) -> tuple[np.ndarray, ...]:
        """Parameters of the joint law and of the other."""
        return (*self.natural.values(), *self.added.values())

    def wide(self, values: np.ndarray) -> np.ndarray:
        """Repeat values for every draw."""
        return np.broadcast_to(values, (len(self.values[0]), np.size(values)))

    def largest(self, log_bits: Any) -> Any:
        """Log of the largest size that fits."""
        return self.log_bytes + np.log(8.0) - log_bits

    def log_tokens(self, size: Any) -> Any:
        """Log of the tokens that a size is trained on."""
        if not self.of_compute:
            return self.log_given + 0.0 * size
        return self.log_given - np.log(self.k) - size

    def losses(
        self, size: Any, log_bits: Any, *values: Any, log_tokens: Any = None
    ) -> tuple[Any, Any]:
        """Loss after quantisation, and what that adds."""
        values = values or self.values
        number = len(self.natural)
        natural = dict(zip(self.natural, values[:number], strict=True))
        slopes = dict(zip(self.added, values[number:], strict=True))
        at = self.log_tokens(size) if log_tokens is None else log_tokens
        params, tokens = np.exp(size), np.exp(at)
        added = self.law(params, tokens, np.exp(log_bits), **slopes)
        return self.fresh(params, tokens, **natural) + added, added

    def best_size(self, log_bits: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Log of the best size of these bits: on given tokens the largest, else by a search."""
        most = self.largest(log_bits)
        if not self.of_compute:
            return most
        full = np.broadcast_arrays(most, log_bits, *(values or self.values))
        low = full[0] - np.log(_SMALLER)
        return find_minimum(
            lambda size, *own: self.losses(size, *own)[0], low, full[0], full[1:], points=_POINTS
        )

    def best_bits(self, fewest: float) -> np.ndarray:
        """Log of the bits of least loss, of all from the fewest to 16."""
        values = tuple(own[:, 0] for own in self.values)
        low, high = (np.full(values[0].shape, np.log(end)) for end in (fewest, _MOST))

        def loss(log_bits: Any, *own: Any) -> Any:
            return self.losses(self.best_size(log_bits, *own), log_bits, *own)[0]

        return find_minimum(loss, low, high, values)[:, None]

    def enough(self, size: np.ndarray, log_bits: np.ndarray) -> np.ndarray:
        """Tokens from which on more do harm after quantisation; infinite where none do."""
        full = np.broadcast_arrays(size, log_bits, *self.values)
        low, high = (np.full(full[0].shape, np.log(end)) for end in _TOKENS)
        found = find_minimum(
            lambda log_tokens, *own: self.losses(*own, log_tokens=log_tokens)[0], low, high, full
        )
        return np.where(found > high - _NEARLY, np.inf, np.exp(found))


def _planned(fit: Fit, like: str | None) -> Fit:
    """Take what a planned model is like: a group, or a new one of their population."""
    _require(fit)
    if like is not None:
        return fit.of_group(like)
    return fit.with_new_group(NEW).of_group(NEW) if fit.groups else fit


def _require(fit: Fit) -> None:
    if fit.law.name != LAW:
        raise FitError(
            f"the law {fit.law.name} says nothing of bits per weight; fit the model "
            "precision-hierarchical to what bayescale.read_quantised reads"
        )


def _bits(bits: float | Sequence[float]) -> xr.DataArray:
    values = np.unique(np.atleast_1d(np.asarray(bits, dtype=float)))
    for value in values:
        require_positive("bits", float(value))
    return xr.DataArray(values, dims="bits", coords={"bits": values})


def _fewest(fit: Fit) -> float:
    """Fewest bits of the table, below which nothing is known."""
    return axis_range(fit.runs, _BITS)[0] if len(fit.runs) else _LEAST


@typed
def answer_precision(
    fit: Fit,
    joint: Fit | None = None,
    found: xr.Dataset | None = None,
    *,
    bits: Sequence[float] = FORMATS,
) -> Answer:
    """Say what bits cost each model of a table, and which are best for a planned one.

    Parameters
    ----------
    fit : Fit
        Of the model ``precision`` or ``precision-hierarchical``.
    joint : Fit, optional
        The joint law that `found` is by.
    found : xarray.Dataset, optional
        What `best_precision` returns of both.
    bits : sequence of float, optional
        For which it is said what they cost.

    Returns
    -------
    Answer
        Numbers ``models``, an entry for each: ``group``, ``b`` and ``factor`` (by which a bit less
        multiplies what is added), ``added`` (``bits``, ``loss_increase``), ``bits_for``
        (``increase``, ``bits``), ``seen`` (fewest and most bits of its rows); ``exponents``
        (``gamma_D``, ``gamma_N``, and ``told``, whether the table says more than the prior),
        ``splits`` (``column``, ``p``: other columns by whose values rows lie apart), ``scatter`` of
        formats, and ``plan``: None without `found`.

    Raises
    ------
    FitError
        For a fit of another law, or if only one of `joint` and `found` is given.
    """
    _require(fit)
    if (joint is None) != (found is None):
        raise FitError("give the joint law and what best_precision says by it, or none of the two")
    result = plain(
        {
            "models": [_model(own, name, bits) for name, own in _each(fit)],
            "exponents": [_exponent(fit, name) for name in ("gamma_D", "gamma_N")],
            "splits": _splits(fit),
            "scatter": numbers(fit.posterior["sigma"]) if "sigma" in fit.posterior else None,
            "plan": None if joint is None or found is None else _plan(joint, fit, found),
        }
    )
    sentences = [*_plan_sentences(result)] if result["plan"] else []
    sentences += [_model_sentence(own) for own in result["models"]]
    sentences += _doubts(result)
    fits = (fit,) if joint is None else (joint, fit)
    return Answer.by(*fits, numbers=result, sentences=sentences, draws=found)


def _each(fit: Fit) -> Iterator[tuple[str | None, Fit]]:
    if not fit.groups:
        yield None, fit
    for name in fit.groups:
        yield name, fit.of_group(name)


def middle_of(fit: Fit) -> tuple[float, float]:
    """Params and tokens of the rows of one model, or of the middle of several.

    Parameters
    ----------
    fit : Fit
        Of one group where there are groups; without rows it is a model of 1e9 and 2e10.

    Returns
    -------
    tuple of float
    """
    table = fit.runs.table
    if not len(table):
        return 1e9, 2e10
    params, tokens = (float(np.exp(np.log(table[n]).mean())) for n in ("params", "tokens"))
    return params, tokens


def _model(own: Fit, name: str | None, bits: Sequence[float]) -> dict[str, Any]:
    params, tokens = middle_of(own)
    added = loss_added(own, bits, params, tokens)
    slope = own.natural["b"]
    at_none = xr.ufuncs.log(loss_added(own, 1.0, params, tokens).squeeze("bits")) + slope
    return {
        "group": name,
        "params": params,
        "tokens": tokens,
        "b": numbers(slope),
        "factor": numbers(xr.ufuncs.exp(slope)),
        "added": [
            {
                "bits": float(at),
                "loss_increase": numbers(added.sel(bits=at)),
                "seen": bool(_inside(own, float(at))),
            }
            for at in added["bits"].to_numpy()
        ],
        "bits_for": [
            {"increase": most, "bits": numbers(_bits_for(at_none, slope, most))}
            for most in INCREASES
        ],
        "seen": list(axis_range(own.runs, _BITS)),
    }


def _bits_for(at_none: xr.DataArray, slope: xr.DataArray, increase: float) -> xr.DataArray:
    """Bits from which on quantisation adds no more; 0 where it never adds so much."""
    return ((at_none - np.log(increase)) / slope).clip(min=0.0)


def _inside(fit: Fit, bits: float) -> bool:
    low, high = axis_range(fit.runs, _BITS)
    return not (bits < low or bits > high)


def _splits(fit: Fit) -> list[dict[str, Any]]:
    """Name columns by whose kinds residuals differ, which nothing tells the law.

    By Kruskal and Wallis' test of kinds with three rows or more, at 5% over all columns.
    """
    if not len(fit.runs):
        return []
    table, found = residuals(fit), list[dict[str, Any]]()
    left = table["residual"].to_numpy()
    for name in fit.runs.settings or ():
        kinds = table[name].astype(str)
        parts = [left[kinds == kind] for kind, n in kinds.value_counts().items() if n >= _A_KIND]
        if name not in (fit.spec.group, "run") and len(parts) > 1:
            found.append({"column": name, "p": float(kruskal(*parts).pvalue)})
    return [own for own in found if own["p"] < _APART / len(found)]


def _exponent(fit: Fit, name: str) -> dict[str, Any]:
    """Say an exponent, and whether the table or the prior does; None of constants."""
    told = None
    if "prior" in fit.tree:
        told = bool(fit.posterior[name].std() < _HARDLY * fit.prior[name].std())
    return {"name": name, **numbers(fit.natural[name]), "told": told}


def _plan(joint: Fit, fit: Fit, found: xr.Dataset) -> dict[str, Any]:
    few = _fewest(fit)
    return {
        **{name: found.attrs[name] for name in ("memory", "flops", "tokens", "like")},
        **{name: numbers(found[name]) for name in ("best_bits", "best_params", "best_loss")},
        "bends": Posterior.of_joint_law(joint).bends,
        "at_fewest": float((found["best_bits"] < few * 1.01).mean()) if len(fit.runs) else None,
        "formats": [_format(joint, fit, found.sel(bits=at)) for at in found["bits"].to_numpy()],
    }


def _format(joint: Fit, fit: Fit, at: xr.Dataset) -> dict[str, Any]:
    names = ("params", "tokens", LOSS.column, "added", "enough_tokens")
    params, tokens = (float(at[name].median()) for name in ("params", "tokens"))
    enough = at["enough_tokens"]
    return {
        "bits": float(at["bits"]),
        "p_best": float(at["p_best"]),
        **{name: numbers(at[name]) for name in names},
        "p_too_many_tokens": float((at["tokens"] > enough).mean()),
        "seen": bool(_inside(fit, float(at["bits"]))),
        "decades_beyond": float(decades_beyond(joint.runs, flops=_of(joint, params, tokens))),
    }


def _of(joint: Fit, params: float, tokens: float) -> float:
    return joint.runs.flops_per_param_token * params * tokens


def _plan_sentences(answer: dict[str, Any]) -> Iterator[str]:
    plan = answer["plan"]
    training = (
        f"{words.flops(plan['flops'])} FLOPs"
        if plan["tokens"] is None
        else f"{words.trimmed(plan['tokens'])} tokens"
    )
    best = max(plan["formats"], key=lambda own: own["p_best"])
    yield (
        f"In {words.trimmed(plan['memory'] / 1e9)} GB of weights, trained with {training}: "
        f"{_format_sentence(best)}."
    )
    chances = sorted(plan["formats"], key=lambda own: -own["p_best"])
    said = [
        f"{words.chance(own['p_best'])} {_named(own)}" for own in chances if own["p_best"] >= _RARE
    ]
    yield (
        f"Probability of being the best of those compared: {', '.join(said)}. Of all numbers of "
        f"bits {number_of(plan['best_bits'], 2)} is best."
    )
    if plan["at_fewest"] is not None and plan["at_fewest"] > 1 - plan["at_fewest"]:
        yield "That is the fewest bits of the table: it bounds the best, it does not bracket it."
    yield from _pays(plan, best)
    yield distance(best["decades_beyond"], bends=plan["bends"])


def _named(own: dict[str, Any]) -> str:
    return f"{own['bits']:g} bits" + ("" if own["seen"] else " (not in the table)")


def _format_sentence(own: dict[str, Any]) -> str:
    return (
        f"{_named(own)}, {count_of(own['params'], 'parameters')} on "
        f"{count_of(own['tokens'], 'tokens')}, loss {loss_of(own[LOSS.column])}, of which "
        f"quantisation adds {number_of(own['added'], 2)}"
    )


def _pays(plan: dict[str, Any], best: dict[str, Any]) -> Iterator[str]:
    enough = best["enough_tokens"]
    said = (
        "at no number of tokens"
        if enough["median"] is None
        else f"after {interval_of(enough, words.count)}"
    )
    yield (
        f"More tokens stop paying for that size and {_named(best)} {said}; with probability "
        f"{words.chance(best['p_too_many_tokens'])} it has more than that already."
    )


def _model_sentence(own: dict[str, Any]) -> str:
    who = f"{own['group']}: " if own["group"] else ""
    costs = [
        f"{at['bits']:g} bits add {number_of(at['loss_increase'], 2)}"
        for at in own["added"]
        if at["seen"] and at["bits"] < _MOST
    ]
    needed = ", ".join(
        f"{number_of(at['bits'], 2)} bits for {at['increase']:g}" for at in own["bits_for"]
    )
    return (
        f"{who}a bit less multiplies what quantisation adds by {number_of(own['factor'], 2)}, "
        f"b = {number_of(own['b'])}. {_sentence(costs)}It takes {needed} nats per token."
    )


def _sentence(costs: list[str]) -> str:
    return f"By the law {', '.join(costs)} nats per token. " if costs else ""


def _doubts(answer: dict[str, Any]) -> Iterator[str]:
    exponents = {own["name"]: own for own in answer["exponents"]}
    tokens, size = exponents["gamma_D"], exponents["gamma_N"]
    said = (
        f"What quantisation adds goes like tokens to the {number_of(tokens, 2)} and like params to "
        f"the {number_of(negated(size), 2)}"
    )
    hardly = [own["name"] for own in (tokens, size) if own["told"] is False]
    yield (
        f"{said}. The table hardly tells {' and '.join(hardly)}: these are the prior's, from "
        "published fits, and with them how size and tokens change what is said of a planned model."
        if hardly
        else f"{said}."
    )
    for own in answer["splits"]:
        yield (
            f"Rows of different {words.spaced(own['column'])} lie apart (p = {own['p']:.2g}), and "
            f'the law does not know it: tell them apart with by=["model", '
            f'"{own["column"]}"] (--by model,{own["column"]}).'
        )
    if answer["scatter"] is not None:
        yield (
            "Formats of equal bits scatter about the law by "
            f"{interval_of(answer['scatter'], lambda share: f'{share:.0%}')}: measure the one that "
            "you mean to use."
        )
    if answer["plan"] is not None:
        yield (
            "Both laws count nats per token: what quantisation adds was measured on other models "
            "and texts than the joint law's. Memory is that of weights alone."
        )
