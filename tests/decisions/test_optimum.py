"""Sentences about the best value of a knob."""

import pytest

from bayescale.decisions.optimum import _knob_sentences
from bayescale.laws import LOSS


@pytest.mark.parametrize(
    ("logged", "best", "ends", "said"),
    [
        (False, -1.4, [-1.0, 1.0], "-1.0"),
        (False, 0.3, [0.0, 1.0], "0"),
        (False, 1.2, [0.0, 1.0], "1.0"),
        (True, 1e-4, [1e-3, 1e-2], "0.0010"),
    ],
)
def test_runs_are_asked_for_at_the_end_that_is_nearer(logged, best, ends, said):
    def number(value):
        return {"median": value, "q05": value, "q95": value}

    entry = {"over": "shift", "best": number(best), "seen": ends, "loss": number(2.0)}
    _, sentence = _knob_sentences({**entry, "at": {}, "at_end": 0.9}, LOSS, logged=logged)
    assert f"Add runs at shift beyond {said}" in sentence
