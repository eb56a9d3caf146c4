"""Is every shipped model calibrated? Simulation-based calibration (Talts et al. 2018).

Parameters are drawn from the model's own prior, a table from these parameters and the noise of the
model on a fixed design (`calibration_designs.py`), and the table is fitted as a user would. Were
all right, the rank of a truth among draws of its posterior would be uniform.

What of a model depends on the losses themselves needs care:

* A prior about the mean of the losses is no prior of a level alone. Its posterior is exact where
  the level may lie anywhere and a table is kept with the probability
  exp(-(level - mean - mu)^2 / (2 sd^2)): losses in other units are other levels, and no rank
  depends on the unit. So tables are drawn until one is kept.
* What a law can draw itself is taken off a smooth error, by the law that fits best. Here this is
  the law that fits the table best before it bends, in the fit the one that fits the bent table.
* Half of the draws of a pool are of each member, whatever the runs say. Here as well: the member
  is drawn. That the runs prefer one of them is not in the posterior, and shows in its ranks.

A line of JSON is appended for every simulation. A fit that fails is recorded with its reason, one
that did not converge with its problems. Simulations that the file has are not made again, nor those
that are published: all that a page tells of is kept beside it, in docs/calibration.parquet.

    python benchmarks/calibration.py results.jsonl [--models chinchilla joint] [--simulations 500]
        [--workers 2]
    python benchmarks/calibration.py results.jsonl --page docs/calibration.md
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from calibration_page import write_page
from calibration_scores import RANKS, cases, score

from bayescale.workers import spread

PUBLISHED = Path(__file__).parents[1] / "docs" / "calibration.parquet"

_COLUMNS = pa.schema(
    {
        "case": pa.string(),
        "simulation": pa.int32(),
        "tried": pa.int32(),  # tables that were drawn until this one was kept
        "problems": pa.list_(pa.string()),
        "ess": pa.float32(),
        "seconds": pa.float32(),  # of the processor
        "failure": pa.string(),
        "ranks": pa.map_(pa.string(), pa.uint8()),
    }
)


def planned(
    names: Sequence[str], simulations: int, done: set[tuple[str, int]]
) -> list[tuple[str, int]]:
    """List what is left to do: some of every model first, so that all can be looked at early."""
    blocks = [range(first, min(first + 25, simulations)) for first in range(0, simulations, 25)]
    items = [(name, number) for block in blocks for name in names for number in block]
    return [item for item in items if item not in done]


def read(path: Path) -> list[dict[str, Any]]:
    """Read the records, and cut off a line that was not written whole."""
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def published(path: Path) -> list[dict[str, Any]]:
    """Read what a page tells of; a record has no entry for what it lacks."""
    if not path.exists():
        return []
    held = pq.read_table(path, schema=_COLUMNS).to_pylist(maps_as_pydicts="strict")
    return [{key: own for key, own in one.items() if own is not None} for one in held]


def publish(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Keep records beside their page, ordered so that the same records are the same bytes."""
    order = sorted(records, key=lambda own: (own["case"], own["simulation"]))
    pq.write_table(pa.Table.from_pylist(order, _COLUMNS), path, compression="zstd")


def every(path: Path) -> list[dict[str, Any]]:
    """List the records of a file and those that are published, each once."""
    both = [*published(PUBLISHED), *read(path)]
    return list({(own["case"], own["simulation"]): own for own in both}.values())


def main() -> None:
    """Make the simulations that are missing, or the page of those that there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--models", nargs="+", choices=cases(), default=cases(), metavar="MODEL")
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--page", type=Path, help="write the page of what the file has")
    options = parser.parse_args()
    records = every(options.results)
    if options.page:
        write_page(records, options.page, RANKS, cases())
        publish(records, options.page.with_suffix(".parquet"))
        return
    done = {(own["case"], own["simulation"]) for own in records}
    items = planned(options.models, options.simulations, done)
    for called in spread(score, items, workers=options.workers):
        case, number = items[called.place]
        record = called.value or {"case": case, "simulation": number, "failure": called.failure}
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
