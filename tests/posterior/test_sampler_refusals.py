"""What the sampler cannot start on is said in one sentence, with what to look for."""

import pytest

from bayescale.errors import FitError
from bayescale.posterior import sampling


def test_a_trace_of_the_sampler_is_no_part_of_the_sentence(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("All initialization points failed\n\nStack backtrace:\n   0: <unknown>")

    monkeypatch.setattr(sampling, "_for_nutpie", lambda target: None)
    monkeypatch.setattr(sampling.nutpie, "sample", fail)
    with pytest.raises(FitError, match=r"points failed; look for numbers far too large") as said:
        sampling.sample(None, {"draws": 10})
    assert "\n" not in str(said.value)
