"""Laws from a loss to an accuracy: both ends, the formulas of the papers, their coordinates."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescale import Runs, constants_fit
from bayescale.decisions.predictions import largest_run
from bayescale.errors import ModelError
from bayescale.evaluation.ahead import inputs_ahead, sizes_ahead
from bayescale.evaluation.folds import plan_cuts
from bayescale.laws import exponential_error, loss_to_accuracy
from bayescale.laws.task_accuracy import guessing

levels, chances = st.floats(-2.5, 2.0), st.floats(0.0, 0.75)
LINKS = {"k": st.floats(0.2, 60.0), "x0": st.floats(-20.0, 5.0), "luck": st.floats(0.1, 10.0)}
links = st.fixed_dictionaries(LINKS)


@given(natural=links, chance=chances)
def test_no_loss_is_an_accuracy_of_exactly_1(natural, chance):
    assert loss_to_accuracy(0.0, chance, **natural) == 1.0


@given(natural=links, chance=chances, loss=st.floats(0.01, 20.0))
def test_accuracy_falls_from_1_to_the_floor(natural, chance, loss):
    at, more = (loss_to_accuracy(x, chance, **natural) for x in (loss, 1.5 * loss))
    nothing = loss_to_accuracy(1e6, chance, **natural)
    assert 0 < nothing <= more <= at <= 1
    assert nothing == guessing(chance, natural["luck"])


def test_accuracy_is_the_sigmoid_of_the_paper():
    """Bhagia et al., a / (1 + exp(-k (L - L0))) + b, whose k is below 0."""
    loss, k, x0, chance = np.array([0.4, 0.8, 1.1]), 9.0, 0.8, 0.25
    floor = guessing(chance, 1.0)
    top = (1 - floor) * (1 + np.exp(-k * x0))
    paper = top / (1 + np.exp(k * (loss - x0))) + floor
    ours = loss_to_accuracy(loss, chance, k=k, x0=x0, luck=1.0)
    np.testing.assert_allclose(ours, paper, rtol=1e-13)
    assert floor == pytest.approx(chance, abs=0.002)


@given(level=levels, sharpness=st.floats(0.01, 10.0), loss=st.floats(0.3, 6.0))
def test_coordinates_are_what_runs_say_at_the_reference_loss(level, sharpness, loss):
    sampled = {"level": level, "sharpness": sharpness, "luck": 1.3}
    natural = loss_to_accuracy.to_natural(sampled, (loss, 0.25))
    floor = loss_to_accuracy(1e9, 0.25, **natural)
    known = (loss_to_accuracy(loss, 0.25, **natural) - floor) / (1 - floor)
    assert np.log(-np.log(known)) == pytest.approx(level, abs=1e-6)
    assert natural["k"] * loss == pytest.approx((1 + sharpness) * np.exp(level))


@given(level=levels, loss=st.floats(0.3, 6.0), at=st.floats(0.1, 8.0))
def test_without_sharpness_the_link_is_exponential(level, loss, at):
    sampled = {"level": level, "sharpness": 1e-9, "luck": 1.0}
    natural = loss_to_accuracy.to_natural(sampled, (loss, 0.25))
    floor = guessing(0.25, 1.0)
    expected = floor + (1 - floor) * np.exp(-np.exp(level) * at / loss)
    assert loss_to_accuracy(at, 0.25, **natural) == pytest.approx(expected, abs=1e-6)


def test_exponential_error_is_the_formula_of_the_paper():
    """Gadre et al., error = eps - k exp(-gamma L)."""
    natural, loss = {"eps": 0.85, "k": 2.0, "gamma": 0.75}, np.array([2.5, 3.0, 4.0])
    error = 0.85 - 2.0 * np.exp(-0.75 * loss)
    np.testing.assert_allclose(1 - exponential_error(loss, **natural), error, rtol=1e-14)
    assert exponential_error(0.1, **natural) == pytest.approx(1.0, abs=1e-8)
    assert exponential_error(0.1, **natural) < 1  # where the formula says 2.0


@given(level=levels, eps=st.floats(0.2, 0.95), decay=st.floats(0.2, 9.0), loss=st.floats(0.3, 6.0))
def test_level_is_the_share_of_the_error_that_is_gone(level, eps, decay, loss):
    natural = exponential_error.to_natural({"level": level, "eps": eps, "decay": decay}, (loss,))
    gone = 1 - (1 - exponential_error(loss, **natural)) / eps
    assert np.log(-np.log(gone)) == pytest.approx(level, abs=1e-6)
    assert 0 < exponential_error(2 * loss, **natural) < exponential_error(loss, **natural)


@pytest.fixture
def linked():
    """A link with runs of three losses, given in another order than that of their sizes."""
    table = pd.DataFrame({"run": ["a", "b", "c"], "bpb": [1.2, 0.8, 1.0], "accuracy": 0.5})
    own = constants_fit("loss-to-accuracy", k=9.0, x0=0.8, luck=1.0)
    return replace(own, runs=Runs(table.assign(chance=[0.2, 0.25, 0.3], trials=100.0), "known"))


def test_what_lies_ahead_of_a_link_is_less_loss(linked):
    assert linked.spec.law.worsens_along("bpb")
    assert not linked.spec.law.worsens_along("chance")
    assert sizes_ahead(linked) == (0.8, pytest.approx(0.64))
    asked = inputs_ahead(linked, [0.8, 0.64])
    assert asked["bpb"].values.tolist() == [0.8, 0.64]
    assert float(asked["chance"]) == 0.25  # that of the run of the least loss
    assert largest_run(linked)["bpb"] == 0.8
    with pytest.raises(ModelError, match="gets worse along bpb, so that larger values of it lie"):
        plan_cuts(linked.runs, linked.spec)
