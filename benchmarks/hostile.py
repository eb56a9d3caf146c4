"""Ask whether hostile input ends in a trace, a hang, a wrong number, foreign code or a lost file.

Tables, model files, fits, filters, names of files, and processes killed while they write. Inputs
are made of good ones: bytes changed, cells and values replaced by what no cell should hold, arrays
exchanged. An oracle compares what went in with what came out.

    python benchmarks/hostile.py [--inputs 3000] [--seed 0] [--only KIND ...] [--show TRACEBACK ...]
        [--out hostile.jsonl]

Outcomes, of which the last six are failures:

whole     every number that came out is in the input
warned    the same, with a warning or a notice
refused   an error of one sentence
SILENT    a number came out that the input does not have, or a damaged fit was read
TRACEBACK an error of another kind, or a warning of a library
HANG      it took longer than 20 seconds of the processor
CODE      a process was started, or a connection made
LOST      a file is neither the old one nor the new one, or something is left beside it
CRASH     the process ended
"""

import argparse
import hashlib
import itertools
import json
import os
import pickle
import re
import select
import signal
import stat
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from csv import reader
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from bayescale import Fit, RunsWarning, constants_fit, load_fit, load_model, read_runs
from bayescale.errors import BayescaleError
from bayescale.files import write
from bayescale.modelling.spec import available_models, parse_model
from bayescale.posterior.fit import Runs

FAILURES = ("SILENT", "TRACEBACK", "HANG", "CODE", "LOST", "CRASH")
OUTCOMES = ("whole", "warned", "refused", *FAILURES)
SECONDS = 20
MOST_WORDS = 3000  # characters of a refusal

type Try = Callable[[np.random.Generator, Path], str]
"""Makes an input in a folder and uses it; returns "whole", "warned", or what is wrong."""

KINDS: dict[str, Try] = {}


def kind(function: Try) -> Try:
    """Register a kind of input by the name of its function."""
    KINDS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Verdict:
    """What became of one input."""

    kind: str
    seed: int
    outcome: str
    text: str = ""


class Hang(BaseException):
    """It took too long."""


def judged(name: str, seed: int, folder: Path) -> Verdict:
    """Make and use one input of a kind."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    with _watched() as events, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome, text = _outcome(KINDS[name], rng, folder)
    foreign = [str(w.message) for w in caught if not issubclass(w.category, RunsWarning)]
    if events:
        outcome, text = "CODE", " ".join(events)
    elif foreign and outcome in ("whole", "warned"):
        outcome, text = "TRACEBACK", foreign[0]
    elif outcome == "whole" and caught:
        outcome = "warned"
    return Verdict(name, seed, outcome, text)


def _outcome(use: Try, rng: np.random.Generator, folder: Path) -> tuple[str, str]:
    try:
        return use(rng, folder), ""
    except BayescaleError as error:
        text = str(error)
        short = 0 < len(text) <= MOST_WORDS and "Traceback" not in text
        return ("refused" if short else "TRACEBACK"), text[:MOST_WORDS]
    except Hang:
        return "HANG", ""
    except AssertionError as error:
        name, _, text = str(error).partition(": ")
        return (name, text) if name in FAILURES else ("TRACEBACK", str(error))
    except (Exception, SystemExit) as error:
        return "TRACEBACK", f"{type(error).__name__}: {error}"


_EVENTS: list[str] = []
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")


@cache
def _listen() -> None:
    """Hear of processes and connections, whoever starts them; a hook cannot be taken off."""
    sys.addaudithook(lambda event, _: _EVENTS.append(event) if event in _STARTS else None)


@contextmanager
def _watched() -> Iterator[list[str]]:
    def late(*_: Any) -> None:
        raise Hang

    _listen()
    _EVENTS.clear()
    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: others may keep it busy
    try:
        yield _EVENTS
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that wait for work
        return os.fork()


def apart(name: str, seed: int, folder: Path) -> Verdict:
    """Judge in a process of its own, which damaged HDF5 may end."""
    out, into = os.pipe()
    child = _forked()
    if not child:
        with os.fdopen(into, "wb") as pipe:
            pickle.dump(judged(name, seed, folder), pipe)
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        if not select.select([pipe], [], [], 10 * SECONDS)[0]:  # within C, where no signal is heard
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Verdict(name, seed, "HANG")
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    return pickle.loads(said) if said else Verdict(name, seed, "CRASH", f"status {status}")


# Tables.

COLUMNS = ("params", "tokens", "loss")
CELLS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "-1",
        "0",
        "1e-400",
        "5e-324",
        "1.7976931348623157e308",
    ),
    *("true", "1e", "0x10", "1_000", "١٢", "１２", "1 000", "1,5", "1.2.3", "35M", "1e9B", "--1"),
    *(
        "=1+1",
        "=cmd|' /C calc'!A0",
        "@SUM(1)",
        "'",
        '"',
        '""',
        "a\tb",
        "\u202e1",
        "\ufeff1",
        "NULL",
    ),
    *(
        "9" * 400,
        "1" * 5000,
        "x" * 200_000,
        "2026-11-30",
        "12:30",
        "1+2j",
        "50%",
        "#REF!",
        "∞",
        "½",
    ),
    *("{{7*7}}", "<script>", "__import__('os').system('true')", "../../etc/passwd", "a,b", "None"),
)
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.I | re.A)
_HUMAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e\+0\d)?) ?([kmbt])", re.I | re.A)
_GROUPS = re.compile(r"[+-]?\d{1,3}([,. _'’\xa0\u2009\u202f]\d{3})+([.,]\d+)?", re.A)


def table(rng: np.random.Generator, rows: int = 12) -> list[dict[str, str]]:
    """Make rows of runs, as text."""
    params = 10 ** rng.uniform(7, 10, rows)
    tokens = 10 ** rng.uniform(9, 11.5, rows)
    loss = 1.8 + 400 * params**-0.34 + 1500 * tokens**-0.36
    cells = zip(params, tokens, loss, strict=True)
    return [
        {"run": f"r{n}", "params": f"{a:.0f}", "tokens": f"{b:.4g}", "loss": f"{c:.4f}"}
        for n, (a, b, c) in enumerate(cells)
    ]


def honest(cell: Any) -> set[float]:
    """Give the numbers that a cell may be read as."""
    if isinstance(cell, bool) or cell is None:
        return set()
    if isinstance(cell, int | float):
        return {float(cell)} if abs(cell) < 2**1023 else set()
    text = str(cell).strip(" \t\ufeff\xa0\u2009\u202f")
    found = {float(text)} if _PLAIN.fullmatch(text) or text.isdecimal() else set()
    if human := _HUMAN.fullmatch(text):
        found.add(float(human[1]) * {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}[human[2].lower()])
    if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", text, re.I | re.A):
        found.add(float(text.replace(",", ".")))
    if _GROUPS.fullmatch(text):
        digits = re.sub(r"[^\d.,+-]", "", text)
        for point in ".,":
            whole, _, rest = digits.rpartition(point)
            # Both marks are gone from what stands before the last of this one, and after it.
            rest = re.sub("[.,]", "", rest)
            found.add(float(re.sub("[.,]", "", whole or rest) + (f".{rest}" if whole else "")))
        found.add(float(re.sub("[.,]", "", digits)))
    return found


def require_in(runs: Any, rows: list[dict[str, Any]]) -> str:
    """Fail where a run was read that no row can be."""
    names = [name for name in COLUMNS if name in runs.table]
    each = [[honest(_cell(row, name)) for name in names] for row in rows]
    for values in runs.table[names].to_numpy():
        if not any(all(_near(v, c) for v, c in zip(values, row, strict=True)) for row in each):
            raise AssertionError(f"SILENT: {values} is in no row")
    return "warned" if runs.notices else "whole"


def _cell(row: dict[str, Any], name: str) -> Any:
    """Give the cell of a column, or of one whose name differs by a sign: ``param]``."""
    if name in row:
        return row[name]
    alike = (key for key in row if re.sub(r"\W", "", str(key)) in (name, name.rstrip("s")))
    return row.get(next(alike, ""))


def _near(value: float, among: set[float]) -> bool:
    return any(abs(value - one) <= 1e-12 * abs(one) for one in among)


def rows_of(text: str) -> list[dict[str, str]]:
    """Read text as every table that it may be."""
    found = []
    for separator in ",;\t|":
        lines = list(reader(text.splitlines(), delimiter=separator, skipinitialspace=True))
        lines = [line for line in lines if line]
        for number, line in enumerate(lines):
            names = [name.lstrip("\ufeff").lstrip("# ").strip().lower() for name in line]
            if len(set(COLUMNS) & set(names)) >= 2:
                found += [dict(zip(names, cells, strict=False)) for cells in lines[number + 1 :]]
    return found


def _csv(rows: list[dict[str, str]], separator: str) -> str:
    def quoted(cell: str) -> str:
        odd = any(mark in cell for mark in f'{separator}"\n')
        return '"' + cell.replace('"', '""') + '"' if odd else cell

    lines = [separator.join(rows[0])]
    return "\n".join([*lines, *(separator.join(map(quoted, row.values())) for row in rows)]) + "\n"


def changed(rng: np.random.Generator, content: bytes) -> bytes:
    """Change, drop, insert or repeat bytes in a few places, or cut the end off."""
    own = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        place = int(rng.integers(len(own)))
        match rng.choice([0, 0, 0, 1, 2, 3, 4, 4, 5]):
            case 0:
                own[place] ^= 1 << int(rng.integers(8))
            case 1:
                del own[place : place + int(rng.integers(1, 20))]
            case 2:
                own[place:place] = rng.bytes(int(rng.integers(1, 8)))
            case 3:
                own[place:place] = own[place : place + int(rng.integers(1, 80))]
            case 4:
                own[place] = int(rng.choice(list(b"\0\n\r\t\",;'.#=-+[]{}e0")))
            case _:
                del own[max(place, 20) :]
    return bytes(own)


@kind
def bytes_of_a_table(rng: np.random.Generator, folder: Path) -> str:
    """Change bytes of text in columns."""
    content = changed(rng, _csv(table(rng), str(rng.choice([",", ";", "\t"]))).encode())
    path = folder / "runs.csv"
    path.write_bytes(content)
    runs = read_runs(path)
    return require_in(runs, rows_of(content.decode("utf-8-sig", "replace")))


@kind
def cells_of_a_table(rng: np.random.Generator, folder: Path) -> str:
    """Write cells that no table should have."""
    rows = table(rng, int(rng.choice([0, 1, 2, 12, 12, 12, 60])) or 1)
    for _ in range(rng.integers(1, 4)):
        rows[rng.integers(len(rows))][str(rng.choice(COLUMNS))] = str(rng.choice(CELLS))
    path = folder / f"runs{rng.choice(['.csv', '.txt', '.tsv'])}"
    path.write_text(_csv(rows, str(rng.choice([",", ";", "\t"]))), encoding="utf-8", newline="")
    return require_in(read_runs(path), rows)


@kind
def values_of_json(rng: np.random.Generator, folder: Path) -> str:
    """Write JSON of values that are no numbers, or too deep, large or many."""
    rows: list[dict[str, Any]] = [
        {name: cell if name == "run" else float(cell) for name, cell in row.items()}
        for row in table(rng)
    ]
    odd = [None, True, [], {}, [1.0], {"a": 1.0}, "x", "1e9", "35M", -1, 0, 10**400, 1e308, *CELLS]
    for _ in range(rng.integers(1, 4)):
        rows[rng.integers(len(rows))][str(rng.choice(COLUMNS))] = odd[rng.integers(len(odd))]
    text = json.dumps(rows)
    match rng.integers(6):
        case 0:
            text = text.replace("r3", "r3\\ud800\\u0000")
        case 1:
            text = re.sub(r'("loss": )[\d.]+', r"\1NaN", text, count=1)
        case 2:
            text = re.sub(r'("loss": )[\d.]+', r"\1" + "[" * 20_000, text, count=1)
        case 3:
            text = text[: rng.integers(len(text))]
    path = folder / "runs.json"
    path.write_text(text, encoding="utf-8")
    return require_in(read_runs(path), rows)


@kind
def filters(rng: np.random.Generator, folder: Path) -> str:
    """Filter by what may run code, never end, or be no condition."""
    parts = (
        *("loss", "params", "run", "'a'", "1", "1e9", "inf", "index", "`loss`", "nan", "[1, 2]"),
        *(
            "__import__('os').system('true')",
            "@pd",
            "loss.__class__.__mro__",
            "loss.to_pickle('x')",
        ),
        *(
            "().__class__",
            "9**9",
            "9**9**9",
            "'a' * 10**10",
            "lambda: 1",
            "loss.map(exit)",
            "f'{1}'",
        ),
        *("(" * 99, ")", "not", "~", "-", "run.str.contains('(')", "print(loss)", "(x := 1)", "\0"),
    )
    signs = (">", "==", "and", "or", "&", "|", "+", "*", "**", "in", "%", "//", "if", ",", "=")
    words = [str(rng.choice(parts))]
    for _ in range(rng.integers(0, 5)):
        words += [str(rng.choice(signs)), str(rng.choice(parts))]
    rows = table(rng)
    runs = read_runs(
        pd.DataFrame(rows).astype(dict.fromkeys(COLUMNS, float)), where=" ".join(words)
    )
    return require_in(runs, rows)


# Model files.


def require_said(spec: Any, text: str) -> str:
    """Fail where a prior is not as the file has it."""
    said = tomllib.loads(text)
    for where, priors in (("priors", spec.priors), ("noise", spec.noise_priors)):
        for name, prior in priors.items():
            own = said[where][name]
            if own["dist"] != prior.dist or any(own[a] != value for a, value in prior.args):
                raise AssertionError(f"SILENT: {prior} for {own}")
    return "whole"


@cache
def _models() -> list[str]:
    return [load_model(name).source for name in available_models()]


@kind
def bytes_of_a_model(rng: np.random.Generator, folder: Path) -> str:
    """Change bytes of a model file."""
    path = folder / "model.toml"
    path.write_bytes(changed(rng, _models()[rng.integers(len(_models()))].encode()))
    return require_said(load_model(path), path.read_text("utf-8"))


@kind
def values_of_a_model(rng: np.random.Generator, folder: Path) -> str:
    """Write values and keys that no model file should have."""
    odd = (
        *(
            "nan",
            "-inf",
            "-0.0",
            "1e308",
            "5e-324",
            "1e999",
            "true",
            '""',
            "[]",
            "{}",
            "2026-11-30",
        ),
        *("9223372036854775808", "0x" + "f" * 600, "1" + "0" * 6000, "[" * 3000 + "]" * 3000),
        *(
            '"level"',
            '"\\u0000"',
            '"../evil"',
            '"__import__"',
            '"' + "x" * 100_000 + '"',
            "1979-05-27",
        ),
        *("{ dist = [], mu = 0 }", '{ dist = "Normal" }', "[[1]]", "-1", "0", "0b1", "1_0.0_1"),
    )
    keys = ("__class__", '"a b"', "a" + ".a" * 3000, "priors.level.x", '""', "law", "[priors]", "é")
    lines = _models()[rng.integers(len(_models()))].splitlines()
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(lines)))
        value = str(rng.choice(odd))
        if rng.integers(3) == 0:
            lines.insert(place, f"{rng.choice(keys)} = {value}")
        else:
            old = r"(?<== )(-?\d[\d.e-]*|\"[^\"]*\"|\{.*\})"
            lines[place] = re.sub(old, lambda _, new=value: new, lines[place], count=1)
    text = "\n".join(lines)
    return require_said(parse_model(text, "model", laws=(folder,)), text)


# Fits.


@cache
def _fit() -> tuple[Fit, bytes]:
    """Make a fit of a few draws, and its file."""
    draws = np.random.default_rng(1).uniform(0.9, 1.1, (5, 20))
    names = ("E", "A", "B", "alpha", "beta")
    known = dict(zip(names, draws * np.array([[1.8, 400, 1500, 0.34, 0.36]]).T, strict=True))
    fit = constants_fit("chinchilla", **known)
    rows = pd.DataFrame(table(np.random.default_rng(1))).astype(dict.fromkeys(COLUMNS, float))
    fit = replace(fit, runs=Runs(rows.assign(flops=1e20), "runs.csv"))
    return fit, fit.to_bytes()


def _require_draws(found: Fit) -> str:
    if not found.posterior.identical(_fit()[0].posterior):
        raise AssertionError("SILENT: other draws than were written")
    return "whole"


@kind
def bytes_of_a_fit(rng: np.random.Generator, folder: Path) -> str:
    """Change bytes of a fit, as disks and networks do."""
    path = folder / "fit.nc"
    path.write_bytes(content := changed(rng, _fit()[1]))
    found = load_fit(path)
    if content != _fit()[1]:
        raise AssertionError("SILENT: a damaged fit was read")
    return _require_draws(found)


@kind
def bits_of_a_fit(rng: np.random.Generator, folder: Path) -> str:
    """Change one bit of a fit."""
    content, place = bytearray(_fit()[1]), int(rng.integers(len(_fit()[1])))
    content[place] ^= 1 << int(rng.integers(8))
    (folder / "fit.nc").write_bytes(content)
    load_fit(folder / "fit.nc")
    raise AssertionError("SILENT: a damaged fit was read")


def resealed(content: bytes) -> bytes:
    """Give a file the digest of what it is now, as who means harm can."""
    whole = content.rpartition(b"\nsha256 ")[0] or content
    return whole + b"\nsha256 " + hashlib.sha256(whole).hexdigest().encode()


@kind
def bytes_of_a_sealed_fit(rng: np.random.Generator, folder: Path) -> str:
    """Change bytes of a fit and its digest too: what is read is what the file has."""
    path = folder / "fit.nc"
    path.write_bytes(resealed(changed(rng, _fit()[1])))
    return _asked(load_fit(path))


@kind
def arrays_of_a_fit(rng: np.random.Generator, folder: Path) -> str:
    """Exchange arrays, attributes and groups of a fit, with a digest that agrees."""
    path = folder / "fit.nc"
    path.write_bytes(_fit()[1])
    (folder / "secret").write_bytes(np.full(20, 42.0).tobytes())
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice([1, 1, 1, 2])):
            _exchange(rng, file, folder)
    path.write_bytes(resealed(path.read_bytes()))
    found = load_fit(path)
    if any((values == 42.0).any() for values in found.posterior.values()):
        raise AssertionError("SILENT: another file was read")
    return _asked(found)


def _asked(found: Fit) -> str:
    """Ask a fit that was read; what came out is the file's."""
    repr(found)
    found.posterior.mean()
    return "whole"


def _exchange(rng: np.random.Generator, file: h5py.File, folder: Path) -> None:
    name = str(rng.choice(["E", "A", "alpha", "chain", "draw"]))
    group = file["posterior"]
    match rng.integers(12):
        case 0:
            group.pop(name, None)
        case 1:
            group.pop(name, None)
            group.create_dataset(name, (1, 20), "f8", external=[(str(folder / "secret"), 0, 160)])
        case 2:
            group[f"l{rng.integers(99)}"] = h5py.ExternalLink(str(folder / "secret"), "/")
        case 3:
            target = file.require_group(str(rng.choice(["/", "posterior", "runs"])))
            group[f"l{rng.integers(99)}"] = target
        case 4:
            group[f"l{rng.integers(99)}"] = h5py.SoftLink(
                str(rng.choice(["/posterior", "/none", "."]))
            )
        case 5:
            group.pop(name, None)
            group[name] = rng.choice([np.nan, np.inf, -1.0, 0.0], size=(1, 20))
        case 6:
            group.pop(name, None)
            group[name] = np.array([["x"] * 20], dtype=h5py.string_dtype())
        case 7:
            group.create_dataset(f"b{rng.integers(99)}", (10**9, 10**3), "f8", chunks=(1000, 10))
        case 8:
            key = str(rng.choice(["model_spec", "model", "format", "given", "failures", "group"]))
            odd = [
                "",
                "x",
                "{",
                "[]",
                "null",
                '{"a": {"b": NaN}}',
                "[" * 5000,
                2.5,
                -1,
                10**9,
                b"\xff",
            ]
            file.attrs[key] = odd[rng.integers(len(odd))]
        case 9:
            file.attrs.pop(str(rng.choice(list(file.attrs) or ["x"])), None)
        case 10:
            odd = ["", "{}", "[]", '{"index": 1, "columns": 2}', "[" * 5000, "x" * 1000]
            node, runs = str(rng.choice(["table", "facts"])), file.require_group("runs")
            runs.pop(node, None)
            runs[node] = odd[rng.integers(len(odd))].encode()
        case _:
            file.pop(str(rng.choice(["runs", "posterior"])), None)
            file.require_group("posterior")


# Files that are written.


@kind
def names_of_files(rng: np.random.Generator, folder: Path) -> str:
    """Write and read files of odd names."""
    marks = [*"aé中😀 .-*?[]{}$&;|<>'\"\\\n\t~%#@!:,=+", "\udcff", "\x7f", "..", "\u202e", "-rf"]
    name = "".join(rng.choice(marks, size=int(rng.choice([1, 3, 8, 40, 200])))) + ".csv"
    path = folder / name
    rows = table(rng)
    write(path, _csv(rows, ","))
    try:
        return require_in(read_runs(path), rows)
    finally:
        path.unlink()


@kind
def writers_that_are_killed(rng: np.random.Generator, folder: Path) -> str:
    """Kill a process while it writes, again and again, files of a megabyte."""
    path, contents = folder / "fit.nc", [bytes([n]) * 1_000_000 for n in range(1, 4)]
    write(path, contents[0])
    ready, tell = os.pipe()
    child = _forked()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.write(tell, b"1")  # before, an interrupt would be lost where the parent ignores it
        try:
            for content in itertools.cycle(contents):
                write(path, content)
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(ready, "rb") as pipe:
        pipe.read(1)
    time.sleep(float(rng.uniform(0.001, 0.05)))
    os.kill(child, int(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])))
    _reap(child)
    return _require_whole(path, contents)


def _reap(child: int) -> None:
    """Wait for a process that was told to end; Python may swallow an interrupt."""
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@kind
def disks_that_are_full(rng: np.random.Generator, folder: Path) -> str:
    """Write more than the system lets a process write."""
    import resource

    path, contents = folder / "fit.nc", [b"old", b"new" * int(rng.integers(1, 2000))]
    write(path, contents[0])
    path.chmod(0o600)
    child = _forked()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            write(path, contents[1])
        except BayescaleError:
            os._exit(3)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != (3 if len(contents[1]) > 2000 else 0) or stat.S_IMODE(path.stat().st_mode) != 0o600:
        raise AssertionError(f"LOST: exit code {code}, mode {path.stat().st_mode:o}")
    return _require_whole(path, [contents[code == 0]])


def _require_whole(path: Path, contents: list[bytes]) -> str:
    if path.read_bytes() not in contents:
        raise AssertionError(f"LOST: {path.stat().st_size} bytes are no file that was written")
    write(path, b"next")
    if (left := os.listdir(path.parent)) != [path.name]:
        raise AssertionError(f"LOST: {left} are left")
    return "whole"


APART = {"bytes_of_a_sealed_fit", "arrays_of_a_fit"}
"""Kinds that may end the process in which they are read."""


def run(inputs: int, seed: int = 0, only: Sequence[str] = (), first: int = 0) -> Iterator[Verdict]:
    """Judge inputs, of each kind as many; from another than the first to go on."""
    names = tuple(only) or tuple(KINDS)
    _fit()  # what is imported once is not the input's time
    for number in range(first, inputs):
        name = names[number % len(names)]
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            yield (apart if name in APART else judged)(name, seed + number, Path(folder))


def table_of(verdicts: Sequence[Verdict]) -> str:
    """Count outcomes by kind."""
    counts = Counter((verdict.kind, verdict.outcome) for verdict in verdicts)
    lines = [f"{'kind':26}" + "".join(f"{name:>10}" for name in OUTCOMES)]
    for name in [*KINDS, "all"]:
        own = [sum(counts[k, o] for k in KINDS if name in (k, "all")) for o in OUTCOMES]
        lines.append(f"{name:26}" + "".join(f"{number or '':>10}" for number in own))
    return "\n".join(lines)


def main() -> None:
    """Print what fails as it does, and outcomes by kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], choices=list(KINDS), metavar="KIND")
    parser.add_argument("--show", nargs="*", default=FAILURES, choices=OUTCOMES, metavar="OUTCOME")
    parser.add_argument(
        "--out", type=Path, default=Path("hostile.jsonl"), help="goes on from there"
    )
    options = parser.parse_args()
    lines = options.out.read_text("utf-8").splitlines() if options.out.exists() else []
    found = [Verdict(**json.loads(line)) for line in lines]
    with options.out.open("a", encoding="utf-8") as file:
        for verdict in run(options.inputs, options.seed, options.only, len(found)):
            found.append(verdict)
            file.write(json.dumps(vars(verdict)) + "\n")
            file.flush()
            if verdict.outcome in options.show:
                print(verdict, flush=True)
    print(table_of(found))


if __name__ == "__main__":
    main()
