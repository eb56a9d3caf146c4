r"""The cheapest model of a given loss when it will also be served, per draw.

Training on D tokens costs :math:`k N D` FLOPs, serving T tokens :math:`2 N T` (Sardana et al. 2024,
"Beyond Chinchilla-Optimal", equation 2), so the cheapest model of loss :math:`\ell` is

.. math:: \min_{N, D} \; p_t\, k N D + p_s\, 2 N T \quad \text{subject to} \quad L(N, D) = \ell

with prices p of one FLOP. Along the curve :math:`L = \ell` the cost is least where

.. math:: \frac{\partial L / \partial \log N}{\partial L / \partial \log D}
    = 1 + \frac{2 p_s T}{k p_t D},

whose left side falls and whose right side rises with N: the root is the only one, and a cap on N or
D beyond it is met with equality. No token is repeated; losses are in nats per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayescale import readable
from bayescale.decisions.draws import Draws, answering
from bayescale.decisions.prices import IN_FLOPS, SERVING_FLOPS, Prices, require_positive
from bayescale.errors import FitError
from bayescale.fitting import Fit
from bayescale.optima import compute_optimal
from bayescale.prediction import by_range, is_beyond

_LOG_RANGE = (np.log(1e2), np.log(1e40))
"""Where sizes and tokens are looked for; no effect of more is left at the upper end."""

_STEP = 1e-4  # of log N and log D, in central differences

_FAR = 100.0  # log of a ratio of slopes at which a size is hopeless


def target_loss(
    fit: Fit,
    *,
    loss: float | None = None,
    flops: float | None = None,
    params: float | None = None,
    inference_tokens: float | Sequence[float] = 0.0,
    k: float | None = None,
) -> xr.DataArray:
    """Loss to be reached, per draw: given, or that of a compute-optimal model.

    Parameters
    ----------
    fit : Fit
        Of a joint law.
    loss : float, optional
        The loss itself, nats per token.
    flops : float, optional
        Budget whose compute-optimal model has the loss.
    params : float, optional
        Size whose loss at its own compute-optimal tokens is meant.
    inference_tokens : float or sequence of float
        T, tokens that the model will serve; serving many asks for models that lie farther out.
    k : float, optional
        FLOPs per parameter and token, as in `compute_optimal`.

    Returns
    -------
    xarray.DataArray
        Nats per token, dims (chain, draw). Of a fit with a weighted posterior, that answers where
        the model that reaches the loss, or the cheapest that does and serves T tokens, lies beyond
        the runs (medians by the plain one); the coordinate ``posterior`` says which one did, and
        the decisions about this target take their draws from it.

    Raises
    ------
    FitError
        Unless exactly one of the three is given and positive, or if the law has no allocation.
    """
    given = {
        n: v for n, v in (("loss", loss), ("flops", flops), ("params", params)) if v is not None
    }
    if len(given) != 1:
        raise FitError(
            "name the target once: a loss, the budget or the size whose compute-optimal model has "
            f"it (got {', '.join(given) or 'none'})"
        )
    ((name, value),) = given.items()
    require_positive(name, value)
    plain = _target(fit.plain, name, float(value), k)
    beyond = fit.weighted is not None and _beyond(fit, plain, inference_tokens, k)
    return by_range(fit, xr.DataArray(beyond), lambda own: _target(own, name, float(value), k))


def _beyond(
    fit: Fit, target: xr.DataArray, inference_tokens: float | Sequence[float], k: float | None
) -> bool:
    """Whether the cheapest models of a target lie beyond the runs, before and after serving."""
    served = np.unique(np.append(_served(inference_tokens), 0.0))
    medians = cheapest(fit.plain, target, served.tolist(), k=k).median(("chain", "draw"))
    models = {name: medians[name].fillna(np.inf) for name in ("params", "tokens")}
    return bool(is_beyond(fit, models).any())


def _target(fit: Fit, name: str, value: float, k: float | None) -> xr.DataArray:
    question = _Question.of(fit, k)
    draws = question.draws
    if name == "loss":
        return draws.array(np.full(draws.shape, value))
    if name == "flops":
        loss = compute_optimal(fit, value, k=k)["loss"].squeeze("flops", drop=True)
        return loss.drop_vars(["chain", "draw"], errors="ignore")
    size = np.full(draws.shape, np.log(value))
    return draws.array(question.loss(size, question.balanced_tokens(size)))


def cheapest(
    fit: Fit,
    target: xr.DataArray,
    inference_tokens: float | Sequence[float],
    *,
    prices: Prices = IN_FLOPS,
    max_params: float | None = None,
    max_tokens: float | None = None,
    k: float | None = None,
) -> xr.Dataset:
    """Posterior of the cheapest model that reaches a loss and then serves T tokens.

    Parameters
    ----------
    fit : Fit
        Of a joint law; of one group where there are groups.
    target : xarray.DataArray
        Loss to be reached, dims (chain, draw): from `target_loss`, which also says which posterior
        decides.
    inference_tokens : float or sequence of float
        T, tokens served over the model's life; 0 is allowed.
    prices : Prices
        Of training and serving; by default every FLOP counts the same.
    max_params : float, optional
        Largest model that can be deployed.
    max_tokens : float, optional
        Largest number of tokens to train on.
    k : float, optional
        FLOPs per parameter and token of training, as in `compute_optimal`.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, inference_tokens): ``params``, ``tokens``, ``tokens_per_param``;
        ``training``, ``serving`` and their sum ``cost``, in the unit of the prices;
        ``baseline_params`` and ``baseline_cost`` of the compute-optimal model of the same loss,
        without caps; ``saved`` = 1 - cost / baseline_cost, negative where a cap costs more. In
        draws where no model within the caps reaches the loss ``cost`` is infinite and the model
        NaN; ``infeasible`` (inference_tokens): probability of that. Attribute ``unit``.

    Raises
    ------
    FitError
        For a law that is not joint, a fit with groups, a negative T or a cap that is not positive.
    """
    question = _Question.of(answering(fit, target), k, prices)
    for name, cap in (("max_params", max_params), ("max_tokens", max_tokens)):
        if cap is not None:
            require_positive(name, cap)
    served = _served(inference_tokens)
    loss = question.draws.rows(target)
    size = question.clipped(loss, question.cheapest_size(loss, served), max_params, max_tokens)
    optimum = question.cheapest_size(loss, np.zeros(1))
    found = question.costs(loss, size, served)
    baseline = question.costs(loss, optimum, served)
    found |= {"baseline_params": baseline["params"], "baseline_cost": baseline["cost"]}
    with np.errstate(invalid="ignore"):  # where no model at all reaches the loss
        found["saved"] = 1.0 - found["cost"] / found["baseline_cost"]
    result = question.draws.dataset(found, inference_tokens=served).assign_attrs(unit=prices.unit)
    return result.assign(infeasible=result["params"].isnull().mean(("chain", "draw")))


def at_size(
    fit: Fit,
    target: xr.DataArray,
    params: float | Sequence[float],
    inference_tokens: float = 0.0,
    *,
    prices: Prices = IN_FLOPS,
    k: float | None = None,
) -> xr.Dataset:
    """How many tokens models of given sizes need for a loss, and what that costs.

    Parameters
    ----------
    fit, target, prices, k
        As in `cheapest`.
    params : float or sequence of float
        Sizes N.
    inference_tokens : float
        T, tokens served.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, params): ``tokens``, ``tokens_per_param``, ``training``, ``serving``,
        ``cost``; ``overhead``, by how much the cost exceeds that of the cheapest size, a share.
        In draws where the size does not reach the loss on any number of tokens ``cost`` is infinite
        and the tokens NaN; ``infeasible`` (params): probability of that. Attribute ``unit``.

    Raises
    ------
    FitError
        As in `cheapest`.
    """
    question = _Question.of(answering(fit, target), k, prices)
    sizes = np.unique(np.asarray(params, dtype=float))
    for size in sizes:
        require_positive("params", size)
    served, loss = _served(inference_tokens), question.draws.rows(target)
    if len(served) != 1:
        raise FitError("one number of inference tokens at a time, or compare with cheapest()")
    least = question.costs(loss, question.cheapest_size(loss, served), served)
    found = question.costs(loss, np.log(sizes) + 0.0 * loss, served)
    with np.errstate(invalid="ignore"):
        found["overhead"] = found["cost"] / least["cost"] - 1.0
    del found["params"]  # it is the dim
    result = question.draws.dataset(found, params=sizes).assign_attrs(unit=prices.unit)
    return result.assign(infeasible=result["tokens"].isnull().mean(("chain", "draw")))


def break_even(
    fit: Fit,
    target: xr.DataArray,
    smaller: float,
    larger: float,
    *,
    prices: Prices = IN_FLOPS,
    k: float | None = None,
) -> xr.DataArray:
    r"""Tokens served from which on the smaller of two models of equal loss is the cheaper one.

    .. math:: T = \frac{k\, p_t}{2 p_s} \frac{N_1 D_1 - N_2 D_2}{N_2 - N_1}, \qquad N_1 < N_2

    Parameters
    ----------
    fit, target, prices, k
        As in `cheapest`.
    smaller, larger : float
        The two sizes, :math:`N_1 < N_2`.

    Returns
    -------
    xarray.DataArray
        T, dims (chain, draw). 0 where the smaller model is the cheaper one however little it
        serves, infinite where only the larger one reaches the loss, NaN where neither does.

    Raises
    ------
    FitError
        As in `cheapest`; unless the first size is the smaller one.
    """
    if not smaller < larger:
        raise FitError(
            f"the smaller size comes first, got {readable.count(smaller)} and "
            f"{readable.count(larger)}"
        )
    sizes = at_size(fit, target, [smaller, larger], prices=prices, k=k)
    training = sizes["training"].fillna(np.inf)
    with np.errstate(invalid="ignore"):
        more = training.sel(params=smaller, drop=True) - training.sel(params=larger, drop=True)
    tokens = more / (SERVING_FLOPS * prices.serving * (larger - smaller))
    return tokens.clip(min=0.0).rename("inference_tokens")


@dataclass(frozen=True)
class _Question:
    """The law at every draw, and what FLOPs cost."""

    draws: Draws
    k: float
    prices: Prices

    @classmethod
    def of(cls, fit: Fit, k: float | None, prices: Prices = IN_FLOPS) -> "_Question":
        """Read the fit, or refuse it."""
        return cls(Draws.of(fit), fit.runs.flops_per_param_token if k is None else k, prices)

    @property
    def natural(self) -> dict[str, np.ndarray]:
        """The law's parameters, shape (draws, 1)."""
        return self.draws.natural

    def loss(self, log_params: np.ndarray, log_tokens: np.ndarray, *natural: np.ndarray) -> Any:
        """Loss at each draw, without repeated tokens."""
        values = natural or tuple(self.natural.values())
        named = dict(zip(self.natural, values, strict=True))
        with np.errstate(over="ignore", under="ignore"):
            return self.draws.law.fresh_loss(np.exp(log_params), np.exp(log_tokens), **named)

    def needed_tokens(self, loss: np.ndarray, log_params: np.ndarray, *natural: np.ndarray) -> Any:
        """Log of the tokens that bring a size to a loss; infinite where none do."""
        values = natural or tuple(self.natural.values())

        def gap(log_tokens: Any, log_params: Any, loss: Any, *natural: Any) -> Any:
            return self.loss(log_params, log_tokens, *natural) - loss

        found = elementwise.find_root(gap, _LOG_RANGE, args=(log_params, loss, *values))
        return np.where(found.success, found.x, np.inf)

    def least_size(self, loss: np.ndarray, log_tokens: float) -> np.ndarray:
        """Log of the size that reaches a loss on that many tokens; infinite where none does."""

        def gap(log_params: Any, loss: Any, *natural: Any) -> Any:
            return self.loss(log_params, np.full_like(log_params, log_tokens), *natural) - loss

        found = elementwise.find_root(gap, _LOG_RANGE, args=(loss, *self.natural.values()))
        return np.where(found.success, found.x, np.inf)

    def cheapest_size(self, loss: np.ndarray, served: np.ndarray) -> np.ndarray:
        """Log of the cheapest size for each number of tokens served; infinite where none is."""
        ratio = SERVING_FLOPS * self.prices.serving * served / (self.k * self.prices.training)
        least = self.least_size(loss, _LOG_RANGE[1])

        def excess(log_params: Any, loss: Any, ratio: Any, *natural: Any) -> Any:
            log_tokens = self.needed_tokens(loss, log_params, *natural)
            reached = np.isfinite(log_tokens)
            log_tokens = np.where(reached, log_tokens, _LOG_RANGE[1])
            slopes = self.slope_ratio(log_params, log_tokens, *natural)
            with np.errstate(divide="ignore", over="ignore"):
                wanted = np.log1p(ratio * np.exp(-log_tokens))
                found = np.log(slopes) - wanted
            return np.where(reached, np.clip(found, -_FAR, _FAR), _FAR)

        bracket = (np.minimum(least, _LOG_RANGE[1] - 1.0), _LOG_RANGE[1])  # inf: no sign changes
        args = (loss, ratio, *self.natural.values())
        found = elementwise.find_root(excess, bracket, args=args)
        return np.where(found.success, found.x, np.inf)

    def slope_ratio(self, log_params: Any, log_tokens: Any, *natural: Any) -> Any:
        """Slope of the loss in log N over that in log D."""
        by_params = self.loss(log_params - _STEP, log_tokens, *natural) - self.loss(
            log_params + _STEP, log_tokens, *natural
        )
        by_tokens = self.loss(log_params, log_tokens - _STEP, *natural) - self.loss(
            log_params, log_tokens + _STEP, *natural
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # where no effect of tokens is left
            return by_params / by_tokens

    def balanced_tokens(self, log_params: np.ndarray) -> np.ndarray:
        """Log of the tokens for which a size is compute-optimal: both slopes are the same."""

        def excess(log_tokens: Any, log_params: Any, *natural: Any) -> Any:
            with np.errstate(divide="ignore"):
                return np.log(self.slope_ratio(log_params, log_tokens, *natural))

        near = log_params + np.log(20.0)
        bracket = elementwise.bracket_root(
            excess, near - 1.0, near + 1.0, args=(log_params, *self.natural.values())
        )
        args = (log_params, *self.natural.values())
        return elementwise.find_root(excess, bracket.bracket, args=args).x

    def clipped(
        self,
        loss: np.ndarray,
        log_params: np.ndarray,
        max_params: float | None,
        max_tokens: float | None,
    ) -> np.ndarray:
        """Move the cheapest size to the caps it violates; infinite where they leave none."""
        if max_tokens is not None:
            log_params = np.maximum(log_params, self.least_size(loss, float(np.log(max_tokens))))
        if max_params is None:
            return log_params
        cap = np.log(max_params)
        within = np.isfinite(self.needed_tokens(loss, np.full_like(loss, cap)))
        if max_tokens is not None:
            within &= self.least_size(loss, float(np.log(max_tokens))) <= cap
        return np.where(within, np.minimum(log_params, cap), np.inf)

    def costs(
        self, loss: np.ndarray, log_params: np.ndarray, served: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return tokens and costs of sizes that reach a loss; NaN where none does."""
        log_tokens = self.needed_tokens(loss, log_params)
        reached = np.isfinite(log_tokens) & np.isfinite(log_params)
        params = np.exp(np.where(reached, log_params, np.nan))
        tokens = np.exp(np.where(reached, log_tokens, np.nan))
        training = self.prices.training * self.k * params * tokens
        serving = self.prices.serving * SERVING_FLOPS * params * served
        cost = np.where(reached, training + serving, np.inf)
        return {
            "params": params,
            "tokens": tokens,
            "tokens_per_param": tokens / params,
            "training": training,
            "serving": serving,
            "cost": cost,
        }


def _served(inference_tokens: float | Sequence[float]) -> np.ndarray:
    values = np.unique(np.atleast_1d(np.asarray(inference_tokens, dtype=float)))
    if not (np.isfinite(values) & (values >= 0)).all():
        raise FitError(f"inference tokens must not be negative, got {values.min():g}")
    return values
