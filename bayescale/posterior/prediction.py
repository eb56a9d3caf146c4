"""Losses of runs nobody has made, and of those somebody has: draws from the law in NumPy."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binomtest

from bayescale import words
from bayescale.arguments import numbers_of, typed
from bayescale.draws import CI_PROB, summarise
from bayescale.errors import FitError
from bayescale.laws import LOSS, Input
from bayescale.modelling.build import cells_of
from bayescale.modelling.effects import effect_of, labels_of, scale_of
from bayescale.modelling.inputs import (
    inputs_of,
    known_sd,
    observed_of,
    read_by,
    sd_column,
    unstated,
)
from bayescale.modelling.noise import Noise, noise_scale
from bayescale.modelling.pooling import group_labels
from bayescale.posterior.fit import Fit
from bayescale.posterior.leaning import leaning_of, rest_of
from bayescale.posterior.search import at_best
from bayescale.runs.table import SHARES_WITHIN, Runs

MOST_VALUES = 20_000_000
"""Draws times rows up to which every draw is asked about every row."""

ENOUGH_DRAWS = 1000
"""Draws that are asked about the rows of larger tables."""

_DECADES = 0.05  # of compute, to either side of a run: step of a slope
_LABEL = "group of the run"  # a key of inputs, where the law reads the column of groups itself
_AT_ONCE = 4_000_000  # draws times rows that are held at once

type Inputs = Mapping[str, Any] | pd.DataFrame
"""Inputs of a law by name."""


@typed
def predict(fit: Fit, inputs: Inputs | None = None, **named: Any) -> xr.DataArray:
    r"""Loss that the law gives, per draw, without observation noise.

    Parameters
    ----------
    fit : Fit
    inputs : mapping or pandas.DataFrame, optional
        Every input of the law by name, e.g. ``{"params": 7e9, "tokens": 1.4e12}``; those that
        `Fit.at` has fixed may be left out. Scalars,
        one-dimensional arrays of equal length (one entry a run), or DataArrays with own dims. For
        a fit with groups also the group, e.g. ``"family": "transformer"``; without it the result
        has every group, dim ``group``. Other columns of a table are left alone.
    **named : float or array
        Inputs as keywords, e.g. ``params=7e9, tokens=1.4e12``.

    Returns
    -------
    xarray.DataArray
        Nats per token, dims (chain, draw, ...): 8 bytes a draw and entry. Noise is on log loss, so
        this is the median of a new run, not its mean. Of a law that may bend: the bent one.

    Raises
    ------
    FitError
        If an input is missing, unknown or not positive, or a group is not one of the fit's.

    Examples
    --------
    >>> from bayescale import constants_fit
    >>> fit = constants_fit("chinchilla", E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> predict(fit, {"params": [7e9, 70e9], "tokens": 1.4e12}).round(2).values
    array([[[2.04, 1.93]]])
    """
    inputs = _by_name(fit, inputs, named)
    given, law = given_inputs(fit, inputs), fit.whole_law
    for name in law.role("knob"):
        if name not in given:
            law = at_best(law, name, fit.ends_of(name))
    return law(*(given[name] for name in law.inputs), **_at(fit, fit.natural, inputs))


@typed
def predict_runs(
    fit: Fit, inputs: Inputs | None = None, *, seed: int = 1, **named: Any
) -> xr.DataArray:
    """Loss of new runs, per draw, with observation noise: the posterior predictive distribution.

    The other parameters, dims and errors are as in `predict`.

    Parameters
    ----------
    seed : int
        Of the noise.

    Returns
    -------
    xarray.DataArray

    Raises
    ------
    FitError
        If constants were given without noise.
    """
    own, inputs = fit.spec.response, _by_name(fit, inputs, named)
    if missing := [name for name in fit.spec.noise_model.parameters if name not in fit.noise]:
        raise FitError(
            f"these constants have no noise: give {', '.join(missing)}, or ask for the law's "
            f"{own.name} alone"
        )
    errors = _size_error(fit, inputs, seed) + _shared_errors(fit, inputs, seed)
    middle = own.onto(predict(fit, inputs)) + errors
    return own.back(_draw_noise(fit, middle, inputs, seed))


def _by_name(fit: Fit, inputs: Inputs | None, named: Mapping[str, Any]) -> Inputs:
    """Put together what is given in a table and as keywords."""
    if not named:
        return {} if inputs is None else inputs
    require_known(fit, named)
    return {**({} if inputs is None else dict(inputs)), **named}


def require_known(fit: Fit, names: Iterable[str]) -> None:
    """Refuse a name of an input that the model does not read.

    Parameters
    ----------
    fit : Fit
    names : iterable of str

    Raises
    ------
    FitError
        For such a name.
    """
    spec = fit.spec
    parts = [f"{name}_{part}" for name in spec.law.role("shares") for part in fit.parts[name]]
    read = dict.fromkeys(own.name for own in read_by(spec))
    known = [*read, *parts, *(["params"] if spec.law.role("size") else [])]
    known += [spec.group] if spec.group else []
    known += list(spec.effects)
    for name in names:
        if name not in known:
            raise FitError(
                f"the model {spec.name} does not read {name!r}; {words.did_you_mean(name, known)}"
            )


def bend_per_decade(fit: Fit) -> xr.DataArray:
    r"""How much the factor by which a law bends changes among the runs, per decade.

    The root mean square over the runs of the slope of the log factor when all inputs grow in
    proportion: along log10 of compute for a joint law, along its axis for a single-axis law.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    xarray.DataArray
        Of log loss per decade, about a share of the loss; dims (chain, draw).

    Raises
    ------
    FitError
        If the law of the fit does not bend.
    """
    if not fit.bends:
        raise FitError(f"the law of the model {fit.spec.name} does not bend")
    cells = cells_of(fit.spec, fit.runs)
    runs = np.bincount(cells.members[cells.members >= 0], minlength=len(cells))
    fit, step = thinned(fit, len(cells)), _DECADES / len(fit.spec.inputs)
    exact = {name: fit.natural[name] for name in fit.spec.law.parameters}

    def log_factor(at: Inputs, times: float) -> xr.DataArray:
        inputs = [times * at[name] for name in fit.spec.inputs]
        bent = fit.law(*inputs, **fit.natural)
        return xr.ufuncs.log(bent / fit.spec.law(*inputs, **exact))

    squares = []
    for part in parts_of(fit, len(cells)):
        at = _columns(fit, cells.table.iloc[part])
        slope = (log_factor(at, 10**step) - log_factor(at, 10**-step)) / (2 * _DECADES)
        squares.append((slope**2 * xr.DataArray(runs[part], dims="obs")).sum("obs"))
    return xr.ufuncs.sqrt(sum(squares) / runs.sum()).transpose("chain", "draw")


def _size_error(fit: Fit, inputs: Inputs, seed: int) -> Any:
    """Draw the error on log loss that new runs of one size share: 0 for a model without.

    Anew for every size: what is known of the errors of the runs' own sizes is not used, as it is no
    part of the law.
    """
    error = fit.spec.size_error
    if error is None or not fit.knows_sizes:
        return 0.0
    given = given_inputs(fit, inputs)
    size, draws = given[fit.spec.size_column], fit.posterior.sizes
    shape = draws["chain"], draws["draw"]
    if {"chain", "draw"} & set(size.dims):  # a size of its own for every draw
        drawn = error.sd * np.random.default_rng([seed, 11]).standard_normal(shape)
        return xr.DataArray(drawn, dims=("chain", "draw"))
    values, place = np.unique(size.to_numpy().astype(float), return_inverse=True)
    # A stream for every size: its runs share an error wherever they are asked for.
    streams = (np.random.default_rng([seed, 11, bits]) for bits in values.view(np.uint64).tolist())
    drawn = error.sd * np.stack([stream.standard_normal(shape) for stream in streams], axis=-1)
    sizes = xr.DataArray(place.reshape(size.shape), dims=size.dims)
    return xr.DataArray(drawn, dims=("chain", "draw", "value")).isel(value=sizes)


def _shared_errors(fit: Fit, inputs: Inputs, seed: int) -> Any:
    """Errors that rows of one value of a column share (`bayescale.modelling.effects`).

    Those of the runs where they have the value, drawn for a value that they lack; of rows that
    name none each row its own.
    """
    found: Any = 0.0
    for column in fit.spec.effects:
        if scale_of(column) in fit.posterior:
            found = found + _errors_of(fit, column, inputs, seed)
    return found


def _errors_of(fit: Fit, column: str, inputs: Inputs, seed: int, rest: float = 1.0) -> xr.DataArray:
    """Errors that rows of one value of a column share; with `rest` 0 those of new ones in mean."""
    draws = fit.posterior[effect_of(column)]
    known, (dim,) = draws.transpose("chain", "draw", ...), draws.dims[2:]
    shape = known.shape[:2]
    sd = rest * fit.posterior[rest_of(column) if column in fit.spec.smooth else scale_of(column)]
    if column not in inputs:
        sizes = dict(xr.broadcast(*given_inputs(fit, inputs).values())[0].sizes)
        own = {d: n for d, n in sizes.items() if d not in ("chain", "draw", *fit.parts)}
        rng = np.random.default_rng([seed, 12, crc32(column.encode())])
        drawn = xr.DataArray(
            rng.standard_normal((*shape, *own.values())), dims=("chain", "draw", *own)
        )
        return sd * drawn + _leaning(fit, column, inputs)
    given = _labelled(inputs[column])
    labels, place = np.unique(given.to_numpy(), return_inverse=True)
    held = {str(label): number for number, label in enumerate(draws[dim].to_numpy())}
    values, sds = known.to_numpy(), sd.transpose("chain", "draw").to_numpy()
    columns = [
        values[..., held[label]]
        if label in held
        else sds * _stream(seed, column, label).standard_normal(shape)
        for label in labels
    ]
    where = xr.DataArray(place.reshape(given.shape), dims=given.dims)
    errors = xr.DataArray(np.stack(columns, axis=-1), dims=("chain", "draw", "value"))
    is_new = xr.DataArray(np.array([label not in held for label in labels]), dims="value")
    found = errors.isel(value=where)
    if column not in fit.spec.smooth or not is_new.any():
        return found
    return found + _leaning(fit, column, inputs) * is_new.isel(value=where)


def leaning(fit: Fit, inputs: Inputs) -> Any:
    """Say what the law leaves of new runs, on log loss: the smooth part of their errors.

    Parameters
    ----------
    fit : Fit
    inputs : mapping or pandas.DataFrame
        As in `predict`.

    Returns
    -------
    xarray.DataArray or float
        Dims (chain, draw, ...), with group where none is named; 0 for a model without such errors.
    """
    return sum((_leaning(fit, column, inputs) for column in fit.spec.smooth), 0.0)


def _leaning(fit: Fit, column: str, inputs: Inputs) -> Any:
    """Smooth part of the errors of new cells; 0 where errors are not smooth."""
    spec, whole = fit.spec, fit.part_of or fit
    if column not in whole.leanings:
        return 0.0
    own, names = whole.leanings[column], list(whole.groups) or [""]
    rest = float(whole.posterior[rest_of(column)].mean())
    given = given_inputs(fit, inputs, without="".join(spec.law.role("shares")))
    along, groups = [given[name] for name in spec.smooth[column].axes], _groups_given(fit, inputs)

    def of_group(group: str, places: list[xr.DataArray]) -> xr.DataArray:
        drawn = fit.posterior[leaning_of(column)]
        drawn = drawn.sel(group=group, drop=True) if "group" in drawn.dims else drawn
        laid = xr.broadcast(*places)
        flat = tuple(np.ravel(values) for values in laid)
        basis = own.basis(names.index(group), rest, flat)
        return _times(basis, drawn.transpose("chain", "draw", ...).to_numpy(), laid[0])

    if not groups.ndim:
        return of_group(str(groups.item()), along)
    (dim,), found, order = groups.dims, [], []
    for group in np.unique(groups.to_numpy()):
        rows = np.flatnonzero(groups.to_numpy() == group)
        places = [
            values.isel({dim: rows}) if dim in values.dims else values.expand_dims({dim: len(rows)})
            for values in along
        ]
        found.append(of_group(str(group), places))
        order.append(rows)
    back = np.argsort(np.concatenate(order))
    return xr.concat(found, dim=dim).isel({dim: back}).assign_coords(groups.coords)


def _times(basis: np.ndarray, z: np.ndarray, like: xr.DataArray) -> xr.DataArray:
    """Multiply features of places, of the dims of `like`, by coefficients of draws."""
    if {"chain", "draw"} <= set(like.dims):  # a place of its own for each draw
        features = basis.reshape(*like.shape, -1)
        own = xr.DataArray(features, dims=(*like.dims, "feature"))
        return xr.dot(own, xr.DataArray(z, dims=("chain", "draw", "feature")), dim="feature")
    said = (z @ basis.T).reshape(*z.shape[:2], *like.shape)
    return xr.DataArray(said, dims=("chain", "draw", *like.dims))


def _groups_given(fit: Fit, inputs: Inputs) -> xr.DataArray:
    """Name the groups of the rows: all groups where none is given, as `predict` says them."""
    column = _LABEL if _LABEL in inputs else str(fit.spec.group)
    if column in inputs:
        return _labelled(inputs[column])
    if fit.groups:
        return xr.DataArray(np.array(fit.groups), dims="group", coords={"group": list(fit.groups)})
    return xr.DataArray(fit.own_group or "")


def _stream(seed: int, column: str, label: str) -> np.random.Generator:
    """Random numbers of every value of its own: its rows share errors wherever they are asked."""
    return np.random.default_rng([seed, 12, crc32(f"{column} {label}".encode())])


def _draw_noise(fit: Fit, mu: xr.DataArray, inputs: Inputs, seed: int) -> xr.DataArray:
    """Draw what is observed of new runs around `mu`."""
    noise, rng = _at(fit, fit.noise, inputs), np.random.default_rng(seed)
    own = given_inputs(fit, inputs, of_noise=True)
    known = xr.DataArray(inputs[name]) if (name := sd_column(fit.spec)) in inputs else 0.0
    scale = noise_scale(noise, rise=_rise(fit, mu, inputs), known=known)
    return fit.spec.noise_model.draw(rng, mu, scale, noise, own)


def _rise(fit: Fit, mu: Any, inputs: Inputs) -> Any:
    """Tell by how much a law lies above its least, where it has one."""
    least = fit.spec.law.least
    if not least:
        return 0.0
    return mu - fit.spec.response.onto(_at(fit, {least: fit.natural[least]}, inputs)[least])


@dataclass(frozen=True)
class CellDraws:
    """What the model says of cells of replicates, draw by draw.

    Parameters
    ----------
    table : pandas.DataFrame
        The cells (`bayescale.runs.cells.Cells`), one row each.
    mu : xarray.DataArray
        What the law says, as `bayescale.laws.Response.onto` maps it, dims (chain, draw, obs).
    scale : xarray.DataArray
        Scale of the noise of the cell's mean log loss, dims (chain, draw) and obs where it differs.
    noise : dict of str to xarray.DataArray
        Noise parameters, dims (chain, draw) and obs where they differ between groups.
    inputs : dict of str to xarray.DataArray
        Inputs of the law, dim obs.
    kind : Noise
        Of the model.
    """

    table: pd.DataFrame
    mu: xr.DataArray
    scale: xr.DataArray
    noise: dict[str, xr.DataArray]
    inputs: dict[str, xr.DataArray]
    kind: Noise

    @property
    def observed(self) -> xr.DataArray:
        """Mean of what was observed of each cell: of a loss its logarithm."""
        return _vector(self.table["observed"])

    def log_density(self) -> xr.DataArray:
        """Log density of the observed log losses, dims (chain, draw, obs)."""
        density = self.kind.log_density(self.observed, self.mu, self.scale, self.noise, self.inputs)
        return density.transpose("chain", "draw", "obs")

    def log_likelihood(self) -> xr.DataArray:
        """Say what each cell adds to the log posterior: its log density times its weight."""
        return self.log_density() * _vector(self.table["weight"])

    def draw(self, rng: np.random.Generator) -> xr.DataArray:
        """Draw log losses of as many seeds at the same cells.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, obs).
        """
        drawn = self.kind.draw(rng, self.mu, self.scale, self.noise, self.inputs)
        return drawn.transpose("chain", "draw", "obs")


def cell_draws(fit: Fit, runs: Runs | None = None) -> Iterator[CellDraws]:
    """Evaluate the law and the noise at the cells of the runs of a fit, or of others.

    One part of the cells after another, in their order, each as large as can be held at once.

    Parameters
    ----------
    fit : Fit
    runs : Runs, optional
        Others than those of the fit.

    Yields
    ------
    CellDraws
    """
    others, runs = runs is not None, fit.runs if runs is None else runs
    if fit.groups:
        group_labels(fit.spec, runs)  # refuses a run without a group
    table = cells_of(fit.spec, runs).table
    for part in parts_of(fit, len(table)):
        cells = table.iloc[part]
        inputs = _columns(fit, cells)
        noise = _at(fit, fit.noise, inputs)
        apart = _size_error(fit, inputs, 1) if others else fit.size_error_of_cells(part)
        apart = apart + _shared_errors(fit, inputs, 1)
        middle = fit.spec.response.onto(predict(fit, inputs)) + apart
        known = inputs.get(sd_column(fit.spec), 0.0)
        yield CellDraws(
            cells,
            middle.transpose("chain", "draw", "obs"),
            noise_scale(noise, _vector(cells["replicates"]), _rise(fit, middle, inputs), known),
            noise,
            {own.name: inputs[own.name] for own in read_by(fit.spec)},
            fit.spec.noise_model,
        )


def parts_of(fit: Fit, rows: int) -> list[slice]:
    """Part rows so that all draws of one part can be held at once; one part where that is all.

    Parameters
    ----------
    fit : Fit
    rows : int

    Returns
    -------
    list of slice
    """
    sizes = fit.posterior.sizes
    each = max(_AT_ONCE // (sizes["chain"] * sizes["draw"]), 1)
    return [slice(first, first + each) for first in range(0, max(rows, 1), each)]


def is_large(fit: Fit, rows: int) -> bool:
    """Whether the draws of a fit times `rows` are more than `MOST_VALUES`.

    Parameters
    ----------
    fit : Fit
    rows : int

    Returns
    -------
    bool
    """
    sizes = fit.posterior.sizes
    return sizes["chain"] * sizes["draw"] * rows > MOST_VALUES


def thinned(fit: Fit, rows: int) -> Fit:
    """Take about 1,000 draws of a fit if it has more and a table of so many rows is large.

    Parameters
    ----------
    fit : Fit
    rows : int

    Returns
    -------
    Fit
    """
    return with_few_draws(fit) if is_large(fit, rows) else fit


def with_few_draws(fit: Fit, enough: int | None = None) -> Fit:
    """Take about 1,000 draws of a fit if it has more: enough for the quantiles of a picture.

    Evenly from every chain.

    Parameters
    ----------
    fit : Fit
    enough : int, optional
        How many.

    Returns
    -------
    Fit
    """
    sizes = fit.posterior.sizes
    each = max((enough or ENOUGH_DRAWS) // sizes["chain"], 1)
    if sizes["draw"] <= each:
        return fit
    places = (np.arange(each) + 0.5) * sizes["draw"] / each
    tree = fit.tree.copy()
    tree["posterior"] = fit.posterior.isel(draw=places.astype(int))
    return replace(fit, tree=tree, part_of=fit.part_of or fit)


@typed
def log_likelihood(fit: Fit, runs: Runs | None = None) -> xr.DataArray:
    """Log density of the log loss of each cell of replicates, per draw.

    The runs of the fit, or others. Equal to PyMC's own ``compute_log_likelihood``, so not raised to
    weights of runs, as `arviz_tree` has it. All draws at all cells, 8 bytes each.

    Parameters
    ----------
    fit : Fit
    runs : Runs, optional

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, obs).
    """
    return xr.concat([cells.log_density() for cells in cell_draws(fit, runs)], dim="obs")


@typed
def residuals(fit: Fit, runs: Runs | None = None) -> pd.DataFrame:
    """Observed, fitted and residual log loss of every run, beside the runs' own columns.

    The runs of the fit, or others that it has not seen; those of a group it has not seen are
    predicted from the population. Runs of which the model reads the same are predicted once. By
    every draw for up to 20 million draws times rows that differ, 5,000 rows of 4,000 draws; by
    1,000 draws for larger tables.

    Parameters
    ----------
    fit : Fit
    runs : Runs, optional

    Returns
    -------
    pandas.DataFrame
        The table of the runs, and ``fitted`` (posterior median, nats per token; of runs that the
        fit has not seen with what the law leaves of their cells, of its own by the law alone),
        ``residual`` (log observed minus log fitted, about the relative error), ``predicted_q05``
        and ``predicted_q95`` (central 90% of the posterior predictive distribution, nats per
        token).
    """
    seen = runs is None or runs is fit.runs
    runs = fit.runs if runs is None else runs
    fit = with_groups_of(fit, runs)
    table, inputs = runs.table.copy(), run_inputs(fit, runs)
    first, member = _distinct(inputs)
    fit, found = thinned(fit, len(first)), []
    for seed, part in enumerate(parts_of(fit, len(first)), start=1):
        own = {name: values.isel(obs=first[part]) for name, values in inputs.items()}
        said = predict(fit, own) if seen else _expected(fit, own)
        fitted = said.median(("chain", "draw"), skipna=False).to_numpy()
        ends = summarise(predict_runs(fit, own, seed=seed)).sel(summary=["q05", "q95"])
        found.append(np.stack([fitted, *ends.transpose("summary", "obs").to_numpy()]))
    fitted, low, high = np.concatenate(found, axis=1)[:, member]
    return table.assign(
        fitted=fitted,
        residual=observed_of(fit.spec, table) - fit.spec.response.onto(fitted),
        predicted_q05=low,
        predicted_q95=high,
    )


def _expected(fit: Fit, inputs: Inputs) -> xr.DataArray:
    """Predict new runs without noise: by the law, and by what it leaves of their cells."""
    own, said = fit.spec.response, predict(fit, inputs)
    smooth = [column for column in fit.spec.smooth if scale_of(column) in fit.posterior]
    if not smooth:
        return said
    errors = sum(_errors_of(fit, column, inputs, 0, rest=0.0) for column in smooth)
    return own.back(own.onto(said) + errors)


def _distinct(inputs: Mapping[str, xr.DataArray]) -> tuple[np.ndarray, np.ndarray]:
    """Find the first row of each kind of rows with equal inputs, and the kind of every row."""
    parts = [part for own in inputs.values() for part in np.atleast_2d(own.to_numpy().T)]
    codes = pd.DataFrame({number: pd.factorize(part)[0] for number, part in enumerate(parts)})
    kind = codes.groupby(list(codes.columns), sort=False).ngroup()
    return np.flatnonzero(~kind.duplicated()), kind.to_numpy()


def score(table: pd.DataFrame, response: str = LOSS.column) -> dict[str, float]:
    """Score a table of `residuals`.

    Parameters
    ----------
    table : pandas.DataFrame
    response : str, optional
        Column of what was observed.

    Returns
    -------
    dict of str to float
        ``runs``; ``inside``, the number of them inside their central 90% predictive interval;
        ``coverage``, its share; ``p_value``, the probability of as few if each were inside with 90%
        (binomial); ``rmsle``, the root mean square of the residuals of log loss.
    """
    inside = int(table[response].between(table["predicted_q05"], table["predicted_q95"]).sum())
    return {
        "runs": len(table),
        "inside": inside,
        "coverage": inside / len(table),
        "p_value": float(binomtest(inside, len(table), CI_PROB, alternative="less").pvalue),
        "rmsle": float(np.sqrt((table["residual"] ** 2).mean())),
    }


@typed
def arviz_tree(fit: Fit, *, seed: int = 1) -> xr.DataTree:
    """Copy the fit's tree and compute its groups ``log_likelihood`` and ``posterior_predictive``.

    What ``az.loo``, ``az.loo_pit`` and ``az.plot_ppc_dist`` need, which may be given ``fit.tree``
    as well: there the two are computed when they are first read, and here the seed can be another.
    Variable ``log_loss``, dims (chain, draw, obs), obs one cell of replicates; 16 bytes a draw and
    cell. They are in no file of a fit, and `bayescale.check_fit` and `bayescale.compare` do
    without.

    The likelihood is the one that was fitted: that of runs of weight w raised to w. So the elpd of
    ``az.loo`` is about such likelihoods (`bayescale.evaluation.cross_validation`); it says how well
    runs are predicted where all weigh 1.

    Parameters
    ----------
    fit : Fit
    seed : int, optional
        Of the noise that is drawn.

    Returns
    -------
    xarray.DataTree
    """
    tree, rng = fit.tree.copy(), np.random.default_rng(seed)
    likelihood, drawn = zip(
        *((cells.log_likelihood(), cells.draw(rng)) for cells in cell_draws(fit)), strict=True
    )
    observed = fit.spec.response.variable
    tree["log_likelihood"] = xr.Dataset({observed: xr.concat(likelihood, dim="obs")})
    tree["posterior_predictive"] = xr.Dataset({observed: xr.concat(drawn, dim="obs")})
    return tree


def run_inputs(fit: Fit, runs: Runs) -> dict[str, xr.DataArray]:
    """Read the inputs of the law, and the group, at existing runs, dim ``obs``.

    Parameters
    ----------
    fit : Fit
    runs : Runs

    Returns
    -------
    dict of str to xarray.DataArray
    """
    if fit.groups:
        group_labels(fit.spec, runs)  # refuses a run without a group
    return _columns(fit, runs.table)


def _columns(fit: Fit, table: pd.DataFrame) -> dict[str, xr.DataArray]:
    for name, parts in fit.parts.items():
        table = _with_parts(table, name, parts)
    columns = {
        name: xr.DataArray(values, dims=("obs", name)[: values.ndim])
        for name, values in inputs_of(fit.spec, table).items()
    }
    if (known := known_sd(fit.spec, table)) is not None:
        columns[sd_column(fit.spec)] = xr.DataArray(known, dims="obs")
    for name in fit.spec.effects:
        if name in table:
            columns[name] = xr.DataArray(np.array(labels_of(table, name), dtype=object), dims="obs")
    if fit.groups:
        labels = table[str(fit.spec.group)].astype(str).to_numpy(dtype=object)
        column = str(fit.spec.group)
        columns[_LABEL if column in columns else column] = xr.DataArray(labels, dims="obs")
    return columns


def _with_parts(table: pd.DataFrame, name: str, parts: tuple[str, ...]) -> pd.DataFrame:
    """Give a table the shares of a mixture in the order of the parts; those left out are 0."""
    known = [f"{name}_{part}" for part in parts]
    held = [str(column) for column in table.columns if str(column).startswith(f"{name}_")]
    if other := [column for column in held if column not in known]:
        raise FitError(
            f"the fit says nothing of {', '.join(other)}: its mixture is of {', '.join(known)}"
        )
    shares = {column: table[column] if column in held else 0.0 for column in known}
    return table.drop(columns=held).assign(**shares)


def _vector(values: pd.Series) -> xr.DataArray:
    return xr.DataArray(values.to_numpy(dtype=float), dims="obs")


def with_groups_of(fit: Fit, runs: Runs) -> Fit:
    """Add the groups of `runs` that the fit has not seen, drawn from the population.

    Parameters
    ----------
    fit : Fit
    runs : Runs

    Returns
    -------
    Fit
    """
    if not fit.groups:
        return fit
    labels, columns = group_labels(fit.spec, runs), list(fit.spec.covariates)
    for name in sorted(set(labels) - set(fit.groups)):  # each has a stream of its own
        own = runs.table[labels == name]
        along = {column: float(np.exp(np.log(own[column]).mean())) for column in columns}
        fit = fit.with_new_group(name, along=along)
    return fit


def _labelled(given: Any) -> xr.DataArray:
    """Labels of runs, as text."""
    if not isinstance(given, xr.DataArray):
        labels = np.asarray(given, dtype=object)
        given = xr.DataArray(labels, dims="run" if labels.ndim else ())
    return given.astype(str)


def _at(fit: Fit, values: dict[str, xr.DataArray], inputs: Inputs) -> dict[str, xr.DataArray]:
    """Take the values of the groups that `inputs` names; of all groups where it names none."""
    column = _LABEL if _LABEL in inputs else str(fit.spec.group)
    if column not in inputs or not (fit.groups or fit.own_group):
        return values
    given = _labelled(inputs[column])
    for name in np.unique(given):
        if fit.groups:
            fit.require_group(str(name))
        elif name != fit.own_group:
            raise FitError(
                f"this is the fit of {fit.own_group!r} alone, it says nothing of {str(name)!r}; "
                "ask the fit of all groups"
            )
    if not fit.groups:
        return values
    return {
        name: value.sel(group=given, drop=True).drop_vars("group", errors="ignore")
        if "group" in value.dims
        else value
        for name, value in values.items()
    }


def given_inputs(
    fit: Fit, inputs: Inputs, *, of_noise: bool = False, without: str = ""
) -> dict[str, xr.DataArray]:
    """Give every input of a law its value, as arrays; knobs that have none are left out.

    Parameters
    ----------
    fit : Fit
    inputs : mapping or pandas.DataFrame
        As `predict` takes them.
    of_noise : bool
        Whether what the noise reads is wanted as well.
    without : str
        An input that is left out.

    Returns
    -------
    dict of str to xarray.DataArray

    Raises
    ------
    FitError
        If an input is missing, or has values that it cannot have.
    """
    spec = fit.spec
    given: dict[str, Any] = {**fit.given, **dict(inputs)}
    for size in spec.law.role("size"):  # the parameters that compute counts, as decisions name them
        if size not in given and "params" in given and "params" not in spec.inputs:
            given[size] = given["params"]
    for name in spec.law.role("shares"):
        named = {part: f"{name}_{part}" for part in fit.parts[name]}
        columns = {part: given[column] for part, column in named.items() if column in given}
        if name not in inputs and columns:
            given[name] = columns
    found: dict[str, xr.DataArray] = {}
    read = [r for r in (read_by(spec) if of_noise else spec.reads) if r.name != without]
    for own in read:
        filled = own.fill if own.name not in given else own.name
        if filled in given:
            found[own.name] = _array(fit, own, given[filled])
        elif own.name in spec.constants:
            found[own.name] = xr.DataArray(spec.constants[own.name])
        elif unstated(spec, own):
            found[own.name] = xr.DataArray(np.inf)
    missing = [own.name for own in read if own.name not in found and own.role != "knob"]
    if missing:
        raise FitError(
            f"the model {spec.name} predicts from {', '.join(own.name for own in spec.reads)}; "
            f"{', '.join(missing)} missing"
        )
    return found


def _array(fit: Fit, own: Input, value: Any) -> xr.DataArray:
    """Check the values of one input."""
    if own.scale == "shares" and not isinstance(value, xr.DataArray):
        if isinstance(value, Mapping):
            return _shares(fit, own.name, value)
        array = np.asarray(value, dtype=float)
        value = xr.DataArray(array, dims=("run", own.name)[-array.ndim :])
    if not isinstance(value, xr.DataArray):
        array = numbers_of(own.name, value)
        value = xr.DataArray(array, dims="run" if array.ndim else ())
    if own.scale == "shares":
        value = _in_order(fit, own.name, value)
    if own.scale != "shares" and not (allowed := own.allows(value)).all():
        wrong = float(np.asarray(value)[~np.asarray(allowed)][0])
        raise FitError(f"{own.name} must be a {own.allowed}, got {wrong:g}")
    endless = unstated(fit.spec, own)
    if not endless and not np.isfinite(value).all():
        raise FitError(f"{own.name} must be finite")
    return value


def _in_order(fit: Fit, name: str, value: xr.DataArray) -> xr.DataArray:
    """Check shares given as an array, and take them in the order of the parts of the runs."""
    parts = fit.parts[name]
    labels = [str(part) for part in value[name].to_numpy()] if name in value.coords else parts
    if value.sizes.get(name) != len(parts) or set(labels) != set(parts):
        raise FitError(f"give the shares of {name} of all its parts: {', '.join(parts)}")
    value = value.drop_vars(name, errors="ignore").isel(
        {name: [list(labels).index(part) for part in parts]}
    )
    sums = value.sum(name)
    if not ((value >= 0).all() and (abs(sums - 1) <= SHARES_WITHIN).all()):
        raise FitError(f"shares of {name} must be at least 0 and sum to 1")
    return value / sums


def _shares(fit: Fit, name: str, given: Mapping[str, Any]) -> xr.DataArray:
    """Read the shares of a mixture by its parts: of one run, or of several."""
    runs = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in given.values()))
    rows = [dict(zip(given, row, strict=True)) for row in np.stack(runs, -1).reshape(-1, len(runs))]
    found = np.stack([fit.shares(name, row) for row in rows]).reshape(*runs[0].shape, -1)
    return xr.DataArray(found, dims=("run", name)[-found.ndim :])
