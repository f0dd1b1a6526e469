"""An engine that speaks CRI over a real unix socket, or gRPC wrongly in any way that a test wants.

Its frames are written by hand, so that they can be wrong.
"""

import base64
import itertools
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.runtimes.engine_server import Behaviour
from tests.runtimes.protobuf_wire import encode_message

V1 = "runtime.v1.RuntimeService"
V1ALPHA2 = "runtime.v1alpha2.RuntimeService"
METHODS = ("Version", "ListContainers", "ListPodSandbox")
UNIMPLEMENTED = 12
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
UNKNOWN_FRAME = 0x77
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
ACK = 1
INITIAL_WINDOW_SIZE = 4
WINDOW_BYTES = 65535
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_CONTAINER_STATES = ("CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN")
_SANDBOX_STATES = ("SANDBOX_READY", "SANDBOX_NOTREADY")


class Call(NamedTuple):
    """One call that a client made."""

    stream_id: int
    path: str
    request: bytes


class Connection:
    """The engine's end of one connection, as far as HTTP/2 needs one (RFC 9113)."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._heads: dict[int, bytes] = {}
        self._bodies: dict[int, bytes] = {}
        self._ended: list[int] = []
        self._sent = 0
        self._granted = WINDOW_BYTES
        self._stream_sent: dict[int, int] = {}
        self._stream_granted: dict[int, int] = {}
        self._initial = WINDOW_BYTES
        self._receive(len(PREFACE))
        self.socket.sendall(frame(SETTINGS, 0, 0))

    def iterate_calls(self) -> Iterator[Call]:
        """The calls of a client as they are complete, until it hangs up."""
        for number in itertools.count():
            while len(self._ended) <= number:
                if not self._read_frame():
                    return
            id_ = self._ended[number]
            yield Call(id_, find_path(self._heads[id_]), self._bodies.get(id_, b""))

    def read_calls(self, count: int = len(METHODS)) -> list[Call]:
        """The calls of a client, once so many are complete; fewer if it hangs up before."""
        return list(itertools.islice(self.iterate_calls(), count))

    def answer(self, stream_id: int, message: bytes) -> None:
        """A call that succeeds."""
        self.begin(stream_id)
        self.send(stream_id, prefixed(message))
        self.end(stream_id)

    def begin(self, stream_id: int, *, content_type: str = "application/grpc", status: str = "200") -> None:
        """The head of an answer."""
        head = block((":status", status), ("content-type", content_type))
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream_id, head))

    def send(self, stream_id: int, data: bytes, size: int = 16384) -> None:
        """A part of the body, `size` bytes a frame, as the client's windows let it."""
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            while self._room(stream_id) < len(piece) and self._read_frame():
                continue
            self._sent += len(piece)
            self._stream_sent[stream_id] = self._stream_sent.get(stream_id, 0) + len(piece)
            self.socket.sendall(frame(DATA, 0, stream_id, piece))

    def end(self, stream_id: int, code: object = 0, reason: str = "") -> None:
        """The trailers of an answer."""
        trailers = block(("grpc-status", str(code)), ("grpc-message", reason))
        self.socket.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, trailers))

    def fail(self, stream_id: int, code: object, reason: str) -> None:
        """A call that fails at once: head and trailers are one."""
        head = block(
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", str(code)),
            ("grpc-message", reason),
        )
        self.socket.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, head))

    def _room(self, stream_id: int) -> int:
        """How much may be sent."""
        granted = self._initial + self._stream_granted.get(stream_id, 0)
        return min(self._granted - self._sent, granted - self._stream_sent.get(stream_id, 0))

    def _read_frame(self) -> bool:
        """Take note of one frame of the client's; False if it has hung up."""
        head = self._receive(9)
        if len(head) < 9:
            return False
        payload = self._receive(int.from_bytes(head[:3], "big"))
        kind, flags, stream_id = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == HEADERS:
            self._heads[stream_id] = payload
        elif kind == DATA:
            self._bodies[stream_id] = self._bodies.get(stream_id, b"") + payload
        elif kind == SETTINGS and not flags & ACK:
            for start in range(0, len(payload), 6):
                if int.from_bytes(payload[start : start + 2], "big") == INITIAL_WINDOW_SIZE:
                    self._initial = int.from_bytes(payload[start + 2 : start + 6], "big")
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream_id:
                self._stream_granted[stream_id] = self._stream_granted.get(stream_id, 0) + more
            else:
                self._granted += more
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self._ended.append(stream_id)
        return True

    def _receive(self, size: int) -> bytes:
        """So many bytes; fewer if the client has hung up."""
        received = b""
        while len(received) < size:
            more = self.socket.recv(size - len(received))
            if not more:
                break
            received += more
        return received


def answering(answers: Mapping[str, bytes], *, service: str = V1, frame_bytes: int = 16384) -> Behaviour:
    """An engine that answers the methods of one service, and knows no other."""

    def behave(connected: socket.socket) -> None:
        connection = Connection(connected)
        for call in connection.iterate_calls():
            _, called_service, method = call.path.split("/")
            if called_service != service:
                connection.fail(call.stream_id, UNIMPLEMENTED, f"unknown service {called_service}")
            else:
                connection.begin(call.stream_id)
                connection.send(call.stream_id, prefixed(answers[method]), frame_bytes)
                connection.end(call.stream_id)

    return behave


def speaking(say: Callable[[Connection, list[Call]], None], count: int = len(METHODS)) -> Behaviour:
    """An engine that reads the calls, then says what `say` says, and hangs up.

    It does so in order: hanging up with something unread would reset the connection.
    """

    def behave(connected: socket.socket) -> None:
        connection = Connection(connected)
        calls = connection.read_calls(count)
        # Nothing is ever answered wrongly for want of a call.
        if len(calls) >= count:
            say(connection, calls)
            connected.shutdown(socket.SHUT_WR)
            while connected.recv(65536):
                continue

    return behave


def answer_http(connected: socket.socket) -> None:
    """Take the calls for a bad request, as dockerd does."""
    connected.recv(65536)
    connected.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def writing(*frames: bytes) -> Behaviour:
    """An engine that reads a call, then writes these frames."""
    return speaking(lambda connection, calls: connection.socket.sendall(b"".join(frames)), 1)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame of HTTP/2, whose length may lie."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def block(*headers: tuple[str, str]) -> bytes:
    """A header block (RFC 7541): literals that are never indexed, so that it changes no state of the peer's decoder."""
    return b"".join(b"\x10" + _encode_text(name) + _encode_text(value) for name, value in headers)


def _encode_text(text: str) -> bytes:
    """A string of a header block, after its length of 7 bits and what does not fit into those."""
    content = text.encode()
    if len(content) < 127:
        return bytes([len(content)]) + content
    rest = len(content) - 127
    length = bytearray([127])
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*length, rest]) + content


def find_path(head: bytes) -> str:
    """The path in a client's header block, which is a literal the first time that it is used; "" later."""
    match = re.search(rb"/[a-z0-9.]+RuntimeService/[A-Za-z]+", head)
    return match[0].decode() if match is not None else ""


def prefixed(message: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """A message as gRPC sends it; its length may lie."""
    return bytes([compressed]) + (len(message) if length is None else length).to_bytes(4, "big") + message


def version(name: str = "containerd", text: str = "v1.7.27") -> bytes:
    """An answer to Version."""
    return encode_message({1: "0.1.0", 2: name, 3: text, 4: "v1"})


def container(
    id_: str | bytes, sandbox_id: str = "", name: str | bytes = "web", state: int = 1, **fields: Any
) -> bytes:
    """A Container; `fields` may give image, labels and others by the numbers that they have in it: `_8={...}`."""
    more = {int(number[1:]): value for number, value in fields.items()}
    return encode_message({1: id_, 2: sandbox_id, 3: encode_message({1: name}), 6: state, **more})


def sandbox(
    id_: str | bytes, name: str = "shop-0", uid: str = "u", kube_namespace: str = "shop", state: int = 0, **fields: Any
) -> bytes:
    """A PodSandbox; `fields` as those of a container."""
    more = {int(number[1:]): value for number, value in fields.items()}
    return encode_message({1: id_, 2: encode_message({1: name, 2: uid, 3: kube_namespace}), 3: state, **more})


def lists(
    containers: Sequence[bytes] = (), sandboxes: Sequence[bytes] = (), told: bytes | None = None
) -> dict[str, bytes]:
    """The answers to the three methods."""
    return {
        "Version": version() if told is None else told,
        "ListContainers": encode_message({1: list(containers)}),
        "ListPodSandbox": encode_message({1: list(sandboxes)}),
    }


def pod_labels(name: str, uid: str, kube_namespace: str) -> dict[str, str]:
    """The labels that a kubelet gives a sandbox, and each container in it."""
    return {
        "io.kubernetes.pod.name": name,
        "io.kubernetes.pod.namespace": kube_namespace,
        "io.kubernetes.pod.uid": uid,
    }


def load_answers(path: Path) -> dict[str, bytes]:
    """The answers in a file of fixtures/cri: recorded as base64, or built, in the JSON that crictl prints."""
    content = json.loads(path.read_text())
    if "recorded" in content:
        return {method: base64.b64decode(answer) for method, answer in content["recorded"].items()}
    told = content["version"]
    return {
        "Version": encode_message(
            {1: told["version"], 2: told["runtimeName"], 3: told["runtimeVersion"], 4: told["runtimeApiVersion"]}
        ),
        "ListContainers": encode_message({1: [_encode_container(each) for each in content["containers"]]}),
        "ListPodSandbox": encode_message({1: [_encode_sandbox(each) for each in content["items"]]}),
    }


def _encode_container(told: Mapping[str, Any]) -> bytes:
    """A Container out of `crictl ps -o json`."""
    image = {1: told["image"]["image"], 2: told["image"].get("annotations", {})}
    if told["image"].get("userSpecifiedImage"):
        image[18] = told["image"]["userSpecifiedImage"]
    return encode_message(
        {
            1: told["id"],
            2: told["podSandboxId"],
            3: encode_message({1: told["metadata"]["name"], 2: told["metadata"]["attempt"]}),
            4: encode_message(image),
            5: told["imageRef"],
            6: _CONTAINER_STATES.index(told["state"]),
            7: int(told["createdAt"]),
            8: told["labels"],
            9: told["annotations"],
            10: told.get("imageId", ""),
        }
    )


def _encode_sandbox(told: Mapping[str, Any]) -> bytes:
    """A PodSandbox out of `crictl pods -o json`."""
    metadata = told["metadata"]
    return encode_message(
        {
            1: told["id"],
            2: encode_message(
                {1: metadata["name"], 2: metadata["uid"], 3: metadata["namespace"], 4: metadata["attempt"]}
            ),
            3: _SANDBOX_STATES.index(told["state"]),
            4: int(told["createdAt"]),
            5: told["labels"],
            6: told["annotations"],
            7: told["runtimeHandler"],
        }
    )
