"""Counts of sockets by columns: their order, their documents."""

import json
from typing import Any

import pytest
import yaml

from nsagent.errors import UsageError
from nsagent.model.choices import OutputFormat, View
from nsagent.model.snapshot import Snapshot
from nsagent.report.records import coverage_record
from nsagent.report.render import OutputOptions, render_answer

BY = ("container", "proto")

TABLE = """
CONTAINER     PROTO  COUNT
web           tcp    2
-             tcp    2
badcafe00000  tcp    1
-             udp    1
"""

COUNTS: list[dict[str, object]] = [
    {"container": "web", "proto": "tcp", "count": 2},
    {"container": None, "proto": "tcp", "count": 2},
    {"container": "badcafe00000", "proto": "tcp", "count": 1},
    {"container": None, "proto": "udp", "count": 1},
]

DOCUMENT = {
    "schema": "nsagent/v1",
    "host": "node-1",
    "taken_at": "2026-01-02T03:04:05.678Z",
    "count_by": ["container", "proto"],
    "groups": 4,
    "counts": COUNTS,
}


def text_of(snapshot: Snapshot, options: OutputOptions) -> str:
    return "".join(render_answer(snapshot, View.TOP, options))


def document_of(snapshot: Snapshot, options: OutputOptions) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text_of(snapshot, options._replace(format=OutputFormat.JSON)))
    return document


def test_the_largest_come_first_and_then_by_the_columns(snapshot: Snapshot) -> None:
    assert "\n" + text_of(snapshot, OutputOptions(group_by=BY)) == TABLE


def test_the_document_has_the_counts_and_the_coverage(snapshot: Snapshot) -> None:
    coverage = json.loads(json.dumps(coverage_record(snapshot.coverage)))
    assert document_of(snapshot, OutputOptions(group_by=BY)) == {**DOCUMENT, "coverage": coverage}


def test_yaml_is_the_document_of_json(snapshot: Snapshot) -> None:
    options = OutputOptions(OutputFormat.YAML, group_by=BY)
    assert yaml.safe_load(text_of(snapshot, options)) == document_of(snapshot, options)


def test_json_lines_are_the_document_in_parts(snapshot: Snapshot) -> None:
    text = text_of(snapshot, OutputOptions(OutputFormat.JSONL, group_by=BY))
    head, *counts, coverage = [json.loads(line) for line in text.splitlines()]
    document = document_of(snapshot, OutputOptions(group_by=BY))
    assert head == {"type": "counts"} | {k: v for k, v in document.items() if k not in ("counts", "coverage")}
    assert counts == [{"type": "count", **each} for each in COUNTS]
    assert {"type": "coverage"} | document["coverage"] == coverage


def test_numbers_stay_numbers_and_text_keeps_its_value_in_json(snapshot: Snapshot) -> None:
    document = document_of(snapshot, OutputOptions(group_by=("uid", "command"), sort_by=("uid",)))
    assert document["counts"] == [
        {"uid": 0, "command": "nginx,nginx: wörker", "count": 1},
        {"uid": 0, "command": "\x1b[31m\n\\xff\u202e=x", "count": 1},
        {"uid": 0, "command": "app", "count": 1},
        {"uid": 33, "command": "nginx: wörker", "count": 1},
        {"uid": None, "command": "(time_wait)", "count": 1},
        {"uid": None, "command": "(syn_recv)", "count": 1},
    ]


@pytest.mark.parametrize(
    ("sort_by", "counts"),
    [(("count", "proto"), [1, 1, 2, 2]), (("-proto",), [1, 2, 2, 1]), (("container", "-count"), [1, 2, 2, 1])],
)
def test_they_are_sorted_by_any_of_their_columns(
    snapshot: Snapshot, sort_by: tuple[str, ...], counts: list[int]
) -> None:
    options = OutputOptions(OutputFormat.CSV, ("count",), sort_by, headers=False, group_by=BY)
    assert text_of(snapshot, options) == "".join(f'"{count}"\r\n' for count in counts)


def test_a_limit_keeps_the_first_and_says_how_many_there_are(snapshot: Snapshot) -> None:
    document = document_of(snapshot, OutputOptions(group_by=BY, limit=2))
    assert (document["counts"], document["groups"]) == (COUNTS[:2], 4)


def test_a_column_named_twice_counts_once(snapshot: Snapshot) -> None:
    assert text_of(snapshot, OutputOptions(group_by=("proto", "proto"))) == "PROTO  COUNT\ntcp    5\nudp    1\n"


def test_no_sockets_are_no_counts(snapshot: Snapshot) -> None:
    document = document_of(snapshot._replace(sockets=()), OutputOptions(group_by=BY))
    assert (document["counts"], document["groups"]) == ([], 0)


def test_a_column_that_there_is_not_is_a_usage_error(snapshot: Snapshot) -> None:
    with pytest.raises(UsageError, match="no column 'contaner'; near names: container"):
        text_of(snapshot, OutputOptions(group_by=("contaner",)))
