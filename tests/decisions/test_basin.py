"""Which values of a setting are good for a size: known answers."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import known_fit, simulated_shapes

import bayescale as bs
from bayescale.errors import BayescaleError, FitError

SIZE = 1e9
TRUTH = {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36}
BOWL = {"G": 40 * SIZE**0.2, "K": 0.02, "eta": -0.2, "kappa": 0.0, "asymmetry": 0.0}


def table(**more):
    params = np.repeat([1e8, 1e9, 1e10], 3)
    ratio = np.tile([10.0, 40.0, 200.0], 3)
    own = {
        "params": params,
        "tokens": 1e11,
        "aspect_ratio": ratio,
        "loss": 3 - params / 1e11 + ratio / 1e4,
    }
    return pd.DataFrame({**own, **more})


def known_basin(params_are="total", **changes):
    """One draw of known constants, with runs beside it."""
    fit = bs.constants_fit("shape-basin", **{**TRUTH, **BOWL, **changes})
    return replace(fit, runs=bs.read_runs(table(), params_are=params_are))


def test_a_parabola_has_known_ends():
    found = bs.setting_basin(known_basin(), [SIZE, 32 * SIZE], within=[0.01])
    assert found["best"].squeeze().values == pytest.approx([40, 20])
    half = np.exp(np.sqrt(2 * np.log(1.01) / 0.02))
    assert found["upper"].squeeze().values == pytest.approx([40 * half, 20 * half])
    assert found["lower"].squeeze().values == pytest.approx([40 / half, 20 / half])


@pytest.mark.parametrize("asymmetry", [-0.8, 0.5, 2.0])
def test_the_law_itself_costs_the_share_at_both_ends(asymmetry):
    fit = known_basin(asymmetry=asymmetry, kappa=0.05)
    found = bs.setting_basin(fit, SIZE, within=[0.005, 0.03]).squeeze()
    least = bs.predict(fit, {"params": SIZE, "tokens": 1e11, "aspect_ratio": found["best"].item()})
    for end in ("lower", "upper"):
        for share in (0.005, 0.03):
            x = found[end].sel(within=share).item()
            loss = bs.predict(fit, {"params": SIZE, "tokens": 1e11, "aspect_ratio": x})
            assert (loss / least).item() == pytest.approx(1 + share, rel=1e-9)


def test_tokens_that_make_up_for_a_planned_value_reach_the_least_loss():
    fit = known_basin()
    found = bs.setting_basin(fit, SIZE, planned=[40.0, 80.0], tokens=2e10).squeeze()
    assert found["cost"].sel(planned=40.0).item() == pytest.approx(0.0, abs=1e-12)
    assert found["tokens_cost"].sel(planned=40.0).item() == pytest.approx(0.0, abs=1e-9)
    assert found["cost"].sel(planned=80.0).item() == pytest.approx(np.expm1(0.01 * np.log(2) ** 2))
    more = 2e10 * (1 + found["tokens_cost"].sel(planned=80.0).item())
    losses = bs.predict(
        fit, {"params": SIZE, "tokens": np.array([2e10, more]), "aspect_ratio": np.array([40, 80])}
    )
    assert np.ptp(losses.values) == pytest.approx(0.0, abs=1e-9)
    far = bs.setting_basin(fit, SIZE, planned=4e5, tokens=1e12)
    assert np.isinf(far["tokens_cost"]).all()  # it costs more than all that data have left
    assert "no number of tokens makes up" in str(bs.answer_setting_basin(fit, far))


def test_the_answer_says_best_ranges_trend_and_what_n_counts():
    fit = known_basin("embeddings included")
    answer = bs.answer_setting_basin(fit, bs.setting_basin(fit, SIZE, planned=80.0))
    said = str(answer)
    assert said.startswith("At 1B parameters the best aspect ratio is 40.0; within 0.5% of the")
    within = "more than 99% within 0.5%, more than 99% within 1%"
    assert f"aspect ratio 80.0 costs 0.48% of the loss ({within})" in said
    assert "It falls with the size (probability more than 99%)" in said
    assert "N counts: embeddings included." in said
    (basin,) = answer.numbers["basins"]
    assert (basin["p_seen"], basin["decades_beyond"]) == (1.0, 0.0)
    assert answer.numbers["seen"] == [10.0, 200.0]
    assert answer.numbers["tokens"] == 1e11


def test_what_the_runs_do_not_tell_is_said():
    fit = known_basin("not stated")
    said = str(bs.answer_setting_basin(fit, bs.setting_basin(fit, 1e11)))
    assert "1.0 decades above the largest" in said
    assert "does not say whether N counts embeddings" in said
    assert "the runs bound it" not in said
    far = known_basin(G=1000 * SIZE**0.2)
    said = str(bs.answer_setting_basin(far, bs.setting_basin(far, SIZE)))
    assert "of the runs, 10.0 to 200, with a probability of less than 1%: the runs bound it" in said
    eta = np.array([-0.2, 0.1, 0.2, -0.1])
    open_trend = known_basin(eta=eta, G=40 * SIZE**-eta)
    said = str(bs.answer_setting_basin(open_trend, bs.setting_basin(open_trend, SIZE)))
    assert "Whether it rises with the size the runs do not tell (probability 50%)" in said


def test_constants_without_runs_need_tokens_and_have_no_range():
    fit = bs.constants_fit("shape-basin", **TRUTH, **BOWL)
    with pytest.raises(FitError, match="the tokens must be positive"):
        bs.setting_basin(fit, SIZE)
    answer = bs.answer_setting_basin(fit, bs.setting_basin(fit, SIZE, tokens=1e10))
    assert answer.numbers["basins"][0]["p_seen"] is None
    assert "runs bound it" not in str(answer)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: bs.setting_basin(known_fit(2), 1e9), "says no basin of a setting; fit load_model"),
        (lambda: bs.setting_basin(known_basin(), -1.0), "a size must be positive, got -1"),
        (lambda: bs.setting_basin(known_basin(), 1e9, within=[1.0]), "write 1% as 0.01"),
        (lambda: bs.setting_basin(known_basin(), 1e9, planned=0.0), "a planned value must be pos"),
    ],
)
def test_basins_that_cannot_be(ask, said):
    with pytest.raises(BayescaleError) as refused:
        ask()
    assert said in str(refused.value)


def of_shapes(own):
    """Fit a table in which the rows of one run share its shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)  # of checkpoints, of a swept shape
        return bs.fit(own, "shape-basin-hierarchical", mid_schedule="keep", progress=False)


@pytest.mark.slow
def test_a_simulated_basin_is_found():
    fit = of_shapes(simulated_shapes(24))
    assert fit.diagnostics.converged
    found = bs.summarise(bs.setting_basin(fit, 4e8).squeeze())
    assert float(found["best"].sel(summary="q05")) < 40 < float(found["best"].sel(summary="q95"))
    exponent = found["exponent"]
    assert float(exponent.sel(summary="q05")) < -0.15 < float(exponent.sel(summary="q95"))
    truth = 40 * np.exp(np.sqrt(2 * np.log(1.01) / 0.01))
    upper = found["upper"].sel(within=0.01)
    assert float(upper.sel(summary="q05")) < truth < float(upper.sel(summary="q95"))


@pytest.mark.slow
def test_gemstones_basin_and_its_trend_depend_on_what_n_counts(data_folder):
    whole = pd.read_csv(data_folder / "aspect_gemstones.csv").query("schedule == 'cooldown'")
    blocks = whole.assign(params=12 * whole["width"] ** 2 * whole["depth"])
    best, widest = {}, {}
    for name, own in {"blocks": blocks, "whole": whole}.items():
        fit = of_shapes(own)
        assert fit.diagnostics.converged
        found = bs.setting_basin(fit, [4e8, 1e9])
        best[name] = bs.summarise(found["best"].sel(params=4e8)).values
        widest[name] = float(found["upper"].sel(params=1e9, within=0.01).median())
        trend = float((found["exponent"] > 0).mean())
        assert trend < 0.15 if name == "blocks" else trend > 0.95
    assert best["blocks"] == pytest.approx([37, 25, 50], rel=0.1)
    assert best["whole"] == pytest.approx([20, 14.5, 24.5], rel=0.12)
    assert widest["blocks"] == pytest.approx(143, rel=0.06)
