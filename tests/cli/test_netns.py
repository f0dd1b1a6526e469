"""`nsagent netns` on the node of fixtures/proc."""

import json
from pathlib import Path

import pytest

from nsagent.errors import EXIT_NOT_FOUND, EXIT_USAGE
from tests.cli.conftest import Run
from tests.kernel.proc_tree import HOST_NETNS
from tests.scan.facts import WEB_ID, WEB_NETNS

IDLE_NETNS = 4026532600


def test_every_netns_is_listed_and_no_socket(on_node: Run) -> None:
    document = json.loads(on_node("netns", "-o", "json").out)
    assert [one["inode"] for one in document["netns"]] == [HOST_NETNS, WEB_NETNS, IDLE_NETNS]
    assert "sockets" not in document


def test_one_netns_is_listed_with_its_containers(on_node: Run) -> None:
    document = json.loads(on_node("netns", str(WEB_NETNS), "-o", "json").out)
    assert [one["inode"] for one in document["netns"]] == [WEB_NETNS]
    assert [one["id"] for one in document["containers"]] == [WEB_ID]


@pytest.mark.parametrize("format_", ["table", "wide", "csv"])
def test_every_format_has_a_line_for_each_netns_below_its_header(on_node: Run, format_: str) -> None:
    lines = on_node("netns", "-o", format_).out.splitlines()
    assert len(lines) == 4
    assert str(WEB_NETNS) in lines[2]


def test_name_prints_inodes(on_node: Run) -> None:
    out = on_node("netns", "-o", "name").out
    assert out == f"netns/{HOST_NETNS}\nnetns/{WEB_NETNS}\nnetns/{IDLE_NETNS}\n"


def test_netns_are_sorted_by_a_column(on_node: Run) -> None:
    out = on_node("netns", "-o", "name", "--sort-by", "-netns").out
    assert out == f"netns/{IDLE_NETNS}\nnetns/{WEB_NETNS}\nnetns/{HOST_NETNS}\n"


def test_a_netns_that_nobody_knows_is_not_found(on_node: Run) -> None:
    ran = on_node("netns", "wep")
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert ran.err.startswith("nsagent: no netns 'wep'")


def test_a_column_that_there_is_not_is_a_usage_error(on_node: Run) -> None:
    ran = on_node("netns", "--columns", "nonsense")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "json"], True),
        (["-o", "yaml"], True),
        (["-o", "jsonl"], False),
        (["-o", "jsonl", "--sort-by", "interfaces"], True),
        (["-o", "jsonl", "--sort-by", "names"], False),
    ],
)
def test_interfaces_are_read_where_they_are_shown(run_cli: Run, arguments: list[str], told: bool) -> None:
    """Those of this machine: of a tree none can be read."""
    assert ("interfaces" in run_cli("netns", "--runtime", "none", *arguments).out) is told


def test_a_capture_gives_what_the_host_gave(on_node: Run, node_capture: Path) -> None:
    assert on_node("netns", "--from", node_capture).out == on_node("netns").out
