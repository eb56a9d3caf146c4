"""From a model specification and runs to a PyMC model."""

from typing import Any

import numpy as np
import pymc as pm

from bayescale.anchoring import anchoring
from bayescale.errors import ModelError
from bayescale.groups import group_names
from bayescale.laws import from_line
from bayescale.noise import SEED, noise_scale
from bayescale.replicates import Cells, collapse
from bayescale.runs import Runs
from bayescale.spec import ModelSpec


def build_model(spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None) -> pm.Model:
    r"""Build the PyMC model: priors on the law's coordinates, noise on log loss.

    :math:`\log L_i \sim \mathrm{StudentT}(\nu, \log \mathrm{law}(x_i), \sigma)`, or other noise.
    Replicates enter as one cell each: their mean with the scale
    :math:`\sqrt{\sigma^2 + \sigma_{seed}^2 / m}`, and their pooled sum of squares S around the cell
    means as :math:`-f \log \sigma_{seed} - S / (2 \sigma_{seed}^2)`, f the degrees of freedom.

    A partially pooled parameter has a ``<name>_population`` value with the parameter's prior and a
    ``<name>_scale``, the sd between groups on the real line (`bayescale.laws.to_line`). How its
    groups are sampled, by ``<name>_anchor`` and ``<name>_offset``, says `bayescale.anchoring`.

    Inputs, log losses, observation weights and prior arguments are ``pm.Data``, so that one
    compiled model serves refits, subsets, simulated data and other priors.

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
    cells = cells_of(spec, runs, weights)
    coords = {"obs": cells.table["run"].to_numpy(dtype=str), "group": group_names(spec, runs)}
    with pm.Model(coords=coords if spec.group else {"obs": coords["obs"]}) as model:
        data = {
            name: pm.Data(name, value, dims=_dims(name, value))
            for name, value in _data(spec, runs, cells).items()
        }
        sampled = {name: _parameter(spec, name, data) for name in spec.priors}
        reference = tuple(data[f"reference_{name}"] for name in spec.inputs)
        natural = spec.law.to_natural(sampled, reference)
        for name, value in natural.items():
            if name not in sampled:
                pm.Deterministic(name, value, dims="group" if value.ndim else None)
        noise = {
            name: _parameter(spec, name, data)
            for name in spec.noise_priors
            if name != SEED or cells.freedom
        }
        if SEED in noise:
            squared = data["seed_squares"] / (2 * noise[SEED] ** 2)
            pm.Potential("seeds", -data["seed_freedom"] * np.log(noise[SEED]) - squared)
        _observe(spec, data, natural, noise)
    return model


def model_data(
    spec: ModelSpec, runs: Runs, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Everything in the model that the runs decide, by the name of its ``pm.Data``.

    Shapes are (cells,) for inputs, ``observed_log_loss``, ``weight``, ``replicates`` and
    ``group_index``, (groups,) for what `bayescale.anchoring` chooses, and () for each
    ``reference_<input>``, the geometric mean of that input over the cells, ``seed_squares`` and
    ``seed_freedom``.
    """
    return _data(spec, runs, cells_of(spec, runs, weights))


def _data(spec: ModelSpec, runs: Runs, cells: Cells) -> dict[str, np.ndarray]:
    inputs = {name: cells.table[name].to_numpy(dtype=float) for name in spec.inputs}
    data = {
        **inputs,
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
    if cells.freedom:
        data["replicates"] = cells.table["replicates"].to_numpy()
        data["seed_squares"] = np.asarray(cells.squares)
        data["seed_freedom"] = np.asarray(float(cells.freedom))
    return data


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


def _dims(name: str, value: np.ndarray) -> str | None:
    if not value.ndim:
        return None
    return "group" if name.endswith(("_centring", "_weight")) else "obs"


def _parameter(spec: ModelSpec, name: str, data: dict[str, Any]) -> Any:
    """Add a coordinate or a noise parameter, scalar or with one value for each group."""
    prior, kind = spec.sampled[name], spec.pooling.get(name, "complete")
    if kind == "complete":
        return prior.variable(name)
    if kind == "none":
        return prior.variable(name, dims="group")
    scale = spec.scales[name].variable(f"{name}_scale")
    if f"{name}_centring" in data:
        centred = data[f"{name}_centring"]
        middle = prior.line_variable(f"{name}_anchor")
        offset = pm.Normal(f"{name}_offset", centred * middle, scale**centred, dims="group")
        distance = scale ** (1.0 - centred) * (offset - centred * middle)
    else:
        distance = scale * pm.Normal(f"{name}_offset", dims="group")
        shift = (data[f"{name}_weight"] * distance).sum()
        middle = prior.line_variable(f"{name}_anchor", shift) - shift
    pm.Deterministic(f"{name}_population", from_line(name, middle))
    return pm.Deterministic(name, from_line(name, middle + distance), dims="group")


def _observe(
    spec: ModelSpec, data: dict[str, Any], natural: dict[str, Any], noise: dict[str, Any]
) -> None:
    """Add the likelihood of the cells' log losses, each raised to its weight.

    The observed variable keeps PyMC's own predictive sampling and log-likelihood working; the
    potential turns its likelihood p into p^weight and is zero for weights of 1.
    """

    def at_cells(values: dict[str, Any]) -> dict[str, Any]:
        return {n: v[data["group_index"]] if v.ndim else v for n, v in values.items()}

    inputs, values = {name: data[name] for name in spec.inputs}, at_cells(noise)
    mu = np.log(spec.law.loss(*inputs.values(), **at_cells(natural)))
    scale = noise_scale(values, data.get("replicates", 1.0))
    family, arguments = spec.noise_model.pymc(mu, scale, values, inputs)
    family("log_loss", **arguments, observed=data["observed_log_loss"], dims="obs")
    excess = (data["weight"] - 1.0) * pm.logp(family.dist(**arguments), data["observed_log_loss"])
    pm.Potential("weighting", excess.sum())
