"""Models of equal loss: the tokens that each size needs, what they cost, and which is cheapest.

Of an exact law by roots of slopes; of one that bends, whose loss may rise again, by first looking
at a grid of sizes and tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import elementwise

from bayescale.decisions.draws import Draws
from bayescale.decisions.prices import IN_FLOPS, SERVING_FLOPS, Prices
from bayescale.fitting import Fit
from bayescale.optima import golden_section, least_compute, optimal_params

_LOG_RANGE = (np.log(1e2), np.log(1e40))
"""Where sizes and tokens are looked for; no effect of more is left at the upper end."""

_SIZES = 256  # log-spaced, among which the first that reaches a loss is looked for

_STEP = 1e-4  # of log N and log D, in central differences

_FAR = 100.0  # log of a ratio of slopes at which a size is hopeless

_TOKENS, _SIZES_BENT = 0.25, 0.125  # decades between the tokens and the sizes of the grid of a bend
_BELOW, _ABOVE = 3.0, 6.0  # decades of that grid about the runs
_WIDE = 2.0  # decades between tokens farther out, where a law hardly bends any more
_MARKS = np.linspace(0.2, 1.0, 5) ** 3  # of a stretch of log D, where it is looked for a root first
_TOLERANCES = {"xatol": 1e-9, "xrtol": 1e-9}  # of log D
_STEPS, _NEAR = 10, 0.01  # of golden section between two sizes, and step of log N about its end


def equal_loss(fit: Fit, k: float | None, prices: Prices = IN_FLOPS) -> "EqualLoss":
    """Read the fit, or refuse it."""
    constant = fit.runs.flops_per_param_token if k is None else k
    if not fit.bends:
        return EqualLoss(Draws.of(fit), constant, prices)
    sizes, tokens = (np.log10(fit.runs.column(name)) for name in ("params", "tokens"))
    far = np.arange(tokens.max() + _ABOVE, _LOG_RANGE[1] / np.log(10), _WIDE)
    near = np.arange(tokens.min() - _BELOW, tokens.max() + _ABOVE, _TOKENS)
    least = _LOG_RANGE[0] / np.log(10)
    return BentEqualLoss(
        Draws.of(fit),
        constant,
        prices,
        np.arange(sizes.min() - _BELOW, sizes.max() + _ABOVE, _SIZES_BENT) * np.log(10),
        np.concatenate([[least], near[near > least], far]) * np.log(10),
    )


@dataclass(frozen=True)
class EqualLoss:
    """The law at every draw, and what FLOPs cost; the loss falls with size and with tokens."""

    draws: Draws
    k: float
    prices: Prices

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

    def needed_tokens(self, loss: np.ndarray, log_params: np.ndarray) -> np.ndarray:
        """Log of the tokens that bring a size to a loss; infinite where none do."""
        return self._needed(loss, log_params, *self.natural.values())

    def _needed(self, loss: Any, log_params: Any, *natural: Any) -> np.ndarray:
        def gap(log_tokens: Any, log_params: Any, loss: Any, *natural: Any) -> Any:
            return self.loss(log_params, log_tokens, *natural) - loss

        found = elementwise.find_root(gap, _LOG_RANGE, args=(log_params, loss, *natural))
        return np.where(found.success, found.x, np.inf)

    def least_size(self, loss: np.ndarray, log_tokens: float) -> np.ndarray:
        """Log of the size that reaches a loss on that many tokens; infinite where none does."""

        def gap(log_params: Any, loss: Any, *natural: Any) -> Any:
            return self.loss(log_params, np.full_like(log_params, log_tokens), *natural) - loss

        args = (loss, *self.natural.values())
        # The first one: a law that bends may rise again with N, on hardly any tokens for its size.
        sizes = np.linspace(*_LOG_RANGE, _SIZES)
        reached = np.stack([gap(np.full((1, 1), size), *args) <= 0 for size in sizes])
        first = np.maximum(reached.argmax(axis=0), 1)
        found = elementwise.find_root(gap, (sizes[first - 1], sizes[first]), args=args)
        return np.where(found.success, found.x, np.inf)

    def cheapest_size(self, loss: np.ndarray, served: np.ndarray) -> np.ndarray:
        """Log of the cheapest size for each number of tokens served; infinite where none is."""
        ratio = SERVING_FLOPS * self.prices.serving * served / (self.k * self.prices.training)
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
        return np.where(found.success & known, found.x, np.inf)

    def optimal_size(self, loss: np.ndarray) -> np.ndarray:
        """Log of the compute-optimal size for a loss: with serving none is larger."""
        law, natural = self.draws.law, self.natural
        if law.compute is None:
            return np.full_like(loss, _LOG_RANGE[1])
        flops = least_compute(law, loss, self.k, natural)
        with np.errstate(over="ignore"):
            return np.log(optimal_params(law, flops, self.k, natural))

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


@dataclass(frozen=True)
class BentEqualLoss(EqualLoss):
    """The same of a law that may bend: the first tokens that reach a loss count.

    Parameters
    ----------
    sizes, tokens : numpy.ndarray
        Logs of those that are looked at first, the same of all draws.
    """

    sizes: np.ndarray
    tokens: np.ndarray

    def needed_tokens(self, loss: np.ndarray, log_params: np.ndarray) -> np.ndarray:
        """Log of the first tokens that bring a size to a loss; infinite where none do."""
        place, _ = self._crossed(loss, log_params)
        return self._root(loss, log_params, self.tokens[place - 1], self.tokens[place])

    def cheapest_size(self, loss: np.ndarray, served: np.ndarray) -> np.ndarray:
        """Log of the cheapest size for each number of tokens served; infinite where none is."""
        served = np.append(served, 0.0)
        place, rough = self._crossed(loss, self.sizes[None])
        costs = self._log_cost(self.sizes[:, None], rough[..., None], served)
        best = np.clip(costs.argmin(axis=1), 1, len(self.sizes) - 2)  # (draws, served)
        around = np.stack([np.take_along_axis(place, best + step, axis=1) for step in (-1, 0, 1)])
        low, high = self.tokens[around.min(axis=0) - 1], self.tokens[around.max(axis=0)]

        def cost(size: np.ndarray) -> np.ndarray:
            return self._log_cost(size, self._first_root(loss, size, low, high), served)

        size = golden_section(cost, self.sizes[best - 1], self.sizes[best + 1], steps=_STEPS)
        below, at, above = (cost(size + step) for step in (-_NEAR, 0.0, _NEAR))
        with np.errstate(divide="ignore", invalid="ignore"):  # next to sizes that do not reach it
            vertex = 0.5 * _NEAR * (below - above) / (below - 2 * at + above)
        size = size + np.where(np.abs(vertex) <= _NEAR, vertex, 0.0)
        # Where a slightly smaller size never reaches the loss, one search finds its tokens and
        # another misses them: then the best of the grid stands, or the best that serves nothing.
        candidates = np.stack([size, self.sizes[best], size[:, -1:] + 0.0 * size])[..., :-1]
        tokens = (self.needed_tokens(loss, one) for one in candidates)
        pairs = zip(candidates, tokens, strict=True)
        costs = np.stack([self._log_cost(*pair, served[:-1]) for pair in pairs])
        least = np.take_along_axis(candidates, costs.argmin(axis=0)[None], axis=0)[0]
        return np.where(np.isfinite(costs.min(axis=0)), least, np.inf)

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

    def _crossed(self, loss: np.ndarray, log_params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place in `tokens` of the first that reach a loss, and about where between two that is.

        1 and infinite where none do.
        """
        last = self.loss(log_params, np.full((1, 1), self.tokens[0])) - loss
        place, rough = np.ones(last.shape, dtype=int), np.full(last.shape, np.inf)
        for number in range(1, len(self.tokens)):
            gap = self.loss(log_params, np.full((1, 1), self.tokens[number])) - loss
            new = (gap <= 0) & (last > 0) & np.isinf(rough)
            start, end = self.tokens[number - 1 : number + 1]
            between = start + (end - start) * last[new] / (last[new] - gap[new])
            place[new], rough[new], last = number, between, gap
        return place, rough

    def _first_root(
        self, loss: np.ndarray, log_params: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """Log of the first tokens between two that reach a loss; infinite where none do.

        The two may lie decades apart where a slightly smaller size needs far more tokens.
        """
        start, first, found = low, (low, high), np.zeros(np.shape(low), dtype=bool)
        for mark in _MARKS:
            end = low + mark * (high - low)
            new = ~found & (self.loss(log_params, end) <= loss)
            first = np.where(new, start, first[0]), np.where(new, end, first[1])
            start, found = end, found | new
        return self._root(loss, log_params, *first)

    def _root(
        self, loss: np.ndarray, log_params: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """Log of the tokens between two that reach a loss; infinite where none do."""

        def gap(log_tokens: Any, log_params: Any, loss: Any, *natural: Any) -> Any:
            return self.loss(log_params, log_tokens, *natural) - loss

        args = (log_params, loss, *self.natural.values())
        found = elementwise.find_root(gap, (low, high), args=args, tolerances=_TOLERANCES)
        return np.where(found.success, found.x, np.inf)

    def _log_cost(self, size: Any, tokens: Any, served: np.ndarray) -> np.ndarray:
        """Log of what training and serving cost."""
        training = np.log(self.prices.training * self.k) + size + tokens
        with np.errstate(divide="ignore"):  # nothing served
            serving = np.log(self.prices.serving * SERVING_FLOPS * served) + size
        return np.logaddexp(training, serving)
