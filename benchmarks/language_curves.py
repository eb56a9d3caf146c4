"""Forecasts of published learning curves: 20 language curves, from their training points.

Writes the quantiles of every point to be extrapolated, as scorers of such predictions read them,
and prints labels, exponents and processor seconds.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/language_curves.py PREDICTIONS.csv
"""

import argparse
import time
from pathlib import Path

import pandas as pd

from bayescale import CurveForecast, forecast_curves, forecast_table, load_dataset

LEVELS = {f"q{100 * p:02.0f}": p for p in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)}


def predictions(one: CurveForecast) -> pd.DataFrame:
    """Quantiles of the loss of a new point at every x that was asked for."""
    assert one.draws is not None, one.message
    loss = one.draws["new"]
    found = loss.quantile(list(LEVELS.values()), dim=("chain", "draw")).transpose("at", "quantile")
    table = pd.DataFrame(found.to_numpy(), columns=list(LEVELS))
    return table.assign(curve=one.name, x=loss["at"].to_numpy())[["curve", "x", *LEVELS]]


def main() -> None:
    """Forecast, write and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    table = load_dataset("learning_curves_language")
    train, later = (table[table["split"] == part] for part in ("train", "extrapolate"))
    at = {str(name): sorted(set(own)) for name, own in later.groupby("curve")["x"]}
    begun = time.process_time()
    forecasts = forecast_curves(train, "curve", "x", "loss", at=at, seed=options.seed)
    seconds = time.process_time() - begun
    pd.concat([predictions(one) for one in forecasts]).to_csv(options.out, index=False)
    facts = forecast_table(forecasts).groupby("curve", sort=False).first()
    shown = ["n", "label", "exponent", "slope", "p_rising", "message"]
    print(facts[shown].round(4).to_string())
    print(f"processor seconds a curve {seconds / len(facts):.2f}")


if __name__ == "__main__":
    main()
