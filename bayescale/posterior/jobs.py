"""Fits to make: one by one, or as a file lists them."""

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.errors import BayescaleError, FitError, RunsError
from bayescale.files import from_toml
from bayescale.modelling.spec import ModelSpec, load_model
from bayescale.runs.reading import to_text
from bayescale.runs.table import Runs, read_runs, read_table
from bayescale.runs.tasks import read_tasks

_model = lru_cache(load_model)


@dataclass(frozen=True)
class Job:
    """One fit to make.

    Parameters
    ----------
    runs : Runs, pandas.DataFrame or path
    model : str, path or ModelSpec
    seed : int
    settings : mapping of str to Any, optional
        Other options of `bayescale.fit`: draws, tune, chains, group, columns, ...
    name : str, optional
        For people.
    """

    runs: Runs | pd.DataFrame | str | Path = field(repr=False)
    model: str | Path | ModelSpec = "joint"
    seed: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @cached_property
    def spec(self) -> ModelSpec:
        """Model, loaded."""
        return self.model if isinstance(self.model, ModelSpec) else _model(str(self.model))

    @cached_property
    def digest(self) -> str:
        """What tells this fit from others: of the runs, the model, the seed and the settings.

        A law's own code counts where it is no law of this package.
        """
        spec, law = self.spec, self.spec.law
        ours = law.function.__module__.startswith("bayescale.")
        model = {own.name: getattr(spec, own.name) for own in fields(spec) if own.name != "law"}
        parts = (
            *(_content(self.runs), self.seed),
            sorted((name, repr(value)) for name, value in self.settings.items()),
            *(law.name, "" if ours else inspect.getsource(law.function), model),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()


_OWN = ("table", "model", "name", "where", "by", "seed")
_OF_FIT = ("group", "draws", "tune", "chains", "target_accept", "backend")
_PAIRS = ("columns", "units", "chance", "trials")  # in a file of rows: params=N,tokens=D


@typed
def read_jobs(path: str | Path) -> list[Job]:
    """Read a list of fits.

    A TOML file has a part ``[[fits]]`` for each, above them what holds for all. A CSV file or JSON
    lines have a row for each. Entries: ``table``, a file beside the list; ``model``; ``name``;
    ``where``, which rows; ``by``, a column of which each value is fitted alone; ``seed``;
    ``draws``, ``tune``, ``chains``, ``group``, ``backend`` as in `bayescale.fit`, and how to read
    the table as in `bayescale.read_runs` or `bayescale.read_tasks`.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of Job

    Raises
    ------
    BayescaleError
        If the list, a table or a model cannot be read, an entry is unknown, or there are no fits.
    """
    path, jobs = Path(path), []
    for number, entries in enumerate(_entries(path), 1):
        try:
            jobs += _jobs_of(entries, path.parent)
        except BayescaleError as error:
            raise FitError(f"{path}: fit {number}: {error.finding}", error.advice) from error
    if not jobs:
        raise FitError(f"{path}: it lists no fits; write a part [[fits]] with a table for each")
    return jobs


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Read what the list says of each fit."""
    if path.suffix != ".toml":
        rows = read_table(path)
        for row in rows.to_dict("records"):
            yield {name: _pairs(name, value) for name, value in row.items() if not pd.isna(value)}
        return
    try:
        said = from_toml(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FitError(f"{path}: cannot be read as TOML ({error})") from error
    each = said.pop("fits", [])
    if not isinstance(each, list) or not all(isinstance(one, dict) for one in each):
        raise FitError(f"{path}: fits are parts of their own; write [[fits]] above each")
    yield from ({**said, **own} for own in each)


def _pairs(name: str, value: Any) -> Any:
    if name not in _PAIRS or not isinstance(value, str):
        return value
    pairs = (entry.partition("=") for entry in value.split(","))
    return {ours: json.loads(to) if name != "columns" else to for ours, _, to in pairs}


def _jobs_of(entries: dict[str, Any], folder: Path) -> list[Job]:
    """Make the jobs of one entry: one for each value of ``by``."""
    known = dict.fromkeys((*_OWN, *_OF_FIT, *_options(read_runs), *_options(read_tasks)))
    for name in entries:
        if name not in known:
            raise RunsError(f"unknown entry {name!r}; {words.did_you_mean(name, list(known))}")
    own = {name: entries.get(name) for name in _OWN}
    if not isinstance(own["table"], str):
        raise RunsError("no table; name a file, as in table = 'runs.csv'")
    table = _table(folder / own["table"], own["where"])
    model = str(own["model"] or "joint")
    beside = folder / model
    settings = {name: value for name, value in entries.items() if name not in _OWN}
    job = Job(
        table,
        _model(str(beside) if beside.suffix == ".toml" and beside.is_file() else model),
        1 if own["seed"] is None else int(own["seed"]),
        {name: _whole(value) for name, value in settings.items()},
        str(own["name"] or Path(own["table"]).stem),
    )
    if own["by"] is None:
        return [job]
    if own["by"] not in table:
        near = words.did_you_mean(str(own["by"]), list(map(str, table.columns)))
        raise RunsError(f"by: the table has no column {own['by']!r}; {near}")
    parts = table.groupby(own["by"], sort=False)
    return [replace(job, runs=part, name=f"{job.name} {value}") for value, part in parts]


def _options(read: Any) -> list[str]:
    return [name for name in inspect.signature(read).parameters if name not in ("source", "where")]


def _whole(value: Any) -> Any:
    """Take numbers of a column with gaps, which are all floats, as the whole numbers they are."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@lru_cache
def _table(path: Path, where: str | None) -> pd.DataFrame:
    table = read_table(path, where=where)
    table.attrs |= {"source": path.name}
    return table


def _content(runs: Runs | pd.DataFrame | str | Path) -> str:
    """Digest of a table: all of its cells, and how runs that are read already were read."""
    if isinstance(runs, str | Path):
        try:
            return hashlib.sha256(Path(runs).read_bytes()).hexdigest()
        except OSError as error:
            raise FitError(f"{runs}: cannot be read ({error.strerror}); name a table") from error
    how: tuple[Any, ...] = ()
    if isinstance(runs, Runs):
        how = (runs.params_are, runs.counted, runs.settings, runs.unit)
        runs = runs.table
    return hashlib.sha256(f"{to_text(runs)}{how}".encode()).hexdigest()
