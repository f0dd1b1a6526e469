"""The Container Runtime Interface, which kubelets drive their runtimes by: containers and pods of a Kubernetes node.

Source: api.proto of k8s.io/cri-api, runtime.v1. What is read here has the same numbers in
runtime.v1alpha2, which older runtimes alone serve (containerd 1.5, CRI-O 1.22). Three calls a
refresh, all sent at once: Version, ListContainers, which leaves out the pause containers, and
ListPodSandbox, which tells of them and of the pods. Nothing is asked per container, unless a list is
longer than is read: pages it has none, so each pod is asked about by itself then, by the other list.

grpcio and protobuf are the extra `cri` (75 ms of import). grpcio starts threads of its own while a
channel is open, in the netns of the thread that opens it: so a channel lives as long as one question,
in the thread that asks it, which enters no netns. No process may fork meanwhile.

What is at the other end is not trusted to answer, to stop answering, or to send what it should.
"""

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from nsagent.errors import FormatError, Reason, RuntimeUnavailable
from nsagent.identity.pod_labels import read_pod
from nsagent.identity.sandboxed import name_sandbox
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, is_oci_id
from nsagent.runtimes.connect import one_line
from nsagent.runtimes.socket_source import Question, SocketSource
from nsagent.runtimes.source import LeftOut

_SERVICES: Final = ("runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService")
_METHODS: Final = ("Version", "ListContainers", "ListPodSandbox")
_ANSWER_BYTES: Final = 32 * 1024 * 1024
_RECORD_BYTES: Final = 1024 * 1024
_RECORD_HEAD: Final = re.compile(rb"\x0a\x40([0-9a-f]{64})")
"""How a Container and a PodSandbox begin: field 1, 64 bytes."""
_PODS: Final = 2048
"""About so many pods at most one by one is asked."""
_RECORDS: Final = 200_000
_IMAGE_NAME_ANNOTATION: Final = "io.kubernetes.cri.image-name"
_CONTAINER_EXITED: Final = 2
_STATES: Final = {0: "created", 1: "running", _CONTAINER_EXITED: "exited"}
_SANDBOX_READY: Final = 0
_RUNTIME_OF_NAME: Final = {"containerd": Runtime.CONTAINERD, "cri-o": Runtime.CRIO, "docker": Runtime.DOCKER}

_FIELDS: Final = {
    "ListRequest": ("1 filter Filter",),
    # A ContainerFilter or a PodSandboxFilter, of which each reads one of these.
    "Filter": ("1 id", "3 pod_sandbox_id"),
    "VersionResponse": ("2 runtime_name", "3 runtime_version"),
    # The records one by one: each is bounded before it is decoded.
    "ListResponse": ("1 records*",),
    "Container": (
        "1 id", "2 sandbox_id", "3 metadata ContainerMetadata", "4 image ImageSpec", "5 image_ref", "6 state#",
        "8 labels* Entry", "9 annotations* Entry",
    ),
    "ContainerMetadata": ("1 name",),
    "ImageSpec": ("1 image", "18 user_specified_image"),
    "PodSandbox": (
        "1 id", "2 metadata PodSandboxMetadata", "3 state#", "5 labels* Entry", "6 annotations* Entry",
        "7 runtime_handler",
    ),
    "PodSandboxMetadata": ("1 name", "2 uid", "3 namespace"),
    "Entry": ("1 key", "2 value"),
}  # fmt: skip
"""The fields that are read of each message: number, name, and the type of a nested one; `*` repeats, `#` is an enum.

Texts are read as bytes, for one that is not UTF-8 must not cost the list; and maps as the entries
that they are on the wire.
"""

Messages = Mapping[str, Any]
"""The classes of the messages in _FIELDS by their names."""


class CriSource(SocketSource):
    """One runtime that speaks CRI over a unix socket. Its `version` is as in `containerd 1.6.20`.

    The containers that have not exited, then the sandboxes that are ready, each id once. A record
    without a usable id is left out; one without a name yet is `pending`. `chain` is left to the
    cgroup paths. `sandboxed` is known where the runtime tells the handler: not for a pod on the
    default one, and never from CRI-O. `timeout_seconds` bounds the whole answer. With `ended` those
    that have exited are told too, with their `state`.
    """

    def __init__(
        self, base_url: str, timeout_seconds: float, name: str = "cri", *, named: bool = True, ended: bool = False
    ) -> None:
        super().__init__(base_url, timeout_seconds, name, named=named)
        self.left_out: Sequence[LeftOut] = ()
        self._services = _SERVICES
        self._ended = ended

    def _load(self) -> None:
        # What a runtime sends wrongly grpcio would write to stderr, and nothing else keeps it from that.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        try:
            import google.protobuf  # noqa: F401
            import grpc  # noqa: F401
        except ImportError as err:
            raise RuntimeUnavailable("pip install 'nsagent[cri]' to ask it", Reason.MISSING_EXTRA) from err

    def _ask(self, connected: socket.socket, question: Question) -> tuple[Container, ...]:
        # It was to see that somebody listens: grpcio makes its own.
        connected.close()
        messages = _make_messages()
        answers = self._call_newest(question, messages)
        runtime = self._read_version(_decode(messages["VersionResponse"], answers.version))
        lists = _Lists(messages, runtime, self.name, question, with_ended=self._ended)
        records = lists.read(answers.containers, answers.sandboxes)
        self.left_out = (*answers.left_out, *lists.left_out)
        return records

    def _call_newest(self, question: Question, messages: Messages) -> "_Answers":
        """The answers to _METHODS, of the newest version that the runtime serves; the next time that is tried first."""
        import grpc

        options = {
            "grpc.max_receive_message_length": _ANSWER_BYTES,
            "grpc.enable_http_proxy": 0,
            "grpc.enable_retries": 0,
            # How long it tries to connect, also when nobody waits for it any longer.
            "grpc.min_reconnect_backoff_ms": int(1000 * self.timeout_seconds),
            # Else the next channel may be given what is left of the connection of this one.
            "grpc.use_local_subchannel_pool": 1,
            "grpc.default_authority": "localhost",
        }
        target = _name_target(self.base_url)
        with grpc.insecure_channel(target, tuple(options.items())) as channel, question.ended_by(channel.close):
            preferred, other = self._services
            try:
                return self._call(channel, preferred, messages)
            except RuntimeUnavailable as err:
                if err.reason is not Reason.NOT_SERVED:
                    raise
                first = err
            try:
                answers = self._call(channel, other, messages)
            except RuntimeUnavailable as err:
                raise (first if err.reason is Reason.NOT_SERVED else err) from None
            self._services = other, preferred
            return answers

    def _call(self, channel: Any, service: str, messages: Messages) -> "_Answers":
        """The answers to _METHODS of one service."""

        def call(method: str, **filters: bytes) -> Any:
            request = messages["ListRequest"](filter=filters or None).SerializeToString()
            return channel.unary_unary(f"/{service}/{method}").future(request, timeout=self.timeout_seconds)

        def list_each(method: str, key: str, ids: Iterable[bytes]) -> tuple[list[bytes], list[LeftOut]]:
            calls = {id_: call(method, **{key: id_}) for id_ in islice(dict.fromkeys(ids), _PODS)}
            answers = {id_: self._take(one) for id_, one in calls.items()}
            left_out = [LeftOut(Reason.TOO_LARGE, _read_text(id_)) for id_, one in answers.items() if one is None]
            return [record for one in answers.values() if one for record in read(one)], left_out

        def read(answer: bytes) -> list[bytes]:
            return list(_decode(messages["ListResponse"], answer).records)

        version, containers, sandboxes = map(self._take, [call(method) for method in _METHODS])
        if version is None or (containers is None and sandboxes is None):
            raise RuntimeUnavailable("its lists are longer than is read", Reason.TOO_LARGE)
        pods, left_out = read(sandboxes or b""), list[LeftOut]()
        if containers is None:
            ids = (match[1] for match in map(_RECORD_HEAD.match, pods) if match)
            records, left_out = list_each("ListContainers", "pod_sandbox_id", ids)
        else:
            records = read(containers)
        if sandboxes is None:
            short = (record for record in records if len(record) <= _RECORD_BYTES)
            pods, left_out = list_each("ListPodSandbox", "id", (_find_sandbox_id(messages, record) for record in short))
        return _Answers(version, records, pods, left_out)

    def _take(self, call: Any) -> bytes | None:
        """The answer to one call; None if it is longer than is read, or than the runtime sends."""
        import grpc

        try:
            answer: bytes | None = call.result()
        except grpc.RpcError as err:
            if err.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return None
            raise self._translate_status(err.code().name, err.details() or "") from err
        except grpc.FutureCancelledError as err:
            raise RuntimeUnavailable("nobody waits for its answer any longer") from err
        if answer is None:
            raise FormatError("an answer to each call", "success without one")
        return answer

    def _translate_status(self, code: str, details: str) -> RuntimeUnavailable:
        """What a call that failed means."""
        if code == "DEADLINE_EXCEEDED":
            return RuntimeUnavailable(f"no answer within {self.timeout_seconds:g} s", Reason.NO_ANSWER)
        reasons = {"UNIMPLEMENTED": Reason.NOT_SERVED, "UNAVAILABLE": Reason.FAILED}
        return RuntimeUnavailable(one_line(f"{code}: {details}"), reasons.get(code, Reason.REJECTED))

    def _read_version(self, version: Any) -> Runtime | None:
        """The runtime by its own name; cri-dockerd's is `docker`."""
        name = _read_text(version.runtime_name)
        self.version = one_line(f"{name} {_read_text(version.runtime_version)}") or None
        return _RUNTIME_OF_NAME.get(name)


def _name_target(base_url: str) -> str:
    """The runtime as grpcio names it."""
    from urllib.parse import quote

    scheme, _, path = base_url.partition("://")
    return f"unix:{quote(path)}" if scheme == "unix" else f"dns:{path}"


def _make_messages() -> Messages:
    """The classes that decode what _FIELDS lists, in a pool of their own: none clashes with generated code."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="nsagent/cri.proto", package="cri", syntax="proto3")
    for name, rows in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, field, *nested in map(str.split, rows):
            added = message.field.add(name=field.rstrip("*#"), number=int(number))
            added.label = kinds.LABEL_REPEATED if field.endswith("*") else kinds.LABEL_OPTIONAL
            added.type = kinds.TYPE_INT32 if field.endswith("#") else kinds.TYPE_BYTES
            if nested:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".cri.{nested[0]}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"cri.{name}")) for name in _FIELDS}


def _decode(message: Any, content: bytes) -> Any:
    """One message; raises FormatError."""
    from google.protobuf.message import DecodeError

    try:
        return message.FromString(content)
    except DecodeError as err:
        raise FormatError("a complete message", content) from err


def _find_sandbox_id(messages: Messages, record: bytes) -> bytes:
    """The id of the sandbox that a Container is in, empty where it tells none."""
    try:
        id_: bytes = _decode(messages["Container"], record).sandbox_id
    except FormatError:
        return b""
    return id_


def _read_text(content: bytes) -> str:
    """A string; bytes that are not UTF-8 become surrogate escapes."""
    return content.decode("utf-8", "surrogateescape")


def _read_map(entries: Iterable[Any]) -> dict[str, str]:
    """A map of strings."""
    return {_read_text(entry.key): _read_text(entry.value) for entry in entries}


class _Answers(NamedTuple):
    """The answers to _METHODS, the lists as records."""

    version: bytes
    containers: Sequence[bytes]
    sandboxes: Sequence[bytes]
    left_out: Sequence[LeftOut]


class _Sandbox(NamedTuple):
    """What containers have of the sandbox that they are in."""

    pod: Pod | None
    labels: Mapping[str, str]
    sandboxed: str | None
    ready: bool


class _Lists:
    """The answers to one question -> records."""

    def __init__(
        self, messages: Messages, runtime: Runtime | None, source: str, question: Question, *, with_ended: bool
    ) -> None:
        self.left_out: list[LeftOut] = []
        self._with_ended = with_ended
        self._messages = messages
        self._runtime = runtime
        self._source = source
        self._question = question

    def read(self, containers: Sequence[bytes], sandboxes: Sequence[bytes]) -> tuple[Container, ...]:
        """Those of an answer to ListContainers, then those of one to ListPodSandbox."""
        # Those that are not ready as well: a container may outlive its sandbox.
        known = {id_: _read_sandbox(record) for id_, record in self._iterate("PodSandbox", sandboxes)}
        records = {
            id_: self._read_container(id_, record, known.get(_read_text(record.sandbox_id)))
            for id_, record in self._iterate("Container", containers)
            if self._with_ended or record.state != _CONTAINER_EXITED
        }
        for id_, sandbox in known.items():
            if sandbox.ready:
                records.setdefault(id_, self._name_pause_container(id_, sandbox))
        return tuple(records.values())

    def _iterate(self, kind: str, contents: Sequence[bytes]) -> Iterator[tuple[str, Any]]:
        """The messages of a list by their ids; each usable id once."""
        if len(contents) > _RECORDS:
            raise FormatError(f"at most {_RECORDS} containers", "more")
        seen: set[str] = set()
        damage: FormatError | None = None
        for content in contents:
            self._question.check_wanted()
            try:
                if len(content) > _RECORD_BYTES:
                    raise FormatError(f"a record of at most {_RECORD_BYTES} bytes", content)
                record = _decode(self._messages[kind], content)
            except FormatError as err:
                head = _RECORD_HEAD.match(content)
                reason = Reason.TOO_LARGE if len(content) > _RECORD_BYTES else Reason.MALFORMED
                damage = damage or (err if reason is Reason.MALFORMED else None)
                self.left_out.append(LeftOut(reason, _read_text(head[1]) if head else None))
                continue
            id_ = _read_text(record.id)
            if is_oci_id(id_) and id_ not in seen:
                seen.add(id_)
                yield id_, record
        if not seen and damage:
            raise damage
        if not seen and any(len(content) <= _RECORD_BYTES for content in contents):
            raise FormatError("a list of containers", "records without an id of 64 hex digits")

    def _read_container(self, id_: str, record: Any, sandbox: _Sandbox | None) -> Container:
        """One Container; `sandbox` is None if its own was not listed, as the lists are made one after the other."""
        labels = _read_map(record.labels)
        name = _read_text(record.metadata.name) or None
        return Container(
            id=ContainerId(id_),
            name=name,
            name_state=NameState.PENDING if name is None else NameState.KNOWN,
            runtime=self._runtime,
            image=_read_image(record),
            verified=True,
            source=self._source,
            labels=labels,
            sandboxed=sandbox.sandboxed if sandbox else None,
            pod=sandbox.pod if sandbox and sandbox.pod else read_pod(labels, sandbox=False),
            container_name=name,
            state=_STATES.get(record.state) if self._with_ended else None,
        )

    def _name_pause_container(self, id_: str, sandbox: _Sandbox) -> Container:
        """The pause container of a pod, which is called like the pod."""
        name = sandbox.pod.name if sandbox.pod else None
        return Container(
            id=ContainerId(id_),
            name=name,
            name_state=NameState.PENDING if name is None else NameState.KNOWN,
            runtime=self._runtime,
            image=None,
            verified=True,
            source=self._source,
            labels=sandbox.labels,
            sandboxed=sandbox.sandboxed,
            pod=sandbox.pod,
            sandbox=True,
        )


def _read_sandbox(record: Any) -> _Sandbox:
    """One PodSandbox; its pod is None if neither labels nor metadata, which repeats them, name it."""
    metadata = record.metadata
    named = {f"io.kubernetes.pod.{key}": _read_text(getattr(metadata, key)) for key in ("name", "uid", "namespace")}
    labels = _read_map(record.labels)
    return _Sandbox(
        pod=read_pod({**named, **labels}, _read_map(record.annotations)),
        labels=labels,
        sandboxed=name_sandbox(_read_text(record.runtime_handler)),
        ready=record.state == _SANDBOX_READY,
    )


def _read_image(record: Any) -> str | None:
    """The image as the pod names it, else by another of its names, else its id.

    A kubelet asks for an image by the id that it pulled, and only since 1.28 tells the pod's name
    for it; containerd passes that on since 2.0, CRI-O not. image_ref is CRI-O's `NAME@sha256:...`.
    """
    user_specified, image = _read_text(record.image.user_specified_image), _read_text(record.image.image)
    if user_specified or not _is_image_id(image):
        return user_specified or image or None
    named = (_read_map(record.annotations).get(_IMAGE_NAME_ANNOTATION, ""), _read_text(record.image_ref))
    return next((name for name in named if name and not _is_image_id(name)), image)


def _is_image_id(name: str) -> bool:
    """Whether an image is named by nothing but its id: `sha256:<64>` by containerd, `<64>` by CRI-O."""
    return is_oci_id(name.removeprefix("sha256:")) is not None
