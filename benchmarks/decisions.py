"""Seconds that each decision takes on 4,000 draws, and a budget decided on the Chinchilla table.

BAYESCALE_DATA=FOLDER python benchmarks/decisions.py
"""

import time
from collections.abc import Callable
from typing import Any

import pandas as pd

from bayescale import (
    Prices,
    answer_overtraining,
    at_size,
    best_under_wall,
    break_even,
    cheapest,
    compute_optimal,
    fit,
    load_dataset,
    log_optimum,
    next_epoch,
    plan_outcomes,
    rank_plans,
    read_plans,
    read_runs,
    suggest_runs,
    target_loss,
)

BUDGET, SERVED = 1e24, (1e12, 1e13, 1e14)
RENTED = Prices.of_hardware(2.0, training_utilisation=0.4, serving_utilisation=0.1)
"""An H100 for two dollars an hour, at 40% of its peak in training and 10% in serving."""


def timed(name: str, decide: Callable[[], Any]) -> Any:
    """Decide, and print what it took."""
    start, cpu = time.perf_counter(), time.process_time()
    found = decide()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name:<28} {wall:.2f} s, {cpu:.2f} s of processor time")
    return found


def main() -> None:
    """Time every decision, then print the worked one."""
    runs = read_runs(load_dataset("chinchilla"), where="not outlier_epoch")
    joint = fit(runs, progress=False)
    repeated = fit(
        read_runs(load_dataset("data_constrained"), where="tokens >= 1e9"),
        "data-constrained",
        progress=False,
    )
    sizes = [5e10, 1e11, 2e11]
    table = pd.DataFrame({"params": sizes, "tokens": [BUDGET / (6 * size) for size in sizes]})
    plans = read_plans(table)
    target = timed("target_loss", lambda: target_loss(joint, flops=BUDGET))
    timed("cheapest, three demands", lambda: cheapest(joint, target, SERVED))
    timed(
        "cheapest, capped", lambda: cheapest(joint, target, 1e13, max_params=4e10, max_tokens=1e13)
    )
    timed("at_size, three sizes", lambda: at_size(joint, target, sizes, 1e13))
    timed("break_even", lambda: break_even(joint, target, 5e10, 1e11))
    timed("rank_plans, three plans", lambda: rank_plans(plan_outcomes(joint, plans)))
    quantity = log_optimum(joint, BUDGET)
    timed("suggest_runs, five of 400", lambda: suggest_runs(joint, quantity, max_flops=1e22))
    timed("best_under_wall", lambda: best_under_wall(repeated, 1e21, 1e9))
    timed("next_epoch, four", lambda: next_epoch(repeated, 1e9, 1e9, [1, 4, 16, 64]))
    timed("compute_optimal", lambda: compute_optimal(joint, BUDGET))
    for prices in (Prices(), RENTED):
        found = cheapest(joint, target, SERVED, prices=prices)
        print(answer_overtraining(joint, target, found, prices=prices))


if __name__ == "__main__":
    main()
