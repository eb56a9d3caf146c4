"""How the law of repeated data samples and predicts, and what its extensions buy.

Fits `data-constrained` to the published runs on repeated data, from two seeds, and compares it by
expected log predictive density (PSIS-LOO) with the same law whose worth of repetition does not
change with size (r_N near 0), and with the form as published on the runs of the published fit.

    BAYESCALE_DATA=FOLDER uv run python benchmarks/repetition.py
"""

import warnings

import arviz as az

from bayescale import Fit, Runs, arviz_tree, fit, load_dataset, load_model, parse_model, read_runs

WHERE = "variant == 'standard' and tokens >= 1e9"
FREE = 'r_N = { dist = "Normal", mu = 0.0, sigma = 0.5 }'
FIXED = 'r_N = { dist = "Normal", mu = 0.0, sigma = 0.001 }'


def describe(name: str, fitted: Fit) -> None:
    """Print how the sampler did and whether predictive intervals cover."""
    found = fitted.diagnostics
    print(
        f"{name}: R-hat {found.max_r_hat:.4f}, {found.divergences} divergences, minimum ESS "
        f"{found.min_ess_bulk:.0f}, {found.seconds_sample:.1f} s of sampling "
        f"({fitted.tree.attrs['adaptation']}, {fitted.tree.attrs['target_accept']})"
    )
    for key, row in fitted.summary().iterrows():
        if key in ("alpha", "beta", "R_D", "R_N", "r_N", "sigma"):
            print(f"    {key:6} {row['mean']:.4g} [{row.iloc[2]:.4g}, {row.iloc[3]:.4g}]")
    for mass, share in coverage(fitted).items():
        print(f"    {mass:.0%} predictive intervals hold {share:.1%} of the cells")


def coverage(fitted: Fit) -> dict[float, float]:
    """Share of cells of replicates whose mean log loss lies in the central predictive interval."""
    tree = arviz_tree(fitted)
    drawn, seen = tree["posterior_predictive"]["log_loss"], tree["observed_data"]["log_loss"]
    below = (drawn < seen).mean(("chain", "draw"))
    return {mass: float((abs(below - 0.5) < mass / 2).mean()) for mass in (0.5, 0.9)}


def without_size(fitted_to: Runs) -> Fit:
    """Fit the same model with r_N at 0: repeated tokens are worth alike at every size."""
    source = load_model("data-constrained").source
    assert FREE in source, "the prior of r_N has changed: change FREE and FIXED too"
    return fit(fitted_to, parse_model(source.replace(FREE, FIXED), "r_N at 0"), progress=False)


def compare(**fits: Fit) -> None:
    """Print elpd of each and its difference to the best."""
    trees = {name: arviz_tree(fitted) for name, fitted in fits.items()}
    print(az.compare(trees, var_name="log_loss").to_string())


def main() -> None:
    """Print it all."""
    warnings.simplefilter("ignore")
    table = load_dataset("data_constrained")
    runs = read_runs(table, where=WHERE)
    print(f"{len(runs)} runs with {WHERE}")
    fits = [fit(runs, "data-constrained", seed=seed, progress=False) for seed in (1, 2)]
    for seed, fitted in enumerate(fits, start=1):
        describe(f"data-constrained, seed {seed}", fitted)
    fixed = without_size(runs)
    describe("r_N at 0", fixed)
    compare(free=fits[0], fixed=fixed)
    in_paper = read_runs(table, where="in_paper_fit")
    print(f"\n{len(in_paper)} runs of the published fit")
    ours = fit(in_paper, "data-constrained", progress=False)
    published = fit(in_paper, "data-constrained-published", progress=False)
    describe("data-constrained", ours)
    describe("data-constrained-published", published)
    compare(ours=ours, published=published)


if __name__ == "__main__":
    main()
