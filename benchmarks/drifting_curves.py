"""What a drifting exponent costs when a power law with offset is exactly true.

Simulated curves of 10 to 20 points over 1.3 to 2.5 decades. Prints, by distance from the top of the
range in decades: how wide central 90% intervals of a new point are against those of the rigid power
law (median ratio), their coverage, and the error of their median. "alone" is a drifting law of one
curve, "learned" with its drift learned across all curves.

    uv run python benchmarks/drifting_curves.py [CURVES]
"""

import argparse

import numpy as np
import pandas as pd

from bayescale.curves.drifts import population_weights
from bayescale.curves.forecast import MEMBERS, Posterior, member_curve, reweighted, sample_members
from bayescale.curves.model import NU, Member
from bayescale.curves.points import points_of

RIGID = Member("rigid power law", chance=False, drift=False, cap=np.inf, tilt=0.0)
DECADES = np.array([-0.5, 0.3, 0.5, 1.0])


def simulate(rng: np.random.Generator) -> tuple[Posterior, np.ndarray]:
    """Sample a simulated curve; its posterior, and new noisy log losses at DECADES."""
    n, decades = int(rng.choice([10, 15, 20])), rng.uniform(1.3, 2.5)
    sigma, alpha = rng.choice([0.002, 0.005, 0.01]), np.exp(rng.normal(np.log(0.3), 0.4))
    share = rng.uniform(0.15, 0.8)

    def log_loss(v: np.ndarray) -> np.ndarray:
        exact = np.log1p(share * np.expm1(-alpha * v))
        return np.asarray(exact + sigma * rng.standard_normal(len(v)))

    v = np.linspace(-decades * np.log(10), 0, n)
    points = points_of(np.exp(v), log_loss(v), np.zeros(n))
    truth = log_loss(DECADES * np.log(10))
    return sample_members(points, members=(RIGID, *MEMBERS)), truth


def quantiles(member: Member, posterior: Posterior, seed: int) -> np.ndarray:
    """5, 50 and 95% quantiles of new log losses at DECADES."""
    rng = np.random.default_rng(seed)
    # DECADES from the largest x, which a thinned curve does not reach.
    mu = member_curve(member, posterior, DECADES * np.log(10) - np.log(posterior.top), rng)
    sigma = np.exp(posterior.draws[member.name]["log_sigma"].to_numpy().reshape(-1, 1))
    noisy = mu + posterior.points.log_loss[-1] + sigma * rng.standard_t(NU, mu.shape)
    return np.quantile(noisy, [0.05, 0.5, 0.95], axis=0)


def main() -> None:
    """Simulate, sample and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("curves", type=int, nargs="?", default=40)
    rng = np.random.default_rng(5)
    curves = [simulate(rng) for _ in range(parser.parse_args().curves)]
    rows = []
    for member in (RIGID, *MEMBERS):
        learned = None
        if member.drift:
            drifts = [p.draws[member.name]["log_drift"].to_numpy().ravel() for p, _ in curves]
            learned = population_weights(drifts)
        for number, (posterior, truth) in enumerate(curves):
            cases = {member.name + (", alone" if member.drift else ""): posterior}
            if learned is not None:
                weights = {member.name: learned[number]}
                cases[member.name + ", learned"] = reweighted(posterior, weights)
            for name, own in cases.items():
                low, middle, high = quantiles(member, own, number)
                found = {"width": high - low, "covers": (low <= truth) & (truth <= high)}
                found |= {"squared": (middle - truth) ** 2, "decades": DECADES}
                rows.append(pd.DataFrame(found).assign(member=name, curve=number))
    table = pd.concat(rows)
    rigid = table[table["member"] == RIGID.name].set_index(["curve", "decades"])["width"]
    keys = pd.MultiIndex.from_frame(table[["curve", "decades"]])
    table["ratio"] = table["width"].to_numpy() / rigid.reindex(keys).to_numpy()
    cells = table.groupby(["member", "decades"], sort=False)
    shown = {
        "ratio": cells["ratio"].median(),
        "covers": cells["covers"].mean(),
        "rmse": cells["squared"].mean() ** 0.5,
    }
    print(pd.DataFrame(shown).unstack("decades").round(3).to_string())


if __name__ == "__main__":
    main()
