"""How long a large table of curves takes: labels, exponents and forecasts of all of them.

Simulated power laws with offset of 10 to 20 points over 1.5 to 2.5 decades, forecast at twice the
largest x. Prints seconds, processor seconds of all processes and the labels.

    uv run python benchmarks/many_curves.py [CURVES]
"""

import argparse
import time

import numpy as np
import pandas as pd
from loky import get_reusable_executor
from speed_child import processor

from bayescale import forecast_curves, forecast_table


def simulate(number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return a table of so many curves."""
    curves = []
    for place in range(number):
        x = np.geomspace(1e6, 10 ** rng.uniform(7.5, 8.5), rng.integers(10, 21))
        alpha, floor = np.exp(rng.normal(np.log(0.35), 0.3)), rng.uniform(0.2, 0.6)
        loss = floor + (1 - floor) * (x / x[0]) ** -alpha
        loss *= np.exp(0.005 * rng.standard_normal(len(x)))
        curves.append(pd.DataFrame({"curve": f"curve {place}", "x": x, "loss": loss}))
    return pd.concat(curves)


def main() -> None:
    """Simulate, forecast and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("curves", type=int, nargs="?", default=1000)
    table = simulate(parser.parse_args().curves, np.random.default_rng(0))
    wall, used = time.perf_counter(), processor()
    forecasts = forecast_curves(table, "curve", "x", "loss", at="2x")
    wall = time.perf_counter() - wall
    get_reusable_executor().shutdown(wait=True)  # those that have ended are counted
    used = processor() - used
    print(f"{len(forecasts)} curves: {wall:.0f} s, {used:.0f} processor seconds")
    print(forecast_table(forecasts)["label"].value_counts().to_string())


if __name__ == "__main__":
    main()
