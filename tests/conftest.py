import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayescale import (
    Fit,
    Runs,
    RunsWarning,
    batch_model,
    cli,
    constants_fit,
    fit,
    load_model,
    read_recipes,
    read_runs,
    read_steps,
)
from bayescale.laws import LAWS, into_support, onto_line
from bayescale.laws.bowl import bowl
from bayescale.laws.response_surface import response_surface
from bayescale.modelling.build import draw_prior, model_data
from bayescale.modelling.noise import NOISE
from bayescale.modelling.recipes import crossed
from bayescale.modelling.spec import ModelSpec
from bayescale.modelling.tuning import sweep_model
from bayescale.posterior.recipes import Recipes
from bayescale.report.schema import WRITTEN, schema_of
from bayescale.runs.datasets import FOLDER_VARIABLE, registry
from bayescale.runs.sweeps import as_sweep

collect_ignore = ["own_laws"]  # laws of users, which tests copy into folders of their own

mpl.use("Agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the workers: they share the cores
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # long work starts no processes of its own
hypothesis.settings.register_profile("bayescale", max_examples=50, deadline=None)
hypothesis.settings.load_profile("bayescale")

TRUTH = {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36}


SUPPORTS = {
    **{n: own.support for law in LAWS.values() for n, own in law.coordinates.supports.items()},
    **{name: support for kind in NOISE.values() for name, support in kind.parameters.items()},
    "sigma_seed": "positive",
}


def to_line(name: str, value: Any) -> Any:
    """Map a coordinate or noise parameter to the real line, where groups are Normal."""
    return onto_line(SUPPORTS[name], value)


def from_line(name: str, value: Any) -> Any:
    """Invert `to_line`."""
    return into_support(SUPPORTS[name], value)


def simulated_table(noise: float = 0.005, seed: int = 0, **changes: float) -> pd.DataFrame:
    """Thirty runs on five isoFLOP budgets, losses from the Chinchilla law at TRUTH."""
    law = {**TRUTH, **changes}
    flops, size = np.meshgrid(np.geomspace(6e18, 3e21, 5), np.geomspace(0.25, 4, 6))
    params = (np.sqrt(flops / 120) * size).ravel()
    tokens = flops.ravel() / (6 * params)
    loss = law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]
    loss *= np.exp(noise * np.random.default_rng(seed).standard_normal(loss.shape))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def simulated_curve(seed: int = 0) -> pd.DataFrame:
    """Twelve runs of growing params, losses from a power law with an offset."""
    params = np.geomspace(1e8, 1e11, 12)
    noise = np.exp(0.005 * np.random.default_rng(seed).standard_normal(12))
    return pd.DataFrame({"params": params, "loss": (0.5 + 2 * (params / 1e8) ** -0.3) * noise})


def simulated_tasks(seed: int = 0) -> pd.DataFrame:
    """Twelve runs on three ratios of tokens to parameters, with the accuracy of three tasks."""
    rng, rows = np.random.default_rng(seed), []
    tasks = {
        "hellaswag": (0.25, 10042, 60.0),
        "piqa": (0.5, 1838, 40.0),
        "sciq": (0.25, 1000, 25.0),
    }
    for params in (1e8, 3e8, 1e9, 3e9):
        for tokens in params * np.array([10.0, 20.0, 80.0]):
            run = {"run": f"{params:.0e}-{tokens:.0e}", "params": params, "tokens": tokens}
            for task, (chance, items, amplitude) in tasks.items():
                known = np.exp(-amplitude * (params**-0.25 + 1.5 * tokens**-0.25))
                share = rng.binomial(items, chance + (1 - chance) * known) / items
                rows.append(
                    {**run, "task": task, "accuracy": share, "chance": chance, "n_items": items}
                )
    return pd.DataFrame(rows)


def simulated_shapes(shapes: int = 14, seed: int = 0, eta: float = -0.15) -> pd.DataFrame:
    """Shapes of three sizes, six checkpoints each; the error of a shape is shared by its rows."""
    rng, rows = np.random.default_rng(seed), []
    for shape in range(shapes):
        params = [8e7, 5e8, 2e9][shape % 3]
        x = float(np.exp(rng.uniform(np.log(4), np.log(300))))
        off = np.log(x / (40 * (params / 4e8) ** eta))
        apart = 0.005 * off**2 + 0.002 * rng.standard_normal()
        for tokens in np.geomspace(1e10, 1e11, 6):
            law = 1.8 + 60 * params**-0.24 + 900 * tokens**-0.3
            loss = law * np.exp(apart + 0.002 * rng.standard_normal())
            own = {"run": f"shape{shape}", "params": params, "tokens": tokens}
            rows.append({**own, "aspect_ratio": x, "loss": loss})
    return pd.DataFrame(rows)


EXPERTS = {
    **{"E": 1.7, "A": 60.0, "B": 900.0, "alpha": 0.24, "beta": 0.3},
    **{"gamma": 0.5, "X_start": 2.5, "X_max": 500.0},
}
SHARE = 0.3  # of the active parameters, what every further expert adds


def simulated_experts(
    same_tokens: bool = False, noise: float = 0.002, seed: int = 0, **constants: float
) -> pd.DataFrame:
    """Four sizes, dense and with up to 64 experts of two routers, of which one is worth less."""
    known, rng, rows = {**EXPERTS, **constants}, np.random.default_rng(seed), []
    for active in (2e7, 6e7, 2e8, 6e8):
        for tokens in [1e10] if same_tokens else [5e9, 1e10, 4e10]:
            for number in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
                for router in ("learned", "hash") if number > 1 else ("none",):
                    gamma = known["gamma"] - 0.08 * (router == "hash")
                    loss = LAWS["experts"](active, tokens, number, **{**known, "gamma": gamma})
                    loss *= np.exp(noise * rng.standard_normal())
                    total = active * (1 + SHARE * (number - 1))
                    own = {"router": router, "experts": number, "tokens": tokens, "loss": loss}
                    rows.append({**own, "params": total, "active_params": active})
    return pd.DataFrame(rows)


def simulated_mixtures(number: int = 24, noise: float = 0.004, seed: int = 1) -> pd.DataFrame:
    """Mixtures of three corpora; books teach prose best, web some of it, code is for code."""
    rng = np.random.default_rng(seed)
    web, code, books = rng.dirichlet([2.0, 2.0, 2.0], number).T + 1e-4
    scatter = np.exp(noise * rng.standard_normal((2, number)))
    return pd.DataFrame(
        {
            **{"w_web": web, "w_code": code, "w_books": books},
            "loss_code": (1.2 + 0.35 / (code**0.5 + 0.2 * web**0.5)) * scatter[0],
            "loss_prose": (2.4 + 0.3 / (books**0.5 + 0.7 * web**0.5)) * scatter[1],
        }
    )


def simulated_formats(apart: float = 0.0, noise: float = 0.1, seed: int = 1) -> pd.DataFrame:
    """Two models of ten formats each; every second is calibrated, better by a factor e^apart."""
    rng = np.random.default_rng(seed)
    bits, late = np.tile(np.linspace(2.2, 8.0, 10), 2), np.repeat([0, 1], 10)
    calibrated, tokens = np.arange(20) % 2 == 0, np.where(late, 15e12, 2e12)
    log_added = -14.0 - 1.386 * bits + 0.5 * np.log(tokens) - 0.3 * np.log(7e9)
    log_added += noise * rng.standard_normal(20) - apart * calibrated
    return pd.DataFrame(
        {
            **{"model": np.where(late, "late", "early"), "method": "kind", "params": 7e9},
            **{"tokens": tokens, "bits_per_weight": bits, "calibrated": calibrated},
            "loss_increase": np.exp(log_added),
        }
    )


RECIPE_SIZES = [1e8, 4e8]
RECIPE_SLOPES = {"fast": -0.1, "slow": 0.05}
RECIPE_GAINS = {"fast": np.log(1.3), "slow": np.log(0.9)}  # at the middle of the sizes, 2e8


def simulated_recipes(
    counts: Mapping[str, int] | None = None, noise: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Runs of three optimisers by the joint law, with the multipliers above."""
    rng, rows = np.random.default_rng(seed), []
    for params in RECIPE_SIZES:
        for tokens in params * np.array([20.0, 40.0, 80.0]):
            for recipe in ("base", "fast", "slow"):
                n = np.log(params / 2e8)
                gain = RECIPE_GAINS.get(recipe, 0.0) + RECIPE_SLOPES.get(recipe, 0.0) * n
                loss = 1.8 + 60 * params**-0.24 + 900 * (np.exp(gain) * tokens) ** -0.3
                loss *= np.exp(noise * rng.standard_normal())
                tried = {"n_runs": counts[recipe]} if counts else {}
                own = {"optimizer": recipe, "params": params, "tokens": tokens, "loss": loss}
                rows.append({**own, **tried})
    return pd.DataFrame(rows)


def known_recipes(
    counts: Mapping[str, int] | None = None, draws: int = 250, scatter: float = 1e-9
) -> Recipes:
    """A hand-made posterior: every draw near the truth."""
    runs, rng = read_recipes(simulated_recipes(counts), "optimizer"), np.random.default_rng(1)
    own, shape = crossed(runs, "optimizer", "base"), (4, draws)
    near = 1e-4 * rng.standard_normal((*shape, 2))
    per, both = ("chain", "draw"), ("chain", "draw", "recipe")
    of_size = ("chain", "draw", "size")
    values = {
        "gain": (both, np.array([*RECIPE_GAINS.values()]) + near),
        "slope_offset": (both, np.array([*RECIPE_SLOPES.values()]) + near),
        "trend": (per, np.zeros(shape)),
        "trend_scale": (per, np.ones(shape)),
        "scatter": (per, np.full(shape, scatter)),
        "sigma": (per, np.full(shape, 0.002)),
        "z": ((*both, "size"), np.zeros((*shape, 2, 2))),
        "reducible": (of_size, np.full((*shape, 2), 0.2)),
        "log_beta": (per, np.full(shape, np.log(0.3))),
        "beta_offset": (of_size, np.zeros((*shape, 2))),
    }
    values = {n: (d, v + 1e-9 * rng.standard_normal(v.shape)) for n, (d, v) in values.items()}
    posterior = xr.Dataset(values, coords={"recipe": list(own.recipes[1:]), "size": own.sizes})
    stats = xr.Dataset({n: (per, np.zeros(shape, bool)) for n in ("diverging", "maxdepth_reached")})
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})
    tree.attrs = {"seconds_compile": 0.0, "seconds_sample": 0.0}
    return Recipes("optimizer", runs, own, tree)


ODD_NAMES = (r"$\frac{a$", "_hidden $5 & <b>", "two\nlines " + "and so on " * 30 + "$end$")
"""Names that are no mathtext, begin as a hidden label does, or are too long for a picture."""


def check_names(figure: Figure, folder: Path) -> None:
    """Draw a picture of odd names: as they are, and none of them beyond its edges."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # constrained layout warns when names leave it no room
        figure.savefig(folder / "odd.png")
    shown = [text for text in figure.findobj(Text) if text.get_visible() and "$" in text.get_text()]
    assert shown
    for text in shown:
        assert not text.get_parse_math(), text.get_text()
        assert text.get_window_extent().x0 > -1, text.get_text()
        assert text.get_window_extent().x1 < figure.bbox.x1 + 1, text.get_text()


def known_fit(draws: int = 400, spread: float = 1e-3, **changes: float) -> Fit:
    """A fake posterior around TRUTH: every number downstream has a known answer."""
    rng = np.random.default_rng(7)
    values = {**TRUTH, "sigma": 0.01, "nu": 8.0, **changes}
    return constants_fit(
        "chinchilla",
        **{
            name: value * (1 + spread * rng.standard_normal(draws))
            for name, value in values.items()
        },
    )


def known_grouped_fit(
    model: str = "chinchilla-hierarchical",
    *,
    draws: int = 400,
    spread: float = 1e-3,
    **groups: Mapping[str, float],
) -> Fit:
    """A fake posterior of groups around TRUTH, each with its own changes, and thirty runs each.

    Parameters that the model shares between groups are those of the last one.
    """
    tables = [simulated_table(**of).assign(family=name) for name, of in groups.items()]
    runs = Runs(
        pd.concat(tables, ignore_index=True).assign(
            run=lambda table: table.index.astype(str),
            flops=lambda table: 6 * table["params"] * table["tokens"],
        ),
        "simulated groups",
    )
    spec = load_model(model)
    posterior = _draws(spec, groups, draws, spread)
    data = model_data(spec, runs)
    posterior = posterior.assign(_coordinates(posterior, data))
    for name in spec.partial:
        line = to_line(name, posterior[name])
        posterior[f"{name}_population"] = from_line(name, line.mean("group"))
        posterior[f"{name}_scale"] = line.std("group") + 1e-3
    dims = {len(runs): ("obs",), len(groups): ("group",)}
    constant = {name: (dims[v.size] if v.ndim else (), v) for name, v in data.items()}
    tree = {
        "posterior": posterior,
        "constant_data": xr.Dataset(constant, coords={"group": list(groups)}),
        "observed_data": xr.Dataset({"log_loss": ("obs", data["observed"])}),
    }
    made = xr.DataTree.from_dict(tree)
    made.attrs = {"model": spec.name, "model_spec": spec.source}
    return Fit(spec, runs, made)


def _draws(
    spec: ModelSpec, groups: Mapping[str, Mapping[str, float]], draws: int, spread: float
) -> xr.Dataset:
    """Chinchilla's own parameters and the noise; those the model shares without dim group."""
    rng, found = np.random.default_rng(7), xr.Dataset(coords={"group": list(groups)})
    shared = set(spec.sampled) - set(spec.pooling)
    for name, default in {**TRUTH, "sigma": 0.01, "nu": 8.0}.items():
        values = xr.DataArray([of.get(name, default) for of in groups.values()], dims="group")
        step = xr.DataArray(rng.standard_normal((1, draws)), dims=("chain", "draw"))
        drawn = ((1 + spread * step) * values).transpose("chain", "draw", "group")
        found[name] = drawn.isel(group=-1, drop=True) if name in shared else drawn
    return found


def _coordinates(natural: xr.Dataset, data: Mapping[str, np.ndarray]) -> dict[str, xr.DataArray]:
    """Level and shares of Chinchilla's law at the reference run."""
    from_params = natural["A"] * float(data["reference_params"]) ** -natural["alpha"]
    from_tokens = natural["B"] * float(data["reference_tokens"]) ** -natural["beta"]
    reducible = from_params + from_tokens
    level = natural["E"] + reducible
    return {
        "level": np.log(level),
        "reducible": reducible / level,
        "split": from_params / reducible,
    }


STEPS_TRUTH = {"exponent": 0.5, "B_noise": 2e6, "at": 3e8, "S_min": 2000.0}


def simulated_steps(
    noise: float = 0.03, seed: int = 0, batches: Sequence[float] = tuple(2.0 ** np.arange(15, 24))
) -> pd.DataFrame:
    """Steps to a target loss at several batch sizes, of five models; STEPS_TRUTH at one of them."""
    params, batch = (
        axis.ravel() for axis in np.meshgrid(np.geomspace(8e7, 1.2e9, 5), np.array(batches))
    )
    times = params / STEPS_TRUTH["at"]
    critical = STEPS_TRUTH["B_noise"] * times ** STEPS_TRUTH["exponent"]
    steps = STEPS_TRUTH["S_min"] * times**0.4 * (1 + critical / batch)
    rng = np.random.default_rng(seed)
    steps = steps * np.exp(noise * rng.standard_normal(len(steps)))
    return pd.DataFrame({"params": params, "batch_tokens": batch, "steps": steps})


TASK_TRUTH = {"A": 60.0, "B": 900.0, "alpha": 0.25, "beta": 0.3, "luck": 1.0}
TASK_NOISE = {"spread": 1e-3, "scatter": 1e-3}
_CHANCES = {"easy": 0.25, "hard": 0.0}


def known_task_fit(
    draws: int = 200, chances: Mapping[str, float] = _CHANCES, spread: float = 0.02
) -> Fit:
    """A hand-made posterior of tasks under the shipped model, with runs of its law.

    Every other task has an answer that is half as long again.
    """
    spec, rng = load_model("task-accuracy-hierarchical"), np.random.default_rng(1)
    params, tokens = (
        axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e9, 4), np.geomspace(2e9, 2e10, 3))
    )
    tables, longer = [], 1.0 + 0.5 * (np.arange(len(chances)) % 2)
    for times, (name, chance) in zip(longer, chances.items(), strict=True):
        truth = {**TASK_TRUTH, "A": times * TASK_TRUTH["A"]}
        accuracy = spec.law(params, tokens, chance, **truth)
        one = pd.DataFrame({"params": params, "tokens": tokens, "accuracy": accuracy})
        tables.append(one.assign(task=name, chance=chance, trials=1000.0))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(run=table.index.astype(str), flops=6 * table["params"] * table["tokens"])
    posterior = xr.Dataset(coords={"group": list(chances)})
    for name, value in {**TASK_TRUTH, **TASK_NOISE}.items():
        drawn = value * np.exp(spread * rng.standard_normal((1, draws, len(chances))))
        drawn *= longer if name == "A" else 1.0
        posterior[name] = (("chain", "draw", "group"), drawn)
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"model": spec.name, "model_spec": spec.source}
    return Fit(spec, Runs(table, "known tasks"), tree)


WIDTHS = (128, 256, 512, 1024, 2048)
STEP = 2**0.5
SWEEP_NOISE = {"sigma": 1e-3, "nu": 5.0, "inexact": 0.05}


KNOBS = ("learning_rate", "batch_size_tokens")
SURFACE = {
    **{"L_min": 2.5, "x_best": 1e-3, "z_best": 5e5, "curvature": 0.02, "asymmetry": 0.7},
    **{"second_curvature": 0.01, "coupling": 1.2, "turn": -1.0},
}


def simulated_settings(seed=0, noise=0.0, sizes=(1e8, 2e8, 4e8, 8e8)) -> pd.DataFrame:
    """Runs whose best rate goes like N^-0.5 D^0.2, and whose best batch goes like D^0.5."""
    rng, parts = np.random.default_rng(seed), []
    for params in sizes:
        for tokens in (4e9, 1.6e10, 6.4e10):
            x = 1e-3 * (params / 2e8) ** -0.5 * (tokens / 1.6e10) ** 0.2
            z = 5e5 * (tokens / 1.6e10) ** 0.5
            rates, batches = np.meshgrid(
                x * 2.0 ** np.arange(-2.3, 2.7), z * 2.0 ** np.arange(-2.2, 2.8)
            )
            at = {**SURFACE, "x_best": x, "z_best": z, "L_min": 9 * (params * tokens) ** -0.025}
            loss = response_surface(rates.ravel(), batches.ravel(), **at)
            loss = loss * np.exp(noise * rng.standard_normal(rates.size))
            own = {"params": params, "tokens": tokens, "loss": loss}
            parts.append(pd.DataFrame({**own, KNOBS[0]: rates.ravel(), KNOBS[1]: batches.ravel()}))
    return pd.concat(parts, ignore_index=True)


@cache
def known_settings() -> Fit:
    """Draws of the prior in place of a posterior: every relation between parameters holds."""
    return of_the_prior(simulated_settings(), KNOBS)


def of_the_prior(table, knobs) -> Fit:
    """Draws of the prior of the model of a sweep."""
    runs = quietly(as_sweep, table, knobs)
    spec = sweep_model(runs, knobs)
    data = model_data(spec, runs)
    posterior = draw_prior(spec, data, draws=100, seed=3)
    labels = {
        "group": sorted(runs.table["cell"].unique()),
        "cluster": sorted(runs.table["size"].unique()),
    }
    posterior = posterior.assign_coords({n: v for n, v in labels.items() if n in posterior.dims})
    nodes = {
        "posterior": posterior,
        "prior": posterior,
        "constant_data": xr.Dataset({n: ("obs", data[n]) for n in ("group_index",) if n in data}),
        "observed_data": xr.Dataset({"log_loss": ("obs", data["observed"])}),
    }
    for name in spec.inputs:
        nodes["constant_data"][f"reference_{name}"] = data[f"reference_{name}"]
    return Fit(spec, runs, xr.DataTree.from_dict(nodes))


def sweep_table(best, *, rates=None, curvature=0.01, noise=0.0, seed=0, axis="width"):
    """Runs of bowls, the best rate of each value of the axis as given; by default nine rates."""
    rng, parts = np.random.default_rng(seed), []
    for value, x in best.items():
        tried = x * STEP ** np.arange(-4, 5) if rates is None else np.asarray(rates)
        loss = bowl(tried, L_min=5 * value**-0.05, x_best=x, curvature=curvature, asymmetry=0.7)
        loss = loss * np.exp(noise * rng.standard_normal(len(tried)))
        parts.append(pd.DataFrame({axis: value, "learning_rate": tried, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


def quietly(call, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        return call(*args, **options)


@cache
def _wide(axis):
    """A sweep wide enough for every slope that is asked of."""
    rates = 4e-3 * STEP ** np.arange(-9, 10)
    return _given(sweep_table(dict.fromkeys(WIDTHS, 4e-3), rates=rates, axis=axis), axis)


def _given(table, axis):
    runs = quietly(as_sweep, table, "learning_rate", cells=axis)
    spec = load_model("transfer").grouped_by(axis).with_trends_along(axis)
    return runs, spec, model_data(spec, runs)


def known_transfer(
    slope=-1.0, *, spread=0.02, scatter=1e-6, draws=400, table=None, axis="width"
) -> Fit:
    """A hand-made posterior of the shipped model about a power law of the axis."""
    runs, spec, data = _wide(axis) if table is None else _given(table, axis)
    rng = np.random.default_rng(1)
    groups = sorted(runs.table[axis].astype(str).unique(), key=float)
    along = xr.DataArray(data[f"covariate_{axis}"], dims="group", coords={"group": groups})

    def drawn(middle, sd):
        return xr.DataArray(middle + sd * rng.standard_normal((1, draws)), dims=("chain", "draw"))

    reference = data["reference_learning_rate"]
    posterior = {
        f"place_along_{axis}": drawn(slope, spread),
        f"height_along_{axis}": drawn(0.0, 0.0),
        "place_population": drawn(np.log10(4e-3 / reference), 1e-3),
        "place_scale": drawn(scatter, 0.0),
        "height_scale": drawn(1e-6, 0.0),
        "height_population": drawn(0.033, 0.0),
        "asymmetry": drawn(0.7, 0.0),
        **{name: drawn(value, 0.0) for name, value in SWEEP_NOISE.items()},
    }
    place = posterior["place_population"] + posterior[f"place_along_{axis}"] * along
    level = np.log(5 * np.array(groups, dtype=float) ** -0.05)  # as in sweep_table
    sampled = {"level": level + 0 * place, "place": place, "height": 0.033 + 0 * place}
    sampled["asymmetry"] = posterior["asymmetry"]
    natural = spec.law.to_natural(sampled, (reference,))
    dims = {len(runs): ("obs",), len(groups): ("group",)}
    constant = {name: (dims[v.size] if v.ndim else (), v) for name, v in data.items()}
    made = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({**posterior, **sampled, **natural}),
            "constant_data": xr.Dataset(constant, coords={"group": groups}),
            "observed_data": xr.Dataset({"log_loss": ("obs", data["observed"])}),
        }
    )
    made.attrs = {"model": spec.name, "model_spec": spec.source}
    return Fit(spec, runs, made)


@pytest.fixture(autouse=True)
def _no_figure_left_open():
    """Close what a test drew: pyplot keeps every figure, and warns of the twenty-first."""
    yield
    plt.close("all")


def check_schema(arguments: Sequence[Any], out: str) -> None:
    """See that what a command wrote is what its schema says."""
    asked = [str(own) for own in arguments if str(own) in WRITTEN]
    name = asked[1] if asked[0] == "plan" else asked[0]
    jsonschema.validate(json.loads(out), schema_of(name))


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process; returns exit code, stdout and stderr."""

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bayescale", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        if "--json" in arguments and out:
            check_schema(arguments, out)
        for written in tmp_path.glob("*/summary.json"):
            jsonschema.validate(json.loads(written.read_text("utf-8")), schema_of("report"))
        return stop.value.code, out, err

    return call


@pytest.fixture(scope="session")
def runs() -> Runs:
    return read_runs(simulated_table(), params_are="total")


@pytest.fixture(scope="session")
def small_fit(runs: Runs) -> Fit:
    """A real posterior of the exact law, sampled once."""
    return fit(runs, "chinchilla", draws=500, tune=500, seed=3, progress=False)


@pytest.fixture(scope="session")
def joint_fit(runs: Runs) -> Fit:
    """A real posterior of the default model, whose law may bend, sampled once."""
    return fit(runs, "joint", draws=400, tune=600, seed=3, progress=False)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        pytest.skip(f"published tables: set {FOLDER_VARIABLE} to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def chinchilla_runs(data_folder: Path) -> Runs:
    return read_runs(data_folder / registry()["chinchilla"].file, where="not outlier_epoch")


@pytest.fixture(scope="session")
def chinchilla_fit(chinchilla_runs: Runs) -> Fit:
    return fit(chinchilla_runs, "chinchilla", progress=False)


@pytest.fixture(scope="session")
def steps_fit() -> Fit:
    """A real posterior of the law of steps to a target, sampled once."""
    own = read_steps(simulated_steps())
    return fit(own, batch_model(own), draws=500, tune=500, seed=3, progress=False)
