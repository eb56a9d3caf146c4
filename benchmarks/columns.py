"""Does the check of columns blame one that is irrelevant, does it see one that is not? Simulated.

Tables as in `checks.py`: true Chinchilla laws, Normal or Student-t noise, 15, 30 or 60 runs. With
split 0 every fit is asked about 10 random sets of one to four irrelevant columns of 2 to 8 values,
which costs no further fit; with a split about one column of two kinds, whose losses lie that many
noise sds apart, beside none to three irrelevant ones. Results are appended to a CSV, so a run that
was cut off goes on where it stopped.

    python benchmarks/columns.py results.csv [--tables 200] [--splits 0 0.5 1 2 4] [--model joint]
"""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from checks import design, named, truth_of

from bayescale import Fit, Status, fit
from bayescale.evaluation.checks.columns import column_checks
from bayescale.evaluation.checks.refits import Refits, refits
from bayescale.runs.settings import settings

SETS = 10  # of irrelevant columns, that one fit is asked about


def irrelevant(rng: np.random.Generator, runs: int, number: int) -> dict[str, np.ndarray]:
    """Make columns of 2 to 8 values that say nothing: names, or numbers."""
    made = {}
    for column in range(number):
        values = rng.integers(0, rng.integers(2, 9), runs)
        made[f"column_{column}"] = values if rng.random() < 0.5 else np.char.mod("k%d", values)
    return made


def asked(fitted: Fit, refit: Refits, columns: dict[str, np.ndarray]) -> str:
    """Name the columns that the check blames, each with its status."""
    table = fitted.runs.table.assign(**columns)
    runs = replace(fitted.runs, table=table, settings=settings(table))
    refit = replace(refit, cells=refit.cells.assign(**columns))
    found = column_checks(replace(fitted, runs=runs), refit)
    blamed = [check for check in found if check.status is not Status.PASS]
    return "; ".join(f"{check.status} {check.name}" for check in blamed)


def score(split: float, model: str, number: int, seed: int) -> list[dict[str, object]]:
    """Fit one table and ask about its columns."""
    rng = np.random.default_rng([seed, number])
    table = design(60 if number % 3 == 0 else 30)
    table = table.iloc[:: 2 if number % 3 == 1 else 1].reset_index(drop=True)
    losses, at = truth_of("true", table, rng)
    kind = rng.permutation(np.arange(len(table)) % 2)
    runs = named(table, losses(table) * np.exp(split * at["sigma"] * kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(runs, model, draws=500, tune=500, seed=number + 1, progress=False)
    refit, rows = refits(fitted, seed=number + 1), []
    for column_set in range(1 if split else SETS):
        others = rng.integers(0, 4) if split else rng.integers(1, 5)
        columns = irrelevant(rng, len(table), int(others))
        columns |= {"kind": np.char.mod("kind%d", kind)} if split else {}
        about = {"split": split, "table": number, "set": column_set, "runs": len(table)}
        blamed = asked(fitted, refit, columns)
        rows.append({**about, "columns": len(columns), "blamed": blamed})
    return rows


def main() -> None:
    """Score the tables that the CSV lacks and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--splits", type=float, nargs="+", default=[0.0, 0.5, 1.0, 2.0, 4.0])
    parser.add_argument("--model", default="joint")
    parser.add_argument("--seed", type=int, default=7001)
    options = parser.parse_args()
    rows = pd.read_csv(options.results).to_dict("records") if options.results.exists() else []
    done = {(row["split"], row["table"]) for row in rows}
    for split in options.splits:
        for number in range(options.tables):
            if (split, number) not in done:
                rows += score(split, options.model, number, options.seed)
                pd.DataFrame(rows).to_csv(options.results, index=False)
    report(pd.DataFrame(rows).fillna({"blamed": ""}))


def report(found: pd.DataFrame) -> None:
    """Print how often an irrelevant column is blamed, and the one that splits the runs."""
    found = found.assign(
        wrong=found["blamed"].str.contains("column column_"),
        seen=found["blamed"].str.contains("column kind"),
        failed=found["blamed"].str.contains("FAIL column kind"),
    )
    rates = ["wrong", "seen", "failed"]
    for keys in (["split"], ["split", "runs"], ["split", "columns"]):
        print(found.groupby(keys)[rates].mean().assign(sets=found.groupby(keys).size()).round(3))


if __name__ == "__main__":
    main()
