r"""What shape a single-axis curve has: a power law, something else, or too little to say.

The families of `families` are weighed by their evidence; rises, flatness and steepening are read
off draws of the reference model of `reference`, which knows no law. One ordered rule turns both
into a label.

What is seen, of simulated curves (``benchmarks/curve_shapes.py``): a break that flattens looks like
an offset: of 8, 12 and 20 points 55, 89 and 94% of those 0.1 to 0.3 wide in log x are seen, 25, 52
and 69% of wider ones (to 0.6). Noise with autocorrelation 0.5 costs false alarms, up to 2.5% at 20
points. Which of three laws replaces a power law that bends down is uncertain at 8 points; that one
does is not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr
from scipy.special import expit, logit, logsumexp

from bayescale import words
from bayescale.arguments import typed
from bayescale.curves.bumps import Bump, find_bump
from bayescale.curves.evidence import (
    FAMILIES,
    PURE_INCREASING,
    Curve,
    Evidence,
    FamilyDraws,
    Target,
    evidence,
)
from bayescale.curves.importance import climb
from bayescale.curves.mixture import CurvePosterior, LawDraws
from bayescale.curves.points import Metric, Points, Values, log_losses
from bayescale.curves.posterior import Draws, require_curve_model
from bayescale.curves.reference import reference
from bayescale.curves.rule import FALLS, Facts, Shape, judge
from bayescale.curves.together import DRAWS, TOP, fit_together
from bayescale.display import Bold, Part, Shown
from bayescale.draws import numbers
from bayescale.errors import RunsError
from bayescale.modelling.spec import load_model
from bayescale.runs.check import Check, Status

MODEL = "plateau-power-law"
"""Model whose law describes curves that fall, unless another is named."""

FLOORLESS = 0.2
"""Prior probability that a curve that is fitted alone has no irreducible loss."""

_LEAST_ESS = 50.0  # effective draws below which a message says so
_REFERENCES = 300  # draws of the curve without a law

FEWEST = 3
"""Fewest different x of a curve."""

_PRECISE = 0.002  # noise of log loss below which the reference model expects less of it
_REFITS = 199
_FALLEN = 0.2  # of the way to the floor, after which no curve is near chance
_EXACT = 5e-4  # residuals of log loss below which their smoothness says nothing


@dataclass(frozen=True, repr=False)
class CurveShape(Shown):
    """Shape of one curve.

    Parameters
    ----------
    label : Shape
    message : str
        Why, in one sentence.
    points : Points
        What was judged, after thinning.
    probabilities : mapping of str to float
        Posterior probability of each family: power_law, exponential, broken, saturated_guess,
        inverse, flat.
    log_evidence : mapping of str to float
        Log marginal likelihood of each family, and of pure_power_law, one without offset.
    p_up, p_down : float
        Probability of a rise, of a fall of the loss above noise anywhere.
    p_up_top : float
        Probability that the loss rises over the upper third of the log range.
    p_worse : float
        Probability that the loss ends above where it began.
    p_flat, p_steep : float
        Probability that nothing changes beyond noise; that the curve steepens.
    slope : mapping of str to float
        Mean slope d log loss / d log x over the upper third, of the posterior, or without one of
        the reference: median, q05, q95.
    durbin_watson_p : float
        Probability of residuals as smooth as these if the power law holds, by refits to simulated
        curves. Low: misfit, or noise that is itself correlated. NaN where all residuals are below
        0.05%: they are of rounding and of the priors.
    draws : xarray.Dataset
        Dims (chain, draw, x): ``reference``, the curve without a law, in the metric's own units.
    posterior : CurvePosterior or None
        Draws of the laws that explain the curve; None for one that falls and rises.
    metric : Metric
        What the losses are of.
    chance : float, optional
        Level of guessing, in the metric's units.
    bump : Bump, optional
        Of adjacent points of a dense curve, before thinning.
    """

    label: Shape
    message: str
    points: Points
    probabilities: Mapping[str, float]
    log_evidence: Mapping[str, float]
    p_up: float
    p_down: float
    p_up_top: float
    p_worse: float
    p_flat: float
    p_steep: float
    slope: Mapping[str, float]
    durbin_watson_p: float
    draws: xr.Dataset
    posterior: CurvePosterior | None
    metric: Metric = Metric.LOSS
    chance: float | None = None
    bump: Bump | None = None

    def _parts(self) -> Iterator[Part]:
        yield Bold(words.spaced(self.label))
        yield f"{self.message}."

    @property
    def regimes(self) -> xr.Dataset | None:
        """Ends of the regimes near chance and irreducible, in units of x; None without a law.

        See `CurvePosterior.regimes`. The points far from the top say little about the law's own
        plateau: without a level of chance that regime ends at the latest where the curve without a
        law has fallen a fifth of the way.
        """
        if self.posterior is None or self.metric is Metric.GROWING:
            return None
        chance = chance_level(self.chance, self.metric is Metric.SHARE)
        regimes = self.posterior.regimes(chance)
        if chance is not None:
            return regimes
        until = regimes["near_chance_until"]
        x, middle = self.draws["x"].to_numpy(), self.draws["reference"].median(("chain", "draw"))
        left = np.abs(middle.to_numpy() - self.metric.of_loss(np.median(self.posterior.floor)))
        start = np.maximum.accumulate(left)
        last = x[np.logical_and.accumulate(left > (1 - _FALLEN) * start).sum() - 1]
        return regimes.assign(near_chance_until=until.where(last > x[0]).clip(max=last))

    def log_bayes_factor(self, family: str) -> float:
        """Log evidence of a family less that of the power law.

        Parameters
        ----------
        family : str
            One of `log_evidence`.

        Returns
        -------
        float
        """
        return self.log_evidence[family] - self.log_evidence["power_law"]


@typed
def classify_curve(
    x: Values,
    y: Values,
    *,
    stderr: Values | None = None,
    trials: Values | float | None = None,
    higher_is_better: bool = False,
    chance: float | None = None,
    seed: int = 1,
) -> CurveShape:
    r"""Say what shape a curve has, with probabilities.

    The first of these that holds, where BF is a log Bayes factor against the power law:

    0. of more than 20 sizes, a run of adjacent ones lies above a smooth curve (in 2% of curves
       without one) by over 1%, and the loss rises into it (P > 0.9): non_monotone;
    1. stays within noise (P > 0.5; not of 3 sizes without known errors): saturated, unless the
       noise could hide a factor of 2, then insufficient_range;
    2. rises above noise (P > 0.9) or over the upper third (P > 0.95): non_monotone if it falls
       above noise as well (P > 0.5), else inverse;
    3. under half a decade, or under 6 sizes: insufficient_range;
    4. an exponential, a plateau at chance or a broken law is twice as probable as the power law,
       or the curve steepens (P > 0.95): the first of them within 1 of the best BF, if BF > 0;
    5. reducible share at the top below 6% (q95): saturated;
    6. posterior sd of log alpha above 0.5: insufficient_range;
    7. BF > -2 of the exponential: exponential_indistinguishable;
    8. power_law.

    Known standard errors count as noise, at the points compared, and let few sizes show a trend. A
    curve that ends above or below where it began with P > 0.975 does not stay within noise by 1. By
    2 it rises if it ends above; a rise over the upper third counts only with 6 sizes and a fall; a
    rise without a fall is inverse only if it ends above, else non_monotone.

    Parameters
    ----------
    x, y : array-like
        Axis (parameters, tokens, FLOPs, ...) and metric.
    stderr : array-like, optional
        Standard error of each y, as of a finite test set.
    trials : array-like or float, optional
        Number of binary trials behind each y; beside `stderr`, for values of exactly 0 or 1 only.
        Without it an error of exactly 0 counts as half of one in the fewest trials that can give
        the other values, and the message says so.
    higher_is_better : bool, optional
        The metric is a share between 0 and 1 like accuracy; its error, 1 - y, is judged.
    chance : float, optional
        Level of guessing, in the metric's units.
    seed : int, optional

    Returns
    -------
    CurveShape

    Raises
    ------
    RunsError
        If a value cannot be used, or there are fewer than 3 different x.
    """
    measured = log_losses(x, y, stderr=stderr, trials=trials, higher_is_better=higher_is_better)
    metric = Metric.SHARE if higher_is_better else Metric.LOSS
    return classify_points(measured.points, metric=metric, chance=chance, seed=seed)


def classify_points(
    points: Points,
    *,
    metric: Metric = Metric.LOSS,
    chance: float | None = None,
    rough: bool = False,
    seed: int = 1,
) -> CurveShape:
    """Classify points of log loss by the rule of `classify_curve`.

    The other parameters and errors are as in `classify_curve`.

    Parameters
    ----------
    points : Points
    metric : Metric, optional
    rough : bool, optional
        The label is all that is asked for: sample its law shortly.

    Returns
    -------
    CurveShape

    Raises
    ------
    RunsError
        If there are fewer than 3 different x.
    """
    judged = judge_points(points, metric=metric, chance=chance, seed=seed)
    spec = require_curve_model(load_model(MODEL))
    draws = None
    if judged.falls:
        alone = fit_together({"": points}, spec, floorless=FLOORLESS, rough=rough, seed=seed)
        draws = alone.draws[""]
    return judged.shape(draws, seed=seed)


@dataclass(frozen=True)
class Judged:
    """A curve that is labelled, before the law of its forecast is known.

    Parameters
    ----------
    facts : Facts
    metric : Metric
    chance : float or None
    durbin_watson_p : float
        As in `CurveShape`.
    """

    facts: Facts
    metric: Metric
    chance: float | None
    durbin_watson_p: float

    @cached_property
    def label(self) -> Shape:
        """Label by the evidence alone."""
        return judge(self.facts)[0]

    @property
    def falls(self) -> bool:
        """Whether a falling law may describe it."""
        return str(self.label) in FALLS

    @property
    def stays(self) -> bool:
        """Whether it is flat, and not at chance, from where curves fall sooner or later."""
        facts = self.facts
        return self.label == Shape.SATURATED and facts.is_flat and not facts.at_chance

    def shape(
        self,
        law: Draws | None,
        *,
        log_fall: tuple[float, float] = (0.0, 0.0),
        whole: float = 0.0,
        alone: bool = False,
        seed: int = 1,
    ) -> CurveShape:
        """Say its shape, and all that follows from the draws of its laws.

        Parameters
        ----------
        law : Draws or None
            Of the law of the model; None where the curve does not fall.
        log_fall : tuple of float, optional
            Mean and sd of the log of how far curves fall beyond their points over how far the law
            says.
        whole : float, optional
            Share of the draws of the law in which every point counts in full.
        alone : bool, optional
            No other law has a say.
        seed : int, optional

        Returns
        -------
        CurveShape
        """
        facts = self.facts
        posterior = self._posterior(self.label, law, log_fall, whole, alone, seed)
        label, reason = judge(replace(facts, posterior=posterior if self.falls else None))
        if label in _CONTESTED and self.label not in _CONTESTED:  # the law itself spoke against it
            posterior = self._posterior(label, law, log_fall, whole, alone, seed)
        # one that the curve does not rise into changes no label
        beside = [str(facts.bump)] if facts.bump and not facts.bump.rises else []
        if law is not None and law.ess < _LEAST_ESS:
            beside.append(f"only {law.ess:.0f} effective draws: intervals are rough")
        drawn = facts.drawn
        x = np.exp(drawn.z - drawn.z[0]) * facts.points.x[0]
        reference = self.metric.of_loss(np.exp(drawn.f + facts.level))
        return CurveShape(
            label,
            "; ".join((reason, *beside, *facts.points.notes)),
            facts.points,
            facts.probabilities,
            {name: one.log_evidence for name, one in facts.found.items()},
            p_up=drawn.p_up(),
            p_down=drawn.p_down(),
            p_up_top=drawn.p_up_top(),
            p_worse=drawn.p_worse(),
            p_flat=drawn.p_flat(),
            p_steep=drawn.p_steep(),
            slope=_slope(facts, posterior),
            durbin_watson_p=self.durbin_watson_p,
            draws=xr.Dataset({"reference": (("chain", "draw", "x"), reference[None])}, {"x": x}),
            posterior=posterior,
            metric=self.metric,
            chance=self.chance,
            bump=facts.bump,
        )

    def _posterior(
        self,
        label: Shape,
        law: Draws | None,
        log_fall: tuple[float, float],
        whole: float,
        alone: bool,
        seed: int,
    ) -> CurvePosterior | None:
        """Pool the laws that explain the curve; None where no law does."""
        rng = np.random.default_rng([seed, 1])
        parts: dict[str, LawDraws]
        if law is None and label == Shape.INVERSE:
            parts = self._rising(rng)
            log_fall = (0.0, 0.0)  # learned of curves that fall
        elif law is None:
            return None
        elif label in _CONTESTED and not alone:
            parts = self._average(law, rng)
        else:
            parts = {law.spec.law.name: law}
        number = sum(map(len, parts.values()))
        fall = log_fall[0] + log_fall[1] * rng.standard_normal(number)
        of_model = 0 if law is None else len(parts.get(law.spec.law.name, ())) / number
        return CurvePosterior(self.facts.points, parts, fall, 1 - (1 - whole) * of_model)

    def _rising(self, rng: np.random.Generator) -> dict[str, LawDraws]:
        """Let a curve that rises have no irreducible loss as often as is probable, as others do."""
        some, pure = self.facts.found["inverse"], evidence(PURE_INCREASING, self.facts.curve, rng)
        odds = logit(FLOORLESS) + pure.log_evidence - some.log_evidence
        without = round(DRAWS * float(expit(odds)))
        number = ((some, DRAWS - without), (pure, without))
        return {own.family.name: self._drawn(own, many, rng) for own, many in number if many}

    def _average(self, law: Draws, rng: np.random.Generator) -> dict[str, LawDraws]:
        """Draw each law that falls as often as it is probable.

        Probable by evidence that counts the points as many as the forecast does: two laws that fit
        about equally well inside the range must both be heard beyond it.
        """
        names = (*_OF_MODEL, *_RIVALS)
        tempered = min(1.0, TOP.cap / len(self.facts.points.x))
        log = np.array(
            [_PRIOR[name] + tempered * self.facts.found[name].log_evidence for name in names]
        )
        share = dict(zip(names, np.exp(log - logsumexp(log)), strict=True))
        number = {name: round(len(law) * share[name]) for name in _RIVALS}
        parts: dict[str, LawDraws] = {
            name: self._drawn(self.facts.found[name], many, rng)
            for name, many in number.items()
            if many
        }
        left = len(law) - sum(number.values())
        return {law.spec.law.name: law.some(left), **parts} if left > 0 else parts

    def _drawn(self, found: Evidence, number: int, rng: np.random.Generator) -> FamilyDraws:
        facts, theta = self.facts, found.theta
        log_x = np.log(facts.points.x)
        return FamilyDraws(
            found.family,
            theta[rng.integers(0, len(theta), number)],
            (log_x[0] + log_x[-1]) / 2,
            facts.curve.half,
            facts.level,
        )


def judge_points(
    points: Points, *, metric: Metric = Metric.LOSS, chance: float | None = None, seed: int = 1
) -> Judged:
    """Weigh families of laws, and draw the curve without one.

    The other parameters and errors are as in `classify_curve`.

    Parameters
    ----------
    points : Points
    metric : Metric, optional

    Returns
    -------
    Judged
    """
    if points.sizes < FEWEST:
        raise RunsError(f"{points.sizes} different x make no curve: at least {FEWEST} are needed")
    chance_loss = chance_level(chance, metric is Metric.SHARE)
    curve, level = _curve(points)
    rng = np.random.default_rng(seed)
    found = {family.name: evidence(family, curve, rng) for family in FAMILIES}
    precise = float(np.median(np.exp(found["power_law"].draws("log_sigma")))) < _PRECISE
    drawn = reference(curve, rng, draws=_REFERENCES, precise=precise)
    bump = None if points.raw is None else find_bump(points.raw)
    facts = Facts(points, curve, level, found, drawn, chance_loss, bump=bump)
    smooth = _durbin_watson_p(found["power_law"], curve, rng)
    return Judged(facts, metric, chance, smooth)


def _slope(facts: Facts, posterior: CurvePosterior | None) -> Mapping[str, float]:
    """Mean slope over the upper third, of the laws or, without one, of the reference."""
    if posterior is None:
        slope = facts.drawn.thirds[:, 2]
    else:
        length = np.log(posterior.top / facts.points.x[0]) / 3
        ends = posterior.log_loss(posterior.top * np.exp([-length, 0.0]))
        slope = (ends[:, 1] - ends[:, 0]) / length
    return numbers(xr.DataArray(slope[None], dims=("chain", "draw")))


@typed
def shape_check(
    x: Values,
    y: Values,
    *,
    axis: str = "x",
    stderr: Values | None = None,
    trials: Values | float | None = None,
    higher_is_better: bool = False,
    chance: float | None = None,
    seed: int = 1,
) -> Check:
    """Check whether a curve may be extrapolated as a power law.

    The other parameters and errors are as in `classify_curve`.

    Parameters
    ----------
    axis : str, optional
        Name of x.

    Returns
    -------
    Check
        PASS for power_law and exponential_indistinguishable, REVIEW for saturated and
        insufficient_range, else FAIL. An ordered rule decides, no single number: statistic and
        threshold are NaN; `detail` is the `CurveShape`.
    """
    measured = log_losses(x, y, stderr=stderr, trials=trials, higher_is_better=higher_is_better)
    metric = Metric.SHARE if higher_is_better else Metric.LOSS
    shape = classify_points(measured.points, metric=metric, chance=chance, rough=True, seed=seed)
    status, advice = _VERDICTS[shape.label]
    message = f"{shape.label}: {shape.message}"
    return Check(f"shape along {axis}", status, message, advice, detail=shape, along=axis)


_CONTESTED = (Shape.EXPONENTIAL, Shape.EXPONENTIAL_INDISTINGUISHABLE, Shape.BROKEN)
"""Labels of curves on which other laws than the model's have a say."""

_OF_MODEL = ("power_law", "saturated_guess", "flat")  # families that the model's law holds
_RIVALS = ("exponential", "broken")
_PRIOR = {family.name: np.log(family.probability) for family in FAMILIES if family.probability}

_VERDICTS = {
    Shape.POWER_LAW: (Status.PASS, ""),
    Shape.EXPONENTIAL_INDISTINGUISHABLE: (
        Status.PASS,
        "Widen the range before extrapolating far: the two laws part beyond it.",
    ),
    Shape.SATURATED: (Status.REVIEW, "Do not read an exponent off it: nothing reducible is left."),
    Shape.INSUFFICIENT_RANGE: (Status.REVIEW, "Add sizes until x spans a decade or more."),
    Shape.BROKEN: (Status.FAIL, "Fit only the part after the break, or a law with a break."),
    Shape.EXPONENTIAL: (Status.FAIL, "A power law would predict too slow a fall: do not use one."),
    Shape.SATURATED_GUESS: (
        Status.FAIL,
        "Leave out the sizes near chance, or fit a law with a plateau.",
    ),
    Shape.INVERSE: (Status.FAIL, "It gets worse with scale: do not extrapolate an improvement."),
    Shape.NON_MONOTONE: (Status.FAIL, "Find the cause of the rise: no falling law describes it."),
}


def _curve(points: Points) -> tuple[Curve, float]:
    """Centre log x in its range and log loss at its mean; the mean is returned as well."""
    log_x = np.log(points.x)
    level = float(points.log_loss.mean())
    z = log_x - (log_x[0] + log_x[-1]) / 2
    return Curve(z, points.log_loss - level, points.stderr**2), level


def chance_level(chance: float | None, higher_is_better: bool) -> float | None:
    """Loss of guessing.

    Parameters
    ----------
    chance : float or None
        Level of guessing in units of the metric.
    higher_is_better : bool
        Whether the metric is one minus the loss.

    Returns
    -------
    float or None
        None if no level is given.

    Raises
    ------
    RunsError
        If it cannot be one: not positive; where higher is better, negative or not below 1.
    """
    if chance is None:
        return None
    loss = 1 - chance if higher_is_better else chance
    if not 0 < loss < np.inf or (higher_is_better and loss > 1):
        limits = "at least 0 and below 1" if higher_is_better else "positive and finite"
        raise RunsError(f"a chance level of {chance:g} cannot be: it must be {limits}")
    return loss


def _durbin_watson_p(power_law: Evidence, curve: Curve, rng: np.random.Generator) -> float:
    """Share of curves simulated from the power law whose refitted residuals are as smooth."""
    fitted = Target(power_law.family, curve)
    mode = (power_law.mode - fitted.mean) / fitted.sd
    if np.abs(curve.y - fitted.mu(mode)).max() < _EXACT:
        return float("nan")
    sd = np.sqrt(fitted.variance(mode))
    simulated = fitted.mu(mode) + sd * rng.standard_normal((_REFITS, len(curve.z)))
    again = Target(power_law.family, curve, simulated)
    refits, _ = climb(again, np.tile(mode, (_REFITS, 1)))
    own = _durbin_watson((curve.y - fitted.mu(mode)) / sd)
    others = _durbin_watson((simulated - again.mu(refits)) / np.sqrt(again.variance(refits)))
    return float((1 + (others <= own).sum()) / (_REFITS + 1))


def _durbin_watson(residual: np.ndarray) -> np.ndarray:
    return (np.diff(residual, axis=-1) ** 2).sum(-1) / (residual**2).sum(-1)
