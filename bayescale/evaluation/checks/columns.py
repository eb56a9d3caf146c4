"""Whether runs that differ in a column which the model does not read lie on one law.

Residuals are compared between the values of every setting (`bayescale.runs.settings`) that the
model leaves out. What a parabola along each input says is taken out of residuals and columns alike,
so that a column is not blamed for what goes with size. Residuals are normal scores, which outliers
hardly move, and p-values come from simulated refits, family-wise over all columns
(`bayescale.evaluation.checks.predictive`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.stats import median_abs_deviation, rankdata

from bayescale import words
from bayescale.evaluation.checks.predictive import (
    FAIL_BELOW,
    MATERIAL_LOSS,
    REVIEW_BELOW,
    Statistic,
    axes_of,
    chance,
    family_wise,
)
from bayescale.evaluation.checks.refits import Refits
from bayescale.evaluation.scores import as_share, percent
from bayescale.modelling.inputs import columns_of
from bayescale.modelling.spec import ModelSpec, available_models
from bayescale.posterior.fit import Fit
from bayescale.runs.check import Check, Status
from bayescale.runs.doubts import COUNTS
from bayescale.runs.query import condition
from bayescale.runs.settings import is_categorical, settings

_FEWEST = 8  # configurations; as many of one value are enough for a fit of their own
_OF_A_KIND = 3  # configurations; rarer kinds are compared with nothing
_FEW_NUMBERS = 4  # so many are kinds; along more a trend is looked for
_MOST = 0.5  # share of the scatter from which on runs lie on no common law
_SAME = 0.9  # share of one column that another explains, from which on runs cannot tell them apart
_NOTHING = 1e-6  # length of a column of which nothing is left, from a length of about 1


def column_checks(fit: Fit, refit: Refits) -> list[Check]:
    """Ask whether residuals differ between the values of a column that the model does not read.

    Text, bools and up to four numbers are kinds, along more numbers a trend is looked for. Not
    asked: columns that follow an input (a depth, where every size has its own), or the groups. Of
    columns that the runs cannot tell apart one is named, and the others with it.

    Of true laws with one to four irrelevant columns 5.0% of 2,000 sets of columns asked for a look,
    as many of four columns as of one. Two kinds half an sd of the noise apart showed in 7, 13 and
    33% of tables of 15, 30 and 60 runs, 1 sd apart in 20, 67 and 87%, 2 sds apart in 53, 100 and
    100%, 4 sds apart in all, and 98% of these failed (15 tables each; benchmarks/columns.py).

    Parameters
    ----------
    fit : Fit
    refit : Refits

    Returns
    -------
    list of Check
        One for each column that splits the residuals, else one PASS; empty where there is no column
        to ask. REVIEW for a family-wise p-value below 5%; FAIL for one below 1% where the column
        explains most of the scatter; one step less for what is below 0.2% of the response.
    """
    columns = dict(_columns(fit, refit.cells))
    base = _basis(fit, refit.cells)
    asked, found = _free(base, columns), list[Check]()
    names = list(asked)
    while asked:
        family = [_explained(refit.scores, base, name, own) for name, own in asked.items()]
        p = dict(zip(asked, family_wise(family), strict=True))
        share = {statistic.check: float(statistic.values[0]) for statistic in family}
        worst = min(asked, key=lambda name: (p[name], -share[name]))
        if p[worst] >= REVIEW_BELOW:
            return found or [_nothing(names, float(p[worst]))]
        same = [name for name in asked if name != worst and _same(asked[name], asked[worst])]
        split = _Split(worst, columns[worst], same, base, asked[worst], share[worst])
        found.append(_check(fit.spec, refit, split, float(p[worst])))
        base = np.hstack([base, asked[worst]])
        asked = _free(base, {name: columns[name] for name in asked if name not in (worst, *same)})
    return found


def _columns(fit: Fit, cells: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Give the settings that the model does not read and no input says already."""
    axes = axes_of(cells, fit.spec.reads)
    places = {name: axis.place for name, axis in axes.items()}
    places |= {name: np.log(cells[name].to_numpy(float)) for name in COUNTS if name in cells}
    read = (*columns_of(fit.spec, cells), *COUNTS, fit.spec.response.column)
    for name in fit.runs.settings or settings(fit.runs.table):
        if name not in cells or name in read or not _compares(cells[name]):
            continue
        if not any(_follows(cells[name], place) for place in places.values()):
            yield name, cells[name]


def _compares(values: pd.Series) -> bool:
    """Whether two kinds at least have configurations enough, or there are numbers enough."""
    return not _are_kinds(values) or (values.value_counts() >= _OF_A_KIND).sum() > 1


def _follows(values: pd.Series, place: np.ndarray) -> bool:
    """Whether each place has one value where places are shared, or each value its own stretch."""
    table = pd.DataFrame({"value": values.astype(str).to_numpy(), "place": np.round(place, 6)})
    shared = table["place"].nunique() <= len(table) / 2
    if shared and table.groupby("place")["value"].nunique().max() == 1:
        return True
    ends = table.groupby("value")["place"].agg(["min", "max"]).sort_values("min")
    return bool((ends["min"].to_numpy()[1:] > ends["max"].to_numpy()[:-1]).all())


def _are_kinds(values: pd.Series) -> bool:
    return is_categorical(values) or values.nunique() <= _FEW_NUMBERS


def _kinds(values: pd.Series) -> pd.Series:
    """Write kinds as text; those of few configurations are one."""
    kinds = values.astype(str)
    return kinds.where(kinds.map(kinds.value_counts()) >= _OF_A_KIND, "another value")


def _coded(values: pd.Series) -> np.ndarray:
    """Write a column as numbers, shape (cells, columns): one a kind but the first, or ranks."""
    if _are_kinds(values):
        return pd.get_dummies(_kinds(values), drop_first=True).to_numpy(float)
    ranks = rankdata(pd.to_numeric(values), nan_policy="omit")
    place = (ranks - 1) / (np.nanmax(ranks) - 1)  # 0 is the lowest, 1 the highest
    return np.where(np.isnan(place), np.nanmean(place), place)[:, None]


def _basis(fit: Fit, cells: pd.DataFrame) -> np.ndarray:
    """Orthonormal columns of what residuals may follow: groups, and a parabola along each input."""
    parts = [np.ones((len(cells), 1))]
    if fit.groups:
        parts.append(pd.get_dummies(cells[str(fit.spec.group)].astype(str)).to_numpy(float))
    axes = axes_of(cells, fit.spec.reads)
    read = [axes[name].place for name in columns_of(fit.spec, cells) if name in axes]
    lines = [((place - place.mean()) / np.ptp(place))[:, None] for place in read]
    for more in (lines, [line**2 for line in lines]):
        if sum(part.shape[1] for part in (*parts, *more)) <= len(cells) / 3:
            parts += more
    return _orthonormal(np.hstack(parts))


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, size > _NOTHING]


def _free(base: np.ndarray, columns: Mapping[str, pd.Series]) -> dict[str, np.ndarray]:
    """Orthonormal columns of what the base leaves of each; only those of which it leaves some."""
    found = {}
    for name, values in columns.items():
        coded = _coded(values)
        own = _orthonormal(coded - base @ (base.T @ coded))
        if own.size and base.shape[1] + 2 * own.shape[1] <= len(own) - 1:
            found[name] = own
    return found


def _explained(scores: np.ndarray, base: np.ndarray, name: str, own: np.ndarray) -> Statistic:
    """Share of what the base leaves of the scores that a column explains."""
    left = scores - (scores @ base) @ base.T
    share = ((left @ own) ** 2).sum(axis=1) / np.maximum((left**2).sum(axis=1), 1e-300)
    return Statistic(name, "column", share, one_sided=True)


def _same(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether one column is all but a part of the other."""
    return float(((other.T @ own) ** 2).sum()) > _SAME * min(own.shape[1], other.shape[1])


@dataclass(frozen=True)
class _Split:
    """A column that splits residuals."""

    name: str
    values: pd.Series
    same: list[str]  # columns that the runs do not tell from it
    base: np.ndarray
    own: np.ndarray  # what the base leaves of it
    share: float  # of the scatter that it explains


def _nothing(names: list[str], p: float) -> Check:
    message = f"residuals do not differ between values of {', '.join(names)} ({chance(p)})"
    return Check("columns", Status.PASS, message, statistic=p, threshold=REVIEW_BELOW)


def _check(spec: ModelSpec, refit: Refits, split: _Split, p: float) -> Check:
    what, size = _difference(spec, refit, split)
    status = Status.FAIL if p < FAIL_BELOW and _adjusted(split) > _MOST else Status.REVIEW
    small = abs(size) < MATERIAL_LOSS
    if small:
        status = Status.REVIEW if status is Status.FAIL else Status.PASS
        what += ", too little to matter"
    also = f" (or of {', '.join(split.same)}: these runs do not tell them apart)"
    message = f"{what}{also if split.same else ''}; {_scatter(spec, refit, split)} ({chance(p)})"
    return Check(
        f"column {split.name}",
        status,
        message,
        "" if status is Status.PASS else _advice(spec, split),
        statistic=p,
        threshold=REVIEW_BELOW,
    )


def _adjusted(split: _Split) -> float:
    """Share of the scatter explained, less what as many columns explain by chance."""
    cells, kinds = split.own.shape
    left = cells - split.base.shape[1]
    return 1 - (1 - split.share) * left / (left - kinds)


def _difference(spec: ModelSpec, refit: Refits, split: _Split) -> tuple[str, float]:
    """Say how far apart the runs lie, by a fit of the residuals that outliers hardly move."""
    coded = _coded(split.values)
    design = np.hstack([coded, split.base])
    scale = max(float(median_abs_deviation(refit.residual, scale="normal")), 1e-9)
    start = np.linalg.lstsq(design, refit.residual)[0]
    found = least_squares(
        lambda at: (design @ at - refit.residual) / scale, start, loss="soft_l1"
    ).x[: coded.shape[1]]
    name, of, unit = split.name, spec.response.name, percent(spec.response)
    if not _are_kinds(split.values):
        size = as_share(spec.response, float(found[0]))
        low, high = (words.significant(float(end(split.values)), 3) for end in (np.min, np.max))
        side = "above" if size > 0 else "below"
        said = f"{of} at the largest {name} ({high}) lies {100 * abs(size):.2g}{unit} {side} that"
        return f"{said} at the smallest ({low})", size
    kinds = [*sorted(set(_kinds(split.values)))]
    levels = dict(zip(kinds, (0.0, *found), strict=True))
    low, high = min(levels, key=levels.__getitem__), max(levels, key=levels.__getitem__)
    size = as_share(spec.response, levels[high] - levels[low])
    return f"{of} of {name} {high} lies {100 * size:.2g}{unit} above that of {low}", size


def _scatter(spec: ModelSpec, refit: Refits, split: _Split) -> str:
    """Say what is left of the scatter about the law where runs are kept apart by the column."""
    left = refit.residual - split.base @ (split.base.T @ refit.residual)
    apart = left - split.own @ (split.own.T @ left)
    cells, kinds = split.own.shape
    free = cells - split.base.shape[1]
    sds = [np.sqrt((left**2).sum() / free), np.sqrt((apart**2).sum() / (free - kinds))]
    before, after = (f"{100 * as_share(spec.response, float(sd)):.2g}" for sd in sds)
    unit = percent(spec.response)
    return f"kept apart by it runs scatter about the law by {after}{unit}, not {before}{unit}"


def _advice(spec: ModelSpec, split: _Split) -> str:
    number = split.values.value_counts()
    ways = []
    if _are_kinds(split.values):
        # Of a pool the law that its first member is: one that bends has no groups.
        law = "chinchilla" if spec.members else spec.law.name
        grouped = f"{law}-hierarchical"
        if spec.group is not None:
            ways.append(f"Pool by it instead: --group {split.name}")
        elif grouped in available_models():
            ways.append(f"Pool by it: --model {grouped} --group {split.name}")
    if number.iloc[0] >= _FEWEST:
        alone = f"--where {condition(split.name, number.index[0])}"
        ways.append(f"{'or fit' if ways else 'Fit'} one alone: {alone}")
    if ways:
        return f"{', '.join(ways)}."
    return f"Fit runs of one {split.name} alone, with --where, once there are {_FEWEST} of them."
