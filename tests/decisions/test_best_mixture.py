"""The best mixture: known optima, caps, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import simulated_mixtures

import bayescale as bs
from bayescale.decisions.mixtures import _errors, _least_of, _objective, _spacing, _within

PARTS = ("web", "code", "books")
B, BETA = np.array([1.0, 0.4, 0.1]), 0.35
OMEGA = np.array([0.5, 0.2, 0.3])
LOW, HIGH = np.full(3, 1e-4), np.ones(3)
EXACT = (OMEGA * B) ** (1 / (1 + BETA))
EXACT /= EXACT.sum()


def objective(shares):
    return np.tensordot(OMEGA * B, shares**-BETA, axes=1)


def test_each_corpus_teaching_its_own_target_has_the_exact_optimum():
    start = np.full((3, 1), 1 / 3)
    found = _least_of(objective, start, LOW, HIGH)[:, 0]
    assert found == pytest.approx(EXACT, abs=1e-3)
    wrong = (OMEGA * B) ** (1 / BETA)
    assert np.abs(found - wrong / wrong.sum()).max() > 0.05


def test_an_active_cap_leaves_the_others_in_proportion():
    cap = EXACT[0] - 0.1
    high = np.array([cap, 1.0, 1.0])
    found = _least_of(objective, np.full((3, 1), 1 / 3), LOW, high)[:, 0]
    expected = np.append(cap, EXACT[1:] / EXACT[1:].sum() * (1 - cap))
    assert found == pytest.approx(expected, abs=1e-3)


def test_nearest_mixture_within_bounds_sums_to_one():
    low, high = np.array([0.1, 0.0, 0.0]), np.array([0.5, 0.3, 1.0])
    found = _within(np.array([[0.9], [0.09], [0.01]]), low, high)[:, 0]
    assert found.sum() == pytest.approx(1.0)
    assert (found >= low - 1e-12).all()
    assert (found <= high + 1e-12).all()


def made(tried, model="mixture", **values):
    """A fit of known draws: numbers of each draw, or of each draw and part, and target last."""
    spec = bs.load_model(model)
    vectors = {n for n, own in spec.law.supports.items() if own.along}
    draws = {}
    for name, own in values.items():
        dims = ("draw", *(["w"] if name in vectors else []))
        array = np.asarray(own, dtype=float)
        dims += ("group",) if array.ndim > len(dims) else ()
        draws[name] = (("chain", *dims), array[None])
    coords = {"w": list(PARTS), **({"group": ["code", "prose"]} if spec.group else {})}
    table = tried.rename(columns=lambda name: f"w_{name}" if name in PARTS else name)
    table = table.assign(target=np.where(np.arange(len(table)) % 2, "code", "prose"))
    runs = bs.Runs(table.assign(loss=3.0, run=table.index.astype(str)), "made")
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws, coords=coords)})
    return bs.Fit(spec, runs, tree)


def tried(number=12, seed=0):
    return pd.DataFrame(
        np.random.default_rng(seed).dirichlet([2.0, 2.0, 2.0], number), columns=PARTS
    )


def power_sums(draws=4, **changed):
    """Draws of one law, in which web is worth most and books least."""
    known = {"E": 1.5, "gamma": 0.5, "kappa": 1.0, "sigma": 0.004, "nu": 8.0} | changed
    known = {name: np.broadcast_to(value, draws) for name, value in known.items()}
    return {"C": np.broadcast_to([3.0, 2.0, 1.0], (draws, 3))} | known


@pytest.mark.parametrize(("draws", "asked"), [(1, 1), (399, 399), (400, 400), (799, 400)])
def test_no_more_draws_are_asked_than_it_takes(draws, asked):
    floors = np.linspace(1.0, 2.0, draws)
    own = _objective(made(tried(), **power_sums(draws, E=floors)), bs.MixturePlan())
    kept = own.natural["E"][:, 0]
    assert own.draws == len(kept) == asked
    assert kept[[0, -1]] == pytest.approx(floors[[0, -1]])  # from the first to the last
    assert np.diff(kept, 2) == pytest.approx(0.0, abs=1.5 / draws)  # evenly


CAPPED = bs.MixturePlan(  # a tenth of the tokens at most of books, half at least of web
    tokens=1e9, unique_tokens={"books": 2.5e7}, least={"web": 0.5}, most={"books": 0.9, "web": 0.9}
)


@pytest.mark.parametrize(
    ("default", "nearest"),
    [
        ({"web": 0.4, "code": 0.4, "books": 0.2}, [0.5, 0.4, 0.1]),
        ({"web": 0.5, "code": 0.2, "books": 0.3}, [0.9 * 5 / 7, 0.9 * 2 / 7, 0.1]),
    ],
)
def test_default_beyond_caps_gives_way_to_the_nearest_that_can_be_had(default, nearest):
    fit = made(tried(), **power_sums())
    found = bs.best_mixture(fit, replace(CAPPED, default=default))
    assert not found.default_allowed
    assert found.asked == pytest.approx(list(default.values()))
    assert found.default == pytest.approx(nearest, abs=1e-3)
    law = fit.spec.law(found.default[:, None, None], **_objective(fit, CAPPED).natural)
    assert found.gain == pytest.approx(law[:, 0] - found.objective)
    said = str(bs.answer_mixture(fit, found))
    assert f"books {100 * default['books']:.0f}% (at most 10%)" in said
    assert "allowed mixture nearest to the default" in said


def test_default_that_can_be_had_is_compared_as_it_is():
    fit, own = made(tried(), **power_sums()), {"web": 0.6, "code": 0.35, "books": 0.05}
    found = bs.best_mixture(fit, replace(CAPPED, default=own))
    assert found.default_allowed
    assert found.default == pytest.approx(list(own.values()))
    assert "No run can have" not in str(bs.answer_mixture(fit, found))


def test_mean_of_the_runs_is_held_to_caps_as_well():
    fit = made(tried(), **power_sums())
    found = bs.best_mixture(fit, CAPPED)
    assert found.default == pytest.approx([0.5, 0.4, 0.1], abs=1e-3)
    assert "No run can have the mean of the tried mixtures" in str(bs.answer_mixture(fit, found))
    title, head, *rows = str(found).splitlines()
    assert title == f"Mixture of the least loss on {', '.join(found.targets)}"
    assert head.split()[:2] == ["corpus", "share"]
    for row, part, share in zip(rows, found.parts, found.recommended, strict=False):
        assert row.split()[:2] == [part, f"{share:.1%}"]


def test_default_of_one_corpus_leaves_the_rest_to_others():
    found = bs.best_mixture(made(tried(), **power_sums()), replace(CAPPED, default={"books": 1.0}))
    assert found.default.sum() == pytest.approx(1.0)
    assert found.default == pytest.approx([0.5, 0.4, 0.1], abs=1e-6)


def test_the_next_mixture_is_said_whole_where_corpora_are_few():
    fit = made(tried(), **power_sums())
    found = replace(bs.best_mixture(fit, bs.MixturePlan()), regret=np.ones(4))
    assert found.next_mixture.size == 3
    assert "Try next: " in str(bs.answer_mixture(fit, found))
    assert ", ..." not in str(bs.answer_mixture(fit, found))


def test_a_share_that_all_draws_want_at_its_bound_has_no_interval():
    worth = np.array([[3.0, 2.0, 1.0], [4.0, 2.0, 1.0], [3.5, 2.0, 1.0], [3.0, 1.8, 1.0]])
    fit = made(tried(), **power_sums() | {"C": worth})
    free, held = (
        str(bs.answer_mixture(fit, bs.best_mixture(fit, bs.MixturePlan(most=most))))
        for most in ({}, {"web": 0.4})
    )
    assert "web 40.0% (the most allowed)" in held
    assert "the most allowed" not in free


@pytest.mark.parametrize("params", [7e9, 1.02e8, None])
def test_a_size_that_the_law_does_not_read_is_said(params):
    """Else the loss of the small runs passes for that of the planned one."""
    fit = made(tried().assign(params=1e8, tokens=2e9), **power_sums())
    plan = bs.MixturePlan(params=params, tokens=params and 20 * params)
    said = str(bs.answer_mixture(fit, bs.best_mixture(fit, plan)))
    assert ("no run says how" in said) == (params == 7e9)
    if params == 7e9:
        assert "All runs have about 100M params and 2.00B tokens" in said
        assert "how they move to 7.00B params and 140B tokens" in said


UNIQUE = {"web": 6e8, "code": 3e8, "books": 1e8}


def test_corpora_in_proportion_to_unique_tokens_are_compared_with():
    fit = made(tried(), **power_sums())
    plan = bs.MixturePlan(tokens=2e9, unique_tokens=UNIQUE, default={"code": 1.0})
    found = bs.best_mixture(fit, plan)
    shares, gain = found.proportional
    assert shares == pytest.approx([0.6, 0.3, 0.1])
    law = fit.spec.law(shares[:, None, None], **_objective(fit, plan).natural)
    assert gain == pytest.approx(law[:, 0] - found.objective)
    assert gain.mean() != pytest.approx(found.gain.mean())
    said = "in proportion to their unique tokens (web 60%, code 30%, books 10%)"
    assert said in str(bs.answer_mixture(fit, found))


def test_proportional_mixture_is_within_shares_that_were_given():
    plan = bs.MixturePlan(tokens=2e9, unique_tokens=UNIQUE, least={"books": 0.2})
    shares, _ = bs.best_mixture(made(tried(), **power_sums()), plan).proportional
    assert shares == pytest.approx([0.8 * 2 / 3, 0.8 / 3, 0.2], abs=1e-3)


def test_no_proportion_is_known_of_corpora_that_have_enough():
    fit = made(tried(), **power_sums())
    for unique in ({}, {"web": 6e8, "code": 3e8}):
        found = bs.best_mixture(fit, bs.MixturePlan(tokens=1e9, unique_tokens=unique))
        assert found.proportional is None
        assert "unique tokens" not in str(bs.answer_mixture(fit, found))


STEEP = {
    "gamma": 2.0,
    "kappa": 1.0,
}  # teaching by squares of shares: each corpus alone is a minimum


def on_a_grid(own):
    """The best shares of each draw, by brute force."""
    places = np.linspace(0.01, 0.97, 97)
    web, code = (one.ravel() for one in np.meshgrid(places, places))
    inside = np.abs(1 - web - code - 0.49) < 0.481
    shares = np.stack([web, code, 1 - web - code])[:, inside]
    return shares[:, own.values(shares[..., None]).argmin(axis=0)]


def leaning_to_code():
    """Tried mixtures whose mean has little web, and whose ends are nearly one corpus alone."""
    corners = 0.96 * np.eye(3) + 0.01
    return pd.DataFrame(np.append(corners, np.tile([0.1, 0.8, 0.1], (9, 1)), axis=0), columns=PARTS)


def test_of_two_minima_the_lower_one_is_recommended():
    worth = np.broadcast_to([2.2, 2.0, 0.5], (4, 3))
    fit = made(leaning_to_code(), **power_sums(**STEEP) | {"C": worth})
    found = bs.best_mixture(fit)
    low, high = found.low, found.high
    mean = _objective(fit, bs.MixturePlan()).mean()
    near = _least_of(mean, np.array([[0.1], [0.8], [0.1]]), low, high)[:, 0]
    assert near.argmax() == 1  # the control: one start ends in the minimum of code
    assert mean(found.recommended) < mean(near) - 0.01
    assert found.recommended == pytest.approx([0.97, 0.02, 0.01], abs=0.011)
    assert found.regret == pytest.approx(0.0, abs=1e-5)


def test_draws_have_their_own_minima():
    worth = np.array([[2.2, 2.0, 0.5], [2.0, 2.2, 0.5], [0.5, 2.0, 2.2], [2.2, 2.0, 0.5]])
    fit = made(leaning_to_code(), **power_sums(**STEEP) | {"C": worth})
    found = bs.best_mixture(fit)
    own = _objective(fit, bs.MixturePlan())
    exact = on_a_grid(own)
    assert found.best.argmax(axis=1).tolist() == exact.argmax(axis=0).tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(own.values(found.best.T), own.values(exact), atol=2e-3)


def test_mixture_for_one_target_alone_is_the_lowest_of_several_minima():
    worth = np.stack([[2.2, 2.0, 0.5], [0.5, 2.0, 2.2]], axis=-1)
    values = power_sums(**STEEP) | {"C": np.broadcast_to(worth, (4, 3, 2))}
    fit = made(leaning_to_code(), "mixture-hierarchical", **values)
    found = bs.best_mixture(fit)
    corner = fit.spec.law(
        np.array([0.97, 0.02, 0.01])[:, None, None], **_objective(fit, found.plan).natural
    )
    assert found.alone[0, 0] == pytest.approx(corner[0, 0], abs=2e-3)
    assert found.alone[1, 1] == pytest.approx(corner[0, 0], abs=2e-3)


def of_two_targets(trained, sigma):
    """Draws of which half say that web is best for both targets, and half that code is."""
    worth = np.array([[4.0, 1.0, 0.5], [1.0, 4.0, 0.5]] * 20)[..., None] * [1.0, 1.0]
    values = power_sums(40, nu=5.0) | {"C": worth, "sigma": np.tile(sigma, (40, 1))}
    scale = {"trained_effect_scale": np.full(40, trained)}
    return made(tried(), "mixture-hierarchical", **values, **scale)


def test_errors_of_a_run_are_shared_by_its_targets():
    found = _errors(of_two_targets(0.02, sigma=[0.01, 0.03]))
    assert found == pytest.approx(np.diag([1e-4, 9e-4]) * 8 / 6 + 4e-4)


def test_errors_of_cells_are_of_each_target():
    fit = of_two_targets(0.02, sigma=[0.01, 0.01])
    spec = bs.load_model("mixture-joint-hierarchical")
    cell = xr.DataArray(np.full((1, 40), 0.05), dims=("chain", "draw"))
    tree = xr.DataTree.from_dict({"posterior": fit.posterior.assign(cell_effect_scale=cell)})
    found = _errors(bs.Fit(spec, fit.runs, tree))
    assert found == pytest.approx(np.eye(2) * (1e-4 * 8 / 6 + 25e-4) + 4e-4)


def test_one_target_has_its_name_without_groups():
    fit = made(tried(), **power_sums())
    fit = replace(fit, runs=replace(fit.runs, table=fit.runs.table.assign(target="code")))
    assert bs.best_mixture(fit, bs.MixturePlan(importance={"code": 2.0})).targets == ("code",)
    with pytest.raises(bs.FitError, match="no target 'prose'"):
        bs.best_mixture(fit, bs.MixturePlan(importance={"prose": 2.0}))


def test_run_whose_losses_err_together_teaches_less_of_what_they_have_in_common():
    known, unknown = (bs.best_mixture(of_two_targets(own, [1e-3] * 2)) for own in (1e-4, 0.3))
    assert known.next_regret < 0.1 * known.regret.mean()
    assert unknown.next_regret > 0.5 * unknown.regret.mean()


def joint(draws=4):
    """Draws of a joint law: code lowers what few tokens cost, web what none remove."""
    numbers = {"E": 1.5, "A": 60.0, "B": 300.0, "alpha": 0.3, "beta": 0.3, "k": 1.0, "gamma": 0.5}
    vectors = {"C": [5.0, 1.0, 0.5], "t_params": [0.0, 0.0, 0.0], "t_tokens": [0.5, -0.5, 0.0]}
    vectors = {name: np.broadcast_to(own, (draws, 3)) for name, own in vectors.items()}
    numbers = {name: np.full(draws, own) for name, own in numbers.items()}
    scales = {"params": [1e9] * 6 + [1e8] * 6, "tokens": [2e10] * 6 + [2e9] * 6}
    noise = {"sigma": np.full(draws, 0.004), "nu": np.full(draws, 8.0)}
    return made(tried().assign(**scales), "mixture-joint", **numbers, **vectors, **noise)


def test_mixture_that_is_best_for_the_smallest_runs_is_priced_at_the_planned_run():
    fit, plan = joint(), bs.MixturePlan(params=1e11, tokens=2e12)
    found = bs.best_mixture(fit, plan)
    params, tokens, regret = found.elsewhere
    assert (params, tokens) == (1e8, 2e9)
    there = bs.best_mixture(fit, replace(plan, params=1e8, tokens=2e9))
    moved = np.abs(there.recommended - found.recommended).max()
    assert moved > 0.05
    own = _objective(fit, plan)
    expected = own.values(there.recommended[:, None]) - own.values(found.recommended[:, None])
    assert regret == pytest.approx(expected, abs=1e-5)
    assert regret.min() > 0.002
    assert "the smallest runs, would cost 0.0559 nats" in str(bs.answer_mixture(fit, found))
    assert there.elsewhere[2] == pytest.approx(0.0, abs=1e-5)  # the control: nothing moves


def test_one_odd_mixture_does_not_make_all_others_look_near():
    shares = np.linspace(0.2, 0.29, 10)
    near = np.stack([shares, 0.5 - shares, np.full(10, 0.5)], axis=1)
    odd = np.append(near, [[0.0, 1.0, 0.0]], axis=0)
    assert _spacing(odd) == pytest.approx(_spacing(near)) == pytest.approx(0.01)
    apart = np.eye(3)  # the control: all of them are far from each other
    assert _spacing(apart) == 1.0


def test_mixtures_equal_but_for_digits_are_no_neighbours():
    shares = np.array([[0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])
    again = shares + np.array([1e-5, -1e-5, 0.0])
    assert _spacing(np.append(shares, again, axis=0)) == _spacing(shares) > 0


def test_mixture_away_from_the_tried_ones_is_far_although_an_odd_run_is_alone():
    near = tried(20).to_numpy() / 10 + np.array([0.0, 0.0, 0.9])
    shares = pd.DataFrame(np.append(near, [[0.0, 1.0, 0.0]], axis=0), columns=PARTS)
    found = bs.best_mixture(made(shares, **power_sums()), bs.MixturePlan(most={"web": 1.0}))
    assert found.is_far
    assert "nine of ten tried mixtures" in str(
        bs.answer_mixture(made(shares, **power_sums()), found)
    )


def test_a_fit_of_mixtures_alone_shows_itself_and_is_held_against_others():
    fit = made(tried(), **power_sums() | {"C": np.tile([2.2, 2.0, 0.5], (4, 1))})
    shown = repr(fit)
    assert "answer_mixture(fit, best_mixture(fit))" in shown
    assert "report" not in shown
    assert "mixture" in fit._repr_html_()
    held = bs.answer_held_out(fit, fit.runs)
    assert "of 12 lie inside" in str(held)
    assert [*held.numbers["held_out"]["rows"][0]] == ["run", "loss", "residual", "predicted"]


def test_what_needs_a_size_is_refused_of_a_law_of_mixtures_alone(tmp_path):
    fit = of_two_targets(0.02, sigma=[0.01, 0.03])
    assert fit.spec.size == ""
    with pytest.raises(bs.FitError, match="best_mixture"):
        bs.write_report(fit, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(bs.ModelError, match="mixture alone"):
        bs.backtest(fit.runs, "mixture-hierarchical")
    with pytest.raises(bs.FitError, match="plot_mixture"):
        bs.plot_curve(fit.of_group("code"))


@pytest.mark.slow
def test_checks_of_mixtures_alone_ask_what_decides_the_best_run():
    runs = bs.read_mixtures(simulated_mixtures())
    fit = bs.fit(runs, "mixture-hierarchical", draws=250, tune=500)
    checks = {check.name: check for check in bs.check_fit(fit)}
    assert "the loss of the best run" in checks["influential runs"].message
    with pytest.raises(bs.FitError, match="mixture alone"):
        bs.compare({"one": fit, "other": fit})
