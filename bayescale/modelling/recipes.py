r"""Recipes as multipliers of tokens: optimisers, schedules, data filters, crossed with sizes.

Of recipe r at size j, with a baseline whose multiplier is 1,

.. math::

    \log L = \ell_j + \log(1 + \phi_j ((m_{rj} D / D_j)^{-\beta_j} - 1)), \qquad
    \log m_{rj} = c_r + e_r n_j + \tau z_{rj}, \quad n_j = \log(N_j / N_0)

:math:`\ell_j` is the log loss of the baseline at :math:`D_j` tokens, :math:`\phi_j` the share of
it that more tokens would remove. Every size has a level of its own: were all on one law of N, what
that law gets wrong would leak into the multipliers. Recipes are pooled in c and in e, sizes in
:math:`\beta`, and what scatters about the trend has one sd :math:`\tau`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescale.errors import RunsError
from bayescale.modelling.compiling import Slot, Variable, slots_of
from bayescale.modelling.priors import Prior
from bayescale.runs.table import Runs

_SAME_SIZE = np.log(1.01)  # sizes of one model that recipes count a little differently
_LEVEL_ABOUT = 0.3  # sd of a size's level about the mean log loss of its runs

PRIORS = {
    "reducible": Prior("LogitNormal", (("mu", -1.5), ("sigma", 0.7))),  # of each size: 7% to 41%
    "log_beta": Prior("Normal", (("mu", -1.05), ("sigma", 0.3))),  # the middle of the sizes: 0.35
    "gain_scale": Prior("LogNormal", (("mu", -1.6), ("sigma", 0.6))),  # sd of c: 0.2
    "trend": Prior("Normal", (("mu", 0.0), ("sigma", 0.15))),  # the mean of e
    "trend_scale": Prior("LogNormal", (("mu", -2.8), ("sigma", 0.6))),  # sd of e: 0.06
    "scatter": Prior("LogNormal", (("mu", -3.5), ("sigma", 0.6))),  # tau: 3%
    "sigma": Prior("LogNormal", (("mu", -6.2), ("sigma", 0.6))),  # of log loss: 0.2%
}
"""Priors of what all recipes or sizes have in common, and of the share that tokens remove."""

BETA_SCALE = 0.15
"""Sd of log beta between sizes."""

NU = 4.0
"""Degrees of freedom of the noise: a few runs lie far off."""


@dataclass(frozen=True)
class Crossed:
    """Runs of several recipes at several sizes.

    Parameters
    ----------
    recipes : tuple of str
        The baseline first.
    sizes : numpy.ndarray, shape (sizes,)
        N, rising.
    recipe, size : numpy.ndarray of int, shape (runs,)
        Of each run.
    log_tokens : numpy.ndarray, shape (runs,)
        log of D over the geometric mean of the baseline's runs of that size.
    observed : numpy.ndarray, shape (runs,)
        Log loss.
    """

    recipes: tuple[str, ...]
    sizes: np.ndarray
    recipe: np.ndarray
    size: np.ndarray
    log_tokens: np.ndarray
    observed: np.ndarray

    @property
    def log_sizes(self) -> np.ndarray:
        """n, log of each size over the geometric mean of the sizes."""
        logs = np.log(self.sizes)
        return np.asarray(logs - logs.mean())

    @property
    def data(self) -> dict[str, np.ndarray]:
        """Data of the model."""
        counts = np.bincount(self.size)
        return {
            "recipe_index": self.recipe,
            "size_index": self.size,
            "log_tokens": self.log_tokens,
            "log_size": self.log_sizes,
            "middle": np.bincount(self.size, self.observed) / counts,
            "observed": self.observed,
            **{k: np.asarray(v) for n, p in PRIORS.items() for k, v in p.arguments_of(n).items()},
        }


def crossed(runs: Runs, by: str, baseline: str) -> Crossed:
    """Lay out runs by recipe and size.

    Parameters
    ----------
    runs : Runs
        With params, tokens and loss.
    by : str
        Column of the recipes.
    baseline : str
        The recipe that others are compared with.

    Returns
    -------
    Crossed

    Raises
    ------
    RunsError
        If the column or the baseline is not there, a run has no recipe, there is no second recipe,
        or a size has no run of the baseline.
    """
    if by not in runs.table:
        raise RunsError(
            f"the runs lack a column {by!r} of recipes; name one of {', '.join(runs.table.columns)}"
        )
    if runs.table[by].isna().any():
        raise RunsError(
            f"column {by!r}: some runs have no recipe; leave them out with --where '{by}.notna()'"
        )
    labels = runs.table[by].astype(str)
    others = sorted(set(labels) - {baseline})
    if baseline not in set(labels):
        raise RunsError(f"no run has the {by} {baseline!r}; the baseline is one of {others}")
    if not others:
        raise RunsError(f"every run has the {by} {baseline!r}: there is nothing to compare with")
    recipes = (baseline, *others)
    sizes, size = _sizes(runs.column("params"))
    recipe = np.array([recipes.index(label) for label in labels])
    for place, value in enumerate(sizes):
        if not ((size == place) & (recipe == 0)).any():
            raise RunsError(
                f"no run of {baseline} at {value:.4g} params: without one the other recipes of "
                "that size have nothing to be compared with; leave the size out with --where"
            )
    log_tokens = np.log(runs.column("tokens"))
    base = recipe == 0
    middle = np.bincount(size[base], log_tokens[base]) / np.bincount(size[base])
    observed = np.log(runs.column("loss"))
    return Crossed(recipes, sizes, recipe, size, log_tokens - middle[size], observed)


def _sizes(params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell sizes apart by gaps between sorted N: N rising, and the size of each run."""
    order, size = np.argsort(params), np.empty(len(params), dtype=np.int64)
    gaps = np.diff(np.log(params[order])) > _SAME_SIZE
    size[order] = np.concatenate([[0], np.cumsum(gaps)])
    return np.array([np.median(params[size == one]) for one in range(size.max() + 1)]), size


def variables(own: Crossed) -> tuple[Variable, ...]:
    """Free variables of the model, in the order that they are made.

    Parameters
    ----------
    own : Crossed

    Returns
    -------
    tuple of Variable
    """
    others, sizes = len(own.recipes) - 1, len(own.sizes)
    of_sizes, of_recipes = ((sizes,), ("size",)), ((others,), ("recipe",))
    common = ("log_beta", "gain_scale", "trend", "trend_scale", "scatter", "sigma")
    return (
        Variable("level_offset", "real", *of_sizes),
        Variable("reducible", "unit", *of_sizes),
        Variable("beta_offset", "real", *of_sizes),
        *(Variable(name, PRIORS[name].support) for name in common),
        Variable("gain", "real", *of_recipes),
        Variable("slope_offset", "real", *of_recipes),
        Variable("z", "real", (others, sizes), ("recipe", "size")),
    )


def slots(own: Crossed) -> tuple[Slot, ...]:
    """Describe the data of the model.

    Parameters
    ----------
    own : Crossed

    Returns
    -------
    tuple of Slot
    """
    return slots_of(own.data, ())


def start(own: Crossed) -> np.ndarray:
    """Flat vector about which chains start: recipes alike, every size at the mean of its runs.

    Parameters
    ----------
    own : Crossed

    Returns
    -------
    numpy.ndarray
    """
    middle = {name: prior.on_line()[0] for name, prior in PRIORS.items()}
    parts = [np.full(v.size, middle.get(v.name, 0.0)) for v in variables(own)]
    return np.concatenate(parts)


def log_multipliers(free: Mapping[str, Any], log_size: Any) -> Any:
    """Log of the multiplier of each recipe beside the baseline, at each size.

    Parameters
    ----------
    free : mapping of str to array_like
        Draws with dims (chain, draw, recipe, size), as DataArrays.
    log_size : array_like
        n, a DataArray with the dim size.

    Returns
    -------
    array_like
    """
    return free["gain"] + slopes(free) * log_size + free["scatter"] * free["z"]


def slopes(free: Mapping[str, Any]) -> Any:
    """Slope e of the log multiplier in log N, of each recipe.

    Parameters
    ----------
    free : mapping of str to array_like

    Returns
    -------
    array_like
    """
    return free["trend"] + free["trend_scale"] * free["slope_offset"]


def betas(free: Mapping[str, Any]) -> Any:
    """Exponent of the tokens at each size.

    Parameters
    ----------
    free : mapping of str to array_like

    Returns
    -------
    array_like
    """
    return np.exp(free["log_beta"] + BETA_SCALE * free["beta_offset"])


def build_recipes(own: Crossed) -> Any:
    """Build the PyMC model.

    Parameters
    ----------
    own : Crossed

    Returns
    -------
    pymc.Model
    """
    import pymc as pm  # takes seconds
    import pytensor.tensor as pt

    sizes = range(len(own.sizes))
    coords: dict[str, Sequence[Any]] = {"size": sizes, "recipe": own.recipes[1:]}
    with pm.Model(coords=coords) as model:
        measured = ("recipe_index", "size_index", "log_tokens", "log_size", "middle", "observed")
        data = {name: pm.Data(name, own.data[name]) for name in measured}
        free: dict[str, Any] = {
            "level_offset": pm.Normal("level_offset", dims="size"),
            "reducible": PRIORS["reducible"].variable("reducible", dims=("size",)),
            "beta_offset": pm.Normal("beta_offset", dims="size"),
        }
        for name in ("log_beta", "gain_scale", "trend", "trend_scale", "scatter", "sigma"):
            free[name] = PRIORS[name].variable(name)
        free["gain"] = pm.Normal("gain", 0.0, free["gain_scale"], dims="recipe")
        free["slope_offset"] = pm.Normal("slope_offset", dims="recipe")
        free["z"] = pm.Normal("z", dims=("recipe", "size"))
        columns = {**free, **{name: free[name][:, None] for name in ("gain", "slope_offset")}}
        log_m = log_multipliers(columns, data["log_size"])
        log_m = pt.concatenate([pt.zeros((1, len(own.sizes))), log_m])
        size = data["size_index"]
        worth = data["log_tokens"] + log_m[data["recipe_index"], size]
        level = data["middle"] + _LEVEL_ABOUT * free["level_offset"]
        left = free["reducible"][size] * pt.expm1(-betas(free)[size] * worth)
        mu = level[size] + pt.log1p(left)
        pm.StudentT("log_loss", nu=NU, mu=mu, sigma=free["sigma"], observed=data["observed"])
    return model
