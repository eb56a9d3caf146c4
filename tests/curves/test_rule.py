"""The rule on stubbed facts."""

from types import SimpleNamespace

import numpy as np
import pytest

from bayescale.curves.rule import judge


def facts(factors, *, steep=0.0, p_up=0.0, p_down=1.0, known=False, trend=0, alpha_sd=0.1):
    """Facts of a curve of eight sizes over two decades that falls, unless something is said."""
    names = ("exponential", "saturated_guess", "broken")
    drawn = SimpleNamespace(
        p_steep=lambda: steep,
        p_up=lambda: p_up,
        p_up_top=lambda: 0.0,
        p_down=lambda: p_down,
        p_worse=lambda: 0.1,
    )
    prior = dict(zip(names, (0.08, 0.08, 0.12), strict=True)) | {"power_law": 0.6}
    weight = {n: p * np.exp(dict(factors).get(n, 0.0)) for n, p in prior.items()}
    alphas = np.exp(np.array([-alpha_sd, alpha_sd]) - 1)
    return SimpleNamespace(
        bayes_factors={name: factors[name] for name in names},
        probabilities={name: w / sum(weight.values()) for name, w in weight.items()},
        drawn=drawn,
        posterior=None,
        bump=None,
        is_flat=False,
        rises=p_up > 0.9,
        trend=trend,
        points=SimpleNamespace(sizes=8, decades=2.0, known=known),
        top_share=np.full(3, 0.5),
        found={"power_law": SimpleNamespace(draws=lambda name: np.log(alphas))},
    )


@pytest.mark.parametrize(
    ("factors", "steep", "label"),
    [
        # the exponential is within 1 of the best, and worse than the power law
        ((-0.3, -3.0, 0.5), 0.99, "broken"),
        ((0.1, -3.0, 0.5), 0.99, "exponential"),
        ((0.1, -3.0, 0.5), 0.5, "exponential_indistinguishable"),
        ((-3.0, -3.0, -0.5), 0.99, "power_law"),
        ((-3.0, -3.0, 2.6), 0.5, "broken"),
    ],
)
def test_what_replaces_the_power_law_explains_the_curve_better(factors, steep, label):
    names = ("exponential", "saturated_guess", "broken")
    found, reason = judge(facts(dict(zip(names, factors, strict=True)), steep=steep))
    assert found == label
    if "explains it better" in reason:
        assert "factor +" in reason


@pytest.mark.parametrize(
    ("p_down", "known", "trend", "label", "words"),
    [
        (0.1, False, 0, "inverse", "gets worse with scale"),
        (0.1, True, 1, "inverse", "gets worse with scale"),
        (0.1, True, 0, "non_monotone", "rises without ending clearly worse"),
        (0.9, False, 0, "non_monotone", "falls and rises"),
        (0.9, True, 1, "non_monotone", "falls and rises"),
    ],
)
def test_a_rise_is_called_by_what_is_known_of_the_fall(p_down, known, trend, label, words):
    none = dict.fromkeys(("exponential", "saturated_guess", "broken"), -5.0)
    found, reason = judge(facts(none, p_up=0.99, p_down=p_down, known=known, trend=trend))
    assert (found, reason.startswith(words)) == (label, True)
