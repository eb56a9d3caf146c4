r"""What a recipe is worth against a baseline: how many tokens of the baseline one token is.

A multiplier m says that the recipe reaches with D tokens the loss for which the baseline needs m D,
at one size; so it saves the share 1 - 1/m of the tokens, and of the compute 6 N D. It may change
with the size: :math:`\log m = c + e \log(N / N_0)`, see `bayescale.modelling.recipes`.

The best of many runs is better than the best of few by luck alone. Of n runs that differ by noise
of sd s it lies below their mean by :math:`s\,\mathrm{E}[\max_n z]`, z standard Normal. Where
recipes were tried a different number of times, the difference looks like tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import norm

from bayescale import words
from bayescale.arguments import typed
from bayescale.decisions.answer import (
    Answer,
    amount,
    convergence,
    interval_of,
    share_of,
    unconverged,
)
from bayescale.decisions.prices import IN_FLOPS, Prices, require_positive
from bayescale.draws import numbers
from bayescale.errors import FitError
from bayescale.files import plain
from bayescale.modelling.recipes import NU
from bayescale.posterior.recipes import Recipes
from bayescale.runs.range import decades_beyond
from bayescale.runs.recipes import TRIED

UNEVEN = 1.25
"""Ratio of the numbers of tried runs from which on luck is told."""

_NAMED = 5  # recipes of which the numbers of tried runs are said
_SURE = 0.9  # probability from which on a direction is told
_DEVIATIONS = np.linspace(-12.0, 12.0, 4801)  # of a standard Normal


@typed
def expected_best(runs: float) -> tuple[float, float]:
    """Mean and sd of how far the best of some runs lies below their mean, by noise of sd 1.

    Parameters
    ----------
    runs : float
        How many, 1 or more; a mean of several numbers need not be whole.

    Returns
    -------
    mean, sd : float

    Raises
    ------
    FitError
        If there are less than one.

    Examples
    --------
    >>> [round(value, 3) for value in expected_best(2.0)]
    [0.564, 0.826]
    """
    if not 1 <= runs < np.inf:
        raise FitError(f"the best is of at least one run, got {runs:g}")
    z = _DEVIATIONS
    density = runs * np.exp(norm.logpdf(z) + (runs - 1) * norm.logcdf(z))
    mean = np.trapezoid(z * density, z)
    return float(mean), float(np.sqrt(np.trapezoid((z - mean) ** 2 * density, z)))


@typed
def recipe_multipliers(recipes: Recipes, params: Sequence[float] = ()) -> xr.Dataset:
    """Multiplier of each recipe at the sizes of the runs, and at others.

    Parameters
    ----------
    recipes : Recipes
        What `fit_recipes` returns.
    params : sequence of float, optional
        Further sizes N.

    Returns
    -------
    xarray.Dataset
        Dims chain, draw, ``recipe`` and ``params``, rising: ``multiplier``, of the tokens of the
        baseline; ``luck``, the factor that is expected of having been tried more or less often
        than the baseline, NaN where nothing says how often. ``slope`` (chain, draw, recipe): of
        the log multiplier in log N. ``best`` (recipe, params): probability that it is worth more
        than every other recipe and the baseline. ``seen`` (params): whether runs are of that size.
        Attributes ``by`` and ``baseline``.

    Raises
    ------
    FitError
        For a size that is not positive.
    """
    for value in params:
        require_positive("a size", value)
    others = [value for value in params if recipes.size_of(value) is None]
    sizes = np.sort(np.unique([*recipes.own.sizes, *others]))
    log_m = recipes.log_multiplier(sizes.tolist())
    most = log_m.max("recipe")
    return xr.Dataset(
        {
            "multiplier": np.exp(log_m),
            "luck": _luck(recipes).reindex(params=sizes, method="nearest", tolerance=1.0),
            "slope": recipes.slope,
            "best": ((log_m == most) & (most > 0)).mean(("chain", "draw")),
            "seen": ("params", [recipes.size_of(value) is not None for value in sizes]),
        },
        attrs={"by": recipes.by, "baseline": recipes.baseline},
    )


def tried(recipes: Recipes) -> np.ndarray:
    """How many runs the best of each recipe and size were taken from, the mean over its tokens.

    Parameters
    ----------
    recipes : Recipes

    Returns
    -------
    numpy.ndarray, shape (recipes, sizes)
        The baseline first; NaN where nothing says it.
    """
    own, found = recipes.own, np.full((len(recipes.own.recipes), len(recipes.own.sizes)), np.nan)
    if TRIED not in recipes.runs.table:
        return found
    counts = recipes.runs.table[TRIED].to_numpy(dtype=float)
    for place in np.ndindex(found.shape):
        at = (own.recipe == place[0]) & (own.size == place[1])
        found[place] = counts[at].mean() if at.any() else np.nan
    return found


def _luck(recipes: Recipes) -> xr.DataArray:
    """Factor that tried numbers make look like tokens: dims (chain, draw, recipe, params).

    The scatter of the best runs about the law is that of single runs times the sd of
    `expected_best`. It holds the errors of the law as well, so this is rather too much.
    """
    counts = tried(recipes)
    mean, sd = (np.full(counts.shape, np.nan) for _ in range(2))
    for place, count in np.ndenumerate(counts):
        if count >= 1:
            mean[place], sd[place] = expected_best(float(count))
    scatter = recipes.posterior["sigma"] * np.sqrt(NU / (NU - 2))
    ahead = xr.DataArray((mean[1:] - mean[0]) / sd[0], dims=("recipe", "size"))
    found = np.exp(ahead * scatter / recipes.log_loss_per_log_token.drop_vars("size"))
    labels = {"recipe": list(recipes.names), "params": recipes.own.sizes}
    return found.rename(size="params").assign_coords(labels)


@typed
def answer_recipes(
    recipes: Recipes,
    found: xr.Dataset,
    *,
    tokens: float | None = None,
    prices: Prices = IN_FLOPS,
) -> Answer:
    """Say what each recipe is worth, whether that falls with size, and what it saves.

    Parameters
    ----------
    recipes : Recipes
    found : xarray.Dataset
        What `recipe_multipliers` returns of them.
    tokens : float, optional
        Of the baseline's planned run, of which a recipe saves a share.
    prices : Prices, optional
        Of compute; by default FLOPs.

    Returns
    -------
    Answer
        Numbers ``by``, ``baseline``, ``unit`` and ``recipes``, the best at the largest size first:
        ``recipe``, ``slope``, ``p_falls`` and ``sizes`` (``params``, ``seen``, ``decades_beyond``,
        ``multiplier``, ``p_better``, ``p_best``, ``saved``, a share; ``saved_tokens`` and
        ``saved_cost``, null without tokens; ``tried``, runs of the recipe and of the baseline, and
        ``luck``, null where nothing says it).

    Raises
    ------
    FitError
        If the tokens are not positive.
    """
    if tokens is not None:
        require_positive("the tokens", tokens)
    last = found["multiplier"].isel(params=-1).median(("chain", "draw"))
    names = [str(name) for name in found["recipe"][np.argsort(-last.to_numpy())].to_numpy()]
    entries = [_entry(recipes, found.sel(recipe=name), tokens, prices) for name in names]
    result = plain(
        {
            **convergence(recipes.problems),
            "failed": [],
            **{"by": recipes.by, "baseline": recipes.baseline},
            **{"tokens": tokens, "unit": prices.unit, "recipes": entries},
        }
    )
    sentences = [_sentence(entry, result) for entry in result["recipes"]]
    sentences += _luck_sentences(result["recipes"], recipes.baseline)
    sentences += _design_sentences(recipes)
    return Answer(found, result, tuple(sentences), unconverged(recipes.problems))


def _entry(
    recipes: Recipes, at: xr.Dataset, tokens: float | None, prices: Prices
) -> dict[str, Any]:
    """Numbers of one recipe."""
    slope, counts = at["slope"], tried(recipes)
    row = recipes.own.recipes.index(str(at["recipe"].item()))
    sizes = []
    for params in at["params"].to_numpy():
        place, own = recipes.size_of(params), at.sel(params=params)
        count = None if place is None else (counts[row, place], counts[0, place])
        seen = bool(((recipes.own.recipe == row) & (recipes.own.size == place)).any())
        sizes.append(_size(recipes, own, seen, count, tokens, prices))
    return {
        "recipe": str(at["recipe"].item()),
        "slope": numbers(slope),
        "p_falls": float((slope < 0).mean()),
        "sizes": sizes,
    }


def _size(
    recipes: Recipes,
    own: xr.Dataset,
    seen: bool,
    count: tuple[float, float] | None,
    tokens: float | None,
    prices: Prices,
) -> dict[str, Any]:
    multiplier, params = own["multiplier"], float(own["params"])
    saved = 1 - 1 / multiplier
    cost = recipes.runs.flops_per_param_token * params * (tokens or 0.0) * prices.training
    known = count is not None and bool(np.isfinite(count).all())
    return {
        "params": params,
        "seen": seen,
        "decades_beyond": float(decades_beyond(recipes.runs, params=params)),
        "multiplier": numbers(multiplier),
        "p_better": float((multiplier > 1).mean()),
        "p_best": float(own["best"]),
        "saved": numbers(saved),
        "saved_tokens": None if tokens is None else numbers(saved * tokens),
        "saved_cost": None if tokens is None else numbers(saved * cost),
        "tried": list(count) if known and count else None,
        "luck": numbers(own["luck"]) if known else None,
    }


def _sentence(entry: dict[str, Any], answer: dict[str, Any]) -> str:
    """Say the multiplier of a recipe at each size, the trend, and what it saves at the last one."""
    worth = "; ".join(
        f"{interval_of(size['multiplier'], lambda value: f'{value:.2f}')} at {_size_of(size)}"
        for size in entry["sizes"]
    )
    falls, last = entry["p_falls"], entry["sizes"][-1]
    trend = (
        f"It falls with size (probability {words.chance(falls)})"
        if falls >= _SURE
        else f"It rises with size (probability {words.chance(1 - falls)})"
        if falls <= 1 - _SURE
        else f"Whether it falls with size the runs do not tell (probability {words.chance(falls)})"
    )
    said = (
        f"A token with {entry['recipe']} is worth so many of {answer['baseline']}: {worth}. "
        f"{trend}; worth more than one at {words.trimmed(last['params'])} with a probability of "
        f"{words.chance(last['p_better'])}"
    )
    if last["saved_cost"] is None or last["p_better"] < 1 / 2:
        return f"{said}."
    cost = interval_of(last["saved_cost"], lambda value: amount(value, answer["unit"]))
    return f"{said}, and saves {share_of(last['saved'])} of the tokens there, {cost}."


def _size_of(size: dict[str, Any]) -> str:
    params = words.trimmed(size["params"])
    if size["seen"]:
        return params
    if size["decades_beyond"] > 0:
        return f"{params}, {words.times_out(size['decades_beyond'])}"
    return f"{params}, where it has no runs"


def _luck_sentences(entries: list[dict[str, Any]], baseline: str) -> list[str]:
    """Warn of recipes that were tried more or less often than the baseline."""
    told = []
    for entry in entries:
        uneven = [
            f"{_count(size['tried'][0])} against {_count(size['tried'][1])} at "
            f"{words.trimmed(size['params'])} (×{size['luck']['median']:.3f})"
            for size in entry["sizes"]
            if size["tried"] and max(size["tried"]) >= UNEVEN * min(size["tried"])
        ]
        told += [f"{entry['recipe']} {', '.join(uneven)}"] if uneven else []
    if not told:
        return []
    return [
        f"The best of more runs looks better by luck. Runs tried, against those of {baseline}, and "
        f"the factor that luck alone is expected to look like: "
        f"{words.some(told, 'recipes', most=_NAMED)}."
    ]


def _count(number: float) -> str:
    return words.significant(number, 2).removesuffix(".0")


def _design_sentences(recipes: Recipes) -> list[str]:
    """Say what the sizes and tokens of the runs leave open."""
    own, said = recipes.own, []
    if len(own.sizes) < 3:
        said.append(
            f"The runs are of {words.counted(len(own.sizes), 'size')}: how multipliers change with "
            "size is mostly what the prior says. Add runs of other sizes."
        )
    spans = [np.ptp(own.log_tokens[own.size == place]) for place in range(len(own.sizes))]
    if min(spans) < np.log(2):
        place = int(np.argmin(spans))
        said.append(
            f"At {words.trimmed(own.sizes[place])} the runs span less than a factor 2 in tokens: "
            "what a difference in loss is worth in tokens there is mostly what the other sizes and "
            "the prior say. Add runs of the baseline with other tokens."
        )
    return said
