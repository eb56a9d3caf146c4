from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
from conftest import known_fit
from scipy import integrate

from bayescale import (
    answer_repetition,
    constants_fit,
    effective_repetitions,
    epochs_until,
    fit,
    identified,
    predict,
    read_runs,
    repetition_value,
)
from bayescale.errors import FitError
from bayescale.runs.table import Runs

FRESH = {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.35, "beta": 0.36}


def repeated(R_D=15.0, r_N=0.0, spread=0.02, draws=400):
    """A fake posterior around given constants of repetition."""
    values = {**FRESH, "R_N": 5.3, "R_D": R_D}
    rng = np.random.default_rng(3)
    drawn = {n: v * np.exp(spread * rng.standard_normal(draws)) for n, v in values.items()}
    return constants_fit("data-constrained", **drawn, r_N=r_N + np.zeros(draws))


def with_runs(fake, params, epochs):
    """Runs of 20B unique tokens."""
    table = pd.DataFrame({"params": params, "unique_tokens": 2e10}).astype(float)
    table["tokens"] = 2e10 * np.asarray(epochs, dtype=float)
    return replace(fake, runs=Runs(table.assign(run="r", loss=3.0), "made up"))


def test_known_values_of_one_constant():
    one = repeated(spread=0.0, draws=1)
    assert effective_repetitions(one, 1e9).item() == 15
    assert repetition_value(one, 7e9, 16).item() == pytest.approx(np.exp(-1))
    assert epochs_until(one, 1e9, 0.5).item() == pytest.approx(1 + 15 * np.log(2))


def test_dims_and_order_are_those_that_were_asked():
    fake = repeated()
    value = repetition_value(fake, [1e9, 1e8], [4, 1, 40])
    assert value.dims == ("chain", "draw", "params", "epochs")
    assert value["epochs"].to_numpy().tolist() == [4, 1, 40]
    assert value["params"].to_numpy().tolist() == [1e9, 1e8]
    assert (value.sel(epochs=1) == 1).all()
    assert (value.sel(epochs=40) < value.sel(epochs=4)).all()
    until = epochs_until(fake, 1e9)
    assert until["worth"].to_numpy().tolist() == [0.9, 0.5, 0.1]


def test_value_and_epochs_are_inverse_of_each_other():
    fake = repeated(r_N=-0.5, spread=0.1)
    until = epochs_until(fake, 3e8, [0.7, 0.2])
    for worth in (0.7, 0.2):
        at = until.sel(worth=worth, params=3e8)
        for draw in (0, 7):
            epochs = float(at.isel(draw=draw).squeeze())
            value = repetition_value(fake, 3e8, epochs).isel(draw=draw).item()
            assert value == pytest.approx(worth)


def test_worth_is_what_the_law_makes_of_repeated_tokens():
    """The effective tokens of the law are the integral of the value over what was seen."""
    one, unique, epochs, params = repeated(spread=0.0, draws=1, r_N=-0.4), 2e10, 30.0, 2e8
    lasting = 15 * 0.2**-0.4
    worth = integrate.quad(lambda e: np.exp(-(e - 1) / lasting), 1, epochs)[0]
    seen = {"params": params, "tokens": epochs * unique, "unique_tokens": unique}
    fresh = {
        "params": params,
        "tokens": unique * (1 + worth),
        "unique_tokens": unique * (1 + worth),
    }
    assert predict(one, seen).item() == pytest.approx(predict(one, fresh).item(), rel=1e-9)


def test_larger_models_tire_sooner_where_r_N_is_negative():
    fake = repeated(r_N=-0.6)
    found = effective_repetitions(fake, [1e8, 1e9, 1e10]).median(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(found[:-1] / found[1:], 10**0.6)
    same = effective_repetitions(repeated(), [1e8, 1e10])
    np.testing.assert_allclose(same.sel(params=1e8), same.sel(params=1e10))


def test_published_law_has_one_constant_for_every_size():
    published = constants_fit(
        "data-constrained-published", E=1.87, A=521.0, B=1488.0, alpha=0.353, R_D=15.39, R_N=5.31
    )
    found = effective_repetitions(published, [1e7, 1e11])
    np.testing.assert_allclose(found, 15.39)


def test_runs_that_repeat_more_than_R_D_identify_it():
    told = identified(with_runs(repeated(), [1e9, 1e9], [1, 61]), 1e9)
    assert told.identified
    assert told.most_repetitions == 60
    assert told.at_least < 15 < told.at_most
    assert told.sentence.startswith("R_D at 1B parameters: 15.0 (14.")
    with pytest.raises(FrozenInstanceError):
        told.identified = False


def test_runs_that_repeat_less_give_a_lower_bound_only():
    told = identified(with_runs(repeated(R_D=80.0), [1e9, 1e9], [1, 60]), 1e9)
    assert not told.identified
    low, high = (f"{value:.1f}" for value in (told.at_least, told.at_most))
    assert told.sentence == (
        f"R_D at 1B parameters is not identified: at least {low}; the runs repeat their data at "
        f"most 59 times, which is less than the {high} that it may be"
    )


def test_an_interval_that_reaches_beyond_the_runs_is_not_identified():
    """The median lies within the runs; the upper end of its interval does not."""
    unsure = with_runs(repeated(R_D=30.0, spread=0.8), [1e9, 1e9], [1, 61])
    assert not identified(unsure, 1e9).identified
    sure = with_runs(repeated(R_D=30.0, spread=0.1), [1e9, 1e9], [1, 61])
    assert identified(sure, 1e9).identified


def test_where_R_D_varies_with_size_runs_of_that_size_must_tell_it():
    params, epochs = [1e8, 1e9, 1e9, 1e10], [500, 1, 61, 5]
    varying = with_runs(repeated(r_N=-0.1), params, epochs)
    near = [identified(varying, size) for size in (1e8, 1e9, 1e10)]
    assert [told.identified for told in near] == [True, True, False]
    assert [told.most_repetitions for told in near] == [499, 60, 4]
    assert "the runs near that size repeat their data at most 4 times" in near[2].sentence
    assert identified(with_runs(repeated(), params, epochs), 1e10).most_repetitions == 499


def test_size_without_runs_is_extrapolated_from_all():
    told = identified(with_runs(repeated(r_N=-0.1), [1e8, 1e9], [500, 61]), 1e11)
    assert told.identified
    assert told.most_repetitions == 499
    assert told.sentence.endswith("extrapolated: no run is near that size")


def test_runs_that_repeat_nothing_say_nothing():
    told = identified(with_runs(repeated(), [1e9, 2e9], [1, 1]), 1e9)
    assert not told.identified
    assert (
        told.sentence == "R_D at 1B parameters is not identified: the runs do not repeat their data"
    )


def test_given_constants_are_named_as_such():
    told = identified(repeated(spread=0.0, draws=1), 8.7e9)
    assert not told.identified
    assert told.sentence == (
        "R_D at 8.7B parameters: 15.0 (15.0 to 15.0), as given: there are no runs that could tell "
        "it"
    )


def test_constants_without_runs_are_answered_at_one_size():
    answer = answer_repetition(repeated())
    (entry,) = answer.numbers["repetition"]
    assert entry["params"] == 1e9
    assert entry["R_D"]["median"] == pytest.approx(15.0, rel=0.01)
    assert "no runs that could tell it" in answer.sentences[0]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: effective_repetitions(known_fit(), 1e9), "chinchilla does not know repeated data"),
        (lambda: identified(known_fit(), 1e9), "chinchilla does not know repeated data"),
        (lambda: effective_repetitions(repeated(), [1e9, -1.0]), "params must be above 0, got -1"),
        (lambda: effective_repetitions(repeated(), np.inf), "params must be above 0, got inf"),
        (lambda: repetition_value(repeated(), 1e9, 0.5), "epochs must be at least 1, got 0.5"),
        (lambda: epochs_until(repeated(), 1e9, 1.5), "worth must be a share .* below 1, got 1.5"),
        (lambda: epochs_until(repeated(), 1e9, 0.0), "worth must be above 0, got 0"),
    ],
)
def test_bad_questions_are_refused(ask, message):
    with pytest.raises(FitError, match=message):
        ask()


@pytest.fixture(scope="module")
def sampled_fit():
    """Runs of the law with R_D = 8 at every size, repeated up to 64 times."""
    rng = np.random.default_rng(1)
    params, epochs, unique = (
        grid.ravel() for grid in np.meshgrid([1e8, 4e8, 1.6e9], [1, 2, 8, 64], [1e9, 4e9, 1.6e10])
    )
    truth = constants_fit("data-constrained", **FRESH, R_N=5.3, R_D=8.0, r_N=0.0)
    table = pd.DataFrame({"params": params, "tokens": epochs * unique, "unique_tokens": unique})
    loss = predict(truth, table).squeeze().to_numpy()
    table["loss"] = loss * np.exp(0.003 * rng.standard_normal(len(table)))
    return fit(read_runs(table), "data-constrained", draws=300, tune=500, progress=False)


@pytest.mark.slow
def test_a_real_fit_finds_and_identifies_the_constant(sampled_fit):
    told = identified(sampled_fit, 4e8)
    assert told.identified
    assert told.median == pytest.approx(8, rel=0.4)
    assert told.runs_near > 0
