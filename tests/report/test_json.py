"""The whole document and the whole stream of lines of the sample, as golden/ holds them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nsagent.model.snapshot import Snapshot
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl

GOLDEN = Path(__file__).parent / "golden"


def text_of(chunks: Iterable[str]) -> str:
    return "".join(chunks)


def test_the_document_has_its_keys_in_order_and_one_record_per_line(snapshot: Snapshot) -> None:
    assert text_of(render_json(snapshot)) == (GOLDEN / "document.json").read_text("ascii")


def test_the_lines_are_the_pass_the_sockets_with_their_container_and_the_coverage(snapshot: Snapshot) -> None:
    assert text_of(render_jsonl(snapshot)) == (GOLDEN / "lines.jsonl").read_text("ascii")


def test_without_sockets_only_their_key_is_left_out(snapshot: Snapshot) -> None:
    document: dict[str, Any] = json.loads((GOLDEN / "document.json").read_text("ascii"))
    del document["sockets"]
    assert json.loads(text_of(render_json(snapshot, sockets=False))) == document


def test_lines_without_sockets_have_the_containers_instead(snapshot: Snapshot) -> None:
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in text_of(render_jsonl(snapshot, sockets=False)).split("\n")[:-1]
    ]
    document: dict[str, Any] = json.loads((GOLDEN / "document.json").read_text("ascii"))
    assert [line["type"] for line in lines] == ["snapshot", "container", "container", "coverage"]
    assert lines[1:3] == [{"type": "container", **container} for container in document["containers"]]


def test_empty_lists_are_valid_json(snapshot: Snapshot) -> None:
    document = json.loads(text_of(render_json(snapshot._replace(netns=(), containers=(), sockets=()))))
    assert (document["netns"], document["containers"], document["sockets"]) == ([], [], [])


def test_the_duration_has_microseconds(snapshot: Snapshot) -> None:
    document = json.loads(text_of(render_json(snapshot._replace(duration_seconds=1.23456789))))
    assert document["duration_seconds"] == 1.234568


@pytest.mark.parametrize("count", [499, 500, 501, 1000])
def test_rows_stay_in_order_across_chunks(snapshot: Snapshot, count: int) -> None:
    first = snapshot.sockets[0]
    many = snapshot._replace(sockets=tuple(first._replace(netns=number) for number in range(count)))
    document = json.loads(text_of(render_json(many)))
    assert [row["netns"] for row in document["sockets"]] == list(range(count))


def test_a_label_with_any_characters_keeps_its_value(snapshot: Snapshot) -> None:
    container = snapshot.containers[0]._replace(labels={"\u202e=": '\x1b"\\\n😀'})
    document = json.loads(text_of(render_json(snapshot._replace(containers=(container,)))))
    assert document["containers"][0]["labels"] == {"\u202e=": '\x1b"\\\n😀'}
