"""Docker's runtime API, which podman's socket speaks too: the names of the running containers.

Source: https://docs.docker.com/reference/api/runtime/ (ContainerList). One request a refresh,
`GET /containers/json`; the path bears no version: the daemon then answers in its newest, of which
only fields are read that never changed. A fixed version fails one day (Docker 29 refuses what is
older than 1.44, Docker 24 what is newer than 1.43), and asking first costs a round trip to a
daemon that may be slow.

What is at the other end is not trusted to answer, to stop answering, or to send JSON.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from nsagent.errors import FormatError
from nsagent.identity.pod_labels import CONTAINER_NAME, is_docker_sandbox, read_pod
from nsagent.model.container import Container, NameState, Runtime
from nsagent.model.ids import ContainerId, is_oci_id
from nsagent.runtimes.connect import DOCKER_PORT, DOCKER_TLS_PORT, one_line
from nsagent.runtimes.socket_source import Question, SocketSource

if TYPE_CHECKING:
    from nsagent.runtimes.docker_events import EventFollower

_PATH = "/containers/json"
# {"status":["running","paused"]}: without it podman leaves out paused containers, which Docker lists.
_PODMAN_PATH = f"{_PATH}?filters=%7B%22status%22%3A%5B%22running%22%2C%22paused%22%5D%7D"
_ANSWER_BYTES = 64 * 1024 * 1024
_ELEMENT_LIMIT = 1024 * 1024
_ROWS = 200_000


class DockerSource(SocketSource):
    """One runtime that speaks Docker's API. Its `version` is as in `Docker/20.10.24 (linux)`.

    The running and paused containers, in the runtime's order, each id once. A record without a
    usable id is left out; one without a name yet is `pending`. The pause container of a pod
    (cri-dockerd) is called like its pod. `chain` is left to the cgroup paths; no version of this
    answer tells the OCI runtime (for `sandboxed`), and podman's not the pods either. While events
    are followed and none came, the last answer is given again. `tls` are DOCKER_TLS_VERIFY and
    DOCKER_CERT_PATH as far as they are set.
    """

    def __init__(
        self,
        base_url: str,
        timeout_seconds: float,
        name: str = "docker",
        *,
        named: bool = True,
        tls: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(base_url, timeout_seconds, name, named=named)
        self._tls = (tls or {}) if base_url.startswith("tcp://") else {}
        self._default_port = DOCKER_TLS_PORT if self._tls else DOCKER_PORT
        self._follower: EventFollower | None = None

    def prepare(self) -> None:
        """Connect and load the client, unless what is known will do; see SocketSource."""
        if self._follower is None or self._follower.find_fresh() is None:
            super().prepare()

    def list_containers(self) -> tuple[Container, ...]:
        """What the runtime lists now; see SocketSource."""
        follower = self._follower
        if follower is None:
            return super().list_containers()
        fresh = follower.find_fresh()
        if fresh is not None:
            return fresh
        mark = follower.mark()
        containers = super().list_containers()
        follower.keep(containers, mark)
        return containers

    def follow(self, clock: Callable[[], float]) -> None:
        """Follow the runtime's events from now on, so that a list is asked for when something changed.

        `clock` is monotonic, in seconds. Not for use from two threads at once.
        """
        from nsagent.runtimes.docker_events import EventFollower

        if self._follower is None:
            self._follower = EventFollower(self.base_url, self.timeout_seconds, tls=self._tls, clock=clock)
            self._follower.start()

    def unfollow(self) -> None:
        """End that, if it goes on."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    def _load(self) -> None:
        from nsagent.runtimes import docker_client  # noqa: F401

    def _ask(self, connected: socket.socket, question: Question) -> tuple[Container, ...]:
        from nsagent.runtimes.docker_client import open_client, read_pieces

        client = open_client(connected, self.base_url, self.timeout_seconds, self._tls, limit_bytes=_ANSWER_BYTES)
        with client as asking:
            response = asking.open(_PODMAN_PATH if self.name == "podman" else _PATH)
            server = response.headers.get("Server")
            self.version = one_line(server) if server else None
            is_podman = self.name == "podman" or (server or "").startswith("Libpod/")
            runtime = Runtime.PODMAN if is_podman else Runtime.DOCKER
            return tuple(_read_containers(read_pieces(response), self.name, runtime))


def _read_containers(pieces: Iterator[bytes], source: str, runtime: Runtime) -> Iterable[Container]:
    """The containers in the body of an answer."""
    from nsagent.runtimes.json_array import decode_array

    containers: dict[ContainerId, Container] = {}
    rows = 0
    for rows, row in enumerate(decode_array(pieces, element_limit=_ELEMENT_LIMIT), 1):
        if rows > _ROWS:
            raise FormatError(f"at most {_ROWS} containers", "more")
        container = _read_container(row, source, runtime)
        if container is not None:
            containers.setdefault(container.id, container)
    if rows and not containers:
        raise FormatError("a list of containers", "records without an Id of 64 hex digits")
    return containers.values()


def _read_container(row: object, source: str, runtime: Runtime) -> Container | None:
    """One element of the list; None if it has no usable id, for then nothing can be joined with it."""
    if not isinstance(row, dict):
        return None
    id_ = row.get("Id")
    if not isinstance(id_, str) or not is_oci_id(id_):
        return None
    image = row.get("Image")
    labels = _read_labels(row.get("Labels"))
    sandbox = is_docker_sandbox(labels)
    # The further labels of a container are its image's.
    pod = read_pod(labels, sandbox=sandbox)
    name = pod.name if sandbox and pod is not None else _read_name(row.get("Names"))
    return Container(
        id=ContainerId(id_),
        name=name,
        name_state=NameState.PENDING if name is None else NameState.KNOWN,
        runtime=runtime,
        image=image if isinstance(image, str) and image else None,
        verified=True,
        source=source,
        labels=labels,
        pod=pod,
        container_name=None if sandbox else labels.get(CONTAINER_NAME) or None,
        sandbox=sandbox,
    )


def _read_labels(labels: object) -> Mapping[str, str]:
    """The labels that are text."""
    if not isinstance(labels, dict):
        return {}
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def _read_name(names: object) -> str | None:
    """The container's own name out of `["/web", "/db/link-to-web"]`: the others are those of legacy links."""
    if not isinstance(names, list):
        return None
    for name in names:
        own = name.removeprefix("/") if isinstance(name, str) else ""
        if own and "/" not in own:
            return own
    return None
