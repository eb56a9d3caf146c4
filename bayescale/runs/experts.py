"""Parameters that compute counts and parameters that memory counts, of runs with experts.

A model with experts has more parameters than a token meets: ``active_params`` count for compute,
``params``, all of them, for memory. Neither says the other, so what a table does not say stays
unknown. Only a dense model, of one expert, has all of its parameters active.
"""

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.runs.check import Check, doubt

ACTIVE, TOTAL, EXPERTS = "active_params", "params", "experts"


def routed(table: pd.DataFrame) -> pd.Series:
    """Find the runs that have more than one expert.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pandas.Series
        Of truth values.
    """
    if EXPERTS not in table:
        return pd.Series(False, index=table.index)
    return pd.to_numeric(table[EXPERTS], errors="coerce") > 1


def counted_params(table: pd.DataFrame) -> pd.Series:
    """Parameters that compute counts of each run, NaN where the table does not say them.

    Parameters
    ----------
    table : pandas.DataFrame
        With ``params`` or ``active_params``.

    Returns
    -------
    pandas.Series
    """
    if ACTIVE in table:
        return table[ACTIVE]
    nothing = pd.Series(np.nan, index=table.index)
    return table.get(TOTAL, nothing).mask(routed(table))


def with_dense(table: pd.DataFrame) -> pd.DataFrame:
    """Give dense runs of a table with experts their active and all parameters, which are the same.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        The same without a column ``experts`` or where nothing of dense runs is missing.
    """
    if EXPERTS not in table:
        return table
    dense = pd.to_numeric(table[EXPERTS], errors="coerce") == 1
    pairs = ((ACTIVE, TOTAL), (TOTAL, ACTIVE))
    return table.assign(
        **{
            name: table[name].mask(dense & table[name].isna(), table[other])
            for name, other in pairs
            if name in table and other in table
        }
    )


def said_of_dense(raw: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Say of which runs `with_dense` has filled a number of parameters.

    Parameters
    ----------
    raw : pandas.DataFrame
        As it was read, under our names.
    table : pandas.DataFrame

    Returns
    -------
    list of str
    """
    said = []
    for name in (ACTIVE, TOTAL):
        if EXPERTS in table and ACTIVE in raw and TOTAL in raw:
            filled = raw.loc[table.index, name].isna() & table[name].notna()
            if filled.any():
                which = words.rows(table.index[filled])
                said.append(f"{name} of {which} are all that a dense model has")
    return said


def known_elsewhere(table: pd.DataFrame, name: str) -> pd.Series:
    """Find the runs with experts that state one number of parameters and lack the one named.

    Parameters
    ----------
    table : pandas.DataFrame
    name : str
        ``params`` or ``active_params``.

    Returns
    -------
    pandas.Series
        Of truth values.
    """
    nothing = pd.Series(np.nan, index=table.index)
    other = TOTAL if name == ACTIVE else ACTIVE
    return routed(table) & table.get(name, nothing).isna() & table.get(other, nothing).notna()


def experts_unsaid(table: pd.DataFrame) -> list[Check]:
    """Say which parameters of runs with experts are not known, and what cannot be answered.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of Check
    """
    found = []
    for name, other, what, lost in (
        (ACTIVE, TOTAL, "active parameters", "what experts are worth, compute and serving"),
        (TOTAL, ACTIVE, "total parameters", "memory"),
    ):
        lacking = known_elsewhere(table, name)
        if lacking.any():
            found.append(
                doubt(
                    f"experts without {name}",
                    f"{words.rows(table.index[lacking])}: experts, and the {what} are not said, "
                    f"which {other} do not tell: nothing is known of {lost}",
                    f"Name their column, --column {name}=YOURS.",
                )
            )
    return found
