"""What calibration.py found: uniformity of ranks, pictures, a page of the documentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import bdtr, bdtrik, ndtri

LEVEL = 0.05
"""Probability that a calibrated parameter leaves its band, and that a calibrated model is named."""

FEWEST = 20
"""Fits of a model that the page tells of: fewer say nothing of coverage."""

_NULL = 4000  # sets of uniform ranks by which a set is judged
_COLUMNS, _ROWS = 5, 3  # panels of one picture
_PAGE = Path(__file__).with_suffix(".md")  # with fields to fill


def _tails(counts: np.ndarray, number: int) -> np.ndarray:
    """Twice the smaller tail probability of each of some empirical distribution functions.

    `counts` are of ranks up to each but the largest, shape (..., ranks).
    """
    places = np.arange(1, counts.shape[-1] + 1) / (counts.shape[-1] + 1)
    below, above = bdtr(counts, number, places), 1 - bdtr(counts - 1.0, number, places)
    return 2 * np.minimum(below, np.where(counts == 0, 1.0, above)).min(axis=-1)


def _width(shares: np.ndarray) -> np.ndarray:
    """Mean square of Normal scores, 1 for uniform ranks, of shares at each rank, (..., ranks)."""
    places = (np.arange(shares.shape[-1]) + 0.5) / shares.shape[-1]
    return shares @ ndtri(places) ** 2


@cache
def _null(number: int, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """`_tails` and `_width` of uniform ranks, sorted."""
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(number, np.full(largest + 1, 1 / (largest + 1)), size=_NULL)
    tails = _tails(drawn.cumsum(axis=1)[:, :-1], number)
    return np.sort(tails), np.sort(_width(drawn / number))


def p_value(ranks: Sequence[int], largest: int) -> float:
    """Probability that uniform ranks are as far from uniform, by the worse of two views.

    Pointwise bands of one probability that together hold the distribution function of a uniform
    sample with another (Säilynoja, Bürkner and Vehtari 2022, doi:10.1007/s11222-022-10090-6); and
    the mean square of Normal scores (Cook, Gelman and Rubin 2006, doi:10.1198/106186006X136976),
    which sees posteriors that are too narrow or too wide sooner. Both by simulation.

    Parameters
    ----------
    ranks : sequence of int
        From 0 to `largest`.
    largest : int

    Returns
    -------
    float
        Twice the smaller one.
    """
    held = np.bincount(ranks, minlength=largest + 1)
    tails, widths = _null(len(ranks), largest)
    far = _tails(held.cumsum()[:-1], len(ranks)) * (1 + 1e-9)
    width = _width(held / len(ranks))
    as_narrow = len(widths) - np.searchsorted(widths, width)
    as_wide = np.searchsorted(widths, width, side="right")
    as_far = min(np.searchsorted(tails, far, side="right"), 2 * min(as_narrow, as_wide))
    return float(min(1.0, 2 * (1 + as_far) / (1 + _NULL)))


def band(number: int, largest: int, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band of the empirical distribution function of uniform ranks.

    Parameters
    ----------
    number : int
        Of ranks.
    largest : int
    level : float, optional
        Probability of leaving it.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (largest,)
        At ranks up to 0, 1, ..., largest - 1.
    """
    places = np.arange(1, largest + 1) / (largest + 1)
    pointwise = np.quantile(_null(number, largest)[0], level)
    lower, upper = (np.ceil(bdtrik(q, number, places)) for q in (pointwise / 2, 1 - pointwise / 2))
    return np.nan_to_num(lower) / number, upper / number


def covered(ranks: Sequence[int], largest: int, mass: float = 0.9) -> float:
    """Share of truths in a central interval; of a rank that it cuts, the part inside counts.

    Parameters
    ----------
    ranks : sequence of int
    largest : int
    mass : float, optional

    Returns
    -------
    float
    """
    low = np.asarray(ranks) / (largest + 1)
    high, ends = low + 1 / (largest + 1), ((1 - mass) / 2, (1 + mass) / 2)
    inside = np.minimum(high, ends[1]) - np.maximum(low, ends[0])
    return float((inside.clip(0) * (largest + 1)).mean())


@dataclass(frozen=True)
class Found:
    """What was found of one case.

    Parameters
    ----------
    case : str
    ranks : dict of str to list of int
        By parameter.
    largest : int
        Rank.
    failed : tuple of str
        Reasons, of tables that have no fit.
    unconverged : int
        Fits that did not converge, among those that are ranked.
    seconds : float
        Of processor time, the median.
    """

    case: str
    ranks: dict[str, list[int]]
    largest: int
    failed: tuple[str, ...]
    unconverged: int
    seconds: float

    @property
    def number(self) -> int:
        """Fits that are ranked."""
        return max(map(len, self.ranks.values()), default=0)

    @property
    def p_values(self) -> dict[str, float]:
        """Of each parameter alone."""
        return {name: p_value(own, self.largest) for name, own in self.ranks.items()}

    @property
    def p(self) -> float:
        """Of the worst parameter, for as many as there are: Bonferroni's bound."""
        return min(1.0, min(self.p_values.values()) * len(self.ranks))

    @property
    def coverage(self) -> dict[str, float]:
        """Of 90% intervals, by parameter."""
        return {name: covered(own, self.largest) for name, own in self.ranks.items()}


def found_in(records: Sequence[dict[str, Any]], largest: int) -> list[Found]:
    """Gather what the records say of each case, in alphabetical order.

    Parameters
    ----------
    records : sequence of dict
    largest : int
        Rank.

    Returns
    -------
    list of Found
    """
    found = []
    for case in sorted({own["case"] for own in records}):
        of_case = [own for own in records if own["case"] == case]
        fitted = [own for own in of_case if "ranks" in own]
        names = dict.fromkeys(name for own in fitted for name in own["ranks"])
        ranks = {n: [own["ranks"][n] for own in fitted if n in own["ranks"]] for n in names}
        failed = tuple(own["failure"] for own in of_case if "failure" in own)
        unconverged = sum(bool(own["problems"]) for own in fitted)
        seconds = float(np.median([own["seconds"] for own in fitted])) if fitted else np.nan
        found.append(Found(case, ranks, largest, failed, unconverged, seconds))
    return found


def power(breakage: Any, number: int, largest: int, *, trials: int = 100, seed: int = 1) -> float:
    """Probability of finding a posterior that is broken in some way.

    Parameters
    ----------
    breakage : callable
        Gives draws of a Normal posterior of mean 0 and sd 1, from standard Normal ones.
    number : int
        Of simulations.
    largest : int
        Rank.
    trials : int, optional
    seed : int, optional

    Returns
    -------
    float
    """
    rng, seen = np.random.default_rng(seed), 0
    for _ in range(trials):
        truth = rng.standard_normal((number, 1))
        draws = breakage(rng.standard_normal((number, largest)))
        seen += p_value((draws < truth).sum(axis=1), largest) < LEVEL
    return seen / trials


BREAKAGES = {
    "narrowed by 10%": lambda z: 0.9 * z,
    "narrowed by 25%": lambda z: 0.75 * z,
    "shifted by a quarter of its sd": lambda z: z + 0.25,
    "shifted by half its sd": lambda z: z + 0.5,
}
"""What the page says how often it is found."""


def draw(found: Sequence[Found], path: Path) -> None:
    """Draw ranks of some cases, a panel each: empirical distribution functions less the uniform.

    Parameters
    ----------
    found : sequence of Found
    path : Path
        Of a PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(found) // _COLUMNS)
    figure, axes = plt.subplots(
        rows,
        _COLUMNS,
        figsize=(10, 1.75 * rows + 0.3),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, own in zip(axes.ravel(), found, strict=False):
        _panel(ax, own)
    for ax in axes.ravel()[len(found) :]:
        ax.set_axis_off()
    for ax in axes.ravel()[: len(found)][-_COLUMNS:]:
        ax.tick_params(labelbottom=True)  # also where the panel below is empty
    figure.supxlabel("share of ranks expected", fontsize=8)
    figure.supylabel("share found, less expected", fontsize=8)
    held = BytesIO()
    figure.savefig(held, dpi=100)
    plt.close(figure)
    Image.open(held).convert("RGB").quantize(32, Image.Quantize.MAXCOVERAGE).save(
        path, optimize=True
    )


def _panel(ax: Any, own: Found) -> None:
    """Draw all parameters of one case, those outside of their band in red."""
    places = np.arange(1, own.largest + 1) / (own.largest + 1)
    lower, upper = band(own.number, own.largest)
    ax.fill_between(places, lower - places, upper - places, color="0.85", step="mid", lw=0)
    outside = LEVEL / len(own.ranks)
    for name, p in own.p_values.items():
        ranks = own.ranks[name]
        shares = np.bincount(ranks, minlength=own.largest + 1).cumsum()[:-1] / len(ranks)
        color, width = ("red", 1.6) if p < outside else ("tab:blue", 0.4)
        ax.step(places, shares - places, where="mid", color=color, lw=width)
    ax.set_title(f"{own.case} ({own.number})", fontsize=7, pad=2)
    ax.tick_params(labelsize=6, length=2)


def write_page(
    records: Sequence[dict[str, Any]], path: Path, largest: int, cases: Sequence[str]
) -> None:
    """Write the page of the documentation, and its pictures beside it.

    Parameters
    ----------
    records : sequence of dict
    path : Path
    largest : int
        Rank.
    cases : sequence of str
        All that can be asked: the page says which have fewer than `FEWEST` fits yet.
    """
    found = [own for own in found_in(records, largest) if own.number >= FEWEST]
    each = _COLUMNS * _ROWS
    pictures = []
    for first in range(0, len(found), each):
        name = f"{path.stem}-{first // each + 1}.png"
        draw(found[first : first + each], path.with_name(name))
        pictures.append(f"![Ranks of {found[first].case} and those below it]({name})\n")
    numbers = sorted({50, 150, 500, min(own.number for own in found)})
    powers = [
        f"| {what} | "
        + " | ".join(f"{power(how, number, largest):.0%}" for number in numbers)
        + " |"
        for what, how in BREAKAGES.items()
    ]
    least, held = min(own.number for own in found), {own.case: own for own in found}
    page = _PAGE.read_text("utf-8").format(
        largest=largest,
        summary=_summary(found),
        models=len(found),
        by_chance=f"{LEVEL * len(found):.0f}",
        level=LEVEL,
        table="\n".join(_row(case, held[case]) for case in cases if case in held),
        missing=_missing([case for case in cases if case not in held], len(cases)),
        error=f"{np.sqrt(0.09 / least):.1%} with {least} fits, {np.sqrt(0.09 / 500):.1%} with 500",
        pictures="\n".join(pictures),
        held=f"{1 - LEVEL:.0%}",
        numbers=" | ".join(f"{number} fits" for number in numbers),
        rule=" | ".join("---" for _ in numbers),
        powers="\n".join(powers),
    )
    path.write_text(page, "utf-8")


def _summary(found: Sequence[Found]) -> str:
    """Say in a few sentences which models are calibrated."""
    fits = sum(own.number for own in found)
    outside = [own for own in found if own.p < LEVEL]
    ranks = [rank for own in found for of_one in own.ranks.values() for rank in of_one]
    parameters = sum(len(own.ranks) for own in found)
    failed = sum(len(own.failed) for own in found)
    unconverged = sum(own.unconverged for own in found)
    said = (
        f"{len(found)} models were fitted to {fits:,} tables. Their 90% intervals cover the truth "
        f"in {covered(ranks, found[0].largest):.1%}, over {parameters:,} parameters. "
        f"{unconverged:,} fits did not converge, {failed:,} tables have no fit. "
    )
    named = [f"- `{own.case}`: {min(own.p_values, key=own.p_values.get)}." for own in outside]
    listed = "These have a p below " + f"{LEVEL}:\n\n" + "\n".join(named)
    return said + (listed if outside else f"None has a p below {LEVEL}.")


def _missing(cases: Sequence[str], of: int) -> str:
    """Name what was hardly asked yet: rows that say little would hide those that do."""
    named = ", ".join(f"`{case}`" for case in cases)
    if not cases:
        return "All were asked."
    return f"| Not asked {FEWEST} times yet: {len(cases)} of {of} |\n| --- |\n| {named} |"


def _row(case: str, own: Found) -> str:
    """Make the row of one case."""
    coverage, worst = list(own.coverage.values()), min(own.p_values, key=own.p_values.get)
    span = f"{np.mean(coverage):.1%} ({min(coverage):.0%} to {max(coverage):.0%})"
    p = f"**{own.p:.2g}**" if own.p < LEVEL else f"{own.p:.2g}"
    fits = f"{own.number}" + (f", {len(own.failed)} failed" if own.failed else "")
    return f"| {case} | {fits} | {span} | {p} {worst} | {own.unconverged} |"
