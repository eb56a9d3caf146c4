r"""Which mixture of corpora to train on, per draw of a law of mixtures.

The objective is a weighted loss over targets, :math:`J(h) = \sum_v \omega_v L_v(N, D, h)`. Shares
h_j sum to 1 and lie between the least and the most that runs have tried, so that no optimum is an
extrapolation of a share; unique tokens U_j cap them at :math:`h_j D \le r U_j`, r the most epochs.
One mixture is recommended, that of the least mean objective over the draws; the spread of the best
mixtures of single draws says how well it is known.

Minima are found by exponentiated gradients (Kivinen and Warmuth 1997, doi:10.1006/inco.1996.2612)
with a step of its own for each draw, from the mean, the best tried and the default mixture and from
each corpus nearly alone: an inverse power sum has one minimum where :math:`\gamma \le \kappa`, and
may have one near every corpus elsewhere. The nearest point of the simplex within bounds, in
relative entropy, is the clipped multiple of the shares.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import Answer, interval_of, response_of
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.modelling.effects import scale_of
from bayescale.modelling.inputs import parts_of_mixtures
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import leaning
from bayescale.progress import step
from bayescale.runs.mixtures import TARGET, TRAINED
from bayescale.runs.table import Runs

BASIN = 0.005
"""Nats within which mixtures are taken to be as good."""

_DRAWS = 400  # that are asked, at most
_FEW = 25  # draws by which minima are found
_MOSTLY = 0.98  # share of a corpus in the mixture that is nearly it alone
_LEAST = 1e-4  # share: less is nothing to laws of mixtures
_STEPS, _DIFFERENCE = 300, 1e-6
_AT_ONCE = 8192  # shares at which a law is asked in one call
_STILL = 1e-8  # gain of a step, in units of the objective, that is the last
_GRID = 41  # places of a share, for the basin
_CANDIDATES = 24  # mixtures among which the next one to try is chosen
_NOISE = 0.01  # of log loss, where a fit has none
_FACTORS = (-6.0, 12.0)  # log of the factors of compute that are looked at
_NOTHING = 2e-4  # nats of regret that no run would lower by what counts
_SAME = 1e-6  # share by which a mixture may pass a cap
_NEAR = 0.9  # quantile of the distances from tried mixtures to the nearest other one
_DIGITS = 3  # of shares, by which tried mixtures are told apart
_LIKE_RUNS = np.log(1.1)  # log of the factor within which a plan has the size of all runs
_AT_BOUND = 1e-3  # of a share: nearer to a bound it lies at it
_SHOWN = 0.005  # share from which on a corpus is named in a sentence


@dataclass(frozen=True)
class MixturePlan:
    """A run whose mixture is to be chosen.

    Parameters
    ----------
    params, tokens : float, optional
        N and D, of a law that reads them.
    importance : mapping of str to float, optional
        Weights of the targets; by default all weigh the same. Those left out weigh nothing.
    unique_tokens : mapping of str to float, optional
        Unique tokens of corpora; those left out have enough.
    epochs : float, optional
        The most passes over a corpus.
    least, most : mapping of str to float, optional
        Bounds of shares, in place of the least and the most among the runs.
    default : mapping of str to float, optional
        The mixture to compare with; by default the mean of the runs. One that `least`, `most` or
        unique tokens do not allow gives way to the nearest that they do.
    """

    params: float | None = None
    tokens: float | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    unique_tokens: Mapping[str, float] = field(default_factory=dict)
    epochs: float = 4.0
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    default: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Objective:
    """The weighted loss of mixtures, for some draws."""

    law: Any
    inputs: Mapping[str, float]
    natural: Mapping[str, np.ndarray]
    leaning: np.ndarray  # log of the factor by which losses leave the law there, (draws, targets)
    weights: np.ndarray

    @property
    def draws(self) -> int:
        """Number of draws."""
        return next(iter(self.natural.values())).shape[-2]

    def losses(self, shares: np.ndarray, **changed: Any) -> np.ndarray:
        """Loss of each target, (..., draws, targets), of shares (parts, ..., draws or 1)."""
        (name,) = self.law.role("shares")
        at = {**self.inputs, **changed, name: shares[..., None]}
        natural = dict(self.natural)
        more = tuple(range(1, shares.ndim - 1))  # several mixtures for each draw
        vectors = (n for n in natural if self.law.supports[n].along)
        natural |= {n: np.expand_dims(natural[n], more) for n in vectors}
        said = self.law(*(at[own] for own in self.law.inputs), **natural)
        return np.asarray(np.exp(self.leaning) * said)

    def values(self, shares: np.ndarray, **changed: Any) -> np.ndarray:
        """Objective of each draw, (..., draws)."""
        return self.losses(shares, **changed) @ self.weights

    def mean(self, **changed: Any) -> Callable[[np.ndarray], np.ndarray]:
        """Objective in the mean over the draws, of shares (parts, ...) to (...)."""
        return lambda shares: self.values(shares[..., None], **changed).mean(axis=-1)

    def thinned(self, most: int) -> "_Objective":
        """Take so many draws at most."""
        kept = _evenly(self.draws, most)
        natural = {n: v[..., kept, :] for n, v in self.natural.items()}
        return replace(self, natural=natural, leaning=self.leaning[kept])

    def of_target(self, at: int) -> "_Objective":
        """Take the loss of one target alone."""
        natural = {n: v[..., [at]] if v.shape[-1] > 1 else v for n, v in self.natural.items()}
        return replace(self, natural=natural, leaning=self.leaning[:, [at]], weights=np.ones(1))


def _objective(fit: Fit, plan: MixturePlan) -> _Objective:
    law, weights = fit.spec.law, _weights(_targets(fit), plan)
    flat = fit.posterior.stack(sample=("chain", "draw"))
    kept, natural = _evenly(flat.sizes["sample"], _DRAWS), {}
    for name in law.parameters:
        own = flat[name].isel(sample=kept)
        own = own if "group" in own.dims else own.expand_dims(group=1)
        along = law.supports[name].along
        natural[name] = own.transpose(*((along,) if along else ()), "sample", "group").to_numpy()
    inputs: dict[str, float] = {
        n: getattr(plan, n) for n in ("params", "tokens") if n in law.inputs
    }
    found = leaning(fit, inputs)
    apart = np.zeros((len(kept), len(weights)))
    if isinstance(found, xr.DataArray):
        found = found if "group" in found.dims else found.expand_dims(group=1)
        apart += found.stack(sample=("chain", "draw")).transpose("sample", "group")[kept].to_numpy()
    return _Objective(law, inputs, natural, apart, weights / weights.sum())


def _evenly(number: int, most: int) -> np.ndarray:
    """Choose places of so many at most, evenly spaced from the first to the last."""
    return np.linspace(0, number - 1, min(number, most)).round().astype(int)


def _targets(fit: Fit) -> tuple[str, ...]:
    return tuple(fit.groups) or ((fit.own_group,) if fit.own_group else _alone_in(fit.runs))


def _alone_in(runs: Runs) -> tuple[str]:
    """Name the target of runs that a law without groups reads."""
    known = set(runs.table[TARGET].astype(str)) if TARGET in runs.table else set()
    return (known.pop() if len(known) == 1 else "",)


def _weights(targets: Sequence[str], plan: MixturePlan) -> np.ndarray:
    """Weight of each target, which sum to 1 where they are used."""
    if unknown := set(plan.importance) - set(targets):
        name = sorted(unknown)[0]
        raise FitError(f"no target {name!r}; {words.did_you_mean(name, list(targets))}")
    given = plan.importance or dict.fromkeys(targets, 1.0)
    weights = np.array([float(given.get(target, 0.0)) for target in targets])
    if (weights < 0).any() or not weights.sum() > 0:
        raise FitError(f"weights of targets must be positive, got {dict(given)}")
    return weights


@typed
def require_plan(runs: Runs, spec: ModelSpec, plan: MixturePlan) -> None:
    """Refuse a plan that no fit of such runs can answer.

    Parameters
    ----------
    runs : Runs
    spec : ModelSpec
        Of a law of mixtures.
    plan : MixturePlan

    Raises
    ------
    FitError
        As `best_mixture`.
    """
    if not spec.law.role("shares"):
        raise FitError(
            f"the law {spec.law.name} reads no mixture; fit mixture-hierarchical or "
            "mixture-joint-hierarchical, as the command mix does"
        )
    wanted = [n for n in ("params", "tokens") if n in spec.law.inputs]
    if missing := [n for n in wanted if getattr(plan, n) is None]:
        raise FitError(
            f"the runs differ in {' and '.join(missing)}: say those of the planned run, "
            f"{', '.join(f'{name}=...' for name in missing)} "
            f"({', '.join(f'--{name}' for name in missing)})"
        )
    grouped = spec.group and sorted(set(runs.table[spec.group].astype(str)))
    _weights(grouped or _alone_in(runs), plan)
    (name,) = spec.law.role("shares")
    _bounds(runs, name, parts_of_mixtures(spec, runs.table)[name], plan)


def _bounds(
    runs: Runs, name: str, parts: Sequence[str], plan: MixturePlan
) -> tuple[np.ndarray, np.ndarray]:
    """Least and most share of each corpus."""
    for given in (plan.unique_tokens, plan.least, plan.most, plan.default):
        for part in given:
            if part not in parts:
                raise FitError(f"no corpus {part!r}; {words.did_you_mean(part, list(parts))}")
    tried = runs.table[[f"{name}_{part}" for part in parts]].to_numpy(dtype=float)
    low, high = _caps(parts, plan)
    low = np.where([p in plan.least for p in parts], low, tried.min(axis=0))
    high = np.where([p in plan.most for p in parts], high, np.minimum(high, tried.max(axis=0)))
    for part, share in plan.least.items():
        if share > high[parts.index(part)]:
            raise FitError(
                f"{part} is to have at least {share:.3g} of the data and may have at most "
                f"{high[parts.index(part)]:.3g}; lower the one, or allow more of it"
            )
    high = np.maximum(high, _LEAST)
    low = np.minimum(np.maximum(low, _LEAST), high)
    if not low.sum() <= 1 <= high.sum():
        raise FitError(
            f"no mixture lies within these bounds: the least shares sum to {low.sum():.3g}, the "
            f"most to {high.sum():.3g}; allow more epochs, fewer tokens, or wider shares"
        )
    return low, high


def _caps(parts: Sequence[str], plan: MixturePlan) -> tuple[np.ndarray, np.ndarray]:
    """Least and most share of each corpus that the plan says can be had, tried or not."""
    low = np.array([plan.least.get(part, 0.0) for part in parts])
    high = np.array([plan.most.get(part, 1.0) for part in parts])
    if plan.unique_tokens:
        if plan.tokens is None:
            raise FitError("unique tokens cap shares of a run: say its tokens as well")
        there = np.array([plan.unique_tokens.get(part, np.inf) for part in parts])
        high = np.minimum(high, plan.epochs * there / plan.tokens)
    return low, high


def _within(shares: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Nearest mixtures within bounds, in relative entropy: clipped multiples of the shares."""
    low, high = low[:, None], high[:, None]
    below, above = np.full(shares.shape[1], -60.0), np.full(shares.shape[1], 60.0)
    for _ in range(60):
        middle = (below + above) / 2
        small = np.clip(np.exp(middle) * shares, low, high).sum(axis=0) < 1
        below, above = np.where(small, middle, below), np.where(small, above, middle)
    return np.clip(np.exp((below + above) / 2) * shares, low, high)


def _least_of(value: Any, start: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Mixtures (parts, n) at which `value`, (parts, n) to (n,), is least."""
    shares = _within(start, low, high)
    now, pace = value(shares), np.full(start.shape[1], 1.0)
    for _ in range(_STEPS):
        slope = _slope(value, shares)
        slope = slope - (shares * slope).sum(axis=0)
        # Steeper than this a step would leave the region in which the slope says anything.
        way = np.clip(-pace * slope, -1.0, 1.0)
        tried = _within(shares * np.exp(way), low, high)
        found = value(tried)
        better = found < now
        gained = np.where(better, now - found, 0.0)
        shares, now = np.where(better, tried, shares), np.where(better, found, now)
        pace = np.where(better, 1.5 * pace, 0.3 * pace)
        if (gained < _STILL).all() and (pace * np.abs(slope).max(axis=0) < 1e-4).all():
            break
    return shares


def _slope(value: Any, shares: np.ndarray) -> np.ndarray:
    """Differentiate the value by each share, none of them held by the others."""
    found, every = np.empty_like(shares), np.arange(len(shares))
    for some in np.array_split(every, -(-len(shares) * shares.size // _AT_ONCE)):
        own, at = shares[some], np.arange(len(some))
        moved = np.repeat(shares[:, None, None], 2, axis=1).repeat(len(some), axis=2)
        moved[some, 0, at] = own + _DIFFERENCE + 1e-3 * own
        moved[some, 1, at] = np.maximum(own - _DIFFERENCE - 1e-3 * own, 0.0)
        above, below = value(moved)
        found[some] = (above - below) / (moved[some, 0, at] - moved[some, 1, at])
    return found


@dataclass(frozen=True, repr=False)
class BestMixture(Shown):
    """The mixture to train on, and what it is worth.

    Parameters
    ----------
    plan : MixturePlan
    parts, targets : tuple of str
        Corpora and targets.
    recommended, default : numpy.ndarray, shape (parts,)
        Shares of the least mean objective, and of the mixture that it is compared with.
    asked : numpy.ndarray, shape (parts,)
        The mixture to compare with, as asked; `default` is the nearest that the plan allows.
    proportional : tuple or None
        Shares in proportion to unique tokens, or the nearest that the plan allows, and how far the
        objective lies below theirs, shape (draws,). None unless the plan says the unique tokens of
        every corpus: of one that has enough there is no proportion.
    best : numpy.ndarray, shape (draws, parts)
        The best shares of each draw.
    low, high : numpy.ndarray, shape (parts,)
        Bounds of the shares.
    objective, gain, regret : numpy.ndarray, shape (draws,)
        Weighted loss of the recommended mixture; how far it lies below the default's, and above the
        best of the draw; nats per token.
    compute : numpy.ndarray or None
        Factor of compute with which the default mixture would be as good; None for a law that does
        not read params and tokens.
    basin : numpy.ndarray, shape (parts, 2)
        Range of each share, the others in proportion, that costs at most `BASIN`.
    losses, default_losses : numpy.ndarray, shape (draws, targets)
    alone : numpy.ndarray, shape (targets, targets)
        Mean loss of each target (column) with the mixture that is best for one alone (row).
    elsewhere : tuple or None
        Params and tokens of the smallest runs, and the regret, shape (draws,), of keeping the
        mixture that is best there.
    next_mixture : numpy.ndarray, shape (parts,)
        Of the mixtures looked at, that whose run leaves the least expected regret.
    next_regret : float
        That regret, nats per token; to be set beside the mean of `regret`.
    distance, spacing : float
        Total variation from the recommended mixture to the nearest one tried, and the 0.9 quantile
        of those from one tried mixture to its nearest.
    """

    plan: MixturePlan
    parts: tuple[str, ...]
    targets: tuple[str, ...]
    recommended: np.ndarray
    default: np.ndarray
    asked: np.ndarray
    proportional: tuple[np.ndarray, np.ndarray] | None
    best: np.ndarray
    low: np.ndarray
    high: np.ndarray
    objective: np.ndarray
    gain: np.ndarray
    regret: np.ndarray
    compute: np.ndarray | None
    basin: np.ndarray
    losses: np.ndarray
    default_losses: np.ndarray
    alone: np.ndarray
    elsewhere: tuple[float, float, np.ndarray] | None
    next_mixture: np.ndarray
    next_regret: float
    distance: float
    spacing: float

    def _parts(self) -> Iterator[Part]:
        yield Bold(f"Mixture of the least loss on {', '.join(self.targets)}")
        ends = np.quantile(self.best, [0.05, 0.95], axis=0).T
        yield Grid(
            ("corpus", "share", "best of single draws, 90%"),
            [
                (part, f"{share:.1%}", f"{low:.1%} to {high:.1%}")
                for part, share, (low, high) in zip(self.parts, self.recommended, ends, strict=True)
            ],
        )
        yield f"Better than the default with probability {words.chance(self.p_better)}."
        yield "Ask next: answer_mixture(fit, this)"

    @cached_property
    def p_better(self) -> float:
        """Probability that the recommended mixture is better than the default."""
        return float((self.gain > 0).mean())

    @property
    def default_allowed(self) -> bool:
        """Whether the plan allows the mixture that was asked to be compared with."""
        return bool(np.array_equal(self.asked, self.default))

    @property
    def is_far(self) -> bool:
        """Whether no run is as near to the recommended mixture as most runs are to another."""
        return self.distance > self.spacing


@typed
def best_mixture(fit: Fit, plan: MixturePlan | None = None) -> BestMixture:
    r"""Find the mixture of corpora of the least weighted loss.

    Parameters
    ----------
    fit : Fit
        Of a law of mixtures; its groups are the targets.
    plan : MixturePlan, optional
        The run; all targets weigh the same without it.

    Returns
    -------
    BestMixture

    Raises
    ------
    FitError
        If the law reads no mixture, or reads params or tokens that the plan does not say; for
        unknown targets or corpora; if no mixture lies within the bounds.

    Examples
    --------
    >>> best_mixture(fit, MixturePlan(params=1e9, tokens=2e10))  # doctest: +SKIP
    """
    plan = plan or MixturePlan()
    require_plan(fit.runs, fit.spec, plan)
    (name,) = fit.spec.law.role("shares")
    parts, own = fit.parts[name], _objective(fit, plan)
    low, high = _bounds(fit.runs, name, parts, plan)
    tried = fit.runs.table[[f"{name}_{part}" for part in parts]].drop_duplicates().to_numpy(float)
    asked = _default(plan, parts, tried)
    default = _allowed(asked, *_caps(parts, plan))
    starts = _starts(own, tried, default, low, high)
    with step("looking for mixtures"):
        minima = _minima(own, starts, low, high)
        recommended = _of_all(own, minima, low, high)
        looked_at = np.concatenate([recommended, minima, starts], axis=1)
        best = _of_each(own, looked_at, low, high)
        losses, before = own.losses(recommended), own.losses(default[:, None])
        objective, standard = losses @ own.weights, before @ own.weights
        alone = _alone(own, np.append(starts, recommended, axis=1), low, high)
        following, left = _next(own, fit, best, recommended)
        found = BestMixture(
            plan=plan,
            parts=parts,
            targets=_targets(fit),
            recommended=recommended[:, 0],
            default=default,
            asked=asked,
            proportional=_proportional(own, plan, parts, objective),
            best=best.T,
            low=low,
            high=high,
            objective=objective,
            gain=standard - objective,
            regret=np.maximum(objective - own.values(best), 0.0),
            compute=_compute(own, default, objective),
            basin=_basin(own, recommended[:, 0], low, high),
            losses=losses,
            default_losses=before,
            alone=alone,
            elsewhere=_elsewhere(own, fit, starts, low, high, objective),
            next_mixture=following,
            next_regret=left,
            distance=float(_apart(recommended.T, tried).min()),
            spacing=_spacing(tried),
        )
    return found


def _default(plan: MixturePlan, parts: Sequence[str], tried: np.ndarray) -> np.ndarray:
    if not plan.default:
        return np.asarray(tried.mean(axis=0))
    shares = np.array([float(plan.default.get(part, 0.0)) for part in parts])
    if (shares < 0).any() or abs(shares.sum() - 1) > 0.02:
        raise FitError(f"shares of the default sum to {shares.sum():.3g}, not to 1")
    return shares / shares.sum()


def _allowed(shares: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Take the shares, or the nearest between caps if they are beyond."""
    if (shares >= low - _SAME).all() and (shares <= high + _SAME).all():
        return shares
    # A corpus without any could not take what another one may not have.
    some = np.maximum(shares, _LEAST)[:, None]
    return _within(some, low, np.maximum(high, _LEAST))[:, 0]


def _proportional(
    own: _Objective, plan: MixturePlan, parts: Sequence[str], objective: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Take all corpora for as many passes, as who sets no weights does, and what it costs."""
    there = np.array([plan.unique_tokens.get(part, np.inf) for part in parts])
    if not np.isfinite(there).all():
        return None
    shares = _allowed(there / there.sum(), *_caps(parts, plan))
    return shares, own.values(shares[:, None]) - objective


def _starts(
    own: _Objective, tried: np.ndarray, default: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Mixtures from which to look for the best one, (parts, starts).

    Where corpora teach by powers of their shares above 1, the objective has several minima, each
    near a mixture of few corpora.
    """
    mean, few = tried.mean(axis=0), own.thinned(_FEW)
    best = tried[few.mean()(tried.T).argmin()]
    corners = _MOSTLY * np.eye(len(mean)) + (1 - _MOSTLY) * mean
    return _within(np.stack([mean, best, default, *corners], axis=1), low, high)


def _minima(
    own: _Objective, starts: np.ndarray, low: np.ndarray, high: np.ndarray, **changed: Any
) -> np.ndarray:
    """Minima of the mean objective, (parts, starts); a few draws tell them apart."""
    return _least_of(own.thinned(_FEW).mean(**changed), starts, low, high)


def _of_all(
    own: _Objective, starts: np.ndarray, low: np.ndarray, high: np.ndarray, **changed: Any
) -> np.ndarray:
    """Return the mixture of the least mean objective, (parts, 1), from the best start."""
    mean = own.mean(**changed)
    return _least_of(mean, starts[:, [mean(starts).argmin()]], low, high)


def _of_each(own: _Objective, starts: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the best mixture of each draw, (parts, draws), looked for from the best start."""
    at = own.values(starts[..., None]).argmin(axis=0)
    return _least_of(own.values, starts[:, at], low, high)


def _alone(own: _Objective, starts: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    few, found = own.thinned(100), []
    for target in range(len(own.weights)):
        one = few.of_target(target)
        best = _of_all(one, _minima(one, starts, low, high), low, high)
        found.append(own.losses(best).mean(axis=0))
    return np.stack(found)


def _compute(own: _Objective, default: np.ndarray, goal: np.ndarray) -> np.ndarray | None:
    """Factor of compute, of params and tokens alike, with which the default reaches a goal."""
    if set(own.inputs) != {"params", "tokens"}:
        return None
    below, above = (np.full(own.draws, end) for end in _FACTORS)
    for _ in range(50):
        middle = (below + above) / 2
        factor = np.exp(middle / 2)[:, None]
        more = {name: value * factor for name, value in own.inputs.items()}
        worse = own.values(default[:, None], **more) > goal
        below, above = np.where(worse, middle, below), np.where(worse, above, middle)
    reached = above < _FACTORS[1] - 1e-6
    return np.where(reached, np.exp(above), np.inf)


def _basin(own: _Objective, shares: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    few = own.thinned(100)
    least = few.mean()(shares)
    found = np.empty((len(shares), 2))
    for part, share in enumerate(shares):
        places = np.union1d(np.linspace(low[part], high[part], _GRID), share)
        moved = shares[:, None] * (1 - places) / (1 - share)
        moved[part] = places
        good = few.mean()(moved) <= least + BASIN
        at = int(np.searchsorted(places, share))
        first = at - int(np.argmin(np.append(good[at::-1], False))) + 1
        last = at + int(np.argmin(np.append(good[at:], False))) - 1
        found[part] = places[first], places[last]
    return found


def _elsewhere(
    own: _Objective,
    fit: Fit,
    starts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    objective: np.ndarray,
) -> tuple[float, float, np.ndarray] | None:
    """Regret of the mixture that is best for the smallest runs."""
    if set(own.inputs) != {"params", "tokens"}:
        return None
    rows = fit.runs.table
    smallest = rows.loc[(rows["params"] * rows["tokens"]).idxmin()]
    at = {name: float(smallest[name]) for name in ("params", "tokens")}
    some = own.thinned(200)
    kept = _of_all(some, _minima(some, starts, low, high, **at), low, high, **at)
    return at["params"], at["tokens"], own.values(kept) - objective


def _next(
    own: _Objective, fit: Fit, best: np.ndarray, recommended: np.ndarray
) -> tuple[np.ndarray, float]:
    """Choose a mixture to try: of a run there, each draw as the truth weighs the others.

    The run's losses, with their errors, leave weights of the draws; by these another mixture of
    those looked at may be best, whose regret under the truth is what is left. Errors are taken as
    Normal, with the covariance of `_errors`.
    """
    few = own.thinned(150)
    some = best[:, _evenly(best.shape[1], _CANDIDATES)]
    places = np.concatenate([recommended, some], axis=1)
    losses = few.losses(places[..., None])  # (candidates, draws, targets)
    values = losses @ few.weights
    regret = values - values.min(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(_errors(fit)))
    rng = np.random.default_rng(0)
    left = np.empty(len(values))
    for place, said in enumerate(np.log(losses) @ whitening.T):
        seen = said + rng.standard_normal(said.shape)
        apart = ((seen[:, None] - said[None]) ** 2).sum(axis=-1)
        np.fill_diagonal(apart, np.inf)  # no draw is the truth to the last digit
        weight = np.exp(-0.5 * (apart - apart.min(axis=1, keepdims=True)))
        weight /= weight.sum(axis=1, keepdims=True)
        chosen = (values @ weight.T).argmin(axis=0)
        left[place] = regret[chosen, np.arange(len(chosen))].mean()
    at = int(left.argmin())
    return places[:, at], float(left[at])


def _errors(fit: Fit) -> np.ndarray:
    r"""Covariance of the errors of log loss of one new run, (targets, targets).

    All losses of the run share the error of what was trained; other errors that rows share, as of
    a target, size and number of tokens, are of each loss. What the law leaves smoothly is no error
    here: every draw knows its own. Student-t noise counts as Normal noise that says as much of
    where it lies, of variance :math:`\sigma^2 (\nu + 3) / (\nu + 1)`: less than its own, since
    what lies far off is not taken for its word. Medians over the draws.
    """
    draws = ("chain", "draw")
    noise = {name: own.median(draws).to_numpy() for name, own in fit.noise.items()}
    own = np.full(len(_targets(fit)), noise.get("sigma", _NOISE)) ** 2
    if "nu" in noise:
        own *= (noise["nu"] + 3) / (noise["nu"] + 1)
    shared = 0.0
    for column in fit.spec.effects:
        if scale_of(column) in fit.posterior:
            variance = float(fit.posterior[scale_of(column)].median(draws)) ** 2
            shared, own = (
                (shared + variance, own) if column == TRAINED else (shared, own + variance)
            )
    return np.diag(own) + shared


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Total variation between mixtures, rows of shares."""
    return np.asarray(0.5 * np.abs(one[:, None] - other[None]).sum(axis=-1))


def _spacing(tried: np.ndarray) -> float:
    """Say within what of another most tried mixtures lie; one far from all others widens nothing.

    Shares that differ by less than digits do, as those of two runs of one mixture may, are one.
    """
    tried = np.unique(tried.round(_DIGITS), axis=0)
    if len(tried) < 2:
        return 0.0
    apart = _apart(tried, tried)
    np.fill_diagonal(apart, np.inf)
    return float(np.quantile(apart.min(axis=1), _NEAR, method="lower"))


@typed
def answer_mixture(fit: Fit, found: BestMixture) -> Answer:
    """Say which mixture to train on, what it gains, and how well it is known.

    Parameters
    ----------
    fit : Fit
    found : BestMixture
        What `best_mixture` returns of the fit.

    Returns
    -------
    Answer
        Numbers ``mixture``: ``shares`` (by corpus: recommended, of single draws, basin, default,
        the default as it was asked, bounds), ``default_allowed``, ``objective``, ``gain``,
        ``p_better``, ``proportional`` (the mixture in proportion to unique tokens, and the gain
        over it), ``compute``, ``regret``, ``targets`` (by
        target: loss with the recommended and the default mixture, and of the mixture that is best
        for it alone), ``smallest`` (regret of the mixture that is best for the smallest runs),
        ``next`` (the mixture to try next, and the regret that it leaves), ``distance`` and
        ``spacing``.
    """
    entry = _entry(found)
    return Answer.by(fit, numbers={"mixture": entry}, sentences=_sentences(fit, found, entry))


def _quantity(values: np.ndarray) -> dict[str, float]:
    return numbers(xr.DataArray(values[None], dims=("chain", "draw")))


def _entry(found: BestMixture) -> dict[str, Any]:
    shares = {
        part: {
            "recommended": float(found.recommended[at]),
            "best": _quantity(found.best[:, at]),
            "basin": found.basin[at].tolist(),
            "default": float(found.default[at]),
            "default_asked": float(found.asked[at]),
            "bounds": [float(found.low[at]), float(found.high[at])],
        }
        for at, part in enumerate(found.parts)
    }
    targets = {
        target: {
            "loss": _quantity(found.losses[:, at]),
            "default": _quantity(found.default_losses[:, at]),
            "best_alone": float(found.alone[at, at]),
        }
        for at, target in enumerate(found.targets)
    }
    smallest = None
    if found.elsewhere is not None:
        params, tokens, regret = found.elsewhere
        smallest = {"params": params, "tokens": tokens, "regret": _quantity(regret)}
    proportional = None
    if found.proportional is not None:
        own, gain = found.proportional
        proportional = {
            "shares": dict(zip(found.parts, own.tolist(), strict=True)),
            "gain": _quantity(gain),
            "p_better": float((gain > 0).mean()),
        }
    return {
        "params": found.plan.params,
        "tokens": found.plan.tokens,
        "shares": shares,
        "default_allowed": found.default_allowed,
        "objective": _quantity(found.objective),
        "gain": _quantity(found.gain),
        "p_better": found.p_better,
        "proportional": proportional,
        "compute": None if found.compute is None else _quantity(found.compute),
        "regret": _quantity(found.regret),
        "targets": targets,
        "smallest": smallest,
        "next": {
            "shares": dict(zip(found.parts, found.next_mixture.tolist(), strict=True)),
            "regret": found.next_regret,
        },
        "distance": found.distance,
        "spacing": found.spacing,
    }


def _sentences(fit: Fit, found: BestMixture, entry: dict[str, Any]) -> list[str]:
    sentences = [*_far(found), *_recommended(found, entry), _gain(fit, found, entry)]
    sentences += [
        _of_one_scale(fit, found),
        _beyond_caps(found),
        _proportional_sentence(found, entry["proportional"]),
    ]
    ends = [
        f"{part} ({'least' if at_low else 'most'}, {100 * bound:.2g}%)"
        for part, share, low, high in zip(
            found.parts, found.recommended, found.low, found.high, strict=True
        )
        for at_low, bound in ((True, low), (False, high))
        if abs(share - bound) < _AT_BOUND and bound > 2 * _LEAST
    ]
    if ends:
        sentences.append(
            f"At an end of what is allowed, which is what runs tried unless it was given: "
            f"{', '.join(ends)}. Beyond it the mixture may be better still."
        )
    sentences.append(_basin_sentence(found))
    if found.elsewhere is not None:
        params, tokens, regret = found.elsewhere
        sentences.append(
            f"The mixture that is best at {words.count(params)} params and {words.count(tokens)} "
            f"tokens, the smallest runs, would cost {_nats(_quantity(regret))} here."
        )
    sentences += [_trade_off(found), _next_sentence(found)]
    return [sentence for sentence in sentences if sentence]


def _far(found: BestMixture) -> list[str]:
    if not found.is_far:
        return []
    return [
        f"No run is near this mixture: {100 * found.distance:.0f}% of the data would have to be "
        f"exchanged to come to the nearest one, and nine of ten tried mixtures have another one "
        f"within {100 * found.spacing:.0f}%. Try it in a small run before you rely on it."
    ]


def _of_one_scale(fit: Fit, found: BestMixture) -> str:
    """Say that the plan is of another size than all runs, where the law reads no size."""
    table = fit.runs.table
    asked = {
        name: value
        for name in ("params", "tokens")
        if (value := getattr(found.plan, name)) is not None
        and name not in fit.spec.law.inputs
        and name in table
    }
    tried = {name: float(table[name].median()) for name in asked}
    if all(abs(np.log(asked[name] / tried[name])) < _LIKE_RUNS for name in asked):
        return ""
    ours, planned = (
        " and ".join(f"{words.count(value)} {name}" for name, value in counts.items())
        for counts in (tried, asked)
    )
    return (
        f"All runs have about {ours}, and this mixture and its loss are theirs: no run says how "
        f"they move to {planned}."
    )


def _recommended(found: BestMixture, entry: dict[str, Any]) -> list[str]:
    order = np.argsort(-found.recommended)
    named = [at for at in order if found.recommended[at] >= _SHOWN]
    said = ", ".join(
        f"{found.parts[at]} {100 * found.recommended[at]:.1f}% ({_spread(found, entry, at)})"
        for at in named
    )
    rest = [found.parts[at] for at in order if at not in named]
    tail = f", hardly any {', '.join(rest)}" if rest else ""
    return [f"Train on {said}{tail}; in brackets the best of single draws, 90%."]


def _spread(found: BestMixture, entry: dict[str, Any], at: int) -> str:
    """Say where the best share of single draws lies; all at one bound know of no interval."""
    best = entry["shares"][found.parts[at]]["best"]
    for bound, which in ((found.high[at], "most"), (found.low[at], "least")):
        if max(abs(best["q05"] - bound), abs(best["q95"] - bound)) < _AT_BOUND:
            return f"the {which} allowed"
    return f"{100 * best['q05']:.0f} to {100 * best['q95']:.0f}"


def _gain(fit: Fit, found: BestMixture, entry: dict[str, Any]) -> str:
    what = _compared(found)
    what = what if found.default_allowed else f"the allowed mixture nearest to {what}"
    loss = response_of(entry["objective"], fit.spec.response)
    said = (
        f"The weighted loss is {loss}: better than {what} by {_nats(entry['gain'])}, with "
        f"probability {words.chance(found.p_better)}"
    )
    if entry["compute"] is None:
        return f"{said}."
    factor = interval_of(entry["compute"], lambda value: f"{value:.3g}")
    return f"{said}, as much as {factor} times the compute would gain."


def _compared(found: BestMixture) -> str:
    return "the default" if found.plan.default else "the mean of the tried mixtures"


def _beyond_caps(found: BestMixture) -> str:
    """Say which shares of the mixture to compare with cannot be had."""
    if found.default_allowed:
        return ""
    ends = zip(found.parts, found.asked, *_caps(found.parts, found.plan), strict=True)
    said = ", ".join(
        f"{part} {100 * asked:.3g}% (at {'most' if asked > low else 'least'} "
        f"{100 * (high if asked > low else low):.3g}%)"
        for part, asked, low, high in ends
        if not low - _SAME <= asked <= high + _SAME
    )
    return (
        f"No run can have {_compared(found)}, by what this plan allows: {said}. The gain is over "
        "the nearest mixture that it allows."
    )


def _proportional_sentence(found: BestMixture, entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    order = np.argsort(-np.array(list(entry["shares"].values())))[:4]
    said = ", ".join(
        f"{found.parts[at]} {100 * entry['shares'][found.parts[at]]:.0f}%" for at in order
    )
    return (
        f"It is better than the corpora in proportion to their unique tokens ({said}) by "
        f"{_nats(entry['gain'])}, with probability {words.chance(entry['p_better'])}."
    )


def _nats(value: Mapping[str, Any]) -> str:
    return interval_of(dict(value), lambda number: f"{number:.4f}", unit="nats")


def _basin_sentence(found: BestMixture) -> str:
    order = [at for at in np.argsort(-found.recommended) if found.recommended[at] >= _SHOWN][:4]
    said = ", ".join(
        f"{found.parts[at]} {100 * found.basin[at, 0]:.0f} to {100 * found.basin[at, 1]:.0f}%"
        for at in order
    )
    return (
        f"Within {BASIN} nats of it, one share moved and the others in proportion: {said}. The "
        f"expected regret of this one mixture is {found.regret.mean():.4f} nats."
    )


def _trade_off(found: BestMixture) -> str:
    given = found.plan.importance
    counted = np.array([not given or given.get(target, 0.0) > 0 for target in found.targets])
    if counted.sum() < 2:
        return ""
    own = found.losses.mean(axis=0)
    given_up = np.where(counted, own - np.diag(found.alone), -np.inf)
    at = int(np.argmax(given_up))
    cost = np.where(counted, found.alone[at] - own, -np.inf)
    worst = int(np.argmax(cost))
    return (
        f"{found.targets[at]} gives up most: {given_up[at]:.3f} nats beside the mixture that is "
        f"best for it alone, which would cost {found.targets[worst]} {cost[worst]:.3f} nats."
    )


def _next_sentence(found: BestMixture) -> str:
    if found.regret.mean() < _NOTHING:
        return "No further run is expected to change this by more than these draws can tell."
    order = np.argsort(-found.next_mixture)[:4]
    said = ", ".join(f"{found.parts[at]} {100 * found.next_mixture[at]:.0f}%" for at in order)
    if len(found.parts) > len(order):
        said += ", ..."
    return (
        f"Try next: {said}: of the mixtures looked at, its run is expected to leave the least "
        f"regret, {found.next_regret:.4f} nats for now {found.regret.mean():.4f}."
    )
