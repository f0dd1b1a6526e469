"""`nsagent containers` on the node of fixtures/proc."""

import json
from pathlib import Path

import pytest

from nsagent.errors import EXIT_USAGE
from tests.cli.conftest import Run
from tests.scan.facts import WEB_ID


def test_every_container_is_listed_and_no_socket(on_node: Run) -> None:
    document = json.loads(on_node("containers", "-o", "json").out)
    assert [(one["id"], one["name"], one["source"]) for one in document["containers"]] == [(WEB_ID, None, "cgroup")]
    assert "sockets" not in document


@pytest.mark.parametrize("format_", ["table", "wide", "csv"])
def test_every_format_has_a_line_for_each_container_below_its_header(on_node: Run, format_: str) -> None:
    lines = on_node("containers", "-o", format_).out.splitlines()
    assert len(lines) == 2
    assert WEB_ID[:12] in lines[1]


def test_a_container_without_a_name_is_printed_by_its_id(on_node: Run) -> None:
    assert on_node("containers", "-o", "name").out == f"container/{WEB_ID}\n"


def test_a_column_that_there_is_not_is_a_usage_error(on_node: Run) -> None:
    assert on_node("containers", "--sort-by", "nonsense").status == EXIT_USAGE


def test_a_capture_gives_what_the_host_gave(on_node: Run, node_capture: Path) -> None:
    assert on_node("containers", "--from", node_capture).out == on_node("containers").out


def test_an_engine_that_does_not_answer_is_told_and_costs_names_only(on_node: Run, tmp_path: Path) -> None:
    ran = on_node("containers", "-o", "name", "--runtime", f"docker=unix://{tmp_path}/nobody.sock")
    assert (ran.status, ran.out) == (0, f"container/{WEB_ID}\n")
    assert ran.err.startswith("nsagent: names from docker")
