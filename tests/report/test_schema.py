"""What is written as JSON is what its schema says: see also `run` in conftest.py."""

import json
from typing import NotRequired, TypedDict

import jsonschema
import pytest
import typer
from conftest import known_grouped_fit
from test_report_groups import repetition_fit

from bayescale.cli import app
from bayescale.decisions.approaches import answer_approaches, compare_approaches
from bayescale.decisions.multiplier import answer_multipliers
from bayescale.decisions.repetition import answer_repetition
from bayescale.files import SCHEMA, plain
from bayescale.posterior.describe import group_numbers
from bayescale.report import schema
from bayescale.report.fields import EVERYWHERE, OF_REPORTS
from bayescale.report.record import Companions, answer_fit, default_budgets
from bayescale.report.schema import WRITTEN, schema_of


@pytest.mark.parametrize("name", WRITTEN)
def test_schemas_are_json_schemas(run, name):
    code, out, err = run("schema", name)
    assert (code, err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(out))
    assert json.loads(out) == schema_of(name)


@pytest.mark.parametrize("name", [name for name in WRITTEN if name not in ("models", "datasets")])
def test_schemas_have_a_version_and_hold_what_is_written_to_it(name):
    found = schema_of(name)
    assert found["$id"] == f"urn:bayescale:{SCHEMA}:{name}"
    refs = [one["$ref"] for one in found.get("anyOf", [found])]
    for record in (found["$defs"][ref.rpartition("/")[2]] for ref in refs):
        assert "schema" in record["required"]
        assert record["properties"]["schema"]["enum"] == [SCHEMA]


def test_every_field_of_a_report_is_explained_and_no_field_that_there_is_not():
    of_report, others = schema_of("report")["$defs"], (schema_of(name) for name in WRITTEN)
    for part in of_report.values():
        assert [n for n, one in part["properties"].items() if not one.get("description")] == []
    there = {
        (r, n) for one in others for r, part in one["$defs"].items() for n in part["properties"]
    }
    known = {n for _, n in there} | {f"{record}.{n}" for record, n in there}
    assert {*EVERYWHERE, *OF_REPORTS} <= known
    assert of_report["Target"]["properties"]["decades_beyond"]["description"].startswith("By group")
    other = schema_of("tune")["$defs"]["RuleCost"]["properties"]["loss"]  # a share of it
    assert "description" not in other


def test_every_command_with_json_has_a_schema(run):
    commands = typer.main.get_command(app).commands
    having = {
        name: own
        for group in (commands, commands["plan"].commands)
        for name, own in group.items()
        if any("--json" in option.opts for option in own.params)
    }
    assert set(having) | {"report", "plan"} == set(WRITTEN)
    assert set(run("schema")[1].split()) == set(WRITTEN)
    code, _, err = run("schema", "optma")
    assert (code, "did you mean 'optima'" in err) == (2, True)


def test_a_report_is_what_its_schema_says_and_no_other(small_fit):
    record = json.loads(answer_fit(small_fit, default_budgets(small_fit)).to_json())
    jsonschema.validate(record, schema_of("report"))
    optimum = record["optima"][0]
    for broken in (
        {name: value for name, value in record.items() if name != "problems"},
        {**record, "unheard_of": 1},
        {**record, "schema": SCHEMA - 1},
        {**record, "optima": [{**optimum, "params": 1e9}]},
        {**record, "optima": [{**optimum, "verdict": {"word": "fine"}}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema_of("report"))


def test_what_stands_beside_a_fit_is_in_the_schema(small_fit, joint_fit):
    grouped = known_grouped_fit(a={}, b={"E": 1.9})
    compared = answer_multipliers(grouped, same_validation=True)
    refused = answer_multipliers(grouped)
    approaches = answer_approaches(small_fit, compare_approaches(small_fit, [1e21, 1e22]))
    held_out = Companions(held_out=small_fit.runs)
    record = answer_fit(small_fit, [1e21], held_out).record
    worth = answer_repetition(repetition_fit(R_D=12.0, epochs=60.0))
    assert worth.numbers["repetition"]
    record |= worth.numbers
    record |= {"schema": SCHEMA, "groups": group_numbers(grouped), **approaches.numbers}
    for multipliers in (compared, refused):
        told = {**record, "multipliers": multipliers.numbers["multipliers"]}
        jsonschema.validate(plain(told), schema_of("report"))
    assert "targets" in compared.numbers["multipliers"][0]
    bending = answer_fit(joint_fit, [1e22], Companions(exact=small_fit))
    found = json.loads(bending.to_json())
    jsonschema.validate(found, schema_of("report"))
    assert found["bend"]["axes"]
    assert found["optima"][0]["exact"]["disagrees"] in (True, False)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "bend": {"sd": 0.1}}, schema_of("report"))


def test_types_become_schemas(monkeypatch):
    class Part(TypedDict):
        """A part."""

        share: float | None
        name: NotRequired[str]

    monkeypatch.setitem(WRITTEN, "whole", dict[str, list[Part]])
    found = schema.schema_of("whole")
    assert found["additionalProperties"] == {"type": "array", "items": {"$ref": "#/$defs/Part"}}
    assert found["$defs"]["Part"] == {
        "description": "A part.",
        "type": "object",
        "properties": {
            "share": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "name": {"type": "string"},
        },
        "required": ["share"],
        "additionalProperties": False,
    }
