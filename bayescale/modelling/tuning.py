"""The model of a sweep: with the trends and clusters that its cells can teach."""

from collections.abc import Sequence
from typing import Any

from bayescale.arguments import typed
from bayescale.errors import ModelError
from bayescale.modelling.spec import ModelSpec, load_model, parse_model
from bayescale.runs.sweep_design import moving, varying
from bayescale.runs.table import Runs

MODELS = {1: "tuning", 2: "tuning-pair"}
"""Shipped model of a sweep of so many knobs."""

_FEWEST_SIZES = 3  # with which an effect of the size can be told from that of the cell


@typed
def sweep_model(runs: Runs, knobs: str | Sequence[str]) -> ModelSpec:
    """Choose the model of a sweep.

    The model ``tuning-pair`` along two knobs, ``tuning`` along one. A knob that is the same
    in all runs of each cell is dropped. The best settings have trends along the counts that differ
    between the cells alone, and effects of the size where there are three sizes or more, and more
    cells than sizes. A single cell has a bowl of its own, without a population.

    Parameters
    ----------
    runs : Runs
        Of `bayescale.read_sweep`.
    knobs : str or sequence of str
        Those that were swept, the learning rate first.

    Returns
    -------
    ModelSpec

    Raises
    ------
    ModelError
        For more than two knobs that vary within cells.
    """
    knobs = [knobs] if isinstance(knobs, str) else list(knobs)
    swept = varying(runs.table, knobs)
    if not 1 <= len(swept) <= len(MODELS):
        raise ModelError(
            f"{len(swept)} knobs vary within cells ({', '.join(swept) or 'none'}), and bowls are "
            "of one or two: name these alone"
        )
    return tuned(load_model(MODELS[len(swept)]).along_axes(*swept), runs)


def tuned(spec: ModelSpec, runs: Runs) -> ModelSpec:
    """Leave out of a model of a sweep what its cells cannot teach.

    Parameters
    ----------
    spec : ModelSpec
        Whose groups are cells.
    runs : Runs

    Returns
    -------
    ModelSpec
    """
    import tomlkit

    text: Any = tomlkit.parse(spec.source)
    cells, sizes = runs.table["cell"].nunique(), runs.table["size"].nunique()
    if cells == 1:
        for key in ("group", "cluster", "pooling", "trends", "scales", "cluster_scales"):
            text.pop(key, None)
        text["priors"]["level"]["about"] = "runs"
        return parse_model(tomlkit.dumps(text), spec.name)
    known = moving(runs.table)
    for name, trend in list(text.get("trends", {}).items()):
        for column in [column for column in trend if column not in known]:
            del trend[column]
        if not trend:
            del text["trends"][name]
    if not (_FEWEST_SIZES <= sizes < cells):
        for key in ("cluster", "cluster_scales"):
            text.pop(key, None)
    return parse_model(tomlkit.dumps(text), spec.name)
