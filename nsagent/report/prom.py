"""`-o prom`: what a snapshot counts, in the text format of Prometheus; /metrics of the agent has the same families.

A series is of a container, or of all that is outside of any; no label is a pid, an inode, the address of a peer or a
port of a client, of which there is no end. What a metric has beyond its cap of series is added up in few whose
namespace, pod and container are `other`. https://prometheus.io/docs/practices/naming/
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from nsagent.model.container import Container, Pod
from nsagent.model.ids import ContainerId
from nsagent.model.net import Protocol, SocketState, is_listening, is_unconnected
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.accept_queues import is_listener
from nsagent.report.context import short_id
from nsagent.report.escape import escape
from nsagent.report.memo import Memo
from nsagent.report.peers import Direction, PeerKind, Peers

MOST_SERIES: Final = 10_000
"""Of each metric of `-o prom`."""

OTHER: Final = "other"

_LONGEST: Final = 128
"""Of the value of a label, in characters."""
_CUT: Final = "…"

_WITH_PORTS: Final = frozenset((Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP, Protocol.VSOCK))
_CLIENT_PORTS: Final = (32768, 60999)
"""Those that a kernel gives to clients unless it is told otherwise (Documentation/networking/ip-sysctl.rst)."""

Labels = tuple[str, ...]


class Place(NamedTuple):
    """Whose a series is: the first three labels, all of them "" for what is outside of containers."""

    namespace: str
    pod: str
    container: str


_PLACE: Final = Place._fields
_ELSEWHERE: Final = Place(OTHER, OTHER, OTHER)


def render_prom(snapshot: Snapshot, *, whole: Snapshot | None = None, of_containers: bool = False) -> Iterator[str]:
    """The text in one chunk; `whole` is what the snapshot was selected from.

    `of_containers`: only of sockets that its containers have.
    """
    whole = whole or snapshot
    if of_containers:
        ids = {each.id for each in snapshot.containers}
        snapshot = snapshot._replace(sockets=tuple(each for each in snapshot.sockets if each.container_id in ids))
    families, _ = make_families(snapshot, MOST_SERIES, whole=whole)
    yield write_families(families)


def make_families(snapshot: Snapshot, most_series: int, *, whole: Snapshot | None = None) -> tuple[list[Metric], int]:
    """The metrics of a snapshot, each of up to `most_series` series and few for the rest, and how many that rest is.

    `whole` is what the snapshot was selected from: it tells which local ports have a listener, and whose a peer is.
    """
    sums = _Sums(snapshot, Peers(whole or snapshot))
    families: list[Metric] = []
    dropped = 0
    for name, documentation, labels, values in (
        ("nsagent_sockets", "Sockets in all network namespaces.", ("protocol", "state"), sums.sockets),
        ("nsagent_connections", "Sockets that have a peer.", ("direction", "peer_kind"), sums.connections),
        ("nsagent_socket_queue_bytes", "Bytes that wait to be read or to be sent.", ("queue",), sums.queues),
        ("nsagent_accept_queue", "Connections that wait to be accepted.", (), sums.waiting),
        ("nsagent_accept_queue_limit", "Connections that may wait, of listeners that tell.", (), sums.limits),
    ):
        kept, rest = _cap(values, most_series)
        dropped += rest
        families.append(_gauge(name, documentation, (*_PLACE, *labels), kept))
    kept, rest = _cap(sums.listeners, most_series)
    listeners = InfoMetricFamily(
        "nsagent_listeners", "Addresses that are listened at.", labels=[*_PLACE, "address", "port", "protocol"]
    )
    for key in kept:
        listeners.add_metric(key, {})
    return [*families, listeners, *_list_of_pass(snapshot)], dropped + rest


def write_families(families: Iterable[Metric]) -> str:
    """The text of metrics that were made, in the format of version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Made(families))
    return generate_latest(registry).decode()


class _Made(Collector):
    """Families that were made already, as a registry asks for them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Sums:
    """The sockets of a snapshot added up by place and further labels."""

    def __init__(self, snapshot: Snapshot, peers: Peers) -> None:
        self.sockets: Counter[Labels] = Counter()
        self.connections: Counter[Labels] = Counter()
        self.queues: Counter[Labels] = Counter()
        self.waiting: Counter[Labels] = Counter()
        self.limits: Counter[Labels] = Counter()
        self._ports = {each.number: each.client_ports or _CLIENT_PORTS for each in snapshot.netns}
        self._places = places = _name_places(snapshot)
        # Each loop is once per socket, of which there are 10^4 to 10^6: 2 us for all of them, most for connections.
        sockets = snapshot.sockets
        alike = Counter([(each.container_id, each.pod, each.row.protocol, each.row.state) for each in sockets])
        for (container_id, pod, protocol, state), count in alike.items():
            place = places[container_id, pod]
            self.sockets[*place, protocol, state] += count
            self.queues[*place, "rx"] += 0
            self.queues[*place, "tx"] += 0
        for socket in [each for each in sockets if each.row.rx_queue or each.row.tx_queue]:
            self._add_queues(socket)
        listeners = [each for each in sockets if is_listening(each.row)]
        self.listeners: Counter[Labels] = Counter(
            [
                (*places[each.container_id, each.pod], row.local.address, str(row.local.port), row.protocol)
                for each in listeners
                if (row := each.row).protocol in _WITH_PORTS and not self._is_client(each)
            ]
        )
        for socket in filter(is_listener, listeners):
            self._add_accept_queue(socket)
        for one, count in peers.count(sockets).items():
            self.connections[*places[one.container_id, one.pod], one.direction, one.peer_kind] += count

    def _add_queues(self, socket: OwnedSocket) -> None:
        if not is_listener(socket):
            place = self._places[socket.container_id, socket.pod]
            self.queues[*place, "rx"] += socket.row.rx_queue or 0
            self.queues[*place, "tx"] += socket.row.tx_queue or 0

    def _add_accept_queue(self, socket: OwnedSocket) -> None:
        place, row = self._places[socket.container_id, socket.pod], socket.row
        self.waiting[place] += row.rx_queue or 0
        if row.tx_queue is not None:
            self.limits[place] += row.tx_queue

    def _is_client(self, socket: OwnedSocket) -> bool:
        """Of a protocol that knows no listening, at a port of clients: it has asked something, and waits."""
        row = socket.row
        if not is_unconnected(row):
            return False
        first, last = self._ports.get(socket.netns, _CLIENT_PORTS)
        return not row.local.port or first <= row.local.port <= last


def _name_places(snapshot: Snapshot) -> Memo[tuple[ContainerId | None, Pod | None], Place]:
    containers = {each.id: each for each in (*snapshot.containers, *snapshot.folded)}

    def name(key: tuple[ContainerId | None, Pod | None]) -> Place:
        container_id, pod = key
        container = None if container_id is None else containers.get(container_id)
        pod = pod if container is None else container.pod
        namespace, pod_name = (pod.kube_namespace, pod.name or pod.uid) if pod else ("", "")
        return Place(_label(namespace or ""), _label(pod_name or ""), _label(_container_name(container, container_id)))

    return Memo(name)


def _container_name(container: Container | None, container_id: ContainerId | None) -> str:
    if container_id is None or (container is not None and container.sandbox):
        return ""  # A pause container is part of its pod.
    return (container and (container.container_name or container.name)) or short_id(container_id)


def _label(text: str) -> str:
    """A text as the value of a label, printable and not too long: quotes and backslashes are the library's matter."""
    text = escape(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}{_CUT}"


def _cap(values: Mapping[Labels, int], most: int) -> tuple[dict[Labels, int], int]:
    """The first `most` series, what the others add up to as few more, and how many these others are.

    First come one of each place, then another one of each: what one of them piles up costs the rest nothing. The order
    is that of labels, so that the same ones stay from pass to pass.
    """
    if len(values) <= most:
        return dict(sorted(values.items())), 0
    of_place: Counter[Labels] = Counter()
    ranked = []
    for key in sorted(values):
        of_place[key[:3]] += 1
        ranked.append((of_place[key[:3]], key))
    ranked.sort()
    kept = {key: values[key] for _, key in sorted(ranked[:most], key=lambda each: each[1])}
    for _, key in ranked[most:]:
        rest = (*_ELSEWHERE, *(OTHER if each not in _CLOSED else each for each in key[3:]))
        kept[rest] = kept.get(rest, 0) + values[key]
    return kept, len(values) - most


_CLOSED: Final = frozenset((*Protocol, *SocketState, *Direction, *PeerKind, "rx", "tx"))
"""Values of further labels of which there are few: the sums of what is beyond a cap are told by these."""


def _gauge(name: str, documentation: str, labels: Sequence[str], values: Mapping[Labels, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _list_of_pass(snapshot: Snapshot) -> list[Metric]:
    """What the pass behind the snapshot found and could not see."""
    coverage, processes = snapshot.coverage, snapshot.coverage.processes
    access: dict[Labels, int] = {
        ("ok",): processes.ok,
        ("vanished",): processes.vanished,
        ("denied",): processes.denied,
        ("skipped",): processes.skipped,
    }
    gaps: Counter[Labels] = Counter()
    for gap in coverage.gaps:
        gaps[gap.stage, gap.errno or gap.reason] += gap.count
    verdicts: Counter[Labels] = Counter((each.verdict.kind,) for each in snapshot.sockets if each.verdict is not None)
    return [
        _gauge("nsagent_netns", "Network namespaces.", (), {(): len(snapshot.netns)}),
        _gauge("nsagent_processes", "Processes, by whether they could be read.", ("access",), access),
        _gauge("nsagent_gaps", "What exists and could not be read.", ("stage", "reason"), gaps),
        _gauge("nsagent_ownerless_sockets", "Sockets that no process holds.", ("verdict",), verdicts),
    ]
