import numpy as np
import pytest
from conftest import simulated_table

from bayescale import load_model, read_runs
from bayescale.errors import RunsError
from bayescale.modelling.inputs import completed

PROFILES = load_model("isoflop-profiles")


def test_budgets_that_the_table_does_not_name_are_found_from_flops():
    runs = read_runs(simulated_table())
    found = completed(PROFILES, runs)
    budget = found.table["budget"]
    assert len(found) == len(runs) == 30
    np.testing.assert_allclose(budget, runs.column("flops"), rtol=0.05)
    assert (budget.value_counts() == 6).all()
    assert completed(PROFILES, found) is found
    assert completed(load_model("chinchilla"), runs) is runs


def test_budgets_that_are_no_flops_are_refused_with_a_remedy():
    table = simulated_table().eval("budget = 6 * params * tokens / 1e18")
    with pytest.raises(RunsError, match=r"'budget', rows 1, 2.*: 6 is not the compute .* 6e18"):
        completed(PROFILES, read_runs(table))
    scaled = completed(PROFILES, read_runs(table, units={"budget": 1e18}))
    np.testing.assert_allclose(scaled.table["budget"], scaled.table["flops"])
    renamed = read_runs(table, {"own_budget": "budget"})
    assert completed(PROFILES, renamed).table["budget"].nunique() == 5
