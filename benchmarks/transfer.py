"""Whether the trend of a best learning rate covers: simulated sweeps of five widths.

python benchmarks/transfer.py results.csv [--tables 100]

Bowls, trends, scatter and noise are drawn from the priors of the model ``transfer``; all widths are
swept over one grid of nine rates, a factor of sqrt 2 apart, so that some have their best rate at an
end. A run above 5% of the loss is a bound, and one of fifty diverged for no reason. A line a table
is appended; it goes on where it stopped.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayescale import RunsWarning, fit_transfer, load_model, transfer
from bayescale.laws.bowl import bowl

WIDTHS = np.array([128.0, 256, 512, 1024, 2048])
RATES = 4e-3 * 2.0 ** (np.arange(-4, 5) / 2)
_BEYOND = 2 * WIDTHS[-1]
_ODD = 0.02
_SLOPE, _HEIGHT_SLOPE = "place_along_width", "height_along_width"


def truth(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a trend from the priors, and a bowl of each width and of one beyond them."""
    spec = load_model("transfer")
    priors = {**spec.priors, **spec.between, **spec.noise_priors}
    known = {n: float(own.draw(rng, ())) for n, own in priors.items() if not own.about_runs}
    widths = np.append(WIDTHS, _BEYOND)
    decades = np.log10(widths) - np.log10(WIDTHS).mean()
    place = known["place"] + known[_SLOPE] * decades
    place = place + known["place_scale"] * rng.standard_normal(len(widths))
    height = np.log(known["height"]) + known[_HEIGHT_SLOPE] * decades
    height = np.exp(height + known["height_scale"] * rng.standard_normal(len(widths)))
    level = np.log(4.5) - 0.25 * decades
    coordinates = {"level": level, "place": place, "height": height}
    natural = spec.law.to_natural({**coordinates, "asymmetry": known["asymmetry"]}, (RATES[4],))
    return {**known, **natural}


def table_of(known: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
    """Sweep every width over the grid."""
    width, rate = (own.ravel() for own in np.meshgrid(WIDTHS, RATES, indexing="ij"))
    at = np.repeat(np.arange(len(WIDTHS)), len(RATES))
    law = {n: known[n][at] for n in ("L_min", "x_best", "curvature")}
    loss = bowl(rate, **law, asymmetry=known["asymmetry"])
    scale = known["sigma"] + known["inexact"] * np.log(loss / law["L_min"])
    loss = loss * np.exp(scale * rng.standard_t(known["nu"], len(loss)))
    lost = rng.random(len(loss)) < _ODD
    return pd.DataFrame(
        {"width": width, "learning_rate": rate, "loss": np.where(lost, np.nan, loss)}
    )


def row_of(seed: int) -> dict[str, float]:
    """Fit one simulated table, and say which truths lie inside their 90% intervals."""
    rng = np.random.default_rng(seed)
    known = truth(rng)
    own = fit_transfer(table_of(known, rng), draws=500, tune=500, seed=seed)
    found = transfer(own, to=_BEYOND)
    row = {"seed": seed, "problems": len(own.diagnostics.problems), "true slope": known[_SLOPE]}

    def add(name: str, draws: xr.DataArray, true: float) -> None:
        low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95))
        row[f"{name}: inside"], row[f"{name}: width"] = low <= true <= high, high - low
        row[f"{name}: error"] = middle - true

    add("slope", found["slope"], known[_SLOPE])
    add("scatter", own.posterior["place_scale"], known["place_scale"])
    add("beyond", np.log10(found["best_to"]), np.log10(known["x_best"][-1]))
    for place, width in enumerate(WIDTHS):
        best = found["best"].isel(group=place)
        add(f"best {width:g}", np.log10(best), np.log10(known["x_best"][place]))
        row[f"bracketed {width:g}"] = float(found["bracketed"].isel(group=place).mean())
        row[f"inside {width:g}"] = RATES[0] < known["x_best"][place] < RATES[-1]
    span = np.log10(WIDTHS[-1] / WIDTHS[0])
    stays = abs(known[_SLOPE]) * span < np.log10(found.attrs["region"])
    equivalent = abs(np.log(found["drift"])) < np.log(found.attrs["region"])
    return {**row, "equivalent": float(equivalent.mean()), "stays": stays}


def report(table: pd.DataFrame) -> None:
    """Print coverage, and how probabilities fare."""
    print(f"{len(table)} tables, {(table['problems'] > 0).sum()} not converged")
    for name in ("slope", "scatter", "beyond", *(f"best {width:g}" for width in WIDTHS)):
        inside = table[f"{name}: inside"].astype(float)
        error = np.sqrt(inside.mean() * (1 - inside.mean()) / len(inside))
        print(
            f"{name:10} inside 90%: {inside.mean():.3f} +- {error:.3f}, RMSE "
            f"{np.sqrt((table[f'{name}: error'] ** 2).mean()):.3f}, median width "
            f"{table[f'{name}: width'].median():.3f}"
        )
    said = np.concatenate([table[f"bracketed {width:g}"] for width in WIDTHS])
    true = np.concatenate([table[f"inside {width:g}"].astype(float) for width in WIDTHS])
    calibration("bracketed", said, true)
    calibration("equivalent", table["equivalent"].to_numpy(), table["stays"].to_numpy(dtype=float))


def calibration(name: str, said: np.ndarray, true: np.ndarray) -> None:
    """Print how often what was said with some probability was true."""
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        own = (said >= low) & (said < high)
        if own.any():
            print(
                f"P({name}) {low} to {min(high, 1)}: said {said[own].mean():.2f}, true "
                f"{true[own].mean():.2f} of {own.sum()}"
            )


def main() -> None:
    """Fill the CSV and print coverage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--tables", type=int, default=100)
    options = parser.parse_args()
    done = set(pd.read_csv(options.path)["seed"]) if options.path.exists() else set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        for seed in range(options.tables):
            if seed not in done:
                header = not options.path.exists()
                pd.DataFrame([row_of(seed)]).to_csv(
                    options.path, mode="a", header=header, index=False
                )
    report(pd.read_csv(options.path))


if __name__ == "__main__":
    main()
