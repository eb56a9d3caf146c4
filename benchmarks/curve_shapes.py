"""False alarms and detections of the shape check on simulated curves of known shape.

Simulated curves of known shape, 200 a class at 8, 12 and 20 sizes: 1.5 to 3 decades, noise of log
loss 0.003, 0.01 or 0.02, jittered x, a total change of 0.4 to 1.8 nats of log loss. A row a curve
goes to the CSV file as soon as it is done; a second run goes on where the first stopped. An alarm
is any of broken, saturated_guess, exponential, inverse, non_monotone. The seeds of the rule's
tuning are others.

Classes of accuracies have 3, 4, 5 or 8 sizes over 2 decades and known binomial standard errors of
1000 examples: a trend in log x by 4 standard errors of last less first, up or down, or none.

    uv run python benchmarks/curve_shapes.py results.csv [--curves 200] [--class NAME]...
"""

import argparse
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from bayescale.curves.shape import classify_curve

SIZES, SIGMAS = (8, 12, 20), (0.003, 0.01, 0.02)
ALARMS = ("broken", "saturated_guess", "exponential", "inverse", "non_monotone")
Mean = Callable[[np.random.Generator, np.ndarray, float], np.ndarray]
"""Log loss at z = log x less the middle of the range, given the noise."""


def power_law(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Fall to a floor that leaves 15 to 95% of the loss reducible at the largest x."""
    alpha, top = rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.95)
    return np.log(1 - top + top * np.exp(-alpha * (z - z[-1])))


def inverse(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Rise by a power of x."""
    alpha, first = rng.uniform(0.1, 0.5), rng.uniform(0.2, 1)
    return np.log(1 - first + first * np.exp(alpha * (z - z[0])))


def u_shape(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Fall by one power and rise by another, both at least 10 sd of the noise."""
    fall, rise, place = rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.6), rng.uniform(-0.3, 0.3)
    at = place * np.ptp(z)
    mean = np.logaddexp(-fall * (z - at), rise * (z - at))
    clear = min(mean[0], mean[-1]) - mean.min() > 10 * sigma
    return mean if clear else np.zeros_like(z)  # without change: drawn again


def _break(
    rng: np.random.Generator,
    z: np.ndarray,
    slopes: tuple[float, float],
    widths: tuple[float, float],
) -> np.ndarray:
    """Change the slope smoothly between a third and two thirds of the range; width in log x."""
    at, width = rng.uniform(-1 / 6, 1 / 6) * np.ptp(z), rng.uniform(*widths)
    before, after = slopes
    return -before * z - (after - before) * width * np.logaddexp(0, (z - at) / width)


def steepening(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Change the exponent from 0.03-0.12 to 0.4-0.8."""
    return _break(rng, z, (rng.uniform(0.03, 0.12), rng.uniform(0.4, 0.8)), (0.1, 0.6))


def flattening(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Change the exponent from 0.5-0.9 to 0.08-0.2, sharply."""
    return _break(rng, z, (rng.uniform(0.5, 0.9), rng.uniform(0.08, 0.2)), (0.1, 0.3))


def flattening_gradually(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Do the same over a width of 0.3 to 0.6, as an offset would."""
    return _break(rng, z, (rng.uniform(0.5, 0.9), rng.uniform(0.08, 0.2)), (0.3, 0.6))


def guess_plateau(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Leave chance within the middle of the range: a power law beyond a smooth corner."""
    corner, k = rng.uniform(-0.2, 0.2) * np.ptp(z), rng.uniform(1, 2)
    gamma, share = rng.uniform(0.4, 1.2), rng.uniform(0.6, 0.95)
    return np.log(1 - share + share * expit(-k * (z - corner)) ** (gamma / k))


def exponential(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Fall with x itself."""
    share, tau = rng.uniform(0.4, 0.85), np.exp(rng.uniform(0, 1) * z[-1])
    return np.log(1 - share + share * np.exp(-np.exp(z) / tau))


def saturated(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Leave under 3% of the loss reducible at the largest x."""
    alpha, top = rng.uniform(0.6, 1.5), np.exp(rng.uniform(np.log(0.001), np.log(0.03)))
    return np.log(1 - top + top * np.exp(-alpha * (z - z[-1])))


def flat(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Nothing changes."""
    return np.zeros_like(z)


def insufficient(rng: np.random.Generator, z: np.ndarray, sigma: float) -> np.ndarray:
    """Power law over 0.25 to 0.35 decades."""
    return power_law(rng, z, sigma)


MEANS: dict[str, Mean] = {
    "power_law": power_law,
    "power_law, t4 noise": power_law,
    "power_law, AR(0.5) noise": power_law,
    "power_law, noise larger at small x": power_law,
    "power_law, one outlier": power_law,
    "inverse": inverse,
    "U-shape": u_shape,
    "steepening": steepening,
    "flattening, sharp": flattening,
    "flattening, gradual": flattening_gradually,
    "random-guess plateau": guess_plateau,
    "exponential": exponential,
    "saturated": saturated,
    "flat": flat,
    "insufficient": insufficient,
}
ACCURACIES = {"accuracy, better": 4.0, "accuracy, worse": -4.0, "accuracy, no trend": 0.0}
"""Trends of last less first, in standard errors."""
FEW, EXAMPLES = (3, 4, 5, 8), 1000
CLASSES = [*MEANS, *ACCURACIES]
EXPECTED = {
    "inverse": "inverse",
    "U-shape": "non_monotone",
    "steepening": "broken",
    "flattening, sharp": "broken",
    "flattening, gradual": "broken",
    "random-guess plateau": "saturated_guess",
    "exponential": "exponential",
    "saturated": "saturated",
    "flat": "saturated",
    "insufficient": "insufficient_range",
    "accuracy, better": "insufficient_range",
    "accuracy, worse": "inverse",
    "accuracy, no trend": "saturated",
}


def noise(rng: np.random.Generator, kind: str, n: int) -> np.ndarray:
    """Noise of unit sd, of the kind that the name of the class says."""
    step = rng.standard_normal(n)
    if "t4" in kind:
        return rng.standard_t(4, n) / np.sqrt(2)
    if "AR" in kind:
        for i in range(1, n):
            step[i] = 0.5 * step[i - 1] + np.sqrt(0.75) * step[i]
    if "larger" in kind:  # sd 2.9 times as large at the smallest x, mean square 1
        scale = np.geomspace(2.9, 1, n)
        step *= scale / np.sqrt((scale**2).mean())
    if "outlier" in kind:
        step[rng.integers(n)] += 6 * rng.choice([-1, 1])
    return step


def curve(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """One curve of a class: x, loss, and the sd of its noise."""
    sigma = rng.choice(SIGMAS)
    unbounded = kind in ("flat", "insufficient")
    while True:
        decades = rng.uniform(0.25, 0.35) if kind == "insufficient" else rng.uniform(1.5, 3)
        place = np.linspace(0, 1, n) + rng.uniform(-0.3, 0.3, n) / (n - 1)
        place = (np.sort(place) - place.min()) / np.ptp(place)
        z = (place - 0.5) * decades * np.log(10)
        mean = MEANS[kind](rng, z, sigma)
        if unbounded or 0.4 <= np.ptp(mean) <= 1.8:
            break
    x = np.exp(z + rng.uniform(np.log(1e8), np.log(1e10)))
    return x, np.exp(mean + sigma * noise(rng, kind, n) + rng.uniform(0, 1.5)), sigma


def accuracies(
    kind: str, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One curve of accuracies: x, accuracy, and its standard error."""
    level = rng.uniform(0.3, 0.7)
    sd = np.sqrt(level * (1 - level) / EXAMPLES)
    place = np.linspace(-0.5, 0.5, n)
    value = rng.binomial(EXAMPLES, level + ACCURACIES[kind] * np.sqrt(2) * sd * place) / EXAMPLES
    return 1e8 * 10 ** (2 * place), value, np.sqrt(value * (1 - value) / EXAMPLES)


def judge(kind: str, n: int, number: int, seed: int) -> dict[str, object]:
    """Simulate and classify one curve."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), n, number])
    if kind in ACCURACIES:
        x, value, stderr = accuracies(kind, n, rng)
        sigma = float(stderr.mean())
    else:
        x, value, sigma = curve(kind, n, rng)
        stderr = None
    start = time.process_time()
    shape = classify_curve(x, value, stderr=stderr, higher_is_better=stderr is not None)
    row = {"class": kind, "n": n, "number": number, "sigma": sigma, "label": str(shape.label)}
    row |= {"p_up": shape.p_up, "p_up_top": shape.p_up_top, "p_steep": shape.p_steep}
    row |= {"p_flat": shape.p_flat, "durbin_watson_p": shape.durbin_watson_p}
    row |= {f"bf_{k}": shape.log_bayes_factor(k) for k in ("exponential", "broken")}
    row["bf_saturated_guess"] = shape.log_bayes_factor("saturated_guess")
    return row | {"seconds": time.process_time() - start}


def simulate(path: Path, kinds: list[str], curves: int, seed: int) -> None:
    """Append the curves that the file does not have yet."""
    done = set()
    if path.exists():
        done = set(pd.read_csv(path)[["class", "n", "number"]].itertuples(index=False, name=None))
    for kind in kinds:
        for n in FEW if kind in ACCURACIES else SIZES:
            for number in range(curves):
                if (kind, n, number) not in done:
                    row = pd.DataFrame([judge(kind, n, number, seed)])
                    row.to_csv(path, mode="a", header=not path.exists(), index=False)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Rates of alarms and right labels, the most frequent wrong ones; a row a class and n."""
    found = []
    for (kind, n), own in rows.groupby(["class", "n"], sort=False):
        right = EXPECTED.get(kind, "power_law")
        wrong = own["label"][own["label"] != right].value_counts()
        found.append(
            {
                "class": kind,
                "n": n,
                "curves": len(own),
                "alarm": own["label"].isin(ALARMS).mean(),
                "right label": (own["label"] == right).mean(),
                "other labels": ", ".join(f"{k} {v}" for k, v in wrong.head(3).items()),
                "Durbin-Watson p < 0.05": (own["durbin_watson_p"] <= 0.05).mean(),
                "seconds": own["seconds"].mean(),
            }
        )
    return pd.DataFrame(found)


def main() -> None:
    """Simulate what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--curves", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--class", dest="kinds", action="append", choices=CLASSES)
    options = parser.parse_args()
    simulate(options.results, options.kinds or CLASSES, options.curves, options.seed)
    rows = pd.read_csv(options.results)
    print(table(rows).to_string(index=False, float_format="{:.3f}".format))
    print(f"{len(rows)} curves, {rows['seconds'].mean():.3f} s of CPU each")


if __name__ == "__main__":
    main()
