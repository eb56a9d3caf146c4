"""Can these runs identify this law? Asked before sampling, from the design alone."""

from collections.abc import Sequence

import numpy as np

from bayescale import words
from bayescale.errors import RunsError
from bayescale.runs.check import Check, doubt
from bayescale.runs.doubts import COUNTS
from bayescale.runs.experts import EXPERTS
from bayescale.runs.table import Runs

FEWEST_RUNS = 5
"""With fewer runs than about one per parameter, the posterior is the prior."""

ALIKE = 1.05
"""Factor within which all runs have about the same of a count."""

_POPULATIONS = ("family", "dataset", "context_length")
_ARCHITECTURES = ("architecture", "arch")  # or they name sizes
_ALL_ASKED = ("task", "target")  # each is what somebody wants to know of: nobody asks for another
_MADE = {"cell": "cells", "curve": "curves", "budget": "budgets"}  # groups nobody named as such


def require_identifiable(
    runs: Runs,
    inputs: tuple[str, ...],
    parameters: int,
    *,
    group: str | None = None,
    held: bool = False,
    bowl: bool = False,
) -> tuple[Check, ...]:
    """Refuse designs that cannot say what the law asks, and name those that can say little.

    Parameters
    ----------
    runs : Runs
    inputs : tuple of str
        Columns the law reads.
    parameters : int
        Number of parameters the law samples.
    group : str, optional
        Column whose values are the groups of a hierarchical model.
    held : bool, optional
        Whether one of several inputs may be the same in all runs, as of an accuracy: what is due to
        it is then the prior's, which is said.
    bowl : bool, optional
        Whether the law has a best value of each input, and no exponent: a narrow range does then.

    Returns
    -------
    tuple of Check
        Weak designs; empty when nothing is doubtful.

    Raises
    ------
    RunsError
        Fewer than 5 runs, an input with one value only, or params and tokens in fixed proportion.
    """
    logs = {name: np.log(runs.column(name)) for name in inputs}
    log_unique = logs.pop("unique_tokens", None)
    if len(runs) < FEWEST_RUNS:
        raise RunsError(
            f"{len(runs)} runs cannot support a law of {parameters} parameters: at least "
            f"{FEWEST_RUNS} are needed, 15 or more are useful"
        )
    alike = [name for name, values in logs.items() if np.ptp(values) < np.log(ALIKE)]
    if alike and not (held and len(alike) < len(logs)):
        raise RunsError(
            f"every run has about the same {alike[0]} ({words.count(np.exp(logs[alike[0]][0]))}): "
            "its effect cannot be learned",
            f"Add runs at other {alike[0]}, or fit a single-axis law (--model power-law).",
        )
    doubts = [_alike(name, float(np.exp(logs.pop(name)[0]))) for name in alike]
    # From a loss to an accuracy a narrow range is wide, and runs of all sizes are to lie on it.
    link = held and len(inputs) == 1 and inputs[0] not in COUNTS
    doubts += [
        one for name, values in logs.items() for one in _levels(name, values) if not (link or bowl)
    ]
    each, what = len(runs), "runs"
    if group == "task" and group in runs.table:  # one run is a row of each of its tasks
        each, what = int(runs.table[group].value_counts().max()), "runs of a task"
    if each < 2 * parameters:
        doubts.append(
            doubt(
                "few runs",
                f"{each} {what} for {parameters} parameters: the priors shape this posterior",
                "Compare the posterior with the prior.",
            )
        )
    if {"params", "tokens"} <= set(logs):
        # Along a third input runs can teach a law whose priors say what is due to these two.
        doubts += _joint(
            logs["params"],
            logs["tokens"],
            held=held and len(logs) > 2,
            largest=runs.column("params").max() if "trained" in runs.table else None,  # mixtures
        )
    if len(inputs) == 1 and not link:
        doubts += _off_axis(runs, inputs[0], group)
    if log_unique is None:
        doubts += _repeated(runs)
    else:
        doubts += _hardly_repeated(logs["tokens"] - log_unique)
    if group is not None and group in runs.table and group not in _ALL_ASKED:
        doubts += _few_groups(runs, group)
    pooled = _tasks_as_one(runs, group) if held else []
    return (*doubts, *_mixed(runs, inputs, group, held), *pooled)


def _alike(name: str, value: float) -> Check:
    return doubt(
        f"one number of {name}",
        f"every run has about the same {name} ({words.count(value)}): what is due to them is the "
        "prior's",
        f"Ask at these {name} only, or add runs at others.",
    )


def _few_groups(runs: Runs, group: str) -> list[Check]:
    number = runs.table[group].nunique()
    if not 1 < number <= 4:  # one: what is left of a fit when asked for that group alone
        return []
    one, several = (group, _MADE[group]) if group in _MADE else ("group", "groups")
    return [
        doubt(
            "few groups",
            f"{number} {several} say little of how {several} differ: the prior on their sd "
            f"([scales] in the model file) shapes the prediction for a new {one}",
            f"State that prior, or add {several}.",
        )
    ]


def _off_axis(runs: Runs, axis: str, group: str | None) -> list[Check]:
    """Name other counts that vary between runs of about equal axis: no curve of one axis."""
    bins = [np.log10(runs.column(axis)).round(1)]
    bins += [runs.table[group].astype(str).to_numpy()] if group in runs.table else []
    for name in COUNTS:
        if name == axis or name not in runs.table or not runs.table[name].gt(0).all():
            continue
        cells = np.log(runs.table[name]).groupby(bins)
        spread = float(np.exp((cells.max() - cells.min()).max()))
        if spread > 3 and name != "flops":
            return [
                doubt(
                    "not one curve",
                    f"runs of about equal {axis} differ up to {spread:.0f}-fold in {name}: a law "
                    f"of {axis} alone takes that for noise",
                    f"Keep one run for each {axis}, or fit a joint law.",
                )
            ]
    return []


def _repeated(runs: Runs) -> list[Check]:
    if not {"tokens", "unique_tokens"} <= set(runs.table.columns):
        return []
    repeated = runs.table["tokens"] > 4 * runs.table["unique_tokens"]
    if not repeated.any():
        return []
    return [
        doubt(
            "repeated data",
            f"{repeated.sum()} runs saw their text more than four times: this law takes every "
            "token for a fresh one",
            "Leave them out with --where 'tokens <= 4 * unique_tokens'.",
        )
    ]


def _hardly_repeated(log_epochs: np.ndarray) -> list[Check]:
    """Refuse a law of repetition where nothing is repeated, and doubt it where little is."""
    most = float(np.exp(log_epochs.max()))
    if most < 1.5:
        raise RunsError(
            f"no run sees its data more than {most:.2g} times: what repetition is worth (R_D, R_N) "
            "cannot be learned",
            "Add runs of several epochs, or fit a law of fresh data (--model chinchilla).",
        )
    if most >= 8:
        return []
    return [
        doubt(
            "few epochs",
            f"no run has more than {words.significant(most, 2)} epochs: that is too few to see "
            "repeated data lose their worth, so R_D has hardly more than a lower bound",
            "Add runs of 16 epochs or more.",
        )
    ]


def _of_several_sizes(runs: Runs, name: str) -> bool:
    """Whether each value of a column has runs of several sizes: else it may name the size."""
    if name not in runs.table or "params" not in runs.table:
        return False
    sizes = runs.table.groupby(name)["params"].nunique()
    return bool((sizes > 1).all())


def _tells_experts(runs: Runs, name: str, inputs: Sequence[str]) -> bool:
    """Whether a column says no more than the number of experts, which the law reads."""
    if EXPERTS not in inputs or EXPERTS not in runs.table:
        return False
    return bool((runs.table.groupby(EXPERTS)[name].nunique() <= 1).all())


def _mixed(runs: Runs, inputs: Sequence[str], group: str | None, share: bool) -> list[Check]:
    """Name columns that say the runs come from different populations."""
    kinds = [
        name
        for name in _ARCHITECTURES
        if _of_several_sizes(runs, name) and not _tells_experts(runs, name, inputs)
    ]
    mixed = {
        name: f"{name} ({', '.join(map(str, values[:4]))}{', ...' if len(values) > 4 else ''})"
        for name in (*_POPULATIONS, *kinds)
        if name in runs.table
        and name != group
        and len(values := runs.table[name].dropna().unique()) > 1
    }
    if not mixed:
        return []
    model = "task-accuracy-families" if share else "chinchilla-hierarchical"
    apart = "" if group else f", or let them differ: --model {model} --group {next(iter(mixed))}"
    return [
        doubt(
            "groups pooled",
            f"the runs differ in {'; '.join(mixed.values())} and are fitted as one law",
            f"Choose one with --where{apart}.",
        )
    ]


def _tasks_as_one(runs: Runs, group: str | None) -> list[Check]:
    """Doubt one law for several tasks, whose levels and exponents differ."""
    if group == "task" or "task" not in runs.table:
        return []
    tasks = list(map(str, runs.table["task"].dropna().unique()))
    if len(tasks) < 2:
        return []
    return [
        doubt(
            "tasks pooled",
            f"the runs are of {len(tasks)} tasks ({', '.join(tasks[:4])}"
            f"{', ...' if len(tasks) > 4 else ''}) and are fitted as one law",
            "Choose one with --where, or fit a model whose groups are the tasks: --model "
            "task-accuracy-hierarchical.",
        )
    ]


def _levels(name: str, values: np.ndarray) -> list[Check]:
    distinct = len(np.unique(np.round(values / np.log(ALIKE))))
    if distinct <= 2:
        return [
            doubt(
                "two levels only",
                f"the runs have {distinct} distinct values of {name}: an "
                "exponent and an offset cannot be told apart",
                f"Add runs at a third value of {name}.",
            )
        ]
    decades = float(np.ptp(values) / np.log(10))
    if decades < 0.5:
        return [
            doubt(
                "narrow range",
                f"{name} spans {decades:.2f} decades: below half a decade its "
                "exponent is hardly constrained",
                "Add smaller or larger runs.",
            )
        ]
    return []


def _joint(
    log_params: np.ndarray, log_tokens: np.ndarray, *, held: bool, largest: float | None
) -> list[Check]:
    proportion = log_tokens - log_params
    spread = float(np.ptp(proportion) / np.log(10))
    if spread < np.log10(1.1) and not held:
        other = (
            "fit loss against compute alone (--model power-law)"
            if largest is None
            else "ask for the mixtures of one size alone "  # a law of compute reads no shares
            f"(--where 'params == {largest:.15g}')"
        )
        raise RunsError(
            f"tokens are proportional to params in every run (about {np.exp(proportion.mean()):.3g}"
            " tokens per parameter): alpha, beta and the compute-optimal allocation cannot be told "
            "apart",
            f"Add runs at other tokens per parameter, or {other}.",
        )
    correlation = float(np.corrcoef(log_params, log_tokens)[0, 1])
    if correlation > 0.97:
        return [
            doubt(
                "collinear design",
                f"log params and log tokens correlate at {correlation:.3f}: "
                "alpha and beta are hard to tell apart",
                "Add runs at other tokens per parameter.",
            )
        ]
    compute = float(np.ptp(log_params + log_tokens) / np.log(10))
    if compute < np.log10(1.25):
        return [
            doubt(
                "one budget only",
                "every run has about the same compute: the runs show the best "
                "size there and nothing about how it moves",
                "Add a second budget, at least three times larger or smaller.",
            )
        ]
    return []
