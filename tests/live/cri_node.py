"""A node full of pods: what a test wants of it, what is really there, and what a scan says of it."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from tests.live.cri_bed import CriBed
from tests.live.deadlines import until
from tests.live.nsagent_cli import Scan
from tests.live.pods import MadeContainer, MadePod, PodSpec, Qos, serve
from tests.live.rows import read_ss_rows

FIRST_PORT = 20000
CONTAINER_NAMES = ("app", "sidecar", "metrics")
KUBE_NAMESPACES = ("default", "shop", "kube-system")
HOST_NETWORK_EVERY = 6
STATIC = 5
ANY_PORT = range(1 << 16)


class Listener(NamedTuple):
    """Who listens on a port: netns, process, container and pod; names are None where nobody knows them."""

    netns: int
    pids: tuple[int, ...]
    container_id: str | None
    pod_uid: str | None
    name_state: str
    container_name: str | None
    kube_namespace: str | None
    pod: str | None

    def without_names(self) -> "Listener":
        """The same as the cgroup path alone tells it."""
        return self._replace(name_state="unknown", container_name=None, kube_namespace=None, pod=None)


class Node(NamedTuple):
    """The pods of one bed that a test looks at."""

    bed: CriBed
    pods: Sequence[MadePod]

    @property
    def netns_inodes(self) -> set[int]:
        """The netns of the pods."""
        return {pod.netns_inode for pod in self.pods}

    @property
    def container_ids(self) -> set[str]:
        """The containers of the pods, without their pause containers."""
        return {container.id for pod in self.pods for container in pod.containers}

    @property
    def listeners(self) -> dict[int, Listener]:
        """Who really listens on which port."""
        return {
            container.port: describe_listener(pod, container)
            for pod in self.pods
            for container in pod.containers
            if container.port is not None
        }

    def find_listeners(self, scan: Scan) -> dict[int, Listener]:
        """Who listens on which port in the netns of the pods, as a scan says, but for containerd itself."""
        daemon = (self.bed.daemon_pid,)
        found = list_listeners(scan, self.netns_inodes)
        return {port: one for port, one in found.items() if (one.container_id, one.pids) != (None, daemon)}

    def await_listeners(self) -> None:
        """Wait until each container listens on its port."""
        for pod in self.pods:
            await_ports(pod)


def describe_specs(count: int) -> list[PodSpec]:
    """That many pods: one to three containers each, of every class, some on the host network, one static.

    Their names are as alike as a cluster allows: containers are called the same in every pod, and
    pods the same in each of the kube_namespaces.
    """
    return [
        PodSpec(
            name=f"web-{number // len(KUBE_NAMESPACES)}",
            containers=[
                serve(name, FIRST_PORT + 10 * number + index)
                for index, name in enumerate(CONTAINER_NAMES[: 1 + number % len(CONTAINER_NAMES)])
            ],
            kube_namespace=KUBE_NAMESPACES[number % len(KUBE_NAMESPACES)],
            labels=(("app", "web"),),
            qos=list(Qos)[number // 2 % len(Qos)],
            host_network=number % HOST_NETWORK_EVERY == 1,
            static=number == STATIC,
        )
        for number in range(count)
    ]


def make_node(bed: CriBed, specs: Sequence[PodSpec]) -> Node:
    """Pods that run and listen."""
    node = Node(bed, bed.run_pods(specs))
    node.await_listeners()
    return node


def describe_listener(pod: MadePod, container: MadeContainer, pid: int | None = None) -> Listener:
    """A listener of a container, which its first process holds unless `pid` is given."""
    return Listener(
        netns=pod.netns_inode,
        pids=(container.pid if pid is None else pid,),
        container_id=container.id,
        pod_uid=pod.uid,
        name_state="known",
        container_name=container.name,
        kube_namespace=pod.spec.kube_namespace,
        pod=pod.spec.name,
    )


def await_ports(pod: MadePod, *more: int) -> None:
    """Wait until the containers of a pod listen on their ports, and on these."""
    wanted = {container.port for container in pod.containers if container.port is not None} | {*more}
    until(lambda: wanted <= _list_ports(pod), f"{pod.spec.name} listens on {wanted}")


def list_listeners(scan: Scan, netns: Iterable[int], ports: Collection[int] = ANY_PORT) -> dict[int, Listener]:
    """Who listens on which of these ports in these netns, as a scan says; no port may come twice."""
    listening = [row for row in scan.of_netns(*netns) if row["state"] == "listen"]
    containers = {container["id"]: container for container in scan.containers}
    found: dict[int, Listener] = {}
    for row in (row for row in listening if row["local"]["port"] in ports):
        container = containers.get(row["container_id"], {"name_state": "none", "pod": None})
        pod = container["pod"] or {"uid": None, "namespace": None, "name": None}
        assert row["local"]["port"] not in found
        found[row["local"]["port"]] = Listener(
            netns=row["netns"],
            pids=tuple(owner["pid"] for owner in row["owners"]),
            container_id=row["container_id"],
            pod_uid=pod["uid"],
            name_state=container["name_state"],
            container_name=container.get("container_name"),
            kube_namespace=pod["namespace"],
            pod=pod["name"],
        )
    return found


def _list_ports(pod: MadePod) -> set[int]:
    return {row.local[1] for row in read_ss_rows(pod.netns) if row.state == "listen"}
