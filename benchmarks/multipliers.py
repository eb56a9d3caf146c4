"""Do architectures differ by a constant factor of compute? What two real sweeps say.

BAYESCALE_DATA=FOLDER uv run python benchmarks/multipliers.py
"""

import warnings

import bayescale as bs

ARCHITECTURES = "context_length == 16384 and not outlier_upstream and finished"
MINISWEEP = "not budget.str.startswith('rep') and flops < 5e12"
MODELS = ("chinchilla-shared-exponents", "chinchilla-hierarchical")


def sweeps() -> dict[str, tuple[bs.Runs, str, str]]:
    """Return runs, the group that needs more compute, and the reference, by the sweep's name."""
    ours = bs.read_runs(
        bs.load_dataset("minisweep"),
        {"params": "params_matmul"},
        where=MINISWEEP,
        units={"params": 1},
    )
    theirs = bs.read_runs(bs.load_dataset("architectures"), where=ARCHITECTURES)
    return {
        "architectures": (theirs, "Transformer (Llama)", "xLSTM (mLSTM)"),
        "minisweep": (ours, "lstm", "transformer"),
    }


def main() -> None:
    """Print multipliers at the easiest and the hardest common target, and whether they differ."""
    warnings.simplefilter("ignore", bs.RunsWarning)
    for name, (runs, group, reference) in sweeps().items():
        for model in MODELS:
            fitted = bs.fit(runs, model, progress=False)
            found = bs.compute_multiplier(fitted, group, reference, same_validation=True)
            steady = bs.constancy(found)
            budgets = [10 * runs.table["flops"].max(), 100 * runs.table["flops"].max()]
            crossed = bs.crossing(fitted, group, reference, budgets, same_validation=True)
            print(f"{name}, {model}, {len(runs)} runs, converged: {fitted.diagnostics.converged}")
            for end in ("easiest", "hardest"):
                at = bs.summarise(found["multiplier"].sel(loss=float(steady[end]))).to_numpy()
                print(
                    f"  {end} common target, loss {float(steady[end]):.3f}: {group} needs "
                    f"{at[0]:.2f} ({at[1]:.2f} to {at[2]:.2f}) times the compute of {reference}"
                )
            print(
                f"  log ratio of the two {bs.summarise(steady['log_ratio']).to_numpy().round(3)}, "
                f"P(grows) {float(steady['grows']):.3f}; P(crossing below 10 and 100 times the "
                f"largest run) {crossed['probability'].to_numpy().round(3)}"
            )


if __name__ == "__main__":
    main()
