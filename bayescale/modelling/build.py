"""From a model specification and runs to a PyMC model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
import xarray as xr

from bayescale.arguments import typed
from bayescale.errors import ModelError, RunsError
from bayescale.laws import Law, into_support, onto_line
from bayescale.modelling.bend import FEATURES, Bending, bending_of, features_of_runs
from bayescale.modelling.compiling import WEIGHTING, Variable
from bayescale.modelling.effects import (
    centred_of,
    dim_of,
    effect_data,
    effect_labels,
    effect_of,
    effect_variables,
    effects_from,
    index_of,
    offset_of,
    scale_of,
)
from bayescale.modelling.inputs import (
    CEILING,
    columns_of,
    inputs_of,
    known_sd,
    observed_of,
    parts_of_mixtures,
    read_by,
    rounding_of,
    sd_column,
)
from bayescale.modelling.noise import LEAST, SEED, noise_scale
from bayescale.modelling.pooling import (
    anchoring,
    clusters_of,
    covariates_of,
    group_names,
    guess_of,
    references_of,
    shifts_of,
)
from bayescale.modelling.priors import Prior
from bayescale.modelling.spec import Bend, ModelSpec, slope_of
from bayescale.runs.cells import Cells, collapse
from bayescale.runs.table import Runs

_INPUT = "input_"  # before the column of an input, among the data of a model
_COVARIATE = "covariate_"  # before the column of a trend

type Values = Mapping[str, Any]


def input_data(spec: ModelSpec) -> dict[str, str]:
    """Name the ``pm.Data`` of each input: a column may have the name of a parameter or a dim.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    dict of str to str
        By input of the law and its noise.
    """
    return {own.name: f"{_INPUT}{own.name}" for own in read_by(spec)}


def positive_data(spec: ModelSpec) -> tuple[str, ...]:
    """Name the data of a model that are positive and mostly taken to a power.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    tuple of str
    """
    names = [own.name for own in spec.reads if own.scale == "log"]
    return tuple(f"{part}{name}" for part in (_INPUT, "reference_") for name in names)


def inputs_in(spec: ModelSpec, data: Values) -> dict[str, Any]:
    """Take the inputs of the law and its noise from the data of a model, by their names.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        Of `model_data`, or tensors of the same names.

    Returns
    -------
    dict
        By input.
    """
    return {name: data[own] for name, own in input_data(spec).items()}


@typed
def build_model(spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None) -> Any:
    r"""Build the PyMC model: priors on the law's coordinates, noise on what the law says.

    Of a loss :math:`\log L_i \sim \mathrm{StudentT}(\nu, \log \mathrm{law}(x_i), \sigma)`, or
    other noise.
    Replicates enter as one cell each: their mean with the scale of
    `bayescale.modelling.noise.noise_scale`, and their pooled sum of squares S around the cell
    means, with the variance of rounding, as
    :math:`-f \log \sigma_{seed} - S / (2 \sigma_{seed}^2)`, f the degrees of freedom.

    A partially pooled parameter has a ``<name>_population`` value with the parameter's prior and a
    ``<name>_scale``, the sd between groups on the real line (`bayescale.laws.onto_line`). How its
    groups are sampled, by ``<name>_anchor`` and ``<name>_offset``, says
    `bayescale.modelling.pooling`. Where clusters of groups have an effect it is the standard Normal
    ``<name>_cluster_offset`` times ``<name>_cluster_scale``, on the same line.

    Inputs (``input_<column>``), observed values, observation weights and prior arguments are
    ``pm.Data``, so that one compiled model serves refits, subsets, simulated data and other priors.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs
    weights : numpy.ndarray, shape (runs,), optional
        Exponent of each run's likelihood; by default the runs' column ``weight``, or 1.

    Returns
    -------
    pymc.Model
        Free variables: the law's coordinates and the noise parameters. Deterministics: the law's
        natural parameters; those that differ between groups have the dim ``group``. Observed:
        ``log_loss`` (`Response.variable`), dim ``obs``, one a cell. Use it for whatever a model
        file cannot say.

    Raises
    ------
    RunsError
        If a run has no group, or the runs are all of one group.
    ModelError
        If the runs have replicates and the model has no prior on ``sigma_seed``.
    """
    import pymc as pm  # takes seconds; sampling a model that is compiled already does without

    cells = cells_of(spec, runs, weights)
    coords: dict[str, Any] = {"obs": cells.table["run"].to_numpy(dtype=str)}
    coords |= {"group": group_names(spec, runs)} if spec.group else {}
    coords |= {"cluster": clusters_of(spec, runs)[0]} if spec.cluster_scales else {}
    coords |= parts_of_mixtures(spec, runs.table)
    coords |= effect_labels(spec, runs.table)
    coords |= {"basis": range(FEATURES)} if spec.bend else {}
    coords |= {"size_basis": range(FEATURES)} if spec.size_error else {}
    values = _data(spec, runs, cells)
    spec = placed(spec, values)
    with pm.Model(coords=coords) as model:
        data = {
            name: pm.Data(name, value, dims=_dims(spec, name, value) or None)
            for name, value in values.items()
        }
        free: dict[str, Any] = {}
        for name in _active(spec, data):
            _add_variables(spec, name, data, free)
        for column, prior in spec.effects.items():
            scale = free[scale_of(column)] = prior.variable(scale_of(column))
            free[offset_of(column)] = pm.Normal(
                offset_of(column), 0.0, scale ** data[centred_of(column)], dims=dim_of(column)
            )
        known = derived(spec, free, data)
        for name, value in known.items():
            pm.Deterministic(name, value, dims=_dims_of(spec, name, value.ndim) or None)
        if SEED in free:
            squared = data["seed_squares"] / (2 * free[SEED] ** 2)
            pm.Potential("seeds", -data["seed_freedom"] * np.log(free[SEED]) - squared)
        found = {**free, **known, **spec.fixed}
        natural = {name: found[name] for name in spec.law.parameters}
        noise = {name: found[name] for name in spec.noise_priors if name in found}
        apart = 0.0  # of the runs from the law, on log loss
        for error in _errors(spec):
            free[error.name] = pm.Normal(error.name, dims=error.dim)
            apart = apart + data[error.data] @ free[error.name]
        for column in spec.effects:
            apart = apart + known[effect_of(column)][data[index_of(column)]]
        _observe(spec, data, natural, noise, apart)
    return model


def model_data(
    spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """All data of the model: the runs, and the prior arguments.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs
    weights : ndarray, shape (runs,), optional
        As in `build_model`.

    Returns
    -------
    dict of str to ndarray
        By the name of their ``pm.Data``. Shapes are (cells,) for each ``input_<column>`` ((cells,
        parts) for shares of a mixture), ``observed``, ``observed_sd``, ``weight``, ``replicates``
        and ``group_index``, (groups,) for ``cluster_index`` and what `bayescale.modelling.pooling`
        chooses, and () for each ``reference_<column>``, the geometric mean of that input over the
        cells ((groups,) where each group has its own), ``seed_squares``, ``seed_freedom`` and
        arguments of priors.
    """
    data = _data(spec, runs, cells_of(spec, runs, weights))
    spec = placed(spec, data)
    for name in _active(spec, data):
        partial = name in spec.partial
        arguments = spec.sampled[name].arguments_of(f"{name}_anchor" if partial else name)
        data |= {argument: np.asarray(value) for argument, value in arguments.items()}
    shared = {scale_of(column): prior for column, prior in spec.effects.items()}
    for name, prior in {**spec.between, **shared}.items():
        data |= {key: np.asarray(value) for key, value in prior.arguments_of(name).items()}
    return data


def placed(spec: ModelSpec, data: Mapping[Any, Any]) -> ModelSpec:
    """Return the model with priors about the runs moved to the centre of these log losses.

    The centre is the mean of ``observed`` over the cells by ``weight``, so that a prior
    means the same for losses in any unit. Every use of a prior asks for it by its own data.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        With ``observed`` and ``weight``.

    Returns
    -------
    ModelSpec

    Raises
    ------
    RunsError
        If all weights are 0.
    """
    if not any(prior.about_runs for prior in spec.priors.values()):
        return spec
    log_loss, weight = (np.asarray(data[name]) for name in ("observed", "weight"))
    if not weight.any():
        raise RunsError(
            f"every run has the weight 0, and the model {spec.name} has a prior about the runs: "
            "give a run weight, or take about out of the prior in a copy of the model file"
        )
    centre = float(np.average(log_loss, weights=weight))
    return replace(spec, priors={name: p.about(centre) for name, p in spec.priors.items()})


def _data(spec: ModelSpec, runs: Runs, cells: Cells) -> dict[str, np.ndarray]:
    inputs = inputs_of(spec, cells.table)
    index = _index_of(spec, runs, cells) if spec.group else None
    references = references_of(spec, inputs, index)
    data = {
        **{own: inputs[name] for name, own in input_data(spec).items()},
        **{f"reference_{name}": value for name, value in references.items()},
        "observed": cells.table["observed"].to_numpy(),
        "weight": cells.table["weight"].to_numpy(),
    }
    if (known := known_sd(spec, cells.table)) is not None:
        data["observed_sd"] = known
    if spec.noise_model.counts:
        data["observed_count"] = np.round(data["observed"] * inputs["trials"])
    if index is not None:
        data["group_index"] = index
        data |= {"cluster_index": clusters_of(spec, runs)[1]} if spec.cluster_scales else {}
        along = covariates_of(spec, runs)[0]
        data |= {f"{_COVARIATE}{column}": values for column, values in along.items()}
        data |= shifts_of(spec, data["observed"], data["weight"], index)
        data |= anchoring(placed(spec, data), inputs, data["observed"], index, data)
    data |= effect_data(spec, cells.table)
    if spec.bend:
        bending, at = bending_from(spec, data), tuple(inputs.values())
        data["bend_basis"] = _padded(bending.basis(at))
        if spec.size_error:
            decades = np.log10(inputs[spec.size_column])[:, None]
            own = features_of_runs(spec.size_error, decades).at(decades)
            data["size_error_basis"] = _padded(bending.projected(at, own))
    if cells.freedom:
        data["replicates"] = cells.table["replicates"].to_numpy()
        # Rounded losses of seeds may be equal: that says nothing of less than their last digit.
        least = max(rounding_of(spec, runs.table), LEAST)
        data["seed_squares"] = np.maximum(cells.squares, cells.freedom * least**2)
        data["seed_freedom"] = np.asarray(float(cells.freedom))
    return data


def _index_of(spec: ModelSpec, runs: Runs, cells: Cells) -> np.ndarray:
    """Find the group of each cell."""
    names = list(group_names(spec, runs))
    labels = cells.table[str(spec.group)].astype(str)
    return np.array([names.index(label) for label in labels], dtype=np.int64)


def _padded(basis: np.ndarray) -> np.ndarray:
    """As many columns for every table, so that one compiled model serves all."""
    return np.pad(basis, ((0, 0), (0, FEATURES - basis.shape[1])))


@dataclass(frozen=True)
class _Error:
    """A smooth error with standard Normal coefficients: its variable, its dim, its data."""

    name: str
    dim: str
    data: str


def _errors(spec: ModelSpec) -> tuple[_Error, ...]:
    bend = (_Error("bend", "basis", "bend_basis"),) if spec.bend else ()
    size = (_Error("size_error", "size_basis", "size_error_basis"),) if spec.size_error else ()
    return bend + size


def bending_from(spec: ModelSpec, data: Values) -> Bending:
    """How the law of a model may bend, given the data of its cells.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        Of `model_data`.

    Returns
    -------
    Bending

    Raises
    ------
    ModelError
        If it does not bend.
    """
    if spec.bend is None:
        raise ModelError(f"the law of the model {spec.name} does not bend")
    stated = placed(spec, data).priors
    priors = tuple((name, (p.support, *p.on_line())) for name, p in stated.items())
    columns = (data[name] for name in (*input_data(spec).values(), "observed", "weight"))
    content = tuple(np.asarray(values, dtype=float).tobytes() for values in columns)
    return _bending(spec.law, spec.bend, content, priors, tuple(spec.fixed.items()))


@lru_cache(maxsize=1)  # a fit asks for it before it samples, and for the same one after
def _bending(
    law: Law,
    bend: Bend,
    content: tuple[bytes, ...],
    priors: tuple[tuple[str, tuple[str, float, float]], ...],
    fixed: tuple[tuple[str, float], ...],
) -> Bending:
    *inputs, log_loss, weight = map(np.frombuffer, content)
    return bending_of(law, bend, tuple(inputs), log_loss, weight, dict(priors), dict(fixed))


def cells_of(spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None) -> Cells:
    """Collapse the replicates of runs in the columns that a model reads.

    Parameters
    ----------
    spec : ModelSpec
    runs : Runs
    weights : ndarray, shape (runs,), optional
        As in `build_model`.

    Returns
    -------
    Cells

    Raises
    ------
    ModelError
        If there are replicates, and the model has no prior on the sd between seeds.
    """
    inputs_of(spec, runs.table)  # refuses what no input can be
    if weights is None and "weight" in runs.table:
        weights = runs.table["weight"].to_numpy(dtype=float)
    cells = collapse(
        runs,
        columns_of(spec, runs.table),
        observed=observed_of(spec, runs.table),
        apart=spec.response.scale == "share" or CEILING in read_by(spec),
        weights=weights,
    )
    if (known := known_sd(spec, runs.table)) is not None:  # of each cell, the mean square
        squares = np.bincount(cells.members, known**2) / np.bincount(cells.members)
        cells = replace(cells, table=cells.table.assign(**{sd_column(spec): np.sqrt(squares)}))
    if cells.freedom and SEED not in spec.noise_priors:
        raise ModelError(
            f"the runs have replicates, and the model {spec.name} has no prior on the sd between "
            f'seeds; add to [noise]: {SEED} = {{ dist = "LogNormal", mu = -5.5, sigma = 1.0 }}'
        )
    return cells


def _dims(spec: ModelSpec, name: str, value: np.ndarray) -> tuple[str, ...]:
    """Dims of data of a model."""
    for mixture in spec.law.role("shares"):
        if name == f"{_INPUT}{mixture}":
            return "obs", mixture
        if name == f"reference_{mixture}":
            return (mixture,)
    if not value.ndim:
        return ()
    if value.ndim == 2:
        return "obs", "size_basis" if name == "size_error_basis" else "basis"
    if name.startswith(_INPUT):
        return ("obs",)
    if name.startswith(("reference_", _COVARIATE)) or name == "cluster_index":
        return ("group",)
    return ("group",) if name.endswith(("_centring", "_weight", "_shift")) else ("obs",)


def _dims_of(spec: ModelSpec, name: str, ndim: int) -> tuple[str, ...]:
    """Dims of a coordinate, a parameter of the law or a shared error, that has so many."""
    for column in spec.effects:
        if name == effect_of(column):
            return (dim_of(column),)
    along = spec.along(name.removesuffix("_population"))
    own = (along,) if along else ()
    return ("group", *own) if ndim > len(own) else own


def _parts(spec: ModelSpec, name: str, data: Values) -> dict[str, int]:
    """Dim along which a coordinate has entries, and their number; empty for a number."""
    along = spec.along(name)
    return {along: np.shape(data[f"reference_{along}"])[0]} if along else {}


def variables_of(spec: ModelSpec, data: Values) -> tuple[Variable, ...]:
    """Free variables of the model, in the order that they are made.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        Of `model_data`.

    Returns
    -------
    tuple of Variable
    """
    groups, clusters = _groups(data), _clusters(data)
    found = []
    for name in _active(spec, data):
        prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
        parts = _parts(spec, name, data)
        if kind == "partial":
            found += [
                Variable(f"{name}_scale", spec.scales[name].support),
                *_effect_variables(spec, name, {**clusters, **parts}),
                *(Variable(slope_of(name, column)) for column in spec.trends.get(name, ())),
                _variable(f"{name}_anchor", "real", parts),
                _variable(f"{name}_offset", "real", {**groups, **parts}),
            ]
        elif kind == "none":
            found.append(_variable(name, prior.support, {**groups, **parts}))
        else:
            found.append(_variable(name, prior.support, parts))
    found += [Variable(e.name, "real", (FEATURES,), (e.dim,)) for e in _errors(spec)]
    return (*found, *effect_variables(spec, data))


def _variable(name: str, support: str, sizes: Mapping[str, int]) -> Variable:
    return Variable(name, support, tuple(sizes.values()), tuple(sizes))


def _effect_variables(spec: ModelSpec, name: str, sizes: Mapping[str, int]) -> list[Variable]:
    if name not in spec.cluster_scales:
        return []
    scale = Variable(f"{name}_cluster_scale", spec.cluster_scales[name].support)
    return [scale, _variable(f"{name}_cluster_offset", "real", sizes)]


def _clusters(data: Values) -> dict[str, int]:
    return {"cluster": int(data["cluster_index"].max()) + 1} if "cluster_index" in data else {}


def _groups(data: Values) -> dict[str, int]:
    return {"group": int(data["group_index"].max()) + 1} if "group_index" in data else {}


def derived(spec: ModelSpec, free: Values, data: Values) -> dict[str, Any]:
    """Derive values of groups, and the law's own parameters, from the free variables.

    Parameters
    ----------
    spec : ModelSpec
    free, data : mapping of str to array_like
        Tensors, or xarray DataArrays with dims (chain, draw), group and, last, parts of a mixture.

    Returns
    -------
    dict
        By name.
    """
    values: dict[str, Any] = {}
    for name in spec.partial:
        if f"{name}_offset" in free:
            middle, distance = _from_population(spec, name, free, data)
            support = spec.supports[name]
            values[f"{name}_population"] = into_support(support, middle)
            values[name] = into_support(support, middle + distance)
    values |= effects_from(spec, free, data)
    sampled = {**free, **values, **spec.fixed}
    names = (*spec.priors, *spec.fixed)
    grouped = any(np.ndim(sampled[name]) > bool(spec.along(name)) for name in names)
    own = {n: _parts_first(spec, n, sampled[n]) if grouped else sampled[n] for n in names}
    reference = tuple(data[f"reference_{name}"] for name in spec.inputs)
    if grouped and not hasattr(reference[0], "dims"):
        reference = tuple(
            of[:, None] if r.scale == "shares" else of
            for r, of in zip(spec.reads, reference, strict=True)
        )
    natural = spec.law.to_natural(own, reference)
    return values | {
        name: _parts_last(spec, name, value) if grouped else value
        for name, value in natural.items()
        if name not in sampled
    }


def _parts_first(spec: ModelSpec, name: str, value: Any) -> Any:
    """Put the parts of a mixture first, as a law takes them, where a tensor has them last."""
    if hasattr(value, "dims") or not spec.along(name):
        return value
    return value.T if np.ndim(value) > 1 else value[:, None]


def _parts_last(spec: ModelSpec, name: str, value: Any) -> Any:
    """Undo `_parts_first`; what is the same in all groups loses its axis of groups."""
    if hasattr(value, "dims"):
        return value
    value = value.T if spec.along(name) else value
    return value[0] if value.ndim and value.type.shape[0] == 1 else value


def draw_prior(spec: ModelSpec, data: Values, *, draws: int = 2000, seed: int = 1) -> xr.Dataset:
    """Draw all that `derived` and `variables_of` name from the prior.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        Of `model_data`.
    draws : int, optional
    seed : int, optional

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw), and group for what differs between groups.
    """
    sizes = {"chain": 1, "draw": draws}

    def value(name: str, prior: Prior, groups: dict[str, int]) -> xr.DataArray:
        # A stream for every variable: its draws are the same whatever else the model has.
        rng = np.random.default_rng([seed, crc32(name.encode())])
        shape = {**sizes, **groups}
        return xr.DataArray(prior.draw(rng, tuple(shape.values())), dims=tuple(shape))

    free = _free(spec, data, value)
    return xr.Dataset({**free, **derived(spec, free, as_arrays(spec, data))})


def start(spec: ModelSpec, data: Values) -> np.ndarray:
    """Flat vector of the free variables about which chains start.

    The middle of the prior, or where the law guesses from the runs that a coordinate lies.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        Of `model_data`.

    Returns
    -------
    ndarray
        In the order of `variables_of`.
    """

    def value(name: str, prior: Prior, groups: dict[str, int]) -> xr.DataArray:
        middle = into_support(prior.support, prior.on_line()[0])
        return xr.DataArray(np.full(tuple(groups.values()), middle), dims=tuple(groups))

    guessed: dict[str, xr.DataArray] = {}
    if guesses(spec):
        inputs, index = inputs_in(spec, data), data["group_index"]
        found = guess_of(spec, inputs, np.asarray(data["observed"]), np.asarray(index))
        guessed = {name: xr.DataArray(values, dims="group") for name, values in found.items()}
    free = _free(spec, data, value, guessed)
    lines = [
        onto_line(own.support, np.ravel(free[own.name].transpose(*own.dims)))
        for own in variables_of(spec, data)
    ]
    return np.concatenate(lines).astype(float)


def guesses(spec: ModelSpec) -> bool:
    """Whether chains start about where the law guesses from the runs of each group.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    bool
    """
    return spec.law.coordinates.guess is not None and spec.group is not None


def as_arrays(spec: ModelSpec, data: Values) -> dict[str, xr.DataArray]:
    """Give the data of a model their dims, to reckon with draws.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        Of `model_data`.

    Returns
    -------
    dict of str to xarray.DataArray
    """
    return {n: xr.DataArray(v, dims=_dims(spec, n, np.asarray(v))) for n, v in data.items()}


_STANDARD = Prior("Normal", (("mu", 0.0), ("sigma", 1.0)))


def _free(
    spec: ModelSpec,
    data: Values,
    value: Callable[[str, Prior, dict[str, int]], xr.DataArray],
    guessed: Mapping[str, xr.DataArray] | None = None,
) -> dict[str, xr.DataArray]:
    """Values of the free variables, given how to choose one by its name, prior and groups.

    What is guessed of groups is taken as it is.
    """
    guessed = guessed or {}
    spec = placed(spec, data)
    groups, arrays, free = _groups(data), as_arrays(spec, data), {}
    for name in _active(spec, data):
        prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
        parts = _parts(spec, name, data)
        if kind != "partial":
            free[name] = value(name, prior, {**(groups if kind == "none" else {}), **parts})
            free[name] = free[name] + arrays.get(f"{name}_shift", 0.0)
            if name in guessed:
                free[name] = guessed[name] if kind == "none" else guessed[name].mean()
            continue
        scale = free[f"{name}_scale"] = value(f"{name}_scale", spec.scales[name], {})
        middle = onto_line(spec.supports[name], value(name, prior, parts))
        apart = value(f"{name}_offset", _STANDARD, {**groups, **parts})
        if name in spec.cluster_scales:
            clusters, own = {**_clusters(data), **parts}, f"{name}_cluster"
            free[f"{own}_scale"] = value(f"{own}_scale", spec.cluster_scales[name], {})
            free[f"{own}_offset"] = value(f"{own}_offset", _STANDARD, clusters)
        for column, prior in spec.trends.get(name, {}).items():
            free[slope_of(name, column)] = value(slope_of(name, column), prior, {})
        effect = _effect(spec, name, free, arrays)
        if name in guessed:
            own = onto_line(spec.supports[name], guessed[name])
            middle = (own - effect).mean("group")
            apart = (own - effect - middle) / scale
        if f"{name}_centring" in data:
            centred = arrays[f"{name}_centring"]
            free[f"{name}_anchor"] = middle + _mean_effect(spec, name, effect)
            free[f"{name}_offset"] = apart * scale**centred + (middle + effect) * centred
        else:
            shift = ((effect + apart * scale) * arrays[f"{name}_weight"]).sum("group")
            free[f"{name}_anchor"] = middle + shift
            free[f"{name}_offset"] = apart
    for error in _errors(spec):
        free[error.name] = value(error.name, _STANDARD, {error.dim: FEATURES})
    for column, prior in spec.effects.items():
        free[scale_of(column)] = value(scale_of(column), prior, {})
        shared = effect_variables(replace(spec, effects={column: prior}), data)[1]
        sizes = dict(zip(shared.dims, shared.shape, strict=True))
        sd = free[scale_of(column)] ** arrays[centred_of(column)]
        free[shared.name] = sd * value(shared.name, _STANDARD, sizes)
    return free


def _active(spec: ModelSpec, data: Values) -> list[str]:
    """Name what is sampled: seeds have an sd of their own only where there are replicates."""
    return [name for name in spec.sampled if name != SEED or "seed_squares" in data]


def _add_variables(spec: ModelSpec, name: str, data: Values, free: dict[str, Any]) -> None:
    """Add the free variables of a coordinate or a noise parameter to the PyMC model in context."""
    import pymc as pm

    prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
    parts = (spec.along(name),) if spec.along(name) else ()
    if kind != "partial":
        dims = ("group", *parts) if kind == "none" else parts
        if f"{name}_shift" in data:
            free[name] = prior.line_variable(name, data[f"{name}_shift"], dims=dims)
        else:
            free[name] = prior.variable(name, dims=dims or None)
        return
    scale = free[f"{name}_scale"] = spec.scales[name].variable(f"{name}_scale")
    anchor, offset = f"{name}_anchor", f"{name}_offset"
    dims = ("group", *parts)
    if name in spec.cluster_scales:
        between, own = f"{name}_cluster_scale", f"{name}_cluster_offset"
        free[between] = spec.cluster_scales[name].variable(between)
        free[own] = pm.Normal(own, dims=("cluster", *parts))
    for column, slope in spec.trends.get(name, {}).items():
        free[slope_of(name, column)] = slope.variable(slope_of(name, column))
    effect = _effect(spec, name, free, data)
    if f"{name}_centring" in data:
        centred = _of_each(data[f"{name}_centring"], parts)
        mean = _mean_effect(spec, name, effect)
        free[anchor] = prior.line_variable(anchor, mean, dims=parts or None)
        middle = free[anchor] - mean + effect
        free[offset] = pm.Normal(offset, centred * middle, scale**centred, dims=dims)
    else:
        free[offset] = pm.Normal(offset, dims=dims)
        weighted = (effect + free[offset] * scale) * _of_each(data[f"{name}_weight"], parts)
        free[anchor] = prior.line_variable(anchor, _over_groups(weighted), dims=parts or None)


def _from_population(spec: ModelSpec, name: str, free: Values, data: Values) -> tuple[Any, Any]:
    """Middle of a population on the real line, and the distances of its groups from it."""
    scale, anchor, offset = (free[f"{name}_{part}"] for part in ("scale", "anchor", "offset"))
    along, effect = spec.along(name), _effect(spec, name, free, data)
    if f"{name}_centring" in data:
        centred = _of_each(data[f"{name}_centring"], along)
        middle = anchor - _mean_effect(spec, name, effect)
        own = (offset - centred * (middle + effect)) * scale ** (1.0 - centred)
        return middle, effect + own
    distance = effect + offset * scale
    return anchor - _over_groups(distance * _of_each(data[f"{name}_weight"], along)), distance


def _effect(spec: ModelSpec, name: str, free: Values, data: Values) -> Any:
    """How far a group is expected from the middle of the population, on the real line.

    By the trends along columns, and by its cluster.
    """
    effect = sum(
        free[slope_of(name, column)] * data[f"{_COVARIATE}{column}"]
        for column in spec.trends.get(name, ())
    )
    if name not in spec.cluster_scales:
        return effect
    of_clusters = free[f"{name}_cluster_scale"] * free[f"{name}_cluster_offset"]
    index = data["cluster_index"]
    known = of_clusters.isel(cluster=index) if hasattr(index, "dims") else of_clusters[index]
    return known + effect


def _mean_effect(spec: ModelSpec, name: str, effect: Any) -> Any:
    """Average the effects over the groups: the runs tell the middle only with that of its clusters.

    So the anchor holds both.
    """
    if name not in spec.cluster_scales and name not in spec.trends:
        return 0.0
    return effect.mean("group") if hasattr(effect, "dims") else effect.mean(axis=0)


def _of_each(of_groups: Any, parts: Any) -> Any:
    """Give what groups have to each part of a mixture; DataArrays do so by their dims."""
    return of_groups if not parts or hasattr(of_groups, "dims") else of_groups[:, None]


def _over_groups(values: Any) -> Any:
    """Sum over the groups: a dim of DataArrays, the first axis of tensors."""
    return values.sum("group") if hasattr(values, "dims") else values.sum(axis=0)


def _observe(
    spec: ModelSpec,
    data: dict[str, Any],
    natural: dict[str, Any],
    noise: dict[str, Any],
    apart: Any,
) -> None:
    """Add the likelihood of what was observed of the cells, each raised to its weight.

    The observed variable keeps PyMC's own predictive sampling and log-likelihood working; the
    potential turns its likelihood p into p^weight and is zero for weights of 1.
    """
    import pymc as pm

    def of_groups(name: str, value: Any) -> bool:
        return np.ndim(value) > bool(spec.along(name))

    def at_cells(values: dict[str, Any]) -> dict[str, Any]:
        return {n: v[data["group_index"]] if of_groups(n, v) else v for n, v in values.items()}

    inputs, values = inputs_in(spec, data), at_cells(noise)
    law = [inputs[name].T for name in spec.inputs]  # parts of a mixture first: `laws.total`
    own = {name: _parts_first(spec, name, v) for name, v in at_cells(natural).items()}
    said = spec.law(*law, **own)
    mu = spec.response.onto(said) + apart
    rise = mu - spec.response.onto(at_cells(natural)[spec.law.least]) if spec.law.least else 0.0
    replicates, known = data.get("replicates", 1.0), data.get("observed_sd", 0.0)
    scale = noise_scale(values, replicates, rise, known)
    family, arguments = spec.noise_model.pymc(mu, scale, values, inputs)
    observed = data["observed_count" if "observed_count" in data else "observed"]
    family(spec.response.variable, **arguments, observed=observed, dims="obs")
    excess = (data["weight"] - 1.0) * pm.logp(family.dist(**arguments), observed)
    pm.Potential(WEIGHTING, excess.sum())
