"""Whether mixtures move exponents: differences of known size, and tables in which they move."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayescale as bs
from bayescale.evaluation import composition as module
from bayescale.evaluation.composition import Composition, _factors, compared
from bayescale.modelling.build import as_arrays, draw_prior, model_data
from bayescale.modelling.inputs import parts_of_mixtures
from bayescale.modelling.spec import ModelSpec
from bayescale.posterior.sampling import ATTEMPTS
from bayescale.runs.mixtures import read_mixtures

PARTS = ("web", "code", "books")
LEAN = {"web": np.array([-0.7, 0.7, 0.0]), "code": np.array([0.5, -0.8, 0.3])}
WORTH = {"web": np.array([1.0, -1.0, 0.0]), "code": np.array([-1.0, 1.0, 0.0])}


def simulated(leaning: float, seed: int = 1) -> bs.Runs:
    """Two targets, eight mixtures at six sizes and tokens; leaning 0 moves no exponent."""
    rng, rows = np.random.default_rng(seed), []
    for shares in rng.dirichlet([1.0, 1.0, 1.0], 8):
        for params in (5e7, 2e8, 8e8):
            for tokens in (2e9, 3e10):
                row = {"params": params, "tokens": tokens}
                row |= {f"w_{part}": share for part, share in zip(PARTS, shares, strict=True)}
                for target in LEAN:
                    loss = true_loss(target, params, tokens, shares, leaning)
                    row[f"loss_{target}"] = loss * np.exp(0.002 * rng.standard_normal())
                rows.append(row)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)  # mixtures look like a sweep
        return read_mixtures(pd.DataFrame(rows))


def true_loss(target, params, tokens, shares, leaning):
    away = shares - 1 / 3
    floor = 1.5 + 0.3 / np.exp(0.5 * WORTH[target] @ away)
    lean = np.exp(leaning * (LEAN[target] @ away))
    return (
        floor
        + 0.5 * (params / 2e8) ** (-0.35 * lean)
        + 0.4 * (tokens / 8e9) ** (-0.4 * lean) * np.exp(-0.2 * WORTH[target] @ away)
    )


def of_one_target(leaning: float = 0.0) -> bs.Runs:
    runs = simulated(leaning)
    return replace(runs, table=runs.table[runs.table["target"] == "web"])


def from_prior(spec: ModelSpec, runs: bs.Runs) -> bs.Fit:
    """A fit whose posterior is the prior."""
    data = model_data(spec, runs)
    parts = {"w": list(parts_of_mixtures(spec, runs.table)["w"])}
    tree = xr.DataTree.from_dict(
        {
            "posterior": draw_prior(spec, data, draws=200, seed=2).assign_coords(parts),
            "prior": draw_prior(spec, data, draws=200).assign_coords(parts),
            "sample_stats": xr.Dataset(),
            "constant_data": xr.Dataset(as_arrays(spec, data)).assign_coords(parts),
            "observed_data": xr.Dataset({"log_loss": ("obs", data["observed"])}),
        }
    )
    tree.attrs = {"model": spec.name, "model_spec": spec.source}
    return bs.Fit(spec, runs, tree)


@pytest.fixture(scope="module")
def known() -> Composition:
    """A comparison in which exponents lean by known numbers."""
    runs = of_one_target()
    still, other = (
        from_prior(bs.load_model(n), runs) for n in ("mixture-joint", "mixture-exponents")
    )
    shares = {"w": ["web", "code", "books"]}
    draws = other.tree["posterior"].to_dataset()
    for name, own in (("s_params", [0.0, 0.5, 0.0]), ("s_tokens", [0.0, 0.0, 0.0])):
        draws[name] = draws[name] * 0 + xr.DataArray(own, dims="w", coords=shares)
    other.tree["posterior"] = draws
    return Composition(still, other, 1.2, 3.4, 0.0, _factors(other))


def test_factor_is_that_between_the_mixtures_where_exponents_differ_most(known):
    said, then = str(known).splitlines()
    assert said.startswith("Composition moves amplitudes, not exponents, as far as these runs tell")
    assert then == "Ask next: answer_composition(this)"
    code = known.exponents.runs.table["w_code"]
    expected = np.exp(0.5 * (code.max() - code.min()))
    np.testing.assert_allclose(known.factors["alpha"], expected, rtol=1e-9)
    np.testing.assert_allclose(known.factors["beta"], 1.0)


def test_factor_of_exponents_of_which_nothing_is_known_may_be_one():
    factors = _factors(from_prior(bs.load_model("mixture-exponents"), of_one_target()))
    for own in factors.data_vars.values():
        assert float(own.quantile(0.05)) < 1 < float(own.quantile(0.95))


@pytest.mark.parametrize(
    ("difference", "error", "moves"),
    [(1.2, 3.4, False), (25.0, 6.0, True), (25.0, 20.0, False), (-9.0, 2.0, False)],
)
def test_answer_says_whether_exponents_move(known, difference, error, moves, monkeypatch):
    monkeypatch.setattr(bs.Fit, "sampled", False)  # nothing of these was
    answer = bs.answer_composition(replace(known, difference=difference, error=error))
    assert answer.numbers["composition"]["moves_exponents"] is moves
    assert answer.sentences[0].startswith("Composition moves exponents") is moves
    assert f"{difference:.1f} +- {error:.1f}" in answer.sentences[0]


def test_losses_of_one_trained_model_are_one_difference(known, monkeypatch):
    """Each model has rows at several checkpoints here, all of which gain alike."""
    trained = np.arange(len(known.amplitudes.runs)) // 6
    table = known.amplitudes.runs.table.assign(trained=trained.astype(str))
    own = replace(known.amplitudes, runs=replace(known.amplitudes.runs, table=table))
    gains = np.where(trained % 2, 1.0, -0.5)
    said = {id(own): np.zeros(len(gains)), id(known.exponents): gains}
    monkeypatch.setattr(module, "_left_out", lambda one: (said[id(one)], np.zeros(len(gains))))
    found = compared(own, known.exponents)
    assert found.difference == pytest.approx(gains.sum())
    sums = np.bincount(trained, gains)
    assert found.error == pytest.approx(np.sqrt(len(sums) * sums.var(ddof=1)))
    alone = np.sqrt(len(gains) * gains.var(ddof=1))
    assert found.error > 2 * alone  # the control: as if they were independent


def test_seeds_of_one_run_are_one_cell(known):
    """A model without shared errors collapses them, so that cells are fewer than rows."""
    table = pd.concat([known.amplitudes.runs.table] * 2, ignore_index=True)
    runs = bs.Runs(table.assign(run=[f"r{i}" for i in range(len(table))]), "test")
    names = ("mixture-joint", "mixture-exponents")
    found = compared(*(from_prior(bs.load_model(name), runs) for name in names))
    assert np.isfinite([found.difference, found.error]).all()


def test_fit_of_another_law_is_refused(small_fit):
    with pytest.raises(bs.FitError, match="chinchilla says nothing of exponents"):
        bs.composition(small_fit)


@pytest.mark.slow
@pytest.mark.parametrize("leaning", [0.0, 1.0])
def test_simulated_exponents_that_move_are_found_and_others_are_not(leaning, monkeypatch):
    # One attempt has the draws that the answer needs; of too few the others are asked for more.
    monkeypatch.setattr(sys.modules["bayescale.posterior.fitting"], "ATTEMPTS", ATTEMPTS[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)
        own = bs.fit(of_one_target(leaning), "mixture-joint", draws=600, tune=600, chains=2)
        found = bs.composition(own, draws=600, tune=600)
    assert found.moves is (leaning > 0)
    assert (float(found.factors["alpha"].quantile(0.05)) > 1.2) is (leaning > 0)
