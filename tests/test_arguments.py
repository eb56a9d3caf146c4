"""Arguments of a wrong type: one sentence of ours, from every public function."""

import inspect
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import known_fit

import bayescale as bs
from bayescale import BayescaleError
from bayescale.arguments import numbers_of, typed
from bayescale.report.record import answer_fit

TABLE = pd.DataFrame({"params": [1e9], "tokens": [2e10], "loss": [2.5]})
WRONG = {
    "None": None,
    "a number": 3.0,
    "a negative number": -1.0,
    "a number as text": "1e23",
    "a path as text": "fit.nc",
    "a path": Path("fit.nc"),
    "a table": TABLE,
    "an empty list": [],
    "an empty dict": {},
    "a fit": known_fit(3),
    "runs": bs.read_runs(TABLE, params_are="total"),
    "draws": xr.Dataset({"loss": (("chain", "draw"), [[2.0]])}),
}
ONE_OF = {
    "Fit": ["a fit"],
    "Runs": ["runs"],
    "DataFrame": ["a table"],
    "Path": ["a path"],
    "str": ["a path as text", "a number as text"],
    "xarray": ["draws"],
    "Plans": ["a table"],
    "float": ["a number", "a negative number"],
    "Mapping": ["an empty dict"],
    "Sequence": ["an empty list"],
}
"""What a type in a signature may take of these."""


def functions():
    """Public functions with arguments; pictures and definitions of laws have tests of their own."""
    for name in sorted(bs.__all__):
        found = getattr(bs, name)
        own = inspect.isfunction(found) and not found.__module__.startswith("bayescale.plots")
        if own and inspect.signature(found).parameters and name not in ("law", "summarise"):
            yield found


def cases():
    for function in functions():
        first = next(iter(inspect.signature(function).parameters.values()))
        allowed = {name for kind, names in ONE_OF.items() if kind in str(first) for name in names}
        for name in WRONG:
            if name not in allowed:
                yield pytest.param(function, name, id=f"{function.__name__}-{name}")


@pytest.mark.parametrize(("function", "name"), list(cases()))
def test_wrong_first_argument_is_refused_in_one_sentence(function, name):
    _, *others = inspect.signature(function).parameters.values()
    needed = [own for own in others if own.default is own.empty]
    named = {own.name: None for own in needed if own.kind is own.KEYWORD_ONLY}
    rest = [None for own in needed if own.kind is own.POSITIONAL_OR_KEYWORD]
    with pytest.raises(BayescaleError) as refused:
        function(WRONG[name], *rest, **named)
    assert "\n" not in str(refused.value)


def test_refusal_says_what_to_pass():
    for given, said in (
        (TABLE, "fit must be a Fit, not a DataFrame; bayescale.fit"),
        ("fit.nc", "not the text 'fit.nc'; .*bayescale.load_fit"),
        (WRONG["runs"], "not a Runs"),
    ):
        with pytest.raises(BayescaleError, match=said):
            bs.compute_optimal(given, 1e23)
    with pytest.raises(BayescaleError, match=r"runs must be a Runs.*bayescale\.read_runs"):
        bs.check_runs(TABLE)
    with pytest.raises(BayescaleError, match=r"a number or a list of numbers.*without quotes"):
        bs.compute_optimal(known_fit(3), "1e23")


@pytest.mark.parametrize(
    "given", [1e23, 10**23, np.float32(1), [10**23], (1, 2.0), np.ones(2), pd.Series([1]), range(2)]
)
def test_numbers_of_all_kinds_are_taken(given):
    np.testing.assert_array_equal(numbers_of("x", given), np.array(given, dtype=float))


@pytest.mark.parametrize("given", ["1", ["1"], [], None, True, [None], [[1.0], [2.0]], {}, TABLE])
def test_what_is_no_number_is_refused(given):
    with pytest.raises(BayescaleError, match=r"^x must be a number or a list of numbers, not "):
        numbers_of("x", given)


@pytest.mark.parametrize("name", ["draws", "tune", "chains", "seed"])
@pytest.mark.parametrize("number", [1e3, 10.5, True, "10"])
def test_what_is_counted_is_a_whole_number(name, number):
    with pytest.raises(BayescaleError, match=f"^{name} must be a whole number, not "):
        bs.fit(TABLE, **{name: number})


@pytest.mark.parametrize(("name", "least"), [("draws", 1), ("tune", 1), ("chains", 1), ("seed", 0)])
def test_no_draws_are_refused_before_anything_is_read(name, least):
    with pytest.raises(BayescaleError, match=f"^{name} must be at least {least}, got {least - 1}$"):
        bs.fit("no such file.csv", **{name: least - 1})


def test_whole_numbers_may_be_of_numpy():
    @typed
    def twice(count: int) -> int:
        return 2 * count

    assert twice(np.int64(3)) == 6


def test_typed_function_stays_the_one_it_is():
    assert pickle.loads(pickle.dumps(bs.compute_optimal)) is bs.compute_optimal
    assert list(inspect.signature(bs.cheapest).parameters)[:2] == ["fit", "target"]


def test_nothing_is_checked_without_annotations():
    assert typed(lambda x: x)("anything") == "anything"


GOOD = {
    "fit": known_fit(9),
    "flops": 1e22,
    "budgets": [1e22],
    "max_flops": 1e21,
    "params": 1e9,
    "tokens": 2e10,
    "unique_tokens": 1e9,
    "inference_tokens": 1e12,
    "smaller": 1e9,
    "larger": 2e9,
    "target": 2.5,
    "quantity": 1e22,
    "epochs": 2.0,
    "losses": [2.5],
    "values": [1e22],
    "plans": TABLE,
    "new": TABLE,
}
ASKED = (
    "answer_optima",
    "at_size",
    "basin",
    "break_even",
    "candidate_runs",
    "cheapest",
    "compute_optimal",
    "expected_reduction",
    "log_optimum",
    "plan_outcomes",
    "rank_plans",
    "suggest_runs",
)
"""What can be asked of the fit above with these."""
NUMBERS = [
    (name, own.name)
    for name in ASKED
    for own in inspect.signature(getattr(bs, name)).parameters.values()
    if "float" in str(own.annotation) and "Mapping" not in str(own.annotation)
]


def given_to(name):
    if name == "rank_plans":
        return {"outcomes": GOOD["fit"], "plans": GOOD["plans"]}
    taken = inspect.signature(getattr(bs, name)).parameters
    return {own: value for own, value in GOOD.items() if own in taken}


@pytest.mark.parametrize("name", ASKED)
def test_numbers_and_tables_are_enough_for_a_question(name):
    getattr(bs, name)(**given_to(name))


@pytest.mark.parametrize("wrong", ["1e23", -1.0, float("nan"), [], ["1e22"], TABLE, {}])
@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_wrong_number_is_refused_in_one_sentence(name, argument, wrong):
    with pytest.raises(BayescaleError) as refused:
        getattr(bs, name)(**{**given_to(name), argument: wrong})
    assert "\n" not in str(refused.value)


def test_inputs_may_be_keywords_a_dict_or_a_table():
    own, named = GOOD["fit"], {"params": 1e9, "tokens": 2e10}
    for ask in (bs.predict, bs.predict_runs):
        expected = ask(own, named)
        xr.testing.assert_identical(ask(own, **named), expected)
        xr.testing.assert_identical(ask(own, {"params": 1e9}, tokens=2e10), expected)
        np.testing.assert_array_equal(ask(own, TABLE).squeeze("run"), expected)
        with pytest.raises(BayescaleError, match="does not read 'token'; did you mean 'tokens'"):
            ask(own, params=1e9, token=2e10)
        with pytest.raises(BayescaleError, match=r"params must be a number.*without quotes"):
            ask(own, params="1e9", tokens=2e10)
        with pytest.raises(BayescaleError, match="params, tokens missing"):
            ask(own)


def test_fit_is_described_without_a_question(small_fit):
    answer = answer_fit(small_fit, ())
    assert answer.numbers["optima"] == []
    assert answer.numbers["parameters"]["E"]["median"] > 0
