"""Which container and pod holds each socket, with a real containerd and pods as a kubelet makes them."""

import json
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Sequence

import pytest

from tests.live.capabilities import trials
from tests.live.cri_bed import KINDS, CriBed
from tests.live.cri_node import (
    FIRST_PORT,
    Listener,
    Node,
    await_ports,
    describe_listener,
    describe_specs,
    list_listeners,
    make_node,
)
from tests.live.deadlines import until
from tests.live.nsagent_cli import Scan, run_named_scan, run_nsagent, run_scan
from tests.live.pods import ContainerSpec, MadePod, PodSpec, Qos, serve
from tests.live.rows import read_ss_rows

PODS = trials(default=12, full=60)
RACES = trials(default=20, full=200)
PODS_AT_A_TIME = 3
EXEC_PORT, LONG_PORT, AGAIN_PORT = range(FIRST_PORT + 9000, FIRST_PORT + 9030, 10)
LABELLED_BY_ENGINE = [("cri",), ("bundles",), KINDS]
EVERY_SOURCE = [*LABELLED_BY_ENGINE, ("logs",)]


@pytest.fixture(scope="module")
def node(cri_bed: CriBed) -> Iterator[Node]:
    try:
        yield make_node(cri_bed, describe_specs(PODS))
    finally:
        cri_bed.remove_pods()


def scan_node(node: Node, *kinds: str) -> dict[int, Listener]:
    return node.find_listeners(run_named_scan(*node.bed.runtime_option(*kinds)))


def test_the_pods_are_what_this_test_thinks(node: Node) -> None:
    own = [pod for pod in node.pods if not pod.spec.host_network]
    assert len({pod.netns_inode for pod in own}) == len(own)
    assert {pod.netns_inode for pod in node.pods if pod.spec.host_network} == {node.bed.netns_inode}
    assert {len(pod.containers) for pod in node.pods} == {1, 2, 3}
    assert {pod.spec.qos for pod in node.pods} == set(Qos)
    assert [len(pod.uid) for pod in node.pods if pod.spec.static] == [32]
    assert len(node.listeners) == 2 * PODS


@pytest.mark.parametrize("kinds", EVERY_SOURCE, ids="+".join)
def test_every_listener_has_its_container_and_its_pod(node: Node, kinds: Sequence[str]) -> None:
    assert scan_node(node, *kinds) == node.listeners


def test_without_a_source_every_listener_has_the_id_of_its_container_and_the_uid_of_its_pod(node: Node) -> None:
    expected = {port: listener.without_names() for port, listener in node.listeners.items()}
    assert scan_node(node) == expected


def test_a_process_started_by_exec_is_in_its_container_and_pod(node: Node) -> None:
    pod = next(pod for pod in node.pods if len(pod.containers) > 1)
    container = pod.containers[1]
    pid = node.bed.execute(container, ["httpd", "-f", "-p", str(EXEC_PORT)])
    try:
        await_ports(pod, EXEC_PORT)
        found = scan_node(node, "cri")
    finally:
        os.kill(pid, signal.SIGKILL)
    assert found[EXEC_PORT] == describe_listener(pod, container, pid)


def test_both_ends_of_a_connection_between_pods_have_theirs(node: Node) -> None:
    server = next(pod for pod in node.pods if pod.address)
    port = server.containers[0].port
    command = ("sh", "-c", f"sleep 600 | nc {server.address} {port}")
    client = node.bed.run_pod(PodSpec("client", [ContainerSpec("nc", command)], "batch"))
    try:
        until(lambda: any(row.state == "established" for row in read_ss_rows(client.netns)), "the client is connected")
        scan = run_named_scan(*node.bed.runtime_option("cri"), "--port", str(port), "--state", "established")
    finally:
        node.bed.remove_pod(client)
    ends = {row["local"]["port"] == port: (row["netns"], *pod_of(scan, row["container_id"])) for row in scan.sockets}
    assert ends == {
        True: (server.netns_inode, server.containers[0].id, server.spec.kube_namespace, server.spec.name, server.uid),
        False: (client.netns_inode, client.containers[0].id, "batch", "client", client.uid),
    }


def pod_of(scan: Scan, container_id: str) -> tuple[str, str, str, str]:
    pod = next(container["pod"] for container in scan.containers if container["id"] == container_id)
    return container_id, pod["namespace"], pod["name"], pod["uid"]


@pytest.mark.parametrize("kinds", LABELLED_BY_ENGINE, ids="+".join)
def test_containers_lists_each_of_a_pod_and_no_pause_container(node: Node, kinds: Sequence[str]) -> None:
    ran = run_nsagent("containers", "-o", "json", *node.bed.runtime_option(*kinds))
    assert ran.status == 0, ran.stderr
    listed = {one["id"]: one for one in json.loads(ran.stdout)["containers"]}
    assert node.container_ids <= set(listed)
    assert {pod.sandbox_id for pod in node.pods}.isdisjoint(listed)
    assert {(listed[id_]["runtime"], listed[id_]["verified"]) for id_ in node.container_ids} == {("containerd", True)}
    assert {listed[id_]["source"] for id_ in node.container_ids} == {kinds[0]}
    images = {listed[id_]["image"] for id_ in node.container_ids}
    # A kubelet asks for an image by its id, and that is what this engine's CRI lists.
    assert images <= ({node.bed.image.name, node.bed.image.id} if "cri" in kinds else {node.bed.image.name})


def test_a_netns_lists_the_containers_of_its_pod_and_no_pause_container(node: Node) -> None:
    scan = run_named_scan(*node.bed.runtime_option("cri"))
    for pod in node.pods:
        entry = scan.find_netns(pod.netns_inode)
        assert entry is not None
        sharing = [other for other in node.pods if other.netns_inode == pod.netns_inode]
        assert set(entry["containers"]) == {one.id for other in sharing for one in other.containers}


def test_a_name_too_long_for_the_name_of_a_log_is_unknown_by_it_and_known_by_the_engine(node: Node) -> None:
    """A kubelet then cuts off the end, here a part of the container's id."""
    spec = PodSpec("p" * 100, [serve("c" * 60, LONG_PORT)], "n" * 40)
    made = Node(node.bed, [node.bed.run_pod(spec)])
    try:
        made.await_listeners()
        by_engine, by_logs = scan_node(made, "cri"), scan_node(made, "logs")
    finally:
        node.bed.remove_pod(made.pods[0])
    assert by_engine == made.listeners
    assert by_logs == {LONG_PORT: made.listeners[LONG_PORT].without_names()}


@pytest.mark.parametrize("kinds", EVERY_SOURCE, ids="+".join)
def test_a_container_started_again_is_known_by_its_new_id(node: Node, kinds: Sequence[str]) -> None:
    """The engine lists the one that has exited too, under the same name, and its log is kept."""
    pod = node.bed.run_pod(PodSpec("restless", [serve("app", AGAIN_PORT), serve("sidecar", AGAIN_PORT + 1)]))
    try:
        made = Node(node.bed, [node.bed.restart_container(pod, "app")])
        made.await_listeners()
        scan = run_named_scan(*node.bed.runtime_option(*kinds))
    finally:
        node.bed.remove_pod(pod)
    assert made.find_listeners(scan) == made.listeners
    assert pod.container("app").id not in {container["id"] for container in scan.containers}


class Coming:
    """Pods that come and go in a thread, a few at a time, each with ports that no other ever has."""

    def __init__(self, bed: CriBed) -> None:
        self.made: list[MadePod] = []
        self._bed = bed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        # The number of a netns is given anew at once, also to one of other tests that run now: below the ports that
        # a kernel gives to whoever asks for any.
        self._first_port = 10000 + 1000 * secrets.randbelow(20)

    def __enter__(self) -> "Coming":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    @property
    def listeners(self) -> dict[int, Listener]:
        return Node(self._bed, self.made).listeners

    def _run(self) -> None:
        alive: list[MadePod] = []
        while not self._ending.is_set():
            port = self._first_port + 2 * len(self.made)
            alive.append(self._bed.run_pod(PodSpec("job", [serve("one", port), serve("two", port + 1)], "batch")))
            self.made.append(alive[-1])
            if len(alive) > PODS_AT_A_TIME:
                self._bed.remove_pod(alive.pop(0))
        for pod in alive:
            self._bed.remove_pod(pod)


@pytest.mark.timeout(900)
def test_while_pods_come_and_go_no_listener_has_the_container_of_another(cri_bed: CriBed) -> None:
    with Coming(cri_bed) as coming:
        scans = [run_scan(*cri_bed.runtime_option(KINDS[number % len(KINDS)])) for number in range(RACES)]
    truth = coming.listeners
    netns = {listener.netns for listener in truth.values()}
    met = [(found, truth[port]) for scan in scans for port, found in list_listeners(scan, netns, truth.keys()).items()]
    for found, right in met:
        assert_right_as_far_as_told(found, right)
    assert len(met) >= RACES, "the pods went before a scan could meet them"


def assert_right_as_far_as_told(found: Listener, truth: Listener) -> None:
    """What has gone meanwhile may be unknown, never another's."""
    unknown = Listener(truth.netns, (), None, None, "none", None, None, None)
    assert found.netns == truth.netns
    for told, right, nothing in zip(found, truth, unknown, strict=True):
        assert told in (right, nothing) or (told == "unknown" and right == "known")
