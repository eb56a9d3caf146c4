"""Reading fits that were saved."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayescale.arguments import typed
from bayescale.errors import BayescaleError, FitError, UnknownLawError
from bayescale.files import from_toml
from bayescale.modelling.build import input_data
from bayescale.modelling.spec import parse_model
from bayescale.posterior.fit import FORMAT, Fit
from bayescale.posterior.fitting import with_leaning
from bayescale.posterior.leaning import leaning_of
from bayescale.posterior.saved import read_tree
from bayescale.runs.check import doubt
from bayescale.runs.reading import from_text
from bayescale.runs.table import Runs

_SEALED = 5  # format since which the digest is at the end
_SAMPLING = (
    "adaptation",
    "target_accept",
    "seed",
    "tune",
    "seconds_compile",
    "seconds_sample",
    "versions",
)
_DRAWS = ("chain", "draw")
_NODES = ("prior", "observed_data", "constant_data")


@typed
def load_fit(path: str | Path) -> Fit:
    """Read a fit written by `Fit.save`.

    Parameters
    ----------
    path : path

    Returns
    -------
    Fit

    Raises
    ------
    FitError
        If the file does not exist, is no fit or not all of one, or a version of bayescale wrote it
        whose fits this one cannot read.
    """
    path = Path(path)
    tree, sealed = read_tree(path)
    if "model_spec" not in tree.attrs or "runs" not in tree:
        raise FitError(
            f"{path}: a netCDF file, but not one written by bayescale; give a file that fit.save "
            "or bayescale fit wrote"
        )
    try:
        if tree.attrs.get("format", 1) >= _SEALED and not sealed:
            raise FitError(
                f"{path}: the digest at the end of the file is missing: it was cut, or another "
                "program wrote it; take a copy that is whole, or fit the runs again"
            )
        if tree.attrs.get("format", 1) > FORMAT:
            raise FitError(
                f"{path}: a later version of bayescale wrote this fit, in format "
                f"{tree.attrs['format']}, and this one reads formats up to {FORMAT}; update "
                "bayescale, or fit the runs again"
            )
        if "extrapolate" in from_toml(tree.attrs["model_spec"]):
            raise FitError(
                f"{path}: an earlier version of bayescale wrote this fit, with one posterior for "
                "what lies within the runs and another for what lies beyond; fit the runs again"
            )
        return _read(tree, path.parent)
    except UnknownLawError as error:
        raise FitError(f"{path}: {error}") from error
    except FitError:
        raise
    except (
        *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError),
        *(BayescaleError, TypeError, ValueError),
    ) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise FitError(
            f"{path}: this fit is not whole, or of another version ({said}); fit the runs again"
        ) from error


def _read(tree: xr.DataTree, folder: Path) -> Fit:
    """Make a fit of what its file holds; KeyError where something is missing."""
    written = tree.attrs.get("format", 1)
    facts, table = _runs_of(tree)
    # Up to format 3 the message held the advice.
    notices = tuple(doubt(**{"advice": "", **notice}) for notice in facts["notices"])
    runs = Runs(
        table,
        facts["source"],
        facts["sha256"],
        facts["params_are"],
        tuple(facts["ledger"]),
        notices,
        settings=tuple(facts.get("settings", ())),  # fits of before knew none
        unit=facts.get("unit", ""),
    )
    spec = parse_model(tree.attrs["model_spec"], tree.attrs["model"], laws=(folder, Path()))
    given = json.loads(tree.attrs.pop("given", "{}"))
    found = Fit(
        spec.exact if tree.attrs.get("law_exact") else spec,
        runs,
        tree,
        {n: np.array(v) if isinstance(v, list) else v for n, v in given.items()},
        tree.attrs.pop("group", None),
        dict(json.loads(tree.attrs.pop("failures", "{}"))),
    )
    tree = found.tree
    if "constant_data" in tree:
        data = tree["constant_data"].to_dataset()  # inputs had their plain names in format 1
        older = {**input_data(found.spec), "observed_log_loss": "observed"}  # up to format 2
        tree["constant_data"] = data.rename({o: n for o, n in older.items() if n not in data})
    nodes, facts_of_sampling = (_NODES, _SAMPLING) if found.sampled else ((), ())
    for held, names in (
        (tree["posterior"], found.spec.law.parameters),
        (tree.attrs, facts_of_sampling),
        (tree, nodes),
    ):
        missing = [name for name in names if name not in held]
        if missing:
            raise KeyError(", ".join(missing))
    for name, values in found.posterior.data_vars.items():
        if values.dtype.kind not in "fiu" or values.dims[:2] != _DRAWS:
            raise ValueError(f"{name} holds no numbers of dims chain and draw")
    if written < _SEALED and any(leaning_of(column) in found.posterior for column in spec.smooth):
        return with_leaning(found, seed=1)  # these left out where errors of cells move the law
    return found


def _runs_of(tree: xr.DataTree) -> tuple[dict[str, Any], pd.DataFrame]:
    """Take the runs out of what a file holds: what is known of them, and their table."""
    node = tree["runs"].to_dataset()
    del tree["runs"]
    if tree.attrs.pop("format", 1) > 1:
        return json.loads(node["facts"].item()), from_text(node["table"].item())
    facts = json.loads(tree.attrs.pop("runs"))
    # Types were guessed from the text then, but for columns that were known to be text.
    types = dict.fromkeys(facts.get("text", ()), str)
    text = io.StringIO(node["csv"].item())
    table = pd.read_csv(text, index_col=0, dtype=types, keep_default_na=False, na_values=[""])
    return facts, table
