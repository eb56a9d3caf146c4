"""Summaries of draws: central 90% intervals, the one kind users see, and draws mixed over laws."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayescale.arguments import typed
from bayescale.errors import FitError

STACKED = "stacked"
"""Name of the mixture of laws by their weights."""


@typed
def stack_draws[Draws: (xr.DataArray, xr.Dataset)](
    draws: Mapping[str, Draws], weights: Mapping[str, float], *, seed: int = 1
) -> Draws:
    """Mix the draws of one quantity under several laws, each by its weight.

    Every law gives as many of the mixed draws as its weight says, to the nearest draw; which ones
    is drawn without repetition as far as it has them. Whole draws are taken: quantities of one
    Dataset stay together, and so do those of other calls with the same sizes, weights and seed.

    Parameters
    ----------
    draws : mapping of str to xarray.DataArray or xarray.Dataset
        The same quantity by each law: what any decision returns, dims (chain, draw, ...).
    weights : mapping of str to float
        Of the laws, with sum 1, e.g. `bayescale.Comparison.weights`.
    seed : int

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As many chains and draws as the first law has, in random order.

    Raises
    ------
    FitError
        If the laws and the weights differ in names, the weights are no shares, or the quantities
        differ between the laws in their names, dims or coordinates.
    """
    shares = _shares(draws, weights)
    first = next(iter(draws.values()))
    _require_alike(draws)
    chains, each = first.sizes["chain"], first.sizes["draw"]
    rng = np.random.default_rng(seed)
    # Largest remainder: counts that differ from weight times draws by less than one.
    exact = shares * chains * each
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: chains * each - counts.sum()]] += 1
    parts = [
        _pick(own, count, rng) for own, count in zip(draws.values(), counts, strict=True) if count
    ]
    mixed = xr.concat(parts, dim="sample", join="exact", combine_attrs="drop_conflicts")
    mixed = mixed.isel(sample=rng.permutation(chains * each))
    chain, draw = np.divmod(np.arange(chains * each), each)
    mixed = mixed.assign_coords(chain=("sample", chain), draw=("sample", draw))
    unstacked = mixed.set_index(sample=["chain", "draw"]).unstack("sample")
    return unstacked.transpose("chain", "draw", ...)


def _shares(draws: Mapping[str, object], weights: Mapping[str, float]) -> np.ndarray:
    if not draws or set(draws) != set(weights):
        raise FitError(
            f"draws of {', '.join(draws) or 'no law'}, but weights of "
            f"{', '.join(weights) or 'none'}: give one weight for each law"
        )
    shares = np.array([float(weights[name]) for name in draws])
    if not (np.isfinite(shares) & (shares >= 0)).all() or abs(shares.sum() - 1) > 1e-6:
        raise FitError(
            "weights must be shares of at least 0 with sum 1, got "
            + ", ".join(f"{name} {weights[name]:g}" for name in draws)
        )
    return shares / shares.sum()


def _require_alike(draws: Mapping[str, xr.DataArray | xr.Dataset]) -> None:
    (first, one), *others = draws.items()
    for name, other in others:
        for what, this, that in (
            ("variables", set(getattr(one, "data_vars", ())), set(getattr(other, "data_vars", ()))),
            ("dims", _dims(one), _dims(other)),
        ):
            if this != that:
                raise FitError(
                    f"the {what} of {first} and {name} differ ({_names(this)}; {_names(that)}): "
                    "ask both laws the same question"
                )
        for dim in _dims(one):
            if dim in one.coords and not one[dim].variable.equals(other[dim].variable):
                raise FitError(f"{first} and {name} answer for other values of {dim}")


def _dims(draws: xr.DataArray | xr.Dataset) -> set[str]:
    return {str(dim) for dim in draws.dims} - {"chain", "draw"}


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _pick[Draws: (xr.DataArray, xr.Dataset)](
    draws: Draws, count: int, rng: np.random.Generator
) -> Draws:
    """Take `count` draws at random, every one before any is repeated."""
    available = draws.sizes["chain"] * draws.sizes["draw"]
    rounds = [rng.permutation(available) for _ in range(-(-count // available))]
    places = np.concatenate(rounds)[:count]
    chain, draw = np.divmod(places, draws.sizes["draw"])
    bare = draws.drop_vars(["chain", "draw"], errors="ignore")  # each law has its own
    return bare.isel(
        chain=xr.DataArray(chain, dims="sample"), draw=xr.DataArray(draw, dims="sample")
    )


CI_PROB = 0.9
"""Mass of every interval a user sees."""

CAPTION = "central 90% credible interval"
"""What captions call it."""

_LEVELS = {"median": 0.5, "q05": 0.05, "q95": 0.95}


def summarise[T: (xr.DataArray, xr.Dataset)](draws: T) -> T:
    """Reduce (chain, draw) to the median and the ends of the central 90% interval.

    Parameters
    ----------
    draws : xarray.DataArray or xarray.Dataset
        With dims (chain, draw, ...). Infinite draws count; NaN are left out.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The same with dim ``summary`` = "median", "q05", "q95" in place of (chain, draw). To read it
        as a table, print ``.to_dataframe()`` of it, or ``.to_pandas()`` where one dim is left
        beside; ``answer_...`` say the same in sentences.

    Examples
    --------
    >>> draws = xr.Dataset({"loss": (("chain", "draw"), [[2.0, 2.1, 2.2]])})
    >>> print(summarise(draws).to_dataframe())  # doctest: +NORMALIZE_WHITESPACE
             loss
    summary
    median   2.10
    q05      2.01
    q95      2.19
    """
    # Between infinite draws nothing can be interpolated.
    method: Literal["nearest", "linear"] = "nearest" if _any(np.isinf, draws) else "linear"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # of them NaN is all there is to say
        quantiles = draws.quantile(
            list(_LEVELS.values()),
            dim=("chain", "draw"),
            method=method,
            skipna=_any(np.isnan, draws),  # to look for NaN is slow
        )
    return quantiles.rename(quantile="summary").assign_coords(summary=list(_LEVELS))


def numbers(draws: xr.DataArray) -> dict[str, float]:
    """Median, q05 and q95 of a scalar quantity, as plain numbers for JSON.

    Parameters
    ----------
    draws : xarray.DataArray
        Dims (chain, draw).

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> numbers(xr.DataArray([[0.0, 1.0, 2.0]], dims=("chain", "draw")))
    {'median': 1.0, 'q05': 0.1, 'q95': 1.9}
    """
    return {
        str(name): float(value)
        for name, value in zip(_LEVELS, summarise(draws).to_numpy(), strict=True)
    }


def _any(odd: Callable[[Any], Any], draws: Any) -> bool:
    arrays = draws.data_vars.values() if isinstance(draws, xr.Dataset) else [draws]
    return any(bool(odd(array).any()) for array in arrays)
