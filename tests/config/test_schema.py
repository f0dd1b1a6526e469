"""The JSON Schema: made of the models, with a text for each key, and no stricter than what is read."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nsagent.config.explain import list_keys
from nsagent.config.model import Config, FileOutput, HttpOutput, Report, Select, Spool, StdoutOutput
from nsagent.config.schema import make_schema


def list_properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        for key, described in section.get("properties", {}).items():
            yield f"{name}.{key}", described


def test_the_schema_is_json_and_says_which_draft_it_is_of() -> None:
    schema = make_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_no_section_takes_other_keys() -> None:
    schema = make_schema()
    sections = [schema, *(each for each in schema["$defs"].values() if "properties" in each)]
    assert [section["additionalProperties"] for section in sections] == [False] * 11


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Config.version", {"const": 1}),
        ("Config.interval", {"type": "string", "default": "30s"}),
        ("Config.log", {"enum": ["line", "json"], "default": "line"}),
        ("Report.name", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"}),
        ("History.max_size", {"type": "string", "default": "256MiB"}),
        ("Report.select", {"$ref": "#/$defs/Select"}),
    ],
)
def test_a_key_is_described_as_it_is_written(where: str, expected: dict[str, Any]) -> None:
    described = dict(list_properties(make_schema()))[where]
    assert {key: described.get(key) for key in expected} == expected


def test_what_may_be_one_or_several_is_so_in_the_schema() -> None:
    one = {"type": ["string", "integer"]}
    described = dict(list_properties(make_schema()))["Select.port"]
    assert described["anyOf"] == [one, {"type": "array", "items": one}]


def test_every_key_whose_name_does_not_say_it_all_has_a_description() -> None:
    plain = ("Config.version", "Config.limits", "Config.reports", "Config.http", "Config.history", "Report.select")
    bare = [where for where, described in list_properties(make_schema()) if "description" not in json.dumps(described)]
    assert [where for where in bare if where not in plain and not where.endswith(".type")] == []


@pytest.mark.parametrize(
    ("loc", "section"),
    [
        ((), Config),
        (("reports", 3), Report),
        (("reports", 0, "select"), Select),
        (("reports", 0, "outputs", 2, "file"), FileOutput),
        (("reports", 0, "outputs", 2, "stdout"), StdoutOutput),
        (("reports", 0, "outputs", 0, "http"), HttpOutput),
        (("reports", 0, "outputs", 0, "http", "spool"), Spool),
    ],
)
def test_the_keys_of_a_section_are_found_by_its_name(loc: tuple[str | int, ...], section: Any) -> None:
    assert list_keys(loc, make_schema()) == list(section.model_fields)
