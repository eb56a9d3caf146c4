r"""Errors that rows with the same value of a column share: those of one trained model, say.

Losses of one model on several corpora, or of one cell of size and tokens, err together. A model
file gives such a column under [effects], with the prior of the sd of its errors:

.. math:: \log L_i = \log f(x_i; \theta) + u_{c, k(i)} + \varepsilon_i,
    \qquad u_c \sim N(0, s_c)

for each column c, with k(i) the value of row i. Of a value that no run has the error is drawn.

Sampled is :math:`v = u s_c^{a - 1}`: u itself, a = 1, where so many rows have each value that they
tell u better than its sd does, and u in units of its sd, a = 0, where they are few.

Where the file says axes, an sd and a length beside the prior, errors of values that no run has are
smooth along the axes (`bayescale.posterior.leaning`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayescale.errors import RunsError
from bayescale.modelling.compiling import Variable
from bayescale.modelling.spec import ModelSpec
from bayescale.words import rows

_MANY = 8  # rows of a value, in the median, from which on they tell its error


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


def dim_of(column: str) -> str:
    """Name the dim of `effect_of`: the values of the column.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_of"


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


def offset_of(column: str) -> str:
    """Name the variable that is sampled in place of `effect_of`.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_offset"


def centred_of(column: str) -> str:
    """Name the data that say whether errors are sampled themselves, 1, or in units of their sd, 0.

    Parameters
    ----------
    column : str

    Returns
    -------
    str
    """
    return f"{effect_of(column)}_centred"


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


def effect_data(spec: ModelSpec, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Say which shared errors each cell has.

    Parameters
    ----------
    spec : ModelSpec
    table : pandas.DataFrame
        The cells.

    Returns
    -------
    dict of str to numpy.ndarray
        Of int, shape (cells,), by `index_of`; a number by `centred_of`.
    """
    found = {}
    for column in spec.effects:
        _, index, counts = np.unique(
            labels_of(table, column), return_inverse=True, return_counts=True
        )
        found[index_of(column)] = index.astype(np.int64)
        found[centred_of(column)] = np.asarray(float(np.median(counts) >= _MANY))
    return found


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
    return {dim_of(c): sorted(set(labels_of(table, c))) for c in spec.effects}


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
        number = int(np.max(data[index_of(column)])) + 1
        found.append(Variable(scale_of(column), prior.support))
        found.append(Variable(offset_of(column), "real", (number,), (dim_of(column),)))
    return found


def effects_from(
    spec: ModelSpec, free: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Derive shared errors from what is sampled.

    Parameters
    ----------
    spec : ModelSpec
    free, data : mapping of str to array_like
        Tensors or DataArrays.

    Returns
    -------
    dict
        By `effect_of`.
    """
    return {
        effect_of(column): free[offset_of(column)]
        * free[scale_of(column)] ** (1.0 - data[centred_of(column)])
        for column in spec.effects
        if offset_of(column) in free
    }
