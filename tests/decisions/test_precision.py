"""Bits per weight, and size and bits together: known answers."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import TRUTH, known_fit, simulated_formats

import bayescale as bs
from bayescale.errors import FitError

SLOPES = {"c": -14.0, "b": 1.386, "gamma_D": 0.5, "gamma_N": 0.3}


def quantised(draws=1, **changes):
    """Constants of what quantisation adds, as some draws."""
    own = {name: value * np.ones(draws) for name, value in {**SLOPES, **changes}.items()}
    return bs.constants_fit("precision", **own)


def law(**changes):
    return bs.constants_fit("chinchilla", **{**TRUTH, **changes})


def brute(memory, params_of, tokens_of):
    """Least loss over a fine grid of bits and sizes."""
    bits = np.geomspace(1.0, 16.0, 4001)
    size = params_of(8 * memory / bits)
    tokens = tokens_of(size)
    added = np.exp(-14.0 - 1.386 * bits) * tokens**0.5 * size**-0.3
    loss = TRUTH["E"] + TRUTH["A"] * size ** -TRUTH["alpha"] + TRUTH["B"] * tokens ** -TRUTH["beta"]
    place = (loss + added).argmin()
    return bits[place], size[place], (loss + added)[place]


def test_bits_and_size_on_given_tokens_are_those_of_a_grid():
    found = bs.best_precision(law(), quantised(), 4e9, tokens=2e12)
    bits, size, loss = brute(4e9, lambda most: most, lambda _: 2e12)
    assert found["best_bits"].item() == pytest.approx(bits, rel=2e-3)
    assert found["best_params"].item() == pytest.approx(size, rel=2e-3)
    assert found["best_loss"].item() == pytest.approx(loss, rel=1e-7)
    np.testing.assert_allclose(
        found["params"].squeeze() * found["bits"] / 8, 4e9, rtol=1e-9
    )  # each fills the memory


def test_a_compute_that_is_small_leaves_memory_unused():
    found = bs.best_precision(law(), quantised(), 1e12, flops=1e21)
    alone = law().law.optimum(1e21, 6.0, **law().natural)
    at = found.sel(bits=16.0).squeeze()
    assert at["params"].item() == pytest.approx(alone.item(), rel=2e-3)
    assert (at["params"] * at["tokens"]).item() == pytest.approx(1e21 / 6, rel=1e-9)
    assert at["params"].item() < 8e12 / 16


def test_tokens_are_enough_where_their_slopes_cancel():
    """Of B D^-beta + K D^gamma: D = (beta B / (gamma K))^(1 / (beta + gamma))."""
    found = bs.best_precision(law(), quantised(c=-10.0), 4e9, tokens=1e11, bits=[3.0])
    size = 8 * 4e9 / 3
    K = np.exp(-10.0 - 1.386 * 3) * size**-0.3
    exact = (TRUTH["beta"] * TRUTH["B"] / (0.5 * K)) ** (1 / (TRUTH["beta"] + 0.5))
    assert found["enough_tokens"].item() == pytest.approx(exact, rel=1e-3)


def test_where_longer_training_adds_nothing_tokens_always_pay():
    found = bs.best_precision(law(), quantised(gamma_D=0.0), 4e9, tokens=1e11)
    assert np.isinf(found["enough_tokens"]).all()
    said = str(bs.answer_precision(quantised(gamma_D=0.0), law(), found))
    assert "bits at no number of tokens" in said


def test_probabilities_are_shares_of_draws():
    c = np.array([-14.0, -14.0, -14.0, -4.0])  # one draw in four loses far more
    fit = bs.constants_fit("precision", **{**SLOPES, "c": c})
    found = bs.best_precision(known_fit(4), fit, 4e9, tokens=2e12, bits=[4.0, 16.0])
    assert found["p_best"].to_numpy().tolist() == [0.75, 0.25]
    assert float(found["p_best"].sum()) == 1.0


def test_what_quantisation_costs_decides_the_bits():
    """Negative control: where it costs nothing the fewest bits are best."""
    asked = {"tokens": 2e12, "bits": [2.0, 4.0, 8.0, 16.0]}
    cheap = bs.best_precision(law(), quantised(c=-40.0), 4e9, **asked)
    dear = bs.best_precision(law(), quantised(c=-2.0), 4e9, **asked)
    assert cheap["best_bits"].item() < 1.01
    assert dear["best_bits"].item() > 7


def test_the_answer_says_its_bits_and_what_they_are_taken_from():
    found = bs.best_precision(law(), quantised(), 40e9, tokens=2e12)
    answer = bs.answer_precision(quantised(), law(), found)
    said = str(answer)
    assert said.startswith("In 40 GB of weights, trained with 2T tokens: ")
    assert "measured on other models and texts" in said
    assert answer.numbers["plan"]["memory"] == 40e9
    assert [own["told"] for own in answer.numbers["exponents"]] == [None, None]
    assert answer.numbers["models"][0]["b"]["median"] == pytest.approx(1.386)
    factor = answer.numbers["models"][0]["factor"]["median"]
    assert factor == pytest.approx(4.0, rel=1e-3)


def test_bits_for_an_increase_invert_the_law():
    fit = quantised(c=-5.0)
    entry = bs.answer_precision(fit).numbers["models"][0]
    for own in entry["bits_for"]:
        added = bs.loss_added(fit, own["bits"]["median"], entry["params"], entry["tokens"])
        assert added.item() == pytest.approx(own["increase"], rel=1e-9)


@pytest.mark.parametrize(("apart", "found"), [(0.0, []), (1.0, ["calibrated"])])
def test_a_column_that_the_law_does_not_know_is_named(apart, found):
    runs = bs.read_quantised(simulated_formats(apart))
    noise = {"sigma": 0.1, "nu": 8.0}
    fit = replace(quantised(**noise), runs=runs)
    answer = bs.answer_precision(fit)
    assert [own["column"] for own in answer.numbers["splits"]] == found
    assert ("--by model,calibrated" in str(answer)) is bool(found)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: bs.best_precision(law(), known_fit(2), 1e9, tokens=1e12), "nothing of bits"),
        (lambda: bs.best_precision(law(), quantised(), 1e9), "one of the two"),
        (lambda: bs.best_precision(law(), quantised(), 1e9, tokens=1.0, flops=1.0), "one of the"),
        (
            lambda: bs.best_precision(law(), quantised(), -1.0, tokens=1e12),
            "memory must be positive",
        ),
        (lambda: bs.answer_precision(quantised(), law()), "or none of the two"),
        (lambda: bs.loss_added(quantised(), 0.0, 1e9, 1e12), "bits must be positive"),
    ],
)
def test_questions_that_cannot_be_answered(ask, said):
    with pytest.raises(FitError) as refused:
        ask()
    assert said in str(refused.value)


def test_a_joint_law_of_one_draw_keeps_the_spread_of_the_other():
    spread = quantised(c=np.linspace(-20.0, -8.0, 40), draws=40)
    found = bs.best_precision(law(), spread, 4e9, tokens=2e12)
    assert found.sizes["draw"] == 40
    assert float(found["best_bits"].max() / found["best_bits"].min()) > 1.5


@pytest.fixture(scope="module")
def published(data_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)
        runs = bs.read_quantised(
            data_folder / "precision_ptq.csv", by=["model", "importance_matrix"]
        )
        return bs.fit(runs, "precision-hierarchical", draws=500, tune=700, progress=False)


@pytest.mark.slow
def test_published_slopes_lie_in_their_intervals(published):
    assert published.diagnostics.converged
    told = {own["group"]: own for own in bs.answer_precision(published).numbers["models"]}
    for name, slope in {
        "Llama-3-8B, importance matrix": 1.45,
        "Llama-3-8B, no importance matrix": 1.45,
        "Llama-2-7B, no importance matrix": 1.17,
    }.items():
        assert told[name]["b"]["q05"] < slope < told[name]["b"]["q95"]
    tokens, size = bs.answer_precision(published).numbers["exponents"]
    assert (tokens["told"], size["told"]) == (False, False)  # two models cannot tell
    assert bs.answer_precision(published).numbers["splits"] == []
