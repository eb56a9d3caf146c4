"""Models of equal loss: the tokens that each size needs, what they cost, and which is cheapest.

Of an exact law by roots of slopes; of one that bends, whose loss may rise again, by first looking
at a grid of sizes and tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import elementwise

from bayescale.decisions.prices import IN_FLOPS, SERVING_FLOPS, Prices
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.surface import first, vertex

_LOG_RANGE = (np.log(1e2), np.log(1e40))
"""Where sizes and tokens are looked for; no effect of more is left at the upper end."""

_SIZES = 256  # log-spaced, among which the first that reaches a loss is looked for

_STEP = 1e-4  # of log N and log D, in central differences

_FAR = 100.0  # log of a ratio of slopes at which a size is hopeless

_SIZE_STEP, _TOKEN_STEP = 0.25 * np.log(10), 0.125 * np.log(10)  # of the grid of a law that bends
_BELOW, _ABOVE = 3.0 * np.log(10), 6.0 * np.log(10)  # what that grid covers about the runs
_WIDE = 2.0 * np.log(10)  # where hardly anything changes any more: a law far out, sizes with tokens
_NEAR = (0.1, 0.02)  # steps of log D about the least of the grid
_TOLERANCES = {"xatol": 1e-9, "xrtol": 1e-9}


def equal_loss(posterior: Posterior, prices: Prices = IN_FLOPS) -> "EqualLoss":
    """Choose the grids for a joint law.

    Parameters
    ----------
    posterior : Posterior
        Of a joint law.
    prices : Prices, optional

    Returns
    -------
    EqualLoss
    """
    if not posterior.bends:
        return EqualLoss(posterior.rows, prices, np.linspace(*_LOG_RANGE, _SIZES))
    sizes, tokens = (
        np.arange(np.log(low) - _BELOW, np.log(high) + _ABOVE, step)
        for name, step in (("params", _SIZE_STEP), ("tokens", _TOKEN_STEP))
        for low, high in [posterior.range(name)]
    )
    return BentEqualLoss(posterior.rows, prices, sizes, tokens)


@dataclass(frozen=True)
class EqualLoss:
    """The law at every draw, and what FLOPs cost; the loss falls with size and with tokens.

    Parameters
    ----------
    draws : Posterior
        In rows.
    prices : Prices
    sizes : numpy.ndarray
        Logs of those among which the first that reaches a loss is looked for.
    """

    draws: Posterior
    prices: Prices
    sizes: np.ndarray

    @property
    def natural(self) -> dict[str, np.ndarray]:
        """The law's parameters, shape (draws, 1)."""
        return self.draws.natural

    def loss(self, log_params: np.ndarray, log_tokens: np.ndarray, *natural: np.ndarray) -> Any:
        """Loss at each draw, without repeated tokens.

        Parameters
        ----------
        log_params, log_tokens : ndarray
            Of shapes that broadcast with (draws, 1).
        natural : ndarray
            The law's parameters in their order; by default those of all draws.

        Returns
        -------
        ndarray
            Nats per token.
        """
        values = natural or tuple(self.natural.values())
        named = dict(zip(self.natural, values, strict=True))
        with np.errstate(over="ignore", under="ignore"):
            return self.draws.law.fresh(np.exp(log_params), np.exp(log_tokens), **named)

    def needed_tokens(self, loss: np.ndarray, log_params: np.ndarray) -> np.ndarray:
        """Log of the tokens that bring a size to a loss; infinite where none do.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        log_params : ndarray
            Of a shape that broadcasts with it.

        Returns
        -------
        ndarray
        """
        return self._needed(loss, log_params, *self.natural.values())

    def _needed(self, loss: Any, log_params: Any, *natural: Any) -> np.ndarray:
        args = (log_params, loss, *natural)
        found = elementwise.find_root(self._gap_of_tokens, _LOG_RANGE, args=args)
        return np.where(found.success, found.x, np.inf)

    def least_size(self, loss: np.ndarray, log_tokens: float) -> np.ndarray:
        """Log of the size that reaches a loss on that many tokens; infinite where none does.

        The first one: the loss may rise again with N, on hardly any tokens for its size.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        log_tokens : float

        Returns
        -------
        ndarray
            Shape (draws, 1).
        """
        return self._first_root(self._gap_of_size, self.sizes, np.full((1, 1), log_tokens), loss)

    def _gap_of_size(self, log_params: Any, log_tokens: Any, loss: Any, *natural: Any) -> Any:
        return self.loss(log_params, log_tokens, *natural) - loss

    def _gap_of_tokens(self, log_tokens: Any, log_params: Any, loss: Any, *natural: Any) -> Any:
        return self.loss(log_params, log_tokens, *natural) - loss

    def size_at_ratio(self, loss: np.ndarray, ratio: float) -> np.ndarray:
        """Log of the first size that reaches a loss on so many tokens per parameter.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        ratio : float

        Returns
        -------
        ndarray
            Shape (draws, 1); infinite where none does.
        """
        return self._first_root(
            self._gap_at_ratio, self.sizes, np.full((1, 1), np.log(ratio)), loss
        )

    def _gap_at_ratio(self, log_params: Any, log_ratio: Any, loss: Any, *natural: Any) -> Any:
        return self.loss(log_params, log_params + log_ratio, *natural) - loss

    def _first_root(self, gap: Any, grid: np.ndarray, *asked: np.ndarray) -> np.ndarray:
        """Where a gap that falls first reaches 0 along a grid; infinite where it never does."""
        args = (*asked, *self.natural.values())
        shared = len(asked[0]) == 1  # by all draws, which is then faster for all at once
        each = np.broadcast_arrays(*args)
        place, ahead = np.zeros(each[0].shape, dtype=int), np.isfinite(each[0])
        for number, value in enumerate(grid):
            if shared:
                ahead &= ~(gap(np.full((1, 1), value), *args) <= 0)
            else:
                own = tuple(values[ahead] for values in each)
                ahead[ahead] = ~(gap(np.full(ahead.sum(), value), *own) <= 0)
            place[ahead] = number
        bracket = grid[place], grid[np.minimum(place + 1, len(grid) - 1)]
        return np.where(ahead, np.inf, self._root(gap, bracket, *asked))

    def _root(
        self, gap: Any, bracket: tuple[np.ndarray, np.ndarray], *asked: np.ndarray
    ) -> np.ndarray:
        """Where a gap that falls reaches 0 between two; infinite where it does not."""
        known = np.isfinite(bracket[0]) & np.isfinite(bracket[1])
        low, high = (np.where(known, end, number) for number, end in enumerate(bracket))
        args = (*asked, *self.natural.values())
        found = elementwise.find_root(gap, (low, high), args=args, tolerances=_TOLERANCES)
        return np.where(found.success & known, found.x, np.inf)

    def cheapest(self, loss: np.ndarray, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find logs of the cheapest size for each number of tokens served, and of its tokens.

        Infinite where none is.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        served : ndarray
            Numbers of tokens served, shape (asked,).

        Returns
        -------
        log_params : ndarray
            Shape (draws, asked).
        log_tokens : ndarray
            Shape (draws, asked).
        """
        ratio = SERVING_FLOPS * self.prices.serving * served / (self.draws.k * self.prices.training)
        least, most = self.least_size(loss, _LOG_RANGE[1]), self.optimal_size(loss) + 0.1
        known = np.isfinite(most)
        most = np.where(known, most, _LOG_RANGE[1])

        def excess(log_params: Any, loss: Any, ratio: Any, *natural: Any) -> Any:
            log_tokens = self._needed(loss, log_params, *natural)
            reached = np.isfinite(log_tokens)
            log_tokens = np.where(reached, log_tokens, _LOG_RANGE[1])
            slopes = self.slope_ratio(log_params, log_tokens, *natural)
            with np.errstate(divide="ignore", over="ignore"):
                wanted = np.log1p(ratio * np.exp(-log_tokens))
                found = np.log(slopes) - wanted
            return np.where(reached, np.clip(found, -_FAR, _FAR), _FAR)

        bracket = (np.minimum(least, most - 1.0), most)  # inf: no sign changes
        args = (loss, ratio, *self.natural.values())
        found = elementwise.find_root(excess, bracket, args=args)
        size = np.where(found.success & known, found.x, np.inf)
        return size, self.needed_tokens(loss, size)

    def optimal_size(self, loss: np.ndarray) -> np.ndarray:
        """Log of the compute-optimal size for a loss: with serving none is larger.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).

        Returns
        -------
        ndarray
            Shape (draws, 1); very large for a law that does not say it in closed form.
        """
        if self.draws.law.compute is None:
            return np.full_like(loss, _LOG_RANGE[1])
        flops = self.draws.least_compute(loss)
        with np.errstate(over="ignore"):
            return np.log(self.draws.optimum(flops))

    def slope_ratio(self, log_params: Any, log_tokens: Any, *natural: Any) -> Any:
        """Slope of the loss in log N over that in log D.

        Parameters
        ----------
        log_params, log_tokens : ndarray
        natural : ndarray
            As in `loss`.

        Returns
        -------
        ndarray
        """
        by_params = self.loss(log_params - _STEP, log_tokens, *natural) - self.loss(
            log_params + _STEP, log_tokens, *natural
        )
        by_tokens = self.loss(log_params, log_tokens - _STEP, *natural) - self.loss(
            log_params, log_tokens + _STEP, *natural
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # where no effect of tokens is left
            return by_params / by_tokens

    def balanced_tokens(self, log_params: np.ndarray) -> np.ndarray:
        """Log of the tokens for which a size is compute-optimal: both slopes are the same.

        Parameters
        ----------
        log_params : ndarray

        Returns
        -------
        ndarray
        """

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
        model: tuple[np.ndarray, np.ndarray],
        max_params: float | None,
        max_tokens: float | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move the cheapest model to the caps it violates; infinite where they leave none.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        model : tuple of ndarray
            Logs of size and tokens, shape (draws, asked).
        max_params, max_tokens : float or None

        Returns
        -------
        log_params : ndarray
        log_tokens : ndarray
        """
        log_params, log_tokens = model
        most = np.inf if max_params is None else np.log(max_params)
        if max_tokens is not None:
            least = self.least_size(loss, float(np.log(max_tokens)))
            log_params = np.where(least > most, np.inf, np.maximum(log_params, least))
        moved = np.where(np.isfinite(log_params), np.minimum(log_params, most), np.inf)
        if (moved == model[0]).all():
            return model
        tokens = np.where(moved == model[0], log_tokens, self.needed_tokens(loss, moved))
        return np.where(np.isfinite(tokens), moved, np.inf), tokens

    def within(
        self, loss: np.ndarray, model: tuple[np.ndarray, np.ndarray], low: float, high: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move the cheapest model to the end of a range of tokens per parameter that it leaves.

        Along the models of equal loss that ratio falls with the size, so the end is the cheapest.
        Infinite where no model there reaches the loss.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        model : tuple of ndarray
            Logs of size and tokens, shape (draws, asked).
        low, high : float
            Tokens per parameter.

        Returns
        -------
        log_params : ndarray
        log_tokens : ndarray
        """
        size, tokens = model
        for end, side in ((low, -1.0), (high, 1.0)):
            known = np.isfinite(size) & np.isfinite(tokens)
            ratio = np.where(known, tokens, 0.0) - np.where(known, size, 0.0)
            with np.errstate(divide="ignore"):  # no lower end
                out = known & (side * (ratio - np.log(end)) > 0)
            if not out.any():
                continue
            moved = self.size_at_ratio(loss, end)
            size, tokens = np.where(out, moved, size), np.where(out, moved + np.log(end), tokens)
        return size, tokens

    def at_sizes(
        self, loss: np.ndarray, log_params: np.ndarray, served: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return tokens and costs of sizes that reach a loss; NaN where none does.

        Parameters
        ----------
        loss : ndarray
            Shape (draws, 1).
        log_params : ndarray
            Shape (asked,).
        served : ndarray
            Number of tokens served.

        Returns
        -------
        dict of str to ndarray
            As of `costs`.
        """
        return self.costs((log_params, self.needed_tokens(loss, log_params)), served)

    def costs(
        self, model: tuple[np.ndarray, np.ndarray], served: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return costs of models given by logs of size and tokens; NaN where these are infinite.

        Parameters
        ----------
        model : tuple of ndarray
            Logs of size and tokens, shape (draws, asked).
        served : ndarray
            Numbers of tokens served.

        Returns
        -------
        dict of str to ndarray
            ``params``, ``tokens``, ``tokens_per_param``, ``training`` and ``serving``; their sum
            ``cost``, infinite where the others are NaN. Costs in the unit of the prices.
        """
        log_params, log_tokens = model
        reached = np.isfinite(log_tokens) & np.isfinite(log_params)
        params = np.exp(np.where(reached, log_params, np.nan))
        tokens = np.exp(np.where(reached, log_tokens, np.nan))
        training = self.prices.training * self.draws.k * params * tokens
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


@dataclass(frozen=True)
class BentEqualLoss(EqualLoss):
    """The same of a law that may bend: the first tokens that reach a loss count.

    The other parameters are as in `EqualLoss`.

    Parameters
    ----------
    tokens : numpy.ndarray
        Logs of those that are looked at first; like the sizes in equal steps.
    """

    tokens: np.ndarray

    def needed_tokens(self, loss: np.ndarray, log_params: np.ndarray) -> np.ndarray:
        """Log of the first tokens that bring a size to a loss; infinite where none do."""
        far = np.arange(self.tokens[-1] + _WIDE, _LOG_RANGE[1], _WIDE)
        tokens = np.concatenate([self.tokens[::2], far])
        return self._first_root(self._gap_of_tokens, tokens, log_params, loss)

    def cheapest(self, loss: np.ndarray, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find logs of the cheapest size for each number of tokens served, and of its tokens.

        Infinite where none is. Along the models of equal loss the size falls slowly with the
        tokens, while a slightly smaller size may need far more tokens: so tokens are looked for,
        each with the least size that reaches the loss on them.
        """
        sizes = self._sizes_on_grid(loss)
        costs = self._log_cost(sizes[..., None], self.tokens[:, None], served)
        best = costs.argmin(axis=1)  # (draws, served)
        middle = np.clip(best, 1, len(self.tokens) - 2)[:, None]
        around = (np.take_along_axis(costs, middle + step, axis=1)[:, 0] for step in (-1, 0, 1))
        tokens = self.tokens[middle[:, 0]] + _TOKEN_STEP * _vertex(*around)

        def cost(tokens: np.ndarray) -> np.ndarray:
            return self._log_cost(self._size_near(loss, tokens, sizes), tokens, served)

        for step in _NEAR:
            near = (cost(tokens - step), cost(tokens), cost(tokens + step))
            tokens = tokens + step * _vertex(*near)
        # Of a surface with several hollows another may be lower: that of the grid, or of the model
        # that serves least.
        serving_least = tokens[:, np.argmin(served)][:, None] + 0 * tokens
        candidates = np.stack([tokens, self.tokens[best], serving_least])
        found = np.stack([self._size_near(loss, one, sizes) for one in candidates])
        least = self._log_cost(found, candidates, served).argmin(axis=0)[None]
        size, tokens = (np.take_along_axis(x, least, axis=0)[0] for x in (found, candidates))
        return size, np.where(np.isfinite(size), tokens, np.inf)

    def _size_near(self, loss: np.ndarray, tokens: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Log of the size that reaches a loss, between those of the tokens next to it.

        `sizes` are those of the grid.
        """
        place = np.clip(np.searchsorted(self.tokens, tokens), 1, len(self.tokens) - 1)
        before = np.where(self.tokens[place] == tokens, place, place - 1)
        ends = np.take_along_axis(sizes, before, axis=1), np.take_along_axis(sizes, place, axis=1)
        low, high = np.minimum(*ends), np.maximum(*ends)
        high = np.where(np.isfinite(high), high, low + _WIDE)  # next to tokens that are too few
        step = _SIZE_STEP  # the cells of the grid of sizes in which they lie
        low, high = (
            self.sizes[0] + step * round_((end - self.sizes[0]) / step)
            for round_, end in ((np.floor, low), (np.ceil, high))
        )
        return self._root(self._gap_of_size, (low, high), tokens, loss)

    def balanced_tokens(self, log_params: np.ndarray) -> np.ndarray:
        """Log of the first tokens for which a size is compute-optimal; NaN where none are."""

        def excess(log_tokens: Any, log_params: Any, *natural: Any) -> Any:
            with np.errstate(divide="ignore", invalid="ignore"):  # where the loss rises
                return np.log(self.slope_ratio(log_params, log_tokens, *natural))

        values = tuple(self.natural.values())
        signs = np.sign([excess(np.full((1, 1), at), log_params, *values) for at in self.tokens])
        turns = (signs[:-1] < 0) & (signs[1:] > 0)
        place = turns.argmax(axis=0)
        bracket = self.tokens[place], self.tokens[place + 1]
        found = elementwise.find_root(excess, bracket, args=(log_params, *values))
        return np.where(turns.any(axis=0) & found.success, found.x, np.nan)

    def _sizes_on_grid(self, loss: np.ndarray) -> np.ndarray:
        """Log of the least size that reaches a loss on each of `tokens`: (draws, tokens)."""
        log_loss = np.log(
            [self.loss(self.sizes[None], np.full((1, 1), log_tokens)) for log_tokens in self.tokens]
        )
        sizes = first(self.sizes, np.moveaxis(log_loss, 0, 1), np.log(loss))
        return np.where(np.isnan(sizes), np.inf, sizes)

    def _log_cost(self, size: Any, tokens: Any, served: np.ndarray) -> np.ndarray:
        """Log of what training and serving cost; infinite for an infinite size."""
        known = np.where(np.isfinite(size), size, 0.0)
        training = np.log(self.prices.training * self.draws.k) + known + tokens
        with np.errstate(divide="ignore"):  # nothing served
            serving = np.log(self.prices.serving * SERVING_FLOPS * served) + known
        return np.where(np.isfinite(size), np.logaddexp(training, serving), np.inf)


def _vertex(below: np.ndarray, at: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Stay in the middle of three where the cost of one of them is infinite."""
    known = np.isfinite(below) & np.isfinite(at) & np.isfinite(above)
    return np.where(known, vertex(*(np.where(known, one, 0.0) for one in (below, at, above))), 0.0)
