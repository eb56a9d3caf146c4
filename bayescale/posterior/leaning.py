r"""How far a law leans away from its runs, beyond them: smooth errors of cells, by group.

Errors of cells of size and tokens (`bayescale.modelling.effects`) are sampled as independent, so
that the law is the one that fits best. What is left of the cells of a group is no accident: a law
that says too much at the largest runs says too much beyond them. So the errors u of the cells of a
group are split, draw by draw, into a smooth part and the rest,

.. math:: u_k = J(x_k) W y + B(x_k) z + e_k, \qquad y, z \sim N(0, I), \quad e_k \sim N(0, r^2).

J are the derivatives of the log law by its coordinates, W their prior sds: where errors of many
cells follow size, they say that the law itself is another one, and beyond the runs it goes on as
that law. B are the features of a Gaussian process of known sd and length, off which is projected
what the law itself can draw (`bayescale.modelling.bend`). y and z given u are Normal. A new cell
has the error J W y + B z + e. Off the runs B grows, and with it the error. r is the value of
largest marginal likelihood of the mean errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal

from bayescale.laws import into_support, onto_line
from bayescale.modelling.bend import Features, features_beyond, features_of_runs
from bayescale.modelling.build import inputs_in, placed
from bayescale.modelling.effects import effect_of, index_of, scale_of
from bayescale.modelling.spec import Bend, ModelSpec, Smooth

_DIFFERENCE = 1e-5  # step of derivatives on the real line
_LEAST_REST, _MOST_REST = 0.05, 2.0  # r, in sds of the errors of cells


def leaning_of(column: str) -> str:
    """Name the variable of the coefficients, y and z; dims are group and ``<name>_feature``.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_leaning"


def rest_of(column: str) -> str:
    """Name the variable of r.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_rest"


def line_of(column: str) -> str:
    """Name the data of the law of each group about which it leans, on the real line.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_line"


@dataclass(frozen=True)
class _Cells:
    """The cells of one group, in the order of their errors.

    Parameters
    ----------
    number : numpy.ndarray of int
        Among all errors.
    features : numpy.ndarray, shape (cells, features)
        Before what the law can draw is taken off.
    tangents : numpy.ndarray, shape (cells, coordinates)
        Of the log law, by its coordinates.
    """

    number: np.ndarray
    features: np.ndarray
    tangents: np.ndarray


class Leaning:
    """Smooth errors of the cells of a fit.

    Parameters
    ----------
    spec : ModelSpec
    column : str
        Of the cells, whose errors are smooth.
    data : mapping of str to numpy.ndarray
        Of the model, with the law of each group by `line_of`.
    """

    def __init__(self, spec: ModelSpec, column: str, data: Mapping[str, np.ndarray]) -> None:
        self.spec: ModelSpec = placed(spec, data)
        self.column: str = column
        self.data: Mapping[str, np.ndarray] = data
        self.smooth: Smooth = spec.smooth[column]
        inputs = inputs_in(self.spec, data)
        self._along = tuple(np.asarray(inputs[name], dtype=float) for name in self.smooth.axes)
        bend = Bend(self.smooth.sd, self.smooth.length)
        known = features_of_runs(bend, np.log10(np.stack(self._along, axis=1)))
        self.features: Features = features_beyond(known, self._along)
        self._known: dict[int, _Cells] = {}

    def cells(self, group: int) -> _Cells:
        """Find the cells of one group.

        Parameters
        ----------
        group : int

        Returns
        -------
        _Cells
        """
        if group not in self._known:
            index = np.asarray(self.data[index_of(self.column)])
            own = np.flatnonzero(np.asarray(self.data.get("group_index", 0 * index)) == group)
            number, first = np.unique(index[own], return_index=True)
            at = tuple(values[own][first] for values in self._along)
            parts = self._at(at), self._tangents(group, at)
            self._known[group] = _Cells(number, *parts)
        return self._known[group]

    def basis(
        self, group: int, rest: float, inputs: tuple[np.ndarray, ...] | None = None
    ) -> np.ndarray:
        """Return what the coefficients are multiplied by, J W and B side by side.

        Parameters
        ----------
        group : int
        rest : float
            r, which says how well the law is told by the cells.
        inputs : tuple of numpy.ndarray, shape (places,), optional
            Along the axes; by default those of the cells of the group.

        Returns
        -------
        numpy.ndarray, shape (places, coordinates + features)
        """
        known = self.cells(group)
        widths = np.array([self.spec.priors[name].on_line()[1] for name in self._names])
        precision = known.tangents.T @ known.tangents / rest**2 + np.diag(widths**-2)
        shift = np.linalg.solve(precision, known.tangents.T @ known.features) / rest**2
        if inputs is None:
            features, tangents = known.features, known.tangents
        else:
            features, tangents = self._at(inputs), self._tangents(group, inputs)
        return np.concatenate([tangents * widths, features - tangents @ shift], axis=1)

    def _at(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        return self.features.at(np.log10(np.stack(inputs, axis=-1)))

    @property
    def _names(self) -> list[str]:
        """Coordinates of the law that are numbers."""
        return [name for name in self.spec.priors if not self.spec.along(name)]

    def _tangents(self, group: int, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Differentiate the log law of the mean mixture by its coordinates, (places, names)."""
        line = self._line(group)

        def log_law(name: str, by: float) -> np.ndarray:
            return np.log(self._law(group, inputs, {**line, name: line[name] + by}))

        columns = [log_law(n, _DIFFERENCE) - log_law(n, -_DIFFERENCE) for n in self._names]
        return np.stack(columns, axis=-1) / (2 * _DIFFERENCE)

    def _law(
        self, group: int, inputs: tuple[np.ndarray, ...], line: Mapping[str, Any]
    ) -> np.ndarray:
        spec = self.spec
        sampled = {name: into_support(spec.supports[name], value) for name, value in line.items()}
        reference = {n: np.asarray(self.data[f"reference_{n}"]) for n in spec.inputs}
        if spec.reference == "group":
            reference = {name: values[group] for name, values in reference.items()}
        natural = spec.law.to_natural({**sampled, **spec.fixed}, tuple(reference.values()))
        at = {**reference, **dict(zip(self.smooth.axes, inputs, strict=True))}
        said = spec.law(*(at[name] for name in spec.inputs), **natural)
        return np.broadcast_to(said, np.shape(inputs[0]))

    def _line(self, group: int) -> dict[str, Any]:
        """Coordinates of the law of one group on the real line."""
        along = {name: self.spec.along(name) for name in self.spec.priors}
        sizes = [np.size(self.data[f"reference_{own}"]) if own else 1 for own in along.values()]
        flat = np.asarray(self.data[line_of(self.column)])[group]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return {
            name: part if own else float(part[0])
            for (name, own), part in zip(along.items(), parts, strict=True)
        }


def lines(spec: ModelSpec, posterior: xr.Dataset) -> np.ndarray:
    """Take the mean law of each group, on the real line.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset

    Returns
    -------
    numpy.ndarray, shape (groups, entries of coordinates)
    """
    groups = posterior.sizes.get("group", 1)
    found = []
    for name in spec.priors:
        own = posterior[name].transpose("chain", "draw", ...)
        if "group" not in own.dims:
            own = own.expand_dims(group=groups, axis=2)
        own = own.transpose("chain", "draw", "group", ...)
        mean = onto_line(spec.supports[name], own.to_numpy()).mean(axis=(0, 1))
        found.append(mean.reshape(groups, -1))
    return np.concatenate(found, axis=1)


def coefficients(
    spec: ModelSpec,
    column: str,
    data: Mapping[str, np.ndarray],
    posterior: xr.Dataset,
    seed: int,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Draw y and z given the errors of the cells, and find r.

    Parameters
    ----------
    spec : ModelSpec
    column : str
    data : mapping of str to numpy.ndarray
        As `Leaning` takes them.
    posterior : xarray.Dataset
    seed : int

    Returns
    -------
    z : xarray.DataArray
        y and z one after the other, dims (chain, draw, group, feature), without group for a model
        without.
    r : xarray.DataArray
        Dims (chain, draw).
    """
    leaning = Leaning(spec, column, data)
    errors = posterior[effect_of(column)].transpose("chain", "draw", ...).to_numpy()
    sds = posterior[scale_of(column)].transpose("chain", "draw")
    sd = float(sds.mean())
    groups = range(posterior.sizes.get("group", 1))
    share = _share_of_rest(leaning, groups, errors.mean(axis=(0, 1)), sd)
    rng = np.random.default_rng([seed, 13])
    found = []
    for group in groups:
        cells = leaning.cells(group)
        basis = leaning.basis(group, share * sd) / (share * sd)
        precision = np.eye(basis.shape[1]) + basis.T @ basis
        mean = cho_solve(cho_factor(precision), basis.T) @ np.moveaxis(
            errors[..., cells.number] / (share * sd), -1, 0
        ).reshape(len(cells.number), -1)
        root = np.linalg.cholesky(np.linalg.inv(precision))
        drawn = mean + root @ rng.standard_normal(mean.shape)
        found.append(drawn.T.reshape(*errors.shape[:2], -1))
    feature = f"{leaning_of(column)}_feature"
    dims = ("chain", "draw", "group", feature)
    z = xr.DataArray(np.stack(found, axis=2), dims=dims)
    return (z if "group" in posterior.dims else z.isel(group=0)), share * sds


def _share_of_rest(leaning: Leaning, groups: range, errors: np.ndarray, sd: float) -> float:
    """Find r, in sds of the errors of cells, of largest marginal likelihood."""

    def cost(log_share: float) -> float:
        rest, total = np.exp(log_share) * sd, 0.0
        for group in groups:
            basis = leaning.basis(group, rest)
            spread = basis @ basis.T + rest**2 * np.eye(len(basis))
            total -= multivariate_normal.logpdf(errors[leaning.cells(group).number], cov=spread)
        return total

    bounds = (np.log(_LEAST_REST), np.log(_MOST_REST))
    return float(np.exp(minimize_scalar(cost, bounds=bounds, method="bounded").x))
