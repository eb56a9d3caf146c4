"""The ordered rule that turns evidence and draws of a curve into a label and its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from bayescale import words
from bayescale.curves.bumps import Bump
from bayescale.curves.evidence import FAMILIES, Curve, Evidence
from bayescale.curves.mixture import CurvePosterior
from bayescale.curves.points import Points
from bayescale.curves.reference import Reference

OTHERS = ("exponential", "saturated_guess", "broken")
"""Families that may replace the power law, in the order in which near ties go."""

_FEWEST, _RANGE = 6, 0.5  # sizes; decades
_TIMES = 2.0  # as probable as the power law must be what replaces it
_LITTLE = 0.06  # reducible share below which nothing is left to gain
_HIDDEN = np.log(2)  # a change that noise must not hide where nothing changes
_CERTAIN = 0.975  # probability of a trend under known standard errors
_WORDS = {
    "exponential": "an exponential",
    "saturated_guess": "a plateau first",
    "broken": "a law with a break",
}


FALLS = (
    "power_law",
    "saturated",
    "exponential",
    "exponential_indistinguishable",
    "broken",
    "saturated_guess",
    "insufficient_range",
)
"""Labels of curves that laws of a falling loss may describe."""


class Shape(StrEnum):
    """Labels of single-axis curves."""

    POWER_LAW = "power_law"
    """Power law with an irreducible part."""
    SATURATED = "saturated"
    """No improvement left: at the irreducible loss, or at chance."""
    EXPONENTIAL = "exponential"
    """Falls exponentially in x, to a floor."""
    EXPONENTIAL_INDISTINGUISHABLE = "exponential_indistinguishable"
    """A power law fits, and so does an exponential: extrapolations differ."""
    BROKEN = "broken"
    """The exponent changes."""
    SATURATED_GUESS = "saturated_guess"
    """Leaves a plateau, such as chance, then falls."""
    INVERSE = "inverse"
    """Gets worse with scale."""
    NON_MONOTONE = "non_monotone"
    """Falls and rises."""
    INSUFFICIENT_RANGE = "insufficient_range"
    """Too few sizes, too short a range, or too much noise to say."""


@dataclass(frozen=True)
class Facts:
    """What the rule reads.

    Parameters
    ----------
    points : Points
    curve : Curve
        The points, centred.
    level : float
        Mean log loss, what was taken off.
    found : mapping of str to Evidence
        By name of the family.
    drawn : Reference
    chance_loss : float, optional
        Loss of guessing.
    posterior : CurvePosterior, optional
        Of a curve that falls, once it is known: what says exponents, and what no label may
        contradict.
    bump : Bump, optional
        Of a dense curve, hidden by thinning.
    """

    points: Points
    curve: Curve
    level: float
    found: Mapping[str, Evidence]
    drawn: Reference
    chance_loss: float | None = None
    posterior: CurvePosterior | None = None
    bump: Bump | None = None

    @cached_property
    def bayes_factors(self) -> dict[str, float]:
        """Log Bayes factors against the power law."""
        base = self.found["power_law"].log_evidence
        return {name: self.found[name].log_evidence - base for name in OTHERS}

    @cached_property
    def probabilities(self) -> dict[str, float]:
        """Posterior probability of each family that has a prior one."""
        prior = {f.name: f.probability for f in FAMILIES if f.probability}
        log = np.array([self.found[name].log_evidence + np.log(p) for name, p in prior.items()])
        return dict(zip(prior, np.exp(log - logsumexp(log)).tolist(), strict=True))

    @cached_property
    def top_share(self) -> np.ndarray:
        """Draws of the reducible share at the largest x under the power law."""
        one = self.found["power_law"]
        end = self.curve.z[-1:]
        return one.family.reducible_share(one.theta, end, self.curve.half)[:, 0]

    @property
    def trend(self) -> int:
        """1 if known standard errors show that the loss rises from end to end, -1 if it falls."""
        worse = self.drawn.p_worse()
        if not self.points.known or 1 - _CERTAIN <= worse <= _CERTAIN:
            return 0
        return 1 if worse > _CERTAIN else -1

    @property
    def is_flat(self) -> bool:
        """Whether nothing changes beyond noise."""
        return self.drawn.p_flat() > 0.5 and self.trend == 0

    @property
    def at_chance(self) -> bool:
        """Whether the mean of the curve is at the level of guessing."""
        if self.chance_loss is None:
            return False
        middle = self.drawn.f.mean(axis=1) + self.level
        off = abs(middle.mean() - np.log(self.chance_loss))
        return bool(off < max(0.02, 2 * float(middle.std())))

    @property
    def rises(self) -> bool:
        """Whether the loss rises above noise, or at the top, or from end to end."""
        up, top = self.drawn.p_up() > 0.9, self.drawn.p_up_top() > 0.95
        if not self.points.known:
            return up or top
        # a third of the range is the step between two points where there are few
        top = top and self.points.sizes >= _FEWEST and self.drawn.p_down() > 0.5
        return up or top or self.trend > 0


def judge(facts: Facts) -> tuple[Shape, str]:
    """Label a curve by the first rule that matches, as `classify_curve` states them.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    label : Shape
    reason : str
        Why, in numbers.
    """
    for rule in (_bumped, _flat, _rising, _short, _other_law, _saturated, _vague, _ambiguous):
        answer = rule(facts)
        if answer is not None:
            return answer
    return Shape.POWER_LAW, _exponent(facts) + _against(facts)


_Answer = tuple[Shape, str] | None


def _bumped(facts: Facts) -> _Answer:
    if facts.bump is None or not facts.bump.rises:
        return None
    return Shape.NON_MONOTONE, f"falls and rises: {facts.bump}"


def _flat(facts: Facts) -> _Answer:
    if not facts.is_flat or (facts.points.sizes < 4 and not facts.points.known):
        return None
    span = float(np.quantile(np.ptp(facts.drawn.f, axis=1), 0.95))
    if span > _HIDDEN:
        return Shape.INSUFFICIENT_RANGE, (
            f"the noise could hide a change by a factor of {words.significant(np.exp(span), 2)}"
        )
    change = f"no change beyond noise, less than {np.expm1(span):.1%} in all (95% sure)"
    if facts.at_chance:
        return Shape.SATURATED, f"random guess: at the chance level, {change}"
    return Shape.SATURATED, f"flat: {change}"


def _rising(facts: Facts) -> _Answer:
    if not facts.rises:
        return None
    drawn, worse = facts.drawn, facts.drawn.p_worse()
    chances = (
        f"P(rise) {words.chance(drawn.p_up())}, "
        f"P(rise at the top) {words.chance(drawn.p_up_top())}, "
        f"P(fall) {words.chance(drawn.p_down())}, P(ends worse) {words.chance(worse)}"
    )
    if drawn.p_down() <= 0.5 and (facts.trend > 0 or not facts.points.known):
        return Shape.INVERSE, f"gets worse with scale: {chances}"
    if drawn.p_down() <= 0.5:  # known errors leave open whether it ends worse
        return Shape.NON_MONOTONE, f"rises without ending clearly worse than it began: {chances}"
    end = "worse" if worse > 0.5 else "better"
    return Shape.NON_MONOTONE, f"falls and rises, ends {end} than it began: {chances}"


def _short(facts: Facts) -> _Answer:
    if facts.points.sizes >= _FEWEST and facts.points.decades >= _RANGE:
        return None
    lack = (
        f"{facts.points.sizes} sizes are too few to tell laws apart"
        if facts.points.sizes < _FEWEST
        else f"{facts.points.decades:.2f} decades are too short a range to tell laws apart"
    )
    return Shape.INSUFFICIENT_RANGE, f"{lack}; {_better(facts)}"


def _other_law(facts: Facts) -> _Answer:
    factors, steep = facts.bayes_factors, facts.drawn.p_steep()
    best = max(factors.values())
    bar = _TIMES * facts.probabilities["power_law"]
    likelier = [name for name in OTHERS if facts.probabilities[name] > bar]
    eligible = OTHERS if best > 0 and steep > 0.95 else likelier
    # near ties go to the simpler law, if it explains the curve better at all
    name = next((name for name in eligible if factors[name] > max(0, best - 1)), None)
    if name is None:
        return None
    steepens = f", P(steepens) {words.chance(steep)}" if steep > 0.5 else ""
    rest = ", ".join(f"{_WORDS[other]} {factors[other]:+.1f}" for other in OTHERS if other != name)
    return Shape(name), (
        f"{_WORDS[name]} explains it better than a power law, log Bayes factor "
        f"{factors[name]:+.1f}{steepens} ({rest})"
    )


def _saturated(facts: Facts) -> _Answer:
    high = float(np.quantile(facts.top_share, 0.95))
    if high >= _LITTLE or (facts.posterior and _still_falls(facts.posterior)):
        return None
    return Shape.SATURATED, (
        f"irreducible: at most {high:.1%} of the loss at the largest x is reducible (95% sure)"
    )


def _still_falls(posterior: CurvePosterior) -> bool:
    """Whether more than a little of the loss at the largest x is reducible, by the forecast."""
    top = np.exp(posterior.log_loss(posterior.points.x[-1:]))[:, 0]
    return bool(np.median(1 - posterior.floor / top) > _LITTLE)


def _vague(facts: Facts) -> _Answer:
    spread = float(facts.found["power_law"].draws("log_alpha").std())
    if spread <= 0.5:
        return None
    return Shape.INSUFFICIENT_RANGE, (
        f"the exponent is hardly narrower than its prior, sd of log alpha {spread:.2f} against "
        f"0.70; {_better(facts)}"
    )


def _ambiguous(facts: Facts) -> _Answer:
    factor = facts.bayes_factors["exponential"]
    if factor <= -2:
        return None
    return Shape.EXPONENTIAL_INDISTINGUISHABLE, (
        f"{_exponent(facts)}; an exponential fits nearly as well, log Bayes factor {factor:+.1f}"
    )


def _better(facts: Facts) -> str:
    return (
        f"it ends better than it began with probability {words.chance(1 - facts.drawn.p_worse())}"
    )


def _exponent(facts: Facts) -> str:
    return "power law" if facts.posterior is None else exponent_of(facts.posterior)


def exponent_of(posterior: CurvePosterior) -> str:
    """Write what a reason says of the exponent, before why the curve is a power law.

    Parameters
    ----------
    posterior : CurvePosterior

    Returns
    -------
    str
    """
    sign = words.significant
    low, middle, high = np.nanquantile(posterior.exponent, (0.05, 0.5, 0.95))
    return f"power law, exponent {sign(middle)} [{sign(low)}, {sign(high)}]"


def _against(facts: Facts) -> str:
    name = max(facts.bayes_factors, key=facts.bayes_factors.__getitem__)
    factor = facts.bayes_factors[name]
    little = ", too little to prefer it" if factor > 0 else ""
    return f"; next is {_WORDS[name]}, log Bayes factor {factor:+.1f}{little}"
