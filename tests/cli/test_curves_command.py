"""The commands `curves` and `forecast`: one fit, one answer, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

TOKENS = np.geomspace(1e9, 1e11, 12)
ALPHA, FLOOR = 0.4, 1.7


def law(tokens):
    return FLOOR + 0.9 * (np.asarray(tokens) / 1e9) ** -ALPHA


@pytest.fixture
def table(tmp_path):
    """Write a power law, a bowl, a curve with a loss of 0, and a curve of two points."""
    rng = np.random.default_rng(5)
    noise = np.exp(0.002 * rng.standard_normal((2, 12)))
    bowl = (2 + 0.15 * np.log10(TOKENS / 8e9) ** 2) * noise[1]
    bad = np.where(np.arange(12) == 4, 0.0, law(TOKENS))
    curves = {"law": law(TOKENS) * noise[0], "bowl": bowl, "bad": bad, "short": law(TOKENS)[:2]}
    rows = [
        {"curve": name, "tokens": x, "loss": y, "task": name[0]}
        for name, values in curves.items()
        for x, y in zip(TOKENS, values, strict=False)
    ]
    path = tmp_path / "curves.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def ask(table, *more, command="curves"):
    return (command, table, "--x", "tokens", "--by", "curve", *more)


def interval(record):
    return record["q05"], record["q95"]


def test_curves_and_forecasts_are_one_record(run, table):
    code, out, err = run(*ask(table, "--at", "2x,1T", "--json"))
    assert code == 0
    (line,) = err.splitlines()
    assert line.startswith("refused: bad: row 29: 0 has no logarithm")
    record = json.loads(out)
    curves = {one["curve"]: one for one in record["curves"]}
    assert list(curves) == ["law", "bowl", "bad", "short"]
    assert sum(record["counts"].values()) == 4
    own = curves["law"]
    assert [forecast["x"] for forecast in own["forecasts"]] == pytest.approx([2e11, 1e12])
    for forecast in own["forecasts"]:
        low, high = interval(forecast)
        assert low < law(forecast["x"]) < high
        assert not low < law(forecast["x"]) * 1.1 < high  # which another curve would be
        quantiles = [
            forecast[name] for name in ("q05", "q10", "q25", "median", "q75", "q90", "q95")
        ]
        assert quantiles == sorted(quantiles)
    assert own["exponent"]["q05"] < ALPHA < own["exponent"]["q95"]
    assert own["floor"]["q05"] < FLOOR < own["floor"]["q95"]
    assert curves["bowl"]["label"] == "non_monotone"
    assert curves["bowl"]["forecasts"] == curves["bad"]["forecasts"] == []
    assert "no law says" in curves["bowl"]["doubts"]
    assert curves["bowl"]["best"]["q05"] < 8e9 < curves["bowl"]["best"]["q95"]
    assert own["best"] is None
    assert (curves["bad"]["label"], curves["bad"]["slope"]) == ("refused", None)
    assert record["together"]["fall"] is None  # of too few curves


def test_forecast_is_curves_with_values_of_x(run, table):
    one = ("--where", "curve == 'law'")
    code, out, _ = run(*ask(table, *one, "--at", "200B"))
    assert code == 0
    assert run(*ask(table, *one, "--at", "2e11", command="forecast"))[:2] == (0, out)
    said = [line for line in out.splitlines() if "beyond" not in line and "Brackets" not in line]
    labelled = run(*ask(table, *one))[1].splitlines()
    assert [line for line in labelled if "Brackets" not in line] == said


def test_each_curve_is_said_in_a_few_lines(run, table):
    lines = run(*ask(table, "--at", "2x"))[1].splitlines()
    place = lines.index("law: power law, 12 points over 2.00 decades")
    assert lines[place + 1].startswith("    exponent 0.")
    assert ", irreducible loss 1." in lines[place + 1]
    assert lines[place + 2].startswith("    slope at the top -0.")
    assert "P(getting worse) less than 1%" in lines[place + 2]
    assert any(line.startswith("    tokens 200B, 0.30 decades beyond: 1.") for line in lines)
    assert any(line.startswith("    no forecast: no law says what comes after") for line in lines)
    assert lines[0].startswith("4 curves: 1 ")
    assert lines[1] == ""


def test_each_refusal_is_said_once(run, table):
    few = pd.read_csv(table)
    few = few[(few["curve"] != "law") | (few["tokens"] <= TOKENS[2])]
    few.to_csv("few.csv", index=False)
    for asked in ((), ("--at", "2x")):
        code, out, err = run(*ask("few.csv", *asked))
        assert (code, err) == (0, "")
        for said in ("0 has no logarithm", "2 different x make no curve", "3 sizes are too few"):
            assert out.count(said) == 1
    assert out.count("3 different x") == 0  # the headline and its reason say how many there are
    assert "note: the interval is mostly what curves are like" in out


def test_a_quantity_that_grows_has_an_exponent_of_growth_and_no_floor(run):
    batch = 60 * (TOKENS / 1e9) ** 0.43 * np.exp(0.02 * np.random.default_rng(1).normal(size=12))
    pd.DataFrame({"tokens": TOKENS, "batch": batch}).to_csv("batch.csv", index=False)
    asked = ("batch.csv", "--x", "tokens", "--y", "batch", "--at", "1T")
    code, out, err = run("curves", *asked, "--quantity", "--json")
    assert (code, err) == (0, "")
    (own,) = json.loads(out)["curves"]
    assert (own["metric"], own["floor"]) == ("growing", None)
    for name in ("exponent", "slope"):
        assert own[name]["q05"] < 0.43 < own[name]["q95"]
    assert 0.9 < own["forecasts"][0]["median"] / (60 * 1e3**0.43) < 1.1
    text = run("curves", *asked, "--quantity")[1]
    assert "grows with exponent 0.4" in text
    assert "P(rising) more than 99%" in text
    assert "irreducible" not in text
    out = run("curves", *asked, "--json")[1]
    assert json.loads(out)["curves"][0]["label"] == "inverse"  # as a loss it gets worse


def test_tables_and_pictures_are_written(run, table):
    code, _, err = run(*ask(table, "--out", "labels.csv", "--at", "2x,4x", "--plots", "made"))
    assert code == 0, err
    rows = pd.read_csv("labels.csv")
    assert rows["curve"].tolist() == ["law", "law", "bowl", "bad", "short"]
    assert {"x", "q10", "median", "label", "floor", "p_power_law", "doubts"} <= set(rows)
    assert rows["message"][0].startswith("power law, exponent")
    assert rows["doubts"][2].startswith("no law says what comes after a turn")
    assert run(*ask(table, "--out", "bare.csv"))[0] == 0
    same = ["slope", "exponent", "message"]  # one name, one number, asked for forecasts or not
    bare = pd.read_csv("bare.csv").set_index("curve").loc[["law"], same]
    pd.testing.assert_frame_equal(rows.set_index("curve")[same].iloc[:1], bare)
    assert [path.name for path in sorted(Path("made").iterdir())] == [
        "0001-law.png",
        "0002-bowl.png",
    ]
    code, _, err = run(*ask(table, "--out", "labels.csv"))
    assert (code, "exists already" in err) == (2, True)


def test_only_when_all_curves_are_refused_the_exit_code_is_2(run, table):
    code, out, err = run(*ask(table, "--where", "curve == 'bad'"))
    assert (code, out) == (2, "")
    assert err.startswith("error: no curve can be used: bad: row 29: 0 has no logarithm")
    code, out, _ = run(*ask(table, "--where", "curve == 'bowl'", "--at", "2x"))
    assert (code, "no forecast" in out) == (0, True)


@pytest.mark.parametrize("value", ["many", "0", "-1e12", "x", "1e12y"])
def test_values_of_x_are_read_before_the_work(run, table, value, monkeypatch):
    monkeypatch.setattr("bayescale.curves.table.fit_curves", lambda *_, **__: 1 / 0)
    code, out, err = run(*ask(table, "--at", f"2x,{value}"))
    assert (code, out) == (2, "")
    assert f"got {value!r} for an x to forecast: write a positive number" in err


def test_options_reach_the_fit(run, table, monkeypatch):
    seen = {}

    def kept(*_, **given):
        seen.update(given)
        raise ZeroDivisionError

    monkeypatch.setattr("bayescale.curves.table.fit_curves", kept)
    more = ("--cluster", "task,curve", "--model", "power-law", "--alone", "--chance", "0.25")
    with pytest.raises(ZeroDivisionError):
        run(*ask(table, *more, "--stderr", "se", "--trials", "n", "--seed", "7", "--quantity"))
    assert seen == {
        "stderr": "se",
        "trials": "n",
        "higher_is_better": False,
        "chance": 0.25,
        "quantity": True,
        "cluster": ["task", "curve"],
        "model": "power-law",
        "alone": True,
        "seed": 7,
    }
    code, _, err = run(*ask(table, "--higher-is-better", "--higher-is-better-column", "up"))
    assert (code, "give one" in err) == (2, True)


def test_steps_say_of_how_many_curves(run, table):
    _, _, err = run(*ask(table, "--verbose", "--alone"))
    assert "labelling 2 curves" in err
    assert "fitting 1 curve, each alone" in err


def test_a_model_that_is_not_of_a_curve_is_refused(run, table):
    code, _, err = run(*ask(table, "--model", "chinchilla"))
    assert (code, err.startswith("error: ")) == (2, True)
    assert err.count("\n") == 1


def test_accuracies_read_as_losses_get_a_hint(run, tmp_path):
    rising = pd.DataFrame({"tokens": TOKENS, "acc": 1 - 0.5 * (TOKENS / 1e9) ** -0.3})
    rising.to_csv(tmp_path / "acc.csv", index=False)
    asked = ("curves", tmp_path / "acc.csv", "--x", "tokens", "--y", "acc")
    out = run(*asked)[1]
    assert "Accuracies are read with --higher-is-better" in out
    assert "irreducible" not in out  # of a loss that only rises nothing is irreducible
    assert "Most curves get worse" not in run(*asked, "--higher-is-better")[1]
