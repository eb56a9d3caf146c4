"""The command that tunes settings: an answer, and below it what is doubtful, each once."""

import pytest
from conftest import KNOBS, known_settings, simulated_settings


@pytest.fixture
def troubled(tmp_path, monkeypatch):
    """A sweep with a crashed run, missing cells, and a cell whose best rate is the largest."""
    monkeypatch.setattr("bayescale.decisions.tune.fit", lambda *_, **__: known_settings())
    table = simulated_settings().assign(state="finished")
    cells = list(table.groupby(["params", "tokens"]).groups.values())
    rates = table["learning_rate"]
    table = table.drop(index=[row for row in cells[0] if rates[row] > rates[cells[0]].min()])
    below = table.index.isin(cells[1]) & (rates[table.index] > rates[cells[1]].median())
    table = table[~below]
    table.loc[cells[2][0], "learning_rate"] = None
    table.loc[cells[2][1], "loss"] = None
    table.loc[cells[3][0], "state"] = "crashed"
    path = tmp_path / "sweep.csv"
    table.to_csv(path, index=False)
    return path


def test_each_doubt_is_said_once_and_short(run, troubled):
    code, out, err = run(
        *("tune", troubled, "--knobs", ",".join(KNOBS)),
        *("--params", "1.6e9", "--tokens", "2.56e11"),
    )
    assert code == 0
    assert out.startswith("1.60B params on 256B tokens: best learning_rate ")
    said = [line.removeprefix("warning: ") for line in err.splitlines()]
    assert [line.split(":")[0] for line in said] == [
        "knob not known",
        "runs without a loss",
        "unfinished runs",
        "few values of a knob",
    ]
    assert max(map(len, said)) < 230
    assert "mid-schedule:" not in err
