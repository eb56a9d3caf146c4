"""Critical batch sizes: definitions, exponents, models without runs, published values."""

import numpy as np
import pytest
import xarray as xr
from conftest import STEPS_TRUTH, simulated_steps

from bayescale import (
    FitError,
    RunsError,
    answer_batch,
    batch_at,
    batch_exponents,
    batch_model,
    constants_fit,
    critical_batches,
    fit,
    load_dataset,
    predict,
    read_steps,
)
from bayescale.laws import LAWS

LAW = LAWS["critical_batch"]
SEQUENCE = 512
PUBLISHED = {"85M": 745, "151M": 955, "302M": 1394, "604M": 1889, "1.2B": 2533}
"""Sequences at 20% more tokens than at 256 of them, as Zhang et al. (2024) print them."""


def truth_at(params):
    return STEPS_TRUTH["B_noise"] * (params / STEPS_TRUTH["at"]) ** STEPS_TRUTH["exponent"]


def quantiles(draws):
    return draws.quantile([0.05, 0.5, 0.95], ("chain", "draw")).to_numpy()


@pytest.mark.parametrize("noise", [1e4, 3e6])
def test_each_definition_is_what_it_says(noise):
    own = {"S_min": 100.0, "B_noise": noise}
    found = batch_at(xr.DataArray(noise), 0.3, 5e4)
    batch = {name: float(one) for name, one in found.items()}

    def tokens(size):
        return size * LAW(size, **own)

    assert tokens(batch["more_tokens"]) == pytest.approx(1.3 * 100 * noise)
    assert LAW(batch["more_steps"], **own) == pytest.approx(130.0)
    assert tokens(batch["over_base"]) == pytest.approx(1.3 * tokens(5e4))
    assert LAW(batch["noise"], **own) == pytest.approx(200.0)


def test_the_truth_is_found(steps_fit):
    found = critical_batches(steps_fit, 8e9)
    low, middle, high = quantiles(found["B_noise"])
    truth = truth_at(found["axis"].to_numpy())
    assert (truth > low * 0.98).all()
    assert (truth < high * 1.02).all()
    assert np.abs(np.log(middle / truth))[:-1].max() < 0.1
    assert found["known"].values.tolist() == [True] * 5 + [False]
    assert np.isnan(found["S_min"].sel(curve="8B params")).all()
    np.testing.assert_allclose(found["examples"], found["S_min"] * found["B_noise"])


def test_a_model_without_runs_is_less_sure_the_farther_it_is(steps_fit):
    near, far = (critical_batches(steps_fit, at)["B_noise"].isel(curve=-1) for at in (2e9, 2e11))
    widths = [np.log(quantiles(one)[2] / quantiles(one)[0]) for one in (near, far)]
    assert widths[1] > 1.5 * widths[0]


def test_exponents_of_definitions_differ_by_what_the_base_adds(steps_fit):
    found = batch_exponents(steps_fit, 0.2, 131072.0)
    low, high = (found.quantile(q) for q in (0.05, 0.95))
    assert low["noise"] < STEPS_TRUTH["exponent"] < high["noise"]
    np.testing.assert_allclose(found["noise"], found["more_tokens"], rtol=1e-9)
    assert (found["over_base"] < found["noise"]).all()
    params = np.geomspace(8e7, 1.2e9, 5)
    slope = np.polyfit(np.log(params), np.log(0.2 * truth_at(params) + 1.2 * 131072), 1)[0]
    assert low["over_base"] < slope < high["over_base"]


def test_an_answer_says_what_it_knows(steps_fit):
    answer = answer_batch(steps_fit, 8e9, base=131072.0, batches=[4e6])
    assert answer.numbers["axis"] == "params"
    assert answer.numbers["together"] == ["least_tokens"]
    first, *_, last = answer.numbers["curves"]
    assert (first["curve"], first["bracketed"]) == ("80M", 1.0)
    assert (last["known"], last["fewest_steps"], last["seen"]) == (False, None, None)
    (planned,) = first["planned"]
    noise = first["batches"]["noise"]["median"]
    assert planned["more_tokens"]["median"] == pytest.approx(4e6 / noise, rel=1e-3)
    assert planned["steps"]["median"] == pytest.approx(
        first["fewest_steps"]["median"] * (1 + noise / 4e6), rel=0.02
    )
    faster = planned["fewer_steps_than_base"]["median"]
    more = planned["more_tokens_than_base"]["median"]
    assert faster == pytest.approx(4e6 / 131072 / (1 + more), rel=0.01)
    said = str(answer)
    assert "tokens move together with params" in said
    assert "8B params: no runs, 6.7× the largest curve" in said
    assert said.startswith("8B params: critical batch size ")  # what was asked comes first


def test_batches_that_do_not_reach_the_critical_one_are_named():
    runs = read_steps(simulated_steps(batches=2.0 ** np.arange(13, 19)))
    small = fit(runs, batch_model(runs), draws=300, tune=500, progress=False)
    answer = answer_batch(small)
    assert all(entry["bracketed"] < 0.5 for entry in answer.numbers["curves"])
    assert "Add runs at larger batches" in str(answer)


def test_one_curve_has_no_exponent_and_general_tools_answer():
    runs = read_steps(simulated_steps().iloc[::5])
    one = fit(runs, batch_model(runs), draws=300, tune=500, progress=False)
    answer = answer_batch(one)
    assert answer.numbers["exponents"] is None
    (entry,) = answer.numbers["curves"]
    noise = entry["batches"]["noise"]
    assert noise["q05"] < truth_at(8e7) < noise["q95"]
    steps = predict(one, batch_tokens=noise["median"]).median()
    assert float(steps) == pytest.approx(2 * entry["fewest_steps"]["median"], rel=0.05)
    with pytest.raises(FitError, match="has no trend"):
        critical_batches(one, 1e9)


def test_a_trend_needs_a_column_that_says_something():
    runs = read_steps(simulated_steps())
    assert [*batch_model(runs).trends["place"]] == ["params"]
    assert [*batch_model(runs, "tokens").trends["place"]] == ["least_tokens"]
    assert not batch_model(runs, "nothing").trends
    for along, said in {
        "loss": "no column 'target_loss'",
        "batch_tokens": "has runs of several batch_tokens",
        "same": "all curves have 3.00 same",
    }.items():
        own = read_steps(simulated_steps().assign(same=3.0))
        with pytest.raises(RunsError, match=said):
            batch_model(own, along)
    with pytest.raises(RunsError, match="there is one curve"):
        batch_model(read_steps(simulated_steps().iloc[::5]), "params")


def test_what_cannot_be_asked_is_refused(steps_fit):
    with pytest.raises(FitError, match="params must be a positive number"):
        critical_batches(steps_fit, -1.0)
    with pytest.raises(FitError, match=r"more \(--overhead\) must be a positive number"):
        answer_batch(steps_fit, more=-0.2)
    with pytest.raises(FitError, match="a planned batch"):
        answer_batch(steps_fit, batches=[0.0])
    known = constants_fit("chinchilla", E=1.8, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
    with pytest.raises(FitError, match="takes a fit of the law critical_batch"):
        critical_batches(known)


def test_published_values_lie_in_the_intervals(data_folder):
    runs = read_steps(load_dataset("cbs_zhang2024"))
    found = critical_batches(fit(runs, batch_model(runs), progress=False))
    low, _, high = quantiles(batch_at(found["B_noise"], 0.2, 256.0 * SEQUENCE)["over_base"])
    ends = dict(zip(found["curve"].to_numpy(), zip(low, high, strict=True), strict=True))
    for name, sequences in PUBLISHED.items():
        assert ends[name][0] < sequences * SEQUENCE < ends[name][1], name


def test_a_smaller_batch_than_the_base_takes_fewer_tokens_in_more_steps(steps_fit):
    said = str(answer_batch(steps_fit, base=131072.0, batches=[65536.0]))
    assert "fewer tokens in 1." in said
    assert "-" not in said.split("beside a batch of")[1].split(" fewer tokens")[0]


def test_sizes_that_are_asked_twice_or_read_alike_are_told_apart(steps_fit):
    found = critical_batches(steps_fit, [8e9, 8.001e9, 8e9])
    names = found["curve"].to_numpy()[-2:].tolist()
    assert names == ["8e+09 params", "8.001e+09 params"]
