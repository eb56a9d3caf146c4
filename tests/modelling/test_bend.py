"""How a law may bend: kernel algebra, projection, and the bent law beside a hand-computed one."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import simulated_table
from scipy.optimize import minimize_scalar

from bayescale import fit, load_model, read_runs
from bayescale.laws import Allocation, chinchilla
from bayescale.modelling import bend as bend_module
from bayescale.modelling.bend import (
    FEATURES,
    Bending,
    Features,
    bending_of,
    features_beyond,
    features_of_runs,
)
from bayescale.modelling.build import bending_from, model_data, placed
from bayescale.modelling.spec import Bend
from bayescale.posterior.surface import Drawn, bent

BEND = Bend(sd=0.1, length=2.0)
LAW = {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36}


def kernel(bend: Bend, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = ((x[:, None] - y[None]) ** 2).sum(axis=-1)
    return bend.sd**2 * np.exp(-squared / (2 * bend.length**2))


@pytest.fixture(scope="module")
def spec():
    return load_model("chinchilla-bend")


@pytest.fixture(scope="module")
def inputs():
    table = simulated_table()
    return table["params"].to_numpy(), table["tokens"].to_numpy()


@pytest.fixture(scope="module")
def decades(inputs):
    return np.log10(np.stack(inputs, axis=1))


@pytest.fixture(scope="module")
def bending(spec) -> Bending:
    return bending_from(spec, model_data(spec, read_runs(simulated_table())))


@pytest.fixture(scope="module")
def everywhere(bending, inputs) -> Features:
    return features_beyond(bending.features, inputs)


def test_features_at_their_own_points_are_the_kernel(decades):
    features = features_of_runs(BEND, decades)
    own = features.at(features.points)
    np.testing.assert_allclose(
        own @ own.T, kernel(BEND, features.points, features.points), rtol=1e-6
    )
    np.testing.assert_allclose(own, np.tril(own), atol=1e-6)  # the factor: least known first


def test_features_of_the_runs_say_all_but_a_millionth(decades):
    features = features_of_runs(BEND, decades)
    assert len(features.points) < FEATURES
    seen = features.at(decades)
    np.testing.assert_allclose(seen @ seen.T, kernel(BEND, decades, decades), atol=2e-6 * 0.01)
    fewer = Features(BEND, features.points[:-3]).at(decades)  # the control
    assert np.abs(fewer @ fewer.T - kernel(BEND, decades, decades)).max() > 2e-6 * 0.01


def test_pivots_stop_where_nothing_is_left_or_too_many_are_needed(decades):
    assert len(features_of_runs(BEND, np.repeat(decades[:1], 9, axis=0)).points) == 1
    rough = np.random.default_rng(0).uniform(0, 4, (300, 2))
    assert len(features_of_runs(Bend(0.1, 0.2), rough).points) == FEATURES


def test_features_beyond_begin_with_those_of_the_runs(bending, everywhere, decades):
    among = len(bending.features.points)
    np.testing.assert_array_equal(everywhere.points[:among], bending.features.points)
    further = everywhere.at(decades)[:, among:]
    assert np.abs(further).max() < 2e-3 * BEND.sd  # no run has a say in them
    far = decades.max(axis=0, keepdims=True) + 2.0
    left = [BEND.sd**2 - (one.at(far) ** 2).sum() for one in (bending.features, everywhere)]
    assert left[0] > 0.3 * BEND.sd**2
    assert abs(left[1]) < 1e-3 * BEND.sd**2


def wide_and_narrow(spec, inputs) -> list[Bending]:
    table = simulated_table()
    weight = np.random.default_rng(1).uniform(0.2, 1.0, len(table))
    log_loss, found = np.log(table["loss"].to_numpy()), []
    stated = placed(spec, {"observed": log_loss, "weight": weight}).priors
    for factor in (30.0, 0.03):
        priors = {
            name: (prior.support, prior.on_line()[0], factor * prior.on_line()[1])
            for name, prior in stated.items()
        }
        found.append(bending_of(chinchilla, BEND, inputs, log_loss, weight, priors, {}))
    return [*found, weight]


def test_a_bend_has_no_part_that_the_law_can_draw(spec, inputs, decades):
    wide, narrow, weight = wide_and_narrow(spec, inputs)
    features = wide.features.at(decades)
    for own, orthogonal in ((wide, True), (narrow, False)):
        tangents = np.stack(own.tangents(inputs), axis=1)
        root = np.sqrt(weight)[:, None]
        left = features - tangents @ np.linalg.lstsq(root * tangents, root * features)[0]
        inner = (root * tangents).T @ (root * own.basis(inputs))
        sizes = np.linalg.norm(root * tangents, axis=0)[:, None] * np.linalg.norm(features)
        assert (np.abs(inner / sizes).max() < 1e-4) == orthogonal
        assert np.allclose(own.basis(inputs), left, atol=1e-3 * BEND.sd) == orthogonal


def test_the_best_law_is_where_its_own_runs_lie(spec, bending):
    """Simulated from `LAW` with noise of half a per cent: so are the tangents taken there."""
    sampled = dict(zip(spec.priors, bending.line, strict=True))
    assert np.exp(sampled["alpha"]) == pytest.approx(LAW["alpha"], rel=0.15)
    assert np.exp(sampled["beta"]) == pytest.approx(LAW["beta"], rel=0.15)
    at = (np.array([1e9]), np.array([2e10]))
    assert np.exp(bending.log_law(at, bending.line))[0] == pytest.approx(
        chinchilla(1e9, 2e10, **LAW), rel=0.01
    )


def drawn(bending: Bending, everywhere: Features, draws: int = 5, size: float = 1.0) -> Drawn:
    """Draws of how much a law bends, from the prior times a size."""
    shape = (draws, len(everywhere.points))
    return Drawn(bending, everywhere, size * np.random.default_rng(3).standard_normal(shape))


def bend_by_hand(one: Drawn, draw: int, params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Interpolate the Gaussian process between its values at the points; less what is the law's."""
    places, points = np.log10(np.stack([params, tokens], axis=1)), one.features.points
    own = kernel(BEND, points, points) + 1e-9 * BEND.sd**2 * np.eye(len(points))
    values = np.linalg.cholesky(own) @ one.coefficients[draw]
    surface = kernel(BEND, places, points) @ np.linalg.solve(own, values)
    bending = one.bending
    step = bending.shift @ one.coefficients[draw, : bending.shift.shape[1]]
    ahead, behind = (
        bending.log_law((params, tokens), bending.line + sign * 1e-4 * step) for sign in (1, -1)
    )
    return surface - (ahead - behind) / 2e-4


def test_a_bent_law_is_the_law_times_a_draw_of_the_process(bending, everywhere):
    one = drawn(bending, everywhere)
    law = bent([one], chinchilla)
    params, tokens = np.geomspace(1e8, 1e11, 7), np.geomspace(1e9, 1e13, 7)[::-1]
    for draw in range(5):
        expected = chinchilla(params, tokens, **LAW) * np.exp(
            bend_by_hand(one, draw, params, tokens)
        )
        found = law(params, tokens, **LAW, bend=draw)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert not np.allclose(found, law(params, tokens, **LAW, bend=draw - 1), rtol=1e-3)


def test_draws_of_members_lie_side_by_side(bending, everywhere):
    one = drawn(bending, everywhere)
    other = replace(one, coefficients=-one.coefficients)
    at = (np.array([3e9]), np.array([1e11]))
    alone = [bent([own], chinchilla)(*at, **LAW, bend=2) for own in (one, other)]
    both = bent([one, other], chinchilla)
    for number, expected in zip((2, 7), alone, strict=True):
        np.testing.assert_allclose(both(*at, **LAW, bend=number), expected, rtol=1e-12)
    assert abs(alone[0] / alone[1] - 1) > 1e-3


@pytest.mark.parametrize("flops", [1e20, 3e22])
def test_the_optimum_of_a_bent_law_is_the_least_of_a_fine_grid(bending, everywhere, flops):
    one = drawn(bending, everywhere, draws=20)
    law, number = bent([one], chinchilla), np.arange(20)
    found = law.optimum(np.full(20, flops), 6.0, **LAW, bend=number)
    assert np.isfinite(found).mean() > 0.9
    centre = chinchilla.optimum(flops, 6.0, **LAW)
    moved = 0
    for draw in np.flatnonzero(np.isfinite(found)):

        def loss(log_params, draw=draw):
            params = np.exp(log_params)
            return law(params, flops / (6 * params), **LAW, bend=draw)

        grid = np.log(centre) + np.log(10) * np.linspace(-2, 2, 2001)
        least = grid[np.argmin(loss(grid))]
        best = minimize_scalar(loss, bounds=(least - 0.01, least + 0.01), options={"xatol": 1e-9})
        assert loss(np.log(found[draw])) - best.fun < 1e-9
        assert np.log(found[draw]) == pytest.approx(best.x, abs=2e-3)
        moved += abs(np.log(centre) - best.x) > 0.05
    assert moved > 10  # the control: it is not that of the law alone


def test_between_nodes_a_bend_is_what_its_parts_say(bending, everywhere, inputs, monkeypatch):
    """Searches ask splines; those of coarse nodes are the control."""
    one, rng = drawn(bending, everywhere, draws=9), np.random.default_rng(0)
    at = [10 ** rng.uniform(np.log10(x.min()) - 1, np.log10(x.max()) + 3, 999) for x in inputs]
    at[0][:9] = 1e40  # farther out than any node
    number, law = rng.integers(9, size=999), chinchilla(*at, **LAW)
    parts = np.diag(bent([one], chinchilla)(*at, **LAW, bend=np.arange(9)[:, None])[number])
    np.testing.assert_allclose(bent([one], chinchilla)(*at, **LAW, bend=number), parts, 5e-6)
    monkeypatch.setattr("bayescale.posterior.surface._NODES", 2)
    coarse = bent([one], chinchilla)(*at, **LAW, bend=number)
    assert np.abs(coarse / parts - 1)[9:].max() > 1e-4
    assert np.abs(parts / law - 1).max() > 0.1


def test_a_bend_along_one_axis_is_the_same_along_the_other(spec, inputs):
    along = replace(spec, bend=replace(spec.bend, along=(True, False)))
    data = model_data(along, read_runs(simulated_table()))
    bending = bending_from(along, data)
    # Less what the law can draw of it, which is along both axes.
    free = replace(bending, shift=0 * bending.shift)
    one = drawn(free, features_beyond(bending.features, inputs))
    law, sizes = bent([one], chinchilla), np.geomspace(1e8, 1e11, 5)
    factors = [
        law(sizes, tokens, **LAW, bend=2) / chinchilla(sizes, tokens, **LAW)
        for tokens in (1e9, 1e14)
    ]
    np.testing.assert_allclose(*factors, rtol=1e-9)
    assert np.ptp(factors[0]) > 1e-2
    assert (data["bend_basis"][:, -1] == 0).all()  # fewer points among the runs tell all of it
    law = bent([drawn(bending, one.features, size=0.3)], chinchilla)
    flops = np.full(5, 2e21)
    best = law.optimum(flops, 6.0, **LAW, bend=np.arange(5))
    least = law(best, flops / (6 * best), **LAW, bend=np.arange(5))
    np.testing.assert_allclose(law.compute(least, 6.0, **LAW, bend=np.arange(5)), flops, rtol=1e-3)


@pytest.mark.parametrize("slope", [3.0, -3.0])
def test_there_is_no_optimum_where_the_loss_keeps_falling(bending, everywhere, slope):
    points = everywhere.points
    values = slope * (points[:, 0] - points[:, 0].mean())
    tilted = np.linalg.solve(everywhere.factor, values) / BEND.sd
    free = replace(bending, shift=0 * bending.shift)
    one = Drawn(free, everywhere, np.stack([tilted, 0 * tilted]))
    law = bent([one], chinchilla)
    best = law.optimum(np.full(2, 1e20), 6.0, **LAW, bend=np.arange(2))
    assert np.isnan(best[0])
    assert best[1] == pytest.approx(chinchilla.optimum(1e20, 6.0, **LAW), rel=1e-3)


def test_compute_is_the_inverse_of_the_least_loss(bending, everywhere):
    one = drawn(bending, everywhere, size=0.3)
    law, number, flops = bent([one], chinchilla), np.arange(5), np.full(5, 2e21)
    params = law.optimum(flops, 6.0, **LAW, bend=number)
    loss = law(params, flops / (6 * params), **LAW, bend=number)
    np.testing.assert_allclose(law.compute(loss, 6.0, **LAW, bend=number), flops, rtol=1e-3)
    assert (law.compute(0.999 * loss, 6.0, **LAW, bend=number) > 1.005 * flops).all()
    assert np.isinf(law.compute(0.1 * loss, 6.0, **LAW, bend=number)).all()
    assert np.isnan(law.compute(100 * loss, 6.0, **LAW, bend=number)).all()


def test_a_fit_looks_once_for_the_best_law_of_its_runs(spec, monkeypatch):
    looked, real = [], bend_module._best_law

    def counted(*arguments):
        looked.append(1)
        return real(*arguments)

    monkeypatch.setattr(bend_module, "_best_law", counted)
    runs = read_runs(simulated_table(seed=11))
    own = fit(runs, spec, draws=20, tune=20, chains=1, target_accept=0.9, progress=False)
    assert own.bending[0].line.shape == (5,)
    assert len(looked) == 1
    assert bending_from(spec, own.data) is own.bending[0]
    other = {**own.data, "observed": own.data["observed"] + 1e-12}
    assert bending_from(spec, other) is not own.bending[0]
    assert len(looked) == 2


def test_a_law_without_an_optimum_bends_without_one(everywhere, bending):
    law = bent([drawn(bending, everywhere)], replace(chinchilla, allocation=Allocation()))
    assert law.optimum is None
    assert law.compute is None
