"""A containerd that is stopped, killed or started anew costs names for a while, and never a socket or an id."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from math import inf

import pytest

from tests.live.capabilities import trials
from tests.live.cri_bed import KINDS, CriBed
from tests.live.cri_node import Listener, Node, describe_specs, make_node
from tests.live.deadlines import until
from tests.live.nsagent_cli import Ran, Scan, run_in_time, run_nsagent
from tests.live.pods import PodSpec, serve

PODS = trials(default=12, full=60)
BUDGET_SECONDS = 2.0
NOISE_SECONDS = 1.5
BACK_SECONDS = 5.0
NEW_PORT = 30001
WAYS: dict[str, Callable[[CriBed], AbstractContextManager[None]]] = {
    "stopped": CriBed.stopped,
    "killed": CriBed.killed,
}


@pytest.fixture(scope="module")
def node(cri_bed: CriBed) -> Iterator[Node]:
    try:
        yield make_node(cri_bed, describe_specs(PODS))
    finally:
        cri_bed.remove_pods()


def run(node: Node, *kinds: str, seconds: float = inf) -> Ran:
    ran = run_in_time(lambda: run_nsagent("scan", "-o", "json", *node.bed.runtime_option(*kinds)), seconds)
    assert ran.status == 0, ran.stderr
    return ran


def listeners_in(ran: Ran, node: Node) -> dict[int, Listener]:
    return node.find_listeners(Scan(json.loads(ran.stdout)))


@pytest.mark.parametrize("way", WAYS)
def test_without_its_answer_every_socket_and_id_is_there_in_time_and_no_name(node: Node, way: str) -> None:
    usual = run(node, "cri")
    with WAYS[way](node.bed):
        ran = run(node, "cri", seconds=usual.seconds + BUDGET_SECONDS + NOISE_SECONDS)
    assert listeners_in(ran, node) == {port: one.without_names() for port, one in node.listeners.items()}
    assert len([line for line in ran.complaints if "names from cri" in line]) == 1, ran.stderr


@pytest.mark.parametrize("kinds", [("bundles",), ("logs",), KINDS], ids="+".join)
@pytest.mark.parametrize("way", WAYS)
def test_without_its_answer_its_files_tell_every_name(node: Node, way: str, kinds: Sequence[str]) -> None:
    with WAYS[way](node.bed):
        ran = run(node, *kinds)
    assert listeners_in(ran, node) == node.listeners


def test_when_it_is_started_anew_every_name_is_back_within_five_seconds(node: Node) -> None:
    node.bed.kill_daemon()
    node.bed.start_daemon()
    until(lambda: listeners_in(run(node, "cri"), node) == node.listeners, "every name is back", seconds=BACK_SECONDS)


def test_a_pod_made_after_a_restart_is_told_from_those_made_before(node: Node) -> None:
    with node.bed.killed():
        assert listeners_in(run(node), node).keys() == node.listeners.keys()
    made = node.bed.run_pod(PodSpec("web-0", [serve("app", NEW_PORT)], "late"))
    try:
        grown = Node(node.bed, [*node.pods, made])
        grown.await_listeners()
        assert listeners_in(run(node, "cri"), grown) == grown.listeners
    finally:
        node.bed.remove_pod(made)
