"""Names of columns: what they mean, the units that they state, and which may be meant."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayescale import words
from bayescale.errors import RunsError, UnnamedColumnError
from bayescale.runs.check import Check, doubt
from bayescale.runs.numbers import parse

SIZES = ("params", "tokens", "flops")
"""Counts of which the third follows from two: columns whose names are looked for."""

_OF_REPETITION = ("unique_tokens",)
"""How many of the tokens were different ones, where they were repeated."""

_OF_EXPERTS = ("active_params", "experts")
"""What compute counts of a model with experts, and their number."""

PF_DAY = 8.64e19
"""FLOPs of a day at 1e15 FLOP/s."""

_LETTERS = {"N": "params", "D": "tokens", "C": "flops", "L": "loss"}
_CORES = {
    "params": {"param", "params", "parameter", "parameters", "nparams", "numparams"},
    "tokens": {"token", "tokens", "ntokens", "numtokens", "toks"},
    "flops": {"flop", "flops", "compute"},
    "loss": {"loss", "losses", "ce", "xent", "nll", "crossentropy"},
}
_SAYS_NOTHING = {
    *("n", "num", "nr", "number", "of", "in", "total", "count", "seen", "the"),
    *("train", "trained", "training", "model", "run", "final"),
    *("config", "summary", "metrics", "metric", "result", "results"),
}
_OF_LOSSES = {
    *("val", "valid", "validation", "eval", "evaluation", "test", "dev", "heldout"),
    *("lm", "final", "in", "config", "summary", "metrics", "metric", "result", "results"),
}
_BESIDE = {"tokens": {"d"}, "flops": {"c", "budget"}}
_OTHERWISE = {
    "params": {"per", "active", "embedding", "emb", "log", "log10"},
    "tokens": {"per", "unique", "batch", "vocab", "max", "min", "context", "val", "eval", "test"},
    "flops": {"per", "s", "sec", "second", "utilization", "utilisation", "log", "log10"},
    "loss": {"std", "stderr", "sem", "se", "err", "error", "var", "aux", "balance", "weight"}
    | {"coef", "scale", "delta", "diff", "ratio", "increase", "spikes", "predicted", "fitted"},
}
"""Words with which a name means something else than what its core word says."""

_NO_EMBEDDINGS = {"non", "no", "without", "wo", "excluding", "excl"}
_COUNTED_IN = {
    **dict.fromkeys(("k", "thousand", "thousands"), 1e3),
    **dict.fromkeys(("m", "mm", "mio", "million", "millions"), 1e6),
    **dict.fromkeys(("b", "bn", "g", "billion", "billions"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion", "trillions"), 1e12),
}
_DAYS = (
    *("pfdays", "pfday", "pf days", "pf day", "pfs days", "pf s days", "pflop days"),
    *("pflops days", "pflop s days", "petaflop days", "petaflops days", "petaflop s days"),
)
_FLOPS_IN = {
    **dict.fromkeys(_DAYS, PF_DAY),
    **dict.fromkeys(("eflop", "eflops", "exaflop", "exaflops"), 1e18),
    **dict.fromkeys(("zflop", "zflops", "zettaflop", "zettaflops"), 1e21),
}
"""What says compute and its unit at once: TFLOPS and PFLOPS do not, they are mostly a speed."""

_LOSSES_IN = {
    "nats": "log (perplexity|ppl)|nats?( (per )?tok(en)?s?)?",
    "bpb": "bpb|bits? (per )?bytes?",
    "bpc": "bpc|bits? (per )?char(acter)?s?",
    "bits": "bpt|bits?( (per )?tok(en)?s?)?",
    "ppl": "pplx?|perplexit(y|ies)",
}
_ALONE = ("bpb", "bpc", "ppl")
"""Units that say of a column that it holds losses; bits may be those of weights."""

_LARGEST = {
    **dict.fromkeys(("params", "active_params"), 1e13),
    **dict.fromkeys(("tokens", "unique_tokens"), 1e15),
    "flops": 1e28,
}
"""What the median run does not reach in any table."""

_POWER = re.compile(r"x?(?:1e|e|10\^?)(\d{1,2})")


@dataclass(frozen=True)
class Meaning:
    """What the name of a column says.

    Parameters
    ----------
    ours : str
        Our name of it.
    unit : float or str or None
        What one unit of it is; of losses "nats", "bits", "bpb", "bpc" or "ppl". None where the name
        does not say.
    sure : bool
        Whether the name can mean nothing else.
    """

    ours: str
    unit: float | str | None = None
    sure: bool = True


@dataclass(frozen=True)
class Named:
    """A table whose columns have our names where we know them.

    Parameters
    ----------
    table : pandas.DataFrame
    theirs : mapping of str to str
        The table's own name of each column that was renamed.
    units : mapping of str to float
        Units that names of counts state.
    loss_unit : str or None
        Unit that the name of the losses states.
    doubts : tuple of Check
    """

    table: pd.DataFrame = field(repr=False)
    theirs: Mapping[str, str]
    units: Mapping[str, float]
    loss_unit: str | None
    doubts: tuple[Check, ...] = ()


def meaning(name: str) -> Meaning | None:
    """Read the name of a column.

    Parameters
    ----------
    name : str

    Returns
    -------
    Meaning or None
        None where it says nothing that runs are read for.

    Examples
    --------
    >>> meaning("train_tokens (B)")
    Meaning(ours='tokens', unit=1000000000.0, sure=True)
    >>> meaning("val/bpb")
    Meaning(ours='loss', unit='bpb', sure=True)
    >>> meaning("n_params_non_emb")
    Meaning(ours='params', unit=None, sure=False)
    """
    said = words_of(name)
    if not said:
        return None
    if said[0].upper() in _LETTERS and name.strip()[0].isupper():
        ours = _LETTERS[said[0].upper()]
        unit, rest = _split_unit(ours, said[1:])
        if not rest:
            return Meaning(ours, unit)
    if said[:2] == ["model", "size"] and (len(said) == 2 or _unit("params", said[-1])):
        return Meaning("params", _split_unit("params", said)[0])
    unit, rest = _split_unit("params", said)
    if rest == ["size"]:
        return Meaning("params", unit, sure=False)
    if found := _of_experts(said, unit, rest) or _of_repetition(unit, rest):
        return found
    for ours in ("loss", *SIZES):
        unit, rest = _split_unit(ours, said)
        kept = [w for w in rest if w not in (_OF_LOSSES if ours == "loss" else _SAYS_NOTHING)]
        named = _CORES[ours] & set(kept)
        more = set(kept) - _CORES[ours] - _BESIDE.get(ours, set())
        alone = unit in _ALONE or (unit == "nats" and "log" in said)
        alone = alone or (unit in ("nats", "bits") and _per_token(said, rest))
        alone = alone or (ours == "flops" and _states_compute(said, rest))
        if (named or alone) and not (more and _means_otherwise(ours, kept)):
            return Meaning(ours, unit, sure=not more)
    return None


def _of_experts(
    said: Sequence[str], unit: float | str | None, rest: Sequence[str]
) -> Meaning | None:
    """Read the names that only models with experts need: of active parameters, and their number."""
    kept = {*rest} - _SAYS_NOTHING
    active, params = kept & {"active", "activated"}, kept & _CORES["params"]
    if active and kept == active | params:
        return Meaning("active_params", unit, sure=bool(params))
    if {*said} - _SAYS_NOTHING in ({"experts"}, {"numexperts"}, {"nexperts"}):
        return Meaning("experts")
    return None


def _of_repetition(unit: float | str | None, rest: Sequence[str]) -> Meaning | None:
    """Read the names of how many tokens were different ones."""
    kept = {*rest} - _SAYS_NOTHING
    if "unique" in kept and kept <= {"unique", "data"} | _CORES["tokens"]:
        return Meaning("unique_tokens", unit, sure=bool(kept & _CORES["tokens"]))
    return None


def words_of(name: str) -> list[str]:
    """Split the name of a column into its words, in small letters.

    Parameters
    ----------
    name : str

    Returns
    -------
    list of str

    Examples
    --------
    >>> words_of("val/crossEntropy (B)")
    ['val', 'crossentropy', 'b']
    """
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    apart = re.sub(r"cross[^a-z0-9]?entropy", "crossentropy", apart)
    return [word for word in re.split(r"[^a-z0-9^]+", apart) if word]


def _states_compute(said: Sequence[str], rest: Sequence[str]) -> bool:
    """Say whether the unit alone says that this is compute: PF-days."""
    unit = said[len(rest) :] if list(said[: len(rest)]) == list(rest) else said[: -len(rest)]
    return " ".join(unit) in _FLOPS_IN


def _per_token(said: Sequence[str], rest: Sequence[str]) -> bool:
    """Say whether the unit alone says that this is a loss: bits are of numbers as well."""
    return any(word.startswith("tok") for word in {*said} - {*rest})


def _means_otherwise(ours: str, said: Sequence[str]) -> bool:
    without = ours == "params" and _NO_EMBEDDINGS & set(said)
    return not without and bool(_OTHERWISE[ours] & set(said))


def _split_unit(ours: str, said: Sequence[str]) -> tuple[float | str | None, list[str]]:
    """Take the unit off the words of a name: its last words, or its first ones."""
    for length in (3, 2, 1):
        for unit, rest in ((said[-length:], said[:-length]), (said[:length], said[length:])):
            if len(unit) == length and (found := _unit(ours, " ".join(unit))) is not None:
                return found, list(rest)
    return None, list(said)


def _unit(ours: str, text: str) -> float | str | None:
    if ours == "loss":
        return next((u for u, said in _LOSSES_IN.items() if re.fullmatch(said, text)), None)
    if ours == "flops" and text in _FLOPS_IN:
        return _FLOPS_IN[text]
    if power := _POWER.fullmatch(text):
        return float(f"1e{power[1]}")
    return _COUNTED_IN.get(text)


def candidates(table: pd.DataFrame, ours: str) -> dict[str, Meaning]:
    """Find the columns of a table that may be meant by a name of ours.

    Parameters
    ----------
    table : pandas.DataFrame
    ours : str

    Returns
    -------
    dict of str to Meaning
        In the order of the table, those whose name can mean nothing else first.
    """
    found = {}
    for name in map(str, table.columns):
        said = Meaning(ours) if "_".join(words_of(name)) == ours else meaning(name)
        if said and said.ours == ours and _may_be_numbers(table[name]):
            layers = name == "L" and (pd.to_numeric(table[name], errors="coerce") % 1 == 0).all()
            found[name] = Meaning(ours, said.unit, said.sure and not layers)
    letters = {name: ours for name, ours in _LETTERS.items() if name.lower() in table}
    for letter in [name.lower() for name, its in letters.items() if its == ours and not found]:
        found[letter] = Meaning(ours, sure=False)
    return dict(sorted(found.items(), key=lambda entry: not entry[1].sure))


def _may_be_numbers(values: pd.Series) -> bool:
    """Whether a cell begins as a number does: a column C may hold corpora."""
    if pd.api.types.is_numeric_dtype(values):
        return not pd.api.types.is_bool_dtype(values)
    return bool(values.astype(str).str.match(r"\s*[+-]?[.,]?\d").any())


def name_columns(
    raw: pd.DataFrame,
    columns: Mapping[str, str],
    response: str | None,
    units: Mapping[str, float],
) -> Named:
    """Give columns our names: as they were stated, and where the table has one that can be meant.

    Parameters
    ----------
    raw : pandas.DataFrame
    columns : mapping of str to str
        Our name to the table's own.
    response : str or None
        Column that must be there.
    units : mapping of str to float
        Stated units, by our names.

    Returns
    -------
    Named

    Raises
    ------
    RunsError
        For a mapping that does not fit the table, a table without rows, or one without a column
        of the response.
    """
    _require_mapping(raw, columns)
    # A mapped name wins over a column that happens to carry our name already.
    hidden = [ours for ours in columns if ours in raw.columns and ours not in columns.values()]
    table = raw.drop(columns=hidden).rename(columns={their: our for our, their in columns.items()})
    if table.columns.has_duplicates:
        twice = ", ".join(sorted(set(table.columns[table.columns.duplicated()])))
        raise RunsError(f"the table has more than one column named {twice}; rename one")
    if len(table) == 0:
        raise RunsError("the table has a header and no rows")
    if len(table.columns) == 1 and any(mark in table.columns[0] for mark in ";\t|"):
        raise RunsError(
            f"the table has one column, {table.columns[0]!r}: its separator is no comma; save it "
            "with commas, or read it with pandas and pass the table"
        )
    taken, doubts = _taken(table, response, units)
    table = table.rename(columns={theirs: ours for ours, theirs in taken.items()})
    if response is not None and response not in table:
        unit = "nats per token"
        if "accuracy" in table:
            unit += "; accuracies are read with --model task-accuracy-hierarchical"
        said = f" ({unit})" if response == "loss" else ""
        raise unnamed(table, response, f"the table has no column {response!r}{said}")
    theirs = {**columns, **taken}
    return Named(table, theirs, units_of(theirs), _loss_unit_of(theirs), doubts)


def units_of(theirs: Mapping[str, str]) -> dict[str, float]:
    """Read the units of counts in the names of their columns.

    Parameters
    ----------
    theirs : mapping of str to str
        The table's own names, by ours.

    Returns
    -------
    dict of str to float
        Of the counts whose names state one.

    Examples
    --------
    >>> units_of({"params": "params_M", "unique_tokens": "unique (B)", "tokens": "tokens"})
    {'params': 1000000.0, 'unique_tokens': 1000000000.0}
    """
    split = {ours: _split_unit(ours, words_of(name)) for ours, name in theirs.items()}
    return {
        ours: unit
        for ours, (unit, rest) in split.items()
        if ours in (*SIZES, "active_params", *_OF_REPETITION, "batch_tokens")
        and isinstance(unit, float)
        and (rest or ours == "flops")
    }


def _loss_unit_of(theirs: Mapping[str, str]) -> str | None:
    unit, _ = _split_unit("loss", words_of(theirs.get("loss", "")))
    return unit if isinstance(unit, str) else None


def _require_mapping(raw: pd.DataFrame, columns: Mapping[str, str]) -> None:
    for ours, theirs in columns.items():
        if theirs in raw.columns:
            continue
        if ours in raw.columns:
            raise RunsError(
                f"column mapping {ours}={theirs} looks reversed: the table has {ours!r} "
                f"and not {theirs!r}; write {theirs}={ours}"
            )
        raise RunsError(
            f"column mapping {ours}={theirs}: the table has no column {theirs!r}; "
            f"{words.did_you_mean(theirs, list(raw.columns))}"
        )
    if len(set(columns.values())) < len(columns):
        raise RunsError("two column mappings name the same column of the table; each needs its own")


def _taken(
    table: pd.DataFrame, response: str | None, units: Mapping[str, float]
) -> tuple[dict[str, str], tuple[Check, ...]]:
    """Choose columns that nobody named: each the only one that its name of ours can mean."""
    wanted = [*SIZES, *(["loss"] if response == "loss" else []), *_OF_REPETITION, *_OF_EXPERTS]
    found = {ours: candidates(table, ours) for ours in wanted if ours not in table}
    taken = {
        ours: next(iter(some))
        for ours, some in found.items()
        if len(some) == 1 and next(iter(some.values())).sure
    }
    doubts = []
    if "flops" in taken and not _agree(table, taken, units):
        doubts.append(_unread("flops", [taken.pop("flops")], "disagree with 6 × params × tokens"))
    if "run" not in table and (name := run_column(table)):
        taken["run"] = name
    known = {ours for ours in SIZES if ours in table or ours in taken}
    for ours in {*SIZES} - known if len(known) == 2 else ():
        sure = [name for name, said in found[ours].items() if said.sure or ours != "flops"]
        if sure and not doubts:
            doubts.append(_unread(ours, sure, "may be meant, and none was named"))
    doubts.extend(taken_by_name({ours: name for ours, name in taken.items() if ours != "run"}))
    return taken, tuple(doubts)


def taken_by_name(taken: Mapping[str, str]) -> tuple[Check, ...]:
    """Doubt columns that nobody named and whose names are not ours.

    Parameters
    ----------
    taken : mapping of str to str
        The table's own names, by ours.

    Returns
    -------
    tuple of Check
        Empty where all names are ours.
    """
    other = {ours: name for ours, name in taken.items() if name.lower() != ours}
    if not other:
        return ()
    said = ", ".join(f"{ours} from the column {name!r}" for ours, name in other.items())
    example = _options({next(iter(other)): "YOURS"})  # all of them were said just now
    return (
        doubt(
            "column names",
            f"{said} by its name" if len(other) == 1 else f"{said} by their names",
            f"Name them yourself if others are meant: {example}.",
        ),
    )


def run_column(table: pd.DataFrame) -> str | None:
    """Find the column that names runs; of W&B's export that is Name, or ID where names repeat.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    str or None
        None where there is none. Names of any other table that repeat may be those of models.
    """
    spelled = {str(name).lower().replace(" ", "_"): str(name) for name in table.columns}
    exported = {"state", "runtime", "_step", "_runtime", "created"} & set(spelled)
    names = ("run_name", "run_id", "name", *(("id",) if exported else ()))
    found = [spelled[name] for name in names if name in spelled]
    apart = [name for name in found if table[name].notna().all() and table[name].is_unique]
    known = [name for name in found if exported or name != spelled.get("name")]
    return next(iter([*apart, *known]), None)


def _agree(table: pd.DataFrame, taken: Mapping[str, str], units: Mapping[str, float]) -> bool:
    """Say whether compute is near 6ND, where the table has all three of them."""
    names = {ours: taken.get(ours, ours) for ours in SIZES}
    if not set(names.values()) <= set(table.columns):
        return True
    if (active := taken.get("active_params", "active_params")) in table:
        names = {"active_params": active, **{ours: names[ours] for ours in ("tokens", "flops")}}
    scale = {**units_of(names), **units}
    n, d, c = (
        parse(table[name], counts=scale.get(ours, 1.0) == 1.0) * scale.get(ours, 1.0)
        for ours, name in names.items()
    )
    if active not in table and (number := taken.get("experts", "experts")) in table:
        n = n.mask(parse(table[number]) > 1)  # all parameters: compute counts fewer of them
    ratio = (c / (6 * n * d)).median()
    return bool(np.isnan(ratio) or 0.2 < ratio < 5)


def _unread(ours: str, names: Sequence[str], why: str) -> Check:
    return doubt(
        "a column that was not read",
        f"{ours} are filled by C = 6ND: {' and '.join(map(repr, names))} {why}",
        f"If {ours} are meant, pass {_options({ours: names[0]})}, with its unit.",
    )


def _options(columns: Mapping[str, str]) -> str:
    """Spell a choice of columns as options of the command line, and in Python."""
    spelled = [f"--column {shlex.quote(f'{ours}={name}')}" for ours, name in columns.items()]
    inside = ", ".join(f'"{ours}": "{name}"' for ours, name in columns.items())
    return f"{' '.join(spelled)} (in Python columns={{{inside}}})"


def unit_option(ours: str, factor: float) -> str:
    """Spell the unit of a column as an option of the command line, and in Python.

    Parameters
    ----------
    ours : str
    factor : float

    Returns
    -------
    str

    Examples
    --------
    >>> unit_option("tokens", 1e9)
    '--unit tokens=1e9 (in Python units={"tokens": 1e9})'
    """
    number = f"{factor:g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    return f'--unit {ours}={number} (in Python units={{"{ours}": {number}}})'


def _names_or_another_way(table: pd.DataFrame, needed: str) -> str:
    """Name all columns, or for a table without losses the command that reads what it has."""
    names = list(map(str, table.columns))
    shares = [name for name in names if {"acc", "accuracy"} & set(words_of(name))]
    counts = [name for name in table.select_dtypes("number") if name not in shares]
    if needed == "loss" and shares and counts:
        axis = next((name for name in counts if name in SIZES), counts[0])
        apart = [name for name in names if name not in (*counts, *shares)]
        one = "task" if "task" in apart else apart[0] if apart else ""
        by = f" --by {shlex.quote(one)}" if one else ""
        return (
            f"If {shares[0]!r} is an accuracy, ask bayescale curves FILE --x {shlex.quote(axis)} "
            f"--y {shlex.quote(shares[0])} --higher-is-better{by}, or fit accuracies of tasks with "
            "--model task-accuracy-hierarchical."
        )
    if needed == "loss" and (long := _made_long(table)):
        return long
    advice = f"The columns are {', '.join(names)}: pass {_options({needed: 'YOURS'})}."
    if needed == "loss" and len(names) == 2:
        axis, value = (shlex.quote(name) for name in names)
        advice += f" For one curve ask bayescale curves FILE --x {axis} --y {value}."
    if needed == "loss" and {"params", "tokens"} <= set(names):
        advice += " Plans without losses are for bayescale plan FIT plans FILE."
    return advice


def _made_long(table: pd.DataFrame) -> str:
    """Say how losses with a column for each budget, named by numbers, become a row for each run."""
    numbers = parse(pd.Series(table.columns, dtype=object), counts=True)
    named = (numbers >= 1e3).to_numpy()  # fewer are the numbers of columns that have no names
    if named.sum() < 2:
        return ""
    first = named.argmax()
    kept = f"table.columns[:{first}]" if named[first:].all() else '["YOURS"]'
    axis = "tokens" if "params" in table else "params"
    axis = "flops" if numbers[named].min() >= 1e15 else axis
    shown = ", ".join(map(str, table.columns[named]))
    blank = '.dropna(subset="loss")' if table.loc[:, named].isna().any(axis=None) else ""
    return (
        f"Names of columns are numbers: {shown}. If these hold losses, make a row of each, in "
        f'Python table.melt({kept}, var_name="{axis}", value_name="loss"){blank}.'
    )


def unnamed(table: pd.DataFrame, needed: str, finding: str) -> UnnamedColumnError:
    """Say which columns of a table may be meant by one that it lacks, as ready options.

    Parameters
    ----------
    table : pandas.DataFrame
    needed : str
        Our name.
    finding : str

    Returns
    -------
    UnnamedColumnError
        To raise, with all columns to name, those of other counts that the table lacks included.
    """
    known = [ours for ours in SIZES if ours in table]
    lacking = [needed, *(ours for ours in SIZES if ours not in (*known, needed))]
    found = {ours: candidates(table, ours) for ours in lacking[: 1 if len(known) > 1 else None]}
    found = {ours: some for ours, some in found.items() if some}
    if needed not in found:
        return UnnamedColumnError(finding, _names_or_another_way(table, needed), {})
    first = {ours: next(iter(some)) for ours, some in found.items()}
    others = [repr(name) for ours in found for name in found[ours] if name != first[ours]]
    asked = " and ".join(map(repr, first.values()))
    asked += f", or {', '.join(others[:6])}" if others else ""
    sure = all(len(some) == 1 or sum(m.sure for m in some.values()) == 1 for some in found.values())
    return UnnamedColumnError(
        finding,
        f"{'Is it' if len(first) == 1 else 'Are they'} {asked}? Then pass {_options(first)}.",
        first if sure else {},
    )


def accuracy_as_loss(named: Named) -> list[Check]:
    """Doubt a loss that is an accuracy by its name: laws of losses fall, and accuracies rise.

    Parameters
    ----------
    named : Named

    Returns
    -------
    list of Check
    """
    theirs = str(named.theirs.get("loss", "loss"))
    said = {*words_of(theirs)}
    if not said & {"acc", "accuracy"} or said & {"error", "err", "loss", "nll"}:
        return []
    return [
        doubt(
            "an accuracy as the loss?",
            f"the loss is the column {theirs!r}, an accuracy by its name: a loss falls with scale",
            f"Ask bayescale curves FILE --x COLUMN --y {shlex.quote(theirs)} --higher-is-better, "
            "or fit accuracies of tasks with --model task-accuracy-hierarchical.",
        )
    ]


def require_agreement(table: pd.DataFrame, named: Named, stated: Mapping[str, float]) -> None:
    """Refuse counts that are too large for the unit that the name of their column states.

    Parameters
    ----------
    table : pandas.DataFrame
        Of our names, units applied.
    named : Named
    stated : mapping of str to float
        Units that do not come from a name.

    Raises
    ------
    RunsError
        If the median count is larger than any.
    """
    for ours, unit in named.units.items():
        median = table[ours].median()
        many = unit >= 1e6 and median / unit >= 1e7 and ours != "flops"
        if ours not in stated and (median > _LARGEST[ours] or many):
            raise RunsError(
                f"the column {named.theirs[ours]!r} says by its name that one unit is {unit:.3g} "
                f"{ours}, and its median is {median / unit:.3g}: that is no number of {ours}",
                f"If these are plain counts, pass --unit {ours}=1 (in Python "
                f'units={{"{ours}": 1}}).',
            )
