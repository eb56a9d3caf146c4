"""What a question answers: draws, their numbers for scripts, and the sentences that say them.

Numbers are plain JSON: quantities as {"median", "q05", "q95"}, null where one is unbounded or does
not exist. Intervals are central 90%.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import xarray as xr

from bayescale import words
from bayescale.decisions.prices import Prices
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.files import SCHEMA, plain, to_json
from bayescale.laws import LOSS, Response
from bayescale.posterior.fit import Fit
from bayescale.runs.check import task_check

FAR = 1.5
"""Decades beyond the runs from which on kernels that fit them alike say different things."""

TWICE = np.log10(2)
"""Decades beyond the runs along an axis from which on an answer says so: a factor of two."""

_STANDING = ("converged", "problems", "failed", "schema")  # said by caveats

_SHORT = 40  # letters of a name in a table

type Quantity = dict[str, float | None]
"""Median, q05 and q95; None where one is unbounded."""


@dataclass(frozen=True, repr=False)
class Answer(Shown):
    """Draws, numbers and sentences that say one thing.

    Parameters
    ----------
    draws : xarray.Dataset or None
        What the numbers summarise, dims (chain, draw, ...); None where they are of no draws.
    numbers : dict
        For scripts; `to_json` writes null for what is infinite or not defined.
    sentences : tuple of str
        For people.
    caveats : tuple of str
        What speaks against all of it, to be said first: a sampler that did not converge, checks
        that FAILed.
    """

    draws: xr.Dataset | None
    numbers: dict[str, Any]
    sentences: tuple[str, ...]
    caveats: tuple[str, ...] = ()

    @classmethod
    def by(
        cls,
        *fits: Fit,
        numbers: dict[str, Any],
        sentences: Iterable[str],
        draws: xr.Dataset | None = None,
    ) -> Self:
        """Answer by some fits: their problems and failed checks are numbers and caveats of it.

        Parameters
        ----------
        fits : Fit
        numbers : dict
        sentences : iterable of str
        draws : xarray.Dataset, optional

        Returns
        -------
        Answer
        """
        problems = problems_of(*fits)
        failures = {name: said for fit in fits for name, said in fit.failures.items()}
        caveats = (
            *unconverged(problems),
            *(
                f"FAIL {name}: {said}. Read why in the report before you decide."
                for name, said in failures.items()
                if name != "convergence"  # said already, of the fit as it is
            ),
        )
        standing = {**convergence(problems, *fits), "failed": list(failures)}
        return cls(draws, plain({**standing, **numbers}), tuple(sentences), caveats)

    def _parts(self) -> Iterator[Part]:
        yield from map(Bold, self.caveats)
        yield from _headed(self.sentences)
        said = {*_STANDING, *self.record.keys() - self.numbers.keys()}
        yield from _grids({n: v for n, v in self.numbers.items() if n not in said})

    def __str__(self) -> str:
        return "\n".join((*self.caveats, *self.sentences))

    @property
    def record(self) -> dict[str, Any]:
        """Numbers, sentences and caveats, as one part of a larger answer has them."""
        return {
            **self.numbers,
            "sentences": list(self.sentences),
            "caveats": list(self.caveats),
        }

    def to_json(self) -> str:
        """Write numbers, sentences and caveats, and the version of their schema."""
        return to_json({"schema": SCHEMA, **self.record})


def _headed(sentences: Iterable[str]) -> Iterator[Part]:
    """Make a heading of a line that is followed by lines of its own, which are indented."""
    for line, following in pairwise((*sentences, "")):
        own = following.startswith(" ") and not line.startswith(" ")
        yield Bold(line) if own else line


def _grids(numbers: dict[str, Any]) -> Iterator[Part]:
    """Lay numbers out: those that stand alone, then each list of entries as a table of its own.

    What an entry has of entries is shown where it is the only one.
    """
    parts = {name: value for name, value in numbers.items() if _is_list(value)}
    if alone := _table([numbers]):
        yield alone
    for name, entries in parts.items():
        if len(entries) == 1:
            yield from _grids(entries[0])
        elif table := _table(entries):
            yield from (f"{name}:", table)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(own, dict) for own in value)


def _table(entries: list[dict[str, Any]]) -> Grid | None:
    """Write entries as a table: a row each, or a column each where they have more numbers."""
    written = [{n: _write(n, value) for n, value in entry.items()} for entry in entries]
    names = [
        n
        for n in dict.fromkeys(n for own in written for n in own)
        if any(own.get(n) for own in written)
    ]
    rows = [[own.get(name, "") for name in names] for own in written]
    if not names:
        return None
    if len(rows) >= len(names):
        return Grid(names, rows)
    head, *rest = zip(names, *rows, strict=True)
    return Grid(head, rest) if len(entries) > 1 else Grid(("quantity", "value"), [head, *rest])


def _write(name: str, value: Any) -> str:
    """Write a number of an answer, with its interval if it has one; empty for what holds more."""
    if isinstance(value, dict) and value.keys() == {"median", "q05", "q95"}:
        return interval_of(value, lambda number: words.number(name, number))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return words.chance(value) if _is_chance(name) else words.number(name, value)
    short = isinstance(value, str) and len(value) <= _SHORT  # sentences were said
    return value if short else ""


def _is_chance(name: str) -> bool:
    """Whether a number is a probability, by its name; that of a p-value is one of no draws."""
    return name == "probability" or (name.startswith("p_") and name not in ("p_loo", "p_value"))


def problems_of(*fits: Fit | None) -> list[str]:
    """Say what speaks against the convergence of each fit; nothing of constants.

    Parameters
    ----------
    fits : Fit or None

    Returns
    -------
    list of str
        Each begins with the name of its model.
    """
    return [
        f"{fit.spec.name}: {problem}" for fit in fits if fit is not None for problem in fit.problems
    ]


def unconverged(problems: Iterable[str]) -> tuple[str, ...]:
    """Say before the numbers that they must not be used.

    Parameters
    ----------
    problems : iterable of str

    Returns
    -------
    tuple of str
        One sentence; empty where there is no problem.
    """
    said = "; ".join(problems)
    return (f"not converged, do not use these numbers: {said}",) if said else ()


def convergence(problems: Iterable[str], *fits: Fit) -> dict[str, Any]:
    """Say in JSON whether the numbers beside it can be used; null of what was not sampled.

    Parameters
    ----------
    problems : iterable of str
    fits : Fit
        That were asked; constants alone were not sampled.

    Returns
    -------
    dict
        ``converged`` and ``problems``.
    """
    found = list(problems)
    sampled = not fits or any(fit.sampled for fit in fits)
    return {"converged": not found if sampled else None, "problems": found}


def each_group(fit: Fit, ask: Callable[[Fit], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Ask a fit, or each of its groups; every entry names its group.

    Parameters
    ----------
    fit : Fit
    ask : callable
        Answers for a fit without groups, by a list of entries.

    Returns
    -------
    list of dict
        Entries with the key ``group``, None where there are no groups.
    """
    if not fit.groups:
        return [{"group": None, **entry} for entry in ask(fit)]
    return [{"group": name, **entry} for name in fit.groups for entry in ask(fit.of_group(name))]


def of_group(entry: dict[str, Any]) -> str:
    """Open a sentence about an entry of `each_group`.

    Parameters
    ----------
    entry : dict

    Returns
    -------
    str
        Empty where there are no groups.
    """
    return "" if entry["group"] is None else f"{entry['group']}. "


def parts_of(
    value: Quantity,
    write: Callable[[float], str],
    span: Callable[[float, float], str] | None = None,
    *,
    unit: str = "",
) -> tuple[str, str]:
    """Write median and interval apart, for the lines of a table; unbounded ends in words.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.
    write : callable
        Writes one number.
    span : callable, optional
        Writes the two ends.
    unit : str, optional
        Of what it is a number.

    Returns
    -------
    median, interval : str
        The interval is empty of one draw, and where an end is unbounded.
    """
    low, middle, high = (value[name] for name in ("q05", "median", "q95"))
    if low is None and high is not None:
        return f"at most {write(high)}", ""
    if low is None or middle is None:
        return f"an unbounded number of {unit}".rstrip() if unit else "unbounded", ""
    if high is None:
        return f"at least {write(low)}", ""
    said = " ".join(filter(None, (write(middle), unit)))
    if np.isclose(low, high, rtol=1e-12, atol=0.0):
        return said, ""
    return said, f"{write(low)} to {write(high)}" if span is None else span(low, high)


def interval_of(
    value: Quantity,
    write: Callable[[float], str],
    span: Callable[[float, float], str] | None = None,
    *,
    unit: str = "",
) -> str:
    """Write median and interval in one line; of one draw the value alone.

    Parameters as in `parts_of`.

    Returns
    -------
    str
    """
    said, ends = parts_of(value, write, span, unit=unit)
    return f"{said} ({ends})" if ends else said


def count_of(value: Quantity, unit: str = "") -> str:
    """Write a count, of something if it is named, with its interval.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.
    unit : str, optional

    Returns
    -------
    str

    Examples
    --------
    >>> count_of({"median": 70.2e9, "q05": 60.1e9, "q95": 88.4e9}, "parameters")
    '70.2B parameters (60.1 to 88.4B)'
    """
    return interval_of(value, words.count, words.span, unit=unit)


def flops_of(value: Quantity) -> str:
    """Write FLOPs with their interval.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.

    Returns
    -------
    str
    """
    return interval_of(value, words.flops)


def number_of(value: Quantity, digits: int = 3) -> str:
    """Write a plain number with its interval.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.
    digits : int, optional
        Significant ones.

    Returns
    -------
    str
    """
    return interval_of(value, lambda number: words.significant(number, digits))


def share_of(value: Quantity) -> str:
    """Write a share in percent with its interval.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.

    Returns
    -------
    str
    """
    return interval_of(value, lambda number: f"{number:.1%}")


def loss_of(loss: Quantity) -> str:
    """Write a loss with its interval.

    Parameters
    ----------
    loss : dict
        Median, q05 and q95.

    Returns
    -------
    str
    """
    return f"{loss['median']:.3f} ({loss['q05']:.3f} to {loss['q95']:.3f})"


def response_of(value: Quantity, response: Response) -> str:
    """Write what a law says of a run, with its interval and its unit.

    Parameters
    ----------
    value : dict of str to float
    response : Response

    Returns
    -------
    str
    """
    return interval_of(value, response_writer(response), unit=response.unit)


def response_writer(response: Response) -> Callable[[float], str]:
    """Return what writes values of a response, without their unit: shares in percent.

    Parameters
    ----------
    response : Response

    Returns
    -------
    callable
    """
    if response.scale == "share":
        return lambda share: f"{share:.1%}"
    return lambda number: words.count(number, 4)


def negated(value: Quantity) -> Quantity:
    """Turn what is saved into what it costs more; unbounded where nothing is saved any more.

    Parameters
    ----------
    value : dict
        Median, q05 and q95.

    Returns
    -------
    dict
        The same of the number with its sign turned.
    """
    low, middle, high = (value[name] for name in ("q05", "median", "q95"))
    turn = {"q05": high, "median": middle, "q95": low}
    return {name: None if number is None else -number for name, number in turn.items()}


def amount(value: float, unit: str) -> str:
    """Write FLOPs as FLOPs are written, and money as money.

    Parameters
    ----------
    value : float
    unit : str
        "FLOPs", or a sign of money.

    Returns
    -------
    str
    """
    return f"{words.flops(value)} FLOPs" if unit == "FLOPs" else f"{unit}{words.count(value)}"


def priced(prices: Prices) -> list[str]:
    """Say what money buys, so that an amount can be checked; nothing of costs in FLOPs.

    Parameters
    ----------
    prices : Prices

    Returns
    -------
    list of str
    """
    if prices.unit == "FLOPs":
        return []
    training, serving = (
        amount(1e21 * one, prices.unit) for one in (prices.training, prices.serving)
    )
    basis = f" ({prices.basis})" if prices.basis else ""
    return [f"Prices: 1e21 FLOPs of training cost {training}, of serving {serving}{basis}."]


def distance(decades: float | None, *, bends: bool) -> str:
    """Say how far out an answer lies, and what its interval takes for true.

    Parameters
    ----------
    decades : float or None
        Above the largest run, negative below the smallest, 0 inside; None without runs.
    bends : bool
        Whether the law that answered may bend.

    Returns
    -------
    str
    """
    if decades is None:
        return "These are given constants: there are no runs to compare with."
    if decades == 0:
        return "Inside the range of the runs."
    side = "above the largest" if decades > 0 else "below the smallest"
    out = f"Extrapolation: {words.significant(abs(decades), 2)} decades {side} fitted run"
    if bends and abs(decades) > FAR:
        return (
            f"{out}. So far out the assumed smoothness decides, not the runs. Read the interval "
            "as the range of what the runs allow."
        )
    if bends:
        return f"{out}; the interval allows for a law that bends on the way."
    return f"{out}, so the interval holds only if the law does."


def beside_exact(
    entry: dict[str, Any],
    exact: dict[str, Quantity] | None,
    names: Iterable[str] = ("params", LOSS.column),
) -> dict[str, Any] | None:
    """Add to what the exact law says whether the two disagree: 90% intervals without overlap.

    Parameters
    ----------
    entry : dict
        Quantities that the law itself says.
    exact : dict or None
        The same of the exact law.
    names : iterable of str
        Quantities of which it is asked.

    Returns
    -------
    dict or None
        Those of the exact law, and ``disagrees``.
    """
    if exact is None:
        return None
    apart = (
        max(entry[name]["q05"], exact[name]["q05"]) > min(entry[name]["q95"], exact[name]["q95"])
        for name in names
    )
    return {**exact, "disagrees": any(apart)}


@dataclass(frozen=True)
class Tested:
    """What a backtest of the runs tells of answers beyond them.

    Parameters
    ----------
    farthest : float
        Decades beyond the fitted runs up to which it predicted others.
    says : callable
        Says of an answer so many decades beyond the runs what was held there.
    """

    farthest: float
    says: Callable[[float], str]


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth.

    Parameters
    ----------
    word : str
        "unusable" (the sampler did not converge), "doubtful" (a check FAILed), "assumed" (given
        constants), "supported" (within the runs), "tested" (beyond them, and a backtest reached so
        far), "untested" (beyond what was tested, or of other tokens per parameter than any run), or
        "speculative" (so far beyond that no run speaks for it).
    reason : str
        Why, one sentence.
    """

    word: str
    reason: str


def verdict_of(
    fit: Fit, decades: float | None, tested: Tested | None, ratio: float | None = None
) -> Verdict:
    """Judge an answer by what discredits it, and else by how far it lies beyond the runs.

    Parameters
    ----------
    fit : Fit
    decades : float or None
        Above the largest run, negative below the smallest, 0 inside; None without runs.
    tested : Tested or None
    ratio : float, optional
        The same of its tokens per parameter, where it has some.

    Returns
    -------
    Verdict
    """
    if fit.problems:
        return Verdict("unusable", "The sampler did not converge.")
    if fit.failures:
        count = "A check" if len(fit.failures) == 1 else f"{len(fit.failures)} checks"
        return Verdict("doubtful", f"{count} failed: {', '.join(fit.failures)}.")
    if decades is None:
        return Verdict("assumed", "Given constants, no runs.")
    if abs(decades) <= FAR and ratio is not None and abs(ratio) > TWICE:
        few = "many" if ratio > 0 else "few"
        return Verdict("untested", f"No run has nearly as {few} tokens per parameter.")
    if decades == 0:
        return Verdict("supported", "Inside the range of the runs.")
    if abs(decades) > FAR:
        return Verdict("speculative", "So far out assumptions decide more than runs.")
    if decades < 0 or tested is None:
        return Verdict("untested", "No backtest reaches there.")
    if decades <= tested.farthest:
        return Verdict("tested", "Backtests reach as far.")
    reached = words.times_out(tested.farthest)
    return Verdict("untested", f"Backtests reach to {reached}.")


def without_other_tasks(fit: Fit, tasks: Iterable[str]) -> Fit:
    """Forget checks that failed of other tasks than those that an answer is of.

    Parameters
    ----------
    fit : Fit
    tasks : iterable of str
        Groups of the fit.

    Returns
    -------
    Fit
    """
    kept = set(tasks)
    others = {task_check(name) for name in fit.groups if name not in kept}
    if not others & fit.failures.keys():
        return fit
    return fit.with_failures({n: said for n, said in fit.failures.items() if n not in others})


def standing(fit: Fit, entry: dict[str, Any], tested: Tested | None) -> dict[str, Any]:
    """Add to an answer what a backtest tells of it, what it is worth, and which checks FAILed.

    Parameters
    ----------
    fit : Fit
    entry : dict
        With ``decades_beyond``, and with ``beyond`` where it is of a best size.
    tested : Tested or None

    Returns
    -------
    dict
        The entry with ``tested``, a sentence or None, ``verdict`` and ``failed``.
    """
    if entry.get("group") is not None:
        fit = without_other_tasks(fit, [entry["group"]])
    decades = entry["decades_beyond"]
    asked = tested is not None and decades is not None and decades > 0
    ratio = entry.get("beyond", {}).get("tokens_per_param")
    return {
        **entry,
        "tested": tested.says(decades) if tested is not None and asked else None,
        "verdict": asdict(_no_best(entry) or verdict_of(fit, decades, tested, ratio)),
        "failed": list(fit.failures),
    }


def _no_best(entry: dict[str, Any]) -> Verdict | None:
    if entry.get("without_optimum", 0.0) <= 0.5:
        return None
    return Verdict("doubtful", "In most draws no size is best.")


def reliability(
    entry: dict[str, Any], write: Callable[[dict[str, Any]], str], outside: str = ""
) -> str:
    """Say how far out an answer lies, what the exact law would say, and what was tested.

    Parameters
    ----------
    entry : dict
        Of `standing`, with ``bends`` and ``exact``.
    write : callable
        Writes what the exact law says.
    outside : str, optional
        Says more of where the answer lies.

    Returns
    -------
    str
    """
    said = distance(entry["decades_beyond"], bends=entry["bends"]) + outside
    exact = entry["exact"]
    if exact is not None and exact["disagrees"]:
        said += (
            f" The law taken as exact disagrees: {write(exact)}. The runs do not obey it "
            "exactly, so weigh both before you decide."
        )
    elif exact is not None and entry["decades_beyond"]:
        said += f" Taken as exact the law says {write(exact)}."
    return f"{said} {entry['tested']}" if entry["tested"] else said
