"""Forecasts of published learning curves: 20 language curves, from their training points.

Writes the quantiles of every point to be extrapolated, as scorers of such predictions read them,
and prints seconds, divergences and R-hat of every curve.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/language_curves.py PREDICTIONS.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from bayescale import CurveForecast, forecast_curves, forecast_table, load_dataset

LEVELS = {f"q{100 * p:02.0f}": p for p in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)}


def predictions(one: CurveForecast) -> pd.DataFrame:
    """Quantiles of the loss of a new point at every x that was asked for."""
    assert one.forecast is not None, one.message
    loss = one.forecast.draws["loss"]
    found = loss.quantile(list(LEVELS.values()), dim=("chain", "draw")).transpose("at", "quantile")
    table = pd.DataFrame(found.to_numpy(), columns=list(LEVELS))
    return table.assign(curve=one.name, x=loss["at"].to_numpy())[["curve", "x", *LEVELS]]


def main() -> None:
    """Forecast, write and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    table = load_dataset("learning_curves_language")
    train, later = (table[table["split"] == part] for part in ("train", "extrapolate"))
    at = {str(name): sorted(set(own)) for name, own in later.groupby("curve")["x"]}
    forecasts = forecast_curves(train, "curve", "x", "loss", at=at)
    pd.concat([predictions(one) for one in forecasts]).to_csv(out, index=False)
    facts = forecast_table(forecasts).groupby("curve", sort=False).first()
    shown = ["n", "label", "slope", "p_rising", "divergences", "max_r_hat", "seconds", "message"]
    print(facts[shown].round(4).to_string())
    print(f"seconds a curve {facts['seconds'].mean():.2f}, most {facts['seconds'].max():.2f}")
    print(f"curves without divergences {np.sum(facts['divergences'] == 0)} of {len(facts)}")


if __name__ == "__main__":
    main()
