"""Whatever text is given: it is taken, or refused in a sentence, and means what it says."""

import tomllib

import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from bayescale.errors import BayescaleError
from bayescale.files import from_toml
from bayescale.modelling.spec import load_model, parse_model
from bayescale.runs.query import select
from bayescale.runs.reading import from_text, to_text

TEXT = st.text(max_size=60)
TABLE = pd.DataFrame({"loss": [1.0, 2.0], "run": ["a", "b"]})


def taken(function, *given):
    """Call a function; None where it refuses, which it does in a sentence."""
    try:
        return function(*given)
    except BayescaleError as error:
        said = str(error)
    assert 0 < len(said) < 3000
    return None


@given(st.text(alphabet='abc.[]{}="\n#1-_ ', max_size=80))
@example("[[a]]\n[a.b]")
def test_toml_is_read_as_the_standard_says_or_refused(text):
    try:
        found = from_toml(text)
    except ValueError:
        return
    assert found == tomllib.loads(text)


@given(st.text(alphabet=" .abcdefghilmnoprstuv=\"'{}[]0123456789-\n", max_size=40), st.integers(0))
def test_text_within_a_model_file_is_a_sentence_at_most(text, place):
    source = load_model("chinchilla").source
    place %= len(source)
    spec = taken(parse_model, source[:place] + text + source[place:], "own")
    assert spec is None or set(spec.priors) == set(load_model("chinchilla").priors)


@given(st.text(alphabet="losrun<>=!&|~()[]'\"`@.,+-*/% 0129andortis_:", max_size=40))
@example("loss > 1 and run == 'b'")
def test_filters_choose_rows_of_the_table_or_are_refused(where):
    found = taken(select, TABLE, where)
    if found is not None:
        pd.testing.assert_frame_equal(found, TABLE.loc[found.index])


@given(st.lists(TEXT | st.floats() | st.booleans() | st.none() | st.integers(-(2**53), 2**53)))
def test_a_table_of_any_cells_survives_as_text(cells):
    table = pd.DataFrame({"own": pd.Series(cells, dtype=object)})
    again = from_text(to_text(table))
    assert [shown(cell) for cell in again["own"]] == [shown(cell) for cell in cells]


def shown(cell) -> str:
    """Write a cell with its type; what is missing is missing, whatever stands for it."""
    return "missing" if pd.isna(cell) else f"{type(cell).__name__} {cell}"
