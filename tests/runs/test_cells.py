import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, simulated_table

from bayescale import fit, load_model, parse_model, read_runs
from bayescale.errors import ModelError, RunsWarning
from bayescale.modelling.build import build_model, cells_of, model_data
from bayescale.runs.cells import collapse
from bayescale.runs.table import Runs

COLUMNS = ("params", "tokens")


def cell(*losses: float, **columns) -> pd.DataFrame:
    """Runs of one configuration."""
    return pd.DataFrame({"params": 1e8, "tokens": 2e9, **columns, "loss": losses})


def table_of(*cells: pd.DataFrame) -> Runs:
    table = pd.concat(cells, ignore_index=True)
    return Runs(table.assign(run=table.index.astype(str)), "test")


def test_known_cells():
    """Log losses 1, 1.2, 1.4 and 2: means 1.2 and 2, squares 0.04 + 0 + 0.04."""
    runs = table_of(cell(*np.exp([1.0, 1.2, 1.4])), cell(np.exp(2.0), tokens=4e9))
    cells = collapse(runs, COLUMNS)
    assert len(cells) == 2
    np.testing.assert_allclose(cells.table["observed"], [1.2, 2.0])
    assert cells.table["replicates"].tolist() == [3, 1]
    assert cells.table["weight"].tolist() == [1, 1]
    assert cells.table["run"].tolist() == ["0", "3"]  # the first of each
    assert cells.squares == pytest.approx(0.08)
    assert cells.freedom == 2


def test_cells_keep_the_order_of_the_table():
    runs = table_of(cell(3.0, tokens=4e9), cell(2.9), cell(3.1, tokens=4e9), cell(2.7, params=1e7))
    assert collapse(runs, COLUMNS).table["tokens"].tolist() == [4e9, 2e9, 2e9]
    assert collapse(runs, COLUMNS).table["replicates"].tolist() == [2, 1, 1]


def test_without_replicates_every_run_is_a_cell(runs):
    cells = collapse(runs, COLUMNS)
    np.testing.assert_array_equal(cells.table["observed"], np.log(runs.table["loss"]))
    assert (len(cells), cells.squares, cells.freedom) == (30, 0, 0)


def test_copied_row_counts_once():
    table = table_of(cell(3.0, 3.3)).table
    cells = collapse(Runs(pd.concat([table, table[:1]]), "test"), COLUMNS)
    assert (cells.table["replicates"].tolist(), cells.freedom) == ([2], 1)
    np.testing.assert_allclose(cells.table["observed"], np.log([3.0, 3.3]).mean())
    nearly = pd.concat([table, table[:1].assign(loss=3.0000001)])
    assert collapse(Runs(nearly, "test"), COLUMNS).freedom == 2
    elsewhere = collapse(table_of(cell(3.0), cell(3.0, tokens=4e9)), COLUMNS)
    assert len(elsewhere) == 2  # equal losses of two configurations are no copies


ROUNDED = (3.12, 3.12, 3.13, 3.12, 3.13, 3.12, 3.12, 3.13)


@pytest.mark.parametrize(
    ("columns", "number"),
    [({"run": list("abcdefgh")}, 8), ({"seed": range(8)}, 8), ({"job": range(8)}, 8), ({}, 2)],
)
def test_seeds_of_rounded_loss_are_told_from_copies(columns, number):
    """By any column; a table without one cannot tell, which a notice says with the remedy."""
    table = pd.concat([simulated_table(), cell(*ROUNDED, **columns)], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        runs = read_runs(table)
    cells = collapse(runs, COLUMNS)
    assert cells.table["replicates"].iloc[-1] == number
    assert cells.freedom == number - 1
    said = [str(notice) for notice in runs.notices if notice.name == "duplicated runs"]
    if "seed" in columns:
        assert said == []
    elif columns:
        assert "each counts as a run of its own; if they are copies, leave them out with" in said[0]
    else:
        assert "copies count as one run; leave them out with --where 'row not in" in said[0]
        assert "tell them apart by a column seed" in said[0]


def test_lists_of_a_table_are_compared_as_well():
    table = simulated_table().assign(layers=[[1, 2]] * 30)
    twice = pd.concat([table, table.iloc[[4]], table.iloc[[5]].assign(layers=[[1, 3]])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsWarning)
        runs = read_runs(twice)
    copies, others = map(str, runs.notices)
    assert "rows 5, 31 agree in every column" in copies
    assert "rows 6, 32 agree in params, tokens, loss, flops to the last digit" in others
    assert collapse(runs, COLUMNS).table["replicates"].tolist() == [1] * 5 + [2] + [1] * 24


def test_weights_are_no_replicates():
    """Rounding of weights leaves no fraction of a degree of freedom, so no term of seeds."""
    weights = np.random.default_rng(1).uniform(0.01, 1.0, 30)
    runs = read_runs(simulated_table().assign(weight=weights))
    cells = cells_of(load_model("chinchilla"), runs)
    assert (cells.freedom, cells.squares) == (0.0, 0.0)
    assert cells.table["weight"].tolist() == weights.tolist()
    assert cells.table["replicates"].tolist() == [1.0] * 30
    assert "seed_freedom" not in model_data(load_model("chinchilla"), runs)
    twice = read_runs(runs.table.assign(seed=1), where="index != 0")
    both = Runs(pd.concat([twice.table, twice.table[:1].assign(seed=2)]), "test")
    assert "seed_freedom" in model_data(load_model("chinchilla"), both)  # the control


def test_run_of_weight_zero_leaves_its_cell():
    runs = table_of(cell(3.0, 3.3, 9.0), cell(2.5, 2.6, tokens=4e9))
    cells = collapse(runs, COLUMNS, weights=np.array([1, 1, 0, 0, 0]))
    without = collapse(table_of(cell(3.0, 3.3)), COLUMNS)
    assert cells.table["observed"].iloc[0] == pytest.approx(without.table["observed"].iloc[0])
    assert cells.table["replicates"].iloc[0] == 2
    assert cells.table["weight"].tolist() == [1, 0]  # a cell of such runs alone stays, silent


def test_silent_cell_says_nothing_about_seeds():
    runs = table_of(cell(3.0, 3.3), cell(2.5, 3.6, tokens=4e9))
    cells = collapse(runs, COLUMNS, weights=np.array([1, 1, 0, 0]))
    without = collapse(table_of(cell(3.0, 3.3)), COLUMNS)
    assert cells.squares == pytest.approx(without.squares)
    assert cells.freedom == without.freedom == 1


def test_weight_of_a_cell_is_that_of_its_runs():
    """The likelihood of a cell has two parts, its mean and its squares: both raised to it."""
    runs = table_of(cell(3.0, 3.3), cell(2.5, tokens=4e9))
    cells, full = (collapse(runs, COLUMNS, weights=np.array(w)) for w in ([0.2, 0.6, 1], [1, 1, 1]))
    np.testing.assert_allclose(cells.table["weight"], [0.5, 1.0])
    np.testing.assert_allclose(cells.table["replicates"], [1.6, 1.0])
    assert cells.freedom == pytest.approx(0.3)
    assert cells.squares == pytest.approx(0.3 * full.squares)
    assert full.freedom == 1
    half = collapse(runs, COLUMNS, weights=np.full(3, 0.5))
    assert (half.freedom, half.squares) == pytest.approx((0.5, 0.5 * full.squares))


def test_run_of_hardly_any_weight_hardly_counts():
    runs = table_of(cell(3.0, 3.3))
    one, nearly = (collapse(runs, COLUMNS, weights=np.array([1, w])) for w in (0.0, 1e-9))
    for name in ("observed", "weight", "replicates"):
        np.testing.assert_allclose(nearly.table[name], one.table[name], rtol=1e-6)
    assert nearly.freedom == pytest.approx(0, abs=1e-6)


def test_equal_losses_of_several_seeds_are_no_copies():
    cells = collapse(table_of(cell(3.0, 3.0, 3.3, seed=[1, 2, 3])), COLUMNS)
    assert cells.table["replicates"].tolist() == [3]


@pytest.mark.parametrize(
    "column", ["family", "learning_rate", "batch_size", "dataset", "unique_tokens", "optimizer"]
)
def test_other_configuration_is_another_cell(column):
    values = {"family": ["moe", "ssm"], "dataset": ["c4", "pile"], "optimizer": ["sgd", "muon"]}
    runs = table_of(cell(3.0, 3.3, **{column: values.get(column, [1.0, 2.0])}))
    assert len(collapse(runs, COLUMNS)) == 2
    assert len(collapse(table_of(cell(3.0, 3.3, note=["a", "b"], seed=[1, 2])), COLUMNS)) == 1


def test_column_of_the_model_separates_cells():
    runs = table_of(cell(3.0, 3.3, trick=["on", "off"]))
    assert len(collapse(runs, COLUMNS)) == 1
    assert len(collapse(runs, (*COLUMNS, "trick"))) == 2


def two_kinds() -> pd.DataFrame:
    table = simulated_table()
    return pd.concat([table.assign(arch=a, loss=f * table.loss) for a, f in KINDS])


KINDS = (("dense", 1.0), ("moe", 0.97))


def test_runs_that_differ_in_a_setting_are_no_seeds():
    runs = read_runs(two_kinds())
    assert runs.notices == ()  # nor a sweep of which the best is to be kept
    assert len(collapse(runs, COLUMNS)) == 60
    with pytest.warns(RunsWarning, match="60 of 60 .* no column says what else differs"):
        seeds = read_runs(two_kinds().rename(columns={"arch": "seed"}))
    assert len(collapse(seeds, COLUMNS)) == 30


def test_runs_taken_from_others_keep_their_settings():
    """Two runs alone cannot tell a setting from a name."""
    runs = read_runs(two_kinds())
    _, held = runs.hold_out("index in [3, 33]")
    assert len(collapse(held, COLUMNS)) == 2
    assert len(collapse(Runs(held.table, "two runs"), COLUMNS)) == 1


def test_missing_configuration_is_one_of_its_own():
    runs = table_of(cell(3.0, 3.3, 3.2, 3.1, family=["moe", None, None, "moe"]))
    assert collapse(runs, COLUMNS).table["replicates"].tolist() == [2, 2]


def test_tokens_that_differ_in_their_last_digits_are_the_same():
    flops, params = 1e20, np.float64(1.1e8)
    tokens = [flops / (6 * params), flops / 6 / params * (1 + 4e-16), flops / (6 * params) * 1.0001]
    assert collapse(table_of(cell(3.0, 3.3, 3.2, tokens=tokens)), COLUMNS).table[
        "replicates"
    ].tolist() == [2, 1]


def test_potential_is_the_density_of_the_squares():
    """The seeds' sums of squares over sigma_seed^2 are chi-squared with f degrees of freedom."""
    runs = read_runs(pd.concat([simulated_table(seed=seed) for seed in (0, 1)]))
    spec = load_model("chinchilla-normal")
    data, cells = model_data(spec, runs), cells_of(spec, runs)
    assert (len(cells), cells.freedom, float(data["seed_freedom"])) == (30, 30, 30.0)
    model = build_model(spec, runs)
    [potential] = model.replace_rvs_by_values([model["seeds"]])
    value = model.rvs_to_values[model["sigma_seed"]]  # its logarithm
    found = [
        potential.eval({value: np.log(np.float64(sd))}, mode="FAST_COMPILE")
        for sd in (0.004, 0.006)
    ]
    deviations = np.log(runs.table["loss"]).to_numpy().reshape(2, 30)
    squares = ((deviations[0] - deviations[1]) ** 2 / 2).sum()
    expected = [-30 * np.log(s) - squares / (2 * s**2) for s in (0.004, 0.006)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def with_seeds(number: int, *, misfit: float, seeds: float) -> pd.DataFrame:
    """Runs whose configurations miss the law, each trained from several seeds."""
    law, rng = simulated_table(noise=misfit), np.random.default_rng(5)
    noise = np.exp(seeds * rng.standard_normal((5, len(law))))
    return pd.concat([law.assign(loss=law["loss"] * noise[seed]) for seed in range(number)])


@pytest.fixture(scope="module")
def seeds_fits():
    """Fits to one seed of each run, to five, and to five taken for independent runs."""
    options = {"draws": 500, "tune": 500, "progress": False}
    one, five = (read_runs(with_seeds(n, misfit=0.01, seeds=0.003)) for n in (1, 5))
    spread = five.table.assign(tokens=five.table["tokens"] * (1 + 1e-6 * np.arange(150)))
    return {
        "one": fit(one, "chinchilla-normal", **options),
        "five": fit(five, "chinchilla-normal", **options),
        "independent": fit(Runs(spread, "test"), "chinchilla-normal", **options),
    }


@pytest.mark.slow
def test_seeds_say_little_about_the_law(seeds_fits):
    """What the law misses, it misses for every seed; taken for runs, five would halve the sd."""
    sd = {name: fitted.posterior.std() for name, fitted in seeds_fits.items()}
    for name in ("E", "alpha", "level"):
        assert float(sd["five"][name] / sd["one"][name]) > 0.7
        assert float(sd["independent"][name] / sd["one"][name]) < 0.65
    assert seeds_fits["five"].tree["constant_data"]["replicates"].to_numpy().tolist() == [5] * 30


@pytest.mark.slow
def test_seeds_recover_their_own_noise_and_the_misfit(seeds_fits):
    posterior = seeds_fits["five"].posterior
    low, high = posterior["sigma_seed"].quantile([0.05, 0.95])
    assert low < 0.003 < high
    assert high / low < 1.5  # 120 degrees of freedom
    low, high = posterior["sigma"].quantile([0.05, 0.95])
    assert low < 0.01 < high
    assert "sigma_seed" not in seeds_fits["one"].posterior
    for name, truth in TRUTH.items():
        low, high = posterior[name].quantile([0.01, 0.99])
        assert low < truth < high


def test_replicates_need_a_prior_on_what_seeds_do():
    lines = [
        line for line in load_model("chinchilla").source.splitlines() if "sigma_seed" not in line
    ]
    spec, runs = (
        parse_model("\n".join(lines), "mine"),
        table_of(cell(3.0, 3.3), cell(2.5, tokens=4e9)),
    )
    with pytest.raises(ModelError, match=r"add to \[noise\]: sigma_seed = \{ dist"):
        cells_of(spec, runs)
    assert len(cells_of(spec, table_of(cell(3.0), cell(2.5, tokens=4e9)))) == 2
