"""Docker's runtime API, and podman's own beside it: the names of the containers.

Source: https://docs.docker.com/reference/api/runtime/ (ContainerList), and libpod's in podman,
pkg/api/server/register_containers.go and pkg/domain/entities/container_ps.go. One request a refresh,
`GET /containers/json`; the path bears no version: the daemon then answers in its newest, of which
only fields are read that never changed. A fixed version fails one day (Docker 29 refuses what is
older than 1.44, Docker 24 what is newer than 1.43), and asking first costs a round trip to a
daemon that may be slow.

Podman speaks that too, but tells pods and the pids of containers by its own list alone, whose path
must bear a version; whichever it is, podman does not look at it. A container that is being stopped
runs on for as long as `podman stop` waits, and no filter that podman knows lets it pass: podman
refuses its state as one (StringToContainerStatus() in libpod/define/containerstate.go). So podman is
asked for all containers too, unless there are too many.

What is at the other end is not trusted to answer, to stop answering, or to send JSON.
"""

import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from nsagent.errors import FormatError, Reason, RuntimeUnavailable
from nsagent.identity.pod_labels import CONTAINER_NAME, is_docker_sandbox, read_pod
from nsagent.model.container import Container, Init, NameState, Pod, Runtime
from nsagent.model.ids import OCI_ID, ContainerId, Pid, PodUid, is_oci_id
from nsagent.runtimes.connect import DOCKER_PORT, DOCKER_TLS_PORT, one_line
from nsagent.runtimes.socket_source import Question, SocketSource
from nsagent.runtimes.source import LeftOut

if TYPE_CHECKING:
    from nsagent.runtimes.docker_client import EngineClient
    from nsagent.runtimes.docker_events import EventFollower

_PATH: Final = "/containers/json"
_LIBPOD_PATH: Final = f"/v4.0.0/libpod{_PATH}"
# {"status":["running","paused"]}: without it podman leaves out paused containers, which Docker lists.
_ALIVE: Final = "?filters=%7B%22status%22%3A%5B%22running%22%2C%22paused%22%5D%7D"
_ALL: Final = "?all=true"
_STOPPING: Final = "stopping"
# Parts of the timeout. For either list podman looks at each container that it has, those that have ended too: for
# 0.23 ms each where only some are listed, for 0.46 ms in the list of all (podman 4.3).
_PART_FOR_ALIVE: Final = 1 / 6
_PART_FOR_ALL: Final = 1 / 2
_ANSWER_BYTES: Final = 128 * 1024 * 1024
_KEPT_LENGTH: Final = 32 * 1024 * 1024
_ELEMENT_LIMIT: Final = 1024 * 1024
_ROWS: Final = 200_000
_PID_MAX: Final = 1 << 22
_ID: Final = re.compile(rf'"Id"\s*:\s*"({OCI_ID})"')
"""In the text of a record; in no string that it holds, where quotes have a backslash before them."""


class DockerSource(SocketSource):
    """One runtime that speaks Docker's API. Its `version` is as in `Docker/20.10.24 (linux)`.

    The running and paused containers, in the runtime's order, each id once, and after them those that
    podman is stopping, unless it takes long to answer; with `ended` all, and the `state` of each. A record
    without a usable id is left out; one without a name yet is `pending`. The pause container of a pod
    (cri-dockerd) is called like its pod. `chain` is left to the cgroup paths; no version of this answer
    tells the OCI runtime (for `sandboxed`). While events are followed and none came, the last answer is
    given again. `tls` are DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as far as they are set.
    """

    def __init__(
        self,
        base_url: str,
        timeout_seconds: float,
        name: str = "docker",
        *,
        named: bool = True,
        tls: Mapping[str, str] | None = None,
        ended: bool = False,
    ) -> None:
        super().__init__(base_url, timeout_seconds, name, named=named)
        self._tls = (tls or {}) if base_url.startswith("tcp://") else {}
        self._default_port = DOCKER_TLS_PORT if self._tls else DOCKER_PORT
        self._follower: EventFollower | None = None
        self._ended = ended
        self.left_out: Sequence[LeftOut] = ()

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
        from nsagent.runtimes.docker_client import open_client, translated

        client = open_client(connected, self.base_url, self.timeout_seconds, self._tls, limit_bytes=_ANSWER_BYTES)
        with client as asking:
            if self.name != "podman":
                containers, is_podman, _ = self._list(asking, _PATH + (_ALL if self._ended else ""))
                # What it does not tell by Docker's API is lost if it ends the connection after one answer.
                with suppress(RuntimeUnavailable, FormatError, OSError), translated(self.timeout_seconds):
                    return self._list_by_libpod(asking) if is_podman else containers
                return containers
            try:
                return self._list_by_libpod(asking)
            except RuntimeUnavailable as err:
                if err.reason is not Reason.REJECTED:
                    raise
                # Perhaps it is no podman.
                with suppress(RuntimeUnavailable, FormatError, OSError), translated(self.timeout_seconds):
                    return self._list(asking, _PATH + (_ALL if self._ended else _ALIVE))[0]
                raise

    def _list_by_libpod(self, client: "EngineClient") -> tuple[Container, ...]:
        """The containers by podman's own list."""
        from nsagent.runtimes.docker_client import translated

        if self._ended:
            return self._list(client, _LIBPOD_PATH + _ALL)[0]
        containers, _, seconds = self._list(client, _LIBPOD_PATH + _ALIVE)
        # The names of those that run must not hang on how many have ended.
        if seconds > self.timeout_seconds * _PART_FOR_ALIVE:
            return containers
        left_out, stopping = self.left_out, list[Container]()
        with suppress(RuntimeUnavailable, FormatError, OSError), translated(self.timeout_seconds):
            every, _, _ = self._list(client, _LIBPOD_PATH + _ALL, self.timeout_seconds * _PART_FOR_ALL)
            known = {one.id for one in containers}
            stopping = [one._replace(state=None) for one in every if one.state == _STOPPING and one.id not in known]
        self.left_out = left_out
        return (*containers, *stopping)

    def _list(
        self, client: "EngineClient", path: str, within_seconds: float | None = None
    ) -> tuple[tuple[Container, ...], bool, float]:
        """The containers by one of its lists, whether it says that it is podman, and after how many seconds it began.

        With their states in the list of all. `within_seconds` bounds a wait in the place of the source's timeout.
        """
        from nsagent.runtimes.docker_client import read_pieces

        response = client.open(path, within_seconds)
        server = response.headers.get("Server")
        self.version = one_line(server) if server else None
        says_podman = (server or "").startswith("Libpod/")
        runtime = Runtime.PODMAN if says_podman or self.name == "podman" else Runtime.DOCKER
        lists = _Lists(self.name, runtime, with_state=path.endswith(_ALL))
        containers = lists.read(read_pieces(response))
        self.left_out = lists.left_out
        return containers, says_podman, response.elapsed.total_seconds()


class _Lists:
    """The body of an answer -> records."""

    def __init__(self, source: str, runtime: Runtime, *, with_state: bool) -> None:
        self.left_out: list[LeftOut] = []
        self._source = source
        self._runtime = runtime
        self._with_state = with_state

    def read(self, pieces: Iterator[bytes]) -> tuple[Container, ...]:
        """The containers; raises FormatError."""
        from nsagent.runtimes.json_array import Oversize, decode_array

        containers: dict[ContainerId, Container] = {}
        rows = 0
        for rows, row in enumerate(decode_array(pieces, element_limit=_ELEMENT_LIMIT, budget=_KEPT_LENGTH), 1):
            if rows > _ROWS:
                raise FormatError(f"at most {_ROWS} containers", "more")
            if isinstance(row, Oversize):
                found = _ID.search(row.head)
                self.left_out.append(LeftOut(Reason.TOO_LARGE, found[1] if found else None))
                continue
            container = self._read_container(row)
            if container is not None:
                containers.setdefault(container.id, container)
        if rows > len(self.left_out) and not containers:
            raise FormatError("a list of containers", "records without an Id of 64 hex digits")
        return tuple(containers.values())

    def _read_container(self, row: object) -> Container | None:
        """One element of the list; None if it has no usable id, for then nothing can be joined with it."""
        if not isinstance(row, dict):
            return None
        id_ = row.get("Id")
        if not isinstance(id_, str) or not is_oci_id(id_):
            return None
        labels = _read_labels(row.get("Labels"))
        name = _read_name(row.get("Names"))
        if self._runtime is Runtime.PODMAN:
            # Its labels are the image's too, and no kubelet's.
            pod, sandbox = _read_podman_pod(row), row.get("IsInfra") is True
            container_name = name if pod is not None and not sandbox else None
        else:
            sandbox = is_docker_sandbox(labels)
            # The further labels of a container are its image's.
            pod = read_pod(labels, sandbox=sandbox)
            name = pod.name if sandbox and pod is not None else name
            container_name = None if sandbox else labels.get(CONTAINER_NAME) or None
        return Container(
            id=ContainerId(id_),
            name=name,
            name_state=NameState.PENDING if name is None else NameState.KNOWN,
            runtime=self._runtime,
            image=_read_text(row, "Image"),
            verified=True,
            source=self._source,
            labels=labels,
            pod=pod,
            container_name=container_name,
            sandbox=sandbox,
            init=_read_init(row),
            state=_read_text(row, "State") if self._with_state else None,
        )


def _read_text(row: Mapping[str, Any], key: str) -> str | None:
    """A value that is text, and not empty."""
    value = row.get(key)
    return value if isinstance(value, str) and value else None


def _read_podman_pod(row: Mapping[str, Any]) -> Pod | None:
    """The pod of podman's that a container is in."""
    id_, name = _read_text(row, "Pod"), _read_text(row, "PodName")
    return Pod(PodUid(id_), name) if id_ and name and is_oci_id(id_) else None


def _read_init(row: Mapping[str, Any]) -> Init | None:
    """The first process of a container that runs, by podman's list; Docker's does not tell it."""
    pid, started = row.get("Pid"), row.get("StartedAt")
    # Not isinstance(): JSON's true is an int to that, and to no reader of a capture.
    if type(pid) is not int or type(started) is not int:
        return None
    return Init(Pid(pid), started) if 0 < pid <= _PID_MAX and 0 < started < 1 << 40 else None


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
