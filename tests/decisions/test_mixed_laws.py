"""A law of params, tokens, a mixture and a linear knob: vectors, shares and searches together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH

import bayescale as bs
from bayescale.errors import FitError, RunsWarning
from bayescale.laws import (
    LAWS,
    LOSS,
    PARAMS,
    REAL,
    TOKENS,
    Coordinates,
    chinchilla,
    knob,
    law,
    mixture,
    total,
)
from bayescale.modelling.build import build_model, model_data
from bayescale.posterior.search import in_numbers

WORTH, STEEP, SHIFT = np.array([0.1, -0.2]), 0.5, 0.4
ADDED = {"worth": REAL.over("w"), "steep": REAL, "best": REAL}


@pytest.fixture(scope="module")
def mixed():
    """The law, forgotten afterwards."""

    @law(
        response=LOSS,
        inputs=(PARAMS, TOKENS, mixture("w_"), knob("shift", scale="linear")),
        parameters={**chinchilla.supports, **ADDED},
        coordinates=Coordinates(
            {**chinchilla.coordinates.supports, **ADDED},
            lambda sampled, reference, function: {
                **sampled,
                **chinchilla.to_natural(sampled, reference[:2]),
            },
        ),
    )
    def mixed_law(params, tokens, w, shift, *, E, A, B, alpha, beta, worth, steep, best):
        """Joint law times a factor of the mixture and a bowl along a linear knob."""
        factor = total(np.exp(worth + steep * w) * w, "w") * (1 + (shift - best) ** 2)
        return chinchilla(params, tokens, E=E, A=A, B=B, alpha=alpha, beta=beta) * factor

    yield mixed_law
    del LAWS["mixed_law"]


def said(params, tokens, shares, shift):
    joint = chinchilla(params, tokens, **TRUTH)
    return joint * (np.exp(WORTH + STEEP * shares) * shares).sum() * (1 + (shift - SHIFT) ** 2)


@pytest.fixture(scope="module")
def known(mixed):
    """Draws around the truth, as many as there are parts so that axes could be taken for others."""
    source = bs.load_model("chinchilla").source.replace('law = "chinchilla"', 'law = "mixed_law"')
    priors = "".join(f'{name} = {{ dist = "Normal", mu = 0.0, sigma = 1.0 }}\n' for name in ADDED)
    spec = bs.parse_model(source.replace("\n[noise]", priors + "\n[noise]"), "mixed")
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"params": np.geomspace(1e8, 1e10, 12), "w_a": rng.random(12)})
    table = table.assign(tokens=20 * table["params"] * rng.uniform(0.5, 2, 12))
    table = table.assign(w_b=1 - table["w_a"], shift=rng.uniform(-1, 1, 12), loss=2.5)
    runs = bs.Runs(
        table.assign(run=table.index.astype(str), flops=6 * table["params"] * table["tokens"]), ""
    )
    values = {**TRUTH, "steep": STEEP, "best": SHIFT, "sigma": 0.01, "nu": 8.0}
    draws = {n: (("chain", "draw"), np.full((1, 2), v)) for n, v in values.items()}
    draws["worth"] = (("chain", "draw", "w"), np.broadcast_to(WORTH, (1, 2, 2)))
    posterior = xr.Dataset(draws, coords={"w": ["a", "b"]})
    return bs.Fit(spec, runs, xr.DataTree.from_dict({"posterior": posterior}))


def test_every_way_to_evaluate_says_the_same(known):
    shares = np.array([0.25, 0.75])
    expected = said(1e9, 2e10, shares, 0.1)
    at = {"params": 1e9, "tokens": 2e10, "shift": 0.1}
    given = known.at(w={"a": 0.25, "b": 0.75})
    np.testing.assert_allclose(bs.predict(known, {**at, "w_a": 0.25, "w_b": 0.75}), expected)
    np.testing.assert_allclose(bs.predict(given, at), expected)
    other = said(1e9, 2e10, np.array([1.0, 0.0]), 0.1)
    np.testing.assert_allclose(bs.predict(given, {**at, "w_a": 1.0, "w_b": 0.0}), other)
    rows = {name: draws.to_numpy().reshape(-1, 1) for name, draws in known.natural.items()}
    numbers = in_numbers(known.spec.law, {"w": ("a", "b")})
    params = np.array([1e9, 1e9, 1e9])
    found = numbers(params, 2e10, shares, 0.1, **rows)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, expected)


def test_best_sizes_and_knobs_at_a_mixture(known):
    shares = np.array([0.25, 0.75])
    given = known.at(w={"a": 0.25, "b": 0.75})
    best = bs.compute_optimal(given, 1e21)
    np.testing.assert_allclose(best["params"], chinchilla.optimum(1e21, 6.0, **TRUTH), rtol=1e-3)
    assert best["loss"].shape == (1, 2, 1)
    np.testing.assert_allclose(
        best["loss"].to_numpy().ravel(),
        [said(p, 1e21 / 6 / p, shares, SHIFT) for p in best["params"].to_numpy().ravel()],
        rtol=1e-6,
    )
    found = bs.optimum(given, "shift", params=1e9, tokens=2e10)
    np.testing.assert_allclose(found["best"], SHIFT, atol=1e-3)
    np.testing.assert_allclose(
        bs.predict(given, {"params": 1e9, "tokens": 2e10}),
        said(1e9, 2e10, shares, SHIFT),
        rtol=1e-5,
    )
    with pytest.raises(FitError, match="the best shift is looked for at one mixture"):
        bs.predict(known, {"params": 1e9, "tokens": 2e10, "w_a": [0.5, 1], "w_b": [0.5, 0]})


def test_a_value_outside_of_the_runs_is_doubted(known):
    with pytest.warns(RunsWarning, match="shift = 5 lies outside of the runs, which have -"):
        known.at(shift=5)
    with pytest.raises(FitError, match="shift must be one finite number, got True"):
        known.at(shift=True)


@pytest.mark.parametrize("pooled", ["steep", "worth", "level"])
def test_groups_of_a_law_of_mixtures_have_their_own_density(known, pooled):
    """A number of each group that meets the parts of a mixture: as many cells as parts or not."""
    text = known.spec.source.replace(
        "\n[priors]",
        f'\ngroup = "family"\n\n[pooling]\n{pooled} = "none"\n\n[priors]',
        1,
    )
    spec = bs.parse_model(text, "grouped")
    table = known.runs.table.assign(family=["x", "y"] * 6)
    runs = replace(known.runs, table=table)
    model = build_model(spec, runs)
    data = model_data(spec, runs)
    point = model.initial_point()
    names = {v.name: v for v in model.free_RVs}
    value = model.rvs_to_values[names[pooled]].name
    point[value] = point[value] + np.arange(point[value].size).reshape(point[value].shape) / 10
    found = model.compile_logp(vars=[model["log_loss"]], sum=False)(point)[0]
    for group, rows in enumerate((data["group_index"] == 0, data["group_index"] == 1)):
        alone = {**point, value: np.stack([point[value][group]] * 2)}
        own = model.compile_logp(vars=[model["log_loss"]], sum=False)(alone)[0]
        np.testing.assert_allclose(found[rows], own[rows])
        assert not np.allclose(found[~rows], own[~rows])
