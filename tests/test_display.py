"""Results show themselves, as HTML and as text, and say first what speaks against them."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import known_fit, simulated_table

from bayescale import (
    Answer,
    Backtest,
    Check,
    Comparison,
    Status,
    answer_optima,
    check_runs,
    classify_curve,
    find_optimum,
    read_runs,
)
from bayescale.display import MOST_ROWS, Bold, Grid, Shown
from bayescale.errors import RunsWarning
from bayescale.evaluation.checks.suite import answer_checks
from bayescale.runs.check import Checks

ODD = '<script>alert("1")</script> & $x$'


class Whole(HTMLParser):
    """Every element that opens closes, in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(html: str) -> str:
    parser = Whole()
    parser.feed(html)
    assert parser.open == []
    return unescape(re.sub(r"<[^>]+>", "\n", html))


def both(shown: Shown) -> tuple[str, str]:
    """Show as text and as HTML; nothing in it has a colour of its own."""
    html = shown._repr_html_()
    assert not re.search(r"color|background|#[0-9a-f]{3}", html)
    return repr(shown), text_of(html)


class Parts(Shown):
    def __init__(self, *parts):
        self.parts = parts

    def _parts(self):
        return self.parts


def test_parts_are_escaped_and_long_tables_counted():
    shown = Parts(Bold(ODD), ODD, Grid(["a", ODD], [["1", ODD]] * (MOST_ROWS + 3)))
    assert "<script>" not in shown._repr_html_()
    assert "mathjax_ignore" in shown._repr_html_()
    for text in both(shown):
        assert text.count(ODD) == 2 + 1 + MOST_ROWS
        assert "and 3 more" in text


def test_runs_show_their_range_what_was_done_and_what_is_doubtful():
    table = simulated_table().assign(family=ODD)
    table.loc[30] = table.loc[29]
    with pytest.warns(RunsWarning, match="duplicate"):
        runs = read_runs(table, where="tokens > 1e9")
    for text in both(runs):
        assert text.strip().startswith(f"{len(runs)} runs of a table in memory")
        assert text.index("REVIEW duplicate") < text.index("smallest")
        assert ODD in text
        assert "dropped by the filter" in text
        for value in ("run-5", "3e21", "400B"):
            assert value in text, value


def test_runs_of_any_columns_show_themselves():
    table = simulated_table().rename(columns={"params": "N"})[["N", "loss"]]
    assert "smallest" in repr(read_runs(table.rename(columns={"N": "params"})))
    nothing = replace(known_fit().runs)
    assert both(nothing)[0] == "0 runs of given constants, params are: not stated"


def test_a_fit_says_whether_it_converged_before_its_parameters(small_fit):
    for text in both(small_fit):
        assert text.index("Converged: R-hat") < text.index("alpha")
        low, high = small_fit.posterior["alpha"].quantile([0.05, 0.95]).to_numpy()
        assert f"{low:.4g} to {high:.4g}" in text
        assert "answer_optima(fit, [1e24])" in text


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.nan, np.inf, 1.0])
def test_a_fit_that_did_not_converge_says_so_first(small_fit, value):
    broken = replace(small_fit, failures={"law along tokens": "it bends"})
    broken.tree["posterior"]["alpha"] = broken.posterior["alpha"] * 0 + value
    for text in both(broken):
        assert text.index("Not converged, do not use these numbers") < text.index("central 90%")
        assert text.index("FAIL law along tokens: it bends") < text.index("central 90%")


def test_constants_ask_for_no_runs():
    for text in both(known_fit(1)):
        assert "by given constants" in text
        assert "plot_predicted" not in text
        assert "check_fit" not in text


def test_an_answer_says_caveats_then_sentences_then_numbers():
    fit = replace(known_fit(), failures={"law along tokens": "it bends"})
    answer = answer_optima(fit, [1e22, 1e24])
    middle = answer.numbers["optima"][1]["loss"]["median"]
    for text in both(answer):
        assert text.index("FAIL law along tokens") < text.index("For 1e22 FLOPs")
        assert text.index("For 1e24 FLOPs") < text.index("tokens_per_param")
        assert f"{middle:.4g} (" in text
    assert str(answer) == "\n".join((*answer.caveats, *answer.sentences))


def test_a_line_with_lines_of_its_own_is_their_heading():
    answer = Answer(None, {}, ("law: power law", "    exponent 0.5", "", "1 curve."))
    text, page = both(answer)[0], answer._repr_html_()
    assert text.splitlines() == list(answer.sentences) == str(answer).splitlines()
    assert "<p><strong>law: power law</strong></p>" in page
    assert '<p style="margin: 0 0 0 1.5em">exponent 0.5</p><p>1 curve.</p>' in page


def test_checks_come_worst_first_and_are_a_list(runs):
    made = Checks(
        [
            Check("design", Status.PASS, "well"),
            Check("law", Status.FAIL, ODD, "Fit another."),
            Check("shape", Status.REVIEW, "broken"),
        ]
    )
    for text in both(made):
        assert "1 FAIL, 1 REVIEW, 1 PASS" in text
        assert text.index("law") < text.index("shape") < text.index("design")
        assert "Fit another." in text
    assert made[0].name == "design"
    assert isinstance(check_runs(runs), list)
    assert check_runs(runs)._repr_html_()
    assert "1 FAIL, 1 REVIEW, 1 PASS" in repr(answer_checks(made))


def test_a_backtest_and_a_comparison_show_what_their_answers_say():
    for kind in (Backtest, Comparison):
        assert "_parts" in vars(kind)
        assert "__repr__" not in vars(kind)
    rows = {
        "cut": [1e20, 1e20, 1e21],
        "fitted": 10,
        "converged": True,
        "law": "model",
        "run": ["a", "b", "c"],
        "decades": [0.2, 0.7, 0.4],
        "flops": [1.6e20, 5e20, 2.5e21],
        "block": ["next", "later", "next"],
        "loss": 2.5,
        "error": [0.01, -0.02, 0.0],
        "log_score": 1.0,
        "crps": 0.1,
        "inside50": True,
        "inside80": True,
        "inside90": True,
        "q05": 2.0,
        "q10": 2.1,
        "q25": 2.2,
        "q50": 2.5,
        "q75": 2.8,
        "q90": 2.9,
        "q95": 3.0,
    }
    found = Backtest(pd.DataFrame(rows), "chinchilla", "flops", ("a cut: 3 divergent",))
    for text in both(found):
        assert text.index("3 divergent") < text.index("Backtested to 0.7 decades")


def test_a_sweep_and_the_shape_of_a_curve_say_what_they_found():
    x = np.geomspace(1e-4, 1e-2, 9)
    sweep = find_optimum(x, 2 + 0.1 * np.log(x / 1e-3) ** 2)
    assert both(sweep) == (f"{sweep.message}.", f"\n\n{sweep.message}.\n\n")
    shape = classify_curve(np.geomspace(1e8, 1e10, 12), 2 + np.geomspace(1, 0.1, 12))
    for text in both(shape):
        assert [line for line in text.splitlines() if line] == ["saturated", f"{shape.message}."]


def test_numbers_of_an_answer_that_are_probabilities_are_in_percent():
    entries = [
        {"plan": plan, "p_best": p, "p_value": 0.03} for plan, p in (("a", 0.9995), ("b", 0.2))
    ]
    answer = Answer(None, {"plans": [*entries, {"plan": "c", "p_best": 0.0}]}, ())
    assert [line.split()[1:] for line in repr(answer).splitlines()[-3:]] == [
        ["more", "than", "99%", "0.03"],
        ["20%", "0.03"],
        ["less", "than", "1%"],
    ]


def test_columns_without_a_value_are_not_shown_of_runs():
    said = str(read_runs(simulated_table().assign(Sweep=np.nan, Notes="-")))
    assert "Notes: -" in said
    assert "Sweep" not in said
