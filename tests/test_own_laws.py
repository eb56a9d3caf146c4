"""A law is one file: laws of a user's own, each with every tool."""

import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayescale as bs
from bayescale import plots
from bayescale.evaluation.ahead import inputs_ahead
from bayescale.evaluation.checks.refits import refits
from bayescale.laws import LAWS
from bayescale.posterior.posterior import Posterior
from bayescale.posterior.prediction import with_few_draws
from bayescale.report.page import _shape_sections

OWN = Path(__file__).parent / "own_laws"
LOSS = {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36}
PEAK, WIDTH, GAIN = 1.1e-3, 8.0, 0.3
MIXED = {"E": 1.7, "B": 900.0, "beta": 0.33, "gamma": 0.5}
WORTH = np.array([0.5, 0.0, -0.5])
HALF, SLOPE = 3e20, 0.6
BATCH, POWER = 0.02, 0.43


def sizes():
    """N and D of a grid."""
    params, ratio = np.meshgrid(np.geomspace(2e7, 2e9, 6), [8, 20, 60, 150])
    return params.ravel(), (params * ratio).ravel()


def joint(params, tokens):
    return LOSS["E"] + LOSS["A"] * params ** -LOSS["alpha"] + LOSS["B"] * tokens ** -LOSS["beta"]


def learning_rates(rng, factor):
    params, tokens = (np.repeat(values[::2], 5) for values in sizes())
    rate = np.tile([3e-4, 6e-4, 1.2e-3, 2.4e-3, 5e-3], len(params) // 5)
    loss = factor * joint(params, tokens) * (1 + (np.log(rate / PEAK) / WIDTH) ** 2)
    loss *= np.exp(0.004 * rng.standard_normal(len(loss)))
    return pd.DataFrame({"params": params, "tokens": tokens, "learning_rate": rate, "loss": loss})


def mixtures(rng, factor):
    shares = rng.dirichlet([1, 1, 1], 60)
    shares[:6, 0] = 0  # parts that are left out
    shares /= shares.sum(axis=1, keepdims=True)
    tokens = rng.choice(np.geomspace(1e9, 1e11, 8), 60)
    useful = np.exp(WORTH + MIXED["gamma"] * np.log(shares + 1e-3)).sum(axis=1)
    loss = factor * (MIXED["E"] + MIXED["B"] * tokens ** -MIXED["beta"] / useful)
    named = {f"w_{part}": shares[:, i] for i, part in enumerate(("web", "code", "math"))}
    return pd.DataFrame({"tokens": tokens, **named, "loss": loss * noise(rng, 60)})


def noise(rng, runs):
    return np.exp(0.004 * rng.standard_normal(runs))


def experts(rng, factor):
    active, tokens = (np.repeat(values, 3) for values in sizes())
    number = np.tile([1, 4, 16], len(active) // 3)
    loss = factor * joint(active * number**GAIN, tokens) * noise(rng, len(active))
    return pd.DataFrame(
        {
            "params": active * number,
            "active_params": active,
            "tokens": tokens,
            "experts": number,
            "loss": loss,
        }
    )


def accuracies(rng, factor):
    flops = np.geomspace(1e18, 1e23, 24)
    right = 0.25 + 0.75 / (1 + (flops * factor / HALF) ** -SLOPE)
    share = rng.beta(right * 150, (1 - right) * 150)
    return pd.DataFrame({"flops": flops, "accuracy": rng.binomial(800, share) / 800})


def batches(rng, factor):
    tokens = np.geomspace(1e9, 1e12, 18)
    batch = factor * BATCH * tokens**POWER * np.exp(0.05 * rng.standard_normal(18))
    return pd.DataFrame({"tokens": tokens, "batch_size": batch})


CASES = {
    "learning-rate": (learning_rates, {"alpha": 0.34, "beta": 0.36, "peak": PEAK, "width": WIDTH}),
    "mixture": (mixtures, {"E": 1.7, "beta": 0.33, "gamma": 0.5}),
    "experts": (experts, {"alpha": 0.34, "beta": 0.36, "gain": GAIN}),
    "accuracy": (accuracies, {"half": HALF, "slope": SLOPE}),
    "batch-size": (batches, {"b": BATCH, "power": POWER}),
}
AT = {
    "learning-rate": {"params": 1e9, "tokens": 2e10, "learning_rate": 1e-3},
    "mixture": {"tokens": 1e11, "w": {"web": 0.5, "code": 0.3, "math": 0.2}},
    "experts": {"active_params": 1e9, "tokens": 2e10, "experts": 8},
    "accuracy": {"flops": 1e22},
    "batch-size": {"tokens": 1e11},
}


def said(name):
    """What the true law says at `AT`."""
    at = AT[name]
    if name == "learning-rate":
        bowl = 1 + (np.log(at["learning_rate"] / PEAK) / WIDTH) ** 2
        return joint(at["params"], at["tokens"]) * bowl
    if name == "mixture":
        shares = np.array([0.5, 0.3, 0.2])
        useful = np.exp(WORTH + MIXED["gamma"] * np.log(shares + 1e-3)).sum()
        return MIXED["E"] + MIXED["B"] * at["tokens"] ** -MIXED["beta"] / useful
    if name == "experts":
        return joint(at["active_params"] * at["experts"] ** GAIN, at["tokens"])
    if name == "accuracy":
        return 0.25 + 0.75 / (1 + (at["flops"] / HALF) ** -SLOPE)
    return BATCH * at["tokens"] ** POWER


@pytest.fixture(scope="module", autouse=True)
def forget():
    """Leave no law of these behind for other tests."""
    known = set(LAWS)
    yield
    for name in set(LAWS) - known:
        del LAWS[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the laws, the model files and the runs of a user."""
    found = tmp_path_factory.mktemp("own")
    for path in OWN.iterdir():
        if path.is_file():
            shutil.copy(path, found)
    for name, (simulate, _) in CASES.items():
        simulate(np.random.default_rng(0), 1.0).to_csv(found / f"{name}.csv", index=False)
    return found


def fitted(folder, name, *, model=None, runs=None, **options):
    spec = bs.load_model(folder / f"{name}.toml") if model is None else model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)
        table = pd.read_csv(folder / f"{name}.csv") if runs is None else runs
        read = bs.read_runs(table, response=spec.response.column)
        return bs.fit(read, spec, draws=500, tune=500, progress=False, **options)


LIGHT = ("batch-size",)
KINDS = ("mixture", "accuracy", "batch-size")


def among(kept):
    """All laws, those that are not kept in the default set as studies."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=[] if name in kept else slow) for name in CASES]


heavy = pytest.mark.parametrize("own", among(LIGHT), indirect=True)
"""All but the lightest law take minutes here: they are asked among the studies."""


@pytest.fixture(scope="module", params=among(KINDS))
def own(request, folder):
    return request.param, fitted(folder, request.param)


def inside(draws, value):
    """Whether a value lies within three standard deviations of some draws."""
    return abs(float(draws.mean()) - value) < 3 * float(draws.std())


def test_truth_is_recovered_and_predicted(own):
    name, fit = own
    assert fit.diagnostics.converged, fit.diagnostics.problems
    for parameter, value in CASES[name][1].items():
        assert inside(fit.posterior[parameter], value), parameter
    assert inside(bs.predict(fit, AT[name]), said(name))
    new = bs.predict_runs(fit, AT[name])
    assert new.std() > bs.predict(fit, AT[name]).std()
    table = bs.residuals(fit)
    held = table[fit.spec.response.column].between(table["predicted_q05"], table["predicted_q95"])
    assert 0.75 < held.mean() <= 1


def test_it_is_kept_and_read_again(own, folder, tmp_path, monkeypatch):
    name, fit = own
    path = fit.save(folder / f"{name}.nc")
    again = bs.load_fit(path)
    np.testing.assert_array_equal(bs.predict(again, AT[name]), bs.predict(fit, AT[name]))
    law = fit.spec.law.name
    monkeypatch.delitem(LAWS, law)
    assert bs.load_fit(path).spec.law.name == law  # found beside the fit, as in another process
    monkeypatch.delitem(LAWS, law)
    elsewhere = shutil.copy(path, tmp_path / "fit.nc")
    with pytest.raises(
        bs.FitError, match=rf"put its file {law}.py beside the model file or the fit"
    ):
        bs.load_fit(elsewhere)


def test_checks_pass_where_the_law_is_true_and_fail_where_it_is_not(own, folder):
    name, fit = own
    checks = bs.check_fit(fit)
    assert not [str(check) for check in checks if check.status is bs.Status.FAIL]
    names = {check.name for check in checks}
    assert "not computed" not in " ".join(check.message for check in checks)
    assert ("shape along tokens" in names) == (name == "batch-size")
    assert ({"law along w_web", "law along w_math"} <= names) == (name == "mixture")
    if name == "accuracy":
        assert " of the loss" not in " ".join(map(str, checks))
    table, column = pd.read_csv(folder / f"{name}.csv"), fit.spec.response.column
    axis = fit.spec.size if fit.spec.size in table else "tokens"
    above = table[axis] > table[axis].median()
    bad = table[column].where(~above, table[column] ** 0.5)
    if name == "accuracy":  # that would be a steeper curve of the same law: let it end below 1
        bad = table[column].clip(upper=0.75)
    bad = table.assign(**{column: bad})
    wrong = fitted(folder, name, runs=bad)
    assert [check for check in bs.check_fit(wrong) if check.status is bs.Status.FAIL]


@heavy
def test_laws_are_compared_and_backtested(own, folder):
    name, fit = own
    text = fit.spec.source.replace(
        'dist = "Normal"\nsigma',
        'dist = "StudentT"\nnu = { dist = "Gamma", alpha = 2.0, beta = 0.1 }\nsigma',
    )
    if name == "accuracy":
        text = fit.spec.source.replace("mu = 5.0, sigma = 1.5", "mu = 4.0, sigma = 1.0")
    other = fitted(folder, name, model=replace(bs.parse_model(text, "other"), name="other"))
    found = bs.compare({"own": fit, "other": other})
    assert set(found.table.index) == {"own", "other"}
    size, response = fit.spec.size, fit.spec.response
    assert found.axis == size
    assert all(draws[response.column].sizes[size] == 2 for draws in found.decisions.values())
    first, *values = bs.answer_comparison(found).sentences
    assert first.startswith(f"Of 2 laws {found.table.index[0]} best predicts")
    assert len(values) == 2
    assert all(response.name in sentence for sentence in values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.RunsWarning)  # the past is weaker than all runs
        result = bs.backtest(fit.runs, fit.spec, draws=200, tune=300)
    assert result.table["inside90"].mean() > 0.6
    assert result.axis == fit.spec.size


def test_refits_of_successes_leave_what_their_information_says(folder):
    """Of a law near linear in its parameters: the residuals of a generalised linear model."""
    source = (folder / "accuracy.toml").read_text().split("[noise]")[0]
    text = f'{source}[noise]\ndist = "Binomial"\n'
    spec = bs.parse_model(text, "successes", laws=(folder,))
    flops, trials, truth = np.geomspace(1e19, 1e22, 9), 800, np.array([np.log(HALF), SLOPE])

    def right(theta):
        return 0.25 + 0.75 / (1 + np.exp(-theta[1] * (np.log(flops) - theta[0])))

    share, rng = right(truth), np.random.default_rng(3)
    slope = np.stack([(right(truth + h) - right(truth - h)) / 2e-5 for h in 1e-5 * np.eye(2)], 1)
    variance = share * (1 - share) / trials
    inverse = np.linalg.inv((slope.T / variance) @ slope)
    draws = rng.multivariate_normal(truth, inverse, (4, 2000))
    posterior = {"half": np.exp(draws[..., 0]), "slope": draws[..., 1]}
    posterior = xr.Dataset({name: (("chain", "draw"), v) for name, v in posterior.items()})
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": xr.Dataset()})
    table = pd.DataFrame({"flops": flops, "accuracy": rng.binomial(trials, share) / trials})
    fit = bs.Fit(spec, bs.Runs(table.assign(run=table.index.astype(str)), "a task"), tree)
    simulated = refits(fit).simulated / np.sqrt(variance)
    scaled = slope / np.sqrt(variance)[:, None]
    expected = np.eye(9) - scaled @ inverse @ scaled.T
    np.testing.assert_allclose(np.cov(simulated.T), expected, atol=0.08)
    assert np.abs(np.eye(9) - expected).max() > 0.25  # the control: the noise itself


def test_the_largest_run_grows_along_the_size_of_the_law(own):
    name, fit = own
    table, size = fit.runs.table, fit.spec.size
    largest = table.loc[table[size].idxmax()]
    asked = inputs_ahead(fit, [largest[size], 100 * largest[size]])
    once, grown = (
        {n: v.isel({size: i}, missing_dims="ignore") for n, v in asked.items()} for i in (0, 1)
    )
    if name == "mixture":
        shares = [largest[f"w_{part}"] for part in fit.parts["w"]]
        np.testing.assert_allclose(grown["w"], shares)
    if name == "experts":
        assert grown["experts"] == largest["experts"]
        assert once["active_params"] == pytest.approx(largest["active_params"])
        assert grown["active_params"] == pytest.approx(10 * largest["active_params"])
        assert grown["tokens"] == pytest.approx(10 * largest["tokens"])
    assert "learning_rate" not in asked  # at its best
    if size in fit.spec.inputs:
        assert grown[size] == 100 * largest[size]
    assert dict(bs.predict(fit, asked).sizes) == {"chain": 4, "draw": 500, size: 2}


@pytest.mark.slow
def test_groups_have_laws_of_their_own(own, folder):
    name, fit = own
    simulate, _ = CASES[name]
    tables = [
        simulate(np.random.default_rng(number), factor).assign(recipe=f"r{number}")
        for number, factor in enumerate((0.2, 1.0, 5.0) if name == "accuracy" else (0.9, 1.0, 1.2))
    ]
    text = fit.spec.source.replace(
        "\n[priors]",
        '\ngroup = "recipe"\n\n[pooling]\nlevel = "partial"\n\n[scales]\n'
        'level = { dist = "HalfNormal", sigma = 0.3 }\n\n[priors]',
        1,
    )
    if name == "accuracy":
        text = 'group = "recipe"\n' + text.replace('\ngroup = "recipe"\n', "")
    hierarchical = bs.parse_model(text, "hierarchical")
    grouped = fitted(folder, name, model=hierarchical, runs=pd.concat(tables, ignore_index=True))
    assert grouped.groups == ("r0", "r1", "r2")
    assert grouped.diagnostics.divergences <= 5
    by_group = bs.predict(grouped, AT[name]).median(("chain", "draw"))
    order = by_group.sel(group=["r0", "r1", "r2"]).to_numpy()
    assert (np.diff(order) > 0).all()
    new = grouped.with_new_group("r9")
    assert bs.predict(new, AT[name]).sel(group="r9").std() > by_group.std()
    plots.plot_shrinkage(
        grouped,
        fitted(
            folder, name, model=hierarchical.unpooled(), runs=pd.concat(tables, ignore_index=True)
        ),
    )
    plots.plot_forest(grouped)
    plt.close("all")


def test_pictures_are_of_the_response(own):
    name, fit = own
    called = fit.spec.response.label
    axis = plots.plot_curve(fit).axes[0]
    assert axis.get_ylabel() == called
    words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert ("chance" in words) == (name == "accuracy")
    moved = "runs at the inputs of the line" in words
    assert moved == (name in ("learning-rate", "mixture", "experts"))
    if moved:  # the law's other inputs explain most of the distance from the line
        line, grey, black = (axis.lines[place] for place in range(3))
        at = np.interp(np.log(grey.get_xdata()), np.log(line.get_xdata()), line.get_ydata())
        far, near = (np.abs(dots.get_ydata() - at).mean() for dots in (grey, black))
        assert near < far / 3
    axis = plots.plot_predicted(fit).axes[0]
    assert axis.get_xlabel() == f"observed {called}"
    if name == "accuracy":
        assert axis.get_xlim()[1] > 1
        axis.figure.canvas.draw()
        assert "100%" in [tick.get_text() for tick in axis.get_xticklabels()]
    titles = [axis.get_title(loc="left") for axis in plots.plot_parameters(fit).axes]
    shown = {title.split(" =")[0] for title in titles}
    expected = set(fit.natural) | set(fit.noise)
    assert expected == shown - {""}
    half = [title for title in titles if title.startswith("half")]
    assert all("e20" in title for title in half)
    plt.close("all")


@heavy
def test_pictures_and_report(own, tmp_path):
    name, fit = own
    for draw in (plots.plot_predicted, plots.plot_parameters, plots.plot_curve):
        figure = draw(fit)
        labels = {text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())}
        if name in ("accuracy", "batch-size"):
            assert not any("loss" in label for label in labels)
    plt.close("all")
    page = bs.write_report(with_few_draws(fit, 200), tmp_path / "report")
    text = (
        (tmp_path / "report" / "report.html").read_text()
        if page is None
        else Path(page).read_text()
    )
    text = re.sub(r'src="data:[^"]*"', "", text)  # pictures
    if name in ("accuracy", "batch-size"):
        assert "nats per token" not in text
    assert ":math:" not in text
    assert fit.spec.response.name in text
    said = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert said["response"]["column"] == fit.spec.response.column
    told = said["optima" if name == "learning-rate" else "predictions"]
    assert [entry["decades_beyond"] for entry in told] == pytest.approx([0, 1])
    chosen = {"learning-rate": "learning_rate", "mixture": "w"}.get(name)
    assert [entry["over"] for entry in said["best"]] == ([chosen] if chosen else [])
    assert (f"<summary>The best {chosen}</summary>" in text) == (chosen is not None)
    assert "nan" not in text.split()


def test_larger_runs_are_predicted(own):
    name, fit = own
    largest = fit.runs.table[fit.spec.size].max()
    within, beyond = bs.answer_predictions(fit, [largest, 10 * largest]).numbers["predictions"]
    own_name = fit.spec.response.column
    assert within["decades_beyond"] == 0
    assert beyond["decades_beyond"] == pytest.approx(1)
    width = [entry[own_name]["q95"] - entry[own_name]["q05"] for entry in (within, beyond)]
    assert (
        0 < width[0] < within[f"{own_name}_new_run"]["q95"] - within[f"{own_name}_new_run"]["q05"]
    )
    assert within["at_best"] == (["learning_rate"] if name == "learning-rate" else [])
    if name == "mixture":
        assert sum(within["at"]["w"].values()) == pytest.approx(1)
        assert within["at"]["w"] == beyond["at"]["w"]
    if name == "experts":
        assert beyond["at"]["experts"] == within["at"]["experts"] == 16
        grown = [entry["at"]["active_params"] * entry["at"]["tokens"] for entry in (within, beyond)]
        assert grown[1] == pytest.approx(10 * grown[0])
    [entry] = bs.answer_predictions(fit, [largest]).numbers["predictions"]
    expected = bs.predict(fit, entry["at"]).median()  # what it says it predicts
    assert entry[own_name]["median"] == pytest.approx(float(expected))


def test_best_inputs(own):
    name, fit = own
    if name == "learning-rate":
        best = bs.optimum(fit, "learning_rate", params=1e9, tokens=2e10)
        assert inside(best["best"], PEAK)
        assert float(best["at_end"].max()) < 0.05
        sized = bs.compute_optimal(fit, 1e21)  # at the best learning rate of each draw
        assert inside(sized["loss"], joint(*truly_best(1e21)))
        tuned = bs.compute_optimal(fit.at(learning_rate=PEAK), 1e21)
        assert inside(sized["params"] / tuned["params"], 1.0)
    elif name == "mixture":
        best = bs.optimum(fit, "w", tokens=1e11)
        few = with_few_draws(fit).posterior
        closed = np.exp(few["worth"] / (1 - few["gamma"]))  # but for the floor of the shares
        np.testing.assert_allclose(best["best"], closed / closed.sum("w"), atol=2e-3)
        np.testing.assert_allclose(best["best"].sum("w"), 1.0, rtol=1e-6)
        assert inside(best["best"].sel(w="web"), best_mixture()[0])
    elif name == "experts":
        few = fit.at(experts=8)
        best = bs.compute_optimal(few, 1e21)
        assert inside(best["loss"], joint_experts(1e21, 8))
        np.testing.assert_allclose(6 * best["params"] * best["tokens"], 1e21, rtol=1e-6)
        plans = pd.DataFrame({"params": [1e9, 2e9], "tokens": [1e11, 5e10]})
        ranked = bs.rank_plans(bs.plan_outcomes(few, bs.read_plans(plans)))
        assert inside(ranked["loss"].isel(plan=0), joint(1e9 * 8**GAIN, 1e11))
        largest = fit.runs.table["active_params"].max()
        assert fit.runs.counted == "active_params"
        assert Posterior.of(few).beyond(params=10 * largest) == pytest.approx(1.0)
    else:
        with pytest.raises(bs.FitError, match=r"no knob, mixture or axis"):
            bs.optimum(fit, fit.spec.inputs[0])
    if name == "learning-rate":
        with pytest.raises(bs.FitError, match=r"does not read 'token'; did you mean 'tokens'\?"):
            bs.optimum(fit, "learning_rate", params=1e9, token=2e10)
        with pytest.raises(bs.FitError, match="learning_rate is what is chosen"):
            bs.optimum(fit, "learning_rate", params=1e9, tokens=2e10, learning_rate=1e-3)


def test_mixtures_are_read_by_the_names_of_their_parts(own):
    name, fit = own
    if name != "mixture":
        return
    table = fit.runs.table.head()
    columns = [c for c in table if c not in ("w_web", "w_code", "w_math")]
    turned = table[[*columns, "w_math", "w_code", "w_web"]]
    expected = bs.residuals(fit, replace(fit.runs, table=table))["fitted"]
    found = bs.residuals(fit, replace(fit.runs, table=turned))["fitted"]
    np.testing.assert_allclose(found, expected)
    other = replace(fit.runs, table=table.rename(columns={"w_math": "w_poetry"}))
    with pytest.raises(bs.FitError, match="says nothing of w_poetry"):
        bs.residuals(fit, other)
    shares = xr.DataArray([0.2, 0.3, 0.5], dims="w", coords={"w": ["math", "code", "web"]})
    xr.testing.assert_allclose(
        bs.predict(fit, {"tokens": 1e11, "w": shares}), bs.predict(fit, AT[name])
    )
    for wrong in ([50, 30, 20], [1.5, -0.5, 0.0], [0.5, 0.5]):
        with pytest.raises(bs.FitError, match="shares of w"):
            bs.predict(fit, {"tokens": 1e11, "w": wrong})


@pytest.mark.parametrize(
    "own",
    [pytest.param(n, marks=[pytest.mark.slow] if n == "mixture" else []) for n in CASES],
    indirect=True,
)
def test_best_inputs_are_said(own):
    name, fit = own
    if name == "learning-rate":
        found = bs.optimum(fit, "learning_rate", params=1e9, tokens=2e10)
        answer = bs.answer_optimum(fit, found)
        best = answer.numbers["optimum"]["best"]
        assert best["q05"] < best["median"] < best["q95"]
        assert answer.sentences[0].startswith(
            "At 1.00B params, 20.0B tokens: the best learning_rate is 0.001"
        )
        assert len(answer.sentences) == 1
        narrow = fit.runs.table[fit.runs.table["learning_rate"] < 1e-3]
        far = replace(fit, runs=replace(fit.runs, table=narrow))
        said = str(bs.answer_optimum(far, bs.optimum(far, "learning_rate", **found.attrs["at"])))
        assert "Outside the runs, which have learning_rate from 0.000300 to 0.000600" in said
    if name == "mixture":
        found = bs.optimum(fit, "w", tokens=1e11).isel(draw=slice(50))
        answer = bs.answer_optimum(fit, found)
        shares = {p: q["median"] for p, q in answer.numbers["optimum"]["best"].items()}
        assert list(shares) == ["web", "code", "math"]
        assert sum(shares.values()) == pytest.approx(1, abs=0.02)
        assert answer.sentences[0].startswith("At 100B tokens: the best mixture w is web 6")


def truly_best(flops):
    params = np.geomspace(1e8, 1e11, 20_000)
    tokens = flops / (6 * params)
    place = joint(params, tokens).argmin()
    return params[place], tokens[place]


def joint_experts(flops, number):
    params = np.geomspace(1e8, 1e11, 20_000)
    return joint(params * number**GAIN, flops / (6 * params)).min()


def best_mixture():
    web, code = np.meshgrid(np.linspace(0, 1, 401), np.linspace(0, 1, 401))
    shares = np.stack([web, code, np.clip(1 - web - code, 0, 1)], axis=-1)[web + code <= 1]
    useful = np.exp(WORTH + MIXED["gamma"] * np.log(shares + 1e-3)).sum(axis=1)
    return shares[useful.argmax()]


ASKED = {
    "learning-rate": [
        *("plan", "FIT", "best", "--over", "learning_rate"),
        *("--at", "params=1e9", "--at", "tokens=2e10"),
    ],
    "mixture": ["plan", "FIT", "best", "--over", "w", "--at", "tokens=1e11"],
    "experts": ["optima", "FIT", "--flops", "1e21", "--at", "experts=8"],
}
REPORTED = {
    "learning-rate": (["--at", "learning_rate=1e-3", "--flops", "1e22"], "For 1e22 FLOPs: "),
    "mixture": (["--at", "tokens=1e12"], "At 1.00T tokens (w "),
    "experts": (
        ["--flops", "1e22"],
        "At 1e22 flops (3.33B active_params, 500B tokens, experts 16)",
    ),
    "accuracy": (["--at", "1e24"], "At 1e24 flops: accuracy 99"),
    "batch-size": (["--at", "1e13"], "At 10.0T tokens: batch size 7."),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in LIGHT else [pytest.mark.slow]) for name in CASES],
)
def test_command_line_takes_it(name, folder, tmp_path, run):
    path, model = tmp_path / "fit.nc", folder / f"{name}.toml"
    few = ("--draws", 150, "--tune", 300, "--allow-unconverged")
    code, out, err = run("fit", folder / f"{name}.csv", "--model", model, "--out", path, *few)
    assert code == 0, err
    shutil.copy(folder / f"{bs.load_model(model).law.name}.py", tmp_path)
    code, out, err = run("check", path, "--json")
    assert code in (0, 1, 3), err
    assert json.loads(out)["checks"]
    if name in ASKED:
        question = [path if word == "FIT" else word for word in ASKED[name]]
        code, out, err = run(*question, "--json", "--allow-unconverged")
        assert code == 0, err
        answers_as_in_python(name, json.loads(out), bs.load_fit(path))
    options, expected = REPORTED[name]
    code, out, err = run(
        *("report", folder / f"{name}.csv", "--model", model, "--no-backtest", *few),
        *(*options, "--verbose", "--out", tmp_path / "report"),
    )
    assert code == 0, err
    assert expected in out
    assert (tmp_path / "report" / "report.html").is_file()


def answers_as_in_python(name, said, fit):
    if name == "experts":
        best = bs.compute_optimal(fit.at(experts=8), 1e21, exponents=False)
        assert said["optima"][0]["params"]["median"] == pytest.approx(best["params"].median())
        return
    entry = said["optimum"]
    if name == "learning-rate":
        best = bs.optimum(fit, "learning_rate", params=1e9, tokens=2e10)["best"].median()
        assert entry["best"]["median"] == pytest.approx(float(best))
    else:
        shares = [share["median"] for share in entry["best"].values()]
        assert shares == pytest.approx(best_mixture(), abs=0.05)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("experts", ["report", "--at", "expert=8"], "cannot be fixed at expert: it reads experts"),
        ("experts", ["report", "--at", "experts=many"], "'many' is not a number"),
        ("experts", ["report", "--at", "1e21"], "use --flops"),
        ("mixture", ["report", "--flops", "1e21"], "not compute: say which values .* --at"),
        ("accuracy", ["report", "--at", "-1"], "no positive number"),
    ],
)
def test_command_line_refuses_before_sampling(name, arguments, message, folder, run, monkeypatch):
    monkeypatch.setattr("bayescale.cli.reports.sample", None)
    first, *rest = arguments
    model = folder / f"{name}.toml"
    code, _, err = run(first, folder / f"{name}.csv", "--model", model, *rest)
    assert code == 2
    assert re.search(message, err)


def test_command_line_compares_and_backtests(folder, tmp_path, run):
    table, model = folder / "batch-size.csv", folder / "batch-size.toml"
    other = folder / "other-batch-size.toml"
    other.write_text(model.read_text().replace("mu = -1.0, sigma = 0.5", "mu = -0.8, sigma = 0.4"))
    code, out, err = run("compare", table, "--models", f"{model},{other}", "--at", "1e13")
    assert code == 0, err
    assert "predicted at 10.0T tokens" in out
    assert "batch size" in out
    assert "loss" not in out
    mixed = folder / "accuracy.toml"
    code, _, err = run("compare", table, "--models", f"{model},{mixed}")
    assert code == 2
    assert "accuracy" in err
    picture = tmp_path / "backtest.png"
    code, out, err = run("backtest", table, "--model", model, "--cut", "3e11", "--plot", picture)
    assert code == 0, err
    assert "batch size of new runs" in out
    assert picture.is_file()


def test_a_shape_is_labelled_by_what_was_looked_at(folder):
    fit = fitted(folder, "batch-size")
    drawn = next(_shape_sections(fit, bs.check_fit(fit))).figure.axes[0]
    assert drawn.get_ylabel() == "1/(batch size)"


def test_isoflop_curves_are_of_what_compute_counts(folder):
    fit = fitted(folder, "experts").at(experts=8)
    assert (fit.runs.table["params"] > fit.runs.table["active_params"]).any()
    axis = plots.plot_isoflop(fit).axes[0]
    assert axis.get_xlabel() == "active_params"
    drawn, raw = axis.lines[0].get_ydata(), fit.runs.table["loss"].to_numpy()
    assert len(drawn) == len(raw)  # no budget has runs of enough sizes: none is on a curve
    with_experts = [np.ptp(np.reshape(losses, (-1, 3)), axis=1).max() for losses in (drawn, raw)]
    assert with_experts[0] < 0.1 < 0.3 < with_experts[1]
