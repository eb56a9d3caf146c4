r"""All curves of a table under one law: what they share, and how much each point may say.

No curve is exactly a law, and one that is only approximately right cannot learn more and more from
more and more points. By default the points of a curve count as 6, those nearest to the question
most (`TOP`). Whether the curves of a table follow the law so well that every point may count in
full (`WHOLE`), the table says itself: without the last third of a decade of every curve, both
readings forecast it, and their draws are pooled by the scores (pseudo Bayesian model averaging,
Yao et al. 2018, doi:10.1214/17-BA1091). The same forecasts say whether curves of this table fall as
far as the law says: `log_fall` is the log of the median ratio, with its bootstrap error, shrunk
to 0. Running bests do not count there: they fall whenever a later value is better, and never rise.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np
from scipy.special import expit, logsumexp
from scipy.stats import t as student

from bayescale import words
from bayescale.curves.importance import Effort, Sample
from bayescale.curves.points import Points
from bayescale.curves.population import Hyperpriors, Population, learn
from bayescale.curves.posterior import (
    EFFORT,
    ROUGH,
    Base,
    Draws,
    Target,
    coordinates_of,
    line_priors,
    sample_curve,
)
from bayescale.curves.weighting import capped_weights
from bayescale.errors import RunsError
from bayescale.modelling.priors import Prior
from bayescale.modelling.spec import ModelSpec, is_shipped, load_model
from bayescale.progress import step
from bayescale.workers import call_each

WORTH = 3.0
"""Processor seconds of calls for which other cores are worth their start: each call is one of five
a curve, and processes that are started once serve all."""

DRAWS = 1000
"""Draws of every curve."""

FEWEST_POOLED, FEWEST_TESTED = 5, 8
"""Curves from which on they are pooled, and from which on they say how forecasts fare."""

MOST_POOLED, MOST_TESTED = 200, 60
"""Curves of a large table, chosen by chance, that teach what is shared, and that are tested."""

HELD_DECADES = 1 / 3
"""Top of every curve that is held back and forecast, in decades."""

_WHOLLY = 40.0  # logit of a share of 1, to the last digit
_FALL_SD = 0.15  # prior sd of the log of a median ratio: laws are about right
_RESAMPLES, _LEAST_FALL = 400, 0.1
_FEW = 0.05  # share of draws that is not worth the sampling
_SIZES, _DECADES = 6, 0.5  # of what is left of a curve for its top to be forecast


@dataclass(frozen=True)
class Weighting:
    """How much each point of a curve says.

    Parameters
    ----------
    cap : float
        How many points all of them count as.
    tilt : float
        Exponent of x in the weights.
    """

    cap: float
    tilt: float

    def of(self, points: Points) -> np.ndarray:
        """Weights of the points of a curve.

        Parameters
        ----------
        points : Points

        Returns
        -------
        ndarray
            Shape (points,).
        """
        return capped_weights(points.x, self.cap, self.tilt)


TOP, WHOLE = Weighting(6.0, 2.0), Weighting(np.inf, 0.0)
"""The points nearest to the question, as many as 6 in all; every point in full."""


@dataclass(frozen=True)
class Together:
    """The curves of a table under one law.

    Parameters
    ----------
    draws : mapping of str to Draws
        By name of the curve.
    population : Population or None
        What they share; None for fewer than 5 curves.
    whole : float
        Share of the draws in which every point counts in full.
    log_fall : tuple of float
        Log of how far curves of this table fell beyond their points over how far was forecast: mean
        and sd; both 0 where fewer than 8 curves could say.
    tested : int
        Curves whose tops were forecast.
    failed : mapping of str to str
        Curves that could not be sampled, and why; they have no draws.
    """

    draws: Mapping[str, Draws] = field(repr=False)
    population: Population | None = field(repr=False)
    whole: float
    log_fall: tuple[float, float]
    tested: int
    failed: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def fall(self) -> dict[str, float] | None:
        """How far curves fell over how far was forecast: median, q05, q95; None if not learned."""
        if self.log_fall == (0.0, 0.0):
            return None
        mean, sd = self.log_fall
        low, middle, high = np.exp([mean - 1.645 * sd, mean, mean + 1.645 * sd]).tolist()
        return {"median": middle, "q05": low, "q95": high}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the table says of its own forecasts, in words."""
        found = []
        if fall := self.fall:
            found.append(
                "Tested on their own last third of a decade, curves fell "
                f"{fall['median']:.2f} [{fall['q05']:.2f}, {fall['q95']:.2f}] times as far as "
                "forecast; forecasts are scaled by that."
            )
        if self.tested >= FEWEST_TESTED:
            found.append(
                f"The same test of {words.counted(self.tested, 'curve')} says how much points far "
                f"from the top may say: all of them in {self.whole:.0%} of the draws; else the "
                "points of a curve count as 6, those nearest to the top most."
            )
        return tuple(found)


def fit_together(
    points: Mapping[str, Points],
    spec: ModelSpec,
    *,
    clusters: Mapping[str, str] | None = None,
    apart: Collection[str] = (),
    pool: bool = True,
    weighting: Weighting | None = None,
    calibrate: bool = True,
    floorless: float = 0.0,
    rough: bool = False,
    seed: int = 1,
) -> Together:
    """Fit the law of a model to all curves of a table.

    Parameters
    ----------
    points : mapping of str to Points
        By name of the curve.
    spec : ModelSpec
        As `bayescale.curves.posterior.require_curve_model` returns it.
    clusters : mapping of str to str, optional
        Cluster of each curve.
    apart : collection of str, optional
        Curves that are none of the population of the others, as flat ones among some that fall:
        they neither teach it nor are taught by it.
    pool : bool, optional
        Whether priors are learned across the curves.
    weighting : Weighting, optional
        By default the table chooses.
    calibrate : bool, optional
        Whether to learn how far the curves fall beyond their points.
    floorless : float, optional
        Prior probability that a curve that is fitted alone has no irreducible loss, which a prior
        on its share cannot say.
    rough : bool, optional
        Sample as shortly as suffices for a label.
    seed : int, optional

    Returns
    -------
    Together

    Raises
    ------
    RunsError
        If no curve can be sampled.
    """
    asked = (TOP, WHOLE) if weighting is None else (weighting,)
    effort = ROUGH if rough else EFFORT
    pooling = pooling_of(spec) if pool else None
    how = _How(spec, pooling, clusters, frozenset(apart), floorless, effort, seed)
    trial = _Trial.of(how.alike(points), asked, how) if calibrate else None
    enough = trial is not None and trial.tested >= FEWEST_TESTED
    share = trial.shares if trial is not None and enough else np.eye(len(asked))[0]
    fits = [
        _fit(points, own, how) if part > 0 else None for own, part in zip(asked, share, strict=True)
    ]
    likeliest = fits[int(share.argmax())]
    assert likeliest is not None
    return Together(
        {
            name: _pooled([fit.draws[name] if fit else None for fit in fits], share)
            for name in points
            if name not in how.failed
        },
        likeliest.population,
        whole=float(share[asked.index(WHOLE)]) if WHOLE in asked else 0.0,
        log_fall=trial.log_fall(seed) if trial is not None and enough else (0.0, 0.0),
        tested=trial.tested if trial is not None else 0,
        failed=how.failed,
    )


def hyperpriors(spec: ModelSpec, pooling: ModelSpec, target: Target) -> Hyperpriors:
    """Priors of the population of curves.

    Parameters
    ----------
    spec : ModelSpec
    pooling : ModelSpec
        Its hierarchical sibling, which says what is pooled and with which scales; those between
        clusters are the same, and noise has none.
    target : Target
        Of any curve.

    Returns
    -------
    Hyperpriors
    """
    names = tuple(name for name in coordinates_of(spec) if name in pooling.partial)
    places = [coordinates_of(spec).index(name) for name in names]
    return Hyperpriors(
        names,
        target.mean[places],
        np.diag(target.root)[places],
        np.array([_scale(pooling.scales[name]) for name in names]),
        np.array([_scale(pooling.scales[name]) if name in spec.priors else 0.0 for name in names]),
    )


def _scale(prior: Prior) -> float:
    """Scale of a HalfNormal prior, or of one with the same middle."""
    if prior.dist == "HalfNormal":
        return dict(prior.args)["sigma"]
    return float(np.exp(prior.on_line()[0] + 0.635))  # -0.635 is the mean log of a unit HalfNormal


def pooling_of(spec: ModelSpec) -> ModelSpec | None:
    """Find the hierarchical sibling of a shipped model, which says how curves are pooled.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    ModelSpec or None
        None for a model without one: its curves are each fitted alone.
    """
    name = f"{spec.name}-hierarchical"
    return load_model(name) if is_shipped(name) else None


@dataclass(frozen=True)
class _How:
    """By what curves are fitted: a law, how it is pooled, clusters of the curves.

    Curves that could not be sampled are left out from then on: `failed` says why.
    """

    spec: ModelSpec
    pooling: ModelSpec | None
    clusters: Mapping[str, str] | None
    apart: frozenset[str]
    floorless: float
    effort: Effort
    seed: int
    failed: dict[str, str] = field(default_factory=dict)

    def alike(self, points: Mapping[str, Points]) -> Mapping[str, Points]:
        """Keep the curves of the population."""
        return {name: own for name, own in points.items() if name not in self.apart}


@dataclass(frozen=True)
class _Drawn:
    """Draws of one curve, and the log of its evidence."""

    draws: Draws
    log_evidence: float


@dataclass(frozen=True)
class _Fit:
    """Draws of every curve by one weighting, and what they share."""

    draws: Mapping[str, Draws]
    population: Population | None


def _fit(points: Mapping[str, Points], weighting: Weighting, how: _How) -> _Fit:
    """Sample curves alone, learn what they share, and sample each again under that."""
    alike = how.alike(points)
    if how.pooling is None or len(alike) < FEWEST_POOLED:
        alone = _draw_each(_asked(points, weighting, how, how.effort), how)
        if how.floorless > 0:
            return _Fit(_with_floorless(alone, points, weighting, how), None)
        return _Fit({name: own.draws for name, own in alone.items()}, None)
    some = _some(alike, MOST_POOLED, how.seed)
    population = _learn(_sample_each(_asked(some, weighting, how, ROUGH), how), how)

    def base(name: str) -> Base:
        own = line_priors(how.spec, points[name], weighting.of(points[name]))
        return own if name in how.apart else _under(population, own, name, how)

    effort = how.effort if len(points) <= MOST_POOLED else ROUGH
    again = _draw_each(_asked(points, weighting, how, effort, base, (1, 1)), how)
    return _Fit({name: own.draws for name, own in again.items()}, population)


def _with_floorless(
    alone: Mapping[str, _Drawn],
    points: Mapping[str, Points],
    weighting: Weighting,
    how: _How,
) -> dict[str, Draws]:
    """Let curves that nothing else teaches have no irreducible loss, as often as is probable.

    The prior of the reducible share has its mass between 0 and 1: an exact 1 is another law.
    """
    exact = replace(
        how.spec,
        fixed={"reducible": 1.0},
        priors={name: own for name, own in how.spec.priors.items() if name != "reducible"},
    )
    place = coordinates_of(how.spec).index("reducible")
    other = replace(how, spec=exact)
    bare = _draw_each(_asked(points, weighting, other, how.effort, turn=(1, 2)), other)
    found = {}
    for name, own in bare.items():
        odds = np.log(how.floorless) - np.log1p(-how.floorless)
        odds += own.log_evidence - alone[name].log_evidence
        number = round(DRAWS * float(expit(odds)))
        line = np.insert(own.draws.line, place, _WHOLLY, axis=1)
        drawn = alone[name].draws
        both = np.concatenate([drawn.line[number:], line[:number]])
        found[name] = Draws(how.spec, drawn.reference, both, min(drawn.ess, own.draws.ess))
    return found


def _fit_roughly(
    points: Mapping[str, Points], weighting: Weighting, how: _How
) -> Mapping[str, Draws]:
    """Do the same with a fifth of the work: curves are not sampled again but weighed."""
    alone = _sample_each(_asked(points, weighting, how, ROUGH), how)
    if how.pooling is None or len(points) < FEWEST_POOLED:
        return _draws(alone, how)
    population = _learn(alone, how)
    weighed = {}
    for name, (target, sample) in alone.items():
        own = target.mean, target.root @ target.root.T
        ratio = _log_normal(target.line(sample.u), _under(population, own, name, how))
        ratio -= _log_normal(target.line(sample.u), own)
        weighed[name] = target, replace(sample, log_weight=sample.log_weight + ratio)
    return _draws(weighed, how)


def _log_normal(line: np.ndarray, base: Base) -> np.ndarray:
    """Log density of places on the line up to a constant that the weights lose, (draws,)."""
    mean, covariance = base
    white = np.linalg.solve(np.linalg.cholesky(covariance), (line - mean).T)
    density: np.ndarray = -0.5 * (white**2).sum(axis=0)
    return density


def _under(population: Population, own: Base, name: str, how: _How) -> Base:
    """Priors on the line, those of pooled coordinates by the population."""
    cluster = how.clusters[name] if how.clusters is not None else None
    mean, covariance = own[0].copy(), own[1].copy()
    places = [coordinates_of(how.spec).index(pooled) for pooled in population.names]
    mean[places], covariance[np.ix_(places, places)] = population.prior(cluster)
    return mean, covariance


def _learn(alone: Mapping[str, tuple[Target, Sample]], how: _How) -> Population:
    """Learn what curves share from samples of each alone."""
    assert how.pooling is not None
    targets = [target for target, _ in alone.values()]
    priors = hyperpriors(how.spec, how.pooling, targets[0])
    places = [coordinates_of(how.spec).index(name) for name in priors.names]
    rng = np.random.default_rng(how.seed)
    moments = [_moments(target, sample, places) for target, sample in alone.values()]
    mean, covariance = (np.stack(part) for part in zip(*moments, strict=True))
    clusters = None if how.clusters is None else [how.clusters[name] for name in alone]
    return learn(mean, covariance, priors, rng, clusters=clusters)


def _moments(target: Target, sample: Sample, places: Sequence[int]) -> Base:
    """Mean and covariance of some coordinates of a curve on the line."""
    line = target.line(sample.u)[:, places]
    weight = np.exp(sample.log_weight - logsumexp(sample.log_weight))
    return weight @ line, np.cov(line.T, aweights=weight)


def _some(points: Mapping[str, Points], most: int, seed: int) -> Mapping[str, Points]:
    """Keep at most so many curves of a table, by chance: what is learned of all needs no more."""
    if len(points) <= most:
        return points
    names = list(points)
    chosen = np.random.default_rng(seed).choice(len(names), most, replace=False)
    return {names[place]: points[names[place]] for place in sorted(chosen)}


def _sample_each(asked: Mapping[str, "_Asked"], how: _How) -> dict[str, tuple[Target, Sample]]:
    """Sample every curve, and keep the weighted draws."""
    return {n: (asked[n].target, sample) for n, sample in _called(_sampled, asked, how).items()}


def _draw_each(asked: Mapping[str, "_Asked"], how: _How) -> dict[str, _Drawn]:
    """Sample every curve, and keep draws of equal weights: the weighted ones are tenfold."""
    return {
        name: _Drawn(Draws(how.spec, asked[name].target.reference, line, ess), log_evidence)
        for name, (line, ess, log_evidence) in _called(_drawn, asked, how).items()
    }


def _asked(
    points: Mapping[str, Points],
    weighting: Weighting,
    how: _How,
    effort: Effort,
    base: Callable[[str], Base] | None = None,
    turn: tuple[int, int] = (0, 1),
) -> dict[str, "_Asked"]:
    """Say how to sample each curve, by streams of its own."""
    return {
        name: _Asked(
            *(how.spec, own, weighting.of(own)),
            None if base is None else base(name),
            effort,
            (how.seed + turn[0], crc32(name.encode())),
            (how.seed, crc32(name.encode()), turn[1]),
        )
        for name, own in points.items()
        if name not in how.failed
    }


def _called(
    function: Callable[["_Asked"], Any], asked: Mapping[str, "_Asked"], how: _How
) -> dict[str, Any]:
    """Call a function for each curve, by all cores where that takes long."""
    alone = all(one.base is None for one in asked.values())
    what = f"fitting {words.counted(len(asked), 'curve')}"
    what += ", each alone" if alone else " by what they share"
    calls = dict(
        zip(asked, call_each(function, list(asked.values()), what, worth=WORTH), strict=True)
    )
    how.failed.update((name, one.failure) for name, one in calls.items() if one.failure)
    if all(one.failure for one in calls.values()):
        raise RunsError(f"no curve can be fitted: {next(iter(how.failed.values()))}")
    return {name: one.value for name, one in calls.items() if not one.failure}


@dataclass(frozen=True)
class _Asked:
    """One curve to sample."""

    spec: ModelSpec
    points: Points
    weight: np.ndarray
    base: Base | None
    effort: Effort
    stream: tuple[int, int]
    drawing: tuple[int, int, int]

    @property
    def target(self) -> Target:
        """Density of its coordinates."""
        return Target(self.spec, self.points, self.weight, self.base)


def _sampled(one: _Asked) -> Sample:
    """Sample one curve, wherever."""
    rng = np.random.default_rng(one.stream)
    own = one.spec, one.points, one.weight, rng
    return sample_curve(*own, effort=one.effort, base=one.base)[1]


def _drawn(one: _Asked) -> tuple[np.ndarray, float, float]:
    """Sample one curve and draw with equal weights: on the line, with ESS and log evidence."""
    sample = _sampled(one)
    return _line(one.target, sample, one.drawing), sample.ess, sample.log_evidence


def _line(target: Target, sample: Sample, stream: tuple[int, int, int]) -> np.ndarray:
    """Draw places on the line with equal weights."""
    return target.line(sample.drawn(DRAWS, np.random.default_rng(stream)))


def _draws(samples: Mapping[str, tuple[Target, Sample]], how: _How) -> dict[str, Draws]:
    """Draw with equal weights."""
    found = {}
    for name, (target, sample) in samples.items():
        line = _line(target, sample, (how.seed, crc32(name.encode()), 1))
        found[name] = Draws(how.spec, target.reference, line, sample.ess)
    return found


def _pooled(draws: Sequence[Draws | None], share: np.ndarray) -> Draws:
    """Take its share of the draws of each reading."""
    number = np.round(np.cumsum(share) * DRAWS).astype(int)
    taken = np.diff(number, prepend=0)
    kept = [own for own in draws if own is not None]
    lines = [
        own.line[:most] for own, most in zip(draws, taken, strict=True) if own is not None and most
    ]
    ess = min(own.ess for own in kept)
    return Draws(kept[0].spec, kept[0].reference, np.concatenate(lines), ess)


@dataclass(frozen=True)
class _Trial:
    """How forecasts of the tops of curves fared, that were made without them.

    Parameters
    ----------
    scores : ndarray
        Log predictive density of the points held back, mean over them, (weightings, curves).
    ratios : ndarray
        How far each curve fell over how far was forecast, (weightings, curves); NaN where no fall
        beyond the noise was forecast, and for running bests.
    """

    scores: np.ndarray
    ratios: np.ndarray

    @classmethod
    def of(
        cls,
        points: Mapping[str, Points],
        weightings: Sequence[Weighting],
        how: _How,
    ) -> "_Trial":
        """Hold the tops of curves back, and forecast them."""
        some = _some(points, MOST_TESTED, how.seed)
        split = {name: without_top(own) for name, own in some.items()}
        parts = {name: both for name, both in split.items() if both is not None}
        scores, ratios = np.empty((2, len(weightings), len(parts)))
        if len(parts) < FEWEST_TESTED:
            return cls(scores[:, :0], ratios[:, :0])
        kept = {name: lower for name, (lower, _) in parts.items()}
        for row, weighting in enumerate(weightings):
            with step(f"testing forecasts of the tops of {len(parts)} curves"):
                draws = _fit_roughly(kept, weighting, how)
            for column, (name, (lower, upper)) in enumerate(parts.items()):
                if name in how.failed:
                    continue
                scores[row, column] = _score(draws[name], upper)
                fell = np.nan if points[name].bests else _ratio(draws[name], lower, upper)
                ratios[row, column] = fell
        known = [name not in how.failed for name in parts]
        return cls(scores[:, known], ratios[:, known])

    @property
    def tested(self) -> int:
        """Curves whose tops were forecast."""
        return self.scores.shape[1]

    @property
    def shares(self) -> np.ndarray:
        """Share of each weighting among the draws, by its scores; 0 where it is under 5%."""
        total = self.scores.sum(axis=1)
        share = np.exp(total - logsumexp(total))
        share = np.where(share < _FEW, 0.0, share)
        return share / share.sum()

    def log_fall(self, seed: int) -> tuple[float, float]:
        """Mean and sd of the log of the median ratio, by the weighting with the best scores."""
        own = self.ratios[int(self.scores.sum(axis=1).argmax())]
        own = own[np.isfinite(own)]
        if len(own) < FEWEST_TESTED:
            return 0.0, 0.0
        drawn = np.random.default_rng(seed).choice(own, (_RESAMPLES, len(own)))
        medians = np.log(np.maximum(np.median(drawn, axis=1), _LEAST_FALL))
        known = _FALL_SD**2 / (_FALL_SD**2 + medians.var())
        return float(known * medians.mean()), float(_FALL_SD * np.sqrt(1 - known))


def without_top(points: Points) -> tuple[Points, Points] | None:
    """Split a curve where its last third of a decade begins.

    Parameters
    ----------
    points : Points

    Returns
    -------
    lower, upper : Points
        None where less is left than a forecast needs.
    """
    kept = points.x <= points.x[-1] / 10**HELD_DECADES
    if kept.all() or not kept.any():
        return None
    lower, upper = points.where(kept), points.where(~kept)
    if lower.sizes < _SIZES or lower.decades < _DECADES:
        return None
    return lower, upper


def _score(draws: Draws, upper: Points) -> float:
    """Log predictive density of points, the mean over them."""
    scale = draws.scale(np.sqrt(upper.stderr**2 + upper.scatter(upper.log_loss)))
    off = (upper.log_loss - draws.log_loss(upper.x)) / scale
    nu = draws.sampled.get("nu", np.full(len(draws.line), 1e6))[:, None]
    log_density = student.logpdf(off, nu) - np.log(scale)
    return float((logsumexp(log_density, axis=0) - np.log(len(off))).mean())


def _ratio(draws: Draws, lower: Points, upper: Points) -> float:
    """How far a curve fell from the top of what was kept, over how far was forecast."""
    start = float(np.median(draws.log_loss(lower.x[-1:])))
    forecast = start - float(np.median(draws.log_loss(upper.x), axis=0).mean())
    noise = float(np.median(draws.sampled["sigma"]))
    return (start - float(upper.log_loss.mean())) / forecast if forecast > noise else np.nan
