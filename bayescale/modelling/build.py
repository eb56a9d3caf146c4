"""From a model specification and runs to a PyMC model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import xarray as xr

from bayescale.errors import ModelError
from bayescale.laws import from_line, into_support, onto_line, to_line
from bayescale.modelling.bend import FEATURES, Bending, bending_of, features_of_runs
from bayescale.modelling.compiling import Variable
from bayescale.modelling.noise import SEED, noise_scale
from bayescale.modelling.pooling import anchoring, group_names
from bayescale.modelling.priors import Prior
from bayescale.modelling.spec import ModelSpec
from bayescale.runs.cells import Cells, collapse
from bayescale.runs.table import Runs

_INPUT = "input_"  # before the column of an input, among the data of a model

type Values = Mapping[str, Any]


def input_data(spec: ModelSpec) -> dict[str, str]:
    """Name the ``pm.Data`` of each input: a column may have the name of a parameter or a dim."""
    return {name: f"{_INPUT}{name}" for name in spec.inputs}


def inputs_in(spec: ModelSpec, data: Values) -> dict[str, Any]:
    """Take the inputs of the law from the data of a model, by their columns."""
    return {name: data[own] for name, own in input_data(spec).items()}


def build_model(spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None) -> Any:
    r"""Build the PyMC model: priors on the law's coordinates, noise on log loss.

    :math:`\log L_i \sim \mathrm{StudentT}(\nu, \log \mathrm{law}(x_i), \sigma)`, or other noise.
    Replicates enter as one cell each: their mean with the scale
    :math:`\sqrt{\sigma^2 + \sigma_{seed}^2 / m}`, and their pooled sum of squares S around the cell
    means as :math:`-f \log \sigma_{seed} - S / (2 \sigma_{seed}^2)`, f the degrees of freedom.

    A partially pooled parameter has a ``<name>_population`` value with the parameter's prior and a
    ``<name>_scale``, the sd between groups on the real line (`bayescale.laws.to_line`). How its
    groups are sampled, by ``<name>_anchor`` and ``<name>_offset``, says
    `bayescale.modelling.pooling`.

    Inputs (``input_<column>``), log losses, observation weights and prior arguments are
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
        ``log_loss``, dim ``obs``, one a cell. Use it for whatever a model file cannot say.

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
    coords |= {"basis": range(FEATURES)} if spec.bend else {}
    coords |= {"size_basis": range(FEATURES)} if spec.size_error else {}
    with pm.Model(coords=coords) as model:
        data = {
            name: pm.Data(name, value, dims=_dims(name, value))
            for name, value in _data(spec, runs, cells).items()
        }
        free: dict[str, Any] = {}
        for name in _active(spec, data):
            _add_variables(spec, name, data, free)
        known = derived(spec, free, data)
        for name, value in known.items():
            pm.Deterministic(name, value, dims="group" if value.ndim else None)
        if SEED in free:
            squared = data["seed_squares"] / (2 * free[SEED] ** 2)
            pm.Potential("seeds", -data["seed_freedom"] * np.log(free[SEED]) - squared)
        values = {**free, **known, **spec.fixed}
        natural = {name: values[name] for name in spec.law.parameters}
        noise = {name: values[name] for name in spec.noise_priors if name in values}
        apart = 0.0  # of the runs from the law, on log loss
        for error in _errors(spec):
            free[error.name] = pm.Normal(error.name, dims=error.dim)
            apart = apart + data[error.data] @ free[error.name]
        _observe(spec, data, natural, noise, apart)
    return model


def model_data(
    spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """All data of the model by the name of their ``pm.Data``: the runs, and the prior arguments.

    Shapes are (cells,) for each ``input_<column>``, ``observed_log_loss``, ``weight``,
    ``replicates`` and ``group_index``, (groups,) for what `bayescale.modelling.pooling` chooses,
    and () for each ``reference_<column>``, the geometric mean of that input over the cells,
    ``seed_squares``, ``seed_freedom`` and arguments of priors.
    """
    data = _data(spec, runs, cells_of(spec, runs, weights))
    for name in _active(spec, data):
        partial = name in spec.partial
        priors = {f"{name}_anchor" if partial else name: spec.sampled[name]}
        priors |= {f"{name}_scale": spec.scales[name]} if partial else {}
        for variable, prior in priors.items():
            arguments = prior.arguments_of(variable)
            data |= {argument: np.asarray(value) for argument, value in arguments.items()}
    return data


def _data(spec: ModelSpec, runs: Runs, cells: Cells) -> dict[str, np.ndarray]:
    inputs = {name: cells.table[name].to_numpy(dtype=float) for name in spec.inputs}
    data = {
        **{own: inputs[name] for name, own in input_data(spec).items()},
        **{
            f"reference_{name}": np.asarray(np.exp(np.log(values).mean()))
            for name, values in inputs.items()
        },
        "observed_log_loss": cells.table["log_loss"].to_numpy(),
        "weight": cells.table["weight"].to_numpy(),
    }
    if spec.group:
        names = list(group_names(spec, runs))
        labels = cells.table[spec.group].astype(str)
        index = np.array([names.index(label) for label in labels], dtype=np.int64)
        data["group_index"] = index
        data |= anchoring(spec, cells.table, index)
    if spec.bend:
        bending, at = bending_from(spec, data), tuple(inputs.values())
        data["bend_basis"] = _padded(bending.basis(at))
        if spec.size_error:
            decades = np.log10(inputs[spec.size_column])[:, None]
            own = features_of_runs(spec.size_error, decades).at(decades)
            data["size_error_basis"] = _padded(bending.projected(at, own))
    if cells.freedom:
        data["replicates"] = cells.table["replicates"].to_numpy()
        data["seed_squares"] = np.asarray(cells.squares)
        data["seed_freedom"] = np.asarray(float(cells.freedom))
    return data


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
    """How the law of a model may bend, given the data of its cells."""
    priors = {name: (prior.support, *prior.on_line()) for name, prior in spec.priors.items()}
    inputs = tuple(np.asarray(values) for values in inputs_in(spec, data).values())
    log_loss, weight = (np.asarray(data[name]) for name in ("observed_log_loss", "weight"))
    if spec.bend is None:
        raise ModelError(f"the law of the model {spec.name} does not bend")
    return bending_of(spec.law, spec.bend, inputs, log_loss, weight, priors, spec.fixed)


def cells_of(spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None) -> Cells:
    """Collapse the replicates of runs in the columns that a model reads."""
    for name in spec.inputs:
        runs.column(name)  # refuses what is not positive
    if weights is None and "weight" in runs.table:
        weights = runs.table["weight"].to_numpy(dtype=float)
    cells = collapse(runs, spec.columns, weights=weights)
    if cells.freedom and SEED not in spec.noise_priors:
        raise ModelError(
            f"the runs have replicates, and the model {spec.name} has no prior on the sd between "
            f'seeds; add to [noise]: {SEED} = {{ dist = "LogNormal", mu = -5.5, sigma = 1.0 }}'
        )
    return cells


def _dims(name: str, value: np.ndarray) -> str | tuple[str, str] | None:
    if not value.ndim:
        return None
    if value.ndim == 2:
        return "obs", "size_basis" if name == "size_error_basis" else "basis"
    of_groups = name.endswith(("_centring", "_weight")) and not name.startswith(_INPUT)
    return "group" if of_groups else "obs"


def variables_of(spec: ModelSpec, data: Values) -> tuple[Variable, ...]:
    """Free variables of the model of some data (`model_data`), in the order that they are made."""
    groups = (int(data["group_index"].max()) + 1,) if "group_index" in data else ()
    found = []
    for name in _active(spec, data):
        prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
        if kind == "partial":
            found += [
                Variable(f"{name}_scale", spec.scales[name].support),
                Variable(f"{name}_anchor"),
                Variable(f"{name}_offset", "real", groups, ("group",)),
            ]
        elif kind == "none":
            found.append(Variable(name, prior.support, groups, ("group",)))
        else:
            found.append(Variable(name, prior.support))
    found += [Variable(e.name, "real", (FEATURES,), (e.dim,)) for e in _errors(spec)]
    return tuple(found)


def derived(spec: ModelSpec, free: Values, data: Values) -> dict[str, Any]:
    """Derive values of groups, and the law's own parameters, from the free variables.

    Parameters
    ----------
    spec : ModelSpec
    free, data : mapping of str to array_like
        Tensors, or xarray DataArrays with dims (chain, draw) and, last, group.
    """
    values: dict[str, Any] = {}
    for name in spec.partial:
        if f"{name}_offset" in free:
            middle, distance = _from_population(name, free, data)
            values[f"{name}_population"] = from_line(name, middle)
            values[name] = from_line(name, middle + distance)
    sampled = {**free, **values, **spec.fixed}
    reference = tuple(data[f"reference_{name}"] for name in spec.inputs)
    natural = spec.law.to_natural(
        {name: sampled[name] for name in (*spec.priors, *spec.fixed)}, reference
    )
    return values | {name: value for name, value in natural.items() if name not in sampled}


def draw_prior(spec: ModelSpec, data: Values, *, draws: int = 2000, seed: int = 1) -> xr.Dataset:
    """Draw all that `derived` and `variables_of` name from the prior, dims (chain, draw, group)."""
    sizes = {"chain": 1, "draw": draws}

    def value(name: str, prior: Prior, groups: dict[str, int]) -> xr.DataArray:
        # A stream for every variable: its draws are the same whatever else the model has.
        rng = np.random.default_rng([seed, crc32(name.encode())])
        shape = {**sizes, **groups}
        return xr.DataArray(prior.draw(rng, tuple(shape.values())), dims=tuple(shape))

    free = _free(spec, data, value)
    return xr.Dataset({**free, **derived(spec, free, as_arrays(data))})


def start(spec: ModelSpec, data: Values) -> np.ndarray:
    """Flat vector of the free variables about which chains start: the middle of the prior."""

    def value(name: str, prior: Prior, groups: dict[str, int]) -> xr.DataArray:
        middle = into_support(prior.support, prior.on_line()[0])
        return xr.DataArray(np.full(tuple(groups.values()), middle), dims=tuple(groups))

    free = _free(spec, data, value)
    lines = (onto_line(v.support, np.ravel(free[v.name])) for v in variables_of(spec, data))
    return np.concatenate(list(lines)).astype(float)


def as_arrays(data: Values) -> dict[str, xr.DataArray]:
    """Give the data of a model their dims, to reckon with draws."""
    return {name: xr.DataArray(v, dims=_dims(name, np.asarray(v))) for name, v in data.items()}


_STANDARD = Prior("Normal", (("mu", 0.0), ("sigma", 1.0)))


def _free(
    spec: ModelSpec, data: Values, value: Callable[[str, Prior, dict[str, int]], xr.DataArray]
) -> dict[str, xr.DataArray]:
    """Values of the free variables, given how to choose one by its name, prior and groups."""
    groups = {"group": int(data["group_index"].max()) + 1} if "group_index" in data else {}
    arrays, free = as_arrays(data), {}
    for name in _active(spec, data):
        prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
        if kind != "partial":
            free[name] = value(name, prior, groups if kind == "none" else {})
            continue
        scale = free[f"{name}_scale"] = value(f"{name}_scale", spec.scales[name], {})
        middle = to_line(name, value(name, prior, {}))
        apart = value(f"{name}_offset", _STANDARD, groups)
        if f"{name}_centring" in data:
            centred = arrays[f"{name}_centring"]
            free[f"{name}_anchor"] = middle
            free[f"{name}_offset"] = apart * scale**centred + middle * centred
        else:
            shift = (apart * scale * arrays[f"{name}_weight"]).sum("group")
            free[f"{name}_anchor"] = middle + shift
            free[f"{name}_offset"] = apart
    for error in _errors(spec):
        free[error.name] = value(error.name, _STANDARD, {error.dim: FEATURES})
    return free


def _active(spec: ModelSpec, data: Values) -> list[str]:
    """Name what is sampled: seeds have an sd of their own only where there are replicates."""
    return [name for name in spec.sampled if name != SEED or "seed_squares" in data]


def _add_variables(spec: ModelSpec, name: str, data: Values, free: dict[str, Any]) -> None:
    """Add the free variables of a coordinate or a noise parameter to the PyMC model in context."""
    import pymc as pm

    prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
    if kind != "partial":
        free[name] = prior.variable(name, dims="group" if kind == "none" else None)
        return
    scale = free[f"{name}_scale"] = spec.scales[name].variable(f"{name}_scale")
    anchor, offset = f"{name}_anchor", f"{name}_offset"
    if f"{name}_centring" in data:
        centred = data[f"{name}_centring"]
        free[anchor] = prior.line_variable(anchor)
        free[offset] = pm.Normal(offset, centred * free[anchor], scale**centred, dims="group")
    else:
        free[offset] = pm.Normal(offset, dims="group")
        shift = (free[offset] * scale * data[f"{name}_weight"]).sum(axis=-1)
        free[anchor] = prior.line_variable(anchor, shift)


def _from_population(name: str, free: Values, data: Values) -> tuple[Any, Any]:
    """Middle of a population on the real line, and the distances of its groups from it."""
    scale, anchor, offset = (free[f"{name}_{part}"] for part in ("scale", "anchor", "offset"))
    if f"{name}_centring" in data:
        centred = data[f"{name}_centring"]
        return anchor, (offset - centred * anchor) * scale ** (1.0 - centred)
    distance = offset * scale
    return anchor - (distance * data[f"{name}_weight"]).sum(axis=-1), distance


def _observe(
    spec: ModelSpec,
    data: dict[str, Any],
    natural: dict[str, Any],
    noise: dict[str, Any],
    apart: Any,
) -> None:
    """Add the likelihood of the cells' log losses, each raised to its weight.

    The observed variable keeps PyMC's own predictive sampling and log-likelihood working; the
    potential turns its likelihood p into p^weight and is zero for weights of 1.
    """
    import pymc as pm

    def at_cells(values: dict[str, Any]) -> dict[str, Any]:
        return {n: v[data["group_index"]] if np.ndim(v) else v for n, v in values.items()}

    inputs, values = inputs_in(spec, data), at_cells(noise)
    mu = np.log(spec.law.loss(*inputs.values(), **at_cells(natural))) + apart
    scale = noise_scale(values, data.get("replicates", 1.0))
    family, arguments = spec.noise_model.pymc(mu, scale, values, inputs)
    family("log_loss", **arguments, observed=data["observed_log_loss"], dims="obs")
    excess = (data["weight"] - 1.0) * pm.logp(family.dist(**arguments), data["observed_log_loss"])
    pm.Potential("weighting", excess.sum())
