"""Many fits: by all cores or a cluster, in order, kept as they end, resumed where they were."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import cloudpickle
import pandas as pd

from bayescale import words
from bayescale.arguments import typed
from bayescale.display import Bold, Grid, Part, Shown
from bayescale.errors import FitError, RunsWarning
from bayescale.files import make_folder, plain
from bayescale.posterior.describe import diagnostic_numbers, parameter_numbers
from bayescale.posterior.fit import Fit
from bayescale.posterior.fitting import fit
from bayescale.posterior.jobs import Job
from bayescale.posterior.loading import load_fit
from bayescale.progress import showing, step
from bayescale.workers import KILLED, Called, spread

CONVERGED, UNCONVERGED, FAILED = "converged", "not converged", "failed"
"""What came of a fit."""

RECORDS = "fits.jsonl"
"""File of the records in the folder of a batch, a line a fit."""


@dataclass(frozen=True)
class FitRecord:
    """What is kept of one fit.

    Parameters
    ----------
    name, digest, model : str
    seed : int
    status : str
        "converged", "not converged" or "failed".
    reason : str
        Why it did not converge, or failed.
    parameters : mapping of str to mapping of str to float
        ``median``, ``q05``, ``q95``, ``mean``, ``sd``, ``r_hat`` and ``ess_bulk`` of each.
    diagnostics : mapping of str to Any, or None
        Of the sampler; None where it failed.
    notices : sequence of str
        What looks doubtful in the runs.
    draws : str
        SHA-256 of all draws: equal where two fits drew the same.
    seconds : float
        Of the whole fit.
    answer : Any
        What `ask` returned.
    fit : str or None
        File of the fit, where it is kept.
    """

    name: str
    digest: str
    model: str
    seed: int
    status: str
    reason: str = ""
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict, repr=False)
    diagnostics: Mapping[str, Any] | None = field(default=None, repr=False)
    notices: Sequence[str] = field(default_factory=list, repr=False)
    draws: str = field(default="", repr=False)
    seconds: float = 0.0
    answer: Any = None
    fit: str | None = None

    def load(self) -> Fit:
        """Read the fit itself.

        Returns
        -------
        Fit

        Raises
        ------
        FitError
            If it was not kept.
        """
        if self.fit is None:
            raise FitError(f"{self.name}: this fit was not kept; give fit_many a folder and keep")
        return load_fit(self.fit)


@dataclass(frozen=True, repr=False)
class Many(Shown, Sequence[FitRecord]):
    """Records of many fits, in the order of their jobs.

    Parameters
    ----------
    each : tuple of FitRecord
    """

    each: tuple[FitRecord, ...]

    def __len__(self) -> int:
        """Return the number of fits."""
        return len(self.each)

    @overload
    def __getitem__(self, place: int) -> FitRecord: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[FitRecord, ...]: ...

    def __getitem__(self, place: int | slice) -> FitRecord | tuple[FitRecord, ...]:
        """Return a record by its place, or records by a slice."""
        return self.each[place]

    @property
    def failed(self) -> tuple[FitRecord, ...]:
        """Those without draws."""
        return tuple(one for one in self if one.status == FAILED)

    @property
    def problems(self) -> tuple[str, ...]:
        """Those that did not converge, and why."""
        return tuple(f"{one.name}: {one.reason}" for one in self if one.status == UNCONVERGED)

    @property
    def table(self) -> pd.DataFrame:
        """A row a fit: ``name, model, seed, status, reason, seconds``, and medians and intervals.

        Columns of a parameter are ``alpha, alpha_q05, alpha_q95``.
        """
        rows = []
        for one in self:
            row = {key: getattr(one, key) for key in ("name", "model", "seed", "status", "reason")}
            row["seconds"] = one.seconds
            for name, own in one.parameters.items():
                row |= {name: own["median"], f"{name}_q05": own["q05"], f"{name}_q95": own["q95"]}
            rows.append(row)
        return pd.DataFrame(rows)

    def _parts(self) -> Iterator[Part]:
        counts = pd.Series([one.status for one in self], dtype=str).value_counts(sort=False)
        yield Bold(
            f"{words.counted(len(self), 'fit')}: "
            + ", ".join(f"{number} {status}" for status, number in counts.items())
        )
        yield Grid(("fit", "status", "why"), [(one.name, one.status, one.reason) for one in self])


@typed
def fit_many(
    jobs: Sequence[Job],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    out: str | Path | None = None,
    keep: bool = False,
    ask: Callable[[Fit], Any] | None = None,
    progress: bool | None = None,
) -> Many:
    """Fit many models to many tables, each as `bayescale.fit` would.

    The draws are those of `fit` for the same runs, model, seed and settings, wherever they are
    made. Models of one structure share one compiled function, which is kept on disk.

    Parameters
    ----------
    jobs : sequence of Job
    workers : int, optional
        Processes; by default as many as there are cores. With 1 all is done in this one.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://host:8786``, whose workers fit in place of this
        machine's processes. They must have the same version of bayescale.
    out : path, optional
        Folder in which each fit is recorded as it ends, a line of ``fits.jsonl``. What it holds
        already, by the same runs, model, seed and settings, is not done again: a batch that was
        killed goes on where it was. Fits whose process was killed are tried again.
    keep : bool
        Write the fits themselves as well, beside the records.
    ask : callable, optional
        Called with each fit, where it was made; what it returns, as JSON has it, is in the record.
    progress : bool, optional
        Show how much is done and how long the rest will take; by default on a terminal and in a
        notebook.

    Returns
    -------
    Many
        In the order of the jobs. A fit that failed says why, and stops no other.

    Raises
    ------
    FitError
        If fits shall be kept and there is no folder, or the folder holds what is no record.
    WorkersError
        If the workers or the scheduler cannot do it.
    """
    jobs = list(jobs)
    if keep and out is None:
        raise FitError("fits are kept in a folder: name it with out")
    kept = None if out is None else Path(out)
    asked = "" if ask is None else f"{ask.__module__}.{ask.__qualname__}"
    keys = [hashlib.sha256(f"{job.digest}{asked}".encode()).hexdigest() for job in jobs]
    records = {} if kept is None else _recorded(kept)
    if keep:
        records = {k: r for k, r in records.items() if r.fit is not None or r.status == FAILED}
    left = {key: job for key, job in zip(keys, jobs, strict=True) if key not in records}
    tasks, waiting = [_task(job, ask, keep) for job in left.values()], list(left)
    with showing(progress), step(f"fitting {words.counted(len(left), 'model')}") as done:
        calls = spread(_run, tasks, workers=workers, scheduler=scheduler)
        for number, called in enumerate(calls, 1):
            key = waiting[called.place]
            records[key] = _record(left[key], key, called, kept)
            if kept is not None:
                _append(kept / RECORDS, records[key])
            done(number / len(left))
    return Many(tuple(records[key] for key in keys))


@dataclass(frozen=True)
class _Task:
    """A job, and what is done with its fit.

    The model goes as text that is the same for all of its jobs: read once, and compiled once.
    """

    model: bytes
    job: Job
    ask: Callable[[Fit], Any] | None
    keep: bool


def _task(job: Job, ask: Callable[[Fit], Any] | None, keep: bool) -> _Task:
    return _Task(cloudpickle.dumps(job.spec), replace(job, model=""), ask, keep)


@dataclass(frozen=True)
class _Made:
    """What came of a job, of which the fit itself only if it is kept."""

    known: dict[str, Any]
    fit: Fit | None


_read_model = lru_cache(cloudpickle.loads)


def _run(task: _Task) -> _Made:
    """Make one fit; what it warns of is kept with it."""
    began, job, spec = time.perf_counter(), task.job, _read_model(task.model)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", RunsWarning)
        own = fit(job.runs, spec, seed=job.seed, progress=False, **job.settings)
        answer = None if task.ask is None else task.ask(own)
        parameters = parameter_numbers(own)
    known: dict[str, Any] = {
        "parameters": parameters,
        "diagnostics": diagnostic_numbers(own),
        "notices": list(dict.fromkeys(str(one.message) for one in said)),
        "draws": _draws_digest(own),
        "seconds": time.perf_counter() - began,
        "answer": answer,
    }
    return _Made(plain(known), own if task.keep else None)  # as it will be read again


def _draws_digest(own: Fit) -> str:
    digest = hashlib.sha256()
    for name in sorted(map(str, own.posterior.data_vars)):
        digest.update(name.encode() + own.posterior[name].to_numpy().tobytes())
    return digest.hexdigest()


def _record(job: Job, key: str, called: Called, folder: Path | None) -> FitRecord:
    """Make the record of a call, and write the fit beside it where it came along."""
    about = (job.name, key, job.spec.name, job.seed)
    if called.failure:
        return FitRecord(*about, FAILED, called.failure)
    made: _Made = called.value
    problems = made.known["diagnostics"]["problems"]
    status = UNCONVERGED if problems else CONVERGED
    path = None
    if folder is not None and made.fit is not None:
        path = str(made.fit.save(folder / f"{key[:16]}.nc"))
    return FitRecord(*about, status, "; ".join(problems), **made.known, fit=path)


def _recorded(folder: Path) -> dict[str, FitRecord]:
    """Read the records of a folder by their digests, and cut off a line that was not written whole.

    Fits whose process was killed are no results.
    """
    make_folder(folder)
    path = folder / RECORDS
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    records = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record = FitRecord(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise FitError(
                f"{path}: line {number} is no record of a fit ({error}); delete the line, and its "
                "fit is made again, or name another folder"
            ) from error
        if record.reason != KILLED:
            fit_at = record.fit and str(folder / record.fit)
            records[record.digest] = replace(record, fit=fit_at)
    return records


def _append(path: Path, record: FitRecord) -> None:
    """Write a line, and have it on the disk before anything else is done."""
    name = record.fit and Path(record.fit).name  # the folder may move
    line = json.dumps(plain(asdict(replace(record, fit=name))), allow_nan=False)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())
