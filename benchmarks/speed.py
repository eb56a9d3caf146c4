"""What bayescale costs: processor seconds, wall seconds and peak memory, as a table and as JSON.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/speed.py [--only fit check] [--json FILE]
        [--repeats 5] [--rows 100 1000 10000] [--against OTHER/.venv/bin/bayescale]

Each measurement is a process of its own: "first" finds an empty compile cache, "cached" is a second
process on that cache, "warm" is one call in a process that has made such a call before. Tables are
the Chinchilla runs and published learning curves, or the embedded sweep where BAYESCALE_DATA is not
set. `parts` says where the time of a report goes, `sampling` compares effective draws per second
with a textbook model and the defaults of ``pm.sample()``, `rows` grows simulated tables. Repeat r
has seed r. With `--against` both sides take turns within each repeat. Needs POSIX.
"""

import argparse
import json
import math
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CHILD = str(Path(__file__).with_name("speed_child.py"))
RUNS = ["TABLES/runs.csv", "--unit", "params=1"]
CURVES = ["TABLES/curves.csv", "--by", "curve", "--x", "x"]
COMMANDS = {
    "help": ["--help"],
    "fit": ["fit", *RUNS, "--allow-unconverged", "--out", "OUT/fit.nc"],
    "report": ["report", *RUNS, "--allow-unconverged", "--out", "OUT/report"],
    "demo": ["demo", "--out", "OUT/demo"],
    "check": ["check", *RUNS],
    "check-fit": ["check", "OUT/kept.nc"],
    "backtest": ["backtest", *RUNS, "--allow-unconverged"],
    "compare": ["compare", *RUNS, "--allow-unconverged"],
    "curves": ["curves", *CURVES],
    "forecast": ["forecast", *CURVES, "--at", "5e11", "--allow-unconverged"],
}
CHECK_FAILED = 3  # how `check` exits when the runs do not follow the law, as Chinchilla's do not


@dataclass(frozen=True)
class Side:
    """An installed bayescale: its command, the Python beside it, and a folder for what it writes.

    What it compiles outside the clock, and before warm calls, is kept in one cache in that folder.
    """

    name: str
    command: list[str]
    out: Path

    def child(self, name: str, *arguments: object) -> list[str]:
        """Command line of one of the children, in this side's Python."""
        python = str(Path(self.command[-1]).with_name("python"))
        return [*self.command[:-1], python, CHILD, name, *map(str, arguments)]

    def fit(self, table: Path, out: Path) -> list[str]:
        """Command line that keeps a fit for others to read."""
        options = ["--unit", "params=1", "--allow-unconverged"]
        return [*self.command, "fit", str(table), *options, "--out", str(out)]


def spent(command: list[str], cache: Path, allowed: tuple[int, ...] = (0,)) -> Row:
    """Run a process; what it and its children cost, and what a child of ours says it measured.

    This process must stay small: Linux counts the memory of the parent that a child was forked from
    into the child's peak.
    """
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={cache}", "BAYESCALE_CACHE": f"{cache}/bayescale"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=errors, env=os.environ | flags)
        try:
            _, status, used = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, errors):
            stream.seek(0)
        if child.returncode not in allowed:
            said = errors.read().decode(errors="replace").strip()[-2000:]
            return {"error": f"{shlex.join(command)} exited with {child.returncode}:\n{said}"}
        found = json.loads(out.read().splitlines()[-1]) if CHILD in command else {}
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    cost = {"cpu": used.ru_utime + used.ru_stime, "wall": wall}
    return cost | {"peak_mb": used.ru_maxrss * unit / 1e6, "exit": child.returncode} | found


def steps(
    name: str, side: Side, seed: int, tables: Path, rows: list[int]
) -> Iterator[tuple[str, str, list[str]]]:
    """Label, state and command line of each process of one repeat, in order.

    One without a state makes what the next one reads, outside the clock.
    """
    if name == "rows":
        for count in rows:
            table, kept = tables / f"{count}.csv", side.out / f"{count}.nc"
            yield f"rows: fit {count}", "warm", side.child("fit_again", table, seed)
            if not kept.exists():
                yield f"rows: keep {count}", "", side.fit(table, kept)
            yield f"rows: check {count}", "warm", side.child("check_again", kept, seed)
            yield f"rows: budgets {count}", "warm", side.child("budgets", table)
        return
    runs, lines = tables / "runs.csv", {}
    if name == "sampling":
        lines["sampling: bayescale"] = side.child("ours", runs, seed)
        if side.name == "this":
            lines["sampling: textbook"] = side.child("textbook", runs, seed)
    elif name == "parts":
        lines["parts"] = side.child("parts", runs, seed)
    else:
        if name == "check-fit" and not (side.out / "kept.nc").exists():
            yield "keep a fit", "", side.fit(runs, side.out / "kept.nc")
        words = [
            word.replace("TABLES", str(tables)).replace("OUT", str(side.out))
            for word in COMMANDS[name]
        ]
        seeded = [] if name == "help" else ["--seed", str(seed)]
        lines[name] = [*side.command, *words, *seeded]
    for label, line in lines.items():
        yield label, "first", line
        yield label, "cached", line
    if name == "fit":
        yield name, "warm", side.child("fit_again", runs, seed)


def measure(options: argparse.Namespace, sides: list[Side], tables: Path) -> Iterator[Row]:
    """Measure all that was asked for, one row a process."""
    for name in options.only:
        allowed = (0, CHECK_FAILED) if name in ("check", "check-fit") else (0,)
        for seed in range(1, options.repeats + 1):
            for side in sides:
                cache = side.out / "cache"
                for label, state, line in steps(name, side, seed, tables, options.rows):
                    if state == "first":
                        cache = Path(tempfile.mkdtemp(dir=side.out))
                    about = {"name": label, "state": state, "side": side.name, "seed": seed}
                    row = about | spent(line, cache, allowed)
                    if state or "error" in row:
                        yield row


def aligned(title: str, header: str, lines: list[list[Any]]) -> None:
    """Print a table: three digits of each number, first column to the left."""
    if not lines:
        return
    cells = [header.split("|"), *([shown(cell) for cell in line] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for first, *others in cells:
        padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *padded]).rstrip())


def shown(cell: Any) -> str:
    """Three digits of a number, but whole ones from 100 on; text as it is."""
    if not isinstance(cell, float):
        return "-" if cell is None else str(cell)
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:#.3g}"


def median(rows: list[Row], key: str, **where: Any) -> float | None:
    """Median over the repeats of what `where` says, None where there are none."""
    found = [row[key] for row in rows if where.items() <= row.items()]
    return float(statistics.median(found)) if found else None


def show_costs(rows: list[Row], sides: list[str]) -> None:
    """Print medians of each measurement and, of two sides, this one's over the other's."""
    lines = []
    for name, state in dict.fromkeys((row["name"], row["state"]) for row in rows):
        own = [row for row in rows if (row["name"], row["state"]) == (name, state)]
        costs = [[median(own, k, side=side) for k in ("cpu", "wall", "peak_mb")] for side in sides]
        ratios: list[Any] = []
        if len(sides) == 2:
            pairs = zip(*costs, strict=True)
            ratios = [this / other if this and other else None for this, other in pairs]
        lines.append([name, state, *chain(*costs), *ratios, len({row["seed"] for row in own})])
    header = "measurement|state" + "".join(f"|{side}: cpu s|wall s|MB" for side in sides)
    header += "|cpu this/other|wall|MB" if len(sides) == 2 else ""
    aligned("medians; MB is the peak memory of the process", f"{header}|repeats", lines)


def show_rates(rows: list[Row]) -> None:
    """Print effective draws per second, medians over seeds, and the ratios seed by seed."""
    lines = []
    for title, state, key in (
        ("sampling alone", "cached", "rate"),
        ("whole call, cached", "cached", "rate_of_call"),
        ("whole call, first", "first", "rate_of_call"),
    ):
        own = [row for row in rows if row["state"] == state and row["side"] == "this"]
        our, their = (
            {row["seed"]: row[key] for row in own if row["name"] == f"sampling: {who}"}
            for who in ("bayescale", "textbook")
        )
        ratios = [our[seed] / their[seed] for seed in our if seed in their]
        if ratios:
            middle = [statistics.median(v) for v in (our.values(), their.values(), ratios)]
            lines.append([title, *middle, f"{min(ratios):.3g} to {max(ratios):.3g}", len(ratios)])
    title = "effective draws per second (bulk ESS, the least of all parameters), medians over seeds"
    aligned(title, "clock|bayescale|textbook|ratio|seed by seed|seeds", lines)


def show_growth(rows: list[Row], counts: list[int]) -> None:
    """Print exponents of processor time and memory between successive numbers of rows."""
    lines = []
    for what in ("fit", "check", "budgets"):
        for few, many in pairwise(counts):
            line: list[Any] = [what, f"{few} to {many}"]
            for key in ("cpu", "peak_mb"):
                less, more = (
                    median(rows, key, name=f"rows: {what} {count}", side="this")
                    for count in (few, many)
                )
                line.append(math.log(more / less, many / few) if less and more else None)
            lines.append(line)
    measured = [line for line in lines if line[2] is not None]
    aligned("exponents between numbers of rows", "call|rows|cpu|MB", measured)


def show_parts(rows: list[Row]) -> None:
    """Print where the processor seconds of a report go."""
    own = [row for row in rows if row["name"] == "parts" and row["side"] == "this"]
    names = own[0]["parts"] if own else ()
    lines = []
    for name in names:
        spans = [{"state": row["state"], "cpu": row["parts"][name]} for row in own]
        lines.append([name, *(median(spans, "cpu", state=s) for s in ("first", "cached"))])
    aligned("parts of a report, processor seconds, medians", "part|first|cached", lines)


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    everything = [*COMMANDS, "sampling", "parts", "rows"]
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", nargs="+", type=int, default=[100, 1000, 10_000])
    parser.add_argument("--against", metavar="COMMAND", help="another checkout's bayescale")
    parser.add_argument("--json", type=Path, help="file to add this run to")
    options = parser.parse_args()
    if options.repeats < 1 or min(options.rows) < 100:
        parser.error("--repeats must be at least 1, and --rows at least 100")
    options.rows = sorted(set(options.rows))
    return options


def describe(options: argparse.Namespace, sides: list[Side], tables: Path) -> Row:
    """Say what is measured, on what; make the tables."""
    load = os.getloadavg()
    rows = options.rows if "rows" in options.only else []
    made = spent(sides[0].child("tables", tables, *rows), sides[0].out / "cache")
    found = {side.name: spent(side.child("versions"), side.out / "cache") for side in sides}
    for row in (made, *found.values()):
        if "error" in row:
            sys.exit(row["error"])
    machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
    system = f"{machine['cores']} cores, {machine['processor']}, {platform.system()}"
    print(
        f"{system}; load average {load[0]:.2f} over a minute. Tables: {made['said']}.", flush=True
    )
    for name, facts in found.items():
        print(f"{name}: " + ", ".join(f"{n} {v}" for n, v in facts["versions"].items()), flush=True)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine | {"system": platform.platform(), "load": load},
        "tables": made["said"],
        "versions": {name: facts["versions"] for name, facts in found.items()},
        "repeats": options.repeats,
        "against": options.against,
        "measurements": [],
    }


def keep(path: Path, runs: list[Row]) -> None:
    """Replace the file whole, so that one that is killed keeps what it had."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(runs, indent=1) + "\n")
    partial.replace(path)


def note(row: Row) -> None:
    """Print a measurement, or the error in place of one, as it comes."""
    cost = "{cpu:.2f} cpu s, {wall:.2f} wall s, {peak_mb:.0f} MB"
    said = row["error"] if "error" in row else cost.format_map(row)
    print("{name} {state} {side} {seed}: ".format_map(row) + said, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print each measurement as it comes, keep it, and print the tables."""
    options = asked()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that tables are printed
    earlier = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        commands = {"this": [str(Path(sys.executable).with_name("bayescale"))]}
        if options.against:
            commands["other"] = shlex.split(options.against)
        sides = [Side(name, command, Path(folder, name)) for name, command in commands.items()]
        tables = Path(folder, "tables")
        for made in (tables, *(side.out for side in sides)):
            made.mkdir()
        run = describe(options, sides, tables)
        try:
            for row in measure(options, sides, tables):
                run["measurements"].append(row)
                note(row)
                if options.json:
                    keep(options.json, [*earlier, run])
        finally:
            rows = [row for row in run["measurements"] if "error" not in row]
            show_costs(rows, list(commands))
            show_rates(rows)
            show_parts(rows)
            show_growth(rows, options.rows)
    if any("error" in row for row in run["measurements"]):
        sys.exit("some measurements failed: see above")


if __name__ == "__main__":
    main()
