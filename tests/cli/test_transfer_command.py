"""Whether a best setting transfers, from the shell."""

import json

import pandas as pd
import pytest
from conftest import WIDTHS, known_transfer, sweep_table

from bayescale.decisions import transfer


@pytest.fixture
def table(monkeypatch, tmp_path):
    """A table of two recipes, one of which has one width; fits are known."""
    monkeypatch.setattr(transfer, "fit", lambda runs, spec, **_: known_transfer(-1.0))
    good, bad = sweep_table(dict.fromkeys(WIDTHS, 4e-3)), sweep_table({128: 4e-3})
    path = tmp_path / "sweep.csv"
    pd.concat([good.assign(kind="adam"), bad.assign(kind="sgd")]).to_csv(path, index=False)
    return path


def test_recipes_from_the_shell(run, table):
    code, out, err = run("transfer", table, "--by", "kind", "--to", "4096", "--region", "2")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("adam. It drifts by more than a factor of 2.00: from width 128 to")
    assert any(line.startswith("sgd: not answered. every run has the width 128") for line in lines)
    assert "At width 4096, which nobody has run, it costs" in out
    assert lines[-1] == "Medians with central 90% credible intervals in brackets."


def test_json_and_pictures(run, table, tmp_path):
    code, out, err = run("transfer", table, "--by", "kind", "--plots", tmp_path / "made", "--json")
    assert code == 0, err
    found = json.loads(out)
    (entry,) = found["recipes"]
    assert (entry["recipe"], entry["to"][0]["value"]) == ("adam", 4096.0)
    assert list(found["refused"]) == ["sgd"]
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert made == {"adam-bowls.png", "adam-path.png"}


def test_one_recipe_needs_no_name(run, table):
    code, out, err = run("transfer", table, "--where", "kind == 'adam'", "--json")
    assert code == 0, err
    assert json.loads(out)["recipes"][0]["recipe"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "differ in kind: they are of several recipes; ask each by itself with --by kind"),
        (["--region", "0.9"], "--region 0.9: must be a factor above 1"),
        (["--tasks", "piqa"], "--tasks: a sweep is of losses"),
        (["--knob", "learning_rat"], "no column 'learning_rat'"),
        (["--axis", "depth"], "no column 'depth'"),
        (["--by", "sort"], "no column 'sort' to tell recipes by"),
        (["--model", "chinchilla", "--where", "kind == 'adam'"], "chinchilla"),
    ],
)
def test_refusals(run, table, options, said):
    if options == []:
        two = pd.read_csv(table)
        pd.concat([two, two[two["kind"] == "adam"].assign(kind="sgd")]).to_csv(table, index=False)
    code, _, err = run("transfer", table, *options)
    assert code == 2
    assert said in err
