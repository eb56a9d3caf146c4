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

from bayescale.decisions.draws import Draws, require_one_joint_law
from bayescale.decisions.prices import require_positive
from bayescale.decisions.repetition import loss_with_excess, require_repetition
from bayescale.errors import FitError
from bayescale.fitting import Fit
from bayescale.optima import distinct_budgets, optimal_params
from bayescale.prediction import decades_beyond

_GRID = 24  # sizes looked at before the best of them is refined
_FEWEST_EPOCHS, _MOST_EPOCHS = 1e-4, 1e4
_SPACING = np.log(_MOST_EPOCHS / _FEWEST_EPOCHS) / (_GRID - 1)
_LESS = 12.0  # log of how much less than the largest budget may be enough
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
    by_unique = wall.slope(size, spent, unique=_STEP)  # 0 where not all data are used
    with np.errstate(divide="ignore"):  # more compute may tell nothing any more
        price = np.where(unspent, np.inf, by_unique / np.where(unspent, 1.0, by_flops))
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
    require_one_joint_law(fit)
    for name, value in (("params", params), ("unique_tokens", unique_tokens)):
        require_positive(name, value)
    made = np.unique(np.atleast_1d(np.asarray(epochs, dtype=float)))
    if not (np.isfinite(made) & (made >= 1)).all():
        raise FitError(f"epochs must be at least 1, got {made.min():g}")
    passes = xr.DataArray(made, dims="epochs", coords={"epochs": made})
    after = [
        loss_with_excess(
            fit, {"params": params, "tokens": unique_tokens * e, "unique_tokens": unique_tokens}
        )
        for e in (passes, passes + 1)
    ]
    result = xr.Dataset({"loss": after[0], "gain": after[0] - after[1]})
    return result.assign(harm=(result["gain"] < 0).mean(("chain", "draw")))


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
        """Return what is minimised."""
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
        """Log of the best size when all is spent."""
        values = values or self.values
        middle = self._coarse_size(log_flops, *values)
        found = elementwise.find_minimum(
            self.log_loss,
            (middle - _SPACING, middle, middle + _SPACING),
            args=(log_flops, *values),
            tolerances=_TOLERANCES,
        )
        return np.where(found.success, found.x, middle)

    def _coarse_size(self, log_flops: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Best of a grid of sizes, its ends left out: there may be two minima."""
        largest = log_flops - np.log(self.k) - self.log_unique - np.log(_FEWEST_EPOCHS)
        sizes = largest[..., None] - _SPACING * np.arange(_GRID)
        wide = tuple(np.asarray(value)[..., None] for value in values)
        place = self.log_loss(sizes, log_flops[..., None], *wide).argmin(axis=-1)
        return largest - _SPACING * place.clip(1, _GRID - 2)

    def best(self, log_flops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of the compute that is spent, and of the best size."""
        size = self.best_size(log_flops)
        if not self.has_excess:
            return log_flops, size
        over = (self.slope(size, log_flops, flops=_STEP) > 0).any(axis=1)
        if not over.any():
            return log_flops, size
        enough = np.full(self.draws.shape, np.inf)
        enough[over] = self._enough(log_flops.max(), over)
        spent = np.minimum(log_flops, enough)
        return spent, np.where(spent < log_flops, self.best_size(spent), size)

    def _enough(self, high: float, rows: np.ndarray) -> np.ndarray:
        """Log of the compute beyond which more of it does harm, in the draws where some does.

        A grid first: a first repetition can do harm where the next ones do good.
        """
        values = tuple(value[rows] for value in self.values)

        def slope(log_flops: Any, *own: Any) -> Any:
            size = self.best_size(log_flops, *own)
            more = self.log_loss(size, log_flops + _STEP, *own)
            return more - self.log_loss(size, log_flops - _STEP, *own)

        grid = high - np.linspace(_LESS, 0.0, _GRID // 2)
        least = [
            self.log_loss(self._coarse_size(spent, *values), spent, *values)
            for spent in (np.full_like(values[0], one) for one in grid)
        ]
        place = np.argmin(least, axis=0)
        around = (grid[np.maximum(place - 1, 0)], grid[np.minimum(place + 1, len(grid) - 1)])
        found = elementwise.find_root(slope, around, args=values, tolerances={"xatol": 1e-3})
        return np.where(found.success, found.x, grid[place])
