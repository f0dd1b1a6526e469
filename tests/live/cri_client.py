"""The calls of CRI that a kubelet makes, for tests: to start, look at and remove pods.

Source: api.proto of k8s.io/cri-api, runtime/v1; its numbers are those of the fields below. They
go by grpcio, as nsagent's own do.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import grpc

from nsagent.errors import RuntimeUnavailable
from tests.runtimes.protobuf_wire import Message, decode_message, encode_message

RUNTIME = "/runtime.v1.RuntimeService/"
IMAGES = "/runtime.v1.ImageService/"
CALL_SECONDS = 60.0
RUNNING = 1


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
        conditions = decode_message(self._call(RUNTIME + "Status", b"")[1][0])[1]
        return all(decode_message(condition).get(2) == [1] for condition in conditions)

    def find_image(self, name: str) -> str | None:
        """The id of an image that a pod could use, as in `sha256:<64>`."""
        answer = self._call(IMAGES + "ImageStatus", encode_message({1: encode_message({1: name})}))
        return _read_text(decode_message(answer[1][0])[1][0]) if 1 in answer else None

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

    def stop_container(self, container_id: str, grace_seconds: int) -> int:
        """SIGTERM, and SIGKILL after that time; its exit status once it has ended."""
        self._call(RUNTIME + "StopContainer", encode_message({1: container_id, 2: grace_seconds}))
        return self.exit_status(container_id)

    def exit_status(self, container_id: str) -> int:
        """That of an exited container."""
        answer = self._call(RUNTIME + "ContainerStatus", encode_message({1: container_id}))
        (status,) = decode_message(answer[1][0]).get(7, [0])
        assert isinstance(status, int)
        return status

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
        return decode_message(answer[1][0]).get(3) == [RUNNING]

    def pod_sandbox(self, sandbox_id: str) -> PodSandbox:
        """What there is to know of a running sandbox."""
        answer = self._call(RUNTIME + "PodSandboxStatus", encode_message({1: sandbox_id, 2: 1}))
        network = decode_message(decode_message(answer[1][0]).get(5, [b""])[0])
        return PodSandbox(int(_read_details(answer)["pid"]), _read_text(network.get(1, [b""])[0]))

    def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """End a sandbox with all its containers, and forget it."""
        self._call(RUNTIME + "StopPodSandbox", encode_message({1: sandbox_id}))
        self._call(RUNTIME + "RemovePodSandbox", encode_message({1: sandbox_id}))

    def _call(self, path: str, request: bytes) -> Message:
        with grpc.insecure_channel(f"unix:{self._path}") as channel:
            try:
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
                return decode_message(call(request, timeout=CALL_SECONDS))
            except grpc.RpcError as err:
                raise RuntimeUnavailable(str(err)) from err


def _read_details(answer: Message) -> Mapping[str, Any]:
    """The JSON that an engine adds to a status when asked to be verbose."""
    entries = map(decode_message, answer[2])
    details = {_read_text(entry[1][0]): _read_text(entry[2][0]) for entry in entries}
    return dict(json.loads(details["info"]))


def _read_text(content: int | bytes) -> str:
    assert isinstance(content, bytes)
    return content.decode()
