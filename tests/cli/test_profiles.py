import json
import re

import pytest
from conftest import TRUTH, simulated_table

from bayescale import compute_optimal, constants_fit

SAMPLED = ("--model", "isoflop-profiles", "--draws", "500", "--allow-unconverged")


@pytest.fixture
def table(tmp_path):
    runs = simulated_table(0.003).eval("flops = 6 * params * tokens")
    runs.drop(columns="tokens").to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def best_of(entry):
    assert entry["params"]["q05"] < entry["params"]["median"] < entry["params"]["q95"]
    return entry["params"]["median"]


def test_isoflop_profiles_from_the_table_to_the_answer(run, table, tmp_path):
    code, _, err = run("fit", table, *SAMPLED)
    assert code == 0, err
    code, out, err = run("optima", "fit.nc", "--flops", "1e23", "--json")
    assert code == 0, err
    truth = compute_optimal(constants_fit("chinchilla", **TRUTH), 1e23)["params"].item()
    (entry,) = json.loads(out)["optima"]
    assert entry["params"]["q05"] < truth < entry["params"]["q95"]
    code, _, err = run("plan", "fit.nc", "next-runs", "--flops", "1e23", "--max-flops", "1e20")
    assert (code, "ask for it with compute_optimal (bayescale optima)" in err) == (2, True)


def test_report_on_isoflop_profiles(run, table, tmp_path):
    code, out, err = run("report", table, *SAMPLED, "--flops", "1e23", "--out", "page")
    assert code == 0, err
    assert {"1e23 FLOPs", "parameters N*"} <= set(re.split(r"\s{2,}|\n", out))
    assert "loss" not in out
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert "and the power law through them" in page
    summary = json.loads((tmp_path / "page" / "summary.json").read_text("utf-8"))
    assert best_of(summary["optima"][0]) > 1e10
    assert summary["predictions"] == []


def test_report_on_profiles_takes_budgets_alone(run, table):
    code, _, err = run("report", table, "--model", "isoflop-profiles", "--at", "1e9")
    assert (code, "answers for budgets of compute: use --flops" in err) == (2, True)
