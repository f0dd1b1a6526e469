"""The Container Runtime Interface, which kubelets drive their engines by: containers and pods of a Kubernetes node.

Source: api.proto of k8s.io/cri-api, runtime.v1. What is read here has the same numbers in
runtime.v1alpha2, which older engines alone serve (containerd 1.5, CRI-O 1.22). Three calls a
refresh, all sent at once: Version, ListContainers, which leaves out the pause containers, and
ListPodSandbox, which tells of them and of the pods. Nothing is asked per container.

What is at the other end is not trusted to answer, to stop answering, or to send what it should.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError, NotServed
from nsagent.identity.pod_labels import read_pod
from nsagent.identity.sandboxed import name_sandbox
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId
from nsagent.runtimes.socket_source import Question, SocketSource
from nsagent.runtimes.wire.grpc import call_unary
from nsagent.runtimes.wire.one_line import one_line
from nsagent.runtimes.wire.protobuf import LENGTH_DELIMITED, decode_map_entry, decode_text, iterate_fields

_SERVICES: Final = ("runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService")
_METHODS: Final = ("Version", "ListContainers", "ListPodSandbox")
_ANSWER_BYTES: Final = 64 * 1024 * 1024
_RECORD_BYTES: Final = 1024 * 1024
_RECORDS: Final = 200_000
_ID_LENGTH: Final = 64
_HEX_DIGITS: Final = frozenset("0123456789abcdef")
_IMAGE_NAME_ANNOTATION: Final = "io.kubernetes.cri.image-name"
_CONTAINER_EXITED: Final = 2
_SANDBOX_READY: Final = 0
_RUNTIME_OF_NAME: Final = {"containerd": Runtime.CONTAINERD, "cri-o": Runtime.CRIO, "docker": Runtime.DOCKER}
_POD_LABEL_OF_FIELD: Final = {1: "io.kubernetes.pod.name", 2: "io.kubernetes.pod.uid", 3: "io.kubernetes.pod.namespace"}
"""The fields of PodSandboxMetadata, and the labels in which a kubelet repeats them."""


class CriSource(SocketSource):
    """One engine that speaks CRI over a unix socket. Its `version` is as in `containerd 1.6.20`.

    The containers that have not exited, then the sandboxes that are ready, each id once. A record
    without a usable id is left out; one without a name yet is `pending`. `chain` is left to the
    cgroup paths. `sandboxed` is known where the engine tells the handler: not for a pod on the
    default one, and never from CRI-O. Where something else than CRI is served, NotServed is raised.
    """

    def __init__(self, base_url: str, timeout_seconds: float, name: str = "cri", *, named: bool = True) -> None:
        super().__init__(base_url, timeout_seconds, name, named=named)
        self._services = _SERVICES

    def _ask(self, question: Question) -> tuple[Container, ...]:
        version, containers, sandboxes = self._call_newest(question)
        runtime = self._read_version(_Message(version))
        return _read_lists(containers, sandboxes, runtime, self.name, question)

    def _call_newest(self, question: Question) -> list[bytes]:
        """The answers to _METHODS, of the newest version that the engine serves; the next time that is tried first."""
        preferred, other = self._services
        try:
            return self._call(preferred, question)
        except NotServed as err:
            try:
                answers = self._call(other, question)
            except NotServed:
                raise err from None
        self._services = other, preferred
        return answers

    def _call(self, service: str, question: Question) -> list[bytes]:
        """The answers to _METHODS of one service."""
        calls = [(f"/{service}/{method}", b"") for method in _METHODS]
        with self._connected(question) as connected:
            return call_unary(connected, calls, limit_bytes=_ANSWER_BYTES)

    def _read_version(self, version: "_Message") -> Runtime | None:
        """The runtime by its own name; cri-dockerd's is `docker`."""
        name = version.text(2)
        self.version = one_line(f"{name} {version.text(3)}") or None
        return _RUNTIME_OF_NAME.get(name)


class _Sandbox(NamedTuple):
    """What containers have of the sandbox that they are in."""

    pod: Pod | None
    labels: Mapping[str, str]
    sandboxed: str | None
    ready: bool


class _Message:
    """The fields of a message by number; a field that is given twice has its last value, as in every decoder."""

    def __init__(self, content: bytes) -> None:
        self._numbers: dict[int, int] = {}
        self._contents: dict[int, list[bytes]] = {}
        for number, wire_type, value in iterate_fields(content):
            if isinstance(value, int):
                self._numbers[number] = value
            elif wire_type == LENGTH_DELIMITED:
                self._contents.setdefault(number, []).append(value)

    def number(self, number: int) -> int:
        """A number or an enum; 0 where it is not given, which is its default."""
        return self._numbers.get(number, 0)

    def content(self, number: int) -> bytes:
        """Bytes or a nested message; empty where it is not given."""
        contents = self._contents.get(number)
        return contents[-1] if contents else b""

    def text(self, number: int) -> str:
        """A string; empty where it is not given."""
        return decode_text(self.content(number))

    def mapping(self, number: int) -> dict[str, str]:
        """A map of strings."""
        return dict(decode_map_entry(entry) for entry in self._contents.get(number, ()))


def _read_lists(
    containers: bytes, sandboxes: bytes, runtime: Runtime | None, source: str, question: Question
) -> tuple[Container, ...]:
    """The records of an answer to ListContainers, then those of one to ListPodSandbox."""
    # Those that are not ready as well: a container may outlive its sandbox.
    known = {id_: _read_sandbox(record) for id_, record in _iterate_records(sandboxes, question)}
    records = {
        id_: _read_container(id_, record, known.get(record.text(2)), runtime, source)
        for id_, record in _iterate_records(containers, question)
        if record.number(6) != _CONTAINER_EXITED
    }
    for id_, sandbox in known.items():
        if sandbox.ready:
            records.setdefault(id_, _name_pause_container(id_, sandbox, runtime, source))
    return tuple(records.values())


def _iterate_records(answer: bytes, question: Question) -> Iterator[tuple[str, _Message]]:
    """The messages in field 1 of a list, which is all there is in it, by their ids; each usable id once."""
    seen: set[str] = set()
    unusable = False
    for fields, (number, wire_type, content) in enumerate(iterate_fields(answer), 1):
        question.check_wanted()
        if fields > _RECORDS:
            raise FormatError(f"at most {_RECORDS} containers", "more")
        if number != 1 or wire_type != LENGTH_DELIMITED or isinstance(content, int):
            continue
        if len(content) > _RECORD_BYTES:
            raise FormatError(f"a container in at most {_RECORD_BYTES} bytes", "a longer one")
        record = _Message(content)
        id_ = record.text(1)
        if not _is_id(id_):
            unusable = True
        elif id_ not in seen:
            seen.add(id_)
            yield id_, record
    if unusable and not seen:
        raise FormatError("a list of containers", "records without an id of 64 hex digits")


def _read_sandbox(record: _Message) -> _Sandbox:
    """One PodSandbox; its pod is None if neither labels nor metadata name it."""
    metadata = _Message(record.content(2))
    named = {label: metadata.text(number) for number, label in _POD_LABEL_OF_FIELD.items()}
    labels = record.mapping(5)
    return _Sandbox(
        pod=read_pod({**named, **labels}, record.mapping(6)),
        labels=labels,
        sandboxed=name_sandbox(record.text(7)),
        ready=record.number(3) == _SANDBOX_READY,
    )


def _read_container(
    id_: str, record: _Message, sandbox: _Sandbox | None, runtime: Runtime | None, source: str
) -> Container:
    """One Container; `sandbox` is None if its own was not listed, as the lists are made one after the other."""
    labels = record.mapping(8)
    name = _Message(record.content(3)).text(1) or None
    return Container(
        id=ContainerId(id_),
        name=name,
        name_state=NameState.PENDING if name is None else NameState.KNOWN,
        runtime=runtime,
        image=_read_image(record),
        verified=True,
        source=source,
        labels=labels,
        sandboxed=sandbox.sandboxed if sandbox else None,
        pod=sandbox.pod if sandbox and sandbox.pod else read_pod(labels, sandbox=False),
        container_name=name,
    )


def _name_pause_container(id_: str, sandbox: _Sandbox, runtime: Runtime | None, source: str) -> Container:
    """The pause container of a pod, which is called like the pod."""
    name = sandbox.pod.name if sandbox.pod else None
    return Container(
        id=ContainerId(id_),
        name=name,
        name_state=NameState.PENDING if name is None else NameState.KNOWN,
        runtime=runtime,
        image=None,
        verified=True,
        source=source,
        labels=sandbox.labels,
        sandboxed=sandbox.sandboxed,
        pod=sandbox.pod,
        sandbox=True,
    )


def _read_image(record: _Message) -> str | None:
    """The image as the pod names it, else by another of its names, else its id.

    A kubelet asks for an image by the id that it pulled, and only since 1.28 tells the pod's name
    for it; containerd passes that on since 2.0, CRI-O not. image_ref is CRI-O's `NAME@sha256:...`.
    """
    spec = _Message(record.content(4))
    user_specified, image = spec.text(18), spec.text(1)
    if user_specified or not _is_image_id(image):
        return user_specified or image or None
    named = (record.mapping(9).get(_IMAGE_NAME_ANNOTATION, ""), record.text(5))
    return next((name for name in named if name and not _is_image_id(name)), image)


def _is_image_id(name: str) -> bool:
    """Whether an image is named by nothing but its id: `sha256:<64>` by containerd, `<64>` by CRI-O."""
    return _is_id(name.removeprefix("sha256:"))


def _is_id(text: str) -> bool:
    """Whether this is 64 lowercase hex digits."""
    return len(text) == _ID_LENGTH and _HEX_DIGITS.issuperset(text)
