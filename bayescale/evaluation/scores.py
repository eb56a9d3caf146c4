r"""Proper scores of predictive distributions: how near they were, and whether they were honest.

Everything is on the scale on which errors of the response add up. That of a loss is its logarithm,
so errors and widths are about relative: 0.01 is 1%. Shares of successes are taken as they are: 0.01
is one point.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from bayescale.laws import LOSS, Response
from bayescale.modelling.inputs import TRIALS, columns_of
from bayescale.modelling.pooling import group_labels
from bayescale.posterior.fit import Fit
from bayescale.posterior.prediction import CellDraws, cell_draws, thinned
from bayescale.runs.table import Runs

LEVELS = {"q05": 0.05, "q10": 0.1, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q90": 0.9, "q95": 0.95}
"""Quantiles of the predictive distribution that a scored run keeps."""

CENTRAL = {50: ("q25", "q75"), 80: ("q10", "q90"), 90: ("q05", "q95")}
"""Central intervals that are scored: their mass in per cent, and their ends."""


def crps(draws: np.ndarray, observed: np.ndarray) -> np.ndarray:
    r"""Continuous ranked probability score of an ensemble, by its fair estimator.

    .. math:: \frac{1}{m} \sum_i |x_i - y| - \frac{1}{2 m (m-1)} \sum_{i,j} |x_i - x_j|

    Unbiased for the score of the distribution that independent draws come from (Ferro 2014,
    doi:10.1002/qj.2270). Smaller is better; in the unit of the draws.

    Parameters
    ----------
    draws : numpy.ndarray, shape (..., m)
    observed : numpy.ndarray, shape (...)

    Returns
    -------
    numpy.ndarray, shape (...)

    Examples
    --------
    >>> float(crps(np.array([0.0, 1.0]), np.array(0.0)))
    0.0
    >>> float(crps(np.array([2.0, 2.0]), np.array(0.5)))
    1.5
    """
    ordered = np.sort(draws, axis=-1)
    m = ordered.shape[-1]
    rank = 2 * np.arange(1, m + 1) - m - 1
    distance = np.abs(ordered - np.asarray(observed)[..., None]).mean(axis=-1)
    return distance - (ordered * rank).sum(axis=-1) / (m * (m - 1))


def log_score(log_density: xr.DataArray) -> np.ndarray:
    """Log of the mean over (chain, draw) of densities: the posterior predictive log density.

    Parameters
    ----------
    log_density : xarray.DataArray
        Dims (chain, draw) and one more.

    Returns
    -------
    ndarray
        Nats, one for each entry of that dim.
    """
    stacked = log_density.stack(sample=("chain", "draw"))
    total = logsumexp(stacked.to_numpy(), axis=stacked.get_axis_num("sample"))
    return total - np.log(stacked.sizes["sample"])


def score_runs(fit: Fit, runs: Runs, *, seed: int = 1) -> pd.DataFrame:
    """Predict runs that a fit has not seen, and score the predictions.

    Seeds of one configuration are one cell: their mean is predicted, that of a loss on its
    logarithm, with the noise that averaging leaves. By every draw for up to 20 million draws times
    rows, else by 1,000 draws.

    Parameters
    ----------
    fit : Fit
    runs : Runs
        Of groups that the fit has seen, for a fit with groups.
    seed : int
        Of the noise that is drawn.

    Returns
    -------
    pandas.DataFrame
        One row a cell: ``run`` (the first of the cell), ``group`` where there are groups, the
        columns that the model reads and that of size, ``replicates``, the column of the response
        (mean of the cell; of a loss the geometric one), ``q05`` to ``q95`` (quantiles of the
        predictive distribution, noise included, in the unit of the response), ``error`` (log of
        loss over q50; of a share its distance to q50), ``pit`` (share of the draws below what was
        observed, see `lies_below`), ``crps`` on that scale and ``log_score`` (nats), ``inside50``,
        ``inside80``, ``inside90``.
    """
    return score_with_chance(fit, runs, seed=seed)[0]


@dataclass(frozen=True)
class Chance:
    """What scores of some runs would be, were the predictive distribution true.

    Runs that one fit predicts share its error: one draw of the posterior is one such case.

    Parameters
    ----------
    inside : numpy.ndarray, shape (draws,)
        Runs inside their 90% interval.
    error : numpy.ndarray, shape (draws,)
        Mean error of the median, as ``error`` of `score_runs`.
    """

    inside: np.ndarray
    error: np.ndarray


def score_with_chance(fit: Fit, runs: Runs, *, seed: int = 1) -> tuple[pd.DataFrame, Chance]:
    """Score as `score_runs` does, and simulate what the scores would be by chance.

    Parameters are as in `score_runs`.

    Returns
    -------
    table : pandas.DataFrame
        That of `score_runs`.
    chance : Chance
    """
    fit, rng = thinned(fit, len(runs)), np.random.default_rng(seed)
    tables, chances = zip(
        *(_scored_cells(fit, cells, rng) for cells in cell_draws(fit, runs)), strict=True
    )
    table = pd.concat(tables)
    if fit.groups:
        table.insert(1, "group", group_labels(fit.spec, runs).loc[table.index].to_numpy())
    inside = np.sum([chance.inside for chance in chances], axis=0)
    error = np.sum([chance.error for chance in chances], axis=0) / len(table)
    return table.reset_index(drop=True), Chance(inside, error)


def average(table: pd.DataFrame, response: Response = LOSS) -> dict[str, float]:
    """Average scores of rows of `score_runs`.

    Parameters
    ----------
    table : pandas.DataFrame
    response : Response, optional
        What was predicted.

    Returns
    -------
    dict of str to float
        ``predictions``, ``rmsle`` (root mean square of the error of the median), ``bias`` (mean
        error), ``crps``, ``log_score``, and for each central interval ``coverage90`` (share inside)
        and ``width90`` (mean log of its upper over its lower end; of a share their distance), ...
    """
    found = {
        "predictions": len(table),
        "rmsle": float(np.sqrt((table["error"] ** 2).mean())),
        "bias": float(table["error"].mean()),
        "crps": float(table["crps"].mean()),
        "log_score": float(table["log_score"].mean()),
    }
    for mass, (low, high) in CENTRAL.items():
        found[f"coverage{mass}"] = float(table[f"inside{mass}"].mean())
        found[f"width{mass}"] = float(
            (response.onto(table[high]) - response.onto(table[low])).mean()
        )
    return found


def lies_below(cells: CellDraws, drawn: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """Say which draws lie below what was observed; their mean is the PIT.

    A number of successes is often drawn again as it was observed. Such draws lie below it by a
    random share, one of each cell, so that the PIT of a true model is uniform as that of a density
    (randomised PIT; Czado, Gneiting and Held 2009, doi:10.1111/j.1541-0420.2009.01191.x).

    Parameters
    ----------
    cells : CellDraws
    drawn : xarray.DataArray
        Of as many seeds at the same cells, dims (chain, draw, obs).
    rng : numpy.random.Generator

    Returns
    -------
    xarray.DataArray
        Of the same dims: 1 below, 0 above, in between where both are the same number of successes.
    """
    above = drawn - cells.observed
    if TRIALS.name not in cells.inputs:
        return (above <= 0).astype(float)
    step = 0.5 / cells.inputs[TRIALS.name]
    part = cells.observed.copy(data=rng.random(cells.observed.size))
    return xr.where(abs(above) < step, part, (above < 0).astype(float)).transpose(*drawn.dims)


def as_share(response: Response, error: float) -> float:
    """Turn an error into a share of the value, or of all where the response is a share itself.

    Parameters
    ----------
    response : Response
    error : float
        On the scale on which its errors add up.

    Returns
    -------
    float
    """
    return float(response.back(error) - response.back(0.0))


def percent(response: Response) -> str:
    """Name the unit of a hundred times such a share: percent of the value, or points.

    Parameters
    ----------
    response : Response

    Returns
    -------
    str
        To follow a number at once.
    """
    return "%" if response.scale == "log" else " points"


def _scored_cells(
    fit: Fit, cells: CellDraws, rng: np.random.Generator
) -> tuple[pd.DataFrame, Chance]:
    own, drawn = fit.spec.response, cells.draw(rng)
    draws = drawn.stack(sample=("chain", "draw")).transpose("obs", "sample").to_numpy()
    observed = cells.observed.to_numpy()
    read = [name for name in columns_of(fit.spec, cells.table) if name != fit.spec.group]
    kept = dict.fromkeys(("run", *fit.spec.inputs, *read, fit.spec.size, "replicates"))
    table = cells.table[[name for name in kept if name in cells.table]].copy()
    quantiles = dict(zip(LEVELS, np.quantile(draws, list(LEVELS.values()), axis=1), strict=True))
    table[own.column] = own.back(observed)
    table = table.assign(**{name: own.back(values) for name, values in quantiles.items()})
    table["error"] = observed - quantiles["q50"]
    table["pit"] = lies_below(cells, drawn, rng.spawn(1)[0]).mean(("chain", "draw")).to_numpy()
    table["crps"] = crps(draws, observed)
    table["log_score"] = log_score(cells.log_density())
    for mass, (low, high) in CENTRAL.items():
        table[f"inside{mass}"] = table[own.column].between(table[low], table[high])
    low, middle, high = (quantiles[name][:, None] for name in ("q05", "q50", "q95"))
    inside = ((draws >= low) & (draws <= high)).sum(axis=0)
    return table, Chance(inside, (draws - middle).sum(axis=0))
