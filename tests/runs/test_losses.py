"""Units of losses: stated, read in names, converted, and carried along."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import known_fit, simulated_table

from bayescale import (
    Runs,
    RunsError,
    RunsWarning,
    answer_plans,
    load_fit,
    plan_outcomes,
    plot_plans,
    rank_plans,
    read_runs,
)
from bayescale.posterior.fit import Fit

LOSS = simulated_table()["loss"]
GIVEN = {
    "nats": (LOSS, "nats per token"),
    "bits": (LOSS / np.log(2), "nats per token"),
    "ppl": (np.exp(LOSS), "nats per token"),
    "bpb:4.3": (LOSS / np.log(2) / 4.3, "nats per token"),
    "bpc:4.3": (LOSS / np.log(2) / 4.3, "nats per token"),
}


@pytest.mark.parametrize("unit", GIVEN)
def test_losses_become_nats_per_token(unit):
    values, label = GIVEN[unit]
    runs = read_runs(simulated_table().assign(loss=values), loss_unit=unit)
    np.testing.assert_allclose(runs.table["loss"], LOSS)
    assert runs.unit == label
    assert any(line.startswith("losses are in") and "as stated" in line for line in runs.ledger)


@pytest.mark.parametrize("name", ["val_ppl", "perplexity", "loss_bits"])
def test_the_unit_is_read_in_the_name(name):
    values = LOSS / np.log(2) if name == "loss_bits" else np.exp(LOSS)
    table = simulated_table().drop(columns="loss").assign(**{name: values})
    with pytest.warns(RunsWarning, match=f"loss from the column '{name}'"):
        runs = read_runs(table)
    np.testing.assert_allclose(runs.table["loss"], LOSS)
    assert any(f"as the name '{name}' says: made nats per token" in line for line in runs.ledger)


def test_bits_per_byte_stay_what_they_are_and_say_so(tmp_path):
    table = simulated_table().rename(columns={"loss": "bpb"})
    table["bpb"] = LOSS / np.log(2) / 4.3
    with pytest.warns(RunsWarning, match="column names"):
        runs = read_runs(table)
    assert runs.unit == "bits per byte"
    np.testing.assert_array_equal(runs.table["loss"], table["bpb"])
    own = known_fit()
    fitted = Fit(own.spec, Runs(runs.table, "test", unit=runs.unit), own.tree)
    assert fitted.spec.response.label == "loss (bits per byte)"
    again = load_fit(fitted.save(tmp_path / "fit.nc"))
    assert (again.runs.unit, again.spec.response.unit) == ("bits per byte", "bits per byte")
    assert own.spec.response.unit == "nats per token"


def test_a_perplexity_is_never_fitted_as_nats():
    table = simulated_table().assign(loss=np.exp(LOSS + 0.5))
    with pytest.raises(RunsError, match=r"median loss is .*--loss-unit ppl"):
        read_runs(table)
    np.testing.assert_allclose(read_runs(table, loss_unit="ppl").table["loss"], LOSS + 0.5)
    with pytest.warns(RunsWarning, match=r"perplexity\?"):
        read_runs(table, loss_unit="nats")


@pytest.mark.parametrize("unit", ["bits/byte", "bpb:", "bpb:-1", "bpb:x", "ppl:3", "bits:2", ""])
def test_another_unit_is_refused(unit):
    with pytest.raises(RunsError, match=r"losses cannot be in .*--loss-unit bpb:4.3"):
        read_runs(simulated_table(), loss_unit=unit)


def test_a_unit_of_losses_is_for_losses():
    with pytest.raises(RunsError, match="the model says accuracy"):
        read_runs(simulated_table().assign(accuracy=0.5), response="accuracy", loss_unit="bits")


@pytest.mark.parametrize(("name", "said"), [("val_ppl", "less than"), ("bpb", "more than")])
def test_values_that_deny_the_unit_in_the_name_are_doubted(name, said):
    table = simulated_table().rename(columns={"loss": name})
    table[name] += 1.0 if name == "bpb" else 0.5
    with pytest.warns(RunsWarning, match=f"another unit.*{said}.*--loss-unit nats"):
        read_runs(table, {"loss": name})
    assert read_runs(table, {"loss": name}, loss_unit="nats").notices == ()


def test_a_filter_speaks_of_nats():
    table = simulated_table().assign(loss=np.exp(LOSS))
    runs = read_runs(table, loss_unit="ppl", where="loss < 3")
    pd.testing.assert_index_equal(runs.table.index, LOSS.index[LOSS < 3])


def test_answers_and_pictures_carry_the_unit():
    own = known_fit()
    fitted = Fit(own.spec, replace(own.runs, unit="bits per byte"), own.tree)
    plans = pd.DataFrame({"plan": ["a", "b"], "params": [1e9, 2e9], "tokens": [2e10, 1e10]})
    ranked = rank_plans(plan_outcomes(fitted, plans))
    assert "bits per byte, as much as" in str(answer_plans(fitted, ranked))
    assert plot_plans(ranked).axes[0].get_xlabel() == "regret (bits per byte above the best plan)"
