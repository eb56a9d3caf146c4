"""Which runs lie on isoFLOP curves: several sizes of model, each trained with the same compute."""

from dataclasses import replace

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import RunsError
from bayescale.runs.table import Runs

FEWEST_ON_BUDGET, FEWEST_BUDGETS = 4, 3
"""Sizes that the profile of one budget needs, and budgets that a power law through minima needs."""


@typed
def on_isoflops(runs: Runs) -> Runs:
    """Keep the runs on isoFLOP budgets, for the model ``isoflop-profiles``.

    Parameters
    ----------
    runs : Runs
        Whose budgets are those of `Runs.budgets`.

    Returns
    -------
    Runs
        Those on budgets with 4 or more sizes, the column ``budget`` in FLOPs.

    Raises
    ------
    RunsError
        If there are fewer than 3 such budgets, or the table does not say the compute of its runs.
    """
    runs.column("flops")  # refused by its name, where there is none
    table = runs.table.assign(budget=runs.budgets(sizes=FEWEST_ON_BUDGET)).dropna(subset=["budget"])
    sizes = table.groupby("budget")["params"].nunique() if len(table) else pd.Series(dtype=int)
    kept = table[table["budget"].isin(sizes.index[sizes >= FEWEST_ON_BUDGET])]
    budgets = np.sort(kept["budget"].unique())
    if len(budgets) < FEWEST_BUDGETS:
        raise RunsError(
            f"{len(budgets)} isoFLOP budgets have runs of {FEWEST_ON_BUDGET} sizes or more, "
            f"{FEWEST_BUDGETS} are needed: name the budget of each run in a column 'budget', in "
            "FLOPs, or add runs"
        )
    named = ", ".join(words.flops(budget) for budget in budgets)
    entry = f"{len(runs) - len(kept)} dropped that are on none of the isoFLOP budgets {named}"
    return replace(runs, table=kept, ledger=(*runs.ledger, entry))
