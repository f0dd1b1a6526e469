"""The calls of CRI that a kubelet makes, for tests: to start, look at and remove pods.

Source: api.proto of k8s.io/cri-api, runtime/v1; its numbers are those of the fields below. The
calls go the way that nsagent's own go.
"""

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from nsagent.runtimes.wire.grpc import call_unary
from nsagent.runtimes.wire.protobuf import decode_map_entry, decode_text, iterate_fields

from tests.runtimes.protobuf_encoder import encode_message

RUNTIME = "/runtime.v1.RuntimeService/"
IMAGES = "/runtime.v1.ImageService/"
CALL_SECONDS = 60.0
RUNNING = 1
ANSWER_BYTES = 4 * 1024 * 1024

Message: TypeAlias = dict[int, list[int | bytes]]
"""The values of each field by its number, in the order of the message."""


class PodSandbox(NamedTuple):
    """A sandbox that runs: its pause process, and its address, which is empty on the host network."""

    pid: int
    address: str


class ExecResult(NamedTuple):
    """How a command in a container ended."""

    status: int
    stdout: str
    stderr: str


class CriClient:
    """Calls over the socket at `path`, one connection each; every call raises RuntimeUnavailable."""

    def __init__(self, path: str) -> None:
        self._path = path

    def is_ready(self) -> bool:
        """Whether the engine and the network of its pods are ready."""
        conditions = _read_message(self._call(RUNTIME + "Status", b"")[1][0])[1]
        return all(_read_message(condition).get(2) == [1] for condition in conditions)

    def find_image(self, name: str) -> str | None:
        """The id of an image that a pod could use, as in `sha256:<64>`."""
        answer = self._call(IMAGES + "ImageStatus", encode_message({1: encode_message({1: name})}))
        return _read_text(_read_message(answer[1][0])[1][0]) if 1 in answer else None

    def run_pod_sandbox(self, sandbox_config: bytes) -> str:
        """The id of a new sandbox."""
        return _read_text(self._call(RUNTIME + "RunPodSandbox", encode_message({1: sandbox_config}))[1][0])

    def create_container(self, sandbox_id: str, container_config: bytes, sandbox_config: bytes) -> str:
        """The id of a new container."""
        request = encode_message({1: sandbox_id, 2: container_config, 3: sandbox_config})
        return _read_text(self._call(RUNTIME + "CreateContainer", request)[1][0])

    def start_container(self, container_id: str) -> None:
        """Start a container that was created."""
        self._call(RUNTIME + "StartContainer", encode_message({1: container_id}))

    def exec_sync(self, container_id: str, command: Sequence[str]) -> ExecResult:
        """Run a command in a container to its end, and until nobody holds its output."""
        answer = self._call(RUNTIME + "ExecSync", encode_message({1: container_id, 2: [*command]}))
        stdout, stderr = (_read_text(answer.get(number, [b""])[0]) for number in (1, 2))
        status = answer.get(3, [0])[0]
        assert isinstance(status, int)
        return ExecResult(status, stdout, stderr)

    def container_pid(self, container_id: str) -> int:
        """The first process of a running container."""
        return int(
            _read_details(self._call(RUNTIME + "ContainerStatus", encode_message({1: container_id, 2: 1})))["pid"]
        )

    def is_running(self, container_id: str) -> bool:
        """Whether a container runs, and has not exited."""
        answer = self._call(RUNTIME + "ContainerStatus", encode_message({1: container_id}))
        return _read_message(answer[1][0]).get(3) == [RUNNING]

    def pod_sandbox(self, sandbox_id: str) -> PodSandbox:
        """What there is to know of a running sandbox."""
        answer = self._call(RUNTIME + "PodSandboxStatus", encode_message({1: sandbox_id, 2: 1}))
        network = _read_message(_read_message(answer[1][0]).get(5, [b""])[0])
        return PodSandbox(int(_read_details(answer)["pid"]), _read_text(network.get(1, [b""])[0]))

    def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """End a sandbox with all its containers, and forget it."""
        self._call(RUNTIME + "StopPodSandbox", encode_message({1: sandbox_id}))
        self._call(RUNTIME + "RemovePodSandbox", encode_message({1: sandbox_id}))

    def _call(self, path: str, request: bytes) -> Message:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            connected.settimeout(CALL_SECONDS)
            connected.connect(self._path)
            (answer,) = call_unary(connected, [(path, request)], limit_bytes=ANSWER_BYTES)
        return _read_message(answer)


def _read_message(content: int | bytes) -> Message:
    assert isinstance(content, bytes)
    fields: Message = {}
    for number, _, value in iterate_fields(content):
        fields.setdefault(number, []).append(value)
    return fields


def _read_details(answer: Message) -> Mapping[str, Any]:
    """The JSON that an engine adds to a status when asked to be verbose."""
    details = dict(decode_map_entry(entry) for entry in answer[2] if isinstance(entry, bytes))
    return dict(json.loads(details["info"]))


def _read_text(content: int | bytes) -> str:
    assert isinstance(content, bytes)
    return decode_text(content)
