"""How large a batch may be, from the shell."""

import json

import pytest
from conftest import simulated_steps

FEW = ("--draws", "500", "--tune", "500")


@pytest.fixture
def steps(tmp_path):
    path = tmp_path / "steps.csv"
    simulated_steps().to_csv(path, index=False)
    return path


def test_text_and_picture(run, steps, tmp_path):
    code, out, err = run(
        "critical-batch", steps, "--overhead", "10%", "--base", "131072", "--params", "8B",
        "--size", "4M", "--sequence-length", "1024", "--plots", tmp_path / "made", *FEW,
    )  # fmt: skip
    assert (code, err.splitlines()[-1]) == (0, f"figures: {tmp_path / 'made'}")
    assert out.startswith("8B params: critical batch size ")
    assert "10% more tokens than the fewest" in out
    assert " sequences)" in out
    assert "Along params the critical batch size grows with an exponent of 0." in out
    assert (tmp_path / "made" / "critical_batch.png").stat().st_size > 10_000


def test_json(run, steps):
    code, out, _ = run("critical-batch", steps, "--axis", "params", "--at", "8B", "--json", *FEW)
    found = json.loads(out)
    assert (code, found["axis"], found["more"]) == (0, "params", 0.2)
    assert [entry["known"] for entry in found["curves"]] == [True] * 5 + [False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--overhead", "much"], "--overhead: 'much' is no positive share"),
        (["--params", "8B", "--axis", "tokens"], "--axis is tokens"),
        (["--params", "8B", "--at", "1e9"], "give models without runs by --at alone"),
        (["--axis", "loss"], "no column 'target_loss'"),
        (["--surface", "none.nc"], "none.nc: no such file"),
    ],
)
def test_what_can_be_mended_is_said_in_a_line(run, steps, options, said):
    code, _, err = run("critical-batch", steps, *options)
    assert code == 2
    assert said in err.splitlines()[-1]
