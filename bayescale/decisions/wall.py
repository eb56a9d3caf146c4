r"""Training past the end of the data, per draw of laws that know repeated data.

With U unique tokens and at most C FLOPs the best model minimises

.. math:: \log L(N, D, U) + \lambda(N, D, U) \quad \text{subject to} \quad k N D \le C

over N and D, with L the law and :math:`\lambda` the mean excess of log loss that repeating data
often brings, where the model has one (`bayescale.modelling.noise.RepetitionExcess`). Beyond some
compute more of it only overfits: then the best model leaves the rest of the budget unspent. On
published sweeps the best number of epochs came out within a factor of 2; its interval is that of
the parameters alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.allocation import distinct_budgets
from bayescale.decisions.answer import Answer, count_of, flops_of, negated, number_of
from bayescale.decisions.prices import require_positive
from bayescale.decisions.ratios import Ratios, failed_beyond
from bayescale.decisions.repetition import (
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
from bayescale.posterior.search import find_minimum

_SPACING = 0.45  # of log epochs, in the grid looked at before the best is refined
_EPOCHS = np.arange(-1, 21) * _SPACING
_MORE = np.arange(-1.0, 14.0)  # log of compute over that whose fresh optimum uses all data once
_STEP = 1e-3  # of log C and log U in slopes
_AROUND = 1.5  # log of compute around the best of that grid
_POINTS = 5  # of a grid there
_TOLERANCES = {"xatol": 1e-6, "xrtol": 1e-6}

QUALITIES = (0.9, 0.7, 0.5, 0.3)
"""Worth of other data, in fresh tokens, for which repeating is compared with adding them."""


@typed
def best_under_wall(
    fit: Fit, flops: float | Sequence[float], unique_tokens: float, *, k: float | None = None
) -> xr.Dataset:
    r"""Best model and number of epochs for a budget when only U tokens are to be had.

    Parameters
    ----------
    fit : Fit
        Of a law that knows repeated data, e.g. data-constrained; of one group where there are
        groups.
    flops : float or sequence of float
        Most that training may cost, C.
    unique_tokens : float
        U.
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, flops): ``params``, ``tokens``, ``epochs`` D/U (below 1 not all data are
        used), ``spent`` FLOPs, ``loss`` (nats per token, without noise, with the mean excess),
        ``fresh_loss``: that of the best model of the budget if no token had to be repeated;
        ``price_of_a_token``: FLOPs of training that one more unique token is worth,
        :math:`(\partial L/\partial U) / (\partial L/\partial C)` at the optimum, infinite where the
        budget is not all spent: there only more data help. Dim (flops): ``decades_beyond``, of the
        budget outside the runs.

    Raises
    ------
    FitError
        If the law does not know repeated data, for a fit with groups, or if a count is not
        positive.
    """
    require_repetition(fit)
    require_positive("unique_tokens", unique_tokens)
    budgets = np.array(distinct_budgets(np.atleast_1d(flops).tolist()))
    posterior = Posterior.of_joint_law(fit, k)
    wall = _Wall(posterior.rows, float(np.log(unique_tokens)))
    alone = wall.draws.optimum(budgets)
    spent, size = wall.best(np.log(budgets), np.log(alone))
    found = {
        "params": np.exp(size),
        "tokens": np.exp(spent - size) / posterior.k,
        "epochs": np.exp(spent - size) / (posterior.k * unique_tokens),
        "spent": np.exp(spent),
        LOSS.column: np.exp(wall.log_loss(size, spent)),
        "fresh_loss": wall.draws.isoflop(budgets, alone),
        "price_of_a_token": wall.price(size, spent, np.log(budgets)),
    }
    result = posterior.from_rows(found, flops=budgets)
    return result.assign(decades_beyond=("flops", posterior.beyond(flops=budgets)))


@typed
def next_epoch(
    fit: Fit, params: float, unique_tokens: float, epochs: float | Sequence[float]
) -> xr.Dataset:
    """By how much one more epoch lowers the loss of a model of given size.

    Parameters
    ----------
    fit, unique_tokens
        As in `best_under_wall`.
    params : float
        Size N.
    epochs : float or sequence of float
        Epochs made already, D/U, at least 1.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, epochs): ``loss`` after so many epochs (nats per token, without noise,
        with the mean excess), ``gain``: by how much the next one lowers it, negative where it does
        harm. Dim (epochs): ``harm``, the probability of that.

    Raises
    ------
    FitError
        As in `best_under_wall`; for less than one epoch.
    """
    require_repetition(fit)
    posterior = Posterior.of_joint_law(fit)
    for name, value in (("params", params), ("unique_tokens", unique_tokens)):
        require_positive(name, value)
    made = np.unique(np.atleast_1d(np.asarray(epochs, dtype=float)))
    if not (np.isfinite(made) & (made >= 1)).all():
        raise FitError(f"epochs must be at least 1, got {made.min():g}")
    passes = xr.DataArray(made, dims="epochs", coords={"epochs": made})
    after = [
        loss_with_excess(
            posterior,
            {"params": params, "tokens": unique_tokens * e, "unique_tokens": unique_tokens},
        )
        for e in (passes, passes + 1)
    ]
    result = xr.Dataset({LOSS.column: after[0], "gain": after[0] - after[1]})
    return result.assign(harm=(result["gain"] < 0).mean(("chain", "draw")))


@dataclass(frozen=True)
class _Wall:
    """Log loss with its mean excess at every draw, in logs of size, compute and unique tokens."""

    draws: Posterior  # in rows
    log_unique: float

    @property
    def values(self) -> tuple[np.ndarray, ...]:
        """Parameters of the law and then of the noise."""
        return (*self.draws.natural.values(), *self.draws.noise.values())

    def log_loss(
        self, size: Any, log_flops: Any, *values: Any, more_unique: float = 0.0
    ) -> np.ndarray:
        """Return what is minimised."""
        named = dict(
            zip((*self.draws.natural, *self.draws.noise), values or self.values, strict=True)
        )
        tokens = np.exp(log_flops - size) / self.draws.k
        unique = np.minimum(np.exp(self.log_unique + more_unique), tokens)
        inputs = {"params": np.exp(size), "tokens": tokens, "unique_tokens": unique}
        own = [inputs[name] for name in self.draws.law.inputs]
        natural = {name: named[name] for name in self.draws.natural}
        found = np.log(self.draws.law(*own, **natural))
        if self.draws.mean_excess is not None:
            found = found + self.draws.mean_excess(named, inputs)
        return found

    def price(self, size: Any, spent: Any, budget: Any) -> np.ndarray:
        """FLOPs that one more unique token is worth: ratio of the slopes of the least loss.

        The best size hardly changes the loss (envelope theorem), so it is kept.
        """
        by_flops = self.log_loss(size, spent + _STEP) - self.log_loss(size, spent - _STEP)
        by_unique = self.log_loss(size, spent, more_unique=_STEP)
        by_unique = by_unique - self.log_loss(size, spent, more_unique=-_STEP)
        unspent = spent < budget - _STEP
        unused = spent - size - np.log(self.draws.k) < self.log_unique - _STEP
        with np.errstate(divide="ignore", invalid="ignore"):  # more compute may tell nothing
            price = np.where(unspent, np.inf, by_unique / by_flops)
        return np.where(unused, 0.0, price) * np.exp(spent - self.log_unique)

    def best(self, budget: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of the compute that is spent, and of the best size, for every draw and budget.

        `fresh` is the log of the compute-optimal size without a wall: it is the best one where its
        tokens are no more than there are.
        """
        budget = budget + 0.0 * fresh
        enough_data = budget - fresh - np.log(self.draws.k) <= self.log_unique
        harmless = self.draws.mean_excess is None
        spent = budget if harmless else self._worth_spending(budget, fresh)
        size = self._size(spent, self.best_epochs(spent))
        return np.where(enough_data, budget, spent), np.where(enough_data, fresh, size)

    def best_epochs(self, spent: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Log of the best epochs for a compute that is spent; a grid first, of many minima."""
        values = values or self.values
        middle, _ = self._coarse(spent, *values)
        found = elementwise.find_minimum(
            self._along,
            (middle - _SPACING, middle, middle + _SPACING),
            args=(spent, *values),
            tolerances=_TOLERANCES,
        )
        return np.where(found.success, found.x, middle)

    def _along(self, log_epochs: Any, spent: Any, *values: Any) -> np.ndarray:
        """Log loss along an isoFLOP curve."""
        return self.log_loss(self._size(spent, log_epochs), spent, *values)

    def _size(self, spent: Any, log_epochs: Any) -> Any:
        return spent - np.log(self.draws.k) - self.log_unique - log_epochs

    def _coarse(self, spent: Any, *values: Any) -> tuple[np.ndarray, np.ndarray]:
        """Best of a grid of epochs, and its log loss."""
        wide = tuple(np.asarray(value)[..., None] for value in values)
        losses = self._along(_EPOCHS, np.asarray(spent)[..., None], *wide)
        return _EPOCHS[losses.argmin(axis=-1)], losses.min(axis=-1)

    def _worth_spending(self, budget: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Log of the compute beyond which more of it does harm; the budget where there is none.

        The grid hangs on the data there are, not on the budgets asked.
        """
        values = self.values
        grid = self._all_data_once(budget, fresh) + _MORE  # (draws, grid)
        _, losses = self._coarse(grid, *values)
        _, at_budget = self._coarse(budget, *values)
        allowed = grid[:, None, :] < budget[:, :, None]
        inside = np.where(allowed, losses[:, None, :], np.inf)
        place = inside.argmin(axis=-1)
        better = inside.min(axis=-1) < at_budget
        middle = np.where(better, np.take_along_axis(grid, place, axis=1), budget)
        rows, _ = np.nonzero(better)
        if len(rows):
            own = tuple(value[rows, 0] for value in values)
            top = np.minimum(middle[better] + _AROUND, budget[better])
            middle[better] = find_minimum(
                lambda spent, *own: self._along(self.best_epochs(spent, *own), spent, *own),
                middle[better] - _AROUND,
                top,
                own,
                points=_POINTS,
                tolerances={"xatol": 1e-3},
            )
        return middle

    def _all_data_once(self, budget: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Log of the compute whose optimum without a wall sees every token once, shape (draws, 1).

        Log tokens of that optimum are linear in log compute.
        """
        low, high = budget[:, :1], budget[:, :1] + 1.0
        size = np.log(self.draws.optimum(np.exp(high)))
        tokens = low - fresh[:, :1] - np.log(self.draws.k)
        slope = (high - size - np.log(self.draws.k)) - tokens
        return low + (self.log_unique - tokens) / slope


@typed
def answer_wall(
    fit: Fit,
    flops: float | Sequence[float],
    unique_tokens: float,
    *,
    qualities: Sequence[float] = (),
) -> Answer:
    """Say the best model and epochs for budgets with U unique tokens, and when to add other data.

    Parameters
    ----------
    fit, flops, unique_tokens
        As in `best_under_wall`.
    qualities : sequence of float
        Worth of a token of other data in fresh tokens; by default `QUALITIES`.

    Returns
    -------
    Answer
        Numbers: ``repetition``, an entry for each budget.
    """
    found = best_under_wall(fit, flops, unique_tokens)
    budgets = found["flops"].to_numpy()
    twice = {
        "twice_unique_tokens": best_under_wall(fit, budgets.tolist(), 2 * unique_tokens),
        "twice_flops": best_under_wall(fit, (2 * budgets).tolist(), unique_tokens),
    }
    worths = list(qualities) or list(QUALITIES)
    entries = []
    for place, budget in enumerate(budgets):
        one = found.sel(flops=budget)
        size = float(one["params"].median())
        until = epochs_until(fit, size, worths)
        entries.append(
            {
                "flops": float(budget),
                "unique_tokens": float(unique_tokens),
                "decades_beyond": float(one["decades_beyond"]),
                **{
                    name: numbers(one[name])
                    for name in (
                        "params",
                        "tokens",
                        "epochs",
                        "spent",
                        LOSS.column,
                        "fresh_loss",
                        "price_of_a_token",
                    )
                },
                **{
                    name: numbers(one[LOSS.column] - more[LOSS.column].isel(flops=place, drop=True))
                    for name, more in twice.items()
                },
                "next_epoch": _next_epoch(fit, one, float(unique_tokens)),
                "R_D_identified": not identified(fit, size).only_bound,
                "repeat_until": [
                    {"quality": worth, "epochs": numbers(until.sel(worth=worth).squeeze("params"))}
                    for worth in worths
                ],
            }
        )
    result = plain({"repetition": entries})
    ratios = Ratios.of(fit.runs, None, None)
    medians = found[["params", "tokens"]].median(("chain", "draw"))
    own = (medians["tokens"] / medians["params"]).to_numpy().tolist()
    unit, rows = fit.spec.response.unit, result["repetition"]
    sentences = [
        f"{_best(entry)} {ratios.mark(ratio)}".rstrip()
        for entry, ratio in zip(rows, own, strict=True)
    ]
    sentences += _doubts(rows)
    sentences += [_more(entry, unit) for entry in rows if _repeats(entry)]
    sentences += _other_data(rows)
    sentences += failed_beyond(fit, medians["params"], medians["tokens"])
    return Answer.by(fit, numbers=result, sentences=sentences, draws=found)


def _next_epoch(fit: Fit, best: xr.Dataset, unique_tokens: float) -> dict[str, Any] | None:
    """Say what one epoch more than the best number of them would do."""
    made = float(best["epochs"].median())
    if made < 1:
        return None
    found = next_epoch(fit, float(best["params"].median()), unique_tokens, made).squeeze("epochs")
    return {"after": made, "gain": numbers(found["gain"]), "harm": float(found["harm"])}


def _repeats(entry: dict[str, Any]) -> bool:
    return bool(entry["epochs"]["median"] >= 1)


def _best(entry: dict[str, Any]) -> str:
    """Say the best model of a budget: what is read first, and short."""
    opening = (
        f"With {words.trimmed(entry['unique_tokens'])} unique tokens and "
        f"{words.flops(entry['flops'])} FLOPs"
    )
    params, loss = count_of(entry["params"]), number_of(entry[LOSS.column], 4)
    if not _repeats(entry):
        return (
            f"{opening} no token need be repeated. Best are {params} parameters on "
            f"{count_of(entry['tokens'])} tokens, loss {loss}."
        )
    return f"{opening}: {params} parameters for {number_of(entry['epochs'])} epochs, loss {loss}."


def _doubts(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Say once what to doubt of the numbers of epochs."""
    repeated = [entry for entry in entries if _repeats(entry)]
    if repeated:
        yield "Numbers of epochs hold within a factor of two."
    unsure = [entry["flops"] for entry in repeated if not entry["R_D_identified"]]
    if unsure:
        budgets = ", ".join(map(words.flops, unsure))
        yield f"The runs hardly tell what repetition is worth at the best size for {budgets} FLOPs."


def _more(entry: dict[str, Any], unit: str) -> str:
    """Say what more tokens, more compute, fresh data and one more epoch would do."""
    spent, following = entry["spent"]["median"], entry["next_epoch"]
    unspent = spent < 0.99 * entry["flops"]
    more = (
        f"only {words.flops(spent)} are worth spending: more would overfit"
        if unspent
        else f"one more unique token is worth {flops_of(entry['price_of_a_token'])} FLOPs"
    )
    return (
        f"At {words.flops(entry['flops'])} FLOPs {more}. Twice the unique tokens lower the loss by "
        f"{number_of(entry['twice_unique_tokens'], 2)} {unit}, twice the compute "
        f"{'does not' if unspent else f'by {number_of(entry["twice_flops"], 2)}'}. "
        "With all data fresh the loss would be "
        f"{number_of(entry['fresh_loss'], 4)}. One more epoch changes the loss by "
        f"{number_of(negated(following['gain']), 2)} {unit}, and does harm with probability "
        f"{words.chance(following['harm'])}."
    )


def _other_data(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Say from which epoch on other data pay, once where it is the same for several budgets."""
    budgets: dict[str, list[str]] = {}
    for entry in filter(_repeats, entries):
        first, *others = (
            (f"{at['quality']:.0%}", number_of(at["epochs"])) for at in entry["repeat_until"]
        )
        pays = f"after {first[1]} epochs of these, if a token of them is worth {first[0]} of one"
        pays += "".join(f"; {worth}: {epochs}" for worth, epochs in others)
        budgets.setdefault(pays, []).append(words.flops(entry["flops"]))
    for pays, flops in budgets.items():
        yield f"At {', '.join(flops)} FLOPs other data pay {pays}."
