"""What a kubelet tells its engine about a pod: pure, from a description to the messages of CRI.

Source: kubelet's pkg/kubelet/kuberuntime/labels.go, pkg/kubelet/types/labels.go and pod_update.go,
and pkg/kubelet/cm/pod_container_manager_linux.go for the cgroup; k8s.io/cri-api for the numbers
of the fields.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from tests.runtimes.protobuf_wire import encode_message

CONFIG_SEEN = "2026-01-15T09:30:00.000000000Z"
FILE_NAME_MAX = 255
POD_NAMESPACE, CONTAINER_NAMESPACE, NODE_NAMESPACE = 0, 1, 2


class Qos(Enum):
    """The classes of pods; their values are where the cgroups of such pods are."""

    BEST_EFFORT = "/kubepods/besteffort"
    BURSTABLE = "/kubepods/burstable"
    GUARANTEED = "/kubepods"


class ContainerSpec(NamedTuple):
    """A container of a pod: its name there, what it runs, and the port that it listens on, if any."""

    name: str
    command: Sequence[str]
    port: int | None = None


class PodSpec(NamedTuple):
    """A pod as its author describes it; a static one is read from a file by the kubelet itself."""

    name: str
    containers: Sequence[ContainerSpec]
    kube_namespace: str = "default"
    labels: Sequence[tuple[str, str]] = ()
    qos: Qos = Qos.BEST_EFFORT
    host_network: bool = False
    static: bool = False


class MadeContainer(NamedTuple):
    """A running container: its id, its name in the pod, its first pid, its port."""

    id: str
    name: str
    pid: int
    port: int | None


class MadePod(NamedTuple):
    """A running pod. `address` is empty on the host network; `pause_pid` is the sandbox's process.

    PIDs are those of the node; `netns` is the path by which the test enters it.
    """

    spec: PodSpec
    uid: str
    sandbox_id: str
    sandbox_config: bytes
    pause_pid: int
    address: str
    netns: str
    netns_inode: int
    containers: Sequence[MadeContainer]

    def container(self, name: str) -> MadeContainer:
        """The container with that name in the pod."""
        return next(container for container in self.containers if container.name == name)


def serve(name: str, port: int) -> ContainerSpec:
    """A container with a web server."""
    return ContainerSpec(name, ("httpd", "-f", "-p", str(port)), port)


def make_uid(mark: str, number: int, *, static: bool) -> str:
    """The uid of a pod, which begins with 8 digits; a static pod's is the hash of its file, and no UUID."""
    digits = mark + hashlib.sha256(f"{mark} {number}".encode()).hexdigest()[: 32 - len(mark)]
    return digits if static else "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def sandbox_config(spec: PodSpec, uid: str, log_directory: str, security: bytes | None = None) -> bytes:
    """The PodSandboxConfig of a pod; `security` is its LinuxSandboxSecurityContext."""
    if security is None:
        security = encode_message({1: _namespace_options(spec)})
    return encode_message(
        {
            1: encode_message({1: spec.name, 2: uid, 3: spec.kube_namespace}),
            2: "" if spec.host_network else spec.name[:63],
            3: log_directory,
            6: {**dict(spec.labels), **pod_labels(spec, uid)},
            7: _pod_annotations(spec, uid),
            8: encode_message({1: f"{spec.qos.value}/pod{uid}", 2: security}),
        }
    )


class PulledImage(NamedTuple):
    """An image: what its author calls it, and the id by which a kubelet asks for it."""

    name: str
    id: str


def container_config(spec: PodSpec, uid: str, container: ContainerSpec, image: PulledImage, attempt: int) -> bytes:
    """The ContainerConfig of a container of a pod, which was started `attempt` times before."""
    return encode_message(
        {
            1: encode_message({1: container.name, 2: attempt}),
            2: encode_message({1: image.id, 18: image.name}),
            3: [*container.command],
            9: {"io.kubernetes.container.name": container.name, **pod_labels(spec, uid)},
            10: _container_annotations(container, attempt),
            11: log_name(container.name, attempt),
            15: encode_message({2: encode_message({3: _namespace_options(spec)})}),
        }
    )


def log_directory_name(spec: PodSpec, uid: str) -> str:
    """The directory of a pod in /var/log/pods."""
    return f"{spec.kube_namespace}_{spec.name}_{uid}"


def log_name(container_name: str, attempt: int) -> str:
    """The log of a container, in the directory of its pod."""
    return f"{container_name}/{attempt}.log"


def log_link_name(spec: PodSpec, container: MadeContainer) -> str:
    """The link to a log in /var/log/containers; where it is too long for a file name the id loses its end."""
    return f"{spec.name}_{spec.kube_namespace}_{container.name}-{container.id}"[: FILE_NAME_MAX - 4] + ".log"


def _namespace_options(spec: PodSpec) -> bytes:
    """The netns of the node, or else of the pod; a PID namespace for each container."""
    return encode_message({1: NODE_NAMESPACE if spec.host_network else POD_NAMESPACE, 2: CONTAINER_NAMESPACE})


def pod_labels(spec: PodSpec, uid: str) -> dict[str, str]:
    """By which a kubelet finds what it has started."""
    return {
        "io.kubernetes.pod.name": spec.name,
        "io.kubernetes.pod.namespace": spec.kube_namespace,
        "io.kubernetes.pod.uid": uid,
    }


def _pod_annotations(spec: PodSpec, uid: str) -> dict[str, str]:
    source = {"kubernetes.io/config.seen": CONFIG_SEEN, "kubernetes.io/config.source": "file" if spec.static else "api"}
    return {"kubernetes.io/config.hash": uid, **source} if spec.static else source


def _container_annotations(container: ContainerSpec, attempt: int) -> dict[str, str]:
    ports = [] if container.port is None else [{"containerPort": container.port, "protocol": "TCP"}]
    return {
        "io.kubernetes.container.hash": f"{zlib.crc32(repr(container).encode()):08x}",
        "io.kubernetes.container.restartCount": str(attempt),
        "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
        "io.kubernetes.container.terminationMessagePolicy": "File",
        "io.kubernetes.pod.terminationGracePeriod": "30",
        **({"io.kubernetes.container.ports": json.dumps(ports)} if ports else {}),
    }
