"""`-o yaml` is the document of `-o json`, for any reader and whatever things are called."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nsagent.model.snapshot import Snapshot
from nsagent.report.json import render_json
from nsagent.report.yaml import make_dumper, render_yaml
from tests.golden import CAPTURES, COMMANDS, golden_file
from tests.report.test_hostile_text import EXAMPLES, HOSTILE, TEXTS_PER_SNAPSHOT, poisoned

LABEL = 6
"""Which of the texts is the key of a label."""

DOCUMENTS = [(capture, command) for capture in CAPTURES for command in COMMANDS]

MISREAD = (
    "y", "n", "Y", "N", "yes", "No", "on", "OFF", "true", "False", "null", "Null", "~", "",
    "0", "7", "-1", "+1", "0644", "08", "0o17", "0x1F", "0b11", "1_000", "1.5", "1.", ".5", "-.5", "1e3", "1E-3",
    "1.5e3", "12e03", ".inf", "-.INF", ".nan", "12:30", "190:20:30", "1:2.5", "2026-01-02", "2026-01-02T03:04:05.678Z",
    "<<", "=", "-", "--", "---", "...", "?", ": ", "a: b", "a #b", "#", "&a", "*a", "!a", "!!int 3", "%a", "@a", "`a",
    "[a]", "{a: b}", "|", ">", "'", '"', "a'b", 'a"b', "\\", "a\\nb", " a", "a ", "a\nb", "\n", "\t", "a\tb",
    "0O17", "0X1F", "0B11", "1e5_0", "2026-1-2",
)  # fmt: skip
"""What a reader of YAML 1.1 or 1.2 takes for no text, or for the text of something else, if it stands bare."""

TEXTS = st.lists(
    HOSTILE | st.sampled_from(MISREAD) | st.from_regex(r"[-+.0-9_:eExo]{1,12}", fullmatch=True),
    min_size=TEXTS_PER_SNAPSHOT,
    max_size=TEXTS_PER_SNAPSHOT,
)


def load(text: str) -> Any:
    """As yaml.safe_load, in a tenth of the time where there is libyaml."""
    return yaml.load(text, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)  # noqa: S506


def text_of(snapshot: Snapshot, **more: Any) -> str:
    return "".join(render_yaml(snapshot, **more))


def named(snapshot: Snapshot, name: str) -> Snapshot:
    """The sample with one container of this name."""
    return snapshot._replace(containers=(snapshot.containers[0]._replace(name=name, labels={name: name}),))


@pytest.mark.parametrize(("capture", "command"), DOCUMENTS)
def test_the_golden_yaml_is_the_golden_json(capture: Any, command: str) -> None:
    as_json, as_yaml = (golden_file(capture, command, format_).read_text() for format_ in ("json", "yaml"))
    document = load(as_yaml)
    assert document == json.loads(as_json)
    assert json.dumps(document) == json.dumps(json.loads(as_json)), "the order of keys"


@settings(max_examples=EXAMPLES, deadline=None)
@given(texts=TEXTS)
def test_hostile_text_is_the_same_value_as_in_json_and_nothing_of_it_acts(
    snapshot: Snapshot, texts: Sequence[str]
) -> None:
    hostile = poisoned(snapshot, texts)
    text = text_of(hostile)
    assert yaml.safe_load(text) == json.loads("".join(render_json(hostile)))
    assert text.replace("\n", "").isprintable()
    assert text.isascii()


@settings(max_examples=EXAMPLES, deadline=None)
@given(texts=TEXTS)
def test_the_dumpers_in_c_and_in_python_write_the_same_bytes(snapshot: Snapshot, texts: list[str]) -> None:
    texts[LABEL] = re.sub("[\n\r\x85\u2028\u2029]", "", texts[LABEL]) or "key"
    document = json.loads("".join(render_json(poisoned(snapshot, texts))))
    in_c, in_python = (
        yaml.dump(document, Dumper=make_dumper(base), sort_keys=False, width=1 << 30)
        for base in (yaml.CSafeDumper, yaml.SafeDumper)
    )
    assert in_c == in_python == text_of(poisoned(snapshot, texts))


@pytest.mark.parametrize("key", ["", "a\nb", "k" * 300])
def test_a_key_of_any_kind_keeps_its_value_with_either_dumper(key: str) -> None:
    for base in (yaml.CSafeDumper, yaml.SafeDumper):
        assert yaml.safe_load(yaml.dump({"labels": {key: "x"}}, Dumper=make_dumper(base))) == {"labels": {key: "x"}}


@pytest.mark.parametrize("name", MISREAD)
def test_what_a_reader_may_take_for_something_else_is_quoted(snapshot: Snapshot, name: str) -> None:
    (line,) = [line for line in text_of(named(snapshot, name)).splitlines() if line.startswith("  name: ")]
    value = line.removeprefix("  name: ")
    assert value[0] == value[-1] in "\"'"
    assert yaml.safe_load(value) == name


@pytest.mark.parametrize("name", ["web", "web-7d9c", "shop_web.1", "10.0.0.2", "/sys/fs", "a" * 200, "0c0ffee", "1e3d"])
def test_what_every_reader_takes_for_text_stands_bare(snapshot: Snapshot, name: str) -> None:
    assert f"\n  name: {name}\n" in text_of(named(snapshot, name))


def test_without_sockets_only_their_key_is_left_out(snapshot: Snapshot) -> None:
    document = yaml.safe_load(text_of(snapshot))
    del document["sockets"]
    assert yaml.safe_load(text_of(snapshot, sockets=False)) == document


def test_empty_lists_are_there(snapshot: Snapshot) -> None:
    document = yaml.safe_load(text_of(snapshot._replace(netns=(), containers=(), sockets=())))
    assert (document["netns"], document["containers"], document["sockets"]) == ([], [], [])


@pytest.mark.parametrize("count", [1, 500, 501])
def test_rows_stay_in_order_across_chunks(snapshot: Snapshot, count: int) -> None:
    first = snapshot.sockets[0]
    many = snapshot._replace(sockets=tuple(first._replace(netns=number) for number in range(count)))
    pieces = list(render_yaml(many))
    assert [row["netns"] for row in load("".join(pieces))["sockets"]] == list(range(count))
    assert max(piece.count("\n- netns:") for piece in pieces) <= 500


def test_the_same_thing_twice_is_written_twice(snapshot: Snapshot) -> None:
    first = snapshot.sockets[0]
    assert "&" not in text_of(snapshot._replace(sockets=(first, first)))
