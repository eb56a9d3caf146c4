r"""Training past the end of the data, per draw of laws that know repeated data.

With U unique tokens and at most C FLOPs the best model minimises

.. math:: \log L(N, D, U) + \lambda(N, D, U) \quad \text{subject to} \quad k N D \le C

over N and D, with L the law and :math:`\lambda` the mean excess of log loss that repeating data
often brings, where the model has one (`bayescale.noise.RepetitionExcess`). Beyond some compute more
of it only overfits: then the best model leaves the rest of the budget unspent. On published sweeps
the best number of epochs came out within a factor of 2; its interval is that of the parameters
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale.decisions.draws import Draws
from bayescale.decisions.prices import require_positive
from bayescale.decisions.repetition import require_repetition
from bayescale.fitting import Fit
from bayescale.optima import distinct_budgets, optimal_params
from bayescale.prediction import decades_beyond

_GRID = 24  # sizes looked at before the best of them is refined
_FEWEST_EPOCHS, _MOST_EPOCHS = 1e-4, 1e4
_STEP = 1e-3  # of log C and log U in slopes
_TOLERANCES = {"xatol": 1e-6, "xrtol": 1e-6}


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
    wall = _Wall.of(fit, unique_tokens, k)
    log_flops = np.log(budgets) + np.zeros(wall.draws.shape)
    spent, size = wall.best(log_flops)
    by_flops = wall.slope(size, spent, flops=_STEP)
    unspent = spent < log_flops - 1e-6
    with np.errstate(divide="ignore"):
        price = wall.slope(size, spent, unique=_STEP) / np.where(unspent, -0.0, by_flops)
    alone = optimal_params(fit.spec.law, budgets, wall.k, wall.draws.natural)
    found = {
        "params": np.exp(size),
        "tokens": np.exp(spent - size) / wall.k,
        "epochs": np.exp(spent - size) / (wall.k * unique_tokens),
        "spent": np.exp(spent),
        "loss": np.exp(wall.log_loss(size, spent)),
        "fresh_loss": fit.spec.law.fresh_loss(
            alone, budgets / (wall.k * alone), **wall.draws.natural
        ),
        "price_of_a_token": price * np.exp(spent) / unique_tokens,
    }
    result = wall.draws.dataset(found, flops=budgets)
    return result.assign(decades_beyond=("flops", decades_beyond(fit, "flops", budgets)))


@dataclass(frozen=True)
class _Wall:
    """Log loss with its mean excess at every draw, in logs of size, compute and unique tokens."""

    draws: Draws
    noise_model: Any
    log_unique: float
    k: float

    @classmethod
    def of(cls, fit: Fit, unique_tokens: float, k: float | None) -> "_Wall":
        constant = fit.runs.flops_per_param_token if k is None else k
        return cls(Draws.of(fit), fit.spec.noise_model, float(np.log(unique_tokens)), constant)

    @property
    def values(self) -> tuple[np.ndarray, ...]:
        """Parameters of the law and then of the noise."""
        return (*self.draws.natural.values(), *self.draws.noise.values())

    @property
    def has_excess(self) -> bool:
        """Whether repeating data can do harm."""
        return hasattr(self.noise_model, "mean_excess") and bool(self.draws.noise)

    def log_loss(
        self, size: Any, log_flops: Any, *values: Any, more_unique: float = 0.0
    ) -> np.ndarray:
        """What is minimised."""
        named = dict(
            zip((*self.draws.natural, *self.draws.noise), values or self.values, strict=True)
        )
        tokens = np.exp(log_flops - size) / self.k
        unique = np.minimum(np.exp(self.log_unique + more_unique), tokens)
        inputs = {"params": np.exp(size), "tokens": tokens, "unique_tokens": unique}
        own = [inputs[name] for name in self.draws.law.inputs]
        natural = {name: named[name] for name in self.draws.natural}
        found = np.log(self.draws.law.loss(*own, **natural))
        if self.has_excess:
            found = found + self.noise_model.mean_excess(named, inputs)
        return found

    def slope(self, size: Any, spent: Any, *, flops: float = 0.0, unique: float = 0.0) -> Any:
        """Slope of the least log loss in log C or in log U.

        The best size hardly changes the loss (envelope theorem), so it is kept.
        """
        above = self.log_loss(size, spent + flops, more_unique=unique)
        below = self.log_loss(size, spent - flops, more_unique=-unique)
        return (above - below) / (2 * (flops + unique))

    def best_size(self, log_flops: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Log of the best size when all is spent; a grid first, for there may be two minima."""
        values = values or self.values
        high = log_flops - np.log(self.k) - self.log_unique - np.log(_FEWEST_EPOCHS)
        step = np.log(_MOST_EPOCHS / _FEWEST_EPOCHS) / (_GRID - 1)
        sizes = high[..., None] - step * np.arange(_GRID)
        wide = tuple(np.asarray(value)[..., None] for value in values)
        place = self.log_loss(sizes, log_flops[..., None], *wide).argmin(axis=-1)
        middle = high - step * place.clip(1, _GRID - 2)
        found = elementwise.find_minimum(
            self.log_loss,
            (middle - step, middle, middle + step),
            args=(log_flops, *values),
            tolerances=_TOLERANCES,
        )
        return np.where(found.success, found.x, middle)

    def best(self, log_flops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of the compute that is spent, and of the best size."""
        size = self.best_size(log_flops)
        if not self.has_excess:
            return log_flops, size
        over = (self.slope(size, log_flops, flops=_STEP) > 0).any(axis=1)
        if not over.any():
            return log_flops, size
        enough = np.full(self.draws.shape, np.inf)
        enough[over] = self._enough(log_flops.min() - 10.0, log_flops.max(), over)
        spent = np.minimum(log_flops, enough)
        return spent, np.where(spent < log_flops, self.best_size(spent), size)

    def _enough(self, low: float, high: float, rows: np.ndarray) -> np.ndarray:
        """Log of the compute beyond which more of it does harm, in the draws where some does."""
        values = tuple(value[rows] for value in self.values)

        def slope(log_flops: Any, *own: Any) -> Any:
            size = self.best_size(log_flops, *own)
            more = self.log_loss(size, log_flops + _STEP, *own)
            return more - self.log_loss(size, log_flops - _STEP, *own)

        edge = np.full((int(rows.sum()), 1), low)
        found = elementwise.find_root(
            slope, (edge, edge * 0.0 + high), args=values, tolerances={"xatol": 1e-3}
        )
        return np.where(found.success, found.x, high)
