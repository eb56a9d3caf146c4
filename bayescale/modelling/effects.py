r"""Errors that rows with the same value of a column share: those of one trained model, say.

Losses of one model on several corpora, or of one cell of size and tokens, err together. A model
file gives such a column under [effects], with the prior of the sd of its errors:

.. math:: \log L_i = \log f(x_i; \theta) + s_c u_{c, k(i)} + \varepsilon_i,
    \qquad u \sim N(0, 1)

for each column c, with k(i) the value of row i. Of a value that no run has the error is drawn.

Where the file says axes and a length beside the prior, the errors of each value change smoothly, as
no law holds exactly along size or tokens:

.. math:: s_c \sum_j \phi_j(x_i) u_{c, k(i), j}

with the features :math:`\phi` of a Gaussian process along log10 of the axes
(`bayescale.modelling.bend`): one that leans away from the law at the largest runs goes on beyond
them, the less certainly the farther.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayescale.errors import RunsError
from bayescale.modelling.bend import Features, features_beyond, features_of_runs
from bayescale.modelling.compiling import Variable
from bayescale.modelling.spec import Bend, ModelSpec
from bayescale.words import rows


def effect_of(column: str) -> str:
    """Name the variable of the errors that rows of one value of a column share.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
        Beside it are ``<name>_scale``, their sd, and the dim and data ``<name>_index``.
    """
    return f"{column}_effect"


def scale_of(column: str) -> str:
    """Name the variable of the sd of `effect_of`.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_scale"


def index_of(column: str) -> str:
    """Name the data that say which of the errors each cell has.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_index"


def basis_of(column: str) -> str:
    """Name the data that say what a smooth error of each cell is made of.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_basis"


def feature_dim(column: str) -> str:
    """Name the dim of the coefficients of a smooth error.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_feature"


def labels_of(table: pd.DataFrame, column: str) -> list[str]:
    """Read the value of each row in a column of shared errors.

    Parameters
    ----------
    table : pandas.DataFrame
    column : str

    Returns
    -------
    list of str

    Raises
    ------
    RunsError
        If the table lacks the column, or a row has no value.
    """
    if column not in table:
        raise RunsError(
            f"the model has errors that rows of one {column} share, and the runs lack the column",
            f"Make it with --column {column}=YOURS, or take it out of [effects] in a copy of the "
            "model file.",
        )
    if (missing := table[column].isna()).any():
        raise RunsError(f"column {column!r}, {rows(table.index[missing])}: empty; fill it in")
    return [str(label) for label in table[column]]


def effect_data(
    spec: ModelSpec, table: pd.DataFrame, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Say which shared errors each cell has.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame
        The cells.
    inputs : mapping of str to numpy.ndarray, shape (cells,)
        Of the law.

    Returns
    -------
    dict of str to numpy.ndarray
        Of int, shape (cells,), by `index_of`; shape (cells, features) by `basis_of`.
    """
    found = {}
    for column in spec.effects:
        own = labels_of(table, column)
        found[index_of(column)] = np.unique(own, return_inverse=True)[1].astype(np.int64)
        if column in spec.smooth:
            at = places(spec, column, inputs)
            found[basis_of(column)] = features_of_runs(_bend(spec, column), at).at(at)
    return found


def places(spec: ModelSpec, column: str, inputs: Mapping[str, Any]) -> np.ndarray:
    """Place rows along the axes of a smooth error.

    Parameters
    ----------
    spec : ModelSpec
    column : str
    inputs : mapping of str to array_like
        Of the law; those of the axes broadcast.

    Returns
    -------
    numpy.ndarray, shape (..., axes)
        In decades.
    """
    along = (np.asarray(inputs[name], dtype=float) for name in spec.smooth[column].axes)
    return np.log10(np.stack(np.broadcast_arrays(*along), axis=-1))


def features_of(spec: ModelSpec, column: str, inputs: Mapping[str, np.ndarray]) -> Features:
    """Find features of a smooth error among the cells, and then of places around and beyond them.

    Parameters
    ----------
    spec : ModelSpec
    column : str
    inputs : mapping of str to numpy.ndarray, shape (cells,)
        Of the law.

    Returns
    -------
    Features
        Those of `effect_data` first.
    """
    at = places(spec, column, inputs)
    known = features_of_runs(_bend(spec, column), at)
    return features_beyond(known, tuple(10.0**at.T))


def _bend(spec: ModelSpec, column: str) -> Bend:
    return Bend(1.0, spec.smooth[column].length)


def effect_labels(spec: ModelSpec, table: pd.DataFrame) -> dict[str, list[str]]:
    """Name the entries of the dims of shared errors.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame
        The runs.

    Returns
    -------
    dict of str to list of str
        By dim, sorted.
    """
    return {effect_of(c) + "_of": sorted(set(labels_of(table, c))) for c in spec.effects}


def effect_variables(spec: ModelSpec, data: Mapping[str, Any]) -> list[Variable]:
    """Free variables of the shared errors, in the order that they are made.

    Parameters
    ----------
    spec : ModelSpec
    data : mapping
        With those of `effect_data`.

    Returns
    -------
    list of Variable
    """
    found = []
    for column, prior in spec.effects.items():
        name = effect_of(column)
        sizes = {f"{name}_of": int(np.max(data[index_of(column)])) + 1}
        if column in spec.smooth:
            sizes[feature_dim(column)] = np.shape(data[basis_of(column)])[1]
        found.append(Variable(scale_of(column), prior.support))
        found.append(Variable(name, "real", tuple(sizes.values()), tuple(sizes)))
    return found


def shared_errors(spec: ModelSpec, values: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    """Add up the shared errors of each cell, on log loss.

    Parameters
    ----------
    spec : ModelSpec
    values : mapping of str to tensor
        Of `effect_variables`.
    data : mapping of str to tensor
        Of `effect_data`.

    Returns
    -------
    tensor
        Shape (cells,); 0 for a model without.
    """
    found: Any = 0.0
    for column in spec.effects:
        own = values[effect_of(column)][data[index_of(column)]]
        if column in spec.smooth:
            own = (own * data[basis_of(column)]).sum(axis=1)
        found = found + values[scale_of(column)] * own
    return found
