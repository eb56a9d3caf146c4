"""False alarms and detections of bumps inside dense curves.

Curves without a bump have 40 to 80 points over 2 to 3 decades, jittered x, a total change of 0.4 to
1.8 nats of log loss (none where flat) and noise of 0.3 to 2%, as the class says. Curves with one
are power laws with an offset and noise of 1%; the bump is 2, 4 or 6% high and 0.2 to 0.5 decades
wide, anywhere inside, mostly at small x: as a run (every point of it raised alike), as a wave (half
a cosine period up and half down within the width) or as a bell (the width is that at half of its
height). A bump is seen where it overlaps with the true one. A row a curve goes to the CSV file; a
second run goes on where the first stopped.

    uv run python benchmarks/bumps.py results.csv [--curves 300] [--class NAME]...
"""

import argparse
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from curve_shapes import MEANS, noise

from bayescale.curves.bumps import find_bump
from bayescale.curves.points import points_of

LAWS = ("power_law", "flat", "exponential", "random-guess plateau", "steepening")
NOISES = ("", ", t4 noise", ", AR(0.5) noise", ", noise larger at small x", ", one outlier")
NULLS = [law + kind for law in LAWS for kind in NOISES]
BUMPS = [f"{shape} of {height}%" for shape in ("run", "wave", "bell") for height in (2, 4, 6)]


def smooth(law: str, rng: np.random.Generator, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Log x less its middle, and log loss without noise."""
    n = int(rng.integers(40, 81))
    place = np.linspace(0, 1, n) + rng.uniform(-0.3, 0.3, n) / (n - 1)
    place = (np.sort(place) - place.min()) / np.ptp(place)
    z = (place - 0.5) * rng.uniform(2, 3) * np.log(10)
    while True:
        mean = MEANS[law](rng, z, sigma)
        if law == "flat" or 0.4 <= np.ptp(mean) <= 1.8:
            return z, mean


def raised(kind: str, z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """Log of one plus the bump, and where it begins and ends."""
    shape, _, height = kind.split()
    width = rng.uniform(0.2, 0.5) * np.log(10)
    at = z[0] + 0.6 * width + rng.beta(1, 2) * (np.ptp(z) - 1.2 * width)
    off = (z - at) / width
    inside = np.abs(off) < 0.5
    form = {
        "run": inside * 1.0,
        "wave": inside * (1 + np.cos(2 * np.pi * off)) / 2,
        "bell": 0.5 ** (4 * off**2),
    }[shape]
    return np.log1p(float(height[:-1]) / 100 * form), at - width / 2, at + width / 2


def search(kind: str, number: int, seed: int) -> dict[str, object]:
    """Simulate one curve and look for a bump."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    bump = kind in BUMPS
    sigma = 0.01 if bump else float(np.exp(rng.uniform(np.log(0.003), np.log(0.02))))
    z, mean = smooth("power_law" if bump else kind.split(",")[0], rng, sigma)
    y = mean + sigma * noise(rng, kind, len(z))
    start, end, rises = np.nan, np.nan, False
    if bump:
        up, start, end = raised(kind, z, rng)
        y, mean = y + up, mean + up
        rises = bool((np.diff(mean) > 0).any())
    points = points_of(np.exp(z), y, np.zeros(len(z)))
    began = time.process_time()
    found = find_bump(points.raw)
    row = {"class": kind, "number": number, "n": len(z), "sigma": sigma, "truly_rises": rises}
    row |= {"seconds": time.process_time() - began, "found": found is not None}
    if found is None:
        return row | {"right": False, "rises": False, "height": np.nan, "p": np.nan}
    right = bool(np.log(found.first) < end and np.log(found.last) > start)
    return row | {
        "right": right,
        "rises": found.rises,
        "height": np.expm1(found.height),
        "p": found.p,
    }


def simulate(path: Path, kinds: list[str], curves: int, seed: int) -> None:
    """Append the curves that the file does not have yet."""
    done = set()
    if path.exists():
        done = set(pd.read_csv(path)[["class", "number"]].itertuples(index=False, name=None))
    for kind in kinds:
        missing = [number for number in range(curves) if (kind, number) not in done]
        for part in np.array_split(missing, max(1, len(missing) // 50)):
            rows = pd.DataFrame([search(kind, int(number), seed) for number in part])
            rows.to_csv(path, mode="a", header=not path.exists(), index=False)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of curves with a bump found, in the right place, and called a rise; a row a class."""
    found = []
    for kind, own in rows.groupby("class", sort=False):
        found.append(
            {
                "class": kind,
                "curves": len(own),
                "found": own["found"].mean(),
                "at its place": own["right"].mean(),
                "called a rise": own["rises"].mean(),
                "truly rises": own["truly_rises"].mean(),
                "mean height": own.loc[own["right"], "height"].mean(),
                "ms": 1000 * own["seconds"].mean(),
            }
        )
    return pd.DataFrame(found)


def main() -> None:
    """Simulate what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--curves", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20261)
    parser.add_argument("--class", dest="kinds", action="append", choices=NULLS + BUMPS)
    options = parser.parse_args()
    simulate(options.results, options.kinds or NULLS + BUMPS, options.curves, options.seed)
    rows = pd.read_csv(options.results)
    print(table(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
