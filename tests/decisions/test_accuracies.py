"""Accuracies of tasks by one law, and by a loss that feeds a link, of hand-made posteriors."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_task_fit

from bayescale import (
    Accuracies,
    Fit,
    FitError,
    Runs,
    RunsError,
    constants_fit,
    parse_model,
    predict,
    predict_runs,
)
from bayescale.laws import (
    ACCURACY,
    AXIS,
    LAWS,
    PARAMS,
    POSITIVE,
    TOKENS,
    Coordinates,
    chinchilla,
    context,
    law,
    loss_to_accuracy,
)
from bayescale.modelling.inputs import inputs_of

CHANCE = context("chance", scale="linear")
OF_ACCURACY = """
law = "known_accuracy"
group = "task"

[pooling]
A = "none"
alpha = "none"

[priors]
A = { dist = "LogNormal", mu = 4.0, sigma = 1.0 }
B = { dist = "LogNormal", mu = 6.0, sigma = 1.0 }
alpha = { dist = "LogNormal", mu = -1.3, sigma = 0.4 }
beta = { dist = "LogNormal", mu = -1.3, sigma = 0.4 }

[noise]
dist = "Binomial"
"""
OF_FLOPS = """
law = "known_along"
axis = "flops"

[response]
chance = 0.25
trials = 400

[priors]
A = { dist = "LogNormal", mu = 10.0, sigma = 1.0 }
gamma = { dist = "LogNormal", mu = -1.3, sigma = 0.4 }

[noise]
dist = "Binomial"
"""
OF_LINK = """
law = "loss_to_accuracy"
axis = "loss"
group = "task"

[pooling]
level = "none"
sharpness = "none"
luck = "none"

[priors]
level = { dist = "Normal", mu = 0.2, sigma = 1.0 }
sharpness = { dist = "LogNormal", mu = 0.7, sigma = 0.7 }
luck = { dist = "LogNormal", mu = 0.0, sigma = 1.0 }

[noise]
dist = "Binomial"
"""
OF_TASK_LOSS = """
law = "chinchilla"
group = "task"

[pooling]
level = "none"

[priors]
level = { dist = "Normal", mu = 1.0, sigma = 1.0 }
reducible = { dist = "LogitNormal", mu = 0.0, sigma = 1.0 }
split = { dist = "LogitNormal", mu = 0.0, sigma = 1.0 }
alpha = { dist = "LogNormal", mu = -1.3, sigma = 0.4 }
beta = { dist = "LogNormal", mu = -1.3, sigma = 0.4 }

[noise]
dist = "Normal"
sigma = { dist = "LogNormal", mu = -4.6, sigma = 1.0 }
"""
TRUTH = {"A": 60.0, "B": 900.0, "alpha": 0.25, "beta": 0.3}
N, D = np.array([1e9, 7e9]), np.array([2e10, 1e12])


@pytest.fixture(scope="module", autouse=True)
def known_laws():
    """Two laws of an accuracy whose parameters are sampled as they are, forgotten afterwards."""

    def as_they_are(*names):
        supports = dict.fromkeys(names, POSITIVE)
        coordinates = Coordinates(supports, lambda sampled, reference, function: dict(sampled))
        return {"parameters": supports, "coordinates": coordinates}

    @law(
        response=ACCURACY,
        inputs=(PARAMS, TOKENS, CHANCE),
        **as_they_are("A", "B", "alpha", "beta"),
    )
    def known_accuracy(params, tokens, chance, *, A, B, alpha, beta):
        """Accuracy c + (1 - c) Q of N and D."""
        return chance + (1 - chance) * np.exp(-(A * params**-alpha + B * tokens**-beta))

    @law(response=ACCURACY, inputs=(AXIS, CHANCE), **as_they_are("A", "gamma"))
    def known_along(x, chance, *, A, gamma):
        """Accuracy c + (1 - c) Q along one axis."""
        return chance + (1 - chance) * np.exp(-A * x**-gamma)

    yield
    del LAWS["known_accuracy"], LAWS["known_along"]


def known(text, table, **values):
    """A posterior of given draws: arrays are (draws,) or (draws, groups)."""
    spec = parse_model(text, "known")
    dims = ("chain", "draw", "group")
    groups = sorted(table[spec.group].unique()) if spec.group else []
    found = xr.Dataset(coords={"group": groups} if groups else {})
    for name, value in values.items():
        array = np.asarray(value, dtype=float)[None]
        found[name] = (dims[: array.ndim], array)
    return Fit(spec, Runs(table, "known"), xr.DataTree.from_dict({"posterior": found}))


def of_tasks(**tasks):
    """One row a task, with its chance level and number of items."""
    table = pd.DataFrame([{"run": name, "task": name, **values} for name, values in tasks.items()])
    return table.assign(params=1e9, tokens=2e10, flops=1.2e20, accuracy=0.5)


TASKS = of_tasks(easy={"chance": 0.25, "trials": 1000.0}, hard={"chance": 0.0, "trials": 40.0})


def direct_fit(draws=50, table=TASKS):
    rng = np.random.default_rng(1)
    each = {name: value * np.exp(0.1 * rng.standard_normal(draws)) for name, value in TRUTH.items()}
    two = {name: np.stack([each[name], 1.5 * each[name]], axis=-1) for name in ("A", "alpha")}
    return known(OF_ACCURACY, table, **{**each, **two})


def test_a_direct_law_says_each_task_at_its_own_chance_level():
    fit = direct_fit()
    accuracies = Accuracies.direct(fit)
    found = accuracies.at(N, D)
    assert accuracies.tasks == ("easy", "hard")
    assert (accuracies.chance, accuracies.trials) == (
        {"easy": 0.25, "hard": 0.0},
        {"easy": 1000.0, "hard": 40.0},
    )
    assert dict(found.sizes) == {"chain": 1, "draw": 50, "task": 2, "plan": 2}
    for place, (task, chance) in enumerate(accuracies.chance.items()):
        own = {name: fit.natural[name] for name in TRUTH}
        own = {
            n: (v.isel(group=place) if "group" in v.dims else v).to_numpy() for n, v in own.items()
        }
        for plan in range(2):
            lost = own["A"] * N[plan] ** -own["alpha"] + own["B"] * D[plan] ** -own["beta"]
            expected = chance + (1 - chance) * np.exp(-lost)
            np.testing.assert_allclose(found.sel(task=task).isel(plan=plan), expected, rtol=1e-12)


def test_one_task_is_as_it_is_among_all():
    fit = direct_fit()
    alone = Accuracies.direct(fit.of_group("hard"))
    assert alone.tasks == ("hard",)
    xr.testing.assert_allclose(alone.at(N, D), Accuracies.direct(fit).at(N, D).sel(task=["hard"]))
    xr.testing.assert_allclose(alone.at(N, D), Accuracies.direct(fit).of(["hard"]).at(N, D))


def test_measured_accuracies_are_whole_numbers_of_items_about_the_law():
    accuracies = Accuracies.direct(direct_fit(4000))
    law, new = accuracies.at(N, D), accuracies.new(N, D)
    counts = new * xr.DataArray([1000, 40], dims="task")
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    apart = (new - law).std(("chain", "draw"))
    expected = np.sqrt(
        (law * (1 - law)).mean(("chain", "draw")) / counts.task.copy(data=[1000, 40])
    )
    np.testing.assert_allclose(apart, expected, rtol=0.1)
    assert new.identical(accuracies.new(N, D, seed=1))
    assert not new.equals(accuracies.new(N, D, seed=2))


def test_an_axis_of_compute_is_what_plans_cost():
    fit = known(OF_FLOPS, TASKS.drop(columns=["chance", "trials"]), A=[3e4], gamma=[0.25])
    accuracies = Accuracies.direct(fit)
    expected = 0.25 + 0.75 * np.exp(-3e4 * (6 * N * D) ** -0.25)
    np.testing.assert_allclose(accuracies.at(N, D).squeeze(), expected, rtol=1e-12)
    assert accuracies.trials == {"accuracy": 400.0}


def test_what_is_no_law_of_an_accuracy_of_plans_is_refused():
    loss = constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    with pytest.raises(FitError, match="says the loss of a run, not the accuracy"):
        Accuracies.direct(loss)
    other = known(OF_FLOPS.replace('"flops"', '"bpb"'), TASKS.assign(bpb=1.0), A=[3], gamma=[0.3])
    with pytest.raises(FitError, match="reads bpb, which params and tokens of a plan do not say"):
        Accuracies.direct(other)
    mixed = pd.concat([TASKS, TASKS.assign(chance=0.5)])
    with pytest.raises(FitError, match=r"task easy have the chance levels 0\.25 to 0\.5"):
        Accuracies.direct(direct_fit(table=mixed))
    with pytest.raises(FitError, match="no task 'hrad'; did you mean"):
        Accuracies.direct(direct_fit()).of(["hrad"])


def test_one_chance_level_may_be_rounded_in_some_rows():
    third = np.where(TASKS.index % 2, 1 / 3, 0.333333)
    both = pd.concat([TASKS.assign(chance=1 / 3), TASKS.assign(chance=third)], ignore_index=True)
    chance = Accuracies.direct(direct_fit(table=both)).chance
    assert chance == pytest.approx(dict.fromkeys(chance, 1 / 3), abs=1e-6)


@pytest.mark.parametrize("chance", [25.0, 1.0, -0.1])
def test_a_chance_level_is_a_share(chance):
    alone = known_task_fit(20).of_group("easy")
    with pytest.raises(FitError, match="chance must be one number from 0 to less than 1, got"):
        alone.at(chance=chance)
    with pytest.raises(FitError, match="chance must be a number from 0 to less than 1, got"):
        predict(alone, params=1e9, tokens=2e10, chance=chance)
    table = alone.runs.table.assign(chance=chance)
    with pytest.raises(RunsError, match="is no number from 0 to less than 1") as refused:
        inputs_of(alone.spec, table)
    assert ("pass --unit chance=0.01 (in Python" in str(refused.value)) == (chance > 1)


def test_items_that_are_counted_are_not_without_end():
    constants = {"A": 60.0, "B": 900.0, "alpha": 0.25, "beta": 0.3, "luck": 1.0}
    fit = constants_fit("task-accuracy", **constants, concentration=500.0)
    with pytest.raises(FitError, match="trials must be finite"):
        predict_runs(fit, params=1e9, tokens=2e10, chance=0.25, trials=np.inf)


def test_constants_say_what_is_missing():
    text, names = OF_ACCURACY.replace('group = "task"\n', ""), ("A", "B", "alpha", "beta")
    bare = text[: text.index("[pooling]")] + text[text.index("[priors]") :]
    fit = known(bare, TASKS.iloc[:0], **{name: [TRUTH[name]] for name in names})
    with pytest.raises(FitError, match=r"nothing says the chance of the task accuracy: give"):
        Accuracies.direct(fit).at(1e9, 2e10)
    given = Accuracies.direct(fit.at(chance=0.25))
    assert given.at(1e9, 2e10).shape == (1, 1, 1, 1)
    assert given.at(1e9, D).sizes["plan"] == 2
    with pytest.raises(FitError, match="nothing says the trials"):
        given.new(1e9, 2e10)
    with pytest.raises(FitError, match="different lengths"):
        given.at([1e9, 2e9, 3e9], D)


def test_numbers_of_items_may_be_unknown_where_the_noise_allows_it():
    """Of averages of several tasks, as MMLU: then what runs scatter by is all the noise."""
    text = OF_ACCURACY.replace(
        'dist = "Binomial"',
        'dist = "ShareNormal"\nspread = { dist = "LogNormal", mu = -5.0, sigma = 0.7 }\n'
        'scatter = { dist = "LogNormal", mu = -3.0, sigma = 1.0 }',
    )
    own = {name: np.full(4000, value) for name, value in TRUTH.items()}
    two = {name: np.stack([own[name], own[name]], axis=-1) for name in ("A", "alpha")}
    noise = {"spread": np.full(4000, 0.02), "scatter": np.full(4000, 1e-9)}
    table = TASKS.assign(trials=[1000.0, np.nan])
    accuracies = Accuracies.direct(known(text, table, **{**own, **two, **noise}))
    assert accuracies.trials == {"easy": 1000.0, "hard": np.inf}
    middle = accuracies.at(1e9, 2e10).isel(draw=0).squeeze()
    found = accuracies.new(1e9, 2e10).std("draw").squeeze()
    each = np.sqrt(middle * (1 - middle)) * np.sqrt([1 / 1000 + 0.02**2, 0.02**2])
    np.testing.assert_allclose(found, each, rtol=0.05)


STEP_1 = {"E": 1.0, "A": np.exp(3.0), "B": np.exp(6.0), "alpha": 0.1, "beta": 0.2}
"""Where the fits of Bhagia et al. (2024) start."""


def loss_of(draws=1, spread=0.0, **changes):
    """Sharp in all but E."""
    wide = 1 + spread * np.linspace(-1, 1, draws)
    return constants_fit("chinchilla-normal", **{**STEP_1, "E": wide, "sigma": 0.02, **changes})


def link_of(draws=1, spread=0.0, table=TASKS):
    """Tasks easy and hard, whose middles are a loss of 5 and 4."""
    x0 = np.array([5.0, 4.0]) * (1 + spread * np.linspace(-1, 1, draws)[:, None])
    one = np.ones(draws)
    return known(OF_LINK, table.assign(loss=6.0), k=1.5 * one, luck=one, x0=x0)


def by_hand(loss, task):
    chance, x0 = (0.25, 5.0) if task == "easy" else (0.0, 4.0)
    return loss_to_accuracy(loss, chance, k=1.5, x0=x0, luck=1.0)


def test_two_sharp_posteriors_make_the_composition_of_their_laws():
    found = Accuracies.chain(loss_of(), link_of()).at(N, D)
    assert dict(found.sizes) == {"chain": 1, "draw": 1, "task": 2, "plan": 2}
    losses = 1 + np.exp(3.0) * N**-0.1 + np.exp(6.0) * D**-0.2
    np.testing.assert_allclose(losses, chinchilla(N, D, **STEP_1))
    for task in ("easy", "hard"):
        np.testing.assert_allclose(found.sel(task=task).squeeze(), by_hand(losses, task))
    assert 0.01 < float(found.min()) < float(found.max()) < 0.9  # none of them at an end


def test_each_task_has_its_own_loss_where_the_loss_has_the_tasks_as_groups():
    each = {name: [value] for name, value in STEP_1.items() if name != "E"}
    loss = known(OF_TASK_LOSS, TASKS.assign(loss=6.0), E=[[1.0, 2.0]], sigma=[0.02], **each)
    chain = Accuracies.chain(loss, link_of())
    for place, task in enumerate(("easy", "hard")):
        expected = by_hand(chinchilla(N, D, **{**STEP_1, "E": 1.0 + place}), task)
        np.testing.assert_allclose(chain.at(N, D).sel(task=task).squeeze(), expected)
    alone = Accuracies.chain(loss.of_group("hard"), link_of().of_group("hard"))
    assert alone.tasks == ("hard",)
    xr.testing.assert_allclose(alone.at(N, D), chain.at(N, D).sel(task=["hard"]))


def test_accuracy_tends_to_1_as_the_loss_does_to_0():
    found = Accuracies.chain(loss_of(E=1e-12), link_of()).at(1e200, 1e90)
    np.testing.assert_allclose(found, 1.0, rtol=1e-12)


def test_what_is_not_known_of_either_fit_is_carried_to_the_accuracy():
    def width(loss, link):
        return float(Accuracies.chain(loss, link).at(1e9, 2e10).sel(task="easy").std())

    upstream = width(loss_of(500, 0.1), link_of())
    assert width(loss_of(500, 0.2), link_of()) == pytest.approx(2 * upstream, rel=0.02)
    downstream = width(loss_of(), link_of(500, 0.02))
    both = width(loss_of(500, 0.1), link_of(500, 0.02))
    assert both == pytest.approx(np.hypot(upstream, downstream), rel=0.05)
    assert 0.2 < downstream / upstream < 5  # neither is all there is


def test_draws_of_the_two_fits_know_nothing_of_each_other():
    """Both are sorted here: taken in their order, one would make up for the other."""
    loss, link = loss_of(1000, 0.1), link_of(400, 0.02)
    chain = Accuracies.chain(loss, link)
    first = chain.loss.natural["E"].to_numpy().ravel()
    second = chain.fit.natural["x0"].sel(group="easy").to_numpy().ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert len(np.unique(first)) == 1000
    # Every draw of the shorter, before any is taken again.
    assert set(np.unique(second, return_counts=True)[1]) == {2, 3}
    one, other = (Accuracies.chain(loss, link, seed=seed).fit.natural["x0"] for seed in (1, 2))
    assert one.equals(chain.fit.natural["x0"])
    assert not other.equals(one)
    longer = Accuracies.chain(loss_of(400, 0.1), link_of(1000, 0.02))
    assert longer.at(N, D).sizes["draw"] == 1000
    assert longer.fit.part_of is not None  # whether it converged is said of all its draws


def test_a_new_run_has_the_noise_of_its_loss_and_that_of_its_items():
    loss, (z, weight) = chinchilla(1e9, 2e10, **STEP_1), np.polynomial.hermite_e.hermegauss(40)

    def apart(noise):
        """Sd of a share of 1,000 items, whose probability follows the noise of the loss."""
        p, w = by_hand(loss * np.exp(noise * z), "easy"), weight / weight.sum()
        of_loss = np.sqrt(w @ p**2 - (w @ p) ** 2)
        return of_loss, np.hypot(of_loss, np.sqrt(w @ (p * (1 - p)) / 1000))

    for noise in (1e-6, 0.05):
        chain = Accuracies.chain(loss_of(sigma=noise), link_of(20_000))
        found = float(chain.new(1e9, 2e10).sel(task="easy").std())
        assert found == pytest.approx(apart(noise)[1], rel=0.03)
    assert apart(0.05)[1] > 1.5 * apart(1e-6)[1]  # both count


def test_the_noise_of_one_loss_is_that_of_all_tasks():
    items = of_tasks(easy={"chance": 0.25, "trials": 1e8}, hard={"chance": 0.0, "trials": 1e8})
    chain = Accuracies.chain(loss_of(sigma=0.02), link_of(2000, table=items))
    found = chain.new(1e9, 2e10).squeeze()
    assert np.corrcoef(found.sel(task="easy"), found.sel(task="hard"))[0, 1] > 0.99


def test_fits_that_do_not_fit_together_are_refused():
    loss, link = loss_of(), link_of()
    with pytest.raises(FitError, match="says the loss of a run, not the accuracy"):
        Accuracies.chain(link, loss)
    with pytest.raises(FitError, match="says the accuracy of a task already"):
        Accuracies.chain(direct_fit(), link)
    other = known(
        OF_LINK.replace('"loss"', '"bpb"'), TASKS.assign(bpb=1.0), k=[1], x0=[1], luck=[1]
    )
    with pytest.raises(FitError, match=r"link known reads bpb, .* says loss: copy .* axis = .loss"):
        Accuracies.chain(loss, other)
    each = {name: [value] for name, value in STEP_1.items() if name != "E"}
    table = TASKS.assign(loss=6.0)
    fewer = known(OF_TASK_LOSS, table[table.task == "easy"], E=[[1.0]], **each)
    with pytest.raises(FitError, match="the task hard, of which the fit of the loss says nothing"):
        Accuracies.chain(fewer, link)
    by_corpus = OF_TASK_LOSS.replace('"task"', '"corpus"')
    corpora = known(by_corpus, table.assign(corpus="c4"), E=[[1.0]], **each)
    with pytest.raises(FitError, match=r"by corpus, the link by task: .*of_group\('c4'\)"):
        Accuracies.chain(corpora, link)
    assert Accuracies.chain(corpora.of_group("c4"), link).at(N, D).sizes["task"] == 2
